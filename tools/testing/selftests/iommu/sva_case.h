/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of the user suite share: the fixture of their cases, and
 * main(). To be included once, by a program.
 *
 * Every case makes svadev do real DMA through the pointers of the process.
 * Whatever a case is about, at its end no cache may have an entry that differs
 * from memory, before the queue is closed and after. The IOMMU must not have used
 * a stale entry, nor reported an event that is not part of a page fault, nor hold
 * a stalled access, the device must have all its queues back, the kernel must
 * hold no more attachments, domains and notifiers than before, and it must not
 * have complained.
 *
 * The environment narrows what a program runs:
 *   CASES     patterns of names, as of a shell, separated by commas
 *   AFTER     the name of a case: only those that come after it
 *   COUNTS    "no": the kernel does not tell what it holds
 */
#ifndef SVA_CASE_H
#define SVA_CASE_H

#define _GNU_SOURCE
#include <dirent.h>
#include <fnmatch.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/swap.h>
#include <sys/wait.h>

#include "svadev_lib.h"
#include "../kselftest_harness.h"

/*
 * A case has to live to say which of its waits, of up to 20 s, was in vain. It
 * may also be slow without being stuck: an emulator, a kernel with KASAN, and a
 * busy host make a minute of a second.
 */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	600

#define PAGE	((size_t)getpagesize())

/*
 * The devices that have PASIDs for any number of processes, and one that has
 * so few that a case can use them up, or -1. Each is alone in its group.
 */
static int device[SVA_MAX_DEVICES];
static int devices;
static int narrow_device = -1;

/* One beside these for which the kernel cannot do SVA, or -1 */
static int plain_device = -1;

/* Functions of one device, which share a group */
static int function[SVA_MAX_DEVICES];
static int functions;

#define NARROW_PASID_BITS	4

/* What a program does when one of its cases executes it, with arguments */
static int (*executed)(char **argv);

/* What a kernel has left behind that has crashed: nobody will answer requests */
static struct sva_counters crashed;

/* Do pages migrate to the node that uses them? */
#define BALANCING	"/proc/sys/kernel/numa_balancing"

/* What a program does before its cases. Returns false if it cannot. */
static bool (*prepare)(void);

/* What the teardown does first, however the case ends. May be done before. */
static void (*undo)(void);

/* Time between the rounds of a hammer, and to see that there are no more */
#define HAMMER_NS	1000
#define HAMMER_US	20000

/* Wait until it holds. False if it does not come to that. */
#define SOON(cond) ({							\
	uint64_t soon_end = sva_now_ms() + SVA_TIMEOUT_MS;		\
	bool soon_late, soon_holds;					\
									\
	for (;;) {							\
		/* Tried once more, however long we did not get to run */ \
		soon_late = sva_now_ms() > soon_end;			\
		soon_holds = (cond);					\
		if (soon_holds || soon_late)				\
			break;						\
		usleep(1000);						\
	}								\
	soon_holds;							\
})

static inline uint8_t *map_pages(size_t pages, int prot)
{
	return mmap(NULL, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
}

/* Bytes that differ from page to page and from seed to seed */
static inline uint8_t pattern_at(unsigned int seed, size_t i)
{
	return (i * 7 + i / 251 + seed * 37 + 1) & 0xff;
}

static inline void pattern_set(void *p, size_t len, unsigned int seed)
{
	uint8_t *b = p;
	size_t i;

	for (i = 0; i < len; i++)
		b[i] = pattern_at(seed, i);
}

static inline bool pattern_is(const void *p, size_t len, unsigned int seed)
{
	const uint8_t *b = p;
	size_t i;

	for (i = 0; i < len; i++)
		if (b[i] != pattern_at(seed, i))
			return false;
	return true;
}

static inline uint64_t pattern_sum(size_t len, unsigned int seed)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < len; i++)
		sum += pattern_at(seed, i);
	return sum;
}

static inline bool bytes_are(const void *p, size_t len, uint8_t byte)
{
	const uint8_t *b = p;
	size_t i;

	for (i = 0; i < len; i++)
		if (b[i] != byte)
			return false;
	return true;
}

/* Replaces a file's contents. Returns false if it cannot. */
static inline bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

/* Sets how a device goes wrong, by debugfs. Returns false if it cannot. */
static inline bool svadev_knob(int number, const char *file, unsigned int val)
{
	char name[SVA_PCI_NAME_LEN], path[128], text[16];

	if (sva_pci_name(number, name))
		return false;
	snprintf(path, sizeof(path), "/sys/kernel/debug/svadev/%s/%s", name,
		 file);
	snprintf(text, sizeof(text), "%u", val);
	return write_file(path, text);
}

