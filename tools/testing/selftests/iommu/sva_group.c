// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions of one device, with nothing between them that would keep requests
 * of one from being taken for those of another: they share a group, and no
 * process can be bound to them. The last one of a group is alone, and can be
 * used like any other device. Should another one join the group then, what is
 * bound stays bound, and nothing is added.
 */
#include "sva_case.h"

#define NAMES	2

static char name[NAMES][SVA_PCI_NAME_LEN];
static struct slot slot;		/* of the one that goes */

/* What uacce calls it now, -1 if it is not there */
static int number_of(const char *wanted)
{
	char found[SVA_PCI_NAME_LEN];
	int i;

	find_devices();
	for (i = 0; i < functions; i++)
		if (!sva_pci_name(function[i], found) && !strcmp(found, wanted))
			return function[i];
	return -1;
}

static int group_size(const char *of)
{
	struct dirent *entry;
	char path[96];
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path),
		 "/sys/bus/pci/devices/%s/iommu_group/devices", of);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static int try_open(const char *of)
{
	struct sva_queue q;
	int ret;

	ret = sva_open(number_of(of), &q);
	if (!ret)
		sva_close(&q);
	return ret;
}

static bool second_goes(void)
{
	return slot_remove(&slot) && slot_set(&slot, 0) &&
	       SOON(number_of(name[1]) < 0) && group_size(name[0]) == 1;
}

static bool second_comes(void)
{
	return slot_set(&slot, SVADEV_SLOT_PLUG) && pci_rescan() &&
	       SOON(number_of(name[1]) >= 0) && group_size(name[0]) == 2;
}

/* Both are there, whatever another case has left */
static bool begin(void)
{
	int i;

	if (!slot.file[0]) {
		for (i = 0; i < NAMES; i++)
			if (i >= functions || sva_pci_name(function[i], name[i]))
				return false;
		if (!slot_init(&slot, function[1]))
			return false;
	}
	return number_of(name[1]) >= 0 ? group_size(name[0]) == 2 :
					 second_comes();
}

TEST_F(sva, functions_share_a_group)
{
	int i;

	ASSERT_TRUE(begin());
	for (i = 0; i < NAMES; i++) {
		EXPECT_TRUE(sva_capable(number_of(name[i])));
		EXPECT_EQ(2, group_size(name[i]));
		EXPECT_EQ(-EOPNOTSUPP, try_open(name[i]));
	}
}

TEST_F(sva, last_one_is_alone)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);
	struct sva_queue q;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(begin());
	ASSERT_TRUE(second_goes());
	ASSERT_EQ(0, sva_open(number_of(name[0]), &q));
	pattern_set(p, PAGE, 1);
	EXPECT_EQ(SVADEV_STATUS_OK, sva_copy(&q, p + PAGE, p, PAGE));
	EXPECT_TRUE(pattern_is(p + PAGE, PAGE, 1));
	sva_close(&q);

	ASSERT_TRUE(second_comes());
	EXPECT_EQ(-EOPNOTSUPP, try_open(name[0]));
	EXPECT_EQ(-EOPNOTSUPP, try_open(name[1]));
	munmap(p, 2 * PAGE);
}

TEST_F(sva, another_one_joins)
{
	uint8_t *p = map_pages(3, PROT_READ | PROT_WRITE);
	uint64_t *word = (uint64_t *)(p + 2 * PAGE);
	struct sva_queue busy, q;
	pid_t pid;
	int i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(begin());
	ASSERT_TRUE(second_goes());
	ASSERT_EQ(0, sva_open(number_of(name[0]), &busy));
	ASSERT_EQ(0, sva_open(number_of(name[0]), &q));
	ASSERT_TRUE(hammer(&busy, word));
	ASSERT_TRUE(grows(word));

	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(second_comes());

		/* What is bound is served as before, with page faults */
		EXPECT_TRUE(grows(word));
		pattern_set(p, PAGE, i);
		ASSERT_EQ(0, madvise(p + PAGE, PAGE, MADV_DONTNEED));
		EXPECT_EQ(SVADEV_STATUS_OK, sva_copy(&q, p + PAGE, p, PAGE));
		EXPECT_TRUE(pattern_is(p + PAGE, PAGE, i));

		/* Nobody else is, and nobody to the one that came */
		pid = child();
		if (!pid) {
			CHECK(try_open(name[0]) == -EOPNOTSUPP);
			CHECK(try_open(name[1]) == -EOPNOTSUPP);
			_exit(0);
		}
		EXPECT_EQ(0, wait_child(pid));
		EXPECT_EQ(-EOPNOTSUPP, try_open(name[1]));

		ASSERT_TRUE(second_goes());
		EXPECT_TRUE(grows(word));
	}

	EXPECT_EQ(SVADEV_STATUS_OK, sva_end_hammer(&busy));
	EXPECT_EQ(busy.rounds, *word);
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_copy(&q, p + PAGE, word, 8));
	EXPECT_EQ(busy.rounds, *(uint64_t *)(p + PAGE));
	sva_close(&q);
	sva_close(&busy);
	ASSERT_TRUE(second_comes());
	munmap(p, 3 * PAGE);
}
