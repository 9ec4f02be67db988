"""``check``: does what bitc computes agree with the oracle, and if not, where do the two first part?

One criterion: every value must lie in the interval that interval evaluation of the imported graph gives for this input
(:mod:`bitc.ir.intervals`). Where nothing rounds the interval is a point and the comparison is bit for bit. Checked are the oracle's own
intermediate tensors (so a wrong import shows at its first layer), each stage's outputs and named tensors, and the compiled library.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bitc.compiler import Options, compile, lower_stages
from bitc.errors import Diagnostic, OptionError
from bitc.ir import BufferType, CodeType, Graph, Value, evaluate, print_graph
from bitc.ir.interval import Interval
from bitc.ir.intervals import evaluate_intervals
from bitc.oracle import Oracle, load_model, model_inputs, oracle_for, random_cases
from bitc.session import Session
from bitc.states import states_of

Progress = Callable[[str, int, int], None]
_CODE_TOLERANCE = 1e-6
"""A code stands for scale·level; where the file's own value is that only up to rounding (1/3 · 2), both mean the same code."""


@dataclass(slots=True)
class Comparison:
    """One tensor, or all outputs of one stage, over all samples: how many elements, how many not bit-equal to the oracle's, and how
    many outside their interval (an error)."""

    name: str
    elements: int = 0
    differing: int = 0
    outside: int = 0
    exact: bool = True
    first: str = ""


@dataclass(slots=True)
class CheckReport:
    """What :func:`check` found. ``passed`` is False when anything lies outside its interval."""

    model: str
    target: str
    oracle: str
    samples: int
    layers: list[Comparison] = field(default_factory=list)
    stages: list[Comparison] = field(default_factory=list)
    outputs: list[Comparison] = field(default_factory=list)
    labels_equal: int = 0
    library: str = ""
    findings: list[Diagnostic] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every value lies in its interval."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "passed": self.passed}