/* A device that adds to a word without end, and must not lose count */
static inline bool hammer(struct sva_queue *q, void *word)
{
	return sva_submit(q, &(struct sva_op){
		.op = SVADEV_OP_FETCH_ADD, .dst = word, .value = 1, .len = 8,
		.hammer_ns = HAMMER_NS });
}

/* Wait until somebody else has added some more */
static inline bool grows(const uint64_t *word)
{
	uint64_t enough = sva_load(word) + 3;

	return SOON(sva_load(word) >= enough);
}

/* Wait until the device has done some more rounds, of whatever it repeats */
static inline bool hammers(struct sva_queue *q)
{
	const uint64_t *rounds = (uint64_t *)((char *)q->page + SVADEV_ROUNDS);
	uint64_t enough = sva_load(rounds) + 3;

	/* One that has stopped will not */
	(void)SOON(sva_load(rounds) >= enough || !sva_busy(q));
	return sva_load(rounds) >= enough;
}

/* Processes */

/* Exit status of a child, or 1000 plus the signal that killed it */
static inline int wait_child(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) :
	       WEXITSTATUS(status);
}

/* In a child, where the harness's macros do not work */
#define CHECK(cond)							\
	do {								\
		if (!(cond)) {						\
			fprintf(stderr, "# child, line %d: %s\n",	\
				__LINE__, #cond);			\
			_exit(1);					\
		}							\
	} while (0)

/* fork(), for a child that does not outlive us */
static inline pid_t child(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		abort();
	if (!pid) {
		CHECK(!prctl(PR_SET_PDEATHSIG, SIGKILL));
		/* or nobody will tell us any more */
		CHECK(getppid() == parent);
	}
	return pid;
}

/* Lets one process wait until another says so */
struct gate {
	int fd[2];
};

static inline bool gate_init(struct gate *g)
{
	return !pipe(g->fd);
}

static inline void gate_open(struct gate *g)
{
	if (write(g->fd[1], "", 1) != 1)
		abort();
}

static inline bool gate_wait(struct gate *g)
{
	struct pollfd p = { .fd = g->fd[0], .events = POLLIN };
	char c;

	return poll(&p, 1, SVA_TIMEOUT_MS) == 1 && read(g->fd[0], &c, 1) == 1;
}

/* Devices that go, and come back */

static inline bool pci_write(const char *name, const char *file,
			     const char *text)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", name, file);
	return write_file(path, text);
}

static inline bool pci_rescan(void)
{
	return write_file("/sys/bus/pci/rescan", "1");
}

struct slot {
	char name[SVA_PCI_NAME_LEN];	/* of what goes */
	char file[96];			/* where device[0] does that to it */
	unsigned int devfn;
};

static inline bool slot_init(struct slot *slot, int number)
{
	char other[SVA_PCI_NAME_LEN];
	unsigned int dev, fn;

	if (sva_pci_name(number, slot->name) || sva_pci_name(device[0], other))
		return false;
	if (sscanf(slot->name, "%*x:%*x:%x.%x", &dev, &fn) != 2)
		return false;
	slot->devfn = dev << 3 | fn;
	snprintf(slot->file, sizeof(slot->file),
		 "/sys/kernel/debug/svadev/%s/slot", other);
	return true;
}

/* The kernel lets go of it, whether or not it is still there */
static inline bool slot_remove(const struct slot *slot)
{
	return pci_write(slot->name, "remove", "1");
}

/* It is there or not, which the kernel is not told */
static inline bool slot_set(const struct slot *slot, unsigned int flags)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", slot->devfn | flags);
	return write_file(slot->file, text);
}

/* The state of the machine before a case */
struct machine {
	struct sva_counters counters;
	struct sva_counters quiet_from;	/* see device_is_quiet() */
	long instances[SVA_MAX_DEVICES];
	char in_use[256];
	const char *told;		/* a kind of fault that is only reported */
	const char *logged;		/* what the kernel may complain of */
	bool injected;			/* page requests that went wrong */
	bool timed_out;			/* a device did not answer the IOMMU */
	bool slow_call;			/* one took longer than late.* allows */
	int log;
};

