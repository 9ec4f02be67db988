/* Float convolution for every C99 compiler. */
#ifndef BITC_F32_CONV_PORTABLE_H
#define BITC_F32_CONV_PORTABLE_H

#include "f32_tile_portable.h"

/* Output rows [y0, y1) of an NHWC convolution, without bias; also the fully connected layer.
 *   x  first tap of output (0,0), zero halo included;  y  row y0; channels beyond out_c are never stored
 *   w  [ceil(out_c / 8)][taps_h][taps_w][in_c][8], missing channels zero
 * Each y is summed over taps_h, taps_w, in_c in this order, each product rounded. x and y do not overlap. */
static inline void bitc_fconv_portable(const bitc_fconv *g, const float *x, const float *w, float *y, int32_t y0,
                                       int32_t y1) {
    bitc_fconv_any_portable(g, x, w, y, y0, y1, 0);
}

/* The same in `groups` groups: g's in_c and out_c are those of one group, whose inputs and outputs lie side by side in
 * a pixel; w is one bitc_fconv_portable array per group, one after the other. */
static inline void bitc_fconv_grouped_portable(const bitc_fconv *g, int32_t groups, const float *x, const float *w,
                                               float *y, int32_t y0, int32_t y1) {
    const ptrdiff_t floats = 8 * bitc_fconv_depth(g) * ((g->out_c + 7) / 8);
    for (ptrdiff_t i = 0; i < groups; i++) {
        bitc_fconv_portable(g, x + i * g->in_c, w + i * floats, y + i * g->out_c, y0, y1);
    }
}

#endif
