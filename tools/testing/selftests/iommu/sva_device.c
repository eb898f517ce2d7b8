// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process may do with a device: queues, operations, arguments, also bad
 * ones, and what becomes of it when the device goes away.
 */
#include "sva_case.h"

#include <sys/uio.h>

/* Queues */

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

/* Next permutation of @order in lexical order. Returns false after the last. */
static bool next_order(int *order, int n)
{
	int i, j, swap;

	for (i = n - 2; i >= 0 && order[i] > order[i + 1]; i--)
		;
	if (i < 0)
		return false;
	for (j = n - 1; order[j] < order[i]; j--)
		;
	swap = order[i];
	order[i] = order[j];
	order[j] = swap;
	for (i++, j = n - 1; i < j; i++, j--) {
		swap = order[i];
		order[i] = order[j];
		order[j] = swap;
	}
	return true;
}

TEST_F(sva, close_in_any_order)
{
	enum { N = 4 };
	int order[N] = { 0, 1, 2, 3 }, i, j;
	uint64_t word = 0, expected = 0;
	struct sva_queue q[N];
	long pasid[N / 2];

	if (devices < 2)
		SKIP(return, "needs two svadev functions");
	/* Nobody else's bind is to keep ours alive */
	sva_close(&self->q);
	do {
		for (i = 0; i < N; i++)
			ASSERT_EQ(0, sva_open(device[i % 2], &q[i]));
		for (i = 0; i < 2; i++) {
			ASSERT_EQ(N / 2, sva_pasids(device[i], getpid(), pasid,
						    N / 2));
			ASSERT_EQ(pasid[0], pasid[1]);
		}
		for (i = 0; i < N; i++) {
			sva_close(&q[order[i]]);
			for (j = i + 1; j < N; j++) {
				ASSERT_EQ(SVADEV_STATUS_OK,
					  sva_fetch_add(&q[order[j]], &word, 1,
							8));
				expected++;
			}
		}
	} while (next_order(order, N));
	EXPECT_EQ(24 * 6, expected);
	EXPECT_EQ(expected, word);
}

/* A thread that has the queue work while another stops and starts it */
struct worker {
	struct sva_queue *q;
	uint64_t *word;
	uint64_t ok, bad;
	bool stop;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		switch (sva_fetch_add(w->q, w->word, 1, 8)) {
		case SVADEV_STATUS_OK:
			w->ok++;
			break;
		case SVADEV_STATUS_DISABLED:
		/* Its registers were cleared before they were all written, */
		case SVADEV_STATUS_INVALID:
		/* or afterwards */
		case SVADEV_STATUS_IDLE:
			break;
		default:
			w->bad++;
		}
	}
	return NULL;
}

TEST_F(sva, queue_stopped_while_used)
{
	uint64_t *word = (void *)map_pages(1, PROT_READ | PROT_WRITE);
	struct worker w = { .q = &self->q, .word = word };
	pthread_t thread;
	uint64_t seen;
	int i;

	ASSERT_NE(MAP_FAILED, word);
	*word = 0;
	ASSERT_EQ(0, pthread_create(&thread, NULL, work, &w));
	for (i = 0; i < 100; i++) {
		usleep(i * 10);
		ASSERT_EQ(0, ioctl(self->q.fd, UACCE_CMD_PUT_Q));
		/* It is off when the call returns */
		seen = sva_load(word);
		usleep(500);
		ASSERT_EQ(seen, sva_load(word));
		ASSERT_EQ(0, ioctl(self->q.fd, UACCE_CMD_START_Q));
	}
	/* A file that is closed lives on in the mapping of the queue */
	ASSERT_EQ(0, close(self->q.fd));
	EXPECT_TRUE(grows(word));
	__atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, w.bad);
	EXPECT_LT(0, w.ok);
	EXPECT_EQ(0, munmap(self->q.page, PAGE));
	self->q.fd = -1;
	munmap(word, PAGE);
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

TEST_F(sva, many_rounds)
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

TEST_F(sva, close_with_dma_in_flight)
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

/*
 * The next owner of a queue must not see its last owner's operations, even
 * before it starts the queue. The lowest free queue is given out next.
 */
static void used_queue(struct __test_metadata *_metadata, struct sva_queue *q)
{
	pid_t pid = child();

	if (!pid) {
		uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);

		CHECK(p != MAP_FAILED);
		CHECK(!sva_open(device[0], q));
		CHECK(sva_copy(q, p, p + PAGE, PAGE) == SVADEV_STATUS_OK);
		CHECK(sva_fetch_add(q, p, 1, 8) == SVADEV_STATUS_OK);
		_exit(0);
	}
	ASSERT_EQ(0, wait_child(pid));
	ASSERT_EQ(0, sva_open_stopped(device[0], q));
}

