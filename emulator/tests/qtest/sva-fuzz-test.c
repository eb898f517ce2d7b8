/*
 * QTest fuzzer of svadev and of the SMMUv3 in front of it, if the machine has
 * one.
 *
 * A burst writes half-valid tables into memory, then does random things:
 * registers of any offset and width, commands, programs for svadev's queues,
 * changes of tables under way. It ends with a reset of one of several kinds, a
 * set-up by the book, and a copy, which must work. What must hold:
 *
 *  - QEMU lives, answers, and does not grow: neither its heap nor the number
 *    of stalled faults.
 *  - After the reset the copy moves the right bytes, and no other byte of the
 *    memory around them changes, without an event or a stale cache entry.
 *  - No DMA reads or writes the forbidden memory, that from 4GB on. It is a
 *    hole in the file that backs the guest's memory, and any access would fill
 *    some of it. Nothing that the test writes anywhere, as a descriptor, base
 *    or address, has bits 47:32 of forbidden memory; no pages and blocks of the
 *    architecture are as large as that; and no operation makes another such
 *    word, as programs copy whole doublewords, and write no bytes of which one
 *    could be put together (see allowed()).
 *
 * All that is random comes from one seed, which is printed. SVA_FUZZ_SEED sets
 * it, SVA_FUZZ_BURSTS the number of bursts. Burst n of seed s makes the same
 * choices as burst 0 of seed s + n.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "libsva.h"
#include "hw/pci/pci_regs.h"
#include "standard-headers/misc/svadev.h"
#include <sys/mman.h>
#include <sys/prctl.h>

#define PAGE            0x1000ull
#define RAM_SIZE        (6 * GiB)
#define FORBIDDEN_HIGH  1               /* bits 47:32 of forbidden addresses */

#define SLOT            3               /* of the first svadev */
#define NR_DEVS         2
#define NR_QUEUES       6
#define STALL_MAX       4

/* Offsets from the start of memory */
#define POOL            0x04000000ull   /* where most accesses go: */
#define STRTAB          (POOL + 0x0000) /* 64 STEs */
#define L1STRTAB        (POOL + 0x2000)
#define CDTAB           (POOL + 0x4000) /* 64 CDs, or L1CDs */
#define CMDQ            (POOL + 0x6000)
#define EVTQ            (POOL + 0x8000)
#define TABLES          (POOL + 0x10000)
#define NR_TABLES       16
#define ARENA           (POOL + 0x20000) /* what the copy must respect */
#define NR_PAGES        16
#define POOL_SIZE       0x30000ull
#define LOW_SIZE        0x40000000ull   /* of what is mapped here */

#define SEED            1
#define BURSTS          300
#define STEPS           100
/* On a busy host, what QEMU frees by RCU piles up for a while */
#define HEAP_SLACK_KB   (24 * KiB)      /* 24MB */
#define MAX_WAIT        20000

typedef struct Machine {
    const char *arch;
    const char *args;
    uint64_t ecam;
    uint64_t mmio;
    uint64_t ram;
    uint64_t below_4g;                  /* size of memory there */
    uint64_t smmu;                      /* 0 without one */
} Machine;

static const Machine machines[] = {
    {
        .arch = "aarch64",
        .args = "-M virt,iommu=smmuv3,highmem-ecam=off,memory-backend=ram "
                "-cpu cortex-a57 -global arm-smmuv3.ssidsize=16 "
                "-global arm-smmuv3.stall=on "
                "-global arm-smmuv3.stall-max=" stringify(STALL_MAX),
        .ecam = 0x3f000000,
        .mmio = 0x10000000,
        .ram = 0x40000000,
        .below_4g = 3 * GiB,
        .smmu = 0x09050000,
    }, {
        .arch = "x86_64",
        .args = "-M q35,memory-backend=ram",
        .ecam = 0xb0000000,
        .mmio = 0xc0000000,
        .ram = 0,
        .below_4g = 2 * GiB,
    },
};

typedef struct Fuzz {
    QTestState *qts;
    const Machine *machine;
    GRand *rng;
    int fd;                             /* of the guest's memory */
    uint8_t *low;                       /* LOW_SIZE of it */
    uint32_t seed;
    uint32_t burst;
    uint64_t heap_kb;
} Fuzz;

/* Chance */

static uint32_t below(Fuzz *f, uint32_t n)
{
    return g_rand_int_range(f->rng, 0, n);
}

static bool one_in(Fuzz *f, uint32_t n)
{
    return !below(f, n);
}

static uint32_t random32(Fuzz *f)
{
    uint32_t val = g_rand_int(f->rng);

    /* Small numbers are the more interesting ones */
    return one_in(f, 3) ? val & MAKE_64BIT_MASK(0, below(f, 32)) : val;
}

/*
 * Make of @val a doubleword that leads to no forbidden memory, whatever it is
 * taken for. As software may add to an address, also not from just below it.
 */
