"""Intervals of lookups, scatters, running sums and products: what float32 computes lies inside, and what is wrong does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bitc.ir import Builder, DType, Graph, TensorType
from bitc.ir.interval import Interval
from bitc.ir.intervals import evaluate_intervals

RNG = np.random.default_rng(5)
X = RNG.normal(size=(4, 6)).astype(np.float32)


def of(op_name: str, *arrays: np.ndarray, spread: bool = False, **attrs: Any) -> Interval:
    """The interval of an op; ``spread`` puts an exp before the first operand, whose intervals have a width."""
    b = Builder()
    inputs = [b.input(f"x{i}", TensorType(a.shape, DType.of(a.dtype))) for i, a in enumerate(arrays)]
    first = b.add("nn.exp", inputs[0]) if spread else inputs[0]
    y = b.add(op_name, first, *inputs[1:], **attrs)
    graph = Graph("g", inputs, b.ops, [y])
    return evaluate_intervals(graph, arrays)[y]


@pytest.mark.parametrize("reverse", [False, True])
def test_running_sums_lie_inside_in_any_order(reverse: bool) -> None:
    found = of("nn.cumsum", X, axis=1, reverse=reverse)
    seen = X[:, ::-1] if reverse else X
    for order in ("one by one", "pairwise"):
        sums = np.stack([seen[:, : i + 1].sum(axis=1, dtype=np.float32) for i in range(6)], axis=1)
        if order == "one by one":
            sums = np.cumsum(seen, axis=1, dtype=np.float32)
        assert found.holds(sums[:, ::-1] if reverse else sums).all()
    assert not found.holds(np.nextafter(found.hi, np.float32(np.inf))).any()


def test_products_lie_inside() -> None:
    found = of("nn.reduce_prod", X, axes=(1,), keepdims=False, spread=True)
    assert found.holds(np.prod(np.exp(X), axis=1)).all()
    assert not found.holds(np.prod(np.exp(X), axis=1) * np.float32(1.001)).any()


def test_integers_are_points() -> None:
    whole = RNG.integers(-9, 9, (4, 6)).astype(np.int32)
    assert of("nn.cumsum", whole, axis=0).is_point
    assert of("nn.reduce_prod", whole, axes=(0,), keepdims=False).is_point


def test_sure_places_keep_their_elements_intervals() -> None:
    found = of("nn.take", X, np.array([3, -1, 9]), axis=0, spread=True)
    assert found.holds(np.exp(X)[[3, 3, 3]]).all()
    assert not found.holds(np.exp(X)[[0, 1, 2]]).any()


def test_unsure_places_may_read_any_element() -> None:
    """The argmax of equal numbers that are known up to a rounding."""
    b = Builder()
    x = b.input("x", TensorType((1, 3)))
    scores = b.add("nn.exp", x)
    place = b.add("nn.argmax", scores, axis=1, keepdims=False)
    table = b.constant(np.array([2.0, 5.0, 3.0], np.float32))
    y = b.add("nn.take", table, place, axis=0)
    found = evaluate_intervals(Graph("g", [x], b.ops, [y]), [np.ones((1, 3), np.float32)])[y]
    assert (found.lo.item(), found.hi.item()) == (2.0, 5.0)


@pytest.mark.parametrize("how", ["none", "add", "max", "min"])
def test_updates_at_sure_places(how: str) -> None:
    places, updates = np.array([[0], [2], [2], [9]]), RNG.normal(size=(4, 6)).astype(np.float32)
    if how == "none":
        places = np.array([[0], [2], [1], [9]])
    found = of("nn.scatter_nd", X, places, updates, reduction=how)
    y = X.copy()
    for (place,), update in zip(places[:3], updates, strict=False):
        y[place] = {
            "none": update,
            "add": y[place] + update,
            "max": np.maximum(y[place], update),
            "min": np.minimum(y[place], update),
        }[how]
    assert found.holds(y).all()
    np.testing.assert_array_equal(found.lo[3], X[3])
    assert not found.holds(y + np.float32(0.1)).any()
