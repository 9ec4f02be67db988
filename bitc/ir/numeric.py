"""NumPy arithmetic shared by the op declarations: windows over images, and the exact or float product over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np

Pads = Sequence[int]
"""ONNX order: begins of all spatial axes, then ends."""

FLOAT64_EXACT = 1 << 53


def window_count(
    size: int, kernel: int, stride: int, dilation: int, pad_begin: int, pad_end: int, ceil: bool = False
) -> int:
    """Number of window positions along one axis (ONNX's formula: rounding up, a window may be larger than the image).

    >>> window_count(28, 3, 2, 1, 0, 1), window_count(5, 2, 2, 1, 0, 0, ceil=True), window_count(1, 2, 2, 1, 0, 0, ceil=True)
    (14, 3, 1)
    """
    span = size + pad_begin + pad_end - dilation * (kernel - 1) - 1
    count = max(0, -(-span // stride) + 1 if ceil else span // stride + 1)
    if ceil and (count - 1) * stride >= size + pad_begin:
        count -= 1  # a window that would start in the end padding does not count
    return count


def pad_spatial(x: np.ndarray, pads: Pads, value: float) -> np.ndarray:
    """``x`` [N, C, *spatial] with ``value`` around its spatial axes."""
    rank = len(pads) // 2
    if not any(pads):
        return x
    widths = [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
    return np.pad(x, widths, constant_values=value)


def lowest_value(dtype: np.dtype) -> float:
    """What never wins a maximum: minus infinity, the least integer, or false."""
    return -np.inf if dtype.kind == "f" else 0 if dtype.kind == "b" else int(np.iinfo(dtype).min)


def highest_value(dtype: np.dtype) -> float:
    """What never wins a minimum."""
    return np.inf if dtype.kind == "f" else 1 if dtype.kind == "b" else int(np.iinfo(dtype).max)


def windows(x: np.ndarray, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> np.ndarray:
    """A view [N, C, *out, *kernel] of all windows of ``x`` [N, C, *spatial] (no padding)."""
    rank = len(kernel)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, spans, axis=tuple(range(2, 2 + rank)))
    steps = tuple(slice(None, None, s) for s in strides)
    taps = tuple(slice(None, None, d) for d in dilations)
    return view[(slice(None), slice(None), *steps, *taps)]


def convolve(x: np.ndarray, w: np.ndarray, strides: Sequence[int], dilations: Sequence[int], group: int) -> np.ndarray:
    """Cross-correlation of ``x`` [N, C, *spatial] (already padded) with ``w`` [M, C/group, *kernel], in the arrays' own dtype.

    For integer codes pass float64: every sum below 2^53 is exact and BLAS does the work.
    """
    rank = w.ndim - 2
    view = windows(x, w.shape[2:], strides, dilations)
    n, out = view.shape[0], view.shape[2 : 2 + rank]
    per_group_in, per_group_out = w.shape[1], w.shape[0] // group
    y = np.empty((n, w.shape[0], *out), dtype=x.dtype)
    axes = (0, *range(2, 2 + rank), 1, *range(2 + rank, 2 + 2 * rank))
    for g in range(group):
        part = view[:, g * per_group_in : (g + 1) * per_group_in].transpose(axes).reshape(n * int(np.prod(out)), -1)
        rows = w[g * per_group_out : (g + 1) * per_group_out].reshape(per_group_out, -1)
        product = (part @ rows.T).reshape(n, *out, per_group_out)
        y[:, g * per_group_out : (g + 1) * per_group_out] = np.moveaxis(product, -1, 1)
    return y


def product(
    multiply: Callable[[np.ndarray, np.ndarray], np.ndarray], x: np.ndarray, w: np.ndarray, terms: int
) -> np.ndarray:
    """``multiply(x, w)``, a sum of ``terms`` products each element, in the arrays' own dtype; integers are exact and wrap around.

    BLAS knows no integers: where every sum stays below 2^53 float64 does the work, else 64-bit integers, which wrap alike.
    """
    if x.dtype.kind == "f":
        return multiply(x, w)
    largest = [max(abs(int(a.max(initial=0))), abs(int(a.min(initial=0)))) for a in (x, w)]
    if largest[0] * largest[1] * terms < FLOAT64_EXACT:
        exact = multiply(x.astype(np.float64), w.astype(np.float64)).astype(np.int64)
    else:
        exact = multiply(x.astype(np.int64), w.astype(np.int64))
    return exact.astype(x.dtype)


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides in elements.

    >>> dense_strides((2, 3, 4))
    (12, 4, 1)
    """
    return tuple(accumulate((1, *reversed(shape[1:])), lambda a, b: a * b))[::-1] if shape else ()
