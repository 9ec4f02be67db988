/* Integer convolution of bytes for NEON with the matrix instructions of i8mm: usmmla multiplies eight bytes of two pixels
 * with eight weights of two channels. */
#ifndef BITC_ICONV_NEON_I8MM_H
#define BITC_ICONV_NEON_I8MM_H

#include "iconv_walk_neon.h"

#define BITC_ICONV_BLOCK_NEON_I8MM 8
#define BITC_ICONV_SIDE_U8_NEON_I8MM 8

/* The eight values of entry e of a run; the last entry ends with the run, or 0 fills it up. */
BITC_INLINE uint8x8_t bitc_immla_entry_neon(const uint8_t *run, int32_t length, int32_t e) {
    if (length < 8) {
        uint8_t few[8] = {0};
        memcpy(few, run, (size_t)length);
        return vld1_u8(few);
    }
    return vld1_u8(run + bitc_imin32(8 * e, length - 8));
}

/* Pixels in pairs (a lone one with itself): quarters[4 * pair + q] holds channels 2q and 2q + 1 of the first pixel, then of
 * the second. */
BITC_INLINE void bitc_itile_neon_i8mm(const bitc_iconv *g, const void *x, const ptrdiff_t *at, const void *weights,
                                      bitc_isums_neon *sums, const int pixels) {
    const int pairs = (pixels + 1) / 2;
    const int8_t *w = (const int8_t *)weights;
    const int32_t entries = (g->run + 7) / 8;
    int32x4_t quarters[16];
    for (int q = 0; q < 4 * pairs; q++) quarters[q] = vdupq_n_s32(0);
    for (int32_t r = 0; r < g->runs_h; r++) {
        for (int32_t c = 0; c < g->runs_w; c++) {
            const uint8_t *run = (const uint8_t *)x + (ptrdiff_t)r * g->run_row + (ptrdiff_t)c * g->run_pixel;
            for (int32_t e = 0; e < entries; e++, w += 64) {
                const int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16), w2 = vld1q_s8(w + 32), w3 = vld1q_s8(w + 48);
                for (int pair = 0; pair < pairs; pair++) {
                    const uint8_t *one = run + at[2 * pair], *other = run + at[2 * pair + (pixels > 1)];
                    const uint8x16_t values = vcombine_u8(bitc_immla_entry_neon(one, g->run, e),
                                                          bitc_immla_entry_neon(other, g->run, e));
                    int32x4_t *sum = quarters + 4 * pair;
                    sum[0] = vusmmlaq_s32(sum[0], values, w0);
                    sum[1] = vusmmlaq_s32(sum[1], values, w1);
                    sum[2] = vusmmlaq_s32(sum[2], values, w2);
                    sum[3] = vusmmlaq_s32(sum[3], values, w3);
                }
            }
        }
    }
    for (int p = 0; p < pixels; p++) {
        const int32x4_t *sum = quarters + 4 * (p / 2);
        if (p % 2 == 0) {
            sums[p].low = vcombine_s32(vget_low_s32(sum[0]), vget_low_s32(sum[1]));
            sums[p].high = vcombine_s32(vget_low_s32(sum[2]), vget_low_s32(sum[3]));
        } else {
            sums[p].low = vcombine_s32(vget_high_s32(sum[0]), vget_high_s32(sum[1]));
            sums[p].high = vcombine_s32(vget_high_s32(sum[2]), vget_high_s32(sum[3]));
        }
    }
}

static inline void bitc_iconv_u8_i8_neon_i8mm(const bitc_iconv *g, const uint8_t *x, const int8_t *w,
                                              const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_iconv_groups_neon(g, x, w, 64 * bitc_iconv_terms(g, 8), base, y, y0, y1, 1, bitc_itile_neon_i8mm);
}

#endif
