// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page requests that go wrong, groups of more than one page, and translations that
 * are never used.
 *
 * Queues work on memory that was not touched before, while the device asks for
 * eight pages at a time and sends its requests late, never, twice, without their
 * PASID, after it was disabled, or more than fit into the queue of the IOMMU. An
 * operation ends with the right data or with a defined failure, and every group
 * that waits for a response has one.
 *
 * And what others notice of a function that does not answer invalidations.
 */
#include "sva_case.h"

#define QUEUES		4
#define PAGES		16
#define ROUNDS		4
#define PRG_PAGES	8

/* So few that requests which are lost end it soon */
#define LOST_RETRIES	3
/* While the queue is full all requests are answered at once, "try again" */
#define MANY_RETRIES	UINT_MAX

/* Until the queue overflows: one of four groups has more requests than fit */
#define MANY_ROUNDS	20

/* Groups with a response that is lost in an overflow, and rounds for these */
#define CUTS		10
#define CUTS_MAX	200

/* Longer than a page request is on its way */
#define HOLD_MS		25

/* A translation request ends with an aligned block of so many */
#define AHEAD_PAGES	8

/* Of a process, beside one that asks for pages that it does not have */
#define FILLS		200

/* Unmaps beside a function that does not answer, for each of two in that role */
#define SILENT_ROUNDS	12

/* The kernel invalidates twice for a munmap(): in one more it asks again */
#define SILENT_TIMEOUTS	3

/* Page faults beside one, and the time for them */
#define SILENT_FAULTS	256
#define SILENT_FAULT_US	10000
#define SILENT_MS	5000
/* How often: in between the kernel gets its answer, and interrupts are on */
#define SILENT_TIMES	12
#define SILENT_PAUSES	20
#define SILENT_SECONDS	240

#define LEN		(PAGES * PAGE)

static bool knob(const char *file, unsigned int val)
{
	return svadev_knob(device[0], file, val);
}

static uint64_t grown(const struct sva_counters *before, const char *name)
{
	struct sva_counters now;

	if (sva_counters(device[0], &now))
		return UINT64_MAX;
	return sva_delta(before, &now, name);
}

/* Every request that was taken has its response: none is outstanding */
static bool all_answered(const struct sva_counters *before)
{
	return grown(before, "svadev0.pri.group") ==
	       grown(before, "svadev0.pri.success") +
	       grown(before, "svadev0.pri.invalid") +
	       grown(before, "svadev0.pri.failure");
}

/* How often did the queue have no room for a request? */
static uint64_t overflows(const struct sva_counters *before)
{
	return grown(before, "vtd.prq.overflow");
}

static void use_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK(!sched_setaffinity(0, sizeof(set), &set));
}

/*
 * The kernel's thread empties the page request queue faster than a device fills
 * it. While a hold lasts all CPUs belong to threads of a higher priority: the
 * queue fills, for as long as requests take to arrive. A case may end in one: then
 * the teardown ends it.
 */
static struct hold {
	bool on;			/* work() does its part in one */
	pthread_t thread[CPU_SETSIZE];	/* of all CPUs but the first */
	int cpus;			/* the first, and those with a thread */
	uint64_t wanted;
	uint64_t stop;
	uint64_t held;			/* of these CPUs */
	const struct sva_counters *before;
	const char *counter;		/* counts what a hold is to bring about */
	uint64_t count;			/* as of the beginning of the hold */
	bool failed;			/* it could not be read */
} hold;

static void set_priority(int policy)
{
	struct sched_param param = { .sched_priority = 0 };

	if (policy == SCHED_FIFO)
		param.sched_priority = sched_get_priority_max(policy);
	CHECK(!sched_setscheduler(0, policy, &param));
}

