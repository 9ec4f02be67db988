/* Reading and writing elements at computed places. No index leads outside a tensor: a negative one counts from the end
 * of its axis; what still lies outside reads the nearest element, and writes nothing. */
#ifndef BITC_INDEX_H
#define BITC_INDEX_H

#include "base.h"

/* Indices of any shape into x along one axis; of every axis: the indices' size, and elements of x from one to the
 * next. `length` is x's along `axis`. */
typedef struct bitc_along {
    int32_t rank, axis, length;
    int32_t shape[8];
    int32_t step[8];
} bitc_along;

/* `tuples` tuples of `depth` indices in each of `batch` parts of x; of every indexed axis: its length, and elements of
 * x from one to the next. A tuple stands for `run` elements that lie side by side; `part` elements of x are a part. */
typedef struct bitc_tuples {
    int32_t batch, tuples, depth, run, part;
    int32_t length[8];
    int32_t step[8];
} bitc_tuples;

enum { BITC_SCATTER_SET, BITC_SCATTER_ADD, BITC_SCATTER_MUL, BITC_SCATTER_MAX, BITC_SCATTER_MIN };

/* Index i of int32 (bytes = 4) or int64 (8) indices, counted from the front; it may still be outside of the axis. */
BITC_INLINE int64_t bitc_index_at(const void *indices, ptrdiff_t i, int32_t bytes, int32_t length) {
    const int64_t v = bytes == 4 ? ((const int32_t *)indices)[i] : ((const int64_t *)indices)[i];
    return v < 0 && v >= -(int64_t)length ? v + length : v;
}

/* The nearest of 0 .. length-1. */
BITC_INLINE ptrdiff_t bitc_index_inside(int64_t v, int32_t length) {
    return (ptrdiff_t)(v < 0 ? 0 : v >= length ? length - 1 : v);
}

/* x [outer][len][run_bytes], count indices -> y [outer][count][run_bytes]; x and y do not overlap. */
static inline void bitc_take(const void *x, const void *indices, void *y, int32_t outer, int32_t len, int32_t count,
                             int32_t run_bytes, int32_t index_bytes) {
    const unsigned char *from = (const unsigned char *)x;
    unsigned char *to = (unsigned char *)y;
    for (int32_t o = 0; o < outer; o++, from += (ptrdiff_t)len * run_bytes) {
        for (int32_t i = 0; i < count; i++, to += run_bytes) {
            const ptrdiff_t at = bitc_index_inside(bitc_index_at(indices, i, index_bytes, len), len);
            memcpy(to, from + at * run_bytes, (size_t)run_bytes);
        }
    }
}

/* Elements of x before the place that the indices' element `position` speaks of, its own axis left out; moves the
 * position to the next element. */
BITC_INLINE ptrdiff_t bitc_along_next(const bitc_along *g, int32_t *position) {
    ptrdiff_t base = 0;
    for (int32_t d = 0; d < g->rank; d++) {
        base += d == g->axis ? 0 : (ptrdiff_t)position[d] * g->step[d];
    }
    for (int32_t d = g->rank - 1; d >= 0; d--) {
        if (++position[d] < g->shape[d]) {
            break;
        }
        position[d] = 0;
    }
    return base;
}

/* y, of the indices' shape with `count` elements: each the element of x at the same place but for the axis, where the
 * index says. x and y do not overlap. */
static inline void bitc_take_along(const bitc_along *g, const void *x, const void *indices, void *y, int32_t count,
                                   int32_t element_bytes, int32_t index_bytes) {
    int32_t position[8] = {0};
    for (int32_t i = 0; i < count; i++) {
        const ptrdiff_t base = bitc_along_next(g, position);
        const ptrdiff_t at = bitc_index_inside(bitc_index_at(indices, i, index_bytes, g->length), g->length);
        memcpy((char *)y + (ptrdiff_t)i * element_bytes,
               (const char *)x + (base + at * g->step[g->axis]) * element_bytes, (size_t)element_bytes);
    }
}

/* y [batch][tuples][run]: the runs of x the tuples point at. x and y do not overlap. */
static inline void bitc_take_nd(const bitc_tuples *g, const void *x, const void *indices, void *y,
                                int32_t element_bytes, int32_t index_bytes) {
    char *to = (char *)y;
    ptrdiff_t i = 0;
    for (ptrdiff_t b = 0; b < g->batch; b++) {
        for (int32_t t = 0; t < g->tuples; t++, to += (ptrdiff_t)g->run * element_bytes) {
            ptrdiff_t at = b * g->part;
            for (int32_t d = 0; d < g->depth; d++, i++) {
                const int64_t v = bitc_index_at(indices, i, index_bytes, g->length[d]);
                at += bitc_index_inside(v, g->length[d]) * g->step[d];
            }
            memcpy(to, (const char *)x + at * element_bytes, (size_t)(g->run * element_bytes));
        }
    }
}

/* Elements of x before the run a tuple points at, -1 if it points outside. */
BITC_INLINE ptrdiff_t bitc_tuple_place(const bitc_tuples *g, const void *indices, ptrdiff_t tuple,
                                       int32_t index_bytes) {
    ptrdiff_t at = 0;
    for (int32_t d = 0; d < g->depth; d++) {
        const int64_t v = bitc_index_at(indices, tuple * g->depth + d, index_bytes, g->length[d]);
        if (v < 0 || v >= g->length[d]) {
            return -1;
        }
        at += (ptrdiff_t)v * g->step[d];
    }
    return at;
}

