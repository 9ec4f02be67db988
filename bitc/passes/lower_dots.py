"""Lowering of products of two computed tensors of codes."""

from __future__ import annotations

from bitc.ir import CodeType, Op
from bitc.passes.lower_moves import arrange
from bitc.passes.lowering import Lowering, tensor_type


def lower_dots(op: Op, low: Lowering) -> None:
    """``q.dots``: rows of bits against rows of bits, where they lie."""
    sides, levels = [], []
    for operand in op.operands:
        assert isinstance(operand.type, CodeType)
        placed = low.use(operand)
        assert not any(placed.halo), "rows of codes never have a halo"
        sides.append(placed.value)
        levels.append(operand.type.levels)
    attrs = {"stack": op.attrs["stack"], "terms": op.operands[0].shape[1]}
    made = low.add("k.dots", *sides, like=op, x_levels=levels[0], y_levels=levels[1], **attrs)
    low.put(op.result, arrange(made, range(3), tensor_type(op.result), op, low))
