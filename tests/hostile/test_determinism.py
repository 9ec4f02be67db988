"""Same input, same bytes: whatever the hash seed, the working directory, the locale, and where the files lie."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitc.toolchain import Compiler
from examples.tiny import tiny_model
from tests.conftest import REPOSITORY

PLACES = [
    {"PYTHONHASHSEED": "0"},
    {"PYTHONHASHSEED": "1", "LANG": "C", "TZ": "Asia/Tokyo"},
    {"PYTHONHASHSEED": "4242", "LC_ALL": "C.UTF-8", "PYTHONOPTIMIZE": "0", "USER": "somebody"},
]


def built(model: bytes, place: Path, environment: dict[str, str], target: str, emit: str) -> dict[str, bytes]:
    """All files of an artefact compiled by a process of its own in ``place``."""
    place.mkdir(parents=True)
    (place / "net.onnx").write_bytes(model)
    command = [sys.executable, "-m", "bitc", "compile", "net.onnx", "-o", "made here", "--target", target]
    subprocess.run(
        [*command, "--emit", emit],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        check=True,
        capture_output=True,
    )
    return {path.name: path.read_bytes() for path in (place / "made here").iterdir()}


@pytest.mark.parametrize("target", ["portable", "avx2"])
@pytest.mark.parametrize("name", ["tiny", "digits_cnn_w1a1_residual", "digits_mixed_w8_w1"])
def test_built_again_elsewhere(name: str, target: str, tmp_path: Path, compiler: Compiler) -> None:
    """C, IR and manifest are the same bytes, and the library: of one network, for it is the same command for all."""
    if name == "tiny":
        model, emit = tiny_model().SerializeToString(deterministic=True), "c,so,ir"
    else:
        model, emit = (REPOSITORY / "models" / f"{name}.onnx").read_bytes(), "c,ir"
    first, *others = (
        built(model, tmp_path / str(number) / ("deeper" * number or "x"), environment, target, emit)
        for number, environment in enumerate(PLACES)
    )
    assert {"net.c", "net_weights.h", "manifest.json", "net.ir", "net.ir.npz"} <= first.keys()
    assert ("libnet.so" in first) == ("so" in emit)
    for other in others:
        assert {name for name in first.keys() | other.keys() if first.get(name) != other.get(name)} == set()
