/* Float convolution, what every ISA shares: the geometry, the receptive field as runs, the walk over output pixels. */
#ifndef BITC_F32_CONV_H
#define BITC_F32_CONV_H

#include "base.h"

/* Floats of weights that one pass over the pixels may use: they stay in the L2 cache between the pixel tiles. */
#define BITC_FCONV_PASS 49152

/* Geometry of an NHWC convolution. x points at the first tap of output (0,0): the buffer carries its zero halo, so no
 * tap is ever outside of it. Pixels and rows may lie apart (in_pixel >= in_c and so on). A fully connected layer is
 * one tap of one pixel. */
typedef struct bitc_fconv {
    int32_t out_w, out_c, in_c;
    int32_t in_row, in_pixel;   /* floats from one input row, pixel to the next */
    int32_t step_h, step_w;     /* input rows, pixels from one output to the next */
    int32_t taps_h, taps_w;
    int32_t tap_row, tap_pixel; /* floats from one tap to the next, down and across */
    int32_t out_row, out_pixel; /* floats from one output row, pixel to the next */
} bitc_fconv;

/* A receptive field as rows x cols runs of contiguous floats. */
typedef struct bitc_fruns {
    ptrdiff_t rows, row_stride;
    ptrdiff_t cols, col_stride;
    ptrdiff_t length;
} bitc_fruns;

/* The position of the next output pixel: its row's first tap and first output float, and its column. */
typedef struct bitc_fcursor {
    const float *x;
    float *y;
    int32_t column;
} bitc_fcursor;

BITC_INLINE int32_t bitc_fmin32(int32_t a, int32_t b) { return a < b ? a : b; }

/* Multiplications per output value. */
BITC_INLINE ptrdiff_t bitc_fconv_depth(const bitc_fconv *g) {
    return (ptrdiff_t)g->taps_h * g->taps_w * g->in_c;
}

/* Taps that touch are one run: a window row of a dense image, and a whole window as wide as the image. */
BITC_INLINE bitc_fruns bitc_fconv_runs(const bitc_fconv *g) {
    bitc_fruns runs = {g->taps_h, g->tap_row, g->taps_w, g->tap_pixel, g->in_c};
    if (runs.cols == 1 || runs.col_stride == runs.length) {
        runs.length *= runs.cols;
        runs.cols = 1;
    }
    if (runs.cols == 1 && runs.row_stride == runs.length) {
        runs.length *= runs.rows;
        runs.rows = 1;
    }
    return runs;
}

/* Channel blocks (of `floats` weights each) of one pass over the pixels: a multiple of 8, which fills every tile. */
BITC_INLINE int32_t bitc_fconv_pass(ptrdiff_t floats) {
    const ptrdiff_t blocks = BITC_FCONV_PASS / floats;
    return blocks < 8 ? 8 : (int32_t)(blocks & ~(ptrdiff_t)7);
}

BITC_INLINE bitc_fcursor bitc_fconv_start(const bitc_fconv *g, const float *x, float *y, int32_t y0) {
    const bitc_fcursor at = {x + (ptrdiff_t)y0 * g->step_h * g->in_row, y, 0};
    return at;
}

/* First taps and outputs of the next `count` pixels, row after row; slots past `count` repeat the last pixel, which is
 * then computed and stored more than once. */
BITC_INLINE void bitc_fconv_next(const bitc_fconv *g, bitc_fcursor *at, int32_t count, int32_t slots, const float **x,
                                 float **y) {
    const ptrdiff_t step = (ptrdiff_t)g->step_w * g->in_pixel;
    for (int32_t p = 0; p < slots; p++) {
        if (p >= count) {
            x[p] = x[p - 1];
            y[p] = y[p - 1];
            continue;
        }
        x[p] = at->x + at->column * step;
        y[p] = at->y + (ptrdiff_t)at->column * g->out_pixel;
        if (++at->column == g->out_w) {
            at->column = 0;
            at->x += (ptrdiff_t)g->step_h * g->in_row;
            at->y += g->out_row;
        }
    }
}

#endif
