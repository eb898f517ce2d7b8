/*
 * svadev: page requests.
 *
 * A queue that has no translation for a page asks for it, and for those that
 * the operation will come to next, in one group, and sleeps until the response
 * to the group. The index of a group is free again when all responses to it
 * have come, so each can be told from what was not asked for.
 *
 * A test can have requests go wrong: see SVADEV_INJECT_*.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "svadev-internal.h"
#include "trace.h"

/* How late a request is, and after which time one that was lost is given up */
#define SVADEV_LATE_NS          SCALE_MS
/* Until a request that could not be sent is tried again */
#define SVADEV_RETRY_NS         (10 * SCALE_US)

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
    uint32_t alloc = pcie_pri_get_req_alloc(PCI_DEVICE(s));

    return alloc > s->outstanding ? alloc - s->outstanding : 0;
}

/* The index of a new group, -1 if all are in use */
static int pri_new_index(SVADevState *s)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(s->groups); i++) {
        unsigned prgi = (s->next_group + i) % ARRAY_SIZE(s->groups);

        if (!s->groups[prgi].responses) {
            s->next_group = prgi + 1;
            return prgi;
        }
    }

    return -1;
}

/*
 * Send one group. Returns 0; -EIO if the last request of it was not taken;
 * -ECANCELED if a request had an effect on the function itself, such as a
 * reset, that ended the group.
 */
static int pri_send_group(SVADevState *s, SVAQueue *q, uint32_t pasid,
                          unsigned prgi, unsigned pages)
{
    bool tagged = pasid != PCI_NO_PASID;
    unsigned i;
    int ret = 0;

    for (i = 0; i < pages; i++) {
        ret = pci_pri_request_page(PCI_DEVICE(s), pasid,
                                   tagged && svadev_queue_priv(q), false,
                                   q->page + i * SVADEV_PIECE, i == pages - 1,
                                   prgi, q->page_access & IOMMU_RO,
                                   q->page_access & IOMMU_WO);
        trace_svadev_pri_request(pasid, q->page + i * SVADEV_PIECE, prgi, ret);
        if (ret) {
            s->pri_refused++;
        } else {
            s->pri_req++;
        }
        if (!s->groups[prgi].responses) {
            return -ECANCELED;
        }
    }

    s->pri_group += !ret;

    return ret ? -EIO : 0;
}

/*
 * Send the page request of a queue; @waits: the queue is for the response.
 * Returns 0; -EAGAIN if the function must not have more requests outstanding;
 * -EIO if the IOMMU or config space does not take the request; -ECANCELED if
 * nobody waits for a response any more.
 */
static int pri_send(SVAQueue *q, bool waits)
{
    SVADevState *s = q->dev;
    uint32_t pasid = s->inject & SVADEV_INJECT_NO_PASID ?
                     PCI_NO_PASID : svadev_queue_pasid(q);
    unsigned times = s->inject & SVADEV_INJECT_TWICE ? 2 : 1;
    unsigned pages = MIN(q->nr_pages, pri_credit(s));
    int prgi = pages ? pri_new_index(s) : -1;
    unsigned sent = 0;
    SVAGroup *group;
    int ret;

    if (prgi < 0) {
        s->pri_no_credit++;
        return -EAGAIN;
    }

    if (!svadev_atc_space(s, pasid)) {
        s->pri_refused++;
        return -EIO;
    }

    /* A response may come as soon as the request was sent */
    group = &s->groups[prgi];
    *group = (SVAGroup) {
        .queue = waits ? q : NULL,
        .pasid = pasid,
        .requests = pages,
        .responses = times,
    };
    s->outstanding += pages;

    while (times--) {
        ret = pri_send_group(s, q, pasid, prgi, pages);
        if (ret == -ECANCELED) {
            return ret;
        } else if (ret) {
            group->responses--;
        } else {
            sent++;
        }
    }

    if (!sent) {
        *group = (SVAGroup) {};
        s->outstanding -= pages;
    }

    return sent ? 0 : -EIO;
}

