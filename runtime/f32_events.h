/* Float convolution of images that are mostly zeros, such as spikes: the places of what is not zero, and the walk over them. */
#ifndef BITC_F32_EVENTS_H
#define BITC_F32_EVENTS_H

#include "base.h"

/* Geometry. x is an NHWC image, dense, zero halo included; taps of one row of a window are neighbours. */
typedef struct bitc_fevents {
    int32_t in_w, in_c;             /* pixels of an input row, channels */
    int32_t out_w, out_c;
    int32_t taps_h, taps_w, tap_row; /* tap_row: input rows from one tap to the next */
    int32_t step_h, step_w, first;  /* first: input column of the first tap of output column 0 */
    int32_t vectors;                /* 8 output channels each, 1..8, in a block of weights */
    int32_t out_row, out_pixel;     /* floats from one output row, pixel to the next */
} bitc_fevents;

/* Numbers of the list of an input row: for each pixel and the end, how many events come before; then the events. */
BITC_INLINE ptrdiff_t bitc_events_list(const bitc_fevents *g) {
    return (ptrdiff_t)g->in_w + 1 + (ptrdiff_t)g->in_w * g->in_c;
}

/* The events under one row of a window: `events` [count] are places in the input row x. The weights of place e are entry
 * offset + e of a block's; places before the window have none. */
typedef struct bitc_flisted {
    const float *x;
    const int32_t *events;
    int32_t count;
    ptrdiff_t offset;
} bitc_flisted;

/* Row `tap` of the window of output column `column`; x and lists are those of the row's first tap. */
BITC_INLINE bitc_flisted bitc_fevents_window(const bitc_fevents *g, const float *x, const int32_t *lists, int32_t column,
                                             int32_t tap) {
    const ptrdiff_t row = (ptrdiff_t)tap * g->tap_row;
    const int32_t *starts = lists + row * bitc_events_list(g);
    const int32_t at = g->first + column * g->step_w;
    bitc_flisted window;
    window.x = x + row * g->in_w * g->in_c;
    window.events = starts + g->in_w + 1 + starts[at];
    window.count = starts[at + g->taps_w] - starts[at];
    window.offset = ((ptrdiff_t)tap * g->taps_w - at) * g->in_c;
    return window;
}

/* Sums of the window of one output column, 8 * vectors channels, the first `channels` stored at y. */
typedef void bitc_fevents_pixel(const bitc_fevents *g, const float *x, const int32_t *lists, const float *w, float *y,
                                int32_t column, int32_t channels, const int vectors);

/* Output rows [y0, y1), one block of weights after another, so that a block is read from the cache. */
BITC_INLINE void bitc_fevents_rows(const bitc_fevents *g, const float *x, const int32_t *lists, const float *w, float *y,
                                   int32_t y0, int32_t y1, const int vectors, bitc_fevents_pixel *pixel) {
    const int32_t block = 8 * vectors;
    const ptrdiff_t weights = (ptrdiff_t)g->taps_h * g->taps_w * g->in_c * block;
    for (int32_t m = 0; m < g->out_c; m += block, w += weights) {
        for (int32_t row = y0; row < y1; row++) {
            const float *xs = x + (ptrdiff_t)row * g->step_h * g->in_w * g->in_c;
            const int32_t *listed = lists + (ptrdiff_t)row * g->step_h * bitc_events_list(g);
            float *made = y + (ptrdiff_t)(row - y0) * g->out_row + m;
            for (int32_t column = 0; column < g->out_w; column++, made += g->out_pixel) {
                pixel(g, xs, listed, w, made, column, g->out_c - m, vectors);
            }
        }
    }
}

/* The same with the number of vectors as a constant. */
BITC_INLINE void bitc_fevents_blocks(const bitc_fevents *g, const float *x, const int32_t *lists, const float *w,
                                     float *y, int32_t y0, int32_t y1, bitc_fevents_pixel *pixel) {
    switch (g->vectors) {
        case 1: bitc_fevents_rows(g, x, lists, w, y, y0, y1, 1, pixel); break;
        case 2: bitc_fevents_rows(g, x, lists, w, y, y0, y1, 2, pixel); break;
        case 3: bitc_fevents_rows(g, x, lists, w, y, y0, y1, 3, pixel); break;
        case 4: bitc_fevents_rows(g, x, lists, w, y, y0, y1, 4, pixel); break;
        case 5: bitc_fevents_rows(g, x, lists, w, y, y0, y1, 5, pixel); break;
        case 6: bitc_fevents_rows(g, x, lists, w, y, y0, y1, 6, pixel); break;
        case 7: bitc_fevents_rows(g, x, lists, w, y, y0, y1, 7, pixel); break;
        default: bitc_fevents_rows(g, x, lists, w, y, y0, y1, 8, pixel); break;
    }
}

#endif
