// SPDX-License-Identifier: GPL-2.0
/*
 * Domains of an SMMUv3 that translate by the page tables of a process
 *
 * One per mm, for all instances and all devices. The ASID is the SMMU's own:
 * the driver does not use broadcast TLB maintenance, so there is nothing to
 * gain from sharing the one of the CPUs, and theirs may change.
 */

#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/slab.h>

#include "arm-smmu-v3.h"
#include "../../io-pgfault.h"
#include "../../io-pgtable-arm.h"

/* Physical addresses that all CPUs agree on, as in TCR_EL1.IPS */
static unsigned int arm_smmu_sva_parange(void)
{
	u64 mmfr0 = read_sanitised_ftr_reg(SYS_ID_AA64MMFR0_EL1);

	return cpuid_feature_extract_unsigned_field(mmfr0,
					ID_AA64MMFR0_EL1_PARANGE_SHIFT);
}

/**
 * arm_smmu_sva_supported() - can an instance walk the page tables of the CPUs
 * @smmu: the instance
 *
 * Return: true if it can. As the page tables of all processes have the same
 * geometry, that goes for any mm.
 */
bool arm_smmu_sva_supported(struct arm_smmu_device *smmu)
{
	u32 features = ARM_SMMU_FEAT_COHERENCY | ARM_SMMU_FEAT_TRANS_S1;
	unsigned long oas;

	if (vabits_actual == 52)
		features |= ARM_SMMU_FEAT_VAX;

	if ((smmu->features & features) != features)
		return false;

	if (!(smmu->pgsize_bitmap & PAGE_SIZE))
		return false;

	/* AArch32 processes use the same format */
	oas = id_aa64mmfr0_parange_to_phys_shift(arm_smmu_sva_parange());
	return smmu->oas >= oas;
}

static unsigned int arm_smmu_sva_tg0(void)
{
	switch (PAGE_SIZE) {
	case SZ_64K:
		return ARM_LPAE_TCR_TG0_64K;
	case SZ_16K:
		return ARM_LPAE_TCR_TG0_16K;
	default:
		return ARM_LPAE_TCR_TG0_4K;
	}
}

static void arm_smmu_sva_make_desc(struct arm_smmu_ctx_desc *desc,
				   struct mm_struct *mm)
{
	desc->tcr = FIELD_PREP(CTXDESC_CD_0_TCR_T0SZ, 64ULL - vabits_actual) |
		    FIELD_PREP(CTXDESC_CD_0_TCR_TG0, arm_smmu_sva_tg0()) |
		    FIELD_PREP(CTXDESC_CD_0_TCR_IRGN0, ARM_LPAE_TCR_RGN_WBWA) |
		    FIELD_PREP(CTXDESC_CD_0_TCR_ORGN0, ARM_LPAE_TCR_RGN_WBWA) |
		    FIELD_PREP(CTXDESC_CD_0_TCR_SH0, ARM_LPAE_TCR_SH_IS) |
		    FIELD_PREP(CTXDESC_CD_0_TCR_IPS, arm_smmu_sva_parange()) |
		    CTXDESC_CD_0_TCR_EPD1 | CTXDESC_CD_0_AA64;
	desc->ttbr = virt_to_phys(mm->pgd);
	/* The same for all processes and on all CPUs */
	desc->mair = read_sysreg(mair_el1);
}

static void arm_smmu_sva_invalidate_range(struct iommu_domain *domain,
					  unsigned long start,
					  unsigned long end)
{
	struct arm_smmu_domain *smmu_domain = to_smmu_domain(domain);

	/* Nothing is cached any more, and exit_mmap() has a lot to unmap */
	if (READ_ONCE(smmu_domain->quiesced))
		return;

	if (end > -PAGE_SIZE) {
		arm_smmu_inv_all(smmu_domain);
		return;
	}

	start &= PAGE_MASK;
	end = PAGE_ALIGN(end);
	if (start < end)
		arm_smmu_inv_range(smmu_domain, start, end - start, PAGE_SIZE,
				   false);
}

static void arm_smmu_sva_quiesce(struct iommu_domain *domain)
{
	arm_smmu_inv_quiesce(to_smmu_domain(domain));
}

static void arm_smmu_sva_domain_free(struct iommu_domain *domain)
{
	struct arm_smmu_domain *smmu_domain = to_smmu_domain(domain);

	/* The last detach has invalidated the ASID on each instance */
	xa_erase(&arm_smmu_asid_xa, smmu_domain->cd.asid);
	arm_smmu_domain_destroy(smmu_domain);
}

static const struct iommu_domain_ops arm_smmu_sva_domain_ops = {
	.attach_dev_pasid	= arm_smmu_attach_dev_pasid,
	.detach_dev_pasid	= arm_smmu_detach_dev_pasid,
	.invalidate_range	= arm_smmu_sva_invalidate_range,
	.quiesce		= arm_smmu_sva_quiesce,
	.free			= arm_smmu_sva_domain_free,
};

