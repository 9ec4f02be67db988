/* The ends of a quantizer's range. */
#ifndef BITC_CLAMP_H
#define BITC_CLAMP_H

#include "base.h"

/* v within [lo, hi]; lo for a NaN. Two statements, which gcc compiles to a maximum and a minimum. */
BITC_INLINE float bitc_fclamp(float v, float lo, float hi) {
    const float raised = v > lo ? v : lo;
    return raised < hi ? raised : hi;
}

BITC_INLINE int32_t bitc_iclamp(int32_t v, int32_t lo, int32_t hi) {
    const int32_t raised = v > lo ? v : lo;
    return raised < hi ? raised : hi;
}

#endif
