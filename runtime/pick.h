/* Floats chosen and signed without a branch. */
#ifndef BITC_PICK_H
#define BITC_PICK_H

#include "base.h"

/* first ? a : b, by a mask: gcc would carry the constant of a conditional through all that follows, as a branch that
 * keeps the loop around it from being vectorised. */
BITC_INLINE float bitc_fpick(int first, float a, float b) {
    const uint32_t mask = 0u - (uint32_t)first;
    uint32_t a_bits, b_bits;
    memcpy(&a_bits, &a, sizeof a_bits);
    memcpy(&b_bits, &b, sizeof b_bits);
    a_bits = (a_bits & mask) | (b_bits & ~mask);
    memcpy(&a, &a_bits, sizeof a);
    return a;
}

/* |size| with the sign of `of`. */
BITC_INLINE float bitc_fwith_sign(float size, float of) {
    uint32_t bits, sign;
    memcpy(&bits, &size, sizeof bits);
    memcpy(&sign, &of, sizeof sign);
    bits = (bits & 0x7FFFFFFFu) | (sign & 0x80000000u);
    memcpy(&size, &bits, sizeof size);
    return size;
}

#endif
