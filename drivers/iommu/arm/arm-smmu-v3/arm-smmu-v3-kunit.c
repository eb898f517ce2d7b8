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
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "arm-smmu-v3.h"

#define TEST_CMDQ_SHIFT		10
#define TEST_EVTQ_SHIFT		3
#define TEST_NR			2
#define TEST_NR_STES		0x12
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
	u32			cmdq_held;
	u32			evtq_prod;
	u32			evtq_cons;
	u32			seen;		/* Index of the next command */
	struct arm_smmu_master	master;
	struct arm_smmu_stream	streams[3];
	struct dev_iommu	iommu;
	struct platform_device	*pdev;
	struct pci_bus		bus;
	unsigned int		ats_writes;	/* To its control register */
	bool			ats_on;
	bool			ats_unwanted;	/* Was on without EATS */
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
		smmu->options = ARM_SMMU_OPT_SKIP_PREFETCH;
		smmu->pgsize_bitmap = SZ_4K;
		smmu->asid_bits = 16;
		smmu->strtab_cfg.strtab =
			kunit_kcalloc(test, TEST_NR_STES * STRTAB_STE_DWORDS,
				      sizeof(__le64), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, smmu->strtab_cfg.strtab);
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
		s->iommu.fwspec = kunit_kzalloc(test, sizeof(*s->iommu.fwspec),
						GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, s->iommu.fwspec);
		s->iommu.fwspec->flags = IOMMU_FWSPEC_PCI_RC_ATS;
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

