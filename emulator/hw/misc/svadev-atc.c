/*
 * svadev: the translation cache of the function (ATC).
 *
 * An entry is kept until the IOMMU tells the function to drop it, or ATS is
 * disabled; nothing is evicted. What does not fit is counted, used once and
 * not cached. Every hit is compared with the tables in memory, and counted
 * as stale if these do not grant it any more; as late if that was found before
 * the IOMMU completed what should have ended it. An audit compares all entries.
 *
 * Invalidations and page responses come by PASID. The function has a space
 * for each PASID that it uses by ATS, which lasts as long as it caches
 * something or waits for a page response.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/range.h"
#include "svadev-internal.h"
#include "trace.h"

/* The most pages in a translation request */
#define ATC_AHEAD               8
/* One of so many reads asks for write permission, too */
#define ATC_WRITE               4

/*
 * Of one audit: a guest with many large entries for small pages shall not use up
 * our time. What is not looked at counts.
 */
#define AUDIT_WALKS             (1u << 21)

typedef struct ATCEntry {
    uint64_t key;
    hwaddr iova;
    hwaddr pa;
    hwaddr mask;
    IOMMUAccessFlags perm;
    int64_t differs_ns;     /* since the tables do not grant it, or 0, */
    uint64_t differs_at;    /* for this address */
} ATCEntry;

/* The size and the mode fit below the smallest page */
static uint64_t atc_key(uint64_t addr, unsigned shift, bool priv)
{
    return (addr & ~MAKE_64BIT_MASK(0, shift)) | shift | priv << 6;
}

/* An entry that grants @access: others may, of other sizes, that do not */
static ATCEntry *atc_lookup(SVASpace *space, uint64_t addr, bool priv,
                            IOMMUAccessFlags access)
{
    uint64_t shifts;

    for (shifts = space->shifts; shifts; shifts &= shifts - 1) {
        uint64_t key = atc_key(addr, ctz64(shifts), priv);
        ATCEntry *e = g_hash_table_lookup(space->atc, &key);

        if (e && !(access & ~e->perm)) {
            return e;
        }
    }

    return NULL;
}

/* @ahead: of use. It takes the place of no entry that may still be of use. */
static void atc_insert(SVASpace *space, const IOMMUTLBEntry *tlb, bool priv,
                       bool ahead)
{
    SVADevState *s = space->dev;
    unsigned shift = ctpop64(tlb->addr_mask);
    uint64_t key = atc_key(tlb->iova, shift, priv);
    bool known = g_hash_table_contains(space->atc, &key);
    ATCEntry *e;

    if (known && ahead) {
        return;
    }
    if (!known && s->atc_used >= s->atc_size) {
        s->atc_overflow++;
        return;
    }

    e = g_new(ATCEntry, 1);
    *e = (ATCEntry) {
        .key = key,
        .iova = tlb->iova & ~tlb->addr_mask,
        .pa = tlb->translated_addr & ~tlb->addr_mask,
        .mask = tlb->addr_mask,
        .perm = tlb->perm,
    };

    s->atc_used += !known;
    space->shifts |= BIT_ULL(shift);
    g_hash_table_replace(space->atc, &e->key, e);
}

static gboolean atc_in_range(gpointer key, gpointer value, gpointer user_data)
{
    const IOMMUTLBEntry *inv = user_data;
    const ATCEntry *e = value;
    hwaddr start = inv->iova & ~inv->addr_mask;

    return e->iova <= start + inv->addr_mask && start <= e->iova + e->mask;
}

static void atc_invalidate(IOMMUNotifier *n, IOMMUTLBEntry *inv)
{
    SVASpace *space = container_of(n, SVASpace, iotlb);
    SVADevState *s = space->dev;
    guint dropped = g_hash_table_foreach_remove(space->atc, atc_in_range, inv);

    s->atc_inv++;
    s->atc_dropped += dropped;
    s->atc_used -= dropped;
    trace_svadev_atc_inv(space->pasid, inv->iova, inv->addr_mask, dropped);
}

static void atc_respond(IOMMUPRINotifier *n, IOMMUPRIResponse *response)
{
    SVASpace *space = container_of(n, SVASpace, pri);
    Object *obj = OBJECT(space->dev);

    /* See svaq_batch() */
    object_ref(obj);
    svadev_pri_respond(space, response);
    object_unref(obj);
}

/* The space of @pasid, NULL if the IOMMU or config space does not allow ATS */
SVASpace *svadev_atc_space(SVADevState *s, uint32_t pasid)
{
    SVASpace *space = g_hash_table_lookup(s->spaces, GUINT_TO_POINTER(pasid));
    PCIDevice *pci = PCI_DEVICE(s);

    if (space) {
        return space;
    }

    space = g_new0(SVASpace, 1);
    space->dev = s;
    space->pasid = pasid;
    space->pri.notify = atc_respond;

    if (pci_iommu_init_iotlb_notifier(pci, &space->iotlb, atc_invalidate, s) ||
        pci_iommu_register_iotlb_notifier(pci, pasid, &space->iotlb)) {
        g_free(space);
        return NULL;
    }

    /* An IOMMU may have ATS alone; page requests fail then */
    pci_pri_register_notifier(pci, pasid, &space->pri);

    space->atc = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
                                       g_free);
    g_hash_table_insert(s->spaces, GUINT_TO_POINTER(pasid), space);

    return space;
}

