"""Depthwise products of integers: few channels are computed by rows, and the graph and the generated C give the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from codegen.build import build, generated, lowered
from runtime.harness import ARM, why_not

from bitc.codegen import TARGETS
from bitc.ir import Builder, DType, Graph, TensorType, evaluate
from bitc.ir.integer_packing import INTEGER_FORMS

CASES = [
    # channels, (rows, columns) of the image, taps, strides, dilations
    (2, (5, 7), (3, 3), (1, 1), (1, 1)),
    (3, (5, 11), (3, 2), (2, 1), (1, 2)),
    (5, (4, 9), (1, 5), (1, 1), (1, 1)),
    (8, (9, 12), (3, 3), (1, 1), (1, 1)),
    (8, (9, 12), (3, 3), (2, 2), (1, 1)),
    (8, (3, 1), (3, 1), (1, 1), (1, 1)),
    (15, (4, 6), (3, 3), (1, 1), (2, 1)),
    (20, (4, 6), (3, 3), (1, 1), (1, 1)),
    (40, (4, 6), (3, 3), (1, 1), (1, 1)),
]


def depthwise(
    storage: DType,
    channels: int,
    size: tuple[int, int],
    taps: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
) -> Graph:
    """A padded depthwise product of stored integers over two images."""
    rng, b = np.random.default_rng(5), Builder()
    x = b.input("x", TensorType((2, channels, *size), storage))
    w = b.constant(rng.integers(-128, 128, (channels, 1, *taps)).astype(np.int8))
    base = b.constant(rng.integers(-999, 1000, channels).astype(np.int32))
    pads = (taps[0] // 2, taps[1] // 2) * 2
    geometry = {"strides": strides, "pads": pads, "dilations": dilations, "group": channels, "pad_value": 3}
    return Graph("net", [x], b.ops, [b.add("q.int_conv", x, w, base, highest=255, **geometry)])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("storage", [DType.U8, DType.I16])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_generated_library_gives_the_same_bits(target: str, storage: DType, case: tuple, tmp_path: Path) -> None:
    graph = depthwise(storage, *case)
    x = np.random.default_rng(1).integers(0, 256, graph.inputs[0].shape).astype(storage.numpy)
    expected = evaluate(graph, [x])[0]
    k = lowered(graph, TARGETS[target])
    (product,) = (op for op in k.ops if op.name == "k.idepthwise")
    channels, block = case[0], INTEGER_FORMS[TARGETS[target].isa].depthwise_block
    columns = graph.outputs[0].shape[3]
    assert product.attrs["by_row"] == (channels < block <= columns * channels and case[3][1] == 1)
    np.testing.assert_array_equal(evaluate(k, [x])[0], expected)
    if TARGETS[target].isa in ARM:
        return  # whole networks run on such machines in tests/machines, their kernels in tests/runtime
    if (reason := why_not(TARGETS[target].isa)) is not None:
        pytest.skip(reason)
    library = build(generated(k, TARGETS[target], guard_bytes=64), TARGETS[target], tmp_path)
    np.testing.assert_array_equal(library.run([x])[0], expected)
