/* Integer convolution for AVX-512 VNNI. */
#ifndef BITC_ICONV_AVX512_H
#define BITC_ICONV_AVX512_H

#include "iconv_tile_avx512.h"

/* Pixels from which on a tile of 8 is worth while; fewer are done one by one. */
#define BITC_ICONV_FEW_AVX512 3

/* Blocks [b0, b1) of the next pixels, `count` of 8 or one. */
BITC_INLINE void bitc_iconv_blocks_avx512(const bitc_iconv *g, const void *x, const ptrdiff_t *at, const char *w,
                                          ptrdiff_t block_bytes, const int32_t *base, int32_t *y, int32_t count,
                                          int32_t b0, int32_t b1, const int bytes, const int wide, const int narrow) {
    const int32_t together = count > 1 ? 2 : 4;
    for (int32_t b = b0, n; b < b1; b += n) {
        const char *from = w + b * block_bytes;
        const int32_t *start = base + 16 * b, channels = g->out_c - 16 * b;
        int32_t *to = y + 16 * b;
        n = b + together <= b1 ? together : 1;
        if (count > 1 && n > 1) {
            bitc_itile_avx512(g, x, at, from, block_bytes, start, to, count, channels, 2, bytes, wide, narrow);
        } else if (count > 1) {
            bitc_itile_avx512(g, x, at, from, block_bytes, start, to, count, channels, 1, bytes, wide, narrow);
        } else if (n > 1) {
            bitc_irow_avx512(g, x, at[0], from, block_bytes, start, to, channels, 4, bytes, wide, narrow);
        } else {
            bitc_irow_avx512(g, x, at[0], from, block_bytes, start, to, channels, 1, bytes, wide, narrow);
        }
    }
}

/* Rows [y0, y1) of one group. */
BITC_INLINE void bitc_iconv_group_avx512(const bitc_iconv *g, const void *x, const char *w, ptrdiff_t block_bytes,
                                         const int32_t *base, int32_t *y, int32_t y0, int32_t y1, const int bytes,
                                         const int wide) {
    const int32_t blocks = (g->out_c + 15) / 16, pass = 2 * bitc_iconv_pass(2 * block_bytes);
    for (int32_t b0 = 0; b0 < blocks; b0 += pass) {
        const int32_t b1 = bitc_imin32(b0 + pass, blocks);
        bitc_icursor cursor = bitc_iconv_start(g, y0);
        int32_t *to = y, count;
        for (int32_t left = (y1 - y0) * g->out_w; left > 0; left -= count) {
            ptrdiff_t at[8];
            count = left >= BITC_ICONV_FEW_AVX512 ? bitc_imin32(8, left) : 1;
            bitc_iconv_pixels(g, &cursor, count, 8, at);
            if (g->run < (bytes ? 4 : 2)) {
                bitc_iconv_blocks_avx512(g, x, at, w, block_bytes, base, to, count, b0, b1, bytes, wide, 1);
            } else {
                bitc_iconv_blocks_avx512(g, x, at, w, block_bytes, base, to, count, b0, b1, bytes, wide, 0);
            }
            to += (ptrdiff_t)count * g->groups * g->out_c;
        }
    }
}

BITC_INLINE void bitc_iconv_any_avx512(const bitc_iconv *g, const void *x, const void *w, const int32_t *base,
                                       int32_t *y, int32_t y0, int32_t y1, const int bytes, const int wide) {
    const ptrdiff_t block_bytes = (bytes || wide ? 64 : 32) * bitc_iconv_terms(g, bytes ? 4 : 2);
    const ptrdiff_t blocks = (g->out_c + 15) / 16;
    for (ptrdiff_t i = 0; i < g->groups; i++) {
        const void *from = (const char *)x + i * g->in_c * (bytes ? 1 : 2);
        bitc_iconv_group_avx512(g, from, (const char *)w + i * blocks * block_bytes, block_bytes,
                                base + i * blocks * 16, y + i * g->out_c, y0, y1, bytes, wide);
    }
}

static inline void bitc_iconv_u8_i8_avx512(const bitc_iconv *g, const uint8_t *x, const int8_t *w,
                                           const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_iconv_any_avx512(g, x, w, base, y, y0, y1, 1, 0);
}

static inline void bitc_iconv_i16_i8_avx512(const bitc_iconv *g, const int16_t *x, const int8_t *w,
                                            const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_iconv_any_avx512(g, x, w, base, y, y0, y1, 0, 0);
}

static inline void bitc_iconv_i16_i16_avx512(const bitc_iconv *g, const int16_t *x, const int16_t *w,
                                             const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_iconv_any_avx512(g, x, w, base, y, y0, y1, 0, 1);
}

#endif
