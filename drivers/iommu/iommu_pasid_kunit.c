// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of PASID attachments, SVA and page requests, on a mock IOMMU
 *
 * The mock has a bus of its own, so the tests run beside whatever IOMMU the
 * machine has. Its PASID table is an array, and its hardware is the test, which
 * reports page requests and records the responses.
 */
#include <kunit/fail-alloc.h>
#include <kunit/test.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/iommu-kernel-tables.h>
#include <linux/kmsg_dump.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/property.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "io-pgfault.h"
#include "iommu-priv.h"
#include "iommu-sva.h"

#define MOCK_PASID_BITS		12
#define MOCK_PASIDS		BIT(MOCK_PASID_BITS)
#define MOCK_GROUPS		64	/* Indices of page request groups */
#define MOCK_DEVS		3
#define MOCK_TIMEOUT		(10 * HZ)
/* A race ends after its rounds or, in a slow kernel, after some time. */
#define MOCK_RACE_TIME		(30 * HZ)
/* With fewer, nothing need have met anything. */
#define MOCK_RACE_MIN		100

/* Long enough for what must not happen to happen, were it possible. */
#define MOCK_WHILE_MS		30

/**
 * struct mock - the IOMMU, one per test
 * @iommu: the instance
 * @queue: page requests of the devices
 * @group: if set, what new devices become members of
 * @domains: how many domains are allocated
 * @fail_domain_alloc: errno for the next domain_alloc_sva()
 * @fail_attach: errno for the next attach_dev_pasid()
 * @devices: how many devices exist
 * @forgets: number of times invalidate_kernel_tables() was called
 */
struct mock {
	struct iommu_device	iommu;
	struct iopf_queue	*queue;
	struct iommu_group	*group;
	atomic_t		domains;
	int			fail_domain_alloc;
	int			fail_attach;
	atomic_t		devices;
	atomic_t		forgets;
};

/**
 * struct mock_dev - a device
 * @dev: the device
 * @mock: its IOMMU
 * @rid: the domain for requests without PASID
 * @fail_rid: errno for the next attach_dev()
 * @fail_rid_times: for how many of them, if more than one
 * @defers: without @rid, attach_dev() has been put off
 * @table: the PASID table
 * @responses: number of responses per page request group
 * @codes: last response per page request group
 * @answered: woken by every response
 * @attaches: number of times attach_dev_pasid() was called
 * @detaches: number of times detach_dev_pasid() was called
 * @released: the IOMMU driver has released it
 * @misused: the core has broken its promises to the driver
 * @on_detach: called by detach_dev_pasid(), as if by the event queue
 * @on_attach: called by attach_dev_pasid(), as if on another CPU
 * @on_show: called by show_pasid_entry()
 * @addr: an address for @on_attach
 */
struct mock_dev {
	struct device		dev;
	struct mock		*mock;
	struct iommu_domain	*rid;
	int			fail_rid;
	unsigned int		fail_rid_times;
	bool			defers;
	struct iommu_domain	*table[MOCK_PASIDS];
	atomic_t		responses[MOCK_GROUPS];
	int			codes[MOCK_GROUPS];
	wait_queue_head_t	answered;
	unsigned int		attaches;
	unsigned int		detaches;
	bool			released;
	bool			misused;
	void			(*on_detach)(struct mock_dev *mdev, u32 pasid);
	void			(*on_attach)(struct mock_dev *mdev,
					     struct iommu_domain *domain);
	void			(*on_show)(struct mock_dev *mdev);
	unsigned long		addr;
};

/**
 * struct mock_domain - a domain
 * @domain: the domain
 * @mock: its IOMMU
 * @invalidations: number of times invalidate_range() was called
 * @start: start of the last range that was invalidated
 * @end: end of the last range that was invalidated
 * @quiesced: number of times quiesce() was called
 * @answered_before: responses that had been given for page request group 0 of
 *		     @watch when invalidate_range() was called last
 * @watch: see @answered_before
 */
struct mock_domain {
	struct iommu_domain	domain;
	struct mock		*mock;
	atomic_t		invalidations;
	unsigned long		start, end;
	unsigned int		quiesced;
	int			answered_before;
	struct mock_dev		*watch;
};

/* What an iopf_handler() of the tests finds in fault_data */
struct mock_handler {
	struct completion	begun;
	struct completion	go;
	atomic_t		calls;
	int			requests;
	bool			parks;
	enum iommu_page_response_code code;
};

static struct mock *mock_current;

static struct mock_dev *to_mock_dev(struct device *dev)
{
	return container_of(dev, struct mock_dev, dev);
}

static struct mock_domain *to_mock_domain(struct iommu_domain *domain)
{
	return container_of(domain, struct mock_domain, domain);
}

static bool mock_is_attach_deferred(struct device *dev)
{
	struct mock_dev *mdev = to_mock_dev(dev);

	return mdev->defers && !mdev->rid;
}

static int mock_attach_dev(struct iommu_domain *domain, struct device *dev)
{
	struct mock_dev *mdev = to_mock_dev(dev);
	int ret = mdev->fail_rid;

	if (mdev->fail_rid_times > 1)
		mdev->fail_rid_times--;
	else
		mdev->fail_rid = 0;
	if (!ret)
		mdev->rid = domain;
	return ret;
}

static int mock_attach_dev_pasid(struct iommu_domain *domain,
				 struct device *dev, ioasid_t pasid,
				 struct iommu_domain *old)
{
	struct mock_dev *mdev = to_mock_dev(dev);
	int ret = mdev->mock->fail_attach;

	if (mdev->table[pasid] != old || domain == old || mdev->released)
		mdev->misused = true;

	mdev->attaches++;
	mdev->mock->fail_attach = 0;
	if (!ret)
		mdev->table[pasid] = domain;
	if (mdev->on_attach)
		mdev->on_attach(mdev, domain);
	return ret;
}

static void mock_detach_dev_pasid(struct iommu_domain *domain,
				  struct device *dev, ioasid_t pasid)
{
	struct mock_dev *mdev = to_mock_dev(dev);

	if (mdev->table[pasid] != domain || mdev->released)
		mdev->misused = true;

	mdev->table[pasid] = NULL;
	mdev->detaches++;
	if (mdev->on_detach)
		mdev->on_detach(mdev, pasid);
}

static void mock_invalidate_range(struct iommu_domain *domain,
				  unsigned long start, unsigned long end)
{
	struct mock_domain *mdom = to_mock_domain(domain);

	iommu_count_invalidation(domain);
	mdom->start = start;
	mdom->end = end;
	if (mdom->watch)
		mdom->answered_before =
			atomic_read(&mdom->watch->responses[0]);
	atomic_inc(&mdom->invalidations);
}

static void mock_quiesce(struct iommu_domain *domain)
{
	to_mock_domain(domain)->quiesced++;
}

static void mock_domain_free(struct iommu_domain *domain)
{
	struct mock_domain *mdom = to_mock_domain(domain);

	atomic_dec(&mdom->mock->domains);
	kfree(mdom);
}

static const struct iommu_domain_ops mock_domain_ops = {
	.attach_dev		= mock_attach_dev,
	.attach_dev_pasid	= mock_attach_dev_pasid,
	.detach_dev_pasid	= mock_detach_dev_pasid,
	.free			= mock_domain_free,
};

/* Of a domain that cannot be attached to a PASID */
static const struct iommu_domain_ops mock_rid_domain_ops = {
	.attach_dev		= mock_attach_dev,
	.free			= mock_domain_free,
};

static const struct iommu_domain_ops mock_sva_domain_ops = {
	.attach_dev_pasid	= mock_attach_dev_pasid,
	.detach_dev_pasid	= mock_detach_dev_pasid,
	.invalidate_range	= mock_invalidate_range,
	.quiesce		= mock_quiesce,
	.free			= mock_domain_free,
};

static struct iommu_domain *mock_domain_alloc(unsigned int type)
{
	struct mock_domain *mdom = kzalloc(sizeof(*mdom), GFP_KERNEL);

	if (!mdom)
		return NULL;

	mdom->mock = mock_current;
	atomic_inc(&mdom->mock->domains);
	return &mdom->domain;
}

static struct iommu_domain *mock_domain_alloc_sva(struct device *dev,
						  struct mm_struct *mm)
{
	struct mock *mock = to_mock_dev(dev)->mock;
	struct iommu_domain *domain;
	int ret = mock->fail_domain_alloc;

	mock->fail_domain_alloc = 0;
	if (ret)
		return ERR_PTR(ret);

	domain = mock_domain_alloc(IOMMU_DOMAIN_SVA);
	if (!domain)
		return ERR_PTR(-ENOMEM);

	domain->ops = &mock_sva_domain_ops;
	return domain;
}

static struct iommu_device *mock_probe_device(struct device *dev)
{
	to_mock_dev(dev)->released = false;
	return &to_mock_dev(dev)->mock->iommu;
}

static void mock_release_device(struct device *dev)
{
	struct mock_dev *mdev = to_mock_dev(dev);
	unsigned int pasid;

	for (pasid = 0; pasid < MOCK_PASIDS; pasid++) {
		if (mdev->table[pasid])
			mdev->misused = true;
	}
	mdev->released = true;
}

static struct iommu_group *mock_device_group(struct device *dev)
{
	struct mock *mock = to_mock_dev(dev)->mock;

	if (mock->group)
		return iommu_group_ref_get(mock->group);
	return generic_device_group(dev);
}

static int mock_def_domain_type(struct device *dev)
{
	return IOMMU_DOMAIN_IDENTITY;
}

static int mock_page_response(struct device *dev, struct iommu_fault_event *evt,
			      struct iommu_page_response *msg)
{
	struct mock_dev *mdev = to_mock_dev(dev);

	if (mdev->released || msg->grpid != evt->fault.prm.grpid)
		mdev->misused = true;

	mdev->codes[msg->grpid] = msg->code;
	atomic_inc(&mdev->responses[msg->grpid]);
	wake_up(&mdev->answered);
	return 0;
}

#ifdef CONFIG_IOMMU_DEBUGFS
static ioasid_t mock_next_pasid_entry(struct device *dev, ioasid_t pasid)
{
	for (; pasid < MOCK_PASIDS; pasid++)
		if (to_mock_dev(dev)->table[pasid])
			return pasid;
	return IOMMU_PASID_INVALID;
}

static void mock_show_pasid_entry(struct seq_file *m, struct device *dev,
				  ioasid_t pasid)
{
	if (to_mock_dev(dev)->on_show)
		to_mock_dev(dev)->on_show(to_mock_dev(dev));
	seq_printf(m, "\tentry: %u\n", pasid);
}
#endif

static void mock_invalidate_kernel_tables(void)
{
	atomic_inc(&mock_current->forgets);
}

static int mock_pasid_supported(struct device *dev, unsigned int type)
{
	if (!to_mock_dev(dev)->rid)
		return -ENOTCONN;
	return type == IOMMU_DOMAIN_IDENTITY ? -ENXIO : 0;
}

static const struct iommu_ops mock_ops = {
	.domain_alloc		= mock_domain_alloc,
	.domain_alloc_sva	= mock_domain_alloc_sva,
	.probe_device		= mock_probe_device,
	.release_device		= mock_release_device,
	.device_group		= mock_device_group,
	.is_attach_deferred	= mock_is_attach_deferred,
	.def_domain_type	= mock_def_domain_type,
	.pasid_supported	= mock_pasid_supported,
	.invalidate_kernel_tables = mock_invalidate_kernel_tables,
	.page_response		= mock_page_response,
#ifdef CONFIG_IOMMU_DEBUGFS
	.next_pasid_entry	= mock_next_pasid_entry,
	.show_pasid_entry	= mock_show_pasid_entry,
#endif
	.default_domain_ops	= &mock_domain_ops,
	.pgsize_bitmap		= PAGE_SIZE,
};

static struct bus_type mock_bus = {
	.name		= "iommu-pasid-mock",
	.iommu_ops	= &mock_ops,
};

static void mock_dev_free(struct device *dev)
{
	struct mock_dev *mdev = to_mock_dev(dev);

	atomic_dec(&mdev->mock->devices);
	kfree(mdev);
}

static struct mock_dev *mock_dev_create(struct kunit *test, u32 pasid_bits)
{
	struct property_entry props[] = {
		PROPERTY_ENTRY_U32("pasid-num-bits", pasid_bits),
		{ }
	};
	struct mock *mock = test->priv;
	struct mock_dev *mdev;

	mdev = kzalloc(sizeof(*mdev), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mdev);

	mdev->mock = mock;
	init_waitqueue_head(&mdev->answered);
	device_initialize(&mdev->dev);
	mdev->dev.bus = &mock_bus;
	mdev->dev.release = mock_dev_free;
	KUNIT_ASSERT_EQ(test, 0, dev_set_name(&mdev->dev, "mock%d",
					      atomic_inc_return(&mock->devices)));
	if (pasid_bits)
		KUNIT_ASSERT_EQ(test, 0,
				device_create_managed_software_node(&mdev->dev,
								    props,
								    NULL));
	KUNIT_ASSERT_EQ(test, 0, device_add(&mdev->dev));
	KUNIT_ASSERT_EQ(test, 0, iommu_probe_device(&mdev->dev));
	KUNIT_ASSERT_EQ(test, 0, iopf_queue_add_device(mock->queue,
						       &mdev->dev));
	return mdev;
}

/* Remove a device in the way that a bus does it. */
static void mock_dev_remove(struct mock_dev *mdev)
{
	iommu_release_device(&mdev->dev);
	device_del(&mdev->dev);
}

/* With all devices answered and gone, nothing can come late. */
static void mock_dev_destroy(struct kunit *test, struct mock_dev *mdev)
{
	mock_dev_remove(mdev);
	KUNIT_EXPECT_FALSE(test, mdev->misused);
	put_device(&mdev->dev);
}

static struct iommu_domain *mock_paging_domain(struct kunit *test)
{
	struct iommu_domain *domain = iommu_domain_alloc(&mock_bus);

	KUNIT_ASSERT_NOT_NULL(test, domain);
	return domain;
}

static enum iommu_page_response_code mock_handle(struct iopf_group *group)
{
	struct mock_handler *handler = group->attachment->domain->fault_data;
	struct iommu_fault_event *evt;

	atomic_inc(&handler->calls);
	handler->requests = 0;
	list_for_each_entry(evt, &group->faults, list)
		handler->requests++;

	complete(&handler->begun);
	if (handler->parks)
		wait_for_completion(&handler->go);
	return handler->code;
}

static void mock_set_handler(struct iommu_domain *domain,
			     struct mock_handler *handler)
{
	memset(handler, 0, sizeof(*handler));
	init_completion(&handler->begun);
	init_completion(&handler->go);
	handler->code = IOMMU_PAGE_RESP_SUCCESS;
	domain->fault_data = handler;
	domain->iopf_handler = mock_handle;
}

static int mock_report(struct mock_dev *mdev, u32 pasid, u32 grpid,
		       unsigned long addr, u32 perm, bool last)
{
	struct iommu_fault_event evt = {
		.fault.type	= IOMMU_FAULT_PAGE_REQ,
		.fault.prm	= {
			.flags	= IOMMU_FAULT_PAGE_REQUEST_PASID_VALID,
			.pasid	= pasid,
			.grpid	= grpid,
			.perm	= perm,
			.addr	= addr,
		},
	};

	if (last)
		evt.fault.prm.flags |= IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE;

	return iommu_report_device_fault(&mdev->dev, &evt);
}

static int mock_report_one(struct mock_dev *mdev, u32 pasid, u32 grpid)
{
	return mock_report(mdev, pasid, grpid, 0, IOMMU_FAULT_PERM_READ, true);
}

static bool mock_wait_response(struct mock_dev *mdev, u32 grpid)
{
	return wait_event_timeout(mdev->answered,
				  atomic_read(&mdev->responses[grpid]),
				  MOCK_TIMEOUT);
}

/* One response has come, @code, and there is not a second one on its way. */
static void mock_expect_response(struct kunit *test, struct mock_dev *mdev,
				 u32 grpid, int code)
{
	struct mock *mock = test->priv;

	KUNIT_EXPECT_TRUE(test, mock_wait_response(mdev, grpid));
	iopf_queue_remove_device(mock->queue, &mdev->dev);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mdev->responses[grpid]));
	KUNIT_EXPECT_EQ(test, code, mdev->codes[grpid]);
	KUNIT_EXPECT_EQ(test, 0, iopf_queue_add_device(mock->queue,
						       &mdev->dev));
}

/* An address space that can be mapped into from a kernel thread */
static struct mm_struct *mock_mm_alloc(struct kunit *test)
{
	struct rlimit stack = { .rlim_cur = SZ_8M, .rlim_max = SZ_8M };
	struct mm_struct *mm = mm_alloc();

