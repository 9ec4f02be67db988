/* Float products with matrices that are mostly 0, for AVX2 + FMA. */
#ifndef BITC_F32_SPARSE_AVX2_H
#define BITC_F32_SPARSE_AVX2_H

#include <immintrin.h>

#include "f32_sparse.h"

/* Row m at the places of `vectors` of 8: the last begins at `last`. sums [8 * vectors] is in order of the vectors. */
BITC_INLINE void bitc_fsparse_row_avx2(const bitc_fsparse_matrix *w, int32_t m, const float *x, int32_t last,
                                       float *sums, const int vectors) {
    __m256 sum[8];
    for (int v = 0; v < vectors; v++) sum[v] = _mm256_setzero_ps();
    for (int32_t e = w->starts[m]; e < w->starts[m + 1]; e++) {
        const __m256 value = _mm256_broadcast_ss(w->values + e);
        const float *from = x + w->reads[w->columns[e]];
        for (int v = 0; v + 1 < vectors; v++) sum[v] = _mm256_fmadd_ps(value, _mm256_loadu_ps(from + 8 * v), sum[v]);
        sum[vectors - 1] = _mm256_fmadd_ps(value, _mm256_loadu_ps(from + last), sum[vectors - 1]);
    }
    for (int v = 0; v < vectors; v++) _mm256_storeu_ps(sums + 8 * v, sum[v]);
}

/* Row m at fewer than 8 places. */
BITC_INLINE void bitc_fsparse_short_avx2(const bitc_fsparse_matrix *w, int32_t m, const float *x, __m256i there,
                                         float *sums) {
    __m256 sum = _mm256_setzero_ps();
    for (int32_t e = w->starts[m]; e < w->starts[m + 1]; e++) {
        const __m256 from = _mm256_maskload_ps(x + w->reads[w->columns[e]], there);
        sum = _mm256_fmadd_ps(_mm256_broadcast_ss(w->values + e), from, sum);
    }
    _mm256_storeu_ps(sums, sum);
}

/* Eight rows of eight places, BITC_FSPARSE_PLACES apart, as eight places of eight rows. */
BITC_INLINE void bitc_fsparse_turn_avx2(const float *sums, float *made) {
    __m256 r[8], s[8];
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(sums + i * BITC_FSPARSE_PLACES);
    for (int i = 0; i < 8; i += 2) {
        s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(made + i * 8, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(made + (i + 4) * 8, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

/* All rows at the places [p, p + count) of an image. The last vector may do places of the one before again. */
BITC_INLINE void bitc_fsparse_part_avx2(const bitc_fsparse *g, const bitc_fsparse_matrix *w, const float *x, float *y,
                                        int32_t p, int32_t count, const int vectors) {
    const __m256i places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i there = _mm256_cmpgt_epi32(_mm256_set1_epi32(count), places);
    const int32_t last = count < 8 ? 0 : count - 8;
    float sums[BITC_FSPARSE_ROWS * BITC_FSPARSE_PLACES] = {0.0f}, made[BITC_FSPARSE_ROWS * BITC_FSPARSE_PLACES];
    for (int32_t m = 0; m < g->rows; m += BITC_FSPARSE_ROWS) {
        const int32_t rows = g->rows - m < BITC_FSPARSE_ROWS ? g->rows - m : BITC_FSPARSE_ROWS;
        for (int32_t r = 0; r < rows; r++) {
            if (count < 8) {
                bitc_fsparse_short_avx2(w, m + r, x + p, there, sums + r * BITC_FSPARSE_PLACES);
            } else {
                bitc_fsparse_row_avx2(w, m + r, x + p, last, sums + r * BITC_FSPARSE_PLACES, vectors);
            }
        }
        for (int v = 0; v + 1 < vectors; v++) bitc_fsparse_turn_avx2(sums + 8 * v, made + 64 * v);
        bitc_fsparse_turn_avx2(sums + 8 * (vectors - 1), made + 8 * last);
        bitc_fsparse_store(g, made, p, count, rows, y + m);
    }
}

BITC_INLINE void bitc_fsparse_piece_avx2(const bitc_fsparse *g, const bitc_fsparse_matrix *w, const float *x, float *y,
                                         int32_t p, int32_t count) {
    switch ((count + 7) / 8) {
        case 1: bitc_fsparse_part_avx2(g, w, x, y, p, count, 1); break;
        case 2: bitc_fsparse_part_avx2(g, w, x, y, p, count, 2); break;
        case 3: bitc_fsparse_part_avx2(g, w, x, y, p, count, 3); break;
        case 4: bitc_fsparse_part_avx2(g, w, x, y, p, count, 4); break;
        case 5: bitc_fsparse_part_avx2(g, w, x, y, p, count, 5); break;
        case 6: bitc_fsparse_part_avx2(g, w, x, y, p, count, 6); break;
        case 7: bitc_fsparse_part_avx2(g, w, x, y, p, count, 7); break;
        default: bitc_fsparse_part_avx2(g, w, x, y, p, count, 8); break;
    }
}

/* As bitc_fsparse_portable; each y is a chain of fused multiply-adds in the same order. */
static inline void bitc_fsparse_avx2(const bitc_fsparse *g, const float *x, int32_t images, const int32_t *starts,
                                     const uint16_t *columns, const float *values, const int32_t *reads, float *y,
                                     ptrdiff_t image_y) {
    const bitc_fsparse_matrix w = {starts, columns, values, reads};
    bitc_fsparse_images(g, &w, x, images, y, image_y, bitc_fsparse_piece_avx2);
}

#endif
