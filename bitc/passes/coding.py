"""Numbers as codes: which levels, scale and offset a set of values, or an array of weights, is made of.

Files hold quantized numbers as floats ``float32(scale * k)``, whatever tool wrote them, so the integers k are found again from the
floats themselves: by the greatest common divisor of the values, up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitc.ir import BIPOLAR, Levels
from bitc.passes.facts import Fact, Finite, Integers

SAME_MAGNITUDE = 1e-6
"""Relative spread up to which the weights of a channel count as ±a: exporters that fold scales leave them an ulp apart."""

NEARLY = 4e-7
"""Relative distance from a grid up to which a float32 counts as on it: products and quotients are rounded once or twice."""

MOST_WEIGHT = 511
"""As many steps as minifloats with three exponent and two mantissa bits have, and bytes; floats at random are no multiples of so few."""

MOST_LEVEL = (1 << 15) - 1
MOST_LEVEL_OF_FLOATS = 1024
"""Rounded multiples of a scale are told apart up to here: Euclid's algorithm multiplies their rounding errors by its quotients."""

MOST_LEVEL_OF_FEW = 256
"""For up to four values: any two floats are nearly multiples of something small enough."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a product stays in float: ``reason`` in one line, ``hint`` what would change it."""

    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Coding:
    """Every value is ``offset + scale * level``; ``same`` if ``float32(scale * level)`` is each value bit for bit (no offset)."""

    levels: Levels
    scale: float
    offset: float = 0.0
    same: bool = True


@dataclass(frozen=True, slots=True)
class WeightCoding:
    """Weights ``offset[m] + scale[m] * code``; ``codes`` int32 as the weights lie, all of ``levels``; scales and offsets float64 [M].

    ``same``: ``float32(scale * code)`` is each weight bit for bit, and there are no offsets.
    """

    levels: Levels
    codes: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray
    same: bool


def coding_of(fact: Fact) -> Coding | Blocked:
    """The codes of a tensor whose elements are as ``fact`` says.

    >>> str(coding_of(Finite((-0.5, 0.5))).levels), str(coding_of(Finite((0.0, 0.25, 0.75))).levels)
    ('{-1,1}', '{0,1,2,3}')
    >>> found = coding_of(Integers(-5, 1000, 5))
    >>> str(found.levels), found.scale
    ('{-5..1000:5}', 1.0)
    """
    if isinstance(fact, Integers):
        return _coding_of_integers(fact)
    if not isinstance(fact, Finite):
        return Blocked(
            "the activation is not proved to take few values", "quantize it, or promise its values (--values)"
        )
    values = np.asarray(fact.values, dtype=np.float64)
    if values.size < 2:
        return Blocked("the activation is a constant")
    if not np.isfinite(values).all():
        return Blocked("the activation may be infinite")
    return _on_a_grid(values) or _evenly_spaced(values)


def _coding_of_integers(fact: Integers) -> Coding | Blocked:
    if fact.lo == fact.hi:
        return Blocked("the activation is a constant")
    if fact.hi - fact.lo > 2 * MOST_LEVEL + 1:
        return Blocked(f"the activation takes integers from {fact.lo} to {fact.hi}, more than 16 bits")
    middle = 0 if max(abs(fact.lo), abs(fact.hi)) <= MOST_LEVEL else fact.lo + MOST_LEVEL + 1
    levels = Levels(fact.lo - middle, fact.step, fact.count)
    return Coding(levels, fact.scale, middle * fact.scale, middle == 0)


def _on_a_grid(values: np.ndarray) -> Coding | None:
    """Multiples of a scale; the widest even spacing that serves is taken, with step 2 where zero lies between two levels."""
    largest, most = np.abs(values).max(), _most_level(values)
    gap = float(approximate_gcd(np.diff(values)[np.newaxis], largest, most)[0])
    for scale, step in ((gap, 1), (gap / 2, 2)):
        found = _with_scale(values, scale, step)
        if found is not None:
            return found
    scale = float(approximate_gcd(values[np.newaxis], largest, most)[0])
    return _with_scale(values, scale, max(1, round(gap / scale)))