static uint64_t allowed(uint64_t val)
{
    switch (extract64(val, 32, 16)) {
    case FORBIDDEN_HIGH:
        return val ^ 1ull << 33;
    case FORBIDDEN_HIGH - 1:
        return val & ~(1ull << 31);
    default:
        return val;
    }
}

/* The same for 32 bits that may be the upper half of a doubleword */
static uint32_t allowed32(uint32_t val)
{
    return extract32(val, 0, 16) == FORBIDDEN_HIGH ? val ^ 2 : val;
}

static uint64_t random64(Fuzz *f)
{
    return allowed((uint64_t)random32(f) << 32 | random32(f));
}

/* @good with a few bits wrong, once in a while */
static uint64_t garbled(Fuzz *f, uint64_t good)
{
    switch (below(f, 64)) {
    case 0:
        return random64(f);
    case 1:
        return allowed(good ^ (random64(f) & random64(f) & random64(f)));
    case 2 ... 3:
        return allowed(good ^ 1ull << below(f, 64));
    default:
        return good;
    }
}

static uint64_t pool_page(Fuzz *f)
{
    return f->machine->ram + POOL + below(f, POOL_SIZE / PAGE) * PAGE;
}

/* Where a table, or a queue of commands, may be */
static uint64_t random_addr(Fuzz *f)
{
    switch (below(f, 10)) {
    case 0:
        return random64(f);
    case 1:
        return random32(f) & 0x7fffffff;
    case 2:
        return pool_page(f) | (random32(f) & 0xfff);
    default:
        return pool_page(f);
    }
}

/*
 * Where a device, an interrupt or an event may be directed to. Registers are
 * not for reading as tables: they may well hold a forbidden address.
 */
static uint64_t random_target(Fuzz *f)
{
    const Machine *m = f->machine;

    switch (below(f, 12)) {
    case 0:
        return m->mmio + (random32(f) & 0x1ffffff);
    case 1:
        return m->smmu + (random32(f) & 0x1fff0);
    case 2 ... 7:
        /* A page that the tables have, if they are good */
        return below(f, 32) * PAGE + (random32(f) & 0xfff);
    default:
        return random_addr(f);
    }
}

/* Memory and registers */

static uint64_t mem(Fuzz *f, uint64_t offset)
{
    return f->machine->ram + offset;
}

static void put(Fuzz *f, uint64_t offset, uint64_t val)
{
    g_assert_cmphex(offset, <, LOW_SIZE);
    stq_le_p(f->low + offset, val);
}

static uint64_t ctrl(Fuzz *f, int dev, uint64_t reg)
{
    return f->machine->mmio + dev * 0x1000000 + reg;
}

static uint64_t msix(Fuzz *f, int dev, uint64_t reg)
{
    return ctrl(f, dev, 0x100000) + reg;
}

static uint64_t page(Fuzz *f, int dev, int q, uint64_t reg)
{
    return ctrl(f, dev, 0x800000) + q * SVADEV_QUEUE_STRIDE + reg;
}

static uint64_t config(Fuzz *f, int dev, uint64_t reg)
{
    return f->machine->ecam + ((SLOT + dev) << 15) + reg;
}

static void write_any(Fuzz *f, uint64_t addr, uint64_t val, int log2size)
{
    switch (log2size) {
    case 0:
        qtest_writeb(f->qts, addr, val);
        break;
    case 1:
        qtest_writew(f->qts, addr, val);
        break;
    case 2:
        qtest_writel(f->qts, addr, val);
        break;
    default:
        qtest_writeq(f->qts, addr, val);
        break;
    }
}

static void read_any(Fuzz *f, uint64_t addr, int log2size)
{
    switch (log2size) {
    case 0:
        qtest_readb(f->qts, addr);
        break;
    case 1:
        qtest_readw(f->qts, addr);
        break;
    case 2:
        qtest_readl(f->qts, addr);
        break;
    default:
        qtest_readq(f->qts, addr);
        break;
    }
}

/* SMMU */

#define CR0             0x20
#define  CR0_CMDQEN     (1u << 3)
#define  CR0_ALL        0xdu
#define GBPA            0x44
#define  GBPA_UPDATE    (1u << 31)
#define  GBPA_ABORT     (1u << 20)
#define IRQ_CTRL        0x50
#define GERROR          0x60
#define GERRORN         0x64
#define STRTAB_BASE     0x80
#define STRTAB_BASE_CFG 0x88
#define CMDQ_BASE       0x90
#define CMDQ_PROD       0x98
#define CMDQ_CONS       0x9c
#define EVENTQ_BASE     0xa0
#define EVENTQ_PROD     0xa8
#define EVENTQ_CONS     0xac
#define QUEUE_LOG2      7

#define CFGI_ALL        0x04
#define TLBI_NSNH_ALL   0x30
#define SYNC            0x46

#define STE_S1          (1ull | 5ull << 1)
#define STE_S2          (1ull | 6ull << 1)
#define STE_S1S2        (1ull | 7ull << 1)
#define STE_CDMAX(n)    ((uint64_t)(n) << 59)
/* 39 bits, 4KB, from level 1, 44 bits out, AArch64, R */
#define STE2_S2         (25ull << 32 | 1ull << 38 | 4ull << 48 | 1ull << 51 | \
                         1ull << 58)
