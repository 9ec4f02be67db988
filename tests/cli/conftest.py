"""Fixtures of the command-line and golden tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cli import toy


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> toy.FakeCompiler:
    """The stand-in, installed as ``bitc.compiler``."""
    module = toy.FakeCompiler()
    monkeypatch.setitem(sys.modules, "bitc.compiler", module)
    return module


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The toy's ONNX file."""
    return toy.write_model(tmp_path / "toy.onnx")
