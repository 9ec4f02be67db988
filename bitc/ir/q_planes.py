"""Level ``q``: binary planes. A code of many levels is a weighted sum of codes of two levels, one for each bit of its index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.types import CodeType, DType, Levels, TensorType, Type


@op("q.plane")
class Plane(OpDecl):
    """y = the higher of two ``levels`` where bit ``bit`` of x is 1, else the lower; of codes the bit of the level's index is meant

    ``x`` is a u8 tensor or a code; bit 0 is the least significant.
    """

    operands = ("x",)
    attrs = {"bit": REQUIRED, "levels": REQUIRED}

    @staticmethod
    def infer(x: Type, *, bit: int, levels: Levels) -> CodeType:
        held = x.levels.bits if isinstance(x, CodeType) else 8
        if not isinstance(x, CodeType) and not (isinstance(x, TensorType) and x.dtype is DType.U8):
            raise InferenceError(f"planes are taken of codes or u8 tensors, not of {x}")
        if not 0 <= bit < held or levels.count != 2:
            raise InferenceError(f"{x} has planes 0 to {held - 1} of two levels, not a plane {bit} of {levels}")
        return CodeType(x.shape, levels)

    @staticmethod
    def evaluate_typed(types: Sequence[Type], x: np.ndarray, *, bit: int, levels: Levels) -> np.ndarray:
        """The meaning, which reads the levels in the operand's type."""
        source = types[0]
        index = (x - source.levels.lo) // source.levels.step if isinstance(source, CodeType) else x
        return np.asarray(levels.lo + levels.step * (index.astype(np.int32) >> bit & 1), dtype=np.int32)
