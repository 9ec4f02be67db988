"""Packing, unpacking and halo kernels against comparisons in NumPy, bit for bit, on every instruction set."""

import itertools

import numpy as np
import pytest

from bitc.ir.bit_moves import bit_moves, moved

from .harness import for_each_isa, guarded, kernels
from .packing import pack, words_of

CHANNELS = (1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129)
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3.4e38, 0.1], np.float32)


@for_each_isa
@pytest.mark.parametrize("gap", [0, 2])
def test_pack_compares_with_thresholds(isa: str, gap: int) -> None:
    kernel = kernels(f"bpack_{isa}.h", isa=isa)
    rng, p = np.random.default_rng(1), kernel.pointer
    for c, planes, pixels in itertools.product(CHANNELS, (1, 2, 3), (1, 5)):
        x, thr = rng.choice(SPECIAL, (pixels, c)), rng.choice(SPECIAL, (planes, c))
        down = rng.integers(0, 2, c, np.uint8)
        expected = np.where(down, ~(x[:, None] <= thr), ~(x[:, None] >= thr))
        words, down_words = words_of(c) * planes, pack(down)
        with (
            guarded((pixels, words + gap), np.uint64, align=8) as y,
            guarded((pixels, c), np.float32, align=4) as source,
        ):
            source[:] = x
            before = y[:, words:].copy()
            run = getattr(kernel, f"bitc_pack_f32_{isa}")
            run(p(source), pixels, c, p(thr), p(down_words), planes, p(y), words + gap)
            np.testing.assert_array_equal(y[:, :words].reshape(pixels, planes, -1), pack(expected))
            np.testing.assert_array_equal(y[:, words:], before)


EXTREMES = np.array([0, 1, -1, 2**31 - 1, -(2**31), 2**24 + 1], np.int32)


@for_each_isa
def test_pack_compares_integers_with_thresholds(isa: str) -> None:
    kernel = kernels(f"bpack_{isa}.h", isa=isa)
    rng, p = np.random.default_rng(4), kernel.pointer
    for c, planes, pixels, gap in itertools.product(CHANNELS, (1, 3), (1, 3), (0, 2)):
        x, thr = rng.choice(EXTREMES, (pixels, c)), rng.choice(EXTREMES, (planes, c))
        down = rng.integers(0, 2, c, np.uint8)
        words, down_words = words_of(c) * planes, pack(down)
        with (
            guarded((pixels, words + gap), np.uint64, align=8) as y,
            guarded((pixels, c), np.int32, align=4) as source,
        ):
            source[:] = x
            before = y[:, words:].copy()
            run = getattr(kernel, f"bitc_pack_i32_{isa}")
            run(p(source), pixels, c, p(thr), p(down_words), planes, p(y), words + gap)
            expected = np.where(down, x[:, None] > thr, x[:, None] < thr)
            np.testing.assert_array_equal(y[:, :words].reshape(pixels, planes, -1), pack(expected))
            np.testing.assert_array_equal(y[:, words:], before)


@for_each_isa
def test_pack_bit_takes_one_bit_of_each_byte(isa: str) -> None:
    kernel = kernels(f"bpack_{isa}.h", isa=isa)
    rng, p = np.random.default_rng(5), kernel.pointer
    for c, bit, gap in itertools.product(CHANNELS, range(8), (0, 1)):
        x, words = rng.integers(0, 256, (3, c)).astype(np.uint8), words_of(c)
        with guarded((3, words + gap), np.uint64, align=8) as y, guarded((3, c), np.uint8, align=1) as source:
            source[:] = x
            before = y[:, words:].copy()
            getattr(kernel, f"bitc_pack_bit_{isa}")(p(source), 3, c, bit, p(y), words + gap)
            np.testing.assert_array_equal(y[:, :words], pack(~(x >> bit) & 1))
            np.testing.assert_array_equal(y[:, words:], before)


