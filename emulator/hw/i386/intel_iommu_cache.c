/*
 * VT-d: what hardware may still hold
 *
 * An IOMMU that forgets early hides the invalidation that software forgot. So
 * these caches keep everything until they are told otherwise: they grow rather
 * than evict, to a size that is there only to save the host from a guest that
 * never invalidates. What is not present, or wrong, is never held (CAP.CM is
 * 0), but the tables on the way to it are: an entry of the paging-structure
 * cache outlives a walk that ends in a fault.
 *
 * Tags are those of VT-d 6.2: context entries by SID, PASID-table entries by
 * SID, PASID and domain id, first-stage translations and tables by PASID and
 * domain id, second-stage ones by domain id. PASID-directory entries are held,
 * too, by SID and the PASIDs below them, and have no domain id: no invalidation
 * that selects by one is sure to be of them.
 *
 * What may be fetched is, whether or not a request asks for it: on a miss also
 * present neighbours of a PASID-directory or PASID-table entry, and of a page's
 * entry those in the same 64 bytes that have their Accessed bit set. Which ones
 * is seeded by x-seed. A PASID-table entry is read in pieces of 64 bits. One
 * that is held may have been evicted, and its pieces read again, while software
 * changed them (VT-d 6.5.3.3 has software clear P and invalidate first). What
 * is not present when it begins to be read is not held, so that one that is
 * made present last is always read whole. While one that is held differs from
 * memory, what came of it may have been evicted from the other caches: a
 * request walks from the root that was read.
 *
 * Each hit is compared with memory. A hit that grants more than memory does,
 * or something else, is counted as stale. While software is between changing
 * an entry and the completion of its invalidation such a hit is legitimate, so
 * the count means something only where no DMA runs concurrently with that.
 * It is counted as late, too, if a wait descriptor has completed that was fetched
 * a second after the entry was first found to differ: that one should have ended
 * the use of the entry.
 *
 * All but invalidations are called with the lock of the caches held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "trace.h"
#include "hw/i386/pc.h"
#include "intel_iommu_sva.h"

#define CE_P        1ULL
#define CE_PDTS(ce) extract64((ce)->val[0], 9, 3)
#define PDIRE_RSVD  0xffcULL

typedef struct VTDTag {
    uint16_t did;
    bool fs;
    uint32_t pasid;
    uint8_t level;
    uint64_t addr;
} VTDTag;

typedef struct VTDEntry {
    VTDTag tag;
    VTDMapping mapping;
    VTDSpace space;         /* it was filled from */
    hwaddr addr;            /* that was asked for; the tag has the page's */
    int64_t differs_ns;     /* when memory was found to differ, or 0; */
    hwaddr differs_at;      /* for this address */
} VTDEntry;

typedef struct VTDHeldContext {
    VTDContextEntry ce;
    int64_t differs_ns;     /* as above */
} VTDHeldContext;

typedef struct VTDHeldDir {
    uint64_t pdire;
    int64_t differs_ns;
} VTDHeldDir;

typedef struct VTDRange {
    VTDTag first, last;
} VTDRange;

/* Context, PASID-directory and PASID-table entries held at most, of each */
#define MAX_CONFIG 65536

/*
 * In order of what an invalidation selects by, most significant first: so it is
 * of a few ranges, and what is not in them need not be looked at.
 */
static gint tag_compare(gconstpointer v1, gconstpointer v2, gpointer opaque)
{
    const VTDTag *a = v1, *b = v2;

    if (a->did != b->did) {
        return a->did < b->did ? -1 : 1;
    }
    if (a->fs != b->fs) {
        return a->fs < b->fs ? -1 : 1;
    }
    if (a->pasid != b->pasid) {
        return a->pasid < b->pasid ? -1 : 1;
    }
    if (a->level != b->level) {
        return a->level < b->level ? -1 : 1;
    }
    if (a->addr != b->addr) {
        return a->addr < b->addr ? -1 : 1;
    }
    return 0;
}

static uint64_t level_mask(uint8_t level)
{
    return ~0ULL << (12 + (level - 1) * VTD_LEVEL_BITS);
}

static VTDTag make_tag(const VTDSpace *space, hwaddr addr, uint8_t level)
{
    return (VTDTag) {
        .addr = addr & level_mask(level),
        .pasid = space->fs ? space->pasid : 0,
        .did = space->did,
        .level = level,
        .fs = space->fs,
    };
}

void vtd_cache_init(IntelIOMMUState *s)
{
    VTDSVA *sva = s->sva;

    qemu_mutex_init(&sva->lock);
    iommu_choice_init(&sva->prefetch_choice, s->seed, "vtd.prefetch", 0);
    iommu_choice_init(&sva->torn_choice, s->seed, "vtd.torn", 0);
    iommu_choice_init(&sva->evict_choice, s->seed, "vtd.evict", 0);
    sva->ctx = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    sva->pdires = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                        g_free);
    sva->pasids = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                        g_free);
    sva->tlb = g_tree_new_full(tag_compare, NULL, NULL, g_free);
    sva->psc = g_tree_new_full(tag_compare, NULL, NULL, g_free);
}

static void clear(GTree *tree)
{
    /* Destroying it takes away one reference, besides all entries */
    g_tree_ref(tree);
    g_tree_destroy(tree);
}

void vtd_cache_reset(IntelIOMMUState *s)
{
    QEMU_LOCK_GUARD(&s->sva->lock);

    g_hash_table_remove_all(s->sva->ctx);
    g_hash_table_remove_all(s->sva->pdires);
    g_hash_table_remove_all(s->sva->pasids);
    clear(s->sva->tlb);
    clear(s->sva->psc);
}

static void make_room(IntelIOMMUState *s, GHashTable *table)
{
    if (g_hash_table_size(table) >= MIN(s->strict_size, MAX_CONFIG)) {
        s->sva->tlb_full++;
        g_hash_table_remove_all(table);
    }
}

static void add(IntelIOMMUState *s, GTree *tree, const VTDSpace *space,
                hwaddr addr, const VTDMapping *mapping)
{
    VTDEntry *e = g_new(VTDEntry, 1);

    if (g_tree_nnodes(tree) >= s->strict_size) {
        s->sva->tlb_full++;
        clear(tree);
    }
    *e = (VTDEntry) {
        .tag = make_tag(space, addr, mapping->level),
        .mapping = *mapping,
        .space = *space,
        .addr = addr,
    };
    g_tree_replace(tree, &e->tag, e);
}

