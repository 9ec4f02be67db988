/* Float depthwise convolution for every C99 compiler. */
#ifndef BITC_F32_DEPTHWISE_PORTABLE_H
#define BITC_F32_DEPTHWISE_PORTABLE_H

#include "f32_conv.h"

/* y[i] += x[i] * w[i] for n channels. */
BITC_INLINE void bitc_fdepthwise_tap_portable(float *BITC_RESTRICT y, const float *x, const float *w, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        y[i] += x[i] * w[i];
    }
}

/* Output rows [y0, y1) of an NHWC depthwise convolution, channel c of y from channel c of x only; without bias.
 *   g  out_c channels; in_c is not read;  x  first tap of output (0,0), zero halo included;  y  row y0
 *   w  [taps_h][taps_w][out_c]
 * Each y is summed over taps_h, taps_w in this order, each product rounded. x and y do not overlap. */
static inline void bitc_fdepthwise_portable(const bitc_fconv *g, const float *x, const float *w, float *y, int32_t y0,
                                            int32_t y1) {
    bitc_fcursor at = bitc_fconv_start(g, x, y, y0);
    for (int32_t left = (y1 - y0) * g->out_w; left > 0; left--) {
        const float *from, *weight = w;
        float *to;
        bitc_fconv_next(g, &at, 1, 1, &from, &to);
        for (int32_t c = 0; c < g->out_c; c++) {
            to[c] = 0.0f;
        }
        for (int32_t r = 0; r < g->taps_h; r++) {
            const float *tap = from + (ptrdiff_t)r * g->tap_row;
            for (int32_t t = 0; t < g->taps_w; t++, tap += g->tap_pixel, weight += g->out_c) {
                bitc_fdepthwise_tap_portable(to, tap, weight, g->out_c);
            }
        }
    }
}

#endif
