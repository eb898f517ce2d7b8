// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of kernel page tables that are freed below an IOMMU
 *
 * A device that works in the address space of a process accesses the kernel's
 * half of it. It gets nothing, but the IOMMU learns where the tables are. They
 * are freed then, and their pages filled with entries that give access to a
 * secret. An IOMMU that has not forgotten them hands it out.
 */
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/svadev.h>
#include <linux/vmalloc.h>

#include <uapi/misc/uacce/svadev.h>

#define SVK_TIMEOUT_MS		10000
#define SVK_ROUNDS		50
#define SVK_PAGES		64	/* Among these is the one freed just now */
#define SVK_SECRET		0x5e

/* Nothing is there, so it is of one memory type. Nobody accesses it either. */
#define SVK_PHYS		BIT_ULL(36)

/* Hits on paging-structure caches that memory contradicts */
#define SVK_STALE		"vtd.stale.psc"

/**
 * struct svk - a running case and what is to be undone at its end
 * @pdev: the device
 * @mm: the address space
 * @bond: between them
 * @q: a queue that works in @mm
 * @reader: a thread that works with @q
 * @area: address space of the kernel
 * @addr: the part of @area that one PMD entry maps
 * @secret: a page that nobody gives to the device
 * @stale: SVK_STALE when the case began
 * @leaks: how often the device could read at @addr
 * @reads: how often it has tried
 */
struct svk {
	struct pci_dev *pdev;
	struct mm_struct *mm;
	struct iommu_sva *bond;
	struct svadev_queue *q;
	struct task_struct *reader;
	struct vm_struct *area;
	unsigned long addr;
	u8 *secret;
	u64 stale;
	unsigned int leaks;
	unsigned int reads;
};

/* No cache may have an entry that differs from memory */
static void svk_audit(struct kunit *test, struct svk *svk, const char *when)
{
	struct svadev_queue *q = svadev_queue_get(svk->pdev);

	KUNIT_EXPECT_FALSE(test, IS_ERR(q));
	if (IS_ERR(q))
		return;
	KUNIT_EXPECT_EQ_MSG(test, svadev_audit(q), 0,
			    "audit %s: cache entries differ from memory", when);
	svadev_queue_put(q);
}

static void svk_exit(struct kunit *test)
{
	struct svk *svk = test->priv;

	if (!svk)
		return;

	/* A case that has failed ended where it was */
	if (svk->reader)
		kthread_stop(svk->reader);
	svk_audit(test, svk, "before unbind");
	if (svk->q)
		svadev_queue_put(svk->q);
	if (!IS_ERR_OR_NULL(svk->bond))
		iommu_sva_unbind_device(svk->bond);
	if (svk->mm)
		mmput(svk->mm);
	if (svk->area)
		free_vm_area(svk->area);
	free_page((unsigned long)svk->secret);
	svk_audit(test, svk, "after unbind");
	pci_dev_put(svk->pdev);
}

static int svk_init(struct kunit *test)
{
	struct pci_dev *pdev;
	struct svk *svk;

	pdev = pci_get_device(SVADEV_PCI_VENDOR, SVADEV_PCI_DEVICE, NULL);
	if (!pdev)
		kunit_skip(test, "no svadev in this machine");

	svk = kunit_kzalloc(test, sizeof(*svk), GFP_KERNEL);
	if (!svk) {
		pci_dev_put(pdev);
		return -ENOMEM;
	}
	svk->pdev = pdev;
	test->priv = svk;
	return 0;
}

/* Assertions end a case only from within it */
static struct svk *svk_begin(struct kunit *test)
{
	struct svk *svk = test->priv;

	svk->secret = (u8 *)__get_free_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, svk->secret);
	memset(svk->secret, SVK_SECRET, PAGE_SIZE);

	svk->area = get_vm_area(2 * PMD_SIZE, VM_IOREMAP);
	KUNIT_ASSERT_NOT_NULL(test, svk->area);
	svk->addr = ALIGN((unsigned long)svk->area->addr, PMD_SIZE);

	svk->mm = mm_alloc();
	KUNIT_ASSERT_NOT_NULL(test, svk->mm);
	svk->bond = iommu_sva_bind_device(&svk->pdev->dev, svk->mm);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(svk->bond), "no bond: %pe",
			       svk->bond);

	svk->q = svadev_queue_get(svk->pdev);
	if (IS_ERR(svk->q))
		svk->q = NULL;
	KUNIT_ASSERT_NOT_NULL(test, svk->q);
	KUNIT_ASSERT_EQ(test, 0, svadev_read_counter(svk->q, SVK_STALE,
						     &svk->stale));

	/* An IOMMU that is asked for a page forgets what leads to it. */
	KUNIT_ASSERT_EQ(test, 0,
			svadev_queue_enable(svk->q,
					    iommu_sva_get_pasid(svk->bond),
					    false));
	return svk;
}

/* Have the device read, and note if it can. */
static void svk_read(struct svk *svk)
{
	struct svadev_op op = {
		.op = SVADEV_OP_READ, .src = svk->addr, .len = 1,
	};

	if (svadev_queue_run(svk->q, &op, SVK_TIMEOUT_MS) != -EFAULT)
		svk->leaks++;
	svk->reads++;
}

