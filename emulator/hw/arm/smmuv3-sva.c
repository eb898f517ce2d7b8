/*
 * SMMUv3: substreams and what shared virtual addressing needs besides
 *
 * With the properties ssidsize, stall, ats or strict set, requests take the path
 * in this file. It carries the attributes of the request (SubstreamID,
 * privilege, instruction fetch) to the decoders, the walker and the TLB of the
 * base model, reads configuration structures through the cache in
 * smmuv3-cache.c, and lets faults stall (smmuv3-stall.c).
 *
 * Strict caching (property strict, by default on with any of the above): TLB
 * and configuration caches keep entries until they are invalidated, and
 * invalidations act and complete as late, or as early, as permitted
 * (smmuv3-sync.c). CMD_RESUME and CMD_STALL_TERM act at once.
 *
 * Limits: stage 2 is not checked for stale entries; entries are not shared as
 * global (nG is ignored); XN bits are ignored; events are not merged.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "block/aio.h"
#include "migration/blocker.h"
#include "trace.h"
#include "hw/misc/iommu-stats.h"
#include "hw/pci/pci_bus.h"
#include "smmuv3-sva.h"
#include "smmu-internal.h"

#define MAX_SSIDSIZE 20

/* Events of threads without the BQL that are not in the queue yet */
#define MAX_LATER   1024

static const PCIIOMMUOps *get_ops(const SMMUv3State *s);

/* Set-up */

