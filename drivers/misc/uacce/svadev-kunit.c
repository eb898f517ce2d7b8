// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the IOMMU with real DMA, done by svadev.
 *
 * The DMA API and paging domains attached to PASIDs are held to what a device
 * can and cannot reach through them, also while they are replaced under a device
 * that never stops.
 */
#include <kunit/fail-alloc.h>
#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/workqueue.h>

#include "svadev-kunit.h"

/* How often a domain is replaced under a busy device */
#define SVT_REPLACEMENTS	10000

/* Requests without a PASID, through the DMA API */

static void svt_rid_dma(struct kunit *test)
{
	struct svadev_queue *q = svt_queue(test, 0, SVADEV_NO_PASID);
	struct svt_buffer src = svt_buffer(test), dst = svt_buffer(test);
	struct svadev_op op;
	unsigned int i;
	u64 sum = 0, got;

	for (i = 0; i < PAGE_SIZE; i++) {
		src.cpu[i] = i * 7 + i / 256;
		sum += src.cpu[i];
	}

	KUNIT_EXPECT_EQ(test, svt_copy(q, dst.dma, src.dma, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, memcmp(dst.cpu, src.cpu, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, svt_sum(q, dst.dma, PAGE_SIZE, &got), 0);
	KUNIT_EXPECT_EQ(test, got, sum);

	/* Any length and alignment, and not a byte more */
	KUNIT_EXPECT_EQ(test, svt_fill(q, dst.dma, 0, PAGE_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(dst.cpu, 0));
	KUNIT_EXPECT_EQ(test, svt_copy(q, dst.dma + 13, src.dma + 5, 77), 0);
	KUNIT_EXPECT_EQ(test, memcmp(dst.cpu + 13, src.cpu + 5, 77), 0);
	KUNIT_EXPECT_EQ(test, dst.cpu[12], 0);
	KUNIT_EXPECT_EQ(test, dst.cpu[13 + 77], 0);

	op = (struct svadev_op){
		.op = SVADEV_OP_COMPARE, .dst = dst.dma + 13,
		.src = src.dma + 5, .len = 77,
	};
	KUNIT_EXPECT_EQ(test, svt_run(q, &op), 0);
	KUNIT_EXPECT_EQ(test, op.result, 77);
	dst.cpu[13 + 33]++;
	KUNIT_EXPECT_EQ(test, svt_run(q, &op), 0);
	KUNIT_EXPECT_EQ(test, op.result, 33);
}

static void svt_rid_atomics(struct kunit *test)
{
	struct svadev_queue *q = svt_queue(test, 0, SVADEV_NO_PASID);
	struct svt_buffer buf = svt_buffer(test);
	u64 *word = (u64 *)buf.cpu;
	struct svadev_op op;

	*word = 40;
	op = (struct svadev_op){
		.op = SVADEV_OP_FETCH_ADD, .dst = buf.dma, .value = 2, .len = 8,
	};
	KUNIT_EXPECT_EQ(test, svt_run(q, &op), 0);
	KUNIT_EXPECT_EQ(test, op.result, 40);
	KUNIT_EXPECT_EQ(test, *word, 42);

	op = (struct svadev_op){
		.op = SVADEV_OP_CAS, .dst = buf.dma, .expect = 41, .value = 1,
		.len = 8,
	};
	KUNIT_EXPECT_EQ(test, svt_run(q, &op), 0);
	KUNIT_EXPECT_EQ(test, *word, 42);
	op.expect = 42;
	KUNIT_EXPECT_EQ(test, svt_run(q, &op), 0);
	KUNIT_EXPECT_EQ(test, *word, 1);

	*word = 0;
	svt_hammer(test, q, buf.dma);
	KUNIT_EXPECT_TRUE(test, svt_changes(word));
	svt_expect_hammered(test, q, word);
}

static void svt_rid_is_translated(struct kunit *test)
{
	struct svt *svt = test->priv;
	struct iommu_domain *domain =
		iommu_get_domain_for_dev(&svt->pdev[0]->dev);
	struct svadev_queue *q = svt_queue(test, 0, SVADEV_NO_PASID);
	u8 *page = svt_page(test);
	u64 sum;

	if (!domain || !(domain->type & __IOMMU_DOMAIN_PAGING))
		kunit_skip(test, "no IOMMU translates for svadev");

	/* Not something the DMA API has mapped, although it is memory */
	KUNIT_ASSERT_EQ(test, iommu_iova_to_phys(domain, virt_to_phys(page)),
			0);
	KUNIT_EXPECT_EQ(test, svt_fill(q, virt_to_phys(page), 1, PAGE_SIZE),
			-EFAULT);
	KUNIT_EXPECT_EQ(test, svt_sum(q, virt_to_phys(page), 1, &sum), -EFAULT);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(page, 0));
}

static void svt_interrupt(struct kunit *test)
{
	struct svadev_queue *q = svt_queue(test, 0, SVADEV_NO_PASID);
	struct svt_buffer buf = svt_buffer(test);
	unsigned int i;

	KUNIT_EXPECT_EQ(test, svadev_queue_irqs(q), 0);
	KUNIT_ASSERT_EQ(test, svt_fill(q, buf.dma, 1, PAGE_SIZE), 0);
	for (i = 0; i < 1000 && !svadev_queue_irqs(q); i++)
		usleep_range(100, 200);
	KUNIT_EXPECT_EQ(test, svadev_queue_irqs(q), 1);
}

/* Who is told that a device has been pulled unmaps what it has mapped. */
static void svt_rid_unmap_gone(struct kunit *test)
{
	struct svadev_queue *q = svt_queue(test, 0, SVADEV_NO_PASID);
	u8 *page = svt_page(test);
	struct svt *svt = test->priv;
	struct pci_dev *pdev = svt->pdev[1];
	dma_addr_t dma;

	dma = dma_map_single(&pdev->dev, page, PAGE_SIZE,
			     DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(&pdev->dev, dma));
	KUNIT_EXPECT_EQ(test, 0, pci_save_state(pdev));

	svadev_plug(q, pdev, false);
	KUNIT_EXPECT_FALSE(test, pci_device_is_present(pdev));
	dma_unmap_single(&pdev->dev, dma, PAGE_SIZE, DMA_BIDIRECTIONAL);

	/* Another one in its place works. */
	svadev_plug(q, pdev, true);
	/* Its ATS is still off when lazy mode invalidates, 10 ms later. */
	msleep(50);
	pci_restore_state(pdev);
	q = svt_queue(test, 1, SVADEV_NO_PASID);
	dma = dma_map_single(&pdev->dev, page, PAGE_SIZE,
			     DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(&pdev->dev, dma));
	KUNIT_EXPECT_EQ(test, 0, svt_fill(q, dma, 1, 1));
	dma_unmap_single(&pdev->dev, dma, PAGE_SIZE, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_EQ(test, 1, page[0]);
}

static void svt_refused(struct kunit *test)
{
	struct svadev_queue *q = svt_queue(test, 0, SVADEV_NO_PASID);
	struct svt_buffer buf = svt_buffer(test);
	struct svadev_op op = { .op = 1000, .dst = buf.dma, .len = 8 };

	KUNIT_EXPECT_EQ(test, svt_run(q, &op),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, svadev_queue_enable(q, SVADEV_Q_PASID_MASK + 1,
						  true), -EINVAL);
	KUNIT_EXPECT_EQ(test, svadev_queue_disable(q), 0);
	KUNIT_EXPECT_EQ(test, svt_fill(q, buf.dma, 1, 1), -ECANCELED);
	KUNIT_EXPECT_EQ(test, buf.cpu[0], 0);
}

/* Paging domains attached to PASIDs */

static void svt_pasid_dma(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 0);
	struct iommu_domain *domain = svt_domain(test);
	struct svadev_queue *q, *rid = svt_queue(test, 0, SVADEV_NO_PASID);
	struct svt_buffer src = svt_buffer(test), dst = svt_buffer(test);
	u8 *a = svt_page(test), *b = svt_page(test);
	u64 sum;

	svt_attach(test, domain, 0, pasid);
	svt_map(test, domain, SVT_IOVA, a, IOMMU_READ | IOMMU_WRITE);
	svt_map(test, domain, SVT_IOVA + PAGE_SIZE, b, IOMMU_READ);
	q = svt_queue(test, 0, pasid);

	KUNIT_EXPECT_EQ(test, svt_fill(q, SVT_IOVA, 3, PAGE_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(a, 3));
	memset(b, 4, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, svt_sum(q, SVT_IOVA, 2 * PAGE_SIZE, &sum), 0);
	KUNIT_EXPECT_EQ(test, sum, 7 * PAGE_SIZE);

	/* Read-only is, and there is nothing beyond */
	KUNIT_EXPECT_EQ(test, svt_fill(q, SVT_IOVA + PAGE_SIZE, 5, 1), -EFAULT);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(b, 4));
	KUNIT_EXPECT_EQ(test, svt_sum(q, SVT_IOVA + 2 * PAGE_SIZE, 1, &sum),
			-EFAULT);

	/* Requests without a PASID have another address space, still */
	memset(src.cpu, 6, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, svt_copy(rid, dst.dma, src.dma, PAGE_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(dst.cpu, 6));
	KUNIT_EXPECT_EQ(test, svt_fill(q, dst.dma, 7, 1), -EFAULT);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(dst.cpu, 6));
	KUNIT_EXPECT_EQ(test, svt_fill(rid, SVT_IOVA, 7, 1), -EFAULT);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(a, 3));
}

static void svt_pasid_unmap(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 0);
	struct iommu_domain *domain = svt_domain(test);
	u8 *a = svt_page(test), *b = svt_page(test);
	struct svadev_queue *q;
	unsigned int i;
	u64 sum;

	svt_attach(test, domain, 0, pasid);
	q = svt_queue(test, 0, pasid);
	memset(a, 1, PAGE_SIZE);
	memset(b, 2, PAGE_SIZE);

	for (i = 0; i < 10; i++) {
		/* Not mapped, which the IOMMU may remember */
		KUNIT_ASSERT_EQ(test, svt_sum(q, SVT_IOVA, 1, &sum), -EFAULT);

		svt_map(test, domain, SVT_IOVA, i % 2 ? b : a,
			IOMMU_READ | IOMMU_WRITE);
		KUNIT_ASSERT_EQ(test, svt_sum(q, SVT_IOVA, PAGE_SIZE, &sum), 0);
		KUNIT_ASSERT_EQ(test, sum, (i % 2 + 1) * PAGE_SIZE);

		svt_unmap(test, domain, SVT_IOVA);
		KUNIT_ASSERT_EQ(test, svt_fill(q, SVT_IOVA, 9, PAGE_SIZE),
				-EFAULT);
	}
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(a, 1));
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(b, 2));
}

