/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Queues of an svadev accelerator for tests inside the kernel.
 */
#ifndef _LINUX_SVADEV_H
#define _LINUX_SVADEV_H

#include <linux/types.h>

struct mm_struct;
struct pci_dev;
struct svadev_queue;

/* svadev_queue_enable(): send requests without a PASID */
#define SVADEV_NO_PASID			U32_MAX

/**
 * struct svadev_op - one operation of a queue and what became of it
 * @op: SVADEV_OP_*
 * @src: source address, in the address space the queue is set to
 * @dst: destination address, likewise
 * @len: length in bytes
 * @value: operand of WRITE, FILL, FETCH_ADD and CAS
 * @expect: value CAS compares with
 * @hammer_ns: nanoseconds between repetitions, 0 to run the operation once
 * @status: SVADEV_STATUS_* at the end
 * @result: result, per operation
 * @fault_addr: address that could not be translated, on a fault
 * @done: bytes done in the last round
 * @faults: stalls and page requests the operation took
 * @rounds: completed repetitions
 */
struct svadev_op {
	u64 op;
	u64 src;
	u64 dst;
	u64 len;
	u64 value;
	u64 expect;
	u64 hammer_ns;

	u64 status;
	u64 result;
	u64 fault_addr;
	u64 done;
	u64 faults;
	u64 rounds;
};

struct svadev_queue *svadev_queue_get(struct pci_dev *pdev);
void svadev_queue_put(struct svadev_queue *q);
int svadev_queue_serve(struct svadev_queue *q, struct mm_struct *mm);
int svadev_queue_enable(struct svadev_queue *q, u32 pasid, bool ats);
int svadev_queue_disable(struct svadev_queue *q);
int svadev_queue_submit(struct svadev_queue *q, const struct svadev_op *op);
void svadev_queue_end_hammer(struct svadev_queue *q);
int svadev_queue_wait(struct svadev_queue *q, struct svadev_op *op,
		      unsigned int timeout_ms);
int svadev_queue_run(struct svadev_queue *q, struct svadev_op *op,
		     unsigned int timeout_ms);
unsigned int svadev_queue_irqs(struct svadev_queue *q);
void svadev_plug(struct svadev_queue *q, struct pci_dev *pdev, bool plug);
int svadev_set_inject(struct svadev_queue *q, u32 inject);
void svadev_set_prg_pages(struct svadev_queue *q, u32 pages);
void svadev_set_max_retries(struct svadev_queue *q, u32 retries);
int svadev_read_counter(struct svadev_queue *q, const char *name, u64 *val);
u64 svadev_audit(struct svadev_queue *q);

#endif /* _LINUX_SVADEV_H */
