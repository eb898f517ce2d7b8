// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for what the driver writes for a VT-d unit to read
 *
 * The unit is made of memory, and of a thread that does what hardware would: it
 * fetches descriptors from the invalidation queue, and completes those that
 * wait. What it could find in a PASID entry between any two stores shows at a
 * breakpoint.
 */

#include <kunit/fail-alloc.h>
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/hw_breakpoint.h>
#include <linux/kthread.h>
#include <linux/pci.h>
#include <linux/perf_event.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include "cache.h"
#include "iommu.h"
#include "pasid.h"
#include "prq.h"
#include "qi.h"
#include "svm.h"

#define TEST_MAX_DESCS		16
#define TEST_PASID		0x1234
#define TEST_DID		0xabcd
#define TEST_PGD		0x123456789000
#define TEST_DID_2		0x1357
#define TEST_PGD_2		0x2468ace02000
#define TEST_PASID_CAP		0x100
#define TEST_PASID_WIDTH	16
#define TEST_ROUNDS		10

struct test_ctx {
	struct intel_iommu		*iommu;
	struct device_domain_info	*info;
	struct pci_dev			*pdev;
	struct pci_bus			*bus;
	struct task_struct		*unit;
	unsigned int			head;
	u32				pasid;

	/* What the unit found */
	struct qi_desc			desc[TEST_MAX_DESCS];
	struct pasid_entry		seen[TEST_MAX_DESCS];
	struct pasid_entry		walked[TEST_MAX_DESCS];
	unsigned int			num;
	unsigned int			waits;
	unsigned int			drains;
	unsigned int			iotlbs;
	unsigned int			dev_tlbs;

	/*
	 * Errors of the unit: at the descriptor with index @iqe_at once, and
	 * for the first @max_ites requests that the device does not answer
	 */
	bool				iqe;
	unsigned int			iqe_at;
	unsigned int			iqes;
	unsigned int			max_ites;
	unsigned int			ites;
	/* How long it takes to go on after an error */
	unsigned int			late_us;

	/* What is done at the first descriptor, and what it found */
	void				(*meanwhile)(struct test_ctx *ctx);
	struct iommu_domain		*from;
	struct iommu_domain		*to;
	struct pasid_entry		next;
	unsigned int			told_from;
	unsigned int			told_to;

	/* The entry that it looks at, and what is there while word 0 is not 0 */
	struct pasid_entry		*entry;
	struct pasid_entry		expect;
	struct pasid_entry		expect_next;
	struct pasid_dir_entry		*pde;
	unsigned int			looks;
	unsigned int			torn;
};

static bool test_device_gone;

