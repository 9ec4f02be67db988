"""Intervals of reads and writes at computed places, and of running sums and products (see :mod:`bitc.ir.intervals`)."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from bitc.ir.graph import Op
from bitc.ir.interpreter import evaluate_op
from bitc.ir.interval import UNIT_ROUNDOFF, Interval, anything


def outward(ends: Interval, dtype: np.dtype, slack: np.ndarray) -> Interval:
    """Float64 ``ends`` widened by ``slack`` and rounded outward to ``dtype``; integers are exact and only clamped to it."""
    lo, hi = ends.lo - slack, ends.hi + slack
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        wraps = (lo < limits.min) | (hi > limits.max)
        return Interval(np.where(wraps, limits.min, lo).astype(dtype), np.where(wraps, limits.max, hi).astype(dtype))
    down, up = lo.astype(dtype), hi.astype(dtype)
    exact = slack == 0
    return Interval(
        np.where(exact & (down == lo), down, np.nextafter(down, dtype.type(-np.inf))),
        np.where(exact & (up == hi), up, np.nextafter(up, dtype.type(np.inf))),
    )


def lookup(op: Op, xs: list[Interval]) -> Interval:
    """What is read at sure places lies where x lies there; at unsure ones anywhere in x's range."""
    x, indices = xs
    if indices.is_point:
        return Interval(*(np.asarray(evaluate_op(op, [end, indices.lo])) for end in (x.lo, x.hi)))
    shape = op.results[0].shape
    return Interval(np.full(shape, x.lo.min(), x.lo.dtype), np.full(shape, x.hi.max(), x.hi.dtype))


def scatter(op: Op, xs: list[Interval]) -> Interval:
    """At sure places sums round once for each update; at unsure ones every element may be any update, or any number."""
    x, indices, updates = xs
    how, dtype = op.attrs["reduction"], x.lo.dtype
    if indices.is_point and how != "mul":
        wide = [[end.astype(np.float64) for end in (side.lo, side.hi)] for side in (x, updates)]
        ends = Interval(*(np.asarray(evaluate_op(op, [a, indices.lo, b])) for a, b in zip(*wide, strict=True)))
        return outward(ends, dtype, _scatter_slack(op, wide, indices.lo) if how == "add" else np.zeros(1))
    if how in ("none", "max", "min"):
        low, high = min(x.lo.min(), updates.lo.min()), max(x.hi.max(), updates.hi.max())
    else:
        low, high = anything(dtype)
    return Interval(np.full(x.lo.shape, low, dtype), np.full(x.lo.shape, high, dtype))


def _scatter_slack(op: Op, wide: list[list[np.ndarray]], indices: np.ndarray) -> np.ndarray:
    """Rounding of sums of float updates: terms · u · sum of sizes, 0 where nothing is added."""
    x, updates = (np.maximum(np.abs(lo), np.abs(hi)) for lo, hi in wide)
    if op.operands[0].type.dtype.numpy.kind != "f":  # type: ignore[union-attr]
        return np.zeros(1)
    count = np.asarray(evaluate_op(op, [np.zeros_like(x), indices, np.ones_like(updates)]))
    sizes = np.asarray(evaluate_op(op, [x, indices, updates]))
    return np.asarray(sizes * count * UNIT_ROUNDOFF)


def running_sum(op: Op, xs: list[Interval]) -> Interval:
    """Sums of n terms in any order: n · u · sum of sizes."""
    (x,) = xs
    wide = [end.astype(np.float64) for end in (x.lo, x.hi)]
    ends = Interval(*(np.asarray(evaluate_op(op, [end])) for end in wide))
    sizes = np.asarray(evaluate_op(op, [np.maximum(*map(np.abs, wide))]))
    terms = x.lo.shape[op.attrs["axis"]] if x.lo.dtype.kind == "f" else 0
    return outward(ends, x.lo.dtype, sizes * terms * UNIT_ROUNDOFF)


def product(op: Op, xs: list[Interval]) -> Interval:
    """Interval multiplication, factor by factor, and a relative rounding of n · u."""
    (x,) = xs
    rank, axes = x.lo.ndim, tuple(axis % x.lo.ndim for axis in op.attrs["axes"])
    kept = [axis for axis in range(rank) if axis not in axes]
    shape = (prod(x.lo.shape[axis] for axis in kept), prod(x.lo.shape[axis] for axis in axes))
    lo, hi = (end.astype(np.float64).transpose(*kept, *axes).reshape(shape) for end in (x.lo, x.hi))
    low, high = np.ones(shape[0]), np.ones(shape[0])
    for factor in range(shape[1]):
        corners = [a * b for a in (low, high) for b in (lo[:, factor], hi[:, factor])]
        low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    result = op.results[0].shape
    ends = Interval(low.reshape(result), high.reshape(result))
    tiny = float(np.finfo(np.float32).tiny) if x.lo.dtype.kind == "f" else 0.0
    terms = shape[1] + 1 if x.lo.dtype.kind == "f" else 0
    return outward(ends, x.lo.dtype, np.maximum(np.abs(ends.lo), np.abs(ends.hi)) * terms * UNIT_ROUNDOFF + tiny)


RULES: dict[str, Callable[[Op, list[Interval]], Interval]] = {
    "nn.take": lookup,
    "nn.take_along": lookup,
    "nn.take_nd": lookup,
    "nn.scatter_along": scatter,
    "nn.scatter_nd": scatter,
    "nn.cumsum": running_sum,
    "nn.reduce_prod": product,
}
"""By op."""
