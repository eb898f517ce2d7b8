/*
 * SMMUv3: when invalidations act, and when a CMD_SYNC completes
 *
 * The architecture orders invalidations by CMD_SYNC only (IHI 0070, 4.7.3):
 * one may act as soon as it is consumed, or as late as the completion of the
 * next CMD_SYNC, and two of them in either order. In between, the SMMU may
 * fetch again what is still reachable (3.21). Strict caching chooses among
 * these, seeded by x-seed:
 *
 * - A CMD_SYNC completes a while after it reaches the head of the queue, in
 *   time of the virtual clock. Until then the queue does not go on.
 * - Each invalidation acts when it is consumed, or at the next CMD_SYNC, with
 *   the others in any order.
 * - After each, recent requests are translated again from the caches as they
 *   are then. These are no accesses: no event, no count, no stale check.
 * - The completion waits for the answers of functions to invalidations of their
 *   caches, and for accesses that this SMMU has translated before. With a
 *   CMD_CFGI_* in front of it that includes those that a function has translated
 *   by its own cache: their STE was looked at. Otherwise it says nothing about
 *   these, which that function's answer waits for.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "trace.h"
#include "hw/misc/iommu-flight.h"
#include "smmuv3-sva.h"
#include "smmu-internal.h"

/* A CMD_SYNC of hardware takes microseconds */
#define SYNC_MIN_NS     2000
#define SYNC_MAX_NS     200000

/*
 * Invalidations that may await a CMD_SYNC. More act at once, which is
 * permitted, so that the memory of a guest that never syncs is bounded.
 */
#define MAX_DEFERRED    65536

/*
 * From a store to a descriptor or structure to the issue of the CMD_SYNC behind
 * its invalidation software takes less: the CPU, of the guest or of the host,
 * may be doing something else in between.
 */
#define SETTLE_NS       (1000 * SCALE_MS)

/* Translations per CMD_SYNC that only serve to refill the caches */
#define MAX_REFILLS     512

static void sync_expired(void *opaque)
{
    smmuv3_cmdq_consume(opaque);
}

void smmuv3_sync_init(SMMUv3State *s)
{
    static uint32_t instance;
    SMMUv3SVA *sva = s->sva;

    iommu_choice_init(&sva->sync_choice, s->seed, "smmuv3.sync", instance);
    iommu_choice_init(&sva->early_choice, s->seed, "smmuv3.early", instance);
    iommu_choice_init(&sva->order_choice, s->seed, "smmuv3.order", instance);
    iommu_choice_init(&sva->fetch_choice, s->seed, "smmuv3.fetch", instance);
    iommu_choice_init(&ARM_SMMU(s)->ahead_choice, s->seed, "smmuv3.ahead",
                      instance);
    iommu_choice_init(&sva->torn_choice, s->seed, "smmuv3.torn", instance);
    iommu_choice_init(&sva->stall_choice, s->seed, "smmuv3.stall", instance);
    instance++;

    g_queue_init(&sva->deferred);
    sva->sync_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, sync_expired, s);
}

/* Stop waiting for a CMD_SYNC; what is deferred awaits the next one */
void smmuv3_sync_cancel(SMMUv3State *s)
{
    if (s->sva) {
        s->sva->sync = SMMU_SYNC_NONE;
        timer_del(s->sva->sync_timer);
    }
}

void smmuv3_sync_reset(SMMUv3State *s)
{
    smmuv3_sync_cancel(s);
    g_queue_clear_full(&s->sva->deferred, g_free);
    s->sva->cfg_inval = false;
    WITH_QEMU_LOCK_GUARD(&s->mutex) {
        s->sva->nr_recent = 0;
    }
}

static void shuffle_deferred(SMMUv3SVA *sva)
{
    uint32_t i, n = g_queue_get_length(&sva->deferred);
    g_autofree uint32_t *order = g_new(uint32_t, n + 1);
    g_autofree Cmd **cmds = g_new(Cmd *, n + 1);

    for (i = 0; i < n; i++) {
        cmds[i] = g_queue_pop_head(&sva->deferred);
    }
    iommu_choice_shuffle(&sva->order_choice, order, n);
    for (i = 0; i < n; i++) {
        g_queue_push_tail(&sva->deferred, cmds[order[i]]);
    }
}

/**
 * smmuv3_sync_poll - software reads how far the queue is
 * @s: SMMU
 *
 * A CPU that polls may keep the timer from running on a busy host.
 */
void smmuv3_sync_poll(SMMUv3State *s)
{
    SMMUv3SVA *sva = s->sva;

    if (sva && sva->sync != SMMU_SYNC_NONE &&
        qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) >= sva->sync_due) {
        smmuv3_cmdq_consume(s);
    }
}

/**
 * smmuv3_sync_pending - must the queue wait at its head?
 * @s: SMMU
 * @cmd: the command at the head
 *
 * If @cmd is a CMD_SYNC, the first call starts its delay. Once that is over,
 * smmuv3_sync_replay() returns what is deferred, and when it has all acted, the
 * answers of functions are waited for, then the accesses in flight.
 *
 * Return: true if consumption stops here, to go on from a timer
 */