static int test_config_read(struct pci_bus *bus, unsigned int devfn, int where,
			    int size, u32 *val)
{
	*val = 0x12348086;
	if (test_device_gone)
		*val = ~0;
	else if (where == TEST_PASID_CAP + PCI_PASID_CAP)
		*val = TEST_PASID_WIDTH << 8;
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops test_pci_ops = {
	.read = test_config_read,
};

static void *test_alloc(struct kunit *test, size_t size)
{
	void *p = kunit_kzalloc(test, size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	return p;
}

static int test_init(struct kunit *test)
{
	struct test_ctx *ctx = test_alloc(test, sizeof(*ctx));
	struct intel_iommu *iommu = test_alloc(test, sizeof(*iommu));
	struct device_domain_info *info = test_alloc(test, sizeof(*info));

	test->priv = ctx;
	test_device_gone = false;

	iommu->reg = (void __iomem __force *)test_alloc(test, PAGE_SIZE);
	iommu->node = NUMA_NO_NODE;
	iommu->agaw = 2;
	iommu->gcmd = DMA_GCMD_TE;
	/* C, SC, SRS, SMTS, SLTS, FLTS, SMPWC */
	iommu->ecap = BIT_ULL(0) | BIT_ULL(7) | BIT_ULL(31) | BIT_ULL(43) |
		      BIT_ULL(46) | BIT_ULL(47) | BIT_ULL(48);
	iommu->iommu.max_pasids = 1 << 20;
	iommu->qi = test_alloc(test, sizeof(*iommu->qi));
	iommu->qi->desc = test_alloc(test, QI_LENGTH * sizeof(struct qi_desc));
	iommu->qi->desc_status = test_alloc(test, QI_LENGTH * sizeof(int));
	iommu->qi->free_cnt = QI_LENGTH;
	raw_spin_lock_init(&iommu->qi->q_lock);
	ctx->iommu = iommu;

	ctx->bus = test_alloc(test, sizeof(*ctx->bus));
	ctx->bus->ops = &test_pci_ops;
	ctx->pdev = test_alloc(test, sizeof(*ctx->pdev));
	ctx->pdev->bus = ctx->bus;
	ctx->pdev->pasid_cap = TEST_PASID_CAP;

	info->dev = &ctx->pdev->dev;
	info->iommu = iommu;
	info->bus = 0x12;
	info->devfn = 0x34;
	info->pfsid = 0xabcd;
	info->ats_enabled = 1;
	info->ats_qdep = 32;
	info->pasid_supported = 1;
	spin_lock_init(&info->lock);
	ctx->info = info;

	return intel_pasid_alloc_table(info);
}

static void test_exit(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;

	if (ctx && ctx->info)
		intel_pasid_free_table(ctx->info);
}

static unsigned int test_desc_type(const struct qi_desc *desc)
{
	return desc->qw0 & 0xf;
}

static void test_unit_fetch(struct test_ctx *ctx, const struct qi_desc *desc)
{
	ctx->iotlbs += test_desc_type(desc) == QI_EIOTLB_TYPE;
	ctx->dev_tlbs += test_desc_type(desc) == QI_DEIOTLB_TYPE;

	if ((desc->qw0 & 0xf) == QI_IWD_TYPE) {
		ctx->drains += !!(desc->qw0 & QI_IWD_PRQ_DRAIN);
		if (desc->qw0 & QI_IWD_STATUS_WRITE) {
			ctx->waits++;
			WRITE_ONCE(*(u32 *)phys_to_virt(desc->qw1),
				   desc->qw0 >> 32);
		}
		return;
	}

	if (!ctx->num && ctx->meanwhile)
		ctx->meanwhile(ctx);

	if (ctx->num < TEST_MAX_DESCS) {
		ctx->desc[ctx->num] = *desc;
		if (ctx->entry) {
			ctx->seen[ctx->num] = *ctx->entry;
			ctx->walked[ctx->num] = *intel_pasid_entry(ctx->info,
								   ctx->pasid);
		}
	}
	ctx->num++;
}

/*
 * The driver clears a bit of FSTS by writing it, which a store to memory would
 * set. So one more bit is set as long as it has not written: PFO.
 */
static void test_unit_raise(struct test_ctx *ctx, u32 bit, unsigned int head)
{
	struct intel_iommu *iommu = ctx->iommu;

	writel(head << qi_shift(iommu), iommu->reg + DMAR_IQH_REG);
	writel(bit | DMA_FSTS_PFO, iommu->reg + DMAR_FSTS_REG);
	while (readl(iommu->reg + DMAR_FSTS_REG) != bit) {
		if (kthread_should_stop())
			return;
		cpu_relax();
	}
	if (ctx->late_us)
		usleep_range(ctx->late_us, ctx->late_us + 50);
	writel(0, iommu->reg + DMAR_FSTS_REG);
}

/* Was it an error that took all up to @tail with it? */
static bool test_unit_error(struct test_ctx *ctx, const struct qi_desc *desc,
			    unsigned int head, unsigned int tail)
{
	if (ctx->iqe && head == ctx->iqe_at) {
		ctx->iqe = false;
		ctx->iqes++;
		test_unit_raise(ctx, DMA_FSTS_IQE, head);
	}
	if (test_desc_type(desc) != QI_DEIOTLB_TYPE ||
	    ctx->ites == ctx->max_ites)
		return false;

	/* So that a driver that asks for ever comes to an end */
	if (++ctx->ites == ctx->max_ites)
		WRITE_ONCE(test_device_gone, true);
	test_unit_raise(ctx, DMA_FSTS_ITE, tail);
	return true;
}

static int test_unit(void *data)
{
	struct test_ctx *ctx = data;
	struct intel_iommu *iommu = ctx->iommu;
	struct qi_desc *queue = iommu->qi->desc;
	unsigned int head = ctx->head;

	while (!kthread_should_stop()) {
		unsigned int tail = readl(iommu->reg + DMAR_IQT_REG) >>
				    qi_shift(iommu);

		/* What was stored before the tail, with writel() */
		smp_rmb();
		/* So slowly that who does not wait is too early */
		if (head != tail)
			usleep_range(50, 100);
		for (; head != tail; head = (head + 1) % QI_LENGTH) {
			if (test_unit_error(ctx, &queue[head], head, tail)) {
				head = tail;
				break;
			}
			test_unit_fetch(ctx, &queue[head]);
		}
		cond_resched();
	}
	return 0;
}

/*
 * Whoever submits descriptors spins with interrupts off: the unit needs a CPU
 * of its own.
 */
static void test_unit_start(struct kunit *test, u32 pasid)
{
	struct test_ctx *ctx = test->priv;
	unsigned int cpu;

	if (num_online_cpus() < 2)
		kunit_skip(test, "the unit needs a CPU of its own");

	ctx->head = ctx->iommu->qi->free_head;
	ctx->num = 0;
	ctx->waits = 0;
	ctx->drains = 0;
	ctx->iotlbs = 0;
	ctx->dev_tlbs = 0;
	ctx->pasid = pasid;
	ctx->entry = intel_pasid_entry(ctx->info, pasid);
	ctx->unit = kthread_create(test_unit, ctx, "intel-iommu-kunit");
	KUNIT_ASSERT_FALSE(test, IS_ERR(ctx->unit));

	migrate_disable();
	cpu = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
	kthread_bind(ctx->unit, cpu);
	wake_up_process(ctx->unit);
}

static void test_unit_stop(struct test_ctx *ctx)
{
	kthread_stop(ctx->unit);
	migrate_enable();
	ctx->entry = NULL;
	ctx->meanwhile = NULL;
}

static void test_expect_entry(struct kunit *test, const struct pasid_entry *pte,
			      u64 w0, u64 w1, u64 w2)
{
	unsigned int i;

	KUNIT_EXPECT_EQ(test, pte->val[0], w0);
	KUNIT_EXPECT_EQ(test, pte->val[1], w1);
	KUNIT_EXPECT_EQ(test, pte->val[2], w2);
	for (i = 3; i < ARRAY_SIZE(pte->val); i++)
		KUNIT_EXPECT_EQ(test, pte->val[i], 0);
}

static void test_expect_desc(struct kunit *test, unsigned int i, u64 qw0,
			     u64 qw1)
{
	struct test_ctx *ctx = test->priv;

	KUNIT_ASSERT_LT(test, i, ctx->num);
	KUNIT_EXPECT_EQ(test, ctx->desc[i].qw0, qw0);
	KUNIT_EXPECT_EQ(test, ctx->desc[i].qw1, qw1);
	KUNIT_EXPECT_EQ(test, ctx->desc[i].qw2, 0);
	KUNIT_EXPECT_EQ(test, ctx->desc[i].qw3, 0);
}

static void test_install(struct kunit *test, u32 pasid,
			 const struct pasid_entry *pte)
{
	struct test_ctx *ctx = test->priv;

	KUNIT_ASSERT_EQ(test, 0, intel_pasid_prepare(ctx->info, pasid, false));
	intel_pasid_install(ctx->info, pasid, pte);
}

/* Bytes: spelled out as numbers, so that a wrong mask in the header shows */

static void test_first_level_bytes(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct pasid_entry pte;

	intel_pasid_make_first_level(&pte, ctx->iommu, TEST_PGD, TEST_DID, 0);
	test_expect_entry(test, &pte, 0x49, 0x80abcd, 0x123456789020);

	intel_pasid_make_first_level(&pte, ctx->iommu, TEST_PGD | 0xfff,
				     TEST_DID, PASID_FLAG_FL5LP |
				     PASID_FLAG_PAGE_SNOOP);
	test_expect_entry(test, &pte, 0x49, 0x180abcd, 0x123456789024);

	/* A unit that does not snoop */
	ctx->iommu->ecap &= ~BIT_ULL(48);
	intel_pasid_make_first_level(&pte, ctx->iommu, TEST_PGD, TEST_DID, 0);
	test_expect_entry(test, &pte, 0x49, 0xabcd, 0x123456789020);
}

static void test_second_level_bytes(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct pasid_entry pte;

	intel_pasid_make_second_level(&pte, ctx->iommu, TEST_PGD | 0xfff, 3,
				      TEST_DID);
	test_expect_entry(test, &pte, 0x12345678908d, 0x80abcd, 1);

	/* SRE is reserved without ECAP.SRS */
	ctx->iommu->ecap &= ~BIT_ULL(31);
	intel_pasid_make_second_level(&pte, ctx->iommu, TEST_PGD, 3, TEST_DID);
	test_expect_entry(test, &pte, 0x12345678908d, 0x80abcd, 0);
}

static void test_pass_through_bytes(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct pasid_entry pte;

	intel_pasid_make_pass_through(&pte, ctx->iommu);
	test_expect_entry(test, &pte, 0x109, 0x800001, 1);
}

static void test_table_growth(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct device_domain_info *info = ctx->info;
	struct pasid_dir_entry *dir = info->pasid_table->dir;
	struct pasid_entry *first = intel_pasid_entry(info, 0);
	struct pasid_entry pte, *leaf;
	unsigned int i;

	/* PASID 0 has its leaf from the beginning, others have none */
	KUNIT_ASSERT_NOT_NULL(test, first);
	KUNIT_EXPECT_EQ(test, dir[0].val, virt_to_phys(first) | 1);
	for (i = 1; i < 1 << (TEST_PASID_WIDTH - 6); i++)
		KUNIT_EXPECT_EQ(test, dir[i].val, 0);
	KUNIT_EXPECT_EQ(test, 0, intel_pasid_prepare(info, 0, false));
	KUNIT_EXPECT_NULL(test, intel_pasid_entry(info, TEST_PASID));

	/* One leaf for 64 of them, which does not move any more */
	KUNIT_ASSERT_EQ(test, 0, intel_pasid_prepare(info, TEST_PASID, false));
	leaf = intel_pasid_entry(info, TEST_PASID & ~63);
	KUNIT_ASSERT_NOT_NULL(test, leaf);
	KUNIT_EXPECT_EQ(test, dir[TEST_PASID >> 6].val,
			virt_to_phys(leaf) | 1);
	KUNIT_EXPECT_NULL(test, memchr_inv(leaf, 0, PAGE_SIZE));
	KUNIT_EXPECT_PTR_EQ(test, intel_pasid_entry(info, TEST_PASID),
			    leaf + (TEST_PASID & 63));
	KUNIT_EXPECT_EQ(test, 0,
			intel_pasid_prepare(info, TEST_PASID | 63, false));
	KUNIT_EXPECT_EQ(test, dir[TEST_PASID >> 6].val,
			virt_to_phys(leaf) | 1);

	/* What is in use is not given away, neighbours are not touched */
	intel_pasid_make_first_level(&pte, ctx->iommu, TEST_PGD, TEST_DID, 0);
	intel_pasid_install(info, TEST_PASID, &pte);
	KUNIT_EXPECT_EQ(test, -EBUSY,
			intel_pasid_prepare(info, TEST_PASID, false));
	KUNIT_EXPECT_EQ(test, 0,
			intel_pasid_prepare(info, TEST_PASID + 1, false));
	memset(&leaf[TEST_PASID & 63], 0, sizeof(*leaf));
	KUNIT_EXPECT_NULL(test, memchr_inv(leaf, 0, PAGE_SIZE));

	/* Up to the last PASID of the device, and no further */
	KUNIT_EXPECT_EQ(test, 0,
			intel_pasid_prepare(info, (1 << TEST_PASID_WIDTH) - 1,
					    false));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			intel_pasid_prepare(info, info->pasid_table->max_pasid,
					    false));
	KUNIT_EXPECT_NULL(test, intel_pasid_entry(info,
						  info->pasid_table->max_pasid));
}

/* After a store to word 0. Unless that is 0, hardware may read all the others. */
static void test_look(struct perf_event *bp, struct perf_sample_data *data,
		      struct pt_regs *regs)
{
	struct test_ctx *ctx = bp->overflow_handler_context;
	const u64 *val = ctx->entry->val;

	ctx->looks++;
	if (val[0] && memcmp(val + 1, ctx->expect.val + 1,
			     sizeof(ctx->expect) - sizeof(*val)))
		ctx->torn++;
}

static void test_store_order(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct perf_event * __percpu *bp;
	struct perf_event_attr attr;
	struct pasid_entry pte;
	unsigned int i;

	intel_pasid_make_first_level(&pte, ctx->iommu, TEST_PGD, TEST_DID, 0);
	for (i = 3; i < ARRAY_SIZE(pte.val); i++)
		pte.val[i] = i;
	ctx->expect = pte;

	KUNIT_ASSERT_EQ(test, 0,
			intel_pasid_prepare(ctx->info, TEST_PASID, false));
	test_unit_start(test, TEST_PASID);
	hw_breakpoint_init(&attr);
	attr.bp_addr = (unsigned long)&ctx->entry->val[0];
	attr.bp_len = HW_BREAKPOINT_LEN_8;
	attr.bp_type = HW_BREAKPOINT_W;
	bp = register_wide_hw_breakpoint(&attr, test_look, ctx);
	KUNIT_EXPECT_FALSE(test, IS_ERR((void __force *)bp));

	for (i = 0; i < TEST_ROUNDS; i++) {
		intel_pasid_install(ctx->info, TEST_PASID, &pte);
		intel_pasid_tear_down(ctx->info, TEST_PASID);
	}
	if (!IS_ERR((void __force *)bp))
		unregister_wide_hw_breakpoint(bp);
	test_unit_stop(ctx);

	/* Present, not present, all zero */
	KUNIT_EXPECT_EQ(test, ctx->looks, 3 * TEST_ROUNDS);
	KUNIT_EXPECT_EQ(test, ctx->torn, 0);
	KUNIT_EXPECT_EQ(test, ctx->num, 3 * TEST_ROUNDS);
	KUNIT_EXPECT_EQ(test, ctx->waits, TEST_ROUNDS);
}

/* While the unit is told, the entry is there, only not present */
static void test_tear_down(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct pasid_entry pte, *entry;
	unsigned int i;

	intel_pasid_make_first_level(&pte, ctx->iommu, TEST_PGD, TEST_DID, 0);
	test_install(test, TEST_PASID, &pte);
	entry = intel_pasid_entry(ctx->info, TEST_PASID);

	test_unit_start(test, TEST_PASID);
	intel_pasid_tear_down(ctx->info, TEST_PASID);
	intel_pasid_tear_down(ctx->info, TEST_PASID);
	test_unit_stop(ctx);

	KUNIT_EXPECT_EQ(test, ctx->num, 3);
	KUNIT_EXPECT_EQ(test, ctx->waits, 1);
	test_expect_desc(test, 0, 0x00001234abcd0017, 0);
	test_expect_desc(test, 1, 0x00001234abcd0026, 0);
	test_expect_desc(test, 2, 0xabc012341234d008, 0x7ffffffffffff800);
	for (i = 0; i < 3; i++)
		test_expect_entry(test, &ctx->seen[i], 0x48, 0x80abcd,
				  0x123456789020);
	KUNIT_EXPECT_NULL(test, memchr_inv(entry, 0, sizeof(*entry)));
}

static void test_tear_down_second_level(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct pasid_entry pte;

	intel_pasid_make_second_level(&pte, ctx->iommu, TEST_PGD, 2, TEST_DID);
	test_install(test, TEST_PASID, &pte);
	test_unit_start(test, TEST_PASID);
	intel_pasid_tear_down(ctx->info, TEST_PASID);
	test_unit_stop(ctx);

	/* Second level translations are known by their domain ID */
	KUNIT_EXPECT_EQ(test, ctx->num, 3);
	KUNIT_EXPECT_EQ(test, ctx->waits, 1);
	test_expect_desc(test, 0, 0x00001234abcd0017, 0);
	test_expect_desc(test, 1, 0x00000000abcd0022, 0);
	test_expect_desc(test, 2, 0xabc012341234d008, 0x7ffffffffffff800);
}

static void test_tear_down_rid(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct pasid_entry pte;

	intel_pasid_make_pass_through(&pte, ctx->iommu);
	test_install(test, PASID_RID2PASID, &pte);
	test_unit_start(test, PASID_RID2PASID);
	intel_pasid_tear_down(ctx->info, PASID_RID2PASID);
	test_unit_stop(ctx);

	/* The device did not give a PASID, so it is not told of one */
	KUNIT_EXPECT_EQ(test, ctx->num, 3);
	test_expect_desc(test, 0, 0x0000000000010017, 0);
	test_expect_desc(test, 1, 0x0000000000010026, 0);
	test_expect_desc(test, 2, 0xabc012340000d003, 0x7ffffffffffff001);
}

static void test_tear_down_without_ats(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct pasid_entry pte;

	intel_pasid_make_first_level(&pte, ctx->iommu, TEST_PGD, TEST_DID, 0);
	test_install(test, TEST_PASID, &pte);
	ctx->info->ats_enabled = 0;
	test_unit_start(test, TEST_PASID);
	intel_pasid_tear_down(ctx->info, TEST_PASID);
	test_unit_stop(ctx);
	KUNIT_EXPECT_EQ(test, ctx->num, 2);
	KUNIT_EXPECT_EQ(test, ctx->waits, 1);

	/* Nor is a device asked that is not there any more */
	test_install(test, TEST_PASID, &pte);
	ctx->info->ats_enabled = 1;
	test_device_gone = true;
	test_unit_start(test, TEST_PASID);
	intel_pasid_tear_down(ctx->info, TEST_PASID);
	test_unit_stop(ctx);
	KUNIT_EXPECT_EQ(test, ctx->num, 2);
	KUNIT_EXPECT_EQ(test, ctx->waits, 1);
}

static void test_quiet(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct pasid_entry pte, *entry;

	intel_pasid_make_first_level(&pte, ctx->iommu, TEST_PGD, TEST_DID, 0);
	test_install(test, TEST_PASID, &pte);
	entry = intel_pasid_entry(ctx->info, TEST_PASID);

	/* Somebody else's tables */
	intel_pasid_quiet(ctx->info, TEST_PASID, TEST_PGD + PAGE_SIZE);
	test_expect_entry(test, entry, 0x49, 0x80abcd, 0x123456789020);
	intel_pasid_quiet(ctx->info, TEST_PASID + 64, TEST_PGD);

	/* P goes, FPD comes, in word 0 alone */
	intel_pasid_quiet(ctx->info, TEST_PASID, TEST_PGD);
	test_expect_entry(test, entry, 0x4a, 0x80abcd, 0x123456789020);
	KUNIT_EXPECT_EQ(test, -EBUSY,
			intel_pasid_prepare(ctx->info, TEST_PASID, false));

	/* A detach has to do all that it does otherwise */
	test_unit_start(test, TEST_PASID);
	intel_pasid_tear_down(ctx->info, TEST_PASID);
	test_unit_stop(ctx);
	KUNIT_EXPECT_EQ(test, ctx->num, 3);
	test_expect_entry(test, &ctx->seen[0], 0x4a, 0x80abcd, 0x123456789020);
	KUNIT_EXPECT_NULL(test, memchr_inv(entry, 0, sizeof(*entry)));

	/* What is not there is not made so */
	intel_pasid_quiet(ctx->info, TEST_PASID, TEST_PGD);
	KUNIT_EXPECT_NULL(test, memchr_inv(entry, 0, sizeof(*entry)));
}

/* A unit with CAP.CM caches that an entry is not present */
static void test_install_caching_mode(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct pasid_entry pte;

	ctx->iommu->cap |= BIT_ULL(7);
	intel_pasid_make_first_level(&pte, ctx->iommu, TEST_PGD, TEST_DID, 0);
	KUNIT_ASSERT_EQ(test, 0,
			intel_pasid_prepare(ctx->info, TEST_PASID, false));
	test_unit_start(test, TEST_PASID);
	intel_pasid_install(ctx->info, TEST_PASID, &pte);
	test_unit_stop(ctx);

	KUNIT_EXPECT_EQ(test, ctx->num, 2);
	KUNIT_EXPECT_EQ(test, ctx->waits, 1);
	test_expect_desc(test, 0, 0x00001234abcd0017, 0);
	test_expect_desc(test, 1, 0x00001234abcd0026, 0);
	test_expect_entry(test, &ctx->seen[0], 0x49, 0x80abcd, 0x123456789020);
}

static void test_page_snoop(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct pasid_entry pte, *entry;

	intel_pasid_make_first_level(&pte, ctx->iommu, TEST_PGD, TEST_DID, 0);
	test_install(test, TEST_PASID, &pte);
	entry = intel_pasid_entry(ctx->info, TEST_PASID);

	test_unit_start(test, TEST_PASID);
	intel_pasid_set_page_snoop(ctx->info, TEST_PASID, TEST_DID_2);
	KUNIT_EXPECT_EQ(test, ctx->num, 0);
	intel_pasid_set_page_snoop(ctx->info, TEST_PASID, TEST_DID);
	intel_pasid_set_page_snoop(ctx->info, TEST_PASID + 1, TEST_DID);
	test_unit_stop(ctx);

	KUNIT_EXPECT_EQ(test, ctx->num, 3);
	KUNIT_EXPECT_EQ(test, ctx->waits, 1);
	test_expect_entry(test, &ctx->seen[0], 0x49, 0x180abcd,
			  0x123456789020);
	KUNIT_EXPECT_EQ(test, entry[1].val[1], 0);
}

static void test_expect_same(struct kunit *test, const struct pasid_entry *pte,
			     const struct pasid_entry *expect)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pte->val); i++)
		KUNIT_EXPECT_EQ(test, pte->val[i], expect->val[i]);
}

