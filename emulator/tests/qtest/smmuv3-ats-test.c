/*
 * QTest testcase for ATS of the SMMUv3. There is no guest: the test writes the
 * tables, and two svadevs with translation caches are the masters.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "libqtest.h"
#include "libsva.h"
#include "hw/pci/pci_regs.h"
#include "standard-headers/misc/svadev.h"

/* The machine */
#define ECAM            0x3f000000ull
#define MMIO            0x10000000ull
#define SMMU            0x09050000ull
#define SLOT            3
#define SID             (SLOT << 3)
#define SID2            ((SLOT + 1) << 3)
#define NR_QUEUES       4

/* Memory */
#define STRTAB          0x44000000ull
#define STRTAB_LOG2     8
#define CMDQ            0x44010000ull
#define EVTQ            0x44020000ull
#define CDTAB           0x44030000ull
#define CDTAB2          0x44031000ull
#define TABLES          0x44100000ull
#define DATA            0x45000000ull
#define PAGE            0x1000ull
#define GiB             0x40000000ull
#define QUEUE_LOG2      7

/* SMMU registers */
#define IDR0            0x0
#define CR0             0x20
#define  CR0_SMMUEN     (1u << 0)
#define  CR0_EVENTQEN   (1u << 2)
#define  CR0_CMDQEN     (1u << 3)
#define  CR0_ATSCHK     (1u << 4)
#define  CR0_ALL        (CR0_SMMUEN | CR0_EVENTQEN | CR0_CMDQEN | CR0_ATSCHK)
#define CR2             0x2c
#define  CR2_RECINVSID  (1u << 1)
#define  CR2_REC_CFG_ATS (1u << 3)
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

/* Commands and their errors */
#define CFGI_STE        0x03
#define CFGI_CD         0x05
#define TLBI_NH_ALL     0x10
#define ATC_INV         0x40
#define  ATC_GLOBAL     (1u << 9)
#define  ATC_SSV        (1u << 11)
#define SYNC            0x46
#define CERROR_ILL      1
#define CERROR_ATC_INV  3

/* Events */
#define C_BAD_STREAMID  0x02
#define C_BAD_STE       0x04
#define F_BAD_ATS_TREQ  0x05
#define F_TRANSL_FORB   0x07
#define C_BAD_CD        0x0a

/* STE, CD, descriptors */
#define STE_V           1ull
#define STE_ABORT       (0ull << 1)
#define STE_BYPASS      (4ull << 1)
#define STE_S1          (5ull << 1)
#define STE_CDMAX(n)    ((uint64_t)(n) << 59)
#define STE1_DSS_BYPASS 1ull
#define STE1_DSS_CD0    2ull
#define STE1_EATS(n)    ((uint64_t)(n) << 28)
#define CD_BASE         (25ull | 1ull << 30 | 1ull << 31 | 4ull << 32 | \
                         1ull << 41 | 1ull << 45 | 1ull << 46)
#define CD_ASID(n)      ((uint64_t)(n) << 48)
#define PTE_RW          (3ull | 1ull << 6 | 1ull << 10 | 1ull << 11)
#define PTE_RO          (1ull << 7)

#define VA              0x10000000ull
#define PASID           5
#define STEP_NS         100000

typedef struct Bench {
    QTestState *qts;
    uint64_t next_table;
    uint64_t ttb[64];           /* of each PASID of the first svadev */
    uint32_t cmd_prod;
    uint32_t evt_cons;
} Bench;

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

static uint64_t stat_of(Bench *b, const char *path, const char *name)
{
    return sva_stat(b->qts, path, name);
}

static uint64_t counter(Bench *b, const char *name)
{
    return stat_of(b, "/machine/smmuv3", name);
}

static uint64_t dev_counter(Bench *b, const char *name)
{
    return stat_of(b, "/machine/peripheral/dev0", name);
}

