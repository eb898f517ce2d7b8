// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process may expect of an accelerator that shares its address space.
 *
 * Every case makes svadev do real DMA through the pointers of the process.
 * Whatever a case is about, afterwards the IOMMU must not have used a stale
 * cache entry, nor reported an event that is not part of a page fault, nor
 * hold a stalled access, the device must have all its queues back, and the
 * kernel must not have complained.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "svadev_lib.h"
#include "../kselftest_harness.h"

#define PAGE	((size_t)getpagesize())

/* The devices, and how long to let a hammer run */
static int device[SVA_MAX_DEVICES];
static int devices;

#define HAMMER_NS	1000
#define HAMMER_US	20000

static uint8_t *map_pages(size_t pages, int prot)
{
	return mmap(NULL, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
}

/* Bytes that differ from page to page and from seed to seed */
static uint8_t pattern_at(unsigned int seed, size_t i)
{
	return (i * 7 + i / 251 + seed * 37 + 1) & 0xff;
}

static void pattern_set(void *p, size_t len, unsigned int seed)
{
	uint8_t *b = p;
	size_t i;

	for (i = 0; i < len; i++)
		b[i] = pattern_at(seed, i);
}

static bool pattern_is(const void *p, size_t len, unsigned int seed)
{
	const uint8_t *b = p;
	size_t i;

	for (i = 0; i < len; i++)
		if (b[i] != pattern_at(seed, i))
			return false;
	return true;
}

static uint64_t pattern_sum(size_t len, unsigned int seed)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < len; i++)
		sum += pattern_at(seed, i);
	return sum;
}

static bool bytes_are(const void *p, size_t len, uint8_t byte)
{
	const uint8_t *b = p;
	size_t i;

	for (i = 0; i < len; i++)
		if (b[i] != byte)
			return false;
	return true;
}

/* Processes */

/* Exit status of a child, or 1000 plus the signal that killed it */
static int wait_child(pid_t pid)
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

/* Lets one process wait until another says so */
struct gate {
	int fd[2];
};

static bool gate_init(struct gate *g)
{
	return !pipe(g->fd);
}

static void gate_open(struct gate *g)
{
	if (write(g->fd[1], "", 1) != 1)
		abort();
}

static bool gate_wait(struct gate *g)
{
	struct pollfd p = { .fd = g->fd[0], .events = POLLIN };
	char c;

	return poll(&p, 1, SVA_TIMEOUT_MS) == 1 && read(g->fd[0], &c, 1) == 1;
}

/* The state of the machine before a case */
struct machine {
	struct sva_counters counters;
	struct sva_counters quiet_from;	/* see device_is_quiet() */
	long instances[SVA_MAX_DEVICES];
	int log;
};

FIXTURE(sva)
{
	struct sva_queue q;
	struct machine before;
};

FIXTURE_SETUP(sva)
{
	int i;

	self->before.log = sva_log_open();
	ASSERT_LE(0, self->before.log);
	ASSERT_EQ(0, sva_counters(device[0], &self->before.counters));
	self->before.quiet_from = self->before.counters;
	for (i = 0; i < devices; i++)
		self->before.instances[i] =
			sva_sysfs(device[i], "available_instances");
	ASSERT_EQ(0, sva_open(device[0], &self->q));
}

/*
 * Wait until the devices have their queues back but for @held, of the first. A
 * process may be gone before its address space is: the kernel keeps that, and
 * with it the queue, until a page fault it is serving is answered.
 */
static bool queues_are_back(const struct machine *before, int held)
{
	uint64_t end = sva_now_ms() + SVA_TIMEOUT_MS;
	int i;

	for (i = 0; i < devices; i++) {
		long free = before->instances[i];

		if (!i)
			free -= held;
		while (sva_sysfs(device[i], "available_instances") != free) {
			if (sva_now_ms() > end)
				return false;
			usleep(1000);
		}
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
static bool device_is_quiet(struct machine *before)
{
	return !sva_counters(device[0], &before->quiet_from);
}

/* Part of serving a page fault, or of refusing to */
static bool event_is_fault(const char *event)
{
	return !strcmp(event, "f_translation") ||
	       !strcmp(event, "f_permission") || !strcmp(event, "f_access");
}

FIXTURE_TEARDOWN(sva)
{
	const struct sva_counters *before = &self->before.counters;
	uint64_t faults = 0, stalls = 0;
	bool stale_tlb = false, stale_cfg = false;
	struct sva_counters after;
	char line[1024];
	int i;

	sva_close(&self->q);
	EXPECT_TRUE(queues_are_back(&self->before, 0));
	ASSERT_EQ(0, sva_counters(device[0], &after));

	for (i = 0; i < after.n; i++) {
		const char *name = after.c[i].name;
		const char *what = strchr(name, '.');
		uint64_t grown = sva_delta(before, &after, name);

		if (!what++)
			continue;
		stale_tlb |= !strcmp(what, "stale.tlb");
		stale_cfg |= !strcmp(what, "stale.cfg");

		if (!strncmp(what, "stale.", 6))
			grown = sva_delta(&self->before.quiet_from, &after, name);

		if (!strncmp(what, "stale.", 6) || !strcmp(what, "cmd.bad") ||
		    !strcmp(what, "resume.unknown") ||
		    !strcmp(what, "evt.lost")) {
			EXPECT_EQ(0, grown)
				TH_LOG("%s grew by %lu", name, grown);
		} else if (!strcmp(what, "stall.now")) {
			EXPECT_EQ(0, after.c[i].val)
				TH_LOG("%lu accesses are stalled",
				       after.c[i].val);
		} else if (!strcmp(what, "evt.stall")) {
			stalls += grown;
		} else if (!strncmp(what, "evt.", 4)) {
			what += 4;
			if (event_is_fault(what))
				faults += grown;
			else
				EXPECT_EQ(0, grown)
					TH_LOG("%s grew by %lu", name, grown);
		}
	}
	/* Without these, the above would have had nothing to look at */
	EXPECT_TRUE(stale_tlb);
	EXPECT_TRUE(stale_cfg);
	/* A fault that is not stalled means nobody was asked to serve it */
	EXPECT_EQ(faults, stalls);

	for (i = 0; i < devices; i++)
		EXPECT_EQ(0, sva_stuck_queues(device[i]));

	EXPECT_FALSE(sva_log_complains(self->before.log, line, sizeof(line)))
		TH_LOG("the kernel says: %s", line);
	close(self->before.log);
}

/* Faults the IOMMU has reported since the case began */
static uint64_t stalls_so_far(const struct machine *before)
{
	struct sva_counters now;

	if (sva_counters(device[0], &now))
		return UINT64_MAX;
	return sva_delta(&before->counters, &now, "smmu.evt.stall");
}

/* Which memory the device reaches */

TEST_F(sva, touched_malloc)
{
	size_t len = 5 * PAGE + 123;
	uint8_t *src = malloc(len), *dst = malloc(len);

	ASSERT_NE(NULL, src);
	ASSERT_NE(NULL, dst);
	pattern_set(src, len, 1);
	memset(dst, 0, len);

	ASSERT_EQ(SVADEV_STATUS_OK, sva_copy(&self->q, dst, src, len));
	EXPECT_EQ(len, self->q.done);
	EXPECT_TRUE(pattern_is(dst, len, 1));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_compare(&self->q, dst, src, len));
	EXPECT_EQ(len, self->q.result);

	/* All of it was there: nothing to fault in */
	EXPECT_EQ(0, stalls_so_far(&self->before));
	free(src);
	free(dst);
}

TEST_F(sva, untouched_malloc)
{
	size_t len = 64 * PAGE;
	uint8_t *dst = malloc(len), *src = malloc(len);

	ASSERT_NE(NULL, src);
	ASSERT_NE(NULL, dst);

	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, dst, 0x5a, len));
	EXPECT_LT(0, self->q.faults);
	EXPECT_TRUE(bytes_are(dst, len, 0x5a));

	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, src + PAGE, len / 2));
	EXPECT_LT(0, self->q.faults);
	EXPECT_EQ(0, self->q.result);
	EXPECT_LT(0, stalls_so_far(&self->before));
	free(src);
	free(dst);
}

