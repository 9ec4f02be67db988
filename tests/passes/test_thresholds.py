"""``thresholds`` on accumulators: exhaustively over all sums there are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from passes.chains import (
    F32,
    ONES,
    batch_norm,
    encoded,
    per_channel,
    planes,
    run_thresholds,
    scalar,
    where_sign,
)
from passes.harness import op_names

from bitc.ir import BIPOLAR, Builder, DType, Graph, TensorType, Value, evaluate

# The accumulator is a sum over n codes of ±1; input i holds i codes of +1, so the inputs run through its whole domain.

TERMS = 13


def every_sum(channels: int) -> tuple[Builder, Value, Value, list[np.ndarray]]:
    """Builder, input [TERMS + 1, TERMS, 1, 1], accumulator [TERMS + 1, channels, 1, 1] as a float, and the input array."""
    b = Builder()
    x = b.input("x", TensorType((TERMS + 1, TERMS, 1, 1)))
    codes = b.add("q.encode", b.add("nn.assume", x, values=(-1.0, 1.0)), levels=BIPOLAR)
    weights = b.add("q.encode", b.constant(np.ones((channels, TERMS, 1, 1), F32)), levels=BIPOLAR)
    acc = b.add("nn.cast", b.add("q.conv", codes, weights, **ONES), to=DType.F32)
    array = np.where(np.arange(TERMS) < np.arange(TERMS + 1)[:, np.newaxis], 1, -1).astype(F32)
    return b, x, acc, [array.reshape(TERMS + 1, TERMS, 1, 1)]


def check_exhaustively(channels: int, chain: Callable[[Builder, Value], Value], fused: bool = True) -> Graph:
    """The codes of ``chain(acc)`` after the pass equal the float chain's at every accumulator value."""
    b, x, acc, arrays = every_sum(channels)
    before, after = run_thresholds(b, [x], encoded(b, chain(b, acc)))
    if fused:
        assert op_names(after)[-2:] == ["q.threshold", "q.decode"]
        (threshold,) = [op for op in after.ops if op.name == "q.threshold" and op.operands[0].type.shape[1] == channels]
        root = threshold.operands[0].producer
        assert root is not None
        assert root.name == "q.conv", f"the thresholds hang on {root}"
    for old, new in zip(evaluate(before, arrays), evaluate(after, arrays), strict=True):
        assert np.array_equal(old, new)
    return after


GAMMAS = st.one_of(st.sampled_from([0.0, 1e-38, -1e-38, 1e30, -1e30, 1.0, -1.0]), st.floats(-2, 2, width=32))
BETAS = st.one_of(st.sampled_from([0.0, 1e-30, 0.5, -3.0]), st.floats(-8, 8, width=32))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_batch_norm_with_any_scale_and_shift(data: st.DataObject) -> None:
    draw = lambda numbers: data.draw(st.lists(numbers, min_size=3, max_size=3))  # noqa: E731
    gamma, beta, mean = draw(GAMMAS), draw(BETAS), draw(BETAS)
    check_exhaustively(3, lambda b, acc: where_sign(b, batch_norm(b, acc, gamma, beta, mean)), fused=any(gamma))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_prelu_then_batch_norm(data: st.DataObject) -> None:
    """A negative slope makes the chain fall and rise again: it may be fused only where the whole is monotone after all."""
    slopes = data.draw(st.lists(st.sampled_from([-1.0, -0.25, 0.0, 0.25, 1.0]), min_size=2, max_size=2))
    gamma = data.draw(st.lists(st.sampled_from([-0.7, 0.3, 1.0]), min_size=2, max_size=2))
    beta = data.draw(st.lists(st.floats(-4, 4, width=32), min_size=2, max_size=2))

    def chain(b: Builder, acc: Value) -> Value:
        bent = b.add("nn.prelu", acc, per_channel(b, *slopes))
        return where_sign(b, batch_norm(b, bent, gamma, beta, [0, 0]))

    check_exhaustively(2, chain, fused=False)


