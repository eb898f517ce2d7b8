// SPDX-License-Identifier: GPL-2.0-only
/*
 * A memory cgroup of version 1 whose OOM killer is off, and which is full: the
 * device's accesses fail for the processes in it, and for no others.
 */
#include "sva_case.h"
#include "sva_memcg.h"

#define FULL_LIMIT	(4l << 20)
#define FULL_PAGES	4096

/* What makes room for others, at their limits, by writing it to swap space */
#define OTHERS		2
#define OTHER_LIMIT	(4l << 20)
#define OTHER_PAGES	2048
#define OTHER_ROUNDS	3

#define CHUNK		64

static bool cgroup1_ready(void)
{
	mkdir(MEMCG_MOUNT, 0755);
	return !mount("cgroup", MEMCG_MOUNT, "cgroup", 0, "memory") ||
	       errno == EBUSY;
}

/* What the processes share */
struct shared {
	uint64_t stop;
	uint64_t refused;	/* accesses of the process in the full cgroup */
	uint64_t done;		/* accesses of the others, */
	uint64_t failed;	/* and those of them that failed */
};

/* In a child: the device fills more memory than there may be */
static void fill_cgroup(struct shared *shared)
{
	uint8_t *p = map_pages(FULL_PAGES, PROT_READ | PROT_WRITE);
	struct sva_queue q;
	size_t i;

	CHECK(p != MAP_FAILED);
	CHECK(!sva_open(device[0], &q));
	CHECK(memcg_join("full"));
	for (i = 0; !sva_load(&shared->stop); i = (i + 1) % FULL_PAGES)
		if (sva_write(&q, p + i * PAGE, 1, 1) != SVADEV_STATUS_OK)
			__atomic_fetch_add(&shared->refused, 1,
					   __ATOMIC_RELAXED);
	_exit(0);
}

/* In a child: a cgroup that is at its limit as well, but may write to swap */
static void other_process(struct shared *shared, const char *name)
{
	uint8_t *p = map_pages(OTHER_PAGES, PROT_READ | PROT_WRITE);
	struct sva_queue q;
	size_t i, round;

	CHECK(p != MAP_FAILED);
	CHECK(!sva_open(device[1], &q));
	CHECK(memcg_join(name));
	for (round = 0; round < OTHER_ROUNDS; round++) {
		for (i = 0; i < OTHER_PAGES; i += CHUNK) {
			__atomic_fetch_add(&shared->done, 1, __ATOMIC_RELAXED);
			if (sva_fill(&q, p + i * PAGE, round, CHUNK * PAGE) !=
			    SVADEV_STATUS_OK)
				__atomic_fetch_add(&shared->failed, 1,
						   __ATOMIC_RELAXED);
		}
	}
	sva_close(&q);
	_exit(0);
}

static void others_beside(struct __test_metadata *_metadata,
			  struct _test_data_sva *self, bool full)
{
	struct shared *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t other[OTHERS], pid = 0;
	char name[16];
	int i;

	if (devices < 2)
		SKIP(return, "needs two svadev functions");
	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_TRUE(cgroup1_ready());
	ASSERT_TRUE(swap_on());
	if (full) {
		ASSERT_TRUE(memcg_make("full"));
		ASSERT_TRUE(memcg_write("full", "memory.swappiness", 0));
		ASSERT_TRUE(memcg_write("full", "memory.limit_in_bytes",
					FULL_LIMIT));
		ASSERT_TRUE(memcg_write("full", "memory.oom_control", 1));
		pid = child();
		if (!pid)
			fill_cgroup(shared);
		ASSERT_TRUE(SOON(sva_load(&shared->refused) > 3));
	}
	for (i = 0; i < OTHERS; i++) {
		snprintf(name, sizeof(name), "other%d", i);
		ASSERT_TRUE(memcg_make(name));
		ASSERT_TRUE(memcg_write(name, "memory.limit_in_bytes",
					OTHER_LIMIT));
		other[i] = child();
		if (!other[i])
			other_process(shared, name);
	}
	for (i = 0; i < OTHERS; i++)
		EXPECT_EQ(0, wait_child(other[i]));
	__atomic_store_n(&shared->stop, 1, __ATOMIC_RELAXED);
	if (full) {
		/* It may be waiting for memory by itself */
		EXPECT_TRUE(memcg_write("full", "memory.limit_in_bytes", -1));
		EXPECT_EQ(0, wait_child(pid));
		EXPECT_TRUE(memcg_remove("full"));
	}
	/* Pages were reclaimed that the device was using */
	EXPECT_TRUE(device_is_quiet(&self->before));
	for (i = 0; i < OTHERS; i++) {
		snprintf(name, sizeof(name), "other%d", i);
		EXPECT_TRUE(memcg_remove(name));
	}
	EXPECT_TRUE(swap_off());
	EXPECT_EQ(0, shared->failed)
		TH_LOG("%lu of %lu accesses of other processes failed",
		       shared->failed, shared->done);
	munmap(shared, PAGE);
}

/* Control */
TEST_F(sva, others_at_their_limits)
{
	others_beside(_metadata, self, false);
}

TEST_F(sva, others_beside_a_full_cgroup)
{
	others_beside(_metadata, self, true);
}
