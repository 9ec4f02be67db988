"""``recognise-codes``: what becomes a product of codes, what does not and why, and whether ``exact`` tells the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from passes.harness import one_of, op_names, same_meaning, transforms

from bitc.ir import Builder, Graph, TensorType, Value, evaluate
from bitc.passes.coding import Blocked
from bitc.passes.recognise import Form, RecogniseCodes, recognise
from bitc.passes.value_sets import ValueSets

F32 = np.float32
ONES = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}


def conv(
    weights: np.ndarray, values: Sequence[float] | None = (-1.0, 1.0), size: int = 3, group: int = 1
) -> tuple[Graph, Value]:
    """A graph with one convolution of inputs that are promised to be ``values``; and the convolution's result."""
    b = Builder()
    x = b.input("x", TensorType((2, weights.shape[1] * group, size, size)))
    promised = b.add("nn.assume", x, values=tuple(values)) if values is not None else x
    y = b.add("nn.conv", promised, b.constant(weights.astype(F32)), group=group, **ONES)
    return Graph("g", [x], b.ops, [y]), y


def form_of(y: Value) -> Form | Blocked:
    assert y.producer is not None
    return recognise(y.producer, ValueSets())


def signs(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1, 1], shape).astype(F32)


def test_product_of_signs() -> None:
    transforms(
        """
        graph @g(%x: f32[1,2]) -> (%y) {
          %w = nn.constant {value = dense<f32[2,2]: 1.0, -1.0, -1.0, -1.0>} : f32[2,2]
          %a = nn.assume %x {values = [-1.0, 1.0]} : f32[1,2]
          %y = nn.matmul %a, %w : f32[1,2]
        }""",
        RecogniseCodes(),
        """
        graph @g(%x: f32[1,2]) -> (%y) attrs {why_not_one_bit = []} {
          %a = nn.assume %x {values = [-1.0, 1.0]} : f32[1,2]
          %X = q.encode %a {levels = {-1,1}} : code<{-1,1}>[1,2]
          %w = nn.constant {value = dense<f32[2,2]: 1.0, -1.0, -1.0, -1.0>} : f32[2,2]
          %W = q.encode %w {levels = {-1,1}} : code<{-1,1}>[2,2]
          %acc = q.matmul %X, %W : i32[1,2]
          %y = nn.cast %acc {to = f32} : f32[1,2]
        }""",
        one_of([-1, 1]),
    )


def test_scales_of_activation_and_channels_multiply_the_sum() -> None:
    transforms(
        """
        graph @g(%x: f32[1,1,1,2]) -> (%y) {
          %w = nn.constant {value = dense<f32[2,1,1,1]: 0.25, -3.0>} : f32[2,1,1,1]
          %a = nn.assume %x {values = [0.0, 0.5, 1.0]} : f32[1,1,1,2]
          %y = nn.conv %a, %w {strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1]} : f32[1,2,1,2]
        }""",
        RecogniseCodes(),
        """
        graph @g(%x: f32[1,1,1,2]) -> (%y) attrs {why_not_one_bit = [["", "the activation takes 3 values", ""]]} {
          %a = nn.assume %x {values = [0.0, 0.5, 1.0]} : f32[1,1,1,2]
          %X = q.encode %a {levels = {0,1,2}, scale = 0.5} : code<{0,1,2} * 0.5>[1,1,1,2]
          %w = nn.constant {value = dense<f32[2,1,1,1]: 1.0, -1.0>} : f32[2,1,1,1]
          %W = q.encode %w {levels = {-1,1}} : code<{-1,1}>[2,1,1,1]
          %acc = q.conv %X, %W {strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1]} : i32[1,2,1,2]
          %f = nn.cast %acc {to = f32} : f32[1,2,1,2]
          %s = nn.constant {value = dense<f32[1,2,1,1]: 0.125, 1.5>} : f32[1,2,1,1]
          %y = nn.mul %f, %s : f32[1,2,1,2]
        }""",
        lambda generator, value: generator.choice(
            np.asarray([0.5, 1], F32), value.shape
        ),  # 0 * -3 is -0.0, an integer has no such zero
    )