static bool register_stats(SMMUv3State *s, Error **errp)
{
    static const struct {
        uint8_t op;
        const char *name;
    } cmds[] = {
        { SMMU_CMD_PREFETCH_CONFIG, "cmd.prefetch_cfg" },
        { SMMU_CMD_PREFETCH_ADDR, "cmd.prefetch_addr" },
        { SMMU_CMD_CFGI_STE, "cmd.cfgi_ste" },
        { SMMU_CMD_CFGI_STE_RANGE, "cmd.cfgi_ste_range" },
        { SMMU_CMD_CFGI_CD, "cmd.cfgi_cd" },
        { SMMU_CMD_CFGI_CD_ALL, "cmd.cfgi_cd_all" },
        { SMMU_CMD_TLBI_NH_ALL, "cmd.tlbi_nh_all" },
        { SMMU_CMD_TLBI_NH_ASID, "cmd.tlbi_nh_asid" },
        { SMMU_CMD_TLBI_NH_VA, "cmd.tlbi_nh_va" },
        { SMMU_CMD_TLBI_NH_VAA, "cmd.tlbi_nh_vaa" },
        { SMMU_CMD_TLBI_EL2_ALL, "cmd.tlbi_el2_all" },
        { SMMU_CMD_TLBI_EL2_ASID, "cmd.tlbi_el2_asid" },
        { SMMU_CMD_TLBI_EL2_VA, "cmd.tlbi_el2_va" },
        { SMMU_CMD_TLBI_EL2_VAA, "cmd.tlbi_el2_vaa" },
        { SMMU_CMD_TLBI_S12_VMALL, "cmd.tlbi_s12_vmall" },
        { SMMU_CMD_TLBI_S2_IPA, "cmd.tlbi_s2_ipa" },
        { SMMU_CMD_TLBI_NSNH_ALL, "cmd.tlbi_nsnh_all" },
        { SMMU_CMD_RESUME, "cmd.resume" },
        { SMMU_CMD_STALL_TERM, "cmd.stall_term" },
        { SMMU_CMD_SYNC, "cmd.sync" },
    }, evts[] = {
        { SMMU_EVT_F_UUT, "evt.f_uut" },
        { SMMU_EVT_C_BAD_STREAMID, "evt.c_bad_streamid" },
        { SMMU_EVT_F_STE_FETCH, "evt.f_ste_fetch" },
        { SMMU_EVT_C_BAD_STE, "evt.c_bad_ste" },
        { SMMU_EVT_F_STREAM_DISABLED, "evt.f_stream_dis" },
        { SMMU_EVT_C_BAD_SUBSTREAMID, "evt.c_bad_ssid" },
        { SMMU_EVT_F_CD_FETCH, "evt.f_cd_fetch" },
        { SMMU_EVT_C_BAD_CD, "evt.c_bad_cd" },
        { SMMU_EVT_F_WALK_EABT, "evt.f_walk_eabt" },
        { SMMU_EVT_F_TRANSLATION, "evt.f_translation" },
        { SMMU_EVT_F_ADDR_SIZE, "evt.f_addr_size" },
        { SMMU_EVT_F_ACCESS, "evt.f_access" },
        { SMMU_EVT_F_PERMISSION, "evt.f_permission" },
    };
    SMMUState *bs = ARM_SMMU(s);
    SMMUv3SVA *sva = s->sva;
    IOMMUStat base[] = {
        { "cmd.cfgi_all", &s->cfgi_all_count },
        { "cmd.bad", &s->cmd_bad_count },
        { "tlb.hit", &bs->iotlb_hits },
        { "tlb.miss", &bs->iotlb_misses },
    };
    GArray *stats = g_array_new(false, false, sizeof(IOMMUStat));
    bool ret;
    IOMMUStat stat;
    int i;

    for (i = 0; i < ARRAY_SIZE(cmds); i++) {
        stat = (IOMMUStat) { cmds[i].name, &s->cmd_count[cmds[i].op] };
        g_array_append_val(stats, stat);
    }
    for (i = 0; i < ARRAY_SIZE(evts); i++) {
        stat = (IOMMUStat) { evts[i].name, &s->evt_count[evts[i].op] };
        g_array_append_val(stats, stat);
    }
    g_array_append_vals(stats, base, ARRAY_SIZE(base));
    if (sva) {
        IOMMUStat more[] = {
            { "cmd.fence", &sva->cmd_fence },
            { "cfg.hit", &sva->cfg_hits },
            { "cfg.miss", &sva->cfg_misses },
            { "cfg.full", &sva->cfg_full },
            { "tlb.full", &bs->iotlb_full },
            { "conflict.tlb", &bs->iotlb_conflicts },
            { "stale.tlb", &bs->iotlb_stale },
            { "stale.cfg", &sva->cfg_stale },
            { "late.tlb", &bs->iotlb_late },
            { "late.cfg", &sva->cfg_late },
            { "left.cfg", &sva->left_cfg },
            { "left.tlb", &sva->left_tlb },
            { "left.psc", &sva->left_psc },
            { "evt.stall", &sva->evt_stall },
            { "evt.lost", &sva->evt_lost },
            { "stall.now", &sva->stall_now },
            { "stall.total", &sva->stall_total },
            { "stall.max", &sva->stall_peak },
            { "stall.merged", &sva->stall_merged },
            { "stall.early", &sva->stall_early },
            { "resume.retry", &sva->resume_retry },
            { "resume.abort", &sva->resume_abort },
            { "resume.unknown", &sva->resume_unknown },
        };

        g_array_append_vals(stats, more, ARRAY_SIZE(more));
    }
    smmuv3_ats_stats(s, stats);

    ret = iommu_stats_register(OBJECT(s), "smmu.", (IOMMUStat *)stats->data,
                               stats->len, errp);
    g_array_free(stats, true);
    if (ret && bs->strict) {
        iommu_stats_set_audit(OBJECT(s), smmuv3_audit, s);
    }
    return ret;
}

/* The IDR5.OAS encoding of @bits, or -1 */
static int oas_field(int bits)
{
    int i;

    for (i = 0; i <= 5; i++) {
        if (oas2bits(i) == bits) {
            return i;
        }
    }
    return -1;
}

