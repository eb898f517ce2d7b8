// SPDX-License-Identifier: GPL-2.0
/*
 * Domains attached to PASIDs of SMMUv3 masters
 *
 * A PASID is an SSID in the terms of the SMMU: an entry of the CD table. What
 * transactions without PASID go through is a matter of the STE and of entry 0,
 * and may change at any time without touching the others.
 */

#include <linux/iommu.h>

#include "arm-smmu-v3.h"

/* Counts before anything is installed, so that no feature is taken away */
static int arm_smmu_pasid_get(struct arm_smmu_master *master, bool sva)
{
	int ret = 0;

	spin_lock(&master->lock);
	if (sva && !master->sva_enabled)
		ret = -ENODEV;
	else
		master->nr_pasids++;
	spin_unlock(&master->lock);

	return ret;
}

static void arm_smmu_pasid_put(struct arm_smmu_master *master)
{
	spin_lock(&master->lock);
	master->nr_pasids--;
	spin_unlock(&master->lock);
}

/* The CD of the PASID no longer leads to the domain */
static void arm_smmu_pasid_forget(struct arm_smmu_master *master,
				  struct arm_smmu_domain *smmu_domain,
				  ioasid_t pasid)
{
	arm_smmu_invs_flush_and_del(smmu_domain, master, pasid);
	arm_smmu_pasid_put(master);
}

/* What is without PASID may get along without a CD table, PASIDs do not */
static void arm_smmu_pasid_update_ste(struct arm_smmu_master *master)
{
	if (!master->domain || master->domain->stage != ARM_SMMU_DOMAIN_S1)
		arm_smmu_update_ste(master);
}

/* Stage 1 is where the SMMU tells substreams apart */
static int arm_smmu_pasid_check_master(struct arm_smmu_master *master)
{
	struct arm_smmu_domain *rid_domain = master->domain;

	if (!master->ssid_bits ||
	    !(master->smmu->features & ARM_SMMU_FEAT_TRANS_S1)) {
		dev_dbg(master->dev, "no PASID or no stage 1\n");
		return -EOPNOTSUPP;
	}

	if (rid_domain && (rid_domain->stage == ARM_SMMU_DOMAIN_S2 ||
			   rid_domain->stage == ARM_SMMU_DOMAIN_NESTED)) {
		dev_dbg(master->dev, "transactions without PASID use stage 2\n");
		return -EBUSY;
	}
	return 0;
}

static int arm_smmu_pasid_check_domain(struct arm_smmu_domain *smmu_domain,
				       struct arm_smmu_master *master)
{
	struct arm_smmu_device *smmu = master->smmu;
	int ret;

	if (smmu_domain->domain.type == IOMMU_DOMAIN_SVA) {
		if (smmu_domain->cd.asid >> smmu->asid_bits) {
			dev_dbg(master->dev, "ASID %u is too large for %s\n",
				smmu_domain->cd.asid, dev_name(smmu->dev));
			return -EINVAL;
		}
		return 0;
	}

	/* This may be the first that the domain is used with */
	ret = arm_smmu_domain_prepare(smmu_domain, master);
	if (ret)
		return ret;

	if (smmu_domain->stage != ARM_SMMU_DOMAIN_S1) {
		dev_dbg(master->dev, "not a stage 1 domain\n");
		return -EINVAL;
	}
	return 0;
}

/**
 * arm_smmu_pasid_supported() - could a domain be attached to a PASID of a device
 * @dev: the device
 * @type: type of the domain, IOMMU_DOMAIN_*
 *
 * Context: Process context, group mutex held.
 * Return: 0, -EOPNOTSUPP if the device has no PASIDs or the SMMU cannot walk the
 * tables of the CPUs, -EBUSY if transactions without PASID use stage 2, -ENODEV
 * if SVA is not enabled for the device, -EINVAL if such a domain has no stage 1.
 */
