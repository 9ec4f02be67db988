"""Ends of folded constants: between which numbers every evaluation of the file lies, where folding rounds."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from bitc.ir import Builder, Graph, TensorType, Value, builder, evaluate, parse_graph, print_graph, rewrite, same_graph
from bitc.ir.intervals import evaluate_intervals

F32 = np.float32
TENTHS = np.asarray([0.1, 0.2, -0.3, 0.7, 1e-3, 12.3], F32)
WHOLE = np.asarray([1, 2, -3, 7, 100, 12], F32)
ALONG = {"axes": (0,), "keepdims": False}


def folded(name: str, *arrays: np.ndarray, **attrs: object) -> Value:
    b = Builder(fold=True)
    value = b.add(name, *(b.constant(array) for array in arrays), **attrs)
    assert value.constant is not None
    return value


def thirds(b: Builder) -> Value:
    """A mean of constants that rounds: one third."""
    return b.add("nn.reduce_mean", b.constant(np.asarray([1, 0, 0], F32)), **ALONG)


@pytest.mark.parametrize("name", ["nn.reduce_sum", "nn.reduce_mean"])
def test_ends_of_a_sum_hold_it_in_every_order(name: str) -> None:
    value = folded(name, TENTHS, **ALONG)
    assert value.ends is not None
    least, most = value.ends
    assert least < value.constant < most
    for order in permutations(TENTHS):
        total = F32(0)
        for term in order:
            total = F32(total + term)
        assert least <= (total if name == "nn.reduce_sum" else total / F32(TENTHS.size)) <= most


@pytest.mark.parametrize(
    ("name", "arrays", "attrs", "exact"),
    [
        ("nn.reduce_sum", [WHOLE], ALONG, True),
        ("nn.reduce_sum", [WHOLE / 8], ALONG, True),
        ("nn.reduce_mean", [WHOLE], ALONG, False),  # a sixth is rounded, by a division or by a product
        ("nn.reduce_mean", [WHOLE[:4]], ALONG, True),
        ("nn.matmul", [WHOLE[None], WHOLE[:, None]], {}, True),
        ("nn.matmul", [TENTHS[None], WHOLE[:, None]], {}, False),
        ("nn.matmul", [WHOLE[None].astype(np.int32), WHOLE[:, None].astype(np.int32)], {}, True),
        ("nn.add", [TENTHS, WHOLE], {}, True),
        ("nn.mul", [TENTHS, TENTHS], {}, True),
        ("nn.div", [TENTHS, TENTHS[::-1]], {}, True),
        ("nn.sqrt", [np.abs(TENTHS)], {}, True),
        ("nn.reduce_max", [TENTHS], ALONG, True),
        ("nn.exp", [TENTHS], {}, False),
        ("nn.pow", [np.asarray([17.5, 3.1], F32), np.asarray(0.5, F32)], {}, True),
        ("nn.pow", [np.asarray([1 + 2.0**-12], F32), np.asarray(2, F32)], {}, False),  # in the middle of two floats
        ("nn.softmax", [TENTHS], {"axis": 0, "log": False}, False),
    ],
)
def test_only_what_may_round_otherwise_has_ends(
    name: str, arrays: list[np.ndarray], attrs: dict[str, object], exact: bool
) -> None:
    assert (folded(name, *arrays, **attrs).ends is None) == exact


def test_ends_are_carried_through_what_rounds_alike_everywhere() -> None:
    b = Builder(fold=True)
    scaled = b.add("nn.mul", thirds(b), b.constant(WHOLE))
    assert scaled.ends is not None
    least, most = scaled.ends
    assert (least < scaled.constant).all()
    assert (most > scaled.constant).all()


@pytest.mark.parametrize(("edge", "sure"), [(0.25, True), (float(F32(1) / F32(3)), False)])
def test_a_comparison_that_all_evaluations_decide_alike_is_exact_again(edge: float, sure: bool) -> None:
    b = Builder(fold=True)
    above = b.add("nn.greater_equal", thirds(b), b.constant(np.asarray(edge, F32)))
    assert (above.ends is None) == sure


def test_moving_a_constant_moves_its_ends() -> None:
    b = Builder(fold=True)
    scaled = b.add("nn.mul", thirds(b), b.constant(WHOLE))
    moved = b.moved_constant(scaled, (2, 3), (1, 0))
    assert scaled.ends is not None
    assert moved.ends is not None
    for end, before in zip(moved.ends, scaled.ends, strict=True):
        np.testing.assert_array_equal(end, before.reshape(2, 3).T)


def test_what_a_rule_makes_of_a_doubtful_constant_is_doubtful() -> None:
    """Directly, or of what it scales; behind a comparison no more."""
    b = Builder(fold=True)
    x = b.input("x", TensorType((3,)))
    scaled = b.add("nn.mul", x, thirds(b))
    relu = b.add("nn.relu", scaled)
    sign = b.add("nn.sign", relu)
    graph = Graph("g", [x], b.ops, [b.add("nn.neg", sign)])
    made: dict[str, bool] = {}

    def rule(op: object, b: Builder) -> None:
        made[op.name] = b.constant(np.zeros(1, F32)).ends is not None  # type: ignore[attr-defined]

    rewrite(graph, rule)
    assert made == {"nn.constant": False, "nn.mul": True, "nn.relu": True, "nn.sign": True, "nn.neg": False}


def test_of_large_constants_the_ends_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "MOST_ELEMENTS", 4)
    value = folded("nn.reduce_sum", TENTHS, **ALONG)
    assert value.ends is not None
    assert [float(end) for end in value.ends] == [-np.inf, np.inf]


def test_ends_print_parse_and_bound_what_follows() -> None:
    b = Builder(fold=True)
    x = b.input("x", TensorType((3,)))
    graph = Graph("g", [x], b.ops, [b.add("nn.mul", x, thirds(b))])
    again = parse_graph(print_graph(graph))
    assert same_graph(graph, again)
    feed = np.asarray([1, 0, -2], F32)
    (y,) = evaluate(again, [feed])
    found = evaluate_intervals(again, [feed])[again.outputs[0]]
    assert found.holds(y).all()
    assert (found.lo < found.hi).tolist() == [True, False, True]
