// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of races of detach, exit and replacement on VT-d, with DMA of svadev
 *
 * A device goes on while the unit takes its time: the cases look at the moments
 * between two stores to a PASID table, and between an invalidation and its
 * completion.
 */
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/sched/coredump.h>

#include "svadev-kunit.h"

#define SVT_RACES		100

/* Faults of page tables, none of which a detached or replaced domain may cause */
static u64 svt_walk_faults(struct svt *svt)
{
	return svt_counter(svt, "vtd.evt.fs_p") +
	       svt_counter(svt, "vtd.evt.fs_us") +
	       svt_counter(svt, "vtd.evt.fs_write");
}

/* And faults of entries that are not present */
static u64 svt_recorded_faults(struct svt *svt)
{
	return svt_walk_faults(svt) + svt_counter(svt, "vtd.evt.pasid_p") +
	       svt_counter(svt, "vtd.evt.pasid_dir_p");
}

/*
 * A device goes on while a process is detached. It finds the page, or an entry that
 * is not present: a fault of the page tables means that it has walked by an entry
 * that was half cleared. Without ATS each DMA can show that.
 */
static void svt_detach_hammered(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 0);
	struct svadev_queue *q = svt_queue_ats(test, 0, pasid, false);
	struct svt *svt = test->priv;
	u64 faults = svt_walk_faults(svt), begin;
	struct svadev_op op = {};
	struct svt_target t;
	unsigned int i, j;

	svt_target_process(test, &t, 0);
	for (i = 0; i < SVT_RACES; i++) {
		svt_attach(test, t.domain, 0, pasid);
		begin = svt_target_read(&t);
		svt_hammer(test, q, SVT_IOVA);
		for (j = 0; j < 10000 && svt_target_read(&t) == begin; j++)
			usleep_range(1, 10);
		svt_detach(test, t.domain, 0, pasid);
		svt_invalidation_is_over(test);
		KUNIT_ASSERT_EQ(test, -EFAULT,
				svadev_queue_wait(q, &op, SVT_TIMEOUT_MS));
		KUNIT_ASSERT_GT(test, op.rounds, 0);
	}
	KUNIT_EXPECT_EQ_MSG(test, faults, svt_walk_faults(svt),
			    "the device has walked by half an entry");
	svt_target_process_put(&t);
}

/*
 * Without ATS it is the IOTLB's invalidation alone that waits for DMA in flight;
 * a domain of this type has second-stage tables where there are such.
 */
static void svt_unmap_untranslated(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 0);
	struct iommu_domain *domain = svt_domain(test);

	svt_attach(test, domain, 0, pasid);
	svt_unmap_busy(test, domain, svt_queue_ats(test, 0, pasid, false),
		       SVT_IOVA);
}

/* As above. Where there is ATS, most DMA is over when the device has answered. */
static void svt_detach_untranslated(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 0);
	struct iommu_domain *domain = svt_domain(test);
	struct svadev_queue *q[SVT_FAULTING_QUEUES];
	u8 *page = svt_page(test);
	struct svadev_op op = {};
	unsigned int i, j, late = 0;

	for (j = 0; j < ARRAY_SIZE(q); j++)
		q[j] = svt_queue_ats(test, 0, pasid, false);
	for (i = 0; i < 8 * SVT_RACES && !late; i++) {
		svt_attach(test, domain, 0, pasid);
		if (!i)
			svt_map(test, domain, SVT_IOVA, page,
				IOMMU_READ | IOMMU_WRITE);
		for (j = 0; j < ARRAY_SIZE(q); j++)
			svt_hammer(test, q[j], SVT_IOVA + 8 * j);
		KUNIT_ASSERT_TRUE(test, svt_changes(page));
		svt_detach(test, domain, 0, pasid);
		memset(page, 0, PAGE_SIZE);
		svt_invalidation_is_over(test);
		for (j = 0; j < ARRAY_SIZE(q); j++)
			KUNIT_ASSERT_EQ(test, -EFAULT,
					svadev_queue_wait(q[j], &op,
							  SVT_TIMEOUT_MS));
		usleep_range(100, 200);
		late += !svt_bytes_are(page, 0);
		/*
		 * Where there is PRI, a drain of page requests has invalidated the
		 * IOTLB once more.
		 */
		svt_audit(test, "after a detach");
	}
	KUNIT_EXPECT_EQ_MSG(test, 0, late,
			    "the device writes to a page of what is detached");
}

