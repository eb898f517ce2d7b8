/*
 * Strict caching for the SMMU models: what hardware may still hold.
 *
 * A TLB that forgets early hides the invalidation that software forgot. In
 * strict mode the TLB keeps everything until it is told otherwise, even through
 * a reset: it grows rather than evict, to a size that is there only to save the
 * host from a guest that never invalidates. It also holds the table descriptors
 * of a walk, which a Leaf=1 invalidation does not touch (IHI 0070, 4.4).
 * Descriptors that cause a Translation or an Access flag fault are never held
 * (DDI 0487, D8.16).
 *
 * Each hit is compared with the tables in memory. A hit that grants more than
 * they do, or something else, is counted as stale: a DMA just used, or could
 * have used, a translation that software has taken back. While software is
 * between changing a descriptor and the completion of its invalidation, such a
 * hit is legitimate, so the count means something only where no DMA runs
 * concurrently with the change. Another one counts hits that are never
 * legitimate: of entries that were found to differ from memory long before the
 * last CMD_SYNC. Stage 2 is not checked.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "trace.h"
#include "system/dma.h"
#include "hw/arm/smmu-common.h"
#include "smmu-internal.h"

/* Type, next-level table and APTable: what a walk takes from a descriptor */
#define TABLE_DESC_USED (ARM_LPAE_PTE_TYPE_MASK | MAKE_64BIT_MASK(12, 36) | \
                         MAKE_64BIT_MASK(61, 2))

/*
 * Of one audit: a guest with many large entries for small pages shall not use up
 * our time. What is not looked at counts.
 */
#define AUDIT_WALKS (1u << 21)

static SMMUIOTLBKey table_key(const SMMUTransCfg *cfg, dma_addr_t iova,
                              int level, int granule_sz)
{
    SMMUIOTLBKey key = smmu_get_iotlb_key(cfg->asid, cfg->s2cfg.vmid,
                                          iova &
                                          level_page_mask(level, granule_sz),
                                          (granule_sz - 10) / 2, level);

    key.table = true;
    return key;
}

static bool caches_tables(const SMMUState *bs, const SMMUTransCfg *cfg)
{
    return bs->strict && !(cfg->req && cfg->req->fresh);
}

/**
 * smmu_strict_is_late - an entry that differs from memory was hit
 * @bs: SMMU state
 * @differs_ns: when the entry was first found to differ, 0 if never (in, out)
 *
 * Return: true if software must have invalidated it by now
 */
bool smmu_strict_is_late(const SMMUState *bs, int64_t *differs_ns)
{
    if (!*differs_ns) {
        *differs_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
        return false;
    }
    return *differs_ns < bs->settled_ns;
}

static void count_stale(SMMUState *bs, SMMUTLBEntry *hit, dma_addr_t iova)
{
    bs->iotlb_stale++;
    if (!hit->differs_ns) {
        hit->differs_at = iova;
    }
    bs->iotlb_late += smmu_strict_is_late(bs, &hit->differs_ns);
}

/**
 * smmu_strict_table_lookup - look for a cached stage-1 table descriptor
 * @bs: SMMU state which includes the TLB
 * @cfg: translation config
 * @iova: address being walked
 * @level: level of the descriptor
 * @granule_sz: granule shift
 * @pte_addr: where the descriptor is in memory, for the stale check
 * @pte: the descriptor (out)
 *
 * Return true on a hit.
 */
bool smmu_strict_table_lookup(SMMUState *bs, SMMUTransCfg *cfg,
                              dma_addr_t iova, int level, int granule_sz,
                              dma_addr_t pte_addr, uint64_t *pte)
{
    SMMUIOTLBKey key;
    SMMUTLBEntry *hit;
    uint64_t now;

    if (!caches_tables(bs, cfg) || level == VMSA_LEVELS - 1) {
        return false;
    }

    key = table_key(cfg, iova, level, granule_sz);
    hit = g_hash_table_lookup(bs->iotlb, &key);
    if (!hit) {
        return false;
    }

    if (smmu_is_silent(cfg)) {
        *pte = hit->table_desc;
        return true;
    }

    if (ldq_le_dma(&address_space_memory, pte_addr, &now,
                   MEMTXATTRS_UNSPECIFIED) != MEMTX_OK ||
        ((now ^ hit->table_desc) & TABLE_DESC_USED)) {
        count_stale(bs, hit, iova);
        trace_smmu_strict_stale_table(cfg->asid, cfg->s2cfg.vmid, iova, level,
                                      hit->table_desc, pte_addr);
    } else {
        hit->differs_ns = 0;
    }

    *pte = hit->table_desc;
    return true;
}

