/*
 * VT-d: page requests and responses, and what devices are told
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "trace.h"
#include "system/dma.h"
#include "intel_iommu_sva.h"

#define PRS_PPR         (1u << 0)
#define PRS_PRO         (1u << 1)
#define PECTL_IM        (1u << 31)
#define PECTL_IP        (1u << 30)
#define PQ_OFFSET       0x7ffe0u
#define PQA_SIZE        7u
#define REQ_SIZE        32u

/*
 * Groups that we know of until they are answered. A guest need not do that: it
 * shall not use up our memory.
 */
#define MAX_GROUPS      65536

/* How long a response is on its way */
#define RESPONSE_NS     1000

/*
 * How long a page request is in the fabric, and then in the unit. One of eight
 * takes longer, and of those that VTD_WILD_STUCK is about one of 64 so long that
 * software can do a lot in between: only a drain ends that (VT-d 7.10).
 */
#define REQUEST_MIN_NS      5000
#define REQUEST_MAX_NS      100000
#define REQUEST_LONG_NS     1000000
#define REQUEST_STUCK_NS    8000000

/* Page requests on their way; if there are more, the first enters the queue */
#define MAX_REQUESTS        4096

/* Translations that a device has again after one invalidation */
#define MAX_KEPT        64

/* Response codes of a descriptor */
#define RESP_SUCCESS    0
#define RESP_INVALID    1

/* Who wants to be told: of invalidations if iotlb, else of page responses */
struct VTDNotifier {
    PCIBus *bus;
    int devfn;
    uint32_t pasid;
    IOMMUNotifier *iotlb;
    IOMMUPRINotifier *pri;
    QLIST_ENTRY(VTDNotifier) next;
};

/* A page group response on its way to the device */
struct VTDResponse {
    uint16_t sid;
    uint32_t pasid;
    IOMMUPRIResponse resp;
    QTAILQ_ENTRY(VTDResponse) next;
};

/* A page request on its way to the queue */
struct VTDPageRequest {
    VTDRequest req;
    bool read;
    bool last;
    uint16_t prgi;
    int64_t received;       /* by the unit: when */
    int64_t due;            /* in the queue */
    bool known;             /* the tables of its PASID, when it was sent: */
    VTDSpace space;
    bool torn_down;         /* the PASID entry was not present since */
    bool overtaken;         /* a drain of that PASID has completed since */
    QTAILQ_ENTRY(VTDPageRequest) next;
};

static uint16_t notifier_sid(const VTDNotifier *n)
{
    return PCI_BUILD_BDF(pci_bus_num(n->bus), n->devfn);
}

/* Notifiers */

static void add_notifier(IntelIOMMUState *s, VTDNotifier notifier)
{
    VTDNotifier *n = g_memdup2(&notifier, sizeof(notifier));

    QLIST_INSERT_HEAD(&s->sva->notifiers, n, next);
}

static void remove_notifier(IntelIOMMUState *s, PCIBus *bus, int devfn,
                            uint32_t pasid, IOMMUNotifier *iotlb)
{
    VTDNotifier *n;

    QLIST_FOREACH(n, &s->sva->notifiers, next) {
        if (n->bus == bus && n->devfn == devfn && n->pasid == pasid &&
            n->iotlb == iotlb) {
            QLIST_REMOVE(n, next);
            g_free(n);
            return;
        }
    }
}

void vtd_prq_register_iotlb_notifier(PCIBus *bus, void *opaque, int devfn,
                                     uint32_t pasid, IOMMUNotifier *n)
{
    add_notifier(opaque, (VTDNotifier) {
        .bus = bus, .devfn = devfn, .pasid = pasid, .iotlb = n,
    });
}

void vtd_prq_unregister_iotlb_notifier(PCIBus *bus, void *opaque, int devfn,
                                       uint32_t pasid, IOMMUNotifier *n)
{
    remove_notifier(opaque, bus, devfn, pasid, n);
}

void vtd_prq_register_notifier(PCIBus *bus, void *opaque, int devfn,
                               uint32_t pasid, IOMMUPRINotifier *n)
{
    remove_notifier(opaque, bus, devfn, pasid, NULL);
    add_notifier(opaque, (VTDNotifier) {
        .bus = bus, .devfn = devfn, .pasid = pasid, .pri = n,
    });
}

