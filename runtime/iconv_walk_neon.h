/* Integer convolution for NEON: the walk over pixels and blocks of 8 output channels, around a tile of 8 pixels by one
 * block that each kernel brings. Contract: iconv.h. */
#ifndef BITC_ICONV_WALK_NEON_H
#define BITC_ICONV_WALK_NEON_H

#include <arm_neon.h>

#include "iconv.h"

#define BITC_ICONV_BLOCK_NEON 8

/* The sums of 8 channels, 0..3 and 4..7. */
typedef struct bitc_isums_neon {
    int32x4_t low, high;
} bitc_isums_neon;

/* sums[p] = the products of window p, at element at[p] of x, with one block's weights, for `pixels` (constant) windows. */
typedef void bitc_itile_neon(const bitc_iconv *g, const void *x, const ptrdiff_t *at, const void *w,
                             bitc_isums_neon *sums, const int pixels);

/* base + sum of up to 8 channels. */
BITC_INLINE void bitc_istore_neon(int32_t *y, const bitc_isums_neon *sum, const int32_t *base, int32_t channels) {
    const int32x4_t low = vaddq_s32(vld1q_s32(base), sum->low), high = vaddq_s32(vld1q_s32(base + 4), sum->high);
    if (channels >= 8) {
        vst1q_s32(y, low);
        vst1q_s32(y + 4, high);
        return;
    }
    const int32x4_t lanes[2] = {low, high};
    memcpy(y, lanes, sizeof(int32_t) * (size_t)channels);
}

/* Rows [y0, y1) of one group whose blocks have `bytes` of weights each. */
BITC_INLINE void bitc_iconv_group_neon(const bitc_iconv *g, const void *x, const void *w, ptrdiff_t bytes,
                                       const int32_t *base, int32_t *y, int32_t y0, int32_t y1,
                                       bitc_itile_neon *tile) {
    const ptrdiff_t out_pixel = (ptrdiff_t)g->groups * g->out_c;
    const int32_t blocks = (g->out_c + 7) / 8, pass = bitc_iconv_pass(bytes);
    for (int32_t b0 = 0; b0 < blocks; b0 += pass) {
        const int32_t b1 = bitc_imin32(b0 + pass, blocks);
        bitc_icursor cursor = bitc_iconv_start(g, y0);
        int32_t *to = y, count;
        for (int32_t left = (y1 - y0) * g->out_w; left > 0; left -= count, to += count * out_pixel) {
            ptrdiff_t at[8];
            count = left > 2 ? bitc_imin32(8, left) : 1;
            bitc_iconv_pixels(g, &cursor, count, count > 1 ? 8 : 1, at);
            for (int32_t b = b0; b < b1; b++) {
                const void *from = (const char *)w + b * bytes;
                bitc_isums_neon sums[8];
                if (count > 1) {
                    tile(g, x, at, from, sums, 8);
                } else {
                    tile(g, x, at, from, sums, 1);
                }
                for (int32_t p = 0; p < count; p++) {
                    bitc_istore_neon(to + p * out_pixel + 8 * b, sums + p, base + 8 * b, g->out_c - 8 * b);
                }
            }
        }
    }
}

/* All groups; the block of one has `bytes` of weights, a value of x `size` bytes. */
BITC_INLINE void bitc_iconv_groups_neon(const bitc_iconv *g, const void *x, const void *w, ptrdiff_t bytes,
                                        const int32_t *base, int32_t *y, int32_t y0, int32_t y1, const int size,
                                        bitc_itile_neon *tile) {
    const ptrdiff_t blocks = (g->out_c + 7) / 8;
    for (ptrdiff_t i = 0; i < g->groups; i++) {
        bitc_iconv_group_neon(g, (const char *)x + i * g->in_c * size, (const char *)w + i * blocks * bytes, bytes,
                              base + i * blocks * 8, y + i * g->out_c, y0, y1, tile);
    }
}

#endif
