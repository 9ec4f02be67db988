"""``thresholds``: exhaustively over accumulators, and round every threshold found by bisection."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from passes.harness import Inputs, leaves, one_of, op_names, same_meaning, transforms

from bitc.ir import BIPOLAR, Builder, DType, Graph, Levels, TensorType, Value, evaluate
from bitc.ir.types import CodeType
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.coding import Coding, coding_of
from bitc.passes.facts import Finite
from bitc.passes.pads import AbsorbPads
from bitc.passes.thresholds import Thresholds
from bitc.passes.value_sets import ValueSets

F32 = np.float32
POOL = {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0), "dilations": (1, 1)}
ONES = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}
CODES = one_of([-1, 1])


def per_channel(b: Builder, *numbers: float) -> Value:
    return b.constant(np.asarray(numbers, F32).reshape(1, -1, 1, 1))


def scalar(b: Builder, number: float) -> Value:
    return b.constant(np.asarray(number, F32))


def encoded(b: Builder, x: Value) -> Value:
    """``q.encode`` of ``x`` by its proven values, as ``recognise-codes`` does it; decoded again, so that float graphs compare."""
    values = ValueSets().values(x)
    assert values is not None
    levels, scale = (BIPOLAR, 1.0) if set(values) <= {-1, 1} else _levels_of(values)
    return b.add("q.decode", b.add("q.encode", x, levels=levels, scale=scale))


def _levels_of(values: Sequence[float]) -> tuple[Levels, float]:
    found = coding_of(Finite(tuple(values)))
    assert isinstance(found, Coding), found
    return found.levels, found.scale


def run_thresholds(b: Builder, inputs: list[Value], result: Value) -> tuple[Graph, Graph]:
    before = Graph("g", inputs, b.ops, [result])
    return before, Thresholds().run(before)


# The accumulator is a sum over n codes of ±1; input i holds i codes of +1, so the inputs run through its whole domain.

TERMS = 13


def every_sum(channels: int) -> tuple[Builder, Value, Value, list[np.ndarray]]:
    """Builder, input [TERMS + 1, TERMS, 1, 1], accumulator [TERMS + 1, channels, 1, 1] as a float, and the input array."""
    b = Builder()
    x = b.input("x", TensorType((TERMS + 1, TERMS, 1, 1)))
    codes = b.add("q.encode", b.add("nn.assume", x, values=(-1.0, 1.0)), levels=BIPOLAR)
    weights = b.add("q.encode", b.constant(np.ones((channels, TERMS, 1, 1), F32)), levels=BIPOLAR)
    acc = b.add("nn.cast", b.add("q.conv", codes, weights, **ONES), to=DType.F32)
    array = np.where(np.arange(TERMS) < np.arange(TERMS + 1)[:, np.newaxis], 1, -1).astype(F32)
    return b, x, acc, [array.reshape(TERMS + 1, TERMS, 1, 1)]


def check_exhaustively(channels: int, chain: Callable[[Builder, Value], Value], fused: bool = True) -> Graph:
    """The codes of ``chain(acc)`` after the pass equal the float chain's at every accumulator value."""
    b, x, acc, arrays = every_sum(channels)
    before, after = run_thresholds(b, [x], encoded(b, chain(b, acc)))
    if fused:
        assert op_names(after)[-2:] == ["q.threshold", "q.decode"]
        (threshold,) = [op for op in after.ops if op.name == "q.threshold" and op.operands[0].type.shape[1] == channels]
        root = threshold.operands[0].producer
        assert root is not None
        assert root.name == "q.conv", f"the thresholds hang on {root}"
    for old, new in zip(evaluate(before, arrays), evaluate(after, arrays), strict=True):
        assert np.array_equal(old, new)
    return after


GAMMAS = st.one_of(st.sampled_from([0.0, 1e-38, -1e-38, 1e30, -1e30, 1.0, -1.0]), st.floats(-2, 2, width=32))
BETAS = st.one_of(st.sampled_from([0.0, 1e-30, 0.5, -3.0]), st.floats(-8, 8, width=32))


