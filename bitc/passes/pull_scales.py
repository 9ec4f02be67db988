"""``pull-scales``: scales and offsets computed at run time leave the products they are summed in, which then multiply codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import prod
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.passes.base import Pass
from bitc.passes.both_computed import Dots, Gemm, both_computed
from bitc.passes.coding import Blocked, coding_of, weight_coding
from bitc.passes.facts import EXACT, bounds
from bitc.passes.gemm_costs import behind_ns, work_of_gemm
from bitc.passes.recognise import Form, recognise
from bitc.passes.scale_chains import Chain, IsCore, Step, chain_of, dtype_of, uniform
from bitc.passes.value_sets import ValueSets

_BYTE = 256
_FEW = 4
"""Levels of which none lies near 0 but by accident, where an offset moves them at run time."""


@dataclass(frozen=True)
class PullScales(Pass):
    """With s and z the same for all elements that one sum reads (a number; one an image for a convolution; one a row for a matrix)::

        conv(s·q + z, w)            -->  s·conv(q, w) + z·conv(1, w)
        matmul(s·q + z, w)          -->  s·matmul(q, w) + z·colsum(w)
        matmul(s·q + z, t·r + v)    -->  t·(s·matmul(q, r) + z·colsum(r)) + v·rowsum(s·q + z)        both computed, t and v one a column

    and likewise for ``q / s`` and ``q - z``, one after another, also where reshapes, transposes or slices stand between. ``conv(1, w)``
    is a constant, an image where the convolution pads: padding reads 0 on both sides, so it needs no more care. The sum over a row of
    ``s·q + z`` is ``s·rowsum(q) + K·z`` for K terms. Side conditions: q and r are proved to take few values, one of the numbers made of
    them is not, and ``recognise-codes`` takes the product that is left.

    Float weights that an offset leaves become integers times a scale behind the product, so that these cancel exactly; where q has more
    than :data:`_FEW` levels, an offset that may nearly cancel ``s·q`` stays. Of two computed tensors, q and r that an offset leaves are
    integers times a power of two, so their sums are exact, and the offset is proved to be of the sign of what it is added to, as the
    least of probabilities is.
    In int32 this is an identity (modulo 2^32), applied where it leaves q in one byte. In float32 it holds for real numbers: the file
    rounds ``s·q`` before it sums, so the product's contract is "rounded"; of two computed tensors each step rounds once in the file and
    once behind the product, less than the file's own sum of at least twice as many terms may be off. Two attributes of the graph, which
    ``recognise-codes`` reads: ``rounded_products`` names the ONNX nodes this happened to; ``scales_that_stay``, (ONNX node, reason, hint),
    those where it is no gain. Products of two computed tensors are weighed by the costs of ``isa``.
    """

    name: ClassVar[str] = "pull-scales"
    isa: str = "portable"

    def run(self, graph: Graph) -> Graph:
        sets = ValueSets()
        rounded: list[str] = []
        stay: list[tuple[str, str, str]] = []

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name not in ("nn.conv", "nn.matmul"):
                return None
            if op.name == "nn.matmul" and all(operand.constant is None for operand in op.operands):
                made = _of_both(op, sets, self.isa, b)
            else:
                made = _pulled(op, sets, b)
            if isinstance(made, Blocked):
                stay.append((op.loc, made.reason, made.hint))
                return None
            if made is not None and dtype_of(made).is_float:
                rounded.append(op.loc)
            return made

        after = rewrite(graph, rule)
        if rounded:
            after.attrs["rounded_products"] = (*graph.attrs.get("rounded_products", ()), *rounded)
        if stay:
            after.attrs["scales_that_stay"] = tuple(stay)
        return after


def _pulled(op: Op, sets: ValueSets, b: Builder) -> Value | Blocked | None:
    """The product with run-time scales behind it, None where there is nothing to gain, why not where the file's sums would be lost."""
    chains = [_chain_of_operand(op, index, sets, b) for index in (0, 1)]
    x, w = chains
    if x is None or w is None or not (x.steps or w.steps):
        return None
    weights = _integer_weights(op, b) if x.shifts and dtype_of(w.core).is_float else (w.core, None)
    if weights is None:
        return None
    core, scale = weights
    y = b.add(op.name, x.core, core, loc=op.loc, **op.attrs)
    assert y.producer is not None
    form = recognise(y.producer, sets)
    if not isinstance(form, Form) or form.coding is None:
        return None
    if dtype_of(w.core).is_float and _loses(x, sets):
        return Blocked("an offset found at run time may nearly cancel what it is added to")
    for chain in (x, w):
        ones: Value | None = None
        for step in chain.steps:
            other = step.other
            if step.shifts:
                ones = _sum_of_weights(op, core, b) if ones is None else ones
                other = b.add("nn.mul", other, ones, loc=step.loc)
            y = b.add(step.name, y, other, loc=step.loc)
    return y if scale is None else b.add("nn.mul", y, scale, loc=op.loc)


