/* Float convolution for NEON. */
#ifndef BITC_F32_CONV_NEON_H
#define BITC_F32_CONV_NEON_H

#include "f32_tile_neon.h"

/* As bitc_fconv_portable, with the same order of weights; each product is fused with its addition. */
static inline void bitc_fconv_neon(const bitc_fconv *g, const float *x, const float *w, float *y, int32_t y0,
                                   int32_t y1) {
    bitc_fconv_any_neon(g, x, w, y, y0, y1, 0);
}

/* As bitc_fconv_grouped_portable. */
static inline void bitc_fconv_grouped_neon(const bitc_fconv *g, int32_t groups, const float *x, const float *w,
                                           float *y, int32_t y0, int32_t y1) {
    const ptrdiff_t floats = 8 * bitc_fconv_depth(g) * ((g->out_c + 7) / 8);
    for (ptrdiff_t i = 0; i < groups; i++) {
        bitc_fconv_neon(g, x + i * g->in_c, w + i * floats, y + i * g->out_c, y0, y1);
    }
}

#endif
