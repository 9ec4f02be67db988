"""onnxruntime's operators on 8-bit tensors, imported and interpreted, against onnxruntime: every bit, on tens of thousands of elements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from frontend.contrib import both, contrib

from bitc.errors import ModelError, UnsupportedError
from bitc.frontend import import_model
from bitc.ir import evaluate

F = np.float32
ROUND_SCALES = F([0.1, 0.05, 0.02, 0.25, 0.3, 0.15, 1 / 3, 0.0078125])
DTYPES = [np.uint8, np.int8]
Array = np.ndarray


class Draw:
    """Seeded draws of quantized tensors, scales (round ones make ties, which show the order of rounding) and zero points."""

    def __init__(self, seed: int, dtype: Any) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype
        self.limits = np.iinfo(dtype)

    def scale(self) -> Array:
        if self.rng.random() < 0.6:
            return np.asarray(self.rng.choice(ROUND_SCALES))
        return np.asarray(self.rng.uniform(0.001, 0.1), F)

    def tensor(self, *shape: int) -> Array:
        return self.rng.integers(self.limits.min, self.limits.max, shape, self.dtype, endpoint=True)

    def zero(self) -> Array:
        return self.tensor()


def draws(count: int) -> Iterator[Draw]:
    """``count`` draws, of both dtypes in turn."""
    return (Draw(seed, DTYPES[seed % 2]) for seed in range(count))


SHAPES = [
    ((500,), (500,)),
    ((2, 3, 9, 8), (3, 1, 1)),
    ((3, 1, 1), (2, 3, 9, 8)),
    ((1,), (4, 33)),
    ((4, 33), ()),
    ((7, 1), (1, 33)),
    ((5, 1, 4, 1), (1, 3, 4, 1)),
]


@pytest.mark.parametrize("op_type", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize(("first", "second"), SHAPES)
def test_arithmetic(op_type: str, first: tuple[int, ...], second: tuple[int, ...]) -> None:
    """All kinds of broadcasting: onnxruntime's order of rounding depends on which side repeats."""
    for d in draws(40):
        operands = {"x": d.tensor(*first), "sa": d.scale(), "za": d.zero(), "w": d.tensor(*second)}
        operands |= {"sb": d.scale(), "zb": d.zero(), "sc": d.scale(), "zc": d.zero()}
        both(op_type, operands, inputs=("x", "w")).equal()


@pytest.mark.parametrize("op_type", ["QLinearAdd", "QLinearMul"])
def test_arithmetic_with_scales_that_are_inputs_and_without_zero_points(op_type: str) -> None:
    """Scales may come in while the network runs; a zero point that is left out is 0 (onnxruntime 1.31 wants it written)."""
    for d in draws(10):
        operands = {"x": d.tensor(300), "sa": d.scale(), "za": d.zero(), "w": d.tensor(300), "sb": d.scale()}
        operands |= {"zb": d.zero(), "sc": d.scale(), "zc": d.zero()}
        both(op_type, operands, inputs=operands.keys()).equal()
        zeros = {name: np.zeros((), d.dtype) for name in ("za", "zb", "zc")}
        written = both(op_type, operands | zeros, inputs=("x", "w")).equal()
        proto, feeds = contrib(op_type, operands | dict.fromkeys(zeros), inputs=("x", "w"))
        np.testing.assert_array_equal(evaluate(import_model(proto), feeds)[0], written.theirs[0])


def unary(d: Draw, x: Array, **changed: Any) -> dict[str, Array | None]:
    """x, its scale and zero point, the result's scale and zero point."""
    return {"x": x, "sx": d.scale(), "zx": d.zero(), "sy": d.scale(), "zy": d.zero(), **changed}


@pytest.mark.parametrize("op_type", ["QLinearLeakyRelu", "QLinearSigmoid"])
def test_lookup_tables(op_type: str) -> None:
    """All 256 values under many scales: onnxruntime looks them up, the table is this arithmetic."""
    attrs = {"alpha": 0.13} if op_type == "QLinearLeakyRelu" else {}
    for d in draws(120):
        x = np.arange(d.limits.min, d.limits.max + 1).astype(d.dtype)
        changed = {"sy": np.asarray(d.rng.choice(F([1 / 256, 1 / 255, 0.004])))} if op_type == "QLinearSigmoid" else {}
        both(op_type, unary(d, x, **changed), **attrs).equal()
        both(op_type, unary(d, x, zx=None), **attrs).equal()


def test_concat() -> None:
    """Parts that have the output's scale and zero point are copied, others requantized."""
    for d in draws(60):
        scale, zero = d.scale(), d.zero()
        operands = {"sy": scale, "zy": zero, "x": d.tensor(2, 90), "sx": d.scale(), "zx": d.zero()}
        operands |= {"w": d.tensor(2, 70), "sw": scale, "zw": zero, "v": d.tensor(2, 70), "sv": d.scale(), "zv": zero}
        both("QLinearConcat", operands, inputs=("x", "w", "v"), axis=1).equal()
        operands |= {"zv": d.zero()}
        both("QLinearConcat", operands, inputs=operands.keys(), axis=1).equal()


