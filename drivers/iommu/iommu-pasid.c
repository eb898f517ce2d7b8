// SPDX-License-Identifier: GPL-2.0-only
/*
 * Domains attached to PASIDs of devices
 *
 * A request that carries a PASID is not translated by the RID domain of its
 * device but by the domain attached to that (device, PASID). Attachments belong
 * to the device: devices that share a RID domain share no PASID, and changing
 * the RID domain leaves the attachments alone.
 *
 * Attachments come and go under the mutex of the device's group. Page requests
 * look them up under RCU and hold on to what they find with a reference.
 * Detaching waits for these references. It does not hold the mutex meanwhile, as
 * the page may have to come from a disk, or from another process: until it is
 * done the attachment stays where it is and is marked as closing, and whoever
 * cares about the same PASID of the same device waits for that.
 *
 * A replacement has two attachments for one PASID. The old one stays where it is
 * until the driver has put the new domain in place and has reported what the
 * hardware had queued; then the new one takes its place, and whoever wants to
 * change that waits until the old one is free of page requests. While both are
 * there nobody can tell which domain a page request is about. So it is served by
 * the old domain, but answered when the new one has taken its place: the device
 * tries again, and finds that. It must not do so before, as devices give up what
 * they have tried too often.
 */
#include <linux/iommu.h>
#include <linux/iommu-kernel-tables.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "iommu-in-use.h"
#include "iommu-priv.h"

/* Woken up when something is detached, leaves or settles, with its group locked */
static DECLARE_WAIT_QUEUE_HEAD(iommu_pasid_changed);

/**
 * iommu_attachment_get() - find an attachment and keep it from being freed
 * @dev: a device that the IOMMU driver has not released yet
 * @pasid: the PASID of a page request
 *
 * Context: any.
 * Return: the attachment, to be given back with iommu_attachment_put(), or NULL
 * if nothing is attached or it is already gone except for its last users.
 */
struct iommu_attachment *iommu_attachment_get(struct device *dev,
					      ioasid_t pasid)
{
	struct xarray *attachments = &dev->iommu->attachments;
	struct iommu_attachment *attachment;

	rcu_read_lock();
	for (;;) {
		attachment = xa_load(attachments, pasid);
		if (!attachment || refcount_inc_not_zero(&attachment->users))
			break;

		/*
		 * Without users it is either about to be erased, or replaced
		 * already. Pairs with the release of iommu_attachment_put(),
		 * which comes after the new one was stored.
		 */
		smp_rmb();
		if (xa_load(attachments, pasid) == attachment) {
			attachment = NULL;
			break;
		}
	}
	rcu_read_unlock();

	return attachment;
}

/**
 * iommu_attachment_put() - give back what iommu_attachment_get() returned
 * @attachment: the attachment; it, its domain and its device may go away the
 *		moment this is called
 *
 * Context: any.
 */
void iommu_attachment_put(struct iommu_attachment *attachment)
{
	if (refcount_dec_and_test(&attachment->users))
		complete(&attachment->idle);
}

static void iommu_attachment_set_fate(struct iommu_attachment *attachment,
				      enum iommu_attachment_fate fate)
{
	WRITE_ONCE(attachment->fate, fate);
	wake_up_all(&iommu_pasid_changed);
}

/**
 * iommu_attachment_has_left() - must page requests be tried again?
 * @attachment: where they were found to belong
 *
 * Waits until the driver has replaced its domain, if it is doing that.
 *
 * Context: process context, may sleep. Not from the thread that reports page
 * requests, which drivers wait for.
 * Return: true if they may have been about the domain that has replaced it.
 */
bool iommu_attachment_has_left(struct iommu_attachment *attachment)
{
	wait_event(iommu_pasid_changed,
		   READ_ONCE(attachment->fate) != IOMMU_ATTACHMENT_LEAVES);
	return READ_ONCE(attachment->fate) == IOMMU_ATTACHMENT_LEFT;
}

static bool iommu_pasid_changing(struct iommu_group *group, struct device *dev,
				 ioasid_t pasid)
{
	struct iommu_attachment *attachment;

	if (!iommu_group_has_device(group, dev))
		return false;

	attachment = iommu_pasid_lookup(dev, pasid);
	return attachment && (attachment->closing || attachment->settling);
}

