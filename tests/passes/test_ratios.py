"""Bounds of numbers over their own size: what is bounded, and what a zero, a clamp from above or another tensor spoils."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bitc.ir import Builder, Graph, TensorType, Value, evaluate
from bitc.passes.facts import Finite, bounds
from bitc.passes.ratios import ratio_range
from bitc.passes.value_sets import ValueSets

F32 = np.float32
Ratio = Callable[[Builder, Value], Value]


def number(b: Builder, value: float) -> Value:
    return b.constant(np.asarray(value, F32))


def largest(b: Builder, x: Value) -> Value:
    return b.add("nn.reduce_max", b.add("nn.abs", x), axes=(1,))


def mean(b: Builder, x: Value) -> Value:
    return b.add("nn.reduce_mean", b.add("nn.abs", x), axes=(1,))


def clamped(b: Builder, size: Value) -> Value:
    return b.add("nn.max", size, number(b, 1e-5))


def over(b: Builder, x: Value, size: Value, most: float) -> Value:
    return b.add("nn.div", x, b.add("nn.div", size, number(b, most)))


def by_reciprocal(b: Builder, x: Value) -> Value:
    inverse = b.add("nn.reciprocal", clamped(b, largest(b, x)))
    return b.add("nn.mul", b.add("nn.mul", inverse, number(b, 127)), x)


def by_quotient(b: Builder, x: Value) -> Value:
    return b.add("nn.mul", x, b.add("nn.div", number(b, 7), clamped(b, largest(b, x))))


def with_epsilon(b: Builder, x: Value) -> Value:
    return over(b, x, b.add("nn.add", largest(b, x), number(b, 1e-8)), 127)


def over_all(b: Builder, x: Value) -> Value:
    size = b.add("nn.reduce_max", b.add("nn.abs", x), axes=(0, 1), keepdims=False)
    return over(b, x, clamped(b, size), 127)


def expanded(b: Builder, x: Value) -> Value:
    return b.add("nn.div", x, b.add("nn.expand", clamped(b, largest(b, x)), shape=x.shape))


BOUNDED: dict[str, tuple[Ratio, int]] = {
    "max / 127": (lambda b, x: over(b, x, clamped(b, largest(b, x)), 127), 127),
    "max / 127, clamped behind": (
        lambda b, x: b.add("nn.div", x, clamped(b, b.add("nn.div", largest(b, x), number(b, 127)))),
        127,
    ),
    "times 127 / max": (by_reciprocal, 127),
    "times 7 / max": (by_quotient, 7),
    "max + epsilon": (with_epsilon, 127),
    "one size for all": (over_all, 127),
    "expanded": (expanded, 1),
    "mean / 3": (lambda b, x: over(b, x, clamped(b, mean(b, x)), 3), 24),
}


def hard_rows() -> np.ndarray:
    """Rows of eight: zeros, denormals, one large among small, all equal, the largest floats, and random ones of all sizes."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(400, 8)) * 10.0 ** random.integers(-40, 37, (400, 1))
    rows[0], rows[1], rows[2], rows[3] = 0, 1e-45, 3.0e38, [1e-5, *[0] * 7]
    rows[4:40] = np.where(np.arange(8) == 3, 1, 0) * 10.0 ** np.arange(-40, 32, 2)[:36, np.newaxis]
    return rows.astype(F32)


@pytest.mark.parametrize("name", BOUNDED)
def test_rounded_ratios_are_small_integers(name: str) -> None:
    ratio, most = BOUNDED[name]
    b = Builder()
    x = b.input("x", TensorType((400, 8)))
    q = b.add("nn.round", ratio(b, x))
    fact = ValueSets().of(q)
    assert isinstance(fact, Finite)
    assert fact.values == tuple(float(k) for k in range(-most, most + 1))
    with np.errstate(over="ignore"):  # a mean of the largest floats
        (found,) = evaluate(Graph("g", [x], b.ops, [q]), [hard_rows()])
    assert np.isfinite(found).all()
    assert np.abs(found).max() == most


def test_the_largest_of_all_elements_is_theirs_in_any_order() -> None:
    b = Builder()
    x = b.input("x", TensorType((4, 8)))
    rows = b.add("nn.reshape", b.add("nn.transpose", b.add("nn.abs", x), perm=(1, 0)), shape=(2, 16))
    for axes, bounded in (((0, 1), True), ((1,), False)):
        size = b.add("nn.reduce_max", rows, axes=axes, keepdims=False)
        other = b.add("nn.reshape", x, shape=(2, 16))
        scale = clamped(b, size if bounded else b.add("nn.reshape", size, shape=(2, 1)))
        made = b.add("nn.div", other, scale).producer
        assert made is not None
        assert (ratio_range(made) is not None) == bounded


