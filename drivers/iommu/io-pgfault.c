// SPDX-License-Identifier: GPL-2.0-only
/*
 * I/O page faults
 *
 * A device that finds a page missing asks for it: by page requests (PCIe PRI),
 * of which those that have the same index form a group, or by a stalled access,
 * which is a group of one. A group gets one response, no more and no less, or
 * the device hangs or loses track:
 *
 *  - the IOMMU driver reports requests in the order in which it reads them from
 *    the hardware queue. If reporting the last request of a group fails, the
 *    driver responds. If it succeeds, the response is ours;
 *  - a reported group has references to the attachment of its (device, PASID)
 *    and to the fault data of its device. Detaching, and taking the device off
 *    its queue, wait for those, and a worker drops them after it has responded.
 *    Until then whatever the response needs is there;
 *  - requests that come before the last of their group get no response. They
 *    wait in a list, without a reference to anything, and may be thrown away:
 *    the device asks again for what it still misses.
 *
 * Nothing from report to response takes the mutex of an IOMMU group: drivers
 * wait for their hardware queue to be read with that held.
 *
 * Stop markers are not for us: IOMMU drivers drop them. They promise that a
 * device has sent its last request with a PASID, and by the time the PASID is
 * detached the driver has seen that in the hardware queue.
 */
#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "io-pgfault.h"
#include "iommu-priv.h"
#include "iommu-sva.h"

/**
 * struct iopf_queue - where the groups of the devices of an IOMMU are served
 * @wq: the workers
 * @devices: fault data of the devices on this queue
 * @lock: protects @devices. Taken before the lock of struct dev_iommu.
 */
struct iopf_queue {
	struct workqueue_struct	*wq;
	struct list_head	devices;
	struct mutex		lock; /* devices */
};

/**
 * struct iopf_device_param - fault data of a device
 * @dev: the device
 * @queue: the queue it is on
 * @node: entry in the list of @queue
 * @partial: requests that wait for the last one of their group, protected by
 *	     the lock of struct dev_iommu
 * @users: one for being on @queue, one for each group until it is answered
 * @closing: being taken off @queue: groups are answered, but no longer served
 * @idle: @users dropped to zero
 */
struct iopf_device_param {
	struct device		*dev;
	struct iopf_queue	*queue;
	struct list_head	node;
	struct list_head	partial;
	refcount_t		users;
	bool			closing;
	struct completion	idle;
};

static bool iopf_has_pasid(const struct iommu_fault_page_request *prm)
{
	return prm->flags & IOMMU_FAULT_PAGE_REQUEST_PASID_VALID;
}

/* An index is unique per PASID, not per device, where responses carry both. */
static bool iopf_same_group(const struct iommu_fault_page_request *a,
			    const struct iommu_fault_page_request *b)
{
	if (iopf_has_pasid(a) != iopf_has_pasid(b) || a->grpid != b->grpid)
		return false;

	return !iopf_has_pasid(a) || a->pasid == b->pasid;
}

/* @list ends up empty, except for @last if that is part of it. */
static void iopf_free_faults(struct list_head *list,
			     struct iommu_fault_event *last)
{
	struct iommu_fault_event *evt, *next;

	list_for_each_entry_safe(evt, next, list, list) {
		if (evt == last)
			continue;
		list_del(&evt->list);
		kfree(evt);
	}
}

static void iopf_param_put(struct iopf_device_param *iopf_param)
{
	if (refcount_dec_and_test(&iopf_param->users))
		complete(&iopf_param->idle);
}

static void iopf_respond(struct iommu_attachment *attachment,
			 struct iommu_fault_event *evt,
			 enum iommu_page_response_code code)
{
	struct device *dev = attachment->dev;
	struct iommu_fault_page_request *prm = &evt->fault.prm;
	struct iommu_page_response resp = {
		.version	= IOMMU_PAGE_RESP_VERSION_1,
		.grpid		= prm->grpid,
		.code		= code,
	};
	int ret;

	if (iopf_has_pasid(prm) &&
	    prm->flags & IOMMU_FAULT_PAGE_RESPONSE_NEEDS_PASID)
		resp.flags = IOMMU_PAGE_RESP_PASID_VALID;

	/* Without the flag it is not sent, but tells the driver whose it is. */
	resp.pasid = prm->pasid;

