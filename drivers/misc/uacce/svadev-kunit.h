/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What KUnit tests of the IOMMU with DMA of svadev have in common: the fixture,
 * queues, domains and processes of a case, and operations of the device.
 *
 * After each case the IOMMU must not have used a stale cache entry, lost an event,
 * or hold a stalled access. Whenever a case unmaps or detaches, and at its end, no
 * cache may have an entry that differs from memory.
 */
#ifndef _SVADEV_KUNIT_H
#define _SVADEV_KUNIT_H

#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pci.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/svadev.h>
#include <linux/uaccess.h>

#include <uapi/misc/uacce/svadev.h>

#define SVT_TIMEOUT_MS		10000

/* Somewhere low in the address space: the DMA API allocates from the top */
#define SVT_IOVA		SZ_16M

#define SVT_HAMMER_NS		1000

/* Many page requests at a time */
#define SVT_FAULTING_QUEUES	4
#define SVT_FAULTING_ROUNDS	128

/* As after a reset of the device */
#define SVT_RETRIES		64

/* Counters that must not move, whatever a case does */
#ifdef CONFIG_X86
#define SVT_NOW			"vtd.prq.now"
#define SVT_WAITS		"vtd.cmd.wait"

static const char * const svt_forbidden[] = {
	"vtd.stale.tlb", "vtd.stale.cfg", "vtd.stale.psc", "vtd.late.tlb",
	"vtd.late.cfg", "svadev0.stale.atc", "svadev0.late.atc",
	"svadev0.pri.unexpected", "svadev0.cfg.order",
	"svadev1.stale.atc", "svadev1.late.atc",
	"svadev1.pri.unexpected", "svadev1.cfg.order",
	"vtd.cmd.bad",
	"vtd.resp.unknown", "vtd.resp.unfenced",
	"vtd.resp.auto", "vtd.prq.overflow",
	"vtd.prq.late",
	"vtd.evt.root_p", "vtd.evt.ctx_p", "vtd.evt.ctx_rsvd",
	"vtd.evt.ctx_dte", "vtd.evt.ctx_paside", "vtd.evt.pasid_bound",
	"vtd.evt.ctx_pre", "vtd.evt.pasid_rsvd", "vtd.evt.pasid_inv",
	"vtd.evt.fs_access", "vtd.evt.fs_rsvd", "vtd.evt.fs_root",
	"vtd.evt.ss_access", "vtd.evt.ss_rsvd", "vtd.evt.fs_ad",
	/* A TLB that was emptied hides what was not invalidated */
	"vtd.tlb.full",
	/* Nothing is fetched between stores that are not seen */
	"vtd.watch.full",
};
#else
#define SVT_NOW			"smmu.stall.now"
#define SVT_WAITS		"smmu.cmd.sync"

static const char * const svt_forbidden[] = {
	"smmu.stale.tlb", "smmu.stale.cfg", "smmu.late.tlb", "smmu.late.cfg",
	"svadev0.stale.atc", "svadev0.late.atc", "svadev0.cfg.order",
	"svadev1.stale.atc", "svadev1.late.atc", "svadev1.cfg.order",
	"smmu.evt.lost",
	"smmu.cmd.bad",
	"smmu.resume.unknown", "smmu.evt.c_bad_streamid", "smmu.evt.f_ste_fetch",
	"smmu.evt.c_bad_ste", "smmu.evt.f_stream_dis", "smmu.evt.f_cd_fetch",
	"smmu.evt.f_walk_eabt", "smmu.evt.f_addr_size",
	/* Caches that were emptied hide what was not invalidated */
	"smmu.tlb.full", "smmu.cfg.full",
};
#endif

struct svt_buffer {
	u8 *cpu;
	dma_addr_t dma;
};

struct svt_attachment {
	struct iommu_domain *domain;
	struct device *dev;
	ioasid_t pasid;
};

/**
 * struct svt - a running case and what is to be undone at its end
 * @pdev: the functions of the machine, as many as are needed
 * @queue: queues taken
 * @nr_queues: number of @queue
 * @buffer: coherent buffers of one page, of the first function
 * @nr_buffers: number of @buffer
 * @page: pages for paging domains to map
 * @nr_pages: number of @page
 * @domain: paging domains
 * @nr_domains: number of @domain
 * @attached: what is attached
 * @nr_attached: number of @attached
 * @partner: a thread that takes part, see svt_stop_at_exit()
 * @rid_ats: requests without a PASID use ATS too, where the device can
 * @unused: the case has given up the first function's use of its default domain
 * @before: forbidden counters when the case began
 */
