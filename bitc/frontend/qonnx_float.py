"""QONNX's FloatQuant: numbers on the grid of a small float format; one op rounds to the nearest, plain ops in other directions.

Source: docs/qonnx-custom-ops/floatquant_op.md of fastmachinelearning/qonnx and its executor, version 1.0.
"""

from __future__ import annotations

from math import floor, log2

import numpy as np

from bitc.frontend.node import QONNX, Node, dtype_of, handles
from bitc.frontend.qonnx import divided, multiplied, rounded
from bitc.ir import DType, Value

MAX_EXPONENT_BITS = 6
MAX_MANTISSA_BITS = 20
_ULPS_BELOW = 64


@handles("FloatQuant", domains=(QONNX,))
def float_quant(n: Node) -> Value:
    """y = scale * bounded(s * round(v / s)), v = x / scale, s = 2^(max(floor(log2 |v|), 1 - bias) - mantissa bits)

    What exceeds the largest number becomes that number; without ``saturation`` it becomes infinite (``has_inf``) or NaN (``has_nan``).
    Infinite numbers exceed it too (the executor makes NaN of them). ``has_subnormal`` changes nothing: small numbers keep the smallest
    step.
    """
    x, scale = n.x(0), n.x(1)
    if dtype_of(x) is not DType.F32:
        raise n.unsupported("FloatQuant takes float32 numbers", str(x.type))
    exponent_bits, mantissa_bits = _number(n, 2, "exponent_bitwidth"), _number(n, 3, "mantissa_bitwidth")
    bias, largest = _number(n, 4, "exponent_bias"), _largest(n, exponent_bits, mantissa_bits)
    if not (1 <= exponent_bits <= MAX_EXPONENT_BITS and 0 <= mantissa_bits <= MAX_MANTISSA_BITS):
        here = f"{exponent_bits:g} and {mantissa_bits:g}"
        raise n.unsupported("FloatQuant has 1 to 6 exponent bits and at most 20 mantissa bits", here)
    if any(number != int(number) for number in (exponent_bits, mantissa_bits, bias)):
        raise n.unsupported("widths and bias of FloatQuant are whole numbers", f"bias {bias:g}")
    if not (1 - bias - mantissa_bits >= -126 and 2 ** (1 - bias) <= largest < 2.0**100):
        raise n.unsupported("the numbers of FloatQuant lie well inside float32", f"bias {bias:g}, largest {largest:g}")
    v, overflow = divided(n, x, scale), _overflow(n, largest)
    if n.text("rounding_mode", "ROUND").upper() in ("ROUND", "HALF_EVEN"):
        y = n.emit("nn.minifloat", v, mantissa_bits=int(mantissa_bits), bias=int(bias), max=largest, overflow=overflow)
    else:
        step = _step(n, v, int(1 - bias), floor(log2(largest)), int(mantissa_bits))
        y = _bounded(n, n.emit("nn.mul", step, rounded(n, n.emit("nn.div", v, step))), largest, overflow)
    return multiplied(n, y, scale)


def _number(n: Node, index: int, what: str) -> float:
    array = n.array(index, what)
    if array.size != 1:
        raise n.unsupported(
            "widths, bias and largest number of FloatQuant are single numbers", f"{what} {list(array.shape)}"
        )
    return float(array.item())


def _largest(n: Node, exponent_bits: float, mantissa_bits: float) -> float:
    """The largest number: of the format with all exponents for numbers, or the given one if that is smaller."""
    exponent = 2.0**exponent_bits - 1 - _number(n, 4, "exponent_bias")
    return float(min((2 - 2.0**-mantissa_bits) * 2.0**exponent, _number(n, 5, "max_val")))


def _step(n: Node, v: Value, lowest: int, highest: int, mantissa_bits: int) -> Value:
    """The distance of neighbours on the grid at ``v``: one comparison for each power of two, one beyond ``highest``."""
    size = n.emit("nn.abs", v)
    step = n.scalar(2.0 ** (lowest - mantissa_bits), v)
    for exponent in range(lowest + 1, highest + 2):
        reached = n.emit("nn.greater_equal", size, n.scalar(_binade_start(exponent), v))
        step = n.emit("nn.where", reached, n.scalar(2.0 ** (exponent - mantissa_bits), v), step)
    return step


def _binade_start(exponent: int) -> np.float32:
    """The least float32 whose float32 log2 is not below ``exponent``: up to 12 neighbours below 2^exponent, where log2 rounds up.

    Rounding to nearest does not show the difference, rounding down does: 7.9999995 with three mantissa bits becomes 7, not 7.5. Not
    followed: without mantissa bits, rounding down, the executor gives 0 for such neighbours of powers beyond the largest number.

    >>> _binade_start(0), 8 - _binade_start(3) < 1e-5
    (np.float32(1.0), np.True_)
    """
    power = np.float32(2.0**exponent)
    below = (power.view(np.uint32) - np.arange(_ULPS_BELOW, dtype=np.uint32)).view(np.float32)
    return np.float32(below[np.floor(np.log2(below + np.finfo(np.float32).tiny)) >= exponent].min())


def _overflow(n: Node, largest: float) -> float:
    """What a number that is too large becomes, for positive ones."""
    if n.integer("saturation", 1):
        return largest
    if not n.integer("has_inf", 0) and not n.integer("has_nan", 0):
        raise n.broken("FloatQuant without saturation has infinities or NaN to give for numbers that are too large")
    return float(np.inf if n.integer("has_inf", 0) else np.nan)


def _bounded(n: Node, y: Value, largest: float, overflow: float) -> Value:
    high, low = n.scalar(largest, y), n.scalar(-largest, y)
    if overflow == largest:
        return n.emit("nn.max", n.emit("nn.min", y, high), low)
    y = n.emit("nn.where", n.emit("nn.greater", y, high), n.scalar(overflow, y), y)
    return n.emit("nn.where", n.emit("nn.less", y, low), n.scalar(-overflow, y), y)
