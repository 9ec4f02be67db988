"""Productions of integer codes: quantizers in front, operators of codes (ONNX and com.microsoft), dequantizers behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from bitc.fuzz.network import CONTRIB, Network, Operand, Tensor, Unfit
from bitc.fuzz.products import WIDTHS, check_cost, groups, taps

F = np.float32


def _zero(net: Network, dtype: np.dtype[Any]) -> np.ndarray:
    """A zero point: none in the middle, the lowest, the highest, or any."""
    limits = np.iinfo(dtype)
    middle = (limits.min + limits.max + 1) // 2
    return np.array(net.choose.choice([0, 0, middle, limits.min, limits.max, 3]), dtype)


def _byte(net: Network) -> np.dtype[Any]:
    return np.dtype(net.choose.choice([np.uint8, np.int8]))


# floats to codes


def quantize(net: Network, x: Tensor) -> Tensor:
    """One scale and zero point for the tensor."""
    dtype = _byte(net)
    if net.setting.opset >= 21 and net.maybe(0.2):
        dtype = np.dtype(net.choose.choice([np.int16, np.uint16]))
    scale, zero = net.scales(), _zero(net, dtype)
    return replace(net.node("QuantizeLinear", x, scale, zero), scale=scale, zero=zero)


def quantize_dynamically(net: Network, x: Tensor) -> Tensor:
    """The scale is computed from the tensor. Over a batch of one, for the batch shares the scale."""
    if net.setting.free or (net.setting.batch > 1 and net.maybe(0.5)):
        raise Unfit
    codes, scale, zero = net.split(
        "DynamicQuantizeLinear", x, results=3, likes=[(np.uint8, x.shape), (F, ()), (np.uint8, ())]
    )
    return replace(codes, scale=scale, zero=zero)


def quantize_and_back(net: Network, x: Tensor) -> Tensor:
    """QDQ; between the two perhaps a Clip to fewer bits (QCDQ)."""
    codes = quantize(net, x)
    if codes.dtype.itemsize == 1 and net.setting.opset >= 12 and net.maybe(0.5):
        codes = clip(net, codes)
    return dequantize(net, codes)


def quantize_channels(net: Network, x: Tensor) -> Tensor:
    """QDQ with a scale and zero point for each entry of an axis."""
    if net.setting.opset < 13:
        raise Unfit
    dtype = _byte(net)
    axis = net.choose.randrange(1, len(x.shape))
    n = x.shape[axis]
    limits = np.iinfo(dtype)
    scales = net.scales([n])
    zeros = net.draw.integers(limits.min, limits.max, n, dtype) if net.maybe(0.5) else np.zeros(n, dtype)
    if net.maybe(0.3):
        axis -= len(x.shape)
    codes = net.node("QuantizeLinear", x, scales, zeros, axis=axis)
    return net.node("DequantizeLinear", codes, scales, zeros, axis=axis)


def quantize_blocks(net: Network, x: Tensor) -> Tensor:
    """QDQ with a scale for each block of the last axis (opset 21)."""
    extent = x.shape[-1]
    if net.setting.opset < 21 or net.setting.free:
        raise Unfit
    block = net.choose.choice([b for b in (1, 2, 4, 8) if b <= extent])
    shape = (*x.shape[:-1], -(-extent // block))
    scales = net.scales(shape)
    zeros = net.draw.integers(-128, 128, shape).astype(np.int8)
    attrs: dict[str, Any] = {"axis": -1, "block_size": block}
    codes = net.node("QuantizeLinear", x, scales, zeros, like=(np.int8, x.shape), **attrs)
    return net.node("DequantizeLinear", codes, scales, zeros, like=(F, x.shape), **attrs)


# codes to codes


def dequantize(net: Network, x: Tensor) -> Tensor:
    """The numbers again."""
    return net.node("DequantizeLinear", x, x.scale, x.zero)


def clip(net: Network, x: Tensor) -> Tensor:
    """To fewer bits."""
    if x.dtype.itemsize > 1 or net.setting.opset < 12:
        raise Unfit
    ends = [(0, 1), (0, 15), (3, 200)] if x.dtype == np.uint8 else [(-1, 1), (-7, 7), (-127, 127), (0, 1)]
    low, high = net.choose.choice(ends)
    y = net.node("Clip", x, np.array(low, x.dtype), np.array(high, x.dtype))
    return replace(y, scale=x.scale, zero=x.zero)


def _result(net: Network, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    return net.scales(), _zero(net, dtype)


def _integer_weights(net: Network, x: Tensor, shape: Sequence[int]) -> np.ndarray:
    dtype = np.dtype(np.int8) if x.dtype == np.int8 or net.maybe(0.6) else np.dtype(np.uint8)
    limits = np.iinfo(dtype)
    few = net.choose.choice([None, None, (-1, 1), (0, 3)])
    if few is not None and few[0] >= limits.min:
        return net.draw.integers(*few, shape, dtype, endpoint=True)
    return net.draw.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def _weight_scales(net: Network, weights: np.ndarray, filters: int) -> tuple[np.ndarray, np.ndarray]:
    """One, or one a filter; zero points likewise (of one value, as onnxruntime wants for int8)."""
    shape = [filters] if net.maybe(0.5) else ()
    zero = 0 if weights.dtype == np.int8 else net.choose.choice([0, 128, 7])
    return net.scales(shape) / F(16), np.full(shape, zero, weights.dtype)


def _bytes_only(x: Tensor) -> None:
    if x.dtype.itemsize > 1 or not x.is_code:
        raise Unfit


def qlinear_conv(net: Network, x: Tensor) -> Tensor:
    """With all a convolution has, and an int32 bias."""
    _bytes_only(x)
    if not x.is_image or isinstance(x.zero, Tensor):
        raise Unfit
    group, filters = groups(net, x.channels)
    window = taps(net, x.shape[2:])
    weights = _integer_weights(net, x, (filters, x.channels // group, *window["kernel_shape"]))
    check_cost(x.shape, weights.size)
    scale, zero = _result(net, x.dtype)
    bias = [net.draw.integers(-500, 500, filters).astype(np.int32)] if net.maybe(0.5) else []
    factors = _weight_scales(net, weights, filters)
    operands: list[Operand] = [x, x.scale, x.zero, weights, *factors, scale, zero, *bias]
    return replace(net.node("QLinearConv", *operands, group=group, **window), scale=scale, zero=zero)


def qlinear_matmul(net: Network, x: Tensor) -> Tensor:
    """Over the last axis."""
    _bytes_only(x)
    if isinstance(x.zero, Tensor):
        raise Unfit
    width = net.choose.choice(WIDTHS)
    weights = _integer_weights(net, x, (x.shape[-1], width))
    check_cost(x.shape[:-1], weights.size)
    scale, zero = _result(net, x.dtype)
    factor, shift = net.scales() / F(16), np.zeros((), weights.dtype)
    y = net.node(
        "QLinearMatMul", x, x.scale, x.zero, weights, factor, shift, scale, zero, like=(x.dtype, (*x.shape[:-1], width))
    )
    return replace(y, scale=scale, zero=zero)


def integer_conv(net: Network, x: Tensor) -> Tensor:
    """ConvInteger of unsigned codes, cast and scaled behind, as dynamic quantization writes it."""
    if not x.is_image or x.dtype != np.uint8:
        raise Unfit
    group, filters = groups(net, x.channels)
    window = taps(net, x.shape[2:])
    weights = net.draw.integers(0, 256, (filters, x.channels // group, *window["kernel_shape"]), np.uint8)
    check_cost(x.shape, weights.size)
    zeros = [x.zero, np.uint8(net.choose.choice([0, 128]))] if net.maybe(0.7) else []
    y = net.node("ConvInteger", x, weights, *zeros, group=group, **window)
    return _scaled(net, x, y)


def integer_matmul(net: Network, x: Tensor) -> Tensor:
    """MatMulInteger, cast and scaled behind."""
    _bytes_only(x)
    width = net.choose.choice(WIDTHS)
    weights = _integer_weights(net, x, (x.shape[-1], width))
    check_cost(x.shape[:-1], weights.size)
    zeros = [x.zero, np.zeros((), weights.dtype)] if net.maybe(0.7) else []
    y = net.node("MatMulInteger", x, weights, *zeros, like=(np.int32, (*x.shape[:-1], width)))
    return _scaled(net, x, y)


def _scaled(net: Network, x: Tensor, product: Tensor) -> Tensor:
    y = net.node("Cast", product, to=1)
    factor = net.node("Mul", x.scale, net.scales()) if isinstance(x.scale, Tensor) else net.scales()
    return net.node("Mul", y, factor)


def _contrib(
    net: Network, kind: str, x: Tensor, *operands: Operand, shape: Sequence[int] | None = None, **attrs: Any
) -> Tensor:
    """A com.microsoft operator whose last two operands are the result's scale and zero point."""
    scale, zero = _result(net, x.dtype)
    y = net.node(
        kind, *operands, scale, zero, domain=CONTRIB, like=(x.dtype, x.shape if shape is None else shape), **attrs
    )
    return replace(y, scale=scale, zero=zero)


