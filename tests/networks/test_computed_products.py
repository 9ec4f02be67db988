"""Products of two activations of up to 8 bits, as quantized attentions have them: integers, and the answers are onnxruntime's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.networks.building import TARGETS
from tests.networks.onnx_net import Net, build_quickly, product_forms, truth

F = np.float32
TOKENS, DEPTH = 48, 32


def quantized(net: Net, x: str, bits: int, scale: float) -> str:
    """QuantizeLinear to int8, perhaps clipped to fewer bits, and DequantizeLinear."""
    codes = net.node("QuantizeLinear", x, F(scale), np.int8(0))
    if bits < 8:
        codes = net.node("Clip", codes, np.int8(-(2 ** (bits - 1))), np.int8(2 ** (bits - 1) - 1))
    return net.node("DequantizeLinear", codes, F(scale), np.int8(0))


def attention(bits: int, scale: float) -> Net:
    """Scores of queries and keys, which are cut off and quantized again, times values; no softmax, so that all is exact."""
    net = Net()
    q, k, v = (quantized(net, net.input(name, (2, TOKENS, DEPTH)), bits, scale) for name in "qkv")
    scores = net.node("MatMul", q, net.node("Transpose", k, perm=[0, 2, 1]))
    weights = net.node("QuantizeLinear", net.node("Relu", scores), F(0.25), np.uint8(0))
    net.output(scores)
    net.output(net.node("MatMul", net.node("DequantizeLinear", weights, F(0.25), np.uint8(0)), v))
    return net


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("bits", [4, 8])
def test_an_attention_without_softmax(bits: int, target: str, tmp_path: Path) -> None:
    """Exact in the file and here; portable C multiplies these as fast in floats."""
    model = attention(bits, 1 / 16).save(tmp_path / "attention.onnx")
    session = build_quickly(model, target, tmp_path)
    words = target == "avx2" and bits == 8
    scores = "int16 x int16" if words else "int8 x int8"
    weighted = {"avx2": "int8 x int8" if bits == 4 else "int16 x int16", "avx512": "int8 x int8"}
    expected = ["float32", "float32"] if target == "portable" else [scores, weighted[target]]
    assert product_forms(session) == expected
    rng = np.random.default_rng(bits)
    given = {name: rng.normal(0, 2, (2, TOKENS, DEPTH)).astype(F) for name in "qkv"}
    for got, wanted in zip(session.run(None, given), truth(model, given), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("target", TARGETS)
def test_scales_that_the_file_rounds_with(target: str, tmp_path: Path) -> None:
    """The file sums rounded floats, the library integers: within a few units of the last place of the largest sum."""
    model = attention(4, 0.0713).save(tmp_path / "attention.onnx")
    session = build_quickly(model, target, tmp_path)
    rng = np.random.default_rng(3)
    given = {name: rng.normal(0, 2, (2, TOKENS, DEPTH)).astype(F) for name in "qkv"}
    got, wanted = session.run(None, given)[0], truth(model, given)[0]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=DEPTH * np.spacing(np.abs(wanted).max()))
