/*
 * SMMUv3: the stall model
 *
 * A fault of a context whose CD.S is set keeps its request waiting, and its
 * event carries a STAG by which software answers it with CMD_RESUME, or as one
 * of a stream's with CMD_STALL_TERM (IHI 0070, 3.12.2, 4.6). Its event is never
 * lost: with no free STAG or no room in the event queue the fault waits, in
 * order, until there is. STAGs are reused at once, lowest first, so that an
 * answer that software gives twice can hit the wrong fault.
 *
 * When a CMD_SYNC completes, events about the configuration and translations
 * of before are in the queue, or will never be (3.12.2, 4.7.3, 7.2.1): one that
 * finds no room then is not written later. Its request is translated again,
 * and what that finds is reported.
 *
 * Strict caching takes these liberties, seeded by x-seed:
 *
 * - An event is written a while after the fault, at the latest when a CMD_SYNC
 *   completes; then the request may be translated again instead.
 * - A fault like one that is stalled, of the same page, has no event of its
 *   own. It is retried when the other one is answered (3.12.2.1).
 * - A request is retried before its CMD_RESUME, or after one that aborts it,
 *   and goes on if it has a translation now (3.12.2.2). The STAG remains until
 *   it is answered.
 * - A fault whose requester was reset before its event was written is reported
 *   nevertheless, a good while later.
 *
 * The requester learns the answer from a timer, as it may issue its next
 * request from there, and the answer itself comes from inside the command
 * queue. A timer of the virtual clock, not a bottom half, so that the guest
 * sees the same sequence in each run with -icount.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "trace.h"
#include "smmuv3-sva.h"

#define REPORT_MAX_NS   (200 * SCALE_US)
#define ORPHAN_MIN_NS   (1 * SCALE_MS)
#define ORPHAN_MAX_NS   (20 * SCALE_MS)
#define ANSWER_MAX_NS   (20 * SCALE_US)
/* From one early retry to the next: doubled each time, up to the maximum */
#define EARLY_MIN_NS    (10 * SCALE_US)
#define EARLY_START_NS  (200 * SCALE_US)
#define EARLY_MAX_NS    (50 * SCALE_MS)

struct SMMUv3Stall {
    SMMUEventInfo event;
    PCISVAWaiter *waiter;       /* NULL if it was reset, or went on early */
    bool orphan;                /* it was reset before there was an event */
    bool retry;                 /* the answer */
    bool again;                 /* to be translated again, not to be reported */
    int64_t report_ns;          /* when its event is due */
    int64_t early_ns;           /* when it is retried, if not answered */
    int64_t early_wait;
    SMMUv3StallList *list;      /* that it is on; NULL once it has a STAG */
    SMMUv3StallList same;       /* faults that wait for the answer to this */
    QTAILQ_ENTRY(SMMUv3Stall) next;
};

