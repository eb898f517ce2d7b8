/*
 * QTest testcase for VT-d with shared virtual memory and strict caching.
 * There is no guest: the test writes context, PASID and page tables into
 * memory, and svadev is the requester.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "libsva.h"
#include "qobject/qdict.h"
#include "hw/pci/pci_regs.h"
#include "standard-headers/misc/svadev.h"

/* The machine */
#define ECAM            0xb0000000ull
#define MMIO            0xc0000000ull
#define VTD             0xfed90000ull
#define NOWHERE         0xd0000000ull   /* nothing answers here */
#define SLOT            3               /* of the first svadev, */
#define SID             (SLOT << 3)     /* and its requester ID */
#define SID2            ((SLOT + 1) << 3)

/* Memory, all set up here */
#define ROOT            0x2000000ull
#define CONTEXT         0x2001000ull
#define QUEUE           0x2002000ull    /* 128 descriptors of 32 bytes */
#define PRQ             0x2004000ull    /* 128 requests */
#define STATUS          0x2006000ull    /* where wait descriptors write */
#define PDIR            0x2008000ull    /* one page per function */
#define PTAB            0x2010000ull    /* for PASIDs 0..63 of both */
#define PTAB2           0x2011000ull    /* for PASIDs 64..127 */
#define PTAB3           0x2012000ull    /* to take the place of PTAB */
#define TABLES          0x2100000ull
#define DATA            0x3000000ull
#define PAGE            0x1000ull
#define LARGE           0x200000ull
#define QUEUE_LEN       128

/* VT-d registers */
#define CAP             0x08
#define ECAP            0x10
#define GCMD            0x18
#define GSTS            0x1c
#define  TE             (1u << 31)
#define  SRTP           (1u << 30)
#define  QIE            (1u << 26)
#define RTADDR          0x20
#define CCMD            0x28
#define FSTS            0x34
#define  FSTS_PFO       (1u << 0)
#define  FSTS_PPF       (1u << 1)
#define  FSTS_IQE       (1u << 4)
#define  FSTS_ITE       (1u << 6)
#define IQH             0x80
#define IQT             0x88
#define IQA             0x90
#define ICS             0x9c
#define PQH             0xc0
#define PQT             0xc8
#define PQA             0xd0
#define PRS             0xdc
#define  PPR            (1u << 0)
#define  PRO            (1u << 1)
#define PECTL           0xe0
#define  IM             (1u << 31)
#define  IP             (1u << 30)
#define PEDATA          0xe4
#define PEADDR          0xe8
#define FRCD            0x220
#define NR_FRCD         8

/* Descriptors */
#define D_CC            0x1
#define D_IOTLB         0x2
#define D_DEV           0x3
#define D_WAIT          0x5
#define D_PIOTLB        0x6
#define D_PC            0x7
#define D_DEV_PIOTLB    0x8
#define D_PGRESP        0x9
#define G(n)            ((uint64_t)(n) << 4)
#define WAIT_IF         (1ull << 4)
#define WAIT_SW         (1ull << 5)
#define WAIT_FN         (1ull << 6)
#define WAIT_PD         (1ull << 7)
#define IH              (1ull << 6)

/* Context and PASID entries */
#define CE_P            (1ull << 0)
#define CE_FPD          (1ull << 1)
#define CE_DTE          (1ull << 2)
#define CE_PASIDE       (1ull << 3)
#define CE_PRE          (1ull << 4)
#define CE_ALL          (CE_P | CE_DTE | CE_PASIDE | CE_PRE)
#define PE_P            (1ull << 0)
#define PE_FPD          (1ull << 1)
#define PE_FS           (1ull << 6)
#define PE_SS           (2ull << 6)
#define PE_NESTED       (3ull << 6)
#define PE_PT           (4ull << 6)
#define PE1_PWSNP       (1ull << 23)
#define PE1_PGSNP       (1ull << 24)
#define PE2_NXE         (1ull << 5)
#define PE_AW(levels)   ((uint64_t)((levels) - 2) << 2)

/* Paging entries */
#define P               (1ull << 0)
#define W               (1ull << 1)
#define U               (1ull << 2)
#define A               (1ull << 5)
#define D               (1ull << 6)
#define PS              (1ull << 7)
#define RW              (P | W | U)

/* Fault reasons */
#define F_CE_P          0x41
#define F_CE_DTE        0x44
#define F_CE_PASIDE     0x45
#define F_PASID_BOUND   0x46
#define F_CE_PRE        0x47
#define F_DIR_P         0x51
#define F_PE_P          0x59
#define F_PE_RSVD       0x5a
#define F_PE_INV        0x5b
#define F_PE_SRE        0x5d
#define F_FS_ACCESS     0x70
#define F_FS_P          0x71
#define F_FS_RSVD       0x72
#define F_FS_ROOT       0x73
#define F_SS_PERM       0x79
#define F_CANONICAL     0x80
#define F_US            0x81
#define F_MGAW          0x83
#define F_WRITE         0x85
#define F_INT_ADDR      0x87

#define VA              0x10000000ull   /* the page most tests use */
#define NR_QUEUES       4
#define STEP_NS         100000
#define UNTAGGED        (-1)
#define WAIT_STEP_NS    10000
#define MAX_STEPS       1000

#define SVM             "x-scalable-mode=on,x-flts=on,x-pasid-mode=on," \
                        "device-iotlb=on,svm=on"

static char *firmware;

typedef struct Bench {
    QTestState *qts;
    uint64_t next_table;
    uint32_t tail;
    uint32_t waits;
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

static uint32_t reg(Bench *b, uint32_t at)
{
    return qtest_readl(b->qts, VTD + at);
}

static void set_reg(Bench *b, uint32_t at, uint32_t val)
{
    qtest_writel(b->qts, VTD + at, val);
}

static uint64_t stat_of(Bench *b, const char *path, const char *name)
{
    return sva_stat(b->qts, path, name);
}

static uint64_t counter(Bench *b, const char *name)
{
    return stat_of(b, "/machine/peripheral/dmar0", name);
}

/* Descriptors */

static void desc(Bench *b, uint64_t val0, uint64_t val1)
{
    uint64_t addr = QUEUE + b->tail * 32;

    put(b, addr, val0);
    put(b, addr + 8, val1);
    put(b, addr + 16, 0);
    put(b, addr + 24, 0);
    b->tail = (b->tail + 1) % QUEUE_LEN;
    put(b, VTD + IQT, b->tail << 5);
}

/* Let time pass until the queue is empty, or stops at an error */
static void drain(Bench *b)
{
    int i;

    for (i = 0; i < MAX_STEPS; i++) {
        if (get(b, VTD + IQH) == b->tail << 5 || reg(b, FSTS) & FSTS_IQE) {
            return;
        }
        qtest_clock_step(b->qts, WAIT_STEP_NS);
    }
    g_assert_not_reached();
}

static void start_wait(Bench *b)
{
    b->waits++;
    desc(b, D_WAIT | WAIT_SW | (uint64_t)b->waits << 32, STATUS);
}

static bool wait_is_pending(Bench *b)
{
    return get(b, VTD + IQH) != b->tail << 5;
}

static void wait_desc(Bench *b)
{
    int i;

    start_wait(b);
    drain(b);
    /* Descriptors behind it may be fetched before it completes */
    for (i = 0; i < 100 && qtest_readl(b->qts, STATUS) != b->waits; i++) {
        qtest_clock_step(b->qts, WAIT_STEP_NS);
    }
    g_assert_cmphex(qtest_readl(b->qts, STATUS), ==, b->waits);
    g_assert_cmphex(get(b, VTD + IQH), ==, b->tail << 5);
}

/* Bad: the queue stops there until the error is acknowledged. Take it off. */
static void bad_desc(Bench *b, uint64_t val0, uint64_t val1,
                     void (*meanwhile)(Bench *b))
{
    uint32_t at = b->tail;
    uint64_t before = counter(b, "cmd.bad");

    desc(b, val0, val1);
    g_assert_cmphex(reg(b, FSTS) & FSTS_IQE, ==, FSTS_IQE);
    g_assert_cmphex(get(b, VTD + IQH), ==, at << 5);
    g_assert_cmpuint(counter(b, "cmd.bad"), ==, before + 1);

    if (meanwhile) {
        meanwhile(b);
    }

    /* Make a wait descriptor of it */
    put(b, QUEUE + at * 32, D_WAIT | WAIT_SW);
    put(b, QUEUE + at * 32 + 8, STATUS);
    put(b, QUEUE + at * 32 + 16, 0);
    set_reg(b, FSTS, FSTS_IQE);
    put(b, VTD + IQT, b->tail << 5);
    drain(b);
    g_assert_cmphex(get(b, VTD + IQH), ==, b->tail << 5);
}

static void flush_pasid(Bench *b, uint16_t did, uint32_t pasid)
{
    desc(b, D_PC | G(1) | (uint64_t)did << 16 | (uint64_t)pasid << 32, 0);
}

static void flush_all_of(Bench *b, uint16_t did, uint32_t pasid)
{
    desc(b, D_PIOTLB | G(2) | (uint64_t)did << 16 | (uint64_t)pasid << 32, 0);
}

static void flush_pages(Bench *b, uint16_t did, uint32_t pasid, uint64_t va,
                        int am, uint64_t ih)
{
    desc(b, D_PIOTLB | G(3) | (uint64_t)did << 16 | (uint64_t)pasid << 32,
         va | am | ih);
}

static void flush_dev(Bench *b, uint32_t pasid, uint64_t va, bool all)
{
    desc(b, D_DEV_PIOTLB | SID << 16 | (uint64_t)pasid << 32,
         all ? 0x7ffffffffffff000ull | 1 << 11 : va);
}

/* Tables */

static uint64_t new_table(Bench *b)
{
    uint64_t addr = b->next_table;

    b->next_table += PAGE;
    qtest_memset(b->qts, addr, 0, PAGE);
    return addr;
}

/* Where the entry for @va is at @level; tables above it are made */
static uint64_t entry(Bench *b, uint64_t table, int levels, uint64_t va,
                      int level)
{
    uint64_t addr;
    int l;

    for (l = levels; ; l--) {
        addr = table + extract64(va, 12 + 9 * (l - 1), 9) * 8;
        if (l == level) {
            return addr;
        }
        if (!get(b, addr)) {
            put(b, addr, new_table(b) | RW);
        }
        table = get(b, addr) & MAKE_64BIT_MASK(12, 36);
    }
}

static uint64_t pte(Bench *b, uint64_t root, uint64_t va)
{
    return entry(b, root, 4, va, 1);
}

static void map(Bench *b, uint64_t root, uint64_t va, uint64_t val)
{
    put(b, pte(b, root, va), val);
}

static void set_context(Bench *b, uint32_t sid, uint64_t lo)
{
    put(b, CONTEXT + sid * 32 + 8, 0);
    put(b, CONTEXT + sid * 32 + 16, 0);
    put(b, CONTEXT + sid * 32 + 24, 0);
    put(b, CONTEXT + sid * 32, lo);
}

static uint64_t pe_of(uint32_t pasid)
{
    return (pasid < 64 ? PTAB : PTAB2) + (pasid & 63) * 64;
}

static void set_pe(Bench *b, uint32_t pasid, uint64_t val0, uint64_t val1,
                   uint64_t val2)
{
    put(b, pe_of(pasid) + 8, val1);
    put(b, pe_of(pasid) + 16, val2);
    put(b, pe_of(pasid), val0);
}

/* Give @pasid an address space of domain @did with one page at @va */
static uint64_t one_page(Bench *b, uint32_t pasid, uint16_t did, uint64_t pa)
{
    uint64_t root = new_table(b);

    map(b, root, VA, pa | RW);
    set_pe(b, pasid, PE_P | PE_FS, did, root);
    return root;
}

/* svadev */

static uint64_t bars(int dev)
{
    return MMIO + dev * 0x1000000;
}

static uint64_t page_reg(int dev, int q, uint32_t at)
{
    return sva_page_reg(bars(dev), q, at);
}

static uint64_t cfg(int dev)
{
    return ECAM + ((SLOT + dev) << 15);
}

static uint16_t ext_cap(Bench *b, int dev, uint16_t id)
{
    uint16_t pos = sva_ext_cap(b->qts, cfg(dev), id);

    g_assert(pos);
    return pos;
}

static void setup_dev(Bench *b, int dev)
{
    sva_setup(b->qts, cfg(dev), bars(dev));
    qtest_writew(b->qts, cfg(dev) + ext_cap(b, dev, PCI_EXT_CAP_ID_ATS) +
                 PCI_ATS_CTRL, PCI_ATS_CTRL_ENABLE);
    qtest_writel(b->qts, cfg(dev) + ext_cap(b, dev, PCI_EXT_CAP_ID_PRI) +
                 PCI_PRI_ALLOC_REQ, 32);
    qtest_writew(b->qts, cfg(dev) + ext_cap(b, dev, PCI_EXT_CAP_ID_PRI) +
                 PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE);
}

/* Enable queue @q; @pasid < 0: untagged */
static void set_queue(Bench *b, int dev, int q, int pasid, uint32_t mode)
{
    sva_set_queue(b->qts, bars(dev), q, pasid, mode);
}

static uint64_t status(Bench *b, int q)
{
    return get(b, page_reg(0, q, SVADEV_STATUS));
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
    return get(b, page_reg(dev, q, SVADEV_STATUS));
}

static uint64_t dma_read(Bench *b, int pasid, uint64_t va)
{
    set_queue(b, 0, 0, pasid, 0);
    return start_op(b, 0, 0, SVADEV_OP_READ, va, 0);
}

static uint64_t dma_write(Bench *b, int pasid, uint64_t va, uint64_t value)
{
    set_queue(b, 0, 0, pasid, 0);
    return start_op(b, 0, 0, SVADEV_OP_WRITE, va, value);
}

static uint64_t new_value(void)
{
    static uint64_t value = 0x1122334455667788;

    return value++;
}

/* Does a write reach @pa? */
static void reaches(Bench *b, int pasid, uint64_t va, uint64_t pa)
{
    uint64_t value = new_value();

    put(b, pa, 0);
    g_assert_cmpuint(dma_write(b, pasid, va, value), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(get(b, pa), ==, value);
}

/* Faults */

static uint64_t frcd(int i)
{
    return VTD + FRCD + 16 * i;
}

/* FSTS but for FRI */
static uint32_t fsts(Bench *b)
{
    return reg(b, FSTS) & 0xff;
}

static void no_fault(Bench *b)
{
    int i;

    for (i = 0; i < NR_FRCD; i++) {
        g_assert_cmphex(get(b, frcd(i) + 8) >> 63, ==, 0);
    }
}

static void clear_faults(Bench *b)
{
    int i;

    for (i = 0; i < NR_FRCD; i++) {
        put(b, frcd(i) + 8, 1ull << 63);
    }
    no_fault(b);
}

static void check_fault(Bench *b, int i, uint32_t sid, int pasid, uint64_t va,
                        bool write, uint8_t reason)
{
    uint64_t lo = get(b, frcd(i)), hi = get(b, frcd(i) + 8);

    g_assert_cmphex(hi >> 63, ==, 1);
    g_assert_cmphex(extract64(hi, 32, 8), ==, reason);
    g_assert_cmphex(extract64(hi, 0, 16), ==, sid);
    g_assert_cmphex(extract64(hi, 31, 1), ==, pasid >= 0);
    g_assert_cmphex(extract64(hi, 40, 20), ==, MAX(pasid, 0));
    g_assert_cmphex(extract64(hi, 62, 1), ==, !write);
    g_assert_cmphex(lo, ==, va & ~0xfffull);
}

/* The one that FSTS refers to, and no other */
static void expect_fault(Bench *b, int pasid, uint64_t va, bool write,
                         uint8_t reason)
{
    int i = extract32(reg(b, FSTS), 8, 8);

    check_fault(b, i, SID, pasid, va, write, reason);
    put(b, frcd(i) + 8, 1ull << 63);
    no_fault(b);
}

static void faults(Bench *b, int pasid, uint64_t va, uint8_t reason)
{
    g_assert_cmpuint(dma_write(b, pasid, va, 1), ==, SVADEV_STATUS_FAULT);
    expect_fault(b, pasid, va, true, reason);
}

static void read_faults(Bench *b, int pasid, uint64_t va, uint8_t reason)
{
    g_assert_cmpuint(dma_read(b, pasid, va), ==, SVADEV_STATUS_FAULT);
    expect_fault(b, pasid, va, false, reason);
}

/* The bench */

static Bench start_with(const char *props)
{
    Bench b = { .next_table = TABLES };

    b.qts = qtest_initf("-M q35 -cpu max -m 128M -bios %s -nodefaults "
                        "-global svadev.x-wild=0 -global svadev.x-seed=%s "
                        "-device intel-iommu,id=dmar0," SVM ",x-wild=0,"
                        "x-seed=%s%s "
                        "-device svadev,id=dev0,addr=%d,nr-queues=%d,"
                        "ats=on,pri=on "
                        "-device svadev,id=dev1,addr=%d,nr-queues=%d,"
                        "ats=on,pri=on", firmware, sva_seed(), sva_seed(),
                        props, SLOT, NR_QUEUES, SLOT + 1, NR_QUEUES);

    /* Let config space be seen */
    qtest_outl(b.qts, 0xcf8, 0x80000064);
    qtest_outl(b.qts, 0xcfc, 0);
    qtest_outl(b.qts, 0xcf8, 0x80000060);
    qtest_outl(b.qts, 0xcfc, ECAM | 1);

    qtest_memset(b.qts, ROOT, 0, TABLES - ROOT);
    put(&b, ROOT, CONTEXT | 1);
    put(&b, PDIR, PTAB | 1);
    put(&b, PDIR + 8, PTAB2 | 1);
    set_context(&b, SID, PDIR | CE_ALL);
    set_context(&b, SID2, PDIR | CE_ALL);

    put(&b, VTD + RTADDR, ROOT | 1 << 10);
    set_reg(&b, GCMD, SRTP);
    put(&b, VTD + IQA, QUEUE | 1 << 11);
    set_reg(&b, GCMD, QIE);
    put(&b, VTD + PQA, PRQ);
    set_reg(&b, GCMD, QIE | TE);
    g_assert_cmphex(reg(&b, GSTS), ==, TE | SRTP | QIE);

    setup_dev(&b, 0);
    setup_dev(&b, 1);
    return b;
}

static Bench start(void)
{
    return start_with("");
}

static void stop(Bench *b)
{
    no_fault(b);
    g_assert_cmphex(fsts(b), ==, 0);
    qtest_quit(b->qts);
}

/* Capabilities and properties */

static void test_caps(void)
{
    Bench b = start();
    uint64_t ecap = get(&b, VTD + ECAP), cap = get(&b, VTD + CAP);

    g_assert_cmphex(extract64(ecap, 2, 1), ==, 1);      /* DT */
    g_assert_cmphex(extract64(ecap, 29, 1), ==, 1);     /* PRS */
    g_assert_cmphex(extract64(ecap, 31, 1), ==, 0);     /* SRS */
    g_assert_cmphex(extract64(ecap, 33, 1), ==, 1);     /* NWFS */
    g_assert_cmphex(extract64(ecap, 35, 5), ==, 19);    /* PSS */
    g_assert_cmphex(extract64(ecap, 40, 1), ==, 1);     /* PASID */
    g_assert_cmphex(extract64(ecap, 41, 1), ==, 0);     /* DIT */
    g_assert_cmphex(extract64(ecap, 42, 1), ==, 1);     /* PDS */
    g_assert_cmphex(extract64(ecap, 43, 1), ==, 1);     /* SMTS */
    g_assert_cmphex(extract64(ecap, 46, 2), ==, 3);     /* SSTS, FSTS */
    g_assert_cmphex(extract64(ecap, 48, 1), ==, 1);     /* SMPWC */
    g_assert_cmphex(extract64(cap, 7, 1), ==, 0);       /* CM */
    g_assert_cmphex(extract64(cap, 24, 10), ==, FRCD / 16);     /* FRO */
    g_assert_cmphex(extract64(cap, 40, 8), ==, NR_FRCD - 1);    /* NFR */
    g_assert_cmphex(extract64(cap, 56, 1), ==, 1);      /* FS1GP */
    stop(&b);
}

static void test_properties(void)
{
    static const char *const bad[] = {
        "svm=on",
        "x-scalable-mode=on,x-flts=on,x-pasid-mode=on,svm=on",
        "x-scalable-mode=on,x-flts=on,device-iotlb=on,svm=on",
        "x-scalable-mode=on,x-pasid-mode=on,device-iotlb=on,svm=on",
        "x-scalable-mode=on,x-flts=on,x-pasid-mode=on,device-iotlb=on",
        SVM ",caching-mode=on",
        SVM ",x-strict-size=0",
    };
    int i;

    for (i = 0; i < ARRAY_SIZE(bad); i++) {
        g_autofree char *cmd =
            g_strdup_printf("%s -M q35,accel=qtest -bios %s -display none "
                            "-nodefaults -S -device intel-iommu,%s",
                            getenv("QTEST_QEMU_BINARY"), firmware, bad[i]);
        g_autofree char *err = NULL;
        int code;

        g_assert(g_spawn_command_line_sync(cmd, NULL, &err, &code, NULL));
        g_assert_cmpint(code, !=, 0);
        g_assert_nonnull(strstr(err, "intel-iommu"));
    }
}

static void test_migration(void)
{
    QTestState *qts = qtest_initf("-M q35 -bios %s -nodefaults "
                                  "-device intel-iommu," SVM, firmware);
    QDict *r = qtest_qmp(qts, "{'execute': 'migrate', 'arguments': {"
                         "'uri': 'exec:cat >/dev/null'}}");

    g_assert(qdict_haskey(r, "error"));
    g_assert_nonnull(strstr(qdict_get_str(qdict_get_qdict(r, "error"), "desc"),
                            "intel-iommu cannot be migrated"));
    qobject_unref(r);
    qtest_quit(qts);
}

/* PASID tables */

static void test_pasid_table(void)
{
    Bench b = start();

    one_page(&b, 0, 1, DATA);
    one_page(&b, 1, 2, DATA + PAGE);
    one_page(&b, 63, 2, DATA + 2 * PAGE);
    one_page(&b, 64, 2, DATA + 3 * PAGE);
    one_page(&b, 127, 2, DATA + 4 * PAGE);

    reaches(&b, UNTAGGED, VA, DATA);
    reaches(&b, 1, VA, DATA + PAGE);
    reaches(&b, 63, VA + 8, DATA + 2 * PAGE + 8);
    reaches(&b, 64, VA, DATA + 3 * PAGE);
    reaches(&b, 127, VA, DATA + 4 * PAGE);
    reaches(&b, 1, VA, DATA + PAGE);

    faults(&b, 2, VA, F_PE_P);
    faults(&b, 128, VA, F_DIR_P);
    /* 2^(PDTS + 7) directory entries of 64 */
    faults(&b, 0x1fff, VA, F_DIR_P);
    faults(&b, 0x2000, VA, F_PASID_BOUND);
    faults(&b, 0xffff, VA, F_PASID_BOUND);

    /* Nothing that is not there was cached */
    one_page(&b, 2, 2, DATA + 5 * PAGE);
    reaches(&b, 2, VA, DATA + 5 * PAGE);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 0);
    stop(&b);
}

static void test_context(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA);

    /* Read before anything is cached */
    set_context(&b, SID, PDIR | CE_P);
    faults(&b, 1, VA, F_CE_PASIDE);
    /* It is held now */
    set_context(&b, SID, PDIR | CE_ALL);
    faults(&b, 1, VA, F_CE_PASIDE);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 1);
    desc(&b, D_CC | G(3) | (uint64_t)SID2 << 32, 0);
    wait_desc(&b);
    faults(&b, 1, VA, F_CE_PASIDE);
    desc(&b, D_CC | G(3) | (uint64_t)SID << 32, 0);
    faults(&b, 1, VA, F_CE_PASIDE);
    wait_desc(&b);
    reaches(&b, 1, VA, DATA);

    /* And held when it is gone */
    set_context(&b, SID, 0);
    reaches(&b, 1, VA, DATA);
    desc(&b, D_CC | G(1), 0);
    wait_desc(&b);
    faults(&b, 1, VA, F_CE_P);

    /* Fault processing disabled */
    set_context(&b, SID, PDIR | CE_P | CE_FPD | CE_PASIDE);
    g_assert_cmpuint(dma_write(&b, 1, VA + PAGE, 1), ==, SVADEV_STATUS_FAULT);
    no_fault(&b);
    g_assert_cmphex(get(&b, pte(&b, root, VA)) & A, ==, A);
    stop(&b);
}