static uint8_t data_section[10000] = { 1, 2, 3 };
static uint8_t bss_section[10000];
static const char const_section[] = "a constant for the device to read";

TEST_F(sva, stack_and_globals)
{
	uint8_t stack[10000];
	char text[sizeof(const_section)];

	pattern_set(data_section, sizeof(data_section), 2);
	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_copy(&self->q, bss_section, data_section,
			   sizeof(bss_section)));
	EXPECT_TRUE(pattern_is(bss_section, sizeof(bss_section), 2));

	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_copy(&self->q, stack, bss_section, sizeof(stack)));
	EXPECT_TRUE(pattern_is(stack, sizeof(stack), 2));

	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_copy(&self->q, text, const_section, sizeof(text)));
	EXPECT_STREQ(const_section, text);
}

TEST_F(sva, file_mapping)
{
	size_t len = 4 * PAGE;
	uint8_t *shared, *private, back[64];
	int fd = memfd_create("sva", MFD_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, len));
	shared = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_NE(MAP_FAILED, private);

	/* The file sees what the device writes through the shared mapping */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, shared, 0x11, len));
	ASSERT_EQ((ssize_t)sizeof(back),
		  pread(fd, back, sizeof(back), 3 * PAGE));
	EXPECT_TRUE(bytes_are(back, sizeof(back), 0x11));

	/* The device sees what is written to the file */
	memset(back, 0x22, sizeof(back));
	ASSERT_EQ((ssize_t)sizeof(back), pwrite(fd, back, sizeof(back), PAGE));
	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_read(&self->q, private + PAGE, sizeof(back)));
	EXPECT_EQ(0x22 * sizeof(back), self->q.result);

	/* Not the file's: what the device writes through the private one */
	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_fill(&self->q, private + PAGE, 0x33, PAGE));
	EXPECT_TRUE(bytes_are(private + PAGE, PAGE, 0x33));
	EXPECT_TRUE(bytes_are(shared + PAGE, sizeof(back), 0x22));

	munmap(shared, len);
	munmap(private, len);
	close(fd);
}

TEST_F(sva, beyond_end_of_file)
{
	int fd = memfd_create("sva", MFD_CLOEXEC);
	uint8_t *p;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 2 * PAGE));
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);

	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 1, 2 * PAGE));
	ASSERT_EQ(0, ftruncate(fd, PAGE));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_fill(&self->q, p, 2, 2 * PAGE));
	EXPECT_EQ(PAGE, self->q.done);
	EXPECT_TRUE(bytes_are(p, PAGE, 2));

	munmap(p, 2 * PAGE);
	close(fd);
}

TEST_F(sva, shared_memory)
{
	uint8_t *p;
	pid_t pid;

	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 0x44, 2 * PAGE));

	pid = fork();
	if (!pid) {
		CHECK(bytes_are(p, 2 * PAGE, 0x44));
		memset(p + PAGE, 0x55, PAGE);
		_exit(0);
	}
	ASSERT_EQ(0, wait_child(pid));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p + PAGE, PAGE));
	EXPECT_EQ(0x55 * PAGE, self->q.result);
	munmap(p, 2 * PAGE);
}

/* What it must not do */

TEST_F(sva, readonly_is_not_written)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);

	ASSERT_NE(MAP_FAILED, p);
	pattern_set(p, 2 * PAGE, 3);
	/* The device may have learned that the pages are writable */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_write(&self->q, p, p[0], 1));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_write(&self->q, p + PAGE, p[PAGE], 1));

	ASSERT_EQ(0, mprotect(p, 2 * PAGE, PROT_READ));
	EXPECT_EQ(SVADEV_STATUS_FAULT,
		  sva_fill(&self->q, p + PAGE - 8, 0xee, 16));
	EXPECT_EQ((uintptr_t)p + PAGE - 8, self->q.fault_addr);
	EXPECT_EQ(0, self->q.done);
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_fetch_add(&self->q, p + PAGE, 1, 8));
	EXPECT_TRUE(pattern_is(p, 2 * PAGE, 3));

	/* Reading is allowed */
	EXPECT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
	EXPECT_EQ(pattern_sum(2 * PAGE, 3), self->q.result);
	munmap(p, 2 * PAGE);
}

TEST_F(sva, untouched_readonly_is_not_written)
{
	uint8_t *p = map_pages(1, PROT_READ);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_write(&self->q, p, 1, 8));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(0, self->q.result);
	EXPECT_EQ(SVADEV_STATUS_FAULT,
		  sva_write(&self->q, (void *)const_section, 1, 1));
	EXPECT_EQ('a', const_section[0]);
	munmap(p, PAGE);
}

TEST_F(sva, no_access_at_all)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0x77, 2 * PAGE);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
	ASSERT_EQ(0, mprotect(p + PAGE, PAGE, PROT_NONE));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, p, 2 * PAGE));
	EXPECT_EQ((uintptr_t)p + PAGE, self->q.fault_addr);
	EXPECT_EQ(PAGE, self->q.done);
	munmap(p, 2 * PAGE);
}

