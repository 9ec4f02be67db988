"""``recognise-codes``: products whose operands are finite sets become products of codes with exact int32 accumulators."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bitc.ir import BIPOLAR, Builder, DType, Graph, Levels, Op, TensorType, Value, rewrite
from bitc.passes.base import Pass
from bitc.passes.both_computed import Dots, Gemm, both_computed, product_of_both
from bitc.passes.coding import Blocked, Coding, WeightCoding, coding_of, sums_exactly, weight_coding
from bitc.passes.facts import INT32, Integers
from bitc.passes.value_sets import ValueSets

MAX_PLANES = 3
FEW_PIXELS = 8


@dataclass(frozen=True)
class RecogniseCodes(Pass):
    """With x = s·X + p (X of levels) and w[m] = a[m]·W[m] + b[m] (W of integer codes):

        conv(x, w)[m]  =  s·a[m] · conv(X, W)[m]  +  s·b[m] · conv(X, 1)  +  conv(p, w)[m]
        (s·X) @ (t·Y)  =  s·t · (X @ Y)                                                             both computed

    The sums of codes are over integers, exact in int32; the last term is a constant, the offsets p and b are mostly 0. The
    multiple of s next to p joins the sum of integers, so that nothing cancels in float32. Before and after::

        %y = nn.conv %x, %w      -->   %X = q.encode %x;  %W = q.encode codes(%w)
                                       %acc = q.conv %X, %W
                                       %y = nn.mul (nn.cast %acc), s·a

    Side condition: x is proved to be a set of evenly spaced values, and the weights of each output channel are small integers times
    a scale, or two values. If only w is ±a, the product may become ``q.weight_conv`` (weights-only). Products of int32 tensors are
    sums of codes as they stand. What does not fit stays ``nn``, and the graph's attribute ``why_not_one_bit`` says why: (ONNX node,
    reason, hint) for each product that does not run as one bit by one.
    """

    name: ClassVar[str] = "recognise-codes"
    isa: str = "portable"

    def run(self, graph: Graph) -> Graph:
        sets = ValueSets()
        why: list[tuple[str, str, str]] = []
        rounded = graph.attrs.get("rounded_products", ())  # pull-scales took a scale out of the file's own sum
        stay = {loc: (reason, hint) for loc, reason, hint in graph.attrs.get("scales_that_stay", ())}
        known: dict[tuple[Value, Levels, float, float], Value] = {}

        def encode(x: Value, coding: Coding, b: Builder, loc: str) -> Value:
            """The codes of ``x``, made once for all the products that read them."""
            key = (x, coding.levels, coding.scale, coding.offset)
            if key not in known:
                known[key] = _encoded(x, coding, b, loc)
            return known[key]

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name not in ("nn.conv", "nn.matmul"):
                return None
            found = recognise(op, sets, self.isa)
            if isinstance(found, Blocked):
                why.append((op.loc, *stay.get(op.loc, (found.reason, found.hint))))
                return None
            if op.loc in rounded:
                found = replace(found, exact=False)
            if isinstance(found, Dots | Gemm):
                levels = found.x.levels, found.y.levels
                if (reason := _why_not_one_bit(op.operands[0], *levels, "the other one")) is not None:
                    why.append((op.loc, *reason))
                return product_of_both(op, found, encode, b)
            if found.coding is None:
                why.append((op.loc, found.why_float, "the weights alone run as bits"))
                return _product_with_codes(op, found.weights, found.exact, b)
            reason = _why_not_one_bit(op.operands[0], found.coding.levels, found.weights.levels)
            if reason is not None:
                why.append((op.loc, *reason))
            return _product_of_codes(op, encode(op.operands[0], found.coding, b, op.loc), found, b)

        after = rewrite(graph, rule)
        after.attrs["why_not_one_bit"] = tuple(why)
        return after


@dataclass(frozen=True, slots=True)
class Form:
    """A product in code form; with ``coding`` None only the weights are codes, and ``why_float`` says why not the activations.

    ``exact``: the file's own float32 sum is exact in any order (see architecture, "what exact means"); with codes for weights alone,
    that the scale taken out of the sum changes no bit.
    """

    coding: Coding | None
    weights: WeightCoding
    exact: bool
    why_float: str = ""


def recognise(op: Op, sets: ValueSets, isa: str = "portable") -> Form | Dots | Gemm | Blocked:
    """The code form of an ``nn.conv`` or ``nn.matmul``, or why there is none; of two computed operands by the costs of ``isa``."""
    x, w = op.operands
    if w.constant is None and x.constant is None and op.name == "nn.matmul":
        return both_computed(op, sets, isa)
    if w.constant is None:
        return Blocked("the weights are computed at run time")
    if w.constant.dtype not in (np.float32, np.int32):
        return Blocked(f"the weights are {w.constant.dtype}, not float32")
    if op.name == "nn.matmul" and w.constant.ndim != 2:
        return Blocked("the weights are a stack of matrices")
    weights = weight_coding(w.constant, 0 if op.name == "nn.conv" else 1)
    if isinstance(weights, Blocked):
        return weights
    coding = coding_of(sets.of(x))
    if isinstance(coding, Blocked):
        return _weights_only(op, weights, sets, coding)
    levels, terms = coding.levels, _largest_sum_of_weights(op, weights)
    largest = terms * max(abs(levels.lo), abs(levels.hi))
    if max(largest, terms * (levels.hi - levels.lo)) >= INT32:  # levels may be stored counted from the lowest
        return Blocked(f"sums of levels {levels} reach {largest}, more than int32 holds")
    if w.constant.dtype == np.int32:
        whole = not weights.offsets.any() and np.array_equal(weights.scales, np.rint(weights.scales))
        return Form(coding, weights, True) if whole else Blocked("the integer weights have more than 8 bits")
    exact = coding.same and weights.same and sums_exactly(weights.scales, coding.scale, largest)
    return Form(coding, weights, exact)


def _largest_sum_of_weights(op: Op, weights: WeightCoding) -> int:
    """The largest sum of |codes| of any output channel."""
    axes = tuple(range(1, weights.codes.ndim)) if op.name == "nn.conv" else (0,)
    return int(np.abs(weights.codes.astype(np.int64)).sum(axis=axes).max())


def _weights_only(op: Op, weights: WeightCoding, sets: ValueSets, blocked: Blocked) -> Form | Blocked:
    """Sign weights pay where the weights are read about once; over many pixels float FMA on expanded weights is faster."""
    if op.operands[1].constant is None or weights.levels != BIPOLAR or weights.offsets.any():
        return blocked
    pixels = int(np.prod(op.results[0].shape[2:])) if op.name == "nn.conv" else op.operands[0].shape[-2]
    if pixels >= FEW_PIXELS or op.operands[1].constant.dtype != np.float32:
        return Blocked(blocked.reason + f"; over {pixels} pixels float weights are faster than bits", blocked.hint)
    return Form(None, weights, weights.same and _scales_out(op, weights.scales, sets), blocked.reason)


def _scales_out(op: Op, scales: np.ndarray, sets: ValueSets) -> bool:
    """Whether ``sum(x·a·w) = a·sum(x·w)`` bit for bit: the file's sum is exact, or the scales are powers of two."""
    mantissas, _ = np.frexp(scales)
    return isinstance(sets.of(op.results[0]), Integers) or bool(np.isin(mantissas, (0, 0.5)).all())


