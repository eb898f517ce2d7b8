// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pages behind the memory of a process: huge ones, pages that the kernel
 * moves, merges, splits or swaps out while the device works on them, and
 * mappings that change under a busy device.
 */
#include "sva_case.h"

#include <sys/sysinfo.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/* The kernel's knobs */

static long file_number(const char *path)
{
	FILE *f = fopen(path, "r");
	long val;

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &val) != 1)
		val = -1;
	fclose(f);
	return val;
}

/* Where a page is */

#define PM_PRESENT	0x8000000000000000ull
#define PM_SWAPPED	0x4000000000000000ull
/* Set for all that a mapping may have, where there are such bits */
#define PM_SOFT_DIRTY	0x0080000000000000ull
#define PM_PFN(entry)	((entry) & ((1ull << 55) - 1))

static uint64_t pagemap_entry(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (fd < 0)
		return 0;
	if (pread(fd, &entry, 8, (uintptr_t)p / PAGE * 8) != 8)
		entry = 0;
	close(fd);
	return entry;
}

/* The page frame, 0 if there is none */
static uint64_t pfn_of(const void *p)
{
	uint64_t entry = pagemap_entry(p);

	return entry & PM_PRESENT ? PM_PFN(entry) : 0;
}

static size_t swapped_pages(const uint8_t *p, size_t pages)
{
	size_t i, n = 0;

	for (i = 0; i < pages; i++)
		n += !!(pagemap_entry(p + i * PAGE) & PM_SWAPPED);
	return n;
}

#define KPF_KSM		21
#define KPF_ZERO_PAGE	24

static bool page_is(const void *p, int flag)
{
	uint64_t pfn = pfn_of(p), flags = 0;
	int fd;

	if (!pfn)
		return false;
	fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (pread(fd, &flags, 8, pfn * 8) != 8)
		flags = 0;
	close(fd);
	return flags & (1ull << flag);
}

/* KiB that are mapped as huge pages in the mapping that begins at @p */
static long huge_kb(const void *p)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	bool here = false;
	long kb = -1, n;
	char line[512];
	unsigned long from, to;

	if (!f)
		return -1;
	while (kb < 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from <= (uintptr_t)p && (uintptr_t)p < to;
		else if (here && sscanf(line, "AnonHugePages: %ld", &n) == 1)
			kb = n;
	}
	fclose(f);
	return kb;
}

#define QUEUES	4

static bool hammer_all(struct sva_queue *q, uint8_t *p, size_t stride)
{
	int i;

	for (i = 0; i < QUEUES; i++)
		if (sva_open(device[0], &q[i]) || !hammer(&q[i], p + i * stride))
			return false;
	for (i = 0; i < QUEUES; i++)
		if (!hammers(&q[i]))
			return false;
	return true;
}

/* Are all words what the device made them? And does it work on? */
static void end_hammer_all(struct __test_metadata *_metadata,
			   struct sva_queue *q, uint8_t *p, size_t stride,
			   struct machine *before)
{
	int i;

	for (i = 0; i < QUEUES; i++) {
		uint64_t status = sva_end_hammer(&q[i]);

		EXPECT_EQ(SVADEV_STATUS_OK, status)
			TH_LOG("queue %d: %s after %lu rounds", i,
			       sva_status_name(status), q[i].rounds);
		EXPECT_EQ(q[i].rounds, sva_load((uint64_t *)(p + i * stride)))
			TH_LOG("queue %d: updates are lost", i);
	}
	EXPECT_TRUE(device_is_quiet(before));
	for (i = 0; i < QUEUES; i++) {
		uint64_t *word = (uint64_t *)(p + i * stride);
		uint64_t was = sva_load(word);
		bool done = sva_fetch_add(&q[i], word, 1, 8) ==
			    SVADEV_STATUS_OK;

		EXPECT_EQ(SVADEV_STATUS_OK, q[i].status);
		if (done)
			EXPECT_EQ(was, q[i].result);
		EXPECT_EQ(was + done, sva_load(word));
		sva_close(&q[i]);
	}
}

/* Huge pages of hugetlbfs */

static bool hugetlb_reserve(size_t kb, long pages)
{
	char path[96], text[16];

	snprintf(path, sizeof(path), HUGEPAGES "%zukB/nr_hugepages", kb);
	snprintf(text, sizeof(text), "%ld", pages);
	return write_file(path, text) && file_number(path) == pages;
}

static bool hugetlb_has(size_t kb)
{
	char path[96];

	snprintf(path, sizeof(path), HUGEPAGES "%zukB", kb);
	return !access(path, F_OK);
}

static uint8_t *hugetlb_map_at(void *at, size_t kb, long pages)
{
	return mmap(at, pages * kb * 1024, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
		    __builtin_ctzl(kb * 1024) << MAP_HUGE_SHIFT, -1, 0);
}

static uint8_t *hugetlb_map(size_t kb, long pages)
{
	return hugetlb_map_at(NULL, kb, pages);
}

static void hugetlb(struct __test_metadata *_metadata,
		    struct _test_data_sva *self, size_t kb)
{
	size_t huge = kb * 1024, len = 2 * huge;
	uint8_t *p, *src = malloc(len);

