"""Products of bits computed along spanning trees of their channels, four terms at a time: the tables that ``runtime/skip.h`` walks.

pop_c counts the terms x_i (0, 1) of a window that differ from the weights w_c. A channel follows from its parent p, s = ±1, D where w_c
and s·w_p differ, n terms::

    pop_c = s·pop_p + (n if s < 0) - |D| + 2·sum over D of (x ^ w_c)

Terms are taken as they lie in the words of a pixel, in nibbles of four. A nibble without a D is skipped; for each other the sum over its D
is looked up by the four bits x in one of 80 rows: each bit counts where it is 1, where it is 0, or not at all. So what counts is not d,
the share of terms that differ, but the share of nibbles that hold one: about ``1 - (1 - d)^4`` where differences are scattered, and d or
little more where they lie together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitc.ir.channel_tree import ROOT, ChannelTree, channel_tree
from bitc.ir.packing import WORD_BITS, words_of
from bitc.ir.sliced import PlaneGeometry, geometry_of

NODE = 6
"""Numbers of a node: slot, parent's slot (or :data:`ROOT`), negated, entries, constant, channel."""

BITS = 4
"""Of a nibble."""

FILL = 4
"""Entries of a node come in multiples of this; those that fill up count nothing."""

LANES = 32
"""Pixels of a vector."""

MOST_VECTORS = 8
"""That are computed together."""

MOST_TERMS = 2**15 - 1
"""Counts are int16."""

MOST_CLASSES = 256
"""Border classes are bytes, 16 in a group of limits."""
GROUP = 16

MOST_BYTES = 2**21
"""Places of entries have 21 bits."""

NEAR_BYTES = 24 * 1024
"""Vectors may lie in cache lines of their own where all of an image's do not fill more of a first cache than this."""

DIGITS = np.arange(3**BITS)[:, np.newaxis] // 3 ** np.arange(BITS) % 3
"""What the bits of a nibble count in each row: 0 nothing, 1 themselves, 2 what they are not."""

ROWS = np.array(
    [[sum((0, x >> i & 1, 1 - (x >> i & 1))[d] for i, d in enumerate(row)) for x in range(16)] for row in DIGITS]
)
"""Counts by row and nibble."""


@dataclass(frozen=True, slots=True)
class NibblePlanes:
    """How the nibbles of an image lie as bytes: ``nibbles`` of a pixel, a plane of ``plane_bytes`` for each and each phase of
    ``geometry``, a vector of 32 pixels every ``vector_bytes``; ``vectors`` are computed together, in ``blocks`` blocks."""

    geometry: PlaneGeometry
    nibbles: int
    vectors: int
    blocks: int
    vector_bytes: int
    plane_bytes: int

    @property
    def furthest(self) -> int:
        """Lanes from a pixel to its last tap."""
        return int(self.geometry.taps[:, 1].max())

    @property
    def lanes(self) -> int:
        """Of a block."""
        return self.vectors * LANES

    @property
    def total_bytes(self) -> int:
        """Of all planes."""
        return len(self.geometry.phases) * self.nibbles * self.plane_bytes

    def places(self) -> np.ndarray:
        """Where the byte of lane 0 lies for each tap and nibble: int64 [taps, nibbles]."""
        phase, shift = self.geometry.taps[:, 0, np.newaxis].astype(np.int64), self.geometry.taps[:, 1, np.newaxis]
        return np.asarray((phase * self.nibbles + np.arange(self.nibbles)) * self.plane_bytes + shift)


