// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many address spaces: PASIDs come and go, are many, or are used up.
 */
#include "sva_case.h"

TEST_F_TIMEOUT(sva, processes_bind_and_unbind, 1200)
{
	enum { PROCESSES = 4, ROUNDS = 1000 };
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	pid_t pid[PROCESSES];
	int i, j;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < PROCESSES; i++) {
		pid[i] = child();
		if (pid[i])
			continue;
		for (j = 0; j < ROUNDS; j++) {
			struct sva_queue q;

			/* Nobody tells the IOMMU: nothing is bound */
			CHECK(!madvise(p, PAGE, MADV_DONTNEED));
			memset(p, i + 1, PAGE);
			CHECK(!sva_open(device[j % devices], &q));
			CHECK(sva_read(&q, p, PAGE) == SVADEV_STATUS_OK);
			CHECK(q.result == (i + 1) * PAGE);
			sva_close(&q);
		}
		_exit(0);
	}
	for (i = 0; i < PROCESSES; i++)
		EXPECT_EQ(0, wait_child(pid[i]));
	munmap(p, PAGE);
}

/*
 * IOMMUs look PASIDs up in tables of two levels. A leaf of them has 64 entries
 * or 1024 (IHI0070 5.2): go through several of either. A process keeps its PASID
 * when it has closed the device, so that a few queues are enough for many.
 */
#define MANY		1100
#define KEEP_EVERY	90
#define LEAF		64

struct many_report {
	int i;
	long pasid;
};

/* One of the many. Does not return. */
static void one_of_many(int i, int report, int end)
{
	struct many_report r = { .i = i };
	uint64_t word = i;
	struct sva_queue q;
	char c;

	CHECK(!sva_open(device[0], &q));
	CHECK(sva_pasids(device[0], getpid(), &r.pasid, 1) == 1);
	CHECK(sva_fetch_add(&q, &word, MANY, 8) == SVADEV_STATUS_OK);
	CHECK(q.result == (unsigned int)i && word == i + MANY);
	if (i % KEEP_EVERY)
		sva_close(&q);
	CHECK(write(report, &r, sizeof(r)) == sizeof(r));

	/* All the others are there before the end */
	CHECK(read(end, &c, 1) == 0);
	if (!(i % KEEP_EVERY)) {
		CHECK(sva_fetch_add(&q, &word, MANY, 8) == SVADEV_STATUS_OK);
		CHECK(word == i + 2 * MANY);
		sva_close(&q);
	}
	_exit(0);
}

TEST_F_TIMEOUT(sva, more_pasids_than_a_leaf_holds, 1200)
{
	bool *used = calloc(1 << 16, 1), *leaf = calloc(1 << 16, 1);
	int i, report[2], end[2], leaves = 0, kept = 0;
	pid_t *pid = calloc(MANY, sizeof(*pid));
	struct many_report r;
	long highest = 0;

	ASSERT_TRUE(used && leaf && pid);
	ASSERT_LT(MANY / KEEP_EVERY,
		  sva_sysfs(device[0], "available_instances") - 1);
	ASSERT_EQ(0, pipe(report));
	ASSERT_EQ(0, pipe(end));

	for (i = 0; i < MANY; i++) {
		pid[i] = child();
		if (!pid[i]) {
			close(end[1]);
			one_of_many(i, report[1], end[0]);
		}
		/* One after the other: some have to leave a queue for the next */
		ASSERT_EQ((ssize_t)sizeof(r), read(report[0], &r, sizeof(r)));
		ASSERT_EQ(i, r.i);
		ASSERT_LT(0, r.pasid);
		ASSERT_GT(1 << 16, r.pasid);
		ASSERT_FALSE(used[r.pasid]);
		used[r.pasid] = true;
		if (r.pasid > highest)
			highest = r.pasid;
		if (i % KEEP_EVERY)
			continue;
		kept++;
		leaves += !leaf[r.pasid / LEAF];
		leaf[r.pasid / LEAF] = true;
	}
	/* Attached at the same time, to all different leaves */
	EXPECT_EQ(kept, leaves);
	EXPECT_LE(10, leaves);
	EXPECT_LT(1024, highest);

	close(end[1]);
	for (i = 0; i < MANY; i++)
		EXPECT_EQ(0, wait_child(pid[i]));
	free(pid);
	free(leaf);
	free(used);
}

/* PASIDs are used up */

/* A process that binds to a device on command */
struct binder {
	pid_t pid;
	int command[2];
	int answer[2];
};

enum { BIND_NARROW, BIND_WIDE, USE, LEAVE, END };

/* Does not return */
static void bind_on_command(struct binder *b)
{
	struct sva_queue q = { .fd = -1 };
	uint64_t word;
	char command;
	long ret;

	for (;;) {
		CHECK(read(b->command[0], &command, 1) == 1);
		word = getpid();
		switch (command) {
		case BIND_NARROW:
		case BIND_WIDE:
			ret = sva_open(command == BIND_NARROW ? narrow_device :
				       device[0], &q);
			break;
		case USE:
			ret = sva_fetch_add(&q, &word, 1, 8);
			if (ret == SVADEV_STATUS_OK &&
			    word == getpid() + 1ull)
				ret = 0;
			break;
		case LEAVE:
			sva_close(&q);
			ret = 0;
			break;
		default:
			_exit(0);
		}
		CHECK(write(b->answer[1], &ret, sizeof(ret)) == sizeof(ret));
	}
}