def _with_scale(values: np.ndarray, scale: float, step: int) -> Coding | None:
    largest = np.abs(values).max()
    if scale < largest / _most_level(values):
        return None
    k = np.rint(values / scale).astype(np.int64)
    if np.unique(k).size < k.size or np.any((k - k[0]) % step):
        return None
    exact_scale = float(values[np.argmax(np.abs(k))] / k[np.argmax(np.abs(k))])
    for candidate in (_scale_at_one(values, k), exact_scale):
        if candidate is not None and _close(values, candidate * k):
            same = bool(np.array_equal(np.float32(candidate * k), np.float32(values)))
            return Coding(Levels(int(k[0]), step, int(k[-1] - k[0]) // step + 1), candidate, 0.0, same)
    return None


def _most_level(values: np.ndarray) -> int:
    return MOST_LEVEL_OF_FLOATS if values.size > 4 else MOST_LEVEL_OF_FEW


def _scale_at_one(values: np.ndarray, k: np.ndarray) -> float | None:
    at = np.flatnonzero(k == 1)
    return float(values[at[0]]) if at.size else None


def _close(values: np.ndarray, grid: np.ndarray) -> bool:
    return bool(np.all(np.abs(values - grid) <= NEARLY * np.abs(values).max()))


def _evenly_spaced(values: np.ndarray) -> Coding | Blocked:
    """``offset + scale * level`` of values that are no multiples of anything: two of them always are so, as ±1."""
    if values.size == 2:
        middle, half = (values[1] + values[0]) / 2, (values[1] - values[0]) / 2
        if not np.array_equal(np.sign(np.float32(values) - np.float32(middle)), (-1, 1)):
            return Blocked(
                f"the activation takes two values that float32 has no middle of, {values[0]} and {values[1]}"
            )
        return Coding(BIPOLAR, float(half), float(middle), False)
    gap = float(approximate_gcd(np.diff(values)[np.newaxis], values[-1] - values[0], _most_level(values))[0])
    k = np.rint((values - values[0]) / gap).astype(np.int64)
    if k[-1] > _most_level(values) or np.unique(k).size < k.size or not _close(values, values[0] + k * gap):
        return Blocked(f"the {values.size} activation values are not evenly spaced")
    return Coding(Levels(0, 1, int(k[-1]) + 1), float((values[-1] - values[0]) / k[-1]), float(values[0]), False)


def approximate_gcd(values: np.ndarray, largest: np.ndarray | float, most: int) -> np.ndarray:
    """The greatest number each row's ``values`` [rows, n] are multiples of, up to rounding; rows of zeros give 1.

    Euclid's algorithm on floats, in a tree. The numbers sought go ``most`` times at most into ``largest``; a remainder below a third
    of that is none.

    >>> approximate_gcd(np.array([[0.6, -0.9, 0.0], [2.0, 0.0, 8.0]]), 8.0, 255).round(6).tolist()
    [0.3, 2.0]
    """
    row = np.abs(values).astype(np.float64)
    negligible = np.broadcast_to(np.asarray(largest, np.float64).reshape(-1, 1) / (3 * most), (row.shape[0], 1))
    while row.shape[1] > 1:
        if row.shape[1] % 2:
            row = np.concatenate([row, row[:, -1:]], axis=1)
        a, b = row[:, 0::2], row[:, 1::2]
        a, b = np.maximum(a, b), np.minimum(a, b)
        while (open_ := b > negligible).any():
            divisor = np.where(open_, b, 1.0)
            rest = np.abs(a - np.rint(a / divisor) * divisor)
            a, b = np.where(open_, b, a), np.where(open_, rest, b)
        row = a
    return np.asarray(np.where(row[:, 0] > 0, row[:, 0], 1.0))


def weight_coding(weights: np.ndarray, axis: int) -> WeightCoding | Blocked:
    """``weights`` as codes, with one scale for each index of ``axis``: ±a, small integers times a, or any two values.

    >>> found = weight_coding(np.array([[0.5, -1.5, 0.0], [0.2, 0.6, 0.4]], np.float32), 0)
    >>> str(found.levels), found.codes.tolist(), found.scales.round(6).tolist()
    ('{-3..3}', [[1, -3, 0], [1, 3, 2]], [0.5, 0.2])
    """
    if not np.isfinite(weights).all():
        return Blocked("a weight is not finite")
    rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).astype(np.float64)
    found = _signs(rows) or _integers(rows) or _pairs(rows)
    if found is None:
        return _unlike_codes(rows)
    codes, scales, offsets = found
    moved = np.moveaxis(weights, axis, 0).shape
    same = not offsets.any() and np.array_equal(np.float32(codes * scales[:, np.newaxis]), np.float32(rows))
    shaped = np.ascontiguousarray(np.moveaxis(codes.reshape(moved), 0, axis).astype(np.int32))
    return WeightCoding(_levels_of_codes(codes), shaped, scales, offsets, same)


_Codes = tuple[np.ndarray, np.ndarray, np.ndarray]


def _signs(rows: np.ndarray) -> _Codes | None:
    size = np.abs(rows)
    low, high = size.min(axis=1), size.max(axis=1)
    if not np.all(high - low <= SAME_MAGNITUDE * high):
        return None
    scales = np.median(size, axis=1).astype(np.float32).astype(np.float64)
    return np.where(rows < 0, -1, 1), scales, np.zeros(len(rows))


def _integers(rows: np.ndarray) -> _Codes | None:
    largest = np.abs(rows).max(axis=1)
    divisor = approximate_gcd(rows, largest, MOST_WEIGHT)
    codes = np.rint(rows / divisor[:, np.newaxis])
    most = np.abs(codes).max(axis=1)
    if most.max() > MOST_WEIGHT:
        return None
    scales = np.where(most > 0, largest / np.maximum(most, 1), 0.0)
    distance = np.abs(rows - codes * scales[:, np.newaxis])
    return (codes, scales, np.zeros(len(rows))) if np.all(distance <= NEARLY * largest[:, np.newaxis]) else None


def _pairs(rows: np.ndarray) -> _Codes | None:
    low, high = rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True)
    if not np.all((rows == low) | (rows == high)) or not keeps_precision(rows):
        return None
    codes = np.where(rows == low, -1, 1)
    return codes, ((high - low) / 2)[:, 0], ((high + low) / 2)[:, 0]


