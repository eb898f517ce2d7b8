// SPDX-License-Identifier: GPL-2.0-only
/*
 * What sharing an address space costs, in commands that the IOMMU is given and
 * in how many of them the CPU waits for. Both are counted by the emulator, so
 * they are the same on any host.
 *
 * What a process does by the way may cost too: a page of its own that it writes
 * for the first time after fork() is one more invalidation. So each operation
 * is done several times, and the least is what counts.
 */
#include "sva_case.h"

#define ROUNDS	10

struct cost {
	uint64_t commands;
	uint64_t waits;
};

/* The least that has been seen so far */
struct measure {
	struct sva_counters before;
	struct cost least;
};

static bool measure_begin(struct measure *m)
{
	return !sva_counters(device[0], &m->before);
}

static bool measure_end(struct measure *m)
{
	struct sva_counters after;
	struct cost now;

	if (sva_counters(device[0], &after))
		return false;
	now.commands = sva_grown(&m->before, &after, SVA_CMD_ALL);
	now.waits = sva_grown(&m->before, &after, SVA_CMD_WAIT);
	if (now.commands < m->least.commands)
		m->least = now;
	return true;
}

#define MEASURE	((struct measure){ .least = { UINT64_MAX, UINT64_MAX } })

/*
 * What an operation costs, in commands and waits: on an SMMUv3 without ATS, and
 * on VT-d with the TLB of a device. A change that makes something cheaper lowers
 * these, so that it stays so.
 */
struct limit {
	const char *name;
	struct cost smmu;
	struct cost vtd;
};

static bool within(const struct measure *m, const struct limit *l)
{
	bool smmu = sva_counter(&m->before, "smmu.cmd.sync");
	const struct cost *most = smmu ? &l->smmu : &l->vtd;

	/* The runner shows these lines */
	printf("# cost: %-34s %4lu commands, %3lu waits\n", l->name,
	       m->least.commands, m->least.waits);
	return (smmu || sva_counter(&m->before, "vtd.cmd.wait")) &&
	       !m->least.waits == !most->waits &&
	       m->least.commands <= most->commands &&
	       m->least.waits <= most->waits;
}

/*
 * The file is bound when it is opened, and unbound when it is closed. With the
 * first bind of an mm its domain is made, with the last unbind it goes.
 */
TEST_F(sva, bind_and_unbind)
{
	static const struct limit
		bind_limit = { "bind", { 2, 1 }, { 0, 0 } },
		unbind_limit = { "unbind", { 4, 2 }, { 8, 2 } };
	struct measure bind = MEASURE, unbind = MEASURE;
	char path[32];
	int i, fd;

	snprintf(path, sizeof(path), "/dev/svadev-%d", device[0]);
	sva_close(&self->q);
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(measure_begin(&bind));
		fd = open(path, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, fd);
		ASSERT_TRUE(measure_end(&bind));

		ASSERT_TRUE(measure_begin(&unbind));
		ASSERT_EQ(0, close(fd));
		ASSERT_TRUE(measure_end(&unbind));
	}
	EXPECT_TRUE(within(&bind, &bind_limit));
	EXPECT_TRUE(within(&unbind, &unbind_limit));
}

/* Aligned to its size: what is not takes more commands */
static bool munmap_used(struct measure *m, struct sva_queue *q, size_t pages)
{
	size_t len = pages * PAGE;
	uint8_t *p = map_pages(2 * pages, PROT_READ | PROT_WRITE);

	if (p == MAP_FAILED)
		return false;
	p += -(uintptr_t)p % len;
	if (madvise(p, len, MADV_NOHUGEPAGE))
		return false;
	memset(p, 1, len);
	if (sva_read(q, p, len) != SVADEV_STATUS_OK)
		return false;
	return measure_begin(m) && !munmap(p, len) && measure_end(m);
}

TEST_F(sva, munmap_one_page)
{
	static const struct limit limit = {
		"munmap() of a page", { 4, 2 }, { 6, 2 }
	};
	struct measure m = MEASURE;
	int i;

	for (i = 0; i < ROUNDS; i++)
		ASSERT_TRUE(munmap_used(&m, &self->q, 1));
	EXPECT_TRUE(within(&m, &limit));
}

TEST_F(sva, munmap_512_pages)
{
	static const struct limit limit = {
		"munmap() of 512 pages", { 6, 3 }, { 6, 2 }
	};
	struct measure m = MEASURE;
	int i;

	for (i = 0; i < ROUNDS; i++)
		ASSERT_TRUE(munmap_used(&m, &self->q, 512));
	EXPECT_TRUE(within(&m, &limit));
}

/* A process that is killed: its tables go before its file does */
TEST_F(sva, exit_and_unbind)
{
	static const struct limit limit = {
		"exit, then unbind", { 6, 3 }, { 12, 3 }
	};
	struct measure m = MEASURE;
	struct gate ready;
	struct sva_queue q;
	pid_t pid;
	int i;

	/* What we write after a fork() is not to be counted */
	sva_close(&self->q);
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(gate_init(&ready));
		pid = child();
		if (!pid) {
			CHECK(!sva_open(device[1], &q));
			gate_open(&ready);
			for (;;)
				pause();
		}
		ASSERT_TRUE(gate_wait(&ready));
		/* gate_open() may still be writing its stack */
		usleep(10000);
		ASSERT_TRUE(measure_begin(&m));
		kill(pid, SIGKILL);
		ASSERT_EQ(1000 + SIGKILL, wait_child(pid));
		ASSERT_TRUE(queues_are_back(&self->before, 0));
		ASSERT_TRUE(measure_end(&m));
		close(ready.fd[0]);
		close(ready.fd[1]);
	}
	EXPECT_TRUE(within(&m, &limit));
}