static void svt_pasid_unmap_busy(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 0);
	struct iommu_domain *domain = svt_domain(test);

	svt_attach(test, domain, 0, pasid);
	svt_unmap_busy(test, domain, svt_queue(test, 0, pasid), SVT_IOVA);
}

/*
 * Ranges that take several commands, or one of a mask that is larger: pages behind
 * the first 32, across boundaries of 4 KiB times each power of two, and a table.
 * All pages of a range are in the TLB and in the ATC.
 */
static void svt_pasid_unmap_ranges(struct kunit *test)
{
	static const struct {
		unsigned int first, num;	/* pages, from 64 MiB */
	} ranges[] = {
		{ 0, 2 }, { 1, 2 }, { 3, 2 }, { 7, 3 }, { 31, 2 }, { 0, 33 },
		{ 60, 8 }, { 1, 66 }, { 127, 2 }, { 255, 34 }, { 511, 2 },
		{ 0, 512 },
	};
	ioasid_t pasid = svt_pasid(test, 0);
	struct iommu_domain *domain = svt_domain(test);
	struct svadev_queue *q = svt_queue(test, 0, pasid);
	u8 *page = svt_page(test);
	unsigned int i, n;

	svt_attach(test, domain, 0, pasid);
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		u64 iova = SZ_64M + ranges[i].first * PAGE_SIZE;
		size_t len = ranges[i].num * PAGE_SIZE;
		unsigned int reached = 0;

		for (n = 0; n < ranges[i].num; n++) {
			svt_map(test, domain, iova + n * PAGE_SIZE, page,
				IOMMU_READ | IOMMU_WRITE);
			KUNIT_ASSERT_EQ(test, 0, svt_fill(q, iova + n * PAGE_SIZE,
							  i, 1));
		}
		KUNIT_ASSERT_EQ(test, len, iommu_unmap(domain, iova, len));
		svt_audit(test, "after unmap");
		for (n = 0; n < ranges[i].num; n++)
			reached += !svt_fill(q, iova + n * PAGE_SIZE, 0xee, 1);
		KUNIT_EXPECT_EQ_MSG(test, reached, 0,
				    "%u pages from page %u: the device reaches some after they were unmapped",
				    ranges[i].num, ranges[i].first);
		KUNIT_EXPECT_EQ(test, i, page[0]);
	}
}

/* A domain on more PASIDs than one batch of commands invalidates */
#define SVT_PASIDS		40

static void svt_pasid_unmap_all_pasids(struct kunit *test)
{
	struct svadev_queue *q = svt_queue_stopped(test, 0);
	struct iommu_domain *domain = svt_domain(test);
	struct svt *svt = test->priv;
	u8 *page = svt_page(test);
	unsigned int n;

	for (n = 0; n < SVT_PASIDS; n++)
		KUNIT_ASSERT_EQ(test, 0,
				iommu_attach_device_pasid(domain,
							  &svt->pdev[0]->dev,
							  svt_pasid(test, n)));
	svt_map(test, domain, SVT_IOVA, page, IOMMU_READ | IOMMU_WRITE);
	for (n = 0; n < SVT_PASIDS; n++) {
		KUNIT_ASSERT_EQ(test, 0,
				svadev_queue_enable(q, svt_pasid(test, n), true));
		KUNIT_ASSERT_EQ(test, 0, svt_fill(q, SVT_IOVA, n, 1));
	}
	svt_unmap(test, domain, SVT_IOVA);
	for (n = 0; n < SVT_PASIDS; n++) {
		KUNIT_ASSERT_EQ(test, 0,
				svadev_queue_enable(q, svt_pasid(test, n), true));
		KUNIT_EXPECT_EQ_MSG(test, -EFAULT, svt_fill(q, SVT_IOVA, 0xee, 1),
				    "of PASID %u of %u", n, SVT_PASIDS);
	}
	KUNIT_EXPECT_EQ(test, SVT_PASIDS - 1, page[0]);
	iommu_detach_device_all_pasids(&svt->pdev[0]->dev);
}

static void svt_pasid_detach(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 0), other = svt_pasid(test, 1);
	struct iommu_domain *domain = svt_domain(test);
	u8 *page = svt_page(test);
	struct svadev_queue *q, *q_other;
	unsigned int i;

	q = svt_queue(test, 0, pasid);
	q_other = svt_queue(test, 0, other);
	for (i = 0; i < 10; i++) {
		KUNIT_ASSERT_EQ(test, svt_fill(q, SVT_IOVA, 9, 1), -EFAULT);

		svt_attach(test, domain, 0, pasid);
		if (!i)
			svt_map(test, domain, SVT_IOVA, page,
				IOMMU_READ | IOMMU_WRITE);
		KUNIT_ASSERT_EQ(test, svt_fill(q, SVT_IOVA, i, PAGE_SIZE), 0);
		KUNIT_ASSERT_TRUE(test, svt_bytes_are(page, i));
		/* The neighbour has nothing of it */
		KUNIT_ASSERT_EQ(test, svt_fill(q_other, SVT_IOVA, 9, 1),
				-EFAULT);

		svt_detach(test, domain, 0, pasid);
		KUNIT_ASSERT_EQ(test, svt_fill(q, SVT_IOVA, 9, 1), -EFAULT);
		KUNIT_ASSERT_TRUE(test, svt_bytes_are(page, i));
	}
}

/* Domains take turns: an entry in use has nothing of the previous one. */
static void svt_pasid_turns(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 0);
	struct iommu_domain *domain[2] = { svt_domain(test), svt_domain(test) };
	u8 *page[2] = { svt_page(test), svt_page(test) };
	struct svadev_queue *q = svt_queue(test, 0, pasid);
	unsigned int i, n;

	for (i = 0; i < 60; i++) {
		n = i % 2;
		svt_attach(test, domain[n], 0, pasid);
		if (i < 2)
			svt_map(test, domain[n], SVT_IOVA, page[n],
				IOMMU_READ | IOMMU_WRITE);
		KUNIT_ASSERT_EQ(test,
				svt_fill(q, SVT_IOVA, i + 1, PAGE_SIZE), 0);
		KUNIT_ASSERT_TRUE(test, svt_bytes_are(page[n], i + 1));
		KUNIT_ASSERT_TRUE(test, svt_bytes_are(page[!n], i));
		svt_detach(test, domain[n], 0, pasid);
		KUNIT_ASSERT_EQ(test, svt_fill(q, SVT_IOVA, 0xee, 1), -EFAULT);
	}
}

/*
 * PASIDs of tables that are not there before. 64 entries are a page of 4 KiB of
 * both SMMUv3 and VT-d.
 */
static void svt_pasid_new_table(struct kunit *test)
{
	struct iommu_domain *domain = svt_domain(test);
	u8 *page = svt_page(test);
	struct svadev_queue *q;
	unsigned int i;
	ioasid_t pasid;

	/* The first PASID of a device needs more than one table. */
	pasid = svt_pasid(test, 0);
	svt_attach(test, domain, 0, pasid);
	svt_map(test, domain, SVT_IOVA, page, IOMMU_READ | IOMMU_WRITE);
	svt_detach(test, domain, 0, pasid);

	for (i = 1; i <= 4; i++) {
		pasid = svt_pasid(test, i * 64);
		q = svt_queue(test, 0, pasid);
		KUNIT_ASSERT_EQ(test, svt_fill(q, SVT_IOVA, 0xee, 1), -EFAULT);
		svt_attach(test, domain, 0, pasid);
		KUNIT_ASSERT_EQ(test, svt_fill(q, SVT_IOVA, i, PAGE_SIZE), 0);
		KUNIT_ASSERT_TRUE(test, svt_bytes_are(page, i));
		svt_detach(test, domain, 0, pasid);
		KUNIT_ASSERT_EQ(test, svt_fill(q, SVT_IOVA, 0xee, 1), -EFAULT);
	}
}

