"""``pull-scales``: which scales and offsets leave a product, which stay, and what moves between them and the product."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from passes.harness import leaves, op_names, same_meaning, small_integers, transforms

from bitc.ir import Builder, DType, Graph, TensorType, Value, evaluate, verify
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.pull_scales import PullScales, broadcast_shape_behind
from bitc.passes.recognise import RecogniseCodes

F32 = np.float32
CONV: dict[str, Any] = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}


def positive_scales(generator: np.random.Generator, value: Value) -> np.ndarray:
    """Small integers; scales above 0, for a sum of 0 times a negative scale is the other zero."""
    numbers = small_integers(generator, value)
    return np.abs(numbers) + 1 if value.name == "s" else numbers


def test_a_scale_for_a_row_leaves_a_matrix_product() -> None:
    after = transforms(
        """
        graph @g(%x: f32[2,3], %s: f32[2,1]) -> (%y) {
          %w = nn.constant {value = dense<f32[3,2]: 1.0, -1.0, -1.0, 1.0, 1.0, 1.0>} : f32[3,2]
          %q = nn.sign %x : f32[2,3]
          %a = nn.mul %q, %s : f32[2,3]
          %y = nn.matmul %a, %w : f32[2,2]
        }""",
        PullScales(),
        """
        graph @g(%x: f32[2,3], %s: f32[2,1]) -> (%y) attrs {rounded_products = [""]} {
          %w = nn.constant {value = dense<f32[3,2]: 1.0, -1.0, -1.0, 1.0, 1.0, 1.0>} : f32[3,2]
          %q = nn.sign %x : f32[2,3]
          %p = nn.matmul %q, %w : f32[2,2]
          %y = nn.mul %p, %s : f32[2,2]
        }""",
        positive_scales,
    )
    (product,) = (op for op in RecogniseCodes().run(after).ops if op.name == "q.matmul")
    assert not product.attrs["exact"], "the file rounds each s·q before it sums"


def test_offsets_leave_as_sums_of_the_weights() -> None:
    transforms(
        """
        graph @g(%x: f32[2,3], %z: f32[], %s: f32[]) -> (%y) {
          %w = nn.constant {value = dense<f32[3,2]: 1.0, -1.0, -1.0, 1.0, 1.0, 1.0>} : f32[3,2]
          %q = nn.sign %x : f32[2,3]
          %a = nn.add %z, %q : f32[2,3]
          %c = nn.mul %s, %a : f32[2,3]
          %d = nn.sub %c, %z : f32[2,3]
          %y = nn.matmul %d, %w : f32[2,2]
        }""",
        PullScales(),
        """
        graph @g(%x: f32[2,3], %z: f32[], %s: f32[]) -> (%y) attrs {rounded_products = [""]} {
          %w = nn.constant {value = dense<f32[3,2]: 1.0, -1.0, -1.0, 1.0, 1.0, 1.0>} : f32[3,2]
          %q = nn.sign %x : f32[2,3]
          %p = nn.matmul %q, %w : f32[2,2]
          %sum = nn.constant {value = dense<f32[2]: 1.0, 1.0>} : f32[2]
          %zs = nn.mul %z, %sum : f32[2]
          %a = nn.add %p, %zs : f32[2,2]
          %c = nn.mul %a, %s : f32[2,2]
          %zt = nn.mul %z, %sum : f32[2]
          %y = nn.sub %c, %zt : f32[2,2]
        }""",
        small_integers,
    )


STAYS = {
    "a scale that differs inside the sum": "%s: f32[2,3]",
    "a scale for a column": "%s: f32[3]",
}


@pytest.mark.parametrize("scale", STAYS.values(), ids=STAYS)
def test_scales_inside_a_sum_stay(scale: str) -> None:
    leaves(
        f"""
        graph @g(%x: f32[2,3], {scale}) -> (%y) {{
          %w = nn.constant {{value = dense<f32[3,2]: 1.0, -1.0, -1.0, 1.0, 1.0, 1.0>}} : f32[3,2]
          %q = nn.sign %x : f32[2,3]
          %a = nn.mul %q, %s : f32[2,3]
          %y = nn.matmul %a, %w : f32[2,2]
        }}""",
        PullScales(),
    )


@pytest.mark.parametrize(
    "values",
    [
        "%q = nn.relu %x : f32[2,3]",  # no codes: nothing is gained
        "%q = nn.round %x : f32[2,3]",  # whole numbers, but any
    ],
)
def test_scales_of_numbers_stay(values: str) -> None:
    leaves(
        f"""
        graph @g(%x: f32[2,3], %s: f32[]) -> (%y) {{
          %w = nn.constant {{value = dense<f32[3,2]: 1.0, -1.0, -1.0, 1.0, 1.0, 1.0>}} : f32[3,2]
          {values}
          %a = nn.mul %q, %s : f32[2,3]
          %y = nn.matmul %a, %w : f32[2,2]
        }}""",
        PullScales(),
    )


def test_scales_stay_where_the_weights_are_no_codes() -> None:
    leaves(
        """
        graph @g(%x: f32[2,3], %s: f32[]) -> (%y) {
          %w = nn.constant {value = dense<f32[3,2]: 1.0, -1.4142, -3.14159, 0.5772, 1.6180, 2.71828>} : f32[3,2]
          %q = nn.sign %x : f32[2,3]
          %a = nn.mul %q, %s : f32[2,3]
          %y = nn.matmul %a, %w : f32[2,2]
        }""",
        PullScales(),
    )


def convolved(scale: tuple[int, ...], kernel: int, **changed: Any) -> Graph:
    """``conv(sign(x) * s, w)`` of images [2,3,4,4]."""
    b = Builder()
    x, s = b.input("x", TensorType((2, 3, 4, 4))), b.input("s", TensorType(scale))
    weights = np.random.default_rng(kernel).choice([-1, 1], (4, 3, kernel, kernel)).astype(F32)
    product = b.add("nn.mul", b.add("nn.sign", x), s)
    return Graph("g", [x, s], b.ops, [b.add("nn.conv", product, b.constant(weights), **{**CONV, **changed})])


LEAVES_CONVOLUTION = {
    "one for all": ((), 3, {}),
    "one for all, padded": ((1,), 3, {"pads": (1, 2, 1, 0)}),
    "one an image": ((2, 1, 1, 1), 3, {"strides": (2, 1)}),
    "one a pixel": ((2, 1, 4, 4), 1, {}),
    "one a row of pixels, for all images": ((4, 1), 1, {}),
}


@pytest.mark.parametrize("name", LEAVES_CONVOLUTION)
def test_scales_leave_convolutions(name: str) -> None:
    scale, kernel, changed = LEAVES_CONVOLUTION[name]
    graph = convolved(scale, kernel, **changed)
    after = PullScales().run(graph)
    assert op_names(after) == ["nn.sign", "nn.conv", "nn.mul"]
    same_meaning(graph, after, positive_scales)


STAYS_IN_CONVOLUTION = {
    "one a channel": ((3, 1, 1), 3, {}),
    "one a pixel, over a window": ((2, 1, 4, 4), 3, {}),
    "one a pixel, strided": ((2, 1, 4, 4), 1, {"strides": (2, 2)}),
    "one a pixel, padded": ((2, 1, 4, 4), 1, {"pads": (1, 1, 1, 1)}),
}


@pytest.mark.parametrize("name", STAYS_IN_CONVOLUTION)
def test_scales_inside_a_window_stay(name: str) -> None:
    scale, kernel, changed = STAYS_IN_CONVOLUTION[name]
    graph = convolved(scale, kernel, **changed)
    assert op_names(PullScales().run(graph)) == op_names(graph)


def integers(generator: np.random.Generator, value: Value) -> np.ndarray:
    """Any number of the dtype, so that sums wrap round where they can."""
    assert isinstance(value.type, TensorType)
    limits = np.iinfo(value.type.dtype.numpy)
    return generator.integers(limits.min, limits.max, value.shape, value.type.dtype.numpy, endpoint=True)


@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 0, 2, 1)])
@pytest.mark.parametrize("group", [1, 2])
def test_a_zero_point_leaves_an_integer_convolution_padded_or_not(pads: tuple[int, ...], group: int) -> None:
    """Padding reads 0 beside ``q - z``; behind the rewrite it reads 0 beside q and beside the ones that z multiplies."""
    b = Builder()
    q, z = b.input("q", TensorType((2, 4, 5, 5), DType.U8)), b.input("z", TensorType((), DType.U8))
    shifted = b.add("nn.sub", b.add("nn.cast", q, to=DType.I32), b.add("nn.cast", z, to=DType.I32))
    weights = np.random.default_rng(0).integers(-128, 128, (6, 4 // group, 3, 3)).astype(np.int32)
    y = b.add("nn.conv", shifted, b.constant(weights), **{**CONV, "pads": pads, "group": group})
    graph = Graph("g", [q, z], b.ops, [y])
    after = PullScales().run(graph)
    verify(after)
    assert "rounded_products" not in after.attrs
    (product,) = (op for op in after.ops if op.name == "nn.conv")
    assert product.operands[0].producer is not None
    assert product.operands[0].producer.name == "nn.cast", "the product reads the codes themselves"
    same_meaning(graph, after, integers)


def test_moves_between_a_scale_and_its_product() -> None:
    """One scale a token, [1,T,1], beside codes that are split into heads, transposed and sliced."""
    b = Builder()
    x, s = b.input("x", TensorType((1, 4, 6))), b.input("s", TensorType((1, 4, 1)))
    scaled = b.add("nn.mul", b.add("nn.sign", x), s)
    heads = b.add("nn.transpose", b.add("nn.reshape", scaled, shape=(1, 4, 2, 3)), perm=(0, 2, 1, 3))
    cut = b.add("nn.slice", heads, starts=(0, 1, 3, 0), stops=(1, 2, 0, 3), steps=(1, 1, -2, 1))
    y = b.add("nn.matmul", cut, b.constant(np.asarray([[1, -1], [-1, -1], [1, 1]], F32)))
    graph = Graph("g", [x, s], b.ops, [y])
    after = Canonicalise().run(PullScales().run(graph))
    (product,) = (op for op in after.ops if op.name == "nn.matmul")
    assert product.operands[0].producer is not None
    assert product.operands[0].producer.name == "nn.slice"
    assert op_names(after)[-1] == "nn.mul"
    same_meaning(graph, after, small_integers)


@pytest.mark.parametrize(
    ("other", "before", "after", "wanted"),
    [
        ((1, 4, 1), (2, 4, 6), (2, 4, 2, 3), (1, 4, 1, 1)),
        ((2, 4, 1), (2, 4, 6), (8, 6), (8, 1)),
        ((1, 4, 1), (2, 4, 6), (8, 6), None),
        ((4, 1), (4, 6), (1, 4, 1, 6, 1), (1, 4, 1, 1, 1)),
        ((1, 1), (4, 6), (24,), (1,)),
        ((4, 1), (4, 6), (3, 8), None),
    ],
)
def test_shapes_behind_reshapes(
    other: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...], wanted: tuple[int, ...] | None
) -> None:
    assert broadcast_shape_behind(other, before, after) == wanted
    if wanted is not None:
        array = np.arange(np.prod(other)).reshape(other)
        whole = np.broadcast_to(array, before).reshape(after)
        assert np.array_equal(np.broadcast_to(array.reshape(wanted), after), whole)


def test_offsets_leave_integers_so_that_nothing_cancels() -> None:
    """Codes at their zero point give 0, though their products with the weights are large."""
    b = Builder()
    q, zero = b.input("q", TensorType((4, 2), DType.I8)), b.input("z", TensorType((4, 1), DType.F32))
    weights = np.array([[-0.111326955], [-1.3359234]], F32)
    shifted = b.add("nn.sub", b.add("nn.cast", q, to=DType.F32), zero)
    pulled = PullScales().run(Graph("g", [q, zero], b.ops, [b.add("nn.matmul", shifted, b.constant(weights))]))
    (product,) = (op for op in pulled.ops if op.name == "nn.matmul")
    assert product.operands[0].producer is not None
    assert product.operands[0].producer.name == "nn.cast", "the product reads the codes themselves"
    codes = np.array([[127, 127], [-77, -77], [53, 53], [4, 5]], np.int8)
    (found,) = evaluate(pulled, [codes, np.array([[127], [-77], [53], [4]], F32)])
    np.testing.assert_array_equal(found, [[0], [0], [0], weights[1]])
