/* Convolution of codes of at most four levels, two bits each, by table look-up; contract of bpairs_<isa>.h, in plain C.
 *
 * Four bits q of an input word, which are two channels, select a row of a table, in which four bits i of the weights,
 * of the same two channels, are looked up: a row holds what the two products are worth.
 *
 *   sum[y][x][c] = sum over taps, words and groups of four bits of row(q)[i]
 *   acc[y - y0][x][c] = base[class(y, x)][c] - step*sum
 *
 * Geometry, input and weights are as in bconv.h, with two bits a channel: 32 channels a word, channel k in the bits
 * 2k%64 and 2k%64 + 1 of word k/32. Weights lie in blocks of BITC_BCONV_BLOCK_<ISA> channels.
 *
 *   table  uint8 [256][32]: for each byte of input the row of its low, then of its high four bits; each row is 16
 *          entries of at most 31, so that eight of them can be summed in a byte
 */
#ifndef BITC_BPAIRS_PORTABLE_H
#define BITC_BPAIRS_PORTABLE_H

#include "bconv_block8.h"

/* Sums of one pixel and 8 channels. */
static inline void bitc_pairs_sums8(const bitc_bconv *g, const uint64_t *x, const uint64_t *w, const uint8_t *table,
                                    int32_t *sum) {
    for (int32_t c = 0; c < 8; c++) sum[c] = 0;
    for (int32_t i = 0; i < g->taps_h; i++) {
        for (int32_t j = 0; j < g->taps_w; j++) {
            const uint64_t *run = x + (ptrdiff_t)i * g->tap_row_words + (ptrdiff_t)j * g->tap_words;
            for (int32_t r = 0; r < g->run_words; r++, w += 8) {
                for (int32_t shift = 0; shift < 64; shift += 4) {
                    const uint8_t *row = table + 32 * (run[r] >> shift & 15);
                    for (int32_t c = 0; c < 8; c++) sum[c] += row[w[c] >> shift & 15];
                }
            }
        }
    }
}

static inline void bitc_pairs_acc_portable(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                           const uint8_t *table, const int32_t *base, int32_t step, int32_t *acc,
                                           int32_t y0, int32_t y1) {
    const int32_t blocks = bitc_bconv_blocks(g, 8);
    for (int32_t b = 0; b < blocks; b++, w += 8 * bitc_bconv_weight_words(g)) {
        const int32_t channels = g->out_c - b * 8 < 8 ? g->out_c - b * 8 : 8;
        int32_t *out = acc + b * 8;
        for (int32_t y = y0; y < y1; y++) {
            for (int32_t px = 0; px < g->out_w; px++, out += g->out_c) {
                int32_t sum[8];
                bitc_pairs_sums8(g, bitc_bconv_window(g, x, y, px), w, table, sum);
                const int32_t *from = base + ((ptrdiff_t)bitc_bconv_class(g, y, px) * blocks + b) * 8;
                for (int32_t c = 0; c < channels; c++) out[c] = from[c] - step * sum[c];
            }
        }
    }
}

#endif
