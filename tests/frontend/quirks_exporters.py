"""What domains and exporters really emit: spellings of quantizers (A1, A3) and of signs (A7), each as the file holds it."""

from __future__ import annotations

import numpy as np
from frontend.quirks import F, Quirk, Table, binarized, numbers, qonnx, quant, signs
from onnx import TensorProto, helper

from tests.networks.onnx_net import Net

TABLE = Table()
BATCH = ("N",)
I8, U8 = np.int8, np.uint8


def net(opset: int = 13) -> Net:
    """An empty graph."""
    return Net(opset)


def latent(*shape: int) -> np.ndarray:
    """Latent float weights of a binarized layer."""
    return numbers(*shape, seed=5, scale=0.4)


# ------------------------------------------------------------------------------------------------------------- domains


def domains() -> None:
    """Custom domains are taken under all their names, with an opset import or without."""
    x = {"x": numbers(4, 8)}
    for domain in ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general", "finn", ""):
        n = net()
        y = n.node("Quant", n.input("x", [4, 8]), F(0.25), F(0), F(3), domain=domain, signed=1, narrow=1)
        TABLE.add(f"A1 Quant in domain {domain or 'ai.onnx'!r} without import or rounding_mode", n, y, x)
    n = net()
    y = n.node("Quant", n.input("x", [4, 8]), F(0.25), F(0), np.asarray(3, np.int64), domain="finn.custom_op.general",
               signed=1, narrow=0)  # fmt: skip
    TABLE.add("A1 a bit width as int64", n, y, x)
    n = net()
    y = n.node("Conv", n.input("x", [1, 5, 6, 3]), signs(4, 2, 2, 3), domain="qonnx.custom_op.channels_last",
               kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1], group=1)  # fmt: skip
    image = numbers(1, 5, 6, 3)
    windows = np.lib.stride_tricks.sliding_window_view(image, (2, 2), axis=(1, 2))
    TABLE.add("A1 channels-last Conv", n, y, {"x": image}, tolerance=1e-6,
              expected=[np.einsum("nyxcij,oijc->nyxo", windows, signs(4, 2, 2, 3))])  # fmt: skip
    n = net()
    y = n.node("QLinearAdd", n.input("x", [4, 8], U8), F(0.1), U8(3), np.arange(8, dtype=U8), F(0.2), U8(0), F(0.3), U8(9),
               domain="com.microsoft")  # fmt: skip
    TABLE.add("A1 com.microsoft", n, y, {"x": np.arange(32, dtype=U8).reshape(4, 8) * U8(8)}, compiled=True)
    TABLE.rows[-1].model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    for kind, domain in (
        ("MVAU_hls", "finn.custom_op.fpgadataflow.hls"),
        ("Thresholding", "finn.custom_op.fpgadataflow"),
    ):
        n = net()
        y = n.node(kind, n.input("x", [4, 8]), domain=domain)
        TABLE.add(
            f"A1 {kind} of a hardware graph", n, y, {}, refused=rf"{domain}\.{kind}(.|\n)*QONNX model it was made from"
        )
    n = net()
    TABLE.add("A1 opset imports that no node uses", n, n.node("Neg", n.input("x", [4, 8])), x)
    unused = (
        "ai.onnx.ml",
        "ai.onnx.training",
        "ai.onnx.preview.training",
        "org.pytorch.aten",
        "com.microsoft.experimental",
    )
    TABLE.rows[-1].model.opset_import.extend(helper.make_opsetid(domain, 1) for domain in unused)
    n = net()
    y = quant(n, n.input("x", [4, 8]), 1.0, 4)
    TABLE.add("A1 annotations are promises about ranges, not values", n, y, {"x": np.round(x["x"])})
    for tensor, datatype in (("x", "INT4"), (y, "INT4")):
        annotation = TABLE.rows[-1].model.graph.quantization_annotation.add(tensor_name=tensor)
        annotation.quant_parameter_tensor_names.add(key="finn_datatype", value=datatype)
        annotation.quant_parameter_tensor_names.add(key="tensor_layout", value="['N', 'C']")


# ------------------------------------------------------------------------------------------------------------ Brevitas


