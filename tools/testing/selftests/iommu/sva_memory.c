// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which memory of a process its device reaches, and what the device sees when
 * that memory changes.
 */
#include "sva_case.h"

#include <linux/userfaultfd.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

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

	pid = child();
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

TEST_F(sva, file_hole_punched)
{
	size_t len = 3 * PAGE;
	uint8_t *shared, *private;
	int fd = memfd_create("sva", MFD_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, len));
	shared = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_NE(MAP_FAILED, private);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, shared, 7, len));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_write(&self->q, private + PAGE, 9, 1));

	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       PAGE, PAGE));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, shared, len));
	EXPECT_EQ(2 * PAGE * 7, self->q.result);
	EXPECT_EQ(1, self->q.faults);

	/* A private copy is not part of the file any more */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, private + PAGE, PAGE));
	EXPECT_EQ((PAGE - 1) * 7 + 9, self->q.result);

	/* What is written there now is */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, shared + PAGE, 8, PAGE));
	EXPECT_TRUE(bytes_are(shared + PAGE, PAGE, 8));

	munmap(shared, len);
	munmap(private, len);
	close(fd);
}

TEST_F(sva, file_of_two_processes)
{
	struct gate ours, theirs;
	int fd = memfd_create("sva", MFD_CLOEXEC);
	uint8_t *p;
	pid_t pid;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 2 * PAGE));
	ASSERT_TRUE(gate_init(&ours));
	ASSERT_TRUE(gate_init(&theirs));

	pid = child();
	if (!pid) {
		uint8_t page[4096];

		/* Written before anybody has mapped it */
		memset(page, 1, sizeof(page));
		CHECK(pwrite(fd, page, PAGE, 0) == (ssize_t)PAGE);
		gate_open(&theirs);
		CHECK(gate_wait(&ours));
		CHECK(pread(fd, page, PAGE, PAGE) == (ssize_t)PAGE);
		CHECK(bytes_are(page, PAGE, 2));

		/* and while the device knows where it is */
		memset(page, 3, sizeof(page));
		CHECK(pwrite(fd, page, PAGE, 0) == (ssize_t)PAGE);
		CHECK(!ftruncate(fd, PAGE));
		_exit(0);
	}
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(gate_wait(&theirs));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(PAGE, self->q.result);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p + PAGE, 2, PAGE));
	gate_open(&ours);
	ASSERT_EQ(0, wait_child(pid));

	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(3 * PAGE, self->q.result);
	/* The other one has truncated it */
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_write(&self->q, p + PAGE, 1, 8));
	munmap(p, 2 * PAGE);
	close(fd);
}

TEST_F(sva, dev_zero)
{
	int i, fd = open("/dev/zero", O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	for (i = 0; i < 2; i++) {
		uint8_t *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
				  i ? MAP_SHARED : MAP_PRIVATE, fd, 0);

		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
		EXPECT_EQ(0, self->q.result);
		EXPECT_LT(0, self->q.faults);
		ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 4, PAGE));
		EXPECT_TRUE(bytes_are(p, PAGE, 4));
		EXPECT_TRUE(bytes_are(p + PAGE, PAGE, 0));
		munmap(p, 2 * PAGE);
	}
	close(fd);
}

TEST_F(sva, locked_memory)
{
	uint8_t *p = map_pages(8, PROT_READ | PROT_WRITE);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mlock(p, 8 * PAGE));

	/* It is all there, and stays */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 6, 8 * PAGE));
	EXPECT_EQ(0, self->q.faults);
	EXPECT_EQ(-1, madvise(p, 8 * PAGE, MADV_PAGEOUT));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 8 * PAGE));
	EXPECT_EQ(0, self->q.faults);
	EXPECT_EQ(8 * PAGE * 6, self->q.result);

	ASSERT_EQ(0, munlock(p, 8 * PAGE));
	munmap(p, 8 * PAGE);
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, p, 1));
}

TEST_F(sva, heap)
{
	uint8_t *p = sbrk(0);
	size_t to_page = -(uintptr_t)p % PAGE;

	/* Nothing allocates between here and the last sbrk() */
	ASSERT_NE((void *)-1, sbrk(to_page + 8 * PAGE));
	p += to_page;
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 5, 8 * PAGE));
	EXPECT_EQ(8, self->q.faults);
	EXPECT_TRUE(bytes_are(p, 8 * PAGE, 5));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, p + 8 * PAGE, 1));

	ASSERT_NE((void *)-1, sbrk(-4 * PAGE));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_fill(&self->q, p, 6, 8 * PAGE));
	EXPECT_EQ(4 * PAGE, self->q.done);
	EXPECT_EQ((uintptr_t)p + 4 * PAGE, self->q.fault_addr);

	/* It grows again, with new pages */
	ASSERT_NE((void *)-1, sbrk(4 * PAGE));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 8 * PAGE));
	EXPECT_EQ(4 * PAGE * 6, self->q.result);
	sbrk(-(8 * PAGE + to_page));
}

