"""Products of two tensors that are both computed, as attention has them: of codes where both take evenly spaced values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from bitc.ir import Builder, DType, Op, TensorType, Value
from bitc.ir.integer_packing import INTEGER_FORMS
from bitc.passes.coding import Blocked, Coding, coding_of, sums_exactly
from bitc.passes.facts import INT32
from bitc.passes.gemm_costs import bits_gemm_ns, float_gemm_ns, integer_gemm_ns, work_of_gemm
from bitc.passes.gemm_storages import gemm_reach, gemm_storages
from bitc.passes.value_sets import ValueSets

MAX_LEVELS = 4

CLEARLY = 2.0
"""How many times as long as integers bits must take, by the table, to give way. Judged: of BERT's size (12 x [128, 64] x [64, 128] signs on
avx2, from floats) scores take 230 us on bits and 144 as integers, which the table has level, and 4 x [64, 16] x [16, 64] twice as
long; yet whole attentions of BERT's size are faster on bits, as these come out of the products in front."""

Encode = Callable[[Value, Coding, Builder, str], Value]


@dataclass(frozen=True, slots=True)
class Dots:
    """How ``x @ y`` runs as rows of bits: the coding of both, and how many matrices there are."""

    x: Coding
    y: Coding
    stack: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Gemm:
    """How ``x @ y`` runs as matrices of integers: the coding of both."""

    x: Coding
    y: Coding
    exact: bool


def both_computed(op: Op, sets: ValueSets, isa: str, besides_ns: float | None = None) -> Dots | Gemm | Blocked:
    """With x = s·X and y = t·Y, x @ y = s·t·(X @ Y); X @ Y is exact in int32. ``op`` is an ``nn.matmul`` of computed operands.

    Few levels run as bits, but as integers where the kernels of ``isa`` are known to be faster so; more as integers or as floats, whichever
    is faster. ``besides_ns``: the product would be of floats otherwise, and codes cost so much besides; then bits too must be faster.
    """
    x, y = op.operands
    if not (isinstance(x.type, TensorType) and x.type.dtype is DType.F32):
        return Blocked("both operands are computed integers")
    codings = []
    for side, name in ((x, "left"), (y, "right")):
        coding = coding_of(sets.of(side))
        if isinstance(coding, Blocked):
            said = coding.reason.replace("the activation", f"its {name} one")
            return Blocked(f"both operands are computed, and {said}", coding.hint)
        if coding.offset:
            return Blocked(f"both operands are computed, and the {name} one's values are not multiples of one number")
        codings.append(coding)
    left, right = codings
    largest = x.shape[-1] * prod(max(abs(c.levels.lo), abs(c.levels.hi)) for c in codings)
    exact = left.same and right.same and sums_exactly(np.asarray([right.scale]), left.scale, largest)
    stack = _stack(x.shape, y.shape)
    integers = _as_integers(op, left, right, exact, isa, besides_ns or 0.0)
    # the kernel of bits adds terms of twice the levels on both sides, and there are four
    if stack is None or max(c.levels.count for c in codings) > MAX_LEVELS or 16 * largest >= INT32:
        return integers
    bits_ns = bits_gemm_ns(work_of_gemm(op), isa, (left.levels.planes, right.levels.planes), _moved(op))
    if besides_ns is not None and not 0 < bits_ns < float_gemm_ns(work_of_gemm(op), isa) - besides_ns:
        return integers
    if isinstance(integers, Blocked) or bits_ns <= CLEARLY * _integers_ns(op, left, right, isa):
        return Dots(left, right, stack, exact)
    return integers


def _moved(op: Op) -> int:
    """How many numbers of both sides lie otherwise than as rows of the product."""
    found = 0
    for side, rows in zip(op.operands, (True, False), strict=True):
        turned, source = not rows, side
        while source.producer is not None and source.producer.name in ("nn.reshape", "nn.transpose"):
            if source.producer.name == "nn.transpose":
                perm = source.producer.attrs["perm"]
                exchanged = (*range(len(perm) - 2), len(perm) - 1, len(perm) - 2)
                if tuple(perm) != exchanged:
                    turned = True
                    break
                turned = not turned
            source = source.producer.operands[0]
        found += prod(side.shape) * turned
    return found