TEST_F(sva, not_an_address)
{
	static const uint64_t bad[] = {
		0, 8, 1ull << 47, 1ull << 48, 1ull << 55, 1ull << 60,
		0xffff000000000000, 0xffff800000000000, 0xffff888000000000,
		-8,
	};
	uint64_t before = 0x1234;
	size_t i;

	/* Where user space ends depends on the machine; these are beyond */
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		if (bad[i] == 1ull << 47)
			continue;
		EXPECT_EQ(SVADEV_STATUS_FAULT,
			  sva_read(&self->q, (void *)bad[i], 8))
			TH_LOG("read of %#lx", bad[i]);
		EXPECT_EQ(SVADEV_STATUS_FAULT,
			  sva_copy(&self->q, (void *)bad[i], &before, 8))
			TH_LOG("write to %#lx", bad[i]);
	}
	/* And the queue is none the worse for it */
	EXPECT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, &before, 8));
}

/* Changes of the address space */

TEST_F(sva, upgrade_of_zero_page)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);

	ASSERT_NE(MAP_FAILED, p);

	/* Device reads, CPU writes, device reads again and writes */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(0, self->q.result);
	memset(p, 1, PAGE);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(PAGE, self->q.result);
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, PAGE));
	EXPECT_TRUE(bytes_are(p, PAGE, 2));

	/* CPU reads, device reads and writes */
	EXPECT_TRUE(bytes_are(p + PAGE, PAGE, 0));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p + PAGE, PAGE));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p + PAGE, 3, PAGE));
	EXPECT_TRUE(bytes_are(p + PAGE, PAGE, 3));
	munmap(p, 2 * PAGE);
}

TEST_F(sva, upgrade_in_place)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 1, PAGE);

	/* fork() leaves the page read-only, and once the child is gone, */
	pid = fork();
	if (!pid)
		_exit(0);
	ASSERT_EQ(0, wait_child(pid));

	/* the device learns that it is, */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(PAGE, self->q.result);

	/*
	 * the CPU makes it writable again without moving it, which the kernel
	 * need not tell the IOMMU,
	 */
	memset(p, 2, PAGE);

	/* and now the device may write. */
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 3, PAGE))
		TH_LOG("%s after %lu faults", sva_status_name(self->q.status),
		       self->q.faults);
	EXPECT_TRUE(bytes_are(p, PAGE, 3));
	munmap(p, PAGE);
}

TEST_F(sva, munmap)
{
	uint8_t *p = map_pages(4, PROT_READ | PROT_WRITE);
	uint8_t *guard = map_pages(1, PROT_READ | PROT_WRITE);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, guard);
	memset(p, 1, 4 * PAGE);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, 4 * PAGE));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 4 * PAGE));

	ASSERT_EQ(0, munmap(p + PAGE, 2 * PAGE));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, p + PAGE, 1));
	EXPECT_EQ((uintptr_t)p + PAGE, self->q.fault_addr);
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_write(&self->q, p + 2 * PAGE, 1, 8));

	/* The rest is still there; a copy into the hole ends at its edge */
	EXPECT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p + 3 * PAGE, PAGE));
	EXPECT_EQ(2 * PAGE, self->q.result);
	memset(guard, 9, PAGE);
	EXPECT_EQ(SVADEV_STATUS_FAULT,
		  sva_copy(&self->q, p + PAGE - 100, guard, 200));
	EXPECT_EQ(100, self->q.done);
	EXPECT_TRUE(bytes_are(p + PAGE - 100, 100, 9));

	munmap(p, PAGE);
	munmap(p + 3 * PAGE, PAGE);
	munmap(guard, PAGE);
}

TEST_F(sva, munmap_and_mmap_again)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 1; i < 50; i++) {
		memset(p, i, 2 * PAGE);
		ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
		ASSERT_EQ(2 * PAGE * i, self->q.result);
		ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 255, PAGE));

		ASSERT_EQ(0, munmap(p, 2 * PAGE));
		ASSERT_EQ(p, mmap(p, 2 * PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS |
				  MAP_FIXED_NOREPLACE, -1, 0));
		/* New pages, seen by the device before the CPU touches them */
		ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
		ASSERT_EQ(0, self->q.result);
	}
	munmap(p, 2 * PAGE);
}

TEST_F(sva, map_over)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 1; i < 50; i++) {
		memset(p, i, PAGE);
		ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, i + 1, PAGE));
		ASSERT_EQ(p, mmap(p, PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				  0));
		ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
		ASSERT_EQ(0, self->q.result);
	}
	munmap(p, PAGE);
}

TEST_F(sva, mprotect_down_and_up)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 1; i < 20; i++) {
		ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, i, 2 * PAGE));
		ASSERT_EQ(0, mprotect(p, 2 * PAGE, PROT_READ));
		ASSERT_EQ(SVADEV_STATUS_FAULT, sva_fill(&self->q, p, 0, PAGE));
		ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
		ASSERT_EQ(2 * PAGE * i, self->q.result);
		ASSERT_EQ(0, mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE));
		ASSERT_TRUE(bytes_are(p, 2 * PAGE, i));
	}
	munmap(p, 2 * PAGE);
}

TEST_F(sva, madvise_dontneed)
{
	uint8_t *p = map_pages(3, PROT_READ | PROT_WRITE);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 5, 3 * PAGE));
	ASSERT_EQ(0, madvise(p + PAGE, PAGE, MADV_DONTNEED));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 3 * PAGE));
	EXPECT_EQ(2 * PAGE * 5, self->q.result);
	munmap(p, 3 * PAGE);
}

TEST_F(sva, mremap)
{
	uint8_t *old = map_pages(2, PROT_READ | PROT_WRITE), *new;

	ASSERT_NE(MAP_FAILED, old);
	pattern_set(old, 2 * PAGE, 6);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, old, 2 * PAGE));

	new = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	ASSERT_NE(MAP_FAILED, new);
	ASSERT_EQ(new, mremap(old, 2 * PAGE, 2 * PAGE,
			      MREMAP_MAYMOVE | MREMAP_FIXED, new));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, old, 1));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, new, 2 * PAGE));
	EXPECT_EQ(pattern_sum(2 * PAGE, 6), self->q.result);
	munmap(new, 2 * PAGE);
}

/* fork() */

