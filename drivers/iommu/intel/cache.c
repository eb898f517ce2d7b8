// SPDX-License-Identifier: GPL-2.0
/*
 * What caches the translations of a domain, and how to invalidate it
 *
 * Each domain has a sorted array of what may hold its translations: the IOTLBs
 * of units, by domain ID and PASID, and the TLBs of devices, by PASID. Whoever
 * changes a page table walks the array under RCU, from any context and without
 * a lock of ours. Attaching publishes a copy with new entries. Detaching needs
 * no memory: it marks entries dead, and leaves them to the next copy.
 *
 * All units get their descriptors first. Only then the first one is waited for,
 * so that it takes as long as the slowest unit, not as long as all together.
 */

#define pr_fmt(fmt)	"DMAR: " fmt

#include <linux/dmar.h>
#include <linux/log2.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "cache.h"
#include "iommu.h"
#include "pasid.h"
#include "qi.h"

/* How many batches are under way at most before the first is waited for */
#define CACHE_TICKETS		16

/* Descriptors that one tag may need: two pieces, each twice for the quirk */
#define CACHE_PER_TAG		4

/* Batches that have been posted and not been waited for */
struct cache_posted {
	unsigned int		num;
	bool			again;
	struct intel_iommu	*iommu[CACHE_TICKETS];
	struct qi_ticket	ticket[CACHE_TICKETS];
};

/**
 * intel_cache_init() - nothing holds translations of a domain yet
 * @domain: a domain that is being allocated
 */
void intel_cache_init(struct dmar_domain *domain)
{
	spin_lock_init(&domain->cache_lock);
}

/**
 * intel_cache_free() - undo intel_cache_init()
 * @domain: a domain that is attached to nothing
 *
 * Context: any.
 */
void intel_cache_free(struct dmar_domain *domain)
{
	struct intel_cache *cache = rcu_dereference_protected(domain->cache,
							      true);

	/* Who walks it may have found it before the last detach. */
	if (cache)
		kfree_rcu(cache, rcu);
}

static int cache_cmp(const struct intel_cache_tag *a,
		     const struct intel_cache_tag *b)
{
	if (a->iommu != b->iommu)
		return a->iommu < b->iommu ? -1 : 1;
	if (a->info != b->info)
		return a->info < b->info ? -1 : 1;
	if (a->pasid != b->pasid)
		return a->pasid < b->pasid ? -1 : 1;
	if (a->did != b->did)
		return a->did < b->did ? -1 : 1;
	return 0;
}

static unsigned int cache_find(const struct intel_cache *cache,
			       const struct intel_cache_tag *key)
{
	unsigned int i;

	for (i = 0; i < cache->num; i++)
		if (cache_cmp(&cache->tag[i], key) >= 0)
			break;
	return i;
}

/**
 * intel_cache_copy() - make the array that follows another one
 * @old: the one before, or NULL
 * @add: what else holds translations from now on; has one more user
 * @num: how many of them
 *
 * Context: any.
 * Return: the new array, without what is dead in @old; NULL without memory.
 */
struct intel_cache *intel_cache_copy(const struct intel_cache *old,
				     const struct intel_cache_tag *add,
				     unsigned int num)
{
	struct intel_cache_tag *tag;
	struct intel_cache *new;
	unsigned int i, at;

	new = kzalloc(struct_size(new, tag, num + (old ? old->num : 0)),
		      GFP_ATOMIC);
	if (!new)
		return NULL;

	for (i = 0; old && i < old->num; i++)
		if (!old->tag[i].dead)
			new->tag[new->num++] = old->tag[i];

	for (i = 0; i < num; i++) {
		at = cache_find(new, &add[i]);
		tag = &new->tag[at];
		if (at == new->num || cache_cmp(tag, &add[i])) {
			memmove(tag + 1, tag, (new->num - at) * sizeof(*tag));
			*tag = add[i];
			tag->users = 0;
			new->num++;
		}
		tag->users++;
	}
	return new;
}

