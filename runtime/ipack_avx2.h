/* Matrices in the order of the integer convolution's weights for AVX2 and AVX-512: blocks of 16 columns, entries of four
 * bytes or of two int16_t. Where columns or rows lie side by side, in registers. Contract: igemm.h. */
#ifndef BITC_IPACK_AVX2_H
#define BITC_IPACK_AVX2_H

#include "igemm.h"
#include <immintrin.h>

/* The bytes at `from`, of which `n` count and `left` may be read; the others are 0. */
BITC_INLINE __m128i bitc_ipack_load_avx2(const void *from, int32_t n, ptrdiff_t left) {
    const __m128i places = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m128i v = _mm_setzero_si128();
    if (n >= 16) {
        return _mm_loadu_si128((const __m128i *)from);
    }
    if (left >= 16) {
        return _mm_and_si128(_mm_loadu_si128((const __m128i *)from), _mm_cmpgt_epi8(_mm_set1_epi8((char)n), places));
    }
    memcpy(&v, from, n > 0 ? (size_t)n : 0);
    return v;
}

BITC_INLINE void bitc_ipack_store_avx2(void *w, __m128i a, __m128i b, __m128i c, __m128i d) {
    __m128i *to = (__m128i *)w;
    _mm_storeu_si128(to, a), _mm_storeu_si128(to + 1, b);
    _mm_storeu_si128(to + 2, c), _mm_storeu_si128(to + 3, d);
}

/* An entry whose columns lie side by side: four rows of bytes, `step` apart, or two of int16_t. `left`: as many values
 * of the matrix are left from y on. */
BITC_INLINE void bitc_ipack_rows_avx2(const void *y, ptrdiff_t step, void *w, int32_t n, ptrdiff_t left,
                                      const int bytes) {
    if (bytes) {
        const int8_t *from = (const int8_t *)y;
        const __m128i a = bitc_ipack_load_avx2(from, n, left), b = bitc_ipack_load_avx2(from + step, n, left - step);
        const __m128i c = bitc_ipack_load_avx2(from + 2 * step, n, left - 2 * step);
        const __m128i d = bitc_ipack_load_avx2(from + 3 * step, n, left - 3 * step);
        const __m128i ab = _mm_unpacklo_epi8(a, b), cd = _mm_unpacklo_epi8(c, d);
        const __m128i ab_high = _mm_unpackhi_epi8(a, b), cd_high = _mm_unpackhi_epi8(c, d);
        bitc_ipack_store_avx2(w, _mm_unpacklo_epi16(ab, cd), _mm_unpackhi_epi16(ab, cd),
                              _mm_unpacklo_epi16(ab_high, cd_high), _mm_unpackhi_epi16(ab_high, cd_high));
    } else {
        const int16_t *from = (const int16_t *)y, *next = from + step;
        const ptrdiff_t room = 2 * left, below = 2 * (left - step);
        const __m128i a = bitc_ipack_load_avx2(from, 2 * n, room), b = bitc_ipack_load_avx2(next, 2 * n, below);
        const int32_t rest = n > 8 ? 2 * n - 16 : 0; /* of the columns from the ninth on */
        const __m128i zero = _mm_setzero_si128();
        const __m128i c = rest ? bitc_ipack_load_avx2(from + 8, rest, room - 16) : zero;
        const __m128i d = rest ? bitc_ipack_load_avx2(next + 8, rest, below - 16) : zero;
        bitc_ipack_store_avx2(w, _mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b), _mm_unpacklo_epi16(c, d),
                              _mm_unpackhi_epi16(c, d));
    }
}

/* Four entries, a quarter of a block each, of columns whose values lie side by side; `step` bytes from one to the next. */
BITC_INLINE void bitc_ipack_columns_avx2(const char *y, ptrdiff_t step, char *w) {
    const __m128i a = _mm_loadu_si128((const __m128i *)(const void *)y);
    const __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(y + step));
    const __m128i c = _mm_loadu_si128((const __m128i *)(const void *)(y + 2 * step));
    const __m128i d = _mm_loadu_si128((const __m128i *)(const void *)(y + 3 * step));
    const __m128i ab = _mm_unpacklo_epi32(a, b), ab_high = _mm_unpackhi_epi32(a, b);
    const __m128i cd = _mm_unpacklo_epi32(c, d), cd_high = _mm_unpackhi_epi32(c, d);
    _mm_storeu_si128((__m128i *)(void *)w, _mm_unpacklo_epi64(ab, cd));
    _mm_storeu_si128((__m128i *)(void *)(w + 64), _mm_unpackhi_epi64(ab, cd));
    _mm_storeu_si128((__m128i *)(void *)(w + 128), _mm_unpacklo_epi64(ab_high, cd_high));
    _mm_storeu_si128((__m128i *)(void *)(w + 192), _mm_unpackhi_epi64(ab_high, cd_high));
}

