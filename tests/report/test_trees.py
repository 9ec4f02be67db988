"""What trees would save, against plain counting."""

from __future__ import annotations

from math import comb, log2

import numpy as np
import pytest

from bitc.ir.channel_deltas import encoded
from bitc.ir.channel_tree import channel_tree
from bitc.report.trees import TreeFacts, bit_ops, tree_facts
from tests.report.making import product

RNG = np.random.default_rng(0)


def facts_of(rows: np.ndarray, **fields: object) -> TreeFacts:
    found = tree_facts(product(rows, **fields))
    assert found is not None
    return found


def planted(channels: int, n: int, flips: int) -> np.ndarray:
    """A chain: each row is the one before with ``flips`` bits changed, every third of them complemented."""
    rows = [RNG.random(n) < 0.5]
    for channel in range(1, channels):
        row = rows[-1].copy()
        row[RNG.choice(n, flips, replace=False)] ^= True
        rows.append(~row if channel % 3 == 0 else row)
    return np.array(rows)


def test_a_planted_chain() -> None:
    found = facts_of(planted(20, 2000, 10)[np.newaxis])
    assert (found.n, found.channels, found.groups, found.difference) == (2000, 20, 1, 190)
    assert (found.mean_distance, found.depth, found.equal, found.complement) == (0.005, 10, 0, 6)
    assert found.parameters == 2190
    assert found.ratio == 2190 / 40_000
    child = log2(20) + 1 + log2(2001) + log2(comb(2000, 10))
    assert found.compressed_bytes == np.ceil((2000 + 19 * child) / 8)
    assert found.plain_bytes == 5000
    rows = planted(20, 2000, 10)
    assert facts_of(rows[np.newaxis]).stored_bytes == encoded(rows, channel_tree(rows)).nbytes
    assert found.compressed_bytes < found.stored_bytes < 1.2 * found.compressed_bytes  # type: ignore[operator]
    assert facts_of(np.stack([rows, rows])).stored_bytes is None


def test_equal_rows_and_complements_cost_nothing() -> None:
    row = RNG.random(70) < 0.5
    found = facts_of(np.array([[row, row, ~row, ~row]]))
    assert (found.difference, found.equal, found.mean_distance) == (0, 3, 0.0)
    assert found.complement >= 1
    assert found.words == {16: 0.25, 32: 0.25, 64: 0.25}


def test_every_edge_says_how_many_bits_differ_and_parents_come_first() -> None:
    rows = RNG.random((2, 12, 90)) < 0.5
    found = facts_of(rows)
    assert len(found.edges) == 22
    for group in range(2):
        known = set(range(12)) - {edge.child for edge in found.edges if edge.group == group}
        assert len(known) == 1
        for edge in (edge for edge in found.edges if edge.group == group):
            assert edge.parent in known
            known.add(edge.child)
            differ = rows[group, edge.child] ^ rows[group, edge.parent] ^ edge.negated
            assert differ.sum() == edge.bits
    assert found.difference == sum(edge.bits for edge in found.edges)


@pytest.mark.parametrize("width", [16, 32, 64])
def test_words_of_a_tap_are_read_where_a_bit_differs(width: int) -> None:
    taps, tap_bits = 9, 40
    rows = planted(10, taps * tap_bits, 5)[np.newaxis]
    found = facts_of(rows, taps=taps, tap_bits=tap_bits)
    per_tap = -(-tap_bits // width)
    read = taps * per_tap
    for edge in found.edges:
        differ = (rows[0, edge.child] ^ rows[0, edge.parent] ^ edge.negated).reshape(taps, tap_bits)
        read += sum(differ[:, at : at + width].any(axis=1).sum() for at in range(0, tap_bits, width))
    assert found.words[width] == read / (10 * taps * per_tap)


def test_totals_are_by_pixel() -> None:
    rows = planted(8, 100, 4)[np.newaxis]
    layer = product(rows, macs=49 * rows.size, pixels=49)
    facts = tree_facts(layer)
    assert facts is not None
    found = bit_ops([(layer, facts)])
    assert (found.layers, found.dense, found.parameters) == (1, 49 * 800, 800)
    assert (found.tree, found.tree_parameters) == (49 * 128, 128)


def test_a_single_channel_is_a_tree() -> None:
    found = facts_of(np.ones((3, 1, 20), bool))
    assert (found.difference, found.depth, found.mean_distance, found.ratio) == (0, 0, 0.0, 1.0)


def test_other_layers_have_no_tree() -> None:
    rows = np.zeros((1, 2, 8), bool)
    assert tree_facts(product(rows, activation_bits=2)) is None
    assert tree_facts(product(None, weight_bits=8)) is None
