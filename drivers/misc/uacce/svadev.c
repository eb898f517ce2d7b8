// SPDX-License-Identifier: GPL-2.0-only
/*
 * Driver for svadev, an emulated accelerator that DMAs with a PASID.
 *
 * Every hardware queue belongs to one owner at a time: a process, which
 * reaches it through uacce and gets its own address space on the queue, or a
 * test in the kernel, which uses the functions of <linux/svadev.h> and chooses
 * the PASID itself. Registers are in <uapi/misc/uacce/svadev.h>.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/iommu.h>
#include <linux/iopoll.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/svadev.h>
#include <linux/uacce.h>
#include <linux/userfaultfd_k.h>
#include <linux/wait.h>

#include <uapi/misc/uacce/svadev.h>

/*
 * A disabled queue sends nothing new, but a stalled access or a page request
 * has to be answered by the fault handler first, and that may have to read
 * from a disk.
 */
#define SVADEV_IDLE_TIMEOUT_US		(10 * USEC_PER_SEC)

/* Address spaces whose page faults are served for one queue */
#define SVADEV_QUEUE_MMS		2

/* The flush queues of DMA domains invalidate every 10 ms, IOVA_FQ_TIMEOUT */
#define SVADEV_LAZY_MS			500

/* What the control BAR has room for between SVADEV_QUEUE(0) and the counters */
#define SVADEV_MAX_QUEUES \
	((SVADEV_STATS - SVADEV_QUEUE(0)) / (SVADEV_QUEUE(1) - SVADEV_QUEUE(0)))

/* Faults of stopped queues of a process that may be outstanding */
#define SVADEV_MAX_LATE_FAULTS		64

enum svadev_owner {
	SVADEV_OWNER_NONE,
	SVADEV_OWNER_USER,
	SVADEV_OWNER_KERNEL,
	SVADEV_OWNER_STUCK,	/* never went idle: nobody can have it again */
};

static const char * const svadev_owner_names[] = {
	[SVADEV_OWNER_NONE] = "free",
	[SVADEV_OWNER_USER] = "user",
	[SVADEV_OWNER_KERNEL] = "kernel",
	[SVADEV_OWNER_STUCK] = "stuck",
};

/**
 * struct svadev_faults - page faults of a queue that the driver serves
 * @ref: references, of the queue and of @task
 * @node: in svadev_faults_list
 * @task: thread that serves the fault of @q
 * @wait: where @task waits for a fault, or for the end
 * @mm: address spaces of the queue
 * @lock: protects @q, which has no other owner while this is held, and @pending
 * @q: the queue, NULL once it was stopped
 * @pending: an interrupt came that may report a fault
 *
 * Each start of a queue has a thread of its own: a fault may last as long as a
 * file system in user space wants. Stopping the queue kills the wait and does
 * not wait for the thread, as not all waits can be killed.
 */
struct svadev_faults {
	struct kref ref;
	struct list_head node;
	struct task_struct *task;
	wait_queue_head_t wait;
	struct mm_struct *mm[SVADEV_QUEUE_MMS];
	spinlock_t lock;	/* @q, @pending */
	struct svadev_queue *q;
	bool pending;
};

/**
 * struct svadev_queue - a hardware queue
 * @sd: the function it belongs to
 * @index: its number there
 * @ctrl: its registers in the control BAR
 * @page: its page in the queue BAR
 * @owner: who has it, protected by the lock of @sd
 * @tgid: process that opened it if @owner is a process
 * @pasid: PASID in use or SVADEV_NO_PASID
 * @irqs: completion interrupts seen since it was taken
 * @wait: where kernel users wait for completion
 * @lock: protects @uq and @faults against the interrupt handler
 * @uq: the uacce queue to wake, NULL if none was started
 * @faults: where the driver serves page faults itself, else NULL
 * @mm: address spaces whose page faults the driver may have to serve: that of
 *	the process which opened it, or those that a kernel user has named
 */
struct svadev_queue {
	struct svadev *sd;
	unsigned int index;
	void __iomem *ctrl;
	void __iomem *page;
	enum svadev_owner owner;
	pid_t tgid;
	u32 pasid;
	atomic_t irqs;
	wait_queue_head_t wait;
	spinlock_t lock;	/* @uq, @faults */
	struct uacce_queue *uq;
	struct svadev_faults *faults;
	struct mm_struct *mm[SVADEV_QUEUE_MMS];
};

/**
 * struct svadev - a function of the accelerator
 * @pdev: its PCI device
 * @ctrl: control BAR
 * @uacce: what user space sees of it
 * @debugfs: its directory in debugfs
 * @user_ats: queues of user space use ATS, where they can
 * @iopf: the IOMMU serves page faults; as in @uacce, which may go first
 * @lock: protects the owner of each queue and the latched counters
 * @kernel_idle: woken when a kernel user puts its queue
 * @kernel_queues: number of queues with kernel users
 * @removing: no queue is given out any more
 * @nr_vectors: MSI-X vectors; queue q interrupts on q % nr_vectors
 * @nr_queues: number of @queues
 * @queues: the hardware queues
 */
struct svadev {
	struct pci_dev *pdev;
	void __iomem *ctrl;
	struct uacce_device *uacce;
	struct dentry *debugfs;
	bool user_ats;
	bool iopf;
	struct mutex lock;	/* @owner of queues, counter latch */
	wait_queue_head_t kernel_idle;
	unsigned int kernel_queues;
	bool removing;
	unsigned int nr_vectors;
	unsigned int nr_queues;
	struct svadev_queue queues[];
};

static LIST_HEAD(svadev_faults_list);
static DEFINE_MUTEX(svadev_faults_mutex);	/* svadev_faults_list */
static struct dentry *svadev_debugfs_root;
static struct pci_driver svadev_pci_driver;

/* Hardware queues */

static struct svadev_queue *svadev_take_queue(struct svadev *sd,
					      enum svadev_owner owner)
{
	struct svadev_queue *q = ERR_PTR(-ENODEV);
	unsigned int i;

	mutex_lock(&sd->lock);
	if (sd->removing)
		goto out_unlock;

