"""What counts as how many bits: the same in every spelling, from the values that occur."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitc.compiler import Options
from bitc.errors import OptionError
from bitc.report.products import Product, products
from tests.networks.onnx_net import Net

F32 = np.float32
RNG = np.random.default_rng(0)


def signs(*shape: int) -> np.ndarray:
    return RNG.choice(np.array([-1, 1], F32), shape)


def only(net: Net, tmp_path: Path, **arguments: object) -> Product:
    (product,), _ = products(net.save(tmp_path / "net.onnx"), **arguments)  # type: ignore[arg-type]
    return product


def convolution(net: Net, x: str, w: np.ndarray, **attributes: object) -> None:
    net.output(net.node("Conv", x, net.constant(w), kernel_shape=list(w.shape[2:]), **attributes))


SPELLINGS = {
    "sign": lambda net, x: net.node("Sign", x),
    "where": lambda net, x: net.node(
        "Where",
        net.node("GreaterOrEqual", x, net.constant(np.asarray(0, F32))),
        net.constant(np.asarray(0.5, F32)),
        net.constant(np.asarray(-0.5, F32)),
    ),
    "floor of clip": lambda net, x: net.node(
        "Floor", net.node("Clip", x, net.constant(np.asarray(-0.9, F32)), net.constant(np.asarray(0.9, F32)))
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_binary_convolutions(spelling: str, tmp_path: Path) -> None:
    net, w = Net(), signs(4, 3, 3, 3) * np.array([1, 2, 0.5, 3], F32).reshape(4, 1, 1, 1)
    convolution(net, SPELLINGS[spelling](net, net.input("x", [1, 3, 5, 5])), w, pads=[1] * 4)
    found = only(net, tmp_path)
    assert (found.bits, found.macs, found.pixels, found.taps, found.weights) == ((1, 1), 25 * 4 * 27, 25, 9, 108)
    assert (found.is_binary, found.is_counted, found.spikes, found.op_type) == (
        True,
        True,
        spelling == "floor of clip",
        "Conv",
    )
    assert found.rows is not None
    assert np.array_equal(found.rows[0], np.moveaxis(w, 1, -1).reshape(4, 27) < 0)


def test_groups_have_rows_of_their_own(tmp_path: Path) -> None:
    net, w = Net(), signs(6, 2, 3, 3)
    convolution(net, net.node("Sign", net.input("x", [1, 4, 5, 5])), w, group=2)
    found = only(net, tmp_path)
    assert found.rows is not None
    assert found.rows.shape == (2, 3, 18)
    assert np.array_equal(found.rows.reshape(6, 9, 2), np.moveaxis(w.reshape(6, 2, 9), 1, -1) < 0)


def test_dense_layers_are_binary_but_not_counted(tmp_path: Path) -> None:
    net, w = Net(), signs(16, 5)
    net.output(net.node("MatMul", net.node("Sign", net.input("x", [1, 16])), net.constant(w)))
    found = only(net, tmp_path)
    assert (found.bits, found.macs, found.is_binary, found.is_counted) == ((1, 1), 80, True, False)
    assert found.rows is not None
    assert np.array_equal(found.rows[0], w.T < 0)


def integers_up_to(most: int) -> np.ndarray:
    weights = RNG.integers(-most, most + 1, (20, 3))
    weights[:2] = [[-most], [most]]
    return weights


@pytest.mark.parametrize(
    ("values", "weights", "bits"),
    [
        ((-1.0, 0.0, 1.0), RNG.integers(-1, 2, (20, 3)), (2, 2)),
        (tuple(range(16)), integers_up_to(7) / 7, (4, 4)),
        (tuple(range(-128, 128)), integers_up_to(127), (8, 8)),
        ((0.0, 1.0), RNG.normal(size=(20, 3)), (32, 1)),
    ],
)
def test_widths_are_those_of_the_levels(
    values: tuple[float, ...], weights: np.ndarray, bits: tuple[int, int], tmp_path: Path
) -> None:
    net = Net()
    net.output(net.node("MatMul", net.input("x", [1, 20]), net.constant(weights.astype(F32))))
    found = only(net, tmp_path, options=Options(values={"x": values}))
    assert found.bits == bits
    assert found.rows is None
    assert found.spikes == (values == (0.0, 1.0))


def test_products_of_two_activations_have_no_weights(tmp_path: Path) -> None:
    net = Net()
    x = net.input("x", [1, 4, 8])
    bits = net.node("Sign", net.input("y", [1, 8, 4]))
    net.output(net.node("MatMul", x, bits))
    found = only(net, tmp_path)
    assert (found.bits, found.weight_bits, found.weights, found.macs, found.is_binary) == ((1, 32), 0, 0, 128, False)


def test_firing_is_the_mean_share_that_is_not_zero(tmp_path: Path) -> None:
    net = Net()
    spikes = net.node("Cast", net.node("Greater", net.input("x", ["N", 4]), net.constant(np.asarray(0, F32))), to=1)
    net.output(net.node("MatMul", spikes, net.constant(RNG.normal(size=(4, 3)).astype(F32))))
    path = net.save(tmp_path / "net.onnx")
    x = np.array([[1, 2, -1, -1], [1, -2, -1, -3]], F32)
    (found,), _ = products(path, inputs={"x": x[:, np.newaxis]})
    assert found.firing == 3 / 8
    assert products(path)[0][0].firing is None
    with pytest.raises(OptionError, match="does not fit"):
        products(path, inputs={"x": np.zeros((2, 7), F32)})


def test_other_constants_are_counted_apart(tmp_path: Path) -> None:
    def other_bytes(scaled: bool) -> int:
        net = Net()
        y = net.node("MatMul", net.node("Sign", net.input("x", [1, 16])), net.constant(signs(16, 5)))
        net.output(net.node("Mul", y, net.constant(np.arange(1, 6, dtype=F32))) if scaled else y)
        return products(net.save(tmp_path / "net.onnx"))[1]

    assert other_bytes(True) - other_bytes(False) == 5 * 4
