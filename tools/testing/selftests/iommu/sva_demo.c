// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process and an accelerator share an address space: what that looks like.
 *
 * Each step has svadev use pointers of this process, checks with the CPU what
 * came of it, and shows what the IOMMU was made to do meanwhile.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "svadev_lib.h"

#define LEN	(16 * (size_t)getpagesize())

struct demo {
	int device[2];
	int devices;
	struct sva_queue q;
	uint64_t bytes;		/* moved by the device in this step */
	uint64_t faults;	/* that the device had to wait for */
	struct sva_counters quiet_from;	/* since when to count stale hits */
	char why[128];		/* the first thing that went wrong */
};

struct step {
	const char *name;
	const char *device_does;
	bool (*run)(struct demo *d);
};

/* Notes what is not as it should be; the first thing counts. Returns @ok. */
static bool expect(struct demo *d, bool ok, const char *fmt, ...)
{
	va_list args;

	if (!ok && !d->why[0]) {
		va_start(args, fmt);
		vsnprintf(d->why, sizeof(d->why), fmt, args);
		va_end(args);
	}
	return ok;
}

/* Takes the outcome of the operation that @q has just run */
static bool ended(struct demo *d, struct sva_queue *q, uint64_t status)
{
	d->bytes += q->done;
	d->faults += q->faults;
	return expect(d, q->status == status,
		      "the device says \"%s\" at %#lx instead of \"%s\"",
		      sva_status_name(q->status), q->fault_addr,
		      sva_status_name(status));
}

static bool all_bytes(struct demo *d, const uint8_t *p, uint8_t byte)
{
	size_t i;

	for (i = 0; i < LEN; i++)
		if (p[i] != byte)
			return expect(d, false, "byte %zu is %#x, not %#x", i,
				      p[i], byte);
	return true;
}

static uint8_t *map(void)
{
	uint8_t *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

static bool child_agrees(struct demo *d, pid_t pid, const char *what)
{
	int status;

	return expect(d, waitpid(pid, &status, 0) == pid &&
			 WIFEXITED(status) && !WEXITSTATUS(status),
		      "the child does not agree: %s", what);
}

static bool step_open(struct demo *d)
{
	int ret = sva_open(d->device[0], &d->q);

	return expect(d, !ret, "%s", strerror(-ret));
}

static bool step_copy(struct demo *d)
{
	uint8_t *src = malloc(LEN), *dst = malloc(LEN);
	bool ok;
	size_t i;

	for (i = 0; i < LEN; i++)
		src[i] = i * 7;
	memset(dst, 0, LEN);
	sva_copy(&d->q, dst, src, LEN);
	ok = ended(d, &d->q, SVADEV_STATUS_OK) &&
	     expect(d, !memcmp(dst, src, LEN), "the copy differs");
	free(src);
	free(dst);
	return ok;
}

static bool step_untouched(struct demo *d)
{
	uint8_t *p = map();
	bool ok;

	sva_fill(&d->q, p, 0x5a, LEN);
	ok = ended(d, &d->q, SVADEV_STATUS_OK) && all_bytes(d, p, 0x5a) &&
	     expect(d, d->faults, "there was no page fault");
	munmap(p, LEN);
	return ok;
}

static bool step_stack(struct demo *d)
{
	uint64_t on_stack = 40;

	sva_fetch_add(&d->q, &on_stack, 2, sizeof(on_stack));
	return ended(d, &d->q, SVADEV_STATUS_OK) &&
	       expect(d, on_stack == 42 && d->q.result == 40,
		      "40 + 2 is %lu", on_stack);
}

static bool step_file(struct demo *d)
{
	int fd = memfd_create("demo", MFD_CLOEXEC);
	uint8_t *p = MAP_FAILED, *back = malloc(LEN);
	bool ok;

	if (fd >= 0 && !ftruncate(fd, LEN))
		p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!expect(d, p != MAP_FAILED, "cannot map a file"))
		return false;

	sva_fill(&d->q, p, 0x11, LEN);
	ok = ended(d, &d->q, SVADEV_STATUS_OK) &&
	     expect(d, pread(fd, back, LEN, 0) == (ssize_t)LEN,
		    "cannot read the file") &&
	     all_bytes(d, back, 0x11);
	munmap(p, LEN);
	close(fd);
	free(back);
	return ok;
}

static bool step_atomics(struct demo *d)
{
	uint64_t end = sva_now_ms() + SVA_TIMEOUT_MS;
	uint64_t *word = (uint64_t *)map();
	struct sva_op hammer = {
		.op = SVADEV_OP_FETCH_ADD, .value = 1, .len = sizeof(*word),
		.hammer_ns = 100,
	};
	uint64_t adds = 0;
	bool ok;

	*word = 0;
	hammer.dst = word;
	if (!sva_submit(&d->q, &hammer))
		return expect(d, false, "the queue is busy");
	do {
		__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
		adds++;
	} while (adds % 1000 || (sva_now_ms() < end &&
		 sva_reg_read(&d->q, SVADEV_ROUNDS) < 1000));
	sva_end_hammer(&d->q);
	ok = ended(d, &d->q, SVADEV_STATUS_OK);
	d->bytes = d->q.rounds * sizeof(*word);
	ok = ok && expect(d, d->q.rounds >= 1000,
			  "the device added only %lu times", d->q.rounds) &&
	     expect(d, *word == adds + d->q.rounds, "%lu + %lu is %lu", adds,
		    d->q.rounds, *word);
	munmap(word, LEN);
	return ok;
}

