/* Float convolution tiles in plain C: pixels x blocks of 8 output channels, one named 4-lane vector per accumulator.
 *
 * Weights come in two forms, chosen by the constant `packed`: floats [block][tap][in_c][8], or sign bits in one byte
 * for the 8 channels [block][tap][in_c] (bit 1 = -1), which become factors +-1. Sums run over the taps, then the input
 * channels, in every lane. */
#ifndef BITC_F32_TILE_PORTABLE_H
#define BITC_F32_TILE_PORTABLE_H

#include "f32_conv.h"

#define BITC_FCONV_BLOCK_PORTABLE 8

/* Four lanes. The vector extension is what keeps them together in a register: left to itself, gcc -O3 vectorises the
 * same loops over the taps, with shuffles, five times slower. */
#if defined(__GNUC__)
typedef __attribute__((vector_size(16))) float bitc_f32x4;

/* No vector times scalar: where C evaluates float as double (FLT_EVAL_METHOD 1), the scalar is a double. */
BITC_INLINE bitc_f32x4 bitc_f32x4_mac(bitc_f32x4 sum, float v, bitc_f32x4 weight) {
    const bitc_f32x4 factor = {v, v, v, v};
    return sum + weight * factor;
}
#else
typedef struct bitc_f32x4 {
    float lane[4];
} bitc_f32x4;

BITC_INLINE bitc_f32x4 bitc_f32x4_mac(bitc_f32x4 sum, float v, bitc_f32x4 weight) {
    for (int i = 0; i < 4; i++) {
        sum.lane[i] += weight.lane[i] * v;
    }
    return sum;
}
#endif

/* Weights 4 * half .. 4 * half + 3 of entry i = block * depth + tap * in_c + channel. */
BITC_INLINE bitc_f32x4 bitc_fweight_portable(const void *w, ptrdiff_t i, const int half, const int packed) {
    static const float signs[16][4] = {
        {1, 1, 1, 1},   {-1, 1, 1, 1},   {1, -1, 1, 1},   {-1, -1, 1, 1},   {1, 1, -1, 1},   {-1, 1, -1, 1},
        {1, -1, -1, 1}, {-1, -1, -1, 1}, {1, 1, 1, -1},   {-1, 1, 1, -1},   {1, -1, 1, -1},  {-1, -1, 1, -1},
        {1, 1, -1, -1}, {-1, 1, -1, -1}, {1, -1, -1, -1}, {-1, -1, -1, -1},
    };
    const float *from = packed ? signs[((const uint8_t *)w)[i] >> 4 * half & 15] : (const float *)w + 8 * i + 4 * half;
    bitc_f32x4 weight;
    memcpy(&weight, from, sizeof weight);
    return weight;
}

/* The first n (at most 8) lanes of low, high. */
BITC_INLINE void bitc_fstore_portable(float *y, bitc_f32x4 low, bitc_f32x4 high, int32_t n) {
    const bitc_f32x4 lanes[2] = {low, high};
    memcpy(y, lanes, sizeof(float) * (size_t)bitc_fmin32(8, n));
}

/* 4 pixels x 1 block: i is the block's first entry; `channels` are left at y + offset. */
BITC_INLINE void bitc_ftile_4x1_portable(const bitc_fruns *runs, const float *const *x, float *const *y, const void *w,
                                         ptrdiff_t i, ptrdiff_t offset, int32_t channels, const int packed) {
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
    const bitc_f32x4 zero = {0};
    bitc_f32x4 a0 = zero, a1 = zero, a2 = zero, a3 = zero, b0 = zero, b1 = zero, b2 = zero, b3 = zero;
    for (ptrdiff_t r = 0; r < runs->rows; r++) {
        for (ptrdiff_t c = 0; c < runs->cols; c++) {
            const ptrdiff_t first = r * runs->row_stride + c * runs->col_stride, end = first + runs->length;
            for (ptrdiff_t k = first; k < end; k++, i++) {
                const bitc_f32x4 wa = bitc_fweight_portable(w, i, 0, packed);
                const bitc_f32x4 wb = bitc_fweight_portable(w, i, 1, packed);
                a0 = bitc_f32x4_mac(a0, x0[k], wa), b0 = bitc_f32x4_mac(b0, x0[k], wb);
                a1 = bitc_f32x4_mac(a1, x1[k], wa), b1 = bitc_f32x4_mac(b1, x1[k], wb);
                a2 = bitc_f32x4_mac(a2, x2[k], wa), b2 = bitc_f32x4_mac(b2, x2[k], wb);
                a3 = bitc_f32x4_mac(a3, x3[k], wa), b3 = bitc_f32x4_mac(b3, x3[k], wb);
            }
        }
    }
    bitc_fstore_portable(y[0] + offset, a0, b0, channels);
    bitc_fstore_portable(y[1] + offset, a1, b1, channels);
    bitc_fstore_portable(y[2] + offset, a2, b2, channels);
    bitc_fstore_portable(y[3] + offset, a3, b3, channels);
}

