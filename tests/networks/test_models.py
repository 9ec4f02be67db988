"""The project's own networks (models/): accuracy, golden outputs and contracts on every target, and the ways to use an artefact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import bitc
from bitc.check import check
from bitc.compare import Contract, first_difference
from bitc.golden import record, replay
from bitc.ir import evaluate, parse_graph
from tests.networks.building import TARGETS, built, outputs, right_answers

MODELS = Path(__file__).resolve().parents[2] / "models"
NETWORKS = sorted(path.stem for path in MODELS.glob("*.onnx"))
UNSURE = 1
"""Images whose class may differ from the recorded one: in a rounded network a float sum may fall on the other side of a Sign."""


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    with np.load(MODELS / "digits_test.npz") as data:
        return data["x"], data["y"]


def test_there_are_networks() -> None:
    assert len(NETWORKS) >= 3


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_accuracy(name: str, target: str, digits: tuple[np.ndarray, np.ndarray]) -> None:
    session = built(MODELS / f"{name}.onnx", target)
    stated = json.loads((MODELS / f"{name}.json").read_text())["correct"]
    exact = session.metadata["outputs"][0]["contract"]["exact"]
    found = right_answers(outputs(session, {"x": digits[0]})[0], digits[1])
    assert abs(found - stated) <= (0 if exact else UNSURE)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_golden_outputs_hold_under_the_stated_contract(name: str, target: str) -> None:
    session = built(MODELS / f"{name}.onnx", target)
    contract = Contract.of(session.metadata["outputs"][0])
    with np.load(MODELS / f"{name}_golden.npz") as golden:
        difference = first_difference("logits", golden["logits"], session.run(None, {"x": golden["x"]})[0], contract)
    assert difference is None, str(difference)


@pytest.mark.parametrize("name", NETWORKS)
def test_check_passes(name: str, digits: tuple[np.ndarray, np.ndarray]) -> None:
    report = check(MODELS / f"{name}.onnx", stages=True, inputs={"x": digits[0][:4]})
    assert report.passed, report.findings
    assert report.labels_equal == report.samples


def test_check_finds_a_wrong_library(digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    right = bitc.Session.run

    def wrong(self: bitc.Session, *arguments: object) -> list[np.ndarray]:
        return [y + np.float32(0.25) for y in right(self, *arguments)]  # type: ignore[arg-type]

    monkeypatch.setattr(bitc.Session, "run", wrong)
    report = check(MODELS / "digits_mlp_w1a1.onnx", inputs={"x": digits[0][:2]})
    assert not report.passed
    assert "the library's output 'logits'" in report.findings[0].title


def test_recorded_goldens_replay_and_a_changed_one_fails(tmp_path: Path) -> None:
    model = MODELS / "digits_mlp_w1a1.onnx"
    recorded = record(model, tmp_path / "golden", n=4)
    assert recorded.cases >= 1
    assert replay(tmp_path / "golden", target="portable").elements == recorded.elements
    expected = dict(np.load(tmp_path / "golden" / "expected.npz"))
    np.savez(tmp_path / "golden" / "expected.npz", **{key: array + 1 for key, array in expected.items()})
    with pytest.raises(bitc.CheckFailed, match=r"logits\[0,0\]"):
        replay(tmp_path / "golden", target="portable")


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_the_extension_module_gives_what_the_library_gives(
    batch: int, tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    model = MODELS / "digits_cnn_w1a1_residual.onnx"
    made = bitc.compile(model, out=tmp_path / "net", emit=("c", "pyext"))
    assert not made.library.exists()
    x = digits[0][:batch]
    assert np.array_equal(
        bitc.load(made.directory).run(None, {"x": x})[0], built(model, "native").run(None, {"x": x})[0]
    )


def test_a_bound_batch_is_fixed(tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]) -> None:
    model = MODELS / "digits_mixed_w8_w1.onnx"
    session = bitc.compile(model, out=tmp_path / "net", dims={"N": 3}).session()
    assert session.get_inputs()[0].shape == (3, 1, 8, 8)
    x = digits[0][:3]
    assert np.array_equal(session.run(None, {"x": x})[0], built(model, "native").run(None, {"x": x})[0])
    with pytest.raises(bitc.OptionError, match=r"float32\[3,1,8,8\]"):
        session.run(None, {"x": digits[0][:2]})


def test_the_emitted_ir_reads_back_and_runs(tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]) -> None:
    made = bitc.compile(MODELS / "digits_mlp_w1a1.onnx", target="portable", out=tmp_path / "net", emit=("ir", "so"))
    with np.load(made.directory / f"{made.name}.ir.npz") as constants:
        graph = parse_graph((made.directory / f"{made.name}.ir").read_text(), dict(constants))
    x = digits[0][:1]
    assert np.array_equal(evaluate(graph, {"x": x})[0], made.session().run(None, {"x": x})[0])
