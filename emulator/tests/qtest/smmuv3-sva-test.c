/*
 * QTest testcase for the SMMUv3 with substreams, stalls and strict caching.
 * There is no guest: the test writes stream tables, context descriptors and
 * page tables into memory, and svadev is the master.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "libsva.h"
#include "qobject/qdict.h"
#include "hw/pci/pci_regs.h"
#include "standard-headers/misc/svadev.h"

/* The machine */
#define RAM             0x40000000ull
#define ECAM            0x3f000000ull
#define MMIO            0x10000000ull
#define GICD            0x08000000ull
#define EVTQ_INTID      (32 + 74)
#define SMMU            0x09050000ull
#define SMMU2           0x09100000ull   /* if there is a second one */
#define NOWHERE         0x0b000000ull   /* nothing answers here */
#define SLOT            3               /* of the first svadev, */
#define SID             (SLOT << 3)     /* and its StreamID */
#define SID2            ((SLOT + 1) << 3)
#define SID3            ((SLOT + 2) << 3)       /* of one that few tests have */

/* Memory, all set up here */
#define STRTAB          0x44000000ull
#define STRTAB_LOG2     8
#define STRTAB2         0x44008000ull   /* of the second SMMU */
#define CMDQ            0x44010000ull
#define EVTQ            0x44020000ull
#define CDTAB           0x44030000ull   /* linear, or level 1 */
#define CDTAB_L2        0x44040000ull   /* 64KB of it per level-1 entry */
#define TABLES          0x44100000ull
#define DATA            0x45000000ull
#define PAGE            0x1000ull
#define QUEUE_LOG2      7

/* SMMU registers */
#define IDR0            0x0
#define IDR1            0x4
#define IDR3            0xc
#define IDR5            0x14
#define AIDR            0x1c
#define CR0             0x20
#define  CR0_SMMUEN     (1u << 0)
#define  CR0_EVENTQEN   (1u << 2)
#define  CR0_CMDQEN     (1u << 3)
#define  CR0_ALL        (CR0_SMMUEN | CR0_EVENTQEN | CR0_CMDQEN)
#define CR2             0x2c
#define  CR2_E2H        (1u << 0)
#define IRQ_CTRL        0x50
#define  EVENTQ_IRQEN   (1u << 2)
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
#define  Q_OVFLG        (1u << 31)

/* Commands */
#define PREFETCH_CONFIG 0x01
#define PREFETCH_ADDR   0x02
#define CFGI_STE        0x03
#define CFGI_ALL        0x04
#define CFGI_CD         0x05
#define CFGI_CD_ALL     0x06
#define TLBI_NH_ALL     0x10
#define TLBI_NH_ASID    0x11
#define TLBI_NH_VA      0x12
#define TLBI_NH_VAA     0x13
#define TLBI_EL2_ALL    0x20
#define TLBI_EL2_ASID   0x21
#define TLBI_EL2_VA     0x22
#define TLBI_EL2_VAA    0x23
#define TLBI_S12_VMALL  0x28
#define TLBI_S2_IPA     0x2a
#define TLBI_NSNH_ALL   0x30
#define RESUME          0x44
#define  RESUME_RETRY   (1u << 12)
#define  RESUME_ABORT   (1u << 13)
#define STALL_TERM      0x45
#define SYNC            0x46
#define LEAF            1ull

/* Events */
#define C_BAD_STREAMID  0x02
#define F_STE_FETCH     0x03
#define C_BAD_STE       0x04
#define F_STREAM_DIS    0x06
#define C_BAD_SSID      0x08
#define F_CD_FETCH      0x09
#define C_BAD_CD        0x0a
#define F_WALK_EABT     0x0b
#define F_TRANSLATION   0x10
#define F_ADDR_SIZE     0x11
#define F_ACCESS        0x12
#define F_PERMISSION    0x13

/* STE and CD */
#define STE_V           1ull
#define STE_ABORT       (0ull << 1)
#define STE_BYPASS      (4ull << 1)
#define STE_S1          (5ull << 1)
#define STE_S2          (6ull << 1)
#define STE_FMT(f)      ((uint64_t)(f) << 4)
#define STE_CDMAX(n)    ((uint64_t)(n) << 59)
#define STE1_DSS(d)     ((uint64_t)(d))
#define STE1_S1STALLD   (1ull << 27)
#define STE1_STRW(n)    ((uint64_t)(n) << 30)
/* Stage 2: 39 bits from level 1, pages of 4KB, 44 bits out, AArch64, S2R */
#define STE2_S2         (25ull << 32 | 1ull << 38 | 4ull << 48 | 1ull << 51 | \
                         1ull << 58)
#define STE2_S2S        (1ull << 57)

#define CD_T0SZ         25ull
#define CD_TG0_64K      (1ull << 6)
#define CD_EPD0         (1ull << 14)
#define CD_EPD1         (1ull << 30)
#define CD_V            (1ull << 31)
#define CD_IPS(n)       ((uint64_t)(n) << 32)
#define CD_TBI0         (1ull << 38)
#define CD_PAN          (1ull << 40)
#define CD_AA64         (1ull << 41)
#define CD_HA           (1ull << 43)
#define CD_S            (1ull << 44)
#define CD_R            (1ull << 45)
#define CD_A            (1ull << 46)
#define CD_ASID(n)      ((uint64_t)(n) << 48)
#define CD_BASE         (CD_T0SZ | CD_EPD1 | CD_V | CD_IPS(4) | CD_AA64 | \
                         CD_R | CD_A)

/* Descriptors */
#define PTE_TABLE       3ull
#define PTE_PAGE        3ull
#define PTE_USER        (1ull << 6)
#define PTE_RO          (1ull << 7)
#define PTE_AF          (1ull << 10)
#define PTE_NG          (1ull << 11)
#define PTE_DBM         (1ull << 51)
#define PTE_RW          (PTE_PAGE | PTE_USER | PTE_AF | PTE_NG)
#define PTE_S2_RW       (PTE_PAGE | 3ull << 6 | PTE_AF)
#define PTE_BLOCK       (1ull | PTE_USER | PTE_AF | PTE_NG)
#define PTE_APTABLE_RO  (1ull << 62)
#define PTE_APTABLE_PRV (1ull << 61)

#define VA              0x10000000ull   /* the page most tests use */

#define NR_QUEUES       6
#define STEP_NS         100000
#define SYNC_STEP_NS    10000
#define MAX_STEPS       200

typedef struct Bench {
    QTestState *qts;
    uint64_t next_table;
    uint32_t cmd_prod;
    uint32_t evt_cons;
    int evt_log2;
} Bench;

/* Memory and registers */

static void put(Bench *b, uint64_t addr, uint64_t val)
{
    qtest_writeq(b->qts, addr, val);
}

static uint64_t get(Bench *b, uint64_t addr)
{
    return qtest_readq(b->qts, addr);
}

static uint32_t reg(Bench *b, uint32_t offset)
{
    return qtest_readl(b->qts, SMMU + offset);
}

static void set_reg(Bench *b, uint32_t offset, uint32_t val)
{
    qtest_writel(b->qts, SMMU + offset, val);
}

static uint64_t counter_of(Bench *b, const char *path, const char *name)
{
    return sva_stat(b->qts, path, name);
}

static uint64_t counter(Bench *b, const char *name)
{
    return counter_of(b, "/machine/smmuv3", name);
}

/* Commands */

static void cmd(Bench *b, uint8_t op, uint32_t flags, uint32_t word1,
                uint64_t dword1)
{
    uint64_t addr = CMDQ + (b->cmd_prod & MAKE_64BIT_MASK(0, QUEUE_LOG2)) * 16;

    put(b, addr, (uint64_t)word1 << 32 | flags | op);
    put(b, addr + 8, dword1);
    b->cmd_prod = (b->cmd_prod + 1) & MAKE_64BIT_MASK(0, QUEUE_LOG2 + 1);
    set_reg(b, CMDQ_PROD, b->cmd_prod);
}

/* Let time pass until the queue is consumed, or stops at an error */
static void drain(Bench *b)
{
    int i;

    for (i = 0; i < MAX_STEPS; i++) {
        if (reg(b, CMDQ_CONS) == b->cmd_prod ||
            ((reg(b, GERROR) ^ reg(b, GERRORN)) & 1)) {
            return;
        }
        qtest_clock_step(b->qts, SYNC_STEP_NS);
    }
    g_assert_not_reached();
}

static void cmd_sync(Bench *b)
{
    cmd(b, SYNC, 0, 0, 0);
    drain(b);
    g_assert_cmphex(reg(b, CMDQ_CONS), ==, b->cmd_prod);
}

static void cfgi_cd(Bench *b, uint32_t sid, uint32_t ssid, bool leaf)
{
    cmd(b, CFGI_CD, ssid << 12, sid, leaf);
}

static void tlbi_va(Bench *b, uint16_t asid, uint64_t va, bool leaf)
{
    cmd(b, TLBI_NH_VA, 0, (uint32_t)asid << 16, va | leaf);
}

static void resume(Bench *b, uint32_t sid, uint16_t stag, uint32_t action)
{
    cmd(b, RESUME, action, sid, stag);
}

/* An error stops the queue until it is acknowledged: take it off */
static void expect_cmd_error(Bench *b, int error)
{
    drain(b);
    g_assert_cmphex(extract32(reg(b, CMDQ_CONS), 24, 7), ==, error);
    g_assert_cmphex((reg(b, GERROR) ^ reg(b, GERRORN)) & 1, ==, 1);
    b->cmd_prod = (b->cmd_prod - 1) & MAKE_64BIT_MASK(0, QUEUE_LOG2 + 1);
    g_assert_cmphex(extract32(reg(b, CMDQ_CONS), 0, QUEUE_LOG2 + 1), ==,
                    b->cmd_prod);
    set_reg(b, CMDQ_PROD, b->cmd_prod);
    set_reg(b, CMDQ_CONS, b->cmd_prod);
    set_reg(b, GERRORN, reg(b, GERROR));
}

/* Events */

typedef struct Event {
    uint8_t type;
    bool ssv;
    uint32_t ssid;
    uint32_t sid;
    bool stall;
    uint16_t stag;
    bool pnu;
    bool ind;
    bool rnw;
    bool s2;
    uint8_t class;
    uint64_t addr;
    uint64_t addr2;
} Event;

static bool has_event(Bench *b)
{
    uint32_t mask = MAKE_64BIT_MASK(0, b->evt_log2 + 1);

    return (reg(b, EVENTQ_PROD) & mask) != (b->evt_cons & mask);
}

static Event peek_event(Bench *b)
{
    uint64_t addr = EVTQ;
    uint32_t w[8];
    int i;

    g_assert(has_event(b));
    addr += (b->evt_cons & MAKE_64BIT_MASK(0, b->evt_log2)) * 32;
    for (i = 0; i < 8; i++) {
        w[i] = qtest_readl(b->qts, addr + i * 4);
    }

    return (Event) {
        .type = w[0] & 0xff,
        .ssv = extract32(w[0], 11, 1),
        .ssid = extract32(w[0], 12, 20),
        .sid = w[1],
        .stag = w[2] & 0xffff,
        .stall = extract32(w[2], 31, 1),
        .pnu = extract32(w[3], 1, 1),
        .ind = extract32(w[3], 2, 1),
        .rnw = extract32(w[3], 3, 1),
        .s2 = extract32(w[3], 7, 1),
        .class = extract32(w[3], 8, 2),
        .addr = (uint64_t)w[5] << 32 | w[4],
        .addr2 = (uint64_t)w[7] << 32 | w[6],
    };
}

static Event pop_event(Bench *b)
{
    Event e = peek_event(b);

    b->evt_cons = (b->evt_cons & Q_OVFLG) |
                  ((b->evt_cons + 1) & MAKE_64BIT_MASK(0, b->evt_log2 + 1));
    set_reg(b, EVENTQ_CONS, b->evt_cons);
    return e;
}

static Event expect_event(Bench *b, uint8_t type)
{
    Event e = pop_event(b);

    g_assert_cmphex(e.type, ==, type);
    return e;
}

/* The event of a request tagged with @ssid of the first svadev */
static Event expect_ssid_event(Bench *b, uint8_t type, uint32_t ssid)
{
    Event e = expect_event(b, type);

    g_assert_cmphex(e.sid, ==, SID);
    g_assert_cmphex(e.ssid, ==, ssid);
    /* This one needs no telling */
    g_assert_cmpint(e.ssv, ==, type != C_BAD_SSID);
    return e;
}

static void no_event(Bench *b)
{
    g_assert(!has_event(b));
}

/* Tables */

static uint64_t new_table(Bench *b)
{
    uint64_t addr = b->next_table;

    b->next_table += PAGE;
    qtest_memset(b->qts, addr, 0, PAGE);
    return addr;
}

/* Where the descriptor for @va is at @level; tables above it are made */
static uint64_t desc(Bench *b, uint64_t ttb, uint64_t va, int level)
{
    uint64_t table = ttb, addr;
    int l;

    for (l = 1; ; l++) {
        addr = table + extract64(va, 12 + 9 * (3 - l), 9) * 8;
        if (l == level) {
            return addr;
        }
        if (!get(b, addr)) {
            put(b, addr, new_table(b) | PTE_TABLE);
        }
        table = get(b, addr) & MAKE_64BIT_MASK(12, 36);
    }
}

static void map(Bench *b, uint64_t ttb, uint64_t va, uint64_t desc_val)
{
    put(b, desc(b, ttb, va, 3), desc_val);
}

static void set_ste(Bench *b, uint32_t sid, uint64_t dword0, uint64_t dword1)
{
    put(b, STRTAB + sid * 64 + 8, dword1);
    put(b, STRTAB + sid * 64, dword0);
}

static void set_cd(Bench *b, uint64_t addr, uint64_t dword0, uint64_t ttb)
{
    put(b, addr + 8, ttb);
    put(b, addr, dword0);
}

/* svadev */

static uint64_t bars(int dev)
{
    return MMIO + dev * 0x1000000;
}

static uint64_t page_reg(int dev, int q, uint32_t offset)
{
    return sva_page_reg(bars(dev), q, offset);
}

static void setup_dev(Bench *b, int dev)
{
    sva_setup(b->qts, ECAM + ((SLOT + dev) << 15), bars(dev));
}

/* Enable queue @q; @ssid < 0: untagged */
static void set_queue(Bench *b, int dev, int q, int ssid, uint32_t mode)
{
    sva_set_queue(b->qts, bars(dev), q, ssid, mode);
}

static uint64_t status(Bench *b, int dev, int q)
{
    return get(b, page_reg(dev, q, SVADEV_STATUS));
}

static void step(Bench *b)
{
    int i;

    for (i = 0; i < 10; i++) {
        qtest_clock_step(b->qts, STEP_NS);
    }
}

/* Start an operation on 8 bytes at @va, and let it get as far as it can */
static uint64_t start_op(Bench *b, int dev, int q, uint64_t op, uint64_t va,
                         uint64_t value)
{
    sva_start(b->qts, bars(dev), q, op, va, value);
    step(b);
    return status(b, dev, q);
}

static uint64_t dma_read(Bench *b, int ssid, uint64_t va)
{
    set_queue(b, 0, 0, ssid, 0);
    return start_op(b, 0, 0, SVADEV_OP_READ, va, 0);
}

static uint64_t dma_write(Bench *b, int ssid, uint64_t va, uint64_t value)
{
    set_queue(b, 0, 0, ssid, 0);
    return start_op(b, 0, 0, SVADEV_OP_WRITE, va, value);
}

/* Does a write reach @pa? A new value each time */
static void reaches(Bench *b, int ssid, uint64_t va, uint64_t pa)
{
    static uint64_t value = 0x1122334455667788;

    value++;
    put(b, pa, 0);
    g_assert_cmpuint(dma_write(b, ssid, va, value), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(get(b, pa), ==, value);
}

static void faults(Bench *b, int ssid, uint64_t va, uint8_t type)
{
    g_assert_cmpuint(dma_write(b, ssid, va, 1), ==, SVADEV_STATUS_FAULT);
    if (ssid < 0) {
        Event e = expect_event(b, type);

        g_assert_cmphex(e.sid, ==, SID);
        g_assert(!e.ssv);
    } else {
        expect_ssid_event(b, type, ssid);
    }
    no_event(b);
}

/* The bench */

static void setup(Bench *b)
{
    put(b, SMMU + STRTAB_BASE, STRTAB);
    set_reg(b, STRTAB_BASE_CFG, STRTAB_LOG2);
    put(b, SMMU + CMDQ_BASE, CMDQ | QUEUE_LOG2);
    put(b, SMMU + EVENTQ_BASE, EVTQ | b->evt_log2);
    set_reg(b, CR0, CR0_ALL);

    setup_dev(b, 0);
    setup_dev(b, 1);
}

/* Invalidations act at the CMD_SYNC, in order; "props" may say otherwise */
#define TAME    "-global arm-smmuv3.x-wild=0 "

static Bench start_small(const char *props, int evt_log2)
{
    Bench b = { .next_table = TABLES, .evt_log2 = evt_log2 };

    b.qts = qtest_initf("-M virt,iommu=smmuv3,highmem-ecam=off "
                        "-cpu cortex-a57 -m 128M -nodefaults " TAME
                        "-global arm-smmuv3.x-seed=%s %s "
                        "-device svadev,addr=%d,nr-queues=%d "
                        "-device svadev,addr=%d,nr-queues=%d", sva_seed(),
                        props, SLOT, NR_QUEUES, SLOT + 1, NR_QUEUES);

    qtest_memset(b.qts, STRTAB, 0, TABLES - STRTAB);
    setup(&b);
    return b;
}

static Bench start(const char *props)
{
    return start_small(props, QUEUE_LOG2);
}

#define SSID16  "-global arm-smmuv3.ssidsize=16 "
#define STALL   SSID16 "-global arm-smmuv3.stall=on "

static void stop(Bench *b)
{
    g_assert_cmphex(reg(b, GERROR), ==, reg(b, GERRORN));
    qtest_quit(b->qts);
}

/* A linear table of 64 CDs for @sid */
static void linear(Bench *b, uint32_t sid)
{
    set_ste(b, sid, STE_V | STE_S1 | CDTAB | STE_CDMAX(6), STE1_DSS(2));
}

static uint64_t cd_of(uint32_t ssid)
{
    return CDTAB + ssid * 64;
}

/* Give @ssid an address space of ASID @asid with one page */
static uint64_t one_page(Bench *b, uint32_t ssid, uint16_t asid, uint64_t bits,
                         uint64_t pa)
{
    uint64_t ttb = new_table(b);

    map(b, ttb, VA, pa | PTE_RW);
    set_cd(b, cd_of(ssid), CD_BASE | CD_ASID(asid) | bits, ttb);
    return ttb;
}

/* Structures that an audit finds */
static uint64_t left_cfg(Bench *b)
{
    qtest_writel(b->qts, MMIO + SVADEV_STAT_LATCH, SVADEV_STAT_LATCH_AUDIT);
    return counter(b, "left.cfg");
}

/* What an audit finds: structures, translations and table descriptors */
static void audit(Bench *b, uint64_t cfg, uint64_t tlb, uint64_t psc)
{
    qtest_writel(b->qts, MMIO + SVADEV_STAT_LATCH, SVADEV_STAT_LATCH_AUDIT);
    g_assert_cmpuint(counter(b, "left.cfg"), ==, cfg);
    g_assert_cmpuint(counter(b, "left.tlb"), ==, tlb);
    g_assert_cmpuint(counter(b, "left.psc"), ==, psc);
}

/* Identification */

static void test_idr(void)
{
    Bench b = start("");

    g_assert_cmphex(extract32(reg(&b, IDR1), 6, 5), ==, 0);
    g_assert_cmphex(extract32(reg(&b, IDR0), 19, 1), ==, 0);
    g_assert_cmphex(extract32(reg(&b, IDR0), 24, 2), ==, 1);
    g_assert_cmphex(extract32(reg(&b, IDR3), 10, 1), ==, 1);
    g_assert_cmphex(extract32(reg(&b, IDR5), 0, 3), ==, 4);
    g_assert_cmphex(extract32(reg(&b, IDR5), 16, 16), ==, 0);
    g_assert_cmphex(reg(&b, AIDR), ==, 1);
    stop(&b);

    /* SMMUv3.2, which has range invalidation */
    b = start(SSID16);
    g_assert_cmphex(extract32(reg(&b, IDR3), 10, 1), ==, 1);
    g_assert_cmphex(reg(&b, AIDR), ==, 2);
    stop(&b);

    b = start(STALL "-global arm-smmuv3.stall-max=9 "
              "-global arm-smmuv3.oas=48 -global arm-smmuv3.ril=off");
    g_assert_cmphex(extract32(reg(&b, IDR1), 6, 5), ==, 16);
    g_assert_cmphex(extract32(reg(&b, IDR0), 19, 1), ==, 1);
    g_assert_cmphex(extract32(reg(&b, IDR0), 24, 2), ==, 0);
    g_assert_cmphex(extract32(reg(&b, IDR3), 10, 1), ==, 0);
    g_assert_cmphex(extract32(reg(&b, IDR5), 0, 3), ==, 5);
    g_assert_cmphex(extract32(reg(&b, IDR5), 16, 16), ==, 9);
    stop(&b);
}

static void test_migration(void)
{
    /* No svadev, which cannot be migrated either */
    QTestState *qts = qtest_init("-M virt,iommu=smmuv3 -cpu cortex-a57 "
                                 "-nodefaults " SSID16);
    QDict *r = qtest_qmp(qts, "{'execute': 'migrate', 'arguments': {"
                         "'uri': 'exec:cat >/dev/null'}}");

    g_assert(qdict_haskey(r, "error"));
    g_assert_nonnull(strstr(qdict_get_str(qdict_get_qdict(r, "error"), "desc"),
                            "SMMUv3 cannot be migrated"));
    qobject_unref(r);
    qtest_quit(qts);
}

static bool dt_says_stall(Bench *b)
{
    size_t len = MiB;
    g_autofree char *dtb = g_malloc(len);

    qtest_memread(b->qts, RAM, dtb, len);
    g_assert_cmphex((uint32_t)ldl_be_p(dtb), ==, 0xd00dfeed);
    return memmem(dtb, len, "dma-can-stall", 13) &&
           memmem(dtb, len, "svadev@3,0", 10) &&
           memmem(dtb, len, "svadev@4,0", 10);
}

static void test_device_tree(void)
{
    Bench b = start(STALL);

    g_assert(dt_says_stall(&b));
    stop(&b);

    b = start(SSID16);
    g_assert(!dt_says_stall(&b));
    stop(&b);
}

/* Substreams */

static void test_linear(void)
{
    Bench b = start(SSID16);

    linear(&b, SID);
    one_page(&b, 0, 1, 0, DATA);
    one_page(&b, 1, 2, 0, DATA + PAGE);
    one_page(&b, 63, 3, 0, DATA + 2 * PAGE);

    reaches(&b, 1, VA, DATA + PAGE);
    reaches(&b, 63, VA + 8, DATA + 2 * PAGE + 8);
    reaches(&b, -1, VA, DATA);
    reaches(&b, 1, VA, DATA + PAGE);

    faults(&b, 2, VA, C_BAD_CD);
    faults(&b, 64, VA, C_BAD_SSID);
    faults(&b, 0x8000, VA, C_BAD_SSID);
    /* SSID 0 is for untagged requests */
    faults(&b, 0, VA, C_BAD_SSID);
    faults(&b, 1, VA + PAGE, F_TRANSLATION);
    stop(&b);
}

static void two_levels(int fmt, int split)
{
    Bench b = start(SSID16);
    uint64_t leaf = CDTAB_L2, ttb = new_table(&b);
    uint32_t ssid = (5 << split) + 3;

    set_ste(&b, SID, STE_V | STE_S1 | CDTAB | STE_FMT(fmt) | STE_CDMAX(14),
            STE1_DSS(2));
    map(&b, ttb, VA, DATA | PTE_RW);
    put(&b, CDTAB + 5 * 8, leaf | 1);
    set_cd(&b, leaf + 3 * 64, CD_BASE | CD_ASID(1), ttb);

    reaches(&b, ssid, VA, DATA);
    faults(&b, ssid + 1, VA, C_BAD_CD);
    faults(&b, 6 << split, VA, C_BAD_SSID);
    faults(&b, 1 << 14, VA, C_BAD_SSID);

    /* The last CD of the next leaf, whose invalid L1CD is cached */
    set_cd(&b, leaf + ((64ull << split) * 2 - 64), CD_BASE | CD_ASID(1), ttb);
    put(&b, CDTAB + 6 * 8, (leaf + (64ull << split)) | 1);
    ssid = (7 << split) - 1;
    faults(&b, ssid, VA, C_BAD_SSID);
    cfgi_cd(&b, SID, ssid, true);
    cmd_sync(&b);
    faults(&b, ssid, VA, C_BAD_SSID);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 2);
    cfgi_cd(&b, SID, ssid, false);
    cmd_sync(&b);
    reaches(&b, ssid, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 2);
    stop(&b);
}