static void step(Bench *b)
{
    int i;

    for (i = 0; i < 10; i++) {
        qtest_clock_step(b->qts, STEP_NS);
    }
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

static bool cmdq_error(Bench *b)
{
    return (reg(b, GERROR) ^ reg(b, GERRORN)) & 1;
}

/* All is consumed, or the queue stopped at an error */
static void cmd_wait(Bench *b)
{
    uint32_t mask = MAKE_64BIT_MASK(0, QUEUE_LOG2 + 1);
    int i;

    for (i = 0; i < 2000; i++) {
        if (cmdq_error(b) || (reg(b, CMDQ_CONS) & mask) == b->cmd_prod) {
            return;
        }
        qtest_clock_step(b->qts, STEP_NS);
    }
    g_assert_not_reached();
}

static void cmd_sync(Bench *b)
{
    cmd(b, SYNC, 0, 0, 0);
    cmd_wait(b);
    g_assert(!cmdq_error(b));
}

/* The command in front of CONS is in error; take it off if @skip */
static void expect_cmd_error(Bench *b, int error, bool skip)
{
    cmd_wait(b);
    g_assert(cmdq_error(b));
    g_assert_cmphex(extract32(reg(b, CMDQ_CONS), 24, 7), ==, error);
    g_assert_cmphex(extract32(reg(b, CMDQ_CONS), 0, QUEUE_LOG2 + 1), ==,
                    (b->cmd_prod - 1) & MAKE_64BIT_MASK(0, QUEUE_LOG2 + 1));
    if (skip) {
        b->cmd_prod = (b->cmd_prod - 1) & MAKE_64BIT_MASK(0, QUEUE_LOG2 + 1);
        set_reg(b, CMDQ_PROD, b->cmd_prod);
    }
    set_reg(b, GERRORN, reg(b, GERROR));
}

static void atc_inv(Bench *b, uint32_t sid, uint32_t flags, uint32_t ssid,
                    uint64_t addr, unsigned int size)
{
    cmd(b, ATC_INV, flags | ssid << 12, sid, addr | size);
}

/* Drop what the SMMU has cached of the first svadev, as software does */
static void inval_smmu(Bench *b)
{
    cmd(b, CFGI_STE, 0, SID, 1);
    cmd(b, TLBI_NH_ALL, 0, 0, 0);
    cmd_sync(b);
}

/* Events */

static bool has_event(Bench *b)
{
    return (reg(b, EVENTQ_PROD) & 0xff) != (b->evt_cons & 0xff);
}

static void no_event(Bench *b)
{
    g_assert(!has_event(b));
}

/* Return: the address that the event tells of */
static uint64_t expect_event(Bench *b, uint8_t type, int ssid)
{
    uint64_t at = EVTQ + (b->evt_cons & MAKE_64BIT_MASK(0, QUEUE_LOG2)) * 32;
    uint64_t word = get(b, at);

    g_assert(has_event(b));
    g_assert_cmphex(word & 0xff, ==, type);
    g_assert_cmphex(word >> 32, ==, SID);
    g_assert_cmphex(extract64(word, 11, 1), ==, ssid >= 0);
    g_assert_cmphex(extract64(word, 12, 20), ==, MAX(ssid, 0));
    b->evt_cons = (b->evt_cons + 1) & MAKE_64BIT_MASK(0, QUEUE_LOG2 + 1);
    set_reg(b, EVENTQ_CONS, b->evt_cons);
    return get(b, at + 16);
}

/* Tables */

static uint64_t new_table(Bench *b)
{
    uint64_t addr = b->next_table;

    b->next_table += PAGE;
    qtest_memset(b->qts, addr, 0, PAGE);
    return addr;
}

static void map(Bench *b, int ssid, uint64_t va, uint64_t desc)
{
    uint64_t table = b->ttb[ssid], addr;
    int level;

    for (level = 1; ; level++) {
        addr = table + extract64(va, 12 + 9 * (3 - level), 9) * 8;
        if (level == 3) {
            put(b, addr, desc);
            return;
        }
        if (!get(b, addr)) {
            put(b, addr, new_table(b) | 3);
        }
        table = get(b, addr) & MAKE_64BIT_MASK(12, 36);
    }
}

static void set_ste(Bench *b, uint64_t dword0, uint64_t dword1)
{
    put(b, STRTAB + SID * 64 + 8, dword1);
    put(b, STRTAB + SID * 64, dword0);
    inval_smmu(b);
}

static void set_eats(Bench *b, int eats)
{
    set_ste(b, STE_V | STE_S1 | CDTAB | STE_CDMAX(6),
            STE1_DSS_CD0 | STE1_EATS(eats));
}

static void add_cd(Bench *b, int ssid)
{
    b->ttb[ssid] = new_table(b);
    put(b, CDTAB + ssid * 64 + 8, b->ttb[ssid]);
    put(b, CDTAB + ssid * 64, CD_BASE | CD_ASID(ssid + 1));
}

/* svadev */

static uint64_t ext_cap(Bench *b, int dev, uint16_t id)
{
    uint64_t cfg = ECAM + ((SLOT + dev) << 15);
    uint16_t pos = sva_ext_cap(b->qts, cfg, id);

    g_assert(pos);
    return cfg + pos;
}

static void set_ats(Bench *b, int dev, bool on)
{
    qtest_writew(b->qts, ext_cap(b, dev, PCI_EXT_CAP_ID_ATS) + PCI_ATS_CTRL,
                 on ? PCI_ATS_CTRL_ENABLE : 0);
}

static uint64_t bars(int dev)
{
    return MMIO + dev * 0x1000000;
}

static void setup_dev(Bench *b, int dev)
{
    sva_setup(b->qts, ECAM + ((SLOT + dev) << 15), bars(dev));
}

static uint64_t page_reg(uint32_t offset)
{
    return sva_page_reg(bars(0), 0, offset);
}

/* An operation of the first svadev, by ATS; @ssid < 0: untagged */
static uint64_t dma_mode(Bench *b, int ssid, uint64_t op, uint64_t va,
                         uint32_t miss)
{
    sva_set_queue(b->qts, bars(0), 0, ssid, SVADEV_Q_MODE_ATS | miss);
    sva_start(b->qts, bars(0), 0, op, va, 0x1122334455667788);
    step(b);
    return get(b, page_reg(SVADEV_STATUS));
}

static uint64_t dma(Bench *b, int ssid, uint64_t op, uint64_t va)
{
    return dma_mode(b, ssid, op, va, SVADEV_Q_MODE_MISS_FAIL);
}

static void works(Bench *b, int ssid, uint64_t va)
{
    g_assert_cmpuint(dma(b, ssid, SVADEV_OP_WRITE, va), ==, SVADEV_STATUS_OK);
}

static void fails(Bench *b, int ssid, uint64_t va)
{
    g_assert_cmpuint(dma(b, ssid, SVADEV_OP_WRITE, va), ==,
                     SVADEV_STATUS_FAULT);
}

/* The bench */

static Bench start(const char *props)
{
    Bench b = { .next_table = TABLES };

    b.qts = qtest_initf("-M virt,iommu=smmuv3,highmem-ecam=off "
                        "-cpu cortex-a57 -m 128M -nodefaults "
                        "-global arm-smmuv3.ssidsize=16 "
                        "-global svadev.x-wild=0 %s "
                        "-device svadev,id=dev0,addr=%d,nr-queues=%d,ats=on "
                        "-device svadev,id=dev1,addr=%d,nr-queues=%d,ats=on",
                        props, SLOT, NR_QUEUES, SLOT + 1, NR_QUEUES);

    qtest_memset(b.qts, STRTAB, 0, TABLES - STRTAB);
    put(&b, SMMU + STRTAB_BASE, STRTAB);
    set_reg(&b, STRTAB_BASE_CFG, STRTAB_LOG2);
    put(&b, SMMU + CMDQ_BASE, CMDQ | QUEUE_LOG2);
    put(&b, SMMU + EVENTQ_BASE, EVTQ | QUEUE_LOG2);
    set_reg(&b, CR2, CR2_RECINVSID);
    set_reg(&b, CR0, CR0_ALL);

    setup_dev(&b, 0);
    setup_dev(&b, 1);
    add_cd(&b, 0);
    add_cd(&b, PASID);
    add_cd(&b, PASID + 1);
    map(&b, 0, VA, DATA | PTE_RW);
    map(&b, PASID, VA, (DATA + PAGE) | PTE_RW);
    map(&b, PASID + 1, VA, (DATA + 2 * PAGE) | PTE_RW);
    return b;
}

static Bench start_ats(void)
{
    Bench b = start("-global arm-smmuv3.ats=on");

    set_eats(&b, 1);
    set_ats(&b, 0, true);
    return b;
}

static void stop(Bench *b)
{
    no_event(b);
    g_assert_cmphex(reg(b, GERROR), ==, reg(b, GERRORN));
    qtest_quit(b->qts);
}

static void test_idr(void)
{
    Bench b = start("-global arm-smmuv3.ats=on");

    g_assert_cmphex(extract32(reg(&b, IDR0), 10, 1), ==, 1);    /* ATS */
    g_assert_cmphex(extract32(reg(&b, IDR0), 11, 1), ==, 1);    /* NS1ATS */
    g_assert_cmphex(extract32(reg(&b, IDR0), 16, 1), ==, 0);    /* PRI */
    g_assert_cmphex(extract32(reg(&b, IDR0), 23, 1), ==, 1);    /* ATSRECERR */
    stop(&b);
}

static void test_off(void)
{
    Bench b = start("");

    g_assert_cmphex(extract32(reg(&b, IDR0), 10, 1), ==, 0);
    set_eats(&b, 1);
    set_ats(&b, 0, true);
    fails(&b, PASID, VA);
    atc_inv(&b, SID, 0, 0, 0, 52);
    expect_cmd_error(&b, CERROR_ILL, true);
    stop(&b);
}

static void test_request(void)
{
    Bench b = start_ats();
    uint64_t ok;

    works(&b, PASID, VA);
    g_assert_cmphex(get(&b, DATA + PAGE), ==, 0x1122334455667788);
    ok = counter(&b, "ats.ok");
    g_assert_cmpuint(ok, ==, 1);
    works(&b, PASID, VA);
    g_assert_cmpuint(counter(&b, "ats.ok"), ==, ok);
    g_assert_cmpuint(dev_counter(&b, "atc.hit"), ==, 1);

    /* Untagged ones use CD 0 */
    works(&b, -1, VA);
    g_assert_cmphex(get(&b, DATA), ==, 0x1122334455667788);
    stop(&b);
}

/* IHI 0070, 3.9.1.2: stage 1 bypassed by S1DSS is an identity mapping */
static void test_identity(void)
{
    Bench b = start_ats();

    set_ste(&b, STE_V | STE_S1 | CDTAB | STE_CDMAX(6),
            STE1_DSS_BYPASS | STE1_EATS(1));
    works(&b, -1, DATA);
    g_assert_cmphex(get(&b, DATA), ==, 0x1122334455667788);
    works(&b, PASID, VA);
    stop(&b);
}

static void test_refused(void)
{
    Bench b = start_ats();

    set_eats(&b, 0);
    fails(&b, PASID, VA + 8);
    g_assert_cmphex(expect_event(&b, F_BAD_ATS_TREQ, PASID), ==, VA);
    fails(&b, -1, VA);
    expect_event(&b, F_BAD_ATS_TREQ, -1);

    set_eats(&b, 3);
    fails(&b, PASID, VA);
    expect_event(&b, F_BAD_ATS_TREQ, PASID);

    set_ste(&b, STE_V | STE_BYPASS, STE1_EATS(1));
    fails(&b, -1, VA);
    expect_event(&b, F_BAD_ATS_TREQ, -1);

    set_ste(&b, STE_V | STE_ABORT, STE1_EATS(1));
    fails(&b, PASID, VA);
    no_event(&b);

    g_assert_cmpuint(counter(&b, "ats.ur"), ==, 5);
    set_eats(&b, 1);
    set_reg(&b, CR0, CR0_ALL & ~CR0_SMMUEN);
    fails(&b, PASID, VA);
    expect_event(&b, F_BAD_ATS_TREQ, PASID);
    set_reg(&b, CR0, CR0_ALL);
    works(&b, PASID, VA);
    stop(&b);
}

/* The tables grant nothing, or less: no event */
static void test_faults(void)
{
    Bench b = start_ats();

    fails(&b, PASID, VA + PAGE);
    g_assert_cmpuint(counter(&b, "ats.fault"), ==, 1);

    map(&b, PASID, VA + 2 * PAGE, DATA | PTE_RW | PTE_RO);
    fails(&b, PASID, VA + 2 * PAGE);
    g_assert_cmpuint(counter(&b, "ats.fault"), ==, 1);
    g_assert_cmpuint(dma(&b, PASID, SVADEV_OP_READ, VA + 2 * PAGE), ==,
                     SVADEV_STATUS_OK);
    stop(&b);
}

/* What leads to the tables is in error: an event only with REC_CFG_ATS */
static void test_config_errors(void)
{
    Bench b = start_ats();

    fails(&b, PASID + 2, VA);
    g_assert_cmpuint(counter(&b, "ats.ca"), ==, 1);
    no_event(&b);

    set_reg(&b, CR2, CR2_REC_CFG_ATS);
    fails(&b, PASID + 2, VA);
    expect_event(&b, C_BAD_CD, PASID + 2);
    set_ste(&b, 0, 0);
    fails(&b, PASID, VA);
    expect_event(&b, C_BAD_STE, PASID);

    /* Split-stage ATS is not there */
    set_eats(&b, 2);
    fails(&b, PASID, VA);
    expect_event(&b, C_BAD_STE, PASID);

    /* An invalid StreamID needs both bits */
    set_reg(&b, STRTAB_BASE_CFG, 2);
    inval_smmu(&b);
    fails(&b, PASID, VA);
    no_event(&b);
    set_reg(&b, CR2, CR2_REC_CFG_ATS | CR2_RECINVSID);
    fails(&b, PASID, VA);
    expect_event(&b, C_BAD_STREAMID, PASID);
    stop(&b);
}

static void test_translated(void)
{
    Bench b = start_ats();

    works(&b, PASID, VA);
    set_eats(&b, 0);
    fails(&b, PASID, VA);
    expect_event(&b, F_TRANSL_FORB, -1);
    g_assert_cmpuint(counter(&b, "ats.forbidden"), ==, 1);

    /* Without ATSCHK nothing is looked up */
    set_reg(&b, CR0, CR0_ALL & ~CR0_ATSCHK);
    works(&b, PASID, VA);
    set_reg(&b, CR0, CR0_ALL & ~CR0_SMMUEN);
    fails(&b, PASID, VA);
    expect_event(&b, F_TRANSL_FORB, -1);
    stop(&b);
}

/* Fill the cache, invalidate; is it asked for again? */
static bool drops(Bench *b, int ssid, uint32_t flags, uint32_t inv_ssid,
                  uint64_t addr, unsigned int size)
{
    uint64_t hits;

    works(b, ssid, VA);
    atc_inv(b, SID, flags, inv_ssid, addr, size);
    cmd_sync(b);
    hits = dev_counter(b, "atc.hit");
    works(b, ssid, VA);
    return dev_counter(b, "atc.hit") == hits;
}

static void test_inval(void)
{
    Bench b = start_ats();

    g_assert(drops(&b, PASID, ATC_SSV, PASID, VA, 0));
    g_assert(drops(&b, PASID, ATC_SSV, PASID, 0, 52));
    g_assert(drops(&b, PASID, ATC_SSV, PASID, VA + PAGE, 1));
    g_assert(drops(&b, PASID, ATC_SSV | ATC_GLOBAL, PASID + 1, VA, 0));
    g_assert(!drops(&b, PASID, ATC_SSV, PASID, VA + PAGE, 0));
    g_assert(!drops(&b, PASID, ATC_SSV, PASID + 1, VA, 0));
    g_assert(!drops(&b, PASID, 0, PASID, 0, 52));
    g_assert(!drops(&b, PASID, ATC_GLOBAL, PASID, 0, 52));

    g_assert(drops(&b, -1, 0, 0, VA, 0));
    g_assert(!drops(&b, -1, ATC_SSV | ATC_GLOBAL, 0, 0, 52));

    /* Another function's cache is not meant */
    works(&b, PASID, VA);
    atc_inv(&b, SID2, ATC_SSV, PASID, 0, 52);
    cmd_sync(&b);
    g_assert_cmpuint(counter(&b, "atc_inv.ur"), ==, 1);

    /* A larger span than all of it */
    atc_inv(&b, SID, 0, 0, 0, 53);
    expect_cmd_error(&b, CERROR_ILL, true);

    /* Ignored while translation is off */
    set_reg(&b, CR0, CR0_ALL & ~CR0_SMMUEN);
    atc_inv(&b, 0xff, 0, 0, 0, 52);
    cmd_sync(&b);
    g_assert_cmpuint(counter(&b, "atc_inv.timeout"), ==, 0);
    stop(&b);
}

/* A stale entry of the SMMU gets into the cache of the function again */
static void test_refill(void)
{
    Bench b = start_ats();
    uint64_t stale;

    works(&b, PASID, VA);
    map(&b, PASID, VA, 0);
    atc_inv(&b, SID, ATC_SSV, PASID, VA, 0);
    cmd_sync(&b);
    stale = counter(&b, "stale.tlb");
    works(&b, PASID, VA);
    g_assert_cmpuint(counter(&b, "stale.tlb"), >, stale);

    cmd(&b, TLBI_NH_ALL, 0, 0, 0);
    cmd_sync(&b);
    works(&b, PASID, VA);
    g_assert_cmpuint(dev_counter(&b, "stale.atc"), >, 0);

    /* In the right order */
    atc_inv(&b, SID, ATC_SSV, PASID, VA, 0);
    cmd_sync(&b);
    fails(&b, PASID, VA);
    stop(&b);
}

/*
 * A hit is late if the entry was found to differ long before the last CMD_SYNC.
 * A descriptor is stored at most one second before the CMD_SYNC behind it.
 */
static void test_late(void)
{
    Bench b = start_ats();
    uint64_t late;

    works(&b, PASID, VA);
    map(&b, PASID, VA, 0);
    works(&b, PASID, VA);
    cmd(&b, TLBI_NH_ALL, 0, 0, 0);
    cmd_sync(&b);
    works(&b, PASID, VA);
    g_assert_cmpuint(dev_counter(&b, "stale.atc"), ==, 2);
    g_assert_cmpuint(dev_counter(&b, "late.atc"), ==, 0);

    qtest_clock_step(b.qts, 1100000000);
    works(&b, PASID, VA);
    g_assert_cmpuint(dev_counter(&b, "late.atc"), ==, 0);
    cmd_sync(&b);
    works(&b, PASID, VA);
    g_assert_cmpuint(dev_counter(&b, "late.atc"), ==, 1);

    /* It is granted again */
    map(&b, PASID, VA, (DATA + PAGE) | PTE_RW);
    works(&b, PASID, VA);
    map(&b, PASID, VA, 0);
    late = dev_counter(&b, "late.atc");
    works(&b, PASID, VA);
    g_assert_cmpuint(dev_counter(&b, "late.atc"), ==, late);
    stop(&b);
}

/*
 * An audit of large entries for small pages takes a bounded time. What it does
 * not look at counts.
 */
static void test_audit_bound(void)
{
    Bench b = start_ats();
    uint64_t l3 = TABLES + 0x100000, pa = DATA & ~(GiB - 1);
    uint64_t va = 2 * GiB, l2 = new_table(&b);
    g_autofree uint64_t *ptes = g_new(uint64_t, 512 * 512);
    int i;

    for (i = 0; i < 512 * 512; i++) {
        ptes[i] = cpu_to_le64((pa + i * PAGE) | PTE_RW);
    }
    qtest_memwrite(b.qts, l3, ptes, 512 * PAGE);
    for (i = 0; i < 512; i++) {
        put(&b, l2 + i * 8, (l3 + i * PAGE) | 3);
    }
    for (i = 0; i < 9; i++) {
        add_cd(&b, 10 + i);
        put(&b, b.ttb[10 + i] + 2 * 8, (pa | PTE_RW) & ~2ull);
        works(&b, 10 + i, va + DATA - pa);
    }
    for (i = 0; i < 9; i++) {
        put(&b, b.ttb[10 + i] + 2 * 8, l2 | 3);
    }
    qtest_writel(b.qts, bars(0) + SVADEV_STAT_LATCH, SVADEV_STAT_LATCH_AUDIT);
    /* There is time for eight of each */
    g_assert_cmpuint(counter(&b, "left.tlb"), ==, 1);
    g_assert_cmpuint(dev_counter(&b, "left.atc"), ==, 1);
    stop(&b);
}

/* ATS is off in the function: UR, which is an answer */
static void test_unsupported(void)
{
    Bench b = start_ats();

    set_ats(&b, 0, false);
    atc_inv(&b, SID, ATC_SSV, PASID, 0, 52);
    cmd_sync(&b);
    g_assert_cmpuint(counter(&b, "atc_inv.ur"), ==, 1);
    g_assert_cmpuint(counter(&b, "atc_inv.timeout"), ==, 0);
    stop(&b);
}

static void slot(Bench *b, bool plug)
{
    qtest_writel(b->qts, bars(0) + SVADEV_SLOT,
                 SID2 | (plug ? SVADEV_SLOT_PLUG : 0));
}

/* A function that was pulled never answers */
static void test_timeout(void)
{
    Bench b = start_ats();
    int i, lost = 0;

    slot(&b, false);
    for (i = 0; i < 32; i++) {
        uint64_t hits;

        works(&b, PASID, VA);
        atc_inv(&b, SID2, ATC_SSV, PASID, 0, 52);
        atc_inv(&b, SID, ATC_SSV, PASID, 0, 52);
        cmd(&b, SYNC, 0, 0, 0);
        expect_cmd_error(&b, CERROR_ATC_INV, false);
        /* Once the error is acknowledged it is consumed */
        cmd_wait(&b);
        g_assert(!cmdq_error(&b));

        hits = dev_counter(&b, "atc.hit");
        works(&b, PASID, VA);
        lost += dev_counter(&b, "atc.hit") > hits;
    }
    /* Others may be lost with it, and may not */
    g_assert_cmpint(lost, >, 0);
    g_assert_cmpint(lost, <, 32);
    g_assert_cmpuint(counter(&b, "atc_inv.lost"), ==, lost);

    /* No function was ever there */
    atc_inv(&b, 0xffff, 0, 0, 0, 52);
    cmd(&b, SYNC, 0, 0, 0);
    expect_cmd_error(&b, CERROR_ATC_INV, false);
    cmd_wait(&b);

    slot(&b, true);
    atc_inv(&b, SID2, ATC_SSV, PASID, 0, 52);
    cmd_sync(&b);
    stop(&b);
}

/* Invalidations that are answered late, or never */

#define SCALE_MS        1000000ll
#define LATE_NS         (100 * SCALE_MS)
#define TIMEOUT_NS      (150 * SCALE_MS)

static void inject(Bench *b, int dev, uint32_t val)
{
    qtest_writel(b->qts, bars(dev) + SVADEV_INJECT, val);
}

static int64_t now_ns(Bench *b)
{
    return qtest_clock_step(b->qts, 1);
}

static bool consumed(Bench *b)
{
    return (reg(b, CMDQ_CONS) & MAKE_64BIT_MASK(0, QUEUE_LOG2 + 1)) ==
           b->cmd_prod;
}

static bool hits(Bench *b, int ssid)
{
    uint64_t before = dev_counter(b, "atc.hit");

    works(b, ssid, VA);
    return dev_counter(b, "atc.hit") > before;
}

/* The CMD_SYNC waits, and the cache keeps the entry until the answer */
static void test_answer_late(void)
{
    Bench b = start_ats();
    int64_t begin;

    works(&b, PASID, VA);
    inject(&b, 0, SVADEV_INJECT_INV_LATE);
    begin = now_ns(&b);
    atc_inv(&b, SID, ATC_SSV, PASID, VA, 0);
    cmd(&b, SYNC, 0, 0, 0);
    /* What the function is sent later it may answer at once */
    qtest_clock_step(b.qts, SCALE_MS);
    inject(&b, 0, 0);
    qtest_clock_step(b.qts, LATE_NS / 2);
    g_assert(!consumed(&b));
    g_assert(hits(&b, PASID));
    cmd_wait(&b);
    g_assert(!cmdq_error(&b));
    g_assert_cmpint(now_ns(&b) - begin, >=, LATE_NS);
    g_assert(!hits(&b, PASID));
    g_assert_cmpuint(counter(&b, "atc_inv.timeout"), ==, 0);

    /* Without a CMD_SYNC it is answered, too, here by a function without ATS */
    inject(&b, 0, SVADEV_INJECT_INV_LATE);
    atc_inv(&b, SID, ATC_SSV, PASID, VA, 0);
    cmd(&b, SYNC, 0, 0, 0);
    qtest_clock_step(b.qts, SCALE_MS);
    set_ats(&b, 0, false);
    cmd_wait(&b);
    g_assert(!cmdq_error(&b));
    g_assert_cmpuint(counter(&b, "atc_inv.ur"), ==, 1);
    stop(&b);
}

/* What is in front of a CMD_SYNC */
enum {
    FRONT_NOTHING,
    FRONT_ATC_INV,
    FRONT_ATC_INV_OTHER,    /* of the second svadev */
    FRONT_ATS_OFF,          /* ATS disabled, and FRONT_ATC_INV */
    FRONT_CFGI,
};

/*
 * How many of 8 writes of the first svadev to @va that are in flight are over
 * when a CMD_SYNC completes?
 */
static int over_by(Bench *b, int ssid, uint64_t va, uint32_t mode, int front)
{
    int i, n = 0, over = 0;

    for (i = 0; i < 1000 && n < 8; i++) {
        sva_set_queue(b->qts, bars(0), 0, ssid, mode);
        sva_start(b->qts, bars(0), 0, SVADEV_OP_WRITE, va, i);
        /* As much time as a translation takes, and less than a flight */
        qtest_clock_step(b->qts, 1000);
        if (get(b, page_reg(SVADEV_STATUS)) == SVADEV_STATUS_BUSY) {
            n++;
            if (front == FRONT_ATS_OFF) {
                set_ats(b, 0, false);
            }
            if (front == FRONT_CFGI) {
                cmd(b, CFGI_STE, 0, SID, 1);
            } else if (front != FRONT_NOTHING) {
                atc_inv(b, front == FRONT_ATC_INV_OTHER ? SID2 : SID, ATC_SSV,
                        ssid, va, 0);
            }
            cmd(b, SYNC, 0, 0, 0);
            qtest_clock_step(b->qts, 10);
            while (!consumed(b)) {
                qtest_clock_step(b->qts, 1000);
            }
            over += get(b, page_reg(SVADEV_STATUS)) == SVADEV_STATUS_OK;
            set_ats(b, 0, true);
        }
        qtest_clock_step(b->qts, 2 * SCALE_MS);
        g_assert_cmpuint(get(b, page_reg(SVADEV_STATUS)), ==,
                         SVADEV_STATUS_OK);
    }
    g_assert_cmpint(n, ==, 8);
    return over;
}

/*
 * A CMD_SYNC waits for what its SMMU has translated. What a function has
 * translated by its own cache is waited for by its answer, and behind an
 * invalidation of its STE, which every translated request is checked against.
 */
static void test_flight(void)
{
    static const int over[] = {
        [FRONT_NOTHING] = 0,
        [FRONT_ATC_INV] = 8,
        [FRONT_ATC_INV_OTHER] = 0,
        [FRONT_ATS_OFF] = 8,
        [FRONT_CFGI] = 8,
    };
    Bench b = start("-global arm-smmuv3.ats=on "
                    "-global arm-smmuv3.x-wild=0 "
                    "-global arm-smmuv3.x-sync-ns=1");
    int i;

    set_eats(&b, 1);
    set_ats(&b, 0, true);
    set_ats(&b, 1, true);
    g_assert_cmpint(over_by(&b, PASID, VA, 0, FRONT_NOTHING), ==, 8);
    for (i = 0; i < ARRAY_SIZE(over); i++) {
        g_test_message("behind %d", i);
        g_assert_cmpint(over_by(&b, PASID, VA, SVADEV_Q_MODE_ATS, i), ==,
                        over[i]);
    }
    g_assert_cmpuint(counter(&b, "atc_inv.timeout"), ==, 0);
    stop(&b);

    /* It is of the second SMMU, which is not enabled */
    b = start("-M x-second-smmu=0x18 "
              "-global arm-smmuv3.x-sync-ns=1");
    g_assert_cmpint(over_by(&b, -1, DATA, 0, FRONT_NOTHING), ==, 0);
    stop(&b);
}

/* CERROR_ATC_INV_SYNC after the time-out, and the cache keeps the entry */
static void test_answer_never(void)
{
    Bench b = start_ats();
    int64_t begin;

    works(&b, PASID, VA);
    inject(&b, 0, SVADEV_INJECT_INV_NEVER);
    begin = now_ns(&b);
    atc_inv(&b, SID, ATC_SSV, PASID, VA, 0);
    cmd(&b, SYNC, 0, 0, 0);
    qtest_clock_step(b.qts, TIMEOUT_NS / 2);
    g_assert(!consumed(&b));
    g_assert(!cmdq_error(&b));
    expect_cmd_error(&b, CERROR_ATC_INV, false);
    g_assert_cmpint(now_ns(&b) - begin, >=, TIMEOUT_NS);
    cmd_wait(&b);
    g_assert(consumed(&b) && !cmdq_error(&b));
    g_assert(hits(&b, PASID));
    g_assert_cmpuint(counter(&b, "atc_inv.timeout"), ==, 1);

    /* The next one is answered */
    inject(&b, 0, 0);
    atc_inv(&b, SID, ATC_SSV, PASID, VA, 0);
    cmd_sync(&b);
    g_assert(!hits(&b, PASID));

    /* An answer that comes after the time-out is none */
    qtest_quit(b.qts);
    b = start("-global arm-smmuv3.ats=on "
              "-global arm-smmuv3.x-timeout-ns=50000000");
    set_eats(&b, 1);
    set_ats(&b, 0, true);
    works(&b, PASID, VA);
    inject(&b, 0, SVADEV_INJECT_INV_LATE);
    atc_inv(&b, SID, ATC_SSV, PASID, VA, 0);
    cmd(&b, SYNC, 0, 0, 0);
    expect_cmd_error(&b, CERROR_ATC_INV, false);
    cmd_wait(&b);
    qtest_clock_step(b.qts, LATE_NS);
    g_assert(hits(&b, PASID));
    stop(&b);
}

/* A CMD_SYNC that failed, and completes when repeated, makes no entry late */
static void test_late_failed(void)
{
    Bench b = start("-global arm-smmuv3.ats=on "
                    "-global arm-smmuv3.x-timeout-ns=2000000000");
    int i;

    set_eats(&b, 1);
    set_ats(&b, 0, true);
    works(&b, PASID, VA);
    map(&b, PASID, VA, 0);
    works(&b, PASID, VA);
    cmd(&b, TLBI_NH_ALL, 0, 0, 0);
    inject(&b, 0, SVADEV_INJECT_INV_NEVER);
    atc_inv(&b, SID, ATC_SSV, PASID, VA, 0);
    cmd(&b, SYNC, 0, 0, 0);
    for (i = 0; i < 21; i++) {
        qtest_clock_step(b.qts, 100 * SCALE_MS);
    }
    expect_cmd_error(&b, CERROR_ATC_INV, false);
    works(&b, PASID, VA);
    g_assert_cmpuint(dev_counter(&b, "late.atc"), ==, 0);
    cmd_wait(&b);
    g_assert(consumed(&b) && !cmdq_error(&b));
    works(&b, PASID, VA);
    /* That of another CPU, before software has sent the invalidation again */
    cmd_sync(&b);
    works(&b, PASID, VA);
    g_assert_cmpuint(dev_counter(&b, "late.atc"), ==, 0);

    qtest_clock_step(b.qts, 1100 * SCALE_MS);
    cmd_sync(&b);
    works(&b, PASID, VA);
    g_assert_cmpuint(dev_counter(&b, "late.atc"), ==, 1);

    inject(&b, 0, 0);
    atc_inv(&b, SID, ATC_SSV, PASID, VA, 0);
    cmd_sync(&b);
    fails(&b, PASID, VA);
    stop(&b);
}

/* Another one that has not been answered at a time-out is not waited for */
static void test_answer_given_up(void)
{
    Bench b = start("-global arm-smmuv3.ats=on "
                    "-global arm-smmuv3.x-timeout-ns=100000000");
    int64_t begin;
    int i, acted = 0;

    set_eats(&b, 1);
    set_ats(&b, 0, true);
    set_ats(&b, 1, true);
    for (i = 0; i < 16; i++) {
        inject(&b, 0, 0);
        inject(&b, 1, SVADEV_INJECT_INV_NEVER);
        works(&b, PASID, VA);
        begin = now_ns(&b);
        atc_inv(&b, SID2, ATC_SSV, PASID, VA, 0);
        qtest_clock_step(b.qts, SCALE_MS * (i + 1));
        inject(&b, 0, SVADEV_INJECT_INV_LATE);
        atc_inv(&b, SID, ATC_SSV, PASID, VA, 0);
        cmd(&b, SYNC, 0, 0, 0);
        expect_cmd_error(&b, CERROR_ATC_INV, false);
        cmd_wait(&b);
        g_assert_cmpint(now_ns(&b) - begin, <, LATE_NS + 25 * SCALE_MS);
        /* One that was sent acts in its time */
        qtest_clock_step(b.qts, LATE_NS + SCALE_MS);
        acted += !hits(&b, PASID);
    }
    g_assert_cmpint(acted, >, 0);
    g_assert_cmpint(acted, <, 16);
    stop(&b);
}

/* A function that is pulled while the answer is due, and a reset then */
static void test_answer_pulled(void)
{
    Bench b = start_ats();

    set_ats(&b, 1, true);
    inject(&b, 1, SVADEV_INJECT_INV_LATE);
    atc_inv(&b, SID2, ATC_SSV, PASID, VA, 0);
    cmd(&b, SYNC, 0, 0, 0);
    qtest_clock_step(b.qts, SCALE_MS);
    slot(&b, false);
    expect_cmd_error(&b, CERROR_ATC_INV, false);
    cmd_wait(&b);

    slot(&b, true);
    inject(&b, 0, SVADEV_INJECT_INV_LATE);
    atc_inv(&b, SID, ATC_SSV, PASID, VA, 0);
    cmd(&b, SYNC, 0, 0, 0);
    qtest_clock_step(b.qts, SCALE_MS);
    qtest_system_reset(b.qts);
    qtest_clock_step(b.qts, 2 * LATE_NS);
    g_assert_cmphex(reg(&b, CMDQ_CONS), ==, 0);
    qtest_quit(b.qts);
}

/* One that was given up, and is pulled before it answers: no later error */
static void test_given_up_pulled(void)
{
    Bench b = start_ats();
    int i, j;

    /* Some are lost with the other one, which a function has not to answer */
    for (i = 0; i < 8 || (i < 64 && counter(&b, "atc_inv.timeout") == i); i++) {
        setup_dev(&b, 1);
        set_ats(&b, 1, true);
        inject(&b, 1, SVADEV_INJECT_INV_LATE);
        atc_inv(&b, SID2, ATC_SSV, PASID, VA, 0);
        atc_inv(&b, 0xffff, 0, 0, 0, 52);
        cmd(&b, SYNC, 0, 0, 0);
        for (j = 0; j < 12; j++) {
            qtest_clock_step(b.qts, SCALE_MS);
        }
        expect_cmd_error(&b, CERROR_ATC_INV, false);
        cmd_wait(&b);
        g_assert(consumed(&b) && !cmdq_error(&b));

        slot(&b, false);
        qtest_clock_step(b.qts, LATE_NS);
        cmd_sync(&b);
        slot(&b, true);
    }
    g_assert_cmpuint(counter(&b, "atc_inv.timeout"), >, i);
    stop(&b);
}

/* A function comes back before it is asked: nothing is lost without an error */
static void test_timeout_plugged(void)
{
    Bench b = start_ats();
    int i;

    for (i = 0; i < 16; i++) {
        slot(&b, false);
        atc_inv(&b, SID2, ATC_SSV, PASID, VA, 0);
        slot(&b, true);
        atc_inv(&b, SID, ATC_SSV, PASID, VA, 0);
        cmd(&b, SYNC, 0, 0, 0);
        expect_cmd_error(&b, CERROR_ATC_INV, false);
        cmd_wait(&b);
        g_assert_cmpuint(counter(&b, "atc_inv.timeout"), ==, i + 1);
    }
    stop(&b);
}

/* A queue that waits for software to make a translation */

static uint32_t queue_reg(Bench *b, uint32_t offset)
{
    return qtest_readl(b->qts, bars(0) + SVADEV_QUEUE(0) + offset);
}

static void set_queue_reg(Bench *b, uint32_t offset, uint32_t val)
{
    qtest_writel(b->qts, bars(0) + SVADEV_QUEUE(0) + offset, val);
}

static uint64_t outcome(Bench *b)
{
    step(b);
    return get(b, page_reg(SVADEV_STATUS));
}

static void held(Bench *b, uint64_t op, uint64_t va)
{
    bool write = op == SVADEV_OP_WRITE;

    g_assert_cmpuint(dma_mode(b, PASID, op, va + 8, SVADEV_Q_MODE_MISS_HOLD),
                     ==, SVADEV_STATUS_BUSY);
    g_assert_cmphex(queue_reg(b, SVADEV_Q_STATE), ==,
                    SVADEV_Q_STATE_BUSY | SVADEV_Q_STATE_HELD);
    g_assert_cmphex(queue_reg(b, SVADEV_Q_FAULT_LO), ==,
                    va | (write ? SVADEV_Q_FAULT_WRITE : 0));
    g_assert_cmphex(queue_reg(b, SVADEV_Q_FAULT_HI), ==, va >> 32);
}

static void test_hold(void)
{
    Bench b = start_ats();
    uint64_t va = VA + 5 * PAGE;

    held(&b, SVADEV_OP_WRITE, va);
    map(&b, PASID, va, DATA | PTE_RW);
    set_queue_reg(&b, SVADEV_Q_RESUME, SVADEV_Q_RESUME_RETRY);
    g_assert_cmpuint(outcome(&b), ==, SVADEV_STATUS_OK);
    g_assert_cmphex(queue_reg(&b, SVADEV_Q_STATE), ==, 0);

    va += PAGE;
    held(&b, SVADEV_OP_READ, va);
    set_queue_reg(&b, SVADEV_Q_RESUME, SVADEV_Q_RESUME_RETRY);
    step(&b);
    g_assert_cmphex(queue_reg(&b, SVADEV_Q_STATE), ==,
                    SVADEV_Q_STATE_BUSY | SVADEV_Q_STATE_HELD);
    set_queue_reg(&b, SVADEV_Q_RESUME, SVADEV_Q_RESUME_FAIL);
    g_assert_cmpuint(outcome(&b), ==, SVADEV_STATUS_FAULT);

    /* A queue that is disabled waits for nothing */
    held(&b, SVADEV_OP_WRITE, va);
    set_queue_reg(&b, SVADEV_Q_CTRL, 0);
    g_assert_cmphex(queue_reg(&b, SVADEV_Q_STATE), ==, 0);
    g_assert_cmpuint(outcome(&b), ==, SVADEV_STATUS_DISABLED);
    set_queue_reg(&b, SVADEV_Q_RESUME, SVADEV_Q_RESUME_RETRY);
    g_assert_cmphex(queue_reg(&b, SVADEV_Q_STATE), ==, 0);

    /* So does one of a function that is reset */
    held(&b, SVADEV_OP_WRITE, va);
    qtest_writel(b.qts, bars(0) + SVADEV_RESET, 1);
    g_assert_cmphex(queue_reg(&b, SVADEV_Q_STATE), ==, 0);
    stop(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/smmuv3-ats/idr", test_idr);
    qtest_add_func("/smmuv3-ats/off", test_off);
    qtest_add_func("/smmuv3-ats/request", test_request);
    qtest_add_func("/smmuv3-ats/identity", test_identity);
    qtest_add_func("/smmuv3-ats/refused", test_refused);
    qtest_add_func("/smmuv3-ats/faults", test_faults);
    qtest_add_func("/smmuv3-ats/config-errors", test_config_errors);
    qtest_add_func("/smmuv3-ats/translated", test_translated);
    qtest_add_func("/smmuv3-ats/inval", test_inval);
    qtest_add_func("/smmuv3-ats/refill", test_refill);
    qtest_add_func("/smmuv3-ats/late", test_late);
    qtest_add_func("/smmuv3-ats/audit-bound", test_audit_bound);
    qtest_add_func("/smmuv3-ats/unsupported", test_unsupported);
    qtest_add_func("/smmuv3-ats/timeout", test_timeout);
    qtest_add_func("/smmuv3-ats/answer-late", test_answer_late);
    qtest_add_func("/smmuv3-ats/answer-never", test_answer_never);
    qtest_add_func("/smmuv3-ats/flight", test_flight);
    qtest_add_func("/smmuv3-ats/late-failed", test_late_failed);
    qtest_add_func("/smmuv3-ats/answer-given-up", test_answer_given_up);
    qtest_add_func("/smmuv3-ats/answer-pulled", test_answer_pulled);
    qtest_add_func("/smmuv3-ats/timeout-plugged", test_timeout_plugged);
    qtest_add_func("/smmuv3-ats/given-up-pulled", test_given_up_pulled);
    qtest_add_func("/smmuv3-ats/hold", test_hold);

    return g_test_run();
}
