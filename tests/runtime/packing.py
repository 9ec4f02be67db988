"""NumPy meaning of the packed layouts of ``runtime/bconv.h``: bits to words, weights to blocks."""

from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Bits = npt.NDArray[np.uint8]


def words_of(channels: int) -> int:
    """64-bit words that hold ``channels`` bits."""
    return -(-channels // 64)


def pack(bits: npt.NDArray[Any]) -> Words:
    """Bits ``[..., channels]`` to words ``[..., words]``; channel c is bit c%64 of word c//64, padding bits are 0."""
    channels = bits.shape[-1]
    padded = np.zeros((*bits.shape[:-1], 64 * words_of(channels)), np.uint8)
    padded[..., :channels] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view("<u8").astype(np.uint64)


def unpack(words: Words, channels: int) -> Bits:
    """Inverse of ``pack``."""
    little = np.ascontiguousarray(words.astype("<u8"))
    return np.unpackbits(little.view(np.uint8), axis=-1, bitorder="little")[..., :channels]


def block_rows(rows: npt.NDArray[Any], block: int) -> npt.NDArray[Any]:
    """Pad the first axis (output channels) with zeros to whole blocks: ``[blocks, block, ...]``."""
    blocks = -(-rows.shape[0] // block)
    padded = np.zeros((blocks * block, *rows.shape[1:]), rows.dtype)
    padded[: rows.shape[0]] = rows
    return padded.reshape(blocks, block, *rows.shape[1:])


def block_weights(words: Words, block: int, *, transpose_bytes: bool = False) -> Words:
    """Weights ``[out_c, words]`` to ``[blocks, words, block]``; AVX2 stores the bytes of an entry transposed."""
    blocked = np.ascontiguousarray(block_rows(words, block).transpose(0, 2, 1))
    if not transpose_bytes:
        return blocked
    by_byte = blocked.view(np.uint8).reshape(*blocked.shape, 8).swapaxes(-1, -2)
    return np.ascontiguousarray(by_byte).view(np.uint64).reshape(blocked.shape)


def block_limits(limit: npt.NDArray[np.int32], block: int) -> npt.NDArray[np.int32]:
    """Limits ``[planes, classes, out_c]`` to ``[planes, classes, blocks*block]``, absent channels INT32_MAX."""
    padded = -(-limit.shape[-1] // block) * block
    out = np.full((*limit.shape[:-1], padded), np.iinfo(np.int32).max, np.int32)
    out[..., : limit.shape[-1]] = limit
    return out
