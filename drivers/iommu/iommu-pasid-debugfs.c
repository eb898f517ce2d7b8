// SPDX-License-Identifier: GPL-2.0-only
/*
 * PASID tables in debugfs: for each device a file that says what the core has
 * attached, and beneath it what the tables have that the hardware reads. What is
 * in one of them and not in the other stands out.
 *
 * All of it is read with the mutex of the group held, under which tables change,
 * except for the entries of a process that exits. Removing a file waits for who
 * reads it, so it is done without that mutex, and before anything that is shown
 * goes away.
 */
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/iommu.h>
#include <linux/minmax.h>
#include <linux/mm_types.h>
#include <linux/rcupdate.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/xarray.h>

#include "iommu-priv.h"

static struct dentry *iommu_pasid_debugfs_dir;

/* Who has got the address space now, if that can be told */
static void pasid_show_owner(struct seq_file *m, struct mm_struct *mm)
{
#ifdef CONFIG_MEMCG
	char comm[TASK_COMM_LEN];
	struct task_struct *task;

	rcu_read_lock();
	task = rcu_dereference(mm->owner);
	if (task) {
		seq_printf(m, ", pid %d (", task_tgid_nr(task));
		/* Any process may have a name that looks like another line */
		seq_escape(m, get_task_comm(comm, task), "\n\\(),");
		seq_putc(m, ')');
	}
	rcu_read_unlock();
#endif
	if (!atomic_read(&mm->mm_users))
		seq_puts(m, ", exited");
}

static void pasid_show_attachment(struct seq_file *m,
				  const struct iommu_attachment *attachment)
{
	struct iommu_domain *domain = attachment->domain;
	const char *state = "attached";

	if (attachment->closing)
		state = "closing";
	else if (attachment->settling)
		state = "settling";

	seq_printf(m, "pasid %u: %s, users %u, served %u, refused %u, invalidations %lu, domain %s",
		   attachment->pasid, state,
		   refcount_read(&attachment->users),
		   atomic_read(&attachment->served),
		   atomic_read(&attachment->refused),
		   iommu_attachment_invalidations(attachment),
		   iommu_domain_type_str(domain->type));
	/* The notifier of an SVA domain has the mm_struct */
	if (domain->type == IOMMU_DOMAIN_SVA)
		pasid_show_owner(m, domain->mm);
	seq_putc(m, '\n');
}

static void pasid_show_rid(struct seq_file *m, struct device *dev)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);

	seq_printf(m, "pasid 0: RID, domain %s\n",
		   domain ? iommu_domain_type_str(domain->type) : "none");
}

/*
 * One PASID. What is closing may be in the table or not: who detaches it may
 * still have to wait before, or already wait after it has been cleared.
 */
static void pasid_show_one(struct seq_file *m, struct device *dev,
			   ioasid_t pasid, bool in_table)
{
	const struct iommu_attachment *attachment;
	const struct iommu_ops *ops = dev_iommu_ops(dev);

	attachment = iommu_pasid_lookup(dev, pasid);
	if (!pasid)
		pasid_show_rid(m, dev);
	else if (attachment)
		pasid_show_attachment(m, attachment);
	else
		seq_printf(m, "pasid %u: NOT ATTACHED\n", pasid);

	if (!ops->show_pasid_entry)
		return;
	if (in_table || !pasid)
		ops->show_pasid_entry(m, dev, pasid);
	else if (!attachment->closing)
		seq_puts(m, "\tNOT IN THE TABLE\n");
}

static ioasid_t pasid_next_attached(struct device *dev, ioasid_t pasid)
{
	unsigned long index = pasid;

	if (!xa_find(&dev->iommu->attachments, &index, ULONG_MAX, XA_PRESENT))
		return IOMMU_PASID_INVALID;
	return index;
}

static ioasid_t pasid_next_entry(struct device *dev, ioasid_t pasid)
{
	const struct iommu_ops *ops = dev_iommu_ops(dev);

	if (!ops->next_pasid_entry)
		return IOMMU_PASID_INVALID;
	return ops->next_pasid_entry(dev, pasid);
}

static int pasids_show(struct seq_file *m, void *unused)
{
	struct device *dev = m->private;
	struct iommu_group *group = iommu_group_get(dev);
	ioasid_t pasid = 0, entry;

	if (!group)
		return -ENODEV;

	iommu_group_lock(group);
	entry = pasid_next_entry(dev, 0);
	/* What does not fit is shown again, from the start, with more room */
	while (pasid != IOMMU_PASID_INVALID && !seq_has_overflowed(m)) {
		pasid_show_one(m, dev, pasid, pasid == entry);
		if (entry <= pasid)
			entry = pasid_next_entry(dev, pasid + 1);
		pasid = min(entry, pasid_next_attached(dev, pasid + 1));
	}
	iommu_group_unlock(group);
	iommu_group_put(group);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pasids);

/**
 * iommu_pasid_debugfs_add() - show the PASIDs of a device
 * @dev: a device that is a member of its group, and that the IOMMU driver knows
 *
 * Context: process context, may sleep.
 */
void iommu_pasid_debugfs_add(struct device *dev)
{
	if (dev->iommu->max_pasids)
		dev->iommu->pasids_file =
			debugfs_create_file(dev_name(dev), 0400,
					    iommu_pasid_debugfs_dir, dev,
					    &pasids_fops);
}

/**
 * iommu_pasid_debugfs_remove() - no longer show the PASIDs of a device
 * @dev: a device that is being released, and is still in its group
 *
 * On return nobody reads the file. Who has it open finds nothing any more.
 *
 * Context: process context, may sleep. The mutex of the group is not held, since
 * this waits for who takes it.
 */
void iommu_pasid_debugfs_remove(struct device *dev)
{
	debugfs_remove(dev->iommu->pasids_file);
}

/* After the directory it is in, and before there is any device */
static int __init iommu_pasid_debugfs_init(void)
{
	iommu_pasid_debugfs_dir = debugfs_create_dir("pasids",
						     iommu_debugfs_dir);
	return 0;
}
postcore_initcall(iommu_pasid_debugfs_init);
