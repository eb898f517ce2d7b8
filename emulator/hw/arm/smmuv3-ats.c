/*
 * SMMUv3: ATS, the translation caches of PCIe functions
 *
 * Translation requests, the check of translated requests, CMD_ATC_INV and its
 * time-out (IHI 0070, 3.9.1, 4.5.1, 4.7.3). ATS is on with the property ats.
 *
 * A function takes a while to act on an invalidation, and its cache keeps what
 * is to be invalidated until then. Its answer does not pass the accesses that it
 * has translated by its cache. A CMD_SYNC waits for all answers, or until one is
 * given up, x-timeout-ns after the invalidation was sent; sooner if no function
 * is there. Then it fails, and those of the others that have not been answered
 * are not waited for any more.
 *
 * Limits: no PRI, no split-stage ATS (IDR0.NS1ATS is 1), no PASID on translated
 * requests (IDR3.PASIDTT is 0). The fields R, W, X, PRIV and Span of
 * F_BAD_ATS_TREQ are 0; RnW of F_TRANSL_FORBIDDEN is 1, as the bus does not say
 * what a translated request is. XN bits are ignored, as for other requests.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "trace.h"
#include "hw/misc/iommu-choice.h"
#include "hw/misc/iommu-flight.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_device.h"
#include "smmuv3-sva.h"

#define ATS_PAGE_MASK   0xfffULL
#define CMD_ATC_GLOBAL(x)   extract32((x)->word[0], 9, 1)
#define CMD_ATC_SIZE(x)     extract32((x)->word[2], 0, 6)
#define ATC_SIZE_ALL    52

/* A function takes its time to answer */
#define ANSWER_MAX_NS   (50 * SCALE_US)

/* Until one that is not there is given up */
#define GONE_NS         (10 * SCALE_MS)

/*
 * Invalidations that may await an answer. Beyond this functions act at once, so
 * that the memory of a guest that never syncs is bounded.
 */
#define MAX_SENT        1024

/* PCIe permits a minute, and half as much again (PCIe 6.0, 10.3.1) */
#define MAX_TIMEOUT_NS  (INT64_C(90) * NANOSECONDS_PER_SECOND)

/* The function behind @bus, @devfn wants to know of invalidations of @pasid */
typedef struct SMMUv3ATCNotifier {
    PCIBus *bus;
    int devfn;
    uint32_t pasid;
    IOMMUNotifier *n;
    QLIST_ENTRY(SMMUv3ATCNotifier) next;
} SMMUv3ATCNotifier;

/* A CMD_ATC_INV that was sent, and is answered later */
typedef struct SMMUv3ATCInv {
    Cmd cmd;
    bool acted;             /* on by the function, whose DMA is in flight */
    uint64_t dma_mark;      /* of that */
    int64_t answer_ns;
    bool given_up;          /* no CMD_SYNC waits for it */
    QTAILQ_ENTRY(SMMUv3ATCInv) next;
} SMMUv3ATCInv;

/* Protected by the BQL. What is "since the last CMD_SYNC" starts anew there. */
struct SMMUv3ATS {
    QLIST_HEAD(, SMMUv3ATCNotifier) notifiers;
    QTAILQ_HEAD(, SMMUv3ATCInv) sent;
    uint32_t nr_sent;
    uint64_t dma_mark;      /* of those beyond MAX_SENT */
    QEMUTimer *timer;       /* of answers and of timeout_ns */
    IOMMUChoice answer;     /* how long does it take? */
    IOMMUChoice lost;       /* does an invalidation act beside one timed out? */
    bool doomed;            /* one since the last CMD_SYNC is never answered */
    uint32_t dead[16];      /* functions that will not, of those not sent yet */
    uint32_t nr_dead;
    int64_t timeout_ns;     /* when it is given up, or 0 */
    bool timed_out;         /* since the last CMD_SYNC */
    int64_t failed_ns;      /* when a CMD_SYNC failed last */
    int64_t settled_ns;     /* what differed then is invalidated by now */

