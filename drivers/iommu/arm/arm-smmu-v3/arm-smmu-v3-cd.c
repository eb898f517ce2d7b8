// SPDX-License-Identifier: GPL-2.0
/*
 * Context descriptors of an SMMUv3
 *
 * Every master has a CD table of its own, indexed by SubstreamID, so that what
 * one device may reach by a PASID says nothing about any other. Entry 0 is for
 * transactions without PASID.
 */

#include <linux/dma-mapping.h>
#include <linux/xarray.h>

#include "arm-smmu-v3.h"

#define CD_SIZE			(CTXDESC_CD_DWORDS << 3)

/*
 * Leaves of 4 KiB make a small table cheap, leaves of 64 KiB keep the first
 * level of a large one small. Beyond this many SSID bits the latter wins.
 */
#define CD_SMALL_LEAF_SSID_BITS	18

/**
 * arm_smmu_cd_make() - contents of the CD for an address space
 * @cd: where to put them
 * @master: whose table it goes into, decides whether faults stall
 * @desc: the address space
 *
 * Follows IHI0070 5.4. The ASID is private to the SMMU (ASET = 1): TLB
 * maintenance of the CPUs is never broadcast to it.
 */
void arm_smmu_cd_make(struct arm_smmu_entry *cd,
		      const struct arm_smmu_master *master,
		      const struct arm_smmu_ctx_desc *desc)
{
	*cd = (struct arm_smmu_entry) {
		.w[0] = desc->tcr |
#ifdef __BIG_ENDIAN
			CTXDESC_CD_0_ENDI |
#endif
			CTXDESC_CD_0_V | CTXDESC_CD_0_AA64 |
			CTXDESC_CD_0_R | CTXDESC_CD_0_A | CTXDESC_CD_0_ASET |
			FIELD_PREP(CTXDESC_CD_0_ASID, desc->asid),
		.w[1] = desc->ttbr & CTXDESC_CD_1_TTB0_MASK,
		.w[3] = desc->mair,
	};

	if (master->stall_enabled)
		cd->w[0] |= CTXDESC_CD_0_S;
}

/**
 * arm_smmu_cd_quiet_word() - word 0 of a CD whose address space is gone
 * @master: whose table the CD is in
 * @word0: word 0 of the CD as it is
 *
 * The CD stays valid, since a transaction that finds an invalid one is
 * reported as C_BAD_CD. EPD0 makes each of them a translation fault, A aborts
 * it, and without R and S it is neither recorded nor stalled. Where the SMMU
 * stalls all faults, a CD without S would be ILLEGAL (IHI0070 5.4).
 *
 * Return: the new word 0.
 */
u64 arm_smmu_cd_quiet_word(const struct arm_smmu_master *master, u64 word0)
{
	word0 |= CTXDESC_CD_0_TCR_EPD0;
	word0 &= ~CTXDESC_CD_0_R;
	if (!(master->smmu->features & ARM_SMMU_FEAT_STALL_FORCE))
		word0 &= ~CTXDESC_CD_0_S;
	return word0;
}

/**
 * arm_smmu_cd_ignores() - does a CD make the SMMU ignore what another one sets
 * @cur: the CD that is read
 * @next: the other one
 *
 * Return: true if, with word 0 of @cur, words 1 to 7 do not matter.
 */
bool arm_smmu_cd_ignores(const struct arm_smmu_entry *cur,
			 const struct arm_smmu_entry *next)
{
	return !(cur->w[0] & CTXDESC_CD_0_V);
}

static int arm_smmu_cd_table_alloc(struct arm_smmu_master *master)
{
	struct arm_smmu_cd_table *table = &master->cd_table;
	struct arm_smmu_device *smmu = master->smmu;
	unsigned int bits = master->ssid_bits;

	table->s1cdmax = bits;
	if (!(smmu->features & ARM_SMMU_FEAT_2_LVL_CDTAB) ||
	    bits <= CTXDESC_SPLIT_4K) {
		table->split = 0;
		table->s1fmt = STRTAB_STE_0_S1FMT_LINEAR;
		table->size = CD_SIZE << bits;
	} else if (bits <= CD_SMALL_LEAF_SSID_BITS) {
		table->split = CTXDESC_SPLIT_4K;
		table->s1fmt = STRTAB_STE_0_S1FMT_4K_L2;
		table->size = (CTXDESC_L1_DESC_DWORDS << 3) <<
			      (bits - CTXDESC_SPLIT_4K);
	} else {
		table->split = CTXDESC_SPLIT_64K;
		table->s1fmt = STRTAB_STE_0_S1FMT_64K_L2;
		table->size = (CTXDESC_L1_DESC_DWORDS << 3) <<
			      (bits - CTXDESC_SPLIT_64K);
	}

	table->tab = dma_alloc_coherent(smmu->dev, table->size,
					&table->tab_dma, GFP_KERNEL);
	return table->tab ? 0 : -ENOMEM;
}

