/* Running sums over the middle axis of [outer][len][inner], in any type. Plain C. */
#ifndef BITC_CUMSUM_H
#define BITC_CUMSUM_H

#include "base.h"

/* bitc_cumsum_<name>(x, y, outer, len, inner, exclusive, reverse): y[k] is the sum of x[0] .. x[k], one after another;
 * without x[k] if `exclusive`; from the end if `reverse`. Integers wrap round in `wide`. x and y do not overlap. */
#define BITC_CUMSUM(name, type, wide)                                                                                  \
    static inline void name(const type *x, type *y, int32_t outer, int32_t len, int32_t inner, int32_t exclusive,      \
                            int32_t reverse) {                                                                         \
        const ptrdiff_t step = reverse ? -(ptrdiff_t)inner : inner;                                                    \
        for (ptrdiff_t o = 0; o < outer; o++) {                                                                        \
            for (ptrdiff_t i = 0; i < inner; i++) {                                                                    \
                ptrdiff_t at = (o * len + (reverse ? len - 1 : 0)) * inner + i;                                        \
                wide sum = 0;                                                                                          \
                for (int32_t k = 0; k < len; k++, at += step) {                                                        \
                    const wide next = (wide)x[at];                                                                     \
                    y[at] = (type)sum;                                                                                 \
                    sum = k > 0 || exclusive ? (wide)(sum + next) : next;                                              \
                    y[at] = exclusive ? y[at] : (type)sum;                                                             \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

BITC_CUMSUM(bitc_cumsum_f32, float, float)
BITC_CUMSUM(bitc_cumsum_f64, double, double)
BITC_CUMSUM(bitc_cumsum_i8, int8_t, uint32_t)
BITC_CUMSUM(bitc_cumsum_u8, uint8_t, uint32_t)
BITC_CUMSUM(bitc_cumsum_i16, int16_t, uint32_t)
BITC_CUMSUM(bitc_cumsum_u16, uint16_t, uint32_t)
BITC_CUMSUM(bitc_cumsum_i32, int32_t, uint32_t)
BITC_CUMSUM(bitc_cumsum_u32, uint32_t, uint32_t)
BITC_CUMSUM(bitc_cumsum_i64, int64_t, uint64_t)
BITC_CUMSUM(bitc_cumsum_u64, uint64_t, uint64_t)

#endif