	q = ERR_PTR(-EBUSY);
	for (i = 0; i < sd->nr_queues; i++) {
		if (sd->queues[i].owner != SVADEV_OWNER_NONE)
			continue;
		q = &sd->queues[i];
		q->owner = owner;
		q->tgid = task_tgid_nr(current);
		q->pasid = SVADEV_NO_PASID;
		atomic_set(&q->irqs, 0);
		if (owner == SVADEV_OWNER_KERNEL)
			sd->kernel_queues++;
		break;
	}
out_unlock:
	mutex_unlock(&sd->lock);
	return q;
}

static bool svadev_state_idle(u32 state)
{
	/* Reads of a device that was pulled return all ones */
	return !(state & SVADEV_Q_STATE_BUSY) || PCI_POSSIBLE_ERROR(state);
}

static void svadev_release_queue(struct svadev_queue *q)
{
	struct svadev *sd = q->sd;
	bool idle = svadev_state_idle(readl(q->ctrl + SVADEV_Q_STATE));
	unsigned int i;

	for (i = 0; i < SVADEV_QUEUE_MMS; i++) {
		if (q->mm[i])
			mmdrop(q->mm[i]);
		q->mm[i] = NULL;
	}

	mutex_lock(&sd->lock);
	if (q->owner == SVADEV_OWNER_KERNEL && !--sd->kernel_queues)
		wake_up(&sd->kernel_idle);
	q->owner = idle ? SVADEV_OWNER_NONE : SVADEV_OWNER_STUCK;
	q->pasid = SVADEV_NO_PASID;
	mutex_unlock(&sd->lock);
}

static int svadev_hw_disable(struct svadev_queue *q)
{
	u32 state;
	int ret;

	writel(0, q->ctrl + SVADEV_Q_CTRL);
	ret = readl_poll_timeout(q->ctrl + SVADEV_Q_STATE, state,
				 svadev_state_idle(state), 20,
				 SVADEV_IDLE_TIMEOUT_US);
	if (ret)
		dev_err(&q->sd->pdev->dev,
			"queue %u (PASID %d) is still busy %lu s after it was disabled\n",
			q->index, (int)q->pasid,
			SVADEV_IDLE_TIMEOUT_US / USEC_PER_SEC);
	return ret;
}

/*
 * Where the IOMMU driver has enabled ATS and PRI, a queue requests the pages
 * that it misses. With ATS alone this driver brings them in, if it knows the
 * address space. Elsewhere the IOMMU decides, and may stall the access.
 */
static u32 svadev_hw_mode(const struct svadev_queue *q, bool ats)
{
	const struct pci_dev *pdev = q->sd->pdev;

	if (!ats || !pdev->ats_enabled)
		return 0;
	/* Page faults without a PASID are not served */
	if (q->pasid == SVADEV_NO_PASID)
		return SVADEV_Q_MODE_ATS | SVADEV_Q_MODE_MISS_FAIL;
	if (pdev->pri_enabled)
		return SVADEV_Q_MODE_ATS | SVADEV_Q_MODE_MISS_PRI;
	if (q->faults)
		return SVADEV_Q_MODE_ATS | SVADEV_Q_MODE_MISS_HOLD;
	return SVADEV_Q_MODE_ATS | SVADEV_Q_MODE_MISS_FAIL;
}

static int svadev_hw_enable(struct svadev_queue *q, u32 pasid, bool ats)
{
	u32 reg = 0;

	if (pasid != SVADEV_NO_PASID) {
		if (pasid > SVADEV_Q_PASID_MASK)
			return -EINVAL;
		reg = SVADEV_Q_PASID_VALID | pasid;
	}

	q->pasid = pasid;
	writel(reg, q->ctrl + SVADEV_Q_PASID);
	writel(svadev_hw_mode(q, ats), q->ctrl + SVADEV_Q_MODE);
	writel(q->index % q->sd->nr_vectors, q->ctrl + SVADEV_Q_VECTOR);
	writel(SVADEV_Q_CTRL_ENABLE | SVADEV_Q_CTRL_IRQ,
	       q->ctrl + SVADEV_Q_CTRL);
	return 0;
}

static u64 svadev_hw_status(struct svadev_queue *q)
{
	return readq(q->page + SVADEV_STATUS);
}

/* Page faults that the driver serves */

static void svadev_faults_free(struct kref *ref)
{
	struct svadev_faults *faults = container_of(ref, struct svadev_faults,
						    ref);
	unsigned int i;

	for (i = 0; i < SVADEV_QUEUE_MMS; i++)
		if (faults->mm[i])
			mmdrop(faults->mm[i]);
	if (faults->task)
		put_task_struct(faults->task);
	kfree(faults);
}

/* Returns with the mmap_lock released */
static vm_fault_t svadev_handle_fault(struct mm_struct *mm, unsigned long addr,
				      unsigned int flags)
{
	struct vm_area_struct *vma;
	vm_fault_t fault = VM_FAULT_SIGSEGV;

	if (mmap_read_lock_killable(mm))
		return VM_FAULT_RETRY;

	vma = vma_lookup(mm, addr);
	if (!vma || !(vma->vm_flags & (flags & FAULT_FLAG_WRITE ? VM_WRITE :
								   VM_READ)))
		goto out_unlock;

	/* A userfaultfd is asked only by those that can wait unlocked */
	if (!userfaultfd_armed(vma))
		flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
	fault = handle_mm_fault(vma, addr, flags, NULL);
	if (fault & (VM_FAULT_RETRY | VM_FAULT_COMPLETED))
		return fault;
out_unlock:
	mmap_read_unlock(mm);
	return fault;
}

/*
 * Serves what the IOMMU core would: no stack grows, no userfaultfd is asked.
 * As in a CPU's fault the first try waits for the page without the mmap_lock,
 * as the process, and the removal of the device, may need that lock.
 */
static bool svadev_serve_fault(struct mm_struct *mm, unsigned long addr,
			       bool write)
{
	unsigned int flags = FAULT_FLAG_REMOTE | FAULT_FLAG_USER;
	vm_fault_t fault;

	/* After the last mmput() there is nothing left to bring in */
	if (!mmget_not_zero(mm))
		return false;

	if (write)
		flags |= FAULT_FLAG_WRITE;
	do {
		fault = svadev_handle_fault(mm, addr, flags);
		flags |= FAULT_FLAG_TRIED;
	} while (fault & VM_FAULT_RETRY && !fatal_signal_pending(current));
	mmput(mm);
	return !(fault & (VM_FAULT_ERROR | VM_FAULT_RETRY));
}

