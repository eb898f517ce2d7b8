/*
 * VT-d: the invalidation queue, where requests go through strict caches
 *
 * Invalidations and responses take effect as intel_iommu_sync.c has it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "trace.h"
#include "hw/i386/pc.h"
#include "hw/misc/iommu-flight.h"
#include "intel_iommu_sva.h"

#define MAMV 18

#define GRANULARITY(desc)   extract64((desc)->val[0], 4, 2)

static bool is_zero(const VTDInvDesc *desc, uint64_t rsvd0, uint64_t rsvd1)
{
    return !(desc->val[0] & rsvd0) && !(desc->val[1] & rsvd1);
}

/* The function mask of a context-cache invalidation */
static uint16_t sid_mask(unsigned int fm)
{
    static const uint16_t masked[] = { 0, 4, 6, 7 };

    return ~masked[fm];
}

static bool context_desc(IntelIOMMUState *s, VTDInvDesc *desc)
{
    VTDInval inv = {
        .sid = VTD_INV_DESC_CC_SID(desc->lo),
        .sid_mask = sid_mask(VTD_INV_DESC_CC_FM(desc->lo)),
    };

    if (!is_zero(desc, VTD_INV_DESC_CC_RSVD, ~0ULL)) {
        return false;
    }
    switch (GRANULARITY(desc)) {
    case 1:
    case 2: /* entries of scalable mode have no domain id to select them by */
        inv.kind = VTD_INVAL_CTX_ALL;
        break;
    case 3:
        inv.kind = VTD_INVAL_CTX_SID;
        break;
    default:
        return false;
    }
    vtd_sync_inval(s, &inv, 0);
    return true;
}

static bool pages(VTDInval *inv, uint64_t addr, unsigned int am, bool ih)
{
    inv->mask = (1ULL << (12 + MIN(am, MAMV))) - 1;
    inv->addr = addr & ~inv->mask;
    inv->ih = ih;
    return am <= MAMV;
}

static bool iotlb_desc(IntelIOMMUState *s, VTDInvDesc *desc)
{
    VTDInval inv = { .did = VTD_INV_DESC_IOTLB_DID(desc->lo) };

    if (!is_zero(desc, VTD_INV_DESC_IOTLB_RSVD_LO,
                 VTD_INV_DESC_IOTLB_RSVD_HI)) {
        return false;
    }
    switch (GRANULARITY(desc)) {
    case 1:
        inv.kind = VTD_INVAL_TLB_ALL;
        break;
    case 2:
        inv.kind = VTD_INVAL_TLB_DID;
        break;
    case 3:
        inv.kind = VTD_INVAL_TLB_PAGES;
        if (!pages(&inv, desc->hi, VTD_INV_DESC_IOTLB_AM(desc->hi),
                   extract64(desc->hi, 6, 1))) {
            return false;
        }
        break;
    default:
        return false;
    }
    /* DW and DR: writes and reads that were translated before (6.5.2.3) */
    vtd_sync_inval(s, &inv,
                   (extract64(desc->lo, 6, 1) ? IOMMU_FLIGHT_WRITE : 0) |
                   (extract64(desc->lo, 7, 1) ? IOMMU_FLIGHT_READ : 0));
    return true;
}

static bool piotlb_desc(IntelIOMMUState *s, VTDInvDesc *desc)
{
    VTDInval inv = {
        .did = VTD_INV_DESC_PIOTLB_DID(desc->val[0]),
        .pasid = VTD_INV_DESC_PIOTLB_PASID(desc->val[0]),
    };

    if (!is_zero(desc, VTD_INV_DESC_PIOTLB_RSVD_VAL0,
                 VTD_INV_DESC_PIOTLB_RSVD_VAL1)) {
        return false;
    }
    switch (GRANULARITY(desc)) {
    case 2:
        inv.kind = VTD_INVAL_PTLB_ALL;
        break;
    case 3:
        inv.kind = VTD_INVAL_PTLB_PAGES;
        if (!pages(&inv, desc->val[1], desc->val[1] & 0x3f,
                   VTD_INV_DESC_PIOTLB_IH(desc->val[1]))) {
            return false;
        }
        break;
    default:
        return false;
    }
    /* It drains in any case (6.5.2.4) */
    vtd_sync_inval(s, &inv, IOMMU_FLIGHT_ALL);
    return true;
}

static bool pasid_cache_desc(IntelIOMMUState *s, VTDInvDesc *desc)
{
    VTDInval inv = {
        .did = extract64(desc->val[0], 16, 16),
        .pasid = extract64(desc->val[0], 32, 20),
    };

    if (!is_zero(desc, 0xfff000000000f1c0ULL, ~0ULL)) {
        return false;
    }
    switch (GRANULARITY(desc)) {
    case 0:
        inv.kind = VTD_INVAL_PASID_DID;
        break;
    case 1:
        inv.kind = VTD_INVAL_PASID_ONE;
        break;
    case 3:
        inv.kind = VTD_INVAL_PASID_ALL;
        break;
    default:
        return false;
    }
    vtd_sync_inval(s, &inv, 0);
    return true;
}

/* The range of a device-TLB invalidation: the lowest 0 above says its size */
static void dev_range(VTDInval *inv, uint64_t addr, bool size)
{
    addr &= VTD_PAGE_MASK_4K;
    inv->mask = 0xfff;
    if (size) {
        inv->mask = (0x2000ULL << cto64(addr >> 12)) - 1;
    }
    inv->addr = addr & ~inv->mask;
}

