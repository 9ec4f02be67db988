/* Products with weights stored as codes of 2 or 4 bits, for AVX2: vpmaddubsw of activations and codes, which are small.
 *
 * An entry is a vector of bytes. One shift by 4 brings half of its codes down; of 2-bit codes, every second one stays in
 * its place and counts four times, which is taken back at the end. */
#ifndef BITC_ICODED_AVX2_H
#define BITC_ICODED_AVX2_H

#include "icoded.h"
#include "iconv_avx2.h"

#define BITC_ICODED_LANES_AVX2 8

/* Bytes of codes that are asked for ahead: memory's own prefetching stays too close behind the loads. */
#define BITC_ICODED_AHEAD 2048

/* Adds the products of entry n from here for codes of 2 bits, of 4 bits. */
#define BITC_ICODES2_AVX2(n)                                                                                           \
    do {                                                                                                               \
        const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(w + 32 * (n)));                           \
        const __m256i x4 = bitc_iquad_avx2(x + 4 * (n), 4, 0), upper = _mm256_srli_epi16(v, 4);                        \
        bitc_imac_chain_avx2(&a0, x4, _mm256_and_si256(v, low));                                                       \
        bitc_imac_chain_avx2(&a1, x4, _mm256_and_si256(v, high));                                                      \
        bitc_imac_chain_avx2(&a2, x4, _mm256_and_si256(upper, low));                                                   \
        bitc_imac_chain_avx2(&a3, x4, _mm256_and_si256(upper, high));                                                  \
    } while (0)

#define BITC_ICODES4_AVX2(n)                                                                                           \
    do {                                                                                                               \
        const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(w + 32 * (n)));                           \
        const __m256i x4 = bitc_iquad_avx2(x + 4 * (n), 4, 0);                                                         \
        bitc_imac_chain_avx2(&a0, x4, _mm256_and_si256(v, low));                                                       \
        bitc_imac_chain_avx2(&a1, x4, _mm256_and_si256(_mm256_srli_epi16(v, 4), low));                                 \
    } while (0)

/* Calls entry(n) for `count` entries, two at a time: a cache line. */
#define BITC_ICODES_AVX2(entry, count)                                                                                 \
    do {                                                                                                               \
        for (ptrdiff_t pairs = (count) / 2; pairs > 0; pairs--) {                                                      \
            _mm_prefetch((const char *)w + BITC_ICODED_AHEAD, _MM_HINT_T0);                                            \
            entry(0);                                                                                                  \
            entry(1);                                                                                                  \
            w += 64, x += 8;                                                                                           \
        }                                                                                                              \
        if ((count) % 2 != 0) {                                                                                        \
            entry(0);                                                                                                  \
            w += 32, x += 4;                                                                                           \
        }                                                                                                              \
    } while (0)

/* *sum += pairs, widened and added over their two halves. */
BITC_INLINE void bitc_icoded_widen_avx2(__m256i *sum, __m256i pairs) {
    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* One pixel x a block of 32 channels, 8 in each of sums[0..3]; chain: entries whose products of fourfold codes fit. */
BITC_INLINE void bitc_icodes2_avx2(const uint8_t *x, const uint8_t *w, ptrdiff_t entries, ptrdiff_t chain,
                                   __m256i *sums) {
    const __m256i low = _mm256_set1_epi8(3), high = _mm256_set1_epi8(12), zero = _mm256_setzero_si256();
    __m256i s0 = zero, s1 = zero, s2 = zero, s3 = zero;
    for (ptrdiff_t left = entries; left > 0;) {
        __m256i a0 = zero, a2 = zero;
        for (int part = 0; part < 4 && left > 0; part++) {
            const ptrdiff_t count = left < chain ? left : chain;
            __m256i a1 = zero, a3 = zero;
            BITC_ICODES_AVX2(BITC_ICODES2_AVX2, count);
            bitc_icoded_widen_avx2(&s1, a1);
            bitc_icoded_widen_avx2(&s3, a3);
            left -= count;
        }
        bitc_icoded_widen_avx2(&s0, a0);
        bitc_icoded_widen_avx2(&s2, a2);
    }
    sums[0] = s0, sums[1] = _mm256_srai_epi32(s1, 2), sums[2] = s2, sums[3] = _mm256_srai_epi32(s3, 2);
}

/* One pixel x a block of 16 channels, 8 in each of sums[0..1]. */
BITC_INLINE void bitc_icodes4_avx2(const uint8_t *x, const uint8_t *w, ptrdiff_t entries, ptrdiff_t chain,
                                   __m256i *sums) {
    const __m256i low = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
    __m256i s0 = zero, s1 = zero;
    for (ptrdiff_t left = entries; left > 0;) {
        const ptrdiff_t count = left < chain ? left : chain;
        __m256i a0 = zero, a1 = zero;
        BITC_ICODES_AVX2(BITC_ICODES4_AVX2, count);
        bitc_icoded_widen_avx2(&s0, a0);
        bitc_icoded_widen_avx2(&s1, a1);
        left -= count;
    }
    sums[0] = s0, sums[1] = s1;
}

#undef BITC_ICODES_AVX2
#undef BITC_ICODES2_AVX2
#undef BITC_ICODES4_AVX2

/* The sum of n values, a multiple of 4. */
BITC_INLINE int32_t bitc_icoded_sum_avx2(const uint8_t *x, int32_t n) {
    __m256i sums = _mm256_setzero_si256();
    int32_t k = 0, total = 0;
    for (; k + 32 <= n; k += 32) {
        const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(x + k));
        sums = _mm256_add_epi64(sums, _mm256_sad_epu8(v, _mm256_setzero_si256()));
    }
    for (; k < n; k++) {
        total += x[k];
    }
    const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    return total + _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_unpackhi_epi64(half, half)));
}