def _static_bytes(net: Network, x: Tensor) -> None:
    _bytes_only(x)
    if net.setting.qonnx or isinstance(x.scale, Tensor):
        raise Unfit


def qlinear_elementwise(net: Network, x: Tensor) -> Tensor:
    """QLinearAdd or QLinearMul, by a constant a channel or by itself moved."""
    _static_bytes(net, x)
    kind = net.choose.choice(["QLinearAdd", "QLinearMul"])
    limits = np.iinfo(x.dtype)
    other: Operand = net.draw.integers(limits.min, limits.max, (1, x.channels, *(1 for _ in x.shape[2:])), x.dtype)
    if net.maybe(0.5):
        other = x
    return _contrib(net, kind, x, x, x.scale, x.zero, other, net.scales(), _zero(net, x.dtype))


def qlinear_activation(net: Network, x: Tensor) -> Tensor:
    """QLinearLeakyRelu or QLinearSigmoid."""
    _static_bytes(net, x)
    if net.maybe(0.6):
        return _contrib(net, "QLinearLeakyRelu", x, x, x.scale, x.zero, alpha=net.choose.choice([0.1, 0.25]))
    return _contrib(net, "QLinearSigmoid", x, x, x.scale, x.zero)


def qlinear_pool(net: Network, x: Tensor) -> Tensor:
    """Means of codes."""
    _static_bytes(net, x)
    if not x.is_image:
        raise Unfit
    if net.maybe(0.5):
        shape = (*x.shape[:2], 1, 1)
        return _contrib(net, "QLinearGlobalAveragePool", x, x, x.scale, x.zero, shape=shape)
    kernel = [net.choose.randint(1, min(3, n)) for n in x.shape[2:]]
    size = [n - k + 1 for n, k in zip(x.shape[2:], kernel, strict=True)]
    attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": [1, 1], "pads": [0, 0, 0, 0]}
    return _contrib(net, "QLinearAveragePool", x, x, x.scale, x.zero, shape=(*x.shape[:2], *size), **attrs)