static void test_two_levels_4k(void)
{
    two_levels(1, 6);
}

static void test_two_levels_64k(void)
{
    two_levels(2, 10);
}

/* A leaf, then a whole table, is replaced by a copy with one CD changed */
static void test_tables_replaced(void)
{
    Bench b = start(SSID16);
    uint64_t s1 = STE_V | STE_S1 | STE_CDMAX(14);
    uint64_t leaf = CDTAB_L2, copy = CDTAB_L2 + PAGE;
    uint64_t linear = CDTAB_L2 + 2 * PAGE;
    uint64_t ttb = new_table(&b), other = new_table(&b);
    int i;

    map(&b, ttb, VA, DATA | PTE_RW);
    map(&b, other, VA, (DATA + PAGE) | PTE_RW);
    for (i = 1; i <= 3; i++) {
        set_cd(&b, leaf + i * 64, CD_BASE | CD_ASID(i), ttb);
    }
    set_cd(&b, copy + 64, CD_BASE | CD_ASID(4), other);
    set_cd(&b, copy + 2 * 64, CD_BASE | CD_ASID(2), ttb);
    /* Only to tell where it comes from */
    set_cd(&b, copy + 3 * 64, CD_BASE | CD_ASID(5), other);
    set_cd(&b, linear + 64, CD_BASE | CD_ASID(1), ttb);

    set_ste(&b, SID, s1 | CDTAB | STE_FMT(1), STE1_DSS(2));
    put(&b, CDTAB, leaf | 1);
    reaches(&b, 1, VA, DATA);
    reaches(&b, 2, VA, DATA);

    put(&b, CDTAB, copy | 1);
    reaches(&b, 1, VA, DATA);
    reaches(&b, 3, VA, DATA);
    /* What is read again is found through the L1CD that is cached */
    cfgi_cd(&b, SID, 1, true);
    cfgi_cd(&b, SID, 3, true);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);
    reaches(&b, 3, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.cfg"), >, 0);

    cfgi_cd(&b, SID, 1, false);
    reaches(&b, 1, VA, DATA);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA + PAGE);
    /* Other CDs of the leaf are not read again for that */
    reaches(&b, 2, VA, DATA);
    reaches(&b, 3, VA, DATA);
    cfgi_cd(&b, SID, 3, true);
    cmd_sync(&b);
    reaches(&b, 3, VA, DATA + PAGE);

    /* What the STE says about the table is cached with the STE */
    put(&b, STRTAB + SID * 64, s1 | linear);
    cfgi_cd(&b, SID, 1, false);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA + PAGE);
    cmd(&b, CFGI_STE, 0, SID, LEAF);
    reaches(&b, 1, VA, DATA + PAGE);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);
    faults(&b, 2, VA, C_BAD_CD);
    stop(&b);
}

static void test_s1dss(void)
{
    Bench b = start(SSID16);
    uint64_t s1 = STE_V | STE_S1 | CDTAB;

    one_page(&b, 0, 1, 0, DATA);
    one_page(&b, 1, 2, 0, DATA + PAGE);

    set_ste(&b, SID, s1 | STE_CDMAX(6), STE1_DSS(0));
    faults(&b, -1, VA, F_STREAM_DIS);
    reaches(&b, 1, VA, DATA + PAGE);

    set_ste(&b, SID, s1 | STE_CDMAX(6), STE1_DSS(1));
    cmd(&b, CFGI_STE, 0, SID, LEAF);
    cmd_sync(&b);
    reaches(&b, -1, DATA + 5 * PAGE, DATA + 5 * PAGE);
    reaches(&b, 1, VA, DATA + PAGE);
    /* Its CD is valid, and reached */
    reaches(&b, 0, VA, DATA);

    set_ste(&b, SID, s1 | STE_CDMAX(6), STE1_DSS(2));
    cmd(&b, CFGI_STE, 0, SID, LEAF);
    cmd_sync(&b);
    reaches(&b, -1, VA, DATA);

    /* One CD: untagged requests use it, and there are no others */
    set_ste(&b, SID, s1, STE1_DSS(0));
    cmd(&b, CFGI_STE, 0, SID, LEAF);
    cmd_sync(&b);
    reaches(&b, -1, VA, DATA);
    faults(&b, 1, VA, C_BAD_SSID);
    stop(&b);
}

static void new_ste(Bench *b, uint64_t dword0, uint64_t dword1)
{
    set_ste(b, SID, dword0, dword1);
    cmd(b, CFGI_STE, 0, SID, LEAF);
    cmd_sync(b);
}

static void test_bad_ste(void)
{
    Bench b = start(SSID16);
    uint64_t s1 = STE_V | STE_S1 | CDTAB;

    one_page(&b, 0, 1, 0, DATA);
    one_page(&b, 1, 2, 0, DATA + PAGE);

    faults(&b, 1, VA, C_BAD_STE);
    new_ste(&b, s1 | STE_CDMAX(17), STE1_DSS(2));
    faults(&b, 1, VA, C_BAD_STE);
    new_ste(&b, s1 | STE_CDMAX(6) | STE_FMT(3), STE1_DSS(2));
    faults(&b, 1, VA, C_BAD_STE);
    new_ste(&b, s1 | STE_CDMAX(6), STE1_DSS(2) | STE1_S1STALLD);
    faults(&b, 1, VA, C_BAD_STE);
    /* AArch32 stage 2 */
    new_ste(&b, STE_V | STE_S2, 0);
    faults(&b, -1, VA, C_BAD_STE);

    new_ste(&b, STE_V | STE_BYPASS, 0);
    reaches(&b, -1, DATA, DATA);
    faults(&b, 1, DATA, C_BAD_SSID);

    new_ste(&b, STE_V | STE_ABORT, 0);
    g_assert_cmpuint(dma_read(&b, 1, VA), ==, SVADEV_STATUS_FAULT);
    g_assert_cmpuint(dma_read(&b, -1, VA), ==, SVADEV_STATUS_FAULT);
    no_event(&b);

    new_ste(&b, STE_V | STE_S1 | NOWHERE | STE_CDMAX(6), STE1_DSS(2));
    g_assert_cmpuint(dma_read(&b, 2, VA), ==, SVADEV_STATUS_FAULT);
    g_assert_cmphex(expect_ssid_event(&b, F_CD_FETCH, 2).addr2, ==,
                    NOWHERE + 2 * 64);

    /* Fewer streams than it takes */
    set_reg(&b, STRTAB_BASE_CFG, 4);
    faults(&b, 1, VA, C_BAD_STREAMID);
    set_reg(&b, STRTAB_BASE_CFG, STRTAB_LOG2);
    put(&b, SMMU + STRTAB_BASE, NOWHERE);
    cmd(&b, CFGI_ALL, 0, 0, 31);
    cmd_sync(&b);
    faults(&b, 1, VA, F_STE_FETCH);
    stop(&b);
}

static void new_cd(Bench *b, uint64_t dword0, uint64_t ttb)
{
    set_cd(b, cd_of(1), dword0, ttb);
    cfgi_cd(b, SID, 1, true);
    cmd(b, TLBI_NH_ASID, 0, 0, 0);
    cmd_sync(b);
}

static void test_bad_cd(void)
{
    Bench b = start(STALL);
    uint64_t ttb;
    Event e;

    linear(&b, SID);
    ttb = one_page(&b, 1, 0, 0, DATA);
    reaches(&b, 1, VA, DATA);

    new_cd(&b, CD_BASE & ~CD_A, ttb);
    faults(&b, 1, VA, C_BAD_CD);
    new_cd(&b, CD_BASE | CD_HA, ttb);
    faults(&b, 1, VA, C_BAD_CD);
    new_cd(&b, CD_BASE & ~CD_AA64, ttb);
    faults(&b, 1, VA, C_BAD_CD);
    new_cd(&b, (CD_BASE & ~0x3full) | 40, ttb);
    faults(&b, 1, VA, C_BAD_CD);

    /* An IPS that is too large, or reserved, is capped to the OAS */
    new_cd(&b, CD_BASE | CD_IPS(7), ttb);
    reaches(&b, 1, VA, DATA);
    new_cd(&b, CD_BASE | CD_IPS(6), ttb);
    reaches(&b, 1, VA, DATA);

    /* A page beyond the output size */
    map(&b, ttb, VA + PAGE, 1ull << 44 | PTE_RW);
    faults(&b, 1, VA + PAGE, F_ADDR_SIZE);
    /* A table that cannot be read */
    put(&b, desc(&b, ttb, VA + 2 * MiB, 2), NOWHERE | PTE_TABLE);
    g_assert_cmpuint(dma_read(&b, 1, VA + 2 * MiB), ==, SVADEV_STATUS_FAULT);
    e = expect_ssid_event(&b, F_WALK_EABT, 1);
    g_assert_cmphex(e.addr, ==, VA + 2 * MiB);
    g_assert_cmphex(e.addr2, ==, NOWHERE);

    /* Faults without CD.R are not recorded */
    new_cd(&b, CD_BASE & ~CD_R, ttb);
    g_assert_cmpuint(dma_read(&b, 1, VA + 8 * PAGE), ==, SVADEV_STATUS_FAULT);
    no_event(&b);

    /* A stream that must not stall has a context that does */
    new_cd(&b, CD_BASE | CD_S, ttb);
    reaches(&b, 1, VA, DATA);
    set_ste(&b, SID, STE_V | STE_S1 | CDTAB | STE_CDMAX(6),
            STE1_DSS(2) | STE1_S1STALLD);
    cmd(&b, CFGI_STE, 0, SID, LEAF);
    cmd_sync(&b);
    faults(&b, 1, VA, C_BAD_CD);
    new_cd(&b, CD_BASE, ttb);
    reaches(&b, 1, VA, DATA);
    stop(&b);

    b = start(SSID16);
    linear(&b, SID);
    one_page(&b, 1, 0, CD_S, DATA);
    faults(&b, 1, VA, C_BAD_CD);
    stop(&b);
}

static void test_event_fields(void)
{
    Bench b = start(SSID16);
    uint64_t ttb;
    Event e;

    linear(&b, SID);
    ttb = one_page(&b, 5, 1, CD_TBI0, DATA);

    g_assert_cmpuint(dma_read(&b, 5, VA + PAGE + 16), ==, SVADEV_STATUS_FAULT);
    e = expect_ssid_event(&b, F_TRANSLATION, 5);
    g_assert_cmphex(e.addr, ==, VA + PAGE + 16);
    g_assert(e.rnw && !e.pnu && !e.ind && !e.s2 && !e.stall);
    g_assert_cmpint(e.class, ==, 2);

    set_queue(&b, 0, 0, 5, SVADEV_Q_MODE_PRIV);
    start_op(&b, 0, 0, SVADEV_OP_FETCH_ADD, VA + PAGE, 1);
    e = expect_ssid_event(&b, F_TRANSLATION, 5);
    g_assert(!e.rnw && e.pnu);

    /* A tag in the top byte: ignored, but reported */
    reaches(&b, 5, 0xab00000000000000 | VA, DATA);
    put(&b, desc(&b, ttb, VA, 3), 0);
    tlbi_va(&b, 1, VA, true);
    cmd_sync(&b);
    g_assert_cmpuint(dma_read(&b, 5, 0xab00000000000000 | VA), ==,
                     SVADEV_STATUS_FAULT);
    e = expect_ssid_event(&b, F_TRANSLATION, 5);
    g_assert_cmphex(e.addr, ==, 0xab00000000000000 | VA);
    stop(&b);
}

static uint64_t dma_priv(Bench *b, int ssid, uint64_t va)
{
    set_queue(b, 0, 0, ssid, SVADEV_Q_MODE_PRIV);
    return start_op(b, 0, 0, SVADEV_OP_READ, va, 0);
}

static void test_privilege(void)
{
    Bench b = start(SSID16);
    uint64_t ttb;

    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    map(&b, ttb, VA + PAGE, (DATA | PTE_RW) & ~PTE_USER);

    /* Both from the walk and from the TLB */
    faults(&b, 1, VA + PAGE, F_PERMISSION);
    g_assert_cmpuint(dma_priv(&b, 1, VA + PAGE), ==, SVADEV_STATUS_OK);
    faults(&b, 1, VA + PAGE, F_PERMISSION);
    g_assert_cmpuint(dma_priv(&b, 1, VA), ==, SVADEV_STATUS_OK);
    reaches(&b, 1, VA, DATA);

    /* Privileged access never */
    one_page(&b, 2, 2, CD_PAN, DATA);
    g_assert_cmpuint(dma_priv(&b, 2, VA), ==, SVADEV_STATUS_FAULT);
    g_assert(expect_ssid_event(&b, F_PERMISSION, 2).pnu);
    reaches(&b, 2, VA, DATA);
    g_assert_cmpuint(dma_priv(&b, 2, VA), ==, SVADEV_STATUS_FAULT);
    expect_ssid_event(&b, F_PERMISSION, 2);

    /* A table that takes away what its pages give */
    ttb = one_page(&b, 3, 3, 0, DATA);
    put(&b, desc(&b, ttb, VA, 2),
        get(&b, desc(&b, ttb, VA, 2)) | PTE_APTABLE_RO);
    g_assert_cmpuint(dma_read(&b, 3, VA), ==, SVADEV_STATUS_OK);
    faults(&b, 3, VA, F_PERMISSION);
    ttb = one_page(&b, 4, 4, 0, DATA);
    put(&b, desc(&b, ttb, VA, 2),
        get(&b, desc(&b, ttb, VA, 2)) | PTE_APTABLE_PRV);
    g_assert_cmpuint(dma_priv(&b, 4, VA), ==, SVADEV_STATUS_OK);
    faults(&b, 4, VA, F_PERMISSION);

    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 0);
    stop(&b);
}

/* Caches */

static void test_cfg_cache(void)
{
    Bench b = start(SSID16);
    uint64_t ttb, ttb2;

    linear(&b, SID);
    linear(&b, SID2);
    ttb = one_page(&b, 1, 1, 0, DATA);
    ttb2 = one_page(&b, 2, 2, 0, DATA + PAGE);
    reaches(&b, 1, VA, DATA);
    reaches(&b, 2, VA, DATA + PAGE);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 0);

    /* A CD is used until it is invalidated: that one, of that stream */
    set_cd(&b, cd_of(1), 0, 0);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 1);
    cfgi_cd(&b, SID, 2, true);
    cfgi_cd(&b, SID2, 1, true);
    cmd(&b, CFGI_CD_ALL, 0, SID2, 0);
    cmd(&b, CFGI_STE, 0, SID2, 0);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 2);
    cfgi_cd(&b, SID, 1, true);
    cmd_sync(&b);
    faults(&b, 1, VA, C_BAD_CD);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 2);

    /* So is an invalid one */
    set_cd(&b, cd_of(1), CD_BASE | CD_ASID(1), ttb);
    faults(&b, 1, VA, C_BAD_CD);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 3);
    cmd(&b, CFGI_CD_ALL, 0, SID, 0);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);

    /* CFGI_CD_ALL means all */
    reaches(&b, 2, VA, DATA + PAGE);
    set_cd(&b, cd_of(1), 0, 0);
    set_cd(&b, cd_of(2), 0, 0);
    cmd(&b, CFGI_CD_ALL, 0, SID, 0);
    cmd_sync(&b);
    faults(&b, 1, VA, C_BAD_CD);
    faults(&b, 2, VA, C_BAD_CD);

    /* CFGI_STE takes the CDs along */
    set_cd(&b, cd_of(1), CD_BASE | CD_ASID(1), ttb);
    cmd(&b, CFGI_STE, 0, SID, LEAF);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);

    /* but not the other way round */
    set_ste(&b, SID, 0, 0);
    cmd(&b, CFGI_CD_ALL, 0, SID, 0);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 4);
    cmd(&b, CFGI_ALL, 0, 0, 31);
    cmd_sync(&b);
    faults(&b, 1, VA, C_BAD_STE);

    linear(&b, SID);
    set_cd(&b, cd_of(2), CD_BASE | CD_ASID(2), ttb2);
    faults(&b, 2, VA, C_BAD_STE);
    /* CFGI_STE_RANGE of 8 streams, next to it and on it */
    cmd(&b, CFGI_ALL, 0, SID - 8, 2);
    cmd_sync(&b);
    faults(&b, 2, VA, C_BAD_STE);
    cmd(&b, CFGI_ALL, 0, SID, 2);
    cmd_sync(&b);
    reaches(&b, 2, VA, DATA + PAGE);
    stop(&b);
}

