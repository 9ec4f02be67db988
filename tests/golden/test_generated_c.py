"""The generated C of three tiny networks is what it was: a change of it is meant, and seen in the diff.

``pytest tests/golden --update-golden`` rewrites ``c/``. The kernels are left out: they are the headers of ``runtime/``, kept there.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from golden.networks import NETWORKS

from bitc import compile
from bitc.golden import record

KEPT = Path(__file__).with_name("c")
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("target", ["portable", "avx2"])
@pytest.mark.parametrize("name", NETWORKS)
def test_generated_c(name: str, target: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(NETWORKS[name]().SerializeToString(deterministic=True))
    artifact = compile(path, target=target, out=tmp_path / "made", emit=("c",))
    made = {part: (artifact.directory / part).read_text() for part in (f"{name}.c", f"{name}.h", f"{name}_weights.h")}
    folder = KEPT / target
    if request.config.getoption("--update-golden"):
        folder.mkdir(parents=True, exist_ok=True)
        for part, text in made.items():
            (folder / part).write_text(text)
    for part, text in made.items():
        assert text == (folder / part).read_text(), f"{target}/{part} has changed: --update-golden, and look at the diff"


@pytest.mark.parametrize("name", NETWORKS)
def test_what_the_kept_c_computes(name: str, tmp_path: Path) -> None:
    """The oracle's outputs: a golden is never only what bitc said before."""
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(NETWORKS[name]().SerializeToString(deterministic=True))
    assert record(path, tmp_path / "golden", target="portable", n=4).elements > 0


def test_ci_approves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--update-golden", "tests/golden"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--update-golden" in done.stderr
