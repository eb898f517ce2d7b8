/*
 * Named counters of IOMMUs and of the devices behind them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MISC_IOMMU_STATS_H
#define HW_MISC_IOMMU_STATS_H

#include "qom/object.h"

/**
 * struct IOMMUStat: one counter of a device
 *
 * @name: dotted lower case, e.g. "cmd.tlbi_nh_asid"
 *
 * @val: the counter, in a structure of the device
 */
typedef struct IOMMUStat {
    const char *name;
    const uint64_t *val;
} IOMMUStat;

/**
 * iommu_stats_register: make counters visible to the guest and the host
 *
 * Each counter joins what iommu_stats_latch() copies, as @prefix followed by
 * its name, and becomes a read-only property "stat-<name>" of @owner. Call it
 * once per owner, when it is realized.
 *
 * @owner: the device, whose structure holds the counters
 *
 * @prefix: tells apart the owners in the latched copy; "smmu.", for example, is
 *   the sum of all that are registered with that. If it has a number in front of
 *   the dot and is taken, the lowest number that is free is used instead:
 *   "svadev1.", "svadev2.", ... for "svadev0."
 *
 * @stats: the counters, copied
 *
 * @n: number of @stats
 *
 * @errp: set if a prefix and a name together do not fit into the name field of
 *   svadev's counter window
 *
 * Returns: false on error
 */
bool iommu_stats_register(Object *owner, const char *prefix,
                          const IOMMUStat *stats, size_t n, Error **errp);

/**
 * iommu_stats_unregister: undo iommu_stats_register()
 *
 * @owner: the device; nothing is done if it has registered nothing
 */
void iommu_stats_unregister(Object *owner);

/**
 * iommu_stats_latch: copy all counters at one point in time
 *
 * @buf: filled with SVADEV_STAT_SIZE bytes per counter: its name, padded with
 *   NUL, and its value, little endian; see svadev.h
 *
 * @size: of @buf in bytes; counters that do not fit are left out
 *
 * Returns: number of counters copied
 */
size_t iommu_stats_latch(char *buf, size_t size);

/**
 * iommu_stats_set_audit: let a device compare its caches with memory
 *
 * @owner: the device; iommu_stats_register() was called for it
 *
 * @audit: compares each entry with what memory holds now and sets counters
 *   named "left.*" of @owner to the number of entries that differ
 *
 * @opaque: argument of @audit
 */
void iommu_stats_set_audit(Object *owner, void (*audit)(void *opaque),
                           void *opaque);

/**
 * iommu_stats_audit: have all devices compare their caches with memory
 *
 * A hit on a stale entry shows that software did not invalidate it only if a
 * DMA happens to use it. An audit finds all of them, at a point in time where
 * no invalidation is under way.
 */
void iommu_stats_audit(void);

#endif /* HW_MISC_IOMMU_STATS_H */
