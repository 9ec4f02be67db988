"""Bit formats of level ``k``, in NumPy: how codes and weights lie in 64-bit words. Bit 1 of a plane stands for its lower value, -1.

Channel c of a plane is bit ``c % 64`` (counted from the least significant) of word ``c // 64``; the bits above the last channel are 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitc.ir.types import Levels

WORD_BITS = 64


def words_of(channels: int) -> int:
    """Words of one plane of one pixel.

    >>> words_of(64), words_of(65)
    (1, 2)
    """
    return -(-channels // WORD_BITS)


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """Booleans [..., C] as words [..., words_of(C)].

    >>> pack_bits(np.array([True, False, True]))
    array([5], dtype=uint64)
    """
    channels = bits.shape[-1]
    padded = np.zeros((*bits.shape[:-1], words_of(channels) * WORD_BITS), bool)
    padded[..., :channels] = bits
    grouped = np.packbits(padded, axis=-1, bitorder="little")
    return np.ascontiguousarray(grouped).view("<u8").astype(np.uint64)


def unpack_bits(words: np.ndarray, channels: int) -> np.ndarray:
    """The inverse of :func:`pack_bits`.

    >>> unpack_bits(np.array([5], np.uint64), 3)
    array([ True, False,  True])
    """
    as_bytes = np.ascontiguousarray(words.astype("<u8")).view(np.uint8)
    return np.unpackbits(as_bytes, axis=-1, bitorder="little")[..., :channels].astype(bool)


def pack_codes(codes: np.ndarray, levels: Levels) -> np.ndarray:
    """Levels [..., C] as thermometer planes [..., planes * words_of(C)], plane 0 first; bit 0 of plane i where the index is above i.

    >>> [f"{w:03b}" for w in pack_codes(np.array([-1, 0, 1]), Levels(-1, 1, 3))]
    ['001', '011']
    """
    index = (codes - levels.lo) // levels.step
    return np.concatenate([pack_bits(index <= plane) for plane in range(levels.planes)], axis=-1)


def unpack_codes(words: np.ndarray, levels: Levels, channels: int) -> np.ndarray:
    """The inverse of :func:`pack_codes`: levels [..., channels], int32.

    >>> unpack_codes(np.array([0b001, 0b011], np.uint64), Levels(-1, 1, 3), 3)
    array([-1,  0,  1], dtype=int32)
    """
    planes = np.split(words, levels.planes, axis=-1)
    index = sum((~unpack_bits(plane, channels)).astype(np.int32) for plane in planes)
    return np.asarray(levels.lo + levels.step * index, dtype=np.int32)


def _blocked(per_channel: np.ndarray, block: int) -> np.ndarray:
    """[M, K] as [ceil(M / block), K, block], channels past M all zero."""
    channels, terms = per_channel.shape
    padded = np.zeros((-(-channels // block) * block, terms), per_channel.dtype)
    padded[:channels] = per_channel
    return np.ascontiguousarray(padded.reshape(-1, block, terms).transpose(0, 2, 1))


def _unblocked(packed: np.ndarray, channels: int) -> np.ndarray:
    blocks, terms, block = packed.shape
    return np.asarray(packed.transpose(0, 2, 1).reshape(blocks * block, terms)[:channels])


@dataclass(frozen=True, slots=True)
class WeightForm:
    """How a kernel family wants its bit weights: ``block`` channels side by side, each word whole or (``byte_rows``) its bytes
    gathered: byte 0 of all words of the block, then byte 1, ... byte 7."""

    block: int
    byte_rows: bool = False


def pack_weights(signs: np.ndarray, planes: int, form: WeightForm) -> np.ndarray:
    """±1 weights [M, C, KH, KW] as words [ceil(M/block), KH * KW * planes * words_of(C), block]: -1 is bit 1.

    The words of a tap are repeated for each plane of the activations, so that one run of words serves all planes.

    >>> pack_weights(np.array([1, -1, -1]).reshape(1, 3, 1, 1), planes=2, form=WeightForm(2)).tolist()
    [[[6, 0], [6, 0]]]
    >>> [f"{w:x}" for w in pack_weights(np.full((1, 64, 1, 1), -1), 1, WeightForm(2, byte_rows=True)).ravel()]
    ['ff00ff00ff00ff', 'ff00ff00ff00ff']
    """
    taps = pack_bits(signs.transpose(0, 2, 3, 1) < 0)
    repeated = np.tile(taps, (1, 1, 1, planes))
    packed = _blocked(repeated.reshape(signs.shape[0], -1), form.block)
    return _swap_bytes(packed, (form.block, 8)) if form.byte_rows else packed


def _swap_bytes(packed: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The bytes of each last row of words, seen as a ``grid``, transposed."""
    as_bytes = np.ascontiguousarray(packed.astype("<u8")).view(np.uint8).reshape(*packed.shape[:-1], *grid)
    moved = np.ascontiguousarray(np.swapaxes(as_bytes, -1, -2)).reshape(*packed.shape[:-1], -1)
    return moved.view("<u8").astype(np.uint64)


def unpack_weights(packed: np.ndarray, taps: tuple[int, int], channels: int, form: WeightForm) -> np.ndarray:
    """Bits [M, words_per_tap * 64, KH, KW] of :func:`pack_weights` (all planes, padding bits as 0).

    >>> unpack_weights(np.array([[[6, 0], [6, 0]]], np.uint64), (1, 1), 1, WeightForm(2)).sum().item()
    4
    """
    if form.byte_rows:
        packed = _swap_bytes(packed, (8, form.block))
    words = _unblocked(packed, channels).reshape(channels, *taps, -1)
    return unpack_bits(words, words.shape[-1] * WORD_BITS).transpose(0, 3, 1, 2)


def pack_floats(weights: np.ndarray, block: int) -> np.ndarray:
    """Float weights [M, C, KH, KW] as [ceil(M/block), KH * KW * C, block].

    >>> pack_floats(np.array([1.0, 2.0, 3.0], np.float32).reshape(3, 1, 1, 1), 2).tolist()
    [[[1.0, 2.0]], [[3.0, 0.0]]]
    """
    return _blocked(weights.transpose(0, 2, 3, 1).reshape(weights.shape[0], -1), block)


def unpack_floats(packed: np.ndarray, taps: tuple[int, int], channels: int) -> np.ndarray:
    """The inverse of :func:`pack_floats`: [channels, C, KH, KW].

    >>> unpack_floats(np.array([[[1.0, 2.0]], [[3.0, 0.0]]], np.float32), (1, 1), 3).ravel().tolist()
    [1.0, 2.0, 3.0]
    """
    return _unblocked(packed, channels).reshape(channels, *taps, -1).transpose(0, 3, 1, 2)
