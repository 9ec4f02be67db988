/* Float reductions over the middle axis of [outer][len][inner]: sum, mean, max, min. */
#ifndef BITC_F32_REDUCE_H
#define BITC_F32_REDUCE_H

#include "base.h"

/* Columns that are reduced at a time; extremes of a row that are found side by side. */
#define BITC_FREDUCE_CHUNK 64
#define BITC_FREDUCE_LANES 32

enum { BITC_FREDUCE_SUM, BITC_FREDUCE_MAX, BITC_FREDUCE_MIN };

/* a op b; max and min keep a NaN, and a of two equal values. */
BITC_INLINE float bitc_fcombine(float a, float b, const int op) {
    if (op == BITC_FREDUCE_SUM) {
        return a + b;
    }
    return ((op == BITC_FREDUCE_MAX ? b > a : b < a) | (b != b)) ? b : a;
}

/* The sum of len consecutive floats in the order of bitc_freduce_columns. */
BITC_INLINE float bitc_fsum_row(const float *x, ptrdiff_t len) {
    const ptrdiff_t fours = len - len % 4;
    float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
    for (ptrdiff_t k = 0; k < fours; k += 4) {
        a += x[k], b += x[k + 1], c += x[k + 2], d += x[k + 3];
    }
    a = (a + c) + (b + d);
    for (ptrdiff_t k = fours; k < len; k++) {
        a += x[k];
    }
    return a;
}

/* The greatest or least of len consecutive floats, in any order. */
BITC_INLINE float bitc_fextreme_row(const float *x, ptrdiff_t len, const int op) {
    const ptrdiff_t lanes = BITC_FREDUCE_LANES, chunks = len - len % lanes;
    float best = x[0];
    if (chunks > 0) {
        float part[BITC_FREDUCE_LANES];
        memcpy(part, x, sizeof part);
        for (ptrdiff_t k = lanes; k < chunks; k += lanes) {
            for (int lane = 0; lane < BITC_FREDUCE_LANES; lane++) {
                part[lane] = bitc_fcombine(part[lane], x[k + lane], op);
            }
        }
        for (int lane = 0; lane < BITC_FREDUCE_LANES; lane++) {
            best = bitc_fcombine(best, part[lane], op);
        }
    }
    for (ptrdiff_t k = chunks; k < len; k++) {
        best = bitc_fcombine(best, x[k], op);
    }
    return best;
}

/* Reduces len rows of n <= BITC_FREDUCE_CHUNK columns. Every fourth row goes to the same of four partial results
 * a, b, c, d; the result is (a op c) op (b op d), then the last len % 4 rows. This is the order of onnxruntime's
 * global pooling over the pixels. */
BITC_INLINE void bitc_freduce_columns(const float *x, float *y, ptrdiff_t len, ptrdiff_t stride, int32_t n,
                                      const int op) {
    const ptrdiff_t fours = len - len % 4;
    float part[4][BITC_FREDUCE_CHUNK];
    for (int lane = 0; lane < 4; lane++) {
        for (int32_t i = 0; i < n; i++) {
            part[lane][i] = op == BITC_FREDUCE_SUM ? 0.0f : x[i];
        }
    }
    for (ptrdiff_t k = 0; k < fours; k += 4) {
        const float *row = x + k * stride;
        for (int32_t i = 0; i < n; i++) {
            part[0][i] = bitc_fcombine(part[0][i], row[i], op);
            part[1][i] = bitc_fcombine(part[1][i], row[stride + i], op);
            part[2][i] = bitc_fcombine(part[2][i], row[2 * stride + i], op);
            part[3][i] = bitc_fcombine(part[3][i], row[3 * stride + i], op);
        }
    }
    for (int32_t i = 0; i < n; i++) {
        const float even = bitc_fcombine(part[0][i], part[2][i], op);
        part[0][i] = bitc_fcombine(even, bitc_fcombine(part[1][i], part[3][i], op), op);
    }
    for (ptrdiff_t k = fours; k < len; k++) {
        for (int32_t i = 0; i < n; i++) {
            part[0][i] = bitc_fcombine(part[0][i], x[k * stride + i], op);
        }
    }
    memcpy(y, part[0], sizeof(float) * (size_t)n);
}

BITC_INLINE void bitc_freduce(const float *x, float *y, int32_t outer, int32_t len, int32_t inner, const int op) {
    for (int32_t o = 0; o < outer; o++, x += (ptrdiff_t)len * inner, y += inner) {
        if (inner == 1) {
            *y = op == BITC_FREDUCE_SUM ? bitc_fsum_row(x, len) : bitc_fextreme_row(x, len, op);
            continue;
        }
        for (int32_t i = 0; i < inner; i += BITC_FREDUCE_CHUNK) {
            const int32_t n = inner - i < BITC_FREDUCE_CHUNK ? inner - i : BITC_FREDUCE_CHUNK;
            bitc_freduce_columns(x + i, y + i, len, inner, n, op);
        }
    }
}

/* x [outer][len][inner], len >= 1 -> y [outer][inner]: the sum over len, in the order of bitc_freduce_columns. */
static inline void bitc_freduce_sum(const float *x, float *y, int32_t outer, int32_t len, int32_t inner) {
    bitc_freduce(x, y, outer, len, inner, BITC_FREDUCE_SUM);
}

/* The sum divided by len; bit for bit onnxruntime's GlobalAveragePool. */
static inline void bitc_freduce_mean(const float *x, float *y, int32_t outer, int32_t len, int32_t inner) {
    bitc_freduce_sum(x, y, outer, len, inner);
    for (ptrdiff_t i = 0; i < (ptrdiff_t)outer * inner; i++) {
        y[i] /= (float)len;
    }
}

/* The greatest; NaN if any is NaN. */
static inline void bitc_freduce_max(const float *x, float *y, int32_t outer, int32_t len, int32_t inner) {
    bitc_freduce(x, y, outer, len, inner, BITC_FREDUCE_MAX);
}

/* The least; NaN if any is NaN. */
static inline void bitc_freduce_min(const float *x, float *y, int32_t outer, int32_t len, int32_t inner) {
    bitc_freduce(x, y, outer, len, inner, BITC_FREDUCE_MIN);
}

#endif
