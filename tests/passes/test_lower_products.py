"""Lowering of products of computed tensors and of lookups: which kernels, what is read in place, and the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from codegen.nets import Net, inputs_of, kernel_passes

from bitc.ir import DType, Graph, Value, evaluate
from bitc.passes.pipeline import run_passes


def lowered(n: Net, *outputs: Value) -> list[str]:
    """The k ops without constants and views, once they were found to compute what the graph says."""
    graph = n.graph(*outputs)
    k = run_passes(graph, kernel_passes())
    inputs = inputs_of(graph, 1)
    for a, b in zip(evaluate(k, inputs), evaluate(graph, inputs), strict=True):
        np.testing.assert_array_equal(a, b)
    return _names(k)


def _names(graph: Graph) -> list[str]:
    return [op.name[2:] for op in graph.ops if op.name not in ("nn.constant", "k.view")]


def test_heads_are_read_where_they_lie() -> None:
    """Attention: [1, T, heads, d] is transposed on both sides, and nothing is copied but the packed right side."""
    n = Net(0)
    q, k = (n.b.add("nn.reshape", n.input(1, 6, 12), shape=(1, 6, 3, 4)) for _ in range(2))
    scores = n.b.add(
        "nn.matmul", n.b.add("nn.transpose", q, perm=(0, 2, 1, 3)), n.b.add("nn.transpose", k, perm=(0, 2, 3, 1))
    )
    assert lowered(n, n.b.add("nn.mul", scores, n.const(2.0))) == ["pack_matrices", "gemm", "map"]


def test_stacks_of_constants_are_packed_beforehand() -> None:
    n = Net(0)
    assert lowered(n, n.b.add("nn.matmul", n.input(3, 5, 4), n.whole(3, 4, 6))) == ["gemm"]


def test_a_constant_may_stand_on_the_left() -> None:
    n = Net(0)
    assert lowered(n, n.b.add("nn.matmul", n.whole(5, 4), n.input(3, 4, 6))) == ["pack_matrices", "gemm"]


def test_few_rows_are_not_worth_packing() -> None:
    n = Net(0)
    assert lowered(n, n.b.add("nn.matmul", n.input(2, 1, 8), n.input(2, 8, 9))) == ["matmul"]


@pytest.mark.parametrize("dtype", [DType.I32, DType.I64, DType.U8])
def test_integers_are_multiplied_plainly(dtype: DType) -> None:
    n = Net(0)
    assert lowered(n, n.b.add("nn.matmul", n.input(5, 8, dtype=dtype), n.input(8, 9, dtype=dtype))) == ["matmul"]


def test_three_uneven_axes_of_a_stack_are_written_out() -> None:
    n = Net(0)
    product = n.b.add("nn.matmul", n.input(2, 1, 3, 1, 5, 4), n.input(1, 2, 1, 2, 4, 6))
    assert lowered(n, product) == ["strided", "strided", "pack_matrices", "gemm"]


@pytest.mark.parametrize(
    ("group", "channels", "kernels"),
    [(1, 6, {"pack_matrices", "fconv"}), (2, 6, {"pack_matrices", "fconv"}), (4, 4, {"fdepthwise"})],
)
def test_computed_weights(group: int, channels: int, kernels: set[str]) -> None:
    n = Net(0)
    geometry = {"strides": (1, 1), "dilations": (1, 1), "pads": (0,) * 4, "group": group}
    found = lowered(n, n.b.add("nn.conv", n.input(2, 4, 6, 5), n.input(channels, 4 // group, 3, 2), **geometry))
    assert set(found) - {"strided"} == kernels


def test_images_of_integers_are_convolved_plainly() -> None:
    n = Net(0)
    x, w = n.input(1, 3, 5, 5, dtype=DType.I32), n.input(2, 3, 3, 3, dtype=DType.I32)
    geometry = {"strides": (1, 1), "dilations": (1, 1), "pads": (1,) * 4, "group": 1}
    assert "plain_conv" in lowered(n, n.b.add("nn.conv", x, w, **geometry))


def test_what_no_image_kernel_touches_stays_row_major() -> None:
    n = Net(0)
    x = n.input(2, 3, 4, 5)
    y = n.b.add("nn.softmax", n.b.add("nn.add", n.b.add("nn.neg", x), n.whole(4, 1)), axis=-1)
    k = run_passes(n.graph(n.b.add("nn.reduce_max", y, axes=(2,), keepdims=True)), kernel_passes())
    assert _names(k) == ["map", "softmax", "reduce"]


def test_lookups_read_rows() -> None:
    n = Net(0)
    places = n.b.add("nn.argmax", n.input(4, 6), axis=1, keepdims=False)
    assert lowered(n, n.b.add("nn.take", n.input(2, 5, 3, 2), places, axis=1)) == ["argmax", "take"]
