/* Float convolution tiles for AVX-512F: pixels x blocks of 16 output channels, one named register per accumulator.
 *
 * Weights come in two forms, chosen by the constant `packed`: floats [block][tap][in_c][16], or sign bits in one uint16
 * for the 16 channels [block][tap][in_c] (bit 1 = -1). A sign becomes the factor +-1, so that fma(x, +-1, sum) rounds
 * exactly as sum +- x. Sums run over the taps, then the input channels, in every lane. */
#ifndef BITC_F32_TILE_AVX512_H
#define BITC_F32_TILE_AVX512_H

#include "f32_conv.h"
#include <immintrin.h>

#define BITC_FCONV_BLOCK_AVX512 16

/* The first n (at most 16) lanes of v. */
BITC_INLINE void bitc_fstore_avx512(float *y, __m512 v, int32_t n) {
    _mm512_mask_storeu_ps(y, (__mmask16)(n >= 16 ? 0xFFFFu : (1u << n) - 1u), v);
}

/* The 16 weights of entry i = block * depth + tap * in_c + channel. */
BITC_INLINE __m512 bitc_fweight_avx512(const void *w, ptrdiff_t i, const int packed) {
    if (packed) {
        return _mm512_mask_blend_ps(((const uint16_t *)w)[i], _mm512_set1_ps(1.0f), _mm512_set1_ps(-1.0f));
    }
    return _mm512_loadu_ps((const float *)w + 16 * i);
}

/* 8 pixels x 2 blocks: i is the first entry of block 0, i + depth of block 1; `channels` are left at y + offset. */
BITC_INLINE void bitc_ftile_8x2_avx512(const bitc_fruns *runs, const float *const *x, float *const *y, const void *w,
                                       ptrdiff_t i, ptrdiff_t depth, ptrdiff_t offset, int32_t channels,
                                       const int packed) {
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3], *x4 = x[4], *x5 = x[5], *x6 = x[6], *x7 = x[7];
    __m512 a0 = _mm512_setzero_ps(), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
    __m512 b0 = a0, b1 = a0, b2 = a0, b3 = a0, b4 = a0, b5 = a0, b6 = a0, b7 = a0;
    for (ptrdiff_t r = 0; r < runs->rows; r++) {
        for (ptrdiff_t c = 0; c < runs->cols; c++) {
            const ptrdiff_t first = r * runs->row_stride + c * runs->col_stride, end = first + runs->length;
            for (ptrdiff_t k = first; k < end; k++, i++) {
                const __m512 wa = bitc_fweight_avx512(w, i, packed), wb = bitc_fweight_avx512(w, i + depth, packed);
                __m512 v = _mm512_set1_ps(x0[k]);
                a0 = _mm512_fmadd_ps(v, wa, a0), b0 = _mm512_fmadd_ps(v, wb, b0);
                v = _mm512_set1_ps(x1[k]);
                a1 = _mm512_fmadd_ps(v, wa, a1), b1 = _mm512_fmadd_ps(v, wb, b1);
                v = _mm512_set1_ps(x2[k]);
                a2 = _mm512_fmadd_ps(v, wa, a2), b2 = _mm512_fmadd_ps(v, wb, b2);
                v = _mm512_set1_ps(x3[k]);
                a3 = _mm512_fmadd_ps(v, wa, a3), b3 = _mm512_fmadd_ps(v, wb, b3);
                v = _mm512_set1_ps(x4[k]);
                a4 = _mm512_fmadd_ps(v, wa, a4), b4 = _mm512_fmadd_ps(v, wb, b4);
                v = _mm512_set1_ps(x5[k]);
                a5 = _mm512_fmadd_ps(v, wa, a5), b5 = _mm512_fmadd_ps(v, wb, b5);
                v = _mm512_set1_ps(x6[k]);
                a6 = _mm512_fmadd_ps(v, wa, a6), b6 = _mm512_fmadd_ps(v, wb, b6);
                v = _mm512_set1_ps(x7[k]);
                a7 = _mm512_fmadd_ps(v, wa, a7), b7 = _mm512_fmadd_ps(v, wb, b7);
            }
        }
    }
    const __m512 a[8] = {a0, a1, a2, a3, a4, a5, a6, a7}, b[8] = {b0, b1, b2, b3, b4, b5, b6, b7};
    for (int p = 0; p < 8; p++) {
        bitc_fstore_avx512(y[p] + offset, a[p], 16);
        bitc_fstore_avx512(y[p] + offset + 16, b[p], channels - 16);
    }
}

