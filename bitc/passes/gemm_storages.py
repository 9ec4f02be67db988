"""How the levels of two computed matrices are stored for a product of integers, and how far its sums reach."""

from __future__ import annotations

from bitc.ir import DType, Levels
from bitc.ir.integer_packing import LONG_CHAIN, IntegerForm

MOST_INT16 = (1 << 15) - 1


def gemm_storages(x: Levels, y: Levels, form: IntegerForm) -> tuple[DType, DType]:
    """What kernels of ``form`` multiply fastest: u8 (counted from the lowest level) by i8, or i16 by i16 where levels do not fit bytes.

    Where i16 is the target's storage, bytes are faster where three sums of two of their products fit 16 bits.

    >>> from bitc.ir.integer_packing import INTEGERS_AVX2, INTEGERS_AVX512
    >>> four, eight = Levels(-8, 1, 16), Levels(-128, 1, 256)
    >>> [tuple(map(str, gemm_storages(c, c, f))) for c in (four, eight) for f in (INTEGERS_AVX2, INTEGERS_AVX512)]
    [('u8', 'i8'), ('u8', 'i8'), ('i16', 'i16'), ('u8', 'i8')]
    """
    span = x.hi - x.lo
    fits = span <= 255 and y.lo >= -128 and y.hi <= 127
    chained = 2 * LONG_CHAIN * span * _farthest(y) <= MOST_INT16
    return (DType.U8, DType.I8) if fits and (form.storage is DType.U8 or chained) else (DType.I16, DType.I16)


def gemm_reach(x: Levels, y: Levels, depth: int) -> int:
    """What no sum over ``depth`` terms exceeds, whether x is stored as it is or counted from its lowest level."""
    return depth * max(_farthest(x), x.hi - x.lo) * _farthest(y)


def _farthest(levels: Levels) -> int:
    return max(abs(levels.lo), abs(levels.hi))