	if (!hugetlb_has(kb))
		SKIP(return, "there are no huge pages of %zu KiB here", kb);
	ASSERT_NE(NULL, src);
	pattern_set(src, len, 1);
	ASSERT_TRUE(hugetlb_reserve(kb, 2));
	p = hugetlb_map(kb, 2);
	ASSERT_NE(MAP_FAILED, p);

	/*
	 * Side by side, but a mapping each: when 6.1 splits one, lockdep finds
	 * that it does not hold what it should (__vma_adjust()).
	 */
	ASSERT_EQ(0, munmap(p, len));
	ASSERT_EQ(p, hugetlb_map_at(p, kb, 1));
	ASSERT_EQ(p + huge, hugetlb_map_at(p + huge, kb, 1));

	/* The device touches them first: one page fault each */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_copy(&self->q, p, src, len));
	EXPECT_EQ(2, self->q.faults);
	EXPECT_TRUE(pattern_is(p, len, 1));
	EXPECT_EQ(pfn_of(p) + 1, pfn_of(p + PAGE));

	ASSERT_EQ(0, mprotect(p, huge, PROT_READ));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_fill(&self->q, p + huge / 2, 0, 8));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p + huge, 2, huge));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, huge));
	EXPECT_EQ(pattern_sum(huge, 1), self->q.result);
	ASSERT_EQ(0, mprotect(p, huge, PROT_READ | PROT_WRITE));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p + PAGE, 3, PAGE));
	EXPECT_TRUE(bytes_are(p + PAGE, PAGE, 3));
	EXPECT_TRUE(pattern_is(p, PAGE, 1));

	/* A new page in the place of the old one */
	ASSERT_EQ(0, madvise(p, huge, MADV_DONTNEED));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, huge));
	EXPECT_EQ(1, self->q.faults);
	EXPECT_EQ(0, self->q.result);

	ASSERT_EQ(0, munmap(p + huge, huge));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, p + huge, 1));
	EXPECT_EQ(SVADEV_STATUS_FAULT,
		  sva_write(&self->q, p + len - PAGE, 1, 8));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, huge));
	ASSERT_EQ(0, munmap(p, huge));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, p, 1));
	EXPECT_TRUE(hugetlb_reserve(kb, 0));
	free(src);
}

/* A block of the page table */
TEST_F(sva, hugetlb)
{
	hugetlb(_metadata, self, 2048);
}

/* Entries that say they belong together */
TEST_F(sva, hugetlb_contiguous)
{
	hugetlb(_metadata, self, 64);
}

static void hugetlb_fork(struct __test_metadata *_metadata,
			 struct _test_data_sva *self, size_t kb,
			 unsigned int entries)
{
	size_t huge = kb * 1024;
	struct gate written;
	uint8_t *p;
	pid_t pid;

	if (!hugetlb_has(kb))
		SKIP(return, "there are no huge pages of %zu KiB here", kb);
	ASSERT_TRUE(hugetlb_reserve(kb, 3));
	p = hugetlb_map(kb, 2);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(gate_init(&written));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 1, 2 * huge));

	pid = child();
	if (!pid) {
		CHECK(gate_wait(&written));
		CHECK(bytes_are(p, huge, 1));
		_exit(0);
	}
	/* What the device writes is ours alone */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, huge));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p + PAGE, 2, PAGE));
	EXPECT_EQ(1, self->q.faults);
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, huge));
	EXPECT_EQ(0, self->q.faults);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, huge));
	EXPECT_EQ(2 * huge, self->q.result);
	gate_open(&written);
	ASSERT_EQ(0, wait_child(pid));
	EXPECT_TRUE(bytes_are(p, huge, 2));

	/* The other one is ours again, read-only and then writable in place */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p + huge, huge));
	EXPECT_EQ(huge, self->q.result);
	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_fill(&self->q, p + huge + 3 * PAGE, 3, PAGE));
	EXPECT_EQ(1, self->q.faults);
	/* which the IOMMU may have to learn for each entry if there are several */
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p + huge, 3, huge));
	EXPECT_GE(entries - 1, self->q.faults);
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p + huge, 4, huge));
	EXPECT_EQ(0, self->q.faults);
	EXPECT_TRUE(bytes_are(p + huge, huge, 4));

	munmap(p, 2 * huge);
	EXPECT_TRUE(hugetlb_reserve(kb, 0));
}

TEST_F(sva, hugetlb_fork)
{
	hugetlb_fork(_metadata, self, 2048, 1);
}

TEST_F(sva, hugetlb_contiguous_fork)
{
	hugetlb_fork(_metadata, self, 64, 16);
}

/* Transparent huge pages */

