"""Test a pass as text: IR in, pass, IR out, and both graphs run in the reference interpreter on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import ndiff
from textwrap import dedent

import numpy as np

from bitc.ir import CodeType, DType, Graph, Type, Value, drop_dead, evaluate, parse_graph, print_graph, verify
from bitc.passes.base import Pass

RUNS = 6
EDGES = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 1e-40, -1e-40, 3.5e37, -3.5e37)
"""Float inputs take these besides random numbers; sums of a few stay finite."""

Inputs = Callable[[np.random.Generator, Value], np.ndarray]


def parse(text: str) -> Graph:
    """The graph of an indented text, verified."""
    graph = parse_graph(dedent(text))
    verify(graph)
    return graph


def transforms(before: str, step: Pass, after: str, inputs: Inputs | None = None) -> Graph:
    """Assert that ``step`` makes ``after`` of ``before`` (value names, origins and dead ops aside) and keeps its meaning bit for bit."""
    graph = parse(before)
    result = step.run(graph)
    verify(result)
    got, wanted = plain_text(result), plain_text(drop_dead(parse(after)))
    assert got == wanted, "\n".join(["the pass made another graph:", *ndiff(wanted.splitlines(), got.splitlines())])
    same_meaning(graph, result, inputs)
    return result


def leaves(text: str, step: Pass) -> None:
    """Assert that ``step`` changes nothing in ``text``."""
    transforms(text, step, text)


def plain_text(graph: Graph) -> str:
    """The text of ``graph`` with its values numbered in order of definition, and without origins and locs."""
    copy = parse_graph(*_printed(graph))
    for index, value in enumerate(copy.values()):
        value.name, value.origin = (value.name, value.name) if value in copy.inputs else (f"v{index}", "")
    for op in copy.ops:
        op.loc = ""
    return print_graph(copy)


def _printed(graph: Graph) -> tuple[str, dict[str, np.ndarray]]:
    constants: dict[str, np.ndarray] = {}
    text = print_graph(graph, constants)
    return text, constants


def same_meaning(before: Graph, after: Graph, inputs: Inputs | None = None, seed: int = 0, runs: int = RUNS) -> None:
    """Assert that both graphs give the same bits on ``runs`` inputs; outputs that are codes in ``after`` are decoded."""
    draw = inputs if inputs is not None else any_input
    for run in range(runs):
        generator = np.random.default_rng([seed, run])
        arrays = [draw(generator, value) for value in before.inputs]
        with np.errstate(all="ignore"):
            pairs = zip(evaluate(before, arrays), evaluate(after, arrays), before.outputs, after.outputs, strict=True)
            for a, b, old, new in pairs:
                assert_same_bits(_numbers(a, old.type), _numbers(b, new.type), f"%{old.name} in run {run}")


def _numbers(array: np.ndarray, kind: Type) -> np.ndarray:
    return array * np.float32(kind.scale) if isinstance(kind, CodeType) else array


def assert_same_bits(a: np.ndarray, b: np.ndarray, what: str = "") -> None:
    """Equal dtype, shape and bits; the sign of a zero counts, any NaN equals any NaN."""
    assert (a.dtype, a.shape) == (b.dtype, b.shape), what
    if a.dtype.kind == "f":
        differs = ~((a == b) & (np.signbit(a) == np.signbit(b)) | (np.isnan(a) & np.isnan(b)))
    else:
        differs = a != b
    assert not differs.any(), f"{what}: {a[differs][:5]} became {b[differs][:5]} at {np.argwhere(differs)[:5].tolist()}"


def any_input(generator: np.random.Generator, value: Value) -> np.ndarray:
    """Random numbers of the value's dtype, a quarter of the floats from ``EDGES``; codes get random levels."""
    if isinstance(value.type, CodeType):
        return np.asarray(generator.choice(value.type.levels.values(), value.shape), np.int32)
    dtype = value.type.dtype
    if dtype is DType.BOOL:
        return generator.random(value.shape) < 0.5
    if not dtype.is_float:
        bounds = np.iinfo(dtype.numpy)
        return generator.integers(max(bounds.min, -1000), min(bounds.max, 1000), value.shape).astype(dtype.numpy)
    numbers = generator.normal(0, 2, value.shape)
    with np.errstate(over="ignore"):
        return np.where(generator.random(value.shape) < 0.25, generator.choice(EDGES, value.shape), numbers).astype(
            dtype.numpy
        )


def small_integers(generator: np.random.Generator, value: Value) -> np.ndarray:
    """Whole numbers from -8 to 8 in the value's dtype: sums of them are exact in any order."""
    assert not isinstance(value.type, CodeType)
    return generator.integers(-8, 9, value.shape).astype(value.type.dtype.numpy)


def one_of(values: Sequence[float]) -> Inputs:
    """Inputs whose elements are random members of ``values``."""
    return lambda generator, value: generator.choice(np.asarray(values, np.float32), value.shape)


def op_names(graph: Graph) -> list[str]:
    """The names of all ops but constants, in order."""
    return [op.name for op in graph.ops if op.name != "nn.constant"]
