"""What float products cost whose weights are mostly 0: over all weights, or over those that are not? Measured figures and the arithmetic
over them."""

from __future__ import annotations

from dataclasses import dataclass

PLACES = 8
"""Places of a run that are summed together."""
_NEAR_WEIGHTS, _NEAR_INPUTS = 1 << 17, 1 << 13
"""Floats that the second and the first cache hold."""


@dataclass(frozen=True, slots=True)
class SparseCosts:
    """Figures of one target, in nanoseconds on one core.

    ``mac``: a multiplication of the dense kernel, when its blocks are full; ``weight``: a weight that it reads, ``far``: what one adds that
    comes from beyond the second cache. Of sparse matrices ``element`` and ``vector``: one that is not 0, and what it adds for each eight
    places; ``missed``: what these add where images do not stay in the first cache; ``stored``: a result; ``moved``: a number of the
    image that is brought into planes. At a single place ``row``: one of them; ``dot``: an element.
    """

    mac: float
    weight: float
    far: float
    element: float
    vector: float
    missed: float
    stored: float
    moved: float
    row: float
    dot: float

    def dense_ns(self, weights: int, places: int) -> float:
        """The product as it stands: each of ``weights`` at ``places``."""
        read = self.weight + (self.far if weights > _NEAR_WEIGHTS else 0.0)
        return weights * (places * self.mac + read)

    def runs_ns(self, kept: int, run: int, image: int, results: int) -> float:
        """An image of ``image`` floats, whose ``results`` lie among ``run`` places of a plane."""
        vectors = -(-run // PLACES)
        each = self.element + vectors * (self.vector + (self.missed if image > _NEAR_INPUTS else 0.0))
        return kept * each + results * self.stored + image * self.moved

    def dots_ns(self, kept: int, rows: int) -> float:
        """One place."""
        return rows * self.row + kept * self.dot


SPARSE_COSTS: dict[str, SparseCosts] = {
    "portable": SparseCosts(
        mac=0.062, weight=0.01, far=0.01, element=0.4, vector=1.0, missed=0.2, stored=1.0, moved=0.7, row=2.0, dot=0.45
    ),
    "avx2": SparseCosts(
        mac=0.0225,
        weight=0.02,
        far=0.02,
        element=0.6,
        vector=0.3,
        missed=0.2,
        stored=0.35,
        moved=0.7,
        row=2.0,
        dot=0.45,
    ),
    "avx512": SparseCosts(
        mac=0.018, weight=0.02, far=0.02, element=0.6, vector=0.2, missed=0.2, stored=0.35, moved=0.7, row=2.0, dot=0.45
    ),
}
"""By the kernels' instruction set. Measured: portable and avx2 on a Zen 3. Of avx512 ``mac`` is measured, on an Intel
Xeon, the rest estimated. Other sets have no figures, and products stay dense there."""
