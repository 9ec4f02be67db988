"""How long each layer of a network takes on this machine: a profiling build, run and timed.

A profiling build (``compile(..., profile=True)``) reads the clock after each kernel call. A call of it runs the network twice, first
undisturbed, then call by call; what the second run takes longer is the clock's, and is taken off each layer by how often it was read.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bitc.errors import Diagnostic, OptionError
from bitc.measurable import refuse_unmeasurable
from bitc.oracle import load_model, model_inputs, random_cases
from bitc.session import Session
from bitc.states import States, states_of

if TYPE_CHECKING:
    from bitc.artifact import Artifact

WARM_UP_ROUNDS = 3
FEWEST_ROUNDS = 7
MOST_ROUNDS = 2000


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one call: ``total``, and of each layer in the order of the manifest; the layers add up to the total."""

    total: float
    layers: tuple[float, ...]


class ProfilingSession(Session):
    """A profiling build, loaded. Not to be shared between threads. Raises :class:`OptionError` for any other build."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        if "profile" not in self.metadata:
            hint = "compile with profile=True, or use `bitc explain MODEL`"
            raise OptionError(Diagnostic("O036", f"{self.path} is not a profiling build", hint=hint))
        self._counters = np.zeros(len(self.metadata["layers"]) + 1, np.uint64)
        ns = self._ffi.cast("uint64_t *", self._ffi.from_buffer(self._counters))
        profiled: Callable[[Any, Any, Any], int] = getattr(self._lib, f"{self.metadata['name']}_run_profiled")
        self._function = lambda io, arena: profiled(io, arena, ns)

    def nanoseconds(self, feed: Mapping[str, np.ndarray]) -> np.ndarray:
        """float64 [layers + 1] of one call: each layer's, the clock's share included, then those of the undisturbed run."""
        self._counters.fill(0)
        self.run(None, feed)
        return self._counters.astype(np.float64)


def random_feed(
    model: str | Path,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Sequence[float]] | None = None,
    states: States | None = None,
) -> dict[str, np.ndarray]:
    """One random sample of what ``model`` takes, ``states`` too."""
    inputs = model_inputs(load_model(Path(model)), states_of(model, states or {}))
    return random_cases(inputs, 1, 0, dims, values)[0]


def time_layers(artifact: Artifact, feed: Mapping[str, np.ndarray], seconds: float = 0.5) -> Timing:
    """Medians over as many calls of a profiling build as take about ``seconds``, after some that warm up.

    Raises :class:`OptionError` if ``artifact`` is no profiling build or this CPU cannot run it.
    """
    session = ProfilingSession(artifact.directory)
    for _ in range(WARM_UP_ROUNDS):
        session.nanoseconds(feed)
    rounds: list[np.ndarray] = []
    end = time.perf_counter() + seconds
    while len(rounds) < FEWEST_ROUNDS or (len(rounds) < MOST_ROUNDS and time.perf_counter() < end):
        rounds.append(session.nanoseconds(feed))
    return without_clock(np.median(rounds, axis=0), np.asarray(session.metadata["profile"]["laps"]))


def without_clock(nanoseconds: np.ndarray, laps: np.ndarray) -> Timing:
    """Times of layers and of an undisturbed run, [layers + 1], as a :class:`Timing`; ``laps``: how often each layer was timed.

    >>> without_clock(np.array([120.0, 40.0, 100.0]), np.array([2, 1]))
    Timing(total=1e-07, layers=(8e-08, 2e-08))
    """
    layers, total = nanoseconds[:-1], float(nanoseconds[-1])
    clock = max(0.0, (layers.sum() - total) / laps.sum())
    cleared = np.maximum(layers - laps * clock, 0.0)
    scale = total / cleared.sum() if cleared.any() else 0.0
    return Timing(total / 1e9, tuple(map(float, cleared * scale / 1e9)))


def profile(
    model: str | Path,
    *,
    target: str = "native",
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Sequence[float]] | None = None,
    **options: Any,
) -> list[tuple[dict[str, Any], float]]:
    """The layers of ``model`` as the manifest has them, each with its seconds in a call on one random sample.

    Takes the options of :func:`bitc.compiler.compile`. Raises a :class:`bitc.errors.BitcError` where that does, or if this machine
    cannot run or time the target.
    """
    from bitc.codegen.targets import target as target_named
    from bitc.compiler import compile

    refuse_unmeasurable(target_named(target))
    with tempfile.TemporaryDirectory(prefix="bitc-profile-") as scratch:
        out = Path(scratch) / "model"
        artifact = compile(
            model, target=target, out=out, dims=dims, values=values, emit=("c", "so"), profile=True, **options
        )
        timing = time_layers(artifact, random_feed(model, dims, values, options.get("states")))
    return list(zip(artifact.manifest["layers"], timing.layers, strict=True))
