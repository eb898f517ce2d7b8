// SPDX-License-Identifier: GPL-2.0
/*
 * Page requests of devices behind a VT-d unit
 *
 * A device that finds a page missing in its TLB asks for it. The unit puts such
 * requests into a queue in memory, which a thread empties. Groups of requests
 * get one response, from the IOMMU core if it took the request that ended the
 * group, from here if not.
 */

#define pr_fmt(fmt)	"DMAR: " fmt

#include <linux/dmar.h>
#include <linux/interrupt.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "iommu.h"
#include "pasid.h"
#include "perf.h"
#include "prq.h"
#include "qi.h"
#include "trace.h"
#include "../io-pgfault.h"

/* Page request descriptor, VT-d 7.4.1 */
struct page_req_dsc {
	union {
		struct {
			u64 type:8;
			u64 pasid_present:1;
			u64 priv_data_present:1;
			u64 rsvd:6;
			u64 rid:16;
			u64 pasid:20;
			u64 exe_req:1;
			u64 pm_req:1;
			u64 rsvd2:10;
		};
		u64 qw_0;
	};
	union {
		struct {
			u64 rd_req:1;
			u64 wr_req:1;
			u64 lpig:1;
			u64 prg_index:9;
			u64 addr:52;
		};
		u64 qw_1;
	};
	u64 priv_data[2];
};

/* How often a queue that overflows is drained */
#define PRQ_DRAIN_TRIES	3

static unsigned int prq_head(struct intel_iommu *iommu)
{
	return dmar_readq(iommu->reg + DMAR_PQH_REG) & PRQ_RING_MASK;
}

static unsigned int prq_tail(struct intel_iommu *iommu)
{
	return dmar_readq(iommu->reg + DMAR_PQT_REG) & PRQ_RING_MASK;
}

static bool prq_overflow(struct intel_iommu *iommu)
{
	return readl(iommu->reg + DMAR_PRS_REG) & DMA_PRS_PRO;
}

static bool prq_is_canonical(u64 addr)
{
	int shift = 64 - (__VIRTUAL_MASK_SHIFT + 1);

	return ((s64)(addr << shift) >> shift) == (s64)addr;
}

static u32 prq_perm(const struct page_req_dsc *req)
{
	u32 perm = 0;

	if (req->rd_req)
		perm |= IOMMU_FAULT_PERM_READ;
	if (req->wr_req)
		perm |= IOMMU_FAULT_PERM_WRITE;
	if (req->exe_req)
		perm |= IOMMU_FAULT_PERM_EXEC;
	if (req->pm_req)
		perm |= IOMMU_FAULT_PERM_PRIV;
	return perm;
}

static void prq_to_fault(struct intel_iommu *iommu, struct pci_dev *pdev,
			 const struct page_req_dsc *req,
			 struct iommu_fault *fault)
{
	struct iommu_fault_page_request *prm = &fault->prm;

	fault->type = IOMMU_FAULT_PAGE_REQ;
	prm->addr = (u64)req->addr << VTD_PAGE_SHIFT;
	prm->pasid = req->pasid;
	prm->grpid = req->prg_index;
	prm->perm = prq_perm(req);

	if (req->lpig)
		prm->flags |= IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE;
	if (req->pasid_present) {
		prm->flags |= IOMMU_FAULT_PAGE_REQUEST_PASID_VALID;
		if (pci_prg_resp_pasid_required(pdev))
			prm->flags |= IOMMU_FAULT_PAGE_RESPONSE_NEEDS_PASID;
	}

	/* With private data each request is answered, as if it were the last */
	if (req->priv_data_present) {
		prm->flags |= IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE |
			      IOMMU_FAULT_PAGE_REQUEST_PRIV_DATA;
		prm->private_data[0] = req->priv_data[0];
		prm->private_data[1] = req->priv_data[1];
	} else if (dmar_latency_enabled(iommu, DMAR_LATENCY_PRQ)) {
		prm->private_data[0] = ktime_to_ns(ktime_get());
	}
}

