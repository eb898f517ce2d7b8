// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for what the driver writes for an SMMUv3 to read
 *
 * The instances are made of memory. Producer and consumer index of a command
 * queue are the same word, so every command is complete at once and stays in the
 * queue for the test to look at.
 */

#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/iopoll.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "arm-smmu-v3.h"

#define TEST_CMDQ_SHIFT		10
#define TEST_EVTQ_SHIFT		3
#define TEST_NR			2
#define TEST_MAX_SYNCS		8

/* For what is waited for, and for what must not happen meanwhile */
#define TEST_POLL_US		1000
#define TEST_TIMEOUT_US		(10 * USEC_PER_SEC)
#define TEST_WHILE_MS		20

/* An instance, and a device behind it */
struct test_smmu {
	struct arm_smmu_device	*smmu;
	u32			cmdq_index;
	u32			cmdq_full;
	u32			evtq_prod;
	u32			evtq_cons;
	u32			seen;		/* Index of the next command */
	struct arm_smmu_master	master;
	struct arm_smmu_stream	streams[3];
	struct dev_iommu	iommu;
	struct platform_device	*pdev;
};

struct test_ctx {
	struct test_smmu	s[TEST_NR];
};

static void test_queue(struct kunit *test, struct arm_smmu_queue *q,
		       unsigned int shift, size_t dwords, u32 *prod, u32 *cons)
{
	q->base = kunit_kcalloc(test, dwords << shift, sizeof(u64), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q->base);
	q->ent_dwords = dwords;
	q->llq.max_n_shift = shift;
	q->prod_reg = (u32 __iomem __force *)prod;
	q->cons_reg = (u32 __iomem __force *)cons;
}

static int test_init(struct kunit *test)
{
	struct test_ctx *ctx = kunit_kzalloc(test, sizeof(*ctx), GFP_KERNEL);
	unsigned int i, j;

	KUNIT_ASSERT_NOT_NULL(test, ctx);
	test->priv = ctx;

	for (i = 0; i < TEST_NR; i++) {
		struct test_smmu *s = &ctx->s[i];
		struct arm_smmu_device *smmu;
		struct platform_device *pdev;

		pdev = platform_device_register_simple("arm-smmu-v3-kunit", i,
						       NULL, 0);
		KUNIT_ASSERT_FALSE(test, IS_ERR(pdev));
		s->pdev = pdev;
		KUNIT_ASSERT_EQ(test, 0,
				dma_set_mask_and_coherent(&pdev->dev,
							  DMA_BIT_MASK(48)));

		smmu = kunit_kzalloc(test, sizeof(*smmu), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, smmu);
		s->smmu = smmu;
		smmu->dev = &s->pdev->dev;
		smmu->features = ARM_SMMU_FEAT_COHERENCY |
				 ARM_SMMU_FEAT_TRANS_S1 |
				 ARM_SMMU_FEAT_2_LVL_CDTAB |
				 ARM_SMMU_FEAT_STALLS | ARM_SMMU_FEAT_SVA;
		smmu->asid_bits = 16;
		smmu->streams = RB_ROOT;
		mutex_init(&smmu->streams_mutex);
		mutex_init(&smmu->evtq.lock);

		test_queue(test, &smmu->cmdq.q, TEST_CMDQ_SHIFT,
			   CMDQ_ENT_DWORDS, &s->cmdq_index, &s->cmdq_index);
		smmu->cmdq.valid_map =
			kunit_kcalloc(test, BITS_TO_LONGS(1 << TEST_CMDQ_SHIFT),
				      sizeof(long), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, smmu->cmdq.valid_map);
		test_queue(test, &smmu->evtq.q, TEST_EVTQ_SHIFT,
			   EVTQ_ENT_DWORDS, &s->evtq_prod, &s->evtq_cons);

		/* The last stream repeats the first, as behind a bridge */
		for (j = 0; j < ARRAY_SIZE(s->streams); j++) {
			s->streams[j].id = 0x10 + j % 2;
			s->streams[j].master = &s->master;
		}
		s->master.smmu = smmu;
		s->master.dev = &s->pdev->dev;
		s->master.streams = s->streams;
		s->master.num_streams = ARRAY_SIZE(s->streams);
		s->master.ssid_bits = 16;
		s->master.stall_enabled = true;
		s->master.sva_enabled = true;
		s->master.iopf_enabled = true;
		spin_lock_init(&s->master.lock);
		xa_init(&s->master.cd_table.leaves);

		s->iommu.priv = &s->master;
		s->pdev->dev.iommu = &s->iommu;
	}
	return 0;
}

static void test_exit(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	unsigned int i;

	for (i = 0; ctx && i < TEST_NR; i++) {
		struct test_smmu *s = &ctx->s[i];

		if (!s->pdev)
			continue;
		if (s->master.smmu)
			arm_smmu_cd_table_free(&s->master);
		s->pdev->dev.iommu = NULL;
		platform_device_unregister(s->pdev);
	}
}

/* The next command that was issued to an instance, or NULL */
static u64 *test_next_cmd(struct test_smmu *s)
{
	u32 mask = (2 << TEST_CMDQ_SHIFT) - 1;
	u64 *cmd;

	if (!((s->cmdq_index ^ s->seen) & mask))
		return NULL;

	cmd = (u64 __force *)Q_ENT(&s->smmu->cmdq.q, s->seen);
	s->seen++;
	return cmd;
}

static void test_expect_op(struct kunit *test, struct test_smmu *s, u8 op,
			   u64 **cmdp)
{
	u64 *cmd = test_next_cmd(s);

	KUNIT_ASSERT_NOT_NULL(test, cmd);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_0_OP, cmd[0]), op);
	if (cmdp)
		*cmdp = cmd;
}

static void test_expect_cfgi_cd(struct kunit *test, struct test_smmu *s,
				u32 sid, u32 ssid, bool leaf)
{
	u64 *cmd;

	test_expect_op(test, s, CMDQ_OP_CFGI_CD, &cmd);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_CFGI_0_SID, cmd[0]), sid);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_CFGI_0_SSID, cmd[0]), ssid);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_CFGI_1_LEAF, cmd[1]), leaf);
}

static void test_expect_atc_all(struct kunit *test, struct test_smmu *s,
				u32 sid, u32 ssid)
{
	u64 *cmd;

	test_expect_op(test, s, CMDQ_OP_ATC_INV, &cmd);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_ATC_0_SID, cmd[0]), sid);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_ATC_0_SSID, cmd[0]), ssid);
	KUNIT_EXPECT_EQ(test, !!(cmd[0] & CMDQ_0_SSV), !!ssid);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_ATC_1_SIZE, cmd[1]),
			ATC_INV_SIZE_ALL);
}

static void test_expect_tlbi_asid(struct kunit *test, struct test_smmu *s,
				  u16 asid)
{
	u64 *cmd;

	test_expect_op(test, s, CMDQ_OP_TLBI_NH_ASID, &cmd);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_TLBI_0_ASID, cmd[0]), asid);
}

static void test_expect_idle(struct kunit *test, struct test_smmu *s)
{
	KUNIT_EXPECT_NULL(test, test_next_cmd(s));
}

