/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page requests of devices behind a VT-d unit
 */
#ifndef __INTEL_PRQ_H
#define __INTEL_PRQ_H

#include <linux/errno.h>
#include <linux/types.h>

struct device;
struct device_domain_info;
struct intel_iommu;
struct iommu_fault_event;
struct iommu_page_response;

#define PRQ_ORDER	4
#define PRQ_RING_MASK	((0x1000 << PRQ_ORDER) - 0x20)
#define PRQ_DEPTH	((0x1000 << PRQ_ORDER) >> 5)

#ifdef CONFIG_INTEL_IOMMU_SVM
int intel_prq_enable(struct intel_iommu *iommu);
void intel_prq_finish(struct intel_iommu *iommu);
void intel_prq_suspend(struct intel_iommu *iommu);
void intel_prq_resume(struct intel_iommu *iommu);
int intel_prq_add_device(struct device_domain_info *info);
void intel_prq_remove_device(struct device_domain_info *info);
void intel_prq_drain(struct device_domain_info *info, u32 pasid, u16 did);
int intel_prq_page_response(struct device *dev, struct iommu_fault_event *evt,
			    struct iommu_page_response *resp);
#else
static inline int intel_prq_enable(struct intel_iommu *iommu)
{
	return 0;
}

static inline void intel_prq_finish(struct intel_iommu *iommu)
{
}

static inline void intel_prq_suspend(struct intel_iommu *iommu)
{
}

static inline void intel_prq_resume(struct intel_iommu *iommu)
{
}

static inline int intel_prq_add_device(struct device_domain_info *info)
{
	return -ENODEV;
}

static inline void intel_prq_remove_device(struct device_domain_info *info)
{
}

static inline void intel_prq_drain(struct device_domain_info *info, u32 pasid,
				   u16 did)
{
}
#endif

#endif /* __INTEL_PRQ_H */
