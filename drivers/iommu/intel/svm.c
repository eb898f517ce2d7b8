// SPDX-License-Identifier: GPL-2.0
/*
 * Domains of VT-d that translate by the page tables of a process
 *
 * One per mm, for all units and all devices. The domain ID is the same for all
 * of them, and the PASID tells them apart.
 */

#define pr_fmt(fmt)	"DMAR: " fmt

#include <linux/cpufeature.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "cache.h"
#include "iommu.h"
#include "pasid.h"
#include "prq.h"
#include "svm.h"

/**
 * intel_svm_check() - find out whether a unit can walk the tables of the CPUs
 * @iommu: the unit
 *
 * Context: any.
 */
void intel_svm_check(struct intel_iommu *iommu)
{
	const char *lacks = NULL;

	if (!pasid_supported(iommu))
		return;

	/* Walks have to snoop, as CPUs do not flush what they write */
	if (!ecap_smpwc(iommu->ecap))
		lacks = "SMPWC: its walks do not snoop";
	else if (!ecap_flts(iommu->ecap))
		lacks = "FSTS: no first stage";
	else if (cpu_feature_enabled(X86_FEATURE_GBPAGES) &&
		 !cap_fl1gp_support(iommu->cap))
		lacks = "FS1GP: pages of 1 GiB";
	else if (cpu_feature_enabled(X86_FEATURE_LA57) &&
		 !cap_fl5lp_support(iommu->cap))
		lacks = "FS5LP: five levels";

	if (lacks) {
		pr_info("%s: no SVA, the unit lacks %s\n", iommu->name, lacks);
		return;
	}
	iommu->flags |= VTD_FLAG_SVM_CAPABLE;
}

static int intel_svm_check_dev(struct device *dev,
			       struct device_domain_info *info)
{
	if (!(info->iommu->flags & VTD_FLAG_SVM_CAPABLE)) {
		dev_dbg(dev, "%s cannot walk the page tables of the CPUs\n",
			info->iommu->name);
		return -EOPNOTSUPP;
	}

