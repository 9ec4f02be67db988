/* Float products with matrices that are mostly 0, for AVX-512. */
#ifndef BITC_F32_SPARSE_AVX512_H
#define BITC_F32_SPARSE_AVX512_H

#include <immintrin.h>

#include "f32_sparse.h"

/* Row m at the places of `vectors` of 16, of the last at those in `there`. */
BITC_INLINE void bitc_fsparse_row_avx512(const bitc_fsparse_matrix *w, int32_t m, const float *x, __mmask16 there,
                                         float *sums, const int vectors) {
    const int last = vectors - 1;
    __m512 sum[4];
    for (int v = 0; v < vectors; v++) sum[v] = _mm512_setzero_ps();
    for (int32_t e = w->starts[m]; e < w->starts[m + 1]; e++) {
        const __m512 value = _mm512_set1_ps(w->values[e]);
        const float *from = x + w->reads[w->columns[e]];
        for (int v = 0; v < last; v++) sum[v] = _mm512_fmadd_ps(value, _mm512_loadu_ps(from + 16 * v), sum[v]);
        sum[last] = _mm512_fmadd_ps(value, _mm512_maskz_loadu_ps(there, from + 16 * last), sum[last]);
    }
    for (int v = 0; v < vectors; v++) _mm512_storeu_ps(sums + 16 * v, sum[v]);
}

/* All rows at the places [p, p + count) of an image. */
BITC_INLINE void bitc_fsparse_part_avx512(const bitc_fsparse *g, const bitc_fsparse_matrix *w, const float *x, float *y,
                                          int32_t p, int32_t count, const int vectors) {
    const __mmask16 there = (__mmask16)(0xffffu >> (16 * vectors - count));
    float sums[BITC_FSPARSE_ROWS * BITC_FSPARSE_PLACES] = {0.0f}, made[BITC_FSPARSE_ROWS * BITC_FSPARSE_PLACES];
    for (int32_t m = 0; m < g->rows; m += BITC_FSPARSE_ROWS) {
        const int32_t rows = g->rows - m < BITC_FSPARSE_ROWS ? g->rows - m : BITC_FSPARSE_ROWS;
        for (int32_t r = 0; r < rows; r++) {
            bitc_fsparse_row_avx512(w, m + r, x + p, there, sums + r * BITC_FSPARSE_PLACES, vectors);
        }
        for (int32_t q = 0; q < count; q++) {
            for (int r = 0; r < BITC_FSPARSE_ROWS; r++) made[q * BITC_FSPARSE_ROWS + r] = sums[r * BITC_FSPARSE_PLACES + q];
        }
        bitc_fsparse_store(g, made, p, count, rows, y + m);
    }
}

BITC_INLINE void bitc_fsparse_piece_avx512(const bitc_fsparse *g, const bitc_fsparse_matrix *w, const float *x, float *y,
                                           int32_t p, int32_t count) {
    switch ((count + 15) / 16) {
        case 1: bitc_fsparse_part_avx512(g, w, x, y, p, count, 1); break;
        case 2: bitc_fsparse_part_avx512(g, w, x, y, p, count, 2); break;
        case 3: bitc_fsparse_part_avx512(g, w, x, y, p, count, 3); break;
        default: bitc_fsparse_part_avx512(g, w, x, y, p, count, 4); break;
    }
}

/* As bitc_fsparse_portable; each y is a chain of fused multiply-adds in the same order. */
static inline void bitc_fsparse_avx512(const bitc_fsparse *g, const float *x, int32_t images, const int32_t *starts,
                                       const uint16_t *columns, const float *values, const int32_t *reads, float *y,
                                       ptrdiff_t image_y) {
    const bitc_fsparse_matrix w = {starts, columns, values, reads};
    bitc_fsparse_images(g, &w, x, images, y, image_y, bitc_fsparse_piece_avx512);
}

#endif
