"""``bound-scales``: a quantizer by the largest element gives few integers, and NaN where the file gives NaN."""

from __future__ import annotations

import numpy as np
import pytest

from bitc.ir import Builder, Graph, TensorType, evaluate
from bitc.passes.bound_scales import BoundScales
from bitc.passes.value_sets import ValueSets

F32 = np.float32


def quantized(axes: tuple[int, ...], levels: float = 127.0, other: str = "") -> Graph:
    """``round(x·s) / s``, s = levels · (1 / max|x|), of rows or of all; ``other`` spoils it."""
    b = Builder()
    x, y = b.input("x", TensorType((3, 8))), b.input("y", TensorType((3, 8)))
    measured = y if other == "of another tensor" else x
    size = b.add("nn.reduce_max", b.add("nn.abs", measured), axes=axes, keepdims=True)
    scale = b.add("nn.mul", b.add("nn.reciprocal", size), b.constant(np.asarray(levels, F32)))
    codes = b.add("nn.round", b.add("nn.mul", x, scale))
    divisor = b.add("nn.neg", scale) if other == "divided by another" else scale
    return Graph("g", [x, y], b.ops, [b.add("nn.div", codes, divisor)])


def rows() -> np.ndarray:
    """Random numbers, all zeros, and numbers so small that 127 / max|x| overflows, the largest one too."""
    tiny = np.full(8, 3e-37, F32) * np.linspace(-1, 1, 8, dtype=F32)
    return np.stack([np.random.default_rng(0).normal(0, 3, 8).astype(F32), np.zeros(8, F32), tiny])


@pytest.mark.parametrize("axes", [(0, 1), (1,)])
@pytest.mark.parametrize("levels", [127.0, 7.0])
def test_it_gives_the_files_numbers_and_its_nans(axes: tuple[int, ...], levels: float) -> None:
    before = quantized(axes, levels)
    after = BoundScales().run(before)
    rounding = next(op for op in after.ops if op.name == "nn.round")
    assert ValueSets().values(rounding.result) == tuple(float(v) for v in np.arange(-levels, levels + 1))
    assert ValueSets().values(next(op for op in before.ops if op.name == "nn.round").result) is None
    some = rows()
    with np.errstate(all="ignore"):
        for x in (some, some[:1].repeat(3, 0), some[1:2].repeat(3, 0), some[2:].repeat(3, 0), some * F32(1e-3)):
            inputs = {"x": x, "y": x}
            wanted, got = (evaluate(g, inputs)[0] for g in (before, after))
            assert np.array_equal(wanted, got, equal_nan=True)


@pytest.mark.parametrize("scale", [2.0**-120, 2.0**-121, 2.0**-122, 2.0**-126, 2.0**-128, 2.0**-140, 2.0**120])
def test_bounds_hold_for_the_least_and_largest_numbers(scale: float) -> None:
    """Around the size at which the scale overflows, and among denormals."""
    before = quantized((1,))
    after = BoundScales().run(before)
    mantissas = np.random.default_rng(1).uniform(-1, 1, (3, 8))
    x = (mantissas * scale).astype(F32)
    with np.errstate(all="ignore"):
        wanted, got = (evaluate(g, {"x": x, "y": x})[0] for g in (before, after))
    assert np.array_equal(wanted, got, equal_nan=True)


@pytest.mark.parametrize("other", ["of another tensor", "divided by another"])
def test_other_scales_are_left(other: str) -> None:
    before = quantized((1,), other=other)
    assert [op.name for op in BoundScales().run(before).ops] == [op.name for op in before.ops]
