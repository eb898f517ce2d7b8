/*
 * VT-d: what shared virtual addressing needs
 *
 * With the property svm set, requests in scalable mode take the path in this
 * file instead of that of the base model: through caches that keep what
 * hardware may keep (intel_iommu_cache.c), to the walk in intel_iommu_walk.c.
 * Page requests are in intel_iommu_prq.c, the invalidation queue is in
 * intel_iommu_inval.c. Legacy mode is left to the base model.
 *
 * Limits: no nested translation, no first stage of five levels, no supervisor
 * or execute requests (ECAP.SRS and ERS are 0), no second-stage Accessed and
 * Dirty bits, and first-stage entries are never shared as global.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "migration/blocker.h"
#include "trace.h"
#include "hw/i386/x86-iommu.h"
#include "hw/misc/iommu-flight.h"
#include "hw/misc/iommu-stats.h"
#include "intel_iommu_sva.h"

#define CE_FPD          (1ULL << 1)
#define CE_DTE          (1ULL << 2)
#define CE_PASIDE       (1ULL << 3)
#define CE_PRE          (1ULL << 4)

/*
 * Reserved, or so because of what ECAP does not report: execute permission
 * and Accessed and Dirty bits of the second stage (ERS, SSADS); all of word 1
 * but DID, PWSNP and PGSNP (MTS); SRE, ERE, WPE, SMEP and EAFE (SRS, ERS,
 * EAFS).
 */
#define PE0_RSVD        0xe20ULL
#define PE1_RSVD        0xfffffffffe7f0000ULL
#define PE2_RSVD        0xfd3ULL
#define PE2_FLPM        (3ULL << 2)
#define PE2_NXE         (1ULL << 5)

/* Set-up */

