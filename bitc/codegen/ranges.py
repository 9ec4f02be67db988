"""What the values of a map's body can be by their types and constants alone: the proof that a float converts to int32.

Only ops whose extremes lie at the ends of their operands' ranges are followed; they are evaluated there in their own arithmetic, whose
rounding is monotone. A value with a range is a number: no NaN and no infinity comes out of finite ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from bitc.ir import DType, Graph, Op, TensorType, Value
from bitc.ir.interpreter import evaluate_op

Limits = tuple[float, float]

_FROM_ENDS = frozenset(
    {"nn.cast", "nn.add", "nn.sub", "nn.mul", "nn.div", "nn.fma", "nn.neg", "nn.min", "nn.max", "nn.relu"}
    | {"nn.round", "nn.floor", "nn.ceil", "nn.saturate"}
)
"""Extremes at the ends of the operands, taken one by one."""

_INTEGERS = frozenset({DType.I8, DType.U8, DType.I16, DType.U16, DType.I32})


def ranges(body: Graph) -> dict[Value, Limits]:
    """Least and greatest value of each value of ``body`` where both are known and finite."""
    known: dict[Value, Limits] = {}
    for value in body.inputs:
        if isinstance(value.type, TensorType) and value.type.dtype in _INTEGERS:
            limits = np.iinfo(value.type.dtype.numpy)
            known[value] = (limits.min, limits.max)
    with np.errstate(all="ignore"):
        for op in body.ops:
            found = _range(op, [known.get(operand) for operand in op.operands])
            if found is not None and all(np.isfinite(found)):
                known[op.result] = found
    return known


def fits_int32(limits: Limits | None) -> bool:
    """Whether truncation to int32 is defined for all values."""
    return limits is not None and limits[0] >= -(2.0**31) and limits[1] < 2.0**31


def _range(op: Op, operands: Sequence[Limits | None]) -> Limits | None:
    if op.name == "nn.constant":
        array = op.attrs["value"]
        return (array.min(), array.max()) if array.size and array.dtype.kind in "iuf" else None
    if op.name == "nn.where":
        operands = operands[1:]
    ends = [limits for limits in operands if limits is not None]
    if len(ends) < len(operands):
        return None
    if op.name == "nn.where":
        return min(low for low, _ in ends), max(high for _, high in ends)
    if op.name == "nn.div" and ends[1][0] <= 0 <= ends[1][1]:
        return None
    if op.name not in _FROM_ENDS or not (
        op.name == "nn.saturate" or _dtype(op.result).is_float
    ):  # integers may wrap around
        return None
    corners = [_at(op, corner) for corner in product(*ends)]
    return min(corners), max(corners)


def _at(op: Op, corner: Sequence[float]) -> float:
    """The op's value for these operands."""
    arrays = [np.full([1] * len(o.shape), v, _dtype(o).numpy) for o, v in zip(op.operands, corner, strict=True)]
    return float(np.asarray(evaluate_op(op, arrays)).reshape(-1)[0])


def _dtype(value: Value) -> DType:
    assert isinstance(value.type, TensorType)
    return value.type.dtype
