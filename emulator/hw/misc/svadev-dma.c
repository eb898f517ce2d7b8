/*
 * svadev: the queues, and the DMA that their operations consist of.
 *
 * An operation is a series of DMAs, each of which stays inside one page and
 * is translated before it is done. The IOMMU may stall any of them, or the
 * queue may ask for a page; it then sleeps until it is answered, and the
 * others go on. A few DMAs are done per expiry of the queue's timer, which
 * counts virtual time: no operation holds up the machine, and all repeats
 * exactly under icount.
 *
 * Some DMAs, chosen by x-seed, reach memory a while after their translation,
 * even if the translation changes before: see iommu-flight.h. A reset
 * drops them; a queue that is disabled is not idle before they are done.
 *
 * Only RAM can be a target. The memory is accessed in the largest naturally
 * aligned units up to 8 bytes, each in one go, as guest CPUs may look on.
 *
 * Everything here runs under the BQL.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "qemu/rcu.h"
#include "hw/pci/msix.h"
#include "svadev-internal.h"
#include "trace.h"

/* Virtual time from one batch of DMAs to the next, and their number */
#define SVADEV_BATCH_NS         1000
#define SVADEV_BATCH            16

/*
 * One DMA of so many takes time to reach memory: enough for a queue that
 * repeats an operation to have one in flight nearly always, and few enough not
 * to slow down those that move much.
 */
#define SVADEV_FLIES            4
#define SVADEV_FLIGHT_MIN_NS    (1 * SCALE_US)
#define SVADEV_FLIGHT_MAX_NS    (50 * SCALE_US)
/* and one of so many more, where the fabric is congested */
#define SVADEV_CONGESTED        8
#define SVADEV_CONGESTED_NS     (1 * SCALE_MS)

static unsigned svaq_index(SVAQueue *q)
{
    return q - q->dev->queues;
}

static void svaq_schedule(SVAQueue *q, uint64_t delay_ns)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    /* A shorter delay would let a hammer starve the machine */
    delay_ns = MAX(delay_ns, SVADEV_BATCH_NS);
    timer_mod_ns(&q->timer, now + MIN(delay_ns, INT64_MAX - now));
}

/* The operation is over: free the queue and tell */
static void svaq_end(SVAQueue *q, uint64_t status)
{
    trace_svadev_end(svaq_index(q), status, q->done, q->rounds);

    q->state = SVAQ_IDLE;
    q->status = status;

    if (q->ctrl & SVADEV_Q_CTRL_IRQ) {
        msix_notify(PCI_DEVICE(q->dev), q->vector);
    }
}

static void svaq_start_round(SVAQueue *q)
{
    q->state = SVAQ_RUNNING;
    q->done = 0;
    q->retries = 0;
    q->sum = 0;
    q->held = 0;
}

static void svaq_end_round(SVAQueue *q, uint64_t result)
{
    q->result = result;
    q->dev->ops++;

    if (!q->op.hammer) {
        svaq_end(q, SVADEV_STATUS_OK);
        return;
    }

    q->rounds++;

    if (q->disable) {
        svaq_end(q, SVADEV_STATUS_DISABLED);
    } else if (q->stop) {
        svaq_end(q, SVADEV_STATUS_OK);
    } else {
        q->state = SVAQ_PAUSED;
        svaq_schedule(q, q->op.hammer);
    }
}

/*
 * Guest memory has one alignment for both, as RAM blocks start on host pages.
 * Writes are seen in the order they are made, as PCI's posted writes are.
 */
static void ram_read(uint8_t *buf, const void *ram, size_t len)
{
    while (len) {
        size_t n = MIN(pow2floor(len), 8);

        n = MIN(n, 1 << ctz32((uintptr_t)ram | 8));

        switch (n) {
        case 8:
            stq_he_p(buf, qatomic_read((const uint64_t *)ram));
            break;
        case 4:
            stl_he_p(buf, qatomic_read((const uint32_t *)ram));
            break;
        case 2:
            stw_he_p(buf, qatomic_read((const uint16_t *)ram));
            break;
        default:
            *buf = qatomic_read((const uint8_t *)ram);
            break;
        }

        buf += n;
        ram += n;
        len -= n;
    }
}

