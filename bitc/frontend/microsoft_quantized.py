"""Handlers of onnxruntime's elementwise operators and pools on 8-bit tensors (domain com.microsoft).

Each is onnxruntime's own float32 arithmetic, found by experiment on all of its kernels' branches; a docstring says so where the result
can still differ. Scales may be computed while the network runs.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from bitc.frontend.channels_last import on_channels_first
from bitc.frontend.linear import windows
from bitc.frontend.node import MICROSOFT, Node, dtype_of, handles
from bitc.frontend.quantized_values import (
    as_float,
    centred,
    dequantized,
    output_dtype,
    quantized,
    saturated,
    single,
    whole_sum,
)
from bitc.frontend.standard_op import standard_op
from bitc.ir import Value
from bitc.ir.numeric import window_count


def _scalar(n: Node, index: int) -> Value:
    value = single(n, n.x(index))
    assert value is not None
    return value


def _zero(n: Node, index: int) -> Value | None:
    return single(n, n.maybe(index))


@handles("QLinearAdd", domains=(MICROSOFT,))
def qlinear_add(n: Node) -> Value:
    """y = saturate(round(a * ra + (b * rb + (zc - (ra * za + rb * zb))))), ra = sa / sc, rb = sb / sc; each product and sum round once

    Where one operand is a single number along the innermost axis, it takes the place of b. Kernels of onnxruntime without fused
    multiply-add differ from this in about 5 of 10,000 elements, by one.
    """
    a, sa, za, b, sb, zb = n.x(0), _scalar(n, 1), _zero(n, 2), n.x(3), _scalar(n, 4), _zero(n, 5)
    sc, zc = _scalar(n, 6), _zero(n, 7)
    if _repeats_innermost(a.shape, b.shape):
        a, sa, za, b, sb, zb = b, sb, zb, a, sa, za
    ra, rb = n.emit("nn.div", sa, sc), n.emit("nn.div", sb, sc)
    nothing = n.scalar(0, sc)
    za, zb, fixed = (nothing if zero is None else as_float(n, zero) for zero in (za, zb, zc))
    fixed = n.emit("nn.sub", fixed, n.emit("nn.fma", ra, za, n.emit("nn.mul", rb, zb)))
    y = n.emit("nn.fma", as_float(n, a), ra, n.emit("nn.fma", as_float(n, b), rb, fixed))
    return saturated(n, y, None, output_dtype(n, zc, dtype_of(n.x(0))))


def _repeats_innermost(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether broadcasting repeats ``a`` along the last axis that is longer than 1.

    >>> _repeats_innermost((3, 1, 1), (2, 3, 8, 8)), _repeats_innermost((2, 3, 8, 8), (3, 1, 1)), _repeats_innermost((8,), (4, 8))
    (True, False, False)
    """
    rank = max(len(a), len(b))
    pairs = zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True)
    for of_a, of_b in reversed(list(pairs)):
        if max(of_a, of_b) > 1:
            return of_a == 1
    return False


@handles("QLinearMul", domains=(MICROSOFT,))
def qlinear_mul(n: Node) -> Value:
    """y = saturate(round((a - za) * (b - zb) * (sa * sb / sc) + zc)): the zero point is added before rounding"""
    sa, sb, sc, zc = _scalar(n, 1), _scalar(n, 4), _scalar(n, 6), _zero(n, 7)
    product = n.emit("nn.mul", centred(n, n.x(0), _zero(n, 2)), centred(n, n.x(3), _zero(n, 5)))
    y = n.emit("nn.mul", product, n.emit("nn.div", n.emit("nn.mul", sa, sb), sc))
    return saturated(n, y, zc, output_dtype(n, zc, dtype_of(n.x(0))), zero_first=True)


@handles("QLinearLeakyRelu", domains=(MICROSOFT,))
def qlinear_leaky_relu(n: Node) -> Value:
    """y = quantize(v where v >= 0, else alpha * v), v the dequantized x"""
    y = _dequantized_input(n)
    return _output(n, n.emit("nn.prelu", y, n.scalar(n.number("alpha", 0.01), y)))


