"""QONNX's layers and its older spellings, imported and interpreted, against qonnx's executor, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from frontend.oracle import assert_close, assert_equal, model, node, run_qonnx
from onnx import helper

from bitc.errors import ModelError, UnsupportedError
from bitc.frontend import import_model
from bitc.ir import evaluate
from bitc.oracle import oracle_for

F = np.float32
GENERAL = "qonnx.custom_op.general"
CHANNELS_LAST = "qonnx.custom_op.channels_last"


def layer(
    op_type: str,
    x: np.ndarray,
    shape: Sequence[int],
    constants: dict[str, np.ndarray] | None = None,
    domain: str = GENERAL,
    version: int = 1,
    **attrs: Any,
) -> onnx.ModelProto:
    """A model of one node on input ``x`` and constants, its output's shape declared as qonnx wants it."""
    made = helper.make_node(op_type, ["x", *(constants or {})], ["y"], domain=domain, **attrs)
    proto = model([made], {"x": x}, constants, domains={domain: version})
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape))
    return proto


def annotate(proto: onnx.ModelProto, datatypes: dict[str, str]) -> None:
    """QONNX's side information on tensors."""
    for name, datatype in datatypes.items():
        annotation = proto.graph.quantization_annotation.add(tensor_name=name)
        annotation.quant_parameter_tensor_names.add(key="finn_datatype", value=datatype)


def whole(*shape: int, low: int = -8, high: int = 8) -> np.ndarray:
    """Random integers as float32."""
    return np.random.default_rng(sum(shape)).integers(low, high, shape).astype(F)


def agree(proto: onnx.ModelProto, x: np.ndarray, *, exact: bool = True) -> None:
    """Compare with qonnx."""
    ours = evaluate(import_model(proto), {"x": x})
    (assert_equal if exact else assert_close)(ours, run_qonnx(proto, {"x": x}))