static int64_t now_ns(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

/* One time in two, where strict caching may do either */
static bool chooses(SMMUv3State *s)
{
    return (s->wild & SMMU_WILD_STALL) && ARM_SMMU(s)->strict &&
           iommu_choice_below(&s->sva->stall_choice, 2);
}

static int64_t chosen_ns(SMMUv3State *s, int64_t low, int64_t high)
{
    return iommu_choice_between(&s->sva->stall_choice, low, high);
}

static SMMUv3Stall *new_stall(const SMMUEventInfo *event, PCISVAWaiter *waiter)
{
    SMMUv3Stall *stall = g_new0(SMMUv3Stall, 1);

    stall->event = *event;
    stall->waiter = waiter;
    waiter->owner = stall;
    QTAILQ_INIT(&stall->same);
    return stall;
}

static void deliver(SMMUv3State *s, SMMUv3Stall *stall, bool retry)
{
    SMMUv3SVA *sva = s->sva;
    int64_t at = now_ns();

    if (chooses(s)) {
        /* Termination has no time limit (IHI 0070, 4.6.1) */
        at += chosen_ns(s, 0, ANSWER_MAX_NS);
    }
    stall->retry = retry;
    stall->list = &sva->answered;
    QTAILQ_INSERT_TAIL(stall->list, stall, next);
    timer_mod_anticipate_ns(sva->stall_timer, at);
}

/* A fault is over that is on no list and has no STAG */
static void answer(SMMUv3State *s, SMMUv3Stall *stall, bool retry,
                   bool retry_same)
{
    SMMUv3Stall *other, *tmp;

    s->sva->stall_now--;
    QTAILQ_FOREACH_SAFE(other, &stall->same, next, tmp) {
        QTAILQ_REMOVE(&stall->same, other, next);
        s->sva->stall_now--;
        deliver(s, other, retry_same);
    }
    deliver(s, stall, retry);
}

/* Let the requester go on, and keep the STAG until software answers */
static void go_on_early(SMMUv3State *s, SMMUv3Stall *stall)
{
    PCISVAWaiter *waiter = stall->waiter;

    stall->waiter = NULL;
    s->sva->stall_early++;
    deliver(s, new_stall(&stall->event, waiter), true);
}

/* The lowest free STAG; -1 if there is none, or no room for an event */
static int free_stag(SMMUv3State *s)
{
    int stag;

    if (!smmuv3_eventq_enabled(s) || smmuv3_q_full(&s->eventq)) {
        return -1;
    }
    for (stag = 0; stag < s->stall_max; stag++) {
        if (!s->sva->slot[stag]) {
            return stag;
        }
    }
    return -1;
}

static void remove_unreported(SMMUv3State *s, SMMUv3Stall *stall)
{
    QTAILQ_REMOVE(&s->sva->unreported, stall, next);
    stall->list = NULL;
    s->sva->stall_orphans -= stall->orphan;
}

static void write_event(SMMUv3State *s, SMMUv3Stall *stall, uint16_t stag)
{
    SMMUv3SVA *sva = s->sva;

    sva->slot[stag] = stall;
    stall->event.u.f_walk_eabt.stall = true;
    stall->event.u.f_walk_eabt.stag = stag;
    sva->evt_stall++;
    smmuv3_record_event(s, &stall->event);
    trace_smmuv3_stall_report(stall->event.sid, stag);
}

/* Write the events that are due and have room. Not with the mutex held. */
static void report_unlocked(SMMUv3State *s)
{
    SMMUv3SVA *sva = s->sva;
    int64_t now = now_ns(), next = INT64_MAX;
    SMMUv3Stall *stall, *tmp;
    SMMURetry found;
    int stag;

    QTAILQ_FOREACH_SAFE(stall, &sva->unreported, next, tmp) {
        if (stall->report_ns > now) {
            next = MIN(next, stall->report_ns);
            continue;
        }
        stag = free_stag(s);
        if (stag < 0) {
            break;
        }
        remove_unreported(s, stall);
        if (stall->again) {
            stall->again = false;
            WITH_QEMU_LOCK_GUARD(&s->mutex) {
                found = smmuv3_sva_retry(s, &stall->event);
            }
            if (found != SMMU_RETRY_STALLS) {
                /* The request itself records the fault that it may have */
                answer(s, stall, true, true);
                continue;
            }
        }
        write_event(s, stall, stag);
    }

    if (next != INT64_MAX) {
        timer_mod_anticipate_ns(sva->stall_timer, next);
    }
}

/* The same from inside a command */
static void report_locked(SMMUv3State *s)
{
    SMMUv3SVA *sva = s->sva;
    SMMUv3Stall *stall, *tmp;
    int64_t now = now_ns();
    int stag;

    QTAILQ_FOREACH_SAFE(stall, &sva->unreported, next, tmp) {
        if (stall->report_ns > now) {
            continue;
        }
        stag = free_stag(s);
        if (stag < 0) {
            break;
        }
        if (stall->again) {
            timer_mod_anticipate_ns(sva->stall_timer, now);
            break;
        }
        remove_unreported(s, stall);
        write_event(s, stall, stag);
    }
}

/* Retry @stall if it is time to; updates @next to when it is, or will be */
static void retry_early(SMMUv3State *s, SMMUv3Stall *stall, int64_t *next)
{
    SMMUEventInfo event = stall->event;
    int64_t now = now_ns();
    SMMURetry found;

    if (!stall->waiter || !stall->early_ns) {
        return;
    }
    if (stall->early_ns <= now) {
        WITH_QEMU_LOCK_GUARD(&s->mutex) {
            found = smmuv3_sva_retry(s, &event);
        }
        if (found == SMMU_RETRY_PASSES) {
            if (stall->list) {
                remove_unreported(s, stall);
                s->sva->stall_early++;
                answer(s, stall, true, true);
            } else {
                go_on_early(s, stall);
            }
            return;
        }
        stall->early_wait = MIN(stall->early_wait * 2, EARLY_MAX_NS);
        stall->early_ns = now + stall->early_wait;
    }
    *next = MIN(*next, stall->early_ns);
}

static void retry_all_early(SMMUv3State *s)
{
    SMMUv3SVA *sva = s->sva;
    int64_t next = INT64_MAX;
    SMMUv3Stall *stall, *tmp;
    int i;

    for (i = 0; i < s->stall_max; i++) {
        if (sva->slot[i]) {
            retry_early(s, sva->slot[i], &next);
        }
    }
    QTAILQ_FOREACH_SAFE(stall, &sva->unreported, next, tmp) {
        retry_early(s, stall, &next);
    }
    if (next != INT64_MAX) {
        timer_mod_anticipate_ns(sva->stall_timer, next);
    }
}

static void stall_timer_expired(void *opaque)
{
    SMMUv3State *s = opaque;
    SMMUv3StallList *list = &s->sva->answered;
    SMMUv3Stall *stall;

    report_unlocked(s);
    if (s->wild & SMMU_WILD_STALL) {
        retry_all_early(s);
    }

    while ((stall = QTAILQ_FIRST(list))) {
        PCISVAWaiter *waiter = stall->waiter;
        bool retry = stall->retry;

        QTAILQ_REMOVE(list, stall, next);
        g_free(stall);
        if (waiter) {
            waiter->owner = NULL;
            waiter->done(waiter, retry);
        }
    }
}

void smmuv3_stall_init(SMMUv3State *s)
{
    SMMUv3SVA *sva = s->sva;

    QTAILQ_INIT(&sva->unreported);
    QTAILQ_INIT(&sva->answered);
    sva->slot = g_new0(SMMUv3Stall *, s->stall_max);
    sva->stall_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, stall_timer_expired,
                                    s);
}

