/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What caches the translations of a domain, and how to invalidate it
 */
#ifndef __INTEL_CACHE_H
#define __INTEL_CACHE_H

#include <linux/ioasid.h>
#include <linux/rcupdate.h>
#include <linux/types.h>

struct device_domain_info;
struct dmar_domain;
struct intel_iommu;
struct qi_desc;

/**
 * struct intel_cache_tag - something that holds translations of a domain
 * @iommu: the unit
 * @info: the device that may have a TLB, NULL for the IOTLB of @iommu
 * @pasid: the PASID that the translations are for; INVALID_IOASID in the IOTLB,
 *	   where those by second level tables are known by the domain ID alone
 * @did: their domain ID, in the IOTLB
 * @users: how many attachments use this, protected by the lock of the domain
 * @dead: @users dropped to zero
 */
struct intel_cache_tag {
	struct intel_iommu		*iommu;
	struct device_domain_info	*info;
	ioasid_t			pasid;
	u16				did;
	unsigned int			users;
	bool				dead;
};

/**
 * struct intel_cache - all that holds translations of a domain
 * @rcu: to free it, after another one has been published
 * @num: number of tags
 * @tag: sorted: by unit, within a unit the IOTLB first
 */
struct intel_cache {
	struct rcu_head		rcu;
	unsigned int		num;
	struct intel_cache_tag	tag[];
};

/**
 * struct intel_cache_range - addresses to invalidate
 * @num: number of pieces, 1 or 2
 * @addr: first address of each, naturally aligned
 * @order: log2 of its number of pages of 4 KiB; QI_ORDER_ALL for all addresses
 * @doubt: a device has not answered: look which are there
 */
struct intel_cache_range {
	unsigned int	num;
	u64		addr[2];
	unsigned int	order[2];
	bool		doubt;
};

/* The longest sequence of descriptors that is posted at once */
#define INTEL_CACHE_BATCH	24

void intel_cache_init(struct dmar_domain *domain);
void intel_cache_free(struct dmar_domain *domain);
int intel_cache_attach(struct dmar_domain *domain,
		       struct device_domain_info *info, ioasid_t pasid,
		       u16 did);
void intel_cache_detach(struct dmar_domain *domain,
			struct device_domain_info *info, ioasid_t pasid,
			u16 did);
void intel_cache_invalidate_range(struct dmar_domain *domain, u64 start,
				  u64 end);
void intel_cache_quiesce(struct dmar_domain *domain, phys_addr_t pgd);
bool intel_cache_force_snooping(struct dmar_domain *domain);
void intel_cache_set_page_snoop(struct dmar_domain *domain);
void intel_cache_invalidate_did(u16 did);

/* For the above, and for tests */
void intel_cache_make_range(struct intel_cache_range *range, u64 start,
			    u64 last);
unsigned int intel_cache_fill(const struct intel_cache *cache,
			      unsigned int *pos,
			      const struct intel_cache_range *range,
			      bool entries, struct qi_desc *desc);
struct intel_cache *intel_cache_copy(const struct intel_cache *old,
				     const struct intel_cache_tag *add,
				     unsigned int num);

#endif /* __INTEL_CACHE_H */
