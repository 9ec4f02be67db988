/* Integer convolution tiles for AVX-512 VNNI: pixels x blocks of 16 output channels, one named register per accumulator.
 * Activations are uint8_t in fours or int16_t in pairs, chosen by the constant `bytes`; weights beside int16_t are
 * int16_t, or int8_t (widened when loaded), chosen by the constant `wide`. */
#ifndef BITC_ICONV_TILE_AVX512_H
#define BITC_ICONV_TILE_AVX512_H

#include "iconv.h"
#include <immintrin.h>

#define BITC_ICONV_BLOCK_AVX512 16
#define BITC_ICONV_SIDE_U8_AVX512 4
#define BITC_ICONV_SIDE_I16_AVX512 2

/* The first n (at most 16) lanes of v. */
BITC_INLINE void bitc_istore_avx512(int32_t *y, __m512i v, int32_t n) {
    if (n >= 16) {
        _mm512_storeu_si512(y, v);
    } else {
        _mm512_mask_storeu_epi32(y, (__mmask16)((1u << n) - 1), v);
    }
}

/* An entry of weights: 4 or 2 for each of 16 channels. */
BITC_INLINE __m512i bitc_ientry_avx512(const char *w, const int bytes, const int wide) {
    if (bytes || wide) {
        return _mm512_loadu_si512(w);
    }
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)w));
}

/* Values of a run from element `at` on in every lane; narrow: there are only `run`, fewer than fill a lane. */
BITC_INLINE __m512i bitc_ivalues_avx512(const void *x, ptrdiff_t at, int32_t run, const int bytes, const int narrow) {
    uint32_t values = 0;
    const char *from = (const char *)x + at * (bytes ? 1 : 2);
    if (!narrow) {
        memcpy(&values, from, 4);
    } else if (!bytes) {
        memcpy(&values, from, 2);
    } else {
        for (int32_t i = 0; i < run; i++) {
            values |= (uint32_t)(uint8_t)from[i] << 8 * i;
        }
    }
    return _mm512_set1_epi32((int32_t)values);
}

/* sum += x * w, in fours or pairs. */
BITC_INLINE void bitc_imac_avx512(__m512i *sum, __m512i x, __m512i w, const int bytes) {
    *sum = bytes ? _mm512_dpbusd_epi32(*sum, x, w) : _mm512_dpwssd_epi32(*sum, x, w);
    BITC_BARRIER_512(*sum);
}

/* 8 pixels x `blocks` (a constant, 1 or 2) blocks, `block_bytes` apart: x[at[p]] is the first tap of pixel p, `count`
 * of them are left at y + p * out_pixel. narrow: runs that do not fill a lane. */