def batch_norm(b: Builder, x: Value, gamma: list[float], beta: list[float], mean: list[float]) -> Value:
    centred = b.add("nn.sub", x, per_channel(b, *mean))
    return b.add("nn.add", b.add("nn.mul", centred, per_channel(b, *gamma)), per_channel(b, *beta))


def where_sign(b: Builder, x: Value) -> Value:
    return b.add("nn.where", b.add("nn.greater_equal", x, scalar(b, 0)), scalar(b, 1), scalar(b, -1))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_batch_norm_with_any_scale_and_shift(data: st.DataObject) -> None:
    draw = lambda numbers: data.draw(st.lists(numbers, min_size=3, max_size=3))  # noqa: E731
    gamma, beta, mean = draw(GAMMAS), draw(BETAS), draw(BETAS)
    check_exhaustively(3, lambda b, acc: where_sign(b, batch_norm(b, acc, gamma, beta, mean)), fused=any(gamma))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_prelu_then_batch_norm(data: st.DataObject) -> None:
    """A negative slope makes the chain fall and rise again: it may be fused only where the whole is monotone after all."""
    slopes = data.draw(st.lists(st.sampled_from([-1.0, -0.25, 0.0, 0.25, 1.0]), min_size=2, max_size=2))
    gamma = data.draw(st.lists(st.sampled_from([-0.7, 0.3, 1.0]), min_size=2, max_size=2))
    beta = data.draw(st.lists(st.floats(-4, 4, width=32), min_size=2, max_size=2))

    def chain(b: Builder, acc: Value) -> Value:
        bent = b.add("nn.prelu", acc, per_channel(b, *slopes))
        return where_sign(b, batch_norm(b, bent, gamma, beta, [0, 0]))

    check_exhaustively(2, chain, fused=False)


@pytest.mark.parametrize("step", [0.5, 1 / 3, 0.1])
@pytest.mark.parametrize("shift", [-0.5, 0.0, 0.3])
def test_two_bit_quantizer_by_clip_and_round(step: float, shift: float) -> None:
    def chain(b: Builder, acc: Value) -> Value:
        y = batch_norm(b, acc, [0.11, -0.07], [shift, shift + 0.5], [0, 1])
        divided = b.add("nn.div", y, scalar(b, step))
        clipped = b.add("nn.min", b.add("nn.max", divided, scalar(b, 0)), scalar(b, 3))
        return b.add("nn.mul", b.add("nn.round", clipped), scalar(b, step))

    after = check_exhaustively(2, chain)
    (threshold,) = [op for op in after.ops if op.name == "q.threshold" and op.attrs["levels"].lo == 0]
    assert threshold.operands[2].constant is not None
    assert threshold.operands[2].constant.tolist() == [False, True], "the second channel falls"


def test_sum_of_comparisons_is_a_two_bit_code() -> None:
    def chain(b: Builder, acc: Value) -> Value:
        steps = [
            b.add("nn.cast", b.add("nn.greater", acc, per_channel(b, *t)), to=DType.F32)
            for t in ((-3, 0), (1, 2), (7, 12))
        ]
        return b.add("nn.add", b.add("nn.add", steps[0], steps[1]), steps[2])

    check_exhaustively(2, chain)


def test_multi_threshold() -> None:
    def chain(b: Builder, acc: Value) -> Value:
        return b.add("nn.multi_threshold", acc, per_channel(b, -3, 0), per_channel(b, 1, 2), per_channel(b, 7, 99))

    check_exhaustively(2, chain)


def test_greater_cast_mul_sub() -> None:
    def chain(b: Builder, acc: Value) -> Value:
        bit = b.add("nn.cast", b.add("nn.greater", acc, per_channel(b, -1, 4)), to=DType.F32)
        return b.add("nn.sub", b.add("nn.mul", bit, scalar(b, 2)), scalar(b, 1))

    check_exhaustively(2, chain)


@pytest.mark.parametrize("levels", [(-1.0, 1.0), (0.0, 1.0), (-0.5, 0.5), (1.0, 3.0)])
def test_choices_of_two_values(levels: tuple[float, float]) -> None:
    low, high = levels

    def chain(b: Builder, acc: Value) -> Value:
        return b.add("nn.where", b.add("nn.less", acc, per_channel(b, 0.5, -5)), scalar(b, low), scalar(b, high))

    check_exhaustively(2, chain)


