"""``straight-through``: the residue (q - t) + t that a straight-through estimator leaves in an exported graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.ir.residue import residue
from bitc.passes.base import Pass
from bitc.passes.facts import bounds
from bitc.passes.ratios import ratio_range
from bitc.passes.residues import residue_vanishes
from bitc.passes.value_sets import ValueSets

_MOVES = ("nn.reshape", "nn.transpose", "nn.expand", "nn.slice", "nn.pad", "nn.concat")
_PRODUCTS = ("nn.conv", "nn.matmul")

MOST = 2.0
"""Subtracting and adding numbers up to here moves q by at most 2^-22."""


@dataclass(frozen=True)
class StraightThrough(Pass):
    """Where t is such that float32 rounds back to q (:mod:`bitc.passes.residues`)::

        (q - t) + t  -->  q

    So it is for q the sign of x and t its clip to ±1 or the quadratic pieces of Bi-Real Net, for q = round(t), and for q of {0, 1} beside
    a softmax or sigmoid t. Where t is NaN, as the quadratic pieces are of numbers beyond 2^63, bitc gives q.

    Elsewhere it is an identity of real numbers, from which the file's float32 departs by a rounding error. It is applied where q is of
    codes, perhaps times a scale computed at run time, |t| <= 2 or q is t quantized by its own size (so their sum is no larger than
    the largest level), and only products read it, through moves or at once: they multiply codes then, and their contract is "rounded"
    (see ``pull-scales``).

    With ``trust`` any t is accepted where q is a finite set, and the contract is not changed.
    """

    name: ClassVar[str] = "straight-through"
    trust: bool = False

    def run(self, graph: Graph) -> Graph:
        sets = ValueSets()
        users = graph.users()
        rounded: list[str] = []

        def rule(op: Op, b: Builder) -> Value | None:
            found = residue(op)
            if found is None:
                return None
            q, t = found
            if (self.trust and sets.values(q) is not None) or residue_vanishes(q, t, sets):
                return q
            readers = _products_reading(op.result, users, graph.outputs)
            lo, hi = bounds(sets.of(t))
            small = -MOST <= lo <= hi <= MOST or _quantizes_by_size(q, t)
            if readers is None or not small or not _scaled_codes(q, sets):
                return None
            rounded.extend(reader.loc for reader in readers)
            return q

        after = rewrite(graph, rule)
        if rounded:
            after.attrs["rounded_products"] = (*graph.attrs.get("rounded_products", ()), *dict.fromkeys(rounded))
        return after


def _scaled_codes(q: Value, sets: ValueSets) -> bool:
    """Whether ``q`` takes few values, or is such numbers times or divided by one that is computed for many of them."""
    if sets.values(q) is not None:
        return True
    op = q.producer
    if op is None or op.name not in ("nn.mul", "nn.div"):
        return False
    pairs = [op.operands, op.operands[::-1]] if op.name == "nn.mul" else [op.operands]
    return any(sets.values(codes) is not None and prod(scale.shape) < prod(codes.shape) for codes, scale in pairs)


def _quantizes_by_size(q: Value, t: Value) -> bool:
    """Whether ``q`` is ``round(t·s) / s``, or ``round(t/r) · r``, where t·s is no larger than the number of levels whatever t is."""
    op = q.producer
    if op is None or op.name not in ("nn.mul", "nn.div"):
        return False
    for codes, scale in (op.operands, op.operands[::-1]):
        while codes.producer is not None and codes.producer.name in ("nn.round", "nn.min", "nn.max"):
            codes = codes.producer.operands[0]
        ratio = codes.producer
        if ratio is not None and set(ratio.operands) == {t, scale} and ratio_range(ratio) is not None:
            return True
    return False


def _products_reading(
    value: Value, users: Mapping[Value, Sequence[Op]], outputs: Sequence[Value]
) -> tuple[Op, ...] | None:
    """The products that read ``value``, at once or what moves make of it; None if anything else does."""
    if value in outputs or not users[value]:
        return None
    found: list[Op] = []
    for user in users[value]:
        if user.name in _PRODUCTS:
            found.append(user)
            continue
        behind = _products_reading(user.result, users, outputs) if user.name in _MOVES else None
        if behind is None:
            return None
        found += behind
    return tuple(found)
