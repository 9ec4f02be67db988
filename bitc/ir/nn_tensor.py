"""Level ``nn``: constants and ops that only move elements. All of them take codes as well as numbers, at every level."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.types import BufferType, CodeType, DType, TensorType, Type


def movable(type: Type) -> TensorType | CodeType:
    """``type`` if its elements can be moved one by one. Raises :class:`InferenceError` for packed buffers."""
    if isinstance(type, BufferType):
        raise InferenceError(f"{type} is packed memory; its elements cannot be moved one by one")
    return type


def normal_axis(axis: int, rank: int) -> int:
    """``axis`` counted from the front. Raises :class:`InferenceError` when it is outside the rank."""
    if not -rank <= axis < rank:
        raise InferenceError(f"axis {axis} is outside rank {rank}")
    return axis % rank


@op("nn.constant")
class Constant(OpDecl):
    """y = the given array; another evaluation of the file may find any numbers between ``least`` and ``most`` (of its shape or scalars)"""

    attrs = {"value": REQUIRED, "least": None, "most": None}

    @staticmethod
    def infer(*, value: np.ndarray, least: np.ndarray | None = None, most: np.ndarray | None = None) -> TensorType:
        for end in (least, most):
            if (least is None) != (most is None):
                raise InferenceError("least and most come together")
            if end is not None and (end.shape not in ((), value.shape) or end.dtype != value.dtype):
                raise InferenceError(f"an end of shape {list(end.shape)}, {end.dtype}, does not fit the value")
        try:
            return TensorType(tuple(value.shape), DType.of(value.dtype))
        except KeyError:
            raise InferenceError(f"constants of dtype {value.dtype} are not part of the IR") from None

    @staticmethod
    def evaluate(*, value: np.ndarray, least: np.ndarray | None = None, most: np.ndarray | None = None) -> np.ndarray:
        return value


@op("nn.assume")
class Assume(OpDecl):
    """y = x, with the caller's promise that every element is one of ``values`` (ascending); checked by the interpreter"""

    operands = ("x",)
    attrs = {"values": REQUIRED}

    @staticmethod
    def infer(x: Type, *, values: Sequence[float]) -> TensorType:
        if not isinstance(x, TensorType) or not values or list(values) != sorted(set(values)):
            raise InferenceError(f"values {list(values)} must be ascending and distinct, and {x} numbers")
        return TensorType(x.shape, x.dtype)

    @staticmethod
    def evaluate(x: np.ndarray, *, values: Sequence[float]) -> np.ndarray:
        if not np.isin(x, np.asarray(values, dtype=x.dtype)).all():
            raise ValueError(f"an element is outside the promised values {list(values)[:8]}")
        return x


@op("nn.reshape")
class Reshape(OpDecl):
    """y = x's elements in row-major order in another shape"""

    operands = ("x",)
    attrs = {"shape": REQUIRED}

    @staticmethod
    def infer(x: Type, *, shape: Sequence[int]) -> TensorType | CodeType:
        source = movable(x)
        if min(shape, default=0) < 0 or prod(shape) != source.size:
            raise InferenceError(f"{source} has {source.size} elements, shape {list(shape)} another number")
        return source.with_shape(tuple(shape))

    @staticmethod
    def evaluate(x: np.ndarray, *, shape: Sequence[int]) -> np.ndarray:
        return x.reshape(tuple(shape))


@op("nn.transpose")
class Transpose(OpDecl):
    """y[i_perm[0], i_perm[1], ...] = x[i_0, i_1, ...]: axis k of y is axis perm[k] of x"""

    operands = ("x",)
    attrs = {"perm": REQUIRED}

    @staticmethod
    def infer(x: Type, *, perm: Sequence[int]) -> TensorType | CodeType:
        source = movable(x)
        if sorted(perm) != list(range(len(source.shape))):
            raise InferenceError(f"perm {list(perm)} is no permutation of the axes of {source}")
        return source.with_shape(tuple(source.shape[axis] for axis in perm))

    @staticmethod
    def evaluate(x: np.ndarray, *, perm: Sequence[int]) -> np.ndarray:
        return x.transpose(tuple(perm))


@op("nn.expand")
class Expand(OpDecl):
    """y = x broadcast to a larger shape"""

    operands = ("x",)
    attrs = {"shape": REQUIRED}

    @staticmethod
    def infer(x: Type, *, shape: Sequence[int]) -> TensorType | CodeType:
        source = movable(x)
        try:
            full = np.broadcast_shapes(source.shape, tuple(shape))
        except ValueError:
            raise InferenceError(f"{source} does not broadcast to {list(shape)}") from None
        return source.with_shape(tuple(full))

    @staticmethod
    def evaluate(x: np.ndarray, *, shape: Sequence[int]) -> np.ndarray:
        return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape))).copy()


