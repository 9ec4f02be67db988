"""onnxruntime's own float operators, imported and interpreted, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from frontend.contrib import both, contrib
from frontend.oracle import run_onnxruntime

from bitc.errors import ModelError, UnsupportedError
from bitc.frontend import import_model
from bitc.ir import evaluate

F = np.float32
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 4, 9, 8)).astype(F)
W = RNG.normal(size=(6, 4, 3, 3)).astype(F)
B = RNG.normal(size=6).astype(F)
Z = RNG.normal(size=(2, 6, 9, 8)).astype(F)
CONV_ACTIVATIONS = {
    "": [],
    "Relu": [],
    "Tanh": [],
    "Sigmoid": [],
    "HardSwish": [],
    "LeakyRelu": [0.1],
    "Clip": [-1.0, 2.0],
    "HardSigmoid": [0.2, 0.4],
}
GEMM_ACTIVATIONS = {
    "Relu": {},
    "LeakyRelu": {"activation_alpha": 0.1},
    "Elu": {"activation_alpha": 0.7},
    "Selu": {"activation_alpha": 1.5, "activation_gamma": 1.2},
    "ThresholdedRelu": {"activation_alpha": 0.5},
    "Sigmoid": {},
    "HardSigmoid": {"activation_alpha": 0.3, "activation_beta": 0.4},
    "Tanh": {},
    "Softplus": {},
    "Softsign": {},
}


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("activation", CONV_ACTIVATIONS)
def test_fused_conv(activation: str, residual: bool) -> None:
    """A convolution, a sum and an activation, which passes on how the sum was rounded: CPUs add its terms in different orders."""
    attrs: dict[str, Any] = {"pads": [1] * 4}
    operands = {"x": X, "w": W, "b": B, "z": Z if residual else None}
    sums = both("FusedConv", operands, inputs=("x", "z"), **attrs).close().theirs[0]
    if activation:
        attrs["activation"] = activation
    if CONV_ACTIVATIONS[activation]:
        attrs["activation_params"] = CONV_ACTIVATIONS[activation]
    both("FusedConv", operands, inputs=("x", "z"), **attrs).close(scale=float(np.abs(sums).max()))


def test_fused_conv_channels_last_is_the_fused_conv_of_the_transposed_image() -> None:
    """onnxruntime has no float32 kernel of NhwcFusedConv, so its twin is the oracle."""
    attrs = {"pads": [1] * 4, "activation": "Relu"}
    proto, feeds = contrib("FusedConv", {"x": X, "w": W, "b": B, "z": Z}, inputs=("x", "z"), **attrs)
    (expected,) = run_onnxruntime(proto, feeds)
    last = {name: np.ascontiguousarray(array.transpose(0, 2, 3, 1)) for name, array in (("x", X), ("z", Z))}
    proto, feeds = contrib(
        "NhwcFusedConv", {"x": last["x"], "w": W, "b": B, "z": last["z"]}, inputs=("x", "z"), **attrs
    )
    (found,) = evaluate(import_model(proto), feeds)
    np.testing.assert_allclose(found.transpose(0, 3, 1, 2), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("activation", GEMM_ACTIVATIONS)
def test_fused_gemm(activation: str) -> None:
    """A matrix product and an activation."""
    a, b, c = (RNG.normal(size=s).astype(F) for s in ((9, 5), (9, 7), (7,)))
    attrs: dict[str, Any] = {"transA": 1, "alpha": 0.5, "beta": 2.0, **GEMM_ACTIVATIONS[activation]}
    both("FusedGemm", {"x": a, "b": b, "c": c}, activation=activation, **attrs).close()


@pytest.mark.parametrize(
    ("a", "b", "attrs"),
    [
        ((2, 3, 4, 5), (2, 3, 5, 6), {"alpha": 0.3}),
        ((2, 3, 5, 4), (2, 3, 5, 6), {"transA": 1}),
        ((4, 5), (6, 5), {"transB": 1}),
        ((4, 2, 3, 5), (2, 3, 5, 6), {"transBatchA": 1}),
        ((5, 2, 3, 4), (6, 2, 3, 5), {"transBatchA": 1, "transA": 1, "transBatchB": 1, "transB": 1}),
    ],
)
def test_fused_matmul(a: tuple[int, ...], b: tuple[int, ...], attrs: dict[str, Any]) -> None:
    """Factors, transposed matrices, and batches that lie between rows and columns; TransposeMatMul is the older name."""
    operands = {"x": RNG.normal(size=a).astype(F), "w": RNG.normal(size=b).astype(F)}
    both("FusedMatMul", operands, **attrs).close()
    if not any("Batch" in name for name in attrs):
        both("TransposeMatMul", operands, **attrs).close()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("ceil", [0, 1])
def test_max_pool_channels_last(dtype: type, ceil: int) -> None:
    """Padding never wins."""
    limits = np.iinfo(dtype)
    x = RNG.integers(limits.min, limits.min + 5, (2, 9, 8, 3)).astype(dtype)
    both("NhwcMaxPool", {"x": x}, kernel_shape=[2, 3], strides=[2, 2], pads=[1, 1, 0, 1], ceil_mode=ceil).equal()


@pytest.mark.parametrize(
    ("op_type", "bias", "attrs"),
    [
        ("Gelu", False, {}),
        ("BiasGelu", True, {}),
        ("FastGelu", False, {}),
        ("FastGelu", True, {}),
        ("QuickGelu", False, {}),
        ("QuickGelu", False, {"alpha": 1.5}),
    ],
)
def test_gelu_family(op_type: str, bias: bool, attrs: dict[str, Any]) -> None:
    """Activations of transformers, with a bias or without."""
    operands = {"x": 3 * RNG.normal(size=(20, 64)).astype(F)}
    both(op_type, operands | ({"b": RNG.normal(size=64).astype(F)} if bias else {}), **attrs).close()


@pytest.mark.parametrize("bias", [False, True])
def test_layer_normalisations(bias: bool) -> None:
    """Over the last axis, with and without the mean; also the sum that is normalised."""
    x, skip = (RNG.normal(size=(2, 7, 32)).astype(F) for _ in range(2))
    gamma, beta, b = (RNG.normal(size=32).astype(F) for _ in range(3))
    both("SimplifiedLayerNormalization", {"x": x, "g": gamma}, domain="", axis=-1, epsilon=1e-4).close()
    full = {"x": x, "skip": skip, "g": gamma, "beta": beta, "b": b if bias else None}
    both("SkipLayerNormalization", full, inputs=("x", "skip"), epsilon=1e-4, outputs="y mean dev sum").close()
    simple = {"x": x, "skip": skip, "g": gamma, "b": b if bias else None}
    both("SkipSimplifiedLayerNormalization", simple, inputs=("x", "skip"), epsilon=1e-4).close()


def test_refusals() -> None:
    """Activations bitc does not fuse apart are named, and parameters that are missing."""
    with pytest.raises(UnsupportedError, match=r"activation of FusedConv is.*\n.*Gelu"):
        import_model(contrib("FusedConv", {"x": X, "w": W}, activation="Gelu")[0])
    with pytest.raises(UnsupportedError, match="activation of FusedGemm is"):
        import_model(contrib("FusedGemm", {"x": X[0, 0], "w": X[0, 0].T}, activation="Gelu")[0])
    with pytest.raises(ModelError, match="parameters of its activation"):
        import_model(contrib("FusedConv", {"x": X, "w": W}, activation="Clip")[0])
    with pytest.raises(UnsupportedError, match="matrices or stacks"):
        import_model(contrib("FusedMatMul", {"x": X[0, 0, 0], "w": X[0, 0].T})[0])