/* The PASID of a kernel user may have any of them by now */
static bool svadev_serve_fault_of(struct svadev_faults *faults,
				  unsigned long addr, bool write)
{
	bool served = false;
	unsigned int i;

	for (i = 0; i < SVADEV_QUEUE_MMS; i++)
		if (faults->mm[i])
			served |= svadev_serve_fault(faults->mm[i], addr,
						     write);
	return served;
}

static void svadev_serve_queue(struct svadev_faults *faults)
{
	bool held = false, served;
	unsigned long addr = 0;
	u32 state, low = 0;

	spin_lock_irq(&faults->lock);
	faults->pending = false;
	if (faults->q) {
		state = readl(faults->q->ctrl + SVADEV_Q_STATE);
		held = (state & SVADEV_Q_STATE_HELD) &&
		       !PCI_POSSIBLE_ERROR(state);
		low = readl(faults->q->ctrl + SVADEV_Q_FAULT_LO);
		addr = low & PAGE_MASK;
		addr |= (u64)readl(faults->q->ctrl + SVADEV_Q_FAULT_HI) << 32;
	}
	spin_unlock_irq(&faults->lock);
	if (!held)
		return;

	served = svadev_serve_fault_of(faults, addr,
				       low & SVADEV_Q_FAULT_WRITE);

	/* The queue may have another owner by now */
	spin_lock_irq(&faults->lock);
	if (faults->q)
		writel(served ? SVADEV_Q_RESUME_RETRY : SVADEV_Q_RESUME_FAIL,
		       faults->q->ctrl + SVADEV_Q_RESUME);
	spin_unlock_irq(&faults->lock);
}

static bool svadev_fault_or_end(struct svadev_faults *faults)
{
	return READ_ONCE(faults->pending) || !READ_ONCE(faults->q);
}

static int svadev_fault_thread(void *data)
{
	struct svadev_faults *faults = data;

	allow_kernel_signal(SIGKILL);
	while (READ_ONCE(faults->q)) {
		svadev_serve_queue(faults);
		wait_event_idle(faults->wait, svadev_fault_or_end(faults));
	}

	mutex_lock(&svadev_faults_mutex);
	list_del(&faults->node);
	mutex_unlock(&svadev_faults_mutex);
	kref_put(&faults->ref, svadev_faults_free);
	module_put_and_kthread_exit(0);
}

/*
 * A process that restarts its queues while their pages do not come would have
 * ever more threads.
 */
static bool svadev_has_late_faults(struct mm_struct *mm)
{
	struct svadev_faults *faults;
	unsigned int n = 0;

	lockdep_assert_held(&svadev_faults_mutex);

	list_for_each_entry(faults, &svadev_faults_list, node)
		n += faults->mm[0] == mm && !READ_ONCE(faults->q);
	return n >= SVADEV_MAX_LATE_FAULTS;
}

/* Called before the queue is enabled */
static int svadev_start_faults(struct svadev_queue *q)
{
	struct svadev_faults *faults;
	struct task_struct *task;
	unsigned int i;
	int ret;

	/* Of the thread, which may run for longer than the device is there */
	if (!try_module_get(THIS_MODULE))
		return -ENODEV;

	ret = -ENOMEM;
	faults = kzalloc(sizeof(*faults), GFP_KERNEL);
	if (!faults)
		goto out_put_module;

	kref_init(&faults->ref);
	init_waitqueue_head(&faults->wait);
	spin_lock_init(&faults->lock);
	faults->q = q;
	for (i = 0; i < SVADEV_QUEUE_MMS; i++) {
		faults->mm[i] = q->mm[i];
		if (faults->mm[i])
			mmgrab(faults->mm[i]);
	}

	mutex_lock(&svadev_faults_mutex);
	ret = -EBUSY;
	if (svadev_has_late_faults(faults->mm[0]))
		goto out_unlock;

	task = kthread_create(svadev_fault_thread, faults, "svadev-fault/%u",
			      q->index);
	ret = PTR_ERR_OR_ZERO(task);
	if (ret)
		goto out_unlock;
	faults->task = get_task_struct(task);
	list_add(&faults->node, &svadev_faults_list);
	mutex_unlock(&svadev_faults_mutex);

	spin_lock_irq(&q->lock);
	q->faults = faults;
	spin_unlock_irq(&q->lock);
	kref_get(&faults->ref);
	wake_up_process(task);
	return 0;

out_unlock:
	mutex_unlock(&svadev_faults_mutex);
	kref_put(&faults->ref, svadev_faults_free);
out_put_module:
	module_put(THIS_MODULE);
	return ret;
}

/* What the thread serves still is not for this queue, nor for its next owner */
static void svadev_stop_faults(struct svadev_queue *q)
{
	struct svadev_faults *faults;

	spin_lock_irq(&q->lock);
	faults = q->faults;
	q->faults = NULL;
	spin_unlock_irq(&q->lock);
	if (!faults)
		return;

	spin_lock_irq(&faults->lock);
	WRITE_ONCE(faults->q, NULL);
	spin_unlock_irq(&faults->lock);
	send_sig(SIGKILL, faults->task, 1);
	wake_up(&faults->wait);
	kref_put(&faults->ref, svadev_faults_free);
}

static void svadev_queue_fault(struct svadev_queue *q)
{
	lockdep_assert_held(&q->lock);

	if (!q->faults || !(readl(q->ctrl + SVADEV_Q_STATE) &
			    SVADEV_Q_STATE_HELD))
		return;
	spin_lock(&q->faults->lock);
	WRITE_ONCE(q->faults->pending, true);
	spin_unlock(&q->faults->lock);
	wake_up(&q->faults->wait);
}

static irqreturn_t svadev_irq(int irq, void *data)
{
	struct svadev_queue *first = data;
	struct svadev *sd = first->sd;
	unsigned int i;

	for (i = first->index; i < sd->nr_queues; i += sd->nr_vectors) {
		struct svadev_queue *q = &sd->queues[i];

		atomic_inc(&q->irqs);
		wake_up(&q->wait);

		spin_lock(&q->lock);
		svadev_queue_fault(q);
		if (q->uq)
			wake_up_interruptible(&q->uq->wait);
		spin_unlock(&q->lock);
	}
	return IRQ_HANDLED;
}

