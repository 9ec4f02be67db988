/* Products of two computed stacks of rows of codes by the popcnt instruction, which every CPU with AVX2 has: rows are short
 * (64 codes are a word), so that lanes of vectors would be turned more than they would count. Contract: bdots.h. */
#ifndef BITC_BDOTS_AVX2_H
#define BITC_BDOTS_AVX2_H

#include "bdots.h"

#if !defined(__GNUC__)
#include <immintrin.h>
#endif

static inline int32_t bitc_popcount_avx2(uint64_t v) {
#if defined(__GNUC__)
    return __builtin_popcountll(v);
#else
    return (int32_t)_mm_popcnt_u64(v);
#endif
}

static inline void bitc_bdots_avx2(const bitc_bdots *g, const uint64_t *x, const uint64_t *y, int32_t *acc) {
    bitc_bdots_all(g, x, y, acc, bitc_popcount_avx2);
}

#endif