bool smmuv3_sync_pending(SMMUv3State *s, Cmd *cmd)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    IOMMUFlightKinds kinds = {
        .iommu = OBJECT(s), .untranslated = IOMMU_FLIGHT_ALL,
    };
    SMMUv3SVA *sva = s->sva;

    if (!sva) {
        return false;
    }
    if (CMD_TYPE(cmd) != SMMU_CMD_SYNC || !smmuv3_cmd_is_legal(s, cmd)) {
        sva->sync = SMMU_SYNC_NONE;
        return false;
    }
    if (!ARM_SMMU(s)->strict) {
        if (smmuv3_ats_sync_waits(s, &sva->sync_due)) {
            sva->sync = SMMU_SYNC_ANSWER;
            timer_mod_ns(sva->sync_timer, sva->sync_due);
            return true;
        }
        sva->sync = SMMU_SYNC_NONE;
        smmuv3_stall_sync(s);
        return false;
    }

    switch (sva->sync) {
    case SMMU_SYNC_NONE:
        sva->sync = SMMU_SYNC_DELAY;
        sva->sync_issued = now;
        sva->sync_due = now + (s->sync_ns ?:
                               iommu_choice_between(&sva->sync_choice,
                                                    SYNC_MIN_NS, SYNC_MAX_NS));
        /* fall through */
    case SMMU_SYNC_DELAY:
        if (now < sva->sync_due) {
            break;
        }
        if (s->wild & SMMU_WILD_ORDER) {
            shuffle_deferred(sva);
        }
        sva->refills = MAX_REFILLS;
        sva->sync = SMMU_SYNC_ACT;
        /* fall through */
    case SMMU_SYNC_ACT:
        if (!g_queue_is_empty(&sva->deferred)) {
            return false;
        }
        sva->sync = SMMU_SYNC_ANSWER;
        /* fall through */
    case SMMU_SYNC_ANSWER:
        if (smmuv3_ats_sync_waits(s, &sva->sync_due)) {
            break;
        }
        sva->sync_mark = iommu_flight_mark();
        sva->sync = SMMU_SYNC_DRAIN;
        /* fall through */
    case SMMU_SYNC_DRAIN:
        kinds.translated = sva->cfg_inval ? IOMMU_FLIGHT_ALL : 0;
        if (!iommu_flight_over(sva->sync_mark, &kinds, &sva->sync_due)) {
            break;
        }
        sva->cfg_inval = false;
        sva->sync = SMMU_SYNC_NONE;
        sva->refills = MAX_REFILLS;
        ARM_SMMU(s)->settled_ns = sva->sync_issued - SETTLE_NS;
        WITH_QEMU_LOCK_GUARD(&s->mutex) {
            smmuv3_cfg_sync(s);
        }
        smmuv3_stall_sync(s);
        return false;
    }

    timer_mod_ns(sva->sync_timer, sva->sync_due);
    return true;
}

/**
 * smmuv3_sync_replay - the next invalidation that acts at a CMD_SYNC
 * @s: SMMU
 * @cmd: the CMD_SYNC at the head of the queue; replaced by the invalidation
 *       (out)
 *
 * Return: true if @cmd was replaced
 */
bool smmuv3_sync_replay(SMMUv3State *s, Cmd *cmd)
{
    g_autofree Cmd *due = NULL;

    if (s->sva && s->sva->sync == SMMU_SYNC_ACT) {
        due = g_queue_pop_head(&s->sva->deferred);
    }
    if (due) {
        *cmd = *due;
    }
    return due;
}

/**
 * smmuv3_sync_defer - let an invalidation wait for the next CMD_SYNC, or not
 * @s: SMMU
 * @cmd: the invalidation, just consumed
 *
 * Return: true if it waits
 */
bool smmuv3_sync_defer(SMMUv3State *s, const Cmd *cmd)
{
    SMMUv3SVA *sva = s->sva;

    if (!ARM_SMMU(s)->strict ||
        g_queue_get_length(&sva->deferred) >= MAX_DEFERRED) {
        return false;
    }
    if ((s->wild & SMMU_WILD_EARLY) &&
        iommu_choice_below(&sva->early_choice, 2)) {
        return false;
    }
    g_queue_push_tail(&sva->deferred, g_memdup2(cmd, sizeof(*cmd)));
    return true;
}

/* Keep a request, to be repeated by smmuv3_sync_refill(). The mutex is held. */
void smmuv3_sync_note_request(SMMUDevice *sdev, const SMMURequest *req,
                              hwaddr addr, IOMMUAccessFlags access)
{
    SMMUv3SVA *sva = ((SMMUv3State *)sdev->smmu)->sva;
    SMMURecent *r;
    int i, n = MIN(sva->nr_recent, ARRAY_SIZE(sva->recent));

    for (i = 0; i < n; i++) {
        r = &sva->recent[i];
        if (r->sdev == sdev && r->req.ssv == req->ssv &&
            r->req.ssid == req->ssid && !((r->addr ^ addr) >> 12)) {
            return;
        }
    }

    r = &sva->recent[sva->nr_recent++ % ARRAY_SIZE(sva->recent)];
    *r = (SMMURecent) {
        .sdev = sdev, .req = *req, .addr = addr, .access = access,
    };
    r->req.silent = true;
}

/**
 * smmuv3_sync_refill - an invalidation acted: fetch again
 * @s: SMMU, locked
 *
 * The total between two CMD_SYNCs is bounded, as there may be many
 * invalidations. The most recent requests come first.
 */
void smmuv3_sync_refill(SMMUv3State *s)
{
    SMMUv3SVA *sva = s->sva;
    uint32_t n, left, size = ARRAY_SIZE(sva->recent);

    if (!(s->wild & SMMU_WILD_REFILL) || !ARM_SMMU(s)->strict) {
        return;
    }

    left = g_queue_get_length(&sva->deferred) + 1;
    n = MIN(MIN(sva->nr_recent, size), MAX(sva->refills / left, 1));
    n = MIN(n, sva->refills);
    sva->refills -= n;
    while (n--) {
        SMMURecent *r = &sva->recent[(sva->nr_recent - 1 - n) % size];

        smmuv3_sva_fetch(r->sdev, &r->req, r->addr, r->access);
    }
}
