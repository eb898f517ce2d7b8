// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of which domains may be where, with DMA of svadev
 *
 * Requests without a PASID get every type of domain, a PASID gets every type,
 * and each way from one type to another is gone. Where the IOMMU driver agrees,
 * DMA has to arrive where the new domain says. Where it does not, DMA has to
 * arrive where it did before, and the same goes for a lack of memory at any
 * point. In either case the other address space is not affected. Each step
 * prints a line
 *
 *	step: what of; operation; RID domain; domain on the PASID; result
 *	step: what of; operation; old RID domain; new RID domain; result
 *
 * and Documentation/driver-api/iommu-pasid-smmuv3.txt and iommu-pasid-vtd.txt
 * are made from these.
 */
#include <kunit/fail-alloc.h>
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
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

#define SDT_TIMEOUT_MS		10000

/* Somewhere low in the address space: the DMA API allocates from the top */
#define SDT_IOVA		SZ_16M

/* Types of domains, as a driver of a device tells them apart */
enum sdt_type {
	SDT_DMA,	/* that of the DMA API */
	SDT_PAGING,	/* of the type that the IOMMU driver prefers */
	SDT_STAGE2,	/* second stage, where there are two */
	SDT_SVA,
	SDT_IDENTITY,
	SDT_BLOCKED,	/* as the core makes one: nothing is mapped */
	SDT_OTHER,	/* another one like SDT_PAGING */
	SDT_TYPES,
	SDT_NOTHING = SDT_TYPES,
};

static const char * const sdt_names[] = {
	"DMA", "paging", "stage 2", "SVA", "identity", "blocked", "another",
	"nothing",
};

/* A domain, and a word that a device can reach through it */
struct sdt_place {
	struct iommu_domain *domain;
	u64 addr;
	u64 *word;
	struct mm_struct *mm;
};

/**
 * struct sdt - a running case and what is to be undone at its end
 * @pdev: the device
 * @group: its group
 * @q: for requests without and with a PASID
 * @place: a domain of each type
 * @rid: what is attached for requests without a PASID
 * @pasid: the PASID
 * @on_pasid: what is attached to that
 */
struct sdt {
	struct pci_dev *pdev;
	struct iommu_group *group;
	struct svadev_queue *q[2];
	struct sdt_place place[SDT_TYPES];
	enum sdt_type rid;
	ioasid_t pasid;
	enum sdt_type on_pasid;
};

enum { SDT_NO_PASID, SDT_PASID };

static u64 sdt_read(struct sdt_place *place)
{
	u64 val;

	if (!place->mm)
		return READ_ONCE(*place->word);

	kthread_use_mm(place->mm);
	if (get_user(val, (u64 __user *)place->addr))
		val = 0;
	kthread_unuse_mm(place->mm);
	return val;
}

static struct svadev_op sdt_add(u64 addr)
{
	return (struct svadev_op) {
		.op = SVADEV_OP_FETCH_ADD, .dst = addr, .value = 1, .len = 8,
	};
}

/*
 * Where the interrupt of the device is translated as well, it arrives only below
 * the DMA API's domain.
 */
static int sdt_wait(struct svadev_queue *q, struct svadev_op *op)
{
	int ret = -ETIMEDOUT;
	unsigned int ms;

	for (ms = 0; ms < SDT_TIMEOUT_MS && ret == -ETIMEDOUT; ms++)
		ret = svadev_queue_wait(q, op, 1);
	return ret;
}

static int sdt_run(struct svadev_queue *q, struct svadev_op *op)
{
	int ret = svadev_queue_submit(q, op);

	return ret ? ret : sdt_wait(q, op);
}

