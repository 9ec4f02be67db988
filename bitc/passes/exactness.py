"""Which values bitc computes with the oracle's very bits, and which only within rounding (architecture, "what exact means")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from bitc.ir import Graph, Op, TensorType, Value
from bitc.passes.cones import intervals_of_cone
from bitc.passes.facts import Integers, grid
from bitc.passes.value_sets import ValueSets

_OF_CODES = ("q.conv", "q.matmul", "q.dots", "q.gemm", "q.int_conv", "q.int_matmul", "q.int_gemm")
PRODUCTS = ("nn.conv", "nn.matmul", *_OF_CODES, "q.weight_conv", "q.weight_matmul")
_ROUNDED = {
    *("nn.exp", "nn.log", "nn.log1p", "nn.tanh", "nn.sigmoid", "nn.erf", "nn.pow", "nn.softmax"),
    *("nn.sin", "nn.cos", "nn.tan", "nn.asin", "nn.acos", "nn.atan"),
    *("nn.sinh", "nn.cosh", "nn.asinh", "nn.acosh", "nn.atanh"),
}
_DECIDE = {"nn.sign", "nn.greater", "nn.greater_equal", "nn.less", "nn.less_equal", "nn.equal"}
_DECIDE |= {"nn.round", "nn.floor", "nn.ceil"}
_SUMS = {"nn.avg_pool", "nn.reduce_mean", "nn.reduce_sum"}


@dataclass(frozen=True, slots=True)
class Exactness:
    """``rounded``: for each value the first op on its way whose float result depends on the order of summation or on a libm; values
    not in it are exact."""

    rounded: dict[Value, Op]

    def exact(self, value: Value) -> bool:
        """Whether ``value`` has the oracle's bits for every input."""
        return value not in self.rounded


def exactness(graph: Graph) -> Exactness:
    """Forward analysis of ``graph`` (any time after ``recognise-codes``)."""
    sets = ValueSets()
    rounded: dict[Value, Op] = {}
    for op in graph.ops:
        cause = next((rounded[operand] for operand in op.operands if operand in rounded), None)
        if cause is None and not rounds_exactly(op, sets):
            cause = op
        if cause is not None and not _decided(op, rounded, sets):
            rounded.update(dict.fromkeys(op.results, cause))
    return Exactness(rounded)


def _decided(op: Op, rounded: Mapping[Value, Op], sets: ValueSets) -> bool:
    """Whether ``op`` decides alike for all that its constants may be (:attr:`Value.ends`), of whatever integer it is computed from.

    So the sign of an exact sum times a positive scale is exact, though the scale is a mean that was folded.
    """
    if op.name not in _DECIDE:
        return False
    found = sets.integer_root(op.result)
    if found is None or found[0] in rounded:
        return False
    root, domain = found
    assert isinstance(root.type, TensorType)
    table = intervals_of_cone(op.result, root, domain.samples(root.type.dtype))
    return table is not None and table.is_point


def rounds_exactly(op: Op, sets: ValueSets) -> bool:
    """Whether ``op`` gives the oracle's bits from the oracle's operands: no sum of it rounds, or each element is rounded once.

    Of a constant, or the weights of a product, that folding it rounded nowhere.
    """
    if op.name == "nn.constant":
        return op.result.ends is None
    if op.name in PRODUCTS and any(_in_doubt(operand) for operand in op.operands):
        return False
    if op.name in _OF_CODES:
        return bool(op.attrs["exact"])
    if op.name in PRODUCTS:
        return bool(op.attrs.get("exact", True)) and isinstance(sets.of(op.results[0]), Integers)
    if op.name in _SUMS:
        values = grid(sets.of(op.operands[0]))
        if values is None or _terms(op) * max(abs(values.lo), abs(values.hi)) >= 1 << 24:
            return False
        return op.name == "nn.reduce_sum" or _divides_exactly(op)
    return op.name not in _ROUNDED


def _in_doubt(operand: Value) -> bool:
    """Whether ``operand`` is a constant, or the codes of one, that folding rounded."""
    if operand.producer is not None and operand.producer.name == "q.encode":
        operand = operand.producer.operands[0]
    return operand.ends is not None


def _divides_exactly(op: Op) -> bool:
    """Whether the mean divides by a power of two everywhere: also at the border, where a pool counts fewer elements."""
    if op.name == "nn.avg_pool" and (op.attrs["ceil"] or (any(op.attrs["pads"]) and not op.attrs["count_pad"])):
        return bool(max(op.attrs["kernel"]) <= 2)
    terms = _terms(op)
    return terms & (terms - 1) == 0


def _terms(op: Op) -> int:
    """How many elements one result element sums."""
    if op.name == "nn.avg_pool":
        return prod(op.attrs["kernel"])
    shape = op.operands[0].shape
    return prod(shape[axis] for axis in op.attrs["axes"])