def test_sign_of_an_odd_accumulator_is_one_plane_and_with_a_reachable_zero_two() -> None:
    one = check_exhaustively(2, lambda b, acc: b.add("nn.sign", acc))
    two = check_exhaustively(2, lambda b, acc: b.add("nn.sign", b.add("nn.sub", acc, per_channel(b, 0, 1))))
    assert [_planes(one), _planes(two)] == [1, 2]


def _planes(graph: Graph) -> int:
    (decode,) = [op for op in graph.ops if op.name == "q.decode"]
    code = decode.operands[0].type
    assert isinstance(code, CodeType)
    return code.levels.planes


@pytest.mark.parametrize("name", ["nn.abs", "square"])
def test_a_chain_that_falls_and_rises_is_not_fused_into_thresholds_on_the_accumulator(name: str) -> None:
    def chain(b: Builder, acc: Value) -> Value:
        bent = b.add("nn.abs", acc) if name == "nn.abs" else b.add("nn.mul", acc, acc)
        return where_sign(b, b.add("nn.sub", bent, scalar(b, 6)))

    after = check_exhaustively(2, chain, fused=False)
    assert ("nn.abs" if name == "nn.abs" else "nn.mul") in op_names(after)


def test_a_bent_chain_that_is_monotone_on_the_reachable_values_is_fused() -> None:
    """|acc + 20| never bends between -13 and 13."""

    def chain(b: Builder, acc: Value) -> Value:
        bent = b.add("nn.abs", b.add("nn.add", acc, scalar(b, 20)))
        return where_sign(b, b.add("nn.sub", bent, scalar(b, 17)))

    check_exhaustively(2, chain)


def test_polynomial_straight_through_estimator() -> None:
    """ApproxSign: piecewise 2x + x², 2x - x² inside (-1, 1), sign outside; its sign is the sign of x."""

    def chain(b: Builder, acc: Value) -> Value:
        x = b.add("nn.mul", acc, scalar(b, 0.125))
        square = b.add("nn.mul", x, x)
        twice = b.add("nn.mul", x, scalar(b, 2))
        inner = b.add(
            "nn.where",
            b.add("nn.less", x, scalar(b, 0)),
            b.add("nn.add", twice, square),
            b.add("nn.sub", twice, square),
        )
        low = b.add("nn.where", b.add("nn.less", x, scalar(b, -1)), scalar(b, -1), inner)
        return b.add("nn.sign", b.add("nn.where", b.add("nn.less", x, scalar(b, 1)), low, scalar(b, 1)))

    check_exhaustively(2, chain)


# Floats: thresholds by bisection.


def round_thresholds(after: Graph) -> np.ndarray:
    """All thresholds on floats, their neighbours, and the numbers where float32 is special."""
    edges = [
        op.operands[1].constant.reshape(-1)
        for op in after.ops
        if op.name == "q.threshold" and op.operands[1].constant is not None and op.operands[1].constant.dtype == F32
    ]
    with np.errstate(over="ignore"):
        near = [np.nextafter(t, F32(way)) for t in edges for way in (-np.inf, np.inf)]
    tiny = np.finfo(F32).smallest_subnormal
    special = np.asarray([0.0, -0.0, tiny, -tiny, 1e-38, -1e-38, 1, -1, 0.5, 3e38, -3e38, np.inf, -np.inf], F32)
    return np.concatenate([*edges, *near, special, np.linspace(-4, 4, 401, dtype=F32)])


def check_floats(
    channels: int, chain: Callable[[Builder, Value], Value], fused: bool = True, infinite: bool = True
) -> Graph:
    b = Builder()
    x = b.input("x", TensorType((1, channels, 1, 1)))
    _, probe = run_thresholds(b, [x], encoded(b, chain(b, x)))
    assert ("q.threshold" in op_names(probe)[:1]) == fused, op_names(probe)
    samples = round_thresholds(probe)
    samples = samples if infinite else samples[np.isfinite(samples)]
    b = Builder()
    x = b.input("x", TensorType((samples.size, channels, 1, 1)))
    before, after = run_thresholds(b, [x], encoded(b, chain(b, x)))
    same_meaning(
        before, after, lambda generator, value: np.broadcast_to(samples.reshape(-1, 1, 1, 1), value.shape), runs=1
    )
    return after