/*
 * Where the unit has found the leaf it finds the old entry as it was, for as long
 * as it has not been told. A walk from the top finds the new one.
 */
static void test_replace_one(struct kunit *test, u32 pasid,
			     const struct pasid_entry *old,
			     const struct pasid_entry *new, u64 iotlb, u64 dev)
{
	struct test_ctx *ctx = test->priv;
	struct device_domain_info *info = ctx->info;
	struct pasid_dir_entry *pde = &info->pasid_table->dir[pasid >> 6];
	u64 before = pde->val;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, 0, intel_pasid_prepare(info, pasid, true));
	KUNIT_EXPECT_EQ(test, pde->val, before);
	test_unit_start(test, pasid);
	intel_pasid_replace(info, pasid, new);
	test_unit_stop(ctx);

	/* A directory entry has neither PASID nor domain ID: all of them */
	KUNIT_EXPECT_EQ(test, ctx->num, 3);
	KUNIT_EXPECT_EQ(test, ctx->waits, 1);
	test_expect_desc(test, 0, 0x37, 0);
	test_expect_desc(test, 1, iotlb, 0);
	KUNIT_EXPECT_EQ(test, ctx->desc[2].qw0, dev);
	for (i = 0; i < 3; i++) {
		test_expect_same(test, &ctx->seen[i], old);
		test_expect_same(test, &ctx->walked[i], new);
	}
	KUNIT_EXPECT_NE(test, pde->val, before);
	KUNIT_EXPECT_EQ(test, pde->val & ~PDE_PFN_MASK, 1);
}

