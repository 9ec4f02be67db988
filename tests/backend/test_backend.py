"""bitc.backend as onnx's interface has it: models, nodes, devices, refusals, and models that wait for their shapes."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.backend.base import Backend
from onnx.backend.test.runner import BackendIsNotSupposedToImplementIt

from bitc import backend
from bitc.errors import ModelError, OptionError, UnsupportedError

F = np.float32
X = np.arange(6, dtype=F).reshape(2, 3)


def model(nodes: list[onnx.NodeProto], inputs: dict[str, tuple[int, list[int | str]]]) -> onnx.ModelProto:
    """A model that gives ``y``."""
    described = [helper.make_tensor_value_info(name, kind, dims) for name, (kind, dims) in inputs.items()]
    graph = helper.make_graph(nodes, "g", described, [onnx.ValueInfoProto(name="y")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def reshaping(dims: list[int | str]) -> onnx.ModelProto:
    """A model one input of which is a shape."""
    made = helper.make_node("Reshape", ["x", "s"], ["y"])
    return model([made], {"x": (TensorProto.FLOAT, dims), "s": (TensorProto.INT64, [2])})


def test_prepare_run_model_and_run_node_agree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    node = helper.make_node("Sub", ["a", "b"], ["y"])
    proto = model([node], {"a": (TensorProto.FLOAT, [2, 3]), "b": (TensorProto.FLOAT, [3])})
    b = np.array([1, 2, 3], F)
    compiled = backend.prepare(proto, "CPU:0")
    assert compiled.session is not None
    assert compiled.session.metadata["target"] == "portable"
    found = [compiled.run([X, b]), compiled.run({"b": b, "a": X}), backend.run_model(proto, [X, b])]
    found.append(backend.run_node(node, [X, b]))
    for outputs in found:
        assert isinstance(outputs, tuple)
        np.testing.assert_array_equal(outputs[0], X - b)
    assert not list(tmp_path.iterdir()), "nothing is left on disk"


def test_one_array_alone_and_an_input_read_twice() -> None:
    (doubled,) = backend.run_node(helper.make_node("Add", ["x", "x"], ["y"]), X)
    np.testing.assert_array_equal(doubled, X + X)


def test_the_version_of_an_operator_counts() -> None:
    """Before opset 13 Hardmax takes all axes from the given one on as one."""
    node = helper.make_node("Hardmax", ["x"], ["y"], axis=0)
    (old,), (new,) = (backend.run_node(node, X, opset_version=version) for version in (11, 13))
    assert old.sum() == 1
    assert new.sum() == 3


def test_the_target_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = model([helper.make_node("Neg", ["x"], ["y"])], {"x": (TensorProto.FLOAT, [2])})
    monkeypatch.setenv(backend.TARGET_VARIABLE, "no such target")
    with pytest.raises(OptionError, match="no such target"):
        backend.prepare(proto)
    session = backend.prepare(proto, target="portable").session
    assert session is not None
    assert session.metadata["target"] == "portable"


def test_devices() -> None:
    assert issubclass(backend.BitcBackend, Backend)
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA:1")
    with pytest.raises(ValueError, match="CUDA"):
        backend.prepare(reshaping([2, 3]), "CUDA")


def test_a_refusal_is_both_bitcs_and_a_skipped_test() -> None:
    proto = model([helper.make_node("Det", ["x"], ["y"])], {"x": (TensorProto.FLOAT, [2, 2])})
    with pytest.raises(backend.NotCompiled) as refused:
        backend.prepare(proto)
    for kind in (UnsupportedError, BackendIsNotSupposedToImplementIt, unittest.SkipTest):
        assert isinstance(refused.value, kind)
    assert refused.value.diagnostics[0].code == "U001"
    assert "Det" in str(refused.value)


def test_a_broken_model_is_no_refusal() -> None:
    proto = model([helper.make_node("Add", ["x"], ["y"])], {"x": (TensorProto.FLOAT, [2])})
    with pytest.raises(ModelError):
        backend.prepare(proto)


def test_a_shape_given_as_an_input_is_compiled_for_once_each() -> None:
    compiled = backend.prepare(reshaping([2, 3]))
    assert (compiled.session, compiled.fixed) == (None, ("s",))
    for shape in ([3, 2], [6, 1], [3, 2]):
        (found,) = compiled.run([X, np.array(shape)])
        np.testing.assert_array_equal(found, X.reshape(shape))
    assert len(compiled._sessions) == 2


def test_open_shapes_wait_for_arrays() -> None:
    """Also of no elements, which static shapes do not have."""
    compiled = backend.prepare(model([helper.make_node("Neg", ["x"], ["y"])], {"x": (TensorProto.FLOAT, [2, "n"])}))
    assert compiled.session is None
    for columns in (3, 5, 0):
        x = np.ones((2, columns), F)
        (found,) = compiled.run(x)
        np.testing.assert_array_equal(found, -x, strict=True)


def test_a_tensor_that_only_looks_like_a_shape_is_never_fixed() -> None:
    """Compress would have to know a computed condition: of a matrix no constant is made."""
    flat = helper.make_node("Reshape", ["m", "s"], ["c"])
    nodes = [
        helper.make_node("Constant", [], ["s"], value_ints=[-1]),
        flat,
        helper.make_node("Compress", ["x", "c"], ["y"]),
    ]
    proto = model(nodes, {"x": (TensorProto.FLOAT, [6]), "m": (TensorProto.BOOL, [2, 3])})
    with pytest.raises(backend.NotCompiled, match="condition of Compress must be a constant"):
        backend.prepare(proto)


def test_another_number_of_inputs_is_an_error() -> None:
    compiled = backend.prepare(reshaping([2, 3]))
    with pytest.raises(ValueError, match="zip"):
        compiled.run([X])


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        (TensorProto.INT4, [-8, -1, 0, 7]),
        (TensorProto.UINT4, [0, 1, 9, 15]),
        (TensorProto.FLOAT4E2M1, [-6, 0.5, -0.0, 3]),
        (TensorProto.FLOAT8E4M3FN, [448, -0.0, 2**-9, np.nan]),
        (TensorProto.FLOAT8E5M2, [np.inf, -np.inf, np.nan, -(2**-16)]),
    ],
)
def test_types_c_does_not_have_go_in_and_out(kind: int, numbers: list[float]) -> None:
    """As NumPy's arrays of that type; in between as wider numbers. A reversal shows that nothing is only passed through."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    turned = helper.make_node("Slice", ["x", "s", "e", "a", "t"], ["y"])
    constants = [
        helper.make_node("Constant", [], [n], value_ints=[v]) for n, v in zip("seat", (-1, -9, 0, -1), strict=True)
    ]
    graph = helper.make_graph(
        [*constants, turned],
        "g",
        [helper.make_tensor_value_info("x", kind, [4])],
        [helper.make_tensor_value_info("y", kind, [4])],
    )
    x = np.asarray(numbers).astype(dtype)
    (found,) = backend.run_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)]), [x])
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.astype(F), x[::-1].astype(F))
    np.testing.assert_array_equal(np.signbit(found.astype(F)), np.signbit(x[::-1].astype(F)))
