"""Level ``k``: products of two computed stacks of rows of codes."""

from __future__ import annotations

import numpy as np

from bitc.ir.k import as_buffer
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.packing import unpack_codes, words_of
from bitc.ir.types import BufferType, DType, Levels, Type


@op("k.dots")
class DotsKernel(OpDecl):
    """acc[s, i, j] = sum over k of x[s·M + i, k] · y[s·N + j, k], int32, of ``terms`` codes a row in thermometer planes of words"""

    operands = ("x", "y")
    attrs = {"stack": REQUIRED, "terms": REQUIRED, "x_levels": REQUIRED, "y_levels": REQUIRED}

    @staticmethod
    def infer(x: Type, y: Type, *, stack: int, terms: int, x_levels: Levels, y_levels: Levels) -> BufferType:
        rows = []
        for side, levels in ((x, x_levels), (y, y_levels)):
            held = as_buffer(side, DType.U64, 4)
            if held.shape[3] != levels.planes * words_of(terms):
                raise InferenceError(f"{held} does not hold {terms} codes of {levels} in each row")
            rows.append(held.size // held.shape[3])
        if any(count % stack for count in rows):
            raise InferenceError(f"{rows[0]} and {rows[1]} rows are no {stack} matrices")
        return BufferType((stack, rows[0] // stack, rows[1] // stack), DType.I32)

    @staticmethod
    def evaluate(
        x: np.ndarray, y: np.ndarray, *, stack: int, terms: int, x_levels: Levels, y_levels: Levels
    ) -> np.ndarray:
        left, right = (
            unpack_codes(side, levels, terms).reshape(stack, -1, terms).astype(np.float64)
            for side, levels in ((x, x_levels), (y, y_levels))
        )
        return np.asarray(np.rint(left @ right.transpose(0, 2, 1)), dtype=np.int32)
