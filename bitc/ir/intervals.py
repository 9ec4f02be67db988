"""Interval evaluation of an imported graph: for one input, the closed interval each element may lie in, whoever computes it.

A result that every correct evaluation gives with the same bits has an interval of one point; a float sum has one as wide as its
rounding error in any order of summation can make it (|error| <= n·u·sum|x·w|, u = 2^-24: Higham, Accuracy and Stability of Numerical
Algorithms, §3.1). So one criterion serves exact and rounded networks: the oracle's value, each stage's and the compiled library's must
all lie in the interval. Elementwise ops are evaluated in float32 at the ends; float rounding is monotone, so the ends enclose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product as combinations
from typing import Any

import numpy as np

from bitc.ir.graph import Graph, Op, Value
from bitc.ir.interpreter import evaluate_op
from bitc.ir.interval import UNIT_ROUNDOFF, Interval, anything, point
from bitc.ir.intervals_places import RULES as PLACES
from bitc.ir.residue import residue

LIBM_ULPS = 4
"""What a function of the C library may be off, in units in the last place."""


def evaluate_intervals(graph: Graph, inputs: Sequence[np.ndarray]) -> dict[Value, Interval]:
    """The interval of every value of ``graph`` (level ``nn``) for ``inputs`` in order."""
    known: dict[Value, Interval] = {v: point(np.asarray(a)) for v, a in zip(graph.inputs, inputs, strict=True)}
    with np.errstate(all="ignore"):
        for op in graph.ops:
            operands = [known[operand] for operand in op.operands]
            known.update(zip(op.results, intervals_of(op, operands), strict=True))
            left = residue(op)
            if left is not None:  # whoever drops it gives q, and the file q with the rounding of two additions
                known[op.result] = _hull(known[op.result], known[left[0]])
    return known


def _hull(a: Interval, b: Interval) -> Interval:
    """The least interval that holds both."""
    if a.is_point and b.is_point and np.array_equal(a.lo, b.lo):
        return a
    return Interval(np.minimum(a.lo, b.lo), np.maximum(a.hi, b.hi))


def interval_of(constant: Value) -> Interval:
    """The interval of a constant: a point, unless folding it rounded."""
    array, ends = constant.constant, constant.ends
    assert array is not None
    return point(array) if ends is None else Interval(*(np.broadcast_to(end, array.shape) for end in ends))


def intervals_of(op: Op, xs: list[Interval]) -> list[Interval]:
    """The intervals of the results of ``op`` (level ``nn``), from those of its operands."""
    if op.name == "nn.constant":
        return [interval_of(op.result)]
    is_float = bool(xs) and xs[0].lo.dtype.kind == "f"
    if op.name in ("nn.conv", "nn.matmul"):
        return [_product(op, xs) if is_float else _integer_product(op, xs)]
    if is_float and op.name in _SUMS:
        return [_widened_sum(op, xs[0])]
    if op.name in PLACES:
        return [PLACES[op.name](op, xs)]
    if all(x.is_point for x in xs):
        results = evaluate_op(op, [x.lo for x in xs])
        arrays = results if isinstance(results, tuple) else (results,)
        return [_libm(op, point(np.asarray(a))) for a in arrays]
    if op.decl.elementwise:
        return [_libm(op, _elementwise(op, xs))]
    if op.name in ("nn.argmax", "nn.topk"):
        return _selection(op, xs[0])
    ends = [evaluate_op(op, [getattr(x, end) for x in xs]) for end in ("lo", "hi")]
    lo, hi = (e if isinstance(e, tuple) else (e,) for e in ends)
    return [Interval(np.minimum(a, b), np.maximum(a, b)) for a, b in zip(lo, hi, strict=True)]


def _product(op: Op, xs: list[Interval]) -> Interval:
    """Centre ± (spread of the operands + rounding of the float32 sum in any order)."""
    (x, rx), (w, rw) = (_centre(i) for i in xs)
    centre = _as_float64(op, x, w)
    absolute = _as_float64(op, np.abs(x) + rx, np.abs(w) + rw)
    spread = absolute - _as_float64(op, np.abs(x), np.abs(w)) if rx.any() or rw.any() else np.zeros_like(centre)
    rounding = np.zeros_like(centre) if _sums_exactly(x, w, absolute) and not spread.any() else _rounding(op, absolute)
    radius = spread + rounding
    lo, hi = (centre - radius).astype(np.float32), (centre + radius).astype(np.float32)
    if not radius.any():
        return point(lo)
    if not any(_strange(i).any() for i in xs):  # sums of what may be anything
        lo, hi = np.where(np.isnan(lo), np.float32(-np.inf), lo), np.where(np.isnan(hi), np.float32(np.inf), hi)
    wide = radius > 0
    lo = np.where(wide & (lo > centre - radius), np.nextafter(lo, np.float32(-np.inf)), lo)
    hi = np.where(wide & (hi < centre + radius), np.nextafter(hi, np.float32(np.inf)), hi)
    return Interval(lo, hi)


def _integer_product(op: Op, xs: list[Interval]) -> Interval:
    """Exact sums; any value of the dtype where the operands' intervals let a sum wrap around."""
    if all(x.is_point for x in xs):
        return point(np.asarray(evaluate_op(op, [x.lo for x in xs])))
    (x, rx), (w, rw) = (_centre(i) for i in xs)
    centre = _as_float64(op, x, w)
    spread = _as_float64(op, np.abs(x) + rx, np.abs(w) + rw) - _as_float64(op, np.abs(x), np.abs(w))
    dtype = xs[0].lo.dtype
    limits = np.iinfo(dtype)
    lo, hi = np.floor(centre - spread), np.ceil(centre + spread)
    wraps = (lo < limits.min) | (hi > limits.max)
    return Interval(
        np.where(wraps, limits.min, lo).astype(np.int64).astype(dtype),
        np.where(wraps, limits.max, hi).astype(np.int64).astype(dtype),
    )