/* Requests of a queue arrive where @type says, and only there */
static void sdt_expect(struct kunit *test, unsigned int q, enum sdt_type type,
		       const char *when)
{
	struct sdt *sdt = test->priv;
	struct sdt_place *place = &sdt->place[type];
	struct svadev_op op;
	u64 was;

	if (type == SDT_BLOCKED || type == SDT_NOTHING) {
		op = sdt_add(sdt->place[SDT_PAGING].addr);
		KUNIT_EXPECT_EQ_MSG(test, -EFAULT,
				    sdt_run(sdt->q[q], &op), "queue %u %s", q, when);
		return;
	}

	was = sdt_read(place);
	op = sdt_add(place->addr);
	KUNIT_EXPECT_EQ_MSG(test, 0, sdt_run(sdt->q[q], &op),
			    "queue %u, %s, %s", q, sdt_names[type], when);
	KUNIT_EXPECT_EQ_MSG(test, was + 1, sdt_read(place),
			    "queue %u, %s, %s", q, sdt_names[type], when);
}

/* By name: a kernel may be built without the names of errors */
static const char *sdt_result(int ret)
{
	switch (ret) {
	case 0:
		return "yes";
	case -EBUSY:
		return "-EBUSY";
	case -EINVAL:
		return "-EINVAL";
	case -ENODEV:
		return "-ENODEV";
	case -EOPNOTSUPP:
		return "-EOPNOTSUPP";
	default:
		return "?";
	}
}

static void sdt_step(struct kunit *test, const char *of, const char *operation,
		     enum sdt_type rid, enum sdt_type type, int ret)
{
	KUNIT_EXPECT_STRNEQ_MSG(test, sdt_result(ret), "?", "%d", ret);
	kunit_info(test, "step: %s; %s; %s; %s; %s\n", of, operation,
		   sdt_names[rid], sdt_names[type], sdt_result(ret));
}

/* Whether there is such a type at all is up to the IOMMU driver */
static struct iommu_domain *sdt_domain_alloc(struct sdt *sdt,
					     enum sdt_type type)
{
	const struct iommu_ops *ops = dev_iommu_ops(&sdt->pdev->dev);
	struct iommu_domain *domain;

	if (type != SDT_IDENTITY) {
		domain = iommu_domain_alloc(&pci_bus_type);
		if (domain && type == SDT_STAGE2 &&
		    iommu_enable_nesting(domain)) {
			iommu_domain_free(domain);
			domain = NULL;
		}
		return domain;
	}

	/* As the core does for itself: it has no call for others */
	domain = ops->domain_alloc(IOMMU_DOMAIN_IDENTITY);
	if (domain) {
		domain->type = IOMMU_DOMAIN_IDENTITY;
		domain->owner = ops;
		if (!domain->ops)
			domain->ops = ops->default_domain_ops;
	}
	return domain;
}

static void sdt_make_mapped(struct kunit *test, enum sdt_type type)
{
	struct sdt *sdt = test->priv;
	struct sdt_place *place = &sdt->place[type];
	struct device *dev = &sdt->pdev->dev;

	place->word = (u64 *)get_zeroed_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, place->word);
	place->domain = sdt_domain_alloc(sdt, type);
	if (!place->domain)
		return;

	if (type == SDT_IDENTITY) {
		place->addr = virt_to_phys(place->word);
		return;
	}

	/* Drivers may decide at the first attach how to map */
	KUNIT_ASSERT_EQ(test, 0, iommu_attach_device(place->domain, dev));
	iommu_detach_device(place->domain, dev);
	place->addr = SDT_IOVA;
	if (type != SDT_BLOCKED)
		KUNIT_ASSERT_EQ(test, 0,
				iommu_map(place->domain, place->addr,
					  virt_to_phys(place->word), PAGE_SIZE,
					  IOMMU_READ | IOMMU_WRITE |
					  IOMMU_CACHE));
}

static struct mm_struct *sdt_mm_alloc(struct kunit *test, u64 *addr)
{
	struct rlimit stack = { .rlim_cur = SZ_8M, .rlim_max = SZ_8M };
	struct mm_struct *mm = mm_alloc();

	KUNIT_ASSERT_NOT_NULL(test, mm);
	mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(mm, &stack);
	kthread_use_mm(mm);
	*addr = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, 0);
	kthread_unuse_mm(mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE((unsigned long)*addr));
	return mm;
}

