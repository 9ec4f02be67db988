"""Kernels that skip nibbles along trees against counts by definition, bit for bit, on every instruction set; so are the IR's meanings of
their ops.

The tables come from ``bitc.ir.skipping``: they are checked with the kernels that read them. Cases are those of ``test_sliced.py``.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from bitc.ir.channel_tree import channel_tree
from bitc.ir.k_skip import SkipAcc, SkipBits
from bitc.ir.packing import pack_bits, words_of
from bitc.ir.skipping import (
    FILL,
    GROUP,
    LANES,
    MOST_VECTORS,
    lane_classes,
    limit_codes,
    nibble_planes,
    skips_of,
    touched_nibbles,
)

from .harness import Kernels, guarded, kernels
from .test_sliced import INT32, Case, Prepared, for_each_isa_of_its_own


class Skipping:
    """The operands of a case, and its counts by definition [OH, OW, M]."""

    def __init__(self, case: Case, isa: str, rng: np.random.Generator, weights: npt.NDArray[np.int64] | None = None):
        made = Prepared(case, isa, rng, weights)
        self.case, self.isa, self.rng = case, isa, rng
        self.x, self.pops, self.signs, self.class_of = made.x, made.pops, made.signs, made.class_of
        self.rows, self.columns = np.ascontiguousarray(made.rows), np.ascontiguousarray(made.columns)
        self.attrs = {
            key: made.attrs[key] for key in made.attrs.keys() - {"counter_planes", "triples", "lanes", "slots"}
        }
        self.layout = nibble_planes(self.attrs)
        self.skips = skips_of(self.signs, case.group, case.planes[0], self.layout)
        self.attrs |= {"slots": self.skips.slots, "lanes": self.layout.lanes}

    def geometry(self) -> tuple[object, list[object]]:
        """The C struct, and what it points to."""
        case, k, layout, one = self.case, self.kernel, self.layout, self.case.classes == (1, 1)
        _, _, columns, words = self.x.shape
        fields = {
            "out_h": case.size[0], "out_w": case.size[1], "out_c": case.channels,
            "in_row_words": columns * words, "in_pixel_words": words, "step_h": case.strides[0], "step_w": case.strides[1],
            "pitch": layout.geometry.pitch, "furthest": layout.furthest,
            "phases": len(layout.geometry.phases), "phase": k.pointer(layout.geometry.phases),
            "vectors": layout.vectors, "vector_bytes": layout.vector_bytes, "plane_bytes": layout.plane_bytes,
            "slots": self.skips.slots, "groups": -(-case.classes[0] * case.classes[1] // GROUP), "col_classes": case.classes[1],
            "row_class": k.pointer(None if one else self.rows), "col_class": k.pointer(None if one else self.columns),
        }  # fmt: skip
        return k.ffi.new("bitc_skip *", fields), [layout]

    def parts(self) -> list[tuple[int, int]]:
        """Lanes of the calls that make the whole: the first block by itself, then all others."""
        lanes, blocks = self.layout.lanes, self.layout.blocks
        return [(0, lanes), (lanes, blocks * lanes)] if blocks > 1 else [(0, lanes)]

    @property
    def kernel(self) -> Kernels:
        return kernels(f"skip_{self.isa}.h", isa=self.isa)

    def check_acc(self, step: int) -> None:
        case, p, skips = self.case, self.kernel.pointer, self.skips
        base = self.rng.integers(-1000, 1000, (case.classes[0] * case.classes[1], case.channels), np.int32)
        expected = base[self.class_of] - step * self.pops
        meant, scratch = SkipAcc.evaluate(self.x, skips.nodes, skips.entries, base, step=step, **self.attrs)
        np.testing.assert_array_equal(meant[0], expected)
        g, held = self.geometry()
        with guarded(expected.shape, np.int32, align=4) as acc, guarded((scratch.size,), np.uint64) as memory:
            run = getattr(self.kernel, f"bitc_skip_acc_{self.isa}")
            for part in self.parts():
                run(g, p(self.x), p(skips.nodes), p(skips.entries), p(base), step, p(acc), *part, p(memory))
                memory[:] = 0xA5A5A5A5A5A5A5A5
            np.testing.assert_array_equal(acc, expected)
        assert held

    def check_bits(self, limit: npt.NDArray[np.int32], flip: npt.NDArray[np.bool_], gap: int = 1) -> None:
        """``limit`` [planes, classes, M]; output pixels and rows lie ``gap`` words apart."""
        case, p, layout = self.case, self.kernel.pointer, self.layout
        over = self.pops > limit[:, self.class_of]
        expected = np.concatenate([pack_bits(plane ^ flip) for plane in over], axis=-1)
        of_lanes = lane_classes(self.class_of, layout.geometry.pitch, layout.blocks * layout.lanes)
        codes = limit_codes(limit, self.skips.nodes, case.planes[0] * self.signs[0].size)
        tables = (self.skips.nodes, self.skips.entries, of_lanes, codes, pack_bits(flip))
        meant, scratch = SkipBits.evaluate(self.x, *tables, halo=(0, 0, 0, 0), **self.attrs)
        np.testing.assert_array_equal(meant[0], expected)
        pixel = limit.shape[0] * words_of(case.channels) + gap
        row = case.size[1] * pixel + gap
        g, held = self.geometry()
        with guarded((case.size[0], row), np.uint64, align=8) as y, guarded((scratch.size,), np.uint64) as memory:
            untouched = y[0, -1]
            run = getattr(self.kernel, f"bitc_skip_bits_{self.isa}")
            for part in self.parts():
                run(g, p(self.x), *map(p, tables), limit.shape[0], p(y), row, pixel, *part, p(memory))
                memory[:] = 0xA5A5A5A5A5A5A5A5
            got = y[:, : case.size[1] * pixel].reshape(*case.size, pixel)
            np.testing.assert_array_equal(got[..., : expected.shape[-1]], expected)
            if gap:
                assert (got[..., expected.shape[-1] :] == untouched).all(), "words between pixels were written"
                assert (y[:, case.size[1] * pixel :] == untouched).all(), "words between rows were written"
        assert held


def check(isa: str, case: Case, seed: int = 0) -> None:
    """Both kernels; limits lie around the counts so that both answers and equality occur, and some are never or always passed."""
    rng = np.random.default_rng(seed)
    prepared = Skipping(case, isa, rng)
    prepared.check_acc(int(rng.integers(-3, 4)))
    around = prepared.pops.reshape(-1, case.channels)[rng.integers(0, prepared.pops[..., 0].size)]
    shape = (case.planes[1], case.classes[0] * case.classes[1], case.channels)
    limit = (around + rng.integers(-2, 3, shape)).astype(np.int32)
    edges = np.array([INT32.min, -1, 0, case.planes[0] * prepared.signs[0].size, INT32.max])
    limit = np.where(rng.random(shape) < 0.1, rng.choice(edges, shape), limit).astype(np.int32)
    prepared.check_bits(limit, rng.random(case.channels) < 0.4)


@for_each_isa_of_its_own
def test_channel_counts(isa: str) -> None:
    for channels, in_c in itertools.product((1, 2, 31, 33, 65), (1, 3, 32, 63, 65)):
        check(isa, Case(channels, in_c, (1, 1), (2, 3), d=0.2))


@for_each_isa_of_its_own
def test_windows_strides_and_dilations(isa: str) -> None:
    for taps, strides in itertools.product(((1, 1), (3, 3), (2, 5)), ((1, 1), (2, 2), (1, 3), (3, 1))):
        for dilations in ((1, 1), (2, 2), (3, 1)):
            check(isa, Case(7, 5, taps, (4, 6), strides, dilations))


SIZES = [(1, 1), (1, 70), (40, 1), (4, 8), (5, 11), (7, 12), (8, 15), (8, 20), (9, 20), (10, 21), (17, 32), (30, 18)]


@for_each_isa_of_its_own
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_images_of_some_vectors(isa: str, size: tuple[int, int]) -> None:
    check(isa, Case(20, 12, (3, 3), size, classes=(min(3, size[0]), min(3, size[1]))))


def test_sizes_reach_every_number_of_vectors_and_several_blocks() -> None:
    window = {"taps": (3, 3), "strides": (1, 1), "dilations": (1, 1), "planes": 1, "in_channels": 12}
    layouts = [nibble_planes({**window, "size": size}) for size in SIZES]
    assert {layout.vectors for layout in layouts} == set(range(1, MOST_VECTORS + 1))
    assert max(layout.blocks for layout in layouts) > 2
    assert {layout.vector_bytes for layout in layouts} == {LANES, 2 * LANES}


@for_each_isa_of_its_own
@pytest.mark.parametrize("classes", [(1, 1), (1, 3), (3, 3), (5, 5), (7, 9)], ids=str)
def test_border_classes_and_planes(isa: str, classes: tuple[int, int]) -> None:
    for planes in ((1, 1), (2, 1), (3, 2), (1, 3)):
        check(isa, Case(35, 10, (3, 3), (7, 9), planes=planes, classes=classes))


@for_each_isa_of_its_own
@pytest.mark.parametrize("group", [1, 2, 4, 12])
def test_groups_are_trees_of_their_own(isa: str, group: int) -> None:
    """Groups of one, three and five channels share nibbles."""
    check(isa, Case(24, 12, group=group))
    check(isa, Case(12, 60, (1, 1), group=group, planes=(2, 2), classes=(3, 3), d=None))


@for_each_isa_of_its_own
@pytest.mark.parametrize("d", [0.0, 0.005, 0.02, 0.1, 0.3, 0.5, None])
def test_distances(isa: str, d: float | None) -> None:
    """From duplicates and negatives alone to channels that have nothing in common."""
    check(isa, Case(40, 64, classes=(3, 3), d=d), 1)


@for_each_isa_of_its_own
def test_counts_past_every_byte(isa: str) -> None:
    """Rows that agree with the pixels everywhere, or nowhere, in as many nibbles as fill a byte, one more, and the most there can be."""
    for terms in (63 * 4, 64 * 4, 65 * 4, 1500, 32764):
        w = np.ones((6, terms, 1, 1), np.int64)
        w[1::2] = -1
        w[2, : terms // 2] = -1
        prepared = Skipping(Case(6, terms, (1, 1), (2, 3)), isa, np.random.default_rng(2), w)
        prepared.x[:, 0] = 0
        full = pack_bits(np.ones((1, 1, 3, terms), bool))
        prepared.x[:, 1] = full[:, 0]
        prepared.pops[0], prepared.pops[1] = (w[:, :, 0, 0] < 0).sum(1), (w[:, :, 0, 0] > 0).sum(1)
        prepared.check_acc(2)
        for limit in (-1, 0, terms // 2 - 1, terms // 2, terms - 1, terms):
            prepared.check_bits(np.full((1, 1, 6), limit, np.int32), np.zeros(6, bool), gap=0)


def test_entries_are_the_nibbles_that_differ() -> None:
    """Scattered differences touch up to four times as many nibbles as bits that lie together, and equal channels none."""
    w = np.ones((4, 64, 1, 1), np.int64)
    w[1, ::8] = -1
    w[2, :8] = -1
    layout = nibble_planes(
        {"taps": (1, 1), "strides": (1, 1), "dilations": (1, 1), "size": (2, 2), "planes": 1, "in_channels": 64}
    )
    skips = skips_of(w, 1, 1, layout)
    by_channel = {channel: count for _, _, _, count, _, channel in skips.nodes.tolist()}
    assert by_channel == {0: 16, 1: 8, 2: 4, 3: 0}
    used = skips.entries[: sum(by_channel.values())]
    assert sorted(used[used & 0x7F0 > 0].tolist()) == sorted(
        set(used[used & 0x7F0 > 0].tolist()) | set(used.tolist()) - {0}
    )
    assert touched_nibbles(w, 1, 1, [channel_tree(w.reshape(4, -1) < 0)]) == 16 + 8 + 2
    assert all(count % FILL == 0 for count in by_channel.values())