static bool step_readonly(struct demo *d)
{
	uint8_t *p = map();
	bool ok;

	memset(p, 1, LEN);
	mprotect(p, LEN, PROT_READ);
	sva_fill(&d->q, p, 2, LEN);
	ok = ended(d, &d->q, SVADEV_STATUS_FAULT) && all_bytes(d, p, 1);
	munmap(p, LEN);
	return ok;
}

static bool step_munmap(struct demo *d)
{
	uint8_t *p = map();

	memset(p, 1, LEN);
	sva_read(&d->q, p, LEN);
	if (!ended(d, &d->q, SVADEV_STATUS_OK))
		return false;
	munmap(p, LEN);
	sva_read(&d->q, p, LEN);
	return ended(d, &d->q, SVADEV_STATUS_FAULT) &&
	       expect(d, d->q.fault_addr == (uintptr_t)p,
		      "the fault is at %#lx, not at %p", d->q.fault_addr, p);
}

static bool step_map_again(struct demo *d)
{
	uint8_t *p = map(), *again;
	bool ok;

	memset(p, 1, LEN);
	sva_read(&d->q, p, LEN);
	if (!ended(d, &d->q, SVADEV_STATUS_OK))
		return false;
	again = mmap(p, LEN, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (!expect(d, again == p, "cannot map again"))
		return false;
	sva_read(&d->q, p, LEN);
	ok = ended(d, &d->q, SVADEV_STATUS_OK) &&
	     expect(d, !d->q.result, "the device sees the old page");
	munmap(p, LEN);
	return ok;
}

static bool step_fork(struct demo *d)
{
	uint8_t *p = map();
	int go[2];
	bool ok;
	pid_t pid;
	char c;

	if (!expect(d, !pipe(go), "no pipe"))
		return false;
	memset(p, 1, LEN);
	pid = fork();
	if (!pid) {
		/* Once the parent's device has written */
		if (read(go[0], &c, 1) != 1)
			_exit(1);
		_exit(!all_bytes(d, p, 1));
	}
	sva_fill(&d->q, p, 2, LEN);
	ok = ended(d, &d->q, SVADEV_STATUS_OK) && all_bytes(d, p, 2);
	ok &= write(go[1], "", 1) == 1;
	ok &= child_agrees(d, pid, "its memory has changed");
	munmap(p, LEN);
	close(go[0]);
	close(go[1]);
	return ok;
}

static bool step_two_processes(struct demo *d)
{
	uint8_t *p = map();
	bool ok;
	pid_t pid;

	memset(p, 1, LEN);
	pid = fork();
	if (!pid) {
		struct sva_queue q;

		memset(p, 2, LEN);
		if (sva_open(d->device[0], &q))
			_exit(1);
		sva_fill(&q, p, 3, LEN);
		ok = ended(d, &q, SVADEV_STATUS_OK) && all_bytes(d, p, 3);
		sva_close(&q);
		_exit(!ok);
	}
	ok = child_agrees(d, pid, "its queue did not write its memory");
	sva_read(&d->q, p, LEN);
	ok = ok && ended(d, &d->q, SVADEV_STATUS_OK) &&
	     expect(d, d->q.result == LEN, "ours has changed too");
	munmap(p, LEN);
	return ok;
}

static bool step_two_devices(struct demo *d)
{
	struct sva_queue second;
	uint8_t *a = map(), *b = map();
	bool ok;
	int ret;

	ret = sva_open(d->device[1], &second);
	if (!expect(d, !ret, "cannot open it: %s", strerror(-ret)))
		return false;
	sva_fill(&d->q, a, 7, LEN);
	ok = ended(d, &d->q, SVADEV_STATUS_OK);
	sva_copy(&second, b, a, LEN);
	ok = ok && ended(d, &second, SVADEV_STATUS_OK) && all_bytes(d, b, 7);
	sva_close(&second);
	munmap(a, LEN);
	munmap(b, LEN);
	return ok;
}

static bool step_kill(struct demo *d)
{
	long queues = sva_sysfs(d->device[0], "available_instances");
	uint64_t end = sva_now_ms() + SVA_TIMEOUT_MS;
	uint64_t word = 1;
	int ready[2], status;
	bool ok;
	pid_t pid;
	char c;

	if (!expect(d, !pipe(ready), "no pipe"))
		return false;
	pid = fork();
	if (!pid) {
		uint8_t *p = map();
		struct sva_op hammer = {
			.op = SVADEV_OP_FILL, .dst = p, .value = 1,
			.len = LEN, .hammer_ns = 1000,
		};
		struct sva_queue q;

		if (sva_open(d->device[0], &q) || !sva_submit(&q, &hammer))
			_exit(1);
		while (!sva_reg_read(&q, SVADEV_ROUNDS))
			;
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			madvise(p, LEN, MADV_DONTNEED);	/* more page faults */
	}
	close(ready[1]);
	ok = expect(d, read(ready[0], &c, 1) == 1, "the child failed");
	kill(pid, SIGKILL);
	ok &= expect(d, waitpid(pid, &status, 0) == pid &&
			WIFSIGNALED(status), "the child was not killed");
	close(ready[0]);

	/* The kernel may still be answering the last page fault */
	while (sva_sysfs(d->device[0], "available_instances") != queues &&
	       sva_now_ms() < end)
		usleep(1000);

	/*
	 * Until an invalidation has ended, a device that is busy may use what
	 * is being invalidated; only from here on that would be wrong.
	 */
	ok &= expect(d, !sva_counters(d->device[0], &d->quiet_from),
		     "cannot read the counters");

	/* The device does not mind, and neither do we */
	sva_fetch_add(&d->q, &word, 1, sizeof(word));
	return ok && ended(d, &d->q, SVADEV_STATUS_OK) &&
	       expect(d, word == 2, "1 + 1 is %lu", word) &&
	       expect(d, !sva_stuck_queues(d->device[0]), "a queue is stuck");
}

static bool step_close(struct demo *d)
{
	sva_close(&d->q);
	return expect(d, !sva_stuck_queues(d->device[0]), "a queue is stuck");
}

static const struct step steps[] = {
	{ "open the device", "(nothing yet)", step_open },
	{ "malloc(), write with the CPU", "copies it", step_copy },
	{ "mmap(), touch nothing", "fills it", step_untouched },
	{ "a variable on the stack", "adds 2 to it", step_stack },
	{ "map a file", "fills it", step_file },
	{ "add to a word, over and over", "adds to it too", step_atomics },
	{ "mprotect() read-only", "writes: is refused", step_readonly },
	{ "munmap()", "reads: is refused", step_munmap },
	{ "munmap(), mmap() same address", "reads new page", step_map_again },
	{ "fork()", "writes parent's only", step_fork },
	{ "second process, same address", "writes its own only",
	  step_two_processes },
	{ "open a second device", "copies what 1st wrote", step_two_devices },
	{ "kill -9 a process, DMA running", "serves us still", step_kill },
	{ "close the device", "(nothing any more)", step_close },
};

static const char legend[] =
	"A process shares its address space with an accelerator: the device is\n"
	"given plain pointers. The CPU checks what it did. Columns:\n"
	"  bytes   read and written by the device\n"
	"  faults  the device came to a page that was not there (or not allowed),\n"
	"          stopped, and went on once the kernel had answered\n"
	"  TLB CONFIG WAIT ANSWER\n"
	"          commands the kernel gave the IOMMU meanwhile: forget\n"
	"          translations, forget configuration, wait, answer a fault\n"
	"  stale   times the IOMMU used a translation that was no longer true\n"
	"\n";

int main(void)
{
	struct sva_counters before, after;
	struct demo d = { .q.fd = -1 };
	int passed = 0, failed = 0;
	size_t i;

	d.devices = sva_devices(d.device, 2);
	if (!d.devices || !sva_capable(d.device[0])) {
		printf("skipped: there is no svadev here that can do SVA\n");
		return 4;
	}

	fputs(legend, stdout);
	printf("%-31s %-21s %7s %6s %4s %6s %4s %6s %5s\n", "the process",
	       "the device", "bytes", "faults", "TLB", "CONFIG", "WAIT",
	       "ANSWER", "stale");

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		const struct step *s = &steps[i];
		uint64_t stale;
		bool ok;

		if (s->run == step_two_devices && d.devices < 2) {
			printf("%-31s FAILED: there is only one\n", s->name);
			failed++;
			continue;
		}
		if (s->run != step_open && d.q.fd < 0)
			break;

		d.bytes = 0;
		d.faults = 0;
		d.why[0] = '\0';
		fflush(stdout);
		if (sva_counters(d.device[0], &before)) {
			printf("cannot read the counters in debugfs\n");
			return 1;
		}
		d.quiet_from = before;
		ok = s->run(&d);
		if (sva_counters(d.device[0], &after)) {
			printf("cannot read the counters in debugfs\n");
			return 1;
		}

		stale = sva_grown(&d.quiet_from, &after, SVA_STALE);
		ok &= expect(&d, !stale, "stale translations were used");
		ok ? passed++ : failed++;
		printf("%-31s %-21s %7lu %6lu %4lu %6lu %4lu %6lu %5lu  %s%s\n",
		       s->name, s->device_does, d.bytes, d.faults,
		       sva_grown(&before, &after, SVA_CMD_TLB),
		       sva_grown(&before, &after, SVA_CMD_CONFIG),
		       sva_grown(&before, &after, SVA_CMD_WAIT),
		       sva_grown(&before, &after, SVA_CMD_RESPONSE), stale,
		       ok ? "ok" : "FAILED: ", d.why);
	}

	printf("\n%d passed, %d failed\n", passed, failed);
	return failed ? 1 : 0;
}