TEST_F(sva, queue_of_last_owner_is_blank)
{
	unsigned int reg, left = 0;
	struct sva_queue q;

	used_queue(_metadata, &q);
	for (reg = SVADEV_OP; reg <= SVADEV_ROUNDS; reg += 8)
		if (reg != SVADEV_GO && sva_reg_read(&q, reg)) {
			fprintf(stderr, "# register %#x has %#lx\n", reg,
				sva_reg_read(&q, reg));
			left++;
		}
	EXPECT_EQ(0, left) TH_LOG("registers of the last owner can be read");
	sva_close(&q);
}

TEST_F(sva, queue_of_last_owner_is_idle)
{
	struct pollfd p = { .events = POLLIN };
	struct sva_queue q;

	used_queue(_metadata, &q);
	p.fd = q.fd;
	EXPECT_EQ(0, poll(&p, 1, 0))
		TH_LOG("poll() reports a completion of the last owner");
	sva_close(&q);
}

/* The device goes away */

static bool driver_file_write(const char *file, const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/svadev/%s", file);
	return write_file(path, what);
}

static void *sleep_in_poll(void *arg)
{
	struct pollfd *p = arg;

	poll(p, 1, 2 * SVA_TIMEOUT_MS);
	return NULL;
}

TEST_F(sva, driver_unbound_while_in_use)
{
	uint64_t *word = (void *)map_pages(1, PROT_READ | PROT_WRITE);
	char name[SVA_PCI_NAME_LEN], node[32];
	struct pollfd p = { .events = POLLIN };
	pthread_t poller;
	struct sva_queue q;
	int sink[2], all = devices;
	uint64_t seen;

	if (devices < 2)
		SKIP(return, "needs two svadev functions");
	ASSERT_NE(MAP_FAILED, word);
	ASSERT_EQ(0, pipe(sink));
	ASSERT_EQ(0, sva_pci_name(device[1], name));
	snprintf(node, sizeof(node), "/dev/svadev-%d", device[1]);

	ASSERT_EQ(0, sva_open(device[1], &q));
	ASSERT_TRUE(hammer(&q, word));
	p.fd = q.fd;
	ASSERT_EQ(0, pthread_create(&poller, NULL, sleep_in_poll, &p));
	/* Asleep by then, most likely */
	usleep(HAMMER_US);
	ASSERT_TRUE(hammers(&q));

	seen = sva_now_ms();
	ASSERT_TRUE(driver_file_write("unbind", name));
	ASSERT_EQ(0, pthread_join(poller, NULL));
	EXPECT_EQ(POLLERR | POLLHUP, p.revents);
	EXPECT_GT(SVA_TIMEOUT_MS, sva_now_ms() - seen);

	/* It writes no more, and we have no registers to tell it to */
	seen = sva_load(word);
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
	find_devices();
	ASSERT_EQ(all, devices);
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

TEST_F(sva, any_length_and_alignment)
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

TEST_F(sva, atomics_race_the_cpus)
{
	static uint64_t word;
	struct sva_op op = {
		.op = SVADEV_OP_FETCH_ADD, .dst = &word, .value = 1, .len = 8,
		.hammer_ns = 100,
	};
	struct adder a[2] = { { .word = &word }, { .word = &word } };
	int cpu, n = 0, i;
	pthread_t thread[2];
	cpu_set_t all, one;

	ASSERT_EQ(0, sched_getaffinity(0, sizeof(all), &all));
	word = 0;
	ASSERT_TRUE(sva_submit(&self->q, &op));
	for (cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		ASSERT_EQ(0, pthread_create(&thread[n], NULL, add_from_cpu,
					    &a[n]));
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		ASSERT_EQ(0, pthread_setaffinity_np(thread[n], sizeof(one),
						    &one));
		n++;
	}
	/* Each may get going late */
	EXPECT_TRUE(SOON(sva_reg_read(&self->q, SVADEV_ROUNDS) >= 10000 &&
			 sva_load(&a[0].adds) >= 10000 &&
			 sva_load(&a[1].adds) >= 10000));
	for (i = 0; i < n; i++) {
		__atomic_store_n(&a[i].stop, true, __ATOMIC_RELAXED);
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	}
	ASSERT_EQ(SVADEV_STATUS_OK, sva_end_hammer(&self->q));
	EXPECT_EQ(2, n);
	EXPECT_EQ(a[0].adds + a[1].adds + self->q.rounds, word);
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
	ASSERT_EQ(1, poll(&p, 1, 2 * SVA_TIMEOUT_MS));
	EXPECT_EQ(POLLIN, p.revents);
	/* poll() looks once more when its time is over: not what we want */
	EXPECT_GT(SVA_TIMEOUT_MS, sva_now_ms() - start);
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

/* What is no business of a queue's file, and leaves the queue as it is */
TEST_F(sva, bad_file_operations)
{
	char buf[16] = "";
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct sva_queue *q = &self->q;
	int sink[2], copy, nr;
	uint64_t word = 1;

	ASSERT_EQ(0, pipe(sink));
	EXPECT_EQ(-1, read(q->fd, buf, sizeof(buf)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(q->fd, buf, sizeof(buf)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pread(q->fd, buf, sizeof(buf), 1 << 20));
	EXPECT_EQ(-1, pwrite(q->fd, buf, sizeof(buf), -1));
	EXPECT_EQ(-1, readv(q->fd, &iov, 1));
	EXPECT_EQ(-1, writev(q->fd, &iov, 1));
	EXPECT_EQ(-1, lseek(q->fd, PAGE, SEEK_SET));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, splice(q->fd, NULL, sink[1], NULL, PAGE, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, splice(sink[0], NULL, q->fd, NULL, PAGE,
			     SPLICE_F_NONBLOCK));
	EXPECT_EQ(-1, ftruncate(q->fd, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, fallocate(q->fd, 0, 0, PAGE));
	EXPECT_EQ(-1, fsync(q->fd));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, fcntl(q->fd, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_write(q, &word, 2, 8));

	/* Of all the commands of its kind the file knows two, without argument */
	for (nr = 0; nr < 256; nr++) {
		unsigned int cmd = _IO('W', nr);

		if (cmd == UACCE_CMD_START_Q || cmd == UACCE_CMD_PUT_Q)
			continue;
		EXPECT_EQ(-1, ioctl(q->fd, cmd, -1l));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(-1, ioctl(q->fd, _IOWR('W', nr, word), 8l));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(0, ioctl(q->fd, UACCE_CMD_PUT_Q, -1l));
	EXPECT_EQ(0, ioctl(q->fd, UACCE_CMD_PUT_Q, 8l));
	EXPECT_EQ(0, ioctl(q->fd, UACCE_CMD_START_Q, -1l));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_write(q, &word, 3, 8));

	/* One file under two numbers is one queue */
	copy = dup(q->fd);
	ASSERT_LE(0, copy);
	ASSERT_EQ(0, close(q->fd));
	q->fd = copy;
	EXPECT_EQ(-1, ioctl(q->fd, UACCE_CMD_START_Q));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(SVADEV_STATUS_OK, sva_write(q, &word, 4, 8));
	EXPECT_EQ(4, word);
	close(sink[0]);
	close(sink[1]);
}

TEST_F(sva, bad_modes)
{
	static const int modes[] = { O_RDONLY, O_WRONLY };
	char path[32];
	size_t i;
	int fd;

	snprintf(path, sizeof(path), "/dev/svadev-%d", device[0]);
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		fd = open(path, modes[i] | O_CLOEXEC);
		ASSERT_LE(0, fd);
		EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					   MAP_SHARED, fd, 0));
		EXPECT_EQ(EACCES, errno);
		EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED,
					   fd, 0));
		EXPECT_EQ(EACCES, errno);

		/* Where nothing can be written, shared counts as private */
		EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED,
					   fd, 0));
		EXPECT_EQ(modes[i] == O_RDONLY ? EINVAL : EACCES, errno);
		EXPECT_EQ(0, ioctl(fd, UACCE_CMD_START_Q));
		EXPECT_EQ(0, close(fd));
	}
	EXPECT_EQ(-1, open(path, O_RDWR | O_DIRECTORY));
	EXPECT_EQ(ENOTDIR, errno);
	EXPECT_EQ(-1, truncate(path, 0));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(sva, bad_mappings)
{
	struct sva_queue *q = &self->q;
	uint64_t word = 1;
	int sink[2];
	uint8_t *at;
	pid_t pid;

	ASSERT_EQ(0, pipe(sink));
	at = map_pages(4, PROT_NONE);
	ASSERT_NE(MAP_FAILED, at);

	/* It cannot be moved, copied, made larger or given away */
	EXPECT_EQ(MAP_FAILED, mremap(q->page, PAGE, PAGE,
				     MREMAP_MAYMOVE | MREMAP_FIXED, at));
	EXPECT_EQ(EPERM, errno);
	/* nor does trying to make it forget that it is mapped */
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_SHARED, q->fd, 0));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(MAP_FAILED, mremap(q->page, 0, PAGE, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(q->page, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	EXPECT_EQ(-1, madvise(q->page, PAGE, MADV_DONTNEED));
	EXPECT_EQ(-1, madvise(q->page, PAGE, MADV_FREE));
	EXPECT_EQ(-1, madvise(q->page, PAGE, MADV_REMOVE));
	EXPECT_EQ(-1, madvise(q->page, PAGE, MADV_DOFORK));
	EXPECT_EQ(EINVAL, errno);
	madvise(q->page, PAGE, MADV_KEEPONFORK);
	pid = child();
	if (!pid) {
		CHECK(write(sink[1], q->page, 8) == -1 && errno == EFAULT);
		_exit(0);
	}
	EXPECT_EQ(0, wait_child(pid));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_write(q, &word, 2, 8));

	/* The device goes on without it; the CPU has to have it back first */
	ASSERT_TRUE(hammer(q, &word));
	ASSERT_EQ(0, mprotect(q->page, PAGE, PROT_NONE));
	EXPECT_EQ(-1, write(sink[1], q->page, 8));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_TRUE(grows(&word));
	ASSERT_EQ(0, mprotect(q->page, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_end_hammer(q));
	EXPECT_EQ(2 + q->rounds, word);

	/* What is mapped over it takes it away */
	ASSERT_EQ(q->page, mmap(q->page, PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				0));
	EXPECT_EQ(0, sva_reg_read(q, SVADEV_STATUS));
	ASSERT_EQ(0, munmap(q->page, PAGE));
	/* and it takes the place of others */
	q->page = mmap(at + PAGE, PAGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_FIXED, q->fd, 0);
	ASSERT_EQ(at + PAGE, q->page);
	EXPECT_EQ(SVADEV_STATUS_OK, sva_write(q, &word, 7, 8));
	EXPECT_EQ(7, word);
	/* It goes with its neighbours */
	ASSERT_EQ(0, munmap(at, 4 * PAGE));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_SHARED, q->fd, 3));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 0, PROT_READ | PROT_WRITE, MAP_SHARED,
				   q->fd, 0));
	EXPECT_EQ(EINVAL, errno);
	q->page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, q->fd, 0);
	ASSERT_NE(MAP_FAILED, q->page);
	EXPECT_EQ(SVADEV_STATUS_OK, sva_write(q, &word, 8, 8));
	EXPECT_EQ(8, word);
	close(sink[0]);
	close(sink[1]);
}

