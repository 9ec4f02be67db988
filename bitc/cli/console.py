"""What the commands share in printing: consoles, progress, errors and crash reports."""

from __future__ import annotations

import json
import platform
import shlex
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

import bitc
from bitc.errors import BitcError

PROGRESS_DELAY_S = 1.0
"""Work shorter than this shows no progress."""

ProgressCallback = Callable[[str, int, int], None]


def out() -> Console:
    """Standard output, as it is now (tests replace it). rich itself honours NO_COLOR and leaves colours out off-terminal."""
    return Console(soft_wrap=True, highlight=False)


def err() -> Console:
    """Standard error."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def print_json(value: Any) -> None:
    """``value`` on standard output, for other programs."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


@contextmanager
def progress() -> Iterator[ProgressCallback]:
    """A callback ``(what, index, total)`` that shows a bar on a terminal, or a line a second elsewhere, once a second has passed."""
    console = err()
    if not console.is_terminal:
        yield _plain_progress(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("", total=None)
    timer = threading.Timer(PROGRESS_DELAY_S, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda what, index, total: bar.update(task, description=what, completed=index, total=total)
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


def _plain_progress(console: Console) -> ProgressCallback:
    last = time.monotonic()

    def show(what: str, index: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PROGRESS_DELAY_S:
            last = now
            console.print(f"{what} ({index + 1} of {total})", markup=False)

    return show


def report_error(error: BitcError, as_json: bool) -> None:
    """Print a diagnostic a user can act on."""
    if as_json:
        print_json({"error": {"exit_code": error.exit_code, "diagnostics": [asdict(d) for d in error.diagnostics]}})
        return
    for diagnostic in error.diagnostics:
        first, *rest = str(diagnostic).split("\n")
        head, _, title = first.partition(": ")
        text = Text.assemble((head, "bold red"), (f": {title}", "bold"), *(f"\n{line}" for line in rest))
        err().print(text)


def report_crash(error: Exception, arguments: Sequence[str]) -> None:
    """A bug of bitc: one sentence on the terminal, the rest in a folder that can be attached to a report."""
    folder = Path(tempfile.mkdtemp(prefix="bitc-crash-"))
    versions = f"bitc {bitc.__version__}, Python {platform.python_version()}, {platform.platform()}"
    trace = "".join(traceback.format_exception(error))
    (folder / "report.txt").write_text(f"{shlex.join(['bitc', *arguments])}\n{versions}\n\n{trace}", encoding="utf-8")
    what = "".join(traceback.format_exception_only(error)).strip()
    text = Text.assemble(("internal error", "bold red"), f": {what}\n  This is a bug in bitc, not in your model.")
    text.append(
        f"\n  Please report it with {folder / 'report.txt'} (the command, the versions, the traceback) and the model."
    )
    err().print(text)
