"""Broken, hostile and unsupported files: always a located error of bitc's own tree, never anything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from frontend.oracle import model, node, run_onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bitc.errors import BitcError, ModelError, OptionError, UnsupportedError
from bitc.frontend import import_model
from bitc.ir import evaluate

F = np.float32
W = np.random.default_rng(0).normal(size=(6, 4)).astype(F)
X = np.random.default_rng(1).normal(size=(2, 6)).astype(F)


def sound() -> onnx.ModelProto:
    """A small network that imports."""
    return model([node("MatMul", "x w", "h"), node("Relu", "h", "y")], {"x": (F, ["N", 6])}, {"w": W})


def error(proto: onnx.ModelProto | bytes | str | Path, kind: type[BitcError], code: str) -> str:
    """The text of the first diagnostic with this code."""
    with pytest.raises(kind) as caught:
        import_model(proto)
    texts = [str(d) for d in caught.value.diagnostics if d.code == code]
    assert texts, str(caught.value)
    return texts[0]


# -------------------------------------------------------------------------------------------------------------- files


def test_path_bytes_and_proto_give_the_same(tmp_path: Path) -> None:
    """All three ways in, and what the attributes say."""
    path = tmp_path / "net.onnx"
    path.write_bytes(sound().SerializeToString(deterministic=True))
    graphs = [import_model(source) for source in (path, str(path), path.read_bytes(), sound())]
    assert len({graph.attrs["model_sha256"] for graph in graphs}) == 1
    assert graphs[0].attrs["model_name"] == "net"
    assert graphs[0].attrs["opsets"] == "ai.onnx 13"
    for graph in graphs:
        np.testing.assert_allclose(evaluate(graph, [X[:1]])[0], run_onnxruntime(sound(), {"x": X[:1]})[0], rtol=1e-6)


def test_unreadable_files(tmp_path: Path) -> None:
    """Missing files, folders, empty files, text and pictures."""
    for path in (tmp_path / "missing.onnx", tmp_path, "a\0b"):
        error(path, ModelError, "M001")
    for data in (b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(100), onnx.ModelProto(ir_version=8).SerializeToString()):
        error(data, ModelError, "M001")


def test_truncated_at_every_length() -> None:
    """No prefix of a model does anything but fail with an error of bitc's own (or, cut between fields, still import)."""
    data = sound().SerializeToString()
    failures = 0
    for length in range(len(data)):
        try:
            import_model(data[:length])
        except BitcError:
            failures += 1
    assert failures > 0.9 * len(data)


def test_random_bytes_and_flipped_bits() -> None:
    """Noise, and sound models with one to four bytes changed."""
    rng = np.random.default_rng(2)
    for length in rng.integers(0, 300, 300):
        with pytest.raises(BitcError):
            import_model(rng.bytes(int(length)))
    data = np.frombuffer(every_kind().SerializeToString(), np.uint8)
    outcomes = set()
    for _ in range(1500):
        damaged = data.copy()
        damaged[rng.integers(0, data.size, rng.integers(1, 5))] = rng.integers(0, 256)
        try:
            import_model(damaged.tobytes())
            outcomes.add("imports")
        except BitcError as found:
            outcomes.add(type(found).__name__)
    assert outcomes >= {"imports", "ModelError", "UnsupportedError"}


