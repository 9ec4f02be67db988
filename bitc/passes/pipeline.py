"""Pipelines: lists of passes that print as text, parse from text, and run with the IR verified between any two.

A failure inside a pass names the pass and leaves a reproducer: the IR before it and the rest of the pipeline, as text.
"""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from bitc.arrays import arrays_as_bytes
from bitc.errors import BitcError, Diagnostic, OptionError
from bitc.folders import whole_folder
from bitc.ir import Graph
from bitc.ir.printer import print_graph
from bitc.ir.verifier import verify
from bitc.passes.base import Pass

_REPRODUCER = ("before.ir", "before.ir.npz", "pipeline.txt", "traceback.txt")
_ITEM = re.compile(r"\s*([a-z0-9-]+)\s*(?:\{([^{}]*)\})?\s*(,|$)")


class PassFailure(BitcError):
    """A pass broke: a bug of bitc. Its diagnostic names the pass and the folder of the reproducer."""


def pipeline_text(passes: Iterable[Pass]) -> str:
    """The text form, parsed back by :func:`parse_pipeline`."""
    return ",".join(map(str, passes))


def parse_pipeline(text: str, known: Mapping[str, type[Pass]]) -> tuple[Pass, ...]:
    """Passes from ``"name,name{option=value},..."``. Raises :class:`OptionError` naming the item that is wrong."""
    passes: list[Pass] = []
    position = 0
    while position < len(text):
        match = _ITEM.match(text, position)
        if match is None:
            raise _bad(f"cannot read the pipeline at {text[position:][:40]!r}", "write pass,pass{option=value},...")
        name, options, _ = match.groups()
        if name not in known:
            raise _bad(f"there is no pass {name!r}", "passes: " + ", ".join(sorted(known)))
        passes.append(_with_options(known[name], options or ""))
        position = match.end()
    return tuple(passes)


def _with_options(kind: type[Pass], text: str) -> Pass:
    known = {f.name: f for f in fields(kind)}
    options: dict[str, object] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, _, value = item.partition("=")
        option = key.strip().replace("-", "_")
        if option not in known:
            raise _bad(f"pass {kind.name} has no option {key.strip()!r}", "options: " + (", ".join(known) or "none"))
        options[option] = _convert(kind.name, key, value.strip(), type(known[option].default))
    return kind(**options)


def _convert(name: str, key: str, value: str, wanted: type) -> object:
    try:
        if wanted is bool:
            return {"true": True, "false": False}[value]
        return getattr(wanted, "parse", wanted)(value)
    except (ValueError, KeyError):
        raise _bad(f"option {key} of pass {name} is {value!r}", f"it takes a {wanted.__name__}") from None


def _bad(title: str, hint: str) -> OptionError:
    return OptionError(Diagnostic("O020", title, hint=hint))


@dataclass(slots=True)
class Trace:
    """What to watch while passes run. ``show`` gets (pass name, IR text) for the passes in ``print_after`` (or all: ``"*"``).

    ``prefix`` stands before the names of passes where one compilation runs them several times, as ``avx2-`` in one for several targets.
    """

    print_after: Sequence[str] = ()
    show: Callable[[str, str], None] | None = None
    dump_dir: Path | None = None
    progress: Callable[[str, int, int], None] | None = None
    snapshots: list[tuple[str, Graph]] | None = None
    seconds: list[tuple[str, float]] = field(default_factory=list)
    prefix: str = ""


def run_passes(
    graph: Graph, passes: Sequence[Pass], trace: Trace | None = None, reproducer_dir: Path | None = None
) -> Graph:
    """``graph`` after all ``passes``, verified after each. Raises the pass' own :class:`BitcError`, or :class:`PassFailure`."""
    trace = trace if trace is not None else Trace()
    _record(trace, 0, "import", graph)
    for index, step in enumerate(passes):
        if trace.progress is not None:
            trace.progress(step.name, index, len(passes))
        started = time.perf_counter()
        try:
            after = step.run(graph)
            verify(after, since=graph if index else None)
        except BitcError:
            raise
        except Exception as error:
            raise _failure(graph, passes[index:], error, reproducer_dir) from error
        trace.seconds.append((trace.prefix + step.name, time.perf_counter() - started))
        graph = after
        _record(trace, index + 1, step.name, graph)
    return graph


def _record(trace: Trace, index: int, name: str, graph: Graph) -> None:
    if trace.snapshots is not None:
        trace.snapshots.append((name, graph))
    wanted = name in trace.print_after or "*" in trace.print_after
    if wanted and trace.show is not None:
        trace.show(trace.prefix + name, print_graph(graph))
    if trace.dump_dir is not None:
        write_ir(graph, trace.dump_dir / f"{trace.prefix}{index:02d}-{name}.ir")


def write_ir(graph: Graph, path: Path) -> None:
    """``graph`` as text in ``path``, its large constants beside it in ``path`` + ``.npz``."""
    constants: dict[str, np.ndarray] = {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(print_graph(graph, constants), encoding="utf-8")
    if constants:
        path.with_suffix(".ir.npz").write_bytes(arrays_as_bytes(constants))


def _failure(graph: Graph, rest: Sequence[Pass], error: Exception, folder: Path | None) -> PassFailure:
    here = "".join(traceback.format_exception_only(error)).strip()
    hint = "this is a bug in bitc, not in your model; please report it"
    if folder is not None:
        try:
            _write_reproducer(graph, rest, error, folder)
            hint += f" with the folder {folder} (the IR before the pass, the pipeline, the traceback)"
        except OptionError:  # a full disk must not hide what broke
            hint += f"; {folder} could not be written"
    return PassFailure(Diagnostic("B001", f"pass {rest[0].name} failed", here=here, hint=hint))


def _write_reproducer(graph: Graph, rest: Sequence[Pass], error: Exception, folder: Path) -> None:
    with whole_folder(folder, keep=_not_of_a_reproducer) as made:
        write_ir(graph, made / "before.ir")
        (made / "pipeline.txt").write_text(pipeline_text(rest) + "\n", encoding="utf-8")
        (made / "traceback.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")


def _not_of_a_reproducer(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.name not in _REPRODUCER]
