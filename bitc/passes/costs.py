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

    ``bits``, ``grouped_bits``: operations a nanosecond of one-bit products, plain and grouped. ``pairs``: of products of two bits by
    two, looked up in a table; 0 where no kernel is meant for that. ``u8``, ``i16``, ``depthwise``:
    operations a nanosecond of integer products by the storage of the activations; ``placed``: of those of bytes by placed weights, 0
    where there is no such kernel. ``block``, ``grouped_block``, ``integer_block``:
    output channels computed together, the fewest. ``tile``: neighbouring pixels, and channels, that the kernel of bits computes at a
    time. ``sum_ns``: an int32 result written, read and added. ``pack_ns``: a number compared and packed,
    a plane. ``plane_ns``: a bit of a byte packed. ``byte_ns``: a number rounded, clamped and written as u8.
    """

    bits: float
    grouped_bits: float
    pairs: float
    u8: float
    i16: float
    placed: float
    depthwise: float
    block: int
    tile: tuple[int, int]
    grouped_block: int
    integer_block: int
    sum_ns: float
    pack_ns: float
    plane_ns: float
    byte_ns: float


COSTS: dict[str, Costs] = {
    "portable": Costs(
        bits=170, grouped_bits=150, pairs=0, u8=41, i16=41, placed=0, depthwise=9,
        block=8, tile=(1, 8), grouped_block=8, integer_block=1, sum_ns=0.8, pack_ns=0.6, plane_ns=0.2, byte_ns=12,
    ),
    "avx2": Costs(
        bits=960, grouped_bits=430, pairs=390, u8=225, i16=143, placed=165, depthwise=53,
        block=32, tile=(4, 64), grouped_block=8, integer_block=16, sum_ns=0.165, pack_ns=0.08, plane_ns=0.02, byte_ns=0.235,
    ),
    "avx512": Costs(
        bits=1300, grouped_bits=1100, pairs=0, u8=520, i16=245, placed=0, depthwise=60,
        block=8, tile=(4, 32), grouped_block=8, integer_block=16, sum_ns=0.1, pack_ns=0.055, plane_ns=0.012, byte_ns=0.2,
    ),
    "neon": Costs(
        bits=400, grouped_bits=250, pairs=0, u8=40, i16=40, placed=0, depthwise=18,
        block=8, tile=(1, 8), grouped_block=8, integer_block=8, sum_ns=0.2, pack_ns=0.2, plane_ns=0.04, byte_ns=0.5,
    ),
    "neon_dot": Costs(
        bits=400, grouped_bits=250, pairs=0, u8=140, i16=40, placed=0, depthwise=18,
        block=8, tile=(1, 8), grouped_block=8, integer_block=8, sum_ns=0.2, pack_ns=0.2, plane_ns=0.04, byte_ns=0.5,
    ),
    "neon_i8mm": Costs(
        bits=400, grouped_bits=250, pairs=0, u8=260, i16=40, placed=0, depthwise=18,
        block=8, tile=(1, 8), grouped_block=8, integer_block=8, sum_ns=0.2, pack_ns=0.2, plane_ns=0.04, byte_ns=0.5,
    ),
}  # fmt: skip
"""By the kernels' instruction set. Measured: portable and avx2 on one core of a Zen 3, avx512 on one of an Intel Xeon. neon and its
variants were never timed: rates are what the instructions of the inner loops take on two pipes of 128 bits at 2.5 GHz."""


@dataclass(frozen=True, slots=True)
class Sliced:
    """Figures of products on planes of pixels (:mod:`bitc.ir.sliced`), in nanoseconds. For each vector of pixels: ``adder_ns``: a
    term of a node of a tree added, ``far_ns``: what that takes besides where a block's terms do not stay in the first cache,
    ``majority_ns``: a plane of a table added, ``table_ns``: the planes of a table made, ``node_ns``: a node besides what it adds,
    ``test_ns``: a bit of a result, ``column_ns``: a term of the windows fetched. ``input_ns``: a bit of the words of
    packed pixels, ``output_ns``: one of a result, turned; ``number_ns``: an int32 result in a lane, ``pixel_ns``: a pixel of them."""

    adder_ns: float
    far_ns: float
    majority_ns: float
    table_ns: float
    node_ns: float
    test_ns: float
    column_ns: float
    input_ns: float
    output_ns: float
    number_ns: float
    pixel_ns: float


SLICED: dict[str, Sliced] = {
    "portable": Sliced(
        adder_ns=0.75, far_ns=0.2, majority_ns=0.8, table_ns=4,
        node_ns=10, test_ns=12, column_ns=1, input_ns=0.1, output_ns=0.09, number_ns=1.5, pixel_ns=15
    ),
    "avx2": Sliced(
        adder_ns=0.7, far_ns=0.3, majority_ns=1.25, table_ns=8,
        node_ns=15, test_ns=20, column_ns=2, input_ns=0.03, output_ns=0.03, number_ns=0.6, pixel_ns=10
    ),
    "avx512": Sliced(
        adder_ns=0.8, far_ns=0.1, majority_ns=1, table_ns=8,
        node_ns=20, test_ns=60, column_ns=4.5, input_ns=0.035, output_ns=0.06, number_ns=0.42, pixel_ns=15
    ),
}  # fmt: skip
"""By instruction set, measured as :data:`COSTS` are, but for ``number_ns`` and ``pixel_ns``: all of them on the Xeon. Those of
avx512 are fitted to some fifty layers, and kept towards the slow minutes of that machine. Tables fill more than a first cache of 32 KiB on
avx2, which is why majorities cost more there."""


@dataclass(frozen=True, slots=True)
class Skipping:
    """Figures of products that skip nibbles (:mod:`bitc.ir.skipping`), in nanoseconds. For each block of vectors: ``entry_ns``: a nibble
    of a node besides its vectors, ``node_ns``: a node besides them. For each vector of 32 pixels: ``count_ns``: a nibble looked up,
    ``follow_ns``: a parent's counts taken over, ``test_ns``: a bit of a result. ``input_ns``: an activation spread, ``output_ns``: a bit of
    a result, packed; ``number_ns``: an int32 result."""

    entry_ns: float
    count_ns: float
    node_ns: float
    follow_ns: float
    test_ns: float
    input_ns: float
    output_ns: float
    number_ns: float


SKIPPING: dict[str, Skipping] = {
    "portable": Skipping(
        entry_ns=1, count_ns=25, node_ns=10, follow_ns=30, test_ns=40, input_ns=0.3, output_ns=0.1, number_ns=2
    ),
    "avx2": Skipping(
        entry_ns=0.2, count_ns=0.28, node_ns=8, follow_ns=3, test_ns=3, input_ns=0.03, output_ns=0.03, number_ns=0.7
    ),
    "avx512": Skipping(
        entry_ns=0.34, count_ns=0.48, node_ns=14, follow_ns=5, test_ns=5, input_ns=0.05, output_ns=0.05, number_ns=1.2
    ),
}  # fmt: skip
"""By instruction set, measured as :data:`COSTS` are; avx512 runs the kernels of avx2: its figures are those,
times 1.7, which is what one layer took longer on the Xeon."""


TWIN_NS = 0.4
"""Comparing a word of one plane with that of the other under a tap of a pixel, where windows overlap; measured on avx2."""

NEAR_BYTES = 48 * 1024
"""A block's terms fill a first cache of 32 KiB beyond use when they are so many."""


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


