/*
 * DMA that is translated, and has not reached memory yet.
 *
 * A device that translates an address and accesses memory in one step never
 * has an access in flight, so software that does not wait for the end of an
 * invalidation is not caught. Devices latch a translation, tell here when they
 * will use it, and IOMMUs put off the completion of an invalidation until then.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "hw/misc/iommu-flight.h"

/* Protected by the BQL */
static int64_t last_end;

void iommu_flight_begin(int64_t end_ns)
{
    assert(bql_locked());

    last_end = MAX(last_end, end_ns);
}

int64_t iommu_flight_end(void)
{
    assert(bql_locked());

    return last_end + 1;
}