    uint64_t ok;
    uint64_t fault;
    uint64_t unsupported;   /* completed with UR */
    uint64_t aborted;       /* completed with CA */
    uint64_t forbidden;
    uint64_t inv_refused;
    uint64_t inv_timeout;
    uint64_t inv_lost;
};

static void atc_timer_expired(void *opaque);

/* Set-up */

bool smmuv3_ats_realize(SMMUv3State *s, Error **errp)
{
    SMMUv3ATS *ats;

    if (!s->ats) {
        return true;
    }

    if (!s->timeout_ns || s->timeout_ns > MAX_TIMEOUT_NS) {
        error_setg(errp, "x-timeout-ns must be 1 to %lld",
                   (long long)MAX_TIMEOUT_NS);
        return false;
    }

    ats = s->sva->ats = g_new0(SMMUv3ATS, 1);
    QLIST_INIT(&ats->notifiers);
    QTAILQ_INIT(&ats->sent);
    iommu_inv_set_settled(ARM_SMMU(s)->primary_bus, &ats->settled_ns);
    ats->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, atc_timer_expired, s);
    iommu_choice_init(&ats->answer, s->seed, "smmuv3.answer", 0);
    iommu_choice_init(&ats->lost, s->seed, "smmuv3.atc", 0);
    return true;
}

void smmuv3_ats_init_idr(SMMUv3State *s)
{
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, ATS, s->ats);
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, NS1ATS, s->ats);
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, ATSRECERR, s->ats);
}

void smmuv3_ats_reset(SMMUv3State *s)
{
    SMMUv3ATS *ats = s->sva ? s->sva->ats : NULL;
    SMMUv3ATCInv *inv, *next;

    if (!ats) {
        return;
    }

    QTAILQ_FOREACH_SAFE(inv, &ats->sent, next, next) {
        QTAILQ_REMOVE(&ats->sent, inv, next);
        g_free(inv);
    }
    ats->nr_sent = 0;
    ats->dma_mark = 0;
    ats->doomed = false;
    ats->nr_dead = 0;
    ats->timeout_ns = 0;
    ats->timed_out = false;
    timer_del(ats->timer);
}

void smmuv3_ats_stats(SMMUv3State *s, GArray *stats)
{
    SMMUv3ATS *ats = s->sva ? s->sva->ats : NULL;

    if (ats) {
        IOMMUStat more[] = {
            { "cmd.atc_inv", &s->cmd_count[SMMU_CMD_ATC_INV] },
            { "evt.f_bad_ats_treq", &s->evt_count[SMMU_EVT_F_BAD_ATS_TREQ] },
            { "evt.f_transl_forb",
              &s->evt_count[SMMU_EVT_F_TRANS_FORBIDDEN] },
            { "ats.ok", &ats->ok },
            { "ats.fault", &ats->fault },
            { "ats.ur", &ats->unsupported },
            { "ats.ca", &ats->aborted },
            { "ats.forbidden", &ats->forbidden },
            { "atc_inv.ur", &ats->inv_refused },
            { "atc_inv.timeout", &ats->inv_timeout },
            { "atc_inv.lost", &ats->inv_lost },
        };

        g_array_append_vals(stats, more, ARRAY_SIZE(more));
    }
}

/* Requests */

/* The effective STE.EATS. 0b11 is reserved without DPT, and behaves as 0b00 */
static bool ats_allowed(STE *ste)
{
    return STE_EATS(ste) == 1;
}

/**
 * smmuv3_ats_check_ste - is an STE in error for what EATS says?
 * @s: SMMU
 * @ste: the STE, which enables a stage
 * @cfg: as decoded so far
 *
 * See IHI 0070, 5.2, EATS.
 *
 * Return: true if it is ILLEGAL
 */
