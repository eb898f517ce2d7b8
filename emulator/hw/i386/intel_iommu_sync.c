/*
 * VT-d: when invalidations act, and when wait descriptors complete
 *
 * What VT-d 6.5.2.11 guarantees of the order of descriptors, and no more:
 *
 * - an invalidation of the kinds context cache, PASID cache, IOTLB, device-TLB
 *   acts after all those in front of it that come earlier in this list;
 * - a wait descriptor completes after all that is in front of it;
 * - what is behind a wait descriptor acts after its completion if it has the
 *   fence flag (FN).
 *
 * In between, hardware may fetch again what is still reachable, and devices may
 * ask again. Strict caching chooses among these, seeded by x-seed:
 *
 * - A wait descriptor completes a while after it was fetched, in time of the
 *   virtual clock. Until then the queue stops at it, or, without FN, goes on.
 * - Each invalidation acts when it is fetched, or until the next wait
 *   descriptor completes, in any of the orders above.
 * - After each, recent requests are translated again from the caches as they
 *   are then. These are no accesses: no fault, no count, no Accessed or Dirty
 *   bit, no stale check. A device-TLB has its translations again if the IOTLB
 *   still holds those that memory does not grant any more.
 * - A device takes a while to answer. Until then hardware may hold back what is
 *   behind in the queue. One that does not answer is given up; see time_out().
 * - A page group response is posted: no rule keeps it behind invalidations, and
 *   no wait descriptor is needed for it to be sent. It is sent when it is
 *   fetched or, while a device in front of it has not answered, held back.
 * - If an invalidation of the IOTLB drains, the completion waits for accesses
 *   that the unit has translated before. It says nothing about those that a
 *   device has translated by its own TLB, which that device's answer waits for.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "hw/i386/pc.h"
#include "hw/misc/iommu-flight.h"
#include "intel_iommu_sva.h"

/* A wait of hardware takes microseconds */
#define WAIT_MIN_NS     2000
#define WAIT_MAX_NS     200000

/* A device takes its time to answer */
#define ANSWER_MAX_NS   50000

/* Until a function that cannot answer is given up */
#define GONE_NS         10000000

/*
 * Software takes no longer from the change of an entry to the descriptors for it,
 * on a host that stops a vCPU in between.
 */
#define SETTLE_NS       1000000000

/*
 * Invalidations, and wait descriptors, that may be under way. Beyond this they
 * act without a wait, which is permitted, and are not fetched until devices have
 * answered, so that a guest cannot use up our memory, nor our time once it waits.
 */
#define MAX_DEFERRED    256
#define MAX_WAITS       64
#define MAX_RESPONSES   256

/* Translations per wait descriptor that only serve to refill the caches */
#define MAX_REFILLS     512

/* A descriptor that was fetched, and is not complete */
struct VTDFetched {
    enum { FETCHED_INVAL, FETCHED_RESPONSE, FETCHED_WAIT } type;

    VTDInval inv;           /* An invalidation: */
    unsigned int drain;     /* kinds of accesses that are waited for */
    bool sent;              /* to the device, which has not answered */
    bool invalidated;       /* by the device, whose DMA is still in flight */
    uint64_t dma_mark;      /* of that */
    bool held;              /* until a device in front of it has answered */
    bool no_answer;         /* the device is given up */
    int64_t sent_ns;
    int64_t answer_ns;      /* then */

    VTDInvDesc desc;        /* A response, or a wait descriptor: */
    bool responded;         /* the response is sent; until a wait completes */
    bool unfenced;          /* a drain's invalidations do not wait for it */
    bool aborted;           /* a wait descriptor behind it is */
    bool blocks;            /* the queue stops at it */
    bool acted;             /* what is in front of it has */
    int64_t fetched_ns;
    int64_t due_ns;
    VTDMark mark;           /* of the accesses that it waits for */
    VTDDrain drained[4];    /* PASIDs whose IOTLB is invalidated in front */
    uint32_t nr_drained;

    QTAILQ_ENTRY(VTDFetched) next;
};