static void sdt_make_sva(struct kunit *test)
{
	struct sdt *sdt = test->priv;
	struct sdt_place *place = &sdt->place[SDT_SVA];
	struct iommu_domain *domain;

	place->mm = sdt_mm_alloc(test, &place->addr);
	domain = iommu_sva_domain_get(&sdt->pdev->dev, place->mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(domain));
	place->domain = domain;
}

static void sdt_use_pasid(struct kunit *test, ioasid_t pasid)
{
	struct sdt *sdt = test->priv;

	sdt->pasid = pasid;
	KUNIT_ASSERT_EQ(test, 0, svadev_queue_enable(sdt->q[SDT_PASID], pasid,
						     true));
}

static void sdt_make_dma(struct kunit *test)
{
	struct sdt *sdt = test->priv;
	struct sdt_place *place = &sdt->place[SDT_DMA];
	struct device *dev = &sdt->pdev->dev;

	place->domain = iommu_get_domain_for_dev(dev);
	KUNIT_ASSERT_NOT_NULL(test, place->domain);
	KUNIT_ASSERT_TRUE(test, place->domain->type & __IOMMU_DOMAIN_DMA_API);
	place->word = dma_alloc_coherent(dev, PAGE_SIZE, &place->addr,
					 GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, place->word);
	*place->word = 0;
}

static int sdt_init(struct kunit *test)
{
	struct sdt *sdt = kunit_kzalloc(test, sizeof(*sdt), GFP_KERNEL);
	enum sdt_type type;
	unsigned int i;

	if (!sdt)
		return -ENOMEM;

	sdt->pdev = pci_get_device(SVADEV_PCI_VENDOR, SVADEV_PCI_DEVICE, NULL);
	if (!sdt->pdev || !sdt->pdev->dev.iommu ||
	    !sdt->pdev->dev.iommu->max_pasids) {
		pci_dev_put(sdt->pdev);
		kunit_skip(test, "no svadev, or no IOMMU with PASIDs");
	}

	test->priv = sdt;
	sdt->on_pasid = SDT_NOTHING;
	sdt->group = iommu_group_get(&sdt->pdev->dev);
	sdt_make_dma(test);
	for (type = 0; type < SDT_TYPES; type++)
		if (type != SDT_DMA && type != SDT_SVA)
			sdt_make_mapped(test, type);
	sdt_make_sva(test);

	for (i = 0; i < ARRAY_SIZE(sdt->q); i++) {
		sdt->q[i] = svadev_queue_get(sdt->pdev);
		KUNIT_ASSERT_FALSE(test, IS_ERR(sdt->q[i]));
	}
	KUNIT_ASSERT_EQ(test, 0, svadev_queue_enable(sdt->q[SDT_NO_PASID],
						     SVADEV_NO_PASID, false));
	sdt_use_pasid(test, sdt->pdev->dev.iommu->max_pasids - 1);
	return 0;
}

static void sdt_free_place(struct sdt *sdt, enum sdt_type type)
{
	struct sdt_place *place = &sdt->place[type];

	if (type == SDT_SVA) {
		if (place->domain)
			iommu_sva_domain_put(place->domain);
		if (place->mm)
			mmput(place->mm);
	} else if (type == SDT_DMA) {
		if (place->word)
			dma_free_coherent(&sdt->pdev->dev, PAGE_SIZE,
					  place->word, place->addr);
	} else {
		if (place->domain)
			iommu_domain_free(place->domain);
		free_page((unsigned long)place->word);
	}
}

/* No cache may have an entry that differs from memory */
static void sdt_audit(struct kunit *test, struct sdt *sdt, const char *when)
{
	struct svadev_queue *q = svadev_queue_get(sdt->pdev);

	KUNIT_EXPECT_FALSE(test, IS_ERR(q));
	if (IS_ERR(q))
		return;
	KUNIT_EXPECT_EQ_MSG(test, svadev_audit(q), 0,
			    "audit %s: cache entries differ from memory", when);
	svadev_queue_put(q);
}

