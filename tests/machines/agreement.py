"""Do a network's outputs on some machine agree with the oracle and with the portable target on this machine?

Three criteria, strictest first: outputs that the manifest calls exact are the oracle's bits; every output lies in the interval that
interval evaluation of the file's graph gives (a point where nothing rounds, see :mod:`bitc.ir.intervals`); every label is the oracle's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

import bitc
from bitc.artifact import Artifact
from bitc.compare import Contract
from bitc.frontend import import_model
from bitc.ir import Graph, TensorType
from bitc.ir.interval import Interval
from bitc.ir.intervals import evaluate_intervals
from bitc.oracle import oracle_for


@dataclass(frozen=True, slots=True)
class Case:
    """A network with inputs of one item each: what the oracle answers, in which intervals the answers must lie, what the portable
    target (or the one it was prepared for) answers on this machine. Outer sequences are of items, inner ones of outputs."""

    model: Path
    folder: Path
    options: Mapping[str, Any]
    artifact: Artifact
    inputs: tuple[tuple[np.ndarray, ...], ...]
    truths: tuple[tuple[np.ndarray, ...], ...]
    intervals: tuple[tuple[Interval, ...], ...]
    portable: tuple[tuple[np.ndarray, ...], ...]


def prepare(
    model: Path, folder: Path, feeds: Mapping[str, np.ndarray], most: int, target: str = "portable", **options: Any
) -> Case:
    """Compile ``model`` for ``target`` into ``folder`` and find what is expected for the first ``most`` items in ``feeds``."""
    artifact = bitc.compile(model, target=target, out=folder / target, **options)
    imported = import_model(model, dims=options.get("dims"))
    oracle, session = oracle_for(model), artifact.session()
    inputs, truths, intervals, portable = [], [], [], []
    for arrays in _items(imported, feeds, most):
        named = {value.name: array for value, array in zip(imported.inputs, arrays, strict=True)}
        inputs.append(arrays)
        answers = oracle.run(named)
        truths.append(tuple(answers[name] for name in oracle.output_names))
        found = evaluate_intervals(imported, arrays)
        intervals.append(tuple(found[value] for value in imported.outputs))
        portable.append(tuple(session.run(None, named)))
    answers_of = (tuple(truths), tuple(intervals), tuple(portable))
    return Case(model, folder, options, artifact, tuple(inputs), *answers_of)


def compiled(case: Case, target: str) -> Artifact:
    """The network's C for ``target``."""
    if target == "portable":
        return case.artifact
    return bitc.compile(case.model, target=target, out=case.folder / target, emit=("c",), **case.options)


def _items(graph: Graph, feeds: Mapping[str, np.ndarray], most: int) -> list[tuple[np.ndarray, ...]]:
    """What the graph takes at a time, cut from ``feeds``."""
    columns = []
    for value in graph.inputs:
        assert isinstance(value.type, TensorType)
        elements = feeds[value.name].astype(value.type.dtype.numpy).reshape(-1, prod(value.shape))
        columns.append([np.ascontiguousarray(row.reshape(value.shape)) for row in elements[:most]])
    return list(zip(*columns, strict=True))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far outputs agree: ``complaints`` is empty where they do; elements in all, unlike the oracle's, unlike the portable's."""

    complaints: tuple[str, ...]
    elements: int
    unlike_oracle: int
    unlike_portable: int

    def __str__(self) -> str:
        if self.complaints:
            return "; ".join(self.complaints)
        counts = ((self.unlike_oracle, "the oracle's"), (self.unlike_portable, "portable x86's"))
        unlike = [f"{count} of {self.elements} are not {whose} bits" for count, whose in counts if count]
        return ", ".join(unlike) or "equal bits"


def agreement(case: Case, item: int, outputs: Sequence[np.ndarray], labels: bool = True) -> Agreement:
    """What ``outputs`` of item ``item`` are worth. ``labels``: whether outputs are scores whose order the file's own rounding cannot
    change."""
    complaints = []
    elements = unlike_oracle = unlike_portable = 0
    expected = (case.truths[item], case.intervals[item], case.portable[item])
    for port, got, truth, interval, portable in zip(case.artifact.manifest["outputs"], outputs, *expected, strict=True):
        contract, rounded = Contract.of(port), np.asarray(got).reshape(truth.shape)
        differing = int(np.count_nonzero(~_same(rounded, truth)))
        elements, unlike_oracle = elements + rounded.size, unlike_oracle + differing
        unlike_portable += int(np.count_nonzero(~_same(got.ravel(), portable.ravel())))
        if contract.exact and differing:
            complaints.append(f"{port['name']} is exact, and {differing} elements are not the oracle's")
        inside = interval.holds(rounded.reshape(interval.lo.shape))
        if not inside.all():
            complaints.append(f"{port['name']}: {np.count_nonzero(~inside)} elements outside their intervals")
        if labels and not np.array_equal(_labels(rounded), _labels(truth)):
            complaints.append(f"{port['name']}: another label")
    return Agreement(tuple(complaints), elements, unlike_oracle, unlike_portable)


def _same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray((a == b) | ((a != a) & (b != b)))


def _labels(array: np.ndarray) -> np.ndarray:
    return np.asarray(array.argmax(axis=-1)) if array.ndim and array.shape[-1] > 1 else array
