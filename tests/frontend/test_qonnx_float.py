"""FloatQuant, imported and interpreted, against qonnx's executor, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from frontend.oracle import assert_equal, model, run_qonnx
from onnx import helper

from bitc.errors import ModelError, UnsupportedError
from bitc.frontend import import_model
from bitc.ir import evaluate

F = np.float32
FORMATS = {
    "e4m3": (4, 3, 7, 448.0),
    "e5m2": (5, 2, 15, 57344.0),
    "e3m2": (3, 2, 3, 1e6),
    "e2m1": (2, 1, 1, 6.0),
    "e3m0": (3, 0, 3, 16.0),
    "e4m3 no largest number of its own": (4, 3, 4, 1e9),
    "e5m10": (5, 10, 15, 65504.0),
}


def float_quant(x: np.ndarray, operands: dict[str, Any], **attrs: Any) -> onnx.ModelProto:
    """A model of one FloatQuant; operands are float32 initializers."""
    full = {"has_inf": 0, "has_nan": 0, "has_subnormal": 1, "saturation": 1, "rounding_mode": "ROUND", **attrs}
    domain = "qonnx.custom_op.general"
    made = helper.make_node("FloatQuant", ["x", *operands], ["y"], domain=domain, **full)
    constants = {name: np.asarray(value, F) for name, value in operands.items()}
    proto = model([made], {"x": x}, constants, domains={domain: 2})
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, x.shape))
    return proto


def operands(name: str, scale: float | np.ndarray = 1.0) -> dict[str, Any]:
    """The operands of one format."""
    exponent_bits, mantissa_bits, bias, largest = FORMATS[name]
    return {"scale": scale, "e": exponent_bits, "m": mantissa_bits, "bias": bias, "max": largest}


def data() -> np.ndarray:
    """Numbers of all sizes, every power of two with its neighbours, ties of every format, NaN."""
    rng = np.random.default_rng(0)
    sizes = rng.normal(0, 1, 12000) * 2.0 ** rng.integers(-30, 20, 12000)
    powers = np.concatenate([F(2.0) ** np.arange(-30, 20, dtype=F)] * 2) * np.repeat(F([1, -1]), 50)
    near = [(powers.view(np.int32) + step).view(F) for step in range(-14, 4)]
    ties = np.arange(-512, 512, dtype=F) / 32
    special = F([0.0, -0.0, np.nan, 3e38, -3e38, 1e-40])
    return np.concatenate([sizes.astype(F), *near, ties, special])


def agree(x: np.ndarray, given: dict[str, Any], **attrs: Any) -> None:
    """Compare with qonnx."""
    proto = float_quant(x, given, **attrs)
    with np.errstate(all="ignore"):
        assert_equal(evaluate(import_model(proto), {"x": x}), run_qonnx(proto, {"x": x}))


@pytest.mark.parametrize("mode", ["ROUND", "round", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"])
@pytest.mark.parametrize("name", FORMATS)
def test_formats_and_rounding(name: str, mode: str) -> None:
    """Nearest and directed rounding, also just below powers of two, where the executor's float32 log2 rounds up."""
    x = data()
    if FORMATS[name][1] == 0:  # beyond the largest number the executor gives 0s: see _binade_start
        x = x[~(np.abs(x) > FORMATS[name][3])]
    agree(x, operands(name), rounding_mode=mode)


@pytest.mark.parametrize(
    "scale", [F(0.0022321429569274187), F(3.0), np.array([0.5, 0.3, 7.0], F).reshape(3, 1, 1)], ids=["small", "3", "C"]
)
def test_scales(scale: np.ndarray) -> None:
    """One scale, and one for each channel."""
    x = data()[:13566].reshape(1, 3, 17, 266)
    agree(x, operands("e4m3", scale))


@pytest.mark.parametrize(("has_inf", "has_nan"), [(1, 0), (0, 1), (1, 1)])
def test_without_saturation(has_inf: int, has_nan: int) -> None:
    """What is too large becomes infinite, or NaN in formats without infinities."""
    agree(data(), operands("e5m2"), saturation=0, has_inf=has_inf, has_nan=has_nan)


@pytest.mark.parametrize("mode", ["ROUND", "FLOOR"])
def test_infinite_numbers_are_too_large(mode: str) -> None:
    """The executor makes NaN of them."""
    x = F([np.inf, -np.inf])
    for attrs, largest in (({}, 448.0), ({"saturation": 0, "has_inf": 1}, np.inf)):
        proto = float_quant(x, operands("e4m3"), rounding_mode=mode, **attrs)
        np.testing.assert_array_equal(evaluate(import_model(proto), [x])[0], F([largest, -largest]))


def test_rounding_to_nearest_is_one_operation() -> None:
    """Between the scales."""
    graph = import_model(float_quant(data(), operands("e4m3", 0.5)))
    assert [op.name for op in graph.ops if op.name != "nn.constant"] == ["nn.div", "nn.minifloat", "nn.mul"]


def test_weights_fold() -> None:
    """Constants leave no arithmetic behind."""
    proto = float_quant(np.ones(3, F), operands("e2m1"))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(F([0.3, -2.6, 100.0]), "x"))
    (value,) = import_model(proto).outputs
    assert value.constant is None or value.constant.tolist() == [0.5, -3.0, 6.0]
    np.testing.assert_array_equal(evaluate(import_model(proto), [])[0], F([0.5, -3.0, 6.0]))


def test_refusals() -> None:
    """Widths that are no small whole numbers, and overflow that has nothing to become."""
    x = np.ones(3, F)
    with pytest.raises(UnsupportedError, match="1 to 6 exponent bits"):
        import_model(float_quant(x, {**operands("e4m3"), "e": 8}))
    with pytest.raises(UnsupportedError, match="whole numbers"):
        import_model(float_quant(x, {**operands("e4m3"), "bias": 6.5}))
    with pytest.raises(UnsupportedError, match="well inside float32"):
        import_model(float_quant(x, {**operands("e4m3"), "bias": 125}))
    with pytest.raises(UnsupportedError, match="single numbers"):
        import_model(float_quant(x, {**operands("e4m3"), "m": [3, 3, 3]}))
    with pytest.raises(ModelError, match="without saturation"):
        import_model(float_quant(x, operands("e4m3"), saturation=0))