struct svt {
	struct pci_dev *pdev[2];
	struct svadev_queue *queue[8];
	unsigned int nr_queues;
	struct svt_buffer buffer[4];
	unsigned int nr_buffers;
	u8 *page[4];
	unsigned int nr_pages;
	struct iommu_domain *domain[4];
	unsigned int nr_domains;
	struct svt_attachment attached[8];
	unsigned int nr_attached;
	struct task_struct *partner;
	bool rid_ats;
	bool unused;
	u64 before[ARRAY_SIZE(svt_forbidden)];
};

/* U64_MAX if the machine has no such counter */
static inline u64 svt_counter(struct svt *svt, const char *name)
{
	struct svadev_queue *q = svadev_queue_get(svt->pdev[0]);
	u64 val = U64_MAX;

	if (IS_ERR(q))
		return val;
	svadev_read_counter(q, name, &val);
	svadev_queue_put(q);
	return val;
}

/* A counter of the second function, which the machine does not have */
static inline bool svt_no_function(struct svt *svt, const char *name)
{
	return !svt->pdev[1] && strstarts(name, "svadev1.");
}

/*
 * No cache may have an entry that differs from memory. A detach removes all that
 * have its tags: what an invalidation has missed is seen only before that.
 */
static inline void svt_audit(struct kunit *test, const char *when)
{
	struct svt *svt = test->priv;
	struct svadev_queue *q = svadev_queue_get(svt->pdev[0]);
	u64 left = U64_MAX;

	if (!IS_ERR(q)) {
		left = svadev_audit(q);
		svadev_queue_put(q);
	}
	KUNIT_EXPECT_EQ_MSG(test, left, 0,
			    "audit %s: cache entries differ from memory", when);
}

/*
 * Fault records that software has not read: the interrupt may still be served.
 * Without room for others faults are lost.
 */
static inline void svt_expect_records_read(struct kunit *test)
{
#ifdef CONFIG_X86
	struct svt *svt = test->priv;
	unsigned int i;

	for (i = 0; i < 1000 && svt_counter(svt, "vtd.frcd.pending"); i++)
		usleep_range(1000, 2000);
	KUNIT_EXPECT_EQ_MSG(test, svt_counter(svt, "vtd.frcd.pending"), 0,
			    "fault records are not read");
#endif
}

static inline int svt_init(struct kunit *test)
{
	struct pci_dev *pdev = NULL;
	unsigned int i, n = 0;
	struct svt *svt;

	svt = kunit_kzalloc(test, sizeof(*svt), GFP_KERNEL);
	if (!svt)
		return -ENOMEM;

	while (n < ARRAY_SIZE(svt->pdev)) {
		pdev = pci_get_device(SVADEV_PCI_VENDOR, SVADEV_PCI_DEVICE,
				      pdev);
		if (!pdev)
			break;
		svt->pdev[n++] = pci_dev_get(pdev);
	}
	pci_dev_put(pdev);
	if (!n)
		kunit_skip(test, "no svadev in this machine");

	/* The order in configuration space is that of probe, before any case */
	for (i = 0; i < ARRAY_SIZE(svt_forbidden); i++)
		if (!strstr(svt_forbidden[i], ".cfg.order"))
			svt->before[i] = svt_counter(svt, svt_forbidden[i]);
	test->priv = svt;
	return 0;
}

/*
 * A thread that stops at the latest where the case ends, at whatever assertion.
 * What it uses has to last until then, so that it is not on the stack.
 */
static inline void svt_stop_at_exit(struct kunit *test, struct task_struct *task)
{
	struct svt *svt = test->priv;

	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	svt->partner = task;
}

static inline void svt_partner_stop(struct svt *svt)
{
	if (!svt->partner)
		return;
	kthread_stop(svt->partner);
	svt->partner = NULL;
}

/* A case that has failed may have left the RID in one of its domains */
static inline void svt_restore_rids(struct svt *svt)
{
	unsigned int i, n;

	for (n = 0; n < ARRAY_SIZE(svt->pdev) && svt->pdev[n]; n++) {
		struct device *dev = &svt->pdev[n]->dev;

		for (i = 0; i < svt->nr_domains; i++)
			if (iommu_get_domain_for_dev(dev) == svt->domain[i])
				iommu_detach_device(svt->domain[i], dev);
	}
}

