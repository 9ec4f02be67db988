"""Convolutions by table look-up against sums over the table, bit for bit, and the interleaving of planes."""

import itertools

import numpy as np
import pytest

from bitc.ir.packing import WeightForm, pack_weights
from bitc.ir.pairs import interleave, pack_pairs, pair_words, table_of

from .harness import guarded, kernels
from .packing import pack, words_of

CHANNELS = (1, 31, 32, 33, 64, 65, 96)
OUTPUTS = (1, 8, 31, 33, 65)
FORMS = {"portable": WeightForm(8), "avx2": WeightForm(32, byte_rows=True)}


@pytest.mark.parametrize("isa", FORMS)
@pytest.mark.parametrize("largest", [2, 15])
def test_sums_of_what_pairs_are_worth(isa: str, largest: int) -> None:
    kernel = kernels(f"bpairs_{isa}.h", isa=isa)
    rng, p, form = np.random.default_rng(8), kernel.pointer, FORMS[isa]
    for c, k, taps, (oh, ow) in itertools.product(CHANNELS, OUTPUTS, (1, 3), ((1, 1), (2, 5))):
        matrix = rng.integers(0, largest + 1, (4, 4)).astype(np.uint8)
        if taps == 3:
            matrix[:] = largest  # sums as large as they get
        x, w = rng.integers(0, 4, (oh + taps - 1, ow + taps, c)), rng.integers(0, 4, (k, taps, taps, c))
        words = pair_words(c)
        bits = np.stack([w & 1, w >> 1], axis=-1).reshape(k, taps, taps, 2 * c).transpose(0, 3, 1, 2)
        packed, table = pack_weights(np.where(bits, -1, 1), 1, form), table_of(matrix)
        base = np.zeros((6, packed.shape[0] * form.block), np.int32)
        base[:, :k] = rng.integers(-9, 9, (6, k))
        row_class, col_class = rng.integers(0, 3, oh).astype(np.uint8), rng.integers(0, 2, ow).astype(np.uint8)
        row = x.shape[1] * words
        fields = {"out_w": ow, "out_c": k, "in_row_words": row, "in_pixel_words": words, "step_h": 1, "step_w": 1}
        fields |= {"taps_h": taps, "taps_w": taps, "tap_row_words": row, "tap_words": words, "run_words": words}
        fields |= {"classes": 6, "col_classes": 2, "row_class": p(row_class), "col_class": p(col_class)}
        g = kernel.ffi.new("bitc_bconv *", fields)
        padded = np.zeros((*x.shape[:2], 32 * words), np.int64)
        padded[..., :c] = x
        weights = np.zeros((k, taps, taps, 32 * words), np.int64)
        weights[..., :c] = w
        wanted = np.zeros((oh, ow, k), np.int64)
        for i, j in itertools.product(range(taps), range(taps)):
            worth = matrix[padded[i : i + oh, j : j + ow, np.newaxis], weights[:, i, j]]
            wanted += worth.sum(axis=-1, dtype=np.int64)
        source = pack_pairs(x)
        with guarded((oh, ow, k), np.int32) as acc:
            run = getattr(kernel, f"bitc_pairs_acc_{isa}")
            run(g, p(source), p(packed), p(table), p(base), 3, p(acc), 0, oh)
            classes = row_class[:, np.newaxis].astype(np.intp) * 2 + col_class
            np.testing.assert_array_equal(acc, base[classes][..., :k] - 3 * wanted)


def test_long_sums_are_exact() -> None:
    for isa, form in FORMS.items():
        kernel = kernels(f"bpairs_{isa}.h", isa=isa)
        p, words, k = kernel.pointer, 300, 33
        packed = pack_weights(np.ones((k, 64 * words, 1, 1)), 1, form)
        table, base = table_of(np.full((4, 4), 15)), np.zeros((1, packed.shape[0] * form.block), np.int32)
        fields = {"out_w": 1, "out_c": k, "in_row_words": words, "in_pixel_words": words, "step_h": 1, "step_w": 1}
        fields |= {"taps_h": 1, "taps_w": 1, "tap_row_words": words, "tap_words": words, "run_words": words}
        g = kernel.ffi.new("bitc_bconv *", {**fields, "classes": 1, "col_classes": 1})
        x = np.zeros(words, np.uint64)
        with guarded((k,), np.int32) as acc:
            getattr(kernel, f"bitc_pairs_acc_{isa}")(g, p(x), p(packed), p(table), p(base), 1, p(acc), 0, 1)
            np.testing.assert_array_equal(acc, np.full(k, -15 * 32 * words))


def test_interleave_joins_the_planes_of_a_channel() -> None:
    kernel = kernels("bpack_portable.h", isa="portable")
    rng, p = np.random.default_rng(9), kernel.pointer
    for c, planes in itertools.product((1, 31, 32, 33, 63, 64, 65, 129), (1, 2, 3)):
        index = rng.integers(0, planes + 1, (3, c))
        x = np.concatenate([pack(index <= plane) for plane in range(planes)], axis=1)
        with guarded((3, words_of(2 * c)), np.uint64, align=8) as y:
            kernel.bitc_interleave(p(x), 3, c, planes, p(y))
            np.testing.assert_array_equal(y, interleave(x, planes, c))
            if planes == 3:
                np.testing.assert_array_equal(y, pack_pairs(3 - index))
