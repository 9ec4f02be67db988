/* Products with weights stored as codes of 2 or 4 bits, for AVX-512 VNNI: vpdpbusd of activations and codes, no shifts.
 *
 * Every field of an entry is multiplied where it stands and its sums are brought down at the end. In the highest field a
 * code's uppermost bit would be a sign, so half the codes' range is taken off (by the same vpternlogd that selects the
 * field) and added again with the sum of the activations. */
#ifndef BITC_ICODED_AVX512_H
#define BITC_ICODED_AVX512_H

#include "icoded.h"
#include "iconv_avx512.h"

#define BITC_ICODED_LANES_AVX512 16

/* Field f of the codes v of `bits` bits, in its place; the highest one less half its range. */
BITC_INLINE __m512i bitc_icoded_field_avx512(__m512i v, const int f, const int bits) {
    const int mask = ((1 << bits) - 1) << f * bits, sign = f == 8 / bits - 1 ? 0x80 : 0;
    const __m512i field = _mm512_set1_epi32((int)(0x01010101u * (unsigned)mask));
    const __m512i flip = _mm512_set1_epi32((int)(0x01010101u * (unsigned)sign));
    return _mm512_ternarylogic_epi32(v, field, flip, 0x6A); /* (v & field) ^ flip */
}

/* One pixel x a block of 64 or 32 channels, 16 in each of sums[0 .. 8 / bits), whose values sum up to total. */
BITC_INLINE void bitc_icodes_avx512(const uint8_t *x, const uint8_t *w, ptrdiff_t entries, int32_t total,
                                    __m512i *sums, const int bits) {
    const __m512i half = _mm512_set1_epi32(total << (bits - 1));
    __m512i a0 = _mm512_setzero_si512(), a1 = a0, a2 = a0, a3 = a0;
    for (ptrdiff_t k = 0; k < entries; k++) {
        const __m512i v = _mm512_loadu_si512(w + 64 * k), x4 = bitc_ivalues_avx512(x, 4 * k, 4, 1, 0);
        bitc_imac_avx512(&a0, x4, bitc_icoded_field_avx512(v, 0, bits), 1);
        bitc_imac_avx512(&a1, x4, bitc_icoded_field_avx512(v, 1, bits), 1);
        if (bits == 2) {
            bitc_imac_avx512(&a2, x4, bitc_icoded_field_avx512(v, 2, 2), 1);
            bitc_imac_avx512(&a3, x4, bitc_icoded_field_avx512(v, 3, 2), 1);
        }
    }
    sums[0] = a0;
    if (bits == 2) {
        sums[1] = _mm512_srai_epi32(a1, 2), sums[2] = _mm512_srai_epi32(a2, 4);
        sums[3] = _mm512_add_epi32(_mm512_srai_epi32(a3, 6), half);
    } else {
        sums[1] = _mm512_add_epi32(_mm512_srai_epi32(a1, 4), half);
    }
}

/* The sum of n values, a multiple of 4. */
BITC_INLINE int32_t bitc_icoded_sum_avx512(const uint8_t *x, int32_t n) {
    __m512i sums = _mm512_setzero_si512();
    int32_t k = 0, total = 0;
    for (; k + 64 <= n; k += 64) {
        sums = _mm512_dpbusd_epi32(sums, _mm512_loadu_si512(x + k), _mm512_set1_epi8(1));
    }
    for (; k < n; k++) {
        total += x[k];
    }
    return total + _mm512_reduce_add_epi32(sums);
}

/* base + lowest * total + step * sums, for 16 channels from number m on. */
BITC_INLINE __m512i bitc_icoded_result_avx512(const int32_t *lowest, const int32_t *base, int32_t m, int32_t total,
                                              int32_t step, __m512i sums) {
    const __m512i low = _mm512_mullo_epi32(_mm512_loadu_si512(lowest + m), _mm512_set1_epi32(total));
    const __m512i scaled = _mm512_mullo_epi32(sums, _mm512_set1_epi32(step));
    return _mm512_add_epi32(_mm512_add_epi32(_mm512_loadu_si512(base + m), low), scaled);
}

BITC_INLINE void bitc_icoded_avx512(const bitc_iconv *g, const uint8_t *x, const uint8_t *w, const int32_t *lowest,
                                    const int32_t *base, int32_t step, int32_t *y, int32_t y0, int32_t y1,
                                    const int bits) {
    const int32_t block = 128 / bits, entries = g->run / 4;
    bitc_icursor cursor = bitc_iconv_start(g, y0);
    for (int32_t left = (y1 - y0) * g->out_w, count; left > 0; left -= count, y += (ptrdiff_t)count * g->out_c) {
        ptrdiff_t at[BITC_ICODED_FEW];
        int32_t total[BITC_ICODED_FEW];
        count = bitc_imin32(BITC_ICODED_FEW, left);
        bitc_iconv_pixels(g, &cursor, count, count, at);
        for (int32_t p = 0; p < count; p++) {
            total[p] = bitc_icoded_sum_avx512(x + at[p], g->run);
        }
        for (int32_t m = 0; m < g->out_c; m += block) {
            const uint8_t *codes = w + (ptrdiff_t)(m / block) * entries * 64;
            for (int32_t p = 0; p < count; p++) {
                __m512i sums[4];
                bitc_icodes_avx512(x + at[p], codes, entries, total[p], sums, bits);
                for (int32_t f = 0; f < block / 16 && m + 16 * f < g->out_c; f++) {
                    const __m512i made = bitc_icoded_result_avx512(lowest, base, m + 16 * f, total[p], step, sums[f]);
                    bitc_istore_avx512(y + (ptrdiff_t)p * g->out_c + m + 16 * f, made, g->out_c - m - 16 * f);
                }
            }
        }
    }
}

static inline void bitc_icoded2_avx512(const bitc_iconv *g, const uint8_t *x, const uint8_t *w, const int32_t *lowest,
                                       const int32_t *base, int32_t step, int32_t *y, int32_t y0, int32_t y1) {
    bitc_icoded_avx512(g, x, w, lowest, base, step, y, y0, y1, 2);
}

static inline void bitc_icoded4_avx512(const bitc_iconv *g, const uint8_t *x, const uint8_t *w, const int32_t *lowest,
                                       const int32_t *base, int32_t step, int32_t *y, int32_t y0, int32_t y1) {
    bitc_icoded_avx512(g, x, w, lowest, base, step, y, y0, y1, 4);
}

#endif