CHAINS: dict[str, Callable[[Builder, Value], Value]] = {
    "sign": lambda b, x: b.add("nn.sign", x),
    "where": where_sign,
    "greater": lambda b, x: b.add("nn.cast", b.add("nn.greater", x, per_channel(b, 0.0, 0.1)), to=DType.F32),
    "less": lambda b, x: b.add("nn.cast", b.add("nn.less", x, per_channel(b, -0.0, 0.1)), to=DType.F32),
    "less_equal": lambda b, x: b.add("nn.cast", b.add("nn.less_equal", x, per_channel(b, 0.0, -1e-40)), to=DType.F32),
    "not greater": lambda b, x: b.add("nn.cast", b.add("nn.not", b.add("nn.greater", x, scalar(b, 0.3))), to=DType.F32),
    "batch norm": lambda b, x: b.add("nn.sign", batch_norm(b, x, [0.3, -1.7], [0.1, 0.2], [0.7, -0.7])),
    "denormal scale": lambda b, x: where_sign(b, batch_norm(b, x, [1e-39, -1e-39], [-1e-39, -1e-39], [0, 0])),
    "floor": lambda b, x: b.add("nn.add", b.add("nn.floor", _clip(b, x, -1, 1 - 2**-10)), scalar(b, 0.5)),
    "round half to even": lambda b, x: b.add("nn.round", _clip(b, x, -1, 2)),
    "ceil": lambda b, x: b.add("nn.ceil", _clip(b, x, -1, 2)),
    "scaled round": lambda b, x: b.add(
        "nn.mul", b.add("nn.round", _clip(b, b.add("nn.div", x, scalar(b, 0.7)), -2, 1)), scalar(b, 0.7)
    ),
    "relu": lambda b, x: b.add("nn.round", b.add("nn.min", b.add("nn.relu", x), scalar(b, 1))),
    "tanh": lambda b, x: b.add("nn.round", b.add("nn.tanh", x)),
    "sum of two paths": lambda b, x: b.add("nn.sign", b.add("nn.add", b.add("nn.relu", x), b.add("nn.floor", x))),
    "choice of bytes": lambda b, x: b.add("nn.cast", _choice(b, x, np.uint8(0), np.uint8(1)), to=DType.F32),
    "choice of bools": lambda b, x: b.add("nn.cast", _choice(b, x, np.False_, np.True_), to=DType.F32),
    "multi threshold": lambda b, x: b.add("nn.multi_threshold", x, per_channel(b, -0.5, 0), per_channel(b, 0.5, 1)),
}


def _choice(b: Builder, x: Value, high: np.generic, low: np.generic) -> Value:
    """``high`` above 0.5, else ``low``; as unsigned bytes the difference wraps round, as bools there is none."""
    return b.add(
        "nn.where", b.add("nn.greater", x, scalar(b, 0.5)), b.constant(np.asarray(high)), b.constant(np.asarray(low))
    )


def _clip(b: Builder, x: Value, lo: float, hi: float) -> Value:
    return b.add("nn.min", b.add("nn.max", x, scalar(b, lo)), scalar(b, hi))


@pytest.mark.parametrize("name", CHAINS)
def test_bisection_finds_the_very_float(name: str) -> None:
    check_floats(2, CHAINS[name])


@pytest.mark.parametrize("beta", [-1.0, 0.0, 2.0])
def test_a_dead_channel_is_constant_at_every_finite_input(beta: float) -> None:
    check_floats(2, lambda b, x: b.add("nn.sign", batch_norm(b, x, [0.0, 1.0], [beta, 0.0], [0, 0])), infinite=False)