@handles("QLinearSigmoid", domains=(MICROSOFT,))
def qlinear_sigmoid(n: Node) -> Value:
    """y = quantize(1 / (1 + e^-v)), v the dequantized x; onnxruntime rounds e^x otherwise, which can move a tie by one

    Over 600 random pairs of scales and all 256 values no element differed.
    """
    return _output(n, n.emit("nn.sigmoid", _dequantized_input(n)))


@handles("QLinearReduceMean", domains=(MICROSOFT,))
def qlinear_reduce_mean(n: Node) -> Value:
    """y = quantize(mean of the dequantized x over the axes); onnxruntime has no CPU kernel of it, so this is the schema's meaning"""
    x = _dequantized_input(n)
    axes = sorted({n.axis(axis, len(x.shape)) for axis in n.integers("axes") or range(len(x.shape))})
    return _output(n, n.emit("nn.reduce_mean", x, axes=tuple(axes), keepdims=bool(n.integer("keepdims", 1))))


def _dequantized_input(n: Node) -> Value:
    """Operands 0 to 2 (x, scale, zero point) as float32 numbers."""
    return dequantized(n, n.x(0), _scalar(n, 1), _zero(n, 2))


def _output(n: Node, y: Value, *, zero_first: bool = False) -> Value:
    """``y`` quantized by operands 3 and 4 (scale, zero point)."""
    zero = _zero(n, 4)
    return quantized(n, y, _scalar(n, 3), zero, output_dtype(n, zero, dtype_of(n.x(0))), zero_first=zero_first)


@handles("QLinearConcat", domains=(MICROSOFT,))
def qlinear_concat(n: Node) -> Value:
    """Each input requantized to the output's scale and zero point, unless it has them already; then one after another along ``axis``"""
    scale, zero = _scalar(n, 0), _zero(n, 1)
    to = output_dtype(n, zero)
    if len(n.inputs) < 5 or (len(n.inputs) - 2) % 3:
        raise n.broken("QLinearConcat has a tensor, a scale and a zero point for each part", f"{len(n.inputs)} inputs")
    parts = []
    for at in range(2, len(n.inputs), 3):
        x, its_scale, its_zero = n.x(at), _scalar(n, at + 1), _zero(n, at + 2)
        same = dtype_of(x) is to and _same(scale, its_scale) and _same(zero, its_zero)
        parts.append(x if same else quantized(n, dequantized(n, x, its_scale, its_zero), scale, zero, to))
    return standard_op(n, "Concat", *parts, axis=n.integer("axis", 0))


def _same(a: Value | None, b: Value | None) -> bool:
    """Whether two scalars are the same for sure."""
    if a is None or b is None:
        return a is b
    return a is b or (a.constant is not None and b.constant is not None and bool(a.constant == b.constant))


@handles("QLinearWhere", domains=(MICROSOFT,))
def qlinear_where(n: Node) -> Value:
    """y = x where the condition holds, else y, both requantized to the output's scale and zero point"""
    scale, zero = _scalar(n, 7), _zero(n, 8)
    to = output_dtype(n, zero, dtype_of(n.x(1)))
    sides = [
        quantized(n, dequantized(n, n.x(at), _scalar(n, at + 1), _zero(n, at + 2)), scale, zero, to) for at in (1, 4)
    ]
    return n.emit("nn.where", n.x(0), *sides)


