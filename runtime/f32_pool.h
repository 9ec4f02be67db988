/* Float max and average pooling, NHWC. Plain C: the loops over the channels vectorise. */
#ifndef BITC_F32_POOL_H
#define BITC_F32_POOL_H

#include "base.h"

/* Channels whose column sums are kept at a time. */
#define BITC_FPOOL_CHUNK 64

/* Geometry of a pooling. x points at pixel (0,0) of the image, which needs no halo; every window holds a pixel. */
typedef struct bitc_fpool {
    int32_t in_h, in_w, out_w, channels;
    int32_t in_row, in_pixel;   /* floats from one input row, pixel to the next */
    int32_t out_row, out_pixel; /* floats from one output row, pixel to the next */
    int32_t window_h, window_w;
    int32_t step_h, step_w;
    int32_t dilation_h, dilation_w;
    int32_t pad_top, pad_left, pad_bottom, pad_right;
    int32_t count_pads; /* average: divide by the taps inside the padded image, not only by those inside the image */
    int32_t by_columns; /* average: sum each window column first, then the columns, else row by row */
} bitc_fpool;

/* The part of a window that lies in the image. */
typedef struct bitc_fwindow {
    int32_t row0, row1, col0, col1;     /* taps [row0, row1) x [col0, col1) */
    ptrdiff_t row_stride, col_stride;   /* floats from one tap to the next */
    const float *x;                     /* tap (row0, col0) */
    int32_t padded_rows, padded_cols;   /* taps in the padded image */
} bitc_fwindow;

/* The first tap at or after position `from`, of taps at origin, origin + dilation, ...; at most `window`. */
BITC_INLINE int32_t bitc_fpool_tap(int32_t origin, int32_t from, int32_t dilation, int32_t window) {
    const int32_t tap = from > origin ? (from - origin + dilation - 1) / dilation : 0;
    return tap < window ? tap : window;
}

BITC_INLINE bitc_fwindow bitc_fpool_window(const bitc_fpool *g, const float *x, int32_t oy, int32_t ox) {
    const int32_t top = oy * g->step_h - g->pad_top, left = ox * g->step_w - g->pad_left;
    bitc_fwindow in;
    in.row0 = bitc_fpool_tap(top, 0, g->dilation_h, g->window_h);
    in.row1 = bitc_fpool_tap(top, g->in_h, g->dilation_h, g->window_h);
    in.col0 = bitc_fpool_tap(left, 0, g->dilation_w, g->window_w);
    in.col1 = bitc_fpool_tap(left, g->in_w, g->dilation_w, g->window_w);
    in.padded_rows = bitc_fpool_tap(top, g->in_h + g->pad_bottom, g->dilation_h, g->window_h);
    in.padded_cols = bitc_fpool_tap(left, g->in_w + g->pad_right, g->dilation_w, g->window_w);
    in.row_stride = (ptrdiff_t)g->dilation_h * g->in_row;
    in.col_stride = (ptrdiff_t)g->dilation_w * g->in_pixel;
    in.x = x + ((ptrdiff_t)top + in.row0 * g->dilation_h) * g->in_row +
           ((ptrdiff_t)left + in.col0 * g->dilation_w) * g->in_pixel;
    return in;
}

/* y = max(y, x) of n channels; a NaN stays. */
BITC_INLINE void bitc_fpool_max(float *BITC_RESTRICT y, const float *BITC_RESTRICT x, int32_t n) {
    for (int32_t c = 0; c < n; c++) {
        const float a = y[c], b = x[c];
        y[c] = ((b > a) | (b != b)) ? b : a;
    }
}

/* y += x of n channels. */
BITC_INLINE void bitc_fpool_add(float *BITC_RESTRICT y, const float *BITC_RESTRICT x, int32_t n) {
    for (int32_t c = 0; c < n; c++) {
        y[c] += x[c];
    }
}

/* Output rows [y0, y1) of a max pooling; y points at row y0 and does not overlap x. Only taps inside the image count;
 * a NaN in the window gives NaN; of +0 and -0 the first in row-major order stays. */
static inline void bitc_fmaxpool(const bitc_fpool *g, const float *x, float *y, int32_t y0, int32_t y1) {
    for (int32_t oy = y0; oy < y1; oy++, y += g->out_row) {
        for (int32_t ox = 0; ox < g->out_w; ox++) {
            const bitc_fwindow in = bitc_fpool_window(g, x, oy, ox);
            float *to = y + (ptrdiff_t)ox * g->out_pixel;
            memcpy(to, in.x, sizeof(float) * (size_t)g->channels);
            for (int32_t r = 0; r < in.row1 - in.row0; r++) {
                for (int32_t c = 0; c < in.col1 - in.col0; c++) {
                    bitc_fpool_max(to, in.x + r * in.row_stride + c * in.col_stride, g->channels);
                }
            }
        }
    }
}

/* Sum of a window for n channels: row by row, from +0. */
BITC_INLINE void bitc_fpool_sum(const bitc_fwindow *in, const float *x, float *y, int32_t n) {
    for (int32_t r = 0; r < in->row1 - in->row0; r++) {
        for (int32_t c = 0; c < in->col1 - in->col0; c++) {
            bitc_fpool_add(y, x + r * in->row_stride + c * in->col_stride, n);
        }
    }
}

/* The same, the columns' own sums added from left to right; n <= BITC_FPOOL_CHUNK. */
BITC_INLINE void bitc_fpool_sum_columns(const bitc_fwindow *in, const float *x, float *y, int32_t n) {
    float column[BITC_FPOOL_CHUNK];
    for (int32_t c = 0; c < in->col1 - in->col0; c++) {
        memcpy(column, x + c * in->col_stride, sizeof(float) * (size_t)n);
        for (int32_t r = 1; r < in->row1 - in->row0; r++) {
            bitc_fpool_add(column, x + r * in->row_stride + c * in->col_stride, n);
        }
        bitc_fpool_add(y, column, n);
    }
}

/* Output rows [y0, y1) of an average pooling; y points at row y0 and does not overlap x. The sum is divided by the
 * number of taps. onnxruntime's order of summation, so its bits: by_columns if step_w <= 2, else row by row; but a
 * window that is the whole image is bitc_freduce_mean. */
static inline void bitc_favgpool(const bitc_fpool *g, const float *x, float *y, int32_t y0, int32_t y1) {
    for (int32_t oy = y0; oy < y1; oy++, y += g->out_row) {
        for (int32_t ox = 0; ox < g->out_w; ox++) {
            const bitc_fwindow in = bitc_fpool_window(g, x, oy, ox);
            const int32_t taps = g->count_pads ? in.padded_rows * in.padded_cols
                                               : (in.row1 - in.row0) * (in.col1 - in.col0);
            for (int32_t c = 0; c < g->channels; c += BITC_FPOOL_CHUNK) {
                const int32_t n = g->channels - c < BITC_FPOOL_CHUNK ? g->channels - c : BITC_FPOOL_CHUNK;
                float *to = y + (ptrdiff_t)ox * g->out_pixel + c;
                memset(to, 0, sizeof(float) * (size_t)n);
                if (g->by_columns) {
                    bitc_fpool_sum_columns(&in, in.x + c, to, n);
                } else {
                    bitc_fpool_sum(&in, in.x + c, to, n);
                }
                for (int32_t i = 0; i < n; i++) {
                    to[i] /= (float)taps;
                }
            }
        }
    }
}

#endif
