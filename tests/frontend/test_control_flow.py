"""Loops with a known number of rounds, unrolled, against onnxruntime; those whose end is not known are refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from frontend.cases import F, X, random
from frontend.oracle import assert_close, model, node, run_onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bitc.errors import ModelError, UnsupportedError
from bitc.frontend import import_model
from bitc.ir import evaluate
from bitc.limits import Limits

BOOL, INT64, FLOAT = TensorProto.BOOL, TensorProto.INT64, TensorProto.FLOAT
ROWS = random(4, 3)


def graph(
    nodes: Sequence[onnx.NodeProto], inputs: Sequence[tuple[str, int, Any]], outputs: str, **constants: np.ndarray
) -> onnx.GraphProto:
    """A body: inputs as (name, type, shape), outputs by name with types that onnxruntime infers."""
    return helper.make_graph(
        list(nodes),
        "body",
        [helper.make_tensor_value_info(*entry) for entry in inputs],
        [onnx.ValueInfoProto(name=name) for name in outputs.split()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )


COUNTED = [("i", INT64, []), ("going", BOOL, [])]


def loop(body: onnx.GraphProto, inputs: str, outputs: str) -> onnx.NodeProto:
    return node("Loop", inputs, outputs, body=body)


def scan(body: onnx.GraphProto, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return node("Scan", inputs, outputs, body=body, **attributes)


def check(proto: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> None:
    """The graph gives what onnxruntime gives, and its ops name nodes of the file."""
    made = import_model(proto)
    assert all(op.loc.startswith(("node ", "output ")) for op in made.ops if op.name != "nn.constant")
    assert_close(evaluate(made, inputs), run_onnxruntime(proto, inputs))


def recurrence() -> onnx.GraphProto:
    """state' = 0.5 state + row i of x; gives the state of each round."""
    nodes = [
        node("Gather", "x i", "row", axis=0),
        node("Mul", "state half", "kept"),
        node("Add", "kept row", "next"),
        node("Identity", "going", "on"),
        node("Relu", "next", "out"),
    ]
    return graph(nodes, [*COUNTED, ("state", FLOAT, [3])], "on next out", half=np.float32(0.5).reshape(()))


def test_rounds_carry_a_state_and_give_a_row_each() -> None:
    proto = model(
        [loop(recurrence(), "n c s", "last rows")],
        {"x": ROWS, "s": F([1.0, -1.0, 0.0])},
        {"n": np.asarray(4), "c": np.asarray(True)},
        outputs="last rows",
    )
    check(proto, {"x": ROWS, "s": F([1.0, -1.0, 0.0])})


def test_a_condition_ends_a_loop_without_a_count() -> None:
    """The condition is arithmetic on the count alone."""
    nodes = [
        node("Less", "i three", "on"),
        node("Add", "state state", "next"),
    ]
    body = graph(nodes, [*COUNTED, ("state", FLOAT, [3])], "on next", three=np.asarray(3))
    proto = model([loop(body, "_ c s", "y")], {"s": F([1.0, 2.0, 3.0])}, {"c": np.asarray(True)})
    check(proto, {"s": F([1.0, 2.0, 3.0])})
    np.testing.assert_array_equal(evaluate(import_model(proto), {"s": F([1.0, 2.0, 3.0])})[0], F([16.0, 32.0, 48.0]))


@pytest.mark.parametrize(("rounds", "going"), [(0, True), (5, False)])
def test_no_round_leaves_what_is_carried(rounds: int, going: bool) -> None:
    nodes = [node("Identity", "going", "on"), node("Neg", "state", "next")]
    body = graph(nodes, [*COUNTED, ("state", FLOAT, [3])], "on next")
    constants = {"n": np.asarray(rounds), "c": np.asarray(going)}
    proto = model([loop(body, "n c s", "t"), node("Add", "t t", "y")], {"s": F([1.0, 2.0, 3.0])}, constants)
    check(proto, {"s": F([1.0, 2.0, 3.0])})


def test_a_loop_in_a_loop_reads_what_is_around_both() -> None:
    inner = graph(
        [node("Identity", "going2", "on2"), node("Add", "t x", "u")],
        [("j", INT64, []), ("going2", BOOL, []), ("t", FLOAT, [4, 3])],
        "on2 u",
    )
    nodes = [loop(inner, "two c state", "sum"), node("Mul", "sum x", "next"), node("Identity", "going", "on")]
    body = graph(nodes, [*COUNTED, ("state", FLOAT, [4, 3])], "on next", two=np.asarray(2))
    constants = {"n": np.asarray(3), "c": np.asarray(True)}
    check(model([loop(body, "n c x", "y")], {"x": ROWS}, constants), {"x": ROWS})


def test_a_tensor_that_grows_round_by_round() -> None:
    """As scripted PyTorch lists come out: it begins empty."""
    nodes = [
        node("Gather", "x i", "row", axis=0),
        node("Unsqueeze", "row zero", "one"),
        node("Concat", "all one", "more", axis=0),
        node("Identity", "going", "on"),
    ]
    body = graph(nodes, [*COUNTED, ("all", FLOAT, [None, 3])], "on more", zero=np.asarray([0]))
    constants = {"n": np.asarray(4), "c": np.asarray(True), "empty": np.zeros((0, 3), np.float32)}
    proto = model([loop(body, "n c empty", "y")], {"x": ROWS}, constants)
    check(proto, {"x": ROWS})