/* Counters */

static u32 svadev_latch_counters(struct svadev *sd, u32 what)
{
	lockdep_assert_held(&sd->lock);

	writel(what, sd->ctrl + SVADEV_STAT_LATCH);
	return min_t(u32, readl(sd->ctrl + SVADEV_STAT_COUNT),
		     SVADEV_STATS_SIZE / SVADEV_STAT_SIZE);
}

static u64 svadev_latched_counter(struct svadev *sd, u32 n,
				  char name[SVADEV_STAT_NAME_LEN + 1])
{
	void __iomem *entry = sd->ctrl + SVADEV_STATS + n * SVADEV_STAT_SIZE;
	u32 word[SVADEV_STAT_SIZE / sizeof(u32)];
	unsigned int i;

	/* The control BAR takes 32-bit accesses only: no memcpy_fromio() */
	for (i = 0; i < ARRAY_SIZE(word); i++)
		word[i] = readl(entry + i * sizeof(u32));

	/* readl() made a number of what is a string of bytes */
	for (i = 0; i < SVADEV_STAT_NAME_LEN; i++)
		name[i] = word[i / sizeof(u32)] >> (i % sizeof(u32) * 8);
	name[SVADEV_STAT_NAME_LEN] = '\0';

	i = SVADEV_STAT_NAME_LEN / sizeof(u32);
	return word[i] | (u64)word[i + 1] << 32;
}

/* debugfs */

