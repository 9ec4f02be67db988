/* Products of stacks of integer matrices for NEON with the dot product instructions. Contract: igemm.h. */
#ifndef BITC_IGEMM_NEON_DOT_H
#define BITC_IGEMM_NEON_DOT_H

#include "iconv_neon_dot.h"
#include "igemm.h"

BITC_INLINE void bitc_ipack_i8_block_neon_dot(const bitc_imatrices *g, const void *y, void *w, int32_t n) {
    bitc_ipack_plain(g, y, w, n, 8, 4, 1);
}

BITC_INLINE void bitc_ipack_i8_sums_neon_dot(const bitc_imatrices *g, const void *w, int32_t *base) {
    bitc_ipack_plain_sums(g, w, base, 8, 4, 1);
}

static inline void bitc_ipack_i8_neon_dot(const bitc_imatrices *g, const int8_t *y, int8_t *w, int32_t *base) {
    bitc_ipack_all(g, y, w, base, 8, 4, 1, bitc_ipack_i8_block_neon_dot, bitc_ipack_i8_sums_neon_dot);
}

static inline void bitc_igemm_u8_i8_neon_dot(const bitc_iconv *g, const bitc_istack *s, const uint8_t *x, const int8_t *w,
                                             const int32_t *base, int32_t *y) {
    for (int32_t p = 0; p < s->outer * s->inner; p++) {
        const bitc_iproduct at = bitc_iproduct_at(g, s, p, 8, 4);
        bitc_iconv_u8_i8_neon_dot(g, x + at.x, w + at.w, base + at.base, y + at.y, 0, 1);
    }
}

#endif