/* base + lowest * total + step * sums, for 8 channels from number m on. */
BITC_INLINE __m256i bitc_icoded_result_avx2(const int32_t *lowest, const int32_t *base, int32_t m, int32_t total,
                                            int32_t step, __m256i sums) {
    const __m256i from = _mm256_loadu_si256((const __m256i *)(const void *)(base + m));
    const __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)(lowest + m));
    const __m256i offset = _mm256_add_epi32(from, _mm256_mullo_epi32(low, _mm256_set1_epi32(total)));
    return _mm256_add_epi32(offset, _mm256_mullo_epi32(sums, _mm256_set1_epi32(step)));
}

BITC_INLINE void bitc_icoded_avx2(const bitc_iconv *g, const uint8_t *x, const uint8_t *w, const int32_t *lowest,
                                  const int32_t *base, int32_t step, int32_t *y, int32_t y0, int32_t y1,
                                  const int bits) {
    const int32_t block = 64 / bits, entries = g->run / 4;
    bitc_icursor cursor = bitc_iconv_start(g, y0);
    for (int32_t left = (y1 - y0) * g->out_w, count; left > 0; left -= count, y += (ptrdiff_t)count * g->out_c) {
        ptrdiff_t at[BITC_ICODED_FEW];
        int32_t total[BITC_ICODED_FEW];
        count = bitc_imin32(BITC_ICODED_FEW, left);
        bitc_iconv_pixels(g, &cursor, count, count, at);
        for (int32_t p = 0; p < count; p++) {
            total[p] = bitc_icoded_sum_avx2(x + at[p], g->run);
        }
        for (int32_t m = 0; m < g->out_c; m += block) {
            const uint8_t *codes = w + (ptrdiff_t)(m / block) * entries * 32;
            for (int32_t p = 0; p < count; p++) {
                __m256i sums[4];
                if (bits == 2) {
                    bitc_icodes2_avx2(x + at[p], codes, entries, g->chain, sums);
                } else {
                    bitc_icodes4_avx2(x + at[p], codes, entries, g->chain, sums);
                }
                for (int32_t f = 0; f < block / 8 && m + 8 * f < g->out_c; f++) {
                    const __m256i made = bitc_icoded_result_avx2(lowest, base, m + 8 * f, total[p], step, sums[f]);
                    bitc_istore_avx2(y + (ptrdiff_t)p * g->out_c + m + 8 * f, made, g->out_c - m - 8 * f);
                }
            }
        }
    }
}

static inline void bitc_icoded2_avx2(const bitc_iconv *g, const uint8_t *x, const uint8_t *w, const int32_t *lowest,
                                     const int32_t *base, int32_t step, int32_t *y, int32_t y0, int32_t y1) {
    bitc_icoded_avx2(g, x, w, lowest, base, step, y, y0, y1, 2);
}

static inline void bitc_icoded4_avx2(const bitc_iconv *g, const uint8_t *x, const uint8_t *w, const int32_t *lowest,
                                     const int32_t *base, int32_t step, int32_t *y, int32_t y0, int32_t y1) {
    bitc_icoded_avx2(g, x, w, lowest, base, step, y, y0, y1, 4);
}

#endif
