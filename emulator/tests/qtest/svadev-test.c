/*
 * QTest testcase for svadev, the accelerator that shares address spaces:
 * everything that needs no IOMMU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "libsva.h"
#include "qobject/qdict.h"
#include "hw/pci/pci_regs.h"
#include "standard-headers/misc/svadev.h"

#define PAGE            4096ull
#define SLOT            3               /* of the first svadev */
#define MSIX_BAR        4
#define NR_QUEUES       5
#define MAX_STEPS       100000
#define STEP_NS         1000
#define FLIGHT_NS       1000000         /* of a DMA, at most */

/* Where things are on the machine: all set up here, as there is no firmware */
typedef struct Machine {
    const char *arch;
    const char *args;
    uint64_t ecam;
    uint64_t mmio;
    uint64_t ram;                       /* scratch memory, */
    uint64_t ram_end;                   /* followed by nothing */
} Machine;

static const Machine machines[] = {
    {
        .arch = "aarch64",
        .args = "-M virt,highmem-ecam=off -cpu cortex-a57 -m 128M",
        .ecam = 0x3f000000,
        .mmio = 0x10000000,
        .ram = 0x44000000,
        .ram_end = 0x48000000,
    }, {
        .arch = "x86_64",
        .args = "-M q35 -m 128M",
        .ecam = 0xb0000000,
        .mmio = 0xc0000000,
        .ram = 0x4000000,
        .ram_end = 0x8000000,
    },
};

typedef struct Dev {
    QTestState *qts;
    const Machine *machine;
    uint64_t cfg;
    uint64_t ctrl;
    uint64_t pages;
    uint64_t msix;
} Dev;

static char *firmware;

static uint32_t ctrl_read(Dev *d, uint64_t reg)
{
    return qtest_readl(d->qts, d->ctrl + reg);
}

static void ctrl_write(Dev *d, uint64_t reg, uint32_t val)
{
    qtest_writel(d->qts, d->ctrl + reg, val);
}

static uint32_t queue_read(Dev *d, int q, uint64_t reg)
{
    return ctrl_read(d, SVADEV_QUEUE(q) + reg);
}

static void queue_write(Dev *d, int q, uint64_t reg, uint32_t val)
{
    ctrl_write(d, SVADEV_QUEUE(q) + reg, val);
}

static uint64_t page_addr(Dev *d, int q, uint64_t reg)
{
    return d->pages + q * SVADEV_QUEUE_STRIDE + reg;
}

static uint64_t page_read(Dev *d, int q, uint64_t reg)
{
    return qtest_readq(d->qts, page_addr(d, q, reg));
}

static void page_write(Dev *d, int q, uint64_t reg, uint64_t val)
{
    qtest_writeq(d->qts, page_addr(d, q, reg), val);
}

static bool busy(Dev *d, int q)
{
    return queue_read(d, q, SVADEV_Q_STATE) & SVADEV_Q_STATE_BUSY;
}

static void step(Dev *d)
{
    qtest_clock_step(d->qts, STEP_NS);
}

static uint64_t wait_idle(Dev *d, int q)
{
    int i;

    for (i = 0; i < MAX_STEPS && busy(d, q); i++) {
        step(d);
    }

    g_assert_cmpint(i, <, MAX_STEPS);
    return page_read(d, q, SVADEV_STATUS);
}

static void set_op(Dev *d, int q, uint64_t op, uint64_t src, uint64_t dst,
                   uint64_t len, uint64_t value)
{
    page_write(d, q, SVADEV_OP, op);
    page_write(d, q, SVADEV_SRC, src);
    page_write(d, q, SVADEV_DST, dst);
    page_write(d, q, SVADEV_LEN, len);
    page_write(d, q, SVADEV_VALUE, value);
}

static void go(Dev *d, int q, uint64_t cmd)
{
    page_write(d, q, SVADEV_GO, cmd);
}

static uint64_t run(Dev *d, int q, uint64_t op, uint64_t src, uint64_t dst,
                    uint64_t len, uint64_t value)
{
    set_op(d, q, op, src, dst, len, value);
    go(d, q, SVADEV_GO_START);
    return wait_idle(d, q);
}

static void enable(Dev *d, int q, uint32_t pasid)
{
    queue_write(d, q, SVADEV_Q_CTRL, 0);
    queue_write(d, q, SVADEV_Q_PASID, pasid);
    queue_write(d, q, SVADEV_Q_CTRL, SVADEV_Q_CTRL_ENABLE);
}

static uint16_t ext_cap(Dev *d, uint16_t id)
{
    return sva_ext_cap(d->qts, d->cfg, id);
}

static uint8_t cap(Dev *d, uint8_t id)
{
    uint8_t pos = qtest_readb(d->qts, d->cfg + PCI_CAPABILITY_LIST);

    while (pos && qtest_readb(d->qts, d->cfg + pos) != id) {
        pos = qtest_readb(d->qts, d->cfg + pos + PCI_CAP_LIST_NEXT);
    }

    return pos;
}

static void set_command(Dev *d, uint16_t val)
{
    qtest_writew(d->qts, d->cfg + PCI_COMMAND, val);
}

