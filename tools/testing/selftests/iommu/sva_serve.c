// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults that the driver of the device serves itself, as it has to where
 * the IOMMU reports none. A queue is held until its page is there.
 */
/* More than a workqueue serves at a time, on each of two nodes */
#define MANY_FAULTS	1100
#define PARK_PAGES	MANY_FAULTS

#include "sva_case.h"
#include "sva_park.h"

/* Much longer than it takes to serve a fault whose page is there */
#define SERVED_US	500000

/*
 * The second page of the file that sva_park.h serves. To be mapped before the
 * first one is waited for: an open() of the file waits for pages as well.
 */
static uint8_t *map_second(void)
{
	int fd = open(PARK_FILE, O_RDONLY | O_CLOEXEC);
	uint8_t *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE);

	close(fd);
	return p;
}

/* A process whose device waits for the first page, with its pid */
static pid_t wait_for_first(struct park *park, bool keep_registers)
{
	pid_t pid = child();

	if (!pid) {
		struct sva_queue q;

		CHECK(!sva_open(device[0], &q));
		park_device(park, &q, keep_registers);
		park_set(&park->ready, 1);
		for (;;)
			pause();
	}
	return pid;
}

/* While a page of one process does not come, pages of others do */
TEST_F(sva, held_queue_lets_others_fault)
{
	uint8_t *p = map_pages(16, PROT_READ | PROT_WRITE);
	pid_t server, pid;
	struct park *park;

	if (!driver_serves(&self->before))
		SKIP(return, "the IOMMU reports page faults");
	ASSERT_NE(MAP_FAILED, p);
	park = park_start(&server);
	ASSERT_NE(NULL, park);
	pid = wait_for_first(park, false);
	ASSERT_TRUE(SOON(park_get(&park->ready)));
	ASSERT_TRUE(device_is_quiet(&self->before));

	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 5, 16 * PAGE));
	EXPECT_EQ(16, self->q.faults);
	EXPECT_TRUE(bytes_are(p, 16 * PAGE, 5));

	kill(pid, SIGKILL);
	EXPECT_EQ(1000 + SIGKILL, wait_child(pid));
	park_stop(park, server);
	munmap(p, 16 * PAGE);
}

/*
 * A process is killed while its queue is held, and the next one gets that queue.
 * The page of the first one comes when the queue is held for the second one.
 */
TEST_F(sva, late_page_of_last_owner)
{
	long free = sva_sysfs(device[0], "available_instances");
	pid_t server, first, second;
	struct park *park;
	uint8_t *p;
	bool back;

	if (!driver_serves(&self->before))
		SKIP(return, "the IOMMU reports page faults");
	park = park_start(&server);
	ASSERT_NE(NULL, park);
	p = map_second();
	ASSERT_NE(MAP_FAILED, p);
	first = wait_for_first(park, false);
	ASSERT_TRUE(SOON(park_get(&park->ready)));
	ASSERT_TRUE(device_is_quiet(&self->before));
	ASSERT_EQ(0, kill(first, SIGKILL));
	back = PARK_SOON(park_is_dead(first) &&
			 sva_sysfs(device[0], "available_instances") == free);
	EXPECT_TRUE(back)
		TH_LOG("a killed process keeps its queue");

	second = child();
	if (!second) {
		struct sva_queue q;

		CHECK(!sva_open(device[0], &q));
		CHECK(sva_read(&q, p, 8) == SVADEV_STATUS_OK);
		CHECK(q.result == PARK_BYTE * 8);
		/* Held once: it has waited for its own page, and for no other */
		CHECK(q.faults == 1);
		sva_close(&q);
		_exit(0);
	}
	EXPECT_TRUE(SOON(park_get(&park->reads) == 2));
	park_set(&park->first, 1);
	usleep(SERVED_US);
	park_answer(park);
	EXPECT_EQ(0, wait_child(second));
	EXPECT_EQ(1000 + SIGKILL, wait_child(first));
	munmap(p, PAGE);
	park_stop(park, server);
}

/*
 * The thread that serves the fault holds the address space until the page comes,
 * and the mapping of the registers there holds the queue.
 */
TEST_F(sva, killed_with_registers)
{
	long free = sva_sysfs(device[0], "available_instances");
	pid_t server, pid;
	struct park *park;
	bool dead, back;

	if (!driver_serves(&self->before))
		SKIP(return, "the IOMMU reports page faults");
	park = park_start(&server);
	ASSERT_NE(NULL, park);
	pid = wait_for_first(park, true);
	ASSERT_TRUE(SOON(park_get(&park->ready)));
	ASSERT_TRUE(device_is_quiet(&self->before));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	(void)PARK_SOON((dead = park_is_dead(pid),
			 back = sva_sysfs(device[0], "available_instances") ==
				free,
			 dead && back));
	if (!dead)
		park_show_stacks("killed", pid);
	park_answer(park);
	EXPECT_EQ(1000 + SIGKILL, wait_child(pid));
	park_stop(park, server);
	EXPECT_TRUE(dead) TH_LOG("the process cannot be killed");
	EXPECT_TRUE(back) TH_LOG("a killed process keeps its queue");
}