TEST_F_TIMEOUT(sva, fork_device_writes, 120)
{
	uint64_t *count = (void *)map_pages(1, PROT_READ | PROT_WRITE);
	struct sva_op hammer = {
		.op = SVADEV_OP_FETCH_ADD, .dst = count, .value = 1, .len = 8,
		.hammer_ns = HAMMER_NS,
	};
	uint64_t seen;
	int i;

	ASSERT_NE(MAP_FAILED, count);
	*count = 0;
	ASSERT_TRUE(sva_submit(&self->q, &hammer));

	for (i = 0; i < 10; i++) {
		pid_t pid = fork();

		if (!pid) {
			/* Ours is a snapshot that stays as it is */
			seen = sva_load(count);
			usleep(HAMMER_US);
			CHECK(sva_load(count) == seen);
			*count = 0;
			usleep(HAMMER_US);
			CHECK(sva_load(count) == 0);
			_exit(0);
		}
		seen = sva_load(count);
		ASSERT_EQ(0, wait_child(pid));
		EXPECT_LT(seen, sva_load(count));
	}
	/* Copying the page while the device adds to it must not lose any */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_end_hammer(&self->q));
	EXPECT_LT(0, self->q.rounds);
	EXPECT_EQ(self->q.rounds, sva_load(count));

	ASSERT_TRUE(device_is_quiet(&self->before));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fetch_add(&self->q, count, 1, 8));
	EXPECT_EQ(self->q.result + 1, sva_load(count));
	munmap(count, PAGE);
}

TEST_F(sva, fork_parent_writes)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	struct gate written, done;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(gate_init(&written));
	ASSERT_TRUE(gate_init(&done));
	memset(p, 1, PAGE);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));

	pid = fork();
	if (!pid) {
		CHECK(gate_wait(&written));
		CHECK(bytes_are(p, PAGE, 1));
		gate_open(&done);
		_exit(0);
	}
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(PAGE, self->q.result);

	/* The child keeps the old page, we and our device get a new one */
	memset(p, 2, PAGE);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(2 * PAGE, self->q.result);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 3, PAGE));
	EXPECT_TRUE(bytes_are(p, PAGE, 3));

	gate_open(&written);
	EXPECT_TRUE(gate_wait(&done));
	EXPECT_EQ(0, wait_child(pid));
	munmap(p, PAGE);
}

TEST_F(sva, fork_child_writes)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 1, PAGE);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));

	pid = fork();
	if (!pid) {
		memset(p, 2, PAGE);
		_exit(0);
	}
	EXPECT_EQ(0, wait_child(pid));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(PAGE, self->q.result);
	munmap(p, PAGE);
}

TEST_F(sva, fork_child_has_no_queue)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	int sink[2];
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, pipe(sink));
	memset(p, 1, PAGE);

	pid = fork();
	if (!pid) {
		struct sva_queue own;

		/* The page of registers did not come along */
		CHECK(write(sink[1], self->q.page, 8) == -1 &&
		      errno == EFAULT);
		/* nor can it be had while the parent uses it */
		CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			   self->q.fd, 0) == MAP_FAILED);

		/* A queue of our own shows the device our memory */
		memset(p, 2, PAGE);
		CHECK(!sva_open(device[0], &own));
		CHECK(sva_read(&own, p, PAGE) == SVADEV_STATUS_OK);
		CHECK(own.result == 2 * PAGE);
		CHECK(sva_fill(&own, p, 3, PAGE) == SVADEV_STATUS_OK);
		CHECK(bytes_are(p, PAGE, 3));
		sva_close(&own);
		_exit(0);
	}
	EXPECT_EQ(0, wait_child(pid));
	EXPECT_TRUE(bytes_are(p, PAGE, 1));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(PAGE, self->q.result);
	munmap(p, PAGE);
}

/* The end of a process */

#define BUSY_PAGES	32

/*
 * Keep the device busy with all that can be in flight: translated DMA, page
 * faults that are being served, and memory that goes away. Does not return.
 */
static void busy_process(struct gate *ready)
{
	uint8_t *p = map_pages(BUSY_PAGES, PROT_READ | PROT_WRITE);
	size_t len = BUSY_PAGES * PAGE;
	struct sva_queue q[3];
	int i;

	CHECK(p != MAP_FAILED);
	for (i = 0; i < 3; i++)
		CHECK(!sva_open(device[i % devices], &q[i]));

	CHECK(sva_submit(&q[0], &(struct sva_op){
		.op = SVADEV_OP_FILL, .dst = p, .value = 1, .len = len,
		.hammer_ns = HAMMER_NS }));
	CHECK(sva_submit(&q[1], &(struct sva_op){
		.op = SVADEV_OP_COPY, .src = p, .dst = p + len / 2,
		.len = len / 2, .hammer_ns = HAMMER_NS }));
	CHECK(sva_submit(&q[2], &(struct sva_op){
		.op = SVADEV_OP_FETCH_ADD, .dst = p + len / 4, .value = 1,
		.len = 8, .hammer_ns = HAMMER_NS }));
	for (;;) {
		CHECK(!madvise(p, len, MADV_DONTNEED));
		for (i = 0; i < 3; i++)
			CHECK(sva_busy(&q[i]));
		if (!sva_reg_read(&q[2], SVADEV_ROUNDS))
			continue;
		/* It has got going */
		if (!ready)
			_exit(0);
		gate_open(ready);
		ready = NULL;
		for (;;)
			CHECK(!madvise(p, len, MADV_DONTNEED));
	}
}

/*
 * A process that maps what busy_process() had mapped, and is likely to get the
 * PASID that it had: the device must find nothing but its own memory.
 */
static bool successor_is_alone(void)
{
	pid_t pid = fork();

	if (!pid) {
		uint8_t *p = map_pages(BUSY_PAGES, PROT_READ | PROT_WRITE);
		size_t len = BUSY_PAGES * PAGE;
		int i;

		CHECK(p != MAP_FAILED);
		for (i = 0; i < devices; i++) {
			struct sva_queue q;

			CHECK(!sva_open(device[i], &q));
			CHECK(!madvise(p, len, MADV_DONTNEED));
			CHECK(sva_read(&q, p, len) == SVADEV_STATUS_OK);
			CHECK(q.result == 0);
			CHECK(sva_fill(&q, p, 6, len) == SVADEV_STATUS_OK);
			CHECK(bytes_are(p, len, 6));
			sva_close(&q);
		}
		_exit(0);
	}
	return !wait_child(pid);
}

TEST_F_TIMEOUT(sva, exit_with_dma_in_flight, 120)
{
	uint64_t word = 5;
	int i;

	for (i = 0; i < 10; i++) {
		pid_t pid = fork();

		if (!pid)
			busy_process(NULL);
		ASSERT_EQ(0, wait_child(pid));
		ASSERT_TRUE(queues_are_back(&self->before, 1));
		ASSERT_EQ(SVADEV_STATUS_OK, sva_fetch_add(&self->q, &word, 1,
							  8));
	}
	EXPECT_EQ(15, word);
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_TRUE(successor_is_alone());
}