/**
 * iommu_pasid_wait_changing() - wait until nobody is changing a PASID
 * @group: the group of the device
 * @dev: the device, which may leave the group meanwhile
 * @pasid: the PASID
 *
 * Context: mutex of @group held, but dropped while this waits. May sleep.
 */
void iommu_pasid_wait_changing(struct iommu_group *group, struct device *dev,
			       ioasid_t pasid)
{
	iommu_group_assert_locked(group);

	wait_event_cmd(iommu_pasid_changed,
		       !iommu_pasid_changing(group, dev, pasid),
		       iommu_group_unlock(group), iommu_group_lock(group));
}

#ifdef CONFIG_IOMMU_DEBUGFS
static unsigned long iommu_domain_invalidations(struct iommu_domain *domain)
{
	unsigned long __percpu *count = READ_ONCE(domain->invalidations);
	unsigned long sum = 0;
	int cpu;

	if (count)
		for_each_possible_cpu(cpu)
			sum += READ_ONCE(*per_cpu_ptr(count, cpu));
	return sum;
}

/**
 * iommu_attachment_invalidations() - how often its translations were forgotten
 * @attachment: the attachment
 *
 * Each invalidation of a domain reaches all that it is attached to. So it is
 * counted once, for the domain, and without CPUs getting in each other's way.
 *
 * Context: any.
 * Return: the number of them since @attachment was made.
 */
unsigned long
iommu_attachment_invalidations(const struct iommu_attachment *attachment)
{
	return iommu_domain_invalidations(attachment->domain) -
	       attachment->invalidations;
}

/* Domains that are never on a PASID have no counter, and pay nothing for it */
static void iommu_attachment_count_begin(struct iommu_attachment *attachment)
{
	struct iommu_domain *domain = attachment->domain;
	unsigned long __percpu *count;

	if (!READ_ONCE(domain->invalidations)) {
		/* Without memory nothing is counted, which is no failure */
		count = alloc_percpu(unsigned long);
		/* Another device may be attached to it at the same time */
		if (cmpxchg(&domain->invalidations, NULL, count))
			free_percpu(count);
	}
	attachment->invalidations = iommu_domain_invalidations(domain);
}
#else
static void iommu_attachment_count_begin(struct iommu_attachment *attachment)
{
}
#endif

static struct iommu_attachment *
iommu_attachment_alloc(struct iommu_domain *domain, struct device *dev,
		       ioasid_t pasid)
{
	struct iommu_attachment *attachment;

	attachment = kzalloc(sizeof(*attachment), GFP_KERNEL);
	if (!attachment)
		return NULL;

	attachment->domain = domain;
	attachment->dev = dev;
	attachment->pasid = pasid;
	refcount_set(&attachment->users, 1);
	init_completion(&attachment->idle);
	iommu_attachment_count_begin(attachment);
	iommu_in_use_inc(IOMMU_IN_USE_ATTACHMENTS);
	return attachment;
}

static void iommu_attachment_free(struct iommu_attachment *attachment)
{
	kfree_rcu(attachment, rcu);
	iommu_in_use_dec(IOMMU_IN_USE_ATTACHMENTS);
}

/*
 * The hardware has forgotten about it. Wait for what it reported before. What is
 * attached to the PASID is marked, so nobody touches it meanwhile. The device is
 * safe, too: it cannot be released before all of its attachments are gone.
 */
static void iommu_attachment_drain(struct iommu_group *group,
				   struct iommu_attachment *attachment)
{
	iommu_group_assert_locked(group);

	iommu_group_unlock(group);
	iommu_attachment_put(attachment);
	wait_for_completion(&attachment->idle);
	iommu_group_lock(group);
}

/* The attachment is marked as closing, and the driver is done with it. */
static void iommu_pasid_close(struct iommu_group *group,
			      struct iommu_attachment *attachment)
{
	iommu_attachment_drain(group, attachment);
	xa_erase(&attachment->dev->iommu->attachments, attachment->pasid);
	iommu_attachment_free(attachment);
	wake_up_all(&iommu_pasid_changed);
}

static int iommu_pasid_check_dev(struct iommu_group *group, struct device *dev)
{
	int ret;

	ret = iommu_group_may_use_pasids(group, dev);
	if (ret)
		return ret;

	if (!dev->iommu || !dev->iommu->iommu_dev)
		return -ENODEV;

	if (!dev->iommu->max_pasids) {
		dev_dbg(dev, "the device or its IOMMU has no PASIDs\n");
		return -EOPNOTSUPP;
	}

	return iommu_finish_attach(dev);
}

