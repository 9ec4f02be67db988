"""onnxruntime's own products of integers, imported and interpreted, against onnxruntime, bit for bit.

int8 weights stay within 7 bits beside uint8 activations: on a CPU without VNNI onnxruntime saturates pairs of larger products at 16 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from frontend.contrib import both, contrib
from frontend.oracle import model, run_onnxruntime
from onnx import TensorProto, helper

from bitc.errors import ModelError
from bitc.frontend import import_model
from bitc.ir import evaluate

F = np.float32
Array = np.ndarray
U8, I8 = np.uint8, np.int8
PAIRS = [(U8, U8), (U8, I8), (I8, I8)]
"""onnxruntime has no kernels of int8 activations with uint8 weights."""
SIZES = [(1, 1, 1), (5, 33, 9), (19, 70, 40)]


class Draw:
    """Seeded operands of one product."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def left(self, dtype: Any, *shape: int) -> Array:
        limits = np.iinfo(dtype)
        return self.rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)

    def right(self, dtype: Any, *shape: int) -> Array:
        return self.left(dtype, *shape) if dtype is U8 else self.rng.integers(-64, 64, shape, dtype)

    def scale(self, *shape: int) -> Array:
        round_ones = F([0.1, 0.05, 0.02, 0.25, 0.3, 1 / 3])
        return np.asarray(
            self.rng.choice(round_ones, shape) if self.rng.random() < 0.5 else self.rng.uniform(0.01, 0.1, shape), F
        )

    def bias(self, *shape: int) -> Array:
        return self.rng.integers(-3000, 3000, shape, np.int32)