	KUNIT_ASSERT_NOT_NULL(test, mm);
	mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(mm, &stack);
	return mm;
}

static unsigned long mock_mmap(struct mm_struct *mm, size_t size, int prot)
{
	unsigned long addr;

	kthread_use_mm(mm);
	addr = vm_mmap(NULL, 0, size, prot, MAP_ANONYMOUS | MAP_PRIVATE, 0);
	kthread_unuse_mm(mm);
	return addr;
}

static int mock_munmap(struct mm_struct *mm, unsigned long addr, size_t size)
{
	int ret;

	kthread_use_mm(mm);
	ret = vm_munmap(addr, size);
	kthread_unuse_mm(mm);
	return ret;
}

/* Something that waits, done by somebody else so that the test can watch */
struct mock_task {
	struct work_struct	work;
	struct completion	done;
	struct iommu_domain	*domain;
	struct iommu_domain	*new;
	struct iommu_domain	*attach;
	int			ret;
	struct mock_dev		*mdev;
	u32			pasid;
	struct iommu_sva	*handle;
	struct mock		*mock;
	struct mm_struct	*mm;
};

static void mock_task_do(struct work_struct *work)
{
	struct mock_task *task = container_of(work, struct mock_task, work);

	if (task->mm)
		task->handle = iommu_sva_bind(&task->mdev->dev, task->mm);
	else if (task->handle)
		iommu_sva_unbind_device(task->handle);
	else if (task->attach)
		task->ret = iommu_attach_device_pasid(task->attach,
						      &task->mdev->dev,
						      task->pasid);
	else if (task->new)
		task->ret = iommu_replace_device_pasid(task->new,
						       &task->mdev->dev,
						       task->pasid);
	else if (task->domain)
		iommu_detach_device_pasid(task->domain, &task->mdev->dev,
					  task->pasid);
	else if (task->mock)
		iopf_queue_remove_device(task->mock->queue, &task->mdev->dev);
	else
		mock_dev_remove(task->mdev);
	complete_all(&task->done);
}

static void mock_task_start(struct mock_task *task)
{
	init_completion(&task->done);
	INIT_WORK_ONSTACK(&task->work, mock_task_do);
	queue_work(system_unbound_wq, &task->work);
}

static bool mock_task_waits(struct mock_task *task)
{
	return !wait_for_completion_timeout(&task->done,
					    msecs_to_jiffies(MOCK_WHILE_MS));
}

/* From then on nothing is served */
static bool mock_detach_begun(struct mock_dev *mdev)
{
	unsigned long end = jiffies + MOCK_TIMEOUT;

	while (!READ_ONCE(mdev->detaches) && time_before(jiffies, end))
		msleep(20);
	return READ_ONCE(mdev->detaches);
}

static void mock_task_flush(struct mock_task *task)
{
	flush_work(&task->work);
	destroy_work_on_stack(&task->work);
}

static bool mock_task_finish(struct mock_task *task)
{
	bool done = wait_for_completion_timeout(&task->done, MOCK_TIMEOUT);

	mock_task_flush(task);
	return done;
}

static void max_pasids_test(struct kunit *test)
{
	struct mock *mock = test->priv;
	struct mock_dev *all, *few, *none, *one;

	all = mock_dev_create(test, 20);
	KUNIT_EXPECT_EQ(test, (u32)MOCK_PASIDS, all->dev.iommu->max_pasids);
	few = mock_dev_create(test, 3);
	KUNIT_EXPECT_EQ(test, 8U, few->dev.iommu->max_pasids);
	none = mock_dev_create(test, 0);
	KUNIT_EXPECT_EQ(test, 0U, none->dev.iommu->max_pasids);

	/* Nothing but PASID 0, which cannot be attached */
	mock->iommu.max_pasids = 1;
	one = mock_dev_create(test, 3);
	KUNIT_EXPECT_EQ(test, 0U, one->dev.iommu->max_pasids);

	mock_dev_destroy(test, one);
	mock_dev_destroy(test, none);
	mock_dev_destroy(test, few);
	mock_dev_destroy(test, all);
}

static void attach_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct device *dev = &mdev->dev;
	u32 top = MOCK_PASIDS - 1;

	KUNIT_EXPECT_NULL(test, iommu_get_domain_for_dev_pasid(dev, 5, 0));
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, dev, 5));
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, dev, top));
	KUNIT_EXPECT_PTR_EQ(test, domain, mdev->table[5]);
	KUNIT_EXPECT_PTR_EQ(test, domain, mdev->table[top]);
	KUNIT_EXPECT_PTR_EQ(test, domain,
			    iommu_get_domain_for_dev_pasid(dev, 5, 0));
	KUNIT_EXPECT_PTR_EQ(test, domain,
			    iommu_get_domain_for_dev_pasid(dev, 5,
							   IOMMU_DOMAIN_UNMANAGED));
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-EBUSY),
			    iommu_get_domain_for_dev_pasid(dev, 5,
							   IOMMU_DOMAIN_SVA));

	iommu_detach_device_pasid(domain, dev, 5);
	KUNIT_EXPECT_NULL(test, mdev->table[5]);
	KUNIT_EXPECT_NULL(test, iommu_get_domain_for_dev_pasid(dev, 5, 0));
	KUNIT_EXPECT_PTR_EQ(test, domain,
			    iommu_get_domain_for_dev_pasid(dev, top, 0));

	/* What is not attached is left alone. */
	iommu_detach_device_pasid(domain, dev, 5);
	KUNIT_EXPECT_EQ(test, 1U, mdev->detaches);

	iommu_detach_device_pasid(domain, dev, top);
	KUNIT_EXPECT_EQ(test, 2U, mdev->detaches);
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

static void refusal_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct mock_dev *none = mock_dev_create(test, 0);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct iommu_domain *rid = mock_paging_domain(test);
	struct iommu_domain *foreign = mock_paging_domain(test);
	static const struct iommu_ops foreign_ops = { };
	struct device *dev = &mdev->dev;

	rid->ops = &mock_rid_domain_ops;
	foreign->owner = &foreign_ops;

	KUNIT_EXPECT_EQ(test, -EINVAL,
			iommu_attach_device_pasid(domain, dev, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			iommu_attach_device_pasid(domain, dev, 8));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			iommu_attach_device_pasid(domain, dev,
						  IOMMU_PASID_INVALID));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			iommu_attach_device_pasid(foreign, dev, 1));
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			iommu_attach_device_pasid(rid, dev, 1));
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			iommu_attach_device_pasid(domain, &none->dev, 1));
	KUNIT_EXPECT_NULL(test, iommu_get_domain_for_dev_pasid(dev, 1, 0));

	/* The top one is fine. */
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, dev, 7));
	iommu_detach_device_pasid(domain, dev, 7);

	mock_dev_remove(none);
	KUNIT_EXPECT_EQ(test, -ENODEV,
			iommu_attach_device_pasid(domain, &none->dev, 1));
	put_device(&none->dev);

	foreign->owner = &mock_ops;
	iommu_domain_free(foreign);
	iommu_domain_free(rid);
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

static void shared_group_test(struct kunit *test)
{
	struct mock *mock = test->priv;
	struct mock_dev *a, *b;
	struct iommu_domain *domain = mock_paging_domain(test);

	a = mock_dev_create(test, 3);
	mock->group = iommu_group_get(&a->dev);
	b = mock_dev_create(test, 3);
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			iommu_attach_device_pasid(domain, &a->dev, 1));
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			iommu_attach_device_pasid(domain, &b->dev, 1));

	mock_dev_destroy(test, b);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, &a->dev, 1));
	iommu_detach_device_pasid(domain, &a->dev, 1);

	mock_dev_destroy(test, a);
	iommu_group_put(mock->group);
	iommu_domain_free(domain);
}

static void supported_test(struct kunit *test)
{
	struct mock_dev *none = mock_dev_create(test, 0);
	struct mock_dev *a = mock_dev_create(test, 3), *b;
	struct mock *mock = test->priv;
	struct iommu_group *group = iommu_group_get(&a->dev);

	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			iommu_device_pasid_supported(&none->dev,
						     IOMMU_DOMAIN_SVA));
	/* The mock wants to be told, which not every architecture does. */
	KUNIT_EXPECT_EQ(test,
			IS_ENABLED(CONFIG_ARCH_HAS_IOMMU_KERNEL_TABLES) ?
				0 : -EOPNOTSUPP,
			iommu_device_pasid_supported(&a->dev,
						     IOMMU_DOMAIN_SVA));
	KUNIT_EXPECT_EQ(test, 0,
			iommu_device_pasid_supported(&a->dev,
						     IOMMU_DOMAIN_UNMANAGED));
	KUNIT_EXPECT_EQ(test, -ENXIO,
			iommu_device_pasid_supported(&a->dev,
						     IOMMU_DOMAIN_IDENTITY));

	KUNIT_EXPECT_EQ(test, 0, iommu_group_claim_dma_owner(group, &group));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			iommu_device_pasid_supported(&a->dev,
						     IOMMU_DOMAIN_SVA));
	iommu_group_release_dma_owner(group);

	mock->group = group;
	b = mock_dev_create(test, 3);
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			iommu_device_pasid_supported(&a->dev,
						     IOMMU_DOMAIN_SVA));
	mock_dev_destroy(test, b);
	KUNIT_EXPECT_EQ(test, 0,
			iommu_device_pasid_supported(&a->dev,
						     IOMMU_DOMAIN_UNMANAGED));

	mock_dev_destroy(test, a);
	iommu_group_put(group);
	mock_dev_destroy(test, none);
}

static void taken_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *first = mock_paging_domain(test);
	struct iommu_domain *second = mock_paging_domain(test);
	struct device *dev = &mdev->dev;

	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(first, dev, 1));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			iommu_attach_device_pasid(second, dev, 1));
	KUNIT_EXPECT_EQ(test, -EBUSY, iommu_attach_device_pasid(first, dev, 1));
	KUNIT_EXPECT_PTR_EQ(test, first, mdev->table[1]);
	KUNIT_EXPECT_PTR_EQ(test, first,
			    iommu_get_domain_for_dev_pasid(dev, 1, 0));

	/* Nor does it go away by detaching something else. */
	iommu_detach_device_pasid(second, dev, 1);
	KUNIT_EXPECT_PTR_EQ(test, first, mdev->table[1]);

	iommu_detach_device_pasid(first, dev, 1);
	iommu_domain_free(second);
	iommu_domain_free(first);
	mock_dev_destroy(test, mdev);
}

static void attach_fails_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct device *dev = &mdev->dev;

	mdev->mock->fail_attach = -ENXIO;
	KUNIT_EXPECT_EQ(test, -ENXIO,
			iommu_attach_device_pasid(domain, dev, 1));
	KUNIT_EXPECT_NULL(test, mdev->table[1]);
	KUNIT_EXPECT_NULL(test, iommu_get_domain_for_dev_pasid(dev, 1, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, mock_report_one(mdev, 1, 0));

	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, dev, 1));
	iommu_detach_device_pasid(domain, dev, 1);
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

static void owner_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct iommu_group *group;
	struct device *dev = &mdev->dev;
	int owner;

	group = iommu_group_get(dev);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, dev, 1));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			iommu_group_claim_dma_owner(group, &owner));
	KUNIT_EXPECT_FALSE(test, iommu_group_dma_owner_claimed(group));

	iommu_detach_device_pasid(domain, dev, 1);
	KUNIT_EXPECT_EQ(test, 0, iommu_group_claim_dma_owner(group, &owner));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			iommu_attach_device_pasid(domain, dev, 1));
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-EBUSY), iommu_sva_bind(dev, mm));
	iommu_group_release_dma_owner(group);

	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, dev, 1));
	iommu_detach_device_pasid(domain, dev, 1);

	iommu_group_put(group);
	mmput(mm);
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

/* A driver goes without detaching; the next one must find nothing. */
static void driver_unbind_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct iommu_sva *old, *new;
	struct device *dev = &mdev->dev;
	u32 pasid;

	KUNIT_EXPECT_EQ(test, 0, iommu_device_use_default_domain(dev));
	old = iommu_sva_bind(dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(old));
	pasid = iommu_sva_get_pasid(old);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, dev,
							   pasid + 1));
	iommu_device_unuse_default_domain(dev);
	KUNIT_EXPECT_NULL(test, mdev->table[pasid]);
	KUNIT_EXPECT_NULL(test, mdev->table[pasid + 1]);
	KUNIT_EXPECT_NULL(test, iommu_get_domain_for_dev_pasid(dev, pasid, 0));

	/* The next one binds the same mm: not what the old handle refers to. */
	KUNIT_EXPECT_EQ(test, 0, iommu_device_use_default_domain(dev));
	new = iommu_sva_bind(dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(new));
	KUNIT_EXPECT_PTR_NE(test, old, new);
	KUNIT_EXPECT_EQ(test, pasid, iommu_sva_get_pasid(new));
	iommu_sva_unbind_device(old);
	KUNIT_EXPECT_NOT_NULL(test, mdev->table[pasid]);
	iommu_sva_unbind_device(new);
	KUNIT_EXPECT_NULL(test, mdev->table[pasid]);
	iommu_device_unuse_default_domain(dev);

	mmput(mm);
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

static void rid_domain_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct iommu_domain *rid = mock_paging_domain(test);
	struct device *dev = &mdev->dev;

	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, dev, 1));
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device(rid, dev));
	KUNIT_EXPECT_PTR_EQ(test, domain, mdev->table[1]);
	iommu_detach_device(rid, dev);
	KUNIT_EXPECT_PTR_EQ(test, domain, mdev->table[1]);
	KUNIT_EXPECT_EQ(test, 0U, mdev->detaches);

	iommu_detach_device_pasid(domain, dev, 1);
	iommu_domain_free(rid);
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

/* As after a crash: the RID has the tables of another kernel until it is needed */
static void rid_deferred_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct iommu_domain *rid = mdev->rid;
	struct device *dev = &mdev->dev;

	mdev->defers = true;
	mdev->rid = NULL;
	mdev->fail_rid = -ENOMEM;
	KUNIT_EXPECT_EQ(test, -ENOMEM, iommu_attach_device_pasid(domain, dev, 1));
	KUNIT_EXPECT_EQ(test, 0U, mdev->attaches);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, dev, 1));
	KUNIT_EXPECT_PTR_EQ(test, rid, mdev->rid);
	KUNIT_EXPECT_PTR_EQ(test, domain, mdev->table[1]);
	iommu_detach_device_pasid(domain, dev, 1);

	mdev->rid = NULL;
	KUNIT_EXPECT_EQ(test, 0,
			iommu_device_pasid_supported(dev,
						     IOMMU_DOMAIN_UNMANAGED));
	KUNIT_EXPECT_PTR_EQ(test, rid, mdev->rid);

	mdev->defers = false;
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

static void bind_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct iommu_sva *first, *again;
	struct device *dev = &mdev->dev;
	struct iommu_domain *domain;
	u32 pasid;

	first = iommu_sva_bind(dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(first));
	pasid = iommu_sva_get_pasid(first);
	domain = iommu_get_domain_for_dev_pasid(dev, pasid, IOMMU_DOMAIN_SVA);
	KUNIT_ASSERT_NOT_NULL(test, domain);
	KUNIT_EXPECT_FALSE(test, IS_ERR(domain));
	KUNIT_EXPECT_PTR_EQ(test, mm, domain->mm);
	KUNIT_EXPECT_PTR_EQ(test, domain, mdev->table[pasid]);
	KUNIT_EXPECT_EQ(test, 0ULL, iommu_iova_to_phys(domain, 0));

	again = iommu_sva_bind(dev, mm);
	KUNIT_EXPECT_PTR_EQ(test, first, again);
	KUNIT_EXPECT_PTR_EQ(test, first, iommu_sva_bind(dev, mm));

	iommu_sva_unbind_device(first);
	iommu_sva_unbind_device(first);
	KUNIT_EXPECT_PTR_EQ(test, domain, mdev->table[pasid]);
	KUNIT_EXPECT_EQ(test, 0U, mdev->detaches);
	iommu_sva_unbind_device(first);
	KUNIT_EXPECT_NULL(test, mdev->table[pasid]);
	KUNIT_EXPECT_EQ(test, 1U, mdev->detaches);

	/* The mm keeps its PASID. */
	first = iommu_sva_bind(dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(first));
	KUNIT_EXPECT_EQ(test, pasid, iommu_sva_get_pasid(first));
	iommu_sva_unbind_device(first);

	mmput(mm);
	mock_dev_destroy(test, mdev);
}