static void test_pasid_entry(void)
{
    static const struct {
        int word;
        uint64_t bit;
    } rsvd[] = {
        { 0, 1 << 5 }, { 0, 1 << 9 }, { 0, 1 << 10 }, { 0, 1 << 11 },
        { 1, 1 << 16 }, { 1, 1 << 22 }, { 1, 1 << 25 }, { 1, 1ull << 32 },
        { 1, 1ull << 63 },
        { 2, 1 << 0 }, { 2, 1 << 1 }, { 2, 1 << 4 }, { 2, 1 << 7 },
        { 2, 1 << 8 }, { 2, 1 << 11 },
        { 3, 1 }, { 4, 1 }, { 5, 1 }, { 6, 1 }, { 7, 1ull << 63 },
    };
    Bench b = start();
    uint64_t root = new_table(&b);
    int i;

    map(&b, root, VA, DATA | RW);
    set_pe(&b, 1, PE_P | PE_NESTED, 1, root);
    faults(&b, 1, VA, F_PE_INV);
    set_pe(&b, 2, PE_P | PE_FS, 1, root | 1 << 2);     /* five levels */
    faults(&b, 2, VA, F_PE_INV);
    set_pe(&b, 3, PE_P | PE_SS | PE_AW(5), 1, 0);
    faults(&b, 3, VA, F_PE_INV);
    set_pe(&b, 4, PE_P | PE_FS, 1, NOWHERE);
    faults(&b, 4, VA, F_FS_ROOT);
    set_pe(&b, 5, PE_FPD, 1, root);
    g_assert_cmpuint(dma_write(&b, 5, VA, 1), ==, SVADEV_STATUS_FAULT);
    no_fault(&b);

    /* Bits that are reserved, or that need what ECAP does not have */
    for (i = 0; i < ARRAY_SIZE(rsvd); i++) {
        g_test_message("word %d 0x%" PRIx64, rsvd[i].word, rsvd[i].bit);
        set_pe(&b, 7, PE_P | PE_FS, 2, root);
        put(&b, pe_of(7) + rsvd[i].word * 8,
            get(&b, pe_of(7) + rsvd[i].word * 8) | rsvd[i].bit);
        faults(&b, 7, VA, F_PE_RSVD);
        /* Nothing was cached of it: no need to invalidate */
        put(&b, pe_of(7) + rsvd[i].word * 8, 0);
        set_pe(&b, 7, PE_P | PE_FS | PE_AW(4), 2 | PE1_PWSNP | PE1_PGSNP,
               root | PE2_NXE);
        reaches(&b, 7, VA, DATA);
        flush_pasid(&b, 2, 7);
        wait_desc(&b);
    }
    for (i = 1; i <= 3; i++) {
        set_pe(&b, i, PE_P | PE_FS, 2, root);
        reaches(&b, i, VA, DATA);
    }
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 0);

    /* Fault processing disabled, for all of a directory entry */
    put(&b, PDIR + 8, PTAB2 | PE_FPD | PE_P);
    set_pe(&b, 64, PE_P | PE_FS, 2, root);
    for (i = 0; i < 2; i++) {
        g_assert_cmpuint(dma_write(&b, 64, VA + PAGE, 1), ==,
                         SVADEV_STATUS_FAULT);
        no_fault(&b);
    }

    /* Supervisor requests are not supported */
    set_pe(&b, 6, PE_P | PE_FS, 1, root);
    set_queue(&b, 0, 0, 6, SVADEV_Q_MODE_PRIV);
    g_assert_cmpuint(start_op(&b, 0, 0, SVADEV_OP_READ, VA, 0), ==,
                     SVADEV_STATUS_FAULT);
    g_assert_cmphex(extract64(get(&b, frcd(extract32(reg(&b, FSTS), 8, 8)) + 8),
                              29, 1), ==, 1);
    expect_fault(&b, 6, VA, false, F_PE_SRE);
    stop(&b);
}

static uint64_t fault_of(Bench *b, int dev, uint64_t va)
{
    set_queue(b, dev, 0, 2, 0);
    return start_op(b, dev, 0, SVADEV_OP_READ, va, 0);
}

/* A fault of each of two functions is recorded, and one of each at a time */
static void test_fault_records(void)
{
    Bench b = start();
    int i;

    g_assert_cmpuint(fault_of(&b, 0, VA), ==, SVADEV_STATUS_FAULT);
    fault_of(&b, 1, VA + PAGE);
    check_fault(&b, 0, SID, 2, VA, false, F_PE_P);
    check_fault(&b, 1, SID2, 2, VA + PAGE, false, F_PE_P);
    g_assert_cmphex(reg(&b, FSTS), ==, FSTS_PPF);
    g_assert_cmpuint(counter(&b, "evt.lost"), ==, 0);
    g_assert_cmpuint(counter(&b, "frcd.pending"), ==, 2);
    g_assert_cmpuint(counter(&b, "frcd.several"), ==, 1);
    fault_of(&b, 1, VA);
    check_fault(&b, 1, SID2, 2, VA + PAGE, false, F_PE_P);
    g_assert_cmphex(reg(&b, FSTS), ==, FSTS_PPF);
    g_assert_cmpuint(counter(&b, "evt.lost"), ==, 1);

    /* The registers are used in turn, until one is still in use */
    for (i = 0; i < NR_FRCD; i++) {
        if (i != 1) {
            put(&b, frcd(i) + 8, 1ull << 63);
            g_assert_cmphex(get(&b, frcd(i) + 8) >> 63, ==, 0);
            g_assert_cmphex(fsts(&b), ==, FSTS_PPF);
            fault_of(&b, 0, VA + i * PAGE);
            check_fault(&b, i ? (i + 1) & 7 : 2, SID, 2, VA + i * PAGE, false,
                        F_PE_P);
        }
    }
    set_reg(&b, FRCD + 12, 1u << 31);
    g_assert_cmphex(fsts(&b), ==, FSTS_PPF);
    fault_of(&b, 0, VA);
    g_assert_cmphex(fsts(&b), ==, FSTS_PPF | FSTS_PFO);
    /* No more until software acknowledges that */
    set_reg(&b, FRCD + 16 + 12, 1u << 31);
    fault_of(&b, 0, VA);
    no_fault(&b);
    g_assert_cmpuint(counter(&b, "evt.lost"), ==, 3);
    g_assert_cmpuint(counter(&b, "frcd.pending"), ==, 0);
    /* A record of SID for each that was cleared, beside that of SID2 */
    g_assert_cmpuint(counter(&b, "frcd.several"), ==, NR_FRCD);
    set_reg(&b, FSTS, FSTS_PFO);
    g_assert_cmphex(fsts(&b), ==, 0);
    fault_of(&b, 0, VA);
    check_fault(&b, 1, SID, 2, VA, false, F_PE_P);
    g_assert_cmpuint(counter(&b, "frcd.several"), ==, NR_FRCD);
    g_assert_cmphex(reg(&b, FSTS), ==, FSTS_PPF | 1 << 8);
    /* Written in whatever pieces */
    qtest_writeq(b.qts, VTD + FRCD + 16 + 12, 1u << 31);
    no_fault(&b);
    stop(&b);
}

static void test_pass_through(void)
{
    Bench b = start();

    set_pe(&b, 0, PE_P | PE_PT, 1, 0);
    set_pe(&b, 1, PE_P | PE_PT, 1, 0);
    reaches(&b, UNTAGGED, DATA, DATA);
    reaches(&b, 1, DATA + 8, DATA + 8);
    faults(&b, UNTAGGED, 0xfee00000, F_INT_ADDR);
    faults(&b, 1, 0xfee00000, F_INT_ADDR);
    stop(&b);
}

static void test_second_stage(void)
{
    Bench b = start();
    uint64_t root = new_table(&b);

    put(&b, entry(&b, root, 3, VA, 1), DATA | 3);
    put(&b, entry(&b, root, 3, VA + PAGE, 1), DATA | 1);
    put(&b, entry(&b, root, 3, VA + LARGE, 2), DATA | 3 | PS);
    set_pe(&b, 0, PE_P | PE_SS | PE_AW(3) | root, 7, 0);
    set_pe(&b, 1, PE_P | PE_SS | PE_AW(3) | root, 7, 0);

    reaches(&b, UNTAGGED, VA, DATA);
    reaches(&b, 1, VA, DATA);
    reaches(&b, 1, VA + LARGE + 0x5008, DATA + 0x5008);
    faults(&b, 1, VA + PAGE, F_SS_PERM);
    g_assert_cmpuint(dma_read(&b, 1, VA + PAGE), ==, SVADEV_STATUS_OK);
    faults(&b, 1, 1ull << 39, F_MGAW);

    /* What may only be written */
    put(&b, entry(&b, root, 3, VA + 2 * PAGE, 1), DATA | 2);
    reaches(&b, 1, VA + 2 * PAGE, DATA);
    read_faults(&b, 1, VA + 2 * PAGE, F_SS_PERM);

    /* Both share translations, by domain; PASID-based descriptors miss them */
    put(&b, entry(&b, root, 3, VA, 1), 0);
    flush_pages(&b, 7, 1, VA, 0, 0);
    flush_all_of(&b, 7, 1);
    wait_desc(&b);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 1);
    desc(&b, D_IOTLB | G(3) | 7 << 16, VA);
    wait_desc(&b);
    faults(&b, 1, VA, F_SS_PERM);
    stop(&b);
}

/* First stage */

static void test_walk(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA);

    put(&b, entry(&b, root, 4, VA + LARGE, 2), DATA | RW | PS);
    put(&b, entry(&b, root, 4, 1ull << 31, 3), 0 | RW | PS);
    map(&b, root, VA + PAGE, DATA | P | U);
    map(&b, root, VA + 2 * PAGE, DATA | P | W);
    map(&b, root, VA + 3 * PAGE, DATA | RW | 1ull << 51);
    put(&b, entry(&b, root, 4, 0x4000000000, 3), NOWHERE | RW);
    map(&b, root, 0xffff800000000000ull, DATA | RW);

    reaches(&b, 1, VA, DATA);
    reaches(&b, 1, VA + LARGE + 0x12340, DATA + 0x12340);
    reaches(&b, 1, (1ull << 31) + DATA, DATA);
    reaches(&b, 1, 0xffff800000000000ull, DATA);
    faults(&b, 1, VA + PAGE, F_WRITE);
    g_assert_cmpuint(dma_read(&b, 1, VA + PAGE), ==, SVADEV_STATUS_OK);
    read_faults(&b, 1, VA + 2 * PAGE, F_US);
    faults(&b, 1, VA + 3 * PAGE, F_FS_RSVD);
    faults(&b, 1, VA + 4 * PAGE, F_FS_P);
    read_faults(&b, 1, 0x800000000000ull, F_CANONICAL);
    stop(&b);
}

static void test_accessed_dirty(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), at = pte(&b, root, VA);
    int level;

    g_assert_cmpuint(dma_read(&b, 1, VA), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(get(&b, at), ==, DATA | RW | A);
    for (level = 2; level <= 4; level++) {
        g_assert_cmphex(get(&b, entry(&b, root, 4, VA, level)) & (A | D), ==,
                        A);
    }

    /* A write through the entry that the read has filled */
    reaches(&b, 1, VA, DATA);
    g_assert_cmphex(get(&b, at), ==, DATA | RW | A | D);
    g_assert_cmpuint(counter(&b, "tlb.hit"), ==, 0);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "tlb.hit"), ==, 1);

    /* Software has cleaned it, and not flushed: what is written is lost */
    put(&b, at, DATA | RW);
    g_assert_cmpuint(dma_read(&b, 1, VA), ==, SVADEV_STATUS_OK);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 0);
    reaches(&b, 1, VA, DATA);
    g_assert_cmphex(get(&b, at), ==, DATA | RW);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 1);
    flush_pages(&b, 2, 1, VA, 0, 0);
    wait_desc(&b);
    reaches(&b, 1, VA, DATA);
    g_assert_cmphex(get(&b, at), ==, DATA | RW | A | D);

    /* A refused access marks nothing */
    map(&b, root, VA + PAGE, DATA | P | U);
    faults(&b, 1, VA + PAGE, F_WRITE);
    g_assert_cmphex(get(&b, pte(&b, root, VA + PAGE)), ==, DATA | P | U);

    /* Peeks, as svadev's checkers do, mark nothing either */
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 1);
    stop(&b);
}

static void test_upgrade(void)
{
    Bench b = start();
    uint64_t root = new_table(&b), at = pte(&b, root, VA);

    set_pe(&b, 1, PE_P | PE_FS, 2, root);
    put(&b, at, DATA | P | U);
    g_assert_cmpuint(dma_read(&b, 1, VA), ==, SVADEV_STATUS_OK);
    faults(&b, 1, VA, F_WRITE);
    /* More permission needs no invalidation: hardware walks again */
    put(&b, at, DATA | RW);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 0);
    stop(&b);
}

static void test_interrupt_range(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA);

    /* With a PASID an address like any other */
    map(&b, root, 0xfee00000, (DATA + PAGE) | RW);
    reaches(&b, 1, 0xfee00010, DATA + PAGE + 0x10);
    /* but none to translate to */
    map(&b, root, VA + PAGE, 0xfee00000 | RW);
    faults(&b, 1, VA + PAGE, F_INT_ADDR);
    one_page(&b, 0, 1, DATA);
    faults(&b, UNTAGGED, 0xfee00000, F_INT_ADDR);
    stop(&b);
}

/* Caches */

static void test_strict(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA);

    reaches(&b, 1, VA, DATA);
    map(&b, root, VA, (DATA + PAGE) | RW);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 1);

    /* Nothing happens before the wait descriptor */
    flush_pages(&b, 2, 1, VA, 0, 0);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 2);
    wait_desc(&b);
    reaches(&b, 1, VA, DATA + PAGE);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 2);
    stop(&b);

    b = start_with(",x-strict=off");
    root = one_page(&b, 1, 2, DATA);
    reaches(&b, 1, VA, DATA);
    map(&b, root, VA, (DATA + PAGE) | RW);
    flush_pages(&b, 2, 1, VA, 0, 0);
    reaches(&b, 1, VA, DATA + PAGE);
    stop(&b);
}

static void test_pasid_cache(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA);

    one_page(&b, 3, 2, DATA + PAGE);
    reaches(&b, 1, VA, DATA);
    reaches(&b, 3, VA, DATA + PAGE);

    put(&b, pe_of(1), 0);
    put(&b, pe_of(3), 0);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 1);
    flush_pasid(&b, 2, 2);      /* another PASID */
    flush_pasid(&b, 3, 1);      /* another domain */
    wait_desc(&b);
    reaches(&b, 1, VA, DATA);
    flush_pasid(&b, 2, 1);
    reaches(&b, 1, VA, DATA);
    wait_desc(&b);
    faults(&b, 1, VA, F_PE_P);
    reaches(&b, 3, VA, DATA + PAGE);
    desc(&b, D_PC | G(0) | 2 << 16, 0);
    wait_desc(&b);
    faults(&b, 3, VA, F_PE_P);

    /* Its translations are still there: the same domain finds them again */
    map(&b, root, VA, 0);
    set_pe(&b, 1, PE_P | PE_FS, 2, root);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 1);
    set_pe(&b, 1, PE_P | PE_FS, 4, root);
    desc(&b, D_PC | G(3), 0);
    wait_desc(&b);
    faults(&b, 1, VA, F_FS_P);
    stop(&b);
}

/* Have the directory refer to another table, with a new domain for PASID 1 */
static void swap_ptab(Bench *b, uint64_t root)
{
    qtest_memset(b->qts, PTAB3, 0, PAGE);
    put(b, PTAB3 + 64 + 8, 4);
    put(b, PTAB3 + 64 + 16, root);
    put(b, PTAB3 + 64, PE_P | PE_FS);
    put(b, PTAB3 + 128 + 8, 3);
    put(b, PTAB3 + 128 + 16, root);
    put(b, PTAB3 + 128, PE_P | PE_FS);
    put(b, PDIR, PTAB3 | 1);
}

/* Whatever selects by domain and PASID need not be of a directory entry */
static void test_pasid_directory(void)
{
    Bench b = start();

    one_page(&b, 1, 2, DATA);
    reaches(&b, 1, VA, DATA);
    swap_ptab(&b, one_page(&b, 2, 3, DATA + PAGE));

    /* The entry itself is held */
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 1);
    /* It is dropped, and is found where it was */
    flush_pasid(&b, 2, 1);
    desc(&b, D_PC | G(0) | 2 << 16, 0);
    wait_desc(&b);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 2);
    /* So is one that was never looked at: the directory entry is stale */
    reaches(&b, 2, VA, DATA + PAGE);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 3);
    put(&b, pe_of(2), 0);
    flush_pasid(&b, 3, 2);
    wait_desc(&b);
    faults(&b, 2, VA, F_PE_P);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 4);
    /* What invalidates translations does not help */
    desc(&b, D_IOTLB | G(1), 0);
    wait_desc(&b);
    faults(&b, 2, VA, F_PE_P);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 5);

    /* All of the PASID cache is, at the wait descriptor */
    desc(&b, D_PC | G(3), 0);
    faults(&b, 2, VA, F_PE_P);
    wait_desc(&b);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 6);
    reaches(&b, 2, VA, DATA + PAGE);
    reaches(&b, 1, VA, DATA + PAGE);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 6);

    /* So is what drops the context entry of the function, and of no other */
    set_queue(&b, 1, 0, 1, 0);
    g_assert_cmpuint(start_op(&b, 1, 0, SVADEV_OP_READ, VA, 0), ==,
                     SVADEV_STATUS_OK);
    put(&b, PDIR, PTAB | 1);
    put(&b, pe_of(2), PE_P | PE_FS);
    desc(&b, D_CC | G(3) | (uint64_t)SID << 32, 0);
    flush_pasid(&b, 4, 1);
    wait_desc(&b);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 6);
    g_assert_cmpuint(start_op(&b, 1, 0, SVADEV_OP_READ, VA, 0), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 7);
    stop(&b);
}

/* What is not present is not held */
static void test_pasid_directory_absent(void)
{
    Bench b = start();

    one_page(&b, 1, 2, DATA);
    put(&b, PDIR, 0);
    faults(&b, 1, VA, F_DIR_P);
    put(&b, PDIR, PTAB | 1);
    reaches(&b, 1, VA, DATA);
    put(&b, PDIR, 0);
    flush_pasid(&b, 2, 1);
    wait_desc(&b);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 1);
    desc(&b, D_PC | G(3), 0);
    wait_desc(&b);
    faults(&b, 1, VA, F_DIR_P);
    stop(&b);
}

/* A table that was freed and used again, below an entry still held */
static void test_psc(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), kva = 0xffffc90000000000ull;
    uint64_t pde = entry(&b, root, 4, kva, 2), table = new_table(&b);
    int level;

    /* As of a kernel: supervisor only */
    put(&b, pde, table | P | W);
    read_faults(&b, 1, kva, F_FS_P);
    g_assert_cmpuint(counter(&b, "psc.hit"), ==, 0);

    /* The kernel frees the table, and the page is somebody's data */
    put(&b, pde, 0);
    put(&b, table, (DATA + PAGE) | RW);
    put(&b, table + 8, (DATA + 2 * PAGE) | RW);
    /* The PDE said supervisor, and it is held with that */
    read_faults(&b, 1, kva, F_US);
    g_assert_cmpuint(counter(&b, "stale.psc"), ==, 1);
    g_assert_cmphex(get(&b, table), ==, (DATA + PAGE) | RW);

    /* A hint that no table has changed leaves it there */
    flush_pages(&b, 2, 1, kva, 0, IH);
    wait_desc(&b);
    read_faults(&b, 1, kva, F_US);
    g_assert_cmpuint(counter(&b, "stale.psc"), ==, 2);
    /* Another domain's, another PASID's, another address's too */
    flush_pages(&b, 2, 1, VA, 0, 0);
    flush_all_of(&b, 2, 2);
    desc(&b, D_IOTLB | G(2) | 3 << 16, 0);
    wait_desc(&b);
    read_faults(&b, 1, kva, F_US);
    g_assert_cmpuint(counter(&b, "stale.psc"), ==, 3);

    /* One domain-selective invalidation is the cure, after its wait */
    desc(&b, D_IOTLB | G(2) | 2 << 16, 0);
    read_faults(&b, 1, kva, F_US);
    g_assert_cmpuint(counter(&b, "stale.psc"), ==, 4);
    wait_desc(&b);
    read_faults(&b, 1, kva, F_FS_P);
    g_assert_cmpuint(counter(&b, "stale.psc"), ==, 4);

    /* Tables of each level, of user space */
    for (level = 2; level <= 4; level++) {
        uint64_t at = entry(&b, root, 4, VA, level), was;

        desc(&b, D_IOTLB | G(1), 0);
        wait_desc(&b);
        reaches(&b, 1, VA, DATA);
        was = get(&b, at);
        put(&b, at, 0);
        flush_pages(&b, 2, 1, VA, 0, IH);
        wait_desc(&b);
        reaches(&b, 1, VA, DATA);
        flush_pages(&b, 2, 1, VA & ~(LARGE - 1), level == 2 ? 9 : 0, 0);
        wait_desc(&b);
        faults(&b, 1, VA, F_FS_P);
        put(&b, at, was);
    }
    stop(&b);
}

