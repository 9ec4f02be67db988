/* Float convolution tiles for AVX2 + FMA: pixels x blocks of 8 output channels, one named register per accumulator.
 *
 * Weights come in two forms, chosen by the constant `packed`: floats [block][tap][in_c][8], or sign bits in one byte
 * for the 8 channels [block][tap][in_c] (bit 1 = -1). A sign becomes the factor +-1, so that fma(x, +-1, sum) rounds
 * exactly as sum +- x. Sums run over the taps, then the input channels, in every lane. */
#ifndef BITC_F32_TILE_AVX2_H
#define BITC_F32_TILE_AVX2_H

#include "f32_conv.h"
#include <immintrin.h>

#define BITC_FCONV_BLOCK_AVX2 8

/* The first n (at most 8) lanes of v. */
BITC_INLINE void bitc_fstore_avx2(float *y, __m256 v, int32_t n) {
    __m128 part = _mm256_castps256_ps128(v);
    if (n >= 8) {
        _mm256_storeu_ps(y, v);
        return;
    }
    if (n & 4) {
        _mm_storeu_ps(y, part);
        part = _mm256_extractf128_ps(v, 1);
        y += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)y, part);
        part = _mm_movehl_ps(part, part);
        y += 2;
    }
    if (n & 1) {
        _mm_store_ss(y, part);
    }
}

/* The signs of entry i = block * depth + tap * in_c + channel, in the top bits of 8 lanes; the other bits are noise. */
BITC_INLINE __m256 bitc_fsigns_avx2(const void *w, ptrdiff_t i) {
    const __m256i bits = _mm256_set1_epi8((char)((const uint8_t *)w)[i]);
    return _mm256_castsi256_ps(_mm256_sllv_epi32(bits, _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0)));
}

/* The 8 weights of entry i. */
BITC_INLINE __m256 bitc_fweight_avx2(const void *w, ptrdiff_t i, const int packed) {
    if (packed) {
        const __m256 sign = _mm256_and_ps(bitc_fsigns_avx2(w, i), _mm256_set1_ps(-0.0f));
        return _mm256_or_ps(sign, _mm256_set1_ps(1.0f));
    }
    return _mm256_loadu_ps((const float *)w + 8 * i);
}

/* sum + v * the 8 weights of entry i, for weights that are used once; minus_v is -v. */
BITC_INLINE __m256 bitc_fmac_avx2(__m256 sum, __m256 v, __m256 minus_v, const void *w, ptrdiff_t i, const int packed) {
    if (packed) {
        return _mm256_add_ps(sum, _mm256_blendv_ps(v, minus_v, bitc_fsigns_avx2(w, i)));
    }
    return _mm256_fmadd_ps(v, _mm256_loadu_ps((const float *)w + 8 * i), sum);
}

/* 6 pixels x 2 blocks: i is the first entry of block 0, i + depth of block 1; `channels` are left at y + offset. */
BITC_INLINE void bitc_ftile_6x2_avx2(const bitc_fruns *runs, const float *const *x, float *const *y, const void *w,
                                     ptrdiff_t i, ptrdiff_t depth, ptrdiff_t offset, int32_t channels,
                                     const int packed) {
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3], *x4 = x[4], *x5 = x[5];
    __m256 a0 = _mm256_setzero_ps(), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0;
    __m256 b0 = a0, b1 = a0, b2 = a0, b3 = a0, b4 = a0, b5 = a0;
    for (ptrdiff_t r = 0; r < runs->rows; r++) {
        for (ptrdiff_t c = 0; c < runs->cols; c++) {
            const ptrdiff_t first = r * runs->row_stride + c * runs->col_stride, end = first + runs->length;
            for (ptrdiff_t k = first; k < end; k++, i++) {
                const __m256 wa = bitc_fweight_avx2(w, i, packed), wb = bitc_fweight_avx2(w, i + depth, packed);
                __m256 v = _mm256_broadcast_ss(x0 + k);
                a0 = _mm256_fmadd_ps(v, wa, a0), b0 = _mm256_fmadd_ps(v, wb, b0);
                v = _mm256_broadcast_ss(x1 + k);
                a1 = _mm256_fmadd_ps(v, wa, a1), b1 = _mm256_fmadd_ps(v, wb, b1);
                v = _mm256_broadcast_ss(x2 + k);
                a2 = _mm256_fmadd_ps(v, wa, a2), b2 = _mm256_fmadd_ps(v, wb, b2);
                v = _mm256_broadcast_ss(x3 + k);
                a3 = _mm256_fmadd_ps(v, wa, a3), b3 = _mm256_fmadd_ps(v, wb, b3);
                v = _mm256_broadcast_ss(x4 + k);
                a4 = _mm256_fmadd_ps(v, wa, a4), b4 = _mm256_fmadd_ps(v, wb, b4);
                v = _mm256_broadcast_ss(x5 + k);
                a5 = _mm256_fmadd_ps(v, wa, a5), b5 = _mm256_fmadd_ps(v, wb, b5);
            }
        }
    }
    const __m256 a[6] = {a0, a1, a2, a3, a4, a5}, b[6] = {b0, b1, b2, b3, b4, b5};
    for (int p = 0; p < 6; p++) {
        bitc_fstore_avx2(y[p] + offset, a[p], 8);
        bitc_fstore_avx2(y[p] + offset + 8, b[p], channels - 8);
    }
}

