"""``fuse-rows``: kernels over the rows of one image run row by row together, so that what passes between them stays in L1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from bitc.ir import Graph, Op, Value
from bitc.ir.k_rows import BY_ROWS, image_rows, inner_values
from bitc.ir.types import BufferType
from bitc.passes.base import Pass
from bitc.passes.regions import Partition, outline

_SAME_ROWS = {"k.pack", "k.pack_bit", "k.index_bit", "k.pick_bits", "k.unpack", "k.map"}
"""Kernels whose row y reads row y of their operands, and no other."""


@dataclass(frozen=True)
class FuseRows(Pass):
    """Producers and readers of the same rows become one loop over rows::

        %acc = k.bconv_acc %x; %f = k.map %acc; %y = k.pack %f   -->   %y = k.rows %x {body, step}

    A convolution or pool reads rows around its own, so its input is always made before; only packs, unpack and map join what they
    read. ``step`` rows are done at a time: as many as keep the values inside within ``budget_bytes``, but at least as many as a kernel
    wants ``together``, and a multiple of that. Images of one row gain nothing and are left alone.
    """

    name: ClassVar[str] = "fuse-rows"
    budget_bytes: int = 24576

    def run(self, graph: Graph) -> Graph:
        partition = Partition(graph, _passes_by_rows)
        for op in graph.ops:
            for operand in op.operands:
                if operand.producer is not None and _passes_by_rows(operand.producer, op):
                    partition.merge(operand.producer, op)
        return outline(graph, partition, "k.rows", lambda group: len(group) > 1, self._attrs)

    def _attrs(self, body: Graph) -> dict[str, Any]:
        inside = inner_values(body)
        row_bytes = sum(_row_bytes(value) for value in inside)
        rows = image_rows(body.ops[-1])[1]
        together = max(op.attrs.get("together", 1) for op in body.ops)
        fitting = self.budget_bytes // max(row_bytes, 1) // together
        return {"step": min(rows, max(fitting, 1) * together)}


def _passes_by_rows(maker: Op, reader: Op) -> bool:
    if maker.name not in BY_ROWS or reader.name not in _SAME_ROWS:
        return False
    images, rows = image_rows(reader)
    return rows > 1 and image_rows(maker) == (images, rows)


def _row_bytes(value: Value) -> int:
    assert isinstance(value.type, BufferType)
    return value.type.bytes // (value.shape[0] * value.shape[1])