/*
 * An attachment uses the IOTLB, and the TLB of its device. The IOTLB knows what
 * comes from second level tables by the domain ID alone.
 */
static void cache_keys(const struct dmar_domain *domain,
		       struct intel_cache_tag *key,
		       struct device_domain_info *info, ioasid_t pasid, u16 did)
{
	key[0] = (struct intel_cache_tag) {
		.iommu = info->iommu,
		.pasid = domain->flags & DOMAIN_FLAG_USE_FIRST_LEVEL ?
			 pasid : INVALID_IOASID,
		.did = did,
	};
	key[1] = (struct intel_cache_tag) {
		.iommu = info->iommu,
		.info = info,
		.pasid = pasid,
		.did = did,
	};
}

/**
 * intel_cache_attach() - invalidate for a device from now on
 * @domain: the domain that is being attached
 * @info: the device
 * @pasid: the PASID
 * @did: domain ID that the PASID entry is going to have
 *
 * To be called before the first store that lets hardware walk the tables of
 * @domain for this PASID.
 *
 * Context: any, group mutex held.
 * Return: 0, %-EOPNOTSUPP if the unit cannot make DMA snoop and the domain wants
 * it, %-ENOMEM.
 */
int intel_cache_attach(struct dmar_domain *domain,
		       struct device_domain_info *info, ioasid_t pasid,
		       u16 did)
{
	struct intel_cache_tag key[2];
	struct intel_cache *old, *new;
	unsigned long flags;
	int ret = 0;

	cache_keys(domain, key, info, pasid, did);

	spin_lock_irqsave(&domain->cache_lock, flags);
	old = rcu_dereference_protected(domain->cache,
					lockdep_is_held(&domain->cache_lock));
	if (domain->force_snooping && !ecap_sc_support(info->iommu->ecap)) {
		ret = -EOPNOTSUPP;
	} else {
		new = intel_cache_copy(old, key, ARRAY_SIZE(key));
		if (new)
			rcu_assign_pointer(domain->cache, new);
		else
			ret = -ENOMEM;
	}
	spin_unlock_irqrestore(&domain->cache_lock, flags);
	if (ret)
		return ret;

	/*
	 * Either whoever changes a table sees the new array, or hardware sees
	 * the changed table. Pairs with smp_mb() in cache_invalidate():
	 *
	 *	attach				unmap
	 *	domain->cache = new		PTE = 0
	 *	smp_mb()			smp_mb()
	 *	PASID entry present		read domain->cache
	 *	(hardware reads the PTE)
	 */
	smp_mb();

	if (old)
		kfree_rcu(old, rcu);
	return 0;
}

/**
 * intel_cache_detach() - no longer invalidate for a device
 * @domain: the domain that is being detached
 * @info: the device
 * @pasid: the PASID
 * @did: domain ID that its entry had
 *
 * The entry has been torn down or replaced, and everything that was cached of it
 * has been invalidated: an entry of the array lives until that is done, so that
 * intel_cache_quiesce() does not overtake a detach.
 *
 * Context: any, group mutex held. Needs no memory.
 */
void intel_cache_detach(struct dmar_domain *domain,
			struct device_domain_info *info, ioasid_t pasid,
			u16 did)
{
	struct intel_cache_tag key[2], *tag;
	struct intel_cache *cache;
	unsigned long flags;
	unsigned int i, at;

	cache_keys(domain, key, info, pasid, did);

	spin_lock_irqsave(&domain->cache_lock, flags);
	cache = rcu_dereference_protected(domain->cache,
					  lockdep_is_held(&domain->cache_lock));
	for (i = 0; cache && i < ARRAY_SIZE(key); i++) {
		at = cache_find(cache, &key[i]);
		if (at == cache->num || cache_cmp(&cache->tag[at], &key[i]))
			continue;
		tag = &cache->tag[at];
		if (!--tag->users)
			WRITE_ONCE(tag->dead, true);
	}
	spin_unlock_irqrestore(&domain->cache_lock, flags);
}

