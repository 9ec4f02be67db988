/* Convolution of codes of two bits by table look-up for AVX2. Contract: bpairs_portable.h; weights as in bconv.h.
 *
 * The kernel is that of bconv_avx2.h with another table: there, too, four bits of input select the row in which four
 * bits of weights are looked up. Eight entries are summed in a byte, so bytes are widened every half word.
 */
#ifndef BITC_BPAIRS_AVX2_H
#define BITC_BPAIRS_AVX2_H

#include "bconv_avx2.h"

/* Adds half a word, four bytes, of each of `pixels` pixels, `stride` bytes apart. */
BITC_INLINE void bitc_pairs_half_avx2(bitc_bconv_sums_avx2 *s, const uint8_t *table, const uint8_t *x, ptrdiff_t stride,
                                      const uint8_t *w0, const uint8_t *w1, int32_t pixels, int32_t blocks) {
    const __m256i low = _mm256_set1_epi8(15);
    for (int32_t byte = 0; byte < 4; byte++) {
        const __m256i v0 = _mm256_loadu_si256((const __m256i *)(const void *)(w0 + 32 * byte));
        const __m256i v1 = _mm256_loadu_si256((const __m256i *)(const void *)(w1 + 32 * byte));
        const __m256i low0 = _mm256_and_si256(v0, low), high0 = _mm256_and_si256(_mm256_srli_epi16(v0, 4), low);
        const __m256i low1 = _mm256_and_si256(v1, low), high1 = _mm256_and_si256(_mm256_srli_epi16(v1, 4), low);
        BITC_BCONV_STEP_AVX2(0, table + 32 * x[byte]);
        if (pixels > 1) BITC_BCONV_STEP_AVX2(1, table + 32 * x[stride + byte]);
        if (pixels > 2) BITC_BCONV_STEP_AVX2(2, table + 32 * x[2 * stride + byte]);
        if (pixels > 3) BITC_BCONV_STEP_AVX2(3, table + 32 * x[3 * stride + byte]);
    }
}

/* Sums of a tile whose size is known when this is inlined. */
BITC_INLINE void bitc_pairs_tile_avx2(const bitc_bconv *g, const uint8_t *table, const uint64_t *x, const uint64_t *w,
                                      int32_t sum[4][64], int32_t pixels, int32_t blocks) {
    enum { WIDE_FULL = 65535 / 255 };
    const __m256i z = _mm256_setzero_si256();
    bitc_bconv_sums_avx2 s = {z, z, z, z, z, z, z, z};
    __m256i wide[16] = {z, z, z, z, z, z, z, z, z, z, z, z, z, z, z, z};
    int32_t filled = 0, stored = 0;
    const ptrdiff_t stride = (ptrdiff_t)g->step_w * g->in_pixel_words * 8;
    const uint8_t *w0 = (const uint8_t *)w;
    const uint8_t *w1 = blocks > 1 ? (const uint8_t *)(w + bitc_bconv_weight_words(g) * BITC_BCONV_BLOCK_AVX2) : w0;
    for (int32_t i = 0; i < g->taps_h; i++) {
        for (int32_t j = 0; j < g->taps_w; j++) {
            const uint64_t *run = x + (ptrdiff_t)i * g->tap_row_words + (ptrdiff_t)j * g->tap_words;
            const uint8_t *in = (const uint8_t *)run;
            for (int32_t half = 0; half < 2 * g->run_words; half++, in += 4, w0 += 128, w1 += 128) {
                bitc_pairs_half_avx2(&s, table, in, stride, w0, w1, pixels, blocks);
                bitc_bconv_widen_avx2(wide, &s, pixels, blocks);
                if (++filled < WIDE_FULL) continue;
                filled = 0;
                bitc_bconv_store_pops_avx2(wide, sum, pixels, blocks, stored);
                stored = 1;
            }
        }
    }
    bitc_bconv_store_pops_avx2(wide, sum, pixels, blocks, stored);
}

/* Sums of 1..4 neighbouring output pixels and 1..2 blocks of weights. */
static inline void bitc_pairs_sums_avx2(const bitc_bconv *g, const uint8_t *table, const uint64_t *x, const uint64_t *w,
                                        int32_t sum[4][64], int32_t pixels, int32_t blocks) {
    switch (2 * pixels + blocks) {
        case 3: bitc_pairs_tile_avx2(g, table, x, w, sum, 1, 1); break;
        case 4: bitc_pairs_tile_avx2(g, table, x, w, sum, 1, 2); break;
        case 5: bitc_pairs_tile_avx2(g, table, x, w, sum, 2, 1); break;
        case 6: bitc_pairs_tile_avx2(g, table, x, w, sum, 2, 2); break;
        case 7: bitc_pairs_tile_avx2(g, table, x, w, sum, 3, 1); break;
        case 8: bitc_pairs_tile_avx2(g, table, x, w, sum, 3, 2); break;
        case 9: bitc_pairs_tile_avx2(g, table, x, w, sum, 4, 1); break;
        default: bitc_pairs_tile_avx2(g, table, x, w, sum, 4, 2); break;
    }
}

static inline void bitc_pairs_acc_avx2(const bitc_bconv *g, const uint64_t *x, const uint64_t *w, const uint8_t *table,
                                       const int32_t *base, int32_t step, int32_t *acc, int32_t y0, int32_t y1) {
    enum { B = BITC_BCONV_BLOCK_AVX2 };
    const int32_t all = bitc_bconv_blocks(g, B);
    for (int32_t b = 0; b < all; b += 2, w += 2 * B * bitc_bconv_weight_words(g)) {
        const int32_t blocks = bitc_bconv_tile_blocks_avx2(all, b);
        const int32_t channels = g->out_c - b * B < 2 * B ? g->out_c - b * B : 2 * B;
        int32_t *out = acc + b * B;
        for (int32_t y = y0; y < y1; y++) {
            for (int32_t px = 0; px < g->out_w; px += 4) {
                int32_t sum[4][64];
                const int32_t pixels = bitc_bconv_tile_pixels_avx2(g, px);
                bitc_pairs_sums_avx2(g, table, bitc_bconv_window(g, x, y, px), w, sum, pixels, blocks);
                for (int32_t p = 0; p < pixels; p++, out += g->out_c) {
                    const int32_t *from = base + ((ptrdiff_t)bitc_bconv_class(g, y, px + p) * all + b) * B;
                    for (int32_t c = 0; c < channels; c++) out[c] = from[c] - step * sum[p][c];
                }
            }
        }
    }
}

#endif
