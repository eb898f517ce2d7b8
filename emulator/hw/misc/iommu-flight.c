/*
 * DMA that is translated, and has not reached memory yet, how long a device
 * takes to answer an invalidation of its TLB, and what it must not use any more.
 *
 * A device that translates an address and accesses memory in one step never
 * has an access in flight, so software that does not wait for the end of an
 * invalidation is not caught. Devices latch a translation, tell here until they
 * have used it, and IOMMUs put off the completion of an invalidation until then.
 *
 * That an access was to be done by now does not mean that it is: the timer of
 * the device may be late on a busy host.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "hw/misc/iommu-flight.h"
#include "hw/pci/pci.h"

/* Protected by the BQL, newest first */
static QLIST_HEAD(, IOMMUFlight) flights = QLIST_HEAD_INITIALIZER(flights);
static uint64_t last_number = 1;

/* PCIDevice -> int64_t, of those that do not answer at once */
static GHashTable *answers;

/* PCIBus -> const int64_t, or NULL if there are two IOMMUs */
static GHashTable *settled;

void iommu_flight_begin(IOMMUFlight *flight, PCIDevice *dev, bool translated,
                        unsigned int kinds, int64_t end_ns)
{
    assert(bql_locked() && !flight->number);

    flight->number = ++last_number;
    flight->dev = dev;
    flight->iommu =
        memory_region_owner(pci_device_iommu_address_space(dev)->root);
    flight->translated = translated;
    flight->kinds = kinds;
    flight->end_ns = end_ns;
    QLIST_INSERT_HEAD(&flights, flight, next);
}

void iommu_flight_land(IOMMUFlight *flight)
{
    assert(bql_locked());

    if (flight->number) {
        QLIST_REMOVE(flight, next);
        flight->number = 0;
    }
}

uint64_t iommu_flight_mark(void)
{
    return last_number;
}

static bool is_awaited(const IOMMUFlight *flight, const IOMMUFlightKinds *kinds)
{
    return (flight->kinds & (flight->translated ? kinds->translated :
                                                  kinds->untranslated)) &&
           (!kinds->iommu || flight->iommu == kinds->iommu) &&
           (!kinds->dev || flight->dev == kinds->dev);
}

bool iommu_flight_over(uint64_t mark, const IOMMUFlightKinds *kinds,
                       int64_t *again_ns)
{
    int64_t end = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + SCALE_US;
    IOMMUFlight *flight;
    bool over = true;

    assert(bql_locked());

    QLIST_FOREACH(flight, &flights, next) {
        if (flight->number <= mark && is_awaited(flight, kinds)) {
            end = MAX(end, flight->end_ns + 1);
            over = false;
        }
    }

    if (!over) {
        *again_ns = end;
    }

    return over;
}

void iommu_inv_set_answer(PCIDevice *dev, int64_t ns)
{
    assert(bql_locked());

    if (!answers) {
        answers = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    }
    if (ns) {
        g_hash_table_insert(answers, dev, g_memdup2(&ns, sizeof(ns)));
    } else {
        g_hash_table_remove(answers, dev);
    }
}

int64_t iommu_inv_answer_ns(PCIDevice *dev)
{
    const int64_t *ns = answers ? g_hash_table_lookup(answers, dev) : NULL;

    return ns ? *ns : 0;
}

void iommu_inv_set_settled(PCIBus *bus, const int64_t *settled_ns)
{
    if (!settled) {
        settled = g_hash_table_new(NULL, NULL);
    }
    if (g_hash_table_contains(settled, bus)) {
        settled_ns = NULL;
    }
    g_hash_table_insert(settled, bus, (void *)settled_ns);
}

bool iommu_inv_is_late(PCIDevice *dev, int64_t *differs_ns)
{
    const int64_t *ns = settled ? g_hash_table_lookup(settled,
                                      pci_device_root_bus(dev)) : NULL;

    assert(bql_locked());

    if (!*differs_ns) {
        *differs_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
        return false;
    }
    return ns && *differs_ns < *ns;
}
