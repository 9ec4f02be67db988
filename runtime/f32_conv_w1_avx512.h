/* Float convolution with one-bit weights for AVX-512F. */
#ifndef BITC_F32_CONV_W1_AVX512_H
#define BITC_F32_CONV_W1_AVX512_H

#include "f32_tile_avx512.h"

/* Output rows [y0, y1) of an NHWC convolution whose weights are +1 or -1: y = sum of +-x, without scale or bias.
 *   x  first tap of output (0,0), zero halo included;  y  row y0; channels beyond out_c are never stored
 *   w  [ceil(out_c / 16)][taps_h][taps_w][in_c] uint16; bit j is channel 16 * block + j, 1 = -1
 * Each y is summed over taps_h, taps_w, in_c in this order, rounded after each step. x and y do not overlap. */
static inline void bitc_fconv_w1_avx512(const bitc_fconv *g, const float *x, const uint16_t *w, float *y, int32_t y0,
                                        int32_t y1) {
    bitc_fconv_any_avx512(g, x, w, y, y0, y1, 1);
}

#endif
