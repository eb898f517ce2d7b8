// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that comes and goes, in all the ways it can, while processes use it:
 * with DMA, page faults, mmap() and open() under way, and processes that are
 * killed meanwhile. Each time they find out, come back and bind again, and
 * afterwards nothing is left: see the fixture. A device with PRI also goes while
 * groups of several page requests are under way.
 *
 * ROUNDS in the environment says how often the device goes, in all cases
 * together. Whoever wants many allows them time.
 */
#include "sva_case.h"

#include <setjmp.h>

#define ROUNDS		100

#define STORM_SECONDS	7200

#define USERS		3
#define PAGES		8

/* The most pages in a group of page requests. A reset makes it 1. */
static unsigned int prg_pages = 1;

/* More often would only slow down who takes the device away */
#define BETWEEN_NS	200000
#define BETWEEN_US	100

/* What a machine that stood still owes nobody */
#define REST_MS		1000

/* Shared with the users */
struct storm {
	uint64_t round;		/* they have to have seen it before it ends */
	uint64_t stop;
	struct storm_user {
		uint64_t round;	/* the device has worked in this one */
		uint64_t deaths;
	} user[USERS];
};

/* Rounds of a case, of which there shall be @percent */
static unsigned int rounds_of(unsigned int percent)
{
	const char *rounds = getenv("ROUNDS");
	unsigned int all = rounds ? atoi(rounds) : ROUNDS;

	return (all * percent + 99) / 100;
}

static bool driver_write(const char *file, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/svadev/%s", file);
	return write_file(path, name);
}

/* Users */

static sigjmp_buf device_is_gone;

/* The registers were unmapped, or a queue that was closed takes us there */
static void on_sigbus(int sig)
{
	siglongjmp(device_is_gone, 1);
}

