"""``pytest --bitc-golden DIR``: replay golden folders as tests, one a folder, beside the project's own tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_MANIFEST = "golden.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("bitc")
    group.addoption(
        "--bitc-golden", action="append", default=[], metavar="DIR", help="replay the golden folders in DIR"
    )
    group.addoption(
        "--bitc-target", default="native", metavar="TARGET", help="compile goldens for TARGET (default: native)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collect the golden folders too."""
    config.args.extend(str(path) for path in config.getoption("--bitc-golden"))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """``golden.json`` of a folder that was asked for."""
    if file_path.name != _MANIFEST:
        return None
    wanted = [Path(path).resolve() for path in parent.config.getoption("--bitc-golden")]
    if not any(file_path.resolve().is_relative_to(folder) for folder in wanted):
        return None
    collector: pytest.Collector = GoldenFile.from_parent(parent, path=file_path)
    return collector


class GoldenFile(pytest.File):
    """The manifest of one golden folder."""

    def collect(self) -> Iterator[pytest.Item]:
        """One test."""
        yield GoldenItem.from_parent(self, name=self.path.parent.name)


class GoldenItem(pytest.Item):
    """Compile the model again and compare."""

    def runtest(self) -> None:
        """Replay the folder."""
        from bitc import golden

        golden.replay(self.path.parent, target=self.config.getoption("--bitc-target"))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """bitc's own errors read best as they are."""
        from bitc.errors import BitcError

        if isinstance(excinfo.value, BitcError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the test lies."""
        return self.path, None, f"golden {self.path.parent.name}"
