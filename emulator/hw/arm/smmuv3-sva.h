/*
 * SMMUv3: substreams, the stall model and strict caching - internal API
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ARM_SMMUV3_SVA_H
#define HW_ARM_SMMUV3_SVA_H

#include "hw/arm/smmuv3.h"
#include "hw/misc/iommu-choice.h"
#include "hw/misc/iommu-stats.h"
#include "smmuv3-internal.h"

typedef struct SMMUv3ATS SMMUv3ATS;
typedef struct SMMUv3Stall SMMUv3Stall;
typedef QTAILQ_HEAD(, SMMUv3Stall) SMMUv3StallList;

/* Configuration structures, as their cache tells them apart */
typedef enum SMMUCfgKind {
    SMMU_CFG_L1STD,
    SMMU_CFG_STE,
    SMMU_CFG_L1CD,
    SMMU_CFG_CD,
} SMMUCfgKind;

/* Property x-wild: the liberties that strict caching takes. For tests. */
#define SMMU_WILD_EARLY     (1u << 0)   /* invalidate before the CMD_SYNC */
#define SMMU_WILD_ORDER     (1u << 1)   /* or then, in any order */
#define SMMU_WILD_REFILL    (1u << 2)   /* repeat requests in between */
#define SMMU_WILD_PREFETCH  (1u << 3)   /* read ahead of use */
#define SMMU_WILD_TORN      (1u << 4)   /* read structures in pieces */
#define SMMU_WILD_STALL     (1u << 5)   /* report, merge and retry faults */
#define SMMU_WILD_ANSWER    (1u << 6)   /* functions answer after a while */

/* How far a CMD_SYNC has got */
typedef enum SMMUSyncState {
    SMMU_SYNC_NONE,             /* there is none at the head of the queue */
    SMMU_SYNC_DELAY,            /* it waits until sync_due */
    SMMU_SYNC_ACT,              /* deferred invalidations act */
    SMMU_SYNC_ANSWER,           /* functions have not answered */
    SMMU_SYNC_DRAIN,            /* accesses up to sync_mark are in flight */
} SMMUSyncState;

/* A request that is repeated to refill the caches */
typedef struct SMMURecent {
    SMMUDevice *sdev;
    SMMURequest req;
    hwaddr addr;
    IOMMUAccessFlags access;
} SMMURecent;

/* What a stalled request finds when it is translated again */
typedef enum SMMURetry {
    SMMU_RETRY_PASSES,
    SMMU_RETRY_STALLS,
    SMMU_RETRY_FAILS,
} SMMURetry;

/*
 * Protected by the BQL. What a request uses that does not stall is protected by
 * SMMUv3State.mutex instead, like the TLB: devices may do DMA without the BQL.
 */
struct SMMUv3SVA {
    GHashTable *cfg;            /* cached configuration structures (mutex) */
    bool path_is_old;           /* to the one that is being read (mutex) */
    GQueue deferred;            /* Cmd: invalidations that await a CMD_SYNC */
    bool acted;                 /* the command was an invalidation, and acted */
    bool cfg_inval;             /* of a structure, since the last CMD_SYNC */

    SMMUSyncState sync;
    int64_t sync_due;
    int64_t sync_issued;        /* it was first seen at the head */
    uint64_t sync_mark;
    QEMUTimer *sync_timer;

    SMMURecent recent[64];      /* a ring (mutex) */
    uint32_t nr_recent;         /* that were ever put into it (mutex) */
    uint32_t refills;           /* that are left before the next CMD_SYNC */

    IOMMUChoice sync_choice;    /* of the delay of each CMD_SYNC */
    IOMMUChoice early_choice;   /* of when each invalidation acts */
    IOMMUChoice order_choice;
    IOMMUChoice fetch_choice;   /* of what is fetched ahead (mutex) */
    IOMMUChoice torn_choice;    /* (mutex) */
    IOMMUChoice stall_choice;

    SMMUTransCfg notify_cfg;    /* scratch of smmuv3_sva_get_config() */
    SMMUv3ATS *ats;             /* NULL without ATS */

    SMMUv3StallList unreported; /* faults whose event is not written yet */
    SMMUv3Stall **slot;         /* by STAG; NULL is a free one */
    SMMUv3StallList answered;   /* whose requester is to be called */
    QEMUTimer *stall_timer;
    uint32_t stall_orphans;     /* unreported, and their requester was reset */

    int nr_later;               /* events to be recorded (atomic) */
    bool eventq_on;             /* CR0.EVENTQEN */
    uint32_t eventq_changes;    /* of that (atomic) */

    uint64_t cmd_fence;
    uint64_t cfg_hits;
    uint64_t cfg_misses;
    uint64_t cfg_full;
    uint64_t cfg_stale;
    uint64_t cfg_late;
    uint64_t left_cfg;
    uint64_t left_tlb;
    uint64_t left_psc;
    uint64_t evt_stall;
    uint64_t evt_lost;          /* (atomic) */
    uint64_t stall_now;
    uint64_t stall_total;
    uint64_t stall_peak;
    uint64_t stall_merged;
    uint64_t stall_early;
    uint64_t resume_retry;
    uint64_t resume_abort;
    uint64_t resume_unknown;
};

/* smmuv3-sva.c: set-up, requests, commands */
bool smmuv3_sva_realize(SMMUv3State *s, Error **errp);
void smmuv3_sva_init_idr(SMMUv3State *s);
void smmuv3_sva_reset(SMMUv3State *s);

int smmuv3_select_ssid(STE *ste, SMMUTransCfg *cfg, uint32_t *ssid,
                       SMMUEventInfo *event);
