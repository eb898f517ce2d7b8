/*
 * svadev: an accelerator that DMAs with a PASID, parts shared by its files.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MISC_SVADEV_INTERNAL_H
#define HW_MISC_SVADEV_INTERNAL_H

#include "qemu/timer.h"
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
    SVAQ_STALLED,               /* the IOMMU will call the waiter */
    SVAQ_PAUSED,                /* the timer starts the next hammer round */
} SVAQueueState;

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

    QEMUTimer timer;
    PCISVAWaiter waiter;
} SVAQueue;

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

    uint32_t max_retries;
    uint32_t icount_hi;
    uint32_t stat_count;
    char stats[SVADEV_STATS_SIZE];

    uint64_t ops;
    uint64_t dma_ok;
    uint64_t dma_fault;
    uint64_t dma_stall;
    uint64_t dma_retry;
    uint64_t bytes;
};

/* svadev-dma.c */
void svadev_queue_init(SVADevState *s, SVAQueue *q);
void svadev_queue_reset(SVAQueue *q);
void svadev_queue_blank(SVAQueue *q);
void svadev_queue_go(SVAQueue *q, uint64_t cmd);
void svadev_queue_disable(SVAQueue *q);

#endif /* HW_MISC_SVADEV_INTERNAL_H */