def _centre(x: Interval) -> tuple[np.ndarray, np.ndarray]:
    lo, hi = x.lo.astype(np.float64), x.hi.astype(np.float64)
    if x.lo is x.hi:
        return lo, np.zeros_like(lo)
    return (lo + hi) / 2, (hi - lo) / 2


def _as_float64(op: Op, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return np.asarray(op.decl.evaluate(x, w, **op.attrs))


def _terms(op: Op) -> int:
    w = op.operands[1].shape
    return int(np.prod(w[1:])) if op.name == "nn.conv" else w[-2]


def _rounding(op: Op, absolute: np.ndarray) -> np.ndarray:
    n = (_terms(op) + 1) * UNIT_ROUNDOFF
    return absolute * (n / (1 - n))


def _sums_exactly(x: np.ndarray, w: np.ndarray, absolute: np.ndarray) -> bool:
    """Whether these very operands sum without rounding: integers times powers of two with sums below 2^24."""
    step = _step(x) * _step(w)
    return step > 0 and bool(absolute.max(initial=0.0) < step * 2**24)


def _step(array: np.ndarray) -> float:
    """The greatest power of two (within 2^±40) that divides every element, 0 if there is none."""
    mantissa, exponent = np.frexp(array[array != 0])
    if not np.isfinite(mantissa).all():
        return 0.0
    whole = (mantissa * 2.0**24).astype(np.int64)
    if (whole != mantissa * 2.0**24).any() or whole.size == 0:
        return 1.0 if whole.size == 0 else 0.0
    trailing = np.log2((whole & -whole).astype(np.float64)).astype(np.int64)
    return float(2.0 ** int((exponent - 24 + trailing).min()))


def _softmax(op: Op, x: Interval) -> Interval:
    """Least where the element is lowest and the others are highest, and the other way round; widened by what float32 may be off.

    An exponential is off by its own error, a relative one, and by that of x - max, |x - max|·u; in the sum the latter counts as much as
    the element does, so that masked elements, far below the others, do not.
    """
    axis = op.attrs["axis"]
    top = x.hi.astype(np.float64).max(axis=axis, keepdims=True)
    low, high = (np.exp(ends.astype(np.float64) - top) for ends in (x.lo, x.hi))
    sum_low, sum_high = (ends.sum(axis=axis, keepdims=True) for ends in (low, high))
    reach = np.where(np.isfinite(x.lo), top - x.lo, 0) + 1  # -inf is an exact 0
    in_sum = (reach * high).sum(axis=axis, keepdims=True) / np.maximum(sum_low, np.finfo(np.float64).tiny)
    relative = 2 * (x.lo.shape[axis] + 4 * LIBM_ULPS + reach + in_sum) * UNIT_ROUNDOFF
    least = low / (low + np.maximum(sum_high - high, 0))
    most = high / (high + np.maximum(sum_low - low, 0))
    if op.attrs["log"]:
        down, up = (ends.astype(np.float64) - top for ends in (x.lo, x.hi))
        lo = down - np.log(low + np.maximum(sum_high - high, 0)) - relative
        hi = up - np.log(high + np.maximum(sum_low - low, 0)) + relative
        return _outward(np.where(np.isfinite(lo), lo, -np.inf), np.where(np.isfinite(hi), np.minimum(hi, 0), 0))
    tiny = float(np.finfo(np.float32).tiny)
    lo, hi = np.maximum(least * (1 - relative) - tiny, 0), np.minimum(most * (1 + relative) + tiny, 1)
    known = (x.lo == x.hi) | np.isnan(x.lo)  # of points, what is no number here is none there
    unknown = (np.isnan(lo) | np.isnan(hi)) & ~known.all(axis=axis, keepdims=True)
    found = _outward(np.where(unknown, 0, lo), np.where(unknown, 1, hi))
    return Interval(np.maximum(found.lo, 0), np.minimum(found.hi, 1))


def _widened_sum(op: Op, x: Interval) -> Interval:
    """Sums and means of float32 in any order; softmax with its exps: a relative bound from the number of terms."""
    if op.name == "nn.softmax":
        return _softmax(op, x)
    ends = [np.asarray(evaluate_op(op, [a.astype(np.float64)])) for a in (x.lo, x.hi)]
    size_of = np.asarray(evaluate_op(op, [np.maximum(np.abs(x.lo), np.abs(x.hi)).astype(np.float64)]))
    terms = (
        max(1, round(x.lo.size / max(1, size_of.size)))
        if op.name != "nn.avg_pool"
        else int(np.prod(op.attrs["kernel"]))
    )
    bound = size_of * (terms + 2) * UNIT_ROUNDOFF
    exact_step = _step(x.lo.astype(np.float64)) if x.is_point else 0.0
    power_of_two = op.name == "nn.reduce_sum" or (terms & (terms - 1)) == 0
    if exact_step and power_of_two and size_of.max(initial=0.0) * terms < exact_step * 2**24:
        return point(ends[0].astype(x.lo.dtype))
    found = _outward(ends[0] - bound, ends[1] + bound)
    no_sum_is_negative = bool(np.all(x.lo >= 0))
    return Interval(np.maximum(found.lo, np.float32(0)), found.hi) if no_sum_is_negative else found


def _outward(lo: np.ndarray, hi: np.ndarray) -> Interval:
    down, up = lo.astype(np.float32), hi.astype(np.float32)
    return Interval(np.nextafter(down, np.float32(-np.inf)), np.nextafter(up, np.float32(np.inf)))


_LIBM = {
    *("nn.exp", "nn.log", "nn.log1p", "nn.tanh", "nn.sigmoid", "nn.erf", "nn.pow"),
    *("nn.sin", "nn.cos", "nn.tan", "nn.asin", "nn.acos", "nn.atan"),
    *("nn.sinh", "nn.cosh", "nn.asinh", "nn.acosh", "nn.atanh"),
}


_SUMS = {"nn.avg_pool", "nn.reduce_mean", "nn.reduce_sum", "nn.softmax"}
MAY_ROUND = frozenset({"nn.conv", "nn.matmul", *_SUMS, *_LIBM, *PLACES})
"""Ops that may give other bits elsewhere for operands of the same bits; what is not here rounds once, by IEEE 754, or not at all."""


_KEEPS_SIGN = ("nn.exp", "nn.pow", "nn.sigmoid")
"""Where the true value is not negative, no library gives a negative one."""


def _libm(op: Op, x: Interval) -> Interval:
    if op.name not in _LIBM:
        return x
    # onnxruntime's sigmoid is 0.5 + an odd rational function: near 0 it has the error of numbers near 0.5
    near = 0.5 if op.name == "nn.sigmoid" else 0.0
    reach = (np.maximum(np.abs(end), end.dtype.type(near)) for end in (x.lo, x.hi))
    lo, hi = (np.where(np.isfinite(size), np.spacing(size) * LIBM_ULPS, 0) for size in reach)
    least = x.lo - lo
    if op.name in _KEEPS_SIGN:
        least = np.where(x.lo >= 0, np.maximum(least, least.dtype.type(0)), least)
    return Interval(least, x.hi + hi)


def _elementwise(op: Op, xs: list[Interval]) -> Interval:
    """All combinations of ends; where the op is not monotone between them, the widest it can be."""
    special = _SPECIAL.get(op.name)
    return special(op, xs) if special is not None else _corners(op, xs)


def _corners(op: Op, xs: list[Interval]) -> Interval:
    ends = [(x.lo,) if x.is_point else (x.lo, x.hi) for x in xs]
    corners = [np.asarray(evaluate_op(op, list(choice))) for choice in combinations(*ends)]
    lo, hi = corners[0], corners[0]
    for corner in corners[1:]:
        lo, hi = np.minimum(lo, corner), np.maximum(hi, corner)
    return Interval(lo, hi)


def _of_two(op: Op, xs: list[Interval]) -> Interval:
    """Sums, differences and products. An end that is infinite because nothing nearer is known is none of the interval's numbers, so
    what is no number of infinite ends is none of the results: 0 times those numbers is 0."""
    corners = [np.asarray(evaluate_op(op, list(ends))) for ends in combinations(*((x.lo, x.hi) for x in xs))]
    exact = _corners(op, xs)
    lo, hi = (
        np.where(np.isnan(end), end.dtype.type(0), end) for end in (np.fmin.reduce(corners), np.fmax.reduce(corners))
    )
    known = _strange(xs[0]) | _strange(xs[1])
    return Interval(np.where(known, exact.lo, lo), np.where(known, exact.hi, hi))


def _strange(x: Interval) -> np.ndarray:
    """Where the elements are known to be infinite, or may be NaN."""
    return np.asarray(np.isnan(x.lo) | np.isnan(x.hi) | ((x.lo == x.hi) & np.isinf(x.lo)))


def _abs(op: Op, xs: list[Interval]) -> Interval:
    (x,) = xs
    lo, hi = np.abs(x.lo), np.abs(x.hi)
    straddles = (x.lo < 0) & (x.hi > 0)
    return Interval(np.where(straddles, lo.dtype.type(0), np.minimum(lo, hi)), np.maximum(lo, hi))


def _equal(op: Op, xs: list[Interval]) -> Interval:
    a, b = xs
    sure = (a.lo == a.hi) & (b.lo == b.hi) & (a.lo == b.lo)
    return Interval(np.asarray(sure), np.asarray((a.lo <= b.hi) & (b.lo <= a.hi)))


def _xor(op: Op, xs: list[Interval]) -> Interval:
    a, b = xs
    open_ = (a.lo != a.hi) | (b.lo != b.hi)
    value = a.lo ^ b.lo
    return Interval(np.asarray(value & ~open_), np.asarray(value | open_))


def _where(op: Op, xs: list[Interval]) -> Interval:
    c, a, b = xs
    first, second = np.where(c.lo, a.lo, b.lo), np.where(c.lo, a.hi, b.hi)
    other_lo, other_hi = np.where(c.hi, a.lo, b.lo), np.where(c.hi, a.hi, b.hi)
    return Interval(np.minimum(first, other_lo), np.maximum(second, other_hi))


def _prelu(op: Op, xs: list[Interval]) -> Interval:
    """A negative slope turns at 0, where the result is 0."""
    ends = _corners(op, xs)
    straddles = (xs[0].lo < 0) & (xs[0].hi > 0)
    zero = ends.lo.dtype.type(0)
    return Interval(
        np.where(straddles, np.minimum(ends.lo, zero), ends.lo), np.where(straddles, np.maximum(ends.hi, zero), ends.hi)
    )


def _divide(op: Op, xs: list[Interval]) -> Interval:
    divisor = xs[-1]
    straddles = (divisor.lo <= 0) & (divisor.hi >= 0) & (divisor.lo != divisor.hi)
    ends = [(x.lo, x.hi) for x in xs]
    corners = [np.asarray(evaluate_op(op, list(choice))) for choice in combinations(*ends)]
    lo, hi = np.minimum.reduce(corners), np.maximum.reduce(corners)
    return Interval(np.where(straddles, -np.inf, lo).astype(lo.dtype), np.where(straddles, np.inf, hi).astype(hi.dtype))


def _mul(op: Op, xs: list[Interval]) -> Interval:
    """A number times itself is a square, at least 0."""
    return _even(op, xs) if op.operands[0] is op.operands[1] else _of_two(op, xs)


def _pow(op: Op, xs: list[Interval]) -> Interval:
    """Even powers are least at 0."""
    exponent = op.operands[1].constant
    return _even(op, xs) if exponent is not None and np.all(exponent % 2 == 0) else _corners(op, xs)


def _even(op: Op, xs: list[Interval]) -> Interval:
    """A function of |x| that rises or falls with it, where the other operand is x itself or a constant."""
    size = _abs(op, xs[:1])
    other = [size] if op.operands[1] is op.operands[0] else xs[1:]
    ends = [np.asarray(evaluate_op(op, [getattr(i, end) for i in (size, *other)])) for end in ("lo", "hi")]
    return Interval(np.minimum(*ends), np.maximum(*ends))


def _cosh(op: Op, xs: list[Interval]) -> Interval:
    """Even, and least at 0."""
    size = _abs(op, xs)
    return Interval(np.cosh(size.lo), np.cosh(size.hi))


def _wave(op: Op, xs: list[Interval]) -> Interval:
    one = np.ones_like(xs[0].lo)
    return Interval(-one, one)


def _anything(op: Op, xs: list[Interval]) -> Interval:
    """What is not monotone, and was not worth a rule, may be any number of its type."""
    shape = np.broadcast_shapes(*(x.lo.shape for x in xs))
    return Interval(*(np.full(shape, end) for end in anything(xs[0].lo.dtype)))


_SPECIAL: dict[str, Callable[[Op, list[Interval]], Interval]] = {
    "nn.abs": _abs,
    "nn.equal": _equal,
    "nn.xor": _xor,
    "nn.where": _where,
    "nn.prelu": _prelu,
    "nn.add": _of_two,
    "nn.sub": _of_two,
    "nn.mul": _mul,
    "nn.pow": _pow,
    "nn.div": _divide,
    "nn.reciprocal": _divide,
    "nn.cosh": _cosh,
    "nn.sin": _wave,
    "nn.cos": _wave,
    **dict.fromkeys(("nn.tan", "nn.fmod", "nn.shift_left", "nn.shift_right"), _anything),
    **dict.fromkeys(("nn.bit_and", "nn.bit_or", "nn.bit_xor"), _anything),
}


def _selection(op: Op, x: Interval) -> list[Interval]:
    """Indices are sure where both ends choose alike and no two elements' intervals overlap; else any index may be."""
    axis: Any = op.attrs["axis"]
    results = [evaluate_op(op, [a]) for a in (x.lo, x.hi)]
    pairs = list(zip(*((r if isinstance(r, tuple) else (r,)) for r in results), strict=True))
    order = np.argsort(x.lo, axis=axis, kind="stable")
    lo, hi = np.take_along_axis(x.lo, order, axis), np.take_along_axis(x.hi, order, axis)
    length = lo.shape[axis]
    before, after = np.take(hi, range(length - 1), axis), np.take(lo, range(1, length), axis)
    touching = (before >= after) & ~((before == after) & (np.take(lo, range(length - 1), axis) == before))
    unsure = touching.any(axis=axis, keepdims=True)
    out: list[Interval] = []
    for first, second in pairs:
        doubt = unsure if np.ndim(first) == np.ndim(unsure) else np.squeeze(unsure, axis)
        if first.dtype.kind == "f":
            out.append(Interval(np.minimum(first, second), np.maximum(first, second)))
        else:
            out.append(Interval(np.where(doubt, 0, first), np.where(doubt, length - 1, first)))
    return out