static void space_free(gpointer data)
{
    SVASpace *space = data;
    PCIDevice *pci = PCI_DEVICE(space->dev);

    pci_pri_unregister_notifier(pci, space->pasid);
    pci_iommu_unregister_iotlb_notifier(pci, space->pasid, &space->iotlb);
    g_hash_table_destroy(space->atc);
    g_free(space);
}

static gboolean space_is_unused(gpointer key, gpointer value,
                                gpointer user_data)
{
    SVASpace *space = value;

    return !g_hash_table_size(space->atc) &&
           !svadev_pri_pending(space->dev, space->pasid);
}

/* Forget the PASIDs of which nothing is left. Not from within a notifier. */
void svadev_atc_prune(SVADevState *s)
{
    g_hash_table_foreach_remove(s->spaces, space_is_unused, NULL);
}

/* ATS was disabled */
void svadev_atc_clear(SVADevState *s)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, s->spaces);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        g_hash_table_remove_all(((SVASpace *)value)->atc);
    }

    s->atc_used = 0;
    svadev_atc_prune(s);
}

void svadev_atc_init(SVADevState *s)
{
    s->spaces = g_hash_table_new_full(NULL, NULL, NULL, space_free);
}

void svadev_atc_exit(SVADevState *s)
{
    g_hash_table_destroy(s->spaces);
}

/*
 * Do the tables in memory grant what @e says of @addr? They are read as they
 * are now, past all caches. *@mask: how far the answer holds.
 */
static bool atc_is_valid(const SVASpace *space, const ATCEntry *e,
                         uint64_t addr, hwaddr *mask)
{
    hwaddr pa = e->pa | (addr & e->mask);
    IOMMUTLBEntry now;
    bool clean;
    int ret = pci_sva_peek(PCI_DEVICE(space->dev), space->pasid, addr, &now);

    if (ret == -ENODEV) {
        *mask = e->mask;
        return true;
    }

    *mask = ret ? e->mask : now.addr_mask;

    /*
     * What lets a device write was given to it with the Dirty bit set: memory
     * where it is clear does not grant that, except as part of a large page
     * that is split, see is_still_dirty() of VT-d.
     */
    clean = !ret && (now.perm & IOMMU_PEEK_CLEAN) && now.addr_mask >= e->mask;

    return !ret && !(e->perm & IOMMU_RW & ~now.perm) &&
           !(clean && (e->perm & IOMMU_WO)) &&
           pa == ((now.translated_addr & ~now.addr_mask) |
                  (addr & now.addr_mask));
}

static bool atc_is_late(const SVASpace *space, ATCEntry *e, uint64_t addr)
{
    hwaddr mask;

    /* Another page may be as it was again: time begins with this one then */
    if (e->differs_ns && (e->differs_at ^ addr) >> 12 &&
        atc_is_valid(space, e, e->differs_at, &mask)) {
        e->differs_ns = 0;
    }
    if (!e->differs_ns) {
        e->differs_at = addr;
    }
    return iommu_inv_is_late(PCI_DEVICE(space->dev), &e->differs_ns);
}

/* After software changed the tables, a hit is right until it has invalidated */
static void atc_check(const SVASpace *space, uint64_t addr, ATCEntry *e)
{
    SVADevState *s = space->dev;
    hwaddr mask;

    if (atc_is_valid(space, e, addr, &mask)) {
        /* Of a large page another part may differ still */
        if (!((e->differs_at ^ addr) >> 12)) {
            e->differs_ns = 0;
        }
    } else {
        s->atc_stale++;
        s->atc_late += atc_is_late(space, e, addr);
        trace_svadev_atc_stale(space->pasid, addr, e->pa | (addr & e->mask),
                               e->perm);
    }
}

/*
 * An entry may be larger than the pages that are mapped now. *@at: the first
 * address that differs.
 */
static bool atc_entry_is_valid(const SVASpace *space, const ATCEntry *e,
                               uint64_t *at, uint32_t *walks)
{
    hwaddr offset = 0, mask;

    do {
        *at = e->iova + offset;
        if ((*walks)++ >= AUDIT_WALKS ||
            !atc_is_valid(space, e, *at, &mask)) {
            trace_svadev_atc_left(space->pasid, *at, e->mask, e->pa, e->perm);
            return false;
        }
        offset = (offset | mask) + 1;
    } while (offset && offset <= e->mask);

    return true;
}

