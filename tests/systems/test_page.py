"""docs/systems.md names every file there is, every system, and the exceptions of the table."""

from __future__ import annotations

from pathlib import Path

from tests.systems.page import KINDS, PAGE, files_and_exceptions
from tests.systems.systems import EXCEPTIONS, SYSTEMS, WHY_NOT_CODES


def test_the_page_lists_the_exceptions_and_the_systems() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert files_and_exceptions(text)[1] == list(EXCEPTIONS)
    for name, known in EXCEPTIONS.items():
        assert known.reason in text, name
    for system in SYSTEMS:
        assert f"| {system.name} |" in text
        assert system.claim in text


def test_products_that_stay_floats_are_named_with_reasons() -> None:
    section = (
        PAGE.read_text(encoding="utf-8").split("\n## Products of few values that stay floats")[1].split("\n## ")[0]
    )
    for (name, kind), reason in WHY_NOT_CODES.items():
        prefixes = next(system.prefixes for system in SYSTEMS if system.name == name)
        rows = [row for row in section.splitlines() if row.removeprefix("| ").startswith(prefixes)]
        assert any(KINDS[kind] in row and reason in row for row in rows), (name, kind)


def test_the_page_lists_every_file(shared: Path) -> None:
    files = files_and_exceptions(PAGE.read_text(encoding="utf-8"))[0]
    assert files == [path.stem for system in SYSTEMS for path in system.files(shared)]