/**
 * smmu_strict_table_insert - keep a table descriptor that a walk has read
 *
 * Arguments as for smmu_strict_table_lookup()
 */
void smmu_strict_table_insert(SMMUState *bs, SMMUTransCfg *cfg,
                              dma_addr_t iova, int level, int granule_sz,
                              uint64_t pte)
{
    SMMUTLBEntry *new;
    SMMUIOTLBKey *key;

    if (!caches_tables(bs, cfg)) {
        return;
    }

    smmu_iotlb_make_room(bs);

    key = g_new(SMMUIOTLBKey, 1);
    *key = table_key(cfg, iova, level, granule_sz);

    new = g_new0(SMMUTLBEntry, 1);
    new->entry.iova = key->iova;
    new->entry.addr_mask = ~level_page_mask(level, granule_sz);
    new->level = level;
    new->granule = granule_sz;
    new->table_desc = pte;
    smmu_strict_note_root(bs, cfg, new);

    g_hash_table_replace(bs->iotlb, key, new);
}

/*
 * Count translations of another size that the TLB holds for an address of
 * @entry. Units that do not support this raise F_TLB_CONFLICT (IHI 0070,
 * 3.21.1.1), so software has to invalidate one before it makes the other.
 */
static void count_conflicts(SMMUState *bs, const SMMUTransCfg *cfg,
                            const SMMUTLBEntry *entry)
{
    int tg = (entry->granule - 10) / 2, level;
    dma_addr_t iova = entry->entry.iova;

    for (level = 0; level < VMSA_LEVELS; level++) {
        uint64_t size = 1ull << level_shift(level, entry->granule);
        uint64_t end = iova | entry->entry.addr_mask, at = iova & -size;

        for (; level != entry->level && at <= end; at += size) {
            SMMUIOTLBKey key = smmu_get_iotlb_key(cfg->asid, cfg->s2cfg.vmid,
                                                  at, tg, level);

            if (g_hash_table_contains(bs->iotlb, &key)) {
                bs->iotlb_conflicts++;
                trace_smmu_strict_conflict(cfg->asid, cfg->s2cfg.vmid, iova,
                                           entry->level, level);
            }
            if (at + size < at) {
                break;
            }
        }
    }
}

/* Note where the walk began that found @entry */
void smmu_strict_note_root(SMMUState *bs, SMMUTransCfg *cfg,
                           SMMUTLBEntry *entry)
{
    if (bs->strict && cfg->stage == SMMU_STAGE_1) {
        SMMUTransTableInfo *tt = select_tt(cfg, entry->entry.iova);

        entry->ttb = tt->ttb;
        entry->tsz = tt->tsz;
        if (!entry->table_desc) {
            count_conflicts(bs, cfg, entry);
        }
    }
}

/**
 * smmu_strict_lookup - look for a translation whose table is disabled
 * @bs: SMMU state which includes the TLB
 * @cfg: translation config, whose granule and input size are not known
 * @iova: address
 *
 * EPD0 and EPD1 make TLB misses fault. Hits go on until the entries are
 * invalidated (IHI 0070, 5.4).
 */
SMMUTLBEntry *smmu_strict_lookup(SMMUState *bs, const SMMUTransCfg *cfg,
                                 dma_addr_t iova)
{
    SMMUTLBEntry *entry;
    int tg, level;

    if (!caches_tables(bs, cfg)) {
        return NULL;
    }

    for (tg = 1; tg <= 3; tg++) {
        for (level = 0; level < VMSA_LEVELS; level++) {
            SMMUIOTLBKey key =
                smmu_get_iotlb_key(cfg->asid, cfg->s2cfg.vmid,
                                   iova & level_page_mask(level, tg * 2 + 10),
                                   tg, level);

            entry = g_hash_table_lookup(bs->iotlb, &key);
            if (entry) {
                bs->iotlb_hits += !smmu_is_silent(cfg);
                return entry;
            }
        }
    }
    return NULL;
}

/**
 * smmu_strict_read_ahead - cache neighbours of a descriptor that was read
 * @bs: SMMU state which includes the TLB
 * @cfg: translation config
 * @entry: the translation that was found
 *
 * A walk may read the 64 bytes around a descriptor at once, and any translation
 * that the tables lead to may be cached (IHI 0070, 3.21.1; DDI 0487, D8.16).
 */
