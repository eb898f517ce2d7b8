// SPDX-License-Identifier: GPL-2.0
/*
 * The PASID table of a device behind a VT-d unit, for the core to show in debugfs
 *
 * What is printed is read from where the unit reads it. The group mutex keeps it
 * there, and intel_pasid_quiet() may change word 0 of an entry meanwhile.
 */

#include <linux/bitfield.h>
#include <linux/seq_file.h>

#include "iommu.h"
#include "pasid.h"

static const char *pasid_show_pgtt(const struct pasid_entry *pte)
{
	switch (pasid_pte_get_pgtt(pte)) {
	case PASID_ENTRY_PGTT_FL_ONLY:
		return "first level";
	case PASID_ENTRY_PGTT_SL_ONLY:
		return "second level";
	case PASID_ENTRY_PGTT_PT:
		return "pass-through";
	default:
		return "unknown";
	}
}

static void pasid_show_entry(struct seq_file *m, const struct pasid_entry *pte)
{
	struct pasid_entry entry;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(entry.val); i++)
		entry.val[i] = READ_ONCE(pte->val[i]);

	/* What translates is in the first three words, the rest is zero */
	seq_printf(m, "\tentry: %#018llx %#018llx %#018llx P %d, PGTT %s, DID %llu",
		   entry.val[0], entry.val[1], entry.val[2],
		   !!(entry.val[0] & PASID_PTE_PRESENT),
		   pasid_show_pgtt(&entry),
		   FIELD_GET(PASID_PTE_DID, entry.val[1]));
	if (pasid_pte_get_pgtt(&entry) == PASID_ENTRY_PGTT_FL_ONLY)
		seq_printf(m, ", FLPTPTR %#llx", entry.val[2] & VTD_PAGE_MASK);
	if (pasid_pte_get_pgtt(&entry) == PASID_ENTRY_PGTT_SL_ONLY)
		seq_printf(m, ", SLPTPTR %#llx", entry.val[0] & VTD_PAGE_MASK);
	if (entry.val[0] & PASID_PTE_FPD)
		seq_puts(m, ", quiet");
	for (i = 3; i < ARRAY_SIZE(entry.val); i++)
		if (entry.val[i])
			seq_printf(m, ", word %u %#llx", i, entry.val[i]);
	seq_putc(m, '\n');
}

static void pasid_show_context(struct seq_file *m,
			       struct device_domain_info *info)
{
	struct context_entry *context, copy = {};

	spin_lock(&info->iommu->lock);
	context = iommu_context_addr(info->iommu, info->bus, info->devfn, 0);
	if (context)
		copy = *context;
	spin_unlock(&info->iommu->lock);

	seq_printf(m, "\tcontext entry: %#018llx %#018llx P %d, PASIDDIRPTR %#llx",
		   copy.lo, copy.hi, context_present(&copy),
		   copy.lo & VTD_PAGE_MASK);
	if (context_present(&copy) &&
	    (copy.lo & VTD_PAGE_MASK) != virt_to_phys(info->pasid_table->dir))
		seq_puts(m, " NOT THIS TABLE");
	seq_putc(m, '\n');
}

/**
 * intel_next_pasid_entry() - find the next entry that is not empty
 * @dev: whose PASID table
 * @pasid: where to begin
 *
 * Context: process context, group mutex held.
 * Return: its PASID, or IOMMU_PASID_INVALID.
 */
ioasid_t intel_next_pasid_entry(struct device *dev, ioasid_t pasid)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct pasid_table *table = info->pasid_table;
	struct pasid_entry *pte;

	while (table && pasid < table->max_pasid) {
		pte = intel_pasid_entry(info, pasid);
		if (!pte) {
			/* There is no such leaf */
			pasid = (pasid | PASID_PTE_MASK) + 1;
			continue;
		}
		if (READ_ONCE(pte->val[0]))
			return pasid;
		pasid++;
	}
	return IOMMU_PASID_INVALID;
}

/**
 * intel_show_pasid_entry() - print an entry
 * @m: where to
 * @dev: whose PASID table
 * @pasid: the PASID; for 0 the context entry is printed, too
 *
 * Context: process context, group mutex held.
 */
void intel_show_pasid_entry(struct seq_file *m, struct device *dev,
			    ioasid_t pasid)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct pasid_entry *pte = intel_pasid_entry(info, pasid);

	if (!pte)
		return;
	if (!pasid)
		pasid_show_context(m, info);
	pasid_show_entry(m, pte);
}