/* Pages of 4 KiB, both inclusive */
static void cache_add_piece(struct intel_cache_range *range, u64 first,
			    u64 last)
{
	unsigned int order = fls64(first ^ last);

	range->order[range->num] = order;
	range->addr[range->num] = (first >> order) << (order + VTD_PAGE_SHIFT);
	range->num++;
}

/**
 * intel_cache_make_range() - express a range as descriptors can
 * @range: where to put it
 * @start: first address
 * @last: last address, inclusive
 *
 * A descriptor covers a naturally aligned power of two. The smallest one that
 * covers a range can be any number of times larger: then two that meet in the
 * middle of it, each less than twice as large as its part, do better.
 *
 * Context: any.
 */
void intel_cache_make_range(struct intel_cache_range *range, u64 start,
			    u64 last)
{
	u64 first = start >> VTD_PAGE_SHIFT, middle;
	unsigned int order;

	last >>= VTD_PAGE_SHIFT;
	range->num = 0;
	range->doubt = false;

	order = fls64(first ^ last);
	if (order >= QI_ORDER_ALL) {
		range->num = 1;
		range->addr[0] = 0;
		range->order[0] = QI_ORDER_ALL;
	} else if (BIT_ULL(order) <= 4 * (last - first + 1)) {
		cache_add_piece(range, first, last);
	} else {
		middle = (last >> (order - 1)) << (order - 1);
		cache_add_piece(range, first, middle - 1);
		cache_add_piece(range, middle, last);
	}
}

static unsigned int cache_fill_iotlb(const struct intel_cache_tag *tag,
				     const struct intel_cache_range *range,
				     struct qi_desc *desc)
{
	bool second_level = tag->pasid == INVALID_IOASID;
	const struct intel_iommu *iommu = tag->iommu;
	unsigned int i;

	for (i = 0; i < range->num; i++) {
		if (!cap_pgsel_inv(iommu->cap) ||
		    range->order[i] > cap_max_amask_val(iommu->cap))
			break;
		if (second_level)
			qi_desc_iotlb_range(&desc[i], iommu, tag->did,
					    range->addr[i], range->order[i],
					    false);
		else
			qi_desc_piotlb_range(&desc[i], tag->did, tag->pasid,
					     range->addr[i], range->order[i],
					     false);
	}
	if (i == range->num)
		return i;

	/* Too large for the unit: then all there is, once */
	if (second_level)
		qi_desc_iotlb_domain(&desc[0], iommu, tag->did);
	else
		qi_desc_piotlb_pasid(&desc[0], tag->did, tag->pasid);
	return 1;
}

/*
 * As qi_desc_dev_iotlb_all(), for a range, and without asking whether the device
 * is present, unless there is doubt: that is a read from the device, on every
 * unmap.
 */
static unsigned int cache_fill_dev(const struct intel_cache_tag *tag,
				   const struct intel_cache_range *range,
				   struct qi_desc *desc)
{
	const struct device_domain_info *info = tag->info;
	unsigned int i, repeat, num = 0;

	if (!info->ats_enabled || !(tag->iommu->gcmd & DMA_GCMD_TE) ||
	    pci_dev_is_disconnected(to_pci_dev(info->dev)))
		return 0;
	if (range->doubt && !qi_dev_iotlb_alive(info))
		return 0;

	for (repeat = 0; repeat <= info->dtlb_extra_inval; repeat++)
		for (i = 0; i < range->num; i++)
			qi_desc_dev_iotlb(&desc[num++], info, tag->pasid,
					  range->addr[i], range->order[i]);
	return num;
}

/**
 * intel_cache_fill() - the next descriptors for one unit
 * @cache: what to invalidate
 * @pos: index of the first entry to look at; on return, of the next one
 * @range: the addresses
 * @entries: PASID entries have changed too
 * @desc: room for INTEL_CACHE_BATCH of them
 *
 * Stops at the end of a unit, and where there may be no room for more. The
 * IOTLB comes before the TLBs of devices, which could be filled from it again;
 * hardware keeps to that order by itself (VT-d 6.5.2.11).
 *
 * Context: any, in an RCU read section.
 * Return: the number of descriptors, may be 0.
 */
