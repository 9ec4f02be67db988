"""Which steps of a network several threads share, along which axis, and in how many parts.

Takes a k graph, gives a :class:`Share` for each op whose work is worth more than handing it over. A part is computed by the kernel that
would compute the whole, over fewer rows, pixels or channels: no sum is split, so the results are the same in any number of parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm, prod
from typing import Literal

from bitc.codegen.work import nanoseconds
from bitc.ir import Graph, Op, Value
from bitc.ir.k_rows import BY_ROWS, image_rows, inner_values
from bitc.ir.packing import WORD_BITS, words_of
from bitc.ir.sliced import all_lanes

MOST_THREADS = 64
LEAST_NS = 3000.0
"""What a part must take: handing one to a waiting thread and awaiting its end takes about 1000 ns."""

Axis = Literal["rows", "pixels", "channels", "stack", "lanes"]

_BY_PIXELS = frozenset(
    {
        "k.bconv_acc",
        "k.bconv_bits",
        "k.pair_acc",
        "k.fconv",
        "k.fconv_w1",
        "k.iconv",
        "k.iconv_placed",
        "k.icoded",
        "k.icoded_rows",
        "k.pack",
        "k.map",
    }
)
_CHANNEL_OPERANDS = {
    "k.bconv_acc": 3,
    "k.bconv_bits": 4,
    "k.fconv": 2,
    "k.iconv": 3,
    "k.iconv_placed": 4,
    "k.icoded": 4,
}
"""Products that can make some of their channels, and how many operands they have where there is one group."""

_BY_LANES = ("k.sliced_acc", "k.sliced_bits", "k.sliced_lanes", "k.skip_acc", "k.skip_bits")

_FEW_CHANNELS = 16
"""A map over fewer goes through all pixels in one loop, which parts would cut short."""


@dataclass(frozen=True, slots=True)
class Share:
    """``size`` rows (pixels of the one row there is, channels of the one pixel, entries of a stack, lanes of planes of pixels) in whole
    ``unit`` s, in at most ``parts`` parts."""

    axis: Axis
    size: int
    unit: int
    parts: int

    @property
    def units(self) -> int:
        """How many units there are; the last may be a smaller one."""
        return -(-self.size // self.unit)

    @property
    def whole_units(self) -> bool:
        """Whether the last unit is a whole one."""
        return self.size % self.unit == 0

    @property
    def longest(self) -> int:
        """Rows of the longest of ``parts`` parts."""
        return min(self.size, -(-self.units // self.parts) * self.unit)


def shares(graph: Graph, threads: int, isa: str, least_ns: float = LEAST_NS) -> dict[Op, Share]:
    """The ops of ``graph`` that ``threads`` threads share, each part of ``least_ns`` at least."""
    found: dict[Op, Share] = {}
    for op in graph.ops if threads > 1 else ():
        if (whole := _axis(op)) is None:
            continue
        axis, size, unit = whole
        parts = min(threads, -(-size // unit), int(nanoseconds(op, isa) / max(least_ns, 1.0)))
        if parts > 1:
            found[op] = Share(axis, size, unit, parts)
    return found


def band(op: Op, share: Share) -> int:
    """Rows a part of ``op`` does at a time: those of the region, but no more than it has."""
    step = op.attrs["step"] if op.name == "k.rows" else op.attrs.get("together", share.size)
    return int(min(step, share.longest))


def scratch_rows(op: Op, share: Share) -> dict[Value, int]:
    """The values of which each part needs its own, and how many rows of each."""
    if op.name == "k.rows":
        return dict.fromkeys(inner_values(op.attrs["body"]), band(op, share))
    if op.name in ("k.icoded_rows", *_BY_LANES):
        return dict.fromkeys(op.results[1:], 1)
    return dict.fromkeys(op.results[1:], band(op, share)) if op.name == "k.iwinograd" else {}


def weights_block(op: Op) -> tuple[int, int]:
    """Output channels that lie side by side in a product's packed weights, where there is one group; elements of those weights."""
    *_, last, side = op.operands[1].shape
    match op.name:
        case "k.iconv" | "k.iconv_placed":
            block = last
        case "k.icoded":
            block = last * 8 // op.attrs["bits"]
        case _:
            block = side
    return block, prod(op.operands[1].shape) // -(-op.attrs["channels"] // block)


def _axis(op: Op) -> tuple[Axis, int, int] | None:
    """How ``op`` can be split: axis, its size, and of what its parts must be multiples."""
    if op.name in ("k.gemm", "k.pack_matrices", "k.igemm", "k.pack_integers"):
        outer, inner = op.attrs["stack"]
        return "stack", inner if outer == 1 else outer, 1
    if op.name == "k.dots":
        return "stack", op.attrs["stack"], 1
    if op.name in ("k.softmax", "k.reduce"):
        return "stack", op.attrs["outer"], 1
    if op.name in _BY_LANES:
        return "lanes", all_lanes(op.attrs), op.attrs["lanes"]
    ops = op.attrs["body"].ops if op.name == "k.rows" else (op,)
    kernels = [inner for inner in ops if inner.name != "nn.constant"]
    if not kernels or kernels[0].name not in BY_ROWS:
        return None
    rows = image_rows(kernels[0])[1]
    if rows > 1:
        return "rows", rows, max(inner.attrs.get("together", 1) for inner in kernels)
    return None if op.name == "k.rows" else _inside_row(op)


def _inside_row(op: Op) -> tuple[Axis, int, int] | None:
    """How an image of one row is split: by pixels, and a single pixel by channels."""
    if op.attrs.get("group", 1) > 1 or _has_halo(op):
        return None
    images, _, pixels, channels = op.results[0].shape
    if pixels > 1:
        narrow = op.name == "k.map" and channels < _FEW_CHANNELS
        return ("pixels", pixels, 1) if op.name in _BY_PIXELS and not narrow else None
    if op.name not in _CHANNEL_OPERANDS or images > 1 or len(op.operands) != _CHANNEL_OPERANDS[op.name]:
        return None
    return None if op.attrs.get("row_class") else _by_channels(op)


def _by_channels(op: Op) -> tuple[Axis, int, int] | None:
    """Blocks of weights; of packed results, whole words of one plane."""
    made, (block, _) = op.attrs["channels"], weights_block(op)
    if op.name != "k.bconv_bits":
        return "channels", made, block
    return ("channels", made, lcm(block, WORD_BITS)) if op.results[0].shape[3] == words_of(made) else None


def _has_halo(op: Op) -> bool:
    halos = [op.attrs.get(key, ()) for key in ("halo", "x_halo")]
    halos += [*op.attrs.get("halos", ()), *op.attrs.get("x_halos", ())]
    return any(any(halo) for halo in halos)
