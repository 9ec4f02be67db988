/* What every kernel header shares: compiler attributes behind one set of names, and byte-order neutral bit helpers. */
#ifndef BITC_BASE_H
#define BITC_BASE_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Sums and thresholds are those of float arithmetic: evaluated as double (gcc -std=c99 on s390x) or on the x87 they would
 * be others. */
#if defined(FLT_EVAL_METHOD) && (FLT_EVAL_METHOD == 1 || FLT_EVAL_METHOD == 2)
#error "float must be evaluated as float: use -fexcess-precision=fast (gcc), on 32-bit x86 -msse2 -mfpmath=sse"
#endif

#if defined(__GNUC__)
/* Alignment of an object, in bytes. */
#define BITC_ALIGN(n) __attribute__((aligned(n)))
#define BITC_RESTRICT __restrict__
/* Inlined whatever its size, so that constant arguments specialise the body. */
#define BITC_INLINE static inline __attribute__((always_inline))
/* Makes a pointer or integer one that the compiler knows nothing of: what is loaded through it is loaded again, not kept. */
#define BITC_FRESH(v) __asm__("" : "+r"(v))
/* The same of a pointer once the integer v has been computed: nothing is loaded through it before. */
#define BITC_AFTER(p, v) __asm__("" : "+r"(p) : "r"(v))
#else
#define BITC_ALIGN(n)
#define BITC_RESTRICT
#define BITC_INLINE static inline
#define BITC_FRESH(v) ((void)0)
#define BITC_AFTER(p, v) ((void)(v))
#endif

/* Before a loop of few rounds: clang takes four vectors a round otherwise, and what is left over one by one. */
#if defined(__clang__)
#define BITC_SHORT_LOOP _Pragma("clang loop interleave(disable)")
#else
#define BITC_SHORT_LOOP
#endif

/* Before a loop whose rounds are few and mostly known: it is written out, which clang does of itself. */
#if defined(__GNUC__) && !defined(__clang__)
#define BITC_UNROLLED _Pragma("GCC unroll 32")
#define BITC_UNROLLED_BY_4 _Pragma("GCC unroll 4")
#else
#define BITC_UNROLLED_BY_4
#define BITC_UNROLLED
#endif

/* Kept out of line by gcc, which would turn a local array that it sees whole into scalars and vectorise nothing. */
#if defined(__GNUC__) && !defined(__clang__)
#define BITC_GCC_NOINLINE __attribute__((noinline, unused)) static
#else
#define BITC_GCC_NOINLINE static inline
#endif

/* There once, however many calls there are, for what is to be small. */
#if defined(__GNUC__) && !defined(__clang__)
#define BITC_ONCE __attribute__((noinline, noclone, unused)) static
#elif defined(__clang__)
#define BITC_ONCE __attribute__((noinline, unused)) static
#else
#define BITC_ONCE static inline
#endif

/* Pins a vector value in its register at this point: gcc otherwise postpones the additions of an accumulator chain and
 * spills all their operands. */
#if defined(__GNUC__) && defined(__AVX2__)
#define BITC_BARRIER(v) __asm__("" : "+x"(v))
#else
#define BITC_BARRIER(v) ((void)0)
#endif

/* The AVX-512 registers 16..31 need their own constraint letter. */
#if defined(__GNUC__) && defined(__AVX512F__)
#define BITC_BARRIER_512(v) __asm__("" : "+v"(v))
#else
#define BITC_BARRIER_512(v) ((void)0)
#endif

/* Words of 64 channels that hold n channels. */
static inline int32_t bitc_words(int32_t n) { return (n + 63) / 64; }

/* The valid bits of word i of n channels: all ones, but for the padding bits of the last word. */
static inline uint64_t bitc_word_mask(int32_t n, int32_t i) {
    const int32_t left = n - 64 * i;
    return left >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1;
}

/* Number of one bits, without a popcount instruction (Knuth, TAOCP 7.1.3). */
static inline uint32_t bitc_popcount64(uint64_t v) {
    v -= (v >> 1) & UINT64_C(0x5555555555555555);
    v = (v & UINT64_C(0x3333333333333333)) + ((v >> 2) & UINT64_C(0x3333333333333333));
    v = (v + (v >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    return (uint32_t)((v * UINT64_C(0x0101010101010101)) >> 56);
}

#endif
