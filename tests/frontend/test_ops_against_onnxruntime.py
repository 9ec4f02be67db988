"""Every standard handler: one-node models in each opset form, imported and interpreted, against onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from frontend.oracle import assert_close, assert_equal, model, node, run_onnxruntime
from onnx import helper, numpy_helper

from bitc.frontend import import_model
from bitc.ir import Graph, evaluate

F = np.float32
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, np.inf, -np.inf, np.nan, 1e-45, 3e38], F)


def random(*shape: int, dtype: type = np.float32, low: float = -3, high: float = 3, seed: int = 0) -> np.ndarray:
    """Random numbers of any dtype; floats also hold the special values if there is room."""
    values = np.random.default_rng(seed + sum(shape)).uniform(low, high, shape)
    return values > 0 if dtype is bool else values.astype(dtype)


@dataclass(frozen=True)
class Case:
    """A node, its run-time inputs and constants, for one or more opsets. ``exact``: every bit is onnxruntime's."""

    name: str
    nodes: list[onnx.NodeProto]
    inputs: dict[str, np.ndarray]
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    opsets: tuple[int, ...] = (13,)
    exact: bool = True
    outputs: str = "y"


def one(op_type: str, operands: str, *, outputs: str = "y", name: str = "", opsets: Any = (13,), exact: bool = True,
        constants: dict[str, Any] | None = None, **rest: Any) -> Case:
    """A one-node case; array-valued keywords are inputs, the others attributes."""
    inputs = {k: v for k, v in rest.items() if isinstance(v, np.ndarray)}
    attrs = {k: v for k, v in rest.items() if not isinstance(v, np.ndarray)}
    made = node(op_type, operands, outputs, **attrs)
    constants = {k: np.asarray(v) for k, v in (constants or {}).items()}
    return Case(f"{op_type} {name}".strip(), [made], inputs, constants, tuple(opsets), exact, outputs)


def ints(*values: int) -> np.ndarray:
    """An int64 list, the type of shapes and axes."""
    return np.asarray(values, np.int64)


X = random(2, 3, 8, 7)
V = np.concatenate([random(500, low=-5, high=5), SPECIAL]).astype(F)
I = random(4, 5, dtype=np.int64, low=-9, high=9)  # noqa: E741
B = random(4, 5, dtype=bool)

UNARY_EXACT = ["Abs", "Ceil", "Floor", "Neg", "Reciprocal", "Relu", "Round", "Sign", "Sqrt", "Identity", "HardSigmoid", "LeakyRelu"]
UNARY_CLOSE = ["Erf", "Exp", "Log", "Sigmoid", "Tanh", "Elu", "Selu", "Softplus", "Softsign"]
COMPARE = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]

ELEMENTWISE = [
    *(one(name, "x", x=V, opsets=(11, 13, 22)) for name in UNARY_EXACT),
    *(one(name, "x", x=V, opsets=(11, 13, 22), exact=False) for name in UNARY_CLOSE),
    *(one(name, "x", x=I, name="int") for name in ("Abs", "Neg", "Sign", "Identity")),
    one("Not", "x", x=B),
    *(one(name, "a b", a=X, b=random(3, 1, 7), opsets=(7, 13, 14), name="broadcast") for name in ("Add", "Sub", "Mul", "Div")),
    *(one(name, "a b", a=I, b=np.full((5,), 3), name="int") for name in ("Add", "Sub", "Mul", "Div")),
    *(one(name, "a b", a=V, b=np.roll(V, 1)) for name in COMPARE),
    *(one(name, "a b", a=I, b=I[:1], name="int") for name in COMPARE),
    *(one(name, "a b", a=B, b=B[:1]) for name in ("And", "Or", "Xor")),
    *(one(name, "a b c", a=V, b=np.roll(V, 1), c=np.roll(V, 2), opsets=(8, 13)) for name in ("Max", "Min", "Sum", "Mean")),
    *(one(name, "a", a=V, name="of one", opsets=(8, 13)) for name in ("Max", "Min", "Sum", "Mean")),
    one("Where", "c a b", c=B, a=random(4, 5), b=random(5)),
    *(one("Pow", "x e", x=V, constants={"e": F(e)}, name=str(e), opsets=(7, 12, 13), exact=e in (2, 3)) for e in (2, 3, 4, 1.5)),
    one("Pow", "x e", x=V, constants={"e": np.int64(2)}, name="int exponent", opsets=(12, 15)),
    one("Pow", "x e", x=np.abs(X), e=random(2, 3, 8, 7, seed=5), name="variable", exact=False),
    *(one("Mod", "a b", a=I, b=np.where(I.T.reshape(4, 5) == 0, 2, I.T.reshape(4, 5)), fmod=f, name=f"fmod {f}") for f in (0, 1)),
    *(one("Cast", "x", x=np.array([-3.7, -0.5, 0, 0.5, 2.6], F), to=t, name=str(t), opsets=(9, 13, 21)) for t in (1, 6, 7, 9)),
    one("Cast", "x", x=B, to=1, name="bool to float"),
    one("Cast", "x", x=I, to=3, name="int64 to int8"),
    one("CastLike", "x like", x=I, like=random(1), opsets=(15, 19)),
]  # fmt: skip

