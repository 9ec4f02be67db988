"""``recognise-codes``: products whose operands are finite sets become products of codes with exact int32 accumulators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import BIPOLAR, Builder, DType, Graph, Levels, Op, Value, rewrite
from bitc.passes.base import Pass
from bitc.passes.facts import Integers
from bitc.passes.value_sets import ValueSets

SAME_MAGNITUDE = 1e-6
"""Relative spread up to which the weights of a channel count as ±a: exporters that fold scales leave them an ulp apart."""

NEARLY = 1e-6
MAX_PLANES = 3
FEW_PIXELS = 8


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a product stays in float: ``reason`` in one line, ``hint`` what would change it."""

    reason: str
    hint: str = ""


@dataclass(frozen=True)
class RecogniseCodes(Pass):
    """With x = s·X (X of levels) and w[m] = a[m]·W[m] (W of ±1):

        conv(x, w)[m]  =  s·a[m] · conv(X, W)[m]

    and the right-hand sum is over integers, exact in int32. Before and after::

        %y = nn.conv %x, %w      -->   %X = q.encode %x;  %W = q.encode sign(%w)
                                       %acc = q.conv %X, %W
                                       %y = nn.mul (nn.cast %acc), s·a

    Side condition: x is proved to be a finite set of at most four evenly spaced values, and |w| is one value in each output
    channel. If only w is so, the product becomes ``q.weight_conv`` (weights-only). What does not fit stays ``nn``, and the graph's
    attribute ``why_not_one_bit`` says why: (ONNX node, reason, hint) for each product that does not run as one bit by one.
    """

    name: ClassVar[str] = "recognise-codes"

    def run(self, graph: Graph) -> Graph:
        sets = ValueSets()
        why: list[tuple[str, str, str]] = []
        known: dict[tuple[Value, Levels, float], Value] = {}

        def encode(x: Value, levels: Levels, scale: float, b: Builder, loc: str) -> Value:
            """The codes of ``x``, made once for all the products that read them."""
            if (x, levels, scale) not in known:
                known[x, levels, scale] = b.add("q.encode", x, levels=levels, scale=scale, loc=loc, origin=x.origin)
            return known[x, levels, scale]

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name not in ("nn.conv", "nn.matmul"):
                return None
            found = recognise(op, sets)
            if isinstance(found, Blocked):
                why.append((op.loc, found.reason, found.hint))
                return None
            if found.levels is None:
                why.append((op.loc, found.why_float, "the weights alone run as bits"))
                return _product_of_codes(op, None, found, b)
            if found.levels.planes > 1:
                why.append((op.loc, *_why_planes(op.operands[0], found.levels)))
            codes = encode(op.operands[0], found.levels, found.x_scale, b, op.loc)
            return _product_of_codes(op, codes, found, b)

        after = rewrite(graph, rule)
        after.attrs["why_not_one_bit"] = tuple(why)
        return after


@dataclass(frozen=True, slots=True)
class Form:
    """A product in code form; with ``levels`` None only the weights are codes, and ``why_float`` says why not the activations.

    ``exact``: the file's own float32 sum is exact in any order (see architecture, "what exact means"); with codes for weights alone,
    that the scale taken out of the sum changes no bit.
    """

    levels: Levels | None
    x_scale: float
    signs: np.ndarray
    magnitudes: np.ndarray
    exact: bool
    why_float: str = ""