TEST_F_TIMEOUT(sva, kill_with_dma_in_flight, 120)
{
	uint64_t word = 5;
	struct gate ready;
	int i;

	ASSERT_TRUE(gate_init(&ready));
	for (i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (!pid)
			busy_process(&ready);
		ASSERT_TRUE(gate_wait(&ready));
		usleep(i * 500);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(1000 + SIGKILL, wait_child(pid));
		ASSERT_TRUE(queues_are_back(&self->before, 1));
		ASSERT_EQ(SVADEV_STATUS_OK, sva_fetch_add(&self->q, &word, 1,
							  8));
	}
	EXPECT_EQ(25, word);
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_TRUE(successor_is_alone());
}

/* Holds the file of a queue whose address space is gone. Does not return. */
static void heir_of_queue(struct sva_queue *q, uint8_t *p, struct gate *go)
{
	struct sva_counters before, after;
	uint8_t *mine;

	CHECK(gate_wait(go));

	/* What the device was at has ended, and not well */
	q->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, q->fd,
		       0);
	CHECK(q->page != MAP_FAILED);
	CHECK(sva_wait(q) == SVADEV_STATUS_FAULT);

	/* Whatever the dead one has left is somebody else's memory by now */
	mine = map_pages(4096, PROT_READ | PROT_WRITE);
	CHECK(mine != MAP_FAILED);
	memset(mine, 0x99, 4096 * PAGE);

	/* Nothing can be reached any more, and nobody needs to hear of it */
	CHECK(!sva_counters(device[0], &before));
	CHECK(sva_read(q, p, 8) == SVADEV_STATUS_FAULT);
	CHECK(sva_fill(q, p, 1, BUSY_PAGES * PAGE) == SVADEV_STATUS_FAULT);
	CHECK(sva_fill(q, mine, 1, PAGE) == SVADEV_STATUS_FAULT);
	CHECK(!sva_counters(device[0], &after));
	CHECK(sva_delta_prefix(&before, &after, "smmu.evt.") == 0);
	CHECK(bytes_are(mine, 4096 * PAGE, 0x99));
	CHECK(bytes_are(p, PAGE, 3));

	/* Not even by starting again */
	CHECK(!ioctl(q->fd, UACCE_CMD_PUT_Q));
	CHECK(!ioctl(q->fd, UACCE_CMD_START_Q));
	CHECK(sva_read(q, p, 8) == SVADEV_STATUS_FAULT);
	sva_close(q);
	_exit(0);
}

TEST_F_TIMEOUT(sva, file_outlives_process, 120)
{
	struct gate go;
	pid_t first, heir;
	int heirs[2];

	/* The heir becomes our child when the first one is gone */
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	ASSERT_TRUE(gate_init(&go));
	ASSERT_EQ(0, pipe(heirs));

	first = fork();
	if (!first) {
		uint8_t *p = map_pages(BUSY_PAGES, PROT_READ | PROT_WRITE);
		struct sva_queue q;

		CHECK(p != MAP_FAILED);
		memset(p, 3, BUSY_PAGES * PAGE);
		CHECK(!sva_open(device[0], &q));
		CHECK(sva_submit(&q, &(struct sva_op){
			.op = SVADEV_OP_READ, .src = p,
			.len = BUSY_PAGES * PAGE, .hammer_ns = HAMMER_NS }));
		while (!sva_reg_read(&q, SVADEV_ROUNDS))
			;
		heir = fork();
		if (!heir)
			heir_of_queue(&q, p, &go);
		CHECK(write(heirs[1], &heir, sizeof(heir)) == sizeof(heir));
		_exit(0);
	}
	ASSERT_EQ(0, wait_child(first));
	ASSERT_EQ((ssize_t)sizeof(heir), read(heirs[0], &heir, sizeof(heir)));
	gate_open(&go);
	EXPECT_EQ(0, wait_child(heir));
	ASSERT_TRUE(queues_are_back(&self->before, 1));
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_TRUE(successor_is_alone());
}

TEST_F_TIMEOUT(sva, close_with_dma_in_flight, 120)
{
	size_t len = 32 * PAGE;
	uint8_t *p = map_pages(32, PROT_READ | PROT_WRITE);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < 50; i++) {
		struct sva_queue q;

		ASSERT_EQ(0, madvise(p, len, MADV_DONTNEED));
		ASSERT_EQ(0, sva_open(device[0], &q));
		ASSERT_TRUE(sva_submit(&q, &(struct sva_op){
			.op = SVADEV_OP_FILL, .dst = p, .value = 1, .len = len,
			.hammer_ns = HAMMER_NS }));
		usleep(i * 20);
		sva_close(&q);

		/* It is over: the device does not write to us any more */
		memset(p, 2, len);
		usleep(HAMMER_US);
		ASSERT_TRUE(bytes_are(p, len, 2));
	}
	munmap(p, len);
}

/* Several devices, processes, queues */

TEST_F(sva, two_devices_one_process)
{
	uint8_t *a = map_pages(2, PROT_READ | PROT_WRITE);
	uint8_t *b = map_pages(2, PROT_READ | PROT_WRITE);
	struct sva_queue other;
	long pasid[2];

	if (devices < 2)
		SKIP(return, "needs two svadev functions");
	ASSERT_NE(MAP_FAILED, a);
	ASSERT_NE(MAP_FAILED, b);
	ASSERT_EQ(0, sva_open(device[1], &other));

	ASSERT_EQ(1, sva_pasids(device[0], getpid(), &pasid[0], 1));
	ASSERT_EQ(1, sva_pasids(device[1], getpid(), &pasid[1], 1));
	EXPECT_LT(0, pasid[0]);
	EXPECT_EQ(pasid[0], pasid[1]);

	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, a, 7, 2 * PAGE));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_copy(&other, b, a, 2 * PAGE));
	EXPECT_TRUE(bytes_are(b, 2 * PAGE, 7));

	/* One that is gone is gone for both */
	munmap(a, 2 * PAGE);
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, a, 1));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&other, a, 1));

	/* Closing one does not take the other's */
	sva_close(&other);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, b, 2 * PAGE));
	EXPECT_EQ(7 * 2 * PAGE, self->q.result);
	munmap(b, 2 * PAGE);
}