/* 8 pixels x 1 block, the odd last one. */
BITC_INLINE void bitc_ftile_8x1_avx512(const bitc_fruns *runs, const float *const *x, float *const *y, const void *w,
                                       ptrdiff_t i, ptrdiff_t offset, int32_t channels, const int packed) {
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3], *x4 = x[4], *x5 = x[5], *x6 = x[6], *x7 = x[7];
    __m512 a0 = _mm512_setzero_ps(), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
    for (ptrdiff_t r = 0; r < runs->rows; r++) {
        for (ptrdiff_t c = 0; c < runs->cols; c++) {
            const ptrdiff_t first = r * runs->row_stride + c * runs->col_stride, end = first + runs->length;
            for (ptrdiff_t k = first; k < end; k++, i++) {
                const __m512 wa = bitc_fweight_avx512(w, i, packed);
                a0 = _mm512_fmadd_ps(_mm512_set1_ps(x0[k]), wa, a0);
                a1 = _mm512_fmadd_ps(_mm512_set1_ps(x1[k]), wa, a1);
                a2 = _mm512_fmadd_ps(_mm512_set1_ps(x2[k]), wa, a2);
                a3 = _mm512_fmadd_ps(_mm512_set1_ps(x3[k]), wa, a3);
                a4 = _mm512_fmadd_ps(_mm512_set1_ps(x4[k]), wa, a4);
                a5 = _mm512_fmadd_ps(_mm512_set1_ps(x5[k]), wa, a5);
                a6 = _mm512_fmadd_ps(_mm512_set1_ps(x6[k]), wa, a6);
                a7 = _mm512_fmadd_ps(_mm512_set1_ps(x7[k]), wa, a7);
            }
        }
    }
    const __m512 a[8] = {a0, a1, a2, a3, a4, a5, a6, a7};
    for (int p = 0; p < 8; p++) {
        bitc_fstore_avx512(y[p] + offset, a[p], channels);
    }
}

/* 4 pixels x `blocks` (1..4) blocks; missing blocks repeat the last one. */
BITC_INLINE void bitc_ftile_4x4_avx512(const bitc_fruns *runs, const float *const *x, float *const *y, const void *w,
                                       ptrdiff_t i, ptrdiff_t depth, ptrdiff_t offset, int32_t blocks, int32_t channels,
                                       const int packed) {
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
    const ptrdiff_t to_b = blocks > 1 ? depth : 0, to_c = blocks > 2 ? 2 * depth : to_b;
    const ptrdiff_t to_d = blocks > 3 ? 3 * depth : to_c;
    __m512 a0 = _mm512_setzero_ps(), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    __m512 c0 = a0, c1 = a0, c2 = a0, c3 = a0, d0 = a0, d1 = a0, d2 = a0, d3 = a0;
    for (ptrdiff_t r = 0; r < runs->rows; r++) {
        for (ptrdiff_t c = 0; c < runs->cols; c++) {
            const ptrdiff_t first = r * runs->row_stride + c * runs->col_stride, end = first + runs->length;
            for (ptrdiff_t k = first; k < end; k++, i++) {
                const __m512 v0 = _mm512_set1_ps(x0[k]), v1 = _mm512_set1_ps(x1[k]);
                const __m512 v2 = _mm512_set1_ps(x2[k]), v3 = _mm512_set1_ps(x3[k]);
                __m512 u = bitc_fweight_avx512(w, i, packed);
                a0 = _mm512_fmadd_ps(v0, u, a0), a1 = _mm512_fmadd_ps(v1, u, a1);
                a2 = _mm512_fmadd_ps(v2, u, a2), a3 = _mm512_fmadd_ps(v3, u, a3);
                u = bitc_fweight_avx512(w, i + to_b, packed);
                b0 = _mm512_fmadd_ps(v0, u, b0), b1 = _mm512_fmadd_ps(v1, u, b1);
                b2 = _mm512_fmadd_ps(v2, u, b2), b3 = _mm512_fmadd_ps(v3, u, b3);
                u = bitc_fweight_avx512(w, i + to_c, packed);
                c0 = _mm512_fmadd_ps(v0, u, c0), c1 = _mm512_fmadd_ps(v1, u, c1);
                c2 = _mm512_fmadd_ps(v2, u, c2), c3 = _mm512_fmadd_ps(v3, u, c3);
                u = bitc_fweight_avx512(w, i + to_d, packed);
                d0 = _mm512_fmadd_ps(v0, u, d0), d1 = _mm512_fmadd_ps(v1, u, d1);
                d2 = _mm512_fmadd_ps(v2, u, d2), d3 = _mm512_fmadd_ps(v3, u, d3);
            }
        }
    }
    const __m512 sums[4][4] = {{a0, a1, a2, a3}, {b0, b1, b2, b3}, {c0, c1, c2, c3}, {d0, d1, d2, d3}};
    for (int32_t b = 0; b < blocks; b++) {
        for (int p = 0; p < 4; p++) {
            bitc_fstore_avx512(y[p] + offset + 16 * b, sums[b][p], channels - 16 * b);
        }
    }
}

