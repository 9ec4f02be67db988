"""Winograd's convolution F(2x2, 3x3) on integers: 16 products for four outputs instead of 36, exact. The kernels: ``runtime/iwinograd.h``.

For a patch d [4, 4] of x and taps w [3, 3], both of one channel, the four outputs at stride 1 are (Winograd 1980; Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks", 2015)::

    y = A' ((G w G') * (B' d B)) A

B and A hold 0 and ±1, G holds halves. With H = 2G everything is an integer, and summed over channels ::

    4 y = A' (sum over c of (H w_c H') * (B' d_c B)) A

holds over the integers, hence modulo 2^32: sums may wrap around on the way, and where |y| < 2^29 what comes out *is* 4y, so that its
arithmetic shift by two is y. The transformed operands must fit the 16 bits that are multiplied; :func:`winograd_is_exact` says when.
"""

from __future__ import annotations

import numpy as np

from bitc.ir.integer_packing import Runs, pack_integer_weights, unpack_integer_weights

_H = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])
_LEFT_INVERSE_TWICE = np.array([[1, 0, 0, 0], [0, 1, -1, 0], [0, 0, 0, 1]])
"""L with L H = 2: what gives w back from H w H'."""

MOST_INT16 = 2**15 - 1
CHANNEL_STEP = 16
"""Input channels come in multiples of this: the kernels transform so many at a time."""


def winograd_is_exact(w: np.ndarray, highest: int) -> bool:
    """Whether taps [M, C, 3, 3] on activations within ±``highest`` keep to 16 bits when transformed, and sums to ±2^29.

    A transformed activation is a sum of four, each with a sign.

    >>> w = np.full((1, 16, 3, 3), 127)
    >>> winograd_is_exact(w, 255), winograd_is_exact(w, 8192), winograd_is_exact(w.repeat(2000, 1), 255)
    (True, False, False)
    """
    sums = highest * int(np.abs(w.astype(np.int64)).sum(axis=(1, 2, 3)).max(initial=0))
    return 4 * highest <= MOST_INT16 and int(np.abs(_transformed(w)).max(initial=0)) <= MOST_INT16 and sums < 2**29


def _transformed(w: np.ndarray) -> np.ndarray:
    """H w H', int64 [16, M, C] of taps [M, C, 3, 3]."""
    return np.asarray(np.einsum("ia,mcab,jb->ijmc", _H, w.astype(np.int64), _H).reshape(16, *w.shape[:2]))


def pack_winograd_weights(w: np.ndarray, block: int, side: int) -> np.ndarray:
    """Taps [M, C, 3, 3] as H w H' in 16 packed matrices, int16 [16, ceil(M/block), ceil(C/side), block, side].

    >>> pack_winograd_weights(np.ones((1, 1, 3, 3), int), block=1, side=1).reshape(4, 4).tolist()
    [[4, 6, 2, 4], [6, 9, 3, 6], [2, 3, 1, 2], [4, 6, 2, 4]]
    """
    runs = Runs(1, 1, w.shape[1])
    packed = [pack_integer_weights(u[..., np.newaxis, np.newaxis], 1, runs, block, side)[0] for u in _transformed(w)]
    return np.stack(packed).astype(np.int16)


def unpack_winograd_weights(packed: np.ndarray, channels: int, in_c: int) -> np.ndarray:
    """The inverse of :func:`pack_winograd_weights` for M = ``channels`` and C = ``in_c``: [M, C, 3, 3], int64.

    >>> w = np.arange(36).reshape(2, 2, 3, 3)
    >>> bool((unpack_winograd_weights(pack_winograd_weights(w, 16, 2), 2, 2) == w).all())
    True
    """
    runs = Runs(1, 1, in_c)
    flat = [unpack_integer_weights(u[np.newaxis], (1, 1), channels, runs)[..., 0, 0] for u in packed]
    u = np.stack(flat).reshape(4, 4, channels, in_c)
    return np.asarray(np.einsum("ai,ijmc,bj->mcab", _LEFT_INVERSE_TWICE, u, _LEFT_INVERSE_TWICE) // 4)


def scratch_row_bytes(size: tuple[int, int], in_c: int, rows: int) -> int:
    """Bytes of scratch per output row, where ``rows`` are transformed together: as many rows hold a band's tiles.

    >>> scratch_row_bytes((56, 56), 64, 2)
    43008
    """
    tiles = rows // 2 * -(-size[1] // 2)
    return -(-tiles * (16 * 64 + 32 * in_c) // min(rows, size[0]))
