// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel crashes while devices do DMA for processes, and have page faults
 * under way, and another kernel starts (kdump). Its own processes get the PASIDs
 * that those had, which the IOMMU and the devices may still remember.
 *
 * In the kernel that is to crash, this program loads the other one from CRASH_DIR
 * and has it crash; the other one is to run it again.
 */
#include "sva_case.h"

#include <linux/kexec.h>
#include <sys/syscall.h>

#define CRASH_DIR	"/crash/"

#define USERS		4
/* PASIDs that this program, and its cases, have in the other kernel */
#define FIRST		4

/* Where all processes of both kernels have pages that a device uses */
#define WHERE		((uint8_t *)0x10000000000)
#define PAGES		16

static uint8_t *map_where(void)
{
	return mmap(WHERE, PAGES * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

/* Not so often that a machine that is emulated is busy with nothing else */
#define OFTEN_NS	(1000 * 1000)
#define LATE_NS		(200 * OFTEN_NS)

/* A device that goes on without a CPU */
static bool add(struct sva_queue *q, void *word, uint64_t period_ns)
{
	return sva_submit(q, &(struct sva_op){
		.op = SVADEV_OP_FETCH_ADD, .dst = word, .value = 1, .len = 8,
		.hammer_ns = period_ns });
}

/* Queues that are opened from now on */
static bool set_ats(int number, bool on)
{
	char name[SVA_PCI_NAME_LEN], path[64];

	if (sva_pci_name(number, name))
		return false;
	snprintf(path, sizeof(path), "/sys/kernel/debug/svadev/%s/ats", name);
	return write_file(path, on ? "Y" : "N");
}

/*
 * A process that never ends. One device adds to a page whose translation it has,
 * and to another one whose translation the IOMMU has to look up each time. It
 * asks for the other pages again and again.
 */
static void use_device(struct gate *ready, int number)
{
	struct sva_queue has, looks_up, asks;
	uint8_t *p = map_where();
	unsigned long round;

	CHECK(p == WHERE);
	CHECK(!sva_open(number, &has));
	CHECK(!sva_open(number, &asks));
	CHECK(set_ats(number, false));
	CHECK(!sva_open(number, &looks_up));
	CHECK(set_ats(number, true));
	memset(p, 0, 2 * PAGE);
	CHECK(add(&has, p, OFTEN_NS));
	CHECK(add(&looks_up, p + PAGE, OFTEN_NS));
	CHECK(hammers(&has) && hammers(&looks_up));
	p += 2 * PAGE;
	for (round = 0;; round++) {
		CHECK(sva_fill(&asks, p, 1, (PAGES - 2) * PAGE) ==
		      SVADEV_STATUS_OK);
		CHECK(!madvise(p, (PAGES - 2) * PAGE, MADV_DONTNEED));
		if (!round)
			gate_open(ready);
	}
}

/* A process that has a PASID and does not use it */
static void hold_pasid(struct gate *ready)
{
	struct sva_queue q;

	CHECK(!sva_open(device[0], &q));
	gate_open(ready);
	for (;;)
		pause();
}

/*
 * The device is to ask for a page when nobody is left to serve it: some time
 * after the last instruction before the crash.
 */
static bool ask_soon(void)
{
	static struct sva_queue q;
	uint8_t *p = map_where();

	return p == WHERE && !sva_open(device[0], &q) && add(&q, p, LATE_NS) &&
	       SOON(sva_load((uint64_t *)p)) &&
	       !madvise(p, PAGE, MADV_DONTNEED);
}

static bool load_crash_kernel(void)
{
	int kernel = open(CRASH_DIR "kernel", O_RDONLY | O_CLOEXEC);
	int initrd = open(CRASH_DIR "initramfs.gz", O_RDONLY | O_CLOEXEC);
	char line[2048] = "", *word, *rest, old[2000];
	FILE *f = fopen("/proc/cmdline", "r");

	if (kernel < 0 || initrd < 0 || !f || !fgets(old, sizeof(old), f))
		return false;
	fclose(f);
	/* The same but for the memory, of which there is little */
	for (rest = old; (word = strsep(&rest, "\n "));) {
		if (!*word || !strncmp(word, "crashkernel=", 12))
			continue;
		strcat(line, word);
		strcat(line, " ");
	}
	strcat(line, "nr_cpus=1");
	return !syscall(SYS_kexec_file_load, kernel, initrd, strlen(line) + 1,
			line, KEXEC_FILE_ON_CRASH);
}

/* Without events of the SMMU nobody would be told of a stall, which never ends */
#ifdef __aarch64__
static const bool events_are_served;
#else
static const bool events_are_served = true;
#endif

static void is_refused(void)
{
	struct sva_queue q;

	ksft_print_header();
	ksft_set_plan(1);
	ksft_test_result(sva_open(device[0], &q) == -EOPNOTSUPP, "refused\n");
	ksft_finished();
}

static bool crash(void)
{
	struct gate ready;
	int i;

	/* Then this is the other kernel */
	if (!access("/proc/vmcore", F_OK)) {
		if (!events_are_served)
			is_refused();
		return !sva_counters(device[0], &crashed);
	}

	if (!gate_init(&ready) || !load_crash_kernel()) {
		ksft_print_msg("cannot load the other kernel: %s\n",
			       strerror(errno));
		return false;
	}
	for (i = 0; i < FIRST + USERS; i++) {
		if (!child()) {
			if (i < FIRST)
				hold_pasid(&ready);
			use_device(&ready, device[i % devices]);
		}
		/* One by one, as they change how queues are opened */
		if (!gate_wait(&ready))
			return false;
	}
	ksft_print_msg("crashing\n");
	if (ask_soon())
		write_file("/proc/sysrq-trigger", "c");
	return false;
}

static void __attribute__((constructor)) crash_first(void)
{
	prepare = crash;
}

/* A page that the process touched, and one that the device has to ask for */
static bool device_works(int number, unsigned int seed)
{
	struct sva_queue q;
	uint8_t *p;
	bool works;

	if (sva_open(number, &q))
		return false;
	p = map_where();
	works = p == WHERE;
	if (works) {
		pattern_set(p, PAGE, seed);
		works = sva_copy(&q, p + PAGE, p, PAGE) == SVADEV_STATUS_OK &&
			pattern_is(p + PAGE, PAGE, seed);
		munmap(p, PAGES * PAGE);
		works &= sva_read(&q, p, 1) == SVADEV_STATUS_FAULT;
	}
	sva_close(&q);
	return works;
}

TEST_F(sva, devices_work)
{
	int i;

	for (i = 0; i < devices; i++)
		EXPECT_TRUE(device_works(device[i], i));
}

/* While the devices went on they had no driver yet */
TEST_F(sva, devices_were_stopped)
{
	const uint64_t *refused = sva_counter(&crashed, "vtd.evt.ctx_paside");

	ASSERT_TRUE(refused);
	EXPECT_LT(0, *refused);
}

/* Among them they have all PASIDs that were in use before */
TEST_F(sva, processes_have_their_own)
{
	pid_t pid[2 * USERS];
	struct gate go;
	int i, j;

	ASSERT_TRUE(gate_init(&go));
	for (i = 0; i < ARRAY_SIZE(pid); i++) {
		pid[i] = child();
		if (!pid[i]) {
			CHECK(gate_wait(&go));
			for (j = 0; j < devices; j++)
				CHECK(device_works(device[j], i));
			_exit(0);
		}
	}
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		gate_open(&go);
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		EXPECT_EQ(0, wait_child(pid[i]));
}