/* Does the next command wait? If not, it is left for what comes next. */
static void test_expect_sync(struct kunit *test, struct test_smmu *s,
			     const char *why)
{
	u64 *cmd = test_next_cmd(s);

	KUNIT_ASSERT_NOT_NULL(test, cmd);
	if (FIELD_GET(CMDQ_0_OP, cmd[0]) == CMDQ_OP_CMD_SYNC)
		return;

	KUNIT_FAIL(test, "there is no CMD_SYNC %s", why);
	s->seen--;
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

static void test_skip_cmds(struct test_smmu *s)
{
	while (test_next_cmd(s))
		;
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
	struct arm_smmu_domain	*old;
	struct test_smmu	*s;
	u32			ssid;
	int			ret;
	bool			done;
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

/*
 * The same, with a stop at each CMD_SYNC. Whoever waits for one has interrupts
 * disabled, so that takes a CPU of its own.
 */
static void test_hold_start(struct kunit *test, struct test_work *w,
			    work_func_t func, struct test_smmu *s)
{
	unsigned int cpu;

	migrate_disable();
	cpu = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
	if (cpu >= nr_cpu_ids) {
		migrate_enable();
		kunit_skip(test, "there is one CPU only");
	}

	s->cmdq_held = s->cmdq_index;
	WRITE_ONCE(s->smmu->cmdq.q.cons_reg,
		   (u32 __iomem __force *)&s->cmdq_held);
	w->s = s;
	INIT_WORK_ONSTACK(&w->work, func);
	queue_work_on(cpu, system_wq, &w->work);
}

/* At the next CMD_SYNC? Not if the operation came to its end before. */
static bool test_hold_stopped(struct kunit *test, struct test_work *w)
{
	struct test_smmu *s = w->s;
	bool done;

	KUNIT_EXPECT_EQ(test, 0,
			read_poll_timeout(smp_load_acquire, done,
					  done || READ_ONCE(s->cmdq_index) !=
						  s->cmdq_held,
					  TEST_POLL_US / 10, TEST_TIMEOUT_US,
					  false, &w->done));
	return READ_ONCE(s->cmdq_index) != s->cmdq_held;
}

static void test_hold_step(struct test_work *w)
{
	WRITE_ONCE(w->s->cmdq_held, READ_ONCE(w->s->cmdq_index));
}

static void test_hold_finish(struct kunit *test, struct test_work *w)
{
	bool done;

	/* There may have been commands that nobody waits for */
	KUNIT_EXPECT_EQ(test, 0,
			read_poll_timeout(smp_load_acquire, done, done,
					  TEST_POLL_US / 10, TEST_TIMEOUT_US,
					  false, &w->done));
	test_work_finish(w);
	test_cmdq_go(w->s);
	migrate_enable();
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

/* One that is used with an instance, and differs from others */
static struct arm_smmu_domain *test_paging(struct kunit *test,
					   struct test_smmu *s, u16 asid)
{
	struct arm_smmu_domain *d = test_domain(test, asid);

	d->domain.type = IOMMU_DOMAIN_UNMANAGED;
	d->smmu = s->smmu;
	d->cd.ttbr = asid * SZ_64K;
	return d;
}

static struct arm_smmu_domain *test_identity(struct kunit *test,
					     struct test_smmu *s)
{
	struct arm_smmu_domain *d = test_paging(test, s, 0);

	d->domain.type = IOMMU_DOMAIN_IDENTITY;
	d->stage = ARM_SMMU_DOMAIN_BYPASS;
	return d;
}

static struct arm_smmu_domain *test_stage2(struct kunit *test,
					   struct test_smmu *s, u16 vmid)
{
	struct arm_smmu_domain *d = test_paging(test, s, 0);

	d->stage = ARM_SMMU_DOMAIN_S2;
	d->s2_cfg = (struct arm_smmu_s2_cfg) {
		.vmid	= vmid,
		.vtcr	= 0x5aa55,
		.vttbr	= vmid * SZ_64K,
	};
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

/*
 * With STALL_MODEL 0b10 an STE with stage 2 and without S2S is ILLEGAL (IHI0070
 * 5.5), as is one with S2S and EATS (5.2).
 */
static void test_ste_stall_force(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct arm_smmu_master *master = &ctx->s[0].master;
	struct arm_smmu_s2_cfg s2 = { .vmid = 1 };
	struct arm_smmu_entry ste;

	arm_smmu_ste_s2(&ste, master, &s2);
	KUNIT_EXPECT_EQ(test, ste.w[2] & BIT_ULL(57), 0);

	master->smmu->features |= ARM_SMMU_FEAT_STALL_FORCE;
	arm_smmu_ste_s2(&ste, master, &s2);
	KUNIT_EXPECT_EQ_MSG(test, ste.w[2] & BIT_ULL(57), BIT_ULL(57),
			    "S2S is clear: the STE is ILLEGAL");
	KUNIT_EXPECT_EQ(test, ste.w[1] & GENMASK_ULL(29, 28), 0);
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
	STEP_BLOCKED,		/* word 0 blocks, the rest as before */
	STEP_BLOCKED_PREPARED,	/* word 0 blocks, the rest new */
	STEP_NEW,		/* all words new */
};

static bool test_step_is(const struct arm_smmu_entry *seen, enum test_step step,
			 u64 blocks, const struct arm_smmu_entry *old,
			 const struct arm_smmu_entry *next)
{
	bool w0_new = step == STEP_SWITCHED || step == STEP_NEW;
	bool w0_blocks = step == STEP_BLOCKED || step == STEP_BLOCKED_PREPARED;
	bool rest_new = step == STEP_PREPARED || step == STEP_NEW ||
			step == STEP_BLOCKED_PREPARED;
	unsigned int i;

	if (seen->w[0] != (w0_blocks ? blocks : w0_new ? next->w[0] : old->w[0]))
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
	for (i = 0; i < num; i++)
		if (steps[i] == STEP_BLOCKED)
			break;
	KUNIT_EXPECT_EQ(test, i == num,
			arm_smmu_entry_in_place(&w->writer, mem, next));

	arm_smmu_entry_write(&w->writer, mem, next);

	KUNIT_EXPECT_EQ(test, w->syncs, num);
	for (i = 0; i < min(num, w->syncs); i++)
		KUNIT_EXPECT_TRUE_MSG(test,
				      test_step_is(&w->seen[i], steps[i],
						   w->writer.blocks, old, next),
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
	TEST_STORE(&w, &cd, &other, STEP_BLOCKED, STEP_BLOCKED_PREPARED,
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
			.blocks		= 0x1,
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

	TEST_STORE(&w, &s1, &s2, STEP_BLOCKED, STEP_BLOCKED_PREPARED,
		   STEP_NEW);

	/* The attributes of a bypass matter to it */
	shcfg = s1;
	shcfg.w[1] &= ~STRTAB_STE_1_SHCFG;
	TEST_STORE(&w, &bypass, &shcfg, STEP_BLOCKED, STEP_BLOCKED_PREPARED,
		   STEP_NEW);
}

/* CD tables */

static struct arm_smmu_cds *test_leaf(struct arm_smmu_master *master, u32 ssid)
{
	return xa_load(&master->cd_table.leaves,
		       ssid >> master->cd_table.split);
}

static void test_cd_table(struct kunit *test, unsigned int bits, bool two_level,
			  unsigned int s1fmt, size_t l1_size,
			  unsigned int split)
{
	struct test_ctx *ctx = test->priv;
	struct arm_smmu_master *master = &ctx->s[0].master;
	struct arm_smmu_cd_table *table = &master->cd_table;
	u32 ssids[] = { 1, BIT(bits) / 2, BIT(bits) - 1 };
	unsigned int i;
	__le64 *cd;

	master->ssid_bits = bits;
	if (two_level)
		master->smmu->features |= ARM_SMMU_FEAT_2_LVL_CDTAB;
	else
		master->smmu->features &= ~ARM_SMMU_FEAT_2_LVL_CDTAB;

	KUNIT_EXPECT_NULL(test, arm_smmu_cd_ptr(master, 0));
	KUNIT_EXPECT_EQ(test, arm_smmu_cd_prepare(master, BIT(bits)), -EINVAL);

	/* As long as there are no PASIDs, one CD is enough */
	KUNIT_ASSERT_EQ(test, arm_smmu_cd_prepare(master, 0), 0);
	cd = arm_smmu_cd_ptr(master, 0);
	KUNIT_ASSERT_NOT_NULL(test, cd);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(cd[0]), 0);
	KUNIT_EXPECT_NULL(test, arm_smmu_cd_ptr(master, 1));
	KUNIT_EXPECT_NULL(test, table->l1);
	KUNIT_EXPECT_EQ(test, table->s1fmt, STRTAB_STE_0_S1FMT_LINEAR);
	KUNIT_EXPECT_EQ(test, table->s1cdmax, 0);
	KUNIT_EXPECT_EQ(test, table->tab_dma, test_leaf(master, 0)->dma);

	/* It is there when the table has grown, too */
	cd[1] = cpu_to_le64(0x1234567890);
	for (i = 0; bits && i < ARRAY_SIZE(ssids); i++) {
		struct arm_smmu_cds *leaf;
		u64 l1;

		KUNIT_ASSERT_EQ(test, arm_smmu_cd_prepare(master, ssids[i]), 0);
		cd = arm_smmu_cd_ptr(master, ssids[i]);
		KUNIT_ASSERT_NOT_NULL(test, cd);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(cd[0]), 0);

		leaf = test_leaf(master, ssids[i]);
		KUNIT_EXPECT_EQ(test, leaf->bits, split);
		KUNIT_EXPECT_PTR_EQ(test, cd,
				    leaf->cd + (ssids[i] % (1 << split)) * 8);
		if (!l1_size) {
			KUNIT_EXPECT_NULL(test, table->l1);
			KUNIT_EXPECT_EQ(test, table->tab_dma, leaf->dma);
		} else {
			l1 = le64_to_cpu(table->l1[ssids[i] >> split]);
			KUNIT_EXPECT_EQ(test, l1, leaf->dma | 1);
			KUNIT_EXPECT_EQ(test, table->l1_size, l1_size);
		}
		/* Again finds the same */
		KUNIT_EXPECT_EQ(test, arm_smmu_cd_prepare(master, ssids[i]), 0);
		KUNIT_EXPECT_PTR_EQ(test, arm_smmu_cd_ptr(master, ssids[i]),
				    cd);
		KUNIT_EXPECT_PTR_EQ(test, test_leaf(master, ssids[i]), leaf);
	}

	cd = arm_smmu_cd_ptr(master, 0);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(cd[1]), 0x1234567890);
	KUNIT_EXPECT_EQ(test, table->s1cdmax, bits);
	KUNIT_EXPECT_EQ(test, table->s1fmt, s1fmt);
	KUNIT_EXPECT_EQ(test, table->split, split);
	KUNIT_EXPECT_NULL(test, table->spare.cd);
	KUNIT_EXPECT_NULL(test, table->swapped);
	KUNIT_EXPECT_NULL(test, arm_smmu_cd_ptr(master, BIT(bits)));

	/* Leaves between those that were asked for do not exist */
	if (bits > split + 2)
		KUNIT_EXPECT_NULL(test,
				  arm_smmu_cd_ptr(master, 1 << split));

	/* No STE refers to it yet */
	test_expect_idle(test, &ctx->s[0]);
	arm_smmu_cd_table_free(master);
	xa_init(&table->leaves);
}

static void test_cd_tables(struct kunit *test)
{
	test_cd_table(test, 0, true, 0, 0, 0);
	test_cd_table(test, 6, true, 0, 0, 6);
	test_cd_table(test, 7, true, 1, 16, 6);
	test_cd_table(test, 10, false, 0, 0, 10);
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
	test_bind(test, d, s, 3);
	test_invs(d)->inv[1].ats = true;
	test_invs(d)->inv[2].ats = true;
	s->master.ats_enabled = true;
	arm_smmu_cd_make(&live, &s->master, &d->cd);

	arm_smmu_inv_quiesce(d);
	cd = arm_smmu_cd_ptr(&s->master, 3);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(cd[0]),
			arm_smmu_cd_quiet_word(&s->master, live.w[0]));
	test_expect_cfgi_cd(test, s, 0x10, 3, true);
	test_expect_cfgi_cd(test, s, 0x11, 3, true);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	/*
	 * EPD0 does not keep the SMMU from answering an ATS request with a TLB
	 * entry (IHI0070 5.4, EPD0), so the TLBI must be complete before the
	 * ATC is invalidated (3.9.1).
	 */
	test_expect_tlbi_asid(test, s, 7);
	test_expect_sync(test, s, "before CMD_ATC_INV");
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

/* The same commands where the mm stays: the CMD_SYNC is there. */
static void test_inv_all_with_atc(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *d = test_domain(test, 7);

	test_rid_domain(test, s);
	test_bind(test, d, s, 3);
	test_invs(d)->inv[1].ats = true;
	test_invs(d)->inv[2].ats = true;
	arm_smmu_inv_all(d);
	test_expect_tlbi_asid(test, s, 7);
	test_expect_sync(test, s, "before CMD_ATC_INV");
	test_expect_atc_all(test, s, 0x10, 3);
	test_expect_atc_all(test, s, 0x11, 3);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);

	arm_smmu_detach_dev_pasid(&d->domain, s->master.dev, 3);
	test_free_invs(d);
}

/* An instance with dead entries alone has nothing to do at exit. */
static void test_quiesce_dead(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct arm_smmu_domain *d = test_domain(test, 7);
	unsigned int i;

	for (i = 0; i < TEST_NR; i++) {
		test_rid_domain(test, &ctx->s[i]);
		test_bind(test, d, &ctx->s[i], 3);
	}
	arm_smmu_detach_dev_pasid(&d->domain, ctx->s[1].master.dev, 3);
	for (i = 0; i < TEST_NR; i++)
		test_skip_cmds(&ctx->s[i]);

	arm_smmu_inv_quiesce(d);
	KUNIT_EXPECT_NOT_NULL(test, test_next_cmd(&ctx->s[0]));
	KUNIT_EXPECT_NULL_MSG(test, test_next_cmd(&ctx->s[1]),
			      "a command for an instance with dead entries alone");

	arm_smmu_detach_dev_pasid(&d->domain, ctx->s[0].master.dev, 3);
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

#define TEST_ATTACH() \
	arm_smmu_attach_dev_pasid(&d->domain, m->dev, 3, NULL)

	test_rid_domain(test, s);
	m->sva_enabled = false;
	KUNIT_EXPECT_EQ(test, TEST_ATTACH(), -ENODEV);
	m->sva_enabled = true;

	m->domain->stage = ARM_SMMU_DOMAIN_S2;
	KUNIT_EXPECT_EQ(test, TEST_ATTACH(), -EBUSY);
	m->domain->stage = ARM_SMMU_DOMAIN_S1;

	s->smmu->asid_bits = 8;
	KUNIT_EXPECT_EQ(test, TEST_ATTACH(), -EINVAL);
	s->smmu->asid_bits = 16;

	s->smmu->features &= ~ARM_SMMU_FEAT_SVA;
	KUNIT_EXPECT_EQ(test, TEST_ATTACH(), -EOPNOTSUPP);
	s->smmu->features |= ARM_SMMU_FEAT_SVA;

	/* A paging domain belongs to the instance it was first used with */
	paging->domain.type = IOMMU_DOMAIN_UNMANAGED;
	paging->smmu = ctx->s[1].smmu;
	KUNIT_EXPECT_EQ(test, -ENXIO,
			arm_smmu_attach_dev_pasid(&paging->domain, m->dev, 3,
						  NULL));

	m->ssid_bits = 1;
	KUNIT_EXPECT_EQ(test, TEST_ATTACH(), -EINVAL);
	m->ssid_bits = 0;
	KUNIT_EXPECT_EQ(test, TEST_ATTACH(), -EOPNOTSUPP);
#undef TEST_ATTACH

	/* Nothing has changed */
	KUNIT_EXPECT_EQ(test, m->nr_pasids, 0);
	KUNIT_EXPECT_NULL(test, test_invs(d));
	test_expect_idle(test, s);
}

/* An attach that fails does not decide which instance a domain belongs to. */
static void test_attach_elsewhere(struct kunit *test)
{
	const struct iommu_ops *ops = pci_bus_type.iommu_ops;
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0], *other = &ctx->s[1];
	struct iommu_domain *domain;
	int ret;

	if (!ops || ops->default_domain_ops->attach_dev != arm_smmu_attach_dev)
		kunit_skip(test, "needs an SMMUv3 in the machine, for its domain_alloc()");
	domain = ops->domain_alloc(IOMMU_DOMAIN_UNMANAGED);
	KUNIT_ASSERT_NOT_NULL(test, domain);
	domain->type = IOMMU_DOMAIN_UNMANAGED;

	s->smmu->ias = 48;
	other->smmu->ias = 48;
	test_rid_domain(test, s);
	test_rid_domain(test, other);
	s->master.ssid_bits = 1;
	KUNIT_EXPECT_EQ(test, -EINVAL,
			arm_smmu_attach_dev_pasid(domain, s->master.dev, 3,
						  NULL));
	ret = arm_smmu_attach_dev_pasid(domain, other->master.dev, 3, NULL);
	KUNIT_EXPECT_EQ_MSG(test, 0, ret,
			    "a failed attach has bound the domain to an instance");
	if (!ret)
		arm_smmu_detach_dev_pasid(domain, other->master.dev, 3);

	ops->default_domain_ops->free(domain);
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

/* Replacement, as the SMMU may see it */

/* What becomes of a transaction, and the entry that says so */
enum test_fate {
	TEST_ABORTED,		/* or reported */
	TEST_UNCHANGED,
	TEST_STAGE_1,		/* by a CD */
	TEST_STAGE_2,		/* by words 2 and 3 of an STE */
};

struct test_seen {
	enum test_fate		fate;
	struct arm_smmu_entry	e;
};

static void test_read_entry(struct arm_smmu_entry *e, const __le64 *mem)
{
	unsigned int i;

	for (i = 0; i < ARM_SMMU_ENTRY_DWORDS; i++)
		e->w[i] = le64_to_cpu(READ_ONCE(mem[i]));
}

static void test_read_ste(struct test_smmu *s, u32 sid,
			  struct arm_smmu_entry *ste)
{
	test_read_entry(ste, arm_smmu_get_step_for_sid(s->smmu, sid));
}

/* CDs that the SMMU finds at @dma; it may know the former place of a leaf */
static __le64 *test_cds_at(struct arm_smmu_cd_table *table, dma_addr_t dma)
{
	struct arm_smmu_cds *leaf;
	unsigned long i;

	if (table->swapped && table->spare.dma == dma)
		return table->spare.cd;
	xa_for_each(&table->leaves, i, leaf)
		if (leaf->dma == dma)
			return leaf->cd;
	return NULL;
}

/* IHI0070 3.3.2, for a transaction with @ssid, or without if that is 0 */
static struct test_seen test_lookup(struct test_smmu *s,
				    const struct arm_smmu_entry *ste, u32 ssid)
{
	struct arm_smmu_cd_table *table = &s->master.cd_table;
	u32 cdmax = FIELD_GET(STRTAB_STE_0_S1CDMAX, ste->w[0]);
	dma_addr_t ptr = ste->w[0] & STRTAB_STE_0_S1CTXPTR_MASK;
	struct test_seen seen = { .fate = TEST_ABORTED };
	unsigned int split = 0;
	__le64 *cds;

	if (!(ste->w[0] & STRTAB_STE_0_V))
		return seen;

	switch (FIELD_GET(STRTAB_STE_0_CFG, ste->w[0])) {
	case STRTAB_STE_0_CFG_BYPASS:
		seen.fate = ssid ? TEST_ABORTED : TEST_UNCHANGED;
		return seen;
	case STRTAB_STE_0_CFG_S2_TRANS:
		seen.fate = ssid ? TEST_ABORTED : TEST_STAGE_2;
		seen.e.w[2] = ste->w[2];
		seen.e.w[3] = ste->w[3];
		return seen;
	case STRTAB_STE_0_CFG_S1_TRANS:
		break;
	default:
		return seen;
	}

	if (cdmax && !ssid) {
		switch (FIELD_GET(STRTAB_STE_1_S1DSS, ste->w[1])) {
		case STRTAB_STE_1_S1DSS_BYPASS:
			seen.fate = TEST_UNCHANGED;
			return seen;
		case STRTAB_STE_1_S1DSS_TERMINATE:
			return seen;
		}
	}
	/* The VMID of a TLB entry is that of the STE */
	if (ssid >> cdmax || ste->w[2])
		return seen;

	switch (FIELD_GET(STRTAB_STE_0_S1FMT, ste->w[0])) {
	case STRTAB_STE_0_S1FMT_4K_L2:
		split = CTXDESC_SPLIT_4K;
		break;
	case STRTAB_STE_0_S1FMT_64K_L2:
		split = CTXDESC_SPLIT_64K;
		break;
	}
	if (split) {
		u64 l1;

		if (!table->l1 || table->tab_dma != ptr)
			return seen;
		l1 = le64_to_cpu(READ_ONCE(table->l1[ssid >> split]));
		if (!(l1 & CTXDESC_L1_DESC_V))
			return seen;
		ptr = l1 & CTXDESC_L1_DESC_L2PTR_MASK;
		ssid &= BIT(split) - 1;
	}

	cds = test_cds_at(table, ptr);
	if (!cds)
		return seen;
	test_read_entry(&seen.e, cds + ssid * CTXDESC_CD_DWORDS);
	if (seen.e.w[0] & CTXDESC_CD_0_V)
		seen.fate = TEST_STAGE_1;
	return seen;
}

/* What a domain should do to a transaction */
static struct test_seen test_wanted(struct test_smmu *s,
				    struct arm_smmu_domain *d)
{
	struct test_seen wanted = { .fate = TEST_ABORTED };
	struct arm_smmu_entry ste;

	if (!d)
		return wanted;

	switch (d->stage) {
	case ARM_SMMU_DOMAIN_S1:
		wanted.fate = TEST_STAGE_1;
		arm_smmu_cd_make(&wanted.e, &s->master, &d->cd);
		break;
	case ARM_SMMU_DOMAIN_BYPASS:
		wanted.fate = TEST_UNCHANGED;
		break;
	default:
		wanted.fate = TEST_STAGE_2;
		arm_smmu_ste_s2(&ste, &s->master, &d->s2_cfg);
		wanted.e.w[2] = ste.w[2];
		wanted.e.w[3] = ste.w[3];
	}
	return wanted;
}

static bool test_is(const struct test_seen *seen, const struct test_seen *want)
{
	return seen->fate == want->fate &&
	       !memcmp(&seen->e, &want->e, sizeof(seen->e));
}

static void test_expect_seen(struct kunit *test, struct test_smmu *s, u32 ssid,
			     struct arm_smmu_domain *d)
{
	struct test_seen want = test_wanted(s, d);
	u32 sid;

	for (sid = 0x10; sid <= 0x11; sid++) {
		struct arm_smmu_entry ste;
		struct test_seen seen;

		test_read_ste(s, sid, &ste);
		seen = test_lookup(s, &ste, ssid);
		KUNIT_EXPECT_TRUE_MSG(test, test_is(&seen, &want),
				      "StreamID 0x%x, SSID %u", sid, ssid);
	}
}

static void test_replace_work(struct work_struct *work)
{
	struct test_work *w = container_of(work, struct test_work, work);

	if (w->ssid)
		w->ret = arm_smmu_attach_dev_pasid(&w->d->domain,
						   w->s->master.dev, w->ssid,
						   &w->old->domain);
	else
		w->ret = arm_smmu_attach_dev(&w->d->domain, w->s->master.dev);
	/* Pairs with smp_load_acquire() in test_hold_stopped() */
	smp_store_release(&w->done, true);
}

/*
 * Replace @old by @new, and look at what the SMMU has to find at each CMD_SYNC,
 * with the STE as it is and as it was: that may be cached until the CMD_SYNC is
 * complete. Returns the number of these.
 */
static unsigned int test_replace(struct kunit *test, struct test_smmu *s,
				 u32 ssid, struct arm_smmu_domain *old,
				 struct arm_smmu_domain *new, bool may_abort)
{
	struct test_seen was = test_wanted(s, old), is = test_wanted(s, new);
	struct test_work w = { .d = new, .old = old, .ssid = ssid };
	struct arm_smmu_entry stes[2], ste;
	struct test_seen seen;
	unsigned int i, waits;

	test_skip_cmds(s);
	test_expect_seen(test, s, ssid, old);
	for (i = 0; i < 2; i++)
		test_read_ste(s, 0x10 + i, &stes[i]);

	test_hold_start(test, &w, test_replace_work, s);
	for (waits = 0; test_hold_stopped(test, &w); waits++) {
		for (i = 0; i < 2; i++) {
			seen = test_lookup(s, &stes[i], ssid);
			KUNIT_EXPECT_TRUE_MSG(test, test_is(&seen, &was) ||
					      test_is(&seen, &is) ||
					      (may_abort && !seen.fate),
					      "cached STE, CMD_SYNC %u", waits);
			test_read_ste(s, 0x10 + i, &ste);
			seen = test_lookup(s, &ste, ssid);
			KUNIT_EXPECT_TRUE_MSG(test, test_is(&seen, &was) ||
					      test_is(&seen, &is) ||
					      (may_abort && !seen.fate),
					      "CMD_SYNC %u", waits);
			stes[i] = ste;
		}
		test_hold_step(&w);
	}
	test_hold_finish(test, &w);

	KUNIT_EXPECT_EQ(test, w.ret, 0);
	KUNIT_EXPECT_NULL(test, s->master.cd_table.swapped);
	test_expect_seen(test, s, ssid, new);
	return waits;
}

static void test_pasid_attach(struct kunit *test, struct test_smmu *s,
			      struct arm_smmu_domain *d, u32 ssid)
{
	KUNIT_ASSERT_EQ(test, 0,
			arm_smmu_attach_dev_pasid(&d->domain, s->master.dev,
						  ssid, NULL));
	test_skip_cmds(s);
	test_expect_seen(test, s, ssid, d);
}

/* The first PASID makes the table grow below DMA without PASID */
static void test_cd_grow(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_cd_table *table = &s->master.cd_table;
	struct arm_smmu_domain *rid = test_paging(test, s, 1);
	struct arm_smmu_domain *d = test_domain(test, 2);
	struct arm_smmu_entry before, after;
	u64 *cmd;

	KUNIT_ASSERT_EQ(test, 0,
			arm_smmu_attach_dev(&rid->domain, s->master.dev));
	test_expect_seen(test, s, 0, rid);
	test_skip_cmds(s);
	test_read_ste(s, 0x11, &before);
	KUNIT_EXPECT_EQ(test, FIELD_GET(STRTAB_STE_0_S1CDMAX, before.w[0]), 0);

	KUNIT_ASSERT_EQ(test, arm_smmu_cd_prepare(&s->master, 0x1234), 0);
	test_expect_op(test, s, CMDQ_OP_CFGI_STE, &cmd);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_CFGI_0_SID, cmd[0]), 0x10);
	test_expect_op(test, s, CMDQ_OP_CFGI_STE, &cmd);
	KUNIT_EXPECT_EQ(test, FIELD_GET(CMDQ_CFGI_0_SID, cmd[0]), 0x11);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);

	test_read_ste(s, 0x11, &after);
	KUNIT_EXPECT_EQ(test, after.w[0],
			0x8000000000000001 | 5 << 1 | 1 << 4 | table->tab_dma);
	after.w[0] = before.w[0];
	KUNIT_EXPECT_EQ(test, 0, memcmp(&before, &after, sizeof(before)));
	test_expect_seen(test, s, 0, rid);
	test_expect_seen(test, s, 0x1234, NULL);
	KUNIT_EXPECT_NULL(test, table->spare.cd);
	KUNIT_EXPECT_NULL(test, table->swapped);

	/* Once */
	test_pasid_attach(test, s, d, 0x1234);
	KUNIT_ASSERT_EQ(test, arm_smmu_cd_prepare(&s->master, 0xffff), 0);
	test_expect_idle(test, s);
	test_expect_seen(test, s, 0, rid);

	test_free_invs(d);
	test_free_invs(rid);
}