/* Why a request cannot be served whatever is attached, or NULL */
static const char *prq_refuse(const struct page_req_dsc *req)
{
	if (!req->pasid_present)
		return "no PASID";
	if (!prq_is_canonical((u64)req->addr << VTD_PAGE_SHIFT))
		return "address not canonical";
	if (req->pm_req && (req->rd_req || req->wr_req))
		return "privileged";
	if (req->exe_req && req->rd_req)
		return "to execute";
	return NULL;
}

/* Only the last request of a group, or one with private data, has a response */
static void prq_deny(struct intel_iommu *iommu, const struct page_req_dsc *req,
		     bool pasid)
{
	struct qi_desc desc = {
		.qw0 = QI_PGRP_RESP_TYPE | QI_PGRP_DID(req->rid) |
		       QI_PGRP_PASID_P(pasid) |
		       QI_PGRP_PASID(pasid ? req->pasid : 0) |
		       QI_PGRP_PDP(req->priv_data_present) |
		       QI_PGRP_RESP_CODE(QI_RESP_INVALID),
		.qw1 = QI_PGRP_IDX(req->prg_index) | QI_PGRP_LPIG(req->lpig),
	};

	if (!req->lpig && !req->priv_data_present)
		return;

	if (req->priv_data_present) {
		desc.qw2 = req->priv_data[0];
		desc.qw3 = req->priv_data[1];
	}
	qi_submit_sync(iommu, &desc, 1, 0);
}

/* A device that nobody knows is answered as most devices want it */
static void prq_handle(struct intel_iommu *iommu,
		       const struct page_req_dsc *req)
{
	bool pasid = req->pasid_present;
	struct iommu_fault_event evt = {};
	const char *why;
	struct device *dev;
	int ret = -ENODEV;

	/* A stop marker: nothing is asked for (PCIe 6.0, 10.4.1.2.1) */
	if (req->lpig && !req->rd_req && !req->wr_req)
		return;

	why = prq_refuse(req);
	if (why)
		pr_err_ratelimited("%s: page request refused, %s: %016llx %016llx\n",
				   iommu->name, why, req->qw_0, req->qw_1);

	/* A device leaves prq_devices before it is released. */
	mutex_lock(&iommu->prq_lock);
	dev = xa_load(&iommu->prq_devices, req->rid);
	if (dev) {
		pasid = pasid && pci_prg_resp_pasid_required(to_pci_dev(dev));
		if (!why) {
			prq_to_fault(iommu, to_pci_dev(dev), req, &evt.fault);
			ret = iommu_report_device_fault(dev, &evt);
		}
		if (!ret)
			trace_prq_report(iommu, dev, req->qw_0, req->qw_1,
					 req->priv_data[0], req->priv_data[1],
					 iommu->prq_seq_number++);
	}
	mutex_unlock(&iommu->prq_lock);

	if (ret)
		prq_deny(iommu, req, pasid);
}

static irqreturn_t prq_thread(int irq, void *data)
{
	struct intel_iommu *iommu = data;
	unsigned int head, tail;
	bool handled = false;

	/* Before reading head and tail, so that what comes later interrupts */
	writel(DMA_PRS_PPR, iommu->reg + DMAR_PRS_REG);

again:
	head = prq_head(iommu);
	tail = prq_tail(iommu);
	while (head != tail) {
		handled = true;
		prq_handle(iommu, &iommu->prq[head / sizeof(*iommu->prq)]);
		head = (head + sizeof(*iommu->prq)) & PRQ_RING_MASK;
	}
	dmar_writeq(iommu->reg + DMAR_PQH_REG, tail);

	/*
	 * Ends of groups have been lost. The unit accepts requests again once
	 * this is cleared, so nothing of a new group is thrown away if the queue
	 * is empty before.
	 */
	if (prq_overflow(iommu)) {
		if (prq_tail(iommu) != tail)
			goto again;
		pr_info_ratelimited("%s: page request queue overflow\n",
				    iommu->name);
		iopf_queue_discard_partial(iommu->iopf_queue);
		writel(DMA_PRS_PRO, iommu->reg + DMAR_PRS_REG);
		handled = true;
	}

	/* Pairs with smp_load_acquire() in prq_catch_up() */
	smp_store_release(&iommu->prq_rounds, iommu->prq_rounds + 1);
	wake_up_all(&iommu->prq_wait);

	return IRQ_RETVAL(handled);
}

