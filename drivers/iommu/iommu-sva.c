// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shared virtual addressing: the address space of a process for a device
 *
 * A bond between a device and an mm is an ordinary attachment: an SVA domain,
 * which translates by the page tables of the mm, attached to the PASID of the
 * mm. There is one SVA domain per mm and IOMMU driver, whatever the number of
 * devices and of IOMMUs.
 *
 * What keeps what alive:
 *
 *  - whoever has got an SVA domain, as each bond has, has a reference to the
 *    mmu notifier of its mm, struct sva_mm;
 *  - struct sva_mm has the SVA domains. None leaves before all of them are
 *    freed together with it. So the callbacks of the notifier need no lock to
 *    walk them, and a domain is there for as long as somebody has got it;
 *  - when the last one is put, struct sva_mm is freed after an SRCU grace
 *    period, because callbacks may be running;
 *  - the notifier pins the mm_struct until then, and the mm_struct has the
 *    PASID, which is therefore not given to another mm any earlier;
 *  - a page request group pins the attachment, and detaching waits for that.
 *
 * An mm may exit before it is unbound. Then its devices find nothing in it (see
 * sva_release()), and the bond lasts until it is unbound, which does not need
 * the mm. A device may be removed before it is unbound. Then the core has
 * detached everything, and the bond keeps just enough for unbinding to find
 * that out: the device and its group.
 *
 * The mutex of the group serialises what happens to one device. For one mm
 * sva_lock does, but only while the PASID and the domain are found: neither
 * attaching nor detaching, which may wait for hardware and for page faults,
 * holds it.
 */
#include <linux/iommu.h>
#include <linux/iommu-kernel-tables.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rculist.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "iommu-in-use.h"
#include "iommu-priv.h"
#include "iommu-sva.h"

/**
 * struct sva_mm - an mm that is bound to devices
 * @notifier: knows the mm, counts the references
 * @domains: the SVA domains; written under sva_lock, only ever grows
 */
struct sva_mm {
	struct mmu_notifier	notifier;
	struct list_head	domains;
};

/**
 * struct sva_bond - a device that is bound to an mm
 * @sva: the handle that users get; holds a reference to the device and one to
 *	 the domain, see sva_domain_get()
 * @group: the group the device was in; holds a reference
 * @users: how often the device was bound to the mm, protected by the mutex of
 *	   @group
 */
struct sva_bond {
	struct iommu_sva	sva;
	struct iommu_group	*group;
	unsigned int		users;
};

static DEFINE_MUTEX(sva_lock);
static DECLARE_IOASID_SET(sva_pasids);

static struct sva_mm *to_sva_mm(struct mmu_notifier *notifier)
{
	return container_of(notifier, struct sva_mm, notifier);
}

static void sva_invalidate_range(struct mmu_notifier *notifier,
				 struct mm_struct *mm, unsigned long start,
				 unsigned long end)
{
	struct iommu_domain *domain;

	/*
	 * Pairs with the one in sva_domain_find(): either the domain is seen
	 * here, or whoever attaches it sees the page table as it is now.
	 */
	smp_mb();

	list_for_each_entry_lockless(domain, &to_sva_mm(notifier)->domains,
				     sva_node)
		domain->ops->invalidate_range(domain, start, end);
}

/*
 * The mm exits: make sure that no IOMMU walks its tables any more when this
 * returns. No domain can be added, as nobody who binds holds the mm any longer,
 * but devices may be detached meanwhile.
 */
static void sva_release(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	struct iommu_domain *domain;

	list_for_each_entry_lockless(domain, &to_sva_mm(notifier)->domains,
				     sva_node)
		domain->ops->quiesce(domain);
}

static struct mmu_notifier *sva_alloc_notifier(struct mm_struct *mm)
{
	struct sva_mm *sva_mm = kzalloc(sizeof(*sva_mm), GFP_KERNEL);

	if (!sva_mm)
		return ERR_PTR(-ENOMEM);

	INIT_LIST_HEAD(&sva_mm->domains);
	iommu_in_use_inc(IOMMU_IN_USE_SVA_MMS);
	return &sva_mm->notifier;
}

/* Runs after an SRCU grace period with bottom halves off: no callback is left */
static void sva_free_notifier(struct mmu_notifier *notifier)
{
	struct sva_mm *sva_mm = to_sva_mm(notifier);
	struct iommu_domain *domain, *next;
	struct module *owner;

	list_for_each_entry_safe(domain, next, &sva_mm->domains, sva_node) {
		owner = domain->owner->owner;
		iommu_domain_free(domain);
		iommu_in_use_dec(IOMMU_IN_USE_SVA_DOMAINS);
		module_put(owner);
	}
	kfree(sva_mm);
	iommu_in_use_dec(IOMMU_IN_USE_SVA_MMS);
}

