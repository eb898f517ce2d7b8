// SPDX-License-Identifier: GPL-2.0-only
/*
 * What debugfs says of a device's PASIDs, as the core knows them and as the IOMMU
 * finds them in memory.
 */
#include "sva_case.h"

#define TABLE_SIZE	(256 * 1024)

/* How the entry of an address space begins, and what it says of itself */
#ifdef __x86_64__
#define ENTRY	"entry: "
#define VALID	" P 1, PGTT first level, DID 1, FLPTPTR 0x"
#define QUIET	" P 0, PGTT first level, "
#define RID	"\tcontext entry: "
#else
#define ENTRY	"CD: "
#define VALID	" V 1, ASID "
#define QUIET	" V 1, ASID "
#define RID	"\tSTE "
#endif

/* The file of a device, as text. NULL if it cannot be read. */
static const char *table(int number)
{
	static char text[TABLE_SIZE];
	char name[SVA_PCI_NAME_LEN], path[96];
	size_t len;
	FILE *f;

	if (sva_pci_name(number, name))
		return NULL;
	snprintf(path, sizeof(path), "/sys/kernel/debug/iommu/pasids/%s", name);
	f = fopen(path, "r");
	if (!f)
		return NULL;
	len = fread(text, 1, sizeof(text) - 1, f);
	if (ferror(f))
		len = 0;
	text[len] = '\0';
	fclose(f);
	return len ? text : NULL;
}

/* What of it is about one PASID */
struct shown {
	char state[16];
	unsigned long users;
	unsigned long served;
	unsigned long refused;
	unsigned long invalidations;
	char rest[128];
	char entry[512];
};

/* What comes behind the number of a PASID, or NULL */
static const char *find(int number, long pasid)
{
	const char *text = table(number), *line;
	char begin[32];

	snprintf(begin, sizeof(begin), "\npasid %ld: ", pasid);
	line = text ? strstr(text, begin) : NULL;
	return line ? line + strlen(begin) : NULL;
}

/* Returns false if it is not there, or is not what it should look like */
static bool show(int number, long pasid, struct shown *s)
{
	const char *line = find(number, pasid);

	memset(s, 0, sizeof(*s));
	if (!line)
		return false;
	return sscanf(line,
		      "%15[^,], users %lu, served %lu, refused %lu, invalidations %lu, %127[^\n]\n%511[^\n]",
		      s->state, &s->users, &s->served, &s->refused,
		      &s->invalidations, s->rest, s->entry) == 7;
}

static long pasid_of(int number, pid_t pid)
{
	long pasid = -1;

	sva_pasids(number, pid, &pasid, 1);
	return pasid;
}

TEST_F(sva, bound_and_unbound)
{
	long pasid = pasid_of(device[0], getpid());
	struct sva_queue other;
	const char *text;
	struct shown s;
	char owner[64];

	ASSERT_LT(0, pasid);
	ASSERT_TRUE(show(device[0], pasid, &s));
	EXPECT_STREQ("attached", s.state);
	snprintf(owner, sizeof(owner), "domain SVA, pid %d (", getpid());
	EXPECT_EQ(0, strncmp(s.rest, owner, strlen(owner)))
		TH_LOG("%s", s.rest);
	EXPECT_EQ(0, strncmp(s.entry, ENTRY, strlen(ENTRY)))
		TH_LOG("%s", s.entry);
	EXPECT_NE(NULL, strstr(s.entry, VALID))
		TH_LOG("%s", s.entry);
	EXPECT_EQ(NULL, strstr(s.entry, "quiet"))
		TH_LOG("%s", s.entry);

	/* What is not bound to a device is not shown there. */
	EXPECT_EQ(NULL, find(device[1], pasid));
	ASSERT_EQ(0, sva_open(device[1], &other));
	EXPECT_TRUE(show(device[1], pasid, &s));
	sva_close(&other);
	EXPECT_EQ(NULL, find(device[1], pasid));

	text = table(device[0]);
	ASSERT_NE(NULL, text);
	EXPECT_EQ(0, strncmp(text, "pasid 0: RID, domain ", 21))
		TH_LOG("%s", text);
	EXPECT_NE(NULL, strstr(text, RID))
		TH_LOG("%s", text);
	EXPECT_EQ(NULL, strstr(text, "NOT"))
		TH_LOG("%s", text);

	sva_close(&self->q);
	EXPECT_EQ(NULL, find(device[0], pasid));
}