/* Let whoever issues commands wait for room in the queue */
static void test_cmdq_stop(struct test_smmu *s)
{
	struct arm_smmu_queue *q = &s->smmu->cmdq.q;

	s->cmdq_full = s->cmdq_index ^ BIT(TEST_CMDQ_SHIFT);
	q->llq.cons = s->cmdq_full;
	q->cons_reg = (u32 __iomem __force *)&s->cmdq_full;
}

static void test_cmdq_go(struct test_smmu *s)
{
	WRITE_ONCE(s->smmu->cmdq.q.cons_reg,
		   (u32 __iomem __force *)&s->cmdq_index);
}

/* An operation that waits for something, while the test looks on */
struct test_work {
	struct work_struct	work;
	struct arm_smmu_domain	*d;
	struct test_smmu	*s;
	int			ret;
};

static void test_work_start(struct test_work *w, work_func_t func,
			    struct arm_smmu_domain *d, struct test_smmu *s)
{
	w->d = d;
	w->s = s;
	INIT_WORK_ONSTACK(&w->work, func);
	queue_work(system_unbound_wq, &w->work);
}

static void test_work_finish(struct test_work *w)
{
	flush_work(&w->work);
	destroy_work_on_stack(&w->work);
}

static struct arm_smmu_domain *test_domain(struct kunit *test, u16 asid)
{
	struct arm_smmu_domain *d = kunit_kzalloc(test, sizeof(*d), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, d);
	mutex_init(&d->init_mutex);
	mutex_init(&d->invs_lock);
	d->stage = ARM_SMMU_DOMAIN_S1;
	d->domain.type = IOMMU_DOMAIN_SVA;
	d->domain.pgsize_bitmap = SZ_4K;
	d->cd.asid = asid;
	d->cd.ttbr = 0x123456789000;
	d->cd.mair = 0x44ff0400ff0c0804;
	d->cd.tcr = FIELD_PREP(CTXDESC_CD_0_TCR_T0SZ, 16) |
		    FIELD_PREP(CTXDESC_CD_0_TCR_IPS, 5) |
		    CTXDESC_CD_0_TCR_EPD1 | CTXDESC_CD_0_AA64;
	return d;
}

static struct arm_smmu_invs *test_invs(struct arm_smmu_domain *d)
{
	return rcu_dereference_protected(d->invs, true);
}

static void test_free_invs(struct arm_smmu_domain *d)
{
	kfree(test_invs(d));
}

static void test_expect_entry(struct kunit *test,
			      const struct arm_smmu_entry *e, u64 w0, u64 w1,
			      u64 w2, u64 w3)
{
	unsigned int i;

	KUNIT_EXPECT_EQ(test, e->w[0], w0);
	KUNIT_EXPECT_EQ(test, e->w[1], w1);
	KUNIT_EXPECT_EQ(test, e->w[2], w2);
	KUNIT_EXPECT_EQ(test, e->w[3], w3);
	for (i = 4; i < ARM_SMMU_ENTRY_DWORDS; i++)
		KUNIT_EXPECT_EQ(test, e->w[i], 0);
}

/* Bytes: spelled out as numbers, so that a wrong mask in the header shows */

#ifdef __BIG_ENDIAN
#define TEST_CD_ENDI	BIT_ULL(15)
#define TEST_S2_ENDI	BIT_ULL(52)
#else
#define TEST_CD_ENDI	0
#define TEST_S2_ENDI	0
#endif

static void test_cd_bytes(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct arm_smmu_master *master = &ctx->s[0].master;
	struct arm_smmu_domain *d = test_domain(test, 0xabcd);
	struct arm_smmu_entry cd;

	arm_smmu_cd_make(&cd, master, &d->cd);
	test_expect_entry(test, &cd, 0xabcdf205c0000010 | TEST_CD_ENDI,
			  0x123456789000, 0, 0x44ff0400ff0c0804);

	/* Without stalls S is clear, the rest is the same */
	master->stall_enabled = false;
	arm_smmu_cd_make(&cd, master, &d->cd);
	test_expect_entry(test, &cd, 0xabcde205c0000010 | TEST_CD_ENDI,
			  0x123456789000, 0, 0x44ff0400ff0c0804);

	/* Bits of the table address that are not its own do not get through */
	d->cd.ttbr |= GENMASK_ULL(63, 52) | 0xf;
	arm_smmu_cd_make(&cd, master, &d->cd);
	KUNIT_EXPECT_EQ(test, cd.w[1], 0x123456789000);
}

static void test_cd_quiet_bytes(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct arm_smmu_master *master = &ctx->s[0].master;

	/* EPD0 appears, R and S go, V, A, ASET and the ASID stay */
	KUNIT_EXPECT_EQ(test,
			arm_smmu_cd_quiet_word(master, 0xabcdf205c0000010),
			0xabcdc205c0004010);

	/* A CD without S would be ILLEGAL here */
	master->smmu->features |= ARM_SMMU_FEAT_STALL_FORCE;
	KUNIT_EXPECT_EQ(test,
			arm_smmu_cd_quiet_word(master, 0xabcdf205c0000010),
			0xabcdd205c0004010);
}

static void test_ste_bytes(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct arm_smmu_master *master = &ctx->s[0].master;
	struct arm_smmu_s2_cfg s2 = {
		.vmid	= 0x1234,
		.vtcr	= 0x5aa55,
		.vttbr	= 0xfff123456789a00f,
	};
	struct arm_smmu_entry ste;

	arm_smmu_ste_abort(&ste);
	test_expect_entry(test, &ste, 0x1, 0x100000000000, 0, 0);

	arm_smmu_ste_bypass(&ste);
	test_expect_entry(test, &ste, 0x9, 0x100000000000, 0, 0);

	master->cd_table.tab_dma = 0xabcdef000;
	master->cd_table.s1fmt = STRTAB_STE_0_S1FMT_4K_L2;
	master->cd_table.s1cdmax = 16;
	arm_smmu_ste_s1(&ste, master, STRTAB_STE_1_S1DSS_SSID0);
	test_expect_entry(test, &ste, 0x8000000abcdef01b, 0x1000000000d6,
			  0, 0);

	arm_smmu_ste_s1(&ste, master, STRTAB_STE_1_S1DSS_BYPASS);
	test_expect_entry(test, &ste, 0x8000000abcdef01b, 0x1000000000d5,
			  0, 0);

	arm_smmu_ste_s1(&ste, master, STRTAB_STE_1_S1DSS_TERMINATE);
	test_expect_entry(test, &ste, 0x8000000abcdef01b, 0x1000000000d4,
			  0, 0);

	/* S1STALLD, EATS and STRW come on top */
	master->stall_enabled = false;
	master->ats_enabled = true;
	master->smmu->features |= ARM_SMMU_FEAT_E2H;
	arm_smmu_ste_s1(&ste, master, STRTAB_STE_1_S1DSS_SSID0);
	test_expect_entry(test, &ste, 0x8000000abcdef01b, 0x1000980000d6,
			  0, 0);

	/* S1STALLD is for those that could stall */
	master->smmu->features &= ~ARM_SMMU_FEAT_STALLS;
	arm_smmu_ste_s1(&ste, master, STRTAB_STE_1_S1DSS_SSID0);
	KUNIT_EXPECT_EQ(test, ste.w[1], 0x1000900000d6);

	arm_smmu_ste_s2(&ste, master, &s2);
	test_expect_entry(test, &ste, 0xd, 0x100010000000,
			  0x044daa5500001234 | TEST_S2_ENDI,
			  0x123456789a000);
}

