"""Level ``q``: ops on codes. Accumulators are exact int32; what stays float stays in ``nn`` ops, joined by ``q.encode``/``q.decode``.

In the interpreter a code tensor is an int32 array of levels in logical shape, so every meaning here is integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitc.ir import numeric
from bitc.ir.graph import Graph
from bitc.ir.interpreter import evaluate as evaluate_graph
from bitc.ir.nn_elementwise import as_tensor
from bitc.ir.nn_linear import conv_shape, pool_windows, spatial_rank
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.types import CodeType, DType, Levels, TensorType, Type


def as_codes(type: Type) -> CodeType:
    """``type`` if it is a tensor of codes. Raises :class:`InferenceError`."""
    if not isinstance(type, CodeType):
        raise InferenceError(f"needs codes, got {type}")
    return type


def per_channel(table: np.ndarray, rank: int) -> np.ndarray:
    """A table [C] shaped to broadcast over axis 1 of a tensor of ``rank`` axes."""
    return table.reshape((1, -1) + (1,) * (rank - 2))


@op("q.encode")
class Encode(OpDecl):
    """y = codes with ``scale * level == x``; every x must be such a value (what analysis proved), else it is a compiler bug"""

    operands = ("x",)
    attrs = {"levels": REQUIRED, "scale": 1.0}

    @staticmethod
    def infer(x: Type, *, levels: Levels, scale: float) -> CodeType:
        return CodeType(as_tensor(x).shape, levels, scale)

    @staticmethod
    def evaluate(x: np.ndarray, *, levels: Levels, scale: float) -> np.ndarray:
        level = np.rint(x.astype(np.float64) / scale).astype(np.int64)
        assert np.isin(level, levels.values()).all(), "a value outside the proven set reached q.encode"
        return level


@op("q.decode")
class Decode(OpDecl):
    """y = scale * level, in float32"""

    operands = ("x",)

    @staticmethod
    def infer(x: Type) -> TensorType:
        return TensorType(as_codes(x).shape, DType.F32)

    @staticmethod
    def evaluate_typed(types: Sequence[Type], x: np.ndarray) -> np.ndarray:
        """The meaning, which reads the scale in the operand's type."""
        return x.astype(np.float32) * np.float32(as_codes(types[0]).scale)


@op("q.threshold")
class Threshold(OpDecl):
    """level index = number of i with x >= t[c,i] (channels with ``descending``: x <= t[c,i]); c is axis 1 of x.

    ``x`` is float32 or int32, ``t`` [C, count-1] (or one row for all channels) of the same dtype, ``descending`` bool of t's rows.
    NaN compares false, so it gives the lowest level.
    """

    operands = ("x", "t", "descending")
    attrs = {"levels": REQUIRED, "scale": 1.0}

    @staticmethod
    def infer(x: Type, t: Type, descending: Type, *, levels: Levels, scale: float) -> CodeType:
        source, table, down = as_tensor(x), as_tensor(t), as_tensor(descending)
        if source.dtype is not table.dtype or source.dtype not in (DType.F32, DType.I32):
            raise InferenceError(f"{source} and thresholds {table} must both be f32 or i32")
        channels = source.shape[1] if len(source.shape) > 1 else 1
        if table.shape not in {(channels, levels.count - 1), (1, levels.count - 1)} or down.shape != table.shape[:1]:
            raise InferenceError(f"thresholds {table} (descending {down}) do not fit {source} with levels {levels}")
        return CodeType(source.shape, levels, scale)

    @staticmethod
    def evaluate(x: np.ndarray, t: np.ndarray, descending: np.ndarray, *, levels: Levels, scale: float) -> np.ndarray:
        index = np.zeros(x.shape, np.int32)
        down = per_channel(descending, max(x.ndim, 2))
        for plane in range(levels.planes):
            edge = per_channel(t[:, plane], max(x.ndim, 2))
            index += np.where(down, x <= edge, x >= edge)
        return levels.lo + levels.step * index