def dequantized(n: Net, q: str, scale: np.ndarray, dtype: type = I8, **attrs: int) -> str:
    """DequantizeLinear with a zero point of 0."""
    return n.node("DequantizeLinear", q, scale, np.zeros(np.shape(scale), dtype), **attrs)


def activation(n: Net, x: str, scale: float, low: int | None, high: int, dtype: type) -> str:
    """QuantizeLinear, Clip on integers, DequantizeLinear; the width is in the bounds alone, and full ranges have no Clip."""
    q = n.node("QuantizeLinear", x, F(scale), dtype(0))
    if low is not None:
        q = n.node("Clip", q, dtype(low), dtype(high))
    return dequantized(n, q, F(scale), dtype)


def brevitas() -> None:
    """Both of Brevitas' formats, from both of torch's exporters."""
    codes = np.random.default_rng(1).integers(-7, 8, (5, 8)).astype(I8)
    scales = np.abs(numbers(5)) * F(0.1) + F(0.01)
    x = {"x": numbers(4, 8)}
    for item, low, high, dtype in (("UINT4", 0, 15, U8), ("narrow INT8", -127, 127, I8), ("INT2", -1, 1, I8),
                                   ("full UINT8", None, 255, U8)):  # fmt: skip
        n = net()
        quantized = activation(n, n.node("Relu", n.input("x", [4, 8])), 0.11, low, high, dtype)
        weights = dequantized(n, n.node("Clip", codes, I8(-7), I8(7)), scales, axis=0)
        bias = n.node(
            "DequantizeLinear", np.arange(5, dtype=np.int32) * 9, scales * F(0.11), np.zeros(5, np.int32), axis=0
        )
        y = n.node("Gemm", quantized, weights, bias, transB=1)
        TABLE.add(f"A3 QCDQ with {item} activations, weights as integers, bias as int32", n, y, x, tolerance=1e-6)
    n = net()
    weights = n.node("QuantizeLinear", numbers(5, 8), scales, np.zeros(5, I8), axis=0)
    weights = dequantized(n, n.node("Clip", weights, I8(-7), I8(7)), scales, axis=0)
    y = n.node("Gemm", activation(n, n.input("x", [4, 8]), 0.1, -127, 127, I8), weights, transB=1)
    TABLE.add("A3 QCDQ with weights quantized in the graph", n, y, x, tolerance=1e-6)
    image = {"x": numbers(1, 2, 3, 3)}
    n = net()
    flat = n.node("Flatten", binarized(n, n.input("x", [1, 2, 3, 3])))
    weights = n.node("Transpose", qonnx(n, "BipolarQuant", latent(5, 18), F([0.3])), perm=[1, 0])
    TABLE.add("A3 QONNX linear layer of TorchScript", n, n.node("MatMul", flat, weights), image, tolerance=1e-6)
    n = net(18)
    flat = n.node("Reshape", binarized(n, n.input("x", [1, 2, 3, 3])), np.array([1, 18]), allowzero=1)
    weights = qonnx(n, "BipolarQuant", latent(5, 18), F(0.3))
    TABLE.add("A3 QONNX linear layer of dynamo", n, n.node("Gemm", flat, weights, transB=1), image, tolerance=1e-6)
    n = net()
    y = quant(n, n.input("x", [4, 8]), [0.125], 4)
    TABLE.add("A3 QONNX of opset version 2, scale of shape [1]", n, quant(n, y, 0.5, 2, narrow=1), x)
    TABLE.rows[-1].model.opset_import.append(helper.make_opsetid("qonnx.custom_op.general", 2))


# ----------------------------------------------------------------------------------------------------- binary layers