bool smmuv3_ats_check_ste(SMMUv3State *s, STE *ste, const SMMUTransCfg *cfg)
{
    if (!s->ats) {
        return false;
    }
    return STE_EATS(ste) == 2 || (STE_EATS(ste) == 1 && cfg->s2cfg.stall);
}

/**
 * smmuv3_ats_select - decide about a request of ATS by its STE
 * @ste: decoded into @cfg already
 * @cfg: translation config; bypassed if the request needs no more (out)
 * @event: what to log, if it is refused (out)
 *
 * Return: 0 to go on with the CD, unless @cfg is aborted or bypassed; -EINVAL
 * if the request is refused
 */
int smmuv3_ats_select(STE *ste, SMMUTransCfg *cfg, SMMUEventInfo *event)
{
    SMMURequestKind kind = cfg->req->kind;

    if (cfg->aborted) {
        return 0;
    }
    if (cfg->bypassed || !ats_allowed(ste)) {
        event->type = kind == SMMU_REQ_ATS ? SMMU_EVT_F_BAD_ATS_TREQ :
                                             SMMU_EVT_F_TRANS_FORBIDDEN;
        return -EINVAL;
    }
    if (kind == SMMU_REQ_TRANSLATED) {
        cfg->bypassed = true;
    }
    return 0;
}

/* Log the error of an ATS request, if it is one that is logged */
static void ats_record(SMMUv3State *s, SMMUEventInfo *event,
                       const SMMURequest *req, hwaddr addr)
{
    switch (event->type) {
    case SMMU_EVT_F_BAD_ATS_TREQ:
        event->u.f_bad_ats_treq.ssid = req->ssv ? req->ssid : 0;
        event->u.f_bad_ats_treq.ssv = req->ssv;
        event->u.f_bad_ats_treq.addr = addr & ~ATS_PAGE_MASK;
        break;
    case SMMU_EVT_F_TRANS_FORBIDDEN:
        event->u.f_transl_forbidden.addr = addr;
        event->u.f_transl_forbidden.rnw = true;
        break;
    case SMMU_EVT_C_BAD_STREAMID:
        if (!FIELD_EX32(s->cr[2], CR2, REC_CFG_ATS) ||
            (req->kind == SMMU_REQ_ATS &&
             !FIELD_EX32(s->cr[2], CR2, RECINVSID))) {
            return;
        }
        break;
    default:
        if (!FIELD_EX32(s->cr[2], CR2, REC_CFG_ATS)) {
            return;
        }
        break;
    }
    smmuv3_sva_fail(s, event, req, addr, IOMMU_RO);
}

/* A fault of the tables, rather than of what leads to them */
static bool is_table_fault(const SMMUEventInfo *event)
{
    switch (event->type) {
    case SMMU_EVT_NONE:         /* CD.R is 0 */
    case SMMU_EVT_F_TRANSLATION:
    case SMMU_EVT_F_ADDR_SIZE:
    case SMMU_EVT_F_ACCESS:
    case SMMU_EVT_F_PERMISSION:
        return true;
    default:
        return false;
    }
}

static hwaddr ats_untag(const SMMUTransCfg *cfg, hwaddr addr)
{
    return extract32(cfg->tbi, extract64(addr, 55, 1), 1) ?
           sextract64(addr, 0, 56) : addr;
}

/* What the tables grant at @addr; IOMMU_NONE, with @event, if nothing */
static IOMMUAccessFlags ats_walk(SMMUv3State *s, SMMUTransCfg *cfg,
                                 hwaddr addr, bool no_write,
                                 SMMUEventInfo *event, IOMMUTLBEntry *out)
{
    IOMMUAccessFlags perm = IOMMU_NONE;
    SMMUTLBEntry *entry;

    if (smmuv3_do_translate(s, ats_untag(cfg, addr), cfg, event, IOMMU_RO,
                            &entry, SMMU_CLASS_IN) != SMMU_TRANS_SUCCESS) {
        return IOMMU_NONE;
    }
    perm = entry->entry.perm & entry->parent_perm & IOMMU_RO;
    out->iova = addr & ~entry->entry.addr_mask;
    out->translated_addr = entry->entry.translated_addr;
    out->addr_mask = entry->entry.addr_mask;

    /* Write permission is optional if NW is set (IHI 0070, 13.7) */
    if (!no_write) {
        SMMUEventInfo unused = *event;

        if (smmuv3_do_translate(s, ats_untag(cfg, addr), cfg, &unused,
                                IOMMU_WO, &entry,
                                SMMU_CLASS_IN) == SMMU_TRANS_SUCCESS) {
            perm |= entry->entry.perm & entry->parent_perm & IOMMU_WO;
        }
    }
    return perm;
}