static void svt_pasid_per_function(struct kunit *test)
{
	struct iommu_domain *one, *two;
	struct svadev_queue *q1, *q2;
	ioasid_t pasid;
	u8 *a, *b;

	svt_need_two_functions(test);
	pasid = svt_pasid(test, 0);
	one = svt_domain(test);
	two = svt_domain(test);
	a = svt_page(test);
	b = svt_page(test);
	q1 = svt_queue(test, 0, pasid);
	q2 = svt_queue(test, 1, pasid);

	/* The PASID of one function means nothing to the other */
	svt_attach(test, one, 0, pasid);
	svt_map(test, one, SVT_IOVA, a, IOMMU_READ | IOMMU_WRITE);
	KUNIT_EXPECT_EQ(test, svt_fill(q1, SVT_IOVA, 1, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, svt_fill(q2, SVT_IOVA, 2, PAGE_SIZE), -EFAULT);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(a, 1));

	/* or something else */
	svt_attach(test, two, 1, pasid);
	svt_map(test, two, SVT_IOVA, b, IOMMU_READ | IOMMU_WRITE);
	KUNIT_EXPECT_EQ(test, svt_fill(q2, SVT_IOVA, 2, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, svt_fill(q1, SVT_IOVA, 3, PAGE_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(a, 3));
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(b, 2));

	/* and taking it from one leaves it to the other */
	svt_detach(test, one, 0, pasid);
	KUNIT_EXPECT_EQ(test, svt_fill(q1, SVT_IOVA, 4, PAGE_SIZE), -EFAULT);
	KUNIT_EXPECT_EQ(test, svt_fill(q2, SVT_IOVA, 4, PAGE_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(a, 3));
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(b, 4));
}

static void svt_pasid_shared_domain(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 0), other = svt_pasid(test, 1);
	struct iommu_domain *domain = svt_domain(test);
	struct svadev_queue *q1, *q2;
	u8 *page = svt_page(test);
	u64 sum;

	/* One domain on two PASIDs, and on two functions where there are */
	svt_attach(test, domain, 0, pasid);
	q1 = svt_queue(test, 0, pasid);
	if (((struct svt *)test->priv)->pdev[1]) {
		svt_attach(test, domain, 1, other);
		q2 = svt_queue(test, 1, other);
	} else {
		svt_attach(test, domain, 0, other);
		q2 = svt_queue(test, 0, other);
	}
	svt_map(test, domain, SVT_IOVA, page, IOMMU_READ | IOMMU_WRITE);

	KUNIT_EXPECT_EQ(test, svt_fill(q1, SVT_IOVA, 1, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, svt_sum(q2, SVT_IOVA, PAGE_SIZE, &sum), 0);
	KUNIT_EXPECT_EQ(test, sum, PAGE_SIZE);

	/* What is unmapped is unmapped for both */
	svt_unmap(test, domain, SVT_IOVA);
	KUNIT_EXPECT_EQ(test, svt_fill(q1, SVT_IOVA, 2, 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, svt_fill(q2, SVT_IOVA, 2, 1), -EFAULT);

	svt_map(test, domain, SVT_IOVA, page, IOMMU_READ | IOMMU_WRITE);
	svt_detach(test, domain, 0, pasid);
	KUNIT_EXPECT_EQ(test, svt_fill(q1, SVT_IOVA, 3, 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, svt_fill(q2, SVT_IOVA, 3, PAGE_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(page, 3));
}

/* What the DMA API maps for the device serves a PASID as well */
static void svt_pasid_dma_domain(struct kunit *test)
{
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[0]->dev;
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);
	ioasid_t pasid = svt_pasid(test, 0);
	struct svt_buffer buf = svt_buffer(test);
	struct svadev_queue *q;
	dma_addr_t addr;
	u8 *page;

	svt_attach(test, domain, 0, pasid);
	q = svt_queue(test, 0, pasid);
	KUNIT_EXPECT_EQ(test, svt_fill(q, buf.dma, 1, PAGE_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(buf.cpu, 1));

	page = svt_page(test);
	addr = dma_map_single(dev, page, PAGE_SIZE, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	KUNIT_EXPECT_EQ(test, svt_copy(q, addr, buf.dma, PAGE_SIZE), 0);
	dma_unmap_single(dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL);
	/* Its flush queue may take 10 ms to invalidate, IOVA_FQ_TIMEOUT */
	if (domain->type == IOMMU_DOMAIN_DMA_FQ)
		msleep(100);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(page, 1));
	KUNIT_EXPECT_EQ(test, svt_fill(q, addr, 2, PAGE_SIZE), -EFAULT);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(page, 1));
}

/* The RID gets another domain, and its own back, below a PASID */
static void svt_pasid_rid_changes(struct kunit *test)
{
	struct iommu_domain *domain = svt_domain(test), *rid = svt_domain(test);
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[0]->dev;
	ioasid_t pasid = svt_pasid(test, 0);
	u8 *page = svt_page(test);
	struct svadev_queue *q;
	unsigned int i;

	svt_attach(test, domain, 0, pasid);
	svt_map(test, domain, SVT_IOVA, page, IOMMU_READ | IOMMU_WRITE);
	q = svt_queue(test, 0, pasid);
	for (i = 1; i < 6; i += 2) {
		KUNIT_ASSERT_EQ(test, iommu_attach_device(rid, dev), 0);
		KUNIT_EXPECT_EQ(test, svt_fill(q, SVT_IOVA, i, PAGE_SIZE), 0);
		KUNIT_EXPECT_TRUE(test, svt_bytes_are(page, i));

		iommu_detach_device(rid, dev);
		KUNIT_EXPECT_EQ(test, svt_fill(q, SVT_IOVA, i + 1, PAGE_SIZE),
				0);
		KUNIT_EXPECT_TRUE(test, svt_bytes_are(page, i + 1));
	}
}

static void svt_pasid_detach_busy(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 0), other = svt_pasid(test, 1);
	struct iommu_domain *victim = svt_domain(test);
	struct iommu_domain *bystander = svt_domain(test);
	struct svadev_queue *q, *q_other, *rid;
	struct svt_buffer buf = svt_buffer(test);
	u8 *a = svt_page(test), *b = svt_page(test);
	struct svadev_op op = {};
	unsigned int i;

	/* Requests with another PASID and with none, all the time */
	svt_attach(test, bystander, 0, other);
	svt_map(test, bystander, SVT_IOVA, b, IOMMU_READ | IOMMU_WRITE);
	q_other = svt_queue(test, 0, other);
	svt_hammer(test, q_other, SVT_IOVA);
	rid = svt_queue(test, 0, SVADEV_NO_PASID);
	svt_hammer(test, rid, buf.dma);
	q = svt_queue(test, 0, pasid);

	for (i = 0; i < 20; i++) {
		svt_attach(test, victim, 0, pasid);
		if (!i)
			svt_map(test, victim, SVT_IOVA, a,
				IOMMU_READ | IOMMU_WRITE);
		svt_hammer(test, q, SVT_IOVA);
		KUNIT_ASSERT_TRUE(test, svt_changes(a));

		/* It ends at once, by a fault, and what is there is final */
		svt_detach(test, victim, 0, pasid);
		memset(a, 0, PAGE_SIZE);
		svt_invalidation_is_over(test);
		KUNIT_ASSERT_EQ(test,
				svt_wait(q, &op),
				-EFAULT);
		KUNIT_ASSERT_TRUE(test, svt_bytes_are(a, 0));
	}

	/* None of which anybody else has noticed */
	KUNIT_EXPECT_TRUE(test, svt_changes(b));
	KUNIT_EXPECT_TRUE(test, svt_changes(buf.cpu));
	svt_expect_hammered(test, q_other, b);
	svt_expect_hammered(test, rid, buf.cpu);

	KUNIT_EXPECT_EQ(test, svt_fill(q, SVT_IOVA, 1, PAGE_SIZE), -EFAULT);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(a, 0));
	KUNIT_EXPECT_EQ(test, svt_fill(q_other, SVT_IOVA, 2, PAGE_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(b, 2));
	KUNIT_EXPECT_EQ(test, svt_fill(rid, buf.dma, 3, PAGE_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(buf.cpu, 3));
}

/*
 * When a detach or a replacement returns, a fault of the previous domain has
 * been answered, however far its report had come.
 */
static void svt_pasid_faulting(struct kunit *test, bool replace)
{
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[0]->dev;
	ioasid_t pasid = svt_pasid(test, 0);
	struct iommu_domain *hole = svt_domain(test), *next = svt_domain(test);
	struct svadev_queue *q = svt_queue(test, 0, pasid);
	struct svadev_op op = {
		.op = SVADEV_OP_FILL, .dst = SVT_IOVA, .len = PAGE_SIZE,
	};
	unsigned int i, left = 0, again = 0;
	u8 *page = svt_page(test);
	int ret;
	u64 now;

	svt_attach(test, next, 0, pasid);
	svt_map(test, next, SVT_IOVA, page, IOMMU_READ | IOMMU_WRITE);
	svt_detach(test, next, 0, pasid);
	/* One that is retried before it is replaced finds the old domain again. */
	svadev_set_max_retries(q, 1);

	for (i = 0; i < 200; i++) {
		ret = iommu_attach_device_pasid(hole, dev, pasid);
		KUNIT_ASSERT_EQ(test, ret, 0);
		KUNIT_ASSERT_EQ(test, svadev_queue_submit(q, &op), 0);
		udelay(i % 8 * 10);
		if (replace) {
			ret = iommu_replace_device_pasid(next, dev, pasid);
			KUNIT_ASSERT_EQ(test, ret, 0);
		} else {
			iommu_detach_device_pasid(hole, dev, pasid);
		}
		KUNIT_ASSERT_EQ(test, svadev_read_counter(q, SVT_NOW, &now), 0);
		left += now;
		/* What is retried finds the page of the next domain. */
		ret = svt_wait(q, &op);
		if (replace && ret == -EAGAIN)
			again++;
		else
			KUNIT_EXPECT_TRUE(test,
					  ret == -EFAULT || (replace && !ret));
		if (replace)
			iommu_detach_device_pasid(next, dev, pasid);
	}
	svadev_set_max_retries(q, SVT_RETRIES);
	svt_invalidation_is_over(test);
	KUNIT_EXPECT_EQ(test, svt_fill(q, SVT_IOVA, 1, 1), -EFAULT);
	KUNIT_EXPECT_EQ_MSG(test, left, 0,
			    "faults of the previous domain are not answered");
	KUNIT_EXPECT_EQ_MSG(test, again, 0,
			    "accesses were retried in the previous domain");
}

static void svt_pasid_detach_faulting(struct kunit *test)
{
	svt_pasid_faulting(test, false);
}

static void svt_pasid_replace_faulting(struct kunit *test)
{
	svt_pasid_faulting(test, true);
}

static void svt_pasid_arguments(struct kunit *test)
{
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[0]->dev;
	ioasid_t pasid = svt_pasid(test, 0);
	struct iommu_domain *one = svt_domain(test), *two = svt_domain(test);
	u32 max = dev->iommu->max_pasids;

	KUNIT_EXPECT_NE(test, iommu_attach_device_pasid(one, dev, 0), 0);
	KUNIT_EXPECT_NE(test, iommu_attach_device_pasid(one, dev, max), 0);
	KUNIT_EXPECT_NE(test, iommu_attach_device_pasid(one, dev,
							INVALID_IOASID), 0);

	KUNIT_EXPECT_NULL(test, iommu_get_domain_for_dev_pasid(dev, pasid, 0));
	svt_attach(test, one, 0, pasid);
	KUNIT_EXPECT_EQ(test, iommu_attach_device_pasid(one, dev, pasid),
			-EBUSY);
	KUNIT_EXPECT_EQ(test, iommu_attach_device_pasid(two, dev, pasid),
			-EBUSY);
	KUNIT_EXPECT_PTR_EQ(test, one,
			    iommu_get_domain_for_dev_pasid(dev, pasid, 0));
	KUNIT_EXPECT_PTR_EQ(test, one,
			    iommu_get_domain_for_dev_pasid(dev, pasid,
							   one->type));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			PTR_ERR(iommu_get_domain_for_dev_pasid(dev, pasid,
							       IOMMU_DOMAIN_SVA)));
	svt_detach(test, one, 0, pasid);
	KUNIT_EXPECT_NULL(test, iommu_get_domain_for_dev_pasid(dev, pasid, 0));
}

/* Ownership, with somebody who claims the group again and again */

#ifndef MODULE	/* What buses do for drivers is not exported */
#define SVT_CLAIMS		1000

/**
 * struct svt_claimer - who wants to own the group of a device
 * @group: the group
 * @attached: something is attached, and cannot be detached before this changes
 * @claimed: how often the group was claimed
 * @refused: how often it was not, because something was attached
 * @wrong: how often it should not have been, or for what other reason it was not
 */
struct svt_claimer {
	struct iommu_group *group;
	bool attached;
	unsigned int claimed;
	unsigned int refused;
	unsigned int wrong;
};

static int svt_claims(void *data)
{
	struct svt_claimer *c = data;
	int ret;

	while (!kthread_should_stop()) {
		ret = iommu_group_claim_dma_owner(c->group, c);
		if (!ret) {
			WRITE_ONCE(c->claimed, c->claimed + 1);
			/* Neither now nor as long as the group is claimed */
			c->wrong += READ_ONCE(c->attached);
			usleep_range(10, 50);
			c->wrong += READ_ONCE(c->attached);
			iommu_group_release_dma_owner(c->group);
		} else if (ret == -EBUSY) {
			WRITE_ONCE(c->refused, c->refused + 1);
		} else {
			c->wrong++;
		}
		usleep_range(10, 100);
	}
	return 0;
}

static void svt_claimed_while_attached(struct kunit *test)
{
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[0]->dev;
	struct iommu_domain *domain = svt_domain(test);
	ioasid_t pasid = svt_pasid(test, 0);
	struct svadev_queue *q = svt_queue(test, 0, pasid);
	unsigned int attached = 0, busy = 0, i;
	u8 *page = svt_page(test);
	struct svt_claimer *c;
	int ret = 0;

	c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, c);
	/* The device has its group as long as it is there */
	c->group = iommu_group_get(dev);
	KUNIT_ASSERT_NOT_NULL(test, c->group);
	iommu_group_put(c->group);
	svt_attach(test, domain, 0, pasid);
	svt_map(test, domain, SVT_IOVA, page, IOMMU_READ | IOMMU_WRITE);
	svt_detach(test, domain, 0, pasid);
	svt_stop_at_exit(test, kthread_create(svt_claims, c, "svt-claims"));

	svt_unuse_default_domain(test);
	wake_up_process(svt->partner);

	/* And longer, until it has come to both */
	for (i = 0; i < 100 * SVT_CLAIMS &&
	     (attached < SVT_CLAIMS || !busy || !READ_ONCE(c->claimed) ||
	      !READ_ONCE(c->refused)); i++) {
		ret = iommu_attach_device_pasid(domain, dev, pasid);
		if (ret == -EBUSY) {
			busy++;
			usleep_range(10, 100);
			continue;
		}
		if (ret)
			break;
		WRITE_ONCE(c->attached, true);
		attached++;

		*(u64 *)page = 0;
		svt_hammer(test, q, SVT_IOVA);
		usleep_range(10, 200);
		svt_expect_hammered(test, q, page);

		WRITE_ONCE(c->attached, false);
		iommu_detach_device_pasid(domain, dev, pasid);
		if (!(attached % 8))
			usleep_range(100, 200);
	}

	svt_partner_stop(svt);
	svt_use_default_domain(test);
	KUNIT_EXPECT_EQ(test, ret, 0);
	KUNIT_EXPECT_GE(test, attached, SVT_CLAIMS);
	KUNIT_EXPECT_EQ(test, c->wrong, 0);
	KUNIT_EXPECT_GT(test, busy, 0);
	KUNIT_EXPECT_GT(test, c->claimed, 0);
	KUNIT_EXPECT_GT(test, c->refused, 0);
}
#endif

/* Replacement, under a device that goes on all the time */

/* Unmaps while a domain is being attached */

#define SVT_UNMAPPED		16
#define SVT_UNMAP_ATTACHES	300

/**
 * struct svt_unmapper - a thread that maps pages and unmaps them at once
 * @domain: where
 * @page: is mapped at all of the addresses
 * @lock: protects what @domain maps
 * @pauses: the thread does not begin anew
 */
struct svt_unmapper {
	struct iommu_domain *domain;
	u8 *page;
	struct mutex lock;	/* held while something is mapped */
	bool pauses;
};

static int svt_unmaps(void *data)
{
	struct svt_unmapper *u = data;
	u64 end = SVT_IOVA + SVT_UNMAPPED * PAGE_SIZE, iova;

	while (!kthread_should_stop()) {
		if (READ_ONCE(u->pauses)) {
			cond_resched();
			continue;
		}
		mutex_lock(&u->lock);
		for (iova = SVT_IOVA; iova < end; iova += PAGE_SIZE)
			if (iommu_map(u->domain, iova, virt_to_phys(u->page),
				      PAGE_SIZE, IOMMU_READ | IOMMU_WRITE |
				      IOMMU_CACHE))
				break;
		/* One by one: some of them while a CMD_SYNC is waited for */
		while (iova > SVT_IOVA) {
			iova -= PAGE_SIZE;
			iommu_unmap(u->domain, iova, PAGE_SIZE);
		}
		mutex_unlock(&u->lock);
		cond_resched();
	}
	return 0;
}

/*
 * From when the IOMMU may use a domain, an unmap has to invalidate for the
 * device, also if the attach has not returned. The device has just asked for the
 * addresses: the IOMMU may translate them again as soon as it can.
 */
static void svt_pasid_attach_unmapping(struct kunit *test)
{
	u64 end = SVT_IOVA + SVT_UNMAPPED * PAGE_SIZE, iova;
	ioasid_t pasid = svt_pasid(test, 0);
	struct svadev_queue *q = svt_queue(test, 0, pasid);
	unsigned int i, reached = 0;
	struct svt_unmapper *u;

	u = kunit_kzalloc(test, sizeof(*u), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, u);
	u->domain = svt_ready_domain(test);
	u->page = svt_page(test);
	mutex_init(&u->lock);
	for (iova = SVT_IOVA; iova < end; iova += PAGE_SIZE)
		KUNIT_ASSERT_EQ(test, -EFAULT, svt_fill(q, iova, 0xee, 1));
	svt_stop_at_exit(test, kthread_run(svt_unmaps, u, "svt-unmaps"));

	for (i = 0; i < SVT_UNMAP_ATTACHES && !reached; i++) {
		usleep_range(10, 100);
		svt_attach(test, u->domain, 0, pasid);
		WRITE_ONCE(u->pauses, true);
		mutex_lock(&u->lock);
		for (iova = SVT_IOVA; iova < end; iova += PAGE_SIZE)
			reached += !svt_fill(q, iova, 0xee, 1);
		mutex_unlock(&u->lock);
		svt_detach_now(test, u->domain, 0, pasid);
		WRITE_ONCE(u->pauses, false);
	}
	svt_partner_stop(test->priv);
	KUNIT_EXPECT_EQ_MSG(test, reached, 0,
			    "the device reaches pages that were unmapped during attach %u",
			    i - 1);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(u->page, 0));
}

