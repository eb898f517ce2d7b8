/*
 * SMMUv3: cache of configuration structures
 *
 * Holds L1STDs, STEs, L1CDs and CDs as they were read, valid or not: a
 * structure may be cached in any state until software invalidates it (IHI
 * 0070, 3.21.3), so a CFGI command that software forgot after it made a
 * structure valid shows just as one that it forgot after making it invalid.
 * Every hit is compared with memory; differences are counted as stale.
 *
 * A structure is read in pieces of 64 bits, in any order and at any time
 * between the completion of the CMD_SYNC behind its last invalidation and its
 * use (3.21.3). So one that has changed in memory since it was cached may be
 * used as cached, as it is now, or with words of both: as if it was evicted,
 * and the fetch had begun before the change. After an invalidation that acts
 * before its CMD_SYNC the same goes for the fetch. What has words of before, or
 * was found through a structure that has, is dropped when the CMD_SYNC
 * completes. Words of two addresses are never mixed, as a fetch has one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "trace.h"
#include "system/dma.h"
#include "smmuv3-sva.h"
#include "smmu-internal.h"

typedef struct CachedCfg {
    uint64_t key;
    SMMUCfgKind kind;
    uint32_t sid;       /* the first one, if an L1STD */
    uint32_t ssid;      /* the first one, if an L1CD */
    uint32_t span;      /* SIDs of an L1STD, SSIDs of an L1CD, else 1 */
    uint32_t len;       /* of data */
    dma_addr_t addr;    /* where it was read */
    bool inval;         /* invalidated: only a copy, until the CMD_SYNC */
    bool torn;          /* has words of such a copy, or was found by one */
    int64_t differs_ns; /* when it was found to differ from memory, or 0 */
    uint8_t data[sizeof(STE)];
} CachedCfg;

QEMU_BUILD_BUG_ON(sizeof(STE) != sizeof(CD));

/* A range of what a command invalidates, inclusive */
typedef struct CfgRange {
    uint32_t sid_first;
    uint32_t sid_last;
    uint32_t ssid_first;
    uint32_t ssid_last;
    bool ste;           /* STEs too, else CDs only */
    bool l1std;         /* what points to the STEs */
    bool l1cd;          /* what points to the CDs */
    bool keep;          /* copies, until the CMD_SYNC */
} CfgRange;

void smmuv3_cfg_init(SMMUv3State *s)
{
    /* The key is part of the entry */
    s->sva->cfg = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
                                        g_free);
}

static uint64_t cfg_key(SMMUCfgKind kind, uint32_t sid, uint32_t ssid)
{
    return deposit64(deposit64(ssid, 20, 32, sid), 62, 2, kind);
}

/*
 * A fetch of @entry that reads @buf now, and may have begun when @entry was
 * cached: take each word from either. Returns whether there is one of @entry.
 */
static bool tear(SMMUv3State *s, const CachedCfg *entry, dma_addr_t addr,
                 void *buf)
{
    uint64_t old[sizeof(STE) / 8], new[sizeof(STE) / 8], from_old;
    bool torn = false;
    int i;

    if (entry->addr != addr) {
        return false;
    }

    memcpy(old, entry->data, entry->len);
    memcpy(new, buf, entry->len);
    from_old = iommu_choice_next(&s->sva->torn_choice);
    for (i = 0; i < entry->len / 8; i++) {
        if ((from_old >> i & 1) && old[i] != new[i]) {
            new[i] = old[i];
            torn = true;
        }
    }
    memcpy(buf, new, entry->len);
    return torn;
}

/* A hit. @buf is the structure in memory, and becomes what is used. */
static void use_cached(SMMUv3State *s, CachedCfg *entry, dma_addr_t addr,
                       bool readable, void *buf)
{
    SMMUv3SVA *sva = s->sva;

    sva->cfg_hits++;
    if (readable && !memcmp(entry->data, buf, entry->len)) {
        entry->differs_ns = 0;
        return;
    }

    sva->cfg_stale++;
    sva->cfg_late += smmu_strict_is_late(ARM_SMMU(s), &entry->differs_ns);
    trace_smmuv3_cfg_stale(entry->kind, entry->sid, entry->ssid, addr);
    if (readable && (s->wild & SMMU_WILD_TORN) &&
        iommu_choice_below(&sva->torn_choice, 2)) {
        tear(s, entry, addr, buf);
    } else {
        memcpy(buf, entry->data, entry->len);
    }
}

