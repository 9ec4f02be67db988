"""Every benchmark network, made small, compiles and gives what onnxruntime gives."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from benchmarks.networks import CASES, Case, write
from bitc.check import check

_ALIKE = {(case.make, repr({**case.arguments, **case.small})): name for name, case in reversed(CASES.items())}
DIFFERENT = {name: CASES[name] for name in CASES if name in _ALIKE.values()}


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("case", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_agrees_with_onnxruntime(case: Case, tmp_path: Path) -> None:
    model = case.model(small=True)
    onnx.checker.check_model(model, full_check=True)
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    report = check(path, target="portable", n=1)
    assert report.passed, report.findings
    assert report.library == "run"


def test_a_network_is_written_once_and_always_the_same(tmp_path: Path) -> None:
    first = write("conv1x1_14x256", tmp_path / "a").read_bytes()
    kept = tmp_path / "a" / "conv1x1_14x256.onnx"
    kept.write_bytes(b"kept")
    assert write("conv1x1_14x256", tmp_path / "a").read_bytes() == b"kept"
    assert write("conv1x1_14x256", tmp_path / "b").read_bytes() == first
