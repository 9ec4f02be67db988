"""Elementwise chains for tests of ``thresholds``, and the graph around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from passes.harness import one_of

from bitc.ir import BIPOLAR, Builder, DType, Graph, Levels, TensorType, Value
from bitc.ir.types import CodeType
from bitc.passes.coding import Coding, coding_of
from bitc.passes.facts import Finite
from bitc.passes.thresholds import Thresholds
from bitc.passes.value_sets import ValueSets

F32 = np.float32
POOL = {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0), "dilations": (1, 1)}
ONES = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}
CODES = one_of([-1, 1])


def per_channel(b: Builder, *numbers: float) -> Value:
    return b.constant(np.asarray(numbers, F32).reshape(1, -1, 1, 1))


def scalar(b: Builder, number: float) -> Value:
    return b.constant(np.asarray(number, F32))


def encoded(b: Builder, x: Value) -> Value:
    """``q.encode`` of ``x`` by its proven values, as ``recognise-codes`` does it; decoded again, so that float graphs compare."""
    values = ValueSets().values(x)
    assert values is not None
    levels, scale = (BIPOLAR, 1.0) if set(values) <= {-1, 1} else _levels_of(values)
    return b.add("q.decode", b.add("q.encode", x, levels=levels, scale=scale))


def _levels_of(values: Sequence[float]) -> tuple[Levels, float]:
    found = coding_of(Finite(tuple(values)))
    assert isinstance(found, Coding), found
    return found.levels, found.scale


def run_thresholds(b: Builder, inputs: list[Value], result: Value) -> tuple[Graph, Graph]:
    before = Graph("g", inputs, b.ops, [result])
    return before, Thresholds().run(before)


def batch_norm(b: Builder, x: Value, gamma: list[float], beta: list[float], mean: list[float]) -> Value:
    centred = b.add("nn.sub", x, per_channel(b, *mean))
    return b.add("nn.add", b.add("nn.mul", centred, per_channel(b, *gamma)), per_channel(b, *beta))


def where_sign(b: Builder, x: Value) -> Value:
    return b.add("nn.where", b.add("nn.greater_equal", x, scalar(b, 0)), scalar(b, 1), scalar(b, -1))


def image(b: Builder, channels: int = 2, size: int = 4) -> tuple[Value, Value]:
    """An input of ±1 and an accumulator image over it, as a float."""
    x = b.input("x", TensorType((1, 3, size, size)))
    codes = b.add("q.encode", b.add("nn.assume", x, values=(-1.0, 1.0)), levels=BIPOLAR)
    signs = np.random.default_rng(3).choice([-1, 1], (channels, 3, 1, 1)).astype(F32)
    acc = b.add("q.conv", codes, b.add("q.encode", b.constant(signs), levels=BIPOLAR), **ONES)
    return x, b.add("nn.cast", acc, to=DType.F32)


def planes(graph: Graph) -> int:
    (decode,) = [op for op in graph.ops if op.name == "q.decode"]
    code = decode.operands[0].type
    assert isinstance(code, CodeType)
    return code.levels.planes
