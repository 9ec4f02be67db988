/* Binary convolution for AVX2. Contract and weight layout: bconv.h.
 *
 * Lanes are output channels, one byte each. Four bits q of an input word select a row of popcount(q ^ i); vpshufb
 * looks the weights' four bits i of 32 channels up in that row. So 128 products cost a shuffle and an addition of
 * bytes, half of what xor and a popcount by shuffles cost, and the activations keep the plain NHWC layout. A word adds
 * at most 64 to a byte, so bytes are widened every third word. A tile is 4 pixels by 2 blocks of channels: 8
 * accumulators, 4 index vectors, a row and a mask fill the 16 registers.
 */
#ifndef BITC_BCONV_AVX2_H
#define BITC_BCONV_AVX2_H

#include <immintrin.h>

#include "bconv.h"

#define BITC_BCONV_BLOCK_AVX2 32

/* Entry v: for the low, then the high four bits q of the byte v, the row popcount(q ^ i), i = 0..15. An entry a byte
 * costs 8 KB and spares the shifts and masks that a table of 16 rows needs, 7 % of the convolution's time. */
#define BITC_COUNT4(v) (((v) & 1) + ((v) >> 1 & 1) + ((v) >> 2 & 1) + ((v) >> 3 & 1))
#define BITC_ROW_QUARTER(q, i) \
    BITC_COUNT4((q) ^ (i)), BITC_COUNT4((q) ^ ((i) + 1)), BITC_COUNT4((q) ^ ((i) + 2)), BITC_COUNT4((q) ^ ((i) + 3))
#define BITC_ROW(q) BITC_ROW_QUARTER(q, 0), BITC_ROW_QUARTER(q, 4), BITC_ROW_QUARTER(q, 8), BITC_ROW_QUARTER(q, 12)
#define BITC_ENTRY(v) {BITC_ROW((v) & 15), BITC_ROW((v) >> 4)}
#define BITC_ENTRIES_4(v) BITC_ENTRY(v), BITC_ENTRY((v) + 1), BITC_ENTRY((v) + 2), BITC_ENTRY((v) + 3)
#define BITC_ENTRIES_16(v) BITC_ENTRIES_4(v), BITC_ENTRIES_4((v) + 4), BITC_ENTRIES_4((v) + 8), BITC_ENTRIES_4((v) + 12)
#define BITC_ENTRIES_64(v) \
    BITC_ENTRIES_16(v), BITC_ENTRIES_16((v) + 16), BITC_ENTRIES_16((v) + 32), BITC_ENTRIES_16((v) + 48)

BITC_ALIGN(64) static const uint8_t bitc_xor_counts[256][32] = {
    BITC_ENTRIES_64(0), BITC_ENTRIES_64(64), BITC_ENTRIES_64(128), BITC_ENTRIES_64(192)};

/* Byte sums of a tile: pixel, block of channels. */
typedef struct bitc_bconv_sums_avx2 {
    __m256i s00, s01, s10, s11, s20, s21, s30, s31;
} bitc_bconv_sums_avx2;

/* sum += row[index], byte by byte; `row` points at 16 bytes. */
BITC_INLINE __m256i bitc_add_looked_up_avx2(__m256i sum, const uint8_t *row, __m256i index) {
    const __m256i table = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)row));
    sum = _mm256_add_epi8(sum, _mm256_shuffle_epi8(table, index));
    BITC_BARRIER(sum);
    return sum;
}

/* Adds a byte of input, `entry` of the table, for one pixel and `blocks` blocks. */
#define BITC_BCONV_STEP_AVX2(pixel, entry)                                                    \
    do {                                                                                      \
        const uint8_t *const row = (entry);                                                   \
        s->s##pixel##0 = bitc_add_looked_up_avx2(s->s##pixel##0, row, low0);                  \
        if (blocks > 1) s->s##pixel##1 = bitc_add_looked_up_avx2(s->s##pixel##1, row, low1);  \
        s->s##pixel##0 = bitc_add_looked_up_avx2(s->s##pixel##0, row + 16, high0);            \
        if (blocks > 1) s->s##pixel##1 = bitc_add_looked_up_avx2(s->s##pixel##1, row + 16, high1); \
    } while (0)

