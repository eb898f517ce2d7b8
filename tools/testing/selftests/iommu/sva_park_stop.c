// SPDX-License-Identifier: GPL-2.0-only
/*
 * A queue that is disabled while its device waits for a page, for longer than
 * svadev's driver waits for a queue to become idle. When the page has come, it
 * must be a queue like any other.
 */
#include "sva_case.h"
#include "sva_park.h"

/* Longer than the driver waits */
#define PARK_LONG_MS	12000

/* Disable the queue by ioctl() or by closing it, and have it back afterwards */
static void stopped(struct __test_metadata *_metadata,
		    struct _test_data_sva *self, bool by_close)
{
	long free = sva_sysfs(device[0], "available_instances");
	pid_t server, p;
	struct park *park = park_start(&server);
	bool back;
	int lost;

	ASSERT_NE(NULL, park);
	p = child();
	if (!p) {
		struct sva_queue q;

		CHECK(!sva_open(device[0], &q));
		park_device(park, &q, false);
		park_set(&park->ready, 1);
		if (by_close)
			close(q.fd);
		else
			CHECK(!ioctl(q.fd, UACCE_CMD_PUT_Q));
		_exit(0);
	}
	ASSERT_TRUE(SOON(park_get(&park->ready)));
	ASSERT_TRUE(device_is_quiet(&self->before));
	usleep(PARK_LONG_MS * 1000);
	park_answer(park);
	EXPECT_EQ(0, wait_child(p));
	park_stop(park, server);
	back = PARK_SOON(sva_sysfs(device[0], "available_instances") == free);
	lost = sva_stuck_queues(device[0]);
	EXPECT_TRUE(back);
	EXPECT_EQ(0, lost) TH_LOG("a page that came late has cost a queue");
}

TEST_F(sva, queue_closed)
{
	stopped(_metadata, self, true);
}

TEST_F(sva, queue_put)
{
	stopped(_metadata, self, false);
}