static bool register_stats(IntelIOMMUState *s, Error **errp)
{
    static const struct {
        uint8_t reason;
        const char *name;
    } evts[] = {
        { VTD_FR_SM_ROOT_P, "evt.root_p" },
        { VTD_FR_SM_CE_P, "evt.ctx_p" },
        { VTD_FR_SM_CE_RSVD, "evt.ctx_rsvd" },
        { VTD_FR_SM_CE_DTE, "evt.ctx_dte" },
        { VTD_FR_SM_CE_PASIDE, "evt.ctx_paside" },
        { VTD_FR_SM_PASID_BOUND, "evt.pasid_bound" },
        { VTD_FR_SM_CE_PRE, "evt.ctx_pre" },
        { VTD_FR_SM_RID_PASID, "evt.rid_pasid" },
        { VTD_FR_PASID_DIR_ENTRY_P, "evt.pasid_dir_p" },
        { VTD_FR_PASID_ENTRY_P, "evt.pasid_p" },
        { VTD_FR_SM_PE_RSVD, "evt.pasid_rsvd" },
        { VTD_FR_PASID_TABLE_ENTRY_INV, "evt.pasid_inv" },
        { VTD_FR_SM_PE_ERE, "evt.pasid_ere" },
        { VTD_FR_SM_PE_SRE, "evt.pasid_sre" },
        { VTD_FR_FS_PAGING_ENTRY_INV, "evt.fs_access" },
        { VTD_FR_FS_PAGING_ENTRY_P, "evt.fs_p" },
        { VTD_FR_FS_PAGING_ENTRY_RSVD, "evt.fs_rsvd" },
        { VTD_FR_PASID_ENTRY_FSPTPTR_INV, "evt.fs_root" },
        { VTD_FR_SM_SS_ACCESS, "evt.ss_access" },
        { VTD_FR_SM_SS_PERM, "evt.ss_perm" },
        { VTD_FR_SM_SS_RSVD, "evt.ss_rsvd" },
        { VTD_FR_FS_NON_CANONICAL, "evt.fs_canonical" },
        { VTD_FR_FS_PAGING_ENTRY_US, "evt.fs_us" },
        { VTD_FR_SM_MGAW, "evt.mgaw" },
        { VTD_FR_SM_WRITE, "evt.fs_write" },
        { VTD_FR_SM_INTERRUPT_ADDR, "evt.int_addr" },
        { VTD_FR_FS_BIT_UPDATE_FAILED, "evt.fs_ad" },
    };
    VTDSVA *sva = s->sva;
    const IOMMUStat more[] = {
        { "cmd.context", &sva->cmd[VTD_INV_DESC_CC] },
        { "cmd.iotlb", &sva->cmd[VTD_INV_DESC_IOTLB] },
        { "cmd.dev_tlb", &sva->cmd[VTD_INV_DESC_DEVICE] },
        { "cmd.iec", &sva->cmd[VTD_INV_DESC_IEC] },
        { "cmd.wait", &sva->cmd[VTD_INV_DESC_WAIT] },
        { "cmd.fence", &sva->cmd_fence },
        { "cmd.piotlb", &sva->cmd[VTD_INV_DESC_PIOTLB] },
        { "cmd.pasid", &sva->cmd[VTD_INV_DESC_PC] },
        { "cmd.dev_ptlb", &sva->cmd[VTD_INV_DESC_DEV_PIOTLB] },
        { "cmd.response", &sva->cmd[VTD_INV_DESC_PGRESP] },
        { "drain.done", &sva->cmd_drain },
        { "dev_tlb.early", &sva->cmd_early },
        { "dev_tlb.timeout", &sva->cmd_timeout },
        { "cmd.bad", &sva->cmd_bad },
        { "evt.lost", &sva->evt_lost },
        { "frcd.pending", &sva->frcd_pending },
        { "frcd.several", &sva->frcd_several },
        { "ctx.hit", &sva->ctx_hit },
        { "ctx.miss", &sva->ctx_miss },
        { "pasid.hit", &sva->pasid_hit },
        { "pasid.miss", &sva->pasid_miss },
        { "pasid.ahead", &sva->pasid_ahead },
        { "pasid.torn", &sva->pasid_torn },
        { "tlb.hit", &sva->tlb_hit },
        { "tlb.miss", &sva->tlb_miss },
        { "tlb.full", &sva->tlb_full },
        { "tlb.ahead", &sva->tlb_ahead },
        { "psc.hit", &sva->psc_hit },
        { "psc.miss", &sva->psc_miss },
        { "stale.tlb", &sva->stale_tlb },
        { "stale.cfg", &sva->stale_cfg },
        { "stale.psc", &sva->stale_psc },
        { "left.ctx", &sva->left_ctx },
        { "left.pasid", &sva->left_pasid },
        { "left.tlb", &sva->left_tlb },
        { "left.psc", &sva->left_psc },
        { "late.tlb", &sva->late_tlb },
        { "late.cfg", &sva->late_cfg },
        { "conflict.tlb", &sva->conflict_tlb },
        { "watch.pages", &sva->watch_pages },
        { "watch.full", &sva->watch_full },
        { "ats.ok", &sva->ats_ok },
        { "ats.fault", &sva->ats_fault },
        { "prq.queued", &sva->prq_queued },
        { "prq.overflow", &sva->prq_overflow },
        { "prq.refused", &sva->prq_refused },
        { "prq.now", &sva->prq_now },
        { "prq.max", &sva->prq_peak },
        { "prq.untracked", &sva->prq_untracked },
        { "prq.late", &sva->prq_late },
        { "resp.success", &sva->resp_success },
        { "resp.invalid", &sva->resp_invalid },
        { "resp.failure", &sva->resp_failure },
        { "resp.unknown", &sva->resp_unknown },
        { "resp.auto", &sva->resp_auto },
        { "resp.aborted", &sva->resp_aborted },
        { "resp.unfenced", &sva->resp_unfenced },
    };
    g_autoptr(GArray) stats = g_array_new(false, false, sizeof(IOMMUStat));
    int i;

    for (i = 0; i < ARRAY_SIZE(evts); i++) {
        IOMMUStat stat = { evts[i].name, &sva->evt[evts[i].reason] };

        g_array_append_val(stats, stat);
    }
    g_array_append_vals(stats, more, ARRAY_SIZE(more));
    if (!iommu_stats_register(OBJECT(s), "vtd.", (IOMMUStat *)stats->data,
                              stats->len, errp)) {
        return false;
    }
    iommu_stats_set_audit(OBJECT(s), vtd_cache_audit, s);
    return true;
}