def qlinear_concat(net: Network, x: Tensor) -> Tensor:
    """The codes twice, requantized."""
    _static_bytes(net, x)
    scale, zero = _result(net, x.dtype)
    other = clip(net, x)
    shape = (x.shape[0], 2 * x.channels, *x.shape[2:])
    if prod(shape) > 4000:
        raise Unfit
    operands: list[Operand] = [scale, zero, x, x.scale, x.zero, other, other.scale, other.zero]
    y = net.node("QLinearConcat", *operands, domain=CONTRIB, like=(x.dtype, shape), axis=1)
    return replace(y, scale=scale, zero=zero)


def qgemm(net: Network, x: Tensor) -> Tensor:
    """com.microsoft's QGemm of rows, to codes or to floats."""
    _static_bytes(net, x)
    if len(x.shape) != 2:
        raise Unfit
    width = net.choose.choice(WIDTHS)
    weights = _integer_weights(net, x, (x.shape[1], width))
    scales, zeros = _weight_scales(net, weights, width)
    bias: Operand = net.draw.integers(-500, 500, width).astype(np.int32) if net.maybe(0.6) else None
    operands: list[Operand] = [x, x.scale, x.zero, weights, scales, zeros, bias]
    if net.maybe(0.5):
        return _contrib(net, "QGemm", x, *operands, shape=(x.shape[0], width))
    return net.node("QGemm", *operands, domain=CONTRIB, like=(F, (x.shape[0], width)))


