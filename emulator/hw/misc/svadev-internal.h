/*
 * svadev: an accelerator that DMAs with a PASID, parts shared by its files.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MISC_SVADEV_INTERNAL_H
#define HW_MISC_SVADEV_INTERNAL_H

#include "qemu/timer.h"
#include "hw/misc/iommu-choice.h"
#include "hw/misc/iommu-flight.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_device.h"
#include "qom/object.h"
#include "standard-headers/misc/svadev.h"

#define TYPE_SVADEV SVADEV_NAME
OBJECT_DECLARE_SIMPLE_TYPE(SVADevState, SVADEV)

/*
 * A DMA never crosses a boundary of this many bytes, the smallest page of any
 * IOMMU, and each is translated anew.
 */
#define SVADEV_PIECE            4096

/* Page request groups that are outstanding at the same time */
#define SVADEV_NR_GROUPS        512

/* What the function chooses to do, property x-wild: see svadev.c */
#define SVADEV_WILD_MIX         (1u << 0)
#define SVADEV_WILD_AHEAD       (1u << 1)
#define SVADEV_WILD_WRITE       (1u << 2)
#define SVADEV_WILD_ALL         (SVADEV_WILD_MIX | SVADEV_WILD_AHEAD | \
                                 SVADEV_WILD_WRITE)

/* The operands of an operation: the writable registers of a queue page */
typedef struct SVAOp {
    uint64_t op;
    uint64_t src;
    uint64_t dst;
    uint64_t len;
    uint64_t value;
    uint64_t expect;
    uint64_t hammer;
} SVAOp;

typedef enum SVAQueueState {
    SVAQ_IDLE,
    SVAQ_RUNNING,               /* the timer starts the next DMA */
    SVAQ_FLYING,                /* the timer does the DMA of @flight */
    SVAQ_STALLED,               /* the IOMMU will call the waiter */
    SVAQ_LATE,                  /* the timer sends the page request */
    SVAQ_PAGED,                 /* a page response is due */
    SVAQ_HELD,                  /* software will write Q_RESUME */
    SVAQ_PAUSED,                /* the timer starts the next hammer round */
} SVAQueueState;

/* A DMA that is translated */
typedef struct SVAFlight {
    IOMMUFlight access;
    AddressSpace *as;           /* NULL: there is none */
    hwaddr addr;
    hwaddr len;
    bool translated;            /* by the function's own TLB */
} SVAFlight;

typedef struct SVAGroup SVAGroup;

typedef struct SVAQueue {
    SVADevState *dev;

    /* The function's registers */
    uint32_t ctrl;
    uint32_t pasid;
    uint32_t mode;
    uint32_t vector;

    /* The queue page's registers */
    SVAOp operands;
    uint64_t status;
    uint64_t result;
    uint64_t fault_addr;
    uint64_t done;
    uint64_t faults;
    uint64_t rounds;

    /* The operation under way */
    SVAQueueState state;
    SVAOp op;                   /* as of GO */
    bool stop;                  /* end the hammer after this round */
    bool disable;               /* end after the DMA under way */
    uint32_t retries;           /* of this DMA */
    uint64_t sum;
    size_t held;                /* bytes of @buf not yet consumed, */
    size_t pos;                 /* and where they start */
    uint8_t buf[SVADEV_PIECE];
    SVAFlight flight;

    /* The page request that is, or was last, under way */
    uint64_t page;
    IOMMUAccessFlags page_access;
    unsigned nr_pages;
    SVAGroup *group;            /* of which some requests are yet to be sent */

    bool held_write;            /* what a held queue waits for, at fault_addr */

    QEMUTimer timer;
    PCISVAWaiter waiter;
} SVAQueue;

/* What the function has of one PASID: see svadev-atc.c */
typedef struct SVASpace {
    SVADevState *dev;
    uint32_t pasid;             /* PCI_NO_PASID: of untagged requests */
    GHashTable *atc;
    uint64_t shifts;            /* sizes that @atc has, or had, entries of */
    IOMMUNotifier iotlb;
    IOMMUPRINotifier pri;
} SVASpace;

/* A page request group: see svadev-pri.c */
struct SVAGroup {
    SVAQueue *queue;            /* that waits, NULL if none does */
    uint32_t pasid;
    uint16_t prgi;
    bool priv;
    IOMMUAccessFlags access;
    uint64_t page;              /* the first */
    unsigned pages;
    unsigned requests;          /* counted against the allocation; 0: unused */
    unsigned times;             /* that these are sent */
    unsigned sent;
    unsigned responses;         /* outstanding */
};

struct SVADevState {
    PCIDevice parent_obj;

