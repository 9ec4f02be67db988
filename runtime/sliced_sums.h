/* What the nodes of sliced.h add up, in one block of lanes: tables of majorities, sums of terms, counters. */
#ifndef BITC_SLICED_SUMS_H
#define BITC_SLICED_SUMS_H

#include "sliced.h"

/* Of three planes at `raw` their parity, into `parity`, and the four majorities with the first two complemented or not. */
BITC_INLINE void bitc_sliced_table(const bitc_lane_word *raw, bitc_lane_word *parity, bitc_lane_word *table) {
    const bitc_lanes a = bitc_lanes_load(raw), b = bitc_lanes_load(raw + BITC_LANE_WORDS);
    const bitc_lanes c = bitc_lanes_load(raw + 2 * BITC_LANE_WORDS), ones = bitc_lanes_fill(1);
    const bitc_lanes not_a = bitc_lanes_xor(a, ones), not_b = bitc_lanes_xor(b, ones);
    bitc_lanes_store(table, bitc_lanes_major(a, b, c));
    bitc_lanes_store(table + BITC_LANE_WORDS, bitc_lanes_major(not_a, b, c));
    bitc_lanes_store(table + 2 * BITC_LANE_WORDS, bitc_lanes_major(a, not_b, c));
    bitc_lanes_store(table + 3 * BITC_LANE_WORDS, bitc_lanes_major(not_a, not_b, c));
    bitc_lanes_store(parity, bitc_lanes_xor(bitc_lanes_xor(a, b), c));
}

/* The tables of a block's terms and of their parities, level after level, and t. What lacks in the last three is 0. */
BITC_INLINE void bitc_sliced_tables(const struct bitc_sliced_run *r) {
    bitc_lane_word *table = r->columns;
    for (int32_t count = bitc_sliced_terms(r->g); count > 1; count = (count + 2) / 3) {
        for (int32_t i = 0; i < 2; i++) {
            bitc_lanes_store(r->raw + (ptrdiff_t)(count + i) * BITC_LANE_WORDS, bitc_lanes_fill(0));
        }
        bitc_lane_word *parity = r->raw;
        for (int32_t i = 0; i < count; i += 3, table += 4 * BITC_LANE_WORDS, parity += BITC_LANE_WORDS) {
            bitc_sliced_table(r->raw + (ptrdiff_t)i * BITC_LANE_WORDS, parity, table);
        }
    }
    bitc_lanes_store(bitc_sliced_column(r, r->g->special + 1), bitc_lanes_load(r->raw));
}

/* What a block's nodes read. */
BITC_INLINE void bitc_sliced_enter(const struct bitc_sliced_run *r, int32_t block) {
    bitc_sliced_columns(r, block);
    if (r->g->triples) bitc_sliced_tables(r);
}

/* Where registers are few, terms are fetched two by two, each pair when the one before has been added: compilers otherwise
 * fetch all and spill them. */
#if UINTPTR_MAX <= UINT32_MAX
#define BITC_SLICED_AFTER(p, v) BITC_AFTER(p, v)
#else
#define BITC_SLICED_AFTER(p, v) ((void)(v))
#endif

/* A full adder, or where terms are taken off (`off`) a full subtractor: the carry or the borrow. */
BITC_INLINE bitc_lanes bitc_sliced_three(bitc_lanes *s, bitc_lanes a, bitc_lanes b, int32_t off) {
    return off ? bitc_lanes_subtract(s, a, b) : bitc_lanes_add(s, a, b);
}

/* One that counts no third. */
BITC_INLINE bitc_lanes bitc_sliced_pair(bitc_lanes *s, bitc_lanes a, int32_t off) {
    const bitc_lanes before = *s;
    *s = bitc_lanes_xor(before, a);
    return bitc_lanes_and(off ? *s : before, a);
}

/* Two terms on a plane of weight 1: the carry. Sixteen on planes of weight 1, 2, 4, 8: that of weight 16, and so on. */
BITC_INLINE bitc_lanes bitc_sliced_two(const struct bitc_sliced_run *r, const int16_t **terms, bitc_lanes *s, int32_t off) {
    const int16_t *t = *terms;
    const bitc_lanes a = bitc_lanes_load(bitc_sliced_column(r, t[0])), b = bitc_lanes_load(bitc_sliced_column(r, t[1]));
    const bitc_lanes carry = bitc_sliced_three(s, a, b, off);
    t += 2;
    BITC_SLICED_AFTER(t, carry);
    *terms = t;
    return carry;
}

BITC_INLINE bitc_lanes bitc_sliced_four(const struct bitc_sliced_run *r, const int16_t **terms, bitc_lanes *s, int32_t off) {
    const bitc_lanes a = bitc_sliced_two(r, terms, s, off), b = bitc_sliced_two(r, terms, s, off);
    return bitc_sliced_three(s + 1, a, b, off);
}

BITC_INLINE bitc_lanes bitc_sliced_eight(const struct bitc_sliced_run *r, const int16_t **terms, bitc_lanes *s,
                                         int32_t off) {
    const bitc_lanes a = bitc_sliced_four(r, terms, s, off), b = bitc_sliced_four(r, terms, s, off);
    return bitc_sliced_three(s + 2, a, b, off);
}

