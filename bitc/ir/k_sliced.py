"""Level ``k``: products of bits on planes of pixels (:mod:`bitc.ir.sliced`). Geometry and packing as in :mod:`bitc.ir.k`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bitc.ir.channel_tree import ROOT
from bitc.ir.k import NO_HALO, Halo, as_buffer, class_counts, class_map, surround, windows_of, with_halo
from bitc.ir.k_pixels import PIXEL_PRODUCT, check_base, check_nodes, check_pixels, numbers_of
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.packing import pack_bits, unpack_bits, words_of
from bitc.ir.sliced import (
    COLUMNS,
    LONG,
    NODE,
    SHORT,
    SPECIAL,
    TABLED,
    Strip,
    all_lanes,
    class_groups,
    geometry_of,
    rows_of_lanes,
    split_codes,
)
from bitc.ir.types import BufferType, DType, Type

_SLICED = {**PIXEL_PRODUCT, "counter_planes": REQUIRED, "triples": REQUIRED, "first_lane": -1}
"""``first_lane``: x are planes of pixels (:class:`Strip`), and the first tap of the first pixel reads this lane; -1: packed pixels."""

FILLED = 2
"""Columns behind the terms that fill up the last three of a table."""

NUMBER_ROWS = 17
"""Rows of lanes for the numbers of a channel, of which one is empty."""

Count = Callable[[int, np.ndarray, np.ndarray], None]


def _scratch(attrs: dict[str, Any], results: int) -> BufferType:
    """What the kernels work in: planes unless x has them, columns, counters, ``results`` rows of lanes and the masks of the border
    classes."""
    geometry, lanes = geometry_of(attrs), attrs["lanes"]
    channels = attrs["planes"] * attrs["in_channels"]
    turned = len(geometry.phases) * channels * geometry.plane_words(attrs["size"], lanes)
    planes = turned if attrs["first_lane"] < 0 else 0
    unions = 2**COLUMNS * class_groups(class_counts(attrs))
    terms = len(geometry.taps) * channels
    columns = terms + SPECIAL + (4 * attrs["triples"] + FILLED if attrs["triples"] else 0)
    vectors = columns + attrs["slots"] * attrs["counter_planes"] + results + unions
    return BufferType((1, 1, planes + vectors * (lanes // 64), 1), DType.U64)


def _numbers(attrs: dict[str, Any]) -> int:
    """Rows of lanes that hold 16 bits for each channel of as many pixels, and a sixteenth of them in order of channels."""
    channels: int = attrs["channels"]
    return channels * NUMBER_ROWS + -(-channels // 4) * 4


def _check(x: Type, nodes: Type, added: Type, attrs: dict[str, Any]) -> BufferType:
    source = as_buffer(x, DType.U64, 4)
    check_nodes(nodes, NODE, attrs)
    as_buffer(added, DType.I16, 1)
    if attrs["first_lane"] >= 0:
        _check_lanes(source, attrs)
    else:
        check_pixels(source, attrs)
    return source


def _check_lanes(source: BufferType, attrs: dict[str, Any]) -> None:
    geometry = geometry_of(attrs)
    if source.shape[1:3] != (1, attrs["planes"] * attrs["in_channels"]) or tuple(attrs["strides"]) != (1, 1):
        raise InferenceError(
            f"{source} is not {attrs['planes']} planes of {attrs['in_channels']} channels, read one by one"
        )
    if source.shape[3] < geometry.plane_words(attrs["size"], attrs["lanes"], attrs["first_lane"]):
        raise InferenceError(f"the lanes from {attrs['first_lane']} on end behind those of {source}")


def _walked(x: np.ndarray, nodes: np.ndarray, added: np.ndarray, attrs: dict[str, Any], see: Count) -> None:
    """Compute u of each node over all pixels, int64 [N, OH, OW] below 2^B, and hand it to ``see`` with its place and t."""
    view = _windows(x, attrs).transpose(4, 5, 1, 0, 2, 3)
    seen = view.reshape(-1, *view.shape[3:]).astype(bool)
    terms, parity = _tables(seen) if attrs["triples"] else (seen, np.zeros_like(seen[0]))
    columns = np.concatenate([terms, [np.zeros_like(parity), parity, np.ones_like(parity)]]).astype(np.int64)
    counters = np.zeros((attrs["slots"], *view.shape[3:]), np.int64)
    at = 0
    for index, (slot, up, negated, *blocks, _) in enumerate(nodes.tolist()):
        total = np.zeros(view.shape[3:], np.int64)
        for sign, sixteens, fours in ((-1, *blocks[:2]), (1, *blocks[2:])):
            count = sixteens * LONG + fours * SHORT
            total += sign * columns[added[at : at + count]].sum(axis=0)
            at += count
        if up == ROOT:
            columns[-2], counters[slot] = total & 1, total >> 1
        elif up == TABLED:
            counters[slot] = total
        else:
            counters[slot] = (~counters[up] if negated else counters[up]) + total
        counters[slot] &= (1 << attrs["counter_planes"]) - 1
        see(index, counters[slot], columns[-2])


def _windows(x: np.ndarray, attrs: dict[str, Any]) -> np.ndarray:
    """The bits of packed pixels or of planes of pixels as windows [N, planes*C, OH, OW, KH, KW]."""
    windows = windows_of(attrs)
    if attrs["first_lane"] >= 0:
        pitch = geometry_of(attrs).pitch
        rows = windows.size[0] + (windows.taps[0] - 1) * windows.dilations[0]
        return replace(windows, at=(0, 0)).view(rows_of_lanes(x, attrs["first_lane"], pitch, rows))
    bits = [unpack_bits(plane, attrs["in_channels"]) for plane in np.split(x, attrs["planes"], axis=-1)]
    return windows.view(np.concatenate(bits, axis=-1))


def _tables(terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The majorities of each three of ``terms`` [n, ...], the first two of them complemented or not, of the parities of threes, and so
    on; and the parity of all."""
    made = []
    while len(terms) > 1:
        rest = np.zeros((-len(terms) % 3, *terms.shape[1:]), bool)
        a, b, c = np.concatenate([terms, rest]).reshape(-1, 3, *terms.shape[1:]).swapaxes(0, 1)
        four = [(p & q) | (c & (p ^ q)) for q in (b, ~b) for p in (a, ~a)]
        made.append(np.stack(four, axis=1).reshape(-1, *terms.shape[1:]))
        terms = a ^ b ^ c
    return np.concatenate(made), terms[0]


