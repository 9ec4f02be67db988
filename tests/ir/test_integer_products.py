"""Products of integers in the interpreter: exact and modulo 2^32, whichever way they are computed, and their intervals."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from bitc.ir import Builder, Graph, TensorType, Value, evaluate
from bitc.ir.intervals import evaluate_intervals
from bitc.ir.types import DType

RNG = np.random.default_rng(11)
SMALL, LARGE = (-128, 128), (-(2**31), 2**31)


def conv_graph(dtype: DType, x: tuple[int, ...], w: tuple[int, ...], group: int) -> Graph:
    b = Builder()
    operands = [b.input("x", TensorType(x, dtype)), b.input("w", TensorType(w, dtype))]
    y = b.add("nn.conv", *operands, strides=(2, 1), pads=(1, 0, 1, 1), dilations=(1, 2), group=group)
    return Graph("g", operands, b.ops, [y])


def conv_by_hand(x: np.ndarray, w: np.ndarray, group: int) -> np.ndarray:
    """Python integers, tap by tap."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 1))).astype(object)
    out, channels = w.shape[0], w.shape[1]
    height = (padded.shape[2] - w.shape[2]) // 2 + 1
    width = padded.shape[3] - 2 * (w.shape[3] - 1)
    y = np.zeros((x.shape[0], out, height, width), object)
    for m, c, i, j in product(range(out), range(channels), range(w.shape[2]), range(w.shape[3])):
        image = padded[:, m // (out // group) * channels + c]
        y[:, m] += int(w[m, c, i, j]) * image[:, i : i + 2 * height - 1 : 2, 2 * j : 2 * j + width]
    return y


def wrapped(y: np.ndarray) -> np.ndarray:
    """Modulo 2^32, as int32."""
    return np.asarray((y + 2**31) % 2**32 - 2**31).astype(np.int32)


@pytest.mark.parametrize("limits", [SMALL, LARGE], ids=["float64", "int64"])
@pytest.mark.parametrize("group", [1, 2])
def test_conv_is_exact_and_wraps(limits: tuple[int, int], group: int) -> None:
    x = RNG.integers(*limits, (2, 4, 7, 6)).astype(np.int32)
    w = RNG.integers(*limits, (6, 4 // group, 3, 2)).astype(np.int32)
    (found,) = evaluate(conv_graph(DType.I32, x.shape, w.shape, group), [x, w])
    np.testing.assert_array_equal(found, wrapped(conv_by_hand(x, w, group)), strict=True)


@pytest.mark.parametrize("limits", [SMALL, LARGE], ids=["float64", "int64"])
def test_matmul_is_exact_and_wraps(limits: tuple[int, int]) -> None:
    a, b = (RNG.integers(*limits, shape).astype(np.int32) for shape in ((3, 5, 33), (33, 4)))
    builder = Builder()
    operands = [builder.input(n, TensorType(v.shape, DType.I32)) for n, v in (("a", a), ("b", b))]
    graph = Graph("g", operands, builder.ops, [builder.add("nn.matmul", *operands)])
    (found,) = evaluate(graph, [a, b])
    np.testing.assert_array_equal(found, wrapped(a.astype(object) @ b.astype(object)), strict=True)


def test_a_sum_wraps_where_it_leaves_int32() -> None:
    ones = np.full((1, 3), 2**30, np.int32)
    builder = Builder()
    a = builder.input("a", TensorType((1, 3), DType.I32))
    y = builder.add("nn.matmul", a, builder.constant(np.ones((3, 1), np.int32)))
    (found,) = evaluate(Graph("g", [a], builder.ops, [y]), [ones])
    assert found.tolist() == [[3 * 2**30 - 2**32]]


def after_rounding(scale: float, factor: int = 1 << 20) -> tuple[Graph, Value]:
    """A product of integers that were rounded from a float32 sum: i32(round(sum of x)) times ``factor`` and times -3, added up."""
    b = Builder()
    x = b.input("x", TensorType((1, 4), DType.F32))
    mean = b.add("nn.matmul", x, b.constant(np.full((4, 2), scale, np.float32)))
    whole = b.add("nn.cast", b.add("nn.round", mean), to=DType.I32)
    y = b.add("nn.matmul", whole, b.constant(np.array([[factor], [-3]], np.int32)))
    return Graph("g", [x], b.ops, [y]), y


def test_the_interval_of_a_product_of_points_is_a_point() -> None:
    graph, y = after_rounding(1.0)
    found = evaluate_intervals(graph, [np.array([[1, 2, 3, 4]], np.float32)])[y]
    assert found.is_point
    assert found.lo.tolist() == [[10 * (1 << 20) - 30]]


def test_the_interval_of_a_product_holds_all_its_operands_allow() -> None:
    graph, y = after_rounding(0.1)
    found = evaluate_intervals(graph, [np.array([[7, 8, 9, 1]], np.float32)])[y]
    both = [[2 << 20, 3 << 20], [-6, -9]]
    assert found.lo.dtype == found.hi.dtype == np.int32
    for first, second in product(*both):
        assert found.holds(np.array([[first + second]], np.int32)).all()
    assert not found.holds(np.array([[1 << 20]], np.int32)).any()


def test_the_interval_of_a_product_that_may_wrap_is_everything() -> None:
    graph, y = after_rounding(0.1, 1 << 30)
    found = evaluate_intervals(graph, [np.array([[7, 8, 9, 1]], np.float32)])[y]
    limits = np.iinfo(np.int32)
    assert (found.lo.item(), found.hi.item()) == (limits.min, limits.max)