/* Answer for one page */
static void ats_one(SMMUDevice *sdev, const SMMURequest *req, hwaddr addr,
                    bool no_write, IOMMUTLBEntry *out)
{
    SMMUv3State *s = sdev->smmu;
    SMMUv3ATS *ats = s->sva->ats;
    SMMUEventInfo event = { .sid = smmu_get_sid(sdev) };
    SMMUTransCfg cfg = { .req = req };
    bool refused = false;

    *out = (IOMMUTLBEntry) {
        .target_as = &address_space_memory,
        .iova = addr & ~ATS_PAGE_MASK,
        .translated_addr = addr & ~ATS_PAGE_MASK,
        .addr_mask = ATS_PAGE_MASK,
        .perm = IOMMU_NONE,
        .pasid = req->ssv ? req->ssid : PCI_NO_PASID,
    };

    WITH_QEMU_LOCK_GUARD(&s->mutex) {
        smmuv3_sync_note_request(sdev, req, addr, IOMMU_RO);
        if (!smmu_enabled(s)) {
            event.type = SMMU_EVT_F_BAD_ATS_TREQ;
        } else if (smmuv3_decode_config(sdev, &cfg, &event)) {
            /* event says why */
        } else if (cfg.aborted) {
            refused = true;
        } else if (cfg.bypassed) {
            /* Only untagged requests, by STE.S1DSS */
            out->perm = IOMMU_RO | (no_write ? IOMMU_NONE : IOMMU_WO);
        } else {
            out->perm = ats_walk(s, &cfg, addr, no_write, &event, out);
        }
    }

    if (out->perm) {
        ats->ok++;
        out->perm |= (req->exec ? IOMMU_EXEC : 0) |
                     (req->priv ? IOMMU_PRIV : 0);
    } else if (refused || event.type == SMMU_EVT_F_BAD_ATS_TREQ) {
        ats->unsupported++;
    } else if (is_table_fault(&event)) {
        ats->fault++;
        event.type = SMMU_EVT_NONE;
    } else {
        ats->aborted++;
    }
    trace_smmuv3_ats_request(event.sid, req->ssv ? (int)req->ssid : -1, addr,
                             no_write, out->perm, out->translated_addr,
                             event.type);
    if (event.type != SMMU_EVT_NONE) {
        ats_record(s, &event, req, addr);
    }
}

static ssize_t smmuv3_ats_request(PCIBus *bus, void *opaque, int devfn,
                                  uint32_t pasid, bool priv_req, bool exec_req,
                                  hwaddr addr, size_t length, bool no_write,
                                  IOMMUTLBEntry *result, size_t result_length,
                                  uint32_t *err_count)
{
    const SMMURequest req = {
        .ssid = pasid,
        .ssv = pasid != PCI_NO_PASID,
        .priv = priv_req,
        .exec = exec_req,
        .kind = SMMU_REQ_ATS,
    };
    IOMMUAccessFlags want = IOMMU_RO | (no_write ? 0 : IOMMU_WO) |
                            (exec_req ? IOMMU_EXEC : 0);
    SMMUDevice *sdev = smmuv3_find_sdev(bus, opaque, devfn);
    hwaddr last = addr + MAX(length, 1) - 1;
    IOMMUTLBEntry *out;
    ssize_t n;

    *err_count = 0;
    if (last < addr) {
        last = HWADDR_MAX;
    }
    addr &= ~ATS_PAGE_MASK;

    for (n = 0; n < result_length; n++) {
        out = &result[n];
        ats_one(sdev, &req, addr, no_write, out);
        if ((out->perm & want) != want) {
            (*err_count)++;
        }
        if ((out->iova | out->addr_mask) >= last) {
            return n + 1;
        }
        addr = (out->iova | out->addr_mask) + 1;
    }
    return -ENOMEM;
}

