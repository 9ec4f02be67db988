"""Lowering of reads and writes at computed places, all on memory in row-major order."""

from __future__ import annotations

from math import prod

from bitc.ir import Layout, Op, Value
from bitc.passes.lower_moves import arrange, as_shape
from bitc.passes.lowering import Lowering, Refused, tensor_type

MOST_AXES = 8


def lower_take(op: Op, low: Lowering) -> None:
    """``nn.take``: runs picked along one axis."""
    x, indices = op.operands
    axis = op.attrs["axis"] % len(x.shape)
    seen = (prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :]))
    made = low.add("k.take", as_shape(_rows(x, op, low), seen, op, low), _rows(indices, op, low), like=op)
    _put(op, made, low)


def lower_along(op: Op, low: Lowering) -> None:
    """``nn.take_along`` and ``nn.scatter_along``."""
    x, indices = op.operands[:2]
    if len(x.shape) > MOST_AXES:
        raise Refused(
            "U141", f"goes over {len(x.shape)} axes", f"lookups go over at most {MOST_AXES} axes", str(x.type)
        )
    attrs = {"shape": x.shape, "places": indices.shape, "axis": op.attrs["axis"] % len(x.shape)}
    if "reduction" in op.attrs:
        attrs["reduction"] = op.attrs["reduction"]
    operands = [_rows(operand, op, low) for operand in op.operands]
    _put(op, low.add(op.name.replace("nn.", "k."), *operands, like=op, **attrs), low)


def lower_nd(op: Op, low: Lowering) -> None:
    """``nn.take_nd`` and ``nn.scatter_nd``."""
    x, indices = op.operands[:2]
    batch, depth = op.attrs.get("batch_dims", 0), indices.shape[-1]
    if depth > MOST_AXES:
        raise Refused("U141", f"goes over {depth} axes", f"lookups go over at most {MOST_AXES} axes", str(x.type))
    attrs = {"lengths": x.shape[batch : batch + depth], "run": prod(x.shape[batch + depth :])}
    attrs |= {"batch": prod(x.shape[:batch])} if op.name == "nn.take_nd" else {"reduction": op.attrs["reduction"]}
    operands = [_rows(operand, op, low) for operand in op.operands]
    _put(op, low.add(op.name.replace("nn.", "k."), *operands, like=op, **attrs), low)


def _rows(x: Value, op: Op, low: Lowering) -> Value:
    if not tensor_type(x).size or not tensor_type(op.result).size:
        raise Refused("U121", "meets an empty tensor", "tensors have at least one element", str(x.type))
    return low.dense(x, op, Layout.ROW_MAJOR)


def _put(op: Op, made: Value, low: Lowering) -> None:
    """Row-major ``made`` as the op's result."""
    y = tensor_type(op.result)
    low.put(op.result, arrange(made, range(len(y.shape)), y, op, low))
