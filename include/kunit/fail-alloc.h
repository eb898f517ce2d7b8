/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fail one allocation of a KUnit test, or all of them
 *
 * Fault injection can fail the n-th allocation that a task makes from now on. It
 * leaves out allocations that may sleep, and pages of order 0, unless debugfs is
 * told otherwise. This tells it from within the kernel.
 */
#ifndef _KUNIT_FAIL_ALLOC_H
#define _KUNIT_FAIL_ALLOC_H

#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/sched.h>

/**
 * struct kunit_fail_alloc - what was changed, and how it was
 * @slab: whether slab allocations that may sleep are left out
 * @page: the same for allocations of pages, or NULL if none is failed
 * @order: the smallest order of those, or NULL
 * @probability: percentage of slab allocations that fail
 * @times: how many of them at most, or -1
 * @filter: whether only those of tasks that want it fail
 * @slab_was: what @slab was
 * @page_was: what @page was
 * @order_was: what @order was
 */
struct kunit_fail_alloc {
	bool *slab;
	bool *page;
	u32 *order;
	unsigned long *probability;
	atomic_t *times;
	bool *filter;
	bool slab_was;
	bool page_was;
	u32 order_was;
};

#if IS_ENABLED(CONFIG_FAILSLAB) && IS_ENABLED(CONFIG_FAULT_INJECTION_DEBUG_FS)
static inline void *kunit_fail_alloc_knob(struct dentry *dir, const char *name)
{
	struct dentry *dentry = debugfs_lookup(name, dir);
	void *knob = NULL;

	if (dentry)
		knob = d_inode(dentry)->i_private;
	dput(dentry);
	return knob;
}

/* Where it is, it is also told to be quiet: no stack dump for each failure */
static inline bool *kunit_fail_alloc_ignore(struct dentry *dir)
{
	unsigned long *verbose = kunit_fail_alloc_knob(dir, "verbose");

	if (!verbose)
		return NULL;
	*verbose = 0;
	return kunit_fail_alloc_knob(dir, "ignore-gfp-wait");
}

/**
 * kunit_fail_alloc_begin() - let any allocation be failed
 * @f: for kunit_fail_alloc_end()
 *
 * Context: process context, may sleep.
 * Return: true, or false if the kernel is built without.
 */
static inline bool kunit_fail_alloc_begin(struct kunit_fail_alloc *f)
{
	struct dentry *slab = debugfs_lookup("failslab", NULL);
	struct dentry *page = debugfs_lookup("fail_page_alloc", NULL);

	*f = (struct kunit_fail_alloc) {};
	if (slab) {
		f->slab = kunit_fail_alloc_ignore(slab);
		f->probability = kunit_fail_alloc_knob(slab, "probability");
		f->times = kunit_fail_alloc_knob(slab, "times");
		f->filter = kunit_fail_alloc_knob(slab, "task-filter");
	}
	if (page) {
		f->page = kunit_fail_alloc_ignore(page);
		f->order = kunit_fail_alloc_knob(page, "min-order");
	}
	dput(slab);
	dput(page);
	if (!f->slab || !f->probability || !f->times || !f->filter)
		return false;

	f->slab_was = *f->slab;
	*f->slab = false;
	if (f->page && f->order) {
		f->page_was = *f->page;
		f->order_was = *f->order;
		*f->page = false;
		*f->order = 0;
	}
	return true;
}

/**
 * kunit_fail_alloc_arm() - fail one allocation
 * @n: which one that the current task makes from now on, from 1
 *
 * Context: process context.
 */
static inline void kunit_fail_alloc_arm(unsigned int n)
{
	WRITE_ONCE(current->fail_nth, n);
}

/**
 * kunit_fail_alloc_disarm() - no longer fail one
 *
 * Context: process context.
 * Return: true if one has been failed.
 */
static inline bool kunit_fail_alloc_disarm(void)
{
	return !xchg(&current->fail_nth, 0);
}

/**
 * kunit_fail_alloc_arm_all() - fail all slab allocations of the current task
 * @f: after kunit_fail_alloc_begin()
 *
 * Context: process context.
 */
static inline void kunit_fail_alloc_arm_all(struct kunit_fail_alloc *f)
{
	*f->filter = true;
	atomic_set(f->times, -1);
	current->make_it_fail = 1;
	WRITE_ONCE(*f->probability, 100);
}

/**
 * kunit_fail_alloc_disarm_all() - undo kunit_fail_alloc_arm_all()
 * @f: the same
 *
 * Context: process context.
 */
static inline void kunit_fail_alloc_disarm_all(struct kunit_fail_alloc *f)
{
	WRITE_ONCE(*f->probability, 0);
	current->make_it_fail = 0;
	*f->filter = false;
}
#else
static inline bool kunit_fail_alloc_begin(struct kunit_fail_alloc *f)
{
	*f = (struct kunit_fail_alloc) {};
	return false;
}

static inline void kunit_fail_alloc_arm(unsigned int n)
{
}

static inline bool kunit_fail_alloc_disarm(void)
{
	return false;
}

static inline void kunit_fail_alloc_arm_all(struct kunit_fail_alloc *f)
{
}

static inline void kunit_fail_alloc_disarm_all(struct kunit_fail_alloc *f)
{
}
#endif

/**
 * kunit_fail_alloc_end() - undo kunit_fail_alloc_begin()
 * @f: the same
 *
 * Context: process context.
 */
static inline void kunit_fail_alloc_end(struct kunit_fail_alloc *f)
{
	if (f->slab)
		*f->slab = f->slab_was;
	if (f->page && f->order) {
		*f->page = f->page_was;
		*f->order = f->order_was;
	}
}

#endif /* _KUNIT_FAIL_ALLOC_H */
