/* Products of stacks of float matrices for every C99 compiler. */
#ifndef BITC_F32_GEMM_PORTABLE_H
#define BITC_F32_GEMM_PORTABLE_H

#include "f32_conv_portable.h"
#include "f32_gemm.h"

/* y [outer * inner][rows][out_c] = a x w for each product of the stack `s`. g has one tap of in_c floats, out_w rows
 * of a that lie in_pixel floats apart, out_c columns, out_pixel = out_c.
 *   w  matrices as bitc_fpack_matrices_8 leaves them: [matrix][ceil(out_c / 8)][in_c][8]
 * Each y is summed as by bitc_fconv_portable, in order of depth. y overlaps neither a nor w. */
static inline void bitc_fgemm_portable(const bitc_fconv *g, const bitc_fstack *s, const float *a, const float *w, float *y) {
    const ptrdiff_t floats = (ptrdiff_t)g->in_c * ((g->out_c + 7) / 8) * 8;
    for (ptrdiff_t o = 0; o < s->outer; o++) {
        for (ptrdiff_t i = 0; i < s->inner; i++, y += (ptrdiff_t)g->out_w * g->out_pixel) {
            bitc_fconv_portable(g, a + o * s->a_outer + i * s->a_inner, w + (o * s->w_outer + i * s->w_inner) * floats, y,
                            0, 1);
        }
    }
}

#endif