void vtd_sva_cap_init(IntelIOMMUState *s)
{
    s->ecap |= VTD_ECAP_SLTS | VTD_ECAP_PRS | VTD_ECAP_NWFS | VTD_ECAP_PDS |
               VTD_ECAP_SMPWC | VTD_ECAP_PSS(19);
}

void vtd_sva_reset(IntelIOMMUState *s)
{
    vtd_sync_reset(s);
    vtd_cache_reset(s);
    vtd_watch_check(s);
    vtd_prq_reset(s);
}

/* Do requests take the path in this file? */
bool vtd_sva_active(IntelIOMMUState *s)
{
    return s->sva && s->dmar_enabled && s->root_scalable;
}

/* Faults */

/**
 * vtd_sva_fault - record a fault
 * @s: IOMMU
 * @req: the request that is blocked
 * @reason: why
 */
void vtd_sva_fault(IntelIOMMUState *s, const VTDRequest *req, int reason)
{
    bool pp = req->pasid != PCI_NO_PASID;

    s->sva->evt[reason]++;
    trace_vtd_sva_fault(req->sid, req->pasid, req->addr, req->write, reason);

    if (!vtd_report_frcd_fault(s, req->sid,
                               VTD_FRCD_SID(req->sid) | VTD_FRCD_FR(reason) |
                               (pp ? VTD_FRCD_PV(req->pasid) : 0) |
                               VTD_FRCD_PP(pp) |
                               (uint64_t)(pp && req->exec) << 30 |
                               (uint64_t)(pp && req->priv) << 29 |
                               (req->write ? 0 : VTD_FRCD_T),
                               VTD_FRCD_FI(req->addr))) {
        s->sva->evt_lost++;
    }
}

/* Faults that a page request may cure: an ATS request does not record them */
static bool is_recoverable(int reason)
{
    switch (reason) {
    case VTD_FR_FS_PAGING_ENTRY_P:
    case VTD_FR_FS_PAGING_ENTRY_US:
    case VTD_FR_SM_WRITE:
    case VTD_FR_SM_EXEC:
    case VTD_FR_SM_SS_PERM:
        return true;
    default:
        return false;
    }
}

/* Requests */

/**
 * vtd_sva_decode_pasid - decode a PASID-table entry (VT-d 9.6)
 * @s: IOMMU
 * @pasid: whose it is
 * @pe: the entry
 * @space: what it says (out)
 *
 * Return: 0, or a fault reason
 */
