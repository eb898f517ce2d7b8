// SPDX-License-Identifier: GPL-2.0-only
/*
 * How processes that share their address spaces with devices end: exit, being
 * killed in all its ways, exec(), and what is left of them.
 */
#include "sva_case.h"

#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>

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
	struct sva_op op[3] = {
		{ .op = SVADEV_OP_FILL, .dst = p, .value = 1, .len = len,
		  .hammer_ns = HAMMER_NS },
		{ .op = SVADEV_OP_COPY, .src = p, .dst = p + len / 2,
		  .len = len / 2, .hammer_ns = HAMMER_NS },
		{ .op = SVADEV_OP_FETCH_ADD, .dst = p + len / 4, .value = 1,
		  .len = 8, .hammer_ns = HAMMER_NS },
	};
	struct sva_queue q[3];
	int i;

	CHECK(p != MAP_FAILED);
	for (i = 0; i < 3; i++) {
		CHECK(!sva_open(device[i % devices], &q[i]));
		CHECK(sva_submit(&q[i], &op[i]));
	}
	for (;;) {
		CHECK(!madvise(p, len, MADV_DONTNEED));
		/* Pages may go faster than the device can use them */
		for (i = 0; i < 3; i++)
			CHECK(sva_busy(&q[i]) ||
			      (sva_wait(&q[i]) == SVADEV_STATUS_RETRIES &&
			       sva_submit(&q[i], &op[i])));
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
	pid_t pid = child();

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

TEST_F(sva, exit_with_dma_in_flight)
{
	uint64_t word = 5;
	int i;

	for (i = 0; i < 10; i++) {
		pid_t pid = child();

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

TEST_F(sva, kill_with_dma_in_flight)
{
	uint64_t word = 5;
	struct gate ready;
	int i;

	ASSERT_TRUE(gate_init(&ready));
	for (i = 0; i < 20; i++) {
		pid_t pid = child();

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

/* No page fault of any device is being served */
static bool faults_are_answered(void)
{
	struct sva_counters now;
	int i;

	if (sva_counters(device[0], &now))
		return false;
	for (i = 0; i < now.n; i++)
		if (now.c[i].val && (strstr(now.c[i].name, ".stall.now") ||
				     strstr(now.c[i].name, ".prq.now")))
			return false;
	return true;
}

/* The mapping that only one process may have is free, and mapped again */
static bool queue_is_mapped(struct sva_queue *q)
{
	q->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, q->fd, 0);
	return q->page != MAP_FAILED || errno != EEXIST;
}

/* Holds the file of a queue whose address space is gone. Does not return. */
static void heir_of_queue(struct sva_queue *q, uint8_t *p, struct gate *go)
{
	struct sva_counters before, after;
	uint8_t *mine;

	CHECK(gate_wait(go));

	/*
	 * What the device was at has ended, and not well. Until the last fault is
	 * answered its handler keeps the address space, and with it the mapping;
	 * then a work item frees them, see mmput_async().
	 */
	CHECK(SOON(faults_are_answered()));
	CHECK(SOON(queue_is_mapped(q)));
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
	CHECK(sva_grown(&before, &after, SVA_EVENTS) == 0);
	CHECK(bytes_are(mine, 4096 * PAGE, 0x99));
	CHECK(bytes_are(p, PAGE, 3));

	/* Not even by starting again */
	CHECK(!ioctl(q->fd, UACCE_CMD_PUT_Q));
	CHECK(!ioctl(q->fd, UACCE_CMD_START_Q));
	CHECK(sva_read(q, p, 8) == SVADEV_STATUS_FAULT);
	sva_close(q);
	_exit(0);
}

/* The device is at @op, and goes on through the exit */
static void file_outlives(struct __test_metadata *_metadata,
			  struct _test_data_sva *self, uint64_t op)
{
	struct gate go;
	pid_t first, heir;
	int heirs[2];

	/* The heir becomes our child when the first one is gone */
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	ASSERT_TRUE(gate_init(&go));
	ASSERT_EQ(0, pipe(heirs));

	first = child();
	if (!first) {
		uint8_t *p = map_pages(BUSY_PAGES, PROT_READ | PROT_WRITE);
		struct sva_queue q;

		CHECK(p != MAP_FAILED);
		memset(p, 3, BUSY_PAGES * PAGE);
		CHECK(!sva_open(device[0], &q));
		CHECK(sva_submit(&q, &(struct sva_op){
			.op = op, .src = p, .dst = p, .value = 3,
			.len = BUSY_PAGES * PAGE, .hammer_ns = HAMMER_NS }));
		CHECK(hammers(&q));
		/* Not child(): this one is to outlive us */
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

TEST_F(sva, file_outlives_process)
{
	file_outlives(_metadata, self, SVADEV_OP_READ);
}

TEST_F(sva, file_outlives_process_written)
{
	file_outlives(_metadata, self, SVADEV_OP_FILL);
}

TEST_F(sva, core_dump_with_dma_in_flight)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	char pattern[256] = "";
	struct gate ready;
	int i, fd, status;
	ssize_t len;

	fd = open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	len = read(fd, pattern, sizeof(pattern) - 1);
	close(fd);
	ASSERT_LT(0, len);
	ASSERT_TRUE(write_file("/proc/sys/kernel/core_pattern",
			       "/tmp/sva-core"));
	ASSERT_TRUE(gate_init(&ready));

	for (i = 0; i < 5; i++) {
		struct stat core = {};
		pid_t pid = child();

		if (!pid) {
			CHECK(!setrlimit(RLIMIT_CORE, &unlimited));
			busy_process(&ready);
		}
		EXPECT_TRUE(gate_wait(&ready));
		EXPECT_EQ(0, kill(pid, SIGSEGV));
		EXPECT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status) && WCOREDUMP(status));
		EXPECT_EQ(0, stat("/tmp/sva-core", &core));
		EXPECT_LT(0, core.st_size);
		unlink("/tmp/sva-core");
		EXPECT_TRUE(queues_are_back(&self->before, 1));
	}
	EXPECT_TRUE(write_file("/proc/sys/kernel/core_pattern", pattern));
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_TRUE(successor_is_alone());
}

#ifndef __NR_process_mrelease
#define __NR_process_mrelease	448
#endif

/*
 * The memory of a process that is being killed can be taken before it comes to
 * exit: by the OOM killer, and by process_mrelease(), which does the same. Here
 * the process waits for its tracer on the way to exit, and so may the device go
 * on for as long as we like.
 */
TEST_F(sva, memory_reaped_with_dma_in_flight)
{
	uint64_t *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct gate ready;
	int i, status;

	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_TRUE(gate_init(&ready));

	for (i = 0; i < 5; i++) {
		uint8_t *spoils;
		uint64_t seen;
		int pidfd;
		pid_t pid;

		*shared = 0;
		pid = child();
		if (!pid) {
			uint8_t *p = map_pages(BUSY_PAGES,
					       PROT_READ | PROT_WRITE);
			struct sva_queue q[2];

			CHECK(p != MAP_FAILED);
			CHECK(!sva_open(device[0], &q[0]));
			CHECK(!sva_open(device[devices - 1], &q[1]));
			CHECK(sva_submit(&q[0], &(struct sva_op){
				.op = SVADEV_OP_FILL, .dst = p, .value = 1,
				.len = BUSY_PAGES * PAGE,
				.hammer_ns = HAMMER_NS }));
			CHECK(hammer(&q[1], shared));
			CHECK(hammers(&q[0]) && hammers(&q[1]));
			CHECK(!ptrace(PTRACE_TRACEME, 0, NULL, NULL));
			raise(SIGSTOP);
			_exit(1);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSTOPPED(status));
		ASSERT_EQ(0, ptrace(PTRACE_SETOPTIONS, pid, NULL,
				    PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL));
		pidfd = syscall(SYS_pidfd_open, pid, 0);
		ASSERT_LE(0, pidfd);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(SIGTRAP | PTRACE_EVENT_EXIT << 8, status >> 8);

		/* Killed, but not gone: the device does not know yet */
		EXPECT_TRUE(grows(shared));

		ASSERT_EQ(0, syscall(__NR_process_mrelease, pidfd, 0));

		/* Its private pages are others' now, and stay what they make */
		spoils = map_pages(4096, PROT_READ | PROT_WRITE);
		ASSERT_NE(MAP_FAILED, spoils);
		memset(spoils, 0x99, 4096 * PAGE);
		usleep(HAMMER_US);
		EXPECT_TRUE(bytes_are(spoils, 4096 * PAGE, 0x99));
		munmap(spoils, 4096 * PAGE);
		ASSERT_TRUE(device_is_quiet(&self->before));

		ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, NULL, NULL));
		EXPECT_EQ(1000 + SIGKILL, wait_child(pid));
		close(pidfd);
		ASSERT_TRUE(queues_are_back(&self->before, 1));
		seen = sva_load(shared);
		usleep(HAMMER_US);
		EXPECT_EQ(seen, sva_load(shared));
	}
	munmap(shared, PAGE);
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_TRUE(successor_is_alone());
}

/* A device works for a process that does not, and has its faults served */
TEST_F(sva, stopped_with_dma_in_flight)
{
	size_t len = 8 * PAGE, i;
	uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct gate ready, go;
	int status;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(gate_init(&ready));
	ASSERT_TRUE(gate_init(&go));
	pid = child();
	if (!pid) {
		struct sva_queue q;

		CHECK(!sva_open(device[0], &q));
		CHECK(sva_submit(&q, &(struct sva_op){
			.op = SVADEV_OP_FILL, .dst = p, .value = 1, .len = len,
			.hammer_ns = HAMMER_NS }));
		CHECK(hammers(&q));
		gate_open(&ready);
		CHECK(gate_wait(&go));
		CHECK(sva_end_hammer(&q) == SVADEV_STATUS_OK);
		sva_close(&q);
		_exit(0);
	}
	ASSERT_TRUE(gate_wait(&ready));
	ASSERT_EQ(0, kill(pid, SIGSTOP));
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));

	for (i = 0; i < 5; i++) {
		/* Taken from both of us; only the device gives it back */
		ASSERT_EQ(0, madvise(p, len, MADV_REMOVE));
		ASSERT_TRUE(SOON(bytes_are(p, len, 1)));
	}
	ASSERT_EQ(0, kill(pid, SIGCONT));
	gate_open(&go);
	EXPECT_EQ(0, wait_child(pid));
	ASSERT_TRUE(device_is_quiet(&self->before));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, len));
	EXPECT_TRUE(bytes_are(p, len, 2));
	munmap(p, len);
}

