"""Level ``k``: products of two computed integer matrices, in stacks as in :mod:`bitc.ir.k_matrices`.

The right side is put in the order of the integer convolution's weights, a 1x1 one of as many channels as it has columns.
"""

from __future__ import annotations

from math import prod

import numpy as np

from bitc.ir.integer_packing import Runs, pack_integer_base, pack_integer_weights, unpack_integer_weights
from bitc.ir.k import as_buffer
from bitc.ir.k_matrices import Pair, check_reach, strided
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.types import BufferType, DType, Type


@op("k.pack_integers")
class PackIntegers(OpDecl):
    """w, base: the matrices x[i·step + k·strides[0] + n·strides[1]] as weights of ``k.iconv`` [matrix][blocks][entries][block][side], and
    lowest · Σ over k of each column, int32 [matrix][blocks · block]; missing columns are 0"""

    operands = ("x",)
    attrs = {
        "stack": REQUIRED, "steps": REQUIRED, "size": REQUIRED, "strides": REQUIRED, "block": REQUIRED, "side": REQUIRED,
        "lowest": 0,
    }  # fmt: skip
    results = 2

    @staticmethod
    def infer(
        x: Type, *, stack: Pair, steps: Pair, size: Pair, strides: Pair, block: int, side: int, lowest: int
    ) -> tuple[BufferType, BufferType]:
        source, (depth, columns) = as_buffer(x), size
        if source.dtype not in (DType.I8, DType.I16):
            raise InferenceError(f"matrices are i8 or i16, got {source}")
        check_reach(source, (*stack, *size), (*steps, *strides))
        blocks = -(-columns // block)
        weights = BufferType((prod(stack), blocks, Runs(1, 1, depth).entries(side), block, side), source.dtype)
        return weights, BufferType((prod(stack), blocks * block), DType.I32)

    @staticmethod
    def evaluate(
        x: np.ndarray, *, stack: Pair, steps: Pair, size: Pair, strides: Pair, block: int, side: int, lowest: int
    ) -> tuple[np.ndarray, np.ndarray]:
        count, (depth, columns) = prod(stack), size
        dense = strided(x, (*stack, *size), (*steps, *strides)).reshape(count, depth, columns).astype(np.int64)
        as_weights = dense.transpose(0, 2, 1).reshape(count * columns, depth, 1, 1)
        packed = pack_integer_weights(as_weights, count, Runs(1, 1, depth), block, side).astype(x.dtype)
        return packed, pack_integer_base((lowest * dense.sum(axis=1)).ravel(), count, block).reshape(count, -1)


@op("k.igemm")
class Igemm(OpDecl):
    """y[s, m, n] = base[t, n] + sum over k of x[s·x_steps + m·row + k] · w[t, k, n], int32, t = s·w_steps; w and base as of
    ``k.pack_integers``

    s runs over the two axes of ``stack``; ``x_steps`` are in elements, ``w_steps`` in matrices; ``chain`` as of ``k.iconv``.
    """

    operands = ("x", "w", "base")
    attrs = {
        "stack": REQUIRED, "x_steps": REQUIRED, "w_steps": REQUIRED, "rows": REQUIRED, "row": REQUIRED, "depth": REQUIRED,
        "channels": REQUIRED, "chain": 0,
    }  # fmt: skip

    @staticmethod
    def infer(
        x: Type, w: Type, base: Type, *, stack: Pair, x_steps: Pair, w_steps: Pair, rows: int, row: int, depth: int,
        channels: int, chain: int,
    ) -> BufferType:  # fmt: skip
        source, weights = as_buffer(x), as_buffer(w, rank=5)
        if (source.dtype, weights.dtype) not in ((DType.U8, DType.I8), (DType.I16, DType.I16)):
            raise InferenceError(f"factors are u8 and i8, or both i16, not {source} and {weights}")
        count, blocks, _, block, side = weights.shape
        fitting = (count, -(-channels // block), Runs(1, 1, depth).entries(side), block, side)
        if weights.shape != fitting or as_buffer(base, DType.I32).shape != (count, blocks * block):
            raise InferenceError(f"{weights} and {base} do not hold {depth}x{channels} matrices")
        check_reach(source, (*stack, rows, depth), (*x_steps, row, 1))
        check_reach(BufferType((count,), weights.dtype), stack, w_steps)
        return BufferType((prod(stack), rows, channels), DType.I32)

    @staticmethod
    def evaluate(
        x: np.ndarray, w: np.ndarray, base: np.ndarray, *, stack: Pair, x_steps: Pair, w_steps: Pair, rows: int, row: int,
        depth: int, channels: int, chain: int,
    ) -> np.ndarray:  # fmt: skip
        left = strided(x, (*stack, rows, depth), (*x_steps, row, 1)).astype(np.float64)
        held = unpack_integer_weights(w, (1, 1), len(w) * channels, Runs(1, 1, depth)).reshape(len(w), channels, depth)
        matrix = strided(np.arange(len(w)), stack, w_steps)
        sums = left @ held.astype(np.float64).transpose(0, 2, 1)[matrix]
        return np.asarray(np.rint(sums) + base[matrix][..., np.newaxis, :channels], dtype=np.int32).reshape(
            -1, rows, channels
        )