int vtd_sva_decode_pasid(IntelIOMMUState *s, uint32_t pasid,
                         const VTDPASIDEntry *pe, VTDSpace *space)
{
    *space = (VTDSpace) {
        .did = VTD_SM_PASID_ENTRY_DID(pe->val[1]),
        .pasid = pasid,
    };

    if ((pe->val[0] & PE0_RSVD) || (pe->val[1] & PE1_RSVD) ||
        (pe->val[2] & PE2_RSVD) || pe->val[3] || pe->val[4] || pe->val[5] ||
        pe->val[6] || pe->val[7]) {
        return VTD_FR_SM_PE_RSVD;
    }

    switch (pe->val[0] & VTD_SM_PASID_ENTRY_PGTT) {
    case VTD_SM_PASID_ENTRY_FLT:
        if (pe->val[2] & PE2_FLPM) {
            return VTD_FR_PASID_TABLE_ENTRY_INV;
        }
        space->fs = true;
        space->levels = 4;
        space->nxe = pe->val[2] & PE2_NXE;
        space->root = pe->val[2] & VTD_SM_PASID_ENTRY_FLPTPTR;
        return space->root >> s->aw_bits ? VTD_FR_PASID_ENTRY_FSPTPTR_INV : 0;
    case VTD_SM_PASID_ENTRY_SLT:
        space->levels = 2 + extract64(pe->val[0], 2, 3);
        space->root = pe->val[0] & VTD_SM_PASID_ENTRY_SLPTPTR;
        if (space->levels < 3 || space->levels > 4 ||
            12 + space->levels * 9 > s->aw_bits) {
            return VTD_FR_PASID_TABLE_ENTRY_INV;
        }
        return space->root >> s->aw_bits ? VTD_FR_SM_SS_PTR : 0;
    case VTD_SM_PASID_ENTRY_PT:
        space->pass = true;
        return s->ecap & VTD_ECAP_PT ? 0 : VTD_FR_PASID_TABLE_ENTRY_INV;
    default:
        return VTD_FR_PASID_TABLE_ENTRY_INV;
    }
}

/* Find the context entry of a request: 0 or a fault reason */
static int find_context(IntelIOMMUState *s, const VTDRequest *req,
                        VTDContextEntry *ce, bool *fpd)
{
    int ret = vtd_cache_context(s, req, ce);

    *fpd = (!ret || ret == VTD_FR_SM_CE_P) && (ce->lo & CE_FPD);
    return ret;
}

/* Find what selects the tables that a request walks: 0 or a fault reason */
static int find_tables(IntelIOMMUState *s, const VTDRequest *req,
                       const VTDContextEntry *ce, VTDSpace *space, bool *fpd)
{
    uint32_t pasid = req->pasid;
    int ret;

    if (pasid == PCI_NO_PASID) {
        pasid = ce->val[1] & VTD_SM_CONTEXT_ENTRY_RID2PASID_MASK;
    } else if (!(ce->lo & CE_PASIDE)) {
        return VTD_FR_SM_CE_PASIDE;
    }

    ret = vtd_cache_pasid(s, req, pasid, ce, space, fpd);
    if (!ret && req->priv) {
        ret = VTD_FR_SM_PE_SRE;
    }
    if (!ret && req->exec) {
        ret = VTD_FR_SM_PE_ERE;
    }
    return ret;
}

static int find_space(IntelIOMMUState *s, const VTDRequest *req,
                      VTDSpace *space, bool *fpd)
{
    VTDContextEntry ce = {};
    int ret = find_context(s, req, &ce, fpd);

    if (!ret && req->ats && !(ce.lo & CE_DTE)) {
        ret = VTD_FR_SM_CE_DTE;
    }
    return ret ? ret : find_tables(s, req, &ce, space, fpd);
}

/**
 * vtd_sva_space - find the tables of a PASID as memory is now
 * @s: IOMMU
 * @sid: requester ID that it is for
 * @pasid: the PASID, or PCI_NO_PASID
 * @space: the tables (out)
 *
 * Return: false if there are none
 */
bool vtd_sva_space(IntelIOMMUState *s, uint16_t sid, uint32_t pasid,
                   VTDSpace *space)
{
    const VTDRequest req = {
        .sid = sid, .pasid = pasid, .ats = true, .fresh = true,
    };
    bool fpd;

    if (!vtd_sva_active(s)) {
        return false;
    }
    QEMU_LOCK_GUARD(&s->sva->lock);
    return !find_space(s, &req, space, &fpd);
}

/**
 * vtd_sva_held_space - find the tables that a request would be translated with
 * @s: IOMMU
 * @sid: requester ID of the request
 * @pasid: its PASID, or PCI_NO_PASID
 * @space: the tables (out)
 *
 * The PASID entry may be one that is cached, and not in memory any more.
 *
 * Return: false if there are none
 */
