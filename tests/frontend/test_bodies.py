"""Operators imported by the body ONNX defines them with, and branches, against onnxruntime; and what is still refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from frontend.cases import F, X, random
from frontend.oracle import assert_close, model, node, run_onnxruntime
from onnx import helper

from bitc.errors import UnsupportedError
from bitc.frontend import import_model
from bitc.frontend.node import HANDLERS
from bitc.ir import evaluate

LABELS = random(2, 8, 7, dtype=np.int64, low=0, high=3)


def check(proto: onnx.ModelProto, inputs: dict[str, np.ndarray], exact: bool = False) -> None:
    """The graph gives what onnxruntime gives, and names the file's own nodes."""
    graph = import_model(proto)
    locations = {op.loc for op in graph.ops if op.name != "nn.constant"}
    assert all(loc.startswith(("node ", "output ")) for loc in locations), locations
    ours, theirs = evaluate(graph, inputs), run_onnxruntime(proto, inputs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b) if exact else assert_close([a], [b])


@pytest.mark.parametrize(
    ("op_type", "inputs", "opset", "attrs"),
    [
        ("SoftmaxCrossEntropyLoss", {"x": X, "t": LABELS}, 13, {"reduction": "sum"}),
        ("SoftmaxCrossEntropyLoss", {"x": X, "t": LABELS, "w": random(3, low=0.5)}, 13, {"ignore_index": 1}),
        ("NegativeLogLikelihoodLoss", {"x": X, "t": LABELS}, 13, {"reduction": "none"}),
        ("AffineGrid", {"x": random(2, 2, 3)}, 20, {"align_corners": 1}),
    ],
)
def test_functions_without_a_handler(op_type: str, inputs: dict[str, Any], opset: int, attrs: dict[str, Any]) -> None:
    """Bodies that depend on types, that refer to attributes and their defaults, and that hold branches."""
    assert ("", op_type) not in HANDLERS
    constants = {"s": np.array([2, 3, 4, 5])} if op_type == "AffineGrid" else {}
    made = node(op_type, " ".join([*inputs, *constants]), **attrs)
    check(model([made], inputs, constants, opset=opset), inputs)


def test_a_body_stands_for_a_form_the_handler_refuses() -> None:
    """Constants of shape arithmetic inside it are folded; a body that is refused as well leaves the handler's own words."""
    window = model([node("HannWindow", "n", output_datatype=1)], {}, {"n": np.asarray(9)}, opset=17)
    check(window, {})
    computed = model([node("HannWindow", "n")], {"n": np.asarray(9)}, opset=17)
    with pytest.raises(UnsupportedError) as refused:
        import_model(computed)
    (diagnostic,) = refused.value.diagnostics
    assert diagnostic.inputs == ("n",)
    assert "its Range" in diagnostic.where


def branching(condition: str, inner: list[onnx.NodeProto], result: str) -> onnx.NodeProto:
    """An If whose first branch holds ``inner``; the other is a constant."""
    zero = helper.make_node("Constant", [], ["z"], value_float=0.0)
    graphs = [
        helper.make_graph(nodes, "branch", [], [helper.make_tensor_value_info(name, 1, None)])
        for nodes, name in ((inner, result), ([zero], "z"))
    ]
    return helper.make_node("If", [condition], ["y"], then_branch=graphs[0], else_branch=graphs[1])


def test_a_branch_in_a_branch_reads_what_is_around_both() -> None:
    """The node that makes what only an inner branch reads is needed, whatever the order in the file."""
    inner = branching("c", [node("Mul", "t a", "p")], "p")
    inner.output[0] = "q"
    outer = branching("c", [node("Relu", "x", "t"), inner], "q")
    proto = model([node("Add", "x x", "a"), outer], {"x": X}, {"c": np.asarray(True)})
    check(proto, {"x": X}, exact=True)
    wanted = np.maximum(X, 0) * (X + X)
    np.testing.assert_array_equal(evaluate(import_model(proto), {"x": X})[0], wanted)


def test_a_computed_condition_is_refused_by_name() -> None:
    proto = model([branching("c", [node("Relu", "x", "t")], "t")], {"x": X, "c": np.asarray(True)})
    with pytest.raises(UnsupportedError) as refused:
        import_model(proto)
    (diagnostic,) = refused.value.diagnostics
    assert diagnostic.rule == "the condition of If must be a constant"
    assert diagnostic.inputs == ("c",)


def test_only_the_first_of_a_bad_chain_is_blamed() -> None:
    """An operator without handler or body inside a branch is named with the node it stands in."""
    outer = branching("c", [node("Det", "x", "t"), node("Neg", "t", "u")], "u")
    with pytest.raises(UnsupportedError) as refused:
        import_model(model([outer], {"x": F([[1.0, 2.0], [3.0, 4.0]])}, {"c": np.asarray(True)}))
    (diagnostic,) = refused.value.diagnostics
    assert "Det" in diagnostic.title
    assert diagnostic.where.startswith("node 0 (If): its Det")
