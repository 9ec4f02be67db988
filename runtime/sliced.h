/* Binary convolution by bit planes over pixels: lanes are output pixels, a weight costs one full adder.
 *
 * What is computed is that of bconv.h. pop[y][x][c] counts, over the terms (tap, plane, channel) of a window, the bits x
 * that differ from the weight w. Written as pop = 2*h + b, b = t or 1 - t with the parity t of the root's count, channel c
 * of a spanning tree of channels (bitc/ir/channel_tree.py) follows from its parent p by
 *
 *     u[c] = +-u[p] + sum over D of (x ^ w[c]) (+ t or 1 - t)       modulo 2^B, B = counter_planes
 *
 * and h = u + k with a constant k of the channel (bitc/ir/sliced.py), so only D, where the weights differ, is added up.
 * u is held as B planes, one bit of BITC_LANES pixels each; the lanes of a row of pixels lie `pitch` apart, so that a tap
 * is a shift of a plane.
 *
 *   x        as in bconv.h: the first tap of the output pixel (0, 0), words of `in_planes` planes of `in_channels`
 *   nodes    int32 [out_c][8], parents first: slot, the parent's slot (-1: a root), 1 for -u[p], blocks of 16 terms that
 *            are added as they are, blocks of 16 complemented, blocks of 8 mixed, planes of their sum, channel
 *   terms    int16, as the blocks have them: indices of columns ((tap*in_planes + plane)*in_channels + channel; then
 *            one of zeros, then t); in mixed blocks ~index where it is complemented
 *   tests    int32 [out_c][planes], by the order of nodes: 1 if the top plane of u is flipped, 2 if b = 1 - t, 4 if the
 *            result is. The bit is the carry of u + m + (b & p | q), flipped
 *   codes    uint8 [out_c][planes][class groups][B + 2]: the bits of m, then p and q, in the border classes of a group: bit
 *            i for its class i. A group is up to four classes of columns of one class of rows
 *   masks    uint64 [classes][blocks * words]: the lanes of each border class
 *   base     int32 [classes][out_c], ends acc = base[class][c] - step*pop;  ends, int32 [out_c][2]: k, and 1 if b = 1 - t
 *   scratch  bitc_sliced_words(g) uint64, 64-aligned is faster
 *
 * The planes of the input: `phases` images, each the pixels that the taps of one offset modulo the strides read: its
 * first row and column, rows and columns. A tap: its phase, and its shift in lanes. This header comes after lanes_<isa>.h. */
#ifndef BITC_SLICED_H
#define BITC_SLICED_H

#include "bconv.h"

#define BITC_SLICED_NODE 8
#define BITC_SLICED_MOST_PLANES 17
#define BITC_SLICED_MOST_GROUPS 64
#define BITC_SLICED_UNIONS 16

typedef struct bitc_sliced {
    int32_t out_h, out_w, out_c;
    int32_t in_row_words, in_pixel_words; /* strides of the input buffer */
    int32_t in_planes, in_channels;
    int32_t step_h, step_w;
    int32_t pitch, plane_words;           /* lanes from row to row; uint64 of an input plane */
    int32_t phases, taps;
    const int32_t *phase, *tap;           /* [phases][4], [taps][2] */
    int32_t counter_planes, slots;
    int32_t classes, row_classes, col_classes;
    const uint8_t *row_class, *col_class; /* NULL where there is one class */
} bitc_sliced;

#define BITC_LANE_WORDS ((int32_t)(sizeof(bitc_lanes) / sizeof(bitc_lane_word)))
#define BITC_LANES_PER_WORD ((int32_t)(8 * sizeof(bitc_lane_word)))

/* The parts of the scratch memory, and what a block of lanes knows. */
struct bitc_sliced_run {
    const bitc_sliced *g;
    bitc_lane_word *planes, *columns, *counters, *made;
    bitc_lane_word *unions; /* of this block: [class groups][16], the lanes of the classes whose bits are 1 */
    int32_t groups, here[BITC_SLICED_MOST_GROUPS]; /* the groups that have lanes in this block */
};

BITC_INLINE int32_t bitc_sliced_terms(const bitc_sliced *g) { return g->taps * g->in_planes * g->in_channels; }

