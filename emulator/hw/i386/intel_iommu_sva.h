/*
 * VT-d: shared virtual addressing and strict caching - internal API
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_I386_INTEL_IOMMU_SVA_H
#define HW_I386_INTEL_IOMMU_SVA_H

#include "qemu/lockable.h"
#include "hw/i386/intel_iommu.h"
#include "hw/misc/iommu-choice.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_bus.h"
#include "intel_iommu_internal.h"

/* Fault reasons of scalable mode that the base model does not know */
enum {
    VTD_FR_SM_ROOT_ACCESS = 0x38,
    VTD_FR_SM_ROOT_P = 0x39,
    VTD_FR_SM_ROOT_RSVD = 0x3a,
    VTD_FR_SM_CE_ACCESS = 0x40,
    VTD_FR_SM_CE_P = 0x41,
    VTD_FR_SM_CE_RSVD = 0x42,
    VTD_FR_SM_CE_DTE = 0x44,
    VTD_FR_SM_CE_PASIDE = 0x45,
    VTD_FR_SM_PASID_BOUND = 0x46,
    VTD_FR_SM_CE_PRE = 0x47,
    VTD_FR_SM_RID_PASID = 0x48,
    VTD_FR_SM_PDIRE_RSVD = 0x52,
    VTD_FR_SM_PE_RSVD = 0x5a,
    VTD_FR_SM_PE_ERE = 0x5c,
    VTD_FR_SM_PE_SRE = 0x5d,
    VTD_FR_SM_SS_ACCESS = 0x78,
    VTD_FR_SM_SS_PERM = 0x79,
    VTD_FR_SM_SS_RSVD = 0x7a,
    VTD_FR_SM_SS_PTR = 0x7b,
    VTD_FR_SM_EXEC = 0x82,
    VTD_FR_SM_MGAW = 0x83,
};

/* A request that enters the IOMMU */
typedef struct VTDRequest {
    uint16_t sid;
    uint32_t pasid;         /* PCI_NO_PASID if it has none */
    hwaddr addr;
    bool write;
    bool priv;
    bool exec;
    bool ats;               /* a translation request */
    bool fresh;             /* walk memory as it is, leave no trace */
    bool silent;            /* fill the caches only: nothing else shows it */
} VTDRequest;

/* Property x-wild: the liberties that strict caching takes. For tests. */
#define VTD_WILD_EARLY      (1u << 0)   /* invalidate before the wait */
#define VTD_WILD_ORDER      (1u << 1)   /* or then, in any order */
#define VTD_WILD_REFILL     (1u << 2)   /* repeat requests in between */
#define VTD_WILD_PRQ        (1u << 3)   /* page requests take their time */
#define VTD_WILD_AHEAD      (1u << 4)   /* fetch past a wait without FN */
#define VTD_WILD_ANSWER     (1u << 5)   /* devices take their time */
#define VTD_WILD_PREFETCH   (1u << 6)   /* fetch neighbours of entries, too */
#define VTD_WILD_TORN       (1u << 7)   /* read PASID entries in pieces */
#define VTD_WILD_STORES     (1u << 8)   /* fetch them between two stores */
#define VTD_WILD_EVICT      (1u << 9)   /* walk again while they change */
#define VTD_WILD_STUCK      (1u << 10)  /* some page requests take long */

/* What a paging-structure entry and those above it allow */
typedef struct VTDAccess {
    bool r;
    bool w;
    bool us;                /* first stage: user may */
    bool nx;
} VTDAccess;

/* A translation, or a pointer to the next table */
typedef struct VTDMapping {
    uint64_t addr;
    uint64_t pte_at;        /* where the entry is in memory */
    uint8_t level;          /* of the entry */
    VTDAccess access;
    bool dirty;             /* its Dirty bit is known to be set */
} VTDMapping;

/* What selects a set of paging structures, and tags all that is cached */
typedef struct VTDSpace {
    uint16_t did;
    uint32_t pasid;         /* 0 for second stage: no part of its tag */
    bool fs;                /* first stage */
    bool pass;              /* pass-through */
    bool nxe;
    uint8_t levels;
    uint64_t root;
    bool evicted;           /* what came of the entry; no part of a tag */
} VTDSpace;