static void bind_many_test(struct kunit *test)
{
	struct mock_dev *a = mock_dev_create(test, MOCK_PASID_BITS);
	struct mock_dev *b = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct mm_struct *other = mock_mm_alloc(test);
	struct iommu_sva *mm_a, *mm_b, *other_a;
	struct iommu_domain *domain;
	u32 pasid, other_pasid;

	mm_a = iommu_sva_bind(&a->dev, mm);
	mm_b = iommu_sva_bind(&b->dev, mm);
	other_a = iommu_sva_bind(&a->dev, other);
	KUNIT_ASSERT_FALSE(test, IS_ERR(mm_a));
	KUNIT_ASSERT_FALSE(test, IS_ERR(mm_b));
	KUNIT_ASSERT_FALSE(test, IS_ERR(other_a));

	/* Two devices and one mm: one PASID, one domain */
	pasid = iommu_sva_get_pasid(mm_a);
	domain = a->table[pasid];
	KUNIT_EXPECT_PTR_NE(test, mm_a, mm_b);
	KUNIT_EXPECT_EQ(test, pasid, iommu_sva_get_pasid(mm_b));
	KUNIT_EXPECT_PTR_EQ(test, domain, b->table[pasid]);

	/* Two mms and one device: two of each */
	other_pasid = iommu_sva_get_pasid(other_a);
	KUNIT_EXPECT_NE(test, pasid, other_pasid);
	KUNIT_EXPECT_PTR_NE(test, domain, a->table[other_pasid]);
	KUNIT_EXPECT_NULL(test, b->table[other_pasid]);

	iommu_sva_unbind_device(mm_a);
	KUNIT_EXPECT_NULL(test, a->table[pasid]);
	KUNIT_EXPECT_PTR_EQ(test, domain, b->table[pasid]);
	KUNIT_EXPECT_NOT_NULL(test, a->table[other_pasid]);
	iommu_sva_unbind_device(mm_b);
	iommu_sva_unbind_device(other_a);

	mmput(other);
	mmput(mm);
	mock_dev_destroy(test, b);
	mock_dev_destroy(test, a);
}

/* How often the IOMMU is told of a table that is freed now */
static int mock_forgets(struct mock *mock)
{
	int before = atomic_read(&mock->forgets);

	iommu_invalidate_kernel_tables();
	return atomic_read(&mock->forgets) - before;
}

static void bind_kernel_tables_test(struct kunit *test)
{
	struct mock_dev *a = mock_dev_create(test, MOCK_PASID_BITS);
	struct mock_dev *b = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm[3];
	struct iommu_sva *bond[6];
	struct mock *mock = test->priv;
	int i;

	KUNIT_EXPECT_EQ(test, 0, mock_forgets(mock));

	/* A bind that fails leaves nothing. */
	mm[0] = mock_mm_alloc(test);
	mock->fail_attach = -ENXIO;
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-ENXIO),
			    iommu_sva_bind(&a->dev, mm[0]));
	KUNIT_EXPECT_EQ(test, 0, mock_forgets(mock));

	/* Three mms, two devices, once. One exits: who bound it is not done. */
	for (i = 0; i < 6; i++) {
		if (i && !(i % 2))
			mm[i / 2] = mock_mm_alloc(test);
		bond[i] = iommu_sva_bind(i % 2 ? &b->dev : &a->dev, mm[i / 2]);
		KUNIT_ASSERT_FALSE(test, IS_ERR(bond[i]));
		KUNIT_EXPECT_EQ(test, 1, mock_forgets(mock));
	}
	KUNIT_EXPECT_PTR_EQ(test, bond[0], iommu_sva_bind(&a->dev, mm[0]));
	for (i = 0; i < 3; i++)
		mmput(mm[i]);
	for (i = 0; i < 6; i++) {
		KUNIT_EXPECT_EQ(test, 1, mock_forgets(mock));
		iommu_sva_unbind_device(bond[i]);
	}
	KUNIT_EXPECT_EQ(test, 1, mock_forgets(mock));
	iommu_sva_unbind_device(bond[0]);
	KUNIT_EXPECT_EQ(test, 0, mock_forgets(mock));

	mock_dev_destroy(test, b);
	mock_dev_destroy(test, a);
}

static void unmap_on_attach(struct mock_dev *mdev, struct iommu_domain *domain)
{
	struct mock_domain *mdom = to_mock_domain(domain);
	int invalidations = atomic_read(&mdom->invalidations);

	if (mock_munmap(domain->mm, mdev->addr, PAGE_SIZE) ||
	    atomic_read(&mdom->invalidations) == invalidations)
		mdev->misused = true;
}

/* Memory goes at the moment when the device can reach it. */
static void bind_unmap_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct iommu_sva *handle;

	mdev->addr = mock_mmap(mm, PAGE_SIZE, PROT_READ | PROT_WRITE);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(mdev->addr));
	mdev->on_attach = unmap_on_attach;
	handle = iommu_sva_bind(&mdev->dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(handle));
	KUNIT_EXPECT_FALSE(test, mdev->misused);

	iommu_sva_unbind_device(handle);
	mmput(mm);
	mock_dev_destroy(test, mdev);
}

static void bind_pasid_range_test(struct kunit *test)
{
	struct mock_dev *a = mock_dev_create(test, MOCK_PASID_BITS);
	struct mock_dev *b = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct mm_struct *mms[2];
	struct iommu_sva *bound[2], *handle;
	u32 pasid;
	int i;

	handle = iommu_sva_bind(&a->dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(handle));
	pasid = iommu_sva_get_pasid(handle);

	/* One too few for the PASID that the mm has, then just enough */
	b->dev.iommu->max_pasids = pasid;
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-EOVERFLOW),
			    iommu_sva_bind(&b->dev, mm));
	b->dev.iommu->max_pasids = pasid + 1;
	bound[0] = iommu_sva_bind(&b->dev, mm);
	KUNIT_EXPECT_FALSE(test, IS_ERR(bound[0]));
	if (!IS_ERR(bound[0]))
		iommu_sva_unbind_device(bound[0]);
	iommu_sva_unbind_device(handle);

	/* A device that has just one does not have two. */
	b->dev.iommu->max_pasids = 2;
	for (i = 0; i < 2; i++) {
		mms[i] = mock_mm_alloc(test);
		bound[i] = iommu_sva_bind(&b->dev, mms[i]);
	}
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-ENOSPC), bound[1]);
	for (i = 0; i < 2; i++) {
		if (!IS_ERR(bound[i]))
			iommu_sva_unbind_device(bound[i]);
		mmput(mms[i]);
	}

	/* Nor is there anything for one that has none. */
	b->dev.iommu->max_pasids = 0;
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-EOPNOTSUPP),
			    iommu_sva_bind(&b->dev, mm));

	mmput(mm);
	mock_dev_destroy(test, b);
	mock_dev_destroy(test, a);
}

/*
 * More than those that rest, and those of mms of cases before, where CPUs are
 * still lazy
 */
#define MOCK_FEW_PASIDS	512

/* Every PASID that a device can still get; returns how many */
static unsigned int take_all_pasids(struct device *dev, ioasid_t *pasid)
{
	unsigned int n = 0;

	do {
		pasid[n] = iommu_alloc_global_pasid(dev);
	} while (pasid[n++] != IOMMU_PASID_INVALID);

	return n - 1;
}

static void global_pasid_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct device *dev = &mdev->dev;
	struct iommu_sva *handle;
	ioasid_t *pasid;
	unsigned int n;

	pasid = kunit_kcalloc(test, MOCK_FEW_PASIDS, sizeof(*pasid),
			      GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pasid);
	dev->iommu->max_pasids = MOCK_FEW_PASIDS;

	/* A device that has no other: a process cannot have it meanwhile. */
	n = take_all_pasids(dev, pasid);
	KUNIT_ASSERT_GT(test, n, 1U);
	KUNIT_EXPECT_LT(test, n, (unsigned int)MOCK_FEW_PASIDS);
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-ENOSPC), iommu_sva_bind(dev, mm));
	iommu_free_global_pasid(IOMMU_PASID_INVALID);
	iommu_free_global_pasid(pasid[--n]);

	/* Nor can anything else have that of a process. */
	handle = iommu_sva_bind(dev, mm);
	KUNIT_EXPECT_FALSE(test, IS_ERR(handle));
	KUNIT_EXPECT_EQ(test, IOMMU_PASID_INVALID,
			iommu_alloc_global_pasid(dev));
	if (!IS_ERR(handle))
		iommu_sva_unbind_device(handle);

	while (n)
		iommu_free_global_pasid(pasid[--n]);
	dev->iommu->max_pasids = 1;
	KUNIT_EXPECT_EQ(test, IOMMU_PASID_INVALID,
			iommu_alloc_global_pasid(dev));

	mmput(mm);
	mock_dev_destroy(test, mdev);
}

#define MOCK_RELEASED	12	/* They all rest */
#define MOCK_MANY	40	/* Not all of these do, but so many */

/* Who still uses a PASID that was released must not reach its next owner. */
static void released_pasid_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct device *dev = &mdev->dev;
	ioasid_t *pasid, last;
	unsigned int n, i;

	pasid = kunit_kcalloc(test, MOCK_FEW_PASIDS, sizeof(*pasid),
			      GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pasid);

	dev->iommu->max_pasids = MOCK_FEW_PASIDS;
	last = iommu_alloc_global_pasid(dev);
	iommu_free_global_pasid(last);
	for (i = 0; i < MOCK_RELEASED; i++) {
		pasid[i] = iommu_alloc_global_pasid(dev);
		KUNIT_EXPECT_NE(test, last, pasid[i]);
	}
	for (i = 0; i < MOCK_RELEASED; i++)
		iommu_free_global_pasid(pasid[i]);

	/* Where there is no other one, it is the one released first. */
	n = take_all_pasids(dev, pasid);
	KUNIT_ASSERT_GT(test, n, (unsigned int)MOCK_RELEASED);
	for (i = 1; i <= MOCK_RELEASED; i++)
		iommu_free_global_pasid(pasid[n - i]);
	for (i = 1; i <= MOCK_RELEASED; i++)
		KUNIT_EXPECT_EQ(test, pasid[n - i],
				iommu_alloc_global_pasid(dev));
	KUNIT_EXPECT_EQ(test, IOMMU_PASID_INVALID,
			iommu_alloc_global_pasid(dev));

	/* What another device could have, and this one not, goes on resting. */
	iommu_free_global_pasid(pasid[n - 1]);
	iommu_free_global_pasid(pasid[1]);
	iommu_free_global_pasid(pasid[n - 2]);
	iommu_free_global_pasid(pasid[0]);
	dev->iommu->max_pasids = max(pasid[0], pasid[1]) + 1;
	KUNIT_EXPECT_EQ(test, pasid[1], iommu_alloc_global_pasid(dev));
	KUNIT_EXPECT_EQ(test, pasid[0], iommu_alloc_global_pasid(dev));
	KUNIT_EXPECT_EQ(test, IOMMU_PASID_INVALID,
			iommu_alloc_global_pasid(dev));
	dev->iommu->max_pasids = MOCK_FEW_PASIDS;
	KUNIT_EXPECT_EQ(test, pasid[n - 1], iommu_alloc_global_pasid(dev));
	KUNIT_EXPECT_EQ(test, pasid[n - 2], iommu_alloc_global_pasid(dev));

	/* When many are released, those do not rest that were the first. */
	KUNIT_ASSERT_GT(test, n, (unsigned int)MOCK_MANY);
	for (i = 0; i < MOCK_MANY; i++)
		iommu_free_global_pasid(pasid[i]);
	for (i = 0; i < MOCK_MANY; i++) {
		last = iommu_alloc_global_pasid(dev);
		KUNIT_EXPECT_EQ(test, pasid[i], last);
		pasid[i] = last;
	}

	while (n)
		iommu_free_global_pasid(pasid[--n]);
	mock_dev_destroy(test, mdev);
}

static void bind_refusal_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	static struct iommu_ops safe, unsafe;
	struct device *dev = &mdev->dev;
	struct iommu_domain *domain;
	struct iommu_sva *handle;
	u32 pasid;

	/*
	 * An IOMMU that could go on using freed tables is turned away at the
	 * front door, where nothing is taken from it.
	 */
	unsafe = mock_ops;
	if (IS_ENABLED(CONFIG_X86))
		unsafe.invalidate_kernel_tables = NULL;
	mdev->mock->iommu.ops = &unsafe;
	handle = iommu_sva_bind_device(dev, mm);
	mdev->mock->iommu.ops = &mock_ops;
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-EOPNOTSUPP), handle);
	KUNIT_EXPECT_FALSE(test, pasid_valid(mm->pasid));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mm->mm_users));

	/* One that could not, or is told, is let in. */
	safe = mock_ops;
	if (!IS_ENABLED(CONFIG_ARCH_HAS_IOMMU_KERNEL_TABLES))
		safe.invalidate_kernel_tables = NULL;
	mdev->mock->iommu.ops = &safe;
	handle = iommu_sva_bind_device(dev, mm);
	KUNIT_EXPECT_FALSE(test, IS_ERR(handle));
	if (!IS_ERR(handle))
		iommu_sva_unbind_device(handle);
	mmu_notifier_synchronize();
	mdev->mock->iommu.ops = &mock_ops;

	/* The PASID of the mm is in use on the device, by something else. */
	handle = iommu_sva_bind(dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(handle));
	pasid = iommu_sva_get_pasid(handle);
	iommu_sva_unbind_device(handle);
	domain = mock_paging_domain(test);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, dev, pasid));
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-EBUSY), iommu_sva_bind(dev, mm));
	iommu_detach_device_pasid(domain, dev, pasid);
	iommu_domain_free(domain);

	/* An mm that has exited */
	mmgrab(mm);
	mmput(mm);
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-ESRCH), iommu_sva_bind(dev, mm));
	mmdrop(mm);

	mock_dev_destroy(test, mdev);
}

static void bind_fails_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct mock *mock = test->priv;
	struct iommu_sva *handle;
	int domains = atomic_read(&mock->domains);

	mock->fail_domain_alloc = -ENXIO;
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-ENXIO),
			    iommu_sva_bind(&mdev->dev, mm));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mm->mm_users));
	KUNIT_EXPECT_FALSE(test, pasid_valid(mm->pasid));

	mock->fail_attach = -EIO;
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-EIO),
			    iommu_sva_bind(&mdev->dev, mm));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mm->mm_users));
	KUNIT_EXPECT_NULL(test,
			  iommu_get_domain_for_dev_pasid(&mdev->dev, mm->pasid,
							 0));
	mmu_notifier_synchronize();
	KUNIT_EXPECT_EQ(test, domains, atomic_read(&mock->domains));

	handle = iommu_sva_bind(&mdev->dev, mm);
	KUNIT_EXPECT_FALSE(test, IS_ERR(handle));
	if (!IS_ERR(handle))
		iommu_sva_unbind_device(handle);

	mmput(mm);
	mock_dev_destroy(test, mdev);
}

static void bind_no_memory_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mock *mock = test->priv;
	int n, domains, failures = 0;
	struct iommu_sva *handle;
	struct kunit_fail_alloc fail;
	bool failed;
	struct mm_struct *mm;

	if (!kunit_fail_alloc_begin(&fail)) {
		mock_dev_destroy(test, mdev);
		kunit_skip(test, "needs CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS");
	}

	domains = atomic_read(&mock->domains);
	for (n = 1, failed = true; failed && n < 100; n++) {
		mm = mock_mm_alloc(test);
		kunit_fail_alloc_arm(n);
		handle = iommu_sva_bind(&mdev->dev, mm);
		failed = kunit_fail_alloc_disarm();
		if (IS_ERR(handle)) {
			failures++;
			KUNIT_EXPECT_TRUE(test, failed);
			/* PASIDs are allocated by somebody else. */
			KUNIT_EXPECT_TRUE(test, PTR_ERR(handle) == -ENOMEM ||
					  PTR_ERR(handle) == -ENOSPC);
			KUNIT_EXPECT_EQ(test, 1, atomic_read(&mm->mm_users));
			KUNIT_EXPECT_TRUE(test,
					  xa_empty(&mdev->dev.iommu->attachments));

			/* And it can be tried again. */
			handle = iommu_sva_bind(&mdev->dev, mm);
			KUNIT_EXPECT_FALSE(test, IS_ERR(handle));
		}
		if (!IS_ERR(handle))
			iommu_sva_unbind_device(handle);
		mmput(mm);
		mmu_notifier_synchronize();
		KUNIT_EXPECT_EQ(test, domains, atomic_read(&mock->domains));
	}
	kunit_fail_alloc_end(&fail);

	/*
	 * The bond, the notifier, the mm's list of notifiers, the domain, the
	 * PASID and the attachment. kmemleak allocates in between, though not
	 * each time, so that counting may step over some.
	 */
	KUNIT_EXPECT_GE(test, failures,
			IS_ENABLED(CONFIG_DEBUG_KMEMLEAK) ? 3 : 6);
	KUNIT_EXPECT_FALSE(test, failed);
	mock_dev_destroy(test, mdev);
}

