// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory management that runs at the same time as a device: pages that migrate
 * or are reclaimed while their mapping changes, huge pages that are split or
 * become writable, and pages whose accesses are tracked.
 */
#include "sva_case.h"
#include "sva_memcg.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#endif

#define BOUND_MS	4000	/* for a race to show itself */
#define HUGE		(2ul << 20)

static long number_in(const char *path)
{
	FILE *f = fopen(path, "r");
	long val = -1;

	if (f && fscanf(f, "%ld", &val) != 1)
		val = -1;
	if (f)
		fclose(f);
	return val;
}

/* Of huge pages, until one is clean */
#define SPLITS		8

static bool two_nodes(void)
{
	return !access("/sys/devices/system/node/node1", F_OK);
}

/* Room for huge pages, aligned */
static uint8_t *map_aligned(size_t len)
{
	uint8_t *p = mmap(NULL, len + HUGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return p;
	p = (uint8_t *)(((uintptr_t)p + HUGE - 1) / HUGE * HUGE);
	return mprotect(p, len, PROT_READ | PROT_WRITE) ? MAP_FAILED : p;
}

/* Two translations of one address */

/*
 * A huge page that the device has read, and that is clean, is split where two
 * mappings meet. Nothing is invalidated for that. A write needs another walk,
 * which finds the small page.
 */
static void split_clean(struct __test_metadata *_metadata,
			struct _test_data_sva *self)
{
	uint8_t *p = map_aligned(HUGE);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, HUGE, MADV_HUGEPAGE));
	memset(p, 1, HUGE);
	ASSERT_TRUE(write_file("/proc/sys/vm/compact_memory", "1"));
	ASSERT_EQ(0, madvise(p, HUGE, MADV_FREE));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, HUGE));
	EXPECT_EQ(HUGE, self->q.result);
	ASSERT_EQ(0, madvise(p + HUGE / 2 + PAGE, PAGE, MADV_DONTFORK));
	for (i = 0; i < 512; i += 16)
		ASSERT_EQ(SVADEV_STATUS_OK,
			  sva_write(&self->q, p + i * PAGE, 2, 1));
	for (i = 0; i < 512; i++)
		ASSERT_EQ(i % 16 ? 1 : 2, p[i * PAGE]);
	munmap(p, HUGE);
}

/* A device with ATS may ask for permission to write: the page is not clean then */
TEST_F(sva, split_leaves_no_conflict)
{
	const char *name = USES_ATS ? "vtd.conflict.tlb" : "smmu.conflict.tlb";
	struct sva_counters now;
	uint64_t conflicts = 0;
	int round;

	if (!sva_counter(&self->before.counters, name))
		SKIP(return, "the emulator does not count conflicts in its TLB");
	for (round = 0; round < SPLITS && !conflicts; round++) {
		split_clean(_metadata, self);
		ASSERT_EQ(0, sva_counters(device[0], &now));
		conflicts = sva_delta(&self->before.counters, &now, name);
	}
	EXPECT_EQ(0, conflicts)
		TH_LOG("%lu translations of an address that has another of a different size",
		       conflicts);
}

/* Upgrades */

/* The CPU writes to pages that the device has read, and then the device does */
static void written_by_both(struct __test_metadata *_metadata,
			    struct _test_data_sva *self, uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i += PAGE)
		p[i] = 2;
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 3, len))
		TH_LOG("%s after %lu faults", sva_status_name(self->q.status),
		       self->q.faults);
	EXPECT_TRUE(bytes_are(p, len, 3));
	EXPECT_GE(len / PAGE, self->q.faults);
	munmap(p, len);
}

/*
 * Memory becomes writable, the device sees that it is clean, and the CPU writes
 * to all of it. Where hardware manages the dirty state no kernel code runs then.
 */
