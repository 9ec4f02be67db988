"""Scales, offsets and thresholds computed at run time: the products behind them run on codes, and the answers are onnxruntime's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitc.check import check
from tests.networks.onnx_net import Net, build_quickly, product_forms, truth

F = np.float32
EPSILON = F(1e-5)


def codes(*shape: int, most: int = 127) -> np.ndarray:
    """Random weight integers, the same for the same arguments; one is the largest."""
    found = np.random.default_rng((most, *shape)).integers(-most, most + 1, shape)
    found.flat[0] = most
    return found.astype(F)


def signs(*shape: int) -> np.ndarray:
    """Random ±1, the same for the same shape."""
    return np.random.default_rng(shape).choice([-1, 1], shape).astype(F)


def size(net: Net, x: str, axes: list[int] | None, kind: str = "ReduceMax") -> str:
    """The largest (or mean) |x| over ``axes``, which stay."""
    return net.node(kind, net.node("Abs", x), keepdims=1, **({"axes": axes} if axes is not None else {}))


def rounded(net: Net, x: str, scale: str, most: int) -> str:
    """The quantizer of most exporters, times its scale again."""
    q = net.node("Clip", net.node("Round", net.node("Div", x, scale)), F(-most), F(most))
    return net.node("Mul", q, scale)


def dynamic_int8(net: Net, x: str, axes: list[int] | None) -> str:
    scale = net.node("Div", net.node("Max", size(net, x, axes), EPSILON), F(127))
    return rounded(net, x, scale, 127)


def per_tensor(net: Net) -> None:
    x = net.input("x", (3, 40))
    net.output(net.node("MatMul", dynamic_int8(net, x, None), codes(40, 6) * F(0.01)))


def per_row(net: Net) -> None:
    x = net.input("x", ("N", 5, 40))
    net.output(net.node("MatMul", dynamic_int8(net, x, [2]), codes(40, 6, most=1) * F(0.37)))


def per_row_in_heads(net: Net) -> None:
    """A reshape to heads and a transpose stand between the scale and the product."""
    x = net.input("x", (1, 5, 64))
    heads = net.node("Reshape", dynamic_int8(net, x, [2]), np.array([1, 5, 4, 16]))
    net.output(net.node("MatMul", net.node("Transpose", heads, perm=[0, 2, 1, 3]), codes(16, 6, most=7) * F(0.2)))


def per_image(net: Net) -> None:
    x = net.input("x", ("N", 3, 9, 7))
    weights = codes(8, 3, 3, 3) * F(0.03)
    net.output(net.node("Conv", dynamic_int8(net, x, [1, 2, 3]), weights, pads=[1, 1, 1, 1], strides=[2, 1]))


def per_pixel(net: Net) -> None:
    x = net.input("x", ("N", 6, 4, 5))
    net.output(net.node("Conv", dynamic_int8(net, x, [1]), codes(8, 6, 1, 1) * F(0.03)))


def no_clip(net: Net) -> None:
    """Nothing but the scale itself bounds what is rounded."""
    x = net.input("x", ("N", 32))
    scale = net.node("Div", F(127), net.node("Max", size(net, x, [1]), EPSILON))
    q = net.node("Round", net.node("Mul", x, scale))
    net.output(net.node("MatMul", net.node("Div", q, scale), codes(32, 6, most=7)))


def spikes_by_mean(net: Net) -> None:
    """SpikingBrain: as many spikes as x is times a third of the row's mean size; at most three times the row's length."""
    x = net.input("x", ("N", 64))
    step = net.node("Max", net.node("Div", size(net, x, [1], "ReduceMean"), F(3)), EPSILON)
    spikes = net.node("Round", net.node("Div", x, step))
    net.output(net.node("MatMul", net.node("Mul", spikes, step), codes(64, 6) * F(0.02)))


def dynamic_matmul_integer(net: Net) -> None:
    """What onnxruntime's quantize_dynamic writes: an unsigned code with a zero point, exact sums, both scales behind."""
    x = net.input("x", (3, 40))
    q, scale, zero = net.nodes("DynamicQuantizeLinear", x, names=("q", "scale", "zero"))
    # without VNNI onnxruntime saturates pairs of products of eight bits
    weights = codes(40, 6, most=63).astype(np.int8)
    sums = net.node("MatMulInteger", q, weights, zero, np.int8(0))
    net.output(net.node("Mul", net.node("Cast", sums, to=1), net.node("Mul", scale, F(0.017))))


