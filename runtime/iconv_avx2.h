/* Integer convolution for AVX2. */
#ifndef BITC_ICONV_AVX2_H
#define BITC_ICONV_AVX2_H

#include "iconv_tile_u8_avx2.h"

/* Pixels of the next tile, of `left`: of 8-bit activations up to 4, as many as a tile holds, or one alone; of 16-bit
 * ones 6, 4, 2 or 1, for each of which there is a tile. */
BITC_INLINE int32_t bitc_iconv_next_tile_avx2(int32_t left, const int bytes) {
    if (bytes) {
        return left > 2 ? bitc_imin32(4, left) : 1;
    }
    return left >= 6 ? 6 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/* One block of `count` pixels of either storage of x; `pixels`: the constant size of the tile. */
BITC_INLINE void bitc_iconv_block_avx2(const bitc_iconv *g, const void *x, const ptrdiff_t *at, const void *w,
                                       const int32_t *base, int32_t *y, int32_t count, int32_t channels,
                                       const int pixels, const int bytes, const int wide) {
    if (!bytes) {
        bitc_itile_i16_avx2(g, (const int16_t *)x, at, w, base, y, channels, pixels, wide);
    } else if (g->run < 4) {
        bitc_itile_u8_avx2(g, (const uint8_t *)x, at, (const int8_t *)w, base, y, count, channels, pixels, 1);
    } else if (g->chain >= BITC_ICONV_CHAIN_AVX2) {
        bitc_itile_chain_avx2(g, (const uint8_t *)x, at, (const int8_t *)w, base, y, count, channels, pixels);
    } else {
        bitc_itile_u8_avx2(g, (const uint8_t *)x, at, (const int8_t *)w, base, y, count, channels, pixels, 0);
    }
}

/* Blocks [b0, b1) of `count` pixels. */
BITC_INLINE void bitc_iconv_blocks_avx2(const bitc_iconv *g, const void *x, const ptrdiff_t *at, const void *w,
                                        ptrdiff_t block_bytes, const int32_t *base, int32_t *y, int32_t count,
                                        int32_t b0, int32_t b1, const int pixels, const int bytes, const int wide) {
    for (int32_t b = b0; b < b1; b++) {
        bitc_iconv_block_avx2(g, x, at, (const char *)w + b * block_bytes, base + 16 * b, y + 16 * b, count,
                              g->out_c - 16 * b, pixels, bytes, wide);
    }
}

/* Rows [y0, y1) of one group. */
BITC_INLINE void bitc_iconv_group_avx2(const bitc_iconv *g, const void *x, const void *w, const int32_t *base,
                                       int32_t *y, int32_t y0, int32_t y1, const int bytes, const int wide) {
    const ptrdiff_t weights = 16 * (bytes ? 4 : 2) * bitc_iconv_terms(g, bytes ? 4 : 2);
    const ptrdiff_t size = weights * (wide ? 2 : 1), out_pixel = (ptrdiff_t)g->groups * g->out_c;
    const int32_t blocks = (g->out_c + 15) / 16, pass = bitc_iconv_pass(size);
    for (int32_t b0 = 0; b0 < blocks; b0 += pass) {
        const int32_t b1 = bitc_imin32(b0 + pass, blocks);
        bitc_icursor cursor = bitc_iconv_start(g, y0);
        int32_t *to = y, count;
        for (int32_t left = (y1 - y0) * g->out_w; left > 0; left -= count, to += count * out_pixel) {
            ptrdiff_t at[6];
            count = bitc_iconv_next_tile_avx2(left, bytes);
            bitc_iconv_pixels(g, &cursor, count, bytes && count > 1 ? 4 : count, at);
            if (count == 1) {
                bitc_iconv_blocks_avx2(g, x, at, w, size, base, to, 1, b0, b1, 1, bytes, wide);
            } else if (bytes) {
                bitc_iconv_blocks_avx2(g, x, at, w, size, base, to, count, b0, b1, 4, 1, wide);
            } else if (count == 6) {
                bitc_iconv_blocks_avx2(g, x, at, w, size, base, to, 6, b0, b1, 6, 0, wide);
            } else if (count == 4) {
                bitc_iconv_blocks_avx2(g, x, at, w, size, base, to, 4, b0, b1, 4, 0, wide);
            } else {
                bitc_iconv_blocks_avx2(g, x, at, w, size, base, to, 2, b0, b1, 2, 0, wide);
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
