"""``recognise-minifloats``: rounding to a small float format, spelled with logarithms and powers, becomes one op."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import ClassVar

from bitc.ir import Builder, DType, Graph, InferenceError, Op, TensorType, Value, rewrite
from bitc.passes.base import Pass

MOST_MANTISSA = 8
LOWEST_EXPONENT = -80
_TINY = 2.0**-100
_NEAR = 1e-6


@dataclass(frozen=True)
class RecogniseMinifloats(Pass):
    """With e = max(floor(log2 |v|) - m, least), m at most 8, as Brevitas writes its FloatQuant (arXiv:2311.12359)::

        clamp(2^e · round(v / 2^e), -most, most)   -->   minifloat(v)   of m mantissa bits, steps of 2^least and more, at most ``most``

    log2 is off by some 2^-16 of |v| at most, so floor(log2 |v|) is another than the exponent of v only for v as near to a power of two;
    round gives that power for either step, as 2^(m + 1) steps of it are far less than 2^16. A tiny number that is added to |v|, or log2
    of 0, concern numbers below the smallest step alone. An infinite v, which the file makes NaN, is beyond ``most`` too.
    """

    name: ClassVar[str] = "recognise-minifloats"

    def run(self, graph: Graph) -> Graph:
        def rule(op: Op, b: Builder) -> Value | None:
            found = _bounded(op)
            if found is None:
                return None
            rounded, most = found
            parts = _rounded(rounded)
            if parts is None:
                return None
            v, mantissa_bits, lowest = parts
            bias = 1 - mantissa_bits - lowest
            try:
                return b.add(
                    "nn.minifloat", v, mantissa_bits=mantissa_bits, bias=bias, max=most, overflow=most, loc=op.loc
                )
            except InferenceError:
                return None  # no format within float32

        return rewrite(graph, rule)


def _bounded(op: Op) -> tuple[Value, float] | None:
    """(y, most) where ``op`` is y clamped to ±most, by comparisons or by minimum and maximum, in either order."""
    for sign in (-1, 1):
        outer = _clamped(op, sign)
        if outer is None or outer[0].producer is None:
            continue
        inner = _clamped(outer[0].producer, -sign)
        if inner is not None and inner[1] == -outer[1]:
            return inner[0], abs(outer[1])
    return None


def _clamped(op: Op, sign: int) -> tuple[Value, float] | None:
    """(y, c) where ``op`` is min(y, c), sign 1, or max(y, c), sign -1, and c has that sign."""
    if op.name == "nn.where":
        compared, bound, y = op.operands
        test = compared.producer
        names = ("nn.greater", "nn.greater_equal") if sign > 0 else ("nn.less", "nn.less_equal")
        if test is None or test.name not in names or test.operands[0] is not y:
            return None
        limits = _number(bound), _number(test.operands[1])
        c = limits[0] if limits[0] == limits[1] else None
    elif op.name == ("nn.min" if sign > 0 else "nn.max"):
        y, bound = op.operands if op.operands[1].constant is not None else op.operands[::-1]
        c = _number(bound)
    else:
        return None
    return (y, c) if c is not None and c * sign > 0 else None


def _rounded(y: Value) -> tuple[Value, int, int] | None:
    """(v, mantissa bits, lowest exponent of a step) where ``y`` is step · round(v / step)."""
    op = y.producer
    if op is None or op.name != "nn.mul" or not isinstance(y.type, TensorType) or y.type.dtype is not DType.F32:
        return None
    for step, whole in (op.operands, op.operands[::-1]):
        quotient = _only(whole, "nn.round")
        division = quotient.producer if quotient is not None else None
        if division is None or division.name != "nn.div" or division.operands[1] is not step:
            continue
        v = division.operands[0]
        found = _exponent(step, v)
        if found is not None:
            return v, *found
    return None


def _exponent(step: Value, v: Value) -> tuple[int, int] | None:
    """(m, least) where ``step`` is 2^max(floor(log2 |v|) - m, least)."""
    power = step.producer
    if power is None or power.name != "nn.pow" or _number(power.operands[0]) != 2:
        return None
    limited = _clamped_below(power.operands[1])
    if limited is None:
        return None
    exponent, lowest = limited
    bits = 0.0
    if exponent.producer is not None and exponent.producer.name == "nn.sub":
        exponent, taken = exponent.producer.operands
        found = _number(taken)
        if found is None:
            return None
        bits = found
    logarithm = _only(exponent, "nn.floor")
    known = bits == int(bits) and lowest == int(lowest)
    if logarithm is None or not known or not 0 <= bits <= MOST_MANTISSA or lowest < LOWEST_EXPONENT:
        return None
    return (int(bits), int(lowest)) if _is_log2_of(logarithm, v) else None


def _clamped_below(value: Value) -> tuple[Value, float] | None:
    op = value.producer
    if op is None or op.name != "nn.max":
        return None
    for inner, bound in (op.operands, op.operands[::-1]):
        number = _number(bound)
        if number is not None:
            return inner, number
    return None


def _is_log2_of(value: Value, v: Value) -> bool:
    """Whether ``value`` is ln|v| / ln 2, perhaps of |v| plus a tiny number."""
    op = value.producer
    if op is None or op.name not in ("nn.div", "nn.mul"):
        return False
    natural, factor = op.operands
    number = _number(factor)
    wanted = log(2) if op.name == "nn.div" else 1 / log(2)
    size = _only(natural, "nn.log")
    if number is None or abs(number / wanted - 1) > _NEAR / 4 or size is None:
        return False
    added = size.producer
    if added is not None and added.name == "nn.add":
        constant = _number(added.operands[1])
        if constant is None or not 0 <= constant <= _TINY:
            return False
        size = added.operands[0]
    return _only(size, "nn.abs") is v


def _only(value: Value, name: str) -> Value | None:
    """The first operand of the op called ``name`` that makes ``value``."""
    op = value.producer
    return op.operands[0] if op is not None and op.name == name else None


def _number(value: Value) -> float | None:
    """A scalar constant."""
    constant = value.constant
    return float(constant.reshape(())) if constant is not None and constant.size == 1 else None