def test_weights_only_where_a_weight_is_read_about_once() -> None:
    why = '[["", "the activation is not proved to take few values", "the weights alone run as bits"]]'
    transforms(
        """
        graph @g(%x: f32[1,2]) -> (%y) {
          %w = nn.constant {value = dense<f32[2,2]: 0.5, -1.0, -0.5, -1.0>} : f32[2,2]
          %y = nn.matmul %x, %w : f32[1,2]
        }""",
        RecogniseCodes(),
        f"""
        graph @g(%x: f32[1,2]) -> (%y) attrs {{why_not_one_bit = {why}}} {{
          %w = nn.constant {{value = dense<f32[2,2]: 1.0, -1.0, -1.0, -1.0>}} : f32[2,2]
          %W = q.encode %w {{levels = {{-1,1}}}} : code<{{-1,1}}>[2,2]
          %p = q.weight_matmul %x, %W : f32[1,2]
          %s = nn.constant {{value = dense<f32[2]: 0.5, 1.0>}} : f32[2]
          %y = nn.mul %p, %s : f32[1,2]
        }}""",
        lambda generator, value: generator.integers(1, 9, value.shape).astype(F32),
    )


def test_signs_over_a_large_float_image_stay_float() -> None:
    _, y = conv(signs(2, 3, 1, 1), None, size=8)
    found = form_of(y)
    assert isinstance(found, Blocked)
    assert "not proved to take few values" in found.reason
    assert "64 pixels" in found.reason
    assert "--values" in found.hint


@pytest.mark.parametrize("group", [1, 2, 3])
def test_groups(group: int) -> None:
    weights = signs(6, 2, 2, 2) * np.asarray([0.5, 1, 2, 0.25, 1, 4], F32).reshape(-1, 1, 1, 1)
    graph, _ = conv(weights, (-1.0, 1.0), group=group)
    after = RecogniseCodes().run(graph)
    assert "q.conv" in op_names(after)
    same_meaning(graph, after, one_of([-1, 1]))


def test_matmul_of_rank_three() -> None:
    b = Builder()
    x = b.input("x", TensorType((2, 3, 4)))
    y = b.add("nn.matmul", b.add("nn.assume", x, values=(-0.5, 0.5)), b.constant(signs(4, 5) * F32(0.25)))
    graph = Graph("g", [x], b.ops, [y])
    after = RecogniseCodes().run(graph)
    assert op_names(after) == ["nn.assume", "q.encode", "q.encode", "q.matmul", "nn.cast", "nn.mul"]
    same_meaning(graph, after, one_of([-0.5, 0.5]))


def test_products_of_one_value_share_its_codes() -> None:
    b = Builder()
    x = b.input("x", TensorType((1, 3, 4, 4)))
    sign = b.add("nn.assume", x, values=(-1.0, 1.0))
    wide = b.add("nn.conv", sign, b.constant(signs(2, 3, 3, 3)), strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1))
    narrow = b.add("nn.conv", sign, b.constant(signs(2, 3, 1, 1)), **ONES)
    graph = Graph("g", [x], b.ops, [b.add("nn.add", wide, narrow)])
    after = RecogniseCodes().run(graph)
    assert len({op.operands[0] for op in after.ops if op.name == "q.conv"}) == 1
    same_meaning(graph, after, one_of([-1, 1]))


def test_zero_channel_is_a_scale_of_zero() -> None:
    weights = signs(3, 4, 1, 1)
    weights[1] = 0
    graph, y = conv(weights)
    found = form_of(y)
    assert isinstance(found, Form)
    assert found.weights.scales.tolist() == [1, 0, 1]
    x = np.ones((2, 4, 3, 3), F32)
    (result,) = evaluate(RecogniseCodes().run(graph), [x])
    assert (result[:, 1] == 0).all()


