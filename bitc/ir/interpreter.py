"""The reference interpreter: runs a graph of any level on NumPy arrays, op by op, by each op's declared meaning.

It is what every pass is tested with (before and after) and what generated C is compared with. It favours plainness over speed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bitc.ir.graph import Graph, Op, Value
from bitc.ir.types import CodeType

Observer = Callable[[Value, np.ndarray], "np.ndarray | None"]
"""Sees each value as it is made; an array it returns takes the value's place from there on."""


def evaluate_op(op: Op, arrays: Sequence[np.ndarray]) -> np.ndarray | tuple[np.ndarray, ...]:
    """The result arrays of one op."""
    return op.decl.apply([operand.type for operand in op.operands], arrays, op.attrs)


def evaluate(
    graph: Graph, inputs: Mapping[str, np.ndarray] | Sequence[np.ndarray], observe: Observer | None = None
) -> list[np.ndarray]:
    """Outputs of ``graph`` for ``inputs`` (by name, or in order).

    Codes are int32 levels in logical shape, buffers arrays of their element type. Raises ``ValueError`` for a wrong shape.
    """
    arrays = [inputs[value.name] for value in graph.inputs] if isinstance(inputs, Mapping) else list(inputs)
    known: dict[Value, np.ndarray] = {}

    def bind(value: Value, array: np.ndarray) -> None:
        if tuple(array.shape) != tuple(value.shape):
            raise ValueError(f"%{value.name} has shape {list(value.shape)}, got an array of shape {list(array.shape)}")
        dtype = np.dtype(np.int32) if isinstance(value.type, CodeType) else value.type.dtype.numpy
        array = np.asarray(array, dtype=dtype)
        seen = observe(value, array) if observe is not None else None
        known[value] = array if seen is None else seen

    for value, array in zip(graph.inputs, arrays, strict=True):
        bind(value, np.asarray(array))
    for op in graph.ops:
        results = evaluate_op(op, [known[operand] for operand in op.operands])
        if not isinstance(results, tuple):
            results = (results,)
        for value, array in zip(op.results, results, strict=True):
            bind(value, np.asarray(array))
    return [known[value] for value in graph.outputs]
