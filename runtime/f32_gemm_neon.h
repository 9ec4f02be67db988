/* Products of stacks of float matrices for NEON. */
#ifndef BITC_F32_GEMM_NEON_H
#define BITC_F32_GEMM_NEON_H

#include "f32_conv_neon.h"
#include "f32_gemm.h"

/* As bitc_fgemm_portable, summed as by bitc_fconv_neon. */
static inline void bitc_fgemm_neon(const bitc_fconv *g, const bitc_fstack *s, const float *a, const float *w, float *y) {
    const ptrdiff_t floats = (ptrdiff_t)g->in_c * ((g->out_c + 7) / 8) * 8;
    for (ptrdiff_t o = 0; o < s->outer; o++) {
        for (ptrdiff_t i = 0; i < s->inner; i++, y += (ptrdiff_t)g->out_w * g->out_pixel) {
            bitc_fconv_neon(g, a + o * s->a_outer + i * s->a_inner, w + (o * s->w_outer + i * s->w_inner) * floats, y,
                            0, 1);
        }
    }
}

#endif
