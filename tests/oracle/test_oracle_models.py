"""Models restated for onnxruntime: sums of uint8 times int8 are exact on every CPU, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from frontend.contrib import DOMAIN, contrib

from bitc.oracle import oracle_for
from bitc.oracle_models import for_onnxruntime

F = np.float32
U8, I8 = np.uint8, np.int8
LOW, HIGH = np.full((64, 3), -128, I8), np.full((64, 3), 127, I8)
X = np.concatenate([np.full((1, 64), 255, U8), np.random.default_rng(0).integers(0, 256, (5, 64)).astype(U8)])
SCALE = {"sa": F(0.5), "sb": F(0.25)}


def operands(op_type: str, weights: np.ndarray, zero: int) -> dict[str, Any]:
    """The operands of one product of X and weights, zero points 3 and ``zero``."""
    x, za, zb = {"x": X}, {"za": U8(3)}, {"zb": I8(zero)}
    match op_type:
        case "MatMulInteger":
            return x | {"w": weights} | za | zb
        case "MatMulIntegerToFloat":
            return x | {"w": weights} | SCALE | za | zb
        case "QGemm":
            return x | {"sa": SCALE["sa"]} | za | {"w": weights, "sb": SCALE["sb"]} | zb
        case _:
            rest = {"sy": F(1000), "zy": U8(100)}
            return x | {"sa": SCALE["sa"]} | za | {"w": weights, "sb": SCALE["sb"]} | zb | rest


def expected(op_type: str, weights: np.ndarray, zero: int) -> np.ndarray:
    """The exact result."""
    total = (X.astype(np.int64) - 3) @ (weights.astype(np.int64) - zero)
    if op_type == "MatMulInteger":
        return total.astype(np.int32)
    if op_type in ("MatMulIntegerToFloat", "QGemm"):
        return total.astype(F) * F(0.125)
    return np.clip(np.rint(total.astype(F) * (F(0.125) / F(1000))) + 100, 0, 255).astype(U8)


@pytest.mark.parametrize("op_type", ["MatMulInteger", "MatMulIntegerToFloat", "QGemm", "QLinearMatMul"])
@pytest.mark.parametrize("weights", [LOW, HIGH], ids=["low", "high"])
@pytest.mark.parametrize("zero", [0, -5])
def test_products_do_not_saturate(op_type: str, weights: np.ndarray, zero: int, tmp_path: Path) -> None:
    """The largest products there are."""
    domain = "" if op_type in ("MatMulInteger", "QLinearMatMul") else DOMAIN
    proto, feeds = contrib(op_type, operands(op_type, weights, zero), domain=domain)
    onnx.save(proto, tmp_path / "net.onnx")
    oracle = oracle_for(tmp_path / "net.onnx")
    np.testing.assert_array_equal(oracle.run(feeds)["y"], expected(op_type, weights, zero))
    np.testing.assert_array_equal(oracle.tensors(feeds)["y"], expected(op_type, weights, zero))


def test_convolutions_and_dynamic_products(tmp_path: Path) -> None:
    """Weights with a zero point for each channel, and none at all."""
    image = {"x": X.reshape(6, 64, 1, 1), "sa": F(0.5), "za": U8(3), "w": HIGH.T.reshape(3, 64, 1, 1)}
    image |= {"sb": np.full(3, 0.25, F), "zb": np.zeros(3, I8), "sy": F(1000), "zy": U8(100)}
    proto, feeds = contrib("QLinearConv", image, domain="")
    onnx.save(proto, tmp_path / "conv.onnx")
    found = oracle_for(tmp_path / "conv.onnx").run(feeds)["y"]
    np.testing.assert_array_equal(found.reshape(6, 3), expected("QLinearConv", HIGH, 0))
    proto, feeds = contrib("DynamicQuantizeMatMul", {"x": X.astype(F), "w": HIGH, "sb": F(0.25)})
    onnx.save(proto, tmp_path / "dynamic.onnx")
    found = oracle_for(tmp_path / "dynamic.onnx").run(feeds)["y"]
    np.testing.assert_array_equal(found, (X.astype(np.int64) @ HIGH.astype(np.int64)).astype(F) * F(0.25))


def test_products_beside_qonnx_nodes_do_not_saturate(tmp_path: Path) -> None:
    """qonnx runs standard nodes with onnxruntime's kernels."""
    nodes = [
        onnx.helper.make_node("MatMulInteger", ["x", "w"], ["sum"]),
        onnx.helper.make_node("Cast", ["sum"], ["float"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("BipolarQuant", ["float", "one"], ["y"], domain="qonnx.custom_op.general"),
    ]
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, X.shape)
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (6, 3))
    constants = [onnx.numpy_helper.from_array(HIGH, "w"), onnx.numpy_helper.from_array(np.ones((), F), "one")]
    opsets = [onnx.helper.make_opsetid("", 13), onnx.helper.make_opsetid("qonnx.custom_op.general", 1)]
    graph = onnx.helper.make_graph(nodes, "net", [x], [y], constants)
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "net.onnx")
    found = oracle_for(tmp_path / "net.onnx").tensors({"x": X})["sum"]
    np.testing.assert_array_equal(found, X.astype(np.int32) @ HIGH.astype(np.int32))


@pytest.mark.parametrize("changed", [{"x": X.astype(I8), "za": I8(3)}, {"w": HIGH.astype(U8), "zb": U8(0)}])
def test_products_that_are_exact_stay_as_they_are(changed: dict[str, np.ndarray]) -> None:
    """Both int8 or both uint8."""
    assert for_onnxruntime(contrib("MatMulInteger", operands("MatMulInteger", HIGH, 0) | changed, domain="")[0]) is None


def test_weights_that_are_inputs_stay_as_they_are() -> None:
    """Only constants are restated."""
    proto, _ = contrib("MatMulInteger", operands("MatMulInteger", HIGH, 0), domain="", inputs=("x", "w"))
    assert for_onnxruntime(proto) is None


def test_types_are_known_behind_operators_that_onnx_does_not_know(tmp_path: Path) -> None:
    """A reshape of com.microsoft's codes, then a product: the codes are uint8, whoever infers types."""
    nodes = [
        onnx.helper.make_node("QLinearLeakyRelu", ["x", "s", "z", "s", "z"], ["codes"], domain=DOMAIN, alpha=1.0),
        onnx.helper.make_node("Reshape", ["codes", "shape"], ["rows"]),
        onnx.helper.make_node("MatMulInteger", ["rows", "w"], ["y"]),
    ]
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, (6, 8, 8))
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT32, (6, 3))
    arrays = {"s": np.ones((), F), "z": np.zeros((), U8), "shape": np.array([6, 64]), "w": HIGH}
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    opsets = [onnx.helper.make_opsetid("", 13), onnx.helper.make_opsetid(DOMAIN, 1)]
    graph = onnx.helper.make_graph(nodes, "net", [x], [y], constants)
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "net.onnx")
    found = oracle_for(tmp_path / "net.onnx").run({"x": X.reshape(6, 8, 8)})["y"]
    np.testing.assert_array_equal(found, X.astype(np.int32) @ HIGH.astype(np.int32))