/* The same, step by step: what is in use is in both places meanwhile */
static void test_cd_grow_work(struct work_struct *work)
{
	struct test_work *w = container_of(work, struct test_work, work);

	w->ret = arm_smmu_cd_prepare(&w->s->master, w->ssid);
	/* Pairs with smp_load_acquire() in test_hold_stopped() */
	smp_store_release(&w->done, true);
}

static void test_cd_grow_order(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *rid = test_paging(test, s, 1);
	struct test_work w = { .ssid = 3 };
	struct arm_smmu_entry ste;
	struct test_seen seen, want;

	KUNIT_ASSERT_EQ(test, 0,
			arm_smmu_attach_dev(&rid->domain, s->master.dev));
	want = test_wanted(s, rid);
	test_read_ste(s, 0x11, &ste);

	test_hold_start(test, &w, test_cd_grow_work, s);
	KUNIT_EXPECT_TRUE(test, test_hold_stopped(test, &w));
	test_expect_seen(test, s, 0, rid);
	seen = test_lookup(s, &ste, 0);
	KUNIT_EXPECT_TRUE(test, test_is(&seen, &want));
	test_hold_step(&w);
	test_hold_finish(test, &w);
	KUNIT_EXPECT_EQ(test, w.ret, 0);
	test_free_invs(rid);
}

