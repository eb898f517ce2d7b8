// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of telling IOMMU drivers which kernel page tables are freed
 *
 * The drivers are operations and nothing else. Where the architecture makes the
 * call, the tables of a vmap area and those of removed memory are freed, and the
 * driver looks at them at the moment when it is told.
 */
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/iommu-kernel-tables.h>
#include <linux/kthread.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/rcupdate.h>
#include <linux/vmalloc.h>

#define ROUNDS		2000
#define MANY		64

/* Nothing is there, so it is of one memory type. Nobody accesses it either. */
#define PHYS		BIT_ULL(36)

static atomic_t calls, other_calls;

/* Looks, when the driver is told, at what is freed */
static void (*on_call)(void);

static void driver_invalidate(void)
{
	atomic_inc(&calls);
	if (on_call)
		on_call();
}

static void other_invalidate(void)
{
	atomic_inc(&other_calls);
}

static const struct iommu_ops driver = {
	.invalidate_kernel_tables = driver_invalidate,
};

static const struct iommu_ops other = {
	.invalidate_kernel_tables = other_invalidate,
};

/* Of an IOMMU that does not walk the tables of the kernel */
static const struct iommu_ops indifferent = { };

/* How often the driver was told since this was asked last */
static int told(void)
{
	return atomic_xchg(&calls, 0);
}

static int other_told(void)
{
	return atomic_xchg(&other_calls, 0);
}

static bool key_is_on(void)
{
	return static_key_enabled(&iommu_kernel_tables_key.key);
}

/* Turn the key off now if nobody needs it. */
static void flush_key(void)
{
	static_key_deferred_flush(&iommu_kernel_tables_key);
}

static void nobody_test(struct kunit *test)
{
	flush_key();
	KUNIT_EXPECT_FALSE(test, key_is_on());
	iommu_invalidate_kernel_tables();
	KUNIT_EXPECT_EQ(test, 0, told());

	/* Who need not be told does not make anybody pay for it. */
	KUNIT_EXPECT_EQ(test, 0, iommu_kernel_tables_get(&indifferent));
	KUNIT_EXPECT_FALSE(test, key_is_on());
	iommu_invalidate_kernel_tables();
	iommu_kernel_tables_put(&indifferent);
}

static void once_test(struct kunit *test)
{
	int i;

	for (i = 0; i < MANY; i++)
		KUNIT_EXPECT_EQ(test, 0, iommu_kernel_tables_get(&driver));
	KUNIT_EXPECT_TRUE(test, key_is_on());
	KUNIT_EXPECT_EQ(test, 0, told());

	iommu_invalidate_kernel_tables();
	KUNIT_EXPECT_EQ(test, 1, told());

	KUNIT_EXPECT_EQ(test, 0, iommu_kernel_tables_get(&other));
	iommu_invalidate_kernel_tables();
	KUNIT_EXPECT_EQ(test, 1, told());
	KUNIT_EXPECT_EQ(test, 1, other_told());
	iommu_kernel_tables_put(&other);

	/* Until the last one has gone, and no longer */
	for (i = 0; i < MANY; i++) {
		iommu_invalidate_kernel_tables();
		KUNIT_EXPECT_EQ(test, 1, told());
		iommu_kernel_tables_put(&driver);
	}
	iommu_invalidate_kernel_tables();
	KUNIT_EXPECT_EQ(test, 0, told());
	KUNIT_EXPECT_EQ(test, 0, other_told());
	flush_key();
	KUNIT_EXPECT_FALSE(test, key_is_on());
}

/* The key may still be on from before, or about to go off. */
static void again_test(struct kunit *test)
{
	int i;

	for (i = 0; i < 20; i++) {
		KUNIT_EXPECT_EQ(test, 0, iommu_kernel_tables_get(&driver));
		if (i % 2)
			flush_key();
		KUNIT_EXPECT_TRUE(test, key_is_on());
		iommu_invalidate_kernel_tables();
		KUNIT_EXPECT_EQ(test, 1, told());
		iommu_kernel_tables_put(&driver);
		if (i % 3)
			flush_key();
	}
	flush_key();
	KUNIT_EXPECT_FALSE(test, key_is_on());
}

static int other_binder(void *unused)
{
	while (!kthread_should_stop()) {
		if (!iommu_kernel_tables_get(&driver))
			iommu_kernel_tables_put(&driver);
		if (!iommu_kernel_tables_get(&other))
			iommu_kernel_tables_put(&other);
		cond_resched();
	}
	return 0;
}

/* Whatever others do, who has bound is told. */
static void race_test(struct kunit *test)
{
	struct task_struct *task;
	int i;

	task = kthread_run(other_binder, NULL, "kernel-tables");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	for (i = 0; i < ROUNDS; i++) {
		if (iommu_kernel_tables_get(&driver))
			break;
		told();
		iommu_invalidate_kernel_tables();
		if (told() != 1)
			break;
		iommu_kernel_tables_put(&driver);
		if (!(i % 100))
			flush_key();
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, ROUNDS, i);
	kthread_stop(task);
	other_told();
	rcu_barrier();
	flush_key();
	KUNIT_EXPECT_FALSE(test, key_is_on());
}

#ifdef CONFIG_ARCH_HAS_IOMMU_KERNEL_TABLES

static struct page *freed_table, *freed_below;
static bool found_freed, found_linked;
static unsigned long area_addr;
static unsigned int area_level_shift;

static pud_t *kernel_pud(unsigned long addr)
{
	return pud_offset(p4d_offset(pgd_offset_k(addr), addr), addr);
}

