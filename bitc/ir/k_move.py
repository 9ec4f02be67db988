"""Level ``k``: moving elements between buffers of numbers, and the layout op by which the layout pass asks for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitc.ir.k import as_buffer
from bitc.ir.nn_tensor import movable
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.q import as_codes
from bitc.ir.types import BufferType, CodeType, DType, Layout, TensorType, Type


@op("k.relayout")
class Relayout(OpDecl):
    """y = x in another layout; the same tensor, so at this level nothing happens"""

    operands = ("x",)
    attrs = {"layout": REQUIRED}

    @staticmethod
    def infer(x: Type, *, layout: str) -> TensorType | CodeType:
        return movable(x).with_layout(Layout(layout))

    @staticmethod
    def evaluate(x: np.ndarray, *, layout: str) -> np.ndarray:
        return x


@op("k.levels")
class LevelsOf(OpDecl):
    """y = the levels of codes as float32, without their scale"""

    operands = ("x",)

    @staticmethod
    def infer(x: Type) -> TensorType:
        return TensorType(as_codes(x).shape, DType.F32)

    @staticmethod
    def evaluate(x: np.ndarray) -> np.ndarray:
        return x.astype(np.float32)


@op("k.strided")
class Strided(OpDecl):
    """y[i0, i1, ...] = x[start + i0·strides[0] + i1·strides[1] + ...], x as flat memory: permutes, slices, repeats"""

    operands = ("x",)
    attrs = {"shape": REQUIRED, "strides": REQUIRED, "start": 0}

    @staticmethod
    def infer(x: Type, *, shape: Sequence[int], strides: Sequence[int], start: int) -> BufferType:
        source = as_buffer(x)
        spans = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
        low, high = start + sum(min(s, 0) for s in spans), start + sum(max(s, 0) for s in spans)
        if min(shape, default=1) < 0 or (all(shape) and (low < 0 or high >= source.size)):
            raise InferenceError(
                f"shape {list(shape)} with strides {list(strides)} from {start} reads outside {source}"
            )
        return BufferType(tuple(shape), source.dtype)

    @staticmethod
    def evaluate(x: np.ndarray, *, shape: Sequence[int], strides: Sequence[int], start: int) -> np.ndarray:
        index = np.asarray(start)
        for n, s in zip(shape, strides, strict=True):
            index = index[..., np.newaxis] + np.arange(n) * s
        return np.asarray(x.reshape(-1)[index])


@op("k.place")
class Place(OpDecl):
    """y filled with ``value``, then each operand, dense, put with its corner at its entry of ``at``: padding, concatenation"""

    operands = ("x*",)
    attrs = {"shape": REQUIRED, "at": REQUIRED, "value": 0.0}

    @staticmethod
    def infer(*xs: Type, shape: Sequence[int], at: Sequence[Sequence[int]], value: float) -> BufferType:
        parts = [as_buffer(x, rank=len(shape)) for x in xs]
        for part, corner in zip(parts, at, strict=True):
            if part.dtype is not parts[0].dtype or any(
                c < 0 or c + n > s for c, n, s in zip(corner, part.shape, shape, strict=True)
            ):
                raise InferenceError(f"{part} at {list(corner)} does not fit {list(shape)} of {parts[0].dtype}")
        return BufferType(tuple(shape), parts[0].dtype)

    @staticmethod
    def evaluate(*xs: np.ndarray, shape: Sequence[int], at: Sequence[Sequence[int]], value: float) -> np.ndarray:
        y = np.full(tuple(shape), value, xs[0].dtype)
        for x, corner in zip(xs, at, strict=True):
            y[tuple(slice(c, c + n) for c, n in zip(corner, x.shape, strict=True))] = x
        return y


@op("k.gather")
class GatherKernel(OpDecl):
    """y[o, j] = x[o, indices[j]] of runs: x as [outer, length, inner], y as [outer, len(indices), inner]"""

    operands = ("x", "indices")

    @staticmethod
    def infer(x: Type, indices: Type) -> BufferType:
        source, table = as_buffer(x, rank=3), as_buffer(indices, rank=1)
        return BufferType((source.shape[0], table.shape[0], source.shape[2]), source.dtype)

    @staticmethod
    def evaluate(x: np.ndarray, indices: np.ndarray) -> np.ndarray:
        return x[:, indices]