bool smmuv3_sva_realize(SMMUv3State *s, Error **errp)
{
    SMMUState *bs = ARM_SMMU(s);

    if (s->ssidsize > MAX_SSIDSIZE) {
        error_setg(errp, "ssidsize must be at most %d", MAX_SSIDSIZE);
        return false;
    }
    if (s->ssidsize && s->stage && !strcmp(s->stage, "2")) {
        error_setg(errp, "ssidsize needs stage 1");
        return false;
    }
    if (oas_field(s->oas) < 0) {
        error_setg(errp, "oas must be 32, 36, 40, 42, 44 or 48");
        return false;
    }
    if (!s->stall_max) {
        error_setg(errp, "stall-max must not be 0");
        return false;
    }
    if (!bs->iotlb_size || !bs->strict_size) {
        error_setg(errp, "x-iotlb-size and x-strict-size must not be 0");
        return false;
    }

    bs->strict = s->strict == ON_OFF_AUTO_ON ||
                 (s->strict == ON_OFF_AUTO_AUTO &&
                  (s->ssidsize || s->stall || s->ats));

    if (s->ssidsize || s->stall || s->ats || bs->strict || !s->ril ||
        oas_field(s->oas) != SMMU_IDR5_OAS ||
        bs->iotlb_size != SMMU_IOTLB_MAX_SIZE) {
        error_setg(&s->migration_blocker,
                   "SMMUv3 cannot be migrated with any of ssidsize, stall, "
                   "ats, strict, oas, ril or x-iotlb-size changed");
        if (migrate_add_blocker(&s->migration_blocker, errp) < 0) {
            return false;
        }
    }

    if (s->ssidsize || s->stall || s->ats || bs->strict) {
        bs->reads_ahead = bs->strict && (s->wild & SMMU_WILD_PREFETCH);
        s->sva = g_new0(SMMUv3SVA, 1);
        smmuv3_sync_init(s);
        smmuv3_cfg_init(s);
        smmuv3_stall_init(s);
        if (!smmuv3_ats_realize(s, errp)) {
            return false;
        }
        if (!bs->first) {
            pci_setup_iommu(bs->primary_bus, get_ops(s), bs);
        }
    }

    return register_stats(s, errp);
}

void smmuv3_sva_init_idr(SMMUv3State *s)
{
    s->idr[3] = FIELD_DP32(s->idr[3], IDR3, RIL, s->ril);
    s->idr[5] = FIELD_DP32(s->idr[5], IDR5, OAS, oas_field(s->oas));

    if (s->sva && s->ril) {
        /* Range invalidation is of SMMUv3.2 */
        s->aidr = 2;
    }

    s->idr[1] = FIELD_DP32(s->idr[1], IDR1, SSIDSIZE, s->ssidsize);
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, CD2L, s->ssidsize > 0);

    smmuv3_ats_init_idr(s);
    smmuv3_el2_init_idr(s);

    if (s->stall) {
        s->idr[0] = FIELD_DP32(s->idr[0], IDR0, STALL_MODEL, 0);
        s->idr[5] = FIELD_DP32(s->idr[5], IDR5, STALL_MAX, s->stall_max);
    }
}

void smmuv3_sva_reset(SMMUv3State *s)
{
    if (s->sva) {
        s->sva->eventq_on = false;
        qatomic_inc(&s->sva->eventq_changes);
        smmuv3_sync_reset(s);
        smmuv3_stall_terminate(s, 0, 0);
    }
    smmuv3_ats_reset(s);
}

/* Requests */

/**
 * smmuv3_select_ssid - decide which CD of its stream a request uses
 * @ste: decoded into @cfg already
 * @cfg: translation config; stage 1 may turn out to be bypassed (out)
 * @ssid: index of the CD (out)
 * @event: what to log, if it is refused (out)
 *
 * See IHI 0070, 3.3.2 and STE.S1DSS in 5.2.
 *
 * Return: 0, or -EINVAL if the request is refused
 */
int smmuv3_select_ssid(STE *ste, SMMUTransCfg *cfg, uint32_t *ssid,
                       SMMUEventInfo *event)
{
    bool s1 = !cfg->aborted && STE_CFG_S1_ENABLED(STE_CONFIG(ste));
    uint32_t cds = s1 && STE_S1CDMAX(ste) ? 1u << STE_S1CDMAX(ste) : 0;
    enum { TERMINATE, BYPASS, CD0 } dss = STE_S1DSS(ste);

    *ssid = 0;

    if (cfg->req && cfg->req->kind != SMMU_REQ_UNTRANSLATED) {
        if (smmuv3_ats_select(ste, cfg, event)) {
            return -EINVAL;
        }
        if (cfg->bypassed) {
            return 0;
        }
    }
    if (cfg->aborted) {
        return 0;
    }

    if (cfg->req && cfg->req->ssv) {
        *ssid = cfg->req->ssid;
        if (*ssid >= cds || (!*ssid && dss == CD0)) {
            event->type = SMMU_EVT_C_BAD_SUBSTREAMID;
            return -EINVAL;
        }
        return 0;
    }

    if (cds && dss == BYPASS) {
        if (cfg->stage == SMMU_NESTED) {
            cfg->stage = SMMU_STAGE_2;
        } else {
            cfg->bypassed = true;
        }
    } else if (cds && dss != CD0) {
        event->type = SMMU_EVT_F_STREAM_DISABLED;
        return -EINVAL;
    }
    return 0;
}