UNBOUNDED: dict[str, Ratio] = {
    "a row of zeros": lambda b, x: over(b, x, largest(b, x), 127),
    "a clamp from above": lambda b, x: over(b, x, b.add("nn.min", clamped(b, largest(b, x)), number(b, 1e4)), 127),
    "an epsilon that is too small": lambda b, x: over(b, x, b.add("nn.max", largest(b, x), number(b, 1e-36)), 127),
    "the size of something else": lambda b, x: over(b, b.add("nn.add", x, x), clamped(b, largest(b, x)), 127),
    "no absolute values": lambda b, x: over(b, x, clamped(b, b.add("nn.reduce_max", x, axes=(1,))), 127),
    "a negative scale": lambda b, x: over(b, x, clamped(b, largest(b, x)), -127),
    "a reciprocal by mistake": lambda b, x: b.add("nn.mul", x, clamped(b, largest(b, x))),
}


@pytest.mark.parametrize("name", UNBOUNDED)
def test_what_may_be_large_is_not_bounded(name: str) -> None:
    b = Builder()
    x = b.input("x", TensorType((4, 8)))
    made = UNBOUNDED[name](b, x).producer
    assert made is not None
    assert ratio_range(made) is None


def test_sizes_of_other_rows_bound_nothing() -> None:
    """Without kept axes the sizes of columns would be broadcast to rows."""
    b = Builder()
    x = b.input("x", TensorType((8, 8)))
    size = b.add("nn.reduce_max", b.add("nn.abs", x), axes=(1,), keepdims=False)
    made = b.add("nn.div", x, clamped(b, size)).producer
    assert made is not None
    assert ratio_range(made) is None


def least_and_greatest(
    b: Builder, z: Value, axes: tuple[int, ...] = (1,), of: tuple[int, ...] | None = None
) -> tuple[Value, Value]:
    """``z`` less its least, and its span; the least of ``of`` other axes."""
    least = b.add("nn.reduce_min", z, axes=axes)
    other = least if of is None else b.add("nn.reduce_min", z, axes=of)
    return b.add("nn.sub", z, other), b.add("nn.sub", b.add("nn.reduce_max", z, axes=axes), least)


def clipped(b: Builder, x: Value, most: float = 2.5) -> Value:
    """As exporters write a clip that keeps no NaN."""
    below = b.add("nn.where", b.add("nn.less", x, number(b, most)), x, number(b, most))
    return b.add("nn.where", b.add("nn.greater", below, number(b, -most)), below, number(b, -most))


@pytest.mark.parametrize("axes", [(1,), (0, 1)])
def test_shares_of_a_span_are_small_integers(axes: tuple[int, ...]) -> None:
    """Min-max quantizers: from 0 to 255, whatever the numbers are."""
    b = Builder()
    x = b.input("x", TensorType((400, 8)))
    shifted, span = least_and_greatest(b, clipped(b, x), axes)
    share = b.add("nn.div", shifted, b.add("nn.add", span, number(b, 1e-8)))
    q = b.add("nn.round", b.add("nn.mul", share, number(b, 255)))
    sets = ValueSets()
    fact = sets.of(q)
    assert isinstance(fact, Finite)
    assert fact.values == tuple(float(k) for k in range(256))
    low, high = bounds(sets.of(span))
    assert (low, high) == (0, 5)
    (found,) = evaluate(Graph("g", [x], b.ops, [q]), [hard_rows()])
    assert found.min() == 0
    assert found.max() == 255


SPANS_OF_OTHERS: dict[str, Ratio] = {
    "no clip: the span overflows": lambda b, x: shared(b, *least_and_greatest(b, x)),
    "the least of a column": lambda b, x: shared(b, *least_and_greatest(b, clipped(b, x), of=(0,))),
    "nothing keeps the span from zero": lambda b, x: b.add("nn.div", *least_and_greatest(b, clipped(b, x))),
    "the span of another tensor": lambda b, x: shared(
        b, least_and_greatest(b, clipped(b, x))[0], least_and_greatest(b, clipped(b, x, 1.5))[1]
    ),
}


def shared(b: Builder, shifted: Value, span: Value) -> Value:
    return b.add("nn.div", shifted, clamped(b, span))


@pytest.mark.parametrize("name", SPANS_OF_OTHERS)
def test_shares_that_may_be_large(name: str) -> None:
    b = Builder()
    x = b.input("x", TensorType((8, 8)))
    made = SPANS_OF_OTHERS[name](b, x)
    assert bounds(ValueSets().of(made)) != (0, 1)
    assert bounds(ValueSets().of(made))[1] > 2
