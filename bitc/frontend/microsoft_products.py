"""Handlers of onnxruntime's own products of integers (domain com.microsoft): exact int32 sums, then float32 in its kernels' order.

Where onnxruntime runs on a CPU without VNNI instructions, its sums of uint8 times int8 saturate at 16 bits within pairs; bitc's do not.
"""

from __future__ import annotations

from typing import Any

from bitc.frontend.channels_last import on_channels_first
from bitc.frontend.elementwise import cast_to
from bitc.frontend.node import MICROSOFT, Node, dtype_of, handles
from bitc.frontend.quantized_values import as_float, integers, output_dtype, saturated, single, whole_sum
from bitc.frontend.standard_op import standard_op, standard_ops
from bitc.ir import DType, Value

_WINDOW = ("kernel_shape", "strides", "pads", "dilations")


@handles("QuantizeLinear", "DequantizeLinear", domains=(MICROSOFT,))
def quantize_linear(n: Node) -> Value:
    """The standard op of the same name, which older opsets did not have for int16 and int4"""
    axis = n.integer("axis", 1) if n.has("axis") else None
    return standard_op(n, n.op_type, *n.inputs, axis=axis)


@handles("QLinearConv", domains=(MICROSOFT,))
def qlinear_conv(n: Node) -> Value:
    """The standard QLinearConv, with ``channels_last`` on an image [N, spatial..., C]; the weights stay [M, C/group, kernel...]"""
    window: dict[str, Any] = {name: n.integers(name) for name in _WINDOW}

    def conv(x: Value) -> Value:
        group, auto_pad = n.integer("group", 1), n.text("auto_pad", "NOTSET")
        return standard_op(n, "QLinearConv", x, *n.inputs[1:], group=group, auto_pad=auto_pad, **window)

    return on_channels_first(n, conv) if n.integer("channels_last", 0) else conv(n.x(0))


@handles("QGemm", domains=(MICROSOFT,))
def qgemm(n: Node) -> Value:
    """y = saturate(round((A' B' + C) * (alpha * a_scale * b_scale / y_scale)) + y_zero_point), the sum in int32

    Without y_scale the result is (A' B' + C) * (alpha * a_scale * b_scale) in float32. B may have a scale and zero point for each column.
    """
    a, b = n.x(0), n.x(3)
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise n.broken("QGemm takes two matrices", f"{a.type}, {b.type}")
    a = integers(n, n.emit("nn.transpose", a, perm=(1, 0)) if n.integer("transA", 0) else a, single(n, n.maybe(2)))
    b = integers(n, n.emit("nn.transpose", b, perm=(1, 0)) if n.integer("transB", 0) else b, n.maybe(5))
    total = n.emit("nn.matmul", a, b)
    c, shape = n.maybe(6), total.shape
    if c is not None:
        total = n.emit("nn.add", total, c)
    if total.shape != shape:
        raise n.broken("C of QGemm broadcasts to the product's shape", f"{total.type}, product {list(shape)}")
    factor, alpha = n.x(1), n.number("alpha", 1.0)
    if alpha != 1:
        factor = n.emit("nn.mul", n.scalar(alpha, factor), factor)
    factor = n.emit("nn.mul", factor, n.x(4))
    if n.maybe(7) is None:
        return n.emit("nn.mul", as_float(n, total), factor)
    zero = single(n, n.maybe(8))
    y = n.emit("nn.mul", as_float(n, total), n.emit("nn.div", factor, n.x(7)))
    return saturated(n, y, zero, output_dtype(n, zero, dtype_of(n.x(0))))


@handles("MatMulIntegerToFloat", domains=(MICROSOFT,))
def matmul_integer_to_float(n: Node) -> Value:
    """y = (A - a_zero_point)(B - b_zero_point) * (a_scale * b_scale) + bias; B may have a scale and zero point for each column"""
    return _scaled_product(n, n.x(0), n.x(2), n.maybe(4), n.x(1), n.x(3), n.maybe(5), n.maybe(6))


@handles("DynamicQuantizeMatMul", domains=(MICROSOFT,))
def dynamic_quantize_matmul(n: Node) -> Value:
    """A is quantized by the standard DynamicQuantizeLinear, then as MatMulIntegerToFloat"""
    a, a_scale, a_zero = standard_ops(n, "DynamicQuantizeLinear", n.x(0))
    return _scaled_product(n, a, a_scale, a_zero, n.x(1), n.x(2), n.maybe(3), n.maybe(4))


def _scaled_product(
    n: Node,
    a: Value,
    a_scale: Value,
    a_zero: Value | None,
    b: Value,
    b_scale: Value,
    b_zero: Value | None,
    bias: Value | None,
) -> Value:
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise n.broken(f"{n.op_type} takes matrices or stacks of them", f"{a.type}, {b.type}")
    total = n.emit("nn.matmul", integers(n, a, single(n, a_zero)), integers(n, b, b_zero))
    y = n.emit("nn.mul", as_float(n, total), n.emit("nn.mul", a_scale, b_scale))
    return y if bias is None else n.emit("nn.add", y, bias)


@handles("MatMulInteger16", domains=(MICROSOFT,))
def matmul_integer16(n: Node) -> Value:
    """y = A B in int32, which wraps; uint32 if both are unsigned"""
    y = standard_op(n, "MatMul", integers(n, n.x(0), None), integers(n, n.x(1), None))
    unsigned = dtype_of(n.x(0)) is DType.U16 and dtype_of(n.x(1)) is DType.U16
    return n.emit("nn.cast", y, to=DType.U32) if unsigned else y


@handles("MulInteger", domains=(MICROSOFT,))
def mul_integer(n: Node) -> Value:
    """y = (a - a_zero_point) * (b - b_zero_point) in int32; onnxruntime has no CPU kernel of it, so this is the schema's meaning"""
    return n.emit("nn.mul", integers(n, n.x(0), single(n, n.maybe(1))), integers(n, n.x(2), single(n, n.maybe(3))))


@handles("ReduceSumInteger", domains=(MICROSOFT,))
def reduce_sum_integer(n: Node) -> Value:
    """y = sum over the axes in int32 (uint32 for uint8); onnxruntime has no CPU kernel of it, so this is the schema's meaning"""
    x = n.x(0)
    axes = n.integers("axes") or list(range(len(x.shape)))
    places = tuple(sorted({n.axis(axis, len(x.shape)) for axis in axes}))
    y = whole_sum(n, x, None, places, keepdims=bool(n.integer("keepdims", 1)))
    return cast_to(n, y, DType.U32 if dtype_of(x) is DType.U8 else DType.I32)
