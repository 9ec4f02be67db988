"""Between which numbers the elements of a tensor lie, whoever computes it: the type that :mod:`bitc.ir.intervals` evaluates in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

UNIT_ROUNDOFF = 2.0**-24
"""The largest relative error of one float32 operation."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Ends of each element's interval; the same array twice where nothing rounds."""

    lo: np.ndarray
    hi: np.ndarray

    @property
    def is_point(self) -> bool:
        """Whether every element has one possible value."""
        return self.lo is self.hi or bool(np.array_equal(self.lo, self.hi, equal_nan=self.lo.dtype.kind == "f"))

    def holds(self, array: np.ndarray) -> np.ndarray:
        """Elementwise: does the value lie inside (NaN only where an end is NaN)?"""
        inside = (array >= self.lo) & (array <= self.hi)
        if array.dtype.kind == "f":
            inside |= np.isnan(array) & (np.isnan(self.lo) | np.isnan(self.hi))
        return np.asarray(inside)


def point(array: np.ndarray) -> Interval:
    """The interval of a known value."""
    return Interval(array, array)


def anything(dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The ends of all numbers of ``dtype``."""
    if dtype.kind == "b":
        ends: tuple[float, float] = (False, True)
    else:
        ends = (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return np.asarray(ends[0], dtype), np.asarray(ends[1], dtype)
