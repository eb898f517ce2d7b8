// SPDX-License-Identifier: GPL-2.0
/* FINDS marks what sva_bind.cocci reports, in this line. */
static int old(struct device *dev)
{
	struct iommu_sva *sva = iommu_sva_bind_device(dev, current->mm, NULL); /* FINDS */

	return PTR_ERR_OR_ZERO(sva);
}

static int supervisor(struct device *dev)
{
	int flags = SVM_FLAG_SUPERVISOR_MODE;
	struct iommu_sva *sva;

	sva = iommu_sva_bind_device(dev, NULL, &flags); /* FINDS */
	return PTR_ERR_OR_ZERO(sva);
}

static int converted(struct device *dev)
{
	struct iommu_sva *sva = iommu_sva_bind_device(dev, current->mm);

	return PTR_ERR_OR_ZERO(sva);
}
