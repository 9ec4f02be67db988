"""Runtimes that take turns: what a call of each takes, round by round, and how bitc's compares with the others'."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Call = Callable[[], object]


def timed(calls: Mapping[str, Call], rounds: int) -> dict[str, list[float]]:
    """Microseconds of each call in each round, after one that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            started = time.perf_counter()
            call()
            found[name].append((time.perf_counter() - started) * 1e6)
    return found


def head(names: Sequence[str]) -> str:
    """The titles of a :func:`line`."""
    times = " ".join(f"{name + ' us':>9} {'least':>9}" for name in names)
    return times + "".join(f" {name + '/bitc':>10}" for name in names if name != "bitc")


def line(times: Mapping[str, Sequence[float]]) -> str:
    """Medians and the fewest microseconds of each, then the median over rounds of what the others take for bitc's 1."""
    ours = times["bitc"]
    ratios = [
        statistics.median(b / a for a, b in zip(ours, found, strict=True))
        for name, found in times.items()
        if name != "bitc"
    ]
    numbers = " ".join(f"{statistics.median(found):9.0f} {min(found):9.0f}" for found in times.values())
    return numbers + "".join(f" {ratio:10.2f}" for ratio in ratios)
