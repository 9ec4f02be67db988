"""Weights for AVX2's product of bytes, exact: entries of four values that stand wherever they are needed.

``vpmaddubsw`` adds two products of u8 activations and i8 weights in 16 bits, where two large weights of one sign saturate. Products are
linear in the weights: an entry whose pairs would not fit is the sum of two whose pairs do, and both read the activations at one place.
Trained weights are mostly small, so few entries are split, and entries of zeros go. The kernel: ``runtime/iconv_placed_avx2.h``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitc.ir.integer_packing import Runs, pack_integer_weights, unpack_integer_weights

SIDE = 4
"""Activations of an entry."""
MOST_INT16 = 2**15 - 1
END = -1
"""The place behind a block's last entry."""


@dataclass(frozen=True, slots=True)
class Walk:
    """Where the runs of a window begin: values from one to the next, down and across."""

    row: int
    pixel: int

    def places(self, runs: Runs) -> np.ndarray:
        """Where each entry of ``runs`` (at least four long) reads, in values from the first tap; the last of a run ends with it.

        >>> Walk(row=100, pixel=10).places(Runs(2, 1, 6)).tolist()
        [0, 2, 100, 102]
        """
        starts = np.arange(runs.rows)[:, np.newaxis] * self.row + np.arange(runs.cols) * self.pixel
        inside = np.minimum(np.arange(0, runs.length, SIDE), runs.length - SIDE)
        return np.asarray((starts[..., np.newaxis] + inside).reshape(-1))


def place_weights(
    w: np.ndarray, group: int, runs: Runs, walk: Walk, block: int, highest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights i8 [M, C/group, KH, KW] as (entries i8 [group * blocks, E, block, 4], places i32 [group * blocks, E + 1]).

    E is what the longest block needs; behind a block's last entry its places are -1. Activations are 0 .. ``highest``, at most 255.

    >>> entries, places = place_weights(np.full((1, 8, 1, 1), [[[127]]]), 1, Runs(1, 1, 8), Walk(0, 0), 1, 255)
    >>> entries.reshape(-1, 4).tolist(), places.tolist()
    ([[1, 127, 1, 127], [126, 0, 126, 0], [1, 127, 1, 127], [126, 0, 126, 0]], [[0, 0, 4, 4, -1]])
    """
    packed = pack_integer_weights(w, group, runs, block, SIDE)
    packed = packed.reshape(-1, *packed.shape[2:])
    excess = _excess(packed, highest)
    both = np.stack([packed - excess, excess], axis=2).reshape(len(packed), -1, block, SIDE)
    needed = both.any(axis=(2, 3))
    length = max(int(needed.sum(axis=1).max()), 1)
    first = np.argsort(~needed, axis=1, kind="stable")[:, :length]
    places = np.where(np.take_along_axis(needed, first, axis=1), walk.places(runs).repeat(2)[first], END)
    entries = np.take_along_axis(both, first[..., np.newaxis, np.newaxis], axis=1)
    return entries.astype(np.int8), np.pad(places, ((0, 0), (0, 1)), constant_values=END).astype(np.int32)


def unplace_weights(
    entries: np.ndarray, places: np.ndarray, taps: tuple[int, int], channels: int, group: int, runs: Runs, walk: Walk
) -> np.ndarray:
    """The inverse of :func:`place_weights` for ``channels`` = M: [M, C/group, KH, KW], int64.

    >>> entries, places = place_weights(np.full((1, 8, 1, 1), [[[-128]]]), 1, Runs(1, 1, 8), Walk(0, 0), 1, 255)
    >>> unplace_weights(entries, places, (1, 1), 1, 1, Runs(1, 1, 8), Walk(0, 0)).ravel().tolist()
    [-128, -128, -128, -128, -128, -128, -128, -128]
    """
    where = walk.places(runs)
    order = np.argsort(where)
    block, entry = np.nonzero(places != END)
    index = order[np.searchsorted(where, places[block, entry], sorter=order)]
    packed = np.zeros((len(entries), where.size, *entries.shape[2:]), np.int64)
    np.add.at(packed, (block, index), entries[block, entry])
    return unpack_integer_weights(packed.reshape(group, -1, *packed.shape[1:]), taps, channels, runs)


def growth(w: np.ndarray, group: int, block: int, highest: int) -> float:
    """Entries that :func:`place_weights` makes for each entry of four channels, about: what splitting costs. 1: nothing.

    >>> rng = np.random.default_rng(0)
    >>> [round(growth(np.rint(rng.normal(0, s, (64, 64, 1, 1))), 1, 16, 255), 1) for s in (20, 32, 40)]
    [1.0, 1.1, 1.6]
    """
    length = w.shape[1] if w.shape[1] >= SIDE else w[0].size
    runs = Runs(w[0].size // length, 1, length)
    _, places = place_weights(w.clip(-128, 127), group, runs, Walk(length, 0), block, highest)
    return float((places != END).sum() / (len(places) * runs.entries(SIDE)))


def _excess(packed: np.ndarray, highest: int) -> np.ndarray:
    """What each weight must give to a second entry so that ``highest`` times the weights of one sign of a pair fits 16 bits.

    The larger of the two gives all of it: no more than itself, as a pair is at most 256 and the limit at least 128.
    """
    limit = MOST_INT16 // max(highest, 1)
    pairs = packed.astype(np.int64).reshape(*packed.shape[:-1], -1, 2)
    excess = np.zeros_like(pairs)
    for sign in (1, -1):
        given = np.maximum(sign * pairs, 0)
        over = np.maximum(given.sum(axis=-1) - limit, 0)
        larger = given.argmax(axis=-1)[..., np.newaxis]
        np.put_along_axis(excess, larger, np.take_along_axis(excess, larger, -1) + sign * over[..., np.newaxis], -1)
    return excess.reshape(packed.shape)
