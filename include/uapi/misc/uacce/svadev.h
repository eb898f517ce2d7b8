/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * svadev: an emulated accelerator that DMAs with a PASID.
 *
 * This is the register interface between the device model, the uacce driver
 * and the programs that map a queue page. It holds constants only, so that
 * the same file serves the kernel, user space and the emulator.
 */
#ifndef _UAPI_MISC_UACCE_SVADEV_H
#define _UAPI_MISC_UACCE_SVADEV_H

/* PCI identity: class 0x120000 (processing accelerator) */
#define SVADEV_PCI_VENDOR		0x1b36
#define SVADEV_PCI_DEVICE		0x0d5a
#define SVADEV_NAME			"svadev"

/* BAR 0: the function, for the kernel driver. 32-bit registers. */
#define SVADEV_BAR_CTRL			0
#define SVADEV_CTRL_SIZE		0x10000

#define SVADEV_ID			0x0000	/* RO SVADEV_ID_MAGIC */
#define  SVADEV_ID_MAGIC		0x31445653	/* "SVD1" */
#define SVADEV_VERSION			0x0004	/* RO */
#define  SVADEV_VERSION_1		1
#define SVADEV_NR_QUEUES		0x0008	/* RO */
#define SVADEV_RESET			0x000c	/* W1: stop all, forget all */
#define SVADEV_MAX_RETRIES		0x0010	/* RW per-page retry bound */
#define SVADEV_STAT_LATCH		0x0014	/* WO: copy all counters */
#define  SVADEV_STAT_LATCH_COPY		(1u << 0)
#define  SVADEV_STAT_LATCH_AUDIT	(1u << 1)	/* first compare all caches */
						/* with memory: "*.left.*" */
#define SVADEV_STAT_COUNT		0x0018	/* RO entries latched */
#define SVADEV_CAPS			0x001c	/* RO what a queue's mode may ask */
#define  SVADEV_CAPS_ATS		(1u << 0)
#define  SVADEV_CAPS_PRI		(1u << 1)
#define SVADEV_ICOUNT_LO		0x0020	/* RO guest instructions; reading */
#define SVADEV_ICOUNT_HI		0x0024	/* LO latches HI; 0 without -icount */
#define SVADEV_PRG_PAGES		0x0028	/* RW pages asked for in a group */
#define  SVADEV_PRG_PAGES_MAX		32
#define SVADEV_INJECT			0x002c	/* RW what goes wrong, of requests: */
#define  SVADEV_INJECT_LATE		(1u << 0)	/* sent 1 ms too late */
#define  SVADEV_INJECT_LOST		(1u << 1)	/* not sent, time out */
#define  SVADEV_INJECT_TWICE		(1u << 2)	/* group sent twice */
#define  SVADEV_INJECT_NO_PASID		(1u << 3)	/* without their PASID */
#define  SVADEV_INJECT_AFTER		(1u << 4)	/* one when disabled */
#define  SVADEV_INJECT_STOP		(1u << 5)	/* stop marker, likewise */
#define  SVADEV_INJECT_MANY		(1u << 6)	/* as many as are allowed, */
						/* in one group of four */
#define  SVADEV_INJECT_INV_LATE		(1u << 7)	/* invalidations of the ATC */
						/* answered after 100 ms */
#define  SVADEV_INJECT_INV_NEVER	(1u << 8)	/* or not at all */
#define SVADEV_SLOT			0x0030	/* WO plug and pull a function */
#define  SVADEV_SLOT_DEVFN_MASK		0xffu	/* another one, of this bus */
#define  SVADEV_SLOT_PLUG		(1u << 8)	/* 0: it is gone, at once */

/* One block per queue */
#define SVADEV_QUEUE(q)			(0x1000 + (q) * 0x40)
#define SVADEV_Q_CTRL			0x00	/* RW */
#define  SVADEV_Q_CTRL_ENABLE		(1u << 0)	/* 1->0 stops DMA; */
						/* poll Q_STATE for idle */