static void svt_target_paging(struct kunit *test, struct svt_target *t)
{
	*t = (struct svt_target){
		.domain = svt_ready_domain(test),
		.page = { svt_page(test), svt_page(test) },
	};
	svt_target_renew(test, t);
}

/* All that the device has added in a target */
static u64 svt_target_sum(struct svt_target *t)
{
	return t->added + svt_target_read(t);
}

/* Where a device is after a replacement: at the new target, and nowhere else */
struct svt_seen {
	unsigned int idle;
	unsigned int late;
};

static void svt_target_watch(struct svt_target *old, struct svt_target *new,
			     struct svt_seen *seen)
{
	u64 was = svt_target_read(old), begin = svt_target_read(new);
	unsigned int i;

	for (i = 0; i < 10000 && svt_target_read(new) == begin; i++)
		usleep_range(1, 10);
	if (i == 10000)
		seen->idle++;
	if (svt_target_read(old) != was)
		seen->late++;
}

/*
 * Whatever the device adds arrives once, in the domain that is in use. One that
 * is not in use gets a new page every now and then, so that a translation that
 * is left over leads to a page that must not change.
 */
static void svt_replace_busy(struct kunit *test, struct svt_target *target,
			     unsigned int num, u32 pasid, bool ats,
			     unsigned int times)
{
	struct svadev_queue *q = svt_queue_stopped(test, 0);
	struct svt *svt = test->priv;
	u64 waits = svt_counter(svt, SVT_WAITS), sum = 0;
	struct svt_target *old = &target[0], *new;
	struct svt_seen seen = {};
	struct svadev_op op = {};
	unsigned int i, n, failed = 0;

	for (i = 0; i < num; i++) {
		sum += svt_target_sum(&target[i]);
		if (target[i].mm)
			KUNIT_ASSERT_EQ(test, 0,
					svadev_queue_serve(q, target[i].mm));
	}
	KUNIT_ASSERT_EQ(test, svadev_queue_enable(q, pasid, ats), 0);
	svt_hammer(test, q, SVT_IOVA);
	/* A device that has stopped would be waited for each time */
	for (n = 1; n <= times && !seen.idle; n++, old = new) {
		new = &target[n % num];
		failed += !!svt_replace(svt, new->domain, pasid);
		svt_target_watch(old, new, &seen);
		if (!(n % 16))
			svt_target_renew(test, old);
	}
	svt_invalidation_is_over(test);
	waits = svt_counter(svt, SVT_WAITS) - waits;

	svadev_queue_end_hammer(q);
	KUNIT_EXPECT_EQ(test, svt_wait(q, &op), 0);
	svt_audit(test, "after replacements");
	sum = -sum;
	for (i = 0; i < num; i++)
		sum += svt_target_sum(&target[i]);
	KUNIT_EXPECT_EQ(test, op.rounds, sum);
	KUNIT_EXPECT_GT(test, op.rounds, times);
	KUNIT_EXPECT_EQ(test, failed, 0);
	KUNIT_EXPECT_EQ(test, seen.idle, 0);
	KUNIT_EXPECT_EQ(test, seen.late, 0);
	kunit_info(test, "%u replacements, %llu DMAs, %llu waits, %llu faults\n",
		   n - 1, op.rounds, waits, op.faults);
}

