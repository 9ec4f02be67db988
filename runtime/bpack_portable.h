/* Between numbers and packed codes, and the halo of packed buffers. Contract of bpack_<isa>.h, in plain C.
 *
 * A code of P planes is the number of its 0 bits, 0..P (P = 1: bit 0 is +1, bit 1 is -1). Channel c of plane p of a
 * pixel is the bit c%64 of word p*ceil(c/64) + c/64 from the pixel's first word; padding bits are 0.
 *
 *   pack    x    float  [pixels][c], or int32
 *           thr  float  [planes][c], or int32
 *           down uint64 [ceil(c/64)]; bit of plane p = down ? !(x <= thr[p]) : !(x >= thr[p]), so NaN gives bit 1
 *           y    the first pixel's words, pixels out_pixel_words apart; all words of the planes are written
 *   pack_bit   x  uint8 [pixels][c]; the one plane of y holds !(x >> bit & 1); y as of pack
 *   unpack  x    the first pixel's words, pixels in_pixel_words apart
 *           y    float [pixels][c] = (float)(lo + step * number of 0 bits)
 *   index_bit  x  as of unpack; the one plane of y holds !(n >> bit & 1) for n = number of 0 bits, n <= planes
 *   interleave  x  as of unpack, of 1 to 3 planes, pixels side by side
 *           y    uint64 [pixels][ceil(2*c/64)], channel k in bits 2k and 2k + 1 of the pixel: its bits of planes 0
 *                and 1 (one plane: a 0 above); of three planes the parity of all and the bit of plane 1, which is
 *                3 - n for n = number of 0 bits
 *   pick_bits  x  the first pixel's words, pixels in_pixel_words apart
 *           y    `words` words: flips[w] ^ the words of x that `steps` int32 [count][3] bring there: the word written
 *                (in order), the word read, how far it is rotated to the left; of each masks uint64 [count] has what is
 *                taken
 *
 * Pointers need no more than their type's alignment; nothing beyond the named elements is read or written.
 */
#ifndef BITC_BPACK_PORTABLE_H
#define BITC_BPACK_PORTABLE_H

#include "base.h"

static inline void bitc_pack_f32_portable(const float *x, int32_t pixels, int32_t c, const float *thr,
                                          const uint64_t *down, int32_t planes, uint64_t *y, int32_t out_pixel_words) {
    const int32_t words = bitc_words(c);
    for (int32_t i = 0; i < pixels; i++, x += c, y += out_pixel_words) {
        for (int32_t plane = 0; plane < planes; plane++) {
            for (int32_t word = 0; word < words; word++) {
                const float *from = x + 64 * word, *at = thr + (ptrdiff_t)plane * c + 64 * word;
                const int32_t channels = c - 64 * word < 64 ? c - 64 * word : 64;
                uint64_t below = 0, above = 0;
                for (int32_t k = 0; k < channels; k++) {
                    below |= (uint64_t)!(from[k] >= at[k]) << k;
                    above |= (uint64_t)!(from[k] <= at[k]) << k;
                }
                y[plane * words + word] = (below & ~down[word]) | (above & down[word]);
            }
        }
    }
}

static inline void bitc_pack_i32_portable(const int32_t *x, int32_t pixels, int32_t c, const int32_t *thr,
                                          const uint64_t *down, int32_t planes, uint64_t *y, int32_t out_pixel_words) {
    const int32_t words = bitc_words(c);
    for (int32_t i = 0; i < pixels; i++, x += c, y += out_pixel_words) {
        for (int32_t plane = 0; plane < planes; plane++) {
            for (int32_t word = 0; word < words; word++) {
                const int32_t *from = x + 64 * word, *at = thr + (ptrdiff_t)plane * c + 64 * word;
                const int32_t channels = c - 64 * word < 64 ? c - 64 * word : 64;
                uint64_t below = 0, above = 0;
                for (int32_t k = 0; k < channels; k++) {
                    below |= (uint64_t)(from[k] < at[k]) << k;
                    above |= (uint64_t)(from[k] > at[k]) << k;
                }
                y[plane * words + word] = (below & ~down[word]) | (above & down[word]);
            }
        }
    }
}

/* The lowest bits of eight bytes side by side, x[0] in bit 0: each product with the constant lands at its own bit. */
static inline uint64_t bitc_lowest_bits(const uint8_t *x, int32_t shift) {
    uint64_t v = 0;
    for (int32_t k = 0; k < 8; k++) v |= (uint64_t)x[k] << 8 * k;
    return (v >> shift & UINT64_C(0x0101010101010101)) * UINT64_C(0x0102040810204080) >> 56;
}

static inline void bitc_pack_bit_portable(const uint8_t *x, int32_t pixels, int32_t c, int32_t bit, uint64_t *y,
                                          int32_t out_pixel_words) {
    for (int32_t i = 0; i < pixels; i++, x += c, y += out_pixel_words) {
        for (int32_t word = 0; 64 * word < c; word++) {
            const uint8_t *from = x + 64 * word;
            const int32_t channels = c - 64 * word < 64 ? c - 64 * word : 64;
            uint64_t ones = 0;
            int32_t k = 0;
            for (; k + 8 <= channels; k += 8) ones |= bitc_lowest_bits(from + k, bit) << k;
            for (; k < channels; k++) ones |= (uint64_t)(from[k] >> bit & 1) << k;
            y[word] = ~ones & bitc_word_mask(c, word);
        }
    }
}