static bool queue_is_dead(const struct sva_queue *q)
{
	struct pollfd p = { .fd = q->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

/* Can the process read its registers, by whatever is behind them? */
static bool page_is_mapped(struct sva_queue *q, const int *sink)
{
	char back[8];

	if (write(sink[1], q->page, 8) == -1) {
		CHECK(errno == EFAULT);
		return false;
	}
	CHECK(read(sink[0], back, 8) == 8);
	return true;
}

/* What a process may do to its queues while the device works */
static void disturb(int n, struct sva_queue *q, uint8_t *p)
{
	void *page;

	switch (n % 3) {
	case 0:
		CHECK(!madvise(p, PAGES / 2 * PAGE, MADV_DONTNEED));
		break;
	case 1:
		CHECK(!madvise(p, PAGE, MADV_DONTNEED));
		/* There is no memory, but for where the operation is refused */
		sva_submit(&q[1], &(struct sva_op){
			.op = SVADEV_OP_READ, .src = (void *)PAGE, .len = 8 });
		break;
	case 2:
		CHECK(!munmap(q[1].page, PAGE));
		page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			    q[1].fd, 0);
		if (page == MAP_FAILED) {
			CHECK(errno == ENXIO);
			/* for sva_close() */
			page = map_pages(1, PROT_NONE);
		}
		q[1].page = page;
		break;
	}
}

/* Have the device write to all of the memory, again and again */
static void begin_fill(struct sva_queue *q, uint8_t *p, int n)
{
	CHECK(sva_submit(q, &(struct sva_op){
		.op = SVADEV_OP_FILL, .dst = p, .value = n + 1,
		.len = PAGES * PAGE, .hammer_ns = BETWEEN_NS }));
}

/* A slow kernel needs its time for more than these users */
static void rest_since(uint64_t start)
{
	uint64_t rest = 3 * (sva_now_ms() - start);

	usleep(BETWEEN_US + 1000 * (rest < REST_MS ? rest : REST_MS));
}

/* Until the device has been everywhere once more, page faults and all */
static void let_it_work(struct storm *storm, struct sva_queue *q)
{
	uint64_t rounds = sva_reg_read(q, SVADEV_ROUNDS);

	do {
		usleep(BETWEEN_US);
	} while (sva_busy(q) && sva_reg_read(q, SVADEV_ROUNDS) == rounds &&
		 !sva_load(&storm->stop));
}

/*
 * It has ended before anybody wanted it to: because it was stopped, or a page
 * was taken away each time it tried. It must not be for lack of a page.
 */
static bool has_a_reason(uint64_t status)
{
	return status == SVADEV_STATUS_RETRIES ||
	       status == SVADEV_STATUS_DISABLED || !~status;
}

/* Have a device work until it is gone, and tell in which rounds it did */
static void use_device(struct storm *storm, int n, struct sva_queue *q,
		       uint8_t *p)
{
	struct storm_user *me = &storm->user[n];
	uint64_t round = 0, seen = 0, start, now, status;

	begin_fill(&q[0], p, n);
	while (!queue_is_dead(&q[0]) && !sva_load(&storm->stop)) {
		status = sva_reg_read(&q[0], SVADEV_STATUS);
		now = sva_reg_read(&q[0], SVADEV_ROUNDS);
		if (status != SVADEV_STATUS_BUSY) {
			CHECK(has_a_reason(status));
			begin_fill(&q[0], p, n);
			round = 0;
		} else if (round != sva_load(&storm->round)) {
			round = sva_load(&storm->round);
			seen = now;
		} else if (now > seen && ~now) {
			__atomic_store_n(&me->round, round, __ATOMIC_RELAXED);
		}
		start = sva_now_ms();
		disturb(n, q, p);
		let_it_work(storm, &q[0]);
		rest_since(start);
	}
}

/* Everything says so, and nothing can be done with it but to close it */
static void check_dead(struct sva_queue *q, int n, const int *sink)
{
	struct pollfd p;
	char path[32];
	int i, fd;

	for (i = 0; i < n; i++) {
		p = (struct pollfd){ .fd = q[i].fd };
		/* They go one after the other */
		CHECK(poll(&p, 1, SVA_TIMEOUT_MS) == 1);
		CHECK(p.revents == (POLLERR | POLLHUP));
		CHECK(ioctl(q[i].fd, UACCE_CMD_START_Q) == -1 &&
		      errno == ENXIO);
		CHECK(ioctl(q[i].fd, UACCE_CMD_PUT_Q) == -1 && errno == ENXIO);
		CHECK(SOON(!page_is_mapped(&q[i], sink)));
		CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			   q[i].fd, 0) == MAP_FAILED && errno == ENXIO);
		/* Nor does it lead to who came after it */
		snprintf(path, sizeof(path), "/proc/self/fd/%d", q[i].fd);
		fd = open(path, O_RDWR | O_CLOEXEC);
		CHECK(fd == -1 && (errno == ENODEV || errno == ENXIO));
	}
}

/* Open @n queues of whatever is bound to the device by now */
static bool open_queues(int number, struct sva_queue *q, int n)
{
	int i, ret = 0;

	for (i = 0; i < n && !ret; i++)
		ret = sva_open(number, &q[i]);
	if (!ret)
		return true;
	/* Nobody is there, or has just left */
	CHECK(ret == -ENOENT || ret == -ENODEV || ret == -ENXIO);
	for (i--; i > 0; i--)
		sva_close(&q[i - 1]);
	return false;
}

static void user(struct storm *storm, int number, int n)
{
	uint8_t *p = map_pages(PAGES, PROT_READ | PROT_WRITE);
	struct sva_queue q[2];
	uint64_t start;
	int sink[2];

	CHECK(p != MAP_FAILED);
	CHECK(!pipe2(sink, O_CLOEXEC | O_NONBLOCK));
	CHECK(signal(SIGBUS, on_sigbus) != SIG_ERR);
	while (!sva_load(&storm->stop)) {
		start = sva_now_ms();
		if (!open_queues(number, q, 2)) {
			rest_since(start);
			continue;
		}
		if (!sigsetjmp(device_is_gone, 1))
			use_device(storm, n, q, p);
		if (!sva_load(&storm->stop)) {
			check_dead(q, 2, sink);
			__atomic_fetch_add(&storm->user[n].deaths, 1,
					   __ATOMIC_RELAXED);
		}
		sva_close(&q[1]);
		sva_close(&q[0]);
	}
	_exit(0);
}

