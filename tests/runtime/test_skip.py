"""Kernels that skip nibbles along trees against counts by definition, bit for bit, on every instruction set; so are the IR's meanings of
their ops.

The tables come from ``bitc.ir.skipping``: they are checked with the kernels that read them.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from bitc.ir.channel_tree import channel_tree
from bitc.ir.k_skip import SkipAcc, SkipBits
from bitc.ir.packing import pack_bits
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
from bitc.ir.sliced import all_lanes

from .pixel_products import Case, PixelProduct, for_each_isa_of_its_own


class Skipping(PixelProduct):
    """Along trees, four terms at a time."""

    family, numbers, bits = "skip", SkipAcc, SkipBits

    def __init__(
        self, case: Case, isa: str, rng: np.random.Generator, weights: npt.NDArray[np.int64] | None = None
    ) -> None:
        super().__init__(case, isa, rng, weights)
        self.layout = nibble_planes(self.attrs)
        self.skips = skips_of(self.signs, case.group, case.planes[0], self.layout)
        self.attrs |= {"slots": self.skips.slots, "lanes": self.layout.lanes}

    def geometry(self) -> tuple[object, list[object]]:
        case, k, layout = self.case, self.kernel, self.layout
        fields = {
            **self.fields(),
            "pitch": layout.geometry.pitch, "furthest": layout.furthest,
            "phases": len(layout.geometry.phases), "phase": k.pointer(layout.geometry.phases),
            "vectors": layout.vectors, "vector_bytes": layout.vector_bytes, "plane_bytes": layout.plane_bytes,
            "groups": -(-case.classes[0] * case.classes[1] // GROUP),
        }  # fmt: skip
        return k.ffi.new("bitc_skip *", fields), [layout]

    def tables_for_numbers(self) -> tuple[npt.NDArray[np.generic], ...]:
        return self.skips.nodes, self.skips.entries

    def tables_for_bits(
        self, limit: npt.NDArray[np.int32], flip: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.generic], ...]:
        of_lanes = lane_classes(self.class_of, self.layout.geometry.pitch, all_lanes(self.attrs))
        codes = limit_codes(limit, self.skips.nodes, self.case.planes[0] * self.signs[0].size)
        return self.skips.nodes, self.skips.entries, of_lanes, codes, pack_bits(flip)


def check(isa: str, case: Case, seed: int = 0) -> None:
    Skipping(case, isa, np.random.default_rng(seed)).check()


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
        made = Skipping(Case(6, terms, (1, 1), (2, 3)), isa, np.random.default_rng(2), w)
        made.fill_with_ends()
        made.check_numbers(2)
        for limit in (-1, 0, terms // 2 - 1, terms // 2, terms - 1, terms):
            made.check_bits(np.full((1, 1, 6), limit, np.int32), np.zeros(6, bool), gap=0)


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
    assert (used[used > 0] >> 4 & 0x7F).all(), "an entry that counts nothing, but does not fill up"
    assert (used > 0).sum() == touched_nibbles(w, 1, 1, [channel_tree(w.reshape(4, -1) < 0)]) == 16 + 8 + 2
    assert all(count % FILL == 0 for count in by_channel.values())