/* A fault of the same page, and the same kind of request (3.12.2.1) */
static bool is_same(const SMMUv3Stall *stall, const SMMUEventInfo *event)
{
    const SMMUEventInfo *other = &stall->event;

    return other->sid == event->sid && other->type == event->type &&
           other->u.f_walk_eabt.ssv == event->u.f_walk_eabt.ssv &&
           other->u.f_walk_eabt.ssid == event->u.f_walk_eabt.ssid &&
           other->u.f_walk_eabt.rnw == event->u.f_walk_eabt.rnw &&
           other->u.f_walk_eabt.pnu == event->u.f_walk_eabt.pnu &&
           other->u.f_walk_eabt.ind == event->u.f_walk_eabt.ind &&
           other->u.f_walk_eabt.s2 == event->u.f_walk_eabt.s2 &&
           !((other->u.f_walk_eabt.addr ^ event->u.f_walk_eabt.addr) >> 12);
}

static SMMUv3Stall *find_same(SMMUv3State *s, const SMMUEventInfo *event)
{
    SMMUv3Stall *stall;
    int i;

    for (i = 0; i < s->stall_max; i++) {
        stall = s->sva->slot[i];
        if (stall && is_same(stall, event)) {
            return stall;
        }
    }
    QTAILQ_FOREACH(stall, &s->sva->unreported, next) {
        if (is_same(stall, event)) {
            return stall;
        }
    }
    return NULL;
}

/**
 * smmuv3_stall_begin - keep a request waiting
 * @s: SMMU, not locked
 * @event: the fault, one that has a STAG
 * @waiter: the request
 */
void smmuv3_stall_begin(SMMUv3State *s, const SMMUEventInfo *event,
                        PCISVAWaiter *waiter)
{
    SMMUv3Stall *stall = new_stall(event, waiter), *other;
    SMMUv3SVA *sva = s->sva;

    sva->stall_total++;
    sva->stall_now++;
    sva->stall_peak = MAX(sva->stall_peak, sva->stall_now);

    if (chooses(s)) {
        other = find_same(s, event);
        if (other) {
            sva->stall_merged++;
            stall->list = &other->same;
            QTAILQ_INSERT_TAIL(stall->list, stall, next);
            return;
        }
    }

    stall->report_ns = now_ns();
    if (chooses(s)) {
        stall->report_ns += chosen_ns(s, 0, REPORT_MAX_NS);
    }
    if (chooses(s)) {
        stall->early_wait = chosen_ns(s, EARLY_MIN_NS, EARLY_START_NS);
        stall->early_ns = now_ns() + stall->early_wait;
        timer_mod_anticipate_ns(sva->stall_timer, stall->early_ns);
    }
    stall->list = &sva->unreported;
    QTAILQ_INSERT_TAIL(stall->list, stall, next);
    report_unlocked(s);
}

/**
 * smmuv3_stall_cancel - a requester is reset
 * @s: SMMU
 * @waiter: its request, stalled or not
 *
 * A fault that was reported remains, and is to be answered. Others may be
 * reported later; there are never more of these than STAGs.
 */
