// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process that serves the pages of its own memory by FUSE, and is killed while
 * its device waits for one of them. Closing its files aborts the connection to
 * FUSE, which answers for the page; whether that comes before or after the queue
 * is closed depends on the numbers of the files, and must make no difference.
 */
#include "sva_case.h"
#include "sva_park.h"

struct own_server {
	int fd;
	struct park *park;
};

static void *serve_myself(void *arg)
{
	struct own_server *server = arg;

	park_serve(server->fd, server->park);
	return NULL;
}

/* In a child. Does not return. */
static void own_server(struct park *park, bool queue_first, bool keep_registers)
{
	struct own_server server = { .park = park };
	struct sva_queue q;
	pthread_t thread;

	if (queue_first)
		CHECK(!sva_open(device[0], &q));
	server.fd = park_mount();
	CHECK(server.fd >= 0);
	CHECK(!pthread_create(&thread, NULL, serve_myself, &server));
	if (!queue_first)
		CHECK(!sva_open(device[0], &q));
	CHECK(queue_first == (q.fd < server.fd));
	park_device(park, &q, keep_registers);
	park_set(&park->ready, 1);
	for (;;)
		pause();
}

static void kill_self(struct __test_metadata *_metadata,
		      struct _test_data_sva *self, bool queue_first,
		      bool keep_registers)
{
	long free = sva_sysfs(device[0], "available_instances");
	struct park *park = park_alloc();
	bool dead, back;
	pid_t p;

	ASSERT_NE(NULL, park);
	p = child();
	if (!p)
		own_server(park, queue_first, keep_registers);
	ASSERT_TRUE(SOON(park_get(&park->ready)));
	ASSERT_TRUE(device_is_quiet(&self->before));
	ASSERT_EQ(0, kill(p, SIGKILL));
	/* Both within the same time: svadev's driver must not give up */
	(void)PARK_SOON((dead = park_is_dead(p),
			 back = sva_sysfs(device[0], "available_instances") ==
				free, dead && back));
	if (!dead)
		park_show_stacks("killed", p);
	/* The way out of a deadlock */
	park_abort();
	EXPECT_EQ(1000 + SIGKILL, wait_child(p));
	umount2(PARK_DIR, MNT_DETACH);
	munmap(park, PAGE);
	EXPECT_TRUE(dead) TH_LOG("the process cannot be killed");
	EXPECT_TRUE(back) TH_LOG("a killed process keeps its queue");
}

/* FUSE's file is closed last, but its connection is aborted first */
TEST_F(sva, queue_opened_first)
{
	kill_self(_metadata, self, true, false);
}

TEST_F(sva, queue_opened_last)
{
	kill_self(_metadata, self, false, false);
}

/* The mapping of the registers keeps the queue's file to the end */
TEST_F(sva, queue_opened_last_and_mapped)
{
	kill_self(_metadata, self, false, true);
}
