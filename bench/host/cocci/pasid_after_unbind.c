// SPDX-License-Identifier: GPL-2.0
/* FINDS marks what pasid_after_unbind.cocci reports, in this line. */
static void handle_used(struct foo *foo)
{
	iommu_sva_unbind_device(foo->sva);
	foo_stop(foo, iommu_sva_get_pasid(foo->sva)); /* FINDS */
}

static void pasid_used(struct foo *foo)
{
	u32 pasid = iommu_sva_get_pasid(foo->sva);

	iommu_sva_unbind_device(foo->sva);
	foo_stop(foo, pasid); /* FINDS */
}

static void member_used(struct foo *foo)
{
	iommu_sva_unbind_device(foo->sva);
	foo_drain_pasid(foo->dev, foo->pasid); /* FINDS */
}

static void owner_used(struct foo *foo)
{
	iommu_sva_unbind_device(foo->sva);
	foo_pasid_remove(foo); /* FINDS */
}

static void right(struct foo *foo)
{
	u32 pasid = iommu_sva_get_pasid(foo->sva);

	foo_stop(foo, pasid);
	foo_pasid_remove(foo);
	iommu_sva_unbind_device(foo->sva);
	foo->sva = NULL;
	foo->pasid = IOMMU_PASID_INVALID;
	foo_free(foo);
}
