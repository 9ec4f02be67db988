/* Binary convolution by bit planes over pixels, on the vectors of lanes_portable.h. Contract: sliced.h. */
#ifndef BITC_SLICED_PORTABLE_H
#define BITC_SLICED_PORTABLE_H

#include "lanes_portable.h"
#include "sliced_ends.h"

static inline void bitc_sliced_bits_portable(const bitc_sliced *g, const uint64_t *x, const int32_t *nodes,
                                         const int16_t *terms, const int32_t *tests, const uint8_t *codes,
                                         const uint64_t *masks, int32_t planes, uint64_t *y, int32_t out_row_words,
                                         int32_t out_pixel_words, int32_t first, int32_t last, uint64_t *scratch) {
    bitc_sliced_bits(g, x, nodes, terms, tests, codes, masks, planes, y, out_row_words, out_pixel_words, first, last,
                     scratch);
}

static inline void bitc_sliced_lanes_portable(const bitc_sliced *g, const uint64_t *x, const int32_t *nodes,
                                         const int16_t *terms, const int32_t *tests, const uint8_t *codes,
                                         const uint64_t *masks, const uint64_t *pixel, int32_t planes, uint64_t *y,
                                         int32_t plane_words, int32_t lead_words, int32_t first, int32_t last,
                                         uint64_t *scratch) {
    bitc_sliced_lanes(g, x, nodes, terms, tests, codes, masks, pixel, planes, y, plane_words, lead_words, first, last,
                      scratch);
}

static inline void bitc_sliced_acc_portable(const bitc_sliced *g, const uint64_t *x, const int32_t *nodes,
                                        const int16_t *terms, const int32_t *ends, const int32_t *base, int32_t step,
                                        int32_t *acc, int32_t first, int32_t last, uint64_t *scratch) {
    bitc_sliced_acc(g, x, nodes, terms, ends, base, step, acc, first, last, scratch);
}

#endif
