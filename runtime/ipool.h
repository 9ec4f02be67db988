/* Integer max pooling, NHWC. Plain C: the loops over the channels vectorise. */
#ifndef BITC_IPOOL_H
#define BITC_IPOOL_H

#include "base.h"

/* Geometry of a pooling. x points at pixel (0,0) of the image, which needs no halo; every window holds a pixel. */
typedef struct bitc_ipool {
    int32_t in_h, in_w, out_w, channels;
    int32_t in_row, in_pixel;   /* values from one input row, pixel to the next */
    int32_t out_row, out_pixel; /* values from one output row, pixel to the next */
    int32_t window_h, window_w;
    int32_t step_h, step_w;
    int32_t dilation_h, dilation_w;
    int32_t pad_top, pad_left;
} bitc_ipool;

/* The taps [row0, row1) x [col0, col1) of a window that lie in the image, and values from x to the first of them. */
typedef struct bitc_iwindow {
    int32_t row0, row1, col0, col1;
    ptrdiff_t first;
} bitc_iwindow;

/* The first tap at or after position `from`, of taps at origin, origin + dilation, ...; at most `window`. */
BITC_INLINE int32_t bitc_ipool_tap(int32_t origin, int32_t from, int32_t dilation, int32_t window) {
    const int32_t tap = from > origin ? (from - origin + dilation - 1) / dilation : 0;
    return tap < window ? tap : window;
}

BITC_INLINE bitc_iwindow bitc_ipool_window(const bitc_ipool *g, int32_t oy, int32_t ox) {
    const int32_t top = oy * g->step_h - g->pad_top, left = ox * g->step_w - g->pad_left;
    bitc_iwindow in;
    in.row0 = bitc_ipool_tap(top, 0, g->dilation_h, g->window_h);
    in.row1 = bitc_ipool_tap(top, g->in_h, g->dilation_h, g->window_h);
    in.col0 = bitc_ipool_tap(left, 0, g->dilation_w, g->window_w);
    in.col1 = bitc_ipool_tap(left, g->in_w, g->dilation_w, g->window_w);
    in.first = ((ptrdiff_t)top + in.row0 * g->dilation_h) * g->in_row +
               ((ptrdiff_t)left + in.col0 * g->dilation_w) * g->in_pixel;
    return in;
}

/* bitc_imaxpool_<name>(g, x, y, y0, y1): output rows [y0, y1) of a max pooling; y points at row y0 and does not overlap
 * x. Only taps inside the image count. */
#define BITC_IMAXPOOL(name, type)                                                                                      \
    /* y = max(y, x) of n channels. */                                                                                 \
    BITC_GCC_NOINLINE void bitc_imax_##name(type *BITC_RESTRICT y, const type *BITC_RESTRICT x, int32_t n) {           \
        for (int32_t c = 0; c < n; c++) {                                                                              \
            y[c] = x[c] > y[c] ? x[c] : y[c];                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    BITC_INLINE void bitc_imaxpool_any_##name(const bitc_ipool *g, const type *x, type *y, int32_t y0, int32_t y1) {   \
        for (int32_t oy = y0; oy < y1; oy++, y += g->out_row) {                                                        \
            for (int32_t ox = 0; ox < g->out_w; ox++) {                                                                \
                const bitc_iwindow in = bitc_ipool_window(g, oy, ox);                                                  \
                type *to = y + (ptrdiff_t)ox * g->out_pixel;                                                           \
                memcpy(to, x + in.first, sizeof(type) * (size_t)g->channels);                                          \
                for (int32_t r = 0; r < in.row1 - in.row0; r++) {                                                      \
                    const type *row = x + in.first + (ptrdiff_t)r * g->dilation_h * g->in_row;                         \
                    for (int32_t c = 0; c < in.col1 - in.col0; c++) {                                                  \
                        bitc_imax_##name(to, row + (ptrdiff_t)c * g->dilation_w * g->in_pixel, g->channels);           \
                    }                                                                                                  \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

BITC_IMAXPOOL(u8, uint8_t)
BITC_IMAXPOOL(i8, int8_t)
BITC_IMAXPOOL(i16, int16_t)

static inline void bitc_imaxpool_u8(const bitc_ipool *g, const uint8_t *x, uint8_t *y, int32_t y0, int32_t y1) {
    bitc_imaxpool_any_u8(g, x, y, y0, y1);
}

static inline void bitc_imaxpool_i8(const bitc_ipool *g, const int8_t *x, int8_t *y, int32_t y0, int32_t y1) {
    bitc_imaxpool_any_i8(g, x, y, y0, y1);
}

static inline void bitc_imaxpool_i16(const bitc_ipool *g, const int16_t *x, int16_t *y, int32_t y0, int32_t y1) {
    bitc_imaxpool_any_i16(g, x, y, y0, y1);
}

#endif