/* How the device goes, and comes back */

static bool unbind_and_bind(const struct slot *slot, unsigned int round)
{
	return driver_write("unbind", slot->name) &&
	       driver_write("bind", slot->name);
}

static bool remove_and_rescan(const struct slot *slot, unsigned int round)
{
	return slot_remove(slot) && pci_rescan();
}

/* Returns false if it is not there */
static bool set_prg_pages(const struct slot *slot)
{
	char path[96], text[16];

	snprintf(path, sizeof(path), "/sys/kernel/debug/svadev/%s/prg_pages",
		 slot->name);
	snprintf(text, sizeof(text), "%u", prg_pages);
	return prg_pages == 1 || write_file(path, text);
}

/* Nobody says that it is gone; the kernel learns of it later */
static bool pull_and_plug(const struct slot *slot, unsigned int round)
{
	if (!slot_set(slot, 0))
		return false;
	usleep(round % 16 * 100);
	return slot_remove(slot) && slot_set(slot, SVADEV_SLOT_PLUG) &&
	       pci_rescan();
}

/* Its RID domain can change only while nobody has it */
static bool change_type(const struct slot *slot, unsigned int round)
{
	const char *type = round % 2 ? "DMA" : "identity";

	if (pci_write(slot->name, "iommu_group/type", type))
		return false;
	return driver_write("unbind", slot->name) &&
	       pci_write(slot->name, "iommu_group/type", type) &&
	       driver_write("bind", slot->name);
}

/* The storm */

static pid_t start_user(struct storm *storm, int n)
{
	pid_t pid = child();

	if (!pid)
		user(storm, device[1], n);
	return pid;
}

static bool all_have_seen(const struct storm *storm)
{
	int i;

	for (i = 0; i < USERS; i++)
		if (sva_load(&storm->user[i].round) != storm->round)
			return false;
	return true;
}

/* What is bound now moves our data */
static bool device_copies(uint8_t *mem, unsigned int seed)
{
	struct sva_queue q;
	bool ok;

	if (sva_open(device[1], &q))
		return false;
	pattern_set(mem, PAGE, seed);
	ok = !madvise(mem + PAGE, PAGE, MADV_DONTNEED) &&
	     sva_copy(&q, mem + PAGE, mem, PAGE) == SVADEV_STATUS_OK &&
	     pattern_is(mem + PAGE, PAGE, seed);
	sva_close(&q);
	return ok;
}

static void storm_rages(struct __test_metadata *_metadata,
			struct machine *before, unsigned int rounds,
			bool (*go)(const struct slot *slot, unsigned int round))
{
	uint8_t *mem = map_pages(2, PROT_READ | PROT_WRITE);
	uint64_t start = sva_now_ms(), deaths = 0;
	struct storm *storm;
	pid_t pid[USERS];
	unsigned int r;
	struct slot slot;
	int i;

	ASSERT_NE(MAP_FAILED, mem);
	storm = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, storm);
	ASSERT_TRUE(slot_init(&slot, device[1]));
	ASSERT_TRUE(set_prg_pages(&slot));

	storm->round = 1;
	for (i = 0; i < USERS; i++)
		pid[i] = start_user(storm, i);

	for (r = 0; r < rounds; r++) {
		int victim = r % 8 ? -1 : r / 8 % USERS;

		ASSERT_TRUE(SOON(all_have_seen(storm)))
			TH_LOG("round %u: not all of the users work", r);
		/* It goes while the device does, by its own way */
		if (victim >= 0)
			ASSERT_EQ(0, kill(pid[victim], SIGKILL));
		ASSERT_TRUE(go(&slot, r))
			TH_LOG("round %u: %s", r, strerror(errno));
		ASSERT_TRUE(set_prg_pages(&slot));
		if (victim >= 0) {
			ASSERT_EQ(1000 + SIGKILL, wait_child(pid[victim]));
			pid[victim] = start_user(storm, victim);
		}
		ASSERT_TRUE(device_copies(mem, r)) TH_LOG("round %u", r);
		__atomic_store_n(&storm->round, r + 2, __ATOMIC_RELAXED);
	}
	ASSERT_TRUE(SOON(all_have_seen(storm)));
	__atomic_store_n(&storm->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < USERS; i++) {
		EXPECT_EQ(0, wait_child(pid[i]));
		deaths += storm->user[i].deaths;
	}
	/* But for those that were killed, each has noticed each time */
	EXPECT_LE(rounds * (USERS - 1), deaths);
	TH_LOG("%u rounds, %lu ms each", rounds,
	       (unsigned long)(sva_now_ms() - start) / (rounds ? rounds : 1));

	ASSERT_TRUE(device_is_quiet(before));
	EXPECT_TRUE(device_copies(mem, rounds));
	munmap(mem, 2 * PAGE);
	munmap(storm, PAGE);
}