/* Store order */

struct test_writer {
	struct arm_smmu_entry_writer	writer;
	__le64				*dst;
	struct arm_smmu_entry		seen[TEST_MAX_SYNCS];
	unsigned int			syncs;
};

static void test_writer_sync(struct arm_smmu_entry_writer *writer)
{
	struct test_writer *w =
		container_of(writer, struct test_writer, writer);
	unsigned int i;

	if (w->syncs < TEST_MAX_SYNCS)
		for (i = 0; i < ARM_SMMU_ENTRY_DWORDS; i++)
			w->seen[w->syncs].w[i] = le64_to_cpu(w->dst[i]);
	w->syncs++;
}

enum test_step {
	STEP_OLD,		/* all words as before */
	STEP_PREPARED,		/* word 0 as before, the rest new */
	STEP_SWITCHED,		/* word 0 new, the rest as before */
	STEP_INVALID,		/* word 0 cleared, the rest as before */
	STEP_INVALID_PREPARED,	/* word 0 cleared, the rest new */
	STEP_NEW,		/* all words new */
};

static bool test_step_is(const struct arm_smmu_entry *seen, enum test_step step,
			 const struct arm_smmu_entry *old,
			 const struct arm_smmu_entry *next)
{
	bool w0_new = step == STEP_SWITCHED || step == STEP_NEW;
	bool w0_zero = step == STEP_INVALID || step == STEP_INVALID_PREPARED;
	bool rest_new = step == STEP_PREPARED || step == STEP_NEW ||
			step == STEP_INVALID_PREPARED;
	unsigned int i;

	if (seen->w[0] != (w0_zero ? 0 : w0_new ? next->w[0] : old->w[0]))
		return false;
	for (i = 1; i < ARM_SMMU_ENTRY_DWORDS; i++)
		if (seen->w[i] != (rest_new ? next->w[i] : old->w[i]))
			return false;
	return true;
}

static void test_store(struct kunit *test, struct test_writer *w,
		       const struct arm_smmu_entry *old,
		       const struct arm_smmu_entry *next,
		       const enum test_step *steps, unsigned int num)
{
	__le64 mem[ARM_SMMU_ENTRY_DWORDS];
	unsigned int i;

	for (i = 0; i < ARM_SMMU_ENTRY_DWORDS; i++)
		mem[i] = cpu_to_le64(old->w[i]);
	w->dst = mem;
	w->syncs = 0;
	w->writer.sync = test_writer_sync;

	arm_smmu_entry_write(&w->writer, mem, next);

	KUNIT_EXPECT_EQ(test, w->syncs, num);
	for (i = 0; i < min(num, w->syncs); i++)
		KUNIT_EXPECT_TRUE_MSG(test,
				      test_step_is(&w->seen[i], steps[i], old,
						   next),
				      "at invalidation %u", i);
	/* No store goes without an invalidation behind it */
	for (i = 0; w->syncs && i < ARM_SMMU_ENTRY_DWORDS; i++)
		KUNIT_EXPECT_EQ(test, le64_to_cpu(mem[i]),
				w->seen[w->syncs - 1].w[i]);
}

#define TEST_STORE(w, old, next, ...) do {				\
	static const enum test_step steps[] = { __VA_ARGS__ };		\
	test_store(test, w, old, next, steps, ARRAY_SIZE(steps));	\
} while (0)

static void test_cd_store_order(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct arm_smmu_master *master = &ctx->s[0].master;
	struct arm_smmu_domain *d = test_domain(test, 1);
	struct arm_smmu_entry cd, other, none = {}, quiet, asid;
	struct test_writer w = {
		.writer = {
			.valid		= CTXDESC_CD_0_V,
			.lock		= &master->lock,
			.ignores	= arm_smmu_cd_ignores,
		},
	};

	arm_smmu_cd_make(&cd, master, &d->cd);
	d->cd.ttbr += SZ_4K;
	d->cd.asid++;
	arm_smmu_cd_make(&other, master, &d->cd);
	asid = cd;
	asid.w[0] ^= FIELD_PREP(CTXDESC_CD_0_ASID, 0x8000);
	quiet = cd;
	quiet.w[0] = arm_smmu_cd_quiet_word(master, cd.w[0]);

	/* V is set behind everything else */
	TEST_STORE(&w, &none, &cd, STEP_PREPARED, STEP_NEW);
	/* and cleared at once, whatever the rest says */
	TEST_STORE(&w, &cd, &none, STEP_SWITCHED);
	/* One word is enough */
	TEST_STORE(&w, &cd, &asid, STEP_NEW);
	TEST_STORE(&w, &cd, &quiet, STEP_NEW);
	/* or not */
	TEST_STORE(&w, &cd, &other, STEP_INVALID, STEP_INVALID_PREPARED,
		   STEP_NEW);
	/* What is the same in memory may still be different in a cache */
	TEST_STORE(&w, &cd, &cd, STEP_NEW);

	/* The slot of a process that comes back */
	none = cd;
	none.w[0] = 0;
	TEST_STORE(&w, &none, &cd, STEP_NEW);
	/* and of one that has gone */
	none = other;
	none.w[0] = 0;
	TEST_STORE(&w, &none, &cd, STEP_PREPARED, STEP_NEW);
}

static void test_ste_store_order(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct arm_smmu_master *master = &ctx->s[0].master;
	struct arm_smmu_entry abort, bypass, s1, dss, s2, shcfg, none = {};
	struct arm_smmu_s2_cfg s2_cfg = { .vmid = 1, .vttbr = SZ_4K };
	struct test_writer w = {
		.writer = {
			.valid		= STRTAB_STE_0_V,
			.ignores	= arm_smmu_ste_ignores,
		},
	};

	arm_smmu_ste_abort(&abort);
	arm_smmu_ste_bypass(&bypass);
	arm_smmu_ste_s1(&s1, master, STRTAB_STE_1_S1DSS_SSID0);
	arm_smmu_ste_s1(&dss, master, STRTAB_STE_1_S1DSS_BYPASS);
	arm_smmu_ste_s2(&s2, master, &s2_cfg);

	TEST_STORE(&w, &none, &abort, STEP_SWITCHED, STEP_NEW);
	TEST_STORE(&w, &abort, &bypass, STEP_NEW);
	TEST_STORE(&w, &abort, &s1, STEP_PREPARED, STEP_NEW);
	TEST_STORE(&w, &s1, &abort, STEP_SWITCHED, STEP_NEW);
	TEST_STORE(&w, &bypass, &s2, STEP_PREPARED, STEP_NEW);
	TEST_STORE(&w, &s2, &bypass, STEP_SWITCHED, STEP_NEW);

	/* Identity gets PASIDs: DMA goes on in every state between */
	TEST_STORE(&w, &bypass, &dss, STEP_PREPARED, STEP_NEW);
	TEST_STORE(&w, &dss, &bypass, STEP_SWITCHED, STEP_NEW);
	/* Requests without PASID change sides below live PASIDs */
	TEST_STORE(&w, &s1, &dss, STEP_NEW);

	TEST_STORE(&w, &s1, &s2, STEP_INVALID, STEP_INVALID_PREPARED,
		   STEP_NEW);

	/* The attributes of a bypass matter to it */
	shcfg = s1;
	shcfg.w[1] &= ~STRTAB_STE_1_SHCFG;
	TEST_STORE(&w, &bypass, &shcfg, STEP_INVALID, STEP_INVALID_PREPARED,
		   STEP_NEW);
}

