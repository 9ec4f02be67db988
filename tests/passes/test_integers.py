"""``store-integers``: which products become products of integer tensors, how levels are stored, and that nothing changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from passes.harness import op_names, same_meaning, transforms

from bitc.errors import OptionError
from bitc.ir import Builder, DType, Graph, Levels, TensorType, Value
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.integers import StoreIntegers
from bitc.passes.recognise import RecogniseCodes

ONES = {"strides": (1, 1), "dilations": (1, 1)}


def codes(b: Builder, x: Value, levels: Levels, scale: float) -> Value:
    """``x`` as a quantizer leaves it: scale times one of the levels."""
    whole = b.add("nn.round", b.add("nn.div", x, b.constant(np.float32(scale))))
    low = b.add("nn.max", whole, b.constant(np.float32(levels.lo)))
    clipped = b.add("nn.min", low, b.constant(np.float32(levels.hi)))
    return b.add("nn.mul", clipped, b.constant(np.float32(scale)))


def network(
    levels: Levels, weights: tuple[int, int], pads: Sequence[int] = (1, 0, 1, 1), group: int = 1, bias: bool = True
) -> Graph:
    """A quantizer, a convolution of its codes, a bias in integers would be too much to ask: one in floats."""
    generator = np.random.default_rng(3)
    b = Builder()
    x = b.input("x", TensorType((1, 2 * group, 5, 4)))
    w = generator.integers(weights[0], weights[1] + 1, (4, 2, 3, 2)).astype(np.float32) * np.float32(0.25)
    y = b.add("nn.conv", codes(b, x, levels, 0.5), b.constant(w), **ONES, pads=pads, group=group)
    if bias:
        y = b.add("nn.add", y, b.constant(generator.normal(size=(1, 4, 1, 1)).astype(np.float32)))
    return Graph("g", [x], b.ops, [y])


def activations(generator: np.random.Generator, value: Value) -> np.ndarray:
    return generator.normal(0, 30, value.shape).astype(np.float32)


@pytest.mark.parametrize("isa", ["portable", "avx2"])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 0, 1, 1)])
@pytest.mark.parametrize(
    ("levels", "weights", "fits_u8"),
    [
        (Levels(0, 1, 256), (-127, 127), True),
        (Levels(-128, 1, 256), (-128, 127), True),
        (Levels(-8, 1, 16), (-1, 1), True),
        (Levels(0, 1, 5), (-7, 7), True),
        (Levels(-255, 1, 511), (-127, 127), False),
        (Levels(-128, 1, 256), (-255, 255), False),
        (Levels(3, 1, 9), (-3, 3), True),
    ],
)
def test_meaning_is_kept(
    levels: Levels, weights: tuple[int, int], fits_u8: bool, pads: Sequence[int], group: int, isa: str
) -> None:
    before = RecogniseCodes().run(network(levels, weights, pads, group))
    after = StoreIntegers(isa).run(before)
    (product,) = (op for op in after.ops if op.name == "q.int_conv")
    zero_is_held = not any(pads) or levels.lo <= 0
    few_bits = 3 * 2 * (levels.hi - levels.lo) * max(map(abs, weights)) < 1 << 15
    wanted = DType.U8 if (isa == "portable" or few_bits) and fits_u8 and zero_is_held else DType.I16
    assert product.operands[0].type.dtype is wanted
    assert "q.conv" not in op_names(after)
    same_meaning(before, after, activations)


def test_levels_are_taken_from_where_they_were_made() -> None:
    transforms(
        """
        graph @g(%x: u8[1,2]) -> (%y) {
          %z = nn.constant {value = dense<f32[]: 128.0>} : f32[]
          %s = nn.constant {value = dense<f32[]: 0.1>} : f32[]
          %n = nn.constant {value = dense<f32[2,1]: 3.0, -5.0>} : f32[2,1]
          %f = nn.cast %x {to = f32} : f32[1,2]
          %c = nn.sub %f, %z : f32[1,2]
          %a = nn.mul %c, %s : f32[1,2]
          %X = q.encode %a {levels = {-128..127}, scale = 0.10000000149011612} : code<{-128..127} * 0.10000000149011612>[1,2]
          %W = q.encode %n {levels = {-5..3:8}} : code<{-5,3}>[2,1]
          %y = q.matmul %X, %W : i32[1,1]
        }""".replace("{-5..3:8}", "{-5,3}"),
        StoreIntegers(),
        """
        graph @g(%x: u8[1,2]) -> (%y) {
          %b = nn.constant {value = dense<i32[1]: 256>} : i32[1]
          %w = nn.constant {value = dense<i8[2,1]: 3, -5>} : i8[2,1]
          %y = q.int_matmul %x, %w, %b {highest = 255} : i32[1,1]
        }""",
    )


def test_a_bias_in_integers_joins_the_sum() -> None:
    b = Builder()
    x = b.input("x", TensorType((1, 2, 3, 3), DType.U8))
    wide = b.add("nn.cast", x, to=DType.I32)
    w = np.random.default_rng(0).integers(-127, 128, (3, 2, 2, 2)).astype(np.int32)
    y = b.add("nn.conv", wide, b.constant(w), **ONES, pads=(0, 0, 0, 0))
    y = b.add("nn.add", y, b.constant(np.asarray([5, -7, 11], np.int32).reshape(1, 3, 1, 1)))
    before = Graph("g", [x], b.ops, [y])
    after = StoreIntegers().run(RecogniseCodes().run(before))
    assert op_names(after) == ["q.int_conv"]
    assert after.ops[-1].operands[2].constant is not None
    assert after.ops[-1].operands[2].constant.tolist() == [5, -7, 11]
    same_meaning(before, after)


def test_a_sum_that_others_read_keeps_its_bias_apart() -> None:
    b = Builder()
    x = b.input("x", TensorType((1, 3), DType.U8))
    w = b.constant(np.asarray([[1], [2], [-9]], np.int32))
    y = b.add("nn.matmul", b.add("nn.cast", x, to=DType.I32), w)
    z = b.add("nn.add", y, b.constant(np.asarray([4], np.int32)))
    after = StoreIntegers().run(RecogniseCodes().run(Graph("g", [x], b.ops, [y, z])))
    assert op_names(after) == ["q.int_matmul", "nn.add"]


@pytest.mark.parametrize(("isa", "storage"), [("portable", DType.U8), ("avx2", DType.I16)])
def test_pools_and_views_move_the_stored_integers(isa: str, storage: DType) -> None:
    b = Builder()
    x = b.input("x", TensorType((1, 2, 4, 4)))
    pool = {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0), "dilations": (1, 1)}
    pooled = b.add("nn.max_pool", codes(b, x, Levels(-128, 1, 256), 0.125), **pool)
    flat = b.add("nn.reshape", pooled, shape=(1, 8))
    w = np.random.default_rng(0).integers(-90, 91, (8, 3)).astype(np.float32)
    before = RecogniseCodes().run(Graph("g", [x], b.ops, [b.add("nn.matmul", flat, b.constant(w))]))
    after = Canonicalise().run(StoreIntegers(isa).run(before))
    (moved,) = (op for op in after.ops if op.name == "nn.max_pool")
    assert moved.result.type.dtype is storage
    same_meaning(before, after, activations)


def test_products_that_run_as_bits_are_left() -> None:
    graph = RecogniseCodes().run(network(Levels(-1, 2, 2), (-1, 1), bias=False))
    ternary = StoreIntegers().run(graph)
    assert "q.int_conv" in op_names(ternary)  # weights of three values
    b = Builder()
    x = b.add("nn.assume", b.input("x", TensorType((1, 3))), values=(-1.0, 0.0, 1.0))
    signs = b.constant(np.asarray([[1], [-1], [-1]], np.float32))
    bits = RecogniseCodes().run(Graph("g", [b.ops[0].operands[0]], b.ops, [b.add("nn.matmul", x, signs)]))
    assert op_names(StoreIntegers().run(bits)) == op_names(bits)


def test_unknown_kernels() -> None:
    with pytest.raises(OptionError, match="portable, avx2"):
        StoreIntegers("i4").run(network(Levels(0, 1, 4), (-1, 1)))


@pytest.mark.parametrize("isa", ["portable", "avx2"])
@pytest.mark.parametrize(
    ("x", "y", "bytes_on_avx2"),
    [
        (Levels(0, 1, 2), Levels(0, 1, 65), True),
        (Levels(-8, 1, 16), Levels(-8, 1, 16), True),
        (Levels(-128, 1, 256), Levels(-127, 1, 255), False),
        (Levels(3, 1, 9), Levels(-3, 1, 7), True),
    ],
)
def test_products_of_two_activations(isa: str, x: Levels, y: Levels, bytes_on_avx2: bool) -> None:
    """Bytes where the target's kernels multiply them fastest; the left side counted from its lowest level."""
    b = Builder()
    inputs = [b.input("x", TensorType((2, 3, 5, 6))), b.input("y", TensorType((3, 6, 4)))]
    sides = [
        b.add("q.encode", codes(b, value, levels, 0.5), levels=levels, scale=0.5)
        for value, levels in zip(inputs, (x, y), strict=True)
    ]
    graph = Graph("g", inputs, b.ops, [b.add("q.gemm", *sides)])
    after = StoreIntegers(isa).run(graph)
    same_meaning(graph, after, activations)
    (product,) = (op for op in after.ops if op.name == "q.int_gemm")
    as_bytes = bytes_on_avx2 or isa == "portable"
    wanted = [DType.U8, DType.I8] if as_bytes else [DType.I16, DType.I16]
    assert [side.type.dtype for side in product.operands if isinstance(side.type, TensorType)] == wanted
    ends = (x.hi - x.lo if as_bytes else max(-x.lo, x.hi), max(-y.lo, y.hi))
    assert product.attrs["lowest"] == (x.lo if as_bytes else 0)
    assert (product.attrs["x_highest"], product.attrs["y_highest"]) == ends


def test_truths_are_stored_as_they_are() -> None:
    """Spikes of several steps side by side: one conversion each, no clamp of what can only be 0 or 1."""
    b = Builder()
    inputs = [b.input(name, TensorType((2, *size))) for name, size in (("x", (5, 6)), ("y", (5, 6)), ("z", (6, 4)))]
    zero = b.constant(np.float32(0))
    steps = [b.add("nn.cast", b.add("nn.greater_equal", x, zero), to=DType.F32) for x in inputs[:2]]
    spikes = b.add("q.encode", b.add("nn.concat", *steps, axis=1), levels=Levels(0, 1, 2))
    levels = Levels(-8, 1, 16)
    other = b.add("q.encode", codes(b, inputs[2], levels, 1.0), levels=levels)
    graph = Graph("g", inputs, b.ops, [b.add("q.gemm", spikes, other)])
    after = StoreIntegers("avx2").run(graph)
    same_meaning(graph, after, activations)
    stored = [op for op in after.ops if op.name == "nn.cast" and op.attrs["to"] is DType.U8]
    assert [op.operands[0].producer.name for op in stored if op.operands[0].producer] == ["nn.greater_equal"] * 2
