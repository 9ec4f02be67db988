/* Binary convolution along trees of channels, four terms at a time: lanes are output pixels, a byte each; where a child has
 * the weights of its parent nothing is done.
 *
 * What is computed is that of bconv.h. pop[y][x][c] counts the bits x of a window that differ from the weights w[c]. Channel c
 * of a spanning tree of channels (bitc/ir/channel_tree.py) follows from its parent p by
 *
 *     pop[c] = +-pop[p] + constant + 2 * sum over D of (x ^ w[c])
 *
 * Terms are taken as they lie in the words of a pixel, four by four: a nibble. One without a D is skipped. For any other,
 * bit_i of x counts if it is 1, or if it is 0, or not at all: one of 80 rows of 16 counts, which a shuffle looks up in for 32
 * pixels at once.
 *
 *   x        as in bconv.h: the first tap of the output pixel (0, 0)
 *   nodes    int32 [out_c][6], parents first: slot, the parent's slot (-1: a root, whose D is everything), 1 for -pop[p],
 *            entries, constant, channel
 *   entries  uint32, as the nodes have them: 2048 * place + 16 * row. The place is that of the nibble's byte for the lane 0:
 *            (phase*nibbles + nibble) * plane_bytes + the tap's shift in lanes. Row: the sum of 3^i * (0 not in D, 1 a weight
 *            of bit 0, 2 of bit 1)
 *   class_of uint8 [lanes]: the border class of each lane, any for lanes beside the image
 *   codes    uint8 [out_c][planes][groups][2][16], by the order of nodes: low and high bytes of int16 limits, 16 border
 *            classes a group; flip, base as in bconv.h, base int32 [classes][out_c]
 *   first, last  what is computed: the lanes from first to last, both multiples of 32*vectors, last at will beyond the last
 *            pixel
 *   scratch  as large as bitc/ir/k_skip.py says, 64-aligned is faster
 *
 * The bytes of the input: `phases` images, each the pixels that the taps of one offset modulo the strides read: its first row
 * and column, rows and columns; a row every `pitch` lanes. A plane holds one nibble of all pixels: of lane 32*v + i the byte
 * v*vector_bytes + i, i < vector_bytes. Vectors of 64 bytes repeat half of them, but are read from one cache line.
 *
 * This header comes after nibbles_<isa>.h. */
#ifndef BITC_SKIP_H
#define BITC_SKIP_H

#include "bconv.h"

#define BITC_SKIP_NODE 6

typedef struct bitc_skip {
    int32_t out_h, out_w, out_c;
    int32_t in_row_words, in_pixel_words; /* strides of the input buffer */
    int32_t step_h, step_w;
    int32_t pitch, furthest;              /* lanes from row to row, and to the farthest tap */
    int32_t phases;
    const int32_t *phase;                 /* [phases][4] */
    int32_t vectors;                      /* of 32 lanes that are computed together, up to 8 */
    int32_t vector_bytes, plane_bytes;    /* from one to the next */
    int32_t slots;
    int32_t groups;                       /* of 16 border classes */
    int32_t col_classes;                  /* classes in a row of them */
    const uint8_t *row_class, *col_class; /* NULL where there is one class */
} bitc_skip;

/* The parts of the scratch memory. */
struct bitc_skip_run {
    const bitc_skip *g;
    uint8_t *nibbles;
    int16_t *pops;   /* [slots][vectors][32], as nibbles_<isa>.h orders them */
    uint32_t *made;  /* of bits: [vectors][planes*words*64], the lanes of a vector whose bit is 1 */
    int16_t *counts; /* of numbers: [out_c][vectors][32], in the order of lanes */
};

/* One past the last block that has lanes before `last`. */
BITC_INLINE int32_t bitc_skip_end(const bitc_skip *g, int32_t last) {
    const int32_t together = 32 * g->vectors;
    const int32_t all = ((g->out_h - 1) * g->pitch + g->out_w + together - 1) / together;
    return last < all * together ? last / together : all;
}

/* The nibbles of 32 pixels, to the bytes of their vector and, where those overlap, to the end of the vector before. */
BITC_INLINE void bitc_skip_spread(const bitc_skip *g, const uint64_t *const *pixel, int32_t vector, uint8_t *to) {
    const ptrdiff_t stride = g->plane_bytes;
    for (int32_t i = 0; i < g->in_pixel_words; i++, to += 16 * stride) {
        uint64_t words[32];
        for (int32_t l = 0; l < 32; l++) words[l] = pixel[l][i];
        if (vector * g->vector_bytes < g->plane_bytes) {
            bitc_nibbles_spread(words, to + (ptrdiff_t)vector * g->vector_bytes, stride);
        }
        if (vector && g->vector_bytes > 32) {
            bitc_nibbles_spread(words, to + (ptrdiff_t)(vector - 1) * g->vector_bytes + 32, stride);
        }
    }
}

