"""Kernels on planes of pixels against counts by definition, bit for bit, on every instruction set; so are the IR's meanings of their ops.

The tables come from ``bitc.ir.sliced``: walks and tests are checked with the kernels that read them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest

from bitc.ir.k import class_map
from bitc.ir.k_sliced import SlicedAcc, SlicedBits
from bitc.ir.packing import pack_bits, words_of
from bitc.ir.sliced import (
    LANES,
    MOST_TERMS,
    class_masks,
    comparisons_of,
    plane_geometry,
    tables_of,
    triples_of,
    walk_of,
)

from .harness import Kernels, guarded, kernels

INT32 = np.iinfo(np.int32)

for_each_isa_of_its_own = pytest.mark.parametrize("isa", tuple(LANES))
"""The others take the portable kernels."""


@dataclass(frozen=True, slots=True)
class Case:
    """A product of bits: sizes and windows, planes in and out, border classes of rows and columns; ``d``: how much weights differ from
    those of an earlier channel, that may be negated; None: they are random."""

    channels: int
    in_c: int
    taps: tuple[int, int] = (3, 3)
    size: tuple[int, int] = (5, 7)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    planes: tuple[int, int] = (1, 1)
    classes: tuple[int, int] = (1, 1)
    group: int = 1
    d: float | None = 0.1

    def signs(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        shape = (self.channels, self.in_c // self.group, *self.taps)
        w = rng.choice([-1, 1], shape)
        for c in range(1, self.channels) if self.d is not None else ():
            w[c] = w[rng.integers(0, c)] * rng.choice([-1, 1]) * np.where(rng.random(shape[1:]) < self.d, -1, 1)
        return w

    def image(self) -> tuple[int, int]:
        """Rows and columns that the windows read."""
        ends = zip(self.size, self.strides, self.taps, self.dilations, strict=True)
        h, w = ((n - 1) * step + (taps - 1) * dilation + 1 for n, step, taps, dilation in ends)
        return h, w


@dataclass
class Prepared:
    """The operands of a case, and its counts by definition [OH, OW, M]."""

    case: Case
    isa: str
    rng: np.random.Generator
    weights: npt.NDArray[np.int64] | None = None
    tables: bool = False
    attrs: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        case, rng = self.case, self.rng
        self.signs = case.signs(rng) if self.weights is None else self.weights
        h, w = case.image()
        bits = rng.random((1, h, w, case.planes[0], case.in_c)) < 0.5
        self.x = np.concatenate([pack_bits(bits[..., p, :]) for p in range(case.planes[0])], axis=-1)
        self.pops = self._pops(bits)
        planes = case.planes[0]
        self.walk = tables_of(self.signs, planes) if self.tables else walk_of(self.signs, case.group, planes)
        self.rows, self.columns = (
            np.arange(n, dtype=np.uint8) % count for n, count in zip(case.size, case.classes, strict=True)
        )
        one = case.classes == (1, 1)
        self.attrs = {
            "taps": case.taps, "strides": case.strides, "dilations": case.dilations, "at": (0, 0), "size": case.size,
            "channels": case.channels, "in_channels": case.in_c, "planes": case.planes[0], "terms": self.signs[0].size,
            "slots": self.walk.slots, "counter_planes": self.walk.counter_planes, "triples": self.walk.triples, "lanes": LANES[self.isa],
            "row_class": () if one else tuple(self.rows.tolist()), "col_class": () if one else tuple(self.columns.tolist()),
        }  # fmt: skip
        self.class_of = class_map(self.attrs["row_class"], self.attrs["col_class"], case.size)  # type: ignore[arg-type]

    def _pops(self, bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        case = self.case
        (oh, ow), (sh, sw), (dh, dw) = case.size, case.strides, case.dilations
        inside = case.in_c // case.group
        pops = np.zeros((oh, ow, case.channels), np.int64)
        for c, i, j in itertools.product(range(case.channels), range(case.taps[0]), range(case.taps[1])):
            first = c // (case.channels // case.group) * inside
            rows, columns = slice(i * dh, i * dh + (oh - 1) * sh + 1, sh), slice(j * dw, j * dw + (ow - 1) * sw + 1, sw)
            seen = bits[0, rows, columns, :, first : first + inside]
            pops[..., c] += (seen != (self.signs[c, :, i, j] < 0)).sum(axis=(-1, -2))
        return pops

    def geometry(self) -> tuple[object, list[object]]:
        """The C struct, and what it points to."""
        case, k = self.case, self.kernel
        geometry, one = plane_geometry(case.taps, case.strides, case.dilations, case.size), case.classes == (1, 1)
        _, _, columns, words = self.x.shape
        classes = (np.ascontiguousarray(self.rows), np.ascontiguousarray(self.columns))
        fields = {
            "out_h": case.size[0], "out_w": case.size[1], "out_c": case.channels,
            "in_row_words": columns * words, "in_pixel_words": words,
            "in_planes": case.planes[0], "in_channels": case.in_c, "step_h": case.strides[0], "step_w": case.strides[1],
            "pitch": geometry.pitch, "plane_words": geometry.plane_words(case.size, LANES[self.isa]),
            "phases": len(geometry.phases), "taps": len(geometry.taps),
            "phase": k.pointer(geometry.phases), "tap": k.pointer(geometry.taps),
            "counter_planes": self.walk.counter_planes, "slots": self.walk.slots,
            "special": self.walk.special, "triples": self.walk.triples,
            "classes": case.classes[0] * case.classes[1], "row_classes": case.classes[0], "col_classes": case.classes[1],
            "row_class": k.pointer(None if one else classes[0]), "col_class": k.pointer(None if one else classes[1]),
        }  # fmt: skip
        return k.ffi.new("bitc_sliced *", fields), [geometry, classes]

    def parts(self) -> list[tuple[int, int]]:
        """Lanes of the calls that make the whole: the first block by itself, then all others."""
        case, lanes = self.case, LANES[self.isa]
        geometry = plane_geometry(case.taps, case.strides, case.dilations, case.size)
        blocks = geometry.blocks(case.size, lanes)
        return [(0, lanes), (lanes, blocks * lanes)] if blocks > 1 else [(0, lanes)]

    @property
    def kernel(self) -> Kernels:
        return kernels(f"sliced_{self.isa}.h", isa=self.isa)

    def check_acc(self, step: int) -> None:
        case, p = self.case, self.kernel.pointer
        classes = case.classes[0] * case.classes[1]
        base = self.rng.integers(-1000, 1000, (classes, case.channels), np.int32)
        expected = base[self.class_of] - step * self.pops
        walk, ends = self.walk, self.walk.by_channel()
        meant, scratch = SlicedAcc.evaluate(self.x, walk.nodes, walk.terms, ends, base, step=step, **self.attrs)
        np.testing.assert_array_equal(meant[0], expected)
        g, held = self.geometry()
        with guarded(expected.shape, np.int32, align=4) as acc, guarded((scratch.size,), np.uint64) as memory:
            run = getattr(self.kernel, f"bitc_sliced_acc_{self.isa}")
            for part in self.parts():
                run(g, p(self.x), p(walk.nodes), p(walk.terms), p(ends), p(base), step, p(acc), *part, p(memory))
            np.testing.assert_array_equal(acc, expected)
        assert held

    def check_bits(self, limit: npt.NDArray[np.int32], flip: npt.NDArray[np.bool_], gap: int = 1) -> None:
        """``limit`` [planes, classes, M]; output pixels and rows lie ``gap`` words apart."""
        case, p, walk = self.case, self.kernel.pointer, self.walk
        over = self.pops > limit[:, self.class_of]
        expected = np.concatenate([pack_bits(plane ^ flip) for plane in over], axis=-1)
        geometry = plane_geometry(case.taps, case.strides, case.dilations, case.size)
        lanes = geometry.blocks(case.size, LANES[self.isa]) * LANES[self.isa]
        tests = comparisons_of(walk, case.planes[0] * self.signs[0].size, limit, flip, case.classes)
        masks = class_masks(self.class_of, case.classes[0] * case.classes[1], geometry.pitch, lanes)
        tables = (walk.nodes, walk.terms, tests.flags, tests.codes, masks)
        meant, scratch = SlicedBits.evaluate(self.x, *tables, halo=(0, 0, 0, 0), **self.attrs)
        np.testing.assert_array_equal(meant[0], expected)
        pixel = limit.shape[0] * words_of(case.channels) + gap
        row = case.size[1] * pixel + gap
        g, held = self.geometry()
        with guarded((case.size[0], row), np.uint64, align=8) as y, guarded((scratch.size,), np.uint64) as memory:
            untouched = y[0, -1]
            run = getattr(self.kernel, f"bitc_sliced_bits_{self.isa}")
            for part in self.parts():
                run(g, p(self.x), *map(p, tables), limit.shape[0], p(y), row, pixel, *part, p(memory))
                memory[:] = 0xA5A5A5A5A5A5A5A5
            got = y[:, : case.size[1] * pixel].reshape(*case.size, pixel)
            np.testing.assert_array_equal(got[..., : expected.shape[-1]], expected)
            if gap:
                assert (got[..., expected.shape[-1] :] == untouched).all(), "words between pixels were written"
                assert (y[:, case.size[1] * pixel :] == untouched).all(), "words between rows were written"
        assert held


def check(isa: str, case: Case, seed: int = 0, tables: bool = False) -> None:
    """Both kernels; limits lie around the counts so that both answers and equality occur, and some are never or always passed."""
    rng = np.random.default_rng(seed)
    prepared = Prepared(case, isa, rng, tables=tables)
    prepared.check_acc(int(rng.integers(-3, 4)))
    around = prepared.pops.reshape(-1, case.channels)[rng.integers(0, prepared.pops[..., 0].size)]
    shape = (case.planes[1], case.classes[0] * case.classes[1], case.channels)
    limit = (around + rng.integers(-2, 3, shape)).astype(np.int32)
    edges = np.array([INT32.min, -1, 0, case.planes[0] * prepared.signs[0].size, INT32.max])
    limit = np.where(rng.random(shape) < 0.1, rng.choice(edges, shape), limit).astype(np.int32)
    prepared.check_bits(limit, rng.random(case.channels) < 0.4)


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
        prepared = Prepared(Case(6, terms, (1, 1), (2, 3)), isa, np.random.default_rng(2), w, tables)
        prepared.x[:, 0] = 0
        full = pack_bits(np.ones((1, 1, 3, terms), bool))
        prepared.x[:, 1] = full[:, 0]
        prepared.pops[0], prepared.pops[1] = (w[:, :, 0, 0] < 0).sum(1), (w[:, :, 0, 0] > 0).sum(1)
        prepared.check_acc(2)
        for limit in (-1, 0, 1, terms // 2 - 1, terms // 2, terms - 1, terms):
            prepared.check_bits(np.full((1, 1, 6), limit, np.int32), np.zeros(6, bool), gap=0)


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