/* Open, use and close the devices' queues for as long as there is life */
static void *open_and_close(void *arg)
{
	uint64_t *word = arg;
	unsigned int i;

	for (i = 0;; i++) {
		struct sva_queue q;

		if (sva_open(device[i % devices], &q))
			continue;
		CHECK(sva_fetch_add(&q, word, 1, 8) == SVADEV_STATUS_OK);
		sva_close(&q);
	}
	return NULL;
}

TEST_F(sva, killed_at_any_time)
{
	int i;

	for (i = 0; i < 200; i++) {
		pid_t pid = child();

		if (!pid) {
			uint64_t word = 0;

			open_and_close(&word);
		}
		/* From before the first open to somewhere in the third */
		usleep(i * 37 % 200 * 50);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(1000 + SIGKILL, wait_child(pid));
	}
	ASSERT_TRUE(queues_are_back(&self->before, 1));
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_TRUE(successor_is_alone());
}

TEST_F(sva, exit_while_threads_open_and_close)
{
	int i, j;

	for (i = 0; i < 20; i++) {
		pid_t pid = child();

		if (!pid) {
			static uint64_t word[4];
			struct sva_queue q[4];
			pthread_t thread;

			for (j = 0; j < 4; j++) {
				CHECK(!sva_open(device[j % devices], &q[j]));
				CHECK(hammer(&q[j], &word[j]));
			}
			for (j = 0; j < 3; j++)
				CHECK(!pthread_create(&thread, NULL,
						      open_and_close,
						      &word[j]));
			usleep(i * 1000);
			_exit(0);
		}
		ASSERT_EQ(0, wait_child(pid));
		ASSERT_TRUE(queues_are_back(&self->before, 1));
	}
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_TRUE(successor_is_alone());
}

