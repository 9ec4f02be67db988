/* Winograd's convolution of integers, F(2x2, 3x3): the geometry and its contract.
 *
 * Kernels bitc_iwinograd_<isa>(g, x, u, base, y, scratch, y0, y1) compute the output rows [y0, y1) of one NHWC image:
 *   y[pixel][m] = base[m] + sum x * w, exact, for 3 x 3 taps w, steps and dilations of 1, one group
 *   x        first tap of output (0,0); the buffer carries its halo; no value is read that is not under a tap
 *   u        transformed weights [16][ceil(out_c / 16)][in_c / 2][16][2]: the entries of H w H' (bitc/ir/winograd.py)
 *            row after row, each the weights of a 1x1 convolution as in iconv.h. Missing channels are zero
 *   base     [ceil(out_c / 16) * 16]
 *   y        row y0; dense; does not overlap x
 *   scratch  16 * 64 + 32 * in_c bytes for each tile (two rows x two columns) of a band of `rows` rows; 64-aligned
 * The caller has proved that transformed x and w fit int16_t and that the sums x * w lie within +-2^29: 4 * sum is then
 * an int32_t, whatever wraps around on the way, and the shift by 2 is exact. */
#ifndef BITC_IWINOGRAD_H
#define BITC_IWINOGRAD_H

#include "base.h"

typedef struct bitc_iwinograd {
    int32_t out_w, out_c;
    int32_t in_c;   /* a multiple of 16 */
    int32_t in_row; /* values from one input row to the next */
    int32_t rows;   /* output rows that are transformed together, even */
} bitc_iwinograd;

#endif
