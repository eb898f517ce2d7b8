// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults that the driver of the device serves itself, as it has to where
 * the IOMMU reports none. A queue is held until its page is there.
 */
#include "sva_case.h"
#include "sva_park.h"

/* Much longer than it takes to serve a fault whose page is there */
#define SERVED_US	500000

static bool driver_serves(const struct machine *before)
{
	return sva_counter(&before->counters, "smmu.ats.ok");
}

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
static pid_t wait_for_first(struct park *park)
{
	pid_t pid = child();

	if (!pid) {
		struct sva_queue q;

		CHECK(!sva_open(device[0], &q));
		park_device(park, &q, false);
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
	pid = wait_for_first(park);
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
	first = wait_for_first(park);
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
