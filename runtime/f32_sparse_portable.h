/* Float products with matrices that are mostly 0, for every C99 compiler. */
#ifndef BITC_F32_SPARSE_PORTABLE_H
#define BITC_F32_SPARSE_PORTABLE_H

#include "f32_sparse.h"

/* Row m at 8 places, of which x is the first: into made, BITC_FSPARSE_ROWS floats apart. */
BITC_GCC_NOINLINE void bitc_fsparse_part(const bitc_fsparse_matrix *w, int32_t m, const float *x, float *made) {
    float sum[8] = {0.0f};
    for (int32_t e = w->starts[m]; e < w->starts[m + 1]; e++) {
        const float value = w->values[e], *from = x + w->reads[w->columns[e]];
        for (int32_t l = 0; l < 8; l++) sum[l] += value * from[l];
    }
    for (int32_t l = 0; l < 8; l++) made[l * BITC_FSPARSE_ROWS] = sum[l];
}

/* The same at a single place. */
BITC_INLINE void bitc_fsparse_place(const bitc_fsparse_matrix *w, int32_t m, const float *x, float *made) {
    float sum = 0.0f;
    for (int32_t e = w->starts[m]; e < w->starts[m + 1]; e++) sum += w->values[e] * x[w->reads[w->columns[e]]];
    *made = sum;
}

BITC_INLINE void bitc_fsparse_piece_portable(const bitc_fsparse *g, const bitc_fsparse_matrix *w, const float *x, float *y,
                                             int32_t p, int32_t count) {
    float made[BITC_FSPARSE_PLACES * BITC_FSPARSE_ROWS] = {0.0f};
    for (int32_t m = 0; m < g->rows; m++) {
        float *row = made + m % BITC_FSPARSE_ROWS;
        int32_t q = 0;
        for (; q + 8 <= count; q += 8) bitc_fsparse_part(w, m, x + p + q, row + q * BITC_FSPARSE_ROWS);
        for (; q < count; q++) bitc_fsparse_place(w, m, x + p + q, row + q * BITC_FSPARSE_ROWS);
        if (m % BITC_FSPARSE_ROWS == BITC_FSPARSE_ROWS - 1 || m + 1 == g->rows) {
            bitc_fsparse_store(g, made, p, count, m % BITC_FSPARSE_ROWS + 1, y + m / BITC_FSPARSE_ROWS * BITC_FSPARSE_ROWS);
        }
    }
}

/* y as of bitc_fsparse_images; each is summed in order of the columns, each product rounded. */
static inline void bitc_fsparse_portable(const bitc_fsparse *g, const float *x, int32_t images, const int32_t *starts,
                                         const uint16_t *columns, const float *values, const int32_t *reads, float *y,
                                         ptrdiff_t image_y) {
    const bitc_fsparse_matrix w = {starts, columns, values, reads};
    bitc_fsparse_images(g, &w, x, images, y, image_y, bitc_fsparse_piece_portable);
}

#endif