/* A decoded invalidation: what, and of which */
typedef struct VTDInval {
    enum {
        VTD_INVAL_CTX_ALL,
        VTD_INVAL_CTX_SID,
        VTD_INVAL_PASID_ALL,
        VTD_INVAL_PASID_DID,
        VTD_INVAL_PASID_ONE,
        VTD_INVAL_TLB_ALL,
        VTD_INVAL_TLB_DID,
        VTD_INVAL_TLB_PAGES,
        VTD_INVAL_PTLB_ALL,
        VTD_INVAL_PTLB_PAGES,
        VTD_INVAL_DEV,          /* from here on: not of our caches */
        VTD_INVAL_DEV_PASID,
        VTD_INVAL_DEV_GLOBAL,
    } kind;
    uint16_t did;
    uint16_t sid;
    uint16_t sid_mask;
    uint32_t pasid;
    uint64_t addr;
    uint64_t mask;          /* of the bits that an address may differ in */
    bool ih;                /* paging structures need not be dropped */
} VTDInval;

/* A PASID that is drained, by the recipe of VT-d 7.10 */
typedef struct VTDDrain {
    uint16_t did;
    uint32_t pasid;
    uint16_t sid[8];        /* of device-TLB invalidations behind it */
    uint32_t nr_sids;
} VTDDrain;

/* Addresses, as an invalidation has them */
typedef struct VTDPages {
    uint64_t addr;
    uint64_t mask;
} VTDPages;

/* Accesses in flight that a wait descriptor waits for */
typedef struct VTDMark {
    uint64_t reads;
    uint64_t writes;
} VTDMark;

typedef struct VTDNotifier VTDNotifier;
typedef struct VTDResponse VTDResponse;
typedef struct VTDFetched VTDFetched;
typedef struct VTDPageRequest VTDPageRequest;

/*
 * Protected by the BQL, but for the caches: DMA of devices that know only
 * their address space comes from I/O threads, too.
 */
struct VTDSVA {
    QemuMutex lock;         /* of the five caches; taken last */
    IOMMUChoice prefetch_choice, torn_choice, evict_choice;
    GHashTable *ctx;        /* uint16 SID -> VTDHeldContext */
    GHashTable *pdires;     /* SID, PASID >> 6 -> VTDHeldDir */
    GHashTable *pasids;     /* SID, PASID -> VTDHeldPASID */
    GTree *tlb;             /* VTDTag -> VTDEntry, of a page */
    GTree *psc;             /* VTDTag -> VTDEntry, of a table */
    QTAILQ_HEAD(, VTDFetched) fetched;  /* descriptors, not complete */
    uint32_t nr_deferred;   /* invalidations of them */
    uint32_t nr_responses;
    uint32_t nr_waits;
    bool blocked;           /* the queue stops at a wait descriptor */
    bool running;
    VTDMark flight_mark;    /* of accesses that the next one waits for */
    int64_t settled_ns;     /* what differed then is invalidated by now */
    int64_t settled_atc_ns; /* likewise, of TLBs of devices */
    int64_t dropped_ns;     /* when one was dropped last, by a time-out */
    VTDDrain drained[4];    /* PASIDs whose IOTLB is invalidated since */
    uint32_t nr_drained;
    QEMUTimer *sync_timer;
    IOMMUChoice wait_choice, early_choice, order_choice;
    IOMMUChoice ahead_choice, hold_choice, abort_choice, answer_choice;
    IOMMUChoice response_choice;
    VTDRequest recent[64];  /* a ring, protected by the lock */
    uint32_t nr_recent;     /* ever */
    uint32_t refills;       /* that may still be made for this wait */

    QLIST_HEAD(, VTDNotifier) notifiers;
    GHashTable *groups;     /* page request groups not answered: how often */
    QTAILQ_HEAD(, VTDResponse) responses;
    QEMUTimer *response_timer;
    QTAILQ_HEAD(, VTDPageRequest) requests;     /* on their way */
    uint32_t nr_requests;
    QEMUTimer *request_timer;
    IOMMUChoice request_choice, stuck_choice;

    uint64_t cmd[16];
    uint64_t cmd_fence;     /* wait descriptors with FN alone */
    uint64_t cmd_bad;
    uint64_t cmd_drain;
    uint64_t cmd_early;
    uint64_t cmd_timeout;
    uint64_t evt[256];
    uint64_t evt_lost;
    uint64_t frcd_pending;  /* fault records with F set */
    uint64_t frcd_several;  /* records that were not the only one with F set */
    uint64_t ctx_hit, ctx_miss;
    uint64_t pasid_hit, pasid_miss, pasid_ahead, pasid_torn;
    uint64_t tlb_hit, tlb_miss, tlb_full, tlb_ahead;
    uint64_t psc_hit, psc_miss;
    uint64_t stale_cfg, stale_tlb, stale_psc;
    uint64_t late_cfg, late_tlb;
    uint64_t left_ctx, left_pasid, left_tlb, left_psc;
    uint64_t conflict_tlb;
    uint64_t watch_pages;   /* whose stores are, or were, seen */
    uint64_t watch_full;    /* of others they are not */
    uint64_t ats_ok, ats_fault;
    uint64_t prq_queued, prq_overflow, prq_refused, prq_now, prq_peak;
    uint64_t prq_untracked, prq_late;
    uint64_t resp_success, resp_invalid, resp_failure, resp_unknown, resp_auto;
    uint64_t resp_aborted;  /* sent, and a wait behind it was aborted */
    uint64_t resp_unfenced; /* not sent for sure before a drain */
};