/*
 * A PASID goes from one domain to another, with one next to it whose process
 * exits just then.
 */
static void test_pasid_replace(struct kunit *test, unsigned int bits)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_master *m = &s->master;
	struct arm_smmu_domain *rid = test_paging(test, s, 1);
	struct arm_smmu_domain *old = test_domain(test, 2);
	struct arm_smmu_domain *new = test_paging(test, s, 3);
	struct arm_smmu_domain *next = test_domain(test, 4);
	struct test_work w = { .d = new, .old = old, .ssid = 3 };
	struct arm_smmu_entry was, cd;
	__le64 *former;
	u64 l1 = 0;

	m->ssid_bits = bits;
	if (bits <= CTXDESC_LINEAR_CDMAX)
		m->smmu->features &= ~ARM_SMMU_FEAT_2_LVL_CDTAB;
	KUNIT_ASSERT_EQ(test, 0, arm_smmu_attach_dev(&rid->domain, m->dev));
	test_pasid_attach(test, s, old, 3);
	test_pasid_attach(test, s, next, 4);
	former = arm_smmu_cd_ptr(m, 0);
	test_read_entry(&was, former + 3 * CTXDESC_CD_DWORDS);
	if (m->cd_table.l1)
		l1 = le64_to_cpu(m->cd_table.l1[0]);

	test_hold_start(test, &w, test_replace_work, s);

	/* One store has made all the difference */
	KUNIT_EXPECT_TRUE(test, test_hold_stopped(test, &w));
	if (m->cd_table.l1) {
		test_expect_cfgi_cd(test, s, 0x10, 3, false);
		test_expect_cfgi_cd(test, s, 0x11, 3, false);
		KUNIT_EXPECT_NE(test, l1, le64_to_cpu(m->cd_table.l1[0]));
	} else {
		test_expect_op(test, s, CMDQ_OP_CFGI_STE, NULL);
		test_expect_op(test, s, CMDQ_OP_CFGI_STE, NULL);
	}
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);
	test_expect_seen(test, s, 0, rid);
	test_expect_seen(test, s, 3, new);
	test_expect_seen(test, s, 4, next);

	/* The SMMU may still read the former CDs, and they are all there */
	KUNIT_EXPECT_PTR_NE(test, arm_smmu_cd_ptr(m, 0), former);
	KUNIT_EXPECT_PTR_EQ(test, m->cd_table.spare.cd, former);
	test_read_entry(&cd, former + 3 * CTXDESC_CD_DWORDS);
	KUNIT_EXPECT_EQ(test, 0, memcmp(&cd, &was, sizeof(cd)));

	/* Whichever it reads, no exit is lost, and the new CD is not touched */
	arm_smmu_cd_quiet(m, 4, 4);
	arm_smmu_cd_quiet(m, 3, 2);
	test_expect_seen(test, s, 3, new);
	was.w[0] = arm_smmu_cd_quiet_word(m, was.w[0]);
	test_read_entry(&cd, former + 3 * CTXDESC_CD_DWORDS);
	KUNIT_EXPECT_EQ(test, cd.w[0], was.w[0]);
	arm_smmu_cd_make(&was, m, &next->cd);
	was.w[0] = arm_smmu_cd_quiet_word(m, was.w[0]);
	test_read_entry(&cd, former + 4 * CTXDESC_CD_DWORDS);
	KUNIT_EXPECT_EQ(test, cd.w[0], was.w[0]);
	test_read_entry(&cd, arm_smmu_cd_ptr(m, 4));
	KUNIT_EXPECT_EQ(test, 0, memcmp(&cd, &was, sizeof(cd)));

	/* Both invalidate, what is in the event queue can wait */
	test_expect_inv(test, old, 2, s, ARM_SMMU_INV_STREAM, 0x11, 3, 1, 0, 0);
	test_expect_inv(test, new, 2, s, ARM_SMMU_INV_STREAM, 0x11, 3, 1, 0, 0);
	test_put_stall(s, 0x90, 7);
	test_hold_step(&w);

	/* Then the SMMU knows the new CD only: nothing of the old one is left */
	KUNIT_EXPECT_TRUE(test, test_hold_stopped(test, &w));
	test_expect_tlbi_asid(test, s, 2);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);
	KUNIT_EXPECT_NULL(test, m->cd_table.swapped);
	KUNIT_EXPECT_NE(test, s->evtq_cons, s->evtq_prod);
	test_hold_step(&w);

	test_hold_finish(test, &w);
	KUNIT_EXPECT_EQ(test, w.ret, 0);
	test_expect_abort(test, s, 0x90, 7);
	test_expect_idle(test, s);
	KUNIT_EXPECT_EQ(test, s->evtq_cons, s->evtq_prod);
	test_expect_inv(test, old, 2, s, ARM_SMMU_INV_STREAM, 0x11, 3, 0, 0, 1);
	test_expect_inv(test, new, 2, s, ARM_SMMU_INV_STREAM, 0x11, 3, 1, 0, 0);
	KUNIT_EXPECT_EQ(test, m->nr_pasids, 2);

	/* And back again, with the memory that is there */
	KUNIT_EXPECT_EQ(test, 2, test_replace(test, s, 3, new, old, false));
	KUNIT_EXPECT_PTR_EQ(test, arm_smmu_cd_ptr(m, 0), former);
	test_expect_seen(test, s, 0, rid);

	arm_smmu_detach_dev_pasid(&old->domain, m->dev, 3);
	arm_smmu_detach_dev_pasid(&next->domain, m->dev, 4);
	KUNIT_EXPECT_EQ(test, m->nr_pasids, 0);
	test_free_invs(rid);
	test_free_invs(old);
	test_free_invs(new);
	test_free_invs(next);
}