/*
 * Does the IOMMU note by itself that a page was accessed, and written to? The
 * first stage of VT-d always does; an SMMUv3 may, and none here does. Then the
 * kernel learns of that by page faults.
 */
#ifdef __x86_64__
#define IOMMU_NOTES_ACCESS	true
#else
#define IOMMU_NOTES_ACCESS	false
#endif

/* Does the device keep translations, and ask for pages, or does it stall? */
#ifdef __x86_64__
#define USES_ATS	true
#else
#define USES_ATS	false
#endif

/* Do faults of queues go to svadev's driver? With ATS, an SMMU here has no PRI. */
static inline bool driver_serves(const struct machine *before)
{
	return sva_counter(&before->counters, "smmu.ats.ok");
}

/*
 * What the kernel holds, as text: empty if it need not tell. Returns false if
 * it cannot be read.
 */
static inline bool in_use_read(char *text, size_t size)
{
	const char *counts = getenv("COUNTS");
	size_t len;
	FILE *f;

	text[0] = '\0';
	if (counts && !strcmp(counts, "no"))
		return true;
	f = fopen("/sys/kernel/debug/iommu/in_use", "r");
	if (!f)
		return false;
	len = fread(text, 1, size - 1, f);
	text[len] = '\0';
	fclose(f);
	return len > 0;
}

/* Notifiers, and the domains with them, are freed a grace period later */
static inline bool in_use_is_back(const struct machine *before, char *now,
				  size_t size)
{
	return SOON(in_use_read(now, size) && !strcmp(now, before->in_use));
}

static inline void find_devices(void)
{
	int found[SVA_MAX_DEVICES], n = sva_devices(found, SVA_MAX_DEVICES), i;

	devices = 0;
	functions = 0;
	for (i = 0; i < n; i++) {
		if (sva_multifunction(found[i]))
			function[functions++] = found[i];
		else if (sva_pasid_bits(found[i]) <= NARROW_PASID_BITS)
			narrow_device = found[i];
		else if (devices && !sva_capable(found[i]))
			plain_device = found[i];
		else
			device[devices++] = found[i];
	}
}

#define SWAP_DEV	"/dev/zram0"
#define SWAP_SYSFS	"/sys/block/zram0/"
#define KSM		"/sys/kernel/mm/ksm/"
#define HUGEPAGES	"/sys/kernel/mm/hugepages/hugepages-"
#define RT_RUNTIME	"/proc/sys/kernel/sched_rt_runtime_us"
#define RT_RUNTIME_US	"950000"

/* Of svadev, after a reset */
#define MAX_RETRIES	64

#define SWAP_BYTES	(128ul << 20)

