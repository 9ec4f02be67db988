/* The error function of a float, in plain operations that vectorise. */
#ifndef BITC_F32_ERF_H
#define BITC_F32_ERF_H

#include "f32_exp.h"

/* erf(x) within 2 ULP (1.41 measured, over every float), odd to the bit; NaN of NaN. Below 0.92 x + x q(x^2), above
 * 1 - exp(-h(x)): polynomials fitted to erf(x)/x - 1 and -log(1 - erf(x)) for the least largest error of the result. From 4
 * on the result is 1. */
BITC_INLINE float bitc_ferf(float x) {
    const float a = bitc_fwith_sign(x, 1.0f), far = bitc_fpick(a > 4.0f, 4.0f, a), z = a * a;
    const float cubic = ((-5.999406e-04f * z + 4.9948306e-03f) * z - 2.676772e-02f) * z + 1.1281846e-01f;
    const float below = a + a * ((cubic * z - 3.7612498e-01f) * z + 1.2837915e-01f);
    const float tail = ((-1.982197e-04f * far + 3.0654904e-03f) * far - 2.2315213e-02f) * far + 1.0411368e-01f;
    const float h = ((tail * far + 6.369761e-01f) * far + 1.1277972f) * far + 1.6644761e-04f;
    const float y = bitc_fpick(a < 0.92f, below, 1.0f - bitc_fexp(-h));
    return bitc_fwith_sign(y, x);
}

#endif