/* Bounds of the first mapping with this name. Returns false if there is none. */
static bool find_mapping(const char *name, uint8_t **start, uint8_t **end)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	bool found = false;
	char line[512];

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		found = strstr(line, name) &&
			sscanf(line, "%lx-%lx", &from, &to) == 2;
	}
	fclose(f);
	if (found) {
		*start = (uint8_t *)from;
		*end = (uint8_t *)to;
	}
	return found;
}

/*
 * A stack grows when a CPU touches what is below it. A device does not make it
 * grow: its page faults look for a mapping that has the address, as those of
 * other users of a foreign address space do, since only a CPU has a stack
 * pointer and an access to that place is more likely an error.
 */
TEST_F(sva, stack_does_not_grow)
{
	uint8_t *bottom, *top;

	ASSERT_TRUE(find_mapping("[stack]", &bottom, &top));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_write(&self->q, bottom - 8, 1, 8));
	EXPECT_EQ((uintptr_t)bottom - 8, self->q.fault_addr);
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, bottom - PAGE, 8));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, bottom, PAGE));

	/* Where it has grown for the CPU it is memory like any other */
	__atomic_store_n(bottom - 3 * PAGE, 7, __ATOMIC_RELAXED);
	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_fill(&self->q, bottom - 3 * PAGE, 8, 3 * PAGE));
	EXPECT_TRUE(bytes_are(bottom - 3 * PAGE, 3 * PAGE, 8));
	EXPECT_EQ(SVADEV_STATUS_FAULT,
		  sva_write(&self->q, bottom - 3 * PAGE - 8, 1, 8));
}

/* What serves the page faults of a range, by hand */
struct manager {
	int fd;
	uint8_t *page;		/* what to resolve faults with */
	unsigned int asked;
};

static int uffd_fill(int fd, void *to, void *from)
{
	return ioctl(fd, UFFDIO_COPY, &(struct uffdio_copy){
		.dst = (uintptr_t)to, .src = (uintptr_t)from, .len = PAGE });
}

static void *manager_main(void *arg)
{
	struct manager *m = arg;
	struct uffd_msg msg;

	while (read(m->fd, &msg, sizeof(msg)) == sizeof(msg)) {
		if (msg.event != UFFD_EVENT_PAGEFAULT)
			break;
		__atomic_add_fetch(&m->asked, 1, __ATOMIC_SEQ_CST);
		if (uffd_fill(m->fd, (void *)(msg.arg.pagefault.address &
					      -PAGE), m->page))
			break;
	}
	return NULL;
}

/*
 * A device does not wait for a userfaultfd. Its faults are served by a worker
 * of the kernel that cannot drop the mmap_lock, which a fault has to do to wait
 * for a manager; and a manager that never answers would keep the device, and
 * everybody who wants to unbind it, waiting. So the access fails, and the
 * manager does not hear of it.
 */
TEST_F(sva, userfaultfd_missing)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range;
	struct manager m = { .page = map_pages(1, PROT_READ | PROT_WRITE) };
	uint8_t *p = map_pages(4, PROT_READ | PROT_WRITE);
	pthread_t thread;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, m.page);
	pattern_set(m.page, PAGE, 1);
	m.fd = syscall(__NR_userfaultfd, O_CLOEXEC);
	ASSERT_LE(0, m.fd);
	ASSERT_EQ(0, ioctl(m.fd, UFFDIO_API, &api));
	range = (struct uffdio_register){
		.range = { (uintptr_t)p, 4 * PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING };
	ASSERT_EQ(0, ioctl(m.fd, UFFDIO_REGISTER, &range));
	ASSERT_EQ(0, pthread_create(&thread, NULL, manager_main, &m));

	/* Missing: refused, with a manager that would be there to serve it */
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, p, 8));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_write(&self->q, p, 1, 8));
	usleep(HAMMER_US);
	EXPECT_EQ(0, __atomic_load_n(&m.asked, __ATOMIC_SEQ_CST));

	/* Served for a CPU, */
	EXPECT_EQ(m.page[9], __atomic_load_n(p + 9, __ATOMIC_RELAXED));
	EXPECT_EQ(1, __atomic_load_n(&m.asked, __ATOMIC_SEQ_CST));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_compare(&self->q, p, m.page, PAGE));
	EXPECT_EQ(PAGE, self->q.result);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 2, PAGE));
	EXPECT_TRUE(bytes_are(p, PAGE, 2));

	/* or filled before anybody asks, it is memory like any other */
	ASSERT_EQ(0, uffd_fill(m.fd, p + PAGE, m.page));
	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_compare(&self->q, p + PAGE, m.page, PAGE));
	EXPECT_EQ(PAGE, self->q.result);

	/* Taken away again, it is missing again */
	ASSERT_EQ(0, madvise(p, PAGE, MADV_DONTNEED));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, p, 8));
	EXPECT_EQ(1, __atomic_load_n(&m.asked, __ATOMIC_SEQ_CST));

	/* Nobody's range any more: the kernel serves it */
	ASSERT_EQ(0, ioctl(m.fd, UFFDIO_UNREGISTER, &range.range));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, PAGE));
	EXPECT_EQ(0, self->q.result);

	pthread_cancel(thread);
	pthread_join(thread, NULL);
	close(m.fd);
	munmap(p, 4 * PAGE);
	munmap(m.page, PAGE);
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

	/* VT-d has no page request be made of these, and says so */
	self->before.told = "fs_canonical";

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

