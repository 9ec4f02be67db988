"""Convolutions of images that are mostly zeros: lists of what is not zero, and the products over them, against NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

from bitc.ir.k_events import VECTOR, Events, block_of, pack_event_weights
from bitc.ir.numeric import convolve

from .f32_geometry import Array, load
from .harness import Kernels, guarded

ISAS = ("portable", "avx2", "avx512")


@dataclass(frozen=True, slots=True)
class Case:
    """A convolution over an image of ``in_h`` x ``in_w``; ``gap`` floats lie between output pixels, ``first`` columns are left out."""

    in_h: int
    in_w: int
    in_c: int
    out_c: int
    taps: tuple[int, int] = (3, 3)
    step: tuple[int, int] = (1, 1)
    down: int = 1
    first: int = 0
    gap: int = 0
    rate: float = 0.2

    @property
    def size(self) -> tuple[int, int]:
        """Output rows and columns."""
        height = (self.in_h - (self.taps[0] - 1) * self.down - 1) // self.step[0] + 1
        return height, (self.in_w - self.first - self.taps[1]) // self.step[1] + 1

    def input(self, rng: np.random.Generator, integers: bool) -> Array:
        """An image [H, W, C] in which ``rate`` of the numbers are not zero."""
        values = rng.integers(-4, 5, (self.in_h, self.in_w, self.in_c)) if integers else rng.standard_normal
        numbers = values if integers else values((self.in_h, self.in_w, self.in_c))  # type: ignore[operator]
        kept = rng.random((self.in_h, self.in_w, self.in_c)) < self.rate
        return np.where(kept, numbers, 0).astype(np.float32)

    def reference(self, x: Array, w: Array) -> Array:
        """[OH, OW, M] in float64."""
        image = x[np.newaxis, :, self.first :].transpose(0, 3, 1, 2).astype(np.float64)
        return convolve(image, w.astype(np.float64), self.step, (self.down, 1), 1)[0].transpose(1, 2, 0)

    def fields(self) -> dict[str, int]:
        """The kernels' ``bitc_fevents``."""
        pixel = self.out_c + self.gap
        return {
            "in_w": self.in_w,
            "in_c": self.in_c,
            "out_w": self.size[1],
            "out_c": self.out_c,
            "taps_h": self.taps[0],
            "taps_w": self.taps[1],
            "tap_row": self.down,
            "step_h": self.step[0],
            "step_w": self.step[1],
            "first": self.first,
            "vectors": block_of(self.out_c) // VECTOR,
            "out_row": self.size[1] * pixel,
            "out_pixel": pixel,
        }


def _cases() -> Iterator[Case]:
    for out_c in (1, 7, 8, 9, 16, 17, 24, 40, 47, 56, 63, 64, 65, 72, 100, 130):
        yield Case(4, 5, 3, out_c, gap=out_c % 3)
    for in_c in (1, 5, 7, 8, 9, 16, 19):
        yield Case(4, 6, in_c, 12)
    for taps, step, down in product(((1, 1), (1, 3), (3, 1), (2, 4)), ((1, 1), (2, 3)), (1, 2)):
        yield Case(7, 9, 4, 10, taps, step, down, first=1)
    for rate in (0.0, 0.01, 1.0):
        yield Case(5, 6, 9, 33, rate=rate)
    yield Case(1, 1, 300, 20, (1, 1))  # a dense layer


CASES = tuple(_cases())


def _lists(k: Kernels, isa: str, case: Case, x: Array) -> Array:
    """The lists of all rows, inside guard bytes; numbers behind the last event mean nothing."""
    length = case.in_w + 1 + case.in_w * case.in_c
    with guarded((case.in_h, length), np.int32) as lists:
        k.functions[f"bitc_events_{isa}"](
            k.ffi.new("bitc_fevents *", case.fields()), k.pointer(x), case.in_h, k.pointer(lists)
        )
        return lists.copy()


def _made(k: Kernels, isa: str, case: Case, x: Array, w: Array) -> Array:
    """The output, computed in two bands of rows; what lies between the pixels is checked to be untouched."""
    lists, packed = _lists(k, isa, case, x), pack_event_weights(w)
    height, width = case.size
    struct = k.ffi.new("bitc_fevents *", case.fields())
    with guarded((height, width, case.out_c + case.gap), np.float32) as y:
        untouched = y.copy()
        for first, last in ((0, 1), (1, height)):
            band = k.pointer(y, first * struct.out_row)
            arguments = (k.pointer(x), k.pointer(lists), k.pointer(packed), band, first, last)
            k.functions[f"bitc_fconv_events_{isa}"](struct, *arguments)
        assert np.array_equal(y[..., case.out_c :].view(np.uint32), untouched[..., case.out_c :].view(np.uint32))
        return y[..., : case.out_c].copy()


@pytest.mark.parametrize("isa", ISAS)
def test_lists(isa: str) -> None:
    k, rng = load("f32_events", isa), np.random.default_rng(2)
    for case in CASES:
        x = case.input(rng, integers=True)
        lists, wanted = _lists(k, isa, case, x), Events.evaluate(x[np.newaxis])[0, :, 0]
        for row in range(case.in_h):
            meant = case.in_w + 1 + wanted[row, case.in_w]
            np.testing.assert_array_equal(lists[row, :meant], wanted[row, :meant], str(case))


@pytest.mark.parametrize("isa", ISAS)
def test_what_is_no_number_is_an_event(isa: str) -> None:
    k, case = load("f32_events", isa), Case(1, 2, 9, 8, (1, 1))
    x = np.zeros((1, 2, 9), np.float32)
    x[0, 0, [1, 8]], x[0, 1, [0, 3]] = (np.nan, np.inf), (-0.0, -np.nan)
    assert _lists(k, isa, case, x)[0, : 3 + 3].tolist() == [0, 2, 3, 1, 8, 12]


@pytest.mark.parametrize("isa", ISAS)
def test_conv(isa: str) -> None:
    """Bit for bit on integers, within the bound of a sum on floats."""
    k, rng = load("f32_events", isa), np.random.default_rng(3)
    for case in CASES:
        w = rng.integers(-5, 6, (case.out_c, case.in_c, *case.taps)).astype(np.float32)
        x = case.input(rng, integers=True)
        np.testing.assert_array_equal(_made(k, isa, case, x, w), case.reference(x, w), str(case))
        x, w = case.input(rng, integers=False), rng.standard_normal(w.shape).astype(np.float32)
        terms = case.in_c * case.taps[0] * case.taps[1]
        bound = (terms + 1) * 2.0**-24 * 1.01 * case.reference(np.abs(x), np.abs(w))
        assert (np.abs(_made(k, isa, case, x, w) - case.reference(x, w)) <= bound).all(), case
