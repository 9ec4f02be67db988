"""Compare two arrays under a contract: exact, or within so many units in the last place (ULP)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Contract:
    """What an output promises against the oracle, as the manifest states it.

    ``exact``: equal values (NaN equals NaN, -0 equals 0). Otherwise each element is within ``ulp`` ULPs, counted at the larger of
    its own magnitude and ``floor``: a sum that cancels to nearly nothing carries the rounding errors of its large terms.
    """

    exact: bool = True
    ulp: float = 0.0
    floor: float = 0.0

    @classmethod
    def of(cls, output: Mapping[str, Any]) -> Contract:
        """The contract in an output's manifest entry; exact where it states none."""
        stated = output.get("contract", {})
        return cls(bool(stated.get("exact", True)), float(stated.get("ulp", 0)), float(stated.get("floor", 0.0)))

    def __str__(self) -> str:
        return "exact" if self.exact else f"within {self.ulp:g} ULP"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first element outside the contract, and how many there are."""

    output: str
    index: tuple[int, ...]
    expected: float
    got: float
    ulp: float
    wrong: int
    total: int
    contract: Contract

    def __str__(self) -> str:
        place = f"{self.output}[{','.join(map(str, self.index))}]"
        return (
            f"{place}: expected {self.expected!r}, got {self.got!r} ({self.ulp:.4g} ULP apart; {self.contract} is promised); "
            f"{self.wrong} of {self.total} elements differ"
        )


def ulp_distance(expected: np.ndarray, got: np.ndarray, floor: float = 0.0) -> np.ndarray:
    """|got - expected| in ULPs of ``expected``'s dtype (in ones for integers and bools), float64, of the same shape.

    >>> ulp_distance(np.float32([1, 0, np.nan]), np.float32([1 + 2**-22, -0.0, np.nan])).tolist()
    [2.0, 0.0, 0.0]
    """
    if expected.dtype.kind != "f":
        return np.abs(got.astype(np.float64) - expected.astype(np.float64))
    magnitude = np.maximum(np.abs(expected), expected.dtype.type(floor))
    below_largest = np.nextafter(
        np.finfo(expected.dtype).max, expected.dtype.type(0)
    )  # the largest number has no next one
    with np.errstate(invalid="ignore", over="ignore"):
        unit = np.spacing(np.where(np.isfinite(magnitude), np.minimum(magnitude, below_largest), 1)).astype(np.float64)
        distance = np.abs(got.astype(np.float64) - expected.astype(np.float64)) / unit
    same = (expected == got) | (np.isnan(expected) & np.isnan(got))
    return np.where(same, 0.0, np.where(np.isnan(distance), np.inf, distance))


def first_difference(name: str, expected: np.ndarray, got: np.ndarray, contract: Contract) -> Difference | None:
    """The first element of ``got`` that breaks ``contract``, or None. Shapes and dtypes must agree: ``ValueError`` otherwise."""
    if (expected.shape, expected.dtype) != (got.shape, got.dtype):
        raise ValueError(
            f"{name}: {got.dtype}{list(got.shape)} is compared with {expected.dtype}{list(expected.shape)}"
        )
    distance = ulp_distance(expected, got, contract.floor)
    wrong = distance > (0.0 if contract.exact else contract.ulp)
    if not wrong.any():
        return None
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    return Difference(
        name,
        index,
        expected[index].item(),
        got[index].item(),
        float(distance[index]),
        int(wrong.sum()),
        wrong.size,
        contract,
    )