static void test_replace(struct kunit *test)
{
	struct pasid_entry first, second, pass, other, *leaf;
	struct test_ctx *ctx = test->priv;

	intel_pasid_make_first_level(&first, ctx->iommu, TEST_PGD, TEST_DID, 0);
	intel_pasid_make_second_level(&second, ctx->iommu, TEST_PGD_2, 2,
				      TEST_DID_2);
	intel_pasid_make_pass_through(&pass, ctx->iommu);
	intel_pasid_make_first_level(&other, ctx->iommu, TEST_PGD_2,
				     TEST_DID_2, 0);
	test_install(test, TEST_PASID, &first);
	test_install(test, TEST_PASID + 1, &other);

	/* It is the old domain ID that hardware has to forget */
	test_replace_one(test, TEST_PASID, &first, &second, 0x00001234abcd0026,
			 0xabc012341234d008);
	test_replace_one(test, TEST_PASID, &second, &pass, 0x0000000013570022,
			 0xabc012341234d008);
	test_replace_one(test, TEST_PASID, &pass, &first, 0x0000123400010026,
			 0xabc012341234d008);

	/* Neighbours are what they were */
	leaf = intel_pasid_entry(ctx->info, TEST_PASID & ~63);
	test_expect_same(test, &leaf[(TEST_PASID & 63) + 1], &other);
	memset(&leaf[TEST_PASID & 63], 0, 2 * sizeof(*leaf));
	KUNIT_EXPECT_NULL(test, memchr_inv(leaf, 0, PAGE_SIZE));

	/* So are the leaves of others */
	test_install(test, PASID_RID2PASID, &second);
	test_replace_one(test, PASID_RID2PASID, &second, &first,
			 0x0000000013570022, 0xabc012340000d003);
	test_expect_same(test, intel_pasid_entry(ctx->info, 0), &first);
	KUNIT_EXPECT_NULL(test, memchr_inv(leaf, 0, PAGE_SIZE));
}

/* After a store to a directory entry: all that it refers to is there */
static void test_look_below(struct perf_event *bp,
			    struct perf_sample_data *data,
			    struct pt_regs *regs)
{
	struct test_ctx *ctx = bp->overflow_handler_context;
	const struct pasid_entry *pte;

	ctx->looks++;
	pte = get_pasid_table_from_pde(ctx->pde);
	if (!pte) {
		ctx->torn++;
		return;
	}
	pte += TEST_PASID & 63;
	if (memcmp(&pte[0], &ctx->expect, sizeof(*pte)) ||
	    memcmp(&pte[1], &ctx->expect_next, sizeof(*pte)))
		ctx->torn++;
}

static void test_replace_order(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct perf_event * __percpu *bp;
	struct pasid_entry pte[2];
	struct perf_event_attr attr;
	unsigned int i;

	intel_pasid_make_first_level(&pte[0], ctx->iommu, TEST_PGD, TEST_DID, 0);
	intel_pasid_make_second_level(&pte[1], ctx->iommu, TEST_PGD_2, 2,
				      TEST_DID_2);
	for (i = 3; i < ARRAY_SIZE(pte[1].val); i++)
		pte[1].val[i] = i;
	ctx->expect_next = pte[0];
	test_install(test, TEST_PASID, &pte[0]);
	test_install(test, TEST_PASID + 1, &pte[0]);

	ctx->pde = &ctx->info->pasid_table->dir[TEST_PASID >> 6];
	test_unit_start(test, TEST_PASID);
	/* It is freed after the first round */
	ctx->entry = NULL;
	hw_breakpoint_init(&attr);
	attr.bp_addr = (unsigned long)ctx->pde;
	attr.bp_len = HW_BREAKPOINT_LEN_8;
	attr.bp_type = HW_BREAKPOINT_W;
	bp = register_wide_hw_breakpoint(&attr, test_look_below, ctx);
	KUNIT_EXPECT_FALSE(test, IS_ERR((void __force *)bp));

	for (i = 1; i <= TEST_ROUNDS; i++) {
		ctx->expect = pte[i & 1];
		if (intel_pasid_prepare(ctx->info, TEST_PASID, true))
			break;
		intel_pasid_replace(ctx->info, TEST_PASID, &pte[i & 1]);
	}
	if (!IS_ERR((void __force *)bp))
		unregister_wide_hw_breakpoint(bp);
	test_unit_stop(ctx);

	KUNIT_EXPECT_EQ(test, ctx->looks, TEST_ROUNDS);
	KUNIT_EXPECT_EQ(test, ctx->torn, 0);
	KUNIT_EXPECT_EQ(test, ctx->num, 3 * TEST_ROUNDS);
	KUNIT_EXPECT_EQ(test, ctx->waits, TEST_ROUNDS);
}

/* Where one word differs it is stored in place, and nobody else is affected */
static void test_replace_word(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct pasid_entry old, new, *entry;

	intel_pasid_make_first_level(&old, ctx->iommu, TEST_PGD, TEST_DID, 0);
	intel_pasid_make_first_level(&new, ctx->iommu, TEST_PGD_2, TEST_DID, 0);
	test_install(test, TEST_PASID, &old);
	entry = intel_pasid_entry(ctx->info, TEST_PASID);

	KUNIT_ASSERT_EQ(test, 0,
			intel_pasid_prepare(ctx->info, TEST_PASID, true));
	test_unit_start(test, TEST_PASID);
	intel_pasid_replace(ctx->info, TEST_PASID, &new);
	test_unit_stop(ctx);

	KUNIT_EXPECT_EQ(test, ctx->num, 3);
	KUNIT_EXPECT_EQ(test, ctx->waits, 1);
	test_expect_desc(test, 0, 0x00001234abcd0017, 0);
	test_expect_desc(test, 1, 0x00001234abcd0026, 0);
	test_expect_desc(test, 2, 0xabc012341234d008, 0x7ffffffffffff800);
	test_expect_same(test, &ctx->seen[0], &new);
	KUNIT_EXPECT_PTR_EQ(test, entry,
			    intel_pasid_entry(ctx->info, TEST_PASID));
}

/* Processes exit whenever they like */
static void test_quiet_meanwhile(struct test_ctx *ctx)
{
	intel_pasid_quiet(ctx->info, TEST_PASID, TEST_PGD);
	intel_pasid_quiet(ctx->info, TEST_PASID + 1, TEST_PGD_2);
	ctx->next = ctx->entry[1];
}

static void test_replace_and_quiet(struct kunit *test)
{
	struct pasid_entry old, new, other, *entry;
	struct test_ctx *ctx = test->priv;

	intel_pasid_make_first_level(&old, ctx->iommu, TEST_PGD, TEST_DID, 0);
	intel_pasid_make_second_level(&new, ctx->iommu, TEST_PGD, 2,
				      TEST_DID_2);
	intel_pasid_make_first_level(&other, ctx->iommu, TEST_PGD_2, TEST_DID,
				     0);
	test_install(test, TEST_PASID, &old);
	test_install(test, TEST_PASID + 1, &other);
	test_install(test, TEST_PASID + 2, &other);

	/* Between having been prepared and being done */
	KUNIT_ASSERT_EQ(test, 0,
			intel_pasid_prepare(ctx->info, TEST_PASID, true));
	intel_pasid_quiet(ctx->info, TEST_PASID + 2, TEST_PGD_2);

	test_unit_start(test, TEST_PASID);
	ctx->meanwhile = test_quiet_meanwhile;
	intel_pasid_replace(ctx->info, TEST_PASID, &new);
	test_unit_stop(ctx);

	/* In the leaf that the unit may still know ... */
	test_expect_entry(test, &ctx->seen[0], 0x4a, 0x80abcd, 0x123456789020);
	test_expect_entry(test, &ctx->next, 0x4a, 0x80abcd, 0x2468ace02020);
	/* ... and in the one that takes its place, but for what is not theirs */
	entry = intel_pasid_entry(ctx->info, TEST_PASID);
	test_expect_same(test, &entry[0], &new);
	test_expect_entry(test, &entry[1], 0x4a, 0x80abcd, 0x2468ace02020);
	test_expect_entry(test, &entry[2], 0x4a, 0x80abcd, 0x2468ace02020);

	/* What is quiet is replaced like everything else */
	KUNIT_ASSERT_EQ(test, 0,
			intel_pasid_prepare(ctx->info, TEST_PASID + 1, true));
	test_unit_start(test, TEST_PASID + 1);
	intel_pasid_replace(ctx->info, TEST_PASID + 1, &new);
	test_unit_stop(ctx);
	KUNIT_EXPECT_EQ(test, ctx->num, 3);
	test_expect_desc(test, 0, 0x37, 0);
	test_expect_desc(test, 1, 0x00001235abcd0026, 0);
}

static void test_range_descs(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct qi_desc desc;

	qi_desc_piotlb_range(&desc, TEST_DID, TEST_PASID, 0x7f0012345000, 0,
			     true);
	KUNIT_EXPECT_EQ(test, desc.qw0, 0x00001234abcd0036);
	KUNIT_EXPECT_EQ(test, desc.qw1, 0x7f0012345040);

	ctx->iommu->cap |= BIT_ULL(54) | BIT_ULL(55);
	qi_desc_iotlb_range(&desc, ctx->iommu, TEST_DID, 0x7f0012340000, 4,
			    false);
	KUNIT_EXPECT_EQ(test, desc.qw0, 0x00000000abcd00f2);
	KUNIT_EXPECT_EQ(test, desc.qw1, 0x7f0012340004);

	/* The lowest bit that is clear tells the size */
	qi_desc_dev_iotlb(&desc, ctx->info, TEST_PASID, 0x7f0012345000, 0);
	KUNIT_EXPECT_EQ(test, desc.qw1, 0x7f0012345000);
	qi_desc_dev_iotlb(&desc, ctx->info, TEST_PASID, 0x7f0012344000, 1);
	KUNIT_EXPECT_EQ(test, desc.qw1, 0x7f0012344800);
	qi_desc_dev_iotlb(&desc, ctx->info, TEST_PASID, 0x7f0012344000, 2);
	KUNIT_EXPECT_EQ(test, desc.qw1, 0x7f0012345800);
	qi_desc_dev_iotlb(&desc, ctx->info, 0, 0x7f0012340000, 4);
	KUNIT_EXPECT_EQ(test, desc.qw1, 0x7f0012347001);
}

/* What is attached, and what is told when tables change */

