/* Integer depthwise convolution for AVX-512 VNNI: lanes = channels; two taps side by side make a pair for vpdpwssd. */
#ifndef BITC_IDEPTHWISE_AVX512_H
#define BITC_IDEPTHWISE_AVX512_H

#include "idepthwise.h"
#include <immintrin.h>

#define BITC_IDEPTHWISE_BLOCK_AVX512 32
#define BITC_IDEPTHWISE_SIDE_AVX512 2

/* The channels of x that `mask` selects, from element `at` on, as int16_t. */
BITC_INLINE __m512i bitc_idepthwise_load_avx512(const void *x, ptrdiff_t at, __mmask32 mask, const int bytes) {
    if (bytes) {
        return _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(mask, (const uint8_t *)x + at));
    }
    return _mm512_maskz_loadu_epi16(mask, (const int16_t *)x + at);
}

/* low, high += the products of two taps of one pixel: the channels whose bit 2 is 0, and the others. */
BITC_INLINE void bitc_idepthwise_pair_avx512(__m512i *low, __m512i *high, __m512i x, __m512i next, __m512i w_low,
                                             __m512i w_high) {
    *low = _mm512_dpwssd_epi32(*low, _mm512_unpacklo_epi16(x, next), w_low);
    BITC_BARRIER_512(*low);
    *high = _mm512_dpwssd_epi32(*high, _mm512_unpackhi_epi16(x, next), w_high);
    BITC_BARRIER_512(*high);
}

/* Sums of the channels that `mask` selects, in their order. */
BITC_INLINE void bitc_idepthwise_store_avx512(int32_t *y, __m512i low, __m512i high, __mmask32 mask) {
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    _mm512_mask_storeu_epi32(y, (__mmask16)(mask & 0xFFFF), _mm512_permutex2var_epi64(low, first, high));
    if (mask >> 16) {
        _mm512_mask_storeu_epi32(y + 16, (__mmask16)(mask >> 16), _mm512_permutex2var_epi64(low, second, high));
    }
}

/* 4 pixels x 32 channels, or those that `mask` selects: x[at[p]] is the first tap of pixel p, `count` of them are left at
 * y + p * channels. */
BITC_INLINE void bitc_idepthwise_tile_avx512(const bitc_idepthwise *g, const void *x, const ptrdiff_t *at,
                                             const int16_t *w, const int32_t *base, int32_t *y, int32_t count,
                                             __mmask32 mask, const int bytes) {
    const int32_t taps = g->taps_h * g->taps_w;
    const ptrdiff_t at0 = at[0], at1 = at[1], at2 = at[2], at3 = at[3];
    const __m512i first = _mm512_maskz_loadu_epi32((__mmask16)(mask & 0xFFFF), base);
    const __m512i second = mask >> 16 ? _mm512_maskz_loadu_epi32((__mmask16)(mask >> 16), base + 16) : first;
    __m512i low0 = _mm512_shuffle_i32x4(first, second, _MM_SHUFFLE(2, 0, 2, 0)), low1 = low0, low2 = low0, low3 = low0;
    __m512i high0 = _mm512_shuffle_i32x4(first, second, _MM_SHUFFLE(3, 1, 3, 1));
    __m512i high1 = high0, high2 = high0, high3 = high0;
    bitc_itap tap = {0, g->taps_w};
    for (int32_t t = 0; t < taps; t += 2, w += 64) {
        const __m512i w_low = _mm512_loadu_si512(w), w_high = _mm512_loadu_si512(w + 32);
        const ptrdiff_t k = bitc_itap_next(g, &tap), next = bitc_itap_next(g, &tap);
        const ptrdiff_t j = t + 1 < taps ? next : k;
        bitc_idepthwise_pair_avx512(&low0, &high0, bitc_idepthwise_load_avx512(x, at0 + k, mask, bytes),
                                    bitc_idepthwise_load_avx512(x, at0 + j, mask, bytes), w_low, w_high);
        bitc_idepthwise_pair_avx512(&low1, &high1, bitc_idepthwise_load_avx512(x, at1 + k, mask, bytes),
                                    bitc_idepthwise_load_avx512(x, at1 + j, mask, bytes), w_low, w_high);
        bitc_idepthwise_pair_avx512(&low2, &high2, bitc_idepthwise_load_avx512(x, at2 + k, mask, bytes),
                                    bitc_idepthwise_load_avx512(x, at2 + j, mask, bytes), w_low, w_high);
        bitc_idepthwise_pair_avx512(&low3, &high3, bitc_idepthwise_load_avx512(x, at3 + k, mask, bytes),
                                    bitc_idepthwise_load_avx512(x, at3 + j, mask, bytes), w_low, w_high);
    }
    const __m512i low[4] = {low0, low1, low2, low3}, high[4] = {high0, high1, high2, high3};
    for (int32_t p = 0; p < count; p++) {
        bitc_idepthwise_store_avx512(y + (ptrdiff_t)p * g->channels, low[p], high[p], mask);
    }
}

BITC_INLINE void bitc_idepthwise_any_avx512(const bitc_idepthwise *g, const void *x, const int16_t *w,
                                            const int32_t *base, int32_t *y, int32_t y0, int32_t y1,
                                            const int bytes) {
    const ptrdiff_t weights = (ptrdiff_t)(g->taps_h * g->taps_w + 1) / 2 * 64;
    const __mmask32 mask = g->channels < 32 ? ((__mmask32)1 << g->channels) - 1 : ~(__mmask32)0;
    int32_t row = y0, column = 0, count;
    for (int32_t left = (y1 - y0) * g->out_w; left > 0; left -= count, y += (ptrdiff_t)count * g->channels) {
        const int16_t *from = w;
        ptrdiff_t at[4];
        count = left < 4 ? left : 4;
        bitc_idepthwise_pixels(g, &row, &column, count, 4, at);
        for (int32_t b = 0; b < g->channels; b += 32, from += weights) {
            const int32_t c = bitc_idepthwise_channel(g, b, 32);
            const void *pixel = bytes ? (const void *)((const uint8_t *)x + c) : (const void *)((const int16_t *)x + c);
            bitc_idepthwise_tile_avx512(g, pixel, at, from, base + c, y + c, count, mask, bytes);
        }
    }
}

static inline void bitc_idepthwise_u8_avx512(const bitc_idepthwise *g, const uint8_t *x, const int16_t *w,
                                             const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_idepthwise_any_avx512(g, x, w, base, y, y0, y1, 1);
}

static inline void bitc_idepthwise_i16_avx512(const bitc_idepthwise *g, const int16_t *x, const int16_t *w,
                                              const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_idepthwise_any_avx512(g, x, w, base, y, y0, y1, 0);
}

#endif
