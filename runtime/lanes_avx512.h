/* Bit planes over pixels for AVX-512: a vector is 512 pixels, a full adder two instructions. Operations: sliced.h. */
#ifndef BITC_LANES_AVX512_H
#define BITC_LANES_AVX512_H

#include "turn_avx2.h"

typedef __m512i bitc_lanes;
typedef uint64_t bitc_lane_word;
#define BITC_LANES 512

BITC_INLINE bitc_lanes bitc_lanes_fill(int32_t bit) { return _mm512_set1_epi32(-bit); }
BITC_INLINE bitc_lanes bitc_lanes_load(const bitc_lane_word *p) { return _mm512_loadu_si512((const void *)p); }
BITC_INLINE void bitc_lanes_store(bitc_lane_word *p, bitc_lanes v) { _mm512_storeu_si512((void *)p, v); }
BITC_INLINE bitc_lanes bitc_lanes_and(bitc_lanes a, bitc_lanes b) { return _mm512_and_si512(a, b); }
BITC_INLINE bitc_lanes bitc_lanes_or(bitc_lanes a, bitc_lanes b) { return _mm512_or_si512(a, b); }
BITC_INLINE bitc_lanes bitc_lanes_xor(bitc_lanes a, bitc_lanes b) { return _mm512_xor_si512(a, b); }

BITC_INLINE bitc_lanes bitc_lanes_add(bitc_lanes *s, bitc_lanes a, bitc_lanes b) {
    const __m512i carry = _mm512_ternarylogic_epi64(*s, a, b, 0xE8);
    *s = _mm512_ternarylogic_epi64(*s, a, b, 0x96);
    return carry;
}

BITC_INLINE bitc_lanes bitc_lanes_subtract(bitc_lanes *s, bitc_lanes a, bitc_lanes b) {
    const __m512i borrow = _mm512_ternarylogic_epi64(*s, a, b, 0x8E);
    *s = _mm512_ternarylogic_epi64(*s, a, b, 0x96);
    return borrow;
}

BITC_INLINE bitc_lanes bitc_lanes_major(bitc_lanes a, bitc_lanes b, bitc_lanes c) {
    return _mm512_ternarylogic_epi64(a, b, c, 0xE8);
}

/* A step of transposing bits: in each word those of *a under `mask` << j and of *b under `mask` change places. */
BITC_INLINE void bitc_lanes_trade(bitc_lanes *a, bitc_lanes *b, int32_t j, uint64_t mask) {
    const __m512i unlike = _mm512_xor_si512(_mm512_srli_epi64(*a, (unsigned)j), *b);
    const __m512i t = _mm512_and_si512(unlike, _mm512_set1_epi64((long long)mask));
    *a = _mm512_xor_si512(*a, _mm512_slli_epi64(t, (unsigned)j));
    *b = _mm512_xor_si512(*b, t);
}

/* The vector that begins `shift` (0..63) pixels into a plane. */
BITC_INLINE bitc_lanes bitc_lanes_from(const bitc_lane_word *p, int32_t shift) {
    const __m512i low = _mm512_srl_epi64(bitc_lanes_load(p), _mm_cvtsi32_si128(shift));
    return _mm512_or_si512(low, _mm512_sll_epi64(bitc_lanes_load(p + 1), _mm_cvtsi32_si128(64 - shift)));
}

#endif
