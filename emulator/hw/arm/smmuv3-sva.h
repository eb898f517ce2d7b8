/*
 * SMMUv3: substreams, the stall model and strict caching - internal API
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ARM_SMMUV3_SVA_H
#define HW_ARM_SMMUV3_SVA_H

#include "hw/arm/smmuv3.h"
#include "smmuv3-internal.h"

typedef struct SMMUv3Stall SMMUv3Stall;
typedef QTAILQ_HEAD(, SMMUv3Stall) SMMUv3StallList;

/* Configuration structures, as their cache tells them apart */
typedef enum SMMUCfgKind {
    SMMU_CFG_L1STD,
    SMMU_CFG_STE,
    SMMU_CFG_L1CD,
    SMMU_CFG_CD,
} SMMUCfgKind;

/* Protected by the BQL, and cfg also by SMMUv3State.mutex */
struct SMMUv3SVA {
    GHashTable *cfg;            /* cached configuration structures */
    GQueue deferred;            /* Cmd: invalidations that await a CMD_SYNC */
    SMMUTransCfg notify_cfg;    /* scratch of smmuv3_sva_get_config() */

    SMMUv3StallList unreported; /* faults whose event is not written yet */
    SMMUv3Stall **slot;         /* by STAG; NULL is a free one */
    SMMUv3StallList answered;   /* whose requester is to be called */
    QEMUTimer *answer_timer;

    uint64_t cfg_hits;
    uint64_t cfg_misses;
    uint64_t cfg_stale;
    uint64_t evt_stall;
    uint64_t evt_lost;
    uint64_t stall_now;
    uint64_t stall_total;
    uint64_t stall_peak;
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
SMMUTransCfg *smmuv3_sva_get_config(SMMUDevice *sdev, SMMUEventInfo *event);
IOMMUTLBEntry smmuv3_sva_translate_mr(SMMUDevice *sdev, hwaddr addr,
                                      IOMMUAccessFlags flag);

void smmuv3_sva_count_cmd(SMMUv3State *s, Cmd *cmd);
bool smmuv3_sva_replay_cmd(SMMUv3State *s, Cmd *cmd);
bool smmuv3_sva_cmd(SMMUv3State *s, Cmd *cmd, bool replayed,
                    SMMUCmdError *err);

/* smmuv3-cache.c: configuration structures */
void smmuv3_cfg_init(SMMUv3State *s);
MemTxResult smmuv3_cfg_read(SMMUv3State *s, const SMMURequest *req,
                            SMMUCfgKind kind, uint32_t sid, uint32_t ssid,
                            uint32_t span, dma_addr_t addr, void *buf,
                            size_t len);
void smmuv3_cfg_inval(SMMUv3State *s, Cmd *cmd);

/* smmuv3-stall.c: stalled faults */
void smmuv3_stall_init(SMMUv3State *s);
void smmuv3_stall_begin(SMMUv3State *s, const SMMUEventInfo *event,
                        PCISVAWaiter *waiter);
void smmuv3_stall_cancel(SMMUv3State *s, PCISVAWaiter *waiter);
void smmuv3_stall_update(SMMUv3State *s);
void smmuv3_stall_resume(SMMUv3State *s, Cmd *cmd);
void smmuv3_stall_terminate(SMMUv3State *s, uint32_t sid, uint32_t sid_mask);

#endif /* HW_ARM_SMMUV3_SVA_H */