static void upgrade(struct __test_metadata *_metadata,
		    struct _test_data_sva *self, uint8_t *p, size_t len)
{
	ASSERT_EQ(0, mprotect(p, len, PROT_READ));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, len));
	ASSERT_EQ(SVADEV_STATUS_FAULT, sva_write(&self->q, p, 1, 1));
	ASSERT_EQ(0, mprotect(p, len, PROT_READ | PROT_WRITE));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, len));
	written_by_both(_metadata, self, p, len);
}

static void upgrade_hugetlb(struct __test_metadata *_metadata,
			    struct _test_data_sva *self, size_t kb)
{
	char path[96];
	uint8_t *p;

	snprintf(path, sizeof(path), HUGEPAGES "%zukB/nr_hugepages", kb);
	if (access(path, F_OK))
		SKIP(return, "there are no huge pages of %zu KiB here", kb);
	ASSERT_TRUE(write_file(path, "1"));
	/* The device is the first to touch it, and does so reading */
	p = mmap(NULL, kb * 1024, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_HUGETLB | __builtin_ctzl(kb * 1024) << MAP_HUGE_SHIFT, -1,
		 0);
	ASSERT_NE(MAP_FAILED, p);
	upgrade(_metadata, self, p, kb * 1024);
	EXPECT_TRUE(write_file(path, "0"));
}

TEST_F(sva, upgrade_hugetlb_contiguous)
{
	upgrade_hugetlb(_metadata, self, 64);
}

TEST_F(sva, upgrade_hugetlb)
{
	upgrade_hugetlb(_metadata, self, 2048);
}

TEST_F(sva, upgrade_huge_page)
{
	uint8_t *p = map_aligned(HUGE);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, HUGE, MADV_HUGEPAGE));
	memset(p, 1, HUGE);
	upgrade(_metadata, self, p, HUGE);
}

/*
 * Shared memory that the device reads first is clean, and writable to the CPU.
 * Where hardware manages the dirty state no fault makes it dirty when the CPU
 * writes, and the next write of the device finds nothing to be done.
 */
TEST_F(sva, upgrade_by_hardware)
{
	size_t len = 16 * PAGE;
	uint8_t *p;

	p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, len));
	written_by_both(_metadata, self, p, len);
}

/* Several IOMMUs */

/* A device behind another IOMMU than the first one, -1 if there is none */
static int device_elsewhere(void)
{
	char first[SVA_PCI_NAME_LEN], name[SVA_PCI_NAME_LEN];
	int i;

	if (sva_iommu(device[0], first))
		return -1;
	for (i = 1; i < devices; i++)
		if (!sva_iommu(device[i], name) && strcmp(name, first))
			return device[i];
	return -1;
}

/* An address space that two IOMMUs have cached is invalidated in both */
TEST_F(sva, two_iommus)
{
	struct sva_queue other, *q[] = { &self->q, &other };
	size_t i, round, len = 4 * PAGE;
	int number = device_elsewhere();
	uint8_t *p, *again;

	if (number < 0)
		SKIP(return, "all devices are behind one IOMMU");
	ASSERT_EQ(0, sva_open(number, &other));
	for (round = 0; round < 8; round++) {
		p = map_pages(4, PROT_READ | PROT_WRITE);
		ASSERT_NE(MAP_FAILED, p);
		for (i = 0; i < ARRAY_SIZE(q); i++) {
			ASSERT_EQ(SVADEV_STATUS_OK,
				  sva_fill(q[i], p, i + 1, len));
			EXPECT_TRUE(bytes_are(p, len, i + 1));
		}

		ASSERT_EQ(0, mprotect(p, len, PROT_READ));
		for (i = 0; i < ARRAY_SIZE(q); i++) {
			EXPECT_EQ(SVADEV_STATUS_FAULT,
				  sva_write(q[i], p + PAGE, 9, 1))
				TH_LOG("device %lu writes what is read-only",
				       i);
			ASSERT_EQ(SVADEV_STATUS_OK, sva_read(q[i], p, len));
		}

		ASSERT_EQ(0, munmap(p, len));
		for (i = 0; i < ARRAY_SIZE(q); i++) {
			EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(q[i], p, 1))
				TH_LOG("device %lu reads what was unmapped", i);
		}

		again = mmap(p, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			     MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		ASSERT_EQ(p, again);
		memset(p, 7, len);
		for (i = 0; i < ARRAY_SIZE(q); i++) {
			ASSERT_EQ(SVADEV_STATUS_OK, sva_read(q[i], p, len));
			EXPECT_EQ(7 * len, q[i]->result);
		}

		/* With one of them left, either */
		sva_close(q[round % 2]);
		ASSERT_EQ(0, munmap(p, len));
		EXPECT_EQ(SVADEV_STATUS_FAULT,
			  sva_read(q[!(round % 2)], p, 1));
		ASSERT_EQ(0, sva_open(round % 2 ? number : device[0],
				      q[round % 2]));
	}
	sva_close(&other);
}