/* Vectors of lanes that hold all output pixels. */
BITC_INLINE int32_t bitc_sliced_blocks(const bitc_sliced *g) {
    return ((g->out_h - 1) * g->pitch + g->out_w + BITC_LANES - 1) / BITC_LANES;
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
        const int32_t p = i / words, first = i % words * 64;
        uint32_t rows[2][32], columns[32];
        for (int32_t l = 0; l < 32; l++) {
            rows[0][l] = (uint32_t)pixel[l][i];
            rows[1][l] = (uint32_t)(pixel[l][i] >> 32);
        }
        for (int32_t h = 0, c = first; h < 2 && c < g->in_channels; h++, c += 32) {
            bitc_turn(rows[h], columns);
            const int32_t count = g->in_channels - c < 32 ? g->in_channels - c : 32;
            bitc_lane_word *to = planes + (ptrdiff_t)(p * g->in_channels + c) * plane_words;
            for (int32_t k = 0; k < count; k++, to += plane_words) bitc_lanes_put(to, group, columns[k]);
        }
    }
}

/* The input as planes, phase after phase; lanes beside an image repeat its first pixel and are nobody's. */
BITC_INLINE void bitc_sliced_planes(const struct bitc_sliced_run *r, const uint64_t *x) {
    const bitc_sliced *g = r->g;
    const ptrdiff_t phase_words =
        (ptrdiff_t)g->in_planes * g->in_channels * g->plane_words * (64 / BITC_LANES_PER_WORD);
    for (int32_t f = 0; f < g->phases; f++) {
        const int32_t *phase = g->phase + (ptrdiff_t)f * 4;
        const uint64_t *first = x + (ptrdiff_t)phase[0] * g->in_row_words + (ptrdiff_t)phase[1] * g->in_pixel_words;
        const ptrdiff_t down = (ptrdiff_t)g->step_h * g->in_row_words, right = (ptrdiff_t)g->step_w * g->in_pixel_words;
        ptrdiff_t at = 0;
        int32_t row = 0, column = 0;
        for (int32_t group = 0; row < phase[2]; group++) {
            const uint64_t *pixel[32];
            for (int32_t l = 0; l < 32; l++, at += right) {
                pixel[l] = first + (row < phase[2] && column < phase[3] ? at : 0);
                if (++column == g->pitch) column = 0, row++, at = row * down - right;
            }
            bitc_sliced_turn_in(r, pixel, group, r->planes + f * phase_words);
        }
    }
}

/* The columns of a block: for each term the lanes of the pixels under its tap. */
BITC_INLINE void bitc_sliced_columns(const struct bitc_sliced_run *r, int32_t block) {
    const bitc_sliced *g = r->g;
    const int32_t rows = g->in_planes * g->in_channels, plane_words = g->plane_words * (64 / BITC_LANES_PER_WORD);
    bitc_lane_word *to = r->columns;
    for (int32_t t = 0; t < g->taps; t++) {
        const int32_t *tap = g->tap + (ptrdiff_t)t * 2, lane = block * BITC_LANES + tap[1];
        const bitc_lane_word *from = r->planes + (ptrdiff_t)tap[0] * rows * plane_words + lane / BITC_LANES_PER_WORD;
        const int32_t shift = lane % BITC_LANES_PER_WORD;
        for (int32_t i = 0; i < rows; i++, from += plane_words, to += BITC_LANE_WORDS) {
            bitc_lanes_store(to, bitc_lanes_from(from, shift));
        }
    }
}

BITC_INLINE bitc_lanes bitc_sliced_add(bitc_lanes *s, bitc_lanes a, bitc_lanes b, int32_t inverted) {
    return inverted ? bitc_lanes_add_not(s, a, b) : bitc_lanes_add(s, a, b);
}

/* Two terms; in a mixed block each may be complemented. */
BITC_INLINE bitc_lanes bitc_sliced_two(const struct bitc_sliced_run *r, const int16_t *terms, bitc_lanes *s, int32_t inverted,
                                       int32_t mixed) {
    if (!mixed) {
        return bitc_sliced_add(s, bitc_lanes_load(bitc_sliced_column(r, terms[0])),
                               bitc_lanes_load(bitc_sliced_column(r, terms[1])), inverted);
    }
    bitc_lanes v[2];
    for (int32_t i = 0; i < 2; i++) {
        const int32_t down = terms[i] < 0, column = down ? ~terms[i] : terms[i];
        v[i] = bitc_lanes_xor(bitc_lanes_load(bitc_sliced_column(r, column)), bitc_lanes_fill(down));
    }
    return bitc_lanes_add(s, v[0], v[1]);
}