	/* Before the device can tell anybody that it has been answered */
	iommu_attachment_count_response(attachment, code);

	ret = dev_iommu_ops(dev)->page_response(dev, evt, &resp);
	if (ret)
		dev_err_ratelimited(dev, "no response to page request group %u: %d\n",
				    prm->grpid, ret);
}

static enum iommu_page_response_code iopf_serve(struct iopf_group *group)
{
	struct iommu_attachment *attachment = group->attachment;
	enum iommu_page_response_code code = IOMMU_PAGE_RESP_INVALID;

	if (attachment->domain->iopf_handler)
		code = attachment->domain->iopf_handler(group);

	return iommu_attachment_has_left(attachment) ? IOMMU_PAGE_RESP_SUCCESS :
						       code;
}

static void iopf_handle_group(struct work_struct *work)
{
	enum iommu_page_response_code code = IOMMU_PAGE_RESP_INVALID;
	struct iopf_group *group = container_of(work, struct iopf_group, work);
	struct iommu_attachment *attachment = group->attachment;
	struct iopf_device_param *iopf_param = group->param;

	if (!READ_ONCE(attachment->closing) &&
	    !READ_ONCE(iopf_param->closing)) {
		code = iopf_serve(group);
		/* Where it is being detached a retry would find nothing. */
		if (READ_ONCE(attachment->closing))
			code = IOMMU_PAGE_RESP_INVALID;
	}

	iopf_respond(attachment, &group->last, code);

	/* The device may be gone as soon as the references are dropped. */
	iopf_free_faults(&group->faults, &group->last);
	kfree(group);
	iommu_attachment_put(attachment);
	iopf_param_put(iopf_param);
}

/*
 * Move what has been waiting for @last to @faults. The order among the requests
 * of a group does not matter.
 */
static void iopf_collect_partial(struct iopf_device_param *iopf_param,
				 struct iommu_fault_page_request *last,
				 struct list_head *faults)
{
	struct iommu_fault_event *evt, *next;

	lockdep_assert_held(&iopf_param->dev->iommu->lock);

	list_for_each_entry_safe(evt, next, &iopf_param->partial, list) {
		if (iopf_same_group(&evt->fault.prm, last))
			list_move_tail(&evt->list, faults);
	}
}

static int iopf_report_partial(struct device *dev,
			       struct iommu_fault_event *evt)
{
	struct dev_iommu *param = dev->iommu;
	struct iommu_fault_event *copy;
	int ret = 0;

	/*
	 * There is nobody to tell about a lack of memory. The group will be
	 * answered without this page, and the device asks for it again.
	 */
	copy = kmemdup(evt, sizeof(*evt), GFP_KERNEL);
	if (!copy)
		return 0;

	mutex_lock(&param->lock);
	if (param->iopf_param)
		list_add_tail(&copy->list, &param->iopf_param->partial);
	else
		ret = -ENODEV;
	mutex_unlock(&param->lock);

	if (ret)
		kfree(copy);
	return ret;
}

static int iopf_report_last(struct device *dev, struct iommu_fault_event *evt,
			    struct iommu_attachment *attachment)
{
	struct iommu_fault_page_request *prm = &evt->fault.prm;
	struct iopf_device_param *iopf_param;
	struct dev_iommu *param = dev->iommu;
	struct iopf_group *group;
	LIST_HEAD(faults);
	bool stays;

	group = kzalloc(sizeof(*group), GFP_KERNEL);

	mutex_lock(&param->lock);
	iopf_param = param->iopf_param;
	if (iopf_param) {
		refcount_inc(&iopf_param->users);
		iopf_collect_partial(iopf_param, prm, &faults);
	}
	mutex_unlock(&param->lock);

	if (!iopf_param) {
		kfree(group);
		return -ENODEV;
	}

	/*
	 * Answered here and now: what is being detached, so that it goes away
	 * without a noise and without a detour, and what nobody serves, or
	 * there is no memory for.
	 */
	stays = READ_ONCE(attachment->fate) == IOMMU_ATTACHMENT_STAYS;
	if (!group || READ_ONCE(attachment->closing) ||
	    (stays && !attachment->domain->iopf_handler)) {
		kfree(group);
		iopf_free_faults(&faults, NULL);
		iopf_respond(attachment, evt,
			     stays ? IOMMU_PAGE_RESP_INVALID :
				     IOMMU_PAGE_RESP_SUCCESS);
		iommu_attachment_put(attachment);
		iopf_param_put(iopf_param);
		return 0;
	}