static void test_two_level_stream_table(void)
{
    Bench b = start(SSID16);

    /* 64 STEs per leaf, at STRTAB; level 1 at CDTAB_L2 */
    set_reg(&b, STRTAB_BASE_CFG, 1 << 16 | 6 << 6 | STRTAB_LOG2);
    put(&b, SMMU + STRTAB_BASE, CDTAB_L2);
    linear(&b, SID);
    one_page(&b, 1, 1, 0, DATA);
    faults(&b, 1, VA, C_BAD_STREAMID);

    put(&b, CDTAB_L2, STRTAB | 7);
    faults(&b, 1, VA, C_BAD_STREAMID);
    cmd(&b, CFGI_STE, 0, SID, LEAF);
    cmd_sync(&b);
    faults(&b, 1, VA, C_BAD_STREAMID);
    cmd(&b, CFGI_STE, 0, SID, 0);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 2);

    /* A leaf of 16 STEs, not one of which it is; then one of 32 */
    put(&b, CDTAB_L2, STRTAB | 5);
    cmd(&b, CFGI_STE, 0, SID, 0);
    cmd_sync(&b);
    faults(&b, 1, VA, C_BAD_STREAMID);
    put(&b, CDTAB_L2, STRTAB | 6);
    cmd(&b, CFGI_STE, 0, SID, 0);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);

    /* Back to one level */
    set_reg(&b, CR0, CR0_ALL & ~CR0_SMMUEN);
    put(&b, SMMU + STRTAB_BASE, STRTAB);
    set_reg(&b, STRTAB_BASE_CFG, STRTAB_LOG2);
    cmd(&b, CFGI_ALL, 0, 0, 31);
    cmd_sync(&b);
    put(&b, CDTAB_L2, 0);
    set_reg(&b, CR0, CR0_ALL);
    reaches(&b, 1, VA, DATA);
    stop(&b);
}

static void test_tlb(void)
{
    Bench b = start(SSID16);
    uint64_t ttb, pte;

    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    one_page(&b, 2, 2, 0, DATA + 9 * PAGE);
    pte = desc(&b, ttb, VA, 3);

    /* Faults are not cached */
    faults(&b, 1, VA + PAGE, F_TRANSLATION);
    map(&b, ttb, VA + PAGE, (DATA + PAGE) | (PTE_RW & ~PTE_AF));
    faults(&b, 1, VA + PAGE, F_ACCESS);
    map(&b, ttb, VA + PAGE, (DATA + PAGE) | PTE_RW);
    reaches(&b, 1, VA + PAGE, DATA + PAGE);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 0);

    /* Translations are */
    reaches(&b, 1, VA, DATA);
    put(&b, pte, 0);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 1);
    put(&b, pte, (DATA + 2 * PAGE) | PTE_RW);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 2);

    /* until invalidated: that page, of that address space */
    tlbi_va(&b, 1, VA + PAGE, false);
    tlbi_va(&b, 2, VA, false);
    cmd(&b, TLBI_NH_ASID, 0, 2 << 16, 0);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 3);
    tlbi_va(&b, 1, VA, true);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA + 2 * PAGE);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 3);

    /* A permission taken away */
    put(&b, pte, (DATA + 2 * PAGE) | PTE_RW | PTE_RO);
    reaches(&b, 1, VA, DATA + 2 * PAGE);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 4);
    cmd(&b, TLBI_NH_ASID, 0, 1 << 16, 0);
    cmd_sync(&b);
    g_assert_cmpuint(dma_read(&b, 1, VA), ==, SVADEV_STATUS_OK);
    faults(&b, 1, VA, F_PERMISSION);

    /* A permission given: the cached entry may still deny it */
    put(&b, pte, (DATA + 2 * PAGE) | PTE_RW);
    faults(&b, 1, VA, F_PERMISSION);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 4);
    tlbi_va(&b, 1, VA, true);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA + 2 * PAGE);

    /* also if the first request of all was denied */
    put(&b, pte, (DATA + 2 * PAGE) | PTE_RW | PTE_RO);
    tlbi_va(&b, 1, VA, true);
    cmd_sync(&b);
    faults(&b, 1, VA, F_PERMISSION);
    put(&b, pte, (DATA + 2 * PAGE) | PTE_RW);
    faults(&b, 1, VA, F_PERMISSION);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 4);
    tlbi_va(&b, 1, VA, true);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA + 2 * PAGE);

    /* The Access flag cleared is no reason to invalidate */
    put(&b, pte, (DATA + 2 * PAGE) | (PTE_RW & ~PTE_AF));
    reaches(&b, 1, VA, DATA + 2 * PAGE);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 4);

    /* Pages that only privileged requests may use from now on */
    put(&b, pte, (DATA + 2 * PAGE) | (PTE_RW & ~PTE_USER));
    reaches(&b, 1, VA, DATA + 2 * PAGE);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 5);
    stop(&b);
}

/* TLBI_NH_VA of 1 << @scale times @num + 1 pages of 4KB */
static void tlbi_range(Bench *b, uint16_t asid, uint64_t va, int num, int scale,
                       int ttl, bool leaf)
{
    cmd(b, TLBI_NH_VA, num << 12 | scale << 20, (uint32_t)asid << 16,
        va | 1 << 10 | ttl << 8 | leaf);
}

static void test_table_cache(void)
{
    Bench b = start(SSID16);
    uint64_t ttb, table;

    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    reaches(&b, 1, VA, DATA);

    /* Another table of pages, in place of the one that was walked */
    table = new_table(&b);
    put(&b, table, (DATA + PAGE) | PTE_RW);
    put(&b, desc(&b, ttb, VA, 2), table | PTE_TABLE);
    tlbi_va(&b, 1, VA, true);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 1);
    tlbi_range(&b, 1, VA, 7, 0, 0, true);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 2);
    tlbi_range(&b, 1, VA, 7, 0, 0, false);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA + PAGE);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 2);

    /* No table at all; the pages of its neighbour stay */
    put(&b, desc(&b, ttb, VA + 2 * MiB, 3), (DATA + 2 * PAGE) | PTE_RW);
    reaches(&b, 1, VA + 2 * MiB, DATA + 2 * PAGE);
    put(&b, desc(&b, ttb, VA, 2), 0);
    reaches(&b, 1, VA, DATA + PAGE);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 3);
    tlbi_va(&b, 1, VA + 2 * MiB, false);
    tlbi_va(&b, 1, VA, true);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA + PAGE);
    tlbi_va(&b, 1, VA + 5 * PAGE, false);
    tlbi_va(&b, 1, VA, true);
    cmd_sync(&b);
    faults(&b, 1, VA, F_TRANSLATION);

    /* By ASID */
    put(&b, desc(&b, ttb, VA, 2), table | PTE_TABLE);
    reaches(&b, 1, VA, DATA + PAGE);
    put(&b, desc(&b, ttb, VA, 2), 0);
    cmd(&b, TLBI_NH_ASID, 0, 1 << 16, 0);
    cmd_sync(&b);
    faults(&b, 1, VA, F_TRANSLATION);
    stop(&b);
}

static void test_range(void)
{
    Bench b = start(SSID16);
    uint64_t ttb;
    int i;

    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    for (i = 0; i < 8; i++) {
        map(&b, ttb, VA + i * PAGE, (DATA + i * PAGE) | PTE_RW);
        reaches(&b, 1, VA + i * PAGE, DATA + i * PAGE);
        map(&b, ttb, VA + i * PAGE, 0);
    }

    /* The wrong level, and the wrong granule */
    tlbi_range(&b, 1, VA, 7, 0, 2, true);
    cmd(&b, TLBI_NH_VA, 7 << 12, 1 << 16, VA | 3 << 10);
    cmd_sync(&b);
    for (i = 0; i < 8; i++) {
        reaches(&b, 1, VA + i * PAGE, DATA + i * PAGE);
    }

    tlbi_range(&b, 1, VA + PAGE, 2, 1, 3, true);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);
    reaches(&b, 1, VA + 7 * PAGE, DATA + 7 * PAGE);
    for (i = 1; i < 7; i++) {
        faults(&b, 1, VA + i * PAGE, F_TRANSLATION);
    }

    /* The largest there is, which wraps */
    tlbi_range(&b, 1, VA, 31, 31, 0, false);
    cmd_sync(&b);
    faults(&b, 1, VA, F_TRANSLATION);
    stop(&b);

    /* Without range invalidation its fields are not there */
    b = start(SSID16 "-global arm-smmuv3.ril=off");
    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    map(&b, ttb, VA + PAGE, (DATA + PAGE) | PTE_RW);
    reaches(&b, 1, VA, DATA);
    reaches(&b, 1, VA + PAGE, DATA + PAGE);
    map(&b, ttb, VA, 0);
    map(&b, ttb, VA + PAGE, 0);
    tlbi_range(&b, 1, VA, 1, 0, 0, true);
    cmd_sync(&b);
    faults(&b, 1, VA, F_TRANSLATION);
    reaches(&b, 1, VA + PAGE, DATA + PAGE);
    stop(&b);
}

/* More pages than the TLB of the base model has entries */
static void test_no_eviction(void)
{
    Bench b = start(SSID16);
    uint64_t ttb;
    int i, n = 400;

    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    for (i = 0; i < n; i++) {
        map(&b, ttb, VA + i * PAGE, (DATA + i * PAGE) | PTE_RW);
        g_assert_cmpuint(dma_read(&b, 1, VA + i * PAGE), ==, SVADEV_STATUS_OK);
    }
    map(&b, ttb, VA, 0);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 1);
    stop(&b);
}

static void test_strict(void)
{
    Bench b = start(SSID16);
    uint64_t ttb, pte;

    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    pte = desc(&b, ttb, VA, 3);
    reaches(&b, 1, VA, DATA);

    put(&b, pte, 0);
    tlbi_va(&b, 1, VA, false);
    cmd(&b, TLBI_NH_ASID, 0, 1 << 16, 0);
    cmd(&b, TLBI_NSNH_ALL, 0, 0, 0);
    g_assert_cmphex(reg(&b, CMDQ_CONS), ==, b.cmd_prod);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 1);
    cmd_sync(&b);
    faults(&b, 1, VA, F_TRANSLATION);

    put(&b, pte, DATA | PTE_RW);
    reaches(&b, 1, VA, DATA);
    set_cd(&b, cd_of(1), 0, 0);
    cfgi_cd(&b, SID, 1, true);
    cmd(&b, CFGI_STE, 0, SID, 0);
    cmd(&b, CFGI_ALL, 0, 0, 31);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 1);
    cmd_sync(&b);
    faults(&b, 1, VA, C_BAD_CD);

    /* Once, not at each CMD_SYNC from then on */
    set_cd(&b, cd_of(1), CD_BASE | CD_ASID(1), ttb);
    cmd_sync(&b);
    faults(&b, 1, VA, C_BAD_CD);

    g_assert_cmpuint(counter(&b, "cmd.tlbi_nh_va"), ==, 1);
    g_assert_cmpuint(counter(&b, "cmd.tlbi_nh_asid"), ==, 1);
    g_assert_cmpuint(counter(&b, "cmd.cfgi_cd"), ==, 1);
    g_assert_cmpuint(counter(&b, "cmd.cfgi_all"), ==, 1);
    g_assert_cmpuint(counter(&b, "cmd.fence"), ==, 3);
    g_assert_cmpuint(counter(&b, "cmd.sync"), ==, 0);
    stop(&b);

    /* Without strict caching, at once */
    b = start(SSID16 "-global arm-smmuv3.strict=off");
    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    reaches(&b, 1, VA, DATA);
    put(&b, desc(&b, ttb, VA, 3), 0);
    reaches(&b, 1, VA, DATA);
    tlbi_va(&b, 1, VA, false);
    faults(&b, 1, VA, F_TRANSLATION);
    stop(&b);
}

static uint64_t read_by(Bench *b, int dev, int ssid, uint64_t va)
{
    set_queue(b, dev, 0, ssid, 0);
    return start_op(b, dev, 0, SVADEV_OP_READ, va, 0);
}

/* What each command invalidates, at the next CMD_SYNC, and nothing else */
static void test_commands(void)
{
    /* Uses of the caches: stage 1 of two VMIDs, and stage 2 */
    enum { A1 = 1, A1_NEXT = 2, A2 = 4, OTHER_VMID = 8, S2 = 16, S1 = 15 };
    static const struct {
        int dev, ssid;
        uint64_t va;
    } uses[] = {
        { 0, 1, VA }, { 0, 1, VA + PAGE }, { 0, 2, VA }, { 1, 1, VA },
        { 2, -1, VA }
    };
    static const struct {
        uint8_t op;
        uint32_t flags, word1;
        uint64_t dword1;
        int tlb, cds;           /* the uses that it ends */
    } rows[] = {
        { PREFETCH_CONFIG, 0, SID, 0, 0, 0 },
        { PREFETCH_ADDR, 0, SID, VA, 0, 0 },
        { CFGI_STE, 0, SID, LEAF, 0, A1 | A1_NEXT | A2 },
        { CFGI_STE, 0, SID2, 0, 0, OTHER_VMID },
        { CFGI_STE, 0, SID3, 0, 0, 0 },
        { CFGI_ALL, 0, SID, 2, 0, A1 | A1_NEXT | A2 },  /* a range of 8 */
        { CFGI_ALL, 0, 0, 31, 0, S1 },
        { CFGI_CD, 1 << 12, SID, LEAF, 0, A1 | A1_NEXT },
        { CFGI_CD, 2 << 12, SID, 0, 0, A2 },
        { CFGI_CD, 1 << 12, SID2, LEAF, 0, OTHER_VMID },
        { CFGI_CD_ALL, 0, SID, 0, 0, A1 | A1_NEXT | A2 },
        { CFGI_CD_ALL, 0, SID3, 0, 0, 0 },
        { TLBI_NH_ALL, 0, 1, 0, A1 | A1_NEXT | A2, 0 },
        { TLBI_NH_ALL, 0, 2, 0, OTHER_VMID, 0 },
        { TLBI_NH_ASID, 0, 1 << 16 | 1, 0, A1 | A1_NEXT, 0 },
        { TLBI_NH_ASID, 0, 1 << 16 | 2, 0, OTHER_VMID, 0 },
        { TLBI_NH_VA, 0, 1 << 16 | 1, VA | LEAF, A1, 0 },
        { TLBI_NH_VA, 0, 2 << 16 | 1, VA, A2, 0 },
        { TLBI_NH_VA, 0, 1 << 16 | 3, VA, 0, 0 },
        { TLBI_NH_VAA, 0, 1, VA | LEAF, A1 | A2, 0 },
        { TLBI_NH_VAA, 0, 1, VA + PAGE, A1_NEXT, 0 },
        { TLBI_S12_VMALL, 0, 1, 0, A1 | A1_NEXT | A2 | S2, 0 },
        { TLBI_S12_VMALL, 0, 2, 0, OTHER_VMID, 0 },
        { TLBI_S2_IPA, 0, 1, VA | LEAF, S2, 0 },
        { TLBI_S2_IPA, 0, 1, VA + PAGE, 0, 0 },
        { TLBI_S2_IPA, 0, 2, VA, 0, 0 },
        { TLBI_NSNH_ALL, 0, 0, 0, S1 | S2, 0 },
        { RESUME, RESUME_RETRY, SID, 0, 0, 0 },
        { STALL_TERM, 0, SID, 0, 0, 0 },
        { SYNC, 0, 0, 0, 0, 0 },
    };
    Bench b = start(STALL "-device svadev,addr=5,nr-queues=6");
    uint64_t cd[ARRAY_SIZE(uses)], ttb[ARRAY_SIZE(uses)], cds2 = CDTAB_L2;
    uint32_t asid[] = { 1, 1, 2, 1, 0 };
    int i, j, pass;

    setup_dev(&b, 2);
    linear(&b, SID);
    put(&b, STRTAB + SID * 64 + 16, 1);
    put(&b, STRTAB + SID2 * 64 + 16, 2);
    set_ste(&b, SID2, STE_V | STE_S1 | cds2 | STE_CDMAX(6), STE1_DSS(2));
    for (j = 0; j < ARRAY_SIZE(uses); j++) {
        cd[j] = (uses[j].dev ? cds2 : CDTAB) + uses[j].ssid * 64;
        ttb[j] = j == 1 ? ttb[0] : new_table(&b);
        desc(&b, ttb[j], VA, 3);
    }
    put(&b, STRTAB + SID3 * 64 + 16, STE2_S2 | 1);
    put(&b, STRTAB + SID3 * 64 + 24, ttb[4]);
    set_ste(&b, SID3, STE_V | STE_S2, 0);

    for (i = 0; i < ARRAY_SIZE(rows); i++) {
        /* Once with the translations gone, once with the CDs */
        for (pass = 0; pass < 2; pass++) {
            int ends = pass ? rows[i].cds : rows[i].tlb;

            for (j = 0; j < ARRAY_SIZE(uses); j++) {
                map(&b, ttb[j], uses[j].va,
                    DATA | (j == 4 ? PTE_S2_RW : PTE_RW));
                if (j < 4) {
                    set_cd(&b, cd[j], CD_BASE | CD_ASID(asid[j]), ttb[j]);
                }
            }
            cmd(&b, CFGI_ALL, 0, 0, 31);
            cmd(&b, TLBI_NSNH_ALL, 0, 0, 0);
            cmd_sync(&b);
            for (j = 0; j < ARRAY_SIZE(uses); j++) {
                g_assert_cmpuint(read_by(&b, uses[j].dev, uses[j].ssid,
                                         uses[j].va), ==, SVADEV_STATUS_OK);
            }
            for (j = 0; j < ARRAY_SIZE(uses); j++) {
                if (!pass) {
                    map(&b, ttb[j], uses[j].va, 0);
                } else if (j < 4) {
                    put(&b, cd[j], 0);
                }
            }

            cmd(&b, rows[i].op, rows[i].flags, rows[i].word1,
                rows[i].dword1);
            for (j = 0; j < ARRAY_SIZE(uses); j++) {
                g_assert_cmpuint(read_by(&b, uses[j].dev, uses[j].ssid,
                                         uses[j].va), ==, SVADEV_STATUS_OK);
            }
            no_event(&b);
            cmd_sync(&b);
            for (j = 0; j < ARRAY_SIZE(uses); j++) {
                bool gone = ends & 1 << j;

                g_assert_cmpuint(read_by(&b, uses[j].dev, uses[j].ssid,
                                         uses[j].va), ==,
                                 gone ? SVADEV_STATUS_FAULT : SVADEV_STATUS_OK);
                if (gone) {
                    expect_event(&b, pass ? C_BAD_CD : F_TRANSLATION);
                }
            }
            no_event(&b);
        }
    }
    stop(&b);
}

static void put_cmd(Bench *b, int i, uint8_t op, uint32_t word1,
                    uint64_t dword1)
{
    put(b, CMDQ + i * 16, (uint64_t)word1 << 32 | op);
    put(b, CMDQ + i * 16 + 8, dword1);
}

