/* Selection over the middle axis of float [outer][len][inner]: argmax, argmin, top-k. */
#ifndef BITC_F32_SELECT_H
#define BITC_F32_SELECT_H

#include "base.h"

/* Whether v takes the place of best; NaN is the most extreme value, as in NumPy. */
BITC_INLINE int bitc_fbeats(float v, float best, const int least, const int last) {
    const int ahead = least ? v < best : v > best;
    if (last) {
        return ahead | (v == best) | (v != v);
    }
    return ahead | ((v != v) & (best == best));
}

BITC_INLINE void bitc_farg(const float *x, int64_t *y, int32_t outer, int32_t len, int32_t inner, const int least,
                           const int last) {
    enum { CHUNK = 64 };
    for (int32_t o = 0; o < outer; o++, x += (ptrdiff_t)len * inner, y += inner) {
        for (int32_t i0 = 0; i0 < inner; i0 += CHUNK) {
            const int32_t n = inner - i0 < CHUNK ? inner - i0 : CHUNK;
            float best[CHUNK];
            int32_t index[CHUNK] = {0};
            memcpy(best, x + i0, sizeof(float) * (size_t)n);
            for (int32_t k = 1; k < len; k++) {
                const float *row = x + (ptrdiff_t)k * inner + i0;
                for (int32_t i = 0; i < n; i++) {
                    const float v = row[i];
                    const int better = bitc_fbeats(v, best[i], least, last);
                    best[i] = better ? v : best[i];
                    index[i] = better ? k : index[i];
                }
            }
            for (int32_t i = 0; i < n; i++) {
                y[i0 + i] = index[i];
            }
        }
    }
}

/* x [outer][len][inner], len >= 1 -> y [outer][inner]: the index of the greatest value, the first of equals or, with
 * `last`, the last of them. A NaN is greater than any number. */
static inline void bitc_fargmax(const float *x, int64_t *y, int32_t outer, int32_t len, int32_t inner, int32_t last) {
    if (last) {
        bitc_farg(x, y, outer, len, inner, 0, 1);
    } else {
        bitc_farg(x, y, outer, len, inner, 0, 0);
    }
}

/* The index of the least value; a NaN is less than any number. */
static inline void bitc_fargmin(const float *x, int64_t *y, int32_t outer, int32_t len, int32_t inner, int32_t last) {
    if (last) {
        bitc_farg(x, y, outer, len, inner, 1, 1);
    } else {
        bitc_farg(x, y, outer, len, inner, 1, 0);
    }
}

/* An integer with the order of the floats, reversed for the smallest first; -0 equals +0, NaN is the greatest. */
BITC_INLINE int32_t bitc_ftopk_key(float v, int32_t largest) {
    int32_t bits = INT32_MAX;
    if (v == v) {
        v += 0.0f;
        memcpy(&bits, &v, sizeof bits);
        bits = bits < 0 ? INT32_MIN - bits : bits;
    }
    return largest ? bits : -bits;
}

/* Whether element i of x comes before element j in the result. */
BITC_INLINE int bitc_ftopk_before(const float *x, ptrdiff_t stride, int32_t largest, int64_t i, int64_t j) {
    const int32_t a = bitc_ftopk_key(x[i * stride], largest), b = bitc_ftopk_key(x[j * stride], largest);
    return a != b ? a > b : i < j;
}

/* Moves the index at `at` down the heap of `count` indices, whose root is the element that comes last. */
BITC_INLINE void bitc_ftopk_sift(const float *x, int64_t *heap, ptrdiff_t stride, int32_t largest, int32_t at,
                                 int32_t count) {
    const int64_t moved = heap[at * stride];
    for (int32_t child = 2 * at + 1; child < count; at = child, child = 2 * at + 1) {
        if (child + 1 < count &&
            bitc_ftopk_before(x, stride, largest, heap[child * stride], heap[(child + 1) * stride])) {
            child++;
        }
        if (!bitc_ftopk_before(x, stride, largest, moved, heap[child * stride])) {
            break;
        }
        heap[at * stride] = heap[child * stride];
    }
    heap[at * stride] = moved;
}

/* The k best of len elements `stride` apart, sorted; the indices' own place is the heap. */
BITC_INLINE void bitc_ftopk_one(const float *x, float *values, int64_t *indices, ptrdiff_t stride, int32_t len,
                                int32_t k, int32_t largest) {
    for (int32_t i = 0; i < k; i++) {
        indices[i * stride] = i;
    }
    for (int32_t i = k / 2; i-- > 0;) {
        bitc_ftopk_sift(x, indices, stride, largest, i, k);
    }
    for (int32_t i = k; i < len; i++) {
        if (bitc_ftopk_before(x, stride, largest, i, indices[0])) {
            indices[0] = i;
            bitc_ftopk_sift(x, indices, stride, largest, 0, k);
        }
    }
    for (int32_t i = k - 1; i > 0; i--) {
        const int64_t worst = indices[0];
        indices[0] = indices[i * stride];
        indices[i * stride] = worst;
        bitc_ftopk_sift(x, indices, stride, largest, 0, i);
    }
    for (int32_t i = 0; i < k; i++) {
        values[i * stride] = x[indices[i * stride] * stride];
    }
}

/* x [outer][len][inner] -> values and indices [outer][k][inner], 1 <= k <= len: the k largest, or else smallest,
 * sorted from the first on; of equal values the lower index comes first. A NaN is greater than any number. */
static inline void bitc_ftopk(const float *x, float *values, int64_t *indices, int32_t outer, int32_t len,
                              int32_t inner, int32_t k, int32_t largest) {
    for (int32_t o = 0; o < outer; o++) {
        for (int32_t i = 0; i < inner; i++) {
            const ptrdiff_t from = (ptrdiff_t)o * len * inner + i, to = (ptrdiff_t)o * k * inner + i;
            bitc_ftopk_one(x + from, values + to, indices + to, inner, len, k, largest);
        }
    }
}

#endif