/* Send what svadev_pri_request() has prepared, or try again later */
void svadev_pri_send(SVAQueue *q)
{
    uint64_t delay_ns = SVADEV_RETRY_NS;
    SVADevState *s = q->dev;
    int ret;

    if (q->disable || s->pri_failed || !pcie_pri_enabled(PCI_DEVICE(s)) ||
        !pcie_pri_get_req_alloc(PCI_DEVICE(s))) {
        svadev_queue_answered(q, false);
        return;
    }

    q->state = SVAQ_PAGED;
    if (s->inject & SVADEV_INJECT_LOST) {
        s->pri_lost++;
        delay_ns = SVADEV_LATE_NS;
        ret = -EIO;
    } else {
        ret = pri_send(q, true);
    }

    if (q->state != SVAQ_PAGED) {
        return;
    }
    if (ret == -EIO && q->retries++ >= s->max_retries) {
        svadev_queue_answered(q, true);
    } else if (ret) {
        svadev_queue_wait(q, SVAQ_LATE, delay_ns);
    }
}

/*
 * Ask for the page at @addr and those up to @len bytes behind it. Returns false
 * if the function can not; otherwise the queue is no longer running.
 */
bool svadev_pri_request(SVAQueue *q, uint64_t addr, IOMMUAccessFlags access,
                        uint64_t len)
{
    SVADevState *s = q->dev;
    uint64_t last = addr + len - 1;

    if (s->pri_failed || !pcie_pri_enabled(PCI_DEVICE(s))) {
        return false;
    }

    q->page = addr & ~(uint64_t)(SVADEV_PIECE - 1);
    q->page_access = access;
    q->nr_pages = MIN((last - q->page) / SVADEV_PIECE + 1, s->prg_pages);

    /* A response never comes inside of this, but maybe before the next event */
    svadev_queue_wait(q, SVAQ_LATE, s->inject & SVADEV_INJECT_LATE ?
                      SVADEV_LATE_NS : 0);

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
            svadev_queue_answered(q, false);
        }
    }

    s->outstanding = 0;
    pri_update_stopped(s);
}

void svadev_pri_respond(SVASpace *space, const IOMMUPRIResponse *response)
{
    SVADevState *s = space->dev;
    SVAGroup *group = &s->groups[response->prgi & PCI_PRI_PRGI_MASK];
    SVAQueue *q;

    trace_svadev_pri_response(space->pasid, response->prgi, response->code);

    if (s->pri_failed) {
        return;
    }

    if (!group->responses || group->pasid != space->pasid ||
        (response->prgi & ~PCI_PRI_PRGI_MASK)) {
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
        s->outstanding -= group->requests;
        pri_update_stopped(s);
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
        if (s->groups[i].responses && s->groups[i].pasid == pasid) {
            return true;
        }
    }

    return false;
}

/* A queue was disabled: what it is made to send all the same */
void svadev_pri_queue_disabled(SVAQueue *q)
{
    SVADevState *s = q->dev;

    if (!(q->mode & SVADEV_Q_MODE_ATS) || s->pri_failed) {
        return;
    }

    if ((s->inject & SVADEV_INJECT_AFTER) && q->nr_pages) {
        pri_send(q, false);
    }

    /* It tells that a PASID is not used any more */
    if ((s->inject & SVADEV_INJECT_STOP) &&
        (q->pasid & SVADEV_Q_PASID_VALID) &&
        !pci_pri_request_page(PCI_DEVICE(s), svadev_queue_pasid(q), false,
                              false, 0, true, 0, false, false)) {
        s->pri_stop++;
    }
}

/* A response will find nobody waiting */
void svadev_pri_queue_reset(SVAQueue *q)
{
    SVADevState *s = q->dev;
    unsigned i;

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
    s->next_group = 0;
}