static const struct mmu_notifier_ops sva_notifier_ops = {
	.invalidate_range	= sva_invalidate_range,
	.release		= sva_release,
	.alloc_notifier		= sva_alloc_notifier,
	.free_notifier		= sva_free_notifier,
};

/*
 * The PASID stays with the mm, whatever else fails: other devices may be using
 * it by then.
 */
static int sva_get_pasid(struct mm_struct *mm, ioasid_t max)
{
	ioasid_t pasid;

	lockdep_assert_held(&sva_lock);

	if (pasid_valid(mm->pasid))
		return mm->pasid > max ? -EOVERFLOW : 0;

	/* PASID 0 is where IOMMUs keep what translates requests without one. */
	pasid = ioasid_alloc(&sva_pasids, 1, max, mm);
	if (!pasid_valid(pasid))
		return -ENOSPC;

	mm_pasid_set(mm, pasid);
	return 0;
}

static struct iommu_domain *sva_domain_find(struct sva_mm *sva_mm,
					    struct device *dev)
{
	const struct iommu_ops *ops = dev_iommu_ops(dev);
	struct iommu_domain *domain;

	lockdep_assert_held(&sva_lock);

	list_for_each_entry(domain, &sva_mm->domains, sva_node) {
		if (domain->owner == ops)
			return domain;
	}

	domain = ops->domain_alloc_sva(dev, sva_mm->notifier.mm);
	if (IS_ERR(domain))
		return domain;

	domain->type = IOMMU_DOMAIN_SVA;
	domain->owner = ops;
	domain->mm = sva_mm->notifier.mm;
	domain->sva_mm = sva_mm;
	domain->iopf_handler = iommu_sva_handle_iopf;
	iommu_in_use_inc(IOMMU_IN_USE_SVA_DOMAINS);

	/* The domain may outlive the device, which has a reference as well. */
	__module_get(ops->owner);

	list_add_tail_rcu(&domain->sva_node, &sva_mm->domains);

	/* Pairs with the one in sva_invalidate_range() */
	smp_mb();

	return domain;
}

/* The domain of @mm for @dev, with a reference. The caller holds the mm. */
static struct iommu_domain *sva_domain_get(struct device *dev,
					   struct mm_struct *mm)
{
	struct mmu_notifier *notifier;
	struct iommu_domain *domain;

	/*
	 * Takes the mmap_lock, which a page fault of the mm may hold for as
	 * long as it takes to read from a disk. Nobody else has to wait.
	 */
	notifier = mmu_notifier_get(&sva_notifier_ops, mm);
	if (IS_ERR(notifier))
		return ERR_CAST(notifier);

	mutex_lock(&sva_lock);
	domain = sva_domain_find(to_sva_mm(notifier), dev);
	mutex_unlock(&sva_lock);

	if (IS_ERR(domain))
		mmu_notifier_put(notifier);
	return domain;
}

static void sva_domain_put(struct iommu_domain *domain)
{
	mmu_notifier_put(&domain->sva_mm->notifier);
}

static struct sva_bond *sva_bond_find(struct iommu_group *group,
				      struct device *dev, struct mm_struct *mm)
{
	struct iommu_attachment *attachment;
	ioasid_t pasid = READ_ONCE(mm->pasid);

	if (!pasid_valid(pasid))
		return NULL;

	/* Another thread may have unbound just now. */
	iommu_pasid_wait_changing(group, dev, pasid);
	if (!iommu_group_has_device(group, dev))
		return NULL;

	attachment = iommu_pasid_lookup(dev, pasid);
	if (!attachment || !attachment->sva || attachment->domain->mm != mm)
		return NULL;

	return container_of(attachment->sva, struct sva_bond, sva);
}

static struct sva_bond *sva_bond_create(struct iommu_group *group,
					struct device *dev,
					struct mm_struct *mm)
{
	struct sva_bond *bond;
	int ret;

	ret = iommu_group_may_use_pasids(group, dev);
	if (ret)
		return ERR_PTR(ret);

	if (!dev->iommu->max_pasids) {
		dev_dbg(dev, "the device or its IOMMU has no PASIDs\n");
		return ERR_PTR(-EOPNOTSUPP);
	}

	bond = kzalloc(sizeof(*bond), GFP_KERNEL);
	if (!bond)
		return ERR_PTR(-ENOMEM);

	bond->sva.domain = sva_domain_get(dev, mm);
	if (IS_ERR(bond->sva.domain)) {
		ret = PTR_ERR(bond->sva.domain);
		goto err_free;
	}

	mutex_lock(&sva_lock);
	ret = sva_get_pasid(mm, dev->iommu->max_pasids - 1);
	mutex_unlock(&sva_lock);
	if (ret)
		goto err_put;

