"""Interval evaluation: sound for every order of summation, a point where nothing rounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitc.ir import Builder, Graph, TensorType, Value, evaluate
from bitc.ir.interval import Interval
from bitc.ir.intervals import _even, _of_two, _product, _softmax, evaluate_intervals

CONV = {"strides": (1, 1), "pads": (1, 0, 0, 1), "dilations": (1, 1), "group": 1}


def graph(shape: tuple[int, ...], build: Callable[[Builder, Value], Value]) -> Graph:
    b = Builder()
    x = b.input("x", TensorType(shape))
    return Graph("g", [x], b.ops, [build(b, x)])


def interval(g: Graph, x: np.ndarray) -> Interval:
    return evaluate_intervals(g, [x])[g.outputs[0]]


def dot_in_order(terms: np.ndarray, order: np.ndarray) -> np.float32:
    total = np.float32(0)
    for term in terms[order]:
        total = np.float32(total + term)
    return total


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_float_dot_product_lies_inside_in_every_order(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((1, n)) * 10.0 ** rng.integers(-6, 6, (1, n))).astype(np.float32)
    w = rng.standard_normal((n, 1)).astype(np.float32)
    found = interval(graph((1, n), lambda b, v: b.add("nn.matmul", v, b.constant(w))), x)
    terms = x[0] * w[:, 0]
    for _ in range(10):
        assert found.holds(np.array([[dot_in_order(terms, rng.permutation(n))]])).all()


def test_a_wrong_product_lies_outside() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((1, 64)).astype(np.float32), rng.standard_normal((64, 8)).astype(np.float32)
    found = interval(graph((1, 64), lambda b, v: b.add("nn.matmul", v, b.constant(w))), x)
    right = x @ w
    assert found.holds(right).all()
    assert not found.holds(right * np.float32(1.0001)).any()
    assert not found.holds(np.full_like(right, np.nan)).any()


def test_integer_operands_give_a_point() -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(-128, 128, (1, 3, 7, 7)).astype(np.float32)
    w = np.where(rng.random((5, 3, 3, 3)) < 0.5, -0.25, 0.25).astype(np.float32)
    g = graph(x.shape, lambda b, v: b.add("nn.conv", v, b.constant(w), **CONV))
    found = interval(g, x)
    assert found.is_point
    assert found.holds(g.ops[-1].decl.evaluate(x, w, **CONV)).all()


def test_sums_beyond_the_mantissa_are_not_called_exact() -> None:
    x = np.array([[2.0**24, 1, 1]], np.float32)
    found = interval(graph((1, 3), lambda b, v: b.add("nn.matmul", v, b.constant(np.ones((3, 1), np.float32)))), x)
    assert not found.is_point


def test_a_sign_is_unsure_only_where_the_sum_may_be_zero() -> None:
    w = np.array([[1.0, 1.0], [0.1, 0.1], [-1.1, 0.7]], np.float32)
    g = graph((1, 3), lambda b, v: b.add("nn.sign", b.add("nn.matmul", v, b.constant(w))))
    found = interval(g, np.ones((1, 3), np.float32))
    assert (found.lo[0, 0], found.hi[0, 0]) == (-1, 1)
    assert (found.lo[0, 1], found.hi[0, 1]) == (1, 1)


@pytest.mark.parametrize(
    ("name", "constant"),
    [
        ("abs", None),
        ("neg", None),
        ("relu", None),
        ("round", None),
        ("mul", -1.5),
        ("div", -3.0),
        ("sub", 0.3),
        ("max", 0.1),
        ("fmod", 1e-6),
        *((name, None) for name in ("sin", "cos", "tan", "atan", "sinh", "cosh", "asinh")),
    ],
)
def test_elementwise_ops_enclose_every_value_between_the_ends(name: str, constant: float | None) -> None:
    rng = np.random.default_rng(3)
    w = rng.standard_normal((16, 16)).astype(np.float32)

    def build(b: Builder, v: Value) -> Value:
        product = b.add("nn.matmul", v, b.constant(w))
        return b.add(f"nn.{name}", product, *([] if constant is None else [b.constant(np.float32(constant))]))

    g = graph((1, 16), build)
    x = rng.standard_normal((1, 16)).astype(np.float32)
    known = evaluate_intervals(g, [x])
    product, result = g.ops[-1].operands[0], g.outputs[0]
    if constant is not None:
        others = [np.asarray(np.float32(constant))]
    else:
        others = []
    for share in np.linspace(0, 1, 11):
        inner = known[product].lo + np.float32(share) * (known[product].hi - known[product].lo)
        assert known[result].holds(np.asarray(g.ops[-1].decl.evaluate(inner.astype(np.float32), *others))).all()


@pytest.mark.parametrize("name", ["sin", "cos", "tan", "cosh"])
def test_functions_that_turn_enclose_what_lies_between_wide_ends(name: str) -> None:
    """Two large terms that cancel leave nothing but their rounding, which is larger than a period."""
    b = Builder()
    x = b.input("x", TensorType((1, 2)))
    y = b.add(f"nn.{name}", b.add("nn.matmul", x, b.constant(np.full((2, 1), 0.3, np.float32))))
    known = evaluate_intervals(Graph("g", [x], b.ops, [y]), [np.array([[1e8, -1e8]], np.float32)])
    total = known[b.ops[-1].operands[0]]
    assert (total.hi - total.lo > 7).all()
    inside = np.linspace(total.lo.item(), total.hi.item(), 1001, dtype=np.float32)[:, np.newaxis]
    assert known[y].holds(np.asarray(b.ops[-1].decl.evaluate(inside))).all()


def test_argmax_of_overlapping_scores_may_be_any() -> None:
    w = np.array([[1.0, 1.0, 0.0]], np.float32)
    third = np.array([[0.1, 0.1, 0.0], [0.2, 0.2, 0.0], [0.7, 0.7, 0.1]], np.float32)
    one = np.ones((1, 1), np.float32)
    tie = interval(graph((1, 1), lambda b, v: b.add("nn.argmax", b.add("nn.matmul", v, b.constant(w)), axis=1)), one)
    assert (int(tie.lo[0, 0]), int(tie.hi[0, 0])) == (0, 0)  # an exact tie takes the first index, surely
    unsure = interval(
        graph((1, 3), lambda b, v: b.add("nn.argmax", b.add("nn.matmul", v, b.constant(third)), axis=1)),
        np.ones((1, 3), np.float32),
    )
    assert (int(unsure.lo[0, 0]), int(unsure.hi[0, 0])) == (0, 2)


def test_softmax_of_masked_rows_is_not_widened_by_the_mask() -> None:
    """-1e9 has a spacing of 64 and -inf none at all: what is masked is 0, the rest keeps its bounds, and a NaN is one."""
    g = graph((4, 3), lambda b, v: b.add("nn.softmax", v, axis=1))
    rows = np.array([[1, 2, -1e9], [1, 2, -np.inf], [0, 0, 0], [np.nan, 0, 0]], np.float32)
    spread = np.array([0.25, 0.25, 64], np.float32)
    found = evaluate_intervals(g, [rows])[g.outputs[0]]
    exact = np.exp(rows.astype(np.float64) - 2)
    exact /= exact.sum(1, keepdims=True)
    assert (found.lo[:3] <= exact[:3]).all()
    assert (found.hi[:3] >= exact[:3]).all()
    assert (found.hi[:3] - found.lo[:3] < 1e-5).all()
    assert np.isnan(found.lo[3]).all()
    wide = _softmax(g.ops[-1], Interval(rows[:1] - spread, rows[:1] + spread))
    assert (wide.lo >= 0).all()
    assert (wide.hi[0, :2] < [0.45, 0.85]).all()
    assert (wide.lo[0, :2] > [0.15, 0.6]).all()
    assert wide.hi[0, 2] < 1e-30
    endless = _softmax(g.ops[-1], Interval(np.array([[0, 0, 0]], np.float32), np.array([[np.inf, 0, 0]], np.float32)))
    assert (endless.lo == 0).all()
    assert (endless.hi == 1).all()


def test_logarithms_of_a_softmax_far_below_the_largest() -> None:
    """The probability is 0 in any format, its logarithm is not."""
    g = graph((1, 3), lambda b, v: b.add("nn.softmax", v, axis=1, log=True))
    found = interval(g, np.array([[-26909.25, 26909.25, 0]], np.float32))
    assert (found.lo <= [[-53818.5, 0, -26909.25]]).all()
    assert (found.hi >= [[-53818.5, 0, -26909.25]]).all()
    assert (found.hi - found.lo < 1e-6 * 53818.5).all()
    masked = interval(g, np.array([[1, 1, -np.inf]], np.float32))
    assert masked.lo[0, 2] == -np.inf
    assert (np.abs(masked.lo[0, :2] + np.log(2)) < 1e-5).all()


def test_softmax_encloses_onnxruntimes() -> None:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    x = np.random.default_rng(4).standard_normal((4, 10)).astype(np.float32) * 8
    node = helper.make_node("Softmax", ["x"], ["y"], axis=1)
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4, 10]) for n in "xy"]
    model = helper.make_model(
        helper.make_graph([node], "g", info[:1], info[1:]), opset_imports=[helper.make_opsetid("", 13)], ir_version=9
    )
    onnx.checker.check_model(model)
    (truth,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    found = interval(graph((4, 10), lambda b, v: b.add("nn.softmax", v, axis=1)), x)
    assert found.holds(truth).all()
    assert not found.holds(truth * np.float32(1.001)).all()


@pytest.mark.parametrize("squared", ["mul", "pow"])
def test_normalised_numbers_that_may_be_anything_are_numbers(squared: str) -> None:
    """What depends on a code that may flip has a variance of at least 0, however wide the interval of each number is."""

    def build(b: Builder, v: Value) -> Value:
        wide = b.add("nn.mul", b.add("nn.sign", b.add("nn.matmul", v, b.constant(w))), b.constant(np.float32(40)))
        mean = b.add("nn.reduce_mean", wide, axes=(1,))
        off = b.add("nn.sub", wide, mean)
        two = b.constant(np.asarray(2, np.float32))
        square = b.add("nn.mul", off, off) if squared == "mul" else b.add("nn.pow", off, two)
        variance = b.add("nn.reduce_mean", square, axes=(1,))
        size = b.add("nn.sqrt", b.add("nn.add", variance, b.constant(np.asarray(1e-5, np.float32))))
        return b.add("nn.div", off, size)

    w = np.random.default_rng(3).standard_normal((8, 8)).astype(np.float32)
    w -= w.mean(axis=0)  # sums that are 0 up to rounding: either sign
    x = np.ones((1, 8), np.float32)
    g = graph((1, 8), build)
    found = interval(g, x)
    assert not np.isnan(found.lo).any()
    assert (found.lo < found.hi).all()
    assert found.holds(np.asarray(evaluate(g, {"x": x})[0])).all()


@given(st.floats(-4, 4, width=32), st.floats(0, 3, width=32), st.floats(0, 1, width=32))
def test_squares_of_an_interval_hold_those_of_all_its_numbers(lo: float, width: float, place: float) -> None:
    """Between ends of both signs the least square is 0, which neither end gives."""
    ends = np.float32([[lo, lo + width]])
    g = graph((1, 2), lambda b, v: b.add("nn.mul", v, v))
    op = g.ops[-1]
    found = _even(op, [Interval(ends[:, :1], ends[:, 1:])] * 2)
    inner = np.clip(np.float32(lo + width * place), ends[:, 0], ends[:, 1])
    assert found.holds(inner * inner).all()


def test_zero_times_what_may_be_anything_is_zero() -> None:
    """An end that lies at infinity is none of the interval's numbers; a number that is infinite itself is."""
    inf = np.float32(np.inf)
    op = graph((1, 4), lambda b, v: b.add("nn.mul", v, b.add("nn.abs", v))).ops[-1]
    wide = Interval(np.float32([[-2, -inf, 3, inf]]), np.float32([[inf, inf, inf, inf]]))
    found = _of_two(op, [wide, Interval(np.zeros((1, 4), np.float32), np.float32([[1, 0, 1, 1]]))])
    np.testing.assert_array_equal(found.lo, np.float32([[-2, 0, 0, np.nan]]))
    np.testing.assert_array_equal(found.hi, np.float32([[inf, 0, inf, np.nan]]))


def test_sums_of_what_may_be_anything_may_be_anything() -> None:
    inf = np.float32(np.inf)
    op = graph((1, 3), lambda b, v: b.add("nn.add", v, b.add("nn.abs", v))).ops[-1]
    found = _of_two(op, [Interval(np.float32([[-inf, 1, inf]]), np.float32([[inf, inf, inf]]))] * 2)
    np.testing.assert_array_equal(found.lo, np.float32([[-inf, 2, inf]]))
    np.testing.assert_array_equal(found.hi, np.float32([[inf, inf, inf]]))


def test_products_of_what_may_be_anything_may_be_anything() -> None:
    op = graph((1, 2), lambda b, v: b.add("nn.matmul", v, b.constant(np.float32([[1, 0], [-1, 2]])))).ops[-1]
    inf, w = np.float32(np.inf), np.float32([[1, 0], [-1, 2]])
    found = _product(op, [Interval(np.float32([[-inf, 3]]), np.float32([[inf, 3]])), Interval(w, w)])
    assert found.holds(np.float32([[1e30, 6]])).all()
    assert not np.isnan(found.lo).any()
