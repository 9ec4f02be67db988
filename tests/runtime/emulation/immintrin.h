/* Stands in for the compiler's immintrin.h on a CPU without AVX-512: the intrinsics are SIMDe's. With -mavx2 -mfma they
 * are pairs of 256 bits, which compile and run in half the time of quarters; the vector types are then the compiler's own,
 * so SIMDe may define the names of functions alone. */
#ifndef BITC_TESTS_EMULATION_IMMINTRIN_H
#define BITC_TESTS_EMULATION_IMMINTRIN_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#ifdef __AVX2__
#include_next <immintrin.h>
#include <simde/simde-features.h>
#undef SIMDE_ENABLE_NATIVE_ALIASES
#endif
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>
#include "masked_integers.h"
#include "masked_memory.h"

#ifndef __AVX2__
typedef simde__mmask8 __mmask8;
typedef simde__mmask16 __mmask16;
typedef simde__mmask32 __mmask32;
typedef simde__mmask64 __mmask64;
#endif

/* What SIMDe 0.7.4 lacks. */
static inline __m512 bitc_emulated_cvtepi32_ps(__m512i a) {
    int from[16];
    float to[16];
    _mm512_storeu_si512(from, a);
    for (int i = 0; i < 16; i++) to[i] = (float)from[i];
    return _mm512_loadu_ps(to);
}
#ifndef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps bitc_emulated_cvtepi32_ps
#endif

static inline __m512i bitc_emulated_srai_epi32(__m512i a, unsigned count) {
    int lanes[16];
    _mm512_storeu_si512(lanes, a);
    for (int i = 0; i < 16; i++) lanes[i] >>= count;
    return _mm512_loadu_si512(lanes);
}
#ifndef _mm512_srai_epi32
#define _mm512_srai_epi32 bitc_emulated_srai_epi32
#endif

static inline int bitc_emulated_reduce_add_epi32(__m512i a) {
    unsigned lanes[16], sum = 0;
    _mm512_storeu_si512(lanes, a);
    for (int i = 0; i < 16; i++) sum += lanes[i];
    return (int)sum;
}
#ifndef _mm512_reduce_add_epi32
#define _mm512_reduce_add_epi32 bitc_emulated_reduce_add_epi32
#endif

#endif