/* What each kind of invalidation drops, and what it leaves */
static void test_scopes(void)
{
    enum { V1 = 1, V2 = 2, P2 = 4, D2 = 8, R = 16, ALL = 31 };
    static const struct {
        uint64_t val0, val1;
        int drops;
    } cases[] = {
        { D_IOTLB | G(1), 0, ALL },
        { D_IOTLB | G(2) | 2 << 16, 0, V1 | V2 | P2 },
        { D_IOTLB | G(2) | 9 << 16, 0, 0 },
        { D_IOTLB | G(3) | 5 << 16, VA, R },
        { D_IOTLB | G(3) | 5 << 16, VA + 8 * PAGE, 0 },
        { D_IOTLB | G(3) | 2 << 16, VA + 8 * PAGE, V1 | V2 | P2 },
        { D_PIOTLB | G(2) | 2 << 16 | 1ull << 32, 0, V1 | V2 },
        { D_PIOTLB | G(2) | 3 << 16 | 1ull << 32, 0, 0 },
        { D_PIOTLB | G(3) | 2 << 16 | 1ull << 32, VA, V1 },
        { D_PIOTLB | G(3) | 2 << 16 | 1ull << 32, VA | IH, V1 },
        { D_PIOTLB | G(3) | 2 << 16 | 1ull << 32, VA | 1, V1 | V2 },
        { D_PIOTLB | G(3) | 2 << 16 | 1ull << 32, VA | 18, V1 | V2 },
        { D_PIOTLB | G(3) | 2 << 16 | 2ull << 32, VA | 9, P2 },
        { D_PC | G(3), 0, 0 },
        { D_CC | G(1), 0, 0 },
    };
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), ss = new_table(&b);
    uint64_t at[5];
    int i, j;

    map(&b, root, VA + PAGE, (DATA + PAGE) | RW);
    at[0] = pte(&b, root, VA);
    at[1] = pte(&b, root, VA + PAGE);
    at[2] = pte(&b, one_page(&b, 2, 2, DATA + 2 * PAGE), VA);
    at[3] = pte(&b, one_page(&b, 3, 3, DATA + 3 * PAGE), VA);
    at[4] = entry(&b, ss, 4, VA, 1);
    set_pe(&b, 4, PE_P | PE_SS | PE_AW(4) | ss, 5, 0);

    for (i = 0; i < ARRAY_SIZE(cases); i++) {
        static const int pasid[] = { 1, 1, 2, 3, 4 };
        int dropped = 0;

        for (j = 0; j < 5; j++) {
            put(&b, at[j], (DATA + j * PAGE) | RW);
            reaches(&b, pasid[j], VA + (j == 1) * PAGE, DATA + j * PAGE);
        }
        for (j = 0; j < 5; j++) {
            put(&b, at[j], (DATA + (8 + j) * PAGE) | RW);
            put(&b, DATA + j * PAGE, 0);
        }
        desc(&b, cases[i].val0, cases[i].val1);
        wait_desc(&b);
        for (j = 0; j < 5; j++) {
            g_assert_cmpuint(dma_write(&b, pasid[j], VA + (j == 1) * PAGE, 1),
                             ==, SVADEV_STATUS_OK);
            if (!get(&b, DATA + j * PAGE)) {
                dropped |= 1 << j;
            }
        }
        g_test_message("case %d", i);
        g_assert_cmphex(dropped, ==, cases[i].drops);
        desc(&b, D_IOTLB | G(1), 0);
        wait_desc(&b);
    }
    stop(&b);
}

/* Have all caches compared with memory */
static void audit(Bench *b)
{
    qtest_writel(b->qts, MMIO + SVADEV_STAT_LATCH,
                 SVADEV_STAT_LATCH_COPY | SVADEV_STAT_LATCH_AUDIT);
}

/* And check what differs */
static void left(Bench *b, int ctx, int pasid, int tlb, int psc)
{
    audit(b);
    g_test_message("left %d %d %d %d", ctx, pasid, tlb, psc);
    g_assert_cmpuint(counter(b, "left.ctx"), ==, ctx);
    g_assert_cmpuint(counter(b, "left.pasid"), ==, pasid);
    g_assert_cmpuint(counter(b, "left.tlb"), ==, tlb);
    g_assert_cmpuint(counter(b, "left.psc"), ==, psc);
}

/* What is held and wrong is found without a DMA that uses it */
static void test_audit(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), ss = new_table(&b), at, was;

    left(&b, 0, 0, 0, 0);
    reaches(&b, 1, VA, DATA);
    put(&b, entry(&b, ss, 3, VA, 1), DATA | 3);
    set_pe(&b, 4, PE_P | PE_SS | PE_AW(3) | ss, 5, 0);
    reaches(&b, 4, VA, DATA);
    left(&b, 0, 0, 0, 0);

    /* A translation, of either stage; one that memory grants more than */
    at = pte(&b, root, VA);
    was = get(&b, at);
    put(&b, at, was & ~W);
    left(&b, 0, 0, 1, 0);
    put(&b, at, was & ~D);
    left(&b, 0, 0, 1, 0);
    put(&b, at, was + PAGE);
    left(&b, 0, 0, 1, 0);
    put(&b, at, 0);
    left(&b, 0, 0, 1, 0);
    put(&b, at, was);
    left(&b, 0, 0, 0, 0);
    put(&b, entry(&b, ss, 3, VA, 1), 0);
    left(&b, 0, 0, 1, 0);
    put(&b, entry(&b, ss, 3, VA, 1), DATA | 3);
    map(&b, root, VA + PAGE, DATA | P | U);
    g_assert_cmpuint(dma_read(&b, 1, VA + PAGE), ==, SVADEV_STATUS_OK);
    map(&b, root, VA + PAGE, DATA | RW);
    left(&b, 0, 0, 0, 0);
    map(&b, root, VA + PAGE, DATA | P | U | A);

    /* A table, whose entries are the same, and one that is not there */
    at = entry(&b, root, 4, VA, 2);
    was = get(&b, at);
    put(&b, at, was & ~W);
    left(&b, 0, 0, 1, 1);
    put(&b, at, 0);
    left(&b, 0, 0, 2, 1);
    put(&b, at, was);
    left(&b, 0, 0, 0, 0);

    /* A PASID entry that selects the same tables, in another way */
    put(&b, pe_of(1) + 8, get(&b, pe_of(1) + 8) | PE1_PWSNP);
    left(&b, 0, 1, 0, 0);
    put(&b, pe_of(1) + 8, get(&b, pe_of(1) + 8) & ~PE1_PWSNP);
    left(&b, 0, 0, 0, 0);

    /* A PASID entry: the next owner of its tags would hit all */
    put(&b, pe_of(1), 0);
    left(&b, 0, 1, 2, 3);
    flush_pasid(&b, 2, 1);
    wait_desc(&b);
    left(&b, 0, 0, 2, 3);
    flush_all_of(&b, 2, 1);
    wait_desc(&b);
    left(&b, 0, 0, 0, 0);
    put(&b, pe_of(4), 0);
    left(&b, 0, 1, 1, 2);
    desc(&b, D_IOTLB | G(2) | 5 << 16, 0);
    flush_pasid(&b, 5, 4);
    wait_desc(&b);

    /* The directory, and the context */
    put(&b, PDIR, PTAB3 | 1);
    left(&b, 0, 1, 0, 0);
    put(&b, PDIR, PTAB | 1);
    set_context(&b, SID, 0);
    left(&b, 1, 1, 0, 0);
    desc(&b, D_CC | G(3) | (uint64_t)SID << 32, 0);
    wait_desc(&b);
    left(&b, 0, 0, 0, 0);

    set_reg(&b, GCMD, QIE);
    left(&b, 0, 0, 0, 0);
    stop(&b);
}

/* Each page of a large entry is compared, of whatever size it is in memory */
static void test_audit_large(void)
{
    Bench b = start();
    uint64_t root = new_table(&b), table = new_table(&b), pd, pe;
    int i;

    set_pe(&b, 1, PE_P | PE_FS, 2, root);
    pd = entry(&b, root, 4, VA, 2);
    put(&b, pd, DATA | RW | PS);
    reaches(&b, 1, VA + 0x5000, DATA + 0x5000);
    left(&b, 0, 0, 0, 0);

    /* Split: the same, in small pages */
    for (i = 0; i < 512; i++) {
        put(&b, table + i * 8, (DATA + i * PAGE) | RW | A | D);
    }
    put(&b, pd, table | RW | A);
    left(&b, 0, 0, 0, 0);
    for (i = 0; i < 512; i += 73) {
        pe = get(&b, table + i * 8);
        put(&b, table + i * 8, 0);
        left(&b, 0, 0, 1, 0);
        put(&b, table + i * 8, pe & ~W);
        left(&b, 0, 0, 1, 0);
        /* What was dirty is, in small pages, not to be invalidated */
        put(&b, table + i * 8, pe & ~D);
        left(&b, 0, 0, 0, 0);
        put(&b, table + i * 8, pe ^ PAGE);
        left(&b, 0, 0, 1, 0);
        put(&b, table + i * 8, pe);
        left(&b, 0, 0, 0, 0);
    }

    /* Other memory, of the same size */
    put(&b, pd, (DATA + LARGE) | RW | PS | A | D);
    left(&b, 0, 0, 1, 0);
    flush_pages(&b, 2, 1, VA + LARGE - PAGE, 0, 0);
    wait_desc(&b);
    left(&b, 0, 0, 0, 0);
    stop(&b);
}

/* A use of what is cached of the tables of PASID 1, of any kind */
typedef struct LateCase {
    const char *counter;
    uint64_t at;                /* changes */
    uint64_t change;
    int pasid;                  /* a request of which uses it, */
    uint64_t va;                /* of this */
} LateCase;

static void late_hit(Bench *b, const LateCase *c, uint64_t late)
{
    dma_write(b, c->pasid, c->va, 1);
    clear_faults(b);
    g_assert_cmpuint(counter(b, c->counter), ==, late);
}

static void pass_ms(Bench *b, int ms)
{
    for (; ms > 0; ms -= 20) {
        qtest_clock_step(b->qts, 20000000);
    }
}

/*
 * Hits on what differs from memory are counted apart once software must have
 * invalidated it: by a wait descriptor that was fetched 1 s after it was found.
 */
static void test_late(void)
{
    Bench b = start_with(",x-wait-ns=1000");
    uint64_t root = one_page(&b, 1, 2, DATA), was, late;
    const LateCase cases[] = {
        { "late.tlb", pte(&b, root, VA), W, 1, VA },
        /* Of a page that is not there the walk uses the tables to it */
        { "late.tlb", entry(&b, root, 4, VA, 2), W, 1, VA + PAGE },
        { "late.cfg", pe_of(1) + 8, 1 << 4, 1, VA },
        { "late.cfg", CONTEXT + SID * 32 + 24, 1, 1, VA },
        /* Of a PASID that is not there the directory is used */
        { "late.cfg", PDIR, PTAB ^ PTAB3, 2, VA },
    };
    const LateCase *c;
    int i;

    for (i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
        c = &cases[i / 2];
        g_test_message("case %d", i);
        reaches(&b, 1, VA, DATA);
        late = counter(&b, c->counter);
        was = get(&b, c->at);
        put(&b, c->at, was ^ c->change);
        if (i & 1) {
            /* Found by an audit, and hit later */
            audit(&b);
        } else {
            /* These might be for earlier changes */
            late_hit(&b, c, late);
            wait_desc(&b);
            late_hit(&b, c, late);
            pass_ms(&b, 900);
            wait_desc(&b);
            late_hit(&b, c, late);
        }
        pass_ms(&b, 1100);
        if (!(i & 1)) {
            late_hit(&b, c, late);
        }

        /* This one is not */
        start_wait(&b);
        g_assert_cmpuint(counter(&b, c->counter), ==, late);
        drain(&b);
        late_hit(&b, c, late + 1);

        /* It is the same as memory again, and then different */
        put(&b, c->at, was);
        late_hit(&b, c, late + 1);
        put(&b, c->at, was ^ c->change);
        late_hit(&b, c, late + 1);
        wait_desc(&b);
        late_hit(&b, c, late + 1);

        put(&b, c->at, was);
        desc(&b, D_CC | G(1), 0);
        desc(&b, D_PC | G(3), 0);
        desc(&b, D_IOTLB | G(1), 0);
        wait_desc(&b);
    }

    /* Of a large page, another part is the same */
    put(&b, entry(&b, root, 4, VA + LARGE, 2), DATA | RW | PS);
    reaches(&b, 1, VA + LARGE, DATA);
    was = new_table(&b);
    put(&b, was, DATA | RW | A | D);
    put(&b, entry(&b, root, 4, VA + LARGE, 2), was | RW | A);
    late = counter(&b, "late.tlb");
    dma_write(&b, 1, VA + LARGE + PAGE, 1);
    pass_ms(&b, 1100);
    reaches(&b, 1, VA + LARGE, DATA);
    wait_desc(&b);
    g_assert_cmpuint(counter(&b, "late.tlb"), ==, late);
    dma_write(&b, 1, VA + LARGE + PAGE, 1);
    g_assert_cmpuint(counter(&b, "late.tlb"), ==, late + 1);
    stop(&b);
}

/* A large page and a part of it are both held, for one that was split */
static void test_conflict(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), pde = entry(&b, root, 4, VA, 2);
    uint64_t table = get(&b, pde);
    int large;

    for (large = 0; large < 2; large++) {
        put(&b, pde, table);
        map(&b, root, VA, DATA | P | U);
        put(&b, pde, large ? DATA | RW | PS : table);
        g_assert_cmpuint(dma_read(&b, 1, VA), ==, SVADEV_STATUS_OK);
        g_assert_cmpuint(counter(&b, "conflict.tlb"), ==, large);
        /* A write walks again, as what a read has filled is not dirty */
        put(&b, pde, table);
        map(&b, root, VA, DATA | RW);
        put(&b, pde, large ? table : DATA | RW | PS);
        if (!large) {
            /* The next page's invalidation drops the table only */
            flush_pages(&b, 2, 1, VA + PAGE, 0, 0);
            wait_desc(&b);
        }
        reaches(&b, 1, VA, DATA);
        g_assert_cmpuint(counter(&b, "conflict.tlb"), ==, large + 1);
        desc(&b, D_IOTLB | G(1), 0);
        wait_desc(&b);
    }
    stop(&b);
}

/* Present neighbours of what is read may be read, too, and are held then */
static void test_prefetch(void)
{
    Bench b = start_with(",x-wild=64");
    uint64_t root = one_page(&b, 1, 2, DATA), stale, misses;
    int i, n;

    for (i = 0; i < 8; i++) {
        map(&b, root, VA + i * PAGE, (DATA + i * PAGE) | RW | A);
    }
    map(&b, root, VA + 8 * PAGE, DATA | RW | A);
    map(&b, root, VA + 7 * PAGE, (DATA + 7 * PAGE) | RW);
    for (i = 2; i < 63; i++) {
        set_pe(&b, i, PE_P | PE_FS, 2, root);
    }
    set_pe(&b, 5, PE_P | PE_NESTED, 2, root);
    put(&b, PDIR + 8, 0);
    reaches(&b, 1, VA, DATA);
    n = counter(&b, "pasid.ahead");
    g_assert_cmpint(n, >, 10);
    g_assert_cmpint(n, <, 60);
    n = counter(&b, "tlb.ahead");
    g_assert_cmpint(n, <=, 6);
    left(&b, 0, 0, 0, 0);

    /* Pages: those in the same 64 bytes, which have an Accessed bit */
    misses = counter(&b, "tlb.miss");
    for (i = 1; i < 9; i++) {
        g_assert_cmpuint(dma_read(&b, 1, VA + i * PAGE), ==, SVADEV_STATUS_OK);
    }
    /* Of the last two neither; the misses fetch what is left, and more */
    n += counter(&b, "tlb.miss") - misses - 2;
    g_assert_cmpint(n, >=, 6 - (int)counter(&b, "tlb.ahead"));
    g_assert_cmphex(get(&b, pte(&b, root, VA + 7 * PAGE)) & A, ==, A);
    g_assert_cmpuint(counter(&b, "tlb.hit"), >, 0);
    left(&b, 0, 0, 0, 0);

    /* Entries of PASIDs that nothing has used are held */
    for (i = 2; i < 64; i++) {
        put(&b, pe_of(i), 0);
    }
    audit(&b);
    n = counter(&b, "pasid.ahead");
    g_assert_cmpuint(counter(&b, "left.pasid"), ==, n);
    stale = 0;
    for (i = 2; i < 63; i++) {
        if (dma_read(&b, i, VA) == SVADEV_STATUS_OK) {
            stale++;
        } else {
            clear_faults(&b);
        }
    }
    g_assert_cmpuint(stale, ==, n);
    /* What is not present, or wrong, is not */
    faults(&b, 5, VA, F_PE_P);
    faults(&b, 63, VA, F_PE_P);
    desc(&b, D_PC | G(0) | 2 << 16, 0);
    wait_desc(&b);
    audit(&b);
    g_assert_cmpuint(counter(&b, "left.pasid"), ==, 0);

    /* Directory entries */
    for (i = 2, n = 0; i < 16; i++) {
        put(&b, PDIR + i * 8, PTAB2 | 1);
    }
    put(&b, PDIR + 8, PTAB2 | 1);
    desc(&b, D_PC | G(3), 0);
    wait_desc(&b);
    set_pe(&b, 64, PE_P | PE_FS, 2, root);
    reaches(&b, 64, VA, DATA);
    qtest_memset(b.qts, PTAB3, 0, PAGE);
    for (i = 2; i < 16; i++) {
        put(&b, PDIR + i * 8, PTAB3 | 1);
    }
    for (i = 2; i < 16; i++) {
        if (dma_read(&b, i << 6, VA) == SVADEV_STATUS_OK) {
            g_assert_cmpint(i, <, 8);
            n++;
        } else {
            clear_faults(&b);
        }
    }
    g_assert_cmpint(n, >, 0);
    g_assert_cmpint(n, <, 6);
    stop(&b);
}

/* While a PASID entry is changed, what came of it may have been evicted */
static void test_evict(void)
{
    Bench b = start_with(",x-wild=512");
    uint64_t old = one_page(&b, 1, 2, DATA), new = new_table(&b);
    int round, walked = 0;

    map(&b, new, VA, (DATA + PAGE) | RW);
    for (round = 0; round < 32; round++) {
        set_pe(&b, 1, PE_P | PE_FS, 2, old);
        desc(&b, D_IOTLB | G(1), 0);
        flush_pasid(&b, 2, 1);
        wait_desc(&b);
        reaches(&b, 1, VA, DATA);

        /* The entry is held with its new table, the IOTLB has the old page */
        put(&b, pe_of(1) + 16, new);
        flush_pasid(&b, 2, 1);
        wait_desc(&b);
        put(&b, DATA, 0);
        put(&b, DATA + PAGE, 0);
        dma_write(&b, 1, VA, 1);
        g_assert_cmphex(get(&b, DATA), ==, 1);

        put(&b, pe_of(1), PE_FS);
        dma_write(&b, 1, VA, 2);
        g_assert_cmphex(get(&b, DATA) + get(&b, DATA + PAGE), >=, 2);
        walked += get(&b, DATA + PAGE) == 2;
    }
    g_assert_cmpint(walked, >, 0);
    g_assert_cmpint(walked, <, 32);
    stop(&b);
}

/* A PASID entry that is changed while it is present may be read in pieces */
static void test_torn(void)
{
    Bench b = start_with(",x-wild=128");
    uint64_t old = one_page(&b, 1, 2, DATA), new = new_table(&b);
    int i, round, mixed = 0, is_new = 0, is_old = 0;

    map(&b, new, VA, (DATA + PAGE) | RW);
    for (round = 0; round < 64; round++) {
        set_pe(&b, 1, PE_P | PE_FS, 2, old);
        desc(&b, D_IOTLB | G(1), 0);
        flush_pasid(&b, 2, 1);
        flush_pasid(&b, 3, 1);
        wait_desc(&b);
        reaches(&b, 1, VA, DATA);
        g_assert_cmpuint(counter(&b, "pasid.torn"), ==, mixed + is_new);

        /* Domain and table in place; by DID 2 the IOTLB has the old page */
        put(&b, pe_of(1) + 8, 3);
        put(&b, pe_of(1) + 16, new);
        put(&b, DATA, 0);
        put(&b, DATA + PAGE, 0);
        dma_write(&b, 1, VA, 1);
        g_assert_cmphex(get(&b, DATA) + get(&b, DATA + PAGE), ==, 1);
        i = counter(&b, "pasid.torn") - mixed - is_new;
        if (!i) {
            g_assert_cmphex(get(&b, DATA), ==, 1);
            is_old++;
            continue;
        }
        /* One of four: domain and table are each of the old or the new entry */
        if (get(&b, DATA + PAGE)) {
            is_new++;
        } else {
            mixed++;
        }
    }
    g_test_message("old %d new %d mixed %d", is_old, is_new, mixed);
    g_assert_cmpint(is_old, >, 0);
    g_assert_cmpint(is_new, >, 0);
    g_assert_cmpint(mixed, >, 0);
    stop(&b);

    /* The way that is always right */
    b = start_with(",x-wild=192");
    old = one_page(&b, 1, 2, DATA);
    new = new_table(&b);
    map(&b, new, VA, (DATA + PAGE) | RW);
    for (round = 0; round < 64; round++) {
        reaches(&b, 1, VA, DATA);
        put(&b, pe_of(1), PE_FS);
        if (dma_write(&b, 1, VA, 1) != SVADEV_STATUS_OK) {
            expect_fault(&b, 1, VA, true, F_PE_P);
        }
        flush_pasid(&b, 2, 1);
        flush_all_of(&b, 2, 1);
        wait_desc(&b);
        for (i = 0; i < 64; i += 8) {
            put(&b, pe_of(1) + i, 0);
            faults(&b, 1, VA, F_PE_P);
        }
        put(&b, pe_of(1) + 8, 3);
        faults(&b, 1, VA, F_PE_P);
        put(&b, pe_of(1) + 16, new);
        faults(&b, 1, VA, F_PE_P);
        put(&b, pe_of(1), PE_P | PE_FS);
        reaches(&b, 1, VA, DATA + PAGE);
        put(&b, pe_of(1), 0);
        flush_pasid(&b, 3, 1);
        flush_all_of(&b, 3, 1);
        wait_desc(&b);
        set_pe(&b, 1, PE_P | PE_FS, 2, old);
    }
    stop(&b);
}

