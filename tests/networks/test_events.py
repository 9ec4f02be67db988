"""Spiking networks: layers of spikes by events where firing rates were measured and are low, as bits where the weights are ±a."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import bitc
from bitc.check import check
from bitc.compiler import Options
from bitc.errors import OptionError
from models.spiking import spiking
from tests.networks.building import TARGETS
from tests.networks.onnx_net import Net, build_quickly, product_forms, truth

LAYERS = (32, "pool", 72, 64)
EVENTS = "float32, events"
pytestmark = pytest.mark.usefixtures("compiler")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(8).standard_normal((3, 3, 12, 12)).astype(np.float32)


def network(folder: Path, images: np.ndarray, weights: str, steps: int = 3) -> tuple[Path, Path]:
    """A spiking network and its samples as files."""
    model, samples = folder / f"{weights}.onnx", folder / "samples.npz"
    onnx.save(spiking(images, steps, weights, LAYERS).model, model)
    np.savez(samples, x=images)
    return model, samples


@pytest.mark.parametrize("target", TARGETS)
def test_zeros_are_skipped_where_rates_are_low(target: str, images: np.ndarray, tmp_path: Path) -> None:
    model, samples = network(tmp_path, images, "normal")
    session = build_quickly(model, target, tmp_path / "out", calibrate=samples)
    layers = [layer for layer in session.metadata["layers"] if layer["macs"]]
    assert EVENTS in product_forms(session)
    assert layers[0]["form"] == "float32"
    assert layers[0]["firing_rate"] == 1.0
    assert all(layer["firing_rate"] < 0.4 for layer in layers if layer["form"] == EVENTS)
    for image in images:
        feed = {"x": image[np.newaxis]}
        np.testing.assert_allclose(session.run(None, feed)[0], truth(model, feed)[0], rtol=2e-5, atol=2e-5)


def test_any_input_is_computed(images: np.ndarray, tmp_path: Path) -> None:
    """A rate decides how, never what: zeros alone and none at all."""
    net = Net()
    x = net.input("x", (1, 12, 6, 7))
    w = np.random.default_rng(1).standard_normal((33, 12, 3, 3)).astype(np.float32)
    net.output(net.node("Conv", x, w, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 1], dilations=[1, 1]))
    model = net.save(tmp_path / "conv.onnx")
    np.savez(tmp_path / "zeros.npz", x=np.zeros((2, 12, 6, 7), np.float32))
    session = build_quickly(model, "portable", tmp_path / "out", calibrate=tmp_path / "zeros.npz")
    assert product_forms(session) == [EVENTS]
    for values in (np.zeros((1, 12, 6, 7)), np.random.default_rng(2).standard_normal((1, 12, 6, 7))):
        feed = {"x": values.astype(np.float32)}
        np.testing.assert_allclose(session.run(None, feed)[0], truth(model, feed)[0], rtol=2e-5, atol=1e-5)


def test_check_holds_after_every_pass(images: np.ndarray, tmp_path: Path) -> None:
    model, samples = network(tmp_path, images, "normal", steps=2)
    options = Options(calibrate=str(samples))
    assert check(model, target="portable", stages=True, inputs={"x": images}, options=options).passed


@pytest.mark.parametrize("calibrated", [False, True])
def test_weights_of_one_bit_run_as_bits_anyway(calibrated: bool, images: np.ndarray, tmp_path: Path) -> None:
    model, samples = network(tmp_path, images, "signs")
    session = build_quickly(model, "portable", tmp_path / "out", calibrate=samples if calibrated else None)
    forms = product_forms(session)
    assert sum(form.startswith("1x1 bit") for form in forms) == 6
    assert forms[0] == "float32"  # one stem for all time steps


def test_without_rates_nothing_is_skipped(images: np.ndarray, tmp_path: Path) -> None:
    model, _ = network(tmp_path, images, "normal")
    assert EVENTS not in product_forms(build_quickly(model, "portable", tmp_path / "out"))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_weights_that_are_not_finite_are_not_skipped(tmp_path: Path) -> None:
    """0 · infinity is NaN."""
    net = Net()
    w = np.ones((4, 3, 1, 1), np.float32)
    w[0, 0] = np.inf
    net.output(net.node("Conv", net.input("x", (1, 3, 2, 2)), w, kernel_shape=[1, 1]))
    model = net.save(tmp_path / "inf.onnx")
    np.savez(tmp_path / "zeros.npz", x=np.zeros((1, 3, 2, 2), np.float32))
    session = build_quickly(model, "portable", tmp_path / "out", calibrate=tmp_path / "zeros.npz")
    assert product_forms(session) == ["float32"]


def test_threads_share_the_rows(images: np.ndarray, tmp_path: Path) -> None:
    model, samples = network(tmp_path, images, "normal")
    alone = build_quickly(model, "portable", tmp_path / "one", calibrate=samples)
    shared = bitc.compile(
        model, target="portable", out=tmp_path / "two", threads=2, calibrate=samples, c_flags=("-O1",)
    ).session()
    feed = {"x": images[:1]}
    np.testing.assert_array_equal(shared.run(None, feed)[0], alone.run(None, feed)[0])


def test_the_image_of_all_time_steps_is_convolved_once(images: np.ndarray, tmp_path: Path) -> None:
    """Direct coding as multi-step layers are exported: the image expanded over time, merged with the batch, a step at a time behind."""
    net, rng = Net(), np.random.default_rng(6)
    steps = net.node("Expand", net.input("x", (1, 3, 12, 12)), np.array([4, 1, 3, 12, 12]))
    merged = net.node("Reshape", steps, np.array([4, 3, 12, 12]))
    w = rng.standard_normal((8, 3, 3, 3)).astype(np.float32)
    current = net.node("Conv", merged, w, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    apart = net.node("Reshape", current, np.array([4, 1, 8, 12, 12]))
    v, spikes = "", []
    for step in range(4):
        now = net.node("Gather", apart, np.asarray(step), axis=0)
        v = net.node("Add", net.node("Mul", v, np.float32(0.5)), now) if v else now
        spikes.append(net.node("Cast", net.node("Greater", v, np.float32(3)), to=onnx.TensorProto.FLOAT))
    net.output(net.node("Concat", *spikes, axis=0))
    session = build_quickly(net.save(tmp_path / "net.onnx"), "portable", tmp_path / "out")
    (layer,) = (layer for layer in session.metadata["layers"] if layer["macs"])
    assert layer["macs"] == 12 * 12 * 8 * 3 * 9
    feed = {"x": images[:1]}
    np.testing.assert_array_equal(session.run(None, feed)[0], truth(tmp_path / "net.onnx", feed)[0])


@pytest.mark.parametrize("spelling", ["a + b - a·b", "1 - (1 - a)(1 - b)", "or", "a and not b"])
def test_residuals_of_spikes_are_spikes(spelling: str, tmp_path: Path) -> None:
    """What OR, and AND with a silent branch, give takes two values: the layer behind runs as one bit by one bit."""
    net, rng, one = Net(), np.random.default_rng(5), np.float32(1)
    signs = [rng.choice([-1.0, 1.0], (12, 12, 3, 3)).astype(np.float32) for _ in range(3)]
    x = net.node("Cast", net.node("Greater", net.input("x", (1, 12, 6, 7)), np.float32(0)), to=1)
    fired = [net.node("Greater", net.node("Conv", x, w, pads=[1, 1, 1, 1]), np.float32(0.5)) for w in signs[:2]]
    a, b = (net.node("Cast", bits, to=1) for bits in fired)
    match spelling:
        case "or":
            joined = net.node("Cast", net.node("Or", *fired), to=1)
        case "a + b - a·b":
            joined = net.node("Sub", net.node("Add", a, b), net.node("Mul", a, b))
        case "a and not b":
            joined = net.node("Mul", a, net.node("Sub", one, b))
        case _:
            joined = net.node("Sub", one, net.node("Mul", net.node("Sub", one, a), net.node("Sub", one, b)))
    net.output(net.node("Conv", joined, signs[2], pads=[1, 1, 1, 1]))
    model = net.save(tmp_path / "residual.onnx")
    session = build_quickly(model, "portable", tmp_path / "out")
    assert product_forms(session) == ["1x1 bit"] * 3
    feed = {"x": rng.standard_normal((1, 12, 6, 7)).astype(np.float32)}
    np.testing.assert_array_equal(session.run(None, feed)[0], truth(model, feed)[0])


@pytest.mark.parametrize("shape", [(2, 3, 12, 11), (0, 3, 12, 12), (3, 12, 12)])
def test_samples_that_do_not_fit_are_refused(shape: tuple[int, ...], images: np.ndarray, tmp_path: Path) -> None:
    model, samples = network(tmp_path, images, "signs")
    np.savez(samples, x=np.zeros(shape, np.float32))
    with pytest.raises(OptionError, match="O056"):
        bitc.compile(model, target="portable", out=tmp_path / "out", calibrate=samples, emit=("c",))