@pytest.mark.parametrize("step", [0.5, 1 / 3, 0.1])
@pytest.mark.parametrize("shift", [-0.5, 0.0, 0.3])
def test_two_bit_quantizer_by_clip_and_round(step: float, shift: float) -> None:
    def chain(b: Builder, acc: Value) -> Value:
        y = batch_norm(b, acc, [0.11, -0.07], [shift, shift + 0.5], [0, 1])
        divided = b.add("nn.div", y, scalar(b, step))
        clipped = b.add("nn.min", b.add("nn.max", divided, scalar(b, 0)), scalar(b, 3))
        return b.add("nn.mul", b.add("nn.round", clipped), scalar(b, step))

    after = check_exhaustively(2, chain)
    (threshold,) = [op for op in after.ops if op.name == "q.threshold" and op.attrs["levels"].lo == 0]
    assert threshold.operands[2].constant is not None
    assert threshold.operands[2].constant.tolist() == [False, True], "the second channel falls"


def test_sum_of_comparisons_is_a_two_bit_code() -> None:
    def chain(b: Builder, acc: Value) -> Value:
        steps = [
            b.add("nn.cast", b.add("nn.greater", acc, per_channel(b, *t)), to=DType.F32)
            for t in ((-3, 0), (1, 2), (7, 12))
        ]
        return b.add("nn.add", b.add("nn.add", steps[0], steps[1]), steps[2])

    check_exhaustively(2, chain)


def test_multi_threshold() -> None:
    def chain(b: Builder, acc: Value) -> Value:
        return b.add("nn.multi_threshold", acc, per_channel(b, -3, 0), per_channel(b, 1, 2), per_channel(b, 7, 99))

    check_exhaustively(2, chain)


def test_greater_cast_mul_sub() -> None:
    def chain(b: Builder, acc: Value) -> Value:
        bit = b.add("nn.cast", b.add("nn.greater", acc, per_channel(b, -1, 4)), to=DType.F32)
        return b.add("nn.sub", b.add("nn.mul", bit, scalar(b, 2)), scalar(b, 1))

    check_exhaustively(2, chain)


@pytest.mark.parametrize("levels", [(-1.0, 1.0), (0.0, 1.0), (-0.5, 0.5), (1.0, 3.0)])
def test_choices_of_two_values(levels: tuple[float, float]) -> None:
    low, high = levels

    def chain(b: Builder, acc: Value) -> Value:
        return b.add("nn.where", b.add("nn.less", acc, per_channel(b, 0.5, -5)), scalar(b, low), scalar(b, high))

    check_exhaustively(2, chain)


def test_sign_of_an_odd_accumulator_is_one_plane_and_with_a_reachable_zero_two() -> None:
    one = check_exhaustively(2, lambda b, acc: b.add("nn.sign", acc))
    two = check_exhaustively(2, lambda b, acc: b.add("nn.sign", b.add("nn.sub", acc, per_channel(b, 0, 1))))
    assert [planes(one), planes(two)] == [1, 2]


@pytest.mark.parametrize("name", ["nn.abs", "square"])
def test_a_chain_that_falls_and_rises_is_not_fused_into_thresholds_on_the_accumulator(name: str) -> None:
    def chain(b: Builder, acc: Value) -> Value:
        bent = b.add("nn.abs", acc) if name == "nn.abs" else b.add("nn.mul", acc, acc)
        return where_sign(b, b.add("nn.sub", bent, scalar(b, 6)))

    after = check_exhaustively(2, chain, fused=False)
    assert ("nn.abs" if name == "nn.abs" else "nn.mul") in op_names(after)


def test_a_bent_chain_that_is_monotone_on_the_reachable_values_is_fused() -> None:
    """|acc + 20| never bends between -13 and 13."""

    def chain(b: Builder, acc: Value) -> Value:
        bent = b.add("nn.abs", b.add("nn.add", acc, scalar(b, 20)))
        return where_sign(b, b.add("nn.sub", bent, scalar(b, 17)))

    check_exhaustively(2, chain)


def test_polynomial_straight_through_estimator() -> None:
    """ApproxSign: piecewise 2x + x², 2x - x² inside (-1, 1), sign outside; its sign is the sign of x."""

    def chain(b: Builder, acc: Value) -> Value:
        x = b.add("nn.mul", acc, scalar(b, 0.125))
        square = b.add("nn.mul", x, x)
        twice = b.add("nn.mul", x, scalar(b, 2))
        inner = b.add(
            "nn.where",
            b.add("nn.less", x, scalar(b, 0)),
            b.add("nn.add", twice, square),
            b.add("nn.sub", twice, square),
        )
        low = b.add("nn.where", b.add("nn.less", x, scalar(b, -1)), scalar(b, -1), inner)
        return b.add("nn.sign", b.add("nn.where", b.add("nn.less", x, scalar(b, 1)), low, scalar(b, 1)))

    check_exhaustively(2, chain)