	group->dev = dev;
	group->attachment = attachment;
	group->param = iopf_param;
	group->last.fault = evt->fault;
	INIT_LIST_HEAD(&group->faults);
	list_splice(&faults, &group->faults);
	list_add_tail(&group->last.list, &group->faults);
	INIT_WORK(&group->work, iopf_handle_group);

	queue_work(iopf_param->queue->wq, &group->work);
	return 0;
}

/**
 * iommu_report_device_fault() - hand a fault of a device to who can handle it
 * @dev: the device, which must not be released while this runs
 * @evt: the fault; copied
 *
 * Called by IOMMU drivers, typically from the thread of an interrupt. Requests
 * of one device are reported in order and one at a time.
 *
 * Page requests go to the domain that is attached to the PASID they carry. If
 * the request is the last one of its group, 0 means that the group is going to
 * be answered by exactly one call of the driver's page_response(), which may
 * come before this returns. After an error the driver has to respond itself.
 * Requests that are not the last one get no response in either case.
 *
 * Context: process context, may sleep. No lock may be held that page_response()
 * of the driver takes. The mutex of the device's group may be held, since
 * detach_dev_pasid() may report what the hardware queue still has.
 * Return:
 * * 0, or
 * * %-EOPNOTSUPP - the fault is not a page request
 * * %-EINVAL - nothing is attached to the PASID, the request has none, or the
 *   device has no IOMMU
 * * %-ENODEV - the device is on no fault queue
 */
int iommu_report_device_fault(struct device *dev, struct iommu_fault_event *evt)
{
	struct iommu_fault_page_request *prm = &evt->fault.prm;
	struct iommu_attachment *attachment;
	int ret;

	if (evt->fault.type != IOMMU_FAULT_PAGE_REQ)
		return -EOPNOTSUPP;

	if (!iopf_has_pasid(prm) || !dev->iommu)
		return -EINVAL;

	attachment = iommu_attachment_get(dev, prm->pasid);
	if (!attachment)
		return -EINVAL;

	if (prm->flags & IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE) {
		ret = iopf_report_last(dev, evt, attachment);
		if (!ret)
			return 0;
	} else {
		ret = iopf_report_partial(dev, evt);
	}

	iommu_attachment_put(attachment);
	return ret;
}
EXPORT_SYMBOL_GPL(iommu_report_device_fault);

static bool iopf_handle_page(struct iommu_fault_page_request *prm,
			     struct mm_struct *mm)
{
	unsigned int fault_flags = FAULT_FLAG_REMOTE;
	unsigned int access_flags = 0;
	struct vm_area_struct *vma;

	vma = vma_lookup(mm, prm->addr);
	if (!vma)
		return false;

	if (prm->perm & IOMMU_FAULT_PERM_READ)
		access_flags |= VM_READ;

	if (prm->perm & IOMMU_FAULT_PERM_WRITE) {
		access_flags |= VM_WRITE;
		fault_flags |= FAULT_FLAG_WRITE;
	}

	if (prm->perm & IOMMU_FAULT_PERM_EXEC) {
		access_flags |= VM_EXEC;
		fault_flags |= FAULT_FLAG_INSTRUCTION;
	}

	if (!(prm->perm & IOMMU_FAULT_PERM_PRIV))
		fault_flags |= FAULT_FLAG_USER;

	if (access_flags & ~vma->vm_flags)
		return false;

	return !(handle_mm_fault(vma, prm->addr, fault_flags, NULL) &
		 VM_FAULT_ERROR);
}

/* The first page that cannot be had ends it: there is only one response. */
static bool iopf_handle_pages(struct iopf_group *group, struct mm_struct *mm)
{
	struct iommu_fault_event *evt;
	bool served = true;

	mmap_read_lock(mm);
	list_for_each_entry(evt, &group->faults, list) {
		served = iopf_handle_page(&evt->fault.prm, mm);
		if (!served)
			break;
	}
	mmap_read_unlock(mm);

	return served;
}

/*
 * Served write requests are invalidated because the CPU's own TLB maintenance
 * need not reach the IOMMU: making a page writable is no reason to notify, and
 * a device that goes on using the read-only translation would fault for ever.
 */
