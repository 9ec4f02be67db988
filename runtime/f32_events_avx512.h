/* Float convolution of what is not zero, for AVX-512. */
#ifndef BITC_F32_EVENTS_AVX512_H
#define BITC_F32_EVENTS_AVX512_H

#include <immintrin.h>

#include "f32_events.h"

/* As bitc_events_portable. Sixteen numbers are looked at together; most often none of them is an event. */
static inline void bitc_events_avx512(const bitc_fevents *g, const float *x, int32_t rows, int32_t *lists) {
    const ptrdiff_t length = (ptrdiff_t)g->in_w * g->in_c;
    for (int32_t r = 0; r < rows; r++, x += length, lists += bitc_events_list(g)) {
        int32_t *events = lists + g->in_w + 1, count = 0;
        for (int32_t p = 0; p < g->in_w; p++) {
            const int32_t end = (p + 1) * g->in_c;
            lists[p] = count;
            for (int32_t c = p * g->in_c; c < end; c += 16) {
                const __mmask16 there = end - c >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << (end - c)) - 1);
                const __m512 values = _mm512_maskz_loadu_ps(there, x + c);
                uint32_t bits = (uint32_t)_mm512_cmp_ps_mask(values, _mm512_setzero_ps(), _CMP_NEQ_UQ) & there;
                for (; bits; bits &= bits - 1) events[count++] = c + __builtin_ctz(bits);
            }
        }
        lists[g->in_w] = count;
    }
}

/* `vectors` times 8 sums of the window of one output column, in pairs of vectors; their first `channels` are stored. */
BITC_INLINE void bitc_fevents_pixel_avx512(const bitc_fevents *g, const float *x, const int32_t *lists, const float *w,
                                           float *y, int32_t column, int32_t channels, const int vectors) {
    const int pairs = (vectors + 1) / 2;
    const __mmask16 last = vectors % 2 ? (__mmask16)0xff : (__mmask16)0xffff;
    __m512 sum[4];
    for (int v = 0; v < pairs; v++) sum[v] = _mm512_setzero_ps();
    for (int32_t tap = 0; tap < g->taps_h; tap++) {
        const bitc_flisted at = bitc_fevents_window(g, x, lists, column, tap);
        for (int32_t e = 0; e < at.count; e++) {
            const __m512 value = _mm512_set1_ps(at.x[at.events[e]]);
            const float *own = w + (at.offset + at.events[e]) * 8 * vectors;
            for (int v = 0; v < pairs; v++) {
                const __mmask16 there = v + 1 < pairs ? (__mmask16)0xffff : last;
                sum[v] = _mm512_fmadd_ps(value, _mm512_maskz_loadu_ps(there, own + 16 * v), sum[v]);
            }
        }
    }
    for (int v = 0; v < pairs; v++) {
        const int32_t left = (channels < 8 * vectors ? channels : 8 * vectors) - 16 * v;
        if (left > 0) _mm512_mask_storeu_ps(y + 16 * v, left >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << left) - 1), sum[v]);
    }
}

/* As bitc_fconv_events_portable; each y is a chain of fused multiply-adds in the same order. */
static inline void bitc_fconv_events_avx512(const bitc_fevents *g, const float *x, const int32_t *lists, const float *w,
                                            float *y, int32_t y0, int32_t y1) {
    bitc_fevents_blocks(g, x, lists, w, y, y0, y1, bitc_fevents_pixel_avx512);
}

#endif
