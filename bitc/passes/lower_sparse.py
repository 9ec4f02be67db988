"""Lowering of float products with constant weights most of which are 0, by those that are not, where that costs less."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from bitc.ir import Op, Value
from bitc.ir.k import Halo
from bitc.ir.k_sparse import MOST_COLUMNS, compressed
from bitc.ir.numeric import dense_strides
from bitc.passes.lower_moves import as_shape
from bitc.passes.lowering import Lowering


def by_elements(
    op: Op, x: Value, weights: np.ndarray, attrs: dict[str, Any], halo: Halo, low: Lowering
) -> Value | None:
    """The product of the buffer ``x`` and ``weights`` [M, C, KH, KW] over the weights that are not 0; None where the dense kernel is
    faster.

    Skipping 0·x leaves a sum as it is as long as x is finite; the kernels look, and add what zeros make of anything else. A single
    place takes ``k.fsparse_dots``, more take ``k.fsparse`` over planes.
    """
    costs, kept = low.forms.sparse, int(np.count_nonzero(weights))
    if costs is None or op.attrs.get("group", 1) != 1 or weights[0].size > MOST_COLUMNS or not weights.size:
        return None
    images, rows, columns, channels = x.shape
    places = images * prod(attrs["size"])
    dense = costs.dense_ns(weights.size, places)
    if _is_whole(x, attrs) and not any(halo):
        return _dots(op, x, weights, low) if places * costs.dots_ns(kept, len(weights)) < dense else None
    run = (attrs["size"][0] - 1) * columns + attrs["size"][1]
    each = costs.runs_ns(kept, run, rows * columns * channels, prod(attrs["size"]) * len(weights))
    return _runs(op, x, weights, attrs, halo, low) if set(attrs["strides"]) == {1} and images * each < dense else None


def _is_whole(x: Value, attrs: dict[str, Any]) -> bool:
    """Whether each window is all that one place of the batch holds."""
    return attrs["taps"] == x.shape[1:3] and attrs["size"] == (1, 1) and set(attrs["dilations"]) == {1}


def _dots(op: Op, x: Value, weights: np.ndarray, low: Lowering) -> Value:
    matrix = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1)
    made = low.add("k.fsparse_dots", x, *map(low.constant, compressed(matrix)), like=op)
    return as_shape(made, (x.shape[0], 1, 1, len(weights)), op, low)


def _runs(op: Op, x: Value, weights: np.ndarray, attrs: dict[str, Any], halo: Halo, low: Lowering) -> Value:
    images, rows, columns, channels = x.shape
    planes = x
    if channels > 1 and rows * columns > 1:
        held = dense_strides(x.shape)
        moved = tuple(held[axis] for axis in (0, 3, 1, 2))
        planes = low.add("k.strided", x, shape=(images, channels, rows, columns), strides=moved, like=op)
    down, across = (attrs["at"][axis] + np.arange(attrs["taps"][axis]) * attrs["dilations"][axis] for axis in range(2))
    plane = (down[:, np.newaxis] * columns + across).reshape(-1)
    reads = (np.arange(channels)[:, np.newaxis] * rows * columns + plane).reshape(-1).astype(np.int32)
    constants = map(low.constant, (*compressed(weights.reshape(len(weights), -1)), reads))
    return low.add("k.fsparse", planes, *constants, like=op, size=attrs["size"], pitch=columns, halo=halo)
