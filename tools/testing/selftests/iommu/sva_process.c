// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that share their address spaces with devices, and one another: what
 * fork() makes of it, what a device reaches, and who may use a queue.
 */
#include "sva_case.h"

#include <sys/socket.h>

/* fork() */

TEST_F(sva, fork_device_writes)
{
	uint64_t *count = (void *)map_pages(1, PROT_READ | PROT_WRITE);
	uint64_t seen;
	int i;

	ASSERT_NE(MAP_FAILED, count);
	*count = 0;
	ASSERT_TRUE(hammer(&self->q, count));
	ASSERT_TRUE(hammers(&self->q));

	for (i = 0; i < 10; i++) {
		pid_t pid = child();

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
		ASSERT_EQ(0, wait_child(pid));
		/* and the device goes on in ours */
		EXPECT_TRUE(grows(count));
	}
	/* Copying the page while the device adds to it must not lose any */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_end_hammer(&self->q));
	EXPECT_EQ(self->q.rounds, sva_load(count));

	ASSERT_TRUE(device_is_quiet(&self->before));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fetch_add(&self->q, count, 1, 8));
	EXPECT_EQ(self->q.result + 1, sva_load(count));
	munmap(count, PAGE);
}

/* Short-lived children of children, each of which makes the pages shared again */
TEST_F(sva, fork_bomb)
{
	enum { WORDS = 4, FORKS = 30 };
	uint64_t *word[WORDS];
	struct sva_queue q[WORDS];
	int i, j;

	for (i = 0; i < WORDS; i++) {
		word[i] = (void *)map_pages(1, PROT_READ | PROT_WRITE);
		ASSERT_NE(MAP_FAILED, word[i]);
		*word[i] = 0;
		ASSERT_EQ(0, sva_open(device[i % devices], &q[i]));
		ASSERT_TRUE(hammer(&q[i], word[i]));
		ASSERT_TRUE(hammers(&q[i]));
	}
	for (i = 0; i < FORKS; i++) {
		pid_t pid = child();

		if (pid) {
			/* We write as well: the pages we get are the device's */
			for (j = 0; j < WORDS; j++)
				__atomic_fetch_add(word[j], 1, __ATOMIC_RELAXED);
			ASSERT_EQ(0, wait_child(pid));
			continue;
		}
		for (j = 0; j < 4; j++) {
			pid = child();
			if (!pid) {
				*word[j % WORDS] = -1000;
				_exit(0);
			}
			*word[(j + 1) % WORDS] = -1000;
		}
		while (wait(NULL) > 0)
			;
		_exit(0);
	}
	for (i = 0; i < WORDS; i++) {
		ASSERT_EQ(SVADEV_STATUS_OK, sva_end_hammer(&q[i]));
		EXPECT_EQ(q[i].rounds + FORKS, sva_load(word[i]));
	}
	ASSERT_TRUE(device_is_quiet(&self->before));
	for (i = 0; i < WORDS; i++) {
		uint64_t seen = sva_load(word[i]);

		ASSERT_EQ(SVADEV_STATUS_OK,
			  sva_fetch_add(&q[i], word[i], 1, 8));
		EXPECT_EQ(seen, q[i].result);
		EXPECT_EQ(seen + 1, sva_load(word[i]));
		sva_close(&q[i]);
		munmap(word[i], PAGE);
	}
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

	pid = child();
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

	pid = child();
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

	pid = child();
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

/* Several processes */

TEST_F(sva, two_processes_one_device)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);
	uint8_t *only_ours = NULL, *only_theirs;
	struct gate ours, theirs;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(gate_init(&ours));
	ASSERT_TRUE(gate_init(&theirs));
	memset(p, 1, 2 * PAGE);

	pid = child();
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

		/* and only we have this one */
		only_theirs = map_pages(1, PROT_READ | PROT_WRITE);
		CHECK(only_theirs != MAP_FAILED);
		if (only_theirs == only_ours)
			only_theirs = map_pages(1, PROT_READ | PROT_WRITE);
		CHECK(sva_fill(&q, only_theirs, 8, PAGE) == SVADEV_STATUS_OK);
		CHECK(write(theirs.fd[1], &only_theirs, sizeof(only_theirs)) ==
		      sizeof(only_theirs));
		CHECK(gate_wait(&ours));
		CHECK(bytes_are(only_theirs, PAGE, 8));
		sva_close(&q);
		_exit(0);
	}

	ASSERT_TRUE(gate_wait(&theirs));
	EXPECT_TRUE(bytes_are(p, 2 * PAGE, 1));
	/* Writable again after fork(): upgrades are another case's concern */
	memset(p, 1, 2 * PAGE);
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
	ASSERT_EQ((ssize_t)sizeof(only_theirs),
		  read(theirs.fd[0], &only_theirs, sizeof(only_theirs)));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, only_theirs, 1));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_write(&self->q, only_theirs, 1, 1));
	gate_open(&ours);

	EXPECT_EQ(0, wait_child(pid));
	EXPECT_TRUE(bytes_are(only_ours, PAGE, 9));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
	EXPECT_EQ(4 * 2 * PAGE, self->q.result);
	munmap(only_ours, PAGE);
	munmap(p, 2 * PAGE);
}

/* The file of a queue, and the address space it stands for */

