// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables of the kernel that IOMMUs walk
 *
 * On some architectures the page tables of a process have an upper half, which
 * is the kernel's and the same for all. An IOMMU that translates by them walks
 * that half too, if a device asks it to. It grants nothing there, but keeps the
 * locations of the tables that it has come across. So it has to drop them
 * before such a table is freed, or it would go on reading, and setting Accessed
 * and Dirty bits in, a page that has become something else.
 *
 * Architectures call iommu_invalidate_kernel_tables() for this. It asks those
 * IOMMU drivers that have bonds, each once: what has to be dropped is the same
 * for all processes.
 *
 * Whether anybody has to be asked is a matter of order. Who frees a table
 *
 *	clears the entries; smp_mb(); looks for drivers
 *
 * and who binds
 *
 *	adds the driver; smp_mb(); has it store a PASID entry
 *
 * so that one of them sees what the other one did: either the driver is asked,
 * or no walk that its PASID entry starts can find the table.
 *
 * "Looks for drivers" begins with a static key, which is not read as data but
 * executed. The driver is added with the key on already. With it being patched,
 * a CPU may not take the jump even so, until it has been made to forget the old
 * instruction: static_branch_inc() of x86 does that by interrupting each CPU,
 * and returns when all of them have answered. Then what such a CPU had cleared
 * before can be seen by everybody, as the barrier is in front of the jump. An
 * architecture that patches code without waiting for all CPUs cannot select
 * ARCH_HAS_IOMMU_KERNEL_TABLES.
 *
 * The last unbind needs no order: the IOMMU has dropped everything that it knew
 * through a PASID entry when that has been detached, and the driver is removed
 * after this.
 */
#include <linux/device.h>
#include <linux/iommu.h>
#include <linux/iommu-kernel-tables.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

/**
 * struct walker - an IOMMU driver whose IOMMUs walk page tables of processes
 * @node: in walkers
 * @ops: the driver; holds a reference to its module
 * @bonds: number of iommu_kernel_tables_get(), protected by walkers_lock
 * @rcu: to free it
 */
struct walker {
	struct list_head	node;
	const struct iommu_ops	*ops;
	unsigned int		bonds;
	struct rcu_head		rcu;
};

/* Written under walkers_lock, read under RCU */
static LIST_HEAD(walkers);
static DEFINE_SPINLOCK(walkers_lock);

/*
 * Counts the walkers. Patching code makes all CPUs stop: the last unbind leaves
 * the key on for a while, in case that it was not the last one.
 */
DEFINE_STATIC_KEY_DEFERRED_FALSE(iommu_kernel_tables_key, HZ);

static struct walker *walker_find(const struct iommu_ops *ops)
{
	struct walker *walker;

	lockdep_assert_held(&walkers_lock);

	list_for_each_entry(walker, &walkers, node) {
		if (walker->ops == ops)
			return walker;
	}
	return NULL;
}

/* Count a bond of the walker for @ops. If there is none @new becomes it. */
static struct walker *walker_get(const struct iommu_ops *ops,
				 struct walker *new)
{
	struct walker *walker;

	spin_lock(&walkers_lock);
	walker = walker_find(ops);
	if (!walker && new) {
		walker = new;
		list_add_rcu(&walker->node, &walkers);
	}
	if (walker)
		walker->bonds++;
	spin_unlock(&walkers_lock);

	return walker;
}

static void walker_free_rcu(struct rcu_head *rcu)
{
	struct walker *walker = container_of(rcu, struct walker, rcu);

	module_put(walker->ops->owner);
	kfree(walker);
}

/**
 * iommu_kernel_tables_get() - tell a driver of kernel tables that are freed
 * @ops: the driver, with a reference held to its module
 *
 * To be called before the page tables of a process are put into a PASID table,
 * and undone by iommu_kernel_tables_put(). A driver without
 * invalidate_kernel_tables() need not be told.
 *
 * Context: process context, may sleep. Takes cpu_hotplug_lock, so no lock may
 * be held that adding or removing a device takes, like that of a group.
 * Return: 0 or %-ENOMEM.
 */
int iommu_kernel_tables_get(const struct iommu_ops *ops)
{
	struct walker *walker, *new;

	if (!ops->invalidate_kernel_tables)
		return 0;

	walker = walker_get(ops, NULL);
	if (!walker) {
		new = kzalloc(sizeof(*new), GFP_KERNEL);
		if (!new)
			return -ENOMEM;

		new->ops = ops;
		__module_get(ops->owner);

		/* Whoever finds the walker has to find the key on. */
		static_branch_inc(&iommu_kernel_tables_key.key);

		walker = walker_get(ops, new);
		if (walker != new) {
			static_branch_slow_dec_deferred(&iommu_kernel_tables_key);
			module_put(ops->owner);
			kfree(new);
		}
	}

	/* Pairs with the one in iommu_invalidate_kernel_tables() */
	smp_mb();

	return 0;
}

/**
 * iommu_kernel_tables_put() - undo one iommu_kernel_tables_get()
 * @ops: the driver
 *
 * To be called when the PASID entry has gone, and all that was cached with it.
 *
 * Context: process context.
 */
void iommu_kernel_tables_put(const struct iommu_ops *ops)
{
	struct walker *walker;

	if (!ops->invalidate_kernel_tables)
		return;

	spin_lock(&walkers_lock);
	walker = walker_find(ops);
	if (--walker->bonds)
		walker = NULL;
	else
		list_del_rcu(&walker->node);
	spin_unlock(&walkers_lock);

	if (!walker)
		return;

	static_branch_slow_dec_deferred(&iommu_kernel_tables_key);
	call_rcu(&walker->rcu, walker_free_rcu);
}

/* What iommu_invalidate_kernel_tables() does where the key is on */
void __iommu_invalidate_kernel_tables(void)
{
	struct walker *walker;

	rcu_read_lock();
	list_for_each_entry_rcu(walker, &walkers, node)
		walker->ops->invalidate_kernel_tables();
	rcu_read_unlock();
}

/**
 * iommu_kernel_tables_unsafe() - may a device use page tables of processes?
 * @dev: the device, with an IOMMU
 *
 * It may if they hold nothing of the kernel, or else if the architecture tells
 * the IOMMU drivers what it frees, and this driver listens.
 *
 * Context: any.
 * Return: NULL if it may, or why not.
 */
const char *iommu_kernel_tables_unsafe(struct device *dev)
{
	if (!dev_iommu_ops(dev)->invalidate_kernel_tables) {
		/*
		 * The one architecture with SVA that maps the kernel by the
		 * tables of processes, and gives an IOMMU no other ones.
		 */
		if (!IS_ENABLED(CONFIG_X86))
			return NULL;
		return "the IOMMU driver would go on using page tables that the kernel has freed";
	}

	if (!IS_ENABLED(CONFIG_ARCH_HAS_IOMMU_KERNEL_TABLES))
		return "this kernel does not tell IOMMUs which of its page tables it frees";

	return NULL;
}
