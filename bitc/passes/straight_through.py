"""``straight-through``: the residue (q - t) + t that a straight-through estimator leaves in an exported graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.passes.base import Pass
from bitc.passes.residues import residue_vanishes
from bitc.passes.value_sets import ValueSets


@dataclass(frozen=True)
class StraightThrough(Pass):
    """Where t is such that float32 rounds back to q (:mod:`bitc.passes.residues`)::

        (q - t) + t  -->  q

    So it is for q the sign of x and t its clip to ±1 or the quadratic pieces of Bi-Real Net, for q = round(t), and for q of {0, 1} beside
    a softmax or sigmoid t. Where t is NaN, as the quadratic pieces are of numbers beyond 2^63, bitc gives q.

    With ``trust`` any t is accepted where q is a finite set: the file's own result may then differ from q by a rounding error.
    """

    name: ClassVar[str] = "straight-through"
    trust: bool = False

    def run(self, graph: Graph) -> Graph:
        sets = ValueSets()

        def rule(op: Op, b: Builder) -> Value | None:
            found = residue(op)
            if found is None:
                return None
            q, t = found
            trusted = self.trust and sets.values(q) is not None
            return q if trusted or residue_vanishes(q, t, sets) else None

        return rewrite(graph, rule)


def residue(op: Op) -> tuple[Value, Value] | None:
    """q and t, where ``op`` is the sum ``(q - t) + t`` in either order."""
    if op.name != "nn.add":
        return None
    for difference, t in (op.operands, op.operands[::-1]):
        inner = difference.producer
        if inner is not None and inner.name == "nn.sub" and inner.operands[1] is t:
            q = inner.operands[0]
            if q.shape == op.result.shape:
                return q, t
    return None