/**
 * smmuv3_cfg_read - read a configuration structure through the cache
 * @s: SMMU
 * @req: the request that needs it; NULL without strict caching
 * @kind: what it is
 * @sid: its StreamID; of an L1STD the first one it covers
 * @ssid: its SubstreamID; of an L1CD the first one it covers; 0 for others
 * @span: how many StreamIDs or SubstreamIDs it covers
 * @addr: where it is
 * @buf: receives it, as it is or was in memory
 * @len: its size in bytes
 *
 * Return: the result of reading memory, MEMTX_OK on a hit. What cannot be
 * read is not cached.
 */
MemTxResult smmuv3_cfg_read(SMMUv3State *s, const SMMURequest *req,
                            SMMUCfgKind kind, uint32_t sid, uint32_t ssid,
                            uint32_t span, dma_addr_t addr, void *buf,
                            size_t len)
{
    uint64_t key = cfg_key(kind, sid, ssid);
    SMMUv3SVA *sva = s->sva;
    CachedCfg *entry;
    MemTxResult r;

    if (ARM_SMMU(s)->strict && req && !req->fresh) {
        if (kind == SMMU_CFG_L1STD ||
            (kind == SMMU_CFG_STE && !(s->features & SMMU_FEATURE_2LVL_STE))) {
            /* All others are found through this one */
            sva->path_is_old = false;
        }
        entry = g_hash_table_lookup(sva->cfg, &key);
        if (entry && !entry->inval) {
            sva->path_is_old |= entry->torn;
        }
        if (entry && !entry->inval && req->silent) {
            memcpy(buf, entry->data, len);
            return MEMTX_OK;
        }
    } else {
        entry = NULL;
    }

    r = dma_memory_read(&address_space_memory, addr, buf, len,
                        MEMTXATTRS_UNSPECIFIED);
    if (!ARM_SMMU(s)->strict || !req || req->fresh) {
        return r;
    }

    if (entry && !entry->inval) {
        use_cached(s, entry, addr, r == MEMTX_OK, buf);
        return MEMTX_OK;
    }

    sva->cfg_misses += !req->silent;
    if (r == MEMTX_OK) {
        sva->path_is_old |= entry && tear(s, entry, addr, buf);
        if (!entry &&
            g_hash_table_size(sva->cfg) >= ARM_SMMU(s)->strict_size) {
            /* As for the TLB: only to save the host from a guest */
            g_hash_table_remove_all(sva->cfg);
            sva->cfg_full++;
        }
        entry = g_new0(CachedCfg, 1);
        entry->key = key;
        entry->kind = kind;
        entry->sid = sid;
        entry->ssid = ssid;
        entry->span = span;
        entry->len = len;
        entry->addr = addr;
        entry->torn = sva->path_is_old;
        memcpy(entry->data, buf, len);
        /* The key is part of the entry */
        g_hash_table_replace(sva->cfg, &entry->key, entry);
    }
    return r;
}

/**
 * smmuv3_cfg_prefetch - read structures that no request has asked for yet
 * @sdev: device whose structures have just been read
 * @req: the request that needed them
 *
 * Any structure that can be reached may be read and cached at any time, valid
 * or not (IHI 0070, 3.21.3): here some CDs of the same leaf and of others, with
 * their L1CDs, and STEs of the same level-2 table. They are read as silent
 * requests do, so there is no event for what is not valid.
 */
void smmuv3_cfg_prefetch(SMMUDevice *sdev, const SMMURequest *req)
{
    SMMUv3State *s = sdev->smmu;
    IOMMUChoice *choice = &s->sva->fetch_choice;
    SMMURequest ahead = { .ssv = true, .silent = true };
    SMMUEventInfo event = { .inval_ste_allowed = true };
    uint32_t sid = smmu_get_sid(sdev), ssid = req->ssv ? req->ssid : 0;
    SMMUPciBus *sbus;
    SMMUTransCfg cfg;
    int i, n;
    STE ste;

    if (!(s->wild & SMMU_WILD_PREFETCH)) {
        return;
    }

    for (n = iommu_choice_below(choice, 8); n; n--) {
        ahead.ssid = deposit32(ssid, 0, 6, iommu_choice_below(choice, 64));
        if (n == 1) {
            /*
             * One of another leaf, if the table is that large: any, or one
             * whose L1CD is in the same 64 bytes
             */
            ahead.ssid ^= iommu_choice_below(choice, 2) ?
                          iommu_choice_below(choice, 1u << s->ssidsize) :
                          iommu_choice_below(choice, 8) << 6;
        }
        cfg = (SMMUTransCfg) { .req = &ahead };
        event.sid = sid;
        smmuv3_decode_config(sdev, &cfg, &event);
    }

    sbus = g_hash_table_lookup(ARM_SMMU(s)->smmu_pcibus_by_busptr, sdev->bus);
    for (i = 0; sbus && i < SMMU_PCI_DEVFN_MAX; i++) {
        SMMUDevice *other = sbus->pbdev[i];

        if (!other || other == sdev ||
            ((smmu_get_sid(other) ^ sid) >> (s->sid_split ?: 31)) ||
            iommu_choice_below(choice, 4)) {
            continue;
        }
        event.sid = smmu_get_sid(other);
        smmu_find_ste(s, event.sid, &ste, &ahead, &event);
    }
}

