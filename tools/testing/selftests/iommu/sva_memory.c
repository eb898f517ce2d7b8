// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which memory of a process its device reaches, and what the device sees when
 * that memory changes.
 */
#include "sva_case.h"

/* Which memory the device reaches */

TEST_F(sva, touched_malloc)
{
	size_t len = 5 * PAGE + 123;
	uint8_t *src = malloc(len), *dst = malloc(len);

	ASSERT_NE(NULL, src);
	ASSERT_NE(NULL, dst);
	pattern_set(src, len, 1);
	memset(dst, 0, len);

	ASSERT_EQ(SVADEV_STATUS_OK, sva_copy(&self->q, dst, src, len));
	EXPECT_EQ(len, self->q.done);
	EXPECT_TRUE(pattern_is(dst, len, 1));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_compare(&self->q, dst, src, len));
	EXPECT_EQ(len, self->q.result);

	/* All of it was there: nothing to fault in */
	EXPECT_EQ(0, stalls_so_far(&self->before));
	free(src);
	free(dst);
}

TEST_F(sva, untouched_malloc)
{
	size_t len = 64 * PAGE;
	uint8_t *dst = malloc(len), *src = malloc(len);

	ASSERT_NE(NULL, src);
	ASSERT_NE(NULL, dst);

	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, dst, 0x5a, len));
	EXPECT_LT(0, self->q.faults);
	EXPECT_TRUE(bytes_are(dst, len, 0x5a));

	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, src + PAGE, len / 2));
	EXPECT_LT(0, self->q.faults);
	EXPECT_EQ(0, self->q.result);
	EXPECT_LT(0, stalls_so_far(&self->before));
	free(src);
	free(dst);
}

static uint8_t data_section[10000] = { 1, 2, 3 };
static uint8_t bss_section[10000];
static const char const_section[] = "a constant for the device to read";

TEST_F(sva, stack_and_globals)
{
	uint8_t stack[10000];
	char text[sizeof(const_section)];

	pattern_set(data_section, sizeof(data_section), 2);
	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_copy(&self->q, bss_section, data_section,
			   sizeof(bss_section)));
	EXPECT_TRUE(pattern_is(bss_section, sizeof(bss_section), 2));

	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_copy(&self->q, stack, bss_section, sizeof(stack)));
	EXPECT_TRUE(pattern_is(stack, sizeof(stack), 2));

	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_copy(&self->q, text, const_section, sizeof(text)));
	EXPECT_STREQ(const_section, text);
}

TEST_F(sva, file_mapping)
{
	size_t len = 4 * PAGE;
	uint8_t *shared, *private, back[64];
	int fd = memfd_create("sva", MFD_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, len));
	shared = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_NE(MAP_FAILED, private);

	/* The file sees what the device writes through the shared mapping */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, shared, 0x11, len));
	ASSERT_EQ((ssize_t)sizeof(back),
		  pread(fd, back, sizeof(back), 3 * PAGE));
	EXPECT_TRUE(bytes_are(back, sizeof(back), 0x11));

	/* The device sees what is written to the file */
	memset(back, 0x22, sizeof(back));
	ASSERT_EQ((ssize_t)sizeof(back), pwrite(fd, back, sizeof(back), PAGE));
	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_read(&self->q, private + PAGE, sizeof(back)));
	EXPECT_EQ(0x22 * sizeof(back), self->q.result);

	/* Not the file's: what the device writes through the private one */
	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_fill(&self->q, private + PAGE, 0x33, PAGE));
	EXPECT_TRUE(bytes_are(private + PAGE, PAGE, 0x33));
	EXPECT_TRUE(bytes_are(shared + PAGE, sizeof(back), 0x22));

	munmap(shared, len);
	munmap(private, len);
	close(fd);
}

TEST_F(sva, beyond_end_of_file)
{
	int fd = memfd_create("sva", MFD_CLOEXEC);
	uint8_t *p;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 2 * PAGE));
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);

	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 1, 2 * PAGE));
	ASSERT_EQ(0, ftruncate(fd, PAGE));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_fill(&self->q, p, 2, 2 * PAGE));
	EXPECT_EQ(PAGE, self->q.done);
	EXPECT_TRUE(bytes_are(p, PAGE, 2));

	munmap(p, 2 * PAGE);
	close(fd);
}

