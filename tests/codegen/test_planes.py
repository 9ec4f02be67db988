"""Networks of codes of several bits as sums of bit planes: the q graph in the interpreter and the generated C give the same bits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from codegen.build import build, generated, lowered
from runtime.harness import why_not

from bitc.codegen import TARGETS
from bitc.ir import BIPOLAR, TERNARY, Builder, DType, Graph, Levels, TensorType, Value, evaluate
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.flatten_ranks import FlattenRanks
from bitc.passes.integers import StoreIntegers
from bitc.passes.padding import ExactPadding
from bitc.passes.pipeline import run_passes
from bitc.passes.recognise import RecogniseCodes
from bitc.passes.split_planes import SplitPlanes
from bitc.passes.thresholds import Thresholds

ZERO_ONE = Levels(0, 1, 2)
FOUR = Levels(0, 1, 4)
SIXTEEN = Levels(0, 1, 16)
SIGNED = Levels(-8, 1, 16)
WEIGHTS_4 = Levels(-7, 1, 15)
WEIGHTS_2 = Levels(-2, 1, 4)
NETWORKS = {
    "W2A2": (FOUR, WEIGHTS_2),
    "W4A4": (SIXTEEN, WEIGHTS_4),
    "W4A4 signed": (SIGNED, Levels(-8, 1, 16)),
    "W1A4": (SIXTEEN, BIPOLAR),
    "{0,1} x ternary": (ZERO_ONE, TERNARY),
    "{0,1} x {0,1}": (ZERO_ONE, ZERO_ONE),
    "ternary x ternary": (TERNARY, TERNARY),
}


def quantized(b: Builder, x: Value, levels: Levels) -> Value:
    """``x`` rounded to one of the levels, as codes."""
    steps = b.add("nn.div", b.add("nn.sub", x, b.constant(np.float32(levels.lo))), b.constant(np.float32(levels.step)))
    index = b.add("nn.max", b.add("nn.round", steps), b.constant(np.float32(0)))
    clipped = b.add("nn.min", index, b.constant(np.float32(levels.count - 1)))
    scaled = b.add("nn.mul", clipped, b.constant(np.float32(levels.step)))
    return b.add("q.encode", b.add("nn.add", scaled, b.constant(np.float32(levels.lo))), levels=levels)


def weights(b: Builder, levels: Levels, shape: Sequence[int], rng: np.random.Generator) -> Value:
    drawn = rng.choice(levels.values(), tuple(shape)).astype(np.float32)
    return b.add("q.encode", b.constant(drawn), levels=levels)


def network(x_levels: Levels, w_levels: Levels) -> Graph:
    """Two padded convolutions, the second grouped, with normalisation and quantizers between, and a dense layer over rows."""
    rng, b = np.random.default_rng(11), Builder()
    x = b.input("x", TensorType((1, 6, 7, 5)))
    spread = x_levels.hi - x_levels.lo + 1
    y = x
    for channels, group, stride in ((6, 1, 1), (10, 1, 2), (70, 2, 1)):
        if y is not x:
            size = (1, y.shape[1], 1, 1)
            slope = rng.choice([-1.0, 1.0], size) * 2.0 ** -rng.integers(2, 6, size) * spread / 4
            y = b.add("nn.mul", y, b.constant(slope.astype(np.float32)))
            y = b.add("nn.add", y, b.constant(rng.integers(-2, 3, size).astype(np.float32)))
        codes = quantized(b, y, x_levels)
        w = weights(b, w_levels, (channels, codes.shape[1] // group, 3, 3), rng)
        geometry = {"strides": (stride, stride), "pads": (1, 1, 1, 1), "dilations": (1, 1), "group": group}
        y = b.add("nn.cast", b.add("q.conv", codes, w, **geometry), to=DType.F32)
    y = b.add("nn.mul", y, b.constant(np.float32(spread / 64)))
    rows = b.add("nn.reshape", b.add("nn.transpose", y, perm=(0, 2, 3, 1)), shape=(1, 12, 70))
    product = b.add("q.matmul", quantized(b, rows, x_levels), weights(b, w_levels, (70, 5), rng))
    return Graph("net", [x], b.ops, [b.add("nn.cast", product, to=DType.F32)])


def agree(graph: Graph, target_name: str, folder: Path, form: str = "planes", costs: str = "") -> list[str]:
    """Assert that the C of ``graph`` and its k graph give the interpreter's bits; the kernels it calls."""
    target = TARGETS[target_name]
    if (reason := why_not(target.isa)) is not None:
        pytest.skip(reason)
    steps = (
        SplitPlanes(costs or target.isa, form),
        StoreIntegers(),
        Thresholds(),
        FlattenRanks(),
        ExactPadding(),
        Canonicalise(),
    )
    k = lowered(run_passes(graph, steps), target)
    made = generated(k, target, guard_bytes=64)
    library = build(made, target, folder)
    for seed in range(3):
        shape = graph.inputs[0].shape
        x = np.random.default_rng(seed).normal(0, 6, shape).astype(np.float32)
        (wanted,) = evaluate(graph, [x])
        np.testing.assert_array_equal(evaluate(k, [x])[0], wanted)
        np.testing.assert_array_equal(library.run([x])[0], wanted)
    return [layer["kernel"] for layer in made.manifest["layers"]]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_networks_of_planes(name: str, target: str, tmp_path: Path) -> None:
    kernels = agree(network(*NETWORKS[name]), target, tmp_path)
    assert not any("iconv" in kernel for kernel in kernels)
    assert any("bconv_acc" in kernel for kernel in kernels)


@pytest.mark.parametrize("name", ["W2A2", "{0,1} x ternary", "ternary x ternary"])
@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_networks_of_pairs(name: str, target: str, tmp_path: Path) -> None:
    kernels = agree(network(*NETWORKS[name]), target, tmp_path, "pairs", costs="avx2")
    assert sum("pairs_acc" in kernel for kernel in kernels) == 3  # the grouped convolution is none


@pytest.mark.parametrize("name", ["W4A4 signed", "W2A2"])
def test_networks_of_planes_avx512(name: str, tmp_path: Path) -> None:
    agree(network(*NETWORKS[name]), "avx512", tmp_path)


def test_networks_of_few_levels_stay_in_bits() -> None:
    """Thresholds of int32 sums lie between the products, no number is quantized."""
    after = run_passes(network(*NETWORKS["ternary x ternary"]), (SplitPlanes(form="planes"), Thresholds()))
    between = [op for op in after.ops if op.name == "q.threshold"][1:3]
    assert [op.operands[0].type.dtype for op in between] == [DType.I32, DType.I32]
    pairs = list(pairwise(op.name for op in after.ops if op.name != "nn.constant"))
    assert pairs.count(("nn.add", "q.threshold")) == 2


@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_pairs_of_weights(target: str, tmp_path: Path) -> None:
    """Weights of two values with nothing in common, as ``recognise-codes`` takes them apart: ±1 and a sum of the activations."""
    rng, b = np.random.default_rng(2), Builder()
    x = b.input("x", TensorType((1, 20, 6, 6)))
    codes = quantized(b, x, SIXTEEN).producer
    assert codes is not None
    w = b.constant(rng.choice([np.float32(0.25), np.float32(-0.5)], (9, 20, 3, 3)))
    geometry = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1)}
    graph = Graph("net", [x], b.ops, [b.add("nn.conv", codes.operands[0], w, **geometry)])
    kernels = agree(RecogniseCodes().run(graph), target, tmp_path)
    assert sum("bconv_acc" in kernel for kernel in kernels) >= 4
