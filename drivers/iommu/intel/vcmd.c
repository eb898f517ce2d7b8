// SPDX-License-Identifier: GPL-2.0
/*
 * PASIDs that a hypervisor hands out, VT-d 10.4.44 to 10.4.46
 *
 * A guest may not choose PASIDs where its devices share their tables with the
 * host. A virtual unit then has registers to ask for one, and to return it.
 */

#define pr_fmt(fmt)	"DMAR: " fmt

#include <linux/bitfield.h>

#include "iommu.h"
#include "pasid.h"

#define VCMD_ALLOC		1
#define VCMD_FREE		2
#define VCMD_OPERAND		GENMASK_ULL(35, 16)

#define VCRSP_IN_PROGRESS	BIT_ULL(0)
#define VCRSP_STATUS		GENMASK_ULL(7, 1)
#define VCRSP_NO_PASID		16
#define VCRSP_RESULT		GENMASK_ULL(35, 16)

static u64 vcmd_issue(struct intel_iommu *iommu, u64 cmd)
{
	unsigned long flags;
	u64 rsp;

	raw_spin_lock_irqsave(&iommu->register_lock, flags);
	dmar_writeq(iommu->reg + DMAR_VCMD_REG, cmd);
	IOMMU_WAIT_OP(iommu, DMAR_VCRSP_REG, dmar_readq,
		      !(rsp & VCRSP_IN_PROGRESS), rsp);
	raw_spin_unlock_irqrestore(&iommu->register_lock, flags);

	return rsp;
}

/**
 * vcmd_alloc_pasid() - ask the hypervisor for a PASID
 * @iommu: a virtual unit that has such a command
 * @pasid: where to put it
 *
 * Context: any.
 * Return: 0, -ENOSPC if it has none left, -ENODEV if it refuses otherwise.
 */
int vcmd_alloc_pasid(struct intel_iommu *iommu, u32 *pasid)
{
	u64 rsp = vcmd_issue(iommu, VCMD_ALLOC);
	unsigned int status = FIELD_GET(VCRSP_STATUS, rsp);

	if (!status) {
		*pasid = FIELD_GET(VCRSP_RESULT, rsp);
		return 0;
	}

	pr_info("%s: the hypervisor gives no PASID: %u\n", iommu->name, status);
	return status == VCRSP_NO_PASID ? -ENOSPC : -ENODEV;
}

/**
 * vcmd_free_pasid() - return a PASID to the hypervisor
 * @iommu: the virtual unit that it came from
 * @pasid: the PASID
 *
 * Context: any.
 */
void vcmd_free_pasid(struct intel_iommu *iommu, u32 pasid)
{
	u64 rsp = vcmd_issue(iommu, VCMD_FREE |
				    FIELD_PREP(VCMD_OPERAND, pasid));

	if (FIELD_GET(VCRSP_STATUS, rsp))
		pr_warn("%s: the hypervisor does not take PASID %u back: %llu\n",
			iommu->name, pasid, FIELD_GET(VCRSP_STATUS, rsp));
}
