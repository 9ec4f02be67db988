"""Streams of differences: every set of channels comes back, and the streams are about as short as they can be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitc.ir.channel_deltas import MOST_CHANNELS, PADDING, decoded, encoded, number_bits
from bitc.ir.channel_tree import ChannelTree, channel_tree


def similar(rng: np.random.Generator, channels: int, terms: int, d: float) -> np.ndarray:
    """Each channel is an earlier one, or its complement, but for a part ``d`` of its bits."""
    rows = rng.random((channels, terms)) < 0.5
    for c in range(1, channels):
        rows[c] = rows[rng.integers(c)] ^ (rng.random(terms) < d) ^ (rng.random() < 0.3)
    return rows


def entropy(d: float) -> float:
    return float(-d * np.log2(d) - (1 - d) * np.log2(1 - d))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    channels=st.integers(1, 40),
    terms=st.integers(1, 300),
    d=st.sampled_from([0.0, 0.003, 0.05, 0.2, 0.5]),
    seed=st.integers(0, 2**31),
)
def test_what_is_encoded_is_decoded(channels: int, terms: int, d: float, seed: int) -> None:
    rows = similar(np.random.default_rng(seed), channels, terms, d)
    stream = encoded(rows, channel_tree(rows))
    np.testing.assert_array_equal(decoded(stream, channels, terms), rows)
    raw_bits = channels * (terms + number_bits(channels) + 4)
    assert 8 * (len(stream) - PADDING - 1) < raw_bits


@pytest.mark.parametrize("d", [0.02, 0.05, 0.1, 0.2, 0.3])
def test_streams_are_near_the_entropy(d: float) -> None:
    """Within a twentieth of what differences take, the root and the channels' names aside."""
    channels, terms = 64, 4608
    rows = similar(np.random.default_rng(5), channels, terms, d)
    tree = channel_tree(rows)
    spent = 8 * len(encoded(rows, tree)) - terms - channels * (2 * number_bits(channels) + 5)
    assert spent < 1.05 * tree.terms * (channels - 1) * entropy(tree.mean_distance)


def test_equal_and_opposite_channels_take_their_names_only() -> None:
    row = np.random.default_rng(6).random(5000) < 0.5
    rows = np.stack([row, ~row, row, ~row])
    tree = channel_tree(rows)
    assert int(tree.negated.sum()) > 0
    stream = encoded(rows, tree)
    assert 8 * (len(stream) - PADDING) < 5000 + 4 * (2 * 2 + 5) + 8
    np.testing.assert_array_equal(decoded(stream, 4, 5000), rows)


def test_channels_far_from_one_another_are_stored_as_they_are() -> None:
    rows = np.random.default_rng(7).random((32, 640)) < 0.5
    assert len(encoded(rows, channel_tree(rows))) == -(-32 * (640 + 5 + 4) // 8) + PADDING


def test_more_channels_than_have_numbers_are_refused() -> None:
    count = MOST_CHANNELS + 1
    zeros = np.zeros(count, np.int64)
    tree = ChannelTree(zeros - 1, zeros > 0, zeros, zeros, np.arange(count), 1)
    with pytest.raises(ValueError, match="65537 channels"):
        encoded(np.zeros((count, 1), bool), tree)
