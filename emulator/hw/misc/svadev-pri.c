/*
 * svadev: page requests.
 *
 * A queue that has no translation for a page asks for it, and for those that
 * the operation will come to next, in one group, and sleeps until the response
 * to the group. The index of a group is free again when all responses to it
 * have come, so each can be told from what was not asked for.
 *
 * What PCI Express leaves to the function: a group has the lowest index that is
 * free, which may be in use for another PASID at the same time, and between
 * two requests of a group there may be those of other queues, chosen by x-seed.
 *
 * A test can have requests go wrong: see SVADEV_INJECT_*.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "svadev-internal.h"
#include "trace.h"

/* How late a request is, and after which time one that was lost is given up */
#define SVADEV_LATE_NS          SCALE_MS
/* Until a request that could not be sent is tried again */
#define SVADEV_RETRY_NS         (10 * SCALE_US)
/* One group of so many takes all requests that are left: SVADEV_INJECT_MANY */
#define SVADEV_MANY             4

/* The interface is disabled: is it stopped, too? */
static void pri_update_stopped(SVADevState *s)
{
    PCIDevice *pci = PCI_DEVICE(s);

    if (pci->exp.pri_cap && !pcie_pri_enabled(pci)) {
        pcie_pri_set_stopped(pci, !s->outstanding);
    }
}

static uint32_t pri_credit(SVADevState *s)
{
    uint32_t alloc = MIN(pcie_pri_get_req_alloc(PCI_DEVICE(s)),
                         s->max_requests);

    return alloc > s->outstanding ? alloc - s->outstanding : 0;
}

/*
 * A group that is not in use, with the lowest index that no other group of
 * @pasid has: the PASID of a response tells apart those that share an index
 * (PCIe 6.0, 10.4.1.1). NULL if all are in use.
 */
static SVAGroup *pri_new_group(SVADevState *s, uint32_t pasid)
{
    DECLARE_BITMAP(used, PCI_PRI_PRGI_MASK + 1) = {};
    SVAGroup *group = NULL;
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(s->groups); i++) {
        if (!s->groups[i].requests) {
            group = group ?: &s->groups[i];
        } else if (s->groups[i].pasid == pasid) {
            set_bit(s->groups[i].prgi, used);
        }
    }

    if (group) {
        group->prgi = find_first_zero_bit(used, PCI_PRI_PRGI_MASK + 1);
    }

    return group;
}

static void pri_end_group(SVADevState *s, SVAGroup *group)
{
    s->outstanding -= group->requests;
    *group = (SVAGroup) {};
    pri_update_stopped(s);
}

/*
 * Prepare a group for the pages that @q has asked for last. Returns -EAGAIN if
 * the function must not have more requests outstanding; -EIO if the IOMMU or
 * config space does not allow ATS.
 */
static int pri_begin(SVAQueue *q, SVAGroup **out)
{
    SVADevState *s = q->dev;
    bool tagged = !(s->inject & SVADEV_INJECT_NO_PASID);
    uint32_t pasid = tagged ? svadev_queue_pasid(q) : PCI_NO_PASID;
    uint32_t credit = pri_credit(s);
    SVAGroup *group = credit ? pri_new_group(s, pasid) : NULL;

    if (!group) {
        s->pri_no_credit++;
        return -EAGAIN;
    }

    if (!svadev_atc_space(s, pasid)) {
        s->pri_refused++;
        return -EIO;
    }

    *group = (SVAGroup) {
        .pasid = pasid,
        .prgi = group->prgi,
        .priv = tagged && svadev_queue_priv(q),
        .access = q->page_access,
        .page = q->page,
        .pages = MIN(q->nr_pages, credit),
        .times = s->inject & SVADEV_INJECT_TWICE ? 2 : 1,
    };
    group->requests = group->pages;
    if ((s->inject & SVADEV_INJECT_MANY) &&
        !iommu_choice_below(&s->many, SVADEV_MANY)) {
        group->requests = credit;
        s->pri_many++;
    }
    s->outstanding += group->requests;
    *out = group;

    return 0;
}

/*
 * Send the next request of a group. Returns -ECANCELED if that had an effect on
 * the function itself, such as a reset, that ended the group.
 */
