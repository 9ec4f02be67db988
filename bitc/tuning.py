"""Which form of each layer is the fastest on this machine, found by building and timing each: ``bitc compile --tune``.

A product of codes with more than one form becomes a small network of its own, its activations made from floats and its sums scaled to
floats, as in a network; once for each form. What is worse than the best by the tables of costs several times over is not tried. Times go
to a file as soon as they are known, by CPU, compiler, version of bitc and kernels, so that nothing is measured twice; the passes choose by
what is in the file, and the same file gives the same choices anywhere.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import takewhile
from math import isfinite
from pathlib import Path

import numpy as np

from bitc.artifact import write_artifact
from bitc.caches import cache_path, hash_of
from bitc.codegen import generate
from bitc.codegen.targets import Target
from bitc.cpu import cpu_name
from bitc.errors import Diagnostic, OptionError
from bitc.ir import Builder, CodeType, DType, Graph, Levels, Op, TensorType, Value
from bitc.measurable import refuse_unmeasurable
from bitc.passes.base import Pass
from bitc.passes.measured import Measured, layer_key
from bitc.passes.padding import code_constant
from bitc.passes.pipeline import run_passes
from bitc.passes.split_planes import Form, SplitPlanes, forms_of
from bitc.session import Session, load
from bitc.toolchain import find_compiler
from bitc.version import __version__

HOPELESS = 4.0
"""How many times the least cost a form may have by the tables and still be tried."""
ROUNDS = 15
TURN_SECONDS = 0.003

Progress = Callable[[str, int, int], None]


def machine_of(target: Target) -> dict[str, str]:
    """What times depend on besides the layer. Raises :class:`bitc.errors.ToolchainError` without a C compiler."""
    return {"cpu": cpu_name(), "compiler": find_compiler().version, "bitc": __version__, "isa": target.isa}


def tuning_file(target: Target) -> Path:
    """Where this machine's times for ``target`` are kept unless told."""
    machine = machine_of(target)
    return cache_path("tuning") / f"{target.isa}-{hash_of(machine)[:12]}.json"


def tune(graph: Graph, passes: Sequence[Pass], target: Target, path: Path, progress: Progress | None = None) -> int:
    """Measure into ``path`` what it does not hold yet of the layers of ``graph``, an imported one: how many layers those were. There is
    a file then, also where there was nothing to measure.

    ``passes``: all that compile it. Raises a :class:`bitc.errors.BitcError` where nothing can be timed here, and where ``path`` cannot be
    written or is of another version or ISA.
    """
    refuse_unmeasurable(target)
    known = Measured.parse(str(path)) if path.is_file() else Measured(str(path), target.isa)
    choosing = next((step for step in passes if isinstance(step, SplitPlanes)), None)
    if choosing is None:
        return 0
    before = run_passes(graph, list(takewhile(lambda step: step is not choosing, passes)))
    layers: dict[str, Op] = {}
    for op in before.ops:
        if op.name in ("q.conv", "q.matmul") and not known.of(op, target.isa) and len(_worth_trying(op, target)) > 1:
            layers.setdefault(layer_key(op), op)
    for index, (key, op) in enumerate(layers.items()):
        if progress is not None:
            progress(f"measuring {op.loc or key}", index, len(layers))
        found = measure(op, _worth_trying(op, target), passes[passes.index(choosing) :], target)
        known = replace(known, layers={**known.layers, key: found})
        _keep(known, path, target)
    if not path.is_file():
        _keep(known, path, target)
    return len(layers)


def _keep(known: Measured, path: Path, target: Target) -> None:
    try:
        known.write(machine_of(target))
    except OSError as error:
        raise OptionError(Diagnostic("O043", f"{path} cannot be written", here=error.strerror or "")) from error


def _worth_trying(op: Op, target: Target) -> list[Form]:
    """The forms of a product that may be its fastest."""
    forms = forms_of(op, target.isa)
    least = min(form.ns for form in forms)
    return [form for form in forms if not isfinite(form.ns) or form.ns <= HOPELESS * least]


def measure(op: Op, forms: Sequence[Form], passes: Sequence[Pass], target: Target) -> dict[str, float]:
    """Nanoseconds of a product of codes in each form, by its text; ``passes``: from the one that chooses on."""
    choosing, *rest = passes
    assert isinstance(choosing, SplitPlanes)
    graph = alone(op)
    feed = {"x": np.random.default_rng(1).normal(0, 3, graph.inputs[0].shape).astype(np.float32)}
    with ExitStack() as stack:
        sessions: dict[str, Session] = {}
        for form in forms:
            made = run_passes(graph, (replace(choosing, form=form.text), *rest))
            out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bitc-tune-"))) / "layer"
            generated = generate(made, name="layer", target=target, options={})
            write_artifact(out, "layer", dict(generated.files), emit=("c", "so"), target_cflags=target.cflags)
            sessions[form.text] = load(out)
        return fastest(sessions, feed)


def fastest(sessions: Mapping[str, Session], feed: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Nanoseconds of a call of each, turn by turn: the least of the turns, as other work on the machine only adds."""
    calls = {}
    for text, session in sessions.items():
        session.run(None, feed)
        begin = time.perf_counter()
        session.run(None, feed)
        calls[text] = max(1, round(TURN_SECONDS / max(time.perf_counter() - begin, 1e-7)))
    least = dict.fromkeys(sessions, float("inf"))
    for _ in range(ROUNDS):
        for text, session in sessions.items():
            begin = time.perf_counter()
            for _ in range(calls[text]):
                session.run(None, feed)
            least[text] = min(least[text], (time.perf_counter() - begin) / calls[text] * 1e9)
    return {text: round(ns, 1) for text, ns in least.items()}


def alone(op: Op) -> Graph:
    """A product of codes as a network: the activations' levels from floats, the product, a scale for each channel."""
    (x, weights), b = (operand.type for operand in op.operands), Builder()
    assert isinstance(x, CodeType)
    assert isinstance(weights, CodeType)
    numbers = b.input("x", TensorType(x.shape))
    codes = b.add("q.encode", _to_levels(numbers, x.levels, b), levels=x.levels)
    constant = b.constant(code_constant(op.operands[1]).astype(np.float32))
    w = b.add("q.encode", constant, levels=weights.levels)
    sums = b.add("nn.cast", b.add(op.name, codes, w, **op.attrs), to=DType.F32)
    rank = len(sums.shape)
    channels = (1, -1, *(1,) * (rank - 2)) if op.name == "q.conv" else (-1,)
    count = weights.shape[0 if op.name == "q.conv" else 1]
    scale = b.constant(np.linspace(0.5, 1.5, count, dtype=np.float32).reshape(channels))
    return Graph("layer", [numbers], b.ops, [b.add("nn.mul", sums, scale)])


def _to_levels(x: Value, levels: Levels, b: Builder) -> Value:
    """The nearest level of each number."""

    def number(value: float) -> Value:
        return b.constant(np.asarray(value, np.float32))

    index = b.add("nn.round", b.add("nn.div", b.add("nn.sub", x, number(levels.lo)), number(levels.step)))
    index = b.add("nn.min", b.add("nn.max", index, number(0)), number(levels.count - 1))
    return b.add("nn.add", b.add("nn.mul", index, number(levels.step)), number(levels.lo))
