"""``canonicalise``: identities that hold bit for bit, so that later passes see one spelling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, Graph, Op, TensorType, Value, rewrite
from bitc.passes.base import Pass


@dataclass(frozen=True)
class Canonicalise(Pass):
    """Folds constants and drops what does nothing, to a fixed point::

        x * 1, x / 1, x - 0, x ^ 1             -->  x
        transpose(transpose(x, p), q)          -->  transpose(x, p∘q)
        transpose that moves only unit axes    -->  reshape
        reshape(reshape(x))                    -->  reshape(x)
        reshape or transpose to itself         -->  x
        cast to the same dtype, pad by nothing -->  x
        f(x, c), c a tensor that repeats       -->  f(x, c'), c' one of what is repeated     f elementwise
        f(x, expand(y)), x as large            -->  f(x, y)
        f(expand(y), c), c a number            -->  expand(f(y, c))

    ``x + 0`` and ``x - -0`` are not in the list: they turn -0.0 into +0.0.
    """

    name: ClassVar[str] = "canonicalise"

    def run(self, graph: Graph) -> Graph:
        fired = True

        def rule(op: Op, b: Builder) -> Value | None:
            nonlocal fired
            found = _rule(op, b) or _compact(op, b) or _expanded(op, b)
            fired = fired or found is not None
            return found

        while fired:
            fired = False
            graph = rewrite(graph, rule, fold=True)
        return graph


def _rule(op: Op, b: Builder) -> Value | None:
    match op.name:
        case "nn.mul" | "nn.div" | "nn.sub" | "nn.pow":
            return _neutral(op)
        case "nn.transpose":
            return _transpose(op, b)
        case "nn.reshape":
            return _reshape(op, b)
        case "nn.cast":
            x = op.operands[0]
            return x if isinstance(x.type, TensorType) and x.type.dtype is op.attrs["to"] else None
        case "nn.pad":
            return op.operands[0] if not any(op.attrs["pads"]) else None
        case "nn.expand":
            return op.operands[0] if op.results[0].shape == op.operands[0].shape else None
    return None


def _compact(op: Op, b: Builder) -> Value | None:
    """``op`` on constants that hold once what they would repeat along an axis; vectors stay, for later passes know them."""
    constants = {operand: operand.constant for operand in op.operands if operand.constant is not None}
    small = {value: _without_repetition(array) for value, array in constants.items()}
    if not op.decl.elementwise or all(small[value] is array for value, array in constants.items()):
        return None
    shapes = [small[o].shape if o in small else o.shape for o in op.operands]
    if np.broadcast_shapes(*shapes) != op.results[0].shape:
        return None
    operands = [o if small.get(o) is constants.get(o) else _once(o, small[o], b) for o in op.operands]
    return b.add(op.name, *operands, loc=op.loc, **op.attrs)


def _once(value: Value, array: np.ndarray, b: Builder) -> Value:
    """``array``, which has once what the constant ``value`` repeats; its ends are the widest of what is repeated."""
    ends = value.ends
    if ends is not None and ends[0].shape == value.shape:
        kept = array.shape or (1,) * len(value.shape)
        axes = tuple(axis for axis, size in enumerate(value.shape) if size != kept[axis])
        ends = ends[0].min(axis=axes).reshape(array.shape), ends[1].max(axis=axes).reshape(array.shape)
    return b.constant(array, name=value.name, ends=ends)


def _expanded(op: Op, b: Builder) -> Value | None:
    """``op`` on what its operands are expanded from: it broadcasts by itself, or what it gives is expanded."""
    if not op.decl.elementwise:
        return None
    sources = [
        o.producer.operands[0] if o.producer is not None and o.producer.name == "nn.expand" else o for o in op.operands
    ]
    if sources == list(op.operands):
        return None
    shape = op.result.shape
    if np.broadcast_shapes(*(o.shape for o in sources)) == shape:
        return b.add(op.name, *sources, loc=op.loc, **op.attrs)
    computed = {source for source in sources if source.constant is None}
    if len(computed) != 1 or any(o.constant.size != 1 for o in sources if o.constant is not None):
        return None
    return b.add("nn.expand", b.add(op.name, *sources, loc=op.loc, **op.attrs), shape=shape, loc=op.loc)


def _without_repetition(array: np.ndarray) -> np.ndarray:
    """``array`` with size one along the axes it repeats along, a scalar if along all; itself if it has less than two axes.

    >>> _without_repetition(np.array([[1, 1], [2, 2]])).tolist(), _without_repetition(np.ones((2, 3))).tolist()
    ([[1], [2]], 1.0)
    """
    if sum(n > 1 for n in array.shape) < 2:
        return array
    small = array
    for axis in range(array.ndim):
        first = small.take([0], axis)
        if np.broadcast_to(first, small.shape).tobytes() == small.tobytes():
            small = first
    if small.shape == array.shape:
        return array
    return small.reshape(()) if small.size == 1 else small


_NEUTRAL = {"nn.mul": 1, "nn.div": 1, "nn.pow": 1, "nn.sub": 0}


def _neutral(op: Op) -> Value | None:
    candidates = [(op.operands[0], op.operands[1])]
    if op.name == "nn.mul":
        candidates.append((op.operands[1], op.operands[0]))
    for x, other in candidates:
        constant = other.constant
        same_type = x.shape == op.results[0].shape
        if constant is not None and same_type and bool(np.all((constant == _NEUTRAL[op.name]) & ~np.signbit(constant))):
            return x
    return None


def _transpose(op: Op, b: Builder) -> Value | None:
    x, perm = op.operands[0], op.attrs["perm"]
    if list(perm) == sorted(perm):
        return x
    moved = [axis for axis in perm if x.shape[axis] != 1]
    if moved == sorted(moved):
        return b.add("nn.reshape", x, shape=op.results[0].shape, loc=op.loc)
    inner = x.producer
    if inner is not None and inner.name == "nn.transpose":
        joined = tuple(inner.attrs["perm"][axis] for axis in perm)
        return b.add("nn.transpose", inner.operands[0], perm=joined, loc=op.loc)
    return None


def _reshape(op: Op, b: Builder) -> Value | None:
    x = op.operands[0]
    if x.shape == op.results[0].shape:
        return x
    inner = x.producer
    if inner is not None and inner.name == "nn.reshape":
        return b.add("nn.reshape", inner.operands[0], shape=op.attrs["shape"], loc=op.loc)
    return None
