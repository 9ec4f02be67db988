"""Handlers of ONNX's integer products: QLinearConv, QLinearMatMul, ConvInteger, MatMulInteger. Sums are int32, exact.

A product of quantized tensors is taken of ``x - zero point``, so that padding with 0 is padding with the zero point, as ONNX wants it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bitc.frontend.linear import lifted, windows
from bitc.frontend.node import Node, dtype_of, handles
from bitc.frontend.quantized_values import as_float, integers, output_dtype, saturated, single
from bitc.frontend.standard_op import standard_op
from bitc.ir import Value


@handles("QLinearConv", since=10)
def qlinear_conv(n: Node) -> Value:
    """y = saturate(round((x * w + bias) * (x_scale * w_scale / y_scale)) + y_zero_point), the sum in int32"""
    x, w, bias = n.x(0), n.x(3), n.maybe(8)
    rank = len(x.shape) - 2
    total = _conv(n, integers(n, x, single(n, n.maybe(2))), integers(n, w, _along_channels(n, n.maybe(5), w)), w.shape)
    if bias is not None:
        total = n.emit("nn.add", total, n.emit("nn.reshape", bias, shape=(1, w.shape[0], *[1] * rank)))
    factor = n.emit("nn.mul", _scale(n, 1), n.x(4))
    factor = n.emit("nn.div", factor, _scale(n, 6))
    if len(factor.shape) == 1:
        factor = n.emit("nn.reshape", factor, shape=(1, factor.shape[0], *[1] * rank))
    return _requantized(n, total, factor, n.maybe(7))


@handles("QLinearMatMul", since=10)
def qlinear_matmul(n: Node) -> Value:
    """y = saturate(round(A B * (a_scale * b_scale / y_scale)) + y_zero_point), the sum in int32"""
    a, b = n.x(0), n.x(3)
    a_zero, b_zero = _along_rows(n, n.maybe(2), a), _along_columns(n, n.maybe(5), b)
    total = standard_op(n, "MatMul", integers(n, a, a_zero), integers(n, b, b_zero))
    a_scale, b_scale = _along_rows(n, n.x(1), a), _along_columns(n, n.x(4), b)
    assert a_scale is not None
    assert b_scale is not None
    factor = n.emit("nn.div", n.emit("nn.mul", a_scale, b_scale), _scale(n, 6))
    return _requantized(n, total, factor, n.maybe(7))


@handles("ConvInteger", since=10)
def conv_integer(n: Node) -> Value:
    """y = (x - x_zero_point) * (w - w_zero_point) over windows, int32"""
    x, w = n.x(0), n.x(1)
    weights = integers(n, w, _along_channels(n, n.maybe(3), w))
    return _conv(n, integers(n, x, single(n, n.maybe(2))), weights, w.shape)


@handles("MatMulInteger", since=10)
def matmul_integer(n: Node) -> Value:
    """y = (A - a_zero_point) (B - b_zero_point), int32; zero points of A by row, of B by column"""
    a, b = n.x(0), n.x(1)
    a_zero, b_zero = _along_rows(n, n.maybe(2), a), _along_columns(n, n.maybe(3), b)
    return standard_op(n, "MatMul", integers(n, a, a_zero), integers(n, b, b_zero))


def _conv(n: Node, x: Value, w: Value, shape: Sequence[int]) -> Value:
    rank, kernel = len(x.shape) - 2, tuple(shape[2:])
    if rank < 1 or len(shape) != rank + 2:
        raise n.broken("a convolution takes an image [N, C, spatial...] and weights [M, C/group, kernel...]")
    strides, dilations, pads = windows(n, x.shape[2:], kernel)
    group = n.integer("group", 1)

    def on_image(image: Value, lift: Sequence[int]) -> Value:
        weights = w if not lift else n.emit("nn.reshape", w, shape=(*shape[:2], 1, *kernel))
        ones, zeros = [1] * len(lift), [0] * len(lift)
        pairs = [*zeros, *pads[:rank], *zeros, *pads[rank:]]
        attrs = {"strides": [*ones, *strides], "pads": pairs, "dilations": [*ones, *dilations], "group": group}
        return n.emit("nn.conv", image, weights, **attrs)

    return lifted(n, x, on_image)


def _requantized(n: Node, total: Value, factor: Value, zero: Value | None) -> Value:
    zero = single(n, zero)
    y = n.emit("nn.mul", as_float(n, total), factor)
    return saturated(n, y, zero, output_dtype(n, zero, dtype_of(n.x(0))))


def _scale(n: Node, index: int) -> Value:
    found = single(n, n.x(index))
    assert found is not None
    return found


def _along_channels(n: Node, value: Value | None, w: Value) -> Value | None:
    """One number, or one for each output channel of the weights [M, ...]."""
    if value is None or value.shape in ((), (1,)):
        return single(n, value)
    if value.shape != (w.shape[0],):
        raise n.broken("a zero point of weights is one number, or one for each output channel", str(value.type))
    return n.emit("nn.reshape", value, shape=(w.shape[0], *[1] * (len(w.shape) - 1)))


def _along_rows(n: Node, value: Value | None, a: Value) -> Value | None:
    """One number, or one for each row of A [..., M, K]."""
    if value is None or value.shape in ((), (1,)):
        return single(n, value)
    if len(value.shape) == 1:
        return n.emit("nn.reshape", value, shape=(value.shape[0], 1))
    return value


def _along_columns(n: Node, value: Value | None, b: Value) -> Value | None:
    """One number, or one for each column of B [..., K, N]."""
    return single(n, value) if value is None or value.shape in ((), (1,)) else value
