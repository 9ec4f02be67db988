"""``state-contracts``: writes into the graph what each layer and output promises against the oracle, for the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import CodeType, Graph, Op, Value
from bitc.passes.base import Pass
from bitc.passes.exactness import PRODUCTS, exactness, rounds_exactly
from bitc.passes.facts import bounds
from bitc.passes.outputs import output_names
from bitc.passes.padding import code_constant
from bitc.passes.value_sets import ValueSets

_LIBM_ULPS = 16.0


@dataclass(frozen=True)
class StateContracts(Pass):
    """Changes no op. Sets two attributes of the graph:

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
        return Graph(graph.name, graph.inputs, graph.ops, graph.outputs, attrs)


def _promise(value: Value, exact: bool, sets: ValueSets) -> tuple[bool, float, float]:
    if exact:
        return True, 0.0, 0.0
    longest, magnitude = 1, 0.0
    stack, seen = [value], {value}
    while stack:
        op = stack.pop().producer
        if op is None:
            continue
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


def _terms(op: Op) -> int:
    w = op.operands[1].shape
    return int(np.prod(w[1:])) if op.name.endswith("conv") else int(w[-2])


def _reach(op: Op, sets: ValueSets) -> float:
    """The largest |sum| a product can give; activations of unknown range count as 1."""
    x, w = op.operands[:2]
    weights = code_constant(w) if isinstance(w.type, CodeType) else w.constant
    low, high = bounds(sets.of(x))
    top = max(abs(low), abs(high))
    top = top if np.isfinite(top) else 1.0
    if weights is None:
        return top * _terms(op)
    axes = tuple(range(1, weights.ndim)) if op.name.endswith("conv") else (-2,)
    return float(top * np.abs(weights).sum(axis=axes, dtype=np.float64).max())