#define STE2_S2AA64     (1ull << 51)
#define STE2_S2S        (1ull << 57)
/* 39 bits, not TTB1, 44 bits out, AArch64, R, A */
#define CD_GOOD         (25ull | 1ull << 30 | 1ull << 31 | 4ull << 32 | \
                         1ull << 41 | 1ull << 45 | 1ull << 46)
#define CD_S            (1ull << 44)
#define CD_TG0(n)       ((uint64_t)(n) << 6)
#define CD_ASID(n)      ((uint64_t)(n) << 48)
#define PTE_TABLE       3ull
#define PTE_BLOCK       1ull
#define PTE_PAGE        (3ull | 1ull << 6 | 1ull << 10)  /* user, AF */

static void smmu_set(Fuzz *f, uint32_t reg, uint32_t val)
{
    qtest_writel(f->qts, f->machine->smmu + reg, val);
}

static uint32_t smmu_get(Fuzz *f, uint32_t reg)
{
    return qtest_readl(f->qts, f->machine->smmu + reg);
}

static uint64_t counter(Fuzz *f, const char *name)
{
    return sva_stat(f->qts, "/machine/smmuv3", name);
}

static uint64_t random_ste0(Fuzz *f)
{
    static const uint64_t configs[] = { STE_S1, STE_S1, STE_S1, STE_S1S2,
                                        STE_S2, 1 | 4 << 1, 1 };

    return garbled(f, configs[below(f, ARRAY_SIZE(configs))] |
                   mem(f, CDTAB) | STE_CDMAX(6) |
                   (one_in(f, 3) ? below(f, 4) << 4 : 0));
}

static void random_ste(Fuzz *f, uint64_t offset)
{
    put(f, offset, random_ste0(f));
    put(f, offset + 8, garbled(f, below(f, 4)));
    put(f, offset + 16, garbled(f, (STE2_S2 | below(f, 3) |
                                    (one_in(f, 2) ? STE2_S2S : 0)) ^
                                   (one_in(f, 8) ? STE2_S2AA64 : 0)));
    put(f, offset + 24, garbled(f, mem(f, TABLES + below(f, NR_TABLES) *
                                       PAGE)));
}

static void random_cd(Fuzz *f, uint64_t offset)
{
    put(f, offset, garbled(f, CD_GOOD | CD_ASID(below(f, 4)) |
                           (one_in(f, 2) ? CD_S : 0) |
                           (one_in(f, 4) ? CD_TG0(below(f, 4)) : 0)));
    put(f, offset + 8, garbled(f, mem(f, TABLES + below(f, NR_TABLES) * PAGE)));
}

static uint64_t random_pte(Fuzz *f)
{
    uint64_t table = mem(f, TABLES + below(f, NR_TABLES) * PAGE);

    switch (below(f, 8)) {
    case 0:
        return 0;
    case 1:
        return random64(f);
    case 2:
        return garbled(f, mem(f, 0) | PTE_BLOCK | (PTE_PAGE & ~3ull));
    case 3 ... 4:
        return garbled(f, pool_page(f) | PTE_PAGE | below(f, 16) << 8);
    default:
        return garbled(f, table | PTE_TABLE | (PTE_PAGE & ~3ull));
    }
}

/* Something at a place where one structure or another is likely to be */
static void random_struct(Fuzz *f)
{
    uint64_t table = TABLES + below(f, NR_TABLES) * PAGE;

    switch (below(f, 5)) {
    case 0:
        random_ste(f, STRTAB + (SLOT + below(f, NR_DEVS)) * 8 * 64);
        break;
    case 1:
        random_cd(f, CDTAB + below(f, 16) * 64);
        break;
    case 2:
        put(f, POOL + below(f, POOL_SIZE / 8) * 8, random64(f));
        break;
    default:
        put(f, table + below(f, 32) * 8, random_pte(f));
        break;
    }
}

static void random_tables(Fuzz *f)
{
    int i, j;

    for (i = 0; i < NR_DEVS; i++) {
        random_ste(f, STRTAB + (SLOT + i) * 8 * 64);
    }
    for (i = 0; i < 4; i++) {
        put(f, L1STRTAB + i * 8,
            garbled(f, mem(f, STRTAB + i * 0x1000) | (1 + below(f, 8))));
    }
    for (i = 0; i < 16; i++) {
        random_cd(f, CDTAB + i * 64);
    }
    /* Two levels of CDs, whose second is among the page tables */
    for (i = 0; i < 4 && one_in(f, 3); i++) {
        put(f, CDTAB + i * 8, garbled(f, mem(f, TABLES + i * PAGE) | 1));
        random_cd(f, TABLES + i * PAGE);
    }
    for (i = 0; i < NR_TABLES; i++) {
        for (j = 0; j < 32; j++) {
            put(f, TABLES + i * PAGE + j * 8, random_pte(f));
        }
    }
}

