"""Operators that quantized networks apply to integer tensors as they are, against onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from frontend.oracle import assert_equal, model, node, run_onnxruntime

from bitc.frontend import import_model
from bitc.ir import evaluate

PADS = np.array([0, 0, 1, 2, 0, 0, 3, 1])
CASES: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "clip": ("Clip", "x lo hi", {}),
    "clip-below": ("Clip", "x lo", {}),
    "clip-above": ("Clip", "x _ hi", {}),
    "clip-crossed": ("Clip", "x hi lo", {}),
    "max": ("Max", "x lo w", {}),
    "min": ("Min", "x hi w", {}),
    "max-pool": ("MaxPool", "x", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "max-pool-padded": (
        "MaxPool",
        "x",
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    ),
    "reshape": ("Reshape", "x shape", {}),
    "transpose": ("Transpose", "x", {"perm": [0, 2, 3, 1]}),
    "pad": ("Pad", "x pads lo", {}),
    "pad-edge": ("Pad", "x pads", {"mode": "edge"}),
    "concat": ("Concat", "x w", {"axis": 0}),
    "slice": ("Slice", "x from to", {}),
    "gather": ("Gather", "x from", {"axis": 1}),
    "where": ("Where", "flag x w", {}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_eight_bits(case: str, dtype: Any) -> None:
    op_type, operands, attrs = CASES[case]
    rng = np.random.default_rng(2)
    limits = np.iinfo(dtype)
    x, w = (rng.integers(limits.min, limits.max, (1, 3, 8, 8), dtype, endpoint=True) for _ in range(2))
    constants = {
        "lo": dtype(3),
        "hi": dtype(100),
        "w": w,
        "shape": np.array([3, -1]),
        "pads": PADS,
        "from": np.array([0, 1]),
    }
    constants |= {"to": np.array([1, 3]), "flag": rng.integers(0, 2, 8).astype(bool)}
    used = {name: constants[name] for name in operands.split() if name in constants}
    proto = model([node(op_type, operands, **attrs)], {"x": x}, used, opset=17)
    assert_equal(evaluate(import_model(proto), {"x": x}), run_onnxruntime(proto, {"x": x}))


@pytest.mark.parametrize("opset", [14, 21])
def test_relu(opset: int) -> None:
    x = np.arange(-128, 128).astype(np.int8)
    proto = model([node("Relu", "x")], {"x": x}, opset=opset)
    assert_equal(evaluate(import_model(proto), {"x": x}), run_onnxruntime(proto, {"x": x}))


@pytest.mark.parametrize(("lo", "hi"), [(-7, 7), (0, 15), (-1, 1)])
def test_quantize_clip_dequantize(lo: int, hi: int) -> None:
    """How Brevitas writes fewer bits than eight."""
    rng = np.random.default_rng(4)
    x = (3 * rng.standard_normal((4, 500))).astype(np.float32)
    dtype = np.int8 if lo < 0 else np.uint8
    constants = {"s": np.float32(0.3), "z": dtype(0), "lo": dtype(lo), "hi": dtype(hi)}
    nodes: list[onnx.NodeProto] = [
        node("QuantizeLinear", "x s z", "q"),
        node("Clip", "q lo hi", "c"),
        node("DequantizeLinear", "c s z"),
    ]
    proto = model(nodes, {"x": x}, constants)
    ours = evaluate(import_model(proto), {"x": x})
    assert_equal(ours, run_onnxruntime(proto, {"x": x}))
    assert np.unique(ours[0]).size == hi - lo + 1
