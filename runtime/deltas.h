/* Bit weights from a stream of differences between output channels, written where the kernels of bconv.h read them.
 *
 * The stream is a sequence of bits, the lowest of each byte first, and numbers begin with their lowest bit. For each of
 * the channels, in an order in which parents come first:
 *
 *     number   number_bits bits
 *     width    4 bits; BITC_DELTAS_RAW: taps*tap_bits weights follow as they are, tap by tap
 *     parent   number_bits bits; one bit: whether its complement is meant
 *     runs     a bit 0 passes 2^width weights that are the parent's; a bit 1 and a number of width bits pass as many
 *              more, then one that is not; until all weights are passed
 *
 * and at least 3 bytes follow the last bit, as four are read at a time. width is at most 14, number_bits at most 16.
 *
 * Weights are written in the layout of bconv.h, uint64 [ceil(channels/block)][taps][planes][words of tap_bits][block],
 * the same for each plane; padding bits and absent channels are 0. bitc_deltas_words writes whole words,
 * bitc_deltas_bytes the byte-transposed entries of AVX2. Nothing but these words is written, each bit of them is. What
 * they held does not matter. They need the alignment of uint64, the stream none.
 */
#ifndef BITC_DELTAS_H
#define BITC_DELTAS_H

#include "base.h"

#define BITC_DELTAS_RAW 15

/* Zeros that one look at the stream may pass: with the 1 behind them and the widest number they fit 25 bits. */
#define BITC_DELTAS_ZEROS 10

typedef struct bitc_deltas {
    int32_t channels, block;  /* output channels, how many lie side by side */
    int32_t taps, tap_bits;   /* of a window; weights of a channel under each */
    int32_t planes;           /* copies of the words under a tap */
    int32_t number_bits;      /* of a channel's number */
} bitc_deltas;

/* At least 25 bits of the stream. */
static inline uint32_t bitc_deltas_bits(const uint8_t *stream, uint32_t at) {
    const uint8_t *s = stream + (at >> 3);
    const uint32_t v = (uint32_t)s[0] | (uint32_t)s[1] << 8 | (uint32_t)s[2] << 16 | (uint32_t)s[3] << 24;
    return v >> (at & 7);
}

/* How many bits below the lowest 1 are 0; v is not 0. */
static inline int32_t bitc_zeros_below(uint32_t v) {
#if defined(__GNUC__)
    return __builtin_ctz(v);
#else
    int32_t zeros = 0;
    for (; !(v & 1); v >>= 1) zeros++;
    return zeros;
#endif
}

/* A channel's weights are units of 1 << shift bits, whole words or bytes, block of them apart: those of the same plane
 * and tap one after the other. In both forms that is unit i of w at i*block. */
BITC_INLINE int32_t bitc_deltas_units(const bitc_deltas *g, int32_t shift) {
    return bitc_words(g->tap_bits) << (6 - shift);
}

/* Where the channel begins. */
BITC_INLINE ptrdiff_t bitc_deltas_row(const bitc_deltas *g, uint32_t channel, int32_t shift) {
    const uint32_t block = (uint32_t)g->block;
    const ptrdiff_t units = (ptrdiff_t)g->taps * g->planes * bitc_deltas_units(g, shift);
    return (ptrdiff_t)(channel / block) * units * g->block + (ptrdiff_t)(channel % block);
}

BITC_INLINE uint64_t bitc_deltas_unit(const void *w, ptrdiff_t at, int32_t shift) {
    return shift == 6 ? ((const uint64_t *)w)[at] : ((const uint8_t *)w)[at];
}

BITC_INLINE void bitc_deltas_put(void *w, ptrdiff_t at, uint64_t v, int32_t shift) {
    if (shift == 6) {
        ((uint64_t *)w)[at] = v;
    } else {
        ((uint8_t *)w)[at] = (uint8_t)v;
    }
}

/* The first plane of the channel at `to` is that at `from`, each weight the other way round if turn is all ones. */
BITC_INLINE void bitc_deltas_inherit(const bitc_deltas *g, void *w, ptrdiff_t from, ptrdiff_t to, uint64_t turn,
                                     int32_t shift) {
    const int32_t units = bitc_deltas_units(g, shift);
    for (int32_t tap = 0; tap < g->taps; tap++) {
        for (int32_t u = 0; u < units; u++) {
            const uint64_t valid = bitc_word_mask(g->tap_bits, u >> (6 - shift)) >> ((u << shift) & 63);
            const ptrdiff_t at = ((ptrdiff_t)tap * g->planes * units + u) * g->block;
            bitc_deltas_put(w, to + at, bitc_deltas_unit(w, from + at, shift) ^ (valid & turn), shift);
        }
    }
}

