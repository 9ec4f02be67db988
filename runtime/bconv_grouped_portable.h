/* Grouped binary convolution in plain C. Contract: bconv.h. */
#ifndef BITC_BCONV_GROUPED_PORTABLE_H
#define BITC_BCONV_GROUPED_PORTABLE_H

#include "bconv_portable.h"

static inline void bitc_bconv_grouped_acc_portable(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                             const uint64_t *mask, const int32_t *block_word, const int32_t *base,
                                             int32_t step, int32_t *acc, int32_t y0, int32_t y1) {
    const bitc_bconv_blocks8 a = {g, x, w, mask, block_word, bitc_bconv_pops8_portable};
    bitc_bconv_acc8(&a, base, step, acc, y0, y1);
}

static inline void bitc_bconv_grouped_bits_portable(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                              const uint64_t *mask, const int32_t *block_word, const int32_t *limit,
                                              const uint64_t *flip, int32_t planes, uint64_t *y, int32_t out_row_words,
                                              int32_t out_pixel_words, int32_t y0, int32_t y1) {
    const bitc_bconv_blocks8 a = {g, x, w, mask, block_word, bitc_bconv_pops8_portable};
    bitc_bconv_bits8(&a, limit, flip, planes, y, out_row_words, out_pixel_words, y0, y1);
}

#endif
