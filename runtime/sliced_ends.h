/* How the counts of sliced.h end: tested and packed, or as numbers; the kernels. */
#ifndef BITC_SLICED_ENDS_H
#define BITC_SLICED_ENDS_H

#include "sliced_sums.h"

BITC_INLINE bitc_lanes bitc_sliced_parity(const struct bitc_sliced_run *r, int32_t turned) {
    const bitc_lanes t = bitc_lanes_load(bitc_sliced_column(r, r->g->special + 1));
    return bitc_lanes_xor(t, bitc_lanes_fill(turned));
}

/* Groups of border classes for one class of rows. */
BITC_INLINE int32_t bitc_sliced_row_groups(const bitc_sliced *g) { return (g->col_classes + 3) / 4; }

/* The lanes in which bit k of a test is 1; `alone`: one group of border classes has all lanes of the block. */
BITC_INLINE bitc_lanes bitc_sliced_bit(const struct bitc_sliced_run *r, const uint8_t *codes, int32_t k, int32_t alone) {
    const int32_t entry = r->g->counter_planes + 2;
    const bitc_lane_word *unions = r->unions + (ptrdiff_t)r->here[0] * BITC_SLICED_UNIONS * BITC_LANE_WORDS;
    bitc_lanes m = bitc_lanes_load(unions + (ptrdiff_t)codes[r->here[0] * entry + k] * BITC_LANE_WORDS);
    for (int32_t i = 1; !alone && i < r->groups; i++) {
        unions = r->unions + (ptrdiff_t)r->here[i] * BITC_SLICED_UNIONS * BITC_LANE_WORDS;
        m = bitc_lanes_or(m, bitc_lanes_load(unions + (ptrdiff_t)codes[r->here[i] * entry + k] * BITC_LANE_WORDS));
    }
    return m;
}

/* Whether the count of a node is over its limit. */
BITC_INLINE bitc_lanes bitc_sliced_over(const struct bitc_sliced_run *r, const bitc_lane_word *u, int32_t flags,
                                        const uint8_t *codes, int32_t alone) {
    const int32_t planes = r->g->counter_planes;
    bitc_lanes carry = bitc_lanes_and(bitc_sliced_parity(r, flags >> 1 & 1), bitc_sliced_bit(r, codes, planes, alone));
    carry = bitc_lanes_or(carry, bitc_sliced_bit(r, codes, planes + 1, alone));
    BITC_UNROLLED
    for (int32_t k = 0; k < planes - 1; k++) {
        carry = bitc_lanes_major(bitc_sliced_bit(r, codes, k, alone), bitc_lanes_load(u + k * BITC_LANE_WORDS), carry);
    }
    const bitc_lanes top = bitc_lanes_xor(bitc_lanes_load(u + (planes - 1) * BITC_LANE_WORDS), bitc_lanes_fill(flags & 1));
    carry = bitc_lanes_major(bitc_sliced_bit(r, codes, planes - 1, alone), top, carry);
    return bitc_lanes_xor(carry, bitc_lanes_fill(flags >> 2 & 1));
}

