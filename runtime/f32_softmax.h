/* Float softmax and log-softmax over the middle axis of [outer][len][inner]. */
#ifndef BITC_F32_SOFTMAX_H
#define BITC_F32_SOFTMAX_H

#include "f32_exp.h"
#include "f32_reduce.h"

#include <math.h>

/* The sum of a row in any order: as many at once. gcc unrolls loops of up to 16 rounds before it could vectorise them. */
#define BITC_FSOFTMAX_LANES 32

/* The sum of len floats. */
BITC_INLINE float bitc_frow_sum(const float *x, ptrdiff_t len) {
    float sum[BITC_FSOFTMAX_LANES] = {0.0f};
    ptrdiff_t k = 0;
    for (; k + BITC_FSOFTMAX_LANES <= len; k += BITC_FSOFTMAX_LANES) {
        for (int i = 0; i < BITC_FSOFTMAX_LANES; i++) sum[i] += x[k + i];
    }
    return bitc_fsum_row(sum, BITC_FSOFTMAX_LANES) + bitc_fsum_row(x + k, len - k);
}

/* One slice of len rows of n <= BITC_FREDUCE_CHUNK columns, rows `stride` floats apart; log: log-softmax. */
BITC_INLINE void bitc_fsoftmax_columns(const float *x, float *y, ptrdiff_t len, ptrdiff_t stride, int32_t n,
                                       const int log) {
    float top[BITC_FREDUCE_CHUNK], sum[BITC_FREDUCE_CHUNK], term[BITC_FREDUCE_CHUNK];
    bitc_freduce_columns(x, top, len, stride, n, BITC_FREDUCE_MAX);
    memset(sum, 0, sizeof sum);
    for (ptrdiff_t k = 0; k < len; k++) {
        for (int32_t i = 0; i < n; i++) {
            const float shifted = x[k * stride + i] - top[i];
            term[i] = bitc_fexp(shifted);
            y[k * stride + i] = log ? shifted : term[i];
            sum[i] += term[i];
        }
    }
    for (int32_t i = 0; i < n; i++) {
        term[i] = log ? logf(sum[i]) : sum[i];
    }
    for (ptrdiff_t k = 0; k < len; k++) {
        for (int32_t i = 0; i < n; i++) {
            y[k * stride + i] = log ? y[k * stride + i] - term[i] : y[k * stride + i] / term[i];
        }
    }
}

/* Sum of e^x of len consecutive floats. */
BITC_INLINE float bitc_fsum_exp(const float *x, ptrdiff_t len) {
    float term[BITC_FREDUCE_CHUNK], sum = 0.0f;
    for (ptrdiff_t k = 0; k < len; k += BITC_FREDUCE_CHUNK) {
        const ptrdiff_t n = len - k < BITC_FREDUCE_CHUNK ? len - k : BITC_FREDUCE_CHUNK;
        for (ptrdiff_t i = 0; i < n; i++) {
            term[i] = bitc_fexp(x[k + i]);
        }
        sum += bitc_frow_sum(term, n);
    }
    return sum;
}

/* One slice of len consecutive floats. A chunk is made beside y: loops from x to a y that may be x do not vectorise. */
BITC_INLINE void bitc_fsoftmax_row(const float *x, float *y, ptrdiff_t len, const int log) {
    const float top = bitc_fextreme_row(x, len, BITC_FREDUCE_MAX);
    float term[BITC_FREDUCE_CHUNK];
    for (ptrdiff_t k = 0; k < len; k += BITC_FREDUCE_CHUNK) {
        const ptrdiff_t n = len - k < BITC_FREDUCE_CHUNK ? len - k : BITC_FREDUCE_CHUNK;
        for (ptrdiff_t i = 0; i < n; i++) {
            term[i] = log ? x[k + i] - top : bitc_fexp(x[k + i] - top);
        }
        memcpy(y + k, term, (size_t)n * sizeof *y);
    }
    const float by = log ? logf(bitc_fsum_exp(y, len)) : bitc_frow_sum(y, len);
    for (ptrdiff_t k = 0; k < len; k++) {
        y[k] = log ? y[k] - by : y[k] / by;
    }
}

BITC_INLINE void bitc_fsoftmax_any(const float *x, float *y, int32_t outer, int32_t len, int32_t inner,
                                   const int log) {
    for (int32_t o = 0; o < outer; o++, x += (ptrdiff_t)len * inner, y += (ptrdiff_t)len * inner) {
        if (inner == 1) {
            bitc_fsoftmax_row(x, y, len, log);
            continue;
        }
        for (int32_t i = 0; i < inner; i += BITC_FREDUCE_CHUNK) {
            const int32_t n = inner - i < BITC_FREDUCE_CHUNK ? inner - i : BITC_FREDUCE_CHUNK;
            bitc_fsoftmax_columns(x + i, y + i, len, inner, n, log);
        }
    }
}

/* x, y [outer][len][inner], len >= 1; y = exp(x - max) / sum over len of exp(x - max); in place if y == x.
 * A NaN, or +infinity, in a slice makes it NaN. */
static inline void bitc_fsoftmax(const float *x, float *y, int32_t outer, int32_t len, int32_t inner) {
    bitc_fsoftmax_any(x, y, outer, len, inner, 0);
}

/* y = (x - max) - log(sum over len of exp(x - max)); in place if y == x. */
static inline void bitc_flog_softmax(const float *x, float *y, int32_t outer, int32_t len, int32_t inner) {
    bitc_fsoftmax_any(x, y, outer, len, inner, 1);
}

#endif
