"""Level ``k``: products of images that are mostly zeros, such as spikes. The places of what is not zero are listed, and only they are
multiplied."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitc.ir.k import NO_HALO, WINDOW, Halo, as_buffer, surround, windows_of, with_halo
from bitc.ir.k_float import convolve_images
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.types import BufferType, DType, Type

VECTOR, MOST_VECTORS = 8, 8
"""Output channels of a vector, and vectors of a block of weights."""


def block_of(channels: int) -> int:
    """Output channels of a block of weights: blocks are as even as whole vectors allow, and never more than :data:`MOST_VECTORS`.

    >>> block_of(5), block_of(64), block_of(96), block_of(256)
    (8, 64, 48, 64)
    """
    vectors = -(-channels // VECTOR)
    blocks = -(-vectors // MOST_VECTORS)
    return VECTOR * -(-vectors // blocks)


def pack_event_weights(weights: np.ndarray) -> np.ndarray:
    """Weights [M, C, KH, KW] as [blocks][KH][KW·C][block], float32, missing channels zero."""
    channels, depth, rows, columns = weights.shape
    block = block_of(channels)
    padded = np.pad(weights, [(0, -channels % block), (0, 0), (0, 0), (0, 0)])
    blocked = padded.reshape(-1, block, depth, rows, columns).transpose(0, 3, 4, 2, 1)
    return np.ascontiguousarray(blocked, np.float32).reshape(-1, rows, columns * depth, block)


def unpack_event_weights(packed: np.ndarray, taps: tuple[int, int], channels: int) -> np.ndarray:
    """The weights [M, C, KH, KW] again.

    >>> w = np.arange(2 * 3 * 1 * 2, dtype=np.float32).reshape(2, 3, 1, 2)
    >>> bool((unpack_event_weights(pack_event_weights(w), (1, 2), 2) == w).all())
    True
    """
    blocks, rows, run, block = packed.shape
    apart = packed.reshape(blocks, rows, taps[1], run // taps[1], block).transpose(0, 4, 3, 1, 2)
    return apart.reshape(blocks * block, run // taps[1], rows, taps[1])[:channels]


@op("k.events")
class Events(OpDecl):
    """lists of a row: for each pixel and the end, how many numbers before it are not zero; then the places of these in the row, then
    zeros"""

    operands = ("x",)

    @staticmethod
    def infer(x: Type) -> BufferType:
        images, rows, columns, channels = as_buffer(x, DType.F32, 4).shape
        return BufferType((images, rows, 1, columns + 1 + columns * channels), DType.I32)

    @staticmethod
    def evaluate(x: np.ndarray) -> np.ndarray:
        images, rows, columns, channels = x.shape
        lists = np.zeros((images, rows, 1, columns + 1 + columns * channels), np.int32)
        for image, row in np.ndindex(images, rows):
            places = np.flatnonzero(x[image, row].reshape(-1))
            lists[image, row, 0, : columns + 1] = np.searchsorted(places, channels * np.arange(columns + 1))
            lists[image, row, 0, columns + 1 : columns + 1 + places.size] = places
        return lists


@op("k.fconv_events")
class FconvEvents(OpDecl):
    """y = convolution of x with w, float32, of what ``lists`` (``k.events`` of x) name; w lies as [blocks][KH][KW·C][block], all finite"""

    operands = ("x", "lists", "w")
    attrs = {**WINDOW, "channels": REQUIRED, "halo": NO_HALO}

    @staticmethod
    def infer(x: Type, lists: Type, w: Type, *, channels: int, halo: Halo, **attrs: Any) -> BufferType:
        source, windows = as_buffer(x, DType.F32, 4), windows_of(attrs)
        windows.check(source)
        weights, (rows, columns) = as_buffer(w, DType.F32, 4), windows.taps
        if as_buffer(lists, DType.I32, 4) != Events.infer(x):
            raise InferenceError(f"lists {lists} are not those of {source}")
        if columns > 1 and windows.dilations[1] != 1:
            raise InferenceError("taps of one row of a window are neighbours")
        block = block_of(channels)
        if weights.shape != (-(-channels // block), rows, columns * source.shape[3], block):
            raise InferenceError(f"weights {weights} do not fit {source} and {channels} channels")
        return BufferType((source.shape[0], *with_halo(windows.size, halo), channels), DType.F32)

    @staticmethod
    def evaluate(
        x: np.ndarray, lists: np.ndarray, w: np.ndarray, *, channels: int, halo: Halo, **attrs: Any
    ) -> np.ndarray:
        weights = unpack_event_weights(w, windows_of(attrs).taps, channels)
        return surround(convolve_images(x, weights, {**attrs, "group": 1}), halo)
