// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process whose page does not come must not keep others from a device, and
 * must not keep the device's queue once it has closed it or was killed. The page
 * belongs to a file of FUSE: see sva_park.h.
 *
 * Every wait for what should not wait is bounded by PARK_SOON_MS; afterwards the
 * page comes, so that a kernel that fails a case survives it.
 */
#include "sva_case.h"
#include "sva_park.h"

/* What another process does at the same time */
enum other_work {
	OTHER_OPENS,
	OTHER_RESTARTS,
	OTHER_CLOSES,
	OTHER_UNBINDS,
};

static const char *const other_names[] = {
	[OTHER_OPENS]		= "open()",
	[OTHER_RESTARTS]	= "ioctl()",
	[OTHER_CLOSES]		= "close()",
	[OTHER_UNBINDS]		= "unbinding the driver",
};

struct other {
	uint64_t ready;
	uint64_t done;
};

static bool driver_write(const char *file, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/svadev/%s", file);
	return write_file(path, name);
}

/* In a child. Does not return. */
static void other_process(struct other *other, struct gate *go, int number,
			  enum other_work work)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	char name[SVA_PCI_NAME_LEN];
	struct sva_queue q;

	CHECK(p != MAP_FAILED);
	CHECK(!sva_pci_name(number, name));
	if (work == OTHER_RESTARTS || work == OTHER_CLOSES)
		CHECK(!sva_open(number, &q));
	park_set(&other->ready, 1);
	CHECK(gate_wait(go));

	switch (work) {
	case OTHER_OPENS:
		CHECK(!sva_open(number, &q));
		break;
	case OTHER_RESTARTS:
		CHECK(!ioctl(q.fd, UACCE_CMD_PUT_Q));
		CHECK(!ioctl(q.fd, UACCE_CMD_START_Q));
		break;
	case OTHER_CLOSES:
		sva_close(&q);
		break;
	case OTHER_UNBINDS:
		CHECK(driver_write("unbind", name));
		break;
	}
	if (work == OTHER_OPENS || work == OTHER_RESTARTS) {
		CHECK(sva_fill(&q, p, 5, PAGE) == SVADEV_STATUS_OK);
		CHECK(bytes_are(p, PAGE, 5));
	}
	park_set(&other->done, 1);
	_exit(0);
}

/* The processes whose page does not come; each in a child */

/* The device waits for the page, and nothing is done about it */
static void device_waits(struct park *park, int number)
{
	struct sva_queue q;

	CHECK(!sva_open(number, &q));
	park_device(park, &q, true);
	park_set(&park->ready, 1);
	CHECK(SOON(park_get(&park->go)));
	/* To exit while a device is at work is for sva_exit */
	sva_close(&q);
}

/* The device waits for the page, and the queue is closed */
static void closer(struct park *park, int number)
{
	struct sva_queue q;

	CHECK(!sva_open(number, &q));
	park_device(park, &q, false);
	park->fd = q.fd;
	park_set(&park->ready, 1);
	close(q.fd);
	park_set(&park->ended, 1);
	CHECK(SOON(park_get(&park->go)));
}

/*
 * Without FAULT_FLAG_ALLOW_RETRY, which this access does not use, the lock of
 * the address space is held for reading until the page comes.
 */
static void *read_own_memory(void *page)
{
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	char c;

	CHECK(fd >= 0);
	CHECK(pread(fd, &c, 1, (uintptr_t)page) == 1);
	close(fd);
	return NULL;
}

/* open() by a process whose own lock is held while the page does not come */
static void opener(struct park *park, int number)
{
	uint8_t *page = park_map(NULL);
	struct sva_queue q;
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, read_own_memory, page));
	CHECK(SOON(park_get(&park->reads)));
	park_set(&park->ready, 1);
	CHECK(!sva_open(number, &q));
	park_set(&park->ended, 1);
	CHECK(!pthread_join(thread, NULL));
	sva_close(&q);
}

/*
 * Start it, and wait until its call has ended or is stuck. What close() waits for
 * it may poll for, and is then never seen to sleep.
 */
static pid_t start_parked(struct park *park, int number,
			  void (*parked)(struct park *park, int number))
{
	pid_t pid = child();

	if (!pid) {
		parked(park, number);
		_exit(0);
	}
	if (!SOON(park_get(&park->ready)) ||
	    (parked != device_waits &&
	     !SOON(park_get(&park->ended) ||
		   park_task_state(pid, pid) == 'D' ||
		   (park->fd && park_closes(pid, park->fd)))))
		return -1;
	return pid;
}

static void others_work(struct __test_metadata *_metadata,
			struct _test_data_sva *self, int number,
			void (*parked)(struct park *park, int number),
			enum other_work work)
{
	struct other *other = (void *)park_alloc();
	bool done[2];
	struct gate go[2];
	pid_t server, p, pid[2];
	struct park *park;
	int i, another;

	if (devices < 2)
		SKIP(return, "needs two svadev functions");
	another = number == device[0] ? device[1] : device[0];
	park = park_start(&server);
	ASSERT_NE(NULL, park);
	ASSERT_NE(NULL, other);
	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(gate_init(&go[i]));
		pid[i] = child();
		/* The second is the control, on a device of its own */
		if (!pid[i])
			other_process(&other[i], &go[i],
				      i ? another : number,
				      i ? OTHER_OPENS : work);
		ASSERT_TRUE(SOON(park_get(&other[i].ready)));
	}
	p = start_parked(park, number, parked);
	ASSERT_LT(0, p);
	ASSERT_TRUE(device_is_quiet(&self->before));

	for (i = 0; i < 2; i++)
		gate_open(&go[i]);
	for (i = 0; i < 2; i++)
		done[i] = PARK_SOON(park_get(&other[i].done));
	if (!done[0])
		park_show_stacks(other_names[work], pid[0]);
	park_answer(park);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, wait_child(pid[i]));
	EXPECT_EQ(0, wait_child(p));
	park_stop(park, server);
	/* The device was at work while its process exited */
	EXPECT_TRUE(device_is_quiet(&self->before));
	EXPECT_TRUE(done[1])
		TH_LOG("open() of another device waits for the page");
	EXPECT_TRUE(done[0])
		TH_LOG("%s by another process waits for the page",
		       other_names[work]);
	if (work == OTHER_UNBINDS)
		machine_reset();
}

