/* Integer convolution for every C99 compiler: sums along a run, four output channels at a time. */
#ifndef BITC_ICONV_PORTABLE_H
#define BITC_ICONV_PORTABLE_H

#include "iconv.h"

#define BITC_ICONV_BLOCK_PORTABLE 1
#define BITC_ICONV_SIDE_U8_PORTABLE 1
#define BITC_ICONV_SIDE_I16_PORTABLE 1

/* Values of a run that are taken at a time. */
#define BITC_ICONV_CHUNK 256

/* y[0..3] += the products of n values with 4 channels' weights, `depth` apart; the shape that compilers turn into
 * multiply-and-add-pairs instructions. */
BITC_GCC_NOINLINE void bitc_idot4_i8_portable(const int16_t *BITC_RESTRICT x, const int8_t *BITC_RESTRICT w,
                                              ptrdiff_t depth, int32_t n, int32_t *BITC_RESTRICT y) {
    const int8_t *wb = w + depth, *wc = wb + depth, *wd = wc + depth;
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (int32_t i = 0; i < n; i++) {
        a += x[i] * w[i], b += x[i] * wb[i], c += x[i] * wc[i], d += x[i] * wd[i];
    }
    y[0] += a, y[1] += b, y[2] += c, y[3] += d;
}

/* The same for one channel. */
BITC_GCC_NOINLINE void bitc_idot1_i8_portable(const int16_t *BITC_RESTRICT x, const int8_t *BITC_RESTRICT w, int32_t n,
                                              int32_t *BITC_RESTRICT y) {
    int32_t a = 0;
    for (int32_t i = 0; i < n; i++) {
        a += x[i] * w[i];
    }
    y[0] += a;
}

BITC_GCC_NOINLINE void bitc_idot4_i16_portable(const int16_t *BITC_RESTRICT x, const int16_t *BITC_RESTRICT w,
                                               ptrdiff_t depth, int32_t n, int32_t *BITC_RESTRICT y) {
    const int16_t *wb = w + depth, *wc = wb + depth, *wd = wc + depth;
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (int32_t i = 0; i < n; i++) {
        a += x[i] * w[i], b += x[i] * wb[i], c += x[i] * wc[i], d += x[i] * wd[i];
    }
    y[0] += a, y[1] += b, y[2] += c, y[3] += d;
}

BITC_GCC_NOINLINE void bitc_idot1_i16_portable(const int16_t *BITC_RESTRICT x, const int16_t *BITC_RESTRICT w,
                                               int32_t n, int32_t *BITC_RESTRICT y) {
    int32_t a = 0;
    for (int32_t i = 0; i < n; i++) {
        a += x[i] * w[i];
    }
    y[0] += a;
}

/* y[m] += x[0..n) * w[m * depth + (0..n)] for all channels of a group; wide: weights are int16_t, else int8_t. */
BITC_INLINE void bitc_iconv_chunk_portable(const int16_t *x, const void *w, ptrdiff_t depth, int32_t n, int32_t out_c,
                                           int32_t *y, const int wide) {
    int32_t m = 0;
    for (; m + 4 <= out_c; m += 4) {
        if (wide) {
            bitc_idot4_i16_portable(x, (const int16_t *)w + m * depth, depth, n, y + m);
        } else {
            bitc_idot4_i8_portable(x, (const int8_t *)w + m * depth, depth, n, y + m);
        }
    }
    for (; m < out_c; m++) {
        if (wide) {
            bitc_idot1_i16_portable(x, (const int16_t *)w + m * depth, n, y + m);
        } else {
            bitc_idot1_i8_portable(x, (const int8_t *)w + m * depth, n, y + m);
        }
    }
}

/* One pixel of one group, x at element `at` of its array; bytes: x is uint8_t, else int16_t. */
BITC_INLINE void bitc_iconv_pixel_portable(const bitc_iconv *g, const void *x, ptrdiff_t at, const void *w,
                                           const int32_t *base, int32_t *y, const int bytes, const int wide) {
    const ptrdiff_t depth = bitc_iconv_terms(g, 1);
    ptrdiff_t k = 0;
    memcpy(y, base, sizeof(int32_t) * (size_t)g->out_c);
    for (int32_t i = 0; i < g->runs_h * g->runs_w; i++, k += g->run) {
        const ptrdiff_t run = at + (ptrdiff_t)(i / g->runs_w) * g->run_row + (ptrdiff_t)(i % g->runs_w) * g->run_pixel;
        for (int32_t c = 0; c < g->run; c += BITC_ICONV_CHUNK) {
            const int32_t n = bitc_imin32(BITC_ICONV_CHUNK, g->run - c);
            const void *weights = wide ? (const void *)((const int16_t *)w + k + c)
                                       : (const void *)((const int8_t *)w + k + c);
            if (bytes) {
                int16_t widened[BITC_ICONV_CHUNK];
                for (int32_t j = 0; j < n; j++) {
                    widened[j] = ((const uint8_t *)x)[run + c + j];
                }
                bitc_iconv_chunk_portable(widened, weights, depth, n, g->out_c, y, wide);
            } else {
                bitc_iconv_chunk_portable((const int16_t *)x + run + c, weights, depth, n, g->out_c, y, wide);
            }
        }
    }
}

BITC_INLINE void bitc_iconv_any_portable(const bitc_iconv *g, const void *x, const void *w, const int32_t *base,
                                         int32_t *y, int32_t y0, int32_t y1, const int bytes, const int wide) {
    const ptrdiff_t weights = g->out_c * bitc_iconv_terms(g, 1);
    bitc_icursor cursor = bitc_iconv_start(g, y0);
    for (int32_t left = (y1 - y0) * g->out_w; left > 0; left--) {
        const ptrdiff_t at = bitc_iconv_next(g, &cursor);
        for (ptrdiff_t i = 0; i < g->groups; i++, y += g->out_c) {
            const void *group = wide ? (const void *)((const int16_t *)w + i * weights)
                                     : (const void *)((const int8_t *)w + i * weights);
            bitc_iconv_pixel_portable(g, x, at + i * g->in_c, group, base + i * g->out_c, y, bytes, wide);
        }
    }
}

static inline void bitc_iconv_u8_i8_portable(const bitc_iconv *g, const uint8_t *x, const int8_t *w,
                                             const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_iconv_any_portable(g, x, w, base, y, y0, y1, 1, 0);
}

static inline void bitc_iconv_i16_i8_portable(const bitc_iconv *g, const int16_t *x, const int8_t *w,
                                              const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_iconv_any_portable(g, x, w, base, y, y0, y1, 0, 0);
}

static inline void bitc_iconv_i16_i16_portable(const bitc_iconv *g, const int16_t *x, const int16_t *w,
                                               const int32_t *base, int32_t *y, int32_t y0, int32_t y1) {
    bitc_iconv_any_portable(g, x, w, base, y, y0, y1, 0, 1);
}

#endif
