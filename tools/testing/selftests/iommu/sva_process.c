// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lives of processes that share their address spaces with devices: fork(),
 * exit, being killed, and one another.
 */
#include "sva_case.h"

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

/* Several processes */

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
