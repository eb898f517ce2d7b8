// SPDX-License-Identifier: GPL-2.0
/*
 * The STEs and CDs of an SMMUv3 master, for the core to show in debugfs
 *
 * What is printed is read from where the SMMU reads it, the group mutex keeps it
 * there, and arm_smmu_cd_quiet() may change word 0 of a CD meanwhile.
 */

#include <linux/seq_file.h>

#include "arm-smmu-v3.h"

static const char *arm_smmu_show_config(u64 word0)
{
	switch (FIELD_GET(STRTAB_STE_0_CFG, word0)) {
	case STRTAB_STE_0_CFG_ABORT:
		return "abort";
	case STRTAB_STE_0_CFG_BYPASS:
		return "bypass";
	case STRTAB_STE_0_CFG_S1_TRANS:
		return "stage 1";
	case STRTAB_STE_0_CFG_S2_TRANS:
		return "stage 2";
	default:
		return "unknown";
	}
}

static void arm_smmu_show_ste(struct seq_file *m,
			      struct arm_smmu_master *master, u32 sid)
{
	__le64 *ste = arm_smmu_get_step_for_sid(master->smmu, sid);
	u64 word0 = le64_to_cpu(READ_ONCE(ste[0]));
	u64 word1 = le64_to_cpu(READ_ONCE(ste[1]));

	seq_printf(m, "\tSTE %#x: %#018llx %#018llx V %d, Config %s", sid,
		   word0, word1, !!(word0 & STRTAB_STE_0_V),
		   arm_smmu_show_config(word0));
	if (FIELD_GET(STRTAB_STE_0_CFG, word0) == STRTAB_STE_0_CFG_S1_TRANS) {
		seq_printf(m, ", S1Fmt %llu, S1CDMax %llu, S1DSS %llu, S1ContextPtr %#llx",
			   FIELD_GET(STRTAB_STE_0_S1FMT, word0),
			   FIELD_GET(STRTAB_STE_0_S1CDMAX, word0),
			   FIELD_GET(STRTAB_STE_1_S1DSS, word1),
			   word0 & STRTAB_STE_0_S1CTXPTR_MASK);
		if ((word0 & STRTAB_STE_0_CDTAB) !=
		    arm_smmu_cd_table_ref(&master->cd_table))
			seq_puts(m, " NOT THIS TABLE");
	}
	seq_putc(m, '\n');
}

static void arm_smmu_show_cd(struct seq_file *m,
			     struct arm_smmu_master *master, u32 ssid)
{
	struct arm_smmu_cd_table *table = &master->cd_table;
	__le64 *cd = arm_smmu_cd_ptr(master, ssid);
	struct arm_smmu_cds *leaf;
	u64 word[4], l1;
	unsigned int i;

	if (!cd)
		return;

	for (i = 0; i < ARRAY_SIZE(word); i++)
		word[i] = le64_to_cpu(READ_ONCE(cd[i]));
	seq_printf(m, "\tCD: %#018llx %#018llx %#018llx %#018llx V %d, ASID %llu, TTB0 %#llx",
		   word[0], word[1], word[2], word[3],
		   !!(word[0] & CTXDESC_CD_0_V),
		   FIELD_GET(CTXDESC_CD_0_ASID, word[0]),
		   word[1] & CTXDESC_CD_1_TTB0_MASK);
	if (word[0] & CTXDESC_CD_0_TCR_EPD0)
		seq_puts(m, ", quiet");

	if (table->l1) {
		leaf = xa_load(&table->leaves, ssid >> table->split);
		l1 = le64_to_cpu(READ_ONCE(table->l1[(ssid >> table->split) *
						     CTXDESC_L1_DESC_DWORDS]));
		seq_printf(m, ", L1CD %#llx", l1);
		if (l1 != ((leaf->dma & CTXDESC_L1_DESC_L2PTR_MASK) |
			   CTXDESC_L1_DESC_V))
			seq_puts(m, " NOT THIS LEAF");
	}
	seq_putc(m, '\n');
}

/**
 * arm_smmu_next_pasid_entry() - find the next CD that is not empty
 * @dev: whose CD table
 * @pasid: where to begin
 *
 * Context: Process context, group mutex held.
 * Return: its SubstreamID, or IOMMU_PASID_INVALID.
 */
ioasid_t arm_smmu_next_pasid_entry(struct device *dev, ioasid_t pasid)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	struct arm_smmu_cd_table *table = &master->cd_table;
	__le64 *cd;

	while (!(pasid >> table->s1cdmax)) {
		cd = arm_smmu_cd_ptr(master, pasid);
		if (!cd) {
			/* There is no such leaf */
			pasid = ((pasid >> table->split) + 1) << table->split;
			continue;
		}
		if (READ_ONCE(cd[0]))
			return pasid;
		pasid++;
	}
	return IOMMU_PASID_INVALID;
}

/**
 * arm_smmu_show_pasid_entry() - print a CD
 * @m: where to
 * @dev: whose CD table
 * @pasid: SubstreamID; for 0 the STEs are printed, too
 *
 * Context: Process context, group mutex held.
 */
void arm_smmu_show_pasid_entry(struct seq_file *m, struct device *dev,
			       ioasid_t pasid)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	unsigned int i;

	for (i = 0; !pasid && i < master->num_streams; i++)
		if (!arm_smmu_sid_repeats(master, i))
			arm_smmu_show_ste(m, master, master->streams[i].id);
	arm_smmu_show_cd(m, master, pasid);
}