static void ram_write(void *ram, const uint8_t *buf, size_t len)
{
    while (len) {
        size_t n = MIN(pow2floor(len), 8);

        n = MIN(n, 1 << ctz32((uintptr_t)ram | 8));

        switch (n) {
        case 8:
            qatomic_store_release((uint64_t *)ram, ldq_he_p(buf));
            break;
        case 4:
            qatomic_store_release((uint32_t *)ram, (uint32_t)ldl_he_p(buf));
            break;
        case 2:
            qatomic_store_release((uint16_t *)ram, (uint16_t)lduw_he_p(buf));
            break;
        default:
            qatomic_store_release((uint8_t *)ram, *buf);
            break;
        }

        buf += n;
        ram += n;
        len -= n;
    }
}

/* The new value of an atomic operation whose target holds @old */
static uint64_t atomic_new(const SVAOp *op, uint64_t old)
{
    uint64_t mask = MAKE_64BIT_MASK(0, op->len * 8);

    if (op->op == SVADEV_OP_FETCH_ADD) {
        return (old + op->value) & mask;
    }

    return (old == (op->expect & mask)) ? op->value & mask : old;
}

/* Atomic for guest CPUs too, as TCG and KVM use the host's atomics */
static uint64_t ram_atomic32(const SVAOp *op, uint32_t *ram)
{
    uint32_t old = qatomic_read(ram), seen;

    for (;; old = seen) {
        seen = qatomic_cmpxchg(ram, old, cpu_to_le32(
                               atomic_new(op, le32_to_cpu(old))));
        if (seen == old) {
            return le32_to_cpu(old);
        }
    }
}

static uint64_t ram_atomic64(const SVAOp *op, uint64_t *ram)
{
    uint64_t old = qatomic_read(ram), seen;

    for (;; old = seen) {
        seen = qatomic_cmpxchg(ram, old, cpu_to_le64(
                               atomic_new(op, le64_to_cpu(old))));
        if (seen == old) {
            return le64_to_cpu(old);
        }
    }
}

static int svaq_translate(SVAQueue *q, uint64_t addr, IOMMUAccessFlags access,
                          IOMMUTLBEntry *out)
{
    PCIDevice *pci = PCI_DEVICE(q->dev);
    uint32_t pasid = svadev_queue_pasid(q);
    int ret;

    q->flight.translated = false;
    ret = pci_sva_translate(pci, pasid, svadev_queue_priv(q), false, addr,
                            access, out, &q->waiter);
    if (!ret) {
        out->target_as = &address_space_memory;
    } else if (ret == -ENODEV && pasid == PCI_NO_PASID) {
        /* What any other device's DMA goes through */
        *out = address_space_get_iotlb_entry(pci_get_address_space(pci), addr,
                                             access != IOMMU_RO,
                                             MEMTXATTRS_UNSPECIFIED);
        ret = out->perm == IOMMU_NONE ? -EFAULT : 0;
    }

    return ret;
}

/*
 * Stop, and have software make the translation. Nothing of the queue is in
 * flight then: its only access is the one that has no translation.
 */
static void svaq_hold(SVAQueue *q, uint64_t addr, IOMMUAccessFlags wanted)
{
    assert(!q->flight.as);
    q->fault_addr = addr;

    if (q->disable) {
        svaq_end(q, SVADEV_STATUS_DISABLED);
        return;
    }

    q->state = SVAQ_HELD;
    q->held_write = wanted & IOMMU_WO;
    q->dev->dma_held++;

    if (q->ctrl & SVADEV_Q_CTRL_IRQ) {
        msix_notify(PCI_DEVICE(q->dev), q->vector);
    }
}

/*
 * The same by ATS. Returns -EAGAIN too: a page request was made, or the queue is
 * held; it is no longer running.
 */
static int svaq_translate_ats(SVAQueue *q, uint64_t addr, bool atomic,
                              IOMMUAccessFlags access, IOMMUTLBEntry *out)
{
    IOMMUAccessFlags wanted = atomic ? IOMMU_RW : access;
    uint32_t miss = q->mode & SVADEV_Q_MODE_MISS;
    int ret = svadev_atc_translate(q, addr, wanted, out);

    q->flight.translated = true;
    if (ret == -EREMOTE ||
        (ret == -EFAULT && miss == SVADEV_Q_MODE_MISS_IOMMU)) {
        return svaq_translate(q, addr, access, out);
    }

    if (ret == -EFAULT && miss == SVADEV_Q_MODE_MISS_PRI &&
        svadev_pri_request(q, addr, wanted, q->op.len - q->done)) {
        return -EAGAIN;
    }

    if (ret == -EFAULT && miss == SVADEV_Q_MODE_MISS_HOLD) {
        svaq_hold(q, addr, wanted);
        return -EAGAIN;
    }

    return ret;
}

