/* Products of 8-bit activations with weights stored as codes of 2 or 4 bits, what every ISA shares: the contract.
 *
 * bitc_icoded<bits>_<isa>(g, x, w, lowest, base, step, y, y0, y1) computes what bitc_iconv_u8_i8_<isa> does, for weights
 * of channel m that are lowest[m] + step * code, code 0 .. 2^bits - 1:
 *   y[pixel][m] = base[m] + lowest[m] * sum x + step * sum x * code, exact in int32 modulo 2^32; the sums of activations
 *   are made once a pixel. It reads the codes of a block for up to BITC_ICODED_FEW pixels at once: one pass over the
 *   weights, a fraction of their bytes, for the few pixels of a dense layer
 *   g       one group and one run a window, of at most BITC_ICODED_RUN values, a multiple of the side of u8_i8's entries;
 *           chain: so many consecutive sums of two neighbours' products fit int16_t, with codes as weights and, for codes
 *           of 2 bits, multiplied by 4; at least 1
 *   w       [ceil(out_c / block)][run / side][lanes][side] bytes of 8 / bits codes each, the lowest bits first: code f of
 *           lane i is that of channel f * lanes + i of a block of lanes * 8 / bits. Missing codes are 0
 *   lowest, base  [ceil(out_c / block) * block]
 *
 * bitc_icoded<bits>_rows_<isa>(g, x, w, lowest, base, step, scratch, y, y0, y1), for many pixels: as many channels' weights
 * as stay in the L2 cache are expanded to int8_t once, in the order of bitc_iconv_u8_i8_<isa>, and its tiles go over the
 * pixels. All weights fit int8_t
 *   g       as above, but chain is what bitc_iconv's says: of the weights themselves
 *   scratch  for blocks of BITC_ICONV_BLOCK channels, as many as one pass takes (bitc_iconv_pass) and no more than there
 *           are: BITC_ICONV_BLOCK * run bytes each */
#ifndef BITC_ICODED_H
#define BITC_ICODED_H

#include "iconv.h"

/* Values of a run: 64 * 128 * 255 times as many, the largest sum of codes in their places, fit int32_t. */
#define BITC_ICODED_RUN 65536

/* Pixels that meet a block of weights together. */
#define BITC_ICODED_FEW 4

/* a + b * c modulo 2^32. */
BITC_INLINE int32_t bitc_icoded_plus(int32_t a, int32_t b, int32_t c) {
    const uint32_t sum = (uint32_t)a + (uint32_t)b * (uint32_t)c;
    int32_t wrapped;
    memcpy(&wrapped, &sum, sizeof wrapped);
    return wrapped;
}

/* The weights `step` times each code of up to 4 bits, modulo 2^8. */
BITC_INLINE void bitc_icoded_table(int32_t step, uint8_t *table) {
    for (int32_t code = 0; code < 16; code++) {
        table[code] = (uint8_t)(step * code);
    }
}

#endif