#define SVT_PENDING		16

/*
 * Two functions fault at the same time, and both faults are recorded before the
 * interrupt of the first one is served: svt_exit() looks for records that remain.
 */
static void svt_faults_of_two_functions(struct kunit *test)
{
	struct svadev_op op = {
		.op = SVADEV_OP_FILL, .dst = SVT_IOVA + PAGE_SIZE, .len = 8,
	};
	struct svt *svt = test->priv;
	struct svadev_queue *q[2];
	struct svt_target t[2];
	u64 faults, several, both = 0;
	unsigned int i, j;

	svt_need_two_functions(test);
	for (j = 0; j < ARRAY_SIZE(q); j++) {
		svt_target_process(test, &t[j], j);
		svt_attach(test, t[j].domain, j, svt_pasid(test, j));
		q[j] = svt_queue_ats(test, j, svt_pasid(test, j), false);
	}
	faults = svt_walk_faults(svt);
	several = svt_counter(svt, "vtd.frcd.several");
	KUNIT_ASSERT_NE(test, several, U64_MAX);
	/* And longer, until both were pending in enough of the rounds */
	for (i = 0; i < 4 * SVT_RACES &&
	     (i < SVT_RACES || both < SVT_PENDING); i++) {
		for (j = 0; j < ARRAY_SIZE(q); j++)
			KUNIT_ASSERT_EQ(test, 0, svadev_queue_submit(q[j], &op));
		for (j = 0; j < ARRAY_SIZE(q); j++) {
			struct svadev_op done = {};

			KUNIT_ASSERT_EQ(test, -EFAULT, svt_wait(q[j], &done));
		}
		both = svt_counter(svt, "vtd.frcd.several");
		KUNIT_ASSERT_NE(test, both, U64_MAX);
		both -= several;
	}
	KUNIT_EXPECT_EQ(test, faults + 2 * i, svt_walk_faults(svt));
	KUNIT_EXPECT_GE_MSG(test, both, SVT_PENDING,
			    "of %u rounds, in which records of both are pending",
			    i);
	for (j = 0; j < ARRAY_SIZE(q); j++) {
		svt_detach(test, t[j].domain, j, svt_pasid(test, j));
		svt_target_process_put(&t[j]);
	}
}

#define SVT_PAGES		4

/*
 * Pages of a process take the place of others: what the device writes is in them.
 * Their page table has another page, too, and stays.
 */
static void svt_process_pages(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 0);
	struct svadev_queue *q = svt_queue(test, 0, pasid);
	const u64 base = SVT_IOVA + SZ_1M, size = SVT_PAGES * PAGE_SIZE;
	unsigned int i, j, wrong = 0;
	struct svt_target t;
	unsigned long addr;
	u64 val;

	svt_target_process(test, &t, 0);
	svt_attach(test, t.domain, 0, pasid);
	KUNIT_EXPECT_EQ(test, 0, svadev_queue_serve(q, t.mm));
	for (i = 1; i <= SVT_RACES; i++) {
		kthread_use_mm(t.mm);
		addr = vm_mmap(NULL, base, size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0);
		for (j = 0; j < SVT_PAGES; j++)
			wrong += !!put_user(0ULL, (u64 __user *)(base +
								 j * PAGE_SIZE));
		kthread_unuse_mm(t.mm);
		KUNIT_ASSERT_EQ(test, addr, (unsigned long)base);

		KUNIT_ASSERT_EQ(test, 0, svt_fill(q, base, i, size));
		kthread_use_mm(t.mm);
		for (j = 0; j < SVT_PAGES; j++)
			wrong += get_user(val, (u64 __user *)(base +
							      j * PAGE_SIZE)) ||
				 val != i * 0x0101010101010101ULL;
		kthread_unuse_mm(t.mm);
	}
	KUNIT_EXPECT_EQ_MSG(test, 0, wrong,
			    "the device writes to pages that were unmapped");
	svt_detach(test, t.domain, 0, pasid);
	svt_target_process_put(&t);
}

