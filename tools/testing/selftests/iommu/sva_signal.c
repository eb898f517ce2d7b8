// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls on a device while signals arrive. A program that has asked for
 * its system calls to be restarted (SA_RESTART) must not see EINTR from any of
 * them; one that has not may, and nothing is lost then.
 */
#include "sva_case.h"

#include <sys/time.h>

/* Between two signals: most calls are over by then, some are not */
#define SIGNAL_US	1500

/* Within these a call that can be interrupted has been */
#define SIGNAL_CALLS	200
#define SIGNAL_ROUNDS	10

/*
 * What takes long in a bind are the mappings of the process, each of which is
 * locked. Next to each other, they differ in what they allow.
 */
#define SIGNAL_MAPPINGS	1000

static int signals;

static void on_alarm(int sig)
{
	__atomic_fetch_add(&signals, 1, __ATOMIC_RELAXED);
}

static bool signals_start(int flags)
{
	const struct sigaction action = {
		.sa_handler = on_alarm, .sa_flags = flags,
	};
	const struct itimerval timer = {
		.it_interval.tv_usec = SIGNAL_US,
		.it_value.tv_usec = SIGNAL_US,
	};

	__atomic_store_n(&signals, 0, __ATOMIC_RELAXED);
	return !sigaction(SIGALRM, &action, NULL) &&
	       !setitimer(ITIMER_REAL, &timer, NULL);
}

static int signals_seen(void)
{
	return __atomic_load_n(&signals, __ATOMIC_RELAXED);
}

static bool signals_stop(void)
{
	const struct itimerval none = {};

	return !setitimer(ITIMER_REAL, &none, NULL);
}

static bool many_mappings(void)
{
	uint8_t *p = map_pages(SIGNAL_MAPPINGS, PROT_READ);
	size_t i;

	if (p == MAP_FAILED)
		return false;
	for (i = 0; i < SIGNAL_MAPPINGS; i += 2)
		if (mprotect(p + i * PAGE, PAGE, PROT_NONE))
			return false;
	return true;
}

/*
 * Opens the device again and again, each time binding anew. Returns how often
 * that was interrupted, or -1 if it failed otherwise.
 */
static int opens_interrupted(int rounds)
{
	int i, fd, interrupted = 0;
	char path[32];

	snprintf(path, sizeof(path), "/dev/svadev-%d", device[0]);
	for (i = 0; i < rounds * SIGNAL_CALLS; i++) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0)
			close(fd);
		else if (errno == EINTR)
			interrupted++;
		else
			return -1;
		/* In rounds, for a kernel that hardly ever gets there in one */
		if (interrupted && i % SIGNAL_CALLS == SIGNAL_CALLS - 1) {
			fprintf(stderr, "# round %d: %d of %d interrupted\n",
				i / SIGNAL_CALLS + 1, interrupted, i + 1);
			break;
		}
	}
	return interrupted;
}

TEST_F(sva, open_is_restarted)
{
	int interrupted;

	ASSERT_TRUE(many_mappings());
	sva_close(&self->q);
	ASSERT_TRUE(signals_start(SA_RESTART));
	interrupted = opens_interrupted(SIGNAL_ROUNDS);
	ASSERT_TRUE(signals_stop());
	EXPECT_LT(SIGNAL_CALLS / 10, signals_seen());
	EXPECT_EQ(0, interrupted)
		TH_LOG("open() returns EINTR in spite of SA_RESTART");
}

TEST_F(sva, open_is_interrupted)
{
	uint64_t word = 1;

	ASSERT_TRUE(many_mappings());
	sva_close(&self->q);
	ASSERT_TRUE(signals_start(0));
	EXPECT_LE(0, opens_interrupted(1));
	ASSERT_TRUE(signals_stop());
	EXPECT_LT(SIGNAL_CALLS / 10, signals_seen());
	ASSERT_EQ(0, sva_open(device[0], &self->q));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_write(&self->q, &word, 2, 8));
	EXPECT_EQ(2, word);
}

/* None of these has a reason to wait for anything that takes long */
TEST_F(sva, others_are_restarted)
{
	struct sva_queue *q = &self->q;
	struct pollfd p = { .fd = q->fd, .events = POLLIN };
	uint64_t word;
	int i;

	ASSERT_TRUE(many_mappings());
	ASSERT_TRUE(signals_start(SA_RESTART));
	for (i = 0; i < 5 * SIGNAL_CALLS; i++) {
		ASSERT_EQ(0, ioctl(q->fd, UACCE_CMD_PUT_Q));
		ASSERT_EQ(0, munmap(q->page, PAGE));
		q->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			       q->fd, 0);
		ASSERT_NE(MAP_FAILED, q->page);
		ASSERT_EQ(0, ioctl(q->fd, UACCE_CMD_START_Q));
		ASSERT_EQ(SVADEV_STATUS_OK, sva_write(q, &word, i, 8));
		ASSERT_EQ(i, sva_load(&word));
		ASSERT_EQ(1, poll(&p, 1, 0));
	}
	ASSERT_TRUE(signals_stop());
	EXPECT_LT(SIGNAL_CALLS / 10, signals_seen());
}
