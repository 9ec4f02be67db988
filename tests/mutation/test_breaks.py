"""Every deliberate break of a kernel still applies, and a few are run; ``break_kernels.py`` runs all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mutation.break_kernels import REPOSITORY, verdicts
from mutation.breaks import BREAKS

from bitc.toolchain import Compiler

RUNTIME = REPOSITORY / "runtime"
QUICK = ("half.h", "ipool.h", "index.h")


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.name)
def test_it_applies(broken: object) -> None:
    """The text it changes is there, and so is the test that must fail."""
    assert broken.old in (RUNTIME / broken.file).read_text(encoding="utf-8")  # type: ignore[attr-defined]
    assert broken.old != broken.new  # type: ignore[attr-defined]
    assert (REPOSITORY / "tests" / "runtime" / broken.tests.split()[0]).is_file()  # type: ignore[attr-defined]


def test_families() -> None:
    """Each family of kernels with a header of its own is broken somewhere."""
    broken = {entry.file.removesuffix(".h").split("_")[0] for entry in BREAKS}
    families = {path.name.removesuffix(".h").split("_")[0] for path in RUNTIME.glob("*.h")}
    helpers = {"base", "clamp", "gather", "pick", "round"}  # tested with the networks that use them
    assert families - broken == helpers


def test_some_are_caught(compiler: Compiler) -> None:
    """And a change that breaks nothing is told from those that do."""
    chosen = [next(broken for broken in BREAKS if broken.file == file) for file in QUICK]
    harmless = replace(chosen[0], new=f"{chosen[0].old} /* the same */")
    misplaced = replace(chosen[0], old="no such text")
    found = [verdict for _, verdict in verdicts([*chosen, harmless, misplaced])]
    assert found == ["caught"] * len(QUICK) + ["survived", "does not apply"]