TEST_F(sva, bad_attributes)
{
	static const char * const names[] = {
		"api", "flags", "available_instances", "algorithms",
		"region_mmio_size", "uevent", "dev",
	};
	static const char * const values[] = {
		"\n", "0", "-1", "4294967296", "garbage", "%s%n",
	};
	long free = sva_sysfs(device[0], "available_instances");
	long flags = sva_sysfs(device[0], "flags");
	uint64_t word = 1;
	char path[96];
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "/sys/class/uacce/svadev-%d/%s",
			 device[0], names[i]);
		for (j = 0; j < ARRAY_SIZE(values); j++)
			EXPECT_FALSE(write_file(path, values[j]));
	}
	EXPECT_EQ(free, sva_sysfs(device[0], "available_instances"));
	EXPECT_EQ(flags, sva_sysfs(device[0], "flags"));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_write(&self->q, &word, 2, 8));
	EXPECT_EQ(2, word);
}

/*
 * The registers of a queue are memory of the process as well. A device that is
 * sent there must not end worse than with a fault.
 */
TEST_F(sva, device_meets_its_registers)
{
	uint8_t *page = self->q.page;
	uint64_t word = 1;

	EXPECT_NE(SVA_STATUS_TIMEOUT, sva_read(&self->q, page, PAGE));
	EXPECT_NE(SVA_STATUS_TIMEOUT, sva_copy(&self->q, &word, page, 8));
	EXPECT_NE(SVA_STATUS_TIMEOUT, sva_write(&self->q, page + SVADEV_GO,
						SVADEV_GO_START, 8));
	EXPECT_NE(SVA_STATUS_TIMEOUT, sva_fill(&self->q, page, 1, PAGE));
	EXPECT_NE(SVA_STATUS_TIMEOUT, sva_fetch_add(&self->q, page + SVADEV_OP,
						    1, 8));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_write(&self->q, &word, 5, 8));
	EXPECT_EQ(5, word);
}