void vtd_prq_unregister_notifier(PCIBus *bus, void *opaque, int devfn,
                                 uint32_t pasid)
{
    remove_notifier(opaque, bus, devfn, pasid, NULL);
}

/* Is a device-TLB invalidation for what was translated with @pasid? */
static bool means(const VTDInval *inv, uint32_t pasid)
{
    switch (inv->kind) {
    case VTD_INVAL_DEV:
        return pasid == PCI_NO_PASID;
    case VTD_INVAL_DEV_PASID:
        return pasid == inv->pasid;
    default:
        return pasid != PCI_NO_PASID;
    }
}

static void notify(IntelIOMMUState *s, const VTDInval *inv, uint64_t addr,
                   uint64_t mask)
{
    VTDNotifier *n, *next;

    QLIST_FOREACH_SAFE(n, &s->sva->notifiers, next, next) {
        const IOMMUTLBEvent event = {
            .type = IOMMU_NOTIFIER_DEVIOTLB_UNMAP,
            .entry = {
                .target_as = &address_space_memory,
                .iova = addr,
                .addr_mask = mask,
                .perm = IOMMU_NONE,
                .pasid = n->pasid,
            },
        };

        if (n->iotlb && notifier_sid(n) == inv->sid && means(inv, n->pasid)) {
            memory_region_notify_iommu_one(n->iotlb, &event);
        }
    }
}

/* Notify of a range, but for pages in @kept */
static void notify_but(IntelIOMMUState *s, const VTDInval *inv, uint64_t addr,
                       uint64_t mask, GArray *kept)
{
    bool overlaps = false;
    const VTDPages *k;
    guint i;

    for (i = 0; i < kept->len; i++) {
        k = &g_array_index(kept, VTDPages, i);
        if ((k->addr ^ addr) & ~(k->mask | mask)) {
            continue;
        }
        if (mask <= k->mask) {
            return;
        }
        overlaps = true;
    }
    if (!overlaps) {
        notify(s, inv, addr, mask);
        return;
    }
    mask >>= 1;
    notify_but(s, inv, addr, mask, kept);
    notify_but(s, inv, addr | (mask + 1), mask, kept);
}

/* What the device is given if it asks again, and memory does not grant */
static void find_refilled(IntelIOMMUState *s, const VTDInval *inv, GArray *out)
{
    uint32_t pasid = inv->kind == VTD_INVAL_DEV ? PCI_NO_PASID : inv->pasid;
    VTDSpace held, now;

    if (s->strict && inv->kind != VTD_INVAL_DEV_GLOBAL &&
        vtd_sva_held_space(s, inv->sid, pasid, &held)) {
        vtd_cache_find_stale(s, &held,
                             vtd_sva_space(s, inv->sid, pasid, &now) ? &now :
                                                                       NULL,
                             inv->addr, inv->mask, out);
    }
}

/*
 * A device invalidates its TLB. It may ask for the same pages again at once,
 * and is then given what the IOTLB holds: that stays in its TLB.
 */
void vtd_prq_notify_dev(IntelIOMMUState *s, const VTDInval *inv)
{
    g_autoptr(GArray) kept = g_array_new(false, false, sizeof(VTDPages));

    find_refilled(s, inv, kept);
    /* A device need not ask for all again, and each costs time below */
    g_array_set_size(kept, MIN(kept->len, MAX_KEPT));
    s->sva->cmd_early += !!kept->len;
    notify_but(s, inv, inv->addr, inv->mask, kept);
}

/* Responses */

static uint64_t group_key(uint16_t sid, uint32_t pasid, uint16_t prgi)
{
    return (uint64_t)sid << 48 | (uint64_t)pasid << 16 | prgi;
}

/* A group is in the queue, maybe not for the first time */
static void group_asked(VTDSVA *sva, uint64_t key)
{
    uintptr_t times = (uintptr_t)g_hash_table_lookup(sva->groups, &key);

    if (!times && g_hash_table_size(sva->groups) == MAX_GROUPS) {
        sva->prq_untracked++;
        return;
    }
    g_hash_table_insert(sva->groups, g_memdup2(&key, sizeof(key)),
                        (void *)(times + 1));
    sva->prq_now++;
    sva->prq_peak = MAX(sva->prq_peak, sva->prq_now);
}