/* For notifiers, which know no request: as if for an untagged one */
SMMUTransCfg *smmuv3_sva_get_config(SMMUDevice *sdev, SMMUEventInfo *event)
{
    static const SMMURequest untagged = { .priv = true };
    SMMUv3State *s = sdev->smmu;
    SMMUTransCfg *cfg = &s->sva->notify_cfg;

    *cfg = (SMMUTransCfg) { .req = &untagged };
    event->sid = smmu_get_sid(sdev);
    return smmuv3_decode_config(sdev, cfg, event) ? NULL : cfg;
}

static bool is_translation_fault(const SMMUEventInfo *event)
{
    switch (event->type) {
    case SMMU_EVT_F_TRANSLATION:
    case SMMU_EVT_F_ADDR_SIZE:
    case SMMU_EVT_F_ACCESS:
    case SMMU_EVT_F_PERMISSION:
        return true;
    default:
        return false;
    }
}

/* The fields of @event that depend on the request alone */
static void describe_request(SMMUEventInfo *event, const SMMURequest *req,
                             hwaddr addr, IOMMUAccessFlags access)
{
    uint32_t ssid = req->ssv ? req->ssid : 0;

    switch (event->type) {
    case SMMU_EVT_C_BAD_STREAMID:
    case SMMU_EVT_C_BAD_STE:
    case SMMU_EVT_C_BAD_CD:
        event->u.c_bad_cd.ssid = ssid;
        event->u.c_bad_cd.ssv = req->ssv;
        break;
    case SMMU_EVT_F_STE_FETCH:
    case SMMU_EVT_F_CD_FETCH:
        event->u.f_cd_fetch.ssid = ssid;
        event->u.f_cd_fetch.ssv = req->ssv;
        break;
    case SMMU_EVT_C_BAD_SUBSTREAMID:
        event->u.c_bad_substream.ssid = ssid;
        break;
    case SMMU_EVT_F_WALK_EABT:
    case SMMU_EVT_F_TRANSLATION:
    case SMMU_EVT_F_ADDR_SIZE:
    case SMMU_EVT_F_ACCESS:
    case SMMU_EVT_F_PERMISSION:
        event->u.f_walk_eabt.ssid = ssid;
        event->u.f_walk_eabt.ssv = req->ssv;
        event->u.f_walk_eabt.pnu = req->priv;
        event->u.f_walk_eabt.ind = req->exec;
        event->u.f_walk_eabt.rnw = !(access & IOMMU_WO);
        event->u.f_walk_eabt.addr = addr;
        break;
    default:
        break;
    }
}

/* An event of a request that came without the BQL */
typedef struct SMMUv3LaterEvent {
    SMMUv3State *s;
    SMMUEventInfo event;
    uint32_t eventq_changes;
} SMMUv3LaterEvent;

static void record(SMMUv3State *s, SMMUEventInfo *event);

static void record_later(void *opaque)
{
    SMMUv3LaterEvent *later = opaque;
    SMMUv3SVA *sva = later->s->sva;

    qatomic_dec(&sva->nr_later);
    if (qatomic_read(&sva->eventq_changes) == later->eventq_changes) {
        record(later->s, &later->event);
    } else {
        /* Not written before EVENTQEN was cleared: never (IHI 0070, 7.2) */
        qatomic_inc(&sva->evt_lost);
    }
    object_unref(OBJECT(later->s));
    g_free(later);
}

/*
 * Log an event of a request that is not stalled: it is lost if the queue is
 * full. Devices may do DMA from threads of their own. These must not wait for
 * the BQL, whose holder may be waiting for them, and without it there is no
 * interrupt.
 */
static void record(SMMUv3State *s, SMMUEventInfo *event)
{
    SMMUv3LaterEvent *later;
    SMMUQueue *q = &s->eventq;

    if (event->type == SMMU_EVT_NONE) {
        return;
    }
    if (!bql_locked()) {
        if (qatomic_fetch_inc(&s->sva->nr_later) >= MAX_LATER) {
            qatomic_dec(&s->sva->nr_later);
            qatomic_inc(&s->sva->evt_lost);
            return;
        }
        later = g_new(SMMUv3LaterEvent, 1);
        *later = (SMMUv3LaterEvent) {
            .s = s, .event = *event,
            .eventq_changes = qatomic_read(&s->sva->eventq_changes),
        };
        object_ref(OBJECT(s));
        aio_bh_schedule_oneshot(qemu_get_aio_context(), record_later, later);
        return;
    }
    if (!smmuv3_eventq_enabled(s)) {
        qatomic_inc(&s->sva->evt_lost);
    } else if (smmuv3_q_full(q)) {
        qatomic_inc(&s->sva->evt_lost);
        /* Toggle OVFLG, unless an overflow is still unacknowledged */
        if (!((q->prod ^ q->cons) & EVT_Q_OVERFLOW)) {
            q->prod ^= EVT_Q_OVERFLOW;
        }
    } else {
        smmuv3_record_event(s, event);
    }
}