/*
 * As for a driver that manages DMA itself: others may claim the group until
 * svt_use_default_domain(), which svt_exit() calls if the case did not. The core has
 * these calls for bus types only, which are built in.
 */
static inline void svt_unuse_default_domain(struct kunit *test)
{
#ifndef MODULE
	struct svt *svt = test->priv;

	iommu_device_unuse_default_domain(&svt->pdev[0]->dev);
	svt->unused = true;
#endif
}

static inline void svt_use_default_domain(struct kunit *test)
{
#ifndef MODULE
	struct svt *svt = test->priv;

	if (!svt->unused)
		return;
	svt->unused = false;
	KUNIT_EXPECT_EQ(test, 0,
			iommu_device_use_default_domain(&svt->pdev[0]->dev));
#endif
}

static inline void svt_exit(struct kunit *test)
{
	struct svt *svt = test->priv;
	unsigned int i;

	if (!svt)
		return;

	svt_partner_stop(svt);
	svt_audit(test, "before detach");
	for (i = 0; i < svt->nr_queues; i++)
		svadev_queue_put(svt->queue[i]);
	/* What was replaced is not in @attached, and a case may end anywhere */
	for (i = 0; i < ARRAY_SIZE(svt->pdev) && svt->pdev[i]; i++)
		iommu_detach_device_all_pasids(&svt->pdev[i]->dev);
	svt_restore_rids(svt);
	svt_use_default_domain(test);
	for (i = 0; i < svt->nr_domains; i++)
		iommu_domain_free(svt->domain[i]);
	for (i = 0; i < svt->nr_pages; i++)
		free_page((unsigned long)svt->page[i]);
	for (i = 0; i < svt->nr_buffers; i++)
		dma_free_coherent(&svt->pdev[0]->dev, PAGE_SIZE,
				  svt->buffer[i].cpu, svt->buffer[i].dma);

	for (i = 0; i < ARRAY_SIZE(svt_forbidden); i++) {
		if (svt_no_function(svt, svt_forbidden[i]))
			continue;
		KUNIT_EXPECT_EQ_MSG(test, svt->before[i],
				    svt_counter(svt, svt_forbidden[i]),
				    "counter %s", svt_forbidden[i]);
		/* Without it nothing was checked */
		KUNIT_EXPECT_NE_MSG(test, svt->before[i], U64_MAX,
				    "there is no counter %s", svt_forbidden[i]);
	}
	KUNIT_EXPECT_EQ(test, svt_counter(svt, SVT_NOW), 0);
	svt_expect_records_read(test);
	svt_audit(test, "after detach");

	for (i = 0; i < ARRAY_SIZE(svt->pdev); i++)
		pci_dev_put(svt->pdev[i]);
}

/* What a case needs */

static inline struct svadev_queue *svt_queue_stopped(struct kunit *test,
						     unsigned int fn)
{
	struct svt *svt = test->priv;
	struct svadev_queue *q;

	KUNIT_ASSERT_LT(test, svt->nr_queues, ARRAY_SIZE(svt->queue));
	q = svadev_queue_get(svt->pdev[fn]);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(q), "no queue: %pe", q);
	svt->queue[svt->nr_queues++] = q;
	return q;
}

static inline struct svadev_queue *svt_queue_ats(struct kunit *test, unsigned int fn,
						 u32 pasid, bool ats)
{
	struct svadev_queue *q = svt_queue_stopped(test, fn);

	KUNIT_ASSERT_EQ(test, svadev_queue_enable(q, pasid, ats), 0);
	return q;
}

static inline struct svadev_queue *svt_queue(struct kunit *test, unsigned int fn,
					     u32 pasid)
{
	struct svt *svt = test->priv;

	return svt_queue_ats(test, fn, pasid,
			     pasid != SVADEV_NO_PASID || svt->rid_ats);
}

static inline struct svt_buffer svt_buffer(struct kunit *test)
{
	struct svt *svt = test->priv;
	struct svt_buffer buf;

	KUNIT_ASSERT_LT(test, svt->nr_buffers, ARRAY_SIZE(svt->buffer));
	buf.cpu = dma_alloc_coherent(&svt->pdev[0]->dev, PAGE_SIZE, &buf.dma,
				     GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf.cpu);
	svt->buffer[svt->nr_buffers++] = buf;
	return buf;
}

