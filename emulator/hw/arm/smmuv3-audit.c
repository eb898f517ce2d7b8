/*
 * SMMUv3: comparison of all that is cached with memory
 *
 * A hit shows a stale entry only if a DMA happens to use it. Here each cached
 * configuration structure is compared with the one that STRTAB_BASE, L1STD,
 * STE and L1CD lead to now, and each entry of the TLB with the tables that it
 * was filled from. What differs is what software has not invalidated, if it is
 * not about to.
 *
 * A structure that is not valid, neither in the cache nor in memory, is no
 * difference: nothing but its valid bit means anything. One that cannot be
 * reached any more must not be cached as valid, as its memory may be reused.
 * An entry of the TLB needs a context with its ASID, VMID and table.
 *
 * Structures of functions that are unplugged, or were never there, are left
 * out, and so are stage 2 and contexts under nested translation.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "trace.h"
#include "system/dma.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_device.h"
#include "smmuv3-sva.h"
#include "smmu-internal.h"

static const SMMURequest fresh = { .fresh = true };

static bool read_words(dma_addr_t addr, uint32_t *word, size_t len)
{
    int i;

    if (dma_memory_read(&address_space_memory, addr, word, len,
                        MEMTXATTRS_UNSPECIFIED) != MEMTX_OK) {
        return false;
    }
    for (i = 0; i < len / sizeof(*word); i++) {
        le32_to_cpus(&word[i]);
    }
    return true;
}

static bool is_plugged(SMMUv3State *s, uint32_t sid)
{
    SMMUDevice *sdev = smmu_find_sdev(ARM_SMMU(s), sid);
    PCIDevice *dev = sdev ? sdev->bus->devices[sdev->devfn] : NULL;

    return dev && dev->enabled;
}

static bool l1std_now(SMMUv3State *s, uint32_t sid, STEDesc *now)
{
    int log2size = FIELD_EX32(s->strtab_base_cfg, STRTAB_BASE_CFG, LOG2SIZE);
    int shift = MAX(5, log2size - s->sid_split - 1 + 3);
    dma_addr_t base = s->strtab_base & SMMU_BASE_ADDR_MASK &
                      ~MAKE_64BIT_MASK(0, shift);

    return (s->features & SMMU_FEATURE_2LVL_STE) &&
           sid < 1ull << MIN(log2size, SMMU_IDR1_SIDSIZE) &&
           read_words(base + (sid >> s->sid_split) * sizeof(*now), now->word,
                      sizeof(*now));
}

static bool ste_now(SMMUv3State *s, uint32_t sid, STE *now)
{
    SMMUEventInfo event = { .sid = sid, .inval_ste_allowed = true };

    return !smmu_find_ste(s, sid, now, &fresh, &event);
}

/* SubstreamIDs that @ste has CDs for; 0 if there are none, or if nested */
static uint32_t cds_of(STE *ste)
{
    if (!STE_VALID(ste) || STE_CFG_ABORT(STE_CONFIG(ste)) ||
        !STE_CFG_S1_ENABLED(STE_CONFIG(ste)) ||
        STE_CFG_S2_ENABLED(STE_CONFIG(ste)) || STE_S1CDMAX(ste) > 20) {
        return 0;
    }
    return 1u << STE_S1CDMAX(ste);
}

/* Bits of a SubstreamID that index a leaf table; 0 if the table is linear */
static int split_of(STE *ste)
{
    return !STE_S1CDMAX(ste) || !STE_S1FMT(ste) ? 0 :
           STE_S1FMT(ste) == 1 ? 6 : 10;
}

static bool l1cd_now(STE *ste, uint32_t ssid, CDDesc *now)
{
    int split = split_of(ste);

    return split && ssid < cds_of(ste) &&
           read_words(STE_CTXPTR(ste) + (ssid >> split) * sizeof(*now),
                      now->word, sizeof(*now));
}

static bool cd_now(STE *ste, uint32_t ssid, CD *now)
{
    dma_addr_t table = STE_CTXPTR(ste);
    int split = split_of(ste);
    CDDesc l1cd;

    if (ssid >= cds_of(ste)) {
        return false;
    }
    if (split) {
        if (!l1cd_now(ste, ssid, &l1cd) || !L1CD_VALID(&l1cd)) {
            return false;
        }
        table = L1CD_L2PTR(&l1cd);
        ssid = extract32(ssid, 0, split);
    }
    return read_words(table + ssid * sizeof(*now), now->word, sizeof(*now));
}

