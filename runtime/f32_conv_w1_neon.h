/* Float convolution with one-bit weights for NEON. */
#ifndef BITC_F32_CONV_W1_NEON_H
#define BITC_F32_CONV_W1_NEON_H

#include "f32_tile_neon.h"

/* As bitc_fconv_w1_portable. */
static inline void bitc_fconv_w1_neon(const bitc_fconv *g, const float *x, const uint8_t *w, float *y, int32_t y0,
                                      int32_t y1) {
    bitc_fconv_any_neon(g, x, w, y, y0, y1, 1);
}

#endif
