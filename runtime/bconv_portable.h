/* Binary convolution in plain C: one pixel by 8 channels, in loops that compilers vectorise. Contract: bconv.h. */
#ifndef BITC_BCONV_PORTABLE_H
#define BITC_BCONV_PORTABLE_H

#include "bconv_block8.h"

#define BITC_BCONV_BLOCK_PORTABLE 8

/* Eight byte sums in a word, each at most 255, to one sum. */
static inline int32_t bitc_sum_bytes(uint64_t v) {
    v = (v & UINT64_C(0x00FF00FF00FF00FF)) + (v >> 8 & UINT64_C(0x00FF00FF00FF00FF));
    v += v >> 16;
    return (int32_t)((v + (v >> 32)) & 0xFFFF);
}

/* Number of one bits in each byte, 0..8 (Knuth, TAOCP 7.1.3). */
static inline uint64_t bitc_count_bytes(uint64_t v) {
    v -= v >> 1 & UINT64_C(0x5555555555555555);
    v = (v & UINT64_C(0x3333333333333333)) + (v >> 2 & UINT64_C(0x3333333333333333));
    return (v + (v >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
}

/* bytes[c] += number of one bits in each byte of x ^ w[c]. */
BITC_GCC_NOINLINE void bitc_bconv_count8(uint64_t x, const uint64_t *BITC_RESTRICT w, uint64_t *BITC_RESTRICT bytes) {
    for (int32_t c = 0; c < 8; c++) bytes[c] += bitc_count_bytes(x ^ w[c]);
}

/* Byte sums are emptied into pop before a word could make one exceed 255. */
BITC_INLINE void bitc_bconv_pops8_portable(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                           const uint64_t *mask, int32_t *pop) {
    enum { FULL = 255 / 8 };
    uint64_t bytes[8] = {0};
    int32_t filled = 0;
    const int32_t twins = mask ? 0 : bitc_bconv_twins(g, x, 1), words = twins ? g->twin_words : g->run_words;
    for (int32_t c = 0; c < 8; c++) pop[c] = 0;
    for (int32_t i = 0; i < g->taps_h; i++) {
        for (int32_t j = 0; j < g->taps_w; j++) {
            const uint64_t *run = x + (ptrdiff_t)i * g->tap_row_words + (ptrdiff_t)j * g->tap_words;
            for (int32_t r = 0; r < words; r++, w += 8) {
                const uint64_t in = run[r];
                if (mask) {
                    for (int32_t c = 0; c < 8; c++) bytes[c] += bitc_count_bytes((in ^ w[c]) & mask[c]);
                    mask += 8;
                } else {
                    bitc_bconv_count8(in, w, bytes);
                }
                if (++filled < FULL) continue;
                filled = 0;
                for (int32_t c = 0; c < 8; c++) pop[c] += bitc_sum_bytes(bytes[c]);
                memset(bytes, 0, sizeof bytes);
            }
            w += 8 * (g->run_words - words);
        }
    }
    for (int32_t c = 0; c < 8; c++) pop[c] = (pop[c] + bitc_sum_bytes(bytes[c])) << twins;
}

static inline void bitc_bconv_acc_portable(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                           const int32_t *base, int32_t step, int32_t *acc, int32_t y0, int32_t y1) {
    const bitc_bconv_blocks8 a = {g, x, w, NULL, NULL, bitc_bconv_pops8_portable};
    bitc_bconv_acc8(&a, base, step, acc, y0, y1);
}

static inline void bitc_bconv_bits_portable(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                            const int32_t *limit, const uint64_t *flip, int32_t planes, uint64_t *y,
                                            int32_t out_row_words, int32_t out_pixel_words, int32_t y0, int32_t y1) {
    const bitc_bconv_blocks8 a = {g, x, w, NULL, NULL, bitc_bconv_pops8_portable};
    bitc_bconv_bits8(&a, limit, flip, planes, y, out_row_words, out_pixel_words, y0, y1);
}

#endif