#define WAIT_1MS    ",x-wait-ns=1000000"

/* A wait descriptor completes later than the store to the tail register */
static void test_wait_time(void)
{
    Bench b = start_with(WAIT_1MS);
    uint64_t root = one_page(&b, 1, 2, DATA);

    reaches(&b, 1, VA, DATA);
    map(&b, root, VA, 0);

    /* What follows in the queue waits too */
    flush_pages(&b, 2, 1, VA, 0, 0);
    start_wait(&b);
    start_wait(&b);
    qtest_clock_step(b.qts, 990000);
    g_assert_cmphex(get(&b, VTD + IQH), ==, (b.tail - 2) << 5);
    g_assert_cmphex(qtest_readl(b.qts, STATUS), ==, b.waits - 2);
    qtest_clock_step(b.qts, 20000);
    g_assert_cmphex(get(&b, VTD + IQH), ==, (b.tail - 1) << 5);
    g_assert_cmphex(qtest_readl(b.qts, STATUS), ==, b.waits - 1);
    qtest_clock_step(b.qts, 1000000);
    g_assert(!wait_is_pending(&b));
    g_assert_cmphex(qtest_readl(b.qts, STATUS), ==, b.waits);
    faults(&b, 1, VA, F_FS_P);

    /* What was fetched is still used until then */
    map(&b, root, VA, DATA | RW);
    reaches(&b, 1, VA, DATA);
    map(&b, root, VA, 0);
    flush_pages(&b, 2, 1, VA, 0, 0);
    start_wait(&b);
    set_queue(&b, 0, 0, 1, 0);
    put(&b, page_reg(0, 0, SVADEV_OP), SVADEV_OP_WRITE);
    put(&b, page_reg(0, 0, SVADEV_DST), VA);
    put(&b, page_reg(0, 0, SVADEV_LEN), 8);
    put(&b, page_reg(0, 0, SVADEV_GO), SVADEV_GO_START);
    qtest_clock_step(b.qts, 900000);
    g_assert_cmpuint(status(&b, 0), ==, SVADEV_STATUS_OK);
    g_assert(wait_is_pending(&b));
    drain(&b);
    faults(&b, 1, VA, F_FS_P);

    /* The queue is not empty, so it cannot be disabled */
    start_wait(&b);
    set_reg(&b, GCMD, TE);
    g_assert_cmphex(reg(&b, GSTS) & QIE, ==, QIE);
    g_assert(wait_is_pending(&b));
    /* Not if software has removed the wait descriptor */
    put(&b, VTD + IQT, (b.tail - 1) << 5);
    set_reg(&b, GCMD, TE);
    g_assert_cmphex(reg(&b, GSTS) & QIE, ==, 0);
    qtest_clock_step(b.qts, 2000000);
    g_assert_cmphex(qtest_readl(b.qts, STATUS), ==, b.waits - 1);
    g_assert_cmphex(get(&b, VTD + IQH), ==, 0);
    b.tail = 0;
    put(&b, VTD + IQT, 0);
    set_reg(&b, GCMD, TE | QIE);
    start_wait(&b);
    qtest_clock_step(b.qts, 900000);
    g_assert(wait_is_pending(&b));
    drain(&b);

    /* A reset in the middle, and QEMU ends in the middle */
    start_wait(&b);
    qtest_system_reset(b.qts);
    qtest_clock_step(b.qts, 2000000);
    g_assert_cmphex(get(&b, VTD + IQH), ==, 0);
    g_assert_cmphex(qtest_readl(b.qts, STATUS), ==, b.waits - 1);
    stop(&b);
    b = start_with(WAIT_1MS);
    start_wait(&b);
    g_assert(wait_is_pending(&b));
    stop(&b);
}

/* Without x-wait-ns the time is seeded, and within bounds */
static uint64_t wait_times(const char *props)
{
    Bench b = start_with(props);
    uint64_t sum = 0;
    int i, us;

    for (i = 0; i < 8; i++) {
        start_wait(&b);
        for (us = 0; wait_is_pending(&b); us++) {
            g_assert_cmpint(us, <=, 200);
            qtest_clock_step(b.qts, 1000);
        }
        g_assert_cmpint(us, >=, 2);
        sum = sum * 201 + us;
    }
    stop(&b);
    return sum;
}

static void test_wait_seed(void)
{
    uint64_t one = wait_times(",x-seed=1");

    g_assert_cmphex(one, ==, wait_times(",x-seed=1"));
    g_assert_cmphex(one, !=, wait_times(",x-seed=2"));
}

/* An invalidation may act before its wait: what is fetched then stays */
static void test_early(void)
{
    Bench b = start_with(",x-wild=1");
    uint64_t root = one_page(&b, 1, 2, DATA);
    int i, early = 0;

    for (i = 0; i < 32; i++) {
        map(&b, root, VA, DATA | RW);
        flush_all_of(&b, 2, 1);
        wait_desc(&b);
        flush_all_of(&b, 2, 1);
        wait_desc(&b);
        reaches(&b, 1, VA, DATA);

        flush_pages(&b, 2, 1, VA, 0, 0);
        map(&b, root, VA, (DATA + PAGE) | RW);
        put(&b, DATA, 0);
        g_assert_cmpuint(dma_write(&b, 1, VA, 1), ==, SVADEV_STATUS_OK);
        if (!get(&b, DATA)) {
            /* It has acted: it does not cover what was fetched since */
            early++;
            map(&b, root, VA, 0);
        }
        wait_desc(&b);
        reaches(&b, 1, VA, DATA + PAGE);
        g_assert_cmpuint(counter(&b, "stale.tlb"), ==, i + 1);
    }
    g_assert_cmpint(early, >, 0);
    g_assert_cmpint(early, <, 32);
    stop(&b);
}

/*
 * IOTLB in front of PASID cache: in one of the two orders recent requests refill
 * the IOTLB through the PASID entry that is still held. The other way round they
 * are in order (6.5.2.11).
 */
static void test_refill(void)
{
    Bench b = start_with(",x-wild=6");
    uint64_t root, want;
    int i, refilled = 0;
    bool wrong;

    for (i = 0; i < 64; i++) {
        wrong = i < 32;
        root = one_page(&b, 1, 2, DATA);
        reaches(&b, 1, VA, DATA);
        want = get(&b, pte(&b, root, VA));
        put(&b, pe_of(1), 0);
        if (!wrong) {
            flush_pasid(&b, 2, 1);
        }
        flush_all_of(&b, 2, 1);
        if (wrong) {
            flush_pasid(&b, 2, 1);
        }
        wait_desc(&b);
        g_assert_cmphex(get(&b, pte(&b, root, VA)), ==, want);
        if (wrong) {
            audit(&b);
            refilled += !!counter(&b, "left.tlb");
        } else {
            left(&b, 0, 0, 0, 0);
        }
        flush_all_of(&b, 2, 1);
        wait_desc(&b);
    }
    g_assert_cmpint(refilled, >, 0);
    g_assert_cmpint(refilled, <, 32);
    /* By nothing that is counted: each round is one miss */
    g_assert_cmpuint(counter(&b, "tlb.miss"), ==, 64);
    g_assert_cmpuint(counter(&b, "tlb.hit"), ==, 0);
    g_assert_cmpuint(counter(&b, "pasid.miss"), ==, 64);
    g_assert_cmpuint(counter(&b, "stale.cfg"), ==, 0);

    /* No Accessed bit is set: what has none is not fetched */
    root = one_page(&b, 1, 2, DATA);
    reaches(&b, 1, VA, DATA);
    map(&b, root, VA, (DATA + PAGE) | RW);
    flush_all_of(&b, 2, 1);
    flush_all_of(&b, 2, 1);
    wait_desc(&b);
    g_assert_cmphex(get(&b, pte(&b, root, VA)), ==, (DATA + PAGE) | RW);
    left(&b, 0, 0, 0, 0);
    reaches(&b, 1, VA, DATA + PAGE);
    stop(&b);
}

/* Two functions, one process: its translations are shared */
static void test_shared(void)
{
    Bench b = start();
    uint64_t misses;

    one_page(&b, 1, 2, DATA);
    reaches(&b, 1, VA, DATA);
    misses = counter(&b, "tlb.miss");
    set_queue(&b, 1, 0, 1, 0);
    g_assert_cmpuint(start_op(&b, 1, 0, SVADEV_OP_WRITE, VA, 5), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmpuint(counter(&b, "tlb.miss"), ==, misses);
    stop(&b);
}

static void test_overflow_of_caches(void)
{
    Bench b = start_with(",x-strict-size=8");
    uint64_t root = one_page(&b, 1, 2, DATA);
    int i;

    for (i = 0; i < 8; i++) {
        map(&b, root, VA + i * PAGE, (DATA + i * PAGE) | RW);
        reaches(&b, 1, VA + i * PAGE, DATA + i * PAGE);
    }
    g_assert_cmpuint(counter(&b, "tlb.full"), ==, 0);
    map(&b, root, VA + i * PAGE, (DATA + i * PAGE) | RW);
    reaches(&b, 1, VA + i * PAGE, DATA + i * PAGE);
    g_assert_cmpuint(counter(&b, "tlb.full"), ==, 1);
    stop(&b);
}

/* The queue */

static void test_wait(void)
{
    Bench b = start();

    desc(&b, D_WAIT | WAIT_FN, 0);
    desc(&b, D_WAIT | WAIT_FN | WAIT_SW | 5ull << 32, STATUS);
    drain(&b);
    g_assert_cmphex(qtest_readl(b.qts, STATUS), ==, 5);
    desc(&b, D_WAIT | WAIT_PD | WAIT_SW | 6ull << 32, STATUS);
    drain(&b);
    g_assert_cmphex(qtest_readl(b.qts, STATUS), ==, 6);
    g_assert_cmphex(reg(&b, ICS), ==, 0);
    desc(&b, D_WAIT | WAIT_IF, 0);
    drain(&b);
    g_assert_cmphex(reg(&b, ICS), ==, 1);
    set_reg(&b, ICS, 1);
    g_assert_cmphex(reg(&b, ICS), ==, 0);
    g_assert_cmpuint(counter(&b, "cmd.wait"), ==, 3);
    g_assert_cmpuint(counter(&b, "cmd.fence"), ==, 1);
    g_assert_cmpuint(counter(&b, "drain.done"), ==, 1);
    stop(&b);
}

static void still_old(Bench *b)
{
    reaches(b, 1, VA, DATA);
}

/* A wait descriptor in error is none */
static void test_bad_wait(void)
{
    static const struct {
        uint64_t val0, val1;
    } bad[] = {
        { D_WAIT, STATUS },
        { D_WAIT | WAIT_PD, STATUS },
        { D_WAIT | WAIT_SW | 1 << 8, STATUS },
        { D_WAIT | WAIT_SW, STATUS | 1 },
    };
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA);
    int i;

    for (i = 0; i < ARRAY_SIZE(bad); i++) {
        g_test_message("case %d", i);
        map(&b, root, VA, DATA | RW);
        flush_pages(&b, 2, 1, VA, 0, 0);
        wait_desc(&b);
        reaches(&b, 1, VA, DATA);
        map(&b, root, VA, (DATA + PAGE) | RW);
        flush_pages(&b, 2, 1, VA, 0, 0);
        bad_desc(&b, bad[i].val0, bad[i].val1, still_old);
        reaches(&b, 1, VA, DATA + PAGE);
    }
    g_assert_cmpuint(counter(&b, "drain.done"), ==, 0);
    stop(&b);
}

static void test_bad_descriptors(void)
{
    static const struct {
        uint64_t val0, val1;
    } bad[] = {
        { 0, 0 },
        { 0xa, 0 },
        { 0xf, 0 },
        { D_CC | 7 << 9, 0 },
        { D_WAIT, 0 },
        { D_CC, 0 },
        { D_CC | G(1), 1 },
        { D_IOTLB, 0 },
        { D_IOTLB | G(3), 19 },
        { D_IOTLB | G(3), 63 },
        { D_PIOTLB | G(0), 0 },
        { D_PIOTLB | G(1), 0 },
        { D_PIOTLB | G(3), 19 },
        { D_PIOTLB | G(3), 31 },
        { D_PIOTLB | G(3), 63 },
        { D_PIOTLB | G(2) | 1ull << 63, 0 },
        { D_PC | G(2), 0 },
        { D_PC | G(3), 1 },
        { D_PC | G(3) | 1ull << 52, 0 },
        { D_DEV | 1ull << 63, 0 },
        { D_DEV_PIOTLB | 1ull << 52, 0 },
        { D_PGRESP | 1 << 6, 0 },
        { D_PGRESP, 1 },
        { D_PGRESP, 1 << 12 },
    };
    Bench b = start();
    int i;

    for (i = 0; i < ARRAY_SIZE(bad); i++) {
        g_test_message("case %d", i);
        bad_desc(&b, bad[i].val0, bad[i].val1, NULL);
    }
    /* None has been counted but for the good ones made of them */
    g_assert_cmpuint(counter(&b, "cmd.wait"), ==, ARRAY_SIZE(bad));
    g_assert_cmpuint(counter(&b, "cmd.context"), ==, 0);
    g_assert_cmpuint(counter(&b, "cmd.iotlb"), ==, 0);
    g_assert_cmpuint(counter(&b, "cmd.piotlb"), ==, 0);
    g_assert_cmpuint(counter(&b, "cmd.response"), ==, 0);

    /* The upper half of a descriptor */
    put(&b, QUEUE + b.tail * 32 + 16, 1);
    put(&b, QUEUE + b.tail * 32, D_PC | G(3));
    put(&b, QUEUE + b.tail * 32 + 8, 0);
    b.tail++;
    put(&b, VTD + IQT, b.tail << 5);
    g_assert_cmphex(reg(&b, FSTS) & FSTS_IQE, ==, FSTS_IQE);
    put(&b, QUEUE + (b.tail - 1) * 32 + 16, 0);
    set_reg(&b, FSTS, FSTS_IQE);
    put(&b, VTD + IQT, b.tail << 5);
    wait_desc(&b);
    stop(&b);
}

/* The way without a queue */
static void test_context_register(void)
{
    Bench b = start();

    one_page(&b, 1, 2, DATA);
    reaches(&b, 1, VA, DATA);
    wait_desc(&b);
    set_reg(&b, GCMD, TE);
    set_context(&b, SID, 0);
    /* A granularity that is reserved: nothing is done, and so it says */
    put(&b, VTD + CCMD, 1ull << 63);
    g_assert_cmphex(extract64(get(&b, VTD + CCMD), 59, 2), ==, 0);
    reaches(&b, 1, VA, DATA);
    put(&b, VTD + CCMD, 1ull << 63 | 3ull << 61 | SID2 << 16);
    reaches(&b, 1, VA, DATA);
    put(&b, VTD + CCMD, 1ull << 63 | 3ull << 61 | SID << 16);
    faults(&b, 1, VA, F_CE_P);
    stop(&b);
}

/* ATS */

#define ATS     (SVADEV_Q_MODE_ATS | SVADEV_Q_MODE_MISS_FAIL)
#define PRI     (SVADEV_Q_MODE_ATS | SVADEV_Q_MODE_MISS_PRI)

static uint64_t ats_write(Bench *b, int pasid, uint64_t va, uint64_t value)
{
    set_queue(b, 0, 1, pasid, ATS);
    return start_op(b, 0, 1, SVADEV_OP_WRITE, va, value);
}

static void test_ats(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), at = pte(&b, root, VA);

    one_page(&b, 0, 1, DATA + PAGE);
    g_assert_cmpuint(ats_write(&b, 1, VA, 7), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(get(&b, DATA), ==, 7);
    g_assert_cmphex(get(&b, at), ==, DATA | RW | A | D);
    g_assert_cmpuint(ats_write(&b, UNTAGGED, VA, 8), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(get(&b, DATA + PAGE), ==, 8);
    g_assert_cmpuint(counter(&b, "ats.ok"), ==, 2);

    /* What a page request may cure is not recorded */
    g_assert_cmpuint(ats_write(&b, 1, VA + PAGE, 7), ==, SVADEV_STATUS_FAULT);
    map(&b, root, VA + 2 * PAGE, DATA | P | U);
    g_assert_cmpuint(ats_write(&b, 1, VA + 2 * PAGE, 7), ==,
                     SVADEV_STATUS_FAULT);
    no_fault(&b);
    /* What it may not cure is */
    g_assert_cmpuint(ats_write(&b, 9, VA, 7), ==, SVADEV_STATUS_FAULT);
    expect_fault(&b, 9, VA, true, F_PE_P);
    stop(&b);
}

static uint64_t dev_counter(Bench *b, const char *name)
{
    return stat_of(b, "/machine/peripheral/dev0", name);
}

/* Entries of the device TLB that differ from memory, by an audit */
static uint64_t audit_device_tlb(Bench *b)
{
    qtest_writel(b->qts, MMIO + SVADEV_STAT_LATCH, SVADEV_STAT_LATCH_AUDIT);
    return dev_counter(b, "left.atc");
}

/* svadev finds out what its cache should not hold any more */
static void test_stale_device_tlb(void)
{
    static const struct {
        uint64_t entry;
        bool stale;
    } cases[] = {
        { DATA | RW | A | D, false },
        { DATA | RW | D, false },
        /* Software has seen it clean: it would lose what is written */
        { DATA | RW | A, true },
        { DATA | P | U, true },
        { DATA | P | W | A | D, true },
        { (DATA + PAGE) | RW, true },
        { 0, true },
    };
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), at = pte(&b, root, VA), stale;
    int i;

    g_assert_cmpuint(ats_write(&b, 1, VA, 7), ==, SVADEV_STATUS_OK);
    for (i = 0; i < ARRAY_SIZE(cases); i++) {
        g_test_message("case %d", i);
        stale = dev_counter(&b, "stale.atc");
        put(&b, at, cases[i].entry);
        /* without a hit */
        g_assert_cmpuint(audit_device_tlb(&b), ==, cases[i].stale);
        g_assert_cmpuint(dev_counter(&b, "stale.atc"), ==, stale);
        g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 7), ==,
                         SVADEV_STATUS_OK);
        g_assert_cmpuint(dev_counter(&b, "stale.atc"), ==,
                         stale + cases[i].stale);
    }
    stop(&b);
}

/*
 * A large page that was written to is split into clean ones, as Linux does
 * with no invalidation: what is cached is right, and not late at an unmap.
 */
static void test_split_dirty(void)
{
    Bench b = start_with(",x-wait-ns=1000");
    uint64_t root = new_table(&b), table = new_table(&b), pd, stale;
    int i;

    set_pe(&b, 1, PE_P | PE_FS, 2, root);
    pd = entry(&b, root, 4, VA, 2);
    put(&b, pd, DATA | RW | PS);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(ats_write(&b, 1, VA, 7), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(get(&b, pd) & D, ==, D);

    for (i = 0; i < 512; i++) {
        put(&b, table + i * 8, (DATA + i * PAGE) | RW);
    }
    put(&b, pd, table | RW);
    left(&b, 0, 0, 0, 0);
    g_assert_cmpuint(audit_device_tlb(&b), ==, 0);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 7), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, 0);
    g_assert_cmpuint(dev_counter(&b, "stale.atc"), ==, 0);

    /* One that differs, and is the same again at an audit */
    put(&b, table, 0);
    left(&b, 0, 0, 1, 0);
    g_assert_cmpuint(audit_device_tlb(&b), ==, 1);
    put(&b, table, DATA | RW);
    left(&b, 0, 0, 0, 0);
    g_assert_cmpuint(audit_device_tlb(&b), ==, 0);

    pass_ms(&b, 1100);
    wait_desc(&b);
    put(&b, table, 0);
    stale = counter(&b, "stale.tlb");
    dma_write(&b, 1, VA, 1);
    g_assert_cmpuint(counter(&b, "stale.tlb"), ==, stale + 1);
    start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 7);
    g_assert_cmpuint(dev_counter(&b, "stale.atc"), ==, 1);
    flush_pages(&b, 2, 1, VA, 0, 0);
    flush_dev(&b, 1, VA, false);
    wait_desc(&b);
    g_assert_cmpuint(counter(&b, "late.tlb"), ==, 0);
    g_assert_cmpuint(dev_counter(&b, "late.atc"), ==, 0);
    left(&b, 0, 0, 0, 0);
    g_assert_cmpuint(audit_device_tlb(&b), ==, 0);
    stop(&b);
}

static void late_device_hit(Bench *b, uint64_t late)
{
    start_op(b, 0, 1, SVADEV_OP_WRITE, VA, 7);
    g_assert_cmpuint(dev_counter(b, "late.atc"), ==, late);
}

/* As test_late(), of a device's TLB: there is time to repeat what is dropped */
static void test_late_device_tlb(void)
{
    Bench b = start_with(",x-wait-ns=1000,x-timeout-ns=50000000");
    uint64_t root = one_page(&b, 1, 2, DATA);

    g_assert_cmpuint(ats_write(&b, 1, VA, 7), ==, SVADEV_STATUS_OK);
    map(&b, root, VA, (DATA + PAGE) | RW);
    late_device_hit(&b, 0);
    wait_desc(&b);
    late_device_hit(&b, 0);
    pass_ms(&b, 1100);
    late_device_hit(&b, 0);
    wait_desc(&b);
    late_device_hit(&b, 1);
    flush_all_of(&b, 2, 1);
    flush_dev(&b, 1, VA, false);
    wait_desc(&b);
    late_device_hit(&b, 1);

    /* Found by an audit; the device does not answer */
    map(&b, root, VA, DATA | RW);
    g_assert_cmpuint(audit_device_tlb(&b), ==, 1);
    flush_all_of(&b, 2, 1);
    qtest_writel(b.qts, MMIO + SVADEV_INJECT, SVADEV_INJECT_INV_NEVER);
    flush_dev(&b, 1, VA, false);
    start_wait(&b);
    pass_ms(&b, 60);
    g_assert_cmphex(fsts(&b), ==, FSTS_ITE);
    set_reg(&b, FSTS, FSTS_ITE);
    qtest_writel(b.qts, MMIO + SVADEV_INJECT, 0);
    pass_ms(&b, 900);
    wait_desc(&b);
    late_device_hit(&b, 1);
    /* Software that does not repeat it in time has lost it, whatever it does */
    pass_ms(&b, 200);
    flush_dev(&b, 1, VA + PAGE, false);
    wait_desc(&b);
    late_device_hit(&b, 2);
    flush_dev(&b, 1, 0, true);
    wait_desc(&b);
    late_device_hit(&b, 2);
    map(&b, root, VA, (DATA + PAGE) | RW);
    late_device_hit(&b, 2);
    pass_ms(&b, 1100);
    wait_desc(&b);
    late_device_hit(&b, 3);
    stop(&b);
}

