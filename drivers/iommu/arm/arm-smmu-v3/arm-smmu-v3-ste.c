// SPDX-License-Identifier: GPL-2.0
/*
 * Stream table entries of an SMMUv3
 */

#include "arm-smmu-v3.h"

/**
 * arm_smmu_ste_abort() - contents of an STE that terminates every transaction
 * @ste: where to put them
 *
 * Follows IHI0070 5.2, Config = 0b000. The shareability override is not used,
 * but having it the same everywhere spares updates that change two words.
 */
void arm_smmu_ste_abort(struct arm_smmu_entry *ste)
{
	*ste = (struct arm_smmu_entry) {
		.w[0] = STRTAB_STE_0_V |
			FIELD_PREP(STRTAB_STE_0_CFG, STRTAB_STE_0_CFG_ABORT),
		.w[1] = FIELD_PREP(STRTAB_STE_1_SHCFG,
				   STRTAB_STE_1_SHCFG_INCOMING),
	};
}

/**
 * arm_smmu_ste_bypass() - contents of an STE that does not translate
 * @ste: where to put them
 *
 * Follows IHI0070 5.2, Config = 0b100, with the attributes of the transaction.
 */
void arm_smmu_ste_bypass(struct arm_smmu_entry *ste)
{
	arm_smmu_ste_abort(ste);
	ste->w[0] = STRTAB_STE_0_V |
		    FIELD_PREP(STRTAB_STE_0_CFG, STRTAB_STE_0_CFG_BYPASS);
}

/**
 * arm_smmu_ste_s1() - contents of an STE that refers to a CD table
 * @ste: where to put them
 * @master: whose CD table, ATS and stall setting to use; the table exists
 * @s1dss: STRTAB_STE_1_S1DSS_*, what becomes of transactions without PASID
 *
 * Follows IHI0070 5.2, Config = 0b101.
 */
void arm_smmu_ste_s1(struct arm_smmu_entry *ste,
		     const struct arm_smmu_master *master, unsigned int s1dss)
{
	struct arm_smmu_device *smmu = master->smmu;

	*ste = (struct arm_smmu_entry) {
		.w[0] = STRTAB_STE_0_V |
			FIELD_PREP(STRTAB_STE_0_CFG,
				   STRTAB_STE_0_CFG_S1_TRANS) |
			arm_smmu_cd_table_ref(&master->cd_table),
		.w[1] = FIELD_PREP(STRTAB_STE_1_S1DSS, s1dss) |
			FIELD_PREP(STRTAB_STE_1_S1CIR,
				   STRTAB_STE_1_S1C_CACHE_WBRA) |
			FIELD_PREP(STRTAB_STE_1_S1COR,
				   STRTAB_STE_1_S1C_CACHE_WBRA) |
			FIELD_PREP(STRTAB_STE_1_S1CSH, ARM_SMMU_SH_ISH) |
			FIELD_PREP(STRTAB_STE_1_STRW,
				   smmu->features & ARM_SMMU_FEAT_E2H ?
				   STRTAB_STE_1_STRW_EL2 :
				   STRTAB_STE_1_STRW_NSEL1) |
			FIELD_PREP(STRTAB_STE_1_SHCFG,
				   STRTAB_STE_1_SHCFG_INCOMING),
	};

	if ((smmu->features & ARM_SMMU_FEAT_STALLS) && !master->stall_enabled)
		ste->w[1] |= STRTAB_STE_1_S1STALLD;

	if (master->ats_enabled)
		ste->w[1] |= FIELD_PREP(STRTAB_STE_1_EATS,
					STRTAB_STE_1_EATS_TRANS);
}

/**
 * arm_smmu_ste_s2() - contents of an STE that translates by stage 2 alone
 * @ste: where to put them
 * @master: whose ATS setting to use
 * @cfg: the page table and its VMID
 *
 * Follows IHI0070 5.2, Config = 0b110.
 */
