"""``fuse-maps``: elementwise ops of one shape become one ``q.map``, so that a chain of them is one loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, CodeType, Graph, Op, Value, rewrite
from bitc.ir import k_move as _  # noqa: F401  (declares k.levels)
from bitc.passes.base import Pass
from bitc.passes.regions import Partition, outline


@dataclass(frozen=True)
class FuseMaps(Pass):
    """Elementwise ops that feed one another and give the same shape are computed element by element in one go::

        %b = nn.mul %a, %s; %c = nn.add %b, %t; %d = nn.max %c, %z   -->   %d = q.map %a {body}

    A value of the group that others read is one more result of the map. Constants (scalars, one value a channel) move into the
    body. Operands that only broadcast to the shape stay operands. Afterwards no elementwise op stands outside a map. The scale of
    codes that are decoded joins the map as well: ``q.decode %x  -->  nn.mul (k.levels %x), scale``.

    >>> import numpy as np
    >>> from bitc.ir import Builder, TensorType
    >>> b = Builder()
    >>> x = b.input("x", TensorType((1, 4)))
    >>> y = b.add("nn.relu", b.add("nn.mul", x, b.constant(np.float32(2))))
    >>> [op.name for op in FuseMaps().run(Graph("g", [x], b.ops, [y])).ops]
    ['q.map']
    """

    name: ClassVar[str] = "fuse-maps"

    def run(self, graph: Graph) -> Graph:
        graph = rewrite(graph, _split_decode)
        partition = Partition(graph)
        for op in graph.ops:
            for operand in op.operands:
                producer = operand.producer
                if (
                    _fusible(op)
                    and producer is not None
                    and _fusible(producer)
                    and producer.result.shape == op.result.shape
                ):
                    partition.merge(producer, op)
        return outline(graph, partition, "q.map", lambda group: _fusible(group[0]))


def _split_decode(op: Op, b: Builder) -> Value | None:
    if op.name != "q.decode":
        return None
    codes = op.operands[0]
    assert isinstance(codes.type, CodeType)
    levels = b.add("k.levels", codes, loc=op.loc)
    if codes.type.scale == 1.0:
        return levels
    return b.add("nn.mul", levels, b.constant(np.asarray(codes.type.scale, np.float32)), loc=op.loc)


def _fusible(op: Op) -> bool:
    return op.decl.elementwise and len(op.results) == 1