static void test_pasid_replace_leaf(struct kunit *test)
{
	test_pasid_replace(test, 16);
}

static void test_pasid_replace_table(struct kunit *test)
{
	test_pasid_replace(test, 5);
}

/* Below an identity domain the STE refers to the table as well */
static void test_pasid_replace_identity(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *rid = test_identity(test, s);
	struct arm_smmu_domain *a = test_domain(test, 2);
	struct arm_smmu_domain *b = test_domain(test, 3);

	s->smmu->features &= ~ARM_SMMU_FEAT_2_LVL_CDTAB;
	s->master.ssid_bits = 5;
	KUNIT_ASSERT_EQ(test, 0,
			arm_smmu_attach_dev(&rid->domain, s->master.dev));
	test_pasid_attach(test, s, a, 3);
	KUNIT_EXPECT_EQ(test, 2, test_replace(test, s, 3, a, b, false));
	test_expect_seen(test, s, 0, rid);
	test_free_invs(a);
	test_free_invs(b);
}

static void test_pasid_replace_refused(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_master *m = &s->master;
	struct arm_smmu_domain *rid = test_paging(test, s, 1);
	struct arm_smmu_domain *old = test_paging(test, s, 2);
	struct arm_smmu_domain *sva = test_domain(test, 0x100);
	struct arm_smmu_domain *foreign = test_paging(test, &ctx->s[1], 3);
	struct arm_smmu_domain *s2 = test_stage2(test, s, 4);

#define TEST_REPLACE(new) \
	arm_smmu_attach_dev_pasid(&(new)->domain, m->dev, 3, &old->domain)

	KUNIT_ASSERT_EQ(test, 0, arm_smmu_attach_dev(&rid->domain, m->dev));
	test_pasid_attach(test, s, old, 3);

	s->smmu->asid_bits = 8;
	KUNIT_EXPECT_EQ(test, TEST_REPLACE(sva), -EINVAL);
	s->smmu->asid_bits = 16;
	m->sva_enabled = false;
	KUNIT_EXPECT_EQ(test, TEST_REPLACE(sva), -ENODEV);
	m->sva_enabled = true;
	KUNIT_EXPECT_EQ(test, TEST_REPLACE(foreign), -ENXIO);
	KUNIT_EXPECT_EQ(test, TEST_REPLACE(s2), -EINVAL);
#undef TEST_REPLACE

	/* The old one still translates, and invalidates */
	test_expect_idle(test, s);
	test_expect_seen(test, s, 3, old);
	KUNIT_EXPECT_EQ(test, m->nr_pasids, 1);
	test_expect_inv(test, old, 2, s, ARM_SMMU_INV_STREAM, 0x11, 3, 1, 0, 0);
	KUNIT_EXPECT_NULL(test, test_invs(sva));
	KUNIT_EXPECT_NULL(test, test_invs(foreign));

	test_free_invs(rid);
	test_free_invs(old);
}

