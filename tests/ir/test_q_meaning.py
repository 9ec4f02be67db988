"""Level ``q`` against plain loops written from the equations in the docstrings."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from bitc.ir import (
    BIPOLAR,
    TERNARY,
    Builder,
    CodeType,
    DType,
    Graph,
    InferenceError,
    Levels,
    TensorType,
    Value,
    evaluate,
    verify,
)

RNG = np.random.default_rng(3)


def run(b: Builder, inputs: list[Value], arrays: list[np.ndarray], *outputs: Value) -> list[np.ndarray]:
    graph = Graph("q", inputs, b.ops, outputs)
    verify(graph)
    return evaluate(graph, arrays)


@pytest.mark.parametrize("pad_level", [0, -1, 1])
@pytest.mark.parametrize("group", [1, 2])
def test_conv_of_codes(pad_level: int, group: int) -> None:
    b = Builder()
    x = b.input("x", CodeType((1, 4, 5, 4), TERNARY, 0.5))
    w = b.input("w", CodeType((2, 4 // group, 3, 2), BIPOLAR))
    attrs = {"strides": (2, 1), "pads": (1, 0, 1, 1), "dilations": (1, 2), "group": group}
    y = b.add("q.conv", x, w, pad_level=pad_level, **attrs)
    levels, weights = RNG.integers(-1, 2, x.shape), RNG.choice([-1, 1], w.shape)
    (found,) = run(b, [x, w], [levels, weights], y)

    padded = np.full((4, 7, 5), pad_level)
    padded[:, 1:6, 0:4] = levels[0]
    wanted = np.zeros((1, 2, 3, 3), np.int32)
    for m, i, j, c, u, v in product(range(2), range(3), range(3), range(4 // group), range(3), range(2)):
        channel = m // (2 // group) * (4 // group) + c
        wanted[0, m, i, j] += padded[channel, 2 * i + u, j + 2 * v] * weights[m, c, u, v]
    np.testing.assert_array_equal(found, wanted, strict=True)


def test_threshold_counts_edges_passed_in_each_direction() -> None:
    levels = Levels(-3, 2, 4)
    b = Builder()
    x = b.input("x", TensorType((2, 2, 3)))
    t = b.constant(np.asarray([[-1, 0, 2], [2, 0, -1]], np.float32))
    down = b.constant(np.asarray([False, True]))
    y = b.add("q.threshold", x, t, down, levels=levels, scale=0.25)
    values = np.asarray([[[-1, 1.5, 2], [-1, 1.5, 2]], [[-9, np.nan, 9], [-9, np.nan, 9]]], np.float32)
    (found,) = run(b, [x], [values], y)
    assert found.tolist() == [[[-1, 1, 3], [3, -1, -1]], [[-3, -3, 3], [3, -3, -3]]]
    assert y.type == CodeType((2, 2, 3), levels, 0.25)


def test_threshold_takes_one_row_for_all_channels_and_int32() -> None:
    b = Builder()
    x = b.input("x", TensorType((2, 3), DType.I32))
    t, down = b.constant(np.asarray([[5]], np.int32)), b.constant(np.asarray([False]))
    y = b.add("q.threshold", x, t, down, levels=BIPOLAR)
    (found,) = run(b, [x], [np.asarray([[4, 5, 6], [5, 4, -5]])], y)
    assert found.tolist() == [[-1, 1, 1], [1, -1, -1]]


def test_max_pool_of_codes_takes_the_minimum_where_told() -> None:
    b = Builder()
    x = b.input("x", CodeType((1, 2, 4, 4), TERNARY))
    minimum = b.constant(np.asarray([False, True]))
    attrs = {"kernel": (2, 2), "strides": (2, 2), "pads": (1, 1, 1, 1), "dilations": (1, 1)}
    y = b.add("q.max_pool", x, minimum, **attrs)
    levels = RNG.integers(-1, 2, x.shape)
    (found,) = run(b, [x], [levels], y)
    for c, best in ((0, max), (1, min)):
        for i, j in product(range(3), range(3)):
            rows, cols = range(max(0, 2 * i - 1), min(4, 2 * i + 1)), range(max(0, 2 * j - 1), min(4, 2 * j + 1))
            assert found[0, c, i, j] == best(levels[0, c, r, s] for r in rows for s in cols)


def test_border_adds_the_correction_of_each_class() -> None:
    b = Builder()
    acc = b.input("acc", TensorType((2, 3, 3, 4), DType.I32))
    corrections = RNG.integers(-9, 9, (6, 3)).astype(np.int32)
    table = b.constant(corrections)
    rows, cols = (0, 1, 0), (0, 1, 1, 2)
    y = b.add("q.border", acc, table, row_class=rows, col_class=cols)
    array = RNG.integers(-50, 50, acc.shape).astype(np.int32)
    (found,) = run(b, [acc], [array], y)
    for n, m, i, j in np.ndindex(*acc.shape):
        assert found[n, m, i, j] == array[n, m, i, j] + corrections[rows[i] * 3 + cols[j], m]


def test_border_refuses_another_dtype_and_too_few_rows() -> None:
    b = Builder()
    acc = b.input("acc", TensorType((1, 2, 2, 2), DType.I32))
    with pytest.raises(InferenceError, match="must have the dtype"):
        b.add("q.border", acc, b.constant(np.zeros((4, 2), np.float32)), row_class=(0, 1), col_class=(0, 1))
    with pytest.raises(InferenceError, match="4 classes"):
        b.add("q.border", acc, b.constant(np.zeros((3, 2), np.int32)), row_class=(0, 1), col_class=(0, 1))


def test_encode_and_decode_are_inverse_on_the_set() -> None:
    b = Builder()
    x = b.input("x", TensorType((4,)))
    codes = b.add("q.encode", x, levels=Levels(-3, 2, 4), scale=0.5)
    back = b.add("q.decode", codes)
    values = np.asarray([-1.5, -0.5, 0.5, 1.5], np.float32)
    levels, decoded = run(b, [x], [values], codes, back)
    assert levels.tolist() == [-3, -1, 1, 3]
    np.testing.assert_array_equal(decoded, values, strict=True)
    with pytest.raises(AssertionError, match="outside the proven set"):
        run(b, [x], [values + 0.5], codes)


def test_products_of_codes_and_of_numbers_with_codes() -> None:
    b = Builder()
    x, f = b.input("x", CodeType((2, 3, 4), TERNARY)), b.input("f", TensorType((2, 3, 4)))
    w = b.input("w", CodeType((4, 5), BIPOLAR))
    acc, y = b.add("q.matmul", x, w), b.add("q.weight_matmul", f, w)
    levels, weights = RNG.integers(-1, 2, x.shape), RNG.choice([-1, 1], w.shape)
    numbers = RNG.integers(-9, 9, f.shape).astype(np.float32)
    found_acc, found_y = run(b, [x, f, w], [levels, numbers, weights], acc, y)
    for n, i, j in np.ndindex(2, 3, 5):
        assert found_acc[n, i, j] == sum(levels[n, i, k] * weights[k, j] for k in range(4))
        assert found_y[n, i, j] == sum(numbers[n, i, k] * weights[k, j] for k in range(4))
    assert found_acc.dtype == np.int32


def test_map_is_its_body() -> None:
    inner = Builder()
    p, q = inner.input("p", TensorType((2, 3))), inner.input("q", TensorType((2, 3)))
    total = inner.add("nn.add", p, q)
    sign = inner.add("nn.greater", total, inner.constant(np.zeros((1,), np.float32)))
    body = Graph("body", [p, q], inner.ops, [sign, total])
    b = Builder()
    x, y = b.input("x", TensorType((2, 3))), b.input("y", TensorType((2, 3)))
    results = b.add_multi("q.map", x, y, body=body)
    arrays = [RNG.standard_normal((2, 3)).astype(np.float32) for _ in range(2)]
    found = run(b, [x, y], arrays, *results)
    np.testing.assert_array_equal(found[0], arrays[0] + arrays[1] > 0)
    np.testing.assert_array_equal(found[1], arrays[0] + arrays[1])


def test_map_refuses_what_is_not_elementwise() -> None:
    inner = Builder()
    p = inner.input("p", TensorType((2, 3)))
    body = Graph("body", [p], inner.ops, [inner.add("nn.softmax", p, axis=1)])
    b = Builder()
    with pytest.raises(InferenceError, match=r"not elementwise: \['nn.softmax'\]"):
        b.add("q.map", b.input("x", TensorType((2, 3))), body=body)
    with pytest.raises(InferenceError, match="do not fit the body"):
        b.add("q.map", b.input("y", TensorType((3, 2))), body=body)
