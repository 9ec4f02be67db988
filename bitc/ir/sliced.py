"""Products of bits computed along spanning trees of their channels, on planes of pixels: the tables that ``runtime/sliced.h`` walks.

pop_c counts the terms x_i (0, 1) of a window that differ from the weights w_c. With b_c, which is the parity t of the root's count or
1 - t, and h_c = (pop_c - b_c) / 2, a channel follows from its parent, s = ±1, D where w_c and s·w_p differ, n terms::

    pop_c = s·pop_p + (n if s < 0) - |D| + 2·sum over D of (x ^ w_c)
    h_c   = s·h_p + sum over D of (-x if w_c else x) + (t, -t or nothing) + constant

Counters u_c = h_c - k_c, modulo 2^B, leave the constants out; ~u stands for -u. As 2^(B-1) > n/2,
the values of u_c, or those with the top bit flipped, are in order for each channel, and pop_c > limit is the carry of a sum u_c + m.

Without a tree (:func:`tables_of`) each channel adds up majorities of three terms, e = x ^ w ::

    e_0 + e_1 + e_2  =  (e_0 ^ e_1 ^ e_2) + 2·majority(e_0, e_1, e_2)

The parities are a product of a third as many terms, x_0 ^ x_1 ^ x_2 by w_0 ^ w_1 ^ w_2, and so on down to t: h_c is the sum of n/3 +
n/9 + ... = n/2 planes. Majorities with opposite signs are complements, so four planes for each three terms serve all channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from bitc.ir.channel_tree import ROOT, ChannelTree, channel_tree

NODE = 8
"""Numbers of a node: slot, parent's slot (or :data:`ROOT`, or :data:`TABLED`), negated, blocks of 16 terms that are taken off and of 4, of
16 that are added and of 4, channel."""

TABLED = -2
"""The parent of a channel that is summed from tables."""

SPECIAL = 3
"""Columns behind the others: zeros, t, ones."""

MOST_TERMS = 2**15 - SPECIAL
"""Columns are int16."""

LONG, SHORT = 16, 4

LANES = {"portable": 64, "avx2": 256, "avx512": 512}
"""Pixels of a vector, by instruction set; portable kernels may take half as many at a time."""


@dataclass(frozen=True, slots=True)
class Walk:
    """Channels in an order in which each can be computed. ``nodes`` int32 [M, NODE]; ``terms`` int16; ``ends`` int32 [M, 2]: k and
    whether b = 1 - t; ``slots``: counters alive at one time; ``special``: columns of terms or tables; ``triples``: tables, 0 with
    trees."""

    nodes: np.ndarray
    terms: np.ndarray
    ends: np.ndarray
    counter_planes: int
    slots: int
    special: int
    triples: int

    def by_channel(self) -> np.ndarray:
        """2k, and whether b = 1 - t, int32 [2, M], of each channel."""
        k, odd = self.ends[np.argsort(self.nodes[:, -1])].T
        return np.stack([2 * k, odd]).astype(np.int32)


def counter_planes(terms: int) -> int:
    """Planes of a counter of half as many as ``terms``, and one more to tell its values apart.

    >>> counter_planes(9), counter_planes(576)
    (4, 10)
    """
    return (terms // 2).bit_length() + 1


def walk_of(signs: np.ndarray, group: int, planes: int) -> Walk:
    """The walk for weights ±1 [M, C/group, KH, KW] on ``planes`` planes of C channels: a tree for each group.

    Raises ValueError where there are more than :data:`MOST_TERMS` columns.
    """
    channels, in_group, rows, cols = signs.shape
    all_terms = rows * cols * planes * in_group * group
    if all_terms > MOST_TERMS:
        raise ValueError(f"{all_terms} terms")
    down = np.repeat(signs.transpose(0, 2, 3, 1)[:, :, :, np.newaxis] < 0, planes, axis=3).reshape(channels, -1)
    columns = np.arange(all_terms).reshape(-1, group, in_group)
    maker = _Maker(all_terms, counter_planes(down.shape[1]))
    for g, part in enumerate(np.split(np.arange(channels), group)):
        maker.tree(channel_tree(down[part]), down[part], columns[:, g].reshape(-1), int(part[0]))
    return maker.walk(0)


def triples_of(terms: int) -> int:
    """Tables of a product of so many terms: a third of them, a third of that, and so on, each rounded up, down to one.

    >>> triples_of(9), triples_of(10), triples_of(1)
    (4, 7, 0)
    """
    return 0 if terms <= 1 else -(-terms // 3) + triples_of(-(-terms // 3))


def tables_of(signs: np.ndarray, planes: int) -> Walk:
    """The walk without trees for weights ±1 [M, C, KH, KW], one group, on ``planes`` planes of C channels.

    Raises ValueError for less than two terms, or for more columns than :data:`MOST_TERMS`.
    """
    down = np.repeat(signs.transpose(0, 2, 3, 1)[:, :, :, np.newaxis] < 0, planes, axis=3).reshape(len(signs), -1)
    triples = triples_of(down.shape[1])
    if not 0 < triples * 4 <= MOST_TERMS:
        raise ValueError(f"{down.shape[1]} terms")
    level, rows = down, list[np.ndarray]()
    while level.shape[1] > 1:
        level = np.pad(level, ((0, 0), (0, -level.shape[1] % 3)))
        of_three = level.reshape(len(down), -1, 3)
        rows.append(of_three)
        level = of_three.sum(axis=2) % 2 == 1
    threes = np.concatenate(rows, axis=1)
    turned = threes[..., 2]
    picked = np.arange(triples) * 4 + 2 * (threes[..., 1] ^ turned) + (threes[..., 0] ^ turned)
    maker = _Maker(triples * 4, counter_planes(down.shape[1]))
    maker.most = 1
    for c, row in enumerate(picked):
        # up and down again, so that what a first cache has kept of tables larger than it is read first
        maker.node(0, TABLED, 0, row[turned[c]].tolist(), row[~turned[c]][::-1].tolist(), c)
        maker.ends.append([int(turned[c].sum()), int(level[c, 0])])
    return maker.walk(triples)


class _Maker:
    """The tables in the making. ``zero``, ``parity`` and ``ones`` are the columns behind the terms."""

    def __init__(self, terms: int, planes: int) -> None:
        self.zero, self.parity, self.ones, self.planes = terms, terms + 1, terms + 2, planes
        self.nodes: list[list[int]] = []
        self.ends: list[list[int]] = []
        self.terms: list[int] = []
        self.most = 0

    def tree(self, tree: ChannelTree, down: np.ndarray, columns: np.ndarray, first: int) -> None:
        """Walk ``tree`` over rows ``down`` whose terms are ``columns``; its channels count from ``first``."""
        slot, slots = tree.slots()
        self.most = max(self.most, slots)
        k, odd = (np.zeros(len(down), int) for _ in range(2))
        for c in tree.order.tolist():
            up = int(tree.parent[c])
            if up == ROOT:
                turned = columns[down[c]].tolist()
                turned += [self.ones] * (len(turned) % 2)  # so that t is the parity of the count
                self.node(int(slot[c]), ROOT, 0, turned, columns[~down[c]].tolist(), first + c)
                k[c] = len(turned) // 2
            else:
                step = _step(tree, c, int(odd[up]), down.shape[1])
                odd[c], k[c] = step.odd, step.constant - k[up] if tree.negated[c] else step.constant + k[up]
                differs = down[c] != (down[up] ^ tree.negated[c])
                plain, turned = columns[differs & ~down[c]].tolist(), columns[differs & down[c]].tolist()
                plain += [self.parity] * (step.parity > 0)
                turned += [self.parity] * (step.parity < 0)
                k[c] += len(turned)
                self.node(int(slot[c]), int(slot[up]), int(tree.negated[c]), turned, plain, first + c)
            self.ends.append([int(k[c]) % 2**self.planes, int(odd[c])])

    def node(self, slot: int, up: int, negated: int, turned: list[int], plain: list[int], channel: int) -> None:
        """A node whose columns are taken off (``turned``) or added, in blocks filled up with zeros."""
        blocks = list[int]()
        for part in (turned, plain):
            filled = part + [self.zero] * (-len(part) % SHORT)
            blocks += [len(filled) // LONG, len(filled) % LONG // SHORT]
            self.terms += filled
        self.nodes.append([slot, up, negated, *blocks, channel])

    def walk(self, triples: int) -> Walk:
        """All that was added."""
        nodes, ends = np.array(self.nodes, np.int32), np.array(self.ends, np.int32)
        return Walk(nodes, np.array(self.terms or [0], np.int16), ends, self.planes, self.most, self.zero, triples)


@dataclass(frozen=True, slots=True)
class _Step:
    """From parent to child: ``odd``: b = 1 - t; ``parity``: what t is added times; ``constant``: k, but for the parent's."""

    odd: int
    parity: int
    constant: int


