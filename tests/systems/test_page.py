"""docs/systems.md names every file there is, every system, and the exceptions of the table."""

from __future__ import annotations

from pathlib import Path

from tests.systems.page import PAGE, files_and_exceptions
from tests.systems.systems import EXCEPTIONS, SYSTEMS


def test_the_page_lists_the_exceptions_and_the_systems() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert files_and_exceptions(text)[1] == list(EXCEPTIONS)
    for name, known in EXCEPTIONS.items():
        assert known.reason in text, name
    for system in SYSTEMS:
        assert f"| {system.name} |" in text
        assert system.claim in text


def test_the_page_lists_every_file(shared: Path) -> None:
    files = files_and_exceptions(PAGE.read_text(encoding="utf-8"))[0]
    assert files == [path.stem for system in SYSTEMS for path in system.files(shared)]
