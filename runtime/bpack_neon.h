/* Between numbers and packed codes for NEON, 8 channels at a time. Contract: bpack_portable.h. */
#ifndef BITC_BPACK_NEON_H
#define BITC_BPACK_NEON_H

#include "bits_neon.h"

/* One word of at most 64 channels: bit k = !(x[k] >= thr[k]), or !(x[k] <= thr[k]) where down's bit is 1. */
BITC_INLINE uint64_t bitc_pack_word_neon(const float *x, const float *thr, int32_t channels, uint64_t down) {
    uint64_t below = 0, above = 0;
    int32_t k = 0;
    for (; k + 8 <= channels; k += 8) {
        const float32x4_t low = vld1q_f32(x + k), high = vld1q_f32(x + k + 4);
        const float32x4_t at_low = vld1q_f32(thr + k), at_high = vld1q_f32(thr + k + 4);
        below |= (bitc_bits_neon(vcgeq_f32(low, at_low), vcgeq_f32(high, at_high)) ^ 255) << k;
        above |= (bitc_bits_neon(vcleq_f32(low, at_low), vcleq_f32(high, at_high)) ^ 255) << k;
    }
    for (; k < channels; k++) {
        below |= (uint64_t)!(x[k] >= thr[k]) << k;
        above |= (uint64_t)!(x[k] <= thr[k]) << k;
    }
    return (below & ~down) | (above & down);
}

static inline void bitc_pack_f32_neon(const float *x, int32_t pixels, int32_t c, const float *thr, const uint64_t *down,
                                      int32_t planes, uint64_t *y, int32_t out_pixel_words) {
    const int32_t words = bitc_words(c);
    for (int32_t i = 0; i < pixels; i++, x += c, y += out_pixel_words) {
        for (int32_t plane = 0; plane < planes; plane++) {
            for (int32_t word = 0; word < words; word++) {
                const float *at = thr + (ptrdiff_t)plane * c + 64 * word;
                const int32_t channels = c - 64 * word < 64 ? c - 64 * word : 64;
                y[plane * words + word] = bitc_pack_word_neon(x + 64 * word, at, channels, down[word]);
            }
        }
    }
}

/* The same of integers. */
BITC_INLINE uint64_t bitc_pack_word_i32_neon(const int32_t *x, const int32_t *thr, int32_t channels, uint64_t down) {
    uint64_t below = 0, above = 0;
    int32_t k = 0;
    for (; k + 8 <= channels; k += 8) {
        const int32x4_t low = vld1q_s32(x + k), high = vld1q_s32(x + k + 4);
        const int32x4_t at_low = vld1q_s32(thr + k), at_high = vld1q_s32(thr + k + 4);
        below |= bitc_bits_neon(vcltq_s32(low, at_low), vcltq_s32(high, at_high)) << k;
        above |= bitc_bits_neon(vcgtq_s32(low, at_low), vcgtq_s32(high, at_high)) << k;
    }
    for (; k < channels; k++) {
        below |= (uint64_t)(x[k] < thr[k]) << k;
        above |= (uint64_t)(x[k] > thr[k]) << k;
    }
    return (below & ~down) | (above & down);
}

static inline void bitc_pack_i32_neon(const int32_t *x, int32_t pixels, int32_t c, const int32_t *thr,
                                      const uint64_t *down, int32_t planes, uint64_t *y, int32_t out_pixel_words) {
    const int32_t words = bitc_words(c);
    for (int32_t i = 0; i < pixels; i++, x += c, y += out_pixel_words) {
        for (int32_t plane = 0; plane < planes; plane++) {
            for (int32_t word = 0; word < words; word++) {
                const int32_t *at = thr + (ptrdiff_t)plane * c + 64 * word;
                const int32_t channels = c - 64 * word < 64 ? c - 64 * word : 64;
                y[plane * words + word] = bitc_pack_word_i32_neon(x + 64 * word, at, channels, down[word]);
            }
        }
    }
}

/* Which of 16 bytes have the bit that is set in `bit`, the first in bit 0. */
BITC_INLINE uint64_t bitc_bit_of_bytes_neon(const uint8_t *x, uint8x16_t bit) {
    static const uint8_t places[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t ones = vandq_u8(vtstq_u8(vld1q_u8(x), bit), vld1q_u8(places));
    return (uint64_t)vaddv_u8(vget_low_u8(ones)) | (uint64_t)vaddv_u8(vget_high_u8(ones)) << 8;
}

static inline void bitc_pack_bit_neon(const uint8_t *x, int32_t pixels, int32_t c, int32_t bit, uint64_t *y,
                                      int32_t out_pixel_words) {
    const uint8x16_t wanted = vdupq_n_u8((uint8_t)(1 << bit));
    for (int32_t i = 0; i < pixels; i++, x += c, y += out_pixel_words) {
        for (int32_t word = 0; 64 * word < c; word++) {
            const uint8_t *from = x + 64 * word;
            uint8_t last[64] = {0};
            uint64_t ones = 0;
            if (c - 64 * word < 64) {
                memcpy(last, from, (size_t)(c - 64 * word));
                from = last;
            }
            for (int32_t k = 0; k < 64; k += 16) ones |= bitc_bit_of_bytes_neon(from + k, wanted) << k;
            y[word] = ~ones & bitc_word_mask(c, word);
        }
    }
}

static inline void bitc_unpack_f32_neon(const uint64_t *x, int32_t in_pixel_words, int32_t pixels, int32_t c,
                                        int32_t planes, int32_t lo, int32_t step, float *y) {
    static const uint32_t places[4] = {1, 2, 4, 8};
    const int32_t words = bitc_words(c);
    const uint32x4_t bit = vld1q_u32(places);
    for (int32_t i = 0; i < pixels; i++, x += in_pixel_words, y += c) {
        for (int32_t k = 0; k < c; k += 4) {
            int32x4_t zeros = vdupq_n_s32(0);
            for (int32_t plane = 0; plane < planes; plane++) {
                const uint32_t bits = (uint32_t)(x[plane * words + k / 64] >> k % 64 & 15);
                const uint32x4_t ones = vtstq_u32(vdupq_n_u32(bits), bit);
                zeros = vsubq_s32(zeros, vreinterpretq_s32_u32(vmvnq_u32(ones)));
            }
            const float32x4_t value = vcvtq_f32_s32(vmlaq_n_s32(vdupq_n_s32(lo), zeros, step));
            memcpy(y + k, &value, sizeof(float) * (size_t)(c - k < 4 ? c - k : 4));
        }
    }
}

#endif