static bool prq_pending(struct intel_iommu *iommu, u16 rid, u32 pasid)
{
	unsigned int tail = prq_tail(iommu), head = prq_head(iommu);
	const struct page_req_dsc *req;

	for (; head != tail; head = (head + sizeof(*req)) & PRQ_RING_MASK) {
		req = &iommu->prq[head / sizeof(*req)];
		if (req->rid == rid && req->pasid_present &&
		    req->pasid == pasid)
			return true;
	}
	return false;
}

/*
 * Wait until the thread has reported what the queue now has of a device's PASID.
 * The round under way may have begun before that was queued, the one after it
 * has not: what a device that does not stop goes on asking is not waited for.
 */
static void prq_catch_up(struct intel_iommu *iommu, u16 rid, u32 pasid)
{
	unsigned int round, rounds;

	for (round = 0; round < 2; round++) {
		/* Pairs with smp_store_release() in prq_thread() */
		rounds = smp_load_acquire(&iommu->prq_rounds);
		if (!prq_pending(iommu, rid, pasid) && !prq_overflow(iommu))
			return;
		wait_event(iommu->prq_wait,
			   READ_ONCE(iommu->prq_rounds) != rounds);
	}
}

/**
 * intel_prq_drain() - see to it that no page request of a PASID is under way
 * @info: the device
 * @pasid: a PASID whose entry has been torn down or replaced
 * @did: the domain ID that the entry had
 *
 * On return all that the device had asked for with @pasid before has been
 * reported, so that the core knows what is left to answer. Follows VT-d 7.10:
 * invalidations of the device's TLB push its requests ahead of their completions,
 * and the wait descriptor has the unit write those out. If the queue overflows
 * meanwhile requests may have been left behind: once more. That may go on for
 * ever, by other devices or, after a replacement, by this one; but what is lost
 * in an overflow the unit has answered itself, and what is not is reported.
 *
 * A device that is gone asks for nothing, but what it had asked for is still in
 * the queue.
 *
 * Context: process context, group mutex held. Waits for hardware and for the
 *	    thread, which takes no mutex of a group.
 */
void intel_prq_drain(struct device_domain_info *info, u32 pasid, u16 did)
{
	u16 rid = PCI_DEVID(info->bus, info->devfn);
	struct intel_iommu *iommu = info->iommu;
	unsigned int num, tries = 0;
	struct qi_desc desc[4];
	bool again;

	if (!info->pri_enabled || !iommu->prq)
		return;

	prq_catch_up(iommu, rid, pasid);
	do {
		do {
			num = 0;
			desc[num++] = (struct qi_desc) {
				.qw0 = QI_IWD_TYPE | QI_IWD_FENCE |
				       QI_IWD_STATUS_DATA(QI_DONE),
			};
			qi_desc_piotlb_pasid(&desc[num++], did, pasid);
			num += qi_desc_dev_iotlb_all(&desc[num], info, pasid);
		} while (qi_submit_once(iommu, desc, num,
					QI_OPT_WAIT_DRAIN) == -EAGAIN);

		again = prq_overflow(iommu);
		prq_catch_up(iommu, rid, pasid);
	} while (again && ++tries < PRQ_DRAIN_TRIES);
}

static unsigned int prq_code(u32 code)
{
	switch (code) {
	case IOMMU_PAGE_RESP_SUCCESS:
		return QI_RESP_SUCCESS;
	case IOMMU_PAGE_RESP_INVALID:
		return QI_RESP_INVALID;
	default:
		return QI_RESP_FAILURE;
	}
}

/**
 * intel_prq_page_response() - answer a group of page requests
 * @dev: the device that asked
 * @evt: the last request of the group
 * @resp: the answer
 *
 * Context: process context.
 * Return: 0, %-EINVAL if the unit does not know such an answer.
 */
