// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that a device's page faults bring in belongs to the process: it is
 * charged to the memory cgroup of the process, as if the CPU had touched it, and
 * bound by the limit of that. Each case has a control in which the CPU does what
 * the device does.
 */
#include "sva_case.h"
#include "sva_memcg.h"

#define RAMFS		"/tmp/ramfs"
#define FILE_PAGES	2048
#define TABLE_BYTES	(2ul << 20)	/* what a page table of 4 KiB maps */
#define TABLES		512

/* A cgroup is charged in advance, for each CPU */
#define AHEAD_KB	512

enum toucher { BY_CPU, BY_DEVICE };

enum touched {
	FILE_READ,
	FILE_WRITTEN,
	ANONYMOUS,
	PAGE_TABLES,
};

static bool cgroup2_ready(void)
{
	mkdir(MEMCG_MOUNT, 0755);
	return (!mount("cgroup2", MEMCG_MOUNT, "cgroup2", 0, NULL) ||
		errno == EBUSY) &&
	       write_file(MEMCG_MOUNT "/cgroup.subtree_control", "+memory");
}

/* Pages of a file that are in no cache yet. Nothing but memory is behind it. */
static uint8_t *map_new_file(size_t pages)
{
	uint8_t *p;
	int fd;

	mkdir(RAMFS, 0755);
	CHECK(!mount("ramfs", RAMFS, "ramfs", 0, NULL));
	fd = open(RAMFS "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	CHECK(!ftruncate(fd, pages * PAGE));
	p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	close(fd);
	return p;
}

/* Read or write a byte in each stretch of @step bytes */
static void touch(struct sva_queue *q, uint8_t *p, size_t len, size_t step,
		  bool write, enum toucher by)
{
	size_t i;

	for (i = 0; i < len; i += step) {
		if (by == BY_CPU && write)
			__atomic_store_n(p + i, 1, __ATOMIC_RELAXED);
		else if (by == BY_CPU)
			(void)__atomic_load_n(p + i, __ATOMIC_RELAXED);
		else if (write)
			CHECK(sva_write(q, p + i, 1, 1) == SVADEV_STATUS_OK);
		else
			CHECK(sva_read(q, p + i, 1) == SVADEV_STATUS_OK);
	}
}

/* In a child that is in the cgroup. Returns what was charged, in KiB. */
static long charged_for(enum touched what, enum toucher by)
{
	size_t len = what == PAGE_TABLES ? TABLES * TABLE_BYTES :
					   FILE_PAGES * PAGE;
	bool file = what == FILE_READ || what == FILE_WRITTEN;
	struct sva_queue q;
	uint8_t *p;
	long before;

	CHECK(!sva_open(device[0], &q));
	p = file ? map_new_file(FILE_PAGES) :
	    mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED);
	CHECK(file || !madvise(p, len, MADV_NOHUGEPAGE));
	before = memcg_number("charged", "memory.current");
	CHECK(before >= 0);
	touch(&q, p, len, what == PAGE_TABLES ? TABLE_BYTES : PAGE,
	      what == FILE_WRITTEN || what == ANONYMOUS, by);
	before = memcg_number("charged", "memory.current") - before;
	CHECK(!munmap(p, len));
	sva_close(&q);
	if (file)
		CHECK(!umount(RAMFS));
	return before / 1024;
}

