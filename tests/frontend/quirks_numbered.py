"""The numbered traps of quantized networks: signs of zero, rounding, padding, folding, widths, old files."""

from __future__ import annotations

import numpy as np
import onnx
from frontend.quirks import F, Quirk, Table, binarized, numbers, qonnx, quant, signs
from onnx import helper

from tests.networks.onnx_net import Net

TABLE = Table()
SPECIAL = np.array([[0.0, -0.0, 1e-45, -1e-45, 1.0, -1.0, np.inf, -np.inf, 1e-38, -1e-38, 3e38, 0.5]], F)
HALVES = np.arange(-6, 6.25, 0.25, dtype=F)[np.newaxis]
BATCH = ("N",)


def net(opset: int = 13) -> Net:
    """An empty graph."""
    return Net(opset)


def product(n: Net, x: str, weights: np.ndarray) -> str:
    """x @ weights."""
    return n.node("MatMul", x, weights)


def normalised(n: Net, x: str, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, var: np.ndarray) -> str:
    """BatchNormalization."""
    return n.node("BatchNormalization", x, *(np.asarray(p, F) for p in (gamma, beta, mean, var)))


# --------------------------------------------------------------------------------------------------- zeros and order


def signs_of_zero() -> None:
    """Sign keeps zeros (and NaN), comparisons and BipolarQuant do not; no flush of subnormals to zero."""
    n = net()
    TABLE.add(
        "B1 Sign of zeros and subnormals", n, n.node("Sign", n.input("x", [1, 12])), {"x": SPECIAL}, compiled=True
    )
    n = net()
    TABLE.add("B1 Sign of NaN", n, n.node("Sign", n.input("x", [1, 2])), {"x": F([[np.nan, -1]])})
    n = net()
    y = product(n, n.node("Sign", n.input("x", [1, 12])), signs(12, 5))
    TABLE.add("B1 Sign before a product is ternary", n, y, {"x": SPECIAL}, compiled=True)
    n = net()
    y = product(n, n.node("Where", n.node("Greater", n.input("x", [1, 12]), F(0)), F(1), F(-1)), signs(12, 5))
    TABLE.add("B1 Greater gives -1 for zero", n, y, {"x": SPECIAL}, compiled=True)
    n = net()
    y = product(n, qonnx(n, "BipolarQuant", n.input("x", [1, 12]), F(1)), signs(12, 5))
    TABLE.add("B1 BipolarQuant gives +1 for zero", n, y, {"x": SPECIAL}, compiled=True)
    n = net()
    table = np.array([[0.0], [1e-45], [-1e-45], [0.5]], F)
    attrs = {"out_dtype": "BIPOLAR", "out_scale": 2.0, "out_bias": -1.0}
    y = product(n, qonnx(n, "MultiThreshold", n.input("x", [3, 4]), table, **attrs), signs(4, 5))
    TABLE.add("B1 MultiThreshold is inclusive", n, y, {"x": SPECIAL.reshape(3, 4)}, compiled=True)
    n = net()
    y = product(n, binarized(n, n.input("x", [1, 12])), signs(12, 5))
    TABLE.add("B2 minus zero is not negative", n, y, {"x": SPECIAL}, compiled=True)


def order_of_sums() -> None:
    """Integers sum exactly in any order; float sums may differ by rounding, which a sign must not magnify silently."""
    n = net()
    x = n.input("x", [*BATCH, 300])
    TABLE.add("B3 integer sums do not depend on their order", n, product(n, binarized(n, x), signs(300, 7)),
              {"x": numbers(5, 300)}, compiled=True)  # fmt: skip
    n = net()
    x = n.input("x", [*BATCH, 300])
    TABLE.add("B3 float sums stay close", n, product(n, x, numbers(300, 7)), {"x": numbers(5, 300)},
              compiled=True, tolerance=1e-5)  # fmt: skip