/* 1 pixel x `blocks` (1..8) blocks; missing blocks repeat the last one. Eight independent chains hide the latency of
 * the multiply-add and keep eight streams of weights in flight. */
BITC_INLINE void bitc_ftile_1x8_avx512(const bitc_fruns *runs, const float *x, float *y, const void *w, ptrdiff_t i,
                                       ptrdiff_t depth, int32_t blocks, int32_t channels, const int packed) {
    ptrdiff_t to[8];
    for (int32_t b = 0; b < 8; b++) {
        to[b] = bitc_fmin32(b, blocks - 1) * depth;
    }
    const ptrdiff_t t1 = to[1], t2 = to[2], t3 = to[3], t4 = to[4], t5 = to[5], t6 = to[6], t7 = to[7];
    __m512 a0 = _mm512_setzero_ps(), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
    for (ptrdiff_t r = 0; r < runs->rows; r++) {
        for (ptrdiff_t c = 0; c < runs->cols; c++) {
            const ptrdiff_t first = r * runs->row_stride + c * runs->col_stride, end = first + runs->length;
            for (ptrdiff_t k = first; k < end; k++, i++) {
                const __m512 v = _mm512_set1_ps(x[k]);
                a0 = _mm512_fmadd_ps(v, bitc_fweight_avx512(w, i, packed), a0);
                a1 = _mm512_fmadd_ps(v, bitc_fweight_avx512(w, i + t1, packed), a1);
                a2 = _mm512_fmadd_ps(v, bitc_fweight_avx512(w, i + t2, packed), a2);
                a3 = _mm512_fmadd_ps(v, bitc_fweight_avx512(w, i + t3, packed), a3);
                a4 = _mm512_fmadd_ps(v, bitc_fweight_avx512(w, i + t4, packed), a4);
                a5 = _mm512_fmadd_ps(v, bitc_fweight_avx512(w, i + t5, packed), a5);
                a6 = _mm512_fmadd_ps(v, bitc_fweight_avx512(w, i + t6, packed), a6);
                a7 = _mm512_fmadd_ps(v, bitc_fweight_avx512(w, i + t7, packed), a7);
            }
        }
    }
    const __m512 sums[8] = {a0, a1, a2, a3, a4, a5, a6, a7};
    for (int32_t b = 0; b < blocks; b++) {
        bitc_fstore_avx512(y + 16 * b, sums[b], channels - 16 * b);
    }
}

/* All blocks [first, last) of the next 8, 4 or 1 pixels (at most `left`); returns how many pixels it did. */
BITC_INLINE int32_t bitc_ftiles_avx512(const bitc_fconv *g, const bitc_fruns *runs, bitc_fcursor *at, int32_t left,
                                       const void *w, int32_t first, int32_t last, const int packed) {
    const float *x[8];
    float *y[8];
    const ptrdiff_t depth = bitc_fconv_depth(g);
    const int32_t slots = left > 5 ? 8 : left > 1 ? 4 : 1, count = bitc_fmin32(slots, left);
    int32_t b = first;
    bitc_fconv_next(g, at, count, slots, x, y);
    if (slots == 8) {
        for (; b + 1 < last; b += 2) {
            bitc_ftile_8x2_avx512(runs, x, y, w, b * depth, depth, 16 * b, g->out_c - 16 * b, packed);
        }
        if (b < last) {
            bitc_ftile_8x1_avx512(runs, x, y, w, b * depth, 16 * b, g->out_c - 16 * b, packed);
        }
    } else if (slots == 4) {
        for (; b < last; b += 4) {
            bitc_ftile_4x4_avx512(runs, x, y, w, b * depth, depth, 16 * b, bitc_fmin32(4, last - b),
                                  g->out_c - 16 * b, packed);
        }
    } else {
        for (; b < last; b += 8) {
            bitc_ftile_1x8_avx512(runs, x[0], y[0] + 16 * b, w, b * depth, depth, bitc_fmin32(8, last - b),
                                  g->out_c - 16 * b, packed);
        }
    }
    return count;
}

BITC_INLINE void bitc_fconv_any_avx512(const bitc_fconv *g, const float *x, const void *w, float *y, int32_t y0,
                                       int32_t y1, const int packed) {
    const bitc_fruns runs = bitc_fconv_runs(g);
    const int32_t blocks = (g->out_c + 15) / 16, pass = bitc_fconv_pass(16 * bitc_fconv_depth(g));
    for (int32_t b = 0; b < blocks; b += pass) {
        bitc_fcursor at = bitc_fconv_start(g, x, y, y0);
        for (int32_t left = (y1 - y0) * g->out_w; left > 0;) {
            left -= bitc_ftiles_avx512(g, &runs, &at, left, w, b, bitc_fmin32(b + pass, blocks), packed);
        }
    }
}

#endif