def _of_both(op: Op, sets: ValueSets, isa: str, b: Builder) -> Value | Blocked | None:
    """The product of two computed tensors with run-time scales behind it, None where there is nothing to gain or no codes are found, why
    not where their product is no gain."""
    if isinstance(both_computed(op, sets, isa), Dots | Gemm):
        return None
    chains = _chains_of_both(op, sets, b)
    if chains is None or not any(chain.steps for chain in chains):
        return None
    if any(_may_cancel(step, sets) for chain in chains for step in chain.steps if step.shifts):
        return Blocked(
            "both operands are computed, and an offset found at run time may nearly cancel what it is added to"
        )
    x, y = chains
    product = b.add("nn.matmul", x.core, y.core, loc=op.loc)
    assert product.producer is not None
    summed = prod(x.core.shape) * y.shifts + prod(y.core.shape) * x.shifts
    besides_ns = behind_ns(work_of_gemm(product.producer), isa, summed, len(x.steps) + len(y.steps))
    found = both_computed(product.producer, sets, isa, besides_ns)
    return found if isinstance(found, Blocked) else _with_steps(op, product, x, y, b)


def _chains_of_both(op: Op, sets: ValueSets, b: Builder) -> tuple[Chain, Chain] | None:
    """What both operands are made of: where an offset leaves, of codes whose sums are exact, else of any."""
    depth = op.operands[0].shape[-1]
    for terms in (depth, 0):
        x, y = (_uniform_chain(op, index, partial(_is_code, sets=sets, terms=terms), b) for index in (0, 1))
        if x is None or y is None or 2 * (len(x.steps) + len(y.steps)) > depth:
            continue
        if terms or not (x.shifts or y.shifts):
            return x, y
    return None


def _may_cancel(step: Step, sets: ValueSets) -> bool:
    """Whether what an offset is added to may be of the other sign: their products may then be far larger than their sum."""
    (low, high), (least, most) = (bounds(sets.of(value)) for value in (step.before, step.other))
    return step.name != "nn.add" or not (min(low, least) >= 0 or max(high, most) <= 0)


def _loses(x: Chain, sets: ValueSets) -> bool:
    """Whether products of an offset and of what it is added to may be far larger than their sum, and rounded: of many levels one lies near
    0 wherever the offset moves them, of few by accident only."""
    coding = coding_of(sets.of(x.core))
    if isinstance(coding, Blocked) or coding.levels.count <= _FEW:
        return False
    return any(step.shifts and _may_cancel(step, sets) for step in x.steps)


def _is_code(value: Value, sets: ValueSets, terms: int) -> bool:
    """Whether ``value`` is multiples of one number; if sums of so many ``terms`` are to be exact, of a power of two."""
    coding = coding_of(sets.of(value))
    if isinstance(coding, Blocked) or coding.offset:
        return False
    largest = max(abs(coding.levels.lo), abs(coding.levels.hi))
    return not terms or (coding.same and np.frexp(coding.scale)[0] == 0.5 and terms * largest < EXACT)


def _with_steps(op: Op, product: Value, x: Chain, y: Chain, b: Builder) -> Value:
    """``product`` of both cores, and behind it what was done to them: first to those of ``x``, then to those of ``y``."""
    depth = op.operands[0].shape[-1]
    columns = _summed(y.core, -2, op, b) if x.shifts else None
    rows = _summed(x.core, -1, op, b) if y.shifts else None
    made = product
    for step in x.steps:
        if step.shifts:
            assert columns is not None
            made = b.add(step.name, made, b.add("nn.mul", columns, step.other, loc=step.loc), loc=step.loc)
        else:
            made = b.add(step.name, made, step.other, loc=step.loc)
        if rows is not None:
            terms = b.constant(np.asarray(depth, np.float32), loc=step.loc)
            other = b.add("nn.mul", step.other, terms, loc=step.loc) if step.shifts else step.other
            rows = b.add(step.name, rows, other, loc=step.loc)
    for step in y.steps:
        other = step.other
        if step.shifts:
            assert rows is not None
            other = b.add("nn.mul", rows, other, loc=step.loc)
        made = b.add(step.name, made, other, loc=step.loc)
    return made


def _summed(core: Value, axis: int, op: Op, b: Builder) -> Value:
    """Sums along an axis, which stays."""
    return b.add("nn.reduce_sum", core, axes=(len(core.shape) + axis,), keepdims=True, loc=op.loc)


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


def _chain_of_operand(op: Op, index: int, sets: ValueSets, b: Builder) -> Chain | None:
    """The codes an operand is made of, with no steps if it is codes already; None if it is not made of codes like that."""
    value = op.operands[index]
    if value.constant is not None:
        return Chain(value) if index == 1 else None
    chain = _uniform_chain(op, index, lambda inner: _is_core(inner, sets), b)
    if chain is None or (chain.shifts and (index == 1 or op.operands[1].constant is None)):
        return None
    return chain


def _uniform_chain(op: Op, index: int, is_core: IsCore, b: Builder) -> Chain | None:
    """The chain of an operand whose steps are the same for all elements that one sum reads."""
    chain = chain_of(op.operands[index], is_core, b)
    return chain if chain is not None and all(uniform(op, index, step.other.shape) for step in chain.steps) else None


def _is_core(value: Value, sets: ValueSets) -> bool:
    coding = coding_of(sets.of(value))
    if isinstance(coding, Blocked):
        return False
    return dtype_of(value).is_float or coding.levels.count <= _BYTE


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