/* Adds one word of each of `pixels` pixels, `stride` words apart. */
BITC_INLINE void bitc_bconv_word_avx2(bitc_bconv_sums_avx2 *s, const uint64_t *x, ptrdiff_t stride, const uint8_t *w0,
                                      const uint8_t *w1, int32_t pixels, int32_t blocks) {
    const __m256i low = _mm256_set1_epi8(15);
    const uint8_t *x0 = (const uint8_t *)x;
    const uint8_t *x1 = pixels > 1 ? (const uint8_t *)(x + stride) : x0;
    const uint8_t *x2 = pixels > 2 ? (const uint8_t *)(x + 2 * stride) : x0;
    const uint8_t *x3 = pixels > 3 ? (const uint8_t *)(x + 3 * stride) : x0;
    for (int32_t byte = 0; byte < 8; byte++) {
        const __m256i v0 = _mm256_loadu_si256((const __m256i *)(const void *)(w0 + 32 * byte));
        const __m256i v1 = _mm256_loadu_si256((const __m256i *)(const void *)(w1 + 32 * byte));
        const __m256i low0 = _mm256_and_si256(v0, low), high0 = _mm256_and_si256(_mm256_srli_epi16(v0, 4), low);
        const __m256i low1 = _mm256_and_si256(v1, low), high1 = _mm256_and_si256(_mm256_srli_epi16(v1, 4), low);
        BITC_BCONV_STEP_AVX2(0, bitc_xor_counts[x0[byte]]);
        if (pixels > 1) BITC_BCONV_STEP_AVX2(1, bitc_xor_counts[x1[byte]]);
        if (pixels > 2) BITC_BCONV_STEP_AVX2(2, bitc_xor_counts[x2[byte]]);
        if (pixels > 3) BITC_BCONV_STEP_AVX2(3, bitc_xor_counts[x3[byte]]);
    }
}

/* 16-bit sums of one pixel and block += its byte sums, which become 0. */
BITC_INLINE void bitc_widen_avx2(__m256i *wide, __m256i *sum) {
    const __m256i zero = _mm256_setzero_si256();
    wide[0] = _mm256_add_epi16(wide[0], _mm256_unpacklo_epi8(*sum, zero));
    wide[1] = _mm256_add_epi16(wide[1], _mm256_unpackhi_epi8(*sum, zero));
    *sum = zero;
}

BITC_INLINE void bitc_bconv_widen_avx2(__m256i *wide, bitc_bconv_sums_avx2 *s, int32_t pixels, int32_t blocks) {
    bitc_widen_avx2(wide + 0, &s->s00);
    if (blocks > 1) bitc_widen_avx2(wide + 2, &s->s01);
    if (pixels > 1) bitc_widen_avx2(wide + 4, &s->s10);
    if (pixels > 1 && blocks > 1) bitc_widen_avx2(wide + 6, &s->s11);
    if (pixels > 2) bitc_widen_avx2(wide + 8, &s->s20);
    if (pixels > 2 && blocks > 1) bitc_widen_avx2(wide + 10, &s->s21);
    if (pixels > 3) bitc_widen_avx2(wide + 12, &s->s30);
    if (pixels > 3 && blocks > 1) bitc_widen_avx2(wide + 14, &s->s31);
}

/* pop[0..31] = or += the 16-bit sums of one pixel and block, which become 0. */
BITC_INLINE void bitc_store_pops_avx2(__m256i *wide, int32_t *pop, int32_t add) {
    for (int32_t group = 0; group < 4; group++) { /* unpacking left channels 0..7 and 16..23 in wide[0] */
        const __m256i sums = wide[group & 1];
        const __m128i eight = group & 2 ? _mm256_extracti128_si256(sums, 1) : _mm256_castsi256_si128(sums);
        __m256i *to = (__m256i *)(void *)(pop + 8 * group);
        __m256i wider = _mm256_cvtepu16_epi32(eight);
        if (add) wider = _mm256_add_epi32(wider, _mm256_loadu_si256(to));
        _mm256_storeu_si256(to, wider);
    }
    wide[0] = wide[1] = _mm256_setzero_si256();
}