ACTIVATIONS = [
    one("LeakyRelu", "x", x=V, alpha=0.3, opsets=(7, 16), name="alpha"),
    one("PRelu", "x s", x=X, constants={"s": random(3, 1, 1)}, opsets=(7, 9, 16)),
    one("Clip", "x", x=V, min=-1.0, max=2.0, opsets=(7, 10), name="attributes"),
    one("Clip", "x lo hi", x=V, constants={"lo": F(-1), "hi": F(2)}, opsets=(11, 13), name="inputs"),
    one("Clip", "x lo hi", x=V, constants={"lo": F(2), "hi": F(-1)}, name="crossed bounds"),
    one("Clip", "x _ hi", x=V[np.isfinite(V)], constants={"hi": F(0.25)}, name="only max"),
    one("Clip", "x lo hi", x=random(9, dtype=np.int8, low=-99, high=99), constants={"lo": np.int8(-7), "hi": np.int8(7)}, name="int8"),
    one("HardSigmoid", "x", x=V, alpha=0.3, beta=0.4, name="attributes"),
    one("HardSwish", "x", x=V, opsets=(14, 22)),
    one("ThresholdedRelu", "x", x=V, alpha=0.7, opsets=(10, 22)),
    one("Elu", "x", x=V, alpha=0.7, exact=False, name="alpha"),
    one("Gelu", "x", x=V, opsets=(20,), exact=False),
    one("Gelu", "x", x=V[np.isfinite(V) & (np.abs(V) < 1e10)], approximate="tanh", opsets=(20,), exact=False, name="tanh"),
    one("Dropout", "x", x=X, opsets=(7, 10), ratio=0.5, name="ratio attribute"),
    one("Dropout", "x r t", x=X, constants={"r": F(0.5), "t": np.False_}, opsets=(12, 13), name="inputs"),
]  # fmt: skip


def _conv(name: str, x: tuple[int, ...], w: tuple[int, ...], bias: bool = False, **attrs: Any) -> Case:
    # small integers, so that every order of summation gives the same float32
    image, weights = (random(*s, low=-4, high=4).round() for s in (x, w))
    constants = {"w": weights, **({"b": random(w[0]).round()} if bias else {})}
    return one("Conv", "x w b" if bias else "x w", x=image, constants=constants, name=name, opsets=(7, 11, 22), **attrs)


