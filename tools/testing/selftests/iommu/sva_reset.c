// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resets of a function that a process uses. While a function level reset is under
 * way, ATS is off in the function, which does not answer invalidations of its
 * TLB; afterwards it has no record of the page requests that it sent before.
 */
#include "sva_case.h"

#define RESETS		5
#define FAULT_RESETS	10
#define RESET_ROUNDS	6
#define PAGES		4
#define FAULT_PAGES	32
#define FAULT_QUEUES	3

static bool reset_function(int number)
{
	char name[SVA_PCI_NAME_LEN];

	return !sva_pci_name(number, name) && pci_write(name, "reset", "1");
}

/* A queue is as it was opened, whatever the reset has left of it */
static bool restart_queue(struct sva_queue *q)
{
	return !ioctl(q->fd, UACCE_CMD_PUT_Q) &&
	       !ioctl(q->fd, UACCE_CMD_START_Q);
}

/* Of all devices and IOMMUs that have a counter with this ending */
static uint64_t counter_grown(const struct machine *before, const char *ending)
{
	size_t len = strlen(ending), n;
	struct sva_counters now;
	uint64_t sum = 0;
	int i;

	if (sva_counters(device[0], &now))
		return UINT64_MAX;
	for (i = 0; i < now.n; i++) {
		n = strlen(now.c[i].name);
		if (n >= len && !strcmp(now.c[i].name + n - len, ending))
			sum += sva_delta(&before->counters, &now,
					 now.c[i].name);
	}
	return sum;
}

/* An SMMU has this counter where functions may have ATS */
static bool has_ats(void)
{
	struct sva_counters now;
	int i;

	if (USES_ATS)
		return true;
	if (sva_counters(device[0], &now))
		return false;
	for (i = 0; i < now.n; i++)
		if (!strcmp(now.c[i].name, "smmu.ats.ok"))
			return true;
	return false;
}

static bool function_works(struct sva_queue *q, unsigned int seed)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);
	bool works;

	if (p == MAP_FAILED)
		return false;
	pattern_set(p, PAGE, seed);
	works = sva_copy(q, p + PAGE, p, PAGE) == SVADEV_STATUS_OK &&
		pattern_is(p + PAGE, PAGE, seed);
	munmap(p, 2 * PAGE);
	return works;
}

/* Memory that another thread takes away */
struct taker {
	uint8_t *p;
	size_t len;
	bool map_over;		/* or MADV_DONTNEED */
	bool stop;
};

static void *take_away(void *arg)
{
	struct taker *t = arg;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		if (!t->map_over)
			CHECK(!madvise(t->p, t->len, MADV_DONTNEED));
		else
			CHECK(mmap(t->p, t->len, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				   0) == t->p);
		/* The device is to have something in its TLB */
		usleep(200);
	}
	return NULL;
}

/* The device fills pages that another thread maps over, and is reset */
TEST_F(sva, reset_while_unmapping)
{
	struct taker t = { .len = PAGES * PAGE, .map_over = true };
	uint64_t timeouts = 0;
	pthread_t thread;
	int round, i;

	if (!has_ats())
		SKIP(return, "without ATS nothing is asked of the function");
	t.p = map_pages(PAGES, PROT_READ | PROT_WRITE);
	ASSERT_NE(MAP_FAILED, t.p);
	ASSERT_EQ(0, pthread_create(&thread, NULL, take_away, &t));
	for (round = 1; round <= RESET_ROUNDS && !timeouts; round++) {
		for (i = 0; i < RESETS; i++) {
			sva_submit(&self->q, &(struct sva_op){
				.op = SVADEV_OP_FILL, .dst = t.p, .value = 1,
				.len = t.len, .hammer_ns = HAMMER_NS });
			usleep(3000);
			ASSERT_TRUE(reset_function(device[0]));
			ASSERT_TRUE(restart_queue(&self->q));
		}
		timeouts = counter_grown(&self->before, "vtd.dev_tlb.timeout") +
			   counter_grown(&self->before, "smmu.atc_inv.timeout");
	}
	__atomic_store_n(&t.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_TRUE(restart_queue(&self->q));
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_TRUE(function_works(&self->q, round));
	munmap(t.p, t.len);
	EXPECT_EQ(0, timeouts)
		TH_LOG("round %d: %lu invalidations sent to a function in reset",
		       round - 1, timeouts);
}

/* The same without a reset */
TEST_F(sva, control_while_unmapping)
{
	struct taker t = { .len = PAGES * PAGE, .map_over = true };
	pthread_t thread;
	int i;

	t.p = map_pages(PAGES, PROT_READ | PROT_WRITE);
	ASSERT_NE(MAP_FAILED, t.p);
	ASSERT_EQ(0, pthread_create(&thread, NULL, take_away, &t));
	for (i = 0; i < RESETS; i++) {
		sva_submit(&self->q, &(struct sva_op){
			.op = SVADEV_OP_FILL, .dst = t.p, .value = 1,
			.len = t.len, .hammer_ns = HAMMER_NS });
		usleep(3000);
		ASSERT_TRUE(restart_queue(&self->q));
	}
	__atomic_store_n(&t.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_TRUE(function_works(&self->q, 1));
	munmap(t.p, t.len);
}

/* It is reset while it waits for pages */
TEST_F(sva, reset_while_faulting)
{
	struct taker t = { .len = FAULT_PAGES * PAGE };
	struct sva_queue q[FAULT_QUEUES];
	uint64_t unexpected = 0;
	pthread_t thread;
	int round, i, j;

	if (!USES_ATS)
		SKIP(return, "without PRI the function sends no page requests");
	t.p = map_pages(FAULT_PAGES, PROT_READ | PROT_WRITE);
	ASSERT_NE(MAP_FAILED, t.p);
	for (i = 0; i < FAULT_QUEUES; i++)
		ASSERT_EQ(0, sva_open(device[1], &q[i]));
	ASSERT_EQ(0, pthread_create(&thread, NULL, take_away, &t));
	for (round = 1; round <= RESET_ROUNDS && !unexpected; round++) {
		for (i = 0; i < FAULT_RESETS; i++) {
			for (j = 0; j < FAULT_QUEUES; j++)
				sva_submit(&q[j], &(struct sva_op){
					.op = SVADEV_OP_FILL, .dst = t.p,
					.value = 1, .len = t.len,
					.hammer_ns = HAMMER_NS });
			usleep(i * 500);
			ASSERT_TRUE(reset_function(device[1]));
			for (j = 0; j < FAULT_QUEUES; j++)
				ASSERT_TRUE(restart_queue(&q[j]));
		}
		unexpected = counter_grown(&self->before, "pri.unexpected");
	}
	__atomic_store_n(&t.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	for (i = 0; i < FAULT_QUEUES; i++)
		ASSERT_TRUE(restart_queue(&q[i]));
	ASSERT_TRUE(device_is_quiet(&self->before));
	for (i = 0; i < FAULT_QUEUES; i++) {
		EXPECT_TRUE(function_works(&q[i], i));
		sva_close(&q[i]);
	}
	munmap(t.p, t.len);
	/* Some come after the last round */
	unexpected = counter_grown(&self->before, "pri.unexpected");
	EXPECT_EQ(0, unexpected)
		TH_LOG("round %d: %lu responses to requests of before a reset",
		       round - 1, unexpected);
}