static int iommu_pasid_check(struct iommu_group *group,
			     struct iommu_domain *domain, struct device *dev,
			     ioasid_t pasid)
{
	int ret;

	ret = iommu_pasid_check_dev(group, dev);
	if (ret)
		return ret;

	if (domain->owner != dev_iommu_ops(dev)) {
		dev_dbg(dev, "the domain belongs to another IOMMU driver\n");
		return -EINVAL;
	}

	if (!domain->ops->attach_dev_pasid || !domain->ops->detach_dev_pasid) {
		dev_dbg(dev, "the IOMMU driver cannot attach such a domain to a PASID\n");
		return -EOPNOTSUPP;
	}

	/* PASID 0 is where IOMMUs keep what translates requests without one. */
	if (!pasid || pasid >= dev->iommu->max_pasids) {
		dev_dbg(dev, "PASID %u is not within 1..%u\n", pasid,
			dev->iommu->max_pasids - 1);
		return -EINVAL;
	}

	return 0;
}

/**
 * iommu_pasid_attach() - attach a domain to a PASID of a device
 * @group: the group of the device
 * @domain: the domain
 * @dev: the device
 * @pasid: the PASID
 * @sva: the bond this is done for, or NULL
 *
 * The errors are those of iommu_attach_device_pasid().
 *
 * Context: mutex of @group held, but dropped after a failure. May sleep.
 * Return: 0, or an errno and nothing has changed, but that the RID domain may be
 * attached if that had been put off.
 */
int iommu_pasid_attach(struct iommu_group *group, struct iommu_domain *domain,
		       struct device *dev, ioasid_t pasid,
		       struct iommu_sva *sva)
{
	struct iommu_attachment *attachment;
	int ret;

	iommu_group_assert_locked(group);

	ret = iommu_pasid_check(group, domain, dev, pasid);
	if (ret)
		return ret;

	attachment = iommu_attachment_alloc(domain, dev, pasid);
	if (!attachment)
		return -ENOMEM;
	attachment->sva = sva;

	/*
	 * Requests may fault the moment the driver has written its table, so
	 * the attachment must be there first.
	 */
	ret = xa_insert(&dev->iommu->attachments, pasid, attachment,
			GFP_KERNEL);
	if (ret) {
		if (ret == -EBUSY)
			dev_dbg(dev, "PASID %u is taken\n", pasid);
		iommu_attachment_free(attachment);
		return ret;
	}

	ret = domain->ops->attach_dev_pasid(domain, dev, pasid, NULL);
	if (ret) {
		WRITE_ONCE(attachment->closing, true);
		iommu_pasid_close(group, attachment);
	}

	return ret;
}

/* As iommu_replace_device_pasid(), with the mutex of the group held */
static int iommu_pasid_replace(struct iommu_group *group,
			       struct iommu_domain *domain, struct device *dev,
			       ioasid_t pasid)
{
	struct iommu_attachment *old, *new;
	int ret;

	iommu_pasid_wait_changing(group, dev, pasid);

	ret = iommu_pasid_check(group, domain, dev, pasid);
	if (ret)
		return ret;

	old = iommu_pasid_lookup(dev, pasid);
	if (!old) {
		dev_dbg(dev, "nothing is attached to PASID %u\n", pasid);
		return -ENOENT;
	}

	/* The PASID stands for the mm, for other devices as well */
	if (old->sva) {
		dev_dbg(dev, "PASID %u is that of a process\n", pasid);
		return -EBUSY;
	}

	if (old->domain == domain)
		return 0;

	new = iommu_attachment_alloc(domain, dev, pasid);
	if (!new)
		return -ENOMEM;

	/*
	 * From the first store of the driver on requests may be about the new
	 * domain. The store is behind a barrier of the driver, and what reports
	 * such a request comes after it.
	 */
	iommu_attachment_set_fate(old, IOMMU_ATTACHMENT_LEAVES);
	ret = domain->ops->attach_dev_pasid(domain, dev, pasid, old->domain);
	if (ret) {
		iommu_attachment_set_fate(old, IOMMU_ATTACHMENT_STAYS);
		iommu_attachment_free(new);
		return ret;
	}

	/*
	 * Beginnings of groups, which may be about the old domain, must not
	 * spoil what is about the new one. The device asks again.
	 */
	iopf_discard_partial(dev, pasid);

	/* Takes the place of an entry, which needs no memory */
	new->settling = true;
	xa_store(&dev->iommu->attachments, pasid, new, 0);
	iommu_attachment_set_fate(old, IOMMU_ATTACHMENT_LEFT);

	iommu_attachment_drain(group, old);
	iommu_attachment_free(old);
	new->settling = false;
	wake_up_all(&iommu_pasid_changed);
	return 0;
}

