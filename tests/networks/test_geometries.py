"""Binarized convolutions of many geometries through the whole compiler, bit for bit onnxruntime's: many branches in one library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from bitc.codegen.targets import target as target_named
from bitc.compiler import Options, passes_for
from bitc.passes.pipeline import pipeline_text
from bitc.passes.split_planes import SplitPlanes
from tests.networks.building import TARGETS
from tests.networks.onnx_net import Net, build_quickly, product_forms, same, truth

CHANNELS = (1, 31, 32, 33, 63, 64, 65, 127, 128, 129)
FILTERS = (1, 7, 8, 9, 15, 16, 17)
KERNELS = tuple(product((1, 2, 3), repeat=2))
ENDS = ("numbers", "bits", "both", "pool")
BRANCHES = 40
"""In one library."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """A convolution of codes. ``pads`` are top, left, bottom, right; ``pad_value`` is what they hold: 0 in the convolution itself,
    else in a Pad before it. ``end`` says who reads the sums: the caller, a next layer through a binarization, or both, and
    whether a max-pool comes between."""

    channels: int
    filters: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    group: int = 1
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: int = 0
    ternary: bool = False
    image: tuple[int, int] = (4, 3)
    end: str = "both"

    def out_size(self) -> tuple[int, ...]:
        """Pixels of the result by axis; below 1 where the window does not fit."""
        return tuple(
            (n + self.pads[i] + self.pads[i + 2] - self.dilations[i] * (self.kernel[i] - 1) - 1) // self.strides[i] + 1
            for i, n in enumerate(self.image)
        )


def varied(
    choose: np.random.Generator, channels: int, filters: int, kernel: tuple[int, int], **fixed: object
) -> Geometry:
    """A geometry whose other fields are random; the window fits into the padded image, not always into the image."""

    def pair(most: int) -> tuple[int, int]:
        return int(choose.integers(1, most + 1)), int(choose.integers(1, most + 1))

    while True:
        fields = {"strides": pair(2), "dilations": pair(2), "image": pair(5)}
        fields["pads"] = tuple(choose.integers(0, 3, 4).tolist()) if choose.random() < 0.7 else (0, 0, 0, 0)
        fields["pad_value"] = int(choose.choice([0, 0, 1, -1]))
        fields["ternary"] = bool(choose.random() < 0.3)
        fields["end"] = str(choose.choice(ENDS))
        made = Geometry(channels, filters, kernel, **{**fields, **fixed})  # type: ignore[arg-type]
        if min(made.out_size()) >= 1:
            return made


def channels_and_filters() -> Iterator[Geometry]:
    """Every number of channels with every number of filters: ends of words, of vectors and of blocks of filters."""
    choose = np.random.default_rng(1)
    for index, (channels, filters) in enumerate(product(CHANNELS, FILTERS)):
        yield varied(choose, channels, filters, KERNELS[index % len(KERNELS)])


def windows() -> Iterator[Geometry]:
    """Every kernel with every stride and dilation up to 2, and each kind of end."""
    choose = np.random.default_rng(2)
    steps = product(KERNELS, product((1, 2), repeat=2), product((1, 2), repeat=2))
    for index, (kernel, strides, dilations) in enumerate(steps):
        channels = int(choose.choice((3, 33, 64)))
        yield varied(choose, channels, 9, kernel, strides=strides, dilations=dilations, end=ENDS[index % len(ENDS)])


def groups() -> Iterator[Geometry]:
    """Grouped and depthwise convolutions, groups that begin inside a word among them."""
    choose = np.random.default_rng(3)
    sizes = [(c, c * m, c) for c, m in product((2, 8, 9, 33, 64, 65), (1, 2))]
    sizes += [(2 * c, 2 * k, 2) for c, k in product((1, 31, 32, 33, 64, 65), (1, 8, 9))]
    sizes += [(3 * c, 3 * k, 3) for c, k in ((5, 3), (21, 8), (64, 5))]
    for index, (channels, filters, group) in enumerate(sizes):
        yield varied(choose, channels, filters, KERNELS[(4 * index) % len(KERNELS)], group=group)


ALL = {"channels": list(channels_and_filters()), "windows": list(windows()), "groups": list(groups())}


def cases() -> list[tuple[str, str, int]]:
    """(target, family, first geometry) of each library; where the target is emulated, a sample of the geometries."""
    found = []
    for target, (family, geometries) in product(TARGETS, ALL.items()):
        firsts = range(0, len(geometries), BRANCHES) if target != "avx512" else (0,)
        found += [(target, family, first) for first in firsts]
    return found


def signs(choose: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Random ±1."""
    return choose.choice([-1, 1], shape).astype(np.float32)


