/* Bit planes over pixels for AVX2: a vector is 256 pixels. Operations: sliced.h. */
#ifndef BITC_LANES_AVX2_H
#define BITC_LANES_AVX2_H

#include "turn_avx2.h"

typedef __m256i bitc_lanes;
typedef uint64_t bitc_lane_word;
#define BITC_LANES 256

BITC_INLINE bitc_lanes bitc_lanes_fill(int32_t bit) { return _mm256_set1_epi32(-bit); }
BITC_INLINE bitc_lanes bitc_lanes_load(const bitc_lane_word *p) { return _mm256_loadu_si256((const void *)p); }
BITC_INLINE void bitc_lanes_store(bitc_lane_word *p, bitc_lanes v) { _mm256_storeu_si256((void *)p, v); }
BITC_INLINE bitc_lanes bitc_lanes_and(bitc_lanes a, bitc_lanes b) { return _mm256_and_si256(a, b); }
BITC_INLINE bitc_lanes bitc_lanes_or(bitc_lanes a, bitc_lanes b) { return _mm256_or_si256(a, b); }
BITC_INLINE bitc_lanes bitc_lanes_xor(bitc_lanes a, bitc_lanes b) { return _mm256_xor_si256(a, b); }

BITC_INLINE bitc_lanes bitc_lanes_add(bitc_lanes *s, bitc_lanes a, bitc_lanes b) {
    const __m256i t = _mm256_xor_si256(a, b);
    const __m256i carry = _mm256_xor_si256(a, _mm256_and_si256(_mm256_xor_si256(a, *s), t));
    *s = _mm256_xor_si256(*s, t);
    return carry;
}

BITC_INLINE bitc_lanes bitc_lanes_subtract(bitc_lanes *s, bitc_lanes a, bitc_lanes b) {
    const __m256i t = _mm256_xor_si256(a, b);
    const __m256i borrow = _mm256_xor_si256(a, _mm256_and_si256(_mm256_xor_si256(b, *s), t));
    *s = _mm256_xor_si256(*s, t);
    return borrow;
}

BITC_INLINE bitc_lanes bitc_lanes_major(bitc_lanes a, bitc_lanes b, bitc_lanes c) {
    return _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_xor_si256(a, b)));
}

/* A step of transposing bits: in each word those of *a under `mask` << j and of *b under `mask` change places. */
BITC_INLINE void bitc_lanes_trade(bitc_lanes *a, bitc_lanes *b, int32_t j, uint64_t mask) {
    const __m256i t = _mm256_and_si256(_mm256_xor_si256(_mm256_srli_epi64(*a, j), *b), _mm256_set1_epi64x((long long)mask));
    *a = _mm256_xor_si256(*a, _mm256_slli_epi64(t, j));
    *b = _mm256_xor_si256(*b, t);
}

/* The vector that begins `shift` (0..63) pixels into a plane. */
BITC_INLINE bitc_lanes bitc_lanes_from(const bitc_lane_word *p, int32_t shift) {
    const __m256i low = _mm256_srl_epi64(bitc_lanes_load(p), _mm_cvtsi32_si128(shift));
    return _mm256_or_si256(low, _mm256_sll_epi64(bitc_lanes_load(p + 1), _mm_cvtsi32_si128(64 - shift)));
}

#endif