TEST_F(sva, counts_grow)
{
	enum { PAGES = 8 };
	long pasid = pasid_of(device[0], getpid());
	struct shown before, after;
	uint8_t *p;
	int i;

	/* Pages that only the device uses: it has to ask for each */
	p = map_pages(PAGES, PROT_READ | PROT_WRITE);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, PAGES * PAGE, MADV_NOHUGEPAGE));
	ASSERT_TRUE(show(device[0], pasid, &before));
	for (i = 0; i < PAGES; i++)
		ASSERT_EQ(SVADEV_STATUS_OK, sva_fill(&self->q, p + i * PAGE, 1,
						     PAGE));
	/*
	 * The device may go on as soon as its page is there, and is answered a
	 * moment before its request is put away.
	 */
	EXPECT_TRUE(SOON(show(device[0], pasid, &after) && after.users == 1));
	EXPECT_LE(before.served + PAGES, after.served);
	EXPECT_EQ(before.refused, after.refused);

	before = after;
	for (i = 0; i < PAGES; i++)
		ASSERT_EQ(0, munmap(p + i * PAGE, PAGE));
	ASSERT_TRUE(show(device[0], pasid, &after));
	EXPECT_LE(before.invalidations + PAGES, after.invalidations);
	EXPECT_EQ(before.served, after.served);

	before = after;
	EXPECT_EQ(SVADEV_STATUS_FAULT, sva_read(&self->q, p, PAGE));
	ASSERT_TRUE(show(device[0], pasid, &after));
	EXPECT_LT(before.refused, after.refused);
	EXPECT_EQ(before.served, after.served);
}

TEST_F(sva, process_that_has_exited)
{
	struct gate bound, end;
	struct shown s;
	long pasid = 0;
	int report[2];
	pid_t pid;

	ASSERT_TRUE(gate_init(&bound));
	ASSERT_TRUE(gate_init(&end));
	ASSERT_EQ(0, pipe(report));
	pid = child();
	if (!pid) {
		struct sva_queue q;

		CHECK(!sva_open(device[1], &q));
		pasid = pasid_of(device[1], getpid());
		CHECK(write(report[1], &pasid, sizeof(pasid)) == sizeof(pasid));
		/* One who keeps the file, and ends with the group */
		if (!fork()) {
			gate_open(&bound);
			gate_wait(&end);
			_exit(0);
		}
		CHECK(gate_wait(&bound));
		_exit(0);
	}
	ASSERT_EQ((ssize_t)sizeof(pasid), read(report[0], &pasid,
					       sizeof(pasid)));
	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, wait_child(pid));

	EXPECT_TRUE(SOON(show(device[1], pasid, &s) &&
			 strstr(s.rest, ", exited")))
		TH_LOG("%s", s.rest);
	EXPECT_STREQ("attached", s.state);
	EXPECT_NE(NULL, strstr(s.entry, QUIET))
		TH_LOG("%s", s.entry);
	EXPECT_NE(NULL, strstr(s.entry, ", quiet"))
		TH_LOG("%s", s.entry);

	gate_open(&end);
	EXPECT_TRUE(SOON(!find(device[1], pasid)));
}

/* Binds, uses what it has, has it taken away, unbinds or not, for ever */
static void come_and_go(int i)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);
	struct sva_queue q;
	int j;

	CHECK(p != MAP_FAILED);
	for (j = 0; j < 3; j++) {
		CHECK(!sva_open(device[(i + j) % devices], &q));
		CHECK(sva_fill(&q, p, i, 2 * PAGE) == SVADEV_STATUS_OK);
		CHECK(!madvise(p, 2 * PAGE, MADV_DONTNEED));
		CHECK(hammer(&q, p));
		if (j < 2)
			sva_close(&q);
	}
	/* The last one is in use when the process exits */
	_exit(0);
}

TEST_F_TIMEOUT(sva, read_in_a_storm, 1200)
{
	enum { PROCESSES = 4, ROUNDS = 30 };
	unsigned int reads = 0, odd = 0, others = 0;
	pid_t pid[PROCESSES], reader;
	const char *text, *mark;
	uint64_t word = 5;
	int i, j, status;

	/* One that reads all the time, and one that looks at it in between */
	reader = child();
	if (!reader) {
		for (i = 0;; i++)
			CHECK(table(device[i % devices]));
	}
	for (i = 0; i < ROUNDS; i++) {
		for (j = 0; j < PROCESSES; j++) {
			pid[j] = child();
			if (!pid[j])
				come_and_go(i + j);
		}
		for (j = 0; j < PROCESSES; j++) {
			while (!waitpid(pid[j], &status, WNOHANG)) {
				text = table(device[reads % devices]);
				ASSERT_NE(NULL, text);
				mark = strstr(text, "NOT");
				odd += !!mark;
				if (mark)
					TH_LOG("%s", text);
				mark = strchr(text, '\n');
				others += !!strstr(mark, "\npasid ");
				reads++;
			}
			ASSERT_EQ(0, status);
		}
	}
	EXPECT_EQ(0, kill(reader, SIGKILL));
	EXPECT_EQ(1000 + SIGKILL, wait_child(reader));
	EXPECT_EQ(0, odd);
	EXPECT_LT(0, others);

	/* Who closed and exited did so with the device at work */
	ASSERT_TRUE(queues_are_back(&self->before, 1));
	ASSERT_TRUE(device_is_quiet(&self->before));
	EXPECT_EQ(SVADEV_STATUS_OK, sva_fetch_add(&self->q, &word, 1, 8));
	EXPECT_EQ(6, word);
}