static inline u8 *svt_page(struct kunit *test)
{
	struct svt *svt = test->priv;
	u8 *page;

	KUNIT_ASSERT_LT(test, svt->nr_pages, ARRAY_SIZE(svt->page));
	page = (u8 *)get_zeroed_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, page);
	svt->page[svt->nr_pages++] = page;
	return page;
}

/* Of the largest PASIDs there are: the one thing they share is the edge */
static inline ioasid_t svt_pasid(struct kunit *test, unsigned int n)
{
	struct svt *svt = test->priv;
	u32 max = U32_MAX;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(svt->pdev) && svt->pdev[i]; i++) {
		struct dev_iommu *iommu = svt->pdev[i]->dev.iommu;

		max = min(max, iommu ? iommu->max_pasids : 0);
	}
	if (!max)
		kunit_skip(test, "the IOMMU attaches no domain to a PASID");
	KUNIT_ASSERT_GT(test, max, n + 1);
	return max - 1 - n;
}

static inline void svt_need_two_functions(struct kunit *test)
{
	struct svt *svt = test->priv;

	if (!svt->pdev[1])
		kunit_skip(test, "needs two svadev functions");
}

static inline struct iommu_domain *svt_domain(struct kunit *test)
{
	struct svt *svt = test->priv;
	struct iommu_domain *domain;

	KUNIT_ASSERT_LT(test, svt->nr_domains, ARRAY_SIZE(svt->domain));
	domain = iommu_domain_alloc(&pci_bus_type);
	KUNIT_ASSERT_NOT_NULL(test, domain);
	svt->domain[svt->nr_domains++] = domain;
	return domain;
}

static inline void svt_attach(struct kunit *test, struct iommu_domain *domain,
			      unsigned int fn, ioasid_t pasid)
{
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[fn]->dev;

	KUNIT_ASSERT_LT(test, svt->nr_attached, ARRAY_SIZE(svt->attached));
	KUNIT_ASSERT_EQ(test, iommu_attach_device_pasid(domain, dev, pasid), 0);
	svt->attached[svt->nr_attached++] = (struct svt_attachment){
		.domain = domain, .dev = dev, .pasid = pasid,
	};
}

/* Without an audit, which takes time: for races with what the device does */
static inline void svt_detach_now(struct kunit *test, struct iommu_domain *domain,
				  unsigned int fn, ioasid_t pasid)
{
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[fn]->dev;
	unsigned int i;

	for (i = 0; i < svt->nr_attached; i++) {
		struct svt_attachment *a = &svt->attached[i];

		if (a->domain != domain || a->dev != dev || a->pasid != pasid)
			continue;
		iommu_detach_device_pasid(domain, dev, pasid);
		*a = svt->attached[--svt->nr_attached];
		return;
	}
	KUNIT_FAIL(test, "PASID %u was not attached", pasid);
}

static inline void svt_detach(struct kunit *test, struct iommu_domain *domain,
			      unsigned int fn, ioasid_t pasid)
{
	svt_audit(test, "before detach");
	svt_detach_now(test, domain, fn, pasid);
}

/* Pass-through, as the core makes it: that has no call for others */
static inline struct iommu_domain *svt_identity(struct kunit *test)
{
	const struct iommu_ops *ops = pci_bus_type.iommu_ops;
	struct svt *svt = test->priv;
	struct iommu_domain *domain;

	KUNIT_ASSERT_LT(test, svt->nr_domains, ARRAY_SIZE(svt->domain));
	domain = ops->domain_alloc(IOMMU_DOMAIN_IDENTITY);
	KUNIT_ASSERT_NOT_NULL(test, domain);
	if (!domain->ops)
		domain->ops = ops->default_domain_ops;
	domain->type = IOMMU_DOMAIN_IDENTITY;
	domain->owner = ops;
	svt->domain[svt->nr_domains++] = domain;
	return domain;
}

static inline void svt_map(struct kunit *test, struct iommu_domain *domain, u64 iova,
			   void *page, int prot)
{
	KUNIT_ASSERT_EQ(test, iommu_map(domain, iova, virt_to_phys(page),
					PAGE_SIZE, prot | IOMMU_CACHE), 0);
}

/* Not from the DMA API, so never lazily: nothing of it may be cached after this */
static inline void svt_unmap(struct kunit *test, struct iommu_domain *domain, u64 iova)
{
	KUNIT_ASSERT_EQ(test, iommu_unmap(domain, iova, PAGE_SIZE), PAGE_SIZE);
	svt_audit(test, "after unmap");
}