/* CD tables */

static void test_cd_table(struct kunit *test, unsigned int bits, bool two_level,
			  unsigned int s1fmt, size_t tab_size,
			  unsigned int split)
{
	struct test_ctx *ctx = test->priv;
	struct arm_smmu_master *master = &ctx->s[0].master;
	struct arm_smmu_cd_table *table = &master->cd_table;
	u32 ssids[] = { 0, 1, BIT(bits) / 2, BIT(bits) - 1 };
	unsigned int i;

	master->ssid_bits = bits;
	if (two_level)
		master->smmu->features |= ARM_SMMU_FEAT_2_LVL_CDTAB;
	else
		master->smmu->features &= ~ARM_SMMU_FEAT_2_LVL_CDTAB;

	KUNIT_EXPECT_NULL(test, arm_smmu_cd_ptr(master, 0));
	KUNIT_EXPECT_EQ(test, arm_smmu_cd_prepare(master, BIT(bits)), -EINVAL);

	for (i = 0; i < ARRAY_SIZE(ssids); i++) {
		u32 ssid = min_t(u32, ssids[i], BIT(bits) - 1);
		__le64 *cd, *leaf;
		u64 l1;

		KUNIT_ASSERT_EQ(test, arm_smmu_cd_prepare(master, ssid), 0);
		cd = arm_smmu_cd_ptr(master, ssid);
		KUNIT_ASSERT_NOT_NULL(test, cd);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(cd[0]), 0);

		if (!split) {
			KUNIT_EXPECT_PTR_EQ(test, cd, table->tab + ssid * 8);
			continue;
		}

		leaf = xa_load(&table->leaves, ssid >> split);
		KUNIT_EXPECT_PTR_EQ(test, cd,
				    leaf + (ssid % (1 << split)) * 8);
		l1 = le64_to_cpu(table->tab[ssid >> split]);
		KUNIT_EXPECT_EQ(test, l1 & 0xfff, 1);
		/* Again finds the same */
		KUNIT_EXPECT_EQ(test, arm_smmu_cd_prepare(master, ssid), 0);
		KUNIT_EXPECT_PTR_EQ(test, arm_smmu_cd_ptr(master, ssid), cd);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(table->tab[ssid >> split]),
				l1);
	}

	KUNIT_EXPECT_EQ(test, table->s1cdmax, bits);
	KUNIT_EXPECT_EQ(test, table->s1fmt, s1fmt);
	KUNIT_EXPECT_EQ(test, table->size, tab_size);
	KUNIT_EXPECT_EQ(test, table->split, split);
	KUNIT_EXPECT_NULL(test, arm_smmu_cd_ptr(master, BIT(bits)));

	/* Leaves between those that were asked for do not exist */
	if (split && bits > split + 2)
		KUNIT_EXPECT_NULL(test,
				  arm_smmu_cd_ptr(master, 1 << split));

	arm_smmu_cd_table_free(master);
	xa_init(&table->leaves);
}

static void test_cd_tables(struct kunit *test)
{
	test_cd_table(test, 0, true, 0, 64, 0);
	test_cd_table(test, 6, true, 0, SZ_4K, 0);
	test_cd_table(test, 7, true, 1, 16, 6);
	test_cd_table(test, 10, false, 0, SZ_64K, 0);
	test_cd_table(test, 16, true, 1, SZ_8K, 6);
	test_cd_table(test, 18, true, 1, SZ_32K, 6);
	test_cd_table(test, 19, true, 2, SZ_4K, 10);
	test_cd_table(test, 20, true, 2, SZ_8K, 10);
}

static void test_cd_commands(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *d = test_domain(test, 5);
	struct arm_smmu_entry cd;
	__le64 *mem;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, arm_smmu_cd_prepare(&s->master, 0x1234), 0);
	mem = arm_smmu_cd_ptr(&s->master, 0x1234);
	test_expect_idle(test, s);

	/* Each stream once, and the L1CD with the first */
	arm_smmu_cd_install(&s->master, 0x1234, &d->cd);
	test_expect_cfgi_cd(test, s, 0x10, 0x1234, false);
	test_expect_cfgi_cd(test, s, 0x11, 0x1234, false);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_cfgi_cd(test, s, 0x10, 0x1234, true);
	test_expect_cfgi_cd(test, s, 0x11, 0x1234, true);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);

	arm_smmu_cd_make(&cd, &s->master, &d->cd);
	for (i = 0; i < ARM_SMMU_ENTRY_DWORDS; i++)
		KUNIT_EXPECT_EQ(test, le64_to_cpu(mem[i]), cd.w[i]);

	/* Not for the CD of another address space, nor for an invalid one */
	arm_smmu_cd_quiet(&s->master, 0x1234, 6);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(mem[0]), cd.w[0]);
	arm_smmu_cd_quiet(&s->master, 0x1234, 5);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(mem[0]),
			arm_smmu_cd_quiet_word(&s->master, cd.w[0]));
	test_expect_idle(test, s);

	arm_smmu_cd_clear(&s->master, 0x1234);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(mem[0]), 0);
	test_expect_cfgi_cd(test, s, 0x10, 0x1234, true);
	test_expect_cfgi_cd(test, s, 0x11, 0x1234, true);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);

	arm_smmu_cd_quiet(&s->master, 0x1234, 0);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(mem[0]), 0);
}

/* Invalidation arrays */

static void test_expect_inv(struct kunit *test, struct arm_smmu_domain *d,
			    unsigned int i, struct test_smmu *s, u8 type,
			    u32 id, u32 ssid, unsigned int users, bool ats,
			    bool dead)
{
	struct arm_smmu_invs *invs = test_invs(d);
	struct arm_smmu_inv *inv;

	KUNIT_ASSERT_LT(test, i, invs->num);
	inv = &invs->inv[i];
	KUNIT_EXPECT_PTR_EQ(test, inv->smmu, s->smmu);
	KUNIT_EXPECT_EQ(test, inv->type, type);
	KUNIT_EXPECT_EQ(test, inv->id, id);
	KUNIT_EXPECT_EQ(test, inv->ssid, ssid);
	KUNIT_EXPECT_EQ(test, inv->users, users);
	KUNIT_EXPECT_EQ(test, inv->ats, ats);
	KUNIT_EXPECT_EQ(test, inv->dead, dead);
}

