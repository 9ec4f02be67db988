"""Files that onnxruntime has optimised and saved: its fused operators in the wild, taken apart again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from bitc.frontend import import_model
from bitc.ir import evaluate
from bitc.oracle import oracle_for

LEVELS = {
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
EXACT = [
    ("mlperf_tiny/ad_autoencoder_int8_qop", "extended", {"QGemm"}),
    ("mlperf_tiny/kws_dscnn_int8_qop", "extended", {"QLinearAveragePool", "QGemm", "QLinearSoftmax"}),
    ("mlperf_tiny/kws_dscnn_int8_qop", "all", {"QLinearConv", "QLinearAveragePool", "QGemm", "QLinearSoftmax"}),
    ("mlperf_tiny/resnet8_cifar10_int8_qdq", "basic", set()),
    ("mlperf_tiny/resnet8_cifar10_int8_qdq", "extended", {"QLinearAdd"}),
    ("mlperf_tiny/vww_mobilenetv1_int8_qdq", "extended", set()),
    ("ort_quant/mnist_cnn_dynamic", "extended", {"DynamicQuantizeMatMul"}),
    ("ort_quant/mnist_cnn_qdq_u8u8", "basic", set()),
    ("ort_quant/mnist_cnn_qdq_u8u8", "extended", {"QGemm"}),
    ("ort_quant/mnist_cnn_qop_u8u8", "all", {"QLinearConv", "NhwcMaxPool", "QGemm"}),
]
CLOSE = [
    ("larq_exports/larq_cnn_dorefa2", "extended", {"FusedMatMul"}),
    ("torch_exports/twn_cnn_ts", "extended", {"FusedConv"}),
    ("ort_quant/dense_big_matmulnbits_b4_asym", "extended", {"MatMulNBits"}),
]


def optimised(path: Path, level: str, folder: Path) -> Path:
    """The model as onnxruntime saves it after optimisation."""
    options = ort.SessionOptions()
    options.graph_optimization_level = LEVELS[level]
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return folder / "optimised.onnx"


def both(path: Path) -> tuple[list[np.ndarray], list[np.ndarray], set[str]]:
    """Outputs of bitc and of onnxruntime without further optimisation, and which of its own operators the file holds."""
    graph = import_model(path)
    rng = np.random.default_rng(0)
    feeds = {}
    for value in graph.inputs:
        dtype = value.type.dtype.numpy
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max + 1) if dtype.kind in "iu" else (0, 256)
        feeds[value.name] = rng.integers(low, high, value.shape).astype(dtype)
    own = {node.op_type for node in onnx.load(path).graph.node if node.domain == "com.microsoft"}
    oracle = oracle_for(path)
    found = oracle.run(feeds)
    return evaluate(graph, feeds), [found[name] for name in oracle.output_names], own


@pytest.mark.parametrize(("name", "level", "operators"), EXACT)
def test_integer_networks(name: str, level: str, operators: set[str], shared: Path, tmp_path: Path) -> None:
    """The same bits."""
    ours, theirs, own = both(optimised(shared / "models" / f"{name}.onnx", level, tmp_path))
    assert own == operators
    for a, b in zip(ours, theirs, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("name", "level", "operators"), CLOSE)
def test_float_networks(name: str, level: str, operators: set[str], shared: Path, tmp_path: Path) -> None:
    """Up to the order of float sums."""
    ours, theirs, own = both(optimised(shared / "models" / f"{name}.onnx", level, tmp_path))
    assert own == operators
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1.0, float(np.abs(b).max())))
