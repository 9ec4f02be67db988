/* From lanes that are all ones or all zeros to bits, for NEON: what x86 calls movemask. */
#ifndef BITC_BITS_NEON_H
#define BITC_BITS_NEON_H

#include <arm_neon.h>

#include "base.h"

/* Bit k of the result is lane k of low, then of high. */
BITC_INLINE uint64_t bitc_bits_neon(uint32x4_t low, uint32x4_t high) {
    static const uint8_t places[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x8_t lanes = vmovn_u16(vcombine_u16(vmovn_u32(low), vmovn_u32(high)));
    return vaddv_u8(vand_u8(lanes, vld1_u8(places)));
}

#endif
