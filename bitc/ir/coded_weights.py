"""Weights of few levels as codes of 2 or 4 bits; the kernels' contract is in ``runtime/icoded.h``.

The weights of channel m are ``lowest[m] + step * code``, so that with activations x, u8::

    sum x * w[m]  =  lowest[m] * sum x  +  step * sum x * code[m]

and a product reads a quarter, or half, of the bytes that the weights take as int8. A byte holds codes of 8 / bits channels, each in the
same place of its group of ``lanes`` channels: a vector of bytes meets one vector of activations, field by field.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitc.ir.integer_packing import pack_integer_base

WIDTHS = (2, 4)
"""Bits of a code."""
MOST_RUN = 65536
"""Activations of a sum: with the highest codes in their places it still fits int32."""
MOST_INT16 = 2**15 - 1
PASS_BYTES = 196608
"""``BITC_ICONV_PASS``: bytes of int8 weights that one pass over many pixels may use."""


@dataclass(frozen=True, slots=True)
class Coded:
    """Weights [M, K]: ``codes`` u8 of ``bits`` bits [M, K], ``lowest`` [M], one ``step`` > 0."""

    bits: int
    codes: np.ndarray
    lowest: np.ndarray
    step: int

    def weights(self) -> np.ndarray:
        """Back to numbers, int64 [M, K]."""
        return np.asarray(self.lowest[:, np.newaxis].astype(np.int64) + self.step * self.codes.astype(np.int64))


def coded(w: np.ndarray) -> Coded | None:
    """Integer weights [M, K] as codes of as few bits as hold them; None where 4 bits do not, or where K is 0 or they are no int8.

    >>> found = coded(np.array([[-1, 0, 1], [5, 7, 6]]))
    >>> found.bits, found.step, found.lowest.tolist(), found.codes.tolist()
    (2, 1, [-1, 5], [[0, 1, 2], [0, 2, 1]])
    >>> coded(np.array([[-3, 1, 3]])).step, coded(np.array([[0, 15]])).step, coded(np.array([[0, 1, 16]]))
    (2, 15, None)
    """
    if not w.size or w.min() < -128 or w.max() > 127:
        return None
    lowest = w.min(axis=1)
    above = w.astype(np.int64) - lowest[:, np.newaxis]
    step = max(int(np.gcd.reduce(above, axis=None)), 1)
    highest = int(above.max()) // step
    bits = next((width for width in WIDTHS if highest < 1 << width), None)
    return None if bits is None else Coded(bits, (above // step).astype(np.uint8), lowest, step)


def pack_codes_of_weights(found: Coded, lanes: int, side: int) -> np.ndarray:
    """The codes as bytes [ceil(M / (lanes * 8 / bits)), K / side, lanes, side]; ``side`` divides K, missing codes are 0.

    >>> codes = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [1, 1]], np.uint8)
    >>> pack_codes_of_weights(Coded(2, codes, np.zeros(5), 1), lanes=2, side=1).tolist()
    [[[[24], [13]], [[29], [2]]]]
    """
    fields = 8 // found.bits
    count, depth = found.codes.shape
    padded = np.zeros((-(-count // (lanes * fields)) * lanes * fields, depth), np.uint8)
    padded[:count] = found.codes
    split = padded.reshape(-1, fields, lanes, depth // side, side)
    shifts = (found.bits * np.arange(fields, dtype=np.uint8)).reshape(fields, 1, 1, 1)
    joined = np.bitwise_or.reduce(split << shifts, axis=1)
    return np.ascontiguousarray(joined.transpose(0, 2, 1, 3))


def unpack_codes_of_weights(packed: np.ndarray, bits: int, channels: int) -> np.ndarray:
    """The inverse of :func:`pack_codes_of_weights` for ``channels`` = M: u8 [M, K].

    >>> codes = np.array([[0, 1], [1, 2], [2, 3]], np.uint8)
    >>> packed = pack_codes_of_weights(Coded(2, codes, np.zeros(3), 1), lanes=2, side=2)
    >>> np.array_equal(unpack_codes_of_weights(packed, 2, 3), codes)
    True
    """
    blocks, entries, lanes, side = packed.shape
    shifts = (bits * np.arange(8 // bits, dtype=np.uint8)).reshape(-1, 1, 1, 1)
    split = packed[:, np.newaxis].transpose(0, 1, 3, 2, 4) >> shifts & np.uint8(2**bits - 1)
    return np.asarray(split.reshape(blocks * 8 // bits * lanes, entries * side)[:channels])


def pack_per_channel(values: np.ndarray, bits: int, lanes: int) -> np.ndarray:
    """A number of each channel as int32, zeros up to a whole number of blocks.

    >>> pack_per_channel(np.array([5, 6, 7]), bits=4, lanes=1).tolist()
    [5, 6, 7, 0]
    """
    return pack_integer_base(values, 1, lanes * 8 // bits)


def code_chain(found: Coded, highest: int) -> int:
    """How many sums of two neighbours' products fit 16 bits with codes for weights, those of 2 bits times 4; activations are
    0 .. ``highest``. At least 4, and bounded so that four times as many still fit 32 bits.

    >>> ternary = Coded(2, np.full((1, 4), 2, np.uint8), np.full(1, -1), 1)
    >>> code_chain(ternary, 255), code_chain(ternary, 15), code_chain(Coded(4, ternary.codes, ternary.lowest, 1), 255)
    (8, 136, 32)
    """
    most = 2 * int(found.codes.max(initial=0)) * (4 if found.bits == 2 else 1) * highest
    return min(MOST_INT16 // max(most, 1), MOST_INT16)


def scratch_bytes(depth: int, channels: int, block: int) -> int:
    """Bytes for the int8 weights of one pass over many pixels: [blocks of a pass][``depth``][``block``].

    >>> scratch_bytes(4096, 11008, 16), scratch_bytes(4096, 20, 16), scratch_bytes(65536, 100, 16)
    (196608, 131072, 1048576)
    """
    of_block = depth * block
    return of_block * min(max(PASS_BYTES // of_block, 1), -(-channels // block))