static void test_ranges(struct kunit *test)
{
	struct intel_cache_range range;
	struct rnd_state rnd;
	u64 first, last, len, from, to, span;
	unsigned int i, j;

	intel_cache_make_range(&range, 0x7f0012345000, 0x7f0012345fff);
	KUNIT_EXPECT_EQ(test, range.num, 1);
	KUNIT_EXPECT_EQ(test, range.addr[0], 0x7f0012345000);
	KUNIT_EXPECT_EQ(test, range.order[0], 0);

	/* Two pages that meet where 2^47 pages do */
	intel_cache_make_range(&range, 0x3ffffffff000, 0x400000000fff);
	KUNIT_EXPECT_EQ(test, range.num, 2);
	KUNIT_EXPECT_EQ(test, range.addr[0], 0x3ffffffff000);
	KUNIT_EXPECT_EQ(test, range.order[0], 0);
	KUNIT_EXPECT_EQ(test, range.addr[1], 0x400000000000);
	KUNIT_EXPECT_EQ(test, range.order[1], 0);

	intel_cache_make_range(&range, 0, ULONG_MAX - 1);
	KUNIT_EXPECT_EQ(test, range.num, 1);
	KUNIT_EXPECT_EQ(test, range.order[0], QI_ORDER_ALL);

	/* All of it, without a gap, and not more than four times as much */
	prandom_seed_state(&rnd, 0x5a);
	for (i = 0; i < 10000; i++) {
		len = 1 + (prandom_u32_state(&rnd) >>
			   (prandom_u32_state(&rnd) % 32));
		first = ((u64)prandom_u32_state(&rnd) << 3) ^
			prandom_u32_state(&rnd);
		last = first + len - 1;
		intel_cache_make_range(&range, first << VTD_PAGE_SHIFT,
				       (last << VTD_PAGE_SHIFT) | 0xfff);
		for (span = 0, to = first, j = 0; j < range.num; j++) {
			from = range.addr[j] >> VTD_PAGE_SHIFT;
			if (from > to || from & ((1ULL << range.order[j]) - 1))
				break;
			to = from + (1ULL << range.order[j]);
			span += 1ULL << range.order[j];
		}
		if (j != range.num || to <= last || span > 4 * len)
			break;
	}
	KUNIT_EXPECT_EQ(test, i, 10000);
}

/* The device, and a unit that it can have SVA domains of */
static struct iommu_domain *test_sva_domain(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct device_domain_info *info = ctx->info;
	struct iommu_domain *domain;

	info->dev->iommu = test_alloc(test, sizeof(*info->dev->iommu));
	dev_iommu_priv_set(info->dev, info);
	info->pasid_enabled = 1;
	info->pri_enabled = 1;
	info->sva_enabled = 1;
	ctx->iommu->flags |= VTD_FLAG_SVM_CAPABLE;
	/* PSI, MAMV of 9; a queue for page requests, which is empty */
	ctx->iommu->cap |= BIT_ULL(39) | 9ULL << 48;
	ctx->iommu->prq = test_alloc(test, sizeof(u64));

	domain = intel_svm_domain_alloc(info->dev, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(domain));
	domain->mm = test_alloc(test, sizeof(*domain->mm));
	domain->mm->pgd = test_alloc(test, PAGE_SIZE);
	/* With a PASID that is not its own it may have another domain ID */
	domain->mm->pasid = TEST_PASID;
	return domain;
}

static void test_sva(struct kunit *test)
{
	struct iommu_domain *domain = test_sva_domain(test);
	const struct iommu_domain_ops *ops = domain->ops;
	struct test_ctx *ctx = test->priv;
	struct device *dev = ctx->info->dev;
	struct pasid_entry *entry;

	KUNIT_ASSERT_EQ(test, 0, ops->attach_dev_pasid(domain, dev, TEST_PASID,
						       NULL));
	entry = intel_pasid_entry(ctx->info, TEST_PASID);
	test_expect_entry(test, entry, 0x49, 0x800001,
			  __pa(domain->mm->pgd) | 0x20);

	/* Known by the time that an unmap returns, in the order of filling */
	test_unit_start(test, TEST_PASID);
	ops->invalidate_range(domain, 0x7f0012345000, 0x7f0012346000);
	KUNIT_EXPECT_EQ(test, ctx->waits, 1);
	KUNIT_EXPECT_EQ(test, ctx->num, 2);
	test_expect_desc(test, 0, 0x0000123400010036, 0x7f0012345000);
	test_expect_desc(test, 1, 0xabc012341234d008, 0x7f0012345000);

	/* More than the unit takes at once is all of the PASID */
	ops->invalidate_range(domain, 0x7f0000000000, 0x7f0000400000);
	KUNIT_EXPECT_EQ(test, ctx->waits, 2);
	test_expect_desc(test, 2, 0x0000123400010026, 0);
	test_expect_desc(test, 3, 0xabc012341234d008, 0x7f00001ff800);
	KUNIT_EXPECT_EQ(test, ctx->num, 4);

	ops->detach_dev_pasid(domain, dev, TEST_PASID);
	KUNIT_EXPECT_NULL(test, memchr_inv(entry, 0, sizeof(*entry)));
	KUNIT_EXPECT_EQ(test, ctx->waits, 4);
	KUNIT_EXPECT_EQ(test, ctx->drains, 1);
	KUNIT_EXPECT_EQ(test, ctx->num, 9);
	test_expect_desc(test, 4, 0x0000123400010017, 0);

	/* There is nobody left to be told */
	ops->invalidate_range(domain, 0x7f0012345000, 0x7f0012346000);
	test_unit_stop(ctx);
	KUNIT_EXPECT_EQ(test, ctx->num, 9);
	KUNIT_EXPECT_EQ(test, ctx->waits, 4);
	ops->free(domain);
}

static void test_sva_exit(struct kunit *test)
{
	struct iommu_domain *domain = test_sva_domain(test);
	const struct iommu_domain_ops *ops = domain->ops;
	struct test_ctx *ctx = test->priv;
	struct device *dev = ctx->info->dev;

	KUNIT_ASSERT_EQ(test, 0, ops->attach_dev_pasid(domain, dev, TEST_PASID,
						       NULL));
	test_unit_start(test, TEST_PASID);
	ops->quiesce(domain);
	KUNIT_EXPECT_EQ(test, ctx->num, 3);
	KUNIT_EXPECT_EQ(test, ctx->waits, 1);
	test_expect_desc(test, 0, 0x0000123400010017, 0);
	test_expect_desc(test, 1, 0x0000123400010026, 0);
	test_expect_desc(test, 2, 0xabc012341234d008, 0x7ffffffffffff800);
	test_expect_entry(test, &ctx->seen[0], 0x4a, 0x800001,
			  __pa(domain->mm->pgd) | 0x20);

	/* What is unmapped while the mm goes away is not cached any more */
	ops->invalidate_range(domain, 0, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, ctx->waits, 1);

	/* The device may have asked for pages before, and waits for answers */
	ops->detach_dev_pasid(domain, dev, TEST_PASID);
	test_unit_stop(ctx);
	KUNIT_EXPECT_EQ(test, ctx->drains, 1);
	ops->free(domain);
}

/* How many descriptors an unmap in a domain would submit */
static unsigned int test_told_in(struct iommu_domain *domain, bool doubt)
{
	struct intel_cache_range range = {
		.num = 1,
		.addr[0] = 0x7f0012345000,
		.doubt = doubt,
	};
	struct qi_desc desc[INTEL_CACHE_BATCH];
	const struct intel_cache *cache;
	unsigned int pos = 0, num = 0;

	rcu_read_lock();
	cache = rcu_dereference(to_dmar_domain(domain)->cache);
	if (cache && cache->num)
		num = intel_cache_fill(cache, &pos, &range, false, desc);
	rcu_read_unlock();
	return num;
}

static unsigned int test_told(struct iommu_domain *domain)
{
	return test_told_in(domain, false);
}

static void test_told_meanwhile(struct test_ctx *ctx)
{
	ctx->told_from = test_told(ctx->from);
	ctx->told_to = test_told(ctx->to);
}

static void test_replace_domain(struct kunit *test, struct iommu_domain *from,
				struct iommu_domain *to, u64 pasid_cache,
				u64 iotlb)
{
	struct test_ctx *ctx = test->priv;
	struct device *dev = ctx->info->dev;

	ctx->from = from;
	ctx->to = to;
	test_unit_start(test, TEST_PASID);
	ctx->meanwhile = test_told_meanwhile;
	KUNIT_EXPECT_EQ(test, 0, to->ops->attach_dev_pasid(to, dev, TEST_PASID,
							   from));
	test_unit_stop(ctx);

	/* An entry, then what the device has asked for: a round for each */
	KUNIT_EXPECT_EQ(test, ctx->num, 5);
	KUNIT_EXPECT_EQ(test, ctx->waits, 2);
	KUNIT_EXPECT_EQ(test, ctx->drains, 1);
	test_expect_desc(test, 0, pasid_cache, 0);
	test_expect_desc(test, 1, iotlb, 0);
	test_expect_desc(test, 2, 0xabc012341234d008, 0x7ffffffffffff800);

	/* Both are told until hardware has forgotten the one, then the other */
	KUNIT_EXPECT_EQ(test, ctx->told_from, 2);
	KUNIT_EXPECT_EQ(test, ctx->told_to, 2);
	KUNIT_EXPECT_EQ(test, test_told(from), 0);
	KUNIT_EXPECT_EQ(test, test_told(to), 2);

	/* One that is gone is not asked again when it has not answered */
	KUNIT_EXPECT_EQ(test, test_told_in(to, true), 2);
	test_device_gone = true;
	KUNIT_EXPECT_EQ(test, test_told_in(to, true), 1);
	test_device_gone = false;
}

