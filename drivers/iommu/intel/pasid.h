/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PASID tables of devices behind a VT-d unit in scalable mode, VT-d 9.5, 9.6
 */
#ifndef __INTEL_PASID_H
#define __INTEL_PASID_H

#include <linux/bits.h>
#include <linux/io.h>
#include <linux/types.h>

struct device_domain_info;
struct intel_iommu;

/* Requests without PASID use this entry, RID_PASID of the context entry */
#define PASID_RID2PASID		0
#define PASID_MIN		1
#define PASID_MAX		BIT(20)
#define MAX_NR_PASID_BITS	20

/*
 * The domain ID of all entries that use the tables of a process, or none.
 * Domains with tables of their own have others.
 */
#define FLPT_DEFAULT_DID	1
/* With 0, which stands for no domain */
#define NUM_RESERVED_DID	2

#define PASID_PDE_SHIFT		6
#define PASID_TBL_ENTRIES	BIT(PASID_PDE_SHIFT)
#define PASID_PTE_MASK		(PASID_TBL_ENTRIES - 1)
#define PDE_PFN_MASK		PAGE_MASK

/* Word 0 of an entry; P is also that of a directory entry */
#define PASID_PTE_PRESENT	BIT_ULL(0)
#define PASID_PTE_FPD		BIT_ULL(1)	/* No faults are recorded */
#define PASID_PTE_AW		GENMASK_ULL(4, 2)
#define PASID_PTE_PGTT		GENMASK_ULL(8, 6)
#define PASID_ENTRY_PGTT_FL_ONLY	1
#define PASID_ENTRY_PGTT_SL_ONLY	2
#define PASID_ENTRY_PGTT_PT		4

/* Word 1 */
#define PASID_PTE_DID		GENMASK_ULL(15, 0)
#define PASID_PTE_PWSNP		BIT_ULL(23)	/* Walks snoop */
#define PASID_PTE_PGSNP		BIT_ULL(24)	/* So does DMA, always */

/* Word 2 */
#define PASID_PTE_SRE		BIT_ULL(0)	/* Supervisor requests */
#define PASID_PTE_FLPM		GENMASK_ULL(3, 2)
#define PASID_FLPM_5LEVEL		1
#define PASID_PTE_NXE		BIT_ULL(5)	/* XD of the tables counts */

/* What intel_pasid_make_first_level() is told about the tables */
#define PASID_FLAG_FL5LP	BIT(0)
#define PASID_FLAG_PAGE_SNOOP	BIT(1)

#define is_pasid_enabled(context)	(((context)->lo >> 3) & 1)
#define get_pasid_dir_size(context)	BIT((((context)->lo >> 9) & 7) + 7)

struct pasid_dir_entry {
	u64 val;
};

struct pasid_entry {
	u64 val[8];
};

/**
 * struct pasid_table - the table of one device
 * @dir: the directory; an entry that was set stays present until the table is
 *	 freed, but may come to refer to another leaf
 * @order: of the pages that @dir takes
 * @max_pasid: one above the largest PASID that @dir has room for
 * @spare: leaf that takes the place of another one next, or NULL
 * @retired: leaf that hardware may not have forgotten yet, or NULL
 * @retired_pde: which of @dir has referred to @retired
 */
struct pasid_table {
	struct pasid_dir_entry	*dir;
	unsigned int		order;
	u32			max_pasid;
	struct pasid_entry	*spare;
	struct pasid_entry	*retired;
	u32			retired_pde;
};

/* The 64 entries that a directory entry refers to, or NULL */
static inline struct pasid_entry *
get_pasid_table_from_pde(const struct pasid_dir_entry *pde)
{
	u64 val = READ_ONCE(pde->val);

	return val & PASID_PTE_PRESENT ? phys_to_virt(val & PDE_PFN_MASK) :
					 NULL;
}

static inline bool pasid_pte_is_present(const struct pasid_entry *pte)
{
	return READ_ONCE(pte->val[0]) & PASID_PTE_PRESENT;
}

static inline u16 pasid_pte_get_pgtt(const struct pasid_entry *pte)
{
	return (READ_ONCE(pte->val[0]) & PASID_PTE_PGTT) >> 6;
}

int intel_pasid_alloc_table(struct device_domain_info *info);
void intel_pasid_free_table(struct device_domain_info *info);
int intel_pasid_prepare(struct device_domain_info *info, u32 pasid,
			bool replace);
struct pasid_entry *intel_pasid_entry(struct device_domain_info *info,
				      u32 pasid);

void intel_pasid_make_first_level(struct pasid_entry *pte,
				  const struct intel_iommu *iommu,
				  phys_addr_t pgd, u16 did, unsigned int flags);
void intel_pasid_make_second_level(struct pasid_entry *pte,
				   const struct intel_iommu *iommu,
				   phys_addr_t pgd, int agaw, u16 did);
void intel_pasid_make_pass_through(struct pasid_entry *pte,
				   const struct intel_iommu *iommu);

void intel_pasid_install(struct device_domain_info *info, u32 pasid,
			 const struct pasid_entry *new);
void intel_pasid_replace(struct device_domain_info *info, u32 pasid,
			 const struct pasid_entry *new);
void intel_pasid_set_page_snoop(struct device_domain_info *info, u32 pasid,
				u16 did);
void intel_pasid_quiet(struct device_domain_info *info, u32 pasid,
		       phys_addr_t pgd);
void intel_pasid_tear_down(struct device_domain_info *info, u32 pasid);

/* vcmd.c */
int vcmd_alloc_pasid(struct intel_iommu *iommu, u32 *pasid);
void vcmd_free_pasid(struct intel_iommu *iommu, u32 pasid);

#endif /* __INTEL_PASID_H */
