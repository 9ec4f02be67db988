"""Single layers: convolutions of bits as in residual networks, alone and in a chain, and products of ternary weights by 8-bit inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx

from benchmarks.graphs import F32, Graph


@dataclass(frozen=True, slots=True)
class Convolution:
    """``chain`` equal layers on a square image, each keeping its size; ``taps`` x ``taps`` windows."""

    size: int
    channels: int
    taps: int
    chain: int = 1

    @property
    def small(self) -> Convolution:
        """A little one of the same kind."""
        return replace(self, size=5, channels=self.channels // 4, chain=min(self.chain, 3))


CHAIN = 9
"""Layers of a chain; (its time - the time of one layer) / 8 is a layer's time with no entry or exit cost."""

_SHAPES = {
    "conv3x3_56x64": Convolution(56, 64, 3),
    "conv3x3_28x128": Convolution(28, 128, 3),
    "conv3x3_14x256": Convolution(14, 256, 3),
    "conv3x3_7x512": Convolution(7, 512, 3),
    "conv1x1_28x128": Convolution(28, 128, 1),
    "conv1x1_14x256": Convolution(14, 256, 1),
}
CONVOLUTIONS = _SHAPES | {f"{name}@chain{CHAIN}": replace(shape, chain=CHAIN) for name, shape in _SHAPES.items()}

PRODUCTS = {"gemm_k2560_n6912": (2560, 6912), "gemm_k3200_n8640": (3200, 8640), "gemm_k4096_n11008": (4096, 11008)}
"""Inputs and outputs of dense layers in language models."""

BATCHES = (1, 128)


def convolutions(shape: Convolution) -> onnx.ModelProto:
    """Float image in, float image out; each layer binarizes what batch normalisation leaves of the one before."""
    g = Graph("layer", (1, shape.channels, shape.size, shape.size))
    x, terms = "x", shape.channels * shape.taps**2
    for number in range(shape.chain):
        x = g.norm(x, shape.channels, terms) if number else x
        positive = g.node("GreaterOrEqual", x, np.asarray(0, F32))
        bits = g.node("Where", positive, np.asarray(1, F32), np.asarray(-1, F32))
        x = g.conv(bits, g.signs(shape.channels, shape.channels, shape.taps, shape.taps, scaled=False))
    return g.model(x)


def product(inputs: int, outputs: int, batch: int) -> onnx.ModelProto:
    """[batch, inputs] floats, quantized to i8, by weights {-1, 0, 1} with one scale."""
    g = Graph("product", (batch, inputs))
    return g.model(ternary_by_int8(g, "x", inputs, outputs))


def ternary_by_int8(g: Graph, x: str, inputs: int, outputs: int) -> str:
    """The product [..., inputs] x [inputs, outputs] in QDQ form."""
    scale, zero = np.asarray(1 / 32, F32), np.asarray(0, np.int8)
    codes = g.node("QuantizeLinear", x, scale, zero)
    weights = g.rng.integers(-1, 2, (inputs, outputs)).astype(np.int8)
    size = np.asarray(1 / np.sqrt(inputs), F32)
    w = g.node("DequantizeLinear", weights, size, zero)
    return g.node("MatMul", g.node("DequantizeLinear", codes, scale, zero), w)
