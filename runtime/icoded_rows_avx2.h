/* Products of many pixels with weights stored as codes of 2 or 4 bits, for AVX2: the contract is in icoded.h. */
#ifndef BITC_ICODED_ROWS_AVX2_H
#define BITC_ICODED_ROWS_AVX2_H

#include "icoded_avx2.h"

/* Four bytes of each of 8 numbers, modulo 2^8. */
BITC_INLINE __m256i bitc_icoded_bytes_avx2(const int32_t *numbers) {
    const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)numbers);
    return _mm256_mullo_epi32(_mm256_and_si256(v, _mm256_set1_epi32(255)), _mm256_set1_epi32(0x01010101));
}

/* Block b of 16 channels as int8_t [entries][16][4]. */
BITC_INLINE void bitc_icoded_expand_avx2(const uint8_t *w, int32_t entries, const int32_t *lowest, __m256i table,
                                         int32_t b, int8_t *out, const int bits) {
    const int32_t fours = 4 / bits; /* blocks of 16 channels in one of codes */
    const uint8_t *codes = w + (ptrdiff_t)(b / fours) * entries * 32;
    const __m128i shift = _mm_cvtsi32_si128(b % fours * 2 * bits);
    const __m256i mask = _mm256_set1_epi8((char)((1 << bits) - 1));
    const __m256i low_a = bitc_icoded_bytes_avx2(lowest + 16 * b), low_b = bitc_icoded_bytes_avx2(lowest + 16 * b + 8);
    for (ptrdiff_t k = 0; k < entries; k++, out += 64) {
        const __m256i both =
            _mm256_srl_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(codes + 32 * k)), shift);
        const __m256i a = _mm256_and_si256(both, mask), c = _mm256_and_si256(_mm256_srli_epi16(both, bits), mask);
        _mm256_storeu_si256((__m256i *)(void *)out, _mm256_add_epi8(low_a, _mm256_shuffle_epi8(table, a)));
        _mm256_storeu_si256((__m256i *)(void *)(out + 32), _mm256_add_epi8(low_b, _mm256_shuffle_epi8(table, c)));
    }
}

/* Blocks [b0, b1) of 16 channels, whose expanded weights are at w, for all pixels. */
BITC_INLINE void bitc_icoded_pass_avx2(const bitc_iconv *g, const uint8_t *x, const int8_t *w, const int32_t *base,
                                       int32_t *y, int32_t y0, int32_t y1, int32_t b0, int32_t b1) {
    const ptrdiff_t size = (ptrdiff_t)16 * g->run;
    bitc_icursor cursor = bitc_iconv_start(g, y0);
    for (int32_t left = (y1 - y0) * g->out_w, count; left > 0; left -= count, y += (ptrdiff_t)count * g->out_c) {
        ptrdiff_t at[4];
        count = bitc_iconv_next_tile_avx2(left, 1);
        bitc_iconv_pixels(g, &cursor, count, 4, at);
        for (int32_t b = b0; b < b1; b++) {
            const int8_t *from = w + (b - b0) * size;
            const int32_t channels = g->out_c - 16 * b, *start = base + 16 * b;
            if (count > 1) {
                bitc_iconv_block_avx2(g, x, at, from, start, y + 16 * b, count, channels, 4, 1, 0);
            } else {
                bitc_iconv_block_avx2(g, x, at, from, start, y + 16 * b, 1, channels, 1, 1, 0);
            }
        }
    }
}

BITC_INLINE void bitc_icoded_rows_avx2(const bitc_iconv *g, const uint8_t *x, const uint8_t *w, const int32_t *lowest,
                                       const int32_t *base, int32_t step, int8_t *scratch, int32_t *y, int32_t y0,
                                       int32_t y1, const int bits) {
    const ptrdiff_t size = (ptrdiff_t)16 * g->run;
    const int32_t blocks = (g->out_c + 15) / 16, pass = bitc_iconv_pass(size);
    uint8_t steps[16];
    bitc_icoded_table(step, steps);
    const __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)steps));
    for (int32_t b0 = 0; b0 < blocks; b0 += pass) {
        const int32_t b1 = bitc_imin32(b0 + pass, blocks);
        for (int32_t b = b0; b < b1; b++) {
            bitc_icoded_expand_avx2(w, g->run / 4, lowest, table, b, scratch + (b - b0) * size, bits);
        }
        bitc_icoded_pass_avx2(g, x, scratch, base, y, y0, y1, b0, b1);
    }
}

static inline void bitc_icoded2_rows_avx2(const bitc_iconv *g, const uint8_t *x, const uint8_t *w,
                                          const int32_t *lowest, const int32_t *base, int32_t step, int8_t *scratch,
                                          int32_t *y, int32_t y0, int32_t y1) {
    bitc_icoded_rows_avx2(g, x, w, lowest, base, step, scratch, y, y0, y1, 2);
}

static inline void bitc_icoded4_rows_avx2(const bitc_iconv *g, const uint8_t *x, const uint8_t *w,
                                          const int32_t *lowest, const int32_t *base, int32_t step, int8_t *scratch,
                                          int32_t *y, int32_t y0, int32_t y1) {
    bitc_icoded_rows_avx2(g, x, w, lowest, base, step, scratch, y, y0, y1, 4);
}

#endif