REFUSED = {
    "1e-4 apart": (
        signs(2, 3, 1, 1) * np.asarray([1, 1.0001, 1.3], F32).reshape(1, 3, 1, 1),
        "output channel 0 has 3 different weights",
        "quantize",
    ),
    "more than 9 bits": (np.asarray([1, 512, 3], F32).reshape(1, 3, 1, 1), "no small integers", "quantize"),
    "infinite": (np.full((1, 1, 1, 1), np.inf, F32), "not finite", ""),
    "nan": (np.asarray([1, np.nan], F32).reshape(1, 2, 1, 1), "not finite", ""),
}


@pytest.mark.parametrize("why", REFUSED)
def test_weights_that_are_no_codes_stay_float_with_a_reason(why: str) -> None:
    weights, reason, hint = REFUSED[why]
    graph, y = conv(weights)
    found = form_of(y)
    assert isinstance(found, Blocked)
    assert reason in found.reason
    assert hint in found.hint
    assert op_names(RecogniseCodes().run(graph)) == op_names(graph)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((0.0, 1.0, 1.00013), "not evenly spaced"),
        ((2.0,), "constant"),
        (None, "not proved to take few values"),
    ],
)
def test_activations_that_are_no_codes_are_refused_with_a_reason(values: tuple[float, ...] | None, reason: str) -> None:
    _, y = conv(signs(2, 500, 3, 3), values, size=5)
    found = form_of(y)
    assert isinstance(found, Blocked)
    assert reason in found.reason


def test_sums_beyond_int32_stay_float() -> None:
    weights = np.random.default_rng(0).integers(-127, 128, (2, 5000, 3, 3)).astype(F32)
    _, y = conv(weights, (-1000.0, -5.0, 0.0, 3.0, 999.0), size=3)
    found = form_of(y)
    assert isinstance(found, Blocked)
    assert "more than int32 holds" in found.reason


def test_other_operands_are_refused_with_a_reason() -> None:
    b = Builder()
    x, stack = b.input("x", TensorType((2, 3, 4))), b.constant(signs(2, 4, 5))
    found = form_of(b.add("nn.matmul", x, stack))
    assert isinstance(found, Blocked)
    assert "stack of matrices" in found.reason
    found = form_of(b.add("nn.matmul", x, b.input("w", TensorType((4, 5)))))
    assert isinstance(found, Blocked)
    assert "both operands are computed" in found.reason


def test_products_of_integers_are_sums_of_codes_as_they_stand() -> None:
    transforms(
        """
        graph @g(%x: u8[1,2]) -> (%y) {
          %w = nn.constant {value = dense<i32[2,2]: 1, -4, 0, 3>} : i32[2,2]
          %z = nn.constant {value = dense<i32[]: 7>} : i32[]
          %a = nn.cast %x {to = i32} : i32[1,2]
          %b = nn.sub %a, %z : i32[1,2]
          %y = nn.matmul %b, %w : i32[1,2]
        }""",
        RecogniseCodes(),
        """
        graph @g(%x: u8[1,2]) -> (%y) attrs {why_not_one_bit = [WHY]} {
          %z = nn.constant {value = dense<i32[]: 7>} : i32[]
          %a = nn.cast %x {to = i32} : i32[1,2]
          %b = nn.sub %a, %z : i32[1,2]
          %X = q.encode %b {levels = {-7..248}} : code<{-7..248}>[1,2]
          %c = nn.constant {value = dense<f32[2,2]: 1.0, -4.0, 0.0, 3.0>} : f32[2,2]
          %W = q.encode %c {levels = {-4..3}} : code<{-4..3}>[2,2]
          %y = q.matmul %X, %W : i32[1,2]
        }""".replace("WHY", '["", "the activation takes 256 values and the weights take 8 values", ""]'),
    )


