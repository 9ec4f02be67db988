"""What products cost on a target, in nanoseconds on one core: bit planes or integers? Measured figures and the arithmetic over them.

The figures are the slopes that ``benchmarks/measure_costs.py`` finds in generated libraries: it prints this file's table again on any
machine. Only ratios matter, and only where two forms are close.
"""

from __future__ import annotations

from dataclasses import dataclass

from bitc.ir.packing import WORD_BITS, words_of


@dataclass(frozen=True, slots=True)
class Costs:
    """Figures of one target. A multiplication and an addition are two operations; rates are of whole blocks and whole words.

    ``bits``, ``grouped_bits``: bit operations a nanosecond of one-bit products, plain and grouped. ``u8``, ``i16``, ``depthwise``:
    operations a nanosecond of integer products by the storage of the activations. ``block``, ``grouped_block``, ``integer_block``:
    output channels computed together. ``sum_ns``: an int32 result written, read and added. ``pack_ns``: a number compared and packed,
    a plane. ``plane_ns``: a bit of a byte packed. ``byte_ns``: a number written as u8.
    """

    bits: float
    grouped_bits: float
    u8: float
    i16: float
    depthwise: float
    block: int
    grouped_block: int
    integer_block: int
    sum_ns: float
    pack_ns: float
    plane_ns: float
    byte_ns: float


COSTS: dict[str, Costs] = {
    "portable": Costs(100, 40, 15, 15, 10, 8, 8, 8, 0.3, 0.8, 0.1, 0.5),
    "avx2": Costs(1000, 300, 150, 150, 50, 32, 8, 16, 0.15, 0.2, 0.05, 0.2),
    "avx512": Costs(5000, 1000, 800, 400, 100, 32, 8, 32, 0.1, 0.1, 0.03, 0.1),
}
"""By the kernels' instruction set."""


@dataclass(frozen=True, slots=True)
class Work:
    """A product: ``pixels`` results of ``out_c`` channels in ``group`` groups, each a sum over ``taps`` taps of ``in_c`` channels (of
    its group), from ``inputs`` activations in all."""

    pixels: int
    taps: int
    in_c: int
    out_c: int
    group: int
    inputs: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.pixels * self.taps * self.in_c * self.out_c


def plane_ns(work: Work, costs: Costs, out_c: int | None = None) -> float:
    """One product of one plane by one plane, for ``out_c`` channels (all, unless told), with what its words and blocks waste."""
    channels = work.out_c if out_c is None else out_c
    block = costs.block if work.group == 1 else costs.grouped_block
    words = words_of(work.in_c)
    if work.group > 1:
        groups = -(-block * work.group // channels)  # that a block of channels touches
        words = words_of(min(groups, work.group) * work.in_c)
    operations = 2 * work.pixels * work.taps * words * WORD_BITS * _whole(channels, block)
    return operations / (costs.bits if work.group == 1 else costs.grouped_bits)


def sums_ns(work: Work, costs: Costs, channels: int | None = None) -> float:
    """Writing, reading and adding the results of one product."""
    return work.pixels * (work.out_c if channels is None else channels) * costs.sum_ns


def integers_ns(work: Work, costs: Costs, bytes_: int) -> float:
    """The product of integers with activations of 1 or 2 bytes, and the making of these from numbers."""
    depthwise = work.group > 1 and work.in_c == 1
    rate = costs.depthwise if depthwise else costs.u8 if bytes_ == 1 else costs.i16
    in_group = work.out_c // work.group
    computed = in_group if depthwise else _whole(in_group, costs.integer_block)
    operations = 2 * work.macs * computed / in_group
    return operations / rate + sums_ns(work, costs) + work.inputs * costs.byte_ns * bytes_


def _whole(channels: int, block: int) -> int:
    return -(-channels // block) * block