static void is_charged(struct __test_metadata *_metadata, enum touched what)
{
	long kb[2], due = (what == PAGE_TABLES ? TABLES : FILE_PAGES) *
			  PAGE / 1024;
	int by, result[2];
	pid_t pid;

	ASSERT_TRUE(cgroup2_ready());
	ASSERT_EQ(0, pipe(result));
	for (by = BY_CPU; by <= BY_DEVICE; by++) {
		ASSERT_TRUE(memcg_make("charged"));
		pid = child();
		if (!pid) {
			long n;

			CHECK(memcg_join("charged"));
			n = charged_for(what, by);
			CHECK(write(result[1], &n, sizeof(n)) == sizeof(n));
			_exit(0);
		}
		ASSERT_EQ(0, wait_child(pid));
		ASSERT_EQ((ssize_t)sizeof(kb[by]),
			  read(result[0], &kb[by], sizeof(kb[by])));
		ASSERT_TRUE(memcg_remove("charged"));
	}
	EXPECT_LE(due - AHEAD_KB, kb[BY_CPU])
		TH_LOG("control: the CPU's %ld KiB are charged", due);
	EXPECT_LE(due - AHEAD_KB, kb[BY_DEVICE])
		TH_LOG("of %ld KiB the device brought in, %ld are charged",
		       due, kb[BY_DEVICE]);
}

TEST_F(sva, file_pages_read)
{
	is_charged(_metadata, FILE_READ);
}

TEST_F(sva, file_pages_written)
{
	is_charged(_metadata, FILE_WRITTEN);
}

TEST_F(sva, anonymous_pages)
{
	is_charged(_metadata, ANONYMOUS);
}

TEST_F(sva, page_tables)
{
	is_charged(_metadata, PAGE_TABLES);
}

/* The limit */

#define LIMIT		(8l << 20)
#define LIMIT_MAPPING	(16ul << 30)
/* What shows that there is no limit, and still leaves memory to the machine */
#define LIMIT_FAR_KB	(3 * LIMIT / 2 / 1024)

enum {
	LIMIT_REFUSED = 3,	/* the device's access failed */
	LIMIT_EXCEEDED,
	LIMIT_NOT_REACHED,
};

static long page_tables_kb(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];
	long kb = -1;

	CHECK(f);
	while (kb < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "VmPTE: %ld", &kb);
	fclose(f);
	return kb;
}

/* In a child: page tables, one for each byte that is read, and no pages */
static void exceed_limit(enum toucher by)
{
	struct sva_queue q;
	uint8_t *p;
	size_t i;

	CHECK(!sva_open(device[0], &q));
	p = mmap(NULL, LIMIT_MAPPING, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED);
	CHECK(!madvise(p, LIMIT_MAPPING, MADV_NOHUGEPAGE));
	CHECK(memcg_join("limited"));
	for (i = 0; i < LIMIT_MAPPING; i += TABLE_BYTES) {
		if (by == BY_CPU)
			(void)__atomic_load_n(p + i, __ATOMIC_RELAXED);
		else if (sva_read(&q, p + i, 1) != SVADEV_STATUS_OK)
			_exit(LIMIT_REFUSED);
		if (!(i / TABLE_BYTES % 128) &&
		    page_tables_kb() > LIMIT_FAR_KB)
			_exit(LIMIT_EXCEEDED);
	}
	_exit(LIMIT_NOT_REACHED);
}

static int end_at_limit(enum toucher by)
{
	int status;
	pid_t pid;

	if (!memcg_make("limited") ||
	    !memcg_write("limited", "memory.max", LIMIT))
		return -1;
	pid = child();
	if (!pid)
		exceed_limit(by);
	status = wait_child(pid);
	return memcg_remove("limited") ? status : -1;
}

TEST_F(sva, limit_holds)
{
	uint64_t word = 1;
	int status;

	ASSERT_TRUE(cgroup2_ready());
	/* The OOM killer shows the stack of its caller */
	self->before.logged = "Call ";
	EXPECT_EQ(1000 + SIGKILL, end_at_limit(BY_CPU));
	status = end_at_limit(BY_DEVICE);
	/* Others do not notice */
	EXPECT_EQ(SVADEV_STATUS_OK, sva_write(&self->q, &word, 2, 8));
	EXPECT_EQ(2, word);
	EXPECT_TRUE(status == LIMIT_REFUSED || status == 1000 + SIGKILL)
		TH_LOG("with a limit of %ld KiB, the process %s", LIMIT / 1024,
		       status == LIMIT_EXCEEDED ? "has more in page tables" :
		       "has not failed");
}