/**
 * smmuv3_sva_fail - log why a request is refused
 * @s: SMMU
 * @event: the type, and what depends on more than the request
 * @req: the request
 * @addr: its address
 * @access: IOMMU_RO, or IOMMU_WO for writes and atomics
 */
void smmuv3_sva_fail(SMMUv3State *s, SMMUEventInfo *event,
                     const SMMURequest *req, hwaddr addr,
                     IOMMUAccessFlags access)
{
    describe_request(event, req, addr, access);
    record(s, event);
}

/* With Top Byte Ignore the tag is no part of the address */
static hwaddr untag(const SMMUTransCfg *cfg, hwaddr addr)
{
    return extract32(cfg->tbi, extract64(addr, 55, 1), 1) ?
           sextract64(addr, 0, 56) : addr;
}

static SMMUTranslationStatus translate_locked(SMMUDevice *sdev, hwaddr addr,
                                              IOMMUAccessFlags access,
                                              SMMUTransCfg *cfg,
                                              SMMUEventInfo *event,
                                              SMMUTLBEntry **entry)
{
    SMMUv3State *s = sdev->smmu;
    uint64_t misses = s->sva->cfg_misses;
    int ret;

    if (!smmu_enabled(s)) {
        return FIELD_EX32(s->gbpa, GBPA, ABORT) ? SMMU_TRANS_ABORT :
                                                  SMMU_TRANS_DISABLE;
    }
    ret = smmuv3_decode_config(sdev, cfg, event);
    if (s->sva->cfg_misses != misses) {
        smmuv3_cfg_prefetch(sdev, cfg->req);
    }
    if (ret) {
        return SMMU_TRANS_ERROR;
    }
    if (cfg->aborted) {
        return SMMU_TRANS_ABORT;
    }
    if (cfg->bypassed) {
        return SMMU_TRANS_BYPASS;
    }
    return smmuv3_do_translate(s, untag(cfg, addr), cfg, event, access, entry,
                               SMMU_CLASS_IN);
}

/**
 * smmuv3_sva_fetch - fill the caches as a request would
 * @sdev: the device, of an SMMU that is locked
 * @req: attributes of the request, which is silent
 * @addr: address
 * @access: IOMMU_RO or IOMMU_WO
 *
 * Return: true if there is a translation that permits the access
 */
bool smmuv3_sva_fetch(SMMUDevice *sdev, const SMMURequest *req, hwaddr addr,
                      IOMMUAccessFlags access)
{
    SMMUEventInfo event = {
        .sid = smmu_get_sid(sdev), .inval_ste_allowed = true,
    };
    SMMUTransCfg cfg = { .req = req };
    SMMUTLBEntry *entry;

    return translate_locked(sdev, addr, access, &cfg, &event, &entry) ==
           SMMU_TRANS_SUCCESS;
}

/**
 * translate - a request enters the SMMU
 * @sdev: who sent it
 * @req: its attributes
 * @addr: address
 * @access: IOMMU_RO, or IOMMU_WO for writes and atomics
 * @out: the translation (out)
 * @waiter: to be answered if it stalls; NULL if it cannot
 *
 * Return: as pci_sva_translate()
 */