def dynamic_conv_integer(net: Net) -> None:
    """Zero padding is the zero point, which is known at run time only; weights have a zero point too."""
    x = net.input("x", (1, 3, 9, 7))
    q, scale, zero = net.nodes("DynamicQuantizeLinear", x, names=("q", "scale", "zero"))
    weights = (codes(8, 3, 3, 3) + 128).astype(np.uint8)
    sums = net.node("ConvInteger", q, weights, zero, np.uint8(131), pads=[1, 0, 2, 1])
    net.output(net.node("Mul", net.node("Cast", sums, to=1), net.node("Mul", scale, F(0.017))))


def dynamic_qdq(net: Net) -> None:
    """The same in QDQ form: a float product of dequantized numbers."""
    x = net.input("x", (3, 40))
    q, scale, zero = net.nodes("DynamicQuantizeLinear", x, names=("q", "scale", "zero"))
    net.output(net.node("MatMul", net.node("DequantizeLinear", q, scale, zero), codes(40, 6) * F(0.02)))


def learned_scale_and_minimum(net: Net) -> None:
    """TBT's unsigned ternary activations: {0, 1, 2} times a learned scale, above the tensor's minimum."""
    x = net.input("x", (4, 24))
    least = net.node("ReduceMin", x, keepdims=0)
    q = net.node("Clip", net.node("Round", net.node("Div", net.node("Sub", x, least), F(0.7))), F(0), F(2))
    net.output(net.node("MatMul", net.node("Add", net.node("Mul", q, F(0.7)), least), codes(24, 6, most=1) * F(0.3)))


def sign_times_mean(net: Net) -> None:
    """XNOR-Net without the map: one mean size an image, zero padding."""
    x = net.input("x", ("N", 16, 6, 6))
    sign = net.node("Where", net.node("GreaterOrEqual", x, F(0)), F(1), F(-1))
    scaled = net.node("Mul", sign, size(net, x, [1, 2, 3], "ReduceMean"))
    net.output(net.node("Conv", scaled, signs(8, 16, 3, 3) * F(0.4), pads=[1, 1, 1, 1]))


def sign_and_map_of_means(net: Net) -> None:
    """XNOR-Net's K: the mean size of each window's pixels multiplies the sum behind it."""
    x = net.input("x", ("N", 16, 6, 6))
    sign = net.node("Where", net.node("GreaterOrEqual", x, F(0)), F(1), F(-1))
    sums = net.node("Conv", sign, signs(8, 16, 3, 3), pads=[1, 1, 1, 1])
    means = net.node("Conv", size(net, x, [1], "ReduceMean"), np.full((1, 1, 3, 3), 1 / 9, F), pads=[1, 1, 1, 1])
    net.output(net.node("Mul", sums, means))


def row_maximum(net: Net) -> None:
    """BiViT's attention: 1 where a probability reaches a quarter of its row's largest."""
    p = net.node("Softmax", net.input("x", ("N", 6, 12)), axis=2)
    quarter = net.node("Mul", net.node("ReduceMax", p, axes=[2], keepdims=1), F(0.25))
    bits = net.node("Where", net.node("Less", p, quarter), F(0), F(1))
    net.output(net.node("MatMul", bits, signs(12, 5)))


def threshold_at_the_mean(net: Net) -> None:
    x = net.input("x", ("N", 16, 6, 6))
    mean = net.node("ReduceMean", x, axes=[1, 2, 3], keepdims=1)
    sign = net.node("Where", net.node("Greater", x, mean), F(1), F(-1))
    net.output(net.node("Conv", sign, signs(8, 16, 3, 3), pads=[1, 1, 1, 1]))


def nothing_above_zero(net: Net) -> None:
    """TBT's signed activations: a reciprocal of the largest, expanded, and nothing that keeps it finite."""
    x = net.input("x", (1, 5, 40))
    largest = net.node("Expand", net.node("ReduceMax", net.node("Abs", x), keepdims=0), np.array([1, 5, 40]))
    scale = net.node("Mul", net.node("Reciprocal", largest), F(127))
    q = net.node("Div", net.node("Round", net.node("Mul", x, scale)), scale)
    net.output(net.node("MatMul", q, codes(40, 6, most=1) * F(0.3)))


def residue_of_signs_and_mean(net: Net) -> None:
    """XNOR-Net as BiBench exports it: the straight-through residue of the clip stays in the graph."""
    clipped = net.node("Clip", net.input("x", ("N", 16, 6, 6)), F(-1), F(1))
    q = net.node("Mul", size(net, clipped, [1, 2, 3], "ReduceMean"), net.node("Sign", clipped))
    residue = net.node("Add", net.node("Sub", q, clipped), clipped)
    net.output(net.node("Conv", residue, signs(8, 16, 3, 3) * F(0.4), pads=[1, 1, 1, 1]))


