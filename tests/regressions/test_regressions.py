"""Small networks that once failed, as files: each with the inputs it failed on, on every target.

``python -m bitc.fuzz --keep tests/regressions`` adds to them; a name that says what was wrong is better than the one it gives.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from bitc.fuzz.examine import build_fast, examine
from tests.networks.building import TARGETS, emulated, emulated_session
from tests.runtime import harness

FILES = sorted(Path(__file__).parent.glob("*.onnx"))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_once_failed(file: Path, target: str) -> None:
    reason = harness.why_not(target) if emulated(target) else None
    if reason is not None:
        pytest.skip(reason)
    feeds = dict(np.load(file.with_suffix(".npz")))
    load = (lambda artifact, _: emulated_session(artifact, "-O1")) if emulated(target) else build_fast
    found = examine(onnx.load(file), feeds, [target], load)
    assert not found.failures
    assert found.compared, found.refused or found.invalid
