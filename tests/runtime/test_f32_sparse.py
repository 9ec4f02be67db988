"""Products with matrices that are mostly 0, over runs of planes and at single places, against NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

from bitc.ir.k_sparse import compressed

from .f32_geometry import Array, load
from .harness import Kernels, guarded

ISAS = ("portable", "avx2", "avx512")


@dataclass(frozen=True, slots=True)
class Case:
    """``rows`` outputs over windows of ``taps`` in ``images`` of planes; ``rate`` of the weights are not 0. ``size``: pixels of the result,
    between which ``gap`` floats lie."""

    rows: int
    channels: int
    taps: tuple[int, int]
    size: tuple[int, int]
    rate: float = 0.2
    images: int = 1
    gap: int = 0

    @property
    def plane(self) -> tuple[int, int]:
        """Rows and columns of a channel."""
        return self.size[0] + self.taps[0] - 1, self.size[1] + self.taps[1] - 1

    @property
    def depth(self) -> int:
        """Columns of the matrix."""
        return self.channels * self.taps[0] * self.taps[1]

    def reads(self) -> Array:
        """Where each column of the matrix reads."""
        c, i, j = np.indices((self.channels, *self.taps)).reshape(3, -1)
        return ((c * self.plane[0] + i) * self.plane[1] + j).astype(np.int32)

    def weights(self, rng: np.random.Generator) -> Array:
        """Integers [rows, depth], the zeros of both signs."""
        shape = (self.rows, self.depth)
        drawn = np.where(rng.random(shape) < self.rate, rng.integers(1, 6, shape), 0)
        return (drawn * rng.choice([-1.0, 1.0], shape)).astype(np.float32)

    def input(self, rng: np.random.Generator) -> Array:
        """Integers [images, channels, rows, columns]."""
        return rng.integers(-4, 5, (self.images, self.channels, *self.plane)).astype(np.float32)

    def product(self, w: Array, x: Array) -> Array:
        """[images, OH, OW, rows], every weight multiplied."""
        places = np.add.outer(np.arange(self.size[0]) * self.plane[1], np.arange(self.size[1]))
        return np.asarray(x.reshape(self.images, -1)[:, places[..., np.newaxis] + self.reads()] @ w.T)

    def fields(self) -> dict[str, int]:
        """The kernels' ``bitc_fsparse``."""
        pixel = self.rows + self.gap
        return {
            "rows": self.rows,
            "depth": self.depth,
            "image": self.channels * self.plane[0] * self.plane[1],
            "out_h": self.size[0],
            "out_w": self.size[1],
            "pitch": self.plane[1],
            "out_row": self.size[1] * pixel,
            "out_pixel": pixel,
        }


def _cases() -> Iterator[Case]:
    for run in (1, 2, 7, 8, 9, 15, 16, 17, 31, 40, 48, 55, 56, 57, 63, 64, 65, 71, 73, 120, 128, 130):
        yield Case(11, 3, (1, 4), (1, run), gap=run % 3)
    for rows in (1, 7, 8, 9, 16):
        yield Case(rows, 2, (3, 2), (5, 4), gap=1)
    for rate in (0.0, 0.01, 1.0):
        yield Case(9, 5, (3, 3), (7, 12), rate, images=3)
    yield Case(33, 70, (1, 1), (1, 8), 0.05, images=2)


CASES = tuple(_cases())


def _made(k: Kernels, isa: str, case: Case, x: Array, w: Array) -> Array:
    """What the kernel stores, between guard bytes; what lies between the pixels is checked to be untouched."""
    held, pixel = [*compressed(w), case.reads()], case.rows + case.gap
    with guarded((case.images, *case.size, pixel), np.float32) as y:
        untouched, image = y.copy(), case.size[0] * case.size[1] * pixel
        arguments = (k.pointer(x), case.images, *map(k.pointer, held), k.pointer(y), image)
        k.functions[f"bitc_fsparse_{isa}"](k.ffi.new("bitc_fsparse *", case.fields()), *arguments)
        assert np.array_equal(y[..., case.rows :].view(np.uint32), untouched[..., case.rows :].view(np.uint32))
        return y[..., : case.rows].copy()


@pytest.mark.parametrize("isa", ISAS)
def test_runs(isa: str) -> None:
    """Bit for bit on integers, within the bound of a sum on floats."""
    k, rng = load("f32_sparse", isa), np.random.default_rng(3)
    for case in CASES:
        w, x = case.weights(rng), case.input(rng)
        np.testing.assert_array_equal(_made(k, isa, case, x, w), case.product(w, x), str(case))
        x = rng.standard_normal(x.shape).astype(np.float32)
        exact, size = case.product(w.astype(np.float64), x), case.product(np.abs(w).astype(np.float64), np.abs(x))
        bound = (case.depth + 1) * 2.0**-24 * 1.01 * size
        assert (np.abs(_made(k, isa, case, x, w) - exact) <= bound).all(), case


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("isa", ISAS)
def test_zeros_meet_what_is_not_finite(isa: str, value: float) -> None:
    """0 · infinity is NaN: of each result as if all weights were multiplied; other images are as they were."""
    k, rng = load("f32_sparse", isa), np.random.default_rng(5)
    for case in (Case(9, 4, (1, 3), (1, 14), 0.5, images=2), Case(3, 2, (2, 3), (4, 5), 0.3, images=2, gap=2)):
        for place in (0, 1, 2, 3):
            x, w = case.input(rng), case.weights(rng)
            x[1].reshape(-1)[place * 11], w[0], w[1] = value, 1, 0
            np.testing.assert_array_equal(_made(k, isa, case, x, w), case.product(w, x))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_dots() -> None:
    k, rng = load("f32_sparse", "portable"), np.random.default_rng(7)
    for depth, rate, value in product((1, 3, 4, 5, 17, 40, 200), (0.0, 0.1, 1.0), (2.0, np.inf, np.nan)):
        case = Case(11, depth, (1, 1), (1, 1), rate, images=3)
        x, w = case.input(rng), case.weights(rng)
        x[1, depth // 2] = value
        with guarded((3, 1, 1, 11), np.float32) as y:
            struct, held = k.ffi.new("bitc_fsparse *", case.fields()), compressed(w)
            k.functions["bitc_fsparse_dots"](struct, k.pointer(x), 3, *map(k.pointer, held), k.pointer(y))
            np.testing.assert_array_equal(y, case.product(w, x), str(case))
