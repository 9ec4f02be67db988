"""What a minimum spanning tree over a layer's output channels would save, by several measures.

A channel is its parent plus the set D of weights in which they differ (Vo et al. 2023, arXiv:2308.13735; complements allowed, a tree a
group). Counted in bits that is n + ΣD in place of n·C; in machine words only the words without a difference are saved; in bytes it is
what a code of the differences takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, lgamma, log, log2

import numpy as np

from bitc.ir.channel_deltas import MOST_CHANNELS, encoded
from bitc.ir.channel_tree import ChannelTree, channel_tree
from bitc.report.metrics import BitOps
from bitc.report.products import Product

WORDS = (16, 32, 64)


@dataclass(frozen=True, slots=True)
class Edge:
    """Channel ``child`` computed from ``parent`` (both within the group): ``bits`` differ, from its complement if ``negated``."""

    group: int
    parent: int
    child: int
    bits: int
    negated: bool


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """The trees of a binary layer: n weights a channel, C channels (of all groups), the sum of differences and their mean share of n.

    ``depth``: the most edges from a root; ``equal`` and ``complement``: edges at distance zero and edges to a complement.
    ``words``: for words of 16, 32 and 64 input channels of a tap the share that must be read where words without a difference are
    skipped. ``compressed_bytes``: an enumerative code of parents and differences; ``stored_bytes``: the stream that ``--small-weights``
    stores, None of several groups; ``plain_bytes``: the weights themselves.
    """

    n: int
    channels: int
    groups: int
    difference: int
    mean_distance: float
    depth: int
    equal: int
    complement: int
    words: dict[int, float]
    plain_bytes: int
    compressed_bytes: int
    stored_bytes: int | None
    edges: tuple[Edge, ...]

    @property
    def parameters(self) -> int:
        """Parameter bits by the published measure: n + ΣD for each group."""
        return self.n * self.groups + self.difference

    @property
    def ratio(self) -> float:
        """(n + ΣD) : n·C."""
        return self.parameters / (self.n * self.channels)


def tree_facts(product: Product) -> TreeFacts | None:
    """The trees of ``product``'s output channels; None unless it is binary."""
    if not product.is_binary or product.rows is None:
        return None
    groups, channels, n = product.rows.shape
    trees = [channel_tree(rows) for rows in product.rows]
    edges = tuple(edge for group, tree in enumerate(trees) for edge in _edges(group, tree))
    difference = sum(edge.bits for edge in edges)
    return TreeFacts(
        n=n,
        channels=groups * channels,
        groups=groups,
        difference=difference,
        mean_distance=difference / (len(edges) * n) if edges else 0.0,
        depth=max(int(tree.depth.max()) for tree in trees),
        equal=sum(not edge.bits for edge in edges),
        complement=sum(edge.negated for edge in edges),
        words={width: _words_read(product, edges, width) for width in WORDS},
        plain_bytes=ceil(product.rows.size / 8),
        compressed_bytes=ceil((groups * n + sum(_code_bits(n, channels, edge.bits) for edge in edges)) / 8),
        stored_bytes=_stored_bytes(product.rows, trees),
        edges=edges,
    )


def _stored_bytes(rows: np.ndarray, trees: Sequence[ChannelTree]) -> int | None:
    single = len(trees) == 1 and rows.shape[1] <= MOST_CHANNELS
    return encoded(rows[0], trees[0]).nbytes if single else None


def _edges(group: int, tree: ChannelTree) -> Iterator[Edge]:
    """In an order with parents first."""
    for child in tree.order[1:].tolist():
        yield Edge(group, int(tree.parent[child]), child, int(tree.distance[child]), bool(tree.negated[child]))


def bit_ops(found: Sequence[tuple[Product, TreeFacts]]) -> BitOps:
    """The totals of these layers."""
    return BitOps(
        layers=len(found),
        dense=sum(product.macs for product, _ in found),
        tree=sum(round(tree.parameters * product.macs / product.weights) for product, tree in found),
        parameters=sum(product.weights for product, _ in found),
        tree_parameters=sum(tree.parameters for _, tree in found),
    )


def _words_read(product: Product, edges: tuple[Edge, ...], width: int) -> float:
    """The root's words and those in which a child differs, over all words; a tap's channels fill words of their own."""
    assert product.rows is not None
    groups, channels, n = product.rows.shape
    per_tap = -(-product.tap_bits // width)
    starts = (np.arange(0, n, product.tap_bits)[:, np.newaxis] + np.arange(per_tap) * width).ravel()
    read = groups * len(starts)
    for edge in edges:
        rows = product.rows[edge.group]
        differ = rows[edge.child] ^ rows[edge.parent] ^ edge.negated
        read += int(np.count_nonzero(np.add.reduceat(differ, starts)))
    return float(read / (groups * channels * len(starts)))


def _code_bits(n: int, channels: int, differing: int) -> float:
    """Of a child its parent, its sign, how many weights differ, and which of all sets of so many it is."""
    header: float = log2(channels) + 1 + log2(n + 1)
    return header + _log2_choose(n, differing)


def _log2_choose(n: int, k: int) -> float:
    """
    >>> round(_log2_choose(4, 2), 6)
    2.584963
    """
    return float((lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)) / log(2))
