/* Float products of few rows with matrices that are computed: too few to pay for packing the matrix, as attention of one token has
 * them. Plain C in loops that vectorise; each element of the matrix is read once a row. */
#ifndef BITC_F32_MATMUL_H
#define BITC_F32_MATMUL_H

#include "matmul.h"

/* Sums in flight: columns of b side by side, or lanes of an inner product. gcc unrolls loops of up to 16 rounds before it could
 * vectorise them. */
#define BITC_FMATMUL_COLUMNS 64
#define BITC_FMATMUL_LANES 32

/* y [n]: up to BITC_FMATMUL_COLUMNS columns that lie side by side, in order of k. */
BITC_INLINE void bitc_fmatmul_columns(const bitc_matmul *g, const float *a, const float *b, float *y, int32_t n) {
    float sum[BITC_FMATMUL_COLUMNS] = {0.0f};
    for (ptrdiff_t k = 0; k < g->k; k++) {
        const float v = a[k * g->a_column], *row = b + k * g->b_row;
        for (int32_t i = 0; i < n; i++) sum[i] += v * row[i];
    }
    memcpy(y, sum, sizeof(float) * (size_t)n);
}

/* The inner product of k floats: each lane sums every 32nd product, then the lanes are summed in fours, then the rest. */
BITC_INLINE float bitc_fmatmul_dot(const float *a, const float *b, ptrdiff_t k) {
    float lane[BITC_FMATMUL_LANES] = {0.0f}, four[4] = {0.0f}, sum;
    ptrdiff_t done = 0;
    for (; done + BITC_FMATMUL_LANES <= k; done += BITC_FMATMUL_LANES) {
        for (int i = 0; i < BITC_FMATMUL_LANES; i++) lane[i] += a[done + i] * b[done + i];
    }
    for (int i = 0; i < BITC_FMATMUL_LANES; i += 4) {
        for (int j = 0; j < 4; j++) four[j] += lane[i + j];
    }
    sum = (four[0] + four[2]) + (four[1] + four[3]);
    for (; done < k; done++) sum += a[done] * b[done];
    return sum;
}

/* As bitc_matmul_f32 (matmul.h), but for the order of the sums. */
static inline void bitc_fmatmul(const bitc_matmul *g, const float *a, const float *b, float *y) {
    const int dots = g->b_row == 1 && g->a_column == 1 && (g->b_column != 1 || g->n == 1);
    if (g->b_column != 1 && !dots) {
        bitc_matmul_f32(g, a, b, y);
        return;
    }
    for (ptrdiff_t o = 0; o < g->outer; o++) {
        for (ptrdiff_t i = 0; i < g->inner; i++) {
            const float *left = a + o * g->a_outer + i * g->a_inner;
            const float *const right = b + o * g->b_outer + i * g->b_inner;
            for (ptrdiff_t m = 0; m < g->m; m++, left += g->a_row, y += g->n) {
                if (dots) {
                    for (ptrdiff_t n = 0; n < g->n; n++) y[n] = bitc_fmatmul_dot(left, right + n * g->b_column, g->k);
                    continue;
                }
                ptrdiff_t n = 0;
                for (; n + BITC_FMATMUL_COLUMNS <= g->n; n += BITC_FMATMUL_COLUMNS) {
                    bitc_fmatmul_columns(g, left, right + n, y + n, BITC_FMATMUL_COLUMNS);
                }
                if (n < g->n) bitc_fmatmul_columns(g, left, right + n, y + n, (int32_t)(g->n - n));
            }
        }
    }
}

#endif