/**
 * iommu_pasid_detach() - undo iommu_pasid_attach()
 * @group: the group of the device
 * @attachment: what to detach; freed
 *
 * On return no request of the device with that PASID translates, nothing caches
 * the entry, and each page request group has had its response. Waits for groups
 * of this attachment only. If somebody else is detaching the same, waits for
 * that.
 *
 * Context: mutex of @group held, but dropped while this waits. May sleep. Takes
 * no memory.
 */
void iommu_pasid_detach(struct iommu_group *group,
			struct iommu_attachment *attachment)
{
	struct iommu_domain *domain = attachment->domain;
	struct device *dev = attachment->dev;
	ioasid_t pasid = attachment->pasid;

	iommu_group_assert_locked(group);

	if (attachment->closing) {
		iommu_pasid_wait_changing(group, dev, pasid);
		return;
	}

	/*
	 * For page requests this is a hint, without order: no longer begin to
	 * serve what nobody wants. Those that miss it are waited for.
	 */
	WRITE_ONCE(attachment->closing, true);

	/* Being marked, it stays, whatever happens to the group meanwhile. */
	wait_event_cmd(iommu_pasid_changed, !attachment->settling,
		       iommu_group_unlock(group), iommu_group_lock(group));

	domain->ops->detach_dev_pasid(domain, dev, pasid);

	/*
	 * The driver has caught up with the hardware queue: no further request
	 * can be reported. Beginnings of groups whose last request never came
	 * must not become part of a group of the next user of this PASID.
	 */
	iopf_discard_partial(dev, pasid);
	iommu_pasid_close(group, attachment);
}

/**
 * iommu_pasid_lookup() - what is attached to a PASID
 * @dev: the device
 * @pasid: the PASID
 *
 * Context: mutex of the device's group held, which keeps the result attached.
 * Return: the attachment or NULL.
 */
struct iommu_attachment *iommu_pasid_lookup(struct device *dev, ioasid_t pasid)
{
	if (!dev->iommu)
		return NULL;

	return xa_load(&dev->iommu->attachments, pasid);
}

/**
 * iommu_pasid_any_attached() - does a device have attachments?
 * @dev: the device
 *
 * Context: mutex of the device's group held.
 * Return: true if it has.
 */
bool iommu_pasid_any_attached(struct device *dev)
{
	return dev->iommu && !xa_empty(&dev->iommu->attachments);
}

/**
 * iommu_pasid_detach_all() - take all attachments of a device down
 * @group: the group of the device
 * @dev: the device, which cannot leave the group meanwhile
 *
 * Context: mutex of @group held, but dropped while this waits for page requests.
 * May sleep. Takes no memory.
 */
void iommu_pasid_detach_all(struct iommu_group *group, struct device *dev)
{
	struct iommu_attachment *attachment;
	unsigned long pasid;

	if (!dev->iommu)
		return;

	xa_for_each(&dev->iommu->attachments, pasid, attachment)
		iommu_pasid_detach(group, attachment);
}

/* The tables of a process must not go away while hardware is given them. */
static bool iommu_domain_hold(struct iommu_domain *domain)
{
	return domain->type != IOMMU_DOMAIN_SVA || mmget_not_zero(domain->mm);
}

/* No mutex of a group may be held: the process may have exited meanwhile. */
static void iommu_domain_release(struct iommu_domain *domain)
{
	if (domain->type == IOMMU_DOMAIN_SVA)
		mmput(domain->mm);
}

static int iommu_pasid_set(struct iommu_domain *domain, struct device *dev,
			   ioasid_t pasid, bool replace)
{
	struct iommu_group *group = iommu_group_get(dev);
	int ret = -ESRCH;

	if (!group)
		return -ENODEV;

	if (iommu_domain_hold(domain)) {
		iommu_group_lock(group);
		if (replace)
			ret = iommu_pasid_replace(group, domain, dev, pasid);
		else
			ret = iommu_pasid_attach(group, domain, dev, pasid,
						 NULL);
		iommu_group_unlock(group);
		iommu_domain_release(domain);
	}
	iommu_group_put(group);

	return ret;
}

