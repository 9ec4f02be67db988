"""Trees of channels: least total distance (against scipy), shallow, exact as a way to compute, the same each time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import minimum_spanning_tree

from bitc.ir.channel_tree import ROOT, ChannelTree, channel_tree, hamming


@st.composite
def weights(draw: st.DrawFn) -> np.ndarray:
    """Signs [C, n]: random rows, few distinct rows and their negatives, or a chain of small changes; short rows tie often."""
    count, terms = draw(st.integers(1, 24)), draw(st.integers(0, 12))
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    rows = rng.choice([-1, 1], (count, terms))
    match draw(st.sampled_from(["random", "copies", "chain"])):
        case "copies":
            rows = rows[rng.integers(0, min(3, count), count)] * rng.choice([-1, 1], (count, 1))
        case "chain":
            rows = np.cumprod(np.where(rng.random((count, terms)) < 0.1, -1, 1), axis=0)
    return rows


def _least_total(rows: np.ndarray) -> int:
    """scipy reads 0 as "no edge": one more on each edge keeps the trees that are least."""
    direct = (rows[:, np.newaxis] != rows).sum(axis=2)
    distances = np.minimum(direct, rows.shape[1] - direct) + 1
    return int(minimum_spanning_tree(np.triu(distances, 1)).sum()) - (len(rows) - 1)


def _diameter(tree: ChannelTree) -> int:
    """Of any two vertices, edges between them."""
    count = len(tree.parent)
    steps = np.full((count, count), count)
    np.fill_diagonal(steps, 0)
    for child, up in enumerate(tree.parent):
        if up != ROOT:
            steps[child, up] = steps[up, child] = 1
    for middle in range(count):
        steps = np.minimum(steps, steps[:, middle, np.newaxis] + steps[middle])
    return int(steps.max())


@given(weights())
def test_least_and_shallow(rows: np.ndarray) -> None:
    tree = channel_tree(rows)
    assert tree.total == _least_total(rows)
    assert tree.depth.max() == (_diameter(tree) + 1) // 2
    assert (tree.parent == ROOT).sum() == 1
    hung = np.flatnonzero(tree.parent != ROOT)
    np.testing.assert_array_equal(tree.depth[hung], tree.depth[tree.parent[hung]] + 1)


@given(weights())
def test_channels_follow_from_their_parents(rows: np.ndarray) -> None:
    tree = channel_tree(rows)
    x = np.random.default_rng(1).choice([-1, 1], rows.shape[1])
    y: dict[int, int] = {}
    for c in tree.order.tolist():
        up = int(tree.parent[c])
        if up == ROOT:
            y[c] = int(rows[c] @ x)
            continue
        sign = -1 if tree.negated[c] else 1
        differing = rows[c] != sign * rows[up]
        assert differing.sum() == tree.distance[c] <= rows.shape[1] // 2
        y[c] = sign * y[up] + 2 * int((rows[c] * x)[differing].sum())
    assert sorted(y) == list(range(len(rows)))
    np.testing.assert_array_equal([y[c] for c in range(len(rows))], rows @ x)


def test_duplicates_and_negatives_are_at_distance_0() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.choice([-1, 1], (2, 100))
    tree = channel_tree(np.stack([first, second, -first, second, first]))
    assert (tree.distance > 0).sum() == 1
    assert tree.bit_ratio == (100 + tree.total) / 500


def test_booleans_and_signs_are_the_same() -> None:
    rows = np.random.default_rng(3).choice([-1, 1], (20, 33))
    for field in ("parent", "negated", "order"):
        np.testing.assert_array_equal(getattr(channel_tree(rows), field), getattr(channel_tree(rows < 0), field))


def test_subtrees_are_in_one_piece() -> None:
    tree = channel_tree(np.random.default_rng(4).choice([-1, 1], (60, 30)))
    place = np.empty(60, int)
    place[tree.order] = np.arange(60)
    for c in range(60):
        below = [v for v in range(60) if c in _ancestors(tree, v)]
        assert sorted(place[below]) == list(range(place[c], place[c] + len(below)))


def _ancestors(tree: ChannelTree, vertex: int) -> list[int]:
    found = [vertex]
    while tree.parent[found[-1]] != ROOT:
        found.append(int(tree.parent[found[-1]]))
    return found


def test_distances_by_definition() -> None:
    rows = np.random.default_rng(5).random((9, 70)) < 0.3
    np.testing.assert_array_equal(hamming(rows), (rows[:, np.newaxis] != rows).sum(axis=2))


def test_only_rows_of_bits() -> None:
    with pytest.raises(ValueError, match="rows of bits"):
        channel_tree(np.ones((0, 3)))
    with pytest.raises(ValueError, match="rows of bits"):
        channel_tree(np.ones(3))
