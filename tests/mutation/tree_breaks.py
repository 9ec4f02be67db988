"""Deliberate breaks of the kernels whose lanes are pixels: along trees of channels, adding or skipping."""

from __future__ import annotations

from mutation.entry import AVX2, PORTABLE, Break

SLICED, SKIP = "test_sliced.py", "test_skip.py"

TREE_BREAKS = (
    Break(
        "bits by trees",
        "the parity t is never kept",
        "sliced_sums.h",
        "r->g->special + 1), sum[0]);",
        "r->g->special + 1), sum[1]);",
        SLICED + PORTABLE,
    ),
    Break(
        "bits by trees",
        "a parent is not negated",
        "sliced_sums.h",
        "flip = bitc_lanes_fill(node[2]);",
        "flip = bitc_lanes_fill(0);",
        SLICED + PORTABLE,
    ),
    Break("bits by trees", "taps one lane on", "sliced.h", "+ tap[1];", "+ tap[1] + 1;", SLICED + PORTABLE),
    Break(
        "bits by trees",
        "the top plane is never flipped",
        "sliced_ends.h",
        "bitc_lanes_fill(flags & 1)",
        "bitc_lanes_fill(0)",
        SLICED + PORTABLE,
    ),
    Break(
        "bits by trees",
        "terms are added that are to be taken off",
        "sliced_sums.h",
        "s, sum, most, 1);",
        "s, sum, most, 0);",
        SLICED + PORTABLE,
    ),
    Break(
        "bits by trees",
        "a borrow where nothing is left to take from",
        "lanes_portable.h",
        "borrow = a ^ ((b ^ *s) & t);",
        "borrow = a ^ ((a ^ *s) & t);",
        SLICED + PORTABLE,
    ),
    Break(
        "bits by trees",
        "lanes beside an image keep what was counted there",
        "sliced_ends.h",
        "bitc_lanes_and(bitc_lanes_xor(made, around), inside)",
        "bitc_lanes_or(bitc_lanes_xor(made, around), inside)",
        SLICED + PORTABLE,
    ),
    Break(
        "bits by trees",
        "channels of a word get the number of the first",
        "sliced_ends.h",
        "channel = c + k < r->g->out_c ? c + k : c;",
        "channel = c;",
        SLICED + PORTABLE,
    ),
    Break(
        "bits by trees",
        "a table of the wrong signs",
        "sliced_sums.h",
        "bitc_lanes_major(not_a, b, c)",
        "bitc_lanes_major(a, b, c)",
        SLICED + PORTABLE,
    ),
    Break(
        "bits by trees",
        "a carry of the sum alone",
        "lanes_avx2.h",
        "_mm256_xor_si256(a, _mm256_and_si256(_mm256_xor_si256(a, *s), t))",
        "_mm256_and_si256(_mm256_xor_si256(a, *s), t)",
        SLICED + AVX2,
    ),
    Break(
        "bits by trees",
        "rows in another order",
        "turn_avx2.h",
        "(0, 4, 1, 5, 2, 6, 3, 7)",
        "(0, 1, 2, 3, 4, 5, 6, 7)",
        SLICED + AVX2,
    ),
    Break("bits by skipping", "weights of one sign", "nibbles.h", ": 1 - ((x)", ": ((x)", SKIP + PORTABLE),
    Break("bits by skipping", "a parent is not negated", "skip.h", "{up, node[2],", "{up, 0,", SKIP + PORTABLE),
    Break(
        "bits by skipping",
        "half of a vector missing",
        "skip.h",
        "vector_bytes > 32",
        "vector_bytes > 64",
        SKIP + PORTABLE,
    ),
    Break(
        "bits by skipping",
        "flipped channels not flipped",
        "skip.h",
        "pixels[l] ^ turned",
        "pixels[l] ^ (turned & 0)",
        SKIP + PORTABLE,
    ),
    Break(
        "bits by skipping", "bytes emptied too late", "nibbles_avx2.h", "FULL = 255 / 4", "FULL = 255 / 3", SKIP + AVX2
    ),
    Break("bits by skipping", "classes of the first group", "nibbles_avx2.h", "(char)(16 * i)", "(char)0", SKIP + AVX2),
    Break("bits by skipping", "pixels in another order", "nibbles_avx2.h", "(a, b, 0x20)", "(a, b, 0x31)", SKIP + AVX2),
)
