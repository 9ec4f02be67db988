"""``recognise-minifloats``: logarithms and powers give the bits of one rounding, at every power of two and next to it."""

from __future__ import annotations

import numpy as np
import pytest
from passes.harness import op_names, same_meaning

from bitc.ir import Builder, DType, Graph, TensorType, Value, drop_dead
from bitc.passes.minifloats import RecogniseMinifloats

F32 = np.float32
ELEMENTS = 1 << 13
FORMATS = [(1, -1, 6.0), (0, -2, 16.0), (2, -4, 28.0), (3, -9, 480.0), (3, -9, 448.0), (8, -70, 3.0e4)]
"""Mantissa bits, exponent of the smallest step, largest number: E2M1, E3M0, E3M2, E4M3 of Brevitas and of OCP, and one with much room."""


def spelled(
    m: float = 1,
    least: float = -1,
    most: float = 6.0,
    *,
    tiny: float = 2.0**-126,
    by_comparison: bool = True,
    upper_first: bool = True,
    step_first: bool = True,
    base: float = 2.0,
    logarithm: float = float(np.log(2)),
    lowest: float | None = None,
    of_another: bool = False,
) -> Graph:
    """The graph Brevitas exports, with its variations."""
    b = Builder()

    def number(value: float) -> Value:
        return b.constant(np.asarray(value, F32))

    def clamped(y: Value, sign: int, end: float) -> Value:
        if not by_comparison:
            return b.add("nn.min" if sign > 0 else "nn.max", y, number(end))
        beyond = b.add("nn.greater" if sign > 0 else "nn.less", y, number(end))
        return b.add("nn.where", beyond, number(end), y)

    v = b.input("v", TensorType((ELEMENTS,)))
    sized = b.input("other", TensorType((ELEMENTS,))) if of_another else v
    size = b.add("nn.abs", sized)
    size = b.add("nn.add", size, number(tiny)) if tiny else size
    exponent = b.add("nn.floor", b.add("nn.div", b.add("nn.log", size), number(logarithm)))
    exponent = b.add("nn.sub", exponent, number(m)) if m else exponent
    step = b.add("nn.pow", number(base), b.add("nn.max", exponent, number(least)))
    whole = b.add("nn.round", b.add("nn.div", v, step))
    y = b.add("nn.mul", *((step, whole) if step_first else (whole, step)))
    ends = [(1, most), (-1, -most if lowest is None else lowest)]
    for sign, end in ends if upper_first else ends[::-1]:
        y = clamped(y, sign, end)
    return Graph("g", [v, sized] if of_another else [v], b.ops, [y])


def everywhere(rng: np.random.Generator, value: Value) -> np.ndarray:
    """Numbers of every size, a third of them within a few neighbours of a power of two, a third halfway between multiples of one."""
    exponents = rng.integers(-126, 127, ELEMENTS)
    exponents = np.where(rng.random(ELEMENTS) < 0.7, rng.integers(-12, 12, ELEMENTS), exponents)
    powers = np.ldexp(F32(1), exponents).astype(F32)
    beside = (powers.view(np.int32) + rng.integers(-40, 41, ELEMENTS, np.int32)).view(F32)
    halves = powers * (rng.integers(0, 64, ELEMENTS) + F32(0.5)) / F32(16)
    anywhere = powers * rng.uniform(1, 2, ELEMENTS).astype(F32)
    found = np.select([rng.random(ELEMENTS) < 0.33, rng.random(ELEMENTS) < 0.5], [beside, halves], anywhere)
    found[:4] = 0.0, 2.0**-149, 2.0**127, np.nan
    return np.copysign(found, rng.choice([-1, 1], ELEMENTS)).astype(F32)


@pytest.mark.parametrize("bits", FORMATS)
@pytest.mark.parametrize("tiny", [0.0, 2.0**-126])
@pytest.mark.parametrize("by_comparison", [True, False])
def test_every_format_becomes_one_op(bits: tuple[int, int, float], tiny: float, by_comparison: bool) -> None:
    before = spelled(*bits, tiny=tiny, by_comparison=by_comparison)
    after = drop_dead(RecogniseMinifloats().run(before))
    assert op_names(after) == ["nn.minifloat"]
    same_meaning(before, after, everywhere, runs=20)


@pytest.mark.parametrize("change", [{"upper_first": False}, {"step_first": False}, {"logarithm": 0.6931472}])
def test_variations_of_the_spelling(change: dict[str, bool]) -> None:
    before = spelled(**change)
    after = drop_dead(RecogniseMinifloats().run(before))
    assert op_names(after) == ["nn.minifloat"]
    same_meaning(before, after, everywhere)


@pytest.mark.parametrize(
    "change",
    [
        {"base": 3.0},
        {"logarithm": 0.7},
        {"tiny": 0.01},
        {"m": 9},
        {"m": 1.5},
        {"least": -0.5},
        {"least": -100},
        {"lowest": -5.0},
        {"lowest": 1.0},
        {"most": 0.25},
        {"of_another": True},
    ],
)
def test_what_is_no_rounding_to_a_format_stays(change: dict[str, float]) -> None:
    before = spelled(**change)
    assert "nn.minifloat" not in op_names(RecogniseMinifloats().run(before))


def test_doubles_stay() -> None:
    b = Builder()
    v = b.input("v", TensorType((4,), DType.F64))

    def number(value: float) -> Value:
        return b.constant(np.asarray(value, np.float64))

    exponent = b.add("nn.floor", b.add("nn.div", b.add("nn.log", b.add("nn.abs", v)), number(float(np.log(2)))))
    step = b.add("nn.pow", number(2), b.add("nn.max", exponent, number(-2)))
    y = b.add("nn.mul", step, b.add("nn.round", b.add("nn.div", v, step)))
    y = b.add("nn.max", b.add("nn.min", y, number(16)), number(-16))
    graph = Graph("g", [v], b.ops, [y])
    assert "nn.minifloat" not in op_names(RecogniseMinifloats().run(graph))
