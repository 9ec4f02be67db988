/* Binary convolution by bit planes over pixels: lanes are output pixels, a weight costs one full adder.
 *
 * What is computed is that of bconv.h. pop[y][x][c] counts, over the terms (tap, plane, channel) of a window, the bits x
 * that differ from the weight w. Written as pop = 2*h + b, b = t or 1 - t with the parity t of the root's count, channel c
 * of a spanning tree of channels (bitc/ir/channel_tree.py) follows from its parent p by
 *
 *     u[c] = +-u[p] + sum over D of (w[c] ? -x : x) (+ t or -t)       modulo 2^B, B = counter_planes
 *
 * and h = u + k with a constant k of the channel (bitc/ir/sliced.py), so only D, where the weights differ, is added up.
 * u is held as B planes, one bit of BITC_LANES pixels each; the lanes of a row of pixels lie `pitch` apart, so that a tap
 * is a shift of a plane.
 *
 *   x        as in bconv.h: the first tap of the output pixel (0, 0), words of `in_planes` planes of `in_channels`; or, where
 *            `in_pixel_words` is 0, planes [in_planes][in_channels][plane_words] as bitc_sliced_lanes_<isa> leaves them
 *   nodes    int32 [out_c][8], parents first: slot, the parent's slot (-1: a root, -2: of tables), 1 for -u[p] - 1 instead of
 *            u[p], blocks of 16 terms that are taken off, blocks of 4 more, blocks of 16 that are added, blocks of 4 more,
 *            channel
 *   terms    int16, as the blocks have them: indices of columns. A column is a term (tap*in_planes + plane)*in_channels +
 *            channel, or with tables a plane of a table; behind these, from `special` on: zeros, t, ones
 *   tests    int32 [out_c][planes], by the order of nodes: 1 if the top plane of u is flipped, 2 if b = 1 - t, 4 if the
 *            result is. The bit is the carry of u + m + (b & p | q), flipped
 *   codes    uint8 [out_c][planes][class groups][B + 2]: the bits of m, then p and q, in the border classes of a group: bit
 *            i for its class i. A group is up to four classes of columns of one class of rows
 *   masks    uint64 [classes][blocks * words]: the lanes of each border class
 *   base     int32 [classes][out_c], ends acc = base[class][c] - step*pop;  ends, int32 [2][out_c]: 2*k, 1 if b = 1 - t
 *   first, last  what is computed: the lanes from first to last, both multiples of the vectors (64 in plain C), last at
 *            will beyond the last pixel
 *   pixel    uint64 [planes][words]: the bits beside an image that is left as planes
 *   scratch  as large as bitc/ir/k_sliced.py says, 64-aligned is faster
 *
 * Without a tree each channel is computed from tables (`triples` > 0). Of each three terms x0, x1, x2 that differ from the
 * weights where e0, e1, e2 do,
 *
 *     e0 + e1 + e2 = (e0 ^ e1 ^ e2) + 2*majority(e0, e1, e2)
 *
 * The parities are x0 ^ x1 ^ x2 but for a sign: terms of a product a third as long, of which the same holds, down to t. So
 * h is a sum of `triples` majorities, about half as many as terms. Each is one of four planes that all channels share,
 * 4*triple + 2*(w1 ^ w2) + (w0 ^ w2), taken off if w2.
 *
 * The planes of the input: `phases` images, each the pixels that the taps of one offset modulo the strides read: its
 * first row and column, rows and columns. A tap: its phase, and its shift in lanes. This header comes after lanes_<isa>.h;
 * sliced_sums.h counts, sliced_ends.h has the kernels. */
#ifndef BITC_SLICED_H
#define BITC_SLICED_H

#include "bconv.h"

#define BITC_SLICED_NODE 8
#define BITC_SLICED_MOST_PLANES 17
#define BITC_SLICED_MOST_GROUPS 64
#define BITC_SLICED_UNIONS 16
#define BITC_SLICED_ROWS 17 /* of 16 numbers, and one beside which they do not fall into a few sets of a cache */

