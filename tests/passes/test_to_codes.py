"""Whole small networks through ``to_codes``: the imported meaning bit for bit, and one ``q`` graph whatever the spelling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from passes.harness import assert_same_bits, op_names, same_meaning

from bitc.ir import Builder, DType, Graph, TensorType, Value, evaluate
from bitc.ir.intervals import evaluate_intervals
from bitc.passes import to_codes
from bitc.passes.assume import assume_values
from bitc.passes.exactness import exactness
from bitc.passes.pipeline import run_passes

F32 = np.float32
SignOf = Callable[[Builder, Value], Value]
POOL = {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0), "dilations": (1, 1)}


def scalar(b: Builder, number: float) -> Value:
    return b.constant(np.asarray(number, F32))


def _where(b: Builder, x: Value) -> Value:
    return b.add("nn.where", b.add("nn.greater_equal", x, scalar(b, 0)), scalar(b, 1), scalar(b, -1))


def _where_less(b: Builder, x: Value) -> Value:
    return b.add("nn.where", b.add("nn.less", x, scalar(b, 0)), scalar(b, -1), scalar(b, 1))


def _compare_cast_mul_sub(b: Builder, x: Value) -> Value:
    bit = b.add("nn.cast", b.add("nn.greater_equal", x, scalar(b, 0)), to=DType.F32)
    return b.add("nn.sub", b.add("nn.mul", bit, scalar(b, 2)), scalar(b, 1))


def _not_less_halves(b: Builder, x: Value) -> Value:
    bit = b.add("nn.cast", b.add("nn.not", b.add("nn.less", x, scalar(b, 0))), to=DType.F32)
    return b.add("nn.mul", b.add("nn.sub", bit, scalar(b, 0.5)), scalar(b, 2))


def _bipolar_quant(b: Builder, x: Value) -> Value:
    scale = scalar(b, 1)
    return b.add("nn.where", b.add("nn.greater_equal", x, scalar(b, 0)), scale, b.add("nn.neg", scale))


def _multi_threshold(b: Builder, x: Value) -> Value:
    return b.add("nn.add", b.add("nn.mul", b.add("nn.multi_threshold", x, scalar(b, 0)), scalar(b, 2)), scalar(b, -1))


def _floor_of_clip(b: Builder, x: Value) -> Value:
    """floor(clip(x)) is -1 or 0."""
    clipped = b.add("nn.min", b.add("nn.max", x, scalar(b, -1)), scalar(b, 0.5))
    return b.add("nn.add", b.add("nn.mul", b.add("nn.floor", clipped), scalar(b, 2)), scalar(b, 1))


def _straight_through(b: Builder, x: Value) -> Value:
    clipped = b.add("nn.min", b.add("nn.max", x, scalar(b, -1)), scalar(b, 1))
    return b.add("nn.add", b.add("nn.sub", _where(b, x), clipped), clipped)


SPELLINGS: dict[str, SignOf] = {
    "where": _where,
    "where less": _where_less,
    "compare, cast, mul, sub": _compare_cast_mul_sub,
    "not less, halves": _not_less_halves,
    "bipolar quant": _bipolar_quant,
    "multi threshold": _multi_threshold,
    "floor of clip": _floor_of_clip,
    "straight through": _straight_through,
}


class Network:
    """A random network, the same for the same seed whatever ``sign`` is; weights ±a, and a is a power of two where sums are exact."""

    def __init__(self, sign: SignOf, seed: int, exact: bool = True) -> None:
        self.b = Builder()
        self.exact = exact
        self.sign = lambda x: sign(self.b, x)
        self.random = np.random.default_rng(seed)

    def build(self, blocks: list[str], batch: int) -> Graph:
        x = self.b.input("x", TensorType((batch, 3, 8, 8)))
        value = self.batch_norm(self.conv(self.sign(x), 5))
        for block in blocks:
            value = getattr(self, block)(value)
        return Graph("net", [x], self.b.ops, [self.dense(value)])

    def _channels(self, x: Value, numbers: np.ndarray) -> Value:
        return self.b.constant(numbers.astype(F32).reshape(1, x.shape[1], 1, 1))

    def _whole(self, numbers: np.ndarray) -> np.ndarray:
        return np.rint(numbers) if self.exact else numbers

    def conv(self, x: Value, channels: int, stride: int = 1, pad: int = 1, group: int = 1) -> Value:
        kernel = (min(3, x.shape[2] + 2 * pad),) * 2
        scale = 2.0 ** self._whole(self.random.uniform(-3, 1, (channels, 1, 1, 1)))
        weights = self.random.choice([-1, 1], (channels, x.shape[1] // group, *kernel)) * scale
        attrs = {"strides": (stride,) * 2, "pads": (pad,) * 4, "dilations": (1, 1), "group": group}
        return self.b.add("nn.conv", x, self.b.constant(weights.astype(F32)), **attrs)

    def batch_norm(self, x: Value) -> Value:
        gamma, beta = self.random.normal(0, 0.3, x.shape[1]), self.random.normal(0, 1, x.shape[1])
        return self.b.add("nn.add", self.b.add("nn.mul", x, self._channels(x, gamma)), self._channels(x, beta))

    def plain(self, x: Value) -> Value:
        return self.batch_norm(self.conv(self.sign(x), 4))

    def strided(self, x: Value) -> Value:
        return self.batch_norm(self.conv(self.sign(x), 6, stride=2))

    def bare(self, x: Value) -> Value:
        """No normalisation: the sign of an accumulator that may be 0."""
        return self.conv(self.sign(x), 6, pad=0) if x.shape[2] > 2 else x

    def depthwise(self, x: Value) -> Value:
        return self.batch_norm(self.conv(self.sign(x), x.shape[1], group=x.shape[1]))

    def residual(self, x: Value) -> Value:
        return self.b.add("nn.add", x, self.batch_norm(self.conv(self.sign(x), x.shape[1])))

    def pool(self, x: Value) -> Value:
        return self.b.add("nn.max_pool", x, **POOL) if x.shape[2] > 1 else x

    def pool_of_signs(self, x: Value) -> Value:
        return self.batch_norm(self.conv(self.pool(self.sign(x)), 4))

    def padded(self, x: Value) -> Value:
        """An explicit pad of signs by -1, as frameworks without padding write it."""
        signs = self.b.add("nn.pad", self.sign(x), pads=(0, 0, 1, 1, 0, 0, 1, 1), value=-1.0)
        return self.batch_norm(self.conv(signs, 4, pad=0))

    def prelu(self, x: Value) -> Value:
        return self.b.add("nn.prelu", x, self._channels(x, self.random.choice([0.25, 0.1, 1.5], x.shape[1])))

    def bent(self, x: Value) -> Value:
        return self.b.add("nn.prelu", x, self._channels(x, self.random.choice([-0.5, 0.25], x.shape[1])))

    def channels_last(self, x: Value) -> Value:
        moved = self.b.add("nn.transpose", x, perm=(0, 2, 3, 1))
        shifted = self.b.add("nn.add", moved, self.b.constant(self.random.normal(0, 1, x.shape[1]).astype(F32)))
        return self.b.add("nn.transpose", shifted, perm=(0, 3, 1, 2))

    def two_bits(self, x: Value) -> Value:
        """Quantized to 0 .. 3 halves."""
        half = scalar(self.b, 0.5)
        positive = self.b.add("nn.max", self.b.add("nn.div", x, half), scalar(self.b, 0))
        whole = self.b.add("nn.round", self.b.add("nn.min", positive, scalar(self.b, 3)))
        return self.batch_norm(self.conv(self.b.add("nn.mul", whole, half), 4))

    def dense(self, x: Value) -> Value:
        size = int(np.prod(x.shape[1:]))
        flat = self.b.add("nn.reshape", self.sign(x), shape=(x.shape[0], size))
        weights = (self.random.choice([-1, 1], (size, 7)) * (0.25 if self.exact else 0.1)).astype(F32)
        logits = self.b.add("nn.matmul", flat, self.b.constant(weights))
        return self.b.add("nn.add", logits, self.b.constant(self.random.normal(0, 1, 7).astype(F32)))


BLOCKS = [
    *(
        "plain",
        "strided",
        "bare",
        "depthwise",
        "residual",
        "pool",
        "pool_of_signs",
        "padded",
        "prelu",
        "bent",
        "channels_last",
    ),
    "two_bits",
]


def compiled(graph: Graph, sign_zero: str = "exact") -> Graph:
    return run_passes(graph, to_codes(sign_zero))


def floats(generator: np.random.Generator, value: Value) -> np.ndarray:
    return generator.normal(0, 1, value.shape).astype(F32)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    blocks=st.lists(st.sampled_from(BLOCKS), max_size=5),
    spelling=st.sampled_from(sorted(SPELLINGS)),
    seed=st.integers(0, 2**32),
    batch=st.sampled_from([1, 2]),
)
def test_networks_keep_their_bits(blocks: list[str], spelling: str, seed: int, batch: int) -> None:
    graph = Network(SPELLINGS[spelling], seed).build(blocks, batch)
    after = compiled(graph)
    allowed = ("the activation is a constant", "the activation takes ")
    assert all(reason.startswith(allowed) for _, reason, _ in after.attrs["why_not_one_bit"])
    assert exactness(after).exact(after.outputs[0])
    same_meaning(graph, after, floats, runs=2)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(blocks=st.lists(st.sampled_from(BLOCKS), max_size=4), seed=st.integers(0, 2**32))
def test_networks_that_round_stay_within_the_rounding(blocks: list[str], seed: int) -> None:
    """Scales that are no powers of two: the integer sum, scaled once, lies where some order of float32 summation may end."""
    graph = Network(_where, seed, exact=False).build(blocks, 1)
    after = compiled(graph)
    assert not exactness(after).exact(after.outputs[0])
    x = floats(np.random.default_rng(seed), graph.inputs[0])
    (result,) = evaluate(after, [x])
    assert evaluate_intervals(graph, [x])[graph.outputs[0]].holds(result).all()


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if name != "where"])
def test_spellings_of_one_network_are_one_q_graph(block: str, spelling: str) -> None:
    wanted = compiled(Network(SPELLINGS["where"], 0).build([block, "pool"], 1))
    got = compiled(Network(SPELLINGS[spelling], 0).build([block, "pool"], 1))
    assert op_names(got) == op_names(wanted)
    assert_same_tables(got, wanted)


def assert_same_tables(got: Graph, wanted: Graph) -> None:
    """The same thresholds, weights, scales and border tables, in order."""
    tables = [[op.attrs["value"] for op in g.ops if op.name == "nn.constant"] for g in (got, wanted)]
    assert len(tables[0]) == len(tables[1])
    for a, b in zip(*tables, strict=True):
        assert_same_bits(a, b)


def test_ops_of_a_plain_network() -> None:
    after = compiled(Network(_compare_cast_mul_sub, 1).build(["plain", "pool"], 1))
    assert op_names(after) == [
        *("q.threshold", "q.encode", "q.conv", "q.border"),
        *("q.threshold", "q.encode", "q.conv", "q.border"),
        *("q.threshold", "q.max_pool", "q.encode", "q.conv", "nn.cast", "nn.mul", "nn.add", "nn.reshape"),
    ]


@pytest.mark.parametrize("sign_zero", ["exact", "plus", "minus"])
def test_onnx_sign_with_its_zero(sign_zero: str) -> None:
    """Sign(0) = 0 is a third level where 0 is reachable; declared away, the network is the one spelled with Where."""
    graph = Network(lambda b, x: b.add("nn.sign", x), 3).build(["bare", "plain"], 1)
    after = compiled(graph, sign_zero)
    same = after
    if sign_zero == "exact":
        same_meaning(graph, after, floats)
        same_meaning(graph, after, lambda generator, value: generator.integers(-1, 2, value.shape).astype(F32))
    else:
        compare = "nn.greater_equal" if sign_zero == "plus" else "nn.greater"
        spelled = Network(
            lambda b, x: b.add("nn.where", b.add(compare, x, scalar(b, 0)), scalar(b, 1), scalar(b, -1)), 3
        )
        same = compiled(spelled.build(["bare", "plain"], 1))
        same_meaning(same, after, floats)
    planes = [op.attrs["levels"].planes for op in after.ops if op.name == "q.threshold"]
    assert planes == ([2, 1, 1, 1] if sign_zero == "exact" else [1, 1, 1, 1])
    assert op_names(same) == op_names(after)


def test_promised_inputs_are_codes_from_the_start() -> None:
    b = Builder()
    x = b.input("x", TensorType((1, 2, 8, 8)))
    weights = np.random.default_rng(0).choice([-1, 1], (3, 2, 3, 3)).astype(F32)
    y = b.add("nn.conv", x, b.constant(weights), strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1))
    graph = Graph("g", [x], b.ops, [y])
    assert "nn.conv" in op_names(compiled(graph))
    after = compiled(assume_values(graph, {"x": [0.0, 1.0]}))
    assert op_names(after) == ["q.threshold", "q.encode", "q.conv", "nn.cast"]
    same_meaning(graph, after, lambda generator, value: generator.integers(0, 2, value.shape).astype(F32))


def test_weights_behind_their_own_sign_fold() -> None:
    """Latent weights binarized in the graph, scaled by a mean computed in the graph."""
    b = Builder()
    x = b.input("x", TensorType((1, 4)))
    latent = b.constant(np.asarray([[0.3, -0.2], [-0.1, 0.4], [0.5, 0.6], [-0.7, -0.8]], F32))
    scale = b.add("nn.reduce_max", b.add("nn.abs", latent), axes=(0,), keepdims=True)
    weights = b.add("nn.mul", _where(b, latent), scale)
    y = b.add("nn.matmul", _where(b, x), weights)
    graph = Graph("g", [x], b.ops, [y])
    after = compiled(graph)
    assert op_names(after) == ["q.threshold", "q.encode", "q.matmul", "nn.cast", "nn.mul"]
    arrays = [np.asarray([[1, -2, 3, -4]], F32)]
    assert np.allclose(evaluate(graph, arrays)[0], evaluate(after, arrays)[0], rtol=1e-6), (
        "0.7 and 0.8 are no dyadic scales"
    )
