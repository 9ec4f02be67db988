"""``two-bases``: four weights ±a±b a channel are two products of signs, where the input is of codes and only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bitc.ir import Builder, Graph, TensorType, Value, evaluate
from bitc.passes.recognise import RecogniseCodes
from bitc.passes.two_bases import TwoBases, two_bases

F32 = np.float32
GEOMETRY: dict[str, Any] = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1)}


def bases(channels: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Weights as BinaryDM makes them, in float32: s1·sign(w) + s2·sign(w - s1·sign(w))."""
    rng = np.random.default_rng(seed)
    w = rng.normal(0, 1, (channels, *shape)).astype(F32)
    axes = tuple(range(1, w.ndim))
    s1 = np.abs(w).mean(axes, keepdims=True)
    rest = w - s1 * np.sign(w)
    return s1 * np.sign(w) + np.abs(rest).mean(axes, keepdims=True) * np.sign(rest)


def network(w: np.ndarray, x_shape: tuple[int, ...], quantized: bool = True, group: int = 1) -> Graph:
    """A product of ``w`` and numbers quantized to 4 bits."""
    b = Builder()
    x = v = b.input("x", TensorType(x_shape))
    if quantized:
        for name, number in (("div", 0.6), ("max", -8), ("min", 7)):
            v = b.add(f"nn.{name}", v, b.constant(np.asarray(number, F32)))
        v = b.add("nn.mul", b.add("nn.round", v), b.constant(np.asarray(0.6, F32)))
    y = _product(b, v, w, group)
    return Graph("g", [x], b.ops, [y])


def _product(b: Builder, x: Value, w: np.ndarray, group: int) -> Value:
    if w.ndim == 2:
        return b.add("nn.matmul", x, b.constant(w), loc="node 0 (MatMul)")
    return b.add("nn.conv", x, b.constant(w), **GEOMETRY, group=group, loc="node 0 (Conv)")


CASES = {
    "conv": (bases(6, (4, 3, 3)), (1, 4, 9, 9), 1),
    "groups": (bases(6, (2, 3, 3)), (1, 4, 9, 9), 2),
    "matmul": (bases(6, (20,)).T.copy(), (3, 20), 1),
}


@pytest.mark.parametrize("case", CASES)
def test_two_products_of_signs_give_the_sum(case: str) -> None:
    w, shape, group = CASES[case]
    before = network(w, shape, group=group)
    after = TwoBases().run(before)
    assert after.attrs["rounded_products"] == (after.ops[-1].loc,)
    coded = RecogniseCodes().run(after)
    products = [op for op in coded.ops if op.name in ("q.conv", "q.matmul")]
    assert [str(op.operands[1].type.levels) for op in products] == ["{-1,1}"] * 2  # type: ignore[union-attr]
    assert not any(op.attrs["exact"] for op in products)
    x = np.random.default_rng(1).normal(0, 3, shape).astype(F32)
    wanted, got = (evaluate(g, {"x": x})[0] for g in (before, coded))
    assert np.abs(wanted - got).max() <= 1e-5 * np.abs(wanted).max()


def test_products_of_floats_stay() -> None:
    w, shape, _ = CASES["conv"]
    after = TwoBases().run(network(w, shape, quantized=False))
    assert sum(op.name == "nn.conv" for op in after.ops) == 1


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1 / 3])
def test_weights_that_are_codes_stay(ratio: float) -> None:
    """Of evenly spaced ±a±b, and of a or b that is 0, one product serves."""
    signs = np.random.default_rng(2).choice(F32([-1, 1]), (2, 5, 4, 3, 3))
    w = signs[0] + F32(ratio) * signs[1]
    after = TwoBases().run(network(w, (1, 4, 9, 9)))
    assert sum(op.name == "nn.conv" for op in after.ops) == 1


@pytest.mark.parametrize("axis", [0, 1])
def test_the_sum_of_the_bases_is_the_weights(axis: int) -> None:
    w = np.moveaxis(bases(5, (4, 3), seed=7), 0, axis).copy()
    w[(slice(None),) * axis + (2,)] = F32(0.25)  # a channel of one value
    found = two_bases(w, axis)
    assert found is not None
    assert np.abs(w - (found[0] + found[1])).max() <= 2e-7 * np.abs(w).max()
    for base in found:
        rows = np.abs(np.moveaxis(base, axis, 0).reshape(5, -1))
        assert (rows == rows[:, :1]).all()


@pytest.mark.parametrize("values", [(0.1, 0.5, 0.9), (0.1, 0.2, 0.3, 0.45), (0.3, np.inf)])
def test_other_weights_have_no_bases(values: tuple[float, ...]) -> None:
    assert two_bases(np.asarray([[*values, -values[0]]], F32), 0) is None
