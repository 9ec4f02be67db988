"""Pairs of an input and the output that carries it to the next call: that they fit, and what the first call finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from bitc.errors import Diagnostic, OptionError, first_error
from bitc.frontend.load import Source
from bitc.frontend.node import dtype_of
from bitc.ir import Graph, Value

StatePair = tuple[str, str, np.ndarray | None]
"""Input, output, and the initial value; None is zeros."""


def checked_states(graph: Graph, source: Source, states: Mapping[str, str], batch: str) -> tuple[StatePair, ...]:
    """The pairs in the order of the inputs, each with the default the file has for its input as initial value.

    Raises :class:`OptionError` where one names no input or output, where types differ, or with a free batch dimension.
    """
    inputs = {value.name: value for value in graph.inputs}
    outputs: dict[str, Value] = dict(zip(source.outputs, graph.outputs, strict=True))
    problems = [*_unknown("input", states.keys(), list(inputs)), *_unknown("output", states.values(), list(outputs))]
    carried = list(states.values())
    problems += [
        Diagnostic("O053", f"output {name!r} carries two states", hint="each state has an output of its own")
        for name in dict.fromkeys(carried)
        if carried.count(name) > 1
    ]
    first_error(problems, OptionError)
    for given, name in states.items():
        before, after = inputs[given], outputs[name]
        if (dtype_of(before), before.shape) != (dtype_of(after), after.shape):
            here = f"{given}: {before.type}, {name}: {after.type}"
            hint = (
                "a state keeps its shape: write into a tensor of the final size, as with ScatterND, in place of Concat"
            )
            problems.append(Diagnostic("O053", f"output {name!r} cannot carry {given!r}", "", "one type", here, hint))
    if batch:
        rule = "a state belongs to one item, so the batch is fixed"
        problems.append(Diagnostic("O053", f"dimension {batch!r} is free", "", rule, hint=f"--dim {batch}=1"))
    if not (len(inputs) > len(states) or len(outputs) > len(states)):
        problems.append(Diagnostic("O053", "all inputs and outputs are states", "", "a step takes or gives something"))
    first_error(problems, OptionError)
    return tuple((name, states[name], _initial(source, inputs[name])) for name in inputs if name in states)


def _unknown(what: str, names: Iterable[str], known: list[str]) -> list[Diagnostic]:
    return [
        Diagnostic("O053", f"--state names {name!r}, which is no {what}", hint=f"the {what}s are: {', '.join(known)}")
        for name in names
        if name not in known
    ]


def _initial(source: Source, value: Value) -> np.ndarray | None:
    """What the file gives an open input where nothing else does; None for zeros."""
    if value.name not in source.defaults:
        return None
    array = source.reader.dense(source.defaults[value.name])
    if (array.dtype, array.shape) != (dtype_of(value).numpy, value.shape):
        here = f"{array.dtype}{list(array.shape)} for {value.type}"
        raise OptionError(Diagnostic("O053", f"the default of {value.name!r} does not fit it", here=here))
    return array if np.frombuffer(array.tobytes(), np.uint8).any() else None