static VTDEntry *lookup(GTree *tree, const VTDSpace *space, hwaddr addr,
                        uint8_t level)
{
    VTDTag tag = make_tag(space, addr, level);

    return g_tree_lookup(tree, &tag);
}

/* An entry differs from memory: must software have invalidated it by now? */
static bool is_late(VTDSVA *sva, int64_t *differs_ns)
{
    if (!*differs_ns) {
        *differs_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
        return false;
    }
    return *differs_ns < sva->settled_ns;
}

static bool entry_is_late(VTDSVA *sva, VTDEntry *e, hwaddr addr)
{
    if (!e->differs_ns) {
        e->differs_at = addr;
    }
    return is_late(sva, &e->differs_ns);
}

/* Of a large page another part may differ still */
static void entry_is_same(VTDEntry *e, hwaddr addr)
{
    if (!((e->differs_at ^ addr) >> 12)) {
        e->differs_ns = 0;
    }
}

/* Context entries */

static int read_context(IntelIOMMUState *s, const VTDRequest *req,
                        VTDContextEntry *ce)
{
    uint64_t root[2], table;
    int i;

    if (!vtd_walk_read(s->root + (req->sid >> 8) * sizeof(root), root,
                       sizeof(root))) {
        return VTD_FR_SM_ROOT_ACCESS;
    }
    table = le64_to_cpu(root[extract32(req->sid, 7, 1)]);
    if (!(table & VTD_ROOT_ENTRY_P)) {
        return VTD_FR_SM_ROOT_P;
    }
    if (table & VTD_ROOT_ENTRY_RSVD(s->aw_bits)) {
        return VTD_FR_SM_ROOT_RSVD;
    }

    table &= VTD_ROOT_ENTRY_CTP;
    if (!vtd_walk_read(table + (req->sid & 0x7f) * VTD_CTX_ENTRY_SCALABLE_SIZE,
                       ce, VTD_CTX_ENTRY_SCALABLE_SIZE)) {
        return VTD_FR_SM_CE_ACCESS;
    }
    for (i = 0; i < ARRAY_SIZE(ce->val); i++) {
        le64_to_cpus(&ce->val[i]);
    }
    if (!(ce->lo & CE_P)) {
        return VTD_FR_SM_CE_P;
    }
    if ((ce->val[0] & VTD_SM_CONTEXT_ENTRY_RSVD_VAL0(s->aw_bits)) ||
        (ce->val[1] & VTD_SM_CONTEXT_ENTRY_RSVD_VAL1) || ce->val[2] ||
        ce->val[3]) {
        return VTD_FR_SM_CE_RSVD;
    }
    return 0;
}

/**
 * vtd_cache_context - find the context entry of a request
 * @s: IOMMU
 * @req: the request
 * @ce: the entry (out)
 *
 * Return: 0, or a fault reason
 */
int vtd_cache_context(IntelIOMMUState *s, const VTDRequest *req,
                      VTDContextEntry *ce)
{
    VTDSVA *sva = s->sva;
    VTDHeldContext now = {}, *hit = NULL;
    int ret;

    if (!req->fresh) {
        hit = g_hash_table_lookup(sva->ctx, GUINT_TO_POINTER(req->sid));
    }
    if (hit && req->silent) {
        *ce = hit->ce;
        return 0;
    }
    ret = read_context(s, req, &now.ce);
    if (!hit) {
        *ce = now.ce;
        if (!req->fresh) {
            sva->ctx_miss += !req->silent;
            if (!ret) {
                make_room(s, sva->ctx);
                g_hash_table_replace(sva->ctx, GUINT_TO_POINTER(req->sid),
                                     g_memdup2(&now, sizeof(now)));
            }
        }
        return ret;
    }

    sva->ctx_hit++;
    if (ret || memcmp(&hit->ce, &now.ce, sizeof(now.ce))) {
        sva->stale_cfg++;
        sva->late_cfg += is_late(sva, &hit->differs_ns);
        trace_vtd_sva_stale_cfg("context entry", req->sid, 0);
    } else {
        hit->differs_ns = 0;
    }
    *ce = hit->ce;
    return 0;
}

/* PASID-table entries */

typedef struct VTDHeldPASID {
    VTDPASIDEntry pe;
    uint64_t at;            /* where it is in memory */
    bool fpd;               /* there, or in the directory */
    int64_t differs_ns;     /* when memory was found to differ, or 0 */
} VTDHeldPASID;

static uint64_t pasid_key(uint16_t sid, uint32_t pasid)
{
    return (uint64_t)sid << 32 | pasid;
}

/**
 * vtd_cache_held_pasid - look up a PASID-table entry, and leave no trace
 * @s: IOMMU
 * @sid: requester ID that it is for
 * @pasid: the PASID
 *
 * Return: the entry, or NULL
 */
const VTDPASIDEntry *vtd_cache_held_pasid(IntelIOMMUState *s, uint16_t sid,
                                          uint32_t pasid)
{
    uint64_t key = pasid_key(sid, pasid);
    const VTDHeldPASID *hit = g_hash_table_lookup(s->sva->pasids, &key);

    return hit ? &hit->pe : NULL;
}

static bool prefetches(IntelIOMMUState *s)
{
    return s->strict && (s->wild & VTD_WILD_PREFETCH);
}

static bool is_prefetched(VTDSVA *sva)
{
    return iommu_choice_below(&sva->prefetch_choice, 2);
}

static void hold(IntelIOMMUState *s, GHashTable *table, uint64_t key,
                 const void *entry, size_t size)
{
    make_room(s, table);
    g_hash_table_replace(table, g_memdup2(&key, sizeof(key)),
                         g_memdup2(entry, size));
}

static int read_pdire(IntelIOMMUState *s, uint32_t pasid,
                      const VTDContextEntry *ce, uint64_t *pdire)
{
    uint64_t dir = ce->val[0] & VTD_PASID_DIR_BASE_ADDR_MASK;

    if (!vtd_walk_read(dir + (pasid >> 6) * sizeof(*pdire), pdire,
                       sizeof(*pdire))) {
        return VTD_FR_PASID_DIR_ACCESS_ERR;
    }
    le64_to_cpus(pdire);
    if (!(*pdire & 1)) {
        return VTD_FR_PASID_DIR_ENTRY_P;
    }
    if ((*pdire & PDIRE_RSVD) || *pdire >> s->aw_bits) {
        return VTD_FR_SM_PDIRE_RSVD;
    }
    return 0;
}