def residue_of_tokens(net: Net) -> None:
    """BitNet as it is trained: ``x + (quantized(x) - x)``, the size of each token from the token itself."""
    x = net.input("x", ("N", 5, 40))
    scale = net.node("Div", F(127), net.node("Clip", size(net, x, [2]), EPSILON))
    q = net.node("Clip", net.node("Round", net.node("Mul", x, scale)), F(-128), F(127))
    residue = net.node("Add", x, net.node("Sub", net.node("Div", q, scale), x))
    net.output(net.node("MatMul", residue, codes(40, 6, most=1) * F(0.3)))


def two_bases(net: Net) -> None:
    """BinaryDM: weights ±a±b of each channel, and a residue of the rounding."""
    steps = net.node("Clip", net.node("Div", net.input("x", ("N", 6, 7, 7)), F(0.6)), F(-8), F(7))
    residue = net.node("Add", net.node("Sub", net.node("Round", steps), steps), steps)
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(low, high, (8, 1, 1, 1)).astype(F) for low, high in ((0.5, 1), (0.1, 0.4)))
    weights = a * signs(8, 6, 3, 3) + b * signs(1, 8, 6, 3, 3)[0]
    net.output(net.node("Conv", net.node("Mul", residue, F(0.6)), weights, pads=[1, 1, 1, 1]))


SYSTEMS: dict[str, Callable[[Net], None]] = {
    "int8, a scale for the tensor": per_tensor,
    "int8, a scale for a row": per_row,
    "int8, a scale for a row, in heads": per_row_in_heads,
    "int8, a scale for an image": per_image,
    "int8, a scale for a pixel": per_pixel,
    "int8 without a clip": no_clip,
    "spikes counted by the mean": spikes_by_mean,
    "DynamicQuantizeLinear, MatMulInteger": dynamic_matmul_integer,
    "DynamicQuantizeLinear, ConvInteger": dynamic_conv_integer,
    "DynamicQuantizeLinear, DequantizeLinear": dynamic_qdq,
    "ternary above the minimum": learned_scale_and_minimum,
    "signs times the mean": sign_times_mean,
    "signs times a map of means": sign_and_map_of_means,
    "int8 without an epsilon": nothing_above_zero,
    "a residue of signs times the mean": residue_of_signs_and_mean,
    "a residue of tokens": residue_of_tokens,
    "two bases": two_bases,
    "bits by the row's maximum": row_maximum,
    "signs about the mean": threshold_at_the_mean,
}


def feeds(net: Net) -> dict[str, np.ndarray]:
    """Random numbers of several sizes; one row of them is small."""
    dims = [4 if isinstance(d, str) else d for d in net.shape("x")]
    x = np.random.default_rng(len(dims)).normal(size=dims).astype(F)
    x[-1] *= F(0.01)
    return {"x": x}


EXACT = ("DynamicQuantizeLinear, MatMulInteger", "DynamicQuantizeLinear, ConvInteger", "bits by the row's maximum")
"""Here the file's own sums are of integers."""


@pytest.mark.parametrize("target", ["portable", "avx2"])
@pytest.mark.parametrize("value", [0.0, 1e-37])
def test_a_scale_that_overflows_gives_nan_as_in_the_file(value: float, target: str, tmp_path: Path) -> None:
    net = Net()
    nothing_above_zero(net)
    model, given = net.save(tmp_path / "dynamic.onnx"), {"x": np.full((1, 5, 40), value, F)}
    got = build_quickly(model, target, tmp_path).run(None, given)[0]
    assert np.isnan(truth(model, given)[0]).all()
    assert np.isnan(got).all()


@pytest.mark.parametrize("target", ["portable", "avx2"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_run_on_codes(name: str, target: str, tmp_path: Path) -> None:
    net = Net()
    SYSTEMS[name](net)
    model, given = net.save(tmp_path / "dynamic.onnx"), feeds(net)
    session = build_quickly(model, target, tmp_path)
    assert "float" not in product_forms(session)[0]
    for got, wanted in zip(session.run(None, given), truth(model, given), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
        assert name not in EXACT or np.array_equal(got, wanted)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_stage_is_within_rounding_of_onnxruntime(name: str, tmp_path: Path) -> None:
    net = Net()
    SYSTEMS[name](net)
    report = check(net.save(tmp_path / "dynamic.onnx"), target="avx2", stages=True, inputs=feeds(net))
    assert report.passed, report.findings
