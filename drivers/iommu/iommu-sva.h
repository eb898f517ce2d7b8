/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared virtual addressing, for the other files of the core and for tests
 */
#ifndef __IOMMU_SVA_H
#define __IOMMU_SVA_H

#include <linux/iommu.h>

struct mm_struct;

/* Those of linux/iommu.h without the check for kernel tables */
struct iommu_sva *iommu_sva_bind(struct device *dev, struct mm_struct *mm);
struct iommu_domain *__iommu_sva_domain_get(struct device *dev,
					    struct mm_struct *mm);

/* io-pgfault.c: what serves the page requests of SVA domains */
enum iommu_page_response_code iommu_sva_handle_iopf(struct iopf_group *group);

#endif /* __IOMMU_SVA_H */