@pytest.mark.parametrize("opset", [9, 11, 16, 19])
@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ({}, (5, 2, 3)),
        ({"scan_input_directions": [1]}, (5, 2, 3)),
        ({"scan_output_directions": [1]}, (5, 2, 3)),
        ({"scan_input_axes": [1], "scan_output_axes": [1]}, (2, 5, 3)),
        ({"scan_input_axes": [2], "scan_output_axes": [0], "scan_input_directions": [1]}, (2, 3, 5)),
    ],
)
def test_scans(attributes: dict[str, Any], shape: tuple[int, ...], opset: int) -> None:
    x, state = random(*shape), random(2, 3)
    nodes = [node("Add", "state slice", "next"), node("Relu", "next", "out")]
    body = graph(nodes, [("state", FLOAT, [2, 3]), ("slice", FLOAT, [2, 3])], "next out")
    made = scan(body, "s x", "last y", num_scan_inputs=1, **attributes)
    proto = model([made], {"s": state, "x": x}, outputs="last y", opset=opset)
    check(proto, {"s": state, "x": x})


def test_negative_axes_and_several_inputs() -> None:
    a, b = random(2, 4), random(4, 2)
    body = graph([node("Mul", "p q", "out")], [("p", FLOAT, [2]), ("q", FLOAT, [2])], "out")
    made = scan(body, "a b", "y", num_scan_inputs=2, scan_input_axes=[-1, 0], scan_output_axes=[-1])
    check(model([made], {"a": a, "b": b}), {"a": a, "b": b})


def refusal(proto: onnx.ModelProto) -> Any:
    with pytest.raises(UnsupportedError) as refused:
        import_model(proto)
    (diagnostic,) = refused.value.diagnostics
    return diagnostic


def test_a_number_of_rounds_that_is_computed_is_refused() -> None:
    inputs = {"x": ROWS, "s": F([0.0, 0.0, 0.0]), "n": np.asarray(2)}
    found = refusal(model([loop(recurrence(), "n c s", "y z")], inputs, {"c": np.asarray(True)}))
    assert found.rule == "the trip count of Loop must be a constant"
    assert found.inputs == ("n",)


def test_an_end_that_is_computed_is_refused() -> None:
    nodes = [node("ReduceSum", "next", "sum", keepdims=0), node("Less", "sum one", "on"), node("Add", "s x", "next")]
    body = graph(
        [nodes[2], nodes[0], nodes[1]], [*COUNTED, ("s", FLOAT, [3])], "on next", one=np.float32(1).reshape(())
    )
    constants = {"n": np.asarray(9), "c": np.asarray(True)}
    found = refusal(model([loop(body, "n c x", "y")], {"x": F([1.0, 2.0, 3.0])}, constants))
    assert found.rule == "when a Loop ends must be known when it is compiled"
    assert found.where.startswith("node 0 (Loop)")


def test_rows_of_no_round_are_refused() -> None:
    constants = {"n": np.asarray(0), "c": np.asarray(True)}
    inputs = {"x": ROWS, "s": F([0.0, 0.0, 0.0])}
    assert "it has none" in refusal(model([loop(recurrence(), "n c s", "y z")], inputs, constants)).here


@pytest.mark.parametrize("limits", [Limits(nodes=100), Limits(constant_work=1000)])
def test_rounds_are_bounded(limits: Limits) -> None:
    inputs = {"x": random(50, 3), "s": F([0.0, 0.0, 0.0])}
    proto = model([loop(recurrence(), "n c s", "y z")], inputs, {"n": np.asarray(50), "c": np.asarray(True)})
    with pytest.raises(ModelError, match="beyond a limit"):
        import_model(proto, limits=limits)
    import_model(proto)


def test_endless_loops_end() -> None:
    nodes = [node("Identity", "going", "on"), node("Neg", "state", "next")]
    body = graph(nodes, [*COUNTED, ("state", FLOAT, [3])], "on next")
    for inputs, constants in (("_ c s", {}), ("n c s", {"n": np.asarray(2**62)})):
        made = loop(body, inputs, "y")
        proto = model([made], {"s": F([1.0, 2.0, 3.0])}, {"c": np.asarray(True), **constants})
        with pytest.raises(ModelError, match="beyond a limit"):
            import_model(proto)


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (loop(graph([], COUNTED, "going"), "n c s", "y"), "the body of Loop takes"),
        (loop(graph([], [*COUNTED, ("t", FLOAT, [3])], "going"), "n c s", "y"), "the body of Loop takes"),
        (node("Loop", "n c s", "y"), "Loop has a graph body"),
        (scan(graph([], [("t", FLOAT, [3])], "t"), "s", "y", num_scan_inputs=2), "Scan takes as many inputs"),
        (
            scan(graph([], [("t", FLOAT, [])], "t"), "s", "y", num_scan_inputs=1, scan_input_axes=[0, 0]),
            "scan_input_axes of Scan",
        ),
        (scan(graph([], [("t", FLOAT, [])], "t"), "s", "y", num_scan_inputs=1, scan_input_axes=[7]), "an axis of Scan"),
        (
            scan(graph([], [("t", FLOAT, []), ("u", FLOAT, [3])], "t"), "s x", "y", num_scan_inputs=2),
            "scanned inputs are equally long",
        ),
    ],
)
def test_broken_loops_are_named(made: onnx.NodeProto, rule: str) -> None:
    constants = {"n": np.asarray(2), "c": np.asarray(True)}
    proto = model([made], {"s": F([1.0, 2.0, 3.0]), "x": X}, constants)
    with pytest.raises(ModelError) as broken:
        import_model(proto)
    assert any(rule in diagnostic.rule for diagnostic in broken.value.diagnostics), str(broken.value)
