/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page tables of the kernel that IOMMUs walk
 *
 * Kept light: it is for the code that frees such tables.
 */
#ifndef __LINUX_IOMMU_KERNEL_TABLES_H
#define __LINUX_IOMMU_KERNEL_TABLES_H

#include <linux/jump_label_ratelimit.h>
#include <linux/types.h>

struct device;
struct iommu_ops;

#ifdef CONFIG_IOMMU_SVA

extern struct static_key_false_deferred iommu_kernel_tables_key;

void __iommu_invalidate_kernel_tables(void);

/**
 * iommu_invalidate_kernel_tables() - make IOMMUs forget unlinked kernel tables
 *
 * To be called with the entries cleared that pointed to a page table of the
 * kernel's half of the address space, or to several, and before their pages are
 * freed. When it returns, no IOMMU holds the location of such a page, nor reads
 * or writes it. What was unlinked may have held entries or not, and may have
 * been of any level below the top one, which belongs to the mm.
 *
 * It asks each IOMMU driver once, however many address spaces its devices use.
 * Where no device uses any it is a barrier and a jump that is not taken.
 *
 * Context: any but NMI. Does not sleep, but waits for hardware.
 */
static inline void iommu_invalidate_kernel_tables(void)
{
	/*
	 * Pairs with the one in iommu_kernel_tables_get(): either the driver is
	 * asked, or its IOMMU starts to walk with the entries cleared.
	 */
	smp_mb();
	if (static_branch_unlikely(&iommu_kernel_tables_key.key))
		__iommu_invalidate_kernel_tables();
}

/* For the IOMMU core */
int iommu_kernel_tables_get(const struct iommu_ops *ops);
void iommu_kernel_tables_put(const struct iommu_ops *ops);
const char *iommu_kernel_tables_unsafe(struct device *dev);

#else /* CONFIG_IOMMU_SVA */

static inline void iommu_invalidate_kernel_tables(void)
{
}

static inline const char *iommu_kernel_tables_unsafe(struct device *dev)
{
	return "the kernel is built without SVA";
}

#endif /* CONFIG_IOMMU_SVA */

#endif /* __LINUX_IOMMU_KERNEL_TABLES_H */
