"""Symbolic dimensions: binding, the free batch, and the proof that images do not touch one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from frontend.oracle import Dims, assert_close, model, node, run_onnxruntime

from bitc.errors import OptionError, UnsupportedError
from bitc.frontend import import_model
from bitc.ir import evaluate

F = np.float32


def net(
    nodes: Sequence[onnx.NodeProto], dims: Dims, constants: dict[str, Any] | None = None, opset: int = 13
) -> onnx.ModelProto:
    """A network of one float input ``x`` with these dimensions."""
    return model(nodes, {"x": (F, dims)}, {k: np.asarray(v) for k, v in (constants or {}).items()}, opset=opset)


W = np.random.default_rng(0).normal(size=(12, 3)).astype(F)
FLATTEN = [node("Flatten", "x", "f"), node("MatMul", "f w", "y")]
BY_SHAPE = [
    node("Shape", "x", "s"),
    node("Gather", "s zero", "n"),
    node("Unsqueeze", "n zeros", "n1"),
    node("Concat", "n1 minus", "to", axis=0),
    node("Reshape", "x to", "f"),
    node("MatMul", "f w", "y"),
]
ONES_BY_SHAPE = [
    node("Shape", "x", "s"),
    node("ConstantOfShape", "s", "zero"),
    node("GreaterOrEqual", "x zero", "c"),
    node("Expand", "one s", "ones"),
    node("Neg", "ones", "minus"),
    node("Where", "c ones minus", "y"),
]
SHAPE_CONSTANTS = {"zero": np.int64(0), "zeros": np.array([0]), "minus": np.array([-1]), "w": W}


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        (FLATTEN, {"w": W}),
        (BY_SHAPE, SHAPE_CONSTANTS),
        (ONES_BY_SHAPE, {"one": F(1)}),
        ([node("Softmax", "x", axis=1)], {}),
        ([node("ReduceMean", "x", axes=[1, 2], keepdims=0)], {}),
        ([node("Concat", "x x", axis=2)], {}),
        ([node("Add", "x c")], {"c": W[:1, :].reshape(1, 1, 3)}),
    ],
)
def test_free_batch(nodes: list[onnx.NodeProto], constants: dict[str, Any]) -> None:
    """The graph is made for one image; image by image it agrees with onnxruntime's batch of three."""
    proto = net(nodes, ["N", 4, 3], constants, opset=13)
    graph = import_model(proto)
    assert graph.attrs["batch"] == "N"
    assert graph.inputs[0].shape == (1, 4, 3)
    x = np.random.default_rng(1).normal(size=(3, 4, 3)).astype(F)
    ours = np.concatenate([evaluate(graph, {"x": x[i : i + 1]})[0] for i in range(3)])
    assert_close([ours], run_onnxruntime(proto, {"x": x}))


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("Softmax", "x", axis=0)], {}),
        ([node("ReduceMean", "x", axes=[0], keepdims=1)], {}),
        ([node("ReduceMean", "x", "m", axes=[0], keepdims=1), node("Sub", "x m")], {}),
        ([node("Concat", "x x", axis=0)], {}),
        ([node("Transpose", "x")], {}),
        ([node("Reshape", "x s")], {"s": np.array([4, 3])}),
        ([node("Reshape", "x s", "f"), node("MatMul", "f w")], {"s": np.array([1, -1]), "w": W}),
        ([node("Gather", "x i", "f", axis=0), node("Add", "x f")], {"i": np.array([0])}),
        (
            [node("Shape", "x", "s"), node("Cast", "s", "c", to=1), node("Gather", "c i", "n"), node("Div", "x n")],
            {"i": np.array(0)},
        ),
        ([node("Slice", "x s e a t")], {"s": [-1], "e": [-(2**31)], "a": [0], "t": [-1]}),
        ([node("Pad", "x p")], {"p": [0, 0, 0, 1, 0, 0]}),
        ([node("ArgMax", "x", axis=0)], {}),
        ([node("Shape", "x")], {}),
        ([node("MatMul", "c x", "y")], {"c": np.ones((5, 2, 4), F)}),
    ],
)
def test_mixing_images_is_refused(nodes: list[onnx.NodeProto], constants: dict[str, Any]) -> None:
    """The message names the dimension and how to bind it."""
    if any(n.op_type == "Reshape" for n in nodes):
        constants = {k: np.asarray(v) for k, v in constants.items()}
    with pytest.raises(UnsupportedError) as caught:
        import_model(net(nodes, ["N", 4, 3], constants))
    (found,) = caught.value.diagnostics
    assert (found.code, found.hint) == ("U005", "--dim N=1")


def test_other_axes_may_be_merged_behind_the_batch() -> None:
    """Heads of an attention are merged into the leading axis and taken out of it again."""
    nodes = [
        node("Transpose", "x", "t", perm=[0, 2, 1]),
        node("Reshape", "t merged", "h"),
        node("Transpose", "h", "k", perm=[0, 2, 1]),
        node("MatMul", "k h", "p"),
        node("Softmax", "p", "q", axis=-1),
        node("MatMul", "h q", "m"),
        node("Reshape", "m split"),
    ]
    constants = {"merged": np.array([-1, 1, 4]), "split": np.array([-1, 3, 4])}
    proto = net(nodes, ["N", 4, 3], constants)
    graph = import_model(proto)
    x = np.random.default_rng(1).normal(size=(3, 4, 3)).astype(F)
    ours = np.concatenate([evaluate(graph, {"x": x[i : i + 1]})[0] for i in range(3)])
    assert_close([ours], run_onnxruntime(proto, {"x": x}))