/*
 * Operations. Each returns what svadev_queue_run() returns. Where the interrupt of
 * the device is translated as well, it arrives only below the DMA API's domain:
 * look at the status besides.
 */

static inline int svt_wait(struct svadev_queue *q, struct svadev_op *op)
{
	unsigned long end = jiffies + msecs_to_jiffies(SVT_TIMEOUT_MS);
	bool late;
	int ret;

	do {
		late = time_after(jiffies, end);
		ret = svadev_queue_wait(q, op, 1);
	} while (ret == -ETIMEDOUT && !late);
	return ret;
}

static inline int svt_run(struct svadev_queue *q, struct svadev_op *op)
{
	int ret = svadev_queue_submit(q, op);

	return ret ? ret : svt_wait(q, op);
}

static inline int svt_fill(struct svadev_queue *q, u64 dst, u8 byte, u64 len)
{
	struct svadev_op op = {
		.op = SVADEV_OP_FILL, .dst = dst, .value = byte, .len = len,
	};

	return svt_run(q, &op);
}

static inline int svt_copy(struct svadev_queue *q, u64 dst, u64 src, u64 len)
{
	struct svadev_op op = {
		.op = SVADEV_OP_COPY, .dst = dst, .src = src, .len = len,
	};

	return svt_run(q, &op);
}

static inline int svt_sum(struct svadev_queue *q, u64 src, u64 len, u64 *sum)
{
	struct svadev_op op = {
		.op = SVADEV_OP_READ, .src = src, .len = len,
	};
	int ret = svt_run(q, &op);

	*sum = op.result;
	return ret;
}

static inline bool svt_bytes_are(const void *p, u8 byte)
{
	return !memchr_inv(p, byte, PAGE_SIZE);
}

/* A queue adds 1 to the word at @dst until svadev_queue_end_hammer() */
static inline void svt_hammer(struct kunit *test, struct svadev_queue *q, u64 dst)
{
	struct svadev_op op = {
		.op = SVADEV_OP_FETCH_ADD, .dst = dst, .value = 1, .len = 8,
		.hammer_ns = SVT_HAMMER_NS,
	};

	KUNIT_ASSERT_EQ(test, svadev_queue_submit(q, &op), 0);
}

/* Whether the word still changes, given more time than any hammer needs */
static inline bool svt_changes(void *word)
{
	u64 seen = READ_ONCE(*(u64 *)word);
	unsigned int i;

	for (i = 0; i < 1000; i++) {
		usleep_range(100, 200);
		if (READ_ONCE(*(u64 *)word) != seen)
			return true;
	}
	return false;
}

/* Not one addition failed, and not one is missing from the word */
static inline void svt_expect_hammered(struct kunit *test, struct svadev_queue *q,
				       void *word)
{
	struct svadev_op op = {};

	svadev_queue_end_hammer(q);
	KUNIT_EXPECT_EQ(test, svt_wait(q, &op), 0);
	KUNIT_EXPECT_GT(test, op.rounds, 0);
	KUNIT_EXPECT_EQ(test, op.rounds, READ_ONCE(*(u64 *)word));
}

/*
 * Until an invalidation has ended, a device that is busy may use what is being
 * invalidated, and such hits are counted as stale like those on an entry that
 * was forgotten. A case that takes a translation from a busy device calls this
 * when that has returned, and goes on to use the device, which must not find
 * anything old.
 */
static inline void svt_allow(struct kunit *test, const char *counters)
{
	struct svt *svt = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(svt_forbidden); i++)
		if (strstr(svt_forbidden[i], counters))
			svt->before[i] = svt_counter(svt, svt_forbidden[i]);
}

static inline void svt_invalidation_is_over(struct kunit *test)
{
	svt_allow(test, ".stale.");
}

/* A page is unmapped while the device adds to it: what it holds then is final */
static inline void svt_unmap_busy(struct kunit *test, struct iommu_domain *domain,
				  struct svadev_queue *q, u64 iova)
{
	u8 *page = svt_page(test);
	struct svadev_op op = {};
	unsigned int i;

