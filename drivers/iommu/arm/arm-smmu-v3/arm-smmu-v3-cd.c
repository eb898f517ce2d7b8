// SPDX-License-Identifier: GPL-2.0
/*
 * Context descriptors of an SMMUv3
 *
 * Every master has a CD table of its own, indexed by SubstreamID, so that what
 * one device may reach by a PASID says nothing about any other. Entry 0 is for
 * transactions without PASID.
 *
 * A CD that is in use cannot be changed in place: the SMMU reads it in pieces
 * of 64 bits (IHI0070 3.21.3), and more than one of them differs. So all CDs
 * around it are copied, the copy is changed, and one store of 64 bits, to the
 * L1CD or to the STE, makes the SMMU go from one to the other.
 */

#include <linux/dma-mapping.h>
#include <linux/slab.h>
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

static int arm_smmu_cds_alloc(struct arm_smmu_master *master,
			      struct arm_smmu_cds *cds, unsigned int bits)
{
	cds->cd = dma_alloc_coherent(master->smmu->dev, CD_SIZE << bits,
				     &cds->dma, GFP_KERNEL);
	cds->bits = bits;
	return cds->cd ? 0 : -ENOMEM;
}

static void arm_smmu_cds_free(struct arm_smmu_master *master,
			      struct arm_smmu_cds *cds)
{
	if (cds->cd)
		dma_free_coherent(master->smmu->dev, CD_SIZE << cds->bits,
				  cds->cd, cds->dma);
	cds->cd = NULL;
}

/* A copy of a leaf needs memory before anything is stored */
static int arm_smmu_cd_spare_alloc(struct arm_smmu_master *master,
				   unsigned int bits)
{
	struct arm_smmu_cds *spare = &master->cd_table.spare;

	if (spare->cd && spare->bits == bits)
		return 0;

	arm_smmu_cds_free(master, spare);
	return arm_smmu_cds_alloc(master, spare, bits);
}

static void arm_smmu_cd_store_l1(__le64 *l1, unsigned long idx,
				 const struct arm_smmu_cds *leaf)
{
	/*
	 * The SMMU must find the CDs before it finds the leaf. Pairs with the
	 * dependency of its second read on the first.
	 */
	dma_wmb();
	WRITE_ONCE(l1[idx * CTXDESC_L1_DESC_DWORDS],
		   cpu_to_le64((leaf->dma & CTXDESC_L1_DESC_L2PTR_MASK) |
			       CTXDESC_L1_DESC_V));
}

static int arm_smmu_cd_leaf_alloc(struct arm_smmu_master *master,
				  unsigned long idx)
{
	struct arm_smmu_cd_table *table = &master->cd_table;
	struct arm_smmu_cds *leaf;
	int ret;

	leaf = kzalloc(sizeof(*leaf), GFP_KERNEL);
	if (!leaf)
		return -ENOMEM;

	ret = arm_smmu_cds_alloc(master, leaf, table->split);
	if (ret)
		goto err_free;

	ret = xa_err(xa_store(&table->leaves, idx, leaf, GFP_KERNEL));
	if (ret)
		goto err_free_cds;

	if (table->l1)
		arm_smmu_cd_store_l1(table->l1, idx, leaf);
	else
		table->tab_dma = leaf->dma;
	return 0;

err_free_cds:
	arm_smmu_cds_free(master, leaf);
err_free:
	kfree(leaf);
	return ret;
}

/* NULL if @cds, which are the first of a leaf or all of it, do not have it */
static __le64 *arm_smmu_cd_at(const struct arm_smmu_cd_table *table,
			      const struct arm_smmu_cds *cds, u32 ssid)
{
	ssid &= BIT(table->split) - 1;
	if (ssid >> cds->bits)
		return NULL;
	return cds->cd + ssid * CTXDESC_CD_DWORDS;
}

static struct arm_smmu_cds *
arm_smmu_cd_leaf(struct arm_smmu_cd_table *table, u32 ssid)
{
	if (ssid >> table->s1cdmax)
		return NULL;
	return xa_load(&table->leaves, ssid >> table->split);
}