def _why_not_one_bit(x: Value, levels: Levels, weights: Levels, other: str = "the weights") -> tuple[str, str] | None:
    """Why a product of codes is not one bit by one, and what would change it."""
    reasons, hint = [], ""
    if levels.count > 2:
        maker = x.producer
        reasons.append(f"the activation takes {levels.count} values")
        if maker is not None and maker.name == "nn.sign":
            reasons[-1] += ": Sign(0) is 0 in ONNX"
            hint = "declare it with --sign-zero plus, or export x >= 0 ? 1 : -1"
    if weights.count > 2:
        reasons.append(f"{other} take{'s' * (other != 'the weights')} {weights.count} values")
    return (" and ".join(reasons), hint) if reasons else None


def _encoded(x: Value, coding: Coding, b: Builder, loc: str) -> Value:
    if coding.offset and isinstance(x.type, TensorType):
        x = b.add("nn.sub", x, b.constant(np.asarray(coding.offset, x.type.dtype.numpy)), loc=loc)
    return b.add("q.encode", x, levels=coding.levels, scale=coding.scale, loc=loc, origin=x.origin)


def _weight_codes(op: Op, codes: np.ndarray, levels: Levels, b: Builder) -> Value:
    numbers = b.constant(codes.astype(np.float32), name=f"{op.operands[1].name}.codes", loc=op.loc)
    return b.add("q.encode", numbers, levels=levels, loc=op.loc)


def _product_with_codes(op: Op, weights: WeightCoding, exact: bool, b: Builder) -> Value:
    """The product of the numbers themselves with the signs of the weights, scaled."""
    codes = _weight_codes(op, weights.codes, weights.levels, b)
    name = "q.weight_conv" if op.name == "nn.conv" else "q.weight_matmul"
    return _scaled(op, b.add(name, op.operands[0], codes, loc=op.loc, exact=exact, **op.attrs), weights.scales, b)