/* Neighbours of a directory entry, in the same 64 bytes */
static void prefetch_pdires(IntelIOMMUState *s, uint16_t sid, uint32_t pasid,
                            const VTDContextEntry *ce)
{
    VTDSVA *sva = s->sva;
    uint32_t first = pasid >> 6 & ~7u, i;
    VTDHeldDir now = {};
    uint64_t key;

    for (i = first; prefetches(s) && i < first + 8; i++) {
        key = pasid_key(sid, i);
        if (i != pasid >> 6 && !read_pdire(s, i << 6, ce, &now.pdire) &&
            !g_hash_table_contains(sva->pdires, &key) && is_prefetched(sva)) {
            hold(s, sva->pdires, key, &now, sizeof(now));
        }
    }
}

/* As it is in memory, or as it was when it was found present */
static int find_pdire(IntelIOMMUState *s, const VTDRequest *req,
                      uint32_t pasid, const VTDContextEntry *ce,
                      uint64_t *pdire)
{
    VTDSVA *sva = s->sva;
    uint64_t key = pasid_key(req->sid, pasid >> 6);
    VTDHeldDir now = {}, *hit;
    int ret = read_pdire(s, pasid, ce, &now.pdire);

    if (req->fresh) {
        *pdire = now.pdire;
        return ret;
    }

    hit = g_hash_table_lookup(sva->pdires, &key);
    if (!hit) {
        *pdire = now.pdire;
        if (!ret) {
            hold(s, sva->pdires, key, &now, sizeof(now));
            prefetch_pdires(s, req->sid, pasid, ce);
        }
        return ret;
    }

    if (!ret && hit->pdire == now.pdire) {
        hit->differs_ns = 0;
    } else if (!req->silent) {
        sva->stale_cfg++;
        sva->late_cfg += is_late(sva, &hit->differs_ns);
        trace_vtd_sva_stale_cfg("PASID directory entry", req->sid, pasid);
    }
    *pdire = hit->pdire;
    return 0;
}

static int read_pasid(uint64_t pdire, uint32_t pasid, VTDHeldPASID *held)
{
    VTDPASIDEntry *pe = &held->pe;
    int i;

    held->at = (pdire & VTD_PASID_TABLE_BASE_ADDR_MASK) +
               (pasid & 63) * sizeof(*pe);
    if (!vtd_walk_read(held->at, pe, sizeof(*pe))) {
        return VTD_FR_PASID_TABLE_ACCESS_ERR;
    }
    for (i = 0; i < ARRAY_SIZE(pe->val); i++) {
        le64_to_cpus(&pe->val[i]);
    }
    held->fpd |= !!(pe->val[0] & VTD_PASID_ENTRY_FPD);
    return pe->val[0] & VTD_PASID_ENTRY_P ? 0 : VTD_FR_PASID_ENTRY_P;
}

/* Neighbours of a PASID-table entry, in the same table */
static void prefetch_pasids(IntelIOMMUState *s, uint16_t sid, uint32_t pasid,
                            uint64_t pdire)
{
    VTDSVA *sva = s->sva;
    uint32_t first = pasid & ~63u, i;
    VTDHeldPASID now;
    VTDSpace space;
    uint64_t key;

    for (i = first; prefetches(s) && i < first + 64; i++) {
        key = pasid_key(sid, i);
        now = (VTDHeldPASID) { .fpd = pdire & VTD_PASID_DIR_FPD };
        if (i != pasid && !read_pasid(pdire, i, &now) &&
            !vtd_sva_decode_pasid(s, i, &now.pe, &space) &&
            !g_hash_table_contains(sva->pasids, &key) && is_prefetched(sva)) {
            hold(s, sva->pasids, key, &now, sizeof(now));
            sva->pasid_ahead++;
        }
    }
}

/*
 * Is what is held read again? @now is what memory has. Some of its pieces
 * become those that are held: these were read before software changed them.
 */
static bool reread(IntelIOMMUState *s, const VTDHeldPASID *held,
                   VTDHeldPASID *now)
{
    VTDSVA *sva = s->sva;
    int i;

    if (!s->strict || !(s->wild & VTD_WILD_TORN) || now->at != held->at ||
        iommu_choice_below(&sva->torn_choice, 4)) {
        return false;
    }
    for (i = 0; i < ARRAY_SIZE(now->pe.val); i++) {
        if (now->pe.val[i] != held->pe.val[i] &&
            iommu_choice_below(&sva->torn_choice, 2)) {
            now->pe.val[i] = held->pe.val[i];
        }
    }
    sva->pasid_torn++;
    return true;
}

/* Has what came of an entry that software changes been evicted? */
static bool is_evicted(IntelIOMMUState *s)
{
    return s->strict && (s->wild & VTD_WILD_EVICT) &&
           iommu_choice_below(&s->sva->evict_choice, 2);
}

/* See stores to the tables that have been used */
static void watch(IntelIOMMUState *s, const VTDRequest *req, uint32_t pasid,
                  const VTDContextEntry *ce, uint64_t pdire)
{
    uint32_t first = pasid & ~((VTD_PAGE_SIZE / 8 << 6) - 1);

    if (!req->silent) {
        vtd_watch_page(s, req->sid,
                       (ce->val[0] & VTD_PASID_DIR_BASE_ADDR_MASK) +
                       (first >> 6) * sizeof(pdire), true, first);
        vtd_watch_page(s, req->sid, pdire & VTD_PASID_TABLE_BASE_ADDR_MASK,
                       false, pasid & ~63u);
    }
}

/**
 * vtd_cache_pasid - find the PASID-table entry of a request
 * @s: IOMMU
 * @req: the request
 * @pasid: its PASID, or the one that stands for none
 * @ce: its context entry
 * @space: what the entry says (out)
 * @fpd: set if faults are not to be recorded (in, out)
 *
 * Return: 0, or a fault reason
 */