void smmuv3_stall_cancel(SMMUv3State *s, PCISVAWaiter *waiter)
{
    SMMUv3Stall *stall = waiter->owner, *other, *tmp;
    SMMUv3SVA *sva = s->sva;

    if (!stall) {
        return;
    }

    waiter->owner = NULL;
    stall->waiter = NULL;
    if (!stall->list) {
        return;
    }
    if (stall->list == &sva->unreported) {
        if (sva->stall_orphans < s->stall_max && chooses(s)) {
            stall->orphan = true;
            sva->stall_orphans++;
            stall->report_ns = now_ns() + chosen_ns(s, ORPHAN_MIN_NS,
                                                    ORPHAN_MAX_NS);
            timer_mod_anticipate_ns(sva->stall_timer, stall->report_ns);
            return;
        }
        QTAILQ_FOREACH_SAFE(other, &stall->same, next, tmp) {
            QTAILQ_REMOVE(&stall->same, other, next);
            sva->stall_now--;
            deliver(s, other, true);
        }
    }
    sva->stall_now -= stall->list != &sva->answered;
    QTAILQ_REMOVE(stall->list, stall, next);
    g_free(stall);
}

/* CR0 or the event queue changed: waiting events may be written now */
void smmuv3_stall_update(SMMUv3State *s)
{
    SMMUv3SVA *sva = s->sva;

    if (!sva) {
        return;
    }

    if (sva->eventq_on != smmuv3_eventq_enabled(s)) {
        sva->eventq_on = !sva->eventq_on;
        qatomic_inc(&sva->eventq_changes);
    }
    if (smmu_enabled(s)) {
        report_unlocked(s);
    } else {
        smmuv3_stall_terminate(s, 0, 0);
    }
}

/* A CMD_SYNC completes. The mutex is not held. */
void smmuv3_stall_sync(SMMUv3State *s)
{
    SMMUv3SVA *sva = s->sva;
    int64_t now = now_ns();
    SMMUv3Stall *stall;

    QTAILQ_FOREACH(stall, &sva->unreported, next) {
        stall->report_ns = MIN(stall->report_ns, now);
        stall->again |= chooses(s);
    }
    report_unlocked(s);
    QTAILQ_FOREACH(stall, &sva->unreported, next) {
        stall->again = true;
    }
}

/* CMD_RESUME */
void smmuv3_stall_resume(SMMUv3State *s, Cmd *cmd)
{
    uint16_t stag = CMD_RESUME_STAG(cmd);
    SMMUv3SVA *sva = s->sva;
    SMMUv3Stall *stall = stag < s->stall_max ? sva->slot[stag] : NULL;
    bool retry = CMD_RESUME_AC(cmd);
    SMMUEventInfo event;

    trace_smmuv3_stall_resume(CMD_SID(cmd), stag, retry, stall != NULL);

    if (!stall || stall->event.sid != CMD_SID(cmd)) {
        sva->resume_unknown++;
        return;
    }

    /* IDR0.TERM_MODEL is 1: what is terminated is aborted, whatever Ab says */
    sva->resume_retry += retry;
    sva->resume_abort += !retry;

    if (!retry && stall->waiter && chooses(s)) {
        event = stall->event;
        if (smmuv3_sva_retry(s, &event) == SMMU_RETRY_PASSES) {
            go_on_early(s, stall);
        }
    }
    sva->slot[stag] = NULL;
    answer(s, stall, retry, true);
    report_locked(s);
}

/**
 * smmuv3_stall_terminate - abort the stalled requests of some streams
 * @s: SMMU
 * @sid: StreamID
 * @sid_mask: which of its bits count
 *
 * Events of these that have not been written yet will not be.
 */
void smmuv3_stall_terminate(SMMUv3State *s, uint32_t sid, uint32_t sid_mask)
{
    SMMUv3SVA *sva = s->sva;
    SMMUv3Stall *stall, *tmp;
    int i;

    for (i = 0; i < s->stall_max; i++) {
        stall = sva->slot[i];
        if (stall && !((stall->event.sid ^ sid) & sid_mask)) {
            sva->slot[i] = NULL;
            answer(s, stall, false, false);
        }
    }

    QTAILQ_FOREACH_SAFE(stall, &sva->unreported, next, tmp) {
        if (!((stall->event.sid ^ sid) & sid_mask)) {
            remove_unreported(s, stall);
            answer(s, stall, false, false);
        }
    }

    report_locked(s);
}
