"""Level ``nn``: products, pools and reductions over numbers. Images are [N, C, *spatial]; products carry no bias (it is an add)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bitc.ir import numeric
from bitc.ir.nn_elementwise import as_tensor
from bitc.ir.nn_tensor import normal_axis
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.types import DType, TensorType, Type


def spatial_rank(x: Type, attrs: Sequence[Sequence[int]]) -> int:
    """Number of spatial axes of image ``x``; checks that strides, dilations, kernel (one each an axis) and pads (two) fit."""
    rank = len(x.shape) - 2
    if rank < 1:
        raise InferenceError(f"needs an image [N, C, spatial...], got {x}")
    *singles, pads = attrs
    if any(len(single) != rank for single in singles) or len(pads) != 2 * rank:
        raise InferenceError(f"{x} has {rank} spatial axes; got {[list(a) for a in attrs]}")
    if any(v < 1 for single in singles for v in single) or any(p < 0 for p in pads):
        raise InferenceError(
            f"kernel, strides and dilations must be positive, pads not negative: {[list(a) for a in attrs]}"
        )
    return rank


def conv_shape(
    x: Type, w: Type, strides: Sequence[int], pads: Sequence[int], dilations: Sequence[int], group: int
) -> tuple[int, ...]:
    """Output shape of a convolution of ``x`` [N, C, *in] with ``w`` [M, C/group, *kernel]."""
    rank = spatial_rank(x, (strides, dilations, pads))
    if len(w.shape) != rank + 2 or group < 1 or w.shape[1] * group != x.shape[1] or w.shape[0] % group:
        raise InferenceError(f"weights {w} with group {group} do not fit {x}")
    spatial = tuple(
        numeric.window_count(n, k, s, d, pads[i], pads[rank + i])
        for i, (n, k, s, d) in enumerate(zip(x.shape[2:], w.shape[2:], strides, dilations, strict=True))
    )
    if min(spatial) < 1:
        raise InferenceError(
            f"the window {list(w.shape[2:])} is larger than the padded image {x} with pads {list(pads)}"
        )
    return (x.shape[0], w.shape[0], *spatial)


@op("nn.conv")
class Conv(OpDecl):
    """y[n,m,i] = sum over c, k of x[n, c, i*stride + k*dilation - pad] * w[m,c,k], zero outside the image; integers wrap (ONNX Conv)"""

    operands = ("x", "w")
    attrs = {"strides": REQUIRED, "pads": REQUIRED, "dilations": REQUIRED, "group": 1}

    @staticmethod
    def infer(
        x: Type, w: Type, *, strides: Sequence[int], pads: Sequence[int], dilations: Sequence[int], group: int
    ) -> TensorType:
        if as_tensor(x).dtype is not as_tensor(w).dtype:
            raise InferenceError(f"{x} and {w} differ in dtype")
        return TensorType(conv_shape(x, w, strides, pads, dilations, group), as_tensor(x).dtype)

    @staticmethod
    def evaluate(
        x: np.ndarray,
        w: np.ndarray,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        group: int,
    ) -> np.ndarray:
        def multiply(x: np.ndarray, w: np.ndarray) -> np.ndarray:
            return numeric.convolve(numeric.pad_spatial(x, pads, 0), w, strides, dilations, group)

        return numeric.product(multiply, x, w, int(np.prod(w.shape[1:])))


@op("nn.matmul")
class MatMul(OpDecl):
    """y[..., i, j] = sum over k of a[..., i, k] * b[..., k, j], both of rank 2 or more, leading axes broadcast; integers wrap"""

    operands = ("a", "b")

    @staticmethod
    def infer(a: Type, b: Type) -> TensorType:
        if as_tensor(a).dtype is not as_tensor(b).dtype:
            raise InferenceError(f"{a} and {b} differ in dtype")
        if len(a.shape) < 2 or len(b.shape) < 2 or a.shape[-1] != b.shape[-2]:
            raise InferenceError(f"{a} and {b} do not multiply")
        try:
            lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise InferenceError(f"leading axes of {a} and {b} do not broadcast") from None
        return TensorType((*lead, a.shape[-2], b.shape[-1]), as_tensor(a).dtype)

    @staticmethod
    def evaluate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(numeric.product(np.matmul, a, b, a.shape[-1]))


def _pool_type(
    x: Type, kernel: Sequence[int], strides: Sequence[int], pads: Sequence[int], dilations: Sequence[int], ceil: bool
) -> tuple[int, ...]:
    rank = spatial_rank(x, (kernel, strides, dilations, pads))
    spatial = tuple(
        numeric.window_count(n, k, s, d, pads[i], pads[rank + i], ceil)
        for i, (n, k, s, d) in enumerate(zip(x.shape[2:], kernel, strides, dilations, strict=True))
    )
    if min(spatial) < 1:
        raise InferenceError(f"the window {list(kernel)} is larger than the padded image {x}")
    return (*x.shape[:2], *spatial)


def pool_windows(
    x: np.ndarray,
    fill: float,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    ceil: bool,
) -> np.ndarray:
    """All windows [N, C, *out, *kernel] of ``x`` padded with ``fill``, also where ceil mode lets a window hang over the end."""
    rank = len(kernel)
    counts = [
        numeric.window_count(n, k, s, d, pads[i], pads[rank + i], ceil)
        for i, (n, k, s, d) in enumerate(zip(x.shape[2:], kernel, strides, dilations, strict=True))
    ]
    ends = [
        max(0, (c - 1) * s + d * (k - 1) + 1 - n - pads[i])
        for i, (c, n, k, s, d) in enumerate(zip(counts, x.shape[2:], kernel, strides, dilations, strict=True))
    ]
    view = numeric.windows(numeric.pad_spatial(x, [*pads[:rank], *ends], fill), kernel, strides, dilations)
    return view[(slice(None), slice(None), *(slice(c) for c in counts))]


_POOL = {"kernel": REQUIRED, "strides": REQUIRED, "pads": REQUIRED, "dilations": REQUIRED, "ceil": False}


@op("nn.max_pool")
class MaxPool(OpDecl):
    """y = maximum over each window; padding never wins (ONNX MaxPool)"""

    operands = ("x",)
    attrs = _POOL

    @staticmethod
    def infer(
        x: Type,
        *,
        kernel: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        ceil: bool,
    ) -> TensorType:
        return TensorType(_pool_type(x, kernel, strides, pads, dilations, ceil), as_tensor(x).dtype)

    @staticmethod
    def evaluate(
        x: np.ndarray,
        *,
        kernel: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        ceil: bool,
    ) -> np.ndarray:
        view = pool_windows(x, numeric.lowest_value(x.dtype), kernel, strides, pads, dilations, ceil)
        return np.asarray(view.max(axis=tuple(range(-len(kernel), 0))))


@op("nn.avg_pool")
class AvgPool(OpDecl):
    """y = mean over each window; padding counts as zeros if ``count_pad``, else only elements inside the image count"""

    operands = ("x",)
    attrs = {**_POOL, "count_pad": False}

    @staticmethod
    def infer(
        x: Type,
        *,
        kernel: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        ceil: bool,
        count_pad: bool,
    ) -> TensorType:
        return TensorType(_pool_type(x, kernel, strides, pads, dilations, ceil), as_tensor(x).dtype)

    @staticmethod
    def evaluate(
        x: np.ndarray,
        *,
        kernel: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        ceil: bool,
        count_pad: bool,
    ) -> np.ndarray:
        axes = tuple(range(-len(kernel), 0))
        total = pool_windows(x, 0, kernel, strides, pads, dilations, ceil).sum(axis=axes, dtype=x.dtype)
        rank = len(kernel)
        inside = np.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
        if count_pad:  # a window that hangs over the declared padding does not count what lies beyond it
            inside = numeric.pad_spatial(inside, pads, 1)
            pads = (0,) * (2 * rank)
        count = pool_windows(inside, 0, kernel, strides, pads, dilations, ceil).sum(axis=axes, dtype=x.dtype)
        count = count[
            (..., *(slice(n) for n in total.shape[2:]))
        ]  # as image, the end padding would start windows of its own
        return np.asarray(total / count, dtype=x.dtype)


def _reduce(name: str, doc: str, function: Callable[..., np.ndarray]) -> None:
    def infer(x: Type, *, axes: Sequence[int], keepdims: bool) -> TensorType:
        rank = len(x.shape)
        gone = {normal_axis(axis, rank) for axis in axes}
        shape = tuple(1 if i in gone else n for i, n in enumerate(x.shape) if keepdims or i not in gone)
        return TensorType(shape, as_tensor(x).dtype)

    def evaluate(x: np.ndarray, *, axes: Sequence[int], keepdims: bool) -> np.ndarray:
        if not axes:
            return x
        return np.asarray(function(x, axis=tuple(axes), keepdims=keepdims), dtype=x.dtype)

    members = {
        "__doc__": doc,
        "operands": ("x",),
        "attrs": {"axes": REQUIRED, "keepdims": True},
        "infer": staticmethod(infer),
        "evaluate": staticmethod(evaluate),
    }
    op(f"nn.reduce_{name}")(type(f"Reduce{name.title()}", (OpDecl,), members))


def _largest(x: np.ndarray, **where: Any) -> np.ndarray:
    return np.asarray(np.max(x, initial=numeric.lowest_value(x.dtype), **where))


def _smallest(x: np.ndarray, **where: Any) -> np.ndarray:
    return np.asarray(np.min(x, initial=numeric.highest_value(x.dtype), **where))


_reduce("mean", "y = mean over the axes", np.mean)
_reduce("sum", "y = sum over the axes", np.sum)
_reduce("max", "y = maximum over the axes; of nothing the least value", _largest)
_reduce("min", "y = minimum over the axes; of nothing the greatest value", _smallest)
_reduce("prod", "y = product over the axes", np.prod)


def running_sums(x: np.ndarray, axis: int, exclusive: bool, reverse: bool) -> np.ndarray:
    """Sums of all elements up to each along ``axis``, added one after another in the dtype of ``x``."""
    x = np.flip(x, axis) if reverse else x
    sums = np.cumsum(x, axis=axis, dtype=x.dtype)
    if exclusive:
        sums = np.roll(sums, 1, axis)
        sums[(slice(None),) * (axis % x.ndim) + (0,)] = 0
    return np.flip(sums, axis) if reverse else sums


@op("nn.cumsum")
class CumSum(OpDecl):
    """y = sum of x up to each element along one axis; without itself if ``exclusive``; from the end if ``reverse`` (ONNX CumSum)"""

    operands = ("x",)
    attrs = {"axis": REQUIRED, "exclusive": False, "reverse": False}

    @staticmethod
    def infer(x: Type, *, axis: int, exclusive: bool, reverse: bool) -> TensorType:
        normal_axis(axis, len(x.shape))
        return TensorType(x.shape, as_tensor(x).dtype)

    @staticmethod
    def evaluate(x: np.ndarray, *, axis: int, exclusive: bool, reverse: bool) -> np.ndarray:
        return running_sums(x, axis, exclusive, reverse)


@op("nn.softmax")
class Softmax(OpDecl):
    """y = e^(x - max x) / sum of e^(x - max x) along one axis; its logarithm if ``log``"""

    operands = ("x",)
    attrs = {"axis": REQUIRED, "log": False}

    @staticmethod
    def infer(x: Type, *, axis: int, log: bool) -> TensorType:
        normal_axis(axis, len(x.shape))
        return TensorType(x.shape, as_tensor(x).dtype)

    @staticmethod
    def evaluate(x: np.ndarray, *, axis: int, log: bool) -> np.ndarray:
        shifted = x - x.max(axis=axis, keepdims=True)
        total = np.exp(shifted).sum(axis=axis, keepdims=True)
        return np.asarray(shifted - np.log(total) if log else np.exp(shifted) / total, dtype=x.dtype)


@op("nn.argmax")
class ArgMax(OpDecl):
    """y = index of the largest element along one axis (int64); the first of equals, or the last if ``last``; smallest if ``least``"""

    operands = ("x",)
    attrs = {"axis": REQUIRED, "keepdims": True, "last": False, "least": False}

    @staticmethod
    def infer(x: Type, *, axis: int, keepdims: bool, last: bool, least: bool) -> TensorType:
        at = normal_axis(axis, len(x.shape))
        shape = tuple(1 if i == at else n for i, n in enumerate(x.shape) if keepdims or i != at)
        return TensorType(shape, DType.I64)

    @staticmethod
    def evaluate(x: np.ndarray, *, axis: int, keepdims: bool, last: bool, least: bool) -> np.ndarray:
        find = np.argmin if least else np.argmax
        if not last:
            return np.asarray(find(x, axis=axis, keepdims=keepdims), dtype=np.int64)
        return np.asarray(x.shape[axis] - 1 - find(np.flip(x, axis), axis=axis, keepdims=keepdims), dtype=np.int64)


@op("nn.topk")
class TopK(OpDecl):
    """values, indices = the k largest (or smallest) elements along one axis, sorted; of equals the lower index first"""

    operands = ("x",)
    attrs = {"k": REQUIRED, "axis": -1, "largest": True}
    results = 2

    @staticmethod
    def infer(x: Type, *, k: int, axis: int, largest: bool) -> tuple[TensorType, TensorType]:
        at = normal_axis(axis, len(x.shape))
        if not 0 < k <= x.shape[at]:
            raise InferenceError(f"k {k} is outside axis {at} of {x}")
        shape = tuple(k if i == at else n for i, n in enumerate(x.shape))
        return TensorType(shape, as_tensor(x).dtype), TensorType(shape, DType.I64)

    @staticmethod
    def evaluate(x: np.ndarray, *, k: int, axis: int, largest: bool) -> tuple[np.ndarray, np.ndarray]:
        if (
            largest
        ):  # ascending from the far end, read backwards: stable for equals, and no negation that unsigned could not do
            ascending = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
            order = x.shape[axis] - 1 - np.flip(ascending, axis)
        else:
            order = np.argsort(x, axis=axis, kind="stable")
        order = np.take(order, np.arange(k), axis=axis)
        return np.take_along_axis(x, order, axis=axis), order.astype(np.int64)
