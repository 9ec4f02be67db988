"""When does ``(q - t) + t`` give q to the bit? What a straight-through estimator leaves in a graph, examined cell by cell of the real line.

Three facts about float32, where t is a finite number:

* q = 0: ``(0 - t) + t`` is 0.
* q = ±1 and t/q in [0, 2]: so |q - t| <= 1. For t/q >= 1/2 the difference is exact (Sterbenz); below, it lies in [1/2, 1], its error is
  at most 2^-25, and adding t back rounds to q (the tie at 1 - 2^-25 goes to even, which is 1).
* q = round(t), floor(t) or ceil(t): |q| <= 1 is the above. Beyond, t/q lies in [1/2, 2] and the difference is exact.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from bitc.ir import DType, Op, TensorType, Value
from bitc.ir.interpreter import evaluate_op
from bitc.passes.cones import cone
from bitc.passes.facts import bounds
from bitc.passes.value_sets import ValueSets

LARGEST = 2.0**62
"""Polynomials of x, which the quadratic estimators are, overflow to NaN beyond; there bitc gives the sign."""

_ROUNDINGS = ("nn.round", "nn.floor", "nn.ceil")
_COMPARISONS = ("nn.less", "nn.less_equal", "nn.greater", "nn.greater_equal")
_AT_CORNERS = {*_ROUNDINGS, *_COMPARISONS, "nn.sign", "nn.add", "nn.sub", "nn.mul", "nn.neg", "nn.min", "nn.max"}
_AT_CORNERS |= {"nn.relu", "nn.cast", "nn.where"}
"""Ops that take their extremes over a box at its corners, as computed: they are monotone in each operand, or choose between two."""

_Ends = tuple[np.ndarray, np.ndarray]


def residue_vanishes(q: Value, t: Value, sets: ValueSets) -> bool:
    """Whether ``(q - t) + t`` is q for all numbers these are computed from."""
    made_by = q.producer
    if made_by is not None and made_by.name in _ROUNDINGS and made_by.operands[0] is t:
        return bool(np.isfinite(bounds(sets.of(t))).all())
    return _within_bounds(q, t, sets) or any(_cell_by_cell(q, t, root) for root in _compared(q))


def _within_bounds(q: Value, t: Value, sets: ValueSets) -> bool:
    """q of {0, 1} and t of [0, 2] whatever they are computed from, as a softmax is."""
    lo, hi = bounds(sets.of(t))
    return set(sets.values(q) or (np.nan,)) <= {0.0, 1.0} and 0 <= lo <= hi <= 2


def _compared(q: Value) -> list[Value]:
    """The values that ``q`` asks the sign of, or compares."""
    found = [op.operands[0] for op in cone(q) if op.name == "nn.sign"]
    for op in cone(q):
        if op.name in _COMPARISONS:
            found += [operand for operand in op.operands if operand.constant is None]
    return list(dict.fromkeys(found))


def _cell_by_cell(q: Value, t: Value, root: Value) -> bool:
    """Both as functions of ``root``, on cells that cover the numbers up to :data:`LARGEST`."""
    if not isinstance(root.type, TensorType) or root.type.dtype is not DType.F32:
        return False
    ops = list(dict.fromkeys((*cone(q, lambda v: v is root), *cone(t, lambda v: v is root))))
    ends = _evaluated(ops, root, _cells(ops))
    if ends is None or q not in ends or t not in ends:
        return False
    (q_lo, q_hi), (t_lo, t_hi) = ends[q], ends[t]
    one_value = (q_lo == q_hi) & np.isin(q_lo, (-1, 0, 1))
    near = (np.minimum(t_lo * q_lo, t_hi * q_lo) >= 0) & (np.maximum(t_lo * q_lo, t_hi * q_lo) <= 2)
    return bool(np.all(one_value & near & np.isfinite(t_lo) & np.isfinite(t_hi)))


def _cells(ops: list[Op]) -> _Ends:
    """Points where a comparison may turn, powers of two and zeros, each a cell; and what lies between two neighbours."""
    limits = [o.constant for op in ops for o in op.operands if o.constant is not None and o.constant.size == 1]
    turns = [float(limit.reshape(-1)[0]) for limit in limits if limit.dtype.kind == "f"]
    powers = 2.0 ** np.arange(-149, np.log2(LARGEST) + 1)
    points = np.unique(np.asarray([*turns, *powers, *-powers, 0.0], np.float32))
    points = points[np.abs(points) <= LARGEST]
    inner = np.nextafter(points[:-1], np.float32(np.inf)), np.nextafter(points[1:], np.float32(-np.inf))
    some = inner[0] <= inner[1]
    return np.concatenate([points, inner[0][some]]), np.concatenate([points, inner[1][some]])


def _evaluated(ops: list[Op], root: Value, cells: _Ends) -> dict[Value, _Ends] | None:
    """The ends of each value on each cell; None where an op has no rule, or a constant differs from element to element."""
    known: dict[Value, _Ends] = {root: cells}
    for op in ops:
        if op.name == "nn.constant":
            continue
        operands = []
        for operand in op.operands:
            if operand not in known and (operand.constant is None or operand.constant.size != 1):
                return None
            constant = np.asarray(operand.constant).reshape(-1)
            operands.append(known.get(operand, (constant, constant)))
        if op.name not in _AT_CORNERS:
            return None
        with np.errstate(all="ignore"):
            corners = [np.asarray(evaluate_op(op, list(corner))) for corner in product(*operands)]
        full = [np.broadcast_to(corner, cells[0].shape) for corner in corners]
        known[op.result] = np.minimum.reduce(full), np.maximum.reduce(full)
    return known
