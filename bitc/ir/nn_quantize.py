"""Level ``nn``: what quantizers do to a number once it is divided by its scale."""

from __future__ import annotations

import numpy as np

from bitc.ir.nn_elementwise import Constants, as_tensor
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.types import DType, TensorType, Type


@op("nn.saturate", elementwise=True)
class Saturate(OpDecl):
    """y = x as an integer of dtype ``to``, ``lo`` where not x >= lo (so NaN gives lo), ``hi`` where x > hi; x holds whole numbers"""

    operands = ("x",)
    attrs = {"to": REQUIRED, "lo": REQUIRED, "hi": REQUIRED}

    @staticmethod
    def infer(x: Type, *, to: DType, lo: int, hi: int) -> TensorType:
        if to.is_float or to is DType.BOOL:
            raise InferenceError(f"saturates to integers, not {to}")
        limits = np.iinfo(to.numpy)
        if not limits.min <= lo <= hi <= limits.max:
            raise InferenceError(f"{lo} to {hi} is no range of {to}")
        return TensorType(as_tensor(x).shape, to)

    @staticmethod
    def evaluate(x: np.ndarray, *, to: DType, lo: int, hi: int) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            inside = (x >= lo) & (x <= hi)
            return np.where(inside, x, np.where(x > hi, hi, lo)).astype(to.numpy)

    @staticmethod
    def monotone(index: int, constants: Constants, *, to: DType, lo: int, hi: int) -> np.ndarray | None:
        return np.asarray(1)
