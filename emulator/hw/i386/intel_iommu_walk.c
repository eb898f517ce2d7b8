/*
 * VT-d: page-table walks of scalable mode
 *
 * Accessed and Dirty bits of first-stage entries are set by an atomic compare
 * and exchange in guest RAM; if the entry has changed meanwhile, the walk
 * starts again. A walk goes down to the leaf before it looks at permissions,
 * as the paging-structure caches of hardware fill on the way.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "system/dma.h"
#include "intel_iommu_sva.h"

/* How often the guest may change an entry under a walk */
#define MAX_RESTARTS 64

bool vtd_walk_read(hwaddr at, void *buf, size_t len)
{
    void *host = vtd_watch_host(at);

    if (host) {
        /* No structure crosses a page */
        memcpy(buf, host, len);
        return true;
    }
    return dma_memory_read(&address_space_memory, at, buf, len,
                           VTD_MEMORY_ONLY) == MEMTX_OK;
}

typedef enum UpdateResult { UPDATED, CHANGED, FAILED } UpdateResult;

/* Set @flags in the entry at @at, which was read as @old */
static UpdateResult set_flags(hwaddr at, uint64_t old, uint64_t flags)
{
    hwaddr offset, len = sizeof(old);
    MemoryRegion *mr;
    uint64_t *host, seen;

    if ((old & flags) == flags) {
        return UPDATED;
    }

    RCU_READ_LOCK_GUARD();

    mr = address_space_translate(&address_space_memory, at, &offset, &len,
                                 true, MEMTXATTRS_UNSPECIFIED);
    if (!memory_access_is_direct(mr, true, MEMTXATTRS_UNSPECIFIED) ||
        len < sizeof(old)) {
        return FAILED;
    }

    host = (uint64_t *)((uint8_t *)memory_region_get_ram_ptr(mr) + offset);
    seen = qatomic_cmpxchg(host, cpu_to_le64(old), cpu_to_le64(old | flags));
    if (seen != cpu_to_le64(old)) {
        return CHANGED;
    }
    memory_region_set_dirty(mr, offset, sizeof(old));

    return UPDATED;
}

/**
 * vtd_walk_check - may a request do what it wants to?
 * @req: the request
 * @space: what it walks
 * @access: what the paging structures allow
 *
 * Return: 0, or a fault reason
 */
int vtd_walk_check(const VTDRequest *req, const VTDSpace *space,
                   const VTDAccess *access)
{
    if (!space->fs) {
        return (req->write ? access->w : access->r) ? 0 : VTD_FR_SM_SS_PERM;
    }
    if (!req->priv && !access->us) {
        return VTD_FR_FS_PAGING_ENTRY_US;
    }
    if (req->write && !access->w) {
        return VTD_FR_SM_WRITE;
    }
    if (req->exec && access->nx) {
        return VTD_FR_SM_EXEC;
    }
    return 0;
}

/* Follow the entry @pte of @at; @out has what those above it allow */
static int decode(IntelIOMMUState *s, const VTDSpace *space, uint64_t pte,
                  VTDMapping *out, bool *leaf)
{
    uint8_t level = out->level;

    *leaf = level == 1 || (pte & VTD_PT_PAGE_SIZE_MASK);

    if (space->fs) {
        if (!(pte & VTD_FL_P)) {
            return VTD_FR_FS_PAGING_ENTRY_P;
        }
        if (vtd_flpte_nonzero_rsvd(pte, level) ||
            (*leaf && level == 3 && !s->fs1gp)) {
            return VTD_FR_FS_PAGING_ENTRY_RSVD;
        }
        out->access.w &= !!(pte & VTD_FL_RW);
        out->access.us &= !!(pte & VTD_FL_US);
        out->access.nx |= space->nxe && (pte >> 63);
        out->dirty = pte & VTD_FL_D;
    } else {
        if (!(pte & VTD_SL_RW_MASK)) {
            return VTD_FR_SM_SS_PERM;
        }
        if (vtd_slpte_nonzero_rsvd(pte, level)) {
            return VTD_FR_SM_SS_RSVD;
        }
        out->access.r &= !!(pte & VTD_SL_R);
        out->access.w &= !!(pte & VTD_SL_W);
        out->dirty = true;
    }

    out->addr = pte & VTD_PT_BASE_ADDR_MASK(s->aw_bits);
    if (*leaf) {
        out->addr &= ~0ULL << (12 + (level - 1) * VTD_LEVEL_BITS);
    }
    return 0;
}