/**
 * arm_smmu_domain_alloc_sva() - allocate the SVA domain of an mm
 * @dev: a device that is going to be attached to it
 * @mm: the mm
 *
 * Context: Process context.
 * Return: the domain, or an ERR_PTR: -EOPNOTSUPP if the SMMU of @dev cannot
 * walk the page tables of the CPUs, -ENOSPC if it has no ASID left, -ENOMEM.
 */
struct iommu_domain *arm_smmu_domain_alloc_sva(struct device *dev,
					       struct mm_struct *mm)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	struct arm_smmu_device *smmu = master->smmu;
	struct arm_smmu_domain *smmu_domain;
	int ret;

	if (!(smmu->features & ARM_SMMU_FEAT_SVA)) {
		dev_dbg(dev, "%s cannot walk the page tables of the CPUs\n",
			dev_name(smmu->dev));
		return ERR_PTR(-EOPNOTSUPP);
	}

	smmu_domain = arm_smmu_domain_create();
	if (!smmu_domain)
		return ERR_PTR(-ENOMEM);

	smmu_domain->domain.type = IOMMU_DOMAIN_SVA;
	smmu_domain->domain.ops = &arm_smmu_sva_domain_ops;
	smmu_domain->domain.pgsize_bitmap = PAGE_SIZE;
	smmu_domain->stage = ARM_SMMU_DOMAIN_S1;

	arm_smmu_sva_make_desc(&smmu_domain->cd, mm);
	ret = arm_smmu_asid_alloc(smmu, smmu_domain, &smmu_domain->cd.asid);
	if (ret) {
		arm_smmu_domain_destroy(smmu_domain);
		return ERR_PTR(ret);
	}
	return &smmu_domain->domain;
}

/**
 * arm_smmu_iopf_enable() - have the core serve the stalls of a master
 * @master: the master
 *
 * Context: Process context.
 * Return: 0, -EINVAL if the master does not stall, -EBUSY if that is done
 * already, or the error of iopf_queue_add_device().
 */
int arm_smmu_iopf_enable(struct arm_smmu_master *master)
{
	int ret;

	if (!master->stall_enabled || !master->smmu->evtq.iopf)
		return -EINVAL;
	if (READ_ONCE(master->iopf_enabled))
		return -EBUSY;

	ret = iopf_queue_add_device(master->smmu->evtq.iopf, master->dev);
	if (ret)
		return ret;

	spin_lock(&master->lock);
	master->iopf_enabled = true;
	spin_unlock(&master->lock);
	return 0;
}

/**
 * arm_smmu_iopf_disable() - undo arm_smmu_iopf_enable()
 * @master: the master
 *
 * Context: Process context.
 * Return: 0, -EINVAL if it is not enabled, -EBUSY while SVA needs it or
 * anything is attached to a PASID of the master.
 */
int arm_smmu_iopf_disable(struct arm_smmu_master *master)
{
	int ret = 0;

	spin_lock(&master->lock);
	if (!master->iopf_enabled)
		ret = -EINVAL;
	else if (master->sva_enabled || master->nr_pasids)
		ret = -EBUSY;
	else
		master->iopf_enabled = false;
	spin_unlock(&master->lock);
	if (ret)
		return ret;

	iopf_queue_remove_device(master->smmu->evtq.iopf, master->dev);
	return 0;
}

/**
 * arm_smmu_sva_enable() - allow SVA domains for a master
 * @master: the master
 *
 * A driver whose device stalls enables IOPF first. Others have faults of their
 * own kind, or none.
 *
 * Context: Process context.
 * Return: 0, -EINVAL if the master or its SMMU lack something, or IOPF is not
 * enabled, -EBUSY if SVA is.
 */
int arm_smmu_sva_enable(struct arm_smmu_master *master)
{
	int ret = 0;

	if (!(master->smmu->features & ARM_SMMU_FEAT_SVA) ||
	    !master->ssid_bits) {
		dev_dbg(master->dev, "no PASID, or the SMMU cannot do SVA\n");
		return -EINVAL;
	}

	spin_lock(&master->lock);
	if (master->sva_enabled)
		ret = -EBUSY;
	else if (master->stall_enabled && !master->iopf_enabled)
		ret = -EINVAL;
	else
		master->sva_enabled = true;
	spin_unlock(&master->lock);
	return ret;
}

/**
 * arm_smmu_sva_disable() - undo arm_smmu_sva_enable()
 * @master: the master
 *
 * Context: Process context.
 * Return: 0, -EINVAL if SVA is not enabled, -EBUSY while anything is attached
 * to a PASID of the master.
 */
int arm_smmu_sva_disable(struct arm_smmu_master *master)
{
	int ret = 0;

	spin_lock(&master->lock);
	if (!master->sva_enabled)
		ret = -EINVAL;
	else if (master->nr_pasids)
		ret = -EBUSY;
	else
		master->sva_enabled = false;
	spin_unlock(&master->lock);
	return ret;
}