/* As a driver would, give or take a few bits */
static void random_smmu(Fuzz *f)
{
    uint64_t smmu = f->machine->smmu;
    bool l2 = one_in(f, 3);

    smmu_set(f, CR0, 0);
    smmu_set(f, GERRORN, smmu_get(f, GERROR));
    smmu_set(f, CMDQ_PROD, 0);
    smmu_set(f, CMDQ_CONS, 0);
    smmu_set(f, EVENTQ_PROD, 0);
    smmu_set(f, EVENTQ_CONS, 0);
    qtest_writeq(f->qts, smmu + STRTAB_BASE,
                 garbled(f, mem(f, l2 ? L1STRTAB : STRTAB)));
    smmu_set(f, STRTAB_BASE_CFG,
             garbled(f, l2 ? 1 << 16 | 6 << 6 | 8 : 6 + below(f, 4)));
    qtest_writeq(f->qts, smmu + CMDQ_BASE,
                 garbled(f, mem(f, CMDQ) | below(f, 8)));
    qtest_writeq(f->qts, smmu + EVENTQ_BASE,
                 garbled(f, one_in(f, 4) ? random_target(f) & ~31ull :
                            mem(f, EVTQ) | below(f, 8)));
    smmu_set(f, IRQ_CTRL, below(f, 8));
    smmu_set(f, CR0, garbled(f, CR0_ALL));
}

static void random_smmu_reg(Fuzz *f)
{
    static const uint16_t regs[] = {
        CR0, CR0, 0x24, 0x28, 0x2c, GBPA, IRQ_CTRL, GERRORN, 0x68, 0x70, 0x74,
        STRTAB_BASE, STRTAB_BASE + 4, STRTAB_BASE_CFG, CMDQ_BASE, CMDQ_BASE + 4,
        CMDQ_PROD, CMDQ_CONS, EVENTQ_BASE, EVENTQ_BASE + 4, EVENTQ_PROD,
        EVENTQ_CONS, 0xb0, 0xb4, 0xb8, 0xbc
    };
    uint32_t reg = one_in(f, 4) ? random32(f) & 0x1ffff :
                   regs[below(f, ARRAY_SIZE(regs))];
    int log2size = one_in(f, 4) ? below(f, 4) : one_in(f, 4) ? 3 : 2;
    uint64_t val = one_in(f, 2) ? random64(f) : random_addr(f) | below(f, 32);

    if (reg == CR0 && !one_in(f, 3)) {
        val = CR0_ALL;
    } else if (reg == EVENTQ_BASE) {
        val = random_target(f);
    }
    if (one_in(f, 4)) {
        read_any(f, f->machine->smmu + reg, log2size);
    } else {
        write_any(f, f->machine->smmu + (one_in(f, 8) ? reg | 0x10000 : reg),
                  log2size == 3 ? val : allowed32(val), log2size);
    }
}

static void random_cmds(Fuzz *f)
{
    static const uint8_t ops[] = {
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x28, 0x2a,
        0x30, 0x44, 0x44, 0x44, 0x45, SYNC, SYNC
    };
    uint64_t base = qtest_readq(f->qts, f->machine->smmu + CMDQ_BASE);
    uint32_t prod = smmu_get(f, CMDQ_PROD), i, n = 1 + below(f, 6);
    int log2size = MIN(extract64(base, 0, 5), 19);
    uint64_t queue = (base & MAKE_64BIT_MASK(5, 47)) - f->machine->ram;

    for (i = 0; i < n; i++) {
        uint64_t at = queue + (prod & MAKE_64BIT_MASK(0, log2size)) * 16;
        uint64_t sid = (SLOT + below(f, NR_DEVS)) << 3;

        if (at < LOW_SIZE - 16) {
            put(f, at, garbled(f, sid << 32 | ops[below(f, ARRAY_SIZE(ops))] |
                                  (uint64_t)below(f, 64) << 12));
            put(f, at + 8, garbled(f, one_in(f, 2) ? below(f, 2 * STALL_MAX) :
                                      random_target(f)));
        }
        prod++;
    }
    smmu_set(f, CMDQ_PROD, prod & MAKE_64BIT_MASK(0, log2size + 1));
}