/* A queue that is held, and stopped by ioctl(), works after the next start */
TEST_F(sva, held_queue_is_restarted)
{
	pid_t server, pid;
	struct park *park;

	if (!driver_serves(&self->before))
		SKIP(return, "the IOMMU reports page faults");
	park = park_start(&server);
	ASSERT_NE(NULL, park);
	pid = child();
	if (!pid) {
		uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
		struct sva_queue q;

		CHECK(p != MAP_FAILED);
		CHECK(!sva_open(device[0], &q));
		park_device(park, &q, true);
		CHECK(!ioctl(q.fd, UACCE_CMD_PUT_Q));
		CHECK(sva_reg_read(&q, SVADEV_STATUS) ==
		      SVADEV_STATUS_DISABLED);
		CHECK(!ioctl(q.fd, UACCE_CMD_START_Q));
		park_answer(park);
		/* Faults of the new start, beside the old one's page */
		CHECK(sva_fill(&q, p, 6, PAGE) == SVADEV_STATUS_OK);
		CHECK(bytes_are(p, PAGE, 6));
		sva_close(&q);
		_exit(0);
	}
	EXPECT_EQ(0, wait_child(pid));
	ASSERT_TRUE(device_is_quiet(&self->before));
	park_stop(park, server);
}

/* Faults of stopped queues that a process may have at a time */
#define LATE_FAULTS	64

/* In a child: all of the file */
static uint8_t *map_file(void)
{
	int fd = open(PARK_FILE, O_RDONLY | O_CLOEXEC);
	uint8_t *p;

	CHECK(fd >= 0);
	p = mmap(NULL, PARK_PAGES * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED);
	close(fd);
	return p;
}

/*
 * In a child: stop queues while they wait for a page, and start them again, for
 * as long as that is possible. The driver goes on waiting for those pages, as
 * the server has seen the reads. Returns how often a queue was stopped.
 */
static size_t stop_and_start(struct park *park, struct sva_queue *q, int queues,
			     uint8_t *file)
{
	size_t i;

	for (i = 0; i < MANY_FAULTS; i++) {
		struct sva_queue *this = &q[i % queues];

		CHECK(sva_submit(this, &(struct sva_op){
			.op = SVADEV_OP_READ, .src = file + i * PAGE,
			.len = 1 }));
		if (!PARK_SOON(park_get(&park->reads) == i + 1))
			break;
		CHECK(!ioctl(this->fd, UACCE_CMD_PUT_Q));
		if (ioctl(this->fd, UACCE_CMD_START_Q)) {
			CHECK(errno == EBUSY);
			return i + 1;
		}
	}
	return i;
}

TEST_F(sva, late_faults_let_others_fault)
{
	uint8_t *p = map_pages(16, PROT_READ | PROT_WRITE);
	pid_t server, pid;
	struct park *park;

	if (!driver_serves(&self->before))
		SKIP(return, "the IOMMU reports page faults");
	ASSERT_NE(MAP_FAILED, p);
	park = park_start(&server);
	ASSERT_NE(NULL, park);
	pid = child();
	if (!pid) {
		/* Neighbours: they interrupt different CPUs */
		struct sva_queue q[2];
		uint8_t *file;
		size_t n;

		CHECK(!sva_open(device[0], &q[0]));
		CHECK(!sva_open(device[0], &q[1]));
		file = map_file();
		n = stop_and_start(park, q, 2, file);
		park_set(&park->ended, n);
		park_set(&park->ready, 1);

		CHECK(SOON(park_get(&park->go)));
		/* What was stopped last can be started now */
		n = (n - 1) % 2;
		CHECK(SOON(!ioctl(q[n].fd, UACCE_CMD_START_Q)));
		CHECK(sva_read(&q[n], file, 8) == SVADEV_STATUS_OK);
		CHECK(q[n].result == PARK_BYTE * 8);
		sva_close(&q[0]);
		sva_close(&q[1]);
		_exit(0);
	}
	while (!park_get(&park->ready) && !park_is_dead(pid))
		usleep(1000);
	ASSERT_TRUE(device_is_quiet(&self->before));

	EXPECT_EQ(LATE_FAULTS, park_get(&park->ended));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p, 5, 16 * PAGE))
		TH_LOG("faults of one process keep those of others waiting");

	park_answer(park);
	EXPECT_EQ(0, wait_child(pid));
	park_stop(park, server);
	munmap(p, 16 * PAGE);
}