static void *hold_cpu(void *cpu)
{
	use_cpu((uintptr_t)cpu);
	set_priority(SCHED_FIFO);
	while (!sva_load(&hold.stop)) {
		if (!sva_load(&hold.wanted)) {
			usleep(100);
			continue;
		}
		__atomic_fetch_add(&hold.held, 1, __ATOMIC_RELAXED);
		while (sva_load(&hold.wanted))
			;
		__atomic_fetch_sub(&hold.held, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void hold_end(void)
{
	__atomic_store_n(&hold.wanted, 0, __ATOMIC_RELAXED);
	set_priority(SCHED_OTHER);
}

/* In any state, also without a hold_init() */
static void hold_exit(void)
{
	if (!hold.on)
		return;
	hold_end();
	__atomic_store_n(&hold.stop, 1, __ATOMIC_RELAXED);
	while (--hold.cpus > 0)
		pthread_join(hold.thread[hold.cpus], NULL);
	hold.on = false;
	write_file(RT_RUNTIME, RT_RUNTIME_US);
}

static bool hold_init(const struct sva_counters *before, const char *counter)
{
	uintptr_t cpu, cpus = sysconf(_SC_NPROCESSORS_ONLN);

	hold = (struct hold){
		.on = true, .cpus = 1, .before = before, .counter = counter,
	};
	undo = hold_exit;
	/* All of the time, and not 95% of it */
	if (cpus > CPU_SETSIZE || !write_file(RT_RUNTIME, "-1"))
		return false;
	use_cpu(0);
	for (cpu = 1; cpu < cpus; cpu++, hold.cpus++)
		if (pthread_create(&hold.thread[cpu], NULL, hold_cpu,
				   (void *)cpu))
			return false;
	return true;
}

/* What a hold is to bring about, so far */
static uint64_t hold_count(void)
{
	uint64_t count = grown(hold.before, hold.counter);

	hold.failed |= count == UINT64_MAX;
	return count;
}

/* All that was asked for before is answered, so the queue is empty */
static bool hold_begin(void)
{
	if (!SOON(all_answered(hold.before)))
		return false;
	hold.count = hold_count();
	__atomic_store_n(&hold.wanted, 1, __ATOMIC_RELAXED);
	if (!SOON(sva_load(&hold.held) == (uint64_t)hold.cpus - 1))
		return false;
	set_priority(SCHED_FIFO);
	return !hold.failed;
}

/* Until it comes about. Returns false if what was sent is not too much. */
static bool hold_wait(void)
{
	uint64_t end = sva_now_ms() + HOLD_MS;

	while (!hold.failed && sva_now_ms() < end)
		if (hold_count() > hold.count)
			return !hold.failed;
	return false;
}

struct outcome {
	unsigned int ok;
	unsigned int failed;
	unsigned int wrong;		/* neither, or other bytes than filled */
	uint64_t asked;			/* groups that were waited for */
	uint64_t ms;
};

/* Queues work on memory that is untouched, at the same time */
static void work(struct outcome *sum)
{
	struct sva_queue q[QUEUES];
	uint8_t *p[QUEUES], *used[QUEUES * ROUNDS];
	uint64_t status, start = sva_now_ms();
	int i, round, n = 0;

	for (i = 0; i < QUEUES; i++)
		if (sva_open(device[0], &q[i]))
			q[i].fd = -1;

	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < QUEUES; i++)
			p[i] = map_pages(PAGES, PROT_READ | PROT_WRITE);
		if (hold.on)
			sum->wrong += !hold_begin();
		for (i = 0; i < QUEUES; i++) {
			struct sva_op op = {
				.op = SVADEV_OP_FILL, .dst = p[i], .len = LEN,
				.value = i + 1,
			};

			if (q[i].fd < 0 || p[i] == MAP_FAILED ||
			    !sva_submit(&q[i], &op))
				sum->wrong++;
		}
		if (hold.on) {
			hold_wait();
			hold_end();
		}
		for (i = 0; i < QUEUES; i++) {
			if (q[i].fd < 0 || p[i] == MAP_FAILED)
				continue;
			status = sva_wait(&q[i]);
			sum->asked += q[i].faults;
			if (status == SVADEV_STATUS_OK)
				sum->ok++;
			else if (status == SVADEV_STATUS_FAULT ||
				 status == SVADEV_STATUS_RETRIES)
				sum->failed++;
			else
				sum->wrong++;
			/* As far as it says it got, and no farther */
			sum->wrong += !bytes_are(p[i], q[i].done, i + 1);
			sum->wrong += !bytes_are(p[i] + q[i].done,
						 LEN - q[i].done, 0);
			/* A request that is left over asks for nothing valid */
			sum->wrong += mprotect(p[i], LEN, PROT_NONE) != 0;
			used[n++] = p[i];
		}
	}
	sum->ms = sva_now_ms() - start;
	for (i = 0; i < QUEUES; i++)
		sva_close(&q[i]);
	while (n--)
		munmap(used[n], LEN);
}

/*
 * The same while page requests go wrong in the ways of @inject. Returns false if
 * the device has no such ways. All that a response is due for gets one.
 */
static bool inject(struct __test_metadata *_metadata, struct machine *before,
		   unsigned int inject, struct outcome *sum)
{
	const struct sva_counters *counters = &before->counters;
	bool ok;

	before->injected = true;
	ok = knob("prg_pages", PRG_PAGES) && knob("inject", inject) &&
	     knob("max_retries", inject & SVADEV_INJECT_LOST ? LOST_RETRIES :
				 inject & SVADEV_INJECT_MANY ? MANY_RETRIES :
							       MAX_RETRIES);
	if (ok)
		work(sum);
	ok &= knob("inject", 0) && knob("prg_pages", 1) &&
	      knob("max_retries", MAX_RETRIES);

	EXPECT_EQ(0, sum->wrong);
	EXPECT_EQ(QUEUES * ROUNDS, sum->ok + sum->failed);
	EXPECT_TRUE(SOON(all_answered(counters)))
		TH_LOG("%lu groups, %lu successes, %lu invalid, %lu failures",
		       grown(counters, "svadev0.pri.group"),
		       grown(counters, "svadev0.pri.success"),
		       grown(counters, "svadev0.pri.invalid"),
		       grown(counters, "svadev0.pri.failure"));
	/* Requests came while what they ask for was taken away */
	return ok && device_is_quiet(before);
}

/* The same where operations succeed, and groups are of several pages */
static void inject_success(struct __test_metadata *_metadata,
			   struct machine *before, unsigned int inject_bits,
			   struct outcome *sum)
{
	ASSERT_TRUE(inject(_metadata, before, inject_bits, sum));
	EXPECT_EQ(0, sum->failed);
	EXPECT_LT(grown(&before->counters, "svadev0.pri.group"),
		  grown(&before->counters, "svadev0.pri.req"));
}

TEST_F(sva, groups_of_pages)
{
	struct outcome sum = {};

	inject_success(_metadata, &self->before, 0, &sum);
	EXPECT_EQ(sum.asked, grown(&self->before.counters,
				   "svadev0.pri.group"));
}

/* Each by a millisecond, one after the other in a queue */
TEST_F(sva, requests_late)
{
	struct outcome sum = {};

	inject_success(_metadata, &self->before, SVADEV_INJECT_LATE, &sum);
	EXPECT_LT(0, sum.asked);
	EXPECT_EQ(sum.asked, grown(&self->before.counters, "svadev0.pri.late"));
	EXPECT_LE(sum.asked / QUEUES, sum.ms);
}

TEST_F(sva, requests_twice)
{
	struct outcome sum = {};

	inject_success(_metadata, &self->before, SVADEV_INJECT_TWICE, &sum);
	EXPECT_EQ(2 * sum.asked, grown(&self->before.counters,
				       "svadev0.pri.group"));
}

/* Those of the queue that was disabled ask for an address space that goes */
TEST_F(sva, requests_after_disable)
{
	struct outcome sum = {};

	inject_success(_metadata, &self->before, SVADEV_INJECT_AFTER, &sum);
	EXPECT_LT(sum.asked, grown(&self->before.counters,
				   "svadev0.pri.group"));
}

TEST_F(sva, stop_markers)
{
	struct outcome sum = {};

	inject_success(_metadata, &self->before, SVADEV_INJECT_STOP, &sum);
	EXPECT_LT(0, grown(&self->before.counters, "svadev0.pri.stop"));
}

TEST_F(sva, requests_lost)
{
	struct outcome sum = {};

	ASSERT_TRUE(inject(_metadata, &self->before, SVADEV_INJECT_LOST, &sum));
	EXPECT_EQ(0, sum.ok);
	EXPECT_LT(0, grown(&self->before.counters, "svadev0.pri.lost"));
}

/* No process is asked for a page that belongs to no PASID */
TEST_F(sva, requests_without_pasid)
{
	struct outcome sum = {};

	self->before.logged = "page request refused, no PASID";
	ASSERT_TRUE(inject(_metadata, &self->before, SVADEV_INJECT_NO_PASID,
			   &sum));
	EXPECT_EQ(0, sum.ok);
	EXPECT_LT(0, grown(&self->before.counters, "svadev0.pri.invalid"));
}

/*
 * More page requests than fit into the queue, within what the device is allowed:
 * the unit answers what it has no room for, and groups lose their beginnings.
 */
TEST_F(sva, requests_overflow)
{
	int round;

	self->before.logged = "page request queue overflow";
	ASSERT_TRUE(hold_init(&self->before.counters, "vtd.prq.overflow"));
	for (round = 0; round < MANY_ROUNDS; round++) {
		struct outcome sum = {};

		inject_success(_metadata, &self->before, SVADEV_INJECT_MANY,
			       &sum);
		if (overflows(&self->before.counters))
			break;
	}
	hold_exit();
	EXPECT_FALSE(hold.failed);
	EXPECT_LT(0, grown(&self->before.counters, "svadev0.pri.many"));
	EXPECT_LT(0, overflows(&self->before.counters));
}

/*
 * The last request of a group is lost. The unit answers it, and the CPU touches the
 * pages. The requests that remain must not become part of the next group that has
 * the same index: their pages are unmapped when that is sent.
 */
TEST_F(sva, groups_cut_by_overflow)
{
	unsigned int cuts = 0;
	uint8_t *p[CUTS_MAX];
	int round, i;

	self->before.logged = "page request queue overflow";
	self->before.injected = true;
	ASSERT_TRUE(knob("prg_pages", PRG_PAGES));
	ASSERT_TRUE(knob("max_retries", MANY_RETRIES));
	ASSERT_TRUE(knob("inject", SVADEV_INJECT_MANY));
	ASSERT_TRUE(hold_init(&self->before.counters, "vtd.resp.auto"));
	for (round = 0; round < CUTS_MAX && cuts < CUTS; round++) {
		p[round] = map_pages(PRG_PAGES, PROT_READ | PROT_WRITE);
		ASSERT_NE(MAP_FAILED, p[round]);
		ASSERT_TRUE(hold_begin());
		ASSERT_TRUE(sva_submit(&self->q, &(struct sva_op){
			.op = SVADEV_OP_FILL, .dst = p[round],
			.value = round + 1, .len = PRG_PAGES * PAGE }));
		cuts += hold_wait();
		/* The unit has the device try again, or the kernel will */
		for (i = 0; i < PRG_PAGES; i++)
			__atomic_fetch_add(p[round] + i * PAGE, 0,
					   __ATOMIC_RELAXED);
		hold_end();
		EXPECT_EQ(SVADEV_STATUS_OK, sva_wait(&self->q))
			TH_LOG("round %d", round);
		EXPECT_TRUE(bytes_are(p[round], PRG_PAGES * PAGE, round + 1));
		ASSERT_EQ(0, mprotect(p[round], PRG_PAGES * PAGE, PROT_NONE));
	}
	hold_exit();
	EXPECT_FALSE(hold.failed);
	EXPECT_TRUE(knob("inject", 0));
	EXPECT_TRUE(knob("prg_pages", 1));
	EXPECT_TRUE(knob("max_retries", MAX_RETRIES));
	EXPECT_TRUE(SOON(all_answered(&self->before.counters)));
	EXPECT_EQ(CUTS, cuts);
	while (round--)
		munmap(p[round], PRG_PAGES * PAGE);
}

/* Has the device write to memory that must not be accessed, to no avail */
static void ask_in_vain(const uint64_t *stop, uint8_t *p)
{
	struct sva_queue q;

	CHECK(!sva_open(device[0], &q));
	while (!sva_load(stop))
		CHECK(sva_fill(&q, p, 1, PRG_PAGES * PAGE) ==
		      SVADEV_STATUS_FAULT);
	_exit(0);
}

/* Groups of two PASIDs, with the same index, have their own responses */
TEST_F(sva, groups_of_two_processes)
{
	uint64_t *stop = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint8_t *p, *bad = map_pages(PRG_PAGES, PROT_NONE);
	unsigned int fill, failed = 0;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, stop);
	/* An address that is invalid in both */
	ASSERT_NE(MAP_FAILED, bad);
	ASSERT_TRUE(knob("prg_pages", PRG_PAGES));
	pid = child();
	if (!pid)
		ask_in_vain(stop, bad);
	for (fill = 0; fill < FILLS; fill++) {
		p = map_pages(PRG_PAGES, PROT_READ | PROT_WRITE);
		ASSERT_NE(MAP_FAILED, p);
		failed += sva_fill(&self->q, p, 1, PRG_PAGES * PAGE) !=
			  SVADEV_STATUS_OK;
		failed += !bytes_are(p, PRG_PAGES * PAGE, 1);
		munmap(p, PRG_PAGES * PAGE);
	}
	__atomic_store_n(stop, 1, __ATOMIC_RELAXED);
	EXPECT_EQ(0, wait_child(pid));
	EXPECT_TRUE(knob("prg_pages", 1));
	EXPECT_EQ(0, failed)
		TH_LOG("%u of %u operations", failed, FILLS);
	munmap(bad, PRG_PAGES * PAGE);
	munmap(stop, PAGE);
}

