"""Products of bits whose lanes are pixels, counted by definition: what kernels on planes (``test_sliced.py``) and those that skip nibbles
(``test_skip.py``) are held against, and how both are called."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from bitc.ir.k import class_map
from bitc.ir.ops import OpDecl
from bitc.ir.packing import pack_bits, words_of
from bitc.ir.sliced import LANES, all_lanes

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


class PixelProduct(ABC):
    """The operands of a case, and its counts by definition [OH, OW, M]. ``family`` begins the names of the kernels, ``numbers`` and
    ``bits`` are the declarations of their ops; ``attrs`` those of both, once a family has added its own."""

    family: ClassVar[str]
    numbers: ClassVar[type[OpDecl]]
    bits: ClassVar[type[OpDecl]]

    def __init__(
        self, case: Case, isa: str, rng: np.random.Generator, weights: npt.NDArray[np.int64] | None = None
    ) -> None:
        self.case, self.isa, self.rng = case, isa, rng
        self.signs = case.signs(rng) if weights is None else weights
        h, w = case.image()
        bits = rng.random((1, h, w, case.planes[0], case.in_c)) < 0.5
        self.x = self.packed(bits)
        self.pops = self._pops(bits)
        self.rows, self.columns = (
            np.ascontiguousarray(np.arange(n, dtype=np.uint8) % count)
            for n, count in zip(case.size, case.classes, strict=True)
        )
        one = case.classes == (1, 1)
        self.attrs: dict[str, object] = {
            "taps": case.taps, "strides": case.strides, "dilations": case.dilations, "at": (0, 0), "size": case.size,
            "channels": case.channels, "in_channels": case.in_c, "planes": case.planes[0], "terms": self.signs[0].size,
            "row_class": () if one else tuple(self.rows.tolist()), "col_class": () if one else tuple(self.columns.tolist()),
        }  # fmt: skip
        self.class_of = class_map(self.attrs["row_class"], self.attrs["col_class"], case.size)  # type: ignore[arg-type]

    def packed(self, bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
        """Activations [1, H, W, planes, C] as the kernels read them: here words of each pixel."""
        return np.concatenate([pack_bits(bits[..., p, :]) for p in range(bits.shape[3])], axis=-1)

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

    def fill_with_ends(self) -> None:
        """The first row of pixels holds zeros, the second ones: counts of windows of one tap are 0 or all terms."""
        assert self.case.taps == (1, 1)
        self.x[:, 0] = 0
        self.x[:, 1] = pack_bits(np.ones((1, self.x.shape[2], self.case.in_c), bool))
        negative = (self.signs[:, :, 0, 0] < 0).sum(1)
        self.pops[0], self.pops[1] = negative, self.case.in_c - negative

    @property
    def kernel(self) -> Kernels:
        return kernels(f"{self.family}_{self.isa}.h", isa=self.isa)

    def fields(self) -> dict[str, object]:
        """Of the C struct, what both families have."""
        case, k, one = self.case, self.kernel, self.case.classes == (1, 1)
        _, _, columns, words = self.x.shape
        return {
            "out_h": case.size[0], "out_w": case.size[1], "out_c": case.channels,
            "in_row_words": columns * words, "in_pixel_words": words, "step_h": case.strides[0], "step_w": case.strides[1],
            "slots": self.attrs["slots"], "col_classes": case.classes[1],
            "row_class": k.pointer(None if one else self.rows), "col_class": k.pointer(None if one else self.columns),
        }  # fmt: skip

    @abstractmethod
    def geometry(self) -> tuple[object, list[object]]:
        """The C struct, and what it points to."""

    @abstractmethod
    def tables_for_numbers(self) -> tuple[npt.NDArray[np.generic], ...]:
        """Operands between x and the base of a kernel that ends with numbers."""

    @abstractmethod
    def tables_for_bits(
        self, limit: npt.NDArray[np.int32], flip: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.generic], ...]:
        """Operands behind x of a kernel that ends with bits."""

    def parts(self) -> list[tuple[int, int]]:
        """Lanes of the calls that make the whole: the first block by itself, then all others."""
        lanes, every = int(str(self.attrs["lanes"])), all_lanes(self.attrs)
        return [(0, lanes), (lanes, every)] if every > lanes else [(0, lanes)]

    def check_numbers(self, step: int) -> None:
        case, p = self.case, self.kernel.pointer
        base = self.rng.integers(-1000, 1000, (case.classes[0] * case.classes[1], case.channels), np.int32)
        expected = base[self.class_of] - step * self.pops
        tables = (*self.tables_for_numbers(), base)
        meant, scratch = self.numbers.evaluate(self.x, *tables, step=step, **self.attrs)
        np.testing.assert_array_equal(meant[0], expected)
        g, held = self.geometry()
        with guarded(expected.shape, np.int32, align=4) as acc, guarded((scratch.size,), np.uint64) as memory:
            run = getattr(self.kernel, f"bitc_{self.family}_acc_{self.isa}")
            for part in self.parts():
                run(g, p(self.x), *map(p, tables), step, p(acc), *part, p(memory))
                memory[:] = 0xA5A5A5A5A5A5A5A5
            np.testing.assert_array_equal(acc, expected)
        assert held

    def check_bits(self, limit: npt.NDArray[np.int32], flip: npt.NDArray[np.bool_], gap: int = 1) -> None:
        """``limit`` [planes, classes, M]; output pixels and rows lie ``gap`` words apart."""
        case, p = self.case, self.kernel.pointer
        over = self.pops > limit[:, self.class_of]
        expected = np.concatenate([pack_bits(plane ^ flip) for plane in over], axis=-1)
        tables = self.tables_for_bits(limit, flip)
        meant, scratch = self.bits.evaluate(self.x, *tables, halo=(0, 0, 0, 0), **self.attrs)
        np.testing.assert_array_equal(meant[0], expected)
        pixel = limit.shape[0] * words_of(case.channels) + gap
        row = case.size[1] * pixel + gap
        g, held = self.geometry()
        with guarded((case.size[0], row), np.uint64, align=8) as y, guarded((scratch.size,), np.uint64) as memory:
            untouched = y[0, -1]
            run = getattr(self.kernel, f"bitc_{self.family}_bits_{self.isa}")
            for part in self.parts():
                run(g, p(self.x), *map(p, tables), limit.shape[0], p(y), row, pixel, *part, p(memory))
                memory[:] = 0xA5A5A5A5A5A5A5A5
            got = y[:, : case.size[1] * pixel].reshape(*case.size, pixel)
            np.testing.assert_array_equal(got[..., : expected.shape[-1]], expected)
            if gap:
                assert (got[..., expected.shape[-1] :] == untouched).all(), "words between pixels were written"
                assert (y[:, case.size[1] * pixel :] == untouched).all(), "words between rows were written"
        assert held

    def check(self) -> None:
        """Both kernels."""
        self.check_numbers(int(self.rng.integers(-3, 4)))
        self.check_bits(*self.limits())

    def limits(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """Limits around the counts, so that both answers and equality occur, and some that are never or always passed; channels to flip."""
        case, rng = self.case, self.rng
        around = self.pops.reshape(-1, case.channels)[rng.integers(0, self.pops[..., 0].size)]
        shape = (case.planes[1], case.classes[0] * case.classes[1], case.channels)
        limit = (around + rng.integers(-2, 3, shape)).astype(np.int32)
        edges = np.array([INT32.min, -1, 0, case.planes[0] * self.signs[0].size, INT32.max])
        limit = np.where(rng.random(shape) < 0.1, rng.choice(edges, shape), limit).astype(np.int32)
        return limit, rng.random(case.channels) < 0.4
