"""``state-contracts``: writes into the graph what each layer and output promises against the oracle, for the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, CodeType, Graph, Op, Value, rewrite
from bitc.passes.base import Pass
from bitc.passes.exactness import PRODUCTS, exactness, rounds_exactly
from bitc.passes.facts import bounds
from bitc.passes.outputs import output_names
from bitc.passes.padding import code_constant
from bitc.passes.value_sets import ValueSets

_LIBM_ULPS = 16.0
_TIPPED = 2.0**-6  # a sum of 2^16 terms is off by less, relatively


@dataclass(frozen=True)
class StateContracts(Pass):
    """Drops what constants say of their ends (:attr:`Value.ends`), for nobody asks afterwards. Sets two attributes of the graph:

    * ``layer_contracts`` — (ONNX node, "exact" or "rounded") for each product;
    * ``output_contracts`` — (output, exact, ulp, floor): the oracle's bits, or within ``ulp`` units in the last place, counted at the
      larger of the element's magnitude and ``floor``. The bound is the worst case of two float32 sums of the same terms in different
      orders, for the longest sum on the way, at the largest magnitude the last product can reach.

    Runs after ``recognise-codes``, while each product still stands beside its scale.
    """

    name: ClassVar[str] = "state-contracts"

    def run(self, graph: Graph) -> Graph:
        sets = ValueSets()
        found = exactness(graph)
        products = [op for op in graph.ops if op.name in PRODUCTS]
        layers = tuple((op.loc, "exact" if rounds_exactly(op, sets) else "rounded") for op in products)
        outputs = tuple(
            (name, *_promise(value, found.exact(value), sets))
            for name, value in zip(output_names(graph), graph.outputs, strict=True)
        )
        attrs = {**graph.attrs, "layer_contracts": layers, "output_contracts": outputs}
        return rewrite(Graph(graph.name, graph.inputs, graph.ops, graph.outputs, attrs), _without_ends)


def _without_ends(op: Op, b: Builder) -> Value | None:
    value = op.result if op.name == "nn.constant" else None
    if value is None or value.ends is None or value.constant is None:
        return None
    return b.constant(value.constant, value.name, op.loc, value.origin)


def _promise(value: Value, exact: bool, sets: ValueSets) -> tuple[bool, float, float]:
    if exact:
        return True, 0.0, 0.0
    longest, magnitude = 1.0, 0.0
    stack, seen = [value], {value}
    while stack:
        op = stack.pop().producer
        if op is None:
            continue
        if op.name == "nn.constant":
            longest = max(longest, _ulps_of_ends(op.result) / 2)
        if op.name in PRODUCTS:
            longest = max(longest, _terms(op))
            if not magnitude:
                magnitude = _reach(op, sets)
        for operand in op.operands:
            if operand not in seen:
                seen.add(operand)
                stack.append(operand)
    low, high = bounds(sets.of(value))
    if np.isfinite(low) and np.isfinite(high):
        magnitude = max(abs(low), abs(high))
    return False, _LIBM_ULPS + 2.0 * longest, magnitude


def _ulps_of_ends(value: Value) -> float:
    """How far the ends of a constant are apart, counted at its largest element.

    0 where that is unknown, and where so much is left open that a comparison tipped on the way: such is not followed (``golden``).
    """
    if value.ends is None or value.constant is None or value.constant.dtype.kind != "f":
        return 0.0
    least, most = (end.astype(np.float64) for end in value.ends)
    width = float((most - least).max(initial=0.0))
    largest = float(np.abs(value.constant).max(initial=0.0))
    return width / float(np.spacing(np.float32(largest))) if width < _TIPPED * largest else 0.0


def _terms(op: Op) -> int:
    return int(np.prod([op.operands[1].shape[axis] for axis in _summed(op)]))


def _summed(op: Op) -> tuple[int, ...]:
    """The axes of the second operand that are summed over."""
    if op.name.endswith("conv"):
        return tuple(range(1, len(op.operands[1].shape)))
    return (-1,) if op.name == "q.dots" else (-2,)


def _largest(value: Value, sets: ValueSets) -> float:
    low, high = bounds(sets.of(value))
    top = max(abs(low), abs(high))
    return top if np.isfinite(top) else 1.0


def _constant(w: Value) -> np.ndarray | None:
    """Weights, as numbers or as codes; None where they are computed."""
    if not isinstance(w.type, CodeType):
        return w.constant
    encode = w.producer
    return code_constant(w) if encode is not None and encode.operands[0].constant is not None else None


def _reach(op: Op, sets: ValueSets) -> float:
    """The largest |sum| a product can give; activations of unknown range count as 1."""
    x, w = op.operands[:2]
    weights = _constant(w)
    top = _largest(x, sets)
    if weights is None:
        return top * _largest(w, sets) * _terms(op)
    return float(top * np.abs(weights).sum(axis=_summed(op), dtype=np.float64).max())