/* A part of a large page differs; once it is the same again, another one does */
static void test_late_large(void)
{
    Bench b = start_with(",x-wait-ns=1000");
    uint64_t root = new_table(&b), table = new_table(&b), pd;
    int i;

    set_pe(&b, 1, PE_P | PE_FS, 2, root);
    pd = entry(&b, root, 4, VA, 2);
    put(&b, pd, DATA | RW | PS);
    reaches(&b, 1, VA, DATA);
    g_assert_cmpuint(ats_write(&b, 1, VA, 7), ==, SVADEV_STATUS_OK);
    for (i = 0; i < 512; i++) {
        put(&b, table + i * 8, (DATA + i * PAGE) | RW);
    }
    put(&b, pd, table | RW);

    for (i = 5; i < 7; i++) {
        put(&b, table + i * 8, 0);
        reaches(&b, 1, VA + i * PAGE, DATA + i * PAGE);
        start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + i * PAGE, 7);
        g_assert_cmpuint(counter(&b, "stale.tlb"), ==, i - 4);
        g_assert_cmpuint(dev_counter(&b, "stale.atc"), ==, i - 4);
        put(&b, table + i * 8, (DATA + i * PAGE) | RW);
        pass_ms(&b, 1100);
        wait_desc(&b);
    }
    g_assert_cmpuint(counter(&b, "late.tlb"), ==, 0);
    g_assert_cmpuint(dev_counter(&b, "late.atc"), ==, 0);
    stop(&b);
}

/* A small page that may be read, then a large one that may be written, too */
static void test_device_tlb_sizes(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), oks;

    map(&b, root, VA, DATA | P | U);
    set_queue(&b, 0, 1, 1, ATS);
    g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_READ, VA, 0), ==,
                     SVADEV_STATUS_OK);
    put(&b, entry(&b, root, 4, VA, 2), DATA | RW | PS);
    desc(&b, D_IOTLB | G(1), 0);
    wait_desc(&b);
    g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 1), ==,
                     SVADEV_STATUS_OK);
    oks = dev_counter(&b, "ats.ok");
    g_assert_cmpuint(oks, ==, 2);
    g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 2), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmphex(get(&b, DATA), ==, 2);
    g_assert_cmpuint(dev_counter(&b, "ats.ok"), ==, oks);
    stop(&b);
}

static void test_device_tlb(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), at = pte(&b, root, VA);
    uint64_t oks;
    int i;

    for (i = 0; i < 3; i++) {
        put(&b, at, DATA | RW);
        desc(&b, D_IOTLB | G(1), 0);
        flush_dev(&b, 1, 0, true);
        wait_desc(&b);
        g_assert_cmpuint(ats_write(&b, 1, VA, 1), ==, SVADEV_STATUS_OK);
        oks = counter(&b, "ats.ok");

        put(&b, at, (DATA + PAGE) | RW);
        put(&b, DATA, 0);
        flush_pages(&b, 2, 1, VA, 0, 0);
        wait_desc(&b);
        set_queue(&b, 0, 0, 1, 0);
        /* The queue has been left alone, so its cache has too */
        start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 2);
        g_assert_cmphex(get(&b, DATA), ==, 2);
        g_assert_cmpuint(counter(&b, "ats.ok"), ==, oks);

        /* Not for it */
        flush_dev(&b, 2, VA, false);
        flush_dev(&b, 1, VA + PAGE, false);
        desc(&b, D_DEV_PIOTLB | SID2 << 16 | 1ull << 32, VA);
        desc(&b, D_DEV | (uint64_t)SID << 32, VA);
        wait_desc(&b);
        start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 3);
        g_assert_cmphex(get(&b, DATA), ==, 3);

        switch (i) {
        case 0:
            flush_dev(&b, 1, VA, false);
            break;
        case 1:
            flush_dev(&b, 1, 0, true);
            break;
        case 2: /* all PASIDs */
            desc(&b, D_DEV_PIOTLB | SID << 16, VA | 1);
            break;
        }
        start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 4);
        g_assert_cmphex(get(&b, DATA), ==, 4);
        wait_desc(&b);
        start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 5);
        g_assert_cmphex(get(&b, DATA), ==, 4);
        g_assert_cmphex(get(&b, DATA + PAGE), ==, 5);
    }
    stop(&b);
}

/* Translations that are asked for ahead of use are held like the others */
static void test_ahead(void)
{
    Bench b = start_with(" -global svadev.x-wild=2");
    uint64_t root = one_page(&b, 1, 2, DATA), va, ahead, ok, held;
    int i, j;

    for (i = 0; i < 8; i++) {
        for (j = 0; j < 8; j++) {
            map(&b, root, VA + (i * 8 + j) * PAGE,
                (DATA + (i * 8 + j) * PAGE) | RW);
        }
    }
    set_queue(&b, 0, 1, 1, ATS);
    for (i = 0, held = 0; i < 8; i++, held = 0) {
        va = VA + i * 8 * PAGE;
        ahead = dev_counter(&b, "atc.ahead");
        ok = counter(&b, "ats.ok");
        g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, va, 1), ==,
                         SVADEV_STATUS_OK);
        held = dev_counter(&b, "atc.ahead") - ahead;
        g_assert_cmpuint(held, <, 8);
        g_assert_cmpuint(counter(&b, "ats.ok"), ==, ok + 1 + held);

        /* An audit finds them, and an invalidation drops them */
        for (j = 0; j < 8; j++) {
            put(&b, pte(&b, root, va + j * PAGE), 0);
        }
        g_assert_cmpuint(audit_device_tlb(&b), ==, 1 + held);
        flush_pages(&b, 2, 1, va, 3, 0);
        for (j = 7; j >= 0; j--) {
            flush_dev(&b, 1, va + j * PAGE, false);
            wait_desc(&b);
            g_assert_cmpuint(audit_device_tlb(&b), ==, MIN(j, 1 + held));
        }
    }
    g_assert_cmpuint(dev_counter(&b, "atc.ahead"), >, 0);

    /* They end where addresses do, and at what is not mapped */
    map(&b, root, 0x7ffffffff000ull, DATA | RW);
    for (i = 0; i < 8; i++) {
        flush_dev(&b, 1, 0, true);
        wait_desc(&b);
        g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, 0x7ffffffff000ull,
                                  1), ==, SVADEV_STATUS_OK);
    }
    stop(&b);
}

/*
 * A device that is told to forget before the IOMMU is, and that asks again in
 * between, is given what the IOMMU has not forgotten
 */
static void test_order(void)
{
    static const struct {
        /* p: PIOTLB, P: of all pages, I: IOTLB, d: device-TLB, D: of all */
        const char *descs;
        bool dropped;
    } cases[] = {
        { "pd", true },
        { "PD", true },
        { "Id", true },
        { "dp", false },
        { "dP", false },
        { "dI", false },
        { "Dp", false },
        { "DP", false },
        { "dpd", true },
        { "pdp", true },
        { "pdP", true },
        { "do", true },
        { "oDp", false },
        /* of another domain, of another PASID */
        { "pdx", true },
        { "dx", true },
        { "dy", true },
        { "d", true },
    };
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), at = pte(&b, root, VA);
    uint64_t stale, early;
    const char *c;
    int i;

    set_queue(&b, 0, 1, 1, ATS);
    for (i = 0; i < ARRAY_SIZE(cases); i++) {
        g_test_message("%s", cases[i].descs);
        put(&b, at, DATA | RW);
        flush_all_of(&b, 2, 1);
        flush_dev(&b, 1, 0, true);
        wait_desc(&b);
        g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 1), ==,
                         SVADEV_STATUS_OK);

        stale = dev_counter(&b, "stale.atc");
        early = counter(&b, "dev_tlb.early");
        put(&b, at, (DATA + PAGE) | RW);
        put(&b, DATA, 0);
        if (!strchr(cases[i].descs, 'p') && !strchr(cases[i].descs, 'P') &&
            !strchr(cases[i].descs, 'I')) {
            flush_pages(&b, 2, 1, VA, 0, 0);
            wait_desc(&b);
        }
        for (c = cases[i].descs; *c; c++) {
            switch (*c) {
            case 'p':
                flush_pages(&b, 2, 1, VA, 0, 0);
                break;
            case 'o':
                flush_pages(&b, 2, 1, VA + PAGE, 0, 0);
                break;
            case 'P':
                flush_all_of(&b, 2, 1);
                break;
            case 'x':
                flush_all_of(&b, 3, 1);
                break;
            case 'y':
                flush_all_of(&b, 2, 3);
                break;
            case 'I':
                desc(&b, D_IOTLB | G(2) | 2 << 16, 0);
                break;
            case 'd':
                flush_dev(&b, 1, VA, false);
                break;
            case 'D':
                flush_dev(&b, 1, 0, true);
                break;
            }
        }
        wait_desc(&b);
        start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 2);
        g_assert_cmphex(get(&b, DATA), ==, !cases[i].dropped * 2);
        g_assert_cmpuint(dev_counter(&b, "stale.atc"),
                         ==, stale + !cases[i].dropped);
        g_assert_cmpuint(counter(&b, "dev_tlb.early"), ==, early +
                         (!cases[i].dropped || !strcmp(cases[i].descs, "dpd")));
    }
    stop(&b);
}

/* An entry may be fetched between two stores to it, if it is present then */
static void test_stores(void)
{
    Bench b = start_with(",x-wild=256");
    uint64_t old = one_page(&b, 1, 2, DATA), new = new_table(&b);
    int round, torn = 0;

    map(&b, new, VA, (DATA + PAGE) | RW);
    /* Stores are seen from the first request on */
    reaches(&b, 1, VA, DATA);
    qtest_clock_step(b.qts, 1000);
    for (round = 0; round < 64; round++) {
        flush_all_of(&b, 2, 2);
        flush_all_of(&b, 3, 2);
        wait_desc(&b);

        if (round & 1) {
            /* P last: all or nothing */
            set_pe(&b, 2, PE_P | PE_FS, 3, new);
            reaches(&b, 2, VA, DATA + PAGE);
        } else {
            /* P first */
            put(&b, pe_of(2), PE_P | PE_FS);
            put(&b, pe_of(2) + 8, 3);
            put(&b, pe_of(2) + 16, new);
            if (dma_write(&b, 2, VA, 1) != SVADEV_STATUS_OK) {
                clear_faults(&b);
                torn++;
            }
        }
        put(&b, pe_of(2), 0);
        desc(&b, D_PC | G(0), 0);
        flush_pasid(&b, 3, 2);
        wait_desc(&b);
        put(&b, pe_of(2) + 8, 0);
        put(&b, pe_of(2) + 16, 0);
        faults(&b, 2, VA, F_PE_P);
    }
    g_assert_cmpint(torn, >, 0);
    g_assert_cmpint(torn, <, 32);

    clear_faults(&b);
    stop(&b);

    /* A table is referred to before the new entry is in it, or after */
    b = start_with(",x-wild=384");
    old = one_page(&b, 1, 2, DATA);
    new = new_table(&b);
    map(&b, new, VA, (DATA + PAGE) | RW);
    for (round = 0; round < 128; round++) {
        set_pe(&b, 1, PE_P | PE_FS, 2, old);
        put(&b, PDIR, PTAB | 1);
        desc(&b, D_PC | G(3), 0);
        wait_desc(&b);
        reaches(&b, 1, VA, DATA);
        qtest_clock_step(b.qts, 1000);
        if (round == 64) {
            g_assert_cmpuint(counter(&b, "pasid.torn"), ==, 0);
        }
        put(&b, PTAB3 + 64 + 8, round < 64 ? 3 : 2);
        put(&b, PTAB3 + 64 + 16, round < 64 ? new : old);
        put(&b, PTAB3 + 64, PE_P | PE_FS);
        put(&b, PDIR, PTAB3 | 1);
        put(&b, PTAB3 + 64 + 8, 3);
        put(&b, PTAB3 + 64 + 16, new);
        dma_write(&b, 1, VA, 1);
        desc(&b, D_PC | G(3), 0);
        desc(&b, D_IOTLB | G(1), 0);
        wait_desc(&b);
        reaches(&b, 1, VA, DATA + PAGE);
    }
    g_assert_cmpuint(counter(&b, "pasid.torn"), >, 0);
    stop(&b);

    /* A table that is freed is memory as any other: that of pages, maybe */
    b = start_with(",x-wild=256");
    old = one_page(&b, 1, 2, DATA);
    reaches(&b, 1, VA, DATA);
    qtest_clock_step(b.qts, 1000);
    qtest_memset(b.qts, PTAB3, 0, PAGE);
    put(&b, PTAB3 + 64 + 8, 2);
    put(&b, PTAB3 + 64 + 16, old);
    put(&b, PTAB3 + 64, PE_P | PE_FS);
    put(&b, PDIR, PTAB3 | 1);
    desc(&b, D_PC | G(3), 0);
    wait_desc(&b);
    qtest_memset(b.qts, PTAB, 0, PAGE);
    put(&b, entry(&b, old, 4, VA + LARGE, 2), PTAB | RW);
    map(&b, old, VA + LARGE, (DATA + PAGE) | RW);
    reaches(&b, 1, VA + LARGE, DATA + PAGE);
    g_assert_cmphex(get(&b, pte(&b, old, VA + LARGE)) & (A | D), ==, A | D);
    /* A reset */
    reaches(&b, 1, VA, DATA);
    qtest_clock_step(b.qts, 1000);
    qtest_system_reset(b.qts);
    put(&b, PTAB3, 0x4321);
    g_assert_cmphex(get(&b, PTAB3), ==, 0x4321);
    stop(&b);
}

/* Regions that show stores are used again, and the lack of one is counted */
static void test_stores_many(void)
{
    static const char *const props[] = {
        ",x-wild=256", ",x-wild=256,x-watch-max=2",
    };
    int i, round;

    for (i = 0; i < ARRAY_SIZE(props); i++) {
        Bench b = start_with(props[i]);
        uint64_t root = one_page(&b, 1, 2, DATA), table, ahead;

        /* The same two tables, in turn */
        for (round = 0; round < 64; round++) {
            table = round & 1 ? PTAB3 : PTAB;
            put(&b, table + 64 + 8, 2);
            put(&b, table + 64 + 16, root);
            put(&b, table + 64, PE_P | PE_FS);
            put(&b, PDIR, table | 1);
            desc(&b, D_PC | G(3), 0);
            wait_desc(&b);
            reaches(&b, 1, VA, DATA);
            qtest_clock_step(b.qts, 1000);
            /* What is not a table any more is memory */
            put(&b, (table ^ PTAB ^ PTAB3) + 64, round);
            g_assert_cmpuint(get(&b, (table ^ PTAB ^ PTAB3) + 64), ==, round);
        }
        /* and a directory */
        g_assert_cmpuint(counter(&b, "watch.pages"), ==, 3 - i);
        if (i) {
            g_assert_cmpuint(counter(&b, "watch.full"), >, 0);
            stop(&b);
            continue;
        }
        g_assert_cmpuint(counter(&b, "watch.full"), ==, 0);

        /* Stores are still seen */
        ahead = counter(&b, "pasid.ahead");
        for (round = 0; round < 64; round++) {
            put(&b, PTAB3 + 128, PE_P | PE_FS);
        }
        g_assert_cmpuint(counter(&b, "pasid.ahead"), >, ahead);
        put(&b, PTAB3 + 128, 0);
        stop(&b);
    }
}

/*
 * How many of 8 accesses to VA that are in flight are over when the invalidation
 * @lo, @hi completes?
 */
static int over_by(Bench *b, uint64_t op, uint32_t mode, uint64_t lo,
                   uint64_t hi)
{
    int i, n = 0, over = 0;

    set_queue(b, 0, 0, 1, mode);
    for (i = 0; i < 1000 && n < 8; i++) {
        put(b, page_reg(0, 0, SVADEV_OP), op);
        put(b, page_reg(0, 0, SVADEV_SRC), VA);
        put(b, page_reg(0, 0, SVADEV_DST), VA);
        put(b, page_reg(0, 0, SVADEV_LEN), 8);
        put(b, page_reg(0, 0, SVADEV_GO), SVADEV_GO_START);
        /* As much time as a translation takes, and less than a flight */
        qtest_clock_step(b->qts, 1000);
        if (status(b, 0) == SVADEV_STATUS_BUSY) {
            n++;
            desc(b, lo, hi);
            start_wait(b);
            qtest_clock_step(b->qts, 10);
            while (wait_is_pending(b)) {
                qtest_clock_step(b->qts, 1000);
            }
            over += status(b, 0) == SVADEV_STATUS_OK;
        }
        qtest_clock_step(b->qts, 2000000);
        g_assert_cmpuint(status(b, 0), ==, SVADEV_STATUS_OK);
    }
    g_assert_cmpint(n, ==, 8);
    return over;
}

#define DW  (1ull << 6)
#define DR  (1ull << 7)

/* Reads and writes that were translated before are waited for, each if asked */
static void test_drain(void)
{
    static const struct {
        uint64_t op, flags;
        int over;
    } cases[] = {
        { SVADEV_OP_WRITE, 0, 0 },
        { SVADEV_OP_WRITE, DR, 0 },
        { SVADEV_OP_WRITE, DW, 8 },
        { SVADEV_OP_READ, DW, 0 },
        { SVADEV_OP_READ, DR, 8 },
        { SVADEV_OP_FETCH_ADD, DR, 8 },
        { SVADEV_OP_FETCH_ADD, DW, 8 },
        { SVADEV_OP_FETCH_ADD, 0, 0 },
    };
    Bench b = start_with(",x-wait-ns=1");
    int i;

    one_page(&b, 1, 2, DATA);
    for (i = 0; i < ARRAY_SIZE(cases); i++) {
        g_test_message("case %d", i);
        g_assert_cmpint(over_by(&b, cases[i].op, 0,
                                D_IOTLB | G(1) | cases[i].flags, 0), ==,
                        cases[i].over);
    }
    stop(&b);
}

/*
 * What a device has translated by its own TLB is waited for by its answer, not by
 * that of another one, nor by an IOTLB invalidation; and the answer does not wait
 * for what the unit has translated.
 */
static void test_drain_device(void)
{
    const uint64_t iotlb = D_IOTLB | G(1) | DW | DR;
    const uint64_t dev = D_DEV_PIOTLB | SID << 16 | 1ull << 32;
    const uint64_t other = D_DEV_PIOTLB | SID2 << 16 | 1ull << 32;
    Bench b = start_with(",x-wait-ns=1");

    one_page(&b, 1, 2, DATA);
    set_queue(&b, 1, 0, 1, ATS);
    g_assert_cmpint(over_by(&b, SVADEV_OP_WRITE, ATS, iotlb, 0), ==, 0);
    g_assert_cmpint(over_by(&b, SVADEV_OP_WRITE, ATS, dev, VA), ==, 8);
    g_assert_cmpint(over_by(&b, SVADEV_OP_READ, ATS, dev, VA), ==, 8);
    g_assert_cmpint(over_by(&b, SVADEV_OP_WRITE, ATS, other, VA), ==, 0);
    g_assert_cmpint(over_by(&b, SVADEV_OP_WRITE, 0, dev, VA), ==, 0);
    g_assert_cmpuint(counter(&b, "dev_tlb.timeout"), ==, 0);
    stop(&b);
}

/* Is there a region that shows stores to the page at @page? */
static bool is_watched(Bench *b, uint64_t page)
{
    g_autofree char *tree = qtest_hmp(b->qts, "info mtree -f");
    uint64_t last = page + PAGE - 1;
    g_autofree char *region =
        g_strdup_printf("%016" PRIx64 "-%016" PRIx64 " (prio 1, i/o): "
                        "vtd-watch", page, last);

    return strstr(tree, region);
}

/*
 * A table is taken away between the request that reads it and the time when
 * stores to it are to be seen: by that very request, which writes to the
 * directory.
 */
static void test_stores_freed(void)
{
    Bench b = start_with(",x-wild=256");
    uint64_t root = one_page(&b, 1, 2, DATA);

    reaches(&b, 1, VA, DATA);
    qtest_clock_step(b.qts, 1000);
    g_assert(is_watched(&b, PTAB));
    stop(&b);

    b = start_with(",x-wild=256,x-wait-ns=50000");
    root = one_page(&b, 1, 2, DATA);
    map(&b, root, VA + LARGE, PDIR | RW);
    put(&b, PTAB3 + 64 + 8, 2);
    put(&b, PTAB3 + 64 + 16, root);
    put(&b, PTAB3 + 64, PE_P | PE_FS);
    /* Complete after the request, at the same step */
    desc(&b, D_PC | G(3), 0);
    start_wait(&b);
    g_assert_cmpuint(dma_write(&b, 1, VA + LARGE, PTAB3 | 1), ==,
                     SVADEV_STATUS_OK);
    g_assert_cmphex(get(&b, PDIR), ==, PTAB3 | 1);
    g_assert(!wait_is_pending(&b));
    g_assert(!is_watched(&b, PTAB));

    reaches(&b, 1, VA, DATA);
    qtest_clock_step(b.qts, 1000);
    g_assert(is_watched(&b, PTAB3));
    g_assert(!is_watched(&b, PTAB));
    stop(&b);
}

