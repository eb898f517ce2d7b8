/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Domains of VT-d that translate by the page tables of a process
 */
#ifndef __INTEL_SVM_H
#define __INTEL_SVM_H

#include <linux/iommu.h>

struct device_domain_info;
struct intel_iommu;

#ifdef CONFIG_INTEL_IOMMU_SVM
void intel_svm_check(struct intel_iommu *iommu);
int intel_svm_supported(struct device_domain_info *info);
struct iommu_domain *intel_svm_domain_alloc(struct device *dev,
					    struct mm_struct *mm);
void intel_svm_invalidate_kernel_tables(void);
int intel_svm_enable_feat(struct device_domain_info *info,
			  enum iommu_dev_features feat);
int intel_svm_disable_feat(struct device_domain_info *info,
			   enum iommu_dev_features feat);
#else
static inline void intel_svm_check(struct intel_iommu *iommu)
{
}

static inline int intel_svm_supported(struct device_domain_info *info)
{
	return -EOPNOTSUPP;
}

static inline int intel_svm_enable_feat(struct device_domain_info *info,
					enum iommu_dev_features feat)
{
	return -ENODEV;
}

static inline int intel_svm_disable_feat(struct device_domain_info *info,
					 enum iommu_dev_features feat)
{
	return -ENODEV;
}
#endif

#endif /* __INTEL_SVM_H */