static bool binder_start(struct binder *b)
{
	if (pipe(b->command) || pipe(b->answer))
		return false;
	b->pid = child();
	if (!b->pid)
		bind_on_command(b);
	return true;
}

/* 0, a negative errno or a status of the device */
static long binder_tell(struct binder *b, char command)
{
	struct pollfd p = { .fd = b->answer[0], .events = POLLIN };
	long ret;

	if (write(b->command[1], &command, 1) != 1 ||
	    poll(&p, 1, SVA_TIMEOUT_MS) != 1 ||
	    read(b->answer[0], &ret, sizeof(ret)) != sizeof(ret))
		return LONG_MIN;
	return ret;
}

static int binder_end(struct binder *b)
{
	char command = END;
	int i, ret;

	ret = write(b->command[1], &command, 1) == 1 ? wait_child(b->pid) : -1;
	for (i = 0; i < 2; i++) {
		close(b->command[i]);
		close(b->answer[i]);
	}
	return ret;
}

/*
 * A PASID is free when nothing remembers the address space any more. A CPU that
 * idles does: be on each of them in turn.
 */
static long bind_narrow_soon(struct binder *b)
{
	uint64_t end = sva_now_ms() + SVA_TIMEOUT_MS;
	cpu_set_t all, one;
	int cpu = 0;
	long ret;

	sched_getaffinity(0, sizeof(all), &all);
	do {
		do {
			cpu = (cpu + 1) % CPU_SETSIZE;
		} while (!CPU_ISSET(cpu, &all));
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		ret = binder_tell(b, BIND_NARROW);
	} while (ret == -ENOSPC && sva_now_ms() < end);
	sched_setaffinity(0, sizeof(all), &all);
	return ret;
}

TEST_F(sva, pasids_used_up)
{
	long pasids, spare, ret;
	struct binder *b, late;
	int i, n = 0;

	if (narrow_device < 0)
		SKIP(return, "needs an svadev with few PASIDs");
	/* PASID 0 is for nobody */
	pasids = (1 << sva_pasid_bits(narrow_device)) - 1;
	spare = sva_sysfs(narrow_device, "available_instances");
	ASSERT_LE(pasids, spare);
	b = calloc(pasids + 1, sizeof(*b));
	ASSERT_NE(NULL, b);

	/* Whoever has bound before may have one: we, and who started us */
	for (;;) {
		ASSERT_LE(n, pasids);
		ASSERT_TRUE(binder_start(&b[n]));
		ret = binder_tell(&b[n++], BIND_NARROW);
		if (ret)
			break;
		ASSERT_EQ(0, binder_tell(&b[n - 1], USE));
	}
	EXPECT_EQ(-ENOSPC, ret);
	EXPECT_LE(pasids - 2, n - 1);
	EXPECT_EQ(spare - (n - 1),
		  sva_sysfs(narrow_device, "available_instances"));

	/* The last one lost nothing by it. Nor has any of the others. */
	EXPECT_EQ(0, binder_tell(&b[n - 1], BIND_WIDE));
	EXPECT_EQ(0, binder_tell(&b[n - 1], USE));
	for (i = 0; i < n - 1; i++)
		EXPECT_EQ(0, binder_tell(&b[i], USE));

	/* It has a PASID now, but that is too large */
	EXPECT_EQ(0, binder_tell(&b[n - 1], LEAVE));
	EXPECT_EQ(-EOVERFLOW, binder_tell(&b[n - 1], BIND_NARROW));
	EXPECT_EQ(0, binder_tell(&b[n - 1], BIND_WIDE));
	EXPECT_EQ(0, binder_tell(&b[n - 1], USE));

	/* One who has closed the device still has its PASID */
	EXPECT_EQ(0, binder_tell(&b[0], LEAVE));
	ASSERT_TRUE(binder_start(&late));
	EXPECT_EQ(-ENOSPC, binder_tell(&late, BIND_NARROW));
	EXPECT_EQ(0, binder_tell(&b[0], BIND_NARROW));
	EXPECT_EQ(0, binder_tell(&b[0], USE));

	/* It is the end of a process that makes room */
	EXPECT_EQ(0, binder_end(&b[0]));
	EXPECT_EQ(0, bind_narrow_soon(&late));
	EXPECT_EQ(0, binder_tell(&late, USE));

	for (i = 1; i < n; i++) {
		EXPECT_EQ(0, binder_tell(&b[i], USE));
		EXPECT_EQ(0, binder_end(&b[i]));
	}
	EXPECT_EQ(0, binder_end(&late));
	EXPECT_EQ(spare, sva_sysfs(narrow_device, "available_instances"));
	EXPECT_EQ(0, sva_stuck_queues(narrow_device));
	free(b);
}
