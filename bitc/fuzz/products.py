"""Productions that multiply float tensors by weights, and every way a file has of holding quantized weights."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import ml_dtypes
import numpy as np

from bitc.fuzz.network import QONNX, Network, Operand, Tensor, Unfit

F = np.float32
MOST_PRODUCTS = 200_000
"""Multiplications of one layer."""
WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 32, 33, 64, 65)


def conv(net: Network, x: Tensor) -> Tensor:
    """Grouped, depthwise, strided, dilated or padded, with odd sizes; rows are taken as signals where they have an axis for it."""
    rank = len(x.shape) - 2
    if rank not in (1, 2):
        raise Unfit
    group, filters = groups(net, x.channels)
    window = taps(net, x.shape[2:])
    weights = float_weights(net, (filters, x.channels // group, *window["kernel_shape"]), axis=0)
    check_cost(x.shape, filters * x.channels // group * prod(window["kernel_shape"]))
    bias = [net.floats([filters])] if net.maybe(0.4) else []
    return net.node("Conv", x, weights, *bias, group=group, **window)


def conv_transpose(net: Network, x: Tensor) -> Tensor:
    """A transposed convolution, strided."""
    if not x.is_image:
        raise Unfit
    filters = net.choose.choice(WIDTHS[:8])
    kernel, strides = ([net.choose.randint(1, 3) for _ in range(2)] for _ in range(2))
    pads = [net.choose.randrange((k + 1) // 2) for k in kernel] * 2
    check_cost(x.shape, filters * x.channels * prod(kernel))
    weights = float_weights(net, (x.channels, filters, *kernel), axis=1)
    return net.node("ConvTranspose", x, weights, kernel_shape=kernel, strides=strides, pads=pads)


def dense(net: Network, x: Tensor) -> Tensor:
    """MatMul over the last axis, or Gemm with its factors and transposition."""
    width = net.choose.choice(WIDTHS)
    check_cost(x.shape[:-1], width * x.shape[-1])
    if len(x.shape) > 2 or net.maybe(0.5):
        y = net.node("MatMul", x, float_weights(net, (x.shape[-1], width), axis=1))
        return net.node("Add", y, net.floats([width])) if net.maybe(0.3) else y
    turned = int(net.maybe(0.5))
    shape = (width, x.shape[1]) if turned else (x.shape[1], width)
    weights = float_weights(net, shape, axis=1 - turned)
    alpha, beta = net.choose.choice([1.0, 0.5]), net.choose.choice([1.0, 0.5])
    bias = net.floats(net.choose.choice([(width,), (1, width), ()]))
    return net.node("Gemm", x, weights, bias, transB=turned, alpha=alpha, beta=beta)


def matrix_product(net: Network, x: Tensor) -> Tensor:
    """A tensor times its own transpose, as the scores of an attention."""
    if len(x.shape) < 3:
        raise Unfit
    check_cost(x.shape, x.shape[-2])
    axes = list(range(len(x.shape)))
    axes[-2:] = axes[:-3:-1]
    return net.node("MatMul", x, net.node("Transpose", x, perm=axes))


def groups(net: Network, channels: int) -> tuple[int, int]:
    """Groups that divide ``channels``, and a number of filters they divide."""
    group = net.choose.choice([1, 1, 1, channels, 2 if channels % 2 == 0 else 1])
    wanted = net.choose.choice(WIDTHS)
    return group, wanted if group == 1 else group * max(1, min(wanted // group, 4))


def taps(net: Network, size: Sequence[int]) -> dict[str, Any]:
    """Kernel, strides, dilations and pads that leave an output on an image of ``size``."""
    pads = (
        [net.choose.choice([0, 0, 1, 1, 2]) for _ in (*size, *size)] if net.maybe(0.7) else [0 for _ in (*size, *size)]
    )
    kernel, dilations = [], []
    for i, n in enumerate(size):
        room = n + pads[i] + pads[i + len(size)]
        k = net.choose.choice([1, 2, 3, 3, 5])
        d = net.choose.choice([1, 1, 2])
        k = k if d * (k - 1) + 1 <= room else 1
        kernel.append(k)
        dilations.append(d)
    strides = [net.choose.choice([1, 1, 2, 3]) for _ in size]
    return {"kernel_shape": kernel, "strides": strides, "dilations": dilations, "pads": pads}


def check_cost(shape: Sequence[int], each: int) -> None:
    """Raise :class:`Unfit` where a layer would take long: ``each`` products an element of ``shape``, about."""
    if prod((*shape[:1], *shape[2:])) * each > MOST_PRODUCTS:
        raise Unfit


# weights


def float_weights(net: Network, shape: tuple[int, ...], axis: int) -> Operand:
    """Weights of ``shape`` whose filters lie along ``axis``: plain numbers, or integers behind nodes that dequantize them."""
    ways = [_signs, _kindred_signs, _scaled_signs, _ternary, _numbers, _latent, _dequantized, _dequantized, _quantized]
    if net.setting.opset >= 21 and not net.setting.qonnx:
        ways += [_small_integers, _blocks]
    if net.setting.qonnx:
        ways += [_quant, _quant, _bipolar]
    if net.setting.pruned:
        ways += [_numbers] * len(ways)
    return net.choose.choice(ways)(net, shape, axis)


def along(values: np.ndarray, rank: int, axis: int) -> np.ndarray:
    """[n] values as an array that broadcasts along ``axis``."""
    return values.reshape([-1 if i == axis else 1 for i in range(rank)])


def _signs(net: Network, shape: tuple[int, ...], axis: int) -> Operand:
    return net.draw.choice([-1, 1], shape).astype(F)


def _kindred_signs(net: Network, shape: tuple[int, ...], axis: int) -> Operand:
    return kindred(net, shape, axis).astype(F)


def kindred(net: Network, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """Signs of filters along ``axis``, each an earlier one or its opposite with a few signs changed: trees of them are worth while."""
    filters = shape[axis]
    rows = net.draw.choice([-1, 1], (filters, prod(shape) // filters))
    changes = net.choose.choice([0.0, 0.05, 0.15])
    for i in range(net.choose.randint(1, 4), filters):
        changed = np.where(net.draw.random(rows.shape[1]) < changes, -1, 1)
        rows[i] = rows[net.draw.integers(i)] * changed * net.draw.choice([-1, 1])
    return np.moveaxis(rows.reshape(filters, *(n for i, n in enumerate(shape) if i != axis)), 0, axis)


def _scaled_signs(net: Network, shape: tuple[int, ...], axis: int) -> Operand:
    signs = net.draw.choice([-1, 1], shape)
    return np.asarray(signs * along(net.scales([shape[axis]]), len(shape), axis), F)


def _ternary(net: Network, shape: tuple[int, ...], axis: int) -> Operand:
    return np.asarray(net.draw.choice([-1, 0, 1], shape) * net.scales(), F)


def _numbers(net: Network, shape: tuple[int, ...], axis: int) -> Operand:
    numbers = net.floats(shape, 1)
    if not net.setting.pruned:
        return numbers
    return np.where(net.draw.random(shape) < net.choose.choice([0.02, 0.05, 0.1, 0.3]), numbers, F(0))


def _latent(net: Network, shape: tuple[int, ...], axis: int) -> Operand:
    """Floats that the file itself binarizes."""
    latent = net.constant(net.draw.normal(size=shape).astype(F))
    if net.maybe(0.5):
        return net.node("Sign", latent)
    return net.node("Where", net.node("GreaterOrEqual", latent, F(0)), F(1), F(-1))


def _dequantized(net: Network, shape: tuple[int, ...], axis: int) -> Operand:
    """int8 or uint8 initializers, perhaps clipped to fewer bits, with one scale or one a filter."""
    dtype = np.dtype(net.choose.choice([np.int8, np.int8, np.uint8]))
    limits = np.iinfo(dtype)
    codes: Operand = net.draw.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    if net.maybe(0.4) and dtype == np.int8 and net.setting.opset >= 12:
        most = net.choose.choice([1, 3, 7, 127])
        codes = net.node("Clip", codes, np.int8(-most), np.int8(most))
    if net.maybe(0.5) and net.setting.opset >= 13:
        n = shape[axis]
        zero = net.draw.integers(limits.min, limits.max, n, dtype) if net.maybe(0.3) else np.zeros(n, dtype)
        return net.node("DequantizeLinear", codes, net.scales([n]), zero, axis=axis)
    zero = np.array(net.choose.choice([0, 0, 3, limits.max]), dtype)
    return net.node("DequantizeLinear", codes, net.scales(), zero)


def _quantized(net: Network, shape: tuple[int, ...], axis: int) -> Operand:
    """Floats that the file quantizes and dequantizes."""
    scale, zero = net.scales(), np.int8(0)
    codes = net.node("QuantizeLinear", net.constant(net.floats(shape)), scale, zero)
    return net.node("DequantizeLinear", codes, scale, zero)


def _small_integers(net: Network, shape: tuple[int, ...], axis: int) -> Operand:
    """4-bit initializers (opset 21)."""
    if net.maybe(0.5):
        codes = net.draw.integers(-8, 8, shape).astype(ml_dtypes.int4)
    else:
        codes = net.draw.integers(0, 16, shape).astype(ml_dtypes.uint4)
    n = shape[axis]
    return net.node("DequantizeLinear", codes, net.scales([n]), like=(F, shape), axis=axis)


def _blocks(net: Network, shape: tuple[int, ...], axis: int) -> Operand:
    """A scale for each block along the axis that is summed over (opset 21)."""
    along_axis = 1 - axis if len(shape) == 2 else 1
    extent = shape[along_axis]
    block = net.choose.choice([b for b in (1, 2, 3, 4, 8, 16) if b <= extent])
    scales = net.scales([-(-n // block) if i == along_axis else n for i, n in enumerate(shape)])
    codes = net.draw.integers(-128, 128, shape).astype(np.int8)
    return net.node("DequantizeLinear", codes, scales, axis=along_axis, block_size=block, like=(F, shape))


def _quant(net: Network, shape: tuple[int, ...], axis: int) -> Operand:
    """QONNX Quant of 1 to 8 bits."""
    bits = F(net.choose.choice([1, 2, 3, 4, 8]))
    scale = along(net.scales([shape[axis]]), len(shape), axis) if net.maybe(0.6) else net.scales()
    attrs: dict[str, Any] = {"signed": 1, "narrow": int(net.maybe(0.6)), "rounding_mode": "ROUND"}
    latent = net.constant(net.floats(shape))
    return net.node("Quant", latent, scale, F(0), bits, domain=QONNX, like=(F, shape), **attrs)


def _bipolar(net: Network, shape: tuple[int, ...], axis: int) -> Operand:
    """QONNX BipolarQuant."""
    scale = along(net.scales([shape[axis]]), len(shape), axis) if net.maybe(0.5) else net.scales()
    return net.node("BipolarQuant", net.constant(net.floats(shape)), scale, domain=QONNX, like=(F, shape))


PRODUCTS = (conv, conv, conv, dense, dense, conv_transpose, matrix_product)
