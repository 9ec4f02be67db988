"""Whole networks as exporters write them, against onnxruntime or, for QONNX, qonnx's executor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from frontend.oracle import run_onnxruntime, run_qonnx

from bitc.frontend import import_model
from bitc.ir import Graph, evaluate

REPOSITORY = Path(__file__).resolve().parents[2]
STANDARD = [
    "bnn_pynq/cnvW1A1_cifar10_sign",
    "bnn_pynq/cnvW1A2_cifar10_gt",
    "bnn_pynq/lfcW1A1_mnist_sign",
    "larq_exports/larq_cnn_dorefa2",
    "larq_exports/larq_cnn_stesign_pad0",
    "larq_exports/larq_cnn_stesign_pad1",
    "torch_exports/bireal_cnn_sign_ts",
    "torch_exports/bnn_mlp_sign_ts",
    "torch_exports/dorefa_w1a2_ts",
    "torch_exports/twn_cnn_ts",
    "torch_exports/xnor_cnn_sign_dynamo",
    "torch_exports/xnor_cnn_sign_ts",
]
QONNX = [
    "qonnx_zoo/TFC_1W1A",
    "qonnx_zoo/TFC_2W2A",
    "qonnx_zoo/kwsmlp_w3a3",
    "finn/build_dataflow_model",
    "brevitas_exports/brevitas_w1a1_qonnx",
    "brevitas_exports/brevitas_w2a2_qonnx",
]
OWN = ["digits_cnn_w1a1_residual", "digits_mixed_w8_w1", "digits_mlp_ternary", "digits_mlp_w1a1"]
IMAGES = 3


def images(graph: Graph, name: str) -> np.ndarray:
    """A few random inputs in the networks' usual ranges (whole numbers for FINN's net, -1..1 for the others)."""
    shape = (IMAGES, *graph.inputs[0].shape[1:])
    random = np.random.default_rng(0)
    return (
        random.integers(0, 256, shape).astype(np.float32)
        if "finn" in name
        else random.uniform(-1, 1, shape).astype(np.float32)
    )


def each_image(graph: Graph, x: np.ndarray) -> list[np.ndarray]:
    """Outputs of the interpreter, image by image, stacked."""
    rows = [evaluate(graph, [x[i : i + 1]]) for i in range(len(x))]
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def agree(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    """The same classes, and values up to the rounding of another order of summation in the float layers."""
    for a, b in zip(ours, theirs, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a.argmax(axis=-1), b.argmax(axis=-1))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(b).max())))


@pytest.mark.parametrize("name", STANDARD)
def test_standard(shared: Path, name: str) -> None:
    """Binary and ternary networks of five exporters; all but the batch is static."""
    path = shared / "models" / f"{name}.onnx"
    graph = import_model(path)
    assert graph.attrs["batch"]
    x = images(graph, name)
    agree(each_image(graph, x), run_onnxruntime(path.read_bytes(), {graph.inputs[0].name: x}))


@pytest.mark.parametrize("name", QONNX)
def test_qonnx(shared: Path, name: str) -> None:
    """QONNX files of three generations, in a fixed batch of one."""
    path = shared / "models" / f"{name}.onnx"
    graph = import_model(path)
    proto = onnx.load(path)
    for image in images(graph, name):
        x = image[np.newaxis]
        agree(evaluate(graph, [x]), run_qonnx(proto, {graph.inputs[0].name: x}))


@pytest.mark.parametrize("name", OWN)
def test_own(name: str) -> None:
    """The networks of this repository, against onnxruntime."""
    path = REPOSITORY / "models" / f"{name}.onnx"
    graph = import_model(path)
    x = images(graph, name)
    agree(each_image(graph, x), run_onnxruntime(path.read_bytes(), {graph.inputs[0].name: x}))


def test_weights_are_folded(shared: Path) -> None:
    """Latent float weights leave no arithmetic behind: the second operand of each product is a constant of few values."""
    for name in ("torch_exports/xnor_cnn_sign_ts", "torch_exports/bnn_mlp_sign_ts", "qonnx_zoo/TFC_2W2A"):
        graph = import_model(shared / "models" / f"{name}.onnx")
        products = [op for op in graph.ops if op.name in ("nn.conv", "nn.matmul")]
        assert len(products) >= 3
        for op in products:
            assert op.operands[1].constant is not None
        assert np.unique(np.abs(products[1].operands[1].constant[0])).size <= 2
