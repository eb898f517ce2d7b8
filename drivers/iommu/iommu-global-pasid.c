// SPDX-License-Identifier: GPL-2.0-only
/*
 * PASIDs for what is not the address space of a process
 *
 * An mm has the same PASID on all of its devices. A driver that attaches some
 * other domain takes its PASID from the same space, or else a process could not
 * be bound to that device when its PASID happens to be the same.
 */
#include <linux/ioasid.h>
#include <linux/iommu.h>

static DECLARE_IOASID_SET(global_pasids);

/**
 * iommu_alloc_global_pasid() - get a PASID that no process has
 * @dev: the device that will use it
 *
 * The PASID is within what @dev can be attached with. It is taken from all other
 * devices, too. The driver is expected to attach a domain to it with
 * iommu_attach_device_pasid().
 *
 * Context: process context, may sleep. The caller's driver is bound to @dev.
 * Return: the PASID, or %IOMMU_PASID_INVALID if there is none, be it that @dev
 * or its IOMMU has no PASIDs, that all of them are taken, or for lack of memory.
 */
ioasid_t iommu_alloc_global_pasid(struct device *dev)
{
	/* PASID 0 is where IOMMUs keep what translates requests without one. */
	if (!dev->iommu || dev->iommu->max_pasids < 2)
		return IOMMU_PASID_INVALID;

	return ioasid_alloc(&global_pasids, 1, dev->iommu->max_pasids - 1,
			    NULL);
}
EXPORT_SYMBOL_GPL(iommu_alloc_global_pasid);

/**
 * iommu_free_global_pasid() - give back what iommu_alloc_global_pasid() returned
 * @pasid: the PASID, of which no device sends requests any more and which has
 *	   been detached; or %IOMMU_PASID_INVALID
 *
 * Context: process context.
 */
void iommu_free_global_pasid(ioasid_t pasid)
{
	if (pasid != IOMMU_PASID_INVALID)
		ioasid_free(pasid);
}
EXPORT_SYMBOL_GPL(iommu_free_global_pasid);