def twins_ns(work: Work, costs: Costs, apart: float) -> float:
    """The product of two planes that differ under a part ``apart`` of the tiles of pixels: one plane, both there, and finding out for each
    tile of channels."""
    tiles = -(-work.out_c // costs.tile[1])
    compared = work.pixels * work.taps * words_of(work.in_c) * tiles
    return (1 + apart) * plane_ns(work, costs) + compared * TWIN_NS


def trees_ns(work: Work, costs: Sliced, lanes: int, blocks: int, planes: int, added: int, bits: int) -> float:
    """A product of ``planes`` planes along trees that add ``added`` terms a plane, in ``blocks`` vectors of ``lanes`` pixels; it ends with
    ``bits`` bits a channel, or with numbers where that is 0."""
    far = work.taps * work.in_c * work.group * planes * lanes // 8 > NEAR_BYTES
    term_ns = costs.adder_ns + (costs.far_ns if far else 0)
    return blocks * added * planes * term_ns + _sliced_ns(work, costs, lanes, blocks, planes, bits)


def tables_ns(work: Work, costs: Sliced, lanes: int, blocks: int, planes: int, triples: int, bits: int) -> float:
    """The same without trees: ``triples`` tables for all channels."""
    summed = triples * (work.out_c * costs.majority_ns + costs.table_ns)
    return blocks * summed + _sliced_ns(work, costs, lanes, blocks, planes, bits)


def _sliced_ns(work: Work, costs: Sliced, lanes: int, blocks: int, planes: int, bits: int) -> float:
    """What products on planes of pixels take besides their sums: all lanes are computed, and whole words turned."""
    columns = work.taps * work.in_c * work.group * planes
    of_block = work.out_c * (costs.node_ns + bits * costs.test_ns) + columns * costs.column_ns
    pixels_in = work.inputs / (work.in_c * work.group)
    turned_in = pixels_in * planes * words_of(work.in_c * work.group) * WORD_BITS
    if bits:
        ends = blocks * lanes * bits * words_of(work.out_c) * WORD_BITS * costs.output_ns
    else:
        ends = blocks * lanes * work.out_c * costs.number_ns + work.pixels * costs.pixel_ns
    return blocks * of_block + turned_in * costs.input_ns + ends


def skipping_ns(work: Work, costs: Skipping, vectors: int, blocks: int, planes: int, entries: int, bits: int) -> float:
    """A product of ``planes`` planes along trees whose nodes have ``entries`` nibbles, in ``blocks`` blocks of ``vectors`` vectors; it
    ends with ``bits`` bits a channel, or with numbers where that is 0."""
    of_entry = costs.entry_ns + vectors * costs.count_ns
    of_node = costs.node_ns + vectors * (costs.follow_ns + bits * costs.test_ns)
    made = work.pixels * work.out_c
    ends = made * bits * costs.output_ns if bits else made * costs.number_ns
    return blocks * (entries * of_entry + work.out_c * of_node) + work.inputs * planes * costs.input_ns + ends


def pairs_ns(work: Work, costs: Costs) -> float:
    """The product of codes of two bits by table look-up."""
    slots = words_of(2 * work.in_c) * WORD_BITS // 2
    return 2 * work.pixels * work.taps * slots * _whole(work.out_c, costs.block) / costs.pairs


def sums_ns(work: Work, costs: Costs, channels: int | None = None) -> float:
    """Writing, reading and adding the results of one product."""
    return work.pixels * (work.out_c if channels is None else channels) * costs.sum_ns


def integers_ns(work: Work, costs: Costs, rate: float, levels: int) -> float:
    """The product of integers at ``rate`` operations a nanosecond (another one where it is depthwise), and the making of its activations
    from numbers (of two levels: a comparison)."""
    depthwise = work.group > 1 and work.in_c == 1
    rate = costs.depthwise if depthwise else rate
    in_group = work.out_c // work.group
    computed = in_group if depthwise else _whole(in_group, costs.integer_block)
    made_ns = costs.byte_ns if levels > 2 else costs.pack_ns
    return 2 * work.macs * computed / in_group / rate + work.inputs * made_ns


def _whole(channels: int, block: int) -> int:
    return -(-channels // block) * block