/**
 * arm_smmu_cd_ptr() - find a CD in memory
 * @master: whose table
 * @ssid: SubstreamID
 *
 * Context: Group mutex held.
 * Return: the first word of the CD, or NULL if arm_smmu_cd_prepare() has not
 * been there.
 */
__le64 *arm_smmu_cd_ptr(struct arm_smmu_master *master, u32 ssid)
{
	struct arm_smmu_cd_table *table = &master->cd_table;
	struct arm_smmu_cds *leaf = arm_smmu_cd_leaf(table, ssid);

	return leaf ? arm_smmu_cd_at(table, leaf, ssid) : NULL;
}

/*
 * Give a leaf the memory of table->spare, with the same contents. The SMMU goes
 * on reading the former memory, which is the spare now, until it is told of the
 * new one: arm_smmu_cd_quiet() has to reach both. That nothing it does is lost
 * is why the copy is made under the lock.
 */
static void arm_smmu_cd_swap_begin(struct arm_smmu_master *master,
				   struct arm_smmu_cds *leaf)
{
	struct arm_smmu_cd_table *table = &master->cd_table;

	lockdep_assert_held(&master->lock);

	memcpy(table->spare.cd, leaf->cd, CD_SIZE << leaf->bits);
	swap(*leaf, table->spare);
	table->swapped = leaf;
	if (!table->l1)
		table->tab_dma = leaf->dma;
}

/* The SMMU no longer knows of the former memory */
static void arm_smmu_cd_swap_end(struct arm_smmu_master *master)
{
	spin_lock(&master->lock);
	master->cd_table.swapped = NULL;
	spin_unlock(&master->lock);
}

/*
 * Have the STEs that refer to the CD table of a master refer to where it is
 * now. All that says so is in word 0, so each changes at once. Invalidating an
 * STE also invalidates the L1CDs and CDs that were found through it (IHI0070
 * 4.3.1).
 */
static void arm_smmu_cd_table_moved(struct arm_smmu_master *master)
{
	struct arm_smmu_device *smmu = master->smmu;
	struct arm_smmu_cmdq_batch cmds = {};
	struct arm_smmu_cmdq_ent cmd = {
		.opcode	= CMDQ_OP_CFGI_STE,
		.cfgi	= {
			.leaf	= true,
		},
	};
	unsigned int i;
	__le64 *ste;
	u64 word0;

	/* As in arm_smmu_cd_store_l1() */
	dma_wmb();
	for (i = 0; i < master->num_streams; i++) {
		cmd.cfgi.sid = master->streams[i].id;
		if (arm_smmu_sid_repeats(master, i))
			continue;

		ste = arm_smmu_get_step_for_sid(smmu, cmd.cfgi.sid);
		word0 = le64_to_cpu(READ_ONCE(ste[0]));
		if (!(word0 & STRTAB_STE_0_V) ||
		    FIELD_GET(STRTAB_STE_0_CFG, word0) !=
		    STRTAB_STE_0_CFG_S1_TRANS)
			continue;

		word0 &= ~STRTAB_STE_0_CDTAB;
		word0 |= arm_smmu_cd_table_ref(&master->cd_table);
		WRITE_ONCE(ste[0], cpu_to_le64(word0));
		arm_smmu_cmdq_batch_add(smmu, &cmds, &cmd);
	}
	if (cmds.num)
		arm_smmu_cmdq_batch_submit(smmu, &cmds);
}

/*
 * The table of a master has room for CD 0 at first. Make it one for all SSIDs,
 * without anything but the place of CD 0 changing for the SMMU.
 */