def recognise(op: Op, sets: ValueSets) -> Form | Blocked:
    """The code form of an ``nn.conv`` or ``nn.matmul``, or why there is none."""
    x, w = op.operands
    weights = w.constant
    if weights is None:
        return Blocked(
            "both operands are computed at run time", "products of two activations are not compiled to codes yet"
        )
    if weights.dtype != np.float32:
        return Blocked(f"the weights are {weights.dtype}, not float32")
    if op.name == "nn.matmul" and weights.ndim != 2:
        return Blocked("the weights are a stack of matrices")
    axis = 0 if op.name == "nn.conv" else 1
    split = sign_and_magnitude(weights, axis)
    if isinstance(split, Blocked):
        return split
    signs, magnitudes = split
    same_weights = bool(np.all(np.abs(weights) == np.expand_dims(magnitudes, _other_axes(weights, axis))))
    found = _activation_levels(x, sets)
    if isinstance(found, Blocked):
        return _weights_only(op, signs, magnitudes, same_weights and _scales_out(op, magnitudes, sets), found)
    levels, scale = found
    terms = signs.size // magnitudes.size
    largest = max(abs(levels.lo), abs(levels.hi)) * terms
    if largest >= 1 << 31:
        return Blocked(f"sums of levels {levels} reach {largest}, more than int32 holds")
    same_values = scale == np.float32(scale) and np.isin(sets.values(x) or (), levels.values() * scale).all()
    exact = same_weights and bool(same_values) and _sums_exactly(magnitudes, scale, largest)
    return Form(levels, scale, signs, magnitudes, exact)


def _other_axes(weights: np.ndarray, axis: int) -> tuple[int, ...]:
    return tuple(i for i in range(weights.ndim) if i != axis)


def _activation_levels(x: Value, sets: ValueSets) -> tuple[Levels, float] | Blocked:
    values = sets.values(x)
    if values is None:
        return Blocked(
            "the activation is not proved to take few values", "quantize it, or promise its values (--values)"
        )
    if len(values) > MAX_PLANES + 1:
        return Blocked(f"the activation takes {len(values)} values; bit planes serve up to {MAX_PLANES + 1}")
    return levels_of(values)


def _scales_out(op: Op, magnitudes: np.ndarray, sets: ValueSets) -> bool:
    """Whether ``sum(x·a·w) = a·sum(x·w)`` bit for bit: the file's sum is exact, or the scales are powers of two."""
    mantissas, _ = np.frexp(magnitudes)
    return isinstance(sets.of(op.results[0]), Integers) or bool(np.isin(mantissas, (0, 0.5)).all())


def _weights_only(op: Op, signs: np.ndarray, magnitudes: np.ndarray, exact: bool, blocked: Blocked) -> Form | Blocked:
    """Sign weights pay where the weights are read about once; over many pixels float FMA on expanded weights is faster."""
    pixels = int(np.prod(op.results[0].shape[2:])) if op.name == "nn.conv" else op.operands[0].shape[-2]
    if pixels >= FEW_PIXELS:
        return Blocked(blocked.reason + f"; over {pixels} pixels float weights are faster than bits", blocked.hint)
    return Form(None, 1.0, signs, magnitudes, exact, blocked.reason)


def _why_planes(x: Value, levels: Levels) -> tuple[str, str]:
    """Why a product takes several planes, and what would change it."""
    reason = f"the activation takes {levels.count} values, so each is {levels.planes} bits"
    maker = x.producer
    if maker is not None and maker.name == "nn.sign":
        return reason + ": Sign(0) is 0 in ONNX", "declare it with --sign-zero plus, or export x >= 0 ? 1 : -1"
    return reason, ""


def sign_and_magnitude(weights: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray] | Blocked:
    """``weights`` as ±1 times a magnitude for each index of ``axis``.

    >>> sign_and_magnitude(np.array([[0.5, -0.5], [2.0, 2.0]], np.float32), 0)[1]
    array([0.5, 2. ], dtype=float32)
    """
    rest = _other_axes(weights, axis)
    size = np.abs(weights)
    low, high = size.min(axis=rest), size.max(axis=rest)
    if not np.isfinite(size).all():
        return Blocked("a weight is not finite")
    if not np.all(high - low <= SAME_MAGNITUDE * high):
        worst = int(np.argmax(high - low))
        distinct = np.unique(np.take(weights, worst, axis)).size
        return Blocked(
            f"output channel {worst} has {distinct} different weights, not ±a", "binarize the weights per channel"
        )
    magnitudes = np.median(size, axis=rest).astype(np.float32)
    return np.where(weights < 0, -1, 1).astype(np.int8), magnitudes