def keeps_precision(rows: np.ndarray) -> bool:
    """Whether two products that make one by weights [M, n], ±a±b, and may nearly cancel are within what the file's own sum may be off.

    With u a rounding, both products and their constants lose 2·u·max|w|·|x| of each term, activations and the sum u·|w·x| each;
    a sum of n terms in any order n·u·|w·x|.
    """
    size = np.abs(rows)
    return bool(np.all((rows.shape[1] - 2) * size.min(axis=1) >= 2 * size.max(axis=1)))


def sums_exactly(scales: np.ndarray, x_scale: float, largest_sum: int) -> bool:
    """Whether float32 holds every ``k · x_scale · scale``, |k| <= largest_sum: then the oracle's own sum has no rounding."""
    product = np.abs(scales[scales != 0]) * x_scale
    mantissa, _ = np.frexp(product)
    whole = map(int, mantissa * 2**53)
    largest_odd = max((w // (w & -w) for w in whole), default=1)
    normal = np.all((product >= 2.0**-126) & (product * largest_sum < 2.0**128))
    return largest_odd * largest_sum <= 1 << 24 and bool(normal)


def _levels_of_codes(codes: np.ndarray) -> Levels:
    distinct = np.unique(codes).astype(np.int64)
    if np.isin(distinct, (-1, 1)).all():
        return BIPOLAR
    if distinct.size == 1:
        return Levels(min(0, int(distinct[0])), abs(int(distinct[0])) or 1, 2)
    step = int(np.gcd.reduce(np.diff(distinct)))
    return Levels(int(distinct[0]), step, int(distinct[-1] - distinct[0]) // step + 1)


def _unlike_codes(rows: np.ndarray) -> Blocked:
    distinct = [np.unique(row).size for row in rows[:64]]
    worst = int(np.argmax(distinct))
    reason = f"output channel {worst} has {distinct[worst]} different weights that are no small integers times a scale"
    return Blocked(reason, "quantize the weights per channel, to 8 bits or less")