@handles("QLinearSoftmax", domains=(MICROSOFT,))
def qlinear_softmax(n: Node) -> Value:
    """y = saturate(round(softmax(v) * floor(1 / y_scale)) + zero point), v the dequantized x

    Below opset 13 (attribute ``opset``) all axes from ``axis`` on count as one. onnxruntime sums a table of scaled exponentials: where the
    quotient is a tie, 3 of 100,000 random elements differed, by one.
    """
    scale = n.array(3, "the output's scale")
    if scale.size != 1 or not 1 / 256 <= scale.item() <= 1:
        raise n.unsupported("the output's scale of QLinearSoftmax is one number from 1/256 to 1", str(scale.tolist()))
    opset = n.integer("opset", 13)
    shares = standard_op(
        n, "Softmax", _dequantized_input(n), opset=13 if opset >= 13 else 11, axis=n.integer("axis", -1)
    )
    steps = n.scalar(np.floor(np.float32(1) / np.float32(scale.item())), shares)
    zero = _zero(n, 4)
    return saturated(n, n.emit("nn.mul", shares, steps), zero, output_dtype(n, zero, dtype_of(n.x(0))))


@handles("QLinearGlobalAveragePool", domains=(MICROSOFT,))
def qlinear_global_average_pool(n: Node) -> Value:
    """y = saturate(round(sum of (x - zx) * (sx / (sy * pixels))) + zy), the sum in integers"""
    x = n.x(0)
    if len(x.shape) < 3:
        raise n.broken("QLinearGlobalAveragePool takes an image [N, C, spatial...]", str(x.type))
    last = bool(n.integer("channels_last", 0))
    axes = tuple(range(1, len(x.shape) - 1)) if last else tuple(range(2, len(x.shape)))
    total = as_float(n, whole_sum(n, x, _zero(n, 2), axes, keepdims=True))
    pixels = n.scalar(prod(x.shape[axis] for axis in axes), _scalar(n, 1))
    factor = n.emit("nn.div", _scalar(n, 1), n.emit("nn.mul", _scalar(n, 3), pixels))
    zero = _zero(n, 4)
    return saturated(n, n.emit("nn.mul", total, factor), zero, output_dtype(n, zero, dtype_of(x)))


@handles("QLinearAveragePool", domains=(MICROSOFT,))
def qlinear_average_pool(n: Node) -> Value:
    """y = saturate(round(mean of the dequantized x over the window / sy + zy)): the zero point is added before rounding

    onnxruntime sums a window row by row in float32; where the scale is no power of two, another order of summation moves ties by one (in
    5 of 10,000 random elements).
    With ``count_include_pad`` every window counts as full, also one that hangs over the padding (``ceil_mode``). A window that is the
    whole image is a QLinearGlobalAveragePool to onnxruntime, which rounds first.
    """
    if _window_is_the_image(n):
        return qlinear_global_average_pool(n)
    pool = on_channels_first if n.integer("channels_last", 0) else _as_it_is
    return _output(n, pool(n, lambda x: _mean_of_windows(n, x), _dequantized_input(n)), zero_first=True)


def _window_is_the_image(n: Node) -> bool:
    shape, kernel = n.x(0).shape, n.integers("kernel_shape")
    spatial = shape[1:-1] if n.integer("channels_last", 0) else shape[2:]
    return kernel is not None and tuple(kernel) == spatial and not any(windows(n, spatial, kernel)[2])


def _as_it_is(n: Node, function: Callable[[Value], Value], x: Value) -> Value:
    return function(x)


def _mean_of_windows(n: Node, x: Value) -> Value:
    kernel = n.integers("kernel_shape")
    if kernel is None or len(x.shape) < 3:
        raise n.broken("QLinearAveragePool takes an image and needs kernel_shape", str(x.type))
    strides, _, pads = windows(n, x.shape[2:], kernel)
    full, ceil = n.integer("count_include_pad", 0), n.integer("ceil_mode", 0)
    if full and ceil:
        rank, ceil = len(kernel), 0
        for axis, size in enumerate(x.shape[2:]):
            begin, end = pads[axis], pads[rank + axis]
            count = window_count(size, kernel[axis], strides[axis], 1, begin, end, ceil=True)
            pads[rank + axis] = max(end, (count - 1) * strides[axis] + kernel[axis] - size - begin)
    return standard_op(
        n, "AveragePool", x, kernel_shape=kernel, strides=strides, pads=pads, ceil_mode=ceil, count_include_pad=full
    )
