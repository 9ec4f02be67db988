"""Dense products of weights with few levels: where they are stored as codes, and the graph and the generated C give the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from codegen.build import build, generated, lowered
from codegen.crews import COUNTS, identical, pool_of, two_ways
from runtime.harness import COMPILERS, cpu_has, why_not

from bitc.codegen import TARGETS
from bitc.ir import Builder, DType, Graph, Op, TensorType, evaluate
from bitc.ir.integer_packing import INTEGER_FORMS
from bitc.passes.coded_costs import CODED_COSTS

WITH_CODES = [name for name, target in TARGETS.items() if INTEGER_FORMS[target.isa].code_lanes]
"""Targets that have kernels on codes."""

TERNARY, SIXTEEN, ODD = (-1, 0, 1), tuple(range(-8, 8)), (-3, -1, 1, 3)


def dense(
    pixels: int, depth: int, channels: int, levels: tuple[int, ...], *, storage: DType = DType.U8, highest: int = 255
) -> Graph:
    """``pixels`` rows of ``depth`` integers times a matrix of ``levels``."""
    rng, b = np.random.default_rng(3), Builder()
    x = b.input("x", TensorType((pixels, depth), storage))
    w = b.constant(rng.choice(np.array(levels, np.int8), (depth, channels)))
    base = b.constant(rng.integers(-999, 1000, channels).astype(np.int32))
    y = b.add("q.int_matmul", x, w, base, highest=highest)
    return Graph("net", [x], b.ops, [y])


def whole_image(
    side: int, in_c: int, channels: int, levels: tuple[int, ...], images: int, *, taps: int = 0, group: int = 1
) -> Graph:
    """A convolution as large as its image, a dense layer over its flattened values; or one of fewer ``taps``."""
    rng, b = np.random.default_rng(4), Builder()
    x = b.input("x", TensorType((images, in_c, side, side), DType.U8))
    w = b.constant(rng.choice(np.array(levels, np.int8), (channels, in_c // group, taps or side, taps or side)))
    base = b.constant(rng.integers(-999, 1000, channels).astype(np.int32))
    plain = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "group": group, "highest": 255}
    y = b.add("q.int_conv", x, w, base, **plain)
    return Graph("net", [x], b.ops, [y])


def kernel(graph: Graph) -> Op:
    """The product's kernel."""
    (found,) = (op for op in graph.ops if op.name.startswith(("k.icoded", "k.iconv")))
    return found


@pytest.fixture(autouse=True)
def _weights_come_from_afar(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a network of many layers, so that small ones do for these tests."""
    for isa, costs in CODED_COSTS.items():
        monkeypatch.setitem(CODED_COSTS, isa, replace(costs, near_bytes=0, read=costs.read / 10))


CASES = {
    "ternary": (2, "k.icoded", lambda: dense(1, 256, 129, TERNARY)),
    "odd levels, 4-bit activations": (2, "k.icoded", lambda: dense(1, 256, 256, ODD, highest=15)),
    "4 bits": (4, "k.icoded", lambda: dense(1, 260, 131, SIXTEEN)),
    "4 bits, many pixels": (4, "k.icoded_rows", lambda: dense(210, 128, 70, SIXTEEN)),
    "2 bits, many pixels": (2, "k.icoded_rows", lambda: dense(402, 128, 70, ODD)),
    "a few pixels": (2, "k.icoded", lambda: dense(3, 512, 128, TERNARY)),
    "an image": (2, "k.icoded", lambda: whole_image(8, 8, 128, TERNARY, 1)),
    "two images": (2, "k.icoded", lambda: whole_image(8, 8, 128, TERNARY, 2)),
}


@pytest.mark.parametrize("target", WITH_CODES)
@pytest.mark.parametrize("case", CASES)
def test_the_generated_library_gives_the_same_bits(case: str, target: str, tmp_path: Path) -> None:
    if (reason := why_not(target)) is not None:
        pytest.skip(reason)
    bits, form, make = CASES[case]
    graph = make()
    k = lowered(graph, TARGETS[target])
    op = kernel(k)
    assert (op.name, op.attrs["bits"]) == (form, bits)
    x = np.random.default_rng(1).integers(0, graph.ops[-1].attrs["highest"] + 1, graph.inputs[0].shape).astype(np.uint8)
    expected = evaluate(graph, [x])[0]
    np.testing.assert_array_equal(evaluate(k, [x])[0], expected)
    for compiler in COMPILERS if cpu_has(target) else COMPILERS[:1]:  # only gcc compiles the emulation
        library = build(generated(k, TARGETS[target], guard_bytes=64), TARGETS[target], tmp_path, compiler)
        np.testing.assert_array_equal(library.run([x])[0], expected)
    (layer,) = (entry for entry in library.made.manifest["layers"] if entry["macs"])
    assert layer["form"] == f"int8 x {bits} bit"
    assert layer["macs"] == x.size * op.attrs["channels"]


@pytest.mark.parametrize("target", WITH_CODES)
@pytest.mark.parametrize("case", CASES)
def test_threads_share_it(case: str, target: str, tmp_path: Path) -> None:
    if (reason := why_not(target)) is not None:
        pytest.skip(reason)
    graph = CASES[case][2]()
    plain, shared = two_ways(lowered(graph, TARGETS[target]), target, tmp_path)
    assert ("static void net_part" in shared.made.files["net.c"]) == (case != "two images")
    x = np.random.default_rng(1).integers(0, graph.ops[-1].attrs["highest"] + 1, graph.inputs[0].shape).astype(np.uint8)
    for threads in COUNTS:
        with pool_of(shared, threads) as crew:
            identical(shared.run([x], crew=crew), plain.run([x]))


OTHERS = {
    "seventeen levels": lambda: dense(1, 256, 256, (-9, *SIXTEEN)),
    "activations of 16 bits": lambda: dense(1, 256, 256, TERNARY, storage=DType.I16),
    "a run longer than the sums hold": lambda: dense(1, 65540, 64, TERNARY),
    "groups": lambda: whole_image(8, 64, 64, TERNARY, 1, group=2),
    "several rows": lambda: whole_image(8, 64, 64, TERNARY, 1, taps=1),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", OTHERS)
def test_other_products_keep_whole_bytes(case: str, target: str) -> None:
    assert kernel(lowered(OTHERS[case](), TARGETS[target])).name.startswith("k.iconv")


@pytest.mark.parametrize("target", sorted(TARGETS.keys() - WITH_CODES))
@pytest.mark.parametrize("case", CASES)
def test_targets_without_such_kernels_keep_whole_bytes(case: str, target: str) -> None:
    assert kernel(lowered(CASES[case][2](), TARGETS[target])).name.startswith("k.iconv")


def test_runs_that_are_no_whole_entries_keep_whole_bytes() -> None:
    graph = dense(1, 255, 256, TERNARY)
    assert kernel(lowered(graph, TARGETS["avx2"])).name == "k.iconv"
    assert kernel(lowered(graph, TARGETS["portable"])).name == "k.icoded"