bool vtd_sva_held_space(IntelIOMMUState *s, uint16_t sid, uint32_t pasid,
                        VTDSpace *space)
{
    const VTDPASIDEntry *pe;

    if (!vtd_sva_active(s)) {
        return false;
    }
    WITH_QEMU_LOCK_GUARD(&s->sva->lock) {
        pe = vtd_cache_held_pasid(s, sid, pasid);
        if (pe) {
            return !vtd_sva_decode_pasid(s, pasid, pe, space);
        }
    }
    return vtd_sva_space(s, sid, pasid, space);
}

/* Translate a request: 0 or a fault reason */
static int translate(IntelIOMMUState *s, const VTDRequest *req,
                     IOMMUTLBEntry *out, bool *fpd)
{
    const VTDMapping *hit = NULL;
    VTDMapping mapping;
    VTDSpace space;
    uint64_t mask;
    int ret;

    *out = (IOMMUTLBEntry) {
        .target_as = &address_space_memory,
        .iova = req->addr & VTD_PAGE_MASK_4K,
        .translated_addr = req->addr & VTD_PAGE_MASK_4K,
        .addr_mask = ~VTD_PAGE_MASK_4K,
        .perm = IOMMU_RW,
        .pasid = req->pasid,
    };

    QEMU_LOCK_GUARD(&s->sva->lock);

    if (s->strict && !req->fresh && !req->silent) {
        vtd_sync_note_request(s, req);
    }

    ret = find_space(s, req, &space, fpd);
    if (ret) {
        return ret;
    }
    if (space.pass) {
        return vtd_is_msi_addr(req->addr, 0) ? VTD_FR_SM_INTERRUPT_ADDR : 0;
    }

    if (!req->fresh) {
        hit = vtd_cache_tlb_find(s, req, &space);
    }
    if (hit) {
        mapping = *hit;
    } else {
        ret = vtd_walk(s, req, &space, &mapping);
        if (ret) {
            return ret;
        }
    }

    /* A device cannot tell whether a translation is a supervisor's alone */
    if (req->fresh && space.fs && !mapping.access.us) {
        return VTD_FR_FS_PAGING_ENTRY_US;
    }

    mask = (1ULL << (12 + (mapping.level - 1) * VTD_LEVEL_BITS)) - 1;
    if (vtd_is_msi_addr(mapping.addr, mask)) {
        return VTD_FR_SM_INTERRUPT_ADDR;
    }
    if (!hit && !req->fresh) {
        vtd_cache_tlb_add(s, &space, req->addr, &mapping);
        if (!req->silent) {
            vtd_cache_tlb_prefetch(s, req, &space, &mapping);
        }
    }

    out->iova = req->addr & ~mask;
    out->translated_addr = mapping.addr;
    out->addr_mask = mask;
    /* No permission to execute: ECAP.ERS is 0 */
    out->perm = IOMMU_ACCESS_FLAG(mapping.access.r, mapping.access.w);
    if (req->fresh && !mapping.dirty) {
        out->perm |= IOMMU_PEEK_CLEAN;
    }
    return 0;
}

/* Fill the caches as a request would, which is silent */
void vtd_sva_fetch(IntelIOMMUState *s, const VTDRequest *req)
{
    IOMMUTLBEntry out;
    bool fpd;

    translate(s, req, &out, &fpd);
}

/* Translate an untranslated request; a fault is recorded */
static bool untranslated(IntelIOMMUState *s, const VTDRequest *req,
                         IOMMUTLBEntry *out)
{
    bool fpd;
    int ret;

    if (req->pasid == PCI_NO_PASID && vtd_is_msi_addr(req->addr, 0)) {
        /* No access to memory, and too long for an interrupt request */
        fpd = false;
        ret = VTD_FR_SM_INTERRUPT_ADDR;
    } else {
        ret = translate(s, req, out, &fpd);
    }
    trace_vtd_sva_translate(req->sid, req->pasid, req->addr, req->write, ret,
                            ret ? 0 : out->translated_addr);
    if (ret && !fpd) {
        vtd_sva_fault(s, req, ret);
    }
    return !ret;
}

