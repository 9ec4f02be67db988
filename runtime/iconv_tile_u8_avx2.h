/* Integer convolution tiles for AVX2 on 8-bit activations: up to 4 pixels x a block of 16 output channels.
 *
 * vpmaddubsw adds two products in 16 bits, where full-range operands saturate. So there are two tiles, by how many of its
 * results fit 16 bits together (bitc_iconv's `chain`): several, or any number (bytes are split into words first). Where
 * one or two fit, or could with a few entries more, iconv_placed_avx2.h is the faster kernel. */
#ifndef BITC_ICONV_TILE_U8_AVX2_H
#define BITC_ICONV_TILE_U8_AVX2_H

#include "iconv_tile_avx2.h"

#define BITC_ICONV_SIDE_U8_AVX2 4

/* Results of vpmaddubsw in a chain from which on it pays to add them in 16 bits first. */
#define BITC_ICONV_CHAIN_AVX2 3

/* Four values in every lane; narrow: there are only `run` (1..3), the others are 0. */
BITC_INLINE __m256i bitc_iquad_avx2(const uint8_t *x, int32_t run, const int narrow) {
    uint32_t quad = 0;
    if (narrow) {
        for (int32_t i = 0; i < run; i++) {
            quad |= (uint32_t)x[i] << 8 * i;
        }
    } else {
        memcpy(&quad, x, sizeof quad);
    }
    return _mm256_set1_epi32((int32_t)quad);
}

/* 32 weights: four for each of 8 channels. */
BITC_INLINE __m256i bitc_iquads_avx2(const int8_t *w) {
    return _mm256_loadu_si256((const __m256i *)(const void *)w);
}

/* sum += x * w in fours, where pairs of products fit 16 bits. */
BITC_INLINE void bitc_imac_quad_avx2(__m256i *sum, __m256i x, __m256i w) {
    const __m256i product = _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), _mm256_set1_epi16(1));
    *sum = _mm256_add_epi32(*sum, product);
    BITC_BARRIER(*sum);
}

/* The same, not yet added over the pairs and in 16 bits. */
BITC_INLINE void bitc_imac_chain_avx2(__m256i *sum, __m256i x, __m256i w) {
    *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(x, w));
    BITC_BARRIER(*sum);
}

/* The same whatever the operands: w as its bytes of even and odd number. */
BITC_INLINE void bitc_imac_split_avx2(__m256i *sum, __m256i x_even, __m256i x_odd, __m256i w_even, __m256i w_odd) {
    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x_even, w_even));
    BITC_BARRIER(*sum);
    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x_odd, w_odd));
    BITC_BARRIER(*sum);
}

/* Both halves of a block for one pixel. */
BITC_INLINE void bitc_imac_split2_avx2(__m256i *a, __m256i *b, __m256i x, const __m256i *w) {
    const __m256i odd = _mm256_srli_epi16(x, 8), even = _mm256_and_si256(x, _mm256_set1_epi16(255));
    bitc_imac_split_avx2(a, even, odd, w[0], w[1]);
    bitc_imac_split_avx2(b, even, odd, w[2], w[3]);
}

/* `pixels` (a constant, 1 or 4) pixels x 1 block, as in bitc_itile_i16_avx2. */
BITC_INLINE void bitc_itile_u8_avx2(const bitc_iconv *g, const uint8_t *x, const ptrdiff_t *at, const int8_t *w,
                                    const int32_t *base, int32_t *y, int32_t count, int32_t channels,
                                    const int pixels, const int narrow) {
    const ptrdiff_t out_pixel = (ptrdiff_t)g->groups * g->out_c;
    const uint8_t *x0 = x + at[0], *x1 = x0, *x2 = x0, *x3 = x0;
    __m256i a0 = _mm256_loadu_si256((const __m256i *)(const void *)base);
    __m256i b0 = _mm256_loadu_si256((const __m256i *)(const void *)(base + 8));
    __m256i a1 = a0, a2 = a0, a3 = a0, b1 = b0, b2 = b0, b3 = b0;
    if (pixels > 1) {
        x1 = x + at[1], x2 = x + at[2], x3 = x + at[3];
    }
    for (ptrdiff_t r = 0; r < g->runs_h; r++) {
        for (ptrdiff_t c = 0; c < g->runs_w; c++) {
            const ptrdiff_t first = r * g->run_row + c * g->run_pixel, end = first + g->run;
            const ptrdiff_t last = narrow ? first : end - 4;
            for (ptrdiff_t k = first; k < end; k += 4, w += 64) {
                const ptrdiff_t j = k < last ? k : last;
                const __m256i wa = bitc_iquads_avx2(w), wb = bitc_iquads_avx2(w + 32);
                const __m256i split[4] = {
                    _mm256_srai_epi16(_mm256_slli_epi16(wa, 8), 8), _mm256_srai_epi16(wa, 8),
                    _mm256_srai_epi16(_mm256_slli_epi16(wb, 8), 8), _mm256_srai_epi16(wb, 8)};
                bitc_imac_split2_avx2(&a0, &b0, bitc_iquad_avx2(x0 + j, g->run, narrow), split);
                if (pixels > 1) {
                    bitc_imac_split2_avx2(&a1, &b1, bitc_iquad_avx2(x1 + j, g->run, narrow), split);
                    bitc_imac_split2_avx2(&a2, &b2, bitc_iquad_avx2(x2 + j, g->run, narrow), split);
                    bitc_imac_split2_avx2(&a3, &b3, bitc_iquad_avx2(x3 + j, g->run, narrow), split);
                }
            }
        }
    }
    const __m256i a[4] = {a0, a1, a2, a3}, b[4] = {b0, b1, b2, b3};
    for (int32_t p = 0; p < count; p++) {
        bitc_istore_pixel_avx2(y + p * out_pixel, a[p], b[p], channels);
    }
}

