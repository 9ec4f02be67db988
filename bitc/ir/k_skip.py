"""Level ``k``: products of bits along trees of channels that skip equal nibbles (:mod:`bitc.ir.skipping`). Geometry and packing as in
:mod:`bitc.ir.k`."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitc.ir.channel_tree import ROOT
from bitc.ir.k import NO_HALO, Halo, as_buffer, surround, windows_of, with_halo
from bitc.ir.k_pixels import PIXEL_PRODUCT, check_base, check_nodes, check_pixels, numbers_of
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.packing import pack_bits, unpack_bits, words_of
from bitc.ir.skipping import GROUP, MOST_BYTES, NODE, ROWS, limits_of, nibble_planes
from bitc.ir.types import BufferType, DType, Type


def _scratch(attrs: dict[str, Any], words: int) -> BufferType:
    """What the kernels work in: bytes of nibbles, int16 counts, and the lanes of the bits of ``words`` words; for numbers, where that is
    0, all counts."""
    layout = nibble_planes(attrs)
    counts = attrs["slots"] * layout.lanes * 2
    made = layout.vectors * words * 64 * 4 if words else attrs["channels"] * layout.lanes * 2
    return BufferType((1, 1, -(-(layout.total_bytes + counts + made) // 8), 1), DType.U64)


def _check(x: Type, nodes: Type, entries: Type, attrs: dict[str, Any]) -> BufferType:
    source = as_buffer(x, DType.U64, 4)
    check_pixels(source, attrs)
    check_nodes(nodes, NODE, attrs)
    as_buffer(entries, DType.U32, 1)
    layout = nibble_planes(attrs)
    if layout.lanes != attrs["lanes"] or layout.total_bytes > MOST_BYTES:
        raise InferenceError(f"{layout.total_bytes} bytes of nibbles in blocks of {layout.lanes} lanes")
    return source


def _pops(x: np.ndarray, nodes: np.ndarray, entries: np.ndarray, attrs: dict[str, Any]) -> np.ndarray:
    """The counts of all pixels and channels, int64 [N, OH, OW, M]."""
    layout = nibble_planes(attrs)
    bits = unpack_bits(x, x.shape[3] * 64).reshape(*x.shape[:3], layout.nibbles, 4)
    view = windows_of(attrs).view(bits @ np.array([1, 2, 4, 8]))  # [N, nibbles, OH, OW, KH, KW]
    columns = view.transpose(4, 5, 1, 0, 2, 3).reshape(-1, *(view.shape[i] for i in (0, 2, 3)))
    column_at = {int(place): i for i, place in enumerate(layout.places().reshape(-1))}
    counts = np.zeros((attrs["slots"], *columns.shape[1:]), np.int64)
    pops = np.zeros((*columns.shape[1:], attrs["channels"]), np.int64)
    at = 0
    for slot, up, negated, count, constant, channel in nodes.tolist():
        mine = entries[at : at + count].astype(np.int64)
        at += count
        seen = columns[[column_at[place] for place in (mine >> 11).tolist()]]
        total = ROWS[(mine >> 4 & 127)[:, np.newaxis, np.newaxis, np.newaxis], seen].sum(axis=0)
        if up != ROOT:
            total = (-counts[up] if negated else counts[up]) + constant + 2 * total
        counts[slot] = pops[..., channel] = total
    return pops


@op("k.skip_acc")
class SkipAcc(OpDecl):
    """acc[n,y,x,c] = base[class(y,x), c] - step · pop, int32; pop as the tables of :mod:`bitc.ir.skipping` have it; and scratch memory"""

    operands = ("x", "nodes", "entries", "base")
    attrs = {**PIXEL_PRODUCT, "step": REQUIRED}
    results = 2

    @staticmethod
    def infer(x: Type, nodes: Type, entries: Type, base: Type, **attrs: Any) -> tuple[BufferType, BufferType]:
        source = _check(x, nodes, entries, attrs)
        check_base(base, attrs)
        return BufferType((source.shape[0], *attrs["size"], attrs["channels"]), DType.I32), _scratch(attrs, 0)

    @staticmethod
    def evaluate(
        x: np.ndarray, nodes: np.ndarray, entries: np.ndarray, base: np.ndarray, **attrs: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        acc = numbers_of(_pops(x, nodes, entries, attrs), base, attrs)
        return acc, np.zeros(_scratch(attrs, 0).shape, np.uint64)


@op("k.skip_bits")
class SkipBits(OpDecl):
    """plane p, bit c of y = (pop > limit[c, p, class(y,x)]) ^ flip[c], packed, inside ``halo``; and scratch memory.

    The tables are those of :mod:`bitc.ir.skipping`; ``class_of`` has the border class of each lane, ``codes`` the limits.
    """

    operands = ("x", "nodes", "entries", "class_of", "codes", "flip")
    attrs = {**PIXEL_PRODUCT, "halo": NO_HALO}
    results = 2

    @staticmethod
    def infer(
        x: Type, nodes: Type, entries: Type, class_of: Type, codes: Type, flip: Type, *, halo: Halo, **attrs: Any
    ) -> tuple[BufferType, BufferType]:
        source, coded = _check(x, nodes, entries, attrs), as_buffer(codes, DType.U8, 5)
        as_buffer(class_of, DType.U8, 1)
        layout, channels = nibble_planes(attrs), attrs["channels"]
        if class_of.shape != (layout.blocks * layout.lanes,):
            raise InferenceError(f"classes {class_of} are not those of {layout.blocks * layout.lanes} lanes")
        if coded.shape[0] != channels or coded.shape[3:] != (2, GROUP):
            raise InferenceError(f"limits {coded} are not those of {channels} channels")
        if as_buffer(flip, DType.U64, 1).shape != (words_of(channels),):
            raise InferenceError(f"{flip} does not hold the bits of {channels} channels")
        words = coded.shape[1] * words_of(channels)
        made = BufferType((source.shape[0], *with_halo(attrs["size"], halo), words), DType.U64)
        return made, _scratch(attrs, words)

    @staticmethod
    def evaluate(
        x: np.ndarray,
        nodes: np.ndarray,
        entries: np.ndarray,
        class_of: np.ndarray,
        codes: np.ndarray,
        flip: np.ndarray,
        *,
        halo: Halo,
        **attrs: Any,
    ) -> tuple[np.ndarray, np.ndarray]:
        layout, (rows, columns) = nibble_planes(attrs), attrs["size"]
        lanes = np.arange(rows)[:, np.newaxis] * layout.geometry.pitch + np.arange(columns)
        pops, flips = _pops(x, nodes, entries, attrs), unpack_bits(flip, attrs["channels"])
        limits = np.zeros((codes.shape[1], codes.shape[2] * GROUP, attrs["channels"]), np.int64)
        limits[..., nodes[:, -1]] = limits_of(codes).transpose(1, 2, 0)
        over = (pops > limits[:, class_of[lanes]][:, np.newaxis]) ^ flips
        packed = np.concatenate([pack_bits(plane) for plane in over], axis=-1)
        return surround(packed, halo), np.zeros(_scratch(attrs, packed.shape[-1]).shape, np.uint64)
