/*
 * svadev, as qtests of it and of the IOMMUs in front of it set it up and use it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_LIBSVA_H
#define TESTS_QTEST_LIBSVA_H

#include "libqtest.h"
#include "qobject/qdict.h"
#include "qobject/qnum.h"
#include "hw/pci/pci_regs.h"
#include "standard-headers/misc/svadev.h"

/* Where the BARs of a function are, in the space that it has */
#define SVA_MSIX        0x100000
#define SVA_PAGES       0x800000

/* Tests hold for any seed. It is that of the run, unless a test sets one. */
static inline const char *sva_seed(void)
{
    return getenv("SVA_SEED") ?: "1";
}

/* A counter, by the QOM path of the device that has it */
static inline uint64_t sva_stat(QTestState *qts, const char *path,
                                const char *name)
{
    g_autofree char *prop = g_strdup_printf("stat-%s", name);
    QDict *r = qtest_qmp(qts, "{'execute': 'qom-get', 'arguments': {"
                         "'path': %s, 'property': %s}}", path, prop);
    uint64_t val;

    g_assert(qdict_haskey(r, "return"));
    val = qnum_get_uint(qobject_to(QNum, qdict_get(r, "return")));
    qobject_unref(r);
    return val;
}

/* The offset of an extended capability, 0 if @cfg does not have it */
static inline uint16_t sva_ext_cap(QTestState *qts, uint64_t cfg, uint16_t id)
{
    uint16_t pos = PCI_CFG_SPACE_SIZE;

    while (pos) {
        uint32_t header = qtest_readl(qts, cfg + pos);

        if (PCI_EXT_CAP_ID(header) == id) {
            return pos;
        }
        pos = PCI_EXT_CAP_NEXT(header);
    }

    return 0;
}

/* Set the BARs up, but not that of MSI-X, and PASIDs */
static inline void sva_setup(QTestState *qts, uint64_t cfg, uint64_t bars)
{
    uint16_t pasid = sva_ext_cap(qts, cfg, PCI_EXT_CAP_ID_PASID);

    qtest_writel(qts, cfg + PCI_BASE_ADDRESS_0, bars);
    qtest_writel(qts, cfg + PCI_BASE_ADDRESS_2, bars + SVA_PAGES);
    qtest_writew(qts, cfg + PCI_COMMAND,
                 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);

    g_assert(pasid);
    qtest_writew(qts, cfg + pasid + PCI_PASID_CTRL,
                 PCI_PASID_CTRL_ENABLE | PCI_PASID_CTRL_PRIV);
}

/* A register in the page of a queue */
static inline uint64_t sva_page_reg(uint64_t bars, int q, uint32_t reg)
{
    return bars + SVA_PAGES + q * SVADEV_QUEUE_STRIDE + reg;
}

/* Enable queue @q; @pasid < 0: untagged */
static inline void sva_set_queue(QTestState *qts, uint64_t bars, int q,
                                 int pasid, uint32_t mode)
{
    uint64_t regs = bars + SVADEV_QUEUE(q);

    qtest_writel(qts, regs + SVADEV_Q_CTRL, 0);
    qtest_writel(qts, regs + SVADEV_Q_PASID,
                 pasid < 0 ? 0 : SVADEV_Q_PASID_VALID | pasid);
    qtest_writel(qts, regs + SVADEV_Q_MODE, mode);
    qtest_writel(qts, regs + SVADEV_Q_CTRL, SVADEV_Q_CTRL_ENABLE);
}

/* Start an operation on 8 bytes at @va */
static inline void sva_start(QTestState *qts, uint64_t bars, int q, uint64_t op,
                             uint64_t va, uint64_t value)
{
    qtest_writeq(qts, sva_page_reg(bars, q, SVADEV_OP), op);
    qtest_writeq(qts, sva_page_reg(bars, q, SVADEV_SRC), va);
    qtest_writeq(qts, sva_page_reg(bars, q, SVADEV_DST), va);
    qtest_writeq(qts, sva_page_reg(bars, q, SVADEV_LEN), 8);
    qtest_writeq(qts, sva_page_reg(bars, q, SVADEV_VALUE), value);
    qtest_writeq(qts, sva_page_reg(bars, q, SVADEV_GO), SVADEV_GO_START);
}

#endif
