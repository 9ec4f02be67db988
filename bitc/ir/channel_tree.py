"""Minimum spanning trees of output channels: which channel is computed from which, and where their ±1 weights differ.

Output channel c with weights w_c is its parent p, possibly negated (sign s = ±1), corrected where the weights differ ::

    y_c  =  s·y_p  +  2·sum over D of w_c[i]·x[i],       D = {i : w_c[i] != s·w_p[i]}

The tree spans the complete graph over channels with the distances min(H, n - H), H the Hamming distance, so |D| summed over its edges is
least (Vo, Tran, Bae, Kim, Hong, "MST-compression", ICCV 2023; Prim 1957; negated parents are ours). Among edges of equal length that are
free to join, the one that leads to the shallower place is taken, and the tree is hung up at its centre. Plain NumPy, no randomness: ties
end at the lowest channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROOT = -1


@dataclass(frozen=True, slots=True)
class ChannelTree:
    """A tree over C rows of n bits.

    ``parent`` int64 [C], :data:`ROOT` for the root; ``negated`` bool [C]: s = -1; ``distance`` int64 [C]: |D|, 0 at the root; ``depth``
    int64 [C], in edges from the root; ``order`` int64 [C]: parents before their children, each subtree in one piece.
    """

    parent: np.ndarray
    negated: np.ndarray
    distance: np.ndarray
    depth: np.ndarray
    order: np.ndarray
    terms: int

    @property
    def total(self) -> int:
        """Sum of |D| over all edges, in bits."""
        return int(self.distance.sum())

    @property
    def mean_distance(self) -> float:
        """d: the mean over the edges of |D| / n; 0 for a single channel."""
        edges = len(self.parent) - 1
        return self.total / (edges * self.terms) if edges and self.terms else 0.0

    @property
    def bit_ratio(self) -> float:
        """(n + sum of |D|) / (n C), the published measure of both operations and parameters."""
        return (self.terms + self.total) / (self.terms * len(self.parent)) if self.terms else 1.0

    def slots(self) -> tuple[np.ndarray, int]:
        """A place for each channel's counts, int64 [C], while they are read, and how many places that takes; the last child of a
        parent takes over its place."""
        waiting = np.bincount(self.parent[self.parent != ROOT], minlength=len(self.parent))
        slot, free, most = np.zeros(len(self.parent), int), list[int](), 0
        for c in self.order.tolist():
            up = int(self.parent[c])
            if up != ROOT:
                waiting[up] -= 1
            if up != ROOT and not waiting[up]:
                slot[c] = slot[up]
            elif free:
                slot[c] = free.pop()
            else:
                slot[c], most = most, most + 1
            if not waiting[c]:
                free.append(int(slot[c]))
        return slot, most


def hamming(rows: np.ndarray) -> np.ndarray:
    """How many bits each two rows of ``rows`` [C, n] (bool) differ in: int64 [C, C].

    A product of ±1 matrices; float32 holds its sums exactly below 2^24 terms, float64 those of longer rows.

    >>> hamming(np.array([[0, 0, 1], [1, 0, 1]], bool)).tolist()
    [[0, 1], [1, 0]]
    """
    terms = rows.shape[1]
    dtype = np.dtype(np.float32 if terms < 2**24 else np.float64)
    signs = 1 - 2 * rows.astype(dtype)
    return np.asarray((terms - np.rint(signs @ signs.T).astype(np.int64)) // 2)


def channel_tree(rows: np.ndarray) -> ChannelTree:
    """The tree of weights ``rows`` [C, n], C >= 1: booleans, or signs ±1 (negative ones are the bit 1).

    Raises ValueError for other shapes. 512 rows of 4,608 bits take some tenths of a second.

    >>> tree = channel_tree(np.array([[1, 1, 1, 1], [1, 1, 1, -1], [-1, -1, -1, -1]]))
    >>> tree.parent.tolist(), tree.negated.tolist(), tree.distance.tolist()
    ([-1, 0, 0], [False, False, True], [0, 1, 0])
    """
    if rows.ndim != 2 or not len(rows):
        raise ValueError(f"weights are rows of bits [C, n], C >= 1, not {rows.shape}")
    bits = rows if rows.dtype == bool else rows < 0
    direct = hamming(bits)
    distances = np.minimum(direct, bits.shape[1] - direct)
    parent = spanning_parents(distances)
    edges = np.maximum(parent, 0), np.arange(len(parent))
    hung = parent != ROOT
    negated = hung & (direct[edges] * 2 > bits.shape[1])
    depth = _depths(parent)
    order = _preorder(parent)
    return ChannelTree(parent, negated, np.where(hung, distances[edges], 0), depth, order, bits.shape[1])


def spanning_parents(distances: np.ndarray) -> np.ndarray:
    """The parents int64 [C] (:data:`ROOT` for the root) of a minimum spanning tree for integer ``distances`` [C, C], whatever they count.

    >>> spanning_parents(np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]])).tolist()
    [1, -1, 1]
    """
    return _from_centre(_prim(distances))


def _prim(distances: np.ndarray) -> np.ndarray:
    """The parents of a minimum spanning tree of a complete graph [C, C], grown from its medoid; ties go to the shallower place."""
    count = len(distances)
    start = int(distances.sum(axis=1).argmin())
    parent, depth = np.full(count, ROOT), np.zeros(count, np.int64)
    key = distances[start] * count  # distance first, then the depth of the place
    parent[:] = start
    parent[start] = ROOT
    outside = np.ones(count, bool)
    outside[start] = False
    for _ in range(count - 1):
        nearest = int(np.where(outside, key, np.iinfo(np.int64).max).argmin())
        outside[nearest] = False
        depth[nearest] = depth[parent[nearest]] + 1
        offered = distances[nearest] * count + depth[nearest]
        better = outside & (offered < key)
        key[better], parent[better] = offered[better], nearest
    return parent


def _from_centre(parent: np.ndarray) -> np.ndarray:
    """The same tree hung up at the middle of a longest path: its depth is half its diameter, rounded up."""
    neighbours: list[list[int]] = [[] for _ in parent]
    for child, up in enumerate(parent.tolist()):
        if up != ROOT:
            neighbours[child].append(up)
            neighbours[up].append(child)
    one_end, _ = _farthest(neighbours, 0)
    other_end, back = _farthest(neighbours, one_end)
    path = [other_end]
    while back[path[-1]] != ROOT:
        path.append(back[path[-1]])
    _, hung = _farthest(neighbours, path[len(path) // 2])
    return np.array(hung)


def _farthest(neighbours: list[list[int]], start: int) -> tuple[int, list[int]]:
    """A vertex farthest from ``start`` (breadth first, the lowest on ties of one parent), and everyone's parent towards it."""
    parent = [ROOT] * len(neighbours)
    queue = [start]
    for vertex in queue:
        for other in neighbours[vertex]:
            if other != parent[vertex]:
                parent[other] = vertex
                queue.append(other)
    return queue[-1], parent


def _preorder(parent: np.ndarray) -> np.ndarray:
    """Parents before children, depth first; the child with the most below it comes last, so that few are open at a time."""
    children: list[list[int]] = [[] for _ in parent]
    root = 0
    for child, up in enumerate(parent.tolist()):
        if up == ROOT:
            root = child
        else:
            children[up].append(child)
    below = [1] * len(parent)
    by_breadth = [root]
    for vertex in by_breadth:
        by_breadth += children[vertex]
    for vertex in reversed(by_breadth[1:]):
        below[parent[vertex]] += below[vertex]
    order, stack = [], [root]
    while stack:
        vertex = stack.pop()
        order.append(vertex)
        stack += sorted(children[vertex], key=lambda child: (-below[child], -child))
    return np.array(order)


def _depths(parent: np.ndarray) -> np.ndarray:
    depth = np.zeros(len(parent), np.int64)
    for vertex in _preorder(parent)[1:]:
        depth[vertex] = depth[parent[vertex]] + 1
    return depth
