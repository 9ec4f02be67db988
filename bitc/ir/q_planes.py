"""Level ``q``: binary planes. A code of many levels is a weighted sum of codes of two levels, one for each bit of its index, and a
thermometer of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitc.ir.nn_elementwise import as_tensor
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


@op("q.pick")
class Pick(OpDecl):
    """plane p of channel c of y = plane ``plane[c, p]`` of channel ``channel[c, p]`` of x, complemented where ``turned[c, p]``

    Planes are those of thermometer codes: plane i says whether the index of the level is above i. Channels are axis 1.
    """

    operands = ("x", "channel", "plane", "turned")
    attrs = {"levels": REQUIRED, "scale": 1.0}

    @staticmethod
    def infer(x: Type, channel: Type, plane: Type, turned: Type, *, levels: Levels, scale: float) -> CodeType:
        tables = [as_tensor(table) for table in (channel, plane, turned)]
        if not isinstance(x, CodeType) or len(x.shape) < 2:
            raise InferenceError(f"planes are picked of codes with channels, not of {x}")
        shape = tables[0].shape
        if len(shape) != 2 or shape[1] != levels.planes or any(table.shape != shape for table in tables):
            raise InferenceError(f"tables {tables} do not say where planes of {levels} are")
        return CodeType((x.shape[0], shape[0], *x.shape[2:]), levels, scale)

    @staticmethod
    def evaluate_typed(
        types: Sequence[Type],
        x: np.ndarray,
        channel: np.ndarray,
        plane: np.ndarray,
        turned: np.ndarray,
        *,
        levels: Levels,
        scale: float,
    ) -> np.ndarray:
        """The meaning, which reads the levels in the operand's type."""
        source = types[0]
        assert isinstance(source, CodeType)
        index = (x - source.levels.lo) // source.levels.step
        rest = (1,) * (x.ndim - 2)
        above = [
            (index[:, channel[:, p]] > plane[:, p].reshape(-1, *rest)) ^ turned[:, p].reshape(-1, *rest)
            for p in range(levels.planes)
        ]
        return np.asarray(levels.lo + levels.step * np.sum(above, axis=0), dtype=np.int32)
