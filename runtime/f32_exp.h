/* The exponential function of a float, in plain operations that vectorise. */
#ifndef BITC_F32_EXP_H
#define BITC_F32_EXP_H

#include "pick.h"

/* 2^n for -126 <= n <= 127. */
BITC_INLINE float bitc_fpow2(int32_t n) {
    const uint32_t bits = (uint32_t)(n + 127) << 23;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* e^x within 1 ULP (0.96 measured, over every seventh float; a subnormal result within 1 unit of 2^-149); NaN of NaN,
 * infinity where e^x is above the floats, 0 from -105 down. x = n ln 2 + r, |r| <= ln 2 / 2 (Cody and Waite: ln 2 in two
 * parts, n times the first is exact), e^r by a polynomial through Chebyshev's points, then 2^n in two exact factors. */
BITC_INLINE float bitc_fexp(float x) {
    const float rounder = 12582912.0f; /* 1.5 * 2^23: what is added to it is rounded to an integer, in its low bits */
    const float in = bitc_fpick(x < -105.0f, -105.0f, x), scaled = in * 1.44269504f + rounder;
    const float shifted = bitc_fpick(scaled > rounder + 128.0f, rounder + 128.0f, scaled);
    const float n = shifted - rounder;
    const float r = (in - n * 0.693359375f) - n * -2.12194440e-4f;
    const float cubic = ((1.989108e-04f * r + 1.3933731e-03f) * r + 8.3333105e-03f) * r + 4.1666463e-02f;
    const float power = ((cubic * r + 1.6666667e-01f) * r + 0.5f) * r * r + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    const int32_t e = (int32_t)(bits - 0x4B400000u), half = e / 2;
    return power * bitc_fpow2(half) * bitc_fpow2(e - half);
}

#endif
