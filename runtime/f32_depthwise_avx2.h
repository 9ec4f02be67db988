/* Float depthwise convolution for AVX2 + FMA: lanes = channels. */
#ifndef BITC_F32_DEPTHWISE_AVX2_H
#define BITC_F32_DEPTHWISE_AVX2_H

#include "f32_tile_avx2.h"

/* The 8 floats at p, or those that `mask` selects. */
BITC_INLINE __m256 bitc_fload_avx2(const float *p, __m256i mask, const int masked) {
    return masked ? _mm256_maskload_ps(p, mask) : _mm256_loadu_ps(p);
}

/* 6 pixels x 8 channels from c on; with the constant `masked`, only the `channels` < 8 that are left. */
BITC_INLINE void bitc_fdepthwise_tile_avx2(const bitc_fconv *g, const float *const *x, float *const *y, const float *w,
                                           ptrdiff_t c, int32_t channels, const int masked) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(channels), lanes);
    const float *x0 = x[0] + c, *x1 = x[1] + c, *x2 = x[2] + c, *x3 = x[3] + c, *x4 = x[4] + c, *x5 = x[5] + c;
    __m256 a0 = _mm256_setzero_ps(), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0;
    w += c;
    for (int32_t r = 0; r < g->taps_h; r++) {
        ptrdiff_t k = (ptrdiff_t)r * g->tap_row;
        for (int32_t t = 0; t < g->taps_w; t++, k += g->tap_pixel, w += g->out_c) {
            const __m256 weight = bitc_fload_avx2(w, mask, masked);
            a0 = _mm256_fmadd_ps(bitc_fload_avx2(x0 + k, mask, masked), weight, a0);
            a1 = _mm256_fmadd_ps(bitc_fload_avx2(x1 + k, mask, masked), weight, a1);
            a2 = _mm256_fmadd_ps(bitc_fload_avx2(x2 + k, mask, masked), weight, a2);
            a3 = _mm256_fmadd_ps(bitc_fload_avx2(x3 + k, mask, masked), weight, a3);
            a4 = _mm256_fmadd_ps(bitc_fload_avx2(x4 + k, mask, masked), weight, a4);
            a5 = _mm256_fmadd_ps(bitc_fload_avx2(x5 + k, mask, masked), weight, a5);
        }
    }
    const __m256 a[6] = {a0, a1, a2, a3, a4, a5};
    for (int p = 0; p < 6; p++) {
        bitc_fstore_avx2(y[p] + c, a[p], masked ? channels : 8);
    }
}

/* Output rows [y0, y1) of an NHWC depthwise convolution, channel c of y from channel c of x only; without bias.
 *   g  out_c channels; in_c is not read;  x  first tap of output (0,0), zero halo included;  y  row y0
 *   w  [taps_h][taps_w][out_c]
 * Each y is a chain of fused multiply-adds over taps_h, taps_w in this order. x and y do not overlap. */
static inline void bitc_fdepthwise_avx2(const bitc_fconv *g, const float *x, const float *w, float *y, int32_t y0,
                                        int32_t y1) {
    bitc_fcursor at = bitc_fconv_start(g, x, y, y0);
    for (int32_t left = (y1 - y0) * g->out_w; left > 0; left -= 6) {
        const float *xs[6];
        float *ys[6];
        int32_t c = 0;
        bitc_fconv_next(g, &at, bitc_fmin32(6, left), 6, xs, ys);
        for (; c + 8 <= g->out_c; c += 8) {
            bitc_fdepthwise_tile_avx2(g, xs, ys, w, c, 8, 0);
        }
        if (c < g->out_c) {
            bitc_fdepthwise_tile_avx2(g, xs, ys, w, c, g->out_c - c, 1);
        }
    }
}

#endif