/* A group is answered: has it been asked for? */
static bool group_answered(VTDSVA *sva, uint64_t key)
{
    uintptr_t times = (uintptr_t)g_hash_table_lookup(sva->groups, &key);

    if (!times) {
        return false;
    }
    if (times > 1) {
        g_hash_table_insert(sva->groups, g_memdup2(&key, sizeof(key)),
                            (void *)(times - 1));
    } else {
        g_hash_table_remove(sva->groups, &key);
    }
    sva->prq_now--;
    return true;
}

static void respond(IntelIOMMUState *s, uint16_t sid, uint32_t pasid,
                    uint16_t prgi, IOMMUPRIResponseCode code)
{
    VTDSVA *sva = s->sva;
    VTDResponse *r = g_new(VTDResponse, 1);

    *r = (VTDResponse) {
        .sid = sid, .pasid = pasid, .resp = { .code = code, .prgi = prgi },
    };
    QTAILQ_INSERT_TAIL(&sva->responses, r, next);
    if (!timer_pending(sva->response_timer)) {
        timer_mod(sva->response_timer,
                  qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + RESPONSE_NS);
    }
}

/* Responses are at their devices */
static void deliver(void *opaque)
{
    IntelIOMMUState *s = opaque;
    QTAILQ_HEAD(, VTDResponse) due = QTAILQ_HEAD_INITIALIZER(due);
    VTDSVA *sva = s->sva;
    VTDResponse *r, *next;
    VTDNotifier *n;

    /* A device that is told may ask again at once, and be answered: later */
    QTAILQ_FOREACH_SAFE(r, &sva->responses, next, next) {
        QTAILQ_REMOVE(&sva->responses, r, next);
        QTAILQ_INSERT_TAIL(&due, r, next);
    }

    while ((r = QTAILQ_FIRST(&due))) {
        QTAILQ_REMOVE(&due, r, next);
        QLIST_FOREACH(n, &sva->notifiers, next) {
            if (n->pri && n->pasid == r->pasid && notifier_sid(n) == r->sid) {
                n->pri->notify(n->pri, &r->resp);
                break;
            }
        }
        g_free(r);
    }
}

/* Is a page group response descriptor without an error? */
bool vtd_prq_response_check(const VTDInvDesc *desc)
{
    return !(desc->val[0] & 0xfff00000000001c0ULL) &&
           !(desc->val[1] & ~0xffcULL);
}

void vtd_prq_respond(IntelIOMMUState *s, const VTDInvDesc *desc)
{
    VTDSVA *sva = s->sva;
    bool pp = extract64(desc->val[0], 4, 1);
    unsigned int code = extract64(desc->val[0], 12, 4);
    uint16_t sid = extract64(desc->val[0], 16, 16);
    uint32_t pasid = pp ? extract64(desc->val[0], 32, 20) : PCI_NO_PASID;
    uint16_t prgi = extract64(desc->val[1], 3, 9);
    IOMMUPRIResponseCode resp;

    switch (code) {
    case RESP_SUCCESS:
        resp = IOMMU_PRI_RESP_SUCCESS;
        sva->resp_success++;
        break;
    case RESP_INVALID:
        resp = IOMMU_PRI_RESP_INVALID_REQUEST;
        sva->resp_invalid++;
        break;
    default:
        resp = IOMMU_PRI_RESP_FAILURE;
        sva->resp_failure++;
        break;
    }

    trace_vtd_sva_response(sid, pasid, prgi, code);
    /* The device is told anyway, as by hardware, which keeps no such table */
    if (!group_answered(sva, group_key(sid, pasid, prgi))) {
        sva->resp_unknown++;
    }
    respond(s, sid, pasid, prgi, resp);
}

/* The queue */

static void set_reg32(IntelIOMMUState *s, hwaddr at, uint32_t val)
{
    stl_le_p(&s->csr[at], val);
}

/* PPR or PRO was set or cleared, or the interrupt unmasked (VT-d 7.6) */
static void update_irq(IntelIOMMUState *s, bool raise)
{
    uint32_t pectl = vtd_reg32(s, DMAR_PECTL_REG);

    if (!vtd_reg32(s, DMAR_PRS_REG)) {
        pectl &= ~PECTL_IP;
    } else if (raise) {
        pectl |= PECTL_IP;
    }
    if ((pectl & PECTL_IP) && !(pectl & PECTL_IM)) {
        pectl &= ~PECTL_IP;
        set_reg32(s, DMAR_PECTL_REG, pectl);
        vtd_generate_interrupt(s, DMAR_PEADDR_REG, DMAR_PEDATA_REG);
    }
    set_reg32(s, DMAR_PECTL_REG, pectl);
}

