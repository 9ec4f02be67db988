/* Products of stacks of float matrices: the geometry of a stack, and matrices put in the order of the convolution's
 * weights. */
#ifndef BITC_F32_GEMM_H
#define BITC_F32_GEMM_H

#include "f32_conv.h"

/* Two axes of a stack of products, and how far each side moves from one product to the next along them. */
typedef struct bitc_fstack {
    int32_t outer, inner;
    int32_t a_outer, a_inner; /* floats */
    int32_t w_outer, w_inner; /* matrices */
} bitc_fstack;

/* A stack of matrices [depth][columns] anywhere in memory: floats from one to the next along each axis. */
typedef struct bitc_fmatrices {
    int32_t outer, inner, depth, columns;
    int32_t outer_step, inner_step, depth_step, column_step;
} bitc_fmatrices;

/* One block of columns whose neighbours lie side by side. */
BITC_INLINE void bitc_fpack_rows(const float *x, float *w, int32_t depth, ptrdiff_t depth_step, const int32_t block,
                                 int32_t n) {
    for (int32_t k = 0; k < depth; k++, x += depth_step, w += block) {
        if (n == block) {
            memcpy(w, x, sizeof(float) * (size_t)block);
            continue;
        }
        memset(w, 0, sizeof(float) * (size_t)block);
        memcpy(w, x, sizeof(float) * (size_t)n);
    }
}

/* One block of columns with any strides, in squares that are transposed in registers or in the L1 cache. */
BITC_INLINE void bitc_fpack_columns(const float *x, float *w, int32_t depth, ptrdiff_t depth_step,
                                    ptrdiff_t column_step, const int32_t block, int32_t n) {
    for (int32_t k0 = 0; k0 < depth; k0 += 8) {
        const int32_t k1 = bitc_fmin32(k0 + 8, depth);
        for (int32_t l = 0; l < block; l++) {
            for (int32_t k = k0; k < k1; k++) {
                w[(ptrdiff_t)k * block + l] = l < n ? x[k * depth_step + l * column_step] : 0.0f;
            }
        }
    }
}

BITC_INLINE void bitc_fpack_any(const bitc_fmatrices *g, const float *x, float *w, const int32_t block) {
    for (ptrdiff_t o = 0; o < g->outer; o++) {
        for (ptrdiff_t i = 0; i < g->inner; i++) {
            const float *from = x + o * g->outer_step + i * g->inner_step;
            for (int32_t c = 0; c < g->columns; c += block, w += (ptrdiff_t)g->depth * block) {
                const int32_t n = bitc_fmin32(block, g->columns - c);
                if (g->column_step == 1) {
                    bitc_fpack_rows(from + c, w, g->depth, g->depth_step, block, n);
                } else {
                    bitc_fpack_columns(from + (ptrdiff_t)c * g->column_step, w, g->depth, g->depth_step,
                                       g->column_step, block, n);
                }
            }
        }
    }
}

/* w [outer * inner][ceil(columns / 8)][depth][8]: the matrices of x in blocks of columns, missing columns zero. */
static inline void bitc_fpack_matrices_8(const bitc_fmatrices *g, const float *x, float *w) {
    bitc_fpack_any(g, x, w, 8);
}

/* The same in blocks of 16. */
static inline void bitc_fpack_matrices_16(const bitc_fmatrices *g, const float *x, float *w) {
    bitc_fpack_any(g, x, w, 16);
}

#endif