/*
 * What the IOMMU reads and writes is in memory. A guest that has it look
 * elsewhere is told of an error, and does not get it to access registers,
 * maybe its own, while it is at work.
 */
#define VTD_MEMORY_ONLY ((MemTxAttrs) { .memory = true })

static inline bool vtd_is_msi_addr(uint64_t addr, uint64_t mask)
{
    return addr <= VTD_INTERRUPT_ADDR_LAST &&
           (addr | mask) >= VTD_INTERRUPT_ADDR_FIRST;
}

static inline uint32_t vtd_reg32(IntelIOMMUState *s, hwaddr at)
{
    return ldl_le_p(&s->csr[at]);
}

static inline uint64_t vtd_reg64(IntelIOMMUState *s, hwaddr at)
{
    return ldq_le_p(&s->csr[at]);
}

/* intel_iommu.c */
bool vtd_report_frcd_fault(IntelIOMMUState *s, uint64_t source_id,
                           uint64_t hi, uint64_t lo);
void vtd_generate_interrupt(IntelIOMMUState *s, hwaddr mesg_addr_reg,
                            hwaddr mesg_data_reg);
bool vtd_slpte_nonzero_rsvd(uint64_t slpte, uint32_t level);
bool vtd_flpte_nonzero_rsvd(uint64_t flpte, uint32_t level);
void vtd_inv_queue_resume(IntelIOMMUState *s);
void vtd_inv_queue_consume(IntelIOMMUState *s);
void vtd_inv_queue_complete(IntelIOMMUState *s, VTDInvDesc *desc, bool consume);
void vtd_inv_queue_timeout(IntelIOMMUState *s);

/* intel_iommu_sva.c: set-up, requests */
bool vtd_sva_realize(IntelIOMMUState *s, PCIIOMMUOps *ops, Error **errp);
void vtd_sva_cap_init(IntelIOMMUState *s);
void vtd_sva_reset(IntelIOMMUState *s);
bool vtd_sva_active(IntelIOMMUState *s);
bool vtd_sva_translate_mr(VTDAddressSpace *as, hwaddr addr, bool write,
                          IOMMUTLBEntry *entry);
int vtd_sva_decode_pasid(IntelIOMMUState *s, uint32_t pasid,
                         const VTDPASIDEntry *pe, VTDSpace *space);
int vtd_sva_check_pri(IntelIOMMUState *s, const VTDRequest *req,
                      VTDSpace *space, bool *fpd);
bool vtd_sva_space(IntelIOMMUState *s, uint16_t sid, uint32_t pasid,
                   VTDSpace *space);
bool vtd_sva_held_space(IntelIOMMUState *s, uint16_t sid, uint32_t pasid,
                        VTDSpace *space);
void vtd_sva_fault(IntelIOMMUState *s, const VTDRequest *req, int reason);
void vtd_sva_fetch(IntelIOMMUState *s, const VTDRequest *req);

/* intel_iommu_walk.c: tables in memory */
bool vtd_walk_read(hwaddr at, void *buf, size_t len);
int vtd_walk(IntelIOMMUState *s, const VTDRequest *req, const VTDSpace *space,
             VTDMapping *out);
int vtd_walk_check(const VTDRequest *req, const VTDSpace *space,
                   const VTDAccess *access);

/* intel_iommu_cache.c: what hardware may still hold */
void vtd_cache_init(IntelIOMMUState *s);
void vtd_cache_reset(IntelIOMMUState *s);
int vtd_cache_context(IntelIOMMUState *s, const VTDRequest *req,
                      VTDContextEntry *ce);
int vtd_cache_pasid(IntelIOMMUState *s, const VTDRequest *req, uint32_t pasid,
                    const VTDContextEntry *ce, VTDSpace *space, bool *fpd);
const VTDPASIDEntry *vtd_cache_held_pasid(IntelIOMMUState *s, uint16_t sid,
                                          uint32_t pasid);
