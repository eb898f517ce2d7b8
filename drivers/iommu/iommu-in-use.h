/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How many of what the IOMMU core hands out exist
 */
#ifndef __IOMMU_IN_USE_H
#define __IOMMU_IN_USE_H

/**
 * enum iommu_in_use - what is counted
 * @IOMMU_IN_USE_ATTACHMENTS: domains attached to a PASID of a device
 * @IOMMU_IN_USE_SVA_DOMAINS: domains that translate by the tables of an mm
 * @IOMMU_IN_USE_SVA_MMS: mmu notifiers of mms that are bound to devices
 * @IOMMU_IN_USE_KINDS: number of these
 */
enum iommu_in_use {
	IOMMU_IN_USE_ATTACHMENTS,
	IOMMU_IN_USE_SVA_DOMAINS,
	IOMMU_IN_USE_SVA_MMS,
	IOMMU_IN_USE_KINDS,
};

#ifdef CONFIG_IOMMU_DEBUGFS
void iommu_in_use_inc(enum iommu_in_use kind);
void iommu_in_use_dec(enum iommu_in_use kind);
#else
static inline void iommu_in_use_inc(enum iommu_in_use kind)
{
}

static inline void iommu_in_use_dec(enum iommu_in_use kind)
{
}
#endif

#endif /* __IOMMU_IN_USE_H */