/* Map a page, which takes a PTE table. */
static void svk_map_small(struct kunit *test, struct svk *svk)
{
	KUNIT_ASSERT_EQ(test, 0,
			ioremap_page_range(svk->addr, svk->addr + PAGE_SIZE,
					   virt_to_phys(svk->secret),
					   PAGE_KERNEL));
}

/* Map a huge page in its place, which frees the table. */
static struct page *svk_map_huge(struct kunit *test, struct svk *svk)
{
	pud_t *pud = pud_offset(p4d_offset(pgd_offset_k(svk->addr), svk->addr),
				svk->addr);
	pmd_t *pmd = pmd_offset(pud, svk->addr);
	struct page *table = pmd_page(*pmd);

	vunmap_range(svk->addr, svk->addr + PMD_SIZE);
	KUNIT_ASSERT_EQ(test, 0,
			ioremap_page_range(svk->addr, svk->addr + PMD_SIZE,
					   SVK_PHYS, PAGE_KERNEL));
	KUNIT_ASSERT_TRUE(test, pmd_large(*pmd));
	return table;
}

/*
 * Be the next owner of @table, who writes what gives everybody the secret. Runs
 * on one CPU from before the page is freed, since free pages are per CPU.
 */
static bool svk_reuse(struct svk *svk, struct page *table,
		      struct list_head *pages)
{
	pte_t entry = pfn_pte(__pa(svk->secret) >> PAGE_SHIFT, PAGE_SHARED);
	struct page *page;
	bool found = false;
	unsigned int i, n;
	u64 *word;

	for (n = 0; n < SVK_PAGES && !found; n++) {
		page = alloc_page(GFP_KERNEL);
		if (!page)
			break;
		list_add(&page->lru, pages);
		word = page_address(page);
		for (i = 0; i < PTRS_PER_PTE; i++)
			word[i] = pte_val(pte_mkdirty(pte_mkyoung(entry)));
		found = page == table;
	}
	return found;
}

static void svk_free(struct list_head *pages)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, pages, lru)
		__free_page(page);
	INIT_LIST_HEAD(pages);
}

/* A table is freed while nothing is under way: nothing old may be used. */
static void svk_idle_test(struct kunit *test)
{
	struct svk *svk = svk_begin(test);
	unsigned int i, reused = 0;
	LIST_HEAD(pages);
	struct page *table;
	u64 stale;

	for (i = 0; i < SVK_ROUNDS; i++) {
		svk_map_small(test, svk);
		svk_read(svk);

		migrate_disable();
		table = svk_map_huge(test, svk);
		reused += svk_reuse(svk, table, &pages);
		migrate_enable();
		svk_read(svk);

		svk_free(&pages);
		vunmap_range(svk->addr, svk->addr + PMD_SIZE);
		svk_read(svk);
	}

	KUNIT_EXPECT_EQ(test, 0U, svk->leaks);
	KUNIT_EXPECT_GT(test, reused, 0U);
	KUNIT_EXPECT_EQ(test, 0, svadev_read_counter(svk->q, SVK_STALE,
						     &stale));
	KUNIT_EXPECT_EQ(test, svk->stale, stale);
}

static int svk_reader(void *data)
{
	struct svk *svk = data;

	while (!kthread_should_stop()) {
		svk_read(svk);
		cond_resched();
	}
	return 0;
}

/*
 * The device reads all the time. What it is told while a table is being unlinked
 * may be old, and is counted as stale, but the secret comes later.
 */
static void svk_busy_test(struct kunit *test)
{
	struct svk *svk = svk_begin(test);
	unsigned int i, reused = 0;
	struct task_struct *reader;
	LIST_HEAD(pages);
	struct page *table;

	reader = kthread_run(svk_reader, svk, "svadev-reader");
	KUNIT_ASSERT_FALSE(test, IS_ERR(reader));
	svk->reader = reader;
	for (i = 0; i < SVK_ROUNDS; i++) {
		unsigned int reads = READ_ONCE(svk->reads);

		svk_map_small(test, svk);
		while (READ_ONCE(svk->reads) < reads + 2)
			usleep_range(50, 100);

		migrate_disable();
		table = svk_map_huge(test, svk);
		reused += svk_reuse(svk, table, &pages);
		migrate_enable();
		reads = READ_ONCE(svk->reads);
		while (READ_ONCE(svk->reads) < reads + 2)
			usleep_range(50, 100);

		svk_free(&pages);
		vunmap_range(svk->addr, svk->addr + PMD_SIZE);
	}
	kthread_stop(reader);
	svk->reader = NULL;

	KUNIT_EXPECT_EQ(test, 0U, svk->leaks);
	KUNIT_EXPECT_GT(test, reused, 0U);
}

static struct kunit_case svadev_kernel_tables_cases[] = {
	KUNIT_CASE(svk_idle_test),
	KUNIT_CASE(svk_busy_test),
	{ }
};

static struct kunit_suite svadev_kernel_tables_suite = {
	.name = "svadev_kernel_tables",
	.init = svk_init,
	.exit = svk_exit,
	.test_cases = svadev_kernel_tables_cases,
};

kunit_test_suites(&svadev_kernel_tables_suite);

MODULE_LICENSE("GPL");
