/* Integer depthwise convolution for NEON: 16 channels at a time, all taps in registers. */
#ifndef BITC_IDEPTHWISE_NEON_H
#define BITC_IDEPTHWISE_NEON_H

#include <arm_neon.h>

#include "idepthwise.h"

#define BITC_IDEPTHWISE_BLOCK_NEON 16
#define BITC_IDEPTHWISE_SIDE_NEON 1

/* Values of 16 channels as two vectors, of the first n where n < 16 (then the others are 0); bytes: x is uint8_t. */
BITC_INLINE void bitc_idepthwise_values_neon(const void *x, ptrdiff_t at, int32_t n, int16x8_t *low, int16x8_t *high,
                                             const int bytes, const int whole) {
    if (bytes) {
        uint8_t few[16] = {0};
        const uint8_t *from = (const uint8_t *)x + at;
        if (!whole) bitc_ifew(few, from, n, 1);
        const uint8x16_t held = vld1q_u8(whole ? from : few);
        *low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(held)));
        *high = vreinterpretq_s16_u16(vmovl_high_u8(held));
    } else {
        int16_t few[16] = {0};
        const int16_t *from = (const int16_t *)x + at;
        if (!whole) bitc_ifew(few, from, n, 2);
        *low = vld1q_s16(whole ? from : few);
        *high = vld1q_s16((whole ? from : few) + 8);
    }
}

/* All taps of a block of one pixel; whole (constant): it has 16 channels, else n. */
BITC_INLINE void bitc_idepthwise_block_neon(const bitc_idepthwise *g, const void *x, ptrdiff_t at, const int16_t *w,
                                            const int32_t *base, int32_t *y, int32_t n, const int bytes,
                                            const int whole) {
    int32_t few[16] = {0};
    int32x4_t sums[4];
    if (!whole) memcpy(few, base, sizeof(int32_t) * (size_t)n);
    for (int v = 0; v < 4; v++) sums[v] = vld1q_s32((whole ? base : few) + 4 * v);
    for (int32_t r = 0; r < g->taps_h; r++) {
        for (int32_t t = 0; t < g->taps_w; t++, w += 16) {
            const ptrdiff_t tap = at + (ptrdiff_t)r * g->tap_row + (ptrdiff_t)t * g->tap_pixel;
            const int16x8_t wa = vld1q_s16(w), wb = vld1q_s16(w + 8);
            int16x8_t low, high;
            bitc_idepthwise_values_neon(x, tap, n, &low, &high, bytes, whole);
            sums[0] = vmlal_s16(sums[0], vget_low_s16(low), vget_low_s16(wa));
            sums[1] = vmlal_high_s16(sums[1], low, wa);
            sums[2] = vmlal_s16(sums[2], vget_low_s16(high), vget_low_s16(wb));
            sums[3] = vmlal_high_s16(sums[3], high, wb);
        }
    }
    for (int v = 0; v < 4; v++) vst1q_s32((whole ? y : few) + 4 * v, sums[v]);
    if (!whole) memcpy(y, few, sizeof(int32_t) * (size_t)n);
}

BITC_INLINE void bitc_idepthwise_any_neon(const bitc_idepthwise *g, const void *x, const int16_t *w,
                                          const int32_t *base, int32_t *y, int32_t y0, int32_t y1, const int bytes) {
    const ptrdiff_t weights = (ptrdiff_t)g->taps_h * g->taps_w * 16;
    for (int32_t row = y0; row < y1; row++) {
        for (int32_t column = 0; column < g->out_w; column++, y += g->channels) {
            const ptrdiff_t at = (ptrdiff_t)row * g->step_h * g->in_row + (ptrdiff_t)column * g->step_w * g->in_pixel;
            const int16_t *from = w;
            if (g->channels < 16) {
                bitc_idepthwise_block_neon(g, x, at, w, base, y, g->channels, bytes, 0);
                continue;
            }
            for (int32_t b = 0; b < g->channels; b += 16, from += weights) {
                const int32_t c = bitc_idepthwise_channel(g, b, 16);
                bitc_idepthwise_block_neon(g, x, at + c, from, base + c, y + c, 16, bytes, 1);
            }
        }
    }
}

static inline void bitc_idepthwise_u8_neon(const bitc_idepthwise *g, const uint8_t *x, const int16_t *w,
                                           const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_idepthwise_any_neon(g, x, w, base, y, y0, y1, 1);
}

static inline void bitc_idepthwise_i16_neon(const bitc_idepthwise *g, const int16_t *x, const int16_t *w,
                                            const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_idepthwise_any_neon(g, x, w, base, y, y0, y1, 0);
}

#endif
