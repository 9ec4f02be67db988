"""Stacks of products of two matrices: how their axes walk through both operands where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitc.ir import Op, Value
from bitc.ir.numeric import dense_strides
from bitc.passes.lower_moves import memory_axes
from bitc.passes.lowering import Lowering, tensor_type


@dataclass(frozen=True, slots=True)
class StackAxis:
    """One axis of a stack of products: its length, and elements from one matrix to the next on both sides."""

    count: int
    a: int
    b: int


@dataclass(frozen=True, slots=True)
class Side:
    """One operand: a dense buffer or a constant array, and elements from one to the next along its last two axes."""

    value: Value
    rows: int
    columns: int
    lead: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Products:
    """A stack of products by packed right matrices: ``left`` has its terms side by side and ``rows`` rows a matrix, ``matrices`` are how
    many of the right side there are along both axes, ``steps`` how many each moves on by."""

    left: Side
    right: Side
    rows: int
    outer: StackAxis
    inner: StackAxis
    matrices: tuple[int, int]
    steps: tuple[int, int]


def products_of(op: Op, low: Lowering) -> tuple[list[StackAxis], Side, Side]:
    """The stack of ``op``, a product of two operands of any rank, of two axes at most, and its sides."""
    (a, b), lead = op.operands, op.result.shape[:-2]
    left, right = side_of(a, lead, op, low), side_of(b, lead, op, low)
    if len(merged(lead, left, right)) > 2:
        left, right = (repeated(side, lead, x.shape[-2:], op, low) for side, x in ((left, a), (right, b)))
    return merged(lead, left, right), left, right


def by_packed_right(op: Op, stack: list[StackAxis], left: Side, right: Side, low: Lowering) -> Products:
    """Rows of the left side are read where they lie, if their terms are neighbours; each right matrix is packed once."""
    rows, lead = op.operands[0].shape[-2], op.result.shape[:-2]
    if left.columns != 1:
        left = dense_side(op.operands[0], lead, op, low)
        stack = merged(lead, left, right)
    if stack and stack[-1].b == 0 and stack[-1].a == rows * left.rows:  # the same matrix for rows that follow on
        rows, stack = rows * stack[-1].count, stack[:-1]
    outer, inner = two_axes(stack)
    own = (outer.count if outer.b else 1, inner.count if inner.b else 1)
    return Products(left, right, rows, outer, inner, own, (own[1] if outer.b else 0, 1 if inner.b else 0))


def side_of(x: Value, lead: Sequence[int], op: Op, low: Lowering) -> Side:
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


def dense_side(x: Value, lead: Sequence[int], op: Op, low: Lowering) -> Side:
    """The operand row by row."""
    held = _held(x)
    value = low.dense(x, op) if x.constant is None else low.constant(x.constant)
    return _as_side(value, x.shape, [held[axis] for axis in range(len(x.shape))], lead)


def _held(x: Value) -> dict[int, int]:
    """Elements from one to the next along each axis of a tensor as it lies; constants are row-major."""
    axes = memory_axes(tensor_type(x)) if x.constant is None else range(len(x.shape))
    return dict(zip(axes, dense_strides([x.shape[a] for a in axes]), strict=True))


def _as_side(value: Value, shape: Sequence[int], strides: Sequence[int], lead: Sequence[int]) -> Side:
    missing = len(lead) - (len(shape) - 2)
    own = [0 if size == 1 else step for size, step in zip(shape[:-2], strides[:-2], strict=True)]
    return Side(value, strides[-2], strides[-1], (*[0] * missing, *own))


def merged(lead: Sequence[int], left: Side, right: Side) -> list[StackAxis]:
    """The axes of the stack, neighbours joined where both sides walk through them evenly."""
    axes = [StackAxis(n, a, b) for n, a, b in zip(lead, left.lead, right.lead, strict=True) if n != 1]
    found: list[StackAxis] = []
    for axis in axes:
        if found and found[-1].a == axis.a * axis.count and found[-1].b == axis.b * axis.count:
            found[-1] = StackAxis(found[-1].count * axis.count, axis.a, axis.b)
        else:
            found.append(axis)
    return found


def two_axes(stack: Sequence[StackAxis]) -> tuple[StackAxis, StackAxis]:
    """At most two axes as two."""
    outer, inner = (*[StackAxis(1, 0, 0)] * (2 - len(stack)), *stack)
    return outer, inner


def repeated(side: Side, lead: Sequence[int], size: Sequence[int], op: Op, low: Lowering) -> Side:
    """The operand with every matrix of the stack written out."""
    shape = (*lead, *size)
    made = low.add("k.strided", side.value, shape=shape, strides=(*side.lead, side.rows, side.columns), like=op)
    strides = dense_strides(shape)
    return Side(made, strides[-2], strides[-1], tuple(0 if n == 1 else s for n, s in zip(lead, strides, strict=False)))