def normalisation_before_signs() -> None:
    """Thresholds take every sign of gamma, and what never or always holds."""
    gamma = np.array([1, -1, 0, 0, 2e-3, -3, 1, 1], F)
    beta = np.array([0.1, 0.2, 0.3, -0.3, 1e-3, 0, 0, 0], F)
    mean = np.array([0, 2, 1, 1, -4, 1, 8, 0], F)
    var = np.array([1, 4, 1, 1, 9, 0, 1, -1], F)  # the last deviation is NaN
    x = signs(64, 8)
    n = net()
    y = product(n, binarized(n, n.input("x", [*BATCH, 8])), signs(8, 8))
    y = product(n, binarized(n, normalised(n, y, gamma, beta, mean, var)), signs(8, 5))
    TABLE.add("B4 gamma of either sign, zero and NaN before a comparison", n, y, {"x": x}, compiled=True)
    for width, parity in ((8, "even"), (9, "odd")):
        n = net()
        y = n.node("Sign", product(n, binarized(n, n.input("x", [*BATCH, width])), signs(width, 6)))
        TABLE.add(f"B5 sums of an {parity} number of signs", n, product(n, y, signs(6, 5)),
                  {"x": signs(64, width)}, compiled=True)  # fmt: skip


# ------------------------------------------------------------------------------------------------- borders and pools


def borders() -> None:
    """A padded zero is neither +1 nor -1; a padded one is."""
    image = numbers(2, 3, 7, 6)
    for item, before, pads in (("zero padding", False, [1, 1, 1, 1]), ("uneven zero padding", False, [0, 0, 1, 2]),
                               ("padding with ones", True, [0, 0, 0, 0])):  # fmt: skip
        n = net()
        x = binarized(n, n.input("x", [*BATCH, 3, 7, 6]))
        if before:
            x = n.node("Pad", x, np.array([0, 0, 1, 1, 0, 0, 1, 1]), F(1))
        y = n.node("Conv", x, signs(5, 3, 3, 3), pads=pads)
        TABLE.add(f"B6 {item} of a binary convolution", n, y, {"x": image}, compiled=True)
    n = net()
    x = n.input("x", [*BATCH, 3, 7, 6], np.uint8)
    y = n.node("QLinearConv", x, F(0.1), np.uint8(130), weights_u8(5, 3, 3, 3), F(0.02), np.uint8(128), F(0.4), np.uint8(9),
               pads=[1, 1, 1, 1])  # fmt: skip
    TABLE.add("B6 QLinearConv pads with the zero point", n, y, {"x": weights_u8(2, 3, 7, 6)}, compiled=True)


def weights_u8(*shape: int) -> np.ndarray:
    """Random bytes."""
    return np.random.default_rng(sum(shape)).integers(0, 256, shape).astype(np.uint8)


def pools() -> None:
    """Padding never wins a maximum and does not count in a mean; a falling function does not commute with a maximum."""
    image = numbers(2, 4, 6, 6)
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    for item, kind, attrs in (
        ("MaxPool pads with nothing", "MaxPool", {**window, "pads": [1, 1, 1, 1]}),
        ("AveragePool does not count padding", "AveragePool", {**window, "pads": [1, 1, 1, 1]}),
        ("AveragePool counts padding if told so", "AveragePool", {**window, "pads": [1] * 4, "count_include_pad": 1}),
        ("GlobalAveragePool of signs", "GlobalAveragePool", {}),
    ):
        n = net()
        x = binarized(n, n.input("x", [*BATCH, 4, 6, 6]))
        TABLE.add(f"B7 {item}", n, n.node(kind, x, **attrs), {"x": image}, compiled=True)
    n = net()
    y = n.node("Conv", binarized(n, n.input("x", [*BATCH, 4, 6, 6])), signs(6, 4, 3, 3), pads=[1, 1, 1, 1])
    gamma, beta = F([1, -1, 0.5, -2, 1, -1]), F([0.1, 0.2, -3, 5, 0, 0])
    y = normalised(n, n.node("MaxPool", y, **window), gamma, beta, np.zeros(6), np.ones(6))
    y = n.node("Conv", binarized(n, y), signs(5, 6, 1, 1))
    TABLE.add("B8 MaxPool before a falling normalisation", n, y, {"x": image}, compiled=True)


# ------------------------------------------------------------------------------------------------------------ rounding