def add_branch(net: Net, geometry: Geometry, index: int, choose: np.random.Generator) -> np.ndarray:
    """The geometry between an input of its own and one or two outputs; gives the input's array."""
    shape = (1, geometry.channels, *geometry.image)
    x = net.input(f"x{index}", shape)
    code = net.node("Sign", x)
    if not geometry.ternary:
        code = net.node("Where", net.node("GreaterOrEqual", x, np.float32(0)), np.float32(1), np.float32(-1))
    pads = geometry.pads
    if geometry.pad_value:
        code = net.node("Pad", code, np.array([0, 0, *pads[:2], 0, 0, *pads[2:]]), np.float32(geometry.pad_value))
        pads = (0, 0, 0, 0)
    weights = signs(choose, (geometry.filters, geometry.channels // geometry.group, *geometry.kernel))
    sums = net.node(
        "Conv", code, weights, pads=pads, strides=geometry.strides, dilations=geometry.dilations, group=geometry.group
    )
    if geometry.end in ("numbers", "both"):
        net.output(sums)
    if geometry.end != "numbers":
        pooled = net.node("MaxPool", sums, kernel_shape=[2, 2], pads=[1, 0, 0, 1]) if geometry.end == "pool" else sums
        net.output(add_next_layer(net, pooled, geometry.filters, choose))
    return choose.choice([-1.0, 0.0, 1.0, 0.25], shape).astype(np.float32)


def add_next_layer(net: Net, sums: str, channels: int, choose: np.random.Generator) -> str:
    """A scale and a shift of either sign a channel, a binarization and a padded convolution that reads the bits.

    The first channel takes both values, or the compiler could prove that there is nothing to binarize.
    """
    slope = choose.choice([-2, -0.5, 0.5, 1], (1, channels, 1, 1)).astype(np.float32)
    shift = (choose.integers(-3, 3, (1, channels, 1, 1)) + 0.25).astype(np.float32)
    shift[:, 0] = 0.25
    code = net.node("Sign", net.node("Add", net.node("Mul", sums, slope), shift))
    return net.node("Conv", code, signs(choose, (3, channels, 2, 2)), pads=[1, 0, 0, 1])


def all_as_bits(target: str) -> str:
    """The default pipeline, except that costs do not decide: few channels a group run as bits too."""
    passes = passes_for(target_named(target), Options())
    return pipeline_text(replace(p, form="planes") if isinstance(p, SplitPlanes) else p for p in passes)


@pytest.mark.parametrize(("target", "family", "first"), cases())
def test_bits_are_onnxruntimes(target: str, family: str, first: int, tmp_path: Path) -> None:
    net, choose = Net(), np.random.default_rng(first)
    geometries = ALL[family][first : first + BRANCHES]
    feeds, owners = {}, []
    for index, geometry in enumerate(geometries):
        feeds[f"x{index}"] = add_branch(net, geometry, index, choose)
        owners += [geometry] * (2 if geometry.end == "both" else 1)
    model = net.save(tmp_path / "geometries.onnx")
    wanted = truth(model, feeds)
    session = build_quickly(model, target, tmp_path, pipeline=all_as_bits(target))
    forms = set(product_forms(session))
    assert {"1x1 bit", "2 planes x 1 bit"} >= forms >= {"1x1 bit"}
    wrong = [g for g, a, b in zip(owners, session.run(None, feeds), wanted, strict=True) if not same(a, b)]
    assert not wrong