/**
 * iommu_attach_device_pasid() - let a domain translate a PASID of a device
 * @domain: the domain, which must stay allocated until it is detached; that of a
 *	    process comes from iommu_sva_domain_get()
 * @dev: the device
 * @pasid: the PASID that requests will carry, 1 .. max_pasids - 1 of the device
 *
 * Requests without a PASID and requests with other PASIDs are not affected.
 *
 * Context: process context, may sleep. The caller's driver is bound to @dev. No
 * mmap_lock may be held, nor a lock that the page fault handler of @domain takes.
 * Return:
 * * 0, or with nothing changed
 * * %-ENODEV - the device has no IOMMU
 * * %-EOPNOTSUPP - no PASIDs, not for such a domain, or a group of several
 *   devices; a debug message tells which
 * * %-EINVAL - @pasid out of range, or a domain of another IOMMU driver
 * * %-ESRCH - the process of an SVA domain has exited
 * * %-EBUSY - something is attached to @pasid, or the group has a DMA owner
 * * %-ENOMEM - no memory
 * * an errno of the IOMMU driver
 */
int iommu_attach_device_pasid(struct iommu_domain *domain, struct device *dev,
			      ioasid_t pasid)
{
	return iommu_pasid_set(domain, dev, pasid, false);
}
EXPORT_SYMBOL_GPL(iommu_attach_device_pasid);

/**
 * iommu_replace_device_pasid() - let another domain translate a PASID
 * @domain: the domain, which must stay allocated until it is detached or
 *	    replaced in turn
 * @dev: the device
 * @pasid: the PASID; iommu_attach_device_pasid() has attached something to it
 *
 * The device is not interrupted: each of its requests is translated by the old
 * domain or by @domain. On return no request is translated by the old domain any
 * more, nothing caches its translations for this PASID, and the page requests
 * that it served have been answered. Nothing happens if @domain is attached
 * already.
 *
 * Context: process context, may sleep. The caller's driver is bound to @dev. No
 * mmap_lock may be held, nor a lock that the page fault handler of either domain
 * takes.
 * Return:
 * * 0, or with the old domain as it was
 * * %-ENODEV - the device has no IOMMU
 * * %-EOPNOTSUPP - the IOMMU driver cannot replace without interruption; or as
 *   for iommu_attach_device_pasid()
 * * %-EINVAL - @pasid out of range, or a domain of another IOMMU driver
 * * %-ENOENT - nothing is attached to @pasid
 * * %-ESRCH - the process of an SVA domain has exited
 * * %-EBUSY - @pasid belongs to iommu_sva_bind_device(), or the group has a DMA
 *   owner
 * * %-ENOMEM - no memory
 * * an errno of the IOMMU driver
 */
int iommu_replace_device_pasid(struct iommu_domain *domain, struct device *dev,
			       ioasid_t pasid)
{
	return iommu_pasid_set(domain, dev, pasid, true);
}
EXPORT_SYMBOL_GPL(iommu_replace_device_pasid);

/**
 * iommu_device_pasid_supported() - could a domain be attached to a PASID?
 * @dev: the device
 * @type: type of the domain: %IOMMU_DOMAIN_SVA, %IOMMU_DOMAIN_UNMANAGED,
 *	  %IOMMU_DOMAIN_DMA or %IOMMU_DOMAIN_IDENTITY
 *
 * For a driver that wants to know beforehand what to offer. The answer is about
 * this moment: what translates requests without a PASID, who owns the group and
 * which features are enabled may change it. A domain may be refused for reasons
 * of its own, and a PASID be taken. Where it is no, a debug message tells why.
 *
 * Context: process context, may sleep. The caller's driver is bound to @dev.
 * Return:
 * * 0, or what attaching such a domain would return:
 * * %-ENODEV - the device has no IOMMU; or, for SVA, %IOMMU_DEV_FEAT_SVA is not
 *   enabled
 * * %-EOPNOTSUPP - no PASIDs, not for such a domain, or a group of several
 *   devices
 * * %-EBUSY - the group has a DMA owner
 * * an errno of the IOMMU driver
 */
