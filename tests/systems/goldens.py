"""Golden inputs and outputs of the exported systems: reading them, and the measure by which an output agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]

SAME = 1e-5
"""An element agrees where it is off by at most this share of the largest golden element: float32 sums of a few hundred terms in another
order, several layers deep, stay far below it, and a code that flips is far above."""


@dataclass(frozen=True, slots=True)
class Case:
    """Inputs of one run and the outputs wanted: those of exact integer arithmetic (``snap``) where the file has them."""

    inputs: Arrays
    outputs: Arrays
    snapped: bool


def cases(model: Path) -> list[Case]:
    """The golden runs beside ``model``: ``in_x``/``out_y``/``snap_y`` of one run, or ``in0:x``/``out0:y`` of several."""
    with np.load(model.with_name(f"{model.stem}_golden.npz")) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    if any(":" in name for name in kept):
        runs = sorted({name.split(":")[0].removeprefix("in") for name in kept if name.startswith("in")})
        return [Case(_named(kept, f"in{run}:"), _named(kept, f"out{run}:"), False) for run in runs]
    snapped = _named(kept, "snap_")
    return [Case(_named(kept, "in_"), snapped or _named(kept, "out_"), bool(snapped))]


def _named(arrays: Mapping[str, np.ndarray], prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


@dataclass(slots=True)
class Agreement:
    """All outputs of all runs: how many elements, how many are not the golden's bits, how many are off by more than the bound, and the
    largest distance as a share of the largest golden element of its output."""

    elements: int = 0
    differing: int = 0
    beyond: int = 0
    worst: float = 0.0

    def add(self, wanted: np.ndarray, got: np.ndarray, same: float = SAME) -> None:
        """Count one output. Raises :class:`AssertionError` where its shape or type is another."""
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype), (
            got.shape,
            got.dtype,
            wanted.shape,
            wanted.dtype,
        )
        self.elements += wanted.size
        unlike = (got != wanted) & ~(np.isnan(got) & np.isnan(wanted)) if wanted.dtype.kind == "f" else got != wanted
        if not unlike.any():
            return
        distance = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
        largest = float(np.abs(wanted.astype(np.float64)).max()) or 1.0
        self.differing += int(unlike.sum())
        self.beyond += int((~(distance <= same * largest)).sum())
        self.worst = max(self.worst, float(distance.max()) / largest)


def agreement(runs: Sequence[Case], answers: Sequence[Arrays], same: float = SAME) -> Agreement:
    """``answers`` against the golden ``runs``."""
    found = Agreement()
    for run, answer in zip(runs, answers, strict=True):
        for name, wanted in run.outputs.items():
            found.add(wanted, answer[name], same)
    return found
