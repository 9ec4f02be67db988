/* Masked loads and stores of integers and a widening, which SIMDe 0.7.4 lacks: lanes whose mask bit is 0 do not touch
 * memory. */
#ifndef BITC_TESTS_EMULATION_MASKED_INTEGERS_H
#define BITC_TESTS_EMULATION_MASKED_INTEGERS_H

#include <simde/x86/avx512.h>
#include <string.h>

#define EMULATED_MASKZ_LOADU(name, lane, lanes_in, mask_type, vector, load)                                            \
    static inline vector emulated_##name(mask_type mask, const void *from) {                                           \
        lane lanes[lanes_in] = {0};                                                                                    \
        for (int i = 0; i < lanes_in; i++) {                                                                           \
            if (mask >> i & 1) {                                                                                       \
                memcpy(lanes + i, (const lane *)from + i, sizeof(lane));                                               \
            }                                                                                                          \
        }                                                                                                              \
        return load(lanes);                                                                                            \
    }

static inline simde__m256i emulated_load_256(const void *from) {
    return simde_mm256_loadu_si256((const simde__m256i *)from);
}

EMULATED_MASKZ_LOADU(maskz_loadu_epi32, int32_t, 16, simde__mmask16, simde__m512i, simde_mm512_loadu_si512)
EMULATED_MASKZ_LOADU(maskz_loadu_epi16, int16_t, 32, simde__mmask32, simde__m512i, simde_mm512_loadu_si512)
EMULATED_MASKZ_LOADU(maskz_loadu_epi8, int8_t, 32, simde__mmask32, simde__m256i, emulated_load_256)

static inline void emulated_mask_storeu_epi32(void *to, simde__mmask16 mask, simde__m512i value) {
    int32_t lanes[16];
    simde_mm512_storeu_si512(lanes, value);
    for (int i = 0; i < 16; i++) {
        if (mask >> i & 1) {
            memcpy((int32_t *)to + i, lanes + i, sizeof(int32_t));
        }
    }
}

static inline simde__m512i emulated_cvtepu8_epi16(simde__m256i value) {
    uint8_t from[32];
    uint16_t to[32];
    memcpy(from, &value, sizeof from);
    for (int i = 0; i < 32; i++) {
        to[i] = from[i];
    }
    return simde_mm512_loadu_si512(to);
}

#undef _mm512_maskz_loadu_epi32
#define _mm512_maskz_loadu_epi32(mask, from) emulated_maskz_loadu_epi32(mask, from)
#undef _mm512_maskz_loadu_epi16
#define _mm512_maskz_loadu_epi16(mask, from) emulated_maskz_loadu_epi16(mask, from)
#undef _mm256_maskz_loadu_epi8
#define _mm256_maskz_loadu_epi8(mask, from) emulated_maskz_loadu_epi8(mask, from)
#undef _mm512_mask_storeu_epi32
#define _mm512_mask_storeu_epi32(to, mask, value) emulated_mask_storeu_epi32(to, mask, value)
#undef _mm512_cvtepu8_epi16
#define _mm512_cvtepu8_epi16(value) emulated_cvtepu8_epi16(value)

#endif
