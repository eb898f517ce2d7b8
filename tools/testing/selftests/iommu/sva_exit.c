// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process exits while a device reads a page of it, and another process has
 * the file of the queue. The page is freed then, and used by others at once. The
 * device only reads: what it reaches in vain may be memory of the kernel.
 */
#include "sva_case.h"

/* Whether a cached translation outlives its page is a race: until it shows */
#define ROUNDS		30
#define SPOILS		4096
#define SPOILS_BYTE	0x99
#define READ_BYTES	64

/* What became of the device's access to the page of a process that has exited */
enum outcome {
	ENDED,			/* by a fault */
	GOES_ON,
	READS_OTHERS,
	FAILED,			/* the case could not find out */
};

static const char *const outcome_names[] = {
	[GOES_ON] = "the device reads a page after its process has exited",
	[READS_OTHERS] = "the device reads memory of another process after its own has exited",
	[FAILED] = "the outcome could not be seen",
};

/* Has the queue, but not the page. Does not return. */
static void watch(struct sva_queue *q, uint8_t *p, struct gate *go)
{
	enum outcome outcome = ENDED;
	uint8_t *spoils;

	if (!gate_wait(go))
		_exit(FAILED);
	q->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, q->fd,
		       0);
	spoils = map_pages(SPOILS, PROT_READ | PROT_WRITE);
	if (q->page == MAP_FAILED || spoils == MAP_FAILED)
		_exit(FAILED);
	memset(spoils, SPOILS_BYTE, SPOILS * PAGE);
	usleep(HAMMER_US);

	if (sva_busy(q) && sva_end_hammer(q) == SVADEV_STATUS_OK)
		outcome = GOES_ON;
	if (sva_read(q, p, READ_BYTES) == SVADEV_STATUS_OK)
		outcome = q->result == SPOILS_BYTE * READ_BYTES ?
			  READS_OTHERS : GOES_ON;
	sva_close(q);
	_exit(outcome);
}

/* The page is there, and the device reads it, only if @busy. Does not return. */
static void open_and_exit(struct gate *go, int watchers, bool busy)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	struct sva_queue q;
	pid_t watcher;

	CHECK(p != MAP_FAILED);
	if (busy)
		memset(p, 3, PAGE);
	CHECK(!madvise(p, PAGE, MADV_DONTFORK));
	CHECK(!sva_open(device[0], &q));
	if (busy)
		CHECK(sva_submit(&q, &(struct sva_op){
			.op = SVADEV_OP_READ, .src = p, .len = READ_BYTES,
			.hammer_ns = HAMMER_NS }));
	/* Not child(): this one is to outlive us */
	watcher = fork();
	if (!watcher)
		watch(&q, p, go);
	CHECK(write(watchers, &watcher, sizeof(watcher)) == sizeof(watcher));
	if (busy)
		CHECK(hammers(&q));
	_exit(0);
}

static void exits(struct __test_metadata *_metadata,
		  struct _test_data_sva *self, bool busy, int rounds)
{
	int watchers[2], i, outcome = ENDED;
	struct gate go;
	pid_t watcher;

	/* The watcher becomes our child when the other one is gone */
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	ASSERT_TRUE(gate_init(&go));
	ASSERT_EQ(0, pipe(watchers));

	for (i = 1; i <= rounds && outcome == ENDED; i++) {
		pid_t pid = child();

		if (!pid)
			open_and_exit(&go, watchers[1], busy);
		ASSERT_EQ(0, wait_child(pid));
		ASSERT_EQ((ssize_t)sizeof(watcher),
			  read(watchers[0], &watcher, sizeof(watcher)));
		gate_open(&go);
		outcome = wait_child(watcher);
		ASSERT_TRUE(queues_are_back(&self->before, 1));
	}
	/* Until the process has exited, hits may be stale that are not in vain */
	ASSERT_TRUE(device_is_quiet(&self->before));
	ASSERT_LE(ENDED, outcome);
	ASSERT_GE(FAILED, outcome);
	EXPECT_EQ(ENDED, outcome)
		TH_LOG("%s, in round %d", outcome_names[outcome], i - 1);
}

TEST_F(sva, exit_frees_what_the_device_reads)
{
	exits(_metadata, self, true, ROUNDS);
}

/* A page that was never there is not brought into a dead mm */
TEST_F(sva, exit_ends_the_serving_of_faults)
{
	exits(_metadata, self, false, 1);
}
