// SPDX-License-Identifier: GPL-2.0
/*
 * What of an SMMUv3 holds translations of a domain, and how to invalidate it
 *
 * Each domain has a sorted array that says where its translations may be
 * cached: the TLBs of instances, by ASID or VMID, and streams, by SubstreamID.
 * Whoever changes a page table walks the array under RCU, from any context and
 * with no lock. Attaching publishes a copy with the new entries; detaching needs
 * no memory, it marks entries dead and leaves them to the next copy.
 */

#include <linux/log2.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "arm-smmu-v3.h"

/* ATS knows pages of 4 KiB only */
#define ATC_PAGE_SHIFT		12

/*
 * From this many single commands on, invalidating everything is less work, and
 * does not keep a CPU waiting for so long that the watchdog takes notice. It is
 * what the CPUs do for their own TLBs.
 */
#define CMDQ_MAX_TLBI_OPS	(1 << (PAGE_SHIFT - 3))

/* What a page table change needs to have invalidated */
struct arm_smmu_inv_req {
	unsigned long	iova;
	size_t		size;		/* bytes, 0 for all addresses */
	size_t		granule;	/* size of the entries that changed */
	unsigned int	tg;		/* log2 of the translation granule */
	bool		leaf;		/* no table was unlinked */
};

static int arm_smmu_inv_cmp(const struct arm_smmu_inv *a,
			    const struct arm_smmu_inv *b)
{
	if (a->smmu != b->smmu)
		return a->smmu < b->smmu ? -1 : 1;
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	if (a->ssid != b->ssid)
		return a->ssid < b->ssid ? -1 : 1;
	return 0;
}

/* Index of the first entry that does not sort before @key */
static unsigned int arm_smmu_invs_find(const struct arm_smmu_invs *invs,
				       const struct arm_smmu_inv *key)
{
	unsigned int i;

	for (i = 0; i < invs->num; i++)
		if (arm_smmu_inv_cmp(&invs->inv[i], key) >= 0)
			break;
	return i;
}

/* invs->inv has room for one more */
static void arm_smmu_invs_insert(struct arm_smmu_invs *invs,
				 const struct arm_smmu_inv *key)
{
	unsigned int i = arm_smmu_invs_find(invs, key);
	struct arm_smmu_inv *inv = &invs->inv[i];

	if (i == invs->num || arm_smmu_inv_cmp(inv, key)) {
		memmove(inv + 1, inv, (invs->num - i) * sizeof(*inv));
		*inv = *key;
		inv->users = 0;
		invs->num++;
	}
	inv->ats |= key->ats;
	inv->users++;
}

/*
 * Where an attachment leaves translations: entry 0 is the TLB, entry i + 1 is
 * stream i of the master. Returns false where stream i repeats another one.
 */
static bool arm_smmu_inv_key(struct arm_smmu_inv *key,
			     struct arm_smmu_domain *smmu_domain,
			     struct arm_smmu_master *master, u32 ssid,
			     unsigned int i)
{
	*key = (struct arm_smmu_inv) {
		.smmu = master->smmu,
	};

	if (i) {
		key->type = ARM_SMMU_INV_STREAM;
		key->master = master;
		key->id = master->streams[i - 1].id;
		key->ssid = ssid;
		return !arm_smmu_sid_repeats(master, i - 1);
	}

	if (smmu_domain->stage == ARM_SMMU_DOMAIN_S1) {
		key->type = ARM_SMMU_INV_S1_ASID;
		key->id = smmu_domain->cd.asid;
	} else {
		key->type = ARM_SMMU_INV_S2_VMID;
		key->id = smmu_domain->s2_cfg.vmid;
	}
	return true;
}

static struct arm_smmu_invs *
arm_smmu_invs_locked(struct arm_smmu_domain *smmu_domain)
{
	lockdep_assert_held(&smmu_domain->invs_lock);
	return rcu_dereference_protected(smmu_domain->invs, true);
}

static struct arm_smmu_inv *
arm_smmu_invs_lookup(struct arm_smmu_domain *smmu_domain,
		     const struct arm_smmu_inv *key)
{
	struct arm_smmu_invs *invs = arm_smmu_invs_locked(smmu_domain);
	unsigned int i = arm_smmu_invs_find(invs, key);

	if (WARN_ON(i == invs->num || arm_smmu_inv_cmp(&invs->inv[i], key)))
		return NULL;
	return &invs->inv[i];
}

