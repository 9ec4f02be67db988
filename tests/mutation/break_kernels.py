"""Break the kernels one at a time, in a copy of the repository, and show that a test fails each time.

    python tests/mutation/break_kernels.py            # all of them; a table
    python tests/mutation/break_kernels.py --only bits

Exit code 1 if a break survives, does not apply, or does not compile (then its test would fail for no reason of the kernel's).
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from mutation.breaks import BREAKS, Break  # noqa: E402  (the path is set above)

COPIED = ("bitc", "runtime", "tests", "examples", "pyproject.toml")
TESTS_FAILED = 1


def verdicts(breaks: Iterable[Break]) -> Iterator[tuple[Break, str]]:
    """For each break ``caught``, ``survived``, ``does not apply``, ``does not compile`` or ``no test ran``."""
    with tempfile.TemporaryDirectory(prefix="bitc-breaks-") as scratch:
        copy = Path(scratch)
        for name in COPIED:
            source = REPOSITORY / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        for broken in breaks:
            yield broken, _verdict(broken, copy)


def _verdict(broken: Break, copy: Path) -> str:
    file = copy / "runtime" / broken.file
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if broken.old not in text:
        return "does not apply"
    file.write_text(text.replace(broken.old, broken.new, 1), encoding="utf-8")
    try:
        module, *words = shlex.split(broken.tests)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=short"]
        done = subprocess.run(
            [*command, f"tests/runtime/{module}", *words],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        file.write_text(text, encoding="utf-8")
    if "RuntimeError" in done.stdout and "error:" in done.stdout:
        return "does not compile"
    if done.returncode == TESTS_FAILED or done.returncode < 0:  # a signal: the break led outside a buffer
        return "caught"
    return "survived" if done.returncode == 0 else "no test ran"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="breaks whose family or file contains this")
    given = parser.parse_args()
    chosen = [broken for broken in BREAKS if given.only in broken.family or given.only in broken.file]
    missed = 0
    for broken, verdict in verdicts(chosen):
        missed += verdict != "caught"
        print(f"| {broken.family} | `{broken.file}` | {broken.what} | {verdict} |", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} breaks are caught")
    return bool(missed) or not chosen


if __name__ == "__main__":
    sys.exit(main())