SMMUDevice *smmuv3_find_sdev(PCIBus *bus, void *opaque, int devfn);
SMMUTransCfg *smmuv3_sva_get_config(SMMUDevice *sdev, SMMUEventInfo *event);
IOMMUTLBEntry smmuv3_sva_translate_mr(SMMUDevice *sdev, hwaddr addr,
                                      IOMMUAccessFlags flag);

bool smmuv3_sva_fetch(SMMUDevice *sdev, const SMMURequest *req, hwaddr addr,
                      IOMMUAccessFlags access);
SMMURetry smmuv3_sva_retry(SMMUv3State *s, SMMUEventInfo *event);
void smmuv3_sva_fail(SMMUv3State *s, SMMUEventInfo *event,
                     const SMMURequest *req, hwaddr addr,
                     IOMMUAccessFlags access);

void smmuv3_sva_count_cmd(SMMUv3State *s, Cmd *cmd);
bool smmuv3_cmd_is_legal(SMMUv3State *s, Cmd *cmd);
bool smmuv3_sva_cmd(SMMUv3State *s, Cmd *cmd, bool replayed,
                    SMMUCmdError *err);
void smmuv3_sva_cmd_done(SMMUv3State *s);

/* smmuv3-sync.c: when commands act and complete */
void smmuv3_sync_init(SMMUv3State *s);
void smmuv3_sync_reset(SMMUv3State *s);
void smmuv3_sync_cancel(SMMUv3State *s);
void smmuv3_sync_poll(SMMUv3State *s);
bool smmuv3_sync_pending(SMMUv3State *s, Cmd *cmd);
bool smmuv3_sync_replay(SMMUv3State *s, Cmd *cmd);
bool smmuv3_sync_defer(SMMUv3State *s, const Cmd *cmd);
void smmuv3_sync_note_request(SMMUDevice *sdev, const SMMURequest *req,
                              hwaddr addr, IOMMUAccessFlags access);
void smmuv3_sync_refill(SMMUv3State *s);

/* smmuv3-cache.c: configuration structures */
void smmuv3_cfg_init(SMMUv3State *s);
MemTxResult smmuv3_cfg_read(SMMUv3State *s, const SMMURequest *req,
                            SMMUCfgKind kind, uint32_t sid, uint32_t ssid,
                            uint32_t span, dma_addr_t addr, void *buf,
                            size_t len);
void smmuv3_cfg_prefetch(SMMUDevice *sdev, const SMMURequest *req);
void smmuv3_cfg_inval(SMMUv3State *s, Cmd *cmd);
void smmuv3_cfg_sync(SMMUv3State *s);
void smmuv3_cfg_audit(SMMUv3State *s,
                      bool (*is_left)(SMMUv3State *s, SMMUCfgKind kind,
                                      uint32_t sid, uint32_t ssid,
                                      const void *data, size_t len));

/* smmuv3-audit.c: comparison of all caches with memory */
void smmuv3_audit(void *opaque);

/* smmuv3.c */
int smmu_find_ste(SMMUv3State *s, uint32_t sid, STE *ste,
                  const SMMURequest *req, SMMUEventInfo *event);

/* smmuv3-stall.c: stalled faults */
void smmuv3_stall_init(SMMUv3State *s);
void smmuv3_stall_begin(SMMUv3State *s, const SMMUEventInfo *event,
                        PCISVAWaiter *waiter);
void smmuv3_stall_cancel(SMMUv3State *s, PCISVAWaiter *waiter);
void smmuv3_stall_update(SMMUv3State *s);
void smmuv3_stall_sync(SMMUv3State *s);
void smmuv3_stall_resume(SMMUv3State *s, Cmd *cmd);
void smmuv3_stall_terminate(SMMUv3State *s, uint32_t sid, uint32_t sid_mask);

/* smmuv3-el2.c: the translation regimes of EL2 */
void smmuv3_el2_init_idr(SMMUv3State *s);
uint32_t smmuv3_el2_write_cr2(SMMUv3State *s, uint32_t data);
bool smmuv3_el2_decode_ste(SMMUv3State *s, SMMUTransCfg *cfg, STE *ste);
bool smmuv3_el2_is(const SMMUTransCfg *cfg);
bool smmuv3_el2_cmd_legal(SMMUv3State *s);
void smmuv3_el2_range_tags(SMMUv3State *s, Cmd *cmd, int *asid, int *vmid);
bool smmuv3_el2_tlbi(SMMUv3State *s, Cmd *cmd);

/* smmuv3-ats.c: translation caches of functions */
bool smmuv3_ats_realize(SMMUv3State *s, Error **errp);
void smmuv3_ats_init_idr(SMMUv3State *s);
void smmuv3_ats_reset(SMMUv3State *s);
void smmuv3_ats_stats(SMMUv3State *s, GArray *stats);
void smmuv3_ats_add_ops(PCIIOMMUOps *ops);
bool smmuv3_ats_check_ste(SMMUv3State *s, STE *ste, const SMMUTransCfg *cfg);
int smmuv3_ats_select(STE *ste, SMMUTransCfg *cfg, SMMUEventInfo *event);
bool smmuv3_ats_cmd_legal(SMMUv3State *s, Cmd *cmd);
void smmuv3_ats_inval_begin(SMMUv3State *s, Cmd *cmd);
void smmuv3_ats_inval(SMMUv3State *s, Cmd *cmd);
bool smmuv3_ats_sync_waits(SMMUv3State *s, int64_t *due_ns);
bool smmuv3_ats_sync_fails(SMMUv3State *s);

#endif /* HW_ARM_SMMUV3_SVA_H */
