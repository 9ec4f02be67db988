/* Products of two computed stacks of rows of codes in plain C. Contract: bdots.h. */
#ifndef BITC_BDOTS_PORTABLE_H
#define BITC_BDOTS_PORTABLE_H

#include "bdots.h"

/* Number of one bits (Knuth, TAOCP 7.1.3). */
static inline int32_t bitc_popcount_portable(uint64_t v) {
    v -= v >> 1 & UINT64_C(0x5555555555555555);
    v = (v & UINT64_C(0x3333333333333333)) + (v >> 2 & UINT64_C(0x3333333333333333));
    return (int32_t)(((v + (v >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F)) * UINT64_C(0x0101010101010101) >> 56);
}

static inline void bitc_bdots_portable(const bitc_bdots *g, const uint64_t *x, const uint64_t *y, int32_t *acc) {
    bitc_bdots_all(g, x, y, acc, bitc_popcount_portable);
}

#endif
