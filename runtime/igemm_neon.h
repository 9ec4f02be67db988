/* Products of stacks of integer matrices for NEON. Contract: igemm.h. */
#ifndef BITC_IGEMM_NEON_H
#define BITC_IGEMM_NEON_H

#include "iconv_neon.h"
#include "igemm.h"

BITC_INLINE void bitc_ipack_i8_block_neon(const bitc_imatrices *g, const void *y, void *w, int32_t n) {
    bitc_ipack_plain(g, y, w, n, 8, 1, 1);
}

BITC_INLINE void bitc_ipack_i8_sums_neon(const bitc_imatrices *g, const void *w, int32_t *base) {
    bitc_ipack_plain_sums(g, w, base, 8, 1, 1);
}

static inline void bitc_ipack_i8_neon(const bitc_imatrices *g, const int8_t *y, int8_t *w, int32_t *base) {
    bitc_ipack_all(g, y, w, base, 8, 1, 1, bitc_ipack_i8_block_neon, bitc_ipack_i8_sums_neon);
}

static inline void bitc_igemm_u8_i8_neon(const bitc_iconv *g, const bitc_istack *s, const uint8_t *x, const int8_t *w,
                                         const int32_t *base, int32_t *y) {
    for (int32_t p = 0; p < s->outer * s->inner; p++) {
        const bitc_iproduct at = bitc_iproduct_at(g, s, p, 8, 1);
        bitc_iconv_u8_i8_neon(g, x + at.x, w + at.w, base + at.base, y + at.y, 0, 1);
    }
}

BITC_INLINE void bitc_ipack_i16_block_neon(const bitc_imatrices *g, const void *y, void *w, int32_t n) {
    bitc_ipack_plain(g, y, w, n, 8, 1, 0);
}

BITC_INLINE void bitc_ipack_i16_sums_neon(const bitc_imatrices *g, const void *w, int32_t *base) {
    bitc_ipack_plain_sums(g, w, base, 8, 1, 0);
}

static inline void bitc_ipack_i16_neon(const bitc_imatrices *g, const int16_t *y, int16_t *w, int32_t *base) {
    bitc_ipack_all(g, y, w, base, 8, 1, 0, bitc_ipack_i16_block_neon, bitc_ipack_i16_sums_neon);
}

static inline void bitc_igemm_i16_i16_neon(const bitc_iconv *g, const bitc_istack *s, const int16_t *x, const int16_t *w,
                                           const int32_t *base, int32_t *y) {
    for (int32_t p = 0; p < s->outer * s->inner; p++) {
        const bitc_iproduct at = bitc_iproduct_at(g, s, p, 8, 1);
        bitc_iconv_i16_i16_neon(g, x + at.x, w + at.w, base + at.base, y + at.y, 0, 1);
    }
}

#endif