int vtd_cache_pasid(IntelIOMMUState *s, const VTDRequest *req, uint32_t pasid,
                    const VTDContextEntry *ce, VTDSpace *space, bool *fpd)
{
    VTDSVA *sva = s->sva;
    uint64_t key = pasid_key(req->sid, pasid);
    VTDHeldPASID now = {}, *hit = NULL;
    uint64_t pdire = 0;
    bool evicted = false;
    int ret;

    if (pasid >> (CE_PDTS(ce) + 7 + 6)) {
        return req->pasid == PCI_NO_PASID ? VTD_FR_SM_RID_PASID :
                                            VTD_FR_SM_PASID_BOUND;
    }

    if (!req->fresh) {
        hit = g_hash_table_lookup(sva->pasids, &key);
    }
    if (hit && req->silent) {
        *fpd |= hit->fpd;
        return vtd_sva_decode_pasid(s, pasid, &hit->pe, space);
    }
    /* What is held itself needs no directory */
    ret = hit ? read_pdire(s, pasid, ce, &pdire) :
                find_pdire(s, req, pasid, ce, &pdire);
    now.fpd = pdire & VTD_PASID_DIR_FPD;
    if (!ret) {
        ret = read_pasid(pdire, pasid, &now);
    }
    if (!hit) {
        if (!ret) {
            ret = vtd_sva_decode_pasid(s, pasid, &now.pe, space);
        }
        *fpd |= now.fpd;
        if (!req->fresh) {
            sva->pasid_miss += !req->silent;
            if (!ret) {
                hold(s, sva->pasids, key, &now, sizeof(now));
                prefetch_pasids(s, req->sid, pasid, pdire);
                watch(s, req, pasid, ce, pdire);
            }
        }
        return ret;
    }

    sva->pasid_hit++;
    if (ret || memcmp(&hit->pe, &now.pe, sizeof(now.pe))) {
        sva->stale_cfg++;
        sva->late_cfg += is_late(sva, &hit->differs_ns);
        now.differs_ns = hit->differs_ns;
        trace_vtd_sva_stale_cfg("PASID entry", req->sid, pasid);
        evicted = is_evicted(s);
        if ((!ret || ret == VTD_FR_PASID_ENTRY_P) && reread(s, hit, &now)) {
            *fpd |= now.pe.val[0] & VTD_PASID_ENTRY_FPD;
            ret = now.pe.val[0] & VTD_PASID_ENTRY_P ?
                  vtd_sva_decode_pasid(s, pasid, &now.pe, space) :
                  VTD_FR_PASID_ENTRY_P;
            if (ret) {
                g_hash_table_remove(sva->pasids, &key);
            } else {
                hold(s, sva->pasids, key, &now, sizeof(now));
            }
            space->evicted = evicted;
            return ret;
        }
    } else {
        hit->differs_ns = 0;
    }
    *fpd |= hit->fpd;
    ret = vtd_sva_decode_pasid(s, pasid, &hit->pe, space);
    space->evicted = evicted;
    return ret;
}

/* Translations and tables */

static bool grants_more(const VTDAccess *a, const VTDAccess *than)
{
    return (a->r && !than->r) || (a->w && !than->w) || (a->us && !than->us) ||
           (!a->nx && than->nx);
}

/* Does memory grant, as @now, what @held does for @addr? */
static bool is_granted(const VTDMapping *held, const VTDMapping *now,
                       hwaddr addr)
{
    return held->addr + (addr & ~level_mask(held->level)) ==
           now->addr + (addr & ~level_mask(now->level)) &&
           !grants_more(&held->access, &now->access);
}

/*
 * If software has seen it clean, it would lose what is written. A large page
 * that is split may have clean pages, with nothing invalidated: software has
 * taken the Dirty bit of the large one for all of them.
 */
static bool is_still_dirty(const VTDMapping *held, const VTDMapping *now)
{
    return !held->dirty || !held->access.w || now->dirty ||
           now->level < held->level;
}

/* Does memory grant what @e does for @addr, with the same Dirty bit? */
static bool entry_is_right(IntelIOMMUState *s, const VTDRequest *req,
                           const VTDSpace *space, const VTDEntry *e,
                           hwaddr addr, bool *granted)
{
    VTDRequest fresh = *req;
    VTDMapping now;

    fresh.fresh = true;
    fresh.addr = addr;
    *granted = !vtd_walk(s, &fresh, space, &now) &&
               is_granted(&e->mapping, &now, addr);
    return *granted && is_still_dirty(&e->mapping, &now);
}

static void check_tlb_hit(IntelIOMMUState *s, const VTDRequest *req,
                          const VTDSpace *space, VTDEntry *e)
{
    VTDSVA *sva = s->sva;
    bool granted, other, late;

    if (entry_is_right(s, req, space, e, req->addr, &granted)) {
        entry_is_same(e, req->addr);
        return;
    }
    /* Another page may be as it was again: time begins with this one then */
    if (e->differs_ns && (e->differs_at ^ req->addr) >> 12 &&
        entry_is_right(s, req, space, e, e->differs_at, &other)) {
        e->differs_ns = 0;
    }
    late = entry_is_late(sva, e, req->addr);
    if (granted && !req->write) {
        return;
    }
    sva->stale_tlb++;
    sva->late_tlb += late;
    trace_vtd_sva_stale_tlb(space->did, space->pasid, req->addr,
                            e->mapping.addr);
}

/**
 * vtd_cache_tlb_find - look up a translation
 * @s: IOMMU
 * @req: the request
 * @space: tags of the translation
 *
 * An entry that does not grant what the request wants, or would need its Dirty
 * bit set first, is no hit: hardware walks again.
 *
 * Return: the entry, or NULL
 */
const VTDMapping *vtd_cache_tlb_find(IntelIOMMUState *s, const VTDRequest *req,
                                     const VTDSpace *space)
{
    VTDEntry *hit;
    uint8_t level;

    for (level = 1; level <= 3 && !space->evicted; level++) {
        hit = lookup(s->sva->tlb, space, req->addr, level);
        if (hit && !vtd_walk_check(req, space, &hit->mapping.access) &&
            (!req->write || hit->mapping.dirty)) {
            if (!req->silent) {
                s->sva->tlb_hit++;
                check_tlb_hit(s, req, space, hit);
            }
            return &hit->mapping;
        }
    }
    s->sva->tlb_miss += !req->silent;
    return NULL;
}

static gint in_range(gconstpointer key, gconstpointer opaque);

