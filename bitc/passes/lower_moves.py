"""Lowering of ops that only move elements: views where memory order allows, else one strided copy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod

import numpy as np

from bitc.ir import CodeType, Layout, Op, TensorType, Value
from bitc.ir.numeric import dense_strides
from bitc.passes.lowering import NHWC_AXES, Lowering, Refused, physical_shape, tensor_type


def memory_axes(type: TensorType | CodeType) -> tuple[int, ...]:
    """Logical axes of a number tensor in memory order, outermost first.

    >>> memory_axes(TensorType((1, 3, 8, 8)).with_layout(Layout.NHWC))
    (0, 2, 3, 1)
    """
    return NHWC_AXES if type.layout is Layout.NHWC else tuple(range(len(type.shape)))


def arrange(made: Value, order: Sequence[int], type: TensorType | CodeType, like: Op | None, low: Lowering) -> Value:
    """Dense ``made``, whose memory runs over the logical axes of a tensor of ``type`` in ``order``, as that tensor's buffer."""
    wanted = memory_axes(type)
    if [a for a in order if type.shape[a] != 1] != [a for a in wanted if type.shape[a] != 1]:
        held = dense_strides([type.shape[a] for a in order])
        stride = dict(zip(order, held, strict=True))
        shape = tuple(type.shape[a] for a in wanted)
        made = low.add("k.strided", made, shape=shape, strides=tuple(stride[a] for a in wanted), like=like)
    return as_shape(made, physical_shape(type), like, low)


def as_shape(made: Value, shape: Sequence[int], like: Op | None, low: Lowering) -> Value:
    """``made`` under another shape; a constant is reshaped at once, so that kernels see it as one."""
    if made.constant is not None:
        return low.constant(made.constant.reshape(tuple(shape)))
    return made if made.shape == tuple(shape) else low.add("k.view", made, shape=tuple(shape), like=like)


def lower_relayout(op: Op, low: Lowering) -> None:
    """``k.relayout``."""
    x = op.operands[0]
    low.put(op.result, arrange(low.dense(x, op), memory_axes(tensor_type(x)), tensor_type(op.result), op, low))


def lower_transpose(op: Op, low: Lowering) -> None:
    """``nn.transpose``: the axes of the operand's memory, named as axes of the result."""
    x = op.operands[0]
    perm = op.attrs["perm"]
    _numbers(op)
    order = [perm.index(axis) for axis in memory_axes(tensor_type(x))]
    low.put(op.result, arrange(low.dense(x, op), order, tensor_type(op.result), op, low))


def lower_reshape(op: Op, low: Lowering) -> None:
    """``nn.reshape``: row-major numbers, or codes whose pixels and channels stay what they are."""
    x = op.operands[0]
    if isinstance(x.type, CodeType) and not same_pixels(x.type, tensor_type(op.result)):
        raise Refused(
            "U120", "regroups packed channels", "codes are reshaped pixel by pixel", f"{x.type} to {op.result.type}"
        )
    low.put(op.result, as_shape(low.dense(x, op), physical_shape(tensor_type(op.result)), op, low))


def same_pixels(x: TensorType | CodeType, y: TensorType | CodeType) -> bool:
    """Whether a reshape of codes keeps channels and the order of pixels: then the words stay where they are."""
    if len(x.shape) not in (2, 4) or len(y.shape) not in (2, 4) or x.shape[1] != y.shape[1]:
        return False
    if len(x.shape) == len(y.shape) == 4:
        return x.shape[0] == y.shape[0] or prod(x.shape[2:]) == prod(y.shape[2:]) == 1
    return prod(x.shape[2:]) == prod(y.shape[2:]) == 1