static void test_sva_replace(struct kunit *test)
{
	struct iommu_domain *a = test_sva_domain(test), *b;
	struct test_ctx *ctx = test->priv;
	struct device *dev = ctx->info->dev;
	struct pasid_entry *entry;

	b = intel_svm_domain_alloc(dev, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(b));
	b->mm = test_alloc(test, sizeof(*b->mm));
	b->mm->pgd = test_alloc(test, PAGE_SIZE);
	b->mm->pasid = TEST_PASID;

	KUNIT_ASSERT_EQ(test, 0,
			a->ops->attach_dev_pasid(a, dev, TEST_PASID, NULL));
	entry = intel_pasid_entry(ctx->info, TEST_PASID);
	KUNIT_EXPECT_EQ(test, -EBUSY,
			b->ops->attach_dev_pasid(b, dev, TEST_PASID, NULL));
	KUNIT_EXPECT_EQ(test, test_told(b), 0);

	test_replace_domain(test, a, b, 0x0000123400010017, 0x0000123400010026);
	test_expect_entry(test, &ctx->seen[0], 0x49, 0x800001,
			  __pa(b->mm->pgd) | 0x20);
	KUNIT_EXPECT_PTR_EQ(test, entry,
			    intel_pasid_entry(ctx->info, TEST_PASID));
	KUNIT_EXPECT_EQ(test, atomic_read(&ctx->info->pasids), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&ctx->iommu->sva_attached), 1);

	/* Failure leaves what is there */
	ctx->info->sva_enabled = 0;
	KUNIT_EXPECT_EQ(test, -ENODEV,
			a->ops->attach_dev_pasid(a, dev, TEST_PASID, b));
	test_expect_entry(test, entry, 0x49, 0x800001,
			  __pa(b->mm->pgd) | 0x20);
	KUNIT_EXPECT_EQ(test, test_told(b), 2);

	test_unit_start(test, TEST_PASID);
	b->ops->detach_dev_pasid(b, dev, TEST_PASID);
	test_unit_stop(ctx);
	KUNIT_EXPECT_EQ(test, atomic_read(&ctx->info->pasids), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&ctx->iommu->sva_attached), 0);
	a->ops->free(a);
	b->ops->free(b);
}

/* A domain of the DMA or IOMMU API, and a unit that has domain IDs from 2 on */
static struct iommu_domain *test_paging_domain(struct kunit *test,
					       bool first_level)
{
	const struct iommu_domain_ops *ops = intel_iommu_ops.default_domain_ops;
	struct test_ctx *ctx = test->priv;
	struct intel_iommu *iommu = ctx->iommu;
	struct iommu_domain *domain;

	if (!iommu->domain_ids) {
		spin_lock_init(&iommu->lock);
		iommu->domain_ids = test_alloc(test, sizeof(u64));
		iommu->domain_ids[0] = 3;
		/* MGAW */
		iommu->cap |= 47ULL << 16;
	}

	domain = intel_iommu_ops.domain_alloc(IOMMU_DOMAIN_UNMANAGED);
	KUNIT_ASSERT_NOT_NULL(test, domain);
	domain->ops = ops;
	domain->type = IOMMU_DOMAIN_UNMANAGED;
	to_dmar_domain(domain)->flags = first_level ?
					DOMAIN_FLAG_USE_FIRST_LEVEL : 0;
	return domain;
}

/* Processes, first and second level take the place of each other */
static void test_paging_replace(struct kunit *test)
{
	struct iommu_domain *sva = test_sva_domain(test);
	struct iommu_domain *first = test_paging_domain(test, true);
	struct iommu_domain *second = test_paging_domain(test, false);
	struct test_ctx *ctx = test->priv;
	struct device *dev = ctx->info->dev;
	unsigned long *ids = ctx->iommu->domain_ids;
	struct pasid_entry *entry, before;

	KUNIT_ASSERT_EQ(test, 0,
			sva->ops->attach_dev_pasid(sva, dev, TEST_PASID, NULL));

	test_replace_domain(test, sva, first, 0x37, 0x0000123400010026);
	KUNIT_EXPECT_EQ(test, atomic_read(&ctx->info->pasids), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&ctx->iommu->sva_attached), 0);
	KUNIT_EXPECT_EQ(test, ids[0], 7);
	test_expect_entry(test, intel_pasid_entry(ctx->info, TEST_PASID),
			  0x49, 0x800002,
			  virt_to_phys(to_dmar_domain(first)->pgd) | 0x20);

	test_replace_domain(test, first, second, 0x37, 0x0000123400020026);
	KUNIT_EXPECT_EQ(test, ids[0], 0xb);
	KUNIT_EXPECT_TRUE(test, xa_empty(&to_dmar_domain(first)->iommu_array));
	test_expect_entry(test, intel_pasid_entry(ctx->info, TEST_PASID),
			  virt_to_phys(to_dmar_domain(second)->pgd) | 0x89,
			  0x800003, 1);

	/* Failure leaves what is there */
	before = *intel_pasid_entry(ctx->info, TEST_PASID);
	ids[0] = ~0UL;
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			first->ops->attach_dev_pasid(first, dev, TEST_PASID,
						     second));
	ids[0] = 0xb;
	entry = intel_pasid_entry(ctx->info, TEST_PASID);
	test_expect_same(test, entry, &before);
	KUNIT_EXPECT_EQ(test, test_told(second), 2);

	test_replace_domain(test, second, sva, 0x37, 0x0000000000030022);
	KUNIT_EXPECT_EQ(test, ids[0], 3);
	KUNIT_EXPECT_EQ(test, atomic_read(&ctx->info->pasids), 1);

	test_unit_start(test, TEST_PASID);
	sva->ops->detach_dev_pasid(sva, dev, TEST_PASID);
	test_unit_stop(ctx);
	sva->ops->free(sva);
	first->ops->free(first);
	second->ops->free(second);
}

static void test_rid_replace(struct kunit *test)
{
	struct iommu_domain *sva = test_sva_domain(test);
	struct iommu_domain *first = test_paging_domain(test, true);
	struct iommu_domain *second = test_paging_domain(test, false);
	struct test_ctx *ctx = test->priv;
	struct device_domain_info *info = ctx->info;
	unsigned long *ids = ctx->iommu->domain_ids;
	struct pasid_entry before, after;

	ctx->iommu->root_entry = test_alloc(test, PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, 0, first->ops->attach_dev(first, info->dev));
	before = *intel_pasid_entry(info, 0);
	test_expect_entry(test, &before, 0x49, 0x800002,
			  virt_to_phys(to_dmar_domain(first)->pgd) | 0x20);

	ctx->from = first;
	ctx->to = second;
	test_unit_start(test, PASID_RID2PASID);
	ctx->meanwhile = test_told_meanwhile;
	KUNIT_EXPECT_EQ(test, 0, second->ops->attach_dev(second, info->dev));
	test_unit_stop(ctx);

	test_expect_desc(test, 0, 0x37, 0);
	test_expect_desc(test, 1, 0x0000000000020026, 0);
	test_expect_desc(test, 2, 0xabc012340000d003, 0x7ffffffffffff001);
	after = *intel_pasid_entry(info, 0);
	test_expect_entry(test, &after,
			  virt_to_phys(to_dmar_domain(second)->pgd) | 0x89,
			  0x800003, 1);
	test_expect_same(test, &ctx->seen[0], &before);
	test_expect_same(test, &ctx->walked[0], &after);

	/* Of the new domain's the device is in the list */
	KUNIT_EXPECT_EQ(test, ctx->told_from, 2);
	KUNIT_EXPECT_EQ(test, test_told(first), 0);
	KUNIT_EXPECT_PTR_EQ(test, info->domain, to_dmar_domain(second));
	KUNIT_EXPECT_TRUE(test, to_dmar_domain(second)->has_iotlb_device);
	KUNIT_EXPECT_FALSE(test, to_dmar_domain(first)->has_iotlb_device);
	KUNIT_EXPECT_TRUE(test, list_empty(&to_dmar_domain(first)->devices));
	KUNIT_EXPECT_EQ(test, ids[0], 0xb);

	/* Failure leaves what is there */
	ids[0] = ~0UL;
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			first->ops->attach_dev(first, info->dev));
	ids[0] = 0xb;
	ctx->iommu->ecap &= ~BIT_ULL(47);
	KUNIT_EXPECT_EQ(test, -EINVAL,
			first->ops->attach_dev(first, info->dev));
	test_expect_same(test, intel_pasid_entry(info, 0), &after);
	KUNIT_EXPECT_PTR_EQ(test, info->domain, to_dmar_domain(second));
	KUNIT_EXPECT_FALSE(test, list_empty(&to_dmar_domain(second)->devices));
	KUNIT_EXPECT_EQ(test, test_told(second), 0);
	KUNIT_EXPECT_EQ(test, ids[0], 0xb);

	test_unit_start(test, PASID_RID2PASID);
	second->ops->detach_dev(second, info->dev);
	test_unit_stop(ctx);
	KUNIT_EXPECT_EQ(test, ids[0], 3);
	free_pgtable_page(iommu_context_addr(ctx->iommu, info->bus, 0, 0));
	sva->ops->free(sva);
	first->ops->free(first);
	second->ops->free(second);
}