	bond->sva.dev = dev;
	bond->group = group;
	bond->users = 1;

	ret = iommu_pasid_attach(group, bond->sva.domain, dev, mm->pasid,
				 &bond->sva);
	if (ret)
		goto err_put;

	get_device(dev);
	iommu_group_ref_get(group);
	return bond;

err_put:
	sva_domain_put(bond->sva.domain);
err_free:
	kfree(bond);
	return ERR_PTR(ret);
}

/* May the device of a bound driver use any address space at all? */
static int sva_check(struct device *dev)
{
	const char *unsafe;

	if (!dev->iommu || !dev->iommu->iommu_dev)
		return -ENODEV;

	if (!dev_iommu_ops(dev)->domain_alloc_sva) {
		dev_dbg(dev, "the IOMMU driver has no SVA\n");
		return -ENODEV;
	}

	unsafe = iommu_kernel_tables_unsafe(dev);
	if (!unsafe)
		return 0;

	dev_warn_once(dev, "SVA refused: %s\n", unsafe);
	return -EOPNOTSUPP;
}

/**
 * __iommu_sva_domain_get() - what iommu_sva_domain_get() does where it is allowed
 * @dev: the device, with an IOMMU driver that has domain_alloc_sva()
 * @mm: the address space
 *
 * Context, return value: see there.
 */
struct iommu_domain *__iommu_sva_domain_get(struct device *dev,
					    struct mm_struct *mm)
{
	const struct iommu_ops *ops = dev_iommu_ops(dev);
	struct iommu_domain *domain = ERR_PTR(-ESRCH);
	int ret;

	ret = iommu_kernel_tables_get(ops);
	if (ret)
		return ERR_PTR(ret);

	if (mmget_not_zero(mm)) {
		domain = sva_domain_get(dev, mm);
		mmput(mm);
	}
	if (IS_ERR(domain))
		iommu_kernel_tables_put(ops);

	return domain;
}

/**
 * iommu_sva_domain_get() - get the domain that has the page tables of a process
 * @dev: a device that is going to be attached to it; its driver is bound
 * @mm: the address space, which the caller has a reference to
 *
 * For drivers that choose PASIDs themselves, where iommu_sva_bind_device() takes
 * the one that stands for the process everywhere. The domain is attached,
 * replaced and detached like others, on any number of devices of the same IOMMU
 * driver. It can be kept for longer than the process lives; nothing can be
 * attached to it any more then. The features that iommu_sva_bind_device() needs
 * are needed here too.
 *
 * Context: process context, may sleep. mmap_lock of @mm not held.
 * Return:
 * * the domain, to be given back with iommu_sva_domain_put(), or ERR_PTR() of
 * * %-ENODEV - the device has no IOMMU, or one that knows nothing of SVA
 * * %-EOPNOTSUPP - the IOMMU would go on using page tables that the kernel has
 *   freed
 * * %-ESRCH - the process has exited
 * * %-EINTR - a signal is pending, and @mm is not bound to any device
 * * %-ENOMEM - no memory
 * * an errno of the IOMMU driver
 */
struct iommu_domain *iommu_sva_domain_get(struct device *dev,
					  struct mm_struct *mm)
{
	int ret = sva_check(dev);

	return ret ? ERR_PTR(ret) : __iommu_sva_domain_get(dev, mm);
}
EXPORT_SYMBOL_GPL(iommu_sva_domain_get);

/**
 * iommu_sva_domain_put() - undo one iommu_sva_domain_get()
 * @domain: what it returned; whatever was attached on behalf of that is detached
 *
 * Context: process context, may sleep.
 */
void iommu_sva_domain_put(struct iommu_domain *domain)
{
	const struct iommu_ops *ops = domain->owner;

	sva_domain_put(domain);
	iommu_kernel_tables_put(ops);
}
EXPORT_SYMBOL_GPL(iommu_sva_domain_put);

/**
 * iommu_sva_bind() - what iommu_sva_bind_device() does where it is allowed
 * @dev: the device, with an IOMMU driver that has domain_alloc_sva()
 * @mm: the address space
 *
 * Context, return value: see there.
 */
struct iommu_sva *iommu_sva_bind(struct device *dev, struct mm_struct *mm)
{
	const struct iommu_ops *ops = dev_iommu_ops(dev);
	struct iommu_group *group;
	struct sva_bond *bond;
	int ret;

	/* Keeps the mm from exiting until the device is attached. */
	if (!mmget_not_zero(mm))
		return ERR_PTR(-ESRCH);

	group = iommu_group_get(dev);
	if (!group) {
		ret = -ENODEV;
		goto err_mmput;
	}

