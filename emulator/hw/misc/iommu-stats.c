/*
 * Named counters of IOMMUs and of the devices behind them.
 *
 * A test bench wants to know what a guest made an IOMMU do: every command,
 * event and DMA, as of one point in time. The devices count in plain integers
 * and register these here. The guest reads a copy of all of them through
 * svadev, the host reads each of them as a QOM property.
 *
 * Owners whose prefix has no number are alike: the guest reads the sum of their
 * counters, the host those of each.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/main-loop.h"
#include "qemu/queue.h"
#include "qapi/error.h"
#include "hw/misc/iommu-stats.h"
#include "standard-headers/misc/svadev.h"

typedef struct StatsGroup {
    Object *owner;
    char *prefix;
    IOMMUStat *stats;       /* with names of our own */
    size_t n;
    void (*audit)(void *opaque);
    void *opaque;
    QTAILQ_ENTRY(StatsGroup) next;
} StatsGroup;

/* In the order of registration. Protected by the BQL. */
static QTAILQ_HEAD(, StatsGroup) groups = QTAILQ_HEAD_INITIALIZER(groups);

QEMU_BUILD_BUG_ON(SVADEV_STAT_NAME_LEN + sizeof(uint64_t) != SVADEV_STAT_SIZE);

static bool prefix_is_taken(const char *prefix)
{
    StatsGroup *g;

    QTAILQ_FOREACH(g, &groups, next) {
        if (!strcmp(g->prefix, prefix)) {
            return true;
        }
    }

    return false;
}

static char *unique_prefix(const char *wanted)
{
    size_t len = strlen(wanted) - 1;
    char *prefix = g_strdup(wanted);
    unsigned i;

    assert(wanted[len] == '.');

    if (!len || !g_ascii_isdigit(wanted[len - 1])) {
        return prefix;
    }

    while (len && g_ascii_isdigit(wanted[len - 1])) {
        len--;
    }

    i = g_ascii_strtoull(wanted + len, NULL, 10);
    while (prefix_is_taken(prefix)) {
        g_free(prefix);
        prefix = g_strdup_printf("%.*s%u.", (int)len, wanted, ++i);
    }

    return prefix;
}

/* Is there room for all names in the copy that the guest gets? */
static bool names_fit(const char *prefix, const IOMMUStat *stats, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (strlen(prefix) + strlen(stats[i].name) >= SVADEV_STAT_NAME_LEN) {
            return false;
        }
    }

    return true;
}

static char *property_name(const IOMMUStat *stat)
{
    return g_strdup_printf("stat-%s", stat->name);
}

bool iommu_stats_register(Object *owner, const char *prefix,
                          const IOMMUStat *stats, size_t n, Error **errp)
{
    g_autofree char *unique = unique_prefix(prefix);
    StatsGroup *g;
    size_t i;

    assert(bql_locked());

    if (!names_fit(unique, stats, n)) {
        error_setg(errp, "too many devices have counters named \"%s*\"",
                   prefix);
        return false;
    }

    g = g_new0(StatsGroup, 1);
    g->owner = owner;
    g->prefix = g_steal_pointer(&unique);
    g->stats = g_new(IOMMUStat, n);
    g->n = n;

    for (i = 0; i < n; i++) {
        g_autofree char *prop = property_name(&stats[i]);

        g->stats[i].name = g_strdup(stats[i].name);
        g->stats[i].val = stats[i].val;
        object_property_add_uint64_ptr(owner, prop, stats[i].val,
                                       OBJ_PROP_FLAG_READ);
    }

    QTAILQ_INSERT_TAIL(&groups, g, next);

    return true;
}

static StatsGroup *find_group(Object *owner)
{
    StatsGroup *g;

    assert(bql_locked());

    QTAILQ_FOREACH(g, &groups, next) {
        if (g->owner == owner) {
            return g;
        }
    }

    return NULL;
}

void iommu_stats_unregister(Object *owner)
{
    StatsGroup *g = find_group(owner);
    size_t i;

    if (!g) {
        return;
    }

    QTAILQ_REMOVE(&groups, g, next);

    for (i = 0; i < g->n; i++) {
        g_autofree char *prop = property_name(&g->stats[i]);

        object_property_del(owner, prop);
        g_free((char *)g->stats[i].name);
    }

    g_free(g->stats);
    g_free(g->prefix);
    g_free(g);
}

static const uint64_t *find_stat(const StatsGroup *g, const char *name)
{
    size_t i;

    for (i = 0; i < g->n; i++) {
        if (!strcmp(g->stats[i].name, name)) {
            return g->stats[i].val;
        }
    }

    return NULL;
}

/*
 * Add up a counter of @g and those that others with the same prefix have; false
 * if one of these is in front of @g, so that it is done already
 */
static bool sum_stat(const StatsGroup *g, const char *name, uint64_t *sum)
{
    const StatsGroup *other;
    const uint64_t *val;
    bool reached = false;

    *sum = 0;
    QTAILQ_FOREACH(other, &groups, next) {
        reached |= other == g;
        val = strcmp(other->prefix, g->prefix) ? NULL : find_stat(other, name);
        if (val && !reached) {
            return false;
        }
        *sum += val ? *val : 0;
    }

    return true;
}

size_t iommu_stats_latch(char *buf, size_t size)
{
    size_t max = size / SVADEV_STAT_SIZE, count = 0, i;
    StatsGroup *g;

    assert(bql_locked());

    QTAILQ_FOREACH(g, &groups, next) {
        for (i = 0; i < g->n && count < max; i++) {
            char *entry = buf + count * SVADEV_STAT_SIZE;
            g_autofree char *name = g_strconcat(g->prefix, g->stats[i].name,
                                                NULL);
            uint64_t sum;

            if (sum_stat(g, g->stats[i].name, &sum)) {
                strpadcpy(entry, SVADEV_STAT_NAME_LEN, name, '\0');
                stq_le_p(entry + SVADEV_STAT_NAME_LEN, sum);
                count++;
            }
        }
    }

    return count;
}

void iommu_stats_set_audit(Object *owner, void (*audit)(void *opaque),
                           void *opaque)
{
    StatsGroup *g = find_group(owner);

    assert(g);
    g->audit = audit;
    g->opaque = opaque;
}

void iommu_stats_audit(void)
{
    StatsGroup *g;

    assert(bql_locked());

    QTAILQ_FOREACH(g, &groups, next) {
        if (g->audit) {
            g->audit(g->opaque);
        }
    }
}
