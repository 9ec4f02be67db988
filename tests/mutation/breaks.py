"""Deliberate breaks of the kernels: off-by-one taps, wrong border classes, turned comparisons, lost tails. One test must see each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Break:
    """The first ``old`` of ``runtime/<file>`` becomes ``new``; ``tests``, a module of tests/runtime and words for -k, must fail."""

    family: str
    what: str
    file: str
    old: str
    new: str
    tests: str

    @property
    def name(self) -> str:
        """For reports."""
        return f"{self.file.removesuffix('.h')}: {self.what}"


PORTABLE, AVX2, AVX512, NEON = " -k portable", " -k avx2", " -k avx512", " -k neon"
BCONV, GROUPED, PACK, PAIRS = "test_bconv.py", "test_bconv_grouped.py", "test_bpack.py", "test_bpairs.py"
FCONV, GEMM, POOL, REDUCE = "test_f32_conv.py", "test_f32_gemm.py", "test_f32_pool.py", "test_f32_reduce.py"
ICONV, IDEPTH, WINOGRAD, PLAIN = "test_iconv.py", "test_idepthwise.py", "test_iwinograd.py", "test_plain_products.py"
SLICED, FUNCTIONS, DOTS, EVENTS = "test_sliced.py", "test_functions.py", "test_bdots.py", "test_f32_events.py"
SPARSE = "test_f32_sparse.py"
DELTAS = "test_deltas.py"
TAP, RIGHT = "i < g->taps_h; i++", "(ptrdiff_t)j * g->tap_words"

BREAKS = (
    Break(
        "events",
        "a row of the window too few",
        "f32_events_portable.h",
        "tap < g->taps_h",
        "tap + 1 < g->taps_h",
        EVENTS + PORTABLE,
    ),
    Break(
        "events", "weights of the tap before", "f32_events.h", "g->taps_w - at", "g->taps_w - at - 1", EVENTS + PORTABLE
    ),
    Break(
        "events", "the last event of a window", "f32_events.h", "- starts[at];", "- starts[at] - 1;", EVENTS + PORTABLE
    ),
    Break(
        "events", "a lost tail of channels", "f32_events_avx2.h", "for (; c < end; c++)", "for (; 0;)", EVENTS + AVX2
    ),
    Break("events", "channels of the next block", "f32_events_avx512.h", "0xff : ", "0x7f : ", EVENTS + AVX512),
    Break("events", "NaN is no event", "f32_events_avx2.h", "_CMP_EQ_OQ", "_CMP_EQ_UQ", EVENTS + AVX2),
    Break(
        "sparse products",
        "a lost place",
        "f32_sparse_portable.h",
        "for (; q < count; q++)",
        "for (; q + 1 < count; q++)",
        SPARSE + PORTABLE,
    ),
    Break(
        "sparse products",
        "rows of the image as long as those of the result",
        "f32_sparse.h",
        "if (++column == g->pitch)",
        "if (++column == g->out_w)",
        SPARSE + PORTABLE,
    ),
    Break(
        "sparse products",
        "zeros of what is not finite",
        "f32_sparse.h",
        "return sum == 0.0f;",
        "return sum >= 0.0f || n > 0;",
        SPARSE + PORTABLE,
    ),
    Break(
        "sparse products",
        "a sum of four taken twice",
        "f32_sparse.h",
        "(sum[2] + sum[3])",
        "(sum[2] + sum[2])",
        SPARSE + " -k dots",
    ),
    Break(
        "sparse products",
        "the last vector behind the others",
        "f32_sparse_avx2.h",
        "made + 8 * last",
        "made + 64 * (vectors - 1)",
        SPARSE + AVX2,
    ),
    Break("bits", "one row of taps too few", "bconv_portable.h", TAP, "i + 1 < g->taps_h; i++", BCONV + PORTABLE),
    Break(
        "bits",
        "taps one pixel to the right",
        "bconv_portable.h",
        RIGHT,
        "(ptrdiff_t)(j + 1) * g->tap_words",
        BCONV + PORTABLE,
    ),
    Break(
        "bits", "counters emptied too late", "bconv_portable.h", "FULL = 255 / 8", "FULL = 255 / 4", BCONV + PORTABLE
    ),
    Break(
        "bits",
        "border class of the row alone",
        "bconv.h",
        "row * g->col_classes + col",
        "row * g->col_classes + col / 2",
        BCONV + PORTABLE,
    ),
    Break(
        "bits",
        "border class of the row above",
        "bconv.h",
        "g->row_class[y]",
        "g->row_class[y ? y - 1 : 0]",
        BCONV + PORTABLE,
    ),
    Break("bits", "twins without a second look", "bconv.h", "if (differing) return 0;", "", BCONV + PORTABLE),
    Break("bits", "twins counted once", "bconv_avx2.h", "pop[p][c] *= 2", "pop[p][c] *= 1", BCONV + AVX2),
    Break("bits", "threshold direction", "bconv_block8.h", "pop[c] > over[c]", "pop[c] < over[c]", BCONV + PORTABLE),
    Break(
        "bits", "threshold met by equality", "bconv_block8.h", "pop[c] > over[c]", "pop[c] >= over[c]", BCONV + PORTABLE
    ),
    Break(
        "bits",
        "flipped channels not flipped",
        "bconv_block8.h",
        "(bits ^ flipped) << shift",
        "(bits | (flipped & 0)) << shift",
        BCONV + PORTABLE,
    ),
    Break(
        "bits",
        "threshold table of the first plane",
        "bconv_block8.h",
        "plane * g->classes + bitc_bconv_class",
        "0 * plane * g->classes + bitc_bconv_class",
        BCONV + PORTABLE,
    ),
    Break(
        "bits", "the second pixel of a tile is the first", "bconv_avx2.h", "(x + stride) : x0", "(x) : x0", BCONV + AVX2
    ),
    Break(
        "bits by groups",
        "one tap too few",
        "bconv_grouped_avx2.h",
        "j < g->taps_w; j++",
        "j + 1 < g->taps_w; j++",
        GROUPED + AVX2,
    ),
    Break(
        "weights from differences",
        "no complements",
        "deltas.h",
        "(valid & turn)",
        "(valid & turn & 0)",
        DELTAS + PORTABLE,
    ),
    Break(
        "weights from differences",
        "the tap before",
        "deltas.h",
        "at - tap >= g->tap_bits",
        "at - tap > g->tap_bits",
        DELTAS + PORTABLE,
    ),
    Break(
        "weights from differences",
        "long runs cut short",
        "deltas.h",
        "if (!(v >> zeros & 1)) continue;",
        "",
        DELTAS + PORTABLE,
    ),
    Break(
        "weights from differences", "the first plane alone", "deltas.h", "u < copied", "u < 0 * copied", DELTAS + AVX2
    ),
    Break(
        "packing",
        "threshold direction of floats",
        "bpack_portable.h",
        "!(from[k] >= at[k])",
        "!(from[k] <= at[k])",
        PACK + PORTABLE,
    ),
    Break(
        "packing",
        "threshold of integers met by equality",
        "bpack_portable.h",
        "(from[k] < at[k]) << k",
        "(from[k] <= at[k]) << k",
        PACK + PORTABLE,
    ),
    Break(
        "packing",
        "falling channels taken as rising",
        "bpack_portable.h",
        "(above & down[word])",
        "(below & down[word])",
        PACK + PORTABLE,
    ),
    Break(
        "packing",
        "bits moved the other way",
        "bpack_portable.h",
        "from << step[2] | from >> (-step[2] & 63)",
        "from >> step[2] | from << (-step[2] & 63)",
        PACK + PORTABLE,
    ),
    Break(
        "packing",
        "a lost tail of channels",
        "bpack_avx2.h",
        "c - 64 * word < 64 ? c - 64 * word : 64",
        "c - 64 * word < 64 ? c - 64 * word - 1 : 64",
        PACK + AVX2,
    ),
    Break(
        "rows by rows", "any two planes are equal", "bdots.h", "!memcmp(row, row + words,", "!memcmp(row, row,", DOTS
    ),
    Break("rows by rows", "the other side's middle", "bdots.h", "g->y.ends * g->x.step", "g->x.ends * g->x.step", DOTS),
    Break(
        "rows by rows",
        "a nibble too few",
        "bdots_portable.h",
        "UINT64_C(0x0101010101010101) >> 56",
        "UINT64_C(0x0101010101010100) >> 56",
        DOTS,
    ),
    Break(
        "pairs",
        "one tap too few",
        "bpairs_portable.h",
        "j < g->taps_w; j++",
        "j + 1 < g->taps_w; j++",
        PAIRS + PORTABLE,
    ),
    Break(
        "pairs",
        "border class of the pixel before",
        "bpairs_avx2.h",
        "bitc_bconv_class(g, y, px + p)",
        "bitc_bconv_class(g, y, px)",
        PAIRS + AVX2,
    ),
    Break("pool of bits", "one tap too few", "bpool_portable.h", "j < j1; j++", "j + 1 < j1; j++", "test_bpool.py"),
    Break(
        "pool of bits",
        "padding off by one",
        "bpool_portable.h",
        "row * g->stride_h - g->pad_top",
        "row * g->stride_h - g->pad_top + 1",
        "test_bpool.py",
    ),
    Break(
        "pool of bits",
        "the minimum for the maximum",
        "bpool_portable.h",
        "y[i] &= x[i] ^ minimum[i]",
        "y[i] |= x[i] ^ minimum[i]",
        "test_bpool.py",
    ),
    Break(
        "float products",
        "a row of signs exchanged",
        "f32_tile_portable.h",
        "{-1, 1, 1, 1},   {1, -1, 1, 1}",
        "{1, -1, 1, 1},   {-1, 1, 1, 1}",
        FCONV + " -k 'w1 or sign or packed or portable'",
    ),
    Break(
        "float products",
        "one channel too few stored",
        "f32_tile_portable.h",
        "bitc_fmin32(8, n)",
        "bitc_fmin32(7, n)",
        FCONV + PORTABLE,
    ),
    Break(
        "float depthwise",
        "one row of taps too few",
        "f32_depthwise_portable.h",
        "r < g->taps_h; r++",
        "r + 1 < g->taps_h; r++",
        FCONV + PORTABLE,
    ),
    Break(
        "float matrices",
        "the matrix before",
        "f32_gemm_portable.h",
        "o * s->w_outer + i * s->w_inner",
        "o * s->w_outer",
        GEMM + PORTABLE,
    ),
    Break(
        "float pools",
        "padding off by one",
        "f32_pool.h",
        "oy * g->step_h - g->pad_top",
        "oy * g->step_h - g->pad_top + 1",
        POOL,
    ),
    Break("float pools", "NaN does not win", "f32_pool.h", "((b > a) | (b != b)) ? b : a", "(b > a) ? b : a", POOL),
    Break("reductions", "NaN does not win", "f32_reduce.h", "b > a : b < a) | (b != b)", "b > a : b < a)", REDUCE),
    Break(
        "reductions",
        "the minimum of bytes",
        "reduce.h",
        "bitc_reduce_max_u8, uint8_t, uint8_t, b > a",
        "bitc_reduce_max_u8, uint8_t, uint8_t, b < a",
        "test_any_type.py",
    ),
    Break("functions", "the error function's far form too late", "f32_erf.h", "a < 0.92f", "a < 1.92f", FUNCTIONS),
    Break("functions", "no sign", "f32_tanh.h", "bitc_fwith_sign(bitc_fpick(a", "(bitc_fpick(a", FUNCTIONS),
    Break(
        "softmax",
        "the logarithm of another sum",
        "f32_softmax.h",
        "log ? x[k + i] - top : bitc_fexp(x[k + i] - top)",
        "log ? x[k + i] : bitc_fexp(x[k + i] - top)",
        REDUCE,
    ),
    Break(
        "selection",
        "the last of equals",
        "f32_select.h",
        "least ? v < best : v > best",
        "least ? v <= best : v >= best",
        "test_f32_select.py",
    ),
    Break(
        "selection",
        "equals in the wrong order",
        "f32_select.h",
        "a != b ? a > b : i < j",
        "a != b ? a > b : i > j",
        "test_f32_select.py",
    ),
    Break(
        "selection",
        "the last of equals of any type",
        "select.h",
        "(last && a == b)",
        "(!last && a == b)",
        "test_any_type.py",
    ),
    Break(
        "running sums",
        "inclusive is exclusive from the second on",
        "cumsum.h",
        "exclusive ? y[at] : (type)sum",
        "k > 0 ? y[at] : (type)sum",
        "test_any_type.py",
    ),
    Break(
        "integer products",
        "terms left over",
        "iconv_portable.h",
        "for (; m < out_c; m++)",
        "for (; m + 1 < out_c; m++)",
        ICONV + PORTABLE,
    ),
    Break(
        "integer products",
        "the base is not added",
        "iconv_portable.h",
        "y[0] += a, y[1] += b, y[2] += c, y[3] += d;",
        "y[0] = a, y[1] += b, y[2] += c, y[3] += d;",
        ICONV + PORTABLE,
    ),
    Break(
        "integer products",
        "pixels past the second are shifted",
        "iconv.h",
        "p < count ? bitc_iconv_next(g, cursor) : at[p - 1]",
        "p < count ? bitc_iconv_next(g, cursor) + (p > 1) : at[p - 1]",
        ICONV + AVX2,
    ),
    Break(
        "integer products",
        "entries left over",
        "iconv_tile_avx2.h",
        "r < g->runs_h; r++",
        "r + 1 < g->runs_h; r++",
        ICONV + AVX2,
    ),
    Break(
        "placed bytes",
        "the first entry twice",
        "iconv_placed_avx2.h",
        "*places >= 0; places++, w += 64",
        "*places > 0; places++, w += 64",
        ICONV,
    ),
    Break(
        "integer depthwise",
        "one tap too few",
        "idepthwise_portable.h",
        "t < g->taps_w; t++",
        "t + 1 < g->taps_w; t++",
        IDEPTH + PORTABLE,
    ),
    Break(
        "integer depthwise",
        "the last tap is the one before",
        "idepthwise_avx2.h",
        "t + 1 < taps ? next : k",
        "t + 2 < taps ? next : k",
        IDEPTH + AVX2,
    ),
    Break(
        "Winograd",
        "a sign of the transform",
        "iwinograd_avx2.h",
        "_mm256_sub_epi16(t[1], t[3])",
        "_mm256_sub_epi16(t[3], t[1])",
        WINOGRAD + AVX2,
    ),
    Break(
        "Winograd",
        "the odd column is dropped",
        "iwinograd_avx2.h",
        "j + right < g->out_w",
        "j + right + 1 < g->out_w",
        WINOGRAD + AVX2,
    ),
    Break(
        "coded products",
        "the third field lost",
        "icoded_portable.h",
        "sums[0] += a, sums[1] += b, sums[2] += c, sums[3] += d;",
        "sums[0] += a, sums[1] += b, sums[3] += d;",
        "test_icoded.py" + PORTABLE,
    ),
    Break(
        "integer pools",
        "the minimum for the maximum",
        "ipool.h",
        "x[c] > y[c] ? x[c] : y[c]",
        "x[c] < y[c] ? x[c] : y[c]",
        "test_ipool.py",
    ),
    Break(
        "integer pools",
        "padding off by one",
        "ipool.h",
        "oy * g->step_h - g->pad_top",
        "oy * g->step_h - g->pad_top + 1",
        "test_ipool.py",
    ),
    Break("plain products", "one tap too few", "plain_conv.h", "c < g->taps_w; c++", "c + 1 < g->taps_w; c++", PLAIN),
    Break("plain products", "one term too few", "matmul.h", "k < g->k; k++", "k + 1 < g->k; k++", PLAIN),
    Break(
        "copies",
        "a lost column",
        "copy.h",
        "shape[1] - left < BITC_COPY_TILE ? shape[1]",
        "shape[1] - left < BITC_COPY_TILE ? shape[1] - 1",
        "test_copy.py",
    ),
    Break(
        "lookups", "negative indices not counted from the end", "index.h", "v + length : v;", "v : v;", "test_index.py"
    ),
    Break(
        "lookups",
        "an index beyond the end",
        "index.h",
        "v >= length ? length - 1 : v",
        "v >= length ? 0 : v",
        "test_index.py",
    ),
    Break(
        "bits",
        "byte counters emptied too late",
        "bconv_pops_neon.h",
        "FULL = 255 / 8",
        "FULL = 255 / 4",
        BCONV + NEON,
    ),
    Break("bits", "border class of the tile's first pixel", "bconv_neon.h", "y, at.x + p)", "y, at.x)", BCONV + NEON),
    Break(
        "bits",
        "threshold met by equality",
        "bconv_neon.h",
        "vcgtq_s32(pops[p].high",
        "vcgeq_s32(pops[p].high",
        BCONV + NEON,
    ),
    Break(
        "bits by groups",
        "the mask lost",
        "bconv_pops_neon.h",
        "if (mask) differing",
        "if (0) differing",
        GROUPED + NEON,
    ),
    Break(
        "packing",
        "NaN is above every threshold",
        "bpack_neon.h",
        "(uint64_t)!(x[k] >= thr[k])",
        "(uint64_t)(x[k] < thr[k])",
        PACK + NEON,
    ),
    Break("packing", "the order of bits", "bits_neon.h", "{1, 2, 4, 8,", "{2, 1, 4, 8,", PACK + NEON),
    Break(
        "float products",
        "one term too few",
        "f32_tile_neon.h",
        "for (; k < end; k++, i++)",
        "for (; k + 1 < end; k++, i++)",
        FCONV + NEON,
    ),
    Break(
        "float products", "a sign in the wrong place", "f32_tile_neon.h", "{1, 2, 4, 8,", "{2, 1, 4, 8,", FCONV + NEON
    ),
    Break(
        "float depthwise",
        "one row of taps too few",
        "f32_depthwise_neon.h",
        "r < g->taps_h; r++",
        "r + 1 < g->taps_h; r++",
        FCONV + NEON,
    ),
    Break(
        "float matrices",
        "the matrix before",
        "f32_gemm_neon.h",
        "o * s->w_outer + i * s->w_inner",
        "o * s->w_outer",
        GEMM + NEON,
    ),
    Break(
        "integer products", "a lost lane", "iconv_neon.h", "BITC_ILANE_NEON(5);", "BITC_ILANE_NEON(4);", ICONV + NEON
    ),
    Break(
        "integer products",
        "pixels past the block",
        "iconv_walk_neon.h",
        "left > 2 ? bitc_imin32(8, left) : 1",
        "left > 2 ? 8 : 1",
        ICONV + NEON,
    ),
    Break(
        "integer products",
        "128 is not taken back",
        "iconv_neon_dot.h",
        "vshlq_n_s32(all.high, 7)",
        "vshlq_n_s32(all.high, 6)",
        ICONV + NEON,
    ),
    Break("integer products", "two pixels exchanged", "iconv_neon_i8mm.h", "p % 2 == 0", "p % 2 == 1", ICONV + NEON),
    Break(
        "integer depthwise",
        "one tap too few",
        "idepthwise_neon.h",
        "t < g->taps_w; t++",
        "t + 1 < g->taps_w; t++",
        IDEPTH + NEON,
    ),
    Break("half floats", "infinity too early", "half.h", "rounded > 65504.0", "rounded >= 65504.0", "test_half.py"),
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
        "flip = bitc_lanes_fill(!node[2]);",
        "flip = bitc_lanes_fill(1);",
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
        "s[k] = bitc_lanes_xor(s[k], flip);",
        "s[k] = bitc_lanes_xor(s[k], none);",
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
)
