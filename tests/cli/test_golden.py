"""Golden folders: recorded from the oracle, replayed against a fresh build, and through pytest."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from cli.toy import FakeCompiler, Options

from bitc import golden
from bitc.arrays import load_arrays
from bitc.cli import main
from bitc.errors import CheckFailed, OptionError
from bitc.golden import save_arrays

pytestmark = pytest.mark.usefixtures("compiler")


def test_a_golden_replays_until_the_compiler_changes(fake: FakeCompiler, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "golden"
    options = Options(values={"x": range(-8, 8)}, dims={"M": 3})
    recorded = golden.record(model, folder, n=5, options=options)
    assert (recorded.cases, recorded.elements) == (1, 10)
    assert {entry.name for entry in folder.iterdir()} == {"golden.json", "inputs.npz", "expected.npz", "model.onnx"}
    inputs = load_arrays(folder / "inputs.npz")
    assert inputs["x"].shape == (1, 5, 3)
    assert set(inputs["x"].ravel()) <= set(range(-8, 8))
    assert golden.replay(folder) == recorded
    assert fake.calls[1]["values"] == {"x": range(-8, 8)}
    assert fake.calls[1]["dims"] == {"M": 3}

    fake.extra = 0.25
    expected = load_arrays(folder / "expected.npz")["y"][0, 0].item()
    with pytest.raises(CheckFailed) as caught:
        golden.replay(folder)
    assert f"y[0]: expected {expected!r}, got {expected + 0.25!r}" in str(caught.value)
    assert "5 of 5 elements differ" in str(caught.value)


def test_recording_is_reproducible(fake: FakeCompiler, model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        golden.record(model, tmp_path / name, seed=7)
    for file in ("golden.json", "inputs.npz", "expected.npz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_wrong_network_cannot_be_recorded(fake: FakeCompiler, model: Path, tmp_path: Path) -> None:
    fake.extra = 1.0
    with pytest.raises(CheckFailed, match="differs from its oracle"):
        golden.record(model, tmp_path / "golden")
    assert {entry.name for entry in tmp_path.iterdir()} == {"toy.onnx"}


def test_given_inputs_and_a_referenced_model(
    fake: FakeCompiler, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "COPIED_BYTES", 10)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    golden.record(model, tmp_path / "golden", inputs={"x": x, "b.0": np.array([1], np.int8)})
    assert json.loads((tmp_path / "golden" / "golden.json").read_text())["model"]["file"] == "../toy.onnx"
    assert load_arrays(tmp_path / "golden" / "expected.npz")["y"].tolist() == [[4.0, 13.0]]
    golden.replay(tmp_path / "golden")
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(CheckFailed, match="has changed since"):
        golden.replay(tmp_path / "golden")
    model.unlink()
    with pytest.raises(OptionError, match="is missing"):
        golden.replay(tmp_path / "golden")


def test_other_folders_are_left_alone(fake: FakeCompiler, model: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="would be overwritten"):
        golden.record(model, tmp_path)
    with pytest.raises(OptionError, match=r"no golden\.json in it"):
        golden.replay(tmp_path)


def test_commands(fake: FakeCompiler, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = str(tmp_path / "good"), str(tmp_path / "bad")
    assert main(["golden", "record", str(model), "-o", good, "-n", "3"]) == 0
    shutil.copytree(good, bad)
    arrays = load_arrays(Path(bad) / "expected.npz")
    arrays["y"][0, 1] += 1
    save_arrays(Path(bad) / "expected.npz", arrays)
    assert main(["golden", "test", good]) == 0
    assert f"{good}: passed (1 cases, 6 elements; y exact, z exact)" in capsys.readouterr().out
    assert main(["golden", "test", bad, good]) == 1
    captured = capsys.readouterr()
    assert f"{bad}: failed" in captured.err
    assert "y[1]: expected" in captured.err
    assert f"{good}: passed" in captured.out


def test_pytest_replays_goldens(fake: FakeCompiler, model: Path, tmp_path: Path, pytester: pytest.Pytester) -> None:
    golden.record(model, tmp_path / "goldens" / "good")
    golden.record(model, tmp_path / "goldens" / "bad")
    arrays = load_arrays(tmp_path / "goldens" / "bad" / "expected.npz")
    arrays["z"][0, 0] += 1
    save_arrays(tmp_path / "goldens" / "bad" / "expected.npz", arrays)
    plugin = [] if "bitc.pytest_plugin" in sys.modules else ["-p", "bitc.pytest_plugin"]
    result = pytester.runpytest_inprocess(*plugin, "--bitc-golden", str(tmp_path / "goldens"), "-q")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*error?G001?: *differs from its oracle*", "*z?0?: expected*"])


def test_arrays_of_any_name_survive(tmp_path: Path) -> None:
    arrays = {"file": np.arange(3), "a/b:c": np.float32(2.5), "": np.zeros((0, 2), bool)}
    save_arrays(tmp_path / "a.npz", arrays)
    loaded = load_arrays(tmp_path / "a.npz")
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
    (tmp_path / "broken.npz").write_bytes(b"PK")
    with pytest.raises(OptionError, match="cannot read arrays"):
        load_arrays(tmp_path / "broken.npz")