static void svt_replace_paging(struct kunit *test, bool ats)
{
	ioasid_t pasid = svt_pasid(test, 0);
	struct svt_target target[2];

	svt_target_paging(test, &target[0]);
	svt_target_paging(test, &target[1]);
	svt_attach(test, target[0].domain, 0, pasid);
	svt_replace_busy(test, target, 2, pasid, ats, SVT_REPLACEMENTS);
	iommu_detach_device_all_pasids(&((struct svt *)test->priv)->pdev[0]->dev);
}

static void svt_replace_pasid(struct kunit *test)
{
	svt_replace_paging(test, false);
}

static void svt_replace_pasid_ats(struct kunit *test)
{
	svt_replace_paging(test, true);
}

static void svt_replace_rid(struct kunit *test)
{
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[0]->dev;
	struct svt_target target[2];
	bool ats;

	svt_target_paging(test, &target[0]);
	svt_target_paging(test, &target[1]);
	for (ats = false; ; ats = true) {
		KUNIT_ASSERT_EQ(test, 0,
				iommu_attach_device(target[0].domain, dev));
		svt_replace_busy(test, target, 2, SVADEV_NO_PASID, ats,
				 SVT_REPLACEMENTS);
		iommu_detach_device(iommu_get_domain_for_dev(dev), dev);
		if (ats)
			break;
	}
}

/* From the DMA API's domain to another one and back, with and without PASIDs */
static void svt_replace_rid_default(struct kunit *test)
{
	struct svadev_queue *q = svt_queue(test, 0, SVADEV_NO_PASID);
	struct svt_buffer buf = svt_buffer(test);
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[0]->dev;
	struct iommu_domain *rid = svt_ready_domain(test);
	struct iommu_domain *other = svt_domain(test);
	ioasid_t pasid = svt_pasid(test, 0);
	struct svt_target there = { .mapped = svt_page(test) };
	struct svt_target here = { .mapped = buf.cpu };
	struct svt_seen seen = {};
	struct svadev_op op = {};
	unsigned int i, failed = 0;

	memset(buf.cpu, 0, PAGE_SIZE);
	svt_map(test, rid, buf.dma, there.mapped, IOMMU_READ | IOMMU_WRITE);
	svt_hammer(test, q, buf.dma);
	for (i = 0; i < 1000 && !seen.idle; i++) {
		if (i == 500)
			svt_attach(test, other, 0, pasid);
		failed += !!iommu_attach_device(rid, dev);
		svt_target_watch(&here, &there, &seen);
		iommu_detach_device(rid, dev);
		svt_target_watch(&there, &here, &seen);
	}
	svt_invalidation_is_over(test);
	svadev_queue_end_hammer(q);
	KUNIT_EXPECT_EQ(test, svt_wait(q, &op), 0);
	KUNIT_EXPECT_EQ(test, op.rounds,
			svt_target_read(&here) + svt_target_read(&there));
	KUNIT_EXPECT_EQ(test, failed, 0);
	KUNIT_EXPECT_EQ(test, seen.idle, 0);
	KUNIT_EXPECT_EQ(test, seen.late, 0);
}

/* Two processes and a paging domain */
static void svt_replace_sva(struct kunit *test)
{
	struct rlimit stack = { .rlim_cur = SZ_8M, .rlim_max = SZ_8M };
	ioasid_t pasid = svt_pasid(test, 0);
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[0]->dev;
	struct svt_target target[3] = {};
	unsigned int i;

	for (i = 0; i < 2; i++) {
		target[i].mm = mm_alloc();
		KUNIT_ASSERT_NOT_NULL(test, target[i].mm);
		target[i].mm->task_size = TASK_SIZE;
		arch_pick_mmap_layout(target[i].mm, &stack);
		target[i].domain = iommu_sva_domain_get(dev, target[i].mm);
		KUNIT_ASSERT_FALSE(test, IS_ERR(target[i].domain));
		svt_target_renew(test, &target[i]);
	}
	svt_target_paging(test, &target[2]);
	KUNIT_ASSERT_EQ(test, 0, iommu_attach_device_pasid(target[0].domain,
							   dev, pasid));
	svt_replace_busy(test, target, 3, pasid, true, SVT_REPLACEMENTS);
	iommu_detach_device_all_pasids(dev);
	for (i = 0; i < 2; i++) {
		iommu_sva_domain_put(target[i].domain);
		mmput(target[i].mm);
	}
}

#ifndef CONFIG_X86
#define SVT_EXITS		20

/**
 * struct svt_changer - a thread that changes what PASIDs lead to
 * @svt: the case
 * @old: detached from @pasid once, or NULL
 * @next: if not, replace each other on @pasid until the thread is stopped
 * @pasid: the PASID
 * @failed: replacements that failed
 * @done: completed when a detach has returned
 */
struct svt_changer {
	struct svt *svt;
	struct iommu_domain *old;
	struct iommu_domain *next[2];
	ioasid_t pasid;
	unsigned int failed;
	struct completion done;
};

static int svt_detaches(void *data)
{
	struct svt_changer *c = data;

	iommu_detach_device_pasid(c->old, &c->svt->pdev[0]->dev, c->pasid);
	complete(&c->done);
	return 0;
}

static int svt_replaces(void *data)
{
	struct svt_changer *c = data;
	unsigned int n;

	for (n = 1; !kthread_should_stop(); n++)
		c->failed += !!svt_replace(c->svt, c->next[n % 2], c->pasid);
	return 0;
}

/*
 * The device adds to a page of a process when that exits. The page is free then,
 * whatever @change does at the same time: the device must not write to it.
 * Without ATS: sva_exit tests that.
 */
static void svt_sva_exit(struct kunit *test, ioasid_t pasid,
			 struct svt_changer *c, int (*change)(void *c))
{
	struct svadev_queue *q = svt_queue_ats(test, 0, pasid, false);
	struct svadev_op op = {};
	struct task_struct *task;
	struct svt_target t;
	struct page *page;
	unsigned int i;
	u64 *word;

	for (i = 0; i < SVT_EXITS; i++) {
		svt_target_process(test, &t, 0);
		svt_attach(test, t.domain, 0, pasid);
		kthread_use_mm(t.mm);
		KUNIT_EXPECT_EQ(test, 1, get_user_pages_fast(SVT_IOVA, 1,
							     FOLL_WRITE, &page));
		kthread_unuse_mm(t.mm);
		word = page_address(page);
		svt_hammer(test, q, SVT_IOVA);
		KUNIT_EXPECT_TRUE(test, svt_changes(word));

		c->old = t.domain;
		init_completion(&c->done);
		task = kthread_run(change, c, "svt-changes");
		KUNIT_ASSERT_FALSE(test, IS_ERR(task));
		usleep_range(1, 50 * i + 2);
		mmput(t.mm);
		*word = 0;
		if (c->next[0]) {
			kthread_stop(task);
			svt_detach(test, t.domain, 0, pasid);
		} else {
			wait_for_completion(&c->done);
			((struct svt *)test->priv)->nr_attached--;
			/* The next round invalidates the same ASID */
			svt_audit(test, "after exit and detach");
		}

		KUNIT_EXPECT_EQ(test, -EFAULT,
				svadev_queue_wait(q, &op, SVT_TIMEOUT_MS / 10));
		KUNIT_ASSERT_EQ_MSG(test, *word, 0,
				    "the device writes to a page of a process that has exited, in round %u",
				    i);
		put_page(page);
		iommu_sva_domain_put(t.domain);
	}
	svt_invalidation_is_over(test);
	KUNIT_EXPECT_EQ(test, c->failed, 0);
}

/* Whichever of the two invalidates, both wait for it. */
static void svt_sva_exit_detaching(struct kunit *test)
{
	struct svt_changer c = {
		.svt = test->priv, .pasid = svt_pasid(test, 0),
	};

	svt_sva_exit(test, c.pasid, &c, svt_detaches);
}

/* The table of the process's PASID is replaced because of its neighbour. */
static void svt_sva_exit_replacing(struct kunit *test)
{
	struct svt_changer c = {
		.svt = test->priv, .pasid = svt_pasid(test, 1),
	};

	c.next[0] = svt_ready_domain(test);
	c.next[1] = svt_ready_domain(test);
	svt_attach(test, c.next[0], 0, c.pasid);
	svt_sva_exit(test, svt_pasid(test, 0), &c, svt_replaces);
	iommu_detach_device_all_pasids(&c.svt->pdev[0]->dev);
}
#endif

/*
 * Two functions write where two processes have a page. Without ATS, so that the
 * IOMMU alone caches their translations.
 */
static void svt_expect_own_memory(struct kunit *test, struct svt_target *t,
				  const ioasid_t *pasid)
{
	struct svadev_queue *q[2];
	unsigned int i;

	for (i = 0; i < 2; i++)
		q[i] = svt_queue_ats(test, i, pasid[i], false);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, svt_fill(q[i], SVT_IOVA, i + 1, 8), 0);
	KUNIT_EXPECT_EQ_MSG(test, 0x0101010101010101ULL,
			    svt_target_read(&t[0]),
			    "memory of the process on function 0");
	KUNIT_EXPECT_EQ_MSG(test, 0x0202020202020202ULL,
			    svt_target_read(&t[1]),
			    "memory of the process on function 1");
}

static void svt_sva_on_functions(struct kunit *test, bool same)
{
	ioasid_t pasid[2] = { svt_pasid(test, 0), svt_pasid(test, !same) };
	struct svt_target t[2];
	unsigned int i;

	svt_need_two_functions(test);
	for (i = 0; i < 2; i++) {
		svt_target_process(test, &t[i], i);
		svt_attach(test, t[i].domain, i, pasid[i]);
	}
	svt_expect_own_memory(test, t, pasid);
	for (i = 0; i < 2; i++) {
		svt_detach(test, t[i].domain, i, pasid[i]);
		svt_target_process_put(&t[i]);
	}
}

