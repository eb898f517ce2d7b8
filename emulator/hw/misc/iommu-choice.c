/*
 * Seeded choices of the emulated hardware.
 *
 * Where a specification lets hardware choose (when an invalidation acts, in
 * which order, what is fetched ahead), a model that always chooses the same
 * hides the faults of software that relies on it. So it chooses at random, but
 * in a way that a run with the same seed and the same guest repeats.
 *
 * The generator is SplitMix64 (Steele, Lea, Flood 2014) with a counter as its
 * state: any element of a stream can be computed from its number.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/misc/iommu-choice.h"

#define GOLDEN_GAMMA 0x9e3779b97f4a7c15ULL

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;

    return x ^ (x >> 31);
}

void iommu_choice_init(IOMMUChoice *choice, uint64_t seed, const char *name,
                       uint32_t instance)
{
    uint64_t key = mix(seed + GOLDEN_GAMMA);

    while (*name) {
        key = mix(key ^ (uint8_t)*name++);
    }

    choice->key = mix(key ^ ((uint64_t)instance << 32));
    choice->n = 0;
}

uint64_t iommu_choice_next(IOMMUChoice *choice)
{
    return mix(choice->key + ++choice->n * GOLDEN_GAMMA);
}

uint32_t iommu_choice_below(IOMMUChoice *choice, uint32_t n)
{
    assert(n);

    return ((iommu_choice_next(choice) >> 32) * n) >> 32;
}

uint64_t iommu_choice_between(IOMMUChoice *choice, uint64_t low, uint64_t high)
{
    assert(low <= high && high - low < UINT32_MAX);

    return low + iommu_choice_below(choice, high - low + 1);
}

void iommu_choice_shuffle(IOMMUChoice *choice, uint32_t *order, uint32_t n)
{
    uint32_t i, j;

    for (i = 0; i < n; i++) {
        j = iommu_choice_below(choice, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
}
