"""The figures of ``bitc/passes/costs.py`` for a target, measured on this machine in generated libraries, layer by layer.

    python benchmarks/measure_costs.py [--target avx2] [--repeats 5] [--core 0]

Rates are those of the kernels inside small networks, rows of results in cache. A product of planes takes ``ops / bits + results ·
t``, fitted over windows of few and many terms; ``sum_ns`` is t and what each further operand adds to the map that sums. Each layer
counts with the least of several medians: other work on the machine only adds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitc.artifact import write_artifact
from bitc.codegen import generate
from bitc.codegen.targets import TARGETS, Target
from bitc.ir import BIPOLAR, TERNARY, Builder, DType, Graph, Levels, TensorType
from bitc.passes import to_kernels
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.costs import COSTS, Costs
from bitc.passes.integers import StoreIntegers
from bitc.passes.padding import ExactPadding
from bitc.passes.pipeline import run_passes
from bitc.passes.split_planes import SplitPlanes
from bitc.passes.thresholds import Thresholds
from bitc.profile import time_layers

SIXTEEN = Levels(0, 1, 16)
FIFTEEN = Levels(-7, 1, 15)


@dataclass(frozen=True, slots=True)
class Product:
    """A convolution over a square image, as many channels out as in, and the levels of its operands."""

    size: int
    channels: int
    taps: int
    x: Levels = BIPOLAR
    w: Levels = TERNARY
    group: int = 1

    @property
    def results(self) -> int:
        """Elements of the result."""
        return self.size**2 * self.channels

    def graph(self) -> Graph:
        """Quantizer, product, a scale for each channel; codes as ``recognise-codes`` leaves them."""
        rng, b = np.random.default_rng(0), Builder()
        x = b.input("x", TensorType((1, self.channels, self.size, self.size)))
        low, high = (b.constant(np.asarray(end, np.float32)) for end in (self.x.lo, self.x.hi))
        codes = b.add("q.encode", b.add("nn.min", b.add("nn.max", b.add("nn.round", x), low), high), levels=self.x)
        shape = (self.channels, self.channels // self.group, self.taps, self.taps)
        w = b.add("q.encode", b.constant(rng.choice(self.w.values(), shape).astype(np.float32)), levels=self.w)
        pads = (self.taps // 2,) * 4
        sums = b.add("q.conv", codes, w, strides=(1, 1), pads=pads, dilations=(1, 1), group=self.group)
        scale = rng.normal(size=(1, self.channels, 1, 1)).astype(np.float32)
        return Graph("net", [x], b.ops, [b.add("nn.mul", b.add("nn.cast", sums, to=DType.F32), b.constant(scale))])


Layer = tuple[dict[str, Any], float]


def layers_of(product: Product, target: Target, form: str, repeats: int) -> list[Layer]:
    """The layers of the compiled product as the manifest has them, each with its nanoseconds."""
    kernels = to_kernels(
        bit_block=target.bits.block,
        byte_rows=target.bits.byte_rows,
        float_block=target.float_block,
        integers=target.isa,
    )
    planes = (SplitPlanes(target.isa, form), StoreIntegers(target.isa), Thresholds(), ExactPadding(), Canonicalise())
    graph = product.graph()
    made = generate(run_passes(graph, (*planes, *kernels)), name="net", target=target, options={}, profile=True)
    feed = {"x": np.random.default_rng(1).normal(0, 3, graph.inputs[0].shape).astype(np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "net"
        artifact = write_artifact(out, "net", dict(made.files), emit=("c", "so"), target_cflags=target.cflags)
        rounds = [time_layers(artifact, feed, 0.1).layers for _ in range(repeats)]
    return list(zip(made.manifest["layers"], np.min(rounds, axis=0) * 1e9, strict=True))


def total(layers: Sequence[Layer], kernel: str, place: int | None = None) -> float:
    """Nanoseconds of the layers whose kernel's name holds ``kernel``, or of the one at ``place`` among them."""
    found = [ns for layer, ns in layers if kernel in layer["kernel"]]
    return sum(found) if place is None else found[place]