TEST_F(sva, two_processes_one_device)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);
	uint8_t *only_ours = NULL;
	struct gate ours, theirs;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(gate_init(&ours));
	ASSERT_TRUE(gate_init(&theirs));
	memset(p, 1, 2 * PAGE);

	pid = fork();
	if (!pid) {
		struct sva_queue q;
		long mine, parents;

		memset(p, 2, 2 * PAGE);
		CHECK(!sva_open(device[0], &q));
		CHECK(sva_pasids(device[0], getpid(), &mine, 1) == 1);
		CHECK(sva_pasids(device[0], getppid(), &parents, 1) == 1);
		CHECK(mine > 0 && parents > 0 && mine != parents);

		CHECK(sva_read(&q, p, PAGE) == SVADEV_STATUS_OK);
		CHECK(q.result == 2 * PAGE);
		CHECK(sva_fill(&q, p, 3, PAGE) == SVADEV_STATUS_OK);
		gate_open(&theirs);

		/* The same address means our page to our queue, still */
		CHECK(gate_wait(&ours));
		CHECK(bytes_are(p, PAGE, 3));
		CHECK(sva_read(&q, p, 2 * PAGE) == SVADEV_STATUS_OK);
		CHECK(q.result == 5 * PAGE);

		/* Only the parent has this one */
		CHECK(read(ours.fd[0], &only_ours, sizeof(only_ours)) ==
		      sizeof(only_ours));
		CHECK(sva_read(&q, only_ours, 1) == SVADEV_STATUS_FAULT);
		CHECK(sva_write(&q, only_ours, 1, 1) == SVADEV_STATUS_FAULT);
		sva_close(&q);
		_exit(0);
	}

	ASSERT_TRUE(gate_wait(&theirs));
	EXPECT_TRUE(bytes_are(p, 2 * PAGE, 1));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
	EXPECT_EQ(2 * PAGE, self->q.result);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 4, 2 * PAGE));
	gate_open(&ours);

	only_ours = map_pages(1, PROT_READ | PROT_WRITE);
	ASSERT_NE(MAP_FAILED, only_ours);
	memset(only_ours, 9, PAGE);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, only_ours, PAGE));
	ASSERT_EQ((ssize_t)sizeof(only_ours),
		  write(ours.fd[1], &only_ours, sizeof(only_ours)));

	EXPECT_EQ(0, wait_child(pid));
	EXPECT_TRUE(bytes_are(only_ours, PAGE, 9));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
	EXPECT_EQ(4 * 2 * PAGE, self->q.result);
	munmap(only_ours, PAGE);
	munmap(p, 2 * PAGE);
}

TEST_F(sva, one_process_many_queues)
{
	enum { N = 4 };
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	struct sva_queue q[N];
	long pasid[N + 1];
	int i, j;

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 1, PAGE);
	if (sva_sysfs(device[0], "available_instances") < N)
		SKIP(return, "needs %d queues", N + 1);

	for (i = 0; i < N; i++)
		ASSERT_EQ(0, sva_open(device[0], &q[i]));
	ASSERT_EQ(N + 1, sva_pasids(device[0], getpid(), pasid, N + 1));
	EXPECT_LT(0, pasid[0]);
	for (i = 1; i <= N; i++)
		EXPECT_EQ(pasid[0], pasid[i]);

	/* The first goes first; each of the others works until it goes */
	sva_close(&self->q);
	for (i = 0; i < N; i++) {
		for (j = i; j < N; j++) {
			ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&q[j], p, PAGE));
			ASSERT_EQ(PAGE, q[j].result);
		}
		sva_close(&q[i]);
	}

	/* From nothing again */
	ASSERT_EQ(0, sva_open(device[0], &q[0]));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_read(&q[0], p, PAGE));
	sva_close(&q[0]);
	munmap(p, PAGE);
}

TEST_F(sva, all_queues)
{
	long n = sva_sysfs(device[0], "available_instances"), i;
	struct sva_queue *q, one_more;

	ASSERT_LT(0, n);
	q = calloc(n, sizeof(*q));
	ASSERT_NE(NULL, q);
	for (i = 0; i < n; i++)
		ASSERT_EQ(0, sva_open(device[0], &q[i]));
	EXPECT_EQ(0, sva_sysfs(device[0], "available_instances"));
	EXPECT_EQ(-EBUSY, sva_open(device[0], &one_more));
	/* Which did not cost us what we have */
	for (i = 0; i < n; i++)
		EXPECT_EQ(SVADEV_STATUS_OK, sva_read(&q[i], &n, sizeof(n)));
	for (i = 0; i < n; i++)
		sva_close(&q[i]);
	EXPECT_EQ(n, sva_sysfs(device[0], "available_instances"));
	free(q);
}

TEST_F_TIMEOUT(sva, many_rounds, 120)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	sva_close(&self->q);
	for (i = 0; i < 300; i++) {
		struct sva_queue q;

		ASSERT_EQ(0, madvise(p, 2 * PAGE, MADV_DONTNEED));
		ASSERT_EQ(0, sva_open(device[i % devices], &q));
		ASSERT_EQ(SVADEV_STATUS_OK,
			  sva_fill(&q, p, i & 0xff, 2 * PAGE));
		ASSERT_TRUE(bytes_are(p, 2 * PAGE, i & 0xff));
		sva_close(&q);
	}
	munmap(p, 2 * PAGE);
}

TEST_F_TIMEOUT(sva, many_processes, 120)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	pid_t pid[4];
	int i, j;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < 4; i++) {
		pid[i] = fork();
		if (pid[i])
			continue;
		for (j = 0; j < 50; j++) {
			struct sva_queue q;

			memset(p, i + 1, PAGE);
			CHECK(!sva_open(device[j % devices], &q));
			CHECK(sva_read(&q, p, PAGE) == SVADEV_STATUS_OK);
			CHECK(q.result == (i + 1) * PAGE);
			sva_close(&q);
		}
		_exit(0);
	}
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, wait_child(pid[i]));
	munmap(p, PAGE);
}

/* The device goes away */

static bool driver_file_write(const char *file, const char *what)
{
	char path[64];
	bool ok;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/svadev/%s", file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = write(fd, what, strlen(what)) == (ssize_t)strlen(what);
	close(fd);
	return ok;
}

static void *sleep_in_poll(void *arg)
{
	struct pollfd *p = arg;

	poll(p, 1, SVA_TIMEOUT_MS);
	return NULL;
}

