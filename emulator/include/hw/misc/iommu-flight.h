/*
 * DMA that is translated, and has not reached memory yet.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MISC_IOMMU_FLIGHT_H
#define HW_MISC_IOMMU_FLIGHT_H

/**
 * iommu_flight_begin: an access was translated, and is done later
 *
 * @end_ns: when it reaches memory, in nanoseconds of QEMU_CLOCK_VIRTUAL
 */
void iommu_flight_begin(int64_t end_ns);

/**
 * iommu_flight_end: when is all that was translated so far done?
 *
 * The completion of an invalidation must not be signalled before: an access
 * that used the old translation would come after it.
 *
 * Returns: a time of QEMU_CLOCK_VIRTUAL in nanoseconds, later than the last of
 * the accesses; it may be in the past
 */
int64_t iommu_flight_end(void);

#endif /* HW_MISC_IOMMU_FLIGHT_H */