def every_kind() -> onnx.ModelProto:
    """A model with attributes, constants and shape arithmetic of many kinds, for damaging."""
    nodes = [
        node("Conv", "x w b", "c", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("BatchNormalization", "c b b b v", "n", epsilon=0.1),
        node("Clip", "n lo hi", "k"),
        node("MaxPool", "k", "p", kernel_shape=[2, 2], ceil_mode=1),
        node("Shape", "p", "s"),
        node("Gather", "s i", "s0", axis=0),
        node("Concat", "s0 m", "to", axis=0),
        node("Reshape", "p to", "f"),
        node("Slice", "f st en ax", "g"),
        node("Split", "g", "g1 g2", axis=1),
        node("Constant", "", "k1", value=numpy_helper.from_array(np.ones((4, 2), F))),
        node("Gemm", "g1 k1", "h", transB=1),
        node("Softmax", "h", "y", axis=-1),
    ]
    constants = {
        "w": np.ones((2, 1, 3, 3), F),
        "b": np.ones(2, F),
        "v": np.full(2, 2, F),
        "lo": F(0),
        "hi": F(6),
        "i": np.array([0]),
        "m": np.array([-1]),
        "st": np.array([0]),
        "en": np.array([4]),
        "ax": np.array([1]),
    }
    return model(nodes, {"x": (F, ["N", 1, 8, 8])}, constants)


# --------------------------------------------------------------------------------------------------------------- graph


def test_names() -> None:
    """A tensor made twice, never, or an output that does not exist."""
    x = {"x": X}
    twice = error(model([node("Relu", "x"), node("Neg", "x")], x), ModelError, "M004")
    assert "'y' is defined twice" in twice
    assert "node 1 (Neg)" in twice
    assert "'z' is read" in error(model([node("Add", "x z")], x), ModelError, "M004")
    assert "'q' is made by nothing" in error(model([node("Relu", "x")], x, outputs="q"), ModelError, "M004")
    shadow = model([node("Relu", "x", "w")], x, {"w": W}, outputs="w")
    assert "'w' is defined twice" in error(shadow, ModelError, "M004")


def test_cycle_names_its_nodes() -> None:
    """Nodes that wait for one another are listed."""
    text = error(model([node("Add", "x b", "a"), node("Neg", "a", "b")], {"x": X}, outputs="b"), ModelError, "M005")
    assert "node 0 (Add)" in text
    assert "node 1 (Neg)" in text


def test_order_in_the_file_does_not_matter() -> None:
    """Nodes out of order are sorted."""
    graph = import_model(model([node("Relu", "h"), node("Neg", "x", "h")], {"x": X}))
    np.testing.assert_array_equal(evaluate(graph, [X])[0], np.maximum(-X, 0))


def test_nodes_nobody_needs_do_not_count() -> None:
    """An unsupported node beside the outputs' path is ignored."""
    proto = model([node("Relu", "x"), node("NoSuchOp", "x", "z")], {"x": X})
    assert [op.name for op in import_model(proto).ops] == ["nn.relu"]


def test_all_unsupported_nodes_are_listed() -> None:
    """One error, one diagnostic a node, also behind a node that failed; nodes that only follow are not blamed."""
    nodes = [
        node("Foo", "x", "a"),
        node("Relu", "a", "b"),
        node("Bar", "b", "c"),
        node("QuantLSTMCell", "x", "d", domain="qonnx.custom_op.general"),
        node("Add", "c d", "y"),
    ]
    with pytest.raises(UnsupportedError) as caught:
        import_model(model(nodes, {"x": X}))
    assert [d.title for d in caught.value.diagnostics] == [
        f"operation {n} is not supported" for n in ("Foo", "Bar", "qonnx.custom_op.general.QuantLSTMCell")
    ]
    assert "unroll" in caught.value.diagnostics[2].hint


def test_shapes_that_do_not_fit_are_located() -> None:
    """The node, its operand types and the rule."""
    nodes = [node("MatMul", "x w", "h"), helper.make_node("Add", ["h", "b"], ["y"], name="head/add")]
    text = error(model(nodes, {"x": X}, {"w": W, "b": np.zeros(5, F)}), ModelError, "M007")
    assert "node 1 'head/add' (Add)" in text
    assert "h: f32[2,4], b: f32[5]" in text
    assert "do not broadcast" in text


def test_second_output_that_is_not_computed() -> None:
    """An output that the operator does not have is refused only where it is used."""
    softmax = node("Softmax", "x", "y i")
    x = {"x": np.zeros((1, 4), F)}
    import_model(model([softmax], x))
    assert "'i'" in error(model([softmax], x, outputs="y i"), UnsupportedError, "U003")


def test_missing_operands_and_wrong_attributes() -> None:
    """A node without a required input; an attribute of the wrong type; an axis outside the rank."""
    assert "needs input number 1" in error(model([node("Add", "x")], {"x": X}), ModelError, "M007")
    assert "wrong type" in error(model([node("Softmax", "x", axis=1.5)], {"x": X}), ModelError, "M007")
    assert "axis 7" in error(model([node("Concat", "x x", axis=7)], {"x": X}), ModelError, "M007")


def test_opsets() -> None:
    """Too old, from the future, or not said at all."""
    for opset in (6, 99):
        assert "opset 7 to" in error(model([node("Relu", "x")], {"x": X}, opset=opset), UnsupportedError, "U002")
    silent = model([node("Relu", "x")], {"x": X})
    del silent.opset_import[:]
    error(silent, ModelError, "M006")


def test_ir_version_does_not_matter() -> None:
    """Files of any IR version are read; version 3 lists initializers as inputs."""
    for version in (3, 42):
        proto = sound()
        proto.ir_version = version
        proto.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, W.shape))
        assert [value.name for value in import_model(proto).inputs] == ["x"]