@pytest.mark.parametrize("beta", [-1.0, 2.0])
def test_a_dead_channel_behind_a_comparison_is_constant_at_infinity_too(beta: float) -> None:
    """0 * inf is NaN, which compares false: no threshold is above +inf, so the chain stays where its level would be needed there."""
    check_floats(
        2, lambda b, x: where_sign(b, batch_norm(b, x, [0.0, 1.0], [beta, 0.0], [0, 0])), beta > 0, infinite=beta < 0
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_a_level_that_no_number_reaches_is_not_reached_at_infinity(sign: float) -> None:
    """min(±x, 0.25) never rounds to 1, at infinity neither."""

    def chain(b: Builder, x: Value) -> Value:
        low = b.add("nn.min", b.add("nn.mul", x, scalar(b, sign)), scalar(b, 0.25))
        return where_sign(b, b.add("nn.sub", low, per_channel(b, 0.5, 0.0)))

    check_floats(2, chain, fused=False)


@pytest.mark.parametrize(
    "chain",
    [
        lambda b, x: where_sign(b, b.add("nn.sub", b.add("nn.abs", x), scalar(b, 1))),
        lambda b, x: where_sign(b, b.add("nn.sub", b.add("nn.mul", x, x), scalar(b, 1))),
        lambda b, x: where_sign(b, b.add("nn.prelu", x, per_channel(b, 0.5, -0.5))),
        lambda b, x: b.add("nn.sign", b.add("nn.reciprocal", b.add("nn.add", b.add("nn.abs", x), scalar(b, 1)))),
        lambda b, x: b.add("nn.cast", b.add("nn.equal", x, scalar(b, 1)), to=DType.F32),
    ],
    ids=["abs", "square", "prelu", "reciprocal", "equal"],
)
def test_bent_chains_of_floats_keep_their_meaning(chain: Callable[[Builder, Value], Value]) -> None:
    check_floats(2, chain, fused=False)


@pytest.mark.parametrize("name", ["sign", "where", "greater", "round half to even", "multi threshold"])
def test_nan_gets_the_lowest_level(name: str) -> None:
    b = Builder()
    x = b.input("x", TensorType((1, 2, 1, 1)))
    code = encoded(b, CHAINS[name](b, x)).producer.operands[0]  # type: ignore[union-attr]
    after = Thresholds().run(Graph("g", [x], b.ops, [code]))
    (levels,) = evaluate(after, [np.full((1, 2, 1, 1), np.nan, F32)])
    assert isinstance(code.type, CodeType)
    assert (levels == code.type.levels.lo).all()


# Shapes: pools, views, broadcasting.


def image(b: Builder, channels: int = 2, size: int = 4) -> tuple[Value, Value]:
    """An input of ±1 and an accumulator image over it, as a float."""
    x = b.input("x", TensorType((1, 3, size, size)))
    codes = b.add("q.encode", b.add("nn.assume", x, values=(-1.0, 1.0)), levels=BIPOLAR)
    signs = np.random.default_rng(3).choice([-1, 1], (channels, 3, 1, 1)).astype(F32)
    acc = b.add("q.conv", codes, b.add("q.encode", b.constant(signs), levels=BIPOLAR), **ONES)
    return x, b.add("nn.cast", acc, to=DType.F32)


@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 0, 0, 1), (1, 1, 1, 1)])
@pytest.mark.parametrize("ceil", [False, True])
def test_pool_moves_below_the_binarization_with_a_minimum_where_the_chain_falls(
    pads: tuple[int, ...], ceil: bool
) -> None:
    b = Builder()
    x, acc = image(b)
    pooled = b.add("nn.max_pool", acc, kernel=(3, 2), strides=(2, 2), pads=pads, dilations=(1, 1), ceil=ceil)
    before, after = run_thresholds(
        b, [x], encoded(b, where_sign(b, batch_norm(b, pooled, [0.5, -0.5], [0.1, 0.1], [0, 0])))
    )
    assert op_names(after)[-3:] == ["q.threshold", "q.max_pool", "q.decode"]
    (pool,) = [op for op in after.ops if op.name == "q.max_pool"]
    assert pool.operands[1].constant is not None
    assert pool.operands[1].constant.tolist() == [False, True]
    same_meaning(before, after, CODES)


def test_pools_in_a_row_all_move_below() -> None:
    b = Builder()
    x, acc = image(b, size=8)
    value = b.add("nn.max_pool", b.add("nn.mul", acc, per_channel(b, 1, -1)), **POOL)
    value = b.add("nn.max_pool", b.add("nn.neg", value), **POOL)
    before, after = run_thresholds(b, [x], encoded(b, where_sign(b, value)))
    assert op_names(after)[-4:] == ["q.threshold", "q.max_pool", "q.max_pool", "q.decode"]
    same_meaning(before, after, CODES)


