"""Read the fenced blocks of the project's documents, and lay out a folder in which their commands run.

The words after a fence's language say what a block is: ``mlir thresholds`` an excerpt of the IR after that pass, ``c main.c`` or
``python bitc/x.py`` a whole file, ``diff bitc/x.py`` a change to one, ``console`` commands and what they print.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(\w+)[ \t]*([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRESS = re.compile(r"^\S.* \(\d+ of \d+\)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the fence's language, the rest of its line, the text, and where it stands."""

    language: str
    title: str
    text: str
    page: Path
    line: int

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """The blocks of ``page`` in order, those in ``language`` if given."""
    text = page.read_text(encoding="utf-8")
    found = [Block(m[1], m[2].strip(), m[3], page, text.count("\n", 0, m.start()) + 1) for m in _FENCE.finditer(text)]
    return [block for block in found if language in (None, block.language)]


def workplace(folder: Path) -> Path:
    """``folder`` with what readers see in the repository's root, and ``bitc`` and ``python`` on the PATH of :func:`shell`."""
    for name in ("examples", "models", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    programs = folder / ".programs"
    programs.mkdir()
    for name, command in (("bitc", f"{sys.executable} -m bitc"), ("python", sys.executable)):
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    return folder


def shell(command: str, folder: Path, root: Path = ROOT) -> str:
    """What ``command`` prints, both streams, in ``folder`` with bitc from ``root``; progress lines of slow machines left out."""
    environment = {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "160", "NO_COLOR": "1"}
    environment["PATH"] = f"{folder / '.programs'}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return _PROGRESS.sub("", done.stdout)


def in_order(wanted: Sequence[str], text: str) -> str | None:
    """The first of the lines ``wanted`` that ``text`` does not have after the ones before it, None if it has them all.

    A line ``...`` stands for any lines, ``...`` inside a line for anything.
    """
    lines = iter([line.strip() for line in text.splitlines()])
    for line in wanted:
        if line.strip() in ("", "..."):
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in line.strip().split("...")))
        if not any(pattern.fullmatch(candidate) for candidate in lines):
            return line
    return None