/* What is without PASID goes from one domain to another */
static void test_rid_replace(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *a = test_paging(test, s, 1);
	struct arm_smmu_domain *b = test_paging(test, s, 2);
	struct arm_smmu_domain *id = test_identity(test, s);
	struct arm_smmu_domain *s2[2] = {
		test_stage2(test, s, 1), test_stage2(test, s, 2),
	};

	KUNIT_ASSERT_EQ(test, 0,
			arm_smmu_attach_dev(&a->domain, s->master.dev));

	/* The STEs, and the TLB */
	KUNIT_EXPECT_EQ(test, 2, test_replace(test, s, 0, a, b, false));
	test_expect_op(test, s, CMDQ_OP_CFGI_STE, NULL);
	test_expect_op(test, s, CMDQ_OP_CFGI_STE, NULL);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_tlbi_asid(test, s, 1);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);

	test_replace(test, s, 0, b, id, false);
	test_replace(test, s, 0, id, a, false);
	test_replace(test, s, 0, a, id, false);
	test_replace(test, s, 0, id, s2[0], false);
	test_replace(test, s, 0, s2[0], id, false);

	/* The VMID is in the way */
	test_replace(test, s, 0, id, b, false);
	test_replace(test, s, 0, b, s2[0], true);
	test_replace(test, s, 0, s2[0], s2[1], true);
	test_replace(test, s, 0, s2[1], a, true);

	test_free_invs(a);
	test_free_invs(b);
	test_free_invs(s2[0]);
	test_free_invs(s2[1]);
}

static void test_rid_replace_below_pasids(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *a = test_paging(test, s, 1);
	struct arm_smmu_domain *b = test_paging(test, s, 2);
	struct arm_smmu_domain *id = test_identity(test, s);
	struct arm_smmu_domain *s2 = test_stage2(test, s, 1);
	struct arm_smmu_domain *d = test_domain(test, 3);

	KUNIT_ASSERT_EQ(test, 0,
			arm_smmu_attach_dev(&a->domain, s->master.dev));
	test_pasid_attach(test, s, d, 0x20);

	KUNIT_EXPECT_EQ(test, 2, test_replace(test, s, 0, a, b, false));
	test_expect_cfgi_cd(test, s, 0x10, 0, false);
	test_expect_cfgi_cd(test, s, 0x11, 0, false);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_tlbi_asid(test, s, 1);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_idle(test, s);
	test_expect_seen(test, s, 0x20, d);

	test_replace(test, s, 0, b, id, false);
	test_expect_seen(test, s, 0x20, d);
	test_replace(test, s, 0, id, a, false);
	test_expect_seen(test, s, 0x20, d);
	test_skip_cmds(s);

	/* Substreams need stage 1 */
	KUNIT_EXPECT_EQ(test, -EBUSY,
			arm_smmu_attach_dev(&s2->domain, s->master.dev));
	test_expect_idle(test, s);
	test_expect_seen(test, s, 0, a);
	test_expect_seen(test, s, 0x20, d);
	KUNIT_EXPECT_NULL(test, test_invs(s2));

	/* The same STE and the same CD, which DMA does not notice either */
	test_replace(test, s, 0, a, a, false);

	arm_smmu_detach_dev_pasid(&d->domain, s->master.dev, 0x20);
	test_expect_seen(test, s, 0, a);
	test_free_invs(a);
	test_free_invs(b);
	test_free_invs(d);
}