static int translate(SMMUDevice *sdev, const SMMURequest *req, hwaddr addr,
                     IOMMUAccessFlags access, IOMMUTLBEntry *out,
                     PCISVAWaiter *waiter)
{
    SMMUv3State *s = sdev->smmu;
    SMMUEventInfo event = { .sid = smmu_get_sid(sdev) };
    SMMUTransCfg cfg = { .req = req };
    SMMUTranslationStatus status;
    SMMUTLBEntry *entry;

    *out = (IOMMUTLBEntry) {
        .target_as = &address_space_memory,
        .iova = addr & ~0xfffULL,
        .translated_addr = addr & ~0xfffULL,
        .addr_mask = 0xfff,
        .perm = IOMMU_RW,
    };

    qemu_mutex_lock(&s->mutex);

    smmuv3_sync_note_request(sdev, req, addr, access);
    status = translate_locked(sdev, addr, access, &cfg, &event, &entry);
    if (status == SMMU_TRANS_SUCCESS) {
        out->iova = addr & ~entry->entry.addr_mask;
        out->translated_addr = entry->entry.translated_addr;
        out->addr_mask = entry->entry.addr_mask;
        out->perm = entry->entry.perm & entry->parent_perm;
    }

    qemu_mutex_unlock(&s->mutex);

    trace_smmuv3_sva_translate(event.sid, req->ssv ? (int)req->ssid : -1, addr,
                               access, status, out->translated_addr);

    switch (status) {
    case SMMU_TRANS_ERROR:
        describe_request(&event, req, addr, access);
        if (waiter && is_translation_fault(&event) &&
            (event.u.f_walk_eabt.s2 ? cfg.s2cfg.stall : cfg.stall)) {
            smmuv3_stall_begin(s, &event, waiter);
            return -EINPROGRESS;
        }
        record(s, &event);
        /* fall through */
    case SMMU_TRANS_ABORT:
        return -EFAULT;
    default:
        return 0;
    }
}

/**
 * smmuv3_sva_retry - translate a stalled request again
 * @s: SMMU, locked
 * @event: the fault that it had; replaced if it stalls by another (in, out)
 *
 * Return: what becomes of it
 */
SMMURetry smmuv3_sva_retry(SMMUv3State *s, SMMUEventInfo *event)
{
    const SMMURequest req = {
        .ssid = event->u.f_walk_eabt.ssid,
        .ssv = event->u.f_walk_eabt.ssv,
        .priv = event->u.f_walk_eabt.pnu,
        .exec = event->u.f_walk_eabt.ind,
        .silent = true,
    };
    SMMUDevice *sdev = smmu_find_sdev(ARM_SMMU(s), event->sid);
    hwaddr addr = event->u.f_walk_eabt.addr;
    IOMMUAccessFlags access = event->u.f_walk_eabt.rnw ? IOMMU_RO : IOMMU_WO;
    SMMUEventInfo now = { .sid = event->sid, .inval_ste_allowed = true };
    SMMUTransCfg cfg = { .req = &req };
    SMMUTLBEntry *entry;

    switch (sdev ? translate_locked(sdev, addr, access, &cfg, &now, &entry) :
            SMMU_TRANS_ABORT) {
    case SMMU_TRANS_SUCCESS:
    case SMMU_TRANS_BYPASS:
    case SMMU_TRANS_DISABLE:
        return SMMU_RETRY_PASSES;
    case SMMU_TRANS_ERROR:
        if (!is_translation_fault(&now) ||
            !(now.u.f_walk_eabt.s2 ? cfg.s2cfg.stall : cfg.stall)) {
            return SMMU_RETRY_FAILS;
        }
        describe_request(&now, &req, addr, access);
        *event = now;
        return SMMU_RETRY_STALLS;
    default:
        return SMMU_RETRY_FAILS;
    }
}

/* A request of a device that knows only its address space: never stalls */
IOMMUTLBEntry smmuv3_sva_translate_mr(SMMUDevice *sdev, hwaddr addr,
                                      IOMMUAccessFlags flag)
{
    const SMMURequest req = { .priv = true };
    IOMMUTLBEntry entry;

    if (translate(sdev, &req, addr, flag, &entry, NULL)) {
        entry.perm = IOMMU_NONE;
    }
    return entry;
}

/**
 * smmuv3_find_sdev - what an SMMU keeps for a function
 * @bus: bus of the function
 * @opaque: the SMMU that is registered for the bus; the function may be behind
 *          its second one
 * @devfn: device and function number
 *
 * Return: the state of the function at the SMMU that it is behind
 */
SMMUDevice *smmuv3_find_sdev(PCIBus *bus, void *opaque, int devfn)
{
    return container_of(smmu_find_add_as(bus, opaque, devfn), SMMUDevice, as);
}

