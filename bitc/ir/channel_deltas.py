"""Bit weights stored as differences between output channels: a stream of bits, smaller the nearer the channels are to one another.

Channels come in the order of a :class:`~bitc.ir.channel_tree.ChannelTree`, parents first; of each ::

    number                    ceil(log2 C) bits
    width                     4 bits; 15: what follows are the channel's weights as they are, n bits
    parent, negated           ceil(log2 C) bits and 1 bit
    runs                      until all n weights are passed

A run is a code of Golomb and Rice of parameter ``width``: a bit 0 passes 2^width weights that are as the parent's (or its complement's);
a bit 1 and an offset of ``width`` bits pass as many more, and then the one weight that differs. So nothing says where the runs end, and
d·n differences take close to the n·H(d) bits that they must (Golomb 1966; Gallager and van Voorhis 1975). Numbers begin with their lowest
bit, bytes are filled from theirs; :data:`PADDING` bytes at the end let a decoder read four at a time (``runtime/deltas.h``).
"""

from __future__ import annotations

import numpy as np

from bitc.ir.channel_tree import ROOT, ChannelTree

RAW = 15
MOST_WIDTH = 14
MOST_CHANNELS = 2**16
PADDING = 3


def number_bits(channels: int) -> int:
    """Bits of a channel's number.

    >>> number_bits(1), number_bits(64), number_bits(65)
    (0, 6, 7)
    """
    return (channels - 1).bit_length()


def encoded(rows: np.ndarray, tree: ChannelTree) -> np.ndarray:
    """The stream, u8, of weights ``rows``, bool [C, n], along a tree over them. A channel that is not near enough is stored as it is.

    >>> from bitc.ir.channel_tree import channel_tree
    >>> rows = np.zeros((2, 100), bool)
    >>> rows[1, 40] = True
    >>> len(encoded(rows, channel_tree(rows)))  # 1 + 4 + 100 bits, 1 + 4 + 1 + 1 and 8 of a run, 3 bytes
    18

    Raises ValueError for more than :data:`MOST_CHANNELS` channels.
    """
    channels, terms = rows.shape
    if channels > MOST_CHANNELS:
        raise ValueError(f"{channels} channels, at most {MOST_CHANNELS} have numbers")
    size, parts = number_bits(channels), list[np.ndarray]()
    for channel in tree.order.tolist():
        parent, negated = int(tree.parent[channel]), bool(tree.negated[channel])
        found = None
        if parent != ROOT:
            found = _shortest_runs(np.flatnonzero(rows[channel] ^ rows[parent] ^ negated), terms)
        if found is None or size + 1 + len(found[1]) >= terms:
            parts += [_field(channel, size), _field(RAW, 4), rows[channel]]
        else:
            width, runs = found
            parts += [_field(channel, size), _field(width, 4), _field(parent, size), _field(negated, 1), runs]
    packed = np.packbits(np.concatenate(parts), bitorder="little")
    return np.concatenate([packed, np.zeros(PADDING, np.uint8)])


def _field(value: int, size: int) -> np.ndarray:
    return np.asarray(value >> np.arange(size) & 1, dtype=bool)


def _shortest_runs(places: np.ndarray, terms: int) -> tuple[int, np.ndarray]:
    """The width that makes the runs up to ``places`` shortest, and these as bits."""
    ends = np.concatenate([[-1], places])
    gaps, rest = np.diff(ends) - 1, terms - 1 - int(ends[-1])
    widths = np.arange(MOST_WIDTH + 1)
    zeros = (gaps[:, np.newaxis] >> widths).sum(axis=0) + -(-rest >> widths)
    width = int((zeros + len(places) * (1 + widths)).argmin())
    lengths = (gaps >> width) + 1 + width
    ones = np.cumsum(lengths) - 1 - width
    runs = np.zeros(int(lengths.sum()) + -(-rest >> width), bool)
    runs[ones] = True
    for bit in range(width):
        runs[ones + 1 + bit] = gaps >> bit & 1
    return width, runs


def decoded(stream: np.ndarray, channels: int, terms: int) -> np.ndarray:
    """The weights bool [C, n] of a stream.

    >>> from bitc.ir.channel_tree import channel_tree
    >>> rows = np.array([[0, 0, 1, 1, 0, 1], [1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0]], bool)
    >>> np.array_equal(decoded(encoded(rows, channel_tree(rows)), 3, 6), rows)
    True
    """
    return _Decoder(stream, terms).rows(channels)


class _Decoder:
    """The bits of a stream, where the next one is from each of them, and how far they are read."""

    def __init__(self, stream: np.ndarray, terms: int) -> None:
        self._bits = np.unpackbits(stream, bitorder="little")
        places = np.where(self._bits, np.arange(len(self._bits)), len(self._bits))
        self._next_one = np.minimum.accumulate(places[::-1])[::-1].tolist()
        self._at, self._terms = 0, terms

    def rows(self, channels: int) -> np.ndarray:
        """All channels."""
        size, rows = number_bits(channels), np.zeros((channels, self._terms), bool)
        for _ in range(channels):
            channel, width = self._number(size), self._number(4)
            if width == RAW:
                rows[channel] = self._bits[self._at : self._at + self._terms]
                self._at += self._terms
            else:
                parent, negated = self._number(size), bool(self._number(1))
                rows[channel] = rows[parent] ^ negated
                rows[channel, self._places(width)] ^= True
        return rows

    def _number(self, size: int) -> int:
        found = self._bits[self._at : self._at + size]
        self._at += size
        return int((found.astype(np.int64) << np.arange(size)).sum())

    def _places(self, width: int) -> list[int]:
        """The weights that differ."""
        found, at = list[int](), 0
        while at < self._terms:
            zeros = self._next_one[self._at] - self._at
            at += zeros << width
            self._at += zeros
            if at >= self._terms:
                self._at -= at - self._terms >> width
                break
            self._at += 1
            at += self._number(width)
            found.append(at)
            at += 1
        return found
