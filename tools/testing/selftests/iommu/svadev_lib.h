/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What programs need to use svadev, the emulated accelerator: open a queue,
 * run operations on it through the program's own pointers, and see in the
 * machine's counters what the IOMMU was made to do.
 */
#ifndef SVADEV_LIB_H
#define SVADEV_LIB_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <misc/uacce/svadev.h>
#include <misc/uacce/uacce.h>

#include "../kselftest.h"

/* Long enough for anything that ends at all, in an emulator on a busy host */
#define SVA_TIMEOUT_MS		20000

/*
 * Devices. They are numbered /dev/svadev-0 and up; a driver that is bound
 * again may get a higher number, so look some way beyond the first gap.
 */
#define SVA_MAX_DEVICES		16

static inline int sva_devices(int *number, int max)
{
	char path[32];
	int i, n = 0;

	for (i = 0; i < SVA_MAX_DEVICES && n < max; i++) {
		snprintf(path, sizeof(path), "/dev/svadev-%d", i);
		if (!access(path, F_OK))
			number[n++] = i;
	}
	return n;
}

/* The device's attribute in sysfs as a number, negative errno on failure */
static inline long sva_sysfs(int number, const char *attribute)
{
	char path[96];
	long val;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/uacce/svadev-%d/%s", number,
		 attribute);
	f = fopen(path, "r");
	if (!f)
		return -errno;
	if (fscanf(f, "%ld", &val) != 1)
		val = -EIO;
	fclose(f);
	return val;
}

/* Did the kernel turn SVA on for the device? */
static inline bool sva_capable(int number)
{
	long flags = sva_sysfs(number, "flags");

	return flags > 0 && (flags & 1);
}

#define SVA_PCI_NAME_LEN	32

/* The last part of where a link in the directory of a device leads to */
static inline int sva_link(int number, const char *link,
			   char name[SVA_PCI_NAME_LEN])
{
	char path[64], target[PATH_MAX];
	const char *last;
	ssize_t len;

	snprintf(path, sizeof(path), "/sys/class/uacce/svadev-%d/%s", number,
		 link);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	last = strrchr(target, '/');
	snprintf(name, SVA_PCI_NAME_LEN, "%.31s", last ? last + 1 : target);
	return 0;
}

/* What PCI calls the device. Returns 0 or a negative errno. */
static inline int sva_pci_name(int number, char name[SVA_PCI_NAME_LEN])
{
	return sva_link(number, "device", name);
}

/* The name of the IOMMU that a device is behind */
static inline int sva_iommu(int number, char name[SVA_PCI_NAME_LEN])
{
	return sva_link(number, "device/iommu", name);
}

static inline FILE *sva_config(int number)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/uacce/svadev-%d/device/config",
		 number);
	return fopen(path, "r");
}

/* Does it say that there are, or may be, other functions of the same device? */
static inline bool sva_multifunction(int number)
{
	FILE *f = sva_config(number);
	int type;

	if (!f)
		return false;
	type = fseek(f, 0x0e, SEEK_SET) ? EOF : fgetc(f);
	fclose(f);
	return type != EOF && type & 0x80;
}

#define SVA_PCI_CAP_PASID	0x1b

/* How many bits the PASIDs of a device have. 0 if it has none. */
static inline unsigned int sva_pasid_bits(int number)
{
	unsigned int pos = 0x100, bits = 0;
	FILE *f = sva_config(number);
	uint32_t cap;

	if (!f)
		return 0;
	/* Extended capabilities are a list, in the order of the file or not */
	while (pos && !fseek(f, pos, SEEK_SET) &&
	       fread(&cap, sizeof(cap), 1, f) == 1) {
		if ((cap & 0xffff) != SVA_PCI_CAP_PASID) {
			pos = cap >> 20;
			continue;
		}
		if (fread(&cap, sizeof(cap), 1, f) == 1)
			bits = cap >> 8 & 0x1f;
		break;
	}
	fclose(f);
	return bits;
}

/* A file of the device in debugfs */
static inline FILE *sva_debugfs(int number, const char *file)
{
	char name[SVA_PCI_NAME_LEN], path[128];

	if (access("/sys/kernel/debug/svadev", F_OK))
		mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);

	if (sva_pci_name(number, name))
		return NULL;
	snprintf(path, sizeof(path), "/sys/kernel/debug/svadev/%s/%s", name,
		 file);
	return fopen(path, "r");
}

/*
 * PASIDs of the started queues a process has on a device. Returns how many
 * queues there are, negative errno on failure.
 */