static int smmuv3_sva_translate(PCIBus *bus, void *opaque, int devfn,
                                uint32_t pasid, bool priv, bool exec,
                                hwaddr addr, IOMMUAccessFlags access,
                                IOMMUTLBEntry *out, PCISVAWaiter *waiter)
{
    const SMMURequest req = {
        .ssid = pasid,
        .ssv = pasid != PCI_NO_PASID,
        .priv = priv,
        .exec = exec,
    };

    return translate(smmuv3_find_sdev(bus, opaque, devfn), &req, addr, access,
                     out, waiter);
}

static void smmuv3_sva_cancel(PCIBus *bus, void *opaque, int devfn,
                              PCISVAWaiter *waiter)
{
    smmuv3_stall_cancel(smmuv3_find_sdev(bus, opaque, devfn)->smmu, waiter);
}

static int smmuv3_sva_peek(PCIBus *bus, void *opaque, int devfn,
                           uint32_t pasid, hwaddr addr, IOMMUTLBEntry *out)
{
    const SMMURequest req = {
        .ssid = pasid,
        .ssv = pasid != PCI_NO_PASID,
        .fresh = true,
    };
    SMMUDevice *sdev = smmuv3_find_sdev(bus, opaque, devfn);
    SMMUv3State *s = sdev->smmu;
    SMMUEventInfo event = { .sid = smmu_get_sid(sdev) };
    SMMUTransCfg cfg = { .req = &req };
    SMMUPTWEventInfo info = {};
    SMMUTLBEntry entry = {};
    int ret = -EFAULT;

    *out = (IOMMUTLBEntry) {
        .target_as = &address_space_memory,
        .iova = addr & ~0xfffULL,
        .translated_addr = addr & ~0xfffULL,
        .addr_mask = 0xfff,
        .perm = IOMMU_RW,
    };

    QEMU_LOCK_GUARD(&s->mutex);

    if (!smmu_enabled(s)) {
        return FIELD_EX32(s->gbpa, GBPA, ABORT) ? -EFAULT : 0;
    }
    if (smmuv3_decode_config(sdev, &cfg, &event) || cfg.aborted) {
        return -EFAULT;
    }
    if (cfg.bypassed) {
        return 0;
    }
    if (cfg.stage == SMMU_STAGE_1) {
        /* A TLB may hold an entry whose Access flag was cleared since */
        cfg.affd = true;
        ret = smmu_ptw(ARM_SMMU(s), &cfg, untag(&cfg, addr), IOMMU_NONE,
                       &entry, &info) ? -EFAULT : 0;
        out->iova = addr & ~entry.entry.addr_mask;
        out->translated_addr = entry.entry.translated_addr;
        out->addr_mask = entry.entry.addr_mask;
        out->perm = entry.entry.perm;
    }
    return ret;
}

static const PCIIOMMUOps smmuv3_sva_ops = {
    .get_address_space = smmu_find_add_as,
    .sva_translate = smmuv3_sva_translate,
    .sva_cancel = smmuv3_sva_cancel,
    .sva_peek = smmuv3_sva_peek,
};

static const PCIIOMMUOps *get_ops(const SMMUv3State *s)
{
    static PCIIOMMUOps with_ats;

    if (!s->ats) {
        return &smmuv3_sva_ops;
    }
    with_ats = smmuv3_sva_ops;
    smmuv3_ats_add_ops(&with_ats);
    return &with_ats;
}

/* Commands */

void smmuv3_sva_count_cmd(SMMUv3State *s, Cmd *cmd)
{
    bool all = CMD_TYPE(cmd) == SMMU_CMD_CFGI_STE_RANGE &&
               CMD_STE_RANGE(cmd) == 31;

    if (all) {
        s->cfgi_all_count++;
    } else if (s->sva && CMD_TYPE(cmd) == SMMU_CMD_SYNC && !CMD_SYNC_CS(cmd)) {
        /* Completion is not signalled: it only orders commands */
        s->sva->cmd_fence++;
    } else {
        s->cmd_count[CMD_TYPE(cmd)]++;
    }
}