/* Its PASID table is to be freed */
static struct device_domain_info *test_second_device(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct device_domain_info *info = test_alloc(test, sizeof(*info));
	struct pci_dev *pdev = test_alloc(test, sizeof(*pdev));

	*pdev = *ctx->pdev;
	*info = *ctx->info;
	info->dev = &pdev->dev;
	info->devfn = 0x35;
	spin_lock_init(&info->lock);
	info->dev->iommu = test_alloc(test, sizeof(*info->dev->iommu));
	dev_iommu_priv_set(info->dev, info);
	KUNIT_ASSERT_EQ(test, 0, intel_pasid_alloc_table(info));
	return info;
}

/* Two PASIDs of two devices: an IOTLB each, and a TLB each; one wait */
static void test_sva_two_devices(struct kunit *test)
{
	struct iommu_domain *domain = test_sva_domain(test);
	const struct iommu_domain_ops *ops = domain->ops;
	struct test_ctx *ctx = test->priv;
	struct device_domain_info *info = test_second_device(test);
	struct device *dev[2] = { ctx->info->dev, info->dev };
	unsigned int i;

	for (i = 0; i < 2; i++)
		KUNIT_ASSERT_EQ(test, 0,
				ops->attach_dev_pasid(domain, dev[i],
						      TEST_PASID, NULL));

	test_unit_start(test, TEST_PASID);
	ops->invalidate_range(domain, 0x7f0012345000, 0x7f0012346000);
	KUNIT_EXPECT_EQ(test, ctx->waits, 1);
	KUNIT_EXPECT_EQ(test, ctx->num, 3);
	test_expect_desc(test, 0, 0x0000123400010036, 0x7f0012345000);

	/* The IOTLB stays until the last one has gone */
	ops->detach_dev_pasid(domain, dev[0], TEST_PASID);
	i = ctx->num;
	ops->invalidate_range(domain, 0x7f0012345000, 0x7f0012346000);
	KUNIT_EXPECT_EQ(test, ctx->num, i + 2);
	test_expect_desc(test, i, 0x0000123400010036, 0x7f0012345000);
	test_expect_desc(test, i + 1, 0xabc012341235d008, 0x7f0012345000);

	ops->detach_dev_pasid(domain, dev[1], TEST_PASID);
	test_unit_stop(ctx);
	ops->free(domain);
	intel_pasid_free_table(info);
}

/*
 * First level translations are cached by domain ID and PASID, whatever device
 * they are for: two processes on one PASID need two domain IDs.
 */
static void test_sva_domain_ids(struct kunit *test)
{
	struct iommu_domain *a = test_sva_domain(test), *b;
	struct device_domain_info *second = test_second_device(test);
	struct iommu_domain *unused = test_paging_domain(test, true);
	struct test_ctx *ctx = test->priv;
	struct pasid_entry *entry[2];

	b = intel_svm_domain_alloc(second->dev, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(b));
	b->mm = test_alloc(test, sizeof(*b->mm));
	b->mm->pgd = test_alloc(test, PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, 0, a->ops->attach_dev_pasid(a, ctx->info->dev,
							  TEST_PASID, NULL));
	KUNIT_ASSERT_EQ(test, 0, b->ops->attach_dev_pasid(b, second->dev,
							  TEST_PASID, NULL));
	entry[0] = intel_pasid_entry(ctx->info, TEST_PASID);
	entry[1] = intel_pasid_entry(second, TEST_PASID);
	KUNIT_EXPECT_NE_MSG(test, entry[0]->val[1] & 0xffff,
			    entry[1]->val[1] & 0xffff,
			    "two processes share a domain ID and a PASID");

	test_unit_start(test, TEST_PASID);
	a->ops->detach_dev_pasid(a, ctx->info->dev, TEST_PASID);
	b->ops->detach_dev_pasid(b, second->dev, TEST_PASID);
	test_unit_stop(ctx);
	intel_pasid_free_table(second);
	unused->ops->free(unused);
	a->ops->free(a);
	b->ops->free(b);
}

/* A failed attach leaves the domain able to map what it could map before. */
static void test_attach_fails(struct kunit *test)
{
	struct iommu_domain *sva = test_sva_domain(test);
	struct iommu_domain *domain = test_paging_domain(test, false);
	struct dmar_domain *dmar_domain = to_dmar_domain(domain);
	struct test_ctx *ctx = test->priv;
	unsigned long *ids = ctx->iommu->domain_ids;
	int agaw = dmar_domain->agaw, gaw = dmar_domain->gaw;

	KUNIT_ASSERT_GT(test, agaw, ctx->iommu->agaw);
	ids[0] = ~0UL;
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			domain->ops->attach_dev_pasid(domain, ctx->info->dev,
						      TEST_PASID, NULL));
	ids[0] = 3;
	KUNIT_EXPECT_EQ_MSG(test, dmar_domain->agaw, agaw,
			    "a failed attach has taken levels off the tables");
	KUNIT_EXPECT_EQ(test, dmar_domain->gaw, gaw);
	domain->ops->free(domain);
	sva->ops->free(sva);
}

/* An attach may sleep, so it need not fail for lack of atomic memory. */
static void test_attach_sleeps(struct kunit *test)
{
	struct iommu_domain *domain = test_sva_domain(test);
	struct test_ctx *ctx = test->priv;
	struct device *dev = ctx->info->dev;
	struct kunit_fail_alloc fail;
	bool failed;
	int ret;

	if (!kunit_fail_alloc_begin(&fail)) {
		domain->ops->free(domain);
		kunit_skip(test, "needs CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS");
	}

	/* Leave out what may sleep again */
	*fail.slab = true;
	if (fail.page)
		*fail.page = true;
	kunit_fail_alloc_arm(1);
	ret = domain->ops->attach_dev_pasid(domain, dev, TEST_PASID, NULL);
	failed = kunit_fail_alloc_disarm();
	kunit_fail_alloc_end(&fail);
	KUNIT_EXPECT_EQ(test, 0, ret);
	KUNIT_EXPECT_FALSE_MSG(test, failed, "an attach allocates GFP_ATOMIC");
	if (!ret) {
		test_unit_start(test, TEST_PASID);
		domain->ops->detach_dev_pasid(domain, dev, TEST_PASID);
		test_unit_stop(ctx);
	}
	domain->ops->free(domain);
}

/*
 * A device that is present and does not answer. Each request takes the unit, and
 * the batches of all others on it, up to the time-out.
 */
#define TEST_MAX_ITES	20

static void test_no_answer(struct kunit *test, bool detach)
{
	struct iommu_domain *domain = test_sva_domain(test);
	const struct iommu_domain_ops *ops = domain->ops;
	struct test_ctx *ctx = test->priv;
	struct device *dev = ctx->info->dev;

	KUNIT_ASSERT_EQ(test, 0,
			ops->attach_dev_pasid(domain, dev, TEST_PASID, NULL));
	test_unit_start(test, TEST_PASID);
	ctx->max_ites = TEST_MAX_ITES;
	if (detach)
		ops->detach_dev_pasid(domain, dev, TEST_PASID);
	else
		ops->invalidate_range(domain, 0x7f0012345000, 0x7f0012346000);
	KUNIT_EXPECT_LE_MSG(test, ctx->ites, 4U,
			    "a device that does not answer is asked without bound");
	ctx->max_ites = ctx->ites;
	test_device_gone = false;
	if (!detach)
		ops->detach_dev_pasid(domain, dev, TEST_PASID);
	test_unit_stop(ctx);
	ops->free(domain);
}

static void test_no_answer_unmap(struct kunit *test)
{
	test_no_answer(test, false);
}

static void test_no_answer_detach(struct kunit *test)
{
	test_no_answer(test, true);
}

static void test_make_batch(struct qi_desc *desc)
{
	qi_desc_pasid_cache(&desc[0], TEST_DID, TEST_PASID);
	qi_desc_piotlb_pasid(&desc[1], TEST_DID, TEST_PASID);
	qi_desc_piotlb_pasid(&desc[2], TEST_DID, TEST_PASID + 1);
}

/* The unit refuses the second of three descriptors; the others are executed. */
static void test_batch(struct kunit *test, bool iqe)
{
	struct test_ctx *ctx = test->priv;
	struct qi_desc desc[3];
	unsigned int num;
	int ret;

	test_make_batch(desc);
	test_unit_start(test, TEST_PASID);
	ctx->late_us = 20 * USEC_PER_MSEC;
	ctx->iqe_at = (ctx->iommu->qi->free_head + 1) % QI_LENGTH;
	WRITE_ONCE(ctx->iqe, iqe);
	ret = qi_submit_once(ctx->iommu, desc, 3, 0);
	num = READ_ONCE(ctx->num);
	msleep(100);
	test_unit_stop(ctx);
	KUNIT_EXPECT_EQ(test, ctx->iqes, iqe);
	KUNIT_EXPECT_EQ(test, ret, iqe ? -EINVAL : 0);
	KUNIT_EXPECT_EQ_MSG(test, num, iqe ? 2 : 3,
			    "the rest of the batch is not executed on return");
}

static void test_batch_good(struct kunit *test)
{
	test_batch(test, false);
}

static void test_batch_refused(struct kunit *test)
{
	test_batch(test, true);
}