def _step(tree: ChannelTree, c: int, odd_up: int, terms: int) -> _Step:
    sign, distance = (-1, terms) if tree.negated[c] else (1, 0)
    distance -= int(tree.distance[c])
    odd = (odd_up + distance) % 2
    parity = (sign * (1 - 2 * odd_up) - (1 - 2 * odd)) // 2
    constant = (distance + sign * odd_up - odd) // 2
    return _Step(odd, parity, constant + (sign < 0) - (parity < 0))


@dataclass(frozen=True, slots=True)
class Comparisons:
    """``flags`` int32 [M, planes] and ``codes`` uint8 [M, planes, class groups, B + 2], as ``runtime/sliced.h`` reads them."""

    flags: np.ndarray
    codes: np.ndarray


COLUMNS = 4
"""Classes of columns in a group."""


def class_groups(classes: tuple[int, int]) -> int:
    """Groups of border classes, where there are so many of rows and of columns.

    >>> class_groups((3, 3)), class_groups((1, 5))
    (3, 2)
    """
    return classes[0] * -(-classes[1] // COLUMNS)


def comparisons_of(
    walk: Walk, terms: int, limit: np.ndarray, flip: np.ndarray, classes: tuple[int, int]
) -> Comparisons:
    """How bits (pop > limit) ^ flip come of counters: ``limit`` [planes, classes, M], ``flip`` bool [M]; how many ``classes`` there
    are of rows and of columns."""
    bits = np.arange(walk.counter_planes + 2)[:, np.newaxis]
    flags, codes = [], []
    for index, node in enumerate(walk.nodes.tolist()):
        k, odd = walk.ends[index].tolist()
        top, found = _codes(limit[:, :, node[-1]], k, terms, walk.counter_planes)
        flags.append([top + 2 * odd + 4 * int(flip[node[-1]])] * len(found))
        numbers = np.zeros((len(found), classes[0], -(-classes[1] // COLUMNS) * COLUMNS), np.int64)
        numbers[..., : classes[1]] = np.reshape(found, (len(found), *classes))
        grouped = numbers.reshape(len(found), -1, 1, COLUMNS) >> bits & 1
        codes.append((grouped << np.arange(COLUMNS)).sum(axis=-1))
    return Comparisons(np.array(flags, np.int32), np.array(codes, np.uint8))


def split_codes(codes: np.ndarray, classes: tuple[int, int]) -> np.ndarray:
    """The bits of :attr:`Comparisons.codes` [groups, B + 2] for each border class: [classes, B + 2].

    >>> split_codes(np.array([[5], [2]]), (2, 3)).ravel().tolist()
    [1, 0, 1, 0, 1, 0]
    """
    bits = (codes[..., np.newaxis] >> np.arange(COLUMNS) & 1).transpose(0, 2, 1)
    columns = bits.reshape(classes[0], -1, codes.shape[1])[:, : classes[1]]
    return np.asarray(columns.reshape(-1, codes.shape[1]))


def _codes(limit: np.ndarray, k: int, terms: int, planes: int) -> tuple[int, list[list[int]]]:
    """Whether the top bit of a counter is flipped, and m, p and q for each limit [planes, classes]."""
    whole = 2**planes
    least = -k % whole  # u where h is 0
    top = int(least + terms // 2 >= whole)
    least = (least + top * whole // 2) % whole
    codes = []
    for of_plane in np.clip(limit, -1, terms).tolist():
        row = []
        for edge in of_plane:
            need = edge // 2 + 1 + least if edge % 2 == 0 else (edge - 1) // 2 + 1 + least
            code = whole - need if need else whole - 1
            row.append(code | (edge % 2 == 0) << planes | (not need) << planes + 1)
        codes.append(row)
    return top, codes


@dataclass(frozen=True, slots=True)
class PlaneGeometry:
    """How windows lie on planes: ``phases`` [.., 4] (first row and column, rows, columns), ``taps`` [.., 2] (phase, shift in lanes)."""

    phases: np.ndarray
    taps: np.ndarray
    pitch: int

    def blocks(self, size: tuple[int, int], lanes: int) -> int:
        """Vectors of ``lanes`` that hold all output pixels."""
        return -(-((size[0] - 1) * self.pitch + size[1]) // lanes)

    def plane_words(self, size: tuple[int, int], lanes: int, first: int = 0) -> int:
        """64-bit words of an input plane, read from lane ``first`` on, with what vectors read beyond its end."""
        read = first + self.blocks(size, lanes) * lanes + int(self.taps[:, 1].max())
        written = int((self.phases[:, 2] * self.pitch).max())
        return -(-max(read, written) // 64) + 2


@dataclass(frozen=True, slots=True)
class Strip:
    """Images as planes of pixels in memory: for each channel of each plane of codes ``words`` words of 64 pixels, the first pixel behind
    ``lead`` others, each row ``pitch`` pixels behind the one before."""

    pitch: int
    lead: int
    words: int

    def packed(self, bits: np.ndarray, around: np.ndarray) -> np.ndarray:
        """``bits`` bool [N, H, W, E] in uint64 [N, 1, E, words]; all other places have the bit of ``around`` bool [E].

        >>> Strip(3, 64, 2).packed(np.ones((1, 2, 2, 1), bool), np.zeros(1, bool)).ravel().tolist()
        [0, 27]
        """
        images, rows, columns, elements = bits.shape
        lanes = np.broadcast_to(around[:, np.newaxis], (images, elements, self.words * 64)).copy()
        at = self.lead + np.add.outer(np.arange(rows) * self.pitch, np.arange(columns))
        lanes[:, :, at] = bits.transpose(0, 3, 1, 2)
        words = np.packbits(lanes, axis=-1, bitorder="little").view("<u8").astype(np.uint64)
        return words[:, np.newaxis]


def rows_of_lanes(strip: np.ndarray, first: int, pitch: int, rows: int) -> np.ndarray:
    """The bits from lane ``first`` on of uint64 [N, 1, E, words] as images bool [N, rows, pitch, E].

    >>> rows_of_lanes(np.array([[[[27 << 2]]]], np.uint64), 2, 3, 2)[0, ..., 0].astype(int).tolist()
    [[1, 1, 0], [1, 1, 0]]
    """
    images, _, elements, _ = strip.shape
    lanes = np.unpackbits(strip[:, 0].astype("<u8").view(np.uint8), axis=-1, bitorder="little")
    there = lanes[..., first : first + rows * pitch].reshape(images, elements, rows, pitch)
    return np.asarray(there.transpose(0, 2, 3, 1).astype(bool))


def plane_geometry(
    taps: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int], size: tuple[int, int]
) -> PlaneGeometry:
    """Taps that are equal modulo the strides read one image, each some pixels further on.

    >>> g = plane_geometry((3, 3), (2, 2), (1, 1), (4, 4))
    >>> len(g.phases), g.pitch, g.taps[:3].tolist()
    (4, 5, [[0, 0], [1, 0], [0, 1]])
    """
    places = [
        [divmod(tap * dilation, stride) for tap in range(count)]
        for count, dilation, stride in zip(taps, dilations, strides, strict=True)
    ]
    pitch = size[1] + max(shift for shift, _ in places[1])
    phases: dict[tuple[int, int], list[int]] = {}
    found = []
    for (down, y), (right, x) in product(*places):
        rows, columns = size[0] + down, size[1] + right
        phase = phases.setdefault((y, x), [y, x, rows, columns])
        phase[2:] = max(phase[2], rows), max(phase[3], columns)
        found.append([list(phases).index((y, x)), down * pitch + right])
    return PlaneGeometry(np.array(list(phases.values()), np.int32), np.array(found, np.int32), pitch)


def geometry_of(attrs: Mapping[str, Any]) -> PlaneGeometry:
    """That of a product's ``taps``, ``strides``, ``dilations`` and ``size``."""
    return plane_geometry(*(attrs[key] for key in ("taps", "strides", "dilations", "size")))


def all_lanes(attrs: Mapping[str, Any]) -> int:
    """The lanes of all blocks of a product whose blocks have ``lanes`` of them."""
    lanes: int = attrs["lanes"]
    return geometry_of(attrs).blocks(attrs["size"], lanes) * lanes


def class_masks(classes: np.ndarray, count: int, pitch: int, lanes: int) -> np.ndarray:
    """The lanes of each of ``count`` border classes [OH, OW], uint64 [count, words]; ``lanes``: how many in all.

    >>> class_masks(np.array([[0, 1]]), 2, 3, 64).ravel().tolist()
    [1, 2]
    """
    padded = np.full((classes.shape[0], pitch), -1)
    padded[:, : classes.shape[1]] = classes
    flat = np.full(lanes, -1)
    flat[: padded.size] = padded.reshape(-1)[:lanes]
    bits = flat == np.arange(count)[:, np.newaxis]
    return np.packbits(bits, axis=1, bitorder="little").view("<u8").astype(np.uint64)
