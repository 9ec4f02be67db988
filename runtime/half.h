/* IEEE float16 in memory: conversions to and from float32, and rounding to what float16 can hold. */
#ifndef BITC_HALF_H
#define BITC_HALF_H

#include <math.h>

#include "base.h"

/* The number that the bits of a float16 stand for. Scaling by 2^112 moves the exponent's bias from 15 to 127, and makes numbers of the
 * subnormal ones. */
static inline float bitc_from_f16(uint16_t h) {
    const uint32_t magnitude = (uint32_t)(h & 0x7fffu) << 13;
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    float number;
    uint32_t bits = magnitude;
    memcpy(&number, &bits, sizeof number);
    number *= 0x1p112f;
    memcpy(&bits, &number, sizeof bits);
    bits = (magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : bits) | sign;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* The bits of the float16 that equals `x`, which a float16 holds. */
static inline uint16_t bitc_to_f16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000u;
    if ((bits & 0x7f800000u) == 0x7f800000u) return (uint16_t)(sign | 0x7c00u | (bits >> 13 & 0x3ffu));
    float small = x * 0x1p-112f;
    memcpy(&bits, &small, sizeof bits);
    return (uint16_t)(sign | (bits >> 13 & 0x7fffu));
}

/* The nearest float16, ties to even. Adding 1.5 * 2^42 times the number's power of two, but no less than the smallest normal number's,
 * leaves a sum whose last place is float16's. */
static inline float bitc_round_f16(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t exponent = bits >> 52 & 0x7ff;
    if (exponent == 0x7ff) return (float)x;
    if (exponent < 1009) exponent = 1009;
    if (exponent > 1040) exponent = 1040;
    bits = (exponent + 42) << 52 | (uint64_t)1 << 51;
    double shift;
    memcpy(&shift, &bits, sizeof shift);
    const double rounded = fabs(x) + shift - shift;
    return (float)copysign(rounded > 65504.0 ? (double)INFINITY : rounded, x);
}

#endif