/* What /proc says of the first thread: 'Z' when it has exited */
static char leader_state(void)
{
	char path[64], state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	f = fopen(path, "r");
	CHECK(f);
	CHECK(fscanf(f, "%*d (%*[^)]) %c", &state) == 1);
	fclose(f);
	return state;
}

/* The first thread goes, the address space stays. Does not return. */
static void *outlive_leader(void *arg)
{
	uint8_t *p = map_pages(BUSY_PAGES, PROT_READ | PROT_WRITE);
	struct sva_queue first, second;
	long pasid[2];

	CHECK(p != MAP_FAILED);
	CHECK(!sva_open(device[0], &first));
	CHECK(sva_fill(&first, p, 1, PAGE) == SVADEV_STATUS_OK);

	/* Let the leader go, and see it gone */
	gate_open(arg);
	CHECK(SOON(leader_state() == 'Z'));

	/* Page faults included */
	CHECK(sva_fill(&first, p, 2, BUSY_PAGES * PAGE) == SVADEV_STATUS_OK);
	CHECK(bytes_are(p, BUSY_PAGES * PAGE, 2));
	CHECK(!sva_open(device[0], &second));
	CHECK(sva_read(&second, p, PAGE) == SVADEV_STATUS_OK);
	CHECK(second.result == 2 * PAGE);
	CHECK(sva_pasids(device[0], getpid(), pasid, 2) == 2);
	CHECK(pasid[0] == pasid[1]);
	sva_close(&first);
	CHECK(sva_read(&second, p, PAGE) == SVADEV_STATUS_OK);
	sva_close(&second);
	_exit(0);
}