static void sdt_exit(struct kunit *test)
{
	struct sdt *sdt = test->priv;
	enum sdt_type type;
	unsigned int i;

	if (!sdt)
		return;

	sdt_audit(test, sdt, "before detach");
	for (i = 0; i < ARRAY_SIZE(sdt->q); i++)
		if (!IS_ERR_OR_NULL(sdt->q[i]))
			svadev_queue_put(sdt->q[i]);
	iommu_detach_device_all_pasids(&sdt->pdev->dev);
	if (sdt->rid != SDT_DMA)
		iommu_detach_group(sdt->place[sdt->rid].domain, sdt->group);
	for (type = 0; type < SDT_TYPES; type++)
		sdt_free_place(sdt, type);
	sdt_audit(test, sdt, "after detach");
	iommu_group_put(sdt->group);
	pci_dev_put(sdt->pdev);
}

/* Go to another RID domain; which call does it depends on the old one */
static int sdt_set_rid(struct sdt *sdt, enum sdt_type to, const char **op)
{
	struct iommu_domain *domain = sdt->place[to].domain;
	int ret = 0;

	if (sdt->rid == SDT_DMA) {
		*op = "attach";
		ret = iommu_attach_group(domain, sdt->group);
	} else if (to == SDT_DMA) {
		*op = "detach";
		iommu_detach_group(domain, sdt->group);
	} else {
		*op = "replace";
		ret = iommu_group_replace_domain(sdt->group, domain);
	}
	if (!ret)
		sdt->rid = to;
	return ret;
}

/* The same for the PASID */
static int sdt_set_pasid(struct sdt *sdt, enum sdt_type to, const char **op)
{
	struct iommu_domain *domain = sdt->place[to].domain;
	struct device *dev = &sdt->pdev->dev;
	int ret;

	if (sdt->on_pasid == SDT_NOTHING) {
		*op = "attach";
		ret = iommu_attach_device_pasid(domain, dev, sdt->pasid);
	} else {
		*op = "replace";
		ret = iommu_replace_device_pasid(domain, dev, sdt->pasid);
	}
	if (!ret)
		sdt->on_pasid = to;
	return ret;
}

static void sdt_clear_pasid(struct sdt *sdt)
{
	iommu_detach_device_pasid(sdt->place[sdt->on_pasid].domain,
				  &sdt->pdev->dev, sdt->pasid);
	sdt->on_pasid = SDT_NOTHING;
}

/* What is attached must be what was asked for, or what was there before */
static void sdt_expect_both(struct kunit *test, const char *when)
{
	struct sdt *sdt = test->priv;

	sdt_expect(test, SDT_PASID, sdt->on_pasid, when);
	sdt_expect(test, SDT_NO_PASID, sdt->rid, when);
}

/* One type on the PASID: it comes and goes, takes another's place and leaves it */
static void sdt_one_on_pasid(struct kunit *test, enum sdt_type type)
{
	struct sdt *sdt = test->priv;
	struct device *dev = &sdt->pdev->dev;
	unsigned int domain_type = sdt->place[type].domain->type;
	const char *op;
	int ret;

	ret = sdt_set_pasid(sdt, type, &op);
	sdt_step(test, "PASID", op, sdt->rid, type, ret);
	sdt_expect_both(test, op);
	/* What a driver is told beforehand; it cannot tell stages apart */
	if (type != SDT_STAGE2)
		KUNIT_EXPECT_EQ(test, ret,
				iommu_device_pasid_supported(dev, domain_type));
	if (!ret) {
		sdt_clear_pasid(sdt);
		sdt_expect_both(test, "detach");
	}

	if (sdt_set_pasid(sdt, SDT_OTHER, &op))
		return;

	ret = sdt_set_pasid(sdt, type, &op);
	sdt_step(test, "PASID", op, sdt->rid, type, ret);
	sdt_expect_both(test, op);
	if (!ret) {
		ret = sdt_set_pasid(sdt, SDT_OTHER, &op);
		sdt_step(test, "PASID", "be replaced", sdt->rid, type, ret);
		sdt_expect_both(test, "be replaced");
	}
	iommu_detach_device_all_pasids(dev);
	sdt->on_pasid = SDT_NOTHING;
	sdt_expect_both(test, "bulk detach");
}