static void test_invs_one(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_master *m = &s->master;
	struct arm_smmu_domain *d = test_domain(test, 7);

	/* A domain on a PASID and on requests without: one TLB, both streams */
	KUNIT_ASSERT_EQ(test, arm_smmu_invs_add(d, m, 3, true), 0);
	KUNIT_ASSERT_EQ(test, arm_smmu_invs_add(d, m, 0, false), 0);
	KUNIT_ASSERT_EQ(test, test_invs(d)->num, 5);
	test_expect_inv(test, d, 0, s, ARM_SMMU_INV_S1_ASID, 7, 0, 2, 0, 0);
	test_expect_inv(test, d, 1, s, ARM_SMMU_INV_STREAM, 0x10, 0, 1, 0, 0);
	test_expect_inv(test, d, 2, s, ARM_SMMU_INV_STREAM, 0x10, 3, 1, 1, 0);
	test_expect_inv(test, d, 3, s, ARM_SMMU_INV_STREAM, 0x11, 0, 1, 0, 0);
	test_expect_inv(test, d, 4, s, ARM_SMMU_INV_STREAM, 0x11, 3, 1, 1, 0);

	/* Not the last one: only the ATC has something to forget */
	m->ats_enabled = true;
	arm_smmu_invs_flush_and_del(d, m, 3);
	test_expect_atc_all(test, s, 0x10, 3);
	test_expect_atc_all(test, s, 0x11, 3);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);
	KUNIT_ASSERT_EQ(test, test_invs(d)->num, 5);
	test_expect_inv(test, d, 0, s, ARM_SMMU_INV_S1_ASID, 7, 0, 1, 0, 0);
	test_expect_inv(test, d, 1, s, ARM_SMMU_INV_STREAM, 0x10, 0, 1, 0, 0);
	test_expect_inv(test, d, 2, s, ARM_SMMU_INV_STREAM, 0x10, 3, 0, 1, 1);
	test_expect_inv(test, d, 4, s, ARM_SMMU_INV_STREAM, 0x11, 3, 0, 1, 1);

	/* Dead entries get no commands and are left out of the next copy */
	arm_smmu_inv_all(d);
	test_expect_tlbi_asid(test, s, 7);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);
	KUNIT_ASSERT_EQ(test, arm_smmu_invs_add(d, m, 2, true), 0);
	KUNIT_ASSERT_EQ(test, test_invs(d)->num, 5);
	test_expect_inv(test, d, 2, s, ARM_SMMU_INV_STREAM, 0x10, 2, 1, 1, 0);

	/* The last one takes the TLB with it */
	m->ats_enabled = false;
	arm_smmu_invs_flush_and_del(d, m, 0);
	test_expect_idle(test, s);
	arm_smmu_invs_flush_and_del(d, m, 2);
	test_expect_tlbi_asid(test, s, 7);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);
	test_expect_inv(test, d, 0, s, ARM_SMMU_INV_S1_ASID, 7, 0, 0, 0, 1);
	arm_smmu_inv_all(d);
	test_expect_idle(test, s);

	test_free_invs(d);
}

static void test_invs_two(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct arm_smmu_domain *d = test_domain(test, 7);
	struct test_smmu *s[2] = { &ctx->s[0], &ctx->s[1] };
	unsigned int i;

	if (s[0]->smmu > s[1]->smmu)
		swap(s[0], s[1]);

	/* Sorted by instance, whatever comes first */
	KUNIT_ASSERT_EQ(test, arm_smmu_invs_add(d, &s[1]->master, 9, true), 0);
	KUNIT_ASSERT_EQ(test, arm_smmu_invs_add(d, &s[0]->master, 9, false), 0);
	/* A re-attach of the same is counted, not repeated */
	KUNIT_ASSERT_EQ(test, arm_smmu_invs_add(d, &s[0]->master, 9, false), 0);
	KUNIT_ASSERT_EQ(test, test_invs(d)->num, 6);
	for (i = 0; i < 2; i++) {
		test_expect_inv(test, d, 3 * i, s[i], ARM_SMMU_INV_S1_ASID, 7,
				0, 2 - i, 0, 0);
		test_expect_inv(test, d, 3 * i + 1, s[i], ARM_SMMU_INV_STREAM,
				0x10, 9, 2 - i, i, 0);
		test_expect_inv(test, d, 3 * i + 2, s[i], ARM_SMMU_INV_STREAM,
				0x11, 9, 2 - i, i, 0);
	}

	/* Every ASID and ATC once, the ATC behind the TLB */
	arm_smmu_inv_all(d);
	test_expect_tlbi_asid(test, s[0], 7);
	test_expect_op(test, s[0], CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s[0]);
	test_expect_tlbi_asid(test, s[1], 7);
	test_expect_op(test, s[1], CMDQ_OP_CMD_SYNC, NULL);
	test_expect_atc_all(test, s[1], 0x10, 9);
	test_expect_atc_all(test, s[1], 0x11, 9);
	test_expect_op(test, s[1], CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s[1]);

	arm_smmu_invs_flush_and_del(d, &s[0]->master, 9);
	test_expect_idle(test, s[0]);
	arm_smmu_invs_flush_and_del(d, &s[0]->master, 9);
	test_expect_tlbi_asid(test, s[0], 7);
	test_expect_op(test, s[0], CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s[0]);
	test_expect_idle(test, s[1]);

	test_free_invs(d);
}

static void test_flush_and_del(struct work_struct *work)
{
	struct test_work *w = container_of(work, struct test_work, work);

	arm_smmu_invs_flush_and_del(w->d, &w->s->master, 3);
}

/* An exit must find all that a detach has not invalidated yet */
static void test_invs_while_flushing(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *d = test_domain(test, 7);
	struct test_work w;
	unsigned int users;

	KUNIT_ASSERT_EQ(test, arm_smmu_invs_add(d, &s->master, 3, true), 0);
	test_cmdq_stop(s);
	test_work_start(&w, test_flush_and_del, d, s);
	KUNIT_EXPECT_EQ(test, 0,
			read_poll_timeout(READ_ONCE, users, !users,
					  TEST_POLL_US, TEST_TIMEOUT_US, false,
					  test_invs(d)->inv[2].users));
	/* Time for what it must not do yet */
	msleep(TEST_WHILE_MS);
	test_expect_inv(test, d, 0, s, ARM_SMMU_INV_S1_ASID, 7, 0, 0, 0, 0);
	test_expect_inv(test, d, 1, s, ARM_SMMU_INV_STREAM, 0x10, 3, 0, 1, 0);
	test_expect_inv(test, d, 2, s, ARM_SMMU_INV_STREAM, 0x11, 3, 0, 1, 0);

	test_cmdq_go(s);
	test_work_finish(&w);
	test_expect_inv(test, d, 0, s, ARM_SMMU_INV_S1_ASID, 7, 0, 0, 0, 1);
	test_expect_inv(test, d, 1, s, ARM_SMMU_INV_STREAM, 0x10, 3, 0, 1, 1);
	test_expect_inv(test, d, 2, s, ARM_SMMU_INV_STREAM, 0x11, 3, 0, 1, 1);
	test_expect_tlbi_asid(test, s, 7);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);

	test_free_invs(d);
}

/*
 * A device is detached, and while its ASID is being flushed another one of the
 * same instance comes and goes: the ASID is in the array until both are done.
 */
static void test_invs_flushed_twice(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0], *other = &ctx->s[1];
	struct arm_smmu_domain *d = test_domain(test, 7);
	struct arm_smmu_inv *inv;

	other->master.smmu = s->smmu;
	other->streams[0].id = 0x20;
	other->streams[1].id = 0x20;
	other->streams[2].id = 0x20;

	/* The first half of arm_smmu_invs_flush_and_del(), as it is below */
	KUNIT_ASSERT_EQ(test, arm_smmu_invs_add(d, &s->master, 3, false), 0);
	inv = &test_invs(d)->inv[0];
	inv->users--;
	inv->flushing++;

	KUNIT_ASSERT_EQ(test, arm_smmu_invs_add(d, &other->master, 4, false),
			0);
	KUNIT_ASSERT_EQ(test, test_invs(d)->num, 4);
	arm_smmu_invs_flush_and_del(d, &other->master, 4);
	test_expect_tlbi_asid(test, s, 7);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_inv(test, d, 0, s, ARM_SMMU_INV_S1_ASID, 7, 0, 0, 0, 0);

	arm_smmu_inv_quiesce(d);
	test_expect_cfgi_cd(test, s, 0x10, 3, true);
	test_expect_cfgi_cd(test, s, 0x11, 3, true);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_tlbi_asid(test, s, 7);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);

	test_free_invs(d);
}

