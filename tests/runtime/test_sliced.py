"""Kernels on planes of pixels against counts by definition, bit for bit, on every instruction set; so are the IR's meanings of their ops.

The tables come from ``bitc.ir.sliced``: walks and tests are checked with the kernels that read them.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from bitc.ir.k_sliced import SlicedAcc, SlicedBits, SlicedLanes
from bitc.ir.packing import pack_bits
from bitc.ir.sliced import (
    LANES,
    MOST_TERMS,
    Strip,
    all_lanes,
    class_masks,
    comparisons_of,
    geometry_of,
    tables_of,
    triples_of,
    walk_of,
)

from .harness import guarded, kernels
from .pixel_products import Case, PixelProduct, for_each_isa_of_its_own


class Sliced(PixelProduct):
    """Along trees, or by ``tables``; with a ``first_lane`` x are planes of pixels that are read from there on."""

    family, numbers, bits = "sliced", SlicedAcc, SlicedBits

    def __init__(
        self,
        case: Case,
        isa: str,
        rng: np.random.Generator,
        weights: npt.NDArray[np.int64] | None = None,
        tables: bool = False,
        first_lane: int = -1,
    ) -> None:
        self.first_lane = first_lane
        window = {"taps": case.taps, "strides": case.strides, "dilations": case.dilations, "size": case.size}
        self.planes = geometry_of(window)
        self.plane_words = self.planes.plane_words(case.size, LANES[isa], max(first_lane, 0))
        super().__init__(case, isa, rng, weights)
        planes = case.planes[0]
        self.walk = walk = tables_of(self.signs, planes) if tables else walk_of(self.signs, case.group, planes)
        counters = {"slots": walk.slots, "counter_planes": walk.counter_planes, "triples": walk.triples}
        self.attrs |= {**counters, "lanes": LANES[isa], "first_lane": first_lane}

    def packed(self, bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
        if self.first_lane < 0:
            return super().packed(bits)
        flat = bits.reshape(*bits.shape[:3], -1)
        around = self.rng.random(flat.shape[-1]) < 0.5
        return Strip(flat.shape[2], self.first_lane, self.plane_words).packed(flat, around)

    def geometry(self) -> tuple[object, list[object]]:
        case, k, walk, geometry = self.case, self.kernel, self.walk, self.planes
        taps = geometry.taps + np.array([0, max(self.first_lane, 0)], np.int32)
        fields = {
            **self.fields(),
            **({} if self.first_lane < 0 else {"in_row_words": 0, "in_pixel_words": 0}),
            "in_planes": case.planes[0], "in_channels": case.in_c,
            "pitch": geometry.pitch, "plane_words": self.plane_words,
            "phases": len(geometry.phases), "taps": len(taps),
            "phase": k.pointer(geometry.phases), "tap": k.pointer(taps),
            "counter_planes": walk.counter_planes, "special": walk.special, "triples": walk.triples,
            "classes": case.classes[0] * case.classes[1], "row_classes": case.classes[0],
        }  # fmt: skip
        return k.ffi.new("bitc_sliced *", fields), [geometry, taps]

    def tables_for_numbers(self) -> tuple[npt.NDArray[np.generic], ...]:
        return self.walk.nodes, self.walk.terms, self.walk.by_channel()

    def tables_for_bits(
        self, limit: npt.NDArray[np.int32], flip: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.generic], ...]:
        case, walk = self.case, self.walk
        tests = comparisons_of(walk, case.planes[0] * self.signs[0].size, limit, flip, case.classes)
        classes = case.classes[0] * case.classes[1]
        masks = class_masks(self.class_of, classes, self.planes.pitch, all_lanes(self.attrs))
        return walk.nodes, walk.terms, tests.flags, tests.codes, masks

    def check_planes(self, limit: npt.NDArray[np.int32], flip: npt.NDArray[np.bool_], lead_words: int) -> None:
        """Bits as planes behind ``lead_words`` words, with some words more behind them."""
        p, words = self.kernel.pointer, lead_words + all_lanes(self.attrs) // 64 + int(self.rng.integers(0, 3))
        around = self.rng.random((len(limit), self.case.channels)) < 0.5
        bits = np.concatenate(list((self.pops > limit[:, self.class_of]) ^ flip), axis=-1)
        expected = Strip(self.planes.pitch, lead_words * 64, words).packed(bits[np.newaxis], around.ravel())
        tables = (*self.tables_for_bits(limit, flip), np.concatenate(list(pack_bits(around))))
        sizes = {"lead_words": lead_words, "plane_words": words}
        meant, scratch = SlicedLanes.evaluate(self.x, *tables, **sizes, **self.attrs)
        np.testing.assert_array_equal(meant, expected)
        g, held = self.geometry()
        with guarded(expected.shape, np.uint64, align=8) as y, guarded((scratch.size,), np.uint64) as memory:
            run = getattr(self.kernel, f"bitc_sliced_lanes_{self.isa}")
            for part in self.parts():
                run(g, p(self.x), *map(p, tables), len(limit), p(y), words, lead_words, *part, p(memory))
                memory[:] = 0xA5A5A5A5A5A5A5A5
            np.testing.assert_array_equal(y, expected)
        assert held


def check(isa: str, case: Case, seed: int = 0, tables: bool = False) -> None:
    """All kernels, on packed pixels and on planes."""
    rng = np.random.default_rng(seed)
    made = Sliced(case, isa, rng, tables=tables)
    made.check()
    made.check_planes(*made.limits(), int(rng.integers(0, 3)))
    if case.strides == (1, 1):
        Sliced(case, isa, rng, tables=tables, first_lane=int(rng.integers(0, 130))).check_numbers(2)


@for_each_isa_of_its_own
def test_channel_counts(isa: str) -> None:
    for channels, in_c in itertools.product((1, 2, 31, 33, 65), (1, 32, 63, 64, 65)):
        check(isa, Case(channels, in_c, (1, 1), (2, 3), d=0.2))


@for_each_isa_of_its_own
def test_windows_strides_and_dilations(isa: str) -> None:
    for taps, strides in itertools.product(((1, 1), (3, 3), (2, 5)), ((1, 1), (2, 2), (1, 3), (3, 1))):
        for dilations in ((1, 1), (2, 2), (3, 1)):
            check(isa, Case(7, 5, taps, (4, 6), strides, dilations))


@for_each_isa_of_its_own
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (40, 1), (9, 30), (16, 31), (17, 32), (30, 18)], ids=str)
def test_images_of_some_vectors(isa: str, size: tuple[int, int]) -> None:
    check(isa, Case(20, 12, (3, 3), size, classes=(min(3, size[0]), min(3, size[1]))))


@for_each_isa_of_its_own
@pytest.mark.parametrize("classes", [(1, 1), (1, 3), (3, 1), (3, 3), (5, 5)], ids=str)
def test_border_classes_and_planes(isa: str, classes: tuple[int, int]) -> None:
    for planes in ((1, 1), (2, 1), (3, 2), (1, 3)):
        check(isa, Case(35, 10, (3, 3), (7, 9), planes=planes, classes=classes))


@for_each_isa_of_its_own
@pytest.mark.parametrize("group", [1, 2, 4, 12])
def test_groups_are_trees_of_their_own(isa: str, group: int) -> None:
    check(isa, Case(24, 12, group=group))
    check(isa, Case(12, 60, (1, 1), group=group, planes=(2, 2), classes=(3, 3), d=None))


@for_each_isa_of_its_own
@pytest.mark.parametrize("d", [0.0, 0.005, 0.02, 0.1, 0.3, 0.5, None])
def test_distances(isa: str, d: float | None) -> None:
    """From duplicates and negatives alone to channels that have nothing in common."""
    check(isa, Case(40, 64, classes=(3, 3), d=d), 1)


@for_each_isa_of_its_own
@pytest.mark.parametrize("terms", [2, 3, 4, 5, 8, 9, 10, 26, 27, 28, 64, 81, 82])
def test_tables_of_any_number_of_terms(isa: str, terms: int) -> None:
    """Threes of threes, and what is left over on each level."""
    check(isa, Case(5, terms, (1, 1), (2, 3), d=None), tables=True)


@for_each_isa_of_its_own
def test_tables_of_windows_planes_and_borders(isa: str) -> None:
    for taps, strides, planes in itertools.product(((3, 3), (2, 5)), ((1, 1), (2, 3)), ((1, 1), (2, 1), (3, 2))):
        check(isa, Case(35, 7, taps, (7, 9), strides, planes=planes, classes=(3, 3), d=None), tables=True)
    check(isa, Case(70, 64, size=(9, 40), classes=(5, 5), d=0.1), tables=True)
    check(isa, Case(3, 65, (2, 1), (4, 6), dilations=(2, 2)), tables=True)


@for_each_isa_of_its_own
@pytest.mark.parametrize("tables", [False, True], ids=["trees", "tables"])
def test_counts_past_every_plane(isa: str, tables: bool) -> None:
    """Rows that agree with the pixels everywhere, or nowhere: counters wrap unless their order is kept."""
    for terms in (63, 64, 127, 128, 1024, 1500):
        w = np.ones((6, terms, 1, 1), np.int64)
        w[1::2] = -1
        w[2, : terms // 2] = -1
        made = Sliced(Case(6, terms, (1, 1), (2, 3)), isa, np.random.default_rng(2), w, tables)
        made.fill_with_ends()
        made.check_numbers(2)
        for limit in (-1, 0, 1, terms // 2 - 1, terms // 2, terms - 1, terms):
            made.check_bits(np.full((1, 1, 6), limit, np.int32), np.zeros(6, bool), gap=0)


@pytest.mark.parametrize("isa", ["portable", "avx2"])
def test_bit_matrices_are_turned(isa: str) -> None:
    k = kernels(f"sliced_{isa}.h", isa=isa)
    rows = np.random.default_rng(3).integers(0, 2**64, 32, np.uint64)
    with guarded((32,), np.uint64, align=8) as columns:
        k.bitc_turn(k.pointer(rows), k.pointer(columns))
        bits = np.arange(32, dtype=np.uint64)
        for half in (bits, bits + np.uint64(32)):
            np.testing.assert_array_equal(columns[:, np.newaxis] >> half & 1, (rows[:, np.newaxis] >> half & 1).T)


def test_more_terms_than_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="terms"):
        walk_of(np.ones((1, MOST_TERMS + 1, 1, 1), np.int64), 1, 1)
    for terms in (1, MOST_TERMS // 2 + 3):
        with pytest.raises(ValueError, match=f"{terms} terms"):
            tables_of(np.ones((1, terms, 1, 1), np.int64), 1)


def test_tables_add_half_as_many_planes_as_terms() -> None:
    for terms in (9, 576, 1152, 4608):
        assert triples_of(terms) == pytest.approx(terms / 2, rel=0.02, abs=1)