/* Movers of pages: threads that go on until they are stopped */

struct mover {
	uint8_t *p;
	size_t pages;
	uint64_t moved;
	bool stop;
};

static bool mover_stopped(struct mover *m)
{
	return __atomic_load_n(&m->stop, __ATOMIC_RELAXED);
}

#define MOVES		16

/*
 * From node to node and back. Many moves in a call, which has the pages of all
 * CPUs drained first: a move by itself takes no longer than its invalidation.
 */
static void *migrate(void *arg)
{
	int node[MOVES], status[MOVES];
	struct mover *m = arg;
	void *page[MOVES];
	size_t i;

	for (i = 0; i < MOVES; i++) {
		page[i] = m->p + i / 2 % m->pages * PAGE;
		node[i] = i % 2;
	}
	while (!mover_stopped(m)) {
		for (i = 0; i < MOVES; i++)
			status[i] = -1;
		syscall(SYS_move_pages, 0, (unsigned long)MOVES, page, node,
			status, MPOL_MF_MOVE);
		for (i = 0; i < MOVES; i++)
			m->moved += status[i] == node[i];
	}
	return NULL;
}

/* To swap space, or out of the page tables */
static void *reclaim_memory(void *arg)
{
	struct mover *m = arg;
	int fd = open(MEMCG_MOUNT "/sva/memory.reclaim", O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	/* More than a page at a time fails if there is less to take */
	while (!mover_stopped(m))
		m->moved += write(fd, "4K", 2) == 2;
	close(fd);
	return NULL;
}

/* We are in a cgroup of our own, of which the kernel takes what it can */
static bool reclaim_ready(void)
{
	mkdir(MEMCG_MOUNT, 0755);
	return swap_on() &&
	       (!mount("cgroup2", MEMCG_MOUNT, "cgroup2", 0, NULL) ||
		errno == EBUSY) &&
	       write_file(MEMCG_MOUNT "/cgroup.subtree_control", "+memory") &&
	       memcg_make("sva") && memcg_join("sva");
}

static bool reclaim_done(void)
{
	return memcg_join("") && memcg_remove("sva") && swap_off();
}

static bool mover_start(struct mover *m, pthread_t *thread,
			void *(*move)(void *m))
{
	m->stop = false;
	m->moved = 0;
	return !pthread_create(thread, NULL, move, m);
}

static bool mover_end(struct mover *m, pthread_t thread)
{
	__atomic_store_n(&m->stop, true, __ATOMIC_RELAXED);
	return !pthread_join(thread, NULL);
}

/* Changes of a mapping that race with the mover */
enum change { BY_DONTNEED, BY_MAP_OVER, BY_MAP_FILE };

/*
 * A page that is being moved has no present entry in the page table. Unmapping
 * it finds nothing to invalidate then, but an IOMMU may still hold the old
 * translation: no access may reach the old page once the mapping has changed.
 */
static void adds_are_seen(struct __test_metadata *_metadata,
			  struct _test_data_sva *self, enum change change,
			  void *(*move)(void *m), unsigned int pause_us)
{
	int fd = memfd_create("sva", MFD_CLOEXEC);
	struct mover m = { .pages = 2 };
	uint64_t *word, rounds = 0, lost = 0, end;
	pthread_t thread;
	void *p;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, m.pages * PAGE));
	p = change == BY_MAP_FILE ?
	    mmap(NULL, m.pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 0) : map_pages(m.pages, PROT_READ | PROT_WRITE);
	ASSERT_NE(MAP_FAILED, p);
	m.p = p;
	word = p;
	memset(p, 0, m.pages * PAGE);
	ASSERT_TRUE(mover_start(&m, &thread, move));
	for (end = sva_now_ms() + BOUND_MS; sva_now_ms() < end && !lost;) {
		uint64_t seen = rounds++ + 7;

		switch (change) {
		case BY_DONTNEED:
			ASSERT_EQ(0, madvise(p, PAGE, MADV_DONTNEED));
			break;
		case BY_MAP_OVER:
			ASSERT_EQ(p, mmap(p, PAGE, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS |
					  MAP_FIXED, -1, 0));
			break;
		case BY_MAP_FILE:
			ASSERT_EQ(0, munmap(p, PAGE));
			ASSERT_EQ(p, mmap(p, PAGE, PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_FIXED_NOREPLACE, fd,
					  0));
			break;
		}
		__atomic_store_n(word, seen, __ATOMIC_RELAXED);
		ASSERT_EQ(SVADEV_STATUS_OK,
			  sva_fetch_add(&self->q, word, 1, 8));
		lost += sva_load(word) != seen + 1;
		/* Let the page, which the device has cached now, be moved */
		if (pause_us)
			usleep(rounds % 8 * pause_us);
	}
	ASSERT_TRUE(mover_end(&m, thread));
	fprintf(stderr, "# %lu rounds, %lu moves\n", rounds, m.moved);
	EXPECT_LT(0, m.moved);
	EXPECT_EQ(0, lost) TH_LOG("an add was lost in round %lu", rounds);
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fetch_add(&self->q, word, 1, 8));
	EXPECT_EQ(self->q.result + 1, sva_load(word));
	munmap(p, m.pages * PAGE);
	close(fd);
}