/* When a detach returns, nothing is cached, also if there was an error. */
static void test_tear_down_refused(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	unsigned int iotlbs, dev_tlbs;
	struct pasid_entry pte;

	intel_pasid_make_first_level(&pte, ctx->iommu, TEST_PGD, TEST_DID, 0);
	test_install(test, TEST_PASID, &pte);
	test_unit_start(test, TEST_PASID);
	ctx->late_us = 20 * USEC_PER_MSEC;
	ctx->iqe_at = ctx->iommu->qi->free_head;
	WRITE_ONCE(ctx->iqe, true);
	intel_pasid_tear_down(ctx->info, TEST_PASID);
	iotlbs = READ_ONCE(ctx->iotlbs);
	dev_tlbs = READ_ONCE(ctx->dev_tlbs);
	msleep(100);
	test_unit_stop(ctx);
	KUNIT_EXPECT_EQ(test, ctx->iqes, 1);
	KUNIT_EXPECT_GE_MSG(test, iotlbs, 1U, "the IOTLB is not invalidated");
	KUNIT_EXPECT_GE_MSG(test, dev_tlbs, 1U,
			    "the device TLB is not invalidated");
}

/*
 * A refused descriptor in a batch that has another one ahead of it. Whether its
 * room is lost depends on who is first, the unit or the CPU that waits for it.
 */
#define TEST_ROOM_ROUNDS	10

static bool test_room_round(struct kunit *test, bool iqe)
{
	struct test_ctx *ctx = test->priv;
	struct intel_iommu *iommu = ctx->iommu;
	struct q_inval *qi = iommu->qi;
	struct qi_ticket first, second;
	struct qi_desc desc[3];
	unsigned int i, free;
	unsigned long flags;
	bool posted = true;
	int ret;

	test_make_batch(desc);
	test_unit_start(test, TEST_PASID);
	/* Later than a CPU that waits goes on */
	ctx->late_us = 50 * USEC_PER_MSEC;
	ctx->iqe_at = (qi->free_head + 3) % QI_LENGTH;
	WRITE_ONCE(ctx->iqe, iqe);
	local_irq_save(flags);
	posted &= qi_post(iommu, desc, 1, 0, &first);
	posted &= qi_post(iommu, desc, 3, 0, &second);
	ret = qi_wait(iommu, &second);
	/* As long as posting to other units may take */
	for (i = 0; i < 100 && READ_ONCE(ctx->num) < (iqe ? 3 : 4); i++)
		mdelay(1);
	mdelay(20);
	qi_wait(iommu, &first);
	local_irq_restore(flags);
	free = qi->free_cnt;
	test_unit_stop(ctx);
	KUNIT_EXPECT_TRUE(test, posted);
	KUNIT_EXPECT_EQ(test, ret, iqe ? -EINVAL : 0);
	return free == QI_LENGTH;
}

static void test_room_good(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, test_room_round(test, false));
}

static void test_room_refused(struct kunit *test)
{
	unsigned int i;

	for (i = 1; i <= TEST_ROOM_ROUNDS; i++)
		if (!test_room_round(test, true))
			break;
	KUNIT_EXPECT_GT_MSG(test, i, TEST_ROOM_ROUNDS,
			    "room in the queue is lost for ever, in round %u", i);
}

/*
 * Two pages of a RID domain are unmapped. A descriptor covers a naturally aligned
 * power of two, so for pages 3 and 4 it is pages 0 to 7.
 */
static void test_rid_unmap(struct kunit *test, unsigned int page)
{
	struct iommu_domain *sva = test_sva_domain(test);
	struct iommu_domain *rid = test_paging_domain(test, true);
	struct test_ctx *ctx = test->priv;
	struct device_domain_info *info = ctx->info;
	unsigned int i, num = 0, order, first;
	struct iommu_iotlb_gather gather;
	u64 qw1 = 0;

	ctx->iommu->root_entry = test_alloc(test, PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, 0, rid->ops->attach_dev(rid, info->dev));
	iommu_iotlb_gather_init(&gather);
	gather.start = (u64)page << VTD_PAGE_SHIFT;
	gather.end = gather.start + 2 * VTD_PAGE_SIZE - 1;
	gather.pgsize = VTD_PAGE_SIZE;
	INIT_LIST_HEAD(&gather.freelist);
	test_unit_start(test, PASID_RID2PASID);
	rid->ops->iotlb_sync(rid, &gather);
	for (i = 0; i < min_t(unsigned int, ctx->num, TEST_MAX_DESCS); i++) {
		if (test_desc_type(&ctx->desc[i]) != QI_DIOTLB_TYPE)
			continue;
		qw1 = ctx->desc[i].qw1;
		num++;
	}
	/* The lowest bit of the address that is clear tells the size. */
	order = qw1 & 1 ? ffz(qw1 >> VTD_PAGE_SHIFT) + 1 : 0;
	first = (qw1 >> VTD_PAGE_SHIFT) >> order << order;
	KUNIT_EXPECT_EQ(test, num, 1U);
	KUNIT_EXPECT_LE(test, first, page);
	KUNIT_EXPECT_GE_MSG(test, first + (1U << order), page + 2,
			    "the last page stays in the device TLB");

	rid->ops->detach_dev(rid, info->dev);
	test_unit_stop(ctx);
	free_pgtable_page(iommu_context_addr(ctx->iommu, info->bus, 0, 0));
	sva->ops->free(sva);
	rid->ops->free(rid);
}

static void test_rid_unmap_aligned(struct kunit *test)
{
	test_rid_unmap(test, 2);
}

static void test_rid_unmap_unaligned(struct kunit *test)
{
	test_rid_unmap(test, 3);
}

/* Requests without PASID are refused, so there are none to drain. */
static void test_rid_replace_drain(struct kunit *test)
{
	struct iommu_domain *sva = test_sva_domain(test);
	struct iommu_domain *from = test_paging_domain(test, false);
	struct iommu_domain *to = test_paging_domain(test, false);
	struct test_ctx *ctx = test->priv;
	struct device_domain_info *info = ctx->info;

	ctx->iommu->root_entry = test_alloc(test, PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, 0, from->ops->attach_dev(from, info->dev));
	test_unit_start(test, PASID_RID2PASID);
	KUNIT_EXPECT_EQ(test, 0, to->ops->attach_dev(to, info->dev));
	KUNIT_EXPECT_EQ_MSG(test, ctx->drains, 0,
			    "replacing an RID domain drains page requests");
	to->ops->detach_dev(to, info->dev);
	test_unit_stop(ctx);
	free_pgtable_page(iommu_context_addr(ctx->iommu, info->bus, 0, 0));
	sva->ops->free(sva);
	from->ops->free(from);
	to->ops->free(to);
}

static void test_page_response(struct kunit *test)
{
	struct iommu_fault_event evt = {
		.fault.prm.flags = IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE,
	};
	struct iommu_page_response resp = {
		.pasid = TEST_PASID,
		.grpid = 0x155,
		.code = IOMMU_PAGE_RESP_INVALID,
	};
	struct iommu_domain *domain = test_sva_domain(test);
	struct test_ctx *ctx = test->priv;

	test_unit_start(test, TEST_PASID);
	KUNIT_EXPECT_EQ(test, 0, intel_prq_page_response(ctx->info->dev, &evt,
							 &resp));
	resp.flags = IOMMU_PAGE_RESP_PASID_VALID;
	resp.code = IOMMU_PAGE_RESP_SUCCESS;
	KUNIT_EXPECT_EQ(test, 0, intel_prq_page_response(ctx->info->dev, &evt,
							 &resp));
	test_unit_stop(ctx);

	/* With the PASID if the device wants one */
	KUNIT_EXPECT_EQ(test, ctx->num, 2);
	test_expect_desc(test, 0, 0x0000000012341009, 0xaac);
	test_expect_desc(test, 1, 0x0000123412340019, 0xaac);
	domain->ops->free(domain);
}

static struct kunit_case intel_iommu_test_cases[] = {
	KUNIT_CASE(test_first_level_bytes),
	KUNIT_CASE(test_second_level_bytes),
	KUNIT_CASE(test_pass_through_bytes),
	KUNIT_CASE(test_range_descs),
	KUNIT_CASE(test_table_growth),
	KUNIT_CASE(test_store_order),
	KUNIT_CASE(test_tear_down),
	KUNIT_CASE(test_tear_down_second_level),
	KUNIT_CASE(test_tear_down_rid),
	KUNIT_CASE(test_tear_down_without_ats),
	KUNIT_CASE(test_quiet),
	KUNIT_CASE(test_install_caching_mode),
	KUNIT_CASE(test_page_snoop),
	KUNIT_CASE(test_replace),
	KUNIT_CASE(test_replace_order),
	KUNIT_CASE(test_replace_word),
	KUNIT_CASE(test_replace_and_quiet),
	KUNIT_CASE(test_ranges),
	KUNIT_CASE(test_sva),
	KUNIT_CASE(test_sva_exit),
	KUNIT_CASE(test_sva_replace),
	KUNIT_CASE(test_paging_replace),
	KUNIT_CASE(test_rid_replace),
	KUNIT_CASE(test_sva_two_devices),
	KUNIT_CASE(test_sva_domain_ids),
	KUNIT_CASE(test_attach_fails),
	KUNIT_CASE(test_attach_sleeps),
	KUNIT_CASE(test_no_answer_unmap),
	KUNIT_CASE(test_no_answer_detach),
	KUNIT_CASE(test_batch_good),
	KUNIT_CASE(test_batch_refused),
	KUNIT_CASE(test_tear_down_refused),
	KUNIT_CASE(test_room_good),
	KUNIT_CASE(test_room_refused),
	KUNIT_CASE(test_rid_unmap_aligned),
	KUNIT_CASE(test_rid_unmap_unaligned),
	KUNIT_CASE(test_rid_replace_drain),
	KUNIT_CASE(test_page_response),
	{},
};

static struct kunit_suite intel_iommu_test_suite = {
	.name		= "intel_iommu",
	.init		= test_init,
	.exit		= test_exit,
	.test_cases	= intel_iommu_test_cases,
};

kunit_test_suite(intel_iommu_test_suite);
