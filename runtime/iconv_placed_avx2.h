/* Integer convolution for AVX2 on 8-bit activations and placed entries of weights: vpmaddubsw, exact.
 *
 * bitc_iconv_placed_avx2(g, x, w, places, entries, base, y, y0, y1), the contract of bitc_iconv_u8_i8_<x> but for
 *   w       [groups][ceil(out_c / 16)][entries][16][4]: each entry multiplies four neighbours of x for 16 channels.
 *           255 times the positive weights of a pair (values 0, 1 and 2, 3), or the negative ones, fit 16 bits:
 *           weights that do not are the sum of two entries at one place
 *   places  [groups][ceil(out_c / 16)][entries + 1]: elements from the first tap to the four; -1 behind a block's last entry
 *   runs, run_row, run_pixel and chain of g mean nothing here */
#ifndef BITC_ICONV_PLACED_AVX2_H
#define BITC_ICONV_PLACED_AVX2_H

#include "iconv_tile_u8_avx2.h"

/* What the blocks of one layer share. */
typedef struct bitc_iplaced {
    const uint8_t *x;
    const int8_t *w;
    const int32_t *places, *base;
    ptrdiff_t entries, out_pixel;
    int32_t out_c;
} bitc_iplaced;

/* One pixel: the second half's weights come from memory for each, as sums, the first half's weights, the activations, a
 * product and ones fill the registers. */
#define BITC_IPLACED_PIXEL_AVX2(p)                                                                                     \
    do {                                                                                                               \
        const __m256i v = bitc_iquad_avx2(x##p + j, 4, 0);                                                             \
        bitc_imac_quad_avx2(&a##p, v, first);                                                                          \
        BITC_FRESH(w);                                                                                                 \
        bitc_imac_quad_avx2(&b##p, v, bitc_iquads_avx2(w + 32));                                                       \
    } while (0)

/* `pixels` (a constant, 1, 2, 4 or 6) pixels x block b; x[at[p]] is the first tap of pixel p. */
BITC_INLINE void bitc_itile_placed_avx2(const bitc_iplaced *g, const ptrdiff_t *at, int32_t b, int32_t *y,
                                        const int pixels) {
    const int8_t *w = g->w + b * g->entries * 64;
    const int32_t *places = g->places + b * (g->entries + 1), *base = g->base + 16 * b;
    const uint8_t *x0 = g->x + at[0], *x1 = x0, *x2 = x0, *x3 = x0, *x4 = x0, *x5 = x0;
    __m256i a0 = _mm256_loadu_si256((const __m256i *)(const void *)base);
    __m256i b0 = _mm256_loadu_si256((const __m256i *)(const void *)(base + 8));
    __m256i a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, b1 = b0, b2 = b0, b3 = b0, b4 = b0, b5 = b0;
    if (pixels > 1) {
        x1 = g->x + at[1];
    }
    if (pixels > 2) {
        x2 = g->x + at[2], x3 = g->x + at[3];
    }
    if (pixels > 4) {
        x4 = g->x + at[4], x5 = g->x + at[5];
    }
    for (; *places >= 0; places++, w += 64) {
        const ptrdiff_t j = *places;
        const __m256i first = bitc_iquads_avx2(w);
        BITC_IPLACED_PIXEL_AVX2(0);
        if (pixels > 1) {
            BITC_IPLACED_PIXEL_AVX2(1);
        }
        if (pixels > 2) {
            BITC_IPLACED_PIXEL_AVX2(2);
            BITC_IPLACED_PIXEL_AVX2(3);
        }
        if (pixels > 4) {
            BITC_IPLACED_PIXEL_AVX2(4);
            BITC_IPLACED_PIXEL_AVX2(5);
        }
    }
    const __m256i a[6] = {a0, a1, a2, a3, a4, a5}, c[6] = {b0, b1, b2, b3, b4, b5};
    for (int32_t p = 0; p < pixels; p++) {
        bitc_istore_pixel_avx2(y + p * g->out_pixel, a[p], c[p], g->out_c - 16 * b);
    }
}

#undef BITC_IPLACED_PIXEL_AVX2

/* Blocks [b0, b1) of `pixels` pixels. */
BITC_INLINE void bitc_iplaced_blocks_avx2(const bitc_iplaced *g, const ptrdiff_t *at, int32_t *y, int32_t b0,
                                          int32_t b1, const int pixels) {
    for (int32_t b = b0; b < b1; b++) {
        bitc_itile_placed_avx2(g, at, b, y + 16 * b, pixels);
    }
}

/* Rows [y0, y1) of one group, whose geometry is `image`. */
BITC_INLINE void bitc_iplaced_group_avx2(const bitc_iconv *image, const bitc_iplaced *g, int32_t *y, int32_t y0,
                                         int32_t y1) {
    const int32_t blocks = (g->out_c + 15) / 16, pass = bitc_iconv_pass(g->entries * 64);
    for (int32_t b0 = 0; b0 < blocks; b0 += pass) {
        const int32_t b1 = bitc_imin32(b0 + pass, blocks);
        bitc_icursor cursor = bitc_iconv_start(image, y0);
        int32_t *to = y, count;
        for (int32_t left = (y1 - y0) * image->out_w; left > 0; left -= count, to += count * g->out_pixel) {
            ptrdiff_t at[6];
            count = left >= 6 ? 6 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
            bitc_iconv_pixels(image, &cursor, count, count, at);
            if (count == 6) {
                bitc_iplaced_blocks_avx2(g, at, to, b0, b1, 6);
            } else if (count == 4) {
                bitc_iplaced_blocks_avx2(g, at, to, b0, b1, 4);
            } else if (count == 2) {
                bitc_iplaced_blocks_avx2(g, at, to, b0, b1, 2);
            } else {
                bitc_iplaced_blocks_avx2(g, at, to, b0, b1, 1);
            }
        }
    }
}

static inline void bitc_iconv_placed_avx2(const bitc_iconv *g, const uint8_t *x, const int8_t *w,
                                          const int32_t *places, int32_t entries, const int32_t *base, int32_t *y,
                                          int32_t y0, int32_t y1) {
    const ptrdiff_t blocks = (g->out_c + 15) / 16;
    for (ptrdiff_t i = 0; i < g->groups; i++) {
        const bitc_iplaced group = {x + i * g->in_c, w + i * blocks * entries * 64, places + i * blocks * (entries + 1),
                                    base + i * blocks * 16, entries, (ptrdiff_t)g->groups * g->out_c, g->out_c};
        bitc_iplaced_group_avx2(g, &group, y + i * g->out_c, y0, y1);
    }
}

#endif
