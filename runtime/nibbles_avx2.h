/* Counts of nibbles for AVX2: a shuffle looks up the counts of 32 pixels. Those of a slot lie as unpacking leaves them: of each
 * 32 pixels 0..7, 16..23, 8..15, 24..31. Operations: skip.h. */
#ifndef BITC_NIBBLES_AVX2_H
#define BITC_NIBBLES_AVX2_H

#include "nibbles.h"
#include "turn_avx2.h"

BITC_INLINE __m256i bitc_nibbles_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
BITC_INLINE void bitc_nibbles_store(void *p, __m256i v) { _mm256_storeu_si256((__m256i *)p, v); }

/* Nibble k of 32 words to 32 bytes, k*stride bytes on. */
BITC_INLINE void bitc_nibbles_spread(const uint64_t *words, uint8_t *to, ptrdiff_t stride) {
    const __m256i low = _mm256_set1_epi8(15);
    for (int32_t half = 0; half < 2; half++) {
        __m256i bytes[4];
        bitc_turn_bytes(words, half, bytes);
        for (int32_t k = 0; k < 4; k++, to += 2 * stride) {
            bitc_nibbles_store(to, _mm256_and_si256(bytes[k], low));
            bitc_nibbles_store(to + stride, _mm256_and_si256(_mm256_srli_epi16(bytes[k], 4), low));
        }
    }
}