static bool smmuv3_ats_check_translated(PCIBus *bus, void *opaque, int devfn,
                                        uint32_t pasid, hwaddr addr)
{
    /* The PASID of a translated request is not looked at: PASIDTT is 0 */
    static const SMMURequest req = { .kind = SMMU_REQ_TRANSLATED };
    SMMUDevice *sdev = smmuv3_find_sdev(bus, opaque, devfn);
    SMMUv3State *s = sdev->smmu;
    SMMUEventInfo event = { .sid = smmu_get_sid(sdev) };
    SMMUTransCfg cfg = { .req = &req };
    bool pass = false;

    WITH_QEMU_LOCK_GUARD(&s->mutex) {
        if (!smmu_enabled(s)) {
            event.type = SMMU_EVT_F_TRANS_FORBIDDEN;
        } else if (addr >> s->oas) {
            /* Aborted, and nothing is recorded (IHI 0070, 3.9.1.1) */
        } else if (!FIELD_EX32(s->cr[0], CR0, ATSCHK)) {
            pass = true;
        } else if (!smmuv3_decode_config(sdev, &cfg, &event)) {
            pass = !cfg.aborted;
        }
    }

    if (!pass) {
        s->sva->ats->forbidden++;
        trace_smmuv3_ats_forbidden(event.sid, addr, event.type);
        if (event.type != SMMU_EVT_NONE) {
            ats_record(s, &event, &req, addr);
        }
    }
    return pass;
}

static void smmuv3_ats_iotlb_info(void *opaque, uint8_t *addr_width,
                                  uint32_t *min_page_size)
{
    *addr_width = 64;
    *min_page_size = ATS_PAGE_MASK + 1;
}

/* Invalidation */

static void smmuv3_ats_init_notifier(PCIBus *bus, void *opaque, int devfn,
                                     IOMMUNotifier *n, IOMMUNotify fn,
                                     void *user_opaque)
{
    iommu_notifier_init(n, fn, IOMMU_NOTIFIER_DEVIOTLB_EVENTS, 0, HWADDR_MAX,
                        0);
    n->opaque = user_opaque;
}

static void smmuv3_ats_register(PCIBus *bus, void *opaque, int devfn,
                                uint32_t pasid, IOMMUNotifier *n)
{
    SMMUv3State *s = smmuv3_find_sdev(bus, opaque, devfn)->smmu;
    SMMUv3ATS *ats = s->sva->ats;
    SMMUv3ATCNotifier *new = g_new(SMMUv3ATCNotifier, 1);

    *new = (SMMUv3ATCNotifier) {
        .bus = bus, .devfn = devfn, .pasid = pasid, .n = n,
    };
    QLIST_INSERT_HEAD(&ats->notifiers, new, next);
}

static void smmuv3_ats_unregister(PCIBus *bus, void *opaque, int devfn,
                                  uint32_t pasid, IOMMUNotifier *n)
{
    SMMUv3State *s = smmuv3_find_sdev(bus, opaque, devfn)->smmu;
    SMMUv3ATS *ats = s->sva->ats;
    SMMUv3ATCNotifier *old;

    QLIST_FOREACH(old, &ats->notifiers, next) {
        if (old->bus == bus && old->devfn == devfn && old->pasid == pasid &&
            old->n == n) {
            QLIST_REMOVE(old, next);
            g_free(old);
            return;
        }
    }
}

