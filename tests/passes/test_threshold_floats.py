"""``thresholds`` on floats: round every threshold found by bisection."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from passes.chains import (
    F32,
    batch_norm,
    encoded,
    per_channel,
    run_thresholds,
    scalar,
    where_sign,
)
from passes.harness import op_names, same_meaning

from bitc.ir import Builder, DType, Graph, TensorType, Value, evaluate
from bitc.ir.types import CodeType
from bitc.passes.thresholds import Thresholds


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
