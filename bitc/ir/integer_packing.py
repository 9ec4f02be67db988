"""Orders in which the integer kernels want their constants, in NumPy; the contracts are in ``runtime/iconv.h`` and ``idepthwise.h``.

A convolution reads a window as *runs*: values that lie side by side in memory (one tap's channels, a window row of a dense image, a
whole window as wide as the image). Weights follow the runs, so whoever packs them must know the geometry: :func:`runs_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitc.ir.types import DType


@dataclass(frozen=True, slots=True)
class WinogradLimits:
    """Where Winograd's kernel is the faster one on a target, measured with ``benchmarks/integer_layers.py``.

    At least ``channels`` of the input and ``tiles`` (2x2 outputs) of an image; at least ``saving`` times fewer multiplications, what tiles
    compute beyond the image included; at most ``weight_bytes`` of transformed weights, which are 3.6 times those in bytes.
    ``band_tiles`` are transformed together: their data stay in the L2 cache, and each weight is loaded once for all of them.
    """

    channels: int
    tiles: int
    saving: float
    weight_bytes: int
    band_tiles: int

    def pays(self, size: tuple[int, int], in_c: int, out_c: int) -> bool:
        """Whether an output of ``size`` rows x columns is computed faster this way.

        >>> limits = WinogradLimits(channels=32, tiles=4, saving=1.5, weight_bytes=2**23, band_tiles=12)
        >>> limits.pays((56, 56), 64, 64), limits.pays((3, 3), 64, 64), limits.pays((56, 56), 24, 64)
        (True, False, False)
        """
        tiles = -(-size[0] // 2) * -(-size[1] // 2)
        saving = 36 * size[0] * size[1] / (64 * tiles)
        most = 32 * in_c * -(-out_c // 16) * 16 <= self.weight_bytes
        return in_c >= self.channels and tiles >= self.tiles and saving >= self.saving and most

    def rows(self, size: tuple[int, int]) -> int:
        """Rows of a band: even, as few as hold ``band_tiles``, never more than the image has (rounded up).

        >>> limits = WinogradLimits(channels=32, tiles=4, saving=1.5, weight_bytes=2**23, band_tiles=12)
        >>> limits.rows((56, 56)), limits.rows((14, 14)), limits.rows((3, 3))
        (2, 4, 4)
        """
        across = -(-size[1] // 2)
        return 2 * min(-(-self.band_tiles // across), -(-size[0] // 2))


@dataclass(frozen=True, slots=True)
class IntegerForm:
    """What the integer kernels of a target want.

    ``block`` output channels lie side by side, for each of them ``side_u8`` or ``side_i16`` values of a run (by the storage of x).
    ``depthwise_block`` channels lie side by side, for each ``depthwise_side`` taps. ``storage`` is the faster storage of x where its
    values allow both. ``winograd``: where 3x3 taps are computed as :mod:`bitc.ir.winograd` says, which takes i16. ``growth``: how many
    times its entries a product of u8 may take with weights placed as :mod:`bitc.ir.placed_weights` says, and still be faster than i16;
    0 where there is no such kernel. ``code_lanes`` channels of codes lie side by side (:mod:`bitc.ir.coded_weights`); 0: there are no
    kernels on codes.
    """

    block: int
    side_u8: int
    side_i16: int
    depthwise_block: int
    depthwise_side: int
    storage: DType
    code_lanes: int
    winograd: WinogradLimits | None = None
    growth: float = 0.0

    def side(self, x: DType) -> int:
        """Values of a run side by side, for activations stored as ``x``."""
        return self.side_u8 if x is DType.U8 else self.side_i16


INTEGERS_PORTABLE = IntegerForm(1, 1, 1, 16, 1, DType.U8, 1)
INTEGERS_AVX2 = IntegerForm(16, 4, 2, 16, 2, DType.I16, 8, WinogradLimits(32, 4, 1.5, 1 << 23, 12), growth=1.2)
INTEGERS_AVX512 = IntegerForm(16, 4, 2, 32, 2, DType.U8, 16)
INTEGERS_NEON = IntegerForm(8, 1, 1, 16, 1, DType.U8, 0)
INTEGERS_NEON_DOT = IntegerForm(8, 4, 1, 16, 1, DType.U8, 0)
INTEGERS_NEON_I8MM = IntegerForm(8, 8, 1, 16, 1, DType.U8, 0)
INTEGER_FORMS = {
    "portable": INTEGERS_PORTABLE,
    "avx2": INTEGERS_AVX2,
    "avx512": INTEGERS_AVX512,
    "neon": INTEGERS_NEON,
    "neon_dot": INTEGERS_NEON_DOT,
    "neon_i8mm": INTEGERS_NEON_I8MM,
}
"""By the ISA of a target."""


@dataclass(frozen=True, slots=True)
class Runs:
    """A window of a convolution as ``rows`` x ``cols`` runs of ``length`` values."""

    rows: int
    cols: int
    length: int

    def entries(self, side: int) -> int:
        """Entries of ``side`` values that cover all runs."""
        return self.rows * self.cols * -(-self.length // side)

    def positions(self, side: int) -> np.ndarray:
        """Which value of a run each place holds, [entries of one run, side]; -1 where it holds none.

        The last entry ends with the run, so that it is read whole and nothing behind it is.

        >>> Runs(1, 1, 5).positions(2).tolist(), Runs(1, 1, 1).positions(2).tolist()
        ([[0, 1], [2, 3], [-1, 4]], [[0, -1]])
        """
        count = -(-self.length // side)
        held = np.arange(count * side).reshape(count, side)
        if self.length >= side:
            last = np.arange(self.length - side, self.length)
            held[-1] = np.where(last >= (count - 1) * side, last, -1)
        return np.where(held < self.length, held, -1)


def runs_of(taps: Sequence[int], dilations: Sequence[int], columns: int, channels: int, group: int) -> Runs:
    """The runs of a window over a buffer with ``columns`` pixels a row and ``channels`` a pixel.

    >>> runs_of((3, 3), (1, 1), 58, 64, 1), runs_of((3, 3), (1, 1), 58, 64, 2), runs_of((4, 4), (1, 1), 4, 8, 1)
    (Runs(rows=3, cols=1, length=192), Runs(rows=3, cols=3, length=32), Runs(rows=1, cols=1, length=128))
    """
    rows, cols = taps
    length = channels // group
    if cols > 1 and dilations[1] * channels == length:
        cols, length = 1, cols * length
    if rows > 1 and cols == 1 and dilations[0] * columns * channels == length:
        rows, length = 1, rows * length
    return Runs(rows, cols, length)


def weights_dtype(w: np.ndarray) -> DType:
    """i8 where all weights fit, else i16. Raises :class:`ValueError` if they do not fit that either."""
    for dtype in (DType.I8, DType.I16):
        info = np.iinfo(dtype.numpy)
        if info.min <= w.min(initial=0) and w.max(initial=0) <= info.max:
            return dtype
    raise ValueError(f"weights from {w.min()} to {w.max()} do not fit 16 bits")


def pack_integer_weights(w: np.ndarray, group: int, runs: Runs, block: int, side: int) -> np.ndarray:
    """Integer weights [M, C/group, KH, KW] as [group, ceil(M/group/block), entries, block, side], i8 or (some do not fit) i16.

    >>> w = np.arange(1, 4).reshape(1, 3, 1, 1)
    >>> pack_integer_weights(w, 1, Runs(1, 1, 3), block=2, side=2).tolist()
    [[[[[1, 2], [0, 0]], [[0, 3], [0, 0]]]]]
    """
    per_group = w.shape[0] // group
    by_run = w.transpose(0, 2, 3, 1).reshape(group, per_group, runs.rows * runs.cols, runs.length)
    held = runs.positions(side)
    values = np.where(held >= 0, by_run[..., held], 0).reshape(group, per_group, -1, side)
    padded = np.zeros((group, -(-per_group // block) * block, *values.shape[2:]), weights_dtype(w).numpy)
    padded[:, :per_group] = values
    return np.ascontiguousarray(padded.reshape(group, -1, block, *values.shape[2:]).transpose(0, 1, 3, 2, 4))


def unpack_integer_weights(packed: np.ndarray, taps: tuple[int, int], channels: int, runs: Runs) -> np.ndarray:
    """The inverse of :func:`pack_integer_weights` for ``channels`` = M: [M, C/group, KH, KW], int64.

    >>> packed = np.array([1, 2, 0, 0, 0, 3, 0, 0]).reshape(1, 1, 2, 2, 2)
    >>> unpack_integer_weights(packed, (1, 1), 1, Runs(1, 1, 3)).ravel().tolist()
    [1, 2, 3]
    """
    group, blocks, _, block, side = packed.shape
    values = packed.transpose(0, 1, 3, 2, 4).reshape(group, blocks * block, -1)[:, : channels // group]
    held = runs.positions(side).ravel()
    places = np.empty(runs.length, np.int64)
    places[held[held >= 0]] = np.flatnonzero(held >= 0)
    by_run = values.reshape(channels, runs.rows * runs.cols, held.size)[..., places].astype(np.int64)
    return by_run.reshape(channels, *taps, -1).transpose(0, 3, 1, 2)


LONG_CHAIN = 3
"""Sums of a chain (:func:`longest_chain`) from which on AVX2 adds in 16 bits first."""


def longest_chain(packed: np.ndarray, highest: int) -> int:
    """How many consecutive sums of two neighbours' products fit 16 bits, for packed weights and activations 0 .. ``highest``.

    The sums of a chain lie under another in the same lane: all that one 16-bit accumulator of AVX2 takes. 0: not even one fits.

    >>> packed = np.array([100, 28, -100, 28]).reshape(1, 1, 1, 1, 4)
    >>> longest_chain(packed, 255), longest_chain(packed + 1, 255), longest_chain(packed, 15)
    (1, 0, 17)
    """
    pairs = packed.astype(np.int64).reshape(*packed.shape[:-1], -1, 2)
    upper, lower = np.maximum(pairs, 0).sum(axis=-1).max(), np.maximum(-pairs, 0).sum(axis=-1).max()
    largest = highest * max(int(upper), int(lower))
    return 2**15 - 1 if largest == 0 else min((2**15 - 1) // largest, 2**15 - 1)


def pack_integer_base(base: np.ndarray, group: int, block: int) -> np.ndarray:
    """What sums of M channels start from, [M], as int32 [group * ceil(M/group/block) * block].

    >>> pack_integer_base(np.array([1, 2, 3, 4]), group=2, block=4).tolist()
    [1, 2, 0, 0, 3, 4, 0, 0]
    """
    per_group = base.size // group
    padded = np.zeros((group, -(-per_group // block) * block), np.int32)
    padded[:, :per_group] = base.reshape(group, per_group)
    return padded.ravel()


def unpack_integer_base(packed: np.ndarray, group: int, channels: int) -> np.ndarray:
    """The inverse of :func:`pack_integer_base`: [channels]."""
    return np.asarray(packed.reshape(group, -1)[:, : channels // group].ravel())


def _lanes(block: int, side: int) -> np.ndarray:
    """The channel of each place of a depthwise block: what interleaving two vectors of 16-bit values leaves in 128-bit lanes.

    >>> _lanes(16, 2).tolist(), _lanes(4, 1).tolist()
    ([0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15], [0, 1, 2, 3])
    """
    channels = np.arange(block)
    return channels if side == 1 else np.concatenate([channels[channels % 8 < 4], channels[channels % 8 >= 4]])


def _depthwise_channels(channels: int, block: int) -> np.ndarray:
    """The channel of each place of all blocks, [blocks, block], in order; -1 where there is none.

    The last block ends with the channels and repeats some of the one before it: it is read and written whole.

    >>> _depthwise_channels(5, 4).tolist(), _depthwise_channels(3, 4).tolist()
    ([[0, 1, 2, 3], [1, 2, 3, 4]], [[0, 1, 2, -1]])
    """
    first = np.minimum(np.arange(0, channels, block), max(channels - block, 0))
    held = first[:, np.newaxis] + np.arange(block)
    return np.where(held < channels, held, -1)


def pack_depthwise_weights(w: np.ndarray, block: int, side: int) -> np.ndarray:
    """Integer weights [KH, KW, C] as int16 [ceil(C/block), ceil(KH*KW/side), block, side].

    >>> pack_depthwise_weights(np.array([[[1, 2], [3, 4]]]), block=2, side=1).tolist()
    [[[[1], [2]], [[3], [4]]]]
    """
    count, channels = w.shape[0] * w.shape[1], w.shape[2]
    held = _depthwise_channels(channels, block)[:, _lanes(block, side)]
    padded = np.zeros((-(-count // side) * side, channels), np.int16)
    padded[:count] = w.reshape(count, channels)
    places = np.where(held >= 0, padded[:, held], 0).reshape(-1, side, *held.shape)
    return np.ascontiguousarray(places.transpose(2, 0, 3, 1), dtype=np.int16)


def unpack_depthwise_weights(packed: np.ndarray, taps: tuple[int, int], channels: int) -> np.ndarray:
    """The inverse of :func:`pack_depthwise_weights`: [KH, KW, channels], int64.

    >>> unpack_depthwise_weights(np.array([[[[1], [2]], [[3], [4]]]]), (1, 2), 2).tolist()
    [[[1, 2], [3, 4]]]
    """
    blocks, entries, block, side = packed.shape
    held = _depthwise_channels(channels, block)[:, _lanes(block, side)]
    values = np.zeros((entries * side, channels), np.int64)
    values[:, held[held >= 0]] = packed.transpose(1, 3, 0, 2).reshape(entries * side, blocks, block)[:, held >= 0]
    return values[: taps[0] * taps[1]].reshape(*taps, channels)
