/* Binary convolution: geometry and contract shared by the kernels of every instruction set.
 *
 * Values are +1 (bit 0) and -1 (bit 1). Activations are NHWC, packed in 64-bit words along the channels; padding bits
 * are 0 in activations and weights. For the output pixel (y, x) and the output channel c
 *
 *     pop[y][x][c] = sum over taps (i, j) and words r of popcount(in(y, x, i, j)[r] ^ w(c, i, j)[r])
 *     in(y, x, i, j) = x + y*step_h*in_row_words + x*step_w*in_pixel_words + i*tap_row_words + j*tap_words
 *
 * and the dot product of n products is n - 2*pop. Two kernels end it differently, both over the rows y0 <= y < y1:
 *
 *   acc   acc[y - y0][x][c] = base[class(y, x)][c] - step*pop             int32, rows of out_w*out_c, nothing else
 *   bits  plane p, bit c    = (pop > limit[p][class(y, x)][c]) ^ flip[c]  packed, all words of the pixel are written
 *
 * class(y, x) = row_class[y]*col_classes + col_class[x] is the border class of a pixel: taps that fall on padding of
 * value zero change base and limit, not the sum.
 *
 * Weights come in blocks of B output channels, B = BITC_BCONV_BLOCK_<ISA>: uint64 [ceil(out_c/B)][taps_h][taps_w]
 * [run_words][B], absent channels 0. In the AVX2 layout the B = 32 words of an entry are byte-transposed: first byte 0
 * (bits 0..7) of the 32 words, then byte 1, ..., byte 7.
 *
 * The grouped kernels read, for a block of channels, only the words from block_word[block] of each pixel on, and count
 * popcount((in[r] ^ w(c, i, j)[r]) & mask(c, i, j)[r]), so that each channel sees its own group. run_words is then the
 * words under one tap of any block. Masks have the layout of the weights; weights are 0 where the mask is. Their
 * B = BITC_BCONV_GROUPED_BLOCK, in natural order, for every instruction set.
 *
 *   base   int32 [classes][blocks*B]
 *   limit  int32 [planes][classes][blocks*B], INT32_MAX for absent channels
 *   flip   uint64 [ceil(out_c/64)], the same for all planes; bit 1 inverts the channel; padding bits 0
 *   x      points at the first tap of the output pixel (0, 0), whatever y0
 *   y      points at the pixel (y0, 0) of the output; plane p of a pixel begins at word p*ceil(out_c/64)
 *
 *   block_word  int32 [blocks]
 *
 * Where twin_words is not 0, every run is twin_words words and as many again that have the same weights: two planes of
 * values that are seldom between their extremes, as a sign is seldom 0. Where both halves of all runs of a tile are
 * equal, one half is counted and its sums are doubled. Grouped kernels want 0.
 *
 * No pointer needs more than its type's alignment (64 bytes is faster for weights). Any run_words >= 1 and any count
 * that fits in int32 are exact. Inputs and outputs may not overlap.
 */
#ifndef BITC_BCONV_H
#define BITC_BCONV_H

#include "base.h"

#define BITC_BCONV_GROUPED_BLOCK 8

typedef struct bitc_bconv {
    int32_t out_w, out_c;                   /* output width in pixels, output channels */
    int32_t in_row_words, in_pixel_words;   /* strides of the input buffer */
    int32_t step_h, step_w;                 /* convolution stride, in input rows and pixels */
    int32_t taps_h, taps_w;                 /* window */
    int32_t tap_row_words, tap_words;       /* from one tap to the next, down and right (dilation included) */
    int32_t run_words;                      /* contiguous words under one tap */
    int32_t twin_words;                     /* half of them where both halves have the same weights, or 0 */
    int32_t classes, col_classes;           /* border classes, all and per row class */
    const uint8_t *row_class, *col_class;   /* [out_h], [out_w]; NULL where there is one class */
} bitc_bconv;

static inline int32_t bitc_bconv_class(const bitc_bconv *g, int32_t y, int32_t x) {
    const int32_t row = g->row_class ? g->row_class[y] : 0;
    const int32_t col = g->col_class ? g->col_class[x] : 0;
    return row * g->col_classes + col;
}

/* Blocks of `block` output channels. */
static inline int32_t bitc_bconv_blocks(const bitc_bconv *g, int32_t block) { return (g->out_c + block - 1) / block; }

/* The first input word of the window of the output pixel (y, x). */
static inline const uint64_t *bitc_bconv_window(const bitc_bconv *g, const uint64_t *in, int32_t y, int32_t x) {
    return in + (ptrdiff_t)y * g->step_h * g->in_row_words + (ptrdiff_t)x * g->step_w * g->in_pixel_words;
}

/* Words of weights per output channel. */
static inline ptrdiff_t bitc_bconv_weight_words(const bitc_bconv *g) {
    return (ptrdiff_t)g->taps_h * g->taps_w * g->run_words;
}

/* Whether both halves of all runs are equal, in the windows x of `pixels` neighbouring output pixels. Windows that overlap
 * or touch are looked at as one. */
static inline int32_t bitc_bconv_twins(const bitc_bconv *g, const uint64_t *x, int32_t pixels) {
    if (!g->twin_words) return 0;
    const int32_t one = g->tap_words == g->in_pixel_words && g->step_w <= g->taps_w;
    const int32_t windows = one ? 1 : pixels, taps = one ? (pixels - 1) * g->step_w + g->taps_w : g->taps_w;
    for (int32_t i = 0; i < g->taps_h; i++) {
        uint64_t differing = 0;
        for (int32_t p = 0; p < windows; p++) {
            const uint64_t *run = x + (ptrdiff_t)i * g->tap_row_words + (ptrdiff_t)p * g->step_w * g->in_pixel_words;
            for (int32_t j = 0; j < taps; j++, run += g->tap_words) {
                for (int32_t r = 0; r < g->twin_words; r++) differing |= run[r] ^ run[g->twin_words + r];
            }
        }
        if (differing) return 0;
    }
    return 1;
}

#endif
