/* Rounding of a float to a float format of few bits, in plain operations that vectorise. */
#ifndef BITC_F32_MINIFLOAT_H
#define BITC_F32_MINIFLOAT_H

#include "base.h"

/* x rounded, ties to even, to a format with the smallest normal number `least` and m mantissa bits; `rounder` is
 * 1.5 * 2^(23 - m). What then exceeds `max` is `overflow` with the sign of x; NaN stays NaN. Within a power of two p the
 * format's step is p * 2^-m, which is also the distance of floats at p * rounder: adding that rounds, taking it away
 * again is exact. An infinite sum less infinity is NaN, so that infinite x overflow. Needs max * 2^(24 - m) < 2^127. */
BITC_INLINE float bitc_minifloat(float x, float least, float rounder, float max, float overflow) {
    uint32_t bits, power_bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits & 0x80000000u;
    bits -= sign;
    power_bits = bits & 0x7F800000u;
    float size, power;
    memcpy(&size, &bits, sizeof size);
    memcpy(&power, &power_bits, sizeof power);
    const float magic = (power > least ? power : least) * rounder;
    const float on_grid = (size + magic) - magic;
    const float bounded = on_grid <= max ? on_grid : size != size ? size : overflow;
    float y;
    memcpy(&bits, &bounded, sizeof bits);
    bits |= sign;
    memcpy(&y, &bits, sizeof y);
    return y;
}

/* x rounded, ties to even, to its upper 16 bits; NaN stays NaN. A carry out of the mantissa is the next power of two, at last
 * infinity. */
BITC_INLINE float bitc_bfloat16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7FFFu + (bits >> 16 & 1u)) & 0xFFFF0000u;
    float y;
    memcpy(&y, &bits, sizeof y);
    return x == x ? y : x;
}

#endif
