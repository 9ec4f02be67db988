"""Fixtures and markers that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bitc.errors import ToolchainError
from bitc.toolchain import Compiler, find_compiler

pytest_plugins = ["pytester"]

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Rewriting what is kept under version control."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the generated C in tests/golden/c")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the project's markers. Raises :class:`pytest.UsageError` where a CI asks to approve its own output."""
    if config.getoption("--update-golden") and os.environ.get("CI"):
        raise pytest.UsageError("--update-golden is refused where CI is set: look at the diff yourself")
    config.addinivalue_line("markers", "isa(name): needs a CPU that runs the target of this name; skipped elsewhere")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip ``isa`` tests this CPU cannot run, saying which target it is."""
    for marker in item.iter_markers("isa"):
        from bitc.codegen.targets import supported_here, target

        for name in marker.args:
            if not supported_here(target(name)):
                pytest.skip(f"this CPU cannot run target {name} (see `bitc targets`)")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the large networks and data sets: $BITC_SHARED, or ``shared/`` beside the repository."""
    folder = Path(os.environ.get("BITC_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "models").is_dir():
        pytest.skip(f"the shared networks are not here: no folder {folder}/models; set BITC_SHARED")
    return folder


@pytest.fixture(scope="session")
def compiler() -> Compiler:
    """The C compiler of this machine."""
    try:
        return find_compiler()
    except ToolchainError as error:
        pytest.skip(error.diagnostics[0].title)