def test_index_bit_is_a_bit_of_the_number_of_planes_passed() -> None:
    kernel = kernels("bpack_portable.h", isa="portable")
    rng, p = np.random.default_rng(6), kernel.pointer
    for c, planes, gap in itertools.product(CHANNELS, (1, 2, 3, 7), (0, 1)):
        index = rng.integers(0, planes + 1, (3, c))
        words = words_of(c)
        x = np.zeros((3, planes * words + gap), np.uint64)
        x[:, : planes * words] = np.concatenate([pack(index <= plane) for plane in range(planes)], axis=1)
        for bit in range(planes.bit_length()):
            with guarded((3, words), np.uint64, align=8) as y:
                kernel.bitc_index_bit(p(x), x.shape[1], 3, c, planes, bit, p(y), words)
                np.testing.assert_array_equal(y, pack(~(index >> bit) & 1))


def test_pick_bits_brings_bits_to_other_places_portable() -> None:
    kernel = kernels("bpack_portable.h", isa="portable")
    rng, p = np.random.default_rng(8), kernel.pointer
    for of, to, gap in itertools.product((1, 2, 3), (1, 2, 4), (0, 1)):
        x = rng.integers(0, 2, (5, of * 64 + 64 * gap)).astype(bool)
        count = int(rng.integers(1, to * 64))
        read, flipped = rng.integers(0, of * 64, count), rng.random(count) < 0.4
        written = rng.permutation(to * 64)[:count]
        moves = bit_moves(read, written, flipped, to)
        expected = np.zeros((5, to * 64), bool)
        expected[:, written] = x[:, read] ^ flipped
        with guarded((5, to + gap), np.uint64, align=8) as y:
            before = y[:, to:].copy()
            tables = (p(moves.steps), p(moves.masks), len(moves.masks), p(moves.flips), to)
            kernel.bitc_pick_bits(p(pack(x)), of + gap, 5, *tables, p(y), to + gap)
            np.testing.assert_array_equal(y[:, :to], pack(expected))
            np.testing.assert_array_equal(y[:, to:], before)
        np.testing.assert_array_equal(
            moved(pack(x[:, : of * 64]), moves.steps, moves.masks, moves.flips), pack(expected)
        )


@for_each_isa
def test_unpack_counts_zero_bits(isa: str) -> None:
    kernel = kernels(f"bpack_{isa}.h", isa=isa)
    rng, p = np.random.default_rng(2), kernel.pointer
    for c, planes, pixels, gap in itertools.product(CHANNELS, (1, 2, 3), (1, 5), (0, 1)):
        bits = rng.integers(0, 2, (pixels, planes, c), np.uint8)
        x = np.zeros((pixels, planes * words_of(c) + gap), np.uint64)
        x[:, : planes * words_of(c)] = pack(bits).reshape(pixels, -1)
        for lo, step in ((-1, 2), (0, 1), (7, -3), (2**24 + 1, 2)):
            with guarded((pixels, c), np.float32, align=4) as y:
                run = getattr(kernel, f"bitc_unpack_f32_{isa}")
                run(p(x), x.shape[1], pixels, c, planes, lo, step, p(y))
                expected = (lo + step * (1 - bits.astype(np.int64)).sum(1)).astype(np.float32)
                np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("halo", list(itertools.product((0, 1, 2), repeat=4)))
def test_fill_halo_leaves_the_interior(halo: tuple[int, int, int, int]) -> None:
    kernel = kernels("bpack_portable.h", isa="portable")
    p, (top, bottom, left, right) = kernel.pointer, halo
    for h, w, pixel_words, gap in itertools.product((1, 3), (1, 4), (1, 3), (0, 2)):
        pattern = np.arange(1, pixel_words + 1, dtype=np.uint64)
        row_words = (left + w + right) * pixel_words + gap
        with guarded((top + h + bottom, row_words), np.uint64) as y:
            expected = y.copy()
            pixels = expected[:, : row_words - gap].reshape(len(y), left + w + right, pixel_words).copy()
            interior = pixels[top : top + h, left : left + w].copy()
            pixels[:] = pattern
            pixels[top : top + h, left : left + w] = interior
            expected[:, : row_words - gap] = pixels.reshape(len(y), -1)
            kernel.bitc_fill_halo(p(y), h, w, pixel_words, row_words, top, bottom, left, right, p(pattern))
            np.testing.assert_array_equal(y, expected)