static size_t huge_size(void)
{
	return file_number("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
}

/* Room for @n huge pages, aligned; between mappings that are none of it */
static uint8_t *map_for_huge(size_t n)
{
	size_t huge = huge_size();
	uint8_t *p = mmap(NULL, (n + 1) * huge, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return p;
	p = (uint8_t *)(((uintptr_t)p + huge - 1) / huge * huge);
	return mprotect(p, n * huge, PROT_READ | PROT_WRITE) ? MAP_FAILED : p;
}

TEST_F(sva, huge_page)
{
	size_t huge = huge_size();
	uint8_t *p = map_for_huge(2), *src = malloc(huge);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(NULL, src);
	pattern_set(src, huge, 1);
	ASSERT_EQ(0, madvise(p, 2 * huge, MADV_HUGEPAGE));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_copy(&self->q, p, src, huge));
	EXPECT_EQ(1, self->q.faults);
	EXPECT_EQ(huge / 1024, huge_kb(p));
	EXPECT_TRUE(pattern_is(p, huge, 1));

	/* Changed as a whole */
	ASSERT_EQ(0, mprotect(p, huge, PROT_READ));
	EXPECT_EQ(huge / 1024, huge_kb(p));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_write(&self->q, p + 9 * PAGE, 1, 8));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_compare(&self->q, p, src, huge));
	EXPECT_EQ(huge, self->q.result);
	ASSERT_EQ(0, mprotect(p, huge, PROT_READ | PROT_WRITE));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, huge));
	EXPECT_TRUE(bytes_are(p, huge, 2));

	ASSERT_EQ(0, madvise(p, huge, MADV_DONTNEED));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, huge));
	EXPECT_EQ(0, self->q.result);
	ASSERT_EQ(0, munmap(p, 2 * huge));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, p + huge / 2, 1));
	free(src);
}

TEST_F(sva, huge_zero_page)
{
	size_t huge = huge_size();
	uint8_t *p = map_for_huge(2);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, 2 * huge, MADV_HUGEPAGE));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * huge));
	EXPECT_EQ(2, self->q.faults);
	EXPECT_EQ(0, self->q.result);
	EXPECT_TRUE(page_is(p, KPF_ZERO_PAGE));
	EXPECT_EQ(pfn_of(p), pfn_of(p + huge));

	/* Written by the device here and by a CPU there */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_write(&self->q, p + 5 * PAGE, 1, 1));
	p[huge + 6 * PAGE] = 2;
	EXPECT_FALSE(page_is(p + 5 * PAGE, KPF_ZERO_PAGE));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, huge));
	EXPECT_EQ(1, self->q.result);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p + huge, huge));
	EXPECT_EQ(2, self->q.result);
	EXPECT_EQ(1, p[5 * PAGE]);
	EXPECT_TRUE(bytes_are(p, 5 * PAGE, 0));
	munmap(p, 2 * huge);
}

enum split {
	SPLIT_MPROTECT,
	SPLIT_DONTNEED,
	SPLIT_MUNMAP,
};

/* Split a huge page at its middle while the device adds to words around it */
static void split(struct __test_metadata *_metadata,
		  struct _test_data_sva *self, enum split how)
{
	size_t huge = huge_size(), stride = huge / QUEUES;
	struct sva_queue q[QUEUES];
	uint8_t *p = map_for_huge(1), *middle = p + huge / 2 + PAGE;
	int i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, huge, MADV_HUGEPAGE));
	memset(p, 1, huge);
	for (i = 0; i < QUEUES; i++)
		*(uint64_t *)(p + i * stride) = 0;
	ASSERT_EQ(huge / 1024, huge_kb(p));
	ASSERT_TRUE(hammer_all(q, p, stride));

	switch (how) {
	case SPLIT_MPROTECT:
		ASSERT_EQ(0, mprotect(middle, PAGE, PROT_READ));
		break;
	case SPLIT_DONTNEED:
		ASSERT_EQ(0, madvise(middle, PAGE, MADV_DONTNEED));
		break;
	case SPLIT_MUNMAP:
		ASSERT_EQ(0, munmap(middle, PAGE));
		break;
	}
	EXPECT_EQ(0, huge_kb(p));
	for (i = 0; i < QUEUES; i++)
		EXPECT_TRUE(hammers(&q[i]));

	/* It has seen the change of what it was not using */
	switch (how) {
	case SPLIT_MPROTECT:
		EXPECT_EQ(SVADEV_STATUS_FAULT,
			  sva_write(&self->q, middle, 2, 8));
		EXPECT_TRUE(bytes_are(middle, PAGE, 1));
		EXPECT_EQ(SVADEV_STATUS_OK,
			  sva_read(&self->q, middle, PAGE));
		EXPECT_EQ(PAGE, self->q.result);
		break;
	case SPLIT_DONTNEED:
		EXPECT_EQ(SVADEV_STATUS_OK,
			  sva_read(&self->q, middle, PAGE));
		EXPECT_EQ(0, self->q.result);
		EXPECT_EQ(1, self->q.faults);
		break;
	case SPLIT_MUNMAP:
		EXPECT_EQ(SVADEV_STATUS_FAULT,
			  sva_read(&self->q, middle, 1));
		EXPECT_EQ(SVADEV_STATUS_FAULT,
			  sva_write(&self->q, middle, 2, 8));
		break;
	}
	end_hammer_all(_metadata, q, p, stride, &self->before);
	EXPECT_TRUE(bytes_are(p + 8, stride - 8, 1));
	EXPECT_TRUE(bytes_are(middle + PAGE, stride - 2 * PAGE, 1));
	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_fill(&self->q, middle + PAGE, 5, PAGE));
	EXPECT_TRUE(bytes_are(middle + PAGE, PAGE, 5));
	munmap(p, huge);
}

