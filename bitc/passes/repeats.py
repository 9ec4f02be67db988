"""``hoist-repeats``: what is the same for all time steps is computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.passes.base import Pass


@dataclass(frozen=True)
class HoistRepeats(Pass):
    """Direct coding shows a spiking network the same image in each of T time steps. With rep(x) for T copies of x along the leading axis::

        nn.conv(rep(x), w)                         -->  rep(nn.conv(x, w))
        elementwise(rep(x), rep(y), c)             -->  rep(elementwise(x, y, c))      c is a constant, the same for all copies
        nn.slice, nn.gather of one copy of rep(x)  -->  that of x

    rep is a concat of one value with itself, an expand of a leading axis of one, or a reshape of rep that keeps copies apart.
    """

    name: ClassVar[str] = "hoist-repeats"

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, _rule)


Source = Callable[[Builder, str], Value]
"""Makes the value that is repeated."""


def _rule(op: Op, b: Builder) -> Value | None:
    if op.name == "nn.constant" or not op.operands or len(op.results) != 1:
        return None
    if op.name in ("nn.slice", "nn.gather"):
        return _of_one_copy(op, b)
    if op.name != "nn.conv" and not op.decl.elementwise:
        return None
    found = [repeats(x) if x.constant is None else None for x in op.operands]
    times = {copies[0] for copies in found if copies is not None}
    if len(times) != 1 or not all(map(_stays, op.operands, found, [op] * len(found))):
        return None
    operands = [x if copies is None else copies[1](b, op.loc) for x, copies in zip(op.operands, found, strict=True)]
    once = b.add(op.name, *operands, loc=op.loc, **op.attrs)
    return b.add("nn.concat", *[once] * times.pop(), axis=0, loc=op.loc)


def _stays(x: Value, copies: tuple[int, Source] | None, op: Op) -> bool:
    """Whether an operand is repeated, or is a constant that all copies see alike."""
    if op.name == "nn.conv":
        return copies is not None if x is op.operands[0] else x.constant is not None
    rank = len(op.result.shape)
    return (
        len(x.shape) == rank if copies is not None else x.constant is not None and (*[1] * rank, *x.shape)[-rank] == 1
    )


def repeats(x: Value) -> tuple[int, Source] | None:
    """How many copies of what stand one after another along the leading axis of ``x``; None if it is not so made."""
    op = x.producer
    if op is None or not x.shape:
        return None
    if op.name == "nn.concat" and op.attrs["axis"] == 0 and len(op.operands) > 1:
        same = all(operand is op.operands[0] for operand in op.operands)
        return (len(op.operands), lambda b, loc: op.operands[0]) if same else None
    if op.name == "nn.expand":
        (y,) = op.operands
        one = (1, *x.shape[1:])
        if x.shape[0] == 1 or (*[1] * (len(x.shape) - len(y.shape)), *y.shape) != one:
            return None
        return x.shape[0], lambda b, loc: y if y.shape == one else b.add("nn.reshape", y, shape=one, loc=loc)
    inner = repeats(op.operands[0]) if op.name == "nn.reshape" else None
    if inner is None or x.shape[0] % inner[0]:
        return None
    shape = (x.shape[0] // inner[0], *x.shape[1:])
    return inner[0], lambda b, loc: b.add("nn.reshape", inner[1](b, loc), shape=shape, loc=loc)


def _of_one_copy(op: Op, b: Builder) -> Value | None:
    """Rows of one copy, or of any copies by index: they are those of the first."""
    x = op.operands[0]
    found = repeats(x)
    if found is None:
        return None
    rows = x.shape[0] // found[0]
    if op.name == "nn.gather":
        if op.attrs["axis"] != 0:
            return None
        indices = np.asarray(op.attrs["indices"] % rows)  # % makes a scalar of an array without axes
        return b.add(op.name, found[1](b, op.loc), axis=0, indices=indices, loc=op.loc)
    starts, stops, steps = (op.attrs[key] for key in ("starts", "stops", "steps"))
    copy = starts[0] // rows
    if steps[0] != 1 or stops[0] <= starts[0] or stops[0] > (copy + 1) * rows:
        return None
    first, last = (starts[0] - copy * rows, *starts[1:]), (stops[0] - copy * rows, *stops[1:])
    return b.add(op.name, found[1](b, op.loc), starts=first, stops=last, steps=steps, loc=op.loc)