TEST_F(sva, leader_exits_first)
{
	pid_t pid = child();

	if (!pid) {
		static struct gate go;
		pthread_t thread;

		CHECK(gate_init(&go));
		CHECK(!pthread_create(&thread, NULL, outlive_leader, &go));
		CHECK(gate_wait(&go));
		/* This thread only */
		syscall(SYS_exit, 0);
	}
	EXPECT_EQ(0, wait_child(pid));
}

/* exec() */

/*
 * What the new program does: @argv has the number of the file that it inherits
 * or "-1", an address the old one's device was busy at, and its PASID.
 */
static int after_exec(char **argv)
{
	struct sva_queue old = { .fd = atoi(argv[0]) }, own;
	uint8_t *p = (uint8_t *)strtoul(argv[1], NULL, 16), *mine;
	long pasid[2], old_pasid = atol(argv[2]);
	int i;

	find_devices();
	mine = mmap(p, BUSY_PAGES * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(mine == p);
	memset(mine, 0x99, BUSY_PAGES * PAGE);

	if (old.fd < 0) {
		/* It was closed on the way here */
		CHECK(sva_pasids(device[0], getpid(), pasid, 2) == 0);
	} else {
		CHECK(sva_pasids(device[0], getpid(), pasid, 2) == 1);
		CHECK(pasid[0] == old_pasid);
		old.page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
				old.fd, 0);
		CHECK(old.page != MAP_FAILED);
		CHECK(sva_wait(&old) == SVADEV_STATUS_FAULT);
	}

	CHECK(!sva_open(device[0], &own));
	CHECK(sva_read(&own, p, PAGE) == SVADEV_STATUS_OK);
	CHECK(own.result == 0x99 * PAGE);

	if (old.fd >= 0) {
		/* Which does not bring the old one back to life */
		CHECK(sva_read(&old, p, 8) == SVADEV_STATUS_FAULT);
		CHECK(sva_fill(&old, p, 1, BUSY_PAGES * PAGE) ==
		      SVADEV_STATUS_FAULT);
		CHECK(sva_pasids(device[0], getpid(), pasid, 2) == 2);
		CHECK(pasid[0] != pasid[1]);

		/* Nor does starting it again; and nobody else gets its PASID */
		CHECK(!ioctl(old.fd, UACCE_CMD_PUT_Q));
		CHECK(!ioctl(old.fd, UACCE_CMD_START_Q));
		CHECK(sva_read(&old, p, 8) == SVADEV_STATUS_FAULT);
		for (i = 0; i < 8; i++) {
			pid_t pid = child();

			if (!pid) {
				struct sva_queue q;

				CHECK(!sva_open(device[0], &q));
				CHECK(sva_pasids(device[0], getpid(), pasid,
						 1) == 1);
				CHECK(pasid[0] != old_pasid);
				_exit(0);
			}
			CHECK(!wait_child(pid));
		}
		sva_close(&old);
	}

	CHECK(bytes_are(p, BUSY_PAGES * PAGE, 0x99));
	CHECK(sva_fill(&own, p, 3, BUSY_PAGES * PAGE) == SVADEV_STATUS_OK);
	CHECK(bytes_are(p, BUSY_PAGES * PAGE, 3));
	sva_close(&own);
	return 0;
}

