// SPDX-License-Identifier: GPL-2.0
/*
 * The order in which a new STE or CD becomes visible to an SMMUv3
 *
 * Entries are 512 bits wide, but the SMMU reads them in pieces that are only
 * guaranteed to be 64 bits, in any order, and caches what it read (IHI0070
 * 3.21.3). Everything here follows from two rules:
 *
 *  - one aligned 64-bit store is seen entirely or not at all;
 *  - a fetch that began before a CFGI command is over, and what it read is
 *    forgotten, when the CMD_SYNC behind that command completes.
 */

#include <linux/bitops.h>

#include "arm-smmu-v3.h"

static void arm_smmu_entry_store0(struct arm_smmu_entry_writer *writer,
				  __le64 *dst, u64 val)
{
	if (!writer->lock) {
		WRITE_ONCE(dst[0], cpu_to_le64(val));
		return;
	}

	spin_lock(writer->lock);
	WRITE_ONCE(dst[0], cpu_to_le64(val));
	spin_unlock(writer->lock);
}

static void arm_smmu_entry_store_rest(__le64 *dst,
				      const struct arm_smmu_entry *next)
{
	unsigned int i;

	for (i = 1; i < ARM_SMMU_ENTRY_DWORDS; i++)
		WRITE_ONCE(dst[i], cpu_to_le64(next->w[i]));
}

/* Which words differ */
static unsigned long arm_smmu_entry_diff(const __le64 *dst,
					 const struct arm_smmu_entry *next,
					 struct arm_smmu_entry *cur)
{
	unsigned long diff = 0;
	unsigned int i;

	for (i = 0; i < ARM_SMMU_ENTRY_DWORDS; i++) {
		cur->w[i] = le64_to_cpu(READ_ONCE(dst[i]));
		if (cur->w[i] != next->w[i])
			diff |= BIT(i);
	}
	return diff;
}

/**
 * arm_smmu_entry_in_place() - can an entry be changed with nothing between
 * @writer: as for arm_smmu_entry_write()
 * @dst: the entry
 * @next: what it shall say
 *
 * Return: true if with arm_smmu_entry_write() the SMMU sees the old entry or
 * the new one, false if it also sees one that blocks.
 */
bool arm_smmu_entry_in_place(const struct arm_smmu_entry_writer *writer,
			     const __le64 *dst,
			     const struct arm_smmu_entry *next)
{
	struct arm_smmu_entry cur;
	unsigned long diff = arm_smmu_entry_diff(dst, next, &cur);

	return hweight_long(diff) <= 1 || !(next->w[0] & writer->valid) ||
	       writer->ignores(next, &cur) || writer->ignores(&cur, next);
}

/**
 * arm_smmu_entry_write() - change an STE or CD that the SMMU may be reading
 * @writer: the V bit of this kind of entry, what hardware ignores, and how to
 *	    invalidate cached copies of this one
 * @dst: the entry, ARM_SMMU_ENTRY_DWORDS words in memory
 * @next: what it shall say
 *
 * The SMMU sees the old entry or the new one and nothing between, as long as a
 * single word differs or one of the two does not look at what differs outside
 * of word 0. Otherwise the entry blocks for a moment. An entry that becomes
 * invalid keeps the rest of its words: nobody reads them.
 *
 * Clearing and changing one word take one invalidation, filling an invalid
 * entry takes two, the general case three.
 *
 * Context: May sleep if writer->sync may. The caller is the only one to call
 *	    this for @dst; writer->lock is not held.
 */
void arm_smmu_entry_write(struct arm_smmu_entry_writer *writer, __le64 *dst,
			  const struct arm_smmu_entry *next)
{
	struct arm_smmu_entry cur;
	unsigned long diff = arm_smmu_entry_diff(dst, next, &cur);
	unsigned int i;

	/*
	 * An entry that reads the same in memory may still be cached with an
	 * older content, for example as never having been valid.
	 */
	if (!diff || !(next->w[0] & writer->valid) || diff == BIT(0)) {
		arm_smmu_entry_store0(writer, dst, next->w[0]);
		writer->sync(writer);
		return;
	}

	if (is_power_of_2(diff)) {
		i = __ffs(diff);
		WRITE_ONCE(dst[i], cpu_to_le64(next->w[i]));
		writer->sync(writer);
		return;
	}

	if (writer->ignores(next, &cur)) {
		arm_smmu_entry_store0(writer, dst, next->w[0]);
		writer->sync(writer);
		arm_smmu_entry_store_rest(dst, next);
		writer->sync(writer);
		return;
	}

	if (!writer->ignores(&cur, next)) {
		arm_smmu_entry_store0(writer, dst, writer->blocks);
		writer->sync(writer);
	}

	/*
	 * Nobody looks at the rest yet, but a fetch that has already read some
	 * of it could still pick up the new word 0. Let it finish first.
	 */
	arm_smmu_entry_store_rest(dst, next);
	writer->sync(writer);
	arm_smmu_entry_store0(writer, dst, next->w[0]);
	writer->sync(writer);
}
