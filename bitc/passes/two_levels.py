"""Codes of two levels stored as integers: one comparison, whatever the file's own way to a sign."""

from __future__ import annotations

import numpy as np

from bitc.ir import Builder, CodeType, DType, TensorType, Value
from bitc.passes.thresholds import codes_of
from bitc.passes.value_sets import ValueSets


def compared_levels(codes: Value, dtype: DType, lowest: int, b: Builder, sets: ValueSets) -> Value | None:
    """``level - lowest`` of ``codes`` (made by ``q.encode``) as ``dtype``: ``lo - lowest + step · (x >= t)``; None for more levels.

    x and t are what :mod:`bitc.passes.thresholds` finds, where channels fall ``-x >= -t``.
    """
    encode, type = codes.producer, codes.type
    assert encode is not None
    assert isinstance(type, CodeType)
    if type.levels.count > 2:
        return None
    made = codes_of(encode.operands[0], type.levels, type.scale, b, sets, encode.loc)
    return _compared(made, dtype, lowest, b)


def _compared(codes: Value, dtype: DType, lowest: int, b: Builder) -> Value | None:
    op, type = codes.producer, codes.type
    if op is None or not isinstance(type, CodeType):
        return None
    if op.name == "q.max_pool":
        inner, minimum = _compared(op.operands[0], dtype, lowest, b), op.operands[1].constant
        falls = minimum is None or minimum.any()
        return None if inner is None or falls else b.add("nn.max_pool", inner, loc=op.loc, **op.attrs)
    if op.name != "q.threshold":
        return None
    x, thresholds, descending = op.operands
    t, down = thresholds.constant, descending.constant
    assert t is not None
    assert down is not None
    assert isinstance(x.type, TensorType)
    rank = max(len(x.shape), 2)
    if down.any():
        turned = np.where(down, -1, 1).astype(x.type.dtype.numpy)
        x = b.add("nn.mul", x, b.constant(_by_channel(turned, rank)), loc=op.loc)
        t = t * turned[:, np.newaxis]
    passed = b.add("nn.greater_equal", x, b.constant(_by_channel(t[:, 0], rank)), loc=op.loc)
    level = b.add("nn.cast", passed, to=dtype, loc=op.loc)
    for name, number, neutral in (("nn.mul", type.levels.step, 1), ("nn.add", type.levels.lo - lowest, 0)):
        if number != neutral:
            level = b.add(name, level, b.constant(np.asarray(number, dtype.numpy)), loc=op.loc)
    return level


def _by_channel(row: np.ndarray, rank: int) -> np.ndarray:
    return row.reshape((1, -1) + (1,) * (rank - 2)) if row.size > 1 else row.reshape(())