static inline void bitc_bconv_store_pops_avx2(__m256i *wide, int32_t pop[4][64], int32_t pixels, int32_t blocks,
                                              int32_t add) {
    for (int32_t p = 0; p < pixels; p++) {
        for (int32_t b = 0; b < blocks; b++) bitc_store_pops_avx2(wide + 4 * p + 2 * b, pop[p] + 32 * b, add);
    }
}

/* pop of a tile whose size is known when this is inlined. */
BITC_INLINE void bitc_bconv_tile_avx2(const bitc_bconv *g, const uint64_t *x, const uint64_t *w, int32_t pop[4][64],
                                      int32_t pixels, int32_t blocks) {
    enum { BYTES_FULL = 3, WIDE_FULL = 65535 / (3 * 64) }; /* a word adds at most 64 to a byte, and 3*64 <= 255 */
    const __m256i z = _mm256_setzero_si256();
    bitc_bconv_sums_avx2 s = {z, z, z, z, z, z, z, z};
    __m256i wide[16] = {z, z, z, z, z, z, z, z, z, z, z, z, z, z, z, z};
    int32_t bytes_filled = 0, wide_filled = 0, stored = 0;
    const int32_t twins = bitc_bconv_twins(g, x, pixels), words = twins ? g->twin_words : g->run_words;
    const ptrdiff_t rest = 256 * (ptrdiff_t)(g->run_words - words);
    const ptrdiff_t stride = (ptrdiff_t)g->step_w * g->in_pixel_words;
    const uint8_t *w0 = (const uint8_t *)w;
    const uint8_t *w1 = blocks > 1 ? (const uint8_t *)(w + bitc_bconv_weight_words(g) * BITC_BCONV_BLOCK_AVX2) : w0;
    for (int32_t i = 0; i < g->taps_h; i++) {
        for (int32_t j = 0; j < g->taps_w; j++) {
            const uint64_t *run = x + (ptrdiff_t)i * g->tap_row_words + (ptrdiff_t)j * g->tap_words;
            for (int32_t r = 0; r < words; r++, w0 += 256, w1 += 256) {
                bitc_bconv_word_avx2(&s, run + r, stride, w0, w1, pixels, blocks);
                if (++bytes_filled < BYTES_FULL) continue;
                bytes_filled = 0;
                bitc_bconv_widen_avx2(wide, &s, pixels, blocks);
                if (++wide_filled < WIDE_FULL) continue;
                wide_filled = 0;
                bitc_bconv_store_pops_avx2(wide, pop, pixels, blocks, stored);
                stored = 1;
            }
            w0 += rest;
            w1 += rest;
        }
    }
    bitc_bconv_widen_avx2(wide, &s, pixels, blocks);
    bitc_bconv_store_pops_avx2(wide, pop, pixels, blocks, stored);
    for (int32_t p = 0; twins && p < pixels; p++) {
        for (int32_t c = 0; c < 32 * blocks; c++) pop[p][c] *= 2;
    }
}

/* pop[pixel][channel] of 1..4 neighbouring output pixels and 1..2 blocks of weights. */
static inline void bitc_bconv_pops_avx2(const bitc_bconv *g, const uint64_t *x, const uint64_t *w, int32_t pop[4][64],
                                        int32_t pixels, int32_t blocks) {
    switch (2 * pixels + blocks) {
        case 3: bitc_bconv_tile_avx2(g, x, w, pop, 1, 1); break;
        case 4: bitc_bconv_tile_avx2(g, x, w, pop, 1, 2); break;
        case 5: bitc_bconv_tile_avx2(g, x, w, pop, 2, 1); break;
        case 6: bitc_bconv_tile_avx2(g, x, w, pop, 2, 2); break;
        case 7: bitc_bconv_tile_avx2(g, x, w, pop, 3, 1); break;
        case 8: bitc_bconv_tile_avx2(g, x, w, pop, 3, 2); break;
        case 9: bitc_bconv_tile_avx2(g, x, w, pop, 4, 1); break;
        default: bitc_bconv_tile_avx2(g, x, w, pop, 4, 2); break;
    }
}

