"""Damaged models: a fixed share of what ``tests/hostile/mutate.py`` runs at length, and that it would notice."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hostile.mutate import model_of, run, run_range
from hostile.sandbox import PEAK_BYTES, watched

COUNT = 600


@pytest.mark.parametrize("part", range(4))
def test_damaged_models(part: int) -> None:
    """Each compiles or is refused; none crashes, hangs, fills the memory, or writes outside its folder."""
    share = COUNT // 4
    verdicts = dict(run(share, seed=2026, jobs=1, start=part * share))
    faults = {number: verdict for number, verdict in verdicts.items() if verdict.faults}
    assert faults == {}
    outcomes = {verdict.outcome for verdict in verdicts.values()}
    assert outcomes >= {"compiled", "ModelError", "UnsupportedError"}
    refused = [verdict for verdict in verdicts.values() if verdict.outcome != "compiled"]
    assert all(verdict.message.startswith("error[") for verdict in refused)


def test_a_case_is_the_same_each_time() -> None:
    """So that a number is enough to report a fault."""
    assert [model_of(7, number) for number in range(50)] == [model_of(7, number) for number in range(50)]


def test_the_sandbox_notices(tmp_path: Path) -> None:
    """Crashes, death, memory, files outside the folder and files left behind are told from one another."""
    scratch = tmp_path / "case"

    def crash(folder: Path) -> str:
        raise KeyError("x")

    def outside(folder: Path) -> str:
        (tmp_path / "outside").write_text("")
        return "compiled\n"

    def left(folder: Path) -> str:
        (folder / "out").mkdir()
        return "ModelError\nrefused"

    def full(folder: Path) -> str:
        return f"compiled\n{np.ones(PEAK_BYTES + (1 << 28), np.uint8).size}"

    def dead(folder: Path) -> str:
        raise SystemExit(_signal())

    def _signal() -> int:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGSEGV)
        return 0

    found = {work.__name__: watched(work, scratch).faults for work in (crash, outside, left, full, dead)}
    expected = {"crash": ("crash",), "outside": ("outside",), "left": ("left",), "full": ("memory",), "dead": ("died",)}
    assert found == expected
    assert watched(lambda folder: "compiled\n", scratch).faults == ()


def test_the_sandbox_ends_what_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock, if it only waits."""
    monkeypatch.setattr("hostile.sandbox.WAIT_SECONDS", 0.2)

    def wait(folder: Path) -> str:
        time.sleep(600)
        return "compiled\n"

    assert watched(wait, tmp_path / "case").faults == ("hang",)


def test_ranges_are_independent() -> None:
    """A case does not depend on those before it."""
    ((_, alone),) = run_range(3, [17])
    together = dict(run_range(3, range(15, 18)))
    assert (alone.outcome, alone.message) == (together[17].outcome, together[17].message)