static void set_status(IntelIOMMUState *s, uint32_t bit)
{
    uint32_t prs = vtd_reg32(s, DMAR_PRS_REG);

    set_reg32(s, DMAR_PRS_REG, prs | bit);
    update_irq(s, !prs);
}

/**
 * vtd_prq_write - a register was written
 * @s: IOMMU
 * @at: offset of the first byte
 * @size: number of bytes
 */
void vtd_prq_write(IntelIOMMUState *s, hwaddr at, unsigned int size)
{
    if (at < DMAR_PECTL_REG + 4 && at + size > DMAR_PRS_REG) {
        update_irq(s, false);
    }
}

static bool enqueue(IntelIOMMUState *s, const uint64_t *req)
{
    uint64_t pqa = vtd_reg64(s, DMAR_PQA_REG);
    uint32_t mask = (4096u << (pqa & PQA_SIZE)) - REQ_SIZE;
    uint32_t head = vtd_reg64(s, DMAR_PQH_REG) & mask;
    uint32_t tail = vtd_reg64(s, DMAR_PQT_REG) & mask;

    if ((vtd_reg32(s, DMAR_PRS_REG) & PRS_PRO) ||
        ((tail + REQ_SIZE) & mask) == head ||
        dma_memory_write(&address_space_memory,
                         (pqa & VTD_PQA_MASK(s->aw_bits)) + tail, req,
                         REQ_SIZE, VTD_MEMORY_ONLY) != MEMTX_OK) {
        s->sva->prq_overflow++;
        set_status(s, PRS_PRO);
        return false;
    }

    stq_le_p(&s->csr[DMAR_PQT_REG], (tail + REQ_SIZE) & mask);
    s->sva->prq_queued++;
    set_status(s, PRS_PPR);
    return true;
}

/* VT-d 7.11: what the device has found wanting is not to be found again */
static void forget_page(IntelIOMMUState *s, const VTDSpace *space, hwaddr addr)
{
    const VTDInval inv = {
        .kind = VTD_INVAL_PTLB_PAGES,
        .did = space->did,
        .pasid = space->pasid,
        .addr = addr & VTD_PAGE_MASK_4K,
        .mask = 0xfff,
    };

    if (space->fs) {
        vtd_cache_inval(s, &inv);
    }
}

/* The tables that memory has for the PASID of a request now */
static bool space_now(IntelIOMMUState *s, const VTDPageRequest *r,
                      VTDSpace *space)
{
    return vtd_sva_space(s, r->req.sid, r->req.pasid, space);
}

static bool is_same_space(const VTDSpace *a, const VTDSpace *b)
{
    return a->did == b->did && a->fs == b->fs && a->pass == b->pass &&
           a->root == b->root;
}

/* A page request enters the queue, or is refused */
static void enter(IntelIOMMUState *s, const VTDPageRequest *r)
{
    VTDSVA *sva = s->sva;
    const VTDRequest *req = &r->req;
    bool pp = req->pasid != PCI_NO_PASID, marker = !r->read && !req->write;
    uint64_t desc[4] = {};
    VTDSpace space = {};
    bool fpd;
    int ret;

    ret = vtd_sva_check_pri(s, req, &space, &fpd);
    if (ret) {
        sva->prq_refused++;
        if (!fpd) {
            vtd_sva_fault(s, req, ret);
        }
        if (r->last && !marker) {
            sva->resp_auto++;
            respond(s, req->sid, req->pasid, r->prgi,
                    IOMMU_PRI_RESP_INVALID_REQUEST);
        }
        return;
    }
    if (!marker) {
        forget_page(s, &space, req->addr);
    }

    desc[0] = cpu_to_le64(1 | (uint64_t)pp << 8 | (uint64_t)req->sid << 16 |
                          (pp ? (uint64_t)req->pasid << 32 : 0) |
                          (uint64_t)req->exec << 52 |
                          (uint64_t)req->priv << 53);
    desc[1] = cpu_to_le64(r->read | req->write << 1 | r->last << 2 |
                          r->prgi << 3 | (req->addr & VTD_PAGE_MASK_4K));

    if (!enqueue(s, desc)) {
        /* VT-d 7.4.1: it may try again */
        if (r->last && !marker) {
            sva->resp_auto++;
            respond(s, req->sid, req->pasid, r->prgi, IOMMU_PRI_RESP_SUCCESS);
        }
        return;
    }

    if (r->overtaken || (r->torn_down && space_now(s, r, &space))) {
        sva->prq_late++;
        trace_vtd_sva_late_request(req->sid, req->pasid, req->addr, r->prgi);
    }
    if (r->last && !marker) {
        group_asked(sva, group_key(req->sid, req->pasid, r->prgi));
    }
}