@op("k.sliced_acc")
class SlicedAcc(OpDecl):
    """acc[n,y,x,c] = base[class(y,x), c] - step · pop, int32; pop as the tables of :mod:`bitc.ir.sliced` have it; and scratch memory"""

    operands = ("x", "nodes", "added", "ends", "base")
    attrs = {**_SLICED, "step": REQUIRED}
    results = 2

    @staticmethod
    def infer(x: Type, nodes: Type, added: Type, ends: Type, base: Type, **attrs: Any) -> tuple[BufferType, BufferType]:
        source = _check(x, nodes, added, attrs)
        if as_buffer(ends, DType.I32).shape != (2, attrs["channels"]):
            raise InferenceError(f"ends {ends} are not those of {attrs['channels']} channels")
        check_base(base, attrs)
        made = BufferType((source.shape[0], *attrs["size"], attrs["channels"]), DType.I32)
        return made, _scratch(attrs, _numbers(attrs))

    @staticmethod
    def evaluate(
        x: np.ndarray, nodes: np.ndarray, added: np.ndarray, ends: np.ndarray, base: np.ndarray, **attrs: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        pops = np.zeros((x.shape[0], *attrs["size"], attrs["channels"]), np.int64)

        def see(index: int, u: np.ndarray, t: np.ndarray) -> None:
            channel = nodes[index, -1]
            twice_k, odd = ends[:, channel].tolist()
            pops[..., channel] = (2 * u + t + twice_k & (2 << attrs["counter_planes"]) - 1) ^ odd

        _walked(x, nodes, added, attrs, see)
        return numbers_of(pops, base, attrs), np.zeros(_scratch(attrs, _numbers(attrs)).shape, np.uint64)


def _check_tests(tests: Type, codes: Type, masks: Type, attrs: dict[str, Any]) -> int:
    """How many planes of results the tests make."""
    tested = as_buffer(tests, DType.I32, 2)
    as_buffer(codes, DType.U8, 4)
    as_buffer(masks, DType.U64, 2)
    if tested.shape[0] != attrs["channels"]:
        raise InferenceError(f"tests {tested} are not those of {attrs['channels']} channels")
    return tested.shape[1]


def _tested(
    x: np.ndarray, nodes: np.ndarray, added: np.ndarray, tests: np.ndarray, codes: np.ndarray, attrs: dict[str, Any]
) -> np.ndarray:
    """Carries of u[c] + m + (b & p | q), flipped as ``tests`` say: bool [planes, N, OH, OW, channels]."""
    planes = attrs["counter_planes"]
    bits = np.zeros((tests.shape[1], x.shape[0], *attrs["size"], attrs["channels"]), bool)
    classes = class_map(attrs["row_class"], attrs["col_class"], attrs["size"])

    def see(index: int, u: np.ndarray, t: np.ndarray) -> None:
        for plane, flags in enumerate(tests[index].tolist()):
            here = split_codes(codes[index, plane], class_counts(attrs))[classes]
            m = (here[..., :planes].astype(np.int64) << np.arange(planes)).sum(axis=-1)
            total = (u ^ (flags & 1) << planes - 1) + m + ((t ^ flags >> 1 & 1) & here[..., -2] | here[..., -1])
            bits[plane, ..., nodes[index, -1]] = (total >> planes ^ flags >> 2) & 1

    _walked(x, nodes, added, attrs, see)
    return bits


@op("k.sliced_bits")
class SlicedBits(OpDecl):
    """plane p, bit c of y = carry of u[c] + m + (b & p | q), flipped as ``tests`` say, packed, inside ``halo``; and scratch memory.

    The tables are those of :mod:`bitc.ir.sliced`; ``masks`` has the lanes of each border class.
    """

    operands = ("x", "nodes", "added", "tests", "codes", "masks")
    attrs = {**_SLICED, "halo": NO_HALO}
    results = 2

    @staticmethod
    def infer(
        x: Type, nodes: Type, added: Type, tests: Type, codes: Type, masks: Type, *, halo: Halo, **attrs: Any
    ) -> tuple[BufferType, BufferType]:
        source = _check(x, nodes, added, attrs)
        words = _check_tests(tests, codes, masks, attrs) * words_of(attrs["channels"])
        made = BufferType((source.shape[0], *with_halo(attrs["size"], halo), words), DType.U64)
        return made, _scratch(attrs, 64 * words)

    @staticmethod
    def evaluate(
        x: np.ndarray,
        nodes: np.ndarray,
        added: np.ndarray,
        tests: np.ndarray,
        codes: np.ndarray,
        masks: np.ndarray,
        *,
        halo: Halo,
        **attrs: Any,
    ) -> tuple[np.ndarray, np.ndarray]:
        bits = _tested(x, nodes, added, tests, codes, attrs)
        packed = np.concatenate([pack_bits(plane) for plane in bits], axis=-1)
        scratch = _scratch(attrs, 64 * tests.shape[1] * words_of(attrs["channels"]))
        return surround(packed, halo), np.zeros(scratch.shape, np.uint64)


@op("k.sliced_lanes")
class SlicedLanes(OpDecl):
    """The bits of ``k.sliced_bits`` as planes of pixels: ``plane_words`` words of each channel of each plane, the first pixel behind
    ``lead_words`` words, rows as far apart as in the sums. What lies around the image has the bits of ``pixel``."""

    operands = ("x", "nodes", "added", "tests", "codes", "masks", "pixel")
    attrs = {**_SLICED, "lead_words": REQUIRED, "plane_words": REQUIRED}
    results = 2

    @staticmethod
    def infer(
        x: Type,
        nodes: Type,
        added: Type,
        tests: Type,
        codes: Type,
        masks: Type,
        pixel: Type,
        *,
        lead_words: int,
        plane_words: int,
        **attrs: Any,
    ) -> tuple[BufferType, BufferType]:
        source, planes = _check(x, nodes, added, attrs), _check_tests(tests, codes, masks, attrs)
        words = planes * words_of(attrs["channels"])
        if as_buffer(pixel, DType.U64, 1).shape != (words,):
            raise InferenceError(f"pixel {pixel} is not {planes} planes of {attrs['channels']} channels")
        if lead_words + all_lanes(attrs) // 64 > plane_words:
            raise InferenceError(f"{plane_words} words do not hold the pixels behind {lead_words} words")
        made = BufferType((source.shape[0], 1, planes * attrs["channels"], plane_words), DType.U64)
        return made, _scratch(attrs, 64 * words)

    @staticmethod
    def evaluate(
        x: np.ndarray,
        nodes: np.ndarray,
        added: np.ndarray,
        tests: np.ndarray,
        codes: np.ndarray,
        masks: np.ndarray,
        pixel: np.ndarray,
        *,
        lead_words: int,
        plane_words: int,
        **attrs: Any,
    ) -> tuple[np.ndarray, np.ndarray]:
        bits = np.concatenate(list(_tested(x, nodes, added, tests, codes, attrs)), axis=-1)
        around = [unpack_bits(words, attrs["channels"]) for words in np.split(pixel, tests.shape[1])]
        pitch = geometry_of(attrs).pitch
        strip = Strip(pitch, lead_words * 64, plane_words)
        scratch = _scratch(attrs, 64 * tests.shape[1] * words_of(attrs["channels"]))
        return strip.packed(bits, np.concatenate(around).astype(bool)), np.zeros(scratch.shape, np.uint64)