TEST_F(sva, split_by_mprotect)
{
	split(_metadata, self, SPLIT_MPROTECT);
}

TEST_F(sva, split_by_dontneed)
{
	split(_metadata, self, SPLIT_DONTNEED);
}

TEST_F(sva, split_by_munmap)
{
	split(_metadata, self, SPLIT_MUNMAP);
}

/* madvise() that may find a page in use for a moment */
static bool madvise_until_done(void *p, size_t len, int advice)
{
	bool done;

	return SOON((done = !madvise(p, len, advice)) ||
		    (errno != EAGAIN && errno != EBUSY)) && done;
}

/* Small pages copied into a huge one, which takes the table of the small ones */
TEST_F(sva, collapse)
{
	size_t huge = huge_size(), stride = huge / QUEUES;
	struct sva_queue q[QUEUES];
	uint8_t *p = map_for_huge(1);
	/* Without IOPF an upgrade in place ends it, in some rounds */
	int rounds = driver_serves(&self->before) ? 4000 : 5;
	bool busy = true;
	uint64_t pfn;
	int i, round;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, huge, MADV_NOHUGEPAGE));
	memset(p, 1, huge);
	for (i = 0; i < QUEUES; i++)
		*(uint64_t *)(p + i * stride) = 0;
	ASSERT_EQ(0, huge_kb(p));
	pfn = pfn_of(p);
	ASSERT_EQ(0, madvise(p, huge, MADV_HUGEPAGE));
	ASSERT_TRUE(hammer_all(q, p, stride));

	/* After a split khugepaged may be faster than MADV_COLLAPSE */
	for (round = 0; round < rounds && busy; round++) {
		ASSERT_TRUE(madvise_until_done(p, huge, MADV_COLLAPSE));
		EXPECT_EQ(huge / 1024, huge_kb(p));
		EXPECT_NE(pfn, pfn_of(p));
		pfn = pfn_of(p);
		for (i = 0; i < QUEUES; i++)
			busy &= hammers(&q[i]);
		EXPECT_TRUE(busy) TH_LOG("a queue has ended in round %d", round);
		/* Split it, so that there is something to collapse */
		ASSERT_EQ(0, madvise(p + huge - PAGE, PAGE, MADV_DONTNEED));
		memset(p + huge - PAGE, 1, PAGE);
		ASSERT_EQ(0, huge_kb(p));
	}
	ASSERT_TRUE(madvise_until_done(p, huge, MADV_COLLAPSE));
	end_hammer_all(_metadata, q, p, stride, &self->before);
	for (i = 0; i < QUEUES; i++)
		EXPECT_TRUE(bytes_are(p + i * stride + 8, stride - 8, 1));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, huge));
	EXPECT_EQ(0, self->q.faults);
	EXPECT_TRUE(bytes_are(p, huge, 2));
	munmap(p, huge);
}

/* Reclaim */

/*
 * Pages that were faulted in just now, maybe on another CPU, are not yet where
 * advice about them is heeded. This puts them there.
 */
static bool settle_pages(void)
{
	return write_file("/proc/sys/vm/compact_memory", "1");
}

static long swap_in_use(void)
{
	struct sysinfo info;

	if (sysinfo(&info))
		return -1;
	return (info.totalswap - info.freeswap) * info.mem_unit / PAGE;
}

/* To be tried again: a page may be in use, or under writeback */
static bool try_page_out(uint8_t *p, size_t pages)
{
	return settle_pages() && !madvise(p, pages * PAGE, MADV_PAGEOUT);
}

static bool page_out(uint8_t *p, size_t pages)
{
	return SOON(try_page_out(p, pages) &&
		    swapped_pages(p, pages) == pages);
}

TEST_F(sva, swapped_out)
{
	size_t pages = 64, len = pages * PAGE;
	uint8_t *p = map_pages(pages, PROT_READ | PROT_WRITE);
	uint8_t *src = malloc(len);

	ASSERT_TRUE(swap_on());
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(NULL, src);
	pattern_set(src, len, 1);

	/* No CPU has ever touched it: the dirt is the device's */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_copy(&self->q, p, src, len));
	ASSERT_TRUE(page_out(p, pages));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_compare(&self->q, p, src, len));
	EXPECT_EQ(len, self->q.result);
	EXPECT_LE(pages, self->q.faults);
	EXPECT_TRUE(pattern_is(p, len, 1));

	/* Read back and then written: not what is still in the swap space */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, len / 2));
	ASSERT_TRUE(page_out(p, pages));
	EXPECT_TRUE(bytes_are(p, len / 2, 2));
	EXPECT_EQ(0, memcmp(p + len / 2, src + len / 2, len / 2));

	/* Written without reading it first */
	ASSERT_TRUE(page_out(p, pages));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_write(&self->q, p + 8, 0, 8));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(2 * (PAGE - 8), self->q.result);

	munmap(p, len);
	free(src);
	EXPECT_TRUE(swap_off());
}

