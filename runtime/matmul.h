/* Products of stacks of matrices with any strides, in any type: for products too small to be worth rearranging, and for
 * integers (modulo 2^bits) and doubles. Plain C. */
#ifndef BITC_MATMUL_H
#define BITC_MATMUL_H

#include "base.h"

/* Two axes of a stack of products a [m][k] x b [k][n]; how far each side moves along every axis, in elements. */
typedef struct bitc_matmul {
    int32_t outer, inner, m, k, n;
    int32_t a_outer, a_inner, a_row, a_column;
    int32_t b_outer, b_inner, b_row, b_column;
} bitc_matmul;

/* bitc_matmul_<name>(g, a, b, y): y [outer * inner][m][n], dense, sums in order of k. `wide` is the type the arithmetic
 * is done in: an unsigned one for integers, so that they wrap round. y overlaps neither a nor b. */
#define BITC_MATMUL(name, type, wide)                                                                                  \
    /* One row of y as a sum of rows of b, whose columns lie side by side. */                                          \
    BITC_INLINE void name##_by_rows(const bitc_matmul *g, const type *a, const type *b, type *y) {                     \
        memset(y, 0, sizeof(type) * (size_t)g->n);                                                                     \
        for (ptrdiff_t k = 0; k < g->k; k++) {                                                                         \
            const wide v = (wide)a[k * g->a_column];                                                                   \
            const type *row = b + k * g->b_row;                                                                        \
            for (ptrdiff_t n = 0; n < g->n; n++) {                                                                     \
                const wide factor = (wide)row[n], sum = (wide)y[n];                                                    \
                y[n] = (type)(wide)(sum + v * factor);                                                                 \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    /* One row of y as inner products, one after another. */                                                           \
    BITC_INLINE void name##_by_columns(const bitc_matmul *g, const type *a, const type *b, type *y) {                  \
        for (ptrdiff_t n = 0; n < g->n; n++) {                                                                         \
            wide sum = 0;                                                                                              \
            for (ptrdiff_t k = 0; k < g->k; k++) {                                                                     \
                sum = (wide)(sum + (wide)a[k * g->a_column] * (wide)b[n * g->b_column + k * g->b_row]);                \
            }                                                                                                          \
            y[n] = (type)sum;                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    static inline void name(const bitc_matmul *g, const type *a, const type *b, type *y) {                             \
        for (ptrdiff_t o = 0; o < g->outer; o++) {                                                                     \
            for (ptrdiff_t i = 0; i < g->inner; i++) {                                                                 \
                const type *left = a + o * g->a_outer + i * g->a_inner;                                                \
                const type *right = b + o * g->b_outer + i * g->b_inner;                                               \
                for (ptrdiff_t m = 0; m < g->m; m++, left += g->a_row, y += g->n) {                                    \
                    if (g->b_column == 1) {                                                                            \
                        name##_by_rows(g, left, right, y);                                                             \
                    } else {                                                                                           \
                        name##_by_columns(g, left, right, y);                                                          \
                    }                                                                                                  \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

BITC_MATMUL(bitc_matmul_f32, float, float)
BITC_MATMUL(bitc_matmul_f64, double, double)
BITC_MATMUL(bitc_matmul_i8, int8_t, uint32_t)
BITC_MATMUL(bitc_matmul_u8, uint8_t, uint32_t)
BITC_MATMUL(bitc_matmul_i16, int16_t, uint32_t)
BITC_MATMUL(bitc_matmul_u16, uint16_t, uint32_t)
BITC_MATMUL(bitc_matmul_i32, int32_t, uint32_t)
BITC_MATMUL(bitc_matmul_u32, uint32_t, uint32_t)
BITC_MATMUL(bitc_matmul_i64, int64_t, uint64_t)
BITC_MATMUL(bitc_matmul_u64, uint64_t, uint64_t)

#endif
