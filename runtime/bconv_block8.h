/* The loops of binary convolution over blocks of 8 output channels, one pixel at a time: the portable kernels and the
 * grouped kernels of every instruction set are these loops around their own counting function. Contract: bconv.h. */
#ifndef BITC_BCONV_BLOCK8_H
#define BITC_BCONV_BLOCK8_H

#include "bconv.h"

/* pop[0..7] of one pixel; x is its window in the words of the block, w and mask are the block's. */
typedef void bitc_bconv_pops8(const bitc_bconv *g, const uint64_t *x, const uint64_t *w, const uint64_t *mask,
                              int32_t *pop);

/* Operands of one convolution; mask and block_word are NULL when it is not grouped. */
typedef struct bitc_bconv_blocks8 {
    const bitc_bconv *g;
    const uint64_t *x, *w, *mask;
    const int32_t *block_word;
    bitc_bconv_pops8 *pops;
} bitc_bconv_blocks8;

BITC_INLINE void bitc_bconv_pixel8(const bitc_bconv_blocks8 *a, int32_t block, int32_t y, int32_t x, int32_t *pop) {
    const ptrdiff_t skip = bitc_bconv_weight_words(a->g) * 8 * block;
    const uint64_t *window = bitc_bconv_window(a->g, a->x, y, x) + (a->block_word ? a->block_word[block] : 0);
    a->pops(a->g, window, a->w + skip, a->mask ? a->mask + skip : NULL, pop);
}

BITC_INLINE void bitc_bconv_acc8(const bitc_bconv_blocks8 *a, const int32_t *base, int32_t step, int32_t *acc,
                                 int32_t y0, int32_t y1) {
    const bitc_bconv *g = a->g;
    const int32_t blocks = bitc_bconv_blocks(g, 8);
    for (int32_t b = 0; b < blocks; b++) {
        const int32_t channels = g->out_c - b * 8 < 8 ? g->out_c - b * 8 : 8;
        int32_t *out = acc + b * 8;
        for (int32_t y = y0; y < y1; y++) {
            for (int32_t x = 0; x < g->out_w; x++, out += g->out_c) {
                int32_t pop[8];
                bitc_bconv_pixel8(a, b, y, x, pop);
                const int32_t *from = base + ((ptrdiff_t)bitc_bconv_class(g, y, x) * blocks + b) * 8;
                for (int32_t c = 0; c < channels; c++) out[c] = from[c] - step * pop[c];
            }
        }
    }
}

BITC_INLINE void bitc_bconv_bits8(const bitc_bconv_blocks8 *a, const int32_t *limit, const uint64_t *flip,
                                  int32_t planes, uint64_t *y, int32_t out_row_words, int32_t out_pixel_words,
                                  int32_t y0, int32_t y1) {
    const bitc_bconv *g = a->g;
    const int32_t blocks = bitc_bconv_blocks(g, 8), words = bitc_words(g->out_c);
    for (int32_t b = 0; b < blocks; b++) {
        const int32_t word = b / 8, shift = b % 8 * 8;
        const uint64_t flipped = flip[word] >> shift & 255;
        for (int32_t row = y0; row < y1; row++) {
            uint64_t *out = y + (ptrdiff_t)(row - y0) * out_row_words + word;
            for (int32_t x = 0; x < g->out_w; x++, out += out_pixel_words) {
                int32_t pop[8];
                bitc_bconv_pixel8(a, b, row, x, pop);
                for (int32_t plane = 0; plane < planes; plane++) {
                    const int32_t cls = plane * g->classes + bitc_bconv_class(g, row, x);
                    const int32_t *over = limit + ((ptrdiff_t)cls * blocks + b) * 8;
                    uint64_t bits = 0;
                    for (int32_t c = 0; c < 8; c++) bits |= (uint64_t)(pop[c] > over[c]) << c;
                    bits = (bits ^ flipped) << shift;
                    out[plane * words] = shift ? out[plane * words] | bits : bits;
                }
            }
        }
    }
}

#endif
