"""What is known of the values a tensor takes: the lattice of facts, and the rules that need no graph.

From most to least known::

    Finite{v0 < v1 < ...} (at most 256)  |  Integers scale * {lo, lo+step, .., hi}  |  Range [lo, hi]  |  unknown
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bitc.ir import DType, Op, TensorType

MAX_FINITE = 256
EXACT = 1 << 24  # float32 holds every integer up to here
SCALES = (2.0**-126, 2.0**103)  # and times powers of two between these, neither denormal nor infinite
MOST_SUM = 2.0**100
MOST_TERMS = 1 << 20
INT32 = 1 << 31
"""What int32 stays below."""


@dataclass(frozen=True, slots=True)
class Finite:
    """Every element is one of ``values`` (ascending, distinct; bools are 0 and 1)."""

    values: tuple[float, ...]

    def part(self, most: int) -> Finite:
        """About ``most`` of the values (at least 2), the least and the greatest among them.

        >>> Finite((0.0, 1.0, 2.0, 3.0, 7.0)).part(2).values
        (0.0, 7.0)
        """
        step = max(1, (len(self.values) - 1) // (most - 1))
        inner = self.values[:-1:step]
        return Finite((*inner, self.values[-1])) if len(inner) < len(self.values) - 1 else self


@dataclass(frozen=True, slots=True)
class Integers:
    """Every element is ``scale * k`` for an integer k of {lo, lo + step, ..., hi}; rounded to float32 unless ``dyadic``."""

    lo: int
    hi: int
    step: int = 1
    scale: float = 1.0

    @property
    def count(self) -> int:
        """How many values there are."""
        return (self.hi - self.lo) // self.step + 1

    @property
    def dyadic(self) -> bool:
        """Whether ``scale`` is a power of two, so that every value is exact."""
        return bool(np.frexp(self.scale)[0] == 0.5)

    def part(self, most: int) -> Integers:
        """About ``most`` of the values (at least 2), evenly spaced, the least among them; with two, both ends.

        >>> Integers(-5, 1000, 5).part(2).samples(DType.I32).tolist()
        [-5, 1000]
        """
        step = self.step * max(1, (self.count - 1) // (most - 1))
        return Integers(self.lo, self.hi - (self.hi - self.lo) % step, step, self.scale)

    def samples(self, dtype: DType) -> np.ndarray:
        """All values, ascending."""
        values = self.scale * np.arange(self.lo, self.hi + 1, self.step, dtype=np.int64)
        return np.asarray(values if self.dyadic else values.astype(np.float32), dtype=dtype.numpy)


@dataclass(frozen=True, slots=True)
class Range:
    """Every element is in [lo, hi]; if ``whole``, an integer."""

    lo: float
    hi: float
    whole: bool = False


Fact = Finite | Integers | Range | None


def constant_fact(array: np.ndarray) -> Fact:
    """The values of an array; nothing where one is NaN."""
    if array.size == 0 or np.isnan(array.astype(np.float64)).any():
        return None
    distinct = np.unique(array)
    if distinct.size <= MAX_FINITE:
        return Finite(tuple(float(v) for v in distinct))
    if array.dtype.kind in "iu":
        return Integers(int(distinct[0]), int(distinct[-1]), int(np.gcd.reduce(np.diff(distinct))))
    return Range(float(distinct[0]), float(distinct[-1]))


def dtype_fact(dtype: DType) -> Fact:
    """What the narrow integer types say by themselves."""
    if dtype in (DType.I8, DType.U8, DType.I16, DType.U16):
        limits = np.iinfo(dtype.numpy)
        return Integers(int(limits.min), int(limits.max))
    return None


def grid(fact: Fact) -> Integers | None:
    """The fact as multiples of a power of two, if it is that exactly."""
    if isinstance(fact, Integers):
        return fact if fact.dyadic else None
    if not isinstance(fact, Finite) or not all(np.isfinite(fact.values)):
        return None
    nonzero = [v for v in fact.values if v]
    if not nonzero:
        return Integers(0, 0)
    exponent = min(_lowest_bit(v) for v in nonzero)
    scale = 2.0**exponent
    whole = [int(v / scale) for v in fact.values]
    if max(map(abs, whole)) >= EXACT:
        return None
    gaps = [b - a for a, b in pairwise(whole)]
    return Integers(whole[0], whole[-1], int(np.gcd.reduce(gaps)) if gaps else 1, scale)


def _lowest_bit(value: float) -> int:
    """The exponent of the lowest set bit: value is an odd multiple of 2 to that."""
    mantissa, exponent = np.frexp(value)
    whole = int(mantissa * 2**53)
    return int(exponent) - 53 + ((whole & -whole).bit_length() - 1)


def shifted_fact(fact: Fact, by: int) -> Fact:
    """The values of integers plus ``by``.

    >>> shifted_fact(Integers(0, 15), -8)
    Integers(lo=-8, hi=7, step=1, scale=1.0)
    """
    if not by:
        return fact
    values = grid(fact)
    if values is None or values.scale < 1:
        return None
    unit = int(values.scale)
    return Integers(values.lo * unit + by, values.hi * unit + by, values.step * unit)


def product_fact(op: Op, x: Fact, w: Fact) -> Fact:
    """Exact sums: every product and partial sum an integer multiple of one power of two, below 2^24 of them (2^31 in integers)."""
    a, b = grid(x), grid(w)
    if a is None or b is None:
        return None
    is_conv = op.name.endswith("conv")
    weights = op.operands[1]
    taps = int(np.prod(weights.shape[1:])) if is_conv else op.operands[0].shape[-1]
    corners = [a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi]
    padded = is_conv and any(op.attrs["pads"])
    pad_level = int(op.attrs.get("pad_level", op.attrs.get("pad_value", 0))) if padded else 0
    if padded:
        corners += [0, pad_level * b.lo, pad_level * b.hi]
    lo, hi = taps * min(corners), taps * max(corners)
    normal = SCALES[0] <= a.scale * b.scale <= SCALES[1]
    of_floats = isinstance(op.results[0].type, TensorType) and op.results[0].type.dtype.is_float
    if max(abs(lo), abs(hi)) >= (EXACT if of_floats else INT32) or (of_floats and not normal):
        return None
    if len(op.operands) > 2:
        return _from_base(op, lo, hi)
    step = _sum_step(a, b) if not padded else _padded_step(op, a, b, pad_level)
    start = lo + (taps * a.lo * b.lo - lo) % step
    return Integers(start, hi - (hi - start) % step, step, a.scale * b.scale)


def product_range(op: Op, x: Fact) -> Range | None:
    """Bounds of sums with constant float weights: sum|w| of a channel times the largest |x|, and what any order of summation rounds."""
    weights = op.operands[1].constant
    largest = max(map(abs, bounds(x)))
    if weights is None or weights.dtype.kind != "f" or len(op.operands) > 2 or not np.isfinite(largest):
        return None
    axes = tuple(range(1, weights.ndim)) if op.name == "nn.conv" else (weights.ndim - 2,)
    terms = int(np.prod([weights.shape[axis] for axis in axes]))
    most = float(np.abs(weights.astype(np.float64)).sum(axis=axes).max(initial=0.0)) * largest * (1 + terms * 2.0**-22)
    most += terms * 2.0**-148  # denormal products
    return Range(-most, most) if most < MOST_SUM and terms < MOST_TERMS else None


def _from_base(op: Op, lo: int, hi: int) -> Fact:
    """Sums that begin with a constant of each channel."""
    base = op.operands[2].constant
    return Integers(lo + int(base.min()), hi + int(base.max())) if base is not None else None


def _sum_step(a: Integers, b: Integers) -> int:
    """Products of a = a0 + s·i and b = b0 + t·j differ by multiples of gcd(s·b0, t·a0, s·t); so do their sums."""
    s, t = _gap(a), _gap(b)
    return int(np.gcd.reduce([s * b.lo, t * a.lo, s * t])) or 1


def _gap(values: Integers) -> int:
    """The step, 0 for a single value."""
    return values.step if values.lo < values.hi else 0


def _padded_step(op: Op, a: Integers, b: Integers, pad_level: int) -> int:
    """A padded pixel swaps a0·b for pad_level·b in all its channels at once: the difference must be 0 modulo the step."""
    step = _sum_step(a, b)
    per_pixel = op.operands[1].shape[1]
    return int(np.gcd(step, abs(a.lo - pad_level) * int(np.gcd(per_pixel * b.lo, _gap(b))))) or 1


def bounds(fact: Fact) -> tuple[float, float]:
    """The least and greatest value ``fact`` allows; infinite where unknown."""
    if isinstance(fact, Finite):
        return fact.values[0], fact.values[-1]
    if isinstance(fact, Integers):
        ends = fact.lo * fact.scale, fact.hi * fact.scale
        return ends if fact.dyadic else (float(np.float32(ends[0])), float(np.float32(ends[1])))
    return (fact.lo, fact.hi) if isinstance(fact, Range) else (-np.inf, np.inf)


def whole(fact: Fact) -> bool:
    """Whether every value is an integer."""
    match fact:
        case Range(whole=known):
            return known
        case Finite(values=values):
            return all(v == int(v) for v in values if np.isfinite(v)) and all(np.isfinite(values))
        case Integers(scale=scale):
            return scale == round(scale)
    return False


def narrowed(lo: float, hi: float, integral: bool) -> Fact:
    """A range, or the integers in it where float32 holds them all."""
    if lo == hi and np.isfinite(lo):
        return Finite((lo + 0.0,))
    if not integral or not (np.isfinite(lo) and np.isfinite(hi)):
        return Range(lo, hi, integral)
    if hi - lo < MAX_FINITE:
        return Finite(tuple(float(v) for v in range(int(lo), int(hi) + 1)))
    return Integers(int(lo), int(hi)) if max(abs(lo), abs(hi)) < EXACT else Range(lo, hi, True)


def joined_sets(a: Fact, b: Fact) -> Fact:
    """What holds of an element that is of one or of the other."""
    if isinstance(a, Finite) and isinstance(b, Finite):
        merged = tuple(sorted(set(a.values) | set(b.values)))
        return Finite(merged) if len(merged) <= MAX_FINITE else None
    (lo_a, hi_a), (lo_b, hi_b) = bounds(a), bounds(b)
    return Range(min(lo_a, lo_b), max(hi_a, hi_b), whole(a) and whole(b))
