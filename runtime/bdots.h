/* Products of two computed stacks of rows of codes: the loops around a popcount, and their contract.
 *
 * A row of K codes is `planes` bit planes of `words` words each, plane i of a code c = lo + step*n is 0 where n > i (as of
 * bpack_portable.h); padding bits are 0. With signs s_p = 1 - 2*bit, c = (lo + hi + step * sum_p s_p) / 2, so that
 *
 *     4 * sum_k x_k*y_k  =  X*Y*K  +  X*t*sum_q S(y_q)  +  Y*s*sum_p S(x_p)  +  s*t*sum_pq (K - 2*popcount(x_p ^ y_q))
 *
 * where X, Y are lo + hi, s, t the steps and S(y_q) = K - 2*popcount(y_q). Rows whose two planes are equal (no code is the
 * middle one of three) are counted once and doubled.
 *
 *   x    uint64 [stack][m][x.planes][words]
 *   y    uint64 [stack][n][y.planes][words]
 *   acc  int32  [stack][m][n] = sum_k x_k*y_k; four times it, and each term above, must fit
 */
#ifndef BITC_BDOTS_H
#define BITC_BDOTS_H

#include "base.h"

#define BITC_BDOTS_BLOCK 64

typedef struct bitc_bdots_side {
    int32_t planes, step, ends; /* ends: lowest + highest code */
} bitc_bdots_side;

typedef struct bitc_bdots {
    int32_t stack, m, n;  /* matrices; rows of x and of y in each */
    int32_t words, terms; /* words of a plane, codes of a row */
    bitc_bdots_side x, y;
} bitc_bdots;

typedef int32_t bitc_popcount(uint64_t v);

/* The sum of S over the planes of a row. */
BITC_INLINE int32_t bitc_bdots_signs(const uint64_t *row, int32_t planes, int32_t words, int32_t terms,
                                     bitc_popcount *count) {
    int32_t ones = 0;
    for (int32_t r = 0; r < planes * words; r++) ones += count(row[r]);
    return planes * terms - 2 * ones;
}

/* Planes of a row that have to be counted: one of two that are equal. */
BITC_INLINE int32_t bitc_bdots_unlike(const uint64_t *row, int32_t planes, int32_t words) {
    return planes == 2 && !memcmp(row, row + words, sizeof *row * (size_t)words) ? 1 : planes;
}

/* popcount(x_p ^ y_q) summed over the planes given. */
BITC_INLINE int32_t bitc_bdots_pops(const uint64_t *x, int32_t x_planes, const uint64_t *y, int32_t y_planes,
                                    int32_t words, bitc_popcount *count) {
    int32_t pops = 0;
    for (int32_t p = 0; p < x_planes; p++) {
        for (int32_t q = 0; q < y_planes; q++) {
            for (int32_t r = 0; r < words; r++) pops += count(x[p * words + r] ^ y[q * words + r]);
        }
    }
    return pops;
}

/* out[j] = times * popcount(row ^ the first plane of row j of the block). */
BITC_INLINE void bitc_bdots_alike(const uint64_t *row, const uint64_t *block, ptrdiff_t y_row, int32_t columns,
                                  int32_t words, int32_t times, int32_t *out, bitc_popcount *count) {
    for (int32_t j = 0; j < columns; j++, block += y_row) out[j] = times * bitc_bdots_pops(row, 1, block, 1, words, count);
}

/* One matrix. */
BITC_INLINE void bitc_bdots_matrix(const bitc_bdots *g, const uint64_t *x, const uint64_t *y, int32_t *acc,
                                   bitc_popcount *count) {
    const ptrdiff_t x_row = (ptrdiff_t)g->x.planes * g->words, y_row = (ptrdiff_t)g->y.planes * g->words;
    const int32_t steps = g->x.step * g->y.step;
    for (int32_t first = 0; first < g->n; first += BITC_BDOTS_BLOCK) {
        const int32_t columns = g->n - first < BITC_BDOTS_BLOCK ? g->n - first : BITC_BDOTS_BLOCK;
        const uint64_t *const block = y + first * y_row;
        int32_t unlike[BITC_BDOTS_BLOCK], base[BITC_BDOTS_BLOCK], all_like = 1;
        for (int32_t j = 0; j < columns; j++) {
            const int32_t signs = bitc_bdots_signs(block + j * y_row, g->y.planes, g->words, g->terms, count);
            unlike[j] = bitc_bdots_unlike(block + j * y_row, g->y.planes, g->words);
            all_like &= unlike[j] == 1;
            base[j] = g->x.ends * (g->y.ends * g->terms + g->y.step * signs) + steps * g->x.planes * g->y.planes * g->terms;
        }
        for (int32_t i = 0; i < g->m; i++) {
            const uint64_t *const row = x + i * x_row;
            const int32_t planes = bitc_bdots_unlike(row, g->x.planes, g->words);
            const int32_t signs = bitc_bdots_signs(row, g->x.planes, g->words, g->terms, count);
            const int32_t own = g->y.ends * g->x.step * signs, times = g->x.planes / planes;
            int32_t *const out = acc + (ptrdiff_t)i * g->n + first;
            if (all_like && planes == 1 && g->words == 1) { /* 64 codes, as heads often have */
                bitc_bdots_alike(row, block, y_row, columns, 1, g->y.planes, out, count);
            } else if (all_like && planes == 1) {
                bitc_bdots_alike(row, block, y_row, columns, g->words, g->y.planes, out, count);
            } else {
                for (int32_t j = 0; j < columns; j++) {
                    const int32_t pops = bitc_bdots_pops(row, planes, block + j * y_row, unlike[j], g->words, count);
                    out[j] = g->y.planes / unlike[j] * pops;
                }
            }
            for (int32_t j = 0; j < columns; j++) out[j] = (base[j] + own - 2 * steps * times * out[j]) / 4;
        }
    }
}

BITC_INLINE void bitc_bdots_all(const bitc_bdots *g, const uint64_t *x, const uint64_t *y, int32_t *acc,
                                bitc_popcount *count) {
    for (int32_t s = 0; s < g->stack; s++) {
        bitc_bdots_matrix(g, x, y, acc, count);
        x += (ptrdiff_t)g->m * g->x.planes * g->words;
        y += (ptrdiff_t)g->n * g->y.planes * g->words;
        acc += (ptrdiff_t)g->m * g->n;
    }
}

#endif
