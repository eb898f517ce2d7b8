// SPDX-License-Identifier: GPL-2.0
/*
 * PASID tables of devices behind a VT-d unit
 *
 * In scalable mode each device has a table of its own: a directory, whose
 * entries refer to leaves of 64 entries each. An entry says which page tables
 * translate the requests with that PASID. Entry 0 is for requests without one.
 *
 * What an entry says, in which order it is stored, and what has to be
 * invalidated afterwards are kept apart. Hardware may read an entry at any time,
 * so the rest of it is written before it becomes present, and not touched again
 * before hardware has forgotten an entry that is no longer present (VT-d
 * 6.5.3.3). All that can fail is done before the first store.
 *
 * An entry that is present becomes another one by a single store, so that
 * hardware finds all of either: to its leaf's directory entry, which then refers
 * to a copy of the leaf, or to the entry itself if no more than a word changes.
 */

#define pr_fmt(fmt)	"DMAR: " fmt

#include <linux/bitfield.h>
#include <linux/mm.h>
#include <linux/pci-ats.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "iommu.h"
#include "pasid.h"
#include "qi.h"

/* To hardware a word changes at once, to CPUs of 32 bits as well */
static void pasid_store(u64 *word, u64 val)
{
	u64 old, seen = READ_ONCE(*word);

	do {
		old = seen;
		seen = cmpxchg64(word, old, val);
	} while (seen != old);
}

static void *pasid_alloc_pages(struct intel_iommu *iommu, unsigned int order)
{
	struct page *page = alloc_pages_node(iommu->node,
					     GFP_KERNEL | __GFP_ZERO, order);

	if (!page)
		return NULL;

	__iommu_flush_cache(iommu, page_address(page), PAGE_SIZE << order);
	return page_address(page);
}

static int pasid_alloc_leaf(struct device_domain_info *info, u32 pasid)
{
	struct pasid_dir_entry *pde =
		&info->pasid_table->dir[pasid >> PASID_PDE_SHIFT];
	struct pasid_entry *leaf = pasid_alloc_pages(info->iommu, 0);

	if (!leaf)
		return -ENOMEM;

	/* Whoever finds the leaf, hardware or CPU, must find it zeroed */
	dma_wmb();
	pasid_store(&pde->val, virt_to_phys(leaf) | PASID_PTE_PRESENT);
	__iommu_flush_cache(info->iommu, pde, sizeof(*pde));
	return 0;
}

/* Hardware is done with the leaf, those who dump tables may not be */
static void pasid_free_leaf(struct rcu_head *rcu)
{
	__free_page(container_of(rcu, struct page, rcu_head));
}

static void pasid_free_table(struct pasid_table *table)
{
	unsigned int i;

	free_page((unsigned long)table->spare);
	for (i = 0; i < table->max_pasid >> PASID_PDE_SHIFT; i++)
		free_page((unsigned long)get_pasid_table_from_pde(&table->dir[i]));

	free_pages((unsigned long)table->dir, table->order);
	kfree(table);
}

/**
 * intel_pasid_alloc_table() - allocate the PASID table of a device
 * @info: a device that is being probed
 *
 * The directory has room for all PASIDs that can be attached. There is a leaf
 * for PASID 0, so that attaching an RID domain needs no memory here.
 *
 * Context: process context, may sleep.
 * Return: 0, -ENOMEM.
 */
int intel_pasid_alloc_table(struct device_domain_info *info)
{
	u32 max_pasids = info->iommu->iommu.max_pasids;
	struct pasid_table *table;
	size_t size;

	if (info->pasid_supported)
		max_pasids = min_t(u32, max_pasids,
				   pci_max_pasids(to_pci_dev(info->dev)));
	else
		max_pasids = 1;

	table = kzalloc(sizeof(*table), GFP_KERNEL);
	if (!table)
		return -ENOMEM;

	size = DIV_ROUND_UP(max_pasids, PASID_TBL_ENTRIES) *
	       sizeof(*table->dir);
	table->order = get_order(size);
	table->max_pasid = ((PAGE_SIZE << table->order) / sizeof(*table->dir)) <<
			   PASID_PDE_SHIFT;

	table->dir = pasid_alloc_pages(info->iommu, table->order);
	if (!table->dir) {
		kfree(table);
		return -ENOMEM;
	}

	info->pasid_table = table;
	if (pasid_alloc_leaf(info, PASID_RID2PASID)) {
		info->pasid_table = NULL;
		pasid_free_table(table);
		return -ENOMEM;
	}
	return 0;
}