static void setup_bars(Dev *d)
{
    qtest_writel(d->qts, d->cfg + PCI_BASE_ADDRESS_0, d->ctrl);
    qtest_writel(d->qts, d->cfg + PCI_BASE_ADDRESS_2, d->pages);
    qtest_writel(d->qts, d->cfg + PCI_BASE_ADDRESS_3, 0);
    qtest_writel(d->qts, d->cfg + PCI_BASE_ADDRESS_4, d->msix);
    set_command(d, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

/* The function in slot SLOT + @n of a machine that was started already */
static Dev find_dev(QTestState *qts, const Machine *machine, int n)
{
    uint64_t bars = machine->mmio + n * 0x1000000;
    Dev d = {
        .qts = qts,
        .machine = machine,
        .cfg = machine->ecam + ((SLOT + n) << 15),
        .ctrl = bars,
        .pages = bars + SVA_PAGES,
        .msix = bars + SVA_MSIX,
    };

    setup_bars(&d);
    return d;
}

static Dev start(const char *devices)
{
    const Machine *machine = NULL;
    QTestState *qts;
    int i;

    for (i = 0; i < ARRAY_SIZE(machines); i++) {
        if (!strcmp(machines[i].arch, qtest_get_arch())) {
            machine = &machines[i];
        }
    }
    g_assert(machine);

    qts = qtest_initf("%s -bios %s -nodefaults %s", machine->args, firmware,
                      devices);

    if (!strcmp(machine->arch, "x86_64")) {
        /* PCIEXBAR of the host bridge */
        qtest_outl(qts, 0xcf8, 0x80000064);
        qtest_outl(qts, 0xcfc, 0);
        qtest_outl(qts, 0xcf8, 0x80000060);
        qtest_outl(qts, 0xcfc, machine->ecam | 1);
    }

    return find_dev(qts, machine, 0);
}

static Dev start_one(void)
{
    Dev d = start("-device svadev,addr=3,nr-queues=" stringify(NR_QUEUES));

    enable(&d, 0, 0);
    return d;
}

/* Different at every address for a long way, and in every test */
static void fill_pattern(uint8_t *buf, size_t len, uint32_t seed)
{
    size_t i;

    for (i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        buf[i] = seed >> 24;
    }
}

static void test_identity(void)
{
    Dev d = start_one();
    uint8_t exp = cap(&d, PCI_CAP_ID_EXP);
    uint16_t pasid = ext_cap(&d, PCI_EXT_CAP_ID_PASID);
    int q;

    g_assert_cmphex(qtest_readl(d.qts, d.cfg), ==,
                    SVADEV_PCI_DEVICE << 16 | SVADEV_PCI_VENDOR);
    g_assert_cmphex(qtest_readl(d.qts, d.cfg + PCI_CLASS_REVISION) >> 8, ==,
                    0x120000);

    g_assert(exp);
    g_assert_cmphex((qtest_readw(d.qts, d.cfg + exp + PCI_EXP_FLAGS) &
                     PCI_EXP_FLAGS_TYPE) >> 4, ==, PCI_EXP_TYPE_RC_END);
    g_assert(qtest_readl(d.qts, d.cfg + exp + PCI_EXP_DEVCAP) &
             PCI_EXP_DEVCAP_FLR);

    g_assert(pasid);
    g_assert_cmphex(qtest_readw(d.qts, d.cfg + pasid + PCI_PASID_CAP), ==,
                    16 << 8 | PCI_PASID_CAP_PRIV | PCI_PASID_CAP_EXEC);
    qtest_writew(d.qts, d.cfg + pasid + PCI_PASID_CTRL, 0xffff);
    g_assert_cmphex(qtest_readw(d.qts, d.cfg + pasid + PCI_PASID_CTRL), ==,
                    PCI_PASID_CTRL_ENABLE | PCI_PASID_CTRL_PRIV |
                    PCI_PASID_CTRL_EXEC);

    g_assert_cmphex(ctrl_read(&d, SVADEV_ID), ==, SVADEV_ID_MAGIC);
    g_assert_cmpuint(ctrl_read(&d, SVADEV_VERSION), ==, SVADEV_VERSION_1);
    g_assert_cmpuint(ctrl_read(&d, SVADEV_NR_QUEUES), ==, NR_QUEUES);
    g_assert_cmpuint(ctrl_read(&d, SVADEV_MAX_RETRIES), >, 0);
    g_assert_cmpuint(ctrl_read(&d, SVADEV_ICOUNT_LO), ==, 0);
    g_assert_cmpuint(ctrl_read(&d, SVADEV_ICOUNT_HI), ==, 0);

    /* A 64-bit access is two 32-bit ones */
    g_assert_cmphex(qtest_readq(d.qts, d.ctrl), ==,
                    (uint64_t)SVADEV_VERSION_1 << 32 | SVADEV_ID_MAGIC);

    /* Read-only registers are */
    ctrl_write(&d, SVADEV_ID, 1);
    g_assert_cmphex(ctrl_read(&d, SVADEV_ID), ==, SVADEV_ID_MAGIC);

    for (q = 0; q < NR_QUEUES; q++) {
        g_assert_cmpuint(queue_read(&d, q, SVADEV_Q_VECTOR), ==, q);
        g_assert_cmpuint(queue_read(&d, q, SVADEV_Q_STATE), ==, 0);
    }

    /* A vector or a queue too high */
    queue_write(&d, 1, SVADEV_Q_VECTOR, NR_QUEUES);
    g_assert_cmpuint(queue_read(&d, 1, SVADEV_Q_VECTOR), ==, 1);
    queue_write(&d, NR_QUEUES, SVADEV_Q_CTRL, SVADEV_Q_CTRL_ENABLE);
    g_assert_cmpuint(queue_read(&d, NR_QUEUES, SVADEV_Q_CTRL), ==, 0);

    qtest_quit(d.qts);
}

static void test_no_pasid_capability(void)
{
    Dev d = start("-device svadev,addr=3,pasid-width=0");

    g_assert_cmphex(ext_cap(&d, PCI_EXT_CAP_ID_PASID), ==, 0);
    g_assert_cmpuint(ctrl_read(&d, SVADEV_NR_QUEUES), ==, 16);

    qtest_quit(d.qts);
}

static void test_pasid_width(void)
{
    Dev d = start("-device svadev,addr=3,pasid-width=5,pasid-priv=off");
    uint16_t pasid = ext_cap(&d, PCI_EXT_CAP_ID_PASID);

    g_assert_cmphex(qtest_readw(d.qts, d.cfg + pasid + PCI_PASID_CAP), ==,
                    5 << 8 | PCI_PASID_CAP_EXEC);
    qtest_writew(d.qts, d.cfg + pasid + PCI_PASID_CTRL, 0xffff);
    g_assert_cmphex(qtest_readw(d.qts, d.cfg + pasid + PCI_PASID_CTRL), ==,
                    PCI_PASID_CTRL_ENABLE | PCI_PASID_CTRL_EXEC);

    qtest_quit(d.qts);
}

static void test_page_registers(void)
{
    static const uint64_t operands[] = {
        SVADEV_OP, SVADEV_SRC, SVADEV_DST, SVADEV_LEN, SVADEV_VALUE,
        SVADEV_EXPECT, SVADEV_HAMMER,
    };
    static const uint64_t read_only[] = {
        SVADEV_STATUS, SVADEV_RESULT, SVADEV_FAULT_ADDR, SVADEV_DONE,
        SVADEV_FAULTS, SVADEV_ROUNDS,
    };
    const uint64_t val = 0x1122334455667788ull;
    Dev d = start_one();
    int i;

    for (i = 0; i < ARRAY_SIZE(operands); i++) {
        page_write(&d, 1, operands[i], val + i);
        page_write(&d, 2, operands[i], ~val - i);
    }
    for (i = 0; i < ARRAY_SIZE(operands); i++) {
        uint64_t addr = page_addr(&d, 1, operands[i]);

        g_assert_cmphex(page_read(&d, 1, operands[i]), ==, val + i);
        g_assert_cmphex(page_read(&d, 2, operands[i]), ==, ~val - i);

        g_assert_cmphex(qtest_readl(d.qts, addr), ==, (uint32_t)(val + i));
        g_assert_cmphex(qtest_readl(d.qts, addr + 4), ==, val >> 32);
        qtest_writel(d.qts, addr + 4, 0xaabbccdd);
        g_assert_cmphex(qtest_readq(d.qts, addr), ==,
                        0xaabbccdd00000000ull | (uint32_t)(val + i));
        qtest_writel(d.qts, addr, 0x99);
        g_assert_cmphex(qtest_readq(d.qts, addr), ==, 0xaabbccdd00000099ull);

        /* Neither a bus error nor an effect */
        qtest_writeb(d.qts, addr, 0x77);
        qtest_writew(d.qts, addr + 2, 0x77);
        qtest_writel(d.qts, addr + 2, 0x77);
        g_assert_cmphex(qtest_readq(d.qts, addr), ==, 0xaabbccdd00000099ull);
        g_assert_cmphex(qtest_readb(d.qts, addr), ==, 0);
        g_assert_cmphex(qtest_readw(d.qts, addr), ==, 0);
    }

    for (i = 0; i < ARRAY_SIZE(read_only); i++) {
        page_write(&d, 1, read_only[i], val);
        g_assert_cmphex(page_read(&d, 1, read_only[i]), ==, 0);
    }

    /* Enabling blanks */
    enable(&d, 1, 0);
    for (i = 0; i < ARRAY_SIZE(operands); i++) {
        g_assert_cmphex(page_read(&d, 1, operands[i]), ==, 0);
    }

    qtest_quit(d.qts);
}

static void check_copy(Dev *d, uint64_t src_off, uint64_t dst_off, size_t len)
{
    uint64_t src = d->machine->ram + src_off;
    uint64_t dst = d->machine->ram + 0x100000 + dst_off;
    g_autofree uint8_t *in = g_malloc(len + 1);
    g_autofree uint8_t *out = g_malloc(len + 16);
    int i;

    fill_pattern(in, len, len + src_off * 7 + dst_off);
    qtest_memwrite(d->qts, src, in, len);
    qtest_memset(d->qts, dst - 8, 0xee, len + 16);

    g_assert_cmpuint(run(d, 0, SVADEV_OP_COPY, src, dst, len, 0), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmpuint(page_read(d, 0, SVADEV_DONE), ==, len);

    qtest_memread(d->qts, dst - 8, out, len + 16);
    g_assert(!memcmp(out + 8, in, len));
    for (i = 0; i < 8; i++) {
        g_assert_cmphex(out[i], ==, 0xee);
        g_assert_cmphex(out[8 + len + i], ==, 0xee);
    }

    g_assert_cmpuint(run(d, 0, SVADEV_OP_COMPARE, src, dst, len, 0), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmpuint(page_read(d, 0, SVADEV_RESULT), ==, len);
}

static void test_copy(void)
{
    static const size_t lens[] = {
        1, 2, 3, 4, 7, 8, 9, 31, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE + 5,
    };
    static const uint64_t offs[] = { 0, 1, 4, 7, PAGE - 8, PAGE - 3, PAGE - 1 };
    Dev d = start_one();
    int l, s, t;

    for (l = 0; l < ARRAY_SIZE(lens); l++) {
        for (s = 0; s < ARRAY_SIZE(offs); s++) {
            for (t = 0; t < ARRAY_SIZE(offs); t++) {
                check_copy(&d, offs[s], 8 + offs[t], lens[l]);
            }
        }
    }

    /* More than one batch */
    check_copy(&d, 5, 8 + 11, 300001);

    qtest_quit(d.qts);
}

static void test_compare(void)
{
    Dev d = start_one();
    uint64_t a = d.machine->ram + PAGE - 3, b = a + 0x10000 + 1;
    size_t len = PAGE + 9, at;

    qtest_memset(d.qts, a, 0x5a, len);
    qtest_memset(d.qts, b, 0x5a, len);

    for (at = 0; at < len; at += (at < 12 || at > PAGE - 8) ? 1 : 509) {
        qtest_writeb(d.qts, b + at, 0x5b);
        g_assert_cmpuint(run(&d, 0, SVADEV_OP_COMPARE, a, b, len, 0), ==,
                         SVADEV_STATUS_OK);
        g_assert_cmpuint(page_read(&d, 0, SVADEV_RESULT), ==, at);
        qtest_writeb(d.qts, b + at, 0x5a);
    }

    g_assert_cmpuint(run(&d, 0, SVADEV_OP_COMPARE, a, b, len, 0), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmpuint(page_read(&d, 0, SVADEV_RESULT), ==, len);

    qtest_quit(d.qts);
}

static void test_read(void)
{
    static const size_t lens[] = { 1, 5, 8, PAGE, 2 * PAGE + 3, 100000 };
    g_autofree uint8_t *in = g_malloc(100000);
    Dev d = start_one();
    int l, off;
    size_t i;

    fill_pattern(in, 100000, 1);

    for (l = 0; l < ARRAY_SIZE(lens); l++) {
        for (off = 0; off < 9; off++) {
            uint64_t sum = 0;

            qtest_memset(d.qts, d.machine->ram, 0xff, 100100);
            qtest_memwrite(d.qts, d.machine->ram + off, in, lens[l]);
            for (i = 0; i < lens[l]; i++) {
                sum += in[i];
            }

            g_assert_cmpuint(run(&d, 0, SVADEV_OP_READ, d.machine->ram + off,
                                 0, lens[l], 0), ==, SVADEV_STATUS_OK);
            g_assert_cmpuint(page_read(&d, 0, SVADEV_RESULT), ==, sum);
        }
    }

    qtest_quit(d.qts);
}

static void test_write(void)
{
    const uint64_t val = 0x8877665544332211ull;
    Dev d = start_one();
    uint64_t base = d.machine->ram + PAGE - 16;
    uint8_t out[32], want[32];
    int len, off;

    for (len = 0; len <= 8; len++) {
        for (off = 0; off <= 24; off++) {
            memset(want, 0xcc, sizeof(want));
            qtest_memset(d.qts, base, 0xcc, sizeof(want));
            if (off + len > sizeof(want)) {
                continue;
            }
            for (int i = 0; i < len; i++) {
                want[off + i] = val >> (8 * i);
            }

            g_assert_cmpuint(run(&d, 0, SVADEV_OP_WRITE, 0, base + off, len,
                                 val), ==, SVADEV_STATUS_OK);
            qtest_memread(d.qts, base, out, sizeof(out));
            g_assert(!memcmp(out, want, sizeof(out)));
        }
    }

    qtest_quit(d.qts);
}

static void test_fill(void)
{
    static const size_t lens[] = { 0, 1, 7, 8, 4095, 4096, 4097, 99999 };
    Dev d = start_one();
    g_autofree uint8_t *out = g_malloc(100100);
    int l, off;
    size_t i;

    for (l = 0; l < ARRAY_SIZE(lens); l++) {
        for (off = 0; off < 9; off++) {
            qtest_memset(d.qts, d.machine->ram, 0x11, 100100);
            g_assert_cmpuint(run(&d, 0, SVADEV_OP_FILL, 0, d.machine->ram + off,
                                 lens[l], 0xabcdef), ==, SVADEV_STATUS_OK);
            qtest_memread(d.qts, d.machine->ram, out, 100100);
            for (i = 0; i < 100100; i++) {
                bool in = i >= off && i < off + lens[l];

                g_assert_cmphex(out[i], ==, in ? 0xef : 0x11);
            }
        }
    }

    qtest_quit(d.qts);
}

static void test_atomics(void)
{
    Dev d = start_one();
    uint64_t p = d.machine->ram + 0x100;

    qtest_writeq(d.qts, p, 0xfffffffffffffffeull);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_FETCH_ADD, 0, p, 8, 5), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmphex(page_read(&d, 0, SVADEV_RESULT), ==, 0xfffffffffffffffeull);
    g_assert_cmphex(qtest_readq(d.qts, p), ==, 3);

    /* 4 bytes: the carry stays inside, as do the high bits of VALUE */
    qtest_writeq(d.qts, p, 0x11111111ffffffffull);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_FETCH_ADD, 0, p, 4,
                         0x700000002ull), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(page_read(&d, 0, SVADEV_RESULT), ==, 0xffffffff);
    g_assert_cmphex(qtest_readq(d.qts, p), ==, 0x1111111100000001ull);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_FETCH_ADD, 0, p + 4, 4, 1), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmphex(qtest_readq(d.qts, p), ==, 0x1111111200000001ull);

    page_write(&d, 0, SVADEV_EXPECT, 0x1111111200000001ull);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_CAS, 0, p, 8, 77), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmphex(page_read(&d, 0, SVADEV_RESULT), ==, 0x1111111200000001ull);
    g_assert_cmphex(qtest_readq(d.qts, p), ==, 77);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_CAS, 0, p, 8, 78), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmphex(page_read(&d, 0, SVADEV_RESULT), ==, 77);
    g_assert_cmphex(qtest_readq(d.qts, p), ==, 77);

    page_write(&d, 0, SVADEV_EXPECT, 0xf0000004dull);
    qtest_writel(d.qts, p + 4, 0x55);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_CAS, 0, p, 4, 0x900000008ull), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmphex(page_read(&d, 0, SVADEV_RESULT), ==, 77);
    g_assert_cmphex(qtest_readq(d.qts, p), ==, 0x5500000008ull);

    qtest_quit(d.qts);
}