/* Blocks in the tile that begins at block b, and pixels in the tile that begins at pixel px. */
static inline int32_t bitc_bconv_tile_blocks_avx2(int32_t blocks, int32_t b) { return blocks - b < 2 ? 1 : 2; }

static inline int32_t bitc_bconv_tile_pixels_avx2(const bitc_bconv *g, int32_t px) {
    return g->out_w - px < 4 ? g->out_w - px : 4;
}

static inline void bitc_bconv_acc_avx2(const bitc_bconv *g, const uint64_t *x, const uint64_t *w, const int32_t *base,
                                       int32_t step, int32_t *acc, int32_t y0, int32_t y1) {
    enum { B = BITC_BCONV_BLOCK_AVX2 };
    const int32_t all = bitc_bconv_blocks(g, B);
    for (int32_t b = 0; b < all; b += 2, w += 2 * B * bitc_bconv_weight_words(g)) {
        const int32_t blocks = bitc_bconv_tile_blocks_avx2(all, b);
        const int32_t channels = g->out_c - b * B < 2 * B ? g->out_c - b * B : 2 * B;
        int32_t *out = acc + b * B;
        for (int32_t y = y0; y < y1; y++) {
            for (int32_t px = 0; px < g->out_w; px += 4) {
                int32_t pop[4][64];
                const int32_t pixels = bitc_bconv_tile_pixels_avx2(g, px);
                bitc_bconv_pops_avx2(g, bitc_bconv_window(g, x, y, px), w, pop, pixels, blocks);
                for (int32_t p = 0; p < pixels; p++, out += g->out_c) {
                    const int32_t *from = base + ((ptrdiff_t)bitc_bconv_class(g, y, px + p) * all + b) * B;
                    for (int32_t c = 0; c < channels; c++) out[c] = from[c] - step * pop[p][c];
                }
            }
        }
    }
}

/* Bit c = (pop[c] > limit[c]), 32 channels. */
static inline uint64_t bitc_exceeds_avx2(const int32_t *pop, const int32_t *limit) {
    uint32_t bits = 0;
    for (int32_t c = 0; c < 32; c += 8) {
        const __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(pop + c));
        const __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(limit + c));
        const int mask = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b)));
        bits |= (uint32_t)mask << c;
    }
    return bits;
}

static inline void bitc_bconv_bits_avx2(const bitc_bconv *g, const uint64_t *x, const uint64_t *w, const int32_t *limit,
                                        const uint64_t *flip, int32_t planes, uint64_t *y, int32_t out_row_words,
                                        int32_t out_pixel_words, int32_t y0, int32_t y1) {
    enum { B = BITC_BCONV_BLOCK_AVX2 };
    const int32_t all = bitc_bconv_blocks(g, B), words = bitc_words(g->out_c);
    for (int32_t b = 0; b < all; b += 2, w += 2 * B * bitc_bconv_weight_words(g)) {
        const int32_t blocks = bitc_bconv_tile_blocks_avx2(all, b), word = b / 2;
        for (int32_t row = y0; row < y1; row++) {
            uint64_t *out = y + (ptrdiff_t)(row - y0) * out_row_words + word;
            for (int32_t px = 0; px < g->out_w; px += 4) {
                int32_t pop[4][64];
                const int32_t pixels = bitc_bconv_tile_pixels_avx2(g, px);
                bitc_bconv_pops_avx2(g, bitc_bconv_window(g, x, row, px), w, pop, pixels, blocks);
                for (int32_t p = 0; p < pixels; p++, out += out_pixel_words) {
                    for (int32_t plane = 0; plane < planes; plane++) {
                        const int32_t cls = plane * g->classes + bitc_bconv_class(g, row, px + p);
                        const int32_t *lim = limit + ((ptrdiff_t)cls * all + b) * B;
                        uint64_t bits = bitc_exceeds_avx2(pop[p], lim);
                        if (blocks > 1) bits |= bitc_exceeds_avx2(pop[p] + B, lim + B) << 32;
                        out[plane * words] = bits ^ flip[word];
                    }
                }
            }
        }
    }
}

#endif