/* Eight terms on planes of weight 1, 2, 4: the carry of weight 8, complemented where the terms are. */
BITC_INLINE bitc_lanes bitc_sliced_eight(const struct bitc_sliced_run *r, const int16_t *terms, bitc_lanes *s,
                                         int32_t inverted, int32_t mixed) {
    const bitc_lanes a = bitc_sliced_two(r, terms, s, inverted, mixed);
    const bitc_lanes b = bitc_sliced_two(r, terms + 2, s, inverted, mixed);
    const bitc_lanes ab = bitc_sliced_add(s + 1, a, b, inverted);
    const bitc_lanes c = bitc_sliced_two(r, terms + 4, s, inverted, mixed);
    const bitc_lanes d = bitc_sliced_two(r, terms + 6, s, inverted, mixed);
    return bitc_sliced_add(s + 2, ab, bitc_sliced_add(s + 1, c, d, inverted), inverted);
}

/* One more of weight 2^from. */
BITC_INLINE void bitc_sliced_carry(bitc_lanes *sum, bitc_lanes carry, int32_t from, int32_t planes) {
    for (int32_t k = from; k < planes; k++) {
        const bitc_lanes next = bitc_lanes_and(sum[k], carry);
        sum[k] = bitc_lanes_xor(sum[k], carry);
        carry = next;
    }
}

/* sum[0..planes) counts the terms of a node that are 1; what follows its terms is returned. */
BITC_INLINE const int16_t *bitc_sliced_sum(const struct bitc_sliced_run *r, const int32_t *node, const int16_t *terms,
                                             bitc_lanes *sum) {
    const bitc_lanes none = bitc_lanes_fill(0);
    const int32_t planes = node[6];
    bitc_lanes s[4];
    for (int32_t k = 0; k < 4; k++) s[k] = none;
    for (int32_t k = 4; k <= r->g->counter_planes; k++) sum[k] = none;
    for (int32_t i = 0; i < node[3]; i++, terms += 16) {
        const bitc_lanes a = bitc_sliced_eight(r, terms, s, 0, 0), b = bitc_sliced_eight(r, terms + 8, s, 0, 0);
        bitc_sliced_carry(sum, bitc_lanes_add(s + 3, a, b), 4, planes);
    }
    for (int32_t i = 0; i < node[4]; i++, terms += 16) {
        const bitc_lanes a = bitc_sliced_eight(r, terms, s, 1, 0), b = bitc_sliced_eight(r, terms + 8, s, 1, 0);
        const bitc_lanes carry = bitc_lanes_add_not(s + 3, a, b);
        bitc_sliced_carry(sum, bitc_lanes_xor(carry, bitc_lanes_fill(1)), 4, planes);
    }
    for (int32_t i = 0; i < node[5]; i++, terms += 8) {
        const bitc_lanes eight = bitc_sliced_eight(r, terms, s, 0, 1), sixteen = bitc_lanes_and(s[3], eight);
        s[3] = bitc_lanes_xor(s[3], eight);
        bitc_sliced_carry(sum, sixteen, 4, planes);
    }
    for (int32_t k = 0; k < 4; k++) sum[k] = s[k];
    return terms;
}

/* u of a node into its slot; a root leaves t among the columns. */
BITC_INLINE const int16_t *bitc_sliced_count(const struct bitc_sliced_run *r, const int32_t *node, const int16_t *terms) {
    bitc_lanes sum[BITC_SLICED_MOST_PLANES];
    const int32_t planes = r->g->counter_planes;
    const ptrdiff_t slot_words = (ptrdiff_t)planes * BITC_LANE_WORDS;
    bitc_lane_word *u = r->counters + node[0] * slot_words;
    terms = bitc_sliced_sum(r, node, terms, sum);
    if (node[1] < 0) {
        bitc_lanes_store(bitc_sliced_column(r, bitc_sliced_terms(r->g) + 1), sum[0]);
        for (int32_t k = 0; k < planes; k++) {
            bitc_lanes_store(u + k * BITC_LANE_WORDS, sum[k + 1]);
        }
        return terms;
    }
    const bitc_lane_word *from = r->counters + node[1] * slot_words;
    const bitc_lanes turned = bitc_lanes_fill(node[2]);
    bitc_lanes carry = bitc_lanes_fill(0);
    for (int32_t k = 0; k < planes; k++, u += BITC_LANE_WORDS, from += BITC_LANE_WORDS) {
        bitc_lanes v = bitc_lanes_xor(bitc_lanes_load(from), turned);
        carry = bitc_lanes_add(&v, sum[k], carry);
        bitc_lanes_store(u, v);
    }
    return terms;
}

