/* Float convolution for AVX-512F. */
#ifndef BITC_F32_CONV_AVX512_H
#define BITC_F32_CONV_AVX512_H

#include "f32_tile_avx512.h"

/* Output rows [y0, y1) of an NHWC convolution, without bias; also the fully connected layer.
 *   x  first tap of output (0,0), zero halo included;  y  row y0; channels beyond out_c are never stored
 *   w  [ceil(out_c / 16)][taps_h][taps_w][in_c][16], missing channels zero
 * Each y is a chain of fused multiply-adds over taps_h, taps_w, in_c in this order. x and y do not overlap. */
static inline void bitc_fconv_avx512(const bitc_fconv *g, const float *x, const float *w, float *y, int32_t y0,
                                     int32_t y1) {
    bitc_fconv_any_avx512(g, x, w, y, y0, y1, 0);
}

/* The same in `groups` groups: g's in_c and out_c are those of one group, whose inputs and outputs lie side by side in
 * a pixel; w is one bitc_fconv_avx512 array per group, one after the other. */
static inline void bitc_fconv_grouped_avx512(const bitc_fconv *g, int32_t groups, const float *x, const float *w,
                                             float *y, int32_t y0, int32_t y1) {
    const ptrdiff_t floats = 16 * bitc_fconv_depth(g) * ((g->out_c + 15) / 16);
    for (ptrdiff_t i = 0; i < groups; i++) {
        bitc_fconv_avx512(g, x + i * g->in_c, w + i * floats, y + i * g->out_c, y0, y1);
    }
}

#endif
