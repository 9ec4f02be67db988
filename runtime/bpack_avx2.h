/* Between numbers and packed codes for AVX2, 8 channels at a time. Contract: bpack_portable.h. */
#ifndef BITC_BPACK_AVX2_H
#define BITC_BPACK_AVX2_H

#include <immintrin.h>

#include "base.h"

/* Lanes k < n set, for masked loads and stores. */
BITC_INLINE __m256i bitc_first_lanes_avx2(int32_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* One word of at most 64 channels: bit k = !(x[k] >= thr[k]), or !(x[k] <= thr[k]) where down's bit is 1. */
static inline uint64_t bitc_pack_word_avx2(const float *x, const float *thr, int32_t channels, uint64_t down) {
    uint64_t below = 0, above = 0;
    for (int32_t k = 0; k < channels; k += 8) {
        const __m256i lanes = bitc_first_lanes_avx2(channels - k);
        const __m256 v = _mm256_maskload_ps(x + k, lanes), t = _mm256_maskload_ps(thr + k, lanes);
        below |= (uint64_t)(uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(v, t, _CMP_NGE_UQ)) << k;
        above |= (uint64_t)(uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(v, t, _CMP_NLE_UQ)) << k;
    }
    return (below & ~down) | (above & down); /* absent lanes compare 0 with 0: bit 0 */
}

static inline void bitc_pack_f32_avx2(const float *x, int32_t pixels, int32_t c, const float *thr, const uint64_t *down,
                                      int32_t planes, uint64_t *y, int32_t out_pixel_words) {
    const int32_t words = bitc_words(c);
    for (int32_t i = 0; i < pixels; i++, x += c, y += out_pixel_words) {
        for (int32_t plane = 0; plane < planes; plane++) {
            for (int32_t word = 0; word < words; word++) {
                const float *at = thr + (ptrdiff_t)plane * c + 64 * word;
                const int32_t channels = c - 64 * word < 64 ? c - 64 * word : 64;
                y[plane * words + word] = bitc_pack_word_avx2(x + 64 * word, at, channels, down[word]);
            }
        }
    }
}

/* The same of integers. */
static inline uint64_t bitc_pack_word_i32_avx2(const int32_t *x, const int32_t *thr, int32_t channels, uint64_t down) {
    uint64_t below = 0, above = 0;
    for (int32_t k = 0; k < channels; k += 8) {
        const __m256i lanes = bitc_first_lanes_avx2(channels - k);
        const __m256i v = _mm256_maskload_epi32(x + k, lanes), t = _mm256_maskload_epi32(thr + k, lanes);
        const __m256 less = _mm256_castsi256_ps(_mm256_cmpgt_epi32(t, v));
        const __m256 more = _mm256_castsi256_ps(_mm256_cmpgt_epi32(v, t));
        below |= (uint64_t)(uint32_t)_mm256_movemask_ps(less) << k;
        above |= (uint64_t)(uint32_t)_mm256_movemask_ps(more) << k;
    }
    return (below & ~down) | (above & down);
}

static inline void bitc_pack_i32_avx2(const int32_t *x, int32_t pixels, int32_t c, const int32_t *thr,
                                      const uint64_t *down, int32_t planes, uint64_t *y, int32_t out_pixel_words) {
    const int32_t words = bitc_words(c);
    for (int32_t i = 0; i < pixels; i++, x += c, y += out_pixel_words) {
        for (int32_t plane = 0; plane < planes; plane++) {
            for (int32_t word = 0; word < words; word++) {
                const int32_t *at = thr + (ptrdiff_t)plane * c + 64 * word;
                const int32_t channels = c - 64 * word < 64 ? c - 64 * word : 64;
                y[plane * words + word] = bitc_pack_word_i32_avx2(x + 64 * word, at, channels, down[word]);
            }
        }
    }
}

/* Bit `7 - up` of 32 bytes, the first in bit 0: a shift of 16-bit lanes brings it to the top of each byte. */
BITC_INLINE uint64_t bitc_bit_of_bytes_avx2(const uint8_t *x, __m128i up) {
    const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)x);
    return (uint32_t)_mm256_movemask_epi8(_mm256_sll_epi16(v, up));
}

static inline void bitc_pack_bit_avx2(const uint8_t *x, int32_t pixels, int32_t c, int32_t bit, uint64_t *y,
                                      int32_t out_pixel_words) {
    const __m128i up = _mm_cvtsi32_si128(7 - bit);
    for (int32_t i = 0; i < pixels; i++, x += c, y += out_pixel_words) {
        for (int32_t word = 0; 64 * word < c; word++) {
            const uint8_t *from = x + 64 * word;
            uint8_t last[64] = {0};
            if (c - 64 * word < 64) {
                memcpy(last, from, (size_t)(c - 64 * word));
                from = last;
            }
            const uint64_t ones = bitc_bit_of_bytes_avx2(from, up) | bitc_bit_of_bytes_avx2(from + 32, up) << 32;
            y[word] = ~ones & bitc_word_mask(c, word);
        }
    }
}

static inline void bitc_unpack_f32_avx2(const uint64_t *x, int32_t in_pixel_words, int32_t pixels, int32_t c,
                                        int32_t planes, int32_t lo, int32_t step, float *y) {
    const int32_t words = bitc_words(c);
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    for (int32_t i = 0; i < pixels; i++, x += in_pixel_words, y += c) {
        for (int32_t k = 0; k < c; k += 8) {
            __m256i zeros = _mm256_setzero_si256();
            for (int32_t plane = 0; plane < planes; plane++) {
                const int32_t bits = (int32_t)(x[plane * words + k / 64] >> k % 64 & 255);
                const __m256i ones = _mm256_and_si256(_mm256_set1_epi32(bits), bit);
                zeros = _mm256_sub_epi32(zeros, _mm256_cmpeq_epi32(ones, _mm256_setzero_si256()));
            }
            const __m256i scaled = _mm256_mullo_epi32(zeros, _mm256_set1_epi32(step));
            const __m256 value = _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_set1_epi32(lo), scaled));
            if (c - k >= 8) {
                _mm256_storeu_ps(y + k, value); /* stores under a mask are slow on some CPUs */
            } else {
                _mm256_maskstore_ps(y + k, bitc_first_lanes_avx2(c - k), value);
            }
        }
    }
}

#endif
