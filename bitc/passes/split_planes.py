"""``split-planes``: products of codes of several bits become sums of products of one bit by one, where that costs less."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import reduce
from math import inf, isfinite, prod
from typing import Any, ClassVar

import numpy as np

from bitc.errors import Diagnostic, OptionError
from bitc.ir import BIPOLAR, Builder, CodeType, DType, Graph, Levels, Op, Value, rewrite
from bitc.ir.integer_packing import INTEGER_FORMS
from bitc.ir.packing import WORD_BITS
from bitc.ir.pairs import worth_of
from bitc.passes.base import Pass
from bitc.passes.costs import COSTS, Costs, Work, integers_ns, pairs_ns, plane_ns, sums_ns
from bitc.passes.facts import INT32
from bitc.passes.integers import IntegerProducts, chained, runs_as_bits, storages
from bitc.passes.measured import NOTHING, Measured
from bitc.passes.padding import code_constant
from bitc.passes.recognise import MAX_PLANES
from bitc.passes.stored_levels import stored_levels
from bitc.passes.value_sets import ValueSets
from bitc.passes.weight_planes import WeightPlanes, weight_planes

FORMS = ("auto", "planes", "pairs", "integers")
_SPELT = re.compile(r"[0-9]+x[0-9]+ planes|(u8|i16) integers")
MOST_BITS = 8


@dataclass(frozen=True)
class SplitPlanes(Pass):
    """Activations are sums of codes of two levels, one for each bit, and twice the weights are sums of signs s_j = ±1 and a middle::

        x    =  lo + sum_i 2^i · b_i      =  sum_i X_i,           X_0 of {lo, lo + 1}, X_i of {0, 2^i}
        2·w  =  mid + sum_j d_j · s_j,     mid = lowest + highest weight,  sum d_j = highest - lowest

        conv(x, w)  =  ( sum_ij conv(X_i, d_j·s_j)  +  mid · sum_i conv(X_i, 1) ) / 2

    all exact in int32, and the sum is even. The digits d are 1, 2, 4, ... and a rest, so that weights symmetric about 0 (-1..1: digits
    1, 1; -7..7: 1, 2, 4, 7) have no middle; where there is one, its product has one output channel a group. Activations of at most
    four levels may stay whole: their thermometer planes pass one kernel. Signs that are equal or opposite in all channels are
    multiplied once, signs that are constant in each channel join the middle. A padding tap reads, in each plane, the level whose
    sum is the padding level.

    Products of at most four levels by four may also stay whole, marked ``form = "pairs"``: kernels look two bits by two up in a table.
    Where words of bits would be mostly empty (depthwise convolutions, images of few channels), products of one bit by one become
    products of integers here; other products are left to ``store-integers``. ``costs`` names the target's figures
    (:mod:`bitc.passes.costs`); ``measured`` times of a layer (:mod:`bitc.passes.measured`) count before them; ``form`` decides instead:
    planes, pairs or integers, or one as ``form_costs`` spells it, wherever possible. The graph's attribute ``form_costs`` holds (ONNX
    node, text) for each product that does not run as one bit by one: what each form would cost, the chosen one first.
    """

    name: ClassVar[str] = "split-planes"
    costs: str = "portable"
    form: str = "auto"
    measured: Measured = NOTHING

    def run(self, graph: Graph) -> Graph:
        if self.costs not in COSTS or not (self.form in FORMS or _SPELT.fullmatch(self.form)):
            here = f"costs={self.costs}, form={self.form}"
            hint = f"costs: {', '.join(COSTS)}; form: {', '.join(FORMS)}, or as explained, such as 2x1 planes"
            raise OptionError(Diagnostic("O025", "split-planes cannot be run like this", here=here, hint=hint))
        activations, weighed = _Activations(), list[tuple[str, str]]()
        integers = IntegerProducts(INTEGER_FORMS[self.costs])

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name not in ("q.conv", "q.matmul"):
                return None
            forms = sorted(self._weighed(op), key=self._rank)
            best = forms[0]
            if best.text != "1x1 planes":
                weighed.append((op.loc, ", ".join(str(form) for form in forms)))
            if best.split is not None:
                return _sum_of_products(op, best.split, activations, b)
            if best.kind == "pairs":
                return b.add(op.name, *op.operands, loc=op.loc, **{**op.attrs, "form": "pairs"})
            here = best.kind == "integers" and (runs_as_bits(op) or best.storage is not None)
            return integers.product(op, b, best.storage) if here else None

        after = rewrite(graph, rule)
        after.attrs["form_costs"] = tuple(weighed)
        return after

    def _weighed(self, op: Op) -> list[Form]:
        """The forms to choose from: those that were measured, or else those that the tables know."""
        forms = forms_of(op, self.costs)
        times = self.measured.of(op, self.costs)
        measured = [replace(form, ns=times[form.text]) for form in forms if form.text in times]
        return measured or [form for form in forms if isfinite(form.ns) or form.text == self.form]

    def _rank(self, form: Form) -> tuple[bool, float]:
        """The sort key of forms: the best comes first."""
        return self.form not in ("auto", form.kind, form.text), form.ns


@dataclass(frozen=True, slots=True)
class Split:
    """How a product is taken apart. ``bits``: which bits of the activations make planes; none where they stay whole."""

    weights: WeightPlanes
    bits: tuple[int, ...]
    of_bytes: bool


@dataclass(frozen=True, slots=True)
class Form:
    """A way to compute a product, and its cost. ``kind``: planes, pairs or integers; ``split`` None leaves the op whole. ``storage``: of
    integers, where it is not the one they usually have.

    >>> str(Form(12345.0, "planes", "4x2 planes"))
    '4x2 planes 12.3 us'
    """

    ns: float
    kind: str
    text: str
    split: Split | None = None
    storage: DType | None = None

    def __str__(self) -> str:
        return f"{self.text} {self.ns / 1000:.3g} us"


def forms_of(op: Op, target: str) -> list[Form]:
    """The ways to compute a product of codes on ``target``: as it stands, by table, as integers, as sums of products of planes.

    What bits take as it stands has no other way, but for groups: their words of bits may be mostly empty. Integers in the storage
    that is usually the slower one cost infinitely much, as no table says how much.
    """
    x, w = op.operands[0].type, op.operands[1].type
    assert isinstance(x, CodeType)
    assert isinstance(w, CodeType)
    costs, work = COSTS[target], work_of(op)
    storage, *others = storages(op, INTEGER_FORMS[target])
    rate = costs.i16 if storage is DType.I16 else costs.u8 if chained(op) else costs.placed or costs.u8
    integers = Form(integers_ns(work, costs, rate, x.levels.count), "integers", f"{storage} integers")
    slower = [replace(integers, ns=inf, text=f"{other} integers", storage=other) for other in others]
    planes = x.levels.planes
    packing = work.inputs * planes * costs.pack_ns
    bits = Form(planes * plane_ns(work, costs) + packing, "planes", f"{planes}x1 planes")
    if runs_as_bits(op) and work.group == 1:
        return [bits]
    forms = [_cost(split, op, work, costs) for split in _splits(op)]
    if costs.pairs and work.group == 1 and (x.levels.count, w.levels.count) != (2, 2) and _fits_pairs(op, x, w):
        forms.append(Form(pairs_ns(work, costs) + packing, "pairs", "pairs"))
    if not runs_as_bits(op):
        return [integers, *forms, *slower]
    packed = replace(integers, ns=integers.ns + work.pixels * work.out_c * costs.pack_ns)  # bits would come out as bits
    return [bits, packed, *forms, *slower]


def _fits_pairs(op: Op, x: CodeType, w: CodeType) -> bool:
    """Whether tables of two bits by two serve a product, and int32 holds its sums."""
    work, worth = work_of(op), worth_of(x.levels, w.levels)
    if worth is None:
        return False
    largest = int(np.abs(worth.offsets).max()) + worth.step * int(worth.matrix.max())
    return largest * work.taps * (work.in_c + WORD_BITS) < INT32


def work_of(op: Op) -> Work:
    """The size of a ``q.conv`` or ``q.matmul``."""
    x, w = op.operands
    shape = op.results[0].shape
    if op.name == "q.matmul":
        return Work(prod(shape[:-1]), 1, x.shape[-1], shape[-1], 1, prod(x.shape))
    taps, pixels = prod(w.shape[2:]), shape[0] * prod(shape[2:])
    return Work(pixels, taps, w.shape[1], w.shape[0], op.attrs["group"], prod(x.shape))


def _splits(op: Op) -> list[Split]:
    """The ways to take a product apart into planes, if any."""
    x, w = op.operands[0].type, op.operands[1].type
    assert isinstance(x, CodeType)
    assert isinstance(w, CodeType)
    if w.levels.bits > MOST_BITS:
        return []
    weights = weight_planes(code_constant(op.operands[1]), w.levels, 0 if op.name == "q.conv" else 1)
    work = work_of(op)
    largest = abs(x.levels.lo) + x.levels.hi - x.levels.lo
    if 2 * largest * weights.reach(work.taps * work.in_c) >= INT32 or not (weights.terms or weights.has_middle):
        return []
    found = []
    if x.levels.planes <= MAX_PLANES and not runs_as_bits(op):
        found.append(Split(weights, (), False))
    if x.levels.planes == MAX_PLANES:
        found.append(Split(weights, tuple(range(x.levels.bits)), False))
    highest = x.levels.hi - x.levels.lo
    if x.levels.planes > MAX_PLANES and highest <= 255:
        lowest_bit = (x.levels.step & -x.levels.step).bit_length() - 1
        found.append(Split(weights, tuple(range(lowest_bit, highest.bit_length())), True))
    return found


def _cost(split: Split, op: Op, work: Work, costs: Costs) -> Form:
    x = op.operands[0].type
    assert isinstance(x, CodeType)
    products, planes = max(1, len(split.bits)), len(split.bits) or x.levels.planes
    weights = len(split.weights.terms)
    ns = weights * (planes * plane_ns(work, costs) + products * sums_ns(work, costs))
    if split.weights.has_middle:
        ns += planes * plane_ns(work, costs, work.group) + products * sums_ns(work, costs, work.group)
        ns += sums_ns(work, costs)
    if split.of_bytes:
        ns += work.inputs * (costs.byte_ns + planes * costs.plane_ns)
    else:
        ns += work.inputs * x.levels.planes * costs.pack_ns
    return Form(ns, "planes", f"{planes}x{weights + split.weights.has_middle} planes", split)


@dataclass(frozen=True, slots=True)
class _Activations:
    """The planes made so far, so that products which share activations share them."""

    sets: ValueSets = field(default_factory=ValueSets)
    bytes_of: dict[Value, Value] = field(default_factory=dict)
    planes: dict[tuple[Value, int], Value] = field(default_factory=dict)

    def operands(self, op: Op, split: Split, b: Builder) -> list[tuple[Value, int]]:
        """The codes whose sum is the activation of ``op``, each with its padding level."""
        codes, pad_level = op.operands[0], op.attrs.get("pad_level", 0)
        assert isinstance(codes.type, CodeType)
        if not split.bits:
            return [(codes, pad_level)]
        source, levels = codes, codes.type.levels
        if split.of_bytes:
            source = self._bytes(codes, b)
            levels = Levels(levels.lo, 1, levels.hi - levels.lo + 1)
        padded = (pad_level - levels.lo) // levels.step if codes.type.levels.contains(pad_level) else None
        found = []
        for bit in split.bits:
            first = bit == split.bits[0]
            of_plane = Levels(levels.lo if first else 0, levels.step << bit, 2)
            pad = pad_level if first else 0  # no level of the first plane: exact-padding corrects it
            if padded is not None:
                pad = of_plane.lo + of_plane.step * (padded >> bit & 1)
            found.append((self._plane(source, bit, of_plane, b, op.loc), pad))
        return found

    def _bytes(self, codes: Value, b: Builder) -> Value:
        if codes not in self.bytes_of:
            self.bytes_of[codes] = stored_levels(codes, DType.U8, b, self.sets)
        return self.bytes_of[codes]

    def _plane(self, source: Value, bit: int, levels: Levels, b: Builder, loc: str) -> Value:
        if (source, bit) not in self.planes:
            self.planes[source, bit] = b.add("q.plane", source, bit=bit, levels=levels, loc=loc)
        return self.planes[source, bit]


def _sum_of_products(op: Op, split: Split, activations: _Activations, b: Builder) -> Value:
    operands, weights = activations.operands(op, split, b), split.weights
    products = [
        _product(op, x, pad, factor * signs, Levels(-factor, 2 * factor, 2), b)
        for factor, signs in weights.terms
        for x, pad in operands
    ]
    if weights.has_middle:
        products.append(_of_middle(op, operands, weights.middle, b))
    total = reduce(lambda a, c: b.add("nn.add", a, c, loc=op.loc), products)
    if weights.parts == 1:
        return total
    return b.add("nn.div", total, b.constant(np.asarray(weights.parts, np.int32)), loc=op.loc)


def _product(op: Op, x: Value, pad: int, codes: np.ndarray, levels: Levels, b: Builder) -> Value:
    numbers = b.constant(codes.astype(np.float32), loc=op.loc)
    attrs: dict[str, Any] = {**op.attrs, "pad_level": pad} if op.name == "q.conv" else dict(op.attrs)
    return b.add(op.name, x, b.add("q.encode", numbers, levels=levels, loc=op.loc), loc=op.loc, **attrs)


def _of_middle(op: Op, operands: list[tuple[Value, int]], middle: np.ndarray, b: Builder) -> Value:
    """``middle[m] * sum over the window of x``: one output channel a group, repeated for its channels."""
    w, group = op.operands[1], op.attrs.get("group", 1)
    ones = np.ones((group, *w.shape[1:]) if op.name == "q.conv" else (w.shape[0], 1), np.int32)
    sums = [_product(op, x, pad, ones, BIPOLAR, b) for x, pad in operands]
    total = reduce(lambda a, c: b.add("nn.add", a, c, loc=op.loc), sums)
    if 1 < group < middle.size:
        channels = np.repeat(np.arange(group), middle.size // group)
        total = b.add("nn.gather", total, axis=1, indices=channels, loc=op.loc)
    shape = (1, -1) + (1,) * (len(total.shape) - 2) if op.name == "q.conv" else (-1,)
    factors = b.constant(middle.astype(np.int32).reshape(shape), loc=op.loc)
    return b.add("nn.mul", total, factors, loc=op.loc)