/* A request of a device that knows only its address space */
bool vtd_sva_translate_mr(VTDAddressSpace *as, hwaddr addr, bool write,
                          IOMMUTLBEntry *entry)
{
    const VTDRequest req = {
        .sid = PCI_BUILD_BDF(pci_bus_num(as->bus), as->devfn),
        .pasid = as->pasid,
        .addr = addr,
        .write = write,
    };

    if (untranslated(as->iommu_state, &req, entry)) {
        return true;
    }

    entry->perm = IOMMU_NONE;
    return false;
}

static void identity(hwaddr addr, IOMMUTLBEntry *out)
{
    *out = (IOMMUTLBEntry) {
        .target_as = &address_space_memory,
        .iova = addr & VTD_PAGE_MASK_4K,
        .translated_addr = addr & VTD_PAGE_MASK_4K,
        .addr_mask = ~VTD_PAGE_MASK_4K,
        .perm = IOMMU_RW,
        .pasid = PCI_NO_PASID,
    };
}

/* Outside scalable mode: as the base model does, and PASIDs mean nothing */
static int inactive(IntelIOMMUState *s, PCIBus *bus, int devfn, uint32_t pasid,
                    hwaddr addr, bool write, IOMMUTLBEntry *out)
{
    VTDAddressSpace *as;
    IOMMUMemoryRegionClass *imrc;

    if (pasid != PCI_NO_PASID) {
        return -EFAULT;
    }
    if (!s->dmar_enabled) {
        identity(addr, out);
        return 0;
    }
    if (vtd_is_msi_addr(addr, 0)) {
        return -EFAULT;
    }
    as = vtd_find_add_as(s, bus, devfn, PCI_NO_PASID);
    imrc = memory_region_get_iommu_class_nocheck(&as->iommu);
    *out = imrc->translate(&as->iommu, addr, write ? IOMMU_WO : IOMMU_RO, 0);
    return out->perm & (write ? IOMMU_WO : IOMMU_RO) ? 0 : -EFAULT;
}

static int vtd_sva_translate(PCIBus *bus, void *opaque, int devfn,
                             uint32_t pasid, bool priv, bool exec, hwaddr addr,
                             IOMMUAccessFlags access, IOMMUTLBEntry *out,
                             PCISVAWaiter *waiter)
{
    IntelIOMMUState *s = opaque;
    const VTDRequest req = {
        .sid = PCI_BUILD_BDF(pci_bus_num(bus), devfn),
        .pasid = pasid,
        .addr = addr,
        .write = access & IOMMU_WO,
        .priv = priv,
        .exec = exec,
    };

    if (!vtd_sva_active(s)) {
        return inactive(s, bus, devfn, pasid, addr, req.write, out);
    }
    return untranslated(s, &req, out) ? 0 : -EFAULT;
}

static int vtd_sva_peek(PCIBus *bus, void *opaque, int devfn, uint32_t pasid,
                        hwaddr addr, IOMMUTLBEntry *out)
{
    IntelIOMMUState *s = opaque;
    const VTDRequest req = {
        .sid = PCI_BUILD_BDF(pci_bus_num(bus), devfn),
        .pasid = pasid,
        .addr = addr,
        .fresh = true,
    };
    bool fpd;

    if (!s->dmar_enabled && pasid == PCI_NO_PASID) {
        identity(addr, out);
        return 0;
    }
    if (!vtd_sva_active(s)) {
        return -EFAULT;
    }
    return translate(s, &req, out, &fpd) ? -EFAULT : 0;
}

