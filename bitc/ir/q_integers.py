"""Level ``q``: products of integer tensors, the form of codes of many levels. Storage is the tensor's own dtype, sums are exact int32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitc.ir import numeric
from bitc.ir.nn_elementwise import as_tensor
from bitc.ir.nn_linear import MatMul, conv_shape
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


@op("q.int_gemm")
class IntegerGemm(OpDecl):
    """acc[..., i, j] = sum over k of (x[..., i, k] + ``lowest``) * y[..., k, j], shapes as of ``nn.matmul``, both computed

    x is u8 beside i8, or both are i16. All partial sums fit int32, with and without ``lowest``. No stored number is further from 0 than
    ``x_highest``, ``y_highest``. ``exact`` as of ``q.conv``.
    """

    operands = ("x", "y")
    attrs = {"lowest": 0, "x_highest": 32767, "y_highest": 32767, "exact": True}

    @staticmethod
    def infer(x: Type, y: Type, *, lowest: int, x_highest: int, y_highest: int, exact: bool) -> TensorType:
        a, b = as_tensor(x), as_tensor(y)
        if (a.dtype, b.dtype) not in ((DType.U8, DType.I8), (DType.I16, DType.I16)):
            raise InferenceError(f"factors are u8 and i8, or both i16, not {a} and {b}")
        if max(x_highest, y_highest) > 32767:
            raise InferenceError(f"numbers up to {x_highest} and {y_highest} may overflow a sum of two products")
        return MatMul.infer(*(TensorType(side.shape, DType.I32) for side in (a, b)))

    @staticmethod
    def evaluate(
        x: np.ndarray, y: np.ndarray, *, lowest: int, x_highest: int, y_highest: int, exact: bool
    ) -> np.ndarray:
        return np.asarray(np.rint((x.astype(np.float64) + lowest) @ y.astype(np.float64)), dtype=np.int32)
