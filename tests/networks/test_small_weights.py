"""Networks compiled with ``small_weights``: the bits of the ordinary build, fewer bytes of constants, and what ``check`` demands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitc.check import check
from bitc.compiler import Options
from tests.networks.building import build, outputs

MODELS = Path(__file__).resolve().parents[2] / "models"
LEAST_SAVED = {"digits_mst_d10": 13000, "digits_mst_d20": 8500, "digits_mst_d30": 5500, "mnist_mst_d20": 8500}
"""Bytes; the binary layers have 23,040 in all."""
ALL = 9216
"""Bytes of the largest of these layers' weights."""
QUICK = {"c_flags": ("-O1",)}


def feeds(name: str) -> dict[str, np.ndarray]:
    with np.load(MODELS / "mst" / f"{name}_golden.npz") as data:
        return {"x": np.asarray(data["x"])[:3]}


@pytest.mark.parametrize(
    ("name", "target"), [*((name, "portable") for name in LEAST_SAVED), ("digits_mst_d20", "avx2")]
)
def test_the_same_bits_in_fewer_bytes(name: str, target: str, tmp_path: Path) -> None:
    model = MODELS / "mst" / f"{name}.onnx"
    session = build(model, target, tmp_path / "small", small_weights=ALL, **QUICK)
    plain = build(model, target, tmp_path / "plain", mst="off", **QUICK)
    for got, wanted in zip(outputs(session, feeds(name)), outputs(plain, feeds(name)), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert plain.metadata["weight_bytes"] - session.metadata["weight_bytes"] > LEAST_SAVED[name]
    decoded = [layer for layer in session.metadata["layers"] if layer["op"] == "k.delta_weights"]
    assert len(decoded) == 3


def test_check_passes() -> None:
    name = "digits_mst_d10"
    report = check(
        MODELS / "mst" / f"{name}.onnx",
        target="portable",
        stages=True,
        inputs={"x": feeds(name)["x"][:1]},
        options=Options(small_weights=ALL),
    )
    assert report.passed, report.findings


def test_channels_far_from_one_another_stay_as_they_are(tmp_path: Path) -> None:
    """Of the twin's layers only the one whose words are there twice, for two planes, is smaller as a stream."""
    session = build(MODELS / "mst" / "digits_mst_twin.onnx", "portable", tmp_path, small_weights=ALL, **QUICK)
    decoded = [layer["node"] for layer in session.metadata["layers"] if layer["op"] == "k.delta_weights"]
    assert [node.split("'")[1] for node in decoded] == ["/binary.0/Conv"]