/* In a range, a device keeps only what the IOTLB still has against memory */
static void test_order_pages(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), oks;
    int i;

    for (i = 0; i < 3; i++) {
        map(&b, root, VA + i * PAGE, (DATA + i * PAGE) | RW);
        g_assert_cmpuint(ats_write(&b, 1, VA + i * PAGE, 1), ==,
                         SVADEV_STATUS_OK);
    }
    map(&b, root, VA, (DATA + 8 * PAGE) | RW);
    map(&b, root, VA + PAGE, (DATA + 9 * PAGE) | RW);
    flush_pages(&b, 2, 1, VA, 0, 0);
    flush_dev(&b, 1, 0, true);
    flush_pages(&b, 2, 1, VA + PAGE, 0, 0);
    wait_desc(&b);
    oks = counter(&b, "ats.ok");
    for (i = 0; i < 3; i++) {
        g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + i * PAGE,
                                  2 + i), ==, SVADEV_STATUS_OK);
        g_assert_cmpuint(counter(&b, "ats.ok") - oks, ==, 1 + i / 2);
    }
    g_assert_cmphex(get(&b, DATA + 8 * PAGE), ==, 2);
    g_assert_cmphex(get(&b, DATA + PAGE), ==, 3);
    g_assert_cmphex(get(&b, DATA + 2 * PAGE), ==, 4);
    stop(&b);
}

/* A device asks again for some of very many pages: each costs the model time */
static void test_order_many(void)
{
    const int pages = 200, kept = 64;
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), oks;
    int i;

    for (i = 0; i < pages; i++) {
        map(&b, root, VA + i * PAGE, (DATA + i * PAGE) | RW);
        g_assert_cmpuint(ats_write(&b, 1, VA + i * PAGE, 1), ==,
                         SVADEV_STATUS_OK);
        map(&b, root, VA + i * PAGE, (DATA + (pages + i) * PAGE) | RW);
    }
    flush_dev(&b, 1, 0, true);
    flush_all_of(&b, 2, 1);
    wait_desc(&b);
    oks = counter(&b, "ats.ok");
    for (i = 0; i < pages; i++) {
        g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + i * PAGE,
                                  2), ==, SVADEV_STATUS_OK);
    }
    g_assert_cmpuint(counter(&b, "ats.ok"), ==, oks + pages - kept);
    stop(&b);
}

#define GONE    0x40            /* a requester ID that no function has */
#define MS      1000000

static void flush_gone(Bench *b)
{
    desc(b, D_DEV_PIOTLB | GONE << 16 | 1ull << 32, VA);
}

/* A device that does not answer, and what it takes along (6.5.2.10) */
static void test_time_out(void)
{
    Bench b = start_with(",x-wait-ns=1000");
    uint64_t root = one_page(&b, 1, 2, DATA);
    uint32_t waits;

    flush_gone(&b);
    start_wait(&b);
    waits = b.waits;
    qtest_clock_step(b.qts, 9 * MS);
    g_assert(wait_is_pending(&b));
    g_assert_cmphex(fsts(&b), ==, 0);
    qtest_clock_step(b.qts, 2 * MS);
    g_assert_cmphex(fsts(&b), ==, FSTS_ITE);
    g_assert_cmpuint(counter(&b, "dev_tlb.timeout"), ==, 1);
    g_assert(!wait_is_pending(&b));

    /* Nothing is fetched until software clears ITE */
    start_wait(&b);
    qtest_clock_step(b.qts, 2 * MS);
    g_assert(wait_is_pending(&b));
    g_assert_cmphex(qtest_readl(b.qts, STATUS), ==, waits - 1);
    set_reg(&b, FSTS, FSTS_ITE);
    g_assert_cmphex(fsts(&b), ==, 0);
    drain(&b);
    g_assert_cmphex(qtest_readl(b.qts, STATUS), ==, b.waits);

    /* No wait descriptor is needed for a time-out, nor PASID entries */
    reaches(&b, 1, VA, DATA);
    map(&b, root, VA, 0);
    flush_pages(&b, 2, 1, VA, 0, 0);
    wait_desc(&b);
    faults(&b, 1, VA, F_FS_P);
    flush_gone(&b);
    start_wait(&b);
    qtest_system_reset(b.qts);
    qtest_clock_step(b.qts, 20 * MS);
    stop(&b);

    /* A function with ATS disabled */
    b = start_with(",x-wait-ns=1000");
    qtest_writew(b.qts, cfg(0) + ext_cap(&b, 0, PCI_EXT_CAP_ID_ATS) +
                 PCI_ATS_CTRL, 0);
    flush_dev(&b, 1, VA, false);
    start_wait(&b);
    qtest_clock_step(b.qts, 11 * MS);
    g_assert_cmphex(fsts(&b), ==, FSTS_ITE);
    set_reg(&b, FSTS, FSTS_ITE);
    stop(&b);
}

/* All wait descriptors that were fetched are aborted, and no others */
static void test_time_out_waits(void)
{
    Bench b = start_with(",x-wait-ns=1000,x-wild=16");
    int round, i, fetched, most = 0;

    for (round = 0; round < 16; round++) {
        for (i = 0; i < 8; i++) {
            qtest_writel(b.qts, STATUS + 4 * i, 0);
        }
        flush_gone(&b);
        for (i = 0; i < 8; i++) {
            desc(&b, D_WAIT | WAIT_SW | 1ull << 32, STATUS + 4 * i);
        }
        qtest_clock_step(b.qts, 5 * MS);
        for (i = 0; i < 8; i++) {
            g_assert_cmpuint(qtest_readl(b.qts, STATUS + 4 * i), ==, 0);
        }
        qtest_clock_step(b.qts, 6 * MS);
        g_assert_cmphex(fsts(&b), ==, FSTS_ITE);
        fetched = 8 - (b.tail - (get(&b, VTD + IQH) >> 5)) % QUEUE_LEN;
        g_assert_cmpint(fetched, >, 0);
        most = MAX(most, fetched);
        set_reg(&b, FSTS, FSTS_ITE);
        drain(&b);
        step(&b);
        for (i = 0; i < 8; i++) {
            g_assert_cmpuint(qtest_readl(b.qts, STATUS + 4 * i), ==,
                             i >= fetched);
        }
    }
    g_assert_cmpint(most, >, 1);
    stop(&b);
}

/* What is behind a device that does not answer may not happen */
static void test_time_out_others(void)
{
    Bench b = start_with(",x-wait-ns=1000,x-wild=2");
    uint64_t root = one_page(&b, 1, 2, DATA), at = pte(&b, root, VA);
    int i, j, kept_tlb = 0, kept_dev = 0;

    set_queue(&b, 0, 1, 1, ATS);
    for (i = 0; i < 64; i++) {
        put(&b, at, DATA | RW);
        reaches(&b, 1, VA, DATA);
        g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 1), ==,
                         SVADEV_STATUS_OK);
        put(&b, at, (DATA + PAGE) | RW);

        /* In front of it all happens */
        if (i & 1) {
            flush_pages(&b, 2, 1, VA, 0, 0);
            flush_dev(&b, 1, VA, false);
        }
        flush_gone(&b);
        if (!(i & 1)) {
            flush_pages(&b, 2, 1, VA, 0, 0);
            flush_dev(&b, 1, VA, false);
        }
        start_wait(&b);
        qtest_clock_step(b.qts, 11 * MS);
        g_assert_cmphex(fsts(&b), ==, FSTS_ITE);

        for (j = 0; j < 2; j++) {
            put(&b, DATA, 0);
            if (j) {
                start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 1);
            } else {
                dma_write(&b, 1, VA, 1);
            }
            if (get(&b, DATA)) {
                g_assert_cmpint(i & 1, ==, 0);
                kept_dev += j;
                kept_tlb += !j;
            }
        }
        set_reg(&b, FSTS, FSTS_ITE);
        flush_all_of(&b, 2, 1);
        flush_dev(&b, 1, 0, true);
        wait_desc(&b);
    }
    g_test_message("kept %d %d", kept_tlb, kept_dev);
    g_assert_cmpint(kept_tlb, >, 0);
    g_assert_cmpint(kept_tlb, <, kept_dev);
    g_assert_cmpint(kept_dev, <, 32);
    g_assert_cmpuint(counter(&b, "dev_tlb.timeout"), ==, 64);
    stop(&b);

    /* What is in front of it happens, even without a wait descriptor */
    b = start_with(",x-wait-ns=1000,x-wild=1");
    root = one_page(&b, 1, 2, DATA);
    at = pte(&b, root, VA);
    set_queue(&b, 0, 1, 1, ATS);
    for (i = 0, j = 0; i < 16; i++) {
        put(&b, at, DATA | RW);
        g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 1), ==,
                         SVADEV_STATUS_OK);
        put(&b, at, (DATA + PAGE) | RW);
        flush_all_of(&b, 2, 1);
        wait_desc(&b);
        flush_dev(&b, 1, VA, false);
        flush_gone(&b);
        qtest_clock_step(b.qts, 11 * MS);
        if (reg(&b, FSTS) & FSTS_ITE) {
            set_reg(&b, FSTS, FSTS_ITE);
            put(&b, DATA, 0);
            start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 1);
            g_assert_cmphex(get(&b, DATA), ==, 0);
            j++;
        } else {
            start_wait(&b);
            qtest_clock_step(b.qts, 11 * MS);
            set_reg(&b, FSTS, FSTS_ITE);
        }
        flush_all_of(&b, 2, 1);
        flush_dev(&b, 1, 0, true);
        wait_desc(&b);
    }
    g_assert_cmpint(j, >, 0);
    stop(&b);
}

/*
 * More invalidations than the model remembers, of devices that do not answer: the
 * queue stops until the time-out.
 */
static void test_time_out_many(void)
{
    Bench b = start_with(",x-wait-ns=1000");
    uint64_t root = one_page(&b, 1, 2, DATA);
    int i;

    reaches(&b, 1, VA, DATA);
    map(&b, root, VA, (DATA + PAGE) | RW);
    for (i = 0; i < 300; i++) {
        flush_gone(&b);
    }
    /* As many are in the queue when the head is where it began */
    g_assert_cmphex(get(&b, VTD + IQH), ==, 0);
    g_assert_cmphex(b.tail, ==, 300 - 256);
    qtest_clock_step(b.qts, 11 * MS);
    g_assert_cmphex(fsts(&b), ==, FSTS_ITE);
    g_assert_cmpuint(counter(&b, "dev_tlb.timeout"), ==, 1);
    set_reg(&b, FSTS, FSTS_ITE);
    g_assert_cmphex(get(&b, VTD + IQH), ==, b.tail << 5);
    flush_pages(&b, 2, 1, VA, 0, 0);
    start_wait(&b);
    qtest_clock_step(b.qts, 11 * MS);
    g_assert_cmphex(fsts(&b), ==, FSTS_ITE);
    set_reg(&b, FSTS, FSTS_ITE);
    reaches(&b, 1, VA, DATA + PAGE);
    stop(&b);
}

/* When svadev answers an invalidation is set by its register */
static void test_injected_answer(void)
{
    static const struct {
        uint32_t inject;
        int ms;                         /* until the wait is complete, */
        bool timeout;                   /* or given up */
    } cases[] = {
        { 0, 0, false },
        { SVADEV_INJECT_INV_LATE, 100, false },
        { SVADEV_INJECT_INV_NEVER, 150, true },
        { SVADEV_INJECT_INV_LATE | SVADEV_INJECT_INV_NEVER, 150, true },
    };
    int i, ms;

    for (i = 0; i < ARRAY_SIZE(cases); i++) {
        Bench b = start();

        one_page(&b, 1, 2, DATA);
        g_assert_cmpuint(ats_write(&b, 1, VA, 1), ==, SVADEV_STATUS_OK);
        qtest_writel(b.qts, MMIO + SVADEV_INJECT, cases[i].inject);
        flush_dev(&b, 1, VA, false);
        start_wait(&b);
        for (ms = 0; ms < 200 && qtest_readl(b.qts, STATUS) != b.waits &&
                     !counter(&b, "dev_tlb.timeout"); ms++) {
            qtest_clock_step(b.qts, 1000000);
        }
        g_assert_cmpint(ms, >=, cases[i].ms);
        g_assert_cmpint(ms, <, cases[i].ms + 10);
        g_assert_cmpuint(counter(&b, "dev_tlb.timeout"), ==,
                         cases[i].timeout);
        set_reg(&b, FSTS, FSTS_ITE);
        stop(&b);
    }
}

/* A function that is asked, and is then reset, or pulled, before it answers */
static void test_answer_pulled(void)
{
    Bench b = start_with(",x-wait-ns=1000");
    int i;

    setup_dev(&b, 1);
    for (i = 0; i < 2; i++) {
        qtest_writel(b.qts, bars(i) + SVADEV_INJECT, SVADEV_INJECT_INV_LATE);
        desc(&b, D_DEV_PIOTLB | (uint64_t)(i ? SID2 : SID) << 16 | 1ull << 32,
             VA);
        start_wait(&b);
        pass_ms(&b, 20);
        g_assert(wait_is_pending(&b));
        g_assert_cmphex(fsts(&b), ==, 0);
        if (i) {
            qtest_writel(b.qts, bars(0) + SVADEV_SLOT, SID2 & 0xff);
        } else {
            qtest_writew(b.qts, cfg(0) + ext_cap(&b, 0, PCI_EXT_CAP_ID_ATS) +
                         PCI_ATS_CTRL, 0);
        }
        pass_ms(&b, 90);
        g_assert_cmphex(fsts(&b), ==, FSTS_ITE);
        g_assert_cmpuint(qtest_readl(b.qts, STATUS), !=, b.waits);
        g_assert_cmpuint(counter(&b, "dev_tlb.timeout"), ==, i + 1);
        set_reg(&b, FSTS, FSTS_ITE);
    }
    stop(&b);
}

/* Until a device answers it uses what it has, and the wait is not complete */
static void test_late_answer(void)
{
    Bench b = start_with(",x-wait-ns=1000,x-answer-ns=100000000");
    uint64_t root = one_page(&b, 1, 2, DATA);

    g_assert_cmpuint(ats_write(&b, 1, VA, 1), ==, SVADEV_STATUS_OK);
    map(&b, root, VA, (DATA + PAGE) | RW);
    flush_pages(&b, 2, 1, VA, 0, 0);
    flush_dev(&b, 1, VA, false);
    start_wait(&b);
    qtest_clock_step(b.qts, 90 * MS);
    g_assert(wait_is_pending(&b));
    start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 2);
    g_assert_cmphex(get(&b, DATA), ==, 2);
    qtest_clock_step(b.qts, 10 * MS);
    g_assert(!wait_is_pending(&b));
    g_assert_cmphex(qtest_readl(b.qts, STATUS), ==, b.waits);
    start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 3);
    g_assert_cmphex(get(&b, DATA + PAGE), ==, 3);
    g_assert_cmphex(get(&b, DATA), ==, 2);
    g_assert_cmpuint(counter(&b, "dev_tlb.timeout"), ==, 0);
    stop(&b);

    b = start_with(",x-wait-ns=1000,x-answer-ns=100000000,"
                   "x-timeout-ns=50000000");
    flush_dev(&b, 1, VA, false);
    start_wait(&b);
    qtest_clock_step(b.qts, 49 * MS);
    g_assert_cmphex(fsts(&b), ==, 0);
    qtest_clock_step(b.qts, 2 * MS);
    g_assert_cmphex(fsts(&b), ==, FSTS_ITE);
    set_reg(&b, FSTS, FSTS_ITE);
    qtest_clock_step(b.qts, 60 * MS);
    stop(&b);
}

/* How many of 32 wait descriptors does the queue stop at? */
static int stops_at(Bench *b, uint64_t fn)
{
    int i, n = 0;

    for (i = 0; i < 32; i++) {
        b->waits++;
        desc(b, D_WAIT | WAIT_SW | fn | (uint64_t)b->waits << 32, STATUS);
        n += wait_is_pending(b);
        g_assert_cmphex(qtest_readl(b->qts, STATUS), ==, b->waits - 1);
        drain(b);
        qtest_clock_step(b->qts, MS);
        g_assert_cmphex(qtest_readl(b->qts, STATUS), ==, b->waits);
    }
    return n;
}

/* The queue may go on while a wait descriptor without FN is not complete */
static void test_fetch_ahead(void)
{
    Bench b = start_with(",x-wild=16");
    uint64_t root;
    int n, i, last = 0;

    n = stops_at(&b, 0);
    g_assert_cmpint(n, >, 0);
    g_assert_cmpint(n, <, 32);
    g_assert_cmpint(stops_at(&b, WAIT_FN), ==, 32);
    g_assert_cmpint(stops_at(&b, 0), <, 32);

    /* What is behind may act with what is in front, but waits are in order */
    root = one_page(&b, 1, 2, DATA);
    reaches(&b, 1, VA, DATA);
    map(&b, root, VA, 0);
    for (i = 0; i < 100; i++) {
        start_wait(&b);
        n = qtest_readl(b.qts, STATUS);
        g_assert_cmpint(n, >=, last);
        last = n;
    }
    flush_pages(&b, 2, 1, VA, 0, 0);
    wait_desc(&b);
    faults(&b, 1, VA, F_FS_P);

    /* The queue is empty, and can be disabled: what was fetched completes */
    do {
        drain(&b);
        start_wait(&b);
    } while (wait_is_pending(&b));
    g_assert_cmphex(qtest_readl(b.qts, STATUS), !=, b.waits);
    g_assert(!wait_is_pending(&b));
    set_reg(&b, GCMD, TE);
    g_assert_cmphex(reg(&b, GSTS) & QIE, ==, 0);
    g_assert_cmphex(qtest_readl(b.qts, STATUS), ==, b.waits);
    stop(&b);
}

static void test_no_dte(void)
{
    Bench b = start();

    one_page(&b, 1, 2, DATA);
    g_assert_cmpuint(ats_write(&b, 1, VA, 1), ==, SVADEV_STATUS_OK);
    set_context(&b, SID, PDIR | CE_P | CE_PASIDE);
    desc(&b, D_CC | G(3) | (uint64_t)SID << 32, 0);
    wait_desc(&b);
    /* Neither a translated request nor one for a translation */
    g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA, 2), !=,
                     SVADEV_STATUS_OK);
    g_assert_cmphex(get(&b, DATA), ==, 1);
    g_assert_cmphex(counter(&b, "evt.ctx_dte"), >, 0);
    clear_faults(&b);
    stop(&b);
}

/* Page requests */

static void respond(Bench *b, int pasid, uint16_t prgi, int code)
{
    desc(b, D_PGRESP | (pasid >= 0 ? 1 << 4 | (uint64_t)pasid << 32 : 0) |
         code << 12 | SID << 16, prgi << 3 | 1 << 2);
}

static uint64_t next_request(Bench *b, uint64_t *val0)
{
    uint64_t head = get(b, VTD + PQH), addr = PRQ + head, val1;

    g_assert_cmphex(head, !=, get(b, VTD + PQT));
    *val0 = get(b, addr);
    val1 = get(b, addr + 8);
    g_assert_cmphex(get(b, addr + 16), ==, 0);
    g_assert_cmphex(get(b, addr + 24), ==, 0);
    put(b, VTD + PQH, (head + 32) & 0xfff);
    return val1;
}

static void test_page_request(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), val0, val1, hits;

    set_queue(&b, 0, 1, 1, PRI);
    g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + PAGE, 9), ==,
                     SVADEV_STATUS_BUSY);
    no_fault(&b);
    g_assert_cmphex(reg(&b, PRS), ==, PPR);
    g_assert_cmphex(reg(&b, PECTL), ==, IM | IP);
    g_assert_cmpuint(counter(&b, "prq.now"), ==, 1);

    val1 = next_request(&b, &val0);
    g_assert_cmphex(val0, ==, 1 | 1 << 8 | SID << 16 | 1ull << 32);
    g_assert_cmphex(val1 & ~(0x1ffull << 3) & ~1ull, ==,
                    (VA + PAGE) | 1 << 1 | 1 << 2);
    set_reg(&b, PRS, PPR);
    g_assert_cmphex(reg(&b, PRS), ==, 0);
    g_assert_cmphex(reg(&b, PECTL), ==, IM);

    /* Not somebody else's response */
    respond(&b, 2, extract64(val1, 3, 9), 0);
    step(&b);
    g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_BUSY);
    g_assert_cmpuint(counter(&b, "resp.unknown"), ==, 1);

    map(&b, root, VA + PAGE, (DATA + PAGE) | RW);
    respond(&b, 1, extract64(val1, 3, 9), 0);
    step(&b);
    g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(get(&b, DATA + PAGE), ==, 9);
    g_assert_cmpuint(counter(&b, "prq.now"), ==, 0);

    /* Refused */
    g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + 2 * PAGE, 9), ==,
                     SVADEV_STATUS_BUSY);
    val1 = next_request(&b, &val0);
    respond(&b, 1, extract64(val1, 3, 9), 1);
    step(&b);
    g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_FAULT);
    no_fault(&b);

    /* A request makes the IOMMU forget the page, and the tables to it */
    hits = counter(&b, "psc.hit");
    g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + 2 * PAGE, 9), ==,
                     SVADEV_STATUS_BUSY);
    hits = counter(&b, "psc.hit");
    val1 = next_request(&b, &val0);
    map(&b, root, VA + 2 * PAGE, (DATA + 2 * PAGE) | RW);
    respond(&b, 1, extract64(val1, 3, 9), 0);
    /* A drain delivers at once */
    desc(&b, D_WAIT | WAIT_PD | WAIT_SW, STATUS);
    step(&b);
    g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_OK);
    g_assert_cmpuint(counter(&b, "psc.hit"), ==, hits);
    g_assert_cmpuint(counter(&b, "resp.success"), ==, 3);
    g_assert_cmpuint(counter(&b, "resp.invalid"), ==, 1);

    /* A response twice */
    respond(&b, 1, extract64(val1, 3, 9), 0);
    g_assert_cmpuint(counter(&b, "resp.unknown"), ==, 2);

    /* Without PASID */
    root = one_page(&b, 0, 1, DATA);
    set_queue(&b, 0, 2, UNTAGGED, PRI);
    g_assert_cmpuint(start_op(&b, 0, 2, SVADEV_OP_WRITE, VA + PAGE, 10), ==,
                     SVADEV_STATUS_BUSY);
    val1 = next_request(&b, &val0);
    g_assert_cmphex(val0, ==, 1 | SID << 16);
    map(&b, root, VA + PAGE, (DATA + PAGE) | RW);
    respond(&b, UNTAGGED, extract64(val1, 3, 9), 0);
    step(&b);
    g_assert_cmpuint(status(&b, 2), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(get(&b, DATA + PAGE), ==, 10);
    stop(&b);
}

/*
 * A drain has a fence in front, or its device-TLB invalidation may pass a response
 * (VT-d 7.10).
 */
