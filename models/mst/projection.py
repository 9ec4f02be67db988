"""Signs that are near one another along a tree: the algebra of the training recipe, in NumPy, without PyTorch.

A layer has C output channels of n weights. A tree joins its channels; the edge from channel c to its parent p says
that c is near p, or (sign -1) near -p. Given real latents W and a price 2·mu for every weight in which a channel
parts from its parent, `project` finds the signs b that maximise

    sum over c, i of W[c, i] · b[c, i]  -  2 · mu · #{(c, i): b[c, i] != s[c] · b[p(c), i]}

exactly, for each weight position on its own: the positions are independent Markov random fields on one tree, so one
pass up and one down (max-product, Pearl 1988) suffice. `mu` sets how many weights part; `next_price` and `price_for`
steer it. The reduction of multiplications this buys is that of MST-compression (Vo et al., 2023, arXiv:2308.13735);
the projection is this project's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitc.ir.channel_tree import ROOT, hamming, spanning_parents

Reals = npt.NDArray[np.float32]
Bits = npt.NDArray[np.bool_]
Channels = npt.NDArray[np.int64]

MOST_STEP = 0.05
"""The price changes by at most this factor (its logarithm) in one training step."""

_GAIN = 0.3
_HALVINGS = 24


@dataclass(frozen=True, slots=True)
class Edges:
    """The tree of a layer: ``parent`` i64[C] (the root is its own), ``sign`` f32[C] of ±1 (-1: near the parent's complement).

    ``levels`` are the channels at depth 1, 2, ... below the root, siblings side by side.
    """

    parent: Channels
    sign: Reals
    levels: tuple[Channels, ...]

    @classmethod
    def of_parents(cls, parent: Channels, sign: Reals) -> Edges:
        """Sort the channels by depth.

        >>> [level.tolist() for level in Edges.of_parents(np.array([1, 1, 0, 1]), np.ones(4, np.float32)).levels]
        [[0, 3], [2]]
        """
        depth, ancestor = np.zeros(len(parent), np.int64), np.arange(len(parent))
        while (ancestor != parent[ancestor]).any():
            depth += ancestor != parent[ancestor]
            ancestor = parent[ancestor]
        by_parent = np.argsort(parent, kind="stable")
        depths = range(1, int(depth.max(initial=0)) + 1)
        return cls(parent, sign, tuple(by_parent[depth[by_parent] == d] for d in depths))

    @property
    def children(self) -> Channels:
        """All channels but the root."""
        return np.flatnonzero(self.parent != np.arange(len(self.parent)))


def tree_of(signs: Reals, word: int = 1) -> Edges:
    """The minimum spanning tree of the channels of ``signs`` f32[C, n] of ±1, complements allowed, hung up at its centre.

    With ``word`` > 1 two channels are as far apart as they have words of so many weights that differ; equally many words are told
    apart by their weights.
    """
    direct, inverse = _distances(signs < 0, word)
    parent = spanning_parents(np.minimum(direct, inverse))
    child = np.arange(len(parent))
    up = np.where(parent == ROOT, child, parent)
    negated = inverse[child, up] < direct[child, up]
    return Edges.of_parents(up, np.where(negated, np.float32(-1), np.float32(1)))


def _distances(bits: Bits, word: int) -> tuple[Channels, Channels]:
    """How far each two channels are apart, and each from the other's complement: i64[C, C]; the diagonal's complement is far."""
    channels, n = bits.shape
    if word == 1:
        direct = hamming(bits)
        return direct, n - direct
    direct, inverse = np.zeros((2, channels, channels), np.int64)
    for start in range(0, n, word):
        apart = hamming(bits[:, start : start + word])
        direct += (apart > 0) * (n + 1) + apart
        inverse += (apart < word) * (n + 1) + word - apart
    return direct, inverse


def project(latent: Reals, edges: Edges, price: float) -> Reals:
    """The best signs f32[C, n] of ±1 for latents f32[C, n] (see the module), a latent of 0 counting as positive.

    >>> root_and_child = Edges.of_parents(np.array([0, 0]), np.ones(2, np.float32))
    >>> project(np.array([[1, 1], [-0.2, -0.9]], np.float32), root_and_child, 0.5).tolist()
    [[1.0, 1.0], [1.0, -1.0]]
    """
    belief = latent.copy()
    for level in reversed(edges.levels):
        message = edges.sign[level, None] * np.clip(belief[level], -price, price)
        _to_parents(belief, edges.parent[level], message)
    signs = np.where(belief >= 0, np.float32(1), np.float32(-1))
    for level in edges.levels:
        inherited = edges.sign[level, None] * signs[edges.parent[level]]
        signs[level] = np.where(np.abs(belief[level]) > price, signs[level], inherited)
    return signs


def _to_parents(belief: Reals, parents: Channels, messages: Reals) -> None:
    """Add each message to its parent's row; siblings stand side by side."""
    rows, starts = np.unique(parents, return_index=True)
    belief[rows] += np.add.reduceat(messages, starts, axis=0)


def project_words(latent: Reals, edges: Edges, price: float, word: int, previous: Reals) -> Reals:
    """As :func:`project`, but a channel takes over or parts from its parent by whole words of ``word`` weights.

    A word is free where what parting wins, the sum of max(0, -W·s·b[p]) over it, is above ``price``. ``previous`` are
    the signs of the step before: whether a word passes its latents on to the parent depends on the parent's signs.
    """

    def frees(channels: Channels, belief: Reals, parents_signs: Reals) -> Bits:
        wins = np.maximum(-belief[channels] * edges.sign[channels, None] * parents_signs, 0)
        return np.repeat(wins.reshape(len(channels), -1, word).sum(axis=2) > price, word, axis=1)

    belief = latent.copy()
    for level in reversed(edges.levels):
        free = frees(level, belief, previous[edges.parent[level]])
        message = np.where(free, 0, edges.sign[level, None] * belief[level])
        _to_parents(belief, edges.parent[level], message)
    signs = np.where(belief >= 0, np.float32(1), np.float32(-1))
    for level in edges.levels:
        parents = signs[edges.parent[level]]
        signs[level] = np.where(frees(level, belief, parents), signs[level], edges.sign[level, None] * parents)
    return signs


def distance(signs: Reals, edges: Edges, word: int = 1) -> float:
    """The mean share of weights (or of words of weights) in which a channel parts from its parent; 0 for one channel."""
    children = edges.children
    differ = signs[children] != edges.sign[children, None] * signs[edges.parent[children]]
    return float(differ.reshape(len(children), -1, word).any(axis=2).mean()) if len(children) else 0.0


def price_for(distance_at: Callable[[float], float], target: float, highest: float = 4.0) -> float:
    """By bisection the price at which ``distance_at(price)``, which falls with the price, is ``target``."""
    low, high = 0.0, highest
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if distance_at(middle) > target else (low, middle)
    return high


def next_price(price: float, now: float, target: float) -> float:
    """The price of the next training step, after one at which the distance was ``now``.

    >>> next_price(1.0, now=0.2, target=0.2), round(next_price(1.0, now=0.4, target=0.2), 3)
    (1.0, 1.051)
    """
    return float(price * np.exp(np.clip(_GAIN * (now - target) / target, -MOST_STEP, MOST_STEP)))


def target_at(step: int, steps: int, final: float, first: float) -> float:
    """The distance wanted at ``step`` of ``steps``: from ``first`` geometrically to ``final`` at half the way, then constant.

    >>> [round(target_at(step, 100, 0.1, 0.4), 3) for step in (0, 25, 50, 99)]
    [0.4, 0.2, 0.1, 0.1]
    """
    if final >= first:
        return final
    return float(first * (final / first) ** min(1.0, 2 * step / steps))