BITC_INLINE void bitc_itile_avx512(const bitc_iconv *g, const void *x, const ptrdiff_t *at, const char *w,
                                   ptrdiff_t block_bytes, const int32_t *base, int32_t *y, int32_t count,
                                   int32_t channels, const int blocks, const int bytes, const int wide,
                                   const int narrow) {
    const int side = bytes ? 4 : 2;
    const ptrdiff_t out_pixel = (ptrdiff_t)g->groups * g->out_c, entry = bytes || wide ? 64 : 32;
    const ptrdiff_t at0 = at[0], at1 = at[1], at2 = at[2], at3 = at[3], at4 = at[4], at5 = at[5], at6 = at[6];
    const ptrdiff_t at7 = at[7];
    __m512i a0 = _mm512_loadu_si512(base), b0 = blocks > 1 ? _mm512_loadu_si512(base + 16) : a0, wb = a0;
    __m512i a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
    __m512i b1 = b0, b2 = b0, b3 = b0, b4 = b0, b5 = b0, b6 = b0, b7 = b0;
    for (ptrdiff_t r = 0; r < g->runs_h; r++) {
        for (ptrdiff_t c = 0; c < g->runs_w; c++) {
            const ptrdiff_t first = r * g->run_row + c * g->run_pixel, end = first + g->run;
            const ptrdiff_t last = narrow ? first : end - side;
            for (ptrdiff_t k = first; k < end; k += side, w += entry) {
                const ptrdiff_t j = k < last ? k : last;
                const __m512i wa = bitc_ientry_avx512(w, bytes, wide);
                if (blocks > 1) {
                    wb = bitc_ientry_avx512(w + block_bytes, bytes, wide);
                }
#define BITC_IMAC_PIXEL(a, b, start)                                                                                   \
    do {                                                                                                               \
        const __m512i v = bitc_ivalues_avx512(x, (start) + j, g->run, bytes, narrow);                                  \
        bitc_imac_avx512(&(a), v, wa, bytes);                                                                          \
        if (blocks > 1) {                                                                                              \
            bitc_imac_avx512(&(b), v, wb, bytes);                                                                      \
        }                                                                                                              \
    } while (0)
                BITC_IMAC_PIXEL(a0, b0, at0);
                BITC_IMAC_PIXEL(a1, b1, at1);
                BITC_IMAC_PIXEL(a2, b2, at2);
                BITC_IMAC_PIXEL(a3, b3, at3);
                BITC_IMAC_PIXEL(a4, b4, at4);
                BITC_IMAC_PIXEL(a5, b5, at5);
                BITC_IMAC_PIXEL(a6, b6, at6);
                BITC_IMAC_PIXEL(a7, b7, at7);
#undef BITC_IMAC_PIXEL
            }
        }
    }
    const __m512i a[8] = {a0, a1, a2, a3, a4, a5, a6, a7}, b[8] = {b0, b1, b2, b3, b4, b5, b6, b7};
    for (int32_t p = 0; p < count; p++) {
        bitc_istore_avx512(y + p * out_pixel, a[p], channels);
        if (blocks > 1) {
            bitc_istore_avx512(y + p * out_pixel + 16, b[p], channels - 16);
        }
    }
}

/* 1 pixel x `blocks` (a constant, 1 or 4) blocks: as many streams of weights as hide the latency of the sums. */
BITC_INLINE void bitc_irow_avx512(const bitc_iconv *g, const void *x, ptrdiff_t at, const char *w,
                                  ptrdiff_t block_bytes, const int32_t *base, int32_t *y, int32_t channels,
                                  const int blocks, const int bytes, const int wide, const int narrow) {
    const int side = bytes ? 4 : 2;
    const ptrdiff_t entry = bytes || wide ? 64 : 32;
    __m512i a0 = _mm512_loadu_si512(base), a1 = a0, a2 = a0, a3 = a0;
    if (blocks > 1) {
        a1 = _mm512_loadu_si512(base + 16), a2 = _mm512_loadu_si512(base + 32), a3 = _mm512_loadu_si512(base + 48);
    }
    for (ptrdiff_t r = 0; r < g->runs_h; r++) {
        for (ptrdiff_t c = 0; c < g->runs_w; c++) {
            const ptrdiff_t first = r * g->run_row + c * g->run_pixel, end = first + g->run;
            const ptrdiff_t last = narrow ? first : end - side;
            for (ptrdiff_t k = first; k < end; k += side, w += entry) {
                const __m512i v = bitc_ivalues_avx512(x, at + (k < last ? k : last), g->run, bytes, narrow);
                bitc_imac_avx512(&a0, v, bitc_ientry_avx512(w, bytes, wide), bytes);
                if (blocks > 1) {
                    bitc_imac_avx512(&a1, v, bitc_ientry_avx512(w + block_bytes, bytes, wide), bytes);
                    bitc_imac_avx512(&a2, v, bitc_ientry_avx512(w + 2 * block_bytes, bytes, wide), bytes);
                    bitc_imac_avx512(&a3, v, bitc_ientry_avx512(w + 3 * block_bytes, bytes, wide), bytes);
                }
            }
        }
    }
    bitc_istore_avx512(y, a0, channels);
    if (blocks > 1) {
        bitc_istore_avx512(y + 16, a1, channels - 16);
        bitc_istore_avx512(y + 32, a2, channels - 32);
        bitc_istore_avx512(y + 48, a3, channels - 48);
    }
}

#endif
