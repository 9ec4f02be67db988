"""The networks that bitc is measured on, as ONNX files: honest structure, random weights, the same every time.

    python -m benchmarks.networks FOLDER [NAME...]

The names are those of ``CASES``; a case of a peer's table can have several forms of one network (``case``, ``kind``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks import layers, transformers
from benchmarks.graphs import F32, Graph, quantized


@dataclass(frozen=True, slots=True)
class Case:
    """``make`` writes the network; with the arguments ``small`` a little one of the same structure. ``case``: its name in tables of
    peers, ``kind`` what bits meet what bits."""

    case: str
    kind: str
    make: Callable[..., onnx.ModelProto]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)

    def model(self, small: bool = False) -> onnx.ModelProto:
        """The network."""
        return self.make(**{**self.arguments, **(self.small if small else {})})


def sign(g: Graph, x: str) -> str:
    """±1 (0 at 0) as ONNX says it."""
    return g.node("Sign", x)


def step(g: Graph, x: str) -> str:
    """±1, as exports of ``torch.where(x >= 0, 1, -1)`` have it."""
    positive = g.node("GreaterOrEqual", x, np.asarray(0, F32))
    return g.node("Where", positive, np.asarray(1, F32), np.asarray(-1, F32))


BINARIZERS: dict[str, Callable[[Graph, str], str]] = {"sign": sign, "where": step}


def birealnet18(
    size: int = 224,
    width: int = 64,
    classes: int = 1000,
    blocks: int = 4,
    binarizer: str = "sign",
    small_images: bool = False,
) -> onnx.ModelProto:
    """Bi-Real Net with 18 layers (Liu et al. 2018): a float shortcut around each 3x3 convolution of bits, float stem and 1x1 shortcuts.

    For ``small_images`` the stem is a 3x3 convolution that keeps the size, as ResNets for CIFAR-10 have it.
    """
    g, binarize = Graph("birealnet18", (1, 3, size, size)), BINARIZERS[binarizer]
    if small_images:
        x = g.norm(g.conv("x", g.normal(width, 3, 3, 3)), width)
    else:
        x = g.max_pool(g.norm(g.conv("x", g.normal(width, 3, 7, 7), stride=2), width), 3, 2, 1)
    channels = width
    for stage in range(4):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            out, shortcut = width << stage, x
            if stride == 2:
                shortcut = g.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
                shortcut = g.norm(g.conv(shortcut, g.normal(out, channels, 1, 1)), out)
            y = g.norm(g.conv(binarize(g, x), g.signs(out, channels, 3, 3), stride=stride), out)
            x, channels = g.node("Add", y, shortcut), out
    return g.model(g.head(x, channels, classes))


def quicknet(size: int = 224, width: int = 64, classes: int = 1000, blocks: int = 4) -> onnx.ModelProto:
    """After QuickNet (Bannink et al. 2021): a small float stem, residual 3x3 layers of bits padded with +1, blurred max-pools between."""
    g = Graph("quicknet", (1, 3, size, size))
    x = g.node("Relu", g.norm(g.conv("x", g.normal(width // 4, 3, 3, 3), stride=2), width // 4))
    x = g.norm(g.depthwise(x, width // 4, stride=2), width // 4)
    x, channels = g.norm(g.conv(x, g.normal(width, width // 4, 1, 1)), width), width
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    blur = np.outer([1, 2, 1], [1, 2, 1]) / 16
    for stage in range(4):
        out = width << stage
        if stage:
            x = g.node("Relu", g.max_pool(x, 3, 1, 1))
            weights = np.broadcast_to(blur, (channels, 1, 3, 3))
            x = g.node("Conv", x, weights, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, group=channels)
            x, channels = g.norm(g.conv(x, g.normal(out, channels, 1, 1)), out), out
        for _ in range(blocks):
            padded = g.node("Pad", step(g, x), pads, np.asarray(1, F32))
            y = g.conv(padded, g.signs(out, out, 3, 3, scaled=False), pad=0)
            x = g.node("Add", g.norm(g.node("Relu", y), out, 9 * out), x)
    return g.model(g.head(g.node("Relu", x), channels, classes))


def vgg_small(size: int = 32, width: int = 128, dense: int = 1024, binarizer: str = "sign") -> onnx.ModelProto:
    """The network for CIFAR-10 of BinaryNet (Courbariaux et al. 2016), its first layer in float, all others in bits."""
    g, binarize = Graph("vgg_small", (1, 3, size, size)), BINARIZERS[binarizer]
    x, channels = g.norm(g.conv("x", g.normal(width, 3, 3, 3)), width), width
    for number, out in enumerate((width, 2 * width, 2 * width, 4 * width, 4 * width)):
        x = g.conv(binarize(g, x), g.signs(out, channels, 3, 3, scaled=False))
        x = g.max_pool(x) if number % 2 == 0 else x
        x, channels = g.norm(x, out, 9 * channels), out
    x, terms = g.node("Flatten", binarize(g, x)), channels * (size // 8) ** 2
    for number, out in enumerate((dense, dense, 10)):
        x = x if number == 0 else binarize(g, x)
        x = g.node("MatMul", x, g.signs(out, terms, scaled=False).T)
        x, terms = g.norm(x, out, terms), out
    return g.model(x)


def resnet20(size: int = 32, width: int = 16, blocks: int = 3) -> onnx.ModelProto:
    """ResNet-20 for CIFAR-10 in bits as IR-Net has it (Qin et al. 2020): shortcuts by skipping pixels and adding empty channels."""
    g = Graph("resnet20", (1, 3, size, size))
    low, high = np.asarray(-1, F32), np.asarray(1, F32)
    x, channels = g.node("Clip", g.norm(g.conv("x", g.normal(width, 3, 3, 3)), width), low, high), width
    for stage in range(3):
        for block in range(blocks):
            stride, out, shortcut = (2 if stage and not block else 1), width << stage, x
            y = g.norm(g.conv(sign(g, x), g.signs(out, channels, 3, 3), stride=stride), out)
            y = g.node("Clip", y, low, high)
            y = g.norm(g.conv(sign(g, y), g.signs(out, out, 3, 3)), out)
            if stride == 2:
                begin, end, axes, steps = (np.array(v, np.int64) for v in ([0, 0], [1 << 30] * 2, [2, 3], [2, 2]))
                kept, half = g.node("Slice", x, begin, end, axes, steps), (out - channels) // 2
                shortcut = g.node("Pad", kept, np.array([0, half, 0, 0, 0, half, 0, 0], np.int64))
            x, channels = g.node("Clip", g.node("Add", y, shortcut), low, high), out
    return g.model(g.head(x, channels, 10))


def resnet18(size: int = 224, width: int = 64, classes: int = 1000) -> onnx.ModelProto:
    """ResNet-18 (He et al. 2016) in 8 bits, batch normalisation folded."""
    g = Graph("resnet18", (1, 3, size, size))
    x = g.node("Relu", g.conv("x", g.normal(width, 3, 7, 7), stride=2, bias=True))
    x, channels = g.max_pool(x, 3, 2, 1), width
    for stage in range(4):
        for block in range(2):
            stride, out, shortcut = (2 if stage and not block else 1), width << stage, x
            y = g.node("Relu", g.conv(x, g.normal(out, channels, 3, 3), stride=stride, bias=True))
            y = g.conv(y, g.normal(out, out, 3, 3), bias=True)
            if stride == 2:
                shortcut = g.conv(x, g.normal(out, channels, 1, 1), stride=2, bias=True)
            x, channels = g.node("Relu", g.node("Add", y, shortcut)), out
    return quantized(g.model(g.head(x, channels, classes)))


_INVERTED = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenetv2(size: int = 224, divide: int = 1, most: int = 4, classes: int = 1000) -> onnx.ModelProto:
    """MobileNetV2 (Sandler et al. 2018) in 8 bits, batch normalisation folded; ``most`` blocks of a kind, ``divide`` fewer channels."""
    g = Graph("mobilenetv2", (1, 3, size, size))
    relu6 = (np.asarray(0, F32), np.asarray(6, F32))
    channels = 32 // divide
    x = g.node("Clip", g.conv("x", g.normal(channels, 3, 3, 3), stride=2, bias=True), *relu6)
    for expand, wide, repeats, first in _INVERTED:
        for number in range(min(repeats, most)):
            stride, out, hidden, y = (first if number == 0 else 1), wide // divide, channels * expand, x
            if expand != 1:
                y = g.node("Clip", g.conv(y, g.normal(hidden, channels, 1, 1), bias=True), *relu6)
            y = g.node("Clip", g.depthwise(y, hidden, stride=stride, bias=True), *relu6)
            y = g.conv(y, g.normal(out, hidden, 1, 1), bias=True)
            x, channels = (g.node("Add", x, y) if stride == 1 and out == channels else y), out
    wide = 1280 // divide
    x = g.node("Clip", g.conv(x, g.normal(wide, channels, 1, 1), bias=True), *relu6)
    return quantized(g.model(g.head(x, wide, classes)))


_SMALL = {"size": 32, "width": 16, "classes": 10}
_SMALL_BERT = {"tokens": 8, "width": 32, "heads": 2, "hidden": 64}

CASES: dict[str, Case] = {
    "birealnet18": Case("net_birealnet18", "w1a1", birealnet18, {}, {**_SMALL, "blocks": 2}),
    "birealnet18_where": Case(
        "net_birealnet18", "w1a1-where", birealnet18, {"binarizer": "where"}, {**_SMALL, "blocks": 2}
    ),
    "birealnet18_cifar": Case(
        "net_birealnet18_cifar",
        "w1a1",
        birealnet18,
        {"size": 32, "classes": 10, "small_images": True},
        {"size": 16, "width": 16, "blocks": 2},
    ),
    "quicknet": Case("net_quicknet", "w1a1", quicknet, {}, {**_SMALL, "blocks": 1}),
    "vgg_small": Case("net_vgg_small", "w1a1", vgg_small, {}, {"size": 16, "width": 16, "dense": 40}),
    "vgg_small_where": Case(
        "net_vgg_small", "w1a1-where", vgg_small, {"binarizer": "where"}, {"size": 16, "width": 16, "dense": 40}
    ),
    "resnet20": Case("net_resnet20_cifar", "w1a1", resnet20, {}, {"size": 16, "width": 8, "blocks": 1}),
    "resnet18_int8": Case("net_resnet18", "int8", resnet18, {}, {**_SMALL, "width": 8}),
    "mobilenetv2_int8": Case(
        "net_mobilenetv2", "int8", mobilenetv2, {}, {"size": 32, "divide": 4, "most": 2, "classes": 10}
    ),
    "bert_w1a1": Case("net_bert_layer", "w1a1", transformers.bert_layer, {"linear": "w1a1"}, _SMALL_BERT),
    "bert_bits": Case(
        "net_bert_layer",
        "w1a1-attention",
        transformers.bert_layer,
        {"linear": "w1a1", "attention": "bits"},
        _SMALL_BERT,
    ),
    "bert_float": Case("net_bert_layer", "f32", transformers.bert_layer, {"linear": "f32"}, _SMALL_BERT),
    "bert_int8": Case("net_bert_layer", "int8", transformers.bert_layer_int8, {}, _SMALL_BERT),
    "bert_ternary": Case("net_bert_layer", "w2a8", transformers.bert_layer, {"linear": "w2a8"}, _SMALL_BERT),
    **{
        name: Case(name, "w1a1", layers.convolutions, {"shape": shape}, {"shape": shape.small})
        for name, shape in layers.CONVOLUTIONS.items()
    },
    **{
        f"{name}_b{batch}": Case(
            f"{name}_b{batch}",
            "w2a8",
            layers.product,
            {"inputs": k, "outputs": n, "batch": batch},
            {"inputs": 40, "outputs": 24},
        )
        for name, (k, n) in layers.PRODUCTS.items()
        for batch in layers.BATCHES
    },
}
"""By the name of the file."""


def write(name: str, folder: Path) -> Path:
    """The network as ``NAME.onnx`` in ``folder``, unless it lies there already."""
    path = folder / f"{name}.onnx"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(CASES[name].model(), path)
    return path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", choices=[*CASES, []], default=[*CASES])
    arguments = parser.parse_args()
    for name in arguments.names:
        print(write(name, arguments.folder))


if __name__ == "__main__":
    main()
