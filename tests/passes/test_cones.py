"""Cones: roots found, directions multiplied, and a cone evaluated channel by channel."""

from __future__ import annotations

import numpy as np
import pytest

from bitc.ir import Builder, DType, TensorType, Value
from bitc.passes.cones import (
    channel_vector,
    clone_cone,
    cone,
    evaluate_cone,
    integer_root,
    monotone_root,
    pools_between,
)

F32 = np.float32
POOL = {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0), "dilations": (1, 1)}


@pytest.fixture
def b() -> Builder:
    return Builder()


@pytest.fixture
def x(b: Builder) -> Value:
    return b.input("x", TensorType((1, 2, 4, 4)))


def _channels(b: Builder, *numbers: float) -> Value:
    return b.constant(np.asarray(numbers, F32).reshape(1, -1, 1, 1))


def _always(_: Value) -> bool:
    return True


def test_a_cone_lists_operands_first_and_each_op_once(b: Builder, x: Value) -> None:
    scaled = b.add("nn.mul", x, _channels(b, 1, 2))
    total = b.add("nn.add", b.add("nn.relu", scaled), b.add("nn.neg", scaled))
    assert [op.name for op in cone(total)] == ["nn.mul", "nn.neg", "nn.relu", "nn.add"]
    assert [op.name for op in cone(total, lambda v: v is scaled)] == ["nn.neg", "nn.relu", "nn.add"]
    assert cone(x) == []


def test_a_deep_diamond_is_walked_in_linear_time(b: Builder, x: Value) -> None:
    value = x
    for _ in range(200):
        value = b.add("nn.add", b.add("nn.relu", value), b.add("nn.relu", value))
    assert len(cone(value)) == 600
    found = monotone_root(value)
    assert found is not None
    assert found[0] is x


def test_the_root_is_the_one_leaf(b: Builder, x: Value) -> None:
    two_paths = b.add("nn.add", b.add("nn.sign", x), b.add("nn.mul", x, _channels(b, 1, 2)))
    assert integer_root(two_paths, _always) is x
    assert integer_root(two_paths, lambda _: False) is None
    other = b.input("y", TensorType((1, 2, 4, 4)))
    assert integer_root(b.add("nn.add", two_paths, other), _always) is None


def test_the_root_lies_above_pools_in_a_row_but_not_above_pools_side_by_side(b: Builder, x: Value) -> None:
    once = b.add("nn.max_pool", b.add("nn.relu", x), **POOL)
    twice = b.add("nn.neg", b.add("nn.max_pool", b.add("nn.neg", once), **POOL))
    assert integer_root(twice, _always) is x
    assert pools_between(twice, x)
    assert not pools_between(b.add("nn.relu", x), x)
    other = b.add("nn.max_pool", b.add("nn.neg", x), **POOL)
    assert integer_root(b.add("nn.add", once, other), _always) is None


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((), [0]),
        ((3,), None),
        ((1,), [0]),
        ((2, 1, 1), [0, 1]),
        ((1, 2, 1, 1), [0, 1]),
        ((1, 2, 4, 1), None),
        ((2, 1, 1, 1), None),
    ],
)
def test_channel_vector(shape: tuple[int, ...], wanted: list[int] | None) -> None:
    found = channel_vector(np.arange(np.prod(shape, dtype=int)).reshape(shape), 4)
    assert (None if found is None else found.tolist()) == wanted


def test_channel_vector_of_more_axes_than_the_tensor() -> None:
    assert channel_vector(np.zeros((1, 1, 2)), 2) is None


def test_evaluation_uses_the_graph_s_own_precision(b: Builder, x: Value) -> None:
    y = b.add("nn.add", b.add("nn.mul", x, _channels(b, 0.1, 3)), b.constant(F32(1e8)))
    table = evaluate_cone(y, x, np.asarray([1, 2, 3], F32))
    assert table is not None
    assert table.dtype == np.float32
    assert (table == F32(1e8) + np.outer([1, 2, 3], [0.1, 3]).astype(F32)).all()


def test_no_table_where_a_constant_varies_inside_a_channel(b: Builder, x: Value) -> None:
    y = b.add("nn.add", x, b.constant(np.zeros((4, 4), F32)))
    assert evaluate_cone(y, x, np.zeros(1, F32)) is None


def test_no_table_of_a_value_with_a_second_root(b: Builder, x: Value) -> None:
    assert evaluate_cone(b.add("nn.add", x, b.input("y", TensorType((1, 2, 4, 4)))), x, np.zeros(1, F32)) is None


