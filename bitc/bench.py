"""How long a compiled network takes for a call, beside other runtimes on the same file, and how near each layer comes to its bound.

Rounds are interleaved: in each, every runtime has a turn of about 20 ms, one after the other, so that what disturbs the machine disturbs
all alike. A turn begins with a call that is not counted, as the others have emptied the caches. Times are those of whole calls from
Python. A ratio is the median over rounds of time of bitc divided by time of the peer: below 1, bitc is the faster one.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bitc import roofline
from bitc.artifact import Artifact
from bitc.codegen.targets import Target
from bitc.codegen.targets import target as target_named
from bitc.compiler import Options, compile
from bitc.errors import Diagnostic, OptionError
from bitc.explain import Explanation, Rest, explanation
from bitc.measurable import refuse_unmeasurable
from bitc.passes.pipeline import Trace
from bitc.peers import Call, PeerRefusal, open_peer, refuse_absent
from bitc.profile import random_feed, time_layers
from bitc.session import usable_cores

TURN_SECONDS = 0.02
WARM_UP_SECONDS = 0.1
MOST_CALLS = 200
PROFILE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Times:
    """Microseconds a call over all rounds. ``spread``: how wide the middle half of the rounds lies, as a share of the median."""

    median_us: float
    min_us: float
    spread: float
    calls: int


@dataclass(frozen=True, slots=True)
class Row:
    """One runtime: its times and bitc's time divided by its own; or why it did not run (``refusal``)."""

    peer: str
    times: Times | None
    ratio: float | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A layer that multiplies. ``gops``: operations of its kernel a nanosecond (two a multiply-accumulate, of bits for each plane).

    ``of_bound``: the time it must take divided by what it takes; ``bound``: what it is bound by (:class:`bitc.roofline.Bound`).
    Both are None for kernels without a measured peak.
    """

    node: str
    form: str
    kernel: str
    macs: int
    microseconds: float
    share: float
    gops: float
    of_bound: float | None
    bound: str | None


@dataclass(frozen=True, slots=True)
class Layers:
    """A call layer by layer, as the profiling build has it; ``rest`` is what does not multiply, longest first."""

    total_us: float
    products: tuple[LayerRow, ...]
    rest: tuple[Rest, ...]
    peaks: roofline.Peaks


@dataclass(frozen=True, slots=True)
class Result:
    """A comparison. ``rows[0]`` is bitc; ``threads``: of each runtime; ``cores`` those that all ran on, none where the
    system gave no choice (``not_pinned``: why)."""

    case: str
    target: str
    macs: int
    rounds: int
    threads: int
    cores: tuple[int, ...]
    not_pinned: str
    rows: tuple[Row, ...]
    layers: Layers | None

    def lines(self, label: str = "") -> Iterator[dict[str, Any]]:
        """Objects for lines of JSON: peer, case, median_us, min_us, gops, macs, runs, note; or peer, case, error.

        ``label`` is bitc's name there (default: ``bitc-TARGET``). A line without times tells layers.
        """
        for row in self.rows:
            named = {"peer": label or f"bitc-{self.target}" if row is self.rows[0] else row.peer, "case": self.case}
            if row.times is None:
                yield {**named, "error": row.refusal}
                continue
            times, note = row.times, f"{self.rounds} interleaved rounds, spread {row.times.spread:.1%}"
            numbers: dict[str, Any] = {"median_us": round(times.median_us, 2), "min_us": round(times.min_us, 2)}
            if self.macs:
                numbers |= {"gops": round(2e-3 * self.macs / times.median_us, 2), "macs": self.macs}
            if row.ratio is not None:
                numbers["bitc_ratio"] = round(row.ratio, 4)
            yield {**named, **numbers, "runs": times.calls, "note": "; ".join(filter(None, (note, self.not_pinned)))}
        if self.layers is not None:
            yield {"peer": label or f"bitc-{self.target}", "case": self.case, "layers": asdict(self.layers)}


def bench(
    model: str | Path,
    *,
    target: str = "native",
    options: Options | None = None,
    against: Sequence[str] = (),
    threads: int = 1,
    per_layer: bool = False,
    fresh: bool = False,
    rounds: int = 30,
    core: int | None = None,
    case: str = "",
    progress: Callable[[str, int, int], None] | None = None,
) -> Result:
    """Compile ``model``, keep nothing, and time it on a random sample beside the runtimes ``against``.

    ``threads``: of bitc and of each peer; layers are timed in one. ``core``: where to run, the first of as many (default: the last
    ones this process may use); ``fresh``: measure the machine's peaks again; ``case``: what
    to call it (default: the file's name). Raises a :class:`bitc.errors.BitcError` where :func:`bitc.compiler.compile` does, and for a
    target that does not run here, a peer that is not installed, more threads than cores, a core that is not there.
    """
    options = options if options is not None else Options()
    model, chosen = Path(model), target_named(target)
    refuse_absent(against)
    refuse_threads(threads)
    refuse_unmeasurable(chosen)
    show = progress if progress is not None else lambda what, index, total: None
    feed = random_feed(model, options.dims, options.values, options.states)
    with tempfile.TemporaryDirectory(prefix="bitc-bench-") as scratch:
        built = _build(model, chosen, options, Path(scratch) / "net", show, threads=threads)
        with pinned(core, threads) as (used, not_pinned):
            rows = _compare(built, model, feed, against, threads, rounds, show)
        layers = None
        if per_layer:
            profiled = _build(model, chosen, options, Path(scratch) / "profiled", show, profile=True)
            with pinned(core):
                layers = layers_of(profiled, feed, roofline.peaks_of(chosen, fresh=fresh))
    said = explanation(built.manifest, None)
    macs = sum(product.macs for product in said.products)
    return Result(case or model.stem, chosen.name, macs, rounds, threads, used, not_pinned, rows, layers)


def _build(
    model: Path,
    target: Target,
    options: Options,
    out: Path,
    show: Callable[[str, int, int], None],
    profile: bool = False,
    threads: int = 1,
) -> Artifact:
    trace = Trace(progress=show)
    return compile(
        model, target=target.name, out=out, trace=trace, profile=profile, threads=threads, **options.as_arguments()
    )


def refuse_threads(threads: int) -> None:
    """Raise :class:`OptionError` for more threads than this process may use cores: they would wait for one another."""
    if threads > (cores := usable_cores()):
        here = f"this process may use {cores} cores" if cores > 1 else "this process may use one core"
        raise OptionError(Diagnostic("O102", f"cannot compare in {threads} threads", here=here))


@contextmanager
def pinned(core: int | None = None, threads: int = 1) -> Iterator[tuple[tuple[int, ...], str]]:
    """Run on as many cores as ``threads`` inside, ``core`` the first (default: the last ones allowed).

    Gives (those cores, ""), or ((), why not) where the system has no such thing. Raises :class:`OptionError` for a ``core`` that this
    process may not use, or one with too few after it.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield (), "not pinned: this system lets no process choose its core"
        return
    allowed = sorted(os.sched_getaffinity(0))
    first = allowed[-threads] if core is None else core
    chosen = tuple(number for number in allowed if number >= first)[:threads]
    if first not in allowed or len(chosen) < threads:
        title = f"there is no core {first}" if first not in allowed else f"there are no {threads} cores from {first} on"
        here = "this process may run on " + ", ".join(map(str, allowed))
        raise OptionError(Diagnostic("O103", title, here=here))
    try:
        os.sched_setaffinity(0, chosen)
    except OSError as error:
        yield (), f"not pinned: {error.strerror}"
        return
    try:
        yield chosen, ""
    finally:
        os.sched_setaffinity(0, allowed)


def _compare(
    built: Artifact,
    model: Path,
    feed: Mapping[str, np.ndarray],
    against: Sequence[str],
    threads: int,
    rounds: int,
    show: Callable[[str, int, int], None],
) -> tuple[Row, ...]:
    session = built.session()
    calls: dict[str, Call] = {"bitc": lambda: session.run(None, feed)}
    refusals: dict[str, str] = {}
    for name in dict.fromkeys(against):
        try:
            calls[name] = open_peer(name, model, feed, threads)
        except PeerRefusal as refusal:
            refusals[name] = str(refusal)
    turns = interleaved(calls, rounds, show)
    mine = [statistics.median(turn) for turn in turns["bitc"]]
    rows = []
    for name in ("bitc", *dict.fromkeys(against)):
        if name in refusals:
            rows.append(Row(name, None, refusal=refusals[name]))
            continue
        row = Row(name, times_of(turns[name]))
        theirs = [statistics.median(turn) for turn in turns[name]]
        rows.append(row if name == "bitc" else replace(row, ratio=ratio_of(mine, theirs)))
    return tuple(rows)


def interleaved(
    calls: Mapping[str, Call], rounds: int, show: Callable[[str, int, int], None] = lambda what, index, total: None
) -> dict[str, list[list[float]]]:
    """Microseconds of each call in each turn of each runtime; which one begins a round changes from round to round."""
    counts = {name: _calls_a_turn(call) for name, call in calls.items()}
    turns: dict[str, list[list[float]]] = {name: [] for name in calls}
    order = list(calls)
    for index in range(rounds):
        show("timing", index, rounds)
        for name in order:
            turns[name].append(_turn(calls[name], counts[name]))
        order.append(order.pop(0))
    return turns


def _calls_a_turn(call: Call) -> int:
    """Warm up; then how many calls last about :data:`TURN_SECONDS`."""
    started, count = time.perf_counter(), 0
    while count < 2 or time.perf_counter() - started < WARM_UP_SECONDS:
        call()
        count += 1
    each = (time.perf_counter() - started) / count
    return max(1, min(MOST_CALLS, round(TURN_SECONDS / each)))


def _turn(call: Call, count: int) -> list[float]:
    call()
    found = []
    for _ in range(count):
        started = time.perf_counter_ns()
        call()
        found.append((time.perf_counter_ns() - started) / 1e3)
    return found


def times_of(turns: Sequence[Sequence[float]]) -> Times:
    """The statistics of turns of one runtime.

    >>> times_of([[9.0, 10.0, 14.0], [11.0, 12.0, 13.0], [10.0, 10.0, 10.0]])
    Times(median_us=10.0, min_us=9.0, spread=0.1, calls=9)
    """
    medians = [statistics.median(turn) for turn in turns]
    middle = statistics.median(medians)
    low, high = np.quantile(medians, (0.25, 0.75))
    return Times(middle, min(map(min, turns)), float((high - low) / middle), sum(map(len, turns)))


def ratio_of(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios.

    >>> ratio_of([1.0, 2.0, 9.0], [2.0, 4.0, 3.0])
    0.5
    """
    return statistics.median(a / b for a, b in zip(mine, theirs, strict=True))


def layers_of(profiled: Artifact, feed: Mapping[str, np.ndarray], peaks: roofline.Peaks) -> Layers:
    """The layers of a profiling build, timed, each beside its bound."""
    timing = time_layers(profiled, feed, PROFILE_SECONDS)
    manifest = profiled.manifest
    said: Explanation = explanation(manifest, timing)
    products = []
    for layer, seconds in zip(manifest["layers"], timing.layers, strict=True):
        if layer["macs"]:
            products.append(_layer_row(layer, seconds, timing.total, peaks, manifest["weight_bytes"]))
    rest = sorted(said.rest, key=lambda entry: -(entry.seconds or 0.0))
    return Layers(timing.total * 1e6, tuple(products), tuple(rest), peaks)


def _layer_row(
    layer: Mapping[str, Any], seconds: float, total: float, peaks: roofline.Peaks, weight_bytes: int
) -> LayerRow:
    found = roofline.bound(layer, peaks, weight_bytes)
    operations = found.operations if found is not None else 2 * layer["macs"]
    spent = max(seconds, 1e-9)
    return LayerRow(
        node=layer["node"],
        form=layer["form"],
        kernel=layer["kernel"],
        macs=layer["macs"],
        microseconds=seconds * 1e6,
        share=seconds / total if total else 0.0,
        gops=operations / spent / 1e9,
        of_bound=None if found is None else found.seconds / spent,
        bound=None if found is None else found.by,
    )