/* Those that are due enter, in the order in which each function sent them */
static void enter_due(IntelIOMMUState *s, bool drain)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), first = INT64_MAX;
    VTDSVA *sva = s->sva;
    VTDPageRequest *r, *next;

    QTAILQ_FOREACH_SAFE(r, &sva->requests, next, next) {
        if (r->due <= now || (drain && r->received <= now)) {
            QTAILQ_REMOVE(&sva->requests, r, next);
            sva->nr_requests--;
            enter(s, r);
            g_free(r);
        } else {
            first = MIN(first, r->due);
        }
    }
    if (first == INT64_MAX) {
        timer_del(sva->request_timer);
    } else {
        timer_mod(sva->request_timer, first);
    }
}

static void request_timer(void *opaque)
{
    enter_due(opaque, false);
}

/**
 * vtd_prq_push - a device answers an invalidation of its TLB
 * @s: IOMMU
 * @sid: the device
 *
 * Its answer does not pass the page requests that it sent before (VT-d 7.10):
 * these have reached the unit.
 */
void vtd_prq_push(IntelIOMMUState *s, uint16_t sid)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    VTDPageRequest *r;

    QTAILQ_FOREACH(r, &s->sva->requests, next) {
        if (r->req.sid == sid) {
            r->received = MIN(r->received, now);
        }
    }
}

/* With device-TLB invalidations behind it, it is a drain of these functions */
static bool is_drain_of(const VTDDrain *d, const VTDPageRequest *r)
{
    uint32_t i;

    if (d->pasid != r->req.pasid || d->did != r->space.did) {
        return false;
    }
    for (i = 0; i < d->nr_sids; i++) {
        if (d->sid[i] == r->req.sid) {
            return true;
        }
    }
    return !d->nr_sids;
}

/**
 * vtd_prq_drain - a wait descriptor with PD completes
 * @s: IOMMU
 * @of: PASID-based IOTLB invalidations in front of it, since the wait
 *      descriptor before, or any other, with the functions whose device-TLB
 *      is invalidated behind them
 * @n: number of @of
 *
 * What the unit has received enters the queue, and responses are at their
 * devices. By the recipe of VT-d 7.10 this is a drain of the PASIDs of @of. If
 * one has other tables now, a request for the old ones that is still in the
 * fabric is too late: it should have been pushed.
 */
void vtd_prq_drain(IntelIOMMUState *s, const VTDDrain *of, size_t n)
{
    VTDPageRequest *r;
    VTDSpace space;
    size_t i;

    deliver(s);
    enter_due(s, true);

    QTAILQ_FOREACH(r, &s->sva->requests, next) {
        for (i = 0; i < n && r->known && !r->overtaken; i++) {
            if (is_drain_of(&of[i], r)) {
                r->overtaken = !space_now(s, r, &space) ||
                               !is_same_space(&space, &r->space);
            }
        }
    }
}

/**
 * vtd_prq_check_present - an invalidation is complete
 * @s: IOMMU
 *
 * Note which page requests are on their way for a PASID whose entry is not
 * present any more. One of these that enters the queue after it is present
 * again would be taken for a request of the next owner.
 */
void vtd_prq_check_present(IntelIOMMUState *s)
{
    VTDPageRequest *r;
    VTDSpace space;

    QTAILQ_FOREACH(r, &s->sva->requests, next) {
        r->torn_down |= r->known && !space_now(s, r, &space);
    }
}

static int64_t transit_ns(IntelIOMMUState *s)
{
    VTDSVA *sva = s->sva;
    bool slow = !iommu_choice_below(&sva->request_choice, 8);

    if ((s->wild & VTD_WILD_STUCK) &&
        !iommu_choice_below(&sva->stuck_choice, 64)) {
        return iommu_choice_between(&sva->stuck_choice, REQUEST_MIN_NS,
                                    REQUEST_STUCK_NS);
    }
    return iommu_choice_between(&sva->request_choice, REQUEST_MIN_NS,
                                slow ? REQUEST_LONG_NS : REQUEST_MAX_NS);
}