/* What the device asked for ahead of use is invalidated like all else */
TEST_F(sva, translations_ahead)
{
	char line[1024];
	uint8_t *map, *p;
	int round;

	for (round = 0; round < PAGES; round++) {
		map = map_pages(2 * AHEAD_PAGES, PROT_READ | PROT_WRITE);
		ASSERT_NE(MAP_FAILED, map);
		p = (uint8_t *)(((uintptr_t)map + AHEAD_PAGES * PAGE - 1) /
				(AHEAD_PAGES * PAGE) * (AHEAD_PAGES * PAGE));
		memset(p, 1, AHEAD_PAGES * PAGE);
		ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, 8));
		/* The second page of two was not used */
		ASSERT_EQ(0, munmap(p, 2 * PAGE));
		EXPECT_EQ(0, audit(line, sizeof(line)))
			TH_LOG("round %d, two pages: %s", round, line);
		munmap(map, 2 * AHEAD_PAGES * PAGE);
		EXPECT_EQ(0, audit(line, sizeof(line)))
			TH_LOG("round %d: %s", round, line);
	}
	EXPECT_LT(0, grown(&self->before.counters, "svadev0.atc.ahead"));
}

/*
 * While a function does not answer, the CPU that waits for it has its interrupts
 * off, for as long as the kernel goes on asking: all others belong elsewhere. A
 * page of the process that uses it would make CPU 0 ask as well, if it migrates to
 * where we use it.
 */