def rounding() -> None:
    """Ties go to even in ONNX and QONNX; quantizers divide, round, then add the zero point, then saturate."""
    n = net()
    TABLE.add("B9 Round goes to even", n, n.node("Round", n.input("x", [1, 49])), {"x": HALVES}, compiled=True)
    n = net()
    TABLE.add("B9 Quant rounds to even", n, quant(n, n.input("x", [1, 49]), 1.0, 4), {"x": HALVES}, compiled=True)
    n = net()
    y = quant(n, n.input("x", [1, 49]), 1.0, 4, rounding_mode="HALF_UP")
    TABLE.add("B9 HALF_UP rounds away", n, y, {"x": HALVES}, compiled=True)
    probe = np.array([126.5, 127.5, 0.5, 1.5, -0.5, 1e9, -1e9, np.inf, -np.inf, np.nan, 2.5, -2.5], F)
    for dtype in (np.int8, np.uint8):
        for scale, zero in ((1.0, 0), (0.1, 3), (1 / 3, 0)):
            n = net()
            y = n.node("QuantizeLinear", n.input("x", [12]), F(scale), dtype(zero))
            TABLE.add(
                f"B10 QuantizeLinear to {np.dtype(dtype).name}, scale {scale:.3g}", n, y, {"x": probe}, compiled=True
            )
    n = net()
    y = n.node("Clip", n.node("Relu", n.input("x", [12])), F(-1), F(6))
    TABLE.add("B10 Clip and Relu pass NaN", n, y, {"x": probe})
    for zero in (0.5, -1.25, 2.0):
        n = net()
        y = quant(n, n.input("x", [1, 49]), 0.5, 4, zero=zero)
        TABLE.add(f"B11 Quant adds the zero point {zero} before rounding", n, y, {"x": HALVES})
    n = net()
    y = n.node("QuantizeLinear", n.input("x", [1, 49]), F(0.5), np.int8(3))
    TABLE.add("B11 QuantizeLinear adds it after", n, y, {"x": HALVES})


# -------------------------------------------------------------------------------------------- weights and their scales


def computed_parameters() -> None:
    """Widths and scales may be Constant nodes or small computations."""
    n = net()
    bits = n.node("Ceil", n.node("Log", n.node("Constant", value_float=15.0)))
    scale = n.node("Div", n.node("Pow", F(2), n.node("Neg", F(3))), F(0.5))
    y = qonnx(n, "Quant", n.input("x", [1, 49]), scale, F(0), bits, signed=1, narrow=1, rounding_mode="ROUND")
    TABLE.add("B12 width and scale are computed", n, y, {"x": HALVES})
    x = numbers(3, 8)
    for shape in ((6, 1), (1,), ()):
        n = net()
        scale_of = np.abs(numbers(*shape, seed=3)) * F(0.2) + F(0.05)
        weights = n.node("Transpose", quant(n, numbers(6, 8), scale_of, 4, narrow=1), perm=[1, 0])
        y = n.node("MatMul", n.input("x", [3, 8]), weights)
        TABLE.add(f"B13 scale of shape {list(shape)} of a transposed weight", n, y, {"x": x}, tolerance=1e-6)
    n = net()
    weights = quant(n, numbers(5, 3, 3, 3), np.abs(numbers(5, 1, 1, 1)) + F(0.1), 2, narrow=1)
    y = n.node("Conv", binarized(n, n.input("x", [2, 3, 6, 6])), weights)
    TABLE.add("B13 scale for each output channel behind signs", n, y, {"x": numbers(2, 3, 6, 6)}, tolerance=1e-6)
    n = net()
    x_scaled = n.node("Mul", binarized(n, n.input("x", [2, 3, 6, 6])), np.abs(numbers(1, 3, 1, 1)) + F(0.1))
    y = n.node("Conv", x_scaled, signs(5, 3, 3, 3))
    TABLE.add("B13 scale for each input channel", n, y, {"x": numbers(2, 3, 6, 6)}, compiled=True, tolerance=1e-5)