	if (!info->pasid_enabled || !info->pasid_table) {
		dev_dbg(dev, "the device has no PASIDs of its own\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

static int intel_svm_check_enabled(struct device_domain_info *info)
{
	if (!info->sva_enabled) {
		dev_dbg(info->dev, "IOMMU_DEV_FEAT_SVA is not enabled\n");
		return -ENODEV;
	}
	return 0;
}

/**
 * intel_svm_supported() - could an SVA domain be attached to a device now?
 * @info: the device
 *
 * Context: process context, group mutex held.
 * Return: 0, -EOPNOTSUPP if the device has no PASIDs or its unit cannot walk the
 * tables of the CPUs, -ENODEV if SVA is not enabled for the device.
 */
int intel_svm_supported(struct device_domain_info *info)
{
	int ret = intel_svm_check_dev(info->dev, info);

	return ret ? ret : intel_svm_check_enabled(info);
}

static int intel_svm_attach_dev_pasid(struct iommu_domain *domain,
				      struct device *dev, ioasid_t pasid,
				      struct iommu_domain *old)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct intel_iommu *iommu = info->iommu;
	struct pasid_entry entry;
	unsigned int flags = 0;
	int ret;

	ret = intel_svm_check_enabled(info);
	if (ret)
		return ret;

	ret = intel_pasid_prepare(info, pasid, !!old);
	if (ret)
		return ret;

	/* Ordered before the entry by the barrier of intel_cache_attach() */
	atomic_inc(&iommu->sva_attached);
	ret = intel_cache_attach(to_dmar_domain(domain), info, pasid,
				 FLPT_DEFAULT_DID);
	if (ret) {
		atomic_dec(&iommu->sva_attached);
		return ret;
	}

	if (cpu_feature_enabled(X86_FEATURE_LA57))
		flags |= PASID_FLAG_FL5LP;
	intel_pasid_make_first_level(&entry, iommu, __pa(domain->mm->pgd),
				     FLPT_DEFAULT_DID, flags);
	atomic_inc(&info->pasids);
	if (old) {
		intel_pasid_replace(info, pasid, &entry);
		intel_iommu_leave_dev_pasid(old, info, pasid);
	} else {
		intel_pasid_install(info, pasid, &entry);
	}
	return 0;
}

static void intel_svm_invalidate_range(struct iommu_domain *domain,
				       unsigned long start, unsigned long end)
{
	intel_cache_invalidate_range(to_dmar_domain(domain), start, end);
}

static void intel_svm_quiesce(struct iommu_domain *domain)
{
	intel_cache_quiesce(to_dmar_domain(domain), __pa(domain->mm->pgd));
}

static void intel_svm_domain_free(struct iommu_domain *domain)
{
	struct dmar_domain *dmar_domain = to_dmar_domain(domain);

	intel_cache_free(dmar_domain);
	kfree(dmar_domain);
}

static const struct iommu_domain_ops intel_svm_domain_ops = {
	.attach_dev_pasid	= intel_svm_attach_dev_pasid,
	.detach_dev_pasid	= intel_iommu_detach_dev_pasid,
	.invalidate_range	= intel_svm_invalidate_range,
	.quiesce		= intel_svm_quiesce,
	.free			= intel_svm_domain_free,
};

/**
 * intel_svm_domain_alloc() - allocate the SVA domain of an mm
 * @dev: a device that is going to be attached to it
 * @mm: the mm
 *
 * Context: process context, may sleep.
 * Return: the domain, or an ERR_PTR: -EOPNOTSUPP if @dev or its unit cannot do
 * it, -ENOMEM.
 */
struct iommu_domain *intel_svm_domain_alloc(struct device *dev,
					    struct mm_struct *mm)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct dmar_domain *domain;
	int ret;

	ret = intel_svm_check_dev(dev, info);
	if (ret)
		return ERR_PTR(ret);

	domain = kzalloc(sizeof(*domain), GFP_KERNEL);
	if (!domain)
		return ERR_PTR(-ENOMEM);

	intel_cache_init(domain);
	domain->flags = DOMAIN_FLAG_USE_FIRST_LEVEL;
	domain->domain.type = IOMMU_DOMAIN_SVA;
	domain->domain.ops = &intel_svm_domain_ops;
	domain->domain.pgsize_bitmap = PAGE_SIZE;
	return &domain->domain;
}

/**
 * intel_svm_invalidate_kernel_tables() - forget the kernel's half of all mms
 *
 * All entries that use the tables of a process have one domain ID, so it takes
 * one descriptor for each unit, whatever the number of processes.
 *
 * Context: any.
 */
void intel_svm_invalidate_kernel_tables(void)
{
	intel_cache_invalidate_did(FLPT_DEFAULT_DID);
}

/**
 * intel_svm_enable_feat() - IOMMU_DEV_FEAT_IOPF, IOMMU_DEV_FEAT_SVA
 * @info: the device
 * @feat: which one
 *
 * A device that has page requests needs IOPF before SVA.
 *
 * Context: process context, may sleep.
 * Return: 0, -ENODEV if the device or its unit cannot do it, -EINVAL if IOPF is
 * missing, -EBUSY if it is enabled, -ENOMEM.
 */
int intel_svm_enable_feat(struct device_domain_info *info,
			  enum iommu_dev_features feat)
{
	int ret;

	if (feat == IOMMU_DEV_FEAT_IOPF) {
		ret = intel_prq_add_device(info);
		if (!ret)
			info->iopf_enabled = 1;
		return ret;
	}

	if (intel_svm_check_dev(info->dev, info))
		return -ENODEV;
	if (info->sva_enabled)
		return -EBUSY;
	if (info->pri_enabled && !info->iopf_enabled) {
		dev_dbg(info->dev, "page requests need IOMMU_DEV_FEAT_IOPF first\n");
		return -EINVAL;
	}
	info->sva_enabled = 1;
	return 0;
}

/**
 * intel_svm_disable_feat() - undo intel_svm_enable_feat()
 * @info: the device
 * @feat: which one
 *
 * Context: process context, may sleep.
 * Return: 0, -EINVAL if it is not enabled, -EBUSY while it is used.
 */
int intel_svm_disable_feat(struct device_domain_info *info,
			   enum iommu_dev_features feat)
{
	bool sva = feat == IOMMU_DEV_FEAT_SVA;

	if (!(sva ? info->sva_enabled : info->iopf_enabled))
		return -EINVAL;
	if (atomic_read(&info->pasids) || (!sva && info->sva_enabled))
		return -EBUSY;

	if (sva) {
		info->sva_enabled = 0;
	} else {
		info->iopf_enabled = 0;
		intel_prq_remove_device(info);
	}
	return 0;
}
