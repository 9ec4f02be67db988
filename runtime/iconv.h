/* Integer convolution, what every ISA shares: the geometry, its contract, the walk over output pixels.
 *
 * Kernels bitc_iconv_<x>_<w>_<isa>(g, x, w, base, y, y0, y1), <x>_<w> one of u8_i8, i16_i8, i16_i16, compute the output
 * rows [y0, y1) of one NHWC image; also the fully connected layer, which is one pixel:
 *   y[pixel][m] = base[m] + sum x * w, exact in int32; the caller has proved that every partial sum fits
 *   x     first tap of output (0,0); the buffer carries its halo, so no tap is ever outside of it, nor is any byte read
 *         that is not under a tap
 *   w     [groups][ceil(out_c / BITC_ICONV_BLOCK)][terms][block][side]: `side` consecutive values of a run beside each
 *         other, for each channel of the block. A run that is no multiple of `side` ends in an entry that holds its last
 *         `side` values, zero where an earlier entry has them; a run shorter than `side` is filled up with zeros.
 *         Missing channels are zero
 *   base  [groups][ceil(out_c / block) * block]
 *   y     row y0; dense: groups * out_c sums a pixel, out_w pixels a row; does not overlap x */
#ifndef BITC_ICONV_H
#define BITC_ICONV_H

#include "base.h"

/* Bytes of weights that one pass over the pixels may use: they stay in the L2 cache between the pixel tiles. */
#define BITC_ICONV_PASS 196608

/* Geometry of an integer NHWC convolution. A window is runs_h x runs_w runs of values that lie side by side in memory:
 * one tap's channels, a window row of a dense image, or a whole window as wide as the image. */
typedef struct bitc_iconv {
    int32_t out_w, out_c;       /* out_c of one group */
    int32_t groups, in_c;       /* group i reads its in_c channels of a pixel; in_c matters for several groups only */
    int32_t in_row, in_pixel;   /* values from one input row, pixel to the next */
    int32_t step_h, step_w;     /* input rows, pixels from one output to the next */
    int32_t runs_h, runs_w;
    int32_t run;                /* values of a run */
    int32_t run_row, run_pixel; /* values from one run to the next, down and across */
    int32_t chain;              /* u8_i8: so many consecutive sums of two neighbours' products fit int16_t; 0: not one */
} bitc_iconv;

/* The position of the next output pixel: elements from x to its first tap, and the same for its row; its column. */
typedef struct bitc_icursor {
    ptrdiff_t at, row;
    int32_t column;
} bitc_icursor;

BITC_INLINE int32_t bitc_imin32(int32_t a, int32_t b) { return a < b ? a : b; }

/* Entries of one block's weights, with `side` values of a run in each. */
BITC_INLINE ptrdiff_t bitc_iconv_terms(const bitc_iconv *g, int32_t side) {
    return (ptrdiff_t)g->runs_h * g->runs_w * ((g->run + side - 1) / side);
}

/* Channel blocks (of `bytes` of weights each) of one pass over the pixels. */
BITC_INLINE int32_t bitc_iconv_pass(ptrdiff_t bytes) {
    const ptrdiff_t blocks = BITC_ICONV_PASS / bytes;
    return blocks < 1 ? 1 : (int32_t)blocks;
}

BITC_INLINE bitc_icursor bitc_iconv_start(const bitc_iconv *g, int32_t y0) {
    const ptrdiff_t row = (ptrdiff_t)y0 * g->step_h * g->in_row;
    const bitc_icursor at = {row, row, 0};
    return at;
}

/* The first tap of the next pixel, row after row. */
BITC_INLINE ptrdiff_t bitc_iconv_next(const bitc_iconv *g, bitc_icursor *at) {
    const ptrdiff_t here = at->at;
    at->at += (ptrdiff_t)g->step_w * g->in_pixel;
    if (++at->column == g->out_w) {
        at->row += (ptrdiff_t)g->step_h * g->in_row;
        at->at = at->row;
        at->column = 0;
    }
    return here;
}

/* The first taps of the next `count` pixels; slots past `count` repeat the last one. */
BITC_INLINE void bitc_iconv_pixels(const bitc_iconv *g, bitc_icursor *cursor, int32_t count, int32_t slots,
                                   ptrdiff_t *at) {
    for (int32_t p = 0; p < slots; p++) {
        at[p] = p < count ? bitc_iconv_next(g, cursor) : at[p - 1];
    }
}

#endif