/*
 * Count the entries that the tables do not grant any more. A function that is
 * pulled has none: the cache is lost with it, and at a reset.
 */
void svadev_atc_audit(void *opaque)
{
    SVADevState *s = opaque;
    GHashTableIter spaces, entries;
    gpointer space, e;
    uint32_t walks = 0;
    uint64_t at;

    s->atc_left = 0;
    g_hash_table_iter_init(&spaces, s->spaces);
    while (g_hash_table_iter_next(&spaces, NULL, &space)) {
        g_hash_table_iter_init(&entries, ((SVASpace *)space)->atc);
        while (g_hash_table_iter_next(&entries, NULL, &e)) {
            if (!atc_entry_is_valid(space, e, &at, &walks)) {
                s->atc_left++;
                atc_is_late(space, e, at);
            } else {
                ((ATCEntry *)e)->differs_ns = 0;
            }
        }
    }
}

/* How many pages to ask for from @addr on: to the end of an aligned 32 KiB */
static unsigned atc_pages(SVADevState *s, uint64_t addr)
{
    unsigned left = ATC_AHEAD - addr / SVADEV_PIECE % ATC_AHEAD;

    if (!(s->wild & SVADEV_WILD_AHEAD)) {
        return 1;
    }

    return MIN(iommu_choice_between(&s->ahead, 1, ATC_AHEAD), left);
}

/* No Write means that the function will not write: without it it need not */
static bool atc_no_write(SVADevState *s, IOMMUAccessFlags access)
{
    return access == IOMMU_RO &&
           (!(s->wild & SVADEV_WILD_WRITE) ||
            iommu_choice_below(&s->asks_write, ATC_WRITE));
}

/*
 * Ask for the page at @addr, and by x-seed for some behind it, and for write
 * permission if it is only read (PCIe 6.0, 10.2.2). All that is granted is
 * cached, whether or not an operation comes to use it.
 */
static int atc_fill(SVAQueue *q, SVASpace *space, uint64_t addr,
                    IOMMUAccessFlags access, IOMMUTLBEntry *tlb)
{
    SVADevState *s = q->dev;
    unsigned pages = atc_pages(s, addr);
    bool no_write = atc_no_write(s, access);
    bool priv = svadev_queue_priv(q);
    IOMMUTLBEntry tlbs[ATC_AHEAD];
    uint32_t errors = 0;
    ssize_t n, i;

    n = pci_ats_request_translation(PCI_DEVICE(s), space->pasid, priv, false,
                                    addr & ~(uint64_t)(SVADEV_PIECE - 1),
                                    pages * SVADEV_PIECE, no_write, tlbs,
                                    pages, &errors);
    if (n < 1) {
        s->ats_miss++;
        return n < 0 ? n : -EFAULT;
    }

    for (i = 0; i < n; i++) {
        if ((tlbs[i].perm & IOMMU_RW) &&
            !(tlbs[i].perm & IOMMU_UNTRANSLATED_ONLY)) {
            atc_insert(space, &tlbs[i], priv, i);
            s->atc_ahead += i > 0;
        }
    }

    *tlb = tlbs[0];
    if (tlb->perm & IOMMU_UNTRANSLATED_ONLY) {
        s->ats_ok++;
        return -EREMOTE;
    }

    if (access & ~tlb->perm) {
        s->ats_miss++;
        return -EFAULT;
    }

    s->ats_ok++;

    return 0;
}

/*
 * Returns 0; -EFAULT if there is no translation that grants @access; -EREMOTE
 * if it is to be requested untranslated; -EPERM or -ENODEV if ATS is not
 * enabled, or the IOMMU does not let the translated request pass.
 */
int svadev_atc_translate(SVAQueue *q, uint64_t addr, IOMMUAccessFlags access,
                         IOMMUTLBEntry *out)
{
    SVADevState *s = q->dev;
    SVASpace *space = svadev_atc_space(s, svadev_queue_pasid(q));
    ATCEntry *e;
    hwaddr pa;
    int ret;

    if (!space) {
        return -EPERM;
    }

    e = atc_lookup(space, addr, svadev_queue_priv(q), access);
    if (e) {
        s->atc_hit++;
        atc_check(space, addr, e);
        *out = (IOMMUTLBEntry) {
            .iova = e->iova,
            .translated_addr = e->pa,
            .addr_mask = e->mask,
            .perm = e->perm,
            .pasid = space->pasid,
        };
    } else {
        ret = atc_fill(q, space, addr, access, out);
        if (ret) {
            return ret;
        }
    }

    pa = (out->translated_addr & ~out->addr_mask) | (addr & out->addr_mask);
    if (!pci_sva_check_translated(PCI_DEVICE(s), space->pasid, pa)) {
        s->ats_blocked++;
        return -EPERM;
    }

    out->target_as = &address_space_memory;

    return 0;
}
