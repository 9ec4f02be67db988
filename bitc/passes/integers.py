"""``store-integers``: products of codes that do not run as bits become products of integer tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from bitc.errors import Diagnostic, OptionError
from bitc.ir import Builder, CodeType, DType, Graph, Op, TensorType, Value, rewrite
from bitc.passes.base import Pass
from bitc.passes.cones import channel_vector
from bitc.passes.facts import INT32
from bitc.passes.padding import code_constant
from bitc.passes.recognise import MAX_PLANES
from bitc.passes.stored_levels import stored_levels
from bitc.passes.value_sets import ValueSets

MOST_INT16 = (1 << 15) - 1


@dataclass(frozen=True)
class StoreIntegers(Pass):
    """Levels are stored as numbers: ``u8`` counts from the lowest level, ``i16`` holds the level itself. With W the weights' codes::

        q.conv(X, W)  =  q.int_conv(u, W, base),   u = X - lo,  base[m] = lo · sum W[m]       (u8)
        q.conv(X, W)  =  q.int_conv(X, W, 0)                                                   (i16)

    and a padding tap, which reads level 0, reads ``-lo`` in the first form. ``storage`` is what the target's kernels are fastest with;
    codes that do not fit u8 take i16, and so do those whose weights do not fit i8. With ``i16`` codes of few bits still take u8: where
    three sums of two products fit 16 bits, kernels on bytes do twice as much at a time. A bias in integers joins ``base``. Products of at
    most four levels with weights ±a stay as they are: they run as bits.

    >>> StoreIntegers("i16").storage
    'i16'
    """

    name: ClassVar[str] = "store-integers"
    storage: str = "u8"

    def run(self, graph: Graph) -> Graph:
        if self.storage not in ("u8", "i16"):
            raise OptionError(Diagnostic("O024", f"the storage of codes is {self.storage!r}", hint="one of: u8, i16"))
        made = IntegerProducts(self.storage)

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name not in ("q.conv", "q.matmul") or runs_as_bits(op):
                return None
            return made.product(op, b)

        return _join_bias(rewrite(graph, rule))


@dataclass(frozen=True, slots=True)
class IntegerProducts:
    """Products of codes as products of integer tensors; those that share activations share what is stored."""

    storage: str
    sets: ValueSets = field(default_factory=ValueSets)
    stored: dict[tuple[Value, DType], Value] = field(default_factory=dict)

    def product(self, op: Op, b: Builder) -> Value:
        """``op``, a ``q.conv`` or ``q.matmul`` of encoded numbers, in integers."""
        key = (op.operands[0], storage_of(op, self.storage))
        if key not in self.stored:
            self.stored[key] = stored_levels(*key, b, self.sets)
        return _product(op, self.stored[key], b)


def storage_of(op: Op, preferred: str) -> DType:
    """The storage of a product's activation, ``preferred`` (u8 or i16) where it holds the levels, the padding and meets the weights."""
    type = op.operands[0].type
    assert isinstance(type, CodeType)
    fits = type.levels.hi - type.levels.lo <= 255 and _weight_dtype(code_constant(op.operands[1])) is DType.I8
    pads = op.name == "q.conv" and any(op.attrs["pads"])
    has_pad = not pads or 0 <= op.attrs["pad_level"] - type.levels.lo <= 255
    pair = 2 * (type.levels.hi - type.levels.lo) * int(np.abs(code_constant(op.operands[1])).max())
    chosen = preferred == "u8" or 3 * pair <= MOST_INT16
    return DType.U8 if chosen and fits and has_pad else DType.I16


def runs_as_bits(op: Op) -> bool:
    """Whether the kernels of bit planes, or of pairs of bits, take a product of codes as it stands."""
    if op.attrs["form"] == "pairs":
        return True
    x, w = op.operands[0].type, op.operands[1].type
    assert isinstance(x, CodeType)
    assert isinstance(w, CodeType)
    return w.levels.planes == 1 and w.levels.middle_twice == 0 and x.levels.planes <= MAX_PLANES


def _weight_dtype(codes: np.ndarray) -> DType:
    return DType.I8 if codes.min() >= -128 and codes.max() <= 127 else DType.I16


def _product(op: Op, x: Value, b: Builder) -> Value:
    codes = code_constant(op.operands[1])
    source = op.operands[0].type
    assert isinstance(source, CodeType)
    assert isinstance(x.type, TensorType)
    lowest = source.levels.lo if x.type.dtype is DType.U8 else 0
    axes = tuple(range(1, codes.ndim)) if op.name == "q.conv" else (0,)
    base = b.constant((lowest * codes.sum(axis=axes, dtype=np.int64)).astype(np.int32), loc=op.loc)
    weights = b.constant(codes.astype(_weight_dtype(codes).numpy), name=op.operands[1].name, loc=op.loc)
    attrs = {key: value for key, value in op.attrs.items() if key not in ("pad_level", "form")}
    ends = [source.levels.lo, source.levels.hi, *([op.attrs["pad_level"]] if any(op.attrs.get("pads", ())) else [])]
    attrs["highest"] = max(abs(level - lowest) for level in ends)
    if op.name == "q.conv":
        attrs["pad_value"] = op.attrs["pad_level"] - lowest if any(op.attrs["pads"]) else 0
    name = "q.int_conv" if op.name == "q.conv" else "q.int_matmul"
    return b.add(name, x, weights, base, loc=op.loc, **attrs)


def _join_bias(graph: Graph) -> Graph:
    """``q.int_conv(x, w, base) + c  -->  q.int_conv(x, w, base + c)`` where nothing else reads the sum."""
    users = graph.users()
    alone = {value.name for value, readers in users.items() if len(readers) == 1 and value not in graph.outputs}

    def rule(op: Op, b: Builder) -> Value | None:
        if op.name != "nn.add" or op.operands[0].name not in alone:
            return None
        product, bias = op.operands[0].producer, op.operands[1].constant
        if product is None or product.name not in ("q.int_conv", "q.int_matmul") or bias is None:
            return None
        x, w, base = product.operands
        row = channel_vector(bias, len(op.results[0].shape)) if product.name == "q.int_conv" else _last_axis(bias)
        if row is None or base.constant is None or op.results[0].shape != product.result.shape:
            return None
        joined = base.constant.astype(np.int64) + row
        if np.abs(joined).max() >= INT32:
            return None
        return b.add(product.name, x, w, b.constant(joined.astype(np.int32)), loc=product.loc, **product.attrs)

    return rewrite(graph, rule)


def _last_axis(array: np.ndarray) -> np.ndarray | None:
    """``array`` as [M] or [1] if it varies along the last axis alone."""
    return array.reshape(-1) if array.size in (1, array.shape[-1] if array.ndim else 1) else None
