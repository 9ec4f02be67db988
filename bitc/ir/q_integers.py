"""Level ``q``: products of integer tensors, the form of codes of many levels. Storage is the tensor's own dtype, sums are exact int32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitc.ir import numeric
from bitc.ir.nn_elementwise import as_tensor
from bitc.ir.nn_linear import conv_shape
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.types import DType, TensorType, Type

_ACTIVATIONS = (DType.U8, DType.I16)
_WEIGHTS = (DType.I8, DType.I16)


def _check(x: TensorType, w: TensorType, base: TensorType, channels: int) -> None:
    if x.dtype not in _ACTIVATIONS or w.dtype not in _WEIGHTS:
        raise InferenceError(f"activations are u8 or i16 and weights i8 or i16, not {x} and {w}")
    if base.dtype is not DType.I32 or base.shape != (channels,):
        raise InferenceError(f"the base {base} is not i32[{channels}]")


@op("q.int_conv")
class IntegerConv(OpDecl):
    """acc[n,m,i] = base[m] + sum over c, k of x[n, c, i*stride + k*dilation - pad] * w[m,c,k]; padding taps read ``pad_value``

    All partial sums fit int32. No number in x or padding is further from 0 than ``highest``. ``exact`` as of ``q.conv``.
    """

    operands = ("x", "w", "base")
    attrs = {
        "strides": REQUIRED,
        "pads": REQUIRED,
        "dilations": REQUIRED,
        "group": 1,
        "pad_value": 0,
        "highest": 32768,
        "exact": True,
    }

    @staticmethod
    def infer(
        x: Type,
        w: Type,
        base: Type,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        group: int,
        pad_value: int,
        highest: int,
        exact: bool,
    ) -> TensorType:
        source, weights = as_tensor(x), as_tensor(w)
        _check(source, weights, as_tensor(base), w.shape[0])
        return TensorType(conv_shape(source, weights, strides, pads, dilations, group), DType.I32)

    @staticmethod
    def evaluate(
        x: np.ndarray,
        w: np.ndarray,
        base: np.ndarray,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        group: int,
        pad_value: int,
        highest: int,
        exact: bool,
    ) -> np.ndarray:
        padded = numeric.pad_spatial(x, pads, pad_value).astype(np.float64)
        product = numeric.convolve(padded, w.astype(np.float64), strides, dilations, group)
        return np.asarray(np.rint(product).astype(np.int32) + base.reshape((1, -1) + (1,) * (x.ndim - 2)))


@op("q.int_matmul")
class IntegerMatMul(OpDecl):
    """acc[..., i, j] = base[j] + sum over k of x[..., i, k] * w[k, j]; ``w`` has rank 2; as ``q.int_conv``"""

    operands = ("x", "w", "base")
    attrs = {"highest": 32768, "exact": True}

    @staticmethod
    def infer(x: Type, w: Type, base: Type, *, highest: int, exact: bool) -> TensorType:
        a, b = as_tensor(x), as_tensor(w)
        if len(b.shape) != 2 or len(a.shape) < 2 or a.shape[-1] != b.shape[0]:
            raise InferenceError(f"{a} and {b} do not multiply")
        _check(a, b, as_tensor(base), b.shape[1])
        return TensorType((*a.shape[:-1], b.shape[1]), DType.I32)

    @staticmethod
    def evaluate(x: np.ndarray, w: np.ndarray, base: np.ndarray, *, highest: int, exact: bool) -> np.ndarray:
        return np.asarray(np.rint(x.astype(np.float64) @ w.astype(np.float64)).astype(np.int32) + base)
