"""Handlers of ONNX's quantizers: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, as plain arithmetic on numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitc.frontend.node import Node, dtype_of, handles
from bitc.frontend.quantized_values import RANGES, as_float, centred, quantized
from bitc.ir import DType, Value


@handles("QuantizeLinear", since=10)
def quantize_linear(n: Node) -> Value:
    """y = saturate(round(x / scale) + zero point): ties to even, the zero point after rounding; per tensor, axis or block"""
    x, zero = n.x(0), n.maybe(2)
    to = dtype_of(zero) if zero is not None else _output_dtype(n)
    if to not in RANGES:
        raise n.unsupported("quantized tensors are int8, uint8, int16 or uint16", str(to))
    scale = _spread(n, n.x(1), x)
    return quantized(n, as_float(n, x), as_float(n, scale), None if zero is None else _spread(n, zero, x), to)


@handles("DequantizeLinear", since=10)
def dequantize_linear(n: Node) -> Value:
    """y = (x - zero point) * scale; per tensor, axis or block"""
    x, zero = n.x(0), n.maybe(2)
    if dtype_of(n.x(1)) is not DType.F32:
        raise n.unsupported("scales are float32", str(n.x(1).type))
    number = centred(n, x, None if zero is None else _spread(n, zero, x))
    return n.emit("nn.mul", number, _spread(n, n.x(1), x))


@handles("DynamicQuantizeLinear", since=11)
def dynamic_quantize_linear(n: Node) -> tuple[Value, Value, Value]:
    """scale = (max(0, max x) - min(0, min x)) / 255, zero point = saturate(round(-min(0, min x) / scale)), y as QuantizeLinear"""
    x = n.x(0)
    zero = n.scalar(0, x)
    axes = tuple(range(len(x.shape)))
    low = n.emit("nn.min", n.emit("nn.reduce_min", x, axes=axes, keepdims=False), zero)
    high = n.emit("nn.max", n.emit("nn.reduce_max", x, axes=axes, keepdims=False), zero)
    scale = n.emit("nn.div", n.emit("nn.sub", high, low), n.scalar(255, x))
    shift = n.emit("nn.div", n.emit("nn.sub", zero, low), scale)
    zero_point = n.emit("nn.saturate", n.emit("nn.round", shift), to=DType.U8, lo=0, hi=255)
    return quantized(n, x, scale, zero_point, DType.U8), scale, zero_point


def _output_dtype(n: Node) -> DType:
    """Without a zero point the attribute ``output_dtype`` says, or it is uint8."""
    by_number = {0: DType.U8, 2: DType.U8, 3: DType.I8, 4: DType.U16, 5: DType.I16}
    number = n.integer("output_dtype", 0)
    if number not in by_number:
        raise n.unsupported("output_dtype is int8, uint8, int16 or uint16", f"data type {number}")
    return by_number[number]


def _spread(n: Node, value: Value, x: Value) -> Value:
    """A scale or zero point shaped to broadcast against ``x``: one number, one for each index of an axis, or one for each block."""
    block = n.integer("block_size", 0)
    if value.shape in ((), (1,)) and len(x.shape) != 1:
        return value if not value.shape else n.emit("nn.reshape", value, shape=())
    if len(value.shape) == len(x.shape) and block:
        return _blocks(n, value, x, block)
    axis = n.axis(n.integer("axis", 1 if len(x.shape) > 1 else 0), len(x.shape))
    if not value.shape:
        return value
    if value.shape not in ((x.shape[axis],), (1,)):
        raise n.broken("a scale has one number, or one for each index of the axis", f"{value.type} for {x.type}")
    return n.emit("nn.reshape", value, shape=_along(axis, value.shape[0], len(x.shape)))


def _along(axis: int, size: int, rank: int) -> Sequence[int]:
    return [size if a == axis else 1 for a in range(rank)]


def _blocks(n: Node, value: Value, x: Value, block: int) -> Value:
    """Each number repeated ``block`` times along the axis; the last block may be short."""
    axis = n.axis(n.integer("axis", 1), len(x.shape))
    rest = [(a, b) for i, (a, b) in enumerate(zip(value.shape, x.shape, strict=True)) if i != axis]
    if any(a != b for a, b in rest) or value.shape[axis] != -(-x.shape[axis] // block):
        raise n.broken("a blocked scale has one number for each block along the axis", f"{value.type} for {x.type}")
    return n.emit("nn.gather", value, indices=np.arange(x.shape[axis]) // block, axis=axis)