static void sdt_on_pasid(struct kunit *test)
{
	struct sdt *sdt = test->priv;
	enum sdt_type rid, type;
	const char *op;
	int ret;

	for (rid = 0; rid < SDT_OTHER; rid++) {
		if (!sdt->place[rid].domain || rid == SDT_SVA)
			continue;
		if (rid != SDT_DMA) {
			ret = sdt_set_rid(sdt, rid, &op);
			KUNIT_ASSERT_EQ_MSG(test, 0, ret, "%s", sdt_names[rid]);
		}
		for (type = 0; type < SDT_OTHER; type++)
			if (sdt->place[type].domain)
				sdt_one_on_pasid(test, type);
		if (rid != SDT_DMA)
			sdt_set_rid(sdt, SDT_DMA, &op);
	}
}

/* Between all RID domains */
static void sdt_each_rid(struct kunit *test, const char *of)
{
	struct sdt *sdt = test->priv;
	enum sdt_type from, to;
	const char *how;
	int ret;

	for (from = 0; from < SDT_OTHER; from++) {
		for (to = 0; to < SDT_OTHER; to++) {
			if (from == to || !sdt->place[from].domain ||
			    !sdt->place[to].domain)
				continue;
			if (from != sdt->rid && sdt_set_rid(sdt, from, &how))
				continue;

			ret = sdt_set_rid(sdt, to, &how);
			sdt_step(test, of, how, from, to, ret);
			sdt_expect(test, SDT_NO_PASID, sdt->rid, how);
			if (sdt->rid != SDT_DMA)
				sdt_set_rid(sdt, SDT_DMA, &how);
		}
	}
}

static void sdt_rid_alone(struct kunit *test)
{
	sdt_each_rid(test, "RID alone");
}

/* Below a PASID that is never idle */
static void sdt_rid_below(struct kunit *test, enum sdt_type pasid)
{
	struct sdt *sdt = test->priv;
	struct sdt_place *place = &sdt->place[pasid];
	struct svadev_op op = sdt_add(place->addr);
	u64 was = sdt_read(place);

	KUNIT_ASSERT_EQ(test, 0, iommu_attach_device_pasid(place->domain,
							   &sdt->pdev->dev,
							   sdt->pasid));
	op.hammer_ns = 1000;
	KUNIT_ASSERT_EQ(test, 0, svadev_queue_submit(sdt->q[SDT_PASID], &op));

	sdt_each_rid(test, "RID with PASIDs");

	svadev_queue_end_hammer(sdt->q[SDT_PASID]);
	KUNIT_EXPECT_EQ(test, 0, sdt_wait(sdt->q[SDT_PASID], &op));
	KUNIT_EXPECT_EQ(test, was + op.rounds, sdt_read(place));
	KUNIT_EXPECT_GT(test, op.rounds, 0);
}

static void sdt_rid_below_paging(struct kunit *test)
{
	sdt_rid_below(test, SDT_OTHER);
}

static void sdt_rid_below_sva(struct kunit *test)
{
	sdt_rid_below(test, SDT_SVA);
}

#define SDT_REPLACEMENTS	1000

