"""The published measures of cost, each one sum over the products of a network. What counts what is said beside each.

Nothing here is measured time: two networks of one cost may be far apart on a machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from bitc.report.products import Product

_LINEAR = (4, 8, 16, 32)
_PJ_MULTIPLY, _PJ_ADD = 4.6, 0.9


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a network, a call on one item.

    * ``macs`` by (weight bits, activation bits), in descending order of work.
    * ``ace``: sum of MACs · i · j (PokeBNN, Zhang et al. 2022, arXiv:2112.00133); ``linear_ace``: MACs · max(i, j) rounded up to 4, 8, 16
      or 32 (AQT).
    * ``bops``: MACs of one bit by one, ``flops``: all others; ``bops_64_flops`` = BOPs/64 + FLOPs (Bi-Real Net, Liu et al. 2018).
    * ``compression``: float32 bits of all weights over those where one-bit weights take one bit and others 32; ``speed_up``: MACs
      over MACs where one bit by one costs 1/64 (BiBench, Qin et al. 2023, arXiv:2301.11233).
    * ``s_ace``: ACE, each time step of an unrolled network counted; ``ns_ace``: the work on spikes times their firing rate, None
      without inputs (Shen et al. 2024, arXiv:2311.10802).
    * ``energy_pj``: 4.6 pJ a multiply-accumulate, 0.9 pJ where a factor is a spike or a weight of one bit, so that it only adds
      (45 nm; Horowitz 2014); spikes that were measured count by their firing rate.
    """

    macs: dict[str, int]
    ace: int
    linear_ace: int
    bops: int
    flops: int
    bops_64_flops: float
    compression: float
    speed_up: float
    s_ace: int
    ns_ace: float | None
    energy_pj: float


@dataclass(frozen=True, slots=True)
class WeightBytes:
    """Bytes of the weights by width, packed to the bit, and of all other constants as the file has them."""

    by_bits: dict[int, int]
    other: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_bits.values()) + self.other


@dataclass(frozen=True, slots=True)
class BitOps:
    """Bit operations of one call and parameter bits of binary layers, without and with the trees: n·C and n + ΣD a group, times pixels."""

    layers: int
    dense: int
    tree: int
    parameters: int
    tree_parameters: int


def ace(product: Product) -> int:
    """Arithmetic computation effort.

    A binary 3x3 layer of 64 channels on 56 x 56 pixels: 115,605,504 MACs of 1 · 1.
    """
    return product.macs * product.bits[0] * product.bits[1]


def costs(found: Sequence[Product]) -> Costs:
    """All of :class:`Costs`."""
    pairs: Counter[tuple[int, int]] = Counter()
    for product in found:
        pairs[product.bits] += product.macs
    macs, bops = sum(pairs.values()), pairs[1, 1]
    weights = sum(p.weights for p in found)
    one_bit = sum(p.weights for p in found if p.weight_bits == 1)
    ns_ace = sum(ace(p) * (p.firing or 0.0 if p.spikes else 1.0) for p in found)
    return Costs(
        macs={f"{i}x{j}": count for (i, j), count in pairs.most_common()},
        ace=sum(map(ace, found)),
        linear_ace=sum(p.macs * _linear_width(max(p.bits)) for p in found),
        bops=bops,
        flops=macs - bops,
        bops_64_flops=bops / 64 + macs - bops,
        compression=weights / (one_bit / 32 + weights - one_bit) if weights else 1.0,
        speed_up=macs / (bops / 64 + macs - bops) if macs else 1.0,
        s_ace=sum(map(ace, found)),
        ns_ace=ns_ace if all(p.firing is not None for p in found) else None,
        energy_pj=sum(map(_energy_pj, found)),
    )


def weight_bytes(found: Sequence[Product], other: int) -> WeightBytes:
    """By width; ``other`` are the bytes of all other constants."""
    bits: Counter[int] = Counter()
    for product in found:
        if product.weight_bits:
            bits[product.weight_bits] += product.weights * product.weight_bits
    return WeightBytes({width: ceil(bits[width] / 8) for width in sorted(bits)}, other)


def _linear_width(bits: int) -> int:
    """
    >>> _linear_width(1), _linear_width(5), _linear_width(64)
    (4, 8, 64)
    """
    return next((width for width in _LINEAR if bits <= width), bits)


def _energy_pj(product: Product) -> float:
    adds = product.spikes or product.bits[0] == 1
    rate = product.firing if product.spikes and product.firing is not None else 1.0
    return product.macs * rate * (_PJ_ADD if adds else _PJ_MULTIPLY)