void vtd_cache_tlb_prefetch(IntelIOMMUState *s, const VTDRequest *req,
                            const VTDSpace *space, const VTDMapping *mapping);
const VTDMapping *vtd_cache_tlb_find(IntelIOMMUState *s, const VTDRequest *req,
                                     const VTDSpace *space);
void vtd_cache_tlb_add(IntelIOMMUState *s, const VTDSpace *space, hwaddr addr,
                       const VTDMapping *mapping);
const VTDMapping *vtd_cache_psc_find(IntelIOMMUState *s, const VTDRequest *req,
                                     const VTDSpace *space);
void vtd_cache_psc_add(IntelIOMMUState *s, const VTDSpace *space, hwaddr addr,
                       const VTDMapping *mapping);
void vtd_cache_find_stale(IntelIOMMUState *s, const VTDSpace *held,
                          const VTDSpace *now, uint64_t addr, uint64_t mask,
                          GArray *found);
void vtd_cache_inval(IntelIOMMUState *s, const VTDInval *inv);
void vtd_cache_audit(void *opaque);

void vtd_cache_pdire_stored(IntelIOMMUState *s, uint16_t sid, uint32_t pasid);
void vtd_cache_pasid_stored(IntelIOMMUState *s, uint16_t sid, uint32_t pasid);
bool vtd_cache_is_table(IntelIOMMUState *s, uint16_t sid, hwaddr page, bool dir,
                        uint32_t pasid);

/* intel_iommu_watch.c: stores to PASID tables */
void *vtd_watch_host(hwaddr at);
void vtd_watch_page(IntelIOMMUState *s, uint16_t sid, hwaddr page, bool dir,
                    uint32_t pasid);
void vtd_watch_check(IntelIOMMUState *s);

/* intel_iommu_sync.c: when invalidations act, when waits complete */
void vtd_sync_init(IntelIOMMUState *s);
void vtd_sync_reset(IntelIOMMUState *s);
void vtd_sync_finish(IntelIOMMUState *s);
void vtd_sync_inval(IntelIOMMUState *s, const VTDInval *inv,
                    unsigned int kinds);
void vtd_sync_response(IntelIOMMUState *s, const VTDInvDesc *desc);
bool vtd_sync_wait(IntelIOMMUState *s, const VTDInvDesc *desc);
bool vtd_sync_waits(IntelIOMMUState *s);
void vtd_sync_note_request(IntelIOMMUState *s, const VTDRequest *req);

/* intel_iommu_inval.c: the invalidation queue */
bool vtd_inval_desc(IntelIOMMUState *s, VTDInvDesc *desc);
void vtd_inval_ccmd(IntelIOMMUState *s, uint64_t val);
void vtd_inval_iotlb_reg(IntelIOMMUState *s, uint64_t val, uint64_t iva);

/* intel_iommu_prq.c: page requests and responses, device-TLBs */
void vtd_prq_init(IntelIOMMUState *s);
void vtd_prq_reset(IntelIOMMUState *s);
void vtd_prq_write(IntelIOMMUState *s, hwaddr at, unsigned int size);
bool vtd_prq_response_check(const VTDInvDesc *desc);
void vtd_prq_respond(IntelIOMMUState *s, const VTDInvDesc *desc);
void vtd_prq_push(IntelIOMMUState *s, uint16_t sid);
void vtd_prq_check_present(IntelIOMMUState *s);
void vtd_prq_drain(IntelIOMMUState *s, const VTDDrain *of, size_t n);
void vtd_prq_notify_dev(IntelIOMMUState *s, const VTDInval *inv);
void vtd_prq_register_iotlb_notifier(PCIBus *bus, void *opaque, int devfn,
                                     uint32_t pasid, IOMMUNotifier *n);
void vtd_prq_unregister_iotlb_notifier(PCIBus *bus, void *opaque, int devfn,
                                       uint32_t pasid, IOMMUNotifier *n);
void vtd_prq_register_notifier(PCIBus *bus, void *opaque, int devfn,
                               uint32_t pasid, IOMMUPRINotifier *n);
void vtd_prq_unregister_notifier(PCIBus *bus, void *opaque, int devfn,
                                 uint32_t pasid);
int vtd_prq_request_page(PCIBus *bus, void *opaque, int devfn, uint32_t pasid,
                         bool priv_req, bool exec_req, hwaddr addr, bool lpig,
                         uint16_t prgi, bool is_read, bool is_write);

#endif /* HW_I386_INTEL_IOMMU_SVA_H */
