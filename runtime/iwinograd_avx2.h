/* Winograd's convolution of 3x3 taps on integers for AVX2: transforms around 16 products of matrices, which are
 * convolutions of one tap. */
#ifndef BITC_IWINOGRAD_AVX2_H
#define BITC_IWINOGRAD_AVX2_H

#include "iconv_avx2.h"
#include "iwinograd.h"

/* One band of rows: its tiles, `plane` values of v and 16 * tiles of m from one of the 16 products to the next. */
typedef struct bitc_itiles {
    int32_t down, across, tiles, rows;
    ptrdiff_t plane;
    int16_t *v; /* [16][tiles][in_c] */
    int32_t *m; /* [16][tiles][16] */
} bitc_itiles;

BITC_INLINE __m256i bitc_iwords_avx2(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

/* Column j of B' d B for 16 channels: v[4 * i + j] of i = 0..3, `plane` values apart. d: the four rows of the patch,
 * whose columns p and q are added (`sum`) or subtracted first. */
BITC_INLINE void bitc_iwinograd_column_avx2(const int16_t *const *d, ptrdiff_t p, ptrdiff_t q, const int sum,
                                            int16_t *v, ptrdiff_t plane) {
    __m256i t[4];
    for (int i = 0; i < 4; i++) {
        const __m256i a = bitc_iwords_avx2(d[i] + p), b = bitc_iwords_avx2(d[i] + q);
        t[i] = sum ? _mm256_add_epi16(a, b) : _mm256_sub_epi16(a, b);
    }
    _mm256_storeu_si256((__m256i *)(void *)v, _mm256_sub_epi16(t[0], t[2]));
    _mm256_storeu_si256((__m256i *)(void *)(v + 4 * plane), _mm256_add_epi16(t[1], t[2]));
    _mm256_storeu_si256((__m256i *)(void *)(v + 8 * plane), _mm256_sub_epi16(t[2], t[1]));
    _mm256_storeu_si256((__m256i *)(void *)(v + 12 * plane), _mm256_sub_epi16(t[1], t[3]));
}

/* B' d B of all tiles of a band. The last row and column of a patch matter to outputs below and right of the tile's
 * first alone: where there are none, the row or column before stands in for it. */
BITC_INLINE void bitc_iwinograd_input_avx2(const bitc_iwinograd *g, const int16_t *x, const bitc_itiles *band) {
    const ptrdiff_t n = g->in_c, plane = band->plane;
    int16_t *v = band->v;
    for (int32_t i = 0; i < band->down; i++, x += 2 * (ptrdiff_t)g->in_row) {
        const ptrdiff_t row3 = (2 * i + 1 < band->rows ? 3 : 2) * (ptrdiff_t)g->in_row;
        for (int32_t j = 0; j < band->across; j++, v += n) {
            const ptrdiff_t column3 = (2 * j + 1 < g->out_w ? 3 : 2) * n;
            const int16_t *from = x + 2 * j * n;
            for (ptrdiff_t c = 0; c < n; c += 16, from += 16) {
                const int16_t *const d[4] = {from, from + g->in_row, from + 2 * (ptrdiff_t)g->in_row, from + row3};
                bitc_iwinograd_column_avx2(d, 0, 2 * n, 0, v + c, plane);
                bitc_iwinograd_column_avx2(d, n, 2 * n, 1, v + c + plane, plane);
                bitc_iwinograd_column_avx2(d, 2 * n, n, 0, v + c + 2 * plane, plane);
                bitc_iwinograd_column_avx2(d, n, column3, 0, v + c + 3 * plane, plane);
            }
        }
    }
}

/* A' m A / 4 + base of one tile for 8 channels, `plane` values from one m to the next; output (i, j): y[2 * i + j]. */
BITC_INLINE void bitc_iwinograd_tile_avx2(const int32_t *m, ptrdiff_t plane, __m256i base, __m256i *y) {
    __m256i s[4], t[4];
    for (int j = 0; j < 4; j++) {
        const __m256i m1 = bitc_iwords_avx2(m + (4 + j) * plane), m2 = bitc_iwords_avx2(m + (8 + j) * plane);
        s[j] = _mm256_add_epi32(_mm256_add_epi32(bitc_iwords_avx2(m + j * plane), m1), m2);
        t[j] = _mm256_sub_epi32(_mm256_sub_epi32(m1, m2), bitc_iwords_avx2(m + (12 + j) * plane));
    }
    y[0] = _mm256_add_epi32(_mm256_add_epi32(s[0], s[1]), s[2]);
    y[1] = _mm256_sub_epi32(_mm256_sub_epi32(s[1], s[2]), s[3]);
    y[2] = _mm256_add_epi32(_mm256_add_epi32(t[0], t[1]), t[2]);
    y[3] = _mm256_sub_epi32(_mm256_sub_epi32(t[1], t[2]), t[3]);
    for (int i = 0; i < 4; i++) {
        y[i] = _mm256_add_epi32(_mm256_srai_epi32(y[i], 2), base);
    }
}

/* The outputs of a band for one block of channels, of which `channels` are left. */
BITC_INLINE void bitc_iwinograd_output_avx2(const bitc_iwinograd *g, const bitc_itiles *band, const int32_t *base,
                                            int32_t *y, int32_t channels) {
    const __m256i lower = bitc_iwords_avx2(base), upper = bitc_iwords_avx2(base + 8);
    const ptrdiff_t pixel = g->out_c, row = g->out_w * pixel, plane = 16 * (ptrdiff_t)band->tiles;
    const int32_t *m = band->m;
    for (int32_t i = 0; i < band->rows; i += 2, y += 2 * row) {
        for (int32_t j = 0; j < g->out_w; j += 2, m += 16) {
            __m256i a[4], b[4];
            bitc_iwinograd_tile_avx2(m, plane, lower, a);
            bitc_iwinograd_tile_avx2(m + 8, plane, upper, b);
            for (int k = 0; k < 4; k++) {
                const int32_t down = k / 2, right = k % 2;
                if (i + down < band->rows && j + right < g->out_w) {
                    bitc_istore_pixel_avx2(y + down * row + (j + right) * pixel, a[k], b[k], channels);
                }
            }
        }
    }
}

static inline void bitc_iwinograd_avx2(const bitc_iwinograd *g, const int16_t *x, const int16_t *u,
                                       const int32_t *base, int32_t *y, void *scratch, int32_t y0, int32_t y1) {
    static const int32_t none[16] = {0};
    const int32_t blocks = (g->out_c + 15) / 16, across = (g->out_w + 1) / 2;
    const ptrdiff_t row = (ptrdiff_t)g->out_w * g->out_c;
    bitc_iconv product = {0, 16, 1, g->in_c, 0, g->in_c, 1, 1, 1, 1, g->in_c, 0, 0, 0};
    for (int32_t top = y0, rows; top < y1; top += rows, y += rows * row) {
        rows = bitc_imin32(g->rows, y1 - top);
        const int32_t down = (rows + 1) / 2, tiles = down * across;
        int32_t *m = (int32_t *)scratch;
        int16_t *v = (int16_t *)(m + 256 * tiles);
        const bitc_itiles band = {down, across, tiles, rows, (ptrdiff_t)tiles * g->in_c, v, m};
        product.out_w = tiles;
        bitc_iwinograd_input_avx2(g, x + top * (ptrdiff_t)g->in_row, &band);
        for (int32_t b = 0; b < blocks; b++) {
            for (ptrdiff_t i = 0; i < 16; i++) {
                const int16_t *weights = u + (i * blocks + b) * 16 * g->in_c;
                bitc_iconv_i16_i16_avx2(&product, band.v + i * band.plane, weights, none, m + 16 * i * tiles, 0, 1);
            }
            bitc_iwinograd_output_avx2(g, &band, base + 16 * b, y + 16 * b, g->out_c - 16 * b);
        }
    }
}

#endif