static bool file_send(int sock, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec byte = { .iov_base = "", .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &byte, .msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(sock, &msg, 0) == 1;
}

/* Returns the file, or -1 */
static int file_receive(int sock)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static void *map_queue(int fd)
{
	return mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

/*
 * Whoever has the file can use the queue, one at a time, and what it reaches is
 * the memory of who opened it. Does not return.
 */
static void user_of_received(int sock, uint8_t *p, struct gate *unmapped,
			     struct gate *used, struct gate *closed)
{
	uint8_t *mine = map_pages(1, PROT_READ | PROT_WRITE);
	struct sva_queue q = {}, own;
	long pasid, openers;

	CHECK(mine != MAP_FAILED);
	memset(p, 2, PAGE);
	memset(mine, 2, PAGE);
	q.fd = file_receive(sock);
	CHECK(q.fd >= 0);

	CHECK(map_queue(q.fd) == MAP_FAILED && errno == EEXIST);
	CHECK(ioctl(q.fd, UACCE_CMD_START_Q) == -1 && errno == EINVAL);
	gate_open(used);
	CHECK(gate_wait(unmapped));
	q.page = map_queue(q.fd);
	CHECK(q.page != MAP_FAILED);

	CHECK(sva_read(&q, p, PAGE) == SVADEV_STATUS_OK);
	CHECK(q.result == PAGE);
	CHECK(sva_fill(&q, p, 3, PAGE) == SVADEV_STATUS_OK);
	CHECK(bytes_are(p, PAGE, 2));
	CHECK(sva_read(&q, mine, 1) == SVADEV_STATUS_FAULT);
	CHECK(sva_write(&q, mine, 1, 1) == SVADEV_STATUS_FAULT);

	/* For our memory we open the device ourselves */
	CHECK(!sva_open(device[0], &own));
	CHECK(sva_pasids(device[0], getpid(), &pasid, 1) == 1);
	CHECK(sva_pasids(device[0], getppid(), &openers, 1) > 0);
	CHECK(pasid != openers);
	CHECK(sva_read(&own, p, PAGE) == SVADEV_STATUS_OK);
	CHECK(own.result == 2 * PAGE);
	CHECK(sva_read(&own, mine, PAGE) == SVADEV_STATUS_OK);
	CHECK(sva_read(&q, p, PAGE) == SVADEV_STATUS_OK);
	CHECK(q.result == 3 * PAGE);

	/* Starting the other's does not make it ours: its opener bound it */
	CHECK(!ioctl(q.fd, UACCE_CMD_PUT_Q));
	CHECK(!ioctl(q.fd, UACCE_CMD_START_Q));
	CHECK(sva_read(&q, p, PAGE) == SVADEV_STATUS_OK);
	CHECK(q.result == 3 * PAGE);
	sva_close(&own);
	gate_open(used);

	/* The opener has closed all it had */
	CHECK(gate_wait(closed));
	CHECK(sva_fill(&q, p, 4, PAGE) == SVADEV_STATUS_OK);
	CHECK(bytes_are(p, PAGE, 2));
	sva_close(&q);
	_exit(0);
}

TEST_F(sva, file_passed_on)
{
	struct gate unmapped, used, closed;
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	int sock[2];
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(gate_init(&unmapped));
	ASSERT_TRUE(gate_init(&used));
	ASSERT_TRUE(gate_init(&closed));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	memset(p, 1, PAGE);

	pid = child();
	if (!pid) {
		/* Only what we are sent */
		close(self->q.fd);
		user_of_received(sock[1], p, &unmapped, &used, &closed);
	}
	ASSERT_TRUE(file_send(sock[0], self->q.fd));
	ASSERT_TRUE(gate_wait(&used));
	ASSERT_EQ(0, munmap(self->q.page, PAGE));
	/* Writable again after fork(): upgrades are another case's concern */
	memset(p, 1, PAGE);
	gate_open(&unmapped);
	ASSERT_TRUE(gate_wait(&used));
	EXPECT_TRUE(bytes_are(p, PAGE, 3));
	ASSERT_EQ(0, close(self->q.fd));
	self->q.fd = -1;
	gate_open(&closed);
	EXPECT_EQ(0, wait_child(pid));
	EXPECT_TRUE(bytes_are(p, PAGE, 4));
	munmap(p, PAGE);
}

/* A process that lives in the address space of another */
struct tenant {
	struct sva_queue q;
	uint64_t *word;
	pid_t owner;
	bool done;
};

static int tenant(void *arg)
{
	struct tenant *t = arg;
	long mine, owners;

	CHECK(!sva_open(device[0], &t->q));
	CHECK(sva_pasids(device[0], getpid(), &mine, 1) == 1);
	CHECK(sva_pasids(device[0], t->owner, &owners, 1) == 1);
	CHECK(mine == owners);
	CHECK(hammer(&t->q, t->word));
	t->done = true;
	_exit(0);
}

TEST_F(sva, address_space_shared)
{
	struct tenant t = { .owner = getpid() };
	size_t stack = 64 * PAGE;
	uint8_t *s = map_pages(64, PROT_READ | PROT_WRITE);
	uint64_t mine = 0;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, s);
	t.word = (void *)map_pages(1, PROT_READ | PROT_WRITE);
	ASSERT_NE(MAP_FAILED, t.word);

	/* As vfork(), which must not call functions */
	pid = clone(tenant, s + stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &t);
	ASSERT_LT(0, pid);
	ASSERT_EQ(0, wait_child(pid));
	ASSERT_TRUE(t.done);

	/*
	 * The tenant is gone. Its file was closed, but the mapping of the queue
	 * is in our address space, which the device goes on using.
	 */
	EXPECT_TRUE(hammers(&t.q));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fetch_add(&self->q, &mine, 1, 8));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_end_hammer(&t.q));
	EXPECT_EQ(t.q.rounds, sva_load(t.word));
	ASSERT_EQ(0, munmap(t.q.page, PAGE));
	ASSERT_TRUE(queues_are_back(&self->before, 1));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fetch_add(&self->q, &mine, 1, 8));
	EXPECT_EQ(2, mine);
	munmap(t.word, PAGE);
	munmap(s, stack);
}