/**
 * arm_smmu_invs_add() - invalidate for a master from now on
 * @smmu_domain: the domain that @master is being attached to
 * @master: the master
 * @ssid: SubstreamID, 0 for transactions without PASID
 * @ats: the master may put translations into an ATC until it is detached
 *
 * To be called before the first store that lets the SMMU walk the page tables
 * of the domain for this stream.
 *
 * Context: Process context, group mutex held. May sleep.
 * Return: 0, -ENOMEM.
 */
int arm_smmu_invs_add(struct arm_smmu_domain *smmu_domain,
		      struct arm_smmu_master *master, u32 ssid, bool ats)
{
	unsigned int i, num = master->num_streams + 1;
	struct arm_smmu_invs *old, *new;
	struct arm_smmu_inv key;

	mutex_lock(&smmu_domain->invs_lock);
	old = arm_smmu_invs_locked(smmu_domain);
	if (old)
		num += old->num;

	new = kzalloc(struct_size(new, inv, num), GFP_KERNEL);
	if (!new) {
		mutex_unlock(&smmu_domain->invs_lock);
		return -ENOMEM;
	}

	for (i = 0; old && i < old->num; i++)
		if (!old->inv[i].dead)
			new->inv[new->num++] = old->inv[i];

	for (i = 0; i <= master->num_streams; i++) {
		if (!arm_smmu_inv_key(&key, smmu_domain, master, ssid, i))
			continue;
		key.ats = ats && key.type == ARM_SMMU_INV_STREAM;
		arm_smmu_invs_insert(new, &key);
	}

	rcu_assign_pointer(smmu_domain->invs, new);
	mutex_unlock(&smmu_domain->invs_lock);

	/*
	 * Either whoever changes a PTE sees the new array, or the SMMU sees the
	 * new PTE. Pairs with smp_mb() in arm_smmu_inv():
	 *
	 *	attach				unmap
	 *	smmu_domain->invs = new		PTE = 0
	 *	smp_mb()			smp_mb()
	 *	CD or STE valid			read smmu_domain->invs
	 *	(SMMU reads the PTE)
	 */
	smp_mb();

	if (old)
		kfree_rcu(old, rcu);
	return 0;
}

static void arm_smmu_inv_cmd_tlb_all(const struct arm_smmu_inv *inv,
				     struct arm_smmu_cmdq_batch *cmds)
{
	struct arm_smmu_device *smmu = inv->smmu;
	struct arm_smmu_cmdq_ent cmd = {};

	if (inv->type == ARM_SMMU_INV_S1_ASID) {
		cmd.opcode = smmu->features & ARM_SMMU_FEAT_E2H ?
			     CMDQ_OP_TLBI_EL2_ASID : CMDQ_OP_TLBI_NH_ASID;
		cmd.tlbi.asid = inv->id;
	} else {
		cmd.opcode = CMDQ_OP_TLBI_S12_VMALL;
		cmd.tlbi.vmid = inv->id;
	}
	arm_smmu_cmdq_batch_add(smmu, cmds, &cmd);
}

static void arm_smmu_inv_cmd_tlb(const struct arm_smmu_inv *inv,
				 const struct arm_smmu_inv_req *req,
				 struct arm_smmu_cmdq_batch *cmds)
{
	struct arm_smmu_device *smmu = inv->smmu;
	bool ril = smmu->features & ARM_SMMU_FEAT_RANGE_INV;
	struct arm_smmu_cmdq_ent cmd = {
		.tlbi = {
			.leaf = req->leaf,
			.addr = req->iova,
		},
	};
	unsigned long pages, num, scale;

	if (!req->size)
		pages = ULONG_MAX;
	else if (ril)
		pages = req->size >> req->tg;
	else
		pages = req->size / req->granule;

	/* SCALE has 5 bits, so 2^31 is the highest it can stand for */
	if (pages >= (ril ? BIT_ULL(32) - 1 : CMDQ_MAX_TLBI_OPS)) {
		arm_smmu_inv_cmd_tlb_all(inv, cmds);
		return;
	}

	if (inv->type == ARM_SMMU_INV_S1_ASID) {
		cmd.opcode = smmu->features & ARM_SMMU_FEAT_E2H ?
			     CMDQ_OP_TLBI_EL2_VA : CMDQ_OP_TLBI_NH_VA;
		cmd.tlbi.asid = inv->id;
	} else {
		cmd.opcode = CMDQ_OP_TLBI_S2_IPA;
		cmd.tlbi.vmid = inv->id;
	}

	if (!ril) {
		for (; pages; pages--) {
			arm_smmu_cmdq_batch_add(smmu, cmds, &cmd);
			cmd.tlbi.addr += req->granule;
		}
		return;
	}