int iommu_device_pasid_supported(struct device *dev, unsigned int type)
{
	struct iommu_group *group = iommu_group_get(dev);
	const struct iommu_ops *ops;
	const char *unsafe;
	int ret;

	if (!group)
		return -ENODEV;

	iommu_group_lock(group);
	ret = iommu_pasid_check_dev(group, dev);
	if (!ret) {
		ops = dev_iommu_ops(dev);
		ret = ops->pasid_supported ? ops->pasid_supported(dev, type) :
					     -EOPNOTSUPP;
	}
	if (!ret && type == IOMMU_DOMAIN_SVA) {
		unsafe = iommu_kernel_tables_unsafe(dev);
		if (unsafe) {
			dev_dbg(dev, "no SVA: %s\n", unsafe);
			ret = -EOPNOTSUPP;
		}
	}
	iommu_group_unlock(group);
	iommu_group_put(group);

	return ret;
}
EXPORT_SYMBOL_GPL(iommu_device_pasid_supported);

/**
 * iommu_detach_device_pasid() - undo iommu_attach_device_pasid()
 * @domain: the domain
 * @dev: the device
 * @pasid: the PASID
 *
 * On return no request of the device with that PASID translates, nothing caches
 * the translations, and all its page requests have been answered. Does nothing
 * if @domain is not attached there: the core detaches what a driver leaves
 * behind when it is unbound, and when the device is removed.
 *
 * Context: process context, may sleep. The caller's driver is bound to @dev. No
 * mmap_lock may be held, nor a lock that the page fault handler of @domain takes.
 */
void iommu_detach_device_pasid(struct iommu_domain *domain, struct device *dev,
			       ioasid_t pasid)
{
	struct iommu_group *group = iommu_group_get(dev);
	struct iommu_attachment *attachment;

	if (!group)
		return;

	iommu_group_lock(group);
	if (iommu_group_has_device(group, dev)) {
		attachment = iommu_pasid_lookup(dev, pasid);
		if (attachment && attachment->domain == domain)
			iommu_pasid_detach(group, attachment);
	}
	iommu_group_unlock(group);
	iommu_group_put(group);
}
EXPORT_SYMBOL_GPL(iommu_detach_device_pasid);

/**
 * iommu_detach_device_all_pasids() - detach whatever a device has attached
 * @dev: the device
 *
 * As iommu_detach_device_pasid() for every PASID in use. Bonds are among them:
 * their handles remain valid, and iommu_sva_unbind_device() still has to free
 * them. For a driver that resets its device, or gives it up.
 *
 * Context: process context, may sleep. The caller's driver is bound to @dev. No
 * mmap_lock may be held, nor a lock that a page fault handler takes.
 */
void iommu_detach_device_all_pasids(struct device *dev)
{
	struct iommu_group *group = iommu_group_get(dev);

	if (!group)
		return;

	iommu_group_lock(group);
	if (iommu_group_has_device(group, dev))
		iommu_pasid_detach_all(group, dev);
	iommu_group_unlock(group);
	iommu_group_put(group);
}
EXPORT_SYMBOL_GPL(iommu_detach_device_all_pasids);

/**
 * iommu_get_domain_for_dev_pasid() - which domain translates a PASID
 * @dev: the device
 * @pasid: the PASID
 * @type: the type it is expected to have, IOMMU_DOMAIN_*, or 0 for any
 *
 * Nothing keeps the result attached; that is up to the caller, who attached it.
 *
 * Context: process context, may sleep. The caller's driver is bound to @dev. No
 * mmap_lock may be held.
 * Return: the domain, NULL if there is none, ERR_PTR(%-EBUSY) if it is of
 * another type.
 */
struct iommu_domain *iommu_get_domain_for_dev_pasid(struct device *dev,
						    ioasid_t pasid,
						    unsigned int type)
{
	struct iommu_group *group = iommu_group_get(dev);
	struct iommu_domain *domain = NULL;
	struct iommu_attachment *attachment;

	if (!group)
		return NULL;

	iommu_group_lock(group);
	if (iommu_group_has_device(group, dev)) {
		attachment = iommu_pasid_lookup(dev, pasid);
		if (attachment)
			domain = attachment->domain;
		if (domain && type && domain->type != type)
			domain = ERR_PTR(-EBUSY);
	}
	iommu_group_unlock(group);
	iommu_group_put(group);

	return domain;
}
EXPORT_SYMBOL_GPL(iommu_get_domain_for_dev_pasid);
