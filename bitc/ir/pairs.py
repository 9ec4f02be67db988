"""Codes of at most four levels in two bits, a *pair*, and tables that hold what a pair of activations and a pair of weights are worth.

Weights hold the index of their level. Activations hold what interleaving the words of their thermometer planes leaves: of one plane
its bit, of two planes both (the first is the low bit), of three planes three minus the index.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitc.ir.packing import pack_bits, unpack_bits, words_of
from bitc.ir.types import Levels

INDEX_OF_PAIR = {2: (1, 0, -1, -1), 3: (2, -1, 1, 0), 4: (3, 2, 1, 0)}
"""By the number of levels: the index that each pair of activations stands for, -1 for none."""

MOST_WORTH = 15
"""Two channels add at most twice this to an entry of the table, and eight entries are summed in a byte."""


@dataclass(frozen=True, slots=True)
class Worth:
    """``x·w = offsets[index of w] - step * matrix[pair of x, pair of w]``: int64 [levels of w], uint8 [4, 4].

    Pairs that stand for nothing are worth 0.
    """

    matrix: np.ndarray
    offsets: np.ndarray
    step: int


def worth_of(x: Levels, w: Levels) -> Worth | None:
    """The worth of the products of two sets of at most four levels; None if they do not fit a byte eight at a time.

    >>> found = worth_of(Levels(0, 1, 3), Levels(-1, 1, 3))
    >>> found.offsets.tolist(), found.step, found.matrix[0].tolist()
    ([0, 0, 2], 1, [2, 0, 0, 0])
    """
    if max(x.count, w.count) > 4:
        return None
    products = np.multiply.outer(x.values(), w.values())
    offsets = products.max(axis=0)
    step = int(np.gcd.reduce((offsets - products).ravel())) or 1
    values = (offsets - products) // step
    if values.max() > MOST_WORTH:
        return None
    matrix = np.zeros((4, 4), np.uint8)
    for pair, index in enumerate(INDEX_OF_PAIR[x.count]):
        if index >= 0:
            matrix[pair, : w.count] = values[index]
    return Worth(matrix, offsets, step)


def table_of(matrix: np.ndarray) -> np.ndarray:
    """[256, 32]: for each byte of activations, four pairs, the rows of its low and its high two; a row has an entry for each two pairs
    of weights.

    >>> matrix_of(table_of(np.arange(16).reshape(4, 4))).ravel().tolist() == list(range(16))
    True
    """
    low, high = np.arange(16) & 3, np.arange(16) >> 2
    rows = matrix[low][:, low] + matrix[high][:, high]
    return np.concatenate([rows[np.arange(256) & 15], rows[np.arange(256) >> 4]], axis=1).astype(np.uint8)


def matrix_of(table: np.ndarray) -> np.ndarray:
    """The inverse of :func:`table_of`."""
    twice = 5 * np.arange(4)  # both pairs alike
    return np.asarray(table[twice][:, twice] // 2)


def pack_pairs(pairs: np.ndarray) -> np.ndarray:
    """Pairs [..., C] as words [..., words_of(2 C)].

    >>> pack_pairs(np.array([1, 2, 3])).tolist()
    [57]
    """
    bits = np.stack([pairs & 1, pairs >> 1], axis=-1) != 0
    return pack_bits(bits.reshape(*pairs.shape[:-1], -1))


def unpack_pairs(words: np.ndarray) -> np.ndarray:
    """The inverse of :func:`pack_pairs`, of all the words hold: [..., 32 * words]."""
    bits = unpack_bits(words, 64 * words.shape[-1]).reshape(*words.shape[:-1], -1, 2)
    return np.asarray(bits[..., 0] + 2 * bits[..., 1].astype(np.int64))


def interleave(words: np.ndarray, planes: int, channels: int) -> np.ndarray:
    """Words of 1 to 3 thermometer planes [..., planes * words_of(C)] as words of pairs [..., words_of(2 C)]."""
    held = [unpack_bits(plane, channels) for plane in np.split(words, planes, axis=-1)]
    low = held[0] if planes < 3 else held[0] ^ held[1] ^ held[2]
    high = held[1] if planes > 1 else np.zeros_like(low)
    return pack_pairs(low + 2 * high.astype(np.int64))


def pair_words(channels: int) -> int:
    """Words of the pairs of one pixel."""
    return words_of(2 * channels)