	/* 12, 14, 16 are encoded as 1, 2, 3 */
	cmd.tlbi.tg = (req->tg - 10) / 2;

	/*
	 * The level of the entries is known only where they are leaves. Some
	 * SMMUs take a command without level, scale and number for one that
	 * names no range (MMU-600 and MMU-700 errata), so name one page more.
	 */
	if (req->leaf)
		cmd.tlbi.ttl = 4 - (ilog2(req->granule) - 3) / (req->tg - 3);
	else if ((pages & CMDQ_TLBI_RANGE_NUM_MAX) == 1)
		pages++;

	/* Five bits of the number of pages at a time, lowest first */
	while (pages) {
		scale = __ffs(pages);
		num = (pages >> scale) & CMDQ_TLBI_RANGE_NUM_MAX;

		cmd.tlbi.scale = scale;
		cmd.tlbi.num = num - 1;
		arm_smmu_cmdq_batch_add(smmu, cmds, &cmd);

		cmd.tlbi.addr += (u64)num << (scale + req->tg);
		pages -= num << scale;
	}
}

/* First and last page of 4 KiB, both inclusive */
static void arm_smmu_inv_cmd_atc_span(struct arm_smmu_device *smmu,
				      struct arm_smmu_cmdq_ent *cmd,
				      u64 first, u64 last,
				      struct arm_smmu_cmdq_batch *cmds)
{
	unsigned int span = fls64(first ^ last);

	cmd->atc.size = span;
	cmd->atc.addr = (first >> span) << (span + ATC_PAGE_SHIFT);
	arm_smmu_cmdq_batch_add(smmu, cmds, cmd);
}

/*
 * A request of ATS covers a naturally aligned power of two. The smallest that
 * covers a range can be any number of times larger: then two that meet in the
 * middle of it, each less than twice as large as its part, do better.
 *
 * Without PASID a request reaches what was translated without PASID. Whether
 * it also reaches what was translated with one is nothing to rely on.
 */
static void arm_smmu_inv_cmd_atc(struct arm_smmu_device *smmu, u32 sid,
				 u32 ssid, const struct arm_smmu_inv_req *req,
				 struct arm_smmu_cmdq_batch *cmds)
{
	struct arm_smmu_cmdq_ent cmd = {
		.opcode			= CMDQ_OP_ATC_INV,
		.substream_valid	= !!ssid,
		.atc			= {
			.sid	= sid,
			.ssid	= ssid,
			.size	= ATC_INV_SIZE_ALL,
		},
	};
	u64 first, last, middle;
	unsigned int span;

	if (!req->size) {
		arm_smmu_cmdq_batch_add(smmu, cmds, &cmd);
		return;
	}

	first = req->iova >> ATC_PAGE_SHIFT;
	last = (req->iova + req->size - 1) >> ATC_PAGE_SHIFT;
	span = fls64(first ^ last);
	if (BIT_ULL(span) <= 4 * (last - first + 1)) {
		arm_smmu_inv_cmd_atc_span(smmu, &cmd, first, last, cmds);
		return;
	}

	middle = (last >> (span - 1)) << (span - 1);
	arm_smmu_inv_cmd_atc_span(smmu, &cmd, first, middle - 1, cmds);
	arm_smmu_inv_cmd_atc_span(smmu, &cmd, middle, last, cmds);
}

/*
 * Complete what is in the batch before what will be added. The SMMU does not
 * go on behind a CMD_SYNC that is not complete (IHI0070 4.7.3), so the CPU need
 * not wait for this one.
 */
static void arm_smmu_inv_cmd_sync(struct arm_smmu_device *smmu,
				  struct arm_smmu_cmdq_batch *cmds)
{
	struct arm_smmu_cmdq_ent cmd = {
		.opcode = CMDQ_OP_CMD_SYNC,
	};

	arm_smmu_cmdq_batch_add(smmu, cmds, &cmd);
}

static bool arm_smmu_inv_dead(const struct arm_smmu_inv *inv)
{
	return READ_ONCE(inv->dead);
}

/*
 * Invalidate on the instance that entry @i is about. Returns the index of the
 * first entry of the next one.
 *
 * An ATC must be invalidated after the TLBs, or it could be filled from them
 * again (IHI0070 3.9.1).
 */
