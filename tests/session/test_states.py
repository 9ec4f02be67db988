"""Which inputs are states: what the user may say, what is recognised, what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from session.stepping import STATES, step_model

from bitc.compiler import Options, imported_model
from bitc.errors import OptionError
from bitc.states import recognised, states_of
from examples.lif import lif_model


def named(*pairs: tuple[str, str], shapes: Mapping[str, list[int]] | None = None) -> onnx.ModelProto:
    """A network that hands each input on under another name."""
    shape = (shapes or {}).get
    nodes = [helper.make_node("Relu", [given], [made]) for given, made in pairs]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "names",
        [value(given, TensorProto.FLOAT, shape(given, [1, 3])) for given, _ in pairs],
        [value(made, TensorProto.FLOAT, shape(made, [1, 3])) for _, made in pairs],
    )
    return helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("past_key_values.0.key", "present.0.key"),
        ("past_key_values.11.value", "present_key_values.11.value"),
        ("past_3", "present_3"),
        ("state_in", "state_out"),
        ("conv_in1", "conv_out1"),
        ("initial_h", "Y_h"),
        ("h0", "hn"),
        ("c_0", "c_n"),
        ("mem1", "mem1_out"),
        ("h", "new_h"),
        ("cache", "cache_next"),
    ],
)
def test_pairs_of_names_are_recognised(given: str, made: str) -> None:
    assert recognised(named((given, made), ("x", "y"))) == {given: made}


def test_other_shapes_are_no_pair() -> None:
    assert recognised(named(("h", "h_out"), shapes={"h_out": [1, 4]})) == {}


def test_each_output_carries_one_state() -> None:
    assert recognised(named(("h0", "hn"), ("h_0", "y"))) == {"h0": "hn"}


def test_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lif.onnx"
    onnx.save(lif_model(), str(path))
    assert states_of(path, "v=v_out") == states_of(path, "auto") == {"v": "v_out"}
    assert states_of(path, "auto,v=spikes") == {"v": "spikes"}
    assert states_of(path, "") == states_of(path, {}) == {}
    for text in ("v", "v=", "v=v_out,v=spikes", "=v_out"):
        with pytest.raises(OptionError, match="O051"):
            states_of(path, text)


def test_auto_finds_something_or_says_so(tmp_path: Path) -> None:
    path = tmp_path / "plain.onnx"
    onnx.save(named(("x", "y")), str(path))
    with pytest.raises(OptionError, match="O052"):
        states_of(path, "auto")


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({"w": "v_out"}, "'w', which is no input"),
        ({"v": "w_out"}, "'w_out', which is no output"),
        ({"v": "v_out", "last": "v_out"}, "'v_out' carries two states"),
        ({"x": "v_out"}, "'v_out' cannot carry 'x'"),
        ({"steps": "v_out"}, "'v_out' cannot carry 'steps'"),
    ],
)
def test_what_does_not_fit_is_refused(states: dict[str, str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "steps.onnx"
    onnx.save(step_model(), str(path))
    with pytest.raises(OptionError, match=message):
        imported_model(path, Options(states=states))


def test_a_free_batch_is_refused(tmp_path: Path) -> None:
    model = lif_model()
    for entry in (*model.graph.input, *model.graph.output):
        entry.type.tensor_type.shape.dim[0].dim_param = "N"
    path = tmp_path / "lif.onnx"
    onnx.save(model, str(path))
    with pytest.raises(OptionError, match="--dim N=1"):
        imported_model(path, Options(states="auto"))
    assert imported_model(path, Options(states="auto", dims={"N": 1})).attrs["states"][0][:2] == ("v", "v_out")


def test_defaults_of_the_file_are_initial_values(tmp_path: Path) -> None:
    path = tmp_path / "steps.onnx"
    onnx.save(step_model(), str(path))
    graph = imported_model(path, Options(states=STATES))
    initial = {name: value for name, _, value in graph.attrs["states"]}
    assert (float(initial["v"][0, 0]), initial["last"].tolist()[0][1], initial["steps"]) == (0.25, 1.0, None)
    assert [value.name for value in graph.inputs] == ["x", "v", "last", "steps"]
    assert [value.name for value in imported_model(path, Options()).inputs] == ["x", "steps"]


def test_states_alone_are_no_network(tmp_path: Path) -> None:
    path = tmp_path / "alone.onnx"
    onnx.save(named(("h", "h_out")), str(path))
    with pytest.raises(OptionError, match="all inputs and outputs are states"):
        imported_model(path, Options(states="auto"))