/* A function that was detached is pulled: an unmap does not ask it. */
static void svt_detach_pulled(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 0), other = svt_pasid(test, 1);
	struct iommu_domain *domain = svt_domain(test);
	struct svt *svt = test->priv;
	u8 *page = svt_page(test);
	struct svadev_queue *q;
	struct pci_dev *pdev;
	u64 timeouts;

	svt_need_two_functions(test);
	pdev = svt->pdev[1];
	svt_attach(test, domain, 0, pasid);
	svt_attach(test, domain, 1, other);
	svt_map(test, domain, SVT_IOVA, page, IOMMU_READ | IOMMU_WRITE);

	q = svadev_queue_get(pdev);
	KUNIT_ASSERT_FALSE(test, IS_ERR(q));
	KUNIT_EXPECT_EQ(test, 0, svadev_queue_enable(q, other, true));
	KUNIT_EXPECT_EQ(test, 0, svt_fill(q, SVT_IOVA, 1, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, svadev_queue_disable(q));
	svadev_queue_put(q);
	svt_detach(test, domain, 1, other);

	q = svt_queue(test, 0, pasid);
	KUNIT_EXPECT_EQ(test, 0, svt_fill(q, SVT_IOVA, 2, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, pci_save_state(pdev));
	timeouts = svt_counter(svt, "vtd.dev_tlb.timeout");
	svadev_plug(q, pdev, false);
	KUNIT_EXPECT_EQ(test, PAGE_SIZE,
			iommu_unmap(domain, SVT_IOVA, PAGE_SIZE));
	svadev_plug(q, pdev, true);
	pci_restore_state(pdev);
	KUNIT_EXPECT_EQ_MSG(test, timeouts,
			    svt_counter(svt, "vtd.dev_tlb.timeout"),
			    "a device that was detached is waited for");
	KUNIT_EXPECT_EQ(test, -EFAULT, svt_fill(q, SVT_IOVA, 3, 1));
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(page, 2));
}

/**
 * struct svt_partner - a thread on another CPU that does one thing per round
 * @act: the thing
 * @svt: the case
 * @domain: the domains it is about
 * @pasid: the PASID it is about
 * @page: the page at SVT_IOVA of the first one
 * @failed: how often it has failed
 * @go: number of the round that has begun
 * @done: number of the round that has ended
 */
struct svt_partner {
	void (*act)(struct svt_partner *p);
	struct svt *svt;
	struct iommu_domain *domain[2];
	u32 pasid;
	u8 *page;
	unsigned int failed;
	unsigned int go;
	unsigned int done;
};

static int svt_partner_run(void *data)
{
	struct svt_partner *p = data;

	while (!kthread_should_stop()) {
		/* Pairs with svt_partner_go() */
		if (smp_load_acquire(&p->go) == p->done) {
			cond_resched();
			continue;
		}
		p->act(p);
		/* Pairs with svt_partner_wait() */
		smp_store_release(&p->done, p->go);
	}
	return 0;
}

static void svt_partner_start(struct kunit *test, struct svt_partner *p)
{
	unsigned int cpu = cpumask_last(cpu_online_mask);
	struct svt *svt = test->priv;

	svt_stop_at_exit(test, kthread_create_on_cpu(svt_partner_run, p, cpu,
						     "svt-%u"));
	/* The other CPU is for this thread, which ends with the case */
	set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));
	wake_up_process(svt->partner);
}

static struct svt_partner *svt_partner_new(struct kunit *test)
{
	struct svt_partner *p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	p->svt = test->priv;
	return p;
}

