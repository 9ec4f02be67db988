/* Integer convolution for AVX2. */
#ifndef BITC_ICONV_AVX2_H
#define BITC_ICONV_AVX2_H

#include "iconv_tile_u8_avx2.h"

/* One block of `count` pixels (at most the constant `pixels`) of either storage of x. */
BITC_INLINE void bitc_iconv_block_avx2(const bitc_iconv *g, const void *x, const ptrdiff_t *at, const void *w,
                                       const int32_t *base, int32_t *y, int32_t count, int32_t channels,
                                       const int pixels, const int bytes, const int wide) {
    if (!bytes) {
        bitc_itile_i16_avx2(g, (const int16_t *)x, at, w, base, y, count, channels, pixels, wide);
    } else if (g->run < 4) {
        bitc_itile_u8_avx2(g, (const uint8_t *)x, at, (const int8_t *)w, base, y, count, channels, pixels, 1, 1);
    } else if (g->chain >= BITC_ICONV_CHAIN_AVX2) {
        bitc_itile_chain_avx2(g, (const uint8_t *)x, at, (const int8_t *)w, base, y, count, channels, pixels);
    } else if (g->chain > 0) {
        bitc_itile_u8_avx2(g, (const uint8_t *)x, at, (const int8_t *)w, base, y, count, channels, pixels, 0, 0);
    } else {
        bitc_itile_u8_avx2(g, (const uint8_t *)x, at, (const int8_t *)w, base, y, count, channels, pixels, 1, 0);
    }
}

/* Rows [y0, y1) of one group. Few pixels that are left over are done one by one. */
BITC_INLINE void bitc_iconv_group_avx2(const bitc_iconv *g, const void *x, const void *w, const int32_t *base,
                                       int32_t *y, int32_t y0, int32_t y1, const int bytes, const int wide) {
    const int slots = bytes ? 4 : 6;
    const ptrdiff_t weights = 16 * (bytes ? 4 : 2) * bitc_iconv_terms(g, bytes ? 4 : 2);
    const ptrdiff_t block_bytes = weights * (wide ? 2 : 1), out_pixel = (ptrdiff_t)g->groups * g->out_c;
    const int32_t blocks = (g->out_c + 15) / 16, pass = bitc_iconv_pass(block_bytes);
    for (int32_t b0 = 0; b0 < blocks; b0 += pass) {
        const int32_t b1 = bitc_imin32(b0 + pass, blocks);
        bitc_icursor cursor = bitc_iconv_start(g, y0);
        int32_t *to = y, count;
        for (int32_t left = (y1 - y0) * g->out_w; left > 0; left -= count, to += count * out_pixel) {
            ptrdiff_t at[6];
            count = left > slots / 2 ? bitc_imin32(slots, left) : 1;
            bitc_iconv_pixels(g, &cursor, count, slots, at);
            for (int32_t b = b0; b < b1; b++) {
                const void *block = (const char *)w + b * block_bytes;
                const int32_t channels = g->out_c - 16 * b;
                if (count > 1) {
                    bitc_iconv_block_avx2(g, x, at, block, base + 16 * b, to + 16 * b, count, channels,
                                          bytes ? 4 : 6, bytes, wide);
                } else {
                    bitc_iconv_block_avx2(g, x, at, block, base + 16 * b, to + 16 * b, 1, channels, 1, bytes, wide);
                }
            }
        }
    }
}

BITC_INLINE void bitc_iconv_any_avx2(const bitc_iconv *g, const void *x, const void *w, const int32_t *base,
                                     int32_t *y, int32_t y0, int32_t y1, const int bytes, const int wide) {
    const ptrdiff_t blocks = (g->out_c + 15) / 16;
    const ptrdiff_t weights = blocks * 16 * (bytes ? 4 : 2) * bitc_iconv_terms(g, bytes ? 4 : 2);
    for (ptrdiff_t i = 0; i < g->groups; i++) {
        const void *from = bytes ? (const void *)((const uint8_t *)x + i * g->in_c)
                                 : (const void *)((const int16_t *)x + i * g->in_c);
        bitc_iconv_group_avx2(g, from, (const char *)w + i * weights * (wide ? 2 : 1), base + i * blocks * 16,
                              y + i * g->out_c, y0, y1, bytes, wide);
    }
}

static inline void bitc_iconv_u8_i8_avx2(const bitc_iconv *g, const uint8_t *x, const int8_t *w, const int32_t *base,
                                         int32_t *y, int32_t y0, int32_t y1) {
    bitc_iconv_any_avx2(g, x, w, base, y, y0, y1, 1, 0);
}

static inline void bitc_iconv_i16_i8_avx2(const bitc_iconv *g, const int16_t *x, const int8_t *w, const int32_t *base,
                                          int32_t *y, int32_t y0, int32_t y1) {
    bitc_iconv_any_avx2(g, x, w, base, y, y0, y1, 0, 0);
}

static inline void bitc_iconv_i16_i16_avx2(const bitc_iconv *g, const int16_t *x, const int16_t *w,
                                           const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_iconv_any_avx2(g, x, w, base, y, y0, y1, 0, 1);
}

#endif