static int arm_smmu_cd_table_grow(struct arm_smmu_master *master)
{
	struct arm_smmu_cd_table *table = &master->cd_table;
	struct arm_smmu_device *smmu = master->smmu;
	struct arm_smmu_cds *leaf = xa_load(&table->leaves, 0);
	unsigned int bits = master->ssid_bits;
	dma_addr_t l1_dma = 0;
	__le64 *l1 = NULL;
	size_t l1_size;
	u8 split, s1fmt;

	if (!(smmu->features & ARM_SMMU_FEAT_2_LVL_CDTAB) ||
	    bits <= CTXDESC_SPLIT_4K) {
		split = bits;
		s1fmt = STRTAB_STE_0_S1FMT_LINEAR;
	} else if (bits <= CD_SMALL_LEAF_SSID_BITS) {
		split = CTXDESC_SPLIT_4K;
		s1fmt = STRTAB_STE_0_S1FMT_4K_L2;
	} else {
		split = CTXDESC_SPLIT_64K;
		s1fmt = STRTAB_STE_0_S1FMT_64K_L2;
	}

	if (leaf && arm_smmu_cd_spare_alloc(master, split))
		return -ENOMEM;

	l1_size = (CTXDESC_L1_DESC_DWORDS << 3) << (bits - split);
	if (split < bits) {
		l1 = dma_alloc_coherent(smmu->dev, l1_size, &l1_dma,
					GFP_KERNEL);
		if (!l1)
			return -ENOMEM;
		if (leaf)
			arm_smmu_cd_store_l1(l1, 0, &table->spare);
	}

	spin_lock(&master->lock);
	table->l1 = l1;
	table->l1_size = l1_size;
	table->tab_dma = l1_dma;
	table->split = split;
	table->s1fmt = s1fmt;
	table->s1cdmax = bits;
	if (leaf)
		arm_smmu_cd_swap_begin(master, leaf);
	spin_unlock(&master->lock);

	if (leaf) {
		arm_smmu_cd_table_moved(master);
		arm_smmu_cd_swap_end(master);
		arm_smmu_cds_free(master, &table->spare);
	}
	return 0;
}

/**
 * arm_smmu_cd_prepare() - make room for a CD, and for its replacement
 * @master: whose table
 * @ssid: SubstreamID
 *
 * Everything about installing a CD that can fail. What was allocated stays
 * until the master goes away. The table grows with the first SSID that it has
 * no room for, which DMA of the device does not notice.
 *
 * Context: Process context, group mutex held. May sleep, may wait for the SMMU.
 * Return: 0, -EINVAL if the master has no such SSID, -ENOMEM.
 */
int arm_smmu_cd_prepare(struct arm_smmu_master *master, u32 ssid)
{
	struct arm_smmu_cd_table *table = &master->cd_table;
	struct arm_smmu_cds *leaf;
	__le64 *cd;
	int ret;

	if (ssid >> master->ssid_bits)
		return -EINVAL;

	if (ssid >> table->s1cdmax) {
		ret = arm_smmu_cd_table_grow(master);
		if (ret)
			return ret;
	}

	leaf = arm_smmu_cd_leaf(table, ssid);
	if (!leaf)
		return arm_smmu_cd_leaf_alloc(master, ssid >> table->split);

	cd = arm_smmu_cd_at(table, leaf, ssid);
	if (!(le64_to_cpu(READ_ONCE(cd[0])) & CTXDESC_CD_0_V))
		return 0;

	return arm_smmu_cd_spare_alloc(master, leaf->bits);
}