static inline int sva_pasids(int number, pid_t pid, long *pasid, int max)
{
	FILE *f = sva_debugfs(number, "queues");
	char owner[16];
	int owner_pid, n = 0;
	long p;

	if (!f)
		return -errno;
	while (fscanf(f, "%*u %15s pid %d pasid %ld%*[^\n]", owner, &owner_pid,
		      &p) == 3) {
		if (strcmp(owner, "user") || owner_pid != pid)
			continue;
		if (n < max)
			pasid[n] = p;
		n++;
	}
	fclose(f);
	return n;
}

/* Queues of a device that nobody can use any more */
static inline int sva_stuck_queues(int number)
{
	FILE *f = sva_debugfs(number, "queues");
	char owner[16];
	int n = 0;

	if (!f)
		return -errno;
	while (fscanf(f, "%*u %15s%*[^\n]", owner) == 1)
		n += !strcmp(owner, "stuck");
	fclose(f);
	return n;
}

/* Queues */

struct sva_queue {
	int fd;
	void *page;

	/* What became of the last operation */
	uint64_t status;
	uint64_t result;
	uint64_t fault_addr;
	uint64_t done;
	uint64_t faults;
	uint64_t rounds;
};

struct sva_op {
	uint64_t op;
	const void *src;
	void *dst;
	uint64_t len;
	uint64_t value;
	uint64_t expect;
	uint64_t hammer_ns;
};

/* Not a status of the device: the operation did not end in time */
#define SVA_STATUS_TIMEOUT	100
/* Not a status of the device: the last operation is still running */
#define SVA_STATUS_IN_USE	101

static inline const char *sva_status_name(uint64_t status)
{
	switch (status) {
	case SVADEV_STATUS_IDLE:
		return "idle";
	case SVADEV_STATUS_BUSY:
		return "busy";
	case SVADEV_STATUS_OK:
		return "ok";
	case SVADEV_STATUS_FAULT:
		return "fault";
	case SVADEV_STATUS_INVALID:
		return "invalid";
	case SVADEV_STATUS_DISABLED:
		return "disabled";
	case SVADEV_STATUS_RETRIES:
		return "too many retries";
	case SVA_STATUS_TIMEOUT:
		return "timeout";
	case SVA_STATUS_IN_USE:
		return "in use";
	default:
		return "unknown";
	}
}

/* A word that somebody else changes: a device or another thread */
static inline uint64_t sva_load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline uint64_t sva_reg_read(struct sva_queue *q, unsigned int reg)
{
	return sva_load((uint64_t *)((char *)q->page + reg));
}

static inline void sva_reg_write(struct sva_queue *q, unsigned int reg,
				 uint64_t val)
{
	__atomic_store_n((uint64_t *)((char *)q->page + reg), val,
			 __ATOMIC_RELAXED);
}

/* Orders memory against the registers of the device */
static inline void sva_mb(void)
{
#ifdef __aarch64__
	__asm__ __volatile__("dmb osh" ::: "memory");
#else
	__sync_synchronize();
#endif
}

static inline uint64_t sva_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ull + ts.tv_nsec / 1000000;
}

/* Open a queue without starting it. Returns 0 or a negative errno. */
static inline int sva_open_stopped(int number, struct sva_queue *q)
{
	char path[32];

	memset(q, 0, sizeof(*q));
	snprintf(path, sizeof(path), "/dev/svadev-%d", number);
	q->fd = open(path, O_RDWR | O_CLOEXEC);
	if (q->fd < 0)
		return -errno;

	q->page = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED,
		       q->fd, UACCE_QFRT_MMIO * getpagesize());
	if (q->page == MAP_FAILED) {
		int err = errno;

		close(q->fd);
		q->fd = -1;
		return -err;
	}
	return 0;
}

/* Not in use, unmapped and closed: the queue is the device's again */
static inline void sva_close(struct sva_queue *q)
{
	if (q->fd < 0)
		return;
	munmap(q->page, getpagesize());
	close(q->fd);
	q->fd = -1;
}

/* Open a queue and start it. Returns 0 or a negative errno. */
static inline int sva_open(int number, struct sva_queue *q)
{
	int ret;

	ret = sva_open_stopped(number, q);
	if (ret)
		return ret;
	if (ioctl(q->fd, UACCE_CMD_START_Q)) {
		ret = -errno;
		sva_close(q);
	}
	return ret;
}

static inline bool sva_busy(struct sva_queue *q)
{
	return sva_reg_read(q, SVADEV_STATUS) == SVADEV_STATUS_BUSY;
}