/* Compressed memory as swap space */
static inline bool swap_on(void)
{
	uint32_t header[3] = { 1, SWAP_BYTES / PAGE - 1, 0 };
	char size[24];
	bool done;
	int fd;

	snprintf(size, sizeof(size), "%lu", SWAP_BYTES);
	if (!write_file(SWAP_SYSFS "disksize", size))
		return false;
	fd = open(SWAP_DEV, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	done = pwrite(fd, header, sizeof(header), 1024) == sizeof(header) &&
	       pwrite(fd, "SWAPSPACE2", 10, PAGE - 10) == 10;
	close(fd);
	return done && !swapon(SWAP_DEV, 0);
}

static inline bool swap_off(void)
{
	return !swapoff(SWAP_DEV) && write_file(SWAP_SYSFS "reset", "1");
}

/* A device that is missing has nothing to undo */
static inline void reset_knobs(void)
{
	int n;

	for (n = 0; n < devices; n++) {
		svadev_knob(device[n], "inject", 0);
		svadev_knob(device[n], "prg_pages", 1);
		svadev_knob(device[n], "max_retries", MAX_RETRIES);
	}
}

/*
 * Undo what a case changes for the whole machine: it does so itself only if it
 * gets that far. Of no concern if there is nothing to undo, or no such thing.
 */
static inline void machine_reset(void)
{
	static const char * const knobs[][2] = {
		{ KSM "run", "2" },
		{ KSM "run", "0" },
		{ KSM "pages_to_scan", "100" },
		{ KSM "sleep_millisecs", "20" },
		{ HUGEPAGES "2048kB/nr_hugepages", "0" },
		{ HUGEPAGES "64kB/nr_hugepages", "0" },
		{ SWAP_SYSFS "reset", "1" },
		{ "/proc/sys/kernel/core_pattern", "core" },
		{ RT_RUNTIME, RT_RUNTIME_US },
	};
	DIR *dir = opendir("/sys/bus/pci/devices");
	char name[SVA_PCI_NAME_LEN];
	struct dirent *entry;
	size_t i;
	int n;

	swapoff(SWAP_DEV);
	for (i = 0; i < ARRAY_SIZE(knobs); i++)
		write_file(knobs[i][0], knobs[i][1]);

	/* The driver does not use a queue again that did not become idle */
	find_devices();
	for (n = 0; n < devices; n++)
		if (sva_stuck_queues(device[n]) > 0 &&
		    !sva_pci_name(device[n], name))
			write_file("/sys/bus/pci/drivers/svadev/unbind", name);

	/* Drivers that were unbound */
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			write_file("/sys/bus/pci/drivers_probe", entry->d_name);
	if (dir)
		closedir(dir);
	find_devices();
	reset_knobs();
}

FIXTURE(sva)
{
	struct sva_queue q;
	struct machine before;
};

FIXTURE_SETUP(sva)
{
	int i;

	machine_reset();
	self->before.log = sva_log_open();
	ASSERT_LE(0, self->before.log);
	ASSERT_EQ(0, sva_counters(device[0], &self->before.counters));
	self->before.quiet_from = self->before.counters;
	for (i = 0; i < devices; i++)
		self->before.instances[i] =
			sva_sysfs(device[i], "available_instances");
	ASSERT_TRUE(in_use_read(self->before.in_use,
				sizeof(self->before.in_use)));
	ASSERT_EQ(0, sva_open(device[0], &self->q));
}

/*
 * Wait until the devices have their queues back but for @held, of the first. A
 * process may be gone before its address space is: the kernel keeps that, and
 * with it the queue, until a page fault it is serving is answered.
 */
static inline bool queues_are_back(const struct machine *before, int held)
{
	int i;

	for (i = 0; i < devices; i++) {
		long free = before->instances[i] - (i ? 0 : held);

		if (!SOON(sva_sysfs(device[i], "available_instances") == free))
			return false;
	}
	return true;
}

/*
 * While the kernel is between changing a translation and the end of its
 * invalidation, a device that is busy may use the old one, and hits on it are
 * counted like those on an entry that was forgotten. A case that changes what
 * a busy device uses calls this when the device is idle again, and goes on to
 * use it, which must not find anything old.
 */
static inline bool device_is_quiet(struct machine *before)
{
	return !sva_counters(device[0], &before->quiet_from);
}

/* Those of a case that was given up: nothing is judged while they go on */
static inline void end_children(void)
{
	/* We are of the group ourselves, which is the case's own */
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	kill(0, SIGCONT);
	(void)SOON(waitpid(-1, NULL, WNOHANG) < 0);
}

/* Part of serving a page fault, or of refusing to */
static inline bool event_is_fault(const char *event)
{
	return !strcmp(event, "f_translation") ||
	       !strcmp(event, "f_permission") || !strcmp(event, "f_access");
}

/* The flush queues of DMA domains invalidate every 10 ms, where there are any */
#define LAZY_MS		500

static inline bool dma_is_lazy(void)
{
	char path[80], type[16] = "";
	FILE *f;

	snprintf(path, sizeof(path),
		 "/sys/class/uacce/svadev-%d/device/iommu_group/type",
		 device[0]);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (fscanf(f, "%15s", type) != 1)
		type[0] = '\0';
	fclose(f);
	return !strcmp(type, "DMA-FQ");
}

/*
 * Entries of all caches of the machine that differ from memory, of which @text
 * names the caches. Negative errno on failure.
 */
static inline long audit_once(char *text, size_t size)
{
	FILE *f = sva_debugfs(device[0], "audit");
	unsigned long val;
	char name[64];
	long left = 0;

	text[0] = '\0';
	if (!f)
		return -errno;
	while (fscanf(f, "%63s %lu", name, &val) == 2) {
		if (!val)
			continue;
		left += val;
		snprintf(text + strlen(text), size - strlen(text), "%s %lu\n",
			 name, val);
	}
	fclose(f);
	return left;
}

/* At once, but for entries of DMA domains that are invalidated later */
static inline long audit(char *text, size_t size)
{
	uint64_t end = sva_now_ms() + LAZY_MS;
	bool lazy = dma_is_lazy();
	long left;

	while ((left = audit_once(text, size)) > 0 && lazy) {
		lazy = sva_now_ms() <= end;
		usleep(10000);
	}
	return left;
}

/* What a case has left in the devices' TLBs is not for the next one to find */
static inline void reset_functions(void)
{
	char name[SVA_PCI_NAME_LEN];
	int i;

	for (i = 0; i < devices; i++)
		if (!sva_pci_name(device[i], name))
			pci_write(name, "reset", "1");
}

FIXTURE_TEARDOWN(sva)
{
	const struct sva_counters *before = &self->before.counters;
	uint64_t faults = 0, stalls = 0, aborted;
	bool stale_tlb = false, stale_cfg = false, tlb_full = false;
	/* Of tables that lead to others, and of a device's own TLB */
	bool stale_psc = !USES_ATS, stale_atc = !USES_ATS;
	struct sva_counters after;
	char line[1024], now[256];
	long left = 0, live = 0;
	int i;

	if (undo)
		undo();
	/* A device that goes wrong may keep the queue from being closed */
	reset_knobs();

	/*
	 * A close removes all that is tagged with the process: what an
	 * invalidation has missed is seen only before that. A case that has failed
	 * may have threads and children that go on changing page tables.
	 */
	if (_metadata->passed && self->q.fd >= 0 && !sva_busy(&self->q)) {
		live = audit(line, sizeof(line));
		EXPECT_EQ(0, live)
			TH_LOG("audit before close: cache entries differ from memory:\n%s",
			       line);
	}
	sva_close(&self->q);
	end_children();
	EXPECT_TRUE(queues_are_back(&self->before, 0));
	EXPECT_TRUE(in_use_is_back(&self->before, now, sizeof(now)))
		TH_LOG("in use before:\n%sand after:\n%s",
		       self->before.in_use, now);
	left = audit(line, sizeof(line));
	EXPECT_EQ(0, left)
		TH_LOG("audit after close: cache entries differ from memory:\n%s",
		       line);
	ASSERT_EQ(0, sva_counters(device[0], &after));
	aborted = sva_delta(before, &after, "vtd.resp.aborted");

	for (i = 0; i < after.n; i++) {
		const char *name = after.c[i].name;
		const char *what = strchr(name, '.');
		uint64_t grown = sva_delta(before, &after, name);

		if (!what++)
			continue;
		stale_tlb |= !strcmp(what, "stale.tlb");
		stale_cfg |= !strcmp(what, "stale.cfg");
		stale_psc |= !strcmp(what, "stale.psc");
		stale_atc |= !strcmp(what, "stale.atc");
		tlb_full |= !strcmp(what, "tlb.full");

		if (!strncmp(what, "stale.", 6) ||
		    (self->before.slow_call && !strncmp(what, "late.", 5)))
			grown = sva_delta(&self->before.quiet_from, &after, name);

		/* An IOMMU may answer by itself what it has no room for */
		if (self->before.injected &&
		    (!strcmp(what, "resp.auto") ||
		     !strcmp(what, "prq.overflow")))
			continue;

		/*
		 * Its wait was aborted, the response was sent: no more than one
		 * for each of those. See one_response_beside_silent_function.
		 */
		if (self->before.timed_out && !strcmp(what, "resp.unknown"))
			grown -= grown < aborted ? grown : aborted;

		/* An SMMU reports the time-out as an error of the CMD_SYNC */
		if (self->before.timed_out && !strcmp(name, "smmu.cmd.bad"))
			continue;

		if (!strncmp(what, "stale.", 6) ||
		    !strncmp(what, "late.", 5) || !strcmp(what, "cmd.bad") ||
		    !strcmp(what, "resume.unknown") ||
		    !strcmp(what, "resp.unknown") ||
		    !strcmp(what, "resp.unfenced") ||
		    !strcmp(what, "resp.auto") ||
		    !strcmp(what, "prq.overflow") ||
		    !strcmp(what, "prq.refused") ||
		    !strcmp(what, "prq.late") ||
		    !strcmp(what, "pri.unexpected") ||
		    !strcmp(what, "cfg.order") ||
		    !strcmp(name, "smmu.evt.lost") ||
		    /* A cache that was emptied hides what was not invalidated */
		    !strcmp(what, "tlb.full") ||
		    !strcmp(what, "cfg.full") ||
		    /* Nothing is fetched between stores that are not seen */
		    !strcmp(what, "watch.full")) {
			EXPECT_EQ(0, grown)
				TH_LOG("%s grew by %lu", name, grown);
		} else if (!strcmp(what, "stall.now") ||
			   !strcmp(what, "prq.now")) {
			grown = sva_delta(&crashed, &after, name);
			EXPECT_EQ(0, grown)
				TH_LOG("%lu of %s", grown, name);
		} else if (!strcmp(what, "evt.stall")) {
			stalls += grown;
		} else if (!strncmp(what, "evt.", 4)) {
			what += 4;
			if (event_is_fault(what))
				faults += grown;
			else if (!self->before.told ||
				 /* There may be room for one at a time */
				 (strcmp(what, "lost") &&
				  strcmp(what, self->before.told)))
				EXPECT_EQ(0, grown)
					TH_LOG("%s grew by %lu", name, grown);
		}
	}
	/* Without these, the above would have had nothing to look at */
	EXPECT_TRUE(stale_tlb);
	EXPECT_TRUE(stale_cfg);
	EXPECT_TRUE(stale_psc);
	EXPECT_TRUE(stale_atc);
	EXPECT_TRUE(tlb_full);
	/*
	 * A fault that is not stalled means nobody was asked to serve it. With
	 * ATS nothing is to be reported: the device asks by itself.
	 */
	EXPECT_EQ(faults, stalls);

	for (i = 0; i < devices; i++)
		EXPECT_EQ(0, sva_stuck_queues(device[i]));

	EXPECT_FALSE(sva_log_complains(self->before.log, line, sizeof(line),
				       self->before.logged))
		TH_LOG("the kernel says: %s", line);
	close(self->before.log);
	if (live || left)
		reset_functions();
}

/* Faults that the kernel was asked to serve since the case began */
static inline uint64_t stalls_so_far(const struct machine *before)
{
	struct sva_counters now;

	if (sva_counters(device[0], &now))
		return UINT64_MAX;
	return sva_grown(&before->counters, &now, SVA_ASKED);
}

static void __attribute__((constructor)) __constructor_order_last(void)
{
	if (!__constructor_order)
		__constructor_order = _CONSTRUCTOR_ORDER_BACKWARD;
}

static inline bool case_is_wanted(const char *name)
{
	const char *cases = getenv("CASES");
	char *copy, *pattern, *rest;
	bool wanted = false;

	if (!cases || !cases[0])
		return true;
	copy = strdup(cases);
	for (rest = copy; (pattern = strsep(&rest, ","));)
		wanted |= !fnmatch(pattern, name, 0);
	free(copy);
	return wanted;
}

/* Returns whether there are any */
static inline bool keep_wanted_cases(void)
{
	struct __fixture_metadata *f;
	struct __test_metadata **t;
	const char *after = getenv("AFTER");
	bool begun = !after || !after[0], any = false;

	for (f = __fixture_list; f; f = f->next) {
		for (t = &f->tests; *t;) {
			const char *name = (*t)->name;

			if (begun && case_is_wanted(name))
				t = &(*t)->next;
			else
				*t = (*t)->next;
			if (!begun)
				begun = !strcmp(name, after);
		}
		any |= !!f->tests;
	}
	return any;
}

int main(int argc, char **argv)
{
	struct machine before;
	struct sva_queue q;
	char now[256];
	int ret;

	if (argc > 1 && executed)
		return executed(argv + 1);

	if (!keep_wanted_cases())
		ksft_exit_skip("no case is wanted\n");
	machine_reset();
	if (!devices)
		ksft_exit_skip("no /dev/svadev-*: not the emulated machine?\n");
	if (prepare && !prepare())
		ksft_exit_fail_msg("cannot prepare for the cases\n");
	if (sva_counters(device[0], &before.counters))
		ksft_exit_skip("cannot read the counters in debugfs\n");
	if (!sva_capable(device[0]))
		ksft_exit_skip("the kernel cannot do SVA on this machine\n");
	if (!in_use_read(before.in_use, sizeof(before.in_use)))
		ksft_exit_fail_msg("the kernel does not tell what it holds\n");
	ret = sva_open(device[0], &q);
	if (ret == -EOPNOTSUPP)
		ksft_exit_skip("the kernel refuses to bind: %s\n",
			       strerror(-ret));
	if (!ret)
		sva_close(&q);
	/* or the first case would start with what this one has yet to free */
	if (!in_use_is_back(&before, now, sizeof(now)))
		ksft_exit_fail_msg("in use before:\n%sand after:\n%s",
				   before.in_use, now);

	return test_harness_run(argc, argv);
}

#endif /* SVA_CASE_H */