/* What is behind a CMD_SYNC in the queue is no business of it */
static void test_sync(void)
{
    Bench b = start(SSID16);
    uint64_t ttb;

    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    map(&b, ttb, VA + PAGE, (DATA + PAGE) | PTE_RW);
    reaches(&b, 1, VA, DATA);
    reaches(&b, 1, VA + PAGE, DATA + PAGE);
    map(&b, ttb, VA, 0);
    map(&b, ttb, VA + PAGE, 0);
    set_cd(&b, cd_of(2), CD_BASE | CD_ASID(1), ttb);

    put_cmd(&b, 0, TLBI_NH_VA, 1 << 16, VA);
    put_cmd(&b, 1, SYNC, 0, 0);
    put_cmd(&b, 2, TLBI_NH_VA, 1 << 16, VA + PAGE);
    put_cmd(&b, 3, CFGI_CD_ALL, SID, 0);
    b.cmd_prod = 4;
    set_reg(&b, CMDQ_PROD, b.cmd_prod);
    drain(&b);

    set_cd(&b, cd_of(1), 0, 0);
    faults(&b, 1, VA, F_TRANSLATION);
    reaches(&b, 1, VA + PAGE, DATA + PAGE);
    cmd_sync(&b);
    faults(&b, 1, VA, C_BAD_CD);
    faults(&b, 2, VA + PAGE, F_TRANSLATION);

    /* Nor is an error */
    put_cmd(&b, b.cmd_prod, SYNC, 0, 0);
    put_cmd(&b, b.cmd_prod + 1, 0, 0, 0);
    put_cmd(&b, b.cmd_prod + 2, SYNC, 0, 0);
    b.cmd_prod += 2;
    set_reg(&b, CMDQ_PROD, b.cmd_prod + 1);
    drain(&b);
    g_assert_cmphex(reg(&b, CMDQ_CONS), ==, 1 << 24 | (b.cmd_prod - 1));
    expect_cmd_error(&b, 1);
    stop(&b);
}

#define WILD(bits) "-global arm-smmuv3.x-wild=" #bits " "
#define SYNC_1MS   "-global arm-smmuv3.x-sync-ns=1000000 "

static bool sync_is_pending(Bench *b)
{
    return reg(b, CMDQ_CONS) != b->cmd_prod;
}

/* A CMD_SYNC completes later than the store to the doorbell */
static void test_sync_time(void)
{
    Bench b = start(SSID16 SYNC_1MS);
    uint64_t ttb;

    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    reaches(&b, 1, VA, DATA);
    map(&b, ttb, VA, 0);

    /* What follows in the queue waits too */
    tlbi_va(&b, 1, VA, true);
    cmd(&b, SYNC, 0, 0, 0);
    cmd(&b, SYNC, 2 << 12, 0, 0);
    qtest_clock_step(b.qts, 990000);
    g_assert_cmphex(reg(&b, CMDQ_CONS), ==, b.cmd_prod - 2);
    qtest_clock_step(b.qts, 20000);
    g_assert_cmphex(reg(&b, CMDQ_CONS), ==, b.cmd_prod - 1);
    faults(&b, 1, VA, F_TRANSLATION);
    qtest_clock_step(b.qts, 1000000);
    g_assert(!sync_is_pending(&b));
    g_assert_cmpuint(counter(&b, "cmd.fence"), ==, 1);
    g_assert_cmpuint(counter(&b, "cmd.sync"), ==, 1);

    /* The queue is disabled in between: the CMD_SYNC starts again */
    map(&b, ttb, VA, DATA | PTE_RW);
    reaches(&b, 1, VA, DATA);
    map(&b, ttb, VA, 0);
    tlbi_va(&b, 1, VA, true);
    cmd(&b, SYNC, 0, 0, 0);
    qtest_clock_step(b.qts, 900000);
    set_reg(&b, CR0, CR0_ALL & ~CR0_CMDQEN);
    qtest_clock_step(b.qts, 5000000);
    g_assert(sync_is_pending(&b));
    set_reg(&b, CR0, CR0_ALL);
    qtest_clock_step(b.qts, 900000);
    g_assert(sync_is_pending(&b));
    qtest_clock_step(b.qts, 100000);
    g_assert(!sync_is_pending(&b));
    faults(&b, 1, VA, F_TRANSLATION);

    /* A reset in the middle, and QEMU ends in the middle */
    cmd(&b, SYNC, 0, 0, 0);
    g_assert(sync_is_pending(&b));
    qtest_system_reset(b.qts);
    b.cmd_prod = 0;
    b.evt_cons = 0;
    setup(&b);
    qtest_clock_step(b.qts, 2000000);
    g_assert_cmphex(reg(&b, CMDQ_CONS), ==, 0);
    cmd_sync(&b);
    cmd(&b, SYNC, 0, 0, 0);
    g_assert(sync_is_pending(&b));
    stop(&b);
}

/* Without x-sync-ns the time is seeded, and within bounds */
static uint64_t sync_times(const char *props)
{
    Bench b = start(props);
    uint64_t sum = 0;
    int i, us;

    for (i = 0; i < 8; i++) {
        cmd(&b, SYNC, 0, 0, 0);
        for (us = 0; sync_is_pending(&b); us++) {
            g_assert_cmpint(us, <=, 200);
            qtest_clock_step(b.qts, 1000);
        }
        g_assert_cmpint(us, >=, 2);
        sum = sum * 201 + us;
    }
    stop(&b);
    return sum;
}

static void test_sync_seed(void)
{
    uint64_t one = sync_times(SSID16 "-global arm-smmuv3.x-seed=1 ");

    g_assert_cmphex(one, ==,
                    sync_times(SSID16 "-global arm-smmuv3.x-seed=1 "));
    g_assert_cmphex(one, !=,
                    sync_times(SSID16 "-global arm-smmuv3.x-seed=2 "));
}

/* An invalidation may act before its CMD_SYNC: what is fetched then stays */
static void test_early(void)
{
    Bench b = start(SSID16 WILD(1));
    uint64_t ttb;
    int i, early = 0;

    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);

    for (i = 0; i < 32; i++) {
        map(&b, ttb, VA, DATA | PTE_RW);
        cmd(&b, TLBI_NH_ASID, 0, 1 << 16, 0);
        cmd_sync(&b);
        cmd(&b, TLBI_NH_ASID, 0, 1 << 16, 0);
        cmd_sync(&b);
        reaches(&b, 1, VA, DATA);

        tlbi_va(&b, 1, VA, true);
        map(&b, ttb, VA, (DATA + PAGE) | PTE_RW);
        put(&b, DATA, 0);
        g_assert_cmpuint(dma_write(&b, 1, VA, 1), ==, SVADEV_STATUS_OK);
        if (get(&b, DATA)) {
            /* It has not acted, as the stale hit shows, and does now */
            cmd_sync(&b);
            reaches(&b, 1, VA, DATA + PAGE);
        } else {
            /* It has: it does not cover what was fetched since */
            early++;
            map(&b, ttb, VA, 0);
            cmd_sync(&b);
            reaches(&b, 1, VA, DATA + PAGE);
        }
        g_assert_cmpuint(counter(&b, "stale.tlb"), ==, i + 1);
    }
    g_assert_cmpint(early, >, 0);
    g_assert_cmpint(early, <, 32);
    stop(&b);
}

/*
 * TLBI before CFGI, without a CMD_SYNC between: recent requests refill the TLB
 * through the CD that is still cached (IHI 0070, 4.3.6).
 */
static void test_refill(void)
{
    Bench b = start(SSID16 WILD(6));
    uint64_t ttb = 0;
    int i, refilled = 0;

    linear(&b, SID);

    for (i = 0; i < 32; i++) {
        ttb = one_page(&b, 1, 1, 0, DATA);
        cmd(&b, CFGI_CD_ALL, 0, SID, 0);
        cmd_sync(&b);
        cmd(&b, TLBI_NH_ASID, 0, 1 << 16, 0);
        cmd_sync(&b);
        reaches(&b, 1, VA, DATA);

        set_cd(&b, cd_of(1), 0, 0);
        cmd(&b, CFGI_CD_ALL, 0, SID, 0);
        cmd(&b, TLBI_NH_ASID, 0, 1 << 16, 0);
        cmd_sync(&b);
        faults(&b, 1, VA, C_BAD_CD);

        /* Another address space of that ASID, with a hole */
        map(&b, ttb, VA, 0);
        set_cd(&b, cd_of(1), CD_BASE | CD_ASID(1), ttb);
        cfgi_cd(&b, SID, 1, true);
        cmd_sync(&b);
        if (dma_read(&b, 1, VA) == SVADEV_STATUS_OK) {
            refilled++;
        } else {
            expect_event(&b, F_TRANSLATION);
        }
    }
    /* In one of the two orders, and by nothing that is counted */
    g_assert_cmpint(refilled, >, 0);
    g_assert_cmpint(refilled, <, 32);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, refilled);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 0);
    g_assert_cmpuint(counter(&b, "tlb.hit") + counter(&b, "tlb.miss"), ==, 64);

    /* In the right order there is nothing left */
    for (i = 0; i < 16; i++) {
        map(&b, ttb, VA, DATA | PTE_RW);
        cmd(&b, TLBI_NH_ASID, 0, 1 << 16, 0);
        cmd_sync(&b);
        reaches(&b, 1, VA, DATA);
        map(&b, ttb, VA, 0);
        set_cd(&b, cd_of(1), 0, 0);
        cfgi_cd(&b, SID, 1, true);
        cmd_sync(&b);
        cmd(&b, TLBI_NH_ASID, 0, 1 << 16, 0);
        cmd_sync(&b);
        set_cd(&b, cd_of(1), CD_BASE | CD_ASID(1), ttb);
        cfgi_cd(&b, SID, 1, true);
        cmd_sync(&b);
        faults(&b, 1, VA, F_TRANSLATION);
    }
    stop(&b);
}

/* Structures are read that no request has asked for (IHI 0070, 3.21.3) */
static void test_prefetch(void)
{
    Bench b = start(SSID16 WILD(8));
    uint64_t ttb, left = 0, l1cds = 0, stes = 0;
    uint64_t s1 = STE_V | STE_S1 | STE_CDMAX(14) | STE_FMT(1);
    int i, ssid, faulted;

    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    for (i = 0; i < 16; i++) {
        cmd(&b, CFGI_ALL, 0, 0, 31);
        cmd_sync(&b);
        reaches(&b, 1, VA, DATA);
        /* An invalid structure has no meaning, and another stream no CDs */
        g_assert_cmpuint(left_cfg(&b), ==, 0);
        for (ssid = 2; ssid < 64; ssid++) {
            set_cd(&b, cd_of(ssid), CD_BASE | CD_ASID(1), ttb);
        }
        left += left_cfg(&b);
        if (i == 15) {
            break;
        }
        for (ssid = 2; ssid < 64; ssid++) {
            set_cd(&b, cd_of(ssid), 0, 0);
        }
    }
    g_assert_cmpuint(left, >, 0);
    g_assert_cmpuint(left, <=, 16 * 7);

    /* They are used, and make no event before */
    no_event(&b);
    left = left_cfg(&b);
    for (ssid = 2, faulted = 0; ssid < 64; ssid++) {
        if (dma_write(&b, ssid, VA, 1) != SVADEV_STATUS_OK) {
            expect_ssid_event(&b, C_BAD_CD, ssid);
            faulted++;
        }
    }
    no_event(&b);
    g_assert_cmpuint(faulted, ==, left);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, left);

    /* L1CDs, and the STE of the other function */
    for (i = 0; i < 32; i++) {
        qtest_memset(b.qts, CDTAB, 0, PAGE);
        set_ste(&b, SID, s1 | CDTAB, STE1_DSS(2));
        set_ste(&b, SID2, 0, 0);
        put(&b, CDTAB + 5 * 8, CDTAB_L2 | 1);
        set_cd(&b, CDTAB_L2 + 3 * 64, CD_BASE | CD_ASID(1), ttb);
        cmd(&b, CFGI_ALL, 0, 0, 31);
        cmd_sync(&b);
        reaches(&b, (5 << 6) + 3, VA, DATA);
        g_assert_cmpuint(left_cfg(&b), ==, 0);
        set_ste(&b, SID2, STE_V | STE_BYPASS, 0);
        left = left_cfg(&b);
        stes += left;
        for (ssid = 0; ssid < 256; ssid++) {
            put(&b, CDTAB + ssid * 8, CDTAB_L2 | 1);
        }
        l1cds += left_cfg(&b) - left;
    }
    g_assert_cmpuint(stes, >, 0);
    g_assert_cmpuint(stes, <, 32);
    g_assert_cmpuint(l1cds, >, 0);
    stop(&b);
}

/* What the TLB holds of @pages pages from VA on, none of which is mapped now */
static int expect_left(Bench *b, int pages)
{
    int i, hits = 0;

    qtest_writel(b->qts, MMIO + SVADEV_STAT_LATCH, SVADEV_STAT_LATCH_AUDIT);
    for (i = 0; i < pages; i++) {
        if (dma_read(b, 1, VA + i * PAGE) == SVADEV_STATUS_OK) {
            hits |= 1 << i;
        } else {
            expect_event(b, F_TRANSLATION);
        }
    }
    g_assert_cmpuint(counter(b, "left.tlb"), ==, ctpop32(hits));
    return hits;
}

/* Valid descriptors of the same 64 bytes are cached too (IHI 0070, 3.21.1) */
static void test_read_ahead(void)
{
    Bench b = start(SSID16 WILD(8));
    uint64_t ttb;
    int i, j, hits, any = 0, all = 0xff;

    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    for (i = 0; i < 16; i++) {
        for (j = 0; j < 16; j++) {
            map(&b, ttb, VA + j * PAGE, (DATA + j * PAGE) | PTE_RW);
        }
        /* Not valid, and one that must not be cached */
        map(&b, ttb, VA + PAGE, 0);
        map(&b, ttb, VA + 2 * PAGE, (DATA + 2 * PAGE) | (PTE_RW & ~PTE_AF));
        reaches(&b, 1, VA + 3 * PAGE, DATA + 3 * PAGE);
        for (j = 0; j < 16; j++) {
            map(&b, ttb, VA + j * PAGE, 0);
        }
        hits = expect_left(&b, 16);
        g_assert_cmphex(hits & 0xff0e, ==, 1 << 3);
        any |= hits;
        all &= hits;
        cmd(&b, TLBI_NH_ASID, 0, 1 << 16, 0);
        cmd_sync(&b);
        g_assert_cmphex(expect_left(&b, 16), ==, 0);
    }
    g_assert_cmphex(any, ==, 0xf9);
    g_assert_cmphex(all, ==, 1 << 3);
    stop(&b);
}

/* Where does a write go? */
typedef enum Where { NOT, OLD, NEW } Where;

static Where write_where_by(Bench *b, int ssid)
{
    put(b, DATA, 0);
    put(b, DATA + PAGE, 0);
    if (dma_write(b, ssid, VA, 1) != SVADEV_STATUS_OK) {
        expect_ssid_event(b, C_BAD_CD, ssid);
        return NOT;
    }
    g_assert_cmpuint(get(b, DATA) + get(b, DATA + PAGE), ==, 1);
    return get(b, DATA) ? OLD : NEW;
}

static Where write_where(Bench *b)
{
    return write_where_by(b, 1);
}

/* Both words of a CD change at once, with an ASID that has nothing cached */
static void change_cd(Bench *b, uint64_t old_ttb, uint64_t new_ttb)
{
    set_cd(b, cd_of(1), (CD_BASE & ~CD_V) | CD_ASID(1), old_ttb);
    cfgi_cd(b, SID, 1, true);
    cmd(b, TLBI_NH_ASID, 0, 2 << 16, 0);
    cmd_sync(b);
    g_assert_cmpint(write_where(b), ==, NOT);
    set_cd(b, cd_of(1), CD_BASE | CD_ASID(2), new_ttb);
}

/*
 * Structures are read in pieces of 64 bits, of any time since the CMD_SYNC
 * behind their last invalidation (IHI 0070, 3.21.3).
 */
static void test_torn(void)
{
    Bench b = start(SSID16 WILD(16));
    uint64_t leaf = CDTAB_L2, other = CDTAB_L2 + PAGE, old, new;
    uint64_t s1 = STE_V | STE_S1 | STE_CDMAX(14) | STE_FMT(1);
    int i, seen[3] = {};

    linear(&b, SID);
    new = one_page(&b, 1, 1, 0, DATA + PAGE);
    old = one_page(&b, 1, 1, 0, DATA);
    for (i = 0; i < 48; i++) {
        change_cd(&b, old, new);
        /* V of now, with the table of before */
        seen[write_where(&b)]++;
        g_assert_cmpuint(counter(&b, "stale.cfg"), ==, i + 1);
        cfgi_cd(&b, SID, 1, true);
        cmd_sync(&b);
        cmd(&b, TLBI_NH_ASID, 0, 2 << 16, 0);
        cmd_sync(&b);
        g_assert_cmpint(write_where(&b), ==, NEW);
    }
    g_assert(seen[NOT] && seen[OLD] && seen[NEW]);

    /* One word changes, or both with a CMD_SYNC between */
    for (i = 0; i < 16; i++) {
        change_cd(&b, old, old);
        g_assert_cmpint(write_where(&b), !=, NEW);
        change_cd(&b, old, old);
        put(&b, cd_of(1), (CD_BASE & ~CD_V) | CD_ASID(1));
        put(&b, cd_of(1) + 8, new);
        cfgi_cd(&b, SID, 1, true);
        cmd_sync(&b);
        put(&b, cd_of(1), CD_BASE | CD_ASID(2));
        g_assert_cmpint(write_where(&b), !=, OLD);
        cfgi_cd(&b, SID, 1, true);
        cmd_sync(&b);
        g_assert_cmpint(write_where(&b), ==, NEW);
    }

    /* A fetch has one address: a leaf that replaces another is no mixture */
    set_ste(&b, SID, s1 | CDTAB, STE1_DSS(2));
    cmd(&b, CFGI_STE, 0, SID, LEAF);
    cmd_sync(&b);
    set_cd(&b, leaf + 64, CD_BASE | CD_ASID(1), old);
    set_cd(&b, other + 64, CD_BASE | CD_ASID(2), new);
    for (i = 0; i < 16; i++) {
        put(&b, CDTAB, leaf | 1);
        cfgi_cd(&b, SID, 1, false);
        cmd(&b, TLBI_NH_ALL, 0, 0, 0);
        cmd_sync(&b);
        g_assert_cmpint(write_where(&b), ==, OLD);
        put(&b, CDTAB, other | 1);
        g_assert_cmpint(write_where(&b), !=, NOT);
        cfgi_cd(&b, SID, 1, false);
        cmd_sync(&b);
        g_assert_cmpint(write_where(&b), ==, NEW);
    }
    stop(&b);
}

/* After an invalidation that acts early, but not after its CMD_SYNC */
static void test_torn_early(void)
{
    Bench b = start(SSID16 WILD(17));
    uint64_t leaf = CDTAB_L2, other = CDTAB_L2 + PAGE, old, new;
    uint64_t s1 = STE_V | STE_S1 | STE_CDMAX(14) | STE_FMT(1);
    int i, seen[3] = {};

    linear(&b, SID);
    new = one_page(&b, 1, 1, 0, DATA + PAGE);
    old = one_page(&b, 1, 1, 0, DATA);
    for (i = 0; i < 96; i++) {
        uint64_t misses;
        Where where;

        change_cd(&b, old, new);
        misses = counter(&b, "cfg.miss");
        cfgi_cd(&b, SID, 1, true);
        where = write_where(&b);
        if (counter(&b, "cfg.miss") > misses) {
            /* It has acted */
            seen[where]++;
        }
        cmd_sync(&b);
        cmd(&b, TLBI_NH_ASID, 0, 2 << 16, 0);
        cmd_sync(&b);
        g_assert_cmpint(write_where(&b), ==, NEW);
    }
    g_assert(seen[NOT] && seen[OLD] && seen[NEW]);

    /* CDs that were found through an L1CD of before go with it */
    memset(seen, 0, sizeof(seen));
    set_ste(&b, SID, s1 | CDTAB, STE1_DSS(2));
    cmd(&b, CFGI_STE, 0, SID, LEAF);
    cmd_sync(&b);
    for (i = 1; i <= 2; i++) {
        set_cd(&b, leaf + i * 64, CD_BASE | CD_ASID(i + 2), old);
        set_cd(&b, other + i * 64, CD_BASE | CD_ASID(i + 4), new);
    }
    for (i = 0; i < 48; i++) {
        uint64_t misses;
        bool early;

        put(&b, CDTAB, leaf | 1);
        cmd(&b, CFGI_CD_ALL, 0, SID, 0);
        cmd_sync(&b);
        g_assert_cmpint(write_where(&b), ==, OLD);
        put(&b, CDTAB, other | 1);
        misses = counter(&b, "cfg.miss");
        cfgi_cd(&b, SID, 1, false);
        seen[write_where(&b)]++;
        early = counter(&b, "cfg.miss") > misses;
        seen[write_where_by(&b, 2)]++;
        cmd_sync(&b);
        g_assert_cmpint(write_where(&b), ==, NEW);
        /* If it was cached before the command acted, that is not about it */
        g_assert(write_where_by(&b, 2) == NEW || !early);
    }
    g_assert(!seen[NOT] && seen[OLD] && seen[NEW]);
    stop(&b);
}