static int pri_send_one(SVADevState *s, SVAGroup *group)
{
    unsigned i = group->sent++ % group->requests;
    bool last = i == group->requests - 1;
    uint64_t page = group->page + i % group->pages * SVADEV_PIECE;
    int ret;

    /* From now on a response may come, but not inside of the call */
    group->responses += last;
    ret = pci_pri_request_page(PCI_DEVICE(s), group->pasid, group->priv, false,
                               page, last, group->prgi,
                               group->access & IOMMU_RO,
                               group->access & IOMMU_WO);
    if (!group->requests) {
        return -ECANCELED;
    }

    trace_svadev_pri_request(group->pasid, page, group->prgi, ret);
    if (ret) {
        s->pri_refused++;
        group->responses -= last;
    } else {
        s->pri_req++;
        s->pri_group += last;
    }

    return 0;
}

/*
 * Send @all of the requests of a group, or so many that those of other queues
 * come in between. Returns 0; -EINPROGRESS if there are more; -EIO if the last
 * one was not taken; -ECANCELED if the group was ended.
 */
static int pri_send_some(SVADevState *s, SVAGroup *group, bool all)
{
    unsigned total = group->requests * group->times;

    /* More requests than pages overflow a queue if they come in a burst */
    all |= group->requests > group->pages || !(s->wild & SVADEV_WILD_MIX);

    do {
        if (pri_send_one(s, group)) {
            return -ECANCELED;
        }
    } while (group->sent < total &&
             (all || group->sent >= group->requests ||
              iommu_choice_below(&s->mixes, 2)));

    if (group->sent < total) {
        return -EINPROGRESS;
    }
    if (!group->responses) {
        pri_end_group(s, group);
        return -EIO;
    }

    return 0;
}

/* Go on with what svadev_pri_request() has prepared */
static void pri_send(SVAQueue *q, bool all)
{
    uint64_t delay_ns = SVADEV_RETRY_NS;
    SVADevState *s = q->dev;
    int ret = 0;

    if (q->group) {
        /* To be ended, even if the queue is disabled (PCIe 6.0, 10.4.1.2) */
    } else if (q->disable || s->pri_failed ||
               !pcie_pri_enabled(PCI_DEVICE(s)) ||
               !pcie_pri_get_req_alloc(PCI_DEVICE(s))) {
        svadev_queue_answered(q, false);
        return;
    } else if (s->inject & SVADEV_INJECT_LOST) {
        s->pri_lost++;
        delay_ns = SVADEV_LATE_NS;
        ret = -EIO;
    } else {
        ret = pri_begin(q, &q->group);
    }

    q->state = SVAQ_PAGED;
    if (!ret) {
        q->group->queue = q;
        ret = pri_send_some(s, q->group, all);
    }
    if (q->state != SVAQ_PAGED) {
        return;
    }
    if (ret == -EINPROGRESS) {
        svadev_queue_wait(q, SVAQ_LATE, 0);
        return;
    }

    q->group = NULL;
    if (ret == -EIO && q->retries++ >= s->max_retries) {
        svadev_queue_answered(q, true);
    } else if (ret) {
        svadev_queue_wait(q, SVAQ_LATE, delay_ns);
    }
}

/* The timer of a queue that is SVAQ_LATE has expired */
void svadev_pri_send(SVAQueue *q)
{
    pri_send(q, false);
}

/*
 * Ask for the page at @addr and those up to @len bytes behind it. Returns false
 * if the function can not; otherwise the queue is no longer running.
 */
bool svadev_pri_request(SVAQueue *q, uint64_t addr, IOMMUAccessFlags access,
                        uint64_t len)
{
    SVADevState *s = q->dev;
    uint64_t last = addr + len - 1, delay_ns = 0;

    if (s->pri_failed || !pcie_pri_enabled(PCI_DEVICE(s))) {
        return false;
    }

    q->page = addr & ~(uint64_t)(SVADEV_PIECE - 1);
    q->page_access = access;
    q->nr_pages = MIN((last - q->page) / SVADEV_PIECE + 1, s->prg_pages);

    if (s->inject & SVADEV_INJECT_LATE) {
        delay_ns = SVADEV_LATE_NS;
        s->pri_late++;
    }
    /* A response never comes inside of this, but maybe before the next event */
    svadev_queue_wait(q, SVAQ_LATE, delay_ns);

    return true;
}