static void setup_dev(Fuzz *f, int dev)
{
    uint16_t pasid = sva_ext_cap(f->qts, config(f, dev, 0),
                                 PCI_EXT_CAP_ID_PASID);

    g_assert(pasid);
    qtest_writel(f->qts, config(f, dev, PCI_BASE_ADDRESS_0), ctrl(f, dev, 0));
    qtest_writel(f->qts, config(f, dev, PCI_BASE_ADDRESS_2),
                 page(f, dev, 0, 0));
    qtest_writel(f->qts, config(f, dev, PCI_BASE_ADDRESS_3), 0);
    qtest_writel(f->qts, config(f, dev, PCI_BASE_ADDRESS_4), msix(f, dev, 0));
    qtest_writew(f->qts, config(f, dev, PCI_COMMAND),
                 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    qtest_writew(f->qts, config(f, dev, pasid + PCI_PASID_CTRL),
                 PCI_PASID_CTRL_ENABLE);
}

/* What a driver does every now and then; without it little else happens */
static void good_behaviour(Fuzz *f)
{
    smmu_set(f, GERRORN, smmu_get(f, GERROR));
    smmu_set(f, EVENTQ_CONS, smmu_get(f, EVENTQ_PROD));
    if (one_in(f, 4)) {
        smmu_set(f, CMDQ_CONS, smmu_get(f, CMDQ_PROD));
        smmu_set(f, CR0, CR0_ALL);
        setup_dev(f, below(f, NR_DEVS));
    }
}

/* svadev */

static void random_dev_reg(Fuzz *f)
{
    uint64_t reg, val = one_in(f, 2) ? random64(f) : random_target(f);
    int dev = below(f, NR_DEVS), log2size = below(f, 4);

    switch (below(f, 6)) {
    case 0 ... 1:
        reg = SVADEV_QUEUE(below(f, NR_QUEUES + 1)) + below(f, 0x14);
        write_any(f, ctrl(f, dev, one_in(f, 4) ? random32(f) & 0xffff : reg),
                  val, log2size);
        break;
    case 2:
        /* Not GO, which is for programs whose operands are allowed */
        reg = page(f, dev, below(f, NR_QUEUES), 0);
        write_any(f, reg + below(f, SVADEV_GO - 7), val, log2size);
        read_any(f, reg + below(f, 0x80), log2size);
        break;
    case 3:
        val = (uint64_t)allowed32(val >> 32) << 32 | allowed32(val);
        write_any(f, msix(f, dev, below(f, 0x80) * 4), val, 2 + below(f, 2));
        break;
    case 4:
        reg = one_in(f, 2) ? PCI_COMMAND : below(f, 0x120);
        write_any(f, config(f, dev, reg), one_in(f, 3) ? val :
                  PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, below(f, 3));
        break;
    default:
        read_any(f, ctrl(f, dev, random32(f) & 0xffff), log2size);
        break;
    }
}

static void set_queue(Fuzz *f, int dev, int q, uint32_t pasid, uint32_t mode)
{
    qtest_writel(f->qts, ctrl(f, dev, SVADEV_QUEUE(q) + SVADEV_Q_CTRL), 0);
    qtest_writel(f->qts, ctrl(f, dev, SVADEV_QUEUE(q) + SVADEV_Q_PASID), pasid);
    qtest_writel(f->qts, ctrl(f, dev, SVADEV_QUEUE(q) + SVADEV_Q_MODE), mode);
    qtest_writel(f->qts, ctrl(f, dev, SVADEV_QUEUE(q) + SVADEV_Q_CTRL),
                 SVADEV_Q_CTRL_ENABLE | SVADEV_Q_CTRL_IRQ);
}

static void random_program(Fuzz *f)
{
    uint64_t op = below(f, 9), src = random_target(f), dst = random_target(f);
    uint64_t len = one_in(f, 3) ? random64(f) : below(f, 3 * PAGE);
    int dev = below(f, NR_DEVS), q = below(f, NR_QUEUES);
    uint64_t value = random64(f);
    uint32_t pasid = 0;

    switch (op) {
    case SVADEV_OP_COPY:
        src &= ~7ull;
        dst &= ~7ull;
        len &= ~7ull;
        break;
    case SVADEV_OP_FETCH_ADD:
        /* The lower half of a doubleword, or nothing new */
        if (one_in(f, 2)) {
            dst &= ~7ull;
            len = 4;
        } else {
            len = one_in(f, 2) ? 8 : len;
            value = 0;
        }
        break;
    case SVADEV_OP_CAS:
    case SVADEV_OP_WRITE:
        len = one_in(f, 8) ? len : op == SVADEV_OP_CAS ? 4 << below(f, 2) :
                                   below(f, 9);
        /* fall through */
    case SVADEV_OP_FILL:
        /* No byte of 0 or FORBIDDEN_HIGH */
        value |= 0x0202020202020202;
        break;
    }

    if (!one_in(f, 4)) {
        pasid = SVADEV_Q_PASID_VALID |
                (one_in(f, 8) ? random32(f) : below(f, 16));
    }
    set_queue(f, dev, q, pasid, below(f, 2));
    qtest_writeq(f->qts, page(f, dev, q, SVADEV_OP), op);
    qtest_writeq(f->qts, page(f, dev, q, SVADEV_SRC), src);
    qtest_writeq(f->qts, page(f, dev, q, SVADEV_DST), dst);
    qtest_writeq(f->qts, page(f, dev, q, SVADEV_LEN), len);
    qtest_writeq(f->qts, page(f, dev, q, SVADEV_VALUE), value);
    qtest_writeq(f->qts, page(f, dev, q, SVADEV_EXPECT), random64(f));
    qtest_writeq(f->qts, page(f, dev, q, SVADEV_HAMMER),
                 one_in(f, 3) ? random64(f) : 0);
    qtest_writeq(f->qts, page(f, dev, q, SVADEV_GO), SVADEV_GO_START);
}

static void random_stop(Fuzz *f)
{
    int dev = below(f, NR_DEVS), q = below(f, NR_QUEUES), i;
    GRand *rng = f->rng;

    switch (below(f, 3)) {
    case 0:
        qtest_writeq(f->qts, page(f, dev, q, SVADEV_GO), SVADEV_GO_STOP);
        break;
    case 1:
        qtest_writel(f->qts, ctrl(f, dev, SVADEV_QUEUE(q) + SVADEV_Q_CTRL), 0);
        break;
    default:
        /* The same again and again, each abandoned as soon as it has begun */
        for (i = below(f, 32); i >= 0; i--) {
            f->rng = g_rand_copy(rng);
            random_program(f);
            g_rand_free(f->rng);
            qtest_clock_step(f->qts, 1000);
            qtest_writel(f->qts, ctrl(f, 0, SVADEV_RESET), 1);
            qtest_writel(f->qts, ctrl(f, 1, SVADEV_RESET), 1);
            f->rng = rng;
        }
        break;
    }
}

/* What must hold */

static uint64_t heap_kb(Fuzz *f)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status",
                                            (int)qtest_pid(f->qts));
    g_autofree char *text = NULL;
    const char *line;

    g_assert(g_file_get_contents(path, &text, NULL, NULL));
    line = strstr(text, "\nRssAnon:");
    g_assert_nonnull(line);
    return g_ascii_strtoull(line + strlen("\nRssAnon:"), NULL, 10);
}