static void attach_no_memory_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct kunit_fail_alloc fail;
	bool failed;
	int n, ret, failures = 0;

	if (!kunit_fail_alloc_begin(&fail)) {
		iommu_domain_free(domain);
		mock_dev_destroy(test, mdev);
		kunit_skip(test, "needs CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS");
	}

	for (n = 1; n < 100; n++) {
		kunit_fail_alloc_arm(n);
		ret = iommu_attach_device_pasid(domain, &mdev->dev, 1000);
		failed = kunit_fail_alloc_disarm();
		if (ret) {
			failures++;
			KUNIT_EXPECT_EQ(test, -ENOMEM, ret);
			KUNIT_EXPECT_TRUE(test, failed);
			KUNIT_EXPECT_NULL(test, mdev->table[1000]);
			KUNIT_EXPECT_TRUE(test,
					  xa_empty(&mdev->dev.iommu->attachments));
			continue;
		}

		/* Detaching does not ask for any. */
		kunit_fail_alloc_arm(1);
		iommu_detach_device_pasid(domain, &mdev->dev, 1000);
		KUNIT_EXPECT_FALSE(test, kunit_fail_alloc_disarm());
		if (!failed)
			break;
	}
	kunit_fail_alloc_end(&fail);
	KUNIT_EXPECT_GE(test, failures, 1);
	KUNIT_EXPECT_LT(test, n, 100);

	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

static void fault_no_memory_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mock_handler handler;
	struct kunit_fail_alloc fail;
	const u32 grpid = 1;

	if (!kunit_fail_alloc_begin(&fail)) {
		iommu_domain_free(domain);
		mock_dev_destroy(test, mdev);
		kunit_skip(test, "needs CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS");
	}

	mock_set_handler(domain, &handler);
	KUNIT_EXPECT_EQ(test, 0,
			iommu_attach_device_pasid(domain, &mdev->dev, 1));

	/* One before the last: the group is served without it */
	kunit_fail_alloc_arm(1);
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, 1, grpid, 0, 0, false));
	KUNIT_EXPECT_TRUE(test, kunit_fail_alloc_disarm());
	kunit_fail_alloc_end(&fail);
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, grpid));
	mock_expect_response(test, mdev, grpid, IOMMU_PAGE_RESP_SUCCESS);
	KUNIT_EXPECT_EQ(test, 1, handler.requests);

	iommu_detach_device_pasid(domain, &mdev->dev, 1);
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

static void fault_route_test(struct kunit *test)
{
	struct mock_dev *a = mock_dev_create(test, 3);
	struct mock_dev *b = mock_dev_create(test, 3);
	struct iommu_domain *domains[3];
	struct mock_handler handlers[3];
	int i;

	for (i = 0; i < 3; i++) {
		domains[i] = mock_paging_domain(test);
		mock_set_handler(domains[i], &handlers[i]);
	}
	KUNIT_EXPECT_EQ(test, 0,
			iommu_attach_device_pasid(domains[0], &a->dev, 1));
	KUNIT_EXPECT_EQ(test, 0,
			iommu_attach_device_pasid(domains[1], &a->dev, 2));
	KUNIT_EXPECT_EQ(test, 0,
			iommu_attach_device_pasid(domains[2], &b->dev, 1));

	KUNIT_EXPECT_EQ(test, 0, mock_report_one(a, 2, 0));
	mock_expect_response(test, a, 0, IOMMU_PAGE_RESP_SUCCESS);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&handlers[0].calls));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&handlers[1].calls));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&handlers[2].calls));

	KUNIT_EXPECT_EQ(test, 0, mock_report_one(b, 1, 0));
	mock_expect_response(test, b, 0, IOMMU_PAGE_RESP_SUCCESS);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&handlers[0].calls));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&handlers[2].calls));

	/* A domain without a handler cannot serve anything. */
	domains[0]->iopf_handler = NULL;
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(a, 1, 1));
	mock_expect_response(test, a, 1, IOMMU_PAGE_RESP_INVALID);

	iommu_detach_device_pasid(domains[0], &a->dev, 1);
	iommu_detach_device_pasid(domains[1], &a->dev, 2);
	iommu_detach_device_pasid(domains[2], &b->dev, 1);
	for (i = 0; i < 3; i++)
		iommu_domain_free(domains[i]);
	mock_dev_destroy(test, b);
	mock_dev_destroy(test, a);
}

/* What nobody is there to serve is left to the driver: no response of ours. */
static void fault_unknown_test(struct kunit *test)
{
	struct iommu_fault_event evt = { .fault.type = IOMMU_FAULT_DMA_UNRECOV };
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct mock *mock = test->priv;
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mock_handler handler;
	struct device *dev = &mdev->dev;

	mock_set_handler(domain, &handler);
	KUNIT_EXPECT_EQ(test, -EINVAL, mock_report_one(mdev, 1, 0));
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, iommu_report_device_fault(dev, &evt));
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, dev, 1));
	KUNIT_EXPECT_EQ(test, -EINVAL, mock_report_one(mdev, 2, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			mock_report_one(mdev, IOMMU_PASID_INVALID, 0));
	evt.fault.type = IOMMU_FAULT_PAGE_REQ;
	evt.fault.prm.pasid = 1;
	evt.fault.prm.flags = IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE;
	KUNIT_EXPECT_EQ(test, -EINVAL, iommu_report_device_fault(dev, &evt));

	KUNIT_EXPECT_EQ(test, 0, iopf_queue_remove_device(mock->queue, dev));
	KUNIT_EXPECT_EQ(test, -ENODEV, mock_report_one(mdev, 1, 0));
	KUNIT_EXPECT_EQ(test, -ENODEV,
			mock_report(mdev, 1, 0, 0, 0, false));
	KUNIT_EXPECT_EQ(test, 0, iopf_queue_add_device(mock->queue, dev));

	iommu_detach_device_pasid(domain, dev, 1);
	KUNIT_EXPECT_EQ(test, -EINVAL, mock_report_one(mdev, 1, 0));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&mdev->responses[0]));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&handler.calls));
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

static void fault_group_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *domains[2];
	struct mock_handler handlers[2];
	struct device *dev = &mdev->dev;
	struct mock *mock = test->priv;
	int i;

	for (i = 0; i < 2; i++) {
		domains[i] = mock_paging_domain(test);
		mock_set_handler(domains[i], &handlers[i]);
		KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domains[i],
								   dev, i + 1));
	}

	/* Two groups with one index, and one with another index */
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, 1, 3, 0, 0, false));
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, 2, 3, 0, 0, false));
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, 1, 3, 0, 0, false));
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, 1, 4, 0, 0, false));
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, 3));
	KUNIT_EXPECT_TRUE(test, mock_wait_response(mdev, 3));
	KUNIT_EXPECT_EQ(test, 3, handlers[0].requests);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&handlers[1].calls));

	atomic_set(&mdev->responses[3], 0);
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 2, 3));
	KUNIT_EXPECT_TRUE(test, mock_wait_response(mdev, 3));
	KUNIT_EXPECT_EQ(test, 2, handlers[1].requests);

	/* Overflow: what came before is forgotten */
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, 2, 5, 0, 0, false));
	KUNIT_EXPECT_EQ(test, 0, iopf_queue_discard_partial(mock->queue));
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 2, 5));
	mock_expect_response(test, mdev, 5, IOMMU_PAGE_RESP_SUCCESS);
	KUNIT_EXPECT_EQ(test, 1, handlers[1].requests);

	/* The next one who gets the PASID does not inherit a beginning. */
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, 1, 6, 0, 0, false));
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, 2, 6, 0, 0, false));
	iommu_detach_device_pasid(domains[0], dev, 1);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domains[0], dev, 1));
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, 6));
	KUNIT_EXPECT_TRUE(test, mock_wait_response(mdev, 6));
	KUNIT_EXPECT_EQ(test, 1, handlers[0].requests);
	atomic_set(&mdev->responses[6], 0);
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 2, 6));
	mock_expect_response(test, mdev, 6, IOMMU_PAGE_RESP_SUCCESS);
	KUNIT_EXPECT_EQ(test, 2, handlers[1].requests);

	for (i = 0; i < 2; i++) {
		iommu_detach_device_pasid(domains[i], dev, i + 1);
		iommu_domain_free(domains[i]);
	}
	mock_dev_destroy(test, mdev);
}

static void detach_waits_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *slow = mock_paging_domain(test);
	struct iommu_domain *fast = mock_paging_domain(test);
	struct mock_handler slow_handler, fast_handler;
	struct mock_task task = { .domain = slow, .mdev = mdev, .pasid = 1 };
	struct mock_task second = task;
	struct device *dev = &mdev->dev;

	mock_set_handler(slow, &slow_handler);
	mock_set_handler(fast, &fast_handler);
	slow_handler.parks = true;
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(slow, dev, 1));
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(fast, dev, 2));
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, 0));
	wait_for_completion(&slow_handler.begun);

	/* Others neither wait for it to be served nor to be detached. */
	iommu_detach_device_pasid(fast, dev, 2);
	mock_task_start(&task);
	KUNIT_EXPECT_TRUE(test, mock_task_waits(&task));
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(fast, dev, 2));
	iommu_detach_device_pasid(fast, dev, 2);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(fast, dev, 2));
	KUNIT_EXPECT_EQ(test, -EBUSY, iommu_attach_device_pasid(slow, dev, 1));
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 2, 1));
	KUNIT_EXPECT_TRUE(test, mock_wait_response(mdev, 1));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&mdev->responses[0]));

	/* The hardware has been cut off by now, and no request is taken on. */
	KUNIT_EXPECT_NULL(test, mdev->table[1]);
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, 2));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mdev->responses[2]));
	KUNIT_EXPECT_EQ(test, (int)IOMMU_PAGE_RESP_INVALID, mdev->codes[2]);

	/* He who detaches the same waits as well. */
	mock_task_start(&second);
	KUNIT_EXPECT_TRUE(test, mock_task_waits(&second));

	complete_all(&slow_handler.go);
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&task));
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&second));
	KUNIT_EXPECT_EQ(test, 3U, mdev->detaches);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mdev->responses[0]));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mdev->responses[2]));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&slow_handler.calls));

	iommu_detach_device_pasid(fast, dev, 2);
	iommu_domain_free(fast);
	iommu_domain_free(slow);
	mock_dev_destroy(test, mdev);
}

static void report_on_detach(struct mock_dev *mdev, u32 pasid)
{
	if (mock_report_one(mdev, pasid, 1))
		mdev->misused = true;
}

/* Requests in the hardware queue while detaching: answered, not served */
static void detach_answers_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mock_handler handler;

	mock_set_handler(domain, &handler);
	mdev->on_detach = report_on_detach;
	KUNIT_EXPECT_EQ(test, 0,
			iommu_attach_device_pasid(domain, &mdev->dev, 1));
	iommu_detach_device_pasid(domain, &mdev->dev, 1);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mdev->responses[1]));
	KUNIT_EXPECT_EQ(test, (int)IOMMU_PAGE_RESP_INVALID, mdev->codes[1]);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&handler.calls));

	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

/* The queue is served by one CPU; more requests than that wait behind it. */
static void detach_pending_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mock_task task = { .domain = domain, .mdev = mdev, .pasid = 1 };
	struct mock_handler handler;
	int i, served = 0;

	mock_set_handler(domain, &handler);
	handler.parks = true;
	KUNIT_EXPECT_EQ(test, 0,
			iommu_attach_device_pasid(domain, &mdev->dev, 1));
	for (i = 0; i < MOCK_GROUPS; i++)
		KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, i));
	wait_for_completion(&handler.begun);

	mock_task_start(&task);
	KUNIT_EXPECT_TRUE(test, mock_task_waits(&task));
	KUNIT_EXPECT_TRUE(test, mock_detach_begun(mdev));
	complete_all(&handler.go);
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&task));

	for (i = 0; i < MOCK_GROUPS; i++) {
		KUNIT_EXPECT_EQ(test, 1, atomic_read(&mdev->responses[i]));
		if (mdev->codes[i] == IOMMU_PAGE_RESP_SUCCESS)
			served++;
	}
	/* Not all that was begun counts: not what ended during the detach */
	KUNIT_EXPECT_LE(test, served, atomic_read(&handler.calls));
	KUNIT_EXPECT_LT(test, served, MOCK_GROUPS);

	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

static void unqueue_waits_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct mock *mock = test->priv;
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mock_task task = { .mock = mock, .mdev = mdev };
	struct mock_handler handler;

	mock_set_handler(domain, &handler);
	handler.parks = true;
	KUNIT_EXPECT_EQ(test, 0,
			iommu_attach_device_pasid(domain, &mdev->dev, 1));
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, 0));
	wait_for_completion(&handler.begun);
	mock_task_start(&task);
	KUNIT_EXPECT_TRUE(test, mock_task_waits(&task));
	KUNIT_EXPECT_EQ(test, -ENODEV, mock_report_one(mdev, 1, 1));

	complete_all(&handler.go);
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&task));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mdev->responses[0]));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&mdev->responses[1]));

	iommu_detach_device_pasid(domain, &mdev->dev, 1);
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

static void remove_device_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mock_task task = { .mdev = mdev };
	struct device *dev = &mdev->dev;
	struct mock_handler handler;
	struct iommu_sva *handle;
	u32 pasid;

	handle = iommu_sva_bind(dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(handle));
	KUNIT_EXPECT_PTR_EQ(test, handle, iommu_sva_bind(dev, mm));
	pasid = iommu_sva_get_pasid(handle);
	mock_set_handler(domain, &handler);
	handler.parks = true;
	KUNIT_EXPECT_EQ(test, 0,
			iommu_attach_device_pasid(domain, dev, pasid + 1));
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, pasid + 1, 0));
	wait_for_completion(&handler.begun);

	mock_task_start(&task);
	KUNIT_EXPECT_TRUE(test, mock_task_waits(&task));
	KUNIT_EXPECT_FALSE(test, mdev->released);
	complete_all(&handler.go);
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&task));
	KUNIT_EXPECT_TRUE(test, mdev->released);
	KUNIT_EXPECT_EQ(test, 2U, mdev->detaches);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mdev->responses[0]));
	KUNIT_EXPECT_FALSE(test, mdev->misused);

	/* Its handle still works as far as it can. */
	KUNIT_EXPECT_EQ(test, pasid, iommu_sva_get_pasid(handle));
	iommu_detach_device_pasid(domain, dev, pasid + 1);
	iommu_sva_unbind_device(handle);
	mmput(mm);
	iommu_sva_unbind_device(handle);
	KUNIT_EXPECT_EQ(test, 2U, mdev->detaches);

	iommu_domain_free(domain);
	put_device(dev);
}

/* The device is found again before the old handle is gone. */
static void reprobe_device_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct device *dev = &mdev->dev;
	struct iommu_sva *old, *new;
	struct mock *mock = test->priv;
	u32 pasid;

	/* Worst case: it even joins the same group. */
	mock->group = iommu_group_get(dev);
	old = iommu_sva_bind(dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(old));
	pasid = iommu_sva_get_pasid(old);
	iommu_release_device(dev);
	KUNIT_ASSERT_EQ(test, 0, iommu_probe_device(dev));

	new = iommu_sva_bind(dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(new));
	KUNIT_EXPECT_PTR_NE(test, old, new);
	iommu_sva_unbind_device(old);
	KUNIT_EXPECT_NOT_NULL(test, mdev->table[pasid]);
	iommu_sva_unbind_device(new);
	KUNIT_EXPECT_NULL(test, mdev->table[pasid]);

	mmput(mm);
	mock_dev_destroy(test, mdev);
	iommu_group_put(mock->group);
}

