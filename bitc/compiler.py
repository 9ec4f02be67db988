"""The whole order of compilation, as a table of contents: import, passes, code generation, C compiler, artefact."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from bitc.arrays import arrays_as_bytes
from bitc.artifact import Artifact, check_emit, default_name, write_artifact
from bitc.codegen import generate
from bitc.codegen.crew import crew_of
from bitc.codegen.families import generate_family
from bitc.codegen.targets import Target, family
from bitc.codegen.targets import target as target_named
from bitc.errors import Diagnostic, OptionError
from bitc.firing import with_firing_rates
from bitc.frontend import import_model
from bitc.ir import Graph
from bitc.ir.printer import print_graph
from bitc.limits import Limits
from bitc.passes import KNOWN_PASSES, Pass, to_codes, to_kernels
from bitc.passes.assume import assume_values
from bitc.passes.measured import NOTHING, Measured
from bitc.passes.pipeline import Trace, parse_pipeline, run_passes
from bitc.passes.state_values import codes_of_states
from bitc.promises import values_text
from bitc.states import States, states_of
from bitc.tuning import tune as tune_layers
from bitc.tuning import tuning_file

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What changes the result of a compilation, apart from model and target; recorded in the artefact.

    ``dims`` binds symbolic dimensions; ``values`` promises the values inputs take; ``sign_zero`` is exact, plus or minus; ``mst`` is auto,
    on, skipping, tables or off; ``pipeline`` replaces the default passes (text). ``limits`` change which models are taken, never a
    result, and are not recorded. ``tuning`` names a file of measured times (:mod:`bitc.tuning`). ``states``: the outputs that carry
    inputs to the next call (:mod:`bitc.states`). ``calibrate`` names samples on which firing rates are measured (:mod:`bitc.firing`).
    ``small_weights``: weights of bits are stored as differences where that is smaller, in layers that have at most so many bytes of them
    (:mod:`bitc.passes.store_deltas`); ``mst`` auto is then off, as the lists of such products are larger.
    """

    dims: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    sign_zero: str = "exact"
    mst: str = "auto"
    pipeline: str | None = None
    limits: Limits = field(default_factory=Limits)
    tuning: str | None = None
    states: States = field(default_factory=dict)
    calibrate: str | None = None
    small_weights: int = 0

    def as_arguments(self) -> dict[str, Any]:
        """Keyword arguments of :func:`compile`."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def compile(
    path: str | Path,
    *,
    target: str = "native",
    out: str | Path | None = None,
    name: str | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Sequence[float]] | None = None,
    sign_zero: str = "exact",
    mst: str = "auto",
    emit: Sequence[str] = ("c", "so"),
    pipeline: str | None = None,
    limits: Limits | None = None,
    tuning: str | Path | None = None,
    tune: bool = False,
    trace: Trace | None = None,
    profile: bool = False,
    threads: int = 1,
    pool: str | None = None,
    c_flags: Sequence[str] = (),
    states: States | None = None,
    calibrate: str | Path | None = None,
    small_weights: int = 0,
) -> Artifact:
    """Compile the ONNX file ``path`` into the artefact folder ``out`` (default: ``<name>-<target>`` in the working directory).

    ``dims`` binds symbolic dimensions; ``values`` promises which values an input takes; ``sign_zero`` declares what Sign(0) may be;
    ``mst``: whether products of bits run along trees of their channels, where that is faster (auto), wherever possible (on, or skipping
    what they have in common), by tables, or off; ``limits`` bound what the model may ask for; ``tuning``: a file of measured times, which
    decide between forms of layers; ``tune`` measures first what it lacks (by default in the user's cache,
    :func:`bitc.tuning.tuning_file`); ``trace`` watches the passes; ``profile`` makes a build that times its layers (:mod:`bitc.profile`);
    ``threads``: how many may share a call, which changes no result; ``pool``: who brings them, ``pthreads`` (default), ``openmp`` or
    ``none``: the C program that calls. ``c_flags`` are further flags for the C compiler, the last word (``-O1`` builds faster).
    ``states``: inputs that are states, each with the output that carries it to the next call, or ``"auto"`` (:mod:`bitc.states`); the
    library then has ``init`` and ``step`` too. ``calibrate``: an .npz of samples, on which it is measured how many inputs of each product
    are not zero (:mod:`bitc.firing`). ``small_weights``: weights of bits are stored as differences between channels where that is
    smaller, and decoded as the network runs, in layers that have at most so many bytes of them (0: none); ``mst`` auto is then off.
    ``target`` may be a family of targets (``auto``): see :mod:`bitc.codegen.families`.
    Raises a :class:`bitc.errors.BitcError`; then nothing is written.
    """
    several = family(target)
    chosen = target_named(target)
    if several is not None and (profile or tune or tuning):
        hint = f"give one target, such as {chosen.name}"
        raise OptionError(
            Diagnostic("O044", f"the layers of several targets ({several.name}) cannot be timed", hint=hint)
        )
    kept = tuning or (tuning_file(chosen) if tune else None)
    tuned = str(kept) if kept else None
    options = Options(
        dims or {},
        values or {},
        sign_zero,
        mst,
        pipeline,
        limits or Limits(),
        tuned,
        states or {},
        str(calibrate) if calibrate else None,
        small_weights,
    )
    check_emit(emit)
    crew = crew_of(threads, pool, profile)
    trace = trace if trace is not None else Trace()
    imported = imported_model(path, options)
    if tune and kept:
        tune_layers(imported, passes_for(chosen, replace(options, tuning=None)), chosen, Path(kept), trace.progress)
    traces = {t: replace(trace, prefix=f"{t.name}-") for t in several.targets} if several else {chosen: trace}
    graphs = [(t, lowered(imported, t, options, watched)) for t, watched in traces.items()]
    recorded = (
        _recorded(options) | _recorded_states(imported) | ({"build": "profiling"} if profile else {}) | crew.recorded()
    )
    asked: dict[str, Any] = {
        "name": name or default_name(path),
        "options": recorded,
        "threads": crew.threads,
        "pool": crew.pool,
    }
    generated = (
        generate_family(graphs, family=several, **asked)
        if several is not None
        else generate(graphs[0][1], target=chosen, profile=profile, **asked)
    )
    name = generated.manifest["name"]
    texts, binaries = dict(generated.files), dict[str, bytes]()
    for t, graph in graphs if "ir" in emit else ():
        constants: dict[str, np.ndarray] = {}
        stem = f"{name}_{t.name}" if several else name
        texts[f"{stem}.ir"] = print_graph(graph, constants)
        binaries[f"{stem}.ir.npz"] = arrays_as_bytes(constants)
    folder = Path(out) if out is not None else Path(f"{name}-{several.name if several else chosen.name}")
    started = time.perf_counter()
    target_cflags = () if several else chosen.cflags
    artifact = write_artifact(
        folder, name, texts, emit=emit, target_cflags=(*target_cflags, *crew.cflags, *c_flags), binaries=binaries
    )
    trace.seconds.append(("C compiler", time.perf_counter() - started))
    return artifact


def lower(path: str | Path, target: Target, options: Options, trace: Trace) -> Graph:
    """The model as a graph of kernel calls for ``target``."""
    return lowered(imported_model(path, options), target, options, trace)


def imported_model(path: str | Path, options: Options) -> Graph:
    """The model as it stands, with what ``options`` promise of its inputs."""
    states = states_of(path, options.states)
    imported = import_model(path, dims=options.dims, limits=options.limits, states=states)
    if options.calibrate is not None:
        imported = with_firing_rates(imported, Path(options.calibrate))
    promised = assume_values(imported, options.values)
    if states:
        codes = codes_of_states(promised)
        promised.attrs["state_codes"] = tuple((given, tuple(kept.as_dict().items())) for given, kept in codes.items())
    return promised


def lowered(imported: Graph, target: Target, options: Options, trace: Trace) -> Graph:
    """An imported model as a graph of kernel calls for ``target``."""
    return run_passes(imported, passes_for(target, options), trace, reproducer_dir=Path("bitc-reproducer"))


def lower_stages(
    path: str | Path, *, target: str = "native", options: Options | None = None
) -> list[tuple[str, Graph]]:
    """The graph after import and after each pass, by the pass' name."""
    trace = Trace(snapshots=[])
    lower(path, target_named(target), options if options is not None else Options(), trace)
    assert trace.snapshots is not None
    return trace.snapshots


