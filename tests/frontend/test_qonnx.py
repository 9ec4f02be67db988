"""QONNX quantizers, imported and interpreted, against qonnx's executor, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from frontend.oracle import assert_equal, model, node, run_qonnx
from onnx import helper

from bitc.errors import UnsupportedError
from bitc.frontend import import_model
from bitc.ir import evaluate

F = np.float32
DOMAIN = "qonnx.custom_op.general"
ROUNDING = ["ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN", "half_up"]
EDGES = np.arange(-6, 6.25, 0.25, dtype=F)


def data(*shape: int, seed: int = 0) -> np.ndarray:
    """Random numbers, with quarters (ties of every rounding mode), zeros of both signs and NaN at the front."""
    x = np.random.default_rng(seed).normal(0, 3, shape).astype(F)
    special = np.concatenate([EDGES, np.array([-0.0, np.nan], F)])
    flat = x.reshape(-1)
    flat[: min(special.size, flat.size // 2)] = special[: flat.size // 2]
    return x


def quantizer(op_type: str, x: np.ndarray, operands: dict[str, Any], **attrs: Any) -> onnx.ModelProto:
    """A model of one quantizer; operands are initializers (float32 unless they are arrays)."""
    made = helper.make_node(op_type, ["x", *operands], ["y"], domain=DOMAIN, **attrs)
    constants = {k: v if isinstance(v, np.ndarray) else np.asarray(v, F) for k, v in operands.items()}
    proto = model([made], {"x": x}, constants, domains={DOMAIN: 2})
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, x.shape))
    return proto


def agree(proto: onnx.ModelProto, x: np.ndarray) -> list[str]:
    """Compare with qonnx; gives the names of the ops."""
    graph = import_model(proto)
    assert_equal(evaluate(graph, {"x": x}), run_qonnx(proto, {"x": x}))
    return [op.name for op in graph.ops if op.name != "nn.constant"]


@pytest.mark.parametrize("mode", ROUNDING)
@pytest.mark.parametrize(("signed", "narrow"), [(1, 0), (1, 1), (0, 0), (0, 1)])
@pytest.mark.parametrize(("scale", "zero_point"), [(1.0, 0.0), (0.3, 0.0), (0.25, 1.5)])
def test_quant(mode: str, signed: int, narrow: int, scale: float, zero_point: float) -> None:
    """All rounding modes, ranges, and zero points that are not whole."""
    x = data(2, 3, 8, 7)
    operands = {"scale": scale, "zeropt": zero_point, "bits": 3}
    agree(quantizer("Quant", x, operands, signed=signed, narrow=narrow, rounding_mode=mode), x)


@pytest.mark.parametrize("op_type", ["Quant", "IntQuant"])
@pytest.mark.parametrize(("bits", "signed"), [(1, 1), (1, 0), (2, 1), (8, 1), (8, 0), (24, 1)])
def test_quant_widths(op_type: str, bits: int, signed: int) -> None:
    """One signed bit is bipolar; the width may be float32 or int64."""
    x = data(5, 20) * 10
    for width in (np.asarray(bits, F), np.asarray(bits, np.int64)):
        operands = {"scale": 0.37, "zeropt": 0.0, "bits": width}
        agree(quantizer(op_type, x, operands, signed=signed, narrow=0, rounding_mode="ROUND"), x)


def test_quant_per_channel() -> None:
    """Scales of shape [C,1,1] and [1,C,1,1]."""
    x = data(2, 3, 5, 7)
    for shape in ((3, 1, 1), (1, 3, 1, 1)):
        operands = {"scale": np.array([0.5, 0.3, 2], F).reshape(shape), "zeropt": 0.0, "bits": 4}
        agree(quantizer("Quant", x, operands, signed=1, narrow=1, rounding_mode="ROUND"), x)


def test_neutral_steps_are_left_out() -> None:
    """Scale 1 and zero point 0 leave clamp and rounding only."""
    x = data(4, 30)
    ops = agree(quantizer("Quant", x, {"s": 1.0, "z": 0.0, "b": 4}, signed=1, narrow=0, rounding_mode="ROUND"), x)
    assert ops == ["nn.min", "nn.max", "nn.round"]


@pytest.mark.parametrize("scale", [np.asarray(1, F), np.asarray([0.7], F), np.array([0.5, 2, 3], F).reshape(3, 1, 1)])
def test_bipolar(scale: np.ndarray) -> None:
    """Zero of either sign is positive, NaN is negative."""
    x = data(2, 3, 8, 7)
    assert agree(quantizer("BipolarQuant", x, {"scale": scale}), x) == ["nn.greater_equal", "nn.where"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 15])
@pytest.mark.parametrize(
    ("shape", "channels", "layout"),
    [
        ((6, 5), 5, ""),
        ((2, 7, 5), 5, ""),
        ((2, 5, 7), 5, "NCW"),
        ((2, 5, 4, 3), 5, ""),
        ((2, 4, 3, 5), 5, "NHWC"),
        ((2, 5, 4, 3), 1, "NCHW"),
        ((2, 5, 4, 3, 2), 5, ""),
    ],
)
def test_multi_threshold(count: int, shape: tuple[int, ...], channels: int, layout: str) -> None:
    """Few thresholds are plain comparisons, many one op; without a layout rank 3 has its channels last."""
    table = np.random.default_rng(count).normal(0, 2, (channels, count)).round(1).astype(F)
    x = data(*shape)
    x.reshape(-1)[: table.size] = table.reshape(-1)[: x.size]
    attrs = {"out_dtype": "INT8", "out_scale": 2.0, "out_bias": -1.0, **({"data_layout": layout} if layout else {})}
    ops = agree(quantizer("MultiThreshold", x, {"t": table}, **attrs), x)
    assert ("nn.multi_threshold" in ops) == (count > 3)


@pytest.mark.parametrize("mode", ["FLOOR", "ROUND", "CEIL"])
def test_trunc(mode: str) -> None:
    """Version 1 has five inputs, version 2 six."""
    x = (data(3, 40) * 4).round()
    first = quantizer("Trunc", x, {"s": 0.5, "z": 0.0, "i": 8, "o": 4}, rounding_mode=mode)
    first.opset_import[1].version = 1
    agree(first, x)
    agree(
        quantizer("Trunc", x, {"s": 0.5, "z": 1.0, "i": 8, "t": 4.0, "o": 4}, rounding_mode=mode, signed=1, narrow=1), x
    )


@pytest.mark.parametrize("domain", ["onnx.brevitas", "finn.custom_op.general", "qonnx.custom_op.general", ""])
def test_domains_without_opset_import(domain: str) -> None:
    """Every spelling is taken, imported or not, and weights fold to their quantized values."""
    x, w = data(3, 4), np.array([[0.3, -0.2], [0.0, -0.7], [1.4, 0.1], [-3, 3]], F)
    nodes = [
        helper.make_node("Quant", ["w", "s", "z", "b"], ["wq"], domain=domain, signed=1, narrow=1),
        node("MatMul", "x wq"),
    ]
    proto = model(nodes, {"x": x}, {"w": w, "s": F(0.5), "z": F(0), "b": F(2)})
    graph = import_model(proto)
    (product,) = (op for op in graph.ops if op.name == "nn.matmul")
    folded = product.operands[1]
    assert folded.origin == "wq"
    np.testing.assert_array_equal(folded.constant, [[0.5, -0.0], [0.0, -0.5], [0.5, 0.0], [-0.5, 0.5]])


@pytest.mark.parametrize("op_type", ["GenericPartition", "QuantLSTMCell"])
def test_refused_by_name(op_type: str) -> None:
    """Operators bitc does not have are named, with advice."""
    with pytest.raises(UnsupportedError, match=op_type) as caught:
        import_model(model([helper.make_node(op_type, ["x"], ["y"], domain=DOMAIN)], {"x": data(2, 3)}))
    assert caught.value.diagnostics[0].code == "U001"
    assert caught.value.diagnostics[0].hint


def test_unusable_bit_widths() -> None:
    """A fractional or computed width is refused with the rule."""
    x = data(2, 3)
    with pytest.raises(UnsupportedError, match=r"whole number"):
        import_model(quantizer("Quant", x, {"s": 1.0, "z": 0.0, "b": 2.5}, signed=1, narrow=0))
    with pytest.raises(UnsupportedError, match=r"rounding_mode is"):
        import_model(quantizer("Quant", x, {"s": 1.0, "z": 0.0, "b": 2}, signed=1, narrow=0, rounding_mode="ODD"))