MIXED = {
    "ternary weights": (np.asarray([[1, 0, -1], [0.5, 0.5, -0.5]], F32), (-1, 1), "{-1,0,1}", 1),
    "bits by plus minus": (np.asarray([[1, -1, -1], [-0.5, 0.5, -0.5]], F32), (0, 1), "{-1,1}", 1),
    "two by four bits": (np.asarray([[0.1, -0.7, 0.3], [0.4, -0.1, 0]], F32), (0, 1, 2, 3), "{-7..4}", 1),
    "pairs": (np.asarray([[0.3, -0.51, 0.3], [0.223, 0.77, 0.77]], F32), (0, 1), "{-1,1}", 2),
    "powers of two": (np.asarray([[1, -0.5, 0.25], [-2, 0.125, 0]], F32), (-1, 1), "{-16..4}", 1),
    "an offset": (np.asarray([[1, -1, -1], [-1, 1, -1]], F32), (-0.3, 0.71), "{-1,1}", 1),
}


@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 0, 1, 1)])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("case", MIXED)
def test_codes_of_many_kinds(case: str, group: int, pads: tuple[int, ...]) -> None:
    rows, values, levels, products = MIXED[case]
    weights = np.tile(rows.reshape(2, 3, 1, 1), (2, 1, 2, 2))
    b = Builder()
    x = b.input("x", TensorType((1, 3 * group, 4, 4)))
    promised = b.add("nn.assume", x, values=tuple(map(float, values)))
    attrs = {**ONES, "pads": pads, "group": group}
    before = Graph("g", [x], b.ops, [b.add("nn.conv", promised, b.constant(weights), **attrs)])
    after = RecogniseCodes().run(before)
    made = [op for op in after.ops if op.name == "q.conv"]
    assert len(made) == products
    assert str(made[0].operands[1].type.levels) == levels
    array = np.random.default_rng(1).choice(np.asarray(values, F32), x.shape)
    wanted = evaluate(Graph("g", [x], before.ops, before.outputs), [array])[0].astype(np.float64)
    np.testing.assert_allclose(evaluate(after, [array])[0], wanted, rtol=0, atol=2e-6 * np.abs(weights).sum())


# ``exact``: float32 sums in any order give the same bits, and these are the bits of scale * integer sum.