def _product_of_codes(op: Op, codes: Value, form: Form, b: Builder) -> Value:
    assert form.coding is not None
    weights, coding = form.weights, form.coding
    name = "q.conv" if op.name == "nn.conv" else "q.matmul"
    acc = b.add(
        name, codes, _weight_codes(op, weights.codes, weights.levels, b), loc=op.loc, exact=form.exact, **op.attrs
    )
    of_integers = op.operands[0].type.dtype is DType.I32  # type: ignore[union-attr]
    whole = None if of_integers else _whole_offset(op, form, b)
    if whole is not None:
        acc = b.add("nn.add", acc, whole, loc=op.loc)
    offset = coding.offset if whole is None else _rest(coding)
    constant = _of_offset(op, offset, b) if offset else None
    sums = acc if of_integers else b.add("nn.cast", acc, to=DType.F32, loc=op.loc)
    product = _scaled(op, sums, weights.scales * coding.scale, b)
    if weights.offsets.any():
        product = b.add("nn.add", product, _sum_of_codes(op, codes, form, b), loc=op.loc)
    return product if constant is None else b.add("nn.add", product, constant, loc=op.loc)


def _sum_of_codes(op: Op, codes: Value, form: Form, b: Builder) -> Value:
    """``s·b[m] · conv(X, 1)``: one output channel a group, repeated for the channels of the group."""
    assert form.coding is not None
    offsets = form.weights.offsets * form.coding.scale
    if op.name == "nn.conv":
        group = op.attrs["group"]
        ones = np.ones((group, *op.operands[1].shape[1:]), np.int32)
    else:
        group, ones = 1, np.ones((op.operands[1].shape[0], 1), np.int32)
    name = "q.conv" if op.name == "nn.conv" else "q.matmul"
    acc = b.add(name, codes, _weight_codes(op, ones, BIPOLAR, b), loc=op.loc, exact=False, **op.attrs)
    total = b.add("nn.cast", acc, to=DType.F32, loc=op.loc)
    if group > 1:
        channels = np.repeat(np.arange(group), offsets.size // group)
        total = b.add("nn.gather", total, axis=1, indices=channels, loc=op.loc)
    return b.add("nn.mul", total, _by_channel(op, offsets, total, b), loc=op.loc)


def _whole_offset(op: Op, form: Form, b: Builder) -> Value | None:
    """``conv(round(p/s), W)`` in int32: added without rounding to the sum of levels, which it may nearly cancel."""
    assert form.coding is not None
    coding, weights = form.coding, form.weights
    whole = round(coding.offset / coding.scale)
    largest = max(abs(coding.levels.lo + whole), abs(coding.levels.hi + whole), abs(whole))
    if not whole or weights.offsets.any():
        return None
    if _largest_sum_of_weights(op, weights) * largest >= INT32:
        return None
    return b.constant(_sum_of(op, whole, weights.codes).astype(np.int32), loc=op.loc)


def _rest(coding: Coding) -> float:
    """What the multiple of the scale next to the offset leaves of it: no level is nearer to 0."""
    return float(coding.offset - round(coding.offset / coding.scale) * coding.scale)


def _of_offset(op: Op, offset: float, b: Builder) -> Value:
    """``conv(p, w)`` as a constant."""
    weights = op.operands[1].constant
    assert weights is not None
    assert isinstance(op.results[0].type, TensorType)
    return b.constant(_sum_of(op, offset, weights).astype(op.results[0].type.dtype.numpy), loc=op.loc)


def _sum_of(op: Op, offset: float, weights: np.ndarray) -> np.ndarray:
    """``op`` of ``offset`` everywhere and ``weights``; with zero padding it differs at the border."""
    x = op.operands[0]
    filled = np.full((1, *x.shape[1:]) if op.name == "nn.conv" else (1, x.shape[-1]), offset, np.float64)
    image = np.asarray(op.decl.evaluate(filled, weights.astype(np.float64), **op.attrs))
    if op.name == "nn.conv" and not any(op.attrs["pads"]):
        image = image[(slice(None), slice(None), *[slice(0, 1)] * (image.ndim - 2))]
    return image if op.name == "nn.conv" else np.asarray(image[0])


def _scaled(op: Op, product: Value, scales: np.ndarray, b: Builder) -> Value:
    if np.all(scales == 1):
        return product
    return b.add("nn.mul", product, _by_channel(op, scales, product, b), loc=op.loc)


def _by_channel(op: Op, numbers: np.ndarray, like: Value, b: Builder) -> Value:
    assert isinstance(like.type, TensorType)
    shape = (1, -1) + (1,) * (len(op.results[0].shape) - 2) if op.name == "nn.conv" else (-1,)
    return b.constant(numbers.astype(like.type.dtype.numpy).reshape(shape), loc=op.loc)