/*
 * A message is posted: what becomes of it the device learns from the response,
 * if at all. So this never fails.
 */
int vtd_prq_request_page(PCIBus *bus, void *opaque, int devfn, uint32_t pasid,
                         bool priv_req, bool exec_req, hwaddr addr, bool lpig,
                         uint16_t prgi, bool is_read, bool is_write)
{
    IntelIOMMUState *s = opaque;
    VTDSVA *sva = s->sva;
    VTDPageRequest *r, request = {
        .req = {
            .sid = PCI_BUILD_BDF(pci_bus_num(bus), devfn),
            .pasid = pasid,
            .addr = addr,
            .write = is_write,
            .priv = priv_req,
            .exec = exec_req,
        },
        .read = is_read,
        .last = lpig,
        .prgi = prgi & PCI_PRI_PRGI_MASK,
    };

    trace_vtd_sva_page_request(request.req.sid, pasid, addr, is_read, is_write,
                               lpig, request.prgi);

    if (!s->strict || !(s->wild & VTD_WILD_PRQ)) {
        enter(s, &request);
        return 0;
    }

    request.known = pasid != PCI_NO_PASID &&
                    vtd_sva_held_space(s, request.req.sid, pasid,
                                       &request.space);
    request.received = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + transit_ns(s);
    request.due = request.received + transit_ns(s);

    if (sva->nr_requests == MAX_REQUESTS) {
        QTAILQ_FIRST(&sva->requests)->due = 0;
        enter_due(s, false);
    }
    QTAILQ_FOREACH(r, &sva->requests, next) {
        if (r->req.sid == request.req.sid) {
            request.received = MAX(request.received, r->received);
            request.due = MAX(request.due, r->due);
        }
    }
    r = g_memdup2(&request, sizeof(request));
    QTAILQ_INSERT_TAIL(&sva->requests, r, next);
    sva->nr_requests++;
    timer_mod_anticipate(sva->request_timer, request.due);
    return 0;
}

void vtd_prq_init(IntelIOMMUState *s)
{
    VTDSVA *sva = s->sva;

    QLIST_INIT(&sva->notifiers);
    QTAILQ_INIT(&sva->responses);
    sva->groups = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                        NULL);
    sva->response_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, deliver, s);
    QTAILQ_INIT(&sva->requests);
    sva->request_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, request_timer, s);
    iommu_choice_init(&sva->request_choice, s->seed, "vtd.request", 0);
    iommu_choice_init(&sva->stuck_choice, s->seed, "vtd.stuck", 0);
}

void vtd_prq_reset(IntelIOMMUState *s)
{
    VTDSVA *sva = s->sva;
    VTDResponse *r, *next;
    VTDPageRequest *request;

    QTAILQ_FOREACH_SAFE(r, &sva->responses, next, next) {
        QTAILQ_REMOVE(&sva->responses, r, next);
        g_free(r);
    }
    timer_del(sva->response_timer);
    while ((request = QTAILQ_FIRST(&sva->requests))) {
        QTAILQ_REMOVE(&sva->requests, request, next);
        g_free(request);
    }
    sva->nr_requests = 0;
    timer_del(sva->request_timer);
    g_hash_table_remove_all(sva->groups);
    sva->prq_now = 0;

    stq_le_p(&s->wmask[DMAR_PQH_REG], PQ_OFFSET);
    stq_le_p(&s->wmask[DMAR_PQT_REG], PQ_OFFSET);
    stq_le_p(&s->wmask[DMAR_PQA_REG], VTD_PQA_MASK(s->aw_bits) | PQA_SIZE);
    stl_le_p(&s->w1cmask[DMAR_PRS_REG], PRS_PPR | PRS_PRO);
    stl_le_p(&s->csr[DMAR_PECTL_REG], PECTL_IM);
    stl_le_p(&s->wmask[DMAR_PECTL_REG], PECTL_IM);
    stl_le_p(&s->wmask[DMAR_PEDATA_REG], UINT32_MAX);
    stl_le_p(&s->wmask[DMAR_PEADDR_REG], 0xfffffffcu);
}