/* May a function use translated addresses? They are not looked at further */
static bool vtd_sva_check_translated(PCIBus *bus, void *opaque, int devfn,
                                     uint32_t pasid, hwaddr addr)
{
    IntelIOMMUState *s = opaque;
    const VTDRequest req = {
        .sid = PCI_BUILD_BDF(pci_bus_num(bus), devfn),
        .pasid = pasid,
        .addr = addr,
    };
    VTDContextEntry ce = {};
    bool fpd;
    int ret;

    if (!vtd_sva_active(s)) {
        return false;
    }
    WITH_QEMU_LOCK_GUARD(&s->sva->lock) {
        ret = find_context(s, &req, &ce, &fpd);
    }
    if (!ret && !(ce.lo & CE_DTE)) {
        ret = VTD_FR_SM_CE_DTE;
    }
    if (!ret && vtd_is_msi_addr(addr, 0)) {
        ret = VTD_FR_SM_INTERRUPT_ADDR;
    }
    if (ret && !fpd) {
        vtd_sva_fault(s, &req, ret);
    }
    return !ret;
}

/**
 * vtd_sva_check_pri - may a function ask for pages?
 * @s: IOMMU
 * @req: what it asks for
 * @space: the tables it means, if it may (out)
 * @fpd: whether a fault is not to be recorded (out)
 *
 * Return: 0, or a fault reason
 */
int vtd_sva_check_pri(IntelIOMMUState *s, const VTDRequest *req,
                      VTDSpace *space, bool *fpd)
{
    VTDRequest tags = *req;
    VTDContextEntry ce = {};
    bool tables_fpd = false;
    int ret;

    if (!vtd_sva_active(s)) {
        *fpd = true;
        return VTD_FR_SM_CE_PRE;
    }

    QEMU_LOCK_GUARD(&s->sva->lock);

    ret = find_context(s, req, &ce, fpd);
    if (ret) {
        return ret;
    }
    if (!(ce.lo & CE_PRE)) {
        return VTD_FR_SM_CE_PRE;
    }
    if (req->pasid != PCI_NO_PASID && !(ce.lo & CE_PASIDE)) {
        return VTD_FR_SM_CE_PASIDE;
    }
    /*
     * The tables are software's business, but their tags are needed. Software
     * may be changing them, as a request takes its time: that is no stale hit.
     */
    tags.silent = true;
    if (find_tables(s, &tags, &ce, space, &tables_fpd)) {
        space->fs = false;
    }
    return 0;
}

/* Answer for one page */
static void ats_one(IntelIOMMUState *s, VTDRequest *req, bool no_write,
                    IOMMUTLBEntry *out)
{
    bool fpd;
    int ret;

    /* What may be written is marked dirty now: its use will not be seen */
    req->write = !no_write;
    ret = translate(s, req, out, &fpd);
    if (req->write && (ret == VTD_FR_SM_WRITE || ret == VTD_FR_SM_SS_PERM)) {
        req->write = false;
        ret = translate(s, req, out, &fpd);
    }

    if (!ret) {
        s->sva->ats_ok++;
        if (!req->write) {
            out->perm &= ~IOMMU_WO;
        }
        if (req->priv) {
            out->perm |= IOMMU_PRIV;
        }
    } else {
        s->sva->ats_fault++;
        out->iova = req->addr & VTD_PAGE_MASK_4K;
        out->translated_addr = 0;
        out->addr_mask = ~VTD_PAGE_MASK_4K;
        out->perm = IOMMU_NONE;
        if (!is_recoverable(ret) && !fpd) {
            vtd_sva_fault(s, req, ret);
        }
    }
    trace_vtd_sva_ats(req->sid, req->pasid, req->addr, out->perm, ret,
                      out->translated_addr);
}