/* Map RAM at @addr: what is contiguous of *@len, but no less than @min */
static void *ram_map(AddressSpace *as, hwaddr addr, bool is_write, hwaddr min,
                     hwaddr *len)
{
    MemTxAttrs attrs = MEMTXATTRS_UNSPECIFIED;
    hwaddr xlat, l = *len;
    MemoryRegion *mr;

    WITH_RCU_READ_LOCK_GUARD() {
        mr = address_space_translate(as, addr, &xlat, &l, is_write, attrs);
        if (l < min || !memory_access_is_direct(mr, is_write, attrs)) {
            return NULL;
        }
    }

    return address_space_map(as, addr, len, is_write, attrs);
}

/* Note a DMA that is translated. Returns whether it takes time to be done. */
static bool svaq_take_off(SVAQueue *q, unsigned int kinds, AddressSpace *as,
                          hwaddr addr, hwaddr len)
{
    SVADevState *s = q->dev;
    PCIDevice *pci = PCI_DEVICE(s);
    uint64_t ns;

    q->flight.as = as;
    q->flight.addr = addr;
    q->flight.len = len;
    if (iommu_choice_below(&s->flies, SVADEV_FLIES)) {
        return false;
    }
    if (as == &pci->bus_master_as && pci->bus_master_enable_region.enabled) {
        /* It is sent by now: Bus Master Enable does not matter any more */
        q->flight.as = pci_device_iommu_address_space(pci);
    }

    ns = iommu_choice_between(&s->flight_time, SVADEV_FLIGHT_MIN_NS,
                              iommu_choice_below(&s->flight_time,
                                                 SVADEV_CONGESTED) ?
                              SVADEV_FLIGHT_MAX_NS : SVADEV_CONGESTED_NS);
    iommu_flight_begin(&q->flight.access, pci, q->flight.translated, kinds,
                       qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + ns);
    svadev_queue_wait(q, SVAQ_FLYING, ns);

    return true;
}

/*
 * One DMA, of up to @len bytes at @addr: into @buf for IOMMU_RO, else out of
 * @buf, or, with no @buf, the atomic operation.
 *
 * Returns the number of bytes that were done. If it is 0, the queue is no
 * longer running: the IOMMU stalled the request, a page was asked for, the queue
 * is held, the access is in flight, or the operation has ended. But in the last
 * case the queue comes here again, with the same arguments.
 */
static size_t svaq_dma(SVAQueue *q, uint64_t addr, IOMMUAccessFlags access,
                       uint8_t *buf, size_t len)
{
    hwaddr n = MIN(len, SVADEV_PIECE - addr % SVADEV_PIECE);
    SVADevState *s = q->dev;
    AddressSpace *as;
    IOMMUTLBEntry tlb;
    void *ram = NULL;
    int ret = 0;

    if (!q->flight.as) {
        if (q->mode & SVADEV_Q_MODE_ATS) {
            ret = svaq_translate_ats(q, addr, !buf, access, &tlb);
        } else {
            ret = svaq_translate(q, addr, access, &tlb);
        }
        trace_svadev_dma(svaq_index(q), q->pasid, addr, n, access, ret);

        if (ret == -EINPROGRESS || ret == -EAGAIN) {
            if (ret == -EINPROGRESS) {
                q->state = SVAQ_STALLED;
                s->dma_stall++;
            }
            q->fault_addr = addr;
            q->faults++;
            return 0;
        }

        if (!ret && svaq_take_off(q, !buf ? IOMMU_FLIGHT_ALL :
                                  access == IOMMU_RO ? IOMMU_FLIGHT_READ :
                                  IOMMU_FLIGHT_WRITE, tlb.target_as,
                                  (tlb.translated_addr & ~tlb.addr_mask) |
                                  (addr & tlb.addr_mask), n)) {
            return 0;
        }
    }

    as = q->flight.as;
    q->flight.as = NULL;
    iommu_flight_land(&q->flight.access);
    if (!ret) {
        n = q->flight.len;
        ram = ram_map(as, q->flight.addr, access != IOMMU_RO, buf ? 1 : len,
                      &n);
    }

    if (!ram) {
        q->fault_addr = addr;
        s->dma_fault++;
        svaq_end(q, SVADEV_STATUS_FAULT);
        return 0;
    }

    if (!buf) {
        q->sum = n == 4 ? ram_atomic32(&q->op, ram) : ram_atomic64(&q->op, ram);
    } else if (access == IOMMU_RO) {
        ram_read(buf, ram, n);
    } else {
        ram_write(ram, buf, n);
    }

    address_space_unmap(as, ram, n, access != IOMMU_RO, n);

    q->retries = 0;
    s->dma_ok++;
    s->bytes += n;

    return n;
}