/* 6 pixels x 1 block, the odd last one. */
BITC_INLINE void bitc_ftile_6x1_avx2(const bitc_fruns *runs, const float *const *x, float *const *y, const void *w,
                                     ptrdiff_t i, ptrdiff_t offset, int32_t channels, const int packed) {
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3], *x4 = x[4], *x5 = x[5];
    __m256 a0 = _mm256_setzero_ps(), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0;
    for (ptrdiff_t r = 0; r < runs->rows; r++) {
        for (ptrdiff_t c = 0; c < runs->cols; c++) {
            const ptrdiff_t first = r * runs->row_stride + c * runs->col_stride, end = first + runs->length;
            for (ptrdiff_t k = first; k < end; k++, i++) {
                const __m256 wa = bitc_fweight_avx2(w, i, packed);
                a0 = _mm256_fmadd_ps(_mm256_broadcast_ss(x0 + k), wa, a0);
                a1 = _mm256_fmadd_ps(_mm256_broadcast_ss(x1 + k), wa, a1);
                a2 = _mm256_fmadd_ps(_mm256_broadcast_ss(x2 + k), wa, a2);
                a3 = _mm256_fmadd_ps(_mm256_broadcast_ss(x3 + k), wa, a3);
                a4 = _mm256_fmadd_ps(_mm256_broadcast_ss(x4 + k), wa, a4);
                a5 = _mm256_fmadd_ps(_mm256_broadcast_ss(x5 + k), wa, a5);
            }
        }
    }
    const __m256 a[6] = {a0, a1, a2, a3, a4, a5};
    for (int p = 0; p < 6; p++) {
        bitc_fstore_avx2(y[p] + offset, a[p], channels);
    }
}

/* 3 pixels x `blocks` (1..4) blocks; missing blocks repeat the last one. */
BITC_INLINE void bitc_ftile_3x4_avx2(const bitc_fruns *runs, const float *const *x, float *const *y, const void *w,
                                     ptrdiff_t i, ptrdiff_t depth, ptrdiff_t offset, int32_t blocks, int32_t channels,
                                     const int packed) {
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2];
    const ptrdiff_t to_b = blocks > 1 ? depth : 0, to_c = blocks > 2 ? 2 * depth : to_b;
    const ptrdiff_t to_d = blocks > 3 ? 3 * depth : to_c;
    __m256 a0 = _mm256_setzero_ps(), a1 = a0, a2 = a0, b0 = a0, b1 = a0, b2 = a0;
    __m256 c0 = a0, c1 = a0, c2 = a0, d0 = a0, d1 = a0, d2 = a0;
    for (ptrdiff_t r = 0; r < runs->rows; r++) {
        for (ptrdiff_t c = 0; c < runs->cols; c++) {
            const ptrdiff_t first = r * runs->row_stride + c * runs->col_stride, end = first + runs->length;
            for (ptrdiff_t k = first; k < end; k++, i++) {
                const __m256 v0 = _mm256_broadcast_ss(x0 + k), v1 = _mm256_broadcast_ss(x1 + k);
                const __m256 v2 = _mm256_broadcast_ss(x2 + k);
                __m256 u = bitc_fweight_avx2(w, i, packed);
                a0 = _mm256_fmadd_ps(v0, u, a0), a1 = _mm256_fmadd_ps(v1, u, a1), a2 = _mm256_fmadd_ps(v2, u, a2);
                u = bitc_fweight_avx2(w, i + to_b, packed);
                b0 = _mm256_fmadd_ps(v0, u, b0), b1 = _mm256_fmadd_ps(v1, u, b1), b2 = _mm256_fmadd_ps(v2, u, b2);
                u = bitc_fweight_avx2(w, i + to_c, packed);
                c0 = _mm256_fmadd_ps(v0, u, c0), c1 = _mm256_fmadd_ps(v1, u, c1), c2 = _mm256_fmadd_ps(v2, u, c2);
                u = bitc_fweight_avx2(w, i + to_d, packed);
                d0 = _mm256_fmadd_ps(v0, u, d0), d1 = _mm256_fmadd_ps(v1, u, d1), d2 = _mm256_fmadd_ps(v2, u, d2);
            }
        }
    }
    const __m256 sums[4][3] = {{a0, a1, a2}, {b0, b1, b2}, {c0, c1, c2}, {d0, d1, d2}};
    for (int32_t b = 0; b < blocks; b++) {
        for (int p = 0; p < 3; p++) {
            bitc_fstore_avx2(y[p] + offset + 8 * b, sums[b][p], channels - 8 * b);
        }
    }
}