typedef struct bitc_sliced {
    int32_t out_h, out_w, out_c;
    int32_t in_row_words, in_pixel_words; /* strides of the input buffer; 0 where it has planes */
    int32_t in_planes, in_channels;
    int32_t step_h, step_w;
    int32_t pitch, plane_words;           /* lanes from row to row; uint64 of an input plane */
    int32_t phases, taps;
    const int32_t *phase, *tap;           /* [phases][4], [taps][2] */
    int32_t counter_planes, slots;
    int32_t special, triples;             /* columns before those of zeros, t and ones; tables, 0 with trees */
    int32_t classes, row_classes, col_classes;
    const uint8_t *row_class, *col_class; /* NULL where there is one class */
} bitc_sliced;

#define BITC_LANE_WORDS ((int32_t)(sizeof(bitc_lanes) / sizeof(bitc_lane_word)))
#define BITC_LANES_PER_WORD ((int32_t)(8 * sizeof(bitc_lane_word)))

/* The parts of the scratch memory, and what a block of lanes knows. */
struct bitc_sliced_run {
    const bitc_sliced *g;
    const bitc_lane_word *planes; /* of the input */
    bitc_lane_word *columns, *raw, *counters, *made; /* raw: the terms; the columns, unless there are tables */
    uint16_t *numbers;      /* [BITC_LANES/16][pixel_numbers] of one row, behind [out_c][BITC_SLICED_ROWS] rows in `made` */
    int32_t pixel_numbers;
    bitc_lane_word *unions; /* of this block: [class groups][16], the lanes of the classes whose bits are 1 */
    int32_t groups, here[BITC_SLICED_MOST_GROUPS]; /* the groups that have lanes in this block */
};

BITC_INLINE int32_t bitc_sliced_terms(const bitc_sliced *g) { return g->taps * g->in_planes * g->in_channels; }

/* Vectors of lanes that hold all output pixels. */
BITC_INLINE int32_t bitc_sliced_blocks(const bitc_sliced *g) {
    return ((g->out_h - 1) * g->pitch + g->out_w + BITC_LANES - 1) / BITC_LANES;
}

/* One past the last vector that has lanes before `last`. */
BITC_INLINE int32_t bitc_sliced_last(const bitc_sliced *g, int32_t last) {
    const int32_t blocks = bitc_sliced_blocks(g);
    return last < blocks * BITC_LANES ? last / BITC_LANES : blocks;
}

BITC_INLINE bitc_lane_word *bitc_sliced_column(const struct bitc_sliced_run *r, int32_t i) {
    return r->columns + (ptrdiff_t)i * BITC_LANE_WORDS;
}

/* A bit matrix of the words of 32 pixels becomes 32 lanes of the planes of their channels. */
BITC_INLINE void bitc_sliced_turn_in(const struct bitc_sliced_run *r, const uint64_t *const *pixel, int32_t group,
                                       bitc_lane_word *planes) {
    const bitc_sliced *g = r->g;
    const int32_t words = bitc_words(g->in_channels), plane_words = g->plane_words * (64 / BITC_LANES_PER_WORD);
    for (int32_t i = 0; i < g->in_planes * words; i++) {
        const int32_t p = i / words, first = i % words * 64, left = g->in_channels - first;
        uint64_t rows[32], columns[32];
        for (int32_t l = 0; l < 32; l++) rows[l] = pixel[l][i];
        bitc_turn(rows, columns);
        bitc_lane_word *low = planes + (ptrdiff_t)(p * g->in_channels + first) * plane_words;
        bitc_lane_word *high = low + (ptrdiff_t)32 * plane_words;
        for (int32_t k = 0; k < 32 && k < left; k++, low += plane_words) bitc_lanes_put(low, group, (uint32_t)columns[k]);
        for (int32_t k = 0; k < 32 && k < left - 32; k++, high += plane_words) {
            bitc_lanes_put(high, group, (uint32_t)(columns[k] >> 32));
        }
    }
}

/* The input as planes, phase after phase, as far as the lanes from `first` to `last` read it; lanes beside an image repeat
 * its first pixel and are nobody's. */
