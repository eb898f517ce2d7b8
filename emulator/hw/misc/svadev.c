/*
 * svadev: an accelerator that shares address spaces with processes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A PCI Express function with a number of queues. The kernel gives each queue
 * a PASID, or none, and may map its page of registers into a process, which
 * then lets the queue read, write, copy, compare or atomically change memory
 * at virtual addresses. It is for testing IOMMUs and their drivers: a queue
 * says exactly which DMA failed and why, can repeat an operation for ever
 * while tables change below it, and lets the guest read every counter of
 * every emulated IOMMU and accelerator as of one point in time.
 *
 *   -device svadev[,nr-queues=16][,pasid-width=16][,pasid-exec=on]
 *          [,pasid-priv=on][,ats=off][,pri=off][,atc-size=65536][,x-seed=1]
 *          [,max-requests=512][,x-wild=7],addr=...
 *
 * What PCI Express leaves to the function it chooses at random, repeatably by
 * x-seed: see iommu-choice.h. x-wild is for tests that need to know: without
 * bit 0 the requests of a page request group come in one go; without bit 1 only
 * translations that are needed are asked for; without bit 2 those for a read
 * have No Write set.
 *
 * It is a root complex integrated endpoint if plugged into pcie.0. The
 * registers are in standard-headers/misc/svadev.h. What that leaves open:
 *  - registers are little endian. A queue page also takes 32-bit accesses to
 *    either half of a register; what is smaller or not aligned reads as 0 and
 *    writes nothing, so that a process cannot cause a bus error.
 *  - enabling a queue blanks its page. A queue that is disabled, but still
 *    busy, can not be enabled again before it is idle.
 *  - GO latches the operands. While the queue is busy a new start is ignored.
 *  - an operation that ended by any status counts as completed for the
 *    interrupt. The vector is by default the number of the queue.
 *  - a fault ends a hammer too.
 *  - PASID 0 is a PASID like any other. An untagged queue has no modes.
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/log.h"
#include "qemu/module.h"
#include "qapi/error.h"
#include "hw/misc/iommu-stats.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "system/cpu-timers.h"
#include "svadev-internal.h"
#include "trace.h"

/* Processing accelerator, no programming interface */
#define SVADEV_PCI_CLASS        0x1200

#define SVADEV_MAX_QUEUES       256
#define SVADEV_MSIX_BAR         4
#define SVADEV_EXT_CAP_OFFSET   PCI_CONFIG_SPACE_SIZE
#define SVADEV_DEFAULT_RETRIES  64
#define SVADEV_DEFAULT_ATC_SIZE 65536
#define SVADEV_DEFAULT_REQUESTS 512
#define SVADEV_MAX_REQUESTS     65536
/* An invalidation that is answered late: much later than most, but in time */
#define SVADEV_INV_LATE_NS      (100 * SCALE_MS)
/* What a function that has PRI, or ATS, can be made to do */
#define SVADEV_INJECT_PRI                               \
    (SVADEV_INJECT_LATE | SVADEV_INJECT_LOST |          \
     SVADEV_INJECT_TWICE | SVADEV_INJECT_NO_PASID |     \
     SVADEV_INJECT_AFTER | SVADEV_INJECT_STOP |         \
     SVADEV_INJECT_MANY)
#define SVADEV_INJECT_ATS                               \
    (SVADEV_INJECT_INV_LATE | SVADEV_INJECT_INV_NEVER)
#define SVADEV_QUEUE_BLOCK      (SVADEV_QUEUE(1) - SVADEV_QUEUE(0))

QEMU_BUILD_BUG_ON(SVADEV_QUEUE(SVADEV_MAX_QUEUES) > SVADEV_STATS);
QEMU_BUILD_BUG_ON(SVADEV_STATS + SVADEV_STATS_SIZE > SVADEV_CTRL_SIZE);

static uint32_t svadev_icount(SVADevState *s)
{
    uint64_t icount = icount_enabled() ? icount_get_raw() : 0;

    s->icount_hi = icount >> 32;

    return icount;
}