# ------------------------------------------------------------------------------------------------------------- tensors


def test_broken_tensors() -> None:
    """Missing data, wrong sizes, impossible shapes, unknown and unsupported element types."""
    for change, kind, code in [
        (lambda t: t.ClearField("raw_data"), ModelError, "M003"),
        (lambda t: t.dims.append(2), ModelError, "M003"),
        (lambda t: t.dims.extend([1 << 40, 1 << 40]), ModelError, "M009"),
        (lambda t: t.dims.__setitem__(0, -6), ModelError, "M003"),
        (lambda t: setattr(t, "data_type", 0), ModelError, "M003"),
        (lambda t: setattr(t, "data_type", 99), ModelError, "M003"),
        (lambda t: setattr(t, "data_type", TensorProto.COMPLEX64), UnsupportedError, "U004"),
        (lambda t: setattr(t, "data_type", TensorProto.STRING), UnsupportedError, "U004"),
    ]:
        proto = sound()
        change(proto.graph.initializer[0])
        assert "'w'" in error(proto, kind, code)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"])
def test_typed_fields(dtype: str) -> None:
    """Tensors stored in float_data, int32_data and so on, not as raw bytes."""
    values = np.array([0, 1, 3, 100]).astype(dtype)
    tensor = helper.make_tensor("w", helper.np_dtype_to_tensor_dtype(values.dtype), [4], values)
    proto = model([node("Cast", "w", "f", to=1), node("Add", "x f")], {"x": np.zeros(4, F)})
    proto.graph.initializer.append(tensor)
    np.testing.assert_array_equal(evaluate(import_model(proto), [np.zeros(4, F)])[0], values.astype(F))


def test_external_data(tmp_path: Path) -> None:
    """Read from the model's folder; refused anywhere else, when cut short, and for models without a folder."""
    folder = tmp_path / "net"
    folder.mkdir()
    path = folder / "net.onnx"
    onnx.save(sound(), path, save_as_external_data=True, location="net.data", size_threshold=0)
    assert any(np.array_equal(op.attrs["value"], W) for op in import_model(path).ops if op.name == "nn.constant")
    error(path.read_bytes(), ModelError, "M002")
    (tmp_path / "secret").write_bytes(W.tobytes())
    (folder / "link").symlink_to(tmp_path / "secret")
    for location in ("../secret", str(tmp_path / "secret"), "link", "", "missing", "a\0b"):
        moved = onnx.load(path, load_external_data=False)
        for entry in moved.graph.initializer[0].external_data:
            if entry.key == "location":
                entry.value = location
        (folder / "moved.onnx").write_bytes(moved.SerializeToString())
        error(folder / "moved.onnx", ModelError, "M002")
    (folder / "net.data").write_bytes(W.tobytes()[:-1])
    error(path, ModelError, "M003")


def test_sparse_initializer() -> None:
    """Given as coordinates or flat indices."""
    dense = np.zeros((6, 4), F)
    dense[2, 3], dense[5, 0] = 7, -1
    for indices in (np.array([11, 20]), np.array([[2, 3], [5, 0]])):
        proto = model([node("MatMul", "x w")], {"x": X})
        values = numpy_helper.from_array(np.array([7, -1], F), "w")
        proto.graph.sparse_initializer.append(
            helper.make_sparse_tensor(values, numpy_helper.from_array(indices), [6, 4])
        )
        np.testing.assert_array_equal(evaluate(import_model(proto), [X])[0], X @ dense)