def test_pool_above_a_chain_without_direction_stays_a_float_pool() -> None:
    b = Builder()
    x, acc = image(b)
    pooled = b.add("nn.max_pool", acc, **POOL)
    bent = b.add("nn.prelu", pooled, per_channel(b, -1, 0.5))
    before, after = run_thresholds(b, [x], encoded(b, where_sign(b, b.add("nn.sub", bent, scalar(b, 0.5)))))
    assert "nn.max_pool" in op_names(after)
    same_meaning(before, after, CODES)


@pytest.mark.parametrize("stride", [1, 2])
def test_pool_above_a_constant_that_varies_inside_a_channel_stays(stride: int) -> None:
    """Every pixel has a shift of its own, so pool and chain do not commute."""
    b = Builder()
    x, acc = image(b)
    pads = (0, 0, 1, 1) if stride == 1 else (0, 0, 0, 0)
    pooled = b.add("nn.max_pool", acc, kernel=(2, 2), strides=(stride, stride), pads=pads, dilations=(1, 1))
    shift = np.random.default_rng(5).normal(0, 2, (1, 1, *pooled.shape[2:])).astype(F32)
    before, after = run_thresholds(b, [x], encoded(b, where_sign(b, b.add("nn.add", pooled, b.constant(shift)))))
    same_meaning(before, after, CODES)


def test_one_channel_that_broadcasts_to_many() -> None:
    """The root has one channel, the chain gives three: its thresholds cannot hang on the root."""
    b = Builder()
    x, acc = image(b, channels=1)
    before, after = run_thresholds(b, [x], encoded(b, where_sign(b, b.add("nn.add", acc, per_channel(b, -2, 0.5, 2)))))
    same_meaning(before, after, CODES)


def test_one_channel_that_broadcasts_to_many_above_a_pool_and_for_floats() -> None:
    b = Builder()
    x = b.input("x", TensorType((1, 1, 4, 4)))
    pooled = b.add("nn.max_pool", x, **POOL)
    before, after = run_thresholds(b, [x], encoded(b, where_sign(b, b.add("nn.mul", pooled, per_channel(b, -2, 0.5)))))
    same_meaning(before, after)


def test_codes_move_above_views() -> None:
    """reshape, transpose, slice, gather, concat and pad of codes instead of floats."""
    b = Builder()
    x, acc = image(b)
    sign = where_sign(b, b.add("nn.add", acc, per_channel(b, 0.5, -0.5)))
    value = b.add("nn.pad", sign, pads=(0, 0, 1, 1, 0, 0, 0, 0), value=1.0)
    value = b.add("nn.concat", value, b.add("nn.transpose", value, perm=(0, 1, 3, 2)), axis=1)
    value = b.add("nn.slice", value, starts=(0, 1, 0, 4), stops=(1, 4, 5, 0), steps=(1, 1, 1, -1))
    value = b.add("nn.gather", value, indices=np.asarray([2, 0]), axis=1)
    value = b.add("nn.reshape", value, shape=(1, 40))
    before, after = run_thresholds(b, [x], encoded(b, value))
    floats = {
        op.name
        for op in after.ops
        if isinstance(op.result.type, TensorType) and op.name not in ("nn.constant", "nn.assume")
    }
    assert floats == {"q.conv", "q.decode"}, "nothing else is left in numbers"
    same_meaning(before, after, CODES)


@pytest.mark.parametrize("shape", [(4,), (1, 4, 1)])
def test_codes_of_other_ranks(shape: tuple[int, ...]) -> None:
    b = Builder()
    x = b.input("x", TensorType(shape))
    sign = b.add("nn.reshape", where_sign(b, b.add("nn.add", x, scalar(b, 0.5))), shape=(2, 2))
    before, after = run_thresholds(b, [x], encoded(b, sign))
    same_meaning(before, after)


