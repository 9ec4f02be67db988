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

/* Sixteen terms on planes of weight 1, 2, 4, 8: the carry of weight 16; half of them: that of weight 8. */
BITC_INLINE bitc_lanes bitc_sliced_two(const struct bitc_sliced_run *r, const int16_t **terms, bitc_lanes *s) {
    const int16_t *t = *terms;
    const bitc_lanes carry =
        bitc_lanes_add(s, bitc_lanes_load(bitc_sliced_column(r, t[0])), bitc_lanes_load(bitc_sliced_column(r, t[1])));
    t += 2;
    BITC_SLICED_AFTER(t, carry);
    *terms = t;
    return carry;
}

BITC_INLINE bitc_lanes bitc_sliced_eight(const struct bitc_sliced_run *r, const int16_t **terms, bitc_lanes *s) {
    const bitc_lanes a = bitc_sliced_two(r, terms, s), b = bitc_sliced_two(r, terms, s);
    const bitc_lanes ab = bitc_lanes_add(s + 1, a, b);
    const bitc_lanes c = bitc_sliced_two(r, terms, s), d = bitc_sliced_two(r, terms, s);
    return bitc_lanes_add(s + 2, ab, bitc_lanes_add(s + 1, c, d));
}

BITC_INLINE bitc_lanes bitc_sliced_sixteen(const struct bitc_sliced_run *r, const int16_t **terms, bitc_lanes *s) {
    const bitc_lanes a = bitc_sliced_eight(r, terms, s), b = bitc_sliced_eight(r, terms, s);
    return bitc_lanes_add(s + 3, a, b);
}

/* As many as two of these, with one plane more: `high`. */
BITC_INLINE bitc_lanes bitc_sliced_double(const struct bitc_sliced_run *r, const int16_t **terms, bitc_lanes *s,
                                          bitc_lanes *high) {
    const bitc_lanes a = bitc_sliced_sixteen(r, terms, s), b = bitc_sliced_sixteen(r, terms, s);
    return bitc_lanes_add(high, a, b);
}

/* Two more of weight 32. */
BITC_INLINE void bitc_sliced_carry(bitc_lanes *sum, bitc_lanes a, bitc_lanes b, int32_t planes) {
    bitc_lanes carry = bitc_lanes_add(sum + 5, a, b);
    BITC_UNROLLED
    for (int32_t k = 6; k < planes; k++) {
        const bitc_lanes next = bitc_lanes_and(sum[k], carry);
        sum[k] = bitc_lanes_xor(sum[k], carry);
        carry = next;
    }
}

/* Blocks of 16 terms, then one of 8 or none: onto s, of weight 1 to 8, and what `sum` has above. The terms behind them. */
BITC_INLINE const int16_t *bitc_sliced_terms_on(const struct bitc_sliced_run *r, const int16_t *terms, int32_t sixteens,
                                                int32_t eights, bitc_lanes *s, bitc_lanes *sum, int32_t planes) {
    bitc_lanes a = bitc_lanes_fill(0), b = a, c = a;
    for (; sixteens >= 4; sixteens -= 4) {
        const bitc_lanes first = bitc_sliced_double(r, &terms, s, sum + 4);
        bitc_sliced_carry(sum, first, bitc_sliced_double(r, &terms, s, sum + 4), planes);
    }
    if (sixteens & 2) c = bitc_sliced_double(r, &terms, s, sum + 4);
    if (sixteens & 1) a = bitc_sliced_sixteen(r, &terms, s);
    if (eights) {
        const bitc_lanes eight = bitc_sliced_eight(r, &terms, s);
        b = bitc_lanes_and(s[3], eight);
        s[3] = bitc_lanes_xor(s[3], eight);
    }
    bitc_sliced_carry(sum, c, bitc_lanes_add(sum + 4, a, b), planes);
    return terms;
}

/* u of a node into its slot, from its parent's or from 0: n is taken off as ~(~u + n), in two's complement. The root of a
 * tree, which has one plane more, leaves t among the columns. What follows the node's terms is returned. */
BITC_INLINE const int16_t *bitc_sliced_count(const struct bitc_sliced_run *r, const int32_t *node, const int16_t *terms) {
    const int32_t planes = r->g->counter_planes, most = planes < 6 ? 6 : planes + 1;
    const ptrdiff_t slot_words = (ptrdiff_t)planes * BITC_LANE_WORDS;
    const bitc_lanes none = bitc_lanes_fill(0);
    bitc_lane_word *u = r->counters + node[0] * slot_words;
    bitc_lanes s[4], sum[BITC_SLICED_MOST_PLANES + 1], flip = bitc_lanes_fill(!node[2]);
    if (node[1] < 0) {
        for (int32_t k = 0; k < 4; k++) s[k] = none;
        BITC_UNROLLED
        for (int32_t k = 4; k < most; k++) sum[k] = none;
    } else {
        const bitc_lane_word *from = r->counters + node[1] * slot_words;
        for (int32_t k = 0; k < 4; k++) s[k] = k < planes ? bitc_lanes_load(from + k * BITC_LANE_WORDS) : none;
        BITC_UNROLLED
        for (int32_t k = 4; k < most; k++) sum[k] = k < planes ? bitc_lanes_load(from + k * BITC_LANE_WORDS) : none;
    }
    for (int32_t part = 3; part < 7; part += 2) {
        for (int32_t k = 0; k < 4; k++) s[k] = bitc_lanes_xor(s[k], flip);
        BITC_UNROLLED
        for (int32_t k = 4; k < most; k++) sum[k] = bitc_lanes_xor(sum[k], flip);
        terms = bitc_sliced_terms_on(r, terms, node[part], node[part + 1], s, sum, most);
        flip = bitc_lanes_fill(1);
    }
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