/* How the device answers invalidations */
static bool set_answers(unsigned int how)
{
	char name[SVA_PCI_NAME_LEN], path[96], text[16];

	if (sva_pci_name(device[0], name))
		return false;
	snprintf(path, sizeof(path), "/sys/kernel/debug/svadev/%s/inject", name);
	snprintf(text, sizeof(text), "%u", how);
	return write_file(path, text);
}

static void adds_during_migration(struct __test_metadata *_metadata,
				  struct _test_data_sva *self,
				  enum change change)
{
	if (!two_nodes())
		SKIP(return, "needs two NUMA nodes");
	/*
	 * The race is as long as the invalidation of the page that is being
	 * moved: with a device that takes its time it shows on any host.
	 */
	if (USES_ATS)
		ASSERT_TRUE(set_answers(SVADEV_INJECT_INV_LATE));
	adds_are_seen(_metadata, self, change, migrate, USES_ATS ? 5000 : 0);
	if (USES_ATS)
		EXPECT_TRUE(set_answers(0));
}

TEST_F(sva, migrated_and_dontneed)
{
	adds_during_migration(_metadata, self, BY_DONTNEED);
}

TEST_F(sva, migrated_and_mapped_over)
{
	adds_during_migration(_metadata, self, BY_MAP_OVER);
}

TEST_F(sva, migrated_file_mapped_again)
{
	adds_during_migration(_metadata, self, BY_MAP_FILE);
}

static void adds_during_reclaim(struct __test_metadata *_metadata,
				struct _test_data_sva *self,
				enum change change)
{
	ASSERT_TRUE(reclaim_ready());
	adds_are_seen(_metadata, self, change, reclaim_memory, 0);
	ASSERT_TRUE(reclaim_done());
}