unsigned int intel_cache_fill(const struct intel_cache *cache,
			      unsigned int *pos,
			      const struct intel_cache_range *range,
			      bool entries, struct qi_desc *desc)
{
	struct intel_iommu *iommu = cache->tag[*pos].iommu;
	const struct intel_cache_tag *tag;
	unsigned int num = 0;

	for (; *pos < cache->num; (*pos)++) {
		tag = &cache->tag[*pos];
		if (tag->iommu != iommu ||
		    num + CACHE_PER_TAG > INTEL_CACHE_BATCH)
			break;
		if (READ_ONCE(tag->dead))
			continue;

		if (tag->info) {
			num += cache_fill_dev(tag, range, &desc[num]);
			continue;
		}
		if (entries)
			qi_desc_pasid_cache(&desc[num++], tag->did, tag->pasid);
		num += cache_fill_iotlb(tag, range, &desc[num]);
	}
	return num;
}

static void cache_wait(struct cache_posted *posted)
{
	unsigned int i;

	for (i = 0; i < posted->num; i++)
		if (qi_wait(posted->iommu[i], &posted->ticket[i]) == -EAGAIN)
			posted->again = true;
	posted->num = 0;
}

static void cache_post(struct cache_posted *posted, struct intel_iommu *iommu,
		       const struct qi_desc *desc, unsigned int num)
{
	if (!num || !iommu->qi)
		return;

	if (posted->num == CACHE_TICKETS)
		cache_wait(posted);

	/* Nobody may wait for room in one queue while having it in another. */
	while (!qi_post(iommu, desc, num, 0, &posted->ticket[posted->num])) {
		cache_wait(posted);
		cpu_relax();
	}
	posted->iommu[posted->num++] = iommu;
}

static void cache_invalidate_all(const struct intel_cache *cache,
				 struct intel_cache_range *range,
				 bool entries)
{
	struct qi_desc desc[INTEL_CACHE_BATCH];
	struct cache_posted posted = {};
	struct intel_iommu *iommu;
	unsigned int pos, num;
	unsigned long flags;

	/*
	 * A device that did not answer takes the others down with it: repeat. It
	 * may have been pulled, and nobody need know of that but us.
	 */
	do {
		range->doubt = posted.again;
		posted.again = false;
		local_irq_save(flags);
		for (pos = 0; pos < cache->num; ) {
			iommu = cache->tag[pos].iommu;
			num = intel_cache_fill(cache, &pos, range, entries,
					       desc);
			cache_post(&posted, iommu, desc, num);
		}
		cache_wait(&posted);
		local_irq_restore(flags);
	} while (posted.again);
}

static void cache_invalidate(struct dmar_domain *domain,
			     struct intel_cache_range *range)
{
	const struct intel_cache *cache;

	iommu_count_invalidation(&domain->domain);

	/*
	 * Order the change of the table before reading what is attached. Pairs
	 * with smp_mb() in intel_cache_attach().
	 */
	smp_mb();

	/* A device goes away only after a grace period. */
	rcu_read_lock();
	cache = rcu_dereference(domain->cache);
	if (cache)
		cache_invalidate_all(cache, range, false);
	rcu_read_unlock();
}

/**
 * intel_cache_invalidate_range() - forget translations of a range of addresses
 * @domain: the domain whose table changed
 * @start: first address
 * @end: the address behind the last one; U64_MAX for all that follow @start
 *
 * On return neither an IOTLB nor the TLB of a device produces what the table
 * said before.
 *
 * Context: any.
 */
void intel_cache_invalidate_range(struct dmar_domain *domain, u64 start,
				  u64 end)
{
	struct intel_cache_range range;

	/* Nothing is cached any more, and exit_mmap() has a lot to unmap. */
	if (READ_ONCE(domain->quiesced) || start >= end)
		return;

	intel_cache_make_range(&range, start, end - 1);
	cache_invalidate(domain, &range);
}