MERGED = node("Reshape", "x merged", "h")


@pytest.mark.parametrize(
    "nodes",
    [
        [MERGED, node("Identity", "h")],
        [
            MERGED,
            node("Shape", "h", "sizes"),
            node("Slice", "sizes zero one zero", "rows"),
            node("Div", "rows two", "half"),
            node("Slice", "h zero half zero", "part"),
            node("Reshape", "part again"),
        ],
        [
            MERGED,
            node("ReduceMax", "h", "m", axes=[0], keepdims=1),
            node("Sub", "h m", "d"),
            node("Reshape", "d split"),
        ],
    ],
)
def test_mixing_images_behind_a_merge_is_refused(nodes: list[onnx.NodeProto]) -> None:
    """The merged axis as an output, its first half (half of all images), its maximum."""
    constants = {"merged": [-1, 3], "zero": [0], "one": [1], "two": [2], "again": [-1, 2, 3], "split": [-1, 4, 3]}
    with pytest.raises(UnsupportedError, match="U005"):
        import_model(net(nodes, ["N", 4, 3], {name: np.asarray(v, np.int64) for name, v in constants.items()}))


def test_operands_of_lower_rank_do_not_carry_the_batch() -> None:
    """[N, 2, 4] + reshape(x, [N, 4]): the batch of the second meets axis 1 of the first, which two images would hide."""
    nodes = [node("Slice", "x s e a", "h"), node("Reshape", "h to", "low"), node("Add", "x low")]
    constants = {"s": [0], "e": [1], "a": [1], "to": np.array([-1, 4])}
    with pytest.raises(UnsupportedError, match="different rank"):
        import_model(net(nodes, ["N", 2, 4], constants))


def test_bound_batch_may_mix() -> None:
    """With its size given, a leading dimension is like any other."""
    graph = import_model(net([node("Softmax", "x", axis=0)], ["N", 3]), dims={"N": 5})
    assert graph.attrs["batch"] == ""
    assert graph.outputs[0].shape == (5, 3)


def test_fixed_batch_stays() -> None:
    """A number in the file is not touched."""
    graph = import_model(net([node("Relu", "x")], [7, 3]))
    assert (graph.attrs["batch"], graph.inputs[0].shape) == ("", (7, 3))


@pytest.mark.parametrize(("dims", "batch"), [([None, 3], "batch"), (["unk__12", 3], "unk__12")])
def test_batch_names(dims: Dims, batch: str) -> None:
    """A leading dimension without a name is called batch."""
    assert import_model(net([node("Relu", "x")], dims)).attrs["batch"] == batch


def test_old_exporters_write_minus_one() -> None:
    """A dim_value of -1 or 0 means unknown."""
    for value in (-1, 0):
        proto = net([node("Relu", "x")], [2, 3])
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = value
        assert import_model(proto).attrs["batch"] == "batch"


def test_inner_dimensions_are_bound_by_name() -> None:
    """Names, and input.axis where there is none."""
    proto = net([node("Relu", "x")], ["N", "L", None])
    graph = import_model(proto, dims={"L": 5, "x.2": 6})
    assert (graph.attrs["batch"], graph.inputs[0].shape) == ("N", (1, 5, 6))


@pytest.mark.parametrize(
    ("shape", "dims", "code", "text"),
    [
        (["N", "L", 3], {}, "O001", "--dim L=SIZE"),
        (["N", "N", 3], {}, "O001", "--dim N=SIZE"),
        (["N", 4, 3], {"M": 2}, "O002", "symbolic dimensions: N"),
        ([1, 4, 3], {"N": 2}, "O002", "symbolic dimensions: none"),
        (["N", 4, 3], {"N": 0}, "O003", "positive"),
        (["N", 4, 3], {"N": -2}, "O003", "positive"),
    ],
)
def test_bad_dims(shape: Dims, dims: dict[str, int], code: str, text: str) -> None:
    """Each is an option error that says what there is."""
    with pytest.raises(OptionError) as caught:
        import_model(net([node("Relu", "x")], shape), dims=dims)
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert text in str(found)


def test_inputs_share_the_free_dimension() -> None:
    """Two inputs of one batch are fine; a fixed state beside a free batch is not one network per image."""
    add = [node("Add", "a b")]
    graph = import_model(model(add, {"a": (F, ["N", 3]), "b": (F, ["N", 3])}))
    assert graph.attrs["batch"] == "N"
    with pytest.raises(UnsupportedError, match="no free leading dimension"):
        import_model(model(add, {"a": (F, ["N", 3]), "b": (F, [1, 3])}))
    with pytest.raises(OptionError, match="--dim M=SIZE"):
        import_model(model(add, {"a": (F, ["N", 3]), "b": (F, ["M", 3])}))
