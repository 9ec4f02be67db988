/* Integer convolution for NEON: smlal of 16-bit values, whatever their storage, one value of x by 8 channels at a time. */
#ifndef BITC_ICONV_NEON_H
#define BITC_ICONV_NEON_H

#include "iconv_walk_neon.h"

#define BITC_ICONV_SIDE_U8_NEON 1
#define BITC_ICONV_SIDE_I16_NEON 1

/* Weights of 8 channels; wide: they are int16_t, else int8_t. */
BITC_INLINE int16x8_t bitc_iweight_neon(const void *w, ptrdiff_t i, const int wide) {
    return wide ? vld1q_s16((const int16_t *)w + 8 * i) : vmovl_s8(vld1_s8((const int8_t *)w + 8 * i));
}

/* Eight values of x; bytes: they are uint8_t, else int16_t. */
BITC_INLINE int16x8_t bitc_ivalues_neon(const void *x, ptrdiff_t k, const int bytes) {
    if (!bytes) return vld1q_s16((const int16_t *)x + k);
    return vreinterpretq_s16_u16(vmovl_u8(vld1_u8((const uint8_t *)x + k)));
}

/* sums[p] += the weights of entry i + lane times value `lane` of eight[p]: a macro, because the lane is a literal. */
#define BITC_ILANE_NEON(lane) \
    do { \
        const int16x8_t weights = bitc_iweight_neon(w, i + lane, wide); \
        for (int p = 0; p < pixels; p++) { \
            sums[p].low = vmlal_laneq_s16(sums[p].low, vget_low_s16(weights), eight[p], lane); \
            sums[p].high = vmlal_high_laneq_s16(sums[p].high, weights, eight[p], lane); \
        } \
    } while (0)

BITC_INLINE void bitc_itile_any_neon(const bitc_iconv *g, const void *x, const ptrdiff_t *at, const void *w,
                                     bitc_isums_neon *sums, const int pixels, const int bytes, const int wide) {
    ptrdiff_t i = 0;
    for (int p = 0; p < pixels; p++) sums[p].low = sums[p].high = vdupq_n_s32(0);
    for (int32_t r = 0; r < g->runs_h; r++) {
        for (int32_t c = 0; c < g->runs_w; c++) {
            ptrdiff_t k = (ptrdiff_t)r * g->run_row + (ptrdiff_t)c * g->run_pixel;
            const ptrdiff_t end = k + g->run;
            for (; k + 8 <= end; k += 8, i += 8) {
                int16x8_t eight[8];
                for (int p = 0; p < pixels; p++) eight[p] = bitc_ivalues_neon(x, at[p] + k, bytes);
                BITC_ILANE_NEON(0);
                BITC_ILANE_NEON(1);
                BITC_ILANE_NEON(2);
                BITC_ILANE_NEON(3);
                BITC_ILANE_NEON(4);
                BITC_ILANE_NEON(5);
                BITC_ILANE_NEON(6);
                BITC_ILANE_NEON(7);
            }
            for (; k < end; k++, i++) {
                const int16x8_t weights = bitc_iweight_neon(w, i, wide);
                for (int p = 0; p < pixels; p++) {
                    const int16_t v = bytes ? ((const uint8_t *)x)[at[p] + k] : ((const int16_t *)x)[at[p] + k];
                    sums[p].low = vmlal_n_s16(sums[p].low, vget_low_s16(weights), v);
                    sums[p].high = vmlal_high_n_s16(sums[p].high, weights, v);
                }
            }
        }
    }
}

BITC_INLINE void bitc_itile_u8_i8_neon(const bitc_iconv *g, const void *x, const ptrdiff_t *at, const void *w,
                                       bitc_isums_neon *sums, const int pixels) {
    bitc_itile_any_neon(g, x, at, w, sums, pixels, 1, 0);
}

BITC_INLINE void bitc_itile_i16_i8_neon(const bitc_iconv *g, const void *x, const ptrdiff_t *at, const void *w,
                                        bitc_isums_neon *sums, const int pixels) {
    bitc_itile_any_neon(g, x, at, w, sums, pixels, 0, 0);
}

BITC_INLINE void bitc_itile_i16_i16_neon(const bitc_iconv *g, const void *x, const ptrdiff_t *at, const void *w,
                                         bitc_isums_neon *sums, const int pixels) {
    bitc_itile_any_neon(g, x, at, w, sums, pixels, 0, 1);
}

static inline void bitc_iconv_u8_i8_neon(const bitc_iconv *g, const uint8_t *x, const int8_t *w, const int32_t *base,
                                         int32_t *y, int32_t y0, int32_t y1) {
    bitc_iconv_groups_neon(g, x, w, 8 * bitc_iconv_terms(g, 1), base, y, y0, y1, 1, bitc_itile_u8_i8_neon);
}

static inline void bitc_iconv_i16_i8_neon(const bitc_iconv *g, const int16_t *x, const int8_t *w, const int32_t *base,
                                          int32_t *y, int32_t y0, int32_t y1) {
    bitc_iconv_groups_neon(g, x, w, 8 * bitc_iconv_terms(g, 1), base, y, y0, y1, 2, bitc_itile_i16_i8_neon);
}

static inline void bitc_iconv_i16_i16_neon(const bitc_iconv *g, const int16_t *x, const int16_t *w,
                                           const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_iconv_groups_neon(g, x, w, 16 * bitc_iconv_terms(g, 1), base, y, y0, y1, 2, bitc_itile_i16_i16_neon);
}

#endif