/**
 * intel_cache_quiesce() - cut off everything that is attached to a domain
 * @domain: the domain of an mm that exits
 * @pgd: physical address of its top level table
 *
 * On return nothing walks the tables or has translations of them, and requests
 * are aborted without a record. A detach may be under way: as long as its entry
 * is in the array, its invalidations are done here too. Nothing is being
 * attached.
 *
 * Context: process context.
 */
void intel_cache_quiesce(struct dmar_domain *domain, phys_addr_t pgd)
{
	struct intel_cache_range all = {
		.num = 1,
		.order[0] = QI_ORDER_ALL,
	};
	const struct intel_cache *cache;
	unsigned int i;

	rcu_read_lock();
	cache = rcu_dereference(domain->cache);
	for (i = 0; cache && i < cache->num; i++) {
		if (cache->tag[i].info && !READ_ONCE(cache->tag[i].dead))
			intel_pasid_quiet(cache->tag[i].info,
					  cache->tag[i].pasid, pgd);
	}
	if (cache)
		cache_invalidate_all(cache, &all, true);
	rcu_read_unlock();

	WRITE_ONCE(domain->quiesced, true);
}

/**
 * intel_cache_force_snooping() - decide that all DMA by a domain snoops
 * @domain: the domain
 *
 * Context: any, lock of the domain held.
 * Return: whether all units can do so where @domain is attached to a PASID. If
 * they can, force_snooping is set, and those that cannot are not attached to.
 */
bool intel_cache_force_snooping(struct dmar_domain *domain)
{
	const struct intel_cache *cache;
	bool can = true;
	unsigned int i;

	lockdep_assert_held(&domain->lock);

	spin_lock(&domain->cache_lock);
	cache = rcu_dereference_protected(domain->cache,
					  lockdep_is_held(&domain->cache_lock));
	for (i = 0; cache && i < cache->num; i++)
		can &= cache->tag[i].dead ||
		       ecap_sc_support(cache->tag[i].iommu->ecap);
	if (can)
		domain->force_snooping = true;
	spin_unlock(&domain->cache_lock);

	return can;
}

/**
 * intel_cache_set_page_snoop() - make all DMA by a domain's PASIDs snoop
 * @domain: the domain, whose force_snooping has been set
 *
 * What is being attached takes care of itself: it looks at force_snooping when
 * its entry can be found.
 *
 * Context: process context. Waits for units.
 */
void intel_cache_set_page_snoop(struct dmar_domain *domain)
{
	const struct intel_cache *cache;
	unsigned int i;

	/*
	 * Order the store to force_snooping before looking for entries. Pairs
	 * with the one of intel_cache_attach().
	 */
	smp_mb();

	rcu_read_lock();
	cache = rcu_dereference(domain->cache);
	for (i = 0; cache && i < cache->num; i++)
		if (cache->tag[i].info && !READ_ONCE(cache->tag[i].dead))
			intel_pasid_set_page_snoop(cache->tag[i].info,
						   cache->tag[i].pasid,
						   cache->tag[i].did);
	rcu_read_unlock();
}

/**
 * intel_cache_invalidate_did() - forget everything about a domain ID
 * @did: the domain ID
 *
 * That is the translations and the locations of tables, in the IOTLBs of the
 * units that translate for SVA domains. TLBs of devices know no tables.
 *
 * Context: any.
 */
void intel_cache_invalidate_did(u16 did)
{
	struct cache_posted posted = {};
	struct dmar_drhd_unit *drhd;
	struct intel_iommu *iommu;
	struct qi_desc desc;
	unsigned long flags;

	rcu_read_lock();
	do {
		posted.again = false;
		local_irq_save(flags);
		for_each_active_iommu(iommu, drhd) {
			/* Pairs with the barrier of intel_cache_attach() */
			if (!atomic_read(&iommu->sva_attached))
				continue;
			qi_desc_iotlb_domain(&desc, iommu, did);
			cache_post(&posted, iommu, &desc, 1);
		}
		cache_wait(&posted);
		local_irq_restore(flags);
	} while (posted.again);
	rcu_read_unlock();
}
