"""The NumPy meaning of ``nn`` ops is ONNX's: single-node models in onnxruntime agree, to the bit where sums are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from bitc.ir import Builder, DType, Graph, TensorType, evaluate

RNG = np.random.default_rng(7)


def onnx_run(
    op_type: str, inputs: list[np.ndarray], outputs: int = 1, opset: int = 19, **attrs: Any
) -> list[np.ndarray]:
    """Outputs of a model of one node."""
    names = [f"i{k}" for k in range(len(inputs))]
    outs = [f"o{k}" for k in range(outputs)]
    given = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(names, inputs, strict=True)
    ]
    wanted = [onnx.ValueInfoProto(name=name) for name in outs]
    graph = helper.make_graph([helper.make_node(op_type, names, outs, **attrs)], "one", given, wanted)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(None, dict(zip(names, inputs, strict=True)))
    return found


def ir_run(op_name: str, inputs: list[np.ndarray], **attrs: Any) -> list[np.ndarray]:
    """Outputs of a graph of one op; the interpreter checks shapes against inference."""
    b = Builder()
    values = [b.input(f"i{k}", TensorType(a.shape, DType.of(a.dtype))) for k, a in enumerate(inputs)]
    results = b.add_multi(op_name, *values, **attrs)
    return evaluate(Graph("one", values, b.ops, results), inputs)


def same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    """Equal dtype, shape and values (NaN is NaN)."""
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, strict=True)


def integers(*shape: int) -> np.ndarray:
    """Small whole numbers as float32: sums of them are exact in any order."""
    return RNG.integers(-8, 9, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("x", "w", "strides", "pads", "dilations", "group"),
    [
        ((1, 3, 7, 8), (4, 3, 3, 3), (1, 1), (0, 0, 0, 0), (1, 1), 1),
        ((2, 4, 9, 6), (6, 2, 3, 2), (2, 1), (1, 0, 2, 1), (1, 2), 2),
        ((1, 4, 8, 8), (4, 1, 3, 3), (2, 2), (0, 0, 1, 1), (1, 1), 4),
        ((1, 2, 11, 5), (3, 2, 3, 1), (3, 1), (2, 0, 0, 0), (2, 1), 1),
        ((2, 3, 12), (4, 3, 4), (2,), (1, 2), (3,), 1),
        ((1, 2, 5, 4, 6), (2, 1, 2, 3, 2), (1, 2, 1), (1, 0, 0, 0, 1, 1), (1, 1, 2), 2),
    ],
)
def test_conv(x: Any, w: Any, strides: Any, pads: Any, dilations: Any, group: int) -> None:
    arrays = [integers(*x), integers(*w)]
    attrs = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}
    same(ir_run("nn.conv", arrays, **attrs), onnx_run("Conv", arrays, **attrs))


@pytest.mark.parametrize(("a", "b"), [((3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((6, 2, 3), (3, 7))])
def test_matmul(a: Any, b: Any) -> None:
    arrays = [integers(*a), integers(*b)]
    same(ir_run("nn.matmul", arrays), onnx_run("MatMul", arrays))


POOLS = [
    # spatial, kernel, strides, pads, dilations, ceil
    ((6, 6), (2, 2), (2, 2), (0, 0, 0, 0), (1, 1), False),
    ((7, 5), (3, 2), (2, 2), (1, 0, 0, 1), (1, 1), False),
    ((7, 7), (2, 2), (2, 2), (0, 0, 0, 0), (1, 1), True),
    ((7, 8), (3, 3), (2, 3), (1, 1, 1, 1), (1, 1), True),
    ((5, 5), (2, 2), (3, 3), (0, 0, 1, 1), (1, 1), True),
    ((4, 9), (2, 3), (2, 4), (1, 0, 1, 2), (1, 1), True),
    ((9, 9), (3, 2), (2, 1), (2, 1, 1, 0), (2, 1), False),
    ((13,), (3,), (2,), (1, 1), (2,), True),
]


@pytest.mark.parametrize(("spatial", "kernel", "strides", "pads", "dilations", "ceil"), POOLS)
def test_max_pool(spatial: Any, kernel: Any, strides: Any, pads: Any, dilations: Any, ceil: bool) -> None:
    arrays = [integers(2, 3, *spatial)]
    attrs = {"strides": strides, "pads": pads, "dilations": dilations}
    found = ir_run("nn.max_pool", arrays, kernel=kernel, ceil=ceil, **attrs)
    same(found, onnx_run("MaxPool", arrays, kernel_shape=kernel, ceil_mode=int(ceil), **attrs))


@pytest.mark.parametrize("count_pad", [False, True])
@pytest.mark.parametrize(("spatial", "kernel", "strides", "pads", "dilations", "ceil"), POOLS)
def test_avg_pool(
    spatial: Any, kernel: Any, strides: Any, pads: Any, dilations: Any, ceil: bool, count_pad: bool
) -> None:
    arrays = [integers(2, 3, *spatial)]
    attrs = {"strides": strides, "pads": pads, "dilations": dilations}
    found = ir_run("nn.avg_pool", arrays, kernel=kernel, ceil=ceil, count_pad=count_pad, **attrs)
    more = {"kernel_shape": kernel, "ceil_mode": int(ceil), "count_include_pad": int(count_pad)}
    same(found, onnx_run("AveragePool", arrays, **attrs, **more))


TIES = np.asarray([[3, 1, 3, 2, 3, 0], [0, 0, 0, 0, 0, 0], [5, 4, 4, 5, 1, 1]])


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int32])
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize(("axis", "k"), [(-1, 4), (1, 6), (0, 2)])
def test_topk_ties(dtype: type, largest: bool, axis: int, k: int) -> None:
    x = TIES.astype(dtype)
    wanted = onnx_run("TopK", [x, np.asarray([k])], 2, axis=axis, largest=int(largest))
    same(ir_run("nn.topk", [x], k=k, axis=axis, largest=largest), wanted)


def test_topk_of_unsigned_and_lowest() -> None:
    low = np.iinfo(np.int32).min
    values, indices = ir_run("nn.topk", [np.asarray([0, 7, 255, 7], np.uint8)], k=4)
    assert values.tolist() == [255, 7, 7, 0]
    assert indices.tolist() == [2, 1, 3, 0]
    values, indices = ir_run("nn.topk", [np.asarray([low, 0, low], np.int32)], k=3)
    assert indices.tolist() == [1, 0, 2]


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize(("least", "onnx_name"), [(False, "ArgMax"), (True, "ArgMin")])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_argmax_ties(keepdims: bool, last: bool, least: bool, onnx_name: str, axis: int) -> None:
    x = TIES.astype(np.float32)
    wanted = onnx_run(onnx_name, [x], axis=axis, keepdims=int(keepdims), select_last_index=int(last))
    same(ir_run("nn.argmax", [x], axis=axis, keepdims=keepdims, last=last, least=least), wanted)


def test_prelu_broadcasts_its_slope() -> None:
    x, slope = integers(2, 3, 4, 4), RNG.standard_normal((3, 1, 1)).astype(np.float32)
    same(ir_run("nn.prelu", [x, slope]), onnx_run("PRelu", [x, slope]))


def test_where_broadcasts_all_three() -> None:
    arrays = [RNG.integers(0, 2, (4, 1)).astype(bool), integers(1, 5), integers(3, 1, 1)]
    same(ir_run("nn.where", arrays), onnx_run("Where", arrays))


SPECIAL = np.asarray([-np.inf, -2.5, -1.5, -0.5, -0.0, 0.0, 0.5, 1.5, 2.5, np.inf, np.nan], np.float32)


@pytest.mark.parametrize(
    ("name", "onnx_name"),
    [("sign", "Sign"), ("abs", "Abs"), ("neg", "Neg"), ("floor", "Floor"), ("ceil", "Ceil"), ("round", "Round")],
)
def test_exact_unary_at_special_values(name: str, onnx_name: str) -> None:
    same(ir_run(f"nn.{name}", [SPECIAL]), onnx_run(onnx_name, [SPECIAL]))


@pytest.mark.parametrize(
    ("name", "onnx_name"),
    [("exp", "Exp"), ("tanh", "Tanh"), ("sigmoid", "Sigmoid"), ("erf", "Erf"), ("sqrt", "Sqrt"), ("log", "Log")],
)
def test_rounded_unary(name: str, onnx_name: str) -> None:
    x = np.abs(RNG.standard_normal(200)).astype(np.float32) + np.float32(0.1)
    np.testing.assert_allclose(ir_run(f"nn.{name}", [x])[0], onnx_run(onnx_name, [x])[0], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_integer_division_truncates_toward_zero(dtype: type) -> None:
    arrays = [np.asarray([7, -7, 7, -7, 6], dtype), np.asarray([2, 2, -2, -2, 3], dtype)]
    same(ir_run("nn.div", arrays), onnx_run("Div", arrays))
    assert ir_run("nn.div", arrays)[0].tolist() == [3, -3, -3, 3, 2]


@pytest.mark.parametrize(("name", "onnx_name"), [("min", "Min"), ("max", "Max")])
def test_min_max_let_nan_win(name: str, onnx_name: str) -> None:
    arrays = [SPECIAL, SPECIAL[::-1].copy()]
    same(ir_run(f"nn.{name}", arrays), onnx_run(onnx_name, arrays))


def test_cast_truncates_toward_zero() -> None:
    x = np.asarray([-2.7, -0.5, 0.5, 2.7], np.float32)
    same(ir_run("nn.cast", [x], to=DType.I32), onnx_run("Cast", [x], to=onnx.TensorProto.INT32))


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("kind", ["Max", "Min", "Mean"])
def test_reduce(keepdims: bool, kind: str) -> None:
    x = integers(2, 4, 4, 2)
    found = ir_run(f"nn.reduce_{kind.lower()}", [x], axes=(1, -2), keepdims=keepdims)
    same(found, onnx_run(f"Reduce{kind}", [x, np.asarray([1, -2])], keepdims=int(keepdims)))


@pytest.mark.parametrize(("log", "onnx_name"), [(False, "Softmax"), (True, "LogSoftmax")])
def test_softmax(log: bool, onnx_name: str) -> None:
    x = RNG.standard_normal((3, 4, 5)).astype(np.float32) * 5
    wanted = onnx_run(onnx_name, [x], axis=1)[0]
    np.testing.assert_allclose(ir_run("nn.softmax", [x], axis=1, log=log)[0], wanted, rtol=2e-6, atol=1e-7)


def test_gather() -> None:
    x, indices = integers(3, 5, 2), np.asarray([[4, 0], [-1, 2]])
    same(ir_run("nn.gather", [x], indices=indices, axis=1), onnx_run("Gather", [x, indices], axis=1))


@pytest.mark.parametrize(
    ("starts", "stops", "steps"),
    [((0, 1, 0), (3, 5, 2), (1, 2, 1)), ((2, 4, 0), (-1, 0, 2), (-1, -2, 1)), ((1, 2, 1), (1, 5, 2), (1, 1, 1))],
)
def test_slice(starts: Any, stops: Any, steps: Any) -> None:
    x = integers(3, 5, 2)
    ends = [-(2**31) if stop < 0 else stop for stop in stops]
    wanted = onnx_run("Slice", [x, *(np.asarray(v) for v in (starts, ends, (0, 1, 2), steps))])
    same(ir_run("nn.slice", [x], starts=starts, stops=stops, steps=steps), wanted)


def test_pad_and_expand_and_concat() -> None:
    x = integers(2, 1, 3)
    wanted = onnx_run("Pad", [x, np.asarray([1, 0, 0, 0, 2, 1]), np.asarray(2.5, np.float32)])
    same(ir_run("nn.pad", [x], pads=(1, 0, 0, 0, 2, 1), value=2.5), wanted)
    same(ir_run("nn.expand", [x], shape=(4, 3)), onnx_run("Expand", [x, np.asarray([4, 3])]))
    y = integers(2, 4, 3)
    same(ir_run("nn.concat", [x, y], axis=-2), onnx_run("Concat", [x, y], axis=-2))