static int walk_once(IntelIOMMUState *s, const VTDRequest *req,
                     const VTDSpace *space, VTDMapping *out, bool *changed)
{
    const VTDMapping *start = vtd_cache_psc_find(s, req, space);
    uint64_t pte, table = space->root, flags;
    uint8_t level = space->levels;
    bool leaf;
    int ret;

    *out = (VTDMapping) { .access = { .r = true, .w = true, .us = true } };
    if (start) {
        out->access = start->access;
        table = start->addr;
        level = start->level - 1;
    }

    for (;; level--) {
        out->level = level;
        out->pte_at = table + extract64(req->addr,
                                        12 + (level - 1) * VTD_LEVEL_BITS,
                                        VTD_LEVEL_BITS) * sizeof(pte);
        if (!vtd_walk_read(out->pte_at, &pte, sizeof(pte))) {
            return !space->fs ? VTD_FR_SM_SS_ACCESS :
                   level == space->levels ? VTD_FR_PASID_ENTRY_FSPTPTR_INV :
                                            VTD_FR_FS_PAGING_ENTRY_INV;
        }
        pte = le64_to_cpu(pte);

        ret = decode(s, space, pte, out, &leaf);
        if (ret) {
            return ret;
        }
        if (leaf) {
            ret = req->fresh ? 0 : vtd_walk_check(req, space, &out->access);
            if (ret) {
                return ret;
            }
        }

        if (space->fs && req->silent && !(pte & VTD_FL_A)) {
            /* It would have to be set first */
            return VTD_FR_FS_BIT_UPDATE_FAILED;
        }
        if (space->fs && !req->fresh && !req->silent) {
            flags = VTD_FL_A | (leaf && req->write ? VTD_FL_D : 0);
            switch (set_flags(out->pte_at, pte, flags)) {
            case CHANGED:
                *changed = true;
                return VTD_FR_FS_BIT_UPDATE_FAILED;
            case FAILED:
                return VTD_FR_FS_BIT_UPDATE_FAILED;
            case UPDATED:
                out->dirty |= flags & VTD_FL_D;
                break;
            }
        }
        if (leaf) {
            return 0;
        }

        if (!req->fresh) {
            vtd_cache_psc_add(s, space, req->addr, out);
        }
        table = out->addr;
    }
}

/**
 * vtd_walk - find the translation of an address
 * @s: IOMMU
 * @req: the request; if it is not fresh, the walk starts from what the
 *       paging-structure caches hold, fills them, and marks entries accessed
 * @space: the paging structures
 * @out: the translation (out)
 *
 * Return: 0, or a fault reason
 */
int vtd_walk(IntelIOMMUState *s, const VTDRequest *req, const VTDSpace *space,
             VTDMapping *out)
{
    bool changed;
    int ret, i;

    if (space->fs) {
        if (sextract64(req->addr, 0, 48) != (int64_t)req->addr) {
            return VTD_FR_FS_NON_CANONICAL;
        }
    } else if (req->addr >> MIN(s->aw_bits, 12 + space->levels * 9)) {
        return VTD_FR_SM_MGAW;
    }

    for (i = 0; i < MAX_RESTARTS; i++) {
        changed = false;
        ret = walk_once(s, req, space, out, &changed);
        if (!changed) {
            break;
        }
    }
    return ret;
}