/* The function @sid, NULL if there is none or it was pulled */
static PCIDevice *atc_function(SMMUv3State *s, uint32_t sid)
{
    PCIDevice *pci = NULL;

    if (sid <= UINT16_MAX) {
        pci = pci_find_device(ARM_SMMU(s)->primary_bus, PCI_BUS_NUM(sid),
                              PCI_BDF_TO_DEVFN(sid));
    }
    return pci && pci->enabled ? pci : NULL;
}

/*
 * How long the function @sid takes to answer, or IOMMU_INV_NEVER. One that is
 * not there never does (IHI 0070, 3.9.1.4). One with ATS off completes with UR,
 * which the SMMU takes for an answer (3.9.1.5).
 */
static int64_t atc_answer_ns(SMMUv3State *s, uint32_t sid)
{
    PCIDevice *pci = atc_function(s, sid);
    int64_t ns;

    if (!pci) {
        return IOMMU_INV_NEVER;
    }
    ns = pcie_ats_enabled(pci) ? iommu_inv_answer_ns(pci) : 0;
    return ns > 0 && ns > s->timeout_ns ? IOMMU_INV_NEVER : ns;
}

bool smmuv3_ats_cmd_legal(SMMUv3State *s, Cmd *cmd)
{
    /* More than all is permitted to be ILLEGAL (IHI 0070, 4.5.1) */
    return s->ats && CMD_ATC_SIZE(cmd) <= ATC_SIZE_ALL;
}

/* Ignored with SMMUEN 0, and if it names a PASID where there are none */
static bool atc_inv_ignored(SMMUv3State *s, Cmd *cmd)
{
    return !smmu_enabled(s) || (CMD_SSV(cmd) && !s->ssidsize);
}

/**
 * smmuv3_ats_inval_begin - a CMD_ATC_INV is consumed
 * @s: SMMU
 * @cmd: the command, which acts before the next CMD_SYNC completes
 */
void smmuv3_ats_inval_begin(SMMUv3State *s, Cmd *cmd)
{
    SMMUv3ATS *ats = s->sva->ats;

    if (!atc_inv_ignored(s, cmd) && ats->nr_dead < ARRAY_SIZE(ats->dead) &&
        atc_answer_ns(s, CMD_SID(cmd)) == IOMMU_INV_NEVER) {
        ats->dead[ats->nr_dead++] = CMD_SID(cmd);
        ats->doomed = true;
    }
}

/* What is lost with a time-out is lost only if that happens: no way back */
static bool atc_is_dead(const SMMUv3ATS *ats, uint32_t sid)
{
    uint32_t i;

    for (i = 0; i < ats->nr_dead; i++) {
        if (ats->dead[i] == sid) {
            return true;
        }
    }
    return false;
}

static bool atc_inv_covers(Cmd *cmd, uint32_t pasid)
{
    if (!CMD_SSV(cmd)) {
        return pasid == PCI_NO_PASID;
    }
    return pasid == CMD_SSID(cmd) ||
           (CMD_ATC_GLOBAL(cmd) && pasid != PCI_NO_PASID);
}

/* The function drops what is to be invalidated */
static void atc_invalidate(SMMUv3State *s, Cmd *cmd)
{
    unsigned int shift = 12 + CMD_ATC_SIZE(cmd);
    hwaddr mask = MAKE_64BIT_MASK(0, MIN(shift, 64));
    SMMUv3ATS *ats = s->sva->ats;
    SMMUv3ATCNotifier *n, *next;

    QLIST_FOREACH_SAFE(n, &ats->notifiers, next, next) {
        const IOMMUTLBEvent event = {
            .type = IOMMU_NOTIFIER_DEVIOTLB_UNMAP,
            .entry = {
                .target_as = &address_space_memory,
                .iova = CMD_ADDR(cmd) & ~mask,
                .addr_mask = mask,
                .perm = IOMMU_NONE,
                .pasid = n->pasid,
            },
        };

        if (PCI_BUILD_BDF(pci_bus_num(n->bus), n->devfn) == CMD_SID(cmd) &&
            atc_inv_covers(cmd, n->pasid)) {
            memory_region_notify_iommu_one(n->n, &event);
        }
    }
}