/* 1 pixel x `blocks` (1..8) blocks; missing blocks repeat the last one. Eight independent chains hide the latency of
 * the multiply-add and keep eight streams of weights in flight. */
BITC_INLINE void bitc_ftile_1x8_avx2(const bitc_fruns *runs, const float *x, float *y, const void *w, ptrdiff_t i,
                                     ptrdiff_t depth, int32_t blocks, int32_t channels, const int packed) {
    ptrdiff_t to[8];
    for (int32_t b = 0; b < 8; b++) {
        to[b] = bitc_fmin32(b, blocks - 1) * depth;
    }
    const ptrdiff_t t1 = to[1], t2 = to[2], t3 = to[3], t4 = to[4], t5 = to[5], t6 = to[6], t7 = to[7];
    __m256 a0 = _mm256_setzero_ps(), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
    for (ptrdiff_t r = 0; r < runs->rows; r++) {
        for (ptrdiff_t c = 0; c < runs->cols; c++) {
            const ptrdiff_t first = r * runs->row_stride + c * runs->col_stride, end = first + runs->length;
            for (ptrdiff_t k = first; k < end; k++, i++) {
                const __m256 v = _mm256_broadcast_ss(x + k), u = _mm256_xor_ps(v, _mm256_set1_ps(-0.0f));
                a0 = bitc_fmac_avx2(a0, v, u, w, i, packed);
                a1 = bitc_fmac_avx2(a1, v, u, w, i + t1, packed);
                a2 = bitc_fmac_avx2(a2, v, u, w, i + t2, packed);
                a3 = bitc_fmac_avx2(a3, v, u, w, i + t3, packed);
                a4 = bitc_fmac_avx2(a4, v, u, w, i + t4, packed);
                a5 = bitc_fmac_avx2(a5, v, u, w, i + t5, packed);
                a6 = bitc_fmac_avx2(a6, v, u, w, i + t6, packed);
                a7 = bitc_fmac_avx2(a7, v, u, w, i + t7, packed);
            }
        }
    }
    const __m256 sums[8] = {a0, a1, a2, a3, a4, a5, a6, a7};
    for (int32_t b = 0; b < blocks; b++) {
        bitc_fstore_avx2(y + 8 * b, sums[b], channels - 8 * b);
    }
}

/* All blocks [first, last) of the next 6, 3 or 1 pixels (at most `left`); returns how many pixels it did. */
BITC_INLINE int32_t bitc_ftiles_avx2(const bitc_fconv *g, const bitc_fruns *runs, bitc_fcursor *at, int32_t left,
                                     const void *w, int32_t first, int32_t last, const int packed) {
    const float *x[6];
    float *y[6];
    const ptrdiff_t depth = bitc_fconv_depth(g);
    const int32_t slots = left > 4 ? 6 : left > 1 ? 3 : 1, count = bitc_fmin32(slots, left);
    int32_t b = first;
    bitc_fconv_next(g, at, count, slots, x, y);
    if (slots == 6) {
        for (; b + 1 < last; b += 2) {
            bitc_ftile_6x2_avx2(runs, x, y, w, b * depth, depth, 8 * b, g->out_c - 8 * b, packed);
        }
        if (b < last) {
            bitc_ftile_6x1_avx2(runs, x, y, w, b * depth, 8 * b, g->out_c - 8 * b, packed);
        }
    } else if (slots == 3) {
        for (; b < last; b += 4) {
            bitc_ftile_3x4_avx2(runs, x, y, w, b * depth, depth, 8 * b, bitc_fmin32(4, last - b),
                                g->out_c - 8 * b, packed);
        }
    } else {
        for (; b < last; b += 8) {
            bitc_ftile_1x8_avx2(runs, x[0], y[0] + 8 * b, w, b * depth, depth, bitc_fmin32(8, last - b),
                                g->out_c - 8 * b, packed);
        }
    }
    return count;
}

BITC_INLINE void bitc_fconv_any_avx2(const bitc_fconv *g, const float *x, const void *w, float *y, int32_t y0,
                                     int32_t y1, const int packed) {
    const bitc_fruns runs = bitc_fconv_runs(g);
    const int32_t blocks = (g->out_c + 7) / 8, pass = bitc_fconv_pass(8 * bitc_fconv_depth(g));
    for (int32_t b = 0; b < blocks; b += pass) {
        bitc_fcursor at = bitc_fconv_start(g, x, y, y0);
        for (int32_t left = (y1 - y0) * g->out_w; left > 0;) {
            left -= bitc_ftiles_avx2(g, &runs, &at, left, w, b, bitc_fmin32(b + pass, blocks), packed);
        }
    }
}

#endif
