"""``compare-softmax``: exact where float32 cannot blur it, and left alone where it could."""

from __future__ import annotations

import numpy as np
import pytest
from passes.harness import op_names, same_meaning

from bitc.ir import Builder, DType, Graph, TensorType, Value, drop_dead
from bitc.passes.softmax_comparisons import CompareSoftmax

F32 = np.float32


def attention(
    test: str = "nn.less",
    share: float = 0.25,
    scale: float = 0.125,
    axis: int = -1,
    mirrored: bool = False,
    view: bool = True,
) -> tuple[Graph, Value]:
    """softmax(scale · integers) compared with ``share`` of its largest."""
    b = Builder()
    k = b.input("k", TensorType((2, 3, 9)))
    promised = b.add("nn.assume", k, values=tuple(float(v) for v in range(-20, 21)))
    x = b.add("nn.mul", promised, b.constant(np.asarray(scale, F32)))
    s = b.add("nn.softmax", x, axis=axis)
    largest = b.add("nn.reduce_max", s, axes=(axis,), keepdims=not view)
    part = b.add("nn.mul", largest, b.constant(np.asarray(share, F32)))
    if view:
        part = b.add("nn.reshape", part, shape=tuple(1 if i == axis % 3 else n for i, n in enumerate(s.shape)))
    compared = b.add(test, *((part, s) if mirrored else (s, part)))
    return Graph("g", [k], b.ops, [b.add("nn.cast", compared, to=DType.F32)]), x


def integers(rng: np.random.Generator, value: Value) -> np.ndarray:
    return rng.integers(-20, 21, value.shape).astype(F32)


@pytest.mark.parametrize("test", ["nn.less", "nn.less_equal", "nn.greater", "nn.greater_equal"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("view", [False, True])
@pytest.mark.parametrize("axis", [-1, 1])
def test_the_softmax_goes(test: str, mirrored: bool, view: bool, axis: int) -> None:
    before, _ = attention(test, mirrored=mirrored, view=view, axis=axis)
    after = drop_dead(CompareSoftmax().run(before))
    assert "nn.softmax" not in op_names(after)
    same_meaning(before, after, integers, runs=40)


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.7, 1 / 64, 3.5])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9])
def test_every_scale_and_share(scale: float, share: float) -> None:
    before, _ = attention(scale=scale, share=share)
    same_meaning(before, drop_dead(CompareSoftmax().run(before)), integers, runs=30)


def test_what_rounding_could_decide_stays() -> None:
    """exp(-1/2) is the share itself: the two sides of the file's comparison differ by roundings alone."""
    before, _ = attention(scale=0.5, share=float(np.exp(-0.5)))
    assert "nn.softmax" in op_names(CompareSoftmax().run(before))


@pytest.mark.parametrize("share", [0.0, 1.0, 2.0, -0.5])
def test_other_shares_stay(share: float) -> None:
    before, _ = attention(share=share)
    assert "nn.softmax" in op_names(CompareSoftmax().run(before))


def test_numbers_that_are_no_integers_stay() -> None:
    b = Builder()
    x = b.input("x", TensorType((2, 9)))
    s = b.add("nn.softmax", x, axis=1)
    part = b.add("nn.mul", b.add("nn.reduce_max", s, axes=(1,)), b.constant(np.asarray(0.25, F32)))
    before = Graph("g", [x], b.ops, [b.add("nn.cast", b.add("nn.less", s, part), to=DType.F32)])
    assert "nn.softmax" in op_names(CompareSoftmax().run(before))


def test_the_largest_of_another_softmax_stays() -> None:
    before, x = attention()
    b = Builder()
    b.ops.extend(before.ops)
    other = b.add("nn.softmax", x, axis=1)
    part = b.add("nn.mul", b.add("nn.reduce_max", other, axes=(1,)), b.constant(np.asarray(0.25, F32)))
    s = next(op.result for op in before.ops if op.name == "nn.softmax")
    graph = Graph("g", before.inputs, b.ops, [b.add("nn.cast", b.add("nn.less", s, part), to=DType.F32)])
    assert sum(name == "nn.softmax" for name in op_names(drop_dead(CompareSoftmax().run(graph)))) == 2
