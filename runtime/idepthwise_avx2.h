/* Integer depthwise convolution for AVX2: lanes = channels; two taps side by side make a pair for vpmaddwd. */
#ifndef BITC_IDEPTHWISE_AVX2_H
#define BITC_IDEPTHWISE_AVX2_H

#include "idepthwise.h"
#include <immintrin.h>

#define BITC_IDEPTHWISE_BLOCK_AVX2 16
#define BITC_IDEPTHWISE_SIDE_AVX2 2

BITC_INLINE __m256i bitc_iload_avx2(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* 16 values of x from element `at` on as int16_t; only n if the constant `partial`, the others 0. */
BITC_INLINE __m256i bitc_idepthwise_load_avx2(const void *x, ptrdiff_t at, int32_t n, const int bytes,
                                              const int partial) {
    if (bytes) {
        const uint8_t *from = (const uint8_t *)x + at;
        uint8_t some[16] = {0};
        if (partial) {
            bitc_ifew(some, from, n, 1);
        }
        return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(partial ? some : from)));
    }
    const int16_t *from = (const int16_t *)x + at;
    int16_t some[16] = {0};
    if (partial) {
        bitc_ifew(some, from, n, 2);
    }
    return bitc_iload_avx2(partial ? some : from);
}

/* low, high += the products of two taps of one pixel: channels 0..3, 8..11 and 4..7, 12..15. */
BITC_INLINE void bitc_idepthwise_pair_avx2(__m256i *low, __m256i *high, __m256i x, __m256i next, __m256i w_low,
                                           __m256i w_high) {
    *low = _mm256_add_epi32(*low, _mm256_madd_epi16(_mm256_unpacklo_epi16(x, next), w_low));
    BITC_BARRIER(*low);
    *high = _mm256_add_epi32(*high, _mm256_madd_epi16(_mm256_unpackhi_epi16(x, next), w_high));
    BITC_BARRIER(*high);
}

/* Sums of 16 channels of a pixel, or of n < 16. */
BITC_INLINE void bitc_idepthwise_store_avx2(int32_t *y, __m256i low, __m256i high, int32_t n, const int partial) {
    int32_t some[16], *to = partial ? some : y;
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256((__m256i *)(void *)(to + 8), _mm256_permute2x128_si256(low, high, 0x31));
    if (partial) {
        bitc_ifew(y, some, n, 4);
    }
}

/* 4 pixels x 16 channels: x[at[p]] is the first tap of pixel p, `count` of them are left at y + p * channels. base holds
 * 16 numbers. */
BITC_INLINE void bitc_idepthwise_tile_avx2(const bitc_idepthwise *g, const void *x, const ptrdiff_t *at,
                                           const int16_t *w, const int32_t *base, int32_t *y, int32_t count,
                                           const int bytes, const int partial) {
    const int32_t taps = g->taps_h * g->taps_w, n = g->channels;
    const ptrdiff_t at0 = at[0], at1 = at[1], at2 = at[2], at3 = at[3];
    const __m256i first = bitc_iload_avx2(base), second = bitc_iload_avx2(base + 8);
    __m256i low0 = _mm256_permute2x128_si256(first, second, 0x20), low1 = low0, low2 = low0, low3 = low0;
    __m256i high0 = _mm256_permute2x128_si256(first, second, 0x31), high1 = high0, high2 = high0, high3 = high0;
    bitc_itap tap = {0, g->taps_w};
    for (int32_t t = 0; t < taps; t += 2, w += 32) {
        const __m256i w_low = bitc_iload_avx2(w), w_high = bitc_iload_avx2(w + 16);
        const ptrdiff_t k = bitc_itap_next(g, &tap), next = bitc_itap_next(g, &tap);
        const ptrdiff_t j = t + 1 < taps ? next : k;
        bitc_idepthwise_pair_avx2(&low0, &high0, bitc_idepthwise_load_avx2(x, at0 + k, n, bytes, partial),
                                  bitc_idepthwise_load_avx2(x, at0 + j, n, bytes, partial), w_low, w_high);
        bitc_idepthwise_pair_avx2(&low1, &high1, bitc_idepthwise_load_avx2(x, at1 + k, n, bytes, partial),
                                  bitc_idepthwise_load_avx2(x, at1 + j, n, bytes, partial), w_low, w_high);
        bitc_idepthwise_pair_avx2(&low2, &high2, bitc_idepthwise_load_avx2(x, at2 + k, n, bytes, partial),
                                  bitc_idepthwise_load_avx2(x, at2 + j, n, bytes, partial), w_low, w_high);
        bitc_idepthwise_pair_avx2(&low3, &high3, bitc_idepthwise_load_avx2(x, at3 + k, n, bytes, partial),
                                  bitc_idepthwise_load_avx2(x, at3 + j, n, bytes, partial), w_low, w_high);
    }
    const __m256i low[4] = {low0, low1, low2, low3}, high[4] = {high0, high1, high2, high3};
    for (int32_t p = 0; p < count; p++) {
        bitc_idepthwise_store_avx2(y + (ptrdiff_t)p * n, low[p], high[p], n, partial);
    }
}

BITC_INLINE void bitc_idepthwise_any_avx2(const bitc_idepthwise *g, const void *x, const int16_t *w,
                                          const int32_t *base, int32_t *y, int32_t y0, int32_t y1, const int bytes) {
    const ptrdiff_t weights = (ptrdiff_t)(g->taps_h * g->taps_w + 1) / 2 * 32;
    int32_t few[16] = {0}, row = y0, column = 0, count;
    if (g->channels < 16) {
        bitc_ifew(few, base, g->channels, 4);
    }
    for (int32_t left = (y1 - y0) * g->out_w; left > 0; left -= count, y += (ptrdiff_t)count * g->channels) {
        ptrdiff_t at[4];
        count = left < 4 ? left : 4;
        bitc_idepthwise_pixels(g, &row, &column, count, 4, at);
        if (g->channels < 16) {
            bitc_idepthwise_tile_avx2(g, x, at, w, few, y, count, bytes, 1);
            continue;
        }
        const int16_t *from = w;
        for (int32_t b = 0; b < g->channels; b += 16, from += weights) {
            const int32_t c = bitc_idepthwise_channel(g, b, 16);
            const void *pixel = bytes ? (const void *)((const uint8_t *)x + c) : (const void *)((const int16_t *)x + c);
            bitc_idepthwise_tile_avx2(g, pixel, at, from, base + c, y + c, count, bytes, 0);
        }
    }
}

static inline void bitc_idepthwise_u8_avx2(const bitc_idepthwise *g, const uint8_t *x, const int16_t *w,
                                           const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_idepthwise_any_avx2(g, x, w, base, y, y0, y1, 1);
}

static inline void bitc_idepthwise_i16_avx2(const bitc_idepthwise *g, const int16_t *x, const int16_t *w,
                                            const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_idepthwise_any_avx2(g, x, w, base, y, y0, y1, 0);
}

#endif