/* Ranges */

/* Check that the TLBI commands cover [iova, iova + pages) and little more */
static void test_tlbi_range(struct kunit *test, struct arm_smmu_domain *d,
			    struct test_smmu *s, u64 iova, u64 pages, bool leaf,
			    unsigned int max_cmds)
{
	u64 addr = iova, end = iova + pages * SZ_4K, *cmd;
	unsigned int num = 0;

	arm_smmu_inv_range(d, iova, pages * SZ_4K, SZ_4K, leaf);
	while ((cmd = test_next_cmd(s))) {
		u64 step = SZ_4K;

		if (FIELD_GET(CMDQ_0_OP, cmd[0]) == CMDQ_OP_CMD_SYNC)
			break;
		num++;
		KUNIT_ASSERT_EQ(test, FIELD_GET(CMDQ_0_OP, cmd[0]),
				CMDQ_OP_TLBI_NH_VA);
		KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_TLBI_0_ASID, cmd[0]), 7);
		KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_TLBI_1_LEAF, cmd[1]),
				leaf);
		KUNIT_EXPECT_EQ(test, cmd[1] & CMDQ_TLBI_1_VA_MASK, addr);

		if (s->smmu->features & ARM_SMMU_FEAT_RANGE_INV) {
			u64 n = FIELD_GET(CMDQ_TLBI_0_NUM, cmd[0]);
			u64 scale = FIELD_GET(CMDQ_TLBI_0_SCALE, cmd[0]);
			u64 ttl = FIELD_GET(CMDQ_TLBI_1_TTL, cmd[1]);

			KUNIT_EXPECT_EQ(test, 1,
					FIELD_GET(CMDQ_TLBI_1_TG, cmd[1]));
			KUNIT_EXPECT_EQ(test, ttl, leaf ? 3 : 0);
			/* What the errata forbid */
			KUNIT_EXPECT_FALSE(test, !ttl && !n && !scale);
			step = (n + 1) << (scale + 12);
		}
		addr += step;
	}
	KUNIT_EXPECT_GE(test, addr, end);
	KUNIT_EXPECT_LE(test, addr, end + (leaf ? 0 : SZ_4K));
	KUNIT_EXPECT_LE(test, num, max_cmds);
	KUNIT_EXPECT_GT(test, num, 0);
	test_expect_idle(test, s);
}

static void test_tlbi_all(struct kunit *test, struct arm_smmu_domain *d,
			  struct test_smmu *s, u64 iova, u64 pages)
{
	arm_smmu_inv_range(d, iova, pages * SZ_4K, SZ_4K, false);
	test_expect_tlbi_asid(test, s, 7);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);
}

static void test_tlbi_ranges(struct kunit *test)
{
	static const u64 counts[] = {
		1, 2, 31, 32, 33, 63, 511, 512, 513, 1025, 0x3ffff, 0x40000,
		0x7fffffff, 0x80000000, 0xfffffffe,
	};
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *d = test_domain(test, 7);
	unsigned int i;

	KUNIT_ASSERT_EQ(test, arm_smmu_invs_add(d, &s->master, 3, false), 0);

	/* Nothing is not everything */
	arm_smmu_inv_range(d, 0x1000, 0, SZ_4K, false);
	test_expect_idle(test, s);

	/* One command a page, up to a limit (that depends on the page size) */
	test_tlbi_range(test, d, s, 0x7000, 1, false, 1);
	test_tlbi_range(test, d, s, 0x7000, 511, false, 511);
	test_tlbi_range(test, d, s, 0x7000, 100, true, 100);
	test_tlbi_all(test, d, s, 0x7000, 1 << (PAGE_SHIFT - 3));
	test_tlbi_all(test, d, s, 0, 1ULL << 36);

	s->smmu->features |= ARM_SMMU_FEAT_RANGE_INV;
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		test_tlbi_range(test, d, s, 0x12345000, counts[i], false, 7);
		test_tlbi_range(test, d, s, 0x12345000, counts[i], true, 7);
	}
	/* More than scale and number can express */
	test_tlbi_all(test, d, s, 0, 0xffffffff);
	test_tlbi_all(test, d, s, 0, 1ULL << 36);
	test_tlbi_all(test, d, s, 0x1000, (1ULL << 52) - 2);

	test_free_invs(d);
}

static void test_atc_range(struct kunit *test, struct arm_smmu_domain *d,
			   struct test_smmu *s, u64 first, u64 last)
{
	u64 next = first, bytes = 0, *cmd;
	unsigned int num = 0;

	arm_smmu_inv_range(d, first << 12, (last - first + 1) << 12, SZ_4K,
			   false);
	while ((cmd = test_next_cmd(s)))
		if (FIELD_GET(CMDQ_0_OP, cmd[0]) == CMDQ_OP_CMD_SYNC)
			break;

	while ((cmd = test_next_cmd(s))) {
		u64 start, size;

		if (FIELD_GET(CMDQ_0_OP, cmd[0]) == CMDQ_OP_CMD_SYNC)
			break;
		/* The same for both streams; the second is not of interest */
		if (FIELD_GET(CMDQ_ATC_0_SID, cmd[0]) != 0x10)
			continue;

		num++;
		KUNIT_ASSERT_EQ(test, FIELD_GET(CMDQ_0_OP, cmd[0]),
				CMDQ_OP_ATC_INV);
		size = 1ULL << FIELD_GET(CMDQ_ATC_1_SIZE, cmd[1]);
		start = (cmd[1] & CMDQ_ATC_1_ADDR_MASK) >> 12;
		KUNIT_EXPECT_EQ(test, start & (size - 1), 0);
		KUNIT_EXPECT_LE(test, start, next);
		next = max(next, start + size);
		bytes += size;
	}
	KUNIT_EXPECT_GT(test, next, last);
	KUNIT_EXPECT_LE(test, bytes, 4 * (last - first + 1));
	KUNIT_EXPECT_GE(test, num, 1);
	KUNIT_EXPECT_LE(test, num, 2);
	test_expect_idle(test, s);
}

static void test_atc_ranges(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *d = test_domain(test, 7);
	u64 first;

	KUNIT_ASSERT_EQ(test, arm_smmu_invs_add(d, &s->master, 3, true), 0);

	test_atc_range(test, d, s, 8, 8);
	test_atc_range(test, d, s, 8, 11);
	test_atc_range(test, d, s, 7, 10);
	test_atc_range(test, d, s, 7, 8);
	test_atc_range(test, d, s, 0, (1ULL << 36) - 1);
	/* Two pages in the middle of everything */
	test_atc_range(test, d, s, (1ULL << 35) - 1, 1ULL << 35);
	for (first = 1; first < 1ULL << 40; first *= 3)
		test_atc_range(test, d, s, first, first + first / 7);

	/* The whole address space is not a range of no pages */
	arm_smmu_inv_all(d);
	test_expect_tlbi_asid(test, s, 7);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_atc_all(test, s, 0x10, 3);
	test_expect_atc_all(test, s, 0x11, 3);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);

	test_free_invs(d);
}