/* Is there a translation of another size for some of the same addresses? */
static bool conflicts(IntelIOMMUState *s, const VTDSpace *space, hwaddr addr,
                      uint8_t level)
{
    VTDRange range;
    uint8_t l;

    for (l = 1; l <= 3; l++) {
        range.first = make_tag(space, addr & level_mask(level), l);
        range.last = make_tag(space, addr | ~level_mask(level), l);
        if (l != level && g_tree_search(s->sva->tlb, in_range, &range)) {
            return true;
        }
    }
    return false;
}

/*
 * VT-d 6.2.4 leaves open which of two translations of one address is used, so
 * software that changes the size of a page invalidates in between.
 */
void vtd_cache_tlb_add(IntelIOMMUState *s, const VTDSpace *space, hwaddr addr,
                       const VTDMapping *mapping)
{
    if (conflicts(s, space, addr, mapping->level)) {
        s->sva->conflict_tlb++;
    }
    add(s, s->sva->tlb, space, addr, mapping);
}

/**
 * vtd_cache_tlb_prefetch - fetch neighbours of a page that a walk has found
 * @s: IOMMU
 * @req: the request that walked
 * @space: the tables
 * @mapping: the page
 */
void vtd_cache_tlb_prefetch(IntelIOMMUState *s, const VTDRequest *req,
                            const VTDSpace *space, const VTDMapping *mapping)
{
    VTDSVA *sva = s->sva;
    VTDRequest near = *req;
    VTDMapping now;
    uint64_t i;

    if (!prefetches(s) || mapping->level != 1) {
        return;
    }
    near.silent = true;
    near.write = false;
    for (i = 0; i < 8; i++) {
        near.addr = (req->addr & level_mask(1) & ~(7ULL << 12)) | i << 12;
        if ((near.addr ^ req->addr) >> 12 && is_prefetched(sva) &&
            !lookup(sva->tlb, space, near.addr, 1) &&
            !vtd_walk(s, &near, space, &now) && now.level == 1 &&
            !vtd_is_msi_addr(now.addr, ~level_mask(1))) {
            vtd_cache_tlb_add(s, space, near.addr, &now);
            sva->tlb_ahead++;
        }
    }
}

/* Where a walk of memory as it is would be at @level: as a table entry */
static bool walk_to(IntelIOMMUState *s, const VTDRequest *req,
                    const VTDSpace *space, uint8_t level, VTDMapping *now)
{
    uint64_t table = space->root, pte;
    uint8_t l;

    now->access = (VTDAccess) { .r = true, .w = true, .us = true };

    for (l = space->levels; l >= level; l--) {
        if (!vtd_walk_read(table + extract64(req->addr,
                                             12 + (l - 1) * VTD_LEVEL_BITS,
                                             VTD_LEVEL_BITS) * sizeof(pte),
                           &pte, sizeof(pte))) {
            return false;
        }
        le64_to_cpus(&pte);
        if (!(pte & (space->fs ? VTD_FL_P : VTD_SL_RW_MASK)) ||
            (pte & VTD_PT_PAGE_SIZE_MASK)) {
            return false;
        }
        if (space->fs) {
            now->access.w &= !!(pte & VTD_FL_RW);
            now->access.us &= !!(pte & VTD_FL_US);
            now->access.nx |= space->nxe && (pte >> 63);
        } else {
            now->access.r &= !!(pte & VTD_SL_R);
            now->access.w &= !!(pte & VTD_SL_W);
        }
        table = pte & VTD_PT_BASE_ADDR_MASK(s->aw_bits);
    }
    now->addr = table;
    return true;
}

/**
 * vtd_cache_psc_find - look up the lowest table on the way to an address
 * @s: IOMMU
 * @req: the request
 * @space: tags of the table
 *
 * Return: the entry that points to it, or NULL
 */
const VTDMapping *vtd_cache_psc_find(IntelIOMMUState *s, const VTDRequest *req,
                                     const VTDSpace *space)
{
    VTDSVA *sva = s->sva;
    VTDMapping now, *hit;
    uint8_t level;
    VTDEntry *e;

    if (req->fresh || space->evicted) {
        return NULL;
    }

    for (level = 2; level <= space->levels; level++) {
        e = lookup(sva->psc, space, req->addr, level);
        if (!e) {
            continue;
        }
        hit = &e->mapping;
        if (req->silent) {
            return hit;
        }
        sva->psc_hit++;
        if (!walk_to(s, req, space, level, &now) || now.addr != hit->addr ||
            grants_more(&hit->access, &now.access)) {
            sva->stale_psc++;
            sva->late_tlb += is_late(sva, &e->differs_ns);
            trace_vtd_sva_stale_psc(space->did, space->pasid, req->addr, level,
                                    hit->addr);
        } else {
            e->differs_ns = 0;
        }
        return hit;
    }
    sva->psc_miss += !req->silent;
    return NULL;
}

void vtd_cache_psc_add(IntelIOMMUState *s, const VTDSpace *space, hwaddr addr,
                       const VTDMapping *mapping)
{
    add(s, s->sva->psc, space, addr, mapping);
}

/* Invalidation */

static gboolean is_sid(gpointer key, gpointer value, gpointer opaque)
{
    const VTDInval *inv = opaque;

    return !((GPOINTER_TO_UINT(key) ^ inv->sid) & inv->sid_mask);
}

static gboolean is_pdire(gpointer key, gpointer value, gpointer opaque)
{
    return is_sid(GUINT_TO_POINTER(*(uint64_t *)key >> 32), value, opaque);
}

static gboolean is_pasid(gpointer key, gpointer value, gpointer opaque)
{
    const VTDInval *inv = opaque;
    const VTDHeldPASID *held = value;

    return VTD_SM_PASID_ENTRY_DID(held->pe.val[1]) == inv->did &&
           (inv->kind == VTD_INVAL_PASID_DID ||
            (uint32_t)*(uint64_t *)key == inv->pasid);
}

static gint in_range(gconstpointer key, gconstpointer opaque)
{
    const VTDRange *range = opaque;

    if (tag_compare(key, &range->first, NULL) < 0) {
        return 1;
    }
    return tag_compare(key, &range->last, NULL) > 0 ? -1 : 0;
}

static void drop_range(GTree *tree, const VTDRange *range)
{
    VTDEntry *e;

    while ((e = g_tree_search(tree, in_range, range))) {
        g_tree_remove(tree, &e->tag);
    }
}

