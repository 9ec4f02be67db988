"""Level ``nn``: reading and writing elements at computed places. Indices are int32 or int64.

No index leads outside a tensor: a negative one counts from the end of its axis; one that still lies outside reads the nearest
element, and writes nothing.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from bitc.ir.nn_elementwise import as_tensor
from bitc.ir.nn_tensor import normal_axis
from bitc.ir.ops import InferenceError, OpDecl, op
from bitc.ir.types import DType, TensorType, Type

Combination = Literal["none", "add", "mul", "max", "min"]
_COMBINE = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def check_indices(type: Type) -> TensorType:
    """``type`` if it is one of indices. Raises :class:`InferenceError`."""
    indices = as_tensor(type)
    if indices.dtype not in (DType.I32, DType.I64):
        raise InferenceError(f"indices are int32 or int64, got {indices}")
    return indices


def from_front(indices: np.ndarray, length: int) -> np.ndarray:
    """Indices counted from the front: negative ones count from the end.

    >>> from_front(np.array([-1, 0, 2, -4]), 3).tolist()
    [2, 0, 2, -4]
    """
    wide = indices.astype(np.int64)
    return np.where((wide < 0) & (wide >= -length), wide + length, wide)


def nearest(indices: np.ndarray, length: int) -> np.ndarray:
    """The nearest positions inside an axis.

    >>> nearest(np.array([-1, 0, 7, -4]), 3).tolist()
    [2, 0, 2, 0]
    """
    return np.asarray(np.clip(from_front(indices, length), 0, length - 1))


@op("nn.take")
class Take(OpDecl):
    """y = x's slices along ``axis`` at computed indices, whose shape replaces the axis (ONNX Gather)"""

    operands = ("x", "indices")
    attrs = {"axis": 0}

    @staticmethod
    def infer(x: Type, indices: Type, *, axis: int) -> TensorType:
        source, at = as_tensor(x), normal_axis(axis, len(x.shape))
        return source.with_shape((*source.shape[:at], *check_indices(indices).shape, *source.shape[at + 1 :]))

    @staticmethod
    def evaluate(x: np.ndarray, indices: np.ndarray, *, axis: int) -> np.ndarray:
        return np.take(x, nearest(indices, x.shape[axis]), axis=axis)


@op("nn.take_along")
class TakeAlong(OpDecl):
    """y[i, j, ..] = x[i, .., indices[i, j, ..], ..]: only the position along ``axis`` is computed (ONNX GatherElements)"""

    operands = ("x", "indices")
    attrs = {"axis": 0}

    @staticmethod
    def infer(x: Type, indices: Type, *, axis: int) -> TensorType:
        source, found = as_tensor(x), check_indices(indices)
        _check_along(source, found, normal_axis(axis, len(source.shape)))
        return source.with_shape(found.shape)

    @staticmethod
    def evaluate(x: np.ndarray, indices: np.ndarray, *, axis: int) -> np.ndarray:
        return np.asarray(x[_along(nearest(indices, x.shape[axis]), axis)])


def _check_along(x: TensorType, indices: TensorType, axis: int) -> None:
    fits = len(x.shape) == len(indices.shape) and all(
        n <= m for a, (n, m) in enumerate(zip(indices.shape, x.shape, strict=True)) if a != axis
    )
    if not fits:
        raise InferenceError(f"indices {indices} are larger than {x} on another axis than {axis}")