TEST_F(sva, shared_memory_swapped_out)
{
	size_t pages = 64, len = pages * PAGE;
	uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_TRUE(swap_on());
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 3, len));
	ASSERT_TRUE(SOON(try_page_out(p, pages) &&
			 swap_in_use() >= (long)pages));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, len));
	EXPECT_EQ(len * 3, self->q.result);
	EXPECT_LE(pages, self->q.faults);
	EXPECT_TRUE(bytes_are(p, len, 3));
	munmap(p, len);
	EXPECT_TRUE(swap_off());
}

TEST_F(sva, swapped_out_busy)
{
	uint8_t *p = map_pages(QUEUES, PROT_READ | PROT_WRITE);
	struct sva_queue q[QUEUES];
	uint64_t faults = 0;
	int i, round;

	ASSERT_TRUE(swap_on());
	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0, QUEUES * PAGE);
	ASSERT_TRUE(hammer_all(q, p, PAGE));
	for (round = 0; round < 20; round++) {
		ASSERT_TRUE(settle_pages());
		ASSERT_EQ(0, madvise(p, QUEUES * PAGE, MADV_PAGEOUT));
		for (i = 0; i < QUEUES; i++)
			ASSERT_TRUE(hammers(&q[i]));
	}
	for (i = 0; i < QUEUES; i++)
		faults += sva_reg_read(&q[i], SVADEV_FAULTS);
	/* It did happen */
	EXPECT_LE(20, faults);
	end_hammer_all(_metadata, q, p, PAGE, &self->before);
	munmap(p, QUEUES * PAGE);
	EXPECT_TRUE(swap_off());
}

#define CGROUP	"/tmp/cgroup"

/* More memory than the process may have: the device makes its own way */
TEST_F(sva, memory_pressure)
{
	size_t pages = 2048, len = pages * PAGE, i;
	uint8_t *p = map_pages(pages, PROT_READ | PROT_WRITE);
	char pid[16];

	ASSERT_TRUE(swap_on());
	ASSERT_NE(MAP_FAILED, p);
	mkdir(CGROUP, 0700);
	ASSERT_TRUE(!mount("cgroup2", CGROUP, "cgroup2", 0, NULL) ||
		    errno == EBUSY);
	ASSERT_TRUE(write_file(CGROUP "/cgroup.subtree_control", "+memory"));
	ASSERT_TRUE(!mkdir(CGROUP "/sva", 0700) || errno == EEXIST);
	ASSERT_TRUE(write_file(CGROUP "/sva/memory.max", "4M"));
	snprintf(pid, sizeof(pid), "%d", getpid());
	ASSERT_TRUE(write_file(CGROUP "/sva/cgroup.procs", pid));

	for (i = 0; i < pages; i += 64)
		ASSERT_EQ(SVADEV_STATUS_OK,
			  sva_fill(&self->q, p + i * PAGE, i / 64 + 1,
				   64 * PAGE));
	EXPECT_LE(pages / 4, swap_in_use());
	for (i = 0; i < pages; i += 64) {
		ASSERT_EQ(SVADEV_STATUS_OK,
			  sva_read(&self->q, p + i * PAGE, 64 * PAGE));
		ASSERT_EQ(64 * PAGE * (i / 64 + 1), self->q.result);
	}
	for (i = 0; i < pages; i += 64)
		EXPECT_TRUE(bytes_are(p + i * PAGE, 64 * PAGE, i / 64 + 1));

	/* Pages were taken away while it used others beside them */
	ASSERT_TRUE(device_is_quiet(&self->before));
	munmap(p, len);
	ASSERT_TRUE(write_file(CGROUP "/cgroup.procs", pid));
	for (i = 0; i < pages; i += 64)
		ASSERT_EQ(SVADEV_STATUS_FAULT,
			  sva_read(&self->q, p + i * PAGE, PAGE));
	EXPECT_EQ(0, rmdir(CGROUP "/sva"));
	EXPECT_EQ(0, umount(CGROUP));
	EXPECT_TRUE(swap_off());
}

/* Pages that are neither there nor kept anywhere */
static size_t pages_gone(const uint8_t *p, size_t pages)
{
	size_t i, n = 0;

	for (i = 0; i < pages; i++)
		n += !(pagemap_entry(p + i * PAGE) & ~PM_SOFT_DIRTY);
	return n;
}

/*
 * Memory that may be freed, unless it is written once more. The device may ask
 * for permission to write ahead of use, but not beyond an aligned 32 KiB.
 */
