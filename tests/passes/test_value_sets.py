"""Soundness of the value-set analysis: whatever the inputs, every element lies in its fact. And how sharp the facts are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from passes.harness import any_input, one_of

from bitc.ir import BIPOLAR, TERNARY, Builder, DType, Graph, Levels, TensorType, Value, evaluate
from bitc.passes.facts import Fact, Finite, Integers, Range, bounds
from bitc.passes.value_sets import ValueSets

F32 = np.float32


def holds(fact: Fact, array: np.ndarray) -> bool:
    """Whether every element that is a number lies in ``fact``."""
    numbers = array.astype(np.float64)
    numbers = numbers[~np.isnan(numbers)]
    match fact:
        case None:
            return True
        case Finite(values=values):
            return bool(np.isin(numbers, values).all())
        case Integers(lo=lo, hi=hi, step=step, scale=scale):
            k = numbers / scale
            return bool(((k == np.rint(k)) & (k >= lo) & (k <= hi) & ((k - lo) % step == 0)).all())
        case Range(lo=lo, hi=hi, whole=whole):
            return bool(
                ((numbers >= lo) & (numbers <= hi)).all() and (not whole or (numbers == np.rint(numbers)).all())
            )
    raise AssertionError(fact)


def check_facts(graph: Graph, inputs: list[np.ndarray]) -> None:
    sets = ValueSets()

    def look(value: Value, array: np.ndarray) -> None:
        fact = sets.of(value)
        assert holds(fact, array), f"{value} made by {value.producer}: {fact} misses {np.unique(array)[:8]}"

    with np.errstate(all="ignore"):
        evaluate(graph, inputs, look)


CONSTANTS = [-2.0, -1.0, -0.5, 0.0, 0.25, 0.1, 1.0, 3.0, 300.0, 2.0**-20, -np.inf]
UNARY = ["sign", "abs", "neg", "relu", "floor", "ceil", "round", "sqrt", "exp", "reciprocal", "tanh", "sigmoid", "erf"]
BINARY = ["add", "sub", "mul", "div", "min", "max"]
COMPARE = ["greater", "greater_equal", "less", "less_equal", "equal"]
FLOATS = [DType.F16, DType.F32, DType.F64]
SHAPE = (3, 2, 4, 4)
SOURCES: list[tuple[float, ...]] = [
    (-1, 1),
    (0, 1),
    (-1, 0, 1),
    (0, 1 / 3, 2 / 3, 1),
    (0.1, 1.1),
    (-0.75, 0.25, 5),
    (2,),
]


def _source(
    b: Builder, data: st.DataObject, name: str
) -> tuple[Value, Callable[[np.random.Generator, Value], np.ndarray]]:
    """A graph input and how to draw it: free floats, a promised set, or whole bytes."""
    kind = data.draw(st.sampled_from(["free", "set", "accumulator", "u8"]))
    if kind == "free":
        return b.input(name, TensorType(SHAPE)), any_input
    if kind == "u8":
        return b.add("nn.cast", b.input(name, TensorType(SHAPE, DType.U8)), to=DType.F32), any_input
    values = tuple(float(F32(v)) for v in data.draw(st.sampled_from(SOURCES)))
    promised = b.add("nn.assume", b.input(name, TensorType(SHAPE)), values=values)
    if kind == "set":
        return promised, one_of(values)
    weights = np.random.default_rng(len(b.ops)).choice([-1, 1], (2, 2, 3, 3)).astype(F32)
    attrs = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1)}
    return b.add("nn.conv", promised, b.constant(weights), **attrs), one_of(values)


def _grow(b: Builder, data: st.DataObject, pool: list[Value]) -> Value:
    """One more op on random values of ``pool``."""
    x = data.draw(st.sampled_from(pool))
    if x.type.dtype is DType.BOOL:  # type: ignore[union-attr]
        kind = data.draw(st.sampled_from(["not", "and", "cast", "where"]))
        if kind == "not":
            return b.add("nn.not", x)
        if kind == "cast":
            return b.add("nn.cast", x, to=data.draw(st.sampled_from([*FLOATS, DType.I32])))
        if kind == "and":
            same = [v for v in pool if v.type == x.type]
            return b.add(data.draw(st.sampled_from(["nn.and", "nn.or", "nn.xor"])), x, data.draw(st.sampled_from(same)))
        return b.add("nn.where", x, _other(b, data, pool, DType.F32), _other(b, data, pool, DType.F32))
    dtype = x.type.dtype  # type: ignore[union-attr]
    if not dtype.is_float:
        return b.add("nn.cast", x, to=data.draw(st.sampled_from(FLOATS)))
    kind = data.draw(
        st.sampled_from(["unary", "binary", "binary", "compare", "cast", "pool", "move", "prelu", "levels"])
    )
    match kind:
        case "unary":
            return b.add("nn." + data.draw(st.sampled_from(UNARY)), x)
        case "binary":
            pair = [x, _other(b, data, pool, dtype)]
            return b.add("nn." + data.draw(st.sampled_from(BINARY)), *data.draw(st.permutations(pair)))
        case "compare":
            return b.add("nn." + data.draw(st.sampled_from(COMPARE)), x, _other(b, data, pool, dtype))
        case "cast":
            return b.add("nn.cast", x, to=data.draw(st.sampled_from([*FLOATS, DType.BOOL])))
        case "pool":
            attrs = {"kernel": (3, 3), "strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1)}
            return b.add("nn.max_pool", x, **attrs)
        case "move":
            padded = b.add(
                "nn.pad", x, pads=(0, 0, 1, 0, 0, 0, 0, 0), value=data.draw(st.sampled_from([0.0, 0.1, -3.0]))
            )
            bounds = {"starts": (0, 0, 0, 0), "stops": SHAPE, "steps": (1, 1, 1, 1)}
            return b.add("nn.slice", padded, **bounds)
        case "prelu":
            return b.add("nn.prelu", x, _other(b, data, [], dtype))
        case _:
            edges = [b.constant(np.asarray(v, dtype.numpy)) for v in (-1.5, 0.0, 0.5)]
            return b.add("nn.multi_threshold", x, *edges)


def _other(b: Builder, data: st.DataObject, pool: list[Value], dtype: DType) -> Value:
    """A second operand: a value of the pool, or a constant (one, or one a channel)."""
    same = [v for v in pool if v.type.dtype is dtype]  # type: ignore[union-attr]
    if same and data.draw(st.booleans()):
        return data.draw(st.sampled_from(same))
    shape = data.draw(st.sampled_from([(), (1, 2, 1, 1), (2, 1, 1), (1, 1, 4, 4)]))
    count = int(np.prod(shape))
    numbers = data.draw(st.lists(st.sampled_from(CONSTANTS), min_size=count, max_size=count))
    return b.constant(np.asarray(numbers, dtype.numpy).reshape(shape))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_every_element_lies_in_its_fact(data: st.DataObject, seed: int) -> None:
    b = Builder()
    pool, draws = [], []
    for index in range(data.draw(st.integers(1, 2))):
        value, draw = _source(b, data, f"x{index}")
        pool.append(value)
        draws.append(draw)
    for _ in range(data.draw(st.integers(1, 8))):
        pool.append(_grow(b, data, pool))
    inputs = _inputs(pool, len(draws))
    generator = np.random.default_rng(seed)
    graph = Graph("g", inputs, b.ops, [pool[-1]])
    check_facts(graph, [draw(generator, value) for draw, value in zip(draws, inputs, strict=True)])


def _inputs(pool: list[Value], count: int) -> list[Value]:
    """The graph inputs that the first ``count`` values of ``pool`` hang on."""
    found = []
    for value in pool[:count]:
        while value.producer is not None:
            value = value.producer.operands[0]
        found.append(value)
    return found


LEVELS = st.builds(Levels, st.integers(-4, 4), st.integers(1, 3), st.integers(2, 5))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data(), x_levels=LEVELS, w_levels=st.sampled_from([BIPOLAR, TERNARY, Levels(0, 1, 2), Levels(1, 2, 2)]))
def test_accumulators_of_codes_lie_in_their_fact(data: st.DataObject, x_levels: Levels, w_levels: Levels) -> None:
    """Also with groups, odd channel counts, uneven pads, pad levels of any value, and images smaller than the window."""
    group, per_group, out_per_group = (data.draw(st.integers(1, 3)) for _ in range(3))
    h, w, kh, kw = (data.draw(st.integers(1, 3)) for _ in range(4))
    pads = [data.draw(st.integers(0, 2)) for _ in range(4)]
    pads[2] = max(pads[2], kh - h - pads[0])
    pads[3] = max(pads[3], kw - w - pads[1])
    b = Builder()
    x = b.add("q.encode", b.input("x", TensorType((1, group * per_group, h, w))), levels=x_levels)
    generator = np.random.default_rng(data.draw(st.integers(0, 999)))
    weights = generator.choice(w_levels.values(), (group * out_per_group, per_group, kh, kw)).astype(F32)
    codes = b.add("q.encode", b.constant(weights), levels=w_levels)
    attrs = {"strides": (1, 1), "pads": tuple(pads), "dilations": (1, 1), "group": group}
    acc = b.add("q.conv", x, codes, pad_level=data.draw(st.integers(-3, 3)), **attrs)
    graph = Graph("g", [x.producer.operands[0]], b.ops, [b.add("nn.cast", acc, to=DType.F32)])  # type: ignore[union-attr]
    draw = one_of([float(v) for v in x_levels.values()])
    for _ in range(4):
        check_facts(graph, [draw(generator, graph.inputs[0])])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_products_of_numbers_lie_in_their_fact(data: st.DataObject) -> None:
    values = data.draw(
        st.sampled_from([(-1, 1), (0, 1), (-0.5, 0.5), (-1, 0, 1), (0, 0.25, 0.5, 0.75), (0, 1 / 3), (3,), (-3, 5)])
    )
    values = tuple(float(F32(v)) for v in values)
    weight_values = data.draw(st.sampled_from([(-1, 1), (-0.25, 0.25), (0, 1), (-1, 0, 1), (0.75,), (-0.5, 1.5)]))
    rows, terms, columns = (data.draw(st.integers(1, 5)) for _ in range(3))
    b = Builder()
    x = b.input("x", TensorType((rows, terms)))
    generator = np.random.default_rng(data.draw(st.integers(0, 999)))
    weights = b.constant(generator.choice(weight_values, (terms, columns)).astype(F32))
    y = b.add("nn.matmul", b.add("nn.assume", x, values=values), weights)
    for _ in range(4):
        check_facts(Graph("g", [x], b.ops, [y]), [one_of(values)(generator, x)])


def _fact(
    build: Callable[[Builder, Value], Value], promised: tuple[float, ...] | None = None, shape: tuple[int, ...] = (1, 3)
) -> Fact:
    b = Builder()
    x = b.input("x", TensorType(shape))
    return ValueSets().of(build(b, b.add("nn.assume", x, values=promised) if promised else x))


def _weights(b: Builder, channels: int = 3, kernel: int = 1) -> Value:
    return b.constant(np.resize([1, -1], (2, channels, kernel, kernel)).astype(F32))


@pytest.mark.parametrize(
    ("channels", "pad", "promised", "wanted"),
    [
        (3, 0, (-1.0, 1.0), Integers(-3, 3, 2)),  # odd: the accumulator is never 0
        (4, 0, (-1.0, 1.0), Integers(-4, 4, 2)),
        (4, 1, (-1.0, 1.0), Integers(-36, 36, 2)),  # a padded pixel takes an even count away
        (3, 1, (-1.0, 1.0), Integers(-27, 27, 1)),  # or an odd one
        (3, 0, (0.0, 1.0), Integers(-3, 3, 1)),
        (3, 0, (-1.0, 0.0, 1.0), Integers(-3, 3, 1)),
        (3, 0, (-0.5, 0.5), Integers(-3, 3, 2, 0.5)),
        (3, 0, (0.0, 0.5, 1.0), Integers(-6, 6, 1, 0.5)),
    ],
)
def test_parity_of_accumulators(channels: int, pad: int, promised: tuple[float, ...], wanted: Integers) -> None:
    kernel = 3 if pad else 1
    attrs = {"strides": (1, 1), "pads": (pad,) * 4, "dilations": (1, 1)}

    def conv(b: Builder, x: Value) -> Value:
        return b.add("nn.conv", x, _weights(b, channels, kernel), **attrs)

    assert _fact(conv, promised, (1, channels, 4, 4)) == wanted


def test_sums_that_float32_may_round_have_bounds_only() -> None:
    def conv(b: Builder, x: Value) -> Value:
        return b.add("nn.matmul", x, b.constant(np.full((3, 1), 2.0**22 + 1, F32)))

    found = _fact(conv, (1.0, 3.0))
    assert isinstance(found, Range)
    assert 9 * (2.0**22 + 1) <= found.hi < 9.001 * 2.0**22
    assert isinstance(_fact(conv, (-1.0, 1.0)), Integers)


@pytest.mark.parametrize(("scale", "most"), [(2.0**-100, 3 * 2.0**-148), (2.0**100, None)])
def test_sums_that_underflow_have_bounds_and_those_that_overflow_none(scale: float, most: float | None) -> None:
    found = _fact(lambda b, x: b.add("nn.matmul", x, b.constant(np.full((3, 1), scale, F32))), (-scale, scale))
    assert (found is None) if most is None else (isinstance(found, Range) and most <= found.hi <= 2 * most)


def test_sign_of_an_odd_sum_is_never_zero_but_of_an_even_one_may_be() -> None:
    def sign(columns: int) -> Callable[[Builder, Value], Value]:
        return lambda b, x: b.add("nn.sign", b.add("nn.matmul", x, b.constant(np.ones((columns, 2), F32))))

    assert _fact(sign(3), (-1.0, 1.0), (1, 3)) == Finite((-1.0, 1.0))
    assert _fact(sign(4), (-1.0, 1.0), (1, 4)) == Finite((-1.0, 0.0, 1.0))


def test_sign_of_a_shifted_sum_is_tabulated_with_the_graph_s_own_rounding() -> None:
    """acc * 0.1 - 0.9 at acc = 9 is not 0 in float32: 9 * 0.1 rounds to a neighbour of 0.9."""
    zero_at_nine = F32(9) * F32(0.1)
    assert F32(0.9) != zero_at_nine

    def chain(shift: float) -> Callable[[Builder, Value], Value]:
        def build(b: Builder, x: Value) -> Value:
            acc = b.add("nn.matmul", x, b.constant(np.ones((9, 1), F32)))
            return b.add("nn.sign", b.add("nn.sub", b.add("nn.mul", acc, b.constant(F32(0.1))), b.constant(F32(shift))))

        return build

    assert _fact(chain(0.9), (-1.0, 1.0), (1, 9)) == Finite((-1.0, 1.0))
    assert _fact(chain(float(zero_at_nine)), (-1.0, 1.0), (1, 9)) == Finite((-1.0, 0.0))


@pytest.mark.parametrize("stride", [1, 2])
def test_a_sum_of_two_pools_is_no_function_of_one_element(stride: int) -> None:
    """Each pool may pick another element: -3 + 3 is reachable although 2 * acc is never 0."""
    b = Builder()
    x = b.add("nn.assume", b.input("x", TensorType((1, 3, 4, 4))), values=(-1.0, 1.0))
    acc = b.add("nn.conv", x, b.constant(np.ones((1, 3, 1, 1), F32)), strides=(1, 1), pads=(0,) * 4, dilations=(1, 1))
    pools = [
        b.add("nn.max_pool", acc, kernel=(k, k), strides=(stride, stride), pads=(0, 0, k - 1, k - 1), dilations=(1, 1))
        for k in (1, 2)
    ]
    total = b.add("nn.sign", b.add("nn.add", *pools))
    assert 0.0 in (ValueSets().values(total) or (0.0,))


def test_pools_one_after_another_keep_the_table() -> None:
    b = Builder()
    x = b.add("nn.assume", b.input("x", TensorType((1, 3, 4, 4))), values=(-1.0, 1.0))
    value = b.add("nn.conv", x, b.constant(np.ones((1, 3, 1, 1), F32)), strides=(1, 1), pads=(0,) * 4, dilations=(1, 1))
    for _ in range(2):
        value = b.add("nn.max_pool", value, kernel=(2, 2), strides=(1, 1), pads=(0,) * 4, dilations=(1, 1))
        value = b.add("nn.mul", value, b.constant(F32(-2)))
    assert ValueSets().values(b.add("nn.sign", value)) == (-1.0, 1.0)


def test_both_zeros_are_thought_of() -> None:
    assert 0.0 == -0.0  # one value in a set, two for a division
    reciprocal = _fact(lambda b, x: b.add("nn.reciprocal", x), (0.0, 1.0))
    assert reciprocal == Finite((-np.inf, 1.0, np.inf))


def test_nan_in_a_set_or_a_table_means_no_fact() -> None:
    assert _fact(lambda b, x: b.add("nn.div", x, x), (0.0, 1.0)) is None
    assert _fact(lambda b, x: b.add("nn.sqrt", x), (-1.0, 1.0)) is None
    assert _fact(lambda b, x: b.constant(np.asarray([1, np.nan], F32))) is None
    assert _fact(lambda b, x: b.add("nn.add", b.add("nn.sign", x), b.constant(F32(np.nan)))) is None


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (lambda b, x: b.add("nn.sign", x), Finite((-1.0, 0.0, 1.0))),
        (lambda b, x: b.add("nn.greater", x, b.constant(F32(0.3))), Finite((0.0, 1.0))),
        (lambda b, x: b.add("nn.sigmoid", x), Range(0.0, 1.0)),
        (lambda b, x: b.add("nn.tanh", x), Range(-1.0, 1.0)),
        (lambda b, x: b.add("nn.round", b.add("nn.sigmoid", x)), Finite((0.0, 1.0))),
        (lambda b, x: b.add("nn.floor", x), Range(-np.inf, np.inf, True)),
        (
            lambda b, x: b.add("nn.multi_threshold", x, *(b.constant(F32(v)) for v in (0, 1, 2))),
            Finite((0.0, 1.0, 2.0, 3.0)),
        ),
        (lambda b, x: b.add("nn.add", x, b.constant(F32(1))), None),
        (lambda b, x: _scattered(b, x, "none"), Finite((-1.0, 0.0, 0.5, 1.0))),
        (lambda b, x: _scattered(b, x, "add"), None),
        (lambda b, x: _minifloat(b, x), Integers(-12, 12, 1, 0.5)),
        (lambda b, x: _minifloat(b, b.add("nn.relu", x)), Integers(0, 12, 1, 0.5)),
        (lambda b, x: _minifloat(b, b.add("nn.tanh", x)), Integers(-2, 2, 1, 0.5)),
        (lambda b, x: _minifloat(b, x, overflow=float("inf")), None),
        (lambda b, x: _minifloat(b, x, mantissa_bits=3, bias=20, max=480.0, overflow=480.0), None),
    ],
)
def test_facts_of_free_floats(build: Callable[[Builder, Value], Value], wanted: Fact) -> None:
    assert _fact(build) == wanted


def _scattered(b: Builder, x: Value, reduction: str) -> Value:
    """Signs with one element replaced by, or combined with, a half."""
    at, half = b.constant(np.zeros((1, len(x.shape)), np.int64)), b.constant(np.array([0.5], F32))
    return b.add("nn.scatter_nd", b.add("nn.sign", x), at, half, reduction=reduction)


def _minifloat(b: Builder, x: Value, **changed: float) -> Value:
    """E2M1, which saturates at 6."""
    return b.add("nn.minifloat", x, **{"mantissa_bits": 1, "bias": 1, "max": 6.0, "overflow": 6.0, **changed})


def _clip(b: Builder, x: Value, lo: float, hi: float) -> Value:
    return b.add("nn.min", b.add("nn.max", x, b.constant(F32(lo))), b.constant(F32(hi)))


def test_clip_and_round_quantizers_are_few_values_in_either_order() -> None:
    def rounded_last(b: Builder, x: Value) -> Value:
        return b.add(
            "nn.mul", b.add("nn.round", _clip(b, b.add("nn.div", x, b.constant(F32(0.5))), 0, 3)), b.constant(F32(0.5))
        )

    def clipped_last(b: Builder, x: Value) -> Value:
        return _clip(b, b.add("nn.round", x), -2, 1)

    assert _fact(rounded_last) == Finite((0.0, 0.5, 1.0, 1.5))
    assert _fact(clipped_last) == Finite((-2.0, -1.0, 0.0, 1.0))


def test_a_cast_to_a_narrower_float_rounds_its_bounds() -> None:
    def build(b: Builder, x: Value) -> Value:
        wide = b.add("nn.max", b.add("nn.cast", x, to=DType.F64), b.constant(np.asarray(0.1)))
        return b.add("nn.cast", b.add("nn.min", wide, b.constant(np.asarray(0.7))), to=DType.F16)

    assert _fact(build) == Range(float(np.float16(0.1)), float(np.float16(0.7)))


def test_integers_too_large_for_half_precision_are_not_claimed() -> None:
    def build(b: Builder, x: Value) -> Value:
        acc = b.add("nn.matmul", x, b.constant(np.full((3, 1), 1025, F32)))
        return b.add("nn.cast", acc, to=DType.F16)

    assert not isinstance(_fact(build, (-1.0, 1.0)), Integers)


@pytest.mark.parametrize(
    ("shift", "divisor", "wanted"),
    [
        (0, 2, Integers(-150, 150)),
        (300, 4, Integers(0, 150)),
        (3, 2, Integers(-148, 151)),
        (1, 3, Integers(-99, 100)),
        (0, -2, None),
        (0, 0, None),
    ],
)
def test_quotients_of_integers(shift: int, divisor: int, wanted: Fact) -> None:
    b = Builder()
    x = b.input("x", TensorType((1, 300, 2, 2)))
    codes = b.add("q.encode", x, levels=BIPOLAR)
    w = b.add("q.encode", b.constant(np.ones((3, 300, 1, 1), F32)), levels=BIPOLAR)
    sums = b.add("q.conv", codes, w, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1))
    quotient = b.add("nn.div", b.add("nn.add", sums, b.constant(np.int32(shift))), b.constant(np.int32(divisor)))
    assert ValueSets().of(quotient) == wanted
    if wanted is not None:
        draw, generator = one_of([-1, 1]), np.random.default_rng(0)
        check_facts(Graph("g", [x], b.ops, [quotient]), [draw(generator, x)])


def test_what_is_known_holds_for_a_copy() -> None:
    b = Builder()
    x = b.input("x", TensorType((2,)))
    y, copy = b.add("nn.sign", x), b.add("nn.sign", x)
    sets = ValueSets()
    sets.adopt(y, copy)  # nothing is known yet
    known = sets.of(y)
    sets.adopt(y, copy)
    assert sets.of(copy) is known


def _or(b: Builder, x: Value, y: Value, one: Value, two: Value) -> Value:
    return b.add("nn.sub", b.add("nn.add", x, y), b.add("nn.mul", x, y))


def _exclusive(b: Builder, x: Value, y: Value, one: Value, two: Value) -> Value:
    both = b.add("nn.mul", b.add("nn.mul", x, y), two)
    return b.add("nn.sub", b.add("nn.add", x, y), both)


def _three(b: Builder, x: Value, y: Value, one: Value, two: Value) -> Value:
    """x of two, and y where it is 0."""
    return b.add("nn.add", b.add("nn.mul", x, two), b.add("nn.mul", b.add("nn.sub", one, x), y))


@pytest.mark.parametrize(("build", "wanted"), [(_or, (0.0, 1.0)), (_exclusive, (0.0, 1.0)), (_three, (0.0, 1.0, 2.0))])
def test_operands_that_go_together(build: Callable[..., Value], wanted: tuple[float, ...]) -> None:
    """Residuals of spikes: a + b is 2 only where a·b is 1."""
    b, levels = Builder(), (0.0, 1.0)
    x, y = (b.add("nn.assume", b.input(name, TensorType(SHAPE)), values=levels) for name in "xy")
    made = build(b, x, y, b.constant(F32(1)), b.constant(F32(2)))
    assert ValueSets().of(made) == Finite(wanted)
    rng = np.random.default_rng(0)
    inputs = [given for value in (x, y) if (given := value.producer.operands[0] if value.producer else None)]
    check_facts(Graph("g", inputs, b.ops, [made]), [one_of(levels)(rng, given) for given in inputs])


def test_operands_that_go_together_for_some_channels_are_not_evaluated_for_all() -> None:
    b = Builder()
    x, y = (b.add("nn.assume", b.input(name, TensorType(SHAPE)), values=(0.0, 1.0)) for name in "xy")
    weights = b.constant(np.array([1, 2], np.float32).reshape(1, 2, 1, 1))
    both = b.add("nn.mul", b.add("nn.mul", x, y), weights)
    assert ValueSets().of(b.add("nn.sub", b.add("nn.add", x, y), both)) == Finite((-2.0, -1.0, 0.0, 1.0, 2.0))


def test_a_zero_between_is_of_either_sign() -> None:
    """0 stands for -0.0 too, whose square is 0.0: 1 / x² is infinite on one side."""
    b = Builder()
    x = b.add("nn.assume", b.input("x", TensorType(SHAPE)), values=(0.0, 2.0))
    y = b.add("nn.div", b.constant(F32(1)), b.add("nn.mul", x, x))
    found = ValueSets().of(b.add("nn.sub", b.add("nn.add", y, x), b.add("nn.mul", x, b.constant(F32(2)))))
    assert holds(found, np.array([np.inf, -1.75]))


CLIPS = {
    "a clip from above": ("less", 2.5, False, (-1, 2.5)),
    "a clip from below": ("greater", 0.5, False, (0.5, 9)),
    "the other branch": ("greater_equal", 2.5, True, (-1, 2.5)),
    "nothing below": ("greater", -2.5, False, (-1, 9)),
    "nothing above": ("less_equal", 9.5, False, (-1, 9)),
}


@pytest.mark.parametrize("name", CLIPS)
def test_a_choice_by_comparison_is_a_clip(name: str) -> None:
    comparison, limit, turned, wanted = CLIPS[name]
    b = Builder()
    x = b.input("x", TensorType((1, 16)))
    clipped = b.add("nn.min", b.add("nn.max", x, b.constant(F32(-1))), b.constant(F32(9)))
    c = b.constant(F32(limit))
    chosen = (c, clipped) if turned else (clipped, c)
    y = b.add("nn.where", b.add(f"nn.{comparison}", clipped, c), *chosen)
    assert bounds(ValueSets().of(y)) == wanted
    check_facts(Graph("g", [x], b.ops, [y]), [np.linspace(-4, 12, 16, dtype=F32)[np.newaxis]])