static void check_bounds(Fuzz *f)
{
    if (f->machine->smmu) {
        g_assert_cmpuint(counter(f, "stall.now"), <=,
                         STALL_MAX + NR_DEVS * NR_QUEUES);
    }
    if (f->heap_kb) {
        g_assert_cmpuint(heap_kb(f), <=, f->heap_kb + HEAP_SLACK_KB);
    }
}

static void check_forbidden(Fuzz *f)
{
    off_t data = lseek(f->fd, f->machine->below_4g, SEEK_DATA);

    if (data != -1) {
        g_test_message("forbidden memory was accessed at 0x%" PRIx64,
                       4 * GiB + data - f->machine->below_4g);
    }
    g_assert(data == -1 && errno == ENXIO);
}

/* Bursts that are all refused at the door would find nothing */
static void check_depth(Fuzz *f)
{
    static const char *const reached[] = {
        "tlb.hit", "tlb.miss", "cfg.hit", "stale.tlb", "stale.cfg",
        "stall.total", "resume.retry", "resume.abort", "resume.unknown",
        "evt.lost", "cmd.bad", "cmd.cfgi_cd", "cmd.tlbi_nh_va",
        "cmd.tlbi_s2_ipa", "evt.c_bad_streamid", "evt.c_bad_ste",
        "evt.f_stream_dis", "evt.c_bad_ssid", "evt.c_bad_cd",
        "evt.f_translation", "evt.f_addr_size", "evt.f_access",
        "evt.f_permission", "evt.f_walk_eabt", "evt.f_cd_fetch",
        "evt.f_ste_fetch"
    };
    int i;

    for (i = 0; i < ARRAY_SIZE(reached); i++) {
        uint64_t n = counter(f, reached[i]);

        g_test_message("%s %" PRIu64, reached[i], n);
        g_assert(n || f->seed != SEED || f->burst < BURSTS);
    }
}

/* By the book: reset of the device, of all, or of nothing but registers */
static void recover(Fuzz *f)
{
    int dev;

    if (f->burst % 4 == 0) {
        qtest_system_reset(f->qts);
    }
    if (!strcmp(f->machine->arch, "x86_64")) {
        /* PCIEXBAR of the host bridge */
        qtest_outl(f->qts, 0xcf8, 0x80000064);
        qtest_outl(f->qts, 0xcfc, 0);
        qtest_outl(f->qts, 0xcf8, 0x80000060);
        qtest_outl(f->qts, 0xcfc, f->machine->ecam | 1);
    }
    for (dev = 0; dev < NR_DEVS; dev++) {
        setup_dev(f, dev);
        qtest_writel(f->qts, ctrl(f, dev, SVADEV_RESET), 1);
    }
    qtest_clock_step(f->qts, 1000);
    memset(f->low + POOL, 0, POOL_SIZE);
}

static void put_cmd(Fuzz *f, int i, uint64_t dword0, uint64_t dword1)
{
    put(f, CMDQ + i * 16, dword0);
    put(f, CMDQ + i * 16 + 8, dword1);
}