def levels_of(values: Sequence[float]) -> tuple[Levels, float] | Blocked:
    """Ascending ``values`` on an even grid as integer levels and a scale; the grid may have levels that no value takes.

    >>> [str(x) for x in levels_of((-0.5, 0.5))], [str(x) for x in levels_of((0.0, 1.0, 2.0, 3.0))]
    (['{-1,1}', '0.5'], ['{0,1,2,3}', '1.0'])
    >>> [str(x) for x in levels_of((0.0, 0.25, 0.75))]
    ['{0,1,2,3}', '0.25']
    """
    v = np.asarray(values, dtype=np.float64)
    if v.size < 2:
        return Blocked("the activation is a constant")
    reason = f"the {v.size} activation values are not evenly spaced"
    for count in range(v.size, max(v.size, MAX_PLANES + 1) + 1):
        gap = (v[-1] - v[0]) / (count - 1)
        index = np.rint((v - v[0]) / gap).astype(np.int64)
        if np.unique(index).size < v.size or np.abs(v - v[0] - index * gap).max() > NEARLY * np.abs(v).max():
            continue
        for step in (1, 2):
            lo = v[0] * step / gap
            if abs(lo - round(lo)) <= NEARLY * max(1.0, abs(lo)):
                levels = Levels(round(lo), step, count)
                return levels, _scale(v, levels.values()[index])
        reason = f"the activation values {v[:4].tolist()} are no multiples of their spacing"
    return Blocked(reason)


def _scale(values: np.ndarray, levels: np.ndarray) -> float:
    """The scale as the value at level 1 has it, else from the largest level."""
    at = int(np.argmax(levels == 1)) if (levels == 1).any() else int(np.argmax(np.abs(levels)))
    return float(values[at] / levels[at])


def _sums_exactly(magnitudes: np.ndarray, x_scale: float, largest_sum: int) -> bool:
    """Whether float32 holds every ``k · scale · magnitude``, |k| <= largest_sum: then the oracle's own sum has no rounding."""
    product = magnitudes[magnitudes > 0].astype(np.float64) * x_scale
    mantissa, _ = np.frexp(product)
    whole = map(int, mantissa * 2**53)
    largest_odd = max((w // (w & -w) for w in whole), default=1)
    normal = np.all((product >= 2.0**-126) & (product * largest_sum < 2.0**128))
    return largest_odd * largest_sum <= 1 << 24 and bool(normal)


def _product_of_codes(op: Op, codes: Value | None, form: Form, b: Builder) -> Value:
    """The product of ``codes`` (of the numbers themselves if None) with the signs of the weights, scaled."""
    x, w = op.operands
    signs = b.constant(form.signs.astype(np.float32), name=f"{w.name}.signs", loc=op.loc)
    weights = b.add("q.encode", signs, levels=BIPOLAR, loc=op.loc)
    conv = op.name == "nn.conv"
    if codes is None:
        name = "q.weight_conv" if conv else "q.weight_matmul"
        product = b.add(name, x, weights, loc=op.loc, exact=form.exact, **op.attrs)
    else:
        acc = b.add("q.conv" if conv else "q.matmul", codes, weights, loc=op.loc, exact=form.exact, **op.attrs)
        product = b.add("nn.cast", acc, to=DType.F32, loc=op.loc)
    scale = (form.magnitudes.astype(np.float64) * form.x_scale).astype(np.float32)
    if np.all(scale == 1):
        return product
    shape = (1, -1) + (1,) * (len(product.shape) - 2) if conv else (-1,)
    return b.add("nn.mul", product, b.constant(scale.reshape(shape), loc=op.loc), loc=op.loc)