def lower_expand(op: Op, low: Lowering) -> None:
    """``nn.expand``: a copy with stride 0 along repeated axes."""
    _numbers(op)
    x, y = op.operands[0], tensor_type(op.result)
    source = tensor_type(x)
    lead = len(y.shape) - len(source.shape)
    held = dict(zip(memory_axes(source), dense_strides([source.shape[a] for a in memory_axes(source)]), strict=True))
    repeated = {a: 0 if a < lead or source.shape[a - lead] == 1 else held[a - lead] for a in range(len(y.shape))}
    _strided(op, repeated, 0, low)


def lower_slice(op: Op, low: Lowering) -> None:
    """``nn.slice``."""
    _numbers(op)
    source = tensor_type(op.operands[0])
    axes = memory_axes(source)
    held = dict(zip(axes, dense_strides([source.shape[a] for a in axes]), strict=True))
    start = sum(s * held[a] for a, s in enumerate(op.attrs["starts"]))
    _strided(op, {a: step * held[a] for a, step in enumerate(op.attrs["steps"])}, start, low)


def _strided(op: Op, strides: dict[int, int], start: int, low: Lowering) -> None:
    y = tensor_type(op.result)
    if not y.size:
        raise Refused("U121", "gives an empty tensor", "tensors have at least one element", str(y))
    axes = memory_axes(y)
    shape, steps = tuple(y.shape[a] for a in axes), tuple(strides[a] for a in axes)
    made = low.add("k.strided", low.dense(op.operands[0], op), shape=shape, strides=steps, start=start, like=op)
    low.put(op.result, as_shape(made, physical_shape(y), op, low))


def lower_pad(op: Op, low: Lowering) -> None:
    """``nn.pad``: a larger buffer with the operand in it."""
    _numbers(op)
    pads = op.attrs["pads"]
    _place(op, [pads[: len(pads) // 2]], op.attrs["value"], low)


def lower_concat(op: Op, low: Lowering) -> None:
    """``nn.concat``: each operand at its offset."""
    _numbers(op)
    axis = op.attrs["axis"] % len(op.result.shape)
    offsets = accumulate([0, *(o.shape[axis] for o in op.operands[:-1])])
    corners = [tuple(offset if a == axis else 0 for a in range(len(op.result.shape))) for offset in offsets]
    _place(op, corners, 0.0, low)


def _place(op: Op, corners: Sequence[Sequence[int]], value: float, low: Lowering) -> None:
    y = tensor_type(op.result)
    axes = memory_axes(y)
    parts = [
        as_shape(low.dense(operand, op, y.layout), [operand.shape[a] for a in axes], op, low) for operand in op.operands
    ]
    at = tuple(tuple(corner[a] for a in axes) for corner in corners)
    made = low.add("k.place", *parts, shape=tuple(y.shape[a] for a in axes), at=at, value=float(value), like=op)
    low.put(op.result, as_shape(made, physical_shape(y), op, low))


def lower_gather(op: Op, low: Lowering) -> None:
    """``nn.gather``: runs picked along the axis as it lies in memory; the axes of the indices take its place."""
    _numbers(op)
    x, indices = op.operands[0], np.asarray(op.attrs["indices"])
    axis = op.attrs["axis"] % len(x.shape)
    axes = memory_axes(tensor_type(x))
    sizes, at = [x.shape[a] for a in axes], axes.index(axis)
    seen = (prod(sizes[:at]), sizes[at], prod(sizes[at + 1 :]))
    table = low.constant(np.asarray(indices.reshape(-1) % x.shape[axis], np.int32))
    made = low.add("k.gather", as_shape(low.dense(x, op), seen, op, low), table, like=op)
    order: list[int] = []
    for a in axes:
        order += range(axis, axis + indices.ndim) if a == axis else [a + (indices.ndim - 1) * (a > axis)]
    low.put(op.result, arrange(made, order, tensor_type(op.result), op, low))


def _numbers(op: Op) -> None:
    if isinstance(op.operands[0].type, CodeType):
        raise Refused(
            "U122",
            "moves packed codes",
            "codes are moved as numbers; run flatten-ranks first",
            str(op.operands[0].type),
        )
