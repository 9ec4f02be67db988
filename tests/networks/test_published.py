"""Networks trained by others: accuracy over their data, the oracle's answers, and which layers run as bits, on every target."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from bitc.check import check
from bitc.compiler import Options
from bitc.oracle import load_model, model_inputs, oracle_for
from tests.networks.building import TARGETS, build, built, emulated, outputs, right_answers
from tests.networks.published import BYTES, PUBLISHED, Published, bipolar_mnist, cifar10

FEW = 40
"""Samples compared with the oracle one by one in every run."""

MOST_EMULATED = 1000


@cache
def samples(load: Callable[[Path], tuple[np.ndarray, np.ndarray]], shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """The data, read once a session."""
    return load(shared)


def model_of(network: Published, shared: Path) -> tuple[Path, str]:
    """The file and the name of its input."""
    path = shared / "models" / network.file
    return path, model_inputs(load_model(path))[0].name


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("network", PUBLISHED, ids=str)
def test_accuracy_is_the_published_one(network: Published, target: str, shared: Path) -> None:
    path, name = model_of(network, shared)
    x, labels = samples(network.samples, shared)
    session = built(path, target)
    if (
        emulated(target) and network.of > MOST_EMULATED
    ):  # a share of the images, against the same share on the portable target
        x = x[:: network.of // MOST_EMULATED]
        reference = outputs(built(path, "portable"), {name: x})[0]
        assert np.array_equal(outputs(session, {name: x})[0].argmax(-1), reference.argmax(-1))
        return
    assert right_answers(outputs(session, {name: x})[0], labels) == network.right


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("network", PUBLISHED, ids=str)
def test_answers_are_the_oracles(network: Published, target: str, shared: Path) -> None:
    path, name = model_of(network, shared)
    x = samples(network.samples, shared)[0][:: max(1, network.of // FEW)][:FEW]
    oracle = oracle_for(path)
    truth = np.concatenate([oracle.run({name: x[i : i + 1]})[oracle.output_names[0]] for i in range(len(x))])
    got = outputs(built(path, target), {name: x})[0]
    assert np.array_equal(got.argmax(-1), truth.argmax(-1))
    if network.bit_equal:
        assert np.array_equal(got, truth)


@pytest.mark.parametrize("network", PUBLISHED, ids=str)
def test_check_passes_at_every_stage(network: Published, shared: Path) -> None:
    path, name = model_of(network, shared)
    x = samples(network.samples, shared)[0][:2]
    report = check(path, target="native", stages=True, inputs={name: x})
    assert report.passed, report.findings
    assert report.labels_equal == report.samples


@pytest.mark.parametrize("network", PUBLISHED, ids=str)
def test_every_layer_that_can_be_runs_as_bits(network: Published, shared: Path) -> None:
    path, _ = model_of(network, shared)
    products = [layer for layer in built(path, "portable").metadata["layers"] if layer["macs"]]
    bits = [layer for layer in products if layer["form"].removesuffix(", trees").endswith("1 bit")]
    assert len(bits) == network.bit_layers, [layer["form"] for layer in products]
    assert all(layer["why"] for layer in products if layer not in bits), "a layer is float in silence"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("file", "load", "values"),
    [
        ("bnn_pynq/lfcW1A1_mnist_sign.onnx", bipolar_mnist, (-1.0, 1.0)),
        ("bnn_pynq/cnvW1A1_cifar10_sign.onnx", cifar10, BYTES),
    ],
    ids=["lfc", "cnv"],
)
def test_a_promise_about_the_input_changes_no_answer(
    file: str,
    load: Callable[[Path], tuple[np.ndarray, np.ndarray]],
    values: tuple[float, ...],
    target: str,
    shared: Path,
    tmp_path: Path,
) -> None:
    path = shared / "models" / file
    x, _ = samples(load, shared)
    x = x[:FEW]
    oracle = oracle_for(path)
    session = build(path, target, tmp_path, values={"x": values})
    assert np.array_equal(session.run(None, {"x": x})[0], oracle.run({"x": x})["logits"])
    report = check(path, target="native", inputs={"x": x[:2]}, options=Options(values={"x": values}))
    assert report.passed


@pytest.mark.skipif(
    not os.environ.get("BITC_LONG_TESTS"), reason="10,000 images through qonnx take minutes: set BITC_LONG_TESTS=1"
)
def test_every_label_of_tfc_is_qonnxs(shared: Path) -> None:
    network = PUBLISHED[0]
    path, name = model_of(network, shared)
    x, _ = samples(network.samples, shared)
    oracle = oracle_for(path)
    truth = [oracle.run({name: x[i : i + 1]})[oracle.output_names[0]].argmax() for i in range(len(x))]
    got = outputs(built(path, "native"), {name: x})[0].reshape(len(x), -1)
    assert np.array_equal(got.argmax(1), truth)
