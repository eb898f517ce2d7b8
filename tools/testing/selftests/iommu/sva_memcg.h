/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory cgroups: make one, put a process there, and ask what it has. */
#ifndef SVA_MEMCG_H
#define SVA_MEMCG_H

#define MEMCG_MOUNT	"/tmp/memcg"

static inline long memcg_number(const char *name, const char *file)
{
	char path[128];
	long val;
	FILE *f;

	snprintf(path, sizeof(path), MEMCG_MOUNT "/%s/%s", name, file);
	f = fopen(path, "r");
	if (!f)
		return -1;
	if (fscanf(f, "%ld", &val) != 1)
		val = -1;
	fclose(f);
	return val;
}

static inline bool memcg_write(const char *name, const char *file, long val)
{
	char path[128], text[24];

	snprintf(path, sizeof(path), MEMCG_MOUNT "/%s/%s", name, file);
	snprintf(text, sizeof(text), "%ld", val);
	return write_file(path, text);
}

static inline bool memcg_join(const char *name)
{
	return memcg_write(name, "cgroup.procs", getpid());
}

static inline bool memcg_make(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), MEMCG_MOUNT "/%s", name);
	return !mkdir(path, 0755) || errno == EEXIST;
}

/* A process that has ended may be there for a little longer */
static inline bool memcg_remove(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), MEMCG_MOUNT "/%s", name);
	return SOON(!rmdir(path));
}

#endif /* SVA_MEMCG_H */
