"""``bitc report``: text, JSON and page of one network; times only where asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bitc.cli import main

MODELS = Path(__file__).parents[2] / "models"
MODEL = str(MODELS / "digits_mixed_w8_w1.onnx")
Capture = pytest.CaptureFixture[str]


def test_the_text(capsys: Capture) -> None:
    assert main(["report", MODEL]) == 0
    text = capsys.readouterr().out
    assert "in 2 binary convolutions" in text
    assert "energy" in text
    assert "S-ACE" not in text
    assert "µs" not in text
    (head,) = (line for line in text.splitlines() if "ΣD" in line)
    rows = text.splitlines()[text.splitlines().index(head) + 1 :][:2]
    assert all("(Conv)" in row for row in rows)


def test_json_and_page(tmp_path: Path, capsys: Capture) -> None:
    assert main(["report", MODEL, "--json", "--html", str(tmp_path / "page.html")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["seconds"] is None
    assert found["counted"]["layers"] == 2
    trees = [layer["tree"] for layer in found["layers"] if layer["tree"]]
    assert sum(tree["parameters"] for tree in trees) == found["binary"]["tree_parameters"]
    assert sum(layer["macs"] for layer in found["layers"]) == sum(found["costs"]["macs"].values())
    assert "<svg" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_inputs_measure_firing(capsys: Capture) -> None:
    assert main(["report", MODEL, "--inputs", str(MODELS / "digits_test.npz"), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["diagnostics"][0]["code"] == "O061"


@pytest.mark.usefixtures("compiler")
def test_times_where_asked_for(capsys: Capture) -> None:
    assert main(["report", MODEL, "--time", "--target", "portable", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["target"] == "portable"
    assert found["arena_bytes"] > 0
    assert found["compiled_bytes"] > found["weight_bytes"]["by_bits"]["1"]
    assert found["small_compiled_bytes"] <= found["compiled_bytes"]
    assert min(found["small_arena_bytes"], found["small_seconds"]) > 0
    for key in ("seconds", "tree_seconds"):
        assert all(layer[key] > 0 for layer in found["layers"])
        assert found[key] > max(layer[key] for layer in found["layers"])