static void svt_sva_two_pasids(struct kunit *test)
{
	svt_sva_on_functions(test, false);
}

/* What one PASID leads to is different for each function. */
static void svt_sva_one_pasid(struct kunit *test)
{
	svt_sva_on_functions(test, true);
}

/* Function 0 has a domain on the PASID that a process on function 1 gets. */
static void svt_sva_bound_pasid(struct kunit *test)
{
	struct svt *svt = test->priv;
	struct iommu_sva *bond;
	struct svt_target t[2];
	ioasid_t pasid[2];

	svt_need_two_functions(test);
	svt_target_process(test, &t[0], 0);
	svt_target_process(test, &t[1], 1);
	bond = iommu_sva_bind_device(&svt->pdev[1]->dev, t[1].mm);
	KUNIT_ASSERT_FALSE(test, IS_ERR(bond));
	pasid[0] = iommu_sva_get_pasid(bond);
	pasid[1] = pasid[0];
	svt_attach(test, t[0].domain, 0, pasid[0]);
	svt_expect_own_memory(test, t, pasid);
	svt_detach(test, t[0].domain, 0, pasid[0]);
	iommu_sva_unbind_device(bond);
	svt_target_process_put(&t[0]);
	svt_target_process_put(&t[1]);
}

#ifdef CONFIG_X86
#define SVT_GROUP_PAGES		8

/*
 * A device asks for pages that were never touched, 8 at a time, and its requests
 * go wrong in the ways of @inject.
 */
static int svt_fill_untouched(struct kunit *test, struct svt_target *t,
			      ioasid_t pasid, u64 iova, u32 inject)
{
	struct svt *svt = test->priv;
	unsigned long addr;
	struct svadev_queue *q;
	unsigned int i;
	u64 val;
	int ret;

	kthread_use_mm(t->mm);
	addr = vm_mmap(NULL, iova, SVT_GROUP_PAGES * PAGE_SIZE,
		       PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0);
	kthread_unuse_mm(t->mm);
	KUNIT_ASSERT_EQ(test, addr, (unsigned long)iova);

	q = svadev_queue_get(svt->pdev[0]);
	KUNIT_ASSERT_FALSE(test, IS_ERR(q));
	ret = svadev_queue_enable(q, pasid, true);
	svadev_set_prg_pages(q, SVT_GROUP_PAGES);
	KUNIT_EXPECT_EQ(test, 0, svadev_set_inject(q, inject));
	if (!ret)
		ret = svt_fill(q, iova, 0x11, SVT_GROUP_PAGES * PAGE_SIZE);
	/* Some go wrong when the queue is disabled */
	KUNIT_EXPECT_EQ(test, 0, svadev_queue_disable(q));
	svadev_set_inject(q, 0);
	svadev_set_prg_pages(q, 1);
	svadev_queue_put(q);
	if (ret)
		return ret;

	kthread_use_mm(t->mm);
	for (i = 0; i < SVT_GROUP_PAGES; i++) {
		if (get_user(val, (u64 __user *)(iova + i * PAGE_SIZE)))
			val = 0;
		KUNIT_EXPECT_EQ_MSG(test, val, 0x1111111111111111ULL,
				    "page %u", i);
	}
	kthread_unuse_mm(t->mm);
	return 0;
}

static void svt_sva_groups(struct kunit *test)
{
	static const u32 inject[] = {
		0, SVADEV_INJECT_LATE, SVADEV_INJECT_TWICE,
		SVADEV_INJECT_AFTER, SVADEV_INJECT_STOP,
	};
	ioasid_t pasid = svt_pasid(test, 0);
	struct svt *svt = test->priv;
	struct svt_target t;
	u64 groups, requests;
	unsigned int i;

	svt_target_process(test, &t, 0);
	svt_attach(test, t.domain, 0, pasid);
	groups = svt_counter(svt, "svadev0.pri.group");
	requests = svt_counter(svt, "svadev0.pri.req");
	for (i = 0; i < ARRAY_SIZE(inject); i++)
		KUNIT_EXPECT_EQ_MSG(test, 0,
				    svt_fill_untouched(test, &t, pasid,
						       SVT_IOVA + SZ_1M * (i + 1),
						       inject[i]),
				    "inject %#x", inject[i]);
	groups = svt_counter(svt, "svadev0.pri.group") - groups;
	requests = svt_counter(svt, "svadev0.pri.req") - requests;
	KUNIT_EXPECT_GE(test, groups, ARRAY_SIZE(inject));
	KUNIT_EXPECT_GT(test, requests, groups);
	svt_detach(test, t.domain, 0, pasid);
	svt_target_process_put(&t);
}

/* Requests that never arrive end an operation, and nothing else */
static void svt_sva_lost(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 0);
	struct svt_target t;

	svt_target_process(test, &t, 0);
	svt_attach(test, t.domain, 0, pasid);
	KUNIT_EXPECT_EQ(test, -EAGAIN,
			svt_fill_untouched(test, &t, pasid, SVT_IOVA + SZ_1M,
					   SVADEV_INJECT_LOST));
	KUNIT_EXPECT_EQ(test, 0,
			svt_fill_untouched(test, &t, pasid, SVT_IOVA + SZ_1M,
					   0));
	svt_detach(test, t.domain, 0, pasid);
	svt_target_process_put(&t);
}

/*
 * Queues ask for pages while their PASID goes from one process to another. What
 * they asked for before the detach is answered then, or refused: if it came to the
 * queue of the IOMMU later it would be the next owner's. vtd.prq.late counts that.
 */
static void svt_sva_detach_faulting(struct kunit *test)
{
	struct svadev_op op = {
		.op = SVADEV_OP_FILL, .dst = SVT_IOVA, .len = PAGE_SIZE,
	};
	struct svadev_queue *q[SVT_FAULTING_QUEUES];
	ioasid_t pasid = svt_pasid(test, 0);
	struct svt_target t[2], *owner = NULL;
	unsigned int i, j;

	svt_target_process(test, &t[0], 0);
	svt_target_process(test, &t[1], 0);
	for (j = 0; j < ARRAY_SIZE(q); j++)
		q[j] = svt_queue(test, 0, pasid);

	for (i = 0; i < SVT_FAULTING_ROUNDS; i++) {
		if (owner) {
			svt_detach_now(test, owner->domain, 0, pasid);
			svt_invalidation_is_over(test);
		}
		owner = &t[i % ARRAY_SIZE(t)];
		svt_attach(test, owner->domain, 0, pasid);

		for (j = 0; i && j < ARRAY_SIZE(q); j++) {
			struct svadev_op done = {};

			/* Neither process has that page */
			KUNIT_ASSERT_EQ(test, -EFAULT,
					svadev_queue_wait(q[j], &done,
							  SVT_TIMEOUT_MS));
		}
		for (j = 0; j < ARRAY_SIZE(q); j++) {
			op.dst += PAGE_SIZE;
			KUNIT_ASSERT_EQ(test, 0, svadev_queue_submit(q[j], &op));
		}
		udelay(i % 64);
	}
	for (j = 0; j < ARRAY_SIZE(q); j++) {
		KUNIT_EXPECT_EQ(test, -EFAULT,
				svt_wait(q[j], &op));
		KUNIT_EXPECT_EQ(test, 0, svadev_queue_disable(q[j]));
	}
	svt_detach(test, owner->domain, 0, pasid);
	svt_target_process_put(&t[0]);
	svt_target_process_put(&t[1]);
}

/*
 * Pass-through on a PASID on which another function has a process. Only VT-d
 * attaches such a domain; both have domain ID 1.
 */
static void svt_sva_beside_identity(struct kunit *test)
{
	ioasid_t pasid = svt_pasid(test, 0);
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[1]->dev;
	u8 *page = svt_page(test);
	struct iommu_domain *id;
	struct svadev_queue *q[2];
	struct svt_target t;
	int ret;

	svt_need_two_functions(test);
	id = svt_identity(test);
	ret = iommu_attach_device_pasid(id, dev, pasid);
	KUNIT_ASSERT_EQ(test, 0, ret);

	svt_target_process(test, &t, 0);
	svt_attach(test, t.domain, 0, pasid);
	q[0] = svt_queue_ats(test, 0, pasid, false);
	q[1] = svt_queue_ats(test, 1, pasid, false);
	KUNIT_EXPECT_EQ(test, svt_fill(q[0], SVT_IOVA, 1, 8), 0);
	KUNIT_EXPECT_EQ(test, svt_fill(q[1], virt_to_phys(page), 3, PAGE_SIZE),
			0);
	KUNIT_EXPECT_TRUE(test, svt_bytes_are(page, 3));
	KUNIT_EXPECT_EQ(test, 0x0101010101010101ULL, svt_target_read(&t));

	svt_detach(test, t.domain, 0, pasid);
	iommu_detach_device_pasid(id, dev, pasid);
	svt_target_process_put(&t);
}
#endif

/*
 * Two pages are unmapped from the middle of what the DMA API's domain maps. If
 * they are not aligned to their size, one descriptor has to cover more.
 */
static void svt_rid_unmap_pages(struct kunit *test, u64 iova)
{
	struct svt *svt = test->priv;
	struct iommu_domain *domain =
		iommu_get_domain_for_dev(&svt->pdev[0]->dev);
	struct svadev_queue *q = svt_queue(test, 0, SVADEV_NO_PASID);
	u8 *page[2] = { svt_page(test), svt_page(test) };
	unsigned int i;

	if (!domain || !(domain->type & __IOMMU_DOMAIN_PAGING))
		kunit_skip(test, "no IOMMU translates for svadev");

	for (i = 0; i < 2; i++) {
		svt_map(test, domain, iova + i * PAGE_SIZE, page[i],
			IOMMU_READ | IOMMU_WRITE);
		KUNIT_EXPECT_EQ(test,
				svt_fill(q, iova + i * PAGE_SIZE, 0, 1), 0);
	}
	KUNIT_EXPECT_EQ(test, iommu_unmap(domain, iova, 2 * PAGE_SIZE),
			2 * PAGE_SIZE);
	svt_audit(test, "after unmap");
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ_MSG(test, -EFAULT,
				    svt_fill(q, iova + i * PAGE_SIZE, 0xee, 1),
				    "DMA to page %u after it was unmapped", i);
		KUNIT_EXPECT_EQ_MSG(test, page[i][0], 0,
				    "the device writes to page %u after it was unmapped",
				    i);
	}
	/* Whatever is left must not be found by a later case. */
	iommu_flush_iotlb_all(domain);
}

