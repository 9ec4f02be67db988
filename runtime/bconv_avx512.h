/* Binary convolution for AVX-512 with VPOPCNTDQ. Contract: bconv.h.
 *
 * Lanes are output channels, 8 words of 64 bits: a word of input is broadcast, xor-ed with the weights of 32 channels
 * and counted by vpopcntq. A tile is 4 pixels by 4 vectors: 16 accumulators, 4 vectors of weights, no spills; channels
 * never need a horizontal sum, and a comparison's mask is the packed output.
 */
#ifndef BITC_BCONV_AVX512_H
#define BITC_BCONV_AVX512_H

#include <immintrin.h>

#include "bconv.h"

#define BITC_BCONV_BLOCK_AVX512 32

/* Sums of a tile: pixel, vector of 8 channels. */
typedef struct bitc_bconv_sums_avx512 {
    __m512i s00, s01, s02, s03, s10, s11, s12, s13, s20, s21, s22, s23, s30, s31, s32, s33;
} bitc_bconv_sums_avx512;

BITC_INLINE __m512i bitc_count_add_avx512(__m512i sum, __m512i x, __m512i w) {
    sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(x, w)));
    BITC_BARRIER_512(sum);
    return sum;
}

/* Adds one word of one pixel to `vectors` sums. */
#define BITC_BCONV_STEP_AVX512(pixel, word)                                                   \
    do {                                                                                      \
        const __m512i in = _mm512_set1_epi64((long long)(word));                              \
        s->s##pixel##0 = bitc_count_add_avx512(s->s##pixel##0, in, w0);                       \
        if (vectors > 1) s->s##pixel##1 = bitc_count_add_avx512(s->s##pixel##1, in, w1);      \
        if (vectors > 2) s->s##pixel##2 = bitc_count_add_avx512(s->s##pixel##2, in, w2);      \
        if (vectors > 2) s->s##pixel##3 = bitc_count_add_avx512(s->s##pixel##3, in, w3);      \
    } while (0)

/* Adds one word of each of `pixels` pixels, `stride` words apart. */
BITC_INLINE void bitc_bconv_word_avx512(bitc_bconv_sums_avx512 *s, const uint64_t *x, ptrdiff_t stride,
                                        const uint64_t *w, int32_t pixels, int32_t vectors) {
    const __m512i w0 = _mm512_loadu_si512(w), w1 = _mm512_loadu_si512(w + 8);
    const __m512i w2 = _mm512_loadu_si512(w + 16), w3 = _mm512_loadu_si512(w + 24);
    BITC_BCONV_STEP_AVX512(0, x[0]);
    if (pixels > 1) BITC_BCONV_STEP_AVX512(1, x[stride]);
    if (pixels > 2) BITC_BCONV_STEP_AVX512(2, x[2 * stride]);
    if (pixels > 3) BITC_BCONV_STEP_AVX512(3, x[3 * stride]);
}

BITC_INLINE void bitc_store_pops_avx512(int32_t *pop, __m512i s0, __m512i s1, __m512i s2, __m512i s3) {
    _mm256_storeu_si256((__m256i *)(void *)pop, _mm512_cvtepi64_epi32(s0));
    _mm256_storeu_si256((__m256i *)(void *)(pop + 8), _mm512_cvtepi64_epi32(s1));
    _mm256_storeu_si256((__m256i *)(void *)(pop + 16), _mm512_cvtepi64_epi32(s2));
    _mm256_storeu_si256((__m256i *)(void *)(pop + 24), _mm512_cvtepi64_epi32(s3));
}

/* pop of a tile whose size is known when this is inlined: 1..4 pixels; 1, 2 or 4 vectors, the others' sums are 0. */
BITC_INLINE void bitc_bconv_tile_avx512(const bitc_bconv *g, const uint64_t *x, const uint64_t *w, int32_t pop[4][32],
                                        int32_t pixels, int32_t vectors) {
    const __m512i z = _mm512_setzero_si512();
    bitc_bconv_sums_avx512 s = {z, z, z, z, z, z, z, z, z, z, z, z, z, z, z, z};
    const ptrdiff_t stride = (ptrdiff_t)g->step_w * g->in_pixel_words;
    const int32_t twins = bitc_bconv_twins(g, x, pixels), words = twins ? g->twin_words : g->run_words;
    for (int32_t i = 0; i < g->taps_h; i++) {
        for (int32_t j = 0; j < g->taps_w; j++) {
            const uint64_t *run = x + (ptrdiff_t)i * g->tap_row_words + (ptrdiff_t)j * g->tap_words;
            for (int32_t r = 0; r < words; r++, w += BITC_BCONV_BLOCK_AVX512) {
                bitc_bconv_word_avx512(&s, run + r, stride, w, pixels, vectors);
            }
            w += BITC_BCONV_BLOCK_AVX512 * (ptrdiff_t)(g->run_words - words);
        }
    }
    bitc_store_pops_avx512(pop[0], s.s00, s.s01, s.s02, s.s03);
    if (pixels > 1) bitc_store_pops_avx512(pop[1], s.s10, s.s11, s.s12, s.s13);
    if (pixels > 2) bitc_store_pops_avx512(pop[2], s.s20, s.s21, s.s22, s.s23);
    if (pixels > 3) bitc_store_pops_avx512(pop[3], s.s30, s.s31, s.s32, s.s33);
    for (int32_t p = 0; twins && p < pixels; p++) {
        for (int32_t c = 0; c < BITC_BCONV_BLOCK_AVX512; c++) pop[p][c] *= 2;
    }
}

