"""Level ``nn``: what quantizers do to a number once it is divided by its scale."""

from __future__ import annotations

import numpy as np

from bitc.ir.nn_elementwise import Constants, as_tensor
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.types import DType, TensorType, Type

FLOAT32_BITS = 23
"""Mantissa bits of float32."""


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
        source = as_tensor(x).dtype
        if source is DType.BOOL or not (_holds_ends(source, lo, hi) if source.is_float else _meets(source, lo, hi)):
            raise InferenceError(f"{source} cannot be compared with {lo} to {hi}")
        return TensorType(x.shape, to)

    @staticmethod
    def evaluate(x: np.ndarray, *, to: DType, lo: int, hi: int) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            inside = (x >= lo) & (x <= hi)
            return np.where(inside, x, np.where(x > hi, hi, lo)).astype(to.numpy)

    @staticmethod
    def monotone(index: int, constants: Constants, *, to: DType, lo: int, hi: int) -> np.ndarray | None:
        return np.asarray(1)


def _holds_ends(dtype: DType, lo: int, hi: int) -> bool:
    with np.errstate(over="ignore"):
        return all(float(dtype.numpy.type(end)) == end for end in (lo, hi))


def _meets(dtype: DType, lo: int, hi: int) -> bool:
    limits = np.iinfo(dtype.numpy)
    return bool(lo <= limits.max and hi >= limits.min)


@op("nn.minifloat", elementwise=True)
class Minifloat(OpDecl):
    """y = x rounded, ties to even, to a float format of few bits; NaN stays NaN, what then exceeds ``max`` is ``overflow`` signed as x

    The format has ``mantissa_bits`` beside the leading 1, the smallest normal number 2^(1 - bias), below it subnormal ones, and the
    largest number ``max``. ``overflow`` is max where the format saturates, else infinity or NaN; infinite x overflow too.
    """

    operands = ("x",)
    attrs = {"mantissa_bits": REQUIRED, "bias": REQUIRED, "max": REQUIRED, "overflow": REQUIRED}

    @staticmethod
    def infer(x: Type, *, mantissa_bits: int, bias: int, max: float, overflow: float) -> TensorType:
        if as_tensor(x).dtype is not DType.F32:
            raise InferenceError(f"needs float32, got {x}")
        least, room = 1 - bias, FLOAT32_BITS - mantissa_bits
        if not 0 <= mantissa_bits <= 20 or least - mantissa_bits < -126 or not 2.0**least <= max < 2.0 ** (126 - room):
            raise InferenceError(f"no format within float32: {mantissa_bits} mantissa bits, bias {bias}, max {max}")
        return as_tensor(x)

    @staticmethod
    def evaluate(x: np.ndarray, *, mantissa_bits: int, bias: int, max: float, overflow: float) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            size = np.abs(x).astype(np.float64)
            exponent = np.maximum(np.frexp(size)[1] - 1, 1 - bias)
            step = np.ldexp(1.0, exponent - mantissa_bits)
            on_grid = np.rint(size / step) * step
            bounded = np.where(on_grid > max, overflow, on_grid)
            return np.asarray(np.copysign(bounded, x), dtype=x.dtype)

    @staticmethod
    def monotone(
        index: int, constants: Constants, *, mantissa_bits: int, bias: int, max: float, overflow: float
    ) -> np.ndarray | None:
        return None if np.isnan(overflow) else np.asarray(1)


@op("nn.bfloat16", elementwise=True)
class Bfloat16(OpDecl):
    """y = x rounded, ties to even, to the upper 16 bits of a float32 (7 mantissa bits beside the leading 1); NaN stays NaN, what is
    beyond the largest number becomes infinite"""

    operands = ("x",)

    @staticmethod
    def infer(x: Type) -> TensorType:
        if as_tensor(x).dtype is not DType.F32:
            raise InferenceError(f"needs float32, got {x}")
        return as_tensor(x)

    @staticmethod
    def evaluate(x: np.ndarray) -> np.ndarray:
        bits = np.ascontiguousarray(x).view(np.uint32)
        with np.errstate(over="ignore"):
            rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) & np.uint32(0xFFFF0000)
        return np.where(np.isnan(x), x, rounded.view(np.float32))

    @staticmethod
    def monotone(index: int, constants: Constants) -> np.ndarray:
        return np.asarray(1)