static bool overlaps(uint32_t start, uint32_t span, uint32_t first,
                     uint32_t last)
{
    return start <= last && start + (span - 1) >= first;
}

static bool cfg_is_covered(const CachedCfg *entry, const CfgRange *range)
{
    switch (entry->kind) {
    case SMMU_CFG_L1STD:
        return range->l1std &&
               overlaps(entry->sid, entry->span, range->sid_first,
                        range->sid_last);
    case SMMU_CFG_STE:
        return range->ste &&
               overlaps(entry->sid, 1, range->sid_first, range->sid_last);
    case SMMU_CFG_L1CD:
        if (!range->l1cd) {
            return false;
        }
        /* fall through */
    case SMMU_CFG_CD:
        return overlaps(entry->sid, 1, range->sid_first, range->sid_last) &&
               overlaps(entry->ssid, entry->span, range->ssid_first,
                        range->ssid_last);
    default:
        g_assert_not_reached();
    }
}

/* To be removed, or to be kept as a copy until the CMD_SYNC completes */
static gboolean inval_if_covered(gpointer key, gpointer value, gpointer opaque)
{
    CachedCfg *entry = value;
    const CfgRange *range = opaque;

    if (!cfg_is_covered(entry, range)) {
        return false;
    }
    entry->inval = true;
    return !range->keep;
}

static gboolean is_old(gpointer key, gpointer value, gpointer opaque)
{
    const CachedCfg *entry = value;

    return entry->inval || entry->torn;
}

/* A CMD_SYNC completes: fetches that began before are over */
void smmuv3_cfg_sync(SMMUv3State *s)
{
    if (s->wild & SMMU_WILD_TORN) {
        g_hash_table_foreach_remove(s->sva->cfg, is_old, NULL);
    }
}

/* A CFGI command takes effect (IHI 0070, 4.3) */
void smmuv3_cfg_inval(SMMUv3State *s, Cmd *cmd)
{
    uint32_t sid = CMD_SID(cmd), ssid = CMD_SSID(cmd), mask;
    CfgRange range = {
        .sid_first = sid, .sid_last = sid, .ssid_last = UINT32_MAX,
        .keep = s->wild & SMMU_WILD_TORN,
    };

    switch (CMD_TYPE(cmd)) {
    case SMMU_CMD_CFGI_STE:
        /* Takes all that was reached through the STE along */
        trace_smmuv3_cmdq_cfgi_ste(sid);
        range.ste = true;
        range.l1std = !CMD_LEAF(cmd);
        range.l1cd = true;
        break;
    case SMMU_CMD_CFGI_STE_RANGE:
        mask = (1ULL << (CMD_STE_RANGE(cmd) + 1)) - 1;
        range.sid_first = sid & ~mask;
        range.sid_last = sid | mask;
        range.ste = true;
        range.l1std = true;
        range.l1cd = true;
        trace_smmuv3_cmdq_cfgi_ste_range(range.sid_first, range.sid_last);
        break;
    case SMMU_CMD_CFGI_CD:
        trace_smmuv3_cmdq_cfgi_cd(sid);
        range.ssid_first = ssid;
        range.ssid_last = ssid;
        range.l1cd = !CMD_LEAF(cmd);
        break;
    case SMMU_CMD_CFGI_CD_ALL:
        trace_smmuv3_cmdq_cfgi_cd(sid);
        range.l1cd = true;
        break;
    default:
        g_assert_not_reached();
    }

    g_hash_table_foreach_remove(s->sva->cfg, inval_if_covered, &range);
}

/* Count the entries that @is_left is true for */
void smmuv3_cfg_audit(SMMUv3State *s,
                      bool (*is_left)(SMMUv3State *s, SMMUCfgKind kind,
                                      uint32_t sid, uint32_t ssid,
                                      const void *data, size_t len))
{
    GHashTableIter iter;
    CachedCfg *entry;

    s->sva->left_cfg = 0;
    g_hash_table_iter_init(&iter, s->sva->cfg);
    while (g_hash_table_iter_next(&iter, NULL, (void **)&entry)) {
        if (!entry->inval &&
            is_left(s, entry->kind, entry->sid, entry->ssid, entry->data,
                    entry->len)) {
            s->sva->left_cfg++;
            smmu_strict_is_late(ARM_SMMU(s), &entry->differs_ns);
        }
    }
}