static int arm_smmu_cd_leaf_alloc(struct arm_smmu_master *master,
				  unsigned long idx)
{
	struct arm_smmu_cd_table *table = &master->cd_table;
	size_t size = CD_SIZE << table->split;
	dma_addr_t leaf_dma;
	__le64 *leaf;
	int ret;

	leaf = dma_alloc_coherent(master->smmu->dev, size, &leaf_dma,
				  GFP_KERNEL);
	if (!leaf)
		return -ENOMEM;

	ret = xa_err(xa_store(&table->leaves, idx, leaf, GFP_KERNEL));
	if (ret) {
		dma_free_coherent(master->smmu->dev, size, leaf, leaf_dma);
		return ret;
	}

	/* The SMMU must find the leaf zeroed */
	dma_wmb();
	WRITE_ONCE(table->tab[idx * CTXDESC_L1_DESC_DWORDS],
		   cpu_to_le64((leaf_dma & CTXDESC_L1_DESC_L2PTR_MASK) |
			       CTXDESC_L1_DESC_V));
	return 0;
}

/**
 * arm_smmu_cd_prepare() - make room for a CD
 * @master: whose table
 * @ssid: SubstreamID
 *
 * Everything about installing a CD that can fail. What was allocated stays
 * until the master goes away.
 *
 * Context: Process context, group mutex held. May sleep.
 * Return: 0, -EINVAL if the master has no such SSID, -ENOMEM.
 */
int arm_smmu_cd_prepare(struct arm_smmu_master *master, u32 ssid)
{
	struct arm_smmu_cd_table *table = &master->cd_table;
	unsigned long idx;
	int ret;

	if (ssid >> master->ssid_bits)
		return -EINVAL;

	if (!table->tab) {
		ret = arm_smmu_cd_table_alloc(master);
		if (ret)
			return ret;
	}

	idx = ssid >> table->split;
	if (!table->split || xa_load(&table->leaves, idx))
		return 0;

	return arm_smmu_cd_leaf_alloc(master, idx);
}

/**
 * arm_smmu_cd_ptr() - find a CD in memory
 * @master: whose table
 * @ssid: SubstreamID
 *
 * Context: Any. The caller keeps the table from being freed.
 * Return: the first word of the CD, or NULL if arm_smmu_cd_prepare() has not
 * been there.
 */
__le64 *arm_smmu_cd_ptr(struct arm_smmu_master *master, u32 ssid)
{
	struct arm_smmu_cd_table *table = &master->cd_table;
	__le64 *leaf = table->tab;

	if (!leaf || ssid >> table->s1cdmax)
		return NULL;

	if (table->split) {
		leaf = xa_load(&table->leaves, ssid >> table->split);
		if (!leaf)
			return NULL;
		ssid &= BIT(table->split) - 1;
	}
	return leaf + ssid * CTXDESC_CD_DWORDS;
}

struct arm_smmu_cd_writer {
	struct arm_smmu_entry_writer	writer;
	struct arm_smmu_master		*master;
	u32				ssid;
	bool				leaf;
};

static void arm_smmu_cd_sync(struct arm_smmu_entry_writer *writer)
{
	struct arm_smmu_cd_writer *w =
		container_of(writer, struct arm_smmu_cd_writer, writer);
	struct arm_smmu_master *master = w->master;
	struct arm_smmu_cmdq_batch cmds = {};
	struct arm_smmu_cmdq_ent cmd = {
		.opcode	= CMDQ_OP_CFGI_CD,
		.cfgi	= {
			.ssid	= w->ssid,
			.leaf	= w->leaf,
		},
	};
	unsigned int i;

	for (i = 0; i < master->num_streams; i++) {
		if (arm_smmu_sid_repeats(master, i))
			continue;
		cmd.cfgi.sid = master->streams[i].id;
		arm_smmu_cmdq_batch_add(master->smmu, &cmds, &cmd);
	}
	arm_smmu_cmdq_batch_submit(master->smmu, &cmds);
	w->leaf = true;
}