/* The input as bytes, phase after phase, as far as the lanes from `first` to `last` read it; lanes beside an image repeat its
 * first pixel and are nobody's. */
BITC_INLINE void bitc_skip_fill(const struct bitc_skip_run *r, const uint64_t *x, int32_t first, int32_t last) {
    const bitc_skip *g = r->g;
    const ptrdiff_t down = (ptrdiff_t)g->step_h * g->in_row_words, right = (ptrdiff_t)g->step_w * g->in_pixel_words;
    for (int32_t f = 0; f < g->phases; f++) {
        const int32_t *phase = g->phase + (ptrdiff_t)f * 4;
        const uint64_t *from = x + (ptrdiff_t)phase[0] * g->in_row_words + (ptrdiff_t)phase[1] * g->in_pixel_words;
        uint8_t *to = r->nibbles + (ptrdiff_t)f * 16 * g->in_pixel_words * g->plane_bytes;
        int32_t vector = first / 32, row = first / g->pitch, column = first % g->pitch;
        for (; vector * 32 < last + g->furthest; vector++) {
            const uint64_t *pixel[32];
            for (int32_t l = 0; l < 32; l++) {
                pixel[l] = from + (row < phase[2] && column < phase[3] ? row * down + column * right : 0);
                if (++column == g->pitch) column = 0, row++;
            }
            bitc_skip_spread(g, pixel, vector, to);
        }
    }
}

BITC_INLINE struct bitc_skip_run bitc_skip_begin(const bitc_skip *g, const uint64_t *x, int32_t first, int32_t last,
                                                 uint64_t *scratch) {
    struct bitc_skip_run r = {g, (uint8_t *)(void *)scratch, NULL, NULL, NULL};
    r.pops = (int16_t *)(void *)(r.nibbles + (ptrdiff_t)g->phases * 16 * g->in_pixel_words * g->plane_bytes);
    r.counts = r.pops + (ptrdiff_t)g->slots * g->vectors * 32;
    r.made = (uint32_t *)(void *)r.counts;
    bitc_skip_fill(&r, x, first, bitc_skip_end(g, last) * 32 * g->vectors);
    return r;
}

/* The counts of a node in a block of lanes, into its slot: [vectors][32]. What follows the node's entries is returned. */
BITC_INLINE const uint32_t *bitc_skip_count(const struct bitc_skip_run *r, int32_t block, const int32_t *node,
                                            const uint32_t *entries) {
    const bitc_skip *g = r->g;
    const ptrdiff_t of_slot = (ptrdiff_t)g->vectors * 32;
    const uint8_t *from = r->nibbles + (ptrdiff_t)block * g->vectors * g->vector_bytes;
    const int16_t *up = node[1] < 0 ? NULL : r->pops + node[1] * of_slot;
    const bitc_nibbles_step step = {up, node[2], node[4]};
    bitc_nibbles_count(from, g->vector_bytes, g->vectors, entries, node[3], step, r->pops + node[0] * of_slot);
    return entries + node[3];
}

/* The results of a block as packed pixels. */
BITC_INLINE void bitc_skip_pack(const struct bitc_skip_run *r, int32_t block, int32_t words, const uint64_t *flip,
                                uint64_t *y, int32_t out_row_words, int32_t out_pixel_words) {
    const bitc_skip *g = r->g;
    const int32_t of_plane = bitc_words(g->out_c);
    for (int32_t v = 0; v < g->vectors; v++) {
        const int32_t lane = (block * g->vectors + v) * 32;
        for (int32_t w = 0; w < words; w++) {
            const uint32_t *from = r->made + (ptrdiff_t)(v * words + w) * 64;
            const uint64_t turned = flip[w % of_plane];
            uint64_t rows[32], pixels[32];
            for (int32_t i = 0; i < 32; i++) rows[i] = from[i] | (uint64_t)from[32 + i] << 32;
            bitc_turn(rows, pixels);
            int32_t row = lane / g->pitch, column = lane % g->pitch;
            for (int32_t l = 0; l < 32 && row < g->out_h; l++) {
                if (column < g->out_w) {
                    y[(ptrdiff_t)row * out_row_words + (ptrdiff_t)column * out_pixel_words + w] = pixels[l] ^ turned;
                }
                if (++column == g->pitch) column = 0, row++;
            }
        }
    }
}

