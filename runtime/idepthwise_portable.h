/* Integer depthwise convolution for every C99 compiler: lanes = channels. */
#ifndef BITC_IDEPTHWISE_PORTABLE_H
#define BITC_IDEPTHWISE_PORTABLE_H

#include "idepthwise.h"

#define BITC_IDEPTHWISE_BLOCK_PORTABLE 16
#define BITC_IDEPTHWISE_SIDE_PORTABLE 1

BITC_GCC_NOINLINE void bitc_idepthwise_tap_u8_portable(int32_t *BITC_RESTRICT y, const uint8_t *BITC_RESTRICT x,
                                                       const int16_t *BITC_RESTRICT w, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        y[i] += (int16_t)x[i] * w[i];
    }
}

BITC_GCC_NOINLINE void bitc_idepthwise_tap_i16_portable(int32_t *BITC_RESTRICT y, const int16_t *BITC_RESTRICT x,
                                                        const int16_t *BITC_RESTRICT w, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        y[i] += x[i] * w[i];
    }
}

/* All taps of `n` channels of one pixel; bytes: x is uint8_t, else int16_t. */
BITC_INLINE void bitc_idepthwise_block_portable(const bitc_idepthwise *g, const void *x, ptrdiff_t at, const int16_t *w,
                                                int32_t *y, int32_t n, const int bytes) {
    for (int32_t r = 0; r < g->taps_h; r++) {
        for (int32_t t = 0; t < g->taps_w; t++, w += BITC_IDEPTHWISE_BLOCK_PORTABLE) {
            const ptrdiff_t tap = at + (ptrdiff_t)r * g->tap_row + (ptrdiff_t)t * g->tap_pixel;
            if (bytes) {
                bitc_idepthwise_tap_u8_portable(y, (const uint8_t *)x + tap, w, n);
            } else {
                bitc_idepthwise_tap_i16_portable(y, (const int16_t *)x + tap, w, n);
            }
        }
    }
}

BITC_INLINE void bitc_idepthwise_any_portable(const bitc_idepthwise *g, const void *x, const int16_t *w,
                                              const int32_t *base, int32_t *y, int32_t y0, int32_t y1,
                                              const int bytes) {
    const int32_t block = BITC_IDEPTHWISE_BLOCK_PORTABLE, n = g->channels < block ? g->channels : block;
    const ptrdiff_t weights = (ptrdiff_t)g->taps_h * g->taps_w * block;
    for (int32_t row = y0; row < y1; row++) {
        for (int32_t column = 0; column < g->out_w; column++, y += g->channels) {
            const ptrdiff_t at = (ptrdiff_t)row * g->step_h * g->in_row + (ptrdiff_t)column * g->step_w * g->in_pixel;
            const int16_t *from = w;
            for (int32_t b = 0; b < g->channels; b += block, from += weights) {
                const int32_t c = bitc_idepthwise_channel(g, b, block);
                memcpy(y + c, base + c, sizeof(int32_t) * (size_t)n);
                bitc_idepthwise_block_portable(g, x, at + c, from, y + c, n, bytes);
            }
        }
    }
}

static inline void bitc_idepthwise_u8_portable(const bitc_idepthwise *g, const uint8_t *x, const int16_t *w,
                                               const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_idepthwise_any_portable(g, x, w, base, y, y0, y1, 1);
}

static inline void bitc_idepthwise_i16_portable(const bitc_idepthwise *g, const int16_t *x, const int16_t *w,
                                                const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_idepthwise_any_portable(g, x, w, base, y, y0, y1, 0);
}

#endif
