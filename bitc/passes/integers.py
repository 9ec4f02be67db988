"""``store-integers``: products of codes that do not run as bits become products of integer tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

import numpy as np

from bitc.errors import Diagnostic, OptionError
from bitc.ir import Builder, CodeType, DType, Graph, Op, TensorType, Value, rewrite
from bitc.ir.integer_packing import INTEGER_FORMS, LONG_CHAIN, IntegerForm
from bitc.ir.placed_weights import SIDE, growth
from bitc.ir.winograd import CHANNEL_STEP, winograd_is_exact
from bitc.passes.base import Pass
from bitc.passes.cones import channel_vector
from bitc.passes.facts import INT32
from bitc.passes.gemm_storages import MOST_INT16, gemm_storages
from bitc.passes.padding import code_constant
from bitc.passes.recognise import MAX_PLANES
from bitc.passes.stored_levels import stored_levels
from bitc.passes.value_sets import ValueSets


@dataclass(frozen=True)
class StoreIntegers(Pass):
    """Levels are stored as numbers: ``u8`` counts from the lowest level, ``i16`` holds the level itself. With W the weights' codes::

        q.conv(X, W)  =  q.int_conv(u, W, base),   u = X - lo,  base[m] = lo · sum W[m]       (u8)
        q.conv(X, W)  =  q.int_conv(X, W, 0)                                                   (i16)

    and a padding tap, which reads level 0, reads ``-lo`` in the first form. Each product takes what the kernels of ``isa`` are fastest
    with (:func:`storages`, :func:`gemm_storages` where both factors are computed: ``q.gemm(X, Y) = q.int_gemm(X - lo, Y) {lowest = lo}``).
    A bias in integers joins ``base``. Products of at most four levels with weights ±a stay as they are: they
    run as bits.
    """

    name: ClassVar[str] = "store-integers"
    isa: str = "portable"

    def run(self, graph: Graph) -> Graph:
        if self.isa not in INTEGER_FORMS:
            hint = "one of: " + ", ".join(INTEGER_FORMS)
            raise OptionError(Diagnostic("O024", f"no kernels of integers for {self.isa!r}", hint=hint))
        made = IntegerProducts(INTEGER_FORMS[self.isa])

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name == "q.gemm":
                return made.of_both_computed(op, b)
            if op.name not in ("q.conv", "q.matmul") or runs_as_bits(op):
                return None
            return made.product(op, b)

        return _join_bias(rewrite(graph, rule))


@dataclass(frozen=True, slots=True)
class IntegerProducts:
    """Products of codes as products of integer tensors; those that share activations share what is stored."""

    form: IntegerForm
    sets: ValueSets = field(default_factory=ValueSets)
    stored: dict[tuple[Value, DType], Value] = field(default_factory=dict)

    def product(self, op: Op, b: Builder, storage: DType | None = None) -> Value:
        """``op``, a ``q.conv`` or ``q.matmul`` of encoded numbers, in integers, its activation in ``storage`` or the preferred one."""
        return _product(op, self._stored(op.operands[0], storage or storages(op, self.form)[0], b), b)

    def of_both_computed(self, op: Op, b: Builder) -> Value:
        """``op``, a ``q.gemm``, in integers."""
        types = [side.type for side in op.operands]
        x, y = (type.levels for type in types if isinstance(type, CodeType))
        dtypes = gemm_storages(x, y, self.form)
        sides = [self._stored(side, dtype, b) for side, dtype in zip(op.operands, dtypes, strict=True)]
        lowest = x.lo if dtypes[0] is DType.U8 else 0
        x_highest = max(abs(x.lo - lowest), abs(x.hi - lowest))
        attrs = {"x_highest": x_highest, "y_highest": max(abs(y.lo), abs(y.hi)), "exact": op.attrs["exact"]}
        return b.add("q.int_gemm", *sides, loc=op.loc, origin=op.result.origin, lowest=lowest, **attrs)

    def _stored(self, codes: Value, dtype: DType, b: Builder) -> Value:
        if (codes, dtype) not in self.stored:
            self.stored[codes, dtype] = stored_levels(codes, dtype, b, self.sets)
        return self.stored[codes, dtype]


def storages(op: Op, form: IntegerForm) -> tuple[DType, ...]:
    """What a product's activation may be stored as, what is faster on a target of ``form`` first.

    Codes or padding that do not fit u8 take i16, and so do those whose weights do not fit i8. Others take what the target prefers. Where
    that is i16 they still take u8 if kernels on bytes do more at a time: where three sums of two products fit 16 bits, and where few
    weights must be split for one sum to fit (:mod:`bitc.ir.placed_weights`), unless Winograd's algorithm saves more.
    """
    type, weights = op.operands[0].type, code_constant(op.operands[1])
    assert isinstance(type, CodeType)
    span = type.levels.hi - type.levels.lo
    pads = op.name == "q.conv" and any(op.attrs["pads"])
    if span > 255 or _weight_dtype(weights) is not DType.I8:
        return (DType.I16,)
    if pads and not 0 <= op.attrs["pad_level"] - type.levels.lo <= 255:
        return (DType.I16,)
    both = (DType.U8, DType.I16)
    return both if form.storage is DType.U8 or chained(op) or _placed(op, weights, span, form) else both[::-1]


def chained(op: Op) -> bool:
    """Whether three sums of two products of bytes fit 16 bits together."""
    type = op.operands[0].type
    assert isinstance(type, CodeType)
    largest = int(np.abs(code_constant(op.operands[1])).max())
    return 2 * LONG_CHAIN * (type.levels.hi - type.levels.lo) * largest <= MOST_INT16


def _placed(op: Op, weights: np.ndarray, span: int, form: IntegerForm) -> bool:
    """Whether a product of bytes is the faster one with placed weights: several pixels, few split entries, no Winograd."""
    if op.name == "q.matmul":
        weights = weights.T[..., np.newaxis, np.newaxis]
    group = op.attrs.get("group", 1)
    pixels = prod(op.result.shape) // weights.shape[0]
    if pixels == 1 or weights.shape[1] == 1 < group or weights[0].size < SIDE or form.growth == 0:
        return False
    if op.name == "q.conv" and by_winograd(op, weights, form, span):
        return False
    return growth(weights, group, form.block, span) <= form.growth


def by_winograd(op: Op, weights: np.ndarray, form: IntegerForm, highest: int) -> bool:
    """Whether Winograd's algorithm is exact and the faster way to a product of i16 within ±``highest`` with taps [M, C, 3, 3]."""
    if form.winograd is None or op.name not in ("q.conv", "q.int_conv"):
        return False
    attrs, (out_c, in_c) = op.attrs, weights.shape[:2]
    plain = attrs["group"] == 1 and set(attrs["strides"]) == {1} == set(attrs["dilations"])
    if not plain or weights.shape[2:] != (3, 3) or in_c % CHANNEL_STEP:
        return False
    rows, columns = op.result.shape[2:]
    return form.winograd.pays((rows, columns), in_c, out_c) and winograd_is_exact(weights, highest)


def runs_as_bits(op: Op) -> bool:
    """Whether the kernels of bit planes, or of pairs of bits, take a product of codes as it stands."""
    if op.attrs["form"]:
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