static void svt_partner_go(struct svt_partner *p, unsigned int round)
{
	/* Pairs with svt_partner_run() */
	smp_store_release(&p->go, round);
}

static void svt_partner_wait(struct svt_partner *p)
{
	/* Pairs with svt_partner_run() */
	while (smp_load_acquire(&p->done) != p->go)
		cond_resched();
}

static void svt_act_unmap(struct svt_partner *p)
{
	udelay(p->go % 64 * 4);
	iommu_unmap(p->domain[0], SVT_IOVA, PAGE_SIZE);
	/* It is the CPU's again */
	WRITE_ONCE(*(u64 *)p->page, 0);
}

/*
 * Until a replacement is complete the device may use the old domain, so what is
 * unmapped from that is invalidated for the device.
 */
static void svt_replace_unmapped(struct kunit *test, u32 pasid)
{
	struct svadev_queue *q = svt_queue_stopped(test, 0);
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[0]->dev;
	struct iommu_domain *next = svt_ready_domain(test);
	struct svt_partner *u = svt_partner_new(test);
	unsigned int i, late = 0, failed = 0;
	struct svadev_op op = {};
	u8 *page = svt_page(test);
	int ret;

	u->act = svt_act_unmap;
	u->domain[0] = svt_ready_domain(test);
	u->page = svt_page(test);
	svt_map(test, next, SVT_IOVA, page, IOMMU_READ | IOMMU_WRITE);
	if (pasid == SVADEV_NO_PASID)
		ret = iommu_attach_device(next, dev);
	else
		ret = iommu_attach_device_pasid(next, dev, pasid);
	KUNIT_ASSERT_EQ(test, 0, ret);
	KUNIT_ASSERT_EQ(test, 0, svadev_queue_enable(q, pasid, true));
	svt_partner_start(test, u);

	for (i = 1; i <= SVT_RACES; i++) {
		failed += !!iommu_map(u->domain[0], SVT_IOVA,
				      virt_to_phys(u->page), PAGE_SIZE,
				      IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE);
		failed += !!svt_replace(svt, u->domain[0], pasid);
		/* Nothing of the next one, which was used before */
		if (!(i % 16))
			svt_audit(test, "after a replacement");
		svt_hammer(test, q, SVT_IOVA);
		failed += !svt_changes(u->page);

		svt_partner_go(u, i);
		failed += !!svt_replace(svt, next, pasid);
		svt_partner_wait(u);
		svt_invalidation_is_over(test);
		/* If the unmap came first the device has found a hole */
		svadev_queue_end_hammer(q);
		ret = svadev_queue_wait(q, &op, SVT_TIMEOUT_MS);
		failed += ret && ret != -EFAULT;
		late += !svt_bytes_are(u->page, 0);
	}
	svt_partner_stop(svt);
	if (pasid == SVADEV_NO_PASID)
		iommu_detach_device(next, dev);
	else
		iommu_detach_device_pasid(next, dev, pasid);
	KUNIT_EXPECT_EQ(test, 0, failed);
	KUNIT_EXPECT_EQ_MSG(test, 0, late,
			    "the device writes to pages that are unmapped");
}

static void svt_replace_unmapped_pasid(struct kunit *test)
{
	svt_replace_unmapped(test, svt_pasid(test, 0));
}

static void svt_replace_unmapped_rid(struct kunit *test)
{
	svt_replace_unmapped(test, SVADEV_NO_PASID);
}

static void svt_act_replace(struct svt_partner *p)
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		p->failed += !!svt_replace(p->svt, p->domain[i % 2], p->pasid);
}

/*
 * Processes exit while the domain of another PASID is replaced, whose entry is in
 * the same table. From then on a DMA finds nothing, no fault is recorded, and no
 * cache has anything of the process.
 */
