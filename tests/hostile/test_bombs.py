"""Small files that ask for much: each ends soon, in an error that names the node, with little memory, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from frontend.oracle import node
from hostile.sandbox import Verdict, watched
from onnx import TensorProto, helper, numpy_helper

from bitc.compiler import compile
from bitc.errors import BitcError, ModelError, OptionError
from bitc.frontend import import_model
from bitc.limits import Limits

F = np.float32


def ints(*values: int) -> np.ndarray:
    return np.asarray(values, np.int64)


def network(
    nodes: list[onnx.NodeProto], x: tuple[int, ...], constants: dict[str, np.ndarray], opset: int = 17
) -> onnx.ModelProto:
    """A model that gives ``y`` from ``x``."""
    graph = helper.make_graph(
        nodes,
        "bomb",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def folded(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], opset: int = 17) -> onnx.ModelProto:
    """Nodes that compute a constant ``c``, of which one number is added to x."""
    total = [node("ReduceMax", "c", "most", keepdims=0), node("Add", "x most")]
    return network([*nodes, *total], (1,), constants, opset)


def shape(*dims: int) -> dict[str, np.ndarray]:
    return {"s": ints(*dims)}


FILLED = node("ConstantOfShape", "s", "k")
FIVE_HUNDRED = " ".join(f"m{i}" for i in range(500))
WINDOW = np.ones((16, 1, 31, 31), F)
BOMBS = {
    "ConstantOfShape": folded([node("ConstantOfShape", "s", "c")], shape(2**20, 2**20)),
    "Expand": network([node("Expand", "x s")], (1,), shape(2**40)),
    "Tile": network([node("Tile", "x s")], (1,), shape(2**40)),
    "Range": folded([node("Range", "a b d", "c")], {"a": F(0), "b": F(1e30), "d": F(1)}),
    "Range of integers": folded([node("Range", "a b d", "c")], {"a": ints(0)[0], "b": ints(2**62)[0], "d": ints(1)[0]}),
    "Pad": network([node("Pad", "x p")], (1, 1), {"p": ints(0, 0, 0, 2**40)}),
    "Pad with edges": network([node("Pad", "x p", mode="edge")], (1, 1), {"p": ints(0, 0, 0, 2**40)}),
    "Resize": network([node("Resize", "x _ r")], (1, 1, 4, 4), {"r": np.asarray([1, 1, 1e8, 1e8], F)}),
    "Resize to sizes": network([node("Resize", "x _ _ r")], (1, 1, 4, 4), {"r": ints(1, 1, 2**31, 4)}),
    "OneHot": folded([node("OneHot", "i d v", "c")], {"i": np.arange(10**4), "d": ints(10**9), "v": F([0, 1])}),
    "Einsum": folded([node("Einsum", "a a a", "c", equation="i,j,k->ijk")], {"a": np.ones(2000, F)}),
    "BlackmanWindow": folded([node("BlackmanWindow", "n", "c")], {"n": ints(2**40)[0]}),
    "MatMul of constants": folded([FILLED, node("MatMul", "k k", "c")], shape(8000, 8000)),
    "outer product": folded([FILLED, node("Transpose", "k", "t"), node("MatMul", "k t", "c")], shape(2**25, 1)),
    "Conv of constants": folded([FILLED, node("Conv", "k w", "c")], {**shape(1, 1, 4000, 4000), "w": WINDOW}),
    "MaxPool of a constant": folded(
        [FILLED, node("MaxPool", "k", "c", kernel_shape=[999, 999])], shape(1, 1, 3000, 3000)
    ),
    "MaxPool with padding": network(
        [node("MaxPool", "x", kernel_shape=[2**40, 2**40], pads=[2**40 - 1] * 4)], (1, 1, 8, 8), {}
    ),
    "dilations": network(
        [node("Conv", "x w", dilations=[2**40] * 2, pads=[2**41] * 4)], (1, 1, 4, 4), {"w": np.ones((1, 1, 3, 3), F)}
    ),
    "ConvTranspose": network(
        [node("ConvTranspose", "x w", strides=[2**20] * 2)], (1, 1, 4, 4), {"w": np.ones((1, 1, 3, 3), F)}
    ),
    "many constants": folded(
        [node("ConstantOfShape", "s", f"m{i}") for i in range(500)] + [node("Sum", FIVE_HUNDRED, "c")],
        shape(2**21),
    ),
    "doubling constants": folded(
        [node("Concat", f"k{i} k{i}", f"k{i + 1}", axis=0) for i in range(40)] + [node("Neg", "k40", "c")],
        {"k0": np.ones(4, F)},
    ),
    "doubling tensors": network(
        [
            node("Concat", f"{'x' if i == 0 else f'k{i}'} {'x' if i == 0 else f'k{i}'}", f"k{i + 1}", axis=0)
            for i in range(40)
        ]
        + [node("Relu", "k40")],
        (4,),
        {},
    ),
    "reducing over and over": folded(
        [FILLED, *(node("ReduceMax", "k", f"m{i}") for i in range(500)), node("Sum", FIVE_HUNDRED, "c")], shape(2**23)
    ),
    "an input of 2^62 elements": network([node("Relu", "x")], (2**31, 2**31), {}),
    "an input of 1000 axes": network([node("Relu", "x")], (1,) * 1000, {}),
    "Unsqueeze": network([node("Unsqueeze", "x a")], (1,), {"a": np.arange(1, 60)}),
    "a long name": network([node("Relu", "x", "t"), helper.make_node("Neg", ["t"], ["y"], name="n" * 10**6)], (1,), {}),
    "many nodes": network(
        [node("Neg", f"{'x' if i == 0 else f't{i}'}", f"t{i + 1}") for i in range(25_000)] + [node("Neg", "t25000")],
        (1,),
        {},
    ),
    "Constant nodes": network(
        [node("Constant", "", f"c{i}", value_float=1.0) for i in range(25_000)] + [node("Relu", "x")], (1,), {}
    ),
}


def compiled(proto: onnx.ModelProto, scratch: Path) -> Verdict:
    """What becomes of a model in a process of its own."""

    def work(folder: Path) -> str:
        path = folder / "in" / "bomb.onnx"
        path.write_bytes(proto.SerializeToString())
        try:
            compile(path, target="avx2", out=folder / "out", emit=["c"])
        except BitcError as error:
            return f"{type(error).__name__}\n{error}"
        return "compiled\n"

    return watched(work, scratch / "case")


@pytest.mark.parametrize("name", BOMBS)
def test_bomb(name: str, tmp_path: Path) -> None:
    verdict = compiled(BOMBS[name], tmp_path)
    assert verdict.faults == ()
    assert verdict.outcome == "ModelError", verdict
    assert "error[M009]: the model is beyond a limit of bitc" in verdict.message
    assert "--limit " in verdict.message
    assert verdict.peak_bytes < 1 << 30


def test_initializers_without_their_data(tmp_path: Path) -> None:
    """2^40 elements, negative and doubled dimensions, more axes than NumPy has."""
    for dims in ([2**40], [2**20, 2**20], [0, 2**62], [2**62, 2**62, 0], [-1], [2**63 - 1] * 4, [1] * 5000):
        proto = network([node("Add", "x w")], (1,), {"w": np.ones(1, F)})
        del proto.graph.initializer[0].dims[:]
        proto.graph.initializer[0].dims.extend(dims)
        verdict = compiled(proto, tmp_path)
        assert verdict.faults == ()
        assert verdict.outcome == "ModelError"
        assert "tensor 'w'" in verdict.message


def function(name: str, calls: list[str]) -> onnx.FunctionProto:
    """A function of the domain ``own`` that calls others one after the other."""
    nodes = [helper.make_node(called, [f"t{i}"], [f"t{i + 1}"], domain="own") for i, called in enumerate(calls)]
    nodes += [helper.make_node("Identity", [f"t{len(calls)}"], ["b"])]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["t0"], ["b"], nodes, imports)


def calling(functions: list[onnx.FunctionProto], first: str) -> onnx.ModelProto:
    proto = network([helper.make_node(first, ["x"], ["y"], domain="own")], (1,), {})
    proto.opset_import.append(helper.make_opsetid("own", 1))
    proto.functions.extend(functions)
    return proto


@pytest.mark.parametrize(
    ("functions", "code", "text"),
    [
        ([function("F", ["F"])], "M008", "'F'"),
        ([function("F", ["G"]), function("G", ["H"]), function("H", ["F"])], "M008", "does not call itself"),
        ([function(f"F{i}", [f"F{i + 1}"] * 2) for i in range(30)] + [function("F30", [])], "M009", "nodes: at most"),
        ([function(f"F{i}", [f"F{i + 1}"]) for i in range(5000)] + [function("F5000", [])], "M009", "nesting: at most"),
    ],
    ids=["itself", "in a circle", "twice each", "5000 deep"],
)
def test_functions(functions: list[onnx.FunctionProto], code: str, text: str, tmp_path: Path) -> None:
    """They are counted before they are inlined."""
    verdict = compiled(calling(functions, functions[0].name), tmp_path)
    assert verdict.faults == ()
    assert verdict.outcome == "ModelError", verdict
    assert code in verdict.message
    assert text in verdict.message


def test_functions_that_end_are_inlined() -> None:
    """Calls of calls within the limits."""
    functions = [function("F0", ["F1", "F1"]), function("F1", ["F2"]), function("F2", [])]
    assert import_model(calling(functions, "F0")).outputs[0].name == "y"


# ------------------------------------------------------------------------------------------------------------- limits


def test_limits_can_be_raised_and_lowered() -> None:
    """The same model under other limits."""
    proto = folded([node("ConstantOfShape", "s", "c")], shape(1000))
    import_model(proto)
    for limits, name in [
        (Limits(nodes=2), "nodes"),
        (Limits(tensor_elements=999), "tensor elements"),
        (Limits(constant_bytes=3000), "constant bytes"),
        (Limits(constant_work=0), "constant work"),
        (Limits(name_characters=10), "name characters"),
        (Limits(rank=0), "rank"),
        (Limits(model_bytes=50), "model bytes"),
    ]:
        with pytest.raises(ModelError, match=f"{name}: at most"):
            import_model(proto, limits=limits)
    import_model(
        folded([node("ConstantOfShape", "s", "c")], shape(2**27)),
        limits=Limits(2**31, constant_bytes=2**30, constant_work=2**30),
    )


def test_weights_make_room_for_what_is_computed_from_them() -> None:
    """A file of n bytes may fold to several times n, whatever the limit."""
    weight = np.random.default_rng(0).normal(size=(64, 64)).astype(F)
    nodes = [node("Sign", "w", "a"), node("Abs", "w", "b"), node("Mul", "a b", "c")]
    import_model(folded(nodes, {"w": weight}), limits=Limits(constant_bytes=64, constant_work=64))


def test_limits_are_named() -> None:
    """Unknown and negative ones."""
    assert Limits.of({"nodes": 5}) == Limits(nodes=5)
    with pytest.raises(OptionError, match="there is no limit 'node'"):
        Limits.of({"node": 5})
    with pytest.raises(OptionError, match="cannot be negative"):
        Limits.of({"nodes": -5})
