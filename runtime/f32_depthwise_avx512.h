/* Float depthwise convolution for AVX-512F: lanes = channels. */
#ifndef BITC_F32_DEPTHWISE_AVX512_H
#define BITC_F32_DEPTHWISE_AVX512_H

#include "f32_tile_avx512.h"

/* 8 pixels x 16 channels from c on, of which `channels` (at most 16) exist. */
BITC_INLINE void bitc_fdepthwise_tile_avx512(const bitc_fconv *g, const float *const *x, float *const *y,
                                             const float *w, ptrdiff_t c, int32_t channels) {
    const __mmask16 mask = (__mmask16)((1u << channels) - 1u);
    const float *x0 = x[0] + c, *x1 = x[1] + c, *x2 = x[2] + c, *x3 = x[3] + c;
    const float *x4 = x[4] + c, *x5 = x[5] + c, *x6 = x[6] + c, *x7 = x[7] + c;
    __m512 a0 = _mm512_setzero_ps(), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
    w += c;
    for (int32_t r = 0; r < g->taps_h; r++) {
        ptrdiff_t k = (ptrdiff_t)r * g->tap_row;
        for (int32_t t = 0; t < g->taps_w; t++, k += g->tap_pixel, w += g->out_c) {
            const __m512 weight = _mm512_maskz_loadu_ps(mask, w);
            a0 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, x0 + k), weight, a0);
            a1 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, x1 + k), weight, a1);
            a2 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, x2 + k), weight, a2);
            a3 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, x3 + k), weight, a3);
            a4 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, x4 + k), weight, a4);
            a5 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, x5 + k), weight, a5);
            a6 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, x6 + k), weight, a6);
            a7 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, x7 + k), weight, a7);
        }
    }
    const __m512 a[8] = {a0, a1, a2, a3, a4, a5, a6, a7};
    for (int p = 0; p < 8; p++) {
        bitc_fstore_avx512(y[p] + c, a[p], channels);
    }
}

/* Output rows [y0, y1) of an NHWC depthwise convolution, channel c of y from channel c of x only; without bias.
 *   g  out_c channels; in_c is not read;  x  first tap of output (0,0), zero halo included;  y  row y0
 *   w  [taps_h][taps_w][out_c]
 * Each y is a chain of fused multiply-adds over taps_h, taps_w in this order. x and y do not overlap. */
static inline void bitc_fdepthwise_avx512(const bitc_fconv *g, const float *x, const float *w, float *y, int32_t y0,
                                          int32_t y1) {
    bitc_fcursor at = bitc_fconv_start(g, x, y, y0);
    for (int32_t left = (y1 - y0) * g->out_w; left > 0; left -= 8) {
        const float *xs[8];
        float *ys[8];
        bitc_fconv_next(g, &at, bitc_fmin32(8, left), 8, xs, ys);
        for (int32_t c = 0; c < g->out_c; c += 16) {
            bitc_fdepthwise_tile_avx512(g, xs, ys, w, c, bitc_fmin32(16, g->out_c - c));
        }
    }
}

#endif