/* All full entries of n such columns. */
BITC_INLINE void bitc_ipack_all_columns_avx2(const char *y, ptrdiff_t step, char *w, int32_t entries, int32_t n) {
    for (int32_t e = 0; e < entries; e += 4) {
        const int32_t whole = e + 4 <= entries ? n / 4 * 4 : 0, count = bitc_imin32(4, entries - e);
        if (n < 16) {
            memset(w + 64 * (ptrdiff_t)e, 0, (size_t)count * 64);
        }
        for (int32_t l = 0; l < whole; l += 4) {
            bitc_ipack_columns_avx2(y + l * step + 4 * e, step, w + 64 * (ptrdiff_t)e + 4 * l);
        }
        for (int32_t l = whole; l < n; l++) {
            for (int32_t i = e; i < e + count; i++) memcpy(w + 64 * (ptrdiff_t)i + 4 * l, y + l * step + 4 * i, 4);
        }
    }
}

/* One block of n columns, in plain C where neither rows nor columns lie side by side. */
BITC_INLINE void bitc_ipack_block_avx2(const bitc_imatrices *g, const void *y, void *w, int32_t n, const int bytes) {
    const int32_t side = bytes ? 4 : 2, size = bytes ? 1 : 2, entries = g->depth / side;
    if (g->column_step != 1 && g->depth_step != 1) {
        bitc_ipack_plain(g, y, w, n, 16, side, bytes);
        return;
    }
    if (g->column_step == 1) {
        ptrdiff_t left = (g->depth - 1) * (ptrdiff_t)g->depth_step + n;
        for (ptrdiff_t e = 0; e < entries; e++, left -= (ptrdiff_t)side * g->depth_step) {
            bitc_ipack_rows_avx2((const char *)y + e * 4 * g->depth_step, g->depth_step, (char *)w + 64 * e, n, left, bytes);
        }
    } else {
        bitc_ipack_all_columns_avx2((const char *)y, (ptrdiff_t)g->column_step * size, (char *)w, entries, n);
    }
    bitc_ipack_rest(g, y, w, n, 16, side, bytes);
}

BITC_INLINE void bitc_ipack_i8_block_avx2(const bitc_imatrices *g, const void *y, void *w, int32_t n) {
    bitc_ipack_block_avx2(g, y, w, n, 1);
}

BITC_INLINE void bitc_ipack_i16_block_avx2(const bitc_imatrices *g, const void *y, void *w, int32_t n) {
    bitc_ipack_block_avx2(g, y, w, n, 0);
}

/* lowest times the sums of 16 columns of packed entries. */
BITC_INLINE void bitc_ipack_sums_avx2(const bitc_imatrices *g, const void *w, int32_t *base, const int bytes) {
    const __m256i ones = _mm256_set1_epi16(1), lowest = _mm256_set1_epi32(g->lowest);
    const __m256i *from = (const __m256i *)w;
    __m256i a = _mm256_setzero_si256(), b = a;
    for (int32_t k = 0; k < g->depth; k += bytes ? 4 : 2, from += 2) {
        __m256i low = _mm256_loadu_si256(from), high = _mm256_loadu_si256(from + 1);
        if (bytes) {
            low = _mm256_maddubs_epi16(_mm256_set1_epi8(1), low), high = _mm256_maddubs_epi16(_mm256_set1_epi8(1), high);
        }
        a = _mm256_add_epi32(a, _mm256_madd_epi16(low, ones)), b = _mm256_add_epi32(b, _mm256_madd_epi16(high, ones));
    }
    _mm256_storeu_si256((__m256i *)(void *)base, _mm256_mullo_epi32(a, lowest));
    _mm256_storeu_si256((__m256i *)(void *)(base + 8), _mm256_mullo_epi32(b, lowest));
}

BITC_INLINE void bitc_ipack_i8_sums_avx2(const bitc_imatrices *g, const void *w, int32_t *base) {
    bitc_ipack_sums_avx2(g, w, base, 1);
}

BITC_INLINE void bitc_ipack_i16_sums_avx2(const bitc_imatrices *g, const void *w, int32_t *base) {
    bitc_ipack_sums_avx2(g, w, base, 0);
}

#endif
