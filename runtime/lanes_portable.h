/* Bit planes over pixels in plain C: a vector is one machine word, 64 pixels, or 32 where pointers are no wider (or with
 * BITC_LANES_32). Operations: sliced.h. */
#ifndef BITC_LANES_PORTABLE_H
#define BITC_LANES_PORTABLE_H

#include "base.h"

#if defined(BITC_LANES_32) || UINTPTR_MAX <= UINT32_MAX
typedef uint32_t bitc_lanes;
#define BITC_LANES 32
#else
typedef uint64_t bitc_lanes;
#define BITC_LANES 64
#endif
typedef bitc_lanes bitc_lane_word;

BITC_INLINE bitc_lanes bitc_lanes_fill(int32_t bit) { return bit ? ~(bitc_lanes)0 : 0; }
BITC_INLINE bitc_lanes bitc_lanes_load(const bitc_lane_word *p) { return *p; }
BITC_INLINE void bitc_lanes_store(bitc_lane_word *p, bitc_lanes v) { *p = v; }
BITC_INLINE bitc_lanes bitc_lanes_and(bitc_lanes a, bitc_lanes b) { return a & b; }
BITC_INLINE bitc_lanes bitc_lanes_or(bitc_lanes a, bitc_lanes b) { return a | b; }
BITC_INLINE bitc_lanes bitc_lanes_xor(bitc_lanes a, bitc_lanes b) { return a ^ b; }

/* *s becomes the parity of three, their majority is returned. */
BITC_INLINE bitc_lanes bitc_lanes_add(bitc_lanes *s, bitc_lanes a, bitc_lanes b) {
    const bitc_lanes t = a ^ b, carry = a ^ ((a ^ *s) & t);
    *s ^= t;
    return carry;
}

/* *s becomes that parity, and what *s - a - b borrows is returned: the majority of a, b and ~*s. */
BITC_INLINE bitc_lanes bitc_lanes_subtract(bitc_lanes *s, bitc_lanes a, bitc_lanes b) {
    const bitc_lanes t = a ^ b, borrow = a ^ ((b ^ *s) & t);
    *s ^= t;
    return borrow;
}

BITC_INLINE bitc_lanes bitc_lanes_major(bitc_lanes a, bitc_lanes b, bitc_lanes c) { return (a & b) | (c & (a ^ b)); }

/* A step of transposing bits: in each word those of *a under `mask` << j and of *b under `mask` change places. */
BITC_INLINE void bitc_lanes_trade(bitc_lanes *a, bitc_lanes *b, int32_t j, uint64_t mask) {
    const bitc_lanes t = ((*a >> j) ^ *b) & (bitc_lanes)mask;
    *a ^= t << j;
    *b ^= t;
}

/* The vector that begins `shift` (0..BITC_LANES-1) pixels into a plane. */
BITC_INLINE bitc_lanes bitc_lanes_from(const bitc_lane_word *p, int32_t shift) {
    return shift ? p[0] >> shift | p[1] << (BITC_LANES - shift) : p[0];
}

/* The 32 pixels number 32*i.. of a plane, written in order of i. */
BITC_INLINE void bitc_lanes_put(bitc_lane_word *plane, int32_t i, uint32_t bits) {
    if (BITC_LANES == 32) plane[i] = (bitc_lane_word)bits;
    else if (i & 1) plane[i / 2] |= (bitc_lane_word)((uint64_t)bits << 32);
    else plane[i / 2] = bits;
}

BITC_INLINE uint32_t bitc_lanes_get(const bitc_lane_word *plane, int32_t i) {
    return BITC_LANES == 32 ? (uint32_t)plane[i] : (uint32_t)((uint64_t)plane[i / 2] >> (i & 1) * 32);
}

/* Two matrices of 32 rows of 32 bits transposed (Warren, Hacker's Delight 7-3), side by side in 64-bit rows: bit r of
 * columns[c] is bit c of rows[r], bit 32 + r is bit 32 + c. */
static inline void bitc_turn(const uint64_t *rows, uint64_t *columns) {
    uint64_t mask = UINT64_C(0x0000FFFF0000FFFF);
    memcpy(columns, rows, 32 * sizeof *rows);
    for (int32_t j = 16; j; j >>= 1, mask ^= mask << j) {
        for (int32_t k = 0; k < 32; k = (k + j + 1) & ~j) {
            const uint64_t t = ((columns[k] >> j) ^ columns[k + j]) & mask;
            columns[k] ^= t << j;
            columns[k + j] ^= t;
        }
    }
}

#endif