static void test_invalid(void)
{
    static const struct {
        uint64_t op, src, dst, len;
    } bad[] = {
        { SVADEV_OP_CAS + 1, 0, 0, 0 },
        { UINT64_MAX, 0, 0, 0 },
        { 0x100000000ull | SVADEV_OP_COPY, 0, 0, 1 },
        { SVADEV_OP_WRITE, 0, 0, 9 },
        { SVADEV_OP_WRITE, 0, UINT64_MAX - 3, 5 },
        { SVADEV_OP_READ, 2, 0, UINT64_MAX },
        { SVADEV_OP_READ, UINT64_MAX, 0, 2 },
        { SVADEV_OP_COPY, UINT64_MAX, 0, 2 },
        { SVADEV_OP_COPY, 0, UINT64_MAX, 2 },
        { SVADEV_OP_COMPARE, 0, UINT64_MAX, 2 },
        { SVADEV_OP_FILL, 0, UINT64_MAX - 7, 9 },
        { SVADEV_OP_FETCH_ADD, 0, 0, 0 },
        { SVADEV_OP_FETCH_ADD, 0, 0, 2 },
        { SVADEV_OP_FETCH_ADD, 0, 0, 16 },
        { SVADEV_OP_FETCH_ADD, 0, 2, 4 },
        { SVADEV_OP_FETCH_ADD, 0, 4, 8 },
        { SVADEV_OP_CAS, 0, 7, 8 },
    };
    Dev d = start_one();
    uint64_t end;
    int i;

    for (i = 0; i < ARRAY_SIZE(bad); i++) {
        set_op(&d, 0, bad[i].op, bad[i].src, bad[i].dst, bad[i].len, 1);
        go(&d, 0, SVADEV_GO_START);
        g_assert(!busy(&d, 0));
        g_assert_cmpuint(page_read(&d, 0, SVADEV_STATUS), ==,
                         SVADEV_STATUS_INVALID);
    }

    /* What nearly is: the very end of the address space, which is no RAM */
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_READ, UINT64_MAX, 0, 1, 0), ==,
                     SVADEV_STATUS_FAULT);
    g_assert_cmphex(page_read(&d, 0, SVADEV_FAULT_ADDR), ==, UINT64_MAX);

    /* No length, no DMA */
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_COPY, UINT64_MAX, UINT64_MAX, 0, 0),
                     ==, SVADEV_STATUS_OK);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_NOP, UINT64_MAX, UINT64_MAX,
                         UINT64_MAX, 0), ==, SVADEV_STATUS_OK);

    /* Where RAM ends: what was there is done, and the fault is exact */
    end = d.machine->ram_end;
    qtest_memset(d.qts, end - 10000, 3, 10000);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_FILL, 0, end - 5000, 5001, 9), ==,
                     SVADEV_STATUS_FAULT);
    g_assert_cmphex(page_read(&d, 0, SVADEV_FAULT_ADDR), ==, end);
    g_assert_cmpuint(page_read(&d, 0, SVADEV_DONE), ==, 5000);
    g_assert_cmphex(qtest_readb(d.qts, end - 1), ==, 9);
    g_assert_cmphex(qtest_readb(d.qts, end - 5001), ==, 3);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_COPY, end - 5000, d.machine->ram,
                         6000, 0), ==, SVADEV_STATUS_FAULT);
    g_assert_cmphex(page_read(&d, 0, SVADEV_FAULT_ADDR), ==, end);
    g_assert_cmpuint(page_read(&d, 0, SVADEV_DONE), ==, 5000);

    /* Only RAM is a target: not the device itself */
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_WRITE, 0, page_addr(&d, 0, SVADEV_GO),
                         8, 1), ==, SVADEV_STATUS_FAULT);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_READ, d.ctrl, 0, 8, 0), ==,
                     SVADEV_STATUS_FAULT);

    /* An unknown command does nothing */
    go(&d, 0, 3);
    g_assert(!busy(&d, 0));

    qtest_quit(d.qts);
}

static void test_bus_master(void)
{
    Dev d = start_one();

    qtest_writeq(d.qts, d.machine->ram, 0);
    set_command(&d, PCI_COMMAND_MEMORY);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_WRITE, 0, d.machine->ram, 8, 1), ==,
                     SVADEV_STATUS_FAULT);
    g_assert_cmphex(page_read(&d, 0, SVADEV_FAULT_ADDR), ==, d.machine->ram);
    g_assert_cmphex(qtest_readq(d.qts, d.machine->ram), ==, 0);

    set_command(&d, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_WRITE, 0, d.machine->ram, 8, 1), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmphex(qtest_readq(d.qts, d.machine->ram), ==, 1);

    qtest_quit(d.qts);
}

/* With no IOMMU to translate it a request with a PASID goes nowhere */
static void test_pasid_without_iommu(void)
{
    Dev d = start_one();
    uint16_t pasid = ext_cap(&d, PCI_EXT_CAP_ID_PASID);
    int on;

    enable(&d, 1, SVADEV_Q_PASID_VALID | 1);
    qtest_writeq(d.qts, d.machine->ram, 0);

    for (on = 0; on < 2; on++) {
        qtest_writew(d.qts, d.cfg + pasid + PCI_PASID_CTRL,
                     on ? PCI_PASID_CTRL_ENABLE : 0);
        g_assert_cmpuint(run(&d, 1, SVADEV_OP_WRITE, 0, d.machine->ram, 8, 1),
                         ==, SVADEV_STATUS_FAULT);
        g_assert_cmphex(qtest_readq(d.qts, d.machine->ram), ==, 0);
    }

    qtest_quit(d.qts);
}