static bool is_valid(SMMUCfgKind kind, const uint32_t *word)
{
    switch (kind) {
    case SMMU_CFG_L1STD:
        return L1STD_SPAN((STEDesc *)word);
    case SMMU_CFG_STE:
        return STE_VALID((STE *)word);
    case SMMU_CFG_L1CD:
        return L1CD_VALID((CDDesc *)word);
    case SMMU_CFG_CD:
        return CD_VALID((CD *)word);
    default:
        g_assert_not_reached();
    }
}

static bool cfg_is_left(SMMUv3State *s, SMMUCfgKind kind, uint32_t sid,
                        uint32_t ssid, const void *data, size_t len)
{
    uint32_t cached[ARRAY_SIZE(((STE *)0)->word)], now[ARRAY_SIZE(cached)];
    bool reachable, left;
    STE ste;
    int i;

    for (i = 0; i < len / sizeof(*cached); i++) {
        cached[i] = ldl_le_p((const uint32_t *)data + i);
    }

    switch (kind) {
    case SMMU_CFG_L1STD:
        reachable = l1std_now(s, sid, (STEDesc *)now);
        break;
    case SMMU_CFG_STE:
        if (!is_plugged(s, sid)) {
            return false;
        }
        reachable = ste_now(s, sid, (STE *)now);
        break;
    default:
        if (!is_plugged(s, sid)) {
            return false;
        }
        reachable = ste_now(s, sid, &ste);
        if (reachable && STE_VALID(&ste) &&
            STE_CFG_S2_ENABLED(STE_CONFIG(&ste))) {
            return false;
        }
        reachable = reachable &&
                    (kind == SMMU_CFG_L1CD ?
                     l1cd_now(&ste, ssid, (CDDesc *)now) :
                     cd_now(&ste, ssid, (CD *)now));
    }

    left = reachable ? memcmp(cached, now, len) &&
                       (is_valid(kind, cached) || is_valid(kind, now)) :
                       is_valid(kind, cached);
    if (left) {
        trace_smmuv3_cfg_left(kind, sid, ssid, reachable);
    }
    return left;
}

static void add_context(SMMUDevice *sdev, const SMMURequest *req,
                        GArray *contexts)
{
    SMMUEventInfo event = {
        .sid = smmu_get_sid(sdev), .inval_ste_allowed = true,
    };
    SMMUTransCfg cfg = { .req = req };

    if (!smmuv3_decode_config(sdev, &cfg, &event) && !cfg.aborted &&
        !cfg.bypassed && cfg.stage == SMMU_STAGE_1) {
        cfg.req = &fresh;
        g_array_append_val(contexts, cfg);
    }
}

static void add_contexts(SMMUv3State *s, SMMUDevice *sdev, GArray *contexts)
{
    uint32_t ssid, n;
    int split;
    STE ste;
    CD cd;

    if (!ste_now(s, smmu_get_sid(sdev), &ste)) {
        return;
    }

    n = cds_of(&ste);
    split = split_of(&ste);
    for (ssid = 0; ssid < n; ssid++) {
        SMMURequest req = { .ssid = ssid, .ssv = true, .fresh = true };
        CDDesc l1cd;

        if (split && !extract32(ssid, 0, split) &&
            (!l1cd_now(&ste, ssid, &l1cd) || !L1CD_VALID(&l1cd))) {
            ssid += (1u << split) - 1;
            continue;
        }
        if (!cd_now(&ste, ssid, &cd) || !CD_VALID(&cd)) {
            continue;
        }
        if (!ssid && (n == 1 || STE_S1DSS(&ste) == 2)) {
            req.ssv = false;
        }
        add_context(sdev, &req, contexts);
    }
}

/* See iommu_stats_set_audit() */
void smmuv3_audit(void *opaque)
{
    SMMUv3State *s = opaque;
    SMMUState *bs = ARM_SMMU(s);
    SMMUv3SVA *sva = s->sva;
    g_autoptr(GArray) contexts = NULL;
    GHashTableIter iter;
    SMMUPciBus *sbus;
    int i;

    QEMU_LOCK_GUARD(&s->mutex);

    sva->left_cfg = sva->left_tlb = sva->left_psc = 0;
    if (!smmu_enabled(s)) {
        /* Nothing is used, and all is invalidated before something is */
        return;
    }

    smmuv3_cfg_audit(s, cfg_is_left);

    contexts = g_array_new(false, false, sizeof(SMMUTransCfg));
    g_hash_table_iter_init(&iter, bs->smmu_pcibus_by_busptr);
    while (g_hash_table_iter_next(&iter, NULL, (void **)&sbus)) {
        for (i = 0; i < SMMU_PCI_DEVFN_MAX; i++) {
            if (sbus->pbdev[i]) {
                add_contexts(s, sbus->pbdev[i], contexts);
            }
        }
    }
    smmu_strict_audit(bs, contexts, &sva->left_tlb, &sva->left_psc);
}
