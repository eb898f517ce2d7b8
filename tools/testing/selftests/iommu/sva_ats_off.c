// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that answers reads of its configuration, and no invalidation of its
 * TLB: its ATS was turned off behind the kernel's back, as a reset does, or it is
 * broken. munmap() must come to an end, with the page invalidated for another
 * device of the process, and others must not notice. On a kernel that asks such a
 * device for ever this case does not end, and the machine may not either.
 */
#include "sva_case.h"

#define PCI_CAP_ATS		0x0f
#define PCI_ATS_CTRL		6
#define PCI_ATS_CTRL_ENABLE	0x8000

/* What a bounded number of attempts, of some 100 ms each, may take */
#define ASKING_MS		5000

/* Returns false if the device has no ATS */
static bool ats_enable(const char *name, bool on)
{
	unsigned int pos = 0x100;
	bool done = false;
	uint16_t ctrl;
	char path[96];
	uint32_t cap;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	while (pos && pread(fd, &cap, sizeof(cap), pos) == sizeof(cap)) {
		if ((cap & 0xffff) != PCI_CAP_ATS) {
			pos = cap >> 20;
			continue;
		}
		pos += PCI_ATS_CTRL;
		if (pread(fd, &ctrl, sizeof(ctrl), pos) != sizeof(ctrl))
			break;
		ctrl = on ? ctrl | PCI_ATS_CTRL_ENABLE :
			    ctrl & ~PCI_ATS_CTRL_ENABLE;
		done = pwrite(fd, &ctrl, sizeof(ctrl), pos) == sizeof(ctrl);
		break;
	}
	close(fd);
	return done;
}

/* It has ATS enabled, and does not answer */
static bool answers_set(const char *name, bool on)
{
	char path[96], text[16];

	snprintf(path, sizeof(path), "/sys/kernel/debug/svadev/%s/inject",
		 name);
	snprintf(text, sizeof(text), "%u", on ? 0 : SVADEV_INJECT_INV_NEVER);
	return write_file(path, text);
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK(!sched_setaffinity(0, sizeof(set), &set));
}

static void unmap_in_child(struct __test_metadata *_metadata,
			   bool (*set)(const char *name, bool on), bool on)
{
	uint64_t *ended = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char name[SVA_PCI_NAME_LEN];
	uint64_t end;
	bool in_time;
	pid_t pid;

	if (!USES_ATS)
		SKIP(return, "needs a device with ATS");
	ASSERT_NE(MAP_FAILED, ended);
	ASSERT_EQ(0, sva_pci_name(device[1], name));
	run_on(0);
	pid = child();
	if (!pid) {
		uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);
		struct sva_queue q, other;

		run_on(1);
		CHECK(p != MAP_FAILED);
		CHECK(!sva_open(device[1], &q));
		CHECK(!sva_open(device[0], &other));
		CHECK(sva_fill(&q, p, 5, 2 * PAGE) == SVADEV_STATUS_OK);
		CHECK(sva_fill(&other, p, 5, 2 * PAGE) == SVADEV_STATUS_OK);
		CHECK(set(name, on));
		munmap(p, PAGE);
		__atomic_store_n(ended, 1, __ATOMIC_RELAXED);
		CHECK(sva_fill(&other, p, 6, PAGE) == SVADEV_STATUS_FAULT);
		CHECK(set(name, true));
		_exit(0);
	}
	end = sva_now_ms() + ASKING_MS;
	while (!sva_load(ended) && sva_now_ms() < end)
		usleep(10000);
	in_time = sva_load(ended);
	/* If it is still repeated, the invalidation is answered from here on */
	set(name, true);
	EXPECT_EQ(0, wait_child(pid));
	munmap(ended, PAGE);
	EXPECT_TRUE(in_time) TH_LOG("munmap() asks a silent device for ever");
}

/* Control */
TEST_F(sva, munmap_with_ats)
{
	unmap_in_child(_metadata, ats_enable, true);
}

TEST_F(sva, munmap_with_ats_off)
{
	/* It may be said, once */
	self->before.logged = "Invalidation Time-out";
	unmap_in_child(_metadata, ats_enable, false);
}

TEST_F(sva, munmap_never_answered)
{
	self->before.logged = "Invalidation Time-out";
	unmap_in_child(_metadata, answers_set, false);
}