def operations(layers: Sequence[Layer], kernel: str) -> int:
    """Twice the multiply-accumulates of the layers of a kernel."""
    return sum(2 * layer["macs"] for layer, _ in layers if kernel in layer["kernel"])


def rate(layers: Sequence[Layer], kernel: str) -> float:
    """Operations a nanosecond."""
    return operations(layers, kernel) / total(layers, kernel)


def measured(target: Target, repeats: int) -> Costs:
    """The figures of ``target`` on this machine; blocks are as they are in the table."""

    def run(product: Product, form: str) -> list[Layer]:
        return layers_of(product, target, form, repeats)

    shapes = [Product(28, 64, 3), Product(14, 128, 3), Product(28, 128, 1), Product(14, 256, 1)]
    planes = [run(shape, "planes") for shape in shapes]
    equations = [(operations(made, "bconv"), 2 * shape.results) for shape, made in zip(shapes, planes, strict=True)]
    times = np.array([total(made, "bconv") for made in planes])
    per_operation, per_result = _positive_fit(np.array(equations, float), times)

    integers = [Product(s.size, s.channels, s.taps, SIXTEEN, FIFTEEN) for s in shapes[:3]]
    wide = [Product(s.size, s.channels, 1, Levels(-255, 1, 511), FIFTEEN) for s in shapes]  # 3x3 may be Winograd's
    bytes_ = [Product(s.size, s.channels, 1, Levels(0, 1, 256), Levels(-63, 1, 127)) for s in shapes[:3]]
    many = run(integers[0], "planes")
    pixels = integers[0].results
    operands = sum("bconv" in layer["kernel"] for layer, _ in many)
    one = run(integers[0], "integers")
    addition = (total(many, "map", -1) - total(one, "map", -1)) / (operands - 1) / pixels
    grouped = Product(28, 128, 3, group=2)
    known = COSTS[target.isa]
    pairs = [run(Product(s.size, s.channels, s.taps, Levels(0, 1, 4), Levels(-3, 2, 4)), "pairs") for s in shapes]
    return Costs(
        bits=1 / per_operation,
        grouped_bits=rate(run(grouped, "planes"), "bconv"),
        pairs=float(np.median([rate(made, "pairs_acc") for made in pairs])) if known.pairs else 0,
        u8=float(np.median([rate(run(product, "integers"), "iconv") for product in integers])),
        i16=float(np.median([rate(run(product, "integers"), "iconv") for product in wide])),
        placed=float(np.median([rate(run(product, "integers"), "placed") for product in bytes_]))
        if known.placed
        else 0,
        depthwise=rate(run(Product(28, 128, 3, SIXTEEN, FIFTEEN, 128), "integers"), "idepthwise"),
        block=known.block,
        tile=known.tile,
        grouped_block=known.grouped_block,
        integer_block=known.integer_block,
        sum_ns=per_result + addition,
        pack_ns=total(planes[0], "pack_f32") / shapes[0].results,
        plane_ns=total(many, "pack_bit") / pixels / SIXTEEN.bits,
        byte_ns=total(many, "map", 0) / pixels,
    )


def _positive_fit(equations: np.ndarray, times: np.ndarray) -> tuple[float, float]:
    """Least squares of relative errors for two unknowns, neither below 0."""
    from scipy.optimize import nnls

    (first, second), _ = nnls(equations / times[:, np.newaxis], np.ones(len(times)))
    return float(first), float(second)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="avx2", choices=list(TARGETS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--core", type=int, default=0)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})
    found = measured(TARGETS[arguments.target], arguments.repeats)
    fields = {name: getattr(found, name) for name in Costs.__dataclass_fields__}
    print(
        f'"{arguments.target}": Costs('
        + ", ".join(
            f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in fields.items()
        )
        + "),"
    )


if __name__ == "__main__":
    main()
