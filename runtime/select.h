/* Selection over the middle axis of [outer][len][inner] in any type but float (f32_select.h): argmax, argmin, top-k.
 * Plain C. */
#ifndef BITC_SELECT_H
#define BITC_SELECT_H

#include "base.h"

/* bitc_arg_<name>(x, y, outer, len, inner, least, last): x [outer][len][inner], len >= 1 -> y [outer][inner]: the index
 * of the greatest value, or the least; the first of equals, or the last. `greater`: whether a is greater than b. */
#define BITC_ARG(name, type, greater)                                                                                  \
    BITC_INLINE int name##_greater(type a, type b) { return greater; }                                                 \
                                                                                                                       \
    static inline void name(const type *x, int64_t *y, int32_t outer, int32_t len, int32_t inner, int32_t least,       \
                            int32_t last) {                                                                            \
        for (ptrdiff_t o = 0; o < outer; o++) {                                                                        \
            for (ptrdiff_t i = 0; i < inner; i++) {                                                                    \
                const type *from = x + o * len * inner + i;                                                            \
                int32_t best = 0;                                                                                      \
                for (int32_t k = 1; k < len; k++) {                                                                    \
                    const type a = from[(ptrdiff_t)k * inner], b = from[(ptrdiff_t)best * inner];                      \
                    const int ahead = least ? name##_greater(b, a) : name##_greater(a, b);                             \
                    best = ahead || (last && a == b) ? k : best;                                                       \
                }                                                                                                      \
                y[o * inner + i] = best;                                                                               \
            }                                                                                                          \
        }                                                                                                              \
    }

/* bitc_topk_<name>(x, values, indices, outer, len, inner, k, largest): values and indices [outer][k][inner], 1 <= k <=
 * len: the k largest, or else smallest, sorted from the first on; of equal values the lower index comes first. Each
 * element is put among the best so far, which are kept in order. */
#define BITC_TOPK(name, type, greater)                                                                                 \
    BITC_INLINE int name##_before(type a, type b, int32_t largest) {                                                   \
        if (!largest) {                                                                                                \
            const type other = a;                                                                                      \
            a = b;                                                                                                     \
            b = other;                                                                                                 \
        }                                                                                                              \
        return greater;                                                                                                \
    }                                                                                                                  \
                                                                                                                       \
    static inline void name(const type *x, type *values, int64_t *indices, int32_t outer, int32_t len, int32_t inner,  \
                            int32_t k, int32_t largest) {                                                              \
        for (ptrdiff_t o = 0; o < outer; o++) {                                                                        \
            for (ptrdiff_t i = 0; i < inner; i++) {                                                                    \
                const type *from = x + o * len * inner + i;                                                            \
                type *best = values + o * k * inner + i;                                                               \
                int64_t *place = indices + o * k * inner + i;                                                          \
                for (int32_t n = 0; n < len; n++) {                                                                    \
                    const type v = from[(ptrdiff_t)n * inner];                                                         \
                    ptrdiff_t at = n < k ? n : k;                                                                      \
                    while (at > 0 && name##_before(v, best[(at - 1) * inner], largest)) {                              \
                        at--;                                                                                          \
                        if (at + 1 < k) {                                                                              \
                            best[(at + 1) * inner] = best[at * inner];                                                 \
                            place[(at + 1) * inner] = place[at * inner];                                               \
                        }                                                                                              \
                    }                                                                                                  \
                    if (at < k) {                                                                                      \
                        best[at * inner] = v;                                                                          \
                        place[at * inner] = n;                                                                         \
                    }                                                                                                  \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

BITC_ARG(bitc_arg_f64, double, (a > b) | ((a != a) & (b == b)))
BITC_ARG(bitc_arg_i8, int8_t, a > b)
BITC_ARG(bitc_arg_u8, uint8_t, a > b)
BITC_ARG(bitc_arg_i16, int16_t, a > b)
BITC_ARG(bitc_arg_u16, uint16_t, a > b)
BITC_ARG(bitc_arg_i32, int32_t, a > b)
BITC_ARG(bitc_arg_u32, uint32_t, a > b)
BITC_ARG(bitc_arg_i64, int64_t, a > b)
BITC_ARG(bitc_arg_u64, uint64_t, a > b)

BITC_TOPK(bitc_topk_f64, double, (a > b) | ((a != a) & (b == b)))
BITC_TOPK(bitc_topk_i8, int8_t, a > b)
BITC_TOPK(bitc_topk_u8, uint8_t, a > b)
BITC_TOPK(bitc_topk_i16, int16_t, a > b)
BITC_TOPK(bitc_topk_u16, uint16_t, a > b)
BITC_TOPK(bitc_topk_i32, int32_t, a > b)
BITC_TOPK(bitc_topk_u32, uint32_t, a > b)
BITC_TOPK(bitc_topk_i64, int64_t, a > b)
BITC_TOPK(bitc_topk_u64, uint64_t, a > b)

#endif
