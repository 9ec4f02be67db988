/* Products of stacks of integer matrices for AVX-512 VNNI. Contract: igemm.h. */
#ifndef BITC_IGEMM_AVX512_H
#define BITC_IGEMM_AVX512_H

#include "iconv_avx512.h"
#include "ipack_avx2.h"

static inline void bitc_ipack_i8_avx512(const bitc_imatrices *g, const int8_t *y, int8_t *w, int32_t *base) {
    bitc_ipack_all(g, y, w, base, 16, 4, 1, bitc_ipack_i8_block_avx2, bitc_ipack_i8_sums_avx2);
}

static inline void bitc_igemm_u8_i8_avx512(const bitc_iconv *g, const bitc_istack *s, const uint8_t *x, const int8_t *w,
                                           const int32_t *base, int32_t *y) {
    for (int32_t p = 0; p < s->outer * s->inner; p++) {
        const bitc_iproduct at = bitc_iproduct_at(g, s, p, 16, 4);
        bitc_iconv_u8_i8_avx512(g, x + at.x, w + at.w, base + at.base, y + at.y, 0, 1);
    }
}

static inline void bitc_ipack_i16_avx512(const bitc_imatrices *g, const int16_t *y, int16_t *w, int32_t *base) {
    bitc_ipack_all(g, y, w, base, 16, 2, 0, bitc_ipack_i16_block_avx2, bitc_ipack_i16_sums_avx2);
}

static inline void bitc_igemm_i16_i16_avx512(const bitc_iconv *g, const bitc_istack *s, const int16_t *x, const int16_t *w,
                                             const int32_t *base, int32_t *y) {
    for (int32_t p = 0; p < s->outer * s->inner; p++) {
        const bitc_iproduct at = bitc_iproduct_at(g, s, p, 16, 2);
        bitc_iconv_i16_i16_avx512(g, x + at.x, w + at.w, base + at.base, y + at.y, 0, 1);
    }
}

#endif
