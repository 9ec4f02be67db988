/* Float depthwise convolution for NEON: 16 channels at a time, all taps in registers. */
#ifndef BITC_F32_DEPTHWISE_NEON_H
#define BITC_F32_DEPTHWISE_NEON_H

#include <arm_neon.h>

#include "f32_conv.h"

/* All taps of `vectors` (constant) times 4 channels of one pixel; x and w point at the first channel. */
BITC_INLINE void bitc_fdepthwise_block_neon(const bitc_fconv *g, const float *x, const float *w, float *y,
                                            const int vectors) {
    float32x4_t sums[4];
    for (int v = 0; v < vectors; v++) sums[v] = vdupq_n_f32(0.0f);
    for (int32_t r = 0; r < g->taps_h; r++) {
        const float *tap = x + (ptrdiff_t)r * g->tap_row;
        for (int32_t t = 0; t < g->taps_w; t++, tap += g->tap_pixel, w += g->out_c) {
            for (int v = 0; v < vectors; v++) {
                sums[v] = vfmaq_f32(sums[v], vld1q_f32(tap + 4 * v), vld1q_f32(w + 4 * v));
            }
        }
    }
    for (int v = 0; v < vectors; v++) vst1q_f32(y + 4 * v, sums[v]);
}

/* The same for one channel. */
BITC_INLINE float bitc_fdepthwise_one_neon(const bitc_fconv *g, const float *x, const float *w) {
    float32x2_t sum = vdup_n_f32(0.0f);
    for (int32_t r = 0; r < g->taps_h; r++) {
        const float *tap = x + (ptrdiff_t)r * g->tap_row;
        for (int32_t t = 0; t < g->taps_w; t++, tap += g->tap_pixel, w += g->out_c) {
            sum = vfma_n_f32(sum, vdup_n_f32(*tap), *w);
        }
    }
    return vget_lane_f32(sum, 0);
}

/* As bitc_fdepthwise_portable; each product is fused with its addition. */
static inline void bitc_fdepthwise_neon(const bitc_fconv *g, const float *x, const float *w, float *y, int32_t y0,
                                        int32_t y1) {
    bitc_fcursor at = bitc_fconv_start(g, x, y, y0);
    for (int32_t left = (y1 - y0) * g->out_w; left > 0; left--) {
        const float *from;
        float *to;
        int32_t c = 0;
        bitc_fconv_next(g, &at, 1, 1, &from, &to);
        for (; c + 16 <= g->out_c; c += 16) bitc_fdepthwise_block_neon(g, from + c, w + c, to + c, 4);
        for (; c + 4 <= g->out_c; c += 4) bitc_fdepthwise_block_neon(g, from + c, w + c, to + c, 1);
        for (; c < g->out_c; c++) to[c] = bitc_fdepthwise_one_neon(g, from + c, w + c);
    }
}

#endif
