"""The commands on a network with states."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from bitc.cli import main
from examples.lif import lif_model

pytestmark = pytest.mark.usefixtures("compiler")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(lif_model(), "lif.onnx")
    np.save("x.npy", np.ones((1, 8), np.float32))
    return tmp_path / "lif.onnx"


def test_steps_by_files(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", str(model), "-o", "lif", "-t", "portable", "--state", "auto"]) == 0
    assert "states   v = v_out" in capsys.readouterr().out
    for step in range(3):
        assert main(["run", "lif", "-i", "x=@x.npy", "--state", "state.npz", "-o", f"{step}.npz"]) == 0
    assert main(["run", "lif", "-i", "x=@x.npy", "-i", "v=@state.npz:v", "-o", "whole.npz"]) == 0
    weight = onnx.numpy_helper.to_array(lif_model().graph.initializer[0])
    v = np.zeros((1, 4), np.float32)
    for step in range(3):
        charged = v * np.float32(0.5) + np.ones((1, 8), np.float32) @ weight
        v = np.where(charged >= 1, np.float32(0), charged)
        with np.load(f"{step}.npz") as outputs:
            assert outputs.files == ["spikes"]
            np.testing.assert_array_equal(outputs["spikes"], charged >= 1)
    with np.load("state.npz") as state:
        assert state.files == ["v"]
        np.testing.assert_array_equal(state["v"], v)
    with np.load("whole.npz") as outputs:
        assert outputs.files == ["spikes", "v_out"]


def test_checks_and_goldens_take_states_as_inputs(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(model), "-t", "portable", "--state", "v=v_out"]) == 0
    assert main(["golden", "record", str(model), "-o", "golden", "-t", "portable", "--state", "auto"]) == 0
    assert main(["golden", "test", "golden", "-t", "portable"]) == 0
    assert json.loads(Path("golden/golden.json").read_text())["options"]["states"] == "auto"
    assert capsys.readouterr().out.count("passed") == 2


def test_explain_proposes_states_and_names_those_told(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(model), "-t", "portable", "--no-time"]) == 0
    assert "--state auto, or --state v=v_out" in capsys.readouterr().out
    assert main(["explain", str(model), "-t", "portable", "--no-time", "--state", "v=v_out", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["states"], said["proposed_states"]) == ({"v": "v_out"}, {})


def test_a_network_without_states_is_not_stepped(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", str(model), "-o", "lif", "-t", "portable"]) == 0
    assert main(["run", "lif", "-i", "x=@x.npy", "--state", "state.npz"]) == 2
    assert "O055" in capsys.readouterr().err
    assert not Path("state.npz").exists()
