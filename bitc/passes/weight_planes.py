"""Integer weights as sums of signs: which planes, with which factors, and what is left for the sum of the activations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitc.ir import Levels


@dataclass(frozen=True, slots=True)
class WeightPlanes:
    """``parts * w = sum_j factor_j * signs_j + middle`` for weights w of M output channels.

    ``terms`` holds (factor, signs): a positive integer, and ±1 as the weights lie. ``middle`` is int64 [M]; ``parts`` is 1 or 2.
    """

    terms: tuple[tuple[int, np.ndarray], ...]
    middle: np.ndarray
    parts: int

    @property
    def has_middle(self) -> bool:
        """Whether the sum of the activations is needed."""
        return bool(self.middle.any())

    def reach(self, weights_per_sum: int) -> int:
        """What no sum of ``weights_per_sum`` weights, term by term and with ``parts``, exceeds for activations of magnitude 1."""
        most = int(np.abs(self.middle).max()) + sum(factor for factor, _ in self.terms)
        return weights_per_sum * most


def weight_planes(codes: np.ndarray, levels: Levels, axis: int) -> WeightPlanes:
    """``codes`` (all of ``levels``), whose output channels are on ``axis``, as planes.

    With index = (w - lo) / step in digits d_j that sum to the largest index, ``2·w = lo + hi + step · sum d_j·s_j``: s_j is +1 where
    digit j is set, else -1.

    >>> found = weight_planes(np.array([[-1, 0, 1]]), Levels(-1, 1, 3), 0)
    >>> [(f, s.tolist()) for f, s in found.terms], found.middle.tolist(), found.parts
    ([(1, [[-1, 1, 1]]), (1, [[-1, -1, 1]])], [0], 2)
    >>> [f for f, _ in weight_planes(np.array([[-3, -1, 1, 3]]), Levels(-3, 2, 4), 0).terms]
    [1, 2]
    """
    index = (codes - levels.lo) // levels.step
    kept: list[tuple[int, np.ndarray]] = []
    middle = np.full(codes.shape[axis], levels.middle_twice, np.int64)
    for digit, is_set in _digits(index, levels.count - 1):
        signs = np.where(is_set, 1, -1)
        rows = np.moveaxis(signs, axis, 0).reshape(codes.shape[axis], -1)
        if (rows == rows[:, :1]).all():
            middle += levels.step * digit * rows[:, 0]
        else:
            _join(kept, levels.step * digit, signs)
    parts = 2 if any(factor % 2 for factor, _ in kept) or (middle % 2).any() else 1
    return WeightPlanes(tuple((factor * parts // 2, signs) for factor, signs in kept), middle * parts // 2, parts)


def _digits(index: np.ndarray, highest: int) -> list[tuple[int, np.ndarray]]:
    """``index``, 0 .. ``highest``, in digits 1, 2, 4, ... and a rest that sum to ``highest``: (digit, where it is set).

    >>> [(d, s.tolist()) for d, s in _digits(np.arange(6), 5)]
    [(1, [0, 1, 0, 1, 0, 1]), (2, [0, 0, 1, 1, 1, 1]), (2, [0, 0, 0, 0, 1, 1])]
    """
    top = highest.bit_length() - 1
    rest = highest - (2**top - 1)
    over = index >= 2**top
    below = index - np.where(over, rest, 0)
    return [*((2**bit, below >> bit & 1) for bit in range(top)), (rest, over.astype(index.dtype))]


def _join(kept: list[tuple[int, np.ndarray]], factor: int, signs: np.ndarray) -> None:
    """Add ``factor · signs`` to a plane that is equal or opposite everywhere, if there is one."""
    for place, (other, known) in enumerate(kept):
        same = known * signs
        if (same == same.flat[0]).all():
            total = other + factor * int(same.flat[0])
            if total:
                kept[place] = (abs(total), known * (1 if total > 0 else -1))
            else:
                del kept[place]
            return
    kept.append((factor, signs))