/* bitc_scatter_along_<name>(g, indices, updates, y, count, index_bytes, how): y[...index...] = the update at the same
 * place, or combined with it as BITC_SCATTER_... says, one after another. Integers wrap round in `wide`.
 * bitc_scatter_nd_<name>: runs of updates [tuples][run] at the places the tuples point at. */
#define BITC_SCATTER_ONE(name, type, wide)                                                                             \
    BITC_INLINE type name(type old, type update, int32_t how) {                                                        \
        const wide a = (wide)old, b = (wide)update;                                                                    \
        switch (how) {                                                                                                 \
        case BITC_SCATTER_ADD:                                                                                         \
            return (type)(a + b);                                                                                      \
        case BITC_SCATTER_MUL:                                                                                         \
            return (type)(a * b);                                                                                      \
        case BITC_SCATTER_MAX:                                                                                         \
            return update > old ? update : old;                                                                        \
        case BITC_SCATTER_MIN:                                                                                         \
            return update < old ? update : old;                                                                        \
        default:                                                                                                       \
            return update;                                                                                             \
        }                                                                                                              \
    }

#define BITC_SCATTER_ALONG(name, type, one)                                                                            \
    static inline void name(const bitc_along *g, const void *indices, const type *updates, type *y, int32_t count,     \
                            int32_t index_bytes, int32_t how) {                                                        \
        int32_t position[8] = {0};                                                                                     \
        for (int32_t i = 0; i < count; i++) {                                                                          \
            type *to = y + bitc_along_next(g, position);                                                               \
            const int64_t v = bitc_index_at(indices, i, index_bytes, g->length);                                       \
            if (v >= 0 && v < g->length) {                                                                             \
                to += (ptrdiff_t)v * g->step[g->axis];                                                                 \
                *to = one(*to, updates[i], how);                                                                       \
            }                                                                                                          \
        }                                                                                                              \
    }

#define BITC_SCATTER_ND(name, type, one)                                                                               \
    static inline void name(const bitc_tuples *g, const void *indices, const type *updates, type *y,                   \
                            int32_t index_bytes, int32_t how) {                                                        \
        for (int32_t t = 0; t < g->tuples; t++, updates += g->run) {                                                   \
            const ptrdiff_t at = bitc_tuple_place(g, indices, t, index_bytes);                                         \
            for (int32_t r = 0; r < g->run && at >= 0; r++) {                                                          \
                y[at + r] = one(y[at + r], updates[r], how);                                                           \
            }                                                                                                          \
        }                                                                                                              \
    }

BITC_SCATTER_ONE(bitc_scatter_f32, float, float)
BITC_SCATTER_ONE(bitc_scatter_f64, double, double)
BITC_SCATTER_ONE(bitc_scatter_i8, int8_t, uint32_t)
BITC_SCATTER_ONE(bitc_scatter_u8, uint8_t, uint32_t)
BITC_SCATTER_ONE(bitc_scatter_i16, int16_t, uint32_t)
BITC_SCATTER_ONE(bitc_scatter_u16, uint16_t, uint32_t)
BITC_SCATTER_ONE(bitc_scatter_i32, int32_t, uint32_t)
BITC_SCATTER_ONE(bitc_scatter_u32, uint32_t, uint32_t)
BITC_SCATTER_ONE(bitc_scatter_i64, int64_t, uint64_t)
BITC_SCATTER_ONE(bitc_scatter_u64, uint64_t, uint64_t)

BITC_SCATTER_ALONG(bitc_scatter_along_f32, float, bitc_scatter_f32)
BITC_SCATTER_ALONG(bitc_scatter_along_f64, double, bitc_scatter_f64)
BITC_SCATTER_ALONG(bitc_scatter_along_i8, int8_t, bitc_scatter_i8)
BITC_SCATTER_ALONG(bitc_scatter_along_u8, uint8_t, bitc_scatter_u8)
BITC_SCATTER_ALONG(bitc_scatter_along_i16, int16_t, bitc_scatter_i16)
BITC_SCATTER_ALONG(bitc_scatter_along_u16, uint16_t, bitc_scatter_u16)
BITC_SCATTER_ALONG(bitc_scatter_along_i32, int32_t, bitc_scatter_i32)
BITC_SCATTER_ALONG(bitc_scatter_along_u32, uint32_t, bitc_scatter_u32)
BITC_SCATTER_ALONG(bitc_scatter_along_i64, int64_t, bitc_scatter_i64)
BITC_SCATTER_ALONG(bitc_scatter_along_u64, uint64_t, bitc_scatter_u64)

BITC_SCATTER_ND(bitc_scatter_nd_f32, float, bitc_scatter_f32)
BITC_SCATTER_ND(bitc_scatter_nd_f64, double, bitc_scatter_f64)
BITC_SCATTER_ND(bitc_scatter_nd_i8, int8_t, bitc_scatter_i8)
BITC_SCATTER_ND(bitc_scatter_nd_u8, uint8_t, bitc_scatter_u8)
BITC_SCATTER_ND(bitc_scatter_nd_i16, int16_t, bitc_scatter_i16)
BITC_SCATTER_ND(bitc_scatter_nd_u16, uint16_t, bitc_scatter_u16)
BITC_SCATTER_ND(bitc_scatter_nd_i32, int32_t, bitc_scatter_i32)
BITC_SCATTER_ND(bitc_scatter_nd_u32, uint32_t, bitc_scatter_u32)
BITC_SCATTER_ND(bitc_scatter_nd_i64, int64_t, bitc_scatter_i64)
BITC_SCATTER_ND(bitc_scatter_nd_u64, uint64_t, bitc_scatter_u64)

#endif