/* Plane k is 0 where n > k, so bit b of n is the parity of n > 2^b - 1, n > 2 * 2^b - 1, ... */
static inline void bitc_index_bit(const uint64_t *x, int32_t in_pixel_words, int32_t pixels, int32_t c, int32_t planes,
                                  int32_t bit, uint64_t *y, int32_t out_pixel_words) {
    const int32_t words = bitc_words(c);
    for (int32_t i = 0; i < pixels; i++, x += in_pixel_words, y += out_pixel_words) {
        for (int32_t word = 0; word < words; word++) {
            uint64_t parity = 0;
            for (int32_t k = (1 << bit) - 1; k < planes; k += 1 << bit) parity ^= ~x[k * words + word];
            y[word] = ~parity & bitc_word_mask(c, word);
        }
    }
}

/* 32 bits, each followed by a 0. */
static inline uint64_t bitc_spread_bits(uint64_t v) {
    v &= UINT64_C(0x00000000FFFFFFFF);
    v = (v | v << 16) & UINT64_C(0x0000FFFF0000FFFF);
    v = (v | v << 8) & UINT64_C(0x00FF00FF00FF00FF);
    v = (v | v << 4) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    v = (v | v << 2) & UINT64_C(0x3333333333333333);
    return (v | v << 1) & UINT64_C(0x5555555555555555);
}

static inline void bitc_interleave(const uint64_t *x, int32_t pixels, int32_t c, int32_t planes, uint64_t *y) {
    const int32_t words = bitc_words(c), pairs = bitc_words(2 * c);
    for (int32_t i = 0; i < pixels; i++, x += planes * words, y += pairs) {
        for (int32_t word = 0; word < pairs; word++) {
            const uint64_t *from = x + word / 2;
            const uint64_t high = planes > 1 ? from[words] : 0;
            const uint64_t low = planes > 2 ? from[0] ^ high ^ from[2 * words] : from[0];
            const int32_t half = word % 2 * 32;
            y[word] = bitc_spread_bits(low >> half) | bitc_spread_bits(high >> half) << 1;
        }
    }
}

static inline void bitc_unpack_f32_portable(const uint64_t *x, int32_t in_pixel_words, int32_t pixels, int32_t c,
                                            int32_t planes, int32_t lo, int32_t step, float *y) {
    const int32_t words = bitc_words(c);
    for (int32_t i = 0; i < pixels; i++, x += in_pixel_words, y += c) {
        for (int32_t k = 0; k < c; k++) {
            int32_t zeros = 0;
            for (int32_t plane = 0; plane < planes; plane++) {
                zeros += (int32_t)(~(x[plane * words + k / 64] >> k % 64) & 1);
            }
            y[k] = (float)(lo + step * zeros);
        }
    }
}

/* Writes `pattern`, the words of a pixel, to neighbouring pixels. */
static inline void bitc_fill_pixels(uint64_t *y, int32_t pixels, int32_t pixel_words, const uint64_t *pattern) {
    for (int32_t i = 0; i < pixels; i++, y += pixel_words) memcpy(y, pattern, (size_t)pixel_words * sizeof *y);
}

/* Writes `pattern` (pixel_words words) to the halo of a buffer of top + h + bottom rows, row_words apart, of
 * left + w + right pixels. y is the buffer's first word; the interior and words past a row's last pixel stay. */
static inline void bitc_fill_halo(uint64_t *y, int32_t h, int32_t w, int32_t pixel_words, int32_t row_words,
                                  int32_t top, int32_t bottom, int32_t left, int32_t right, const uint64_t *pattern) {
    for (int32_t row = -top; row < h + bottom; row++, y += row_words) {
        if (row < 0 || row >= h) {
            bitc_fill_pixels(y, left + w + right, pixel_words, pattern);
        } else {
            bitc_fill_pixels(y, left, pixel_words, pattern);
            bitc_fill_pixels(y + (ptrdiff_t)(left + w) * pixel_words, right, pixel_words, pattern);
        }
    }
}

static inline void bitc_pick_bits(const uint64_t *x, int32_t in_pixel_words, int32_t pixels, const int32_t *steps,
                                  const uint64_t *masks, int32_t count, const uint64_t *flips, int32_t words,
                                  uint64_t *y, int32_t out_pixel_words) {
    for (int32_t i = 0; i < pixels; i++, x += in_pixel_words, y += out_pixel_words) {
        const int32_t *step = steps;
        int32_t s = 0;
        for (int32_t w = 0; w < words; w++) {
            uint64_t to = flips[w];
            for (; s < count && step[0] == w; s++, step += 3) {
                const uint64_t from = x[step[1]];
                to ^= (from << step[2] | from >> (-step[2] & 63)) & masks[s];
            }
            y[w] = to;
        }
    }
}

#endif