TEST_F(sva, reclaimed_and_dontneed)
{
	adds_during_reclaim(_metadata, self, BY_DONTNEED);
}

TEST_F(sva, reclaimed_and_mapped_over)
{
	adds_during_reclaim(_metadata, self, BY_MAP_OVER);
}

TEST_F(sva, reclaimed_file_mapped_again)
{
	adds_during_reclaim(_metadata, self, BY_MAP_FILE);
}

/* mremap() */

/* Of these pages few are memory: reading maps the zero page */
#define MOVED_LEN	(256ul << 20)
#define MOVED_BUSY	4

/*
 * mremap() of much memory has moved the first page long before it invalidates
 * anything. The page can be reclaimed at its new address in between: what the
 * device still adds at the old one must not be lost.
 */
TEST_F(sva, mremap_and_reclaim)
{
	uint8_t *place = mmap(NULL, 2 * MOVED_LEN + 4 * PAGE, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			      0);
	/* An odd page apart, so that no table is moved as a whole */
	uint8_t *at[2] = { place, place + MOVED_LEN + PAGE };
	struct sva_queue q[MOVED_BUSY];
	uint64_t sum[MOVED_BUSY] = {}, end;
	struct mover m = {};
	pthread_t thread;
	int round, i;

	ASSERT_NE(MAP_FAILED, place);
	ASSERT_TRUE(reclaim_ready());
	ASSERT_EQ(at[0], mmap(at[0], MOVED_LEN, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
			      MAP_NORESERVE, -1, 0));
	ASSERT_EQ(0, madvise(at[0], MOVED_LEN, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, madvise(at[0], MOVED_LEN, MADV_POPULATE_READ));
	for (i = 0; i < MOVED_BUSY; i++) {
		*(uint64_t *)(at[0] + i * PAGE) = 0;
		ASSERT_EQ(0, sva_open(device[0], &q[i]));
	}
	ASSERT_TRUE(mover_start(&m, &thread, reclaim_memory));
	/* mremap() notifies at its end, while the device uses the old place */
	self->before.slow_call = true;
	end = sva_now_ms() + 2 * BOUND_MS;
	for (round = 0; round < 2 || (sva_now_ms() < end && round < 20);
	     round++) {
		uint8_t *from = at[round % 2], *to = at[!(round % 2)];

		for (i = 0; i < MOVED_BUSY; i++) {
			ASSERT_TRUE(hammer(&q[i], from + i * PAGE));
			ASSERT_TRUE(hammers(&q[i]));
		}
		ASSERT_EQ(to, mremap(from, MOVED_LEN, MOVED_LEN,
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
		for (i = 0; i < MOVED_BUSY; i++) {
			ASSERT_EQ(SVADEV_STATUS_FAULT, sva_wait(&q[i]));
			sum[i] += q[i].rounds;
			ASSERT_EQ(sum[i], sva_load((uint64_t *)(to + i * PAGE)))
				TH_LOG("round %d, page %d: adds were lost",
				       round, i);
		}
	}
	ASSERT_TRUE(mover_end(&m, thread));
	fprintf(stderr, "# %d rounds, %lu times reclaimed\n", round, m.moved);
	EXPECT_LT(0, m.moved);
	ASSERT_TRUE(device_is_quiet(&self->before));
	for (i = 0; i < MOVED_BUSY; i++)
		sva_close(&q[i]);
	munmap(place, 2 * MOVED_LEN + 4 * PAGE);
	ASSERT_TRUE(reclaim_done());
}

/* Pages whose accesses are tracked */

#define PM_SOFT_DIRTY	0x0080000000000000ull

static bool soft_dirty(const uint8_t *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	CHECK(fd >= 0);
	CHECK(pread(fd, &entry, 8, (uintptr_t)p / PAGE * 8) == 8);
	close(fd);
	return entry & PM_SOFT_DIRTY;
}

/* Checkpointing asks which pages were written since it last looked */
TEST_F(sva, soft_dirty)
{
	size_t pages = 8, i;
	uint8_t *p = map_pages(pages, PROT_READ | PROT_WRITE);
	int round;

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 1, pages * PAGE);
	if (!soft_dirty(p))
		SKIP(return, "there are no soft-dirty bits here");
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, pages * PAGE));
	for (round = 0; round < 20; round++) {
		ASSERT_TRUE(write_file("/proc/self/clear_refs", "4"));
		for (i = 0; i < pages; i++)
			ASSERT_FALSE(soft_dirty(p + i * PAGE));
		for (i = round % 2; i < pages; i += 2)
			ASSERT_EQ(SVADEV_STATUS_OK,
				  sva_write(&self->q, p + i * PAGE, round, 1));
		ASSERT_EQ(SVADEV_STATUS_OK,
			  sva_read(&self->q, p, pages * PAGE));
		for (i = 0; i < pages; i++)
			ASSERT_EQ(i % 2 == (unsigned int)round % 2,
				  soft_dirty(p + i * PAGE));
	}
	munmap(p, pages * PAGE);
}