static void sva_fault_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	unsigned long rw, ro;
	struct mock_domain *mdom;
	struct iommu_sva *handle;
	int invalidations;
	u32 pasid;

	handle = iommu_sva_bind(&mdev->dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(handle));
	pasid = iommu_sva_get_pasid(handle);
	mdom = to_mock_domain(mdev->table[pasid]);
	rw = mock_mmap(mm, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE);
	ro = mock_mmap(mm, PAGE_SIZE, PROT_READ);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(rw));
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(ro));

	/* Reads need no invalidation */
	invalidations = atomic_read(&mdom->invalidations);
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, pasid, 1, ro,
					     IOMMU_FAULT_PERM_READ, true));
	mock_expect_response(test, mdev, 1, IOMMU_PAGE_RESP_SUCCESS);
	KUNIT_EXPECT_EQ(test, invalidations, atomic_read(&mdom->invalidations));

	/* Writes do, of the pages in question and before the response */
	mdom->watch = mdev;
	mdom->answered_before = -1;
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, pasid, 0, rw + PAGE_SIZE + 8,
					     IOMMU_FAULT_PERM_WRITE, false));
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, pasid, 0, rw + 2 * PAGE_SIZE,
					     IOMMU_FAULT_PERM_WRITE, true));
	mock_expect_response(test, mdev, 0, IOMMU_PAGE_RESP_SUCCESS);
	KUNIT_EXPECT_EQ(test, 0, mdom->answered_before);
	KUNIT_EXPECT_EQ(test, rw + PAGE_SIZE, mdom->start);
	KUNIT_EXPECT_EQ(test, rw + 3 * PAGE_SIZE, mdom->end);
	KUNIT_EXPECT_EQ(test, 2UL, get_mm_counter(mm, MM_ANONPAGES));
	mdom->watch = NULL;

	/* What a process may not do its device may not do either. */
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, pasid, 2, ro,
					     IOMMU_FAULT_PERM_WRITE, true));
	mock_expect_response(test, mdev, 2, IOMMU_PAGE_RESP_INVALID);
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, pasid, 3, 0,
					     IOMMU_FAULT_PERM_READ, true));
	mock_expect_response(test, mdev, 3, IOMMU_PAGE_RESP_INVALID);
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, pasid, 4, rw,
					     IOMMU_FAULT_PERM_EXEC, true));
	mock_expect_response(test, mdev, 4, IOMMU_PAGE_RESP_INVALID);

	/* One bad page spoils the group. */
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, pasid, 5, 0,
					     IOMMU_FAULT_PERM_READ, false));
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, pasid, 5, rw,
					     IOMMU_FAULT_PERM_READ, true));
	mock_expect_response(test, mdev, 5, IOMMU_PAGE_RESP_INVALID);

	/* What the mm changes by itself reaches the domain. */
	mdom->start = 0;
	mdom->end = 0;
	KUNIT_EXPECT_EQ(test, 0, mock_munmap(mm, rw, 4 * PAGE_SIZE));
	KUNIT_EXPECT_LE(test, mdom->start, rw + PAGE_SIZE);
	KUNIT_EXPECT_GE(test, mdom->end, rw + 3 * PAGE_SIZE);

	iommu_sva_unbind_device(handle);
	mmput(mm);
	mock_dev_destroy(test, mdev);
}

static void sva_exit_test(struct kunit *test)
{
	struct mock_dev *a = mock_dev_create(test, MOCK_PASID_BITS);
	struct mock_dev *b = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct mm_struct *next;
	struct iommu_sva *handle_a, *handle_b, *other;
	struct mock *mock = test->priv;
	struct mock_domain *mdom;
	unsigned long addr;
	int domains = atomic_read(&mock->domains);
	u32 pasid;

	handle_a = iommu_sva_bind(&a->dev, mm);
	handle_b = iommu_sva_bind(&b->dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(handle_a));
	KUNIT_ASSERT_FALSE(test, IS_ERR(handle_b));
	pasid = iommu_sva_get_pasid(handle_a);
	mdom = to_mock_domain(a->table[pasid]);
	addr = mock_mmap(mm, PAGE_SIZE, PROT_READ | PROT_WRITE);
	KUNIT_EXPECT_FALSE(test, IS_ERR_VALUE(addr));

	KUNIT_EXPECT_EQ(test, 0U, mdom->quiesced);
	mmput(mm);
	KUNIT_EXPECT_EQ(test, 1U, mdom->quiesced);
	KUNIT_EXPECT_PTR_EQ(test, &mdom->domain, a->table[pasid]);

	/* Quietly: as far as the driver can tell it was served. */
	KUNIT_EXPECT_EQ(test, 0, mock_report(a, pasid, 0, addr,
					     IOMMU_FAULT_PERM_READ, true));
	mock_expect_response(test, a, 0, IOMMU_PAGE_RESP_INVALID);

	/* The PASID is not given to anybody else. */
	next = mock_mm_alloc(test);
	other = iommu_sva_bind(&a->dev, next);
	KUNIT_ASSERT_FALSE(test, IS_ERR(other));
	KUNIT_EXPECT_NE(test, pasid, iommu_sva_get_pasid(other));
	iommu_sva_unbind_device(other);
	mmput(next);

	iommu_sva_unbind_device(handle_a);
	KUNIT_EXPECT_NULL(test, a->table[pasid]);
	KUNIT_EXPECT_EQ(test, pasid, iommu_sva_get_pasid(handle_b));

	/* Exit, then the device goes, then unbind */
	mock_dev_remove(b);
	KUNIT_EXPECT_FALSE(test, b->misused);
	KUNIT_EXPECT_EQ(test, 1U, b->detaches);
	iommu_sva_unbind_device(handle_b);
	put_device(&b->dev);

	mmu_notifier_synchronize();
	/* One less: the default domain of the group that went with its device */
	KUNIT_EXPECT_EQ(test, domains - 1, atomic_read(&mock->domains));
	mock_dev_destroy(test, a);
}

/* Unbinding while a request is being served, and binding meanwhile */
static void sva_unbind_waits_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct mock_task bind = { .mdev = mdev, .mm = mm };
	struct mock_task task = { .mdev = mdev };
	struct mock *mock = test->priv;
	unsigned long addr;
	int i, domains;
	u32 pasid;

	task.handle = iommu_sva_bind(&mdev->dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(task.handle));
	domains = atomic_read(&mock->domains);
	pasid = iommu_sva_get_pasid(task.handle);
	addr = mock_mmap(mm, PAGE_SIZE, PROT_READ | PROT_WRITE);

	/* As if somebody else was changing the mappings, for some time */
	mmap_write_lock(mm);
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, pasid, 0, addr,
					     IOMMU_FAULT_PERM_WRITE, true));
	/* The mm is in use as soon as the handler has it. */
	for (i = 0; i < 500 && atomic_read(&mm->mm_users) == 1; i++)
		msleep(20);
	KUNIT_EXPECT_EQ(test, 2, atomic_read(&mm->mm_users));
	mock_task_start(&task);
	/* It need not wait. If it does, the worker has the domain until then. */
	if (mock_task_waits(&task)) {
		KUNIT_EXPECT_TRUE(test, mock_detach_begun(mdev));
		mmu_notifier_synchronize();
		KUNIT_EXPECT_EQ(test, domains, atomic_read(&mock->domains));
	}

	/* A bind does not get the attachment that is being detached. */
	mock_task_start(&bind);
	mock_task_waits(&bind);
	mmap_write_unlock(mm);

	/* What was served is of no use any more */
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&task));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mdev->responses[0]));
	KUNIT_EXPECT_EQ(test, (int)IOMMU_PAGE_RESP_INVALID, mdev->codes[0]);

	KUNIT_EXPECT_TRUE(test, mock_task_finish(&bind));
	KUNIT_EXPECT_NOT_NULL(test, mdev->table[pasid]);
	if (mdev->table[pasid])
		iommu_sva_unbind_device(bind.handle);
	KUNIT_EXPECT_NULL(test, mdev->table[pasid]);

	mmput(mm);
	mock_dev_destroy(test, mdev);
}

/* The last unbind waits for the group, and whoever binds is ahead of it */
static void bind_before_unbind_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct mock_task bind = { .mdev = mdev, .mm = mm };
	struct mock_task unbind = { .mdev = mdev };
	struct iommu_group *group = iommu_group_get(&mdev->dev);
	u32 pasid;

	unbind.handle = iommu_sva_bind(&mdev->dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(unbind.handle));
	pasid = iommu_sva_get_pasid(unbind.handle);

	iommu_group_lock(group);
	mock_task_start(&bind);
	KUNIT_EXPECT_TRUE(test, mock_task_waits(&bind));
	mock_task_start(&unbind);
	KUNIT_EXPECT_TRUE(test, mock_task_waits(&unbind));
	iommu_group_unlock(group);
	iommu_group_put(group);
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&bind));
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&unbind));

	/* Who has bound has an attachment */
	KUNIT_EXPECT_NOT_NULL(test, mdev->table[pasid]);
	if (mdev->table[pasid])
		iommu_sva_unbind_device(bind.handle);
	KUNIT_EXPECT_NULL(test, mdev->table[pasid]);

	mmput(mm);
	mock_dev_destroy(test, mdev);
}

/* Binding, faulting and unbinding the same (device, mm) from several threads */
#define RACE_THREADS	4
#define RACE_ROUNDS	200

struct mock_racer {
	struct work_struct	work;
	struct mock_dev		*mdev;
	struct mm_struct	*mm;
	unsigned int		id;
	unsigned int		failed;
	unsigned int		reported;
};

static void mock_race(struct work_struct *work)
{
	struct mock_racer *racer = container_of(work, struct mock_racer, work);
	struct iommu_sva *handle;
	u32 grpid, pasid;
	int i;

	for (i = 0; i < RACE_ROUNDS; i++) {
		handle = iommu_sva_bind(&racer->mdev->dev, racer->mm);
		if (IS_ERR(handle)) {
			racer->failed++;
			continue;
		}

		pasid = iommu_sva_get_pasid(handle);
		if (!racer->mdev->table[pasid])
			racer->failed++;

		/* A group each, so that one counter has one writer of requests */
		grpid = racer->id;
		if (!mock_report_one(racer->mdev, pasid, grpid))
			racer->reported++;
		else
			racer->failed++;
		iommu_sva_unbind_device(handle);
	}
}

static void race_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct mock *mock = test->priv;
	struct mock_racer *racers;
	int i;

	racers = kunit_kcalloc(test, RACE_THREADS, sizeof(*racers), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, racers);
	for (i = 0; i < RACE_THREADS; i++) {
		racers[i].mdev = mdev;
		racers[i].mm = mm;
		racers[i].id = i;
		INIT_WORK(&racers[i].work, mock_race);
		queue_work(system_unbound_wq, &racers[i].work);
	}
	for (i = 0; i < RACE_THREADS; i++)
		flush_work(&racers[i].work);

	KUNIT_EXPECT_TRUE(test, xa_empty(&mdev->dev.iommu->attachments));
	iopf_queue_remove_device(mock->queue, &mdev->dev);
	for (i = 0; i < RACE_THREADS; i++) {
		KUNIT_EXPECT_EQ(test, 0U, racers[i].failed);
		KUNIT_EXPECT_EQ(test, (unsigned int)RACE_ROUNDS,
				racers[i].reported);
		KUNIT_EXPECT_EQ(test, RACE_ROUNDS,
				atomic_read(&mdev->responses[i]));
	}
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mm->mm_users));

	mmput(mm);
	mock_dev_destroy(test, mdev);
}

static void replace_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct mock_dev *none = mock_dev_create(test, 0);
	struct iommu_domain *first = mock_paging_domain(test);
	struct iommu_domain *second = mock_paging_domain(test);
	struct iommu_domain *rid = mock_paging_domain(test);
	struct iommu_domain *foreign = mock_paging_domain(test);
	static const struct iommu_ops foreign_ops = { };
	struct device *dev = &mdev->dev;
	struct iommu_group *group;

	rid->ops = &mock_rid_domain_ops;
	foreign->owner = &foreign_ops;

	KUNIT_EXPECT_EQ(test, -ENOENT,
			iommu_replace_device_pasid(first, dev, 1));
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(first, dev, 1));
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(first, dev, 2));

	KUNIT_EXPECT_EQ(test, -EINVAL,
			iommu_replace_device_pasid(second, dev, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			iommu_replace_device_pasid(second, dev, 8));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			iommu_replace_device_pasid(foreign, dev, 1));
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			iommu_replace_device_pasid(rid, dev, 1));
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			iommu_replace_device_pasid(second, &none->dev, 1));
	KUNIT_EXPECT_EQ(test, 0, iommu_replace_device_pasid(first, dev, 1));
	KUNIT_EXPECT_EQ(test, 2U, mdev->attaches);

	KUNIT_EXPECT_EQ(test, 0, iommu_replace_device_pasid(second, dev, 1));
	KUNIT_EXPECT_PTR_EQ(test, second, mdev->table[1]);
	KUNIT_EXPECT_PTR_EQ(test, first, mdev->table[2]);
	KUNIT_EXPECT_PTR_EQ(test, second,
			    iommu_get_domain_for_dev_pasid(dev, 1, 0));
	KUNIT_EXPECT_EQ(test, 0U, mdev->detaches);

	mdev->mock->fail_attach = -ENXIO;
	KUNIT_EXPECT_EQ(test, -ENXIO,
			iommu_replace_device_pasid(first, dev, 1));
	KUNIT_EXPECT_PTR_EQ(test, second,
			    iommu_get_domain_for_dev_pasid(dev, 1, 0));

	/* What was replaced is not attached. */
	iommu_detach_device_pasid(first, dev, 1);
	KUNIT_EXPECT_PTR_EQ(test, second, mdev->table[1]);
	iommu_detach_device_pasid(second, dev, 1);
	KUNIT_EXPECT_NULL(test, mdev->table[1]);
	KUNIT_EXPECT_EQ(test, 1U, mdev->detaches);
	iommu_detach_device_pasid(first, dev, 2);

	group = iommu_group_get(dev);
	KUNIT_EXPECT_EQ(test, 0, iommu_group_claim_dma_owner(group, &group));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			iommu_replace_device_pasid(second, dev, 1));
	iommu_group_release_dma_owner(group);
	iommu_group_put(group);

	foreign->owner = &mock_ops;
	iommu_domain_free(foreign);
	iommu_domain_free(rid);
	iommu_domain_free(second);
	iommu_domain_free(first);
	mock_dev_destroy(test, none);
	mock_dev_destroy(test, mdev);
}

/* The PASID of a process stands for it, whoever asks. */
static void replace_bond_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct iommu_sva *handle = iommu_sva_bind(&mdev->dev, mm);
	u32 pasid;

	KUNIT_ASSERT_FALSE(test, IS_ERR(handle));
	pasid = iommu_sva_get_pasid(handle);
	KUNIT_EXPECT_EQ(test, -EBUSY,
			iommu_replace_device_pasid(domain, &mdev->dev, pasid));
	KUNIT_EXPECT_PTR_EQ(test, handle->domain, mdev->table[pasid]);

	iommu_sva_unbind_device(handle);
	mmput(mm);
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

static void replace_no_memory_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct iommu_domain *domain[2];
	struct kunit_fail_alloc fail;
	bool failed;
	int i, n, ret, failures = 0;

	if (!kunit_fail_alloc_begin(&fail)) {
		mock_dev_destroy(test, mdev);
		kunit_skip(test, "needs CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS");
	}

	for (i = 0; i < 2; i++)
		domain[i] = mock_paging_domain(test);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain[0],
							   &mdev->dev, 1000));
	for (n = 1, failed = true; failed && n < 100; n++) {
		kunit_fail_alloc_arm(n);
		ret = iommu_replace_device_pasid(domain[1], &mdev->dev, 1000);
		failed = kunit_fail_alloc_disarm();
		if (!ret) {
			/* Somebody can do without: kmemleak, for instance. */
			ret = iommu_replace_device_pasid(domain[0], &mdev->dev,
							 1000);
			KUNIT_EXPECT_EQ(test, 0, ret);
			continue;
		}
		failures++;
		KUNIT_EXPECT_EQ(test, -ENOMEM, ret);
		KUNIT_EXPECT_TRUE(test, failed);
		KUNIT_EXPECT_PTR_EQ(test, domain[0], mdev->table[1000]);
		KUNIT_EXPECT_PTR_EQ(test, domain[0],
				    iommu_get_domain_for_dev_pasid(&mdev->dev,
								   1000, 0));
	}
	kunit_fail_alloc_end(&fail);
	KUNIT_EXPECT_FALSE(test, failed);
	KUNIT_EXPECT_GE(test, failures, 1);

	iommu_detach_device_pasid(domain[0], &mdev->dev, 1000);
	for (i = 0; i < 2; i++)
		iommu_domain_free(domain[i]);
	mock_dev_destroy(test, mdev);
}

/* The answer waits for what the attachment comes to */
static void report_on_attach(struct mock_dev *mdev, struct iommu_domain *domain)
{
	atomic_set(&mdev->responses[0], 0);
	if (mock_report_one(mdev, 1, 0))
		mdev->misused = true;
	msleep(MOCK_WHILE_MS);
	if (atomic_read(&mdev->responses[0]))
		mdev->misused = true;
}