static uint32_t svadev_queue_read(SVAQueue *q, hwaddr reg)
{
    switch (reg) {
    case SVADEV_Q_CTRL:
        return q->ctrl;
    case SVADEV_Q_PASID:
        return q->pasid;
    case SVADEV_Q_MODE:
        return q->mode;
    case SVADEV_Q_VECTOR:
        return q->vector;
    case SVADEV_Q_STATE:
        return (q->state == SVAQ_IDLE ? 0 : SVADEV_Q_STATE_BUSY) |
               (q->state == SVAQ_HELD ? SVADEV_Q_STATE_HELD : 0);
    case SVADEV_Q_FAULT_LO:
        return q->state != SVAQ_HELD ? 0 :
               (q->fault_addr & ~(SVADEV_PIECE - 1ULL)) |
               (q->held_write ? SVADEV_Q_FAULT_WRITE : 0);
    case SVADEV_Q_FAULT_HI:
        return q->state != SVAQ_HELD ? 0 : q->fault_addr >> 32;
    default:
        return 0;
    }
}

static void svadev_queue_ctrl(SVAQueue *q, uint32_t val)
{
    bool was_on = q->ctrl & SVADEV_Q_CTRL_ENABLE;

    val &= SVADEV_Q_CTRL_ENABLE | SVADEV_Q_CTRL_IRQ;

    if (!was_on && (val & SVADEV_Q_CTRL_ENABLE)) {
        svadev_atc_prune(q->dev);
    }

    if (!was_on && q->state != SVAQ_IDLE) {
        val &= ~SVADEV_Q_CTRL_ENABLE;
    }

    q->ctrl = val;

    if (was_on && !(val & SVADEV_Q_CTRL_ENABLE)) {
        svadev_queue_disable(q);
    } else if (!was_on && (val & SVADEV_Q_CTRL_ENABLE)) {
        svadev_queue_blank(q);
    }
}

/* What of @val the function can do; the rest reads as 0 */
static uint32_t svadev_valid_mode(SVADevState *s, uint32_t val)
{
    uint32_t mode = val & SVADEV_Q_MODE_PRIV;
    uint32_t miss = val & SVADEV_Q_MODE_MISS;

    if (s->ats && (val & SVADEV_Q_MODE_ATS)) {
        mode |= SVADEV_Q_MODE_ATS;
        if (miss == SVADEV_Q_MODE_MISS_FAIL ||
            miss == SVADEV_Q_MODE_MISS_HOLD ||
            (s->pri && miss == SVADEV_Q_MODE_MISS_PRI)) {
            mode |= miss;
        }
    }

    return mode;
}

static void svadev_queue_write(SVAQueue *q, hwaddr reg, uint32_t val)
{
    bool idle = !(q->ctrl & SVADEV_Q_CTRL_ENABLE) && q->state == SVAQ_IDLE;

    switch (reg) {
    case SVADEV_Q_CTRL:
        svadev_queue_ctrl(q, val);
        break;
    case SVADEV_Q_PASID:
        if (idle) {
            q->pasid = val & (SVADEV_Q_PASID_VALID | SVADEV_Q_PASID_MASK);
        }
        break;
    case SVADEV_Q_MODE:
        if (idle) {
            q->mode = svadev_valid_mode(q->dev, val);
        }
        break;
    case SVADEV_Q_VECTOR:
        if (val < q->dev->nr_queues) {
            q->vector = val;
        }
        break;
    case SVADEV_Q_RESUME:
        svadev_queue_resume(q, val);
        break;
    default:
        qemu_log_mask(LOG_GUEST_ERROR, "svadev: write of 0x%x to queue "
                      "register 0x%" HWADDR_PRIx "\n", val, reg);
        break;
    }
}

/* The queue whose block holds @addr, and the offset in the block */
static SVAQueue *svadev_queue_block(SVADevState *s, hwaddr addr, hwaddr *reg)
{
    hwaddr offset = addr - SVADEV_QUEUE(0);

    if (addr < SVADEV_QUEUE(0) ||
        offset / SVADEV_QUEUE_BLOCK >= s->nr_queues) {
        return NULL;
    }

    *reg = offset % SVADEV_QUEUE_BLOCK;

    return &s->queues[offset / SVADEV_QUEUE_BLOCK];
}

static void svadev_inject(SVADevState *s, uint32_t val)
{
    int64_t answer_ns = 0;

    s->inject = val & ((s->pri ? SVADEV_INJECT_PRI : 0) |
                       (s->ats ? SVADEV_INJECT_ATS : 0));

    if (s->inject & SVADEV_INJECT_INV_NEVER) {
        answer_ns = IOMMU_INV_NEVER;
    } else if (s->inject & SVADEV_INJECT_INV_LATE) {
        answer_ns = SVADEV_INV_LATE_NS;
    }
    iommu_inv_set_answer(PCI_DEVICE(s), answer_ns);
}

