"""The reference interpreter: inputs by name or order, its checks, and its observer."""

from __future__ import annotations

import numpy as np
import pytest

from bitc.ir import BIPOLAR, Builder, CodeType, Graph, TensorType, Value, evaluate


def graph() -> Graph:
    b = Builder()
    x, y = b.input("x", TensorType((2,))), b.input("y", TensorType((2,)))
    return Graph("g", [x, y], b.ops, [b.add("nn.sub", x, y, name="d"), x])


A, B = np.asarray([5, 7], np.float32), np.asarray([1, 2], np.float32)


def test_inputs_by_name_and_in_order() -> None:
    by_name, in_order = evaluate(graph(), {"y": B, "x": A}), evaluate(graph(), [A, B])
    assert by_name[0].tolist() == in_order[0].tolist() == [4, 5]
    np.testing.assert_array_equal(in_order[1], A)


def test_wrong_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"%y has shape \[2\], got an array of shape \[3\]"):
        evaluate(graph(), [A, np.zeros(3, np.float32)])
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        evaluate(graph(), [A])
    with pytest.raises(KeyError):
        evaluate(graph(), {"x": A})


def test_a_result_of_another_shape_than_declared_is_refused() -> None:
    g = graph()
    g.ops[0].result.type = TensorType((1, 2))
    with pytest.raises(ValueError, match="%d has shape"):
        evaluate(g, [A, B])


def test_codes_are_int32_levels() -> None:
    c = Value("c", CodeType((2,), BIPOLAR, 0.5))
    (found,) = evaluate(Graph("g", [c], [], [c]), [np.asarray([-1.0, 1.0])])
    assert found.dtype == np.int32


def test_the_observer_sees_every_value_and_may_replace_it() -> None:
    seen: list[str] = []

    def observe(value: Value, array: np.ndarray) -> np.ndarray | None:
        seen.append(value.name)
        return array * 10 if value.name == "y" else None

    found = evaluate(graph(), [A, B], observe)
    assert seen == ["x", "y", "d"]
    assert found[0].tolist() == [-5, -13]


def test_a_broken_promise_is_noticed() -> None:
    b = Builder()
    x = b.input("x", TensorType((2,)))
    g = Graph("g", [x], b.ops, [b.add("nn.assume", x, values=(1.0, 2.0))])
    np.testing.assert_array_equal(evaluate(g, [B])[0], B)
    with pytest.raises(ValueError, match="outside the promised values"):
        evaluate(g, [A])