def folded_weights() -> None:
    """Weights that are ±a only up to rounding keep their own bits."""
    weights = signs(16, 6) * F(0.123456)
    weights[::3] = np.nextafter(weights[::3], F(1))
    n = net()
    y = product(n, binarized(n, n.input("x", [*BATCH, 16])), weights)
    TABLE.add("B14 weights almost ±a", n, y, {"x": signs(40, 16)}, compiled=True, tolerance=1e-6)
    n = net()
    x = n.input("x", [*BATCH, 16])
    clamped = n.node("Clip", x, F(-1), F(1))
    residue = n.node("Add", n.node("Sub", n.node("Sign", x), clamped), clamped)
    TABLE.add("B15 residue of a straight-through estimator", n, product(n, residue, signs(16, 6)),
              {"x": numbers(40, 16)}, compiled=True)  # fmt: skip


def ternary() -> None:
    """Three levels have many spellings."""
    x = np.concatenate([HALVES.T, numbers(15, 1)]).reshape(8, 8)
    spellings = {
        "Quant of 2 narrow bits": lambda n, v: quant(n, v, 1.0, 2, narrow=1),
        "Clip of int8": lambda n, v: n.node(
            "DequantizeLinear",
            n.node("Clip", n.node("QuantizeLinear", v, F(0.5), np.int8(0)), np.int8(-1), np.int8(1)),
            F(0.5), np.int8(0)),
        "Sign": lambda n, v: n.node("Sign", v),
        "two Signs": lambda n, v: n.node(
            "Sign", n.node("Add", n.node("Sign", n.node("Add", v, F(0.05))), n.node("Sign", n.node("Sub", v, F(0.05))))),
        "MultiThreshold": lambda n, v: qonnx(
            n, "MultiThreshold", v, F([[-0.5, 0.5]]), out_dtype="INT2", out_scale=1.0, out_bias=-1.0),
        "Round and Clip": lambda n, v: n.node("Clip", n.node("Round", v), F(-1), F(1)),
    }  # fmt: skip
    for name, spelled in spellings.items():
        n = net()
        y = product(n, spelled(n, n.input("x", [8, 8])), signs(8, 5))
        TABLE.add(f"B16 ternary as {name}", n, y, {"x": x}, compiled=True)


def whole_networks() -> None:
    """Float ends, preprocessing inside the graph, scales after the last layer, arg-max and top-k as outputs."""
    n = net()
    y = n.node("Conv", n.input("x", [*BATCH, 1, 8, 8]), numbers(8, 1, 3, 3))
    y = n.node("Conv", binarized(n, y), signs(8, 8, 3, 3))
    y = n.node("Flatten", n.node("Relu", y))
    TABLE.add("B17 first and last layer in float", n, product(n, y, numbers(128, 4)), {"x": numbers(3, 1, 8, 8)},
              compiled=True, tolerance=1e-5)  # fmt: skip
    pixels = np.concatenate([np.full((1, 8), 0.5, F), np.random.default_rng(0).random((5, 8), F)])
    n = net()
    y = n.node("Sub", n.node("Mul", n.input("x", [6, 8]), F(2)), F(1))
    y = product(n, qonnx(n, "BipolarQuant", y, F(1)), signs(8, 5))
    TABLE.add("B18 pixels become signs inside the graph, 0.5 becomes +1", n, y, {"x": pixels}, compiled=True)
    n = net()
    y = quant(n, n.node("Div", n.input("x", [6, 8]), F(255)), 1 / 255, 8, signed=0)
    TABLE.add("B18 division by 255 inside the graph", n, product(n, y, signs(8, 5)), {"x": np.round(pixels * 255)},
              tolerance=1e-6)  # fmt: skip
    n = net()
    y = product(n, binarized(n, n.input("x", [*BATCH, 8])), signs(8, 5))
    y = n.node("Add", n.node("Div", n.node("Mul", y, F(0.3)), F(7)), F(-1))
    TABLE.add("B19 scale and bias after the last layer", n, y, {"x": signs(40, 8)}, compiled=True)
    n = net()
    y = product(n, binarized(n, n.input("x", [*BATCH, 8])), signs(8, 5))
    TABLE.add("B19 ArgMax of ties is the first", n, n.node("ArgMax", y, axis=1), {"x": signs(40, 8)}, compiled=True)
    n = net()
    y = product(n, binarized(n, n.input("x", [*BATCH, 8])), signs(8, 5))
    top = n.nodes("TopK", y, np.array([3]), names=("values", "indices"))
    TABLE.add("B19 TopK as the output", n, tuple(top), {"x": signs(40, 8)}, compiled=True)


