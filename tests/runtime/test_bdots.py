"""Products of two computed stacks of rows of codes against integer arithmetic, on every instruction set."""

import itertools

import numpy as np
import pytest

from bitc.ir.packing import pack_codes, words_of
from bitc.ir.types import Levels

from .harness import guarded, kernels

SIGNS, TERNARY, ZERO_ONE, FOUR, ODD = (
    Levels(-1, 2, 2),
    Levels(-1, 1, 3),
    Levels(0, 1, 2),
    Levels(-2, 1, 4),
    Levels(-5, 3, 3),
)
SIDES = tuple(itertools.product((SIGNS, TERNARY, ZERO_ONE, FOUR, ODD), repeat=2))


def check(isa: str, x: np.ndarray, y: np.ndarray, levels: tuple[Levels, Levels]) -> None:
    """``x`` [stack, m, K] and ``y`` [stack, n, K] of numbers that are ``levels``."""
    kernel = kernels(f"bdots_{isa}.h", isa=isa)
    (stack, m, terms), n, p = x.shape, y.shape[1], kernel.pointer
    left, right = (pack_codes(side, side_levels) for side, side_levels in zip((x, y), levels, strict=True))
    sides = [{"planes": side.planes, "step": side.step, "ends": side.lo + side.hi} for side in levels]
    fields = {"stack": stack, "m": m, "n": n, "words": words_of(terms), "terms": terms, "x": sides[0], "y": sides[1]}
    with guarded((stack, m, n), np.int32, align=4) as acc:
        getattr(kernel, f"bitc_bdots_{isa}")(kernel.ffi.new("bitc_bdots *", fields), p(left), p(right), p(acc))
        np.testing.assert_array_equal(acc, np.einsum("smk,snk->smn", x.astype(np.int64), y.astype(np.int64)))


def drawn(rng: np.random.Generator, levels: Levels, shape: tuple[int, ...], middle: float = 1.0) -> np.ndarray:
    """Codes of ``levels``; of three the middle one stands in a share ``middle`` of the rows only."""
    codes = rng.choice(levels.values(), shape)
    if levels.count == 3:
        without = rng.random((*shape[:-1], 1)) >= middle
        codes = np.where(without & (codes == levels.lo + levels.step), levels.hi, codes)
    return codes.astype(np.int32)


ISAS_WITH_DOTS = ("portable", "avx2", "avx512")


@pytest.mark.parametrize("isa", ISAS_WITH_DOTS)
@pytest.mark.parametrize("levels", SIDES, ids=lambda pair: f"{pair[0]} x {pair[1]}")
def test_every_pair_of_levels(isa: str, levels: tuple[Levels, Levels]) -> None:
    rng = np.random.default_rng(1)
    for terms, m, n, stack in ((1, 1, 1, 1), (5, 3, 2, 2), (64, 4, 65, 1), (65, 2, 130, 3), (300, 7, 64, 1)):
        for middle in (0.0, 0.5, 1.0):
            shapes = (stack, m, terms), (stack, n, terms)
            x, y = (drawn(rng, side, shape, middle) for side, shape in zip(levels, shapes, strict=True))
            check(isa, x, y, levels)


@pytest.mark.parametrize("isa", ISAS_WITH_DOTS)
def test_extremes(isa: str) -> None:
    """All codes at one end: the largest sums of either sign."""
    for left, right in SIDES:
        for a, b in itertools.product((left.lo, left.hi), (right.lo, right.hi)):
            check(isa, np.full((1, 2, 4096), a, np.int32), np.full((1, 3, 4096), b, np.int32), (left, right))