BITC_INLINE void bitc_sliced_planes(const struct bitc_sliced_run *r, const uint64_t *x, int32_t first, int32_t last,
                                    bitc_lane_word *planes) {
    const bitc_sliced *g = r->g;
    const ptrdiff_t phase_words =
        (ptrdiff_t)g->in_planes * g->in_channels * g->plane_words * (64 / BITC_LANES_PER_WORD);
    const int32_t end = last + g->tap[g->taps * 2 - 1]; /* the last tap lies farthest */
    for (int32_t f = 0; f < g->phases; f++) {
        const int32_t *phase = g->phase + (ptrdiff_t)f * 4;
        const uint64_t *from = x + (ptrdiff_t)phase[0] * g->in_row_words + (ptrdiff_t)phase[1] * g->in_pixel_words;
        const ptrdiff_t down = (ptrdiff_t)g->step_h * g->in_row_words, right = (ptrdiff_t)g->step_w * g->in_pixel_words;
        int32_t group = first / 32, row = group * 32 / g->pitch, column = group * 32 % g->pitch;
        ptrdiff_t at = row * down + column * right;
        for (; row < phase[2] && group * 32 < end; group++) {
            const uint64_t *pixel[32];
            for (int32_t l = 0; l < 32; l++, at += right) {
                pixel[l] = from + (row < phase[2] && column < phase[3] ? at : 0);
                if (++column == g->pitch) column = 0, row++, at = row * down - right;
            }
            bitc_sliced_turn_in(r, pixel, group, planes + f * phase_words);
        }
    }
}

/* The columns of a block: for each term the lanes of the pixels under its tap. */
BITC_INLINE void bitc_sliced_columns(const struct bitc_sliced_run *r, int32_t block) {
    const bitc_sliced *g = r->g;
    const int32_t rows = g->in_planes * g->in_channels, plane_words = g->plane_words * (64 / BITC_LANES_PER_WORD);
    bitc_lane_word *to = r->raw;
    for (int32_t t = 0; t < g->taps; t++) {
        const int32_t *tap = g->tap + (ptrdiff_t)t * 2, lane = block * BITC_LANES + tap[1];
        const bitc_lane_word *from = r->planes + (ptrdiff_t)tap[0] * rows * plane_words + lane / BITC_LANES_PER_WORD;
        const int32_t shift = lane % BITC_LANES_PER_WORD;
        BITC_UNROLLED_BY_4
        for (int32_t i = 0; i < rows; i++) {
            bitc_lanes_store(to + i * BITC_LANE_WORDS, bitc_lanes_from(from + i * plane_words, shift));
        }
        to += rows * BITC_LANE_WORDS;
    }
}

BITC_INLINE struct bitc_sliced_run bitc_sliced_begin(const bitc_sliced *g, const uint64_t *x, int32_t first, int32_t last,
                                                     uint64_t *scratch) {
    struct bitc_sliced_run r = {g, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, 0, {0}};
    bitc_lane_word *planes = (bitc_lane_word *)(void *)scratch;
    r.columns = planes;
    r.planes = (const bitc_lane_word *)(const void *)x;
    if (g->in_pixel_words) {
        r.columns += (ptrdiff_t)g->phases * g->in_planes * g->in_channels * g->plane_words * (64 / BITC_LANES_PER_WORD);
        r.planes = planes;
        bitc_sliced_planes(&r, x, first, last, planes);
    }
    r.counters = r.columns + (ptrdiff_t)(g->special + 3) * BITC_LANE_WORDS;
    r.raw = r.columns;
    if (g->triples) {
        r.raw = r.counters;
        r.counters += (ptrdiff_t)(bitc_sliced_terms(g) + 2) * BITC_LANE_WORDS;
    }
    r.made = r.counters + (ptrdiff_t)g->slots * g->counter_planes * BITC_LANE_WORDS;
    bitc_lanes_store(bitc_sliced_column(&r, g->special), bitc_lanes_fill(0));
    bitc_lanes_store(bitc_sliced_column(&r, g->special + 2), bitc_lanes_fill(1));
    return r;
}

#endif