#ifdef CONFIG_PCI_ATS
#define TEST_ATS_CAP		0x100

static int test_pci_read(struct pci_bus *bus, unsigned int devfn, int where,
			 int size, u32 *val)
{
	struct test_smmu *s = container_of(bus, struct test_smmu, bus);

	*val = s->ats_on ? PCI_ATS_CTRL_ENABLE : 0;
	return PCIBIOS_SUCCESSFUL;
}

/* A device that uses ATS needs STEs that know about it */
static void test_check_ats(struct test_smmu *s)
{
	u32 sid;

	for (sid = 0x10; sid <= 0x11; sid++) {
		struct arm_smmu_entry ste;
		u64 cfg;

		test_read_ste(s, sid, &ste);
		cfg = FIELD_GET(STRTAB_STE_0_CFG, ste.w[0]);
		if (FIELD_GET(STRTAB_STE_1_EATS, ste.w[1]) !=
		    STRTAB_STE_1_EATS_TRANS ||
		    (cfg != STRTAB_STE_0_CFG_S1_TRANS &&
		     cfg != STRTAB_STE_0_CFG_S2_TRANS))
			s->ats_unwanted = true;
	}
}

static int test_pci_write(struct pci_bus *bus, unsigned int devfn, int where,
			  int size, u32 val)
{
	struct test_smmu *s = container_of(bus, struct test_smmu, bus);

	if (where != TEST_ATS_CAP + PCI_ATS_CTRL)
		return PCIBIOS_BAD_REGISTER_NUMBER;

	s->ats_writes++;
	s->ats_on = val & PCI_ATS_CTRL_ENABLE;
	/* Now, or until now */
	test_check_ats(s);
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops test_pci_ops = {
	.read	= test_pci_read,
	.write	= test_pci_write,
};

/* Turn the device behind an instance into one that has ATS */
static void test_make_ats(struct kunit *test, struct test_smmu *s)
{
	struct pci_dev *pdev = kunit_kzalloc(test, sizeof(*pdev), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, pdev);
	s->bus.ops = &test_pci_ops;
	pdev->bus = &s->bus;
	pdev->ats_cap = TEST_ATS_CAP;
	pdev->dev.bus = &pci_bus_type;
	pdev->dev.init_name = "arm-smmu-v3-kunit-ats";
	pdev->dev.iommu = &s->iommu;
	s->master.dev = &pdev->dev;
	s->smmu->features |= ARM_SMMU_FEAT_ATS;
}

static void test_expect_ats(struct kunit *test, struct test_smmu *s, bool on)
{
	KUNIT_EXPECT_EQ(test, s->master.ats_enabled, on);
	KUNIT_EXPECT_EQ(test, s->ats_on, on);
	if (on)
		test_check_ats(s);
	KUNIT_EXPECT_FALSE(test, s->ats_unwanted);
}

/* How many invalidations of an ATC for @ssid there were since */
static unsigned int test_count_atc(struct test_smmu *s, u32 ssid)
{
	unsigned int num = 0;
	u64 *cmd;

	while ((cmd = test_next_cmd(s)))
		if (FIELD_GET(CMDQ_0_OP, cmd[0]) == CMDQ_OP_ATC_INV &&
		    FIELD_GET(CMDQ_ATC_0_SSID, cmd[0]) == ssid)
			num++;
	return num;
}

static void test_ats(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *a = test_paging(test, s, 1);
	struct arm_smmu_domain *b = test_paging(test, s, 2);
	struct arm_smmu_domain *id = test_identity(test, s);
	struct arm_smmu_domain *s2 = test_stage2(test, s, 1);
	struct arm_smmu_domain *d = test_domain(test, 3);
	struct arm_smmu_domain *e = test_domain(test, 4);

	test_make_ats(test, s);

	/* Nothing to translate */
	KUNIT_ASSERT_EQ(test, 0,
			arm_smmu_attach_dev(&id->domain, s->master.dev));
	test_expect_ats(test, s, false);
	KUNIT_EXPECT_EQ(test, s->ats_writes, 0);

	/* From one that translates to another it stays on */
	test_replace(test, s, 0, id, a, false);
	test_expect_ats(test, s, true);
	test_replace(test, s, 0, a, b, false);
	test_expect_ats(test, s, true);
	KUNIT_EXPECT_EQ(test, s->ats_writes, 1);
	KUNIT_EXPECT_EQ(test, test_count_atc(s, 0), 2);
	test_replace(test, s, 0, b, id, false);
	test_expect_ats(test, s, false);
	KUNIT_EXPECT_EQ(test, s->ats_writes, 2);
	/* The device must be done with it before the STE changes */
	test_expect_atc_all(test, s, 0x10, 0);
	test_expect_atc_all(test, s, 0x11, 0);
	test_expect_op(test, s, CMDQ_OP_CMD_SYNC, NULL);
	test_expect_op(test, s, CMDQ_OP_CFGI_STE, NULL);
	test_skip_cmds(s);

	/* An STE that blocks has no EATS */
	test_replace(test, s, 0, id, a, false);
	test_replace(test, s, 0, a, s2, true);
	test_expect_ats(test, s, true);
	KUNIT_EXPECT_EQ(test, s->ats_writes, 5);
	test_replace(test, s, 0, s2, id, false);
	test_expect_ats(test, s, false);
	KUNIT_EXPECT_EQ(test, s->ats_writes, 6);

	/* PASIDs need it, whatever is below them */
	test_pasid_attach(test, s, d, 3);
	test_expect_seen(test, s, 0, id);
	test_expect_ats(test, s, true);
	test_expect_inv(test, d, 1, s, ARM_SMMU_INV_STREAM, 0x10, 3, 1, 1, 0);
	test_replace(test, s, 3, d, e, false);
	KUNIT_EXPECT_EQ(test, test_count_atc(s, 3), 2);
	test_replace(test, s, 0, id, a, false);
	/* The ATC had addresses that are translated to themselves */
	KUNIT_EXPECT_EQ(test, test_count_atc(s, 0), 2);
	test_replace(test, s, 0, a, id, false);
	KUNIT_EXPECT_EQ(test, test_count_atc(s, 0), 2);
	test_expect_ats(test, s, true);
	KUNIT_EXPECT_EQ(test, s->ats_writes, 7);

	arm_smmu_detach_dev_pasid(&e->domain, s->master.dev, 3);
	test_expect_seen(test, s, 0, id);
	test_expect_ats(test, s, false);
	KUNIT_EXPECT_EQ(test, s->ats_writes, 8);

	test_free_invs(a);
	test_free_invs(b);
	test_free_invs(s2);
	test_free_invs(d);
	test_free_invs(e);
}

static unsigned int test_eats(struct test_smmu *s)
{
	struct arm_smmu_entry ste;

	test_read_ste(s, 0x10, &ste);
	return FIELD_GET(STRTAB_STE_1_EATS, ste.w[1]);
}

/*
 * A VF has the STU of its PF, which is not set before ATS is enabled there. If
 * the function has ATS off, EATS would let it send Translated requests, and
 * nothing answers CMD_ATC_INV (IHI0070 3.9.1.5).
 */
static void test_ats_of_function(struct kunit *test, bool vf)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *a = test_paging(test, s, 1);
	struct arm_smmu_domain *d = test_domain(test, 3);
	struct pci_dev *pdev, *pf;

	pf = kunit_kzalloc(test, sizeof(*pf), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pf);
	test_make_ats(test, s);
	pdev = to_pci_dev(s->master.dev);
	if (vf) {
		pdev->is_virtfn = 1;
		pdev->physfn = pf;
	}

	KUNIT_ASSERT_EQ(test, 0,
			arm_smmu_attach_dev(&a->domain, s->master.dev));
	test_pasid_attach(test, s, d, 3);
	test_skip_cmds(s);
	/* Unless the PF was asked for its STU first */
	if (!vf)
		KUNIT_EXPECT_TRUE(test, s->ats_on);
	KUNIT_EXPECT_EQ_MSG(test, s->master.ats_enabled, s->ats_on,
			    "the driver says that ATS is enabled, the function does not");
	KUNIT_EXPECT_EQ_MSG(test, test_eats(s), (unsigned int)s->ats_on,
			    "EATS of a function that has ATS disabled");
	arm_smmu_inv_range(d, 0x10000, SZ_4K, SZ_4K, true);
	KUNIT_EXPECT_EQ_MSG(test, test_count_atc(s, 3), s->ats_on ? 2 : 0,
			    "CMD_ATC_INV for a function that has ATS disabled");

	arm_smmu_detach_dev_pasid(&d->domain, s->master.dev, 3);
	test_free_invs(a);
	test_free_invs(d);
}

