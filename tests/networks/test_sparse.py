"""Float layers most of whose weights are 0, learned delays and pruned layers: multiplied by the others alone where that is faster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitc.check import check
from tests.networks.building import TARGETS
from tests.networks.onnx_net import Net, build_quickly, product_forms, truth

SPARSE = "float32, sparse"
pytestmark = pytest.mark.usefixtures("compiler")


def pruned(rng: np.random.Generator, shape: tuple[int, ...], rate: float) -> np.ndarray:
    """Weights of which ``rate`` are not 0."""
    return np.where(rng.random(shape) < rate, rng.standard_normal(shape), 0).astype(np.float32)


def delays(rng: np.random.Generator, outputs: int, inputs: int, steps: int) -> np.ndarray:
    """Kernels with one tap for each pair of an output and an input."""
    w = np.zeros((outputs, inputs, steps), np.float32)
    np.put_along_axis(w, rng.integers(0, steps, (outputs, inputs, 1)), rng.standard_normal((outputs, inputs, 1)), 2)
    return w


def delayed(net: Net, rng: np.random.Generator) -> None:
    """Two sequences in steps of time, padded, through two layers of delays with thresholds between."""
    x = net.node("Transpose", net.input("x", (2, 16, 20)), perm=[0, 2, 1])
    for outputs, inputs in ((24, 20), (10, 24)):
        x = net.node("Conv", x, delays(rng, outputs, inputs, 25), kernel_shape=[25], pads=[24, 12])
        x = net.node("Cast", net.node("Greater", x, np.float32(0.4)), to=1)
    net.output(net.node("Transpose", x, perm=[0, 2, 1]))


def images(net: Net, rng: np.random.Generator) -> None:
    """Windows of two dimensions, padded and dilated, and behind them one as large as the image."""
    x = net.input("x", (2, 6, 11, 9))
    x = net.node("Conv", x, pruned(rng, (40, 6, 3, 3), 0.05), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    x = net.node("Conv", net.node("Relu", x), pruned(rng, (40, 40, 3, 2), 0.03), kernel_shape=[3, 2], dilations=[2, 3])
    net.output(net.node("MatMul", net.node("Flatten", x), pruned(rng, (40 * 7 * 6, 50), 0.01)))


def tokens(net: Net, rng: np.random.Generator) -> None:
    """A matrix of 24 tokens, and one of each row's first."""
    x = net.node("MatMul", net.input("x", (24, 100)), pruned(rng, (100, 200), 0.04))
    first = net.node("Slice", x, np.array([0]), np.array([1]))
    net.output(net.node("MatMul", net.node("Tanh", first), pruned(rng, (200, 300), 0.01)))
    net.output(x)


NETWORKS = {"delayed": (delayed, 2), "images": (images, 3), "tokens": (tokens, 2)}


@pytest.fixture(scope="module", params=NETWORKS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A network, and how many of its products are sparse."""
    make, layers = NETWORKS[request.param]
    net = Net()
    make(net, np.random.default_rng(4))
    return net.save(tmp_path_factory.mktemp("sparse") / f"{request.param}.onnx"), layers


def feed_of(model: Path, rng: np.random.Generator) -> dict[str, np.ndarray]:
    shape = {"delayed": (2, 16, 20), "images": (2, 6, 11, 9), "tokens": (24, 100)}[model.stem]
    return {"x": rng.standard_normal(shape).astype(np.float32)}


@pytest.mark.parametrize("target", TARGETS)
def test_zeros_are_not_multiplied(model: tuple[Path, int], target: str, tmp_path: Path) -> None:
    path, layers = model
    session = build_quickly(path, target, tmp_path)
    assert product_forms(session) == [SPARSE] * layers
    assert all(0 < layer["density"] < 0.15 for layer in session.metadata["layers"] if layer["macs"])
    for seed in range(3):
        feed = feed_of(path, np.random.default_rng(seed))
        for made, wanted in zip(session.run(None, feed), truth(path, feed), strict=True):
            np.testing.assert_allclose(made, wanted, rtol=2e-5, atol=1e-5)


def test_check_holds_after_every_pass(model: tuple[Path, int]) -> None:
    path, _ = model
    feed = feed_of(path, np.random.default_rng(6))
    assert check(path, target="portable", stages=True, inputs=feed).passed


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_goes_where_the_dense_product_takes_it(value: float, tmp_path: Path) -> None:
    rng, net = np.random.default_rng(3), Net()
    w = pruned(rng, (30, 8, 9), 0.1)
    w[2, 5] = 1.0  # a row without zeros in the channel concerned
    net.output(net.node("Conv", net.input("x", (1, 8, 40)), w, kernel_shape=[9], pads=[4, 4]))
    path = net.save(tmp_path / "net.onnx")
    session = build_quickly(path, "portable", tmp_path / "out")
    assert product_forms(session) == [SPARSE]
    feed = {"x": rng.integers(-3, 4, (1, 8, 40)).astype(np.float32)}
    feed["x"][0, 5, 11] = value
    (made,), (wanted,) = session.run(None, feed), truth(path, feed)
    np.testing.assert_array_equal(np.isnan(made), np.isnan(wanted))
    np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_many_weights_stay_dense(rate: float, tmp_path: Path) -> None:
    net, rng = Net(), np.random.default_rng(2)
    net.output(net.node("MatMul", net.input("x", (1, 128)), pruned(rng, (128, 256), rate)))
    assert product_forms(build_quickly(net.save(tmp_path / "net.onnx"), "portable", tmp_path / "out")) == ["float32"]


@pytest.mark.parametrize("attrs", [{"strides": [2, 2]}, {"group": 2}])
def test_what_has_no_kernel_stays_dense(attrs: dict[str, object], tmp_path: Path) -> None:
    net, rng = Net(), np.random.default_rng(2)
    w = pruned(rng, (32, 16 // int(str(attrs.get("group", 1))), 3, 3), 0.02)
    net.output(net.node("Conv", net.input("x", (1, 16, 12, 12)), w, kernel_shape=[3, 3], **attrs))
    assert product_forms(build_quickly(net.save(tmp_path / "net.onnx"), "portable", tmp_path / "out")) == ["float32"]


def test_channels_without_weights_are_zero(tmp_path: Path) -> None:
    net, rng = Net(), np.random.default_rng(1)
    w = pruned(rng, (12, 30, 3), 0.1)
    w[[0, 5, 11]], w[:, 7] = 0, 0
    net.output(net.node("Conv", net.input("x", (1, 30, 50)), w, kernel_shape=[3]))
    path = net.save(tmp_path / "net.onnx")
    session = build_quickly(path, "portable", tmp_path / "out")
    assert product_forms(session) == [SPARSE]
    feed = {"x": rng.standard_normal((1, 30, 50)).astype(np.float32)}
    (made,) = session.run(None, feed)
    assert not made[0, [0, 5, 11]].any()
    np.testing.assert_allclose(made, truth(path, feed)[0], rtol=2e-5, atol=1e-5)