static void svadev_reset(SVADevState *s)
{
    unsigned i;

    for (i = 0; i < s->nr_queues; i++) {
        svadev_queue_reset(&s->queues[i]);
    }

    s->max_retries = SVADEV_DEFAULT_RETRIES;
    s->prg_pages = 1;
    svadev_inject(s, 0);
    s->icount_hi = 0;
    s->stat_count = 0;
    memset(s->stats, 0, sizeof(s->stats));
}

static void svadev_latch(SVADevState *s)
{
    memset(s->stats, 0, sizeof(s->stats));
    s->stat_count = iommu_stats_latch(s->stats, sizeof(s->stats));
}

/* What the function knows, and what it asked for, is lost */
static void svadev_forget_all(SVADevState *s)
{
    svadev_reset(s);
    svadev_pri_reset(s);
    svadev_atc_clear(s);
}

/*
 * Pull a function of the same bus, or plug it again, the way hot-plug without
 * notice does: software learns of it by reads that return all ones, and of a
 * request that an IOMMU holds nobody hears the answer. The BARs stay where they
 * are meanwhile, as QEMU's own hole in PCI space need not read as all ones.
 */
static void svadev_slot(SVADevState *s, uint32_t val)
{
    PCIDevice *self = PCI_DEVICE(s), *pci;
    bool plug = val & SVADEV_SLOT_PLUG;

    pci = pci_find_device(pci_get_bus(self), pci_dev_bus_num(self),
                          val & SVADEV_SLOT_DEVFN_MASK);
    if (!pci || pci == self || pci->enabled == plug ||
        !object_dynamic_cast(OBJECT(pci), TYPE_SVADEV)) {
        qemu_log_mask(LOG_GUEST_ERROR, "svadev: 0x%x cannot be plugged or "
                      "pulled\n", val);
        return;
    }

    trace_svadev_slot(pci->devfn, plug);
    pci->enabled = plug;
    if (plug) {
        pci_device_reset(pci);
    } else {
        svadev_forget_all(SVADEV(pci));
    }
}

static uint64_t svadev_ctrl_read(void *opaque, hwaddr addr, unsigned size)
{
    SVADevState *s = opaque;
    uint32_t val = 0;
    SVAQueue *q;
    hwaddr reg;

    if (!PCI_DEVICE(s)->enabled) {
        return UINT32_MAX;
    }

    switch (addr) {
    case SVADEV_ID:
        val = SVADEV_ID_MAGIC;
        break;
    case SVADEV_VERSION:
        val = SVADEV_VERSION_1;
        break;
    case SVADEV_NR_QUEUES:
        val = s->nr_queues;
        break;
    case SVADEV_MAX_RETRIES:
        val = s->max_retries;
        break;
    case SVADEV_STAT_COUNT:
        val = s->stat_count;
        break;
    case SVADEV_CAPS:
        val = (s->ats ? SVADEV_CAPS_ATS : 0) | (s->pri ? SVADEV_CAPS_PRI : 0);
        break;
    case SVADEV_PRG_PAGES:
        val = s->prg_pages;
        break;
    case SVADEV_INJECT:
        val = s->inject;
        break;
    case SVADEV_ICOUNT_LO:
        val = svadev_icount(s);
        break;
    case SVADEV_ICOUNT_HI:
        val = s->icount_hi;
        break;
    case SVADEV_STATS ... SVADEV_STATS + SVADEV_STATS_SIZE - 1:
        val = ldl_le_p(s->stats + addr - SVADEV_STATS);
        break;
    default:
        q = svadev_queue_block(s, addr, &reg);
        if (q) {
            val = svadev_queue_read(q, reg);
        }
        break;
    }

    trace_svadev_ctrl_read(addr, val);

    return val;
}