static void keep_cpu_0_going(void)
{
	char path[64];
	int irq;

	(void)write_file(BALANCING, "0");
	for (irq = 0; irq < 256; irq++) {
		snprintf(path, sizeof(path), "/proc/irq/%d/smp_affinity", irq);
		/* Some cannot be moved */
		(void)write_file(path, "1");
	}
}

static bool silent_set(int number, bool silent)
{
	return svadev_knob(number, "inject", silent ? SVADEV_INJECT_INV_NEVER : 0);
}

/* What the process that unmaps and the one that watches it share */
struct beside {
	uint64_t silent;	/* a function does not answer from now on */
	uint64_t round;		/* munmap() has returned in this one */
	uint64_t stop;
	uint64_t used;		/* by this function after munmap(), and */
	uint64_t used_beside;	/* by the other one: in so many rounds */
};

static struct beside *beside_map(void)
{
	return mmap(NULL, sizeof(struct beside), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* Unmap a page that two functions use, one of which does not answer */
static void unmap_beside(struct beside *b, int silent, int healthy, int fd)
{
	struct sva_queue q, other;
	uint64_t round;
	uint8_t *p;

	use_cpu(1);
	CHECK(!sva_open(silent, &q));
	CHECK(!sva_open(healthy, &other));
	for (round = 1; round <= SILENT_ROUNDS; round++) {
		p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		CHECK(p != MAP_FAILED);
		CHECK(sva_fill(&q, p, 5, PAGE) == SVADEV_STATUS_OK);
		CHECK(sva_fill(&other, p, 5, PAGE) == SVADEV_STATUS_OK);
		CHECK(silent_set(silent, true));
		__atomic_store_n(&b->silent, round, __ATOMIC_RELAXED);
		munmap(p, PAGE);
		__atomic_store_n(&b->round, round, __ATOMIC_RELAXED);
		b->used_beside += sva_fill(&other, p, 6, PAGE) !=
				  SVADEV_STATUS_FAULT;
		b->used += sva_fill(&q, p, 7, PAGE) != SVADEV_STATUS_FAULT;
	}
	_exit(0);
}

static int unmap_beside_silent(struct beside *b, int silent, int healthy,
			       unsigned int *written)
{
	int fd = memfd_create("beside", MFD_CLOEXEC);
	struct sva_counters before;
	uint64_t round;
	uint8_t *p;
	pid_t pid;

	if (fd < 0 || ftruncate(fd, PAGE))
		return -1;
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -1;
	memset(b, 0, sizeof(*b));
	pid = child();
	if (!pid)
		unmap_beside(b, silent, healthy, fd);
	for (round = 1; round <= SILENT_ROUNDS; round++) {
		if (sva_counters(device[0], &before) ||
		    !SOON(sva_load(&b->silent) == round))
			break;
		/* By each time-out other invalidations may be lost */
		(void)SOON(grown(&before, "vtd.dev_tlb.timeout") >=
			   SILENT_TIMEOUTS || sva_load(&b->round) == round);
		silent_set(silent, false);
		if (!SOON(sva_load(&b->round) == round))
			break;
	}
	silent_set(silent, false);
	close(fd);
	/* munmap() took it from the process, not from us */
	*written = p[0] != 5;
	munmap(p, PAGE);
	return wait_child(pid);
}

/*
 * A function that does not answer takes along invalidations of other functions,
 * if these are asked after it: once it answers, munmap() has had them repeated.
 */
TEST_F(sva, unmap_beside_silent_function)
{
	struct beside *b = beside_map();
	unsigned int written;
	int i;

	if (devices < 2)
		SKIP(return, "needs two svadev functions");
	ASSERT_NE(MAP_FAILED, b);
	self->before.logged = "Invalidation Time-out";
	use_cpu(0);
	keep_cpu_0_going();
	/* Which one is asked first is the kernel's choice */
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, unmap_beside_silent(b, device[i], device[!i],
						 &written));
		EXPECT_EQ(0, b->used)
			TH_LOG("function %d, silent: %lu pages used after munmap()",
			       i, b->used);
		EXPECT_EQ(0, b->used_beside)
			TH_LOG("function %d, beside it: %lu pages used after munmap()",
			       !i, b->used_beside);
		EXPECT_EQ(0, written);
	}
	EXPECT_LT(0, grown(&self->before.counters, "vtd.dev_tlb.timeout"));
	munmap(b, sizeof(*b));
}

