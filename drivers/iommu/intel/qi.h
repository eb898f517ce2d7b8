/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Descriptors for the invalidation queue of a VT-d unit, VT-d 6.5.2
 *
 * Several of them may be submitted together, followed by one that is waited
 * for. Hardware begins with IOTLB descriptors when all context and PASID cache
 * descriptors ahead of them are done, and with device TLB descriptors when all
 * IOTLB descriptors ahead of them are (VT-d 6.5.2.11), so no fence is needed.
 */
#ifndef __INTEL_QI_H
#define __INTEL_QI_H

#include <linux/bits.h>
#include <linux/pci.h>

#include "iommu.h"
#include "pasid.h"

/* As order of a range: all addresses that a device TLB can hold */
#define QI_ORDER_ALL	(64 - VTD_PAGE_SHIFT)

/* Forget one entry of a PASID table */
static inline void qi_desc_pasid_cache(struct qi_desc *desc, u16 did, u32 pasid)
{
	*desc = (struct qi_desc) {
		.qw0 = QI_PC_TYPE | QI_PC_GRAN(QI_PC_PASID_SEL) |
		       QI_PC_DID(did) | QI_PC_PASID(pasid),
	};
}

/* Forget all entries of all PASID tables, and of their directories */
static inline void qi_desc_pasid_cache_all(struct qi_desc *desc)
{
	*desc = (struct qi_desc) {
		.qw0 = QI_PC_TYPE | QI_PC_GRAN(QI_PC_GLOBAL),
	};
}

/* Forget all that was translated with a domain ID */
static inline void qi_desc_iotlb_domain(struct qi_desc *desc,
					const struct intel_iommu *iommu,
					u16 did)
{
	*desc = (struct qi_desc) {
		.qw0 = QI_IOTLB_TYPE | QI_IOTLB_GRAN(DMA_TLB_DSI_FLUSH) |
		       QI_IOTLB_DID(did) |
		       QI_IOTLB_DR(cap_read_drain(iommu->cap)) |
		       QI_IOTLB_DW(cap_write_drain(iommu->cap)),
	};
}

/* 2^@order pages by second level tables; @ih: no table was unlinked */
static inline void qi_desc_iotlb_range(struct qi_desc *desc,
				       const struct intel_iommu *iommu, u16 did,
				       u64 addr, unsigned int order, bool ih)
{
	*desc = (struct qi_desc) {
		.qw0 = QI_IOTLB_TYPE | QI_IOTLB_GRAN(DMA_TLB_PSI_FLUSH) |
		       QI_IOTLB_DID(did) |
		       QI_IOTLB_DR(cap_read_drain(iommu->cap)) |
		       QI_IOTLB_DW(cap_write_drain(iommu->cap)),
		.qw1 = QI_IOTLB_ADDR(addr) | QI_IOTLB_IH(ih) |
		       QI_IOTLB_AM(order),
	};
}

/* Forget all that was translated for a PASID by first level tables, or none */
static inline void qi_desc_piotlb_pasid(struct qi_desc *desc, u16 did,
					u32 pasid)
{
	*desc = (struct qi_desc) {
		.qw0 = QI_EIOTLB_TYPE | QI_EIOTLB_GRAN(QI_GRAN_NONG_PASID) |
		       QI_EIOTLB_DID(did) | QI_EIOTLB_PASID(pasid),
	};
}

/* 2^@order pages by first level tables; @ih: no table was unlinked */
static inline void qi_desc_piotlb_range(struct qi_desc *desc, u16 did,
					u32 pasid, u64 addr, unsigned int order,
					bool ih)
{
	*desc = (struct qi_desc) {
		.qw0 = QI_EIOTLB_TYPE | QI_EIOTLB_GRAN(QI_GRAN_PSI_PASID) |
		       QI_EIOTLB_DID(did) | QI_EIOTLB_PASID(pasid),
		.qw1 = QI_EIOTLB_ADDR(addr) | QI_EIOTLB_IH(ih) |
		       QI_EIOTLB_AM(order),
	};
}

/*
 * Does a device have a TLB that can be invalidated? While remapping is off
 * software should not try (VT-d 4.3); a device that is gone would not answer.
 */
static inline bool qi_dev_iotlb_alive(const struct device_domain_info *info)
{
	return info->ats_enabled && (info->iommu->gcmd & DMA_GCMD_TE) &&
	       pci_device_is_present(to_pci_dev(info->dev));
}

/*
 * 2^@order pages in the TLB of a device. Of the address, the lowest bit that is
 * clear tells the size. What was translated without PASID has a descriptor of
 * its own.
 */
static inline void qi_desc_dev_iotlb(struct qi_desc *desc,
				     const struct device_domain_info *info,
				     u32 pasid, u64 addr, unsigned int order)
{
	u16 sid = PCI_DEVID(info->bus, info->devfn);
	u64 span = addr & VTD_PAGE_MASK;

	if (order) {
		span &= ~((BIT_ULL(order - 1) * 2 - 1) << VTD_PAGE_SHIFT);
		span |= (BIT_ULL(order - 1) - 1) << VTD_PAGE_SHIFT;
	}

	/* 32 requests or more are encoded as 0: the field ignores higher bits */
	if (pasid == PASID_RID2PASID)
		*desc = (struct qi_desc) {
			.qw0 = QI_DIOTLB_TYPE | QI_DEV_IOTLB_SID(sid) |
			       QI_DEV_IOTLB_QDEP(info->ats_qdep) |
			       QI_DEV_IOTLB_PFSID(info->pfsid),
			.qw1 = span | (order ? QI_DEV_IOTLB_SIZE : 0),
		};
	else
		*desc = (struct qi_desc) {
			.qw0 = QI_DEIOTLB_TYPE | QI_DEV_EIOTLB_PASID(pasid) |
			       QI_DEV_EIOTLB_SID(sid) |
			       QI_DEV_EIOTLB_QDEP(info->ats_qdep) |
			       QI_DEV_IOTLB_PFSID(info->pfsid),
			.qw1 = span | (order ? QI_DEV_EIOTLB_SIZE : 0),
		};
}

/*
 * All that the TLB of a device has of a PASID, if it can be invalidated. Devices
 * with the quirk may answer before what they wrote by the old translation has
 * arrived; the second answer comes after it. Returns how many of two there are.
 */
static inline unsigned int
qi_desc_dev_iotlb_all(struct qi_desc *desc,
		      const struct device_domain_info *info, u32 pasid)
{
	unsigned int num;

	if (!qi_dev_iotlb_alive(info))
		return 0;

	for (num = 0; num <= info->dtlb_extra_inval; num++)
		qi_desc_dev_iotlb(&desc[num], info, pasid, 0, QI_ORDER_ALL);
	return num;
}

#endif /* __INTEL_QI_H */