static int counters_show(struct seq_file *s, void *unused)
{
	char name[SVADEV_STAT_NAME_LEN + 1];
	struct svadev *sd = s->private;
	u32 n, count;
	u64 val;

	mutex_lock(&sd->lock);
	count = svadev_latch_counters(sd, SVADEV_STAT_LATCH_COPY);
	for (n = 0; n < count; n++) {
		val = svadev_latched_counter(sd, n, name);
		seq_printf(s, "%s %llu\n", name, val);
	}
	mutex_unlock(&sd->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

/* The stale entries of all caches of the machine, by cache */
static int audit_show(struct seq_file *s, void *unused)
{
	char name[SVADEV_STAT_NAME_LEN + 1];
	struct svadev *sd = s->private;
	u32 n, count;
	u64 val;

	mutex_lock(&sd->lock);
	count = svadev_latch_counters(sd, SVADEV_STAT_LATCH_AUDIT |
					  SVADEV_STAT_LATCH_COPY);
	for (n = 0; n < count; n++) {
		val = svadev_latched_counter(sd, n, name);
		if (strstr(name, SVADEV_STAT_LEFT))
			seq_printf(s, "%s %llu\n", name, val);
	}
	mutex_unlock(&sd->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(audit);

static int queues_show(struct seq_file *s, void *unused)
{
	struct svadev *sd = s->private;
	unsigned int i;

	mutex_lock(&sd->lock);
	for (i = 0; i < sd->nr_queues; i++) {
		struct svadev_queue *q = &sd->queues[i];

		seq_printf(s, "%u %s pid %d pasid %d ctrl %#x state %#x irqs %d\n",
			   i, svadev_owner_names[q->owner],
			   q->owner == SVADEV_OWNER_USER ? q->tgid : 0,
			   (int)q->pasid, readl(q->ctrl + SVADEV_Q_CTRL),
			   readl(q->ctrl + SVADEV_Q_STATE),
			   atomic_read(&q->irqs));
	}
	mutex_unlock(&sd->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(queues);

/* For tests: plug or pull another function, without anybody's leave */
static int svadev_slot_set(void *data, u64 val)
{
	struct svadev *sd = data;

	if (val & ~(u64)(SVADEV_SLOT_DEVFN_MASK | SVADEV_SLOT_PLUG))
		return -EINVAL;
	writel(val, sd->ctrl + SVADEV_SLOT);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(svadev_slot_fops, NULL, svadev_slot_set, "%llu\n");

/* For tests: SVADEV_INJECT_* bits, and the size of page request groups */
static int svadev_inject_get(void *data, u64 *val)
{
	struct svadev *sd = data;

	*val = readl(sd->ctrl + SVADEV_INJECT);
	return 0;
}

static int svadev_inject_set(void *data, u64 val)
{
	struct svadev *sd = data;

	writel(val, sd->ctrl + SVADEV_INJECT);
	/* Bits that the device does not have read as 0 */
	return readl(sd->ctrl + SVADEV_INJECT) == val ? 0 : -EINVAL;
}
DEFINE_DEBUGFS_ATTRIBUTE(svadev_inject_fops, svadev_inject_get,
			 svadev_inject_set, "%llu\n");

static int svadev_prg_pages_get(void *data, u64 *val)
{
	struct svadev *sd = data;

	*val = readl(sd->ctrl + SVADEV_PRG_PAGES);
	return 0;
}

static int svadev_prg_pages_set(void *data, u64 val)
{
	struct svadev *sd = data;

	if (!val || val > SVADEV_PRG_PAGES_MAX)
		return -EINVAL;
	writel(val, sd->ctrl + SVADEV_PRG_PAGES);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(svadev_prg_pages_fops, svadev_prg_pages_get,
			 svadev_prg_pages_set, "%llu\n");

static int svadev_max_retries_get(void *data, u64 *val)
{
	struct svadev *sd = data;

	*val = readl(sd->ctrl + SVADEV_MAX_RETRIES);
	return 0;
}

static int svadev_max_retries_set(void *data, u64 val)
{
	struct svadev *sd = data;

	if (val > U32_MAX)
		return -EINVAL;
	writel(val, sd->ctrl + SVADEV_MAX_RETRIES);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(svadev_max_retries_fops, svadev_max_retries_get,
			 svadev_max_retries_set, "%llu\n");

static void svadev_create_debugfs(struct svadev *sd)
{
	sd->debugfs = debugfs_create_dir(pci_name(sd->pdev),
					 svadev_debugfs_root);
	debugfs_create_file("counters", 0400, sd->debugfs, sd, &counters_fops);
	debugfs_create_file("audit", 0400, sd->debugfs, sd, &audit_fops);
	debugfs_create_file("queues", 0400, sd->debugfs, sd, &queues_fops);
	debugfs_create_bool("ats", 0600, sd->debugfs, &sd->user_ats);
	debugfs_create_file("slot", 0200, sd->debugfs, sd, &svadev_slot_fops);
	debugfs_create_file("inject", 0600, sd->debugfs, sd,
			    &svadev_inject_fops);
	debugfs_create_file("prg_pages", 0600, sd->debugfs, sd,
			    &svadev_prg_pages_fops);
	debugfs_create_file("max_retries", 0600, sd->debugfs, sd,
			    &svadev_max_retries_fops);
}

/* uacce */

static int svadev_uacce_get_available_instances(struct uacce_device *uacce)
{
	struct svadev *sd = uacce->priv;
	unsigned int i, n = 0;

	mutex_lock(&sd->lock);
	for (i = 0; i < sd->nr_queues; i++)
		n += sd->queues[i].owner == SVADEV_OWNER_NONE;
	mutex_unlock(&sd->lock);
	return n;
}

static int svadev_uacce_get_queue(struct uacce_device *uacce,
				  unsigned long pasid, struct uacce_queue *uq)
{
	struct svadev_queue *q;

	/* Without a PASID the process could DMA wherever the kernel can */
	if (!uq->handle) {
		dev_dbg(uacce->parent, "no SVA, no queues for user space\n");
		return -EOPNOTSUPP;
	}

	q = svadev_take_queue(uacce->priv, SVADEV_OWNER_USER);
	if (IS_ERR(q))
		return PTR_ERR(q);

	/* uacce has bound this one */
	q->mm[0] = current->mm;
	mmgrab(q->mm[0]);
	uq->priv = q;
	return 0;
}

static void svadev_uacce_put_queue(struct uacce_queue *uq)
{
	struct svadev_queue *q = uq->priv;

	spin_lock_irq(&q->lock);
	q->uq = NULL;
	spin_unlock_irq(&q->lock);
	svadev_release_queue(q);
}

static int svadev_uacce_start_queue(struct uacce_queue *uq)
{
	struct svadev_queue *q = uq->priv;
	struct svadev *sd = q->sd;
	int ret;

	if (!sd->iopf) {
		/* Nothing else reports what the queue misses */
		if (!sd->user_ats || !sd->pdev->ats_enabled)
			return -EOPNOTSUPP;
		ret = svadev_start_faults(q);
		if (ret)
			return ret;
	}

	spin_lock_irq(&q->lock);
	q->uq = uq;
	spin_unlock_irq(&q->lock);

	ret = svadev_hw_enable(q, uq->pasid, sd->user_ats);
	if (ret)
		svadev_stop_faults(q);
	return ret;
}

static void svadev_uacce_stop_queue(struct uacce_queue *uq)
{
	struct svadev_queue *q = uq->priv;

	svadev_stop_faults(q);
	svadev_hw_disable(q);
}

static int svadev_uacce_is_q_updated(struct uacce_queue *uq)
{
	u64 status = svadev_hw_status(uq->priv);

	return status != SVADEV_STATUS_IDLE && status != SVADEV_STATUS_BUSY;
}

static int svadev_uacce_mmap(struct uacce_queue *uq,
			     struct vm_area_struct *vma,
			     struct uacce_qfile_region *qfr)
{
	struct svadev_queue *q = uq->priv;
	resource_size_t page;
	vm_fault_t fault;

	/* A private mapping of registers would be a copy of them at fork */
	if (qfr->type != UACCE_QFRT_MMIO || !(vma->vm_flags & VM_SHARED) ||
	    vma->vm_end - vma->vm_start != PAGE_SIZE)
		return -EINVAL;

	page = pci_resource_start(q->sd->pdev, SVADEV_BAR_QUEUE) +
	       q->index * SVADEV_QUEUE_STRIDE;
	vma->vm_page_prot =
		pgprot_decrypted(pgprot_noncached(vma->vm_page_prot));
	/*
	 * Not io_remap_pfn_range(), whose flags these are: on x86, who zaps what
	 * that has mapped looks in the page table for the memory type to free.
	 * If uacce zaps the page of a device that goes while the process unmaps
	 * it, one of them finds no entry, and warns. That the entry was not there
	 * before needs no check: nobody else knows this VMA yet.
	 */
	vma->vm_flags |= VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP;
	fault = vmf_insert_pfn(vma, vma->vm_start, PHYS_PFN(page));
	return fault == VM_FAULT_NOPAGE ? 0 : vm_fault_to_errno(fault, 0);
}

static const struct uacce_ops svadev_uacce_ops = {
	.get_available_instances = svadev_uacce_get_available_instances,
	.get_queue = svadev_uacce_get_queue,
	.put_queue = svadev_uacce_put_queue,
	.start_queue = svadev_uacce_start_queue,
	.stop_queue = svadev_uacce_stop_queue,
	.is_q_updated = svadev_uacce_is_q_updated,
	.mmap = svadev_uacce_mmap,
};

/* Kernel users */

/**
 * svadev_queue_get() - take a queue for use by the kernel
 * @pdev: the function
 *
 * The queue is disabled. The driver cannot be unbound from @pdev before the
 * queue was given back.
 *
 * Context: Process context, takes the device lock of @pdev.
 * Return: the queue, or an ERR_PTR: -ENODEV if this driver is not bound to
 * @pdev or is being unbound, -EBUSY if all queues are taken.
 */
struct svadev_queue *svadev_queue_get(struct pci_dev *pdev)
{
	struct svadev_queue *q = ERR_PTR(-ENODEV);

	device_lock(&pdev->dev);
	if (pdev->dev.driver == &svadev_pci_driver.driver)
		q = svadev_take_queue(pci_get_drvdata(pdev),
				      SVADEV_OWNER_KERNEL);
	device_unlock(&pdev->dev);
	return q;
}
EXPORT_SYMBOL_GPL(svadev_queue_get);

/**
 * svadev_queue_put() - disable a queue and give it back
 * @q: the queue
 *
 * Context: Process context, waits for outstanding DMA.
 */
void svadev_queue_put(struct svadev_queue *q)
{
	svadev_stop_faults(q);
	svadev_hw_disable(q);
	svadev_release_queue(q);
}
EXPORT_SYMBOL_GPL(svadev_queue_put);

/**
 * svadev_queue_serve() - have the driver serve page faults of a queue
 * @q: the queue
 * @mm: an address space whose domain is, or will be, attached to its PASID
 *
 * Where the IOMMU reports page faults this changes nothing. Where it does not,
 * a queue that uses ATS and is enabled after this call stops at a page that it
 * misses, until the page was brought in. More than one address space is for
 * domains that replace each other; a page is then brought into all of them.
 *
 * Context: Process context.
 * Return: 0, -ENOSPC if the queue has as many address spaces as it can have.
 */
int svadev_queue_serve(struct svadev_queue *q, struct mm_struct *mm)
{
	unsigned int i;

	for (i = 0; i < SVADEV_QUEUE_MMS; i++) {
		if (q->mm[i])
			continue;
		q->mm[i] = mm;
		mmgrab(mm);
		return 0;
	}
	return -ENOSPC;
}
EXPORT_SYMBOL_GPL(svadev_queue_serve);

/**
 * svadev_queue_enable() - let a queue accept operations
 * @q: the queue
 * @pasid: PASID its requests carry, or SVADEV_NO_PASID
 * @ats: ask for translations and for pages, if ATS and PRI are enabled; otherwise
 *	 the IOMMU translates each request, and may refuse it
 *
 * A queue that is enabled already is disabled first.
 *
 * Context: Process context, waits for outstanding DMA.
 * Return: 0, -EINVAL if @pasid has more than 20 bits (PCIe 6.0, 6.20), -ENOMEM,
 * -ETIMEDOUT if outstanding DMA did not end; the queue is then disabled.
 */
int svadev_queue_enable(struct svadev_queue *q, u32 pasid, bool ats)
{
	int ret;

	ret = svadev_queue_disable(q);
	if (ret)
		return ret;

	if (q->mm[0] && !q->sd->iopf) {
		ret = svadev_start_faults(q);
		if (ret)
			return ret;
	}

	ret = svadev_hw_enable(q, pasid, ats);
	if (ret)
		svadev_stop_faults(q);
	return ret;
}
EXPORT_SYMBOL_GPL(svadev_queue_enable);

/**
 * svadev_queue_disable() - stop a queue
 * @q: the queue
 *
 * Context: Process context, waits for outstanding DMA.
 * Return: 0, -ETIMEDOUT if outstanding DMA did not end.
 */
int svadev_queue_disable(struct svadev_queue *q)
{
	svadev_stop_faults(q);
	return svadev_hw_disable(q);
}
EXPORT_SYMBOL_GPL(svadev_queue_disable);

/**
 * svadev_queue_submit() - start an operation
 * @q: the queue, enabled
 * @op: the operation
 *
 * Memory written before the call is seen by the operation.
 *
 * Context: Any context; calls for one queue must not overlap.
 * Return: 0, -EBUSY if the last operation is still running.
 */
int svadev_queue_submit(struct svadev_queue *q, const struct svadev_op *op)
{
	if (svadev_hw_status(q) == SVADEV_STATUS_BUSY)
		return -EBUSY;

	writeq(op->op, q->page + SVADEV_OP);
	writeq(op->src, q->page + SVADEV_SRC);
	writeq(op->dst, q->page + SVADEV_DST);
	writeq(op->len, q->page + SVADEV_LEN);
	writeq(op->value, q->page + SVADEV_VALUE);
	writeq(op->expect, q->page + SVADEV_EXPECT);
	writeq(op->hammer_ns, q->page + SVADEV_HAMMER);
	writeq(SVADEV_GO_START, q->page + SVADEV_GO);
	return 0;
}
EXPORT_SYMBOL_GPL(svadev_queue_submit);

/**
 * svadev_queue_end_hammer() - end a repeated operation after its round
 * @q: the queue
 *
 * Context: Any context. svadev_queue_wait() tells when it has ended.
 */
void svadev_queue_end_hammer(struct svadev_queue *q)
{
	writeq(SVADEV_GO_STOP, q->page + SVADEV_GO);
}
EXPORT_SYMBOL_GPL(svadev_queue_end_hammer);

/**
 * svadev_queue_wait() - wait for an operation to end
 * @q: the queue
 * @op: where to put the outcome
 * @timeout_ms: how long to wait, in milliseconds
 *
 * Context: Process context, sleeps.
 * Return: 0 if all was done, -ETIMEDOUT if the operation is still running,
 * -EFAULT if an address could not be translated, -EINVAL if the device does
 * not know such an operation, -ECANCELED if the queue is or was disabled,
 * -EAGAIN if the device gave up retrying after page faults were served, -EIO
 * if the device reports anything else. @op is complete unless -ETIMEDOUT.
 */
int svadev_queue_wait(struct svadev_queue *q, struct svadev_op *op,
		      unsigned int timeout_ms)
{
	if (!wait_event_timeout(q->wait,
				svadev_hw_status(q) != SVADEV_STATUS_BUSY,
				msecs_to_jiffies(timeout_ms)))
		return -ETIMEDOUT;

	op->status = svadev_hw_status(q);
	op->result = readq(q->page + SVADEV_RESULT);
	op->fault_addr = readq(q->page + SVADEV_FAULT_ADDR);
	op->done = readq(q->page + SVADEV_DONE);
	op->faults = readq(q->page + SVADEV_FAULTS);
	op->rounds = readq(q->page + SVADEV_ROUNDS);

	switch (op->status) {
	case SVADEV_STATUS_OK:
		return 0;
	case SVADEV_STATUS_FAULT:
		return -EFAULT;
	case SVADEV_STATUS_INVALID:
		return -EINVAL;
	case SVADEV_STATUS_DISABLED:
		return -ECANCELED;
	case SVADEV_STATUS_RETRIES:
		return -EAGAIN;
	default:
		return -EIO;
	}
}
EXPORT_SYMBOL_GPL(svadev_queue_wait);

/**
 * svadev_queue_run() - run an operation and wait for its end
 * @q: the queue, enabled
 * @op: the operation; its outcome is stored there too
 * @timeout_ms: how long to wait, in milliseconds
 *
 * Context: Process context, sleeps.
 * Return: what svadev_queue_submit() and svadev_queue_wait() return.
 */
int svadev_queue_run(struct svadev_queue *q, struct svadev_op *op,
		     unsigned int timeout_ms)
{
	int ret;

	ret = svadev_queue_submit(q, op);
	if (ret)
		return ret;
	return svadev_queue_wait(q, op, timeout_ms);
}
EXPORT_SYMBOL_GPL(svadev_queue_run);

/**
 * svadev_queue_irqs() - count completion interrupts
 * @q: the queue
 *
 * Context: Any context.
 * Return: the number of completion interrupts since the queue was taken.
 */
unsigned int svadev_queue_irqs(struct svadev_queue *q)
{
	return atomic_read(&q->irqs);
}
EXPORT_SYMBOL_GPL(svadev_queue_irqs);

/**
 * svadev_plug() - plug or pull another function of the emulated machine
 * @q: any queue, of a function that stays
 * @pdev: the other function
 * @plug: false: it is gone at once, and nobody is told
 *
 * Context: Any context.
 */
void svadev_plug(struct svadev_queue *q, struct pci_dev *pdev, bool plug)
{
	writel(pdev->devfn | (plug ? SVADEV_SLOT_PLUG : 0),
	       q->sd->ctrl + SVADEV_SLOT);
}
EXPORT_SYMBOL_GPL(svadev_plug);

/**
 * svadev_set_inject() - have page requests, or invalidations, go wrong
 * @q: any queue of the function
 * @inject: SVADEV_INJECT_* bits, 0 for none
 *
 * Context: Any context.
 * Return: 0, -EOPNOTSUPP if the function has no such bits, for lack of PRI or
 *	ATS.
 */
int svadev_set_inject(struct svadev_queue *q, u32 inject)
{
	writel(inject, q->sd->ctrl + SVADEV_INJECT);
	return readl(q->sd->ctrl + SVADEV_INJECT) == inject ? 0 : -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(svadev_set_inject);

/**
 * svadev_set_prg_pages() - set the size of page request groups
 * @q: any queue of the function
 * @pages: the most pages to request in a group, 1 to SVADEV_PRG_PAGES_MAX
 *
 * Context: Any context.
 */
void svadev_set_prg_pages(struct svadev_queue *q, u32 pages)
{
	writel(pages, q->sd->ctrl + SVADEV_PRG_PAGES);
}
EXPORT_SYMBOL_GPL(svadev_set_prg_pages);

/**
 * svadev_set_max_retries() - set how often a DMA is tried again
 * @q: any queue of the function
 * @retries: after so many the operation ends
 *
 * Context: Any context.
 */
void svadev_set_max_retries(struct svadev_queue *q, u32 retries)
{
	writel(retries, q->sd->ctrl + SVADEV_MAX_RETRIES);
}
EXPORT_SYMBOL_GPL(svadev_set_max_retries);

/**
 * svadev_read_counter() - read a counter of the emulated machine
 * @q: any queue
 * @name: name of the counter
 * @val: where to put its value
 *
 * Context: Process context.
 * Return: 0, -ENOENT if there is no counter of that name.
 */
int svadev_read_counter(struct svadev_queue *q, const char *name, u64 *val)
{
	char latched[SVADEV_STAT_NAME_LEN + 1];
	struct svadev *sd = q->sd;
	int ret = -ENOENT;
	u32 n, count;

	mutex_lock(&sd->lock);
	count = svadev_latch_counters(sd, SVADEV_STAT_LATCH_COPY);
	for (n = 0; n < count && ret; n++) {
		u64 this = svadev_latched_counter(sd, n, latched);

		if (!strcmp(latched, name)) {
			*val = this;
			ret = 0;
		}
	}
	mutex_unlock(&sd->lock);
	return ret;
}
EXPORT_SYMBOL_GPL(svadev_read_counter);

static u64 svadev_audit_once(struct svadev *sd, bool log)
{
	char latched[SVADEV_STAT_NAME_LEN + 1];
	u64 this, left = 0;
	u32 n, count;

	mutex_lock(&sd->lock);
	count = svadev_latch_counters(sd, SVADEV_STAT_LATCH_AUDIT |
					  SVADEV_STAT_LATCH_COPY);
	for (n = 0; n < count; n++) {
		this = svadev_latched_counter(sd, n, latched);
		if (!strstr(latched, SVADEV_STAT_LEFT) || !this)
			continue;
		if (log)
			pci_info(sd->pdev, "%s %llu\n", latched, this);
		left += this;
	}
	mutex_unlock(&sd->lock);
	return left;
}

/**
 * svadev_audit() - compare all caches of the emulated machine with memory
 * @q: any queue
 *
 * While an invalidation is under way stale entries are legitimate: call this
 * when nothing changes a page table, or a table that leads to one. Where DMA
 * domains are invalidated lazily, entries are given time to disappear. The
 * counters of those that stay are logged.
 *
 * Context: Process context, sleeps.
 * Return: the number of entries that differ from memory, in the IOTLBs, the
 *	paging-structure and configuration caches of all IOMMUs, and in the ATCs
 *	of all devices.
 */
u64 svadev_audit(struct svadev_queue *q)
{
	unsigned long end = jiffies + msecs_to_jiffies(SVADEV_LAZY_MS);
	struct iommu_domain *domain;
	bool again;
	u64 left;

	domain = iommu_get_domain_for_dev(&q->sd->pdev->dev);
	again = domain && domain->type == IOMMU_DOMAIN_DMA_FQ;
	while ((left = svadev_audit_once(q->sd, !again)) && again) {
		again = time_before(jiffies, end);
		msleep(20);
	}
	return left;
}
EXPORT_SYMBOL_GPL(svadev_audit);

/* PCI */

static int svadev_init_hw(struct svadev *sd, void __iomem *pages)
{
	unsigned int i;

	writel(1, sd->ctrl + SVADEV_RESET);

	for (i = 0; i < sd->nr_queues; i++) {
		struct svadev_queue *q = &sd->queues[i];
		int ret;

		q->sd = sd;
		q->index = i;
		q->ctrl = sd->ctrl + SVADEV_QUEUE(i);
		q->page = pages + i * SVADEV_QUEUE_STRIDE;
		q->pasid = SVADEV_NO_PASID;
		init_waitqueue_head(&q->wait);
		spin_lock_init(&q->lock);

		ret = svadev_hw_disable(q);
		if (ret)
			return ret;
	}
	return 0;
}

static void svadev_free_vectors(void *data)
{
	pci_free_irq_vectors(data);
}

static int svadev_init_irqs(struct svadev *sd)
{
	struct device *dev = &sd->pdev->dev;
	unsigned int i;
	int ret;

	ret = pci_alloc_irq_vectors(sd->pdev, 1, sd->nr_queues, PCI_IRQ_MSIX);
	if (ret < 0)
		return ret;
	sd->nr_vectors = ret;

	ret = devm_add_action_or_reset(dev, svadev_free_vectors, sd->pdev);
	if (ret)
		return ret;

	for (i = 0; i < sd->nr_vectors; i++) {
		ret = devm_request_irq(dev, pci_irq_vector(sd->pdev, i),
				       svadev_irq, 0, SVADEV_NAME,
				       &sd->queues[i]);
		if (ret)
			return ret;
	}
	return 0;
}

static int svadev_init_uacce(struct svadev *sd)
{
	struct uacce_interface interface = {
		.name = SVADEV_NAME,
		.flags = UACCE_DEV_SVA,
		.serves_faults = pci_ats_supported(sd->pdev),
		.ops = &svadev_uacce_ops,
	};
	struct uacce_device *uacce;
	int ret;

	uacce = uacce_alloc(&sd->pdev->dev, &interface);
	if (IS_ERR(uacce))
		return PTR_ERR(uacce);

	sd->iopf = uacce->iopf;
	uacce->priv = sd;
	uacce->algs = "copy\nfill\ncompare\natomic\n";
	uacce->api_ver = "svadev_v1";
	uacce->qf_pg_num[UACCE_QFRT_MMIO] = 1;

	ret = uacce_register(uacce);
	if (ret) {
		uacce_remove(uacce);
		return ret;
	}
	sd->uacce = uacce;
	return 0;
}

static int svadev_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct device *dev = &pdev->dev;
	void __iomem * const *bars;
	void __iomem *ctrl;
	struct svadev *sd;
	u32 nr_queues;
	int ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return dev_err_probe(dev, ret, "cannot enable\n");

	ret = pcim_iomap_regions(pdev, BIT(SVADEV_BAR_CTRL) |
				 BIT(SVADEV_BAR_QUEUE), SVADEV_NAME);
	if (ret)
		return dev_err_probe(dev, ret, "cannot map the BARs\n");

	bars = pcim_iomap_table(pdev);
	ctrl = bars[SVADEV_BAR_CTRL];
	if (pci_resource_len(pdev, SVADEV_BAR_CTRL) < SVADEV_CTRL_SIZE ||
	    readl(ctrl + SVADEV_ID) != SVADEV_ID_MAGIC ||
	    readl(ctrl + SVADEV_VERSION) != SVADEV_VERSION_1)
		return dev_err_probe(dev, -ENODEV,
				     "not a version %u device\n",
				     SVADEV_VERSION_1);

	nr_queues = readl(ctrl + SVADEV_NR_QUEUES);
	if (!nr_queues || nr_queues > SVADEV_MAX_QUEUES ||
	    pci_resource_len(pdev, SVADEV_BAR_QUEUE) / SVADEV_QUEUE_STRIDE <
	    nr_queues)
		return dev_err_probe(dev, -ENODEV, "no room for %u queues\n",
				     nr_queues);

	sd = devm_kzalloc(dev, struct_size(sd, queues, nr_queues), GFP_KERNEL);
	if (!sd)
		return -ENOMEM;

	sd->pdev = pdev;
	sd->ctrl = ctrl;
	sd->nr_queues = nr_queues;
	sd->user_ats = true;
	mutex_init(&sd->lock);
	init_waitqueue_head(&sd->kernel_idle);
	pci_set_drvdata(pdev, sd);

	ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (ret)
		return dev_err_probe(dev, ret, "cannot use 64-bit DMA\n");

	ret = svadev_init_hw(sd, bars[SVADEV_BAR_QUEUE]);
	if (ret)
		return ret;

	pci_set_master(pdev);
	ret = svadev_init_irqs(sd);
	if (ret)
		return dev_err_probe(dev, ret, "no MSI-X vectors\n");

	ret = svadev_init_uacce(sd);
	if (ret)
		return dev_err_probe(dev, ret, "cannot register with uacce\n");

	svadev_create_debugfs(sd);
	return 0;
}

static void svadev_remove(struct pci_dev *pdev)
{
	struct svadev *sd = pci_get_drvdata(pdev);

	mutex_lock(&sd->lock);
	sd->removing = true;
	mutex_unlock(&sd->lock);

	debugfs_remove(sd->debugfs);
	/* Stops the queues of processes, zaps their mappings */
	uacce_remove(sd->uacce);
	wait_event(sd->kernel_idle, !READ_ONCE(sd->kernel_queues));
	/* The last user may not have left svadev_release_queue() yet */
	mutex_lock(&sd->lock);
	mutex_unlock(&sd->lock);
	writel(1, sd->ctrl + SVADEV_RESET);
	pci_clear_master(pdev);
}

static const struct pci_device_id svadev_pci_ids[] = {
	{ PCI_DEVICE(SVADEV_PCI_VENDOR, SVADEV_PCI_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, svadev_pci_ids);

static struct pci_driver svadev_pci_driver = {
	.name = SVADEV_NAME,
	.id_table = svadev_pci_ids,
	.probe = svadev_probe,
	.remove = svadev_remove,
};

static int __init svadev_init(void)
{
	int ret;

	svadev_debugfs_root = debugfs_create_dir(SVADEV_NAME, NULL);
	ret = pci_register_driver(&svadev_pci_driver);
	if (ret)
		debugfs_remove(svadev_debugfs_root);
	return ret;
}
module_init(svadev_init);

static void __exit svadev_exit(void)
{
	pci_unregister_driver(&svadev_pci_driver);
	debugfs_remove(svadev_debugfs_root);
}
module_exit(svadev_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("svadev, an emulated accelerator that DMAs with a PASID");