/* Requests that may be about either domain are tried again. */
static void replace_fault_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *first = mock_paging_domain(test);
	struct iommu_domain *second = mock_paging_domain(test);
	struct mock_handler handler, other;
	struct device *dev = &mdev->dev;

	/* The old one has no handler */
	mock_set_handler(second, &handler);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(first, dev, 1));
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, 1, 2, 0, 0, false));
	mdev->on_attach = report_on_attach;
	KUNIT_EXPECT_EQ(test, 0, iommu_replace_device_pasid(second, dev, 1));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mdev->responses[0]));
	KUNIT_EXPECT_EQ(test, (int)IOMMU_PAGE_RESP_SUCCESS, mdev->codes[0]);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&handler.calls));

	/* From now on it is all about the new one, without what came before. */
	handler.code = IOMMU_PAGE_RESP_INVALID;
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, 2));
	mock_expect_response(test, mdev, 2, IOMMU_PAGE_RESP_INVALID);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&handler.calls));
	KUNIT_EXPECT_EQ(test, 1, handler.requests);

	/* The old one has a handler, which finds nothing */
	mock_set_handler(first, &other);
	KUNIT_EXPECT_EQ(test, 0, iommu_replace_device_pasid(first, dev, 1));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mdev->responses[0]));
	KUNIT_EXPECT_EQ(test, (int)IOMMU_PAGE_RESP_SUCCESS, mdev->codes[0]);
	KUNIT_EXPECT_EQ(test, 2, atomic_read(&handler.calls));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&other.calls));

	/* Where nothing is replaced in the end, there is nothing to try. */
	other.code = IOMMU_PAGE_RESP_INVALID;
	mdev->mock->fail_attach = -ENXIO;
	KUNIT_EXPECT_EQ(test, -ENXIO,
			iommu_replace_device_pasid(second, dev, 1));
	mock_expect_response(test, mdev, 0, IOMMU_PAGE_RESP_INVALID);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&other.calls));
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, 3));
	mock_expect_response(test, mdev, 3, IOMMU_PAGE_RESP_INVALID);
	KUNIT_EXPECT_EQ(test, 2, atomic_read(&other.calls));

	iommu_detach_device_pasid(first, dev, 1);
	iommu_domain_free(second);
	iommu_domain_free(first);
	mock_dev_destroy(test, mdev);
}

static void replace_waits_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *slow = mock_paging_domain(test);
	struct iommu_domain *fast = mock_paging_domain(test);
	struct mock_handler slow_handler, fast_handler;
	struct mock_task replace = { .new = fast, .mdev = mdev, .pasid = 1 };
	struct mock_task again = { .new = slow, .mdev = mdev, .pasid = 1 };
	struct mock_task detach = { .domain = fast, .mdev = mdev, .pasid = 1 };
	struct device *dev = &mdev->dev;

	mock_set_handler(slow, &slow_handler);
	mock_set_handler(fast, &fast_handler);
	slow_handler.parks = true;
	slow_handler.code = IOMMU_PAGE_RESP_INVALID;
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(slow, dev, 1));
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, 0));
	wait_for_completion(&slow_handler.begun);

	/* The new one is in use, and the old one not yet out of it. */
	mock_task_start(&replace);
	KUNIT_EXPECT_TRUE(test, mock_task_waits(&replace));
	KUNIT_EXPECT_PTR_EQ(test, fast, mdev->table[1]);
	KUNIT_EXPECT_PTR_EQ(test, fast,
			    iommu_get_domain_for_dev_pasid(dev, 1, 0));
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, 1));
	KUNIT_EXPECT_TRUE(test, mock_wait_response(mdev, 1));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&fast_handler.calls));

	/* Whoever wants to change that waits, and the PASID is still taken. */
	mock_task_start(&detach);
	KUNIT_EXPECT_TRUE(test, mock_task_waits(&detach));
	mock_task_start(&again);
	KUNIT_EXPECT_TRUE(test, mock_task_waits(&again));
	KUNIT_EXPECT_EQ(test, -EBUSY, iommu_attach_device_pasid(slow, dev, 1));

	complete_all(&slow_handler.go);
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&replace));
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&detach));
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&again));
	KUNIT_EXPECT_EQ(test, 0, replace.ret);
	KUNIT_EXPECT_EQ(test, -ENOENT, again.ret);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mdev->responses[0]));
	KUNIT_EXPECT_EQ(test, (int)IOMMU_PAGE_RESP_SUCCESS, mdev->codes[0]);
	KUNIT_EXPECT_NULL(test, mdev->table[1]);
	KUNIT_EXPECT_EQ(test, 1U, mdev->detaches);

	iommu_domain_free(fast);
	iommu_domain_free(slow);
	mock_dev_destroy(test, mdev);
}

#define REPLACE_ROUNDS	50000

struct mock_replacer {
	struct work_struct	work;
	struct mock_dev		*mdev;
	struct iommu_domain	*domain[2];
	unsigned int		rounds;
	unsigned int		failed;
	bool			done;
};

static void mock_replace(struct work_struct *work)
{
	struct mock_replacer *r = container_of(work, struct mock_replacer,
					       work);
	unsigned long end = jiffies + MOCK_RACE_TIME;
	struct device *dev = &r->mdev->dev;
	struct iommu_domain *domain;

	while (r->rounds < REPLACE_ROUNDS && time_before(jiffies, end)) {
		r->rounds++;
		domain = r->domain[r->rounds % 2];
		r->failed += !!iommu_replace_device_pasid(domain, dev, 1);
		cond_resched();
	}
	WRITE_ONCE(r->done, true);
}

/* There is always somebody to take what the hardware reports. */
static void replace_race_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct mock_replacer r = { .mdev = mdev };
	unsigned int refused = 0;
	int i;

	for (i = 0; i < 2; i++)
		r.domain[i] = mock_paging_domain(test);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(r.domain[0],
							   &mdev->dev, 1));
	INIT_WORK_ONSTACK(&r.work, mock_replace);
	queue_work(system_unbound_wq, &r.work);
	while (!READ_ONCE(r.done)) {
		refused += !!mock_report_one(mdev, 1, 0);
		cond_resched();
	}
	flush_work(&r.work);
	destroy_work_on_stack(&r.work);
	kunit_info(test, "%u rounds", r.rounds);
	KUNIT_EXPECT_LE(test, MOCK_RACE_MIN, r.rounds);
	KUNIT_EXPECT_EQ(test, 0U, r.failed);
	KUNIT_EXPECT_EQ(test, 0U, refused);

	iommu_detach_device_all_pasids(&mdev->dev);
	for (i = 0; i < 2; i++)
		iommu_domain_free(r.domain[i]);
	mock_dev_destroy(test, mdev);
}

static void detach_all_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct device *dev = &mdev->dev;
	struct iommu_sva *old, *new;
	u32 pasid;

	old = iommu_sva_bind(dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(old));
	pasid = iommu_sva_get_pasid(old);
	/* Processes have low ones: which one is up to what was released before. */
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, dev,
							   MOCK_PASIDS - 2));
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, dev,
							   MOCK_PASIDS - 1));
	iommu_detach_device_all_pasids(dev);
	KUNIT_EXPECT_TRUE(test, xa_empty(&dev->iommu->attachments));
	KUNIT_EXPECT_EQ(test, 3U, mdev->detaches);

	/* The handle of a bond is still to be given back, and only that. */
	new = iommu_sva_bind(dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(new));
	iommu_sva_unbind_device(old);
	KUNIT_EXPECT_NOT_NULL(test, mdev->table[pasid]);
	iommu_sva_unbind_device(new);
	KUNIT_EXPECT_EQ(test, 4U, mdev->detaches);

	iommu_detach_device_all_pasids(dev);
	KUNIT_EXPECT_EQ(test, 4U, mdev->detaches);
	mmput(mm);
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

/* The domain of a process where the driver wants it */
static void sva_domain_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 4);
	struct iommu_domain *paging = mock_paging_domain(test);
	struct device *dev = &mdev->dev;
	struct iommu_domain *sva[2];
	struct mm_struct *mm[2];
	unsigned long addr;
	int i;

	for (i = 0; i < 2; i++) {
		mm[i] = mock_mm_alloc(test);
		sva[i] = __iommu_sva_domain_get(dev, mm[i]);
		KUNIT_ASSERT_FALSE(test, IS_ERR(sva[i]));
	}
	KUNIT_EXPECT_PTR_NE(test, sva[0], sva[1]);
	KUNIT_EXPECT_PTR_EQ(test, sva[0], __iommu_sva_domain_get(dev, mm[0]));
	iommu_sva_domain_put(sva[0]);
	addr = mock_mmap(mm[1], PAGE_SIZE, PROT_READ);

	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(sva[0], dev, 14));
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(sva[0], dev, 15));
	KUNIT_EXPECT_FALSE(test, pasid_valid(mm[0]->pasid));
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, 15, 0, addr,
					     IOMMU_FAULT_PERM_READ, true));
	mock_expect_response(test, mdev, 0, IOMMU_PAGE_RESP_INVALID);

	/* One process after the other, and back from a paging domain */
	KUNIT_EXPECT_EQ(test, 0, iommu_replace_device_pasid(sva[1], dev, 15));
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, 15, 1, addr,
					     IOMMU_FAULT_PERM_READ, true));
	mock_expect_response(test, mdev, 1, IOMMU_PAGE_RESP_SUCCESS);
	KUNIT_EXPECT_EQ(test, 0, iommu_replace_device_pasid(paging, dev, 15));
	KUNIT_EXPECT_EQ(test, 0, iommu_replace_device_pasid(sva[1], dev, 15));
	KUNIT_EXPECT_PTR_EQ(test, sva[0], mdev->table[14]);
	KUNIT_EXPECT_PTR_EQ(test, sva[1], mdev->table[15]);

	/* It does not keep the process from exiting. */
	mmput(mm[0]);
	KUNIT_EXPECT_EQ(test, 1U, to_mock_domain(sva[0])->quiesced);
	KUNIT_EXPECT_EQ(test, 0U, to_mock_domain(sva[1])->quiesced);
	KUNIT_EXPECT_EQ(test, -ESRCH,
			iommu_attach_device_pasid(sva[0], dev, 13));
	KUNIT_EXPECT_EQ(test, -ESRCH,
			iommu_replace_device_pasid(sva[0], dev, 15));
	KUNIT_EXPECT_EQ(test, 0, iommu_replace_device_pasid(sva[1], dev, 14));
	iommu_sva_domain_put(sva[0]);

	iommu_detach_device_all_pasids(dev);
	iommu_sva_domain_put(sva[1]);
	mmput(mm[1]);
	iommu_domain_free(paging);
	mock_dev_destroy(test, mdev);
}

static void replace_group_test(struct kunit *test)
{
	struct mock *mock = test->priv;
	struct mock_dev *a = mock_dev_create(test, 3), *b;
	struct iommu_domain *pasid = mock_paging_domain(test);
	struct iommu_domain *first = mock_paging_domain(test);
	struct iommu_domain *second = mock_paging_domain(test);
	static const struct iommu_ops foreign_ops = { };
	struct iommu_group *group = iommu_group_get(&a->dev);

	KUNIT_EXPECT_EQ(test, -ENOENT,
			iommu_group_replace_domain(group, first));
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(pasid, &a->dev, 1));
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_group(first, group));
	KUNIT_EXPECT_EQ(test, -EBUSY, iommu_attach_group(second, group));
	KUNIT_EXPECT_EQ(test, 0, iommu_group_replace_domain(group, second));
	KUNIT_EXPECT_PTR_EQ(test, second, a->rid);
	KUNIT_EXPECT_PTR_EQ(test, second, iommu_get_domain_for_dev(&a->dev));
	KUNIT_EXPECT_PTR_EQ(test, pasid, a->table[1]);

	first->owner = &foreign_ops;
	KUNIT_EXPECT_EQ(test, -EINVAL,
			iommu_group_replace_domain(group, first));
	first->owner = &mock_ops;

	/* What fails leaves all devices where they were. */
	iommu_detach_device_pasid(pasid, &a->dev, 1);
	iommu_detach_group(second, group);
	mock->group = group;
	b = mock_dev_create(test, 3);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_group(second, group));
	b->fail_rid = -ENXIO;
	KUNIT_EXPECT_EQ(test, -ENXIO,
			iommu_group_replace_domain(group, first));
	KUNIT_EXPECT_PTR_EQ(test, second, a->rid);
	KUNIT_EXPECT_PTR_EQ(test, second, b->rid);
	KUNIT_EXPECT_PTR_EQ(test, second, iommu_get_domain_for_dev(&a->dev));
	KUNIT_EXPECT_EQ(test, 0, iommu_group_replace_domain(group, first));
	KUNIT_EXPECT_PTR_EQ(test, first, a->rid);
	KUNIT_EXPECT_PTR_EQ(test, first, b->rid);

	iommu_detach_group(first, group);
	mock_dev_destroy(test, b);
	mock_dev_destroy(test, a);
	iommu_group_put(group);
	iommu_domain_free(second);
	iommu_domain_free(first);
	iommu_domain_free(pasid);
}

/*
 * Contract: nothing waits for the mmap_lock, a page or a handler of another
 * process, and a failure leaves everything as it was. The mock is fast, so what
 * takes this long waits.
 */
#define MOCK_BOUND		(2 * HZ)

static bool mock_task_ends(struct mock_task *task)
{
	return wait_for_completion_timeout(&task->done, MOCK_BOUND);
}

/* Attach a domain while a bind of another PASID needs the mmap_lock of an mm. */
static void mock_attach_during_bind(struct kunit *test, bool locked)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct mock_task bind = { .mdev = mdev, .mm = mm };
	struct mock_task attach = {
		.attach	= domain,
		.mdev	= mdev,
		.pasid	= MOCK_PASIDS - 1,
	};

	if (locked)
		mmap_read_lock(mm);
	mock_task_start(&bind);
	KUNIT_EXPECT_EQ(test, !locked, mock_task_ends(&bind));

	mock_task_start(&attach);
	KUNIT_EXPECT_TRUE_MSG(test, mock_task_ends(&attach),
			      "attach waits for the mmap_lock of an unrelated mm");
	if (locked)
		mmap_read_unlock(mm);
	mock_task_flush(&attach);
	mock_task_flush(&bind);
	KUNIT_EXPECT_EQ(test, 0, attach.ret);
	KUNIT_EXPECT_FALSE(test, IS_ERR(bind.handle));

	if (!IS_ERR(bind.handle))
		iommu_sva_unbind_device(bind.handle);
	iommu_detach_device_pasid(domain, &mdev->dev, MOCK_PASIDS - 1);
	mmput(mm);
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

static void bind_mmap_free_test(struct kunit *test)
{
	mock_attach_during_bind(test, false);
}

static void bind_mmap_locked_test(struct kunit *test)
{
	mock_attach_during_bind(test, true);
}

struct mock_binder {
	struct completion	done;
	struct mock_dev		*mdev;
	struct mm_struct	*mm;
	struct iommu_sva	*handle;
};

static int mock_binder(void *data)
{
	struct mock_binder *binder = data;

	allow_signal(SIGKILL);
	binder->handle = iommu_sva_bind(&binder->mdev->dev, binder->mm);
	complete(&binder->done);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

/* A process that is killed in open() need not wait for the mmap_lock. */
static void bind_killed_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct mock_binder binder = { .mdev = mdev, .mm = mm };
	struct task_struct *task;

	init_completion(&binder.done);
	task = kthread_create(mock_binder, &binder, "iommu-pasid-binder");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));

	mmap_read_lock(mm);
	wake_up_process(task);
	KUNIT_EXPECT_FALSE(test, wait_for_completion_timeout(&binder.done,
							     HZ / 10));
	send_sig(SIGKILL, task, 1);
	KUNIT_EXPECT_TRUE_MSG(test,
			      wait_for_completion_timeout(&binder.done,
							  MOCK_BOUND),
			      "bind waits for the mmap_lock after SIGKILL");
	mmap_read_unlock(mm);
	kthread_stop(task);

	if (!IS_ERR(binder.handle))
		iommu_sva_unbind_device(binder.handle);
	mmput(mm);
	mock_dev_destroy(test, mdev);
}

/*
 * A page that does not come is a write-locked mmap_lock here. What it keeps
 * waiting is one worker, and the mm.
 */
struct mock_parked {
	struct mm_struct	*mm;
	struct iommu_domain	*domain;
};

static void mock_park_begin(struct kunit *test, struct mock_parked *parked,
			    struct mock_dev *mdev)
{
	parked->mm = mock_mm_alloc(test);
	parked->domain = __iommu_sva_domain_get(&mdev->dev, parked->mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(parked->domain));
}

static void mock_park_end(struct mock_parked *parked)
{
	iommu_sva_domain_put(parked->domain);
	mmput(parked->mm);
}

/* Until a worker has @mm in use; then it waits for the mmap_lock. */
static bool mock_park_served(struct mock_parked *parked)
{
	unsigned long end = jiffies + MOCK_TIMEOUT;

	while (atomic_read(&parked->mm->mm_users) == 1 &&
	       time_before(jiffies, end))
		msleep(20);
	return atomic_read(&parked->mm->mm_users) > 1;
}