def _along(indices: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    places = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    places[axis] = indices
    return tuple(places)


@op("nn.take_nd")
class TakeNd(OpDecl):
    """y[b, t..] = x[b][indices[b, t.., 0], indices[b, t.., 1], ..] with ``batch_dims`` leading axes in common (ONNX GatherND)"""

    operands = ("x", "indices")
    attrs = {"batch_dims": 0}

    @staticmethod
    def infer(x: Type, indices: Type, *, batch_dims: int) -> TensorType:
        source, found = as_tensor(x), check_indices(indices)
        depth = _depth(source, found, batch_dims)
        return source.with_shape((*found.shape[:-1], *source.shape[batch_dims + depth :]))

    @staticmethod
    def evaluate(x: np.ndarray, indices: np.ndarray, *, batch_dims: int) -> np.ndarray:
        depth, lead = indices.shape[-1], x.shape[:batch_dims]
        places = [nearest(indices[..., d], x.shape[batch_dims + d]) for d in range(depth)]
        batch = np.ogrid[tuple(slice(n) for n in lead)] if lead else []
        wide = [b.reshape(b.shape + (1,) * (indices.ndim - 1 - batch_dims)) for b in batch]
        return np.asarray(x[(*wide, *places)])


def _depth(x: TensorType, indices: TensorType, batch_dims: int) -> int:
    """How many axes of ``x`` a tuple of ``indices`` speaks of."""
    depth = indices.shape[-1] if indices.shape else 0
    same = 0 <= batch_dims < max(len(indices.shape), 1) and x.shape[:batch_dims] == indices.shape[:batch_dims]
    if not same or not 0 < depth <= len(x.shape) - batch_dims:
        raise InferenceError(f"tuples {indices} do not fit {x} with {batch_dims} batch axes")
    return depth


@op("nn.scatter_along")
class ScatterAlong(OpDecl):
    """y = x, then y[i, .., indices[i, j, ..], ..] = updates[i, j, ..] or the combination with it, one by one (ONNX ScatterElements)"""

    operands = ("x", "indices", "updates")
    attrs = {"axis": 0, "reduction": "none"}

    @staticmethod
    def infer(x: Type, indices: Type, updates: Type, *, axis: int, reduction: Combination) -> TensorType:
        source, found, new = as_tensor(x), check_indices(indices), as_tensor(updates)
        _check_along(source, found, normal_axis(axis, len(source.shape)))
        if new.shape != found.shape or new.dtype is not source.dtype:
            raise InferenceError(f"updates {new} do not fit indices {found} and {source}")
        return source.with_shape(source.shape)

    @staticmethod
    def evaluate(
        x: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, axis: int, reduction: Combination
    ) -> np.ndarray:
        at = from_front(indices, x.shape[axis])
        inside = (at >= 0) & (at < x.shape[axis])
        places = tuple(np.broadcast_to(p, at.shape)[inside] for p in _along(at, axis))
        return _combined(x, places, updates[inside], reduction)


@op("nn.scatter_nd")
class ScatterNd(OpDecl):
    """y = x, then y[indices[t.., 0], indices[t.., 1], ..] = updates[t..] or the combination with it, one by one (ONNX ScatterND)"""

    operands = ("x", "indices", "updates")
    attrs = {"reduction": "none"}

    @staticmethod
    def infer(x: Type, indices: Type, updates: Type, *, reduction: Combination) -> TensorType:
        source, found, new = as_tensor(x), check_indices(indices), as_tensor(updates)
        shape = (*found.shape[:-1], *source.shape[_depth(source, found, 0) :])
        if new.shape != shape or new.dtype is not source.dtype:
            raise InferenceError(f"updates {new} do not fit tuples {found} and {source}")
        return source.with_shape(source.shape)

    @staticmethod
    def evaluate(x: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, reduction: Combination) -> np.ndarray:
        depth = indices.shape[-1]
        places = [from_front(indices[..., d], x.shape[d]).reshape(-1) for d in range(depth)]
        inside = np.logical_and.reduce([(p >= 0) & (p < n) for p, n in zip(places, x.shape, strict=False)])
        runs = updates.reshape(-1, *x.shape[depth:])
        return _combined(x, tuple(p[inside] for p in places), runs[inside], reduction)


def _combined(x: np.ndarray, places: tuple[np.ndarray, ...], updates: np.ndarray, reduction: str) -> np.ndarray:
    y = x.copy()
    if reduction == "none":
        y[places] = updates
    else:
        _COMBINE[reduction].at(y, places, updates)
    return y