int intel_prq_page_response(struct device *dev, struct iommu_fault_event *evt,
			    struct iommu_page_response *resp)
{
	const struct iommu_fault_page_request *prm = &evt->fault.prm;
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	bool private = prm->flags & IOMMU_FAULT_PAGE_REQUEST_PRIV_DATA;
	bool last = prm->flags & IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE;
	bool pasid = resp->flags & IOMMU_PAGE_RESP_PASID_VALID;
	unsigned int code = prq_code(resp->code);
	struct qi_desc desc = {
		.qw0 = QI_PGRP_RESP_TYPE |
		       QI_PGRP_DID(PCI_DEVID(info->bus, info->devfn)) |
		       QI_PGRP_PASID_P(pasid) |
		       QI_PGRP_PASID(pasid ? resp->pasid : 0) |
		       QI_PGRP_PDP(private) | QI_PGRP_RESP_CODE(code),
		.qw1 = QI_PGRP_IDX(resp->grpid) | QI_PGRP_LPIG(last),
	};

	if (private) {
		desc.qw2 = prm->private_data[0];
		desc.qw3 = prm->private_data[1];
	} else if (prm->private_data[0]) {
		dmar_latency_update(info->iommu, DMAR_LATENCY_PRQ,
				    ktime_to_ns(ktime_get()) -
				    prm->private_data[0]);
	}

	return qi_submit_sync(info->iommu, &desc, 1, 0);
}

/**
 * intel_prq_add_device() - have the core serve the page requests of a device
 * @info: the device
 *
 * Context: process context, may sleep.
 * Return: 0, -ENODEV if the device or its unit has no page requests, -EBUSY if
 * that is done already, -ENOMEM.
 */
int intel_prq_add_device(struct device_domain_info *info)
{
	u16 rid = PCI_DEVID(info->bus, info->devfn);
	struct intel_iommu *iommu = info->iommu;
	int ret;

	if (!info->ats_enabled || !info->pri_enabled || !iommu->prq) {
		dev_dbg(info->dev, "no page requests: the device lacks ATS or PRI, or %s lacks PRS or PDS\n",
			iommu->name);
		return -ENODEV;
	}

	ret = iopf_queue_add_device(iommu->iopf_queue, info->dev);
	if (ret)
		return ret;

	ret = xa_insert(&iommu->prq_devices, rid, info->dev, GFP_KERNEL);
	if (ret)
		iopf_queue_remove_device(iommu->iopf_queue, info->dev);
	return ret;
}

/**
 * intel_prq_remove_device() - undo intel_prq_add_device()
 * @info: the device; nothing if that was not called
 *
 * What the device still asks for is denied.
 *
 * Context: process context, may sleep.
 */
void intel_prq_remove_device(struct device_domain_info *info)
{
	u16 rid = PCI_DEVID(info->bus, info->devfn);
	struct intel_iommu *iommu = info->iommu;

	if (!iommu->prq)
		return;

	/* The thread has the mutex while it uses what it has found. */
	mutex_lock(&iommu->prq_lock);
	if (xa_load(&iommu->prq_devices, rid) == info->dev)
		xa_erase(&iommu->prq_devices, rid);
	mutex_unlock(&iommu->prq_lock);

	iopf_queue_remove_device(iommu->iopf_queue, info->dev);
}

static void prq_start(struct intel_iommu *iommu)
{
	dmar_writeq(iommu->reg + DMAR_PQH_REG, 0);
	dmar_writeq(iommu->reg + DMAR_PQT_REG, 0);
	/* Left pending by a kernel that crashed, they keep it from interrupting */
	writel(DMA_PRS_PPR | DMA_PRS_PRO, iommu->reg + DMAR_PRS_REG);
	dmar_writeq(iommu->reg + DMAR_PQA_REG,
		    virt_to_phys(iommu->prq) | PRQ_ORDER);
}

/* What a unit forgets while the machine sleeps */
static const unsigned int prq_irq_regs[] = {
	DMAR_PEDATA_REG, DMAR_PEADDR_REG, DMAR_PEUADDR_REG, DMAR_PECTL_REG,
};

/**
 * intel_prq_suspend() - note how a unit interrupts for page requests
 * @iommu: the unit, which does not translate any more; nothing without queue
 *
 * Context: interrupts off, one CPU.
 */
