"""Bits of a pixel brought to other places: words rotated and masked. Bit b of word w is place ``64·w + b``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitc.ir.packing import WORD_BITS, words_of


@dataclass(frozen=True, slots=True)
class BitMoves:
    """``steps`` int32 [n, 3]: word written (in order), word read, how far it is rotated to the left; ``masks`` uint64 [n]: the bits
    that are taken of it then; ``flips`` uint64 [words]: the bits of the result that are complemented."""

    steps: np.ndarray
    masks: np.ndarray
    flips: np.ndarray


def bit_moves(read: np.ndarray, written: np.ndarray, flipped: np.ndarray, words: int) -> BitMoves:
    """The moves that bring the bits at places ``read`` int [n] to the distinct places ``written`` int [n], complemented where ``flipped``
    bool [n]; the other bits of the ``words`` words become 0. All bits that move alike are one step.

    >>> moves = bit_moves(np.array([0, 1, 0]), np.array([2, 3, 64]), np.array([False, True, False]), 2)
    >>> moves.steps.tolist(), moves.masks.tolist(), moves.flips.tolist()
    ([[0, 0, 2], [1, 0, 0]], [12, 1], [8, 0])
    """
    steps = np.stack([written // WORD_BITS, read // WORD_BITS, (written - read) % WORD_BITS], axis=1)
    bits = np.uint64(1) << (written % WORD_BITS).astype(np.uint64)
    distinct, place = np.unique(steps, axis=0, return_inverse=True)
    masks, flips = np.zeros(len(distinct), np.uint64), np.zeros(words, np.uint64)
    np.bitwise_or.at(masks, place.reshape(-1), bits)
    np.bitwise_or.at(flips, written[flipped] // WORD_BITS, bits[flipped])
    return BitMoves(distinct.astype(np.int32), masks, flips)


def picked_bits(channel: np.ndarray, plane: np.ndarray, turned: np.ndarray, channels: int) -> BitMoves:
    """The moves of a ``q.pick`` from packed codes of ``channels`` channels, by its tables [C, P]."""
    count, planes = channel.shape
    words = words_of(count)
    read = (plane * words_of(channels) * WORD_BITS + channel).T.reshape(-1)
    written = np.add.outer(np.arange(planes) * words * WORD_BITS, np.arange(count)).reshape(-1)
    return bit_moves(read, written, turned.T.reshape(-1), planes * words)


def moved(x: np.ndarray, steps: np.ndarray, masks: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """What the moves make of words ``x`` uint64 [..., words]."""
    y = np.broadcast_to(flips, (*x.shape[:-1], len(flips))).copy()
    for (to, of, left), mask in zip(steps.tolist(), masks, strict=True):
        word = x[..., of]
        rotated = word << np.uint64(left) | word >> np.uint64(-left % WORD_BITS)
        y[..., to] ^= rotated & mask
    return y