#define  SVADEV_Q_CTRL_IRQ		(1u << 1)	/* MSI-X on completion */
#define SVADEV_Q_PASID			0x04	/* RW while disabled */
#define  SVADEV_Q_PASID_VALID		(1u << 31)	/* else untagged DMA */
#define  SVADEV_Q_PASID_MASK		0xfffffu
#define SVADEV_Q_MODE			0x08	/* RW while disabled */
#define  SVADEV_Q_MODE_PRIV		(1u << 0)	/* privileged requests */
#define  SVADEV_Q_MODE_ATS		(1u << 1)	/* translate by ATS first */
#define  SVADEV_Q_MODE_MISS		(3u << 2)	/* ATS has no translation: */
#define  SVADEV_Q_MODE_MISS_IOMMU	(0u << 2)	/* request untranslated */
#define  SVADEV_Q_MODE_MISS_FAIL	(1u << 2)	/* fault */
#define  SVADEV_Q_MODE_MISS_PRI		(2u << 2)	/* page request, again */
#define  SVADEV_Q_MODE_MISS_HOLD	(3u << 2)	/* wait for Q_RESUME */
#define SVADEV_Q_VECTOR			0x0c	/* RW MSI-X vector */
#define SVADEV_Q_STATE			0x10	/* RO */
#define  SVADEV_Q_STATE_BUSY		(1u << 0)	/* DMA or answer pending */
#define  SVADEV_Q_STATE_HELD		(1u << 1)	/* waits for Q_RESUME; */
						/* raises an interrupt */
#define SVADEV_Q_FAULT_LO		0x30	/* RO page that a held queue misses */
#define  SVADEV_Q_FAULT_WRITE		(1u << 0)	/* is to be writable */
#define SVADEV_Q_FAULT_HI		0x34	/* RO */
#define SVADEV_Q_RESUME			0x38	/* WO */
#define  SVADEV_Q_RESUME_FAIL		0	/* fault */
#define  SVADEV_Q_RESUME_RETRY		1	/* translate again */

/*
 * Counters: SVADEV_STAT_COUNT entries of SVADEV_STAT_SIZE bytes, a
 * NUL-padded name then a 64-bit value, as of the last SVADEV_STAT_LATCH.
 */
#define SVADEV_STATS			0x8000
#define SVADEV_STATS_SIZE		0x8000
#define SVADEV_STAT_NAME_LEN		24
#define SVADEV_STAT_SIZE		32
#define SVADEV_STAT_LEFT		".left."	/* in names of what an audit */
						/* sets: stale entries */

/*
 * BAR 2: one page per queue, mapped to user space. 64-bit registers. The
 * stride is the largest page size of the supported CPUs.
 */
#define SVADEV_BAR_QUEUE		2
#define SVADEV_QUEUE_STRIDE		0x10000

#define SVADEV_OP			0x00	/* RW */
#define  SVADEV_OP_NOP			0
#define  SVADEV_OP_READ			1	/* sum of bytes at SRC -> RESULT */
#define  SVADEV_OP_WRITE		2	/* VALUE, LEN <= 8 bytes, -> DST */
#define  SVADEV_OP_COPY			3	/* SRC -> DST, ascending */
#define  SVADEV_OP_FILL			4	/* low byte of VALUE -> DST */
#define  SVADEV_OP_COMPARE		5	/* RESULT: first differing offset */
						/* or LEN */
#define  SVADEV_OP_FETCH_ADD		6	/* DST += VALUE, LEN 4 or 8, */
						/* natural alignment; RESULT: old */
#define  SVADEV_OP_CAS			7	/* DST == EXPECT ? DST = VALUE */
#define SVADEV_SRC			0x08	/* RW */
#define SVADEV_DST			0x10	/* RW */
#define SVADEV_LEN			0x18	/* RW bytes */
#define SVADEV_VALUE			0x20	/* RW */
#define SVADEV_EXPECT			0x28	/* RW */
#define SVADEV_HAMMER			0x30	/* RW ns between repetitions of the */
						/* op; 0: run it once */
#define SVADEV_GO			0x38	/* WO */
#define  SVADEV_GO_START		1
#define  SVADEV_GO_STOP			2	/* end a hammer after its round */
#define SVADEV_STATUS			0x40	/* RO */
#define  SVADEV_STATUS_IDLE		0
#define  SVADEV_STATUS_BUSY		1
#define  SVADEV_STATUS_OK		2
#define  SVADEV_STATUS_FAULT		3	/* FAULT_ADDR, DONE are valid */
#define  SVADEV_STATUS_INVALID		4	/* bad op, length, alignment */
#define  SVADEV_STATUS_DISABLED		5	/* queue off, or stopped midway */
#define  SVADEV_STATUS_RETRIES		6	/* retry bound exceeded */
#define SVADEV_RESULT			0x48	/* RO */
#define SVADEV_FAULT_ADDR		0x50	/* RO */
#define SVADEV_DONE			0x58	/* RO bytes of the current round */
#define SVADEV_FAULTS			0x60	/* RO stalls + page requests of op */
#define SVADEV_ROUNDS			0x68	/* RO completed hammer rounds */

#endif /* _UAPI_MISC_UACCE_SVADEV_H */
