"""``thresholds`` behind pools and views, with broadcasting, and over rows; what is code already."""

from __future__ import annotations

import numpy as np
import pytest
from passes.chains import (
    CODES,
    F32,
    ONES,
    POOL,
    batch_norm,
    encoded,
    image,
    per_channel,
    planes,
    run_thresholds,
    scalar,
    where_sign,
)
from passes.harness import Inputs, leaves, op_names, same_meaning, transforms

from bitc.ir import BIPOLAR, Builder, DType, TensorType, Value
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.pads import AbsorbPads
from bitc.passes.thresholds import Thresholds


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
    assert planes(after) == 3
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
