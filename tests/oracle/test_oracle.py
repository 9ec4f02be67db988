"""The oracle, and the inputs that are made for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from cli.toy import write_model

from bitc.errors import ModelError, OptionError
from bitc.oracle import (
    ModelInput,
    load_model,
    model_inputs,
    oracle_for,
    random_cases,
    split_cases,
    stacked,
    unstacked,
)

FLOAT = np.dtype(np.float32)


def item(*shape: int | str | None, dtype: type = np.float32) -> ModelInput:
    return ModelInput("x", np.dtype(dtype), shape)


def test_onnxruntime_gives_outputs_and_inner_tensors(tmp_path: Path) -> None:
    path = write_model(tmp_path / "toy.onnx")
    oracle = oracle_for(path)
    feeds = {"x": np.float32([[1, 2, 3], [4, 5, 6]]), "b.0": np.int8([10])}
    outputs = oracle.run(feeds)
    assert {name: array.tolist() for name, array in outputs.items()} == {"y": [16.0, 25.0], "z": [1, 4]}
    tensors = oracle.tensors(feeds)
    assert tensors["sum"].tolist() == [6.0, 15.0]
    assert tensors["y"].tolist() == [16.0, 25.0]
    assert oracle.output_names == ("y", "z")


def test_inner_tensors_that_numpy_has_no_type_for_are_left_out(tmp_path: Path) -> None:
    h = onnx.helper
    nodes = [h.make_node("Cast", ["x"], ["b"], to=16), h.make_node("Cast", ["b"], ["y"], to=1)]
    ends = [h.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    made = h.make_model(
        h.make_graph(nodes, "g", ends[:1], ends[1:]), opset_imports=[h.make_opsetid("", 17)], ir_version=9
    )
    onnx.save(made, tmp_path / "net.onnx")
    tensors = oracle_for(tmp_path / "net.onnx").tensors({"x": np.float32([1 + 2**-8])})
    assert {name: array.tolist() for name, array in tensors.items()} == {"y": [1.0]}


def test_model_inputs_are_those_the_caller_gives(tmp_path: Path) -> None:
    model = load_model(write_model(tmp_path / "toy.onnx"))
    assert model_inputs(model) == (
        ModelInput("x", FLOAT, ("N", 3)),
        ModelInput("b.0", np.dtype(np.int8), (1,)),
    )
    model.graph.input.extend([onnx.helper.make_tensor_value_info("axis", onnx.TensorProto.INT64, [1])])
    assert [given.name for given in model_inputs(model)] == ["x", "b.0"]


def test_annotated_values_are_used(tmp_path: Path) -> None:
    model = load_model(write_model(tmp_path / "toy.onnx"))
    annotation = model.graph.quantization_annotation.add(tensor_name="x")
    annotation.quant_parameter_tensor_names.add(key="finn_datatype", value="INT3")
    x = random_cases(model_inputs(model), 500)[0]["x"]
    assert set(x.ravel()) == set(range(-4, 4))


@pytest.mark.parametrize("content", [b"", b"not a model at all", None])
def test_a_broken_file_is_a_model_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "net.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match="cannot read"):
        load_model(path)


def test_what_onnxruntime_refuses_is_a_model_error(tmp_path: Path) -> None:
    path = write_model(tmp_path / "toy.onnx")
    model = onnx.load(path)
    model.graph.node[0].op_type = "NoSuchOp"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="NoSuchOp"):
        oracle_for(path)


def test_qonnx_with_a_free_batch_agrees_with_itself_row_by_row(tmp_path: Path) -> None:
    pytest.importorskip("qonnx", reason="qonnx is not installed")
    node = onnx.helper.make_node("BipolarQuant", ["x", "scale"], ["y"], domain="qonnx.custom_op.general")
    graph = onnx.helper.make_graph(
        [node],
        "q",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 4])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 4])],
        [onnx.helper.make_tensor("scale", onnx.TensorProto.FLOAT, [], [0.5])],
    )
    opsets = [onnx.helper.make_opsetid("", 13), onnx.helper.make_opsetid("qonnx.custom_op.general", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "q.onnx")
    oracle = oracle_for(tmp_path / "q.onnx")
    assert oracle.name.startswith("qonnx")
    for batch in (1, 3):
        x = np.linspace(-1, 1, 4 * batch, dtype=np.float32).reshape(batch, 4)
        np.testing.assert_array_equal(oracle.run({"x": x})["y"], np.where(x >= 0, np.float32(0.5), np.float32(-0.5)))


def test_random_cases_are_seeded_and_keep_to_the_dtype() -> None:
    (free,) = random_cases([item("N", 2)], 6, seed=1)
    assert free["x"].shape == (6, 2)
    np.testing.assert_array_equal(free["x"], random_cases([item("N", 2)], 6, seed=1)[0]["x"])
    assert len(random_cases([item(1, 2)], 6)) == 6
    assert random_cases([item("N", 2)], 6, dims={"N": 3})[5]["x"].shape == (3, 2)
    bytes_ = random_cases([item(1000, dtype=np.int8)], 1)[0]["x"]
    assert bytes_.dtype == np.int8
    assert (bytes_.min(), bytes_.max()) == (-128, 127)
    promised = random_cases([item(50)], 1, values={"x": (-1.0, 1.0)})[0]["x"]
    assert set(promised.tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize(
    ("wanted", "given", "cases"),
    [
        (item("N", 2), (5, 2), [(5, 2)]),
        (item(1, 2), (5, 2), [(1, 2)] * 5),
        (item(1, 2), (5, 1, 2), [(1, 2)] * 5),
        (item(2, 2), (4, 2), [(2, 2)] * 2),
        (item(2), (2,), [(2,)]),
    ],
)
def test_samples_are_split(wanted: ModelInput, given: tuple[int, ...], cases: list[tuple[int, ...]]) -> None:
    array = np.arange(np.prod(given), dtype=np.float64).reshape(given)
    found = split_cases([wanted], {"x": array})
    assert [case["x"].shape for case in found] == cases
    assert all(case["x"].dtype == np.float32 for case in found)
    np.testing.assert_array_equal(np.concatenate([case["x"].ravel() for case in found]), array.ravel())


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((5, 3))}, r"expected float32\[2,2\]"),
        ({"x": np.zeros((3, 2))}, r"given float32\[3,2\]"),
        ({"x": np.zeros((2, 2), int)}, "given int64"),
        ({"y": np.zeros((2, 2))}, "do not match the model's: x, y"),
    ],
)
def test_samples_that_do_not_fit_are_refused(arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        split_cases([item(2, 2)], arrays)


def test_stacking_is_undone() -> None:
    cases = [{"a": np.arange(3) + i, "b": np.array(i)} for i in range(4)]
    back = unstacked(stacked(cases))
    assert [{name: array.tolist() for name, array in case.items()} for case in back] == [
        {"a": [i, i + 1, i + 2], "b": i} for i in range(4)
    ]