def float32_sums(x: np.ndarray, weights: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """x [n, k] times weights [k] in float32: forwards, backwards, shuffled, in halves, by sign."""
    terms = x * weights
    order = generator.permutation(terms.shape[1])
    by_size = np.argsort(np.abs(terms[0]) * np.sign(terms[0]), kind="stable")

    def running(a: np.ndarray) -> np.ndarray:
        return np.add.accumulate(a, axis=1, dtype=F32)[:, -1]

    half = terms.shape[1] // 2
    halves = running(terms[:, :half]) + running(terms[:, half:]) if half else running(terms)
    return [running(terms), running(terms[:, ::-1]), running(terms[:, order]), running(terms[:, by_size]), halves]


MAGNITUDES = (1.0, 0.5, 0.1, 3.0, 0.75, 1 - 2**-20, 1 - 2**-12, 1e-30, 2.0**-120, 2.0**100)
VALUES = (
    *((-1, 1), (0, 1), (-1, 0, 1), (-0.1, 0.1), (0, 1 / 3, 2 / 3, 1), (-1.5, -0.5, 0.5, 1.5), (1e-20, 3e-20)),
    *((0, 0.5, 1 + 2**-23), (-1, 1 + 2**-22)),  # levels up to rounding
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_exact_means_equal_bits_in_any_order(data: st.DataObject) -> None:
    k = data.draw(st.sampled_from([1, 2, 7, 31, 64, 300]))
    magnitude = F32(data.draw(st.sampled_from(MAGNITUDES)))
    values = data.draw(st.sampled_from(VALUES))
    values = tuple(float(F32(v)) for v in values)
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    weights = generator.choice([-1, 1], k).astype(F32) * magnitude
    if data.draw(st.booleans()):
        weights[0] = np.nextafter(weights[0], F32(np.inf))
    b = Builder()
    x = b.input("x", TensorType((6, k)))
    y = b.add("nn.matmul", b.add("nn.assume", x, values=values), b.constant(weights[:, np.newaxis]))
    found = form_of(y)
    if isinstance(found, Blocked) or not found.exact:
        return
    array = generator.choice(np.asarray(values, F32), (6, k))
    array[0] = values[-1] if abs(values[-1]) > abs(values[0]) else values[0]
    array[0] *= np.sign(weights) * np.sign(array[0]) if values[0] == -values[-1] else 1
    (codes,) = evaluate(RecogniseCodes().run(Graph("g", [x], b.ops, [y])), [array])
    for result in float32_sums(array, weights, generator):
        assert np.array_equal(result, codes[:, 0])


@pytest.mark.parametrize(
    ("values", "magnitude", "terms", "exact"),
    [
        ((-1.0, 1.0), 1.0, 4608, True),
        ((-1.0, 1.0), 0.25, 4608, True),
        ((-0.5, 0.5), 3.0, 4608, True),
        ((-1.0, 1.0), 0.1, 1, True),  # one term: the product alone
        ((-1.0, 1.0), 0.1, 3, False),
        ((-1.0, 1.0), (2**20 - 1) / 2**20, 16, True),
        ((-1.0, 1.0), (2**20 - 1) / 2**20, 31, False),  # 31 * (2^20 - 1) has 25 bits
        ((0.0, 0.25, 0.5, 0.75), 1.0, 1000, True),
        ((0.0, float(F32(1 / 3)), float(F32(2 / 3)), 1.0), 1.0, 9, False),
        ((-1.0, 1.0 + 2**-23), 1.0, 9, False),  # taken as ±1, but not it
        ((-(2.0**-100), 2.0**-100), 2.0**-40, 9, False),  # denormal products
    ],
)
def test_exact(values: tuple[float, ...], magnitude: float, terms: int, exact: bool) -> None:
    b = Builder()
    x = b.add("nn.assume", b.input("x", TensorType((1, terms))), values=values)
    found = form_of(b.add("nn.matmul", x, b.constant(signs(terms, 2) * F32(magnitude))))
    assert isinstance(found, Form)
    assert found.exact == exact


def test_weights_an_ulp_apart_are_not_exact() -> None:
    weights = signs(1, 5, 1, 1) * F32(0.5)
    weights[0, 0] = np.nextafter(weights[0, 0], F32(2))
    _, y = conv(weights)
    found = form_of(y)
    assert isinstance(found, Form)
    assert not found.exact


def test_levels_off_centre_are_put_back_among_the_integers() -> None:
    """Sums of 0..65025 near 0: what is subtracted for 16 bits is far larger than the result, which must not be rounded for it."""
    b = Builder()
    x = b.input("x", TensorType((2, 2)))
    levels = b.add("nn.round", b.add("nn.min", b.add("nn.relu", x), b.constant(np.float32(65025))))
    weights = np.array([[1.0, -0.53766924], [-1.0, 0.53766924]], np.float32)
    graph = Graph("g", [x], b.ops, [b.add("nn.matmul", levels, b.constant(weights))])
    after = RecogniseCodes().run(graph)
    assert "q.matmul" in op_names(after)
    (found,) = evaluate(after, [np.array([[6, 6], [65025, 65024]], np.float32)])
    np.testing.assert_array_equal(found, [[0, 0], [1, -np.float32(0.53766924)]])


BOTH_COMPUTED = """
        graph @g(%x: f32[2,3,4], %y: f32[2,4,5]) -> (%z) {{
          %a = nn.assume %x {{values = {left}}} : f32[2,3,4]
          %b = nn.assume %y {{values = {right}}} : f32[2,4,5]
          %z = nn.matmul %a, %b : f32[2,3,5]
        }}"""


def test_product_of_two_activations() -> None:
    transforms(
        BOTH_COMPUTED.format(left=[0.0, 0.5], right=[-1.0, 0.0, 1.0]),
        RecogniseCodes(),
        """
        graph @g(%x: f32[2,3,4], %y: f32[2,4,5]) -> (%z)
            attrs {why_not_one_bit = [["", "the other one takes 3 values", ""]]} {
          %a = nn.assume %x {values = [0.0, 0.5]} : f32[2,3,4]
          %b = nn.assume %y {values = [-1.0, 0.0, 1.0]} : f32[2,4,5]
          %rows = nn.reshape %a {shape = [6,4]} : f32[6,4]
          %turned = nn.transpose %b {perm = [0,2,1]} : f32[2,5,4]
          %columns = nn.reshape %turned {shape = [10,4]} : f32[10,4]
          %X = q.encode %rows {levels = {0,1}, scale = 0.5} : code<{0,1} * 0.5>[6,4]
          %Y = q.encode %columns {levels = {-1,0,1}} : code<{-1,0,1}>[10,4]
          %acc = q.dots %X, %Y {stack = 2} : i32[2,3,5]
          %f = nn.cast %acc {to = f32} : f32[2,3,5]
          %s = nn.constant {value = dense<f32[]: 0.5>} : f32[]
          %z = nn.mul %f, %s : f32[2,3,5]
        }""",
        lambda rng, value: rng.choice([0, 0.5] if value.name == "x" else [-1, 0, 1], value.shape).astype(F32),
    )


def test_product_of_two_activations_of_many_levels() -> None:
    """Matrices of integers, as they stand: their stacks may be unlike."""
    transforms(
        """
        graph @g(%x: f32[2,3,12,32], %y: f32[3,32,48]) -> (%z) {
          %l = nn.constant {value = dense<f32[]: -8.0>} : f32[]
          %h = nn.constant {value = dense<f32[]: 7.0>} : f32[]
          %a = nn.round %x : f32[2,3,12,32]
          %b = nn.max %a, %l : f32[2,3,12,32]
          %c = nn.min %b, %h : f32[2,3,12,32]
          %d = nn.assume %y {values = [0.0, 0.25, 0.5, 0.75, 1.0]} : f32[3,32,48]
          %z = nn.matmul %c, %d : f32[2,3,12,48]
        }""",
        RecogniseCodes("avx2"),
        """
        graph @g(%x: f32[2,3,12,32], %y: f32[3,32,48]) -> (%z)
            attrs {why_not_one_bit = [["", "the activation takes 16 values and the other one takes 5 values", ""]]} {
          %l = nn.constant {value = dense<f32[]: -8.0>} : f32[]
          %h = nn.constant {value = dense<f32[]: 7.0>} : f32[]
          %a = nn.round %x : f32[2,3,12,32]
          %b = nn.max %a, %l : f32[2,3,12,32]
          %c = nn.min %b, %h : f32[2,3,12,32]
          %d = nn.assume %y {values = [0.0, 0.25, 0.5, 0.75, 1.0]} : f32[3,32,48]
          %X = q.encode %c {levels = {-8..7}} : code<{-8..7}>[2,3,12,32]
          %Y = q.encode %d {levels = {0..4}, scale = 0.25} : code<{0..4} * 0.25>[3,32,48]
          %acc = q.gemm %X, %Y : i32[2,3,12,48]
          %f = nn.cast %acc {to = f32} : f32[2,3,12,48]
          %s = nn.constant {value = dense<f32[]: 0.25>} : f32[]
          %z = nn.mul %f, %s : f32[2,3,12,48]
        }""",
        lambda rng, value: (
            rng.choice([0, 0.25, 0.5, 0.75, 1], value.shape).astype(F32)
            if value.name == "y"
            else rng.normal(0, 6, value.shape).astype(F32)
        ),
    )


def test_a_transpose_before_the_right_side_is_undone() -> None:
    b = Builder()
    x, y = b.input("x", TensorType((2, 3, 4))), b.input("y", TensorType((2, 5, 4)))
    left, right = (b.add("nn.sign", side) for side in (x, y))
    z = b.add("nn.matmul", left, b.add("nn.transpose", right, perm=(0, 2, 1)))
    graph = Graph("g", [x, y], b.ops, [z])
    after = RecogniseCodes().run(graph)
    same_meaning(graph, after)
    assert "q.dots" in op_names(after)
    dots = next(op for op in after.ops if op.name == "q.dots")
    for side in dots.operands:
        assert side.producer is not None
        assert side.producer.operands[0].producer.name == "nn.reshape"  # type: ignore[union-attr]
        assert side.producer.operands[0].producer.operands[0].producer.name == "nn.sign"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("left", "right", "shape", "reason"),
    [
        ((-1.0, 1.0), (0.2, 0.7123), (2, 4, 5), "not multiples of one number"),
        ((-1.0, 1.0), (0.0, 1.0, 2.0, 3.0, 4.0), (2, 4, 5), "of 2 and 5 values: as integers the product would take"),
        ((-1.0, 1.0), (0.0, 1.0), (3, 2, 4, 5), "of 2 and 2 values: as integers the product would take"),
        ((-1.0, 1.0), None, (2, 4, 5), "its right one is not proved to take few values"),
    ],
)
def test_why_two_activations_stay_numbers(
    left: tuple[float, ...], right: tuple[float, ...] | None, shape: tuple[int, ...], reason: str
) -> None:
    b = Builder()
    x, y = b.input("x", TensorType((2, 3, 4))), b.input("y", TensorType(shape))
    promised = b.add("nn.assume", y, values=right) if right is not None else y
    z = b.add("nn.matmul", b.add("nn.assume", x, values=left), promised)
    found = form_of(z)
    assert isinstance(found, Blocked)
    assert reason in found.reason


def test_sums_of_two_activations_fit_int32() -> None:
    b = Builder()
    x, y = (b.input(name, TensorType((64, 64))) for name in "xy")
    wide = [
        b.add("nn.min", b.add("nn.max", b.add("nn.round", side), b.constant(F32(-20000))), b.constant(F32(20000)))
        for side in (x, y)
    ]
    assert wide[0].producer is not None
    found = form_of(b.add("nn.matmul", *wide))
    assert isinstance(found, Blocked)
    assert "sums of products of levels reach 51200000000" in found.reason


@pytest.mark.parametrize(
    ("isa", "depth", "perm", "op"),
    [
        ("avx2", 16, (0, 1, 2), "q.dots"),
        ("avx2", 64, (0, 1, 2), "q.dots"),
        ("avx2", 16, (1, 0, 2), "q.gemm"),
        ("portable", 16, (1, 0, 2), "q.dots"),
    ],
)
def test_few_levels_are_bits_unless_integers_are_known_to_be_faster(
    isa: str, depth: int, perm: tuple[int, ...], op: str
) -> None:
    """Words that must be taken apart for a transpose take longer than bytes."""
    b = Builder()
    shape = tuple((4, 33, depth)[axis] for axis in perm)
    x, y = (b.input(name, TensorType(shape)) for name in "xy")
    left, right = (b.add("nn.assume", side, values=(-1.0, 1.0)) for side in (x, y))
    if perm != (0, 1, 2):
        left, right = (b.add("nn.transpose", side, perm=perm) for side in (left, right))
    graph = Graph("g", [x, y], b.ops, [b.add("nn.matmul", left, b.add("nn.transpose", right, perm=(0, 2, 1)))])
    after = RecogniseCodes(isa).run(graph)
    same_meaning(graph, after, one_of([-1, 1]))
    assert op in op_names(after)
