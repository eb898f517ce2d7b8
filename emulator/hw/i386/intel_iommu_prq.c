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

void vtd_prq_notify_dev(IntelIOMMUState *s, const VTDInval *inv)
{
    VTDNotifier *n, *next;

    QLIST_FOREACH_SAFE(n, &s->sva->notifiers, next, next) {
        const IOMMUTLBEvent event = {
            .type = IOMMU_NOTIFIER_DEVIOTLB_UNMAP,
            .entry = {
                .target_as = &address_space_memory,
                .iova = inv->addr,
                .addr_mask = inv->mask,
                .perm = IOMMU_NONE,
                .pasid = n->pasid,
            },
        };

        if (n->iotlb && notifier_sid(n) == inv->sid && means(inv, n->pasid)) {
            memory_region_notify_iommu_one(n->iotlb, &event);
        }
    }
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

/* Software waits until responses are at their devices, and so are requests */
void vtd_prq_drain(IntelIOMMUState *s)
{
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

static void deliver(void *opaque)
{
    vtd_prq_drain(opaque);
}

bool vtd_prq_response_desc(IntelIOMMUState *s, VTDInvDesc *desc)
{
    VTDSVA *sva = s->sva;
    bool pp = extract64(desc->val[0], 4, 1);
    unsigned int code = extract64(desc->val[0], 12, 4);
    uint16_t sid = extract64(desc->val[0], 16, 16);
    uint32_t pasid = pp ? extract64(desc->val[0], 32, 20) : PCI_NO_PASID;
    uint16_t prgi = extract64(desc->val[1], 3, 9);
    IOMMUPRIResponseCode resp;

    if ((desc->val[0] & 0xfff00000000001c0ULL) ||
        (desc->val[1] & ~0xffcULL)) {
        return false;
    }

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
    return true;
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
    const VTDRequest req = {
        .sid = PCI_BUILD_BDF(pci_bus_num(bus), devfn),
        .pasid = pasid,
        .addr = addr,
        .write = is_write,
        .priv = priv_req,
        .exec = exec_req,
    };
    bool pp = pasid != PCI_NO_PASID, marker = !is_read && !is_write;
    uint64_t desc[4] = {};
    VTDSpace space = {};
    bool fpd;
    int ret;

    prgi &= PCI_PRI_PRGI_MASK;
    trace_vtd_sva_page_request(req.sid, pasid, addr, is_read, is_write, lpig,
                               prgi);

    ret = vtd_sva_check_pri(s, &req, &space, &fpd);
    if (ret) {
        sva->prq_refused++;
        if (!fpd) {
            vtd_sva_fault(s, &req, ret);
        }
        if (lpig && !marker) {
            sva->resp_auto++;
            respond(s, req.sid, pasid, prgi, IOMMU_PRI_RESP_INVALID_REQUEST);
        }
        return 0;
    }
    if (!marker) {
        forget_page(s, &space, addr);
    }

    desc[0] = cpu_to_le64(1 | (uint64_t)pp << 8 | (uint64_t)req.sid << 16 |
                          (pp ? (uint64_t)pasid << 32 : 0) |
                          (uint64_t)exec_req << 52 | (uint64_t)priv_req << 53);
    desc[1] = cpu_to_le64(is_read | is_write << 1 | lpig << 2 | prgi << 3 |
                          (addr & VTD_PAGE_MASK_4K));

    if (!enqueue(s, desc)) {
        /* VT-d 7.4.1: it may try again */
        if (lpig && !marker) {
            sva->resp_auto++;
            respond(s, req.sid, pasid, prgi, IOMMU_PRI_RESP_SUCCESS);
        }
        return 0;
    }

    if (lpig && !marker) {
        group_asked(sva, group_key(req.sid, pasid, prgi));
    }
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
}

void vtd_prq_reset(IntelIOMMUState *s)
{
    VTDSVA *sva = s->sva;
    VTDResponse *r, *next;

    QTAILQ_FOREACH_SAFE(r, &sva->responses, next, next) {
        QTAILQ_REMOVE(&sva->responses, r, next);
        g_free(r);
    }
    timer_del(sva->response_timer);
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