def test_element_types() -> None:
    """Text, sequences and tensors without a shape are refused."""
    proto = sound()
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.STRING
    assert "inputs are bool, f16" in error(proto, UnsupportedError, "U004")
    proto = sound()
    proto.graph.input[0].type.CopyFrom(helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [2])))
    error(proto, UnsupportedError, "U004")
    proto = sound()
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    error(proto, UnsupportedError, "U004")


# --------------------------------------------------------------------------------------------------- names and folding


def test_origins_names_and_locations() -> None:
    """Every ONNX tensor is found under its name; ops say which node they came from."""
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], name="fc1"),
        node("Relu", "h", "20"),
        node("Identity", "20", "y"),
    ]
    graph = import_model(model(nodes, {"x": X}, {"w": W, "b": np.ones(4, F)}, outputs="y h"))
    origins = {value.origin: value for value in graph.values() if value.origin}
    assert set(origins) == {"x", "w", "b", "h", "20"}
    assert [value.name for value in graph.outputs] == ["y", "h"]
    assert graph.outputs[0].origin == "20"
    assert [op.loc for op in graph.ops if op.name != "nn.constant"] == ["node 0 'fc1' (Gemm)"] * 2 + ["node 1 (Relu)"]


def test_outputs_that_share_a_value() -> None:
    """An input, a constant, and one value under two names each keep their output's name."""
    nodes = [node("Relu", "x", "a"), node("Identity", "a", "b"), node("Identity", "x", "c"), node("Identity", "w", "d")]
    graph = import_model(model(nodes, {"x": X}, {"w": W}, outputs="a b c d"))
    assert [value.name for value in graph.outputs] == ["a", "b", "c", "d"]
    for ours, expected in zip(evaluate(graph, [X]), (np.maximum(X, 0), np.maximum(X, 0), X, W), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_chosen_outputs() -> None:
    """Any tensor may be asked for; unknown ones, none and doubles are option errors."""
    assert [value.name for value in import_model(sound(), outputs=["h"]).outputs] == ["h"]
    for outputs in (["nope"], [], ["y", "y"]):
        with pytest.raises(OptionError, match="O004"):
            import_model(sound(), outputs=outputs)


def test_weight_arithmetic_folds() -> None:
    """Sign, Abs, ReduceMean and Mul over a weight leave one constant; ops the IR lacks fold by the reference evaluator."""
    nodes = [
        node("Sign", "w", "s"),
        node("Abs", "w", "m"),
        node("ReduceMean", "m", "a", axes=[0]),
        node("Mul", "s a", "k"),
        node("CumSum", "c zero", "cs"),
        node("Add", "k cs", "k2"),
        node("MatMul", "x k2"),
    ]
    graph = import_model(model(nodes, {"x": X}, {"w": W, "c": np.ones(4, F), "zero": np.int64(0)}))
    assert [op.name for op in graph.ops] == ["nn.constant", "nn.matmul"]
    expected = np.sign(W) * np.abs(W).mean(axis=0) + np.cumsum(np.ones(4))
    np.testing.assert_allclose(graph.ops[0].attrs["value"], expected, rtol=1e-6)


def test_local_functions_are_inlined() -> None:
    """A function of the model's own domain is opened; one that calls itself is a model error."""
    proto = model([helper.make_node("Twice", ["x"], ["y"], domain="own")], {"x": X}, domains={"own": 1})
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    proto.functions.append(helper.make_function("own", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], imports))
    np.testing.assert_array_equal(evaluate(import_model(proto), [X])[0], X + X)


def test_huge_constants_are_not_made() -> None:
    """A few bytes of file cannot make bitc fill the memory."""
    for nodes, constants in [
        ([node("ConstantOfShape", "s", "c"), node("Add", "x c")], {"s": np.array([1 << 20, 1 << 20])}),
        ([node("Tile", "x s")], {"s": np.array([1, 1 << 40])}),
        ([node("Pad", "x s", mode="edge")], {"s": np.array([0, 0, 0, 1 << 40])}),
        ([node("Range", "a b c", "r"), node("Add", "x r")], {"a": F(0), "b": F(1e30), "c": F(1)}),
    ]:
        assert "at most" in error(model(nodes, {"x": X}, constants), ModelError, "M009")
