/* Convolution in any type, for what has no faster kernel: weights that are computed, integers (modulo 2^bits), doubles.
 * Plain C. */
#ifndef BITC_PLAIN_CONV_H
#define BITC_PLAIN_CONV_H

#include "base.h"

/* Geometry of a grouped NHWC convolution: in_c and out_c are those of one group. x points at the first tap of output
 * (0,0): the buffer carries its halo, so no tap is ever outside of it. */
typedef struct bitc_plain_conv {
    int32_t groups, out_w, out_c, in_c;
    int32_t in_row, in_pixel;   /* elements from one input row, pixel to the next */
    int32_t step_h, step_w;     /* input rows, pixels from one output to the next */
    int32_t taps_h, taps_w;
    int32_t tap_row, tap_pixel; /* elements from one tap to the next, down and across */
    int32_t out_row, out_pixel; /* elements from one output row, pixel to the next */
} bitc_plain_conv;

/* bitc_plain_conv_<name>(g, x, w, y, y0, y1): output rows [y0, y1), y points at row y0; w [groups * out_c][taps_h]
 * [taps_w][in_c]; sums over taps_h, taps_w, in_c in this order, done in `wide`. x and y do not overlap. */
#define BITC_PLAIN_CONV(name, type, wide)                                                                              \
    BITC_INLINE type name##_one(const bitc_plain_conv *g, const type *x, const type *w) {                              \
        wide sum = 0;                                                                                                  \
        for (int32_t r = 0; r < g->taps_h; r++) {                                                                      \
            for (int32_t c = 0; c < g->taps_w; c++, w += g->in_c) {                                                    \
                const type *from = x + (ptrdiff_t)r * g->tap_row + (ptrdiff_t)c * g->tap_pixel;                        \
                for (int32_t i = 0; i < g->in_c; i++) {                                                                \
                    sum = (wide)(sum + (wide)from[i] * (wide)w[i]);                                                    \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
        return (type)sum;                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    static inline void name(const bitc_plain_conv *g, const type *x, const type *w, type *y, int32_t y0, int32_t y1) { \
        const ptrdiff_t depth = (ptrdiff_t)g->taps_h * g->taps_w * g->in_c;                                            \
        for (int32_t oy = y0; oy < y1; oy++, y += g->out_row) {                                                        \
            for (int32_t ox = 0; ox < g->out_w; ox++) {                                                                \
                const type *row = x + (ptrdiff_t)oy * g->step_h * g->in_row;                                           \
                const type *from = row + (ptrdiff_t)ox * g->step_w * g->in_pixel;                                      \
                type *to = y + (ptrdiff_t)ox * g->out_pixel;                                                           \
                for (int32_t m = 0; m < g->groups * g->out_c; m++) {                                                   \
                    to[m] = name##_one(g, from + (ptrdiff_t)(m / g->out_c) * g->in_c, w + m * depth);                  \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

BITC_PLAIN_CONV(bitc_plain_conv_f64, double, double)
BITC_PLAIN_CONV(bitc_plain_conv_i8, int8_t, uint32_t)
BITC_PLAIN_CONV(bitc_plain_conv_u8, uint8_t, uint32_t)
BITC_PLAIN_CONV(bitc_plain_conv_i16, int16_t, uint32_t)
BITC_PLAIN_CONV(bitc_plain_conv_u16, uint16_t, uint32_t)
BITC_PLAIN_CONV(bitc_plain_conv_i32, int32_t, uint32_t)
BITC_PLAIN_CONV(bitc_plain_conv_u32, uint32_t, uint32_t)
BITC_PLAIN_CONV(bitc_plain_conv_i64, int64_t, uint64_t)
BITC_PLAIN_CONV(bitc_plain_conv_u64, uint64_t, uint64_t)

#endif
