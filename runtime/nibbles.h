/* The rows that skip.h looks counts up in, and how a node follows from its parent. */
#ifndef BITC_NIBBLES_H
#define BITC_NIBBLES_H

#include "base.h"

/* What bit `bit` of x counts by the digit of a row: nothing, itself, or what it is not. */
#define BITC_NIBBLES_DIGIT(row, power, x, bit) \
    ((row) / (power) % 3 == 0 ? 0 : (row) / (power) % 3 == 1 ? ((x) >> (bit) & 1) : 1 - ((x) >> (bit) & 1))
#define BITC_NIBBLES_COUNT(row, x)                                                        \
    (BITC_NIBBLES_DIGIT(row, 1, x, 0) + BITC_NIBBLES_DIGIT(row, 3, x, 1) + BITC_NIBBLES_DIGIT(row, 9, x, 2) + \
     BITC_NIBBLES_DIGIT(row, 27, x, 3))
#define BITC_NIBBLES_4(row, x) \
    BITC_NIBBLES_COUNT(row, x), BITC_NIBBLES_COUNT(row, (x) + 1), BITC_NIBBLES_COUNT(row, (x) + 2), BITC_NIBBLES_COUNT(row, (x) + 3)
#define BITC_NIBBLES_ROW(row) {BITC_NIBBLES_4(row, 0), BITC_NIBBLES_4(row, 4), BITC_NIBBLES_4(row, 8), BITC_NIBBLES_4(row, 12)}
#define BITC_NIBBLES_ROWS_3(row) BITC_NIBBLES_ROW(row), BITC_NIBBLES_ROW((row) + 1), BITC_NIBBLES_ROW((row) + 2)
#define BITC_NIBBLES_ROWS_9(row) BITC_NIBBLES_ROWS_3(row), BITC_NIBBLES_ROWS_3((row) + 3), BITC_NIBBLES_ROWS_3((row) + 6)
#define BITC_NIBBLES_ROWS_27(row) BITC_NIBBLES_ROWS_9(row), BITC_NIBBLES_ROWS_9((row) + 9), BITC_NIBBLES_ROWS_9((row) + 18)

BITC_ALIGN(64) static const uint8_t bitc_nibbles_rows[81][16] = {BITC_NIBBLES_ROWS_27(0), BITC_NIBBLES_ROWS_27(27),
                                                                 BITC_NIBBLES_ROWS_27(54)};

/* Entries of a node come in multiples of this, filled up with some of row 0. */
#define BITC_NIBBLES_FILL 4

/* counts = +-up + constant + 2*sum; of a root, up NULL, the sum itself. */
typedef struct bitc_nibbles_step {
    const int16_t *up;
    int32_t negated, constant;
} bitc_nibbles_step;

/* Where the byte of an entry lies, and its row. */
BITC_INLINE const uint8_t *bitc_nibbles_at(const uint8_t *from, uint32_t entry) { return from + (entry >> 11); }
BITC_INLINE const uint8_t *bitc_nibbles_row(uint32_t entry) {
    return (const uint8_t *)&bitc_nibbles_rows + (entry & 0x7F0);
}

#endif
