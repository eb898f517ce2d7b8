/*
 * SMMUv3: the translation regimes of EL2
 *
 * With IDR0.HYP the STRW of an STE with stage 1 alone selects the regime, its
 * StreamWorld (IHI 0070, 5.2): NS-EL1, or one of EL2. Without CR2.E2H that is
 * NS-EL2, which has neither a second table, nor ASIDs, nor unprivileged
 * accesses. With E2H it is NS-EL2-E2H, which is like NS-EL1 but for VMIDs
 * (3.17.5, 13.4.1).
 *
 * Entries of the TLB are tagged with their regime (3.17): those of EL2 have one
 * of the SMMU_TAGs in place of the VMID, so that none is hit, or invalidated, in
 * another regime. Each command invalidates what it must and no more (4.4.2).
 * CR2.E2H is read when an STE is, as it cannot change while SMMUEN is 1.
 *
 * The property hyp, on by default, has an effect only with one of those that
 * smmuv3-sva.c is for.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "trace.h"
#include "smmuv3-sva.h"
#include "smmu-internal.h"

void smmuv3_el2_init_idr(SMMUv3State *s)
{
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, HYP,
                           s->sva && s->hyp && STAGE1_SUPPORTED(s));
}

static bool has_el2(const SMMUv3State *s)
{
    return FIELD_EX32(s->idr[0], IDR0, HYP);
}

static int tag_of_el2(const SMMUv3State *s)
{
    return FIELD_EX32(s->cr[2], CR2, E2H) ? SMMU_TAG_EL2_E2H : SMMU_TAG_EL2;
}

/* E2H is read-only while SMMUEN is 1 (IHI 0070, 6.3.12) */
uint32_t smmuv3_el2_write_cr2(SMMUv3State *s, uint32_t data)
{
    return !has_el2(s) || smmu_enabled(s) ?
           FIELD_DP32(data, CR2, E2H, FIELD_EX32(s->cr[2], CR2, E2H)) : data;
}

/**
 * smmuv3_el2_decode_ste - find the translation regime of a stream
 * @s: SMMU
 * @cfg: the stages and, of NS-EL1, the VMID; the tag of the regime (out)
 * @ste: the STE
 *
 * Return: false if the STE is ILLEGAL
 */
bool smmuv3_el2_decode_ste(SMMUv3State *s, SMMUTransCfg *cfg, STE *ste)
{
    if (!has_el2(s) || cfg->stage != SMMU_STAGE_1) {
        /* STRW is RES0 or IGNORED */
        return true;
    }
    if (STE_STRW(ste) & 1) {
        return false;
    }
    if (STE_STRW(ste)) {
        cfg->s2cfg.vmid = tag_of_el2(s);
    }
    return true;
}

/* Is this the regime without E2H? */
bool smmuv3_el2_is(const SMMUTransCfg *cfg)
{
    return cfg->s2cfg.vmid == SMMU_TAG_EL2;
}

bool smmuv3_el2_cmd_legal(SMMUv3State *s)
{
    return has_el2(s);
}

/**
 * smmuv3_el2_range_tags - what the entries that a command by VA is about have
 * @s: SMMU
 * @cmd: the command
 * @asid: their ASID, -1 for any (out)
 * @vmid: their VMID, or the tag in place of it (out)
 *
 * Those of the regime that CR2.E2H does not select stay (IHI 0070, 4.4.2.8).
 */
void smmuv3_el2_range_tags(SMMUv3State *s, Cmd *cmd, int *asid, int *vmid)
{
    switch (CMD_TYPE(cmd)) {
    case SMMU_CMD_TLBI_EL2_VA:
        *vmid = tag_of_el2(s);
        *asid = *vmid == SMMU_TAG_EL2 ? 0 : CMD_ASID(cmd);
        break;
    case SMMU_CMD_TLBI_EL2_VAA:
        *vmid = tag_of_el2(s);
        *asid = -1;
        break;
    default:
        break;
    }
}

static gboolean is_el1(gpointer key, gpointer value, gpointer opaque)
{
    return SMMU_IOTLB_VMID(*(SMMUIOTLBKey *)key) > SMMU_TAG_EL2;
}

/**
 * smmuv3_el2_tlbi - a TLB invalidation takes effect
 * @s: SMMU, locked
 * @cmd: the command
 *
 * Return: false if this is left to the base model: its entries have a VMID
 */
bool smmuv3_el2_tlbi(SMMUv3State *s, Cmd *cmd)
{
    SMMUState *bs = ARM_SMMU(s);

    switch (CMD_TYPE(cmd)) {
    case SMMU_CMD_TLBI_EL2_ALL:
        trace_smmuv3_el2_tlbi(CMD_TYPE(cmd), -1);
        smmu_inv_notifiers_all(bs);
        smmu_iotlb_inv_vmid(bs, SMMU_TAG_EL2);
        smmu_iotlb_inv_vmid(bs, SMMU_TAG_EL2_E2H);
        return true;
    case SMMU_CMD_TLBI_EL2_ASID:
        trace_smmuv3_el2_tlbi(CMD_TYPE(cmd), CMD_ASID(cmd));
        smmu_inv_notifiers_all(bs);
        smmu_iotlb_inv_asid_vmid(bs, CMD_ASID(cmd), SMMU_TAG_EL2_E2H);
        return true;
    case SMMU_CMD_TLBI_EL2_VA:
    case SMMU_CMD_TLBI_EL2_VAA:
        smmuv3_range_inval(bs, cmd, SMMU_STAGE_1);
        return true;
    case SMMU_CMD_TLBI_NH_ALL:
        if (STAGE2_SUPPORTED(s)) {
            return false;
        }
        /* fall through */
    case SMMU_CMD_TLBI_NSNH_ALL:
        trace_smmuv3_cmdq_tlbi_nsnh();
        smmu_inv_notifiers_all(bs);
        g_hash_table_foreach_remove(bs->iotlb, is_el1, NULL);
        return true;
    default:
        return false;
    }
}