def _as_integers(op: Op, x: Coding, y: Coding, exact: bool, isa: str, besides_ns: float) -> Gemm | Blocked:
    largest = gemm_reach(x.levels, y.levels, op.operands[0].shape[-1])
    if largest >= INT32:
        return Blocked(f"both operands are computed, and sums of products of levels reach {largest}")
    integers_ns, floats_ns = _integers_ns(op, x, y, isa) + besides_ns, float_gemm_ns(work_of_gemm(op), isa)
    if integers_ns >= floats_ns:
        return Blocked(
            f"both operands are computed, of {x.levels.count} and {y.levels.count} values: as integers the product would take "
            f"{integers_ns / 1000:.3g} us, as floats {floats_ns / 1000:.3g} us"
        )
    return Gemm(x, y, exact)


def _integers_ns(op: Op, x: Coding, y: Coding, isa: str) -> float:
    storage, _ = gemm_storages(x.levels, y.levels, INTEGER_FORMS[isa])
    return integer_gemm_ns(work_of_gemm(op), isa, storage, (x.levels.count, y.levels.count))


def _stack(x: tuple[int, ...], y: tuple[int, ...]) -> int | None:
    """How many matrices there are; one where all rows of x meet the same matrix, None where they are repeated otherwise."""
    if prod(y[:-2]) == 1:
        return 1
    longest = max(len(x), len(y)) - 2
    lead = [(1,) * (longest - len(shape) + 2) + shape[:-2] for shape in (x, y)]
    return prod(lead[0]) if lead[0] == lead[1] else None


def product_of_both(op: Op, found: Dots | Gemm, encode: Encode, b: Builder) -> Value:
    """``op`` by what was found of it."""
    return _of_rows(op, found, encode, b) if isinstance(found, Dots) else _of_matrices(op, found, encode, b)


def _of_rows(op: Op, found: Dots, encode: Encode, b: Builder) -> Value:
    """``op`` by ``q.dots``, its right side turned so that rows meet rows."""
    x, y = op.operands
    depth = x.shape[-1]
    rows = _reshaped(x, (prod(x.shape[:-1]), depth), op, b)
    columns = _reshaped(_turned(y, op, b), (prod(y.shape) // depth, depth), op, b)
    codes = encode(rows, found.x, b, op.loc), encode(columns, found.y, b, op.loc)
    acc = b.add("q.dots", *codes, loc=op.loc, stack=found.stack, exact=found.exact)
    return _scaled(_reshaped(acc, op.results[0].shape, op, b), found.x.scale * found.y.scale, op, b)


def _of_matrices(op: Op, found: Gemm, encode: Encode, b: Builder) -> Value:
    """``op`` by ``q.gemm``."""
    codes = (encode(side, coding, b, op.loc) for side, coding in zip(op.operands, (found.x, found.y), strict=True))
    acc = b.add("q.gemm", *codes, loc=op.loc, exact=found.exact)
    return _scaled(acc, found.x.scale * found.y.scale, op, b)


def _scaled(acc: Value, scale: float, op: Op, b: Builder) -> Value:
    numbers = b.add("nn.cast", acc, to=DType.F32, loc=op.loc)
    return numbers if scale == 1 else b.add("nn.mul", numbers, b.constant(np.asarray(scale, np.float32)), loc=op.loc)


def _turned(y: Value, op: Op, b: Builder) -> Value:
    """``y`` with its last two axes exchanged; a transpose that did so before is undone."""
    perm = [*range(len(y.shape) - 2), len(y.shape) - 1, len(y.shape) - 2]
    maker = y.producer
    if maker is not None and maker.name == "nn.transpose":
        y, perm = maker.operands[0], [maker.attrs["perm"][axis] for axis in perm]
    return y if perm == sorted(perm) else b.add("nn.transpose", y, perm=tuple(perm), loc=op.loc)


def _reshaped(x: Value, shape: tuple[int, ...], op: Op, b: Builder) -> Value:
    return x if x.shape == shape else b.add("nn.reshape", x, shape=shape, loc=op.loc)
