// SPDX-License-Identifier: GPL-2.0
/* FINDS marks what attach_pasid.cocci reports, in this line. */
static int left_attached(struct foo *foo)
{
	int ret;

	ret = iommu_attach_device_pasid(foo->domain, foo->dev, foo->pasid);
	if (ret)
		return ret;

	ret = foo_start(foo);
	if (ret) {
		foo_stop(foo);
		return ret; /* FINDS */
	}

	return 0;
}

static int right(struct foo *foo)
{
	int ret;

	ret = iommu_attach_device_pasid(foo->domain, foo->dev, foo->pasid);
	if (ret)
		return ret;

	ret = foo_start(foo);
	if (ret) {
		iommu_detach_device_pasid(foo->domain, foo->dev, foo->pasid);
		return ret;
	}

	return 0;
}

static int right_label(struct foo *foo)
{
	int ret;

	ret = iommu_attach_device_pasid(foo->domain, foo->dev, foo->pasid);
	if (ret)
		return ret;

	ret = foo_start(foo);
	if (ret)
		goto err_detach;

	return 0;

err_detach:
	iommu_detach_device_pasid(foo->domain, foo->dev, foo->pasid);
	return ret;
}