static void test_ats_pf(struct kunit *test)
{
	test_ats_of_function(test, false);
}

static void test_ats_vf(struct kunit *test)
{
	test_ats_of_function(test, true);
}

/* From now on no CMD_SYNC completes: CONS does not move. */
static void test_cmdq_hang(struct test_smmu *s)
{
	s->cmdq_held = s->cmdq_index;
	WRITE_ONCE(s->smmu->cmdq.q.cons_reg,
		   (u32 __iomem __force *)&s->cmdq_held);
}

/*
 * Where the ATC does not answer, the page is reused all the same. EATS must be
 * clear by then, or the device goes on using it.
 */
static void test_atc_timeout(struct kunit *test, bool detach)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *id = test_identity(test, s);
	struct arm_smmu_domain *d = test_domain(test, 3);
	struct arm_smmu_domain *e = test_domain(test, 4);

	test_make_ats(test, s);
	KUNIT_ASSERT_EQ(test, 0,
			arm_smmu_attach_dev(&id->domain, s->master.dev));
	test_pasid_attach(test, s, d, 3);
	test_pasid_attach(test, s, e, 4);
	KUNIT_EXPECT_EQ(test, test_eats(s), 1U);

	test_cmdq_hang(s);
	if (detach)
		arm_smmu_detach_dev_pasid(&d->domain, s->master.dev, 3);
	else
		arm_smmu_inv_range(d, 0x10000, SZ_4K, SZ_4K, true);
	KUNIT_EXPECT_EQ_MSG(test, test_eats(s), 0U,
			    "EATS is set after CMD_ATC_INV has timed out");
	test_cmdq_go(s);
	s->seen = s->cmdq_index;

	if (!detach)
		arm_smmu_detach_dev_pasid(&d->domain, s->master.dev, 3);
	arm_smmu_detach_dev_pasid(&e->domain, s->master.dev, 4);
	test_free_invs(d);
	test_free_invs(e);
}

static void test_atc_timeout_unmap(struct kunit *test)
{
	test_atc_timeout(test, false);
}

static void test_atc_timeout_detach(struct kunit *test)
{
	test_atc_timeout(test, true);
}

/* A device that was removed does not answer: nothing is sent to it. */
static void test_atc_removed(struct kunit *test)
{
	struct test_ctx *ctx = test->priv;
	struct test_smmu *s = &ctx->s[0];
	struct arm_smmu_domain *id = test_identity(test, s);
	struct arm_smmu_domain *d = test_domain(test, 3);

	test_make_ats(test, s);
	KUNIT_ASSERT_EQ(test, 0,
			arm_smmu_attach_dev(&id->domain, s->master.dev));
	test_pasid_attach(test, s, d, 3);
	arm_smmu_inv_range(d, 0x10000, SZ_4K, SZ_4K, true);
	KUNIT_EXPECT_EQ(test, test_count_atc(s, 3), 2);

	to_pci_dev(s->master.dev)->error_state = pci_channel_io_perm_failure;
	arm_smmu_inv_range(d, 0x10000, SZ_4K, SZ_4K, true);
	KUNIT_EXPECT_EQ_MSG(test, test_count_atc(s, 3), 0,
			    "CMD_ATC_INV for a removed device, by an unmap");
	arm_smmu_detach_dev_pasid(&d->domain, s->master.dev, 3);
	KUNIT_EXPECT_EQ_MSG(test, test_count_atc(s, 3), 0,
			    "CMD_ATC_INV for a removed device, by a detach");
	to_pci_dev(s->master.dev)->error_state = pci_channel_io_normal;
	test_free_invs(d);
}
#endif

static struct kunit_case arm_smmu_v3_cases[] = {
	KUNIT_CASE(test_cd_bytes),
	KUNIT_CASE(test_cd_quiet_bytes),
	KUNIT_CASE(test_ste_bytes),
	KUNIT_CASE(test_ste_stall_force),
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
	KUNIT_CASE(test_inv_all_with_atc),
	KUNIT_CASE(test_quiesce_dead),
	KUNIT_CASE(test_quiesce_in_detach),
	KUNIT_CASE(test_attach_refused),
	KUNIT_CASE(test_attach_elsewhere),
	KUNIT_CASE(test_evtq),
	KUNIT_CASE(test_detach_evtq),
	KUNIT_CASE(test_page_response),
	KUNIT_CASE(test_cd_grow),
	KUNIT_CASE(test_cd_grow_order),
	KUNIT_CASE(test_pasid_replace_leaf),
	KUNIT_CASE(test_pasid_replace_table),
	KUNIT_CASE(test_pasid_replace_identity),
	KUNIT_CASE(test_pasid_replace_refused),
	KUNIT_CASE(test_rid_replace),
	KUNIT_CASE(test_rid_replace_below_pasids),
#ifdef CONFIG_PCI_ATS
	KUNIT_CASE(test_ats),
	KUNIT_CASE(test_ats_pf),
	KUNIT_CASE(test_ats_vf),
	KUNIT_CASE(test_atc_timeout_unmap),
	KUNIT_CASE(test_atc_timeout_detach),
	KUNIT_CASE(test_atc_removed),
#endif
	{}
};

static struct kunit_suite arm_smmu_v3_suite = {
	.name = "arm_smmu_v3",
	.init = test_init,
	.exit = test_exit,
	.test_cases = arm_smmu_v3_cases,
};

kunit_test_suite(arm_smmu_v3_suite);
