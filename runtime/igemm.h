/* Products of stacks of integer matrices that are both computed: the right ones put in the order of the integer
 * convolution's weights, and its kernels over a stack. */
#ifndef BITC_IGEMM_H
#define BITC_IGEMM_H

#include "iconv.h"

/* Two axes of a stack of products, and how far each side moves from one product to the next along them. */
typedef struct bitc_istack {
    int32_t outer, inner;
    int32_t x_outer, x_inner; /* values */
    int32_t w_outer, w_inner; /* matrices */
} bitc_istack;

/* A stack of matrices [depth][columns] anywhere in memory: values from one to the next along each axis. */
typedef struct bitc_imatrices {
    int32_t outer, inner, depth, columns;
    int32_t outer_step, inner_step, depth_step, column_step;
    int32_t lowest; /* what base counts */
} bitc_imatrices;

/* bitc_ipack_<type>_<isa>(g, y, w, base):
 *   w     [outer * inner][ceil(columns / block)][ceil(depth / side)][block][side], as iconv.h says of a run of `depth`
 *   base  [outer * inner][ceil(columns / block) * block] = lowest * the sum of each column, which must fit
 * A target packs one block of n columns at a time, and adds the columns of a packed block up. */
typedef void bitc_ipack_block(const bitc_imatrices *g, const void *y, void *w, int32_t n);
typedef void bitc_ipack_sums(const bitc_imatrices *g, const void *w, int32_t *base);

/* w[i] = y[j] of bytes, or else of int16_t. */
BITC_INLINE void bitc_ipack_value(const void *y, ptrdiff_t j, void *w, ptrdiff_t i, const int bytes) {
    if (bytes) {
        ((int8_t *)w)[i] = ((const int8_t *)y)[j];
    } else {
        ((int16_t *)w)[i] = ((const int16_t *)y)[j];
    }
}

/* Values [from, to) of each of n columns in entry e of a block; the first of them is number k of its column. */
BITC_INLINE void bitc_ipack_entry(const bitc_imatrices *g, const void *y, void *w, ptrdiff_t e, ptrdiff_t k, int32_t n,
                                  int32_t from, int32_t to, const int block, const int side, const int bytes) {
    const ptrdiff_t first = e * block * side;
    if (n < block || to - from < side) {
        memset((char *)w + first * (bytes ? 1 : 2), 0, (size_t)(block * side * (bytes ? 1 : 2)));
    }
    for (ptrdiff_t l = 0; l < n; l++) {
        for (ptrdiff_t s = from; s < to; s++) {
            bitc_ipack_value(y, (k + s - from) * g->depth_step + l * g->column_step, w, first + l * side + s, bytes);
        }
    }
}

/* The last entry of a block, if it is not full: it holds what earlier ones do not, where a column ends. */
BITC_INLINE void bitc_ipack_rest(const bitc_imatrices *g, const void *y, void *w, int32_t n, const int block,
                                 const int side, const int bytes) {
    const int32_t full = g->depth / side, rest = g->depth % side, from = full ? side - rest : 0;
    if (rest) {
        bitc_ipack_entry(g, y, w, full, full * side, n, from, from + rest, block, side, bytes);
    }
}

/* One block in plain C. */
BITC_INLINE void bitc_ipack_plain(const bitc_imatrices *g, const void *y, void *w, int32_t n, const int block,
                                  const int side, const int bytes) {
    for (int32_t e = 0; e < g->depth / side; e++) {
        bitc_ipack_entry(g, y, w, e, (ptrdiff_t)e * side, n, 0, side, block, side, bytes);
    }
    bitc_ipack_rest(g, y, w, n, block, side, bytes);
}

/* lowest times the sums of its columns, in plain C. */
BITC_INLINE void bitc_ipack_plain_sums(const bitc_imatrices *g, const void *w, int32_t *base, const int block,
                                       const int side, const int bytes) {
    const ptrdiff_t values = (ptrdiff_t)((g->depth + side - 1) / side) * block * side;
    memset(base, 0, sizeof(int32_t) * (size_t)block);
    for (ptrdiff_t i = 0; i < values; i++) {
        base[i / side % block] += g->lowest * (bytes ? ((const int8_t *)w)[i] : ((const int16_t *)w)[i]);
    }
}

/* A stack, block after block. */
BITC_INLINE void bitc_ipack_all(const bitc_imatrices *g, const void *y, void *w, int32_t *base, const int block,
                                const int side, const int bytes, bitc_ipack_block *pack, bitc_ipack_sums *sums) {
    const ptrdiff_t size = bytes ? 1 : 2, values = (ptrdiff_t)((g->depth + side - 1) / side) * block * side;
    char *to = (char *)w;
    for (int32_t m = 0; m < g->outer * g->inner; m++) {
        const ptrdiff_t at = (ptrdiff_t)(m / g->inner) * g->outer_step + (ptrdiff_t)(m % g->inner) * g->inner_step;
        for (int32_t c = 0; c < g->columns; c += block, to += values * size, base += block) {
            const char *from = (const char *)y + (at + (ptrdiff_t)c * g->column_step) * size;
            pack(g, from, to, bitc_imin32(block, g->columns - c));
            if (g->lowest) {
                sums(g, to, base);
            } else {
                memset(base, 0, sizeof(int32_t) * (size_t)block);
            }
        }
    }
}

/* bitc_igemm_<x>_<w>_<isa>(g, s, x, w, base, y): y [outer * inner][rows][out_c] = base + x * w for each product of the
 * stack, by a kernel of the integer convolution. g is that of a 1x1 window of one run: out_w rows of x that lie in_pixel
 * values apart. w and base are as bitc_ipack leaves them. y overlaps no operand. */

/* Where product number p of a stack begins on every side. */
typedef struct bitc_iproduct {
    ptrdiff_t x, w, base, y;
} bitc_iproduct;

BITC_INLINE bitc_iproduct bitc_iproduct_at(const bitc_iconv *g, const bitc_istack *s, int32_t p, const int block,
                                           const int side) {
    const ptrdiff_t o = p / s->inner, i = p % s->inner, matrix = o * s->w_outer + i * s->w_inner;
    const ptrdiff_t columns = (ptrdiff_t)((g->out_c + block - 1) / block) * block;
    const bitc_iproduct at = {o * s->x_outer + i * s->x_inner, matrix * columns * side * bitc_iconv_terms(g, side),
                              matrix * columns, (ptrdiff_t)p * g->out_w * g->out_c};
    return at;
}

#endif
