// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many of what the IOMMU core hands out exist, in debugfs: whoever has
 * unbound and detached everything can see that nothing was left behind.
 */
#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/iommu.h>
#include <linux/seq_file.h>

#include "iommu-in-use.h"

static const char * const iommu_in_use_names[IOMMU_IN_USE_KINDS] = {
	[IOMMU_IN_USE_ATTACHMENTS]	= "attachments",
	[IOMMU_IN_USE_SVA_DOMAINS]	= "sva_domains",
	[IOMMU_IN_USE_SVA_MMS]		= "sva_mms",
};

static atomic_t iommu_in_use[IOMMU_IN_USE_KINDS];

/**
 * iommu_in_use_inc() - count one that comes into being
 * @kind: what it is
 *
 * Context: any.
 */
void iommu_in_use_inc(enum iommu_in_use kind)
{
	atomic_inc(&iommu_in_use[kind]);
}

/**
 * iommu_in_use_dec() - count one that is freed
 * @kind: what it is
 *
 * Context: any.
 */
void iommu_in_use_dec(enum iommu_in_use kind)
{
	atomic_dec(&iommu_in_use[kind]);
}

static int in_use_show(struct seq_file *m, void *unused)
{
	int i;

	for (i = 0; i < IOMMU_IN_USE_KINDS; i++)
		seq_printf(m, "%s %d\n", iommu_in_use_names[i],
			   atomic_read(&iommu_in_use[i]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(in_use);

/* After the directory, which is made by a core_initcall() */
static int __init iommu_in_use_init(void)
{
	debugfs_create_file("in_use", 0444, iommu_debugfs_dir, NULL,
			    &in_use_fops);
	return 0;
}
subsys_initcall(iommu_in_use_init);
