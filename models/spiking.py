"""A spiking convolutional network for 32x32 images as an ONNX file: for what it costs at the firing rate of its data.

    python -m models.spiking -o spiking.onnx --images cifar10_test.npz --weights signs --steps 4

VGG's plan, direct coding: every time step convolves the same image, and all layers behind take spikes. Neurons are leaky
integrate-and-fire (``v + (x - v) / 2``, threshold 1, reset to 0), max pools are on spikes. The weights are random, ±a for each
output channel or normally distributed; each layer's normalisation has the mean and the deviation that its currents have on the images
(``x`` [N, 32, 32, 3] uint8 in an .npz), as training would leave them, so that neurons fire as in trained networks. Time is unrolled,
as exporters leave it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from benchmarks.graphs import F32, Graph

LAYERS = (64, 64, "pool", 128, 128, "pool", 256, 256, "pool")
CLASSES, SIDE, SAMPLES = 10, 32, 16


def images_of(path: Path, count: int = SAMPLES) -> np.ndarray:
    """The first images of an .npz, [N, 3, 32, 32], of mean 0 and deviation 1."""
    with np.load(path) as data:
        pixels = data["x"][:count].astype(F32)
    return np.ascontiguousarray(((pixels - pixels.mean()) / pixels.std()).transpose(0, 3, 1, 2))


@dataclass(slots=True)
class Built:
    """The network, and the firing rate of each layer of neurons over the images and time steps."""

    model: onnx.ModelProto
    rates: list[float] = field(default_factory=list)


def spiking(
    images: np.ndarray,
    steps: int = 4,
    weights: str = "signs",
    layers: Sequence[int | str] = LAYERS,
) -> Built:
    """The network for images like ``images`` [N, 3, H, W]; ``weights`` are signs or normal."""
    g = Graph("spiking", (1, *images.shape[1:]))
    rates, channels, size = list[float](), images.shape[1], images.shape[2]
    now = ["x"] * steps
    for layer in layers:
        if isinstance(layer, str):
            now, size = [g.max_pool(x) for x in now], size // 2
            continue
        stem = now[0] == "x"
        w = g.normal(layer, channels, 3, 3) if stem or weights == "normal" else g.signs(layer, channels, 3, 3)
        now, rate = _neurons(g, [g.conv(x, w) for x in now], images, layer)
        rates.append(rate)
        channels = layer
    flat = [g.node("Flatten", x) for x in now]
    w = g.normal(CLASSES, channels * size * size)
    total = g.dense(flat[0], w)
    for x in flat[1:]:
        total = g.node("Add", total, g.dense(x, w))
    return Built(g.model(g.node("Div", total, np.asarray(steps, F32))), rates)


def _neurons(g: Graph, currents: Sequence[str], images: np.ndarray, channels: int) -> tuple[list[str], float]:
    """The spikes of each step from its currents, normalised over ``images``; and how often neurons fire."""
    found = _tensors(g, currents, images)
    mean, var = found.mean(axis=(0, 1, 3, 4)), found.var(axis=(0, 1, 3, 4))
    spikes, v = list[str](), ""
    for current in currents:
        x = g.node("BatchNormalization", current, np.ones(channels), np.zeros(channels), mean, var)
        moved = g.node("Div", g.node("Sub", x, v) if v else x, np.asarray(2, F32))
        h = g.node("Add", v, moved) if v else moved
        fires = g.node("GreaterOrEqual", g.node("Sub", h, np.asarray(1, F32)), np.asarray(0, F32))
        spikes.append(g.node("Cast", fires, to=onnx.TensorProto.FLOAT))
        v = g.node("Mul", g.node("Sub", np.asarray(1, F32), spikes[-1]), h)
    return spikes, float(_tensors(g, spikes, images).mean())


def _tensors(g: Graph, names: Sequence[str], images: np.ndarray) -> np.ndarray:
    """What the graph so far computes in ``names``, [images, names, ...]."""
    model = g.model(names[0])
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.stack([np.concatenate(session.run(list(names), {"x": image[np.newaxis]})) for image in images])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("spiking.onnx"), metavar="FILE.onnx")
    parser.add_argument("--images", type=Path, required=True, metavar="FILE.npz", help="uint8 images x [N, 32, 32, 3]")
    parser.add_argument("--weights", choices=("signs", "normal"), default="signs")
    parser.add_argument("--steps", type=int, default=4)
    args = parser.parse_args()
    made = spiking(images_of(args.images), args.steps, args.weights)
    onnx.save(made.model, args.output)
    print(args.output, "firing rates", " ".join(f"{rate:.3f}" for rate in made.rates))


if __name__ == "__main__":
    main()