static void test_latched_at_go(void)
{
    Dev d = start_one();
    uint64_t p = d.machine->ram;

    qtest_memset(d.qts, p, 0, 4 * PAGE);
    set_op(&d, 0, SVADEV_OP_FILL, 0, p, PAGE, 1);
    go(&d, 0, SVADEV_GO_START);
    g_assert(busy(&d, 0));
    g_assert_cmpuint(page_read(&d, 0, SVADEV_STATUS), ==, SVADEV_STATUS_BUSY);

    set_op(&d, 0, SVADEV_OP_FILL, 0, p + PAGE, PAGE, 2);
    go(&d, 0, SVADEV_GO_START);
    g_assert_cmpuint(wait_idle(&d, 0), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(qtest_readb(d.qts, p + PAGE - 1), ==, 1);
    g_assert_cmphex(qtest_readb(d.qts, p + PAGE), ==, 0);

    go(&d, 0, SVADEV_GO_START);
    g_assert_cmpuint(wait_idle(&d, 0), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(qtest_readb(d.qts, p + PAGE), ==, 2);

    qtest_quit(d.qts);
}

static void test_disable(void)
{
    const uint64_t len = 64 * PAGE;
    Dev d = start_one();
    uint64_t p = d.machine->ram, done;

    g_assert_cmpuint(run(&d, 1, SVADEV_OP_FILL, 0, p, 1, 1), ==,
                     SVADEV_STATUS_DISABLED);

    /* What is configured while disabled is fixed while enabled */
    enable(&d, 1, 0);
    queue_write(&d, 1, SVADEV_Q_PASID, SVADEV_Q_PASID_VALID | 9);
    queue_write(&d, 1, SVADEV_Q_MODE, SVADEV_Q_MODE_PRIV);
    g_assert_cmphex(queue_read(&d, 1, SVADEV_Q_PASID), ==, 0);
    g_assert_cmphex(queue_read(&d, 1, SVADEV_Q_MODE), ==, 0);

    /* Stopped midway: busy until the DMA under way has landed */
    qtest_memset(d.qts, p, 0, len);
    set_op(&d, 1, SVADEV_OP_FILL, 0, p, len, 0x66);
    go(&d, 1, SVADEV_GO_START);
    step(&d);
    g_assert_cmpuint(page_read(&d, 1, SVADEV_STATUS), ==, SVADEV_STATUS_BUSY);
    queue_write(&d, 1, SVADEV_Q_CTRL, 0);
    g_assert(busy(&d, 1));

    /* Not to be had again, nor changed, before it is idle */
    queue_write(&d, 1, SVADEV_Q_CTRL, SVADEV_Q_CTRL_ENABLE);
    g_assert_cmphex(queue_read(&d, 1, SVADEV_Q_CTRL), ==, 0);
    queue_write(&d, 1, SVADEV_Q_PASID, SVADEV_Q_PASID_VALID | 9);
    g_assert_cmphex(queue_read(&d, 1, SVADEV_Q_PASID), ==, 0);

    g_assert_cmpuint(wait_idle(&d, 1), ==, SVADEV_STATUS_DISABLED);
    done = page_read(&d, 1, SVADEV_DONE);
    g_assert_cmpuint(done, >, 0);
    g_assert_cmpuint(done, <, len);
    g_assert_cmphex(qtest_readb(d.qts, p + done - 1), ==, 0x66);
    g_assert_cmphex(qtest_readb(d.qts, p + done), ==, 0);

    /* Now it is */
    queue_write(&d, 1, SVADEV_Q_PASID, SVADEV_Q_PASID_VALID | 0xfff00009);
    g_assert_cmphex(queue_read(&d, 1, SVADEV_Q_PASID), ==,
                    SVADEV_Q_PASID_VALID | 9);
    enable(&d, 1, 0);
    g_assert_cmpuint(page_read(&d, 1, SVADEV_STATUS), ==, SVADEV_STATUS_IDLE);
    g_assert_cmpuint(run(&d, 1, SVADEV_OP_FILL, 0, p, len, 1), ==,
                     SVADEV_STATUS_OK);

    qtest_quit(d.qts);
}

/*
 * Start one-byte fills of @at until one of them is in flight: it has not reached
 * memory when as much time is over as translation takes.
 */
static void take_off(Dev *d, int q, uint64_t at)
{
    int i;

    for (i = 0; i < 100; i++) {
        qtest_writeb(d->qts, at, 0);
        set_op(d, q, SVADEV_OP_FILL, 0, at, 1, 1);
        go(d, q, SVADEV_GO_START);
        step(d);
        if (busy(d, q) && !qtest_readb(d->qts, at)) {
            return;
        }
        g_assert_cmpuint(wait_idle(d, q), ==, SVADEV_STATUS_OK);
    }
    g_assert_not_reached();
}

/* A DMA that is translated is done some time later, or dropped */
static void test_flight(void)
{
    Dev d = start_one();
    uint64_t p = d.machine->ram;

    enable(&d, 0, 0);
    take_off(&d, 0, p);
    qtest_clock_step(d.qts, FLIGHT_NS + STEP_NS);
    g_assert(!busy(&d, 0));
    g_assert_cmphex(qtest_readb(d.qts, p), ==, 1);

    /* A queue is not idle before */
    take_off(&d, 0, p);
    queue_write(&d, 0, SVADEV_Q_CTRL, 0);
    while (busy(&d, 0)) {
        g_assert_cmphex(qtest_readb(d.qts, p), ==, 0);
        step(&d);
    }
    g_assert_cmphex(qtest_readb(d.qts, p), ==, 1);

    /* What is translated needs no permission to be sent any more */
    enable(&d, 0, 0);
    take_off(&d, 0, p);
    set_command(&d, PCI_COMMAND_MEMORY);
    g_assert_cmpuint(wait_idle(&d, 0), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(qtest_readb(d.qts, p), ==, 1);
    set_command(&d, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);

    /* A reset drops it */
    take_off(&d, 0, p);
    ctrl_write(&d, SVADEV_RESET, 1);
    g_assert(!busy(&d, 0));
    qtest_clock_step(d.qts, 2 * FLIGHT_NS);
    g_assert_cmphex(qtest_readb(d.qts, p), ==, 0);

    /* and the next operation of the queue does not find it */
    enable(&d, 0, 0);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_FILL, 0, p + 1, 1, 1), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmphex(qtest_readb(d.qts, p), ==, 0);
    g_assert_cmphex(qtest_readb(d.qts, p + 1), ==, 1);

    qtest_quit(d.qts);
}

static void start_hammer(Dev *d, int q, uint64_t dst, uint64_t interval)
{
    set_op(d, q, SVADEV_OP_FETCH_ADD, 0, dst, 8, 1);
    page_write(d, q, SVADEV_HAMMER, interval);
    go(d, q, SVADEV_GO_START);
}

static void test_hammer(void)
{
    Dev d = start_one();
    uint64_t p = d.machine->ram, rounds;
    int i;

    qtest_writeq(d.qts, p, 0);
    start_hammer(&d, 0, p, 50000);
    for (i = 0; i < 10000; i++) {
        step(&d);
    }
    g_assert(busy(&d, 0));
    g_assert_cmpuint(page_read(&d, 0, SVADEV_STATUS), ==, SVADEV_STATUS_BUSY);
    rounds = page_read(&d, 0, SVADEV_ROUNDS);
    /* Some of them are in flight for longer than that */
    g_assert_cmpuint(rounds, >=, 80);
    g_assert_cmpuint(rounds, <=, 200);
    g_assert_cmpuint(qtest_readq(d.qts, p), ==, rounds);
    g_assert_cmpuint(page_read(&d, 0, SVADEV_RESULT), ==, rounds - 1);

    go(&d, 0, SVADEV_GO_STOP);
    g_assert_cmpuint(wait_idle(&d, 0), ==, SVADEV_STATUS_OK);
    rounds = page_read(&d, 0, SVADEV_ROUNDS);
    qtest_clock_step(d.qts, 1000000);
    g_assert_cmpuint(qtest_readq(d.qts, p), ==, rounds);

    /* Stopped before its first round: that one is still done */
    qtest_writeq(d.qts, p, 0);
    start_hammer(&d, 0, p, 50000);
    go(&d, 0, SVADEV_GO_STOP);
    g_assert(busy(&d, 0));
    g_assert_cmpuint(wait_idle(&d, 0), ==, SVADEV_STATUS_OK);
    g_assert_cmpuint(page_read(&d, 0, SVADEV_ROUNDS), ==, 1);
    g_assert_cmpuint(qtest_readq(d.qts, p), ==, 1);

    /* Between two rounds there is no DMA to wait for */
    start_hammer(&d, 0, p, UINT64_MAX);
    for (i = 0; i < 2 + FLIGHT_NS / STEP_NS; i++) {
        step(&d);
    }
    g_assert_cmpuint(page_read(&d, 0, SVADEV_ROUNDS), ==, 1);
    g_assert(busy(&d, 0));
    queue_write(&d, 0, SVADEV_Q_CTRL, 0);
    g_assert(!busy(&d, 0));
    g_assert_cmpuint(page_read(&d, 0, SVADEV_STATUS), ==,
                     SVADEV_STATUS_DISABLED);

    /* A stop is of the hammer that runs, not of the next one */
    enable(&d, 0, 0);
    go(&d, 0, SVADEV_GO_STOP);
    start_hammer(&d, 0, p, 1);
    for (i = 0; i < 4 * FLIGHT_NS / STEP_NS; i++) {
        step(&d);
    }
    g_assert_cmpuint(page_read(&d, 0, SVADEV_ROUNDS), >, 2);

    /* A fault ends it */
    set_command(&d, PCI_COMMAND_MEMORY);
    g_assert_cmpuint(wait_idle(&d, 0), ==, SVADEV_STATUS_FAULT);
    g_assert_cmphex(page_read(&d, 0, SVADEV_FAULT_ADDR), ==, p);

    qtest_quit(d.qts);
}

static void msix_entry(Dev *d, int n, uint64_t addr, uint32_t data, bool masked)
{
    uint64_t entry = d->msix + n * PCI_MSIX_ENTRY_SIZE;

    qtest_writeq(d->qts, entry, addr);
    qtest_writel(d->qts, entry + PCI_MSIX_ENTRY_DATA, data);
    qtest_writel(d->qts, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, masked);
}

static uint64_t msix_pending(Dev *d)
{
    uint8_t pos = cap(d, PCI_CAP_ID_MSIX);
    uint32_t pba = qtest_readl(d->qts, d->cfg + pos + PCI_MSIX_PBA);

    g_assert_cmpuint(pba & PCI_MSIX_PBA_BIR, ==, MSIX_BAR);
    return qtest_readq(d->qts, d->msix + (pba & PCI_MSIX_PBA_OFFSET));
}

static void test_msix(void)
{
    Dev d = start_one();
    uint64_t p = d.machine->ram;
    uint8_t pos = cap(&d, PCI_CAP_ID_MSIX);
    uint16_t flags;

    g_assert(pos);
    flags = qtest_readw(d.qts, d.cfg + pos + PCI_MSIX_FLAGS);
    g_assert_cmpuint((flags & PCI_MSIX_FLAGS_QSIZE) + 1, ==, NR_QUEUES);
    qtest_writew(d.qts, d.cfg + pos + PCI_MSIX_FLAGS,
                 flags | PCI_MSIX_FLAGS_ENABLE);

    /* Not asked for */
    msix_entry(&d, 2, p, 0x1234, true);
    enable(&d, 2, 0);
    g_assert_cmpuint(run(&d, 2, SVADEV_OP_NOP, 0, 0, 0, 0), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmphex(msix_pending(&d), ==, 0);

    /* Masked, then delivered; not to be seen before the operation ends */
    queue_write(&d, 2, SVADEV_Q_CTRL, SVADEV_Q_CTRL_ENABLE | SVADEV_Q_CTRL_IRQ);
    go(&d, 2, SVADEV_GO_START);
    g_assert_cmphex(msix_pending(&d), ==, 0);
    g_assert_cmpuint(wait_idle(&d, 2), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(msix_pending(&d), ==, 1 << 2);
    qtest_writel(d.qts, p, 0);
    msix_entry(&d, 2, p, 0x1234, false);
    g_assert_cmphex(qtest_readl(d.qts, p), ==, 0x1234);
    g_assert_cmphex(msix_pending(&d), ==, 0);

    /* Another vector, and an operation that fails */
    queue_write(&d, 2, SVADEV_Q_VECTOR, NR_QUEUES - 1);
    msix_entry(&d, NR_QUEUES - 1, p + 8, 0x99, false);
    qtest_writeq(d.qts, p, 0);
    g_assert_cmpuint(run(&d, 2, UINT64_MAX, 0, 0, 0, 0), ==,
                     SVADEV_STATUS_INVALID);
    g_assert_cmphex(qtest_readl(d.qts, p), ==, 0);
    g_assert_cmphex(qtest_readl(d.qts, p + 8), ==, 0x99);

    qtest_quit(d.qts);
}

/* The latched value of a counter, UINT64_MAX if there is none of this name */
static uint64_t counter(Dev *d, const char *name)
{
    uint32_t n = ctrl_read(d, SVADEV_STAT_COUNT), i;
    char entry[SVADEV_STAT_SIZE];

    for (i = 0; i < n; i++) {
        qtest_memread(d->qts, d->ctrl + SVADEV_STATS + i * SVADEV_STAT_SIZE,
                      entry, sizeof(entry));
        if (!strncmp(entry, name, SVADEV_STAT_NAME_LEN)) {
            return ldq_le_p(entry + SVADEV_STAT_NAME_LEN);
        }
    }

    return UINT64_MAX;
}

static void latch(Dev *d)
{
    ctrl_write(d, SVADEV_STAT_LATCH, 1);
}

static uint64_t latched_counter(Dev *d, const char *name)
{
    latch(d);
    return counter(d, name);
}

/*
 * A queue whose interrupt is a write to its own doorbell starts again each time
 * that it ends: not before its time, and it can be stopped.
 */
static void test_msix_starts_queue(void)
{
    Dev d = start_one();
    uint64_t ops;
    uint8_t pos = cap(&d, PCI_CAP_ID_MSIX);
    uint16_t flags = qtest_readw(d.qts, d.cfg + pos + PCI_MSIX_FLAGS);
    int i;

    qtest_writew(d.qts, d.cfg + pos + PCI_MSIX_FLAGS,
                 flags | PCI_MSIX_FLAGS_ENABLE);
    msix_entry(&d, 0, page_addr(&d, 0, SVADEV_GO), SVADEV_GO_START, false);
    queue_write(&d, 0, SVADEV_Q_CTRL, SVADEV_Q_CTRL_ENABLE | SVADEV_Q_CTRL_IRQ);

    set_op(&d, 0, SVADEV_OP_NOP, 0, 0, 0, 0);
    go(&d, 0, SVADEV_GO_START);
    for (i = 0; i < 1000; i++) {
        step(&d);
    }
    /* One each time that its timer expires, and none while that is pending */
    ops = latched_counter(&d, "svadev0.ops");
    g_assert_cmpuint(ops, >=, 900);
    g_assert_cmpuint(ops, <=, 1000);

    queue_write(&d, 0, SVADEV_Q_CTRL, 0);
    wait_idle(&d, 0);
    ops = latched_counter(&d, "svadev0.ops");
    qtest_clock_step(d.qts, 1000000);
    g_assert_cmpuint(latched_counter(&d, "svadev0.ops"), ==, ops);

    qtest_quit(d.qts);
}

static void test_stats(void)
{
    Dev a = start("-device svadev,addr=3,id=a -device svadev,addr=4,id=b");
    Dev b = find_dev(a.qts, a.machine, 1);
    uint64_t p = a.machine->ram;

    enable(&a, 0, 0);
    enable(&a, 1, 0);
    enable(&b, 0, 0);

    g_assert_cmpuint(ctrl_read(&a, SVADEV_STAT_COUNT), ==, 0);
    latch(&a);
    g_assert_cmpuint(ctrl_read(&a, SVADEV_STAT_COUNT), >=, 12);
    g_assert_cmpuint(counter(&a, "svadev0.ops"), ==, 0);
    g_assert_cmpuint(counter(&a, "svadev1.ops"), ==, 0);
    g_assert_cmpuint(counter(&a, "svadev2.ops"), ==, UINT64_MAX);

    g_assert_cmpuint(run(&a, 0, SVADEV_OP_COPY, p + 1, p + 8 * PAGE, 5000, 0),
                     ==, SVADEV_STATUS_OK);
    g_assert_cmpuint(run(&a, 0, SVADEV_OP_READ, a.machine->ram_end, 0, 1, 0),
                     ==, SVADEV_STATUS_FAULT);
    g_assert_cmpuint(run(&b, 0, SVADEV_OP_NOP, 0, 0, 0, 0), ==,
                     SVADEV_STATUS_OK);

    /* As of the latch */
    g_assert_cmpuint(counter(&a, "svadev0.ops"), ==, 0);
    latch(&a);
    g_assert_cmpuint(counter(&a, "svadev0.ops"), ==, 1);
    g_assert_cmpuint(counter(&a, "svadev0.bytes"), ==, 10000);
    g_assert_cmpuint(counter(&a, "svadev0.dma.ok"), ==, 5);
    g_assert_cmpuint(counter(&a, "svadev0.dma.fault"), ==, 1);
    g_assert_cmpuint(counter(&a, "svadev0.dma.stall"), ==, 0);
    g_assert_cmpuint(counter(&a, "svadev0.dma.retry"), ==, 0);
    g_assert_cmpuint(counter(&a, "svadev1.ops"), ==, 1);
    g_assert_cmpuint(counter(&a, "svadev1.bytes"), ==, 0);

    /* Each function has its own window on the same counters */
    g_assert_cmpuint(counter(&b, "svadev1.ops"), ==, UINT64_MAX);
    latch(&b);
    g_assert_cmpuint(counter(&b, "svadev0.ops"), ==, 1);

    g_assert_cmpuint(sva_stat(a.qts, "/machine/peripheral/a", "bytes"),
                     ==, 10000);
    g_assert_cmpuint(sva_stat(a.qts, "/machine/peripheral/b", "ops"), ==,
                     1);

    qtest_quit(a.qts);
}

/* More functions than there are names for counters: an error, no more */
static void test_too_many(void)
{
    const int most = 100;
    g_autoptr(GString) devices = g_string_new("");
    g_autofree char *cmd = NULL, *err = NULL;
    int i, code;
    Dev d;

    for (i = 0; i < most; i++) {
        g_string_append_printf(devices, "-device svadev,multifunction=on,"
                               "addr=%x.%x,nr-queues=1 ", SLOT + i / 8, i % 8);
    }

    d = start(devices->str);
    latch(&d);
    g_assert_cmpuint(counter(&d, "svadev0.ops"), ==, 0);
    g_assert_cmpuint(counter(&d, "svadev9.ops"), ==, 0);
    qtest_quit(d.qts);

    cmd = g_strdup_printf("%s %s -accel qtest -bios %s -display none "
                          "-nodefaults -S %s -device svadev,addr=%x",
                          getenv("QTEST_QEMU_BINARY"), d.machine->args,
                          firmware, devices->str, SLOT + most / 8 + 1);
    g_assert(g_spawn_command_line_sync(cmd, NULL, &err, &code, NULL));
    g_assert_cmpint(code, !=, 0);
    g_assert_nonnull(strstr(err, "too many devices"));
}

/* Two functions and two queues of one, all at once */
static void test_independent(void)
{
    const uint64_t len = 40 * PAGE + 1;
    Dev a = start("-device svadev,addr=3 -device svadev,addr=4");
    Dev b = find_dev(a.qts, a.machine, 1);
    uint64_t p = a.machine->ram;
    int i;

    enable(&a, 0, 0);
    enable(&a, 1, 0);
    enable(&b, 0, 0);
    set_op(&a, 0, SVADEV_OP_FILL, 0, p, len, 1);
    set_op(&a, 1, SVADEV_OP_FILL, 0, p + 0x100000, len, 2);
    set_op(&b, 0, SVADEV_OP_FILL, 0, p + 0x200000, len, 3);

    for (i = 0; i < 3; i++) {
        qtest_memset(a.qts, p + i * 0x100000, 0, len + 1);
    }

    go(&a, 0, SVADEV_GO_START);
    go(&a, 1, SVADEV_GO_START);
    go(&b, 0, SVADEV_GO_START);
    step(&a);
    g_assert(busy(&a, 0) && busy(&a, 1) && busy(&b, 0));
    queue_write(&a, 0, SVADEV_Q_CTRL, 0);

    g_assert_cmpuint(wait_idle(&a, 0), ==, SVADEV_STATUS_DISABLED);
    g_assert_cmpuint(wait_idle(&a, 1), ==, SVADEV_STATUS_OK);
    g_assert_cmpuint(wait_idle(&b, 0), ==, SVADEV_STATUS_OK);

    g_assert_cmphex(qtest_readb(a.qts, p + len - 1), ==, 0);
    for (i = 1; i < 3; i++) {
        g_assert_cmphex(qtest_readb(a.qts, p + i * 0x100000 + len - 1), ==,
                        i + 1);
        g_assert_cmphex(qtest_readb(a.qts, p + i * 0x100000 + len), ==, 0);
    }

    qtest_quit(a.qts);
}

static void busy_everywhere(Dev *d)
{
    ctrl_write(d, SVADEV_MAX_RETRIES, 5);
    latch(d);
    enable(d, 0, 0);
    enable(d, 1, SVADEV_Q_PASID_VALID | 3);
    start_hammer(d, 0, d->machine->ram, 50);
    step(d);
    step(d);
    g_assert(busy(d, 0));
}

static void check_after_reset(Dev *d)
{
    uint64_t val = qtest_readq(d->qts, d->machine->ram);

    g_assert(!busy(d, 0));
    g_assert_cmphex(queue_read(d, 0, SVADEV_Q_CTRL), ==, 0);
    g_assert_cmphex(queue_read(d, 1, SVADEV_Q_PASID), ==, 0);
    g_assert_cmphex(page_read(d, 0, SVADEV_STATUS), ==, SVADEV_STATUS_IDLE);
    g_assert_cmphex(page_read(d, 0, SVADEV_DST), ==, 0);
    g_assert_cmpuint(ctrl_read(d, SVADEV_MAX_RETRIES), ==, 64);
    g_assert_cmpuint(ctrl_read(d, SVADEV_STAT_COUNT), ==, 0);
    qtest_clock_step(d->qts, 1000000);
    g_assert_cmpuint(qtest_readq(d->qts, d->machine->ram), ==, val);
}

static void test_reset(void)
{
    Dev d = start_one();
    uint64_t pasid_ctrl = d.cfg + ext_cap(&d, PCI_EXT_CAP_ID_PASID) +
                          PCI_PASID_CTRL;
    uint64_t devctl = d.cfg + cap(&d, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL;

    qtest_writew(d.qts, pasid_ctrl, PCI_PASID_CTRL_ENABLE);

    busy_everywhere(&d);
    ctrl_write(&d, SVADEV_RESET, 1);
    check_after_reset(&d);
    g_assert_cmphex(qtest_readw(d.qts, pasid_ctrl), ==, PCI_PASID_CTRL_ENABLE);

    busy_everywhere(&d);
    qtest_writew(d.qts, devctl, PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmphex(qtest_readw(d.qts, pasid_ctrl), ==, 0);
    g_assert_cmphex(qtest_readw(d.qts, d.cfg + PCI_COMMAND), ==, 0);
    setup_bars(&d);
    check_after_reset(&d);

    qtest_writew(d.qts, pasid_ctrl, PCI_PASID_CTRL_ENABLE);
    busy_everywhere(&d);
    qtest_system_reset(d.qts);
    d = find_dev(d.qts, d.machine, 0);
    if (!strcmp(d.machine->arch, "x86_64")) {
        /* The reset has closed the window on config space as well */
        qtest_outl(d.qts, 0xcf8, 0x80000060);
        qtest_outl(d.qts, 0xcfc, d.machine->ecam | 1);
        d = find_dev(d.qts, d.machine, 0);
    }
    g_assert_cmphex(qtest_readw(d.qts, pasid_ctrl), ==, 0);
    check_after_reset(&d);

    qtest_quit(d.qts);
}

static void test_unmigratable(void)
{
    Dev d = start_one();
    QDict *r = qtest_qmp(d.qts, "{'execute': 'migrate', 'arguments': "
                         "{'uri': 'tcp:127.0.0.1:0'}}");
    QDict *error = qdict_get_qdict(r, "error");

    g_assert(error);
    g_assert(strstr(qdict_get_str(error, "desc"), SVADEV_NAME));
    qobject_unref(r);

    qtest_quit(d.qts);
}

/* Whatever a guest writes where, the emulator lives */
static void test_garbage(void)
{
    Dev d = start_one();
    uint64_t bars[] = { d.ctrl, d.pages };
    uint64_t sizes[] = { SVADEV_CTRL_SIZE, NR_QUEUES * SVADEV_QUEUE_STRIDE };
    int i;

    for (i = 0; i < 20000; i++) {
        int bar = g_test_rand_int_range(0, 2);
        uint64_t off = g_test_rand_int_range(0, sizes[bar] - 8);
        uint64_t val = (uint64_t)g_test_rand_int() << 32 | g_test_rand_int();
        uint64_t addr;

        /* Mostly where registers are, and values that mean something */
        if (g_test_rand_bit()) {
            off = bar ? off / SVADEV_QUEUE_STRIDE * SVADEV_QUEUE_STRIDE +
                        off % 0x70 : off % 0x1180;
        }
        if (g_test_rand_bit()) {
            val &= 0xf;
        }
        addr = bars[bar] + off;

        switch (g_test_rand_int_range(0, 8)) {
        case 0:
            qtest_writeb(d.qts, addr, val);
            break;
        case 1:
            qtest_writew(d.qts, addr, val);
            break;
        case 2:
            qtest_writel(d.qts, addr & ~3, val);
            break;
        case 3:
            qtest_readl(d.qts, addr);
            break;
        case 4:
            qtest_readq(d.qts, addr);
            break;
        case 5:
            step(&d);
            break;
        default:
            qtest_writeq(d.qts, addr & ~7, val);
            break;
        }
    }

    ctrl_write(&d, SVADEV_RESET, 1);
    enable(&d, 0, 0);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_FILL, 0, d.machine->ram, 9, 1), ==,
                     SVADEV_STATUS_OK);

    qtest_quit(d.qts);
}

/* A machine needs some firmware, even though no CPU runs */
static void make_firmware(void)
{
    g_autofree uint8_t *zeros = g_malloc0(64 * KiB);
    g_autoptr(GError) error = NULL;
    int fd = g_file_open_tmp("svadev-test-XXXXXX", &firmware, &error);

    g_assert_no_error(error);
    g_assert_cmpint(write(fd, zeros, 64 * KiB), ==, 64 * KiB);
    close(fd);
}

static void test_ats_capabilities(void)
{
    Dev d = start("-device svadev,addr=3,ats=on,pri=on");
    uint64_t ats = d.cfg + ext_cap(&d, PCI_EXT_CAP_ID_ATS);
    uint64_t pri = d.cfg + ext_cap(&d, PCI_EXT_CAP_ID_PRI);
    const uint16_t idle = PCI_PRI_STATUS_STOPPED | PCI_PRI_STATUS_PASID;
    uint8_t exp = cap(&d, PCI_CAP_ID_EXP);

    g_assert_cmphex(ctrl_read(&d, SVADEV_CAPS), ==,
                    SVADEV_CAPS_ATS | SVADEV_CAPS_PRI);

    g_assert_cmphex(ats, !=, d.cfg);
    g_assert(qtest_readw(d.qts, ats + PCI_ATS_CAP) & PCI_ATS_CAP_PAGE_ALIGNED);
    g_assert_cmphex(qtest_readw(d.qts, ats + PCI_ATS_CTRL), ==, 0);
    qtest_writew(d.qts, ats + PCI_ATS_CTRL, PCI_ATS_CTRL_ENABLE);
    g_assert_cmphex(qtest_readw(d.qts, ats + PCI_ATS_CTRL), ==,
                    PCI_ATS_CTRL_ENABLE);

    g_assert_cmphex(pri, !=, d.cfg);
    g_assert_cmphex(qtest_readw(d.qts, pri + PCI_PRI_STATUS), ==, idle);
    g_assert_cmpuint(qtest_readl(d.qts, pri + PCI_PRI_MAX_REQ), ==, 512);
    g_assert_cmpuint(qtest_readl(d.qts, pri + PCI_PRI_ALLOC_REQ), ==, 0);
    qtest_writel(d.qts, pri + PCI_PRI_ALLOC_REQ, 32);
    g_assert_cmpuint(qtest_readl(d.qts, pri + PCI_PRI_ALLOC_REQ), ==, 32);

    /* A reset reads as 0, with and without an effect */
    qtest_writew(d.qts, pri + PCI_PRI_CTRL, PCI_PRI_CTRL_RESET);
    g_assert_cmphex(qtest_readw(d.qts, pri + PCI_PRI_CTRL), ==, 0);
    qtest_writew(d.qts, pri + PCI_PRI_CTRL,
                 PCI_PRI_CTRL_RESET | PCI_PRI_CTRL_ENABLE);
    g_assert_cmphex(qtest_readw(d.qts, pri + PCI_PRI_CTRL), ==,
                    PCI_PRI_CTRL_ENABLE);

    /* Nothing is outstanding: it stops at once */
    qtest_writew(d.qts, pri + PCI_PRI_CTRL, 0);
    g_assert_cmphex(qtest_readw(d.qts, pri + PCI_PRI_STATUS), ==, idle);

    /* What is not writable is not */
    qtest_writew(d.qts, pri + PCI_PRI_STATUS, 0);
    g_assert_cmphex(qtest_readw(d.qts, pri + PCI_PRI_STATUS), ==, idle);
    qtest_writel(d.qts, pri + PCI_PRI_MAX_REQ, 1);
    g_assert_cmpuint(qtest_readl(d.qts, pri + PCI_PRI_MAX_REQ), ==, 512);

    /* A reset of the function disables both */
    qtest_writew(d.qts, pri + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE);
    qtest_writew(d.qts, d.cfg + exp + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmphex(qtest_readw(d.qts, ats + PCI_ATS_CTRL), ==, 0);
    g_assert_cmphex(qtest_readw(d.qts, pri + PCI_PRI_CTRL), ==, 0);
    g_assert_cmphex(qtest_readw(d.qts, pri + PCI_PRI_STATUS), ==, idle);
    g_assert_cmpuint(qtest_readl(d.qts, pri + PCI_PRI_ALLOC_REQ), ==, 0);

    qtest_quit(d.qts);
}

/* How many page requests a function may have outstanding */
static void test_max_requests(void)
{
    Dev d = start("-device svadev,addr=3,ats=on,pri=on,max-requests=4096 "
                  "-device svadev,addr=4,ats=on,pri=on,max-requests=1");
    Dev e = find_dev(d.qts, d.machine, 1);

    g_assert_cmpuint(qtest_readl(d.qts, d.cfg + PCI_PRI_MAX_REQ +
                                 ext_cap(&d, PCI_EXT_CAP_ID_PRI)), ==, 4096);
    g_assert_cmpuint(qtest_readl(e.qts, e.cfg + PCI_PRI_MAX_REQ +
                                 ext_cap(&e, PCI_EXT_CAP_ID_PRI)), ==, 1);

    qtest_quit(d.qts);
}

/* What software does to config space in an order that PCI Express forbids */
static void test_config_order(void)
{
    Dev d = start("-device svadev,addr=3,ats=on,pri=on");
    uint64_t ats = d.cfg + ext_cap(&d, PCI_EXT_CAP_ID_ATS) + PCI_ATS_CTRL;
    uint64_t pri = d.cfg + ext_cap(&d, PCI_EXT_CAP_ID_PRI);
    uint64_t pasid = d.cfg + ext_cap(&d, PCI_EXT_CAP_ID_PASID) +
                     PCI_PASID_CTRL;
    uint8_t exp = cap(&d, PCI_CAP_ID_EXP);

    /* The right one, twice: a reset of the function ends it as well */
    qtest_writew(d.qts, pasid, PCI_PASID_CTRL_ENABLE);
    qtest_writel(d.qts, pri + PCI_PRI_ALLOC_REQ, 32);
    qtest_writew(d.qts, pri + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE);
    qtest_writew(d.qts, ats, PCI_ATS_CTRL_ENABLE);
    qtest_writew(d.qts, d.cfg + exp + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    setup_bars(&d);
    qtest_writew(d.qts, pasid, PCI_PASID_CTRL_ENABLE);
    qtest_writel(d.qts, pri + PCI_PRI_ALLOC_REQ, 32);
    qtest_writew(d.qts, pri + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE);
    qtest_writew(d.qts, ats, PCI_ATS_CTRL_ENABLE);
    latch(&d);
    g_assert_cmpuint(counter(&d, "svadev0.cfg.order"), ==, 0);

    qtest_writew(d.qts, pasid, 0);
    latch(&d);
    g_assert_cmpuint(counter(&d, "svadev0.cfg.order"), ==, 1);
    qtest_writel(d.qts, pri + PCI_PRI_ALLOC_REQ, 16);
    latch(&d);
    g_assert_cmpuint(counter(&d, "svadev0.cfg.order"), ==, 2);

    qtest_writew(d.qts, ats, 0);
    qtest_writew(d.qts, pri + PCI_PRI_CTRL, 0);
    qtest_writew(d.qts, pasid, PCI_PASID_CTRL_ENABLE);
    qtest_writel(d.qts, pri + PCI_PRI_ALLOC_REQ, 0);
    latch(&d);
    g_assert_cmpuint(counter(&d, "svadev0.cfg.order"), ==, 2);
    qtest_writew(d.qts, pri + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE);
    latch(&d);
    g_assert_cmpuint(counter(&d, "svadev0.cfg.order"), ==, 3);

    qtest_quit(d.qts);
}

/* Modes of the PASID Control register (PCIe 6.0, 7.8.9.3): cfg.order counts */
static void test_config_modes(void)
{
    Dev d = start("-device svadev,addr=3,ats=on,pasid-priv=off");
    uint64_t ats = d.cfg + ext_cap(&d, PCI_EXT_CAP_ID_ATS) + PCI_ATS_CTRL;
    uint64_t cap = d.cfg + ext_cap(&d, PCI_EXT_CAP_ID_PASID);
    uint64_t ctrl = cap + PCI_PASID_CTRL;

    /* Supported, and not changed while ATS is enabled */
    qtest_writew(d.qts, ctrl, PCI_PASID_CTRL_ENABLE | PCI_PASID_CTRL_EXEC);
    qtest_writew(d.qts, ctrl, PCI_PASID_CTRL_ENABLE);
    qtest_writew(d.qts, ats, PCI_ATS_CTRL_ENABLE);
    qtest_writew(d.qts, ctrl, PCI_PASID_CTRL_ENABLE);
    latch(&d);
    g_assert_cmpuint(counter(&d, "svadev0.cfg.order"), ==, 0);

    qtest_writew(d.qts, ctrl, PCI_PASID_CTRL_ENABLE | PCI_PASID_CTRL_EXEC);
    latch(&d);
    g_assert_cmpuint(counter(&d, "svadev0.cfg.order"), ==, 1);
    qtest_writew(d.qts, ats, 0);

    /* Not supported: the bit is not set, by writes of any size */
    qtest_writew(d.qts, ctrl, PCI_PASID_CTRL_ENABLE | PCI_PASID_CTRL_PRIV);
    g_assert_cmphex(qtest_readw(d.qts, ctrl), ==, PCI_PASID_CTRL_ENABLE);
    latch(&d);
    g_assert_cmpuint(counter(&d, "svadev0.cfg.order"), ==, 2);
    qtest_writel(d.qts, cap + PCI_PASID_CAP,
                 (PCI_PASID_CTRL_ENABLE | PCI_PASID_CTRL_PRIV) << 16);
    latch(&d);
    g_assert_cmpuint(counter(&d, "svadev0.cfg.order"), ==, 3);
    qtest_writeb(d.qts, ctrl, PCI_PASID_CTRL_PRIV);
    latch(&d);
    g_assert_cmpuint(counter(&d, "svadev0.cfg.order"), ==, 4);
    /* These are others */
    qtest_writeb(d.qts, ctrl + 1, PCI_PASID_CTRL_PRIV);
    qtest_writew(d.qts, cap + PCI_PASID_CAP, PCI_PASID_CTRL_PRIV);
    latch(&d);
    g_assert_cmpuint(counter(&d, "svadev0.cfg.order"), ==, 4);

    qtest_quit(d.qts);
}

/* A reset of the function ends what its queues do, and drops what is in flight */
static void test_function_reset(void)
{
    Dev d = start_one();
    uint64_t p = d.machine->ram;
    uint8_t exp = cap(&d, PCI_CAP_ID_EXP);

    take_off(&d, 0, p);
    qtest_writew(d.qts, d.cfg + exp + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmphex(qtest_readw(d.qts, d.cfg + exp + PCI_EXP_DEVCTL) &
                    PCI_EXP_DEVCTL_BCR_FLR, ==, 0);
    g_assert_cmphex(qtest_readw(d.qts, d.cfg + PCI_COMMAND), ==, 0);
    qtest_clock_step(d.qts, 2 * FLIGHT_NS);
    g_assert_cmphex(qtest_readb(d.qts, p), ==, 0);

    setup_bars(&d);
    g_assert(!busy(&d, 0));
    g_assert_cmphex(queue_read(&d, 0, SVADEV_Q_CTRL), ==, 0);
    enable(&d, 0, 0);
    g_assert_cmpuint(run(&d, 0, SVADEV_OP_FILL, 0, p, 1, 1), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmphex(qtest_readb(d.qts, p), ==, 1);

    qtest_quit(d.qts);
}

static uint32_t mode(Dev *d, uint32_t val)
{
    queue_write(d, 0, SVADEV_Q_MODE, val);
    return queue_read(d, 0, SVADEV_Q_MODE);
}

/* A function without them is as it was */
static void test_ats_off(void)
{
    Dev d = start("-device svadev,addr=3");

    g_assert_cmphex(ext_cap(&d, PCI_EXT_CAP_ID_ATS), ==, 0);
    g_assert_cmphex(ext_cap(&d, PCI_EXT_CAP_ID_PRI), ==, 0);
    g_assert_cmphex(ctrl_read(&d, SVADEV_CAPS), ==, 0);
    g_assert_cmphex(mode(&d, 0xffffffff), ==, SVADEV_Q_MODE_PRIV);
    ctrl_write(&d, SVADEV_INJECT, 0xffffffff);
    g_assert_cmphex(ctrl_read(&d, SVADEV_INJECT), ==, 0);

    qtest_quit(d.qts);
}

static void test_ats_mode(void)
{
    Dev d = start("-device svadev,addr=3,ats=on,pri=on "
                  "-device svadev,addr=4,ats=on,pasid-width=0");
    Dev e = find_dev(d.qts, d.machine, 1);

    g_assert_cmphex(mode(&d, SVADEV_Q_MODE_MISS_PRI), ==, 0);
    g_assert_cmphex(mode(&d, SVADEV_Q_MODE_ATS | SVADEV_Q_MODE_MISS_PRI), ==,
                    SVADEV_Q_MODE_ATS | SVADEV_Q_MODE_MISS_PRI);
    g_assert_cmphex(mode(&d, SVADEV_Q_MODE_ATS | SVADEV_Q_MODE_MISS_FAIL), ==,
                    SVADEV_Q_MODE_ATS | SVADEV_Q_MODE_MISS_FAIL);
    g_assert_cmphex(mode(&d, 0xffffffff), ==, SVADEV_Q_MODE_ATS |
                    SVADEV_Q_MODE_PRIV | SVADEV_Q_MODE_MISS_HOLD);

    /* ATS alone, and as the first extended capability */
    g_assert_cmphex(ext_cap(&e, PCI_EXT_CAP_ID_ATS), ==, PCI_CFG_SPACE_SIZE);
    g_assert_cmphex(ctrl_read(&e, SVADEV_CAPS), ==, SVADEV_CAPS_ATS);
    g_assert_cmphex(mode(&e, SVADEV_Q_MODE_ATS | SVADEV_Q_MODE_MISS_PRI), ==,
                    SVADEV_Q_MODE_ATS);

    g_assert_cmpuint(ctrl_read(&d, SVADEV_PRG_PAGES), ==, 1);
    ctrl_write(&d, SVADEV_PRG_PAGES, SVADEV_PRG_PAGES_MAX);
    ctrl_write(&d, SVADEV_PRG_PAGES, 0);
    ctrl_write(&d, SVADEV_PRG_PAGES, SVADEV_PRG_PAGES_MAX + 1);
    ctrl_write(&d, SVADEV_PRG_PAGES, 0xffffffff);
    g_assert_cmpuint(ctrl_read(&d, SVADEV_PRG_PAGES), ==, SVADEV_PRG_PAGES_MAX);
    ctrl_write(&d, SVADEV_INJECT, 0xffffffff);
    g_assert_cmphex(ctrl_read(&d, SVADEV_INJECT), ==, 0x1ff);
    ctrl_write(&e, SVADEV_INJECT, 0xffffffff);
    g_assert_cmphex(ctrl_read(&e, SVADEV_INJECT), ==,
                    SVADEV_INJECT_INV_LATE | SVADEV_INJECT_INV_NEVER);
    ctrl_write(&d, SVADEV_RESET, 1);
    g_assert_cmpuint(ctrl_read(&d, SVADEV_PRG_PAGES), ==, 1);
    g_assert_cmphex(ctrl_read(&d, SVADEV_INJECT), ==, 0);

    qtest_quit(d.qts);
}

/* Everything is enabled, and nobody is there to ask */
static void test_ats_without_iommu(void)
{
    static const uint32_t misses[] = {
        SVADEV_Q_MODE_MISS_IOMMU, SVADEV_Q_MODE_MISS_FAIL,
        SVADEV_Q_MODE_MISS_PRI,
    };
    Dev d = start("-device svadev,addr=3,ats=on,pri=on");
    uint64_t pasid = d.cfg + ext_cap(&d, PCI_EXT_CAP_ID_PASID);
    uint64_t ats = d.cfg + ext_cap(&d, PCI_EXT_CAP_ID_ATS);
    uint64_t pri = d.cfg + ext_cap(&d, PCI_EXT_CAP_ID_PRI);
    int i;

    qtest_writew(d.qts, pasid + PCI_PASID_CTRL, PCI_PASID_CTRL_ENABLE);
    qtest_writew(d.qts, ats + PCI_ATS_CTRL, PCI_ATS_CTRL_ENABLE);
    qtest_writel(d.qts, pri + PCI_PRI_ALLOC_REQ, 32);
    qtest_writew(d.qts, pri + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE);

    for (i = 0; i < 2 * ARRAY_SIZE(misses); i++) {
        queue_write(&d, 0, SVADEV_Q_CTRL, 0);
        ctrl_write(&d, SVADEV_INJECT, i < ARRAY_SIZE(misses) ? 0 : 0x1ff);
        mode(&d, SVADEV_Q_MODE_ATS | misses[i % ARRAY_SIZE(misses)]);
        enable(&d, 0, SVADEV_Q_PASID_VALID | 1);
        g_assert_cmpuint(run(&d, 0, SVADEV_OP_READ, d.machine->ram, 0, 8, 0),
                         ==, SVADEV_STATUS_FAULT);
        g_assert_cmphex(page_read(&d, 0, SVADEV_FAULT_ADDR), ==,
                        d.machine->ram);
    }
    queue_write(&d, 0, SVADEV_Q_CTRL, 0);

    latch(&d);
    g_assert_cmpuint(counter(&d, "svadev0.atc.hit"), ==, 0);
    g_assert_cmpuint(counter(&d, "svadev0.pri.req"), ==, 0);
    g_assert_cmpuint(counter(&d, "svadev0.pri.stop"), ==, 0);
    g_assert_cmpuint(counter(&d, "svadev0.dma.fault"), ==,
                     2 * ARRAY_SIZE(misses));

    qtest_quit(d.qts);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    make_firmware();

    qtest_add_func("/svadev/identity", test_identity);
    qtest_add_func("/svadev/pasid/none", test_no_pasid_capability);
    qtest_add_func("/svadev/pasid/width", test_pasid_width);
    qtest_add_func("/svadev/pasid/no-iommu", test_pasid_without_iommu);
    qtest_add_func("/svadev/ats/capabilities", test_ats_capabilities);
    qtest_add_func("/svadev/max-requests", test_max_requests);
    qtest_add_func("/svadev/config-order", test_config_order);
    qtest_add_func("/svadev/config-modes", test_config_modes);
    qtest_add_func("/svadev/function-reset", test_function_reset);
    qtest_add_func("/svadev/ats/off", test_ats_off);
    qtest_add_func("/svadev/ats/mode", test_ats_mode);
    qtest_add_func("/svadev/ats/no-iommu", test_ats_without_iommu);
    qtest_add_func("/svadev/page-registers", test_page_registers);
    qtest_add_func("/svadev/op/copy", test_copy);
    qtest_add_func("/svadev/op/compare", test_compare);
    qtest_add_func("/svadev/op/read", test_read);
    qtest_add_func("/svadev/op/write", test_write);
    qtest_add_func("/svadev/op/fill", test_fill);
    qtest_add_func("/svadev/op/atomics", test_atomics);
    qtest_add_func("/svadev/op/invalid", test_invalid);
    qtest_add_func("/svadev/bus-master", test_bus_master);
    qtest_add_func("/svadev/latched-at-go", test_latched_at_go);
    qtest_add_func("/svadev/disable", test_disable);
    qtest_add_func("/svadev/flight", test_flight);
    qtest_add_func("/svadev/hammer", test_hammer);
    qtest_add_func("/svadev/msix", test_msix);
    qtest_add_func("/svadev/msix-starts-queue", test_msix_starts_queue);
    qtest_add_func("/svadev/stats", test_stats);
    qtest_add_func("/svadev/too-many", test_too_many);
    qtest_add_func("/svadev/independent", test_independent);
    qtest_add_func("/svadev/reset", test_reset);
    qtest_add_func("/svadev/unmigratable", test_unmigratable);
    qtest_add_func("/svadev/garbage", test_garbage);

    ret = g_test_run();
    unlink(firmware);
    g_free(firmware);
    return ret;
}