def test_where() -> None:
    """Both sides are requantized."""
    for d in draws(60):
        operands = {"c": d.rng.random((3, 90)) < 0.5, "x": d.tensor(3, 90), "sx": d.scale(), "zx": d.zero()}
        operands |= {"w": d.tensor(3, 90), "sw": d.scale(), "zw": d.zero(), "sz": d.scale(), "zz": d.zero()}
        both("QLinearWhere", operands, inputs=("c", "x", "w")).equal()


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("shape", [(2, 5, 7, 7), (1, 3, 1, 9), (2, 5, 13), (3, 4, 1, 1)])
def test_global_average_pool(last: int, shape: tuple[int, ...]) -> None:
    """The sum is an integer, so nothing depends on its order."""
    for d in draws(60):
        both("QLinearGlobalAveragePool", unary(d, d.tensor(*shape)), channels_last=last).equal()


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("strides", [[1, 1], [3, 2]])
def test_average_pool_over_the_whole_image(strides: list[int], last: int) -> None:
    """onnxruntime takes it for the global one, which rounds before the zero point is added."""
    for d in draws(60):
        shape = (2, 2, 1, 40) if last else (2, 40, 2, 1)
        operands = unary(d, d.tensor(*shape), sx=np.asarray(0.5, F), sy=np.asarray(1, F))
        both("QLinearAveragePool", operands, channels_last=last, kernel_shape=[2, 1], strides=strides).equal()


POOLS = [
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 3], "strides": [1, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 3], "strides": [1, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [0, 1, 1, 0], "ceil_mode": 1},
    {"kernel_shape": [4, 3], "strides": [3, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1, "count_include_pad": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
]


@pytest.mark.parametrize("attrs", POOLS)
@pytest.mark.parametrize("last", [0, 1])
def test_average_pool(attrs: dict[str, Any], last: int) -> None:
    """Exact where the scale is a power of two; else another order of summation may move ties, by one."""
    differing, total = 0, 0
    for d in draws(30):
        shape = (2, 9, 8, 3) if last else (2, 3, 9, 8)
        exact = unary(d, d.tensor(*shape), sx=np.asarray(0.25, F))
        both("QLinearAveragePool", exact, channels_last=last, **attrs).equal()
        pair = both("QLinearAveragePool", unary(d, d.tensor(*shape)), channels_last=last, **attrs)
        count, furthest = pair.differing()
        assert furthest <= 1
        differing, total = differing + count, total + pair.ours[0].size
    assert differing <= 0.005 * total


@pytest.mark.parametrize(("shape", "attrs"), [((40, 10), {"opset": 13}), ((4, 5, 6), {"opset": 11, "axis": 1})])
def test_softmax(shape: tuple[int, ...], attrs: dict[str, int]) -> None:
    """Ties may move by one; nothing else differs."""
    differing, total = 0, 0
    for d in draws(120):
        usual = {"sy": np.asarray(1 / 256, F), "zy": np.asarray(d.limits.min, d.dtype)}
        both("QLinearSoftmax", unary(d, d.tensor(*shape), **usual), **attrs).equal()
        pair = both(
            "QLinearSoftmax", unary(d, d.tensor(*shape), sy=np.asarray(d.rng.uniform(1 / 256, 0.02), F)), **attrs
        )
        count, furthest = pair.differing()
        assert furthest <= 1
        differing, total = differing + count, total + pair.ours[0].size
    assert differing <= 0.0005 * total


def test_reduce_mean_has_the_meaning_of_its_schema() -> None:
    """onnxruntime has no CPU kernel of QLinearReduceMean: the expected numbers are written out."""
    operands = {"x": np.array([[0, 10, 20, 31], [5, 5, 5, 6]], np.uint8), "sx": F(0.5), "zx": np.uint8(4)}
    operands |= {"sy": F(0.25), "zy": np.uint8(3)}
    proto, feeds = contrib("QLinearReduceMean", operands, axes=[1], keepdims=0)
    assert evaluate(import_model(proto), feeds)[0].tolist() == [25, 5]  # 5.625 and 0.625 are 22.5 and 2.5 steps


@pytest.mark.parametrize(
    ("op_type", "operands", "attrs", "error", "message"),
    [
        ("QLinearSoftmax", {"sy": F(0.001)}, {"opset": 13}, UnsupportedError, "one number from 1/256"),
        ("QLinearLeakyRelu", {"sx": F([0.1, 0.2, 0.3])}, {}, UnsupportedError, "single numbers"),
        ("QLinearLeakyRelu", {"zy": np.int16(3)}, {}, ModelError, "int8 or uint8"),
        ("QLinearAveragePool", {}, {}, ModelError, "needs kernel_shape"),
        ("QLinearGlobalAveragePool", {}, {}, ModelError, "takes an image"),
    ],
)
def test_refusals(
    op_type: str, operands: dict[str, Array], attrs: dict[str, int], error: type[Exception], message: str
) -> None:
    """Forms bitc does not take, and operands that do not fit."""
    d = Draw(0, np.uint8)
    with pytest.raises(error, match=message):
        import_model(contrib(op_type, unary(d, d.tensor(4, 3), **operands), **attrs)[0])


def test_concat_needs_whole_triples() -> None:
    """A scale without zero point is a broken node."""
    d = Draw(0, np.uint8)
    with pytest.raises(ModelError, match="a scale and a zero point for each part"):
        import_model(contrib("QLinearConcat", {"sy": F(1), "zy": d.zero(), "x": d.tensor(3), "sx": F(1)}, axis=0)[0])