/* Control: a device that waits for a page is no obstacle by itself */

TEST_F(sva, fault_lets_others_open)
{
	others_work(_metadata, self, device[0], device_waits, OTHER_OPENS);
}

TEST_F(sva, fault_lets_others_restart)
{
	others_work(_metadata, self, device[0], device_waits, OTHER_RESTARTS);
}

TEST_F(sva, fault_lets_others_close)
{
	others_work(_metadata, self, device[0], device_waits, OTHER_CLOSES);
}

TEST_F(sva, fault_lets_driver_unbind)
{
	others_work(_metadata, self, device[1], device_waits, OTHER_UNBINDS);
}

TEST_F(sva, open_lets_others_open)
{
	others_work(_metadata, self, device[0], opener, OTHER_OPENS);
}

TEST_F(sva, open_lets_others_restart)
{
	others_work(_metadata, self, device[0], opener, OTHER_RESTARTS);
}

TEST_F(sva, open_lets_others_close)
{
	others_work(_metadata, self, device[0], opener, OTHER_CLOSES);
}

TEST_F(sva, close_lets_others_open)
{
	others_work(_metadata, self, device[0], closer, OTHER_OPENS);
}

TEST_F(sva, close_lets_others_restart)
{
	others_work(_metadata, self, device[0], closer, OTHER_RESTARTS);
}

TEST_F(sva, close_lets_others_close)
{
	others_work(_metadata, self, device[0], closer, OTHER_CLOSES);
}

TEST_F(sva, close_lets_driver_unbind)
{
	others_work(_metadata, self, device[1], closer, OTHER_UNBINDS);
}

/* The process itself does not wait for its page either */
TEST_F(sva, close_does_not_wait)
{
	pid_t server, p;
	struct park *park = park_start(&server);
	bool ended;

	ASSERT_NE(NULL, park);
	p = start_parked(park, device[0], closer);
	ASSERT_LT(0, p);
	ASSERT_TRUE(device_is_quiet(&self->before));
	ended = PARK_SOON(park_get(&park->ended));
	if (!ended)
		park_show_stacks("close()", p);
	park_answer(park);
	EXPECT_EQ(0, wait_child(p));
	park_stop(park, server);
	EXPECT_TRUE(ended) TH_LOG("close() waits for the page");
}

/* What has to wait for the address space's lock can be killed */
TEST_F(sva, open_can_be_killed)
{
	pid_t server, p;
	struct park *park = park_start(&server);
	bool killed;

	ASSERT_NE(NULL, park);
	p = start_parked(park, device[0], opener);
	ASSERT_LT(0, p);
	ASSERT_EQ(0, kill(p, SIGKILL));
	/* The other thread stays: its access cannot be killed */
	killed = PARK_SOON(park_task_state(p, p) == 'Z');
	if (!killed)
		park_show_stacks("killed", p);
	park_answer(park);
	EXPECT_EQ(1000 + SIGKILL, wait_child(p));
	park_stop(park, server);
	EXPECT_TRUE(killed) TH_LOG("open() cannot be killed");
}

/* Attachments of PASIDs that there are; always 0 if the kernel does not count */
static long attachment_count(void)
{
	char text[256];
	long n = 0;

	if (!in_use_read(text, sizeof(text)) ||
	    (text[0] && sscanf(text, "attachments %ld", &n) != 1))
		return -1;
	return n;
}

/*
 * The page still keeps the address space of a process that was killed. The
 * device's queue and the attachment go all the same.
 */
static void killed_process(struct __test_metadata *_metadata,
			   struct _test_data_sva *self, bool keep_registers)
{
	long free = sva_sysfs(device[0], "available_instances");
	long before = attachment_count();
	pid_t server, p;
	struct park *park = park_start(&server);
	bool dead, back, detached;

	ASSERT_NE(NULL, park);
	p = child();
	if (!p) {
		struct sva_queue q;

		CHECK(!sva_open(device[0], &q));
		park_device(park, &q, keep_registers);
		park_set(&park->ready, 1);
		for (;;)
			pause();
	}
	ASSERT_TRUE(SOON(park_get(&park->ready)));
	ASSERT_TRUE(device_is_quiet(&self->before));
	ASSERT_EQ(0, kill(p, SIGKILL));
	/* All of them within the same time: svadev's driver must not give up */
	(void)PARK_SOON((dead = park_is_dead(p),
			 back = sva_sysfs(device[0], "available_instances") ==
				free,
			 detached = attachment_count() == before,
			 dead && back && detached));
	if (!dead)
		park_show_stacks("killed", p);
	park_answer(park);
	EXPECT_EQ(1000 + SIGKILL, wait_child(p));
	park_stop(park, server);
	EXPECT_TRUE(dead) TH_LOG("the process cannot be killed");
	EXPECT_TRUE(detached) TH_LOG("a killed process is still attached");
	EXPECT_TRUE(back) TH_LOG("a killed process keeps its queue");
}

TEST_F(sva, killed_with_registers)
{
	killed_process(_metadata, self, true);
}

TEST_F(sva, killed_without_registers)
{
	killed_process(_metadata, self, false);
}