static void arm_smmu_cd_invalidate(struct arm_smmu_master *master, u32 ssid,
				   bool leaf)
{
	struct arm_smmu_cmdq_batch cmds = {};
	struct arm_smmu_cmdq_ent cmd = {
		.opcode	= CMDQ_OP_CFGI_CD,
		.cfgi	= {
			.ssid	= ssid,
			.leaf	= leaf,
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

	arm_smmu_cd_invalidate(w->master, w->ssid, w->leaf);
	w->leaf = true;
}

/*
 * Change a CD that takes more than one store to change. The others of its leaf
 * have the same contents in both copies of it, so it does not matter where the
 * SMMU has them from.
 */
static void arm_smmu_cd_replace(struct arm_smmu_master *master, u32 ssid,
				const struct arm_smmu_entry *cd)
{
	struct arm_smmu_cd_table *table = &master->cd_table;
	struct arm_smmu_cds *leaf = arm_smmu_cd_leaf(table, ssid);
	unsigned int i;
	__le64 *dst;

	spin_lock(&master->lock);
	arm_smmu_cd_swap_begin(master, leaf);
	dst = arm_smmu_cd_at(table, leaf, ssid);
	for (i = 0; i < ARM_SMMU_ENTRY_DWORDS; i++)
		dst[i] = cpu_to_le64(cd->w[i]);
	spin_unlock(&master->lock);

	if (table->l1) {
		arm_smmu_cd_store_l1(table->l1, ssid >> table->split, leaf);
		arm_smmu_cd_invalidate(master, ssid, false);
	} else {
		arm_smmu_cd_table_moved(master);
	}
	arm_smmu_cd_swap_end(master);
}

static void arm_smmu_cd_write(struct arm_smmu_master *master, u32 ssid,
			      const struct arm_smmu_entry *cd, bool leaf)
{
	__le64 *dst = arm_smmu_cd_ptr(master, ssid);
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

	if (arm_smmu_entry_in_place(&w.writer, dst, cd))
		arm_smmu_entry_write(&w.writer, dst, cd);
	else
		arm_smmu_cd_replace(master, ssid, cd);
}

/**
 * arm_smmu_cd_install() - let transactions of a substream be translated
 * @master: whose table
 * @ssid: SubstreamID that arm_smmu_cd_prepare() made room for
 * @desc: the address space
 *
 * Where there is a valid CD already, a transaction is translated by this one or
 * by the new one.
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

static void arm_smmu_cd_quiet_at(struct arm_smmu_master *master, __le64 *cd,
				 u16 asid)
{
	u64 word0;

	lockdep_assert_held(&master->lock);

	if (!cd)
		return;

	word0 = le64_to_cpu(READ_ONCE(cd[0]));
	if ((word0 & CTXDESC_CD_0_V) &&
	    FIELD_GET(CTXDESC_CD_0_ASID, word0) == asid)
		WRITE_ONCE(cd[0], cpu_to_le64(arm_smmu_cd_quiet_word(master,
								     word0)));
}

/**
 * arm_smmu_cd_quiet() - disable the translation of a CD without clearing it
 * @master: whose table
 * @ssid: SubstreamID
 * @asid: ASID of the address space that goes away
 *
 * Does nothing if another CD has taken the place. The caller invalidates the
 * CD in either case, since whoever cleared or replaced it may not be done with
 * that.
 *
 * Context: Any but interrupts. The caller keeps the table from being freed.
 */
void arm_smmu_cd_quiet(struct arm_smmu_master *master, u32 ssid, u16 asid)
{
	struct arm_smmu_cd_table *table = &master->cd_table;
	struct arm_smmu_cds *leaf;

	spin_lock(&master->lock);
	leaf = arm_smmu_cd_leaf(table, ssid);
	if (leaf)
		arm_smmu_cd_quiet_at(master, arm_smmu_cd_at(table, leaf, ssid),
				     asid);
	/* The SMMU may be reading either */
	if (leaf && leaf == table->swapped)
		arm_smmu_cd_quiet_at(master,
				     arm_smmu_cd_at(table, &table->spare, ssid),
				     asid);
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
	struct arm_smmu_cds *leaf;
	unsigned long idx;

	xa_for_each(&table->leaves, idx, leaf) {
		arm_smmu_cds_free(master, leaf);
		kfree(leaf);
	}
	xa_destroy(&table->leaves);
	arm_smmu_cds_free(master, &table->spare);
	if (table->l1)
		dma_free_coherent(master->smmu->dev, table->l1_size, table->l1,
				  table->tab_dma);
	table->l1 = NULL;
	table->split = 0;
	table->s1fmt = STRTAB_STE_0_S1FMT_LINEAR;
	table->s1cdmax = 0;
}