static void arm_smmu_cd_write(struct arm_smmu_master *master, u32 ssid,
			      const struct arm_smmu_entry *cd, bool leaf)
{
	struct arm_smmu_cd_writer w = {
		.writer = {
			.valid		= CTXDESC_CD_0_V,
			.lock		= &master->lock,
			.ignores	= arm_smmu_cd_ignores,
			.sync		= arm_smmu_cd_sync,
		},
		.master	= master,
		.ssid	= ssid,
		.leaf	= leaf,
	};

	arm_smmu_entry_write(&w.writer, arm_smmu_cd_ptr(master, ssid), cd);
}

/**
 * arm_smmu_cd_install() - let transactions of a substream be translated
 * @master: whose table
 * @ssid: SubstreamID that arm_smmu_cd_prepare() made room for
 * @desc: the address space
 *
 * Context: Process context, group mutex held. Waits for the SMMU.
 */
void arm_smmu_cd_install(struct arm_smmu_master *master, u32 ssid,
			 const struct arm_smmu_ctx_desc *desc)
{
	struct arm_smmu_entry cd;

	/*
	 * The SMMU may have cached that the L1CD pointed nowhere before
	 * arm_smmu_cd_leaf_alloc() wrote it. The invalidation that every new CD
	 * needs can forget that as well.
	 */
	arm_smmu_cd_make(&cd, master, desc);
	arm_smmu_cd_write(master, ssid, &cd, false);
}

/**
 * arm_smmu_cd_clear() - let transactions of a substream be aborted
 * @master: whose table
 * @ssid: SubstreamID that arm_smmu_cd_prepare() made room for
 *
 * On return the SMMU does not use the CD, but may have translations in a TLB or
 * an ATC that came from it.
 *
 * Context: Process context, group mutex held. Waits for the SMMU.
 */
void arm_smmu_cd_clear(struct arm_smmu_master *master, u32 ssid)
{
	static const struct arm_smmu_entry none;

	arm_smmu_cd_write(master, ssid, &none, true);
}

/**
 * arm_smmu_cd_quiet() - disable the translation of a CD without clearing it
 * @master: whose table
 * @ssid: SubstreamID
 * @asid: ASID of the address space that goes away
 *
 * Does nothing if another CD has taken the place. The caller invalidates the
 * CD in either case, since whoever cleared it may not be done with that.
 *
 * Context: Any but interrupts. The caller keeps the table from being freed.
 */
void arm_smmu_cd_quiet(struct arm_smmu_master *master, u32 ssid, u16 asid)
{
	__le64 *cd = arm_smmu_cd_ptr(master, ssid);
	u64 word0;

	if (!cd)
		return;

	spin_lock(&master->lock);
	word0 = le64_to_cpu(READ_ONCE(cd[0]));
	if ((word0 & CTXDESC_CD_0_V) &&
	    FIELD_GET(CTXDESC_CD_0_ASID, word0) == asid)
		WRITE_ONCE(cd[0], cpu_to_le64(arm_smmu_cd_quiet_word(master,
								     word0)));
	spin_unlock(&master->lock);
}

/**
 * arm_smmu_cd_table_free() - free the CD table of a master
 * @master: the master; its STEs no longer refer to the table
 *
 * Context: Process context. No reader of an invalidation array may still look
 *	    at the table.
 */
void arm_smmu_cd_table_free(struct arm_smmu_master *master)
{
	struct arm_smmu_cd_table *table = &master->cd_table;
	struct device *dev = master->smmu->dev;
	unsigned long idx;
	__le64 *leaf;

	xa_for_each(&table->leaves, idx, leaf) {
		u64 l1 = le64_to_cpu(table->tab[idx * CTXDESC_L1_DESC_DWORDS]);

		dma_free_coherent(dev, CD_SIZE << table->split, leaf,
				  l1 & CTXDESC_L1_DESC_L2PTR_MASK);
	}
	xa_destroy(&table->leaves);

	if (table->tab)
		dma_free_coherent(dev, table->size, table->tab, table->tab_dma);
	table->tab = NULL;
}
