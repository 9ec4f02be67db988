/* Products with weights stored as codes of 2 or 4 bits, for every C99 compiler. */
#ifndef BITC_ICODED_PORTABLE_H
#define BITC_ICODED_PORTABLE_H

#include "icoded.h"
#include "iconv_portable.h"

#define BITC_ICODED_LANES_PORTABLE 1

/* sums[f] += the products of n values with the codes of field f; each byte of w holds codes of 4 channels. */
BITC_GCC_NOINLINE void bitc_icodes2_portable(const int16_t *BITC_RESTRICT x, const uint8_t *BITC_RESTRICT w, int32_t n,
                                             int32_t *BITC_RESTRICT sums) {
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (int32_t i = 0; i < n; i++) {
        a += x[i] * (w[i] & 3), b += x[i] * (w[i] >> 2 & 3), c += x[i] * (w[i] >> 4 & 3), d += x[i] * (w[i] >> 6);
    }
    sums[0] += a, sums[1] += b, sums[2] += c, sums[3] += d;
}

/* The same for codes of 2 channels a byte. */
BITC_GCC_NOINLINE void bitc_icodes4_portable(const int16_t *BITC_RESTRICT x, const uint8_t *BITC_RESTRICT w, int32_t n,
                                             int32_t *BITC_RESTRICT sums) {
    int32_t a = 0, b = 0;
    for (int32_t i = 0; i < n; i++) {
        a += x[i] * (w[i] & 15), b += x[i] * (w[i] >> 4);
    }
    sums[0] += a, sums[1] += b;
}

/* One pixel x the block of codes at w: sums[f] of each field. Returns the sum of the values. */
BITC_INLINE int32_t bitc_icoded_block_portable(const uint8_t *x, int32_t run, const uint8_t *w, int32_t *sums,
                                               const int bits) {
    int32_t total = 0;
    memset(sums, 0, 4 * sizeof *sums);
    for (int32_t k = 0; k < run; k += BITC_ICONV_CHUNK) {
        int16_t widened[BITC_ICONV_CHUNK];
        const int32_t n = bitc_imin32(BITC_ICONV_CHUNK, run - k);
        for (int32_t j = 0; j < n; j++) {
            widened[j] = x[k + j];
            total += x[k + j];
        }
        if (bits == 2) {
            bitc_icodes2_portable(widened, w + k, n, sums);
        } else {
            bitc_icodes4_portable(widened, w + k, n, sums);
        }
    }
    return total;
}

BITC_INLINE void bitc_icoded_portable(const bitc_iconv *g, const uint8_t *x, const uint8_t *w, const int32_t *lowest,
                                      const int32_t *base, int32_t step, int32_t *y, int32_t y0, int32_t y1,
                                      const int bits) {
    bitc_icursor cursor = bitc_iconv_start(g, y0);
    for (int32_t left = (y1 - y0) * g->out_w; left > 0; left--, y += g->out_c) {
        const uint8_t *from = x + bitc_iconv_next(g, &cursor);
        for (int32_t m = 0; m < g->out_c; m += 8 / bits) {
            int32_t sums[4];
            const uint8_t *codes = w + (ptrdiff_t)(m / (8 / bits)) * g->run;
            const int32_t total = bitc_icoded_block_portable(from, g->run, codes, sums, bits);
            for (int32_t f = 0; f < bitc_imin32(8 / bits, g->out_c - m); f++) {
                y[m + f] = bitc_icoded_plus(bitc_icoded_plus(base[m + f], lowest[m + f], total), step, sums[f]);
            }
        }
    }
}

static inline void bitc_icoded2_portable(const bitc_iconv *g, const uint8_t *x, const uint8_t *w,
                                         const int32_t *lowest, const int32_t *base, int32_t step, int32_t *y,
                                         int32_t y0, int32_t y1) {
    bitc_icoded_portable(g, x, w, lowest, base, step, y, y0, y1, 2);
}

static inline void bitc_icoded4_portable(const bitc_iconv *g, const uint8_t *x, const uint8_t *w,
                                         const int32_t *lowest, const int32_t *base, int32_t step, int32_t *y,
                                         int32_t y0, int32_t y1) {
    bitc_icoded_portable(g, x, w, lowest, base, step, y, y0, y1, 4);
}

/* n weights lowest + step * code as int8_t, stored as the same number modulo 2^8; the codes begin at bit `shift`. */
BITC_GCC_NOINLINE void bitc_icoded_expand_portable(const uint8_t *BITC_RESTRICT codes, int32_t shift, uint32_t mask,
                                                   int32_t lowest, int32_t step, int32_t n,
                                                   uint8_t *BITC_RESTRICT out) {
    for (int32_t k = 0; k < n; k++) {
        out[k] = (uint8_t)(lowest + step * (int32_t)((uint32_t)(codes[k] >> shift) & mask));
    }
}

BITC_INLINE void bitc_icoded_rows_portable(const bitc_iconv *g, const uint8_t *x, const uint8_t *w,
                                           const int32_t *lowest, const int32_t *base, int32_t step, int8_t *scratch,
                                           int32_t *y, int32_t y0, int32_t y1, const int bits) {
    const int32_t pass = bitc_iconv_pass(g->run);
    const int32_t fields = 8 / bits;
    for (int32_t first = 0; first < g->out_c; first += pass) {
        bitc_iconv part = *g;
        bitc_icursor cursor = bitc_iconv_start(g, y0);
        int32_t *to = y + first;
        part.out_c = bitc_imin32(pass, g->out_c - first);
        for (int32_t m = first; m < first + part.out_c; m++) {
            const uint8_t *codes = w + (ptrdiff_t)(m / fields) * g->run;
            bitc_icoded_expand_portable(codes, m % fields * bits, (1u << bits) - 1, lowest[m], step, g->run,
                                        (uint8_t *)scratch + (ptrdiff_t)(m - first) * g->run);
        }
        for (int32_t left = (y1 - y0) * g->out_w; left > 0; left--, to += g->out_c) {
            const ptrdiff_t at = bitc_iconv_next(g, &cursor);
            bitc_iconv_pixel_portable(&part, x, at, scratch, base + first, to, 1, 0);
        }
    }
}

static inline void bitc_icoded2_rows_portable(const bitc_iconv *g, const uint8_t *x, const uint8_t *w,
                                              const int32_t *lowest, const int32_t *base, int32_t step, int8_t *scratch,
                                              int32_t *y, int32_t y0, int32_t y1) {
    bitc_icoded_rows_portable(g, x, w, lowest, base, step, scratch, y, y0, y1, 2);
}

static inline void bitc_icoded4_rows_portable(const bitc_iconv *g, const uint8_t *x, const uint8_t *w,
                                              const int32_t *lowest, const int32_t *base, int32_t step, int8_t *scratch,
                                              int32_t *y, int32_t y0, int32_t y1) {
    bitc_icoded_rows_portable(g, x, w, lowest, base, step, scratch, y, y0, y1, 4);
}

#endif
