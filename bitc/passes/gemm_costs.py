"""What products of two computed matrices cost as bits, as integers and as floats, in nanoseconds on one core.

Measured with ``python -m benchmarks.computed_products``, which prints beside each other what this file says and what it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from bitc.ir import DType, Op
from bitc.ir.integer_packing import INTEGER_FORMS
from bitc.ir.packing import words_of
from bitc.passes.costs import COSTS

FEW = 4
"""Rows or columns of a float product below which rearranging the other side costs more than it saves."""


@dataclass(frozen=True, slots=True)
class GemmCosts:
    """Figures of one target; rates of integer products are those of :data:`bitc.passes.costs.COSTS`.

    ``floats``, ``few``: operations a nanosecond of products of floats, blocked and plain (a multiplication and an addition are two).
    ``float_row_ns``, ``row_ns``: a row of results, as floats and as integers, besides its operations; ``result_ns``: each of its integers.
    ``float_pack_ns``, ``pack_ns``: a number of the right side put in order. ``matrix_ns``: a matrix of integers besides all that.
    ``made_ns``: what rounding a number to a byte takes longer than rounding it to a float. ``word_ns``: two words of bits met; 0 where no
    one has timed it. ``moved_ns``: a number between a threshold and a transpose: its bit unpacked, moved, and packed again.
    ``sum_ns``: a number that is summed with those of its row or column, and kept as a float for it. ``step_ns``: a scale or an offset of
    a result, multiplied or added behind the product.
    """

    floats: float
    few: float
    float_row_ns: float
    row_ns: float
    result_ns: float
    float_pack_ns: float
    pack_ns: float
    matrix_ns: float
    made_ns: float
    sum_ns: float
    step_ns: float
    word_ns: float = 0.0
    moved_ns: float = 0.0


GEMM_COSTS: dict[str, GemmCosts] = {
    "portable": GemmCosts(
        floats=30, few=7, float_row_ns=0.9, row_ns=20, result_ns=1, float_pack_ns=0.25, pack_ns=0.4, matrix_ns=5, made_ns=0.3,
        sum_ns=0.3, step_ns=0.1,
    ),
    "avx2": GemmCosts(
        floats=92, few=8, float_row_ns=1, row_ns=0.5, result_ns=0, float_pack_ns=0.3, pack_ns=0.04, matrix_ns=15, made_ns=0.1,
        sum_ns=0.2, step_ns=0.04, word_ns=0.15, moved_ns=0.4,
    ),
    "avx512": GemmCosts(
        floats=110, few=8, float_row_ns=1, row_ns=0.5, result_ns=0, float_pack_ns=0.3, pack_ns=0.04, matrix_ns=15, made_ns=0.05,
        sum_ns=0.2, step_ns=0.04,
    ),
    "neon": GemmCosts(
        floats=40, few=8, float_row_ns=1, row_ns=1, result_ns=0, float_pack_ns=0.4, pack_ns=0.4, matrix_ns=15, made_ns=0.2,
        sum_ns=0.3, step_ns=0.1,
    ),
    "neon_dot": GemmCosts(
        floats=40, few=8, float_row_ns=1, row_ns=1, result_ns=0, float_pack_ns=0.4, pack_ns=0.4, matrix_ns=15, made_ns=0.2,
        sum_ns=0.3, step_ns=0.1,
    ),
    "neon_i8mm": GemmCosts(
        floats=40, few=8, float_row_ns=1, row_ns=1, result_ns=0, float_pack_ns=0.4, pack_ns=0.4, matrix_ns=15, made_ns=0.2,
        sum_ns=0.3, step_ns=0.1,
    ),
}  # fmt: skip
"""By the kernels' instruction set. portable and avx2 are measured, on one core of a Zen 3; of avx512 ``floats`` alone, on one of an Intel
Xeon; of neon nothing: what two pipes of 128 bits at 2.5 GHz give.

``word_ns`` of avx2 is judged, on the side of bits. A product alone (4 x [64, k] x [k, 64] signs) takes 0.5 ns a word where k = 64, 0.4
where k = 128 and 0.3 where k = 1024. ``moved_ns`` is what heads take (0.35); turning matrices round takes 0.8. But a product in front
often ends in bits (``k.bconv_bits``), which integers would have as bytes, and that is not counted."""


@dataclass(frozen=True, slots=True)
class GemmWork:
    """``stack`` products of [rows, depth] by [depth, columns]; a right matrix that several share counts for each."""

    stack: int
    rows: int
    depth: int
    columns: int


def work_of_gemm(op: Op) -> GemmWork:
    """The size of a product of two computed operands."""
    *lead, rows, columns = op.result.shape
    return GemmWork(prod(lead), rows, op.operands[0].shape[-1], columns)


def float_gemm_ns(work: GemmWork, isa: str) -> float:
    """The product of floats, its right side put in order."""
    costs, macs = GEMM_COSTS[isa], work.stack * work.rows * work.depth * work.columns
    if min(work.rows, work.columns) < FEW:
        return 2 * macs / costs.few
    packed = work.stack * work.depth * work.columns * costs.float_pack_ns
    return packed + work.stack * work.rows * costs.float_row_ns + 2 * macs / costs.floats


def integer_gemm_ns(work: GemmWork, isa: str, storage: DType, levels: tuple[int, int]) -> float:
    """The product of integers, the left one in ``storage``, its right side put in order, and what making them of so many ``levels`` costs
    beyond making floats; two levels are a comparison in either form."""
    costs, form = GEMM_COSTS[isa], INTEGER_FORMS[isa]
    rate = COSTS[isa].u8 if storage is DType.U8 else COSTS[isa].i16
    columns, depth = (
        -(-size // unit) * unit for size, unit in ((work.columns, form.block), (work.depth, form.side(storage)))
    )
    of_row = costs.row_ns + work.columns * costs.result_ns + 2 * columns * depth / rate
    made = [
        size
        for size, count in zip((work.rows * work.depth, work.depth * work.columns), levels, strict=True)
        if count > 2
    ]
    of_matrix = costs.matrix_ns + depth * columns * costs.pack_ns + sum(made) * costs.made_ns
    return work.stack * (of_matrix + work.rows * of_row)


def bits_gemm_ns(work: GemmWork, isa: str, planes: tuple[int, int], moved: int) -> float:
    """The product of rows of bits, ``planes`` of each side, and what it takes to turn ``moved`` numbers before they are packed; packing
    alone costs what comparing to bytes does. 0 where bits were not timed beside integers."""
    costs = GEMM_COSTS[isa]
    words = work.stack * work.rows * work.columns * words_of(work.depth) * planes[0] * planes[1]
    return words * costs.word_ns + moved * costs.moved_ns * bool(costs.word_ns)


def behind_ns(work: GemmWork, isa: str, summed: int, steps: int) -> float:
    """What scales and offsets that left a product cost: ``summed`` numbers summed along rows or columns, ``steps`` for each result."""
    costs = GEMM_COSTS[isa]
    return summed * costs.sum_ns + work.stack * work.rows * work.columns * steps * costs.step_ns