/* Whole operations, with requests without PASID in a domain of their own */

static void test_rid_domain(struct kunit *test, struct test_smmu *s)
{
	s->master.domain = test_domain(test, 1);
	s->master.domain->domain.type = IOMMU_DOMAIN_DMA;
}

static void test_bind(struct kunit *test, struct arm_smmu_domain *d,
		      struct test_smmu *s, ioasid_t pasid)
{
	KUNIT_ASSERT_EQ(test, 0,
			arm_smmu_attach_dev_pasid(&d->domain, s->master.dev,
						  pasid, NULL));
	test_expect_cfgi_cd(test, s, 0x10, pasid, false);
	test_expect_cfgi_cd(test, s, 0x11, pasid, false);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_cfgi_cd(test, s, 0x10, pasid, true);
	test_expect_cfgi_cd(test, s, 0x11, pasid, true);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);
}

static void test_attach(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *d = test_domain(test, 7);
	__le64 *cd;

	test_rid_domain(test, s);
	s->master.ats_enabled = true;
	test_bind(test, d, s, 0x2000);
	KUNIT_EXPECT_EQ(test, s->master.nr_pasids, 1);
	cd = arm_smmu_cd_ptr(&s->master, 0x2000);
	KUNIT_EXPECT_TRUE(test, le64_to_cpu(cd[0]) & CTXDESC_CD_0_V);

	/* What is live is not disabled below it */
	KUNIT_EXPECT_EQ(test, arm_smmu_sva_disable(&s->master), -EBUSY);
	KUNIT_EXPECT_EQ(test, arm_smmu_iopf_disable(&s->master), -EBUSY);

	/* Two waits: for the CD, and for all that came from it */
	arm_smmu_detach_dev_pasid(&d->domain, s->master.dev, 0x2000);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(cd[0]), 0);
	test_expect_cfgi_cd(test, s, 0x10, 0x2000, true);
	test_expect_cfgi_cd(test, s, 0x11, 0x2000, true);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_tlbi_asid(test, s, 7);
	test_expect_atc_all(test, s, 0x10, 0x2000);
	test_expect_atc_all(test, s, 0x11, 0x2000);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);
	KUNIT_EXPECT_EQ(test, s->master.nr_pasids, 0);

	test_free_invs(d);
}

static void test_attach_work(struct work_struct *work)
{
	struct test_work *w = container_of(work, struct test_work, work);

	w->ret = arm_smmu_attach_dev_pasid(&w->d->domain, w->s->master.dev, 3,
					   NULL);
}

/* Nothing can be cached before it is known where to invalidate it */
static void test_attach_order(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *d = test_domain(test, 7);
	struct test_work w;
	unsigned int pasids;
	__le64 *cd;

	test_rid_domain(test, s);
	KUNIT_ASSERT_EQ(test, arm_smmu_cd_prepare(&s->master, 3), 0);
	cd = arm_smmu_cd_ptr(&s->master, 3);

	mutex_lock(&d->invs_lock);
	test_work_start(&w, test_attach_work, d, s);
	KUNIT_EXPECT_EQ(test, 0,
			read_poll_timeout(READ_ONCE, pasids, pasids,
					  TEST_POLL_US, TEST_TIMEOUT_US, false,
					  s->master.nr_pasids));
	/* Time for what it must not do yet */
	msleep(TEST_WHILE_MS);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(READ_ONCE(cd[0])), 0);
	test_expect_idle(test, s);
	mutex_unlock(&d->invs_lock);

	test_work_finish(&w);
	KUNIT_EXPECT_EQ(test, w.ret, 0);
	KUNIT_EXPECT_TRUE(test, le64_to_cpu(cd[0]) & CTXDESC_CD_0_V);
	KUNIT_EXPECT_EQ(test, test_invs(d)->num, 3);

	test_free_invs(d);
}

static void test_quiesce(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *d = test_domain(test, 7);
	struct arm_smmu_entry live;
	__le64 *cd;

	test_rid_domain(test, s);
	s->master.ats_enabled = true;
	test_bind(test, d, s, 3);
	arm_smmu_cd_make(&live, &s->master, &d->cd);

	arm_smmu_inv_quiesce(d);
	cd = arm_smmu_cd_ptr(&s->master, 3);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(cd[0]),
			arm_smmu_cd_quiet_word(&s->master, live.w[0]));
	test_expect_cfgi_cd(test, s, 0x10, 3, true);
	test_expect_cfgi_cd(test, s, 0x11, 3, true);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_tlbi_asid(test, s, 7);
	test_expect_atc_all(test, s, 0x10, 3);
	test_expect_atc_all(test, s, 0x11, 3);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);

	/* With nothing left to invalidate, the CD is all there is to clear */
	arm_smmu_detach_dev_pasid(&d->domain, s->master.dev, 3);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(cd[0]), 0);
	test_expect_cfgi_cd(test, s, 0x10, 3, true);
	test_expect_cfgi_cd(test, s, 0x11, 3, true);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);

	test_free_invs(d);
}

/* A detach that has cleared its CD, but not yet invalidated anything */
static void test_quiesce_in_detach(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *d = test_domain(test, 7);
	struct arm_smmu_domain *other = test_domain(test, 8);
	struct arm_smmu_entry cd;
	__le64 *mem;

	test_rid_domain(test, s);
	test_bind(test, d, s, 3);
	mem = arm_smmu_cd_ptr(&s->master, 3);
	arm_smmu_cd_clear(&s->master, 3);
	while (test_next_cmd(s))
		;

	arm_smmu_inv_quiesce(d);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(mem[0]), 0);
	test_expect_cfgi_cd(test, s, 0x10, 3, true);
	test_expect_cfgi_cd(test, s, 0x11, 3, true);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_tlbi_asid(test, s, 7);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);

	/* The place of a CD is not its own for ever */
	arm_smmu_cd_make(&cd, &s->master, &other->cd);
	arm_smmu_cd_install(&s->master, 3, &other->cd);
	while (test_next_cmd(s))
		;
	arm_smmu_inv_quiesce(d);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(mem[0]), cd.w[0]);

	test_free_invs(d);
}

static void test_attach_refused(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_master *m = &s->master;
	struct arm_smmu_domain *d = test_domain(test, 0x100);
	struct arm_smmu_domain *paging = test_domain(test, 2);

#define TEST_ATTACH(old) \
	arm_smmu_attach_dev_pasid(&d->domain, m->dev, 3, old)

	test_rid_domain(test, s);
	KUNIT_EXPECT_EQ(test, TEST_ATTACH(&paging->domain), -EOPNOTSUPP);

	m->sva_enabled = false;
	KUNIT_EXPECT_EQ(test, TEST_ATTACH(NULL), -ENODEV);
	m->sva_enabled = true;

	m->domain->stage = ARM_SMMU_DOMAIN_S2;
	KUNIT_EXPECT_EQ(test, TEST_ATTACH(NULL), -EBUSY);
	m->domain->stage = ARM_SMMU_DOMAIN_S1;

	s->smmu->asid_bits = 8;
	KUNIT_EXPECT_EQ(test, TEST_ATTACH(NULL), -EINVAL);
	s->smmu->asid_bits = 16;

	s->smmu->features &= ~ARM_SMMU_FEAT_SVA;
	KUNIT_EXPECT_EQ(test, TEST_ATTACH(NULL), -EOPNOTSUPP);
	s->smmu->features |= ARM_SMMU_FEAT_SVA;

	/* A paging domain belongs to the instance it was first used with */
	paging->domain.type = IOMMU_DOMAIN_UNMANAGED;
	paging->smmu = ctx->s[1].smmu;
	KUNIT_EXPECT_EQ(test, -ENXIO,
			arm_smmu_attach_dev_pasid(&paging->domain, m->dev, 3,
						  NULL));

	m->ssid_bits = 1;
	KUNIT_EXPECT_EQ(test, TEST_ATTACH(NULL), -EINVAL);
	m->ssid_bits = 0;
	KUNIT_EXPECT_EQ(test, TEST_ATTACH(NULL), -EOPNOTSUPP);
#undef TEST_ATTACH

	/* Nothing has changed */
	KUNIT_EXPECT_EQ(test, m->nr_pasids, 0);
	KUNIT_EXPECT_NULL(test, test_invs(d));
	test_expect_idle(test, s);
}

