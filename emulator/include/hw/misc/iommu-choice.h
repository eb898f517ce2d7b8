/*
 * Seeded choices of the emulated hardware.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MISC_IOMMU_CHOICE_H
#define HW_MISC_IOMMU_CHOICE_H

/**
 * struct IOMMUChoice: a stream of choices
 *
 * The n-th choice is a function of the seed, the stream's name and n. What one
 * stream is asked has no influence on another, so a device that uses a stream
 * for each kind of event makes the same choice for the n-th event of that kind,
 * whatever else happens in between.
 */
typedef struct IOMMUChoice {
    uint64_t key;
    uint64_t n;
} IOMMUChoice;

/**
 * iommu_choice_init: start a stream
 *
 * @choice: the stream
 *
 * @seed: the run's seed, by convention the property "x-seed" of the device
 *
 * @name: of the stream, unique within the device model
 *
 * @instance: tells apart devices of one model, e.g. the requester ID
 */
void iommu_choice_init(IOMMUChoice *choice, uint64_t seed, const char *name,
                       uint32_t instance);

/**
 * iommu_choice_next: the next choice of a stream
 *
 * @choice: the stream
 *
 * Returns: 64 bits, uniformly distributed
 */
uint64_t iommu_choice_next(IOMMUChoice *choice);

/**
 * iommu_choice_below: choose one of several
 *
 * @choice: the stream
 *
 * @n: how many there are, at least 1
 *
 * Returns: 0 to @n - 1
 */
uint32_t iommu_choice_below(IOMMUChoice *choice, uint32_t n);

/**
 * iommu_choice_between: choose a number, e.g. of nanoseconds
 *
 * @choice: the stream
 *
 * @low: the smallest
 *
 * @high: the largest, at least @low
 *
 * Returns: @low to @high
 */
uint64_t iommu_choice_between(IOMMUChoice *choice, uint64_t low,
                              uint64_t high);

/**
 * iommu_choice_shuffle: choose an order
 *
 * @choice: the stream
 *
 * @order: set to a permutation of 0 to @n - 1
 *
 * @n: number of elements
 */
void iommu_choice_shuffle(IOMMUChoice *choice, uint32_t *order, uint32_t n);

#endif /* HW_MISC_IOMMU_CHOICE_H */
