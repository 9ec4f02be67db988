"""PokeBNN (Zhang, Zhang, Lew 2022, arXiv:2112.00133) as an ONNX file, random weights: for what it costs, not for what it sees.

    python -m models.pokebnn -o pokebnn.onnx --width 1.0 --size 224

ResNet-50's plan, each convolution a *PokeConv*: 1 bit by 1 bit, a shortcut round it that repeats or averages channels, DPReLU, and
squeeze-and-excitation in 4 bits; stem and classifier in 8 bits by 8. Convolutions and dense layers cost 2.588e9 (0.75x), 4.223e9 (1.0x)
and 7.758e9 ACE (1.4x) at 224x224; `bitc report` counts them. The stem keeps its width at every width of the rest.

Where a shortcut's channels are no multiple of the other side's, whole copies are made and the first channels kept. All sums are
float32, where the published network has bfloat16.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx

from benchmarks.graphs import F32, Graph

_BOUND = 3.0
_BLOCKS = (3, 4, 6, 3)
_STEM = (32, 64)
_EXPANSION = 4
_SQUEEZE = 8


def pokebnn(
    width: float = 1.0, size: int = 224, blocks: tuple[int, ...] = _BLOCKS, classes: int = 1000
) -> onnx.ModelProto:
    """The network for images [1, 3, size, size]; ``width`` scales the channels of all binary layers."""
    g = Graph("pokebnn", (1, 3, size, size))
    x = _stem(g, size)
    channels = _STEM[1]
    for stage, count in enumerate(blocks):
        inner = int((64 << stage) * width)
        for number in range(count):
            x = _block(g, x, channels, inner, 2 if stage and not number else 1)
            channels = inner * _EXPANSION
    pooled = g.node("Flatten", g.node("GlobalAveragePool", x))
    return g.model(g.dense(_signed(g, pooled, 8, 2.0), _weights(g, classes, channels, bits=8)))


def _stem(g: Graph, size: int) -> str:
    """A 4x4 convolution of stride 4 and a grouped 3x3 one, both 8 bits by 8."""
    first, second = _STEM
    x = g.conv(_signed(g, "x", 8, 3.0), _weights(g, first, 3, 4, 4, bits=8), stride=4, pad=0)
    x = _unsigned(g, g.node("Relu", g.norm(x, first)), 8, 3.0)
    sizes = {"kernel_shape": [3, 3], "pads": [1] * 4, "group": first}
    return _dprelu(g, g.norm(g.node("Conv", x, _weights(g, second, 1, 3, 3, bits=8), **sizes), second), second)


def _block(g: Graph, x: str, channels: int, inner: int, stride: int) -> str:
    """A bottleneck of three PokeConvs; the last one's second shortcut is the block's input."""
    y = _poke(g, x, channels, inner, taps=1)
    y = _poke(g, y, inner, inner, taps=3, stride=stride)
    return _poke(g, y, inner, inner * _EXPANSION, taps=1, second=(x, channels, stride))


def _poke(
    g: Graph, x: str, channels: int, out: int, *, taps: int, stride: int = 1, second: tuple[str, int, int] | None = None
) -> str:
    signs = g.node("Mul", _half_shift(g, x), np.asarray(_BOUND, F32))
    pads = [stride == 1 and taps == 3] * 2 + [taps == 3] * 2  # SAME: an even image with stride 2 is padded behind only
    sizes = {"kernel_shape": [taps, taps], "strides": [stride] * 2, "pads": [int(pad) for pad in pads]}
    y = g.norm(g.node("Conv", signs, _signs(g, out, channels, taps, taps), **sizes), out, channels * taps**2)
    y = g.node("Add", y, _fitted(g, x, channels, out, stride, tiled=False))
    if second is not None:
        y = g.node("Add", y, _fitted(g, second[0], second[1], out, second[2], tiled=True))
    y = g.node("Mul", _dprelu(g, y, out), _excitation(g, x, channels, out))
    return g.norm(y, out)


def _half_shift(g: Graph, x: str) -> str:
    """floor(clip(x / bound)) + 0.5: ±0.5, zero counting as positive."""
    most = 1 - 2.0**-7
    scaled = g.node("Mul", x, np.asarray(1 / _BOUND, F32))
    clipped = g.node("Clip", scaled, np.asarray(-most, F32), np.asarray(most, F32))
    return g.node("Add", g.node("Floor", clipped), np.asarray(0.5, F32))


def _signed(g: Graph, x: str, bits: int, bound: float) -> str:
    """Integers of ``bits`` bits, symmetric, rounded half up, times their scale."""
    most = 2 ** (bits - 1) - 1
    scaled = g.node("Floor", g.node("Add", g.node("Mul", x, np.asarray(most / bound, F32)), np.asarray(0.5, F32)))
    clipped = g.node("Clip", scaled, np.asarray(-most, F32), np.asarray(most, F32))
    return g.node("Mul", clipped, np.asarray(bound / most, F32))


def _unsigned(g: Graph, x: str, bits: int, bound: float) -> str:
    """Integers 0 .. 2^bits - 1, rounded down, times their scale."""
    scaled = g.node("Floor", g.node("Mul", x, np.asarray(2**bits / bound, F32)))
    clipped = g.node("Clip", scaled, np.asarray(0, F32), np.asarray(2**bits - 1, F32))
    return g.node("Mul", clipped, np.asarray(bound / 2**bits, F32))


def _weights(g: Graph, *shape: int, bits: int) -> np.ndarray:
    """Symmetric integers times a scale for each output channel, its largest weight the largest integer."""
    most = 2 ** (bits - 1) - 1
    real = g.normal(*shape)
    scale = np.abs(real).reshape(shape[0], -1).max(axis=1).reshape(-1, *[1] * (len(shape) - 1)) / most
    return np.floor(real / scale + 0.5) * scale


def _signs(g: Graph, *shape: int) -> str:
    """±a for each output channel, as int8 signs and a scale: a quarter of the file."""
    signs = np.where(g.rng.integers(0, 2, shape, dtype=np.int8), np.int8(1), np.int8(-1))
    scale = g.rng.uniform(0.5, 1.5, (shape[0], 1, 1, 1)) / np.sqrt(np.prod(shape[1:]))
    return g.node("Mul", g.node("Cast", signs, to=onnx.TensorProto.FLOAT), scale)


def _dprelu(g: Graph, x: str, channels: int) -> str:
    """slope±·(x - a) - b for each channel, the slope by the sign of x - a."""

    def vector(low: float, high: float) -> np.ndarray:
        return g.rng.uniform(low, high, (1, channels, 1, 1)).astype(F32)

    moved = g.node("Sub", x, vector(-0.2, 0.2))
    up, down = (g.node("Mul", moved, vector(*slopes)) for slopes in ((0.8, 1.2), (0.1, 0.4)))
    bent = g.node("Where", g.node("GreaterOrEqual", moved, np.asarray(0, F32)), up, down)
    return g.node("Sub", bent, vector(-0.2, 0.2))


def _excitation(g: Graph, x: str, channels: int, out: int) -> str:
    """Squeeze and excitation, its two 1x1 convolutions 4 bits by 4: a factor 0..1 for each output channel."""
    pooled = _signed(g, g.node("GlobalAveragePool", x), 4, 2.0)
    inner = channels // _SQUEEZE
    hidden = g.node("Relu", g.conv(pooled, _weights(g, inner, channels, 1, 1, bits=4), bias=True))
    y = g.conv(_unsigned(g, hidden, 4, 2.0), _weights(g, out, inner, 1, 1, bits=4), bias=True)
    gate = g.node("Clip", g.node("Add", y, np.asarray(3, F32)), np.asarray(0, F32), np.asarray(6, F32))
    return g.node("Mul", gate, np.asarray(1 / 6, F32))


def _fitted(g: Graph, x: str, channels: int, out: int, stride: int, *, tiled: bool) -> str:
    """A shortcut in the shape of the result: a mean over 3x3 windows, neighbouring channels averaged, or copies or zeros appended."""
    if stride == 2:
        x = g.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])
    if channels > out and channels % out == 0:
        return _neighbours_mean(g, x, channels // out)
    if channels < out:
        copies = -(-out // channels)
        x = g.node("Concat", *[x] * copies, axis=1) if tiled else g.node("Pad", x, _behind(out - channels))
        channels = channels * copies if tiled else out
    if channels == out:
        return x
    begin, end, axes = (np.array([v], np.int64) for v in (0, out, 1))
    return g.node("Slice", x, begin, end, axes)


def _neighbours_mean(g: Graph, x: str, count: int) -> str:
    """The mean of each ``count`` channels that lie side by side."""
    axis, step, end = (np.array([v], np.int64) for v in (1, count, 1 << 30))
    first, *others = (g.node("Slice", x, np.array([k], np.int64), end, axis, step) for k in range(count))
    for other in others:
        first = g.node("Add", first, other)
    return g.node("Mul", first, np.asarray(1 / count, F32))


def _behind(channels: int) -> np.ndarray:
    return np.array([0, 0, 0, 0, 0, channels, 0, 0], np.int64)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("pokebnn.onnx"), metavar="FILE.onnx")
    parser.add_argument("--width", type=float, default=1.0, help="of the binary layers' channels")
    parser.add_argument("--size", type=int, default=224, help="of the image, a multiple of 32")
    args = parser.parse_args()
    onnx.save(pokebnn(args.width, args.size), args.output)
    print(args.output)


if __name__ == "__main__":
    main()