BITC_INLINE bitc_lanes bitc_sliced_sixteen(const struct bitc_sliced_run *r, const int16_t **terms, bitc_lanes *s,
                                           int32_t off) {
    const bitc_lanes a = bitc_sliced_eight(r, terms, s, off), b = bitc_sliced_eight(r, terms, s, off);
    return bitc_sliced_three(s + 3, a, b, off);
}

/* As many as two of these, with one plane more: `high`. */
BITC_INLINE bitc_lanes bitc_sliced_double(const struct bitc_sliced_run *r, const int16_t **terms, bitc_lanes *s,
                                          bitc_lanes *high, int32_t off) {
    const bitc_lanes a = bitc_sliced_sixteen(r, terms, s, off), b = bitc_sliced_sixteen(r, terms, s, off);
    return bitc_sliced_three(high, a, b, off);
}

/* Two more of weight 32. */
BITC_INLINE void bitc_sliced_carry(bitc_lanes *sum, bitc_lanes a, bitc_lanes b, int32_t planes, int32_t off) {
    bitc_lanes carry = bitc_sliced_three(sum + 5, a, b, off);
    BITC_UNROLLED
    for (int32_t k = 6; k < planes; k++) carry = bitc_sliced_pair(sum + k, carry, off);
}

/* Blocks of 16 terms, then up to three of 4: onto s, of weight 1 to 8, and what `sum` has above, or off them. The terms behind
 * them. */
BITC_INLINE const int16_t *bitc_sliced_terms_on(const struct bitc_sliced_run *r, const int16_t *terms, int32_t sixteens,
                                                int32_t fours, bitc_lanes *s, bitc_lanes *sum, int32_t planes,
                                                int32_t off) {
    bitc_lanes a = bitc_lanes_fill(0), b = a, c = a, d = a;
    for (; sixteens >= 4; sixteens -= 4) {
        const bitc_lanes first = bitc_sliced_double(r, &terms, s, sum + 4, off);
        bitc_sliced_carry(sum, first, bitc_sliced_double(r, &terms, s, sum + 4, off), planes, off);
    }
    if (sixteens & 2) c = bitc_sliced_double(r, &terms, s, sum + 4, off);
    if (sixteens & 1) a = bitc_sliced_sixteen(r, &terms, s, off);
    if (fours & 2) b = bitc_sliced_eight(r, &terms, s, off);
    if (fours & 1) d = bitc_sliced_pair(s + 2, bitc_sliced_four(r, &terms, s, off), off);
    b = bitc_sliced_three(s + 3, b, d, off);
    bitc_sliced_carry(sum, c, bitc_sliced_three(sum + 4, a, b, off), planes, off);
    return terms;
}

/* u of a node into its slot, from its parent's or from 0. The root of a tree, which has one plane more, leaves t among the
 * columns. What follows the node's terms is returned. */
BITC_INLINE const int16_t *bitc_sliced_count(const struct bitc_sliced_run *r, const int32_t *node, const int16_t *terms) {
    const int32_t planes = r->g->counter_planes, most = planes < 6 ? 6 : planes + 1;
    const ptrdiff_t slot_words = (ptrdiff_t)planes * BITC_LANE_WORDS;
    const bitc_lanes none = bitc_lanes_fill(0);
    bitc_lane_word *u = r->counters + node[0] * slot_words;
    bitc_lanes s[4], sum[BITC_SLICED_MOST_PLANES + 1];
    if (node[1] < 0) {
        for (int32_t k = 0; k < 4; k++) s[k] = none;
        BITC_UNROLLED
        for (int32_t k = 4; k < most; k++) sum[k] = none;
    } else {
        const bitc_lane_word *from = r->counters + node[1] * slot_words;
        const bitc_lanes flip = bitc_lanes_fill(node[2]);
        for (int32_t k = 0; k < 4; k++) {
            s[k] = k < planes ? bitc_lanes_xor(bitc_lanes_load(from + k * BITC_LANE_WORDS), flip) : none;
        }
        BITC_UNROLLED
        for (int32_t k = 4; k < most; k++) {
            sum[k] = k < planes ? bitc_lanes_xor(bitc_lanes_load(from + k * BITC_LANE_WORDS), flip) : none;
        }
    }
    terms = bitc_sliced_terms_on(r, terms, node[3], node[4], s, sum, most, 1);
    terms = bitc_sliced_terms_on(r, terms, node[5], node[6], s, sum, most, 0);
    for (int32_t k = 0; k < 4; k++) sum[k] = s[k];
    if (node[1] == -1) {
        bitc_lanes_store(bitc_sliced_column(r, r->g->special + 1), sum[0]);
        BITC_UNROLLED
        for (int32_t k = 0; k < planes; k++) bitc_lanes_store(u + k * BITC_LANE_WORDS, sum[k + 1]);
    } else {
        BITC_UNROLLED
        for (int32_t k = 0; k < planes; k++) bitc_lanes_store(u + k * BITC_LANE_WORDS, sum[k]);
    }
    return terms;
}

#endif