def test_dense_accumulators_with_a_constant_for_each_feature() -> None:
    b = Builder()
    x = b.input("x", TensorType((4, 5)))
    codes = b.add("q.encode", b.add("nn.assume", x, values=(-1.0, 1.0)), levels=BIPOLAR)
    weights = b.add("q.encode", b.constant(np.resize([1, -1, 1], (5, 3)).astype(F32)), levels=BIPOLAR)
    acc = b.add("nn.cast", b.add("q.matmul", codes, weights), to=DType.F32)
    shifted = b.add(
        "nn.add",
        b.add("nn.mul", acc, b.constant(np.asarray([1, -1, 0.5], F32))),
        b.constant(np.asarray([0.5, 1, -1], F32)),
    )
    before, after = run_thresholds(b, [x], encoded(b, where_sign(b, shifted)))
    assert op_names(after)[-3:] == ["q.matmul", "q.threshold", "q.decode"]
    same_meaning(before, after, CODES)


def dense_over_tokens(gelu: bool) -> tuple[Builder, Value, Value]:
    """A dense layer over [2, 4, 5] with a scale and shift of each feature, and perhaps a GELU behind."""
    b = Builder()
    x = b.input("x", TensorType((2, 4, 5)))
    codes = b.add("q.encode", b.add("nn.assume", x, values=(-1.0, 1.0)), levels=BIPOLAR)
    weights = b.add("q.encode", b.constant(np.resize([1, -1, 1], (5, 3)).astype(F32)), levels=BIPOLAR)
    acc = b.add("nn.cast", b.add("q.matmul", codes, weights), to=DType.F32)
    y = b.add("nn.mul", acc, b.constant(np.asarray([0.5, -1, 0.25], F32)))
    y = b.add("nn.add", y, b.constant(np.asarray([[0.5, 1, -1]], F32)))
    if gelu:
        y = b.add("nn.mul", y, b.add("nn.add", b.add("nn.erf", y), scalar(b, 1)))
    return b, x, y


@pytest.mark.parametrize("gelu", [False, True])
def test_channels_that_are_the_last_of_three_axes(gelu: bool) -> None:
    """With the GELU the chain bends below 0, which no sum reaches at a level above the first."""
    b, x, y = dense_over_tokens(gelu)
    before, after = run_thresholds(b, [x], encoded(b, where_sign(b, b.add("nn.sub", y, scalar(b, 0.25)))))
    assert op_names(after)[-5:] == ["q.matmul", "nn.reshape", "q.threshold", "nn.reshape", "q.decode"]
    same_meaning(before, after, CODES)


def test_constants_along_two_axes_stay_a_chain() -> None:
    b, x, y = dense_over_tokens(gelu=False)
    shifts = b.constant(np.arange(12, dtype=F32).reshape(4, 3) / 8)
    before, after = run_thresholds(b, [x], encoded(b, where_sign(b, b.add("nn.sub", y, shifts))))
    assert "nn.add" in op_names(after)
    same_meaning(before, after, CODES)


def test_accumulator_that_is_itself_a_code() -> None:
    """Three codes sum to -3, -1, 1, 3: two bits with no quantizer at all."""
    b = Builder()
    x, acc = image(b)
    before, after = run_thresholds(b, [x], encoded(b, acc))
    assert _planes(after) == 3
    same_meaning(before, after, CODES)


def test_decoded_codes_are_the_codes() -> None:
    transforms(
        """
        graph @g(%x: code<{-1,1} * 0.5>[1,2]) -> (%z) {
          %y = q.decode %x : f32[1,2]
          %z = q.encode %y {levels = {-1,1}, scale = 0.5} : code<{-1,1} * 0.5>[1,2]
        }""",
        Thresholds(),
        "graph @g(%x: code<{-1,1} * 0.5>[1,2]) -> (%x) {}",
    )


def test_sign_of_an_input_is_one_threshold() -> None:
    transforms(
        """
        graph @g(%x: f32[1,2]) -> (%c) {
          %zero = nn.constant {value = dense<f32[]: 0.0>} : f32[]
          %one = nn.constant {value = dense<f32[]: 1.0>} : f32[]
          %minus = nn.constant {value = dense<f32[]: -1.0>} : f32[]
          %b = nn.greater_equal %x, %zero : bool[1,2]
          %y = nn.where %b, %one, %minus : f32[1,2]
          %c = q.encode %y {levels = {-1,1}} : code<{-1,1}>[1,2]
        }""",
        Thresholds(),
        """
        graph @g(%x: f32[1,2]) -> (%c) {
          %t = nn.constant {value = dense<f32[1,1]: -0.0>} : f32[1,1]
          %d = nn.constant {value = dense<bool[1]: false>} : bool[1]
          %c = q.threshold %x, %t, %d {levels = {-1,1}} : code<{-1,1}>[1,2]
        }""",
    )