TEST_F(sva, madvise_free)
{
	size_t pages = 16, len = pages * PAGE;
	uint8_t *map = map_pages(2 * pages, PROT_READ | PROT_WRITE);
	uint8_t *p = (uint8_t *)(((uintptr_t)map + len - 1) / len * len);

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 1, len));
	ASSERT_TRUE(settle_pages());
	ASSERT_EQ(0, madvise(p, len, MADV_FREE));

	/* The kernel has to notice that the device writes to these */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, len / 2));
	EXPECT_EQ(IOMMU_NOTES_ACCESS ? 0 : pages / 2, self->q.faults);
	EXPECT_TRUE(SOON(try_page_out(p, pages) &&
			 pages_gone(p, pages) >= pages / 2));
	EXPECT_EQ(pages / 2, pages_gone(p, pages));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, len));
	EXPECT_EQ(len / 2 * 2, self->q.result);
	EXPECT_TRUE(bytes_are(p, len / 2, 2));
	EXPECT_TRUE(bytes_are(p + len / 2, len / 2, 0));
	munmap(map, 2 * len);
}

/* Memory that is said not to be used is watched for that */
TEST_F(sva, madvise_cold)
{
	size_t pages = 16, len = pages * PAGE;
	uint8_t *p = map_pages(pages, PROT_READ | PROT_WRITE);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 1, len));
	ASSERT_TRUE(settle_pages());
	ASSERT_EQ(0, madvise(p, len, MADV_COLD));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, len));
	EXPECT_EQ(IOMMU_NOTES_ACCESS ? 0 : pages, self->q.faults);
	EXPECT_EQ(len, self->q.result);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, len));
	EXPECT_TRUE(bytes_are(p, len, 2));
	munmap(p, len);
}

/* Migration */

#define FILLER_PAGES	16384

/*
 * Compaction moves pages from the lower end of memory to holes further up. Make
 * holes, and return pages of the lower end.
 */
static bool make_holes(uint8_t *filler, uint8_t *low[QUEUES])
{
	static uint64_t entry[FILLER_PAGES];
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t i, j, n;

	for (i = 0; i < FILLER_PAGES; i++)
		filler[i * PAGE] = 0;
	if (fd < 0 || pread(fd, entry, sizeof(entry),
			    (uintptr_t)filler / PAGE * 8) != sizeof(entry))
		return false;
	close(fd);

	for (n = 0; n < QUEUES; n++) {
		for (i = 0, j = 0; i < FILLER_PAGES; i += 2)
			if (PM_PFN(entry[i]) < PM_PFN(entry[j]))
				j = i;
		low[n] = filler + j * PAGE;
		entry[j] = UINT64_MAX;
	}
	for (i = 1; i < FILLER_PAGES; i += 2)
		madvise(filler + i * PAGE, PAGE, MADV_DONTNEED);
	return true;
}

TEST_F(sva, compaction)
{
	size_t len = FILLER_PAGES * PAGE;
	uint8_t *low[QUEUES], *last = NULL;
	struct sva_queue q[QUEUES];
	uint64_t pfn[QUEUES];
	int i, round, moved = 0;

	for (i = 0; i < QUEUES; i++)
		ASSERT_EQ(0, sva_open(device[0], &q[i]));

	/* Which pages it moves is up to the kernel */
	for (round = 0; round < 10 && moved < 2 * QUEUES; round++) {
		uint8_t *filler = map_pages(FILLER_PAGES,
					    PROT_READ | PROT_WRITE);

		ASSERT_NE(MAP_FAILED, filler);
		ASSERT_EQ(0, madvise(filler, len, MADV_NOHUGEPAGE));
		ASSERT_TRUE(make_holes(filler, low));
		for (i = 0; i < QUEUES; i++) {
			ASSERT_TRUE(hammer(&q[i], low[i]));
			ASSERT_TRUE(hammers(&q[i]));
			pfn[i] = pfn_of(low[i]);
		}
		ASSERT_TRUE(write_file("/proc/sys/vm/compact_memory", "1"));

		for (i = 0; i < QUEUES; i++) {
			moved += pfn[i] != pfn_of(low[i]);
			EXPECT_TRUE(hammers(&q[i]));
			ASSERT_EQ(SVADEV_STATUS_OK, sva_end_hammer(&q[i]));
			EXPECT_EQ(q[i].rounds, *(uint64_t *)low[i]);
		}
		ASSERT_TRUE(device_is_quiet(&self->before));
		for (i = 0; i < QUEUES; i++) {
			uint64_t *word = (uint64_t *)low[i];

			ASSERT_EQ(SVADEV_STATUS_OK,
				  sva_fetch_add(&q[i], word, 1, 8));
			EXPECT_EQ(q[i].result + 1, *word);
			EXPECT_TRUE(bytes_are(word + 1, PAGE - 8, 0));
		}
		/* Leave some, for the memory to look different each time */
		if (last)
			munmap(last, len);
		last = filler;
	}
	munmap(last, len);
	EXPECT_LE(QUEUES, moved)
		TH_LOG("%d pages moved in %d rounds", moved, round);
	for (i = 0; i < QUEUES; i++)
		sva_close(&q[i]);
}

/* Pages with the same contents */

static bool ksm_start(void)
{
	return write_file(KSM "pages_to_scan", "2000") &&
	       write_file(KSM "sleep_millisecs", "1") &&
	       write_file(KSM "run", "1");
}

