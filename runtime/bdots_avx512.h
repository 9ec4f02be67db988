/* Products of two computed stacks of rows of codes: as with AVX2. Contract: bdots.h. */
#ifndef BITC_BDOTS_AVX512_H
#define BITC_BDOTS_AVX512_H

#include "bdots_avx2.h"

static inline void bitc_bdots_avx512(const bitc_bdots *g, const uint64_t *x, const uint64_t *y, int32_t *acc) {
    bitc_bdots_avx2(g, x, y, acc);
}

#endif
