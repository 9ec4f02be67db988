"""Level ``k``: products of two computed matrices, in stacks. Stacks have at most two axes, each with its step on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from bitc.ir.k import NO_HALO, WINDOW, Halo, as_buffer, surround, windows_of, with_halo
from bitc.ir.k_float import convolve_images
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.types import BufferType, DType, Type

Pair = tuple[int, int]


def strided(x: np.ndarray, shape: Sequence[int], strides: Sequence[int]) -> np.ndarray:
    """The elements x[sum of index · stride] of flat memory.

    >>> strided(np.arange(6), (3, 2), (1, 3)).tolist()
    [[0, 3], [1, 4], [2, 5]]
    """
    index = np.asarray(0)
    for n, s in zip(shape, strides, strict=True):
        index = index[..., np.newaxis] + np.arange(n) * s
    return np.asarray(x.reshape(-1)[index])


def check_reach(x: BufferType, shape: Sequence[int], strides: Sequence[int]) -> None:
    """Raises :class:`InferenceError` where :func:`strided` would read outside ``x``."""
    spans = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    if min(shape) < 1 or min(strides) < 0 or sum(spans) >= x.size:
        raise InferenceError(f"shape {list(shape)} with strides {list(strides)} reads outside {x}")


@op("k.pack_matrices")
class PackMatrices(OpDecl):
    """w[i, j, k, l] = x[i·step + k·strides[0] + (j·block + l)·strides[1]], 0 past the last column: the order ``k.gemm`` reads

    ``steps`` and ``stack`` list the axes of the stack; i runs over all of them.
    """

    operands = ("x",)
    attrs = {"stack": REQUIRED, "steps": REQUIRED, "size": REQUIRED, "strides": REQUIRED, "block": REQUIRED}

    @staticmethod
    def infer(x: Type, *, stack: Pair, steps: Pair, size: Pair, strides: Pair, block: int) -> BufferType:
        check_reach(as_buffer(x, DType.F32), (*stack, *size), (*steps, *strides))
        return BufferType((prod(stack), -(-size[1] // block), size[0], block), DType.F32)

    @staticmethod
    def evaluate(x: np.ndarray, *, stack: Pair, steps: Pair, size: Pair, strides: Pair, block: int) -> np.ndarray:
        dense = strided(x, (*stack, *size), (*steps, *strides)).reshape(-1, *size)
        return pack_matrices(dense, block)


def pack_matrices(w: np.ndarray, block: int) -> np.ndarray:
    """A stack [S, K, N] in blocks of columns [S, ceil(N/block), K, block], missing columns 0."""
    blocks = -(-w.shape[2] // block)
    padded = np.pad(w, ((0, 0), (0, 0), (0, blocks * block - w.shape[2])))
    return np.ascontiguousarray(padded.reshape(w.shape[0], w.shape[1], blocks, block).transpose(0, 2, 1, 3))


@op("k.gemm")
class Gemm(OpDecl):
    """y[s, m, n] = sum over k of a[s·a_steps + m·row + k] · w[s·w_steps, n / block, k, n % block], float32

    s runs over the two axes of ``stack``; ``a_steps`` are in elements, ``w_steps`` in matrices.
    """

    operands = ("a", "w")
    attrs = {
        "stack": REQUIRED, "a_steps": REQUIRED, "w_steps": REQUIRED, "rows": REQUIRED, "row": REQUIRED, "channels": REQUIRED,
        "block": REQUIRED,
    }  # fmt: skip

    @staticmethod
    def infer(
        a: Type, w: Type, *, stack: Pair, a_steps: Pair, w_steps: Pair, rows: int, row: int, channels: int, block: int
    ) -> BufferType:
        weights = as_buffer(w, DType.F32, 4)
        if weights.shape[1] != -(-channels // block) or weights.shape[3] != block:
            raise InferenceError(f"{weights} does not hold {channels} columns in blocks of {block}")
        check_reach(as_buffer(a, DType.F32), (*stack, rows, weights.shape[2]), (*a_steps, row, 1))
        check_reach(BufferType(weights.shape[:1], DType.F32), stack, w_steps)
        return BufferType((prod(stack), rows, channels), DType.F32)

    @staticmethod
    def evaluate(
        a: np.ndarray, w: np.ndarray, *, stack: Pair, a_steps: Pair, w_steps: Pair, rows: int, row: int, channels: int,
        block: int,
    ) -> np.ndarray:  # fmt: skip
        depth = w.shape[2]
        left = strided(a, (*stack, rows, depth), (*a_steps, row, 1))
        matrices = w.transpose(0, 2, 1, 3).reshape(w.shape[0], depth, -1)[..., :channels]
        return np.asarray(left @ matrices[strided(np.arange(w.shape[0]), stack, w_steps)]).reshape(-1, rows, channels)


@op("k.matmul")
class MatMulKernel(OpDecl):
    """y[s, m, n] = sum over k of a[s·a_steps + m·a_strides[0] + k·a_strides[1]] · b[s·b_steps + k·b_strides[0] + n·b_strides[1]]

    In any dtype, integers modulo 2^bits; ``size`` is (m, k, n), s runs over the two axes of ``stack``.
    """

    operands = ("a", "b")
    attrs = {
        "stack": REQUIRED, "a_steps": REQUIRED, "b_steps": REQUIRED, "size": REQUIRED, "a_strides": REQUIRED,
        "b_strides": REQUIRED,
    }  # fmt: skip

    @staticmethod
    def infer(
        a: Type, b: Type, *, stack: Pair, a_steps: Pair, b_steps: Pair, size: tuple[int, int, int], a_strides: Pair,
        b_strides: Pair,
    ) -> BufferType:  # fmt: skip
        left, right = as_buffer(a), as_buffer(b)
        if left.dtype is not right.dtype or left.dtype is DType.BOOL:
            raise InferenceError(f"{left} and {right} do not multiply")
        check_reach(left, (*stack, *size[:2]), (*a_steps, *a_strides))
        check_reach(right, (*stack, *size[1:]), (*b_steps, *b_strides))
        return BufferType((prod(stack), size[0], size[2]), left.dtype)

    @staticmethod
    def evaluate(
        a: np.ndarray, b: np.ndarray, *, stack: Pair, a_steps: Pair, b_steps: Pair, size: tuple[int, int, int],
        a_strides: Pair, b_strides: Pair,
    ) -> np.ndarray:  # fmt: skip
        left = strided(a, (*stack, *size[:2]), (*a_steps, *a_strides))
        right = strided(b, (*stack, *size[1:]), (*b_steps, *b_strides))
        return np.asarray(left @ right).reshape(-1, size[0], size[2])


@op("k.plain_conv")
class PlainConv(OpDecl):
    """y = convolution of x with w [M, KH, KW, C/group] of its own dtype, integers modulo 2^bits; for what has no faster kernel"""

    operands = ("x", "w")
    attrs = {**WINDOW, "group": 1, "halo": NO_HALO}

    @staticmethod
    def infer(x: Type, w: Type, *, group: int, halo: Halo, **attrs: Any) -> BufferType:
        source, windows = as_buffer(x, rank=4), windows_of(attrs)
        weights = as_buffer(w, source.dtype, 4)
        windows.check(source)
        if weights.shape[1:] != (*windows.taps, source.shape[3] // group) or weights.shape[0] % group:
            raise InferenceError(f"weights {weights} do not fit {source} in {group} groups")
        return BufferType((source.shape[0], *with_halo(windows.size, halo), weights.shape[0]), source.dtype)

    @staticmethod
    def evaluate(x: np.ndarray, w: np.ndarray, *, group: int, halo: Halo, **attrs: Any) -> np.ndarray:
        return surround(convolve_images(x, w.transpose(0, 3, 1, 2), {**attrs, "group": group}), halo)
