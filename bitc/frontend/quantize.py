"""Handlers of ONNX's quantizers: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, as plain arithmetic on numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from bitc.frontend.elements import ELEMENTS, Element
from bitc.frontend.elementwise import cast_to, cast_to_element
from bitc.frontend.node import Node, dtype_of, handles
from bitc.frontend.quantized_values import RANGES, as_float, centred, is_zero, quantized
from bitc.frontend.tensors import dtype_name, ir_dtype
from bitc.ir import DType, Value


@handles("QuantizeLinear", since=10)
def quantize_linear(n: Node) -> Value:
    """y = saturate(round(x / scale) + zero point): ties to even, the zero point after rounding; per tensor, axis or block

    To a small float format: y = x / scale rounded to it, saturating unless ``saturate`` is 0. The division is one of float32.
    """
    x, zero = n.x(0), n.maybe(2)
    if n.integer("precision", 0) not in (0, TensorProto.FLOAT):
        raise n.unsupported("QuantizeLinear divides in float32", f"precision {dtype_name(n.integer('precision', 0))}")
    y = n.emit("nn.div", as_float(n, x), as_float(n, _spread(n, n.x(1), x)))
    target = _target(n, zero)
    if target.format is not None:
        return cast_to_element(n, y, target)
    if target.range is None:
        raise n.unsupported("QuantizeLinear gives integers of 2 to 16 bits, or floats of 4 or 8 bits", target.name)
    lo, hi = target.range
    y = n.emit("nn.round", y)
    if zero is not None and not is_zero(zero):
        y = n.emit("nn.add", y, as_float(n, _spread(n, zero, x)))
    return n.emit("nn.saturate", y, to=target.dtype, lo=lo, hi=hi)


@handles("DequantizeLinear", since=10)
def dequantize_linear(n: Node) -> Value:
    """y = (x - zero point) * scale; per tensor, axis or block. In float32, then rounded to the scale's type or ``output_dtype``"""
    x, scale, zero = n.x(0), n.x(1), n.maybe(2)
    number = centred(n, x, None if zero is None else _spread(n, zero, x))
    y = n.emit("nn.mul", number, as_float(n, _spread(n, scale, x)))
    wanted = n.integer("output_dtype", 0)
    to = ir_dtype(wanted) if wanted else dtype_of(scale)
    if to is None or not to.is_float:
        raise n.unsupported("DequantizeLinear gives float32, float16 or float64", dtype_name(wanted))
    return cast_to(n, y, to)


@handles("DynamicQuantizeLinear", since=11)
def dynamic_quantize_linear(n: Node) -> tuple[Value, Value, Value]:
    """scale = (max(0, max x) - min(0, min x)) / 255, zero point = saturate(round(-min(0, min x) / scale)), y as QuantizeLinear

    The scale of nothing but zeros is 1, as in onnxruntime.
    """
    x = n.x(0)
    zero = n.scalar(0, x)
    axes = tuple(range(len(x.shape)))
    low = n.emit("nn.min", n.emit("nn.reduce_min", x, axes=axes, keepdims=False), zero)
    high = n.emit("nn.max", n.emit("nn.reduce_max", x, axes=axes, keepdims=False), zero)
    spread = n.emit("nn.div", n.emit("nn.sub", high, low), n.scalar(255, x))
    scale = n.emit("nn.where", n.emit("nn.equal", high, low), n.scalar(1, x), spread)
    shift = n.emit("nn.div", n.emit("nn.sub", zero, low), scale)
    zero_point = n.emit("nn.saturate", n.emit("nn.round", shift), to=DType.U8, lo=0, hi=255)
    return quantized(n, x, scale, zero_point, DType.U8), scale, zero_point


def _target(n: Node, zero: Value | None) -> Element:
    """The type of the result: the zero point's; without one the attribute ``output_dtype`` says, or it is uint8."""
    number = n.integer("output_dtype", 0) or int(TensorProto.UINT8)
    element = ELEMENTS.get(number) if zero is None else n.elements.get(zero)
    dtype = ir_dtype(number) if zero is None else dtype_of(zero)
    if element is not None:
        return element
    if dtype is None:
        raise n.broken("output_dtype is a type of tensors", dtype_name(number))
    return Element(dtype, dtype, 8 * dtype.bytes, RANGES.get(dtype))


def _spread(n: Node, value: Value, x: Value) -> Value:
    """A scale or zero point shaped to broadcast against ``x``: one number, one for each index of an axis, or one for each block."""
    block = n.integer("block_size", 0)
    if value.shape in ((), (1,)):  # whatever the axis says: onnxruntime writes axis 1 for scalars too
        return value if not value.shape else n.emit("nn.reshape", value, shape=())
    if len(value.shape) == len(x.shape) and block:
        return _blocks(n, value, x, block)
    axis = n.axis(n.integer("axis", 1 if len(x.shape) > 1 else 0), len(x.shape))
    if value.shape != (x.shape[axis],):
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