BITC_INLINE bitc_lanes bitc_sliced_test(const struct bitc_sliced_run *r, const bitc_lane_word *u, int32_t flags,
                                        const uint8_t *codes) {
    return r->groups == 1 ? bitc_sliced_over(r, u, flags, codes, 1) : bitc_sliced_over(r, u, flags, codes, 0);
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

/* The results of a block, planes [planes][words*64], as packed pixels. */
BITC_INLINE void bitc_sliced_turn_out(const struct bitc_sliced_run *r, int32_t block, int32_t words, uint64_t *y,
                                        int32_t out_row_words, int32_t out_pixel_words) {
    const bitc_sliced *g = r->g;
    int32_t row = block * BITC_LANES / g->pitch, column = block * BITC_LANES % g->pitch;
    for (int32_t group = 0; group < BITC_LANES / 32; group++) {
        for (int32_t w = 0; w < words; w++) {
            uint64_t rows[32], pixels[32];
            const bitc_lane_word *from = r->made + (ptrdiff_t)w * 64 * BITC_LANE_WORDS;
            for (int32_t i = 0; i < 32; i++, from += BITC_LANE_WORDS) {
                const uint64_t high = bitc_lanes_get(from + 32 * BITC_LANE_WORDS, group);
                rows[i] = bitc_lanes_get(from, group) | high << 32;
            }
            bitc_turn(rows, pixels);
            int32_t at = row, across = column;
            for (int32_t l = 0; l < 32 && at < g->out_h; across = 0, at++) {
                const int32_t left = g->pitch - across < 32 - l ? g->pitch - across : 32 - l;
                const int32_t count = g->out_w - across < left ? g->out_w - across : left;
                const ptrdiff_t to = (ptrdiff_t)at * out_row_words + (ptrdiff_t)across * out_pixel_words + w;
                for (int32_t k = 0; k < count; k++) {
                    y[to + (ptrdiff_t)k * out_pixel_words] = pixels[l + k];
                }
                l += left;
            }
        }
        column += 32;
        while (column >= g->pitch) column -= g->pitch, row++;
    }
}

/* Where the results of a kernel are made, [planes][channels in words], and room for the unions of border classes. */
BITC_INLINE void bitc_sliced_make_room(struct bitc_sliced_run *r, int32_t planes) {
    const int32_t words = bitc_words(r->g->out_c);
    r->unions = r->made + (ptrdiff_t)planes * words * 64 * BITC_LANE_WORDS;
    memset(r->made, 0, (size_t)(planes * words * 64) * sizeof(bitc_lanes));
}

/* The results of a block. */
BITC_INLINE void bitc_sliced_make(struct bitc_sliced_run *r, int32_t block, const int32_t *nodes, const int16_t *terms,
                                  const int32_t *tests, const uint8_t *codes, const uint64_t *masks, int32_t planes) {
    const bitc_sliced *g = r->g;
    const int32_t words = bitc_words(g->out_c);
    const int32_t entry = g->row_classes * bitc_sliced_row_groups(g) * (g->counter_planes + 2);
    bitc_sliced_enter(r, block);
    bitc_sliced_classes(r, masks, block);
    for (int32_t i = 0; i < g->out_c; i++) {
        const int32_t *node = nodes + (ptrdiff_t)i * BITC_SLICED_NODE;
        terms = bitc_sliced_count(r, node, terms);
        const bitc_lane_word *u = r->counters + (ptrdiff_t)node[0] * g->counter_planes * BITC_LANE_WORDS;
        for (int32_t p = 0; p < planes; p++, tests++, codes += entry) {
            bitc_lane_word *to = r->made + (ptrdiff_t)(p * words * 64 + node[7]) * BITC_LANE_WORDS;
            bitc_lanes_store(to, bitc_sliced_test(r, u, *tests, codes));
        }
    }
}

BITC_INLINE void bitc_sliced_bits(const bitc_sliced *g, const uint64_t *x, const int32_t *nodes, const int16_t *terms,
                                  const int32_t *tests, const uint8_t *codes, const uint64_t *masks, int32_t planes,
                                  uint64_t *y, int32_t out_row_words, int32_t out_pixel_words, int32_t first, int32_t last,
                                  uint64_t *scratch) {
    struct bitc_sliced_run r = bitc_sliced_begin(g, x, first, last, scratch);
    const int32_t words = bitc_words(g->out_c), end = bitc_sliced_last(g, last);
    bitc_sliced_make_room(&r, planes);
    for (int32_t block = first / BITC_LANES; block < end; block++) {
        bitc_sliced_make(&r, block, nodes, terms, tests, codes, masks, planes);
        bitc_sliced_turn_out(&r, block, planes * words, y, out_row_words, out_pixel_words);
    }
}

/* The lanes of a block that are pixels. */
BITC_INLINE bitc_lanes bitc_sliced_inside(const struct bitc_sliced_run *r) {
    const int32_t in_row = bitc_sliced_row_groups(r->g);
    bitc_lanes all = bitc_lanes_fill(0);
    for (int32_t i = 0; i < r->groups; i++) {
        const int32_t left = r->g->col_classes - r->here[i] % in_row * 4, classes = left < 4 ? left : 4;
        const int32_t whole = r->here[i] * BITC_SLICED_UNIONS + (1 << classes) - 1;
        all = bitc_lanes_or(all, bitc_lanes_load(r->unions + (ptrdiff_t)whole * BITC_LANE_WORDS));
    }
    return all;
}

/* Bit `channel` of plane `p` of a packed pixel, in all lanes. */
BITC_INLINE bitc_lanes bitc_sliced_pixel_bit(const bitc_sliced *g, const uint64_t *pixel, int32_t p, int32_t channel) {
    return bitc_lanes_fill((int32_t)(pixel[p * bitc_words(g->out_c) + channel / 64] >> channel % 64 & 1));
}

/* The results of a block as lanes of planes, `plane_words` apart; beside the image the bits of `pixel`. */
BITC_INLINE void bitc_sliced_lay_out(const struct bitc_sliced_run *r, const uint64_t *pixel, int32_t planes,
                                     bitc_lane_word *to, int32_t plane_words) {
    const bitc_sliced *g = r->g;
    const bitc_lanes inside = bitc_sliced_inside(r);
    for (int32_t p = 0; p < planes; p++) {
        const bitc_lane_word *from = r->made + (ptrdiff_t)p * bitc_words(g->out_c) * 64 * BITC_LANE_WORDS;
        for (int32_t c = 0; c < g->out_c; c++, from += BITC_LANE_WORDS) {
            const bitc_lanes around = bitc_sliced_pixel_bit(g, pixel, p, c), made = bitc_lanes_load(from);
            bitc_lanes_store(to, bitc_lanes_xor(bitc_lanes_and(bitc_lanes_xor(made, around), inside), around));
            to += (ptrdiff_t)plane_words * (64 / BITC_LANES_PER_WORD);
        }
    }
}

/* Words of lanes `begin` to `end` of each plane: no pixels. */
BITC_INLINE void bitc_sliced_blank(const bitc_sliced *g, const uint64_t *pixel, int32_t planes, bitc_lane_word *y,
                                   int32_t plane_words, int32_t begin, int32_t end) {
    for (int32_t p = 0; p < planes; p++) {
        for (int32_t c = 0; c < g->out_c; c++, y += (ptrdiff_t)plane_words * (64 / BITC_LANES_PER_WORD)) {
            const int bit = (int)(pixel[p * bitc_words(g->out_c) + c / 64] >> c % 64 & 1);
            memset(y + begin, bit ? 0xFF : 0, (size_t)(end - begin) * sizeof *y);
        }
    }
}

/* The results as planes of `plane_words` words, the first pixel behind `lead_words` of them; beside the image, and in the
 * words before the first and behind the last lane, the bits of `pixel`. */
BITC_INLINE void bitc_sliced_lanes(const bitc_sliced *g, const uint64_t *x, const int32_t *nodes, const int16_t *terms,
                                   const int32_t *tests, const uint8_t *codes, const uint64_t *masks,
                                   const uint64_t *pixel, int32_t planes, uint64_t *y, int32_t plane_words,
                                   int32_t lead_words, int32_t first, int32_t last, uint64_t *scratch) {
    struct bitc_sliced_run r = bitc_sliced_begin(g, x, first, last, scratch);
    const int32_t per_word = 64 / BITC_LANES_PER_WORD, end = bitc_sliced_last(g, last);
    bitc_lane_word *lanes = (bitc_lane_word *)(void *)y;
    bitc_sliced_make_room(&r, planes);
    for (int32_t block = first / BITC_LANES; block < end; block++) {
        const ptrdiff_t at = lead_words * per_word + (ptrdiff_t)block * BITC_LANE_WORDS;
        bitc_sliced_make(&r, block, nodes, terms, tests, codes, masks, planes);
        bitc_sliced_lay_out(&r, pixel, planes, lanes + at, plane_words);
    }
    if (first == 0) bitc_sliced_blank(g, pixel, planes, lanes, plane_words, 0, lead_words * per_word);
    if (end == bitc_sliced_blocks(g)) {
        const int32_t behind = lead_words * per_word + end * BITC_LANE_WORDS;
        bitc_sliced_blank(g, pixel, planes, lanes, plane_words, behind, plane_words * per_word);
    }
}

/* Matrices of 16 by 16 bits side by side in 16 rows, transposed (Warren, Hacker's Delight 7-3). */
BITC_INLINE void bitc_sliced_turn16(bitc_lanes *rows) {
    uint64_t mask = UINT64_C(0x00FF00FF00FF00FF);
    BITC_UNROLLED
    for (int32_t j = 8; j; j >>= 1, mask ^= mask << j) {
        BITC_UNROLLED
        for (int32_t k = 0; k < 16; k = (k + j + 1) & ~j) bitc_lanes_trade(rows + k, rows + k + j, j, mask);
    }
}

/* 2*u + t of a node in a block, 16 bits for each pixel: row l has those of the pixels l, l + 16, ... */
BITC_INLINE void bitc_sliced_numbers(const struct bitc_sliced_run *r, const bitc_lane_word *u, int32_t channel) {
    const int32_t planes = r->g->counter_planes;
    bitc_lane_word *to = r->made + (ptrdiff_t)channel * BITC_SLICED_ROWS * BITC_LANE_WORDS;
    bitc_lanes rows[16];
    rows[0] = bitc_lanes_load(bitc_sliced_column(r, r->g->special + 1));
    for (int32_t k = 1; k < 16; k++) {
        rows[k] = k <= planes ? bitc_lanes_load(u + (k - 1) * BITC_LANE_WORDS) : bitc_lanes_fill(0);
    }
    bitc_sliced_turn16(rows);
    for (int32_t l = 0; l < 16; l++) bitc_lanes_store(to + l * BITC_LANE_WORDS, rows[l]);
}

/* The pixels of a word in row l, 16 bits each of as many channels, the first of them `c`: channel by channel into pixel by
 * pixel. */
BITC_INLINE void bitc_sliced_turn_numbers(const struct bitc_sliced_run *r, int32_t l, int32_t c) {
    bitc_lanes v[BITC_LANES_PER_WORD / 16];
    bitc_lane_word words[sizeof(bitc_lanes) / sizeof(bitc_lane_word)];
    for (int32_t k = 0; k < BITC_LANES_PER_WORD / 16; k++) {
        const int32_t channel = c + k < r->g->out_c ? c + k : c;
        v[k] = bitc_lanes_load(r->made + ((ptrdiff_t)channel * BITC_SLICED_ROWS + l) * BITC_LANE_WORDS);
    }
    uint64_t mask = BITC_LANES_PER_WORD == 64 ? UINT64_C(0x00000000FFFFFFFF) : UINT64_C(0x0000FFFF0000FFFF);
    BITC_UNROLLED
    for (int32_t n = BITC_LANES_PER_WORD / 32; n; n >>= 1, mask ^= mask << n * 16) {
        BITC_UNROLLED
        for (int32_t k = 0; k < BITC_LANES_PER_WORD / 16; k = (k + n + 1) & ~n) {
            bitc_lanes_trade(v + k, v + k + n, n * 16, mask);
        }
    }
    for (int32_t k = 0; k < BITC_LANES_PER_WORD / 16; k++) {
        uint16_t *to = r->numbers + (ptrdiff_t)k * r->pixel_numbers + c;
        bitc_lanes_store(words, v[k]);
        for (int32_t w = 0; w < BITC_LANE_WORDS; w++, to += (ptrdiff_t)r->pixel_numbers * (BITC_LANES_PER_WORD / 16)) {
            for (int32_t j = 0; j < BITC_LANES_PER_WORD / 16; j++) to[j] = (uint16_t)(words[w] >> j * 16);
        }
    }
}

/* The accumulators of a pixel. */
BITC_INLINE void bitc_sliced_pixel(const bitc_sliced *g, const uint16_t *BITC_RESTRICT numbers,
                                   const int32_t *BITC_RESTRICT ends, const int32_t *BITC_RESTRICT base, int32_t step,
                                   int32_t *BITC_RESTRICT acc) {
    const int32_t *BITC_RESTRICT turned = ends + g->out_c, mask = ((int32_t)2 << g->counter_planes) - 1;
    for (int32_t c = 0; c < g->out_c; c++) acc[c] = base[c] - step * (((numbers[c] + ends[c]) & mask) ^ turned[c]);
}

/* Those of a block, row after row of numbers. */
BITC_INLINE void bitc_sliced_pixels_out(const struct bitc_sliced_run *r, int32_t block, const int32_t *ends,
                                        const int32_t *base, int32_t step, int32_t *acc) {
    const bitc_sliced *g = r->g;
    for (int32_t l = 0; l < 16; l++) {
        const uint16_t *numbers = r->numbers;
        int32_t row = (block * BITC_LANES + l) / g->pitch, column = (block * BITC_LANES + l) % g->pitch;
        for (int32_t c = 0; c < g->out_c; c += BITC_LANES_PER_WORD / 16) bitc_sliced_turn_numbers(r, l, c);
        for (int32_t p = 0; p < BITC_LANES / 16; p++, column += 16, numbers += r->pixel_numbers) {
            while (column >= g->pitch) column -= g->pitch, row++;
            if (row >= g->out_h || column >= g->out_w) continue;
            const int32_t cls = g->row_class ? g->row_class[row] * g->col_classes + g->col_class[column] : 0;
            bitc_sliced_pixel(g, numbers, ends, base + (ptrdiff_t)cls * g->out_c, step,
                              acc + ((ptrdiff_t)row * g->out_w + column) * g->out_c);
        }
    }
}

BITC_INLINE void bitc_sliced_acc(const bitc_sliced *g, const uint64_t *x, const int32_t *nodes, const int16_t *terms,
                                 const int32_t *ends, const int32_t *base, int32_t step, int32_t *acc, int32_t first,
                                 int32_t last, uint64_t *scratch) {
    struct bitc_sliced_run r = bitc_sliced_begin(g, x, first, last, scratch);
    const int32_t end = bitc_sliced_last(g, last);
    r.numbers = (uint16_t *)(void *)(r.made + (ptrdiff_t)g->out_c * BITC_SLICED_ROWS * BITC_LANE_WORDS);
    r.pixel_numbers = (g->out_c + 3) / 4 * 4;
    for (int32_t block = first / BITC_LANES; block < end; block++) {
        bitc_sliced_enter(&r, block);
        const int16_t *next = terms;
        for (int32_t i = 0; i < g->out_c; i++) {
            const int32_t *node = nodes + (ptrdiff_t)i * BITC_SLICED_NODE;
            next = bitc_sliced_count(&r, node, next);
            bitc_sliced_numbers(&r, r.counters + (ptrdiff_t)node[0] * g->counter_planes * BITC_LANE_WORDS, node[7]);
        }
        bitc_sliced_pixels_out(&r, block, ends, base, step, acc);
    }
}

#endif