/* Events */

static void test_put_stall(struct test_smmu *s, u32 sid, u16 stag)
{
	u64 *evt = (u64 __force *)Q_ENT(&s->smmu->evtq.q, s->evtq_prod);
	u64 rec[EVTQ_ENT_DWORDS] = {
		FIELD_PREP(EVTQ_0_ID, EVT_ID_TRANSLATION_FAULT) |
		EVTQ_0_SSV | FIELD_PREP(EVTQ_0_SSID, 3) |
		FIELD_PREP(EVTQ_0_SID, sid),
		EVTQ_1_STALL | EVTQ_1_RnW | FIELD_PREP(EVTQ_1_STAG, stag),
		0x1000,
	};
	unsigned int i;

	for (i = 0; i < EVTQ_ENT_DWORDS; i++)
		evt[i] = (u64 __force)cpu_to_le64(rec[i]);
	s->evtq_prod = (s->evtq_prod + 1) & ((2 << TEST_EVTQ_SHIFT) - 1);
}

static void test_expect_abort(struct kunit *test, struct test_smmu *s, u32 sid,
			      u16 stag)
{
	u64 *cmd;

	test_expect_op(test, s, CMDQ_OP_RESUME, &cmd);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_RESUME_0_SID, cmd[0]), sid);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_RESUME_0_RESP, cmd[0]),
			CMDQ_RESUME_0_RESP_ABORT);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_RESUME_1_STAG, cmd[1]), stag);
}

static void test_evtq(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	unsigned int round, i;

	arm_smmu_evtq_catch_up(s->smmu);
	test_expect_idle(test, s);

	/* Several times around, so that the indices wrap */
	for (round = 0; round < 5; round++) {
		for (i = 0; i < 5; i++)
			test_put_stall(s, 0x90 + i, 100 * round + i);
		arm_smmu_evtq_catch_up(s->smmu);
		KUNIT_EXPECT_EQ(test, s->evtq_cons, s->evtq_prod);
		for (i = 0; i < 5; i++)
			test_expect_abort(test, s, 0x90 + i, 100 * round + i);
		test_expect_idle(test, s);
	}

	/* A full queue may have more behind it: look again, but not for ever */
	for (i = 0; i < 1 << TEST_EVTQ_SHIFT; i++)
		test_put_stall(s, 0x90, i);
	arm_smmu_evtq_catch_up(s->smmu);
	KUNIT_EXPECT_EQ(test, s->evtq_cons, s->evtq_prod);
	for (i = 0; i < 1 << TEST_EVTQ_SHIFT; i++)
		test_expect_abort(test, s, 0x90, i);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);
}

/* What was in the queue when a PASID is detached is not answered later */
static void test_detach_evtq(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *d = test_domain(test, 7);

	test_rid_domain(test, s);
	test_bind(test, d, s, 3);
	test_put_stall(s, 0x90, 7);
	arm_smmu_detach_dev_pasid(&d->domain, s->master.dev, 3);
	KUNIT_EXPECT_EQ(test, s->evtq_cons, s->evtq_prod);

	/* Not before the SMMU has forgotten about the CD, or more could come */
	test_expect_cfgi_cd(test, s, 0x10, 3, true);
	test_expect_cfgi_cd(test, s, 0x11, 3, true);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_tlbi_asid(test, s, 7);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_abort(test, s, 0x90, 7);
	test_expect_idle(test, s);

	test_free_invs(d);
}

static void test_page_response(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct iommu_fault_event evt = { .fault.prm.private_data[0] = 0x11 };
	struct iommu_page_response resp = { .grpid = 0x42 };
	u64 *cmd;

	resp.code = IOMMU_PAGE_RESP_SUCCESS;
	KUNIT_EXPECT_EQ(test, 0,
			arm_smmu_page_response(s->master.dev, &evt, &resp));
	test_expect_op(test, s, CMDQ_OP_RESUME, &cmd);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_RESUME_0_SID, cmd[0]), 0x11);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_RESUME_0_RESP, cmd[0]),
			CMDQ_RESUME_0_RESP_RETRY);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_RESUME_1_STAG, cmd[1]), 0x42);

	resp.code = IOMMU_PAGE_RESP_INVALID;
	KUNIT_EXPECT_EQ(test, 0,
			arm_smmu_page_response(s->master.dev, &evt, &resp));
	test_expect_abort(test, s, 0x11, 0x42);
	resp.code = IOMMU_PAGE_RESP_FAILURE;
	KUNIT_EXPECT_EQ(test, 0,
			arm_smmu_page_response(s->master.dev, &evt, &resp));
	test_expect_abort(test, s, 0x11, 0x42);
	test_expect_idle(test, s);

	s->master.stall_enabled = false;
	KUNIT_EXPECT_EQ(test, -ENODEV,
			arm_smmu_page_response(s->master.dev, &evt, &resp));
	test_expect_idle(test, s);
}

static struct kunit_case arm_smmu_v3_cases[] = {
	KUNIT_CASE(test_cd_bytes),
	KUNIT_CASE(test_cd_quiet_bytes),
	KUNIT_CASE(test_ste_bytes),
	KUNIT_CASE(test_cd_store_order),
	KUNIT_CASE(test_ste_store_order),
	KUNIT_CASE(test_cd_tables),
	KUNIT_CASE(test_cd_commands),
	KUNIT_CASE(test_invs_one),
	KUNIT_CASE(test_invs_two),
	KUNIT_CASE(test_invs_while_flushing),
	KUNIT_CASE(test_invs_flushed_twice),
	KUNIT_CASE(test_tlbi_ranges),
	KUNIT_CASE(test_atc_ranges),
	KUNIT_CASE(test_attach),
	KUNIT_CASE(test_attach_order),
	KUNIT_CASE(test_quiesce),
	KUNIT_CASE(test_quiesce_in_detach),
	KUNIT_CASE(test_attach_refused),
	KUNIT_CASE(test_evtq),
	KUNIT_CASE(test_detach_evtq),
	KUNIT_CASE(test_page_response),
	{}
};

static struct kunit_suite arm_smmu_v3_suite = {
	.name = "arm_smmu_v3",
	.init = test_init,
	.exit = test_exit,
	.test_cases = arm_smmu_v3_cases,
};

kunit_test_suite(arm_smmu_v3_suite);
