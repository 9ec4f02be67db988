/* Grouped binary convolution for NEON. Contract: bconv.h. */
#ifndef BITC_BCONV_GROUPED_NEON_H
#define BITC_BCONV_GROUPED_NEON_H

#include "bconv_block8.h"
#include "bconv_pops_neon.h"

/* One pixel. */
BITC_INLINE void bitc_bconv_pops8_neon(const bitc_bconv *g, const uint64_t *x, const uint64_t *w, const uint64_t *mask,
                                       int32_t *pop) {
    bitc_pops_neon pops;
    bitc_bconv_pops_neon(g, &x, w, mask, &pops, 1);
    vst1q_s32(pop, pops.low);
    vst1q_s32(pop + 4, pops.high);
}

static inline void bitc_bconv_grouped_acc_neon(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                               const uint64_t *mask, const int32_t *block_word, const int32_t *base,
                                               int32_t step, int32_t *acc, int32_t y0, int32_t y1) {
    const bitc_bconv_blocks8 a = {g, x, w, mask, block_word, bitc_bconv_pops8_neon};
    bitc_bconv_acc8(&a, base, step, acc, y0, y1);
}

static inline void bitc_bconv_grouped_bits_neon(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                                const uint64_t *mask, const int32_t *block_word, const int32_t *limit,
                                                const uint64_t *flip, int32_t planes, uint64_t *y,
                                                int32_t out_row_words, int32_t out_pixel_words, int32_t y0,
                                                int32_t y1) {
    const bitc_bconv_blocks8 a = {g, x, w, mask, block_word, bitc_bconv_pops8_neon};
    bitc_bconv_bits8(&a, limit, flip, planes, y, out_row_words, out_pixel_words, y0, y1);
}

#endif