/* In a child, or a thread of it: map and unmap for as long as it lives */
static void *map_and_unmap(void *mapped)
{
	for (;;) {
		uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);

		CHECK(p != MAP_FAILED);
		CHECK(!munmap(p, PAGE));
		park_set(mapped, park_get(mapped) + 1);
		usleep(100);
	}
	return NULL;
}

/* A process that maps memory while its device waits for a page */
static pid_t wait_and_map(struct park *park, int number)
{
	pid_t pid = child();

	if (!pid) {
		struct sva_queue q;
		pthread_t thread;

		CHECK(!sva_open(number, &q));
		CHECK(!pthread_create(&thread, NULL, map_and_unmap,
				      &park->ended));
		park_device(park, &q, true);
		/* Until mmap() waits, if it does */
		usleep(SERVED_US / 5);
		park_set(&park->ready, 1);
		CHECK(SOON(park_get(&park->go)));
		/* To exit while a device is at work is for sva_exit */
		sva_close(&q);
		_exit(0);
	}
	return pid;
}

TEST_F(sva, held_queue_lets_its_process_map)
{
	uint64_t maps = 0;
	pid_t server, pid;
	struct park *park;

	if (!driver_serves(&self->before))
		SKIP(return, "the IOMMU reports page faults");
	park = park_start(&server);
	ASSERT_NE(NULL, park);
	pid = wait_and_map(park, device[0]);
	ASSERT_TRUE(SOON(park_get(&park->ready)));
	maps = park_get(&park->ended);
	EXPECT_TRUE(PARK_SOON(park_get(&park->ended) > maps))
		TH_LOG("mmap() waits for a page of the device");
	park_answer(park);
	EXPECT_EQ(0, wait_child(pid));
	park_stop(park, server);
	EXPECT_TRUE(device_is_quiet(&self->before));
}

/* Unbinding takes the mmap_lock of each process that has the registers mapped */
TEST_F(sva, held_queue_lets_driver_unbind)
{
	pid_t server, pid, other;
	struct park *park;
	bool done;

	if (!driver_serves(&self->before))
		SKIP(return, "the IOMMU reports page faults");
	ASSERT_LT(1, devices);
	park = park_start(&server);
	ASSERT_NE(NULL, park);
	pid = wait_and_map(park, device[1]);
	ASSERT_TRUE(SOON(park_get(&park->ready)));

	other = child();
	if (!other) {
		char name[SVA_PCI_NAME_LEN];

		CHECK(!sva_pci_name(device[1], name));
		CHECK(write_file("/sys/bus/pci/drivers/svadev/unbind", name));
		_exit(0);
	}
	done = PARK_SOON(park_is_dead(other));
	EXPECT_TRUE(done)
		TH_LOG("unbinding the driver waits for a page of a process");
	if (!done)
		park_show_stacks("unbinding the driver", other);
	park_answer(park);
	EXPECT_EQ(0, wait_child(other));
	EXPECT_EQ(0, wait_child(pid));
	park_stop(park, server);
	EXPECT_TRUE(device_is_quiet(&self->before));
	machine_reset();
}

/* Without ATS the device cannot say what it misses */
TEST_F(sva, no_start_without_ats)
{
	char name[SVA_PCI_NAME_LEN], path[96];
	struct sva_queue q;
	int ret;

	if (!driver_serves(&self->before))
		SKIP(return, "the IOMMU reports page faults");
	ASSERT_EQ(0, sva_open_stopped(device[0], &q));
	ASSERT_EQ(0, sva_pci_name(device[0], name));
	snprintf(path, sizeof(path), "/sys/kernel/debug/svadev/%s/ats", name);
	ASSERT_TRUE(write_file(path, "0"));
	errno = 0;
	ret = ioctl(q.fd, UACCE_CMD_START_Q);
	EXPECT_TRUE(ret < 0 && errno == EOPNOTSUPP)
		TH_LOG("a queue was started whose page faults are not served");
	if (!ret)
		ioctl(q.fd, UACCE_CMD_PUT_Q);
	ASSERT_TRUE(write_file(path, "1"));
	EXPECT_EQ(0, ioctl(q.fd, UACCE_CMD_START_Q));
	sva_close(&q);
}

TEST_F(sva, no_queue_without_ats)
{
	struct sva_queue q;

	if (!driver_serves(&self->before))
		SKIP(return, "the IOMMU reports page faults");
	EXPECT_LE(0, plain_device)
		TH_LOG("SVA is offered for all functions");
	if (plain_device < 0)
		return;
	EXPECT_EQ(-EOPNOTSUPP, sva_open(plain_device, &q));
}