/*
 * @groups of each of @pasids PASIDs of a device park. A group of another device
 * behind the same IOMMU is answered, and its PASID can be detached.
 */
static void mock_park_many(struct kunit *test, unsigned int pasids,
			   unsigned int groups)
{
	struct mock_dev *a = mock_dev_create(test, MOCK_PASID_BITS);
	struct mock_dev *b = mock_dev_create(test, 3);
	struct iommu_domain *fast = mock_paging_domain(test);
	struct mock_handler handler;
	struct mock_task detach = { .domain = fast, .mdev = b, .pasid = 2 };
	unsigned int pasid, i, failed = 0;
	struct mock_parked parked;
	bool answered;

	mock_park_begin(test, &parked, a);
	mock_set_handler(fast, &handler);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(fast, &b->dev, 2));
	for (pasid = 1; pasid <= pasids; pasid++)
		failed += !!iommu_attach_device_pasid(parked.domain, &a->dev,
						      pasid);

	/* As an interrupt thread: a workqueue's bound is one per NUMA node */
	KUNIT_EXPECT_EQ(test, 0, set_cpus_allowed_ptr(current, cpumask_of(0)));
	mmap_write_lock(parked.mm);
	for (pasid = 1; pasid <= pasids; pasid++)
		for (i = 0; i < groups; i++)
			failed += !!mock_report_one(a, pasid, i % MOCK_GROUPS);
	KUNIT_EXPECT_EQ(test, 0U, failed);
	KUNIT_EXPECT_TRUE(test, mock_park_served(&parked));
	/* For as many workers as there are going to be */
	msleep(500);

	KUNIT_EXPECT_EQ(test, 0, mock_report_one(b, 2, 1));
	answered = wait_event_timeout(b->answered,
				      atomic_read(&b->responses[1]),
				      MOCK_BOUND);
	KUNIT_EXPECT_TRUE_MSG(test, answered,
			      "a group of another device waits for %u parked ones",
			      pasids * groups);
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	mock_task_start(&detach);
	KUNIT_EXPECT_TRUE_MSG(test, mock_task_ends(&detach),
			      "detach of another device's PASID waits for them");
	mmap_write_unlock(parked.mm);
	mock_task_flush(&detach);

	iommu_detach_device_all_pasids(&a->dev);
	mock_park_end(&parked);
	iommu_domain_free(fast);
	mock_dev_destroy(test, b);
	mock_dev_destroy(test, a);
}

static void parked_200_groups_test(struct kunit *test)
{
	mock_park_many(test, 1, 200);
}

static void parked_300_groups_test(struct kunit *test)
{
	mock_park_many(test, 1, 300);
}

static void parked_600_groups_test(struct kunit *test)
{
	mock_park_many(test, 1, 600);
}

/* More PASIDs than WQ_MAX_ACTIVE: a share of the workers each is no bound. */
static void parked_600_pasids_test(struct kunit *test)
{
	mock_park_many(test, 600, 1);
}

/* One attachment, to PASID 1, with one group that waits for a page */
static void mock_park_fault(struct kunit *test, struct mock_parked *parked,
			    struct mock_dev *mdev)
{
	mock_park_begin(test, parked, mdev);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(parked->domain,
							   &mdev->dev, 1));
	mmap_write_lock(parked->mm);
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, 0));
	KUNIT_EXPECT_TRUE(test, mock_park_served(parked));
}

/* Detach answers what is being served, and does not wait for the page. */
static void detach_parked_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct mock_task detach = { .mdev = mdev, .pasid = 1 };
	struct mock_parked parked;

	mock_park_fault(test, &parked, mdev);
	detach.domain = parked.domain;

	mock_task_start(&detach);
	KUNIT_EXPECT_TRUE_MSG(test, mock_task_ends(&detach),
			      "detach waits for the page of a process");
	mmap_write_unlock(parked.mm);
	mock_task_flush(&detach);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mdev->responses[0]));

	mock_park_end(&parked);
	mock_dev_destroy(test, mdev);
}

/* The domain that has replaced another one is detached at once as well. */
static void detach_replacement_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *next = mock_paging_domain(test);
	struct mock_task replace = { .new = next, .mdev = mdev, .pasid = 1 };
	struct mock_task detach = { .domain = next, .mdev = mdev, .pasid = 1 };
	unsigned long end = jiffies + MOCK_TIMEOUT;
	struct iommu_domain *found;
	struct mock_parked parked;

	mock_park_fault(test, &parked, mdev);

	mock_task_start(&replace);
	while (READ_ONCE(mdev->table[1]) != next && time_before(jiffies, end))
		msleep(20);
	found = READ_ONCE(mdev->table[1]);
	KUNIT_EXPECT_PTR_EQ(test, next, found);
	mock_task_start(&detach);
	mock_task_ends(&detach);
	found = READ_ONCE(mdev->table[1]);
	KUNIT_EXPECT_TRUE_MSG(test, !found,
			      "the device still has a domain 2 s after its detach began");
	mmap_write_unlock(parked.mm);
	mock_task_flush(&replace);
	mock_task_flush(&detach);
	KUNIT_EXPECT_EQ(test, 0, replace.ret);
	KUNIT_EXPECT_EQ(test, 1U, mdev->detaches);

	mock_park_end(&parked);
	iommu_domain_free(next);
	mock_dev_destroy(test, mdev);
}

/* The last request of group 7 comes, and no other one is part of it. */
static void mock_expect_one_request(struct kunit *test, struct mock_dev *mdev)
{
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mock_handler handler;

	mock_set_handler(domain, &handler);
	KUNIT_EXPECT_EQ(test, 0,
			iommu_attach_device_pasid(domain, &mdev->dev, 1));
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, 7));
	KUNIT_EXPECT_TRUE(test, mock_wait_response(mdev, 7));
	KUNIT_EXPECT_EQ_MSG(test, 1, handler.requests,
			    "a request of the previous domain is in the group");
	iommu_detach_device_pasid(domain, &mdev->dev, 1);
	iommu_domain_free(domain);
}

static void report_partial_on_attach(struct mock_dev *mdev,
				     struct iommu_domain *domain)
{
	if (mock_report(mdev, 1, 7, PAGE_SIZE, IOMMU_FAULT_PERM_WRITE, false))
		mdev->misused = true;
	mdev->on_attach = NULL;
}

/* A partial group that is reported during an attach that fails */
static void partial_attach_fails_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *domain = mock_paging_domain(test);

	mdev->on_attach = report_partial_on_attach;
	mdev->mock->fail_attach = -ENXIO;
	KUNIT_EXPECT_EQ(test, -ENXIO,
			iommu_attach_device_pasid(domain, &mdev->dev, 1));
	mock_expect_one_request(test, mdev);

	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

/* The same during a detach, after the driver's part of it */
static void partial_detach_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct mock_task detach = { .mdev = mdev, .pasid = 1 };
	struct mock_parked parked;

	mock_park_fault(test, &parked, mdev);
	detach.domain = parked.domain;
	mock_task_start(&detach);
	KUNIT_EXPECT_TRUE(test, mock_detach_begun(mdev));
	msleep(MOCK_WHILE_MS);
	/* Fails if the detach has ended */
	mock_report(mdev, 1, 7, PAGE_SIZE, IOMMU_FAULT_PERM_WRITE, false);
	mmap_write_unlock(parked.mm);
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&detach));
	mock_expect_one_request(test, mdev);

	mock_park_end(&parked);
	mock_dev_destroy(test, mdev);
}

/*
 * A device that never sends the last request of a group. Without a reset of its
 * queue an IOMMU has at most as many requests as its queue holds.
 */
#define MOCK_MAX_PARTIAL	2048

static void partial_bound_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mock_handler handler;
	unsigned int i;

	mock_set_handler(domain, &handler);
	KUNIT_EXPECT_EQ(test, 0,
			iommu_attach_device_pasid(domain, &mdev->dev, 1));
	for (i = 0; i < 2 * MOCK_MAX_PARTIAL; i++)
		mock_report(mdev, 1, 0, i * PAGE_SIZE, IOMMU_FAULT_PERM_READ,
			    false);
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, 0));
	KUNIT_EXPECT_TRUE(test, mock_wait_response(mdev, 0));
	KUNIT_EXPECT_LE_MSG(test, handler.requests, MOCK_MAX_PARTIAL,
			    "requests without a last one are kept without bound");
	iommu_detach_device_pasid(domain, &mdev->dev, 1);
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

/* A passing shortage of memory is no reason to fail the access of the device. */
static void fault_retry_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mock_handler handler;
	struct kunit_fail_alloc fail;

	if (!kunit_fail_alloc_begin(&fail)) {
		iommu_domain_free(domain);
		mock_dev_destroy(test, mdev);
		kunit_skip(test, "needs CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS");
	}

	mock_set_handler(domain, &handler);
	KUNIT_EXPECT_EQ(test, 0,
			iommu_attach_device_pasid(domain, &mdev->dev, 1));
	kunit_fail_alloc_arm(1);
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, 0));
	kunit_fail_alloc_disarm();
	kunit_fail_alloc_end(&fail);
	KUNIT_EXPECT_TRUE(test, mock_wait_response(mdev, 0));
	KUNIT_EXPECT_EQ_MSG(test, (int)IOMMU_PAGE_RESP_SUCCESS, mdev->codes[0],
			    "a group is failed for lack of memory");

	iommu_detach_device_pasid(domain, &mdev->dev, 1);
	iommu_domain_free(domain);
	mock_dev_destroy(test, mdev);
}

/* A device of a group refuses another RID domain @times times in a row. */
static void mock_replace_group_fails(struct kunit *test, bool two,
				     unsigned int times)
{
	struct mock *mock = test->priv;
	struct mock_dev *a = mock_dev_create(test, 3), *b = NULL;
	struct iommu_domain *old = mock_paging_domain(test);
	struct iommu_domain *new = mock_paging_domain(test);
	struct iommu_group *group = iommu_group_get(&a->dev);
	struct mock_dev *fails = a;
	int ret;

	if (two) {
		mock->group = group;
		b = mock_dev_create(test, 3);
		fails = b;
	}
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_group(old, group));
	fails->fail_rid = -ENOMEM;
	fails->fail_rid_times = times;
	KUNIT_EXPECT_EQ(test, -ENOMEM, iommu_group_replace_domain(group, new));
	fails->fail_rid = 0;

	KUNIT_EXPECT_PTR_EQ(test, old, a->rid);
	if (b)
		KUNIT_EXPECT_PTR_EQ(test, old, b->rid);
	KUNIT_EXPECT_PTR_EQ_MSG(test, old, iommu_get_domain_for_dev(&a->dev),
				"the group has lost its domain");
	ret = iommu_attach_group(new, group);
	KUNIT_EXPECT_EQ(test, -EBUSY, ret);

	iommu_detach_group(ret ? old : new, group);
	if (b)
		mock_dev_destroy(test, b);
	mock_dev_destroy(test, a);
	iommu_group_put(group);
	iommu_domain_free(new);
	iommu_domain_free(old);
}

static void replace_group_fails_test(struct kunit *test)
{
	mock_replace_group_fails(test, true, 1);
}

static void replace_group_fails_twice_test(struct kunit *test)
{
	mock_replace_group_fails(test, false, 2);
}

static void replace_group_second_fails_twice_test(struct kunit *test)
{
	mock_replace_group_fails(test, true, 2);
}

static unsigned int mock_count_log(const char *text)
{
	struct kmsg_dump_iter iter;
	unsigned int num = 0;
	char line[256];
	size_t len;

	kmsg_dump_rewind(&iter);
	while (kmsg_dump_get_line(&iter, false, line, sizeof(line) - 1, &len)) {
		line[len] = '\0';
		num += !!strstr(line, text);
	}
	return num;
}

/* Any user of a device can bind as often as there is no PASID left. */
#define MOCK_BINDS		50
/* DEFAULT_RATELIMIT_BURST, in each of two intervals */
#define MOCK_MAX_LINES		20

static void bind_log_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	unsigned int i, n, before, refused = 0;
	struct device *dev = &mdev->dev;
	ioasid_t *pasid;

	pasid = kunit_kcalloc(test, MOCK_FEW_PASIDS, sizeof(*pasid),
			      GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pasid);
	dev->iommu->max_pasids = MOCK_FEW_PASIDS;
	n = take_all_pasids(dev, pasid);

	before = mock_count_log("Failed to alloc ioasid");
	for (i = 0; i < MOCK_BINDS; i++)
		refused += iommu_sva_bind(dev, mm) == ERR_PTR(-ENOSPC);
	KUNIT_EXPECT_EQ(test, (unsigned int)MOCK_BINDS, refused);
	KUNIT_EXPECT_LE_MSG(test, mock_count_log("Failed to alloc ioasid"),
			    before + MOCK_MAX_LINES,
			    "each refused bind is a line of the kernel log");

	while (n)
		iommu_free_global_pasid(pasid[--n]);
	mmput(mm);
	mock_dev_destroy(test, mdev);
}

#ifdef CONFIG_ARM64
/*
 * A page becomes writable, in place. A device that is not served by page faults
 * would go on using the read-only translation.
 */
static void upgrade_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct iommu_sva *handle = iommu_sva_bind(&mdev->dev, mm);
	struct mock_domain *mdom;
	unsigned long addr;
	int before, bad;
	u8 byte;

	KUNIT_ASSERT_FALSE(test, IS_ERR(handle));
	mdom = to_mock_domain(handle->domain);
	kthread_use_mm(mm);
	addr = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_ANONYMOUS | MAP_SHARED, 0);
	bad = get_user(byte, (u8 __user *)addr);
	before = atomic_read(&mdom->invalidations);
	bad |= put_user(1, (u8 __user *)addr);
	kthread_unuse_mm(mm);
	KUNIT_EXPECT_EQ(test, 0, bad);
	KUNIT_EXPECT_GT_MSG(test, atomic_read(&mdom->invalidations), before,
			    "a page became writable without an invalidation");

	iommu_sva_unbind_device(handle);
	mmput(mm);
	mock_dev_destroy(test, mdev);
}
#endif

#ifdef CONFIG_IOMMU_DEBUGFS

#define PASIDS_SIZE	SZ_16K

/* What reads the file of a device in debugfs, as a process would */
struct mock_reader {
	struct work_struct	work;
	struct completion	done;
	struct file		*file;
	struct mm_struct	*mm;
	unsigned long		addr;
	char			*text;
	ssize_t			ret;
};

/* Debugfs need not be mounted anywhere. */
static struct file *mock_pasids_open(struct kunit *test, struct mock_dev *mdev)
{
	struct file_system_type *type = get_fs_type("debugfs");
	struct vfsmount *mnt;
	struct file *file;
	char path[64];

	KUNIT_ASSERT_NOT_NULL(test, type);
	mnt = kern_mount(type);
	put_filesystem(type);
	KUNIT_ASSERT_FALSE(test, IS_ERR(mnt));

	snprintf(path, sizeof(path), "iommu/pasids/%s", dev_name(&mdev->dev));
	file = file_open_root_mnt(mnt, path, O_RDONLY, 0);
	kern_unmount(mnt);
	return file;
}

static void mock_reader_init(struct kunit *test, struct mock_reader *reader,
			     struct mock_dev *mdev)
{
	reader->file = mock_pasids_open(test, mdev);
	KUNIT_ASSERT_FALSE(test, IS_ERR(reader->file));
	reader->mm = mock_mm_alloc(test);
	reader->addr = mock_mmap(reader->mm, PASIDS_SIZE,
				 PROT_READ | PROT_WRITE);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(reader->addr));
	reader->text = kunit_kzalloc(test, PASIDS_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, reader->text);
	init_completion(&reader->done);
}

static void mock_reader_exit(struct mock_reader *reader)
{
	fput(reader->file);
	mmput(reader->mm);
}

static const char *mock_read(struct mock_reader *reader)
{
	char __user *to = (char __user *)reader->addr;
	loff_t pos = 0;

	kthread_use_mm(reader->mm);
	reader->ret = reader->file->f_op->read(reader->file, to,
					       PASIDS_SIZE - 1, &pos);
	reader->text[0] = '\0';
	if (reader->ret > 0) {
		if (copy_from_user(reader->text, to, reader->ret))
			reader->ret = -EFAULT;
		else
			reader->text[reader->ret] = '\0';
	}
	kthread_unuse_mm(reader->mm);
	return reader->text;
}

static void mock_read_work(struct work_struct *work)
{
	struct mock_reader *reader =
		container_of(work, struct mock_reader, work);

	mock_read(reader);
	complete(&reader->done);
}

#define EXPECT_SHOWN(test, reader, what)				\
	do {								\
		const char *text = mock_read(reader);			\
									\
		KUNIT_EXPECT_TRUE_MSG(test, strstr(text, what),		\
				      "%s", text);			\
	} while (0)
