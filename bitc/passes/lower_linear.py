"""Lowering of products that are not numbers times one constant matrix: computed weights, stacks of matrices, other dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from bitc.ir import CodeType, DType, Op, TensorType, Value
from bitc.ir.k_matrices import pack_matrices
from bitc.ir.numeric import dense_strides
from bitc.passes import lower_numbers
from bitc.passes.lower_moves import arrange, memory_axes
from bitc.passes.lower_numbers import product_window
from bitc.passes.lowering import Lowering, Refused, tensor_type

FEW = 4
"""Rows or columns of a product below which rearranging the other side costs more than it saves."""


def lower_conv(op: Op, low: Lowering) -> None:
    """``nn.conv``: with constant float weights as the blocked convolution, with computed ones after packing them, else plain."""
    x, w = op.operands
    if w.constant is not None and _dtype(x) is DType.F32:
        lower_numbers.lower_product(op, low)
        return
    if len(x.shape) != 4:
        raise Refused("U133", f"convolves an image of rank {len(x.shape)}", "images are [N,C,H,W]", str(x.type))
    channels, terms, *taps = w.shape
    group, halo = op.attrs["group"], low.halo(op.result)
    source, attrs = product_window(op, np.empty((channels, terms, *taps), np.bool_), 0.0, low)
    weights = low.dense(w, op)  # [M, KH, KW, C/group]: an image, channels last
    depth, own = prod(taps) * terms, channels // group
    if _dtype(x) is not DType.F32:
        made = low.add("k.plain_conv", source, weights, like=op, group=group, halo=halo, **attrs)
    elif group > 1 and terms == own == 1:
        moved = low.add("k.strided", weights, shape=(*taps, group), strides=(taps[1], 1, depth), like=op)
        made = low.add("k.fdepthwise", source, moved, like=op, halo=halo, **attrs)
    else:
        block = low.forms.float_block
        packed = low.add(
            "k.pack_matrices", weights, like=op, stack=(group, 1), steps=(own * depth, 0), size=(depth, own),
            strides=(1, depth), block=block,
        )  # fmt: skip
        blocked = {"channels": channels, "block": block, "group": group}
        made = low.add("k.fconv", source, packed, like=op, halo=halo, **attrs, **blocked)
    low.put(op.result, made, halo)


@dataclass(frozen=True, slots=True)
class _Stack:
    """One axis of a stack of products: its length, and elements from one matrix to the next on both sides."""

    count: int
    a: int
    b: int


@dataclass(frozen=True, slots=True)
class _Side:
    """One operand: a dense buffer or a constant array, and elements from one to the next along its last two axes."""

    value: Value
    rows: int
    columns: int
    lead: tuple[int, ...]


def lower_matmul(op: Op, low: Lowering) -> None:
    """``nn.matmul``: one constant matrix on the right as the fully connected layer; else stacks of matrices."""
    a, b = op.operands
    floats = _dtype(a) is DType.F32
    if floats and b.constant is not None and b.constant.ndim == 2 and a.constant is None:
        lower_numbers.lower_product(op, low)
        return
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    lead = op.result.shape[:-2]
    left, right = _side(a, lead, op, low), _side(b, lead, op, low)
    if len(_merged(lead, left, right)) > 2:
        left, right = (_repeated(side, lead, size, op, low) for side, size in ((left, (m, k)), (right, (k, n))))
    stack = _merged(lead, left, right)
    if floats and min(m, n) >= FEW:
        made = _gemm(op, stack, left, right, (m, k, n), low)
    else:
        outer, inner = _two(stack)
        made = low.add(
            "k.matmul", left.value, right.value, like=op, stack=(outer.count, inner.count), a_steps=(outer.a, inner.a),
            b_steps=(outer.b, inner.b), size=(m, k, n), a_strides=(left.rows, left.columns),
            b_strides=(right.rows, right.columns),
        )  # fmt: skip
    low.put(op.result, arrange(made, range(len(op.result.shape)), tensor_type(op.result), op, low))


def _gemm(op: Op, stack: list[_Stack], left: _Side, right: _Side, size: tuple[int, int, int], low: Lowering) -> Value:
    """Rows of the left side, read where they lie, times the packed matrices of the right side."""
    m, k, n = size
    block = low.forms.float_block
    if left.columns != 1:
        left = _dense_side(op.operands[0], op.result.shape[:-2], op, low)
        stack = _merged(op.result.shape[:-2], left, right)
    if stack and stack[-1].b == 0 and stack[-1].a == m * left.rows:  # the same matrix for rows that follow on
        m *= stack.pop().count
    outer, inner = _two(stack)
    own = tuple(axis.count if axis.b else 1 for axis in (outer, inner))
    steps = (own[1] if outer.b else 0, 1 if inner.b else 0)
    if right.value.constant is not None:
        matrices = np.lib.stride_tricks.as_strided(
            right.value.constant.reshape(-1),
            (*own, k, n),
            [4 * s for s in (outer.b, inner.b, right.rows, right.columns)],
        )
        packed = low.constant(pack_matrices(matrices.reshape(-1, k, n), block))
    else:
        packed = low.add(
            "k.pack_matrices", right.value, like=op, stack=own, steps=(outer.b, inner.b), size=(k, n),
            strides=(right.rows, right.columns), block=block,
        )  # fmt: skip
    return low.add(
        "k.gemm", left.value, packed, like=op, stack=(outer.count, inner.count), a_steps=(outer.a, inner.a), w_steps=steps,
        rows=m, row=left.rows, channels=n, block=block,
    )  # fmt: skip


def _side(x: Value, lead: Sequence[int], op: Op, low: Lowering) -> _Side:
    """The operand as it lies; transposes before it are read with other strides instead of being carried out."""
    source, strides = x, list(range(len(x.shape)))
    while source.producer is not None and source.producer.name in ("nn.transpose", "k.relayout"):
        maker = source.producer
        if maker.name == "nn.transpose":
            strides = [maker.attrs["perm"][axis] for axis in strides]
        source = maker.operands[0]
    held = _held(source)
    return _as_side(low.dense(source, op) if source.constant is None else low.constant(source.constant), x.shape,
                    [held[axis] for axis in strides], lead)  # fmt: skip


def _dense_side(x: Value, lead: Sequence[int], op: Op, low: Lowering) -> _Side:
    held = _held(x)
    value = low.dense(x, op) if x.constant is None else low.constant(x.constant)
    return _as_side(value, x.shape, [held[axis] for axis in range(len(x.shape))], lead)


def _held(x: Value) -> dict[int, int]:
    """Elements from one to the next along each axis of a tensor as it lies; constants are row-major."""
    axes = memory_axes(tensor_type(x)) if x.constant is None else range(len(x.shape))
    return dict(zip(axes, dense_strides([x.shape[a] for a in axes]), strict=True))


def _as_side(value: Value, shape: Sequence[int], strides: Sequence[int], lead: Sequence[int]) -> _Side:
    missing = len(lead) - (len(shape) - 2)
    own = [0 if size == 1 else step for size, step in zip(shape[:-2], strides[:-2], strict=True)]
    return _Side(value, strides[-2], strides[-1], (*[0] * missing, *own))


def _merged(lead: Sequence[int], left: _Side, right: _Side) -> list[_Stack]:
    """The axes of the stack, neighbours joined where both sides walk through them evenly."""
    axes = [_Stack(n, a, b) for n, a, b in zip(lead, left.lead, right.lead, strict=True) if n != 1]
    found: list[_Stack] = []
    for axis in axes:
        if found and found[-1].a == axis.a * axis.count and found[-1].b == axis.b * axis.count:
            found[-1] = _Stack(found[-1].count * axis.count, axis.a, axis.b)
        else:
            found.append(axis)
    return found


def _two(stack: Sequence[_Stack]) -> tuple[_Stack, _Stack]:
    outer, inner = (*[_Stack(1, 0, 0)] * (2 - len(stack)), *stack)
    return outer, inner


def _repeated(side: _Side, lead: Sequence[int], size: tuple[int, int], op: Op, low: Lowering) -> _Side:
    """The operand with every matrix of the stack written out."""
    shape = (*lead, *size)
    made = low.add("k.strided", side.value, shape=shape, strides=(*side.lead, side.rows, side.columns), like=op)
    strides = dense_strides(shape)
    return _Side(made, strides[-2], strides[-1], tuple(0 if n == 1 else s for n, s in zip(lead, strides, strict=False)))


def _dtype(x: Value) -> DType:
    if isinstance(x.type, CodeType):
        raise Refused("U122", "reads packed codes", "products of numbers read numbers", str(x.type))
    assert isinstance(x.type, TensorType)
    return x.type.dtype