def signs_of_torch() -> None:
    """Activations: every way to write a sign."""
    x = {"x": np.concatenate([numbers(6, 8), np.zeros((1, 8), F), np.full((1, 8), -0.0, F)])}

    def sign_where_shape(n: Net, v: str) -> str:
        ones = n.node(
            "ConstantOfShape", n.node("Shape", v), value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
        )
        again = n.node(
            "ConstantOfShape", n.node("Shape", v), value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
        )
        return n.node("Where", n.node("GreaterOrEqual", v, F(0)), ones, n.node("Neg", again))

    def sign_where_expand(n: Net, v: str) -> str:
        ones = n.node("Expand", F(1), n.node("Shape", v))
        return n.node("Where", n.node("GreaterOrEqual", v, F(0)), ones, n.node("Neg", ones))

    def sign_cast(n: Net, v: str) -> str:
        flags = n.node("Cast", n.node("Greater", v, F(0)), to=TensorProto.FLOAT)
        return n.node("Sub", n.node("Mul", flags, F(2)), F(1))

    def sign_polynomial(n: Net, v: str) -> str:
        def flag(bound: float) -> str:
            return n.node("Cast", n.node("Less", v, F(bound)), to=TensorProto.FLOAT)

        def other(mask: str) -> str:
            return n.node("Sub", F(1), mask)

        square = n.node("Mul", v, v)
        first = n.node("Add", square, n.node("Mul", v, F(2)))
        second = n.node("Sub", n.node("Mul", v, F(2)), square)
        a, b, c = flag(-1), flag(0), flag(1)
        y = n.node("Add", n.node("Mul", F(-1), a), n.node("Mul", first, other(a)))
        y = n.node("Add", n.node("Mul", y, b), n.node("Mul", second, other(b)))
        y = n.node("Add", n.node("Mul", y, c), other(c))
        return n.node("Add", n.node("Sub", n.node("Sign", v), y), y)

    def sign_clamp(n: Net, v: str) -> str:
        clamped = n.node("Clip", v, F(-1), F(1))
        return n.node("Add", n.node("Sub", n.node("Sign", v), clamped), clamped)

    def larq_sign(n: Net, v: str) -> str:
        return n.node("Sign", n.node("Add", n.node("Sign", v), F(0.1)))

    def larq_ternary(n: Net, v: str) -> str:
        return n.node(
            "Sign", n.node("Add", n.node("Sign", n.node("Add", v, F(0.05))), n.node("Sign", n.node("Sub", v, F(0.05))))
        )

    spellings = {
        "torch.sign": lambda n, v: n.node("Sign", v),
        "torch.where of TorchScript": sign_where_shape,
        "torch.where of dynamo": sign_where_expand,
        "(x > 0) * 2 - 1": sign_cast,
        "Bi-Real polynomial residue": sign_polynomial,
        "clamp residue": sign_clamp,
        "larq ste_sign": larq_sign,
        "larq ste_tern": larq_ternary,
        "larq ste_heaviside": lambda n, v: n.node("Sign", n.node("Relu", v)),
        "DoReFa-2 of torch": lambda n, v: n.node("Div", n.node("Round", n.node("Mul", n.node("Clip", v, F(0), F(1)), F(3))), F(3)),
        "DoReFa-2 of larq": lambda n, v: n.node(
            "Mul", n.node("Round", n.node("Mul", n.node("Max", n.node("Min", v, F(1)), F(0)), F(3))), F(1 / 3)),
        "LSQ": lambda n, v: n.node("Mul", n.node("Round", n.node("Clip", n.node("Div", v, F(0.31)), F(-2), F(1))), F(0.31)),
    }  # fmt: skip
    for name, spelled in spellings.items():
        n = net()
        y = n.node("MatMul", spelled(n, n.input("x", [*BATCH, 8])), signs(8, 5))
        TABLE.add(f"A7 activation by {name}", n, y, x, compiled=True, tolerance=1e-6)