/*
 * The function invalidates, or refuses to, and answers when the accesses have
 * reached memory that it has translated by its cache until then: no completion
 * passes a posted write (PCIe 6.0, 2.4.1 and 10.3.3). Returns false if it is to
 * be asked again at answer_ns.
 */
static bool atc_answer(SMMUv3State *s, SMMUv3ATCInv *inv)
{
    PCIDevice *pci = atc_function(s, CMD_SID(&inv->cmd));
    const IOMMUFlightKinds own = { .dev = pci, .translated = IOMMU_FLIGHT_ALL };
    SMMUv3ATS *ats = s->sva->ats;

    if (!pci) {
        /*
         * It was pulled before it answered. If it was given up, the CMD_SYNC
         * behind it has failed already, and no other one waits.
         */
        ats->inv_timeout++;
        ats->timed_out |= !inv->given_up;
        return true;
    }
    if (!inv->acted) {
        inv->acted = true;
        if (pcie_ats_enabled(pci)) {
            atc_invalidate(s, &inv->cmd);
        } else {
            ats->inv_refused++;
        }
        inv->dma_mark = iommu_flight_mark();
    }
    return !ARM_SMMU(s)->strict ||
           iommu_flight_over(inv->dma_mark, &own, &inv->answer_ns);
}

/* When the next of those that a CMD_SYNC waits for, or of all, is due */
static int64_t atc_due_ns(const SMMUv3ATS *ats, bool all)
{
    int64_t due = ats->timeout_ns ?: INT64_MAX;
    const SMMUv3ATCInv *inv;

    QTAILQ_FOREACH(inv, &ats->sent, next) {
        if (all || !inv->given_up) {
            due = MIN(due, inv->answer_ns);
        }
    }
    return due;
}

static void atc_arm(SMMUv3ATS *ats)
{
    int64_t due = atc_due_ns(ats, true);

    if (due == INT64_MAX) {
        timer_del(ats->timer);
    } else {
        timer_mod_ns(ats->timer, due);
    }
}

/* Take the answers, and the time-out, that are due */
static void atc_run(SMMUv3State *s)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    SMMUv3ATS *ats = s->sva->ats;
    SMMUv3ATCInv *inv, *next;

    QTAILQ_FOREACH_SAFE(inv, &ats->sent, next, next) {
        if (inv->answer_ns <= now && atc_answer(s, inv)) {
            QTAILQ_REMOVE(&ats->sent, inv, next);
            ats->nr_sent--;
            g_free(inv);
        }
    }
    if (ats->timeout_ns && ats->timeout_ns <= now) {
        ats->timeout_ns = 0;
        ats->timed_out = true;
    }
    if (ats->timed_out) {
        QTAILQ_FOREACH(inv, &ats->sent, next) {
            inv->given_up = true;
        }
    }
    atc_arm(ats);
}

static void atc_timer_expired(void *opaque)
{
    atc_run(opaque);
}

/**
 * smmuv3_ats_inval - a CMD_ATC_INV is sent to the function
 * @s: SMMU
 * @cmd: the command
 *
 * With one that times out, an unknown set of those outstanding is lost (IHI
 * 0070, 4.7.3).
 */