TEST_F_TIMEOUT(sva, driver_unbound_while_in_use, 120)
{
	uint64_t *word = (void *)map_pages(1, PROT_READ | PROT_WRITE);
	char name[SVA_PCI_NAME_LEN], node[32];
	struct pollfd p = { .events = POLLIN };
	pthread_t poller;
	struct sva_queue q;
	uint64_t seen;
	int sink[2];

	if (devices < 2)
		SKIP(return, "needs two svadev functions");
	ASSERT_NE(MAP_FAILED, word);
	ASSERT_EQ(0, pipe(sink));
	ASSERT_EQ(0, sva_pci_name(device[1], name));
	snprintf(node, sizeof(node), "/dev/svadev-%d", device[1]);

	ASSERT_EQ(0, sva_open(device[1], &q));
	ASSERT_TRUE(sva_submit(&q, &(struct sva_op){
		.op = SVADEV_OP_FETCH_ADD, .dst = word, .value = 1, .len = 8,
		.hammer_ns = HAMMER_NS }));
	p.fd = q.fd;
	ASSERT_EQ(0, pthread_create(&poller, NULL, sleep_in_poll, &p));
	usleep(HAMMER_US);

	seen = sva_now_ms();
	ASSERT_TRUE(driver_file_write("unbind", name));
	ASSERT_EQ(0, pthread_join(poller, NULL));
	EXPECT_EQ(POLLERR | POLLHUP, p.revents);
	EXPECT_GT(SVA_TIMEOUT_MS / 2, sva_now_ms() - seen);

	/* It writes no more, and we have no registers to tell it to */
	seen = sva_load(word);
	EXPECT_LT(0, seen);
	usleep(HAMMER_US);
	EXPECT_EQ(seen, sva_load(word));
	EXPECT_EQ(-1, write(sink[1], q.page, 8));
	EXPECT_EQ(EFAULT, errno);

	/* All that is left to do with the file is to close it */
	EXPECT_EQ(-1, ioctl(q.fd, UACCE_CMD_START_Q));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(-1, ioctl(q.fd, UACCE_CMD_PUT_Q));
	EXPECT_EQ(ENXIO, errno);
	ASSERT_EQ(0, munmap(q.page, PAGE));
	q.page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, q.fd, 0);
	EXPECT_EQ(MAP_FAILED, q.page);
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(-1, access(node, F_OK));

	/* The other device has nothing to do with it */
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, word, 0, PAGE));

	/* The old file does not stand in the way of a new beginning */
	ASSERT_TRUE(driver_file_write("bind", name));
	ASSERT_EQ(devices, sva_devices(device, SVA_MAX_DEVICES));
	EXPECT_EQ(0, close(q.fd));
	ASSERT_EQ(0, sva_open(device[1], &q));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_write(&q, word, 1, 8));
	EXPECT_EQ(1, sva_load(word));
	sva_close(&q);
	close(sink[0]);
	close(sink[1]);
	munmap(word, PAGE);
}

/* The operations */

TEST_F_TIMEOUT(sva, any_length_and_alignment, 120)
{
	const size_t offsets[] = { 0, 1, 3, 7, PAGE - 3, PAGE - 1 };
	const size_t lengths[] = { 1, 2, 3, 5, 8, 17, PAGE - 1, PAGE, PAGE + 1,
				   2 * PAGE + 5 };
	size_t size = 5 * PAGE, o, l;
	uint8_t *src = map_pages(5, PROT_READ | PROT_WRITE);
	uint8_t *dst = map_pages(5, PROT_READ | PROT_WRITE);

	ASSERT_NE(MAP_FAILED, src);
	ASSERT_NE(MAP_FAILED, dst);

	for (o = 0; o < ARRAY_SIZE(offsets); o++) {
		for (l = 0; l < ARRAY_SIZE(lengths); l++) {
			uint8_t *s = src + offsets[o] + 8;
			uint8_t *d = dst + PAGE - offsets[o];
			size_t len = lengths[l];

			pattern_set(s, len, 5);
			memset(dst, 0xcc, size);
			ASSERT_EQ(SVADEV_STATUS_OK,
				  sva_copy(&self->q, d, s, len));
			ASSERT_TRUE(pattern_is(d, len, 5));
			ASSERT_TRUE(bytes_are(dst, d - dst, 0xcc));
			ASSERT_TRUE(bytes_are(d + len, dst + size - d - len,
					      0xcc));

			ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, d, len));
			ASSERT_EQ(pattern_sum(len, 5), self->q.result);

			ASSERT_EQ(SVADEV_STATUS_OK,
				  sva_compare(&self->q, d, s, len));
			ASSERT_EQ(len, self->q.result);
			d[len - 1] ^= 1;
			ASSERT_EQ(SVADEV_STATUS_OK,
				  sva_compare(&self->q, d, s, len));
			ASSERT_EQ(len - 1, self->q.result);

			ASSERT_EQ(SVADEV_STATUS_OK,
				  sva_fill(&self->q, d, 0xaa, len));
			ASSERT_TRUE(bytes_are(d, len, 0xaa));
			ASSERT_TRUE(bytes_are(dst, d - dst, 0xcc));
			ASSERT_TRUE(bytes_are(d + len, dst + size - d - len,
					      0xcc));
		}
	}

	/* WRITE takes a value of up to 8 bytes, also across a page boundary */
	for (o = PAGE - 8; o <= PAGE; o++) {
		for (l = 1; l <= 8; l++) {
			uint64_t val = 0x8877665544332211, back = 0;

			memset(dst, 0xcc, 2 * PAGE);
			ASSERT_EQ(SVADEV_STATUS_OK,
				  sva_write(&self->q, dst + o, val, l));
			memcpy(&back, dst + o, l);
			ASSERT_EQ(l == 8 ? val : val & ((1ull << l * 8) - 1),
				  back);
			ASSERT_EQ(0xcc, dst[o - 1]);
			ASSERT_EQ(0xcc, dst[o + l]);
		}
	}
	munmap(src, size);
	munmap(dst, size);
}

TEST_F(sva, compare_and_swap)
{
	uint64_t w64 = 0x1111111122222222;
	uint32_t w32[2] = { 5, 6 };

	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_cas(&self->q, &w64, 0x1111111122222222, 7, 8));
	EXPECT_EQ(7, w64);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_cas(&self->q, &w64, 8, 9, 8));
	EXPECT_EQ(7, w64);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_cas(&self->q, w32, 5, 50, 4));
	EXPECT_EQ(50, w32[0]);
	EXPECT_EQ(6, w32[1]);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fetch_add(&self->q, w32, -1u, 4));
	EXPECT_EQ(50, self->q.result);
	EXPECT_EQ(49, w32[0]);
	EXPECT_EQ(6, w32[1]);
}

/* What a CPU adds to a word, until it is told to stop */
struct adder {
	uint64_t *word;
	uint64_t adds;
	bool stop;
};