/* pop[pixel][channel] of 1..4 neighbouring output pixels and the first `channels` of a block of weights. */
static inline void bitc_bconv_pops_avx512(const bitc_bconv *g, const uint64_t *x, const uint64_t *w, int32_t pop[4][32],
                                          int32_t pixels, int32_t channels) {
    const int32_t size = channels > 16 ? 2 : channels > 8 ? 1 : 0;
    switch (3 * pixels + size) {
        case 3: bitc_bconv_tile_avx512(g, x, w, pop, 1, 1); break;
        case 4: bitc_bconv_tile_avx512(g, x, w, pop, 1, 2); break;
        case 5: bitc_bconv_tile_avx512(g, x, w, pop, 1, 4); break;
        case 6: bitc_bconv_tile_avx512(g, x, w, pop, 2, 1); break;
        case 7: bitc_bconv_tile_avx512(g, x, w, pop, 2, 2); break;
        case 8: bitc_bconv_tile_avx512(g, x, w, pop, 2, 4); break;
        case 9: bitc_bconv_tile_avx512(g, x, w, pop, 3, 1); break;
        case 10: bitc_bconv_tile_avx512(g, x, w, pop, 3, 2); break;
        case 11: bitc_bconv_tile_avx512(g, x, w, pop, 3, 4); break;
        case 12: bitc_bconv_tile_avx512(g, x, w, pop, 4, 1); break;
        case 13: bitc_bconv_tile_avx512(g, x, w, pop, 4, 2); break;
        default: bitc_bconv_tile_avx512(g, x, w, pop, 4, 4); break;
    }
}

static inline int32_t bitc_bconv_tile_pixels_avx512(const bitc_bconv *g, int32_t px) {
    return g->out_w - px < 4 ? g->out_w - px : 4;
}

static inline void bitc_bconv_acc_avx512(const bitc_bconv *g, const uint64_t *x, const uint64_t *w, const int32_t *base,
                                         int32_t step, int32_t *acc, int32_t y0, int32_t y1) {
    enum { B = BITC_BCONV_BLOCK_AVX512 };
    const int32_t blocks = bitc_bconv_blocks(g, B);
    for (int32_t b = 0; b < blocks; b++, w += B * bitc_bconv_weight_words(g)) {
        const int32_t channels = g->out_c - b * B < B ? g->out_c - b * B : B;
        int32_t *out = acc + b * B;
        for (int32_t y = y0; y < y1; y++) {
            for (int32_t px = 0; px < g->out_w; px += 4) {
                int32_t pop[4][B];
                const int32_t pixels = bitc_bconv_tile_pixels_avx512(g, px);
                bitc_bconv_pops_avx512(g, bitc_bconv_window(g, x, y, px), w, pop, pixels, channels);
                for (int32_t p = 0; p < pixels; p++, out += g->out_c) {
                    const int32_t *from = base + ((ptrdiff_t)bitc_bconv_class(g, y, px + p) * blocks + b) * B;
                    for (int32_t c = 0; c < channels; c++) out[c] = from[c] - step * pop[p][c];
                }
            }
        }
    }
}

/* Bit c = (pop[c] > limit[c]), 32 channels. */
static inline uint64_t bitc_exceeds_avx512(const int32_t *pop, const int32_t *limit) {
    const uint32_t low = _mm512_cmpgt_epi32_mask(_mm512_loadu_si512(pop), _mm512_loadu_si512(limit));
    const uint32_t high = _mm512_cmpgt_epi32_mask(_mm512_loadu_si512(pop + 16), _mm512_loadu_si512(limit + 16));
    return low | high << 16;
}

static inline void bitc_bconv_bits_avx512(const bitc_bconv *g, const uint64_t *x, const uint64_t *w,
                                          const int32_t *limit, const uint64_t *flip, int32_t planes, uint64_t *y,
                                          int32_t out_row_words, int32_t out_pixel_words, int32_t y0, int32_t y1) {
    enum { B = BITC_BCONV_BLOCK_AVX512 };
    const int32_t blocks = bitc_bconv_blocks(g, B), words = bitc_words(g->out_c);
    for (int32_t b = 0; b < blocks; b++, w += B * bitc_bconv_weight_words(g)) {
        const int32_t word = b / 2, shift = b % 2 * B;
        const uint64_t flipped = flip[word] >> shift & UINT32_MAX;
        for (int32_t row = y0; row < y1; row++) {
            uint64_t *out = y + (ptrdiff_t)(row - y0) * out_row_words + word;
            for (int32_t px = 0; px < g->out_w; px += 4) {
                int32_t pop[4][B];
                const int32_t pixels = bitc_bconv_tile_pixels_avx512(g, px);
                bitc_bconv_pops_avx512(g, bitc_bconv_window(g, x, row, px), w, pop, pixels, g->out_c - b * B);
                for (int32_t p = 0; p < pixels; p++, out += out_pixel_words) {
                    for (int32_t plane = 0; plane < planes; plane++) {
                        const int32_t cls = plane * g->classes + bitc_bconv_class(g, row, px + p);
                        const int32_t *over = limit + ((ptrdiff_t)cls * blocks + b) * B;
                        const uint64_t bits = (bitc_exceeds_avx512(pop[p], over) ^ flipped) << shift;
                        out[plane * words] = shift ? out[plane * words] | bits : bits;
                    }
                }
            }
        }
    }
}

#endif