	ret = iommu_kernel_tables_get(ops);
	if (ret)
		goto err_group;

	iommu_group_lock(group);
	bond = sva_bond_find(group, dev, mm);
	if (bond)
		bond->users++;
	else
		bond = sva_bond_create(group, dev, mm);
	iommu_group_unlock(group);
	iommu_group_put(group);

	/* If the mm has exited meanwhile this detaches its page tables. */
	mmput(mm);

	if (IS_ERR(bond)) {
		iommu_kernel_tables_put(ops);
		return ERR_CAST(bond);
	}

	return &bond->sva;

err_group:
	iommu_group_put(group);
err_mmput:
	mmput(mm);
	return ERR_PTR(ret);
}

/**
 * iommu_sva_bind_device() - let a device use the address space of a process
 * @dev: the device; its driver is bound
 * @mm: the address space, which the caller has a reference to
 *
 * Requests that carry the PASID that iommu_sva_get_pasid() returns are then
 * translated by the page tables of @mm. Binding the same @mm again returns the
 * same handle; it is unbound by as many calls of iommu_sva_unbind_device(). All
 * devices get the same PASID for one @mm.
 *
 * The features IOMMU_DEV_FEAT_IOPF and IOMMU_DEV_FEAT_SVA of the device must
 * have been enabled by iommu_dev_enable_feature(), where it has them.
 *
 * On x86 page tables share their upper half with the kernel. So it is refused
 * where the IOMMU is not told when the kernel frees a table of that half, see
 * iommu_kernel_tables_unsafe().
 *
 * Context: process context, may sleep. mmap_lock of @mm not held.
 * Return:
 * * the handle, or with nothing changed, except that @mm may have got its PASID,
 *   ERR_PTR() of
 * * %-ENODEV - the device has no IOMMU, or one that knows nothing of SVA
 * * %-EOPNOTSUPP - no PASIDs, a group of several devices, or the IOMMU would go
 *   on using page tables that the kernel has freed
 * * %-ESRCH - the process has exited
 * * %-EBUSY - the PASID of @mm is used for something else on this device, or
 *   the group has a DMA owner
 * * %-ENOSPC - no PASID is left that the device could use, or no memory for one
 * * %-EOVERFLOW - @mm has a PASID that the device cannot use
 * * %-EINTR - a signal is pending, and @mm is not bound to any device
 * * %-ENOMEM - no memory
 * * an errno of the IOMMU driver
 */
struct iommu_sva *iommu_sva_bind_device(struct device *dev,
					struct mm_struct *mm)
{
	int ret = sva_check(dev);

	return ret ? ERR_PTR(ret) : iommu_sva_bind(dev, mm);
}
EXPORT_SYMBOL_GPL(iommu_sva_bind_device);

/**
 * iommu_sva_unbind_device() - undo one iommu_sva_bind_device()
 * @handle: what it returned
 *
 * After the last one of a handle the device can no longer use the address
 * space, and all its page requests with that PASID have been answered. The
 * driver should have made the device stop before: what it still sends fails.
 *
 * The process may have exited, and the device may have been removed.
 *
 * Context: process context, may sleep. mmap_lock of the mm not held.
 */
void iommu_sva_unbind_device(struct iommu_sva *handle)
{
	struct sva_bond *bond = container_of(handle, struct sva_bond, sva);
	const struct iommu_ops *ops = handle->domain->owner;
	struct iommu_group *group = bond->group;
	struct iommu_attachment *attachment;
	bool last;

	iommu_group_lock(group);
	last = !--bond->users;
	if (last && iommu_group_has_device(group, handle->dev)) {
		/*
		 * Without the check of who attached it this could be the bond
		 * of one who came after the device had been removed, or left
		 * by its driver, and found again.
		 */
		attachment = iommu_pasid_lookup(handle->dev,
						handle->domain->mm->pasid);
		if (attachment && attachment->sva == handle)
			iommu_pasid_detach(group, attachment);
	}
	iommu_group_unlock(group);

	iommu_kernel_tables_put(ops);
	if (!last)
		return;

	/* Nobody finds the bond any more: only its attachment led to it. */
	iommu_group_put(group);
	put_device(handle->dev);
	sva_domain_put(handle->domain);
	kfree(bond);
}
EXPORT_SYMBOL_GPL(iommu_sva_unbind_device);

/**
 * iommu_sva_get_pasid() - the PASID that stands for a bound address space
 * @handle: what iommu_sva_bind_device() returned
 *
 * Context: any.
 * Return: the PASID. It is that of the process until the last unbind of @handle.
 */
u32 iommu_sva_get_pasid(struct iommu_sva *handle)
{
	return handle->domain->mm->pasid;
}
EXPORT_SYMBOL_GPL(iommu_sva_get_pasid);