static void setup_smmu(Fuzz *f)
{
    int i;

    smmu_set(f, CR0, 0);
    smmu_set(f, GERRORN, smmu_get(f, GERROR));
    smmu_set(f, GBPA, GBPA_UPDATE | GBPA_ABORT);
    smmu_set(f, IRQ_CTRL, 0);
    qtest_writeq(f->qts, f->machine->smmu + STRTAB_BASE, mem(f, STRTAB));
    smmu_set(f, STRTAB_BASE_CFG, 6);
    qtest_writeq(f->qts, f->machine->smmu + CMDQ_BASE,
                 mem(f, CMDQ) | QUEUE_LOG2);
    qtest_writeq(f->qts, f->machine->smmu + EVENTQ_BASE,
                 mem(f, EVTQ) | QUEUE_LOG2);
    smmu_set(f, CMDQ_PROD, 0);
    smmu_set(f, CMDQ_CONS, 0);
    smmu_set(f, EVENTQ_PROD, 0);
    smmu_set(f, EVENTQ_CONS, 0);

    put_cmd(f, 0, CFGI_ALL, 31);
    put_cmd(f, 1, TLBI_NSNH_ALL, 0);
    put_cmd(f, 2, SYNC, 0);
    smmu_set(f, CR0, CR0_CMDQEN);
    smmu_set(f, CMDQ_PROD, 3);
    for (i = 0; i < 1000 && smmu_get(f, CMDQ_CONS) != 3; i++) {
        qtest_clock_step(f->qts, 1000);
    }
    g_assert_cmphex(smmu_get(f, CMDQ_CONS), ==, 3);
    g_assert_cmphex(smmu_get(f, GERROR), ==, smmu_get(f, GERRORN));
    g_assert_cmpuint(counter(f, "stall.now"), ==, 0);
    smmu_set(f, CR0, CR0_ALL);
}

/* Pages @va of @ssid of @dev are those of the arena in a random order */
static void setup_tables(Fuzz *f, int dev, int ssid, const int *order)
{
    int i;

    put(f, STRTAB + (SLOT + dev) * 8 * 64 + 8, 2);
    put(f, STRTAB + (SLOT + dev) * 8 * 64,
        STE_S1 | mem(f, CDTAB) | STE_CDMAX(6));
    put(f, CDTAB + ssid * 64 + 8, mem(f, TABLES));
    put(f, CDTAB + ssid * 64, CD_GOOD | CD_ASID(below(f, 4)));
    put(f, TABLES, mem(f, TABLES + PAGE) | PTE_TABLE);
    put(f, TABLES + PAGE, mem(f, TABLES + 2 * PAGE) | PTE_TABLE);
    for (i = 0; i < NR_PAGES; i++) {
        put(f, TABLES + 2 * PAGE + i * 8,
            mem(f, ARENA + order[i] * PAGE) | PTE_PAGE);
    }
}

/* A copy from one of the first three pages to one of those from the fifth on */
static void good_copy(Fuzz *f)
{
    int dev = below(f, NR_DEVS), q = below(f, NR_QUEUES);
    int ssid = 1 + below(f, 63), order[NR_PAGES] = {}, i, j;
    bool smmu = f->machine->smmu;
    uint64_t base = smmu ? 0 : mem(f, ARENA), stale = 0;
    uint32_t src = below(f, 2 * PAGE), len = 1 + below(f, 2 * PAGE - 1);
    uint32_t dst = 4 * PAGE + below(f, 8 * PAGE);
    g_autofree uint8_t *want = g_malloc(NR_PAGES * PAGE);
    uint8_t *arena = f->low + ARENA;

    for (i = 0; i < NR_PAGES; i++) {
        j = smmu ? below(f, i + 1) : i;
        order[i] = order[j];
        order[j] = i;
    }
    for (i = 0; i < NR_PAGES * PAGE; i += 8) {
        stq_le_p(arena + i, random64(f));
    }
    memcpy(want, arena, NR_PAGES * PAGE);
    for (i = 0; i < len; i++) {
        uint32_t from = src + i, to = dst + i;

        want[order[to / PAGE] * PAGE + to % PAGE] =
            arena[order[from / PAGE] * PAGE + from % PAGE];
    }

    if (smmu) {
        setup_tables(f, dev, ssid, order);
        setup_smmu(f);
        stale = counter(f, "stale.tlb") + counter(f, "stale.cfg");
    }

    set_queue(f, dev, q, smmu ? SVADEV_Q_PASID_VALID | ssid : 0, 0);
    qtest_writeq(f->qts, page(f, dev, q, SVADEV_OP), SVADEV_OP_COPY);
    qtest_writeq(f->qts, page(f, dev, q, SVADEV_SRC), base + src);
    qtest_writeq(f->qts, page(f, dev, q, SVADEV_DST), base + dst);
    qtest_writeq(f->qts, page(f, dev, q, SVADEV_LEN), len);
    qtest_writeq(f->qts, page(f, dev, q, SVADEV_HAMMER), 0);
    qtest_writeq(f->qts, page(f, dev, q, SVADEV_GO), SVADEV_GO_START);
    for (i = 0; i < MAX_WAIT && qtest_readq(f->qts, page(f, dev, q,
                SVADEV_STATUS)) == SVADEV_STATUS_BUSY; i++) {
        qtest_clock_step(f->qts, 1000);
    }
    g_assert_cmpuint(qtest_readq(f->qts, page(f, dev, q, SVADEV_STATUS)), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmpuint(qtest_readq(f->qts, page(f, dev, q, SVADEV_DONE)), ==,
                     len);
    g_assert(!memcmp(arena, want, NR_PAGES * PAGE));

    if (smmu) {
        g_assert_cmphex(smmu_get(f, EVENTQ_PROD), ==, 0);
        g_assert_cmphex(smmu_get(f, GERROR), ==, smmu_get(f, GERRORN));
        g_assert_cmpuint(counter(f, "stale.tlb") + counter(f, "stale.cfg"), ==,
                         stale);
    }
}

static void random_burst(Fuzz *f)
{
    bool smmu = f->machine->smmu;
    int i;

    if (smmu) {
        random_tables(f);
        random_smmu(f);
    }

    for (i = 0; i < STEPS; i++) {
        switch (below(f, smmu ? 12 : 5)) {
        case 0 ... 1:
            random_program(f);
            break;
        case 2:
            random_dev_reg(f);
            break;
        case 3:
            /* Less than most DMA takes, or more than any */
            qtest_clock_step(f->qts,
                             1 + below(f, below(f, 4) ? 4000 : 2000000));
            break;
        case 4:
            random_stop(f);
            break;
        case 5 ... 6:
            random_cmds(f);
            break;
        case 7:
            random_smmu_reg(f);
            break;
        case 8 ... 9:
            random_struct(f);
            break;
        default:
            good_behaviour(f);
            break;
        }
    }
    qtest_clock_step(f->qts, 1 + below(f, 10000));
}

static void forget_memory(Fuzz *f)
{
    g_assert(!fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                        f->machine->below_4g));
}

