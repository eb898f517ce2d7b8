/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that do not come: a file system in user space (FUSE) with a single file,
 * whose pages are read when a case says so. Until then a page fault on one of
 * them waits, which is what the owner of such a file can do to others as well.
 */
#ifndef SVA_PARK_H
#define SVA_PARK_H

#include <linux/fuse.h>
#include <sys/uio.h>

#define PARK_DIR	"/tmp/park"
#define PARK_FILE	PARK_DIR "/file"
#define PARK_FUSECTL	"/tmp/fusectl"
#ifndef PARK_PAGES
#define PARK_PAGES	4
#endif
#define PARK_BYTE	7

/* "Function not implemented": FUSE does not ask for it again */
#define PARK_NOT_THERE	38

/* Reads that can wait at a time, and the largest message of the kernel */
#define PARK_READS	(PARK_PAGES < 16 ? 16 : PARK_PAGES)
#define PARK_MESSAGE	(FUSE_MIN_READ_BUFFER + 65536)

/*
 * What does not depend on the page ends by then, however slow the machine is.
 * Less than what svadev's driver allows a queue to become idle.
 */
#define PARK_SOON_MS	3000
/* From the begin of a close() until it holds the locks that others wait for */
#define PARK_STUCK_US	200000

/* Shared by the server and the processes of a case */
struct park {
	uint64_t reads;		/* that wait for an answer */
	uint64_t answer;	/* the server may answer them */
	uint64_t first;		/* it may answer those of the first page */
	uint64_t ready;		/* the process waits for a page, or is about to */
	int fd;			/* that it is about to close */
	uint64_t ended;		/* its call has ended */
	uint64_t go;		/* it may end */
};

static inline void park_set(uint64_t *word, uint64_t val)
{
	__atomic_store_n(word, val, __ATOMIC_RELEASE);
}

static inline uint64_t park_get(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Wait until it holds, but not longer than PARK_SOON_MS */
#define PARK_SOON(cond) ({						\
	uint64_t park_end = sva_now_ms() + PARK_SOON_MS;		\
	bool park_holds;						\
									\
	while (!(park_holds = (cond)) && sva_now_ms() < park_end)	\
		usleep(5000);						\
	park_holds;							\
})

static inline struct park *park_alloc(void)
{
	struct park *park = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return park == MAP_FAILED ? NULL : park;
}

/* Open /dev/fuse and mount the file system. Returns -1 if that fails. */
static inline int park_mount(void)
{
	char options[80];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -1;
	mkdir(PARK_DIR, 0755);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	if (mount("park", PARK_DIR, "fuse", 0, options)) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline void park_attr(struct fuse_attr *attr, uint64_t node)
{
	bool root = node == FUSE_ROOT_ID;

	attr->ino = node;
	attr->mode = root ? S_IFDIR | 0755 : S_IFREG | 0644;
	attr->size = root ? 0 : PARK_PAGES * PAGE;
	attr->nlink = 1;
	attr->blksize = PAGE;
}

static inline void park_reply(int fd, uint64_t unique, int error,
			      void *data, size_t len)
{
	struct fuse_out_header head = {
		.len = sizeof(head) + len, .error = error, .unique = unique,
	};
	struct iovec iov[2] = {
		{ .iov_base = &head, .iov_len = sizeof(head) },
		{ .iov_base = data, .iov_len = len },
	};

	/* The request may have been interrupted: nothing waits for it then */
	(void)!writev(fd, iov, len ? 2 : 1);
}

/* A read that waits */
struct park_read {
	uint64_t unique;
	uint64_t offset;
	uint32_t size;
};

/* Answer @message, but note a read in @reads instead of answering it */
static inline void park_request(int fd, struct park *park, void *message,
				struct park_read *reads, int *n)
{
	struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION, .minor = 31,
		.max_readahead = PAGE, .max_write = PAGE,
		.max_background = PARK_READS, .time_gran = 1,
	};
	struct fuse_entry_out entry = {
		.nodeid = FUSE_ROOT_ID + 1,
		.entry_valid = 1000, .attr_valid = 1000,
	};
	struct fuse_attr_out attr = { .attr_valid = 1000 };
	struct fuse_open_out open = {};
	struct fuse_in_header *head = message;
	struct fuse_read_in *read = (void *)(head + 1);

	switch (head->opcode) {
	case FUSE_INIT:
		park_reply(fd, head->unique, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		park_attr(&entry.attr, entry.nodeid);
		park_reply(fd, head->unique, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
		park_attr(&attr.attr, head->nodeid);
		park_reply(fd, head->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		park_reply(fd, head->unique, 0, &open, sizeof(open));
		break;
	case FUSE_READ:
		if (*n == PARK_READS) {
			park_reply(fd, head->unique, -EIO, NULL, 0);
			break;
		}
		reads[*n].unique = head->unique;
		reads[*n].offset = read->offset;
		reads[(*n)++].size = read->size;
		park_set(&park->reads, park->reads + 1);
		break;
	case FUSE_RELEASE:
		park_reply(fd, head->unique, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		/* FUSE_FLUSH too: no close() is to wait for the server */
		park_reply(fd, head->unique, -PARK_NOT_THERE, NULL, 0);
	}
}

/* Until the file system is unmounted, or its connection aborted */
static inline void park_serve(int fd, struct park *park)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t *message = malloc(PARK_MESSAGE), *data = malloc(PARK_MESSAGE);
	struct park_read reads[PARK_READS];
	int n = 0, i;

	if (!message || !data)
		return;
	memset(data, PARK_BYTE, PARK_MESSAGE);
	for (;;) {
		for (i = n - 1; i >= 0; i--) {
			if (!park_get(&park->answer) &&
			    (reads[i].offset || !park_get(&park->first)))
				continue;
			park_reply(fd, reads[i].unique, 0, data, reads[i].size);
			reads[i] = reads[--n];
		}
		if (poll(&p, 1, 5) <= 0)
			continue;
		if (read(fd, message, PARK_MESSAGE) <= 0) {
			if (errno == ENODEV)
				return;
			continue;
		}
		park_request(fd, park, message, reads, &n);
	}
}

/* With a process that serves the file system. Returns NULL if it fails. */
static inline struct park *park_start(pid_t *server)
{
	struct park *park = park_alloc();
	int fd;

	if (!park)
		return NULL;
	fd = park_mount();
	if (fd < 0)
		return NULL;
	*server = child();
	if (!*server) {
		park_serve(fd, park);
		_exit(0);
	}
	close(fd);
	return park;
}

/* Abort every connection, so that nothing waits for a server any more */
static inline void park_abort(void)
{
	char path[300];
	struct dirent *entry;
	DIR *dir;

	mkdir(PARK_FUSECTL, 0755);
	mount("fusectl", PARK_FUSECTL, "fusectl", 0, NULL);
	dir = opendir(PARK_FUSECTL);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), PARK_FUSECTL "/%s/abort",
			 entry->d_name);
		write_file(path, "1");
	}
	if (dir)
		closedir(dir);
	umount2(PARK_FUSECTL, MNT_DETACH);
}

