/* Integer depthwise convolution, what every ISA shares: the geometry and the contract.
 *
 * Kernels bitc_idepthwise_<x>_<isa>(g, x, w, base, y, y0, y1), <x> one of u8, i16, compute the output rows [y0, y1) of
 * one NHWC image, channel c of y from channel c of x only:
 *   y[pixel][c] = base[c] + sum over taps x * w, exact in int32; the caller has proved that every partial sum fits
 *   x     first tap of output (0,0), halo included; no byte is read that is not under a tap
 *   w     int16_t [ceil(channels / block)][ceil(taps / side)][block][side], block and side those of the ISA, taps in
 *         row-major order, missing ones zero. If channels is no multiple of block, the last block ends with them and
 *         repeats some of the one before it; a single block is filled up with zeros. With side 2, the channels of a
 *         block whose bit 2 is 0 come first: the order of vpunpckl/hwd
 *   base  [channels]
 *   y     row y0; dense; does not overlap x */
#ifndef BITC_IDEPTHWISE_H
#define BITC_IDEPTHWISE_H

#include "base.h"

/* Geometry of an integer NHWC depthwise convolution. */
typedef struct bitc_idepthwise {
    int32_t out_w, channels;
    int32_t in_row, in_pixel;   /* values from one input row, pixel to the next */
    int32_t step_h, step_w;     /* input rows, pixels from one output to the next */
    int32_t taps_h, taps_w;
    int32_t tap_row, tap_pixel; /* values from one tap to the next, down and across */
} bitc_idepthwise;

/* The first channel of the next block, `block` channels from c: the last block ends with the channels. */
BITC_INLINE int32_t bitc_idepthwise_channel(const bitc_idepthwise *g, int32_t c, int32_t block) {
    return c + block <= g->channels || g->channels < block ? c : g->channels - block;
}

/* The next tap of a window, taps counted in row-major order: values from the first tap to it, taps left in its row. */
typedef struct bitc_itap {
    ptrdiff_t at;
    int32_t left;
} bitc_itap;

/* Values from the first tap to this one; goes on to the next. Selections instead of branches: they would follow no
 * pattern that a processor learns. */
BITC_INLINE ptrdiff_t bitc_itap_next(const bitc_idepthwise *g, bitc_itap *tap) {
    const ptrdiff_t here = tap->at, across = g->tap_pixel, back = (ptrdiff_t)(g->taps_w - 1) * g->tap_pixel;
    const ptrdiff_t down = g->tap_row - back;
    const int32_t left = tap->left - 1;
    tap->at += left ? across : down;
    tap->left = left ? left : g->taps_w;
    return here;
}

/* Copies n < 16 elements of `size` bytes in pieces of 8, 4, 2 and 1 of them. */
BITC_INLINE void bitc_ifew(void *to, const void *from, int32_t n, const size_t size) {
    char *t = (char *)to;
    const char *f = (const char *)from;
    if (n & 8) {
        memcpy(t, f, 8 * size), t += 8 * size, f += 8 * size;
    }
    if (n & 4) {
        memcpy(t, f, 4 * size), t += 4 * size, f += 4 * size;
    }
    if (n & 2) {
        memcpy(t, f, 2 * size), t += 2 * size, f += 2 * size;
    }
    if (n & 1) {
        memcpy(t, f, size);
    }
}

/* Elements from x to the first taps of the next `count` pixels from (row, column) on, which goes on to the pixel after
 * them; slots past `count` repeat the last one. */
BITC_INLINE void bitc_idepthwise_pixels(const bitc_idepthwise *g, int32_t *row, int32_t *column, int32_t count,
                                        int32_t slots, ptrdiff_t *at) {
    for (int32_t p = 0; p < slots; p++) {
        if (p >= count) {
            at[p] = at[p - 1];
            continue;
        }
        at[p] = (ptrdiff_t)*row * g->step_h * g->in_row + (ptrdiff_t)*column * g->step_w * g->in_pixel;
        if (++*column == g->out_w) {
            *column = 0;
            ++*row;
        }
    }
}

#endif
