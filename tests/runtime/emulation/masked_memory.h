/* Masked loads and stores of floats, which SIMDe 0.7.4 lacks: lanes whose mask bit is 0 do not touch memory. */
#ifndef BITC_TESTS_EMULATION_MASKED_MEMORY_H
#define BITC_TESTS_EMULATION_MASKED_MEMORY_H

#include <simde/x86/avx512.h>
#include <string.h>

static inline simde__m512 emulated_maskz_loadu_ps(simde__mmask16 mask, const void *from) {
    float lanes[16] = {0};
    for (int i = 0; i < 16; i++) {
        if (mask >> i & 1) {
            memcpy(lanes + i, (const float *)from + i, sizeof(float));
        }
    }
    return simde_mm512_loadu_ps(lanes);
}

static inline void emulated_mask_storeu_ps(void *to, simde__mmask16 mask, simde__m512 value) {
    float lanes[16];
    simde_mm512_storeu_ps(lanes, value);
    for (int i = 0; i < 16; i++) {
        if (mask >> i & 1) {
            memcpy((float *)to + i, lanes + i, sizeof(float));
        }
    }
}

#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps(mask, from) emulated_maskz_loadu_ps(mask, from)
#undef _mm512_mask_storeu_ps
#define _mm512_mask_storeu_ps(to, mask, value) emulated_mask_storeu_ps(to, mask, value)

#endif
