"""``two-bases``: weights of four values ±a±b in each output channel become two products with weights of one bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.passes.base import Pass
from bitc.passes.coding import SAME_MAGNITUDE, Blocked, coding_of, keeps_precision, weight_coding
from bitc.passes.value_sets import ValueSets


@dataclass(frozen=True)
class TwoBases(Pass):
    """With w[m] = a[m]·S[m] + b[m]·T[m], where S and T are of signs and a >= b >= 0::

        conv(x, w)    -->  conv(x, a·S) + conv(x, b·T)
        matmul(x, w)  -->  matmul(x, a·S) + matmul(x, b·T)

    S is the sign of w, T that of |w| - a. Such weights are binarized twice, the second time what the first left (BinaryDM; residual
    binarization). Side conditions: x is proved to take few values, and w is no code by itself, as evenly spaced ±a±b are; and
    a - b is not so small that what cancels is more than the file's own rounding (:func:`bitc.passes.coding.keeps_precision`). The file
    rounds ``a ± b`` before it sums, so the contract of both products is "rounded" (see ``pull-scales``).
    """

    name: ClassVar[str] = "two-bases"

    def run(self, graph: Graph) -> Graph:
        sets = ValueSets()
        rounded: list[str] = []

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name not in ("nn.conv", "nn.matmul") or isinstance(coding_of(sets.of(op.operands[0])), Blocked):
                return None
            bases = _bases(op)
            if bases is None:
                return None
            rounded.append(op.loc)
            x = op.operands[0]
            first, second = (b.add(op.name, x, b.constant(w, loc=op.loc), loc=op.loc, **op.attrs) for w in bases)
            return b.add("nn.add", first, second, loc=op.loc)

        after = rewrite(graph, rule)
        if rounded:
            after.attrs["rounded_products"] = (*graph.attrs.get("rounded_products", ()), *rounded)
        return after


def _bases(op: Op) -> tuple[np.ndarray, np.ndarray] | None:
    """``a·S`` and ``b·T`` of the weights of ``op``, None where they are codes as they stand or not of this kind."""
    w = op.operands[1].constant
    if w is None or w.dtype != np.float32 or (op.name == "nn.matmul" and w.ndim != 2):
        return None
    axis = 0 if op.name == "nn.conv" else 1
    precise = keeps_precision(np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1))
    return two_bases(w, axis) if precise and isinstance(weight_coding(w, axis), Blocked) else None


def two_bases(weights: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Two arrays, each of weights ±a in each index of ``axis``, whose sum is ``weights`` up to rounding; None if there are none.

    >>> [base.tolist() for base in two_bases(np.array([[3.0, -3.0, 1.0, -1.0]]), 0)]
    [[[2.0, -2.0, 2.0, -2.0]], [[1.0, -1.0, -1.0, 1.0]]]
    """
    rows = np.moveaxis(weights, axis, 0)
    size = np.abs(rows.reshape(rows.shape[0], -1).astype(np.float64))
    low, high = size.min(axis=1, keepdims=True), size.max(axis=1, keepdims=True)
    large = size > (low + high) / 2
    if not np.isfinite(size).all() or np.any(np.where(large, high - size, size - low) > SAME_MAGNITUDE * high):
        return None
    high, low = (np.where(where, size, 0).sum(axis=1) / np.maximum(where.sum(axis=1), 1) for where in (large, ~large))
    high = np.where(large.any(axis=1), high, low)
    a, b = ((high + low) / 2)[:, np.newaxis], ((high - low) / 2)[:, np.newaxis]
    signs = np.where(rows.reshape(size.shape) < 0, -1.0, 1.0)
    bases = (a * signs, b * signs * np.where(large, 1.0, -1.0))
    first, second = (np.moveaxis(base.reshape(rows.shape), 0, axis) for base in bases)
    return np.ascontiguousarray(first, weights.dtype), np.ascontiguousarray(second, weights.dtype)