/* Byte sums of up to 8 vectors += what an entry counts. */
#define BITC_NIBBLES_ADD(k)                                                                                            \
    do {                                                                                                               \
        if (vectors > k) {                                                                                             \
            s##k = _mm256_add_epi8(s##k, _mm256_shuffle_epi8(row, bitc_nibbles_load(x + (ptrdiff_t)(k) * vector_bytes))); \
            BITC_BARRIER(s##k);                                                                                        \
        }                                                                                                              \
    } while (0)

/* 16-bit sums += byte sums. */
#define BITC_NIBBLES_WIDEN(k)                                                                  \
    do {                                                                                       \
        if (vectors > k) {                                                                     \
            wide[2 * (k)] = _mm256_add_epi16(wide[2 * (k)], _mm256_unpacklo_epi8(s##k, zero));     \
            wide[2 * (k) + 1] = _mm256_add_epi16(wide[2 * (k) + 1], _mm256_unpackhi_epi8(s##k, zero)); \
        }                                                                                      \
    } while (0)

/* Byte sums of all vectors += what an entry counts. */
#define BITC_NIBBLES_ENTRY(entry)                                                                                           \
    do {                                                                                                                    \
        const uint8_t *x = bitc_nibbles_at(from, entry), *counts = bitc_nibbles_row(entry);                                 \
        const __m256i row = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)counts));            \
        BITC_NIBBLES_ADD(0);                                                                                                \
        BITC_NIBBLES_ADD(1);                                                                                                \
        BITC_NIBBLES_ADD(2);                                                                                                \
        BITC_NIBBLES_ADD(3);                                                                                                \
        BITC_NIBBLES_ADD(4);                                                                                                \
        BITC_NIBBLES_ADD(5);                                                                                                \
        BITC_NIBBLES_ADD(6);                                                                                                \
        BITC_NIBBLES_ADD(7);                                                                                                \
    } while (0)

BITC_INLINE void bitc_nibbles_sum(const uint8_t *from, ptrdiff_t vector_bytes, int32_t vectors, const uint32_t *entries,
                                  int32_t count, __m256i *wide) {
    enum { FULL = 255 / 4 / BITC_NIBBLES_FILL * BITC_NIBBLES_FILL }; /* an entry adds at most 4 to a byte */
    const __m256i zero = _mm256_setzero_si256();
    while (count > 0) {
        __m256i s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero, s6 = zero, s7 = zero;
        const uint32_t *end = entries + (count < FULL ? count : FULL);
        count -= FULL;
        for (; entries < end; entries += BITC_NIBBLES_FILL) {
            BITC_NIBBLES_ENTRY(entries[0]);
            BITC_NIBBLES_ENTRY(entries[1]);
            BITC_NIBBLES_ENTRY(entries[2]);
            BITC_NIBBLES_ENTRY(entries[3]);
        }
        BITC_NIBBLES_WIDEN(0);
        BITC_NIBBLES_WIDEN(1);
        BITC_NIBBLES_WIDEN(2);
        BITC_NIBBLES_WIDEN(3);
        BITC_NIBBLES_WIDEN(4);
        BITC_NIBBLES_WIDEN(5);
        BITC_NIBBLES_WIDEN(6);
        BITC_NIBBLES_WIDEN(7);
    }
}

static inline void bitc_nibbles_count(const uint8_t *from, ptrdiff_t vector_bytes, int32_t vectors, const uint32_t *entries,
                                      int32_t count, bitc_nibbles_step step, int16_t *pops) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i wide[16];
    for (int32_t k = 0; k < 2 * vectors; k++) wide[k] = zero;
    switch (vectors) {
        case 1: bitc_nibbles_sum(from, vector_bytes, 1, entries, count, wide); break;
        case 2: bitc_nibbles_sum(from, vector_bytes, 2, entries, count, wide); break;
        case 3: bitc_nibbles_sum(from, vector_bytes, 3, entries, count, wide); break;
        case 4: bitc_nibbles_sum(from, vector_bytes, 4, entries, count, wide); break;
        case 5: bitc_nibbles_sum(from, vector_bytes, 5, entries, count, wide); break;
        case 6: bitc_nibbles_sum(from, vector_bytes, 6, entries, count, wide); break;
        case 7: bitc_nibbles_sum(from, vector_bytes, 7, entries, count, wide); break;
        default: bitc_nibbles_sum(from, vector_bytes, 8, entries, count, wide); break;
    }
    /* -up is ~up + 1 */
    const __m256i turned = _mm256_set1_epi16((short)-step.negated);
    const __m256i constant = _mm256_set1_epi16((short)(step.constant + step.negated));
    for (int32_t k = 0; k < 2 * vectors; k++, pops += 16) {
        __m256i made = wide[k];
        if (step.up) {
            const __m256i up = _mm256_xor_si256(bitc_nibbles_load(step.up + 16 * k), turned);
            made = _mm256_add_epi16(_mm256_add_epi16(up, constant), _mm256_add_epi16(made, made));
        }
        bitc_nibbles_store(pops, made);
    }
}

/* Bit l: whether pixel l of 32 has more than the limit of its class. A shuffle gives 0 where the top bit of a class is 1. */
BITC_INLINE uint32_t bitc_nibbles_over(const int16_t *pops, const uint8_t *classes, const uint8_t *codes, int32_t groups) {
    const __m256i of = bitc_nibbles_load(classes);
    __m256i low = _mm256_setzero_si256(), high = low;
    for (int32_t i = 0; i < groups; i++, codes += 32) {
        const __m256i index = _mm256_adds_epu8(_mm256_xor_si256(of, _mm256_set1_epi8((char)(16 * i))), _mm256_set1_epi8(0x70));
        const __m256i lows = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)codes));
        const __m256i highs = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(codes + 16)));
        low = _mm256_or_si256(low, _mm256_shuffle_epi8(lows, index));
        high = _mm256_or_si256(high, _mm256_shuffle_epi8(highs, index));
    }
    const __m256i first = _mm256_cmpgt_epi16(bitc_nibbles_load(pops), _mm256_unpacklo_epi8(low, high));
    const __m256i second = _mm256_cmpgt_epi16(bitc_nibbles_load(pops + 16), _mm256_unpackhi_epi8(low, high));
    return (uint32_t)_mm256_movemask_epi8(_mm256_packs_epi16(first, second));
}

/* 32 counts in the order of pixels. */
BITC_INLINE void bitc_nibbles_in_order(const int16_t *pops, int16_t *to) {
    const __m256i a = bitc_nibbles_load(pops), b = bitc_nibbles_load(pops + 16);
    bitc_nibbles_store(to, _mm256_permute2x128_si256(a, b, 0x20));
    bitc_nibbles_store(to + 16, _mm256_permute2x128_si256(a, b, 0x31));
}

#endif
