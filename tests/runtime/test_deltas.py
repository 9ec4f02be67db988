"""The decoder of bit weights against the packing it stands for, in both orders of bytes, wherever stream and weights lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from bitc.ir import lookup
from bitc.ir.channel_deltas import MOST_WIDTH, encoded, number_bits
from bitc.ir.channel_tree import ROOT, ChannelTree, channel_tree
from bitc.ir.packing import WeightForm, pack_weights, words_of

from .harness import COMPILERS, check_compiles, for_each_isa, guarded, kernels

HEADER = "deltas.h"


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights of a layer: each channel differs from an earlier one, or its complement, in a part ``d``."""

    channels: int
    taps: int
    in_channels: int
    d: float
    planes: int = 1
    block: int = 8

    def rows(self, rng: np.random.Generator) -> np.ndarray:
        rows = rng.random((self.channels, self.taps * self.in_channels)) < 0.5
        for c in range(1, self.channels):
            rows[c] = rows[rng.integers(c)] ^ (rng.random(rows.shape[1]) < self.d) ^ (rng.random() < 0.3)
        return rows

    def packed(self, rows: np.ndarray, byte_rows: bool) -> np.ndarray:
        signs = np.where(rows, -1, 1).reshape(self.channels, self.taps, 1, self.in_channels).transpose(0, 3, 1, 2)
        return pack_weights(signs, self.planes, WeightForm(self.block, byte_rows))

    @property
    def shape(self) -> tuple[int, int, int]:
        words = self.taps * self.planes * words_of(self.in_channels)
        return -(-self.channels // self.block), words, self.block


LAYERS = (
    Layer(1, 1, 1, 0.5),
    Layer(1, 9, 70, 0.5),
    Layer(2, 1, 64, 0.0),
    Layer(20, 9, 64, 0.1),
    Layer(33, 9, 3, 0.2, block=32),
    Layer(64, 1, 1000, 0.05, block=32),
    Layer(17, 25, 65, 0.02, planes=2),
    Layer(40, 4, 128, 0.3, planes=3, block=32),
    Layer(24, 1, 63, 0.5, planes=4),
    Layer(3, 9, 5000, 0.0004),
)


def run(isa: str, layer: Layer, stream: np.ndarray, byte_rows: bool, offset: int = 0) -> np.ndarray:
    """What the kernel writes, over bytes of 0xA5, and nowhere else; the stream begins ``offset`` bytes behind an aligned place."""
    k = kernels(HEADER, isa=isa)
    fields = {
        "channels": layer.channels,
        "block": layer.block,
        "taps": layer.taps,
        "tap_bits": layer.in_channels,
        "planes": layer.planes,
        "number_bits": number_bits(layer.channels),
    }
    moved = np.concatenate([np.zeros(offset, np.uint8), stream])
    function = k.bitc_deltas_bytes if byte_rows else k.bitc_deltas_words
    with guarded(layer.shape, np.uint64, align=64) as w:
        function(k.ffi.new("bitc_deltas *", fields), k.pointer(moved, offset), k.pointer(w))
        return w.copy()


@for_each_isa
@pytest.mark.parametrize("byte_rows", [False, True])
def test_weights_are_those_of_the_packing(isa: str, byte_rows: bool) -> None:
    rng = np.random.default_rng(1)
    for number, layer in enumerate(LAYERS):
        rows = layer.rows(rng)
        stream, packed = encoded(rows, channel_tree(rows)), layer.packed(rows, byte_rows)
        np.testing.assert_array_equal(run(isa, layer, stream, byte_rows, number % 4), packed, str(layer))
        attrs = {key: getattr(layer, key) for key in ("channels", "taps", "in_channels", "planes", "block")}
        meaning = lookup("k.delta_weights").evaluate(stream, byte_rows=byte_rows, **attrs)
        np.testing.assert_array_equal(meaning, packed, str(layer))


def along_a_chain(places: list[int], terms: int) -> tuple[np.ndarray, ChannelTree]:
    """Two channels that differ in these places alone."""
    rows = np.zeros((2, terms), bool)
    rows[1, places] = True
    zeros = np.zeros(2, np.int64)
    return rows, ChannelTree(np.array([ROOT, 0]), zeros > 0, zeros, zeros, np.arange(2), terms)


@for_each_isa
def test_runs_of_every_length(isa: str) -> None:
    """Differences at the ends, and so far apart, or so near, that every width and many looks for one run are needed."""
    terms = 9 * 2**MOST_WIDTH
    for places in (
        [],
        [0],
        [terms - 1],
        [0, terms - 1],
        list(range(0, 700, 7)),
        list(range(terms - 40, terms)),
        [*range(300), terms // 2],
        *([terms % 2**bit, 2**bit] for bit in range(MOST_WIDTH + 1)),
    ):
        rows, tree = along_a_chain(sorted(set(places)), terms)
        layer = Layer(2, 1, terms, 0.0)
        got = run(isa, layer, encoded(rows, tree), byte_rows=False)
        np.testing.assert_array_equal(got, layer.packed(rows, False), str(places[:4]))


@for_each_isa
@pytest.mark.parametrize("compiler", COMPILERS)
def test_compiles_without_warnings(isa: str, compiler: str) -> None:
    check_compiles(HEADER, isa=isa, compiler=compiler)
