/* Integer convolution tiles for AVX2 on 16-bit activations: up to 6 pixels x a block of 16 output channels, one named
 * register per accumulator. Weights are int16_t, or int8_t (widened when loaded), chosen by the constant `wide`. */
#ifndef BITC_ICONV_TILE_AVX2_H
#define BITC_ICONV_TILE_AVX2_H

#include "iconv.h"
#include <immintrin.h>

#define BITC_ICONV_BLOCK_AVX2 16
#define BITC_ICONV_SIDE_I16_AVX2 2

/* The first n (at most 8) lanes of v. */
BITC_INLINE void bitc_istore_avx2(int32_t *y, __m256i v, int32_t n) {
    __m128i part = _mm256_castsi256_si128(v);
    if (n >= 8) {
        _mm256_storeu_si256((__m256i *)(void *)y, v);
        return;
    }
    if (n & 4) {
        _mm_storeu_si128((__m128i *)(void *)y, part);
        part = _mm256_extracti128_si256(v, 1);
        y += 4;
    }
    if (n & 2) {
        _mm_storel_epi64((__m128i *)(void *)y, part);
        part = _mm_unpackhi_epi64(part, part);
        y += 2;
    }
    if (n & 1) {
        *y = _mm_cvtsi128_si32(part);
    }
}

/* Sums of one pixel: a for channels 0..7 of a block, b for 8..15; `channels` are left. */
BITC_INLINE void bitc_istore_pixel_avx2(int32_t *y, __m256i a, __m256i b, int32_t channels) {
    if (channels >= 16) {
        _mm256_storeu_si256((__m256i *)(void *)y, a);
        _mm256_storeu_si256((__m256i *)(void *)(y + 8), b);
        return;
    }
    bitc_istore_avx2(y, a, channels);
    if (channels > 8) {
        bitc_istore_avx2(y + 8, b, channels - 8);
    }
}

/* 16 weights, from number i on, as int16_t. */
BITC_INLINE __m256i bitc_iweights_avx2(const void *w, ptrdiff_t i, const int wide) {
    if (wide) {
        return _mm256_loadu_si256((const __m256i *)(const void *)((const int16_t *)w + i));
    }
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)((const int8_t *)w + i)));
}

/* A pair of values in every lane; single: there is only one, the other is 0. */
BITC_INLINE __m256i bitc_ipair_avx2(const int16_t *x, int single) {
    int32_t pair = (uint16_t)*x;
    if (!single) {
        memcpy(&pair, x, sizeof pair);
    }
    return _mm256_set1_epi32(pair);
}

/* a += x * wa, b += x * wb, in pairs. */
BITC_INLINE void bitc_imac_pair_avx2(__m256i *a, __m256i *b, __m256i x, __m256i wa, __m256i wb) {
    const __m256i product = _mm256_madd_epi16(x, wa);
    *a = _mm256_add_epi32(*a, product);
    BITC_BARRIER(*a);
    x = _mm256_madd_epi16(x, wb);
    *b = _mm256_add_epi32(*b, x);
    BITC_BARRIER(*b);
}

/* Adds the products of entry i, whose values of x lie at element j of a window. */
#define BITC_IENTRY_I16_AVX2(j, single)                                                                                \
    do {                                                                                                               \
        const __m256i wa = bitc_iweights_avx2(w, i, wide), wb = bitc_iweights_avx2(w, i + 16, wide);                   \
        bitc_imac_pair_avx2(&a0, &b0, bitc_ipair_avx2(x0 + (j), single), wa, wb);                                      \
        if (pixels > 1) {                                                                                              \
            bitc_imac_pair_avx2(&a1, &b1, bitc_ipair_avx2(x1 + (j), single), wa, wb);                                  \
        }                                                                                                              \
        if (pixels > 2) {                                                                                              \
            bitc_imac_pair_avx2(&a2, &b2, bitc_ipair_avx2(x2 + (j), single), wa, wb);                                  \
            bitc_imac_pair_avx2(&a3, &b3, bitc_ipair_avx2(x3 + (j), single), wa, wb);                                  \
        }                                                                                                              \
        if (pixels > 4) {                                                                                              \
            bitc_imac_pair_avx2(&a4, &b4, bitc_ipair_avx2(x4 + (j), single), wa, wb);                                  \
            bitc_imac_pair_avx2(&a5, &b5, bitc_ipair_avx2(x5 + (j), single), wa, wb);                                  \
        }                                                                                                              \
        i += 32;                                                                                                       \
    } while (0)

/* `pixels` (a constant, 1, 2, 4 or 6) pixels x 1 block: x[at[p]] is the first tap of pixel p, whose sums go to
 * y + p * out_pixel. */
BITC_INLINE void bitc_itile_i16_avx2(const bitc_iconv *g, const int16_t *x, const ptrdiff_t *at, const void *w,
                                     const int32_t *base, int32_t *y, int32_t channels, const int pixels,
                                     const int wide) {
    const ptrdiff_t out_pixel = (ptrdiff_t)g->groups * g->out_c;
    const int16_t *x0 = x + at[0], *x1 = x0, *x2 = x0, *x3 = x0, *x4 = x0, *x5 = x0;
    __m256i a0 = _mm256_loadu_si256((const __m256i *)(const void *)base);
    __m256i b0 = _mm256_loadu_si256((const __m256i *)(const void *)(base + 8));
    __m256i a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, b1 = b0, b2 = b0, b3 = b0, b4 = b0, b5 = b0;
    ptrdiff_t i = 0;
    if (pixels > 1) {
        x1 = x + at[1];
    }
    if (pixels > 2) {
        x2 = x + at[2], x3 = x + at[3];
    }
    if (pixels > 4) {
        x4 = x + at[4], x5 = x + at[5];
    }
    for (ptrdiff_t r = 0; r < g->runs_h; r++) {
        for (ptrdiff_t c = 0; c < g->runs_w; c++) {
            const ptrdiff_t first = r * g->run_row + c * g->run_pixel, end = first + g->run;
            for (ptrdiff_t k = first; k + 2 <= end; k += 2) {
                BITC_IENTRY_I16_AVX2(k, 0);
            }
            if (g->run == 1) {
                BITC_IENTRY_I16_AVX2(first, 1);
            } else if (g->run & 1) {
                BITC_IENTRY_I16_AVX2(end - 2, 0);
            }
        }
    }
    bitc_istore_pixel_avx2(y, a0, b0, channels);
    if (pixels > 1) {
        bitc_istore_pixel_avx2(y + out_pixel, a1, b1, channels);
    }
    if (pixels > 2) {
        bitc_istore_pixel_avx2(y + 2 * out_pixel, a2, b2, channels);
        bitc_istore_pixel_avx2(y + 3 * out_pixel, a3, b3, channels);
    }
    if (pixels > 4) {
        bitc_istore_pixel_avx2(y + 4 * out_pixel, a4, b4, channels);
        bitc_istore_pixel_avx2(y + 5 * out_pixel, a5, b5, channels);
    }
}

#undef BITC_IENTRY_I16_AVX2

#endif