void smmu_strict_read_ahead(SMMUState *bs, SMMUTransCfg *cfg,
                            const SMMUTLBEntry *entry)
{
    uint64_t iova = entry->entry.iova, size = entry->entry.addr_mask + 1;
    const SMMURequest *req = cfg->req;
    uint64_t chosen;
    SMMURequest silent;
    int i;

    if (!bs->reads_ahead || !req || cfg->stage != SMMU_STAGE_1 ||
        !caches_tables(bs, cfg) ||
        g_hash_table_size(bs->iotlb) + 64 > bs->strict_size) {
        return;
    }

    silent = *req;
    silent.silent = true;
    cfg->req = &silent;
    chosen = iommu_choice_next(&bs->ahead_choice);
    for (i = 1; i < 8; i++) {
        SMMUTLBEntry *new;
        SMMUPTWEventInfo info = {};
        uint64_t other = iova ^ (i * size);
        SMMUIOTLBKey key =
            smmu_get_iotlb_key(cfg->asid, cfg->s2cfg.vmid, other,
                               (entry->granule - 10) / 2, entry->level);

        if (!(chosen >> i & 1) || g_hash_table_contains(bs->iotlb, &key)) {
            continue;
        }
        new = g_new0(SMMUTLBEntry, 1);
        if (!smmu_ptw(bs, cfg, other, IOMMU_NONE, new, &info) &&
            new->level == entry->level) {
            smmu_iotlb_insert(bs, cfg, new);
        } else {
            g_free(new);
        }
    }
    cfg->req = req;
}

/*
 * Does an entry grant at @iova what the tables in memory do not? One that
 * grants less than they do is not stale: software need not invalidate to relax
 * a permission, nor does hardware that updates the dirty state of a page. Nor
 * is one whose Access flag has been cleared since.
 *
 * Sets @now to the entry that a walk finds, whose perm is IOMMU_NONE if there
 * is no translation.
 */
static bool differs(SMMUState *bs, const SMMUTransCfg *cfg, dma_addr_t iova,
                    const SMMUTLBEntry *hit, SMMUTLBEntry *now)
{
    const SMMURequest req = { .fresh = true };
    SMMUTransCfg fresh = *cfg;
    SMMUPTWEventInfo info = {};

    fresh.req = &req;
    fresh.affd = true;
    *now = (SMMUTLBEntry) {};

    return smmu_ptw(bs, &fresh, iova, IOMMU_NONE, now, &info) ||
           CACHED_ENTRY_TO_ADDR(hit, iova) != CACHED_ENTRY_TO_ADDR(now, iova) ||
           (hit->entry.perm & ~now->entry.perm) ||
           (cfg->s2cfg.vmid != SMMU_TAG_EL2 && (hit->ap & ~now->ap & 0x1));
}

/*
 * The part of an entry that was found to differ may be the same again. One that
 * never did says nothing about it.
 */
static void check_again(SMMUState *bs, const SMMUTransCfg *cfg,
                        SMMUTLBEntry *entry)
{
    SMMUTLBEntry now;

    if (entry->differs_ns &&
        !differs(bs, cfg, entry->differs_at, entry, &now)) {
        entry->differs_ns = 0;
    }
}

/**
 * smmu_strict_check_hit - compare a TLB hit with the tables in memory
 * @bs: SMMU state which includes the TLB
 * @cfg: translation config
 * @iova: address that hit
 * @hit: the entry it hit
 */
void smmu_strict_check_hit(SMMUState *bs, SMMUTransCfg *cfg, dma_addr_t iova,
                           SMMUTLBEntry *hit)
{
    SMMUTLBEntry now;

    if (cfg->stage != SMMU_STAGE_1) {
        return;
    }
    check_again(bs, cfg, hit);
    if (differs(bs, cfg, iova, hit, &now)) {
        count_stale(bs, hit, iova);
        trace_smmu_strict_stale(cfg->asid, cfg->s2cfg.vmid, iova,
                                CACHED_ENTRY_TO_ADDR(hit, iova),
                                hit->entry.perm, now.entry.perm);
    }
}

/* Is the descriptor of a table at @level still what a walk to there finds? */
static bool table_differs(SMMUTransCfg *cfg, const SMMUTLBEntry *entry)
{
    SMMUTransTableInfo *tt = select_tt(cfg, entry->entry.iova);
    int granule_sz = tt->granule_sz, stride = VMSA_STRIDE(granule_sz);
    int inputsize = 64 - tt->tsz, level = 4 - (inputsize - 4) / stride;
    dma_addr_t base = extract64(tt->ttb, 0, cfg->oas) &
                      ~VMSA_IDXMSK(inputsize, stride, level);
    uint64_t pte;

    for (; level <= entry->level; level++) {
        uint32_t offset = iova_level_offset(entry->entry.iova, inputsize,
                                            level, granule_sz);

        if (ldq_le_dma(&address_space_memory, base + offset * sizeof(pte),
                       &pte, MEMTXATTRS_UNSPECIFIED) != MEMTX_OK ||
            !is_table_pte(pte, level)) {
            return true;
        }
        base = PTE_ADDRESS(pte, granule_sz);
    }
    return (pte ^ entry->table_desc) & TABLE_DESC_USED;
}