/* Between addresses that are translated and addresses that are not */
static void sdt_rid_identity_busy(struct kunit *test)
{
	struct sdt *sdt = test->priv;
	struct sdt_place *identity = &sdt->place[SDT_IDENTITY];
	struct sdt_place *paging = &sdt->place[SDT_PAGING];
	struct svadev_op op = sdt_add(identity->addr);
	unsigned int i, failed = 0, idle = 0;
	const char *how;
	u64 was, sum;

	if (!identity->domain)
		kunit_skip(test, "no identity domains");

	KUNIT_ASSERT_EQ(test, 0, iommu_map(paging->domain, identity->addr,
					   virt_to_phys(paging->word),
					   PAGE_SIZE, IOMMU_READ | IOMMU_WRITE |
					   IOMMU_CACHE));
	KUNIT_ASSERT_EQ(test, 0, sdt_set_rid(sdt, SDT_PAGING, &how));
	sum = sdt_read(identity) + sdt_read(paging);
	op.hammer_ns = 1000;
	KUNIT_ASSERT_EQ(test, 0, svadev_queue_submit(sdt->q[SDT_NO_PASID],
						     &op));

	for (i = 0; i < SDT_REPLACEMENTS && !failed && !idle; i++) {
		enum sdt_type to = i % 2 ? SDT_PAGING : SDT_IDENTITY;
		unsigned int n = 0;

		failed += !!sdt_set_rid(sdt, to, &how);
		was = sdt_read(&sdt->place[to]);
		while (sdt_read(&sdt->place[to]) == was && n++ < 10000)
			usleep_range(1, 10);
		idle += n > 10000;
	}

	svadev_queue_end_hammer(sdt->q[SDT_NO_PASID]);
	KUNIT_EXPECT_EQ(test, 0, sdt_wait(sdt->q[SDT_NO_PASID], &op));
	KUNIT_EXPECT_EQ(test, 0U, failed);
	KUNIT_EXPECT_EQ(test, 0U, idle);
	KUNIT_EXPECT_EQ(test, sum + op.rounds,
			sdt_read(identity) + sdt_read(paging));
	KUNIT_EXPECT_GT(test, op.rounds, SDT_REPLACEMENTS);
	kunit_info(test, "%u replacements, %llu DMAs\n", i, op.rounds);
}

#define SDT_ALLOCATIONS		200

/* Fail each allocation on the way from one domain to another in turn */
static void sdt_fail_each(struct kunit *test, unsigned int q, enum sdt_type from,
			  enum sdt_type to)
{
	int (*set)(struct sdt *sdt, enum sdt_type to, const char **op) =
		q == SDT_PASID ? sdt_set_pasid : sdt_set_rid;
	struct sdt *sdt = test->priv;
	unsigned int n, failures = 0;
	struct kunit_fail_alloc fail;
	bool failed = true;
	const char *op;
	int ret;

	if (!sdt->place[to].domain)
		return;

	if (!kunit_fail_alloc_begin(&fail))
		kunit_skip(test, "needs CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS");

	for (n = 1; failed && n < SDT_ALLOCATIONS; n++) {
		kunit_fail_alloc_arm(n);
		ret = set(sdt, to, &op);
		failed = kunit_fail_alloc_disarm();
		sdt_expect_both(test, op);
		if (ret) {
			failures++;
			KUNIT_EXPECT_EQ(test, -ENOMEM, ret);
			continue;
		}

		if (from == SDT_NOTHING) {
			kunit_fail_alloc_arm(1);
			sdt_clear_pasid(sdt);
			KUNIT_EXPECT_FALSE(test, kunit_fail_alloc_disarm());
		} else {
			KUNIT_EXPECT_EQ(test, 0, set(sdt, from, &op));
		}
		sdt_expect_both(test, "back");
	}
	kunit_fail_alloc_end(&fail);
	KUNIT_EXPECT_FALSE(test, failed);
	kunit_info(test, "%s %s to %s: %u of %u allocations end it\n",
		   q == SDT_PASID ? "PASID" : "RID", sdt_names[from],
		   sdt_names[to], failures, n - 2);
}

/* Each on a PASID of its own, so that tables have to grow */
static void sdt_no_memory_pasid(struct kunit *test)
{
	struct sdt *sdt = test->priv;
	const char *op;

	sdt_use_pasid(test, sdt->pasid / 2);
	sdt_fail_each(test, SDT_PASID, SDT_NOTHING, SDT_PAGING);
	sdt_use_pasid(test, sdt->pasid / 2);
	sdt_fail_each(test, SDT_PASID, SDT_NOTHING, SDT_SVA);
	KUNIT_ASSERT_EQ(test, 0, sdt_set_pasid(sdt, SDT_OTHER, &op));
	sdt_fail_each(test, SDT_PASID, SDT_OTHER, SDT_PAGING);
	sdt_fail_each(test, SDT_PASID, SDT_OTHER, SDT_SVA);
	sdt_fail_each(test, SDT_PASID, SDT_OTHER, SDT_DMA);
	KUNIT_ASSERT_EQ(test, 0, sdt_set_pasid(sdt, SDT_SVA, &op));
	sdt_fail_each(test, SDT_PASID, SDT_SVA, SDT_OTHER);
}