#define BALANCING_KNOBS	"/sys/kernel/debug/sched/numa_balancing/"

static long vmstat_read(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "r");
	char line[64];
	long val = -1, n;

	while (f && val < 0 && fscanf(f, "%63s %ld", line, &n) == 2)
		if (!strcmp(line, name))
			val = n;
	if (f)
		fclose(f);
	return val;
}

static bool run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

/*
 * Pages are made inaccessible for a while, to see which node uses them. The first
 * one is used by the device alone, which must then ask for it.
 */
TEST_F(sva, numa_balancing)
{
	size_t pages = 1024;
	uint8_t *p = map_pages(pages, PROT_READ | PROT_WRITE);
	long before, enabled = number_in(BALANCING);
	uint64_t *word = (uint64_t *)p, sum = 0, end, asked;

	ASSERT_NE(MAP_FAILED, p);
	if (!two_nodes() || enabled < 0)
		SKIP(return, "needs two NUMA nodes");
	/* Only pages of another node than the process runs on are looked at */
	ASSERT_TRUE(run_on(0));
	memset(p, 0, pages * PAGE);
	ASSERT_TRUE(run_on(1));
	write_file(BALANCING_KNOBS "scan_delay_ms", "1");
	write_file(BALANCING_KNOBS "scan_period_min_ms", "10");
	ASSERT_TRUE(write_file(BALANCING, "1"));
	before = vmstat_read("numa_pte_updates");
	ASSERT_LE(0, before);
	ASSERT_TRUE(hammer(&self->q, word));
	ASSERT_TRUE(hammers(&self->q));
	asked = stalls_so_far(&self->before);
	/* The scans are made as we run */
	end = sva_now_ms() + 2 * BOUND_MS;
	while (sva_now_ms() < end &&
	       (vmstat_read("numa_pte_updates") < before + (long)pages / 2 ||
		stalls_so_far(&self->before) == asked))
		sum += bytes_are(p + PAGE, (pages - 1) * PAGE, 0);
	ASSERT_TRUE(hammers(&self->q));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_end_hammer(&self->q));
	EXPECT_LT(0, sum);
	fprintf(stderr, "# %ld entries were made inaccessible, %lu faults\n",
		vmstat_read("numa_pte_updates") - before,
		stalls_so_far(&self->before) - asked);
	EXPECT_LT(before, vmstat_read("numa_pte_updates"));
	EXPECT_LT(asked, stalls_so_far(&self->before))
		TH_LOG("the device was not kept from its page");
	EXPECT_EQ(self->q.rounds, sva_load(word));
	EXPECT_TRUE(write_file(BALANCING, enabled ? "1" : "0"));
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, pages * PAGE));
	EXPECT_TRUE(bytes_are(p, pages * PAGE, 2));
	munmap(p, pages * PAGE);
}