BITC_INLINE bitc_lanes bitc_sliced_parity(const struct bitc_sliced_run *r, int32_t turned) {
    const bitc_lanes t = bitc_lanes_load(bitc_sliced_column(r, bitc_sliced_terms(r->g) + 1));
    return bitc_lanes_xor(t, bitc_lanes_fill(turned));
}

/* Groups of border classes for one class of rows. */
BITC_INLINE int32_t bitc_sliced_row_groups(const bitc_sliced *g) { return (g->col_classes + 3) / 4; }

/* The lanes in which bit k of a test is 1. */
BITC_INLINE bitc_lanes bitc_sliced_bit(const struct bitc_sliced_run *r, const uint8_t *codes, int32_t k) {
    const int32_t entry = r->g->counter_planes + 2;
    bitc_lanes m = bitc_lanes_fill(0);
    for (int32_t i = 0; i < r->groups; i++) {
        const ptrdiff_t which = (ptrdiff_t)r->here[i] * BITC_SLICED_UNIONS + codes[r->here[i] * entry + k];
        const bitc_lanes lanes = bitc_lanes_load(r->unions + which * BITC_LANE_WORDS);
        m = i ? bitc_lanes_or(m, lanes) : lanes;
    }
    return m;
}

/* Whether the count of a node is over its limit. */
BITC_INLINE bitc_lanes bitc_sliced_test(const struct bitc_sliced_run *r, const bitc_lane_word *u, int32_t flags,
                                        const uint8_t *codes) {
    const int32_t planes = r->g->counter_planes;
    bitc_lanes carry = bitc_lanes_and(bitc_sliced_parity(r, flags >> 1 & 1), bitc_sliced_bit(r, codes, planes));
    carry = bitc_lanes_or(carry, bitc_sliced_bit(r, codes, planes + 1));
    for (int32_t k = 0; k < planes - 1; k++) {
        carry = bitc_lanes_major(bitc_sliced_bit(r, codes, k), bitc_lanes_load(u + k * BITC_LANE_WORDS), carry);
    }
    const bitc_lanes top = bitc_lanes_xor(bitc_lanes_load(u + (planes - 1) * BITC_LANE_WORDS), bitc_lanes_fill(flags & 1));
    carry = bitc_lanes_major(bitc_sliced_bit(r, codes, planes - 1), top, carry);
    return bitc_lanes_xor(carry, bitc_lanes_fill(flags >> 2 & 1));
}

/* The lanes of each union of border classes of a group. */
BITC_INLINE void bitc_sliced_unions(const struct bitc_sliced_run *r, const uint64_t *masks, int32_t block, int32_t group) {
    const bitc_sliced *g = r->g;
    const int32_t in_row = bitc_sliced_row_groups(g), row = group / in_row, first = group % in_row * 4;
    bitc_lane_word *to = r->unions + (ptrdiff_t)group * BITC_SLICED_UNIONS * BITC_LANE_WORDS;
    bitc_lanes_store(to, bitc_lanes_fill(0));
    for (int32_t i = 0; i < 4 && first + i < g->col_classes; i++) {
        const ptrdiff_t words = (bitc_sliced_blocks(g) * BITC_LANES + 63) / 64;
        const uint64_t *mask = masks + (row * g->col_classes + first + i) * words;
        bitc_lane_word lanes[sizeof(bitc_lanes) / sizeof(bitc_lane_word)];
        for (int32_t j = 0; j < BITC_LANES / 32; j++) {
            const int32_t at = block * (BITC_LANES / 32) + j;
            bitc_lanes_put(lanes, j, (uint32_t)(mask[at / 2] >> (at & 1) * 32));
        }
        for (int32_t with = 1 << i; with < 2 << i; with++) {
            const bitc_lanes others = bitc_lanes_load(to + (ptrdiff_t)(with - (1 << i)) * BITC_LANE_WORDS);
            bitc_lanes_store(to + (ptrdiff_t)with * BITC_LANE_WORDS, bitc_lanes_or(others, bitc_lanes_load(lanes)));
        }
    }
}