TEST_F_TIMEOUT(sva, driver_unbound, STORM_SECONDS)
{
	if (devices < 2)
		SKIP(return, "needs two svadev functions");
	storm_rages(_metadata, &self->before, rounds_of(40), unbind_and_bind);
}

TEST_F_TIMEOUT(sva, device_removed, STORM_SECONDS)
{
	if (devices < 2)
		SKIP(return, "needs two svadev functions");
	storm_rages(_metadata, &self->before, rounds_of(20),
		    remove_and_rescan);
}

TEST_F_TIMEOUT(sva, rid_domain_changed, STORM_SECONDS)
{
	if (devices < 2)
		SKIP(return, "needs two svadev functions");
	storm_rages(_metadata, &self->before, (rounds_of(10) + 1) & ~1u,
		    change_type);
}

static void pull_and_plug_storm(struct __test_metadata *_metadata,
				struct machine *before, unsigned int rounds)
{
	struct sva_counters now;

	/* A device that is gone does not say that its TLB is invalidated */
	if (USES_ATS)
		before->logged = "Invalidation Time-out";
	/* A page response whose wait is aborted is sent again (C7) */
	before->timed_out = USES_ATS;
	storm_rages(_metadata, before, rounds, pull_and_plug);
	ASSERT_EQ(0, sva_counters(device[0], &now));
	if (USES_ATS)
		EXPECT_LT(0, sva_delta(&before->counters, &now,
				       "vtd.dev_tlb.timeout"));
}

TEST_F_TIMEOUT(sva, device_pulled, STORM_SECONDS)
{
	if (devices < 2)
		SKIP(return, "needs two svadev functions");
	pull_and_plug_storm(_metadata, &self->before, rounds_of(30));
}

#ifdef __x86_64__
#define PRG_PAGES	8

static void expect_groups(struct __test_metadata *_metadata,
			  const struct machine *before)
{
	struct sva_counters now;

	ASSERT_EQ(0, sva_counters(device[0], &now));
	EXPECT_LT(sva_delta(&before->counters, &now, "svadev1.pri.group"),
		  sva_delta(&before->counters, &now, "svadev1.pri.req"))
		TH_LOG("no group was of several requests");
}

/* The device asks for all pages of an operation at a time */
TEST_F_TIMEOUT(sva, driver_unbound_groups, STORM_SECONDS)
{
	if (devices < 2)
		SKIP(return, "needs two svadev functions");
	prg_pages = PRG_PAGES;
	storm_rages(_metadata, &self->before, rounds_of(15), unbind_and_bind);
	expect_groups(_metadata, &self->before);
}

TEST_F_TIMEOUT(sva, device_pulled_groups, STORM_SECONDS)
{
	if (devices < 2)
		SKIP(return, "needs two svadev functions");
	prg_pages = PRG_PAGES;
	pull_and_plug_storm(_metadata, &self->before, rounds_of(15));
	expect_groups(_metadata, &self->before);
}
#endif
