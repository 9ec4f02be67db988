"""How often the inputs of each product are not zero, measured on samples: what decides whether zeros are skipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bitc.arrays import load_arrays
from bitc.errors import Diagnostic, OptionError
from bitc.ir import Graph, Value, evaluate

MOST_SAMPLES = 16
"""Samples that are looked at; the first ones."""


def with_firing_rates(graph: Graph, samples: Path) -> Graph:
    """``graph``, imported, with ``attrs["firing_rates"]``: (node, rate) for each product of numbers with constant weights.

    ``samples``: an .npz of arrays by input, one sample after another along the first axis. The rates are means over samples and, of
    products of one node, over all of them. Raises :class:`OptionError`.
    """
    arrays = load_arrays(samples)
    count = _count(graph, arrays, samples)
    nodes: dict[Value, str] = {}
    for op in graph.ops:
        if op.name in ("nn.conv", "nn.matmul") and op.operands[1].constant is not None:
            nodes.setdefault(op.operands[0], op.loc)
    seen: dict[Value, list[float]] = {}

    def observe(value: Value, array: np.ndarray) -> None:
        if value in nodes:
            seen.setdefault(value, []).append(float(np.count_nonzero(array) / max(array.size, 1)))

    for index in range(min(count, MOST_SAMPLES)):
        given = {v.name: arrays[v.name][index * v.shape[0] : (index + 1) * v.shape[0]] for v in graph.inputs}
        for value in graph.inputs:
            observe(value, given[value.name])
        evaluate(graph, given, observe)
    found = {
        op.loc: float(np.mean(seen[op.operands[0]]))
        for op in graph.ops
        if op.name in ("nn.conv", "nn.matmul") and op.operands[0] in seen
    }
    graph.attrs["firing_rates"] = tuple(found.items())
    return graph


def _count(graph: Graph, arrays: Mapping[str, np.ndarray], samples: Path) -> int:
    """How many samples there are."""
    counts = set()
    for value in graph.inputs:
        array = arrays.get(value.name)
        fits = array is not None and array.ndim == len(value.shape) > 0 and array.shape[1:] == value.shape[1:]
        if array is None or not fits or len(array) % value.shape[0] or not len(array):
            here = "it is missing" if array is None else f"it has shape {list(array.shape)}"
            rule = f"samples of {value.type} along the first axis"
            raise OptionError(Diagnostic("O056", f"input {value.name!r} in {samples} does not fit", "", rule, here))
        counts.add(len(array) // value.shape[0])
    if len(counts) != 1:
        raise OptionError(Diagnostic("O056", f"the inputs in {samples} hold different numbers of samples"))
    return int(counts.pop())