/* Entries that no DMA hits */
static void test_audit(void)
{
    Bench b = start(SSID16);
    uint64_t ttb, table, pte, leaf = CDTAB_L2, copy = CDTAB_L2 + PAGE;
    uint64_t s1 = STE_V | STE_S1 | STE_CDMAX(14) | STE_FMT(1);
    int i;

    /* No other stream: one with the same table would be a context as well */
    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    pte = desc(&b, ttb, VA, 3);
    audit(&b, 0, 0, 0);
    reaches(&b, 1, VA, DATA);
    faults(&b, 2, VA, C_BAD_CD);
    audit(&b, 0, 0, 0);

    /* A translation: removed, changed, fewer permissions */
    put(&b, pte, 0);
    audit(&b, 0, 1, 0);
    put(&b, pte, (DATA + PAGE) | PTE_RW);
    audit(&b, 0, 1, 0);
    put(&b, pte, DATA | PTE_RW | PTE_RO);
    audit(&b, 0, 1, 0);
    put(&b, pte, (DATA | PTE_RW) & ~PTE_USER);
    audit(&b, 0, 1, 0);
    /* Not the Access flag */
    put(&b, pte, DATA | (PTE_RW & ~PTE_AF));
    audit(&b, 0, 0, 0);

    /* More permissions, by a CPU's hardware with DBM for example */
    put(&b, pte, DATA | PTE_RW | PTE_RO | PTE_DBM);
    tlbi_va(&b, 1, VA, true);
    cmd_sync(&b);
    g_assert_cmpuint(dma_read(&b, 1, VA), ==, SVADEV_STATUS_OK);
    put(&b, pte, DATA | PTE_RW | PTE_DBM);
    audit(&b, 0, 0, 0);
    g_assert_cmpuint(dma_read(&b, 1, VA), ==, SVADEV_STATUS_OK);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 0);
    tlbi_va(&b, 1, VA, true);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);

    /* A table that says the same; the one above it is still good */
    table = new_table(&b);
    put(&b, table, DATA | PTE_RW);
    put(&b, desc(&b, ttb, VA, 2), table | PTE_TABLE);
    audit(&b, 0, 0, 1);
    tlbi_va(&b, 1, VA, true);
    cmd_sync(&b);
    audit(&b, 0, 0, 1);
    tlbi_va(&b, 1, VA, false);
    cmd_sync(&b);
    audit(&b, 0, 0, 0);
    reaches(&b, 1, VA, DATA);

    /* No context any more; then the ASID has another table */
    set_cd(&b, cd_of(1), 0, 0);
    audit(&b, 1, 1, 2);
    cfgi_cd(&b, SID, 1, true);
    cmd_sync(&b);
    audit(&b, 0, 1, 2);
    table = one_page(&b, 1, 1, 0, DATA);
    cfgi_cd(&b, SID, 1, true);
    cmd_sync(&b);
    audit(&b, 0, 1, 2);
    cmd(&b, TLBI_NH_ASID, 0, 1 << 16, 0);
    cmd_sync(&b);
    audit(&b, 0, 0, 0);

    /* A CD that becomes valid; what an invalid one says does not matter */
    put(&b, cd_of(2) + 16, 1);
    audit(&b, 0, 0, 0);
    set_cd(&b, cd_of(2), CD_BASE | CD_ASID(2), ttb);
    audit(&b, 1, 0, 0);
    cmd(&b, CFGI_CD_ALL, 0, SID, 0);
    cmd_sync(&b);
    audit(&b, 0, 0, 0);

    /* An STE that is changed, and with it the CDs behind it */
    reaches(&b, 1, VA, DATA);
    cmd(&b, TLBI_NH_ALL, 0, 0, 0);
    cmd_sync(&b);
    set_ste(&b, SID, STE_V | STE_BYPASS, 0);
    audit(&b, 2, 0, 0);
    cmd(&b, CFGI_CD_ALL, 0, SID, 0);
    cmd_sync(&b);
    audit(&b, 1, 0, 0);

    /* Two levels: a leaf is replaced, and its copy is the same for SSID 1 */
    set_ste(&b, SID, s1 | CDTAB, STE1_DSS(2));
    for (i = 1; i <= 2; i++) {
        set_cd(&b, leaf + i * 64, CD_BASE | CD_ASID(i), ttb);
        set_cd(&b, copy + i * 64, CD_BASE | CD_ASID(i * i), ttb);
    }
    put(&b, CDTAB, leaf | 1);
    put(&b, pte, DATA | PTE_RW);
    put(&b, desc(&b, ttb, VA, 2), (pte & ~(PAGE - 1)) | PTE_TABLE);
    cmd(&b, CFGI_STE, 0, SID, 0);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);
    reaches(&b, 2, VA, DATA);
    audit(&b, 0, 0, 0);
    put(&b, CDTAB, copy | 1);
    audit(&b, 2, 1, 2);
    cfgi_cd(&b, SID, 2, false);
    cmd_sync(&b);
    audit(&b, 0, 1, 2);
    put(&b, CDTAB, 0);
    audit(&b, 1, 2, 4);
    cfgi_cd(&b, SID, 1, false);
    cmd(&b, TLBI_NSNH_ALL, 0, 0, 0);
    cmd_sync(&b);
    audit(&b, 0, 0, 0);

    /* A disabled SMMU uses nothing */
    put(&b, CDTAB, leaf | 1);
    cfgi_cd(&b, SID, 1, false);
    cmd_sync(&b);
    reaches(&b, 1, VA, DATA);
    put(&b, pte, 0);
    audit(&b, 0, 1, 0);
    set_reg(&b, CR0, CR0_ALL & ~CR0_SMMUEN);
    audit(&b, 0, 0, 0);
    stop(&b);
}

/* A block becomes a table, of which not all is the same */
static void test_audit_block(void)
{
    Bench b = start(SSID16);
    uint64_t ttb = new_table(&b), table = new_table(&b), pmd;
    uint64_t pa = DATA & ~(2 * MiB - 1);
    int i;

    linear(&b, SID);
    pmd = desc(&b, ttb, VA, 2);
    put(&b, pmd, pa | PTE_BLOCK);
    set_cd(&b, cd_of(1), CD_BASE | CD_ASID(1), ttb);
    reaches(&b, 1, VA + 5 * PAGE, pa + 5 * PAGE);
    audit(&b, 0, 0, 0);

    for (i = 0; i < 512; i++) {
        put(&b, table + i * 8, (pa + i * PAGE) | PTE_RW);
    }
    put(&b, pmd, table | PTE_TABLE);
    audit(&b, 0, 0, 0);
    put(&b, table + 300 * 8, 0);
    audit(&b, 0, 1, 0);
    stop(&b);
}

/* Two sizes for an address, where software has not invalidated in between */
static void test_conflict(void)
{
    Bench b = start(SSID16);
    uint64_t ttb = new_table(&b), table = new_table(&b), pmd;
    uint64_t pa = DATA & ~(2 * MiB - 1);

    linear(&b, SID);
    pmd = desc(&b, ttb, VA, 2);
    set_cd(&b, cd_of(1), CD_BASE | CD_ASID(1), ttb);
    set_cd(&b, cd_of(2), CD_BASE | CD_ASID(2), ttb);
    put(&b, table, pa | PTE_RW);
    put(&b, table + PAGE / 2, (pa + 256 * PAGE) | PTE_RW);
    put(&b, pmd, table | PTE_TABLE);
    reaches(&b, 1, VA, pa);
    reaches(&b, 1, VA + 256 * PAGE, pa + 256 * PAGE);
    reaches(&b, 2, VA + 256 * PAGE, pa + 256 * PAGE);
    g_assert_cmpuint(counter(&b, "conflict.tlb"), ==, 0);

    /* A larger one: found by an address that none of the small ones covers */
    put(&b, pmd, pa | PTE_BLOCK);
    tlbi_va(&b, 1, VA + 5 * PAGE, false);
    cmd_sync(&b);
    reaches(&b, 1, VA + 5 * PAGE, pa + 5 * PAGE);
    g_assert_cmpuint(counter(&b, "conflict.tlb"), ==, 2);

    /* Not of another ASID, and not if it was invalidated */
    cmd(&b, TLBI_NH_ASID, 0, 2 << 16, 0);
    cmd_sync(&b);
    reaches(&b, 2, VA + 5 * PAGE, pa + 5 * PAGE);
    g_assert_cmpuint(counter(&b, "conflict.tlb"), ==, 2);
    stop(&b);
}

/*
 * Hits on what differs from memory are counted apart once software must have
 * invalidated it: by the first CMD_SYNC that begins 1 s after it was found.
 */
static void test_late(void)
{
    Bench b = start(SSID16);
    uint64_t ttb, pte, cd = CD_BASE | CD_ASID(1);
    int i, pass;

    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    pte = desc(&b, ttb, VA, 3);

    for (pass = 0; pass < 4; pass++) {
        const char *name = pass < 2 ? "late.tlb" : "late.cfg";
        uint64_t before = counter(&b, name);

        reaches(&b, 1, VA, DATA);
        put(&b, pass < 2 ? pte : cd_of(1), 0);
        if (pass % 2) {
            /* Found by an audit, and hit later */
            audit(&b, pass > 2, 1, pass > 2 ? 2 : 0);
            for (i = 0; i < 1001; i++) {
                step(&b);
            }
        } else {
            /* These might have been issued before */
            reaches(&b, 1, VA, DATA);
            cmd_sync(&b);
            reaches(&b, 1, VA, DATA);
            for (i = 0; i < 900; i++) {
                step(&b);
            }
            cmd_sync(&b);
            reaches(&b, 1, VA, DATA);
            for (i = 0; i < 200; i++) {
                step(&b);
            }
            reaches(&b, 1, VA, DATA);
        }
        g_assert_cmpuint(counter(&b, name), ==, before);

        /* This one was not */
        cmd(&b, SYNC, 0, 0, 0);
        g_assert_cmpuint(counter(&b, name), ==, before);
        drain(&b);
        reaches(&b, 1, VA, DATA);
        g_assert_cmpuint(counter(&b, name), ==, before + 1);

        /* It is the same as memory again, and then different */
        put(&b, pass < 2 ? pte : cd_of(1), pass < 2 ? DATA | PTE_RW : cd);
        reaches(&b, 1, VA, DATA);
        put(&b, pass < 2 ? pte : cd_of(1), 0);
        reaches(&b, 1, VA, DATA);
        cmd_sync(&b);
        reaches(&b, 1, VA, DATA);
        g_assert_cmpuint(counter(&b, name), ==, before + 1);

        put(&b, pass < 2 ? pte : cd_of(1), pass < 2 ? DATA | PTE_RW : cd);
        cfgi_cd(&b, SID, 1, true);
        cmd(&b, TLBI_NH_ASID, 0, 1 << 16, 0);
        cmd_sync(&b);
    }
    stop(&b);
}

/* Of a block that was split, hits of pages that did not change */
static void test_late_block(void)
{
    Bench b = start(SSID16);
    uint64_t ttb = new_table(&b), table = new_table(&b), pmd;
    uint64_t pa = DATA & ~(2 * MiB - 1), at = VA + 5 * PAGE;
    int i;

    linear(&b, SID);
    set_cd(&b, cd_of(1), CD_BASE | CD_ASID(1), ttb);
    pmd = desc(&b, ttb, VA, 2);
    put(&b, pmd, pa | PTE_BLOCK);
    reaches(&b, 1, VA, pa);
    for (i = 0; i < 512; i++) {
        put(&b, table + i * 8, (pa + i * PAGE) | PTE_RW);
    }
    put(&b, pmd, table | PTE_TABLE);
    put(&b, table + 5 * 8, 0);
    reaches(&b, 1, at, pa + 5 * PAGE);
    reaches(&b, 1, VA, pa);
    for (i = 0; i < 1100; i++) {
        step(&b);
    }
    cmd_sync(&b);
    reaches(&b, 1, VA, pa);
    g_assert_cmpuint(counter(&b, "late.tlb"), ==, 0);
    reaches(&b, 1, at, pa + 5 * PAGE);
    g_assert_cmpuint(counter(&b, "late.tlb"), ==, 1);

    /* The part that differed is granted again; then another one differs */
    put(&b, table + 5 * 8, (pa + 5 * PAGE) | PTE_RW);
    put(&b, table + 6 * 8, 0);
    reaches(&b, 1, at + PAGE, pa + 6 * PAGE);
    g_assert_cmpuint(counter(&b, "late.tlb"), ==, 1);

    /* Found by an audit */
    for (i = 0; i < 1100; i++) {
        step(&b);
    }
    put(&b, table + 6 * 8, (pa + 6 * PAGE) | PTE_RW);
    put(&b, table + 7 * 8, 0);
    audit(&b, 0, 1, 0);
    cmd_sync(&b);
    reaches(&b, 1, VA, pa);
    reaches(&b, 1, at + 2 * PAGE, pa + 7 * PAGE);
    g_assert_cmpuint(counter(&b, "late.tlb"), ==, 1);
    for (i = 0; i < 1100; i++) {
        step(&b);
    }
    cmd_sync(&b);
    reaches(&b, 1, at + 2 * PAGE, pa + 7 * PAGE);
    g_assert_cmpuint(counter(&b, "late.tlb"), ==, 2);
    stop(&b);
}

/* A reset empties no cache that may outlive it */
static void test_reset(void)
{
    static const char *const props[] = {
        SSID16, SSID16 "-global arm-smmuv3.strict=off"
    };
    int i;

    for (i = 0; i < ARRAY_SIZE(props); i++) {
        Bench b = start(props[i]);
        uint64_t ttb;

        linear(&b, SID);
        ttb = one_page(&b, 1, 1, 0, DATA);
        reaches(&b, 1, VA, DATA);
        map(&b, ttb, VA, 0);
        set_cd(&b, cd_of(1), CD_BASE | CD_ASID(2), ttb);

        qtest_system_reset(b.qts);
        b.cmd_prod = 0;
        b.evt_cons = 0;
        setup(&b);
        if (!i) {
            reaches(&b, 1, VA, DATA);
            g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 1);
            g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 1);
            cmd(&b, CFGI_ALL, 0, 0, 31);
            cmd(&b, TLBI_NSNH_ALL, 0, 0, 0);
            cmd_sync(&b);
        }
        faults(&b, 1, VA, F_TRANSLATION);
        stop(&b);
    }
}

/* The end of growth, for a guest that never invalidates */
static void test_full(void)
{
    Bench b = start(SSID16 "-global arm-smmuv3.x-strict-size=8");
    uint64_t ttb, full;
    int i;

    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    /* Two tables and six pages */
    for (i = 0; i < 6; i++) {
        map(&b, ttb, VA + i * PAGE, (DATA + i * PAGE) | PTE_RW);
        reaches(&b, 1, VA + i * PAGE, DATA + i * PAGE);
    }
    g_assert_cmpuint(counter(&b, "tlb.full"), ==, 0);
    map(&b, ttb, VA + 6 * PAGE, (DATA + 6 * PAGE) | PTE_RW);
    reaches(&b, 1, VA + 6 * PAGE, DATA + 6 * PAGE);
    g_assert_cmpuint(counter(&b, "tlb.full"), ==, 1);
    map(&b, ttb, VA, 0);
    faults(&b, 1, VA, F_TRANSLATION);

    /* A CD for each SSID, valid or not */
    full = counter(&b, "cfg.full");
    for (i = 2; i < 12; i++) {
        faults(&b, i, VA, C_BAD_CD);
    }
    g_assert_cmpuint(counter(&b, "cfg.full"), >, full);
    g_assert_cmpuint(counter(&b, "cfg.full"), <, full + 10);
    stop(&b);
}

/* Pages and blocks of other sizes than 4KB */
static void test_granules(void)
{
    Bench b = start(SSID16);
    uint64_t l0 = new_table(&b), l2 = TABLES + 0x80000, l3 = TABLES + 0x90000;
    int i;

    linear(&b, SID);

    /* Blocks of 512GB, which there are not, and of 1GB and 2MB */
    set_cd(&b, cd_of(1), (CD_BASE & ~0x3full) | 16 | CD_ASID(1), l0);
    put(&b, l0, RAM | PTE_BLOCK);
    faults(&b, 1, DATA, F_TRANSLATION);
    put(&b, l0, new_table(&b) | PTE_TABLE);
    put(&b, (get(&b, l0) & ~3ull) + 8, RAM | PTE_BLOCK);
    reaches(&b, 1, DATA, DATA);
    put(&b, (get(&b, l0) & ~3ull), new_table(&b) | PTE_TABLE);
    put(&b, b.next_table - PAGE, (DATA & ~(2 * MiB - 1)) | PTE_BLOCK);
    reaches(&b, 1, 5 * PAGE, DATA + 5 * PAGE);

    /* 64KB: an invalidation of one page from an address in its middle */
    qtest_memset(b.qts, l2, 0, 0x20000);
    set_cd(&b, cd_of(2), CD_BASE | CD_TG0_64K | CD_ASID(2), l2);
    put(&b, l2, l3 | PTE_TABLE);
    for (i = 0; i < 2; i++) {
        put(&b, l3 + ((VA >> 16) + i) * 8, (DATA + i * 0x10000) | PTE_RW);
        reaches(&b, 2, VA + i * 0x10000, DATA + i * 0x10000);
        put(&b, l3 + ((VA >> 16) + i) * 8, 0);
    }
    cmd(&b, TLBI_NH_VA, 0, 2 << 16, (VA + PAGE) | 3 << 10 | LEAF);
    cmd_sync(&b);
    faults(&b, 2, VA, F_TRANSLATION);
    reaches(&b, 2, VA + 0x10000, DATA + 0x10000);

    /* A block at level 1, where only 4KB has them: 16KB, 47 bits */
    set_cd(&b, cd_of(3), (CD_BASE & ~0x3full) | 17 | 2 << 6 | CD_ASID(3), l2);
    put(&b, l2, RAM | PTE_BLOCK);
    faults(&b, 3, VA, F_TRANSLATION);
    stop(&b);
}

/* Stalls */

static Bench start_stall(const char *props, int evt_log2)
{
    g_autofree char *all = g_strdup_printf(STALL "%s", props);
    Bench b = start_small(all, evt_log2);
    int q;

    linear(&b, SID);
    linear(&b, SID2);
    for (q = 0; q < NR_QUEUES; q++) {
        set_queue(&b, 0, q, 1, 0);
        set_queue(&b, 1, q, 1, 0);
    }
    return b;
}

static void stalls(Bench *b, int dev, int q, uint64_t va)
{
    uint64_t before = counter(b, "stall.now");

    g_assert_cmpuint(start_op(b, dev, q, SVADEV_OP_WRITE, va, 1), ==,
                     SVADEV_STATUS_BUSY);
    g_assert_cmpuint(counter(b, "stall.now"), ==, before + 1);
}

static Event expect_stall(Bench *b, uint32_t sid, uint64_t va)
{
    Event e = expect_event(b, F_TRANSLATION);

    g_assert(e.stall && e.ssv);
    g_assert_cmphex(e.sid, ==, sid);
    g_assert_cmphex(e.ssid, ==, 1);
    g_assert_cmphex(e.addr, ==, va);
    return e;
}