/* A response of failure ends all: the responses to the others are ignored */
static void pri_forget(SVADevState *s)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(s->groups); i++) {
        SVAQueue *q = s->groups[i].queue;

        s->groups[i] = (SVAGroup) {};
        if (q) {
            q->group = NULL;
            timer_del(&q->timer);
            svadev_queue_answered(q, false);
        }
    }

    s->outstanding = 0;
    pri_update_stopped(s);
}

/* The group that a response is for, NULL if none is due */
static SVAGroup *pri_find_group(SVADevState *s, uint32_t pasid, uint16_t prgi)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(s->groups); i++) {
        if (s->groups[i].responses && s->groups[i].pasid == pasid &&
            s->groups[i].prgi == prgi) {
            return &s->groups[i];
        }
    }

    return NULL;
}

void svadev_pri_respond(SVASpace *space, const IOMMUPRIResponse *response)
{
    SVADevState *s = space->dev;
    SVAGroup *group = pri_find_group(s, space->pasid, response->prgi);
    SVAQueue *q;

    trace_svadev_pri_response(space->pasid, response->prgi, response->code);

    if (s->pri_failed) {
        return;
    }

    if (!group) {
        s->pri_unexpected++;
        pcie_pri_set_error(PCI_DEVICE(s), PCI_PRI_STATUS_UPRGI);
        return;
    }

    if (response->code == IOMMU_PRI_RESP_FAILURE) {
        s->pri_failure++;
        s->pri_failed = true;
        pcie_pri_set_error(PCI_DEVICE(s), PCI_PRI_STATUS_RF);
        pri_forget(s);
        return;
    }

    q = group->queue;
    group->queue = NULL;
    if (!--group->responses) {
        pri_end_group(s, group);
    }

    if (response->code == IOMMU_PRI_RESP_SUCCESS) {
        s->pri_success++;
    } else {
        s->pri_invalid++;
    }

    if (q) {
        svadev_queue_answered(q, response->code == IOMMU_PRI_RESP_SUCCESS);
    }
}

bool svadev_pri_pending(SVADevState *s, uint32_t pasid)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(s->groups); i++) {
        if (s->groups[i].requests && s->groups[i].pasid == pasid) {
            return true;
        }
    }

    return false;
}

/* A queue was disabled: what it is made to send all the same */
void svadev_pri_queue_disabled(SVAQueue *q)
{
    SVADevState *s = q->dev;
    SVAGroup *group;

    if (!(q->mode & SVADEV_Q_MODE_ATS) || s->pri_failed) {
        return;
    }

    if ((s->inject & SVADEV_INJECT_AFTER) && q->nr_pages &&
        !pri_begin(q, &group)) {
        pri_send_some(s, group, true);
    }

    if (!(s->inject & SVADEV_INJECT_STOP) ||
        !(q->pasid & SVADEV_Q_PASID_VALID)) {
        return;
    }

    /* It says that the PASID is no longer used: it comes behind all requests */
    if (q->group) {
        timer_del(&q->timer);
        pri_send(q, true);
    }
    if (!pci_pri_request_page(PCI_DEVICE(s), svadev_queue_pasid(q), false,
                              false, 0, true, 0, false, false)) {
        s->pri_stop++;
    }
}

/*
 * No queue waits for the responses any more. A group of which the last request
 * was not sent gets none: its index is free.
 */
void svadev_pri_queue_reset(SVAQueue *q)
{
    SVADevState *s = q->dev;
    unsigned i;

    if (q->group) {
        pri_end_group(s, q->group);
        q->group = NULL;
    }
    for (i = 0; i < ARRAY_SIZE(s->groups); i++) {
        if (s->groups[i].queue == q) {
            s->groups[i].queue = NULL;
        }
    }

    q->nr_pages = 0;
}

/* The interface was enabled or disabled in config space */
void svadev_pri_enabled(SVADevState *s, bool enabled)
{
    if (enabled) {
        s->pri_failed = false;
    } else {
        pri_update_stopped(s);
    }
}

/* The interface, or the function, was reset */
void svadev_pri_reset(SVADevState *s)
{
    pri_forget(s);
    s->pri_failed = false;
}
