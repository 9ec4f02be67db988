/* Float convolution of what is not zero, for every C99 compiler. */
#ifndef BITC_F32_EVENTS_PORTABLE_H
#define BITC_F32_EVENTS_PORTABLE_H

#include "f32_events.h"

/* Lists of `rows` input rows of x: counts up to each pixel, then the places in the row of what is not zero, in order;
 * lists holds bitc_events_list numbers for each row. NaN is not zero. */
static inline void bitc_events_portable(const bitc_fevents *g, const float *x, int32_t rows, int32_t *lists) {
    const ptrdiff_t length = (ptrdiff_t)g->in_w * g->in_c;
    for (int32_t r = 0; r < rows; r++, x += length, lists += bitc_events_list(g)) {
        int32_t *events = lists + g->in_w + 1, count = 0;
        for (int32_t p = 0; p < g->in_w; p++) {
            lists[p] = count;
            for (int32_t c = p * g->in_c; c < (p + 1) * g->in_c; c++) {
                if (x[c] != 0.0f) events[count++] = c;
            }
        }
        lists[g->in_w] = count;
    }
}

/* Output rows [y0, y1) of a convolution without bias over the events of x alone.
 *   x, lists  first input row under output row 0;  y  row y0;  channels beyond out_c are never stored
 *   w  [ceil(out_c / (8 * vectors))][taps_h][taps_w][in_c][8 * vectors], missing channels zero, all finite
 * Each y is summed over taps_h, taps_w, in_c in this order, each product rounded. x and y do not overlap. */
static inline void bitc_fconv_events_portable(const bitc_fevents *g, const float *x, const int32_t *lists,
                                              const float *w, float *y, int32_t y0, int32_t y1) {
    const int32_t block = 8 * g->vectors;
    const ptrdiff_t weights = (ptrdiff_t)g->taps_h * g->taps_w * g->in_c * block;
    for (int32_t row = y0; row < y1; row++, y += g->out_row) {
        const float *xs = x + (ptrdiff_t)row * g->step_h * g->in_w * g->in_c;
        const int32_t *listed = lists + (ptrdiff_t)row * g->step_h * bitc_events_list(g);
        for (int32_t column = 0; column < g->out_w; column++) {
            for (int32_t m = 0; m < g->out_c; m += block) {
                const int32_t channels = g->out_c - m < block ? g->out_c - m : block;
                const float *own = w + m / block * weights;
                float sums[64] = {0};
                for (int32_t tap = 0; tap < g->taps_h; tap++) {
                    const bitc_flisted at = bitc_fevents_window(g, xs, listed, column, tap);
                    for (int32_t e = 0; e < at.count; e++) {
                        const float value = at.x[at.events[e]];
                        const float *of = own + (at.offset + at.events[e]) * block;
                        for (int32_t c = 0; c < block; c++) sums[c] += value * of[c];
                    }
                }
                memcpy(y + (ptrdiff_t)column * g->out_pixel + m, sums, (size_t)channels * sizeof *y);
            }
        }
    }
}

#endif
