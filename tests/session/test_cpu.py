"""A library compiled for another CPU is refused when it is loaded, not by an illegal instruction."""

from __future__ import annotations

from pathlib import Path

import pytest
from session import abi

from bitc.artifact import write_artifact
from bitc.errors import OptionError
from bitc.session import load
from bitc.toolchain import Compiler


def test_a_library_for_a_better_cpu_is_refused(
    tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(abi.METADATA, "features", ["a_feature_no_cpu_has"])
    artifact = write_artifact(tmp_path / "toy", "toy", abi.texts())
    with pytest.raises(OptionError, match="it lacks a_feature_no_cpu_has"):
        load(artifact.directory)
