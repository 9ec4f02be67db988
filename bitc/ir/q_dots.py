"""Level ``q``: products of two computed tensors of codes."""

from __future__ import annotations

import numpy as np

from bitc.ir.nn_linear import MatMul
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.q import as_codes
from bitc.ir.types import DType, TensorType, Type


@op("q.dots")
class Dots(OpDecl):
    """acc[s, i, j] = sum over k of x[s·M + i, k] * y[s·N + j, k] over levels, s < ``stack``; exact in int32; ``exact`` as of ``q.conv``"""

    operands = ("x", "y")
    attrs = {"stack": REQUIRED, "exact": True}

    @staticmethod
    def infer(x: Type, y: Type, *, stack: int, exact: bool) -> TensorType:
        a, b = as_codes(x), as_codes(y)
        if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[1]:
            raise InferenceError(f"the rows of {a} and {b} do not multiply")
        if stack < 1 or a.shape[0] % stack or b.shape[0] % stack:
            raise InferenceError(f"the rows of {a} and {b} are no {stack} matrices")
        return TensorType((stack, a.shape[0] // stack, b.shape[0] // stack), DType.I32)

    @staticmethod
    def evaluate(x: np.ndarray, y: np.ndarray, *, stack: int, exact: bool) -> np.ndarray:
        left, right = (side.astype(np.float64).reshape(stack, -1, side.shape[1]) for side in (x, y))
        return np.asarray(np.rint(left @ right.transpose(0, 2, 1)), dtype=np.int32)


@op("q.gemm")
class CodeGemm(OpDecl):
    """acc = x @ y over levels, shapes as of ``nn.matmul``; exact in int32; ``exact`` as of ``q.conv``"""

    operands = ("x", "y")
    attrs = {"exact": True}

    @staticmethod
    def infer(x: Type, y: Type, *, exact: bool) -> TensorType:
        left, right = (TensorType(as_codes(side).shape, DType.I32) for side in (x, y))
        return MatMul.infer(left, right)

    @staticmethod
    def evaluate(x: np.ndarray, y: np.ndarray, *, exact: bool) -> np.ndarray:
        return np.asarray(np.rint(x.astype(np.float64) @ y.astype(np.float64)), dtype=np.int32)
