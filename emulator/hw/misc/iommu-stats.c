/*
 * Named counters of IOMMUs and of the devices behind them.
 *
 * A test bench wants to know what a guest made an IOMMU do: every command,
 * event and DMA, as of one point in time. The devices count in plain integers
 * and register these here. The guest reads a copy of all of them through
 * svadev, the host reads each of them as a QOM property.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/main-loop.h"
#include "qemu/queue.h"
#include "hw/misc/iommu-stats.h"
#include "standard-headers/misc/svadev.h"

typedef struct StatsGroup {
    Object *owner;
    char *prefix;
    IOMMUStat *stats;       /* with names of our own */
    size_t n;
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
    const char *dot = strrchr(wanted, '.');
    char *prefix = g_strdup(wanted);
    int i;

    assert(dot && !dot[1]);

    for (i = 1; prefix_is_taken(prefix); i++) {
        g_free(prefix);
        prefix = g_strdup_printf("%.*s%d.", (int)(dot - wanted), wanted, i);
    }

    return prefix;
}

static char *property_name(const IOMMUStat *stat)
{
    return g_strdup_printf("stat-%s", stat->name);
}

void iommu_stats_register(Object *owner, const char *prefix,
                          const IOMMUStat *stats, size_t n)
{
    StatsGroup *g = g_new0(StatsGroup, 1);
    size_t i;

    assert(bql_locked());

    g->owner = owner;
    g->prefix = unique_prefix(prefix);
    g->stats = g_new(IOMMUStat, n);
    g->n = n;

    for (i = 0; i < n; i++) {
        g_autofree char *prop = property_name(&stats[i]);

        assert(strlen(g->prefix) + strlen(stats[i].name) <
               SVADEV_STAT_NAME_LEN);

        g->stats[i].name = g_strdup(stats[i].name);
        g->stats[i].val = stats[i].val;
        object_property_add_uint64_ptr(owner, prop, stats[i].val,
                                       OBJ_PROP_FLAG_READ);
    }

    QTAILQ_INSERT_TAIL(&groups, g, next);
}

void iommu_stats_unregister(Object *owner)
{
    StatsGroup *g;
    size_t i;

    assert(bql_locked());

    QTAILQ_FOREACH(g, &groups, next) {
        if (g->owner == owner) {
            break;
        }
    }

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

size_t iommu_stats_latch(char *buf, size_t size)
{
    size_t max = size / SVADEV_STAT_SIZE, count = 0, i;
    StatsGroup *g;

    assert(bql_locked());

    QTAILQ_FOREACH(g, &groups, next) {
        for (i = 0; i < g->n && count < max; i++, count++) {
            char *entry = buf + count * SVADEV_STAT_SIZE;
            g_autofree char *name = g_strconcat(g->prefix, g->stats[i].name,
                                                NULL);

            strpadcpy(entry, SVADEV_STAT_NAME_LEN, name, '\0');
            stq_le_p(entry + SVADEV_STAT_NAME_LEN, *g->stats[i].val);
        }
    }

    return count;
}