static bool ksm_stop(void)
{
	return write_file(KSM "run", "2");
}

static bool merged(const uint8_t *a, const uint8_t *b)
{
	return SOON(page_is(a, KPF_KSM) && pfn_of(a) == pfn_of(b));
}

TEST_F(sva, ksm)
{
	uint8_t *p = map_pages(3, PROT_READ | PROT_WRITE);
	uint64_t *count = (uint64_t *)(p + 2 * PAGE);
	struct sva_queue q;
	int round;

	if (driver_serves(&self->before))
		SKIP(return, "without IOPF an upgrade in place ends it by chance");
	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0, 3 * PAGE);
	ASSERT_EQ(0, sva_open(device[0], &q));
	ASSERT_EQ(0, madvise(p, 3 * PAGE, MADV_MERGEABLE));

	/* Next to them, one that looks alike until the device adds to it */
	ASSERT_TRUE(hammer(&q, count));
	ASSERT_TRUE(hammers(&q));
	for (round = 1; round < 4; round++) {
		ASSERT_EQ(SVADEV_STATUS_OK,
			  sva_fill(&self->q, p, round, 2 * PAGE));
		ASSERT_TRUE(ksm_start());
		ASSERT_TRUE(merged(p, p + PAGE));
		ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
		EXPECT_EQ(2 * PAGE * round, self->q.result);

		/* Written by the device, it is a page of its own again */
		ASSERT_EQ(SVADEV_STATUS_OK,
			  sva_write(&self->q, p + round * 16, 99, 1));
		EXPECT_NE(pfn_of(p), pfn_of(p + PAGE));
		EXPECT_EQ(99, p[round * 16]);
		EXPECT_TRUE(bytes_are(p + PAGE, PAGE, round));
		ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
		EXPECT_EQ((2 * PAGE - 1) * round + 99, self->q.result);
		ASSERT_TRUE(hammers(&q));
	}
	ASSERT_EQ(SVADEV_STATUS_OK, sva_end_hammer(&q));
	EXPECT_EQ(q.rounds, sva_load(count));

	ASSERT_TRUE(device_is_quiet(&self->before));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fetch_add(&q, count, 1, 8));
	EXPECT_EQ(q.result + 1, sva_load(count));
	EXPECT_TRUE(ksm_stop());
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 77, 2 * PAGE));
	EXPECT_TRUE(bytes_are(p, 2 * PAGE, 77));
	sva_close(&q);
	munmap(p, 3 * PAGE);
}

/*
 * Pages that merge while the device changes one of them, again and again. If one is
 * changed between the comparison and the write protection KSM leaves it protected:
 * the next write makes it writable in place, as in upgrade_in_place.
 */
TEST_F(sva, ksm_busy)
{
	size_t pages = QUEUES, i;
	uint8_t *p = map_pages(pages, PROT_READ | PROT_WRITE);
	int round;

	if (driver_serves(&self->before))
		SKIP(return, "without IOPF an upgrade in place ends it by chance");
	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0, pages * PAGE);
	ASSERT_EQ(0, madvise(p, pages * PAGE, MADV_MERGEABLE));
	ASSERT_TRUE(ksm_start());
	for (round = 1; round <= 200; round++) {
		for (i = 0; i < pages; i++) {
			ASSERT_EQ(SVADEV_STATUS_OK,
				  sva_fetch_add(&self->q, p + i * PAGE, 1, 8));
			ASSERT_EQ(round - 1, self->q.result);
		}
		usleep(500);
	}
	for (i = 0; i < pages; i++)
		EXPECT_EQ(200, *(uint64_t *)(p + i * PAGE));
	EXPECT_TRUE(merged(p, p + (pages - 1) * PAGE));
	EXPECT_TRUE(ksm_stop());
	ASSERT_TRUE(device_is_quiet(&self->before));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 3, pages * PAGE));
	EXPECT_TRUE(bytes_are(p, pages * PAGE, 3));
	munmap(p, pages * PAGE);
}

/* Mappings that change under a busy device */

#define BUSY_ROUNDS	100

/* A file whose pages can be looked at where the device does not reach them */
static uint8_t *map_file(size_t pages, int *fd)
{
	*fd = memfd_create("sva", MFD_CLOEXEC);
	if (*fd < 0 || ftruncate(*fd, pages * PAGE))
		return MAP_FAILED;
	return mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		    *fd, 0);
}

TEST_F(sva, mprotect_busy)
{
	uint64_t *word = (void *)map_pages(1, PROT_READ | PROT_WRITE);
	uint64_t sum = 0, seen;
	int i;

	ASSERT_NE(MAP_FAILED, word);
	*word = 0;
	for (i = 0; i < BUSY_ROUNDS; i++) {
		ASSERT_TRUE(hammer(&self->q, word));
		ASSERT_TRUE(hammers(&self->q));
		ASSERT_EQ(0, mprotect(word, PAGE, PROT_READ));

		/* From here on it cannot write any more */
		seen = sva_load(word);
		ASSERT_EQ(SVADEV_STATUS_FAULT, sva_wait(&self->q));
		sum += self->q.rounds;
		ASSERT_EQ(sum, seen);
		ASSERT_EQ(sum, sva_load(word));
		ASSERT_EQ(0, mprotect(word, PAGE, PROT_READ | PROT_WRITE));
	}
	ASSERT_TRUE(device_is_quiet(&self->before));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fetch_add(&self->q, word, 1, 8));
	EXPECT_EQ(sum + 1, *word);
	munmap(word, PAGE);
}

