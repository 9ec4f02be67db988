/* Rounding to the nearest whole float, ties to even, in operations that vectorise without a rounding instruction. */
#ifndef BITC_ROUND_H
#define BITC_ROUND_H

#include "pick.h"
#include <float.h>
#include <math.h>

/* v rounded to the nearest integer, ties to even, with the sign of v; NaN and infinities as they are. Adding 2^23 leaves
 * no bits behind the point, and the addition rounds as asked; it must be done in float, not wider. */
BITC_INLINE float bitc_fround(float v) {
#if defined(__SSE4_1__) || defined(__ARM_FEATURE_DIRECTED_ROUNDING) || !defined(FLT_EVAL_METHOD) || FLT_EVAL_METHOD != 0
    return rintf(v);
#else
    const float size = fabsf(v);
    const float whole = (size + 0x1p23f) - 0x1p23f;
    return copysignf(bitc_fpick(size < 0x1p23f, whole, size), v);
#endif
}

#endif
