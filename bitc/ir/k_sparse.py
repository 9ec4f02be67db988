"""Level ``k``: products with constant matrices most of whose elements are 0. Only the others are stored, and multiplied."""

from __future__ import annotations

import numpy as np

from bitc.ir.k import NO_HALO, Halo, as_buffer, surround, with_halo
from bitc.ir.k_matrices import Pair
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.types import BufferType, DType, Type

MOST_COLUMNS = 65536
"""Columns that a number of 16 bits tells apart."""


def compressed(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``matrix`` [M, K] in compressed sparse rows: where each row starts (int32 [M + 1]), columns (uint16), and values (float32) of what is
    not 0. There is at least one entry, so that no array is empty: of a matrix of zeros its first.

    >>> [part.tolist() for part in compressed(np.array([[0, 2.0], [0, 0], [3, 4]]))]
    [[0, 1, 1, 3], [1, 0, 1], [2.0, 3.0, 4.0]]
    """
    kept = matrix != 0
    if not kept.any():
        kept[0, 0] = True
    starts = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32)
    return starts, np.nonzero(kept)[1].astype(np.uint16), matrix[kept].astype(np.float32)


def expanded(starts: np.ndarray, columns: np.ndarray, values: np.ndarray, depth: int) -> np.ndarray:
    """The matrix [M, depth] again.

    >>> expanded(*compressed(np.array([[0, 2.0], [0, 0], [3, 4]])), 2).tolist()
    [[0.0, 2.0], [0.0, 0.0], [3.0, 4.0]]
    """
    matrix = np.zeros((starts.size - 1, depth), np.float32)
    matrix[np.repeat(np.arange(starts.size - 1), np.diff(starts)), columns] = values
    return matrix


def _rows(x: Type, starts: Type, columns: Type, values: Type) -> tuple[int, int]:
    """Images and rows of the matrix."""
    images, first = as_buffer(x, DType.F32).shape[0], as_buffer(starts, DType.I32, 1)
    if as_buffer(columns, DType.U16, 1).shape != as_buffer(values, DType.F32, 1).shape:
        raise InferenceError(f"{columns} and {values} are not of the same elements")
    return images, first.shape[0] - 1


@op("k.fsparse")
class Fsparse(OpDecl):
    """y[n, i, j, m] = Σ_k w[m, k] · x[n, reads[k] + i·pitch + j], float32, inside ``halo``; of w what is not 0, row by row

    x is an image of planes with rows of ``pitch``; ``size``: the pixels (i, j) of the result.
    """

    operands = ("x", "starts", "columns", "values", "reads")
    attrs = {"size": REQUIRED, "pitch": REQUIRED, "halo": NO_HALO}

    @staticmethod
    def infer(
        x: Type, starts: Type, columns: Type, values: Type, reads: Type, *, size: Pair, pitch: int, halo: Halo
    ) -> BufferType:
        images, rows = _rows(x, starts, columns, values)
        if as_buffer(reads, DType.I32, 1).size > MOST_COLUMNS or pitch < size[1]:
            raise InferenceError(f"{reads} are too many columns, or rows of {size[1]} do not fit {pitch}")
        return BufferType((images, *with_halo(size, halo), rows), DType.F32)

    @staticmethod
    def evaluate(
        x: np.ndarray, starts: np.ndarray, columns: np.ndarray, values: np.ndarray, reads: np.ndarray, *, size: Pair,
        pitch: int, halo: Halo,
    ) -> np.ndarray:  # fmt: skip
        places = np.add.outer(np.arange(size[0]) * pitch, np.arange(size[1]))
        read = x.reshape(len(x), -1)[:, places[..., np.newaxis] + reads]
        return surround(read @ expanded(starts, columns, values, reads.size).T, halo)


@op("k.fsparse_dots")
class FsparseDots(OpDecl):
    """y[n, m] = Σ_k w[m, k] · x[n, k], float32; of w what is not 0, row by row"""

    operands = ("x", "starts", "columns", "values")

    @staticmethod
    def infer(x: Type, starts: Type, columns: Type, values: Type) -> BufferType:
        images, rows = _rows(x, starts, columns, values)
        if as_buffer(x).size // images > MOST_COLUMNS:
            raise InferenceError(f"{x} are too many columns")
        return BufferType((images, rows), DType.F32)

    @staticmethod
    def evaluate(x: np.ndarray, starts: np.ndarray, columns: np.ndarray, values: np.ndarray) -> np.ndarray:
        flat = x.reshape(len(x), -1)
        return np.asarray(flat @ expanded(starts, columns, values, flat.shape[1]).T)