    MemoryRegion ctrl_bar;
    MemoryRegion queue_bar;
    MemoryRegion pages;
    SVAQueue *queues;

    uint32_t nr_queues;
    uint8_t pasid_width;
    bool pasid_exec;
    bool pasid_priv;
    bool ats;
    bool pri;
    uint32_t atc_size;
    uint32_t max_requests;      /* page requests outstanding */
    uint32_t wild;              /* SVADEV_WILD_* */
    uint64_t seed;
    IOMMUChoice flies;          /* does a DMA take time, */
    IOMMUChoice flight_time;    /* and how long */
    IOMMUChoice mixes;          /* do requests of other queues come next? */
    IOMMUChoice many;           /* does a group take all requests? */
    IOMMUChoice ahead;          /* pages in a translation request */
    IOMMUChoice asks_write;     /* does one for a read have NW = 0? */

    GHashTable *spaces;         /* SVASpace by PASID */
    uint32_t atc_used;
    SVAGroup groups[SVADEV_NR_GROUPS];
    uint32_t outstanding;       /* page requests */
    bool pri_failed;            /* until the interface is enabled anew */
    uint32_t prg_pages;
    uint32_t inject;

    uint32_t max_retries;
    uint32_t icount_hi;
    uint32_t stat_count;
    char stats[SVADEV_STATS_SIZE];

    uint64_t ops;
    uint64_t dma_ok;
    uint64_t dma_fault;
    uint64_t dma_stall;
    uint64_t dma_retry;
    uint64_t dma_held;
    uint64_t bytes;

    uint64_t ats_ok;
    uint64_t ats_miss;
    uint64_t ats_blocked;
    uint64_t atc_hit;
    uint64_t atc_inv;
    uint64_t atc_dropped;
    uint64_t atc_overflow;
    uint64_t atc_ahead;
    uint64_t atc_stale;
    uint64_t atc_late;
    uint64_t atc_left;
    uint64_t pri_req;
    uint64_t pri_group;
    uint64_t pri_stop;
    uint64_t pri_many;
    uint64_t pri_refused;
    uint64_t pri_no_credit;
    uint64_t pri_lost;
    uint64_t pri_late;
    uint64_t pri_success;
    uint64_t pri_invalid;
    uint64_t pri_failure;
    uint64_t pri_unexpected;
    uint64_t cfg_order;
};

/* What the requests of a queue carry */
static inline uint32_t svadev_queue_pasid(const SVAQueue *q)
{
    return q->pasid & SVADEV_Q_PASID_VALID ? q->pasid & SVADEV_Q_PASID_MASK :
                                             PCI_NO_PASID;
}

static inline bool svadev_queue_priv(const SVAQueue *q)
{
    return (q->pasid & SVADEV_Q_PASID_VALID) && (q->mode & SVADEV_Q_MODE_PRIV);
}

/* svadev-dma.c */
void svadev_queue_init(SVADevState *s, SVAQueue *q);
void svadev_queue_reset(SVAQueue *q);
void svadev_queue_blank(SVAQueue *q);
void svadev_queue_go(SVAQueue *q, uint64_t cmd);
void svadev_queue_disable(SVAQueue *q);
void svadev_queue_wait(SVAQueue *q, SVAQueueState state, uint64_t delay_ns);
void svadev_queue_answered(SVAQueue *q, bool retry);
void svadev_queue_resume(SVAQueue *q, uint32_t how);

/* svadev-atc.c */
void svadev_atc_init(SVADevState *s);
void svadev_atc_exit(SVADevState *s);
void svadev_atc_clear(SVADevState *s);
void svadev_atc_prune(SVADevState *s);
void svadev_atc_audit(void *opaque);
SVASpace *svadev_atc_space(SVADevState *s, uint32_t pasid);
int svadev_atc_translate(SVAQueue *q, uint64_t addr, IOMMUAccessFlags access,
                         IOMMUTLBEntry *out);

/* svadev-pri.c */
bool svadev_pri_request(SVAQueue *q, uint64_t addr, IOMMUAccessFlags access,
                        uint64_t len);
void svadev_pri_send(SVAQueue *q);
void svadev_pri_respond(SVASpace *space, const IOMMUPRIResponse *response);
bool svadev_pri_pending(SVADevState *s, uint32_t pasid);
void svadev_pri_queue_disabled(SVAQueue *q);
void svadev_pri_queue_reset(SVAQueue *q);
void svadev_pri_enabled(SVADevState *s, bool enabled);
void svadev_pri_reset(SVADevState *s);

#endif /* HW_MISC_SVADEV_INTERNAL_H */
