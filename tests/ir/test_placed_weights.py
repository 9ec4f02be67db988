"""Weights as placed entries: nothing is lost, and no pair of products leaves 16 bits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitc.ir.integer_packing import Runs
from bitc.ir.placed_weights import END, Walk, growth, place_weights, unplace_weights


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[np.ndarray, int, Runs, Walk]:
    """Weights [M, C/group, KH, KW], groups, and the runs and walk of a buffer with room between its pixels."""
    group, rows, cols = draw(st.sampled_from([1, 2])), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    length, out_c = draw(st.integers(4, 14)), draw(st.integers(1, 20))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    shape = (group * out_c, length, rows, cols)
    w = draw(st.sampled_from(["wide", "ends", "narrow", "sparse"]))
    made = {
        "wide": rng.integers(-128, 128, shape),
        "ends": rng.choice([-128, 127], shape),
        "narrow": rng.normal(0, 25, shape).clip(-128, 127).astype(int),
        "sparse": rng.integers(-128, 128, shape) * (rng.random(shape) < 0.05),
    }[w]
    pixel = length * group + draw(st.integers(0, 3))
    return made, group, Runs(rows, cols, length), Walk(pixel * 20, pixel)


@given(convolutions(), st.sampled_from([1, 15, 127, 128, 200, 255]), st.sampled_from([1, 8, 16]))
def test_entries_are_the_weights_and_fit(case: tuple[np.ndarray, int, Runs, Walk], highest: int, block: int) -> None:
    w, group, runs, walk = case
    entries, places = place_weights(w, group, runs, walk, block, highest)
    assert entries.dtype == np.int8
    assert places.shape == (entries.shape[0], entries.shape[1] + 1)
    pairs = entries.astype(int).reshape(*entries.shape[:-1], 2, 2)
    for sign in (1, -1):
        assert highest * np.maximum(sign * pairs, 0).sum(axis=-1).max() <= 2**15 - 1
    taps = (runs.rows, runs.cols)
    np.testing.assert_array_equal(unplace_weights(entries, places, taps, len(w), group, runs, walk), w)
    ends = places == END
    assert (np.diff(ends.astype(int), axis=1) >= 0).all()
    assert ends[:, -1].all()
    assert not entries[ends[:, :-1]].any()


def test_growth_counts_what_is_split_and_what_is_nothing() -> None:
    large, small = np.full((16, 8, 1, 1), 127), np.full((16, 8, 1, 1), 64)
    assert growth(large, 1, 16, 255) == 2
    assert growth(large, 1, 16, 129) == 1
    assert growth(small, 1, 16, 255) == 1
    half = small * (np.arange(8) < 4)[:, np.newaxis, np.newaxis]
    assert growth(half, 1, 16, 255) == 0.5
