"""``known-values``: what is proved to take one value is that constant, and whatever computed it is dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, Graph, Op, TensorType, Value, rewrite
from bitc.passes.base import Pass
from bitc.passes.exactness import rounds_exactly
from bitc.passes.facts import Finite
from bitc.passes.value_sets import ValueSets


@dataclass(frozen=True)
class KnownValues(Pass):
    """With x proved to be c for all inputs (``0 · n`` of a bounded n, ``relu`` of what is never positive, ...)::

        x  -->  c

    The sign of a zero is not kept (it is promised nowhere), nor a NaN that comes in from outside. Where sums that round would be of
    constants then, it stays computed: folded here they could be an ULP off the file's own, and nothing would say so.
    """

    name: ClassVar[str] = "known-values"

    def run(self, graph: Graph) -> Graph:
        sets, users = ValueSets(), graph.users()

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name == "nn.constant" or len(op.results) != 1 or op.result in graph.outputs:
                return None
            fact = sets.of(op.result)
            if not isinstance(fact, Finite) or len(fact.values) != 1:
                return None
            if _would_fold_sums(op.result, users, sets):
                return None
            assert isinstance(op.result.type, TensorType)
            number = b.constant(np.asarray(fact.values[0], op.result.type.dtype.numpy), loc=op.loc)
            return b.add("nn.expand", number, shape=op.result.shape, loc=op.loc)

        return rewrite(graph, rule)


def _would_fold_sums(value: Value, users: Mapping[Value, Sequence[Op]], sets: ValueSets) -> bool:
    """Whether a sum that rounds would be of constants only, were ``value`` one."""
    reached, found = {value}, [value]
    while found:
        for user in users.get(found.pop(), ()):
            if any(operand not in reached and operand.constant is None for operand in user.operands):
                continue
            if not rounds_exactly(user, sets):
                return True
            fresh = [result for result in user.results if result not in reached]
            reached.update(fresh)
            found.extend(fresh)
    return False
