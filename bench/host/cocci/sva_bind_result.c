// SPDX-License-Identifier: GPL-2.0
/* FINDS marks what sva_bind_result.cocci reports, in this line. */
static int compared_with_null(struct foo *foo)
{
	struct iommu_sva *sva;

	sva = iommu_sva_bind_device(foo->dev, current->mm);
	if (!sva) /* FINDS */
		return -ENODEV;

	foo->sva = sva;
	return 0;
}

static int not_tested(struct foo *foo)
{
	struct iommu_sva *sva;

	sva = iommu_sva_bind_device(foo->dev, current->mm);
	foo->pasid = iommu_sva_get_pasid(sva); /* FINDS */
	return 0;
}

static int right(struct foo *foo)
{
	struct iommu_sva *sva;

	sva = iommu_sva_bind_device(foo->dev, current->mm);
	if (IS_ERR(sva))
		return PTR_ERR(sva);

	foo->sva = sva;
	foo->pasid = iommu_sva_get_pasid(sva);
	return 0;
}

static int right_member(struct foo *foo)
{
	foo->sva = iommu_sva_bind_device(foo->dev, current->mm);
	if (IS_ERR(foo->sva))
		return PTR_ERR(foo->sva);

	foo->pasid = iommu_sva_get_pasid(foo->sva);
	return 0;
}
