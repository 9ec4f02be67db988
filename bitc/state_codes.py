"""How a state that takes few values is kept between steps: as bits, or as bytes that count multiples of a scale.

The state struct of the library, the code that reads and writes it, and :class:`bitc.session_state.State` are made from these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_CODE = 255


@dataclass(frozen=True, slots=True)
class Bits:
    """Bit ``i & 7`` of byte ``i >> 3`` is 0 where element i is ``low``, 1 where it is ``high``."""

    low: float
    high: float

    def bytes_of(self, elements: int) -> int:
        """How many bytes hold so many elements."""
        return (elements + 7) // 8

    def encoded(self, array: np.ndarray) -> np.ndarray:
        """The bytes of ``array``; what is no value of the two becomes the nearer one, NaN ``low``.

        >>> Bits(-1, 1).encoded(np.array([1, -1, 1, 1, -1, -1, -1, -1, 1], np.float32)).tolist()
        [13, 1]
        """
        return np.packbits(array.reshape(-1) > np.float32(self.middle), bitorder="little")

    def decoded(self, kept: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """The elements, float32."""
        bits = np.unpackbits(kept, count=int(np.prod(shape)), bitorder="little").reshape(shape)
        return np.where(bits, np.float32(self.high), np.float32(self.low))

    @property
    def middle(self) -> float:
        """What only ``high`` exceeds, a float32."""
        return float(np.float32((self.low + self.high) / 2))

    def as_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return {"kept": "bits", "low": self.low, "high": self.high}

    def __str__(self) -> str:
        return f"bits, {self.low:g} or {self.high:g}"


@dataclass(frozen=True, slots=True)
class Bytes:
    """Byte i is k where element i is float32(``scale`` · (``lowest`` + k)), k at most ``most``; ``scale`` is a float32."""

    scale: float
    lowest: int
    most: int

    def bytes_of(self, elements: int) -> int:
        """How many bytes hold so many elements."""
        return elements

    def encoded(self, array: np.ndarray) -> np.ndarray:
        """The bytes of ``array``; what is no such multiple becomes the nearest one, NaN the lowest.

        >>> Bytes(0.5, -2, 4).encoded(np.array([-1, 0.5, 9], np.float32)).tolist()
        [0, 3, 4]
        """
        numbers = np.rint(array.reshape(-1).astype(np.float64) / self.scale) - self.lowest
        return np.clip(np.where(np.isnan(numbers), 0, numbers), 0, self.most).astype(np.uint8)

    def decoded(self, kept: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """The elements, float32."""
        levels = (kept.astype(np.int32) + self.lowest).astype(np.float32)
        return (levels * np.float32(self.scale)).reshape(shape)

    def as_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return {"kept": "bytes", "scale": self.scale, "lowest": self.lowest, "most": self.most}

    def __str__(self) -> str:
        return f"bytes, {self.scale:g} times {self.lowest} and more"


StateCodes = Bits | Bytes


def state_codes(entry: Mapping[str, Any]) -> StateCodes:
    """What :meth:`Bits.as_dict` or :meth:`Bytes.as_dict` said, perhaps among other things."""
    if entry["kept"] == "bits":
        return Bits(entry["low"], entry["high"])
    return Bytes(entry["scale"], entry["lowest"], entry["most"])
