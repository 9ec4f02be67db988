/* Counting mismatches for NEON: some pixels by 8 channels. cnt counts the bits of bytes; byte sums are widened before one
 * could exceed 255. Contract: bconv.h. */
#ifndef BITC_BCONV_POPS_NEON_H
#define BITC_BCONV_POPS_NEON_H

#include <arm_neon.h>

#include "bconv.h"

/* The sums of 8 channels, 0..3 and 4..7. */
typedef struct bitc_pops_neon {
    int32x4_t low, high;
} bitc_pops_neon;

/* sums += the bytes of two channels in each vector, which become 0. */
BITC_INLINE void bitc_bconv_empty_neon(uint8x16_t *bytes, uint32x4_t *sums, const int vectors) {
    for (int v = 0; v < vectors; v++) {
        sums[v] = vpadalq_u16(sums[v], vpaddlq_u8(bytes[v]));
        bytes[v] = vdupq_n_u8(0);
    }
}

/* Of `pixels` (constant) windows x[p] and the 8 channels of one block of weights; mask is NULL (constant) or the block's. */
BITC_INLINE void bitc_bconv_pops_neon(const bitc_bconv *g, const uint64_t *const *x, const uint64_t *w,
                                      const uint64_t *mask, bitc_pops_neon *pops, const int pixels) {
    int32_t twins = !mask;
    for (int p = 0; p < pixels; p++) twins = twins && bitc_bconv_twins(g, x[p], 1);
    const int32_t words = twins ? g->twin_words : g->run_words;
    enum { FULL = 255 / 8 };
    uint8x16_t bytes[16];
    uint32x4_t sums[16];
    int32_t filled = 0;
    for (int v = 0; v < 4 * pixels; v++) bytes[v] = vdupq_n_u8(0), sums[v] = vdupq_n_u32(0);
    for (int32_t i = 0; i < g->taps_h; i++) {
        for (int32_t j = 0; j < g->taps_w; j++) {
            const ptrdiff_t run = (ptrdiff_t)i * g->tap_row_words + (ptrdiff_t)j * g->tap_words;
            for (ptrdiff_t r = run; r < run + words; r++, w += 8) {
                for (int v = 0; v < 4; v++) {
                    const uint64x2_t pair = vld1q_u64(w + 2 * v);
                    for (int p = 0; p < pixels; p++) {
                        uint64x2_t differing = veorq_u64(vdupq_n_u64(x[p][r]), pair);
                        if (mask) differing = vandq_u64(differing, vld1q_u64(mask + 2 * v));
                        bytes[4 * p + v] = vaddq_u8(bytes[4 * p + v], vcntq_u8(vreinterpretq_u8_u64(differing)));
                    }
                }
                if (mask) mask += 8;
                if (++filled < FULL) continue;
                filled = 0;
                bitc_bconv_empty_neon(bytes, sums, 4 * pixels);
            }
            w += 8 * (ptrdiff_t)(g->run_words - words);
        }
    }
    bitc_bconv_empty_neon(bytes, sums, 4 * pixels);
    for (int p = 0; p < pixels; p++) {
        const uint32x4_t *four = sums + 4 * p;
        const int32x4_t doubled = vdupq_n_s32(twins);
        pops[p].low = vshlq_s32(vreinterpretq_s32_u32(vpaddq_u32(four[0], four[1])), doubled);
        pops[p].high = vshlq_s32(vreinterpretq_s32_u32(vpaddq_u32(four[2], four[3])), doubled);
    }
}

#endif
