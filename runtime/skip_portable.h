/* Binary convolution that skips nibbles along trees of channels, in plain C. Contract: skip.h. */
#ifndef BITC_SKIP_PORTABLE_H
#define BITC_SKIP_PORTABLE_H

#include "nibbles_portable.h"
#include "skip.h"

static inline void bitc_skip_bits_portable(const bitc_skip *g, const uint64_t *x, const int32_t *nodes, const uint32_t *entries,
                                        const uint8_t *class_of, const uint8_t *codes, const uint64_t *flip, int32_t planes,
                                        uint64_t *y, int32_t out_row_words, int32_t out_pixel_words, int32_t first,
                                        int32_t last, uint64_t *scratch) {
    bitc_skip_bits(g, x, nodes, entries, class_of, codes, flip, planes, y, out_row_words, out_pixel_words, first, last,
                   scratch);
}

static inline void bitc_skip_acc_portable(const bitc_skip *g, const uint64_t *x, const int32_t *nodes, const uint32_t *entries,
                                       const int32_t *base, int32_t step, int32_t *acc, int32_t first, int32_t last,
                                       uint64_t *scratch) {
    bitc_skip_acc(g, x, nodes, entries, base, step, acc, first, last, scratch);
}

#endif
