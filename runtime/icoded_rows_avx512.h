/* Products of many pixels with weights stored as codes of 2 or 4 bits, for AVX-512 VNNI: the contract is in icoded.h. */
#ifndef BITC_ICODED_ROWS_AVX512_H
#define BITC_ICODED_ROWS_AVX512_H

#include "icoded_avx512.h"

/* Block b of 16 channels as int8_t [entries][16][4]. */
BITC_INLINE void bitc_icoded_expand_avx512(const uint8_t *w, int32_t entries, const int32_t *lowest, __m512i table,
                                           int32_t b, int8_t *out, const int bits) {
    const int32_t fields = 8 / bits;
    const uint8_t *codes = w + (ptrdiff_t)(b / fields) * entries * 64;
    const __m128i shift = _mm_cvtsi32_si128(b % fields * bits);
    const __m512i mask = _mm512_set1_epi8((char)((1 << bits) - 1));
    const __m512i bytes = _mm512_and_si512(_mm512_loadu_si512(lowest + 16 * b), _mm512_set1_epi32(255));
    const __m512i low = _mm512_mullo_epi32(bytes, _mm512_set1_epi32(0x01010101));
    for (ptrdiff_t k = 0; k < entries; k++) {
        const __m512i v = _mm512_and_si512(_mm512_srl_epi16(_mm512_loadu_si512(codes + 64 * k), shift), mask);
        _mm512_storeu_si512(out + 64 * k, _mm512_add_epi8(low, _mm512_shuffle_epi8(table, v)));
    }
}

/* All pixels, 8 at a time, x blocks [b0, b1) of 16 channels, whose expanded weights are at w. */
BITC_INLINE void bitc_icoded_pass_avx512(const bitc_iconv *g, const uint8_t *x, const char *w, const int32_t *base,
                                         int32_t *y, int32_t y0, int32_t y1, int32_t b0, int32_t b1) {
    const ptrdiff_t size = (ptrdiff_t)16 * g->run;
    bitc_icursor cursor = bitc_iconv_start(g, y0);
    for (int32_t left = (y1 - y0) * g->out_w, count; left > 0; left -= count, y += (ptrdiff_t)count * g->out_c) {
        ptrdiff_t at[8];
        count = left >= BITC_ICONV_FEW_AVX512 ? bitc_imin32(8, left) : 1;
        bitc_iconv_pixels(g, &cursor, count, 8, at);
        for (int32_t b = b0, n; b < b1; b += n) {
            const char *from = w + (b - b0) * size;
            const int32_t channels = g->out_c - 16 * b, *start = base + 16 * b;
            n = count > 1 && b + 2 <= b1 ? 2 : 1;
            if (n > 1) {
                bitc_itile_avx512(g, x, at, from, size, start, y + 16 * b, count, channels, 2, 1, 0, 0);
            } else if (count > 1) {
                bitc_itile_avx512(g, x, at, from, size, start, y + 16 * b, count, channels, 1, 1, 0, 0);
            } else {
                bitc_irow_avx512(g, x, at[0], from, size, start, y + 16 * b, channels, 1, 1, 0, 0);
            }
        }
    }
}

BITC_INLINE void bitc_icoded_rows_avx512(const bitc_iconv *g, const uint8_t *x, const uint8_t *w,
                                         const int32_t *lowest, const int32_t *base, int32_t step, int8_t *scratch,
                                         int32_t *y, int32_t y0, int32_t y1, const int bits) {
    const ptrdiff_t size = (ptrdiff_t)16 * g->run;
    const int32_t blocks = (g->out_c + 15) / 16, pass = bitc_iconv_pass(size);
    uint8_t steps[16];
    bitc_icoded_table(step, steps);
    const __m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)steps));
    for (int32_t b0 = 0; b0 < blocks; b0 += pass) {
        const int32_t b1 = bitc_imin32(b0 + pass, blocks);
        for (int32_t b = b0; b < b1; b++) {
            bitc_icoded_expand_avx512(w, g->run / 4, lowest, table, b, scratch + (b - b0) * size, bits);
        }
        bitc_icoded_pass_avx512(g, x, (const char *)scratch, base, y, y0, y1, b0, b1);
    }
}

static inline void bitc_icoded2_rows_avx512(const bitc_iconv *g, const uint8_t *x, const uint8_t *w,
                                            const int32_t *lowest, const int32_t *base, int32_t step, int8_t *scratch,
                                            int32_t *y, int32_t y0, int32_t y1) {
    bitc_icoded_rows_avx512(g, x, w, lowest, base, step, scratch, y, y0, y1, 2);
}

static inline void bitc_icoded4_rows_avx512(const bitc_iconv *g, const uint8_t *x, const uint8_t *w,
                                            const int32_t *lowest, const int32_t *base, int32_t step, int8_t *scratch,
                                            int32_t *y, int32_t y0, int32_t y1) {
    bitc_icoded_rows_avx512(g, x, w, lowest, base, step, scratch, y, y0, y1, 4);
}

#endif