int arm_smmu_pasid_supported(struct device *dev, unsigned int type)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	int ret;

	ret = arm_smmu_pasid_check_master(master);
	if (ret)
		return ret;

	switch (type) {
	case IOMMU_DOMAIN_SVA:
		if (!(master->smmu->features & ARM_SMMU_FEAT_SVA)) {
			dev_dbg(dev, "%s cannot walk the page tables of the CPUs\n",
				dev_name(master->smmu->dev));
			return -EOPNOTSUPP;
		}
		if (!READ_ONCE(master->sva_enabled)) {
			dev_dbg(dev, "IOMMU_DEV_FEAT_SVA is not enabled\n");
			return -ENODEV;
		}
		return 0;
	case IOMMU_DOMAIN_IDENTITY:
	case IOMMU_DOMAIN_BLOCKED:
		dev_dbg(dev, "not a stage 1 domain\n");
		return -EINVAL;
	default:
		return 0;
	}
}

/**
 * arm_smmu_attach_dev_pasid() - let a domain translate a PASID of a device
 * @domain: SVA domain, or paging domain that uses stage 1
 * @dev: the device
 * @pasid: the PASID
 * @old: another domain that is attached to it and is to be replaced, or NULL
 *
 * A DMA that meets the replacement is translated by one domain or the other,
 * and both of them invalidate what is cached for the PASID until it is done.
 * Then nothing of @old is cached, and all faults that the SMMU had queued about
 * it went through iommu_report_device_fault().
 *
 * Context: Process context, group mutex held.
 * Return: 0, or with nothing changed -EOPNOTSUPP if the device has no PASIDs or
 * the SMMU cannot walk the tables of the CPUs, -EBUSY if transactions without
 * PASID use stage 2, -ENODEV if SVA is not enabled for the device, -EINVAL if
 * the domain cannot be used with this device, -ENXIO if it is a paging domain
 * of another instance, -ENOMEM or -ENOSPC.
 */
int arm_smmu_attach_dev_pasid(struct iommu_domain *domain, struct device *dev,
			      ioasid_t pasid, struct iommu_domain *old)
{
	struct arm_smmu_domain *smmu_domain = to_smmu_domain(domain);
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	int ret;

	ret = arm_smmu_pasid_supported(dev, domain->type);
	if (ret)
		return ret;

	ret = arm_smmu_pasid_check_domain(smmu_domain, master);
	if (ret)
		return ret;

	ret = arm_smmu_pasid_get(master, domain->type == IOMMU_DOMAIN_SVA);
	if (ret)
		return ret;

	ret = arm_smmu_cd_prepare(master, pasid);
	if (ret)
		goto err_put;

	ret = arm_smmu_invs_add(smmu_domain, master, pasid,
				arm_smmu_ats_supported(master));
	if (ret)
		goto err_put;

	/* From here on nothing fails */
	if (master->nr_pasids == 1)
		arm_smmu_pasid_update_ste(master);
	arm_smmu_cd_install(master, pasid, &smmu_domain->cd);

	if (old) {
		arm_smmu_pasid_forget(master, to_smmu_domain(old), pasid);
		arm_smmu_evtq_catch_up(master->smmu);
	}
	return 0;

err_put:
	arm_smmu_pasid_put(master);
	return ret;
}

/**
 * arm_smmu_detach_dev_pasid() - undo arm_smmu_attach_dev_pasid()
 * @domain: the domain
 * @dev: the device
 * @pasid: the PASID
 *
 * On return no DMA with that PASID translates, nothing of it is cached, and all
 * faults that the SMMU had queued about it went through
 * iommu_report_device_fault().
 *
 * Context: Process context, group mutex held. Needs no memory.
 */
void arm_smmu_detach_dev_pasid(struct iommu_domain *domain, struct device *dev,
			       ioasid_t pasid)
{
	struct arm_smmu_domain *smmu_domain = to_smmu_domain(domain);
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);

	arm_smmu_cd_clear(master, pasid);
	arm_smmu_pasid_forget(master, smmu_domain, pasid);
	if (!master->nr_pasids)
		arm_smmu_pasid_update_ste(master);

	/* The CMD_SYNCs made the SMMU write what it had to say about the CD */
	arm_smmu_evtq_catch_up(master->smmu);
}