/* The first plane of the channel at `row`, which is 0, gets the weights of the stream. Returns the place behind them. */
BITC_INLINE uint32_t bitc_deltas_raw(const bitc_deltas *g, const uint8_t *stream, uint32_t bit, void *w, ptrdiff_t row,
                                     int32_t shift) {
    const ptrdiff_t pitch = (ptrdiff_t)g->planes * bitc_deltas_units(g, shift) * g->block;
    for (int32_t tap = 0; tap < g->taps; tap++, row += pitch) {
        for (int32_t i = 0; i < g->tap_bits; i += 8) {
            const int32_t left = g->tap_bits - i, taken = left < 8 ? left : 8;
            const uint64_t v = bitc_deltas_bits(stream, bit) & ((1u << taken) - 1);
            const ptrdiff_t at = row + (ptrdiff_t)(i >> shift) * g->block;
            bitc_deltas_put(w, at, bitc_deltas_unit(w, at, shift) | v << (i & ((1 << shift) - 1)), shift);
            bit += (uint32_t)taken;
        }
    }
    return bit;
}

/* The weights that the runs name are turned round in the first plane of the channel at `row`. Returns as above. */
BITC_INLINE uint32_t bitc_deltas_runs(const bitc_deltas *g, const uint8_t *stream, uint32_t bit, int32_t width, void *w,
                                      ptrdiff_t row, int32_t shift) {
    const ptrdiff_t pitch = (ptrdiff_t)g->planes * bitc_deltas_units(g, shift) * g->block;
    const int32_t terms = g->taps * g->tap_bits;
    int32_t at = 0, tap = 0;
    while (at < terms) {
        const uint32_t v = bitc_deltas_bits(stream, bit);
        const int32_t zeros = bitc_zeros_below(v | (uint32_t)1 << BITC_DELTAS_ZEROS);
        at += zeros << width;
        bit += (uint32_t)zeros;
        if (at >= terms) return bit - (uint32_t)((at - terms) >> width);
        if (!(v >> zeros & 1)) continue;
        at += (int32_t)(v >> (zeros + 1) & (((uint32_t)1 << width) - 1));
        bit += (uint32_t)(1 + width);
        for (; at - tap >= g->tap_bits; tap += g->tap_bits) row += pitch;
        const int32_t i = at++ - tap;
        const ptrdiff_t place = row + (ptrdiff_t)(i >> shift) * g->block;
        const uint64_t one = (uint64_t)1 << (i & ((1 << shift) - 1));
        bitc_deltas_put(w, place, bitc_deltas_unit(w, place, shift) ^ one, shift);
    }
    return bit;
}

/* The other planes of the channel at `row` are its first. */
BITC_INLINE void bitc_deltas_planes(const bitc_deltas *g, void *w, ptrdiff_t row, int32_t shift) {
    const int32_t units = bitc_deltas_units(g, shift), copied = (g->planes - 1) * units;
    const ptrdiff_t plane = (ptrdiff_t)units * g->block;
    for (int32_t tap = 0; tap < g->taps; tap++, row += plane) {
        for (int32_t u = 0; u < copied; u++, row += g->block) {
            bitc_deltas_put(w, row + plane, bitc_deltas_unit(w, row, shift), shift);
        }
    }
}

BITC_INLINE void bitc_deltas_write(const bitc_deltas *g, const uint8_t *stream, void *w, int32_t shift) {
    const uint32_t size = (uint32_t)g->number_bits, mask = ((uint32_t)1 << size) - 1;
    const ptrdiff_t words = (ptrdiff_t)g->taps * g->planes * bitc_words(g->tap_bits) * g->block;
    const ptrdiff_t blocks = (g->channels + g->block - 1) / g->block;
    uint32_t bit = 0;
    for (ptrdiff_t i = 0; i < blocks * words; i++) ((uint64_t *)w)[i] = 0;
    for (int32_t n = 0; n < g->channels; n++) {
        const uint32_t v = bitc_deltas_bits(stream, bit);
        const ptrdiff_t row = bitc_deltas_row(g, v & mask, shift);
        const int32_t width = (int32_t)(v >> size & 15);
        bit += size + 4;
        if (width == BITC_DELTAS_RAW) {
            bit = bitc_deltas_raw(g, stream, bit, w, row, shift);
        } else {
            const uint32_t up = bitc_deltas_bits(stream, bit);
            const uint64_t turn = (uint64_t)0 - (up >> size & 1);
            bitc_deltas_inherit(g, w, bitc_deltas_row(g, up & mask, shift), row, turn, shift);
            bit = bitc_deltas_runs(g, stream, bit + size + 1, width, w, row, shift);
        }
        bitc_deltas_planes(g, w, row, shift);
    }
}

BITC_ONCE void bitc_deltas_write_words(const bitc_deltas *g, const uint8_t *stream, void *w) {
    bitc_deltas_write(g, stream, w, 6);
}

BITC_ONCE void bitc_deltas_write_bytes(const bitc_deltas *g, const uint8_t *stream, void *w) {
    bitc_deltas_write(g, stream, w, 3);
}

static inline void bitc_deltas_words(const bitc_deltas *g, const uint8_t *stream, uint64_t *w) {
    bitc_deltas_write_words(g, stream, w);
}

static inline void bitc_deltas_bytes(const bitc_deltas *g, const uint8_t *stream, uint64_t *w) {
    bitc_deltas_write_bytes(g, stream, w);
}

#endif