/* All that overlaps with the pages of @inv */
static void drop_pages(GTree *tree, const VTDInval *inv, bool fs)
{
    const VTDSpace space = {
        .did = inv->did, .pasid = inv->pasid, .fs = fs,
    };
    VTDRange range;
    uint8_t level;

    for (level = 1; level <= 4; level++) {
        range.first = make_tag(&space, inv->addr, level);
        range.last = make_tag(&space, inv->addr | inv->mask, level);
        drop_range(tree, &range);
    }
}

static void drop(GTree *tree, const VTDInval *inv)
{
    VTDRange range = {
        .first = { .did = inv->did },
        .last = {
            .did = inv->did, .fs = true, .pasid = UINT32_MAX,
            .level = UINT8_MAX, .addr = UINT64_MAX,
        },
    };

    switch (inv->kind) {
    case VTD_INVAL_TLB_ALL:
        clear(tree);
        break;
    case VTD_INVAL_TLB_DID:
        drop_range(tree, &range);
        break;
    case VTD_INVAL_TLB_PAGES:
        drop_pages(tree, inv, false);
        range.first.fs = true;
        drop_range(tree, &range);
        break;
    case VTD_INVAL_PTLB_ALL:
        range.first.fs = true;
        range.first.pasid = inv->pasid;
        range.last.pasid = inv->pasid;
        drop_range(tree, &range);
        break;
    case VTD_INVAL_PTLB_PAGES:
        drop_pages(tree, inv, true);
        break;
    default:
        g_assert_not_reached();
    }
}

/* A search for translations that memory does not grant */
typedef struct VTDSearch {
    IntelIOMMUState *s;
    VTDTag tags;            /* of no level and address */
    const VTDSpace *now;
    uint64_t addr, mask;
    GArray *found;
} VTDSearch;

static void check_stale(const VTDSearch *search, const VTDEntry *e)
{
    const VTDRequest req = { .addr = e->addr, .fresh = true };
    const VTDPages pages = {
        .addr = e->tag.addr, .mask = ~level_mask(e->tag.level),
    };
    VTDMapping now;

    if (!search->now || search->now->root != e->space.root ||
        vtd_walk(search->s, &req, search->now, &now) ||
        !is_granted(&e->mapping, &now, req.addr)) {
        g_array_append_val(search->found, pages);
    }
}

static gboolean search_entry(gpointer key, gpointer value, gpointer opaque)
{
    const VTDSearch *search = opaque;
    const VTDEntry *e = value;
    VTDTag tags = e->tag;

    tags.level = 0;
    tags.addr = 0;
    if (!tag_compare(&tags, &search->tags, NULL) &&
        !((e->tag.addr ^ search->addr) & level_mask(e->tag.level) &
          ~search->mask)) {
        check_stale(search, e);
    }
    return FALSE;
}

/* A range of more pages has all entries looked at */
#define SEARCH_PAGES 64

/**
 * vtd_cache_find_stale - find translations that memory does not grant
 * @s: IOMMU
 * @held: tags of the translations
 * @now: the tables that these tags stand for in memory, or NULL for none
 * @addr: of these pages
 * @mask: bits that the address may differ in
 * @found: VTDPages of each, maybe more than once (out)
 */
void vtd_cache_find_stale(IntelIOMMUState *s, const VTDSpace *held,
                          const VTDSpace *now, uint64_t addr, uint64_t mask,
                          GArray *found)
{
    VTDSearch search = {
        .s = s, .tags = make_tag(held, 0, 0), .now = now,
        .addr = addr, .mask = mask, .found = found,
    };
    uint64_t page;
    uint8_t level;
    VTDTag tag;
    VTDEntry *e;

    QEMU_LOCK_GUARD(&s->sva->lock);

    if (mask >> 12 >= SEARCH_PAGES) {
        g_tree_foreach(s->sva->tlb, search_entry, &search);
        return;
    }
    for (page = 0; page <= mask; page += VTD_PAGE_SIZE) {
        for (level = 1; level <= 3; level++) {
            tag = make_tag(held, addr + page, level);
            e = g_tree_lookup(s->sva->tlb, &tag);
            if (e) {
                check_stale(&search, e);
            }
        }
    }
}

static void inval(IntelIOMMUState *s, const VTDInval *inv)
{
    VTDSVA *sva = s->sva;

    QEMU_LOCK_GUARD(&sva->lock);

    switch (inv->kind) {
    case VTD_INVAL_CTX_ALL:
        g_hash_table_remove_all(sva->ctx);
        g_hash_table_remove_all(sva->pdires);
        break;
    case VTD_INVAL_CTX_SID:
        g_hash_table_foreach_remove(sva->ctx, is_sid, (void *)inv);
        g_hash_table_foreach_remove(sva->pdires, is_pdire, (void *)inv);
        break;
    case VTD_INVAL_PASID_ALL:
        g_hash_table_remove_all(sva->pdires);
        g_hash_table_remove_all(sva->pasids);
        break;
    case VTD_INVAL_PASID_DID:
    case VTD_INVAL_PASID_ONE:
        g_hash_table_foreach_remove(sva->pasids, is_pasid, (void *)inv);
        break;
    case VTD_INVAL_TLB_ALL:
    case VTD_INVAL_TLB_DID:
    case VTD_INVAL_TLB_PAGES:
    case VTD_INVAL_PTLB_ALL:
    case VTD_INVAL_PTLB_PAGES:
        drop(sva->tlb, inv);
        if (!inv->ih) {
            drop(sva->psc, inv);
        }
        break;
    default:
        g_assert_not_reached();
    }
}

void vtd_cache_inval(IntelIOMMUState *s, const VTDInval *inv)
{
    switch (inv->kind) {
    case VTD_INVAL_DEV:
    case VTD_INVAL_DEV_PASID:
    case VTD_INVAL_DEV_GLOBAL:
        vtd_prq_notify_dev(s, inv);
        break;
    case VTD_INVAL_CTX_ALL:
    case VTD_INVAL_CTX_SID:
    case VTD_INVAL_PASID_ALL:
        inval(s, inv);
        vtd_watch_check(s);
        break;
    default:
        inval(s, inv);
        break;
    }
}

/* Fetches between stores of software */

