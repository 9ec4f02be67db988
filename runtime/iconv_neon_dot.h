/* Integer convolution of bytes for NEON with the dot product instructions: sdot adds four products to each lane.
 *
 * sdot takes signed bytes only, so it gets x - 128, and 128 times the sum of the weights is added at the end; that sum is
 * counted by one more sdot for each vector of weights. */
#ifndef BITC_ICONV_NEON_DOT_H
#define BITC_ICONV_NEON_DOT_H

#include "iconv_walk_neon.h"

#define BITC_ICONV_BLOCK_NEON_DOT 8
#define BITC_ICONV_SIDE_U8_NEON_DOT 4

/* sums[p] += the weights of entry i + lane times the four values in lane `lane` of x[p]; `all` += those weights. */
#define BITC_IDOT_NEON(lane) \
    do { \
        const int8x16_t wa = vld1q_s8(w + 32 * (i + lane)), wb = vld1q_s8(w + 32 * (i + lane) + 16); \
        all.low = vdotq_s32(all.low, wa, vdupq_n_s8(1)); \
        all.high = vdotq_s32(all.high, wb, vdupq_n_s8(1)); \
        for (int p = 0; p < pixels; p++) { \
            sums[p].low = vdotq_laneq_s32(sums[p].low, wa, values[p], lane); \
            sums[p].high = vdotq_laneq_s32(sums[p].high, wb, values[p], lane); \
        } \
    } while (0)

/* The four values of entry e of a run, less 128, in every lane; the last entry ends with the run, or 0 fills it up. */
BITC_INLINE int8x16_t bitc_idot_entry_neon(const uint8_t *run, int32_t length, int32_t e) {
    uint32_t four = 0;
    if (length < 4) {
        uint8_t few[4] = {0, 0, 0, 0};
        memcpy(few, run, (size_t)length);
        memcpy(&four, few, 4);
    } else {
        memcpy(&four, run + bitc_imin32(4 * e, length - 4), 4);
    }
    return vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x80808080u));
}

BITC_INLINE void bitc_itile_neon_dot(const bitc_iconv *g, const void *x, const ptrdiff_t *at, const void *weights,
                                     bitc_isums_neon *sums, const int pixels) {
    const int8_t *w = (const int8_t *)weights;
    const int32_t entries = (g->run + 3) / 4;
    bitc_isums_neon all = {vdupq_n_s32(0), vdupq_n_s32(0)};
    ptrdiff_t i = 0;
    for (int p = 0; p < pixels; p++) sums[p] = all;
    for (int32_t r = 0; r < g->runs_h; r++) {
        for (int32_t c = 0; c < g->runs_w; c++) {
            const uint8_t *run = (const uint8_t *)x + (ptrdiff_t)r * g->run_row + (ptrdiff_t)c * g->run_pixel;
            int8x16_t values[8];
            int32_t e = 0;
            for (; 4 * e + 16 <= g->run; e += 4, i += 4) {
                for (int p = 0; p < pixels; p++) {
                    const uint8x16_t held = vld1q_u8(run + at[p] + 4 * e);
                    values[p] = vreinterpretq_s8_u8(veorq_u8(held, vdupq_n_u8(0x80)));
                }
                BITC_IDOT_NEON(0);
                BITC_IDOT_NEON(1);
                BITC_IDOT_NEON(2);
                BITC_IDOT_NEON(3);
            }
            for (; e < entries; e++, i++) {
                for (int p = 0; p < pixels; p++) values[p] = bitc_idot_entry_neon(run + at[p], g->run, e);
                BITC_IDOT_NEON(0);
            }
        }
    }
    for (int p = 0; p < pixels; p++) {
        sums[p].low = vaddq_s32(sums[p].low, vshlq_n_s32(all.low, 7));
        sums[p].high = vaddq_s32(sums[p].high, vshlq_n_s32(all.high, 7));
    }
}

static inline void bitc_iconv_u8_i8_neon_dot(const bitc_iconv *g, const uint8_t *x, const int8_t *w,
                                             const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_iconv_groups_neon(g, x, w, 32 * bitc_iconv_terms(g, 4), base, y, y0, y1, 1, bitc_itile_neon_dot);
}

#endif