@op("q.conv")
class CodeConv(OpDecl):
    """acc = ``nn.conv`` over levels, exact in int32; padding taps read the level ``pad_level`` (0 for ONNX's zero padding).

    ``exact`` records that the file's own float32 evaluation of this product has no rounding either, in any order of summation.
    ``form`` names the kernels it is meant for where that is not plain from its levels: ``pairs`` (:mod:`bitc.ir.pairs`), ``trees`` or
    ``tables`` (:mod:`bitc.ir.sliced`), ``skipping`` (:mod:`bitc.ir.skipping`).
    """

    operands = ("x", "w")
    attrs = {
        "strides": REQUIRED,
        "pads": REQUIRED,
        "dilations": REQUIRED,
        "group": 1,
        "pad_level": 0,
        "exact": True,
        "form": "",
    }

    @staticmethod
    def infer(
        x: Type,
        w: Type,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        group: int,
        pad_level: int,
        exact: bool,
        form: str,
    ) -> TensorType:
        return TensorType(conv_shape(as_codes(x), as_codes(w), strides, pads, dilations, group), DType.I32)

    @staticmethod
    def evaluate(
        x: np.ndarray,
        w: np.ndarray,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        group: int,
        pad_level: int,
        exact: bool,
        form: str,
    ) -> np.ndarray:
        padded = numeric.pad_spatial(x, pads, pad_level).astype(np.float64)
        product = numeric.convolve(padded, w.astype(np.float64), strides, dilations, group)
        return np.asarray(np.rint(product), dtype=np.int32)


@op("q.matmul")
class CodeMatMul(OpDecl):
    """acc[..., i, j] = sum over k of x[..., i, k] * w[k, j] over levels, exact in int32; ``w`` has rank 2; as ``q.conv``"""

    operands = ("x", "w")
    attrs = {"exact": True, "form": ""}

    @staticmethod
    def infer(x: Type, w: Type, *, exact: bool, form: str) -> TensorType:
        a, b = as_codes(x), as_codes(w)
        if len(b.shape) != 2 or len(a.shape) < 2 or a.shape[-1] != b.shape[0]:
            raise InferenceError(f"{a} and {b} do not multiply")
        return TensorType((*a.shape[:-1], b.shape[1]), DType.I32)

    @staticmethod
    def evaluate(x: np.ndarray, w: np.ndarray, *, exact: bool, form: str) -> np.ndarray:
        return np.asarray(np.rint(x.astype(np.float64) @ w.astype(np.float64)), dtype=np.int32)


@op("q.weight_conv")
class WeightConv(OpDecl):
    """y = ``nn.conv`` of numbers x with codes w (weights-only quantization); float32, the order of summation is the target's

    ``exact`` records that taking the weights' scales out of the file's sum, to stand behind it, changed no bit.
    """

    operands = ("x", "w")
    attrs = {"strides": REQUIRED, "pads": REQUIRED, "dilations": REQUIRED, "group": 1, "exact": True}

    @staticmethod
    def infer(
        x: Type,
        w: Type,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        group: int,
        exact: bool,
    ) -> TensorType:
        return TensorType(conv_shape(as_tensor(x), as_codes(w), strides, pads, dilations, group), DType.F32)

    @staticmethod
    def evaluate(
        x: np.ndarray,
        w: np.ndarray,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        group: int,
        exact: bool,
    ) -> np.ndarray:
        return numeric.convolve(numeric.pad_spatial(x, pads, 0), w.astype(np.float32), strides, dilations, group)


@op("q.weight_matmul")
class WeightMatMul(OpDecl):
    """y[..., i, j] = sum over k of x[..., i, k] * w[k, j] of numbers x with codes w of rank 2; as ``q.weight_conv``"""

    operands = ("x", "w")
    attrs = {"exact": True}

    @staticmethod
    def infer(x: Type, w: Type, *, exact: bool) -> TensorType:
        a, b = as_tensor(x), as_codes(w)
        if len(b.shape) != 2 or len(a.shape) < 2 or a.shape[-1] != b.shape[0]:
            raise InferenceError(f"{a} and {b} do not multiply")
        return TensorType((*a.shape[:-1], b.shape[1]), DType.F32)

    @staticmethod
    def evaluate(x: np.ndarray, w: np.ndarray, *, exact: bool) -> np.ndarray:
        return np.asarray(x @ w.astype(np.float32))


