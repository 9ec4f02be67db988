"""Level ``k``: kernels on buffers of integers: convolutions, max pooling. Geometry as in :mod:`bitc.ir.k`.

Activations are u8 or i16 with their halo, which holds the stored form of real zero; sums are int32, exact: whoever makes these ops has
proved that every partial sum fits. Constants lie as :mod:`bitc.ir.integer_packing` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bitc.ir import numeric
from bitc.ir.integer_packing import (
    Runs,
    runs_of,
    unpack_depthwise_weights,
    unpack_integer_base,
    unpack_integer_weights,
)
from bitc.ir.k import NO_HALO, WINDOW, Halo, as_buffer, inside, surround, windows_of, with_halo
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.placed_weights import SIDE, Walk, unplace_weights
from bitc.ir.types import BufferType, DType, Shape, Type
from bitc.ir.winograd import CHANNEL_STEP, scratch_row_bytes, unpack_winograd_weights


def runs_in(x: Shape, attrs: Mapping[str, Any], group: int) -> Runs:
    """The runs of a ``k.iconv`` with ``attrs`` over a buffer ``x`` [N, rows, columns, C]."""
    return runs_of(attrs["taps"], attrs["dilations"], x[2], x[3], group)


def walk_in(x: Shape, attrs: Mapping[str, Any]) -> Walk:
    """From run to run of a window with ``attrs`` over a buffer ``x`` [N, rows, columns, C]."""
    dilations = attrs["dilations"]
    return Walk(dilations[0] * x[2] * x[3], dilations[1] * x[3])


def _source(x: Type, attrs: Mapping[str, Any]) -> BufferType:
    source = as_buffer(x, rank=4)
    if source.dtype not in (DType.U8, DType.I16):
        raise InferenceError(f"activations are u8 or i16, got {x}")
    windows_of(attrs).check(source)
    return source


def convolve(x: np.ndarray, w: np.ndarray, base: np.ndarray, group: int, attrs: Mapping[str, Any]) -> np.ndarray:
    """int32 [N, OH, OW, M] of buffer ``x``, weights [M, C/group, KH, KW]; float64 holds every sum below 2^53."""
    windows = windows_of(attrs)
    image = x[:, windows.at[0] :, windows.at[1] :].transpose(0, 3, 1, 2).astype(np.float64)
    sums = numeric.convolve(image, w.astype(np.float64), windows.strides, windows.dilations, group)
    rows, columns = windows.size
    return np.asarray(sums.transpose(0, 2, 3, 1)[:, :rows, :columns] + base, dtype=np.int32)


@op("k.iconv")
class Iconv(OpDecl):
    """y[n,y,x,m] = base[m] + Σ window(x) · w[m], int32; w lies as [group][ceil(M/group/block)][entries][block][side], base as
    [group · blocks · block]; ``chain``: what :func:`~bitc.ir.integer_packing.longest_chain` says, or 0 if nothing is known"""

    operands = ("x", "w", "base")
    attrs = {**WINDOW, "channels": REQUIRED, "group": 1, "chain": 0}

    @staticmethod
    def infer(x: Type, w: Type, base: Type, *, channels: int, group: int, **attrs: Any) -> BufferType:
        source, weights = _source(x, attrs), as_buffer(w, rank=5)
        if source.shape[3] % group or channels % group:
            raise InferenceError(f"{group} groups do not divide {source} and {channels} channels")
        if weights.dtype is not DType.I8 and (weights.dtype, source.dtype) != (DType.I16, DType.I16):
            raise InferenceError(f"weights are i8, or i16 beside i16 activations, got {w} beside {x}")
        _, blocks, _, block, side = weights.shape
        runs = runs_in(source.shape, attrs, group)
        fitting = (group, -(-channels // group // block), runs.entries(side), block, side)
        if weights.shape != fitting or as_buffer(base, DType.I32).shape != (group * blocks * block,):
            raise InferenceError(f"weights {w} and base {base} do not fit {runs} of {x} and {channels} channels")
        return BufferType((source.shape[0], *attrs["size"], channels), DType.I32)

    @staticmethod
    def evaluate(
        x: np.ndarray, w: np.ndarray, base: np.ndarray, *, channels: int, group: int, **attrs: Any
    ) -> np.ndarray:
        runs = runs_in(x.shape, attrs, group)
        weights = unpack_integer_weights(w, windows_of(attrs).taps, channels, runs)
        return convolve(x, weights, unpack_integer_base(base, group, channels), group, attrs)


@op("k.iconv_placed")
class IconvPlaced(OpDecl):
    """y as ``k.iconv`` of u8 activations; the weights are entries i8 [group · blocks][entries][block][4] with their places i32
    [group · blocks][entries + 1], as :mod:`bitc.ir.placed_weights` says"""

    operands = ("x", "w", "places", "base")
    attrs = {**WINDOW, "channels": REQUIRED, "group": 1}

    @staticmethod
    def infer(x: Type, w: Type, places: Type, base: Type, *, channels: int, group: int, **attrs: Any) -> BufferType:
        source, weights = _source(x, attrs), as_buffer(w, DType.I8, 4)
        if source.dtype is not DType.U8 or source.shape[3] % group or channels % group:
            raise InferenceError(f"activations are u8 in {group} groups, {source} and {channels} channels are not")
        rows, entries, block, side = weights.shape
        if (rows, side) != (group * -(-channels // group // block), SIDE) or runs_in(
            source.shape, attrs, group
        ).length < SIDE:
            raise InferenceError(f"weights {w} do not fit {x} and {channels} channels in {group} groups")
        if as_buffer(places, DType.I32).shape != (rows, entries + 1) or as_buffer(base, DType.I32).shape != (
            rows * block,
        ):
            raise InferenceError(f"places {places} and base {base} do not fit weights {w}")
        return BufferType((source.shape[0], *attrs["size"], channels), DType.I32)

    @staticmethod
    def evaluate(
        x: np.ndarray, w: np.ndarray, places: np.ndarray, base: np.ndarray, *, channels: int, group: int, **attrs: Any
    ) -> np.ndarray:
        runs, taps = runs_in(x.shape, attrs, group), windows_of(attrs).taps
        weights = unplace_weights(w, places, taps, channels, group, runs, walk_in(x.shape, attrs))
        return convolve(x, weights, unpack_integer_base(base, group, channels), group, attrs)


@op("k.iwinograd")
class Iwinograd(OpDecl):
    """y, scratch: y as ``k.iconv`` of 3x3 taps, strides and dilations of 1, computed as :mod:`bitc.ir.winograd` says, ``together`` rows
    at a time; w lies as i16 [16][ceil(M/block)][C/side][block][side]. The scratch [1, rows, bytes, 1] means nothing to anyone"""

    operands = ("x", "w", "base")
    attrs = {**WINDOW, "channels": REQUIRED, "together": REQUIRED}
    results = 2

    @staticmethod
    def infer(
        x: Type, w: Type, base: Type, *, channels: int, together: int, **attrs: Any
    ) -> tuple[BufferType, BufferType]:
        source, weights = _source(x, attrs), as_buffer(w, DType.I16, 5)
        (rows, columns), in_c = attrs["size"], source.shape[3]
        if attrs["taps"] != (3, 3) or attrs["strides"] != (1, 1) or attrs["dilations"] != (1, 1):
            raise InferenceError("taps are 3x3, strides and dilations 1")
        if source.dtype is not DType.I16 or in_c % CHANNEL_STEP or together % 2:
            raise InferenceError(
                f"activations are i16, channels come by {CHANNEL_STEP}, rows by two: {x}, {together} rows"
            )
        blocks, block, side = -(-channels // weights.shape[3]), weights.shape[3], weights.shape[4]
        fitting = (16, blocks, in_c // side, block, side)
        if weights.shape != fitting or as_buffer(base, DType.I32).shape != (blocks * block,):
            raise InferenceError(f"weights {w} and base {base} do not fit {x} and {channels} channels")
        scratch = BufferType((1, rows, scratch_row_bytes((rows, columns), in_c, together), 1), DType.U8)
        return BufferType((source.shape[0], rows, columns, channels), DType.I32), scratch

    @staticmethod
    def evaluate(
        x: np.ndarray, w: np.ndarray, base: np.ndarray, *, channels: int, together: int, **attrs: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        taps = unpack_winograd_weights(w, channels, x.shape[3])
        scratch = np.zeros((1, attrs["size"][0], scratch_row_bytes(attrs["size"], x.shape[3], together), 1), np.uint8)
        return convolve(x, taps, unpack_integer_base(base, 1, channels), 1, attrs), scratch


@op("k.idepthwise")
class Idepthwise(OpDecl):
    """y[n,y,x,c] = base[c] + Σ window(x)[c] · w[c], int32; w lies as i16 [ceil(C/block)][ceil(KH·KW/side)][block][side]. ``by_row``: the
    columns of a row are lanes as channels are, so w and base are those of columns · C channels, the same C for each column"""

    operands = ("x", "w", "base")
    attrs = {**WINDOW, "by_row": False}

    @staticmethod
    def infer(x: Type, w: Type, base: Type, *, by_row: bool, **attrs: Any) -> BufferType:
        source, weights = _source(x, attrs), as_buffer(w, DType.I16, 4)
        if by_row and attrs["strides"][1] != 1:
            raise InferenceError(f"a row is computed as channels where its stride is 1, not {attrs['strides'][1]}")
        (rows, cols), channels = windows_of(attrs).taps, source.shape[3]
        lanes = channels * (attrs["size"][1] if by_row else 1)
        _, _, block, side = weights.shape
        if weights.shape[:2] != (-(-lanes // block), -(-rows * cols // side)):
            raise InferenceError(f"weights {w} do not fit {x}")
        if as_buffer(base, DType.I32).shape != (lanes,):
            raise InferenceError(f"base {base} does not fit {x}")
        return BufferType((source.shape[0], *attrs["size"], channels), DType.I32)

    @staticmethod
    def evaluate(x: np.ndarray, w: np.ndarray, base: np.ndarray, *, by_row: bool, **attrs: Any) -> np.ndarray:
        channels = x.shape[3]
        weights = unpack_depthwise_weights(w, windows_of(attrs).taps, base.size)[..., :channels]
        return convolve(x, weights.transpose(2, 0, 1)[:, np.newaxis], base[:channels], channels, attrs)


@op("k.ipool")
class Ipool(OpDecl):
    """y = maximum over the taps inside the image, u8, i8 or i16"""

    operands = ("x",)
    attrs = {**WINDOW, "x_halo": NO_HALO, "halo": NO_HALO}

    @staticmethod
    def infer(x: Type, *, x_halo: Halo, halo: Halo, **attrs: Any) -> BufferType:
        source = as_buffer(x, rank=4)
        if source.dtype not in (DType.U8, DType.I8, DType.I16):
            raise InferenceError(f"pools of integers take u8, i8 or i16, got {x}")
        return BufferType((source.shape[0], *with_halo(windows_of(attrs).size, halo), source.shape[3]), source.dtype)

    @staticmethod
    def evaluate(x: np.ndarray, *, x_halo: Halo, halo: Halo, **attrs: Any) -> np.ndarray:
        view = windows_of(attrs).view_clipped(inside(x, x_halo), np.iinfo(x.dtype).min)
        return surround(view.max(axis=(4, 5)).transpose(0, 2, 3, 1), halo)
