/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared virtual addressing, for the IOMMU drivers and for tests
 */
#ifndef __IOMMU_SVA_H
#define __IOMMU_SVA_H

#include <linux/iommu.h>

struct mm_struct;

/* For the IOMMU drivers that have .sva_bind */
int iommu_sva_alloc_pasid(struct mm_struct *mm, ioasid_t min, ioasid_t max);

/* iommu_sva_bind_device() without the check for x86 */
struct iommu_sva *iommu_sva_bind(struct device *dev, struct mm_struct *mm);

#endif /* __IOMMU_SVA_H */
