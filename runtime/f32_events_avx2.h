/* Float convolution of what is not zero, for AVX2 + FMA. */
#ifndef BITC_F32_EVENTS_AVX2_H
#define BITC_F32_EVENTS_AVX2_H

#include <immintrin.h>

#include "f32_events.h"

/* As bitc_events_portable. Eight numbers are looked at together; most often none of them is an event. */
static inline void bitc_events_avx2(const bitc_fevents *g, const float *x, int32_t rows, int32_t *lists) {
    const ptrdiff_t length = (ptrdiff_t)g->in_w * g->in_c;
    for (int32_t r = 0; r < rows; r++, x += length, lists += bitc_events_list(g)) {
        int32_t *events = lists + g->in_w + 1, count = 0;
        for (int32_t p = 0; p < g->in_w; p++) {
            const int32_t end = (p + 1) * g->in_c;
            int32_t c = p * g->in_c;
            lists[p] = count;
            for (; c + 8 <= end; c += 8) {
                const __m256 silent = _mm256_cmp_ps(_mm256_loadu_ps(x + c), _mm256_setzero_ps(), _CMP_EQ_OQ);
                uint32_t bits = ~(uint32_t)_mm256_movemask_ps(silent) & 255u;
                for (; bits; bits &= bits - 1) events[count++] = c + __builtin_ctz(bits);
            }
            for (; c < end; c++) {
                if (x[c] != 0.0f) events[count++] = c;
            }
        }
        lists[g->in_w] = count;
    }
}

/* `vectors` sums of 8 channels of the window of one output column, their first `channels` stored. */
BITC_INLINE void bitc_fevents_pixel_avx2(const bitc_fevents *g, const float *x, const int32_t *lists, const float *w,
                                         float *y, int32_t column, int32_t channels, const int vectors) {
    __m256 sum[8];
    for (int v = 0; v < vectors; v++) sum[v] = _mm256_setzero_ps();
    for (int32_t tap = 0; tap < g->taps_h; tap++) {
        const bitc_flisted at = bitc_fevents_window(g, x, lists, column, tap);
        for (int32_t e = 0; e < at.count; e++) {
            const __m256 value = _mm256_broadcast_ss(at.x + at.events[e]);
            const float *own = w + (at.offset + at.events[e]) * 8 * vectors;
            for (int v = 0; v < vectors; v++) sum[v] = _mm256_fmadd_ps(value, _mm256_loadu_ps(own + 8 * v), sum[v]);
        }
    }
    for (int v = 0; v < vectors; v++) {
        const int32_t left = channels - 8 * v;
        if (left >= 8) {
            _mm256_storeu_ps(y + 8 * v, sum[v]);
        } else if (left > 0) {
            float last[8];
            _mm256_storeu_ps(last, sum[v]);
            memcpy(y + 8 * v, last, (size_t)left * sizeof *y);
        }
    }
}

/* As bitc_fconv_events_portable; each y is a chain of fused multiply-adds in the same order. */
static inline void bitc_fconv_events_avx2(const bitc_fevents *g, const float *x, const int32_t *lists, const float *w,
                                          float *y, int32_t y0, int32_t y1) {
    bitc_fevents_blocks(g, x, lists, w, y, y0, y1, bitc_fevents_pixel_avx2);
}

#endif