/**
 * intel_pasid_free_table() - free the PASID table of a device
 * @info: the device; its context entries no longer refer to the table
 *
 * Context: process context. An RCU grace period has passed since the context
 *	    entries were cleared, for the sake of those who dump tables.
 */
void intel_pasid_free_table(struct device_domain_info *info)
{
	if (info->pasid_table)
		pasid_free_table(info->pasid_table);
	info->pasid_table = NULL;
}

/**
 * intel_pasid_entry() - find an entry in memory
 * @info: whose table
 * @pasid: the PASID, 0 for requests without one
 *
 * Context: any. The caller keeps the table from being freed, and holds the group
 *	    mutex, or the lock of @info, for as long as it uses the entry. Who
 *	    only reads may do so in an RCU read section instead.
 * Return: the entry, NULL where the table has none.
 */
struct pasid_entry *intel_pasid_entry(struct device_domain_info *info,
				      u32 pasid)
{
	struct pasid_table *table = info->pasid_table;
	struct pasid_entry *leaf;

	if (!table || pasid >= table->max_pasid)
		return NULL;

	leaf = get_pasid_table_from_pde(&table->dir[pasid >> PASID_PDE_SHIFT]);

	return leaf ? &leaf[pasid & PASID_PTE_MASK] : NULL;
}

/*
 * Everywhere that hardware may find an entry. While a leaf takes the place of
 * another one that is both of them. Returns how many.
 */
static unsigned int pasid_entries(struct device_domain_info *info, u32 pasid,
				  struct pasid_entry *pte[2])
{
	struct pasid_table *table = info->pasid_table;

	lockdep_assert_held(&info->lock);

	pte[0] = intel_pasid_entry(info, pasid);
	if (!pte[0])
		return 0;
	if (!table->retired || table->retired_pde != pasid >> PASID_PDE_SHIFT)
		return 1;
	pte[1] = &table->retired[pasid & PASID_PTE_MASK];
	return 2;
}

/**
 * intel_pasid_prepare() - make room for an entry
 * @info: whose table
 * @pasid: the PASID, 0 for requests without one
 * @replace: for intel_pasid_replace() instead of intel_pasid_install()
 *
 * All about these that can fail. What is allocated stays until it is used, or
 * the table is freed, so there is nothing to undo.
 *
 * Context: process context, group mutex held. Sleeps only if @pasid is not 0, or
 *	    to replace.
 * Return: 0, -EINVAL if the table ends before @pasid, -EBUSY if its entry is in
 * use and not to be replaced, -ENOMEM.
 */
int intel_pasid_prepare(struct device_domain_info *info, u32 pasid,
			bool replace)
{
	struct pasid_table *table = info->pasid_table;
	struct pasid_entry *pte;

	if (!table || pasid >= table->max_pasid)
		return -EINVAL;

	pte = intel_pasid_entry(info, pasid);
	if (!pte)
		return pasid_alloc_leaf(info, pasid);
	if (!replace)
		return READ_ONCE(pte->val[0]) ? -EBUSY : 0;

	if (!table->spare)
		table->spare = pasid_alloc_pages(info->iommu, 0);
	return table->spare ? 0 : -ENOMEM;
}

/* What all entries have in common; @agaw as in the AW field */
static void pasid_make(struct pasid_entry *pte, const struct intel_iommu *iommu,
		       u64 pgtt, int agaw, u16 did)
{
	*pte = (struct pasid_entry) {
		.val[0] = PASID_PTE_PRESENT | FIELD_PREP(PASID_PTE_AW, agaw) |
			  FIELD_PREP(PASID_PTE_PGTT, pgtt),
		.val[1] = FIELD_PREP(PASID_PTE_DID, did),
	};

	if (ecap_smpwc(iommu->ecap))
		pte->val[1] |= PASID_PTE_PWSNP;
}

