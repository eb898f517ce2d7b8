/*
 * DMA that is translated, and has not reached memory yet, how long a device
 * takes to answer an invalidation of its TLB, and what it must not use any more.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MISC_IOMMU_FLIGHT_H
#define HW_MISC_IOMMU_FLIGHT_H

#include "hw/pci/pci.h"
#include "qemu/queue.h"

/**
 * struct IOMMUFlight: an access that was translated, and is done later
 *
 * Part of a device; all 0 if it has no access in flight.
 */
typedef struct IOMMUFlight {
    uint64_t number;
    PCIDevice *dev;
    Object *iommu;
    bool translated;
    unsigned int kinds;
    int64_t end_ns;
    QLIST_ENTRY(IOMMUFlight) next;
} IOMMUFlight;

/* What an access is: one that is both, as an atomic one, has both */
#define IOMMU_FLIGHT_READ   (1u << 0)
#define IOMMU_FLIGHT_WRITE  (1u << 1)
#define IOMMU_FLIGHT_ALL    (IOMMU_FLIGHT_READ | IOMMU_FLIGHT_WRITE)

/**
 * iommu_flight_begin: an access was translated, and is done later
 *
 * @flight: the access; it is not in flight already
 *
 * @dev: the device
 *
 * @translated: whether the device has the translation from its own TLB
 *
 * @kinds: IOMMU_FLIGHT_*
 *
 * @end_ns: when it is to reach memory, in nanoseconds of QEMU_CLOCK_VIRTUAL
 */
void iommu_flight_begin(IOMMUFlight *flight, PCIDevice *dev, bool translated,
                        unsigned int kinds, int64_t end_ns);

/**
 * iommu_flight_land: an access has reached memory, or was dropped
 *
 * @flight: the access; nothing is done if it is not in flight
 */
void iommu_flight_land(IOMMUFlight *flight);

/**
 * iommu_flight_mark: note which accesses are in flight
 *
 * Returns: an argument for iommu_flight_over(), never 0
 */
uint64_t iommu_flight_mark(void);

/**
 * struct IOMMUFlightKinds: of the accesses in flight, those that are waited for
 *
 * @iommu: of functions behind this IOMMU, or of all if NULL
 *
 * @dev: of this device, or of all if NULL
 *
 * @untranslated: IOMMU_FLIGHT_*: of what the IOMMU has translated
 *
 * @translated: IOMMU_FLIGHT_*: of what the device has by its own TLB
 */
typedef struct IOMMUFlightKinds {
    const Object *iommu;
    const PCIDevice *dev;
    unsigned int untranslated;
    unsigned int translated;
} IOMMUFlightKinds;

/**
 * iommu_flight_over: have the accesses that were in flight reached memory?
 *
 * The completion of an invalidation must not be signalled before: an access
 * that used the old translation would come after it.
 *
 * @mark: from iommu_flight_mark(), or 0 for no access at all
 *
 * @kinds: which of them
 *
 * @again_ns: when to ask again, in nanoseconds of QEMU_CLOCK_VIRTUAL; set if
 *   they have not
 *
 * Returns: true if they have, or were dropped
 */
bool iommu_flight_over(uint64_t mark, const IOMMUFlightKinds *kinds,
                       int64_t *again_ns);

/**
 * iommu_inv_set_settled: say where an IOMMU keeps what it has invalidated
 *
 * @bus: the root bus whose functions it translates for. Of two IOMMUs of one bus
 *   nothing is known.
 *
 * @settled_ns: what differed from memory at this time of QEMU_CLOCK_VIRTUAL has
 *   been invalidated, and the completion was signalled. Never freed.
 */
void iommu_inv_set_settled(PCIBus *bus, const int64_t *settled_ns);

/**
 * iommu_inv_is_late: the TLB of a device has used an entry that is not granted
 *
 * @dev: the device
 *
 * @differs_ns: when the entry was first found not to be granted, 0 if never
 *   before; set then
 *
 * Returns: true if software must have invalidated it by now
 */
bool iommu_inv_is_late(PCIDevice *dev, int64_t *differs_ns);

/*
 * Beside IOMMUAccessFlags in what pci_sva_peek() finds: the Dirty bit is clear.
 * What lets a device write is given to it with that set.
 */
#define IOMMU_PEEK_CLEAN (1 << 6)

/* A device does not answer invalidations of its TLB */
#define IOMMU_INV_NEVER (-1)

/**
 * iommu_inv_set_answer: choose when a device answers invalidations of its TLB
 *
 * By default it answers at once. Until it answers its TLB keeps what is to be
 * invalidated, and the IOMMU does not complete what waits for the answer. An
 * IOMMU that has waited for longer than its time-out reports an error, and the
 * TLB keeps it for good. Invalidations that the device was sent before are not
 * affected.
 *
 * @dev: the device, which calls this for itself, and with 0 before it is freed
 *
 * @ns: nanoseconds of QEMU_CLOCK_VIRTUAL from an invalidation to its answer; 0:
 *   at once; IOMMU_INV_NEVER: there is none
 */
void iommu_inv_set_answer(PCIDevice *dev, int64_t ns);

/**
 * iommu_inv_answer_ns: when does a device answer an invalidation of its TLB?
 *
 * @dev: the device
 *
 * Returns: nanoseconds of QEMU_CLOCK_VIRTUAL, 0 or IOMMU_INV_NEVER, see
 * iommu_inv_set_answer()
 */
int64_t iommu_inv_answer_ns(PCIDevice *dev);

#endif /* HW_MISC_IOMMU_FLIGHT_H */