static void *add_from_cpu(void *arg)
{
	struct adder *a = arg;

	while (!__atomic_load_n(&a->stop, __ATOMIC_RELAXED)) {
		__atomic_fetch_add(a->word, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&a->adds, a->adds + 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

TEST_F_TIMEOUT(sva, atomics_race_the_cpu, 120)
{
	static uint64_t word;
	struct sva_op hammer = {
		.op = SVADEV_OP_FETCH_ADD, .dst = &word, .value = 1, .len = 8,
		.hammer_ns = 100,
	};
	uint64_t end = sva_now_ms() + SVA_TIMEOUT_MS;
	struct adder a = { .word = &word };
	pthread_t cpu;

	word = 0;
	ASSERT_TRUE(sva_submit(&self->q, &hammer));
	ASSERT_EQ(0, pthread_create(&cpu, NULL, add_from_cpu, &a));
	/* Each may get going late */
	while ((sva_reg_read(&self->q, SVADEV_ROUNDS) < 10000 ||
		sva_load(&a.adds) < 10000) && sva_now_ms() < end)
		usleep(1000);
	__atomic_store_n(&a.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(cpu, NULL));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_end_hammer(&self->q));
	EXPECT_LE(10000, self->q.rounds);
	EXPECT_LE(10000, a.adds);
	EXPECT_EQ(a.adds + self->q.rounds, word);
}

TEST_F(sva, completion_wakes_poll)
{
	struct pollfd p = { .fd = self->q.fd, .events = POLLIN };
	/* Enough page faults to be asleep by the time the last is served */
	size_t len = 32 * PAGE;
	uint8_t *mem = map_pages(32, PROT_READ | PROT_WRITE);
	uint64_t start;

	ASSERT_NE(MAP_FAILED, mem);
	/* Nothing was ever asked of the queue */
	EXPECT_EQ(0, poll(&p, 1, 0));

	ASSERT_TRUE(sva_submit(&self->q, &(struct sva_op){
		.op = SVADEV_OP_FILL, .dst = mem, .value = 1, .len = len }));
	start = sva_now_ms();
	ASSERT_EQ(1, poll(&p, 1, SVA_TIMEOUT_MS));
	EXPECT_EQ(POLLIN, p.revents);
	/* poll() looks once more when its time is over: not what we want */
	EXPECT_GT(SVA_TIMEOUT_MS / 2, sva_now_ms() - start);
	EXPECT_EQ(SVADEV_STATUS_OK, sva_wait(&self->q));
	EXPECT_TRUE(bytes_are(mem, len, 1));
	munmap(mem, len);
}

TEST_F(sva, bad_operations)
{
	uint64_t word[2] = { 1, 2 };
	struct sva_op op = { .op = 1000, .src = word, .dst = word, .len = 8 };
	void *odd = (char *)word + 1;

	EXPECT_EQ(SVADEV_STATUS_INVALID, sva_run(&self->q, &op));
	EXPECT_EQ(SVADEV_STATUS_INVALID, sva_write(&self->q, word, 3, 9));
	EXPECT_EQ(SVADEV_STATUS_INVALID, sva_fetch_add(&self->q, word, 3, 3));
	EXPECT_EQ(SVADEV_STATUS_INVALID, sva_fetch_add(&self->q, odd, 3, 8));
	EXPECT_EQ(SVADEV_STATUS_INVALID, sva_cas(&self->q, odd, 1, 3, 4));
	EXPECT_EQ(1, word[0]);
	EXPECT_EQ(2, word[1]);

	op = (struct sva_op){ .op = SVADEV_OP_NOP };
	EXPECT_EQ(SVADEV_STATUS_OK, sva_run(&self->q, &op));
	EXPECT_NE(SVADEV_STATUS_OK, sva_read(&self->q, (void *)-8, 16));
}

TEST_F(sva, bad_arguments)
{
	size_t map = PAGE;
	int prot = PROT_READ | PROT_WRITE;
	struct sva_queue q;
	uint64_t word = 1;
	void *p;

	ASSERT_EQ(0, sva_open_stopped(device[0], &q));

	/* A queue that is not started does nothing */
	EXPECT_EQ(SVADEV_STATUS_DISABLED, sva_write(&q, &word, 2, 8));
	EXPECT_EQ(1, word);

	EXPECT_EQ(-1, ioctl(q.fd, _IO('W', 77)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(q.fd, 0xdeadbeef, -1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, ioctl(q.fd, UACCE_CMD_PUT_Q));
	EXPECT_EQ(0, ioctl(q.fd, UACCE_CMD_START_Q));
	EXPECT_EQ(-1, ioctl(q.fd, UACCE_CMD_START_Q));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(SVADEV_STATUS_OK, sva_write(&q, &word, 2, 8));
	EXPECT_EQ(2, word);
	EXPECT_EQ(0, ioctl(q.fd, UACCE_CMD_PUT_Q));
	EXPECT_EQ(SVADEV_STATUS_DISABLED, sva_write(&q, &word, 3, 8));
	EXPECT_EQ(2, word);
	EXPECT_EQ(0, ioctl(q.fd, UACCE_CMD_START_Q));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_write(&q, &word, 4, 8));

	/* It is mapped once */
	EXPECT_EQ(MAP_FAILED, mmap(NULL, map, prot, MAP_SHARED, q.fd, 0));
	EXPECT_EQ(EEXIST, errno);
	p = mremap(q.page, map, map * 2, MREMAP_MAYMOVE);
	EXPECT_EQ(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(q.page, map));

	/* and only whole, shared, and at its place */
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 2 * map, prot, MAP_SHARED, q.fd, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, map, prot, MAP_PRIVATE, q.fd, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, map, prot, MAP_SHARED, q.fd,
				   UACCE_QFRT_DUS * PAGE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, map, prot, MAP_SHARED, q.fd,
				   2 * PAGE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, map, prot, MAP_SHARED, q.fd,
				   1ull << 40));
	EXPECT_EQ(EINVAL, errno);

	q.page = mmap(NULL, map, prot, MAP_SHARED, q.fd, 0);
	ASSERT_NE(MAP_FAILED, q.page);
	EXPECT_EQ(SVADEV_STATUS_OK, sva_write(&q, &word, 5, 8));
	EXPECT_EQ(5, word);
	sva_close(&q);
}

static void __attribute__((constructor)) __constructor_order_last(void)
{
	if (!__constructor_order)
		__constructor_order = _CONSTRUCTOR_ORDER_BACKWARD;
}

int main(int argc, char **argv)
{
	struct sva_counters counters;
	struct sva_queue q;
	int ret;

	devices = sva_devices(device, SVA_MAX_DEVICES);
	if (!devices)
		ksft_exit_skip("no /dev/svadev-*: not the emulated machine?\n");
	if (sva_counters(device[0], &counters))
		ksft_exit_skip("cannot read the counters in debugfs\n");
	if (!sva_capable(device[0]))
		ksft_exit_skip("the kernel cannot do SVA on this machine\n");
	ret = sva_open(device[0], &q);
	if (ret == -EOPNOTSUPP)
		ksft_exit_skip("the kernel refuses to bind: %s\n",
			       strerror(-ret));
	if (!ret)
		sva_close(&q);

	return test_harness_run(argc, argv);
}
