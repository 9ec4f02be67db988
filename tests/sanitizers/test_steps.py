"""Steps under the sanitizers: states in memory of their exact size, two sequences by turns as each alone."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from runtime.harness import why_not
from sanitizers.building import ADDRESS, MEMORY, Sanitizer, build, finished

from bitc import compile
from examples.lif import lif_model

PROGRAM = Path(__file__).with_name("steps.c")
HEADER = """\
#include "lif.h"
#define NETWORK_STATE lif_state
#define NETWORK_STEP_IO lif_step_io
#define NETWORK_INIT lif_init
#define NETWORK_STEP lif_step
#define ARENA LIF_ARENA_BYTES
#define ALIGNMENT LIF_ARENA_ALIGN
#define IN 8
#define OUT 4
"""


@pytest.mark.parametrize(
    ("target", "using"),
    [("portable", ADDRESS), ("avx2", ADDRESS), ("portable", MEMORY)],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_nothing_is_reported(target: str, using: Sanitizer, tmp_path: Path) -> None:
    if (reason := why_not(target)) is not None:
        pytest.skip(reason)
    onnx.save(lif_model(), str(tmp_path / "lif.onnx"))
    artifact = compile(tmp_path / "lif.onnx", target=target, out=tmp_path / "lif", emit=("c",), states="auto")
    (tmp_path / "network.h").write_text(HEADER, encoding="utf-8")
    done = finished([str(build(PROGRAM, artifact, using, tmp_path))], using)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[:4000]