/* Is an entry fetched after a store to it? Not often if that evicts it */
static bool is_fetched(VTDSVA *sva, bool held, uint32_t one_of)
{
    return !iommu_choice_below(&sva->prefetch_choice, held ? one_of : 2);
}

static void fetch_stored(IntelIOMMUState *s, uint16_t sid, uint32_t pasid,
                         uint64_t pdire)
{
    VTDSVA *sva = s->sva;
    VTDHeldPASID now = { .fpd = pdire & VTD_PASID_DIR_FPD }, *held;
    uint64_t key = pasid_key(sid, pasid);
    VTDSpace space;

    held = g_hash_table_lookup(sva->pasids, &key);
    if (!read_pasid(pdire, pasid, &now) &&
        !vtd_sva_decode_pasid(s, pasid, &now.pe, &space) &&
        is_fetched(sva, held && held->at == now.at, 16)) {
        hold(s, sva->pasids, key, &now, sizeof(now));
        sva->pasid_ahead++;
    }
}

/**
 * vtd_cache_pdire_stored - software has stored to a PASID-directory entry
 * @s: IOMMU
 * @sid: whose directory it is
 * @pasid: the first PASID that it is of
 *
 * It may be fetched, and the entries of its table.
 */
void vtd_cache_pdire_stored(IntelIOMMUState *s, uint16_t sid, uint32_t pasid)
{
    VTDSVA *sva = s->sva;
    uint64_t key = pasid_key(sid, pasid >> 6);
    VTDHeldDir now = {};
    VTDHeldContext *ctx;
    uint32_t i;

    QEMU_LOCK_GUARD(&sva->lock);

    ctx = g_hash_table_lookup(sva->ctx, GUINT_TO_POINTER(sid));
    if (!ctx || pasid >> (CE_PDTS(&ctx->ce) + 7 + 6) ||
        read_pdire(s, pasid, &ctx->ce, &now.pdire)) {
        return;
    }
    vtd_watch_page(s, sid, now.pdire & VTD_PASID_TABLE_BASE_ADDR_MASK, false,
                   pasid);
    if (is_fetched(sva, g_hash_table_contains(sva->pdires, &key), 4)) {
        hold(s, sva->pdires, key, &now, sizeof(now));
        for (i = 0; i < 64; i++) {
            fetch_stored(s, sid, pasid + i, now.pdire);
        }
    }
}

/**
 * vtd_cache_pasid_stored - software has stored to a PASID-table entry
 * @s: IOMMU
 * @sid: whose table it is
 * @pasid: the PASID
 *
 * If it is present now it may be fetched, whether software is done or not.
 */
void vtd_cache_pasid_stored(IntelIOMMUState *s, uint16_t sid, uint32_t pasid)
{
    VTDSVA *sva = s->sva;
    uint64_t key = pasid_key(sid, pasid >> 6), pdire;
    VTDHeldContext *ctx;
    VTDHeldDir *held;

    QEMU_LOCK_GUARD(&sva->lock);

    ctx = g_hash_table_lookup(sva->ctx, GUINT_TO_POINTER(sid));
    if (!ctx || pasid >> (CE_PDTS(&ctx->ce) + 7 + 6)) {
        return;
    }
    held = g_hash_table_lookup(sva->pdires, &key);
    if (held) {
        fetch_stored(s, sid, pasid, held->pdire);
    } else if (!read_pdire(s, pasid, &ctx->ce, &pdire)) {
        fetch_stored(s, sid, pasid, pdire);
    }
}

/**
 * vtd_cache_is_table - is a page part of the PASID tables in memory?
 * @s: IOMMU
 * @sid: whose tables
 * @page: the page
 * @dir: whether it is one of a directory
 * @pasid: the first PASID that it would be of
 */
bool vtd_cache_is_table(IntelIOMMUState *s, uint16_t sid, hwaddr page, bool dir,
                        uint32_t pasid)
{
    const VTDRequest req = { .sid = sid };
    VTDContextEntry ce;
    uint64_t pdire;

    if (read_context(s, &req, &ce) || pasid >> (CE_PDTS(&ce) + 7 + 6)) {
        return false;
    }
    if (dir) {
        return (ce.val[0] & VTD_PASID_DIR_BASE_ADDR_MASK) +
               (pasid >> 6) * sizeof(pdire) == page;
    }
    return !read_pdire(s, pasid, &ce, &pdire) &&
           (pdire & VTD_PASID_TABLE_BASE_ADDR_MASK) == page;
}

/* Audit */

/* A function that can send requests, and its context entry in memory */
typedef struct VTDFunction {
    VTDContextEntry ce;
    bool present;
} VTDFunction;

typedef struct VTDAudit {
    IntelIOMMUState *s;
    GHashTable *functions;  /* uint16 SID -> VTDFunction, plugged ones */
    GTree *spaces;          /* VTDTag of level and address 0 -> VTDEntry */
    uint32_t walks;         /* made */
    uint64_t left;
} VTDAudit;

/*
 * Of one audit: a guest with many large entries for small pages shall not use up
 * our time. What is not looked at counts.
 */
#define AUDIT_WALKS (1u << 21)

/* An entry differs from memory. Later hits on it may be late. */
static void count_left(VTDAudit *audit, bool differs, int64_t *differs_ns)
{
    if (differs) {
        audit->left++;
        is_late(audit->s->sva, differs_ns);
    }
}

/* Add the tables that the 64 PASID-table entries at @table select */
static void audit_table(VTDAudit *audit, uint64_t pdire, uint32_t pasid)
{
    VTDHeldPASID held;
    VTDEntry *e;
    VTDSpace space;
    int i;

    for (i = 0; i < 64; i++, pasid++) {
        held = (VTDHeldPASID) {};
        if (read_pasid(pdire, pasid, &held) ||
            vtd_sva_decode_pasid(audit->s, pasid, &held.pe, &space) ||
            space.pass) {
            continue;
        }
        e = g_new0(VTDEntry, 1);
        e->tag = make_tag(&space, 0, 0);
        e->space = space;
        /* Two sets of tables with the same tags are a fault of software's */
        g_tree_replace(audit->spaces, &e->tag, e);
    }
}