static bool device_desc(IntelIOMMUState *s, VTDInvDesc *desc)
{
    VTDInval inv = {
        .kind = VTD_INVAL_DEV,
        .sid = VTD_INV_DESC_DEVICE_IOTLB_SID(desc->lo),
    };

    if (!is_zero(desc, VTD_INV_DESC_DEVICE_IOTLB_RSVD_LO,
                 VTD_INV_DESC_DEVICE_IOTLB_RSVD_HI)) {
        return false;
    }
    dev_range(&inv, desc->hi, VTD_INV_DESC_DEVICE_IOTLB_SIZE(desc->hi));
    vtd_sync_inval(s, &inv, 0);
    return true;
}

static bool device_piotlb_desc(IntelIOMMUState *s, VTDInvDesc *desc)
{
    VTDInval inv = {
        .kind = VTD_INV_DESC_PASID_DEVICE_IOTLB_GLOBAL(desc->hi) ?
                VTD_INVAL_DEV_GLOBAL : VTD_INVAL_DEV_PASID,
        .sid = VTD_INV_DESC_PASID_DEVICE_IOTLB_SID(desc->lo),
        .pasid = VTD_INV_DESC_PASID_DEVICE_IOTLB_PASID(desc->lo),
    };

    if (!is_zero(desc, VTD_INV_DESC_PASID_DEVICE_IOTLB_RSVD_VAL0,
                 VTD_INV_DESC_PASID_DEVICE_IOTLB_RSVD_VAL1)) {
        return false;
    }
    dev_range(&inv, desc->hi, VTD_INV_DESC_PASID_DEVICE_IOTLB_SIZE(desc->hi));
    vtd_sync_inval(s, &inv, 0);
    return true;
}

/* Is it a wait descriptor, without an error? */
static bool is_wait(IntelIOMMUState *s, const VTDInvDesc *desc)
{
    return VTD_INV_DESC_TYPE(desc->lo) == VTD_INV_DESC_WAIT &&
           !(s->iq_dw && (desc->val[2] || desc->val[3])) &&
           is_zero(desc, VTD_INV_DESC_WAIT_RSVD_LO & ~VTD_INV_DESC_WAIT_PD,
                   VTD_INV_DESC_WAIT_RSVD_HI) &&
           (desc->lo & (VTD_INV_DESC_WAIT_IF | VTD_INV_DESC_WAIT_SW |
                        VTD_INV_DESC_WAIT_FN));
}

/**
 * vtd_inval_desc - process a descriptor, as far as the base model does not
 * @s: IOMMU
 * @desc: the descriptor
 *
 * The base model processes interrupt-entry-cache descriptors. Wait descriptors
 * are checked here, and are for vtd_sync_wait().
 *
 * Return: false if it is in error
 */
bool vtd_inval_desc(IntelIOMMUState *s, VTDInvDesc *desc)
{
    unsigned int type = VTD_INV_DESC_TYPE(desc->lo);
    bool wide = type == VTD_INV_DESC_PIOTLB || type == VTD_INV_DESC_PC ||
                type == VTD_INV_DESC_DEV_PIOTLB || type == VTD_INV_DESC_PGRESP;

    if (s->iq_dw && (desc->val[2] || desc->val[3])) {
        return false;
    }
    /* VT-d 6.5.2: only a queue of 256-bit descriptors may hold these */
    if (wide && !s->iq_dw) {
        return false;
    }

    switch (type) {
    case VTD_INV_DESC_CC:
        return context_desc(s, desc);
    case VTD_INV_DESC_IOTLB:
        return iotlb_desc(s, desc);
    case VTD_INV_DESC_PIOTLB:
        return piotlb_desc(s, desc);
    case VTD_INV_DESC_PC:
        return pasid_cache_desc(s, desc);
    case VTD_INV_DESC_DEVICE:
        return device_desc(s, desc);
    case VTD_INV_DESC_DEV_PIOTLB:
        return device_piotlb_desc(s, desc);
    case VTD_INV_DESC_PGRESP:
        if (!vtd_prq_response_check(desc)) {
            return false;
        }
        vtd_sync_response(s, desc);
        return true;
    case VTD_INV_DESC_WAIT:
        return is_wait(s, desc);
    case VTD_INV_DESC_IEC:
        return true;
    default:
        return false;
    }
}

/* Registers, which act at once */

void vtd_inval_ccmd(IntelIOMMUState *s, uint64_t val)
{
    VTDInval inv = {
        .sid = VTD_CCMD_SID(val),
        .sid_mask = sid_mask(VTD_CCMD_FM(val)),
    };

    switch (val & VTD_CCMD_CIRG_MASK) {
    case VTD_CCMD_GLOBAL_INVL:
    case VTD_CCMD_DOMAIN_INVL:
        inv.kind = VTD_INVAL_CTX_ALL;
        break;
    case VTD_CCMD_DEVICE_INVL:
        inv.kind = VTD_INVAL_CTX_SID;
        break;
    default:
        return;
    }
    vtd_cache_inval(s, &inv);
}

void vtd_inval_iotlb_reg(IntelIOMMUState *s, uint64_t val, uint64_t iva)
{
    VTDInval inv = { .did = VTD_TLB_DID(val) };

    switch (val & VTD_TLB_FLUSH_GRANU_MASK) {
    case VTD_TLB_GLOBAL_FLUSH:
        inv.kind = VTD_INVAL_TLB_ALL;
        break;
    case VTD_TLB_DSI_FLUSH:
        inv.kind = VTD_INVAL_TLB_DID;
        break;
    case VTD_TLB_PSI_FLUSH:
        inv.kind = VTD_INVAL_TLB_PAGES;
        if (!pages(&inv, iva, VTD_IVA_AM(iva), extract64(iva, 6, 1))) {
            return;
        }
        break;
    default:
        return;
    }
    vtd_cache_inval(s, &inv);
}