void intel_prq_suspend(struct intel_iommu *iommu)
{
	unsigned int i;

	BUILD_BUG_ON(ARRAY_SIZE(prq_irq_regs) !=
		     ARRAY_SIZE(iommu->prq_irq_state));
	for (i = 0; iommu->prq && i < ARRAY_SIZE(prq_irq_regs); i++)
		iommu->prq_irq_state[i] = readl(iommu->reg + prq_irq_regs[i]);
}

/**
 * intel_prq_resume() - undo what sleep has done to the page request queue
 * @iommu: the unit, which does not translate yet; nothing without queue
 *
 * The queue is empty again: devices that asked have been suspended. Without this
 * the unit would write requests to address 0, as PRI comes back with the device.
 *
 * Context: interrupts off, one CPU.
 */
void intel_prq_resume(struct intel_iommu *iommu)
{
	unsigned int i;

	if (!iommu->prq)
		return;

	for (i = 0; i < ARRAY_SIZE(prq_irq_regs); i++)
		writel(iommu->prq_irq_state[i], iommu->reg + prq_irq_regs[i]);
	prq_start(iommu);
}

/**
 * intel_prq_enable() - let a unit accept page requests
 * @iommu: the unit
 *
 * Context: process context, may sleep.
 * Return: 0, -ENOMEM, -EINVAL without an interrupt, or the errno of
 * request_threaded_irq().
 */
int intel_prq_enable(struct intel_iommu *iommu)
{
	struct page *pages;
	int irq, ret;

	pages = alloc_pages_node(iommu->node, GFP_KERNEL | __GFP_ZERO,
				 PRQ_ORDER);
	if (!pages)
		return -ENOMEM;

	mutex_init(&iommu->prq_lock);
	xa_init(&iommu->prq_devices);
	init_waitqueue_head(&iommu->prq_wait);

	irq = dmar_alloc_hwirq(DMAR_UNITS_SUPPORTED + iommu->seq_id,
			       iommu->node, iommu);
	if (irq <= 0) {
		ret = -EINVAL;
		goto err_pages;
	}

	snprintf(iommu->iopfq_name, sizeof(iommu->iopfq_name),
		 "dmar%d-iopfq", iommu->seq_id);
	iommu->iopf_queue = iopf_queue_alloc(iommu->iopfq_name);
	if (!iommu->iopf_queue) {
		ret = -ENOMEM;
		goto err_irq;
	}

	iommu->prq = page_address(pages);
	iommu->pr_irq = irq;
	snprintf(iommu->prq_name, sizeof(iommu->prq_name), "dmar%d-prq",
		 iommu->seq_id);
	/* Before the interrupt, which a kernel that crashed may have left pending */
	prq_start(iommu);
	ret = request_threaded_irq(irq, NULL, prq_thread, IRQF_ONESHOT,
				   iommu->prq_name, iommu);
	if (ret)
		goto err_queue;

	return 0;

err_queue:
	dmar_writeq(iommu->reg + DMAR_PQA_REG, 0);
	iopf_queue_free(iommu->iopf_queue);
	iommu->iopf_queue = NULL;
	iommu->prq = NULL;
	iommu->pr_irq = 0;
err_irq:
	dmar_free_hwirq(irq);
err_pages:
	__free_pages(pages, PRQ_ORDER);
	pr_err("%s: no page request queue: %d\n", iommu->name, ret);
	return ret;
}

/**
 * intel_prq_finish() - undo intel_prq_enable()
 * @iommu: the unit; nothing if it has no queue
 *
 * Context: process context, may sleep.
 */
void intel_prq_finish(struct intel_iommu *iommu)
{
	if (!iommu->prq)
		return;

	dmar_writeq(iommu->reg + DMAR_PQH_REG, 0);
	dmar_writeq(iommu->reg + DMAR_PQT_REG, 0);
	dmar_writeq(iommu->reg + DMAR_PQA_REG, 0);

	free_irq(iommu->pr_irq, iommu);
	dmar_free_hwirq(iommu->pr_irq);
	iommu->pr_irq = 0;

	iopf_queue_free(iommu->iopf_queue);
	iommu->iopf_queue = NULL;

	free_pages((unsigned long)iommu->prq, PRQ_ORDER);
	iommu->prq = NULL;
}