def test_constants_stay_encoded() -> None:
    leaves(
        """
        graph @g() -> (%c) {
          %w = nn.constant {value = dense<f32[2]: 1.0, -1.0>} : f32[2]
          %c = q.encode %w {levels = {-1,1}} : code<{-1,1}>[2]
        }""",
        Thresholds(),
    )


def test_pad_of_codes_between_sign_and_conv_ends_in_the_conv() -> None:
    b = Builder()
    x, acc = image(b)
    padded = b.add(
        "nn.pad", where_sign(b, b.add("nn.add", acc, scalar(b, 0.5))), pads=(0, 0, 1, 1, 0, 0, 1, 1), value=-1.0
    )
    code = b.add("q.encode", padded, levels=BIPOLAR)
    weights = b.add("q.encode", b.constant(np.resize([1, -1, 1], (2, 2, 3, 3)).astype(F32)), levels=BIPOLAR)
    before, after = run_thresholds(b, [x], b.add("q.conv", code, weights, **ONES))
    after = Canonicalise().run(AbsorbPads().run(after))
    assert "nn.pad" not in op_names(after)
    assert [op.attrs["pad_level"] for op in after.ops if op.name == "q.conv"][-1] == -1
    same_meaning(before, after, CODES)


def free(generator: np.random.Generator, value: Value) -> np.ndarray:
    return generator.normal(0, 1, value.shape).astype(F32)


FREE: Inputs = free


def test_binarization_of_floats_behind_a_pool() -> None:
    b = Builder()
    x = b.input("x", TensorType((1, 2, 4, 4)))
    normed = batch_norm(b, b.add("nn.max_pool", x, **POOL), [1.5, -0.5], [0.1, 0.2], [0.3, 0.4])
    before, after = run_thresholds(b, [x], encoded(b, b.add("nn.sign", normed)))
    assert op_names(after) == ["q.threshold", "q.max_pool", "q.decode"]
    same_meaning(before, after, FREE)


def test_sums_that_would_wrap_far_away_are_searched_where_they_are() -> None:
    """acc · 24 in int32, acc of more values than a table has: beyond them the product wraps round, and means nothing."""
    b = Builder()
    x = b.input("x", TensorType((1, 3), DType.U8))
    weights, base = np.array([[127, -127], [127, -100], [127, 127]], np.int8), np.array([5, -7], np.int32)
    acc = b.add("q.int_matmul", x, b.constant(weights), b.constant(base), highest=255)
    wide = b.add("nn.mul", acc, b.constant(np.array([2**14, -(2**14)], np.int32)))
    shift = b.constant(np.array([2.0**29, 1], F32))
    result = encoded(b, where_sign(b, b.add("nn.sub", b.add("nn.cast", wide, to=DType.F32), shift)))
    before, after = run_thresholds(b, [x], result)
    (threshold,) = (op for op in after.ops if op.name == "q.threshold")
    assert threshold.operands[0].producer is not None
    assert threshold.operands[0].producer.name == "q.int_matmul"
    same_meaning(before, after, lambda generator, value: generator.integers(0, 256, value.shape).astype(np.uint8))


def test_a_product_of_any_integers_may_wrap() -> None:
    """Of an int32 input nothing is known: it is multiplied as the file says."""
    b = Builder()
    x = b.input("x", TensorType((1, 2), DType.I32))
    wide = b.add("nn.cast", b.add("nn.mul", x, b.constant(np.array(24, np.int32))), to=DType.F32)
    before, after = run_thresholds(b, [x], encoded(b, where_sign(b, wide)))
    assert "nn.mul" in op_names(after)
    same_meaning(before, after, lambda generator, value: generator.integers(-(2**31), 2**31, value.shape, np.int32))