/* What the driver must find: pages that nothing leads to and nobody else has */
static void look_at_tables(void)
{
	pud_t *pud = kernel_pud(area_addr);

	if (!page_count(freed_table) ||
	    (freed_below && !page_count(freed_below)))
		found_freed = true;

	if (area_level_shift == PUD_SHIFT)
		found_linked |= !pud_none(*pud);
	else
		found_linked |= !pmd_none(*pmd_offset(pud, area_addr));
}

/*
 * Map a page, which takes tables of all levels, unmap it, which leaves them, and
 * map a huge page in their place.
 */
static void huge_over_small(struct kunit *test, unsigned int shift)
{
	unsigned long size = 1UL << shift;
	struct vm_struct *area;
	unsigned long addr;
	pud_t *pud;

	/* Twice as much, since VM_IOREMAP does not align this well. */
	area = get_vm_area(2 * size, VM_IOREMAP);
	KUNIT_ASSERT_NOT_NULL(test, area);
	addr = ALIGN((unsigned long)area->addr, size);

	KUNIT_EXPECT_EQ(test, 0, ioremap_page_range(addr, addr + PAGE_SIZE,
						    PHYS, PAGE_KERNEL));
	vunmap_range(addr, addr + PAGE_SIZE);

	pud = kernel_pud(addr);
	area_addr = addr;
	area_level_shift = shift;
	freed_below = NULL;
	freed_table = pmd_page(*pmd_offset(pud, addr));
	if (shift == PUD_SHIFT) {
		freed_below = freed_table;
		freed_table = pud_page(*pud);
	}
	found_freed = false;
	found_linked = false;
	on_call = look_at_tables;
	told();

	KUNIT_EXPECT_EQ(test, 0, ioremap_page_range(addr, addr + size, PHYS,
						    PAGE_KERNEL));
	on_call = NULL;
	KUNIT_EXPECT_EQ(test, 1, told());
	KUNIT_EXPECT_FALSE(test, found_freed);
	KUNIT_EXPECT_FALSE(test, found_linked);
	if (shift == PUD_SHIFT)
		KUNIT_EXPECT_TRUE(test, pud_large(*pud));
	else
		KUNIT_EXPECT_TRUE(test, pmd_large(*pmd_offset(pud, addr)));

	/* Where there are no tables nobody has to be told. */
	vunmap_range(addr, addr + size);
	KUNIT_EXPECT_EQ(test, 0, ioremap_page_range(addr, addr + size, PHYS,
						    PAGE_KERNEL));
	KUNIT_EXPECT_EQ(test, 0, told());
	vunmap_range(addr, addr + size);
	free_vm_area(area);
}

static void huge_pmd_test(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, 0, iommu_kernel_tables_get(&driver));
	huge_over_small(test, PMD_SHIFT);
	iommu_kernel_tables_put(&driver);
}

static void huge_pud_test(struct kunit *test)
{
	if (!arch_vmap_pud_supported(PAGE_KERNEL))
		kunit_skip(test, "the CPU has no pages of 1 GB");

	KUNIT_ASSERT_EQ(test, 0, iommu_kernel_tables_get(&driver));
	huge_over_small(test, PUD_SHIFT);
	iommu_kernel_tables_put(&driver);
}

#ifdef CONFIG_MEMORY_HOTREMOVE

/* The last time it is the table of the direct map: that goes after others. */
static void look_at_direct_map(void)
{
	found_freed |= !page_count(freed_table);
	found_linked = !pud_none(*kernel_pud(area_addr));
}

/*
 * Memory that is not there, in a part of the direct map that has nothing else:
 * it has a PMD table of its own. Nobody uses it before it is online.
 */
static void removed_memory_test(struct kunit *test)
{
	unsigned long size = memory_block_size_bytes();

	KUNIT_ASSERT_EQ(test, 0, iommu_kernel_tables_get(&driver));
	KUNIT_ASSERT_EQ(test, 0, add_memory(0, PHYS, size, MHP_NONE));

	area_addr = (unsigned long)__va(PHYS);
	freed_table = pud_page(*kernel_pud(area_addr));
	found_freed = false;
	found_linked = true;
	on_call = look_at_direct_map;
	told();

	KUNIT_EXPECT_EQ(test, 0, remove_memory(PHYS, size));
	on_call = NULL;
	KUNIT_EXPECT_GE(test, told(), 1);
	KUNIT_EXPECT_FALSE(test, found_freed);
	KUNIT_EXPECT_FALSE(test, found_linked);
	iommu_kernel_tables_put(&driver);
}

#endif /* CONFIG_MEMORY_HOTREMOVE */
#endif /* CONFIG_ARCH_HAS_IOMMU_KERNEL_TABLES */

static struct kunit_case iommu_kernel_tables_cases[] = {
	KUNIT_CASE(nobody_test),
	KUNIT_CASE(once_test),
	KUNIT_CASE(again_test),
	KUNIT_CASE(race_test),
#ifdef CONFIG_ARCH_HAS_IOMMU_KERNEL_TABLES
	KUNIT_CASE(huge_pmd_test),
	KUNIT_CASE(huge_pud_test),
#ifdef CONFIG_MEMORY_HOTREMOVE
	KUNIT_CASE(removed_memory_test),
#endif
#endif
	{ }
};

static struct kunit_suite iommu_kernel_tables_suite = {
	.name		= "iommu_kernel_tables",
	.test_cases	= iommu_kernel_tables_cases,
};

kunit_test_suites(&iommu_kernel_tables_suite);

MODULE_LICENSE("GPL");