/* The test */

static uint32_t number_from_env(const char *name, uint32_t value)
{
    const char *text = g_getenv(name);

    g_assert(!text || !qemu_strtoui(text, NULL, 0, &value));
    return value;
}

static void tell_burst(gpointer opaque)
{
    Fuzz *f = opaque;

    fprintf(stderr, "sva-fuzz: failed in burst %u of seed 0x%x\n", f->burst,
            f->seed);
}

static void start(Fuzz *f)
{
    g_autofree char *firmware = NULL;
    int i, fd;

    for (i = 0; i < ARRAY_SIZE(machines); i++) {
        if (!strcmp(machines[i].arch, qtest_get_arch())) {
            f->machine = &machines[i];
        }
    }
    g_assert(f->machine);

    f->fd = memfd_create("sva-fuzz", 0);
    g_assert(f->fd >= 0 && !ftruncate(f->fd, RAM_SIZE));
    f->low = mmap(NULL, LOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
    g_assert(f->low != MAP_FAILED);

    /* A heap in steps of 2MB cannot be measured */
    g_assert(!prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));

    /* A machine needs some firmware, even though no CPU runs */
    fd = g_file_open_tmp("sva-fuzz-XXXXXX", &firmware, NULL);
    g_assert(fd >= 0 && !ftruncate(fd, 64 * KiB));
    f->qts = qtest_initf("%s -m %" PRIu64 " -bios %s -nodefaults -object memory"
                         "-backend-file,id=ram,size=%" PRIu64 ",share=on,"
                         "mem-path=/proc/%d/fd/%d "
                         "-device svadev,addr=%d,nr-queues=%d "
                         "-device svadev,addr=%d,nr-queues=%d",
                         f->machine->args, (uint64_t)(RAM_SIZE / MiB), firmware,
                         (uint64_t)RAM_SIZE, (int)getpid(), f->fd,
                         SLOT, NR_QUEUES, SLOT + 1, NR_QUEUES);
    close(fd);
    unlink(firmware);
}

static void test_fuzz(void)
{
    Fuzz f = { .seed = number_from_env("SVA_FUZZ_SEED", SEED) };
    uint32_t bursts = number_from_env("SVA_FUZZ_BURSTS", BURSTS);

    g_test_message("SVA_FUZZ_SEED=0x%x SVA_FUZZ_BURSTS=%u", f.seed, bursts);
    qtest_add_abrt_handler(tell_burst, &f);
    start(&f);
    recover(&f);

    for (f.burst = 0; f.burst < bursts; f.burst++) {
        f.rng = g_rand_new_with_seed(f.seed + f.burst);
        forget_memory(&f);
        random_burst(&f);
        check_bounds(&f);
        recover(&f);
        good_copy(&f);
        check_forbidden(&f);
        g_rand_free(f.rng);
        /* Lazily allocated things are there by then */
        if (f.burst == bursts / 8) {
            f.heap_kb = heap_kb(&f);
        }
    }

    if (f.machine->smmu) {
        check_depth(&f);
    }

    g_test_message("heap %" PRIu64 " kB, then %" PRIu64, f.heap_kb,
                   heap_kb(&f));
    qtest_remove_abrt_handler(&f);
    qtest_quit(f.qts);
    munmap(f.low, LOW_SIZE);
    close(f.fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/sva-fuzz", test_fuzz);
    return g_test_run();
}