# --------------------------------------------------------------------------------------------------- oracles and files


def oracles() -> None:
    """onnxruntime is asked without its fusions; onnx's evaluator is never asked about quantization."""
    n = net()
    weights = n.node("DequantizeLinear", np.random.default_rng(0).integers(-127, 128, (96, 12)).astype(np.int8),
                     np.abs(numbers(12)) * F(0.01) + F(0.001), np.zeros(12, np.int8), axis=1)  # fmt: skip
    y = n.node("MatMul", n.input("x", [4, 96]), weights)
    TABLE.add("B20 DequantizeLinear of weights is not fused", n, y, {"x": numbers(4, 96)}, tolerance=1e-6)
    n = net()
    full = np.full((2, 4), 127, np.int8)
    y = n.node("QLinearMatMul", full, F(1), np.int8(0), -full.T, F(1), np.int8(0), F(1), np.int8(0))
    y = n.node("Add", n.node("Cast", y, to=onnx.TensorProto.INT32), n.input("x", [2, 2], np.int32))
    TABLE.add("B21 a constant QLinearMatMul saturates", n, y, {"x": np.zeros((2, 2), np.int32)},
              expected=[np.full((2, 2), -128, np.int32)])  # fmt: skip
    n = net()
    y = n.node("QuantizeLinear", F([np.inf, -np.inf, np.nan]), F(1), np.int8(0))
    y = n.node("Add", n.node("Cast", y, to=onnx.TensorProto.INT32), n.input("x", [3], np.int32))
    TABLE.add("B21 a constant infinity saturates", n, y, {"x": np.zeros(3, np.int32)},
              expected=[np.array([127, -128, -128], np.int32)])  # fmt: skip
    n = net()
    TABLE.add("B22 newer IR versions", n, n.node("Neg", n.input("x", [1, 49])), {"x": HALVES}, expected=[-HALVES])
    TABLE.rows[-1].model.ir_version = 14


def old_files() -> None:
    """Initializers that are inputs too, and what newer opsets moved from attributes to inputs."""
    n = net(7)
    x = n.input("x", [3, 4, 5])
    y = n.node("Clip", x, min=-0.5, max=0.75)
    y = n.node("Pad", y, pads=[0, 0, 1, 0, 0, 2], value=2.0)
    y = n.node("Squeeze", n.node("Unsqueeze", y, axes=[0]), axes=[0])
    y = n.node("ReduceSum", n.node("Softmax", y, axis=1), axes=[1], keepdims=0)
    y = n.node("MatMul", y, numbers(8, 3))
    TABLE.add("B23 opset 7 with attributes, initializers as inputs", n, y, {"x": numbers(3, 4, 5)}, tolerance=1e-6)
    old = TABLE.rows[-1].model
    old.ir_version = 3
    old.graph.input.extend(
        helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in old.graph.initializer
    )
    n = net(7)
    parameters = [np.asarray(p, F) for p in (np.ones(4), np.zeros(4), np.zeros(4), np.ones(4))]
    y = n.node("BatchNormalization", n.input("x", [3, 4, 5]), *parameters, spatial=1)
    TABLE.add("B23 BatchNormalization with spatial", n, y, {"x": numbers(3, 4, 5)})
    n = net(6)
    TABLE.add("B23 opset 6", n, n.node("Relu", n.input("x", [3])), {}, refused="opset is not supported")
    n = net()
    y = product(n, binarized(n, n.input("x", [444, 8])), signs(8, 5))
    TABLE.add("B23 a batch of 444 baked in", n, y, {"x": signs(444, 8)})
    n = net()
    y = n.node("QLinearAveragePool", n.input("x", [1, 2, 4, 4], np.uint8), F([0.5]), np.uint8([3]), F([0.25]),
               np.uint8([1]), domain="com.microsoft", kernel_shape=[2, 2], strides=[2, 2])  # fmt: skip
    pixels = np.arange(32, dtype=np.uint8).reshape(1, 2, 4, 4)
    means = pixels.reshape(2, 2, 2, 2, 2).mean((2, 4)).reshape(1, 2, 2, 2)
    TABLE.add("B24 scales of shape [1] where onnxruntime wants scalars", n, y, {"x": pixels},
              expected=[np.clip(np.rint((means - 3) * 2 + 1), 0, 255).astype(np.uint8)])  # fmt: skip