/* IHI 0070, 4.1.3 and the descriptions of the commands */
bool smmuv3_cmd_is_legal(SMMUv3State *s, Cmd *cmd)
{
    switch (CMD_TYPE(cmd)) {
    case SMMU_CMD_PREFETCH_CONFIG:
    case SMMU_CMD_PREFETCH_ADDR:
    case SMMU_CMD_CFGI_STE:
    case SMMU_CMD_CFGI_STE_RANGE:
    case SMMU_CMD_CFGI_CD:
    case SMMU_CMD_CFGI_CD_ALL:
        return !CMD_SSEC(cmd);
    case SMMU_CMD_TLBI_NH_ALL:
    case SMMU_CMD_TLBI_NH_ASID:
    case SMMU_CMD_TLBI_NH_VA:
    case SMMU_CMD_TLBI_NH_VAA:
        return STAGE1_SUPPORTED(s);
    case SMMU_CMD_TLBI_EL2_ALL:
    case SMMU_CMD_TLBI_EL2_ASID:
    case SMMU_CMD_TLBI_EL2_VA:
    case SMMU_CMD_TLBI_EL2_VAA:
        return smmuv3_el2_cmd_legal(s);
    case SMMU_CMD_TLBI_S12_VMALL:
    case SMMU_CMD_TLBI_S2_IPA:
        return STAGE2_SUPPORTED(s);
    case SMMU_CMD_TLBI_NSNH_ALL:
        return true;
    case SMMU_CMD_RESUME:
    case SMMU_CMD_STALL_TERM:
        return s->stall && !CMD_SSEC(cmd);
    case SMMU_CMD_ATC_INV:
        return smmuv3_ats_cmd_legal(s, cmd);
    case SMMU_CMD_SYNC:
        return CMD_SYNC_CS(cmd) != 3;
    default:
        /* Not there, or needs a feature that IDR0 does not have */
        return false;
    }
}

static bool is_cfgi(Cmd *cmd)
{
    switch (CMD_TYPE(cmd)) {
    case SMMU_CMD_CFGI_STE:
    case SMMU_CMD_CFGI_STE_RANGE:
    case SMMU_CMD_CFGI_CD:
    case SMMU_CMD_CFGI_CD_ALL:
        return true;
    default:
        return false;
    }
}

static bool is_tlbi(Cmd *cmd)
{
    return CMD_TYPE(cmd) >= SMMU_CMD_TLBI_NH_ALL &&
           CMD_TYPE(cmd) <= SMMU_CMD_TLBI_NSNH_ALL;
}

static bool is_atc_inv(Cmd *cmd)
{
    return CMD_TYPE(cmd) == SMMU_CMD_ATC_INV;
}

/**
 * smmuv3_sva_cmd - consume a command, unless the base model does the same
 * @s: SMMU
 * @cmd: the command
 * @replayed: it was deferred before, and is due now
 * @err: set if it is in error (out)
 *
 * Return: true if it was consumed or is in error, false if it is left to the
 * caller
 */
bool smmuv3_sva_cmd(SMMUv3State *s, Cmd *cmd, bool replayed, SMMUCmdError *err)
{
    SMMUv3SVA *sva = s->sva;

    if (!sva) {
        return false;
    }

    sva->acted = false;
    if (!smmuv3_cmd_is_legal(s, cmd)) {
        *err = SMMU_CERROR_ILL;
        return true;
    }

    if (!replayed && is_atc_inv(cmd)) {
        smmuv3_ats_inval_begin(s, cmd);
    }

    if (is_cfgi(cmd) || is_tlbi(cmd) || is_atc_inv(cmd)) {
        if (!replayed && smmuv3_sync_defer(s, cmd)) {
            return true;
        }
        sva->acted = true;
        if (is_cfgi(cmd)) {
            sva->cfg_inval = true;
            smmuv3_cfg_inval(s, cmd);
            return true;
        }
        if (is_atc_inv(cmd)) {
            smmuv3_ats_inval(s, cmd);
            return true;
        }
        return smmuv3_el2_tlbi(s, cmd);
    }

    switch (CMD_TYPE(cmd)) {
    case SMMU_CMD_SYNC:
        if (!smmuv3_ats_sync_fails(s)) {
            return false;
        }
        *err = SMMU_CERROR_ATC_INV_SYNC;
        return true;
    case SMMU_CMD_RESUME:
        smmuv3_stall_resume(s, cmd);
        return true;
    case SMMU_CMD_STALL_TERM:
        smmuv3_stall_terminate(s, CMD_SID(cmd), UINT32_MAX);
        return true;
    default:
        return false;
    }
}

/* A command was executed, by smmuv3_sva_cmd() or the base model */
void smmuv3_sva_cmd_done(SMMUv3State *s)
{
    if (s->sva && s->sva->acted) {
        s->sva->acted = false;
        smmuv3_sync_refill(s);
    }
}