TEST_F(sva, munmap_busy)
{
	uint8_t *pages, *p = NULL;
	uint64_t seen;
	int i, fd;

	pages = map_file(BUSY_ROUNDS, &fd);
	ASSERT_NE(MAP_FAILED, pages);
	for (i = 0; i < BUSY_ROUNDS; i++) {
		uint64_t *word = (uint64_t *)(pages + i * PAGE);

		/* The same place each time, but another page */
		p = mmap(p, PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | (p ? MAP_FIXED_NOREPLACE : 0), fd,
			 i * PAGE);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_TRUE(hammer(&self->q, p));
		ASSERT_TRUE(hammers(&self->q));
		ASSERT_EQ(0, munmap(p, PAGE));

		seen = sva_load(word);
		ASSERT_EQ(SVADEV_STATUS_FAULT, sva_wait(&self->q));
		ASSERT_EQ(self->q.rounds, seen);
		ASSERT_EQ(self->q.rounds, sva_load(word));
	}
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_write(&self->q, p, 1, 8));
	munmap(pages, BUSY_ROUNDS * PAGE);
	close(fd);
}

TEST_F(sva, map_over_busy)
{
	uint8_t *pages, *p;
	uint64_t sum = 0, seen;
	int i, fd;

	pages = map_file(BUSY_ROUNDS, &fd);
	ASSERT_NE(MAP_FAILED, pages);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(hammer(&self->q, p));
	for (i = 1; i < BUSY_ROUNDS; i++) {
		uint64_t *old = (uint64_t *)(pages + (i - 1) * PAGE);

		ASSERT_TRUE(hammers(&self->q));
		ASSERT_EQ(p, mmap(p, PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, fd, i * PAGE));
		/* It adds to the new page now, and not to the old one */
		seen = sva_load(old);
		sum += seen;
		ASSERT_TRUE(hammers(&self->q));
		ASSERT_EQ(seen, sva_load(old));
		ASSERT_LT(0, sva_load((uint64_t *)p));
	}
	ASSERT_EQ(SVADEV_STATUS_OK, sva_end_hammer(&self->q));
	EXPECT_EQ(self->q.rounds, sum + sva_load((uint64_t *)p));

	ASSERT_TRUE(device_is_quiet(&self->before));
	seen = sva_load((uint64_t *)p);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fetch_add(&self->q, p, 1, 8));
	EXPECT_EQ(seen, self->q.result);
	munmap(p, PAGE);
	munmap(pages, BUSY_ROUNDS * PAGE);
	close(fd);
}

/* The page stays where it is, its entry in the page table does not */
TEST_F(sva, dontneed_busy)
{
	struct sva_queue q[QUEUES];
	uint8_t *p;
	int i, fd;

	p = map_file(QUEUES, &fd);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(hammer_all(q, p, PAGE));
	for (i = 0; i < BUSY_ROUNDS; i++) {
		ASSERT_EQ(0, madvise(p, QUEUES * PAGE, MADV_DONTNEED));
		ASSERT_TRUE(hammers(&q[i % QUEUES]));
	}
	for (i = 0; i < QUEUES; i++)
		EXPECT_LE(BUSY_ROUNDS / QUEUES,
			  sva_reg_read(&q[i], SVADEV_FAULTS));
	end_hammer_all(_metadata, q, p, PAGE, &self->before);
	munmap(p, QUEUES * PAGE);
	close(fd);
}

TEST_F(sva, mremap_busy)
{
	uint8_t *place = map_pages(2, PROT_NONE);
	uint64_t sum = 0, seen;
	int i;

	ASSERT_NE(MAP_FAILED, place);
	ASSERT_EQ(0, mprotect(place, PAGE, PROT_READ | PROT_WRITE));
	for (i = 0; i < BUSY_ROUNDS; i++) {
		uint8_t *from = place + (i % 2) * PAGE;
		uint8_t *to = place + (1 - i % 2) * PAGE;

		ASSERT_TRUE(hammer(&self->q, from));
		ASSERT_TRUE(hammers(&self->q));
		ASSERT_EQ(to, mremap(from, PAGE, PAGE,
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
		seen = sva_load((uint64_t *)to);
		ASSERT_EQ(SVADEV_STATUS_FAULT, sva_wait(&self->q));
		sum += self->q.rounds;
		ASSERT_EQ(sum, seen);
		ASSERT_EQ(sum, sva_load((uint64_t *)to));
	}
	ASSERT_TRUE(device_is_quiet(&self->before));
	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_fetch_add(&self->q, place + (i % 2) * PAGE, 1, 8));
	EXPECT_EQ(sum, self->q.result);
	munmap(place, 2 * PAGE);
}
