/* Between numbers and packed codes for AVX-512, 16 channels at a time. Contract: bpack_portable.h. */
#ifndef BITC_BPACK_AVX512_H
#define BITC_BPACK_AVX512_H

#include <immintrin.h>

#include "base.h"

/* Lanes k < n set, for masked loads and stores; n >= 1. */
BITC_INLINE __mmask16 bitc_first_lanes_avx512(int32_t n) {
    return (__mmask16)(n >= 16 ? 0xFFFF : (1 << n) - 1);
}

/* One word of at most 64 channels: bit k = !(x[k] >= thr[k]), or !(x[k] <= thr[k]) where down's bit is 1. */
static inline uint64_t bitc_pack_word_avx512(const float *x, const float *thr, int32_t channels, uint64_t down) {
    uint64_t below = 0, above = 0;
    for (int32_t k = 0; k < channels; k += 16) {
        const __mmask16 lanes = bitc_first_lanes_avx512(channels - k);
        const __m512 v = _mm512_maskz_loadu_ps(lanes, x + k), t = _mm512_maskz_loadu_ps(lanes, thr + k);
        below |= (uint64_t)_mm512_cmp_ps_mask(v, t, _CMP_NGE_UQ) << k;
        above |= (uint64_t)_mm512_cmp_ps_mask(v, t, _CMP_NLE_UQ) << k;
    }
    return (below & ~down) | (above & down); /* absent lanes compare 0 with 0: bit 0 */
}

static inline void bitc_pack_f32_avx512(const float *x, int32_t pixels, int32_t c, const float *thr,
                                        const uint64_t *down, int32_t planes, uint64_t *y, int32_t out_pixel_words) {
    const int32_t words = bitc_words(c);
    for (int32_t i = 0; i < pixels; i++, x += c, y += out_pixel_words) {
        for (int32_t plane = 0; plane < planes; plane++) {
            for (int32_t word = 0; word < words; word++) {
                const float *at = thr + (ptrdiff_t)plane * c + 64 * word;
                const int32_t channels = c - 64 * word < 64 ? c - 64 * word : 64;
                y[plane * words + word] = bitc_pack_word_avx512(x + 64 * word, at, channels, down[word]);
            }
        }
    }
}

/* The same of integers. */
static inline uint64_t bitc_pack_word_i32_avx512(const int32_t *x, const int32_t *thr, int32_t channels,
                                                 uint64_t down) {
    uint64_t below = 0, above = 0;
    for (int32_t k = 0; k < channels; k += 16) {
        const __mmask16 lanes = bitc_first_lanes_avx512(channels - k);
        const __m512i v = _mm512_maskz_loadu_epi32(lanes, x + k), t = _mm512_maskz_loadu_epi32(lanes, thr + k);
        below |= (uint64_t)_mm512_cmpgt_epi32_mask(t, v) << k;
        above |= (uint64_t)_mm512_cmpgt_epi32_mask(v, t) << k;
    }
    return (below & ~down) | (above & down);
}

static inline void bitc_pack_i32_avx512(const int32_t *x, int32_t pixels, int32_t c, const int32_t *thr,
                                        const uint64_t *down, int32_t planes, uint64_t *y, int32_t out_pixel_words) {
    const int32_t words = bitc_words(c);
    for (int32_t i = 0; i < pixels; i++, x += c, y += out_pixel_words) {
        for (int32_t plane = 0; plane < planes; plane++) {
            for (int32_t word = 0; word < words; word++) {
                const int32_t *at = thr + (ptrdiff_t)plane * c + 64 * word;
                const int32_t channels = c - 64 * word < 64 ? c - 64 * word : 64;
                y[plane * words + word] = bitc_pack_word_i32_avx512(x + 64 * word, at, channels, down[word]);
            }
        }
    }
}

static inline void bitc_pack_bit_avx512(const uint8_t *x, int32_t pixels, int32_t c, int32_t bit, uint64_t *y,
                                        int32_t out_pixel_words) {
    const __m512i tested = _mm512_set1_epi8((char)(1 << bit));
    for (int32_t i = 0; i < pixels; i++, x += c, y += out_pixel_words) {
        for (int32_t word = 0; 64 * word < c; word++) {
            const uint8_t *from = x + 64 * word;
            uint8_t last[64] = {0};
            if (c - 64 * word < 64) {
                memcpy(last, from, (size_t)(c - 64 * word));
                from = last;
            }
            y[word] = ~(uint64_t)_mm512_test_epi8_mask(_mm512_loadu_si512(from), tested) & bitc_word_mask(c, word);
        }
    }
}

static inline void bitc_unpack_f32_avx512(const uint64_t *x, int32_t in_pixel_words, int32_t pixels, int32_t c,
                                          int32_t planes, int32_t lo, int32_t step, float *y) {
    const int32_t words = bitc_words(c);
    const __m512i one = _mm512_set1_epi32(1);
    for (int32_t i = 0; i < pixels; i++, x += in_pixel_words, y += c) {
        for (int32_t k = 0; k < c; k += 16) {
            __m512i zeros = _mm512_setzero_si512();
            for (int32_t plane = 0; plane < planes; plane++) {
                const __mmask16 clear = (__mmask16)(~(x[plane * words + k / 64] >> k % 64) & 0xFFFF);
                zeros = _mm512_mask_add_epi32(zeros, clear, zeros, one);
            }
            const __m512i scaled = _mm512_mullo_epi32(zeros, _mm512_set1_epi32(step));
            const __m512 value = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_set1_epi32(lo), scaled));
            _mm512_mask_storeu_ps(y + k, bitc_first_lanes_avx512(c - k), value);
        }
    }
}

#endif