static void svt_rid_unmap_aligned(struct kunit *test)
{
	svt_rid_unmap_pages(test, SZ_64M + 2 * PAGE_SIZE);
}

static void svt_rid_unmap_unaligned(struct kunit *test)
{
	svt_rid_unmap_pages(test, SZ_64M + 3 * PAGE_SIZE);
}

/* The same when the device keeps translations of the RID domain */
static void svt_rid_ats(struct kunit *test, void (*run)(struct kunit *test))
{
	struct svt *svt = test->priv;
	u64 ok = svt_counter(svt, "svadev0.ats.ok");

	if (!svt->pdev[0]->ats_enabled)
		kunit_skip(test, "ATS is not enabled");

	svt->rid_ats = true;
	run(test);
	KUNIT_EXPECT_GT(test, svt_counter(svt, "svadev0.ats.ok"), ok);
}

static void svt_rid_dma_ats(struct kunit *test)
{
	svt_rid_ats(test, svt_rid_dma);
}

static void svt_rid_atomics_ats(struct kunit *test)
{
	svt_rid_ats(test, svt_rid_atomics);
}

static void svt_rid_unmap_aligned_ats(struct kunit *test)
{
	svt_rid_ats(test, svt_rid_unmap_aligned);
}

static void svt_rid_unmap_busy(struct kunit *test)
{
	struct svt *svt = test->priv;
	struct iommu_domain *domain =
		iommu_get_domain_for_dev(&svt->pdev[0]->dev);

	KUNIT_ASSERT_NOT_NULL(test, domain);
	svt_unmap_busy(test, domain, svt_queue(test, 0, SVADEV_NO_PASID),
		       SZ_64M);
}

static void svt_rid_unmap_busy_ats(struct kunit *test)
{
	svt_rid_ats(test, svt_rid_unmap_busy);
}

/* Without the DMA API's domain the interrupt of the device does not arrive. */
static int svt_wait_polled(struct svadev_queue *q, struct svadev_op *op)
{
	int ret = -ETIMEDOUT;
	unsigned int ms;

	for (ms = 0; ms < SVT_TIMEOUT_MS && ret == -ETIMEDOUT; ms++)
		ret = svadev_queue_wait(q, op, 1);
	return ret;
}

static int svt_fill_polled(struct svadev_queue *q, u64 dst, u8 byte, u64 len)
{
	struct svadev_op op = {
		.op = SVADEV_OP_FILL, .dst = dst, .value = byte, .len = len,
	};
	int ret = svadev_queue_submit(q, &op);

	return ret ? ret : svt_wait_polled(q, &op);
}

/*
 * A device that has ATS because of a PASID keeps what pass-through says of its
 * RID as well. When that is replaced, the device must not reach all memory.
 */
static void svt_rid_identity_ats(struct kunit *test)
{
	struct iommu_domain *id = svt_identity(test);
	struct iommu_domain *next = svt_ready_domain(test);
	struct iommu_domain *other = svt_domain(test);
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[0]->dev;
	ioasid_t pasid = svt_pasid(test, 0);
	u8 *page = svt_page(test);
	struct svadev_queue *q;
	unsigned int i;

	if (!svt->pdev[0]->ats_enabled)
		kunit_skip(test, "ATS is not enabled");

	svt_attach(test, other, 0, pasid);
	q = svt_queue_ats(test, 0, SVADEV_NO_PASID, true);
	for (i = 1; i <= 10; i++) {
		KUNIT_ASSERT_EQ(test, iommu_attach_device(id, dev), 0);
		KUNIT_EXPECT_TRUE(test, svt->pdev[0]->ats_enabled);
		KUNIT_EXPECT_EQ(test, 0,
				svt_fill_polled(q, virt_to_phys(page), i,
						PAGE_SIZE));
		KUNIT_EXPECT_TRUE(test, svt_bytes_are(page, i));

		KUNIT_EXPECT_EQ(test, 0, svt_replace(svt, next,
						     SVADEV_NO_PASID));
		KUNIT_EXPECT_EQ(test, -EFAULT,
				svt_fill_polled(q, virt_to_phys(page), 0xee,
						PAGE_SIZE));
		KUNIT_EXPECT_TRUE(test, svt_bytes_are(page, i));
		iommu_detach_device(iommu_get_domain_for_dev(dev), dev);
	}
}

#ifndef CONFIG_X86
/*
 * Where an STE does not allow ATS, requests of ATS are errors, which the SMMU
 * reports. A busy device must not send any when its RID gets pass-through.
 */
static void svt_rid_ats_ends(struct kunit *test)
{
	static const char * const refused[] = {
		"smmu.evt.f_bad_ats_treq", "smmu.evt.f_transl_forb",
		"smmu.ats.ur", "smmu.ats.forbidden",
	};
	struct iommu_domain *id = svt_identity(test);
	struct svadev_queue *q = svt_queue_stopped(test, 0);
	struct svt_buffer buf = svt_buffer(test);
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[0]->dev;
	u64 before[ARRAY_SIZE(refused)];
	struct svadev_op op = {};
	unsigned int i;

	if (!svt->pdev[0]->ats_enabled)
		kunit_skip(test, "ATS is not enabled");

	for (i = 0; i < ARRAY_SIZE(refused); i++)
		before[i] = svt_counter(svt, refused[i]);
	for (i = 0; i < 30; i++) {
		KUNIT_ASSERT_EQ(test, 0,
				svadev_queue_enable(q, SVADEV_NO_PASID, true));
		svt_hammer(test, q, buf.dma);
		KUNIT_ASSERT_TRUE(test, svt_changes(buf.cpu));
		KUNIT_ASSERT_EQ(test, iommu_attach_device(id, dev), 0);
		KUNIT_EXPECT_FALSE(test, svt->pdev[0]->ats_enabled);
		iommu_detach_device(id, dev);
		KUNIT_ASSERT_TRUE(test, svt->pdev[0]->ats_enabled);
		/* Unless its operation has failed when ATS was disabled */
		svadev_queue_end_hammer(q);
		svt_wait_polled(q, &op);
		KUNIT_ASSERT_EQ(test, 0, svadev_queue_disable(q));
	}
	svt_invalidation_is_over(test);
	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		KUNIT_EXPECT_EQ_MSG(test, before[i], svt_counter(svt, refused[i]),
				    "counter %s", refused[i]);
		KUNIT_EXPECT_NE_MSG(test, before[i], U64_MAX,
				    "there is no counter %s", refused[i]);
	}
}
#endif

/* Replacing a domain fails for lack of memory; the old one is still there. */
static void svt_replace_no_memory(struct kunit *test, bool lasting)
{
	struct svadev_queue *q = svt_queue(test, 0, SVADEV_NO_PASID);
	struct svt *svt = test->priv;
	struct device *dev = &svt->pdev[0]->dev;
	struct iommu_domain *next = svt_ready_domain(test), *found;
	struct kunit_fail_alloc fail;
	struct svt_target target;
	int ret;

	svt_target_paging(test, &target);
	if (!kunit_fail_alloc_begin(&fail))
		kunit_skip(test, "needs CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS");
	KUNIT_EXPECT_EQ(test, iommu_attach_device(target.domain, dev), 0);
	if (lasting)
		kunit_fail_alloc_arm_all(&fail);
	else
		kunit_fail_alloc_arm(1);
	ret = svt_replace(svt, next, SVADEV_NO_PASID);
	kunit_fail_alloc_disarm();
	kunit_fail_alloc_disarm_all(&fail);
	kunit_fail_alloc_end(&fail);

	KUNIT_EXPECT_EQ(test, ret, -ENOMEM);
	found = iommu_get_domain_for_dev(dev);
	KUNIT_EXPECT_PTR_EQ_MSG(test, found, target.domain,
				"the device has lost its domain");
	KUNIT_EXPECT_EQ(test, svt_fill(q, SVT_IOVA, 1, 8), 0);
	KUNIT_EXPECT_EQ(test, 0x0101010101010101ULL, svt_target_read(&target));

	if (!found)
		found = iommu_attach_device(target.domain, dev) ? NULL :
								  target.domain;
	if (found)
		iommu_detach_device(found, dev);
}

static void svt_replace_no_memory_once(struct kunit *test)
{
	svt_replace_no_memory(test, false);
}

static void svt_replace_no_memory_lasting(struct kunit *test)
{
	svt_replace_no_memory(test, true);
}

#define SVT_STALLED_QUEUES	4
/* Rounds whose pages do not come, then rounds whose pages are mapped */
#define SVT_STALLED_ABSENT	192
#define SVT_STALLED_MAPPED	64
#define SVT_STALLED_ROUNDS	(SVT_STALLED_ABSENT + SVT_STALLED_MAPPED)
/* The log takes 10 messages in 5 s, so the first kind has to last for several */
#define SVT_STALLED_MS		150
#define SVT_STALLED_LEN		(SVT_STALLED_QUEUES * PAGE_SIZE)

/*
 * Queues that wait for a page while their PASID is detached: accesses end by then,
 * in either way, and the device writes nothing later. In the first rounds there
 * are no such pages, in the others they are mapped at that time.
 *
 * Each fault is reported as one of the attachment, or it is logged, which the
 * suite does not permit. It permits that of an access behind the detach, of which
 * there are more in the latter. The log is rate limited, hence the pauses.
 */