static void svt_exit_beside_replace(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 1);
	struct svt *svt = test->priv;
	struct svt_partner *r = svt_partner_new(test);
	struct svadev_queue *queue[2] = {
		svt_queue_ats(test, 0, pasid, false),
		svt_queue_ats(test, 0, pasid, true),
	};
	unsigned int i, found = 0, loud = 0, failed = 0;
	struct device *dev = &svt->pdev[0]->dev;
	u64 faults;

	r->act = svt_act_replace;
	r->pasid = svt_pasid(test, 0);
	r->domain[0] = svt_ready_domain(test);
	r->domain[1] = svt_ready_domain(test);
	svt_attach(test, r->domain[1], 0, r->pasid);
	svt_partner_start(test, r);

	for (i = 1; i <= SVT_RACES; i++) {
		struct svadev_queue *q = queue[i % 2];
		struct svt_target t;

		svt_target_process(test, &t, 0);
		failed += !!iommu_attach_device_pasid(t.domain, dev, pasid);
		failed += !!svt_fill(q, SVT_IOVA, 1, 8);
		faults = svt_recorded_faults(svt);

		svt_partner_go(r, i);
		udelay(i % 64 * 8);
		mmput(t.mm);
		found += svt_fill(q, SVT_IOVA, 2, 8) != -EFAULT;
		loud += svt_recorded_faults(svt) != faults;
		svt_partner_wait(r);
		svt_audit(test, "after an exit");

		iommu_detach_device_pasid(t.domain, dev, pasid);
		iommu_sva_domain_put(t.domain);
	}
	svt_partner_stop(svt);
	KUNIT_EXPECT_EQ(test, 0, failed + r->failed);
	KUNIT_EXPECT_EQ_MSG(test, 0, found,
			    "DMA of processes that have exited");
	KUNIT_EXPECT_EQ_MSG(test, 0, loud,
			    "faults of processes that have exited are recorded");
	/* The partner has changed the directory entry between store and flush */
	svt_allow(test, ".stale.cfg");
	/* The one that is attached now is not known to svt_detach() */
	iommu_detach_device_all_pasids(dev);
	svt->nr_attached = 0;
}

/*
 * Processes exit while their queues ask for pages. As in svt_sva_detach_faulting()
 * no request comes to the queue of the IOMMU when the next one has the PASID.
 */
static void svt_exit_faulting(struct kunit *test)
{
	struct svadev_op op = {
		.op = SVADEV_OP_FILL, .dst = SVT_IOVA, .len = PAGE_SIZE,
	};
	struct svadev_queue *q[SVT_FAULTING_QUEUES];
	ioasid_t pasid = svt_pasid(test, 0);
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[0]->dev;
	struct svt_target t[2];
	unsigned int i, j;
	int ret;

	svt_target_process(test, &t[0], 0);
	for (j = 0; j < ARRAY_SIZE(q); j++)
		q[j] = svt_queue(test, 0, pasid);

	ret = iommu_attach_device_pasid(t[0].domain, dev, pasid);
	KUNIT_ASSERT_EQ(test, 0, ret);
	for (i = 0; i < 2 * SVT_FAULTING_ROUNDS; i++) {
		struct svt_target *owner = &t[i % 2], *next = &t[(i + 1) % 2];

		svt_target_process(test, next, 0);
		for (j = 0; j < ARRAY_SIZE(q); j++) {
			struct svadev_op done = {};

			if (i)
				ret = svadev_queue_wait(q[j], &done,
							SVT_TIMEOUT_MS);
			KUNIT_ASSERT_EQ(test, i ? -EFAULT : 0, ret);
		}
		for (j = 0; j < ARRAY_SIZE(q); j++) {
			op.dst += PAGE_SIZE;
			KUNIT_ASSERT_EQ(test, 0, svadev_queue_submit(q[j], &op));
		}
		udelay(i % 8);
		mmput(owner->mm);
		iommu_detach_device_pasid(owner->domain, dev, pasid);
		ret = iommu_attach_device_pasid(next->domain, dev, pasid);
		svt_invalidation_is_over(test);
		iommu_sva_domain_put(owner->domain);
		KUNIT_ASSERT_EQ(test, 0, ret);
	}
	for (j = 0; j < ARRAY_SIZE(q); j++) {
		KUNIT_EXPECT_EQ(test, -EFAULT,
				svadev_queue_wait(q[j], &op, SVT_TIMEOUT_MS));
		KUNIT_EXPECT_EQ(test, 0, svadev_queue_disable(q[j]));
	}
	iommu_detach_device_pasid(t[i % 2].domain, dev, pasid);
	svt_target_process_put(&t[i % 2]);
}

