/* Binary convolution for NEON: 4 pixels by 8 channels, each weight loaded once for the four. Contract: bconv.h. */
#ifndef BITC_BCONV_NEON_H
#define BITC_BCONV_NEON_H

#include "bconv_pops_neon.h"
#include "bits_neon.h"

#define BITC_BCONV_BLOCK_NEON 8

/* Where a tile of up to 4 pixels of a row stands: block of channels, row, first column, pixels. */
typedef struct bitc_btile_neon {
    int32_t block, y, x, count;
} bitc_btile_neon;

/* The sums of a tile; a lone pixel is computed alone, three with the last one twice. */
BITC_INLINE void bitc_btile_pops_neon(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                      const bitc_btile_neon *at, bitc_pops_neon *pops) {
    const uint64_t *windows[4], *from = w + bitc_bconv_weight_words(g) * 8 * at->block;
    for (int p = 0; p < 4; p++) {
        windows[p] = bitc_bconv_window(g, x, at->y, at->x + (p < at->count ? p : at->count - 1));
    }
    if (at->count == 1) {
        bitc_bconv_pops_neon(g, windows, from, NULL, pops, 1);
    } else if (at->count == 2) {
        bitc_bconv_pops_neon(g, windows, from, NULL, pops, 2);
    } else {
        bitc_bconv_pops_neon(g, windows, from, NULL, pops, 4);
    }
}

/* The tile after this one in the row; false at its end. */
BITC_INLINE int bitc_btile_next_neon(const bitc_bconv *g, bitc_btile_neon *at) {
    at->x += at->count;
    at->count = g->out_w - at->x < 4 ? g->out_w - at->x : 4;
    return at->count > 0;
}

static inline void bitc_bconv_acc_neon(const bitc_bconv *g, const uint64_t *x, const uint64_t *w, const int32_t *base,
                                       int32_t step, int32_t *acc, int32_t y0, int32_t y1) {
    const int32_t blocks = bitc_bconv_blocks(g, 8);
    bitc_pops_neon pops[4];
    for (int32_t b = 0; b < blocks; b++) {
        const int32_t channels = g->out_c - b * 8 < 8 ? g->out_c - b * 8 : 8;
        int32_t *out = acc + b * 8;
        for (int32_t y = y0; y < y1; y++) {
            bitc_btile_neon at = {b, y, 0, 0};
            while (bitc_btile_next_neon(g, &at)) {
                bitc_btile_pops_neon(g, x, w, &at, pops);
                for (int32_t p = 0; p < at.count; p++, out += g->out_c) {
                    const int32_t *from = base + ((ptrdiff_t)bitc_bconv_class(g, y, at.x + p) * blocks + b) * 8;
                    const int32x4_t sums[2] = {vmlsq_n_s32(vld1q_s32(from), pops[p].low, step),
                                               vmlsq_n_s32(vld1q_s32(from + 4), pops[p].high, step)};
                    memcpy(out, sums, sizeof(int32_t) * (size_t)channels);
                }
            }
        }
    }
}

static inline void bitc_bconv_bits_neon(const bitc_bconv *g, const uint64_t *x, const uint64_t *w, const int32_t *limit,
                                        const uint64_t *flip, int32_t planes, uint64_t *y, int32_t out_row_words,
                                        int32_t out_pixel_words, int32_t y0, int32_t y1) {
    const int32_t blocks = bitc_bconv_blocks(g, 8), words = bitc_words(g->out_c);
    bitc_pops_neon pops[4];
    for (int32_t b = 0; b < blocks; b++) {
        const int32_t word = b / 8, shift = b % 8 * 8;
        const uint64_t flipped = flip[word] >> shift & 255;
        for (int32_t row = y0; row < y1; row++) {
            uint64_t *out = y + (ptrdiff_t)(row - y0) * out_row_words + word;
            bitc_btile_neon at = {b, row, 0, 0};
            while (bitc_btile_next_neon(g, &at)) {
                bitc_btile_pops_neon(g, x, w, &at, pops);
                for (int32_t p = 0; p < at.count; p++, out += out_pixel_words) {
                    const int32_t cls = bitc_bconv_class(g, row, at.x + p);
                    for (int32_t plane = 0; plane < planes; plane++) {
                        const int32_t *over = limit + ((ptrdiff_t)(plane * g->classes + cls) * blocks + b) * 8;
                        const uint32x4_t low = vcgtq_s32(pops[p].low, vld1q_s32(over));
                        const uint32x4_t high = vcgtq_s32(pops[p].high, vld1q_s32(over + 4));
                        const uint64_t bits = (bitc_bits_neon(low, high) ^ flipped) << shift;
                        out[plane * words] = shift ? out[plane * words] | bits : bits;
                    }
                }
            }
        }
    }
}

#endif
