"""Steps that operators on quantized tensors share: to numbers and back, and exact integer sums.

A quantized tensor q stands for scale * (q - zero point). Every function spells out the float32 steps of onnxruntime's kernels in their
order, because bits depend on it: some round before the zero point is added, some after.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from bitc.frontend.node import Node, dtype_of
from bitc.ir import DType, Value

RANGES = {
    DType.I8: (-128, 127),
    DType.U8: (0, 255),
    DType.I16: (-32768, 32767),
    DType.U16: (0, 65535),
}
EIGHT_BITS = (DType.I8, DType.U8)
LARGEST_DIFFERENCE = 255


def single(n: Node, value: Value | None) -> Value | None:
    """A scale or zero point that is one number, as a scalar (files hold [1] too)."""
    if value is None or not value.shape:
        return value
    if prod(value.shape) != 1:
        raise n.unsupported("scales and zero points of this operator are single numbers", str(value.type))
    return n.emit("nn.reshape", value, shape=())


def is_zero(value: Value | None) -> bool:
    """Whether a zero point changes nothing."""
    return value is None or (value.constant is not None and not value.constant.any())


def as_float(n: Node, value: Value) -> Value:
    """``value`` in float32."""
    return value if dtype_of(value) is DType.F32 else n.emit("nn.cast", value, to=DType.F32)


def centred(n: Node, x: Value, zero: Value | None) -> Value:
    """x - zero point in float32: exact."""
    x = as_float(n, x)
    return x if zero is None or is_zero(zero) else n.emit("nn.sub", x, as_float(n, zero))


def dequantized(n: Node, x: Value, scale: Value, zero: Value | None) -> Value:
    """(x - zero point) * scale"""
    return n.emit("nn.mul", centred(n, x, zero), scale)


def saturated(n: Node, y: Value, zero: Value | None, to: DType, *, zero_first: bool = False) -> Value:
    """``y``, already divided by its scale, as integers of dtype ``to``: rounded to even, plus the zero point, saturated.

    With ``zero_first`` the zero point is added before rounding: ties then go to another side where it is odd.
    """
    if zero_first and zero is not None and not is_zero(zero):
        y = n.emit("nn.round", n.emit("nn.add", y, as_float(n, zero)))
    else:
        y = n.emit("nn.round", y)
        if zero is not None and not is_zero(zero):
            y = n.emit("nn.add", y, as_float(n, zero))
    lo, hi = RANGES[to]
    return n.emit("nn.saturate", y, to=to, lo=lo, hi=hi)


def quantized(n: Node, y: Value, scale: Value, zero: Value | None, to: DType, *, zero_first: bool = False) -> Value:
    """``y`` divided by ``scale``, then :func:`saturated`."""
    return saturated(n, n.emit("nn.div", y, scale), zero, to, zero_first=zero_first)


def output_dtype(n: Node, zero: Value | None, default: DType = DType.U8) -> DType:
    """The dtype of a zero point, which is that of the result; an 8-bit one."""
    dtype = default if zero is None else dtype_of(zero)
    if dtype not in EIGHT_BITS:
        raise n.broken("quantized tensors of this operator are int8 or uint8", str(dtype))
    return dtype


def integers(n: Node, x: Value, zero: Value | None) -> Value:
    """x - zero point in int32, what exact integer products take."""
    x = n.emit("nn.cast", x, to=DType.I32)
    return x if zero is None or is_zero(zero) else n.emit("nn.sub", x, n.emit("nn.cast", zero, to=DType.I32))


def whole_sum(n: Node, x: Value, zero: Value | None, axes: Sequence[int], *, keepdims: bool) -> Value:
    """The sum of the 8-bit x - zero point over ``axes``, exact: in float32 as long as that holds every partial sum, else in int32."""
    terms = prod(x.shape[axis] for axis in axes)
    numbers = centred(n, x, zero) if terms * LARGEST_DIFFERENCE < 2**24 else integers(n, x, zero)
    return n.emit("nn.reduce_sum", numbers, axes=tuple(axes), keepdims=keepdims)
