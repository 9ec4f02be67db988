/* Binary convolution that skips nibbles along trees of channels, for AVX-512: as for AVX2. Contract: skip.h. */
#ifndef BITC_SKIP_AVX512_H
#define BITC_SKIP_AVX512_H

#include "nibbles_avx2.h"
#include "skip.h"

static inline void bitc_skip_bits_avx512(const bitc_skip *g, const uint64_t *x, const int32_t *nodes, const uint32_t *entries,
                                        const uint8_t *class_of, const uint8_t *codes, const uint64_t *flip, int32_t planes,
                                        uint64_t *y, int32_t out_row_words, int32_t out_pixel_words, int32_t first,
                                        int32_t last, uint64_t *scratch) {
    bitc_skip_bits(g, x, nodes, entries, class_of, codes, flip, planes, y, out_row_words, out_pixel_words, first, last,
                   scratch);
}

static inline void bitc_skip_acc_avx512(const bitc_skip *g, const uint64_t *x, const int32_t *nodes, const uint32_t *entries,
                                       const int32_t *base, int32_t step, int32_t *acc, int32_t first, int32_t last,
                                       uint64_t *scratch) {
    bitc_skip_acc(g, x, nodes, entries, base, step, acc, first, last, scratch);
}

#endif