static void svadev_ctrl_write(void *opaque, hwaddr addr, uint64_t val,
                              unsigned size)
{
    SVADevState *s = opaque;
    SVAQueue *q;
    hwaddr reg;

    if (!PCI_DEVICE(s)->enabled) {
        return;
    }

    trace_svadev_ctrl_write(addr, val);

    switch (addr) {
    case SVADEV_RESET:
        if (val & 1) {
            svadev_reset(s);
        }
        break;
    case SVADEV_MAX_RETRIES:
        s->max_retries = val;
        break;
    case SVADEV_PRG_PAGES:
        if (val >= 1 && val <= SVADEV_PRG_PAGES_MAX) {
            s->prg_pages = val;
        }
        break;
    case SVADEV_INJECT:
        svadev_inject(s, val);
        break;
    case SVADEV_SLOT:
        svadev_slot(s, val);
        break;
    case SVADEV_STAT_LATCH:
        if (val & SVADEV_STAT_LATCH_AUDIT) {
            iommu_stats_audit();
        }
        if (val & SVADEV_STAT_LATCH_COPY) {
            svadev_latch(s);
        }
        break;
    default:
        q = svadev_queue_block(s, addr, &reg);
        if (q) {
            svadev_queue_write(q, reg, val);
        } else {
            qemu_log_mask(LOG_GUEST_ERROR, "svadev: write of 0x%" PRIx64
                          " to 0x%" HWADDR_PRIx "\n", val, addr);
        }
        break;
    }
}

static const MemoryRegionOps svadev_ctrl_ops = {
    .read = svadev_ctrl_read,
    .write = svadev_ctrl_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 4,
        .max_access_size = 8,
    },
    .impl = {
        .min_access_size = 4,
        .max_access_size = 4,
    },
};

/* A writable register of a queue page, NULL if it is none */
static uint64_t *svadev_operand(SVAQueue *q, hwaddr reg)
{
    switch (reg) {
    case SVADEV_OP:
        return &q->operands.op;
    case SVADEV_SRC:
        return &q->operands.src;
    case SVADEV_DST:
        return &q->operands.dst;
    case SVADEV_LEN:
        return &q->operands.len;
    case SVADEV_VALUE:
        return &q->operands.value;
    case SVADEV_EXPECT:
        return &q->operands.expect;
    case SVADEV_HAMMER:
        return &q->operands.hammer;
    default:
        return NULL;
    }
}

static uint64_t svadev_page_reg(SVAQueue *q, hwaddr reg)
{
    const uint64_t *operand = svadev_operand(q, reg);

    if (operand) {
        return *operand;
    }

    switch (reg) {
    case SVADEV_STATUS:
        return q->status;
    case SVADEV_RESULT:
        return q->result;
    case SVADEV_FAULT_ADDR:
        return q->fault_addr;
    case SVADEV_DONE:
        return q->done;
    case SVADEV_FAULTS:
        return q->faults;
    case SVADEV_ROUNDS:
        return q->rounds;
    default:
        return 0;
    }
}

static bool svadev_page_access_is_sane(hwaddr addr, unsigned size)
{
    return (size == 4 || size == 8) && !(addr % size);
}

static uint64_t svadev_page_read(void *opaque, hwaddr addr, unsigned size)
{
    SVADevState *s = opaque;
    SVAQueue *q = &s->queues[addr / SVADEV_QUEUE_STRIDE];
    hwaddr reg = addr % SVADEV_QUEUE_STRIDE & ~7;
    int shift = addr % 8 * 8;

    if (!PCI_DEVICE(s)->enabled) {
        return UINT64_MAX;
    }

    if (!svadev_page_access_is_sane(addr, size)) {
        return 0;
    }

    return extract64(svadev_page_reg(q, reg), shift, size * 8);
}

static void svadev_page_write(void *opaque, hwaddr addr, uint64_t val,
                              unsigned size)
{
    SVADevState *s = opaque;
    SVAQueue *q = &s->queues[addr / SVADEV_QUEUE_STRIDE];
    hwaddr reg = addr % SVADEV_QUEUE_STRIDE & ~7;
    uint64_t *operand = svadev_operand(q, reg);
    int shift = addr % 8 * 8;

    if (!PCI_DEVICE(s)->enabled || !svadev_page_access_is_sane(addr, size)) {
        return;
    }

    if (operand) {
        *operand = deposit64(*operand, shift, size * 8, val);
    } else if (reg == SVADEV_GO && !shift) {
        svadev_queue_go(q, val);
    }
}

static const MemoryRegionOps svadev_page_ops = {
    .read = svadev_page_read,
    .write = svadev_page_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
    .impl = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
};