/*
 * Memory to be executed only. CPUs that cannot keep it from being read, such as
 * that of this machine, may read it, and so may the device once it is there;
 * but what the device asks the kernel for is to read, which the mapping denies.
 */
TEST_F(sva, exec_only)
{
	uint8_t *p = map_pages(2, PROT_EXEC);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, p, 8));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_write(&self->q, p, 1, 8));

	ASSERT_EQ(0, mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 9, 2 * PAGE));
	ASSERT_EQ(0, mprotect(p, 2 * PAGE, PROT_EXEC));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_fill(&self->q, p, 1, 2 * PAGE));
	EXPECT_EQ(0, self->q.done);

	ASSERT_EQ(0, mprotect(p, 2 * PAGE, PROT_READ | PROT_EXEC));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 2 * PAGE));
	EXPECT_EQ(2 * PAGE * 9, self->q.result);
	munmap(p, 2 * PAGE);
}

/* Mappings that have no pages of their own */
TEST_F(sva, vdso_and_vvar)
{
	uint8_t *vdso = (uint8_t *)getauxval(AT_SYSINFO_EHDR), *vvar, *end;
	uint8_t copy[64];

	ASSERT_NE(NULL, vdso);
	ASSERT_EQ(SVADEV_STATUS_OK,
		  sva_copy(&self->q, copy, vdso, sizeof(copy)));
	EXPECT_EQ(0, memcmp(copy, vdso, sizeof(copy)));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_write(&self->q, vdso, 0, 1));

	ASSERT_TRUE(find_mapping("[vvar]", &vvar, &end));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, vvar, PAGE));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_write(&self->q, vvar, 0, 1));
}

/*
 * The registers of a device are mapped like memory, but this device reaches
 * RAM only: DMA to them is translated, and fails on its way.
 */
TEST_F(sva, registers)
{
	uint64_t word = 0x1234;

	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, self->q.page, 8));
	EXPECT_EQ((uintptr_t)self->q.page, self->q.fault_addr);
	EXPECT_EQ(SVADEV_STATUS_FAULT,
		  sva_write(&self->q, (uint8_t *)self->q.page + SVADEV_GO,
			    SVADEV_GO_START, 8));
	EXPECT_EQ(SVADEV_STATUS_FAULT,
		  sva_fetch_add(&self->q, self->q.page, 1, 8));
	EXPECT_EQ(SVADEV_STATUS_FAULT,
		  sva_copy(&self->q, self->q.page, &word, 8));
	EXPECT_EQ(0, self->q.done);
	EXPECT_EQ(0, stalls_so_far(&self->before));

	ASSERT_EQ(SVADEV_STATUS_OK, sva_fetch_add(&self->q, &word, 1, 8));
	EXPECT_EQ(0x1235, word);
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
	pid = child();
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

TEST_F(sva, upgrade_in_place_by_device)
{
	uint8_t *p = map_pages(4, PROT_READ | PROT_WRITE);
	pid_t pid;
	int i;

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 1, 4 * PAGE);
	pid = child();
	if (!pid)
		_exit(0);
	ASSERT_EQ(0, wait_child(pid));

	/* A page on its way to an LRU list looks shared, and would be copied */
	ASSERT_TRUE(write_file("/proc/sys/vm/compact_memory", "1"));

	/* As above, but it is the device that writes first, */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 4 * PAGE));
	EXPECT_EQ(0, self->q.faults);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(SVADEV_STATUS_OK,
			  sva_fetch_add(&self->q, p + i * PAGE, 1, 8));
		EXPECT_EQ(1, self->q.faults);
	}
	/* and once is enough */
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 3, 3 * PAGE));
	EXPECT_EQ(0, self->q.faults);
	EXPECT_TRUE(bytes_are(p, 3 * PAGE, 3));
	EXPECT_TRUE(bytes_are(p + 3 * PAGE, PAGE, 1));
	munmap(p, 4 * PAGE);
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

TEST_F(sva, mremap_in_place)
{
	uint8_t *p = map_pages(4, PROT_READ | PROT_WRITE);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 1, 4 * PAGE));
	ASSERT_EQ(p, mremap(p, 4 * PAGE, 2 * PAGE, 0));
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_fill(&self->q, p, 2, 4 * PAGE));
	EXPECT_EQ(2 * PAGE, self->q.done);

	ASSERT_EQ(p, mremap(p, 2 * PAGE, 4 * PAGE, 0));
	ASSERT_EQ(SVADEV_STATUS_OK, sva_read(&self->q, p, 4 * PAGE));
	EXPECT_EQ(2 * PAGE * 2, self->q.result);
	EXPECT_EQ(2, self->q.faults);
	munmap(p, 4 * PAGE);
}
