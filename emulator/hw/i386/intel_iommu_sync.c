/*
 * VT-d: when invalidations act, and when a wait descriptor completes
 *
 * An invalidation may act as soon as it is fetched, or as late as the
 * completion of the next wait descriptor (VT-d 6.5.2.8). Of two of them the
 * later one may act first, unless it is lower on the way context cache, PASID
 * cache, IOTLB, device-TLB than the one in front of it (6.5.2.11). In between,
 * hardware may fetch again what is still reachable. Strict caching chooses
 * among these, seeded by x-seed:
 *
 * - A wait descriptor completes a while after it reaches the head of the queue,
 *   in time of the virtual clock. Until then the queue does not go on.
 * - Each invalidation acts when it is fetched, or at the next wait descriptor.
 *   Those of device-TLBs act then, as devices take their time.
 * - After each, recent requests are translated again from the caches as they
 *   are then. These are no accesses: no fault, no count, no Accessed or Dirty
 *   bit, no stale check.
 * - If an invalidation drains, the completion waits for accesses that were
 *   translated before.
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

/*
 * Invalidations that may await a wait descriptor. Beyond this they act without
 * one, which is permitted, so that a guest that never waits cannot use up our
 * memory, nor our time once it does.
 */
#define MAX_DEFERRED    256

/* Translations per wait descriptor that only serve to refill the caches */
#define MAX_REFILLS     512

/* An invalidation since the last wait descriptor */
typedef struct VTDDeferred {
    VTDInval inv;
    bool done;
} VTDDeferred;

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

/*
 * Does a device-TLB invalidation come before that of the IOTLB? The device may
 * then have been given the same translations again between the two. It has, is
 * what we assume, and that is as if the first had never been.
 */
static bool is_early(IntelIOMMUState *s, GList *link)
{
    const VTDInval *dev = &((VTDDeferred *)link->data)->inv;
    const VTDDeferred *d;
    VTDSpace space;
    GList *l;

    if (dev->kind == VTD_INVAL_DEV_GLOBAL ||
        !vtd_sva_held_space(s, dev->sid, dev->kind == VTD_INVAL_DEV ?
                            PCI_NO_PASID : dev->pasid, &space)) {
        return false;
    }
    for (l = link->prev; l; l = l->prev) {
        d = l->data;
        if (vtd_cache_is_dropped(&d->inv, &space, dev->addr, dev->mask,
                                 true)) {
            return false;
        }
    }
    for (l = link->next; l; l = l->next) {
        d = l->data;
        if (vtd_cache_is_dropped(&d->inv, &space, dev->addr, dev->mask,
                                 false)) {
            return true;
        }
    }
    return false;
}

/* A function that is there, and may send requests */
static bool is_requester(uint16_t sid)
{
    PCIBus *root = PC_MACHINE(qdev_get_machine())->pcibus;
    PCIDevice *pci = pci_find_device(root, PCI_BUS_NUM(sid),
                                     PCI_BDF_TO_DEVFN(sid));

    return pci && pci->enabled &&
           (pci_get_word(pci->config + PCI_COMMAND) & PCI_COMMAND_MASTER);
}

/*
 * An invalidation acted: fetch again. The total between two wait descriptors is
 * bounded, as there may be many invalidations. The most recent requests come
 * first.
 */