static bool svadev_register_stats(SVADevState *s, Error **errp)
{
    const IOMMUStat stats[] = {
        { "ops", &s->ops },
        { "dma.ok", &s->dma_ok },
        { "dma.fault", &s->dma_fault },
        { "dma.stall", &s->dma_stall },
        { "dma.retry", &s->dma_retry },
        { "dma.held", &s->dma_held },
        { "bytes", &s->bytes },
        { "ats.ok", &s->ats_ok },
        { "ats.miss", &s->ats_miss },
        { "ats.blocked", &s->ats_blocked },
        { "atc.hit", &s->atc_hit },
        { "atc.inv", &s->atc_inv },
        { "atc.dropped", &s->atc_dropped },
        { "atc.overflow", &s->atc_overflow },
        { "atc.ahead", &s->atc_ahead },
        { "stale.atc", &s->atc_stale },
        { "late.atc", &s->atc_late },
        { "left.atc", &s->atc_left },
        { "pri.req", &s->pri_req },
        { "pri.group", &s->pri_group },
        { "pri.stop", &s->pri_stop },
        { "pri.many", &s->pri_many },
        { "pri.refused", &s->pri_refused },
        { "pri.no_credit", &s->pri_no_credit },
        { "pri.lost", &s->pri_lost },
        { "pri.late", &s->pri_late },
        { "pri.success", &s->pri_success },
        { "pri.invalid", &s->pri_invalid },
        { "pri.failure", &s->pri_failure },
        { "pri.unexpected", &s->pri_unexpected },
        { "cfg.order", &s->cfg_order },
    };

    return iommu_stats_register(OBJECT(s), "svadev0.", stats,
                                ARRAY_SIZE(stats), errp);
}

static void svadev_add_ext_caps(SVADevState *s)
{
    PCIDevice *pci = PCI_DEVICE(s);
    uint16_t offset = SVADEV_EXT_CAP_OFFSET;

    if (s->pasid_width) {
        pcie_pasid_init(pci, offset, s->pasid_width, s->pasid_exec,
                        s->pasid_priv);
        offset += PCI_EXT_CAP_PASID_SIZEOF;
    }

    if (s->ats) {
        pcie_ats_init(pci, offset, true);
        offset += PCI_EXT_CAP_ATS_SIZEOF;
    }

    if (s->pri) {
        /* Responses are told apart by PASID as well as by index */
        pcie_pri_init(pci, offset, s->max_requests, s->pasid_width);
    }
}

static void svadev_realize(PCIDevice *pci, Error **errp)
{
    SVADevState *s = SVADEV(pci);
    uint64_t size;
    unsigned i;

    if (s->nr_queues < 1 || s->nr_queues > SVADEV_MAX_QUEUES) {
        error_setg(errp, "svadev: nr-queues must be 1 to %d",
                   SVADEV_MAX_QUEUES);
        return;
    }

    if (s->pasid_width > PCI_PASID_MAX_WIDTH) {
        error_setg(errp, "svadev: pasid-width must be 0 (no PASID capability) "
                   "to %d", PCI_PASID_MAX_WIDTH);
        return;
    }

    if (s->pri && !s->ats) {
        error_setg(errp, "svadev: pri=on needs ats=on");
        return;
    }

    if (s->max_requests < 1 || s->max_requests > SVADEV_MAX_REQUESTS) {
        error_setg(errp, "svadev: max-requests must be 1 to %d",
                   SVADEV_MAX_REQUESTS);
        return;
    }

    if (!pci_bus_is_express(pci_get_bus(pci))) {
        error_setg(errp, "svadev: must be plugged into a PCI Express bus");
        return;
    }

    if (pcie_endpoint_cap_init(pci, 0) < 0) {
        error_setg(errp, "svadev: no room for the PCI Express capability");
        return;
    }

    pcie_cap_flr_init(pci);
    svadev_add_ext_caps(s);

    if (!svadev_register_stats(s, errp)) {
        return;
    }

    if (msix_init_exclusive_bar(pci, s->nr_queues, SVADEV_MSIX_BAR, errp)) {
        iommu_stats_unregister(OBJECT(s));
        return;
    }

    iommu_choice_init(&s->flies, s->seed, "svadev.flies", pci->devfn);
    iommu_choice_init(&s->flight_time, s->seed, "svadev.flight_time",
                      pci->devfn);
    iommu_choice_init(&s->mixes, s->seed, "svadev.mixes", pci->devfn);
    iommu_choice_init(&s->many, s->seed, "svadev.many", pci->devfn);
    iommu_choice_init(&s->ahead, s->seed, "svadev.ahead", pci->devfn);
    iommu_choice_init(&s->asks_write, s->seed, "svadev.asks_write",
                      pci->devfn);
    svadev_atc_init(s);
    iommu_stats_set_audit(OBJECT(s), svadev_atc_audit, s);
    s->queues = g_new0(SVAQueue, s->nr_queues);
    for (i = 0; i < s->nr_queues; i++) {
        msix_vector_use(pci, i);
        svadev_queue_init(s, &s->queues[i]);
    }

    memory_region_init_io(&s->ctrl_bar, OBJECT(s), &svadev_ctrl_ops, s,
                          "svadev-ctrl", SVADEV_CTRL_SIZE);
    pci_register_bar(pci, SVADEV_BAR_CTRL, PCI_BASE_ADDRESS_SPACE_MEMORY,
                     &s->ctrl_bar);

    /* A BAR is a power of two; what is above the last queue is a hole */
    size = (uint64_t)s->nr_queues * SVADEV_QUEUE_STRIDE;
    memory_region_init(&s->queue_bar, OBJECT(s), "svadev-queues",
                       pow2ceil(size));
    memory_region_init_io(&s->pages, OBJECT(s), &svadev_page_ops, s,
                          "svadev-pages", size);
    memory_region_add_subregion(&s->queue_bar, 0, &s->pages);
    pci_register_bar(pci, SVADEV_BAR_QUEUE,
                     PCI_BASE_ADDRESS_SPACE_MEMORY |
                     PCI_BASE_ADDRESS_MEM_TYPE_64, &s->queue_bar);
}