TEST_F(sva, shared_memory)
{
	uint8_t *p;
	pid_t pid;

	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 0x44, 2 * PAGE));

	pid = fork();
	if (!pid) {
		CHECK(bytes_are(p, 2 * PAGE, 0x44));
		memset(p + PAGE, 0x55, PAGE);
		_exit(0);
	}
	ASSERT_EQ(0, wait_child(pid));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p + PAGE, PAGE));
	EXPECT_EQ(0x55 * PAGE, self->q.result);
	munmap(p, 2 * PAGE);
}

/* What it must not do */

TEST_F(sva, readonly_is_not_written)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);

	ASSERT_NE(MAP_FAILED, p);
	pattern_set(p, 2 * PAGE, 3);
	/* The device may have learned that the pages are writable */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_write(&self->q, p, p[0], 1));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_write(&self->q, p + PAGE, p[PAGE], 1));

	ASSERT_EQ(0, mprotect(p, 2 * PAGE, PROT_READ));
	EXPECT_EQ(SVADEV_STATUS_FAULT,
		  sva_fill(&self->q, p + PAGE - 8, 0xee, 16));
	EXPECT_EQ((uintptr_t)p + PAGE - 8, self->q.fault_addr);
	EXPECT_EQ(0, self->q.done);
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_fetch_add(&self->q, p + PAGE, 1, 8));
	EXPECT_TRUE(pattern_is(p, 2 * PAGE, 3));

	/* Reading is allowed */
	EXPECT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
	EXPECT_EQ(pattern_sum(2 * PAGE, 3), self->q.result);
	munmap(p, 2 * PAGE);
}

TEST_F(sva, untouched_readonly_is_not_written)
{
	uint8_t *p = map_pages(1, PROT_READ);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_write(&self->q, p, 1, 8));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(0, self->q.result);
	EXPECT_EQ(SVADEV_STATUS_FAULT,
		  sva_write(&self->q, (void *)const_section, 1, 1));
	EXPECT_EQ('a', const_section[0]);
	munmap(p, PAGE);
}

TEST_F(sva, no_access_at_all)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0x77, 2 * PAGE);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
	ASSERT_EQ(0, mprotect(p + PAGE, PAGE, PROT_NONE));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, p, 2 * PAGE));
	EXPECT_EQ((uintptr_t)p + PAGE, self->q.fault_addr);
	EXPECT_EQ(PAGE, self->q.done);
	munmap(p, 2 * PAGE);
}

TEST_F(sva, not_an_address)
{
	static const uint64_t bad[] = {
		0, 8, 1ull << 47, 1ull << 48, 1ull << 55, 1ull << 60,
		0xffff000000000000, 0xffff800000000000, 0xffff888000000000,
		-8,
	};
	uint64_t before = 0x1234;
	size_t i;

	/* Where user space ends depends on the machine; these are beyond */
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		if (bad[i] == 1ull << 47)
			continue;
		EXPECT_EQ(SVADEV_STATUS_FAULT,
			  sva_read(&self->q, (void *)bad[i], 8))
			TH_LOG("read of %#lx", bad[i]);
		EXPECT_EQ(SVADEV_STATUS_FAULT,
			  sva_copy(&self->q, (void *)bad[i], &before, 8))
			TH_LOG("write to %#lx", bad[i]);
	}
	/* And the queue is none the worse for it */
	EXPECT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, &before, 8));
}

/* Changes of the address space */

TEST_F(sva, upgrade_of_zero_page)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);

	ASSERT_NE(MAP_FAILED, p);

	/* Device reads, CPU writes, device reads again and writes */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(0, self->q.result);
	memset(p, 1, PAGE);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(PAGE, self->q.result);
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, PAGE));
	EXPECT_TRUE(bytes_are(p, PAGE, 2));

	/* CPU reads, device reads and writes */
	EXPECT_TRUE(bytes_are(p + PAGE, PAGE, 0));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p + PAGE, PAGE));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p + PAGE, 3, PAGE));
	EXPECT_TRUE(bytes_are(p + PAGE, PAGE, 3));
	munmap(p, 2 * PAGE);
}

