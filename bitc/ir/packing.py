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


@dataclass(frozen=True, slots=True)
class GroupedWeights:
    """Words and masks [blocks, KH * KW * run, block], and the first word [blocks] of a pixel that each block of channels reads."""

    words: np.ndarray
    masks: np.ndarray
    block_word: np.ndarray


def pack_grouped_weights(signs: np.ndarray, group: int, planes: int, block: int) -> GroupedWeights:
    """±1 weights [M, C/group, KH, KW] of a grouped convolution over C channels.

    A block of channels reads one run of words that covers its groups in all planes; the run is as long for every block. Masks keep
    each channel to its own group.

    >>> g = pack_grouped_weights(np.full((4, 32, 1, 1), -1), group=4, planes=1, block=2)
    >>> g.block_word.tolist(), [f"{m:x}" for m in g.masks[0, 0]]
    ([0, 1], ['ffffffff', 'ffffffff00000000'])
    """
    channels, size, *taps = signs.shape
    owner = np.arange(channels) // (channels // group)
    bits = np.zeros((2, channels, *taps, size * group), bool)  # weights and masks over all channels of a pixel
    for channel, g in enumerate(owner):
        bits[0, channel, ..., g * size : (g + 1) * size] = signs[channel].transpose(1, 2, 0) < 0
        bits[1, channel, ..., g * size : (g + 1) * size] = True
    words = np.tile(pack_bits(bits), (1,) * (2 + len(taps)) + (planes,))
    firsts, lasts = owner * size // WORD_BITS, ((owner + 1) * size - 1) // WORD_BITS
    blocks = [slice(i, min(i + block, channels)) for i in range(0, channels, block)]
    plane_words, total = words_of(size * group), words.shape[-1]
    run = max((planes - 1) * plane_words + int(lasts[b].max() - firsts[b].min()) + 1 for b in blocks)
    starts = np.array([min(int(firsts[b].min()), total - run) for b in blocks], np.int32)
    cut = np.stack(
        [words[:, m, ..., start : start + run] for m, start in enumerate(np.repeat(starts, block)[:channels])], axis=1
    )
    packed = [_blocked(part.reshape(channels, -1), block) for part in cut]
    return GroupedWeights(packed[0], packed[1], starts)


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
