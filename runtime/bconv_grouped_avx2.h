/* Grouped binary convolution for AVX2: lanes are 8 output channels, bits are counted by shuffles. Contract: bconv.h. */
#ifndef BITC_BCONV_GROUPED_AVX2_H
#define BITC_BCONV_GROUPED_AVX2_H

#include <immintrin.h>

#include "bconv_block8.h"

/* Number of one bits in each 64-bit lane (Mula, "Faster population counts using AVX2 instructions"). */
BITC_INLINE __m256i bitc_popcount64_avx2(__m256i v) {
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i first = _mm256_shuffle_epi8(counts, _mm256_and_si256(v, low));
    const __m256i second = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(v, 4), low));
    return _mm256_sad_epu8(_mm256_add_epi8(first, second), _mm256_setzero_si256());
}

/* Number of bits under the mask where x and the four words at w differ. */
BITC_INLINE __m256i bitc_differ_avx2(__m256i x, const uint64_t *w, const uint64_t *mask) {
    const __m256i v = _mm256_xor_si256(x, _mm256_loadu_si256((const __m256i *)(const void *)w));
    return bitc_popcount64_avx2(_mm256_and_si256(v, _mm256_loadu_si256((const __m256i *)(const void *)mask)));
}

BITC_INLINE void bitc_bconv_pops8_avx2(const bitc_bconv *g, const uint64_t *x, const uint64_t *w, const uint64_t *mask,
                                       int32_t *pop) {
    __m256i s0 = _mm256_setzero_si256(), s1 = s0;
    for (int32_t i = 0; i < g->taps_h; i++) {
        for (int32_t j = 0; j < g->taps_w; j++) {
            const uint64_t *run = x + (ptrdiff_t)i * g->tap_row_words + (ptrdiff_t)j * g->tap_words;
            for (int32_t r = 0; r < g->run_words; r++, w += 8, mask += 8) {
                const __m256i in = _mm256_set1_epi64x((long long)run[r]);
                s0 = _mm256_add_epi64(s0, bitc_differ_avx2(in, w, mask));
                s1 = _mm256_add_epi64(s1, bitc_differ_avx2(in, w + 4, mask + 4));
            }
        }
    }
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6); /* the low halves of the 64-bit sums */
    s0 = _mm256_permutevar8x32_epi32(s0, even);
    s1 = _mm256_permutevar8x32_epi32(s1, even);
    _mm256_storeu_si256((__m256i *)(void *)pop, _mm256_blend_epi32(s0, s1, 0xF0));
}

static inline void bitc_bconv_grouped_acc_avx2(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                             const uint64_t *mask, const int32_t *block_word, const int32_t *base,
                                             int32_t step, int32_t *acc, int32_t y0, int32_t y1) {
    const bitc_bconv_blocks8 a = {g, x, w, mask, block_word, bitc_bconv_pops8_avx2};
    bitc_bconv_acc8(&a, base, step, acc, y0, y1);
}

static inline void bitc_bconv_grouped_bits_avx2(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                              const uint64_t *mask, const int32_t *block_word, const int32_t *limit,
                                              const uint64_t *flip, int32_t planes, uint64_t *y, int32_t out_row_words,
                                              int32_t out_pixel_words, int32_t y0, int32_t y1) {
    const bitc_bconv_blocks8 a = {g, x, w, mask, block_word, bitc_bconv_pops8_avx2};
    bitc_bconv_bits8(&a, limit, flip, planes, y, out_row_words, out_pixel_words, y0, y1);
}

#endif