/**
 * intel_pasid_make_first_level() - an entry that uses first level tables
 * @pte: where to put it
 * @iommu: the unit, which has ECAP.FLTS
 * @pgd: physical address of the top level table
 * @did: domain ID
 * @flags: PASID_FLAG_FL5LP if there are five levels, and the unit has CAP.FL5LP;
 *	   PASID_FLAG_PAGE_SNOOP if all DMA has to snoop, and it has ECAP.SC
 *
 * Supervisor requests are refused: neither processes nor DMA have use for them.
 *
 * Context: any.
 */
void intel_pasid_make_first_level(struct pasid_entry *pte,
				  const struct intel_iommu *iommu,
				  phys_addr_t pgd, u16 did, unsigned int flags)
{
	pasid_make(pte, iommu, PASID_ENTRY_PGTT_FL_ONLY, iommu->agaw, did);

	pte->val[2] = (pgd & VTD_PAGE_MASK) | PASID_PTE_NXE;
	if (flags & PASID_FLAG_FL5LP)
		pte->val[2] |= FIELD_PREP(PASID_PTE_FLPM, PASID_FLPM_5LEVEL);
	if (flags & PASID_FLAG_PAGE_SNOOP)
		pte->val[1] |= PASID_PTE_PGSNP;
}

/* Without first level there is no privilege: let supervisor requests through */
static void pasid_make_sre(struct pasid_entry *pte,
			   const struct intel_iommu *iommu)
{
	if (ecap_srs(iommu->ecap))
		pte->val[2] |= PASID_PTE_SRE;
}

/**
 * intel_pasid_make_second_level() - an entry that uses second level tables
 * @pte: where to put it
 * @iommu: the unit, which has ECAP.SLTS
 * @pgd: physical address of the top level table
 * @agaw: its width, one of CAP.SAGAW
 * @did: domain ID
 *
 * Context: any.
 */
void intel_pasid_make_second_level(struct pasid_entry *pte,
				   const struct intel_iommu *iommu,
				   phys_addr_t pgd, int agaw, u16 did)
{
	pasid_make(pte, iommu, PASID_ENTRY_PGTT_SL_ONLY, agaw, did);
	pte->val[0] |= pgd & VTD_PAGE_MASK;
	pasid_make_sre(pte, iommu);
}

/**
 * intel_pasid_make_pass_through() - an entry that does not translate
 * @pte: where to put it
 * @iommu: the unit, which has ECAP.PT
 *
 * Context: any.
 */
void intel_pasid_make_pass_through(struct pasid_entry *pte,
				   const struct intel_iommu *iommu)
{
	pasid_make(pte, iommu, PASID_ENTRY_PGTT_PT, iommu->agaw,
		   FLPT_DEFAULT_DID);
	pasid_make_sre(pte, iommu);
}

/*
 * Have hardware forget an entry and what came of it, in one go: the order of
 * the three is that of VT-d 6.5.3.3, and hardware keeps to it. @pte is what the
 * entry said when it was present. With @leaf hardware forgets where the leaf was,
 * too: what selects by PASID and domain ID need not do that, as a directory entry
 * has neither.
 */
static void pasid_invalidate(struct device_domain_info *info, u32 pasid,
			     const struct pasid_entry *pte, bool leaf,
			     bool dev_iotlb)
{
	u16 did = FIELD_GET(PASID_PTE_DID, READ_ONCE(pte->val[1]));
	struct intel_iommu *iommu = info->iommu;
	struct qi_desc desc[4];
	unsigned int num;

	/* A device that does not answer may have gone since it was looked for */
	do {
		num = 0;
		if (leaf)
			qi_desc_pasid_cache_all(&desc[num++]);
		else
			qi_desc_pasid_cache(&desc[num++], did, pasid);
		if (pasid_pte_get_pgtt(pte) == PASID_ENTRY_PGTT_SL_ONLY)
			qi_desc_iotlb_domain(&desc[num++], iommu, did);
		else
			qi_desc_piotlb_pasid(&desc[num++], did, pasid);
		if (dev_iotlb)
			num += qi_desc_dev_iotlb_all(&desc[num], info, pasid);
	} while (qi_submit_once(iommu, desc, num, 0) == -EAGAIN);
}

/**
 * intel_pasid_install() - let requests be translated
 * @info: whose table
 * @pasid: PASID that intel_pasid_prepare() has made room for
 * @new: the entry
 *
 * Context: process context, group mutex held. Waits for the unit where it
 *	    caches what is not present.
 */