	for (i = 0; i < 30; i++) {
		svt_map(test, domain, iova, page, IOMMU_READ | IOMMU_WRITE);
		svt_hammer(test, q, iova);
		KUNIT_ASSERT_TRUE(test, svt_changes(page));

		KUNIT_ASSERT_EQ(test, iommu_unmap(domain, iova, PAGE_SIZE),
				PAGE_SIZE);
		memset(page, 0, PAGE_SIZE);
		svt_invalidation_is_over(test);
		svt_audit(test, "after unmap");
		KUNIT_ASSERT_EQ(test,
				svt_wait(q, &op),
				-EFAULT);
		KUNIT_ASSERT_TRUE(test, svt_bytes_are(page, 0));
	}
}

/* Domains that have a page at SVT_IOVA */

/**
 * struct svt_target - a domain that has a page at SVT_IOVA
 * @domain: the domain
 * @mm: the address space, if it is an SVA domain
 * @page: if not, pages that are mapped in turn
 * @mapped: the one that is, or NULL
 * @added: what was added to the words of pages that are no longer mapped
 */
struct svt_target {
	struct iommu_domain *domain;
	struct mm_struct *mm;
	u8 *page[2];
	u8 *mapped;
	u64 added;
};

/* The word that the device adds to */
static inline u64 svt_target_read(struct svt_target *t)
{
	u64 val = 0;

	if (!t->mm)
		return READ_ONCE(*(u64 *)t->mapped);

	kthread_use_mm(t->mm);
	if (get_user(val, (u64 __user *)SVT_IOVA))
		val = 0;
	kthread_unuse_mm(t->mm);
	return val;
}

/* Have the target of a PASID that is not attached anywhere get a new page */
static inline void svt_target_renew(struct kunit *test, struct svt_target *t)
{
	unsigned long addr;

	if (t->mm) {
		t->added += svt_target_read(t);
		kthread_use_mm(t->mm);
		addr = vm_mmap(NULL, SVT_IOVA, PAGE_SIZE,
			       PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0);
		kthread_unuse_mm(t->mm);
		KUNIT_ASSERT_EQ(test, addr, (unsigned long)SVT_IOVA);
		return;
	}

	if (t->mapped) {
		KUNIT_ASSERT_EQ(test, PAGE_SIZE,
				iommu_unmap(t->domain, SVT_IOVA, PAGE_SIZE));
		t->added += svt_target_read(t);
	}
	t->mapped = t->page[t->mapped == t->page[0]];
	memset(t->mapped, 0, PAGE_SIZE);
	svt_map(test, t->domain, SVT_IOVA, t->mapped, IOMMU_READ | IOMMU_WRITE);
}

/* One that can be mapped into: drivers may decide at the first attach how */
static inline struct iommu_domain *svt_ready_domain(struct kunit *test)
{
	struct iommu_domain *domain = svt_domain(test);
	ioasid_t pasid = svt_pasid(test, 1);

	svt_attach(test, domain, 0, pasid);
	svt_detach(test, domain, 0, pasid);
	return domain;
}

static inline int svt_replace(struct svt *svt, struct iommu_domain *domain, u32 pasid)
{
	struct device *dev = &svt->pdev[0]->dev;
	struct iommu_group *group;
	int ret;

	if (pasid != SVADEV_NO_PASID)
		return iommu_replace_device_pasid(domain, dev, pasid);

	group = iommu_group_get(dev);
	ret = iommu_group_replace_domain(group, domain);
	iommu_group_put(group);
	return ret;
}

/* A process that has a page at SVT_IOVA, and its domain for a function */
static inline void svt_target_process(struct kunit *test, struct svt_target *t,
				      unsigned int fn)
{
	struct rlimit stack = { .rlim_cur = SZ_8M, .rlim_max = SZ_8M };
	struct svt *svt = test->priv;
	unsigned long addr;
	int bad;

	*t = (struct svt_target){ .mm = mm_alloc() };
	KUNIT_ASSERT_NOT_NULL(test, t->mm);
	t->mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(t->mm, &stack);
	t->domain = iommu_sva_domain_get(&svt->pdev[fn]->dev, t->mm);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(t->domain), "%pe", t->domain);

	kthread_use_mm(t->mm);
	addr = vm_mmap(NULL, SVT_IOVA, PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0);
	bad = put_user(0ULL, (u64 __user *)SVT_IOVA);
	kthread_unuse_mm(t->mm);
	KUNIT_ASSERT_EQ(test, addr, (unsigned long)SVT_IOVA);
	KUNIT_ASSERT_EQ(test, 0, bad);
}

static inline void svt_target_process_put(struct svt_target *t)
{
	iommu_sva_domain_put(t->domain);
	mmput(t->mm);
}

#endif