static void iopf_invalidate_written(struct iopf_group *group,
				    struct iommu_domain *domain)
{
	unsigned long page, start = 0, end = 0;
	struct iommu_fault_event *evt;

	list_for_each_entry(evt, &group->faults, list) {
		if (!(evt->fault.prm.perm & IOMMU_FAULT_PERM_WRITE))
			continue;

		page = evt->fault.prm.addr & PAGE_MASK;
		if (start != end && page == end) {
			end += PAGE_SIZE;
			continue;
		}

		if (start != end)
			domain->ops->invalidate_range(domain, start, end);
		start = page;
		end = page + PAGE_SIZE;
	}

	if (start != end)
		domain->ops->invalidate_range(domain, start, end);
}

/**
 * iommu_sva_handle_iopf() - the iopf_handler() of SVA domains
 * @group: the requests, which are served from the address space of a process
 *
 * Context: process context, may sleep, takes the mmap lock of the mm once.
 * Return: the response to give.
 */
enum iommu_page_response_code iommu_sva_handle_iopf(struct iopf_group *group)
{
	struct iommu_domain *domain = group->attachment->domain;
	struct mm_struct *mm = domain->mm;
	bool served;

	/* The mm has exited, or is about to. */
	if (!mmget_not_zero(mm))
		return IOMMU_PAGE_RESP_INVALID;

	served = iopf_handle_pages(group, mm);
	iopf_invalidate_written(group, domain);

	/* If this is the last user, do not let the device wait for the exit. */
	mmput_async(mm);

	return served ? IOMMU_PAGE_RESP_SUCCESS : IOMMU_PAGE_RESP_INVALID;
}

/**
 * iopf_queue_discard_partial() - forget all groups that are not complete
 * @queue: a queue whose hardware counterpart has overflowed
 *
 * The last requests of groups may have been lost, and what came before them
 * would wait for ever.
 *
 * Context: process context, may sleep. Not called from within a report.
 * Return: 0, or %-EINVAL without a queue.
 */
int iopf_queue_discard_partial(struct iopf_queue *queue)
{
	struct iopf_device_param *iopf_param;
	struct dev_iommu *param;

	if (!queue)
		return -EINVAL;

	mutex_lock(&queue->lock);
	list_for_each_entry(iopf_param, &queue->devices, node) {
		param = iopf_param->dev->iommu;
		mutex_lock(&param->lock);
		iopf_free_faults(&iopf_param->partial, NULL);
		mutex_unlock(&param->lock);
	}
	mutex_unlock(&queue->lock);

	return 0;
}
EXPORT_SYMBOL_GPL(iopf_queue_discard_partial);

/**
 * iopf_discard_partial() - forget the incomplete groups of one PASID
 * @dev: the device
 * @pasid: a PASID of which no request will be reported any more
 *
 * Context: process context, may sleep.
 */
void iopf_discard_partial(struct device *dev, ioasid_t pasid)
{
	struct dev_iommu *param = dev->iommu;
	struct iommu_fault_event *evt, *next;

	mutex_lock(&param->lock);
	if (param->iopf_param) {
		list_for_each_entry_safe(evt, next, &param->iopf_param->partial,
					 list) {
			if (evt->fault.prm.pasid != pasid)
				continue;
			list_del(&evt->list);
			kfree(evt);
		}
	}
	mutex_unlock(&param->lock);
}

/**
 * iopf_queue_add_device() - let faults of a device be handled
 * @queue: where to
 * @dev: the device, whose IOMMU driver has page_response()
 *
 * Context: process context, may sleep.
 * Return:
 * * 0, or
 * * %-ENODEV - the device has no IOMMU
 * * %-EOPNOTSUPP - its IOMMU driver cannot respond
 * * %-EBUSY - the device is on a queue already
 * * %-ENOMEM - no memory
 */