static void __attribute__((constructor)) set_executed(void)
{
	executed = after_exec;
}

/* In a child: have the device at work, then execute after_exec() */
static void exec_with_dma_in_flight(bool keep)
{
	/* Where a new program has nothing */
	uint8_t *p = mmap((void *)0x1000000000, BUSY_PAGES * PAGE,
			  PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			  -1, 0);
	char fd[16], at[32], pasid[32];
	struct sva_queue q;
	long old_pasid;

	CHECK(p != MAP_FAILED);
	CHECK(!sva_open(device[0], &q));
	CHECK(sva_pasids(device[0], getpid(), &old_pasid, 1) == 1);
	CHECK(sva_submit(&q, &(struct sva_op){
		.op = SVADEV_OP_FILL, .dst = p, .value = 1,
		.len = BUSY_PAGES * PAGE, .hammer_ns = HAMMER_NS }));
	CHECK(hammers(&q));

	/* One that fails changes nothing */
	CHECK(execl("/nonexistent", "nothing", NULL) == -1 && errno == ENOENT);
	CHECK(hammers(&q));

	snprintf(fd, sizeof(fd), "%d", keep ? q.fd : -1);
	snprintf(at, sizeof(at), "%lx", (unsigned long)p);
	snprintf(pasid, sizeof(pasid), "%ld", old_pasid);
	if (keep)
		CHECK(!fcntl(q.fd, F_SETFD, 0));
	execl("/proc/self/exe", "sva_end", fd, at, pasid, NULL);
	CHECK(!"it was executed");
}

TEST_F(sva, exec_closes_the_file)
{
	pid_t pid;
	int i;

	for (i = 0; i < 5; i++) {
		pid = child();
		if (!pid)
			exec_with_dma_in_flight(false);
		ASSERT_EQ(0, wait_child(pid));
	}
	ASSERT_TRUE(queues_are_back(&self->before, 1));
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_TRUE(successor_is_alone());
}

TEST_F(sva, exec_keeps_the_file)
{
	pid_t pid;
	int i;

	for (i = 0; i < 5; i++) {
		pid = child();
		if (!pid)
			exec_with_dma_in_flight(true);
		ASSERT_EQ(0, wait_child(pid));
	}
	ASSERT_TRUE(queues_are_back(&self->before, 1));
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_TRUE(successor_is_alone());
}