/* Which border classes have lanes in a block, and their unions. */
BITC_INLINE void bitc_sliced_classes(struct bitc_sliced_run *r, const uint64_t *masks, int32_t block) {
    const bitc_sliced *g = r->g;
    const int32_t in_row = bitc_sliced_row_groups(g);
    const int32_t first = block * BITC_LANES / g->pitch, last = (block * BITC_LANES + BITC_LANES - 1) / g->pitch;
    uint8_t seen[BITC_SLICED_MOST_GROUPS] = {0};
    r->groups = 0;
    for (int32_t y = first; y <= last && y < g->out_h; y++) {
        const int32_t row = g->row_class ? g->row_class[y] : 0;
        for (int32_t i = row * in_row; !seen[row] && i < (row + 1) * in_row; i++) {
            r->here[r->groups++] = i;
            bitc_sliced_unions(r, masks, block, i);
        }
        seen[row] = 1;
    }
}

BITC_INLINE struct bitc_sliced_run bitc_sliced_begin(const bitc_sliced *g, const uint64_t *x, uint64_t *scratch) {
    struct bitc_sliced_run r = {g, NULL, NULL, NULL, NULL, NULL, 0, {0}};
    r.planes = (bitc_lane_word *)(void *)scratch;
    r.columns = r.planes + (ptrdiff_t)g->phases * g->in_planes * g->in_channels * g->plane_words *
                               (64 / BITC_LANES_PER_WORD);
    r.counters = r.columns + (ptrdiff_t)(bitc_sliced_terms(g) + 2) * BITC_LANE_WORDS;
    r.made = r.counters + (ptrdiff_t)g->slots * g->counter_planes * BITC_LANE_WORDS;
    bitc_sliced_planes(&r, x);
    bitc_lanes_store(bitc_sliced_column(&r, bitc_sliced_terms(g)), bitc_lanes_fill(0));
    return r;
}

/* The results of a block, planes [planes][words*64], as packed pixels. */
BITC_INLINE void bitc_sliced_turn_out(const struct bitc_sliced_run *r, int32_t block, int32_t words, uint64_t *y,
                                        int32_t out_row_words, int32_t out_pixel_words) {
    const bitc_sliced *g = r->g;
    int32_t row = block * BITC_LANES / g->pitch, column = block * BITC_LANES % g->pitch;
    for (int32_t group = 0; group < BITC_LANES / 32; group++) {
        for (int32_t w = 0; w < words; w++) {
            uint32_t half[2][32];
            for (int32_t h = 0; h < 2; h++) {
                uint32_t rows[32];
                const bitc_lane_word *from = r->made + (ptrdiff_t)(w * 64 + h * 32) * BITC_LANE_WORDS;
                for (int32_t i = 0; i < 32; i++) rows[i] = bitc_lanes_get(from + i * BITC_LANE_WORDS, group);
                bitc_turn(rows, half[h]);
            }
            int32_t at = row, across = column;
            for (int32_t l = 0; l < 32 && at < g->out_h; across = 0, at++) {
                const int32_t left = g->pitch - across < 32 - l ? g->pitch - across : 32 - l;
                const int32_t count = g->out_w - across < left ? g->out_w - across : left;
                const ptrdiff_t to = (ptrdiff_t)at * out_row_words + (ptrdiff_t)across * out_pixel_words + w;
                for (int32_t k = 0; k < count; k++) {
                    y[to + (ptrdiff_t)k * out_pixel_words] = half[0][l + k] | (uint64_t)half[1][l + k] << 32;
                }
                l += left;
            }
        }
        column += 32;
        while (column >= g->pitch) column -= g->pitch, row++;
    }
}

