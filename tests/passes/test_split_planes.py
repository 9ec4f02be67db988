"""``split-planes``: every pair of levels, in the interpreter before and after, and what is chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from passes.harness import Inputs, op_names, parse, plain_text, same_meaning

from bitc.errors import OptionError
from bitc.ir import BIPOLAR, TERNARY, Builder, CodeType, Graph, Levels, TensorType
from bitc.passes.costs import COSTS
from bitc.passes.integers import StoreIntegers
from bitc.passes.padding import ExactPadding
from bitc.passes.split_planes import SplitPlanes

PLANES = SplitPlanes(form="planes")
ZERO_ONE = Levels(0, 1, 2)
ACTIVATIONS = [
    ZERO_ONE,
    BIPOLAR,
    TERNARY,
    Levels(0, 1, 4),
    Levels(-3, 2, 4),
    Levels(-2, 1, 4),
    Levels(0, 1, 7),
    Levels(-4, 1, 8),
    Levels(-7, 1, 15),
    Levels(0, 1, 16),
    Levels(-8, 1, 16),
    Levels(-15, 2, 16),
    Levels(2, 3, 6),
]
WEIGHTS = [
    ZERO_ONE,
    BIPOLAR,
    TERNARY,
    Levels(0, 1, 3),
    Levels(-2, 1, 4),
    Levels(-3, 2, 4),
    Levels(0, 5, 2),
    Levels(-3, 1, 7),
    Levels(-8, 1, 16),
    Levels(-7, 1, 15),
    Levels(-15, 2, 16),
]
UNPADDED = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}


def network(
    x: Levels, weights: np.ndarray, levels: Levels, group: int = 1, size: Sequence[int] = (5, 4), **geometry: object
) -> Graph:
    """A convolution (weights of rank 4) or a product of matrices, of codes that come in as numbers."""
    b = Builder()
    w = b.add("q.encode", b.constant(weights.astype(np.float32)), levels=levels)
    if weights.ndim == 2:
        source = b.input("x", TensorType((*size, weights.shape[0])))
        y = b.add("q.matmul", b.add("q.encode", source, levels=x), w)
    else:
        source = b.input("x", TensorType((2, weights.shape[1] * group, *size)))
        y = b.add("q.conv", b.add("q.encode", source, levels=x), w, group=group, **{**UNPADDED, **geometry})
    return Graph("g", [source], b.ops, [y])


def drawn(levels: Levels, shape: Sequence[int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(levels.values(), tuple(shape))


def levels_in(levels: Levels) -> Inputs:
    return lambda generator, value: generator.choice(levels.values(), value.shape).astype(np.float32)


def split(graph: Graph, x: Levels, step: SplitPlanes = PLANES) -> Graph:
    """``graph`` after ``step`` and ``exact-padding``; the same bits before, between and after, and all products of planes."""
    after = step.run(graph)
    same_meaning(graph, after, levels_in(x), runs=2)
    padded = ExactPadding().run(after)
    same_meaning(graph, padded, levels_in(x), runs=2)
    for op in padded.ops:
        if op.name in ("q.conv", "q.matmul"):
            source, weights = (operand.type for operand in op.operands)
            assert isinstance(source, CodeType)
            assert isinstance(weights, CodeType)
            assert source.levels.planes <= 3
            assert weights.levels.planes == 1
            assert weights.levels.middle_twice == 0
            assert not any(op.attrs.get("pads", ())) or source.levels.contains(op.attrs["pad_level"])
    return after


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@pytest.mark.parametrize("x", ACTIVATIONS, ids=str)
def test_every_pair_of_levels(x: Levels, weights: Levels) -> None:
    w = drawn(weights, (4, 3, 3, 2))
    split(network(x, w, weights, pads=(1, 0, 1, 1), strides=(2, 1), dilations=(1, 2)), x)
    split(network(x, drawn(weights, (5, 3)), weights, size=(2, 3)), x)


@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 2, 0, 1)])
@pytest.mark.parametrize("group", [2, 4])
def test_groups(group: int, pads: Sequence[int]) -> None:
    x, weights = Levels(-8, 1, 16), Levels(-2, 1, 4)
    split(network(x, drawn(weights, (4, 2, 3, 2)), weights, group, pads=pads), x)


def test_one_dimensional_images() -> None:
    x, weights = Levels(0, 1, 8), TERNARY
    geometry = {"strides": (1,), "pads": (1, 1), "dilations": (1,)}
    split(network(x, drawn(weights, (4, 3, 3)), weights, size=(7,), **geometry), x)


def products(graph: Graph) -> int:
    return sum(op.name in ("q.conv", "q.matmul") for op in graph.ops)


@pytest.mark.parametrize(
    ("x", "weights", "count"),
    [
        (BIPOLAR, TERNARY, 2),
        (TERNARY, TERNARY, 2),
        (ZERO_ONE, ZERO_ONE, 2),  # signs, and the sum of x
        (BIPOLAR, Levels(-7, 1, 15), 4),
        (Levels(0, 1, 16), Levels(-7, 1, 15), 16),
        (Levels(0, 1, 16), Levels(-8, 1, 16), 20),
        (Levels(0, 1, 16), BIPOLAR, 4),
        (Levels(-6, 4, 9), BIPOLAR, 4),  # a multiple of 4 has no bits 0 and 1
    ],
    ids=str,
)
def test_how_many_products(x: Levels, weights: Levels, count: int) -> None:
    assert products(split(network(x, drawn(weights, (9, 8, 3, 3)), weights), x)) == count


def test_equal_opposite_and_constant_planes() -> None:
    three = np.array([[-3, 3, -3, 3]]).T  # both digits of -3, -1, 1, 3 are alike
    assert products(split(network(BIPOLAR, three, Levels(-3, 2, 4), size=(2, 1)), BIPOLAR)) == 1
    ones = np.array([[-1, 1, -1, 1]]).T  # opposite: 2·s - s
    assert products(split(network(BIPOLAR, ones, Levels(-3, 2, 4), size=(2, 1)), BIPOLAR)) == 1
    constant = np.array([[1, -1], [3, -1], [3, -1]])  # 1 and 3 are past the first of two digits, -1 is not
    assert products(split(network(BIPOLAR, constant, Levels(-1, 2, 3), size=(2, 1)), BIPOLAR)) == 2
    all_equal = np.full((3, 2), 5)
    assert products(split(network(TERNARY, all_equal, Levels(0, 5, 2), size=(2, 1)), TERNARY)) == 1


def test_ternary_weights_are_half_of_two_signs() -> None:
    before = parse(
        """
        graph @g(%x: f32[1,3]) -> (%y) {
          %c = q.encode %x {levels = {-1,1}} : code<{-1,1}>[1,3]
          %n = nn.constant {value = dense<f32[3,1]: -1.0, 0.0, 1.0>} : f32[3,1]
          %w = q.encode %n {levels = {-1,0,1}} : code<{-1,0,1}>[3,1]
          %y = q.matmul %c, %w : i32[1,1]
        }
        """
    )
    wanted = parse(
        """
        graph @g(%x: f32[1,3]) -> (%y) {
          %c = q.encode %x {levels = {-1,1}} : code<{-1,1}>[1,3]
          %n = nn.constant {value = dense<f32[3,1]: -1.0, 1.0, 1.0>} : f32[3,1]
          %w = q.encode %n {levels = {-1,1}} : code<{-1,1}>[3,1]
          %a = q.matmul %c, %w : i32[1,1]
          %m = nn.constant {value = dense<f32[3,1]: -1.0, -1.0, 1.0>} : f32[3,1]
          %v = q.encode %m {levels = {-1,1}} : code<{-1,1}>[3,1]
          %b = q.matmul %c, %v : i32[1,1]
          %s = nn.add %a, %b : i32[1,1]
          %two = nn.constant {value = dense<i32[]: 2>} : i32[]
          %y = nn.div %s, %two : i32[1,1]
        }
        """
    )
    after = PLANES.run(before)
    assert plain_text(Graph("g", after.inputs, after.ops, after.outputs)) == plain_text(wanted)
    same_meaning(before, after, levels_in(BIPOLAR))


def test_products_share_the_planes_of_their_activations() -> None:
    b = Builder()
    x = b.input("x", TensorType((1, 3, 4, 4)))
    codes = b.add("q.encode", x, levels=Levels(0, 1, 16))
    ws = [
        b.add("q.encode", b.constant(drawn(BIPOLAR, (2, 3, 1, 1), i).astype(np.float32)), levels=BIPOLAR)
        for i in (0, 1)
    ]
    outputs = [b.add("q.conv", codes, w, **UNPADDED) for w in ws]
    after = PLANES.run(Graph("g", [x], b.ops, outputs))
    assert op_names(after).count("q.plane") == 4
    assert products(after) == 8


def test_pairs_stay_whole_and_are_marked() -> None:
    step = SplitPlanes("avx2", "pairs")
    graph = network(Levels(0, 1, 4), drawn(TERNARY, (4, 3, 3, 3)), TERNARY, pads=(1, 1, 1, 1))
    after = StoreIntegers().run(step.run(graph))
    (product,) = [op for op in after.ops if op.name == "q.conv"]
    assert product.attrs["form"] == "pairs"
    same_meaning(graph, after, levels_in(Levels(0, 1, 4)), runs=1)
    assert "pairs" not in SplitPlanes("portable", "pairs").run(graph).attrs["form_costs"][0][1]
    far = Levels(7, 5, 4)  # what the products differ by does not fit a byte eight times
    for x, w, group in ((Levels(0, 1, 5), TERNARY, 1), (far, far, 1), (TERNARY, TERNARY, 2)):
        other = network(x, drawn(w, (4, 2, 3, 3)), w, group=group)
        assert "pairs" not in step.run(other).attrs["form_costs"][0][1]


def test_what_stays() -> None:
    one_bit = network(BIPOLAR, drawn(BIPOLAR, (2, 3, 3, 3)), BIPOLAR)
    assert products(PLANES.run(one_bit)) == 1
    assert PLANES.run(one_bit).attrs["form_costs"] == ()
    for x, weights in [(Levels(-500, 1, 1001), TERNARY), (BIPOLAR, Levels(-255, 1, 511))]:
        graph = network(x, drawn(weights, (2, 3, 3, 3)), weights)
        after = PLANES.run(graph)
        assert op_names(after) == op_names(graph)
        ((_, text),) = after.attrs["form_costs"]
        assert "planes" not in text
    wide = Levels(-8000, 8000, 2)  # twice the sum would pass int32
    big = network(ZERO_ONE, drawn(wide, (200_000, 1)), wide, size=(1, 1))
    assert op_names(PLANES.run(big)) == op_names(big)


@pytest.mark.parametrize("target", COSTS)
def test_costs_choose(target: str) -> None:
    w = drawn(TERNARY, (64, 64, 3, 3))
    few = network(BIPOLAR, w, TERNARY, size=(8, 8))
    step = SplitPlanes(target)
    ((_, text),) = step.run(few).attrs["form_costs"]
    forms = text.split(", ")
    assert any(form.startswith("1x2 planes") for form in forms)
    planes_win = COSTS[target].bits / 2 > COSTS[target].u8
    assert "integers" in forms[-1 if planes_win else 0]
    bytes_ = Levels(-127, 1, 255)
    many = network(Levels(0, 1, 256), drawn(bytes_, (64, 64, 3, 3)), bytes_, size=(8, 8))
    assert op_names(step.run(many)) == op_names(many)
    assert op_names(SplitPlanes(target, "integers").run(few)) == op_names(few)


@pytest.mark.parametrize("target", COSTS)
def test_bits_of_groups_that_would_fill_words_badly_become_integers(target: str) -> None:
    depthwise = network(BIPOLAR, drawn(BIPOLAR, (128, 1, 3, 3)), BIPOLAR, group=128, size=(14, 14), pads=(1, 1, 1, 1))
    grouped = network(BIPOLAR, drawn(BIPOLAR, (64, 3, 3, 3)), BIPOLAR, group=4, size=(14, 14))
    full = network(BIPOLAR, drawn(BIPOLAR, (64, 128, 3, 3)), BIPOLAR, size=(14, 14))
    for graph, x, found in (
        (depthwise, BIPOLAR, ["q.int_conv"]),
        (grouped, BIPOLAR, ["q.int_conv"]),
        (full, BIPOLAR, ["q.conv"]),
    ):
        after = SplitPlanes(target).run(graph)
        assert [name for name in op_names(after) if name.endswith("conv")] == found
        assert bool(after.attrs["form_costs"]) == (found == ["q.int_conv"])
        same_meaning(graph, after, levels_in(x), runs=1)


@pytest.mark.parametrize("step", [SplitPlanes("risc"), SplitPlanes(form="both")])
def test_options_are_checked(step: SplitPlanes) -> None:
    with pytest.raises(OptionError, match="O025"):
        step.run(parse("graph @g(%x: f32[1]) -> (%x) {\n}"))