def nibble_planes(attrs: Mapping[str, Any]) -> NibblePlanes:
    """The layout for windows (``taps``, ``strides``, ``dilations``, ``size``) on ``planes`` planes of ``in_channels`` channels.

    >>> window = {"taps": (3, 3), "strides": (1, 1), "dilations": (1, 1), "size": (7, 7)}
    >>> p = nibble_planes({**window, "planes": 1, "in_channels": 512})
    >>> p.nibbles, p.vectors, p.vector_bytes, p.plane_bytes
    (128, 2, 64, 128)
    """
    size = attrs["size"]
    geometry = geometry_of(attrs)
    nibbles = attrs["planes"] * words_of(attrs["in_channels"]) * (WORD_BITS // BITS)
    needed = geometry.blocks(size, LANES)
    blocks = -(-needed // MOST_VECTORS)
    vectors = -(-needed // blocks)
    furthest, every = int(geometry.taps[:, 1].max()), vectors * blocks
    wide = furthest <= LANES and len(geometry.phases) * nibbles * every * 2 * LANES <= NEAR_BYTES
    plane = every * 2 * LANES if wide else -(-(every * LANES + furthest) // LANES) * LANES
    return NibblePlanes(geometry, nibbles, vectors, blocks, 2 * LANES if wide else LANES, plane)


@dataclass(frozen=True, slots=True)
class Skips:
    """Channels in an order in which each can be computed. ``nodes`` int32 [M, NODE]; ``entries`` uint32 as ``runtime/skip.h`` has them;
    ``slots``: counts alive at one time."""

    nodes: np.ndarray
    entries: np.ndarray
    slots: int


def nibble_rows(down: np.ndarray, differs: np.ndarray) -> np.ndarray:
    """The row of each nibble: of bits [.., 4], those that differ, counted by whether their weight is -1 (``down``).

    >>> nibble_rows(np.array([False, True, False, True]), np.array([True, True, False, False]))
    array(7)
    """
    return np.asarray((differs * (1 + down)) @ 3 ** np.arange(BITS))


def in_nibbles(signs: np.ndarray, group: int, planes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights ±1 [M, C/group, KH, KW] where they meet the words of a pixel of ``planes`` planes of C channels: which are -1, and which
    there are, bool [M, taps, nibbles, 4]."""
    channels, in_group, *taps = signs.shape
    words = words_of(in_group * group)
    shape = (channels, taps[0] * taps[1], planes, words * WORD_BITS)
    down, there = np.zeros(shape, bool), np.zeros(shape, bool)
    flat = signs.transpose(0, 2, 3, 1).reshape(channels, -1, 1, in_group) < 0
    for g, part in enumerate(np.split(np.arange(channels), group)):
        inside = slice(g * in_group, (g + 1) * in_group)
        down[part, :, :, inside], there[part, :, :, inside] = flat[part], True
    as_nibbles = (channels, shape[1], planes * words * WORD_BITS // BITS, BITS)
    return down.reshape(as_nibbles), there.reshape(as_nibbles)


def skips_of(signs: np.ndarray, group: int, planes: int, layout: NibblePlanes) -> Skips:
    """The tables for weights ±1 [M, C/group, KH, KW] on ``planes`` planes of C channels: a tree for each group."""
    down, there = in_nibbles(signs, group, planes)
    terms, places = signs[0].size * planes, layout.places()
    nodes, entries, most = list[list[int]](), list[np.ndarray](), 0
    for part in np.split(np.arange(len(signs)), group):
        tree = channel_tree(signs[part].reshape(len(part), -1) < 0)
        slot, slots = tree.slots()
        most = max(most, slots)
        for c in tree.order.tolist():
            own, up, negated = part[c], int(tree.parent[c]), bool(tree.negated[c])
            differs = there[own] if up == ROOT else there[own] & (down[own] != (down[part[up]] ^ negated))
            rows = nibble_rows(down[own], differs)
            found = places[rows > 0] << 11 | rows[rows > 0] << 4
            entries.append(np.pad(found, (0, -len(found) % FILL)))
            constant = 0 if up == ROOT else terms * negated - int(differs.sum())
            parent = ROOT if up == ROOT else int(slot[up])
            nodes.append([int(slot[c]), parent, int(negated), len(entries[-1]), constant, int(own)])
    return Skips(np.array(nodes, np.int32), np.concatenate([*entries, [0]]).astype(np.uint32), most)


def touched_nibbles(signs: np.ndarray, group: int, planes: int, trees: list[ChannelTree]) -> int:
    """How many nibbles hold a difference, those of the roots included: entries of :func:`skips_of`."""
    down, there = in_nibbles(signs, group, planes)
    count = 0
    for part, tree in zip(np.split(np.arange(len(signs)), group), trees, strict=True):
        parents = part[np.maximum(tree.parent, 0)]
        turned = down[parents] ^ tree.negated[:, np.newaxis, np.newaxis, np.newaxis]
        differs = there[part] & ((down[part] != turned) | (tree.parent == ROOT)[:, np.newaxis, np.newaxis, np.newaxis])
        count += int(differs.any(axis=-1).sum())
    return count


def limit_codes(limit: np.ndarray, nodes: np.ndarray, terms: int) -> np.ndarray:
    """Limits [planes, classes, M] as ``runtime/skip.h`` reads them: uint8 [M, planes, groups, 2, 16], by the order of ``nodes``.

    >>> limit_codes(np.array([[[-1], [258]]]), np.array([[0, -1, 0, 1, 0, 0]]), 900)[0, 0, 0, :, :2].tolist()
    [[255, 2], [255, 1]]
    """
    planes, classes, _ = limit.shape
    clipped = np.clip(limit, -1, terms).astype(np.int64)[..., nodes[:, -1]].transpose(2, 0, 1) & 0xFFFF
    padded = np.pad(clipped, ((0, 0), (0, 0), (0, -classes % GROUP))).reshape(len(nodes), planes, -1, 1, GROUP)
    return np.concatenate([padded & 255, padded >> 8], axis=3).astype(np.uint8)


def limits_of(codes: np.ndarray) -> np.ndarray:
    """The inverse of :func:`limit_codes`, int64 [nodes, planes, classes].

    >>> nodes = np.array([[0, -1, 0, 1, 0, 0]])
    >>> limits_of(limit_codes(np.array([[[-1], [258]]]), nodes, 900))[0, 0, :2].tolist()
    [-1, 258]
    """
    wide = codes.astype(np.int64)
    found = (wide[..., 0, :] | wide[..., 1, :] << 8).reshape(*codes.shape[:2], -1)
    return np.asarray((found ^ 0x8000) - 0x8000)


def lane_classes(classes: np.ndarray, pitch: int, lanes: int) -> np.ndarray:
    """The border classes [OH, OW] of ``lanes`` lanes, uint8; 0 beside the image.

    >>> lane_classes(np.array([[1, 2], [3, 4]]), 3, 6).tolist()
    [1, 2, 0, 3, 4, 0]
    """
    padded = np.zeros((-(-lanes // pitch), pitch), np.uint8)
    padded[: classes.shape[0], : classes.shape[1]] = classes[: len(padded)]
    return padded.reshape(-1)[:lanes]
