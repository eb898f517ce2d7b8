/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * I/O page faults: what IOMMU drivers queue, and what handlers of domains serve
 */
#ifndef __IO_PGFAULT_H
#define __IO_PGFAULT_H

#include <linux/iommu.h>
#include <linux/workqueue.h>

struct iommu_attachment;
struct iopf_device_param;
struct iopf_queue;

/**
 * struct iopf_group - page requests that get one response
 * @dev: the device that sent them
 * @attachment: what they are to be served by
 * @param: fault data of @dev
 * @faults: the requests, list of struct iommu_fault_event; @last is at the end
 * @last: the request that the response refers to
 * @work: serves and answers them
 */
struct iopf_group {
	struct device			*dev;
	struct iommu_attachment		*attachment;
	struct iopf_device_param	*param;
	struct list_head		faults;
	struct iommu_fault_event	last;
	struct work_struct		work;
};

#ifdef CONFIG_IOMMU_SVA
struct iopf_queue *iopf_queue_alloc(const char *name);
void iopf_queue_free(struct iopf_queue *queue);
int iopf_queue_add_device(struct iopf_queue *queue, struct device *dev);
int iopf_queue_remove_device(struct iopf_queue *queue, struct device *dev);
int iopf_queue_discard_partial(struct iopf_queue *queue);
#else /* CONFIG_IOMMU_SVA */
static inline struct iopf_queue *iopf_queue_alloc(const char *name)
{
	return NULL;
}

static inline void iopf_queue_free(struct iopf_queue *queue)
{
}

static inline int iopf_queue_add_device(struct iopf_queue *queue,
					struct device *dev)
{
	return -ENODEV;
}

static inline int iopf_queue_remove_device(struct iopf_queue *queue,
					   struct device *dev)
{
	return -ENODEV;
}

static inline int iopf_queue_discard_partial(struct iopf_queue *queue)
{
	return -ENODEV;
}
#endif /* CONFIG_IOMMU_SVA */
#endif /* __IO_PGFAULT_H */