/* Also while a PASID is in use, which must not notice */
static void sdt_no_memory_rid(struct kunit *test)
{
	struct sdt *sdt = test->priv;
	const char *op;

	sdt_fail_each(test, SDT_NO_PASID, SDT_DMA, SDT_PAGING);
	sdt_fail_each(test, SDT_NO_PASID, SDT_DMA, SDT_IDENTITY);
	KUNIT_ASSERT_EQ(test, 0, sdt_set_pasid(sdt, SDT_SVA, &op));
	sdt_fail_each(test, SDT_NO_PASID, SDT_DMA, SDT_PAGING);
	KUNIT_ASSERT_EQ(test, 0, sdt_set_rid(sdt, SDT_PAGING, &op));
	sdt_fail_each(test, SDT_NO_PASID, SDT_PAGING, SDT_OTHER);
	sdt_fail_each(test, SDT_NO_PASID, SDT_PAGING, SDT_IDENTITY);
}

static void sdt_no_memory_bind(struct kunit *test)
{
	struct sdt *sdt = test->priv;
	struct device *dev = &sdt->pdev->dev;
	struct kunit_fail_alloc fail;
	unsigned int n, failures = 0;
	struct iommu_sva *handle;
	struct mm_struct *mm;
	struct svadev_op op;
	bool failed = true;
	u64 addr;

	if (!kunit_fail_alloc_begin(&fail))
		kunit_skip(test, "needs CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS");

	for (n = 1; failed && n < SDT_ALLOCATIONS; n++) {
		mm = sdt_mm_alloc(test, &addr);
		kunit_fail_alloc_arm(n);
		handle = iommu_sva_bind_device(dev, mm);
		failed = kunit_fail_alloc_disarm();
		if (IS_ERR(handle)) {
			failures++;
			/* PASIDs are allocated by somebody else */
			KUNIT_EXPECT_TRUE(test, PTR_ERR(handle) == -ENOMEM ||
					  PTR_ERR(handle) == -ENOSPC);
			handle = iommu_sva_bind_device(dev, mm);
			KUNIT_ASSERT_FALSE(test, IS_ERR(handle));
		}
		sdt_use_pasid(test, iommu_sva_get_pasid(handle));
		op = sdt_add(addr);
		KUNIT_EXPECT_EQ(test, 0, sdt_run(sdt->q[SDT_PASID], &op));
		iommu_sva_unbind_device(handle);
		sdt_expect_both(test, "unbind");
		mmput(mm);
	}
	kunit_fail_alloc_end(&fail);
	KUNIT_EXPECT_FALSE(test, failed);
	kunit_info(test, "bind: %u of %u allocations end it\n", failures,
		   n - 2);
}

static struct kunit_case sdt_cases[] = {
	KUNIT_CASE(sdt_on_pasid),
	KUNIT_CASE(sdt_rid_alone),
	KUNIT_CASE(sdt_rid_below_paging),
	KUNIT_CASE(sdt_rid_below_sva),
	KUNIT_CASE(sdt_rid_identity_busy),
	KUNIT_CASE(sdt_no_memory_pasid),
	KUNIT_CASE(sdt_no_memory_rid),
	KUNIT_CASE(sdt_no_memory_bind),
	{}
};

static struct kunit_suite sdt_suite = {
	.name = "svadev_domains",
	.init = sdt_init,
	.exit = sdt_exit,
	.test_cases = sdt_cases,
};

kunit_test_suite(sdt_suite);

MODULE_DESCRIPTION("KUnit tests of which domains may be where, with svadev");
MODULE_LICENSE("GPL");
