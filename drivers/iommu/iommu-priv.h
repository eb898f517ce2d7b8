/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the IOMMU core share with each other, and with nobody else
 */
#ifndef __IOMMU_PRIV_H
#define __IOMMU_PRIV_H

#include <linux/completion.h>
#include <linux/iommu.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>

/**
 * enum iommu_attachment_fate - whose the requests of a PASID are
 * @IOMMU_ATTACHMENT_STAYS: of the domain that is attached
 * @IOMMU_ATTACHMENT_LEAVES: of that, or of the one that is replacing it
 * @IOMMU_ATTACHMENT_LEFT: of the one that has replaced it, except for older ones
 */
enum iommu_attachment_fate {
	IOMMU_ATTACHMENT_STAYS,
	IOMMU_ATTACHMENT_LEAVES,
	IOMMU_ATTACHMENT_LEFT,
};

/**
 * struct iommu_attachment - a domain attached to one PASID of one device
 * @domain: translates the requests that carry @pasid
 * @dev: the device
 * @pasid: the PASID
 * @sva: the bond that attached it, or NULL
 * @users: one for being attached, one for each page request group that is
 *	   being served
 * @closing: being detached: groups are answered, but no longer served. Written
 *	     with the mutex of the group held.
 * @fate: whether another domain takes the place of @domain. Written with the
 *	  mutex of the group held.
 * @settling: has taken the place of another one, whose groups are still being
 *	      waited for. Protected by the mutex of the group.
 * @idle: @users dropped to zero
 * @rcu: lookups run under RCU
 * @served: page request groups that were answered with: try again
 * @refused: those that were answered with: give up
 * @invalidations: of @domain, when this was attached
 */
struct iommu_attachment {
	struct iommu_domain	*domain;
	struct device		*dev;
	ioasid_t		pasid;
	struct iommu_sva	*sva;
	refcount_t		users;
	bool			closing;
	enum iommu_attachment_fate fate;
	bool			settling;
	struct completion	idle;
	struct rcu_head		rcu;
#ifdef CONFIG_IOMMU_DEBUGFS
	atomic_t		served;
	atomic_t		refused;
	unsigned long		invalidations;
#endif
};

/* iommu-pasid.c, called with the mutex of the device's group held */
int iommu_pasid_attach(struct iommu_group *group, struct iommu_domain *domain,
		       struct device *dev, ioasid_t pasid,
		       struct iommu_sva *sva);
void iommu_pasid_detach(struct iommu_group *group,
			struct iommu_attachment *attachment);
void iommu_pasid_detach_all(struct iommu_group *group, struct device *dev);
bool iommu_pasid_any_attached(struct device *dev);
struct iommu_attachment *iommu_pasid_lookup(struct device *dev,
					    ioasid_t pasid);
void iommu_pasid_wait_changing(struct iommu_group *group, struct device *dev,
			       ioasid_t pasid);

/* iommu-pasid.c, called with no lock */
struct iommu_attachment *iommu_attachment_get(struct device *dev,
					      ioasid_t pasid);
void iommu_attachment_put(struct iommu_attachment *attachment);
bool iommu_attachment_has_left(struct iommu_attachment *attachment);

#ifdef CONFIG_IOMMU_DEBUGFS
/* iommu-pasid.c */
unsigned long
iommu_attachment_invalidations(const struct iommu_attachment *attachment);

static inline void iommu_domain_count_free(struct iommu_domain *domain)
{
	free_percpu(domain->invalidations);
}

/* The cache line is that of @users, which each group writes to anyway */
static inline void
iommu_attachment_count_response(struct iommu_attachment *attachment,
				enum iommu_page_response_code code)
{
	atomic_inc(code == IOMMU_PAGE_RESP_SUCCESS ? &attachment->served :
						     &attachment->refused);
}

/* iommu-pasid-debugfs.c */
void iommu_pasid_debugfs_add(struct device *dev);
void iommu_pasid_debugfs_remove(struct device *dev);
#else
static inline void iommu_domain_count_free(struct iommu_domain *domain)
{
}

static inline void
iommu_attachment_count_response(struct iommu_attachment *attachment,
				enum iommu_page_response_code code)
{
}

static inline void iommu_pasid_debugfs_add(struct device *dev)
{
}

static inline void iommu_pasid_debugfs_remove(struct device *dev)
{
}
#endif

/* iommu.c */
void iommu_group_lock(struct iommu_group *group);
void iommu_group_unlock(struct iommu_group *group);
void iommu_group_assert_locked(struct iommu_group *group);
bool iommu_group_has_device(struct iommu_group *group, struct device *dev);
int iommu_group_may_use_pasids(struct iommu_group *group, struct device *dev);
int iommu_finish_attach(struct device *dev);
const char *iommu_domain_type_str(unsigned int t);

/* io-pgfault.c */
#ifdef CONFIG_IOMMU_SVA
void iopf_discard_partial(struct device *dev, ioasid_t pasid);
void iopf_release_device(struct device *dev);
#else
static inline void iopf_discard_partial(struct device *dev, ioasid_t pasid)
{
}

static inline void iopf_release_device(struct device *dev)
{
}
#endif

#endif /* __IOMMU_PRIV_H */