/* A function does not answer, and is asked again and again */
static void unmap_silent(struct beside *b)
{
	struct sva_queue q;
	uint8_t *p;

	use_cpu(1);
	CHECK(!sva_open(device[1], &q));
	while (!sva_load(&b->stop)) {
		p = map_pages(1, PROT_READ | PROT_WRITE);
		CHECK(p != MAP_FAILED);
		/* Its own response may be the one that is late */
		sva_fill(&q, p, 1, PAGE);
		__atomic_store_n(&b->silent, 1, __ATOMIC_RELAXED);
		munmap(p, PAGE);
	}
	_exit(0);
}

/*
 * A page request has one response, also where the wait behind that is aborted, as
 * a function in front of it in the queue does not answer (C7).
 */
TEST_F_TIMEOUT(sva, one_response_beside_silent_function, SILENT_SECONDS)
{
	struct beside *b = beside_map();
	uint64_t unknown = 0, end;
	unsigned int n, times, failed = 0;
	uint8_t *p;
	pid_t pid;

	if (devices < 2)
		SKIP(return, "needs two svadev functions");
	ASSERT_NE(MAP_FAILED, b);
	self->before.logged = "Invalidation Time-out";
	p = map_pages(SILENT_FAULTS, PROT_READ | PROT_WRITE);
	ASSERT_NE(MAP_FAILED, p);
	use_cpu(0);
	keep_cpu_0_going();
	pid = child();
	if (!pid)
		unmap_silent(b);
	ASSERT_TRUE(SOON(sva_load(&b->silent)));
	for (times = 0; times < SILENT_TIMES && !unknown; times++) {
		ASSERT_TRUE(silent_set(device[1], true));
		if (!times)
			EXPECT_TRUE(SOON(grown(&self->before.counters,
					       "vtd.dev_tlb.timeout")));
		end = sva_now_ms() + SILENT_MS;
		for (n = 0; n < SILENT_FAULTS && !unknown &&
		     sva_now_ms() < end; n++) {
			failed += sva_fill(&self->q, p + n * PAGE, 1, PAGE) !=
				  SVADEV_STATUS_OK;
			/* The second one comes after a time-out */
			usleep(SILENT_FAULT_US);
			unknown = grown(&self->before.counters,
					"vtd.resp.unknown");
		}
		EXPECT_TRUE(silent_set(device[1], false));
		/* For a while, or RCU complains of the CPU that has to wait */
		for (n = 0; n < SILENT_PAUSES; n++) {
			__atomic_store_n(&b->silent, 0, __ATOMIC_RELAXED);
			ASSERT_TRUE(SOON(sva_load(&b->silent)));
		}
		ASSERT_EQ(0, madvise(p, SILENT_FAULTS * PAGE, MADV_DONTNEED));
	}
	__atomic_store_n(&b->stop, 1, __ATOMIC_RELAXED);
	EXPECT_EQ(0, wait_child(pid));
	EXPECT_EQ(0, failed) TH_LOG("%u of %u operations failed", failed, n);
	EXPECT_EQ(0, unknown)
		TH_LOG("fault %u: %lu responses that no request is waiting for",
		       n, unknown);
	munmap(p, SILENT_FAULTS * PAGE);
	munmap(b, sizeof(*b));
}