void arm_smmu_ste_s2(struct arm_smmu_entry *ste,
		     const struct arm_smmu_master *master,
		     const struct arm_smmu_s2_cfg *cfg)
{
	arm_smmu_ste_abort(ste);
	ste->w[0] = STRTAB_STE_0_V |
		    FIELD_PREP(STRTAB_STE_0_CFG, STRTAB_STE_0_CFG_S2_TRANS);

	if (master->ats_enabled)
		ste->w[1] |= FIELD_PREP(STRTAB_STE_1_EATS,
					STRTAB_STE_1_EATS_TRANS);

	ste->w[2] = FIELD_PREP(STRTAB_STE_2_S2VMID, cfg->vmid) |
		    FIELD_PREP(STRTAB_STE_2_VTCR, cfg->vtcr) |
#ifdef __BIG_ENDIAN
		    STRTAB_STE_2_S2ENDI |
#endif
		    STRTAB_STE_2_S2PTW | STRTAB_STE_2_S2AA64 |
		    STRTAB_STE_2_S2R;
	ste->w[3] = cfg->vttbr & STRTAB_STE_3_S2TTB_MASK;
}

/**
 * arm_smmu_ste_ignores() - does an STE make the SMMU ignore what another sets
 * @cur: the STE that is read
 * @next: the other one
 *
 * Return: true if, with word 0 of @cur, words 1 to 7 have the same meaning in
 * both.
 */
bool arm_smmu_ste_ignores(const struct arm_smmu_entry *cur,
			  const struct arm_smmu_entry *next)
{
	if (!(cur->w[0] & STRTAB_STE_0_V))
		return true;

	switch (FIELD_GET(STRTAB_STE_0_CFG, cur->w[0])) {
	case STRTAB_STE_0_CFG_ABORT:
		return true;
	case STRTAB_STE_0_CFG_BYPASS:
		return !((cur->w[1] ^ next->w[1]) & STRTAB_STE_1_SHCFG);
	default:
		return false;
	}
}

struct arm_smmu_ste_writer {
	struct arm_smmu_entry_writer	writer;
	struct arm_smmu_device		*smmu;
	u32				sid;
};

static void arm_smmu_ste_sync(struct arm_smmu_entry_writer *writer)
{
	struct arm_smmu_ste_writer *w =
		container_of(writer, struct arm_smmu_ste_writer, writer);
	struct arm_smmu_cmdq_batch cmds = {};
	struct arm_smmu_cmdq_ent cmd = {
		.opcode	= CMDQ_OP_CFGI_STE,
		.cfgi	= {
			.sid	= w->sid,
			.leaf	= true,
		},
	};

	arm_smmu_cmdq_batch_add(w->smmu, &cmds, &cmd);
	arm_smmu_cmdq_batch_submit(w->smmu, &cmds);
}

/**
 * arm_smmu_ste_install() - give every stream of a master a new STE
 * @master: the master
 * @ste: what its STEs shall say
 *
 * DMA is lost only between two STEs of which one uses stage 2 and the other one
 * translates too: the VMID in word 2 and the table in word 3 cannot be stored at
 * once, and before it has word 3 stage 1 would tag its TLB entries with the new
 * VMID (IHI0070 5.2, S2VMID). It is aborted then, without an event.
 *
 * Context: Process context, group mutex held. Waits for the SMMU.
 */
void arm_smmu_ste_install(struct arm_smmu_master *master,
			  const struct arm_smmu_entry *ste)
{
	struct arm_smmu_device *smmu = master->smmu;
	struct arm_smmu_ste_writer w = {
		.writer = {
			.valid		= STRTAB_STE_0_V,
			.blocks		= STRTAB_STE_0_V |
					  FIELD_PREP(STRTAB_STE_0_CFG,
						     STRTAB_STE_0_CFG_ABORT),
			.ignores	= arm_smmu_ste_ignores,
			.sync		= arm_smmu_ste_sync,
		},
		.smmu = smmu,
	};
	struct arm_smmu_cmdq_ent prefetch = {
		.opcode	= CMDQ_OP_PREFETCH_CFG,
	};
	u64 cfg = FIELD_GET(STRTAB_STE_0_CFG, ste->w[0]);
	bool translates = cfg == STRTAB_STE_0_CFG_S1_TRANS ||
			  cfg == STRTAB_STE_0_CFG_S2_TRANS;
	unsigned int i;

	for (i = 0; i < master->num_streams; i++) {
		if (arm_smmu_sid_repeats(master, i))
			continue;

		w.sid = master->streams[i].id;
		arm_smmu_entry_write(&w.writer,
				     arm_smmu_get_step_for_sid(smmu, w.sid),
				     ste);

		/* It is likely that the new STE is wanted soon */
		if (translates &&
		    !(smmu->options & ARM_SMMU_OPT_SKIP_PREFETCH)) {
			prefetch.prefetch.sid = w.sid;
			arm_smmu_cmdq_issue_cmd(smmu, &prefetch);
		}
	}
}