/* 1 pixel x `blocks` (1..4) blocks; missing blocks repeat the last one. */
BITC_INLINE void bitc_ftile_1x4_portable(const bitc_fruns *runs, const float *x, float *y, const void *w, ptrdiff_t i,
                                         ptrdiff_t depth, int32_t blocks, int32_t channels, const int packed) {
    const ptrdiff_t t1 = blocks > 1 ? depth : 0, t2 = blocks > 2 ? 2 * depth : t1, t3 = blocks > 3 ? 3 * depth : t2;
    const bitc_f32x4 zero = {0};
    bitc_f32x4 a0 = zero, a1 = zero, a2 = zero, a3 = zero, b0 = zero, b1 = zero, b2 = zero, b3 = zero;
    for (ptrdiff_t r = 0; r < runs->rows; r++) {
        for (ptrdiff_t c = 0; c < runs->cols; c++) {
            const ptrdiff_t first = r * runs->row_stride + c * runs->col_stride, end = first + runs->length;
            for (ptrdiff_t k = first; k < end; k++, i++) {
                const float v = x[k];
                a0 = bitc_f32x4_mac(a0, v, bitc_fweight_portable(w, i, 0, packed));
                b0 = bitc_f32x4_mac(b0, v, bitc_fweight_portable(w, i, 1, packed));
                a1 = bitc_f32x4_mac(a1, v, bitc_fweight_portable(w, i + t1, 0, packed));
                b1 = bitc_f32x4_mac(b1, v, bitc_fweight_portable(w, i + t1, 1, packed));
                a2 = bitc_f32x4_mac(a2, v, bitc_fweight_portable(w, i + t2, 0, packed));
                b2 = bitc_f32x4_mac(b2, v, bitc_fweight_portable(w, i + t2, 1, packed));
                a3 = bitc_f32x4_mac(a3, v, bitc_fweight_portable(w, i + t3, 0, packed));
                b3 = bitc_f32x4_mac(b3, v, bitc_fweight_portable(w, i + t3, 1, packed));
            }
        }
    }
    const bitc_f32x4 sums[4][2] = {{a0, b0}, {a1, b1}, {a2, b2}, {a3, b3}};
    memcpy(y, sums, sizeof(float) * (size_t)bitc_fmin32(8 * blocks, channels));
}

BITC_INLINE void bitc_fconv_any_portable(const bitc_fconv *g, const float *x, const void *w, float *y, int32_t y0,
                                         int32_t y1, const int packed) {
    const bitc_fruns runs = bitc_fconv_runs(g);
    const ptrdiff_t depth = bitc_fconv_depth(g);
    const int32_t blocks = (g->out_c + 7) / 8;
    bitc_fcursor at = bitc_fconv_start(g, x, y, y0);
    for (int32_t left = (y1 - y0) * g->out_w; left > 0;) {
        const float *xs[4];
        float *ys[4];
        const int32_t slots = left > 1 ? 4 : 1, count = bitc_fmin32(slots, left);
        bitc_fconv_next(g, &at, count, slots, xs, ys);
        for (int32_t b = 0; b < blocks && slots == 4; b++) {
            bitc_ftile_4x1_portable(&runs, xs, ys, w, b * depth, 8 * b, g->out_c - 8 * b, packed);
        }
        for (int32_t b = 0; b < blocks && slots == 1; b += 4) {
            bitc_ftile_1x4_portable(&runs, xs[0], ys[0] + 8 * b, w, b * depth, depth, bitc_fmin32(4, blocks - b),
                                    g->out_c - 8 * b, packed);
        }
        left -= count;
    }
}

#endif