def weights_of_torch() -> None:
    """Weights: latent floats and the ops that quantize them, which fold before anything is recognised."""
    w, x = latent(6, 4, 3, 3), {"x": numbers(2, 4, 6, 6)}

    def scale(n: Net) -> str:
        mean = n.node("Abs", w)
        for axis in (1, 2, 3):
            mean = n.node("ReduceMean", mean, axes=[axis], keepdims=1)
        return mean

    def reactnet(n: Net) -> str:
        clipped = n.node("Clip", w, F(-1), F(1))
        return n.node("Add", n.node("Sub", n.node("Mul", scale(n), n.node("Sign", w)), clipped), clipped)

    def dorefa(n: Net) -> str:
        bent = n.node("Tanh", w)
        largest = n.node("ReduceMax", n.node("Abs", bent), keepdims=0)
        unit = n.node("Add", n.node("Div", bent, n.node("Mul", largest, F(2))), F(0.5))
        steps = n.node("Div", n.node("Round", n.node("Mul", unit, F(3))), F(3))
        return n.node("Sub", n.node("Mul", steps, F(2)), F(1))

    def twn(n: Net) -> str:
        threshold = n.node("Mul", scale(n), F(0.7))
        above = n.node("Cast", n.node("Greater", w, threshold), to=TensorProto.FLOAT)
        below = n.node("Cast", n.node("Less", w, n.node("Neg", threshold)), to=TensorProto.FLOAT)
        mask = n.node("Add", above, below)
        total = n.node("ReduceSum", n.node("Mul", n.node("Abs", w), mask), np.array([1, 2, 3]), keepdims=1)
        alpha = n.node("Div", total, n.node("ReduceSum", mask, np.array([1, 2, 3]), keepdims=1))
        return n.node("Mul", n.node("Sub", above, below), alpha)

    def where_ones(n: Net) -> str:
        ones = np.ones(w.shape, F)
        return n.node("Where", n.node("GreaterOrEqual", w, F(0)), ones, n.node("Neg", ones))

    spellings = {
        "latent floats and Sign": lambda n: n.node("Sign", w),
        "Where over full-size ones": where_ones,
        "XNOR-Net alpha": lambda n: n.node("Mul", n.node("Sign", w), scale(n)),
        "ReActNet residue": reactnet,
        "DoReFa": dorefa,
        "TWN": twn,
        "LSQ per channel": lambda n: n.node(
            "Mul", n.node("Round", n.node("Clip", n.node("Div", w, np.full((6, 1, 1, 1), 0.2, F)), F(-2), F(1))),
            np.full((6, 1, 1, 1), 0.2, F)),
    }  # fmt: skip
    for name, spelled in spellings.items():
        n = net()
        y = n.node("Conv", binarized(n, n.input("x", [*BATCH, 4, 6, 6])), spelled(n), pads=[1, 1, 1, 1])
        TABLE.add(f"A7 weights by {name}", n, y, x, compiled=True, tolerance=2e-6)
    n = net()
    y = n.node("MatMul", n.input("x", [2, 4]), n.node("Sign", latent(4, 3)))
    y = n.node("MatMul", n.node("Sign", y), n.node("Sign", latent(3, 5)))
    TABLE.add("A7 a float input of a binary layer", n, y, {"x": numbers(2, 4)}, compiled=True)


def images_of_larq() -> None:
    """NHWC images between transposes: padding with ones in NHWC, uneven padding with zeros, dense weights in HWC order."""
    x = {"x": numbers(2, 7, 7, 3)}
    n = net()
    y = n.node("Sign", n.node("Add", n.node("Sign", n.input("x", [*BATCH, 7, 7, 3])), F(0.1)))
    y = n.node("Transpose", n.node("Pad", y, np.array([0, 1, 1, 0, 0, 1, 1, 0]), F(1)), perm=[0, 3, 1, 2])
    y = n.node("Transpose", n.node("Conv", y, signs(5, 3, 3, 3)), perm=[0, 2, 3, 1])
    TABLE.add("A7 larq with pad_values 1", n, y, x, compiled=True)
    n = net()
    y = n.node("Sign", n.node("Add", n.node("Sign", n.input("x", [*BATCH, 7, 7, 3])), F(0.1)))
    y = n.node("Transpose", y, perm=[0, 3, 1, 2])
    y = n.node("Conv", y, signs(5, 3, 2, 2), pads=[0, 0, 1, 1], strides=[2, 2])
    y = n.node("Sign", n.node("Add", n.node("Sign", y), F(0.1)))
    y = n.node("Reshape", n.node("Transpose", y, perm=[0, 2, 3, 1]), np.array([-1, 80]))
    TABLE.add(
        "A7 larq with pad_values 0 and stride 2, dense in HWC order",
        n,
        n.node("MatMul", y, signs(80, 4)),
        x,
        compiled=True,
    )


for enter in (domains, brevitas, signs_of_torch, weights_of_torch, images_of_larq):
    enter()
EXPORTERS: list[Quirk] = TABLE.rows
