// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that answers invalidations of its TLB late, or never. munmap() waits
 * for an answer. Without one it comes to an end, too, and neither that device nor
 * another one goes on using the page.
 */
#include "sva_case.h"

#define PAGES		16
#define ROUNDS		4
#define LEN		(PAGES * PAGE)

/* Of the device, after SVADEV_INJECT_INV_LATE, less what clocks may differ by */
#define ANSWER_MS	95

/* What a bounded number of attempts, of 150 ms each, may take */
#define ASKING_MS	5000

/* Whether another device's invalidation is lost is a race: until it shows */
#define LOST_ROUNDS	200
#define LOST_SECONDS	150

static bool inject(int number, unsigned int val)
{
	return svadev_knob(number, "inject", val);
}

/* While the device takes its time its page is neither freed nor used again */
TEST_F(sva, invalidations_late)
{
	uint64_t *p, start, took;
	struct sva_queue busy;
	uint8_t *next;
	int round;

	ASSERT_EQ(0, sva_open(device[0], &busy));
	for (round = 0; round < ROUNDS; round++) {
		p = (uint64_t *)map_pages(2, PROT_READ | PROT_WRITE);
		ASSERT_NE(MAP_FAILED, (void *)p);
		next = map_pages(PAGES, PROT_READ | PROT_WRITE);
		ASSERT_NE(MAP_FAILED, next);
		ASSERT_TRUE(hammer(&busy, p));
		ASSERT_EQ(SVADEV_STATUS_OK,
			  sva_fill(&self->q, p + PAGE / 8, 2, PAGE));
		ASSERT_TRUE(hammers(&busy));

		ASSERT_TRUE(inject(device[0], SVADEV_INJECT_INV_LATE));
		start = sva_now_ms();
		ASSERT_EQ(0, munmap(p, PAGE));
		took = sva_now_ms() - start;
		EXPECT_TRUE(inject(device[0], 0));
		EXPECT_LE(ANSWER_MS, took)
			TH_LOG("munmap() returned after %lu ms", took);

		/* Very likely the page that was freed is among these */
		pattern_set(next, LEN, round);
		EXPECT_EQ(SVADEV_STATUS_FAULT, sva_wait(&busy));
		EXPECT_EQ(SVADEV_STATUS_FAULT, sva_fill(&self->q, p, 3, 8));
		EXPECT_TRUE(pattern_is(next, LEN, round));
		EXPECT_TRUE(bytes_are((uint8_t *)p + PAGE, PAGE, 2));
		munmap(next, LEN);
		munmap(p + PAGE / 8, PAGE);
	}
	sva_close(&busy);
	ASSERT_TRUE(device_is_quiet(&self->before));
}

/* On x86 sva_ats_off has the like, as the machine may hang */
#ifndef __x86_64__
/*
 * Both devices have a page in their TLBs, and the second one does not answer its
 * invalidation. Returns the status of a read by @reader after munmap(), which is
 * all that is tried: the page may be another one's by then.
 */
static uint64_t read_unmapped(struct __test_metadata *_metadata,
			      struct sva_queue *q, struct sva_queue *silent,
			      bool by_silent)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);
	uint64_t start, took, status;

	if (p == MAP_FAILED ||
	    sva_fill(q, p, 2, 2 * PAGE) != SVADEV_STATUS_OK ||
	    sva_fill(silent, p, 2, 2 * PAGE) != SVADEV_STATUS_OK ||
	    !inject(device[1], SVADEV_INJECT_INV_NEVER))
		return SVADEV_STATUS_IDLE;
	start = sva_now_ms();
	munmap(p, PAGE);
	took = sva_now_ms() - start;
	EXPECT_GE(ASKING_MS, took)
		TH_LOG("munmap() returned after %lu ms", took);
	status = sva_read(by_silent ? silent : q, p, 8);
	inject(device[1], 0);
	munmap(p + PAGE, PAGE);
	return status;
}

TEST_F(sva, unmap_never_answered)
{
	struct sva_queue silent;
	uint64_t status;

	self->before.timed_out = true;
	self->before.logged = "arm-smmu-v3";
	ASSERT_EQ(0, sva_open(device[1], &silent));
	status = read_unmapped(_metadata, &self->q, &silent, true);
	ASSERT_NE(SVADEV_STATUS_IDLE, status)
		TH_LOG("it could not be tried");
	EXPECT_EQ(SVADEV_STATUS_FAULT, status)
		TH_LOG("the device uses a page that was unmapped");
	sva_close(&silent);
	ASSERT_TRUE(device_is_quiet(&self->before));
}

TEST_F_TIMEOUT(sva, unmap_beside_never_answered, LOST_SECONDS)
{
	uint64_t status = SVADEV_STATUS_FAULT;
	struct sva_queue silent;
	int round;

	self->before.timed_out = true;
	self->before.logged = "arm-smmu-v3";
	ASSERT_EQ(0, sva_open(device[1], &silent));
	for (round = 1; round <= LOST_ROUNDS && status == SVADEV_STATUS_FAULT;
	     round++)
		status = read_unmapped(_metadata, &self->q, &silent, false);
	ASSERT_NE(SVADEV_STATUS_IDLE, status)
		TH_LOG("it could not be tried");
	EXPECT_EQ(SVADEV_STATUS_FAULT, status)
		TH_LOG("round %d: another device uses a page that was unmapped",
		       round - 1);
	sva_close(&silent);
	ASSERT_TRUE(device_is_quiet(&self->before));
}
#endif
