"""``pull-scales``: scales and offsets computed at run time leave the products they are summed in, which then multiply codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from bitc.ir import Builder, DType, Graph, Op, TensorType, Value, rewrite
from bitc.passes.base import Pass
from bitc.passes.coding import Blocked, coding_of, weight_coding
from bitc.passes.recognise import Form, recognise
from bitc.passes.value_sets import ValueSets

_MOVES = ("nn.reshape", "nn.transpose", "nn.expand", "nn.slice")
_BYTE = 256


@dataclass(frozen=True)
class PullScales(Pass):
    """With s and z the same for all elements that one sum reads (a number; one an image for a convolution; one a row for a matrix)::

        conv(s·q + z, w)     -->  s·conv(q, w) + z·conv(1, w)
        matmul(s·q + z, w)   -->  s·matmul(q, w) + z·colsum(w)

    and likewise for ``q / s`` and ``q - z``, one after another, also where reshapes, transposes or slices stand between. ``conv(1, w)``
    is a constant, an image where the convolution pads: padding reads 0 on both sides, so it needs no more care. Side conditions: q is
    proved to take few values, s·q + z is not, and ``recognise-codes`` takes the product that is left.

    Float weights that an offset leaves become integers times a scale behind the product, so that nothing cancels.
    In int32 this is an identity (modulo 2^32), applied where it leaves q in one byte. In float32 it holds for real numbers: the file
    rounds ``s·q`` before it sums, so the product's contract is "rounded". The graph's attribute ``rounded_products`` names the ONNX
    nodes this happened to; ``recognise-codes`` reads it.
    """

    name: ClassVar[str] = "pull-scales"

    def run(self, graph: Graph) -> Graph:
        sets = ValueSets()
        rounded: list[str] = []

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name not in ("nn.conv", "nn.matmul"):
                return None
            made = _pulled(op, sets, b)
            if made is not None and _dtype(made).is_float:
                rounded.append(op.loc)
            return made

        after = rewrite(graph, rule)
        if rounded:
            after.attrs["rounded_products"] = (*graph.attrs.get("rounded_products", ()), *rounded)
        return after


@dataclass(frozen=True, slots=True)
class _Step:
    """``value = name(previous, other)``; ``other`` broadcasts to the value and is computed at run time or constant."""

    name: str
    other: Value
    loc: str


@dataclass(frozen=True, slots=True)
class _Chain:
    """``core`` and what is done to it, first step first."""

    core: Value
    steps: tuple[_Step, ...] = ()


def _pulled(op: Op, sets: ValueSets, b: Builder) -> Value | None:
    """The product with run-time scales behind it, None where there is nothing to gain."""
    chains = [_chain_of_operand(op, index, sets, b) for index in (0, 1)]
    x, w = chains
    if x is None or w is None or not (x.steps or w.steps):
        return None
    shifted = any(step.name in ("nn.add", "nn.sub") for step in x.steps)
    weights = _integer_weights(op, b) if shifted and _dtype(w.core).is_float else (w.core, None)
    if weights is None:
        return None
    core, scale = weights
    y = b.add(op.name, x.core, core, loc=op.loc, **op.attrs)
    assert y.producer is not None
    form = recognise(y.producer, sets)
    if not isinstance(form, Form) or form.coding is None:
        return None
    for chain in (x, w):
        ones: Value | None = None
        for step in chain.steps:
            other = step.other
            if step.name in ("nn.add", "nn.sub"):
                ones = _sum_of_weights(op, core, b) if ones is None else ones
                other = b.add("nn.mul", other, ones, loc=step.loc)
            y = b.add(step.name, y, other, loc=step.loc)
    return y if scale is None else b.add("nn.mul", y, scale, loc=op.loc)


def _integer_weights(op: Op, b: Builder) -> tuple[Value, Value | None] | None:
    """Constant float weights as integers and their scale, None where they are none.

    A product and the offset that leaves it may be far larger than their difference. As integers neither is rounded (below 2^24).
    """
    w = op.operands[1]
    assert w.constant is not None
    axis = 0 if op.name == "nn.conv" else 1
    coding = weight_coding(w.constant, axis)
    if isinstance(coding, Blocked) or coding.offsets.any():
        return None
    if (coding.scales == 1).all():
        return w, None
    codes = b.constant(coding.codes.astype(w.constant.dtype), loc=op.loc)
    trailing = (1,) * (len(w.shape) - 2) if op.name == "nn.conv" else ()
    return codes, b.constant(coding.scales.astype(w.constant.dtype).reshape(-1, *trailing), loc=op.loc)


def _chain_of_operand(op: Op, index: int, sets: ValueSets, b: Builder) -> _Chain | None:
    """The codes an operand is made of, with no steps if it is codes already; None if it is not made of codes like that."""
    value = op.operands[index]
    if value.constant is not None:
        return _Chain(value) if index == 1 else None
    if _is_core(value, sets):
        return _Chain(value)
    chain = _chain(value, sets, b)
    offsets = any(step.name in ("nn.add", "nn.sub") for step in chain.steps) if chain is not None else False
    if chain is None or not all(_uniform(op, index, step.other.shape) for step in chain.steps):
        return None
    return None if offsets and (index == 1 or op.operands[1].constant is None) else chain


def _is_core(value: Value, sets: ValueSets) -> bool:
    coding = coding_of(sets.of(value))
    if isinstance(coding, Blocked):
        return False
    return _dtype(value).is_float or coding.levels.count <= _BYTE


def _chain(value: Value, sets: ValueSets, b: Builder) -> _Chain | None:
    if _is_core(value, sets):
        return _Chain(value)
    op = value.producer
    if op is None:
        return None
    if op.name in _MOVES:
        return _moved_chain(op, sets, b)
    if op.name not in ("nn.mul", "nn.div", "nn.add", "nn.sub"):
        return None
    pairs = [op.operands] if op.name in ("nn.div", "nn.sub") else [op.operands, op.operands[::-1]]
    if not _dtype(value).is_float and op.name == "nn.div":
        return None
    for inner, other in pairs:
        if inner.shape == value.shape and prod(other.shape) < prod(value.shape):
            found = _chain(inner, sets, b)
            if found is not None:
                return _Chain(found.core, (*found.steps, _Step(op.name, other, op.loc)))
    return None


def _moved_chain(move: Op, sets: ValueSets, b: Builder) -> _Chain | None:
    """The chain below a move: the core is moved, and what broadcast to the value before broadcasts to the one behind."""
    inner = _chain(move.operands[0], sets, b)
    if inner is None:
        return None
    steps = []
    for step in inner.steps:
        other = _moved(step.other, move, b)
        if other is None:
            return None
        steps.append(_Step(step.name, other, step.loc))
    core = b.add(move.name, inner.core, loc=move.loc, **move.attrs)
    return _Chain(core, tuple(steps))


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


def _uniform(op: Op, index: int, shape: Sequence[int]) -> bool:
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


def _sum_of_weights(op: Op, w: Value, b: Builder) -> Value:
    """``op`` of ones and ``w``: [M] for a matrix, [1, M, 1..] for a convolution, an image where it pads."""
    x = op.operands[0]
    assert w.constant is not None
    exact = np.float64 if w.constant.dtype.kind == "f" else w.constant.dtype
    if op.name == "nn.matmul":
        total = w.constant.sum(axis=0, dtype=exact)
    else:
        total = np.asarray(op.decl.evaluate(np.ones((1, *x.shape[1:]), exact), w.constant.astype(exact), **op.attrs))
        if not any(op.attrs["pads"]):
            total = total[(slice(None), slice(None), *[slice(0, 1)] * (total.ndim - 2))]
    return b.constant(total.astype(w.constant.dtype), loc=op.loc)


def _dtype(value: Value) -> DType:
    assert isinstance(value.type, TensorType)
    return value.type.dtype
