"""``straight-through``: the residue (q - t) + t that a straight-through estimator leaves in an exported graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.passes.base import Pass
from bitc.passes.value_sets import ValueSets


@dataclass(frozen=True)
class StraightThrough(Pass):
    """With q the sign of x (0 allowed) and t = clip(x, -1, 1), float32 rounding included::

        (q - t) + t  -->  q

    Proof: t and q have the same sign and |t| <= 1, so |q - t| <= 1. For |t| >= 1/2 the difference is exact (Sterbenz); below, it lies
    in [1/2, 1], its error is at most 2^-25, and adding t back rounds to q (the tie at 1 - 2^-25 goes to even, which is 1).

    With ``trust`` any t is accepted where q is a finite set: the file's own result may then differ from q by a rounding error.
    """

    name: ClassVar[str] = "straight-through"
    trust: bool = False

    def run(self, graph: Graph) -> Graph:
        sets = ValueSets()

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name != "nn.add":
                return None
            for difference, t in (op.operands, op.operands[::-1]):
                inner = difference.producer
                if inner is None or inner.name != "nn.sub" or inner.operands[1] is not t:
                    continue
                q = inner.operands[0]
                proved = _is_sign_and_clip(q, t)
                if q.shape == op.results[0].shape and (proved or (self.trust and sets.values(q) is not None)):
                    return q
            return None

        return rewrite(graph, rule)


def _is_sign_and_clip(q: Value, t: Value) -> bool:
    x = _signed(q)
    return x is not None and x is _clipped(t)


def _signed(q: Value) -> Value | None:
    """x where q is -1, (0,) +1 by the sign of x."""
    op = q.producer
    if op is None:
        return None
    if op.name == "nn.sign":
        return op.operands[0]
    if op.name != "nn.where" or not (_is(op.operands[1], 1) and _is(op.operands[2], -1)):
        return None
    test = op.operands[0].producer
    if test is None or test.name not in ("nn.greater", "nn.greater_equal") or not _is(test.operands[1], 0):
        return None
    return test.operands[0]


def _clipped(t: Value) -> Value | None:
    """x where t = min(max(x, -1), 1), in either order."""
    bounds = {"nn.max": -1, "nn.min": 1}
    seen = []
    while t.producer is not None and t.producer.name in bounds and t.producer.name not in seen:
        name = t.producer.name
        x, limit = t.producer.operands
        if not _is(limit, bounds[name]):
            return None
        seen.append(name)
        t = x
    return t if len(seen) == 2 else None


def _is(value: Value, number: float) -> bool:
    return value.constant is not None and bool(np.all(value.constant == number))