@op("nn.pad")
class Pad(OpDecl):
    """y = x with ``value`` around it (for codes: a level); ``pads`` lists the begins of all axes, then the ends; none is negative"""

    operands = ("x",)
    attrs = {"pads": REQUIRED, "value": 0.0}

    @staticmethod
    def infer(x: Type, *, pads: Sequence[int], value: float) -> TensorType | CodeType:
        source = movable(x)
        rank = len(source.shape)
        if len(pads) != 2 * rank or min(pads, default=0) < 0:
            raise InferenceError(f"pads {list(pads)} do not fit {source}")
        if isinstance(source, CodeType) and not (float(value).is_integer() and source.levels.contains(int(value))):
            raise InferenceError(f"padding value {value} is no level of {source}")
        return source.with_shape(tuple(n + pads[i] + pads[rank + i] for i, n in enumerate(source.shape)))

    @staticmethod
    def evaluate(x: np.ndarray, *, pads: Sequence[int], value: float) -> np.ndarray:
        rank = x.ndim
        return np.pad(x, [(pads[i], pads[rank + i]) for i in range(rank)], constant_values=x.dtype.type(value))


@op("nn.concat")
class Concat(OpDecl):
    """y = the operands one after another along ``axis``"""

    operands = ("x*",)
    attrs = {"axis": REQUIRED}

    @staticmethod
    def infer(*xs: Type, axis: int) -> TensorType | CodeType:
        sources = [movable(x) for x in xs]
        if not sources:
            raise InferenceError("needs at least one operand")
        rank = len(sources[0].shape)
        at = normal_axis(axis, rank)
        rests = {(x.with_shape((*x.shape[:at], 0, *x.shape[at + 1 :])), len(x.shape)) for x in sources}
        if len(rests) != 1:
            raise InferenceError("operands differ outside the axis: " + ", ".join(map(str, sources)))
        shape = list(sources[0].shape)
        shape[at] = sum(x.shape[at] for x in sources)
        return sources[0].with_shape(tuple(shape))

    @staticmethod
    def evaluate(*xs: np.ndarray, axis: int) -> np.ndarray:
        return np.concatenate(xs, axis=axis)


@op("nn.slice")
class Slice(OpDecl):
    """y = x[start : stop : step] along each axis; ``starts``, ``stops``, ``steps`` have one entry an axis, all normalised:
    0 <= start <= dim, steps nonzero; a negative step runs down from start to stop + 1, with stop = -1 for "through 0" """

    operands = ("x",)
    attrs = {"starts": REQUIRED, "stops": REQUIRED, "steps": REQUIRED}

    @staticmethod
    def infer(x: Type, *, starts: Sequence[int], stops: Sequence[int], steps: Sequence[int]) -> TensorType | CodeType:
        source = movable(x)
        if not len(starts) == len(stops) == len(steps) == len(source.shape) or 0 in steps:
            raise InferenceError(f"starts {list(starts)}, stops {list(stops)}, steps {list(steps)} do not fit {source}")
        picked = [range(a, b, s) for a, b, s in zip(starts, stops, steps, strict=True)]
        for n, at in zip(source.shape, picked, strict=True):
            if at.start < 0 or at.stop < (-1 if at.step < 0 else 0) or (at and max(at[0], at[-1]) >= n):
                raise InferenceError(f"slice {at.start}:{at.stop}:{at.step} is not normalised for an axis of {n}")
        return source.with_shape(tuple(map(len, picked)))

    @staticmethod
    def evaluate(x: np.ndarray, *, starts: Sequence[int], stops: Sequence[int], steps: Sequence[int]) -> np.ndarray:
        cuts = (slice(a, None if b < 0 else b, s) for a, b, s in zip(starts, stops, steps, strict=True))
        return x[tuple(cuts)]


@op("nn.gather")
class Gather(OpDecl):
    """y = x's slices along ``axis`` at the given constant indices (ONNX Gather); the indices' shape replaces the axis"""

    operands = ("x",)
    attrs = {"indices": REQUIRED, "axis": 0}

    @staticmethod
    def infer(x: Type, *, indices: np.ndarray, axis: int) -> TensorType | CodeType:
        source = movable(x)
        at = normal_axis(axis, len(source.shape))
        size = source.shape[at]
        if indices.dtype.kind not in "iu":
            raise InferenceError(f"indices are {indices.dtype}, not integers")
        if indices.size and not (-size <= int(indices.min()) and int(indices.max()) < size):
            raise InferenceError(f"an index is outside axis {at} of {source}")
        return source.with_shape((*source.shape[:at], *indices.shape, *source.shape[at + 1 :]))

    @staticmethod
    def evaluate(x: np.ndarray, *, indices: np.ndarray, axis: int) -> np.ndarray:
        return np.take(x, indices, axis=axis)
