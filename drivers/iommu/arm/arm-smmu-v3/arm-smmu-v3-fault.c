// SPDX-License-Identifier: GPL-2.0
/*
 * Faults that an SMMUv3 reports through its event queue
 *
 * The SMMU holds back a transaction that stalled until a CMD_RESUME names its
 * StreamID and stall tag. Every event about one leads to exactly one: from the
 * IOMMU core if it took the fault, from here if not.
 */

#include <linux/iommu.h>

#include "arm-smmu-v3.h"

static int arm_smmu_evt_reason(const u64 *evt)
{
	switch (FIELD_GET(EVTQ_0_ID, evt[0])) {
	case EVT_ID_TRANSLATION_FAULT:
		return IOMMU_FAULT_REASON_PTE_FETCH;
	case EVT_ID_ADDR_SIZE_FAULT:
		return IOMMU_FAULT_REASON_OOR_ADDRESS;
	case EVT_ID_ACCESS_FAULT:
		return IOMMU_FAULT_REASON_ACCESS;
	case EVT_ID_PERMISSION_FAULT:
		return IOMMU_FAULT_REASON_PERMISSION;
	default:
		return -EOPNOTSUPP;
	}
}

static u32 arm_smmu_evt_perm(const u64 *evt)
{
	u32 perm;

	perm = evt[1] & EVTQ_1_RnW ? IOMMU_FAULT_PERM_READ :
				     IOMMU_FAULT_PERM_WRITE;
	if (evt[1] & EVTQ_1_InD)
		perm |= IOMMU_FAULT_PERM_EXEC;
	if (evt[1] & EVTQ_1_PnU)
		perm |= IOMMU_FAULT_PERM_PRIV;
	return perm;
}

static void arm_smmu_evt_to_page_req(const u64 *evt, struct iommu_fault *fault)
{
	fault->type = IOMMU_FAULT_PAGE_REQ;
	fault->prm = (struct iommu_fault_page_request) {
		.flags = IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE,
		.grpid = FIELD_GET(EVTQ_1_STAG, evt[1]),
		.perm = arm_smmu_evt_perm(evt),
		.addr = FIELD_GET(EVTQ_2_ADDR, evt[2]),
		/* A stall tag means nothing without its StreamID */
		.private_data[0] = FIELD_GET(EVTQ_0_SID, evt[0]),
	};

	if (evt[0] & EVTQ_0_SSV) {
		fault->prm.flags |= IOMMU_FAULT_PAGE_REQUEST_PASID_VALID;
		fault->prm.pasid = FIELD_GET(EVTQ_0_SSID, evt[0]);
	}
}

static void arm_smmu_evt_to_unrecov(const u64 *evt, int reason,
				    struct iommu_fault *fault)
{
	fault->type = IOMMU_FAULT_DMA_UNRECOV;
	fault->event = (struct iommu_fault_unrecoverable) {
		.reason = reason,
		.flags = IOMMU_FAULT_UNRECOV_ADDR_VALID,
		.perm = arm_smmu_evt_perm(evt),
		.addr = FIELD_GET(EVTQ_2_ADDR, evt[2]),
	};

	if (evt[0] & EVTQ_0_SSV) {
		fault->event.flags |= IOMMU_FAULT_UNRECOV_PASID_VALID;
		fault->event.pasid = FIELD_GET(EVTQ_0_SSID, evt[0]);
	}
}

/*
 * A CMD_SYNC would add nothing: once the SMMU consumed a CMD_RESUME, the
 * transaction proceeds or ends at some point in the future (IHI0070 4.6.1).
 */
static void arm_smmu_resume(struct arm_smmu_device *smmu, u32 sid, u16 stag,
			    u8 resp)
{
	struct arm_smmu_cmdq_ent cmd = {
		.opcode	= CMDQ_OP_RESUME,
		.resume	= {
			.sid	= sid,
			.stag	= stag,
			.resp	= resp,
		},
	};

	arm_smmu_cmdq_issue_cmd(smmu, &cmd);
}

/**
 * arm_smmu_handle_evt() - report one event
 * @smmu: the instance
 * @evt: the event record, EVTQ_ENT_DWORDS words
 *
 * Follows IHI0070 7.3.
 *
 * Context: Process context, evtq.lock held.
 * Return: 0 if somebody takes care of the event, otherwise an error and the
 * event is worth a message. A stalled transaction is answered in either case.
 */
int arm_smmu_handle_evt(struct arm_smmu_device *smmu, u64 *evt)
{
	u32 sid = FIELD_GET(EVTQ_0_SID, evt[0]);
	int ret, reason = arm_smmu_evt_reason(evt);
	struct iommu_fault_event fault_evt = { };
	struct arm_smmu_master *master;
	bool stalled;

	lockdep_assert_held(&smmu->evtq.lock);

	if (reason < 0)
		return reason;

	stalled = evt[1] & EVTQ_1_STALL;
	if (stalled)
		arm_smmu_evt_to_page_req(evt, &fault_evt.fault);
	else
		arm_smmu_evt_to_unrecov(evt, reason, &fault_evt.fault);

	mutex_lock(&smmu->streams_mutex);
	master = arm_smmu_find_master(smmu, sid);
	if (!master)
		ret = -EINVAL;
	else if (evt[1] & EVTQ_1_S2)
		/* Stage 2 is always pinned */
		ret = -EFAULT;
	else
		ret = iommu_report_device_fault(master->dev, &fault_evt);
	mutex_unlock(&smmu->streams_mutex);

	if (ret && stalled)
		arm_smmu_resume(smmu, sid, FIELD_GET(EVTQ_1_STAG, evt[1]),
				CMDQ_RESUME_0_RESP_ABORT);
	return ret;
}

/**
 * arm_smmu_page_response() - let a stalled transaction proceed or end
 * @dev: the device whose transaction it is
 * @evt: the fault that was reported
 * @resp: the answer
 *
 * Context: Any.
 * Return: 0, -ENODEV if the device does not stall, -EINVAL if the answer makes
 * no sense.
 */
int arm_smmu_page_response(struct device *dev, struct iommu_fault_event *evt,
			   struct iommu_page_response *resp)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	u8 code;

	if (!master->stall_enabled)
		return -ENODEV;

	switch (resp->code) {
	case IOMMU_PAGE_RESP_INVALID:
	case IOMMU_PAGE_RESP_FAILURE:
		code = CMDQ_RESUME_0_RESP_ABORT;
		break;
	case IOMMU_PAGE_RESP_SUCCESS:
		code = CMDQ_RESUME_0_RESP_RETRY;
		break;
	default:
		return -EINVAL;
	}

	arm_smmu_resume(master->smmu, evt->fault.prm.private_data[0],
			resp->grpid, code);
	return 0;
}