void smmuv3_ats_inval(SMMUv3State *s, Cmd *cmd)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), ns, end;
    SMMUv3ATS *ats = s->sva->ats;
    SMMUv3ATCInv *inv;
    bool full;

    if (atc_inv_ignored(s, cmd)) {
        return;
    }

    ns = atc_is_dead(ats, CMD_SID(cmd)) ? IOMMU_INV_NEVER :
                                          atc_answer_ns(s, CMD_SID(cmd));
    if (ns == IOMMU_INV_NEVER) {
        end = now + (atc_function(s, CMD_SID(cmd)) ? s->timeout_ns :
                     MIN(s->timeout_ns, GONE_NS));
        ats->inv_timeout++;
        ats->doomed = true;
        ats->timeout_ns = ats->timeout_ns ? MIN(ats->timeout_ns, end) : end;
        atc_arm(ats);
        return;
    }
    if (ats->doomed && iommu_choice_below(&ats->lost, 2)) {
        ats->inv_lost++;
        return;
    }
    if (!ns && ARM_SMMU(s)->strict && (s->wild & SMMU_WILD_ANSWER)) {
        ns = iommu_choice_below(&ats->answer, ANSWER_MAX_NS + 1);
    }
    inv = g_new(SMMUv3ATCInv, 1);
    *inv = (SMMUv3ATCInv) { .cmd = *cmd, .answer_ns = now + ns };
    full = ats->nr_sent >= MAX_SENT;
    if ((!ns || full) && atc_answer(s, inv)) {
        g_free(inv);
        return;
    }
    if (full) {
        ats->dma_mark = inv->dma_mark;
        g_free(inv);
        return;
    }
    QTAILQ_INSERT_TAIL(&ats->sent, inv, next);
    ats->nr_sent++;
    atc_arm(ats);
}

/**
 * smmuv3_ats_sync_waits - does a CMD_SYNC wait for functions?
 * @s: SMMU
 * @due_ns: when to ask again, set if it does (out)
 *
 * Return: false if all invalidations are answered, and the accesses have reached
 * memory that an answer does not pass, or if one was given up
 */
bool smmuv3_ats_sync_waits(SMMUv3State *s, int64_t *due_ns)
{
    const IOMMUFlightKinds kinds = {
        .iommu = OBJECT(s), .translated = IOMMU_FLIGHT_ALL,
    };
    SMMUv3ATS *ats = s->sva->ats;
    int64_t due;

    if (!ats) {
        return false;
    }
    atc_run(s);
    due = atc_due_ns(ats, false);
    if (ats->timed_out) {
        return false;
    }
    if (due == INT64_MAX) {
        return !iommu_flight_over(ats->dma_mark, &kinds, due_ns);
    }
    *due_ns = due;
    return true;
}

/**
 * smmuv3_ats_sync_fails - can a CMD_SYNC not complete?
 * @s: SMMU
 *
 * After a failure software has to invalidate again (IHI 0070, 4.7.3). Neither
 * the same CMD_SYNC, executed again, nor that of another CPU waits for that:
 * what the caches of functions hold is not late before software has had the
 * time that it has from a store to a CMD_SYNC.
 *
 * Return: true if a CMD_ATC_INV before it has timed out, once for any number of
 * them: CERROR_ATC_INV_SYNC, and the CMD_SYNC is not consumed
 */
bool smmuv3_ats_sync_fails(SMMUv3State *s)
{
    SMMUv3ATS *ats = s->sva->ats;
    bool fails = ats && ats->timed_out;

    if (!ats) {
        return false;
    }
    if (fails) {
        ats->failed_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    } else if (ARM_SMMU(s)->settled_ns > ats->failed_ns) {
        ats->settled_ns = ARM_SMMU(s)->settled_ns;
    }
    ats->doomed = false;
    ats->nr_dead = 0;
    ats->timeout_ns = 0;
    ats->timed_out = false;
    return fails;
}

void smmuv3_ats_add_ops(PCIIOMMUOps *ops)
{
    ops->get_iotlb_info = smmuv3_ats_iotlb_info;
    ops->init_iotlb_notifier = smmuv3_ats_init_notifier;
    ops->register_iotlb_notifier = smmuv3_ats_register;
    ops->unregister_iotlb_notifier = smmuv3_ats_unregister;
    ops->ats_request_translation = smmuv3_ats_request;
    ops->sva_check_translated = smmuv3_ats_check_translated;
}