static void svt_detach_stalled(struct kunit *test)
{
	u64 __user *page = (u64 __user *)(SVT_IOVA + SZ_1M);
	const size_t step = PAGE_SIZE / sizeof(*page);
	struct svadev_op op = {
		.op = SVADEV_OP_FILL, .value = 1, .len = 8,
	};
	struct svadev_queue *q[SVT_STALLED_QUEUES];
	unsigned int i, j, ok = 0, late = 0;
	ioasid_t pasid = svt_pasid(test, 0);
	struct svt *svt = test->priv;
	struct svt_target t;
	unsigned long addr;
	bool comes;
	u64 val;
	int ret;

	if (pci_find_ext_capability(svt->pdev[0], PCI_EXT_CAP_ID_ATS))
		kunit_skip(test, "no stalls for a device that has ATS");

	svt_target_process(test, &t, 0);
	for (j = 0; j < ARRAY_SIZE(q); j++)
		q[j] = svt_queue(test, 0, pasid);

	for (i = 0; i < SVT_STALLED_ROUNDS; i++) {
		comes = i >= SVT_STALLED_ABSENT;
		if (!comes)
			msleep(SVT_STALLED_MS);
		kthread_use_mm(t.mm);
		addr = vm_mmap(NULL, (unsigned long)page, SVT_STALLED_LEN,
			       comes ? PROT_READ | PROT_WRITE : PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0);
		kthread_unuse_mm(t.mm);
		KUNIT_ASSERT_EQ(test, addr, (unsigned long)page);

		svt_attach(test, t.domain, 0, pasid);
		for (j = 0; j < ARRAY_SIZE(q); j++) {
			op.dst = (unsigned long)(page + j * step);
			KUNIT_ASSERT_EQ(test, 0, svadev_queue_submit(q[j], &op));
		}
		udelay(60 + i % 8 * 25);
		svt_detach(test, t.domain, 0, pasid);
		svt_invalidation_is_over(test);
		KUNIT_EXPECT_EQ(test, 0, svt_counter(svt, SVT_NOW));

		kthread_use_mm(t.mm);
		for (j = 0; comes && j < ARRAY_SIZE(q); j++)
			KUNIT_EXPECT_EQ(test, 0, put_user(2ULL, page + j * step));
		kthread_unuse_mm(t.mm);
		for (j = 0; j < ARRAY_SIZE(q); j++) {
			struct svadev_op done = {};

			ret = svadev_queue_wait(q[j], &done, SVT_TIMEOUT_MS);
			KUNIT_ASSERT_TRUE(test, ret == -EFAULT || (comes && !ret));
			ok += !ret;
		}
		kthread_use_mm(t.mm);
		for (j = 0; comes && j < ARRAY_SIZE(q); j++)
			late += get_user(val, page + j * step) || val != 2;
		vm_munmap((unsigned long)page, SVT_STALLED_LEN);
		kthread_unuse_mm(t.mm);
	}
	KUNIT_EXPECT_EQ_MSG(test, late, 0, "writes after a detach");
	/* Detaches were neither always first nor always last */
	KUNIT_EXPECT_GT(test, ok, 0);
	KUNIT_EXPECT_LT(test, ok, SVT_STALLED_MAPPED * ARRAY_SIZE(q));
	svt_target_process_put(&t);
}

static struct kunit_case svadev_cases[] = {
	KUNIT_CASE(svt_rid_dma),
	KUNIT_CASE(svt_rid_atomics),
	KUNIT_CASE(svt_rid_is_translated),
	KUNIT_CASE(svt_interrupt),
	KUNIT_CASE(svt_refused),
	KUNIT_CASE(svt_pasid_dma),
	KUNIT_CASE(svt_pasid_unmap),
	KUNIT_CASE(svt_pasid_unmap_busy),
	KUNIT_CASE(svt_pasid_unmap_ranges),
	KUNIT_CASE(svt_pasid_unmap_all_pasids),
	KUNIT_CASE(svt_pasid_detach),
	KUNIT_CASE(svt_pasid_turns),
	KUNIT_CASE(svt_pasid_new_table),
	KUNIT_CASE(svt_pasid_per_function),
	KUNIT_CASE(svt_pasid_shared_domain),
	KUNIT_CASE(svt_pasid_dma_domain),
	KUNIT_CASE(svt_pasid_rid_changes),
	KUNIT_CASE(svt_pasid_detach_busy),
	KUNIT_CASE(svt_pasid_attach_unmapping),
	KUNIT_CASE(svt_pasid_detach_faulting),
	KUNIT_CASE(svt_pasid_replace_faulting),
	KUNIT_CASE(svt_pasid_arguments),
#ifndef MODULE
	KUNIT_CASE(svt_claimed_while_attached),
#endif
	KUNIT_CASE(svt_replace_pasid),
	KUNIT_CASE(svt_replace_pasid_ats),
	KUNIT_CASE(svt_replace_rid),
	KUNIT_CASE(svt_replace_rid_default),
	KUNIT_CASE(svt_replace_sva),
	KUNIT_CASE(svt_replace_no_memory_once),
	KUNIT_CASE(svt_replace_no_memory_lasting),
#ifndef CONFIG_X86
	KUNIT_CASE(svt_sva_exit_detaching),
	KUNIT_CASE(svt_sva_exit_replacing),
#endif
	KUNIT_CASE(svt_sva_two_pasids),
	KUNIT_CASE(svt_sva_one_pasid),
	KUNIT_CASE(svt_sva_bound_pasid),
#ifdef CONFIG_X86
	KUNIT_CASE(svt_sva_groups),
	KUNIT_CASE(svt_sva_lost),
	KUNIT_CASE(svt_sva_detach_faulting),
	KUNIT_CASE(svt_sva_beside_identity),
#endif
	KUNIT_CASE(svt_rid_unmap_aligned),
	KUNIT_CASE(svt_rid_unmap_unaligned),
	KUNIT_CASE(svt_rid_dma_ats),
	KUNIT_CASE(svt_rid_atomics_ats),
	KUNIT_CASE(svt_rid_unmap_aligned_ats),
	KUNIT_CASE(svt_rid_unmap_busy),
	KUNIT_CASE(svt_rid_unmap_busy_ats),
	KUNIT_CASE(svt_rid_identity_ats),
#ifndef CONFIG_X86
	KUNIT_CASE(svt_rid_ats_ends),
#endif
	{ }
};

static struct kunit_suite svadev_suite = {
	.name = "svadev",
	.init = svt_init,
	.exit = svt_exit,
	.test_cases = svadev_cases,
};

/* The driver is unbound while a kernel user has a queue, and goes on using it */

struct svt_unbind {
	struct work_struct work;
	struct device *dev;
};

static void svt_unbind_work(struct work_struct *work)
{
	device_release_driver(container_of(work, struct svt_unbind, work)->dev);
}

/* What user space sees of the function goes first */
static bool svt_has_child(struct device *dev)
{
	struct device *child = device_find_any_child(dev);

	put_device(child);
	return child;
}

static void svt_unbind_queue(struct kunit *test)
{
	struct svadev_op op[2] = {
		{ .op = SVADEV_OP_READ, .src = SVT_IOVA, .len = 8 },
		{ .op = SVADEV_OP_READ, .src = SVT_IOVA, .len = 8 },
	};
	struct iommu_domain *domain = svt_domain(test);
	ioasid_t pasid = svt_pasid(test, 0);
	struct svt *svt = test->priv;
	struct svadev_queue *q;
	struct svt_unbind unbind;
	struct mm_struct *mm;
	unsigned int i;

	svt_need_two_functions(test);
	unbind.dev = &svt->pdev[1]->dev;
	svt_attach(test, domain, 1, pasid);
	mm = mm_alloc();
	KUNIT_ASSERT_NOT_NULL(test, mm);
	q = svadev_queue_get(svt->pdev[1]);
	KUNIT_ASSERT_FALSE(test, IS_ERR(q));

	/* There is no page: its fault is reported and cannot be served */
	KUNIT_EXPECT_EQ(test, 0, svadev_queue_serve(q, mm));
	KUNIT_EXPECT_EQ(test, 0, svadev_queue_enable(q, pasid, true));
	KUNIT_EXPECT_EQ(test, -EFAULT,
			svadev_queue_run(q, &op[0], SVT_TIMEOUT_MS));
	KUNIT_EXPECT_EQ(test, op[0].faults, 1);

	INIT_WORK_ONSTACK(&unbind.work, svt_unbind_work);
	schedule_work(&unbind.work);
	for (i = 0; i < 1000 && svt_has_child(unbind.dev); i++)
		msleep(20);
	KUNIT_EXPECT_LT(test, i, 1000);
	/* Until it is freed, too */
	msleep(100);

	KUNIT_EXPECT_EQ(test, 0, svadev_queue_enable(q, pasid, true));
	KUNIT_EXPECT_EQ(test, -EFAULT,
			svadev_queue_run(q, &op[1], SVT_TIMEOUT_MS));
	KUNIT_EXPECT_EQ_MSG(test, op[1].faults, 1,
			    "page faults are not served any more");

	svt_detach(test, domain, 1, pasid);
	svadev_queue_put(q);
	flush_work(&unbind.work);
	destroy_work_on_stack(&unbind.work);
	mmput(mm);
	/* Which uacce could not while the domain was attached */
	iommu_dev_disable_feature(unbind.dev, IOMMU_DEV_FEAT_SVA);
	KUNIT_EXPECT_EQ(test, 1, device_attach(unbind.dev));
}

/* On memory that is filled when it is freed */
static struct kunit_case svadev_unbind_cases[] = {
	KUNIT_CASE(svt_unbind_queue),
	{}
};

static struct kunit_suite svadev_unbind_suite = {
	.name = "svadev_unbind",
	.init = svt_init,
	.exit = svt_exit,
	.test_cases = svadev_unbind_cases,
};

/* Of its own: what it shows can hang the machine. */
static struct kunit_case svadev_gone_cases[] = {
	KUNIT_CASE(svt_rid_unmap_gone),
	{}
};

static struct kunit_suite svadev_gone_suite = {
	.name = "svadev_gone",
	.init = svt_init,
	.exit = svt_exit,
	.test_cases = svadev_gone_cases,
};

/* Of its own: none of its faults may be logged. */
static struct kunit_case svadev_detach_cases[] = {
	KUNIT_CASE(svt_detach_stalled),
	{}
};

static struct kunit_suite svadev_detach_suite = {
	.name = "svadev_detach",
	.init = svt_init,
	.exit = svt_exit,
	.test_cases = svadev_detach_cases,
};

kunit_test_suites(&svadev_suite, &svadev_gone_suite, &svadev_unbind_suite,
		  &svadev_detach_suite);

MODULE_LICENSE("GPL");
