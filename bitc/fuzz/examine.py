"""One model against its oracle: compiled for each target, run, and every element held to what the file allows.

The criterion is that of ``bitc check``: an element must lie in the interval that interval evaluation of the imported graph gives for
these inputs, a point where nothing rounds; and an output that the manifest calls exact must have the oracle's very bits. So there is
no tolerance to choose, and targets agree with each other wherever they must agree with the oracle.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import onnx

from bitc import toolchain
from bitc.artifact import Artifact
from bitc.codegen.targets import target as target_named
from bitc.compiler import compile
from bitc.errors import ModelError, ToolchainError, UnsupportedError
from bitc.frontend import import_model
from bitc.fuzz.network import options_of
from bitc.ir import Graph
from bitc.ir.interval import Interval
from bitc.ir.intervals import evaluate_intervals
from bitc.oracle import oracle_for
from bitc.session import Session

Feeds = Mapping[str, np.ndarray]
Load = Callable[[Artifact, str], Session]
"""Builds the library of an artefact of C for a target, and loads it."""

SECONDS = 1800
"""After which an examination counts as hanging."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that is wrong in bitc. ``kind`` and ``target`` stay the same while a model is shrunk; ``output`` is where it shows."""

    kind: str
    target: str = ""
    output: str = ""
    detail: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What makes two failures the same one."""
        return self.kind, self.target

    def __str__(self) -> str:
        return " ".join(filter(None, (self.kind, self.target, self.output, self.detail)))


@dataclass(slots=True)
class Findings:
    """What an examination found. ``refused`` and ``invalid`` say why there was nothing to compare: bitc or the oracle declined.

    ``kernels``: the k ops of each target's library. Elements are counted over outputs and targets: compared bit for bit, compared with
    an interval, and of these not the oracle's bits.
    """

    failures: list[Failure] = field(default_factory=list)
    exact: int = 0
    rounded: int = 0
    differing: int = 0
    kernels: dict[str, set[str]] = field(default_factory=dict)
    refused: str = ""
    invalid: str = ""

    @property
    def compared(self) -> bool:
        """Whether every target gave values that were looked at."""
        return not (self.refused or self.invalid or any(not failure.output for failure in self.failures))


def build_fast(artifact: Artifact, target: str) -> Session:
    """The library built with little optimisation, which is most of what a small network costs."""
    toolchain.compile_shared(artifact.source, artifact.library, target_named(target).cflags, ("-O1", "-w"))
    return artifact.session()


def examine(model: onnx.ModelProto, feeds: Feeds, targets: Sequence[str], load: Load = build_fast) -> Findings:
    """Compare one model on one set of inputs, in a process of its own, so that neither a crash nor a hang ends the caller."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(theirs, model, feeds, targets, load))
    child.start()
    theirs.close()
    try:
        found: Findings = ours.recv() if ours.poll(SECONDS) else Findings([Failure("hangs")])
    except EOFError:
        child.join()
        found = Findings([Failure(f"dies with status {child.exitcode}")])
    if child.is_alive():
        child.kill()
    child.join()
    return found


def _send(pipe: Connection, model: onnx.ModelProto, feeds: Feeds, targets: Sequence[str], load: Load) -> None:
    with tempfile.TemporaryDirectory(prefix="bitc-fuzz-") as folder, np.errstate(all="ignore"):
        found = Findings()
        try:
            _examine(found, model, feeds, targets, load, Path(folder))
        except (ModelError, UnsupportedError) as error:
            found.refused = str(error)
        except Exception as error:  # the very thing that is looked for
            found.failures.append(_crash(error))
        pipe.send(found)


def _crash(error: Exception) -> Failure:
    """Named by the class of the error and the function in which it was raised."""
    if isinstance(error, ToolchainError):
        return Failure("C compiler fails", detail=str(error))
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.name}"
    return Failure(f"{type(error).__name__} in {place}", detail=(str(error).splitlines() or [""])[0][:300])


def _examine(
    found: Findings, model: onnx.ModelProto, feeds: Feeds, targets: Sequence[str], load: Load, folder: Path
) -> None:
    path = folder / "fuzzed.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    try:
        oracle = oracle_for(path)
        truth = oracle.run(feeds)
    except Exception as error:  # onnxruntime and qonnx raise what they like
        found.invalid = f"{type(error).__name__}: {error}"
        return
    graph, asked = import_model(path), options_of(model)
    possible = dict(zip(oracle.output_names, intervals(graph, feeds), strict=True))
    for name, interval in possible.items():
        _hold(found.failures, "oracle outside", "", name, truth[name], interval)
    for target in targets:
        artifact = compile(path, target=target, out=folder / target, emit=("c",), **asked)
        found.kernels[target] = {layer["op"] for layer in artifact.manifest["layers"]}
        session = load(artifact, target)
        results = dict(zip(oracle.output_names, session.run(None, dict(feeds)), strict=True))
        promises = {entry["name"]: entry["contract"]["exact"] for entry in session.metadata["outputs"]}
        for name, interval in possible.items():
            ours, theirs = results[name], truth[name]
            if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
                detail = f"{ours.dtype}{ours.shape} for {theirs.dtype}{theirs.shape}"
                found.failures.append(Failure("wrong type", target, name, detail))
                continue
            differing = int(np.count_nonzero((ours != theirs) & ~((ours != ours) & (theirs != theirs))))
            points = int(np.count_nonzero((interval.lo == interval.hi) | (interval.lo != interval.lo)))
            found.exact += points
            found.rounded += ours.size - points
            found.differing += differing
            _hold(found.failures, "outside", target, name, ours, interval)
            if promises[name] and differing:
                found.failures.append(Failure("promised exact", target, name, f"{differing} elements differ"))


def intervals(graph: Graph, feeds: Feeds) -> list[Interval]:
    """Which values each output may have; a graph of one row is evaluated row by row."""
    arrays = [np.asarray(feeds[value.name]) for value in graph.inputs]
    rows = graph.inputs[0].shape[0]
    steps = [[x[i : i + rows] for x in arrays] for i in range(0, len(arrays[0]), rows)]
    evaluated = [evaluate_intervals(graph, step) for step in steps]
    return [
        Interval(
            np.concatenate([row[value].lo for row in evaluated]), np.concatenate([row[value].hi for row in evaluated])
        )
        for value in graph.outputs
    ]


def _hold(failures: list[Failure], kind: str, target: str, name: str, array: np.ndarray, interval: Interval) -> None:
    """Note a failure where ``array`` leaves ``interval``."""
    array = array.reshape(interval.lo.shape)
    outside = ~interval.holds(array)
    if outside.any():
        at = tuple(int(i) for i in np.argwhere(outside)[0])
        detail = f"{list(at)} = {array[at]!r}, outside [{interval.lo[at]!r}, {interval.hi[at]!r}]"
        failures.append(Failure(kind, target, name, detail))
