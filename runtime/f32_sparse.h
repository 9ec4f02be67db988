/* Float products with constant matrices most of whose elements are 0: what every ISA shares, and products at a single place. */
#ifndef BITC_F32_SPARSE_H
#define BITC_F32_SPARSE_H

#include "base.h"

/* Places that are summed together before they are stored, and rows of the matrix whose results are. */
#define BITC_FSPARSE_PLACES 64
#define BITC_FSPARSE_ROWS 8

/* Geometry of a matrix [rows, depth] times images of `image` floats, planes of rows of `pitch`. Pixel (i, j) of the result, out_h x
 * out_w, is place i * pitch + j; its channels, one a row of the matrix, lie side by side. Places between the rows of the result are
 * computed and not stored. */
typedef struct bitc_fsparse {
    int32_t rows, depth, image;
    int32_t out_h, out_w, pitch;
    int32_t out_row, out_pixel; /* floats from one output row, pixel to the next */
} bitc_fsparse;

/* The elements of a matrix that are not 0, row by row, in order of their columns. */
typedef struct bitc_fsparse_matrix {
    const int32_t *starts;   /* [rows + 1]: the first of each row */
    const uint16_t *columns; /* where they stand in their rows */
    const float *values;     /* what they are */
    const int32_t *reads;    /* [depth]: where column j reads the first place; 0: at x[j] */
} bitc_fsparse_matrix;

/* Places from the first pixel to the last. */
BITC_INLINE int32_t bitc_fsparse_run(const bitc_fsparse *g) { return (g->out_h - 1) * g->pitch + g->out_w; }

/* Whether all of x [n] are finite: then 0 times any of them is 0. */
BITC_INLINE int bitc_fsparse_finite(const float *x, ptrdiff_t n) {
    float lane[16] = {0.0f}, sum = 0.0f;
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        for (int l = 0; l < 16; l++) lane[l] += x[i + l] * 0.0f;
    }
    for (; i < n; i++) sum += x[i] * 0.0f;
    for (int l = 0; l < 16; l++) sum += lane[l];
    return sum == 0.0f;
}

/* Adds to the results y of one image the products of zeros: NaN where they meet what is not finite. */
BITC_INLINE void bitc_fsparse_zeros(const bitc_fsparse *g, const float *x, const bitc_fsparse_matrix *w, float *y) {
    for (int32_t m = 0; m < g->rows; m++) {
        int32_t next = w->starts[m];
        for (int32_t k = 0; k < g->depth; k++) {
            const float *from = x + (w->reads ? w->reads[k] : k);
            if (next < w->starts[m + 1] && w->columns[next] == k) {
                next++;
                continue;
            }
            for (int32_t i = 0; i < g->out_h; i++) {
                for (int32_t j = 0; j < g->out_w; j++) {
                    y[(ptrdiff_t)i * g->out_row + (ptrdiff_t)j * g->out_pixel + m] += from[i * g->pitch + j] * 0.0f;
                }
            }
        }
    }
}

/* Stores the first `channels` results of `count` places, of which `first` is the first: made [count][BITC_FSPARSE_ROWS]. y is where pixel
 * 0 has them. */
BITC_INLINE void bitc_fsparse_store(const bitc_fsparse *g, const float *made, int32_t first, int32_t count,
                                    int32_t channels, float *y) {
    int32_t column = first % g->pitch;
    float *row = y + (ptrdiff_t)(first / g->pitch) * g->out_row;
    for (int32_t p = 0; p < count; p++, made += BITC_FSPARSE_ROWS) {
        float *pixel = row + (ptrdiff_t)column * g->out_pixel;
        if (column < g->out_w) {
            if (channels >= BITC_FSPARSE_ROWS) {
                memcpy(pixel, made, BITC_FSPARSE_ROWS * sizeof *made);
            } else {
                for (int32_t c = 0; c < channels; c++) pixel[c] = made[c];
            }
        }
        if (++column == g->pitch) {
            column = 0;
            row += g->out_row;
        }
    }
}

/* The results y of one image at places [p, p + count), count <= BITC_FSPARSE_PLACES; x and y are where the image's place 0 is. */
typedef void bitc_fsparse_piece(const bitc_fsparse *g, const bitc_fsparse_matrix *w, const float *x, float *y, int32_t p,
                                int32_t count);

/* y [images, out_h, out_w, rows] of x [images, image], image_y floats apart, piece by piece. x and y do not overlap. */
BITC_INLINE void bitc_fsparse_images(const bitc_fsparse *g, const bitc_fsparse_matrix *w, const float *x, int32_t images,
                                     float *y, ptrdiff_t image_y, bitc_fsparse_piece *piece) {
    const int32_t run = bitc_fsparse_run(g);
    for (int32_t image = 0; image < images; image++, x += g->image, y += image_y) {
        for (int32_t p = 0; p < run; p += BITC_FSPARSE_PLACES) {
            piece(g, w, x, y, p, run - p < BITC_FSPARSE_PLACES ? run - p : BITC_FSPARSE_PLACES);
        }
        if (!bitc_fsparse_finite(x, g->image)) bitc_fsparse_zeros(g, x, w, y);
    }
}

/* y [images, rows] of a single place, where column k reads x[k]. Of each row four sums take turns, which are added in twos. x and y do not
 * overlap. */
static inline void bitc_fsparse_dots(const bitc_fsparse *g, const float *x, int32_t images, const int32_t *starts,
                                     const uint16_t *columns, const float *values, float *y) {
    const bitc_fsparse_matrix w = {starts, columns, values, 0};
    for (int32_t image = 0; image < images; image++, x += g->image, y += g->rows) {
        int32_t e = 0;
        for (int32_t m = 0; m < g->rows; m++) {
            float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            for (; e + 4 <= starts[m + 1]; e += 4) {
                for (int l = 0; l < 4; l++) sum[l] += values[e + l] * x[columns[e + l]];
            }
            for (; e < starts[m + 1]; e++) sum[0] += values[e] * x[columns[e]];
            y[m] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        }
        if (!bitc_fsparse_finite(x, g->image)) bitc_fsparse_zeros(g, x, &w, y);
    }
}

#endif