def _directions(value: Value, root: Value) -> list[float] | None:
    found = monotone_root(value)
    if found is None or found[0] is not root:
        return None
    return found[1].tolist()


def test_directions_multiply_along_a_chain(b: Builder, x: Value) -> None:
    y = b.add("nn.sub", _channels(b, 5, 5), b.add("nn.mul", x, _channels(b, -2, 3)))
    assert _directions(b.add("nn.sign", y), x) == [1.0, -1.0]
    assert _directions(b.add("nn.mul", x, _channels(b, 0, -1)), x) == [0.0, -1.0]


def test_directions_join_over_two_paths_that_agree(b: Builder, x: Value) -> None:
    rising, falling = b.add("nn.relu", x), b.add("nn.neg", x)
    assert _directions(b.add("nn.add", rising, x), x) == [1.0]
    assert _directions(b.add("nn.sub", falling, rising), x) == [-1.0]
    assert _directions(b.add("nn.add", rising, falling), x) is None


def test_an_op_without_a_direction_is_where_the_search_ends(b: Builder, x: Value) -> None:
    magnitude = b.add("nn.abs", x)
    assert _directions(b.add("nn.sign", b.add("nn.sub", magnitude, _channels(b, 1, 2))), magnitude) == [1.0]
    prelu = b.add("nn.prelu", x, _channels(b, 0.5, -0.5))
    assert _directions(b.add("nn.relu", prelu), prelu) == [1.0]


def test_a_choice_between_values_of_the_root_has_no_direction(b: Builder, x: Value) -> None:
    positive = b.add("nn.greater", x, b.constant(F32(0)))
    y = b.add("nn.where", positive, b.add("nn.neg", x), b.constant(F32(0)))
    found = monotone_root(y)
    assert found is None or found[0] is not x


def test_a_choice_between_constants_has_one_by_channel(b: Builder, x: Value) -> None:
    positive = b.add("nn.greater", x, b.constant(F32(0)))
    assert _directions(b.add("nn.where", positive, _channels(b, 1, -1), _channels(b, -1, 1)), x) == [1.0, -1.0]


def test_a_root_is_float32_or_int32(b: Builder) -> None:
    wide = b.input("x", TensorType((1, 2), DType.F64))
    assert monotone_root(b.add("nn.cast", wide, to=DType.F32)) is None
    acc = b.input("acc", TensorType((1, 2), DType.I32))
    assert _directions(b.add("nn.cast", acc, to=DType.F32), acc) == [1.0]


def test_a_clone_is_the_same_function_of_another_value(b: Builder, x: Value) -> None:
    y = b.add("nn.sign", b.add("nn.mul", x, _channels(b, -1, 2)))
    wide = b.input("wide", TensorType((1, 2, 8, 8)))
    copy = clone_cone(y, x, wide, b)
    assert copy.shape == (1, 2, 8, 8)
    samples = np.asarray([-2, 0, 3], F32)
    old, new = evaluate_cone(y, x, samples), evaluate_cone(copy, wide, samples)
    assert old is not None
    assert np.array_equal(old, new)  # type: ignore[arg-type]


def _sums(b: Builder) -> tuple[Value, Value]:
    return tuple(b.input(name, TensorType((1, 2, 4, 4), DType.I32)) for name in "pq")  # type: ignore[return-value]


def test_a_sum_of_integers_is_a_root(b: Builder) -> None:
    p, q = _sums(b)
    total = b.add("nn.add", p, b.add("nn.mul", q, b.constant(np.int32(3))))
    halved = b.add("nn.div", total, b.constant(np.int32(2)))
    value = b.add("nn.sign", b.add("nn.mul", b.add("nn.cast", halved, to=DType.F32), _channels(b, 0.5, -2.0)))
    assert integer_root(value, lambda v: v is total) is total
    assert integer_root(value, lambda v: v in (p, q)) is None
    directions = monotone_root(value)
    assert directions is not None
    assert directions[0] is total
    assert directions[1].tolist() == [1.0, -1.0]


def test_a_sum_read_past_its_join_is_no_root(b: Builder) -> None:
    p, q = _sums(b)
    total = b.add("nn.add", p, q)
    assert integer_root(b.add("nn.sub", b.add("nn.relu", total), q), _always) is not total


def test_a_sum_of_floats_is_no_root(b: Builder) -> None:
    p, q = (b.add("nn.cast", v, to=DType.F32) for v in _sums(b))
    assert integer_root(b.add("nn.sign", b.add("nn.add", p, q)), _always) is None
