/* N-dimensional strided copies: transpose, slice, flip, expand, pad, concatenate. Elements of 1, 2, 4 or 8 bytes. */
#ifndef BITC_COPY_H
#define BITC_COPY_H

#include "base.h"

/* Side of the square tiles of a transposition: both sides of a tile stay in the L1 cache. */
#define BITC_COPY_TILE 16

/* What is copied: shape, and the distance in elements between neighbours of each dimension on both sides. `from` may
 * be zero (expand) or negative (flip). At most 8 dimensions; rank 0 is one element. */
typedef struct bitc_copy {
    int32_t rank;
    int32_t shape[8];
    int32_t from[8];
    int32_t to[8];
} bitc_copy;

/* The same copy without dimensions of one element, and with neighbours that one loop can walk merged; rank >= 2. */
BITC_INLINE bitc_copy bitc_copy_simplified(const bitc_copy *g) {
    bitc_copy s = {2, {1, 1}, {0, 0}, {0, 0}};
    for (int32_t d = 0; d < g->rank; d++) {
        const int32_t size = g->shape[d], last = s.rank - 1;
        if (size == 1) {
            continue;
        }
        if (s.shape[last] == 1 || (s.from[last] == g->from[d] * size && s.to[last] == g->to[d] * size)) {
            s.shape[last] *= size;
        } else if (s.shape[0] == 1) {
            s.shape[0] = s.shape[1], s.from[0] = s.from[1], s.to[0] = s.to[1];
            s.shape[1] = size;
        } else {
            s.shape[s.rank++] = size;
        }
        s.from[s.rank - 1] = g->from[d];
        s.to[s.rank - 1] = g->to[d];
    }
    return s;
}

/* A matrix with strides: runs as blocks of memory, anything else in tiles. */
BITC_INLINE void bitc_copy_plane(const char *x, char *y, const int32_t *shape, const int32_t *from, const int32_t *to,
                                 const ptrdiff_t size) {
    const ptrdiff_t x0 = from[0] * size, x1 = from[1] * size, y0 = to[0] * size, y1 = to[1] * size;
    if (x1 == size && y1 == size) {
        for (int32_t r = 0; r < shape[0]; r++) {
            memcpy(y + r * y0, x + r * x0, (size_t)(shape[1] * size));
        }
        return;
    }
    for (int32_t top = 0; top < shape[0]; top += BITC_COPY_TILE) {
        const int32_t bottom = shape[0] - top < BITC_COPY_TILE ? shape[0] : top + BITC_COPY_TILE;
        for (int32_t left = 0; left < shape[1]; left += BITC_COPY_TILE) {
            const int32_t right = shape[1] - left < BITC_COPY_TILE ? shape[1] : left + BITC_COPY_TILE;
            for (int32_t r = top; r < bottom; r++) {
                for (int32_t c = left; c < right; c++) {
                    memcpy(y + r * y0 + c * y1, x + r * x0 + c * x1, (size_t)size);
                }
            }
        }
    }
}

/* Moves dimension d next to the last, so that the two of them are the plane. */
BITC_INLINE void bitc_copy_rotate(bitc_copy *g, int32_t d) {
    const int32_t shape = g->shape[d], from = g->from[d], to = g->to[d];
    for (; d + 2 < g->rank; d++) {
        g->shape[d] = g->shape[d + 1], g->from[d] = g->from[d + 1], g->to[d] = g->to[d + 1];
    }
    g->shape[d] = shape, g->from[d] = from, g->to[d] = to;
}

BITC_INLINE void bitc_copy_any(const bitc_copy *g, const void *x, void *y, const ptrdiff_t size) {
    bitc_copy s = bitc_copy_simplified(g);
    int32_t index[8] = {0}, d = s.rank - 1;
    const char *from = (const char *)x;
    char *to = (char *)y;
    for (int32_t i = 0; i < g->rank; i++) {
        if (g->shape[i] == 0) {
            return;
        }
    }
    for (int32_t i = 0; i + 2 < s.rank && s.from[s.rank - 1] != 1; i++) {
        if (s.from[i] == 1) {
            bitc_copy_rotate(&s, i);
        }
    }
    while (d >= 0) {
        bitc_copy_plane(from, to, s.shape + s.rank - 2, s.from + s.rank - 2, s.to + s.rank - 2, size);
        for (d = s.rank - 3; d >= 0; d--) { /* the next plane: count up the outer dimensions */
            from += s.from[d] * size, to += s.to[d] * size;
            if (++index[d] < s.shape[d]) {
                break;
            }
            from -= (ptrdiff_t)s.shape[d] * s.from[d] * size, to -= (ptrdiff_t)s.shape[d] * s.to[d] * size;
            index[d] = 0;
        }
    }
}

/* y[sum i * to] = x[sum i * from] over all indices i of the shape, for bytes. x and y do not overlap. */
static inline void bitc_copy_1(const bitc_copy *g, const void *x, void *y) { bitc_copy_any(g, x, y, 1); }

/* The same for elements of 2 bytes. */
static inline void bitc_copy_2(const bitc_copy *g, const void *x, void *y) { bitc_copy_any(g, x, y, 2); }

/* The same for elements of 4 bytes. */
static inline void bitc_copy_4(const bitc_copy *g, const void *x, void *y) { bitc_copy_any(g, x, y, 4); }

/* The same for elements of 8 bytes. */
static inline void bitc_copy_8(const bitc_copy *g, const void *x, void *y) { bitc_copy_any(g, x, y, 8); }

#endif