static void svadev_exit(PCIDevice *pci)
{
    SVADevState *s = SVADEV(pci);

    iommu_stats_unregister(OBJECT(s));
    svadev_reset(s);
    svadev_pri_reset(s);
    svadev_atc_exit(s);
    msix_uninit_exclusive_bar(pci);
}

/* What may be at work when the function is unplugged has gone now */
static void svadev_finalize(Object *obj)
{
    g_free(SVADEV(obj)->queues);
}

static void svadev_reset_hold(Object *obj, ResetType type)
{
    SVADevState *s = SVADEV(obj);
    PCIDevice *pci = PCI_DEVICE(obj);

    svadev_forget_all(s);
    pcie_pasid_reset(pci);
    pcie_ats_reset(pci);
    pcie_pri_reset(pci);
}

/* What software has configured, of what must be done in a certain order */
typedef struct SVAConfig {
    bool ats;
    bool pri;
    bool stopped;               /* PRI is disabled, and reports it */
    uint16_t pasid;             /* PASID Control */
    uint32_t alloc;
} SVAConfig;

static SVAConfig svadev_config(SVADevState *s)
{
    PCIDevice *pci = PCI_DEVICE(s);
    const uint8_t *pasid = pci->config + pci->exp.pasid_cap;
    const uint8_t *pri = pci->config + pci->exp.pri_cap;

    return (SVAConfig) {
        .ats = pcie_ats_enabled(pci),
        .pri = pcie_pri_enabled(pci),
        .stopped = pci->exp.pri_cap && (pci_get_word(pri + PCI_PRI_STATUS) &
                                        PCI_PRI_STATUS_STOPPED),
        .pasid = pci->exp.pasid_cap ? pci_get_word(pasid + PCI_PASID_CTRL) : 0,
        .alloc = pcie_pri_get_req_alloc(pci),
    };
}

/* Modes that a write of PASID Control enables, and the function does not have */
static bool svadev_bad_modes(SVADevState *s, uint32_t addr, uint32_t val,
                             int len)
{
    PCIDevice *pci = PCI_DEVICE(s);
    uint32_t at = pci->exp.pasid_cap + PCI_PASID_CTRL;
    uint16_t have;
    uint64_t bits = val & MAKE_64BIT_MASK(0, len * 8);

    if (!pci->exp.pasid_cap || addr >= at + 2 || addr + len <= at) {
        return false;
    }
    bits = addr < at ? bits >> (at - addr) * 8 : bits << (addr - at) * 8;
    have = pci_get_word(pci->config + pci->exp.pasid_cap + PCI_PASID_CAP);
    return bits & (PCI_PASID_CTRL_EXEC | PCI_PASID_CTRL_PRIV) & ~have;
}

