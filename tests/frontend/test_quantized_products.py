"""QLinearConv, QLinearMatMul, ConvInteger and MatMulInteger, imported and interpreted, against onnxruntime: the same bits.

int8 weights stay within 7 bits beside uint8 activations: on a CPU without VNNI onnxruntime saturates pairs of larger products at 16 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from frontend.contrib import both, contrib

from bitc.errors import ModelError
from bitc.frontend import import_model
from bitc.ir import evaluate

F = np.float32
Array = np.ndarray
U8, I8 = np.uint8, np.int8
PAIRS = [(U8, U8), (U8, I8), (I8, I8)]


class Draw:
    """Seeded operands of one product."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def whole(self, dtype: Any, *shape: int) -> Array:
        limits = np.iinfo(dtype)
        return np.asarray(self.rng.integers(limits.min, limits.max, shape, dtype, endpoint=True))

    def weights(self, dtype: Any, *shape: int) -> Array:
        return self.whole(dtype, *shape) if dtype is U8 else self.rng.integers(-63, 64, shape, dtype)

    def central_zero(self, dtype: Any, *shape: int) -> Array:
        """A zero point of weights, which are as often positive as negative."""
        return np.asarray(self.rng.integers(100, 156, shape, U8)) if dtype is U8 else np.zeros(shape, dtype)

    def result_scale(self, x: Array, w: Array, terms: int) -> Array:
        """Spreads the results of a product over their range; a power of two every other time."""
        wanted = float(x.max() * w.max()) * 60 * np.sqrt(terms)
        return np.asarray(2.0 ** round(np.log2(wanted)) if self.rng.random() < 0.5 else wanted, F)

    def scale(self, *shape: int) -> Array:
        """Round ones make ties, which show the order of rounding."""
        if self.rng.random() < 0.5:
            return np.asarray(self.rng.choice(F([0.25, 0.5, 0.1, 0.05, 1 / 3]), shape))
        return np.asarray(self.rng.uniform(0.01, 0.3, shape), F)


CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 17, 19), (8, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
    ((1, 8, 20, 20), (16, 8, 1, 1), {}),
    ((1, 4, 23, 20), (6, 2, 3, 2), {"group": 2, "strides": [2, 1], "pads": [2, 0, 1, 1], "dilations": [1, 2]}),
    ((1, 12, 30, 30), (12, 1, 3, 3), {"group": 12, "pads": [0, 0, 1, 1], "strides": [2, 2]}),
    ((2, 5, 90), (7, 5, 4), {"pads": [3, 1]}),
    ((1, 6, 15, 14), (4, 6, 5, 5), {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
]


@pytest.mark.parametrize(("x_type", "w_type"), PAIRS)
@pytest.mark.parametrize("case", range(len(CONVOLUTIONS)))
def test_qlinear_conv(x_type: Any, w_type: Any, case: int) -> None:
    """Scales and zero points of weights as one number and as one for each channel, with and without bias."""
    x_shape, w_shape, attrs = CONVOLUTIONS[case]
    spread = []
    for seed in range(8):
        d = Draw(seed)
        of_w = (w_shape[0],) if seed % 2 else ()
        x_scale, w_scale = d.scale(), d.scale(*of_w)
        operands: dict[str, Array | None] = {
            "x": d.whole(x_type, *x_shape),
            "xs": x_scale,
            "xz": d.whole(x_type) if seed % 3 else d.central_zero(x_type)[()],
            "w": d.weights(w_type, *w_shape),
            "ws": w_scale,
            "wz": np.full(of_w, d.central_zero(w_type)[()]),
            "ys": d.result_scale(x_scale, w_scale, int(np.prod(w_shape[1:]))),
            "yz": d.whole(x_type),
            "b": d.rng.integers(-9000, 9000, w_shape[0]).astype(np.int32) if seed % 4 < 2 else None,
        }
        found = both("QLinearConv", operands, domain="", **attrs).equal()
        spread.append(np.unique(found.ours[0]).size)
    assert max(spread) > 100


@pytest.mark.parametrize(("a_type", "b_type"), PAIRS)
def test_qlinear_matmul(a_type: Any, b_type: Any) -> None:
    """Matrices, stacks of them, and a scale and zero point for each column; scales are scalars and tensors [1]."""
    for seed, (a, b, of_b) in enumerate(
        [
            ((40, 70), (70, 60), ()),
            ((3, 5, 33), (33, 20), (20,)),
            ((2, 4, 9, 12), (2, 4, 12, 7), ()),
            ((1, 8), (8, 1), (1,)),
        ]
        * 3
    ):
        d = Draw(seed)
        one = (1,) if seed % 3 == 1 else ()
        a_scale, b_scale = d.scale(*one), d.scale(*of_b)
        operands = {
            "x": d.whole(a_type, *a),
            "as": a_scale,
            "az": d.whole(a_type, *one),
            "b": d.weights(b_type, *b),
            "bs": b_scale,
            "bz": d.central_zero(b_type, *of_b),
            "ys": d.result_scale(a_scale, b_scale, a[-1]).reshape(one),
            "yz": d.whole(a_type, *one),
        }
        both("QLinearMatMul", operands, domain="").equal()


def test_scales_and_zero_points_at_run_time() -> None:
    d = Draw(1)
    operands = {
        "x": d.whole(U8, 1, 3, 12, 12),
        "xs": d.scale(),
        "xz": d.whole(U8),
        "w": d.weights(U8, 5, 3, 3, 3),
        "ws": d.scale(5),
        "wz": np.full(5, 77, U8),
        "ys": F(9),
        "yz": d.whole(U8),
    }
    both("QLinearConv", operands, domain="", inputs=tuple(operands), pads=[1, 1, 1, 1]).equal()
    operands |= {"x": d.whole(U8, 20, 30), "w": d.weights(U8, 30, 11), "ws": d.scale(11), "wz": d.whole(U8, 11)}
    both("QLinearMatMul", operands, domain="", inputs=tuple(operands)).equal()
    both(
        "MatMulInteger", {k: operands[k] for k in ("x", "w", "xz", "wz")}, domain="", inputs=("x", "w", "xz", "wz")
    ).equal()


@pytest.mark.parametrize(("x_type", "w_type"), [(U8, U8), (U8, I8)])
@pytest.mark.parametrize("case", range(len(CONVOLUTIONS)))
def test_conv_integer(x_type: Any, w_type: Any, case: int) -> None:
    x_shape, w_shape, attrs = CONVOLUTIONS[case]
    for seed in range(3):
        d = Draw(seed)
        operands: dict[str, Array | None] = {
            "x": d.whole(x_type, *x_shape),
            "w": d.weights(w_type, *w_shape),
            "xz": d.whole(x_type) if seed else None,
            "wz": d.central_zero(w_type) if seed == 2 else None,
        }
        both("ConvInteger", operands, domain="", **attrs).equal()


@pytest.mark.parametrize(("a_type", "b_type"), PAIRS)
def test_matmul_integer(a_type: Any, b_type: Any) -> None:
    for seed, (a, b, of_b) in enumerate(
        [((40, 70), (70, 60), (60,)), ((3, 5, 33), (33, 20), ()), ((2, 4, 9, 12), (2, 4, 12, 7), ())]
    ):
        d = Draw(seed)
        operands: dict[str, Array | None] = {
            "x": d.whole(a_type, *a),
            "b": d.weights(b_type, *b),
            "az": None,
            "bz": None,
        }
        both("MatMulInteger", operands, domain="").equal()
        operands |= {"az": d.whole(a_type), "bz": d.central_zero(b_type, *of_b)}
        both("MatMulInteger", operands, domain="").equal()


@pytest.mark.parametrize(("a", "b"), [((9,), (9, 4)), ((3, 9), (9,)), ((9,), (9,))])
def test_vectors(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    d = Draw(4)
    x, w = d.whole(U8, *a), d.whole(U8, *b)
    both("MatMulInteger", {"x": x, "b": w, "az": U8(7), "bz": U8(99)}, domain="").equal()
    operands = {"x": x, "as": F(0.5), "az": U8(7), "b": w, "bs": F(0.1), "bz": U8(99), "ys": F(30), "yz": U8(100)}
    both("QLinearMatMul", operands, domain="").equal()


def test_zero_points_for_each_row() -> None:
    """onnxruntime takes one zero point of A alone; this is ONNX's own meaning."""
    d = Draw(7)
    a, b, rows = d.whole(U8, 6, 5), d.whole(U8, 5, 4), d.whole(U8, 6)
    proto, feeds = contrib("MatMulInteger", {"x": a, "b": b, "az": rows}, domain="")
    (found,) = evaluate(import_model(proto), feeds)
    np.testing.assert_array_equal(found, (a.astype(np.int64) - rows[:, np.newaxis]) @ b.astype(np.int64))


def test_results_saturate() -> None:
    """The official tests of int8 QLinearMatMul want the sum to wrap around here; onnxruntime saturates, and so does the text of ONNX."""
    operands = {
        "x": np.full((1, 64), 127, I8),
        "as": F(1),
        "az": I8(0),
        "b": np.stack([np.full(64, 100), np.full(64, -100)], 1).astype(I8),
        "bs": F(1),
        "bz": I8(0),
        "ys": F(1),
        "yz": I8(0),
    }
    assert both("QLinearMatMul", operands, domain="").equal().ours[0].tolist() == [[127, -128]]


@pytest.mark.parametrize(
    ("op_type", "operands", "rule"),
    [
        ("QLinearMatMul", {"w": np.ones((4, 3), U8)}, "do not multiply"),
        ("QLinearConv", {"x": np.ones((1, 3, 4, 4), U8), "w": np.ones((2, 3), U8)}, "a convolution takes"),
        (
            "QLinearConv",
            {"x": np.ones((1, 3, 4, 4), U8), "w": np.ones((2, 3, 1, 1), U8), "wz": np.ones(3, U8)},
            "one for each output channel",
        ),
    ],
)
def test_operands_that_do_not_fit(op_type: str, operands: dict[str, Array], rule: str) -> None:
    one, zero = F(1), U8(0)
    given = {
        "x": np.ones((2, 5), U8),
        "xs": one,
        "xz": zero,
        "w": zero,
        "ws": one,
        "wz": zero,
        "ys": one,
        "yz": zero,
    } | operands
    proto, _ = contrib(op_type, given, domain="")
    with pytest.raises(ModelError, match=rule):
        import_model(proto)
