/* How fast can this CPU go at best? Loops that do what the kernels' inner loops do, with nothing else in them.
 *
 * Compiled with the flags of a target. Each bitc_peak_* runs `rounds` rounds and returns how many operations that was (a
 * multiplication and an addition are two). Operands are pinned by empty assembly, so that no compiler computes ahead;
 * bitc_read walks over memory. Eight independent sums hide the latency of all the instructions used. */
#include <stdint.h>

#include "base.h"

static volatile int64_t sink; /* what is computed must go somewhere, or it is not computed */

#define EACH_OF_8(DO) DO(a0) DO(a1) DO(a2) DO(a3) DO(a4) DO(a5) DO(a6) DO(a7)

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>

/* `V` a vector type of `PIN`'s kind; STEP(a) adds to one sum, which takes `OPS` operations. */
#define PEAK(name, V, ZERO, PIN, STEP, OPS)                                                    \
    int64_t bitc_peak_##name(int64_t rounds) {                                                 \
        V a0 = ZERO, a1 = ZERO, a2 = ZERO, a3 = ZERO, a4 = ZERO, a5 = ZERO, a6 = ZERO, a7 = ZERO; \
        V x = ZERO, w = ZERO;                                                                  \
        union {                                                                                \
            V vector;                                                                          \
            int64_t words[sizeof(V) / 8];                                                      \
        } sum;                                                                                 \
        PIN(w);                                                                                \
        for (int64_t i = 0; i < rounds; i++) {                                                 \
            EACH_OF_8(STEP)                                                                    \
        }                                                                                      \
        EACH_OF_8(STORE)                                                                       \
        return rounds * 8 * (OPS);                                                             \
    }
#define STORE(a)      \
    sum.vector = (a); \
    sink += sum.words[0];
#endif

#if defined(__AVX512F__)
#define PIN BITC_BARRIER_512
/* bits: xor, vpopcntq, vpaddq (512 products); bytes, words: VNNI */
#define STEP_BITS(a)                                                       \
    PIN(x);                                                                \
    a = _mm512_add_epi64(a, _mm512_popcnt_epi64(_mm512_xor_si512(x, w))); \
    PIN(a);
#define STEP_BYTES(a)                   \
    a = _mm512_dpbusd_epi32(a, x, w); \
    PIN(a);
#define STEP_WORDS(a)                   \
    a = _mm512_dpwssd_epi32(a, x, w); \
    PIN(a);
#define STEP_FLOATS(a)                \
    a = _mm512_fmadd_ps(x, w, a); \
    PIN(a);
PEAK(bits, __m512i, _mm512_setzero_si512(), PIN, STEP_BITS, 2 * 512)
PEAK(bytes, __m512i, _mm512_setzero_si512(), PIN, STEP_BYTES, 2 * 64)
PEAK(words, __m512i, _mm512_setzero_si512(), PIN, STEP_WORDS, 2 * 32)
PEAK(floats, __m512, _mm512_setzero_ps(), PIN, STEP_FLOATS, 2 * 16)

#elif defined(__AVX2__)
#define PIN BITC_BARRIER
/* bits: 4 bits of 32 channels looked up and added (128 products); bytes, words: vpmaddwd, which is exact for both */
#define STEP_BITS(a)                                        \
    PIN(x);                                                 \
    a = _mm256_add_epi8(a, _mm256_shuffle_epi8(w, x)); \
    PIN(a);
#define STEP_WORDS(a)                                     \
    PIN(x);                                               \
    a = _mm256_add_epi32(a, _mm256_madd_epi16(x, w)); \
    PIN(a);
#define STEP_FLOATS(a)                \
    a = _mm256_fmadd_ps(x, w, a); \
    PIN(a);
PEAK(bits, __m256i, _mm256_setzero_si256(), PIN, STEP_BITS, 2 * 128)
PEAK(bytes, __m256i, _mm256_setzero_si256(), PIN, STEP_WORDS, 2 * 16)
PEAK(words, __m256i, _mm256_setzero_si256(), PIN, STEP_WORDS, 2 * 16)
PEAK(floats, __m256, _mm256_setzero_ps(), PIN, STEP_FLOATS, 2 * 8)

#else
enum { N = 64 }; /* results side by side, as the compiler likes to vectorise them */

/* Plain C: operands and sums in the first cache; a compiler may not assume that they stay as they are. */
#define PEAK(name, X, W, A, STEP, OPS)                     \
    int64_t bitc_peak_##name(int64_t rounds) {             \
        static X x[N];                                     \
        static W w[N];                                     \
        A a[N] = {0};                                      \
        for (int64_t i = 0; i < rounds; i++) {             \
            CHANGED(x, w);                                 \
            for (int k = 0; k < N; k++) a[k] += (A)(STEP); \
        }                                                  \
        for (int k = 0; k < N; k++) sink += (int64_t)a[k]; \
        return rounds * N * (OPS);                         \
    }
#if defined(__GNUC__)
#define CHANGED(x, w) __asm__ volatile("" : : "r"(x), "r"(w) : "memory")
#else
#define CHANGED(x, w) (sink = (x)[0] == (X)1)
#endif
PEAK(bits, uint64_t, uint64_t, uint32_t, bitc_popcount64(x[k] ^ w[k]), 2 * 64)
PEAK(bytes, uint8_t, int8_t, int32_t, (int32_t)x[k] * w[k], 2)
PEAK(words, int16_t, int16_t, int32_t, (int32_t)x[k] * w[k], 2)
PEAK(floats, float, float, float, x[k] * w[k], 2)
#endif

#if defined(__AVX512F__)
typedef __m512i bitc_lane;
#define LANE(p) _mm512_loadu_si512(p)
#define XOR(a, b) _mm512_xor_si512(a, b)
#elif defined(__AVX2__)
typedef __m256i bitc_lane;
#define LANE(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define XOR(a, b) _mm256_xor_si256(a, b)
#else
typedef uint64_t bitc_lane;
#define LANE(p) (*(p))
#define XOR(a, b) ((a) ^ (b))
#endif

/* Reads `words` words (a multiple of 64) `rounds` times over; returns the bytes read. */
int64_t bitc_read(const uint64_t *memory, int64_t words, int64_t rounds) {
    enum { STEP = sizeof(bitc_lane) / sizeof *memory };
    union {
        bitc_lane lanes[8];
        uint64_t words[8 * STEP];
    } sum;
    memset(&sum, 0, sizeof sum);
    bitc_lane a0 = sum.lanes[0], a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
    for (int64_t r = 0; r < rounds; r++) {
        const uint64_t *p = memory;
        for (int64_t i = 0; i < words; i += 8 * STEP, p += 8 * STEP) {
            a0 = XOR(a0, LANE(p)), a1 = XOR(a1, LANE(p + STEP));
            a2 = XOR(a2, LANE(p + 2 * STEP)), a3 = XOR(a3, LANE(p + 3 * STEP));
            a4 = XOR(a4, LANE(p + 4 * STEP)), a5 = XOR(a5, LANE(p + 5 * STEP));
            a6 = XOR(a6, LANE(p + 6 * STEP)), a7 = XOR(a7, LANE(p + 7 * STEP));
        }
    }
    sum.lanes[0] = XOR(XOR(XOR(a0, a1), XOR(a2, a3)), XOR(XOR(a4, a5), XOR(a6, a7)));
    sink += (int64_t)sum.words[0];
    return rounds * words * (int64_t)sizeof *memory;
}
