/*
 * VT-d: stores of software to PASID tables, as they happen
 *
 * Hardware may fetch an entry at any time, also between two stores of software.
 * A model that reads only when a request comes hardly ever sees an entry that
 * is half made. So the pages of PASID directories and tables in use are covered
 * by regions that show each store; after it, the entry may be fetched, seeded
 * by x-seed.
 *
 * A CPU may find a region in its TLB for a while after it is taken away, and then
 * still gets to the memory behind it. So each region is made once, is kept, and is
 * used again for the same page only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "intel_iommu_sva.h"

typedef struct VTDWatch {
    IntelIOMMUState *s;
    MemoryRegion mr;
    MemoryRegion *ram;      /* what it covers */
    hwaddr offset;
    uint8_t *host;
    hwaddr page;
    bool enabled;
    uint16_t sid;           /* whose table it is */
    bool dir;               /* a directory */
    uint32_t pasid;         /* the first that it is of */
    QLIST_ENTRY(VTDWatch) next;
} VTDWatch;

/* A page to be watched */
typedef struct VTDWanted {
    IntelIOMMUState *s;
    hwaddr page;
    uint16_t sid;
    bool dir;
    uint32_t pasid;
} VTDWanted;

/* Enabled ones; all are changed under the BQL, in an RCU way */
static QLIST_HEAD(, VTDWatch) watches = QLIST_HEAD_INITIALIZER(watches);

/* All that were ever made, by page */
static GHashTable *regions;

static VTDWatch *find_watch(hwaddr at)
{
    VTDWatch *w;

    QLIST_FOREACH_RCU(w, &watches, next) {
        if (w->page == (at & VTD_PAGE_MASK_4K)) {
            return w;
        }
    }
    return NULL;
}

/**
 * vtd_watch_host - find memory behind a region
 * @at: guest physical address
 *
 * Return: where it is, or NULL if no region covers it
 */
void *vtd_watch_host(hwaddr at)
{
    VTDWatch *w = find_watch(at);

    return w ? w->host + (at & ~VTD_PAGE_MASK_4K) : NULL;
}

static uint64_t watch_read(void *opaque, hwaddr at, unsigned int size)
{
    VTDWatch *w = opaque;

    return ldn_le_p(w->host + at, size);
}

static void watch_write(void *opaque, hwaddr at, uint64_t val,
                        unsigned int size)
{
    VTDWatch *w = opaque;

    if (size == 8 && !(at & 7)) {
        qatomic_set((uint64_t *)(w->host + at), cpu_to_le64(val));
    } else {
        stn_le_p(w->host + at, size, val);
    }
    memory_region_set_dirty(w->ram, w->offset + at, size);

    if (!w->enabled) {
        return;
    }
    if (w->dir) {
        vtd_cache_pdire_stored(w->s, w->sid, w->pasid + (at / 8 << 6));
    } else {
        vtd_cache_pasid_stored(w->s, w->sid, w->pasid + at / 64);
    }
}

static const MemoryRegionOps watch_ops = {
    .read = watch_read,
    .write = watch_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

/* The region of a page of RAM, NULL if there is none, or too many are there */
static VTDWatch *find_region(IntelIOMMUState *s, hwaddr page)
{
    MemoryRegion *ram;
    hwaddr offset, len = VTD_PAGE_SIZE;
    VTDWatch *w;

    WITH_RCU_READ_LOCK_GUARD() {
        ram = address_space_translate(&address_space_memory, page, &offset,
                                      &len, true, MEMTXATTRS_UNSPECIFIED);
        if (len < VTD_PAGE_SIZE ||
            !memory_access_is_direct(ram, true, MEMTXATTRS_UNSPECIFIED)) {
            return NULL;
        }
    }

    if (!regions) {
        regions = g_hash_table_new(g_int64_hash, g_int64_equal);
    }
    w = g_hash_table_lookup(regions, &page);
    if (w ? w->ram != ram || w->offset != offset :
            s->sva->watch_pages >= s->watch_max) {
        /* Other memory there, or too many: stores are not seen */
        s->sva->watch_full++;
        return NULL;
    }
    if (!w) {
        w = g_new0(VTDWatch, 1);
        w->s = s;
        w->ram = ram;
        w->offset = offset;
        w->host = (uint8_t *)memory_region_get_ram_ptr(ram) + offset;
        w->page = page;
        memory_region_init_io(&w->mr, OBJECT(s), &watch_ops, w, "vtd-watch",
                              VTD_PAGE_SIZE);
        /* What it does is to fetch, from memory */
        w->mr.disable_reentrancy_guard = true;
        g_hash_table_insert(regions, &w->page, w);
        s->sva->watch_pages++;
    }
    return w;
}

static void begin(void *opaque)
{
    g_autofree VTDWanted *wanted = opaque;
    IntelIOMMUState *s = wanted->s;
    VTDWatch *w;

    if (find_watch(wanted->page) || !vtd_sva_active(s) ||
        /* The table may have been replaced since */
        !vtd_cache_is_table(s, wanted->sid, wanted->page, wanted->dir,
                            wanted->pasid)) {
        return;
    }

    w = find_region(s, wanted->page);
    if (w) {
        w->sid = wanted->sid;
        w->dir = wanted->dir;
        w->pasid = wanted->pasid;
        w->enabled = true;
        QLIST_INSERT_HEAD_RCU(&watches, w, next);
        memory_region_add_subregion_overlap(get_system_memory(), w->page,
                                            &w->mr, 1);
    }
}

static void end(VTDWatch *w)
{
    w->enabled = false;
    /* Walks of other threads find memory through the list until then */
    memory_region_del_subregion(get_system_memory(), &w->mr);
    QLIST_REMOVE_RCU(w, next);
}

/**
 * vtd_watch_page - see stores to a page from soon on
 * @s: IOMMU
 * @sid: whose table is there
 * @page: its address
 * @dir: whether it is a directory
 * @pasid: the first PASID that it is of
 *
 * The caches may be locked.
 */
void vtd_watch_page(IntelIOMMUState *s, uint16_t sid, hwaddr page, bool dir,
                    uint32_t pasid)
{
    VTDWanted *wanted;

    if (!s->strict || !(s->wild & VTD_WILD_STORES) || find_watch(page)) {
        return;
    }
    wanted = g_new(VTDWanted, 1);
    *wanted = (VTDWanted) {
        .s = s, .sid = sid, .page = page, .dir = dir, .pasid = pasid,
    };
    aio_bh_schedule_oneshot(qemu_get_aio_context(), begin, wanted);
}

/**
 * vtd_watch_check - directories or tables may have been taken away
 * @s: IOMMU
 *
 * What hardware does not refer to any more is to be memory as any other before
 * software frees it: that is not before the invalidation that leads here.
 */
void vtd_watch_check(IntelIOMMUState *s)
{
    VTDWatch *w, *next;

    QLIST_FOREACH_SAFE(w, &watches, next, next) {
        if (!vtd_sva_active(s) ||
            !vtd_cache_is_table(s, w->sid, w->page, w->dir, w->pasid)) {
            end(w);
        }
    }
}
