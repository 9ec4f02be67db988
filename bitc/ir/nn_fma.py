"""Level ``nn``: the multiplication and addition that round once, as onnxruntime's kernels of quantized sums do."""

from __future__ import annotations

import numpy as np

from bitc.ir.nn_elementwise import Constants, as_tensor, broadcast_shape
from bitc.ir.ops import InferenceError, OpDecl, op
from bitc.ir.types import DType, TensorType, Type


@op("nn.fma", elementwise=True)
class FusedMultiplyAdd(OpDecl):
    """y = a * b + c in float64, rounded to float32: the fused multiply-add of float32 wherever float64 holds the sum"""

    operands = ("a", "b", "c")

    @staticmethod
    def infer(a: Type, b: Type, c: Type) -> TensorType:
        for operand in (a, b, c):
            if as_tensor(operand).dtype is not DType.F32:
                raise InferenceError(f"needs float32 operands, got {operand}")
        return TensorType(broadcast_shape(a, b, c), DType.F32)

    @staticmethod
    def evaluate(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.asarray(np.multiply(a, b, dtype=np.float64) + c).astype(np.float32)

    @staticmethod
    def monotone(index: int, constants: Constants) -> np.ndarray | None:
        if index == 2:
            return np.asarray(1)
        factor = constants[1 - index]
        return None if factor is None else np.sign(factor)