@op("q.border")
class Border(OpDecl):
    """y[n,m,i,j] = acc[n,m,i,j] + table[row_class[i] * (1 + max col_class) + col_class[j], m]: a constant for each border class"""

    operands = ("acc", "table")
    attrs = {"row_class": REQUIRED, "col_class": REQUIRED}

    @staticmethod
    def infer(acc: Type, table: Type, *, row_class: Sequence[int], col_class: Sequence[int]) -> TensorType:
        source, corrections = as_tensor(acc), as_tensor(table)
        if min((*row_class, *col_class), default=0) < 0 or source.dtype is not corrections.dtype:
            raise InferenceError(f"border classes count from 0, and {corrections} must have the dtype of {source}")
        classes = (1 + max(row_class, default=0)) * (1 + max(col_class, default=0))
        if source.shape[2:] != (len(row_class), len(col_class)) or corrections.shape != (classes, source.shape[1]):
            raise InferenceError(f"corrections {corrections} for {classes} classes do not fit {source}")
        return TensorType(source.shape, source.dtype)

    @staticmethod
    def evaluate(
        acc: np.ndarray, table: np.ndarray, *, row_class: Sequence[int], col_class: Sequence[int]
    ) -> np.ndarray:
        classes = np.add.outer(np.asarray(row_class) * (1 + max(col_class)), np.asarray(col_class))
        return np.asarray(acc + np.moveaxis(table[classes], -1, 0)[np.newaxis])


@op("q.max_pool")
class CodeMaxPool(OpDecl):
    """level = maximum over each window, in channels with ``minimum`` the minimum; padding never wins"""

    operands = ("x", "minimum")
    attrs = {"kernel": REQUIRED, "strides": REQUIRED, "pads": REQUIRED, "dilations": REQUIRED, "ceil": False}

    @staticmethod
    def infer(
        x: Type,
        minimum: Type,
        *,
        kernel: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        ceil: bool,
    ) -> CodeType:
        source = as_codes(x)
        rank = spatial_rank(x, (kernel, strides, dilations, pads))
        if as_tensor(minimum).shape != (source.shape[1],):
            raise InferenceError(f"minimum {minimum} does not fit {source}")
        spatial = tuple(
            numeric.window_count(n, k, s, d, pads[i], pads[rank + i], ceil)
            for i, (n, k, s, d) in enumerate(zip(source.shape[2:], kernel, strides, dilations, strict=True))
        )
        if min(spatial) < 1:
            raise InferenceError(f"the window {list(kernel)} is larger than the padded image {x}")
        return source.with_shape((*source.shape[:2], *spatial))

    @staticmethod
    def evaluate(
        x: np.ndarray,
        minimum: np.ndarray,
        *,
        kernel: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        ceil: bool,
    ) -> np.ndarray:
        flip = per_channel(np.where(minimum, -1, 1), x.ndim)
        lowest = np.iinfo(np.int32).min
        view = pool_windows(x * flip, lowest, kernel, strides, pads, dilations, ceil)
        return np.asarray(view.max(axis=tuple(range(-len(kernel), 0))) * flip)


@op("q.map")
class Map(OpDecl):
    """The ops of ``body``, all elementwise, as one: each result element is computed in one go from the operands' elements"""

    operands = ("x*",)
    attrs = {"body": REQUIRED}

    @staticmethod
    def infer(*xs: Type, body: Graph) -> tuple[Type, ...]:
        if [x.shape for x in xs] != [value.shape for value in body.inputs]:
            raise InferenceError("operands do not fit the body's inputs")
        strange = [o.name for o in body.ops if not o.decl.elementwise and o.name != "nn.constant"]
        if strange:
            raise InferenceError(f"the body holds ops that are not elementwise: {strange}")
        return tuple(value.type for value in body.outputs)

    @staticmethod
    def evaluate(*xs: np.ndarray, body: Graph) -> tuple[np.ndarray, ...]:
        return tuple(evaluate_graph(body, xs))
