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

struct SMMUv3Stall {
    SMMUEventInfo event;
    PCISVAWaiter *waiter;       /* NULL if the requester is gone */
    bool retry;                 /* the answer */
    SMMUv3StallList *list;      /* that it is on; NULL once it has a STAG */
    QTAILQ_ENTRY(SMMUv3Stall) next;
};

static void deliver_answers(void *opaque)
{
    SMMUv3State *s = opaque;
    SMMUv3StallList *list = &s->sva->answered;
    SMMUv3Stall *stall;

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

static void answer(SMMUv3State *s, SMMUv3Stall *stall, bool retry)
{
    SMMUv3SVA *sva = s->sva;

    sva->stall_now--;
    stall->retry = retry;
    stall->list = &sva->answered;
    QTAILQ_INSERT_TAIL(stall->list, stall, next);
    timer_mod_ns(sva->answer_timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
}

void smmuv3_stall_init(SMMUv3State *s)
{
    SMMUv3SVA *sva = s->sva;

    QTAILQ_INIT(&sva->unreported);
    QTAILQ_INIT(&sva->answered);
    sva->slot = g_new0(SMMUv3Stall *, s->stall_max);
    sva->answer_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, deliver_answers, s);
}

/* Write the events of waiting faults, for as many as can be */
static void report(SMMUv3State *s)
{
    SMMUv3SVA *sva = s->sva;
    SMMUv3Stall *stall;
    uint16_t stag = 0;

    while ((stall = QTAILQ_FIRST(&sva->unreported))) {
        while (stag < s->stall_max && sva->slot[stag]) {
            stag++;
        }
        if (stag == s->stall_max || !smmuv3_eventq_enabled(s) ||
            smmuv3_q_full(&s->eventq)) {
            break;
        }

        QTAILQ_REMOVE(&sva->unreported, stall, next);
        stall->list = NULL;
        sva->slot[stag] = stall;
        stall->event.u.f_walk_eabt.stall = true;
        stall->event.u.f_walk_eabt.stag = stag;
        sva->evt_stall++;
        smmuv3_record_event(s, &stall->event);
        trace_smmuv3_stall_report(stall->event.sid, stag);
    }
}

/**
 * smmuv3_stall_begin - keep a request waiting
 * @s: SMMU
 * @event: the fault, one that has a STAG
 * @waiter: the request
 */
void smmuv3_stall_begin(SMMUv3State *s, const SMMUEventInfo *event,
                        PCISVAWaiter *waiter)
{
    SMMUv3Stall *stall = g_new0(SMMUv3Stall, 1);
    SMMUv3SVA *sva = s->sva;

    stall->event = *event;
    stall->waiter = waiter;
    waiter->owner = stall;
    stall->list = &sva->unreported;
    QTAILQ_INSERT_TAIL(stall->list, stall, next);

    sva->stall_total++;
    sva->stall_now++;
    sva->stall_peak = MAX(sva->stall_peak, sva->stall_now);

    report(s);
}

/**
 * smmuv3_stall_cancel - forget a requester
 * @s: SMMU
 * @waiter: its request, stalled or not
 *
 * As in hardware, a fault that software was told of remains, and is to be
 * answered. Others go with their requester, so that there are never more faults
 * than STAGs and requesters together.
 */
void smmuv3_stall_cancel(SMMUv3State *s, PCISVAWaiter *waiter)
{
    SMMUv3Stall *stall = waiter->owner;

    if (!stall) {
        return;
    }

    waiter->owner = NULL;
    stall->waiter = NULL;
    if (stall->list) {
        s->sva->stall_now -= stall->list == &s->sva->unreported;
        QTAILQ_REMOVE(stall->list, stall, next);
        g_free(stall);
    }
}

/* CR0 or the event queue changed: waiting events may be written now */
void smmuv3_stall_update(SMMUv3State *s)
{
    if (!s->sva) {
        return;
    }

    if (smmu_enabled(s)) {
        report(s);
    } else {
        smmuv3_stall_terminate(s, 0, 0);
    }
}

/* CMD_RESUME */
void smmuv3_stall_resume(SMMUv3State *s, Cmd *cmd)
{
    uint16_t stag = CMD_RESUME_STAG(cmd);
    SMMUv3SVA *sva = s->sva;
    SMMUv3Stall *stall = stag < s->stall_max ? sva->slot[stag] : NULL;
    bool retry = CMD_RESUME_AC(cmd);

    trace_smmuv3_stall_resume(CMD_SID(cmd), stag, retry, stall != NULL);

    if (!stall || stall->event.sid != CMD_SID(cmd)) {
        sva->resume_unknown++;
        return;
    }

    /* IDR0.TERM_MODEL is 1: what is terminated is aborted, whatever Ab says */
    sva->resume_retry += retry;
    sva->resume_abort += !retry;

    sva->slot[stag] = NULL;
    answer(s, stall, retry);
    report(s);
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
            answer(s, stall, false);
        }
    }

    QTAILQ_FOREACH_SAFE(stall, &sva->unreported, next, tmp) {
        if (!((stall->event.sid ^ sid) & sid_mask)) {
            QTAILQ_REMOVE(&sva->unreported, stall, next);
            answer(s, stall, false);
        }
    }

    report(s);
}