BITC_INLINE void bitc_sliced_bits(const bitc_sliced *g, const uint64_t *x, const int32_t *nodes, const int16_t *terms,
                                  const int32_t *tests, const uint8_t *codes, const uint64_t *masks, int32_t planes,
                                  uint64_t *y, int32_t out_row_words, int32_t out_pixel_words, uint64_t *scratch) {
    struct bitc_sliced_run r = bitc_sliced_begin(g, x, scratch);
    const int32_t blocks = bitc_sliced_blocks(g), words = bitc_words(g->out_c);
    const int32_t entry = g->row_classes * bitc_sliced_row_groups(g) * (g->counter_planes + 2);
    r.unions = r.made + (ptrdiff_t)planes * words * 64 * BITC_LANE_WORDS;
    memset(r.made, 0, (size_t)(planes * words * 64) * sizeof(bitc_lanes));
    for (int32_t block = 0; block < blocks; block++) {
        bitc_sliced_columns(&r, block);
        bitc_sliced_classes(&r, masks, block);
        const int16_t *next = terms;
        const int32_t *test = tests;
        const uint8_t *code = codes;
        for (int32_t i = 0; i < g->out_c; i++) {
            const int32_t *node = nodes + (ptrdiff_t)i * BITC_SLICED_NODE;
            next = bitc_sliced_count(&r, node, next);
            const bitc_lane_word *u = r.counters + (ptrdiff_t)node[0] * g->counter_planes * BITC_LANE_WORDS;
            for (int32_t p = 0; p < planes; p++, test++, code += entry) {
                bitc_lane_word *to = r.made + (ptrdiff_t)(p * words * 64 + node[7]) * BITC_LANE_WORDS;
                bitc_lanes_store(to, bitc_sliced_test(&r, u, *test, code));
            }
        }
        bitc_sliced_turn_out(&r, block, planes * words, y, out_row_words, out_pixel_words);
    }
}

/* The counts of one channel in a block as accumulators. */
BITC_INLINE void bitc_sliced_numbers(const struct bitc_sliced_run *r, int32_t block, const bitc_lane_word *u, int32_t c,
                                       const int32_t *end, const int32_t *base, int32_t step, int32_t *acc) {
    const bitc_sliced *g = r->g;
    const uint32_t mask = ((uint32_t)1 << g->counter_planes) - 1, flip = (uint32_t)end[1];
    const bitc_lane_word *t = bitc_sliced_column(r, bitc_sliced_terms(g) + 1);
    int32_t row = block * BITC_LANES / g->pitch, column = block * BITC_LANES % g->pitch;
    for (int32_t group = 0; group < BITC_LANES / 32; group++) {
        uint32_t rows[32] = {0}, counts[32];
        rows[0] = bitc_lanes_get(t, group);
        for (int32_t k = 0; k < g->counter_planes; k++) rows[k + 1] = bitc_lanes_get(u + k * BITC_LANE_WORDS, group);
        bitc_turn(rows, counts);
        for (int32_t l = 0; l < 32; l++) {
            counts[l] = 2 * (((counts[l] >> 1) + (uint32_t)end[0]) & mask) + ((counts[l] & 1) ^ flip);
        }
        for (int32_t l = 0; l < 32 && row < g->out_h; l++) {
            if (column < g->out_w) {
                int32_t cls = 0;
                if (g->row_class) cls = g->row_class[row] * g->col_classes + g->col_class[column];
                acc[((ptrdiff_t)row * g->out_w + column) * g->out_c + c] =
                    base[(ptrdiff_t)cls * g->out_c + c] - step * (int32_t)counts[l];
            }
            if (++column == g->pitch) column = 0, row++;
        }
    }
}

BITC_INLINE void bitc_sliced_acc(const bitc_sliced *g, const uint64_t *x, const int32_t *nodes, const int16_t *terms,
                                 const int32_t *ends, const int32_t *base, int32_t step, int32_t *acc,
                                 uint64_t *scratch) {
    const struct bitc_sliced_run r = bitc_sliced_begin(g, x, scratch);
    const int32_t blocks = bitc_sliced_blocks(g);
    for (int32_t block = 0; block < blocks; block++) {
        bitc_sliced_columns(&r, block);
        const int16_t *next = terms;
        for (int32_t i = 0; i < g->out_c; i++) {
            const int32_t *node = nodes + (ptrdiff_t)i * BITC_SLICED_NODE;
            next = bitc_sliced_count(&r, node, next);
            const bitc_lane_word *u = r.counters + (ptrdiff_t)node[0] * g->counter_planes * BITC_LANE_WORDS;
            bitc_sliced_numbers(&r, block, u, node[7], ends + (ptrdiff_t)i * 2, base, step, acc);
        }
    }
}

#endif