void intel_pasid_install(struct device_domain_info *info, u32 pasid,
			 const struct pasid_entry *new)
{
	struct pasid_entry *pte = intel_pasid_entry(info, pasid);
	struct intel_iommu *iommu = info->iommu;
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&info->lock, flags);
	for (i = 1; i < ARRAY_SIZE(pte->val); i++)
		WRITE_ONCE(pte->val[i], new->val[i]);

	/* Hardware that finds it present must find all of it */
	dma_wmb();
	pasid_store(&pte->val[0], new->val[0]);
	spin_unlock_irqrestore(&info->lock, flags);
	__iommu_flush_cache(iommu, pte, sizeof(*pte));

	if (cap_caching_mode(iommu->cap))
		pasid_invalidate(info, pasid, new, false, false);
	else
		iommu_flush_write_buffer(iommu);
}

/*
 * Have the directory refer to a copy of the leaf that has the new entry. Who
 * changes entries of the leaf meanwhile finds both, see pasid_entries().
 */
static void pasid_swap_leaf(struct device_domain_info *info, u32 pasid,
			    const struct pasid_entry *new)
{
	struct pasid_table *table = info->pasid_table;
	struct pasid_dir_entry *pde = &table->dir[pasid >> PASID_PDE_SHIFT];
	struct pasid_entry *leaf = table->spare;

	lockdep_assert_held(&info->lock);

	table->retired = get_pasid_table_from_pde(pde);
	table->retired_pde = pasid >> PASID_PDE_SHIFT;
	table->spare = NULL;

	memcpy(leaf, table->retired, PAGE_SIZE);
	leaf[pasid & PASID_PTE_MASK] = *new;
	__iommu_flush_cache(info->iommu, leaf, PAGE_SIZE);

	/* Hardware that finds the leaf must find what is in it */
	dma_wmb();
	pasid_store(&pde->val, virt_to_phys(leaf) | PASID_PTE_PRESENT);
	__iommu_flush_cache(info->iommu, pde, sizeof(*pde));
}

/**
 * intel_pasid_replace() - let other tables translate requests from now on
 * @info: whose table
 * @pasid: PASID of an entry that is in use, and that intel_pasid_prepare() has
 *	   been told is to be replaced
 * @new: the entry
 *
 * Each request sees all of the old entry or all of the new one. Nothing says that
 * hardware reads an entry at once, so one that differs in several words is made in
 * a copy of the leaf that hardware does not know yet. On return neither the unit
 * nor the device has anything cached that came of the old entry. Page requests may
 * still be under way.
 *
 * Context: process context, group mutex held. Waits for the unit. Needs no
 *	    memory beyond that of intel_pasid_prepare().
 */
void intel_pasid_replace(struct device_domain_info *info, u32 pasid,
			 const struct pasid_entry *new)
{
	struct pasid_entry *pte = intel_pasid_entry(info, pasid);
	struct pasid_table *table = info->pasid_table;
	unsigned int i, word = 0, words = 0;
	struct pasid_entry old, *leaf;
	unsigned long flags;

	spin_lock_irqsave(&info->lock, flags);
	old = *pte;
	for (i = 0; i < ARRAY_SIZE(old.val); i++) {
		if (old.val[i] != new->val[i]) {
			word = i;
			words++;
		}
	}
	if (words > 1) {
		pasid_swap_leaf(info, pasid, new);
	} else {
		pasid_store(&pte->val[word], new->val[word]);
		__iommu_flush_cache(info->iommu, pte, sizeof(*pte));
	}
	spin_unlock_irqrestore(&info->lock, flags);

	pasid_invalidate(info, pasid, &old, words > 1, true);
	if (cap_caching_mode(info->iommu->cap))
		pasid_invalidate(info, pasid, new, false, false);

	/* The leaf is no longer hardware's */
	spin_lock_irqsave(&info->lock, flags);
	leaf = table->retired;
	table->retired = NULL;
	spin_unlock_irqrestore(&info->lock, flags);
	if (leaf)
		call_rcu(&virt_to_page(leaf)->rcu_head, pasid_free_leaf);
}

/**
 * intel_pasid_set_page_snoop() - make all DMA of an entry snoop from now on
 * @info: whose table
 * @pasid: the PASID
 * @did: domain ID of the domain that wants it, which uses first level tables
 *
 * Does nothing if the entry is not present, or is another domain's.
 *
 * Context: process context. Waits for the unit.
 */