@pytest.mark.parametrize(("ibits", "obits", "signed"), [(4, 4, 0), (4, 2, 0), (8, 8, 0), (2, 8, 0), (4, 4, 1)])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 1), (4, 4)])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_quant_avg_pool(ibits: int, obits: int, signed: int, kernel: int, stride: int, layout: str) -> None:
    """A sum that is shifted, so it truncates toward minus infinity."""
    low, high = (-(2 ** (ibits - 1)), 2 ** (ibits - 1)) if signed else (0, 2**ibits)
    x = whole(2, 3, 8, 12, low=low, high=high)
    shape = [2, 3, (8 - kernel) // stride + 1, (12 - kernel) // stride + 1]
    if layout == "NHWC":
        x, shape = np.ascontiguousarray(x.transpose(0, 2, 3, 1)), [shape[i] for i in (0, 2, 3, 1)]
    attrs = {"kernel": kernel, "stride": stride, "ibits": ibits, "obits": obits, "signed": signed}
    agree(layer("QuantAvgPool2d", x, shape, data_layout=layout, **attrs), x)


@pytest.mark.parametrize("shape", [(5, 33), (2, 3, 64)])
def test_xnor_popcount(shape: tuple[int, ...]) -> None:
    """The number of matches, not the product of signs."""
    x, w = whole(*shape, low=0, high=2), whole(shape[-1], 7, low=0, high=2)
    agree(layer("XnorPopcountMatMul", x, [*shape[:-1], 7], {"w": w}), x)


@pytest.mark.parametrize(
    ("kernel", "stride", "pads", "dilations", "fill"),
    [
        ([1, 1], [1, 1], [0, 0, 0, 0], [1, 1], 0),
        ([3, 3], [1, 1], [1, 1, 1, 1], [1, 1], 0),
        ([3, 2], [2, 1], [0, 0, 1, 2], [1, 1], 1),
        ([2, 3], [1, 2], [2, 0, 0, 1], [3, 2], -1),
    ],
)
def test_im2col(kernel: list[int], stride: list[int], pads: list[int], dilations: list[int], fill: int) -> None:
    """Windows as rows, taps before channels."""
    x = whole(1, 7, 9, 5)
    size = [
        (n + pads[i] + pads[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i, n in enumerate((7, 9))
    ]
    proto = layer(
        "Im2Col",
        x,
        [1, *size, kernel[0] * kernel[1] * 5],
        kernel_size=kernel,
        stride=stride,
        input_shape="(1,7,9,5)",
        pad_amount=pads,
        pad_value=fill,
        dilations=dilations,
    )
    annotate(proto, {"x": "INT8"})
    agree(proto, x)


@pytest.mark.parametrize(("pads", "ceil", "size"), [([0] * 4, 0, 3), ([1] * 4, 0, 4), ([0] * 4, 1, 4)])
def test_max_pool_nhwc(pads: list[int], ceil: int, size: int) -> None:
    """Padding never wins."""
    x = whole(2, 7, 7, 3) - 20
    window = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": pads, "ceil_mode": ceil}
    agree(layer("MaxPoolNHWC", x, [2, size, size, 3], **window), x)


@pytest.mark.parametrize("group", [1, 2])
def test_channels_last_conv(group: int) -> None:
    """Image and weights both have their channels last; with bias."""
    x, w, b = whole(2, 7, 9, 4), whole(6, 3, 3, 4 // group), whole(6)
    attrs = {"kernel_shape": [3, 3], "strides": [2, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": group}
    agree(layer("Conv", x, [2, 4, 9, 6], {"w": w, "b": b}, CHANNELS_LAST, 11, **attrs), x)


def test_channels_last_conv_over_a_sequence() -> None:
    """Rank 3: [N, L, C]."""
    x, w = whole(2, 9, 4), whole(6, 3, 4)
    attrs = {"kernel_shape": [3], "strides": [1], "pads": [1, 1], "dilations": [1], "group": 1}
    agree(layer("Conv", x, [2, 9, 6], {"w": w}, CHANNELS_LAST, 11, **attrs), x)


def test_channels_last_max_pool() -> None:
    """The twin of MaxPool."""
    x = whole(2, 8, 6, 3)
    window = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 0, 0]}
    agree(layer("MaxPool", x, [2, 4, 3, 3], None, CHANNELS_LAST, 11, **window), x)


def test_channels_last_batch_normalization() -> None:
    """The twin of BatchNormalization."""
    x = np.random.default_rng(1).normal(size=(2, 8, 6, 3)).astype(F)
    parameters = {name: np.random.default_rng(i).uniform(0.5, 2, 3).astype(F) for i, name in enumerate("sbmv")}
    proto = layer("BatchNormalization", x, x.shape, parameters, CHANNELS_LAST, 14, epsilon=1e-3, momentum=0.9)
    agree(proto, x)


def test_debug_marker() -> None:
    """Brevitas' markers change nothing."""
    x = whole(2, 3)
    nodes = [
        helper.make_node("DebugMarker", ["x"], ["m"], domain="onnx.brevitas", export_debug_name="debug"),
        node("Neg", "m"),
    ]
    np.testing.assert_array_equal(evaluate(import_model(model(nodes, {"x": x})), [x])[0], -x)


@pytest.mark.parametrize("domain", ["onnx.brevitas", "finn.custom_op.general", GENERAL, ""])
@pytest.mark.parametrize("imported", [True, False])
def test_older_spellings_have_an_oracle(domain: str, imported: bool, tmp_path: Path) -> None:
    """Quantizers in every domain they were ever exported to, imported or not, without rounding_mode, width as int64."""
    x = np.random.default_rng(2).normal(0, 2, (2, 40)).astype(F)
    nodes = [
        helper.make_node("Quant", ["x", "s", "z", "b"], ["q"], domain=domain, signed=1, narrow=1),
        helper.make_node("BipolarQuant", ["q", "s"], ["y"], domain=domain),
    ]
    constants = {"s": F(0.25), "z": F(0), "b": np.asarray(3, np.int64)}
    domains = {domain: 1} if imported and domain else None
    proto = model(nodes, {"x": x}, constants, "q y", domains=domains)
    for info in proto.graph.output:
        info.CopyFrom(helper.make_tensor_value_info(info.name, onnx.TensorProto.FLOAT, x.shape))
    annotate(proto, {"x": "FLOAT32"})
    onnx.save(proto, tmp_path / "old.onnx")
    expected = oracle_for(tmp_path / "old.onnx").run({"x": x})
    assert_equal(evaluate(import_model(proto), [x]), [expected["q"], expected["y"]])


def test_both_versions_of_trunc_in_one_file(tmp_path: Path) -> None:
    """The number of inputs decides, whatever the opset import says."""
    x = whole(3, 40, low=-128, high=128) / 2
    nodes = [
        helper.make_node("Trunc", ["x", "s", "z", "i", "o"], ["old"], domain=GENERAL, rounding_mode="FLOOR"),
        helper.make_node("Trunc", ["x", "s", "z", "i", "t", "o"], ["new"], domain=GENERAL, rounding_mode="ROUND"),
    ]
    constants = {"s": F(0.5), "z": F(0), "i": F(8), "o": F(4), "t": F(8)}
    proto = model(nodes, {"x": x}, constants, "old new")
    for info in proto.graph.output:
        info.CopyFrom(helper.make_tensor_value_info(info.name, onnx.TensorProto.FLOAT, x.shape))
    onnx.save(proto, tmp_path / "trunc.onnx")
    expected = oracle_for(tmp_path / "trunc.onnx").run({"x": x})
    assert_equal(evaluate(import_model(proto), [x]), [expected["old"], expected["new"]])


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (layer("QuantAvgPool2d", whole(1, 1, 4, 4), [1], kernel=0, stride=1, ibits=2, obits=2, signed=0), "positive"),
        (layer("XnorPopcountMatMul", whole(4), [1], {"w": whole(4, 4)}), "takes"),
        (layer("Im2Col", whole(2, 4, 4, 1), [1], kernel_size=[2, 2], stride=[1, 1], input_shape=""), "one image"),
        (layer("Im2Col", whole(1, 4, 4, 1), [1], kernel_size=[2], stride=[1, 1], input_shape=""), "pairs"),
        (layer("MaxPool", whole(4, 4), [1], None, CHANNELS_LAST, kernel_shape=[2, 2]), "spatial"),
    ],
)
def test_broken_layers(proto: onnx.ModelProto, message: str) -> None:
    """Shapes and attributes that do not fit are named."""
    with pytest.raises(ModelError, match=message):
        import_model(proto)


def test_sizes_a_small_file_could_blow_up() -> None:
    """Widths and windows are bounded."""
    image = whole(1, 4, 4, 1)
    with pytest.raises(UnsupportedError, match="at most 32 bits"):
        import_model(layer("QuantAvgPool2d", image, [1], kernel=2, stride=1, ibits=10**12, obits=2, signed=0))
    with pytest.raises(UnsupportedError, match="at most 1024 taps"):
        import_model(
            layer("Im2Col", image, [1], kernel_size=[9999, 99], stride=[1, 1], pad_amount=[9999] * 4, input_shape="")
        )
