"""Handlers of QONNX's quantizers, as exact chains of plain ops in the float32 order of qonnx's own executor.

Steps that change nothing are left out: a zero point of 0 and a scale of 1. Semantics: docs/qonnx-custom-ops of fastmachinelearning/qonnx;
where its code differs (1-bit signed Quant is bipolar), the code counts, because that is what people run.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from bitc.frontend.node import QONNX, STANDARD, Node, dtype_of, handles
from bitc.ir import DType, Value

MAX_PLAIN_THRESHOLDS = 3
MAX_BITS = 32


@handles("Quant", "IntQuant", domains=(QONNX, STANDARD))
def quant(n: Node) -> Value:
    """y = (round(clamp(x / scale + zeropt)) - zeropt) * scale; with 1 bit, signed: x / scale + zeropt >= 0 gives 1, else -1"""
    x, scale, zero_point = n.x(0), n.x(1), n.x(2)
    bits, signed = _bits(n, 3, "bitwidth"), bool(n.integer("signed", 1))
    y = _add_unless_zero(n, divided(n, x, scale), zero_point)
    if bits == 1 and signed:
        positive = n.emit("nn.greater_equal", y, n.scalar(0, y))
        y = n.emit("nn.where", positive, n.scalar(1, y), n.scalar(-1, y))
    else:
        y = rounded(n, _clamp(n, y, bits, signed, bool(n.integer("narrow", 1))))
    return multiplied(n, _subtract_unless_zero(n, y, zero_point), scale)


@handles("BipolarQuant", domains=(QONNX, STANDARD))
def bipolar_quant(n: Node) -> Value:
    """y = scale where x >= 0, else -scale (also for NaN)"""
    x, scale = n.x(0), n.x(1)
    return n.emit("nn.where", n.emit("nn.greater_equal", x, n.scalar(0, x)), scale, n.emit("nn.neg", scale))


@handles("Trunc", domains=(QONNX,))
def trunc(n: Node) -> Value:
    """Drops low bits. The two versions are told apart by their inputs (5 or 6), because the opset import is often missing.

    v1: y = (mode(rint(x / scale + zeropt) / 2^(in - out)) - zeropt) * scale, really the input's scale;
    v2: t = 2^rint(log2(out_scale / scale)), y = (mode(clamp(rint(x / scale + zeropt) / t)) - zeropt / t) * out_scale
    """
    x, scale, zero_point = n.x(0), n.x(1), n.x(2)
    y = n.emit("nn.round", _add_unless_zero(n, divided(n, x, scale), zero_point))
    if len(n.inputs) < 6:
        step = np.asarray(2.0 ** (_bits(n, 3, "in_bitwidth") - _bits(n, 4, "out_bitwidth")), np.float32)
        y = rounded(n, divided(n, y, n.constant(step)), default="FLOOR")
        return multiplied(n, _subtract_unless_zero(n, y, zero_point), scale)
    ratio = n.array(4, "out_scale") / n.array(1, "scale")
    step = np.asarray(2 ** np.round(np.log2(ratio)), np.float32)
    y = _clamp(
        n,
        divided(n, y, n.constant(step)),
        _bits(n, 5, "out_bitwidth"),
        bool(n.integer("signed", 1)),
        bool(n.integer("narrow", 0)),
    )
    y = rounded(n, y, default="FLOOR")
    return multiplied(n, _subtract_unless_zero(n, y, divided(n, zero_point, n.constant(step))), n.x(4))


@handles("MultiThreshold", domains=(QONNX,))
def multi_threshold(n: Node) -> Value:
    """y = out_scale * (number of i with x >= T[c, i]) + out_bias, T [C or 1, N]; rows need not be sorted"""
    x, table = n.x(0), n.array(1, "the threshold table")
    if table.ndim != 2 or not table.shape[1]:
        raise n.broken("thresholds are a table [channels or 1, thresholds]", f"shape {list(table.shape)}")
    axis = _channel_axis(n, len(x.shape))
    if table.shape[0] not in (1, x.shape[axis]):
        raise n.broken(
            "thresholds have one row, or one for each channel", f"{list(table.shape)} for axis {axis} of {x.type}"
        )
    column_shape = [table.shape[0] if i == axis else 1 for i in range(len(x.shape))]
    columns = [n.constant(column.reshape(column_shape).astype(dtype_of(x).numpy)) for column in table.T]
    if len(columns) > MAX_PLAIN_THRESHOLDS:
        count = n.emit("nn.multi_threshold", x, *columns)
    else:
        steps = [n.emit("nn.cast", n.emit("nn.greater_equal", x, column), to=dtype_of(x)) for column in columns]
        count = reduce(lambda a, b: n.emit("nn.add", a, b), steps)
    scaled = multiplied(n, count, n.scalar(n.number("out_scale", 1.0), count))
    return _add_unless_zero(n, scaled, n.scalar(n.number("out_bias", 0.0), count))


def _channel_axis(n: Node, rank: int) -> int:
    """From ``data_layout``; without one by rank, where rank 3 means channels last (qonnx's rule)."""
    if rank < 2:
        raise n.broken("MultiThreshold takes at least [N, C]", f"rank {rank}")
    layout = n.text("data_layout", "") or {2: "NC", 3: "NWC", 4: "NCHW"}.get(rank, "")
    axis = layout.index("C") if "C" in layout else 1
    return n.axis(axis, rank)


# ------------------------------------------------------------------------------------------------------------- steps


def _bits(n: Node, index: int, what: str) -> int:
    array = n.array(index, what)
    if array.size != 1 or not 1 <= array.item() <= MAX_BITS or array.item() != int(array.item()):
        raise n.unsupported("a bit width is one whole number from 1 to 32", f"{what} {array.tolist()}")
    return int(array.item())


def _is(value: Value, number: float) -> bool:
    return value.constant is not None and bool(np.all(value.constant == number))


def _adds_nothing(x: Value, other: Value) -> bool:
    """Whether broadcasting against ``other`` keeps the shape of ``x``, so that a neutral ``other`` may be left out."""
    return np.broadcast_shapes(x.shape, other.shape) == x.shape


def divided(n: Node, x: Value, scale: Value) -> Value:
    """x / scale, where that is not x."""
    return x if _is(scale, 1) and _adds_nothing(x, scale) else n.emit("nn.div", x, _like(n, scale, x))


def multiplied(n: Node, x: Value, scale: Value) -> Value:
    """x * scale, where that is not x."""
    return x if _is(scale, 1) and _adds_nothing(x, scale) else n.emit("nn.mul", x, _like(n, scale, x))


def _add_unless_zero(n: Node, x: Value, zero_point: Value) -> Value:
    return x if _is(zero_point, 0) and _adds_nothing(x, zero_point) else n.emit("nn.add", x, _like(n, zero_point, x))


def _subtract_unless_zero(n: Node, x: Value, zero_point: Value) -> Value:
    return x if _is(zero_point, 0) and _adds_nothing(x, zero_point) else n.emit("nn.sub", x, _like(n, zero_point, x))


def _like(n: Node, value: Value, x: Value) -> Value:
    """Scales and zero points are float32 in the equations, also where a file stores them as integers."""
    return value if dtype_of(value) is dtype_of(x) else n.emit("nn.cast", value, to=DType.F32)


def _clamp(n: Node, y: Value, bits: int, signed: bool, narrow: bool) -> Value:
    """Clamp to the integers of the width; NaN passes."""
    lowest = -(2 ** (bits - 1)) + narrow if signed else 0
    highest = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
    return n.emit("nn.max", n.emit("nn.min", y, n.scalar(highest, y)), n.scalar(lowest, y))


def rounded(n: Node, y: Value, default: str = "ROUND") -> Value:
    """Rounding by the attribute ``rounding_mode``."""
    match n.text("rounding_mode", default).upper():
        case "ROUND" | "HALF_EVEN":
            return n.emit("nn.round", y)
        case "CEIL":
            return n.emit("nn.ceil", y)
        case "FLOOR":
            return n.emit("nn.floor", y)
        case "UP":
            size = n.emit("nn.ceil", n.emit("nn.abs", y))
        case "DOWN":
            size = n.emit("nn.floor", n.emit("nn.abs", y))
        case "HALF_UP":
            size = n.emit("nn.floor", n.emit("nn.add", n.emit("nn.abs", y), n.scalar(0.5, y)))
        case "HALF_DOWN":
            size = n.emit("nn.ceil", n.emit("nn.sub", n.emit("nn.abs", y), n.scalar(0.5, y)))
        case other:
            raise n.unsupported("rounding_mode is ROUND, HALF_EVEN, CEIL, FLOOR, UP, DOWN, HALF_UP or HALF_DOWN", other)
    return n.emit("nn.mul", n.emit("nn.sign", y), size)
