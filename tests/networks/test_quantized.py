"""Quantized networks of every dialect, trained by others: accuracy, the oracle's answers, and in which form each layer runs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from bitc.check import check
from bitc.oracle import oracle_for
from bitc.session import Session
from tests.networks.building import TARGETS, built, emulated
from tests.networks.published import QUANTIZED, Published

FEW = 20
"""Samples compared with the oracle one by one."""

FEW_EMULATED = 8
MOST_EMULATED = 40


@cache
def samples(network: Published, shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """The data of a network, read once a session."""
    return network.samples(shared)


def answers(session: Session, x: np.ndarray) -> np.ndarray:
    """The first output for each sample alone, as rows."""
    name, shape = session.get_inputs()[0].name, one_sample(session)
    return np.stack([session.run(None, {name: row.reshape(shape)})[0].reshape(-1) for row in x])


def truths(session: Session, path: Path, x: np.ndarray) -> np.ndarray:
    """What the oracle gives for the same."""
    oracle, name, shape = oracle_for(path), session.get_inputs()[0].name, one_sample(session)
    return np.stack([oracle.run({name: row.reshape(shape)})[oracle.output_names[0]].reshape(-1) for row in x])


def one_sample(session: Session) -> tuple[int, ...]:
    """The shape of the input for a single sample."""
    return (1, *(int(size) for size in session.get_inputs()[0].shape[1:]))


def classes(rows: np.ndarray) -> np.ndarray:
    """The class each row gives: its largest score, or the row itself where the network ends in its own choice."""
    return rows[:, 0] if rows.shape[1] == 1 else rows.argmax(axis=1)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("network", [n for n in QUANTIZED if n.right is not None], ids=str)
def test_accuracy_is_the_published_one(network: Published, target: str, shared: Path) -> None:
    x, labels = samples(network, shared)
    session = built(shared / "models" / network.file, target)
    if emulated(target):
        x = x[:: max(1, len(x) // MOST_EMULATED)]
        reference = built(shared / "models" / network.file, "portable")
        assert np.array_equal(classes(answers(session, x)), classes(answers(reference, x)))
        return
    right = int((classes(answers(session, x)) == labels).sum())
    assert network.right is not None
    assert network.right - network.close <= right <= network.right + network.close


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("network", [n for n in QUANTIZED if n.right is not None or n.bit_equal], ids=str)
def test_answers_are_the_oracles(network: Published, target: str, shared: Path) -> None:
    path = shared / "models" / network.file
    x = samples(network, shared)[0]
    few = FEW_EMULATED if emulated(target) else FEW
    x = x[:: max(1, network.of // few)][:few]
    session = built(path, target)
    got, truth = answers(session, x), truths(session, path, x)
    if network.right is not None and not network.close:
        assert np.array_equal(classes(got), classes(truth))
    if network.bit_equal:
        assert np.array_equal(got, truth)


@pytest.mark.parametrize("network", QUANTIZED, ids=str)
def test_check_passes_at_every_stage(network: Published, shared: Path) -> None:
    path = shared / "models" / network.file
    session = built(path, "native")
    x = samples(network, shared)[0][:1].reshape(one_sample(session))
    report = check(path, target="native", stages=True, inputs={session.get_inputs()[0].name: x})
    assert report.passed, report.findings


@pytest.mark.parametrize("network", QUANTIZED, ids=str)
def test_every_layer_of_codes_runs_as_bits_or_integers(network: Published, shared: Path) -> None:
    layers = [
        layer for layer in built(shared / "models" / network.file, "portable").metadata["layers"] if layer["macs"]
    ]
    floats = {layer["node"] for layer in layers if "float" in layer["form"] and not layer["form"].endswith("1 bit")}
    coded = {layer["node"] for layer in layers} - floats
    assert len(coded) == network.bit_layers, [(layer["node"], layer["form"]) for layer in layers]
    assert all(layer["why"] for layer in layers if layer["node"] in floats), "a layer is float in silence"


def test_finns_own_labels(shared: Path) -> None:
    """The four samples FINN ships with its build flow, and the classes it expects."""
    folder = shared / "models/finn"
    x, wanted = (np.load(folder / f"build_dataflow_{which}.npy") for which in ("input", "expected_output"))
    session = built(folder / "build_dataflow_model.onnx", "native")
    assert classes(answers(session, x)).tolist() == wanted.tolist()