void intel_pasid_set_page_snoop(struct device_domain_info *info, u32 pasid,
				u16 did)
{
	struct pasid_entry *pte[2], changed = {};
	unsigned long flags;
	unsigned int i;
	u64 word1;

	spin_lock_irqsave(&info->lock, flags);
	for (i = pasid_entries(info, pasid, pte); i--; ) {
		word1 = READ_ONCE(pte[i]->val[1]);
		if (!pasid_pte_is_present(pte[i]) ||
		    pasid_pte_get_pgtt(pte[i]) != PASID_ENTRY_PGTT_FL_ONLY ||
		    FIELD_GET(PASID_PTE_DID, word1) != did ||
		    word1 & PASID_PTE_PGSNP)
			continue;
		pasid_store(&pte[i]->val[1], word1 | PASID_PTE_PGSNP);
		__iommu_flush_cache(info->iommu, pte[i], sizeof(*pte[i]));
		changed = *pte[i];
	}
	spin_unlock_irqrestore(&info->lock, flags);

	if (pasid_pte_is_present(&changed))
		pasid_invalidate(info, pasid, &changed, false, true);
}

/**
 * intel_pasid_quiet() - have an entry translate nothing, without noise
 * @info: whose table
 * @pasid: the PASID
 * @pgd: physical address of the top level table that goes away
 *
 * Requests are aborted, and faults are not recorded. Does nothing if the entry
 * has been cleared, or has become that of another table. The caller invalidates
 * in either case, since whoever clears or replaces an entry may not be done with
 * that; intel_pasid_tear_down() or intel_pasid_replace() still has to follow.
 *
 * Context: any but interrupts. The caller keeps @info from being freed.
 */
void intel_pasid_quiet(struct device_domain_info *info, u32 pasid,
		       phys_addr_t pgd)
{
	struct pasid_entry *pte[2];
	unsigned long flags;
	unsigned int i;
	u64 word0;

	spin_lock_irqsave(&info->lock, flags);
	for (i = pasid_entries(info, pasid, pte); i--; ) {
		word0 = READ_ONCE(pte[i]->val[0]);
		if ((word0 & PASID_PTE_PRESENT) &&
		    pasid_pte_get_pgtt(pte[i]) == PASID_ENTRY_PGTT_FL_ONLY &&
		    (READ_ONCE(pte[i]->val[2]) & VTD_PAGE_MASK) == pgd)
			pasid_store(&pte[i]->val[0],
				    (word0 & ~PASID_PTE_PRESENT) |
				    PASID_PTE_FPD);
		/* Whoever has just cleared it may not have come to this */
		__iommu_flush_cache(info->iommu, pte[i], sizeof(*pte[i]));
	}
	spin_unlock_irqrestore(&info->lock, flags);
}

/**
 * intel_pasid_tear_down() - let requests be refused
 * @info: whose table
 * @pasid: the PASID; its entry may be quiet, or clear already
 *
 * On return no request with that PASID translates, and neither the unit nor the
 * device has anything of the entry cached. Page requests may still be under way.
 *
 * Context: process context, group mutex held. Waits for the unit. Needs no
 *	    memory.
 */
void intel_pasid_tear_down(struct device_domain_info *info, u32 pasid)
{
	struct pasid_entry *pte = intel_pasid_entry(info, pasid);
	unsigned long flags;
	unsigned int i;
	u64 word0;

	if (!pte)
		return;

	spin_lock_irqsave(&info->lock, flags);
	word0 = READ_ONCE(pte->val[0]);
	pasid_store(&pte->val[0], word0 & ~PASID_PTE_PRESENT);
	spin_unlock_irqrestore(&info->lock, flags);
	if (!word0)
		return;

	/* The rest is still hardware's, until it has forgotten the entry */
	__iommu_flush_cache(info->iommu, pte, sizeof(*pte));
	pasid_invalidate(info, pasid, pte, false, true);

	spin_lock_irqsave(&info->lock, flags);
	for (i = 1; i < ARRAY_SIZE(pte->val); i++)
		WRITE_ONCE(pte->val[i], 0);
	pasid_store(&pte->val[0], 0);
	spin_unlock_irqrestore(&info->lock, flags);
	__iommu_flush_cache(info->iommu, pte, sizeof(*pte));
}
