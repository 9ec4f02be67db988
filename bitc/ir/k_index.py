"""Level ``k``: kernels that read and write elements at computed places, and running sums. Meaning as in :mod:`bitc.ir.nn_index`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitc.ir import nn_index
from bitc.ir.k import as_buffer
from bitc.ir.nn_index import Combination, check_indices
from bitc.ir.nn_linear import running_sums
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.types import BufferType, DType, TensorType, Type


def _indices(type: Type) -> BufferType:
    source = as_buffer(type)
    check_indices(TensorType(source.shape, source.dtype))
    return source


def _sized(type: Type, shape: Sequence[int]) -> BufferType:
    source = as_buffer(type)
    if source.size != int(np.prod(shape)):
        raise InferenceError(f"{source} is not {list(shape)}")
    return BufferType(tuple(shape), source.dtype)


@op("k.take")
class TakeKernel(OpDecl):
    """y[o, j] = x[o, indices[j]] of runs: x as [outer, length, inner], y as [outer, number of indices, inner]"""

    operands = ("x", "indices")

    @staticmethod
    def infer(x: Type, indices: Type) -> BufferType:
        source = as_buffer(x, rank=3)
        return BufferType((source.shape[0], _indices(indices).size, source.shape[2]), source.dtype)

    @staticmethod
    def evaluate(x: np.ndarray, indices: np.ndarray) -> np.ndarray:
        return nn_index.Take.evaluate(x, indices.reshape(-1), axis=1)


@op("k.take_along")
class TakeAlongKernel(OpDecl):
    """y = ``nn.take_along`` of memory seen in two shapes"""

    operands = ("x", "indices")
    attrs = {"shape": REQUIRED, "places": REQUIRED, "axis": REQUIRED}

    @staticmethod
    def infer(x: Type, indices: Type, *, shape: Sequence[int], places: Sequence[int], axis: int) -> BufferType:
        return BufferType(_sized(_indices(indices), places).shape, _sized(x, shape).dtype)

    @staticmethod
    def evaluate(
        x: np.ndarray, indices: np.ndarray, *, shape: Sequence[int], places: Sequence[int], axis: int
    ) -> np.ndarray:
        return nn_index.TakeAlong.evaluate(x.reshape(tuple(shape)), indices.reshape(tuple(places)), axis=axis)


@op("k.take_nd")
class TakeNdKernel(OpDecl):
    """y[b, t] = x[b][tuple t of b], a run: x as [batch, *lengths, run], indices as [batch, tuples, depth]"""

    operands = ("x", "indices")
    attrs = {"lengths": REQUIRED, "batch": REQUIRED, "run": REQUIRED}

    @staticmethod
    def infer(x: Type, indices: Type, *, lengths: Sequence[int], batch: int, run: int) -> BufferType:
        source = _sized(x, (batch, *lengths, run))
        return BufferType((batch, _indices(indices).size // len(lengths) // batch, run), source.dtype)

    @staticmethod
    def evaluate(x: np.ndarray, indices: np.ndarray, *, lengths: Sequence[int], batch: int, run: int) -> np.ndarray:
        tuples = indices.reshape(batch, -1, len(lengths))
        return nn_index.TakeNd.evaluate(x.reshape(batch, *lengths, run), tuples, batch_dims=1)


@op("k.scatter_along")
class ScatterAlongKernel(OpDecl):
    """y = ``nn.scatter_along`` of memory seen in two shapes"""

    operands = ("x", "indices", "updates")
    attrs = {"shape": REQUIRED, "places": REQUIRED, "axis": REQUIRED, "reduction": "none"}

    @staticmethod
    def infer(
        x: Type, indices: Type, updates: Type, *, shape: Sequence[int], places: Sequence[int], axis: int,
        reduction: Combination,
    ) -> BufferType:  # fmt: skip
        _sized(_indices(indices), places)
        _sized(updates, places)
        return _sized(x, shape)

    @staticmethod
    def evaluate(
        x: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, shape: Sequence[int], places: Sequence[int], axis: int,
        reduction: Combination,
    ) -> np.ndarray:  # fmt: skip
        new = updates.reshape(tuple(places))
        source, at = x.reshape(tuple(shape)), indices.reshape(tuple(places))
        return nn_index.ScatterAlong.evaluate(source, at, new, axis=axis, reduction=reduction)


@op("k.scatter_nd")
class ScatterNdKernel(OpDecl):
    """y = x as [*lengths, run], then y[tuple t] = run t of the updates, or the combination with it"""

    operands = ("x", "indices", "updates")
    attrs = {"lengths": REQUIRED, "run": REQUIRED, "reduction": "none"}

    @staticmethod
    def infer(
        x: Type, indices: Type, updates: Type, *, lengths: Sequence[int], run: int, reduction: Combination
    ) -> BufferType:
        _sized(updates, (_indices(indices).size // len(lengths), run))
        return _sized(x, (*lengths, run))

    @staticmethod
    def evaluate(
        x: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, lengths: Sequence[int], run: int,
        reduction: Combination,
    ) -> np.ndarray:  # fmt: skip
        tuples = indices.reshape(-1, len(lengths))
        source, runs = x.reshape(*lengths, run), updates.reshape(-1, run)
        return nn_index.ScatterNd.evaluate(source, tuples, runs, reduction=reduction)


@op("k.cumsum")
class CumSumKernel(OpDecl):
    """running sums over the middle axis of x seen as [outer, length, inner], as ``nn.cumsum``"""

    operands = ("x",)
    attrs = {"exclusive": False, "reverse": False, "outer": REQUIRED, "length": REQUIRED, "inner": REQUIRED}

    @staticmethod
    def infer(x: Type, *, exclusive: bool, reverse: bool, outer: int, length: int, inner: int) -> BufferType:
        source = _sized(x, (outer, length, inner))
        if source.dtype is DType.BOOL:
            raise InferenceError("sums are of numbers, not of bool")
        return source

    @staticmethod
    def evaluate(x: np.ndarray, *, exclusive: bool, reverse: bool, outer: int, length: int, inner: int) -> np.ndarray:
        return running_sums(x.reshape(outer, length, inner), 1, exclusive, reverse)