static void test_stall(void)
{
    Bench b = start_stall("", QUEUE_LOG2);
    uint64_t ttb = one_page(&b, 1, 1, CD_S, DATA);
    Event e;

    /* Retry */
    stalls(&b, 0, 0, VA + PAGE);
    e = expect_stall(&b, SID, VA + PAGE);
    g_assert(!e.rnw);
    map(&b, ttb, VA + PAGE, (DATA + PAGE) | PTE_RW);
    step(&b);
    g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_BUSY);
    resume(&b, SID, e.stag, RESUME_RETRY);
    step(&b);
    g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(get(&b, DATA + PAGE), ==, 1);
    g_assert_cmpuint(get(&b, page_reg(0, 0, SVADEV_FAULTS)), ==, 1);

    /* Retry too early: it stalls again */
    stalls(&b, 0, 0, VA + 2 * PAGE);
    e = expect_stall(&b, SID, VA + 2 * PAGE);
    resume(&b, SID, e.stag, RESUME_RETRY);
    step(&b);
    e = expect_stall(&b, SID, VA + 2 * PAGE);

    /* Abort */
    resume(&b, SID, e.stag, RESUME_ABORT);
    step(&b);
    g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_FAULT);
    no_event(&b);

    /* Answers to nobody */
    stalls(&b, 0, 0, VA + 2 * PAGE);
    e = expect_stall(&b, SID, VA + 2 * PAGE);
    resume(&b, SID2, e.stag, RESUME_ABORT);
    resume(&b, SID, e.stag + 1, RESUME_ABORT);
    resume(&b, SID, 0xffff, RESUME_ABORT);
    step(&b);
    g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_BUSY);
    g_assert_cmpuint(counter(&b, "resume.unknown"), ==, 3);
    resume(&b, SID, e.stag, RESUME_ABORT);
    resume(&b, SID, e.stag, RESUME_ABORT);
    g_assert_cmpuint(counter(&b, "resume.unknown"), ==, 4);
    step(&b);

    /* Other faults stall too */
    map(&b, ttb, VA + 3 * PAGE, DATA | (PTE_RW & ~PTE_AF));
    stalls(&b, 0, 0, VA + 3 * PAGE);
    e = expect_event(&b, F_ACCESS);
    g_assert(e.stall);
    resume(&b, SID, e.stag, RESUME_ABORT);
    map(&b, ttb, VA + 3 * PAGE, DATA | PTE_RW | PTE_RO);
    step(&b);
    stalls(&b, 0, 0, VA + 3 * PAGE);
    e = expect_event(&b, F_PERMISSION);
    g_assert(e.stall);
    resume(&b, SID, e.stag, RESUME_ABORT);
    step(&b);

    /* but not errors */
    faults(&b, 2, VA, C_BAD_CD);

    g_assert_cmpuint(counter(&b, "stall.now"), ==, 0);
    g_assert_cmpuint(counter(&b, "stall.total"), ==, 6);
    g_assert_cmpuint(counter(&b, "evt.stall"), ==, 6);
    g_assert_cmpuint(counter(&b, "stall.max"), ==, 1);
    g_assert_cmpuint(counter(&b, "resume.retry"), ==, 2);
    g_assert_cmpuint(counter(&b, "resume.abort"), ==, 4);
    stop(&b);
}

/* What an OS does when the address space is gone before its device */
static void test_quiet_cd(void)
{
    Bench b = start_stall("", QUEUE_LOG2);
    uint64_t ttb = one_page(&b, 1, 1, CD_S, DATA);
    Event e;

    reaches(&b, 1, VA, DATA);
    set_cd(&b, cd_of(1), (CD_BASE & ~0x3full) | CD_ASID(1) | CD_S | CD_EPD0,
           ttb);
    cfgi_cd(&b, SID, 1, true);
    cmd_sync(&b);

    /* EPD0 is for TLB misses: hits go on, and are stale (IHI 0070, 5.4) */
    audit(&b, 0, 1, 2);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 1);
    cmd(&b, TLBI_NH_ASID, 0, 1 << 16, 0);
    cmd_sync(&b);
    audit(&b, 0, 0, 0);
    set_queue(&b, 0, 0, 1, 0);
    stalls(&b, 0, 0, VA);
    e = expect_stall(&b, SID, VA);
    resume(&b, SID, e.stag, RESUME_ABORT);
    step(&b);
    g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_FAULT);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 1);
    stop(&b);
}

static void test_terminate(void)
{
    Bench b = start_stall("-global arm-smmuv3.stall-max=3", QUEUE_LOG2);
    int q;

    one_page(&b, 1, 1, CD_S, DATA);
    for (q = 0; q < 3; q++) {
        stalls(&b, 0, q, VA + PAGE);
        stalls(&b, 1, q, VA + PAGE);
    }

    /* Those of one stream, with and without a STAG */
    cmd(&b, STALL_TERM, 0, SID, 0);
    step(&b);
    for (q = 0; q < 3; q++) {
        g_assert_cmpuint(status(&b, 0, q), ==, SVADEV_STATUS_FAULT);
        g_assert_cmpuint(status(&b, 1, q), ==, SVADEV_STATUS_BUSY);
    }
    g_assert_cmpuint(counter(&b, "stall.now"), ==, 3);
    /* Two had one of the first three slots; the other's come after */
    g_assert_cmpuint(counter(&b, "evt.stall"), ==, 5);

    /* All, when the SMMU is disabled */
    set_reg(&b, CR0, CR0_ALL & ~CR0_SMMUEN);
    step(&b);
    for (q = 0; q < 3; q++) {
        g_assert_cmpuint(status(&b, 1, q), ==, SVADEV_STATUS_FAULT);
    }
    g_assert_cmpuint(counter(&b, "stall.now"), ==, 0);
    stop(&b);
}

/* A requester that goes away leaves its fault behind */
static void test_cancel(void)
{
    Bench b = start_stall("", QUEUE_LOG2);
    Event e;

    one_page(&b, 1, 1, CD_S, DATA);
    stalls(&b, 0, 0, VA + PAGE);
    qtest_writel(b.qts, MMIO + SVADEV_RESET, 1);
    step(&b);
    g_assert_cmpuint(counter(&b, "stall.now"), ==, 1);
    e = expect_stall(&b, SID, VA + PAGE);
    resume(&b, SID, e.stag, RESUME_RETRY);

    /* This one before its answer arrives, if it can */
    set_queue(&b, 0, 0, 1, 0);
    stalls(&b, 0, 0, VA + PAGE);
    e = expect_stall(&b, SID, VA + PAGE);
    resume(&b, SID, e.stag, RESUME_RETRY);
    qtest_writel(b.qts, MMIO + SVADEV_RESET, 1);
    step(&b);
    g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_IDLE);

    /* And a reset of everything */
    set_queue(&b, 0, 0, 1, 0);
    stalls(&b, 0, 0, VA + PAGE);
    qtest_system_reset(b.qts);
    step(&b);
    g_assert_cmpuint(counter(&b, "stall.now"), ==, 0);
    qtest_quit(b.qts);
}

static void test_stall_overflow(void)
{
    Bench b = start_stall("-global arm-smmuv3.stall-max=2", QUEUE_LOG2);
    uint64_t ttb = one_page(&b, 1, 1, CD_S, DATA);
    uint16_t stag[2];
    int q;

    for (q = 0; q < 5; q++) {
        stalls(&b, 0, q, VA + (q + 1) * PAGE);
    }
    stag[0] = expect_stall(&b, SID, VA + PAGE).stag;
    stag[1] = expect_stall(&b, SID, VA + 2 * PAGE).stag;
    g_assert_cmphex(stag[0], !=, stag[1]);
    no_event(&b);
    g_assert_cmpuint(counter(&b, "evt.stall"), ==, 2);
    g_assert_cmpuint(counter(&b, "stall.max"), ==, 5);

    /* An answer makes room for the next one, in order */
    for (q = 0; q < 5; q++) {
        map(&b, ttb, VA + (q + 1) * PAGE, (DATA + q * PAGE) | PTE_RW);
        resume(&b, SID, stag[q % 2], RESUME_RETRY);
        if (q < 3) {
            stag[q % 2] = expect_stall(&b, SID, VA + (q + 3) * PAGE).stag;
        }
        no_event(&b);
        step(&b);
        g_assert_cmpuint(status(&b, 0, q), ==, SVADEV_STATUS_OK);
    }
    g_assert_cmpuint(counter(&b, "evt.lost"), ==, 0);
    stop(&b);
}

/*
 * An event that had no room when a CMD_SYNC completed is not written later: its
 * request is translated again (IHI 0070, 3.12.2, 4.7.3).
 */
static void test_stall_again(void)
{
    Bench b = start_stall("-global arm-smmuv3.stall-max=2", QUEUE_LOG2);
    uint64_t ttb = one_page(&b, 1, 1, CD_S, DATA);
    uint16_t stag[2];
    int i, q;

    for (i = 0; i < 2; i++) {
        for (q = 0; q < 4; q++) {
            set_queue(&b, 0, q, 1, 0);
            stalls(&b, 0, q, VA + (q + 1) * PAGE);
        }
        for (q = 0; q < 2; q++) {
            stag[q] = expect_stall(&b, SID, VA + (q + 1) * PAGE).stag;
        }
        no_event(&b);
        if (!i) {
            /* One has its page then, the other has not */
            map(&b, ttb, VA + 3 * PAGE, DATA | PTE_RW);
        } else {
            set_cd(&b, cd_of(1), 0, 0);
            cfgi_cd(&b, SID, 1, true);
        }
        cmd_sync(&b);
        for (q = 0; q < 2; q++) {
            resume(&b, SID, stag[q], RESUME_ABORT);
        }
        step(&b);
        if (!i) {
            g_assert_cmpuint(status(&b, 0, 2), ==, SVADEV_STATUS_OK);
            g_assert_cmpuint(status(&b, 0, 3), ==, SVADEV_STATUS_BUSY);
            resume(&b, SID, expect_stall(&b, SID, VA + 4 * PAGE).stag,
                   RESUME_ABORT);
            step(&b);
            map(&b, ttb, VA + 3 * PAGE, 0);
            tlbi_va(&b, 1, VA + 3 * PAGE, true);
            cmd_sync(&b);
        } else {
            g_assert_cmpuint(status(&b, 0, 2), ==, SVADEV_STATUS_FAULT);
            expect_ssid_event(&b, C_BAD_CD, 1);
            expect_ssid_event(&b, C_BAD_CD, 1);
        }
        g_assert_cmpuint(status(&b, 0, 3), ==, SVADEV_STATUS_FAULT);
        no_event(&b);
        g_assert_cmpuint(counter(&b, "stall.now"), ==, 0);
    }
    g_assert_cmpuint(counter(&b, "evt.stall"), ==, 5);
    stop(&b);
}

#define WILD_STALL WILD(32) "-global arm-smmuv3.x-sync-ns=1000 "

/* Start an operation, and let it come as far as a stall, but no further */
static void stalls_now(Bench *b, int q, uint64_t op, uint64_t va)
{
    uint64_t before = counter(b, "stall.total");

    set_queue(b, 0, q, 1, 0);
    put(b, page_reg(0, q, SVADEV_OP), op);
    put(b, page_reg(0, q, SVADEV_SRC), va);
    put(b, page_reg(0, q, SVADEV_DST), va);
    put(b, page_reg(0, q, SVADEV_LEN), 8);
    put(b, page_reg(0, q, SVADEV_GO), SVADEV_GO_START);
    qtest_clock_step(b->qts, 1000);
    g_assert_cmpuint(counter(b, "stall.total"), ==, before + 1);
}

static void wait_ms(Bench *b, int ms)
{
    while (ms--) {
        step(b);
    }
}

/* Events come later than faults, but no later than a CMD_SYNC */
static void test_stall_late(void)
{
    Bench b = start_stall(WILD_STALL, QUEUE_LOG2);
    uint64_t ttb = one_page(&b, 1, 1, CD_S, DATA);
    int i, late = 0, none = 0;

    for (i = 0; i < 32; i++) {
        stalls_now(&b, 0, SVADEV_OP_WRITE, VA + PAGE);
        late += !has_event(&b);
        if (i < 16) {
            /* At most 200 us */
            qtest_clock_step(b.qts, 201000);
        } else {
            cmd_sync(&b);
        }
        resume(&b, SID, expect_stall(&b, SID, VA + PAGE).stag, RESUME_ABORT);
        step(&b);
        g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_FAULT);
        no_event(&b);
    }
    g_assert_cmpint(late, >, 0);
    g_assert_cmpint(late, <, 32);

    /* Written by then, or never: its configuration is not there any more */
    for (i = 0; i < 32; i++) {
        stalls_now(&b, 0, SVADEV_OP_WRITE, VA + PAGE);
        set_cd(&b, cd_of(1), 0, 0);
        cfgi_cd(&b, SID, 1, true);
        cmd_sync(&b);
        if (has_event(&b) && peek_event(&b).type == F_TRANSLATION) {
            resume(&b, SID, expect_stall(&b, SID, VA + PAGE).stag,
                   RESUME_ABORT);
            step(&b);
        } else {
            none++;
            step(&b);
            expect_ssid_event(&b, C_BAD_CD, 1);
        }
        g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_FAULT);
        no_event(&b);
        set_cd(&b, cd_of(1), CD_BASE | CD_ASID(1) | CD_S, ttb);
        cfgi_cd(&b, SID, 1, true);
        cmd_sync(&b);
    }
    g_assert_cmpint(none, >, 0);
    g_assert_cmpint(none, <, 32);
    g_assert_cmpuint(counter(&b, "stall.now"), ==, 0);
    stop(&b);
}

/* A second fault of a page may wait for the answer to the first (3.12.2.1) */
static void test_stall_merged(void)
{
    Bench b = start_stall(WILD_STALL, QUEUE_LOG2);
    uint64_t ttb = one_page(&b, 1, 1, CD_S, DATA), before;
    int i, q, merged, sum = 0;

    for (i = 0; i < 32; i++) {
        before = counter(&b, "stall.merged");
        stalls_now(&b, 0, SVADEV_OP_WRITE, VA + PAGE);
        stalls_now(&b, 1, SVADEV_OP_WRITE, VA + PAGE + 64);
        merged = counter(&b, "stall.merged") - before;
        sum += merged;
        g_assert_cmpuint(counter(&b, "stall.now"), ==, 2);
        step(&b);
        if (i % 2) {
            map(&b, ttb, VA + PAGE, DATA | PTE_RW);
        }
        for (q = merged; q < 2; q++) {
            resume(&b, SID, expect_event(&b, F_TRANSLATION).stag,
                   i % 2 ? RESUME_RETRY : RESUME_ABORT);
        }
        no_event(&b);
        step(&b);
        g_assert_cmpuint(status(&b, 0, 0), ==,
                         i % 2 ? SVADEV_STATUS_OK : SVADEV_STATUS_FAULT);
        if (merged && !(i % 2)) {
            /* It has faulted again */
            g_assert_cmpuint(status(&b, 0, 1), ==, SVADEV_STATUS_BUSY);
            resume(&b, SID, expect_stall(&b, SID, VA + PAGE + 64).stag,
                   RESUME_ABORT);
            step(&b);
        }
        g_assert_cmpuint(status(&b, 0, 1), ==,
                         i % 2 ? SVADEV_STATUS_OK : SVADEV_STATUS_FAULT);
        no_event(&b);
        map(&b, ttb, VA + PAGE, 0);
        tlbi_va(&b, 1, VA + PAGE, true);
        cmd_sync(&b);
    }
    g_assert_cmpint(sum, >, 0);
    g_assert_cmpint(sum, <, 32);

    /* Not of another page, and not a read with a write */
    before = counter(&b, "stall.merged");
    for (i = 0; i < 16; i++) {
        stalls_now(&b, 0, SVADEV_OP_WRITE, VA + PAGE);
        stalls_now(&b, 1, SVADEV_OP_WRITE, VA + 2 * PAGE);
        stalls_now(&b, 2, SVADEV_OP_READ, VA + PAGE);
        step(&b);
        for (q = 0; q < 3; q++) {
            resume(&b, SID, expect_event(&b, F_TRANSLATION).stag,
                   RESUME_ABORT);
        }
        step(&b);
        no_event(&b);
    }
    g_assert_cmpuint(counter(&b, "stall.merged"), ==, before);

    /* All of a stream are terminated together, whether or not one was reset */
    for (i = 0; i < 16; i++) {
        stalls_now(&b, 0, SVADEV_OP_WRITE, VA + PAGE);
        stalls_now(&b, 1, SVADEV_OP_WRITE, VA + PAGE);
        step(&b);
        if (i % 2) {
            cmd(&b, STALL_TERM, 0, SID, 0);
            step(&b);
            g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_FAULT);
            g_assert_cmpuint(status(&b, 0, 1), ==, SVADEV_STATUS_FAULT);
        } else {
            qtest_writel(b.qts, MMIO + SVADEV_RESET, 1);
            wait_ms(&b, 21);
            cmd(&b, STALL_TERM, 0, SID, 0);
            step(&b);
        }
        g_assert_cmpuint(counter(&b, "stall.now"), ==, 0);
        b.evt_cons = reg(&b, EVENTQ_PROD);
        set_reg(&b, EVENTQ_CONS, b.evt_cons);
    }
    stop(&b);
}

/* A stalled request may be retried before its answer, and after (3.12.2.2) */
static void test_stall_early(void)
{
    Bench b = start_stall(WILD_STALL, QUEUE_LOG2);
    uint64_t ttb = one_page(&b, 1, 1, CD_S, DATA);
    int i, before = 0, after = 0;
    Event e;

    for (i = 0; i < 48; i++) {
        bool aborts = i % 2;

        stalls_now(&b, 0, SVADEV_OP_WRITE, VA + PAGE);
        qtest_clock_step(b.qts, 201000);
        e = expect_stall(&b, SID, VA + PAGE);
        if (!aborts) {
            map(&b, ttb, VA + PAGE, DATA | PTE_RW);
            wait_ms(&b, 55);
            before += status(&b, 0, 0) == SVADEV_STATUS_OK;
        }
        /* The STAG is in use until it is answered */
        g_assert_cmpuint(counter(&b, "stall.now"), ==, 1);
        if (aborts) {
            map(&b, ttb, VA + PAGE, DATA | PTE_RW);
        }
        resume(&b, SID, e.stag, aborts ? RESUME_ABORT : RESUME_RETRY);
        g_assert_cmpuint(counter(&b, "stall.now"), ==, 0);
        step(&b);
        if (aborts) {
            after += status(&b, 0, 0) == SVADEV_STATUS_OK;
        } else {
            g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_OK);
        }
        no_event(&b);
        map(&b, ttb, VA + PAGE, 0);
        tlbi_va(&b, 1, VA + PAGE, true);
        cmd_sync(&b);
    }
    g_assert_cmpint(before, >, 0);
    g_assert_cmpint(before, <, 24);
    g_assert_cmpint(after, >, 0);
    g_assert_cmpint(after, <, 24);
    g_assert_cmpuint(counter(&b, "stall.early"), ==, before + after);
    g_assert_cmpuint(counter(&b, "resume.unknown"), ==, 0);

    /* Never where there is nothing, however it is answered */
    for (i = 0; i < 32; i++) {
        stalls_now(&b, 0, SVADEV_OP_WRITE, VA + PAGE);
        wait_ms(&b, 2);
        resume(&b, SID, expect_stall(&b, SID, VA + PAGE).stag, RESUME_ABORT);
        step(&b);
        g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_FAULT);
        no_event(&b);
    }
    stop(&b);
}

/* A fault that was not reported yet may outlive the reset of its device */
static void test_stall_orphan(void)
{
    Bench b = start_stall(WILD_STALL "-global arm-smmuv3.stall-max=4",
                          QUEUE_LOG2);
    int i, late = 0, none = 0;

    one_page(&b, 1, 1, CD_S, DATA);
    for (i = 0; i < 64; i++) {
        stalls_now(&b, 0, SVADEV_OP_WRITE, VA + PAGE);
        if (has_event(&b)) {
            resume(&b, SID, expect_stall(&b, SID, VA + PAGE).stag,
                   RESUME_ABORT);
            step(&b);
            continue;
        }
        qtest_writel(b.qts, MMIO + SVADEV_RESET, 1);
        if (counter(&b, "stall.now")) {
            late++;
            qtest_clock_step(b.qts, 900000);
            no_event(&b);
            wait_ms(&b, 21);
            resume(&b, SID, expect_stall(&b, SID, VA + PAGE).stag,
                   RESUME_RETRY);
        } else {
            none++;
        }
        step(&b);
        no_event(&b);
        g_assert_cmpuint(counter(&b, "stall.now"), ==, 0);
    }
    g_assert_cmpint(late, >, 0);
    g_assert_cmpint(none, >, 0);

    /* Their number is bounded */
    set_reg(&b, CR0, CR0_ALL & ~CR0_EVENTQEN);
    for (i = 0; i < 100; i++) {
        stalls_now(&b, 0, SVADEV_OP_WRITE, VA + PAGE);
        qtest_writel(b.qts, MMIO + SVADEV_RESET, 1);
        g_assert_cmpuint(counter(&b, "stall.now"), <=, 4);
    }
    g_assert_cmpuint(counter(&b, "stall.now"), ==, 4);
    set_reg(&b, CR0, CR0_ALL);
    wait_ms(&b, 21);
    for (i = 0; i < 4; i++) {
        resume(&b, SID, expect_stall(&b, SID, VA + PAGE).stag, RESUME_RETRY);
    }
    step(&b);
    no_event(&b);
    g_assert_cmpuint(counter(&b, "stall.now"), ==, 0);
    stop(&b);
}