def shapes_and_layouts() -> None:
    """Custom operators have shapes of their own; some layouts go by rank; axes have defaults."""
    n = net()
    y = quant(n, n.input("x", [*BATCH, 3, 4]), 0.25, 4)
    rows = n.node("Slice", n.node("Shape", y), np.array([0]), np.array([1]))
    y = n.node("Reshape", y, n.node("Concat", rows, np.array([-1]), axis=0))
    x = numbers(1, 3, 4)
    TABLE.add("B25 shapes behind custom operators", n, y, {"x": x},
              expected=[(np.clip(np.rint(x / F(0.25)), -8, 7) * F(0.25)).astype(F).reshape(1, 12)])  # fmt: skip
    n = net()
    table = np.array([[0, 1], [-1, 0.5], [0.2, 0.3], [-2, 2], [0, 0]], F)
    y = qonnx(n, "MultiThreshold", n.input("x", [2, 4, 5]), table, out_dtype="UINT2")
    TABLE.add("B27 rank 3 has its channels last", n, y, {"x": numbers(2, 4, 5)})
    codes = np.random.default_rng(0).integers(-128, 128, (4, 6)).astype(np.int8)
    scales = np.abs(numbers(6)) + F(0.01)
    n = net()
    y = n.node("MatMul", n.input("x", [3, 4]), n.node("DequantizeLinear", codes, scales, np.zeros(6, np.int8)))
    TABLE.add("B28 the axis is 1 unless given", n, y, {"x": numbers(3, 4)}, tolerance=1e-6)
    n = net()
    weights = n.node("DequantizeLinear", codes.reshape(6, 1, 2, 2), scales, np.zeros(6, np.int8), axis=0)
    y = n.node("Conv", n.input("x", [1, 6, 5, 5]), weights, group=6)
    TABLE.add("B28 depthwise weights have axis 0", n, y, {"x": numbers(1, 6, 5, 5)}, tolerance=1e-6)


def widths() -> None:
    """Accumulators of int32 wrap as int32; pairs of products exceed 16 bits."""
    n = net()
    x = binarized(n, n.input("x", [*BATCH, 2304]))
    y = product(n, binarized(n, product(n, x, signs(2304, 8))), signs(8, 5))
    TABLE.add(
        "B26 sums of 2304 signs", n, y, {"x": np.concatenate([signs(9, 2304), np.ones((1, 2304), F)])}, compiled=True
    )
    long = 33_100  # 33,100 * 255 * 255 exceeds 2^31
    n = net()
    y = n.node("MatMulInteger", n.input("x", [1, long], np.uint8), np.full((long, 2), 255, np.uint8))
    TABLE.add("B26 int32 sums wrap", n, y, {"x": np.full((1, long), 255, np.uint8)},
              expected=[np.full((1, 2), long * 255 * 255 - 2**32, np.int32)])  # fmt: skip
    n = net()
    weights = np.full((64, 3), 127, np.int8)
    weights[:, 1] = -128
    weights[::2, 2] = -127
    x = np.concatenate([np.full((1, 64), 255, np.uint8), weights_u8(3, 64)])
    y = n.node("MatMulInteger", n.input("x", [*BATCH, 64], np.uint8), weights)
    exact = (x.astype(np.int64) @ weights.astype(np.int64)).astype(np.int32)
    TABLE.add("B29 uint8 times int8 does not saturate at 16 bits", n, y, {"x": x}, expected=[exact], compiled=True)


for enter in (signs_of_zero, order_of_sums, normalisation_before_signs, borders, pools, rounding, computed_parameters, folded_weights,
              ternary, whole_networks, oracles, old_files, shapes_and_layouts, widths):  # fmt: skip
    enter()
NUMBERED: list[Quirk] = TABLE.rows
