"""A library of several targets on 64-bit ARM: the CPU that is emulated decides which kernels run, or BITC_ISA does."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bitc
from bitc.artifact import Artifact
from tests.machines.machines import AARCH64, build, run

MODEL = Path(__file__).resolve().parents[2] / "models" / "digits_mixed_w8_w1.onnx"
ITEMS = 2


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Path, Path]:
    """The artefact, a program that runs it, and one that prints which target it takes."""
    if (reason := AARCH64.why_not()) is not None:
        pytest.skip(reason)
    artifact = bitc.compile(MODEL, target="auto_arm", out=tmp_path_factory.mktemp("arm") / "made", emit=("c",))
    program = build(artifact, AARCH64, ITEMS)
    asks = artifact.directory / "asks"
    name = artifact.name
    source = asks.with_suffix(".c")
    lines = f'#include <stdio.h>\n#include "{name}.h"\nint main(void) {{ const char *isa = {name}_isa();'
    source.write_text(f'{lines} return puts(isa ? isa : "none") < 0; }}\n', encoding="utf-8")
    objects = [str(path) for path in artifact.directory.glob("*.o")]
    files = ("-o", str(asks), str(source), str(artifact.source), *objects, "-lm")
    subprocess.run([*AARCH64.gcc, "-std=c99", "-static", *files], check=True)
    return artifact, program, asks


def taken(asks: Path, cpu: str, wanted: str) -> str:
    """What the library takes on an emulated CPU with BITC_ISA set to ``wanted``."""
    command = replace(AARCH64, cpu=cpu).command(asks)
    done = subprocess.run(command, env={**os.environ, "BITC_ISA": wanted}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("cpu", "best"),
    [("cortex-a53", "neon"), ("cortex-a76", "neon_dot"), ("neoverse-n1", "neon_dot"), ("max", "neon_i8mm")],
)
def test_the_cpu_decides(library: tuple[Artifact, Path, Path], cpu: str, best: str) -> None:
    artifact, program, asks = library
    assert taken(asks, cpu, "") == best
    with np.load(MODEL.with_name("digits_test.npz")) as data:
        x = data["x"][:ITEMS]
    (wanted,) = (
        bitc.compile(MODEL, target="portable", out=artifact.directory.parent / cpu).session().run(None, {"x": x})
    )
    (got,) = run(program, artifact, replace(AARCH64, cpu=cpu), [x], ITEMS)
    assert np.array_equal(got.argmax(-1), wanted.argmax(-1))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_bitc_isa_decides(library: tuple[Artifact, Path, Path]) -> None:
    _, _, asks = library
    for wanted in ("portable", "neon", "neon_dot", "neon_i8mm"):
        assert taken(asks, "max", wanted) == wanted
    assert taken(asks, "cortex-a53", "neon_dot") == "none"
    assert taken(asks, "max", "avx2") == "none"


def test_a_target_that_is_not_to_be_had_runs_nothing(library: tuple[Artifact, Path, Path]) -> None:
    artifact, program, _ = library
    with pytest.raises(AssertionError, match="ended with 1"):  # the driver says 1 for any refusal
        run(program, artifact, AARCH64, [np.zeros((ITEMS, 1, 8, 8), np.float32)], ITEMS, {"BITC_ISA": "avx2"})