#define EXPECT_NOT_SHOWN(test, reader, what)				\
	do {								\
		const char *text = mock_read(reader);			\
									\
		KUNIT_EXPECT_FALSE_MSG(test, strstr(text, what),	\
				       "%s", text);			\
	} while (0)

static void debugfs_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mock_dev *none = mock_dev_create(test, 0);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct device *dev = &mdev->dev;
	struct mock_handler handler;
	struct mock_reader reader;
	struct iommu_sva *handle;
	unsigned long addr;
	char line[96];
	u32 pasid;
	int done;

	/* Where there are no PASIDs there is nothing to show. */
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-ENOENT),
			    (void *)mock_pasids_open(test, none));

	mock_reader_init(test, &reader, mdev);
	KUNIT_EXPECT_STREQ(test, mock_read(&reader),
			   "pasid 0: RID, domain Passthrough\n\tentry: 0\n");

	mock_set_handler(domain, &handler);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, dev, 2000));
	EXPECT_SHOWN(test, &reader,
		     "\npasid 2000: attached, users 1, served 0, refused 0, invalidations 0, domain Unmanaged\n\tentry: 2000\n");

	/* Each group counts, by its answer. */
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 2000, 0));
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 2000, 1));
	KUNIT_EXPECT_TRUE(test, mock_wait_response(mdev, 0));
	KUNIT_EXPECT_TRUE(test, mock_wait_response(mdev, 1));
	handler.code = IOMMU_PAGE_RESP_INVALID;
	mock_report(mdev, 2000, 2, 0, IOMMU_FAULT_PERM_READ, false);
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 2000, 2));
	mock_expect_response(test, mdev, 2, IOMMU_PAGE_RESP_INVALID);
	EXPECT_SHOWN(test, &reader, "served 2, refused 1, invalidations 0,");

	/* Invalidations do since it was attached, not those before. */
	handle = iommu_sva_bind(dev, mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(handle));
	pasid = iommu_sva_get_pasid(handle);
	addr = mock_mmap(mm, PAGE_SIZE, PROT_READ | PROT_WRITE);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	KUNIT_EXPECT_EQ(test, 0, mock_report(mdev, pasid, 3, addr,
					     IOMMU_FAULT_PERM_WRITE, true));
	mock_expect_response(test, mdev, 3, IOMMU_PAGE_RESP_SUCCESS);
	snprintf(line, sizeof(line),
		 "\npasid %u: attached, users 1, served 1, refused 0, invalidations 1, domain SVA",
		 pasid);
	EXPECT_SHOWN(test, &reader, line);
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(mdev->table[pasid],
							   dev, 3000));
	KUNIT_EXPECT_EQ(test, 0, mock_munmap(mm, addr, PAGE_SIZE));
	done = atomic_read(&to_mock_domain(mdev->table[pasid])->invalidations);
	KUNIT_EXPECT_GT(test, done, 1);
	snprintf(line, sizeof(line), "served 1, refused 0, invalidations %d,",
		 done);
	EXPECT_SHOWN(test, &reader, line);
	snprintf(line, sizeof(line),
		 "\npasid 3000: attached, users 1, served 0, refused 0, invalidations %d,",
		 done - 1);
	EXPECT_SHOWN(test, &reader, line);
	iommu_detach_device_pasid(mdev->table[3000], dev, 3000);
	EXPECT_NOT_SHOWN(test, &reader, "pasid 3000:");

	/* The table has what the core does not know, and the other way round. */
	EXPECT_NOT_SHOWN(test, &reader, "NOT");
	mdev->table[MOCK_PASIDS - 1] = domain;
	mdev->table[2000] = NULL;
	EXPECT_SHOWN(test, &reader, "\npasid 4095: NOT ATTACHED\n\tentry: 4095\n");
	EXPECT_SHOWN(test, &reader, "domain Unmanaged\n\tNOT IN THE TABLE\n");
	mdev->table[MOCK_PASIDS - 1] = NULL;
	mdev->table[2000] = domain;
	EXPECT_NOT_SHOWN(test, &reader, "NOT");

	mmput(mm);
	EXPECT_SHOWN(test, &reader, ", exited\n");
	iommu_sva_unbind_device(handle);
	iommu_detach_device_pasid(domain, dev, 2000);
	KUNIT_EXPECT_STREQ(test, mock_read(&reader),
			   "pasid 0: RID, domain Passthrough\n\tentry: 0\n");

	mock_reader_exit(&reader);
	iommu_domain_free(domain);
	mock_dev_destroy(test, none);
	mock_dev_destroy(test, mdev);
}

/* Who detaches or replaces may wait for long. Reading does not. */
static void debugfs_waits_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *slow = mock_paging_domain(test);
	struct iommu_domain *fast = mock_paging_domain(test);
	struct mock_task replace = { .new = fast, .mdev = mdev, .pasid = 1 };
	struct mock_task detach = { .domain = slow, .mdev = mdev, .pasid = 2 };
	struct mock_handler handler;
	struct mock_reader reader;

	mock_reader_init(test, &reader, mdev);
	mock_set_handler(slow, &handler);
	handler.parks = true;
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(slow, &mdev->dev,
							   1));
	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(slow, &mdev->dev,
							   2));
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 1, 1));
	KUNIT_EXPECT_EQ(test, 0, mock_report_one(mdev, 2, 2));
	wait_for_completion(&handler.begun);
	wait_for_completion(&handler.begun);
	EXPECT_SHOWN(test, &reader, "pasid 2: attached, users 2,");

	mock_task_start(&detach);
	KUNIT_EXPECT_TRUE(test, mock_task_waits(&detach));
	mock_task_start(&replace);
	KUNIT_EXPECT_TRUE(test, mock_task_waits(&replace));
	EXPECT_SHOWN(test, &reader, "pasid 1: settling, users 1,");
	EXPECT_SHOWN(test, &reader, "pasid 2: closing, users 1,");
	EXPECT_NOT_SHOWN(test, &reader, "NOT");

	complete_all(&handler.go);
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&replace));
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&detach));
	EXPECT_SHOWN(test, &reader, "pasid 1: attached,");
	EXPECT_NOT_SHOWN(test, &reader, "pasid 2:");

	iommu_detach_device_pasid(fast, &mdev->dev, 1);
	mock_reader_exit(&reader);
	iommu_domain_free(fast);
	iommu_domain_free(slow);
	mock_dev_destroy(test, mdev);
}

static struct completion mock_showing, mock_show_on;

static void mock_show_parks(struct mock_dev *mdev)
{
	complete(&mock_showing);
	wait_for_completion(&mock_show_on);
	if (mdev->released)
		mdev->misused = true;
}

static void debugfs_remove_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, 3);
	struct iommu_domain *domain = mock_paging_domain(test);
	struct mock_task remove = { .mdev = mdev };
	struct mock_reader reader;

	KUNIT_EXPECT_EQ(test, 0, iommu_attach_device_pasid(domain, &mdev->dev,
							   7));
	mock_reader_init(test, &reader, mdev);
	init_completion(&mock_showing);
	init_completion(&mock_show_on);
	mdev->on_show = mock_show_parks;
	INIT_WORK_ONSTACK(&reader.work, mock_read_work);
	queue_work(system_unbound_wq, &reader.work);
	wait_for_completion(&mock_showing);

	/* The device stays for as long as somebody is shown what it has. */
	mock_task_start(&remove);
	KUNIT_EXPECT_TRUE(test, mock_task_waits(&remove));
	KUNIT_EXPECT_FALSE(test, mdev->released);
	KUNIT_EXPECT_PTR_EQ(test, domain, mdev->table[7]);
	complete_all(&mock_show_on);
	wait_for_completion(&reader.done);
	KUNIT_EXPECT_TRUE(test, mock_task_finish(&remove));
	KUNIT_EXPECT_TRUE(test, mdev->released);
	KUNIT_EXPECT_FALSE(test, mdev->misused);
	KUNIT_EXPECT_TRUE(test, strstr(reader.text, "pasid 7: attached,"));
	flush_work(&reader.work);
	destroy_work_on_stack(&reader.work);

	/* The file is still open, and has nothing to say. */
	mock_read(&reader);
	KUNIT_EXPECT_EQ(test, -EIO, (int)reader.ret);
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-ENOENT),
			    (void *)mock_pasids_open(test, mdev));

	mock_reader_exit(&reader);
	iommu_domain_free(domain);
	put_device(&mdev->dev);
}

#define STORM_ROUNDS	3000

struct mock_storm {
	struct work_struct	work;
	struct mock_dev		*mdev;
	struct mm_struct	*mm;
	struct iommu_domain	*domain[2];
	u32			pasid;
	bool			ends;
	unsigned int		rounds;
	unsigned int		failed;
};

static void mock_storm(struct work_struct *work)
{
	struct mock_storm *storm = container_of(work, struct mock_storm, work);
	struct device *dev = &storm->mdev->dev;
	unsigned long end = jiffies + MOCK_RACE_TIME;
	struct iommu_domain *domain, *other;
	struct iommu_sva *handle;

	while (storm->rounds < STORM_ROUNDS && time_before(jiffies, end)) {
		domain = storm->domain[storm->rounds & 1];
		other = storm->domain[~storm->rounds & 1];
		storm->rounds++;
		handle = iommu_sva_bind(dev, storm->mm);
		storm->failed += IS_ERR(handle);
		storm->failed += !!iommu_attach_device_pasid(domain, dev,
							     storm->pasid);
		storm->failed += !!mock_report_one(storm->mdev, storm->pasid,
						   0);
		storm->failed += !!iommu_replace_device_pasid(other, dev,
							      storm->pasid);
		if (!IS_ERR(handle))
			iommu_sva_unbind_device(handle);
		iommu_detach_device_pasid(other, dev, storm->pasid);
	}
	WRITE_ONCE(storm->ends, true);
}

/* Whatever happens, what the core has and what the table has fit together. */
static void debugfs_race_test(struct kunit *test)
{
	struct mock_dev *mdev = mock_dev_create(test, MOCK_PASID_BITS);
	struct mm_struct *mm = mock_mm_alloc(test);
	struct mock_storm storm = { .mdev = mdev, .mm = mm, .pasid = 4000 };
	unsigned int odd = 0, shown = 0, empty = 0;
	struct mock_reader reader;

	storm.domain[0] = mock_paging_domain(test);
	storm.domain[1] = mock_paging_domain(test);
	mock_reader_init(test, &reader, mdev);

	INIT_WORK_ONSTACK(&storm.work, mock_storm);
	queue_work(system_unbound_wq, &storm.work);
	while (!READ_ONCE(storm.ends)) {
		mock_read(&reader);
		odd += reader.ret <= 0 || strstr(reader.text, "NOT");
		if (strstr(reader.text, "\npasid"))
			shown++;
		else
			empty++;
	}
	flush_work(&storm.work);
	destroy_work_on_stack(&storm.work);

	kunit_info(test, "%u rounds, read %u times, %u with PASIDs",
		   storm.rounds, shown + empty, shown);
	KUNIT_EXPECT_LE(test, MOCK_RACE_MIN, storm.rounds);
	KUNIT_EXPECT_EQ(test, 0U, storm.failed);
	KUNIT_EXPECT_EQ(test, 0U, odd);
	KUNIT_EXPECT_GT(test, shown, 0U);

	mmput(mm);
	mock_reader_exit(&reader);
	iommu_domain_free(storm.domain[0]);
	iommu_domain_free(storm.domain[1]);
	mock_dev_destroy(test, mdev);
}

#endif /* CONFIG_IOMMU_DEBUGFS */

static int iommu_pasid_test_init(struct kunit *test)
{
	struct mock *mock;
	int ret;

	mock = kunit_kzalloc(test, sizeof(*mock), GFP_KERNEL);
	if (!mock)
		return -ENOMEM;

	mock->queue = iopf_queue_alloc("mock");
	if (!mock->queue)
		return -ENOMEM;

	ret = bus_register(&mock_bus);
	if (ret)
		goto err_queue;

	mock->iommu.ops = &mock_ops;
	mock->iommu.max_pasids = MOCK_PASIDS;
	ret = iommu_device_sysfs_add(&mock->iommu, NULL, NULL, "mock-iommu");
	if (ret)
		goto err_bus;

	mock_current = mock;
	test->priv = mock;
	return 0;

err_bus:
	bus_unregister(&mock_bus);
err_queue:
	iopf_queue_free(mock->queue);
	return ret;
}

static void iommu_pasid_test_exit(struct kunit *test)
{
	struct mock *mock = test->priv;

	/* No test leaves anything behind, not even a reference. */
	mmu_notifier_synchronize();
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&mock->devices));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&mock->domains));

	iommu_device_sysfs_remove(&mock->iommu);
	bus_unregister(&mock_bus);
	iopf_queue_free(mock->queue);
}

static struct kunit_case iommu_pasid_test_cases[] = {
	KUNIT_CASE(max_pasids_test),
	KUNIT_CASE(attach_test),
	KUNIT_CASE(refusal_test),
	KUNIT_CASE(shared_group_test),
	KUNIT_CASE(supported_test),
	KUNIT_CASE(taken_test),
	KUNIT_CASE(attach_fails_test),
	KUNIT_CASE(attach_no_memory_test),
	KUNIT_CASE(owner_test),
	KUNIT_CASE(driver_unbind_test),
	KUNIT_CASE(rid_domain_test),
	KUNIT_CASE(rid_deferred_test),
	KUNIT_CASE(bind_test),
	KUNIT_CASE(bind_many_test),
	KUNIT_CASE(bind_kernel_tables_test),
	KUNIT_CASE(bind_unmap_test),
	KUNIT_CASE(bind_pasid_range_test),
	KUNIT_CASE(global_pasid_test),
	KUNIT_CASE(released_pasid_test),
	KUNIT_CASE(bind_refusal_test),
	KUNIT_CASE(bind_fails_test),
	KUNIT_CASE(bind_no_memory_test),
	KUNIT_CASE(fault_route_test),
	KUNIT_CASE(fault_unknown_test),
	KUNIT_CASE(fault_group_test),
	KUNIT_CASE(fault_no_memory_test),
	KUNIT_CASE(detach_waits_test),
	KUNIT_CASE(detach_answers_test),
	KUNIT_CASE(detach_pending_test),
	KUNIT_CASE(unqueue_waits_test),
	KUNIT_CASE(remove_device_test),
	KUNIT_CASE(reprobe_device_test),
	KUNIT_CASE(sva_fault_test),
	KUNIT_CASE(sva_exit_test),
	KUNIT_CASE(sva_unbind_waits_test),
	KUNIT_CASE(bind_before_unbind_test),
	KUNIT_CASE(race_test),
	KUNIT_CASE(replace_test),
	KUNIT_CASE(replace_bond_test),
	KUNIT_CASE(replace_no_memory_test),
	KUNIT_CASE(replace_fault_test),
	KUNIT_CASE(replace_waits_test),
	KUNIT_CASE(replace_race_test),
	KUNIT_CASE(replace_group_test),
	KUNIT_CASE(detach_all_test),
	KUNIT_CASE(sva_domain_test),
	KUNIT_CASE(bind_mmap_free_test),
	KUNIT_CASE(bind_mmap_locked_test),
	KUNIT_CASE(bind_killed_test),
	KUNIT_CASE(bind_log_test),
	KUNIT_CASE(parked_200_groups_test),
	KUNIT_CASE(parked_300_groups_test),
	KUNIT_CASE(parked_600_groups_test),
	KUNIT_CASE(parked_600_pasids_test),
	KUNIT_CASE(detach_parked_test),
	KUNIT_CASE(detach_replacement_test),
	KUNIT_CASE(partial_attach_fails_test),
	KUNIT_CASE(partial_detach_test),
	KUNIT_CASE(partial_bound_test),
	KUNIT_CASE(fault_retry_test),
	KUNIT_CASE(replace_group_fails_test),
	KUNIT_CASE(replace_group_fails_twice_test),
	KUNIT_CASE(replace_group_second_fails_twice_test),
#ifdef CONFIG_ARM64
	KUNIT_CASE(upgrade_test),
#endif
#ifdef CONFIG_IOMMU_DEBUGFS
	KUNIT_CASE(debugfs_test),
	KUNIT_CASE(debugfs_waits_test),
	KUNIT_CASE(debugfs_remove_test),
	KUNIT_CASE(debugfs_race_test),
#endif
	{ }
};

static struct kunit_suite iommu_pasid_test_suite = {
	.name		= "iommu_pasid",
	.init		= iommu_pasid_test_init,
	.exit		= iommu_pasid_test_exit,
	.test_cases	= iommu_pasid_test_cases,
};

kunit_test_suites(&iommu_pasid_test_suite);

MODULE_LICENSE("GPL");