static void refill(IntelIOMMUState *s, uint32_t left)
{
    VTDSVA *sva = s->sva;
    uint32_t n, size = ARRAY_SIZE(sva->recent);
    VTDRequest req;

    if (!(s->wild & VTD_WILD_REFILL) || !vtd_sva_active(s)) {
        return;
    }
    n = MIN(MIN(sva->nr_recent, size), MAX(sva->refills / (left + 1), 1));
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

static void act(IntelIOMMUState *s, GList *link, uint32_t left)
{
    VTDDeferred *d = link->data;

    if (is_of_device(&d->inv) && is_early(s, link)) {
        s->sva->cmd_early++;
    } else {
        vtd_cache_inval(s, &d->inv);
    }
    if (is_of_device(&d->inv)) {
        vtd_prq_push(s, d->inv.sid);
    }
    d->done = true;
    refill(s, left);
}

/* The first that is to act, or any that 6.5.2.11 permits to be */
static GList *next_to_act(IntelIOMMUState *s, uint32_t *left)
{
    VTDSVA *sva = s->sva;
    GList *l, *first = NULL;
    VTDDeferred *d;
    uint32_t n = 0, chosen = 0;
    int pass, lowest;

    *left = 0;
    for (pass = 0; pass < 2; pass++) {
        lowest = INT_MAX;
        for (l = sva->deferred.head; l; l = l->next) {
            d = l->data;
            if (d->done) {
                continue;
            }
            *left += !pass;
            if (rank(&d->inv) > lowest) {
                continue;
            }
            lowest = rank(&d->inv);
            if (!pass) {
                first = first ?: l;
                n++;
            } else if (!chosen--) {
                return l;
            }
        }
        if (!(s->wild & VTD_WILD_ORDER) || n < 2) {
            break;
        }
        chosen = iommu_choice_below(&sva->order_choice, n);
    }
    return first;
}

/* All that is deferred acts */
static void act_all(IntelIOMMUState *s)
{
    GList *link;
    uint32_t left;

    s->sva->refills = MAX_REFILLS;
    while ((link = next_to_act(s, &left))) {
        act(s, link, left - 1);
    }
    g_queue_clear_full(&s->sva->deferred, g_free);
    s->sva->refills = MAX_REFILLS;
}

/* May the last one that was fetched act before those in front of it? */
static bool may_be_early(IntelIOMMUState *s)
{
    GList *last = s->sva->deferred.tail, *l;
    const VTDDeferred *d = last->data, *other;

    if (!(s->wild & VTD_WILD_EARLY) || is_of_device(&d->inv)) {
        return false;
    }
    for (l = last->prev; l; l = l->prev) {
        other = l->data;
        if (!other->done && rank(&other->inv) < rank(&d->inv)) {
            return false;
        }
    }
    return iommu_choice_below(&s->sva->early_choice, 2);
}

/**
 * vtd_sync_inval - an invalidation was fetched
 * @s: IOMMU
 * @inv: the invalidation
 * @drain: whether accesses that were translated before are to be waited for
 *
 * It acts now, or at the latest at the next wait descriptor.
 */
void vtd_sync_inval(IntelIOMMUState *s, const VTDInval *inv, bool drain)
{
    GQueue *q = &s->sva->deferred;
    VTDDeferred *d;

    if (!s->strict) {
        vtd_cache_inval(s, inv);
        return;
    }
    if (g_queue_get_length(q) == MAX_DEFERRED) {
        act_all(s);
    }
    if (inv->kind == VTD_INVAL_PTLB_ALL &&
        s->sva->nr_drained < ARRAY_SIZE(s->sva->drained)) {
        s->sva->drained[s->sva->nr_drained++] = *inv;
    }
    d = g_new0(VTDDeferred, 1);
    d->inv = *inv;
    g_queue_push_tail(q, d);
    s->sva->drain |= drain;
    if (may_be_early(s)) {
        act(s, q->tail, g_queue_get_length(q));
    }
}

/**
 * vtd_sync_pending - must the queue wait at its head?
 * @s: IOMMU
 * @desc: the descriptor at the head
 *
 * If @desc is a wait descriptor, the first call starts its delay. Once that is
 * over, what is deferred acts, and accesses in flight are waited for.
 *
 * Return: true if nothing is fetched now, but later from a timer
 */
bool vtd_sync_pending(IntelIOMMUState *s, const VTDInvDesc *desc)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    VTDSVA *sva = s->sva;

    if (!s->strict || !vtd_inval_is_wait(s, desc)) {
        sva->sync = VTD_SYNC_NONE;
        return false;
    }

    switch (sva->sync) {
    case VTD_SYNC_NONE:
        sva->sync = VTD_SYNC_DELAY;
        sva->sync_due = now + (s->wait_ns ?:
                               iommu_choice_between(&sva->wait_choice,
                                                    WAIT_MIN_NS, WAIT_MAX_NS));
        /* fall through */
    case VTD_SYNC_DELAY:
        if (now < sva->sync_due) {
            break;
        }
        act_all(s);
        sva->sync_mark = sva->drain ? iommu_flight_mark() : 0;
        sva->drain = false;
        sva->sync = VTD_SYNC_DRAIN;
        /* fall through */
    case VTD_SYNC_DRAIN:
        if (!iommu_flight_over(sva->sync_mark, &sva->sync_due)) {
            break;
        }
        sva->sync = VTD_SYNC_NONE;
        return false;
    }

    timer_mod_ns(sva->sync_timer, sva->sync_due);
    return true;
}

/* Does the queue wait for the timer? */
bool vtd_sync_waits(IntelIOMMUState *s)
{
    return s->sva && timer_pending(s->sva->sync_timer);
}

static void sync_expired(void *opaque)
{
    IntelIOMMUState *s = opaque;

    vtd_inv_queue_resume(s);
    /* If the queue has stopped, or was moved, the next wait starts anew */
    if (!vtd_sync_waits(s)) {
        s->sva->sync = VTD_SYNC_NONE;
    }
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

/* Stop waiting; what is deferred awaits the next wait descriptor */
void vtd_sync_cancel(IntelIOMMUState *s)
{
    if (s->sva) {
        s->sva->sync = VTD_SYNC_NONE;
        timer_del(s->sva->sync_timer);
    }
}

void vtd_sync_reset(IntelIOMMUState *s)
{
    VTDSVA *sva = s->sva;

    vtd_sync_cancel(s);
    g_queue_clear_full(&sva->deferred, g_free);
    sva->drain = false;
    sva->nr_drained = 0;
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

    g_queue_init(&sva->deferred);
    sva->refills = MAX_REFILLS;
    sva->sync_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, sync_expired, s);
}
