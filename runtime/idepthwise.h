/* Integer depthwise convolution, what every ISA shares: the geometry and the contract.
 *
 * Kernels bitc_idepthwise_<x>_<isa>(g, x, w, base, y, y0, y1), <x> one of u8, i16, compute the output rows [y0, y1) of
 * one NHWC image, channel c of y from channel c of x only:
 *   y[pixel][c] = base[c] + sum over taps x * w, exact in int32; the caller has proved that every partial sum fits
 *   x     first tap of output (0,0), halo included; no byte is read that is not under a tap
 *   w     int16_t [ceil(channels / block)][ceil(taps / side)][block][side], taps in row-major order, missing ones zero;
 *         the channels of a block in the order of bitc_idepthwise's ISA (see there)
 *   base  [channels]
 *   y     row y0; dense; does not overlap x */
#ifndef BITC_IDEPTHWISE_H
#define BITC_IDEPTHWISE_H

#include "base.h"

typedef struct bitc_idepthwise {
    int32_t out_w, channels;
    int32_t in_row, in_pixel;   /* values from one input row, pixel to the next */
    int32_t step_h, step_w;     /* input rows, pixels from one output to the next */
    int32_t taps_h, taps_w;
    int32_t tap_row, tap_pixel; /* values from one tap to the next, down and across */
} bitc_idepthwise;

#endif