/* Put the next bytes that the operation works on into the buffer */
static bool svaq_refill(SVAQueue *q)
{
    const SVAOp *op = &q->op;
    size_t n = MIN(op->len - q->done, sizeof(q->buf));

    switch (op->op) {
    case SVADEV_OP_WRITE:
        stq_le_p(q->buf, op->value);
        break;
    case SVADEV_OP_FILL:
        memset(q->buf, op->value & 0xff, n);
        break;
    default:
        n = svaq_dma(q, op->src + q->done, IOMMU_RO, q->buf, n);
        break;
    }

    q->pos = 0;
    q->held = n;

    return n;
}

/* Offset of the first byte that differs, @len if none does */
static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t len)
{
    size_t i = 0;

    while (i < len && a[i] == b[i]) {
        i++;
    }

    return i;
}

/* Take a step towards the end of the round, at most one DMA each way */
static void svaq_advance(SVAQueue *q)
{
    const SVAOp *op = &q->op;
    uint8_t *buf, other[SVADEV_PIECE];
    uint64_t dst = op->dst + q->done;
    size_t n, same, i;

    if (q->done == op->len) {
        svaq_end_round(q, op->op == SVADEV_OP_COMPARE ? op->len : q->sum);
        return;
    }

    if (op->op == SVADEV_OP_FETCH_ADD || op->op == SVADEV_OP_CAS) {
        q->done += svaq_dma(q, dst, IOMMU_WO, NULL, op->len);
        return;
    }

    if (!q->held && !svaq_refill(q)) {
        return;
    }

    buf = q->buf + q->pos;
    n = q->held;

    switch (op->op) {
    case SVADEV_OP_READ:
        for (i = 0; i < n; i++) {
            q->sum += buf[i];
        }
        break;

    case SVADEV_OP_COMPARE:
        n = svaq_dma(q, dst, IOMMU_RO, other, n);
        same = first_difference(buf, other, n);
        if (same < n) {
            q->done += same;
            svaq_end_round(q, q->done);
            return;
        }
        break;

    default:
        n = svaq_dma(q, dst, IOMMU_WO, buf, n);
        break;
    }

    q->pos += n;
    q->held -= n;
    q->done += n;
}

static void svaq_run(SVAQueue *q)
{
    int i;

    if (q->state == SVAQ_LATE) {
        svadev_pri_send(q);
        return;
    }

    if (q->state == SVAQ_PAUSED) {
        svaq_start_round(q);
    } else if (q->state == SVAQ_FLYING) {
        q->state = SVAQ_RUNNING;
    }

    for (i = 0; i < SVADEV_BATCH; i++) {
        svaq_advance(q);

        /* An MSI of ours may have started, or resumed, this queue */
        if (q->state != SVAQ_RUNNING || timer_pending(&q->timer)) {
            return;
        }

        /* What was under way when the queue was disabled has landed now */
        if (q->disable) {
            svaq_end(q, SVADEV_STATUS_DISABLED);
            return;
        }
    }

    svaq_schedule(q, SVADEV_BATCH_NS);
}

static void svaq_batch(void *opaque)
{
    SVAQueue *q = opaque;
    Object *obj = OBJECT(q->dev);

    /* An interrupt is a write anywhere: it may unplug the function */
    object_ref(obj);
    svaq_run(q);
    object_unref(obj);
}

/* Let the timer go on with a queue that is not running, but not idle either */
void svadev_queue_wait(SVAQueue *q, SVAQueueState state, uint64_t delay_ns)
{
    q->state = state;
    svaq_schedule(q, delay_ns);
}

/* The DMA under way is to be tried again, or has failed */
void svadev_queue_answered(SVAQueue *q, bool retry)
{
    SVADevState *s = q->dev;

    assert(q->state == SVAQ_STALLED || q->state == SVAQ_PAGED ||
           q->state == SVAQ_LATE || q->state == SVAQ_HELD);
    trace_svadev_answered(svaq_index(q), q->fault_addr, retry, q->retries);

    if (q->disable) {
        svaq_end(q, SVADEV_STATUS_DISABLED);
    } else if (!retry) {
        s->dma_fault++;
        svaq_end(q, SVADEV_STATUS_FAULT);
    } else if (q->retries >= s->max_retries) {
        svaq_end(q, SVADEV_STATUS_RETRIES);
    } else {
        q->retries++;
        s->dma_retry++;
        svadev_queue_wait(q, SVAQ_RUNNING, SVADEV_BATCH_NS);
    }
}

