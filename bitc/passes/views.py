"""``sink-views``: transposes and reshapes move below elementwise ops, so that they meet and cancel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.passes.base import Pass


@dataclass(frozen=True)
class SinkViews(Pass):
    """An elementwise f commutes with moving elements about, constants moved the other way::

        f(transpose(x, p), c)  -->  transpose(f(x, transpose(c, p^-1)), p)
        f(reshape(x), c)       -->  reshape(f(x, c'))     c a scalar, or the reshape only adds or drops unit axes
        pad(transpose(x, p))   -->  transpose(pad(x), p)

    Runs to a fixed point. A reshape of a graph input stays: the caller's array is row-major, so viewing it costs nothing there.
    """

    name: ClassVar[str] = "sink-views"

    def run(self, graph: Graph) -> Graph:
        while True:
            after = rewrite(graph, _rule, fold=True)
            if [op.name for op in after.ops] == [op.name for op in graph.ops]:
                return after
            graph = after


def _rule(op: Op, b: Builder) -> Value | None:
    if op.name == "nn.pad":
        return _sink_pad(op, b)
    if not op.decl.elementwise or len(op.results) != 1:
        return None
    moving = [operand for operand in op.operands if operand.constant is None]
    views = [operand.producer for operand in moving]
    first = views[0] if views else None
    if first is None or any(view is None or view.name != first.name for view in views):
        return None
    if any(operand.shape != op.results[0].shape for operand in moving):
        return None
    if first.name == "nn.transpose":
        return _sink_transpose(op, [v for v in views if v is not None], b)
    if first.name == "nn.reshape":
        return _sink_reshape(op, [v for v in views if v is not None], b)
    return None


def _sink_transpose(op: Op, views: Sequence[Op], b: Builder) -> Value | None:
    perm = views[0].attrs["perm"]
    if any(view.attrs["perm"] != perm for view in views):
        return None
    inverse = tuple(int(i) for i in np.argsort(perm))
    operands = []
    for operand in op.operands:
        constant = operand.constant
        if constant is None:
            assert operand.producer is not None
            operands.append(operand.producer.operands[0])
            continue
        if constant.ndim > len(perm):
            return None
        full = (1,) * (len(perm) - constant.ndim) + constant.shape
        operands.append(b.moved_constant(operand, full, inverse, loc=op.loc))
    moved = b.add(op.name, *operands, loc=op.loc, **op.attrs)
    return b.add("nn.transpose", moved, perm=perm, loc=views[0].loc)


def _sink_reshape(op: Op, views: Sequence[Op], b: Builder) -> Value | None:
    inner = views[0].operands[0].shape
    if any(view.operands[0].shape != inner or view.operands[0].producer is None for view in views):
        return None
    shape = op.results[0].shape
    operands = []
    for operand in op.operands:
        constant = operand.constant
        if constant is None:
            assert operand.producer is not None
            operands.append(operand.producer.operands[0])
            continue
        moved = _constant_before_reshape(constant, shape, inner)
        if moved is None:
            return None
        operands.append(b.moved_constant(operand, moved.shape, loc=op.loc))
    result = b.add(op.name, *operands, loc=op.loc, **op.attrs)
    return b.add("nn.reshape", result, shape=shape, loc=views[0].loc)


def _constant_before_reshape(constant: np.ndarray, after: Sequence[int], before: Sequence[int]) -> np.ndarray | None:
    """``constant``, which broadcasts to shape ``after``, for shape ``before``; None where there is no such array of its size.

    >>> _constant_before_reshape(np.array([1, 2, 3]), (1, 3), (1, 3, 1, 1)).shape
    (1, 3, 1, 1)
    """
    if constant.size == 1:
        return constant.reshape((1,) * len(before))
    kept_after = [i for i, n in enumerate(after) if n != 1]
    kept_before = [i for i, n in enumerate(before) if n != 1]
    if [after[i] for i in kept_after] != [before[i] for i in kept_before] or constant.ndim > len(after):
        return None
    full = constant.reshape((1,) * (len(after) - constant.ndim) + constant.shape)
    shape = [1] * len(before)
    for i, j in zip(kept_after, kept_before, strict=True):
        shape[j] = full.shape[i]
    return full.reshape(shape)


def _sink_pad(op: Op, b: Builder) -> Value | None:
    view = op.operands[0].producer
    if view is None or view.name != "nn.transpose":
        return None
    perm, pads = view.attrs["perm"], op.attrs["pads"]
    rank = len(perm)
    before = [0] * (2 * rank)
    for axis, source in enumerate(perm):
        before[source], before[rank + source] = pads[axis], pads[rank + axis]
    padded = b.add("nn.pad", view.operands[0], pads=tuple(before), value=op.attrs["value"], loc=op.loc)
    return b.add("nn.transpose", padded, perm=perm, loc=view.loc)