static void test_eventq_overflow(void)
{
    /* Room for two events */
    Bench b = start_stall("", 1);
    int q;

    one_page(&b, 1, 1, CD_S, DATA);
    one_page(&b, 2, 2, 0, DATA);

    /* Events that nobody waits for are lost, and software is told */
    for (q = 0; q < 4; q++) {
        g_assert_cmpuint(dma_read(&b, 2, VA + (q + 1) * PAGE), ==,
                         SVADEV_STATUS_FAULT);
    }
    g_assert_cmpuint(counter(&b, "evt.lost"), ==, 2);
    g_assert_cmphex(reg(&b, EVENTQ_PROD) & Q_OVFLG, ==, Q_OVFLG);
    /* Not an error of the queue as such */
    g_assert_cmphex(reg(&b, GERROR), ==, reg(&b, GERRORN));
    g_assert_cmphex(pop_event(&b).addr, ==, VA + PAGE);
    g_assert_cmphex(pop_event(&b).addr, ==, VA + 2 * PAGE);
    no_event(&b);
    b.evt_cons |= Q_OVFLG;
    set_reg(&b, EVENTQ_CONS, b.evt_cons);

    /* Nor does it forget the flag when it goes on */
    dma_read(&b, 2, VA + PAGE);
    g_assert_cmphex(reg(&b, EVENTQ_PROD) & Q_OVFLG, ==, Q_OVFLG);
    pop_event(&b);

    /* Stalled ones wait */
    for (q = 0; q < 5; q++) {
        set_queue(&b, 0, q, 1, 0);
        stalls(&b, 0, q, VA + (q + 1) * PAGE);
    }
    g_assert_cmpuint(counter(&b, "evt.stall"), ==, 2);
    g_assert_cmpuint(counter(&b, "evt.lost"), ==, 2);
    for (q = 0; q < 5; q++) {
        expect_stall(&b, SID, VA + (q + 1) * PAGE);
    }
    no_event(&b);
    g_assert_cmpuint(counter(&b, "evt.stall"), ==, 5);
    g_assert_cmphex(reg(&b, EVENTQ_PROD) & Q_OVFLG, ==, Q_OVFLG);

    /* The next overflow toggles the flag back */
    set_queue(&b, 0, 5, 2, 0);
    for (q = 0; q < 3; q++) {
        start_op(&b, 0, 5, SVADEV_OP_READ, VA + PAGE, 0);
    }
    g_assert_cmphex(reg(&b, EVENTQ_PROD) & Q_OVFLG, ==, 0);
    g_assert_cmpuint(counter(&b, "evt.lost"), ==, 3);
    pop_event(&b);
    pop_event(&b);

    /* While the queue is off, stalled events wait and others are lost */
    cmd(&b, STALL_TERM, 0, SID, 0);
    set_reg(&b, CR0, CR0_ALL & ~CR0_EVENTQEN);
    step(&b);
    stalls(&b, 0, 0, VA + PAGE);
    start_op(&b, 0, 5, SVADEV_OP_READ, VA + PAGE, 0);
    no_event(&b);
    g_assert_cmpuint(counter(&b, "evt.lost"), ==, 4);
    set_reg(&b, CR0, CR0_ALL);
    expect_stall(&b, SID, VA + PAGE);
    no_event(&b);
    stop(&b);
}

/* An event that is late is not written while EVENTQEN is 0 (IHI 0070, 7.2) */
static void test_eventq_off(void)
{
    Bench b = start_stall(WILD_STALL, QUEUE_LOG2);
    uint32_t prod;
    int i, late = 0;

    one_page(&b, 1, 1, CD_S, DATA);
    for (i = 0; i < 32; i++) {
        stalls_now(&b, 0, SVADEV_OP_WRITE, VA + PAGE);
        if (!has_event(&b)) {
            late++;
            prod = reg(&b, EVENTQ_PROD);
            set_reg(&b, CR0, CR0_ALL & ~CR0_EVENTQEN);
            if (i % 2) {
                cmd_sync(&b);
            }
            qtest_clock_step(b.qts, 201000);
            g_assert_cmphex(reg(&b, EVENTQ_PROD), ==, prod);
            /* The request is stalled, so software is to learn of it */
            g_assert_cmpuint(counter(&b, "stall.now"), ==, 1);
            set_reg(&b, CR0, CR0_ALL);
            step(&b);
        }
        resume(&b, SID, expect_stall(&b, SID, VA + PAGE).stag, RESUME_ABORT);
        step(&b);
        g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_FAULT);
        no_event(&b);
    }
    g_assert_cmpint(late, >, 0);
    g_assert_cmpuint(counter(&b, "evt.lost"), ==, 0);
    stop(&b);
}

/* Nobody else can count the faults that have no STAG: it is up to the SMMU */
static void test_abandoned(void)
{
    Bench b = start_stall("-global arm-smmuv3.stall-max=2", QUEUE_LOG2);
    int i;

    one_page(&b, 1, 1, CD_S, DATA);
    for (i = 0; i < 100; i++) {
        set_queue(&b, 0, 0, 1, 0);
        start_op(&b, 0, 0, SVADEV_OP_WRITE, VA + PAGE, 1);
        qtest_writel(b.qts, MMIO + SVADEV_RESET, 1);
        g_assert_cmpuint(counter(&b, "stall.now"), ==, MIN(i + 1, 2));
    }

    /* An answer to one whose requester is gone is delivered to nobody */
    set_queue(&b, 0, 0, 1, 0);
    stalls(&b, 0, 0, VA + PAGE);
    cmd(&b, STALL_TERM, 0, SID, 0);
    qtest_writel(b.qts, MMIO + SVADEV_RESET, 1);
    step(&b);
    g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_IDLE);
    g_assert_cmpuint(counter(&b, "stall.now"), ==, 0);
    expect_stall(&b, SID, VA + PAGE);
    expect_stall(&b, SID, VA + PAGE);
    no_event(&b);
    stop(&b);
}

/* Stage 2 stalls if STE.S2S says so, whatever the CD says */
static void test_stage2(void)
{
    Bench b = start(STALL);
    uint64_t ttb = new_table(&b);
    Event e;

    desc(&b, ttb, VA, 3);
    put(&b, STRTAB + SID * 64 + 16, STE2_S2);
    put(&b, STRTAB + SID * 64 + 24, ttb);
    set_ste(&b, SID, STE_V | STE_S2, 0);
    faults(&b, -1, VA, F_TRANSLATION);

    put(&b, STRTAB + SID * 64 + 16, STE2_S2 | STE2_S2S);
    cmd(&b, CFGI_STE, 0, SID, LEAF);
    cmd_sync(&b);
    set_queue(&b, 0, 0, -1, 0);
    stalls(&b, 0, 0, VA);
    e = expect_event(&b, F_TRANSLATION);
    g_assert(e.stall && e.s2 && !e.ssv);
    g_assert_cmphex(e.addr, ==, VA);
    map(&b, ttb, VA, DATA | PTE_S2_RW);
    resume(&b, SID, e.stag, RESUME_RETRY);
    step(&b);
    g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_OK);
    reaches(&b, -1, VA, DATA);
    stop(&b);

    b = start(SSID16);
    put(&b, STRTAB + SID * 64 + 16, STE2_S2 | STE2_S2S);
    put(&b, STRTAB + SID * 64 + 24, TABLES);
    set_ste(&b, SID, STE_V | STE_S2, 0);
    faults(&b, -1, VA, C_BAD_STE);
    stop(&b);
}

/* Events go to memory, not to registers, and it is an error to ask for that */
static void test_eventq_abort(void)
{
    Bench b = start(SSID16);
    uint64_t queues = MMIO + SVADEV_QUEUE(0);

    linear(&b, SID);
    one_page(&b, 1, 1, 0, DATA);
    set_queue(&b, 0, 0, 1, 0);
    put(&b, SMMU + EVENTQ_BASE, queues);
    start_op(&b, 0, 0, SVADEV_OP_READ, VA + PAGE, 0);
    g_assert_cmpuint(status(&b, 0, 0), ==, SVADEV_STATUS_FAULT);
    g_assert_cmphex(qtest_readl(b.qts, queues + SVADEV_Q_CTRL), ==,
                    SVADEV_Q_CTRL_ENABLE);
    g_assert_cmphex(reg(&b, GERROR) ^ reg(&b, GERRORN), ==, 1 << 2);
    no_event(&b);
    set_reg(&b, GERRORN, reg(&b, GERROR));
    stop(&b);
}

/* Take an interrupt of the event queue, if there was one */
static bool interrupted(Bench *b)
{
    uint64_t offset = EVTQ_INTID / 32 * 4;
    uint32_t bit = 1u << EVTQ_INTID % 32;
    bool pending = qtest_readl(b->qts, GICD + 0x200 + offset) & bit;

    qtest_writel(b->qts, GICD + 0x280 + offset, bit);
    return pending;
}

/* The queue interrupts when it becomes non-empty, and not again */
static void test_interrupt(void)
{
    Bench b = start_stall("", 1);
    int q;

    /* Edge triggered */
    qtest_writel(b.qts, GICD + 0xc00 + EVTQ_INTID / 16 * 4,
                 2u << EVTQ_INTID % 16 * 2);
    one_page(&b, 1, 1, CD_S, DATA);
    set_queue(&b, 0, 0, 2, 0);

    /* Not enabled */
    start_op(&b, 0, 0, SVADEV_OP_READ, VA, 0);
    expect_event(&b, C_BAD_CD);
    g_assert(!interrupted(&b));

    set_reg(&b, IRQ_CTRL, EVENTQ_IRQEN);
    start_op(&b, 0, 0, SVADEV_OP_READ, VA, 0);
    g_assert(interrupted(&b));
    start_op(&b, 0, 0, SVADEV_OP_READ, VA, 0);
    g_assert(!interrupted(&b));
    expect_event(&b, C_BAD_CD);
    g_assert(!interrupted(&b));
    expect_event(&b, C_BAD_CD);
    start_op(&b, 0, 0, SVADEV_OP_READ, VA, 0);
    g_assert(interrupted(&b));
    expect_event(&b, C_BAD_CD);

    /* An event that had to wait for an empty queue */
    for (q = 1; q < 4; q++) {
        stalls(&b, 0, q, VA + q * PAGE);
        g_assert(interrupted(&b) == (q == 1));
    }
    b.evt_cons = reg(&b, EVENTQ_PROD);
    set_reg(&b, EVENTQ_CONS, b.evt_cons);
    g_assert(interrupted(&b));
    expect_stall(&b, SID, VA + 3 * PAGE);
    no_event(&b);
    stop(&b);
}

static void test_bad_commands(void)
{
    static const uint8_t ops[] = {
        0x00, 0x07, 0x1a, 0x20, 0x22, 0x40, 0x41, RESUME, STALL_TERM, 0x80, 0xff
    };
    Bench b = start(SSID16 "-global arm-smmuv3.hyp=off");
    int i;

    for (i = 0; i < ARRAY_SIZE(ops); i++) {
        cmd(&b, ops[i], 0, SID, 0);
        expect_cmd_error(&b, 1);
    }
    g_assert_cmpuint(counter(&b, "cmd.bad"), ==, ARRAY_SIZE(ops));

    /* For the other security state */
    cmd(&b, CFGI_STE, 1 << 10, SID, 0);
    expect_cmd_error(&b, 1);
    cmd(&b, CFGI_CD, 1 << 10, SID, 0);
    expect_cmd_error(&b, 1);
    /* A reserved way to complete */
    cmd(&b, SYNC, 3 << 12, 0, 0);
    expect_cmd_error(&b, 1);
    cmd_sync(&b);

    /* The error is that of the command, not of the CMD_SYNC it waits for */
    cmd(&b, CFGI_CD_ALL, 0, SID, 0);
    cmd(&b, CFGI_CD_ALL, 1 << 10, SID, 0);
    expect_cmd_error(&b, 1);
    cmd_sync(&b);

    /* Streams that are not there */
    cfgi_cd(&b, 0xffffffff, 0xfffff, false);
    cmd(&b, CFGI_STE, 0, 0xffffffff, 0);
    cmd(&b, CFGI_ALL, 0, 0xffffffff, 31);
    cmd_sync(&b);
    stop(&b);

    b = start(STALL);
    cmd(&b, RESUME, RESUME_RETRY | 1 << 10, SID, 0);
    expect_cmd_error(&b, 1);
    cmd(&b, STALL_TERM, 1 << 10, SID, 0);
    expect_cmd_error(&b, 1);
    cmd_sync(&b);
    stop(&b);
}

static uint64_t random64(void)
{
    return (uint64_t)(uint32_t)g_test_rand_int() << 32 |
           (uint32_t)g_test_rand_int();
}

/* A few bits of a good value are wrong, or a few of a random one right */
static uint64_t garbled(uint64_t good)
{
    uint64_t noise = random64() & random64() & random64();

    return g_test_rand_int_range(0, 4) ? good ^ noise : good | random64();
}

/* Whatever is in memory or in the queue, the model survives */
static void test_garbage(void)
{
    Bench b = start_stall("", QUEUE_LOG2);
    uint64_t ttb = one_page(&b, 1, 1, CD_S, DATA);
    static const uint64_t configs[] = {
        STE_ABORT, STE_BYPASS, STE_S1, STE_S2, STE_S1 | STE_S2
    };
    int i, j;

    for (i = 0; i < 300; i++) {
        uint64_t config = configs[g_test_rand_int_range(0, 5)];

        for (j = 0; j < 8; j++) {
            put(&b, STRTAB + SID * 64 + j * 8, garbled(0));
            put(&b, cd_of(1) + j * 8, garbled(0));
        }
        /* VMSAv8-64 stage 2 of 39 bits */
        put(&b, STRTAB + SID * 64 + 16, garbled(25ull << 32 | 1ull << 38 |
                                                4ull << 48 | 1ull << 51));
        put(&b, STRTAB + SID * 64 + 24, garbled(ttb));
        set_ste(&b, SID, STE_V | config | garbled(CDTAB | STE_CDMAX(6)),
                garbled(STE1_DSS(2)));
        set_cd(&b, cd_of(1), CD_V | garbled(CD_BASE), garbled(ttb));
        put(&b, desc(&b, TABLES, VA, 1), garbled((TABLES + PAGE) | PTE_TABLE));
        put(&b, TABLES + 2 * PAGE, garbled(DATA | PTE_RW));

        cmd(&b, CFGI_ALL, 0, 0, 31);
        cmd(&b, TLBI_NSNH_ALL, 0, 0, 0);
        cmd_sync(&b);
        set_queue(&b, 0, 0, 1, 0);
        set_queue(&b, 0, 1, -1, 0);
        start_op(&b, 0, 0, SVADEV_OP_READ, i % 3 ? VA : random64(), 0);
        start_op(&b, 0, 1, SVADEV_OP_READ, i % 3 ? VA : random64(), 0);

        /* A random command: it is executed, or it is an error */
        cmd(&b, random64(), (uint32_t)random64() << 8, random64(), random64());
        drain(&b);
        if (extract32(reg(&b, CMDQ_CONS), 0, QUEUE_LOG2 + 1) != b.cmd_prod) {
            expect_cmd_error(&b, 1);
        }
        cmd(&b, STALL_TERM, 0, SID, 0);
        cmd_sync(&b);
        step(&b);
        g_assert_cmpuint(counter(&b, "stall.now"), ==, 0);
        b.evt_cons = reg(&b, EVENTQ_PROD);
        set_reg(&b, EVENTQ_CONS, b.evt_cons);
    }
    stop(&b);
}

/* Without any of the properties svadev is a device like any other */
static void test_base_model(void)
{
    Bench b = start("");

    set_ste(&b, SID, STE_V | STE_S1 | CDTAB, 0);
    one_page(&b, 0, 1, 0, DATA);
    reaches(&b, -1, VA, DATA);
    g_assert_cmpuint(dma_read(&b, -1, VA + PAGE), ==, SVADEV_STATUS_FAULT);
    expect_event(&b, F_TRANSLATION);

    /* Multiple CDs and stalls are bad configuration */
    new_ste(&b, STE_V | STE_S1 | CDTAB | STE_CDMAX(1), 0);
    g_assert_cmpuint(dma_read(&b, -1, VA), ==, SVADEV_STATUS_FAULT);
    expect_event(&b, C_BAD_STE);
    new_ste(&b, STE_V | STE_S1 | CDTAB, STE1_S1STALLD);
    g_assert_cmpuint(dma_read(&b, -1, VA), ==, SVADEV_STATUS_FAULT);
    expect_event(&b, C_BAD_STE);
    stop(&b);
}

/* EL2 */

static bool has_hyp(Bench *b)
{
    return extract32(reg(b, IDR0), 9, 1);
}

/* E2H can be changed while the SMMU is disabled only */
static void set_e2h(Bench *b, bool e2h)
{
    set_reg(b, CR2, e2h ? 0 : CR2_E2H);
    set_reg(b, CR0, CR0_ALL & ~CR0_SMMUEN);
    set_reg(b, CR2, e2h ? CR2_E2H : 0);
    set_reg(b, CR0, CR0_ALL);
    set_reg(b, CR2, e2h ? 0 : CR2_E2H);
    g_assert_cmphex(reg(b, CR2) & CR2_E2H, ==, e2h ? CR2_E2H : 0);
}

static void strw(Bench *b, int strw)
{
    new_ste(b, STE_V | STE_S1 | CDTAB | STE_CDMAX(6),
            STE1_DSS(2) | STE1_STRW(strw));
}

/* As TLBI_NH_*, of a VMID that nothing has */
static void sync_tlbi(Bench *b, uint8_t op, uint16_t asid, uint64_t va)
{
    cmd(b, op, 0, (uint32_t)asid << 16, va);
    cmd_sync(b);
}

static void test_el2_idr(void)
{
    Bench b = start("");

    g_assert(!has_hyp(&b));
    stop(&b);
    b = start("-global arm-smmuv3.strict=on");
    g_assert(has_hyp(&b));
    stop(&b);

    /* Without EL2 neither its commands exist nor STRW; E2H is RES0 */
    b = start(SSID16 "-global arm-smmuv3.hyp=off");
    g_assert(!has_hyp(&b));
    set_reg(&b, CR0, CR0_ALL & ~CR0_SMMUEN);
    set_reg(&b, CR2, CR2_E2H);
    g_assert_cmphex(reg(&b, CR2), ==, 0);
    set_reg(&b, CR0, CR0_ALL);
    one_page(&b, 1, 1, 0, DATA);
    strw(&b, 3);
    reaches(&b, 1, VA, DATA);
    strw(&b, 2);
    reaches(&b, 1, VA, DATA);
    map(&b, get(&b, cd_of(1) + 8), VA, 0);
    sync_tlbi(&b, TLBI_NH_ASID, 1, 0);
    faults(&b, 1, VA, F_TRANSLATION);
    stop(&b);

    b = start(SSID16);
    g_assert(has_hyp(&b));
    one_page(&b, 1, 1, 0, DATA);
    strw(&b, 1);
    faults(&b, 1, VA, C_BAD_STE);
    strw(&b, 3);
    faults(&b, 1, VA, C_BAD_STE);
    strw(&b, 2);
    reaches(&b, 1, VA, DATA);
    /* Ignored unless stage 1 alone translates */
    new_ste(&b, STE_V | STE_BYPASS, STE1_STRW(3));
    reaches(&b, -1, DATA, DATA);
    new_ste(&b, STE_V | STE_ABORT, STE1_STRW(3));
    g_assert_cmpuint(dma_read(&b, -1, VA), ==, SVADEV_STATUS_FAULT);
    no_event(&b);
    stop(&b);
}

static uint64_t write_by_other(Bench *b, uint64_t va, uint64_t value)
{
    set_queue(b, 1, 0, 1, 0);
    return start_op(b, 1, 0, SVADEV_OP_WRITE, va, value);
}

