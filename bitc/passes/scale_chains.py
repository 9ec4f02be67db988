"""Chains of scales and offsets computed at run time: what is done to codes on their way to a product that reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from bitc.ir import Builder, DType, Op, TensorType, Value

IsCore = Callable[[Value], bool]

_MOVES = ("nn.reshape", "nn.transpose", "nn.expand", "nn.slice")


@dataclass(frozen=True, slots=True)
class Step:
    """``value = name(before, other)``; ``other`` broadcasts to the value and is computed at run time or constant. Moves behind the step
    have moved ``other``, not ``before``."""

    name: str
    before: Value
    other: Value
    loc: str

    @property
    def shifts(self) -> bool:
        """Whether it adds or subtracts."""
        return self.name in ("nn.add", "nn.sub")


@dataclass(frozen=True, slots=True)
class Chain:
    """``core`` and what is done to it, first step first."""

    core: Value
    steps: tuple[Step, ...] = ()

    @property
    def shifts(self) -> bool:
        """Whether an offset is among the steps."""
        return any(step.shifts for step in self.steps)


def chain_of(value: Value, is_core: IsCore, b: Builder) -> Chain | None:
    """The chain that makes ``value`` of the nearest value that ``is_core``, None if there is none below elementwise steps and moves."""
    if is_core(value):
        return Chain(value)
    op = value.producer
    if op is None:
        return None
    if op.name in _MOVES:
        return _moved_chain(op, is_core, b)
    if op.name not in ("nn.mul", "nn.div", "nn.add", "nn.sub"):
        return None
    pairs = [op.operands] if op.name in ("nn.div", "nn.sub") else [op.operands, op.operands[::-1]]
    if not dtype_of(value).is_float and op.name == "nn.div":
        return None
    for inner, other in pairs:
        if inner.shape == value.shape and prod(other.shape) < prod(value.shape):
            found = chain_of(inner, is_core, b)
            if found is not None:
                return Chain(found.core, (*found.steps, Step(op.name, inner, other, op.loc)))
    return None


def _moved_chain(move: Op, is_core: IsCore, b: Builder) -> Chain | None:
    """The chain below a move: the core is moved, and what broadcast to the value before broadcasts to the one behind."""
    inner = chain_of(move.operands[0], is_core, b)
    if inner is None:
        return None
    steps = []
    for step in inner.steps:
        other = _moved(step.other, move, b)
        if other is None:
            return None
        steps.append(replace(step, other=other))
    core = b.add(move.name, inner.core, loc=move.loc, **move.attrs)
    return Chain(core, tuple(steps))


def _moved(other: Value, move: Op, b: Builder) -> Value | None:
    """``other``, which broadcasts to what ``move`` reads, for what it gives; None if it is no smaller than that."""
    before, after = move.operands[0].shape, move.results[0].shape
    full = (1,) * (len(before) - len(other.shape)) + other.shape
    if prod(full) == 1:
        return _reshaped(other, (), b, move.loc)
    if move.name == "nn.expand":
        return other
    if move.name == "nn.transpose":
        return b.add("nn.transpose", _reshaped(other, full, b, move.loc), perm=move.attrs["perm"], loc=move.loc)
    if move.name == "nn.slice":
        return _sliced(_reshaped(other, full, b, move.loc), move, b)
    shape = broadcast_shape_behind(full, before, after)
    return None if shape is None else _reshaped(other, shape, b, move.loc)


def _reshaped(value: Value, shape: tuple[int, ...], b: Builder, loc: str) -> Value:
    return value if value.shape == shape else b.add("nn.reshape", value, shape=shape, loc=loc)


def _sliced(other: Value, move: Op, b: Builder) -> Value:
    """``other`` sliced along the axes it has; those of size one stay."""
    wide = [n > 1 for n in other.shape]
    cut: dict[str, Any] = {
        key: tuple(n if kept else whole for n, kept in zip(move.attrs[key], wide, strict=True))
        for key, whole in (("starts", 0), ("stops", 1), ("steps", 1))
    }
    return b.add("nn.slice", other, loc=move.loc, **cut)


def broadcast_shape_behind(other: Sequence[int], before: Sequence[int], after: Sequence[int]) -> tuple[int, ...] | None:
    """The shape in which an array of shape ``other``, which broadcasts to ``before``, broadcasts to the reshape ``after``.

    Axes that a reshape splits or merges are taken together; ``other`` must have all of them or none. None if it does not.

    >>> broadcast_shape_behind((1, 6, 1), (1, 6, 8), (1, 6, 2, 4)), broadcast_shape_behind((2, 1, 1), (2, 3, 4), (6, 4))
    ((1, 6, 1, 1), None)
    """
    shape: list[int] = []
    i = j = 0
    while i < len(before) or j < len(after):
        first, start = i, j
        left, right = prod(before[i : i + 1]), prod(after[j : j + 1])
        i, j = min(i + 1, len(before)), min(j + 1, len(after))
        while left != right:
            if left < right:
                left, i = left * before[i], i + 1
            else:
                right, j = right * after[j], j + 1
        if all(n == 1 for n in other[first:i]):
            shape += [1] * (j - start)
        elif tuple(other[first:i]) == tuple(before[first:i]):
            shape += after[start:j]
        else:
            return None
    return tuple(shape)


def uniform(op: Op, index: int, shape: Sequence[int]) -> bool:
    """Whether a tensor of ``shape``, broadcast to operand ``index``, is the same for all elements one sum of ``op`` reads."""
    if prod(shape) == 1:
        return True
    if op.name == "nn.matmul":
        axis = 1 if index == 0 else 2
        return len(shape) < axis or shape[-axis] == 1
    rank = len(op.operands[0].shape)
    full = (1,) * (rank - len(shape)) + tuple(shape)
    if all(n == 1 for n in full[1:]):
        return True
    is_pointwise = (
        set(op.operands[1].shape[2:]) == {1} and set(op.attrs["strides"]) == {1} and not any(op.attrs["pads"])
    )
    return is_pointwise and full[1] == 1


def dtype_of(value: Value) -> DType:
    """The numbers a tensor is made of."""
    assert isinstance(value.type, TensorType)
    return value.type.dtype