/*
 * Count what software must not do in config space (PCIe 6.0):
 *  - change PASID Control while ATS is enabled (7.8.9.3),
 *  - enable there what PASID Capability does not have (7.8.9.3: RsvdP),
 *  - enable PRI without an allocation, or change that while it is enabled
 *    (10.5.2.5),
 *  - enable PRI before it reports Stopped: responses to the requests of before
 *    are still due (10.5.2.3),
 *  - disable ATS while page requests are outstanding: each is for a page that
 *    the function is to ask a translation of (10.4.1), which it must not do
 *    any more (10.5.1.3). No section forbids it in these words.
 */
static void svadev_check_order(SVADevState *s, const SVAConfig *had)
{
    SVAConfig now = svadev_config(s);

    s->cfg_order += had->pasid != now.pasid && (had->ats || now.ats);
    s->cfg_order += !had->pri && now.pri && !now.alloc;
    s->cfg_order += had->pri && now.pri && had->alloc != now.alloc;
    s->cfg_order += !had->pri && now.pri && !had->stopped;
    s->cfg_order += had->ats && !now.ats && s->outstanding;
}

static void svadev_write_config(PCIDevice *pci, uint32_t addr, uint32_t val,
                                int len)
{
    SVADevState *s = SVADEV(pci);
    SVAConfig had = svadev_config(s);

    pci_default_write_config(pci, addr, val, len);
    svadev_check_order(s, &had);
    s->cfg_order += svadev_bad_modes(s, addr, val, len);

    if (had.pri != pcie_pri_enabled(pci)) {
        svadev_pri_enabled(s, !had.pri);
    }
    if (pcie_pri_write_config(pci, addr, len)) {
        svadev_pri_reset(s);
    }
    if (had.ats && !pcie_ats_enabled(pci)) {
        svadev_atc_clear(s);
    }

    pcie_cap_flr_write_config(pci, addr, val, len);
}

/* The waiters that an IOMMU holds cannot be carried over */
static const VMStateDescription vmstate_svadev = {
    .name = TYPE_SVADEV,
    .unmigratable = 1,
};

static const Property svadev_properties[] = {
    DEFINE_PROP_UINT32("nr-queues", SVADevState, nr_queues, 16),
    DEFINE_PROP_UINT8("pasid-width", SVADevState, pasid_width, 16),
    DEFINE_PROP_BOOL("pasid-exec", SVADevState, pasid_exec, true),
    DEFINE_PROP_BOOL("pasid-priv", SVADevState, pasid_priv, true),
    DEFINE_PROP_BOOL("ats", SVADevState, ats, false),
    DEFINE_PROP_BOOL("pri", SVADevState, pri, false),
    DEFINE_PROP_UINT32("atc-size", SVADevState, atc_size,
                       SVADEV_DEFAULT_ATC_SIZE),
    DEFINE_PROP_UINT32("max-requests", SVADevState, max_requests,
                       SVADEV_DEFAULT_REQUESTS),
    DEFINE_PROP_UINT32("x-wild", SVADevState, wild, SVADEV_WILD_ALL),
    DEFINE_PROP_UINT64("x-seed", SVADevState, seed, 1),
};

static void svadev_class_init(ObjectClass *klass, void *data)
{
    ResettableClass *rc = RESETTABLE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);
    DeviceClass *dc = DEVICE_CLASS(klass);

    k->realize = svadev_realize;
    k->exit = svadev_exit;
    k->config_write = svadev_write_config;
    k->vendor_id = SVADEV_PCI_VENDOR;
    k->device_id = SVADEV_PCI_DEVICE;
    k->class_id = SVADEV_PCI_CLASS;

    rc->phases.hold = svadev_reset_hold;

    dc->desc = "Accelerator that shares address spaces with processes";
    dc->vmsd = &vmstate_svadev;
    device_class_set_props(dc, svadev_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo svadev_info = {
    .name = TYPE_SVADEV,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(SVADevState),
    .instance_finalize = svadev_finalize,
    .class_init = svadev_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { }
    },
};

static void svadev_register_types(void)
{
    type_register_static(&svadev_info);
}

type_init(svadev_register_types)
