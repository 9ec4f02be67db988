"""Dense layers whose weights have few levels, as files write them: stored in 2 or 4 bits, and the answers are onnxruntime's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bitc.passes.coded_costs import CODED_COSTS
from bitc.session import Session
from tests.networks.building import TARGETS
from tests.networks.onnx_net import Net, build_quickly, product_forms, truth

F = np.float32
DEPTH, CHANNELS = 96, 128


@pytest.fixture(autouse=True)
def _weights_come_from_afar(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a network of many layers, so that small ones do for these tests."""
    for isa, costs in CODED_COSTS.items():
        monkeypatch.setitem(CODED_COSTS, isa, replace(costs, near_bytes=0, read=costs.read / 10))


def levels(lowest: int, highest: int, step: int = 1) -> np.ndarray:
    """A matrix [DEPTH, CHANNELS] of these levels, every one of them in it."""
    found = np.random.default_rng((5, highest)).choice(np.arange(lowest, highest + 1, step), (DEPTH, CHANNELS))
    found[: len(range(lowest, highest + 1, step)), 0] = np.arange(lowest, highest + 1, step)
    return found


def _quantized(net: Net, dtype: type) -> str:
    """QuantizeLinear, DequantizeLinear with a scale that float32 multiplies exactly."""
    x = net.input("x", (1, DEPTH))
    zero = dtype(0 if dtype is np.int8 else 128)
    return net.node("DequantizeLinear", net.node("QuantizeLinear", x, F(1 / 64), zero), F(1 / 64), zero)


def _weights(net: Net, w: np.ndarray, scale: float) -> str:
    return net.node("DequantizeLinear", w.astype(np.int8), F(scale), np.int8(0))


def ternary_qdq(net: Net) -> None:
    net.output(net.node("MatMul", _quantized(net, np.int8), _weights(net, levels(-1, 1), 0.25)))


def four_bit_qdq(net: Net) -> None:
    net.output(net.node("MatMul", _quantized(net, np.uint8), _weights(net, levels(-8, 7), 0.125)))


def odd_levels_in_floats(net: Net) -> None:
    """A two-bit quantizer without a zero, its scale folded into the weights."""
    net.output(net.node("MatMul", _quantized(net, np.int8), levels(-3, 3, step=2).astype(F) * F(0.5)))


def matmul_integer(net: Net) -> None:
    net.output(
        net.node("MatMulInteger", net.input("x", (1, DEPTH), np.uint8), levels(-8, 7).astype(np.int8), np.uint8(7))
    )


def signed_activations(net: Net) -> None:
    net.output(net.node("MatMulInteger", net.input("x", (1, DEPTH), np.int8), levels(-1, 1).astype(np.int8)))


def a_zero_point_for_each_channel(net: Net) -> None:
    zeros = np.random.default_rng(2).integers(0, 16, CHANNELS).astype(np.uint8)
    x = net.input("x", (1, DEPTH), np.uint8)
    net.output(net.node("MatMulInteger", x, levels(0, 15).astype(np.uint8), np.uint8(0), zeros))


def matmul_integer_of_many_rows(net: Net) -> None:
    net.output(net.node("MatMulInteger", net.input("x", (130, DEPTH), np.uint8), levels(-8, 7).astype(np.int8)))


CASES: dict[str, tuple[int, Callable[[Net], None]]] = {
    "ternary QDQ": (2, ternary_qdq),
    "QDQ of 4 bits, unsigned activations": (4, four_bit_qdq),
    "odd levels in floats": (2, odd_levels_in_floats),
    "MatMulInteger with a zero point": (4, matmul_integer),
    "MatMulInteger of int8": (2, signed_activations),
    "a zero point for each channel": (4, a_zero_point_for_each_channel),
    "many rows": (4, matmul_integer_of_many_rows),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", CASES)
def test_exact_in_the_file_and_here(case: str, target: str, tmp_path: Path) -> None:
    bits, make = CASES[case]
    net = Net()
    make(net)
    model = net.save(tmp_path / "low_bit.onnx")
    session = build_quickly(model, target, tmp_path)
    assert product_forms(session) == [f"int8 x {bits} bit"]
    given = {"x": _numbers(_input_dtype(session), net.shape("x"))}
    for got, wanted in zip(session.run(None, given), truth(model, given), strict=True):
        np.testing.assert_array_equal(got, wanted)


def _input_dtype(session: Session) -> np.dtype:
    """Of the only input."""
    (port,) = session.metadata["inputs"]
    return np.dtype(port["dtype"])


def _numbers(dtype: np.dtype, dims: tuple[int | str, ...]) -> np.ndarray:
    rng = np.random.default_rng(6)
    if dtype == np.float32:
        return rng.normal(size=dims).astype(F)
    return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, dims, dtype, endpoint=True)


@pytest.mark.parametrize("target", TARGETS)
def test_a_bitnet_layer(target: str, tmp_path: Path) -> None:
    """BitLinear: int8 activations by the largest of a row, ternary weights by their mean size; the file itself rounds in its sums."""
    net = Net()
    x = net.input("x", (1, 1, DEPTH))
    largest = net.node("Max", net.node("ReduceMax", net.node("Abs", x), axes=[2], keepdims=1), F(1e-5))
    scale = net.node("Div", F(127), largest)
    q = net.node("Clip", net.node("Round", net.node("Mul", x, scale)), F(-128), F(127))
    net.output(net.node("MatMul", net.node("Div", q, scale), levels(-1, 1).astype(F) * F(0.037)))
    model = net.save(tmp_path / "bitnet.onnx")
    session = build_quickly(model, target, tmp_path)
    assert product_forms(session) == ["int8 x 2 bit"]
    given = {"x": np.random.default_rng(8).normal(size=(1, 1, DEPTH)).astype(F)}
    (got,), (wanted,) = session.run(None, given), truth(model, given)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