@pytest.mark.parametrize(("a", "b"), PAIRS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("columns", [False, True])
def test_qgemm(a: Any, b: Any, size: tuple[int, int, int], columns: bool) -> None:
    """Quantized and float results, transposed operands, a factor, and scales for each column."""
    m, k, n = size
    of_b = (n,) if columns else ()
    for seed in range(12):
        d = Draw(seed)
        attrs = {"transA": seed % 2, "transB": seed // 2 % 2, "alpha": (1.0, 1.7, 0.5)[seed % 3]}
        operands: dict[str, Array | None] = {
            "x": d.left(a, *((k, m) if attrs["transA"] else (m, k))),
            "sa": d.scale(),
            "za": d.left(a),
            "w": d.right(b, *((n, k) if attrs["transB"] else (k, n))),
            "sb": d.scale(*of_b),
            "zb": d.right(b, *of_b),
            "c": (d.bias(n), d.bias(m, n), None)[seed % 3],
        }
        both("QGemm", operands | {"sy": d.scale(), "zy": d.left(a)}, **attrs).equal()
        assert both("QGemm", operands, **attrs).equal().ours[0].dtype == F


@pytest.mark.parametrize(("a", "b"), PAIRS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("op_type", ["MatMulIntegerToFloat", "DynamicQuantizeMatMul"])
def test_dynamic_products(op_type: str, a: Any, b: Any, size: tuple[int, int, int], columns: bool) -> None:
    """What onnxruntime's optimiser makes of dynamically quantized products."""
    m, k, n = size
    of_b = (n,) if columns else ()
    for seed in range(8):
        d = Draw(seed)
        w = {"w": d.right(b, k, n), "sa": d.scale(), "sb": d.scale(*of_b), "za": d.left(a), "zb": d.right(b, *of_b)}
        bias = {"bias": d.rng.normal(0, 30, n).astype(F) if seed % 2 else None}
        if op_type == "MatMulIntegerToFloat":
            operands = {"x": d.left(a, 2, m, k), **w, **bias}
        else:
            x = d.rng.normal(0, d.rng.choice([0.1, 1, 30]), (2, m, k)).astype(F) if seed else np.zeros((2, m, k), F)
            operands = {"x": x, "w": w["w"], "sb": w["sb"], "zb": w["zb"], **bias}
        both(op_type, operands).equal()


def test_int16_products() -> None:
    """Sums wrap at 32 bits."""
    d = Draw(0)
    both("MatMulInteger16", {"x": d.left(np.int16, 7, 300), "w": d.left(np.int16, 300, 9)}).equal()


def test_operators_without_a_kernel_have_the_meaning_of_their_schemas() -> None:
    """onnxruntime 1.31 has no CPU kernel of these: the expected numbers are written out."""
    operands = {"x": U8([0, 7, 255]), "za": U8(7), "w": U8([[3], [200]]), "zb": U8(100)}
    proto, feeds = contrib("MulInteger", operands, inputs=("x", "w"))
    assert evaluate(import_model(proto), feeds)[0].tolist() == [[679, 0, -24056], [-700, 0, 24800]]
    for dtype, result in ((U8, np.uint32), (I8, np.int32)):
        proto, feeds = contrib("ReduceSumInteger", {"x": dtype([[1, 2, 100], [5, 6, 127]])}, axes=[1], keepdims=0)
        (total,) = evaluate(import_model(proto), feeds)
        assert (total.dtype, total.tolist()) == (result, [103, 138])
    proto, feeds = contrib("MatMulInteger16", {"x": np.uint16([[65535, 1]]), "w": np.uint16([[65535], [5]])})
    (product,) = evaluate(import_model(proto), feeds)
    assert (product.dtype, product.tolist()) == (np.uint32, [[65535**2 + 5]])


@pytest.mark.parametrize(("a", "b"), PAIRS)
@pytest.mark.parametrize("group", [1, 2])
def test_qlinear_conv_channels_last(a: Any, b: Any, group: int) -> None:
    """The image has its channels last, the weights do not; padding is the zero point, which stands for 0."""
    for seed in range(6):
        d = Draw(seed)
        operands: dict[str, Array | None] = {"x": d.left(a, 2, 7, 6, 4), "sx": d.scale(), "zx": d.left(a)}
        operands |= {"w": d.right(b, 6, 4 // group, 3, 2), "sw": d.scale(6), "zw": np.zeros(6, b)}
        operands |= {"sy": d.scale(), "zy": d.left(a), "bias": d.bias(6) if seed % 2 else None}
        both("QLinearConv", operands, channels_last=1, group=group, strides=[2, 1], pads=[1, 0, 0, 1]).equal()


@pytest.mark.parametrize("dtype", [U8, I8, np.uint16, np.int16])
def test_quantize_and_dequantize(dtype: Any) -> None:
    """Types that the standard operators did not have before opset 21."""
    d = Draw(0)
    x = np.concatenate([d.rng.normal(0, 300, 4000), [np.inf, -np.inf, np.nan, 0.5, 1.5, -0.5]]).astype(F)
    both("QuantizeLinear", {"x": x, "s": F(0.02), "z": d.left(dtype)}, version=13).equal()
    both("DequantizeLinear", {"x": d.left(dtype, 4000), "s": F(0.02), "z": d.left(dtype)}, version=13).equal()
    table = {"x": d.left(dtype, 3, 5, 4), "s": d.scale(5), "z": d.left(dtype, 5)}
    both("DequantizeLinear", table, version=13, axis=1).equal()
    both("QuantizeLinear", table | {"x": d.rng.normal(0, 9, (3, 5, 4)).astype(F)}, version=13, axis=1).equal()


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4])
def test_packed_four_bit_weights(kind: int) -> None:
    """int4 weights are two a byte, the low nibble first; before opset 21 only this domain has them."""
    codes = np.random.default_rng(0).integers(-8, 8, 33 * 7) + (8 if kind == TensorProto.UINT4 else 0)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"], domain="com.microsoft"),
        helper.make_node("Mul", ["d", "x"], ["y"]),
    ]
    x = np.ones((33, 7), F)
    proto = model(nodes, {"x": x}, {"s": F(0.3)}, opset=13, domains={"com.microsoft": 1})
    tensors = [helper.make_tensor("w", kind, [33, 7], codes), helper.make_tensor("z", kind, [], [3])]
    proto.graph.initializer.extend(tensors)
    (found,) = evaluate(import_model(proto), [x])
    np.testing.assert_array_equal(found, ((codes - 3).astype(F) * F(0.3)).reshape(33, 7))
    np.testing.assert_array_equal(found, run_onnxruntime(proto, {"x": x})[0])


@pytest.mark.parametrize(
    ("op_type", "operands", "message"),
    [
        ("QGemm", {"x": np.ones((1, 2, 3), U8)}, "two matrices"),
        ("QGemm", {"c": np.ones((2, 2, 4), np.int32)}, "broadcasts to the product"),
        ("QGemm", {"sy": F(1), "zy": np.int16(3)}, "int8 or uint8"),
        ("MatMulIntegerToFloat", {"x": np.ones(3, U8)}, "matrices or stacks"),
    ],
)
def test_broken_products(op_type: str, operands: dict[str, Array], message: str) -> None:
    """Operands that do not fit are named."""
    if op_type == "QGemm":
        sound: dict[str, Array | None] = {"x": np.ones((2, 3), U8), "sa": F(1), "za": U8(0), "w": np.ones((3, 4), U8)}
        sound |= {"sb": F(1), "zb": U8(0), "c": None}
    else:
        sound = {"x": np.ones((2, 3), U8), "w": np.ones((3, 4), U8), "sa": F(1), "sb": F(1)}
    with pytest.raises(ModelError, match=message):
        import_model(contrib(op_type, sound | operands)[0])
