"""Shared by the tests of the float convolutions: a geometry, its buffers, its weight layouts, its meaning in float64."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from .harness import Kernels, kernels, why_not

Array = npt.NDArray[Any]


def load(family: str, isa: str) -> Kernels:
    """The kernels of ``<family>_<isa>.h``; skips the test where they can be neither run nor emulated."""
    reason = why_not(isa)
    if reason:
        pytest.skip(reason)
    return kernels(f"{family}_{isa}.h", isa=isa)


@dataclass(frozen=True, slots=True)
class Conv:
    """A grouped NHWC convolution; ``in_c`` and ``out_c`` are those of one group, ``gap`` floats lie between pixels."""

    out_h: int
    out_w: int
    out_c: int
    in_c: int
    taps: tuple[int, int] = (1, 1)
    step: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    gap: int = 0

    @property
    def in_shape(self) -> tuple[int, int, int]:
        height, width = (
            (out - 1) * step + (taps - 1) * dilation + 1
            for out, step, taps, dilation in zip(
                (self.out_h, self.out_w), self.step, self.taps, self.dilation, strict=True
            )
        )
        return height, width, self.groups * self.in_c + self.gap

    @property
    def out_shape(self) -> tuple[int, int, int]:
        return self.out_h, self.out_w, self.groups * self.out_c + self.gap

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """``[groups * out_c, taps_h, taps_w, in_c]``."""
        return self.groups * self.out_c, *self.taps, self.in_c

    def struct(self, k: Kernels) -> Any:
        """The kernels' ``bitc_fconv``."""
        _, width, pixel = self.in_shape
        row, out_pixel = width * pixel, self.out_shape[2]
        fields = {
            "out_w": self.out_w,
            "out_c": self.out_c,
            "in_c": self.in_c,
            "in_row": row,
            "in_pixel": pixel,
            "step_h": self.step[0],
            "step_w": self.step[1],
            "taps_h": self.taps[0],
            "taps_w": self.taps[1],
            "tap_row": self.dilation[0] * row,
            "tap_pixel": self.dilation[1] * pixel,
            "out_row": self.out_w * out_pixel,
            "out_pixel": out_pixel,
        }
        return k.ffi.new("bitc_fconv *", fields)

    def tap(self, x: Array, r: int, c: int) -> Array:
        """The input pixels under tap (r, c): ``[out_h, out_w, groups, in_c]``."""
        (step_h, step_w), (dil_h, dil_w) = self.step, self.dilation
        rows = slice(r * dil_h, r * dil_h + (self.out_h - 1) * step_h + 1, step_h)
        cols = slice(c * dil_w, c * dil_w + (self.out_w - 1) * step_w + 1, step_w)
        return x[rows, cols, : self.groups * self.in_c].reshape(self.out_h, self.out_w, self.groups, self.in_c)

    def reference(self, x: Array, w: Array) -> Array:
        """``[out_h, out_w, groups * out_c]`` in float64."""
        grouped = w.astype(np.float64).reshape(self.groups, self.out_c, *self.taps, self.in_c)
        total = np.zeros((self.out_h, self.out_w, self.groups, self.out_c))
        for r in range(self.taps[0]):
            for c in range(self.taps[1]):
                total += np.einsum("hwgi,goi->hwgo", self.tap(x, r, c).astype(np.float64), grouped[:, :, r, c])
        return total.reshape(self.out_h, self.out_w, -1)

    def error_bound(self, x: Array, w: Array) -> Array:
        """Bound of any order of float32 summation: (n + 1) u sum |x w| (Higham, Accuracy and Stability, 3.1)."""
        terms = self.taps[0] * self.taps[1] * self.in_c
        return (terms + 1) * 2.0**-24 * 1.01 * self.reference(np.abs(x), np.abs(w))

    def input(self, rng: np.random.Generator, integers: bool) -> Array:
        """Small integers or normal floats; the gap holds NaN, which would poison any sum it entered."""
        values = rng.integers(-9, 10, self.in_shape) if integers else rng.standard_normal(self.in_shape)
        x = values.astype(np.float32)
        if self.gap:
            x[..., -self.gap :] = np.nan
        return x


def _blocks(w: Array, groups: int, block: int, fill: float) -> Array:
    """``[groups * out_c, ...]`` -> ``[groups, blocks, ..., block]``, missing channels ``fill``."""
    out_c = w.shape[0] // groups
    padded = np.full((groups, -(-out_c // block) * block, *w.shape[1:]), fill, w.dtype)
    padded[:, :out_c] = w.reshape(groups, out_c, *w.shape[1:])
    return np.moveaxis(padded.reshape(groups, -1, block, *w.shape[1:]), 2, -1)


def float_weights(w: Array, groups: int, block: int) -> Array:
    """``[groups][ceil(out_c / block)][taps_h][taps_w][in_c][block]`` float32."""
    return np.ascontiguousarray(_blocks(w, groups, block, 0.0).astype(np.float32))


def sign_weights(w: Array, block: int) -> Array:
    """``[ceil(out_c / block)][taps_h][taps_w][in_c]`` uint8 or uint16, bit = channel of the block, 1 = negative."""
    negative = (_blocks(w, 1, block, 1.0)[0] < 0).astype(np.uint32)
    words = (negative << np.arange(block, dtype=np.uint32)).sum(-1)
    return np.ascontiguousarray(words.astype(np.uint8 if block == 8 else np.uint16))