/* Software has done what it could about a held queue */
void svadev_queue_resume(SVAQueue *q, uint32_t how)
{
    if (q->state == SVAQ_HELD) {
        svadev_queue_answered(q, how == SVADEV_Q_RESUME_RETRY);
    }
}

static void svaq_waiter_done(PCISVAWaiter *waiter, bool retry)
{
    SVAQueue *q = container_of(waiter, SVAQueue, waiter);
    Object *obj = OBJECT(q->dev);

    object_ref(obj);
    svadev_queue_answered(q, retry);
    object_unref(obj);
}

static bool range_is_valid(uint64_t addr, uint64_t len)
{
    return !len || len - 1 <= UINT64_MAX - addr;
}

static bool op_is_valid(const SVAOp *op)
{
    switch (op->op) {
    case SVADEV_OP_NOP:
        return true;
    case SVADEV_OP_READ:
        return range_is_valid(op->src, op->len);
    case SVADEV_OP_WRITE:
        return op->len <= 8 && range_is_valid(op->dst, op->len);
    case SVADEV_OP_FILL:
        return range_is_valid(op->dst, op->len);
    case SVADEV_OP_COPY:
    case SVADEV_OP_COMPARE:
        return range_is_valid(op->src, op->len) &&
               range_is_valid(op->dst, op->len);
    case SVADEV_OP_FETCH_ADD:
    case SVADEV_OP_CAS:
        return (op->len == 4 || op->len == 8) && !(op->dst % op->len);
    default:
        return false;
    }
}

static void svaq_forget_outcome(SVAQueue *q)
{
    q->status = SVADEV_STATUS_IDLE;
    q->result = 0;
    q->fault_addr = 0;
    q->done = 0;
    q->faults = 0;
    q->rounds = 0;
}

static void svaq_start(SVAQueue *q)
{
    q->op = q->operands;
    q->stop = false;
    q->disable = false;
    svaq_forget_outcome(q);

    trace_svadev_start(svaq_index(q), q->op.op, q->op.src, q->op.dst, q->op.len,
                       q->op.hammer);

    if (!(q->ctrl & SVADEV_Q_CTRL_ENABLE)) {
        svaq_end(q, SVADEV_STATUS_DISABLED);
        return;
    }

    if (!op_is_valid(&q->op)) {
        svaq_end(q, SVADEV_STATUS_INVALID);
        return;
    }

    if (q->op.op == SVADEV_OP_NOP) {
        q->op.len = 0;
    }

    q->status = SVADEV_STATUS_BUSY;
    svaq_start_round(q);
    svaq_schedule(q, SVADEV_BATCH_NS);
}

void svadev_queue_go(SVAQueue *q, uint64_t cmd)
{
    if (cmd == SVADEV_GO_START && q->state == SVAQ_IDLE) {
        svaq_start(q);
    } else if (cmd == SVADEV_GO_STOP && q->state == SVAQ_PAUSED) {
        timer_del(&q->timer);
        svaq_end(q, SVADEV_STATUS_OK);
    } else if (cmd == SVADEV_GO_STOP) {
        q->stop = true;
    }
}

void svadev_queue_disable(SVAQueue *q)
{
    if (q->state == SVAQ_PAUSED) {
        timer_del(&q->timer);
        svaq_end(q, SVADEV_STATUS_DISABLED);
    } else if (q->state == SVAQ_HELD) {
        svaq_end(q, SVADEV_STATUS_DISABLED);
    } else {
        q->disable = true;
    }

    svadev_pri_queue_disabled(q);
}

/* The next owner of the page shall not see what the last one did */
void svadev_queue_blank(SVAQueue *q)
{
    q->operands = (SVAOp) {};
    svaq_forget_outcome(q);
}

void svadev_queue_reset(SVAQueue *q)
{
    timer_del(&q->timer);
    if (q->state == SVAQ_STALLED) {
        pci_sva_cancel(PCI_DEVICE(q->dev), &q->waiter);
    }
    svadev_pri_queue_reset(q);

    q->state = SVAQ_IDLE;
    q->flight.as = NULL;
    iommu_flight_land(&q->flight.access);
    q->retries = 0;
    q->ctrl = 0;
    q->pasid = 0;
    q->mode = 0;
    q->vector = svaq_index(q);
    svadev_queue_blank(q);
}

void svadev_queue_init(SVADevState *s, SVAQueue *q)
{
    q->dev = s;
    q->waiter.done = svaq_waiter_done;
    timer_init_ns(&q->timer, QEMU_CLOCK_VIRTUAL, svaq_batch, q);
    svadev_queue_reset(q);
}