TEST_F(sva, upgrade_in_place)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 1, PAGE);

	/* fork() leaves the page read-only, and once the child is gone, */
	pid = fork();
	if (!pid)
		_exit(0);
	ASSERT_EQ(0, wait_child(pid));

	/* the device learns that it is, */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(PAGE, self->q.result);

	/*
	 * the CPU makes it writable again without moving it, which the kernel
	 * need not tell the IOMMU,
	 */
	memset(p, 2, PAGE);

	/* and now the device may write. */
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 3, PAGE))
		TH_LOG("%s after %lu faults", sva_status_name(self->q.status),
		       self->q.faults);
	EXPECT_TRUE(bytes_are(p, PAGE, 3));
	munmap(p, PAGE);
}

TEST_F(sva, munmap)
{
	uint8_t *p = map_pages(4, PROT_READ | PROT_WRITE);
	uint8_t *guard = map_pages(1, PROT_READ | PROT_WRITE);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, guard);
	memset(p, 1, 4 * PAGE);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, 4 * PAGE));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 4 * PAGE));

	ASSERT_EQ(0, munmap(p + PAGE, 2 * PAGE));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, p + PAGE, 1));
	EXPECT_EQ((uintptr_t)p + PAGE, self->q.fault_addr);
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_write(&self->q, p + 2 * PAGE, 1, 8));

	/* The rest is still there; a copy into the hole ends at its edge */
	EXPECT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p + 3 * PAGE, PAGE));
	EXPECT_EQ(2 * PAGE, self->q.result);
	memset(guard, 9, PAGE);
	EXPECT_EQ(SVADEV_STATUS_FAULT,
		  sva_copy(&self->q, p + PAGE - 100, guard, 200));
	EXPECT_EQ(100, self->q.done);
	EXPECT_TRUE(bytes_are(p + PAGE - 100, 100, 9));

	munmap(p, PAGE);
	munmap(p + 3 * PAGE, PAGE);
	munmap(guard, PAGE);
}

TEST_F(sva, munmap_and_mmap_again)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 1; i < 50; i++) {
		memset(p, i, 2 * PAGE);
		ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
		ASSERT_EQ(2 * PAGE * i, self->q.result);
		ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 255, PAGE));

		ASSERT_EQ(0, munmap(p, 2 * PAGE));
		ASSERT_EQ(p, mmap(p, 2 * PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS |
				  MAP_FIXED_NOREPLACE, -1, 0));
		/* New pages, seen by the device before the CPU touches them */
		ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
		ASSERT_EQ(0, self->q.result);
	}
	munmap(p, 2 * PAGE);
}

TEST_F(sva, map_over)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 1; i < 50; i++) {
		memset(p, i, PAGE);
		ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, i + 1, PAGE));
		ASSERT_EQ(p, mmap(p, PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				  0));
		ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
		ASSERT_EQ(0, self->q.result);
	}
	munmap(p, PAGE);
}

TEST_F(sva, mprotect_down_and_up)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 1; i < 20; i++) {
		ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, i, 2 * PAGE));
		ASSERT_EQ(0, mprotect(p, 2 * PAGE, PROT_READ));
		ASSERT_EQ(SVADEV_STATUS_FAULT, sva_fill(&self->q, p, 0, PAGE));
		ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
		ASSERT_EQ(2 * PAGE * i, self->q.result);
		ASSERT_EQ(0, mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE));
		ASSERT_TRUE(bytes_are(p, 2 * PAGE, i));
	}
	munmap(p, 2 * PAGE);
}

TEST_F(sva, madvise_dontneed)
{
	uint8_t *p = map_pages(3, PROT_READ | PROT_WRITE);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 5, 3 * PAGE));
	ASSERT_EQ(0, madvise(p + PAGE, PAGE, MADV_DONTNEED));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 3 * PAGE));
	EXPECT_EQ(2 * PAGE * 5, self->q.result);
	munmap(p, 3 * PAGE);
}

TEST_F(sva, mremap)
{
	uint8_t *old = map_pages(2, PROT_READ | PROT_WRITE), *new;

	ASSERT_NE(MAP_FAILED, old);
	pattern_set(old, 2 * PAGE, 6);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, old, 2 * PAGE));

	new = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	ASSERT_NE(MAP_FAILED, new);
	ASSERT_EQ(new, mremap(old, 2 * PAGE, 2 * PAGE,
			      MREMAP_MAYMOVE | MREMAP_FIXED, new));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, old, 1));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, new, 2 * PAGE));
	EXPECT_EQ(pattern_sum(2 * PAGE, 6), self->q.result);
	munmap(new, 2 * PAGE);
}