int iopf_queue_add_device(struct iopf_queue *queue, struct device *dev)
{
	struct iopf_device_param *iopf_param;
	struct dev_iommu *param = dev->iommu;
	int ret = -EBUSY;

	if (!param)
		return -ENODEV;

	if (!dev_iommu_ops(dev)->page_response)
		return -EOPNOTSUPP;

	iopf_param = kzalloc(sizeof(*iopf_param), GFP_KERNEL);
	if (!iopf_param)
		return -ENOMEM;

	iopf_param->dev = dev;
	iopf_param->queue = queue;
	INIT_LIST_HEAD(&iopf_param->partial);
	refcount_set(&iopf_param->users, 1);
	init_completion(&iopf_param->idle);

	mutex_lock(&queue->lock);
	mutex_lock(&param->lock);
	if (!param->iopf_param) {
		list_add(&iopf_param->node, &queue->devices);
		param->iopf_param = iopf_param;
		ret = 0;
	}
	mutex_unlock(&param->lock);
	mutex_unlock(&queue->lock);

	if (ret)
		kfree(iopf_param);

	return ret;
}
EXPORT_SYMBOL_GPL(iopf_queue_add_device);

/**
 * iopf_queue_remove_device() - no longer let faults of a device be handled
 * @queue: the queue it is on
 * @dev: the device
 *
 * On return every group that was reported has had its response, and reporting
 * another one fails.
 *
 * Context: process context, may sleep. No lock may be held that a fault handler
 * or page_response() takes.
 * Return: 0, or %-EINVAL if the device is not on @queue.
 */
int iopf_queue_remove_device(struct iopf_queue *queue, struct device *dev)
{
	struct iopf_device_param *iopf_param;
	struct dev_iommu *param = dev->iommu;

	if (!param || !queue)
		return -EINVAL;

	mutex_lock(&queue->lock);
	mutex_lock(&param->lock);
	iopf_param = param->iopf_param;
	if (iopf_param && iopf_param->queue == queue) {
		list_del(&iopf_param->node);
		param->iopf_param = NULL;
	} else {
		iopf_param = NULL;
	}
	mutex_unlock(&param->lock);
	mutex_unlock(&queue->lock);

	if (!iopf_param)
		return -EINVAL;

	/* A hint, as in iommu_pasid_detach() */
	WRITE_ONCE(iopf_param->closing, true);
	iopf_param_put(iopf_param);
	wait_for_completion(&iopf_param->idle);

	iopf_free_faults(&iopf_param->partial, NULL);
	kfree(iopf_param);

	return 0;
}
EXPORT_SYMBOL_GPL(iopf_queue_remove_device);

/**
 * iopf_release_device() - take a device off whichever queue it is on
 * @dev: a device that is being removed
 *
 * Context: as iopf_queue_remove_device().
 */
void iopf_release_device(struct device *dev)
{
	struct dev_iommu *param = dev->iommu;
	struct iopf_queue *queue = NULL;

	mutex_lock(&param->lock);
	if (param->iopf_param)
		queue = param->iopf_param->queue;
	mutex_unlock(&param->lock);

	if (queue)
		iopf_queue_remove_device(queue, dev);
}

/**
 * iopf_queue_alloc() - allocate a fault queue
 * @name: unique, names the workers
 *
 * Context: process context, may sleep.
 * Return: the queue, or NULL without memory.
 */
struct iopf_queue *iopf_queue_alloc(const char *name)
{
	struct iopf_queue *queue;

	queue = kzalloc(sizeof(*queue), GFP_KERNEL);
	if (!queue)
		return NULL;

	/*
	 * Groups are independent of each other: one that waits for a disk does
	 * not hold up the others.
	 */
	queue->wq = alloc_workqueue("iopf_queue/%s", WQ_UNBOUND, 0, name);
	if (!queue->wq) {
		kfree(queue);
		return NULL;
	}

	INIT_LIST_HEAD(&queue->devices);
	mutex_init(&queue->lock);

	return queue;
}
EXPORT_SYMBOL_GPL(iopf_queue_alloc);

/**
 * iopf_queue_free() - free a fault queue
 * @queue: the queue, or NULL. The driver must not report faults of its devices,
 *	   or add and remove devices, any more.
 *
 * Groups that are outstanding are answered first.
 *
 * Context: process context, may sleep.
 */
void iopf_queue_free(struct iopf_queue *queue)
{
	struct iopf_device_param *iopf_param, *next;

	if (!queue)
		return;

	list_for_each_entry_safe(iopf_param, next, &queue->devices, node)
		iopf_queue_remove_device(queue, iopf_param->dev);

	destroy_workqueue(queue->wq);
	kfree(queue);
}
EXPORT_SYMBOL_GPL(iopf_queue_free);
