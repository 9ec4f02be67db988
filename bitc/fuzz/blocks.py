"""Productions of several nodes, as trained networks have them: layers that stay in bits, in few levels, or in bytes between one another.

Single productions at random seldom follow each other so that the fast kernels are chosen; these do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bitc.fuzz.elementwise import BINARIZERS, batch_norm, prelu
from bitc.fuzz.moves import max_pool
from bitc.fuzz.network import Network, Tensor, Unfit
from bitc.fuzz.products import along, check_cost, kindred, taps

F = np.float32
_MANY = (8, 16, 17, 32, 33, 64, 65, 96)
"""Channels that fill words and vectors, and some that do not."""


def binary_layers(net: Network, x: Tensor) -> Tensor:
    """Binarize, multiply by ±1 weights, pool, normalise, and again: between two layers there are bits only."""
    quantizer = net.choose.choice(BINARIZERS)
    for _ in range(net.choose.randint(2, 3)):
        x = _product(net, quantizer(net, x), net.choose.choice([1, 1, 2]))
        if x.is_image and net.maybe(0.3):
            x = max_pool(net, x)
        x = batch_norm(net, x)
        if net.maybe(0.25):
            x = prelu(net, x)
    return quantizer(net, x)


def few_levels(net: Network, x: Tensor) -> Tensor:
    """Activations of 2 to 4 bits beside weights of 1 to 4, two layers long."""
    most = net.choose.choice([2, 3, 3, 3, 7, 15])
    step, weights = net.scales(), net.choose.choice([1, 2, 3, 3, 7])
    for _ in range(2):
        levels = net.node("Clip", net.node("Round", net.node("Div", x, step)), F(0), F(most))
        x = batch_norm(net, _product(net, net.node("Mul", levels, step), weights))
    return net.node("Clip", net.node("Round", x), F(0), F(most))


def _product(net: Network, x: Tensor, most: int) -> Tensor:
    """A convolution or a dense layer by whole weights of at most ``most``, without zeros where that is 1."""
    filters = net.choose.choice(_MANY)

    def whole(shape: tuple[int, ...]) -> np.ndarray:
        levels = [-1, 1] if most == 1 else list(range(-most, most + 1))
        values = kindred(net, shape, 0) if most == 1 and net.maybe(0.5) else net.draw.choice(levels, shape)
        scale = net.scales([shape[0]]) if net.maybe(0.3) else F(1)
        return np.asarray(values * along(np.broadcast_to(scale, shape[:1]), len(shape), 0), F)

    if not x.is_image:
        check_cost(x.shape[:-1], filters * x.shape[-1])
        return net.node("MatMul", x, np.ascontiguousarray(whole((filters, x.shape[-1])).T))
    window = taps(net, x.shape[2:])
    weights = whole((filters, x.channels, *window["kernel_shape"]))
    check_cost(x.shape, weights.size)
    return net.node("Conv", x, weights, **window)


def wide_levels(net: Network, x: Tensor) -> Tensor:
    """Activations of 3 bits beside signs, in rows so wide that sums of products of bits are taken."""
    if len(x.shape) != 2:
        raise Unfit
    wide, filters = net.choose.choice([256, 320]), net.choose.choice([128, 130])
    check_cost(x.shape, wide * max(x.shape[1], filters))
    y = net.node("MatMul", x, net.draw.choice([-1, 1], (x.shape[1], wide)).astype(F))
    levels = net.node("Clip", net.node("Round", y), F(net.choose.choice([0, -3])), F(net.choose.choice([4, 7])))
    return net.node("MatMul", levels, net.draw.choice([-1, 1], (wide, filters)).astype(F))


def deep_bytes(net: Network, x: Tensor) -> Tensor:
    """QDQ around a 3x3 convolution of many channels with large weights, on an image of whole tiles, as Winograd's algorithm likes it."""
    if not x.is_image or min(x.shape[2:]) < 4:
        raise Unfit
    channels, filters = 32, net.choose.choice([8, 16, 17])
    check_cost(x.shape, max(x.channels * channels, 9 * channels * filters))
    x = _stored(net, net.node("Conv", x, net.floats((channels, x.channels, 1, 1), 1)))
    codes = net.draw.integers(-127, 128, (filters, channels, 3, 3)).astype(np.int8)
    weights = net.node("DequantizeLinear", codes, net.scales() / F(256), np.int8(0))
    pads = net.choose.choice([[1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 1, 2]])
    return _stored(net, net.node("Conv", x, weights, kernel_shape=[3, 3], pads=pads))


def byte_layers(net: Network, x: Tensor) -> Tensor:
    """QDQ around convolutions of many channels with weights of 2 to 8 bits, a residual sum in between."""
    if not x.is_image:
        raise Unfit
    first = x = _stored(net, net.node("Relu", x))
    for _ in range(net.choose.randint(1, 3)):
        y = _byte_conv(net, x)
        y = _stored(net, net.node("Relu", y) if net.maybe(0.5) else y)
        if y.shape == first.shape and net.maybe(0.6):
            y = _stored(net, net.node("Add", y, first))
        x = y
    return x


def _stored(net: Network, x: Tensor) -> Tensor:
    """Quantized to bytes and back."""
    dtype = np.dtype(net.choose.choice([np.uint8, np.uint8, np.int8]))
    scale, zero = net.scales(), np.array(0 if net.maybe(0.7) else 5, dtype)
    codes = net.node("QuantizeLinear", x, scale, zero)
    return replace(net.node("DequantizeLinear", codes, scale, zero), scale=None, zero=None)


def _byte_conv(net: Network, x: Tensor) -> Tensor:
    """3x3 or 1x1, plain or depthwise; a bias in the scale of the sums."""
    size = min(3, *x.shape[2:]) if net.maybe(0.6) else 1
    pads = [size // 2] * 4 if net.maybe(0.8) else [0] * 4
    deep = net.maybe(0.25)
    filters = x.channels if deep or net.maybe(0.3) else net.choose.choice(_MANY)
    group = x.channels if deep else 1
    most = net.choose.choice([1, 7, 31, 64, 127])
    codes = net.draw.integers(-most, most + 1, (filters, x.channels // group, size, size)).astype(np.int8)
    check_cost(x.shape, codes.size)
    scales = net.scales([filters]) / F(64) if net.setting.opset >= 13 and net.maybe(0.5) else net.scales() / F(64)
    attrs: dict[str, Any] = {"axis": 0} if scales.ndim else {}
    weights = net.node("DequantizeLinear", codes, scales, np.zeros(scales.shape, np.int8), **attrs)
    bias = [net.floats([filters])] if net.maybe(0.4) else []
    strides = [net.choose.choice([1, 1, 1, 2])] * 2
    return net.node("Conv", x, weights, *bias, group=group, kernel_shape=[size, size], pads=pads, strides=strides)


BLOCKS = (binary_layers, binary_layers, few_levels, byte_layers, byte_layers, deep_bytes, wide_levels)
