/* Grouped binary convolution for AVX-512 with VPOPCNTDQ: lanes are 8 output channels. Contract: bconv.h. */
#ifndef BITC_BCONV_GROUPED_AVX512_H
#define BITC_BCONV_GROUPED_AVX512_H

#include <immintrin.h>

#include "bconv_block8.h"

BITC_INLINE void bitc_bconv_pops8_avx512(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                         const uint64_t *mask, int32_t *pop) {
    __m512i sum = _mm512_setzero_si512();
    for (int32_t i = 0; i < g->taps_h; i++) {
        for (int32_t j = 0; j < g->taps_w; j++) {
            const uint64_t *run = x + (ptrdiff_t)i * g->tap_row_words + (ptrdiff_t)j * g->tap_words;
            for (int32_t r = 0; r < g->run_words; r++, w += 8, mask += 8) {
                const __m512i differ = _mm512_xor_si512(_mm512_set1_epi64((long long)run[r]), _mm512_loadu_si512(w));
                const __m512i valid = _mm512_and_si512(differ, _mm512_loadu_si512(mask));
                sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(valid));
            }
        }
    }
    _mm256_storeu_si256((__m256i *)(void *)pop, _mm512_cvtepi64_epi32(sum));
}

static inline void bitc_bconv_grouped_acc_avx512(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                             const uint64_t *mask, const int32_t *block_word, const int32_t *base,
                                             int32_t step, int32_t *acc, int32_t y0, int32_t y1) {
    const bitc_bconv_blocks8 a = {g, x, w, mask, block_word, bitc_bconv_pops8_avx512};
    bitc_bconv_acc8(&a, base, step, acc, y0, y1);
}

static inline void bitc_bconv_grouped_bits_avx512(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                              const uint64_t *mask, const int32_t *block_word, const int32_t *limit,
                                              const uint64_t *flip, int32_t planes, uint64_t *y, int32_t out_row_words,
                                              int32_t out_pixel_words, int32_t y0, int32_t y1) {
    const bitc_bconv_blocks8 a = {g, x, w, mask, block_word, bitc_bconv_pops8_avx512};
    bitc_bconv_bits8(&a, limit, flip, planes, y, out_row_words, out_pixel_words, y0, y1);
}

#endif