/* The second svadev, of NS-EL1: does a write of its SSID 1 reach @pa? */
static void other_reaches(Bench *b, uint64_t va, uint64_t pa)
{
    static uint64_t value = 0x99;

    value++;
    put(b, pa, 0);
    g_assert_cmpuint(write_by_other(b, va, value), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(get(b, pa), ==, value);
}

static void other_faults(Bench *b, uint64_t va)
{
    g_assert_cmpuint(write_by_other(b, va, 1), ==, SVADEV_STATUS_FAULT);
    g_assert_cmphex(expect_event(b, F_TRANSLATION).sid, ==, SID2);
}

/* One address and ASID: a page in NS-EL2-E2H, another one in NS-EL1 */
static void el2_regimes(const char *props)
{
    static const uint8_t of_el1[] = {
        TLBI_NH_VA, TLBI_NH_VAA, TLBI_NH_ASID, TLBI_NH_ALL, TLBI_NSNH_ALL,
    }, of_el2[] = {
        TLBI_EL2_VA, TLBI_EL2_VAA, TLBI_EL2_ASID, TLBI_EL2_ALL,
    };
    Bench b = start(props);
    uint64_t ttb = new_table(&b), ttb1 = new_table(&b), pte, pte1, stale;
    int i;

    set_e2h(&b, true);
    strw(&b, 2);
    set_ste(&b, SID2, STE_V | STE_S1 | CDTAB_L2 | STE_CDMAX(6), STE1_DSS(2));
    set_cd(&b, cd_of(1), CD_BASE | CD_ASID(7), ttb);
    set_cd(&b, CDTAB_L2 + 64, CD_BASE | CD_ASID(7), ttb1);
    map(&b, ttb, VA, DATA | PTE_RW);
    map(&b, ttb1, VA, (DATA + PAGE) | PTE_RW);
    pte = desc(&b, ttb, VA, 3);
    pte1 = desc(&b, ttb1, VA, 3);
    reaches(&b, 1, VA, DATA);
    other_reaches(&b, VA, DATA + PAGE);
    reaches(&b, 1, VA, DATA);
    audit(&b, 0, 0, 0);

    for (i = 0; i < ARRAY_SIZE(of_el1); i++) {
        stale = counter(&b, "stale.tlb");
        put(&b, pte, 0);
        put(&b, pte1, 0);
        sync_tlbi(&b, of_el1[i], 7, VA | LEAF);
        audit(&b, 0, 1, 0);
        reaches(&b, 1, VA, DATA);
        g_assert_cmpuint(counter(&b, "stale.tlb"), ==, stale + 1);
        other_faults(&b, VA);

        put(&b, pte, DATA | PTE_RW);
        put(&b, pte1, (DATA + PAGE) | PTE_RW);
        other_reaches(&b, VA, DATA + PAGE);
        audit(&b, 0, 0, 0);
    }

    for (i = 0; i < ARRAY_SIZE(of_el2); i++) {
        stale = counter(&b, "stale.tlb");
        put(&b, pte, 0);
        put(&b, pte1, 0);
        /* Neither of another ASID nor at another address */
        sync_tlbi(&b, TLBI_EL2_VA, 8, VA | LEAF);
        sync_tlbi(&b, TLBI_EL2_VA, 7, (VA + PAGE) | LEAF);
        sync_tlbi(&b, TLBI_EL2_VAA, 7, (VA + PAGE) | LEAF);
        sync_tlbi(&b, TLBI_EL2_ASID, 8, 0);
        audit(&b, 0, 2, 0);
        sync_tlbi(&b, of_el2[i], 7, VA | LEAF);
        audit(&b, 0, 1, 0);
        other_reaches(&b, VA, DATA + PAGE);
        g_assert_cmpuint(counter(&b, "stale.tlb"), ==, stale + 1);
        faults(&b, 1, VA, F_TRANSLATION);

        put(&b, pte, DATA | PTE_RW);
        put(&b, pte1, (DATA + PAGE) | PTE_RW);
        reaches(&b, 1, VA, DATA);
        audit(&b, 0, 0, 0);
    }
    g_assert_cmpuint(counter(&b, "cmd.tlbi_el2_va"), ==, 9);
    g_assert_cmpuint(counter(&b, "cmd.tlbi_el2_vaa"), ==, 5);
    g_assert_cmpuint(counter(&b, "cmd.tlbi_el2_asid"), ==, 5);
    g_assert_cmpuint(counter(&b, "cmd.tlbi_el2_all"), ==, 1);

    /* Descriptors of tables, which only those without Leaf invalidate */
    put(&b, desc(&b, ttb, VA, 2), 0);
    sync_tlbi(&b, TLBI_EL2_VA, 7, VA | LEAF);
    audit(&b, 0, 0, 1);
    sync_tlbi(&b, TLBI_NH_VA, 7, VA);
    audit(&b, 0, 0, 1);
    sync_tlbi(&b, TLBI_EL2_VA, 7, VA);
    audit(&b, 0, 0, 0);

    /* A range of 4 pages */
    for (i = 0; i < 5; i++) {
        map(&b, ttb, VA + i * PAGE, (DATA + i * PAGE) | PTE_RW);
        reaches(&b, 1, VA + i * PAGE, DATA + i * PAGE);
        map(&b, ttb, VA + i * PAGE, 0);
    }
    cmd(&b, TLBI_EL2_VA, 3 << 12, 7 << 16, VA | 1 << 10 | 3 << 8 | LEAF);
    cmd_sync(&b);
    audit(&b, 0, 1, 0);
    for (i = 0; i < 4; i++) {
        faults(&b, 1, VA + i * PAGE, F_TRANSLATION);
    }
    reaches(&b, 1, VA + i * PAGE, DATA + i * PAGE);
    stop(&b);
}

static void test_el2_regimes(void)
{
    el2_regimes(SSID16);
}

/* Stage 1 alone, where NS-EL1 has no VMIDs either */
static void test_el2_regimes_s1(void)
{
    el2_regimes("-M virt-9.1 " SSID16);
}

/* NS-EL2: no ASIDs, no privilege, one table */
static void test_el2_no_e2h(void)
{
    Bench b = start(SSID16);
    uint64_t ttb, pte;

    set_e2h(&b, false);
    strw(&b, 2);
    ttb = one_page(&b, 1, 1, CD_PAN | CD_EPD0, DATA);
    set_cd(&b, cd_of(2), CD_BASE | CD_PAN | CD_ASID(2), ttb);
    map(&b, ttb, VA + PAGE, (DATA + PAGE) | (PTE_RW & ~PTE_USER));
    pte = desc(&b, ttb, VA, 3);

    /* EPD0 and PAN are ignored, and so is AP[1] */
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(dma_priv(&b, 1, VA), ==, SVADEV_STATUS_OK);
    reaches(&b, 1, VA + PAGE, DATA + PAGE);
    reaches(&b, 1, VA + PAGE, DATA + PAGE);
    put(&b, pte, DATA | (PTE_RW & ~PTE_USER));
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 0);
    /* No table for the upper addresses, whatever EPD1 says */
    set_cd(&b, cd_of(3), (CD_BASE & ~CD_EPD1) | CD_ASID(3), ttb);
    faults(&b, 3, -PAGE, F_TRANSLATION);
    reaches(&b, 3, VA, DATA);

    /* All of them are one address space, */
    put(&b, pte, 0);
    reaches(&b, 2, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 1);
    audit(&b, 0, 1, 0);
    /* which no ASID reaches */
    sync_tlbi(&b, TLBI_EL2_ASID, 0, 0);
    sync_tlbi(&b, TLBI_EL2_ASID, 1, 0);
    sync_tlbi(&b, TLBI_NH_VA, 0, VA | LEAF);
    sync_tlbi(&b, TLBI_NH_ALL, 0, 0);
    sync_tlbi(&b, TLBI_NSNH_ALL, 0, 0);
    audit(&b, 0, 1, 0);
    /* By address, the ASID is ignored */
    sync_tlbi(&b, TLBI_EL2_VA, 9, VA | LEAF);
    faults(&b, 1, VA, F_TRANSLATION);
    put(&b, pte, DATA | PTE_RW);
    reaches(&b, 1, VA, DATA);
    put(&b, pte, 0);
    sync_tlbi(&b, TLBI_EL2_VAA, 0, VA | LEAF);
    faults(&b, 2, VA, F_TRANSLATION);

    /* Commands by address are about the regime that E2H selects */
    put(&b, pte, DATA | PTE_RW);
    reaches(&b, 1, VA, DATA);
    set_e2h(&b, true);
    set_cd(&b, cd_of(1), CD_BASE | CD_ASID(1), ttb);
    cfgi_cd(&b, SID, 1, true);
    sync_tlbi(&b, TLBI_EL2_VA, 0, VA | LEAF);
    sync_tlbi(&b, TLBI_EL2_VAA, 0, VA | LEAF);
    sync_tlbi(&b, TLBI_EL2_ASID, 0, 0);
    put(&b, pte, (DATA + 2 * PAGE) | PTE_RW);
    reaches(&b, 1, VA, DATA + 2 * PAGE);
    set_e2h(&b, false);
    sync_tlbi(&b, TLBI_EL2_VA, 1, (VA + PAGE) | LEAF);
    reaches(&b, 1, VA, DATA);
    sync_tlbi(&b, TLBI_EL2_ALL, 0, 0);
    reaches(&b, 1, VA, DATA + 2 * PAGE);
    stop(&b);
}

/* Two SMMUs */

/* A counter as the guest reads it, found once */
static uint64_t latched(Bench *b, const char *name)
{
    uint64_t at = MMIO + SVADEV_STATS, val = 0;
    char found[SVADEV_STAT_NAME_LEN + 1] = { };
    uint32_t i, n, seen = 0;

    qtest_writel(b->qts, MMIO + SVADEV_STAT_LATCH, SVADEV_STAT_LATCH_COPY);
    n = qtest_readl(b->qts, MMIO + SVADEV_STAT_COUNT);
    for (i = 0; i < n; i++, at += SVADEV_STAT_SIZE) {
        qtest_memread(b->qts, at, found, SVADEV_STAT_NAME_LEN);
        if (!strcmp(found, name)) {
            val = get(b, at + SVADEV_STAT_NAME_LEN);
            seen++;
        }
    }
    g_assert_cmpuint(seen, ==, 1);
    return val;
}

static bool dt_has_second_smmu(Bench *b)
{
    static const uint8_t map[] = { 0, 0, 0, SID2, 0, 0, 0, 0x100 - SID2 };
    size_t len = MiB;
    g_autofree char *dtb = g_malloc(len);
    uint8_t *range;

    qtest_memread(b->qts, RAM, dtb, len);
    /* Of RIDs, by way of a phandle, to StreamIDs: cells after the first two */
    range = memmem(dtb, len, map, 4);
    while (range && memcmp(range + 8, map, 8)) {
        range = memmem(range + 1, len - ((char *)range + 1 - dtb), map, 4);
    }
    return range && memmem(dtb, len, "smmuv3@9100000", 14);
}

/* The second svadev is behind an SMMU of its own */
static void test_two_smmus(void)
{
    Bench b = start(SSID16);
    uint64_t ttb, ttb2;

    g_assert(!dt_has_second_smmu(&b));
    stop(&b);

    b = start(SSID16 "-M x-second-smmu=0x20");
    g_assert(dt_has_second_smmu(&b));
    g_assert_cmphex(qtest_readl(b.qts, SMMU2 + IDR1), ==, reg(&b, IDR1));

    /* Stage 1 in one, bypass in the other, which is disabled */
    linear(&b, SID);
    ttb = one_page(&b, 1, 1, 0, DATA);
    reaches(&b, 1, VA, DATA);
    other_reaches(&b, DATA + PAGE, DATA + PAGE);

    /* Two stream tables, and one ASID in both */
    set_ste(&b, SID2, STE_V | STE_ABORT, 0);
    put(&b, STRTAB2 + SID2 * 64 + 8, STE1_DSS(2));
    put(&b, STRTAB2 + SID2 * 64, STE_V | STE_S1 | CDTAB_L2 | STE_CDMAX(6));
    ttb2 = new_table(&b);
    map(&b, ttb2, VA, (DATA + PAGE) | PTE_RW);
    set_cd(&b, CDTAB_L2 + 64, CD_BASE | CD_ASID(1), ttb2);
    put(&b, SMMU2 + STRTAB_BASE, STRTAB2);
    qtest_writel(b.qts, SMMU2 + STRTAB_BASE_CFG, STRTAB_LOG2);
    qtest_writel(b.qts, SMMU2 + CR0, CR0_SMMUEN);
    other_reaches(&b, VA, DATA + PAGE);
    reaches(&b, 1, VA, DATA);
    audit(&b, 0, 0, 0);

    /* Invalidated in one */
    map(&b, ttb, VA, 0);
    map(&b, ttb2, VA, 0);
    tlbi_va(&b, 1, VA, true);
    cmd(&b, TLBI_NSNH_ALL, 0, 0, 0);
    cmd_sync(&b);
    faults(&b, 1, VA, F_TRANSLATION);
    other_reaches(&b, VA, DATA + PAGE);
    audit(&b, 0, 0, 0);
    g_assert_cmpuint(counter_of(&b, "/machine/smmuv3-2", "left.tlb"), ==, 1);
    g_assert_cmpuint(counter_of(&b, "/machine/smmuv3-2", "stale.tlb"), ==, 1);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 0);

    /* The guest reads sums */
    g_assert_cmpuint(latched(&b, "smmu.left.tlb"), ==, 1);
    g_assert_cmpuint(latched(&b, "smmu.stale.tlb"), ==, 1);
    g_assert_cmpuint(latched(&b, "smmu.tlb.hit"), ==,
                     counter(&b, "tlb.hit") +
                     counter_of(&b, "/machine/smmuv3-2", "tlb.hit"));
    stop(&b);
}

/* A request that stalls in the second one goes with its device */
static void test_second_stalls(void)
{
    Bench b = start(STALL "-M x-second-smmu=0x20");

    put(&b, STRTAB2 + SID2 * 64 + 8, STE1_DSS(2));
    put(&b, STRTAB2 + SID2 * 64, STE_V | STE_S1 | CDTAB_L2 | STE_CDMAX(6));
    set_cd(&b, CDTAB_L2 + 64, CD_BASE | CD_S | CD_ASID(1), new_table(&b));
    put(&b, SMMU2 + STRTAB_BASE, STRTAB2);
    qtest_writel(b.qts, SMMU2 + STRTAB_BASE_CFG, STRTAB_LOG2);
    qtest_writel(b.qts, SMMU2 + CR0, CR0_SMMUEN);
    g_assert_cmpuint(write_by_other(&b, VA, 1), ==, SVADEV_STATUS_BUSY);
    g_assert_cmpuint(counter_of(&b, "/machine/smmuv3-2", "stall.now"), ==, 1);
    g_assert_cmpuint(counter(&b, "stall.now"), ==, 0);
    /* Its event is not written: the queue of events is disabled */
    qtest_writel(b.qts, MMIO + 0x1000000 + SVADEV_RESET, 1);
    step(&b);
    g_assert_cmpuint(counter_of(&b, "/machine/smmuv3-2", "stall.now"), ==, 0);
    g_assert_cmpuint(counter(&b, "stall.now"), ==, 0);
    stop(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/smmuv3-sva/idr", test_idr);
    qtest_add_func("/smmuv3-sva/migration", test_migration);
    qtest_add_func("/smmuv3-sva/device-tree", test_device_tree);
    qtest_add_func("/smmuv3-sva/base-model", test_base_model);
    qtest_add_func("/smmuv3-sva/ssid/linear", test_linear);
    qtest_add_func("/smmuv3-sva/ssid/two-levels-4k", test_two_levels_4k);
    qtest_add_func("/smmuv3-sva/ssid/two-levels-64k", test_two_levels_64k);
    qtest_add_func("/smmuv3-sva/ssid/tables-replaced", test_tables_replaced);
    qtest_add_func("/smmuv3-sva/ssid/s1dss", test_s1dss);
    qtest_add_func("/smmuv3-sva/ssid/bad-ste", test_bad_ste);
    qtest_add_func("/smmuv3-sva/ssid/bad-cd", test_bad_cd);
    qtest_add_func("/smmuv3-sva/ssid/event-fields", test_event_fields);
    qtest_add_func("/smmuv3-sva/ssid/privilege", test_privilege);
    qtest_add_func("/smmuv3-sva/cache/config", test_cfg_cache);
    qtest_add_func("/smmuv3-sva/cache/stream-table",
                   test_two_level_stream_table);
    qtest_add_func("/smmuv3-sva/cache/tlb", test_tlb);
    qtest_add_func("/smmuv3-sva/cache/tables", test_table_cache);
    qtest_add_func("/smmuv3-sva/cache/range", test_range);
    qtest_add_func("/smmuv3-sva/cache/no-eviction", test_no_eviction);
    qtest_add_func("/smmuv3-sva/cache/strict", test_strict);
    qtest_add_func("/smmuv3-sva/cache/commands", test_commands);
    qtest_add_func("/smmuv3-sva/cache/sync", test_sync);
    qtest_add_func("/smmuv3-sva/sync/time", test_sync_time);
    qtest_add_func("/smmuv3-sva/sync/seed", test_sync_seed);
    qtest_add_func("/smmuv3-sva/sync/early", test_early);
    qtest_add_func("/smmuv3-sva/sync/refill", test_refill);
    qtest_add_func("/smmuv3-sva/sync/prefetch", test_prefetch);
    qtest_add_func("/smmuv3-sva/sync/read-ahead", test_read_ahead);
    qtest_add_func("/smmuv3-sva/sync/torn", test_torn);
    qtest_add_func("/smmuv3-sva/sync/torn-early", test_torn_early);
    qtest_add_func("/smmuv3-sva/audit/entries", test_audit);
    qtest_add_func("/smmuv3-sva/audit/block", test_audit_block);
    qtest_add_func("/smmuv3-sva/cache/conflict", test_conflict);
    qtest_add_func("/smmuv3-sva/cache/late", test_late);
    qtest_add_func("/smmuv3-sva/cache/late-block", test_late_block);
    qtest_add_func("/smmuv3-sva/cache/reset", test_reset);
    qtest_add_func("/smmuv3-sva/cache/full", test_full);
    qtest_add_func("/smmuv3-sva/cache/granules", test_granules);
    qtest_add_func("/smmuv3-sva/stall/answers", test_stall);
    qtest_add_func("/smmuv3-sva/stall/quiet-cd", test_quiet_cd);
    qtest_add_func("/smmuv3-sva/stall/terminate", test_terminate);
    qtest_add_func("/smmuv3-sva/stall/cancel", test_cancel);
    qtest_add_func("/smmuv3-sva/stall/overflow", test_stall_overflow);
    qtest_add_func("/smmuv3-sva/stall/again", test_stall_again);
    qtest_add_func("/smmuv3-sva/stall/late", test_stall_late);
    qtest_add_func("/smmuv3-sva/stall/merged", test_stall_merged);
    qtest_add_func("/smmuv3-sva/stall/early", test_stall_early);
    qtest_add_func("/smmuv3-sva/stall/orphan", test_stall_orphan);
    qtest_add_func("/smmuv3-sva/stall/eventq-overflow", test_eventq_overflow);
    qtest_add_func("/smmuv3-sva/stall/eventq-off", test_eventq_off);
    qtest_add_func("/smmuv3-sva/stall/abandoned", test_abandoned);
    qtest_add_func("/smmuv3-sva/stall/stage-2", test_stage2);
    qtest_add_func("/smmuv3-sva/eventq-abort", test_eventq_abort);
    qtest_add_func("/smmuv3-sva/interrupt", test_interrupt);
    qtest_add_func("/smmuv3-sva/el2/idr", test_el2_idr);
    qtest_add_func("/smmuv3-sva/el2/regimes", test_el2_regimes);
    qtest_add_func("/smmuv3-sva/el2/regimes-s1", test_el2_regimes_s1);
    qtest_add_func("/smmuv3-sva/el2/no-e2h", test_el2_no_e2h);
    qtest_add_func("/smmuv3-sva/two/tables", test_two_smmus);
    qtest_add_func("/smmuv3-sva/two/stalls", test_second_stalls);
    qtest_add_func("/smmuv3-sva/commands", test_bad_commands);
    qtest_add_func("/smmuv3-sva/garbage", test_garbage);

    return g_test_run();
}