/* Start an operation. Returns false if the last one is still running. */
static inline bool sva_submit(struct sva_queue *q, const struct sva_op *op)
{
	if (sva_busy(q))
		return false;
	sva_reg_write(q, SVADEV_OP, op->op);
	sva_reg_write(q, SVADEV_SRC, (uintptr_t)op->src);
	sva_reg_write(q, SVADEV_DST, (uintptr_t)op->dst);
	sva_reg_write(q, SVADEV_LEN, op->len);
	sva_reg_write(q, SVADEV_VALUE, op->value);
	sva_reg_write(q, SVADEV_EXPECT, op->expect);
	sva_reg_write(q, SVADEV_HAMMER, op->hammer_ns);
	sva_mb();
	sva_reg_write(q, SVADEV_GO, SVADEV_GO_START);
	return true;
}

/* Wait for the end of an operation and take its outcome. Returns the status. */
static inline uint64_t sva_wait(struct sva_queue *q)
{
	uint64_t end = sva_now_ms() + SVA_TIMEOUT_MS;

	while (sva_busy(q)) {
		if (sva_now_ms() > end)
			return q->status = SVA_STATUS_TIMEOUT;
		usleep(20);
	}
	q->status = sva_reg_read(q, SVADEV_STATUS);
	q->result = sva_reg_read(q, SVADEV_RESULT);
	q->fault_addr = sva_reg_read(q, SVADEV_FAULT_ADDR);
	q->done = sva_reg_read(q, SVADEV_DONE);
	q->faults = sva_reg_read(q, SVADEV_FAULTS);
	q->rounds = sva_reg_read(q, SVADEV_ROUNDS);
	sva_mb();
	return q->status;
}

static inline uint64_t sva_run(struct sva_queue *q, const struct sva_op *op)
{
	if (!sva_submit(q, op))
		return q->status = SVA_STATUS_IN_USE;
	return sva_wait(q);
}

/* End a repeated operation after its round. Returns the status. */
static inline uint64_t sva_end_hammer(struct sva_queue *q)
{
	sva_reg_write(q, SVADEV_GO, SVADEV_GO_STOP);
	return sva_wait(q);
}

/* The operations. Each returns the status; sva_queue.result has the rest. */

/* result: sum of the bytes */
static inline uint64_t sva_read(struct sva_queue *q, const void *src,
				uint64_t len)
{
	return sva_run(q, &(struct sva_op){
		.op = SVADEV_OP_READ, .src = src, .len = len });
}

static inline uint64_t sva_write(struct sva_queue *q, void *dst,
				 uint64_t value, uint64_t len)
{
	return sva_run(q, &(struct sva_op){
		.op = SVADEV_OP_WRITE, .dst = dst, .value = value, .len = len });
}

static inline uint64_t sva_copy(struct sva_queue *q, void *dst,
				const void *src, uint64_t len)
{
	return sva_run(q, &(struct sva_op){
		.op = SVADEV_OP_COPY, .dst = dst, .src = src, .len = len });
}

static inline uint64_t sva_fill(struct sva_queue *q, void *dst,
				uint8_t byte, uint64_t len)
{
	return sva_run(q, &(struct sva_op){
		.op = SVADEV_OP_FILL, .dst = dst, .value = byte, .len = len });
}

/* result: offset of the first difference, or len */
static inline uint64_t sva_compare(struct sva_queue *q, void *dst,
				   const void *src, uint64_t len)
{
	return sva_run(q, &(struct sva_op){
		.op = SVADEV_OP_COMPARE, .dst = dst, .src = src, .len = len });
}

/* result: old value */
static inline uint64_t sva_fetch_add(struct sva_queue *q, void *dst,
				     uint64_t add, uint64_t len)
{
	return sva_run(q, &(struct sva_op){
		.op = SVADEV_OP_FETCH_ADD, .dst = dst, .value = add,
		.len = len });
}

/* result: old value */
static inline uint64_t sva_cas(struct sva_queue *q, void *dst,
			       uint64_t expect, uint64_t value, uint64_t len)
{
	return sva_run(q, &(struct sva_op){
		.op = SVADEV_OP_CAS, .dst = dst, .expect = expect,
		.value = value, .len = len });
}

/* Counters of the machine, as of one moment */

#define SVA_MAX_COUNTERS	512

struct sva_counters {
	int n;
	struct {
		char name[SVADEV_STAT_NAME_LEN + 1];
		uint64_t val;
	} c[SVA_MAX_COUNTERS];
};

/* Returns 0 or a negative errno */
static inline int sva_counters(int number, struct sva_counters *cs)
{
	FILE *f = sva_debugfs(number, "counters");

	cs->n = 0;
	if (!f)
		return -errno;
	while (cs->n < SVA_MAX_COUNTERS &&
	       fscanf(f, "%24s %lu", cs->c[cs->n].name,
		      &cs->c[cs->n].val) == 2)
		cs->n++;
	fclose(f);
	return cs->n ? 0 : -ENODATA;
}

