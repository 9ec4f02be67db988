"""``flatten-volumes``: the same numbers, and no convolution or pool over more than two axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bitc.ir import Builder, DType, Graph, TensorType, evaluate
from bitc.passes.volumes import FlattenVolumes

RNG = np.random.default_rng(3)


def flattened(op_name: str, x: np.ndarray, w: np.ndarray | None = None, **attrs: Any) -> Graph:
    """A graph of one op after the pass, once it was found to compute what it did before."""
    b = Builder()
    image = b.input("x", TensorType(x.shape, DType.of(x.dtype)))
    operands = [image] if w is None else [image, b.constant(w)]
    graph = Graph("one", [image], b.ops, [b.add(op_name, *operands, **attrs)])
    after = FlattenVolumes().run(graph)
    np.testing.assert_array_equal(evaluate(after, [x])[0], evaluate(graph, [x])[0])
    assert all(
        len(op.operands[0].shape) <= 4 for op in after.ops if op.name in ("nn.conv", "nn.max_pool", "nn.avg_pool")
    )
    return after


def whole(*shape: int, dtype: type = np.float32) -> np.ndarray:
    """Small whole numbers: sums are exact in any order."""
    return RNG.integers(-8, 9, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize(
    ("strides", "dilations", "pads"),
    [
        ((1, 1, 1), (1, 1, 1), (0,) * 6),
        ((2, 1, 2), (1, 2, 1), (1, 0, 2, 0, 1, 1)),
        ((1, 2, 1), (2, 1, 1), (2, 1, 0, 0, 0, 1)),
    ],
)
def test_convolutions(dtype: type, group: int, strides: Any, dilations: Any, pads: Any) -> None:
    attrs = {"strides": strides, "dilations": dilations, "pads": pads, "group": group}
    graph = flattened("nn.conv", whole(2, 4, 6, 5, 5, dtype=dtype), whole(6, 4 // group, 3, 2, 3, dtype=dtype), **attrs)
    assert [op.name for op in graph.ops].count("nn.conv") == 1


def test_four_spatial_axes() -> None:
    ones = (1,) * 4
    flattened(
        "nn.conv",
        whole(1, 2, 3, 4, 3, 4),
        whole(3, 2, 2, 2, 2, 2),
        strides=ones,
        dilations=ones,
        pads=(0,) * 8,
        group=1,
    )


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("pads", [(0,) * 6, (1, 0, 1, 0, 1, 1)])
def test_maxima(ceil: bool, pads: Any) -> None:
    attrs = {"kernel": (2, 3, 2), "strides": (2, 2, 1), "dilations": (1, 1, 2), "pads": pads, "ceil": ceil}
    assert [op.name for op in flattened("nn.max_pool", whole(2, 3, 5, 6, 7), **attrs).ops].count("nn.max_pool") == 2


@pytest.mark.parametrize("count_pad", [False, True])
@pytest.mark.parametrize("ceil", [False, True])
def test_means(count_pad: bool, ceil: bool) -> None:
    """Windows of powers of two, unpadded, divide exactly; at the border any rounding of the two divisions would show."""
    attrs = {"kernel": (2, 4, 2), "strides": (2, 2, 2), "dilations": (1, 1, 1), "pads": (0,) * 6}
    flattened("nn.avg_pool", whole(1, 3, 4, 8, 6), count_pad=count_pad, ceil=ceil, **attrs)
    x = whole(1, 2, 5, 6, 7)
    padded = {**attrs, "kernel": (3, 3, 2), "pads": (1, 1, 0, 1, 0, 1), "count_pad": count_pad, "ceil": ceil}
    b = Builder()
    image = b.input("x", TensorType(x.shape))
    graph = Graph("one", [image], b.ops, [b.add("nn.avg_pool", image, **padded)])
    found, wanted = (evaluate(g, [x])[0] for g in (FlattenVolumes().run(graph), graph))
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