static void test_drain_fence(void)
{
    Bench b = start_with(",x-wild=16,x-wait-ns=1000");
    uint64_t unfenced;
    int i, fence;

    one_page(&b, 1, 2, DATA);
    for (fence = 1; fence >= 0; fence--) {
        for (i = 0; i < 32; i++) {
            respond(&b, 1, i, 0);
            desc(&b, D_WAIT | WAIT_SW, STATUS);
            if (fence) {
                desc(&b, D_WAIT | WAIT_FN, 0);
            }
            flush_all_of(&b, 2, 1);
            flush_dev(&b, 1, 0, true);
            desc(&b, D_WAIT | WAIT_PD | WAIT_SW, STATUS);
            drain(&b);
            wait_desc(&b);
        }
        unfenced = counter(&b, "resp.unfenced");
        if (fence) {
            g_assert_cmpuint(unfenced, ==, 0);
        }
    }
    g_assert_cmpuint(unfenced, >, 0);
    g_assert_cmpuint(unfenced, <, 32);
    stop(&b);
}

/* Have a queue send a request that is on its way then */
static void send_request(Bench *b, int q)
{
    uint64_t sent = dev_counter(b, "pri.req");
    uint64_t queued = counter(b, "prq.queued");
    int i;

    set_queue(b, 0, q, 1, PRI);
    put(b, page_reg(0, q, SVADEV_OP), SVADEV_OP_WRITE);
    put(b, page_reg(0, q, SVADEV_DST), VA + PAGE);
    put(b, page_reg(0, q, SVADEV_LEN), 8);
    put(b, page_reg(0, q, SVADEV_GO), SVADEV_GO_START);
    for (i = 0; i < MAX_STEPS && dev_counter(b, "pri.req") == sent; i++) {
        qtest_clock_step(b->qts, 1000);
    }
    g_assert_cmpuint(dev_counter(b, "pri.req"), ==, sent + 1);
    g_assert_cmpuint(counter(b, "prq.queued"), ==, queued);
}

/* Wait for 1 ns, as x-wait-ns says */
static void wait_1ns(Bench *b, uint64_t pd)
{
    desc(b, D_WAIT | WAIT_SW | pd, STATUS);
    qtest_clock_step(b->qts, 1);
    g_assert(!wait_is_pending(b));
}

/* PASID 1 is torn down while its request is on its way; @did is drained */
static void lose_pasid(Bench *b, uint16_t did)
{
    send_request(b, 1);
    put(b, pe_of(1), 0);
    flush_pasid(b, 2, 1);
    flush_all_of(b, did, 1);
}

/* Let the request enter the queue if it has not yet, and answer it */
static void answer_request(Bench *b, int code)
{
    uint64_t val0, val1;
    int i;

    for (i = 0; i < 4 && get(b, VTD + PQH) == get(b, VTD + PQT); i++) {
        step(b);
    }
    val1 = next_request(b, &val0);
    respond(b, 1, extract64(val1, 3, 9), code);
    step(b);
}

/* A page request is on its way for a while, unless it is pushed (VT-d 7.10) */
static void test_page_request_time(void)
{
    Bench b = start_with(",x-wild=8,x-wait-ns=1");
    uint64_t root = one_page(&b, 1, 2, DATA), other, queued;
    uint64_t sum = 0;
    int us, i;

    for (i = 0; i < 16; i++) {
        send_request(&b, 1);
        queued = counter(&b, "prq.queued");
        for (us = 0; counter(&b, "prq.queued") == queued; us++) {
            g_assert_cmpint(us, <=, 2001);
            qtest_clock_step(b.qts, 1000);
        }
        g_assert_cmpint(us, >=, 8);
        sum += us;
        answer_request(&b, 1);
    }
    g_assert_cmpint(sum, >, 16 * 50);

    /* Neither a drain nor what is of another function pushes it */
    send_request(&b, 1);
    queued = counter(&b, "prq.queued");
    desc(&b, D_DEV_PIOTLB | SID2 << 16 | 1ull << 32, VA);
    flush_all_of(&b, 2, 1);
    wait_1ns(&b, WAIT_PD);
    g_assert_cmpuint(counter(&b, "prq.queued"), ==, queued);
    /* Its device-TLB invalidation does, of any page, to the unit */
    flush_dev(&b, 1, VA, false);
    wait_1ns(&b, 0);
    g_assert_cmpuint(counter(&b, "prq.queued"), ==, queued);
    wait_1ns(&b, WAIT_PD);
    g_assert_cmpuint(counter(&b, "prq.queued"), ==, queued + 1);
    answer_request(&b, 1);
    send_request(&b, 1);
    flush_dev(&b, 1, VA, false);
    wait_1ns(&b, WAIT_PD);
    g_assert_cmpuint(counter(&b, "prq.queued"), ==, queued + 2);
    g_assert_cmpuint(counter(&b, "prq.late"), ==, 0);
    answer_request(&b, 1);

    /* Its PASID is taken away, and another domain's is drained */
    lose_pasid(&b, 3);
    wait_1ns(&b, WAIT_PD);
    answer_request(&b, 1);
    g_assert_cmpuint(counter(&b, "prq.late"), ==, 0);

    /* It is drained, but not pushed */
    set_pe(&b, 1, PE_P | PE_FS, 2, root);
    lose_pasid(&b, 2);
    wait_1ns(&b, WAIT_PD);
    answer_request(&b, 1);
    g_assert_cmpuint(counter(&b, "prq.late"), ==, 1);

    /* It comes to the next owner of its PASID */
    set_pe(&b, 1, PE_P | PE_FS, 2, root);
    lose_pasid(&b, 2);
    flush_dev(&b, 1, 0, true);
    wait_1ns(&b, 0);
    set_pe(&b, 1, PE_P | PE_FS, 2, root);
    answer_request(&b, 1);
    g_assert_cmpuint(counter(&b, "prq.late"), ==, 2);

    /* As software should do it: what the next owner sends is not late */
    lose_pasid(&b, 2);
    flush_dev(&b, 1, 0, true);
    wait_1ns(&b, WAIT_PD);
    set_pe(&b, 1, PE_P | PE_FS, 2, root);
    send_request(&b, 2);
    answer_request(&b, 1);
    answer_request(&b, 1);
    g_assert_cmpuint(counter(&b, "prq.late"), ==, 2);

    /* An entry is replaced; a drain of another function is not of this one */
    send_request(&b, 1);
    other = new_table(&b);
    set_pe(&b, 1, PE_P | PE_FS, 3, other);
    flush_pasid(&b, 2, 1);
    desc(&b, D_IOTLB | G(2) | 2 << 16, 0);
    wait_1ns(&b, WAIT_PD);
    flush_all_of(&b, 2, 1);
    flush_dev(&b, 1, 0, true);
    wait_1ns(&b, WAIT_PD);
    answer_request(&b, 1);
    g_assert_cmpuint(counter(&b, "prq.late"), ==, 2);

    /* Another function's drain of the PASID comes first: this one has time */
    set_pe(&b, 1, PE_P | PE_FS, 2, root);
    flush_pasid(&b, 3, 1);
    flush_all_of(&b, 3, 1);
    wait_desc(&b);
    lose_pasid(&b, 2);
    desc(&b, D_DEV_PIOTLB | SID2 << 16 | 1ull << 32, VA);
    wait_1ns(&b, WAIT_PD);
    flush_all_of(&b, 2, 1);
    flush_dev(&b, 1, 0, true);
    wait_1ns(&b, WAIT_PD);
    answer_request(&b, 1);
    g_assert_cmpuint(counter(&b, "prq.late"), ==, 2);

    /* An invalidation of another PASID does not say of which function it is */
    set_pe(&b, 1, PE_P | PE_FS, 2, root);
    lose_pasid(&b, 2);
    desc(&b, D_DEV_PIOTLB | SID2 << 16 | 2ull << 32, VA);
    wait_1ns(&b, WAIT_PD);
    answer_request(&b, 1);
    g_assert_cmpuint(counter(&b, "prq.late"), ==, 3);

    /* A reset on the way */
    send_request(&b, 1);
    qtest_system_reset(b.qts);
    step(&b);
    step(&b);
    g_assert_cmpuint(counter(&b, "prq.refused"), ==, 0);
    g_assert_cmphex(reg(&b, PRS), ==, 0);
    g_assert_cmphex(get(&b, VTD + PQT), ==, 0);
    stop(&b);
}

/*
 * A response in front of a wait that a time-out aborts was sent, or is dropped,
 * and software cannot tell which (6.5.2.10)
 */
static void test_response_time_out(void)
{
    Bench b = start_with(",x-wait-ns=1000");
    uint64_t val0, val1;
    int i, sent = 0;
    bool now;

    one_page(&b, 1, 2, DATA);
    set_queue(&b, 0, 1, 1, PRI);
    for (i = 0; i < 64; i++) {
        start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + PAGE, 1);
        val1 = next_request(&b, &val0);
        flush_gone(&b);
        respond(&b, 1, extract64(val1, 3, 9), 1);
        start_wait(&b);
        step(&b);
        now = status(&b, 1) != SVADEV_STATUS_BUSY;
        qtest_clock_step(b.qts, 10 * MS);
        g_assert_cmphex(fsts(&b), ==, FSTS_ITE);
        set_reg(&b, FSTS, FSTS_ITE);
        step(&b);
        g_assert_cmpint(status(&b, 1) != SVADEV_STATUS_BUSY, ==, now);
        sent += now;
        g_assert_cmpuint(counter(&b, "resp.aborted"), ==, sent);

        /* Once more, as software may do that does not know */
        respond(&b, 1, extract64(val1, 3, 9), 1);
        wait_desc(&b);
        step(&b);
        g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_FAULT);
        g_assert_cmpuint(counter(&b, "resp.unknown"), ==, sent);
        g_assert_cmpuint(dev_counter(&b, "pri.unexpected"), ==, sent);
    }
    g_assert_cmpint(sent, >, 16);
    g_assert_cmpint(sent, <, 48);
    stop(&b);

    /* With no aborted wait behind it, but one in front, it is not dropped */
    b = start_with(",x-wait-ns=1000,x-wild=16");
    one_page(&b, 1, 2, DATA);
    set_queue(&b, 0, 1, 1, PRI);
    for (i = 0; i < 16; i++) {
        start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + PAGE, 1);
        val1 = next_request(&b, &val0);
        flush_gone(&b);
        start_wait(&b);
        respond(&b, 1, extract64(val1, 3, 9), 1);
        qtest_clock_step(b.qts, 11 * MS);
        g_assert_cmphex(fsts(&b), ==, FSTS_ITE);
        set_reg(&b, FSTS, FSTS_ITE);
        step(&b);
        g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_FAULT);
        wait_desc(&b);
    }
    g_assert_cmpuint(counter(&b, "resp.unknown"), ==, 0);
    g_assert_cmpuint(counter(&b, "resp.aborted"), ==, 0);
    stop(&b);

    /* A device answers late: what was held back is sent then */
    b = start_with(",x-wait-ns=1000,x-answer-ns=20000000");
    one_page(&b, 1, 2, DATA);
    set_queue(&b, 0, 1, 1, PRI);
    for (i = 0, sent = 0; i < 64; i++) {
        start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + PAGE, 1);
        val1 = next_request(&b, &val0);
        flush_dev(&b, 1, VA, false);
        respond(&b, 1, extract64(val1, 3, 9), 1);
        start_wait(&b);
        step(&b);
        sent += status(&b, 1) != SVADEV_STATUS_BUSY;
        qtest_clock_step(b.qts, 20 * MS);
        step(&b);
        g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_FAULT);
        g_assert_cmphex(qtest_readl(b.qts, STATUS), ==, b.waits);
    }
    g_assert_cmpint(sent, >, 16);
    g_assert_cmpint(sent, <, 48);
    g_assert_cmpuint(counter(&b, "resp.unknown"), ==, 0);
    g_assert_cmpuint(counter(&b, "resp.aborted"), ==, 0);
    stop(&b);
}

static void test_page_request_overflow(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), val0, val1;

    /* One free place, as one stays empty */
    put(&b, VTD + PQH, 64);
    put(&b, VTD + PQT, 0);
    set_queue(&b, 0, 1, 1, PRI);
    set_queue(&b, 0, 2, 1, PRI);
    g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + PAGE, 1), ==,
                     SVADEV_STATUS_BUSY);
    g_assert_cmphex(reg(&b, PRS), ==, PPR);
    start_op(&b, 0, 2, SVADEV_OP_WRITE, VA + 2 * PAGE, 2);
    g_assert_cmphex(reg(&b, PRS), ==, PPR | PRO);
    g_assert_cmphex(get(&b, VTD + PQT), ==, 32);
    g_assert_cmpuint(counter(&b, "prq.overflow"), >, 0);
    /* The device has been told to try again */
    g_assert_cmpuint(counter(&b, "resp.auto"), ==,
                     counter(&b, "prq.overflow"));
    g_assert_cmpuint(counter(&b, "prq.queued"), ==, 1);

    /* Room does not help until the overflow is acknowledged */
    put(&b, VTD + PQH, 0);
    map(&b, root, VA + PAGE, (DATA + PAGE) | RW);
    map(&b, root, VA + 2 * PAGE, (DATA + 2 * PAGE) | RW);
    set_reg(&b, PRS, PPR | PRO);
    val1 = next_request(&b, &val0);
    respond(&b, 1, extract64(val1, 3, 9), 0);
    step(&b);
    g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_OK);
    stop(&b);
}

/* Some reads ask for write permission, too: No Write is not set */
static void test_no_write(void)
{
    Bench b = start_with(" -global svadev.x-wild=4");
    uint64_t root = one_page(&b, 1, 2, DATA), va, val0, val1;
    unsigned dirty = 0;
    int i;

    set_queue(&b, 0, 1, 1, ATS);
    for (i = 0; i < 64; i++) {
        va = VA + (i + 1) * PAGE;
        map(&b, root, va, DATA | (i & 1 ? RW : P | U));
        g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_READ, va, 0), ==,
                         SVADEV_STATUS_OK);
        g_assert_cmphex(get(&b, pte(&b, root, va)) & A, ==, A);
        if (get(&b, pte(&b, root, va)) & D) {
            g_assert(i & 1);
            dirty++;
        }
    }
    g_assert_cmpuint(dirty, >, 0);
    g_assert_cmpuint(dirty, <, 32);

    /* A page request is for what the access needs */
    set_queue(&b, 0, 1, 1, PRI);
    for (i = 0; i < 16; i++) {
        va = VA + (i + 80) * PAGE;
        g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_READ, va, 0), ==,
                         SVADEV_STATUS_BUSY);
        val1 = next_request(&b, &val0);
        g_assert_cmphex(val1 & 3, ==, 1);
        respond(&b, 1, 0, 1);
        step(&b);
    }
    stop(&b);
}

/* Start an operation on @pages pages, but let no time pass */
static void begin_fill(Bench *b, int q, uint64_t va, unsigned pages)
{
    put(b, page_reg(0, q, SVADEV_OP), SVADEV_OP_FILL);
    put(b, page_reg(0, q, SVADEV_DST), va);
    put(b, page_reg(0, q, SVADEV_LEN), pages * PAGE);
    put(b, page_reg(0, q, SVADEV_VALUE), q);
    put(b, page_reg(0, q, SVADEV_GO), SVADEV_GO_START);
}

/* The next request is the last of its group: which has index @prgi, for @va */
static void expect_request(Bench *b, int pasid, uint16_t prgi, uint64_t va)
{
    uint64_t val0, val1 = next_request(b, &val0);

    g_assert_cmphex(extract64(val0, 32, 20), ==, pasid);
    g_assert_cmphex(extract64(val1, 3, 9), ==, prgi);
    g_assert_cmphex(val1 & ~0xfffull, ==, va);
    g_assert_cmphex(val1 & 1 << 2, !=, 0);
}

/* A group has the lowest index that its PASID has free, at once */
static void test_page_request_index(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), root2 = one_page(&b, 2, 3, DATA);
    int i;

    set_queue(&b, 0, 1, 1, PRI);
    set_queue(&b, 0, 2, 1, PRI);
    set_queue(&b, 0, 3, 2, PRI);
    begin_fill(&b, 1, VA + PAGE, 1);
    step(&b);
    begin_fill(&b, 2, VA + 2 * PAGE, 1);
    step(&b);
    begin_fill(&b, 3, VA + 3 * PAGE, 1);
    step(&b);
    expect_request(&b, 1, 0, VA + PAGE);
    expect_request(&b, 1, 1, VA + 2 * PAGE);
    expect_request(&b, 2, 0, VA + 3 * PAGE);

    /* A response is for the group of its PASID */
    map(&b, root2, VA + 3 * PAGE, (DATA + 3 * PAGE) | RW);
    respond(&b, 2, 0, 0);
    step(&b);
    for (i = 1; i <= 3; i++) {
        g_assert_cmpuint(status(&b, i), ==, i == 3 ? SVADEV_STATUS_OK :
                                                     SVADEV_STATUS_BUSY);
    }
    g_assert_cmpuint(dev_counter(&b, "pri.unexpected"), ==, 0);

    for (i = 4; i < 8; i++) {
        map(&b, root, VA + (i == 4 ? 1 : i - 1) * PAGE, DATA | RW);
        respond(&b, 1, 0, 0);
        step(&b);
        g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_OK);
        begin_fill(&b, 1, VA + i * PAGE, 1);
        step(&b);
        expect_request(&b, 1, 0, VA + i * PAGE);
    }
    respond(&b, 1, 0, 1);
    map(&b, root, VA + 2 * PAGE, DATA | RW);
    respond(&b, 1, 1, 0);
    step(&b);
    g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_FAULT);
    g_assert_cmpuint(status(&b, 2), ==, SVADEV_STATUS_OK);
    g_assert_cmpuint(dev_counter(&b, "pri.unexpected"), ==, 0);
    respond(&b, 1, 1, 0);
    step(&b);
    g_assert_cmpuint(dev_counter(&b, "pri.unexpected"), ==, 1);
    stop(&b);
}

/* Groups of eight pages of two queues; how often is the next of the other? */
static unsigned mixed_groups(const char *props)
{
    Bench b = start_with(props);
    uint64_t root = one_page(&b, 1, 2, DATA), base[2], val0, val1;
    unsigned got[2] = {}, changes = 0, last = 2, prgi;
    int i;

    qtest_writel(b.qts, MMIO + SVADEV_PRG_PAGES, 8);
    for (i = 0; i < 2; i++) {
        set_queue(&b, 0, i + 1, 1, PRI);
        base[i] = VA + (1 + i) * 8 * PAGE;
        begin_fill(&b, i + 1, base[i], 8);
    }
    step(&b);

    for (i = 0; i < 16; i++) {
        val1 = next_request(&b, &val0);
        prgi = extract64(val1, 3, 9);
        g_assert_cmpuint(prgi, <, 2);
        g_assert_cmphex(val1 & ~0xfffull, ==, base[prgi] + got[prgi] * PAGE);
        map(&b, root, val1 & ~0xfffull, (DATA + i * PAGE) | RW);
        g_assert_cmphex(extract64(val1, 2, 1), ==, ++got[prgi] == 8);
        changes += prgi != last;
        last = prgi;
    }
    g_assert_cmphex(get(&b, VTD + PQH), ==, get(&b, VTD + PQT));
    for (i = 0; i < 2; i++) {
        respond(&b, 1, i, 0);
        step(&b);
        g_assert_cmpuint(status(&b, i + 1), ==, SVADEV_STATUS_OK);
    }
    stop(&b);
    return changes;
}

static void test_page_request_mixed(void)
{
    g_assert_cmpuint(mixed_groups(""), ==, 2);
    g_assert_cmpuint(mixed_groups(" -global svadev.x-wild=1"), >, 2);
}

/* A group is sent to its end although its queue is disabled, not if it is reset */
static void test_page_request_cut(void)
{
    Bench b = start_with(" -global svadev.x-wild=1");
    uint64_t val0, val1;
    bool last = false, cut = false;
    uint32_t pqt;
    int i;

    one_page(&b, 1, 2, DATA);
    qtest_writel(b.qts, MMIO + SVADEV_PRG_PAGES, 32);
    set_queue(&b, 0, 1, 1, PRI);
    begin_fill(&b, 1, VA + 32 * PAGE, 32);
    while (get(&b, VTD + PQT) == get(&b, VTD + PQH)) {
        qtest_clock_step(b.qts, 1000);
    }
    set_queue(&b, 0, 1, 1, PRI);
    cut = get(&b, VTD + PQT) < 32 * 32;
    step(&b);
    for (i = 0; i < 32; i++) {
        g_assert(!last);
        val1 = next_request(&b, &val0);
        last = val1 & 1 << 2;
    }
    g_assert(last && cut);
    g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_BUSY);
    respond(&b, 1, 0, 0);
    step(&b);
    g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_DISABLED);

    /* The index of what a reset has ended is free */
    set_queue(&b, 0, 1, 1, PRI);
    pqt = get(&b, VTD + PQT);
    begin_fill(&b, 1, VA + 32 * PAGE, 32);
    qtest_writel(b.qts, MMIO + SVADEV_PRG_PAGES, 32);
    while (get(&b, VTD + PQT) == pqt) {
        qtest_clock_step(b.qts, 1000);
    }
    qtest_writel(b.qts, MMIO + SVADEV_RESET, 1);
    put(&b, VTD + PQH, get(&b, VTD + PQT));
    step(&b);
    g_assert_cmphex(get(&b, VTD + PQH), ==, get(&b, VTD + PQT));
    set_queue(&b, 0, 1, 1, PRI);
    begin_fill(&b, 1, VA + PAGE, 1);
    step(&b);
    expect_request(&b, 1, 0, VA + PAGE);
    respond(&b, 1, 0, 1);
    step(&b);
    g_assert_cmpuint(dev_counter(&b, "pri.unexpected"), ==, 0);
    stop(&b);
}

/* All that the device may have outstanding, in one group */
static void test_page_request_many(void)
{
    Bench b = start();
    uint64_t pri = cfg(0) + ext_cap(&b, 0, PCI_EXT_CAP_ID_PRI);
    int i;

    one_page(&b, 1, 2, DATA);
    qtest_writew(b.qts, pri + PCI_PRI_CTRL, 0);
    qtest_writel(b.qts, pri + PCI_PRI_ALLOC_REQ, QUEUE_LEN);
    qtest_writew(b.qts, pri + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE);
    qtest_writel(b.qts, MMIO + SVADEV_MAX_RETRIES, 0);
    qtest_writel(b.qts, MMIO + SVADEV_INJECT, SVADEV_INJECT_MANY);
    set_queue(&b, 0, 1, 1, PRI);
    for (i = 0; i < 100 && !dev_counter(&b, "pri.many"); i++) {
        g_assert_cmphex(reg(&b, PRS) & PRO, ==, 0);
        begin_fill(&b, 1, VA + PAGE, 2);
        step(&b);
        if (!dev_counter(&b, "pri.many")) {
            expect_request(&b, 1, 0, VA + PAGE);
            respond(&b, 1, 0, 1);
            step(&b);
        }
    }
    g_assert_cmpuint(dev_counter(&b, "pri.many"), ==, 1);
    g_assert_cmphex(reg(&b, PRS) & PRO, ==, PRO);
    g_assert_cmpuint(counter(&b, "prq.overflow"), ==, 1);
    g_assert_cmpuint(counter(&b, "resp.auto"), ==, 1);
    g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_RETRIES);
    stop(&b);
}