static unsigned int arm_smmu_inv_instance(const struct arm_smmu_invs *invs,
					  unsigned int i,
					  const struct arm_smmu_inv_req *req)
{
	struct arm_smmu_device *smmu = invs->inv[i].smmu;
	struct arm_smmu_cmdq_batch cmds = {};
	bool atc = false;

	for (; i < invs->num && invs->inv[i].smmu == smmu; i++) {
		const struct arm_smmu_inv *inv = &invs->inv[i];

		if (arm_smmu_inv_dead(inv))
			continue;

		if (inv->type != ARM_SMMU_INV_STREAM) {
			arm_smmu_inv_cmd_tlb(inv, req, &cmds);
		} else if (inv->ats) {
			if (!atc)
				arm_smmu_inv_cmd_sync(smmu, &cmds);
			atc = true;
			arm_smmu_inv_cmd_atc(smmu, inv->id, inv->ssid, req,
					     &cmds);
		}
	}

	if (cmds.num)
		arm_smmu_cmdq_batch_submit(smmu, &cmds);
	return i;
}

static void arm_smmu_inv(struct arm_smmu_domain *smmu_domain,
			 const struct arm_smmu_inv_req *req)
{
	struct arm_smmu_invs *invs;
	unsigned int i = 0;

	iommu_count_invalidation(&smmu_domain->domain);

	/*
	 * Order the change of the PTE before reading what is attached. Pairs
	 * with smp_mb() in arm_smmu_invs_add().
	 */
	smp_mb();

	/*
	 * The read section covers the commands as well: an instance or a master
	 * goes away only after a grace period.
	 */
	rcu_read_lock();
	invs = rcu_dereference(smmu_domain->invs);
	while (invs && i < invs->num)
		i = arm_smmu_inv_instance(invs, i, req);
	rcu_read_unlock();
}

/**
 * arm_smmu_inv_range() - forget translations of a range of addresses
 * @smmu_domain: the domain whose page table changed
 * @iova: first address, aligned to @granule
 * @size: bytes, a multiple of @granule, not 0
 * @granule: bytes that each changed entry maps, or the page size where tables
 *	     were unlinked
 * @leaf: no table was unlinked
 *
 * On return neither a TLB nor an ATC produces what the page table said before.
 * Ranges that take too many commands are invalidated as a whole.
 *
 * Context: Any.
 */
void arm_smmu_inv_range(struct arm_smmu_domain *smmu_domain,
			unsigned long iova, size_t size, size_t granule,
			bool leaf)
{
	struct arm_smmu_inv_req req = {
		.iova		= iova,
		.size		= size,
		.granule	= granule,
		.tg		= __ffs(smmu_domain->domain.pgsize_bitmap),
		.leaf		= leaf,
	};

	if (size)
		arm_smmu_inv(smmu_domain, &req);
}

/**
 * arm_smmu_inv_all() - forget all translations of a domain
 * @smmu_domain: the domain whose page table changed
 *
 * Context: Any.
 */
void arm_smmu_inv_all(struct arm_smmu_domain *smmu_domain)
{
	static const struct arm_smmu_inv_req req;

	arm_smmu_inv(smmu_domain, &req);
}

/**
 * arm_smmu_atc_inv_master() - forget all that the ATC of a master holds
 * @master: the master
 *
 * Context: Any.
 */
void arm_smmu_atc_inv_master(struct arm_smmu_master *master)
{
	static const struct arm_smmu_inv_req req;
	struct arm_smmu_cmdq_batch cmds = {};
	unsigned int i;

	for (i = 0; i < master->num_streams; i++)
		if (!arm_smmu_sid_repeats(master, i))
			arm_smmu_inv_cmd_atc(master->smmu,
					     master->streams[i].id, 0, &req,
					     &cmds);
	arm_smmu_cmdq_batch_submit(master->smmu, &cmds);
}

/**
 * arm_smmu_invs_flush_and_del() - no longer invalidate for a master
 * @smmu_domain: the domain that @master is being detached from
 * @master: the master
 * @ssid: SubstreamID, 0 for transactions without PASID
 *
 * Neither STE nor CD of the master refer to the domain any more, and the SMMU
 * knows. What it and the ATC hold is invalidated here: the TLBs when this was
 * the last attachment that used them, so that the ASID or VMID may be given to
 * another domain. The entries of the array live until that is done, so that
 * arm_smmu_inv_quiesce() does not overtake a detach.
 *
 * Context: Process context, group mutex held. Needs no memory.
 */
void arm_smmu_invs_flush_and_del(struct arm_smmu_domain *smmu_domain,
				 struct arm_smmu_master *master, u32 ssid)
{
	static const struct arm_smmu_inv_req all;
	struct arm_smmu_cmdq_batch cmds = {};
	struct arm_smmu_inv key, *inv;
	bool last = false;
	unsigned int i;

