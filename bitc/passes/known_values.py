"""``known-values``: what is proved to take one value is that constant, and whatever computed it is dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, Graph, Op, TensorType, Value, rewrite
from bitc.passes.base import Pass
from bitc.passes.facts import Finite
from bitc.passes.value_sets import ValueSets


@dataclass(frozen=True)
class KnownValues(Pass):
    """With x proved to be c for all inputs (``0 · n`` of a bounded n, ``relu`` of what is never positive, ...)::

        x  -->  c

    The sign of a zero is not kept (it is promised nowhere), nor a NaN that comes in from outside. Sums of
    what becomes constant are folded later, and say there whether they rounded.
    """

    name: ClassVar[str] = "known-values"

    def run(self, graph: Graph) -> Graph:
        sets = ValueSets()

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name == "nn.constant" or len(op.results) != 1 or op.result in graph.outputs:
                return None
            fact = sets.of(op.result)
            if not isinstance(fact, Finite) or len(fact.values) != 1:
                return None
            assert isinstance(op.result.type, TensorType)
            number = b.constant(np.asarray(fact.values[0], op.result.type.dtype.numpy), loc=op.loc)
            return b.add("nn.expand", number, shape=op.result.shape, loc=op.loc)

        return rewrite(graph, rule)