def passes_for(target: Target, options: Options) -> tuple[Pass, ...]:
    """The default pipeline of ``target``, or the one ``options`` give."""
    if options.pipeline is not None:
        return parse_pipeline(options.pipeline, KNOWN_PASSES)
    bits, measured = target.bits, Measured.parse(options.tuning) if options.tuning is not None else NOTHING
    kernels = to_kernels(
        bit_block=bits.block,
        byte_rows=bits.byte_rows,
        float_block=target.float_block,
        integers=target.isa,
        small_weights=options.small_weights,
    )
    mst = "off" if options.small_weights and options.mst == "auto" else options.mst
    return (*to_codes(options.sign_zero, target.isa, measured, mst), *kernels)


def _recorded_states(imported: Graph) -> dict[str, str]:
    return {f"state {given}": carried for given, carried, _ in imported.attrs.get("states", ())}


def _recorded(options: Options) -> dict[str, str]:
    """The options that were given, as text for the banner and the manifest."""
    recorded = {f"dim {key}": str(value) for key, value in sorted(options.dims.items())}
    recorded |= {f"values {key}": values_text(value) for key, value in sorted(options.values.items())}
    if options.sign_zero != "exact":
        recorded["sign-zero"] = options.sign_zero
    if options.mst != "auto":
        recorded["mst"] = options.mst
    if options.small_weights:
        recorded["small-weights"] = str(options.small_weights)
    if options.calibrate is not None:
        recorded["calibrate"] = hashlib.sha256(Path(options.calibrate).read_bytes()).hexdigest()[:16]
    if options.pipeline is not None:
        recorded["pipeline"] = options.pipeline
    elif options.tuning is not None:
        recorded["tuning"] = Measured.parse(options.tuning).fingerprint()
    return recorded