#define SVT_ANSWERS		16

/*
 * A PASID is detached, and drained, while the function's requests with another one
 * are answered: the drain begins with a fence.
 */
static void svt_drain_beside_faults(struct kunit *test)
{
	const u64 base = SVT_IOVA + SZ_1M, size = SZ_2M;
	struct svadev_queue *q[SVT_FAULTING_QUEUES];
	struct iommu_domain *domain = svt_domain(test);
	ioasid_t pasid = svt_pasid(test, 0), other = svt_pasid(test, 1);
	struct svadev_op op = { .op = SVADEV_OP_FILL, .value = 1, .len = size };
	struct svt *svt = test->priv;
	unsigned int i, j, beside = 0;
	u64 answered, now;
	struct svt_target t;
	unsigned long addr;

	svt_target_process(test, &t, 0);
	svt_attach(test, t.domain, 0, pasid);
	/* A request for each page: a huge page would answer all of a queue */
	set_bit(MMF_DISABLE_THP, &t.mm->flags);
	kthread_use_mm(t.mm);
	addr = vm_mmap(NULL, base, ARRAY_SIZE(q) * size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0);
	kthread_unuse_mm(t.mm);
	KUNIT_ASSERT_EQ(test, addr, (unsigned long)base);

	for (j = 0; j < ARRAY_SIZE(q); j++) {
		q[j] = svt_queue(test, 0, pasid);
		op.dst = base + j * size;
		KUNIT_ASSERT_EQ(test, 0, svadev_queue_submit(q[j], &op));
	}
	answered = svt_counter(svt, "vtd.resp.success");
	/* And longer, until there was a response in enough of the rounds */
	for (i = 0; i < 4 * SVT_RACES &&
	     (i < SVT_RACES || beside < SVT_ANSWERS); i++) {
		svt_attach(test, domain, 0, other);
		svt_detach_now(test, domain, 0, other);
		now = svt_counter(svt, "vtd.resp.success");
		KUNIT_ASSERT_NE(test, now, U64_MAX);
		beside += now != answered;
		answered = now;
	}
	KUNIT_EXPECT_GE_MSG(test, beside, SVT_ANSWERS,
			    "of %u detaches, beside which a request is answered",
			    i);
	for (j = 0; j < ARRAY_SIZE(q); j++) {
		struct svadev_op done = {};

		KUNIT_EXPECT_EQ(test, 0, svt_wait(q[j], &done));
	}
	svt_detach(test, t.domain, 0, pasid);
	svt_target_process_put(&t);
}

static struct kunit_case svadev_races_cases[] = {
	KUNIT_CASE(svt_process_pages),
	KUNIT_CASE(svt_detach_hammered),
	KUNIT_CASE(svt_unmap_untranslated),
	KUNIT_CASE(svt_detach_untranslated),
	KUNIT_CASE(svt_faults_of_two_functions),
	KUNIT_CASE(svt_detach_pulled),
	KUNIT_CASE(svt_replace_unmapped_pasid),
	KUNIT_CASE(svt_replace_unmapped_rid),
	KUNIT_CASE(svt_exit_beside_replace),
	KUNIT_CASE(svt_exit_faulting),
	KUNIT_CASE(svt_drain_beside_faults),
	{}
};

static struct kunit_suite svadev_races_suite = {
	.name = "svadev_races",
	.init = svt_init,
	.exit = svt_exit,
	.test_cases = svadev_races_cases,
};

kunit_test_suites(&svadev_races_suite);

MODULE_LICENSE("GPL");