static ssize_t vtd_sva_ats_request(PCIBus *bus, void *opaque, int devfn,
                                   uint32_t pasid, bool priv_req,
                                   bool exec_req, hwaddr addr, size_t length,
                                   bool no_write, IOMMUTLBEntry *result,
                                   size_t result_length, uint32_t *err_count)
{
    IntelIOMMUState *s = opaque;
    IOMMUAccessFlags want = IOMMU_RO | (no_write ? 0 : IOMMU_WO) |
                            (exec_req ? IOMMU_EXEC : 0);
    VTDRequest req = {
        .sid = PCI_BUILD_BDF(pci_bus_num(bus), devfn),
        .pasid = pasid,
        .addr = addr & VTD_PAGE_MASK_4K,
        .priv = priv_req,
        .exec = exec_req,
        .ats = true,
    };
    hwaddr last = addr + MAX(length, 1) - 1;
    IOMMUTLBEntry *out;
    ssize_t n;

    *err_count = 0;
    if (last < addr) {
        last = HWADDR_MAX;
    }

    for (n = 0; n < result_length; n++) {
        out = &result[n];
        if (vtd_sva_active(s)) {
            ats_one(s, &req, no_write, out);
        } else {
            /* Translation requests are unsupported then */
            s->sva->ats_fault++;
            identity(req.addr, out);
            out->perm = IOMMU_NONE;
        }
        if ((out->perm & want) != want) {
            (*err_count)++;
        }
        if ((out->iova | out->addr_mask) >= last) {
            return n + 1;
        }
        req.addr = (out->iova | out->addr_mask) + 1;
    }
    return -ENOMEM;
}

static void vtd_sva_iotlb_info(void *opaque, uint8_t *addr_width,
                               uint32_t *min_page_size)
{
    IntelIOMMUState *s = opaque;

    *addr_width = s->aw_bits;
    *min_page_size = VTD_PAGE_SIZE;
}

static void vtd_sva_init_notifier(PCIBus *bus, void *opaque, int devfn,
                                  IOMMUNotifier *n, IOMMUNotify fn,
                                  void *user_opaque)
{
    iommu_notifier_init(n, fn, IOMMU_NOTIFIER_DEVIOTLB_EVENTS, 0, HWADDR_MAX,
                        0);
    n->opaque = user_opaque;
}

static void add_ops(PCIIOMMUOps *ops)
{
    ops->get_iotlb_info = vtd_sva_iotlb_info;
    ops->init_iotlb_notifier = vtd_sva_init_notifier;
    ops->register_iotlb_notifier = vtd_prq_register_iotlb_notifier;
    ops->unregister_iotlb_notifier = vtd_prq_unregister_iotlb_notifier;
    ops->ats_request_translation = vtd_sva_ats_request;
    ops->pri_register_notifier = vtd_prq_register_notifier;
    ops->pri_unregister_notifier = vtd_prq_unregister_notifier;
    ops->pri_request_page = vtd_prq_request_page;
    ops->sva_translate = vtd_sva_translate;
    ops->sva_peek = vtd_sva_peek;
    ops->sva_check_translated = vtd_sva_check_translated;
}

/**
 * vtd_sva_realize - set up what the property svm asks for
 * @s: IOMMU
 * @ops: what devices may ask of it; grows (in, out)
 * @errp: why it cannot be had
 *
 * Return: false on error
 */
bool vtd_sva_realize(IntelIOMMUState *s, PCIIOMMUOps *ops, Error **errp)
{
    if (!s->scalable_mode || !s->flts || !s->pasid ||
        !X86_IOMMU_DEVICE(s)->dt_supported) {
        error_setg(errp, "svm needs x-scalable-mode, x-flts, x-pasid-mode and "
                   "device-iotlb");
        return false;
    }
    if (s->caching_mode) {
        error_setg(errp, "svm excludes caching-mode");
        return false;
    }
    if (!s->strict_size) {
        error_setg(errp, "x-strict-size must not be 0");
        return false;
    }

    error_setg(&s->migration_blocker,
               "intel-iommu cannot be migrated with svm on");
    if (migrate_add_blocker(&s->migration_blocker, errp) < 0) {
        return false;
    }

    s->sva = g_new0(VTDSVA, 1);
    vtd_cache_init(s);
    vtd_sync_init(s);
    vtd_prq_init(s);
    add_ops(ops);
    return register_stats(s, errp);
}