/* Kinds in the order that 6.5.2.11 keeps */
static int rank(const VTDInval *inv)
{
    switch (inv->kind) {
    case VTD_INVAL_CTX_ALL:
    case VTD_INVAL_CTX_SID:
        return 0;
    case VTD_INVAL_PASID_ALL:
    case VTD_INVAL_PASID_DID:
    case VTD_INVAL_PASID_ONE:
        return 1;
    case VTD_INVAL_TLB_ALL:
    case VTD_INVAL_TLB_DID:
    case VTD_INVAL_TLB_PAGES:
    case VTD_INVAL_PTLB_ALL:
    case VTD_INVAL_PTLB_PAGES:
        return 2;
    default:
        return 3;
    }
}

static bool is_of_device(const VTDInval *inv)
{
    return inv->kind >= VTD_INVAL_DEV;
}

static int64_t now_ns(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

static void take_off(VTDSVA *sva, VTDFetched *f)
{
    VTDFetched *held;

    QTAILQ_REMOVE(&sva->fetched, f, next);
    switch (f->type) {
    case FETCHED_INVAL:
        sva->nr_deferred--;
        break;
    case FETCHED_RESPONSE:
        sva->nr_responses--;
        break;
    case FETCHED_WAIT:
        sva->nr_waits--;
        sva->blocked &= !f->blocks;
        break;
    }
    if (f->sent) {
        QTAILQ_FOREACH(held, &sva->fetched, next) {
            held->held = false;
        }
    }
    g_free(f);
}

static PCIDevice *find_function(uint16_t sid)
{
    PCIBus *root = PC_MACHINE(qdev_get_machine())->pcibus;
    PCIDevice *pci = pci_find_device(root, PCI_BUS_NUM(sid),
                                     PCI_BDF_TO_DEVFN(sid));

    return pci && pci->enabled ? pci : NULL;
}

/* A function that is there, and may send requests */
static bool is_requester(uint16_t sid)
{
    PCIDevice *pci = find_function(sid);

    return pci &&
           (pci_get_word(pci->config + PCI_COMMAND) & PCI_COMMAND_MASTER);
}

/*
 * An invalidation acted: fetch again. The total between two wait descriptors is
 * bounded, as there may be many invalidations. The most recent requests come
 * first.
 */
static void refill(IntelIOMMUState *s)
{
    VTDSVA *sva = s->sva;
    uint32_t n, size = ARRAY_SIZE(sva->recent);
    VTDRequest req;

    if (!(s->wild & VTD_WILD_REFILL) || !vtd_sva_active(s)) {
        return;
    }
    n = MIN(MIN(sva->nr_recent, size),
            MAX(sva->refills / (sva->nr_deferred + 1), 1));
    n = MIN(n, sva->refills);
    sva->refills -= n;
    while (n--) {
        WITH_QEMU_LOCK_GUARD(&sva->lock) {
            req = sva->recent[(sva->nr_recent - 1 - n) % size];
        }
        if (is_requester(req.sid)) {
            vtd_sva_fetch(s, &req);
        }
    }
}

/* Wait for accesses that the unit has translated by now */
static void drain(VTDSVA *sva, unsigned int kinds)
{
    if (kinds & IOMMU_FLIGHT_READ) {
        sva->flight_mark.reads = iommu_flight_mark();
    }
    if (kinds & IOMMU_FLIGHT_WRITE) {
        sva->flight_mark.writes = iommu_flight_mark();
    }
}

/* Have they reached memory? If not, *@again_ns says when to ask again. */
static bool is_drained(IntelIOMMUState *s, const VTDMark *mark,
                       int64_t *again_ns)
{
    const IOMMUFlightKinds reads = {
        .iommu = OBJECT(s), .untranslated = IOMMU_FLIGHT_READ,
    };
    const IOMMUFlightKinds writes = {
        .iommu = OBJECT(s), .untranslated = IOMMU_FLIGHT_WRITE,
    };

    return iommu_flight_over(mark->reads, &reads, again_ns) &&
           iommu_flight_over(mark->writes, &writes, again_ns);
}

/* Is there a device-TLB invalidation whose completion is outstanding? */
static bool is_answer_due(const VTDFetched *f)
{
    return f->type == FETCHED_INVAL && is_of_device(&f->inv);
}

static void respond(IntelIOMMUState *s, VTDFetched *f)
{
    if (!f->responded) {
        f->responded = true;
        vtd_prq_respond(s, &f->desc);
    }
}

/* Page group responses go out, unless a device in front has to answer */
static void respond_all(IntelIOMMUState *s)
{
    VTDFetched *f;

    QTAILQ_FOREACH(f, &s->sva->fetched, next) {
        if (is_answer_due(f)) {
            break;
        }
        if (f->type == FETCHED_RESPONSE) {
            respond(s, f);
        }
    }
}

/*
 * A wait descriptor that was fetched at @fetched_ns is complete: of what was
 * changed long before, nothing is left. Where an invalidation was dropped since
 * then, TLBs of devices may have what it should have removed: software has to
 * repeat it, and has the time for that which it has from a store on.
 */
static void settle(VTDSVA *sva, int64_t fetched_ns)
{
    sva->settled_ns = MAX(sva->settled_ns, fetched_ns - SETTLE_NS);
    if (sva->settled_ns > sva->dropped_ns) {
        sva->settled_atc_ns = sva->settled_ns;
    }
}

/*
 * The device has invalidated, and what it has sent before has arrived (VT-d
 * 7.10, PCIe 10.3.3): page requests at the unit, accesses in memory.
 */
static void answered(IntelIOMMUState *s, VTDFetched *f)
{
    VTDSVA *sva = s->sva;

    if (!f->invalidated) {
        vtd_cache_inval(s, &f->inv);
    }
    vtd_prq_push(s, f->inv.sid);
    take_off(sva, f);
    respond_all(s);
}

/*
 * The device invalidates. Its answer is not sent before the accesses have
 * reached memory that it has translated by its TLB until then (PCIe 10.3.3). One
 * that was removed, or reset, since it was asked has forgotten that.
 */
static void answer(IntelIOMMUState *s, VTDFetched *f)
{
    PCIDevice *pci = find_function(f->inv.sid);
    const IOMMUFlightKinds own = { .dev = pci, .translated = IOMMU_FLIGHT_ALL };

    if (!pci || !pcie_ats_enabled(pci)) {
        f->no_answer = true;
        f->answer_ns = MAX(f->answer_ns,
                           f->sent_ns + MIN(s->timeout_ns, GONE_NS));
        return;
    }
    if (!f->invalidated) {
        f->invalidated = true;
        vtd_cache_inval(s, &f->inv);
        f->dma_mark = iommu_flight_mark();
    }
    if (!s->strict ||
        iommu_flight_over(f->dma_mark, &own, &f->answer_ns)) {
        answered(s, f);
    }
}

/*
 * Send an invalidation to a device. A function that was removed, or has its ATS
 * disabled, does not answer, and is given up soon.
 */
static void send_to_device(IntelIOMMUState *s, VTDFetched *f)
{
    PCIDevice *pci = find_function(f->inv.sid);
    bool can_answer = pci && pcie_ats_enabled(pci);
    int64_t ns = can_answer ? iommu_inv_answer_ns(pci) : IOMMU_INV_NEVER;
    int64_t timeout = can_answer ? s->timeout_ns :
                                   MIN(s->timeout_ns, GONE_NS);

    if (!ns) {
        ns = s->answer_ns;
    }
    if (!ns && s->strict && (s->wild & VTD_WILD_ANSWER)) {
        ns = iommu_choice_below(&s->sva->answer_choice, ANSWER_MAX_NS + 1);
    }
    f->sent = true;
    f->sent_ns = now_ns();
    f->no_answer = ns < 0 || ns > timeout;
    f->answer_ns = f->sent_ns + (f->no_answer ? timeout : ns);
    if (!ns) {
        answer(s, f);
    }
}

static void act(IntelIOMMUState *s, VTDFetched *f)
{
    VTDSVA *sva = s->sva;

    if (is_of_device(&f->inv)) {
        send_to_device(s, f);
    } else {
        vtd_cache_inval(s, &f->inv);
        drain(sva, f->drain);
        take_off(sva, f);
    }
    refill(s);
}

/*
 * A device in front has not answered: what is behind is held back until it does,
 * in most cases, as where hardware has room for one such request.
 */
static bool hold(IntelIOMMUState *s, VTDFetched *f)
{
    f->held = s->strict && (s->wild & VTD_WILD_ORDER) &&
              iommu_choice_below(&s->sva->hold_choice, 4);
    return f->held;
}

/*
 * Choose what acts next, in the order of the queue or in any that 6.5.2.11
 * permits. What is behind an invalidation that was sent may be held back.
 */
static VTDFetched *next_to_act(IntelIOMMUState *s)
{
    VTDSVA *sva = s->sva;
    VTDFetched *may[MAX_DEFERRED], *f;
    bool wild = s->strict && (s->wild & VTD_WILD_ORDER), waits = false;
    int lowest = INT_MAX;
    uint32_t n = 0, i;

    QTAILQ_FOREACH(f, &sva->fetched, next) {
        waits |= f->sent;
        if (f->type != FETCHED_INVAL || f->sent || rank(&f->inv) > lowest) {
            continue;
        }
        lowest = rank(&f->inv);
        if (!f->held && !(waits && hold(s, f))) {
            may[n++] = f;
        }
    }
    if (!n) {
        return NULL;
    }
    i = wild && n > 1 ? iommu_choice_below(&sva->order_choice, n) : 0;
    return may[i];
}

/* Does any invalidation in front of @end, or at all, have to act, or answer? */
static bool is_pending(VTDSVA *sva, const VTDFetched *end, bool to_act)
{
    const VTDFetched *f;

    QTAILQ_FOREACH(f, &sva->fetched, next) {
        if (f == end) {
            break;
        }
        if (f->type == FETCHED_INVAL && !(to_act && (f->sent || f->held))) {
            return true;
        }
    }
    return false;
}

/*
 * All in front of @end acts, or all if that is NULL. The choice includes what
 * is behind a wait descriptor: it is no fence, or the queue would have stopped.
 */
static void act_before(IntelIOMMUState *s, const VTDFetched *end)
{
    VTDSVA *sva = s->sva;
    VTDFetched *f;

    sva->refills = MAX_REFILLS;
    while (is_pending(sva, end, true) && (f = next_to_act(s))) {
        act(s, f);
    }
    sva->refills = MAX_REFILLS;
}

/* May the last one that was fetched act before those in front of it? */
static bool may_be_early(IntelIOMMUState *s)
{
    VTDSVA *sva = s->sva;
    VTDFetched *last = QTAILQ_LAST(&sva->fetched), *f;
    bool waits = false;

    if (!s->strict) {
        return true;
    }
    if (!(s->wild & VTD_WILD_EARLY)) {
        return false;
    }
    QTAILQ_FOREACH(f, &sva->fetched, next) {
        waits |= f->sent;
        if (f->type == FETCHED_INVAL && !f->sent &&
            rank(&f->inv) < rank(&last->inv)) {
            return false;
        }
    }
    return !(waits && hold(s, last)) &&
           iommu_choice_below(&sva->early_choice, 2);
}

static VTDFetched *first_wait(VTDSVA *sva)
{
    VTDFetched *f;

    QTAILQ_FOREACH(f, &sva->fetched, next) {
        if (f->type == FETCHED_WAIT) {
            return f;
        }
    }
    return NULL;
}

/* The invalidation that a device answers next, or is given up for */
static VTDFetched *first_answer(VTDSVA *sva)
{
    VTDFetched *f, *first = NULL;

    QTAILQ_FOREACH(f, &sva->fetched, next) {
        if (f->sent && (!first || f->answer_ns < first->answer_ns)) {
            first = f;
        }
    }
    return first;
}

/*
 * A device does not answer (VT-d 6.5.2.10, 11.4.9.1). ITE is set, and nothing
 * is fetched until software clears it. All wait descriptors that were fetched
 * are aborted: their status is not written. Neither the oldest invalidation
 * that is not answered nor what is behind it need have acted: those of
 * device-TLBs have not, others by choice. Of the page group responses in front
 * of an aborted wait descriptor those that were held back are dropped; others
 * were sent long ago. Software cannot tell which.
 */
static void time_out(IntelIOMMUState *s)
{
    VTDSVA *sva = s->sva;
    VTDFetched *f, *next;
    bool behind = false, aborted = false;

    QTAILQ_FOREACH_REVERSE(f, &sva->fetched, next) {
        aborted |= f->type == FETCHED_WAIT;
        f->aborted = aborted;
    }
    QTAILQ_FOREACH_SAFE(f, &sva->fetched, next, next) {
        behind |= f->sent;
        if (f->type == FETCHED_WAIT && f->blocks) {
            vtd_inv_queue_consume(s);
        }
        if (f->type == FETCHED_RESPONSE) {
            sva->resp_aborted += f->aborted && f->responded;
            if (f->aborted) {
                take_off(sva, f);
            }
        } else if (f->type == FETCHED_WAIT) {
            take_off(sva, f);
        } else if (behind && (is_of_device(&f->inv) ||
                              iommu_choice_below(&sva->abort_choice, 2))) {
            take_off(sva, f);
        } else {
            f->held = false;
        }
    }
    sva->dropped_ns = now_ns();
    act_before(s, NULL);
    respond_all(s);
    sva->cmd_timeout++;
    vtd_inv_queue_timeout(s);
}

static void complete(IntelIOMMUState *s, VTDFetched *f)
{
    VTDSVA *sva = s->sva;
    g_autofree VTDFetched *wait = g_memdup2(f, sizeof(*f));
    VTDFetched *in_front, *next;

    QTAILQ_FOREACH_SAFE(in_front, &sva->fetched, next, next) {
        if (in_front == f) {
            break;
        }
        if (in_front->type == FETCHED_RESPONSE) {
            take_off(sva, in_front);
        }
    }
    take_off(sva, f);
    settle(sva, wait->fetched_ns);
    vtd_prq_check_present(s);
    if (wait->desc.lo & VTD_INV_DESC_WAIT_PD) {
        sva->cmd_drain++;
        vtd_prq_drain(s, wait->drained, wait->nr_drained);
    }
    vtd_inv_queue_complete(s, &wait->desc, wait->blocks);
}

/*
 * Complete what can be completed now. Devices and status writes may lead back
 * here, by registers: then there is nothing to be done, as this looks at all
 * again after each step.
 */
static void run(IntelIOMMUState *s)
{
    VTDSVA *sva = s->sva;
    int64_t now = now_ns(), wake, again;
    VTDFetched *f;

    if (sva->running) {
        return;
    }
    sva->running = true;

    while (true) {
        wake = INT64_MAX;
        f = first_answer(sva);
        if (f && f->answer_ns <= now) {
            if (f->no_answer) {
                time_out(s);
            } else {
                answer(s, f);
            }
            continue;
        }
        if (f) {
            wake = f->answer_ns;
        }

        f = first_wait(sva);
        if (!f) {
            break;
        }
        if (now < f->due_ns) {
            wake = MIN(wake, f->due_ns);
            break;
        }
        act_before(s, f);
        if (is_pending(sva, f, false)) {
            /* for devices to answer */
            wake = first_answer(sva)->answer_ns;
            break;
        }
        if (!f->acted) {
            f->acted = true;
            f->mark = sva->flight_mark;
        }
        if (s->strict && !is_drained(s, &f->mark, &again)) {
            wake = MIN(wake, again);
            break;
        }
        complete(s, f);
    }

    if (wake == INT64_MAX) {
        timer_del(sva->sync_timer);
    } else {
        timer_mod_ns(sva->sync_timer, wake);
    }
    sva->running = false;
}

static void sync_expired(void *opaque)
{
    IntelIOMMUState *s = opaque;

    run(s);
    vtd_inv_queue_resume(s);
}

/* Note the PASIDs that are drained, and of which functions */
static void note_drain(VTDSVA *sva, const VTDInval *inv)
{
    VTDFetched *f;
    VTDDrain *d;

    if (inv->kind == VTD_INVAL_PTLB_ALL) {
        QTAILQ_FOREACH(f, &sva->fetched, next) {
            f->unfenced |= f->type == FETCHED_RESPONSE;
        }
        if (sva->nr_drained < ARRAY_SIZE(sva->drained)) {
            sva->drained[sva->nr_drained++] = (VTDDrain) {
                .did = inv->did,
                .pasid = inv->pasid,
            };
        }
    }
    if (!is_of_device(inv)) {
        return;
    }
    for (d = sva->drained; d < sva->drained + sva->nr_drained; d++) {
        if ((inv->kind != VTD_INVAL_DEV_PASID || inv->pasid == d->pasid) &&
            d->nr_sids < ARRAY_SIZE(d->sid)) {
            d->sid[d->nr_sids++] = inv->sid;
        }
    }
}

/**
 * vtd_sync_inval - an invalidation was fetched
 * @s: IOMMU
 * @inv: the invalidation
 * @kinds: IOMMU_FLIGHT_*: accesses, translated before, that are waited for
 *
 * It acts now, or at the latest when the next wait descriptor completes.
 */
void vtd_sync_inval(IntelIOMMUState *s, const VTDInval *inv,
                    unsigned int kinds)
{
    VTDSVA *sva = s->sva;
    VTDFetched *f;

    note_drain(sva, inv);
    f = g_new0(VTDFetched, 1);
    f->inv = *inv;
    f->drain = kinds;
    QTAILQ_INSERT_TAIL(&sva->fetched, f, next);
    sva->nr_deferred++;
    if (may_be_early(s)) {
        act(s, f);
        run(s);
    }
    if (sva->nr_deferred == MAX_DEFERRED) {
        act_before(s, NULL);
        run(s);
    }
}

/**
 * vtd_sync_response - a page group response was fetched
 * @s: IOMMU
 * @desc: the descriptor, which is not in error
 *
 * With a device-TLB invalidation in front of it that is not answered, it is sent
 * at once, or held back until it is. No more than MAX_RESPONSES are.
 */
void vtd_sync_response(IntelIOMMUState *s, const VTDInvDesc *desc)
{
    VTDSVA *sva = s->sva;
    bool may_wait = false;
    VTDFetched *f;

    if (sva->nr_responses == MAX_RESPONSES) {
        vtd_prq_respond(s, desc);
        return;
    }
    QTAILQ_FOREACH(f, &sva->fetched, next) {
        may_wait |= s->strict && is_answer_due(f);
    }
    f = g_new0(VTDFetched, 1);
    f->type = FETCHED_RESPONSE;
    f->desc = *desc;
    QTAILQ_INSERT_TAIL(&sva->fetched, f, next);
    sva->nr_responses++;
    if (!may_wait || iommu_choice_below(&sva->response_choice, 2)) {
        respond(s, f);
    }
}

/*
 * A wait descriptor with PD was fetched. By the recipe of VT-d 7.10 a fence comes
 * first, so that the invalidation of a device's TLB is behind all responses that
 * the device was sent, and its answer behind their arrival. Count those that were
 * not complete when the invalidations were fetched.
 */
static void count_unfenced(VTDSVA *sva)
{
    const VTDDrain *d;
    VTDFetched *f;
    uint32_t i;

    QTAILQ_FOREACH(f, &sva->fetched, next) {
        for (d = sva->drained; d < sva->drained + sva->nr_drained; d++) {
            for (i = 0; i < d->nr_sids && f->unfenced; i++) {
                if (d->sid[i] == extract64(f->desc.val[0], 16, 16)) {
                    f->unfenced = false;
                    sva->resp_unfenced++;
                }
            }
        }
    }
}

/**
 * vtd_sync_wait - a wait descriptor was fetched
 * @s: IOMMU
 * @desc: the descriptor, which is not in error
 *
 * Its delay starts. Once that is over, what is in front of it acts, and devices
 * and accesses in flight are waited for.
 *
 * Return: true if the queue goes on with the next descriptor
 */
bool vtd_sync_wait(IntelIOMMUState *s, const VTDInvDesc *desc)
{
    VTDSVA *sva = s->sva;
    VTDFetched *f = g_new0(VTDFetched, 1);
    bool blocks = !s->strict || !(s->wild & VTD_WILD_AHEAD) ||
                  (desc->lo & VTD_INV_DESC_WAIT_FN) ||
                  sva->nr_waits >= MAX_WAITS ||
                  iommu_choice_below(&sva->ahead_choice, 2);

    f->type = FETCHED_WAIT;
    f->desc = *desc;
    f->blocks = blocks;
    f->fetched_ns = now_ns();
    f->due_ns = f->fetched_ns;
    if (s->strict) {
        f->due_ns += s->wait_ns ?: iommu_choice_between(&sva->wait_choice,
                                                        WAIT_MIN_NS,
                                                        WAIT_MAX_NS);
    }
    if (desc->lo & VTD_INV_DESC_WAIT_PD) {
        count_unfenced(sva);
    }
    memcpy(f->drained, sva->drained, sizeof(f->drained));
    f->nr_drained = sva->nr_drained;
    sva->nr_drained = 0;
    QTAILQ_INSERT_TAIL(&sva->fetched, f, next);
    sva->nr_waits++;
    sva->blocked |= blocks;
    run(s);
    return !blocks;
}

/* Does the queue stop, at a wait descriptor or until devices have answered? */
bool vtd_sync_waits(IntelIOMMUState *s)
{
    return s->sva &&
           (s->sva->blocked || s->sva->nr_deferred >= MAX_DEFERRED);
}

/* Keep a request, to be repeated by refill(); the caches are locked */
void vtd_sync_note_request(IntelIOMMUState *s, const VTDRequest *req)
{
    VTDSVA *sva = s->sva;
    VTDRequest *r;
    uint32_t i, n = MIN(sva->nr_recent, ARRAY_SIZE(sva->recent));

    for (i = 0; i < n; i++) {
        r = &sva->recent[i];
        if (r->sid == req->sid && r->pasid == req->pasid &&
            !((r->addr ^ req->addr) >> 12)) {
            return;
        }
    }

    r = &sva->recent[sva->nr_recent++ % ARRAY_SIZE(sva->recent)];
    *r = *req;
    r->silent = true;
}

/**
 * vtd_sync_finish - the queue is disabled
 * @s: IOMMU
 *
 * All that was fetched completes. Devices are not waited for. If the queue has
 * stopped at a wait descriptor, software has removed it.
 */
void vtd_sync_finish(IntelIOMMUState *s)
{
    VTDSVA *sva = s->sva;
    VTDFetched *f, *next;

    if (!sva || sva->running) {
        return;
    }
    sva->running = true;
    act_before(s, NULL);
    while ((f = first_answer(sva))) {
        if (f->no_answer) {
            sva->dropped_ns = now_ns();
            take_off(sva, f);
        } else {
            answered(s, f);
        }
        act_before(s, NULL);
    }
    respond_all(s);
    QTAILQ_FOREACH_SAFE(f, &sva->fetched, next, next) {
        if (f->type != FETCHED_WAIT || f->blocks) {
            take_off(sva, f);
        }
    }
    while ((f = first_wait(sva))) {
        complete(s, f);
    }
    timer_del(sva->sync_timer);
    sva->running = false;
}

void vtd_sync_reset(IntelIOMMUState *s)
{
    VTDSVA *sva = s->sva;
    VTDFetched *f;

    while ((f = QTAILQ_FIRST(&sva->fetched))) {
        take_off(sva, f);
    }
    timer_del(sva->sync_timer);
    sva->nr_drained = 0;
    sva->flight_mark = (VTDMark) {};
    sva->settled_ns = 0;
    sva->settled_atc_ns = 0;
    sva->dropped_ns = 0;
    sva->refills = MAX_REFILLS;
    QEMU_LOCK_GUARD(&sva->lock);
    sva->nr_recent = 0;
}

void vtd_sync_init(IntelIOMMUState *s)
{
    VTDSVA *sva = s->sva;

    iommu_choice_init(&sva->wait_choice, s->seed, "vtd.wait", 0);
    iommu_choice_init(&sva->early_choice, s->seed, "vtd.early", 0);
    iommu_choice_init(&sva->order_choice, s->seed, "vtd.order", 0);
    iommu_choice_init(&sva->ahead_choice, s->seed, "vtd.ahead", 0);
    iommu_choice_init(&sva->hold_choice, s->seed, "vtd.hold", 0);
    iommu_choice_init(&sva->abort_choice, s->seed, "vtd.abort", 0);
    iommu_choice_init(&sva->answer_choice, s->seed, "vtd.answer", 0);
    iommu_choice_init(&sva->response_choice, s->seed, "vtd.response", 0);

    iommu_inv_set_settled(PC_MACHINE(qdev_get_machine())->pcibus,
                          &sva->settled_atc_ns);
    QTAILQ_INIT(&sva->fetched);
    sva->refills = MAX_REFILLS;
    sva->sync_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, sync_expired, s);
}
