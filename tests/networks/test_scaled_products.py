"""Products of two activations whose scales and offsets are found at run time: integers, and the answers are onnxruntime's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import bitc
from bitc.check import check
from tests.networks.building import TARGETS
from tests.networks.onnx_net import Net, build_quickly, product_forms, truth

F = np.float32
TOKENS, WIDTH, HEADS = 110, 120, 2
DEPTH = WIDTH // HEADS
Quantizer = Callable[[Net, str, list[int] | None], str]


def of(net: Net, kind: str, x: str, axes: list[int] | None) -> str:
    """An extreme over ``axes``, which stay; over all of them, a number."""
    return net.node(kind, x, keepdims=0) if axes is None else net.node(kind, x, axes=axes, keepdims=1)


def symmetric(net: Net, x: str, axes: list[int] | None) -> str:
    """127 steps of the largest, as TBT writes it: nothing keeps its reciprocal finite."""
    scale = net.node("Mul", net.node("Reciprocal", of(net, "ReduceMax", net.node("Abs", x), axes)), F(127))
    return net.node("Div", net.node("Round", net.node("Mul", x, scale)), scale)


def least_and_greatest(net: Net, x: str, axes: list[int] | None) -> str:
    """255 steps from the least number to the greatest, of clipped numbers."""
    x = net.node("Where", net.node("Less", x, F(2.5)), x, F(2.5))
    x = net.node("Where", net.node("Greater", x, F(-2.5)), x, F(-2.5))
    least = of(net, "ReduceMin", x, axes)
    span = net.node("Add", net.node("Sub", of(net, "ReduceMax", x, axes), least), F(1e-8))
    steps = net.node("Mul", net.node("Div", net.node("Sub", x, least), span), F(255))
    share = net.node("Div", net.node("Round", steps), F(255))
    return net.node("Add", net.node("Mul", share, span), least)


def above_the_least(net: Net, x: str, axes: list[int] | None) -> str:
    """Two bits: a learned step, above the least number."""
    least = of(net, "ReduceMin", x, axes)
    steps = net.node("Round", net.node("Div", net.node("Sub", x, least), F(0.31)))
    return net.node("Add", net.node("Mul", net.node("Clip", steps, F(0), F(2)), F(0.31)), least)


def two_bits(net: Net, x: str, axes: list[int] | None) -> str:
    """-1, 0 and 1 times a learned step."""
    return net.node("Mul", net.node("Clip", net.node("Round", net.node("Div", x, F(0.83))), F(-1), F(1)), F(0.83))


def in_heads(net: Net, x: str, perm: list[int]) -> str:
    return net.node("Transpose", net.node("Reshape", x, np.array([1, TOKENS, HEADS, DEPTH])), perm=perm)


@dataclass(frozen=True)
class Attention:
    """How queries, keys and values are quantized, and how probabilities; ``rows``: queries and keys token by token."""

    inputs: Quantizer
    shares: Quantizer
    rows: bool = False
    positive: bool = False

    def net(self) -> Net:
        """Scores of queries and keys, and probabilities times values."""
        net, axes = Net(), [2] if self.rows else None
        q, k, v = (net.input(name, (1, TOKENS, WIDTH)) for name in "qkv")
        if self.positive:
            q, k, v = (net.node("Relu", x) for x in (q, k, v))
        queries = in_heads(net, self.inputs(net, q, axes), [0, 2, 1, 3])
        keys = in_heads(net, self.inputs(net, k, axes), [0, 2, 3, 1])
        values = in_heads(net, self.inputs(net, v, None), [0, 2, 1, 3])
        scores = net.node("MatMul", queries, keys)
        shares = net.node("Softmax", net.node("Mul", scores, F(0.1)), axis=3)
        net.output(scores)
        net.output(net.node("MatMul", self.shares(net, shares, [3] if self.rows else None), values))
        return net


ATTENTIONS = {
    "symmetric": Attention(symmetric, symmetric),
    "a scale for a token": Attention(symmetric, symmetric, rows=True),
    "probabilities above their least": Attention(symmetric, least_and_greatest),
    "two bits above the least": Attention(two_bits, above_the_least),
    "both above their least": Attention(least_and_greatest, least_and_greatest, positive=True),
    "both above the least of a token": Attention(least_and_greatest, least_and_greatest, rows=True, positive=True),
}


def feeds() -> dict[str, np.ndarray]:
    """Random numbers; some tokens take one value only, or hardly any other."""
    rng = np.random.default_rng(5)
    found = {name: rng.normal(0.3, 1, (1, TOKENS, WIDTH)).astype(F) for name in "qkv"}
    for x in found.values():
        x[0, 3], x[0, 4], x[0, 5] = 0.5, 1e-3 * x[0, 5], -0.25
    return found


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("target", TARGETS)
def test_attentions_run_on_integers(name: str, target: str, tmp_path: Path) -> None:
    """Portable C multiplies as fast in floats, and so does avx2 where eight steps behind the product are to be paid."""
    model, given = ATTENTIONS[name].net().save(tmp_path / "attention.onnx"), feeds()
    session = build_quickly(model, target, tmp_path)
    forms = product_forms(session)
    if target != "portable":
        assert "float" not in forms[0]
        assert ("float" in forms[1]) == (target == "avx2" and "both" in name)
    for got, wanted in zip(session.run(None, given), truth(model, given), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("name", ATTENTIONS)
def test_every_stage_is_within_rounding_of_onnxruntime(name: str, tmp_path: Path) -> None:
    report = check(ATTENTIONS[name].net().save(tmp_path / "a.onnx"), target="avx2", stages=True, inputs=feeds())
    assert report.passed, report.findings


@pytest.mark.parametrize("name", ["symmetric", "both above their least"])
@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_tensors_of_one_value(name: str, target: str, tmp_path: Path) -> None:
    """Without a span the least number is all there is; a symmetric quantizer of zeros gives NaN, as in the file."""
    model = ATTENTIONS[name].net().save(tmp_path / "attention.onnx")
    values = (0, 0, 0) if name == "symmetric" else (0.7, 1.5, 3)
    given = {name: np.full((1, TOKENS, WIDTH), value, F) for name, value in zip("qkv", values, strict=True)}
    for got, wanted in zip(build_quickly(model, target, tmp_path).run(None, given), truth(model, given), strict=True):
        assert np.isnan(wanted).all() == (name == "symmetric")
        np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_an_offset_that_may_cancel_stays(tmp_path: Path) -> None:
    """The least number is below 0: what is left of a token near 0 would be lost in products of its codes."""
    net = Attention(least_and_greatest, least_and_greatest).net()
    artifact = bitc.compile(net.save(tmp_path / "attention.onnx"), target="avx2", out=tmp_path / "net", emit=("c",))
    forms = {layer["node"]: layer for layer in artifact.manifest["layers"] if layer["macs"]}
    assert [layer["form"] for layer in forms.values()] == ["float32", "float32"]
    assert all("cancel" in layer["why"] for layer in forms.values())