/* ATS must not be disabled while a request is outstanding: cfg.order counts it */
static void test_page_request_ats_off(void)
{
    Bench b = start();
    uint64_t ats = cfg(0) + ext_cap(&b, 0, PCI_EXT_CAP_ID_ATS) + PCI_ATS_CTRL;
    uint64_t val0, val1;
    int i;

    one_page(&b, 1, 2, DATA);
    set_queue(&b, 0, 1, 1, PRI);
    for (i = 0; i < 2; i++) {
        g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + PAGE, 9), ==,
                         SVADEV_STATUS_BUSY);
        val1 = next_request(&b, &val0);
        if (i) {
            qtest_writew(b.qts, ats, 0);
        }
        g_assert_cmpuint(dev_counter(&b, "cfg.order"), ==, i);
        respond(&b, 1, extract64(val1, 3, 9), 1);
        step(&b);
        g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_FAULT);
        qtest_writew(b.qts, ats, 0);
        qtest_writew(b.qts, ats, PCI_ATS_CTRL_ENABLE);
        g_assert_cmpuint(dev_counter(&b, "cfg.order"), ==, i);
    }
    stop(&b);
}

/* PRI must not be enabled before it is stopped: cfg.order counts it */
static void test_page_request_not_stopped(void)
{
    Bench b = start();
    uint64_t pri = cfg(0) + ext_cap(&b, 0, PCI_EXT_CAP_ID_PRI);
    uint64_t val0, val1;
    int i;

    one_page(&b, 1, 2, DATA);
    set_queue(&b, 0, 1, 1, PRI);
    for (i = 0; i < 2; i++) {
        g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + PAGE, 9), ==,
                         SVADEV_STATUS_BUSY);
        val1 = next_request(&b, &val0);
        qtest_writew(b.qts, pri + PCI_PRI_CTRL, 0);
        g_assert_cmphex(qtest_readw(b.qts, pri + PCI_PRI_STATUS) &
                        PCI_PRI_STATUS_STOPPED, ==, 0);
        if (i) {
            qtest_writew(b.qts, pri + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE);
        }
        respond(&b, 1, extract64(val1, 3, 9), 1);
        step(&b);
        g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_FAULT);
        qtest_writew(b.qts, pri + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE);
        g_assert_cmpuint(dev_counter(&b, "cfg.order"), ==, i);
    }
    stop(&b);
}

/* A queue that is not in memory: nothing is written there */
static void test_page_request_mmio(void)
{
    static const struct {
        uint64_t pqa, pqt;
        uint64_t va;
    } cases[] = {
        /* svadev's Device Control: a Function Level Reset */
        { ECAM + (SLOT << 15), 0x40, VA + 8 * PAGE },
        /* The IOMMU's own queue tail */
        { VTD, IQT & ~0x1f, VA + PAGE },
        { NOWHERE, 0, VA + PAGE },
    };
    int i, j;

    for (i = 0; i < ARRAY_SIZE(cases); i++) {
        Bench b = start();
        uint32_t iqt;

        g_test_message("case %d", i);
        one_page(&b, 1, 2, DATA);
        /* What a queue tail out of control would run into */
        iqt = get(&b, VTD + IQT);
        for (j = 0; j < 127; j++) {
            put(&b, QUEUE + j * 32, D_PGRESP | 1 << 4 | 1ull << 32 | 2 << 12 |
                SID << 16);
            put(&b, QUEUE + j * 32 + 8, j << 3 | 1 << 2);
            put(&b, QUEUE + ++j * 32, D_WAIT | WAIT_PD | WAIT_SW);
            put(&b, QUEUE + j * 32 + 8, STATUS);
        }
        put(&b, VTD + PQA, cases[i].pqa);
        put(&b, VTD + PQT, cases[i].pqt);

        /* Two pages, after more retries than are allowed after a reset */
        qtest_writel(b.qts, MMIO + SVADEV_MAX_RETRIES, 100);
        qtest_writel(b.qts, MMIO + SVADEV_PRG_PAGES, 2);
        qtest_writel(b.qts, MMIO + SVADEV_INJECT, SVADEV_INJECT_LOST);
        set_queue(&b, 0, 1, 1, PRI);
        put(&b, page_reg(0, 1, SVADEV_OP), SVADEV_OP_READ);
        put(&b, page_reg(0, 1, SVADEV_SRC), cases[i].va);
        put(&b, page_reg(0, 1, SVADEV_LEN), 2 * PAGE);
        put(&b, page_reg(0, 1, SVADEV_GO), SVADEV_GO_START);
        while (dev_counter(&b, "pri.lost") < 80) {
            step(&b);
        }
        qtest_writel(b.qts, MMIO + SVADEV_INJECT, 0);
        step(&b);
        step(&b);

        g_assert_cmphex(reg(&b, PRS), ==, PRO);
        g_assert_cmpuint(counter(&b, "prq.queued"), ==, 0);
        g_assert_cmpuint(counter(&b, "prq.overflow"), >, 0);
        g_assert_cmphex(get(&b, VTD + PQT), ==, cases[i].pqt);
        g_assert_cmphex(get(&b, VTD + IQT), ==, iqt);
        g_assert_cmphex(qtest_readw(b.qts, cfg(0) + PCI_COMMAND), ==,
                        PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
        g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_RETRIES);
        stop(&b);
    }
}

static void test_no_pre(void)
{
    Bench b = start();

    one_page(&b, 1, 2, DATA);
    set_context(&b, SID, PDIR | CE_P | CE_DTE | CE_PASIDE);
    set_queue(&b, 0, 1, 1, PRI);
    g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + PAGE, 1), ==,
                     SVADEV_STATUS_FAULT);
    expect_fault(&b, 1, VA + PAGE, true, F_CE_PRE);
    g_assert_cmpuint(counter(&b, "prq.refused"), ==, 1);

    /* Faults are not to be recorded */
    set_context(&b, SID, PDIR | CE_P | CE_DTE | CE_PASIDE | CE_FPD);
    desc(&b, D_CC | G(1), 0);
    wait_desc(&b);
    g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + PAGE, 1), ==,
                     SVADEV_STATUS_FAULT);
    no_fault(&b);
    g_assert_cmpuint(counter(&b, "prq.refused"), ==, 2);

    /* Nor can there be any with translation off */
    set_context(&b, SID, PDIR | CE_ALL);
    set_reg(&b, GCMD, QIE);
    g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + PAGE, 1), ==,
                     SVADEV_STATUS_FAULT);
    no_fault(&b);
    g_assert_cmpuint(counter(&b, "prq.refused"), ==, 3);
    g_assert_cmphex(get(&b, VTD + PQT), ==, 0);
    stop(&b);
}

/* What a page request costs, and what it leaves */
static void test_page_request_effects(void)
{
    Bench b = start();
    uint64_t root = one_page(&b, 1, 2, DATA), val0, val1, hits, misses;

    reaches(&b, 1, VA, DATA);

    /* A look at each table for the translation, at one for the page request */
    set_queue(&b, 0, 1, 1, PRI);
    hits = counter(&b, "ctx.hit");
    misses = counter(&b, "pasid.hit");
    g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + PAGE, 9), ==,
                     SVADEV_STATUS_BUSY);
    g_assert_cmpuint(counter(&b, "ctx.hit"), ==, hits + 2);
    g_assert_cmpuint(counter(&b, "pasid.hit"), ==, misses + 1);
    val1 = next_request(&b, &val0);
    map(&b, root, VA + PAGE, (DATA + PAGE) | RW);
    respond(&b, 1, extract64(val1, 3, 9), 0);
    step(&b);
    g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_OK);

    /* A group sent twice is answered twice */
    qtest_writel(b.qts, MMIO + SVADEV_INJECT, SVADEV_INJECT_TWICE);
    g_assert_cmpuint(start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + 2 * PAGE, 9), ==,
                     SVADEV_STATUS_BUSY);
    g_assert_cmpuint(counter(&b, "prq.now"), ==, 2);
    map(&b, root, VA + 2 * PAGE, (DATA + 2 * PAGE) | RW);
    val1 = next_request(&b, &val0);
    respond(&b, 1, extract64(val1, 3, 9), 0);
    g_assert_cmpuint(counter(&b, "prq.now"), ==, 1);
    val1 = next_request(&b, &val0);
    respond(&b, 1, extract64(val1, 3, 9), 0);
    step(&b);
    g_assert_cmpuint(status(&b, 1), ==, SVADEV_STATUS_OK);
    g_assert_cmpuint(counter(&b, "prq.now"), ==, 0);
    g_assert_cmpuint(counter(&b, "resp.unknown"), ==, 0);
    respond(&b, 1, extract64(val1, 3, 9), 0);
    g_assert_cmpuint(counter(&b, "resp.unknown"), ==, 1);

    /* A stop marker is about no page, so no table to it is forgotten */
    reaches(&b, 1, VA, DATA);
    misses = counter(&b, "psc.miss");
    qtest_writel(b.qts, MMIO + SVADEV_INJECT, SVADEV_INJECT_STOP);
    set_queue(&b, 0, 1, 1, PRI);
    g_assert_cmpuint(dev_counter(&b, "pri.stop"), ==, 1);
    next_request(&b, &val0);
    map(&b, root, VA + LARGE, DATA | RW);
    reaches(&b, 1, VA + LARGE, DATA);
    g_assert_cmpuint(counter(&b, "psc.miss"), ==, misses);
    /* It is about a PASID, too */
    set_queue(&b, 0, 1, UNTAGGED, PRI);
    g_assert_cmpuint(dev_counter(&b, "pri.stop"), ==, 2);
    set_queue(&b, 0, 1, 1, PRI);
    g_assert_cmpuint(dev_counter(&b, "pri.stop"), ==, 2);
    stop(&b);
}

/* When an interrupt is due */
static void test_page_request_interrupt(void)
{
    Bench b = start();

    one_page(&b, 1, 2, DATA);
    set_reg(&b, PEADDR, 0xfee00000);
    set_reg(&b, PEDATA, 0x41);
    put(&b, VTD + PQH, 64);
    set_queue(&b, 0, 1, 1, PRI);
    start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + PAGE, 1);
    g_assert_cmphex(reg(&b, PRS), ==, PPR);
    g_assert_cmphex(reg(&b, PECTL), ==, IM | IP);
    /* It is delivered once it is not masked */
    set_reg(&b, PECTL, 0);
    g_assert_cmphex(reg(&b, PECTL), ==, 0);
    set_reg(&b, PECTL, IM);
    g_assert_cmphex(reg(&b, PECTL), ==, IM);
    g_assert_cmphex(reg(&b, PRS), ==, PPR);

    /* None for an overflow while the first is not acknowledged */
    set_queue(&b, 0, 2, 1, PRI);
    start_op(&b, 0, 2, SVADEV_OP_WRITE, VA + 2 * PAGE, 2);
    g_assert_cmphex(reg(&b, PRS), ==, PPR | PRO);
    g_assert_cmphex(reg(&b, PECTL), ==, IM);
    /* Nor once half of it is, but again when all is */
    set_reg(&b, PRS, PPR);
    g_assert_cmphex(reg(&b, PRS), ==, PRO);
    g_assert_cmphex(reg(&b, PECTL), ==, IM);
    set_reg(&b, PRS, PRO);
    put(&b, VTD + PQH, 32);
    start_op(&b, 0, 3, SVADEV_OP_WRITE, VA, 3);
    g_assert_cmphex(reg(&b, PRS), ==, 0);
    set_queue(&b, 0, 3, 1, PRI);
    start_op(&b, 0, 3, SVADEV_OP_WRITE, VA + 3 * PAGE, 3);
    g_assert_cmphex(reg(&b, PRS), ==, PPR);
    g_assert_cmphex(reg(&b, PECTL), ==, IM | IP);
    stop(&b);
}

/* Any register, any size, any descriptor: errors, but never an assertion */
static void test_random(void)
{
    static const uint64_t not_memory[] = {
        PRQ, PRQ, VTD, ECAM + (SLOT << 15), ECAM + ((SLOT + 1) << 15), MMIO,
        MMIO + 0x1000, MMIO + 0x800000, NOWHERE,
    };
    Bench b = start();
    GRand *rng = g_rand_new_with_seed(1);
    uint64_t val;
    uint32_t at;
    int i;

    one_page(&b, 1, 2, DATA);
    set_queue(&b, 0, 1, 1, PRI);

    for (at = 0; at < 0x2a0; at += 4) {
        qtest_readl(b.qts, VTD + at);
        if (!(at & 7)) {
            get(&b, VTD + at);
            put(&b, VTD + at, get(&b, VTD + at));
        }
    }

    for (i = 0; i < 3000; i++) {
        val = (uint64_t)g_rand_int(rng) << 32 | g_rand_int(rng);
        switch (g_rand_int_range(rng, 0, 6)) {
        case 0:
            at = g_rand_int_range(rng, 0, 0x2b0 / 4) * 4;
            /* Not what makes the IOMMU read or write just anywhere */
            if (at != RTADDR && at != RTADDR + 4 && (at & ~7) != IQA &&
                (at & ~7) != PQA) {
                qtest_writel(b.qts, VTD + at, val);
            }
            /* but where no page request should be written to */
            put(&b, VTD + PQA, not_memory[val % ARRAY_SIZE(not_memory)]);
            break;
        case 1:
            at = g_rand_int_range(rng, 0, 0x2b0 / 8) * 8;
            if (at != RTADDR && at != IQA && at != PQA) {
                put(&b, VTD + at, val);
            }
            break;
        case 2:
            put(&b, PTAB + g_rand_int_range(rng, 0, 64) * 8,
                val & 0xfff0000007fffffull);
            break;
        case 3:
            put(&b, TABLES + g_rand_int_range(rng, 0, 0x800) * 8,
                val & ~0x7ff8000000ull);
            break;
        case 4:
            start_op(&b, 0, g_rand_int_range(rng, 0, 2),
                     SVADEV_OP_READ + (val & 1), VA + (val & 0x3ff8), val);
            set_queue(&b, 0, 1, val & 3, PRI);
            break;
        case 5:
            /* Status is written here, if at all */
            put(&b, QUEUE + (i % QUEUE_LEN) * 32,
                (val & ~0xe0full) | (val >> 60));
            put(&b, QUEUE + (i % QUEUE_LEN) * 32 + 8, STATUS);
            set_reg(&b, FSTS, FSTS_IQE);
            put(&b, VTD + IQT, ((i + 1) % QUEUE_LEN) << 5);
            break;
        }
    }

    g_rand_free(rng);
    qtest_system_reset(b.qts);
    qtest_quit(b.qts);
}

/* A reset of the machine leaves nothing behind */
static void test_reset(void)
{
    Bench b = start();

    one_page(&b, 1, 2, DATA);
    reaches(&b, 1, VA, DATA);
    set_queue(&b, 0, 1, 1, PRI);
    start_op(&b, 0, 1, SVADEV_OP_WRITE, VA + PAGE, 1);
    g_assert_cmpuint(counter(&b, "prq.now"), ==, 1);
    qtest_system_reset(b.qts);
    g_assert_cmpuint(counter(&b, "prq.now"), ==, 0);
    g_assert_cmphex(reg(&b, GSTS), ==, 0);
    g_assert_cmphex(reg(&b, PRS), ==, 0);
    g_assert_cmphex(reg(&b, PECTL), ==, IM);
    g_assert_cmphex(get(&b, VTD + PQT), ==, 0);
    stop(&b);
}

/* A machine needs some firmware, even though no CPU runs */
static void make_firmware(void)
{
    g_autofree char *zero = g_malloc0(64 * KiB);
    int fd = g_file_open_tmp("vtd-sva-test-XXXXXX", &firmware, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert(g_file_set_contents(firmware, zero, 64 * KiB, NULL));
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    make_firmware();

    qtest_add_func("/vtd-sva/caps", test_caps);
    qtest_add_func("/vtd-sva/properties", test_properties);
    qtest_add_func("/vtd-sva/migration", test_migration);
    qtest_add_func("/vtd-sva/pasid-table", test_pasid_table);
    qtest_add_func("/vtd-sva/context", test_context);
    qtest_add_func("/vtd-sva/pasid-entry", test_pasid_entry);
    qtest_add_func("/vtd-sva/fault-records", test_fault_records);
    qtest_add_func("/vtd-sva/pass-through", test_pass_through);
    qtest_add_func("/vtd-sva/second-stage", test_second_stage);
    qtest_add_func("/vtd-sva/walk", test_walk);
    qtest_add_func("/vtd-sva/accessed-dirty", test_accessed_dirty);
    qtest_add_func("/vtd-sva/upgrade", test_upgrade);
    qtest_add_func("/vtd-sva/interrupt-range", test_interrupt_range);
    qtest_add_func("/vtd-sva/strict", test_strict);
    qtest_add_func("/vtd-sva/pasid-cache", test_pasid_cache);
    qtest_add_func("/vtd-sva/pasid-directory", test_pasid_directory);
    qtest_add_func("/vtd-sva/pasid-directory-absent",
                   test_pasid_directory_absent);
    qtest_add_func("/vtd-sva/paging-structure-cache", test_psc);
    qtest_add_func("/vtd-sva/scopes", test_scopes);
    qtest_add_func("/vtd-sva/audit", test_audit);
    qtest_add_func("/vtd-sva/audit-large", test_audit_large);
    qtest_add_func("/vtd-sva/late", test_late);
    qtest_add_func("/vtd-sva/conflict", test_conflict);
    qtest_add_func("/vtd-sva/prefetch", test_prefetch);
    qtest_add_func("/vtd-sva/torn", test_torn);
    qtest_add_func("/vtd-sva/evict", test_evict);
    qtest_add_func("/vtd-sva/stores", test_stores);
    qtest_add_func("/vtd-sva/stores-many", test_stores_many);
    qtest_add_func("/vtd-sva/stores-freed", test_stores_freed);
    qtest_add_func("/vtd-sva/wait-time", test_wait_time);
    qtest_add_func("/vtd-sva/wait-seed", test_wait_seed);
    qtest_add_func("/vtd-sva/early", test_early);
    qtest_add_func("/vtd-sva/refill", test_refill);
    qtest_add_func("/vtd-sva/shared", test_shared);
    qtest_add_func("/vtd-sva/cache-overflow", test_overflow_of_caches);
    qtest_add_func("/vtd-sva/wait", test_wait);
    qtest_add_func("/vtd-sva/bad-wait", test_bad_wait);
    qtest_add_func("/vtd-sva/bad-descriptors", test_bad_descriptors);
    qtest_add_func("/vtd-sva/context-register", test_context_register);
    qtest_add_func("/vtd-sva/ats", test_ats);
    qtest_add_func("/vtd-sva/device-tlb", test_device_tlb);
    qtest_add_func("/vtd-sva/stale-device-tlb", test_stale_device_tlb);
    qtest_add_func("/vtd-sva/split-dirty", test_split_dirty);
    qtest_add_func("/vtd-sva/late-device-tlb", test_late_device_tlb);
    qtest_add_func("/vtd-sva/late-large", test_late_large);
    qtest_add_func("/vtd-sva/device-tlb-sizes", test_device_tlb_sizes);
    qtest_add_func("/vtd-sva/device-tlb-ahead", test_ahead);
    qtest_add_func("/vtd-sva/device-tlb-no-write", test_no_write);
    qtest_add_func("/vtd-sva/order", test_order);
    qtest_add_func("/vtd-sva/order-pages", test_order_pages);
    qtest_add_func("/vtd-sva/drain", test_drain);
    qtest_add_func("/vtd-sva/drain-device", test_drain_device);
    qtest_add_func("/vtd-sva/drain-fence", test_drain_fence);
    qtest_add_func("/vtd-sva/order-many", test_order_many);
    qtest_add_func("/vtd-sva/time-out", test_time_out);
    qtest_add_func("/vtd-sva/time-out-waits", test_time_out_waits);
    qtest_add_func("/vtd-sva/time-out-others", test_time_out_others);
    qtest_add_func("/vtd-sva/time-out-many", test_time_out_many);
    qtest_add_func("/vtd-sva/late-answer", test_late_answer);
    qtest_add_func("/vtd-sva/answer-pulled", test_answer_pulled);
    qtest_add_func("/vtd-sva/injected-answer", test_injected_answer);
    qtest_add_func("/vtd-sva/fetch-ahead", test_fetch_ahead);
    qtest_add_func("/vtd-sva/no-dte", test_no_dte);
    qtest_add_func("/vtd-sva/page-request", test_page_request);
    qtest_add_func("/vtd-sva/page-request-time", test_page_request_time);
    qtest_add_func("/vtd-sva/response-time-out", test_response_time_out);
    qtest_add_func("/vtd-sva/page-request-overflow",
                   test_page_request_overflow);
    qtest_add_func("/vtd-sva/page-request-index", test_page_request_index);
    qtest_add_func("/vtd-sva/page-request-mixed", test_page_request_mixed);
    qtest_add_func("/vtd-sva/page-request-cut", test_page_request_cut);
    qtest_add_func("/vtd-sva/page-request-many", test_page_request_many);
    qtest_add_func("/vtd-sva/page-request-ats-off", test_page_request_ats_off);
    qtest_add_func("/vtd-sva/page-request-not-stopped",
                   test_page_request_not_stopped);
    qtest_add_func("/vtd-sva/page-request-mmio", test_page_request_mmio);
    qtest_add_func("/vtd-sva/page-request-effects",
                   test_page_request_effects);
    qtest_add_func("/vtd-sva/page-request-interrupt",
                   test_page_request_interrupt);
    qtest_add_func("/vtd-sva/no-pre", test_no_pre);
    qtest_add_func("/vtd-sva/reset", test_reset);
    qtest_add_func("/vtd-sva/random", test_random);

    ret = g_test_run();

    unlink(firmware);
    g_free(firmware);
    return ret;
}
