/* Reductions over the middle axis of [outer][len][inner] in any type: sum, product, max, min. Plain C; the float sums,
 * means and extremes of networks are in f32_reduce.h. */
#ifndef BITC_REDUCE_H
#define BITC_REDUCE_H

#include "base.h"

/* bitc_reduce_<kind>_<name>(x, y, outer, len, inner): x [outer][len][inner], len >= 1 -> y [outer][inner]; a is what
 * was combined so far, b the next value, both as `wide` (unsigned for sums and products of integers, which wrap). */
#define BITC_REDUCE(name, type, wide, combined)                                                                        \
    static inline void name(const type *x, type *y, int32_t outer, int32_t len, int32_t inner) {                       \
        for (int32_t o = 0; o < outer; o++, y += inner) {                                                              \
            memcpy(y, x, sizeof(type) * (size_t)inner);                                                                \
            x += inner;                                                                                                \
            for (int32_t k = 1; k < len; k++, x += inner) {                                                            \
                for (int32_t i = 0; i < inner; i++) {                                                                  \
                    const wide a = (wide)y[i], b = (wide)x[i];                                                         \
                    y[i] = (type)(combined);                                                                           \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

BITC_REDUCE(bitc_reduce_sum_f64, double, double, a + b)
BITC_REDUCE(bitc_reduce_sum_i8, int8_t, uint32_t, a + b)
BITC_REDUCE(bitc_reduce_sum_u8, uint8_t, uint32_t, a + b)
BITC_REDUCE(bitc_reduce_sum_i16, int16_t, uint32_t, a + b)
BITC_REDUCE(bitc_reduce_sum_u16, uint16_t, uint32_t, a + b)
BITC_REDUCE(bitc_reduce_sum_i32, int32_t, uint32_t, a + b)
BITC_REDUCE(bitc_reduce_sum_u32, uint32_t, uint32_t, a + b)
BITC_REDUCE(bitc_reduce_sum_i64, int64_t, uint64_t, a + b)
BITC_REDUCE(bitc_reduce_sum_u64, uint64_t, uint64_t, a + b)
BITC_REDUCE(bitc_reduce_prod_f32, float, float, a * b)
BITC_REDUCE(bitc_reduce_prod_f64, double, double, a * b)
BITC_REDUCE(bitc_reduce_prod_i8, int8_t, uint32_t, a * b)
BITC_REDUCE(bitc_reduce_prod_u8, uint8_t, uint32_t, a * b)
BITC_REDUCE(bitc_reduce_prod_i16, int16_t, uint32_t, a * b)
BITC_REDUCE(bitc_reduce_prod_u16, uint16_t, uint32_t, a * b)
BITC_REDUCE(bitc_reduce_prod_i32, int32_t, uint32_t, a * b)
BITC_REDUCE(bitc_reduce_prod_u32, uint32_t, uint32_t, a * b)
BITC_REDUCE(bitc_reduce_prod_i64, int64_t, uint64_t, a * b)
BITC_REDUCE(bitc_reduce_prod_u64, uint64_t, uint64_t, a * b)
BITC_REDUCE(bitc_reduce_max_f64, double, double, ((b > a) | (b != b)) ? b : a)
BITC_REDUCE(bitc_reduce_max_i8, int8_t, int8_t, b > a ? b : a)
BITC_REDUCE(bitc_reduce_max_u8, uint8_t, uint8_t, b > a ? b : a)
BITC_REDUCE(bitc_reduce_max_i16, int16_t, int16_t, b > a ? b : a)
BITC_REDUCE(bitc_reduce_max_u16, uint16_t, uint16_t, b > a ? b : a)
BITC_REDUCE(bitc_reduce_max_i32, int32_t, int32_t, b > a ? b : a)
BITC_REDUCE(bitc_reduce_max_u32, uint32_t, uint32_t, b > a ? b : a)
BITC_REDUCE(bitc_reduce_max_i64, int64_t, int64_t, b > a ? b : a)
BITC_REDUCE(bitc_reduce_max_u64, uint64_t, uint64_t, b > a ? b : a)
BITC_REDUCE(bitc_reduce_min_f64, double, double, ((b < a) | (b != b)) ? b : a)
BITC_REDUCE(bitc_reduce_min_i8, int8_t, int8_t, b < a ? b : a)
BITC_REDUCE(bitc_reduce_min_u8, uint8_t, uint8_t, b < a ? b : a)
BITC_REDUCE(bitc_reduce_min_i16, int16_t, int16_t, b < a ? b : a)
BITC_REDUCE(bitc_reduce_min_u16, uint16_t, uint16_t, b < a ? b : a)
BITC_REDUCE(bitc_reduce_min_i32, int32_t, int32_t, b < a ? b : a)
BITC_REDUCE(bitc_reduce_min_u32, uint32_t, uint32_t, b < a ? b : a)
BITC_REDUCE(bitc_reduce_min_i64, int64_t, int64_t, b < a ? b : a)
BITC_REDUCE(bitc_reduce_min_u64, uint64_t, uint64_t, b < a ? b : a)

/* The sum divided by len. */
static inline void bitc_reduce_mean_f64(const double *x, double *y, int32_t outer, int32_t len, int32_t inner) {
    bitc_reduce_sum_f64(x, y, outer, len, inner);
    for (ptrdiff_t i = 0; i < (ptrdiff_t)outer * inner; i++) {
        y[i] /= (double)len;
    }
}

#endif