def _pools() -> list[Case]:
    cases = []
    for op_type, x in (("MaxPool", X), ("AveragePool", X.round())):
        extra = {"exact": op_type == "MaxPool"}
        cases += [
            one(op_type, "x", x=x, kernel_shape=[2, 3], opsets=(7, 10, 19), name="stride 1", **extra),
            one(op_type, "x", x=x, kernel_shape=[2, 2], strides=[2, 2], opsets=(7, 12, 22), name="stride 2", **extra),
            one(op_type, "x", x=x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 2, 1], name="asymmetric pads", **extra),
            one(op_type, "x", x=x, kernel_shape=[3, 3], strides=[2, 3], ceil_mode=1, opsets=(10, 19), name="ceil", **extra),
            one(op_type, "x", x=x, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER", name="same lower", **extra),
            one(op_type, "x", x=x, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER", name="same upper", **extra),
            one(op_type, "x", x=x, kernel_shape=[3, 3], auto_pad="VALID", name="valid", **extra),
            one(op_type, "x", x=x[:, :, 0], kernel_shape=[3], strides=[2], pads=[1, 0], name="1-D", **extra),
            one(op_type, "x", x=random(1, 2, 4, 5, 6), kernel_shape=[2, 2, 2], name="3-D", **extra),
        ]
    return [
        *cases,
        one("MaxPool", "x", x=X, kernel_shape=[2, 2], dilations=[2, 3], opsets=(10, 12), name="dilations"),
        one("MaxPool", "x", x=random(1, 2, 5, 5, dtype=np.int8, low=-9, high=9), kernel_shape=[2, 2], opsets=(12,), name="int8"),
        one("AveragePool", "x", x=X, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1, exact=False, name="count pad"),
        one("AveragePool", "x", x=X, kernel_shape=[2, 2], dilations=[2, 2], opsets=(19, 22), exact=False, name="dilations"),
        one("GlobalAveragePool", "x", x=X, exact=False, opsets=(7, 22)),
        one("GlobalMaxPool", "x", x=X, opsets=(7, 22)),
    ]


BN = {"s": random(3), "b": random(3, seed=1), "m": random(3, seed=2), "v": random(3, low=0.01, high=4)}

LINEAR = [
    _conv("plain", (2, 3, 8, 7), (4, 3, 3, 3)),
    _conv("bias", (1, 3, 8, 7), (4, 3, 3, 2), bias=True),
    _conv("strides, asymmetric pads", (1, 3, 8, 7), (4, 3, 3, 3), strides=[2, 1], pads=[1, 0, 2, 1]),
    _conv("dilations, groups", (1, 4, 9, 9), (6, 2, 3, 3), dilations=[2, 1], group=2),
    _conv("depthwise", (1, 4, 5, 5), (8, 1, 3, 3), group=4, kernel_shape=[3, 3]),
    _conv("same upper", (1, 2, 8, 7), (3, 2, 3, 4), auto_pad="SAME_UPPER", strides=[2, 2]),
    _conv("same lower", (1, 2, 8, 7), (3, 2, 3, 4), auto_pad="SAME_LOWER", strides=[2, 2]),
    _conv("valid", (1, 2, 8, 7), (3, 2, 3, 4), auto_pad="VALID"),
    _conv("1-D", (2, 3, 11), (4, 3, 3), bias=True, strides=[2], pads=[1, 0]),
    _conv("3-D", (1, 2, 4, 5, 6), (3, 2, 2, 2, 2), bias=True),
    *(
        one("Gemm", "a b c", a=random(*a).round(), constants={"b": random(*b).round(), "c": np.asarray(random(*c).round(), F)},
            transA=ta, transB=tb, alpha=0.5, beta=2.0, opsets=(7, 11, 13), name=f"{ta}{tb} {c}")
        for ta, tb, a, b, c in [(0, 0, (3, 4), (4, 5), (5,)), (1, 0, (4, 3), (4, 5), (3, 1)), (0, 1, (3, 4), (5, 4), ()), (1, 1, (4, 3), (5, 4), (3, 5))]
    ),
    one("Gemm", "a b", a=random(3, 4).round(), constants={"b": random(4, 5).round()}, opsets=(11, 13), name="no C"),
    *(
        one("MatMul", "a b", a=random(*a).round(), b=random(*b).round(), opsets=(9, 13), name=f"{a} {b}")
        for a, b in [((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 1, 3, 4), (5, 4, 2)), ((2, 3, 4), (4, 2))]
    ),
    *(
        one("BatchNormalization", "x s b m v", x=x, constants=BN, epsilon=1e-3, opsets=(7, 9, 14, 15), name=f"rank {x.ndim}")
        for x in (X, X[:, :, 0], X[:, :, 0, 0])
    ),
    one("LayerNormalization", "x s b", x=X, constants={"s": random(7), "b": random(7)}, opsets=(17,), exact=False),
    one("LayerNormalization", "x s", x=X, constants={"s": random(8, 7)}, axis=2, opsets=(17,), exact=False, name="axis 2"),
    one("InstanceNormalization", "x s b", x=X, constants={"s": BN["s"], "b": BN["b"]}, exact=False),
    *_pools(),
]  # fmt: skip

REDUCTIONS = [
    *(
        one(f"Reduce{kind}", "x", x=x, axes=[-1, 1], keepdims=keep, opsets=(11, 13) if kind != "Sum" else (11,), exact=False,
            name=f"attribute keepdims {keep}")
        for kind, x in [("Mean", X), ("Sum", X), ("Max", X), ("Min", X), ("L1", X), ("L2", X), ("SumSquare", X), ("LogSumExp", X), ("LogSum", np.abs(X))]
        for keep in (0, 1)
    ),
    *(one(f"Reduce{kind}", "x a", x=X, constants={"a": ints(2)}, opsets=(18,), exact=False, name="input") for kind in ("Mean", "Sum", "Max", "Min", "L2")),
    one("ReduceSum", "x a", x=X, constants={"a": ints(1, 2)}, keepdims=0, opsets=(13,), exact=False, name="input 13"),
    one("ReduceMax", "x", x=X, opsets=(11, 13, 18), name="all axes"),
    one("ReduceSum", "x a", x=X, constants={"a": ints()}, noop_with_empty_axes=1, name="no axes, no operation"),
    one("ReduceSum", "x", x=I, exact=True, name="int"),
    *(one(kind, "x", x=X, axis=axis, opsets=opsets, exact=False, name=f"axis {axis}")
      for kind in ("Softmax", "LogSoftmax") for axis, opsets in [(1, (7, 11, 12, 13)), (3, (11, 13)), (-1, (13,)), (2, (11, 13)), (0, (11, 13))]),
    *(one(kind, "x", x=X.round(), axis=axis, keepdims=k, opsets=(7, 11, 13), name=f"axis {axis}")
      for kind in ("ArgMax", "ArgMin") for axis, k in [(1, 1), (0, 0)]),
    *(one(kind, "x", x=X.round(), axis=-1, select_last_index=1, opsets=(12, 13), name="last") for kind in ("ArgMax", "ArgMin")),
    one("TopK", "x", x=X, k=3, axis=2, outputs="y i", opsets=(7, 9), name="attribute"),
    one("TopK", "x k", x=X, constants={"k": ints(3)}, axis=-1, outputs="y i", opsets=(10, 11), name="input"),
    one("TopK", "x k", x=X.round(), constants={"k": ints(2)}, axis=1, largest=0, outputs="y i", opsets=(11,), name="smallest, ties"),
]  # fmt: skip

SHAPES = [
    *(one("Reshape", "x s", x=X, constants={"s": ints(*s)}, opsets=(7, 13, 14, 21), name=str(s)) for s in [(2, -1), (0, 0, -1), (0, 3, 56), (-1,)]),
    one("Reshape", "x s", x=X, constants={"s": ints(16, -1)}, allowzero=1, opsets=(14,), name="allowzero"),
    *(one("Flatten", "x", x=X, axis=a, opsets=(9, 13), name=str(a)) for a in (0, 1, 2, 4)),
    one("Flatten", "x", x=X, axis=-1, opsets=(11, 13), name="negative"),
    one("Transpose", "x", x=X, perm=[0, 2, 3, 1]),
    one("Transpose", "x", x=X, name="default"),
    one("Squeeze", "x", x=X[:, :1, :1], axes=[1], opsets=(7, 11), name="attribute"),
    one("Squeeze", "x a", x=X[:, :1, :1], constants={"a": ints(-2)}, opsets=(13, 21), name="input"),
    one("Squeeze", "x", x=X[:, :1, :1], opsets=(11, 13), name="all"),
    one("Unsqueeze", "x", x=X, axes=[0, 3], opsets=(7, 11), name="attribute"),
    one("Unsqueeze", "x a", x=X, constants={"a": ints(-1, 0)}, opsets=(13,), name="input"),
    one("Concat", "a b c", a=X, b=X[:, :1], c=X[:, 1:], axis=1),
    one("Concat", "a b", a=X, b=X, axis=-2, opsets=(11,), name="negative"),
    one("Split", "x", x=X, axis=2, split=[2, 5, 1], outputs="y z w", opsets=(7, 11), name="attribute"),
    one("Split", "x s", x=X, constants={"s": ints(2, 6)}, axis=-2, outputs="y z", opsets=(13, 18), name="input"),
    one("Split", "x", x=X, axis=2, outputs="y z", opsets=(7, 13), name="equal"),
    one("Split", "x", x=X, axis=3, num_outputs=3, outputs="y z w", opsets=(18,), name="num_outputs"),
    one("Slice", "x", x=X, starts=[1, -3], ends=[100, -1], axes=[2, 3], opsets=(7, 9), name="attributes"),
    one("Slice", "x", x=X, starts=[0, 1], ends=[1, 2], opsets=(9,), name="no axes"),
    one("Slice", "x s e a t", x=X, constants={"s": ints(-1, 6), "e": ints(-100, 0), "a": ints(2, -1), "t": ints(-1, -2)}, opsets=(10, 13), name="backwards"),
    one("Slice", "x s e", x=X, constants={"s": ints(0, 1), "e": ints(1, 2**62)}, opsets=(10, 13), name="inputs"),
    *(one("Gather", "x i", x=X, constants={"i": np.asarray(i, np.int64)}, axis=a, opsets=(7, 13), name=str(i)) for i, a in [(1, 1), ([0, 2], -1), ([[0, 1], [2, 0]], 2)]),
    one("Gather", "x i", x=X, constants={"i": ints(-1, 0)}, axis=3, opsets=(11, 13), name="negative"),
    one("Expand", "x s", x=X[:, :, :1], constants={"s": ints(1, 8, 1)}, opsets=(8, 13)),
    one("Expand", "x s", x=X[0], constants={"s": ints(5, 1, 1, 1)}, name="rank"),
    one("Tile", "x r", x=X, constants={"r": ints(1, 2, 1, 3)}, opsets=(7, 13)),
    one("Pad", "x", x=X, pads=[0, 0, 1, 2, 0, 0, 3, 0], value=1.0, opsets=(7, 10), name="attributes"),
    one("Pad", "x p v", x=X, constants={"p": ints(0, 1, 1, 2, 0, 0, 3, 0), "v": F(-1)}, opsets=(11, 13, 21), name="inputs"),
    one("Pad", "x p", x=X, constants={"p": ints(0, 0, -1, 2, 0, 0, -3, -1)}, opsets=(11,), name="negative"),
    one("Pad", "x p _ a", x=X, constants={"p": ints(1, 2, 0, 1), "a": ints(-1, 2)}, opsets=(18,), name="axes"),
    *(one("Pad", "x p", x=X, constants={"p": ints(0, 0, 1, 2, 0, 0, 3, 0)}, mode=m, opsets=(11, 13), name=m) for m in ("reflect", "edge")),
    one("Pad", "x p", x=X, constants={"p": ints(0, 0, 1, 2, 0, 0, 3, 0)}, mode="wrap", opsets=(19,), name="wrap"),
    *(one("DepthToSpace", "x", x=random(1, 8, 2, 3), blocksize=2, mode=m, opsets=(11, 13), name=m) for m in ("DCR", "CRD")),
    one("SpaceToDepth", "x", x=random(1, 3, 4, 6), blocksize=2),
    one("Shape", "x", x=X, opsets=(7, 13)),
    one("Shape", "x", x=X, start=1, end=-1, opsets=(15, 21), name="part"),
    one("Size", "x", x=X),
    one("Upsample", "x", x=X, scales=[1.0, 1.0, 2.0, 3.0], opsets=(7,), name="attribute"),
    one("Upsample", "x s", x=X, constants={"s": np.asarray([1, 1, 2, 3], F)}, opsets=(9,), name="input"),
    one("Resize", "x s", x=X, constants={"s": np.asarray([1, 1, 2, 1.5], F)}, opsets=(10,), name="10"),
    *(
        one("Resize", "x _ s", x=X, constants={"s": np.asarray([1, 1, 0.6, 2.5], F)}, mode="nearest", nearest_mode=r,
            coordinate_transformation_mode=c, opsets=(13, 19), name=f"{c} {r}")
        for c in ("asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel")
        for r in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    ),
    one("ConstantOfShape", "s", constants={"s": ints(2, 3)}, opsets=(9, 21)),
    one("ConstantOfShape", "s", constants={"s": ints(2, 3)}, value=helper.make_tensor("v", 7, [1], [5]), name="value"),
    *(one("Range", "a b c", constants={"a": t(a), "b": t(b), "c": t(c)}, opsets=(11,), name=f"{a} {b} {c}")
      for t, a, b, c in [(np.int64, 1, 9, 3), (np.int64, 5, 0, -2), (F, 0.5, 3, 0.7)]),
    *(one("Constant", "", name=k, **{k: v}) for k, v in [("value_float", 1.5), ("value_int", 3), ("value_floats", [1.0, 2.0]), ("value_ints", [4, 5])]),
    one("Constant", "", value=numpy_helper.from_array(X), name="tensor", opsets=(9, 13)),
    one("Resize", "x _ _ s", x=X, constants={"s": ints(2, 3, 5, 14)}, opsets=(13, 19), name="sizes"),
]  # fmt: skip

CASES = ELEMENTWISE + ACTIVATIONS + LINEAR + REDUCTIONS + SHAPES


def check(graph: Graph) -> None:
    """What the frontend promises of every graph."""
    assert all(op.name.startswith("nn.") for op in graph.ops)
    assert all(op.loc.startswith(("node ", "output ")) for op in graph.ops if op.name != "nn.constant")


@pytest.mark.parametrize(
    ("case", "opset"), [pytest.param(c, o, id=f"{c.name} @{o}") for c in CASES for o in c.opsets]
)  # fmt: skip
def test_agrees_with_onnxruntime(case: Case, opset: int) -> None:
    """Same names, dtypes, shapes and values."""
    proto = model(case.nodes, case.inputs, case.constants, case.outputs, opset)
    graph = import_model(proto)
    check(graph)
    assert [value.name for value in graph.outputs] == case.outputs.split()
    with np.errstate(all="ignore"):
        ours = evaluate(graph, case.inputs)
    theirs = run_onnxruntime(proto, case.inputs)
    (assert_equal if case.exact else assert_close)(ours, theirs)