/* The context that an entry belongs to; NULL if there is none any more */
static SMMUTransCfg *context_of(GArray *contexts, const SMMUIOTLBKey *key,
                                const SMMUTLBEntry *entry)
{
    int i;

    for (i = 0; i < contexts->len; i++) {
        SMMUTransCfg *cfg = &g_array_index(contexts, SMMUTransCfg, i);
        SMMUTransTableInfo *tt;

        if (cfg->asid != key->asid || cfg->s2cfg.vmid != key->vmid) {
            continue;
        }
        tt = select_tt(cfg, key->iova);
        if (tt && !tt->disabled && tt->ttb == entry->ttb &&
            tt->tsz == entry->tsz && tt->granule_sz == entry->granule) {
            return cfg;
        }
    }
    return NULL;
}

static bool leaf_differs(SMMUState *bs, SMMUTransCfg *cfg,
                         SMMUTLBEntry *entry, uint32_t *walks)
{
    uint64_t offset = 0;
    SMMUTLBEntry now;

    check_again(bs, cfg, entry);
    /* A block may have become a table of smaller ones */
    while (offset <= entry->entry.addr_mask) {
        if ((*walks)++ >= AUDIT_WALKS ||
            differs(bs, cfg, entry->entry.iova + offset, entry, &now)) {
            if (!entry->differs_ns) {
                entry->differs_at = entry->entry.iova + offset;
            }
            return true;
        }
        offset = (offset | now.entry.addr_mask) + 1;
    }
    return false;
}

/**
 * smmu_strict_audit - compare the TLB with the tables in memory
 * @bs: SMMU state which includes the TLB
 * @contexts: SMMUTransCfg of all stage-1 contexts that exist now
 * @leaves: number of translations that memory contradicts (out)
 * @tables: number of table descriptors that it contradicts (out)
 */
void smmu_strict_audit(SMMUState *bs, GArray *contexts, uint64_t *leaves,
                       uint64_t *tables)
{
    GHashTableIter iter;
    SMMUTLBEntry *entry;
    SMMUIOTLBKey *key;
    uint32_t walks = 0;

    *leaves = 0;
    *tables = 0;

    g_hash_table_iter_init(&iter, bs->iotlb);
    while (g_hash_table_iter_next(&iter, (void **)&key, (void **)&entry)) {
        SMMUTransCfg *cfg;

        if (!entry->tsz) {
            continue;
        }
        cfg = context_of(contexts, key, entry);
        if (cfg && !(key->table ? table_differs(cfg, entry) :
                                  leaf_differs(bs, cfg, entry, &walks))) {
            continue;
        }
        *(key->table ? tables : leaves) += 1;
        if (!cfg && !entry->differs_ns) {
            entry->differs_at = entry->entry.iova;
        }
        smmu_strict_is_late(bs, &entry->differs_ns);
        trace_smmu_strict_left(key->asid, key->vmid, key->iova, key->level,
                               key->table, cfg != NULL);
    }
}

/**
 * smmu_strict_inv_page - invalidate one page of an address space
 * @bs: SMMU state which includes the TLB
 * @info: what to invalidate; a page of 4KB if the granule is not given
 *
 * Probes for the entries that may exist, as a TLB that never evicts is too
 * large to be searched for every page of an unmap.
 */
void smmu_strict_inv_page(SMMUState *bs, const SMMUIOTLBPageInvInfo *info)
{
    int tg, level;

    for (tg = 1; tg <= 3; tg++) {
        if (info->tg && info->tg != tg) {
            continue;
        }
        for (level = 0; level < VMSA_LEVELS; level++) {
            uint64_t iova = info->iova & level_page_mask(level, tg * 2 + 10);
            SMMUIOTLBKey key = smmu_get_iotlb_key(info->asid, info->vmid, iova,
                                                  tg, level);

            if (!info->ttl || info->ttl == level) {
                g_hash_table_remove(bs->iotlb, &key);
            }
            if (!info->leaf) {
                key.table = true;
                g_hash_table_remove(bs->iotlb, &key);
            }
        }
    }
}
