/* Float convolution tiles for NEON: 8 pixels by a block of 8 output channels, or one pixel by 4 blocks.
 *
 * Weights come in two forms, chosen by the constant `packed`: floats [block][tap][in_c][8], or sign bits in one byte for
 * the 8 channels [block][tap][in_c] (bit 1 = -1), which become factors +-1. Sums run over the taps, then the input
 * channels, in every lane; each product is fused with its addition. */
#ifndef BITC_F32_TILE_NEON_H
#define BITC_F32_TILE_NEON_H

#include <arm_neon.h>

#include "f32_conv.h"

#define BITC_FCONV_BLOCK_NEON 8

/* Weights 4 * half .. 4 * half + 3 of entry i = block * depth + tap * in_c + channel. */
BITC_INLINE float32x4_t bitc_fweight_neon(const void *w, ptrdiff_t i, const int half, const int packed) {
    static const uint32_t bits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    if (!packed) return vld1q_f32((const float *)w + 8 * i + 4 * half);
    const uint32x4_t minus = vtstq_u32(vdupq_n_u32(((const uint8_t *)w)[i]), vld1q_u32(bits + 4 * half));
    const uint32x4_t one = vreinterpretq_u32_f32(vdupq_n_f32(1.0f));
    return vreinterpretq_f32_u32(vorrq_u32(one, vshlq_n_u32(minus, 31)));
}

/* low[p], high[p] += the weights of entry i + lane times value `lane` of four[p]: a macro, because the lane is a literal. */
#define BITC_FLANE_NEON(lane) \
    do { \
        const float32x4_t wa = bitc_fweight_neon(w, i + lane, 0, packed), wb = bitc_fweight_neon(w, i + lane, 1, packed); \
        for (int p = 0; p < 8; p++) { \
            low[p] = vfmaq_laneq_f32(low[p], wa, four[p], lane); \
            high[p] = vfmaq_laneq_f32(high[p], wb, four[p], lane); \
        } \
    } while (0)

/* The first n (at most 8) lanes of a block's sums. */
BITC_INLINE void bitc_fstore_neon(float *y, float32x4_t low, float32x4_t high, int32_t n) {
    if (n >= 8) {
        vst1q_f32(y, low);
        vst1q_f32(y + 4, high);
        return;
    }
    const float32x4_t lanes[2] = {low, high};
    memcpy(y, lanes, sizeof(float) * (size_t)n);
}

/* 8 pixels x 1 block: i is the block's first entry; `channels` are left at y + offset. */
BITC_INLINE void bitc_ftile_8x1_neon(const bitc_fruns *runs, const float *const *x, float *const *y, const void *w,
                                     ptrdiff_t i, ptrdiff_t offset, int32_t channels, const int packed) {
    float32x4_t low[8], high[8], four[8];
    for (int p = 0; p < 8; p++) low[p] = high[p] = vdupq_n_f32(0.0f);
    for (ptrdiff_t r = 0; r < runs->rows; r++) {
        for (ptrdiff_t c = 0; c < runs->cols; c++) {
            const ptrdiff_t first = r * runs->row_stride + c * runs->col_stride, end = first + runs->length;
            ptrdiff_t k = first;
            for (; k + 4 <= end; k += 4, i += 4) {
                for (int p = 0; p < 8; p++) four[p] = vld1q_f32(x[p] + k);
                BITC_FLANE_NEON(0);
                BITC_FLANE_NEON(1);
                BITC_FLANE_NEON(2);
                BITC_FLANE_NEON(3);
            }
            for (; k < end; k++, i++) {
                const float32x4_t wa = bitc_fweight_neon(w, i, 0, packed), wb = bitc_fweight_neon(w, i, 1, packed);
                for (int p = 0; p < 8; p++) {
                    low[p] = vfmaq_n_f32(low[p], wa, x[p][k]);
                    high[p] = vfmaq_n_f32(high[p], wb, x[p][k]);
                }
            }
        }
    }
    for (int p = 0; p < 8; p++) bitc_fstore_neon(y[p] + offset, low[p], high[p], channels);
}

/* 1 pixel x `blocks` (1..4) blocks; missing blocks repeat the last one. */
BITC_INLINE void bitc_ftile_1x4_neon(const bitc_fruns *runs, const float *x, float *y, const void *w, ptrdiff_t i,
                                     ptrdiff_t depth, int32_t blocks, int32_t channels, const int packed) {
    float32x4_t low[4], high[4];
    ptrdiff_t at[4];
    for (int b = 0; b < 4; b++) {
        low[b] = high[b] = vdupq_n_f32(0.0f);
        at[b] = depth * (b < blocks ? b : blocks - 1);
    }
    for (ptrdiff_t r = 0; r < runs->rows; r++) {
        for (ptrdiff_t c = 0; c < runs->cols; c++) {
            const ptrdiff_t first = r * runs->row_stride + c * runs->col_stride, end = first + runs->length;
            for (ptrdiff_t k = first; k < end; k++, i++) {
                for (int b = 0; b < 4; b++) {
                    low[b] = vfmaq_n_f32(low[b], bitc_fweight_neon(w, i + at[b], 0, packed), x[k]);
                    high[b] = vfmaq_n_f32(high[b], bitc_fweight_neon(w, i + at[b], 1, packed), x[k]);
                }
            }
        }
    }
    for (int b = 0; b < blocks; b++) bitc_fstore_neon(y + 8 * b, low[b], high[b], channels - 8 * b);
}

BITC_INLINE void bitc_fconv_any_neon(const bitc_fconv *g, const float *x, const void *w, float *y, int32_t y0,
                                     int32_t y1, const int packed) {
    const bitc_fruns runs = bitc_fconv_runs(g);
    const ptrdiff_t depth = bitc_fconv_depth(g);
    const int32_t blocks = (g->out_c + 7) / 8;
    bitc_fcursor at = bitc_fconv_start(g, x, y, y0);
    for (int32_t left = (y1 - y0) * g->out_w; left > 0;) {
        const float *xs[8];
        float *ys[8];
        const int32_t slots = left > 1 ? 8 : 1, count = bitc_fmin32(slots, left);
        bitc_fconv_next(g, &at, count, slots, xs, ys);
        for (int32_t b = 0; b < blocks && slots == 8; b++) {
            bitc_ftile_8x1_neon(&runs, xs, ys, w, b * depth, 8 * b, g->out_c - 8 * b, packed);
        }
        for (int32_t b = 0; b < blocks && slots == 1; b += 4) {
            bitc_ftile_1x4_neon(&runs, xs[0], ys[0] + 8 * b, w, b * depth, depth, bitc_fmin32(4, blocks - b),
                                g->out_c - 8 * b, packed);
        }
        left -= count;
    }
}

#endif