	mutex_lock(&smmu_domain->invs_lock);
	for (i = 0; i <= master->num_streams; i++) {
		if (!arm_smmu_inv_key(&key, smmu_domain, master, ssid, i))
			continue;
		inv = arm_smmu_invs_lookup(smmu_domain, &key);
		if (!inv || --inv->users)
			continue;
		inv->flushing++;
		if (!i)
			last = true;
	}
	mutex_unlock(&smmu_domain->invs_lock);

	/* Pairs with smp_store_release() in arm_smmu_inv_quiesce() */
	if (!smp_load_acquire(&smmu_domain->quiesced)) {
		if (last) {
			arm_smmu_inv_key(&key, smmu_domain, master, ssid, 0);
			arm_smmu_inv_cmd_tlb_all(&key, &cmds);
		}
		for (i = 0; master->ats_enabled && i < master->num_streams; i++)
			if (!arm_smmu_sid_repeats(master, i))
				arm_smmu_inv_cmd_atc(master->smmu,
						     master->streams[i].id,
						     ssid, &all, &cmds);
		if (cmds.num)
			arm_smmu_cmdq_batch_submit(master->smmu, &cmds);
	}

	mutex_lock(&smmu_domain->invs_lock);
	for (i = 0; i <= master->num_streams; i++) {
		/* Others may still be flushing the TLB, or do so later */
		if (!i && !last)
			continue;
		if (!arm_smmu_inv_key(&key, smmu_domain, master, ssid, i))
			continue;
		inv = arm_smmu_invs_lookup(smmu_domain, &key);
		/* Unless it is attached, or being detached, once more */
		if (inv && !--inv->flushing && !inv->users)
			WRITE_ONCE(inv->dead, true);
	}
	mutex_unlock(&smmu_domain->invs_lock);
}

/**
 * arm_smmu_inv_quiesce() - cut off everything that is attached to a domain
 * @smmu_domain: the domain of an mm that exits
 *
 * On return nothing walks the page tables of the mm or has translations of it,
 * but every CD is still valid, so that transactions are aborted in silence. A
 * detach may be under way: as long as the entry of its master is in the array,
 * its invalidations are done here too. Nothing is being attached.
 *
 * Context: Process context.
 */
void arm_smmu_inv_quiesce(struct arm_smmu_domain *smmu_domain)
{
	static const struct arm_smmu_inv_req all;
	const struct arm_smmu_inv *inv;
	struct arm_smmu_cmdq_batch cmds;
	struct arm_smmu_device *smmu;
	struct arm_smmu_invs *invs;
	unsigned int first, end, i;

	rcu_read_lock();
	invs = rcu_dereference(smmu_domain->invs);

	for (i = 0; invs && i < invs->num; i++) {
		inv = &invs->inv[i];
		if (inv->type == ARM_SMMU_INV_STREAM && !arm_smmu_inv_dead(inv))
			arm_smmu_cd_quiet(inv->master, inv->ssid,
					  smmu_domain->cd.asid);
	}

	for (first = 0; invs && first < invs->num; first = end) {
		smmu = invs->inv[first].smmu;
		cmds.num = 0;

		for (end = first; end < invs->num; end++) {
			struct arm_smmu_cmdq_ent cmd = {
				.opcode	= CMDQ_OP_CFGI_CD,
			};

			inv = &invs->inv[end];
			if (inv->smmu != smmu)
				break;
			if (inv->type != ARM_SMMU_INV_STREAM ||
			    arm_smmu_inv_dead(inv))
				continue;
			cmd.cfgi.sid = inv->id;
			cmd.cfgi.ssid = inv->ssid;
			cmd.cfgi.leaf = true;
			arm_smmu_cmdq_batch_add(smmu, &cmds, &cmd);
		}
		arm_smmu_inv_cmd_sync(smmu, &cmds);

		for (i = first; i < end; i++) {
			inv = &invs->inv[i];
			if (arm_smmu_inv_dead(inv))
				continue;
			if (inv->type != ARM_SMMU_INV_STREAM)
				arm_smmu_inv_cmd_tlb_all(inv, &cmds);
			else if (inv->ats)
				arm_smmu_inv_cmd_atc(smmu, inv->id, inv->ssid,
						     &all, &cmds);
		}
		arm_smmu_cmdq_batch_submit(smmu, &cmds);
	}
	rcu_read_unlock();

	/* Pairs with smp_load_acquire() in arm_smmu_invs_flush_and_del() */
	smp_store_release(&smmu_domain->quiesced, true);
}