BITC_INLINE void bitc_skip_bits(const bitc_skip *g, const uint64_t *x, const int32_t *nodes, const uint32_t *entries,
                                const uint8_t *class_of, const uint8_t *codes, const uint64_t *flip, int32_t planes,
                                uint64_t *y, int32_t out_row_words, int32_t out_pixel_words, int32_t first, int32_t last,
                                uint64_t *scratch) {
    const struct bitc_skip_run r = bitc_skip_begin(g, x, first, last, scratch);
    const int32_t words = planes * bitc_words(g->out_c), end = bitc_skip_end(g, last), of_vector = words * 64;
    memset(r.made, 0, (size_t)(g->vectors * of_vector) * sizeof *r.made);
    for (int32_t block = first / (32 * g->vectors); block < end; block++) {
        const uint8_t *classes = class_of + (ptrdiff_t)block * g->vectors * 32, *code = codes;
        const uint32_t *next = entries;
        for (int32_t i = 0; i < g->out_c; i++) {
            const int32_t *node = nodes + (ptrdiff_t)i * BITC_SKIP_NODE;
            next = bitc_skip_count(&r, block, node, next);
            const int16_t *pops = r.pops + (ptrdiff_t)node[0] * g->vectors * 32;
            for (int32_t p = 0; p < planes; p++, code += 32 * g->groups) {
                uint32_t *to = r.made + p * bitc_words(g->out_c) * 64 + node[5];
                for (int32_t v = 0; v < g->vectors; v++) {
                    to[(ptrdiff_t)v * of_vector] = bitc_nibbles_over(pops + v * 32, classes + v * 32, code, g->groups);
                }
            }
        }
        bitc_skip_pack(&r, block, words, flip, y, out_row_words, out_pixel_words);
    }
}

/* The counts of a block as accumulators, 16 channels at a time: they lie beside one another in the result only. */
BITC_INLINE void bitc_skip_numbers(const struct bitc_skip_run *r, int32_t block, const int32_t *base, int32_t step,
                                   int32_t *acc) {
    const bitc_skip *g = r->g;
    const int32_t lanes = g->vectors * 32;
    for (int32_t first = 0; first < g->out_c; first += 16) {
        const int32_t left = g->out_c - first, channels = left < 16 ? left : 16;
        int32_t row = block * lanes / g->pitch, column = block * lanes % g->pitch;
        for (int32_t l = 0; l < lanes && row < g->out_h; l++) {
            if (column < g->out_w) {
                const int32_t cls = g->row_class ? g->row_class[row] * g->col_classes + g->col_class[column] : 0;
                const int32_t *from = base + (ptrdiff_t)cls * g->out_c + first;
                const int16_t *count = r->counts + (ptrdiff_t)first * lanes + l;
                int32_t *to = acc + ((ptrdiff_t)row * g->out_w + column) * g->out_c + first;
                for (int32_t c = 0; c < channels; c++) to[c] = from[c] - step * count[(ptrdiff_t)c * lanes];
            }
            if (++column == g->pitch) column = 0, row++;
        }
    }
}

BITC_INLINE void bitc_skip_acc(const bitc_skip *g, const uint64_t *x, const int32_t *nodes, const uint32_t *entries,
                               const int32_t *base, int32_t step, int32_t *acc, int32_t first, int32_t last,
                               uint64_t *scratch) {
    const struct bitc_skip_run r = bitc_skip_begin(g, x, first, last, scratch);
    const int32_t end = bitc_skip_end(g, last);
    for (int32_t block = first / (32 * g->vectors); block < end; block++) {
        const uint32_t *next = entries;
        for (int32_t i = 0; i < g->out_c; i++) {
            const int32_t *node = nodes + (ptrdiff_t)i * BITC_SKIP_NODE;
            next = bitc_skip_count(&r, block, node, next);
            const ptrdiff_t lanes = (ptrdiff_t)g->vectors * 32;
            for (int32_t v = 0; v < g->vectors; v++) {
                bitc_nibbles_in_order(r.pops + node[0] * lanes + v * 32, r.counts + node[5] * lanes + v * 32);
            }
        }
        bitc_skip_numbers(&r, block, base, step, acc);
    }
}

#endif