/* The same where g->chain results of vpmaddubsw fit 16 bits together. */
BITC_INLINE void bitc_itile_chain_avx2(const bitc_iconv *g, const uint8_t *x, const ptrdiff_t *at, const int8_t *w,
                                       const int32_t *base, int32_t *y, int32_t count, int32_t channels,
                                       const int pixels) {
    const ptrdiff_t out_pixel = (ptrdiff_t)g->groups * g->out_c;
    const __m256i ones = _mm256_set1_epi16(1), zero = _mm256_setzero_si256();
    const uint8_t *x0 = x + at[0], *x1 = x0, *x2 = x0, *x3 = x0;
    __m256i sums[8];
    for (int p = 0; p < pixels; p++) {
        sums[2 * p] = _mm256_loadu_si256((const __m256i *)(const void *)base);
        sums[2 * p + 1] = _mm256_loadu_si256((const __m256i *)(const void *)(base + 8));
    }
    if (pixels > 1) {
        x1 = x + at[1], x2 = x + at[2], x3 = x + at[3];
    }
    for (ptrdiff_t r = 0; r < g->runs_h; r++) {
        for (ptrdiff_t c = 0; c < g->runs_w; c++) {
            const ptrdiff_t first = r * g->run_row + c * g->run_pixel, end = first + g->run, last = end - 4;
            for (ptrdiff_t k = first; k < end;) {
                const ptrdiff_t rest = end - k, stop = rest < 4 * g->chain ? end : k + 4 * g->chain;
                __m256i a0 = zero, a1 = zero, a2 = zero, a3 = zero, b0 = zero, b1 = zero, b2 = zero, b3 = zero;
                for (; k < stop; k += 4, w += 64) {
                    const ptrdiff_t j = k < last ? k : last;
                    const __m256i wa = bitc_iquads_avx2(w), wb = bitc_iquads_avx2(w + 32);
                    __m256i v = bitc_iquad_avx2(x0 + j, 4, 0);
                    bitc_imac_chain_avx2(&a0, v, wa), bitc_imac_chain_avx2(&b0, v, wb);
                    if (pixels > 1) {
                        v = bitc_iquad_avx2(x1 + j, 4, 0);
                        bitc_imac_chain_avx2(&a1, v, wa), bitc_imac_chain_avx2(&b1, v, wb);
                        v = bitc_iquad_avx2(x2 + j, 4, 0);
                        bitc_imac_chain_avx2(&a2, v, wa), bitc_imac_chain_avx2(&b2, v, wb);
                        v = bitc_iquad_avx2(x3 + j, 4, 0);
                        bitc_imac_chain_avx2(&a3, v, wa), bitc_imac_chain_avx2(&b3, v, wb);
                    }
                }
                const __m256i chains[8] = {a0, b0, a1, b1, a2, b2, a3, b3};
                for (int p = 0; p < 2 * pixels; p++) {
                    sums[p] = _mm256_add_epi32(sums[p], _mm256_madd_epi16(chains[p], ones));
                }
            }
        }
    }
    for (int32_t p = 0; p < count; p++) {
        bitc_istore_pixel_avx2(y + p * out_pixel, sums[2 * p], sums[2 * p + 1], channels);
    }
}

#endif
