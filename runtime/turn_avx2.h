/* Two matrices of 32 rows of 32 bits transposed, for AVX2: bytes are gathered by shuffles, then the top bits of 32 bytes come out at once. */
#ifndef BITC_TURN_AVX2_H
#define BITC_TURN_AVX2_H

#include <immintrin.h>

#include "base.h"

/* The low halves of eight 64-bit rows, or the high ones. */
BITC_INLINE __m256i bitc_turn_halves(const uint64_t *rows, int32_t high) {
    const __m256 a = _mm256_loadu_ps((const float *)(const void *)rows);
    const __m256 b = _mm256_loadu_ps((const float *)(const void *)(rows + 4));
    const __m256 picked = high ? _mm256_shuffle_ps(a, b, 0xDD) : _mm256_shuffle_ps(a, b, 0x88);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(picked), 0xD8);
}

/* Bytes 0..3 of 32 rows, or 4..7, in the order of rows. */
BITC_INLINE void bitc_turn_bytes(const uint64_t *rows, int32_t high, __m256i *bytes) {
    const __m256i by_byte = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
                                             0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    /* a..d: rows 0-3|4-7, 8-11|12-15, ...; as dwords: byte 0 of four rows, byte 1, ... */
    const __m256i a = _mm256_shuffle_epi8(bitc_turn_halves(rows, high), by_byte);
    const __m256i b = _mm256_shuffle_epi8(bitc_turn_halves(rows + 8, high), by_byte);
    const __m256i c = _mm256_shuffle_epi8(bitc_turn_halves(rows + 16, high), by_byte);
    const __m256i d = _mm256_shuffle_epi8(bitc_turn_halves(rows + 24, high), by_byte);
    const __m256i ab0 = _mm256_unpacklo_epi32(a, b), ab1 = _mm256_unpackhi_epi32(a, b);
    const __m256i cd0 = _mm256_unpacklo_epi32(c, d), cd1 = _mm256_unpackhi_epi32(c, d);
    /* dwords of a lane: rows 0, 8, 16, 24 and up of the low lane, 4, 12, 20, 28 of the high one */
    bytes[0] = _mm256_permutevar8x32_epi32(_mm256_unpacklo_epi64(ab0, cd0), order);
    bytes[1] = _mm256_permutevar8x32_epi32(_mm256_unpackhi_epi64(ab0, cd0), order);
    bytes[2] = _mm256_permutevar8x32_epi32(_mm256_unpacklo_epi64(ab1, cd1), order);
    bytes[3] = _mm256_permutevar8x32_epi32(_mm256_unpackhi_epi64(ab1, cd1), order);
}

/* Bit r of columns[c] is bit c of rows[r], bit 32 + r is bit 32 + c. */
static inline void bitc_turn(const uint64_t *rows, uint64_t *columns) {
    for (int32_t half = 0; half < 2; half++) {
        __m256i bytes[4];
        bitc_turn_bytes(rows, half, bytes);
        for (int32_t k = 0; k < 4; k++) {
            __m256i v = bytes[k];
            for (int32_t bit = 7; bit >= 0; bit--, v = _mm256_add_epi8(v, v)) {
                const uint32_t column = (uint32_t)_mm256_movemask_epi8(v);
                memcpy((unsigned char *)(columns + 8 * k + bit) + 4 * half, &column, sizeof column);
            }
        }
    }
}

/* The 32 pixels number 32*i.. of a plane. */
BITC_INLINE void bitc_lanes_put(uint64_t *plane, int32_t i, uint32_t bits) {
    memcpy((unsigned char *)plane + (ptrdiff_t)i * 4, &bits, sizeof bits);
}

BITC_INLINE uint32_t bitc_lanes_get(const uint64_t *plane, int32_t i) {
    uint32_t bits;
    memcpy(&bits, (const unsigned char *)plane + (ptrdiff_t)i * 4, sizeof bits);
    return bits;
}

#endif