/* The page comes */
static inline void park_answer(struct park *park)
{
	park_set(&park->answer, 1);
	park_set(&park->go, 1);
}

static inline void park_stop(struct park *park, pid_t server)
{
	park_answer(park);
	umount2(PARK_DIR, MNT_DETACH);
	park_abort();
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	munmap(park, PAGE);
}

/* A mapping of the file, at @at if not NULL. In a child. */
static inline uint8_t *park_map(void *at)
{
	int fd = open(PARK_FILE, O_RDONLY | O_CLOEXEC);
	uint8_t *p;

	CHECK(fd >= 0);
	p = mmap(at, PAGE, PROT_READ, MAP_PRIVATE | (at ? MAP_FIXED : 0), fd, 0);
	CHECK(p != MAP_FAILED && (!at || p == at));
	close(fd);
	return p;
}

/*
 * In a child: a device that repeats reading a page, which is then replaced by
 * one that does not come. Returns when the device waits for it. The registers
 * are unmapped before, if not to be kept: while the device waits, the kernel may
 * hold the address space's lock, and munmap() would wait as well.
 */
static inline void park_device(struct park *park, struct sva_queue *q,
			       bool keep_registers)
{
	uint8_t *page = map_pages(1, PROT_READ | PROT_WRITE);

	CHECK(page != MAP_FAILED);
	memset(page, 1, PAGE);
	CHECK(sva_submit(q, &(struct sva_op){
		.op = SVADEV_OP_READ, .src = page, .len = 1,
		.hammer_ns = HAMMER_NS }));
	CHECK(hammers(q));
	if (!keep_registers)
		CHECK(!munmap(q->page, PAGE));
	park_map(page);
	CHECK(SOON(park_get(&park->reads)));
}

/* Is it dead? It stays for waitpid() to find. */
static inline bool park_is_dead(pid_t pid)
{
	siginfo_t info = {};

	return !waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) &&
	       info.si_pid == pid;
}

/* What a task does, as in /proc: 'D' for an uninterruptible wait, 0 if none */
static inline char park_task_state(pid_t pid, pid_t tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(f);
	return state;
}

/* Has a process begun to close one of its files, and had time to get stuck? */
static inline bool park_closes(pid_t pid, int fd)
{
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	/* Of the link: not to hold the file ourselves when it is closed */
	return lstat(path, &st) && errno == ENOENT && !usleep(PARK_STUCK_US);
}

/* Where the tasks of a process wait in the kernel, for the log of a failure */
static inline void park_show_stacks(const char *what, pid_t pid)
{
	char path[300], line[128];
	struct dirent *entry;
	DIR *dir;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stack", pid,
			 entry->d_name);
		f = fopen(path, "r");
		while (f && fgets(line, sizeof(line), f))
			fprintf(stderr, "# %s: %s", what, line);
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
}

#endif /* SVA_PARK_H */
