"""``bitc step``: bodies of loops as models of a step, against onnxruntime's own Loop and Scan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from session.stepping import scan_model, sequence, value

import bitc
from bitc.cli import main
from bitc.errors import OptionError
from bitc.session import Session
from bitc.states import recognised
from bitc.step_model import step_model

BOOL, INT64, FLOAT = TensorProto.BOOL, TensorProto.INT64, TensorProto.FLOAT
pytestmark = pytest.mark.usefixtures("compiler")


def built(step: onnx.ModelProto, folder: Path) -> Session:
    path = folder / "step.onnx"
    path.write_bytes(step.SerializeToString(deterministic=True))
    made = bitc.compile(path, target="portable", out=folder / "made", states="auto", c_flags=("-O1",))
    return made.session()


def by_onnxruntime(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> list[Any]:
    return list(onnxruntime.InferenceSession(model.SerializeToString()).run(None, dict(feeds)))


def test_a_scan_of_any_length(tmp_path: Path) -> None:
    """The length is a symbol, so nothing could be unrolled."""
    model = scan_model(1000)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "T"
    step = step_model(model)
    assert recognised(step) == {"v_n": "v_n_out", "last_n": "last_n_out", "steps_n": "steps_n_out"}
    session, xs = built(step, tmp_path), sequence(1000, seed=20)
    v, last, steps, totals = by_onnxruntime(model, {"xs": xs})
    np.testing.assert_array_equal([session.step({"xs": x})[0] for x in xs], totals)
    states = session.state().arrays()
    for name, wanted in (("v_n", v), ("last_n", last), ("steps_n", steps)):
        np.testing.assert_array_equal(states[name], wanted)


def loop_model(extra: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    """``rounds`` rounds of v' = v / 2 + xs[i] + i·w, where w is computed from constants around it; v grows into all, and is given too."""
    body = helper.make_graph(
        [
            helper.make_node("Gather", ["xs", "i"], ["x"], axis=1),
            helper.make_node("Mul", ["v_before", "half"], ["kept"]),
            helper.make_node("Cast", ["i"], ["number"], to=FLOAT),
            helper.make_node("Mul", ["number", "w"], ["drift"]),
            helper.make_node("Add", ["kept", "x"], ["moved"]),
            helper.make_node("Add", ["moved", "drift"], ["v_after"]),
            helper.make_node("Unsqueeze", ["v_after", "zero"], ["row"]),
            helper.make_node("Concat", ["all_before", "row"], ["all_after"], axis=0),
            helper.make_node("Identity", ["going"], ["goes"]),
            *(extra or []),
        ],
        "body",
        [value("i", [], INT64), value("going", [], BOOL), value("v_before", [3]), value("all_before", ["n", 3])],
        [value("goes", [], BOOL), value("v_after", [3]), value("all_after", ["m", 3])],
        [numpy_helper.from_array(np.asarray(0.5, np.float32), "half")],
    )
    constants = {
        "v_0": np.array([1, 2, -3], np.float32),
        "none": np.zeros((0, 3), np.float32),
        "eighth": np.array([0.125, 0.25, 0], np.float32),
        "two": np.asarray(2, np.float32),
        "zero": np.array([0], np.int64),
        "yes": np.asarray(True),
    }
    nodes = [
        helper.make_node("Mul", ["eighth", "two"], ["w"]),
        helper.make_node("Loop", ["rounds", "yes", "v_0", "none"], ["v", "all"], body=body),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [value("rounds", [], INT64), value("xs", [3, "T"])],
        [value("v", [3]), value("all", ["T", 3])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])


def test_a_loop_whose_rounds_are_an_input(tmp_path: Path) -> None:
    model, xs = loop_model(), np.random.default_rng(4).integers(-4, 5, (3, 12)).astype(np.float32)
    v, everything = by_onnxruntime(model, {"rounds": np.asarray(12), "xs": xs})
    session = built(step_model(model), tmp_path)
    assert [arg.name for arg in session.get_states()] == ["v", "iteration"]
    rows = [session.step({"xs": np.ascontiguousarray(xs[:, i])})[0] for i in range(12)]
    np.testing.assert_array_equal(np.concatenate(rows), everything)
    np.testing.assert_array_equal(session.state().arrays()["v"], v)
    assert session.state().arrays()["iteration"] == 12


def test_a_condition_that_is_computed_is_an_output(tmp_path: Path) -> None:
    model = loop_model([helper.make_node("ReduceMax", ["v_after"], ["largest"], keepdims=0)])
    body = model.graph.node[1].attribute[0].g
    body.node.append(helper.make_node("Less", ["largest", "two"], ["small"]))
    body.output[0].name = "small"
    session = built(step_model(model), tmp_path)
    assert "goes_on" in [arg.name for arg in session.get_outputs()]
    (goes_on,) = session.step({"xs": np.array([9, 0, 0], np.float32)}, output_names=["goes_on"])
    assert not goes_on


def test_the_command_writes_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(scan_model(5), str(tmp_path / "scan.onnx"))
    assert main(["step", str(tmp_path / "scan.onnx"), "-o", str(tmp_path / "step.onnx")]) == 0
    assert "states   v_n = v_n_out, last_n = last_n_out, steps_n = steps_n_out" in capsys.readouterr().out
    onnx.checker.check_model(onnx.load(str(tmp_path / "step.onnx")))


def test_what_is_no_step_is_refused() -> None:
    plain = scan_model(3)
    del plain.graph.node[:]
    computed = scan_model(3)
    computed.graph.node.insert(0, helper.make_node("Relu", ["xs"], ["more"]))
    computed.graph.node[1].input[3] = "more"
    behind = scan_model(3)
    behind.graph.node.append(helper.make_node("Relu", ["totals"], ["rectified"]))
    for model, message in ((plain, "there are 0"), (computed, "'more' is computed"), (behind, "reads what it gives")):
        with pytest.raises(OptionError, match=message):
            step_model(model)
