"""``compare-softmax``: which probabilities reach a share of the largest is told by the numbers before the softmax."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, floor, log
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.passes.base import Pass
from bitc.passes.facts import Integers, grid
from bitc.passes.value_sets import ValueSets

MARGIN = 1e-3
"""How near, relatively, a quotient of exponentials may come to the share: float32 is off by some 1e-6 and the numbers' own spread."""

MOST = 1 << 16
"""Integers up to here: a difference of two multiples of the scale is far less than half a step off in float32."""

_TESTS = ("nn.less", "nn.less_equal", "nn.greater", "nn.greater_equal")
_MIRRORED = {"nn.less": "nn.greater", "nn.less_equal": "nn.greater_equal"}
_MIRRORED |= {there: here for here, there in _MIRRORED.items()}


@dataclass(frozen=True)
class CompareSoftmax(Pass):
    """For x = s·k with integers k, and 0 < c < 1::

        softmax(x)[j] < c · max softmax(x)   <=>   exp(x[j] - max x) < c   <=>   x[j] < max x - s·(T + 1/2),   T = floor(-ln(c) / s)

    since the exponentials of whole steps are told from c by float32: exp(-s·T) and exp(-s·(T + 1)) are both at least 0.1 % away from c
    (else the comparison stays). Both sides may be NaN only together. BiViT's attention (He et al. 2022, arXiv:2211.07091, softmax-aware
    binarization) compares so; nothing else reads its softmax.
    """

    name: ClassVar[str] = "compare-softmax"

    def run(self, graph: Graph) -> Graph:
        sets = ValueSets()

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name not in _TESTS:
                return None
            for test, (left, right) in ((op.name, op.operands), (_MIRRORED[op.name], op.operands[::-1])):
                found = _share_of_largest(left, right)
                if found is not None:
                    return _compared(op, test, *found, sets, b)
            return None

        return rewrite(graph, rule)


def _share_of_largest(left: Value, right: Value) -> tuple[Op, float] | None:
    """The softmax and c, where ``left`` is the softmax and ``right`` c times the largest of each of its slices."""
    softmax, product = left.producer, _behind_views(right).producer
    if softmax is None or softmax.name != "nn.softmax" or softmax.attrs["log"]:
        return None
    if product is None or product.name != "nn.mul":
        return None
    for largest, share in (product.operands, product.operands[::-1]):
        maximum = _behind_views(largest).producer
        if share.constant is None or share.constant.size != 1 or maximum is None or maximum.name != "nn.reduce_max":
            continue
        axis, rank = softmax.attrs["axis"], len(left.shape)
        kept = tuple(1 if position == axis % rank else size for position, size in enumerate(left.shape))
        if maximum.operands[0] is left and _axes(maximum) == (axis % rank,) and right.shape == kept:
            return softmax, float(share.constant.reshape(()))
    return None


def _axes(op: Op) -> tuple[int, ...]:
    rank = len(op.operands[0].shape)
    return tuple(sorted(axis % rank for axis in op.attrs["axes"]))


def _behind_views(value: Value) -> Value:
    while value.producer is not None and value.producer.name == "nn.reshape":
        value = value.producer.operands[0]
    return value


def _compared(op: Op, test: str, softmax: Op, share: float, sets: ValueSets, b: Builder) -> Value | None:
    """The comparison of the numbers themselves, None where rounding could decide it."""
    (x,) = softmax.operands
    fact = sets.of(x)
    fact = fact if isinstance(fact, Integers) else grid(fact)
    if fact is None or not 0 < share < 1 or max(abs(fact.lo), abs(fact.hi)) > MOST:
        return None
    scale = fact.scale * fact.step
    steps = floor(-log(share) / scale)
    if any(abs(exp(-scale * count) / share - 1) < MARGIN for count in (steps, steps + 1)):
        return None
    top = b.add("nn.reduce_max", x, axes=(softmax.attrs["axis"] % len(x.shape),), loc=op.loc)
    kept = tuple(1 if axis == softmax.attrs["axis"] % len(x.shape) else size for axis, size in enumerate(x.shape))
    if top.shape != kept:
        top = b.add("nn.reshape", top, shape=kept, loc=op.loc)
    edge = b.add("nn.sub", top, b.constant(np.asarray(scale * (steps + 0.5), np.float32)), loc=op.loc)
    return b.add(test, x, edge, loc=op.loc)