static inline const uint64_t *sva_counter(const struct sva_counters *cs,
					  const char *name)
{
	int i;

	for (i = 0; i < cs->n; i++)
		if (!strcmp(cs->c[i].name, name))
			return &cs->c[i].val;
	return NULL;
}

/* How much a counter grew; one that is not there did not */
static inline uint64_t sva_delta(const struct sva_counters *before,
				 const struct sva_counters *after,
				 const char *name)
{
	const uint64_t *b = sva_counter(before, name);
	const uint64_t *a = sva_counter(after, name);

	return a ? *a - (b ? *b : 0) : 0;
}

/* What IOMMUs count, each under names of its own */
enum sva_count {
	SVA_CMD_ALL,		/* commands: all of them, */
	SVA_CMD_TLB,		/* forget translations, */
	SVA_CMD_CONFIG,		/* forget configuration, */
	SVA_CMD_WAIT,		/* wait for those before, */
	SVA_CMD_RESPONSE,	/* answer a page request */
	SVA_ASKED,		/* page requests to the kernel, faults of a queue */
	SVA_EVENTS,		/* faults that the kernel is told of */
	SVA_STALE,		/* uses of what should have been forgotten */
};

/*
 * What the names have in them. A machine has one kind of IOMMU, and nothing of
 * the others to count.
 */
#define SVA_COUNT_NAMES	4
static const char *const sva_count_names[][SVA_COUNT_NAMES] = {
	[SVA_CMD_ALL] = { "smmu.cmd.", "vtd.cmd." },
	[SVA_CMD_TLB] = { "smmu.cmd.tlbi", "vtd.cmd.iotlb",
			  "vtd.cmd.piotlb", "vtd.cmd.dev_" },
	[SVA_CMD_CONFIG] = { "smmu.cmd.cfgi", "vtd.cmd.context",
			     "vtd.cmd.pasid" },
	[SVA_CMD_WAIT] = { "smmu.cmd.sync", "vtd.cmd.wait" },
	[SVA_CMD_RESPONSE] = { "smmu.cmd.resume", "vtd.cmd.response" },
	[SVA_ASKED] = { "smmu.evt.stall", "vtd.prq.queued", ".dma.held" },
	[SVA_EVENTS] = { "smmu.evt.", "vtd.evt." },
	[SVA_STALE] = { ".stale." },
};

static inline bool sva_counts(enum sva_count what, const char *name)
{
	const char *part;
	int i;

	for (i = 0; i < SVA_COUNT_NAMES; i++) {
		part = sva_count_names[what][i];
		if (part && strstr(name, part))
			return true;
	}
	return false;
}

static inline uint64_t sva_grown(const struct sva_counters *before,
				 const struct sva_counters *after,
				 enum sva_count what)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < after->n; i++)
		if (sva_counts(what, after->c[i].name))
			sum += sva_delta(before, after, after->c[i].name);
	return sum;
}

/* The kernel's log, from now on */

static inline int sva_log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/*
 * The first message since sva_log_open() that says something is wrong, in
 * @line, and does not have @but in it, if not NULL. Returns false if there is
 * none.
 */
static inline bool sva_log_complains(int fd, char *line, size_t size,
				     const char *but)
{
	static const char * const signs[] = {
		"WARNING:", "BUG:", "BUG ", "Oops", "Unable to handle",
		"INFO: task", "INFO: rcu", "INFO: possible", "INFO: lockdep",
		"Call trace:", "Call Trace:", "UBSAN:", "KASAN:", "KCSAN:",
		"refcount_t:", "suspicious RCU", "unexpected", "still busy",
		"CMD_SYNC timeout", "CMDQ error", "Internal error:",
		"general protection", "scheduling while atomic",
		"possible memory leak", "event 0x", "VT-d detected",
		"page request queue overflow",
		"Invalidation Queue Error", "Invalidation Time-out",
	};
	ssize_t len;
	size_t i;

	for (;;) {
		len = read(fd, line, size - 1);
		/* Lost records are read on from the oldest that is left */
		if (len < 0 && errno == EPIPE)
			continue;
		if (len <= 0)
			return false;
		line[len] = '\0';
		if (but && strstr(line, but))
			continue;
		for (i = 0; i < ARRAY_SIZE(signs); i++)
			if (strstr(line, signs[i]))
				return true;
	}
}

#endif /* SVADEV_LIB_H */