static void audit_function(PCIBus *bus, PCIDevice *pci, void *opaque)
{
    VTDAudit *audit = opaque;
    VTDFunction *f;
    const VTDRequest req = {
        .sid = PCI_BUILD_BDF(pci_bus_num(bus), pci->devfn),
    };
    uint64_t pdire;
    uint32_t i;

    if (!pci->enabled) {
        return;
    }
    f = g_new0(VTDFunction, 1);
    f->present = !read_context(audit->s, &req, &f->ce);
    g_hash_table_insert(audit->functions, GUINT_TO_POINTER(req.sid), f);
    if (!f->present) {
        return;
    }
    for (i = 0; i < 1u << (CE_PDTS(&f->ce) + 7); i++) {
        if (!read_pdire(audit->s, i << 6, &f->ce, &pdire)) {
            audit_table(audit, pdire, i << 6);
        }
    }
}

static void audit_bus(PCIBus *bus, void *opaque)
{
    pci_for_each_device_under_bus(bus, audit_function, opaque);
}

/* The context entry of a function as it is now; NULL: it sends no requests */
static VTDFunction *audited_function(VTDAudit *audit, uint16_t sid)
{
    return g_hash_table_lookup(audit->functions, GUINT_TO_POINTER(sid));
}

static void audit_context(gpointer key, gpointer value, gpointer opaque)
{
    VTDAudit *audit = opaque;
    VTDFunction *f = audited_function(audit, GPOINTER_TO_UINT(key));
    VTDHeldContext *held = value;

    count_left(audit, f && (!f->present ||
                            memcmp(&held->ce, &f->ce, sizeof(f->ce))),
               &held->differs_ns);
}

static void audit_pdire(gpointer key, gpointer value, gpointer opaque)
{
    VTDAudit *audit = opaque;
    uint64_t at = *(uint64_t *)key, now;
    VTDFunction *f = audited_function(audit, at >> 32);
    VTDHeldDir *held = value;

    count_left(audit, f && (!f->present ||
                            read_pdire(audit->s, (uint32_t)at << 6, &f->ce,
                                       &now) || now != held->pdire),
               &held->differs_ns);
}

static void audit_pasid(gpointer key, gpointer value, gpointer opaque)
{
    VTDAudit *audit = opaque;
    uint64_t at = *(uint64_t *)key, pdire;
    VTDFunction *f = audited_function(audit, at >> 32);
    VTDHeldPASID *held = value, now = {};

    count_left(audit, f && (!f->present ||
                            read_pdire(audit->s, at, &f->ce, &pdire) ||
                            read_pasid(pdire, at, &now) ||
                            memcmp(&held->pe, &now.pe, sizeof(now.pe))),
               &held->differs_ns);
}

/* Is there a PASID entry whose requests can hit what @e is tagged with? */
static bool is_live(VTDAudit *audit, const VTDEntry *e)
{
    VTDTag tag = make_tag(&e->space, 0, 0);
    VTDEntry *live = g_tree_lookup(audit->spaces, &tag);

    return live && live->space.root == e->space.root &&
           live->space.levels == e->space.levels;
}

/* Does memory differ from what @e has of any address? Which one is the first? */
static bool page_differs(VTDAudit *audit, const VTDEntry *e, hwaddr *at)
{
    VTDRequest req = { .fresh = true };
    hwaddr offset = 0;
    VTDMapping now;

    do {
        *at = req.addr = e->tag.addr + offset;
        if (audit->walks++ >= AUDIT_WALKS ||
            vtd_walk(audit->s, &req, &e->space, &now) ||
            !is_granted(&e->mapping, &now, req.addr) ||
            !is_still_dirty(&e->mapping, &now)) {
            return true;
        }
        /* Memory may have smaller pages there now */
        offset = (offset | ~level_mask(now.level)) + 1;
    } while (offset <= ~level_mask(e->tag.level));

    return false;
}

static gboolean audit_tlb(gpointer key, gpointer value, gpointer opaque)
{
    VTDAudit *audit = opaque;
    VTDEntry *e = value;
    hwaddr at = e->addr;

    if (!is_live(audit, e) || page_differs(audit, e, &at)) {
        audit->left++;
        entry_is_late(audit->s->sva, e, at);
    } else {
        e->differs_ns = 0;
    }
    return FALSE;
}

static gboolean audit_psc(gpointer key, gpointer value, gpointer opaque)
{
    VTDAudit *audit = opaque;
    VTDEntry *e = value;
    const VTDRequest req = { .addr = e->addr, .fresh = true };
    VTDMapping now;

    count_left(audit, !is_live(audit, e) ||
                      !walk_to(audit->s, &req, &e->space, e->mapping.level,
                               &now) ||
                      now.addr != e->mapping.addr ||
                      grants_more(&e->mapping.access, &now.access),
               &e->differs_ns);
    return FALSE;
}

static uint64_t take_left(VTDAudit *audit)
{
    uint64_t left = audit->left;

    audit->left = 0;
    return left;
}

/**
 * vtd_cache_audit - compare all that is held with memory
 * @opaque: IOMMU
 *
 * Sets the counters left.* to the number of entries that grant more than
 * memory does, or something else. Entries that were filled through a context
 * or PASID entry that is no more count: the next owner of their tags would hit
 * them. Entries that grant less do not count.
 */
void vtd_cache_audit(void *opaque)
{
    IntelIOMMUState *s = opaque;
    VTDSVA *sva = s->sva;
    VTDAudit audit = { .s = s };

    sva->left_ctx = sva->left_pasid = sva->left_tlb = sva->left_psc = 0;
    if (!vtd_sva_active(s)) {
        return;
    }

    QEMU_LOCK_GUARD(&sva->lock);

    audit.functions = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    audit.spaces = g_tree_new_full(tag_compare, NULL, NULL, g_free);
    pci_for_each_bus(PC_MACHINE(qdev_get_machine())->pcibus, audit_bus, &audit);

    g_hash_table_foreach(sva->ctx, audit_context, &audit);
    sva->left_ctx = take_left(&audit);
    g_hash_table_foreach(sva->pdires, audit_pdire, &audit);
    g_hash_table_foreach(sva->pasids, audit_pasid, &audit);
    sva->left_pasid = take_left(&audit);
    g_tree_foreach(sva->tlb, audit_tlb, &audit);
    sva->left_tlb = take_left(&audit);
    g_tree_foreach(sva->psc, audit_psc, &audit);
    sva->left_psc = take_left(&audit);

    g_tree_destroy(audit.spaces);
    g_hash_table_destroy(audit.functions);
}
