/* Counts of nibbles in plain C, pixel by pixel; those of a slot lie in the order of pixels. Operations: skip.h. */
#ifndef BITC_NIBBLES_PORTABLE_H
#define BITC_NIBBLES_PORTABLE_H

#include "lanes_portable.h"
#include "nibbles.h"

/* Nibble k of 32 words to 32 bytes, k*stride bytes on. */
static inline void bitc_nibbles_spread(const uint64_t *words, uint8_t *to, ptrdiff_t stride) {
    for (int32_t k = 0; k < 16; k++, to += stride) {
        for (int32_t l = 0; l < 32; l++) to[l] = (uint8_t)(words[l] >> 4 * k & 15);
    }
}

static inline void bitc_nibbles_count(const uint8_t *from, ptrdiff_t vector_bytes, int32_t vectors, const uint32_t *entries,
                                      int32_t count, bitc_nibbles_step step, int16_t *pops) {
    for (int32_t v = 0; v < vectors; v++, from += vector_bytes, pops += 32) {
        int32_t sums[32] = {0};
        for (int32_t e = 0; e < count; e++) {
            const uint8_t *x = bitc_nibbles_at(from, entries[e]), *row = bitc_nibbles_row(entries[e]);
            for (int32_t l = 0; l < 32; l++) sums[l] += row[x[l]];
        }
        for (int32_t l = 0; l < 32; l++) {
            const int32_t up = step.up ? step.up[v * 32 + l] : 0;
            pops[l] = (int16_t)(step.up ? (step.negated ? -up : up) + step.constant + 2 * sums[l] : sums[l]);
        }
    }
}

/* Bit l: whether pixel l of 32 has more than the limit of its class. */
static inline uint32_t bitc_nibbles_over(const int16_t *pops, const uint8_t *classes, const uint8_t *codes, int32_t groups) {
    uint32_t bits = 0;
    (void)groups;
    for (int32_t l = 0; l < 32; l++) {
        const uint8_t *code = codes + (ptrdiff_t)(classes[l] / 16) * 32 + classes[l] % 16;
        const int32_t limit = ((code[0] | code[16] << 8) ^ 0x8000) - 0x8000;
        bits |= (uint32_t)(pops[l] > limit) << l;
    }
    return bits;
}

/* 32 counts in the order of pixels. */
static inline void bitc_nibbles_in_order(const int16_t *pops, int16_t *to) { memcpy(to, pops, 32 * sizeof *to); }

#endif
