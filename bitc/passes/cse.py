"""``common-subexpressions``: what is computed twice is computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.passes.base import Pass


@dataclass(frozen=True)
class CommonSubexpressions(Pass):
    """An op is a function of its operands and attributes, so equal ops on the same values give the same values::

        %a = nn.relu %x;  %b = nn.relu %x;  f(%a, %b)   -->   %a = nn.relu %x;  f(%a, %a)

    Constants are the same where dtype, shape and every bit agree (so -0.0 is not 0.0). Exact. Later passes ask whether a value *is*
    another one, as in ``(q - t) + t``, and exporters write t twice. The first op keeps its name and its node; outputs of the graph are
    made by ops of their own, for each has its name.
    """

    name: ClassVar[str] = "common-subexpressions"

    def run(self, graph: Graph) -> Graph:
        seen: dict[Hashable, tuple[Value, ...]] = {}
        outputs = set(graph.outputs)

        def rule(op: Op, b: Builder) -> tuple[Value, ...]:
            key = (op.name, op.operands, tuple((name, _key(value)) for name, value in sorted(op.attrs.items())))
            if key in seen and outputs.isdisjoint(op.results):
                return seen[key]
            made = b.clone(op, op.operands)
            seen.setdefault(key, made)
            return made

        return rewrite(graph, rule)


def _key(attribute: object) -> Hashable:
    """Equal for equal attributes; regions are equal only to themselves."""
    match attribute:
        case np.ndarray():
            return str(attribute.dtype), attribute.shape, hashlib.sha256(attribute.tobytes()).digest()
        case Graph():
            return id(attribute)
        case float():
            return attribute.hex()
        case tuple():
            return tuple(map(_key, attribute))
    return type(attribute).__name__, str(attribute)