def check(
    model: str | Path,
    *,
    target: str = "native",
    n: int = 16,
    stages: bool = False,
    inputs: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
    options: Options | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Compare ``model`` compiled for ``target`` with its oracle on ``n`` samples (``inputs``, or random ones from ``seed``).

    With ``stages`` every pass' result is run in the reference interpreter too. Raises the compiler's own errors.
    """
    options = options if options is not None else Options()
    snapshots = lower_stages(model, target=target, options=options)
    imported = snapshots[0][1]
    oracle = oracle_for(model)
    given = inputs if inputs is not None else random_inputs(model, n, seed, options)
    samples = list(_samples(imported, given))[: n if inputs is None else None]
    report = CheckReport(str(model), target, oracle.name, len(samples))
    shown = snapshots if stages else snapshots[-1:]
    comparisons = _Comparisons(report, imported, [(name, graph) for name, graph in shown])
    with tempfile.TemporaryDirectory(prefix="bitc-check-") as folder:
        session = _library(model, target, options, Path(folder), report)
        for index, sample in enumerate(samples):
            if progress is not None:
                progress("check", index, len(samples))
            comparisons.sample(sample, oracle, session)
    comparisons.finish()
    return report


def random_inputs(model: str | Path, n: int, seed: int, options: Options) -> dict[str, np.ndarray]:
    """``n`` random samples for each input, one after another along the first axis."""
    inputs = model_inputs(load_model(Path(model)), states_of(model, options.states))
    cases = random_cases(inputs, n, seed, options.dims, options.values)
    return {name: np.concatenate([case[name] for case in cases]) for name in cases[0]}


def _samples(graph: Graph, inputs: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """One graph input's worth after another."""
    missing = [value.name for value in graph.inputs if value.name not in inputs]
    if missing:
        raise OptionError(
            Diagnostic("O031", f"no array is given for input {missing[0]!r}", here=f"given: {sorted(inputs)}")
        )
    counts = set()
    for value in graph.inputs:
        array = np.asarray(inputs[value.name])
        if array.shape[1:] != value.shape[1:] or len(array) % value.shape[0] or not len(array):
            wanted = ["samples", *value.shape[1:]]
            raise OptionError(
                Diagnostic("O032", f"input {value.name!r} has shape {list(array.shape)}", rule=f"wanted: {wanted}")
            )
        counts.add(len(array) // value.shape[0])
    if len(counts) != 1:
        raise OptionError(Diagnostic("O033", f"the inputs hold different numbers of samples: {sorted(counts)}"))
    for index in range(counts.pop()):
        yield {value.name: _slice(value, np.asarray(inputs[value.name]), index) for value in graph.inputs}


def _slice(value: Value, array: np.ndarray, index: int) -> np.ndarray:
    """The rows of ``array`` that are sample ``index``, as the graph takes them."""
    assert not isinstance(value.type, CodeType), "graph inputs are numbers"
    rows = value.shape[0]
    return np.ascontiguousarray(array[index * rows : (index + 1) * rows], dtype=value.type.dtype.numpy)


def _library(model: str | Path, target: str, options: Options, folder: Path, report: CheckReport) -> Session | None:
    from bitc.codegen.targets import family, supported_here
    from bitc.codegen.targets import target as target_named

    chosen, several = target_named(target), family(target)
    if several is not None and several is not family("auto"):
        report.library = f"not run: {several.name} is for other machines than this"
        return None
    if not supported_here(chosen):
        report.library = f"not run: this CPU lacks what target {chosen.name} needs"
        return None
    artifact = compile(model, target=target, out=folder / "model", **options.as_arguments())
    report.library = "run"
    return Session(artifact.directory)


class _Comparisons:
    """Accumulates over samples."""

    def __init__(self, report: CheckReport, imported: Graph, stages: Sequence[tuple[str, Graph]]) -> None:
        self._report = report
        self._imported = imported
        self._stages: list[tuple[str, Comparison]] = []
        self._graphs: dict[str, tuple[Graph, Comparison]] = {}  # by text: most passes leave a graph as it is
        for name, graph in stages:
            _, comparison = self._graphs.setdefault(print_graph(graph, {}), (graph, Comparison(name)))
            self._stages.append((name, comparison))
        self._named = {value.origin: value for value in imported.values() if value.origin and value.constant is None}
        self._layers = {name: Comparison(name) for name in self._named}
        self._outputs = [Comparison(value.name) for value in imported.outputs]

    def sample(self, inputs: Mapping[str, np.ndarray], oracle: Oracle, session: Session | None) -> None:
        """Compare everything for one sample."""
        arrays = [inputs[value.name] for value in self._imported.inputs]
        intervals = evaluate_intervals(self._imported, arrays)
        truth = oracle.tensors(inputs)
        finals = [truth.get(name) for name in oracle.output_names]
        wanted = [intervals[value] for value in self._imported.outputs]
        for name, value in self._named.items():
            if name in truth and truth[name].shape == value.shape:
                _compare(self._layers[name], intervals[value], truth[name], truth[name])
        for graph, comparison in self._graphs.values():
            self._stage(graph, comparison, inputs, intervals, truth, wanted, finals)
        if session is None:
            return
        results = session.run(None, dict(inputs))
        for comparison, interval, result, final in zip(self._outputs, wanted, results, finals, strict=True):
            _compare(comparison, interval, np.asarray(result).reshape(interval.lo.shape), final)
        if finals and finals[0] is not None:
            same = _labels(np.asarray(results[0]).reshape(wanted[0].lo.shape)) == _labels(finals[0])
            self._report.labels_equal += bool(np.all(same))

    def _stage(
        self,
        graph: Graph,
        comparison: Comparison,
        inputs: Mapping[str, np.ndarray],
        intervals: Mapping[Value, Interval],
        truth: Mapping[str, np.ndarray],
        wanted: Sequence[Interval],
        finals: Sequence[np.ndarray | None],
    ) -> None:
        def observe(value: Value, array: np.ndarray) -> None:
            known = self._named.get(value.origin)
            if known is None or isinstance(value.type, BufferType) or array.shape != known.shape:
                return
            scale = value.type.scale if isinstance(value.type, CodeType) else None
            real = array if scale is None else array * scale
            _compare(comparison, intervals[known], real, truth.get(value.origin), value.origin, loose=scale is not None)

        outputs = evaluate(graph, inputs, observe)
        for value, interval, array, final in zip(graph.outputs, wanted, outputs, finals, strict=True):
            _compare(comparison, interval, array.reshape(interval.lo.shape), final, f"output {value.name}")

    def finish(self) -> None:
        """Fill the report and turn what lies outside into findings."""
        report = self._report
        report.layers = [c for c in self._layers.values() if c.elements]
        report.stages = [replace(comparison, name=name) for name, comparison in self._stages]
        report.outputs = self._outputs if report.library == "run" else []
        groups = (
            ("the oracle's tensor", report.layers),
            ("stage", report.stages),
            ("the library's output", report.outputs),
        )
        for what, comparisons in groups:
            bad = next((c for c in comparisons if c.outside), None)
            if bad is not None:
                title = (
                    f"{what} {bad.name!r} is outside what the model can give: {bad.outside} of {bad.elements} elements"
                )
                report.findings.append(
                    Diagnostic("C001", title, here=bad.first, hint="this is a bug in bitc; please report it")
                )


def _labels(array: np.ndarray) -> np.ndarray:
    """The class of each row, where the last axis holds scores."""
    return np.asarray(array.argmax(axis=-1)) if array.ndim and array.shape[-1] > 1 else array


def _compare(
    comparison: Comparison,
    interval: Interval,
    array: np.ndarray,
    truth: np.ndarray | None,
    where: str = "",
    loose: bool = False,
) -> None:
    comparison.elements += array.size
    comparison.exact &= interval.is_point
    if truth is not None and truth.shape == array.shape:
        same = (array == truth) | (np.isnan(array) & np.isnan(truth)) if array.dtype.kind == "f" else array == truth
        comparison.differing += int(array.size - np.count_nonzero(same))
    inside = interval.holds(array)
    if loose:
        slack = _CODE_TOLERANCE * np.abs(array)
        inside = (array >= interval.lo - slack) & (array <= interval.hi + slack)
    if not inside.all():
        at = tuple(int(i) for i in np.argwhere(~inside)[0]) if array.ndim else ()
        comparison.outside += int(array.size - np.count_nonzero(inside))
        if not comparison.first:
            span = f"[{interval.lo[at]!r}, {interval.hi[at]!r}]"
            comparison.first = f"{where or comparison.name}{list(at)} = {array[at]!r}, outside {span}"