# com.microsoft's products of floats


def matmul_nbits(net: Network, x: Tensor) -> Tensor:
    """Weights of 4 or 8 bits in blocks, packed."""
    if net.setting.qonnx:
        raise Unfit
    depth, width, bits, block = x.shape[-1], net.choose.choice(WIDTHS), net.choose.choice([4, 8]), 16
    blocks = -(-depth // block)
    check_cost(x.shape[:-1], depth * width)
    packed = net.draw.integers(0, 256, (width, blocks, block * bits // 8), np.uint8)
    zeros = [net.draw.integers(0, 256, width * -(-blocks * bits // 8), np.uint8)] if net.maybe(0.4) else []
    attrs: dict[str, Any] = {"K": depth, "N": width, "bits": bits, "block_size": block}
    shape = (*x.shape[:-1], width)
    return net.node(
        "MatMulNBits", x, packed, net.scales([width * blocks]), *zeros, domain=CONTRIB, like=(F, shape), **attrs
    )


def dynamic_matmul(net: Network, x: Tensor) -> Tensor:
    """DynamicQuantizeMatMul, with a bias perhaps."""
    if net.setting.qonnx or net.setting.free:
        raise Unfit
    width = net.choose.choice(WIDTHS)
    weights = net.draw.integers(-128, 128, (x.shape[-1], width)).astype(np.int8)
    check_cost(x.shape[:-1], weights.size)
    operands: list[Operand] = [x, weights, net.scales(), np.int8(0), *([net.floats([width])] if net.maybe(0.4) else [])]
    return net.node("DynamicQuantizeMatMul", *operands, domain=CONTRIB, like=(F, (*x.shape[:-1], width)))


def fused_product(net: Network, x: Tensor) -> Tensor:
    """FusedMatMul with a factor."""
    if net.setting.qonnx:
        raise Unfit
    width = net.choose.choice(WIDTHS)
    check_cost(x.shape[:-1], width * x.shape[-1])
    weights = net.floats([width, x.shape[-1]])
    shape = (*x.shape[:-1], width)
    return net.node("FusedMatMul", x, weights, domain=CONTRIB, like=(F, shape), transB=1, alpha=0.5)


QUANTIZERS = (
    quantize,
    quantize,
    quantize,
    quantize_and_back,
    quantize_and_back,
    quantize_channels,
    quantize_dynamically,
    quantize_blocks,
)
CODE_OPS = (
    *(
        dequantize,
        dequantize,
        dequantize,
        clip,
        qlinear_conv,
        qlinear_conv,
        qlinear_conv,
        qlinear_matmul,
        qlinear_matmul,
    ),
    *(integer_conv, integer_matmul, qlinear_elementwise, qlinear_activation, qlinear_pool, qlinear_concat, qgemm),
)
CONTRIB_PRODUCTS = (matmul_nbits, dynamic_matmul, fused_product)
