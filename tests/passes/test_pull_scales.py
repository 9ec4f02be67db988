"""``pull-scales``: which scales and offsets leave a product, which stay, and what moves between them and the product."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from passes.harness import leaves, op_names, same_meaning, small_integers, transforms

from bitc.ir import Builder, DType, Graph, TensorType, Value, evaluate, verify
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.pull_scales import PullScales
from bitc.passes.recognise import RecogniseCodes
from bitc.passes.scale_chains import broadcast_shape_behind

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
    q, zero = b.input("q", TensorType((4, 2), DType.U8)), b.input("z", TensorType((4, 1), DType.F32))
    weights = np.array([[-0.111326955], [-1.3359234]], F32)
    codes = b.add("nn.min", b.add("nn.cast", q, to=DType.F32), b.constant(np.asarray(3, F32)))
    product = b.add("nn.matmul", b.add("nn.sub", codes, zero), b.constant(weights))
    pulled = PullScales().run(Graph("g", [q, zero], b.ops, [product]))
    (product,) = (op.result for op in pulled.ops if op.name == "nn.matmul")
    assert product.producer is not None
    read = product.producer.operands[0].producer
    assert read is not None
    assert read.name == "nn.min", "the product reads the codes themselves"
    given = np.array([[3, 3], [1, 1], [2, 2], [2, 3]], np.uint8)
    (found,) = evaluate(pulled, [given, np.array([[3], [1], [2], [2]], F32)])
    np.testing.assert_array_equal(found, [[0], [0], [0], weights[1]])


@pytest.mark.parametrize(("most", "pulled"), [(2, True), (3, True), (4, False), (255, False)])
def test_offsets_that_may_cancel_many_levels_stay(most: int, pulled: bool) -> None:
    """An offset that is no whole number may leave next to nothing of a level; ``s·q`` and it would each be rounded at their own size."""
    b = Builder()
    inputs = [b.input(name, TensorType(shape)) for name, shape in (("x", (4, 60)), ("z", (4, 1)))]
    q = b.add("nn.round", inputs[0])
    for name, edge in (("nn.max", 0), ("nn.min", most)):
        q = b.add(name, q, b.constant(np.asarray(edge, F32)))
    product = b.add("nn.matmul", b.add("nn.add", q, inputs[1]), b.constant(np.ones((60, 3), F32)))
    after = PullScales().run(Graph("g", inputs, b.ops, [product]))
    assert ("scales_that_stay" in after.attrs) != pulled
    (reads,) = (op.operands[0].producer for op in after.ops if op.name == "nn.matmul")
    assert reads is not None
    assert (reads.name == "nn.min") == pulled


def of_both(x: tuple[int, ...], y: tuple[int, ...], steps: str, shape: tuple[int, ...] = ()) -> Graph:
    """The product of two tensors of codes up to 1, both of which went through ``steps``: s scales, z is added; neither is below 0."""
    b = Builder()
    inputs = [b.input(name, TensorType(side)) for name, side in (("x", x), ("y", y))]
    sides = []
    for number, (value, name) in enumerate(zip(inputs[:2], "xy", strict=True)):
        side = b.add("nn.min", b.add("nn.abs", b.add("nn.sign", value)), b.constant(np.asarray(1, F32)))
        for step in steps:
            along = shape if not shape else (*shape[:-1], 1) if number == 0 else (*shape[:-2], 1, shape[-1])
            inputs.append(b.input(f"{step}{name}{len(inputs)}", TensorType(along)))
            other = b.add("nn.min", b.add("nn.relu", inputs[-1]), b.constant(np.asarray(8, F32)))
            side = b.add("nn.mul" if step == "s" else "nn.add", side, other)
        sides.append(side)
    return Graph("g", inputs, b.ops, [b.add("nn.matmul", *sides)])


PRODUCTS = {
    "one scale": ((48, 17), (17, 40), "s", ()),
    "one offset": ((48, 19), (19, 48), "z", ()),
    "a scale for a row and a column": ((3, 48, 33), (3, 33, 40), "s", (3, 48, 40)),
    "offsets of a row and a column": ((3, 64, 97), (3, 97, 64), "sz", (3, 64, 64)),
    "heads that share the right side": ((2, 3, 64, 97), (1, 3, 97, 64), "szs", ()),
    "a right side without a batch": ((2, 64, 129), (129, 64), "szsz", ()),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_scales_and_offsets_leave_products_of_two_computed_tensors(name: str) -> None:
    x, y, steps, shape = PRODUCTS[name]
    graph = of_both(x, y, steps, shape)
    after = PullScales("avx512").run(graph)
    verify(after)
    assert after.attrs["rounded_products"] == ("",)
    assert "scales_that_stay" not in after.attrs
    (product,) = (op for op in RecogniseCodes("avx512").run(after).ops if op.name in ("q.dots", "q.gemm"))
    assert not product.attrs["exact"]
    for seed in range(4):
        generator = np.random.default_rng(seed)
        arrays = [generator.integers(-3, 4, value.shape).astype(F32) for value in graph.inputs]
        np.testing.assert_array_equal(evaluate(after, arrays)[0], evaluate(graph, arrays)[0])


def test_scales_stay_where_integers_take_longer() -> None:
    after = PullScales().run(of_both((4, 17), (17, 4), "s"))
    assert "rounded_products" not in after.attrs
    ((_, reason, _),) = after.attrs["scales_that_stay"]
    assert "as integers the product would take" in reason
    found = RecogniseCodes().run(after)
    assert found.attrs["why_not_one_bit"] == after.attrs["scales_that_stay"]


def test_steps_stay_where_few_terms_are_summed() -> None:
    """Each step rounds once more: of three terms the file's own sum is not off by so much."""
    graph = of_both((400, 3), (3, 400), "ss")
    assert "rounded_products" not in PullScales("avx512").run(graph).attrs


def test_an_offset_that_may_cancel_stays() -> None:
    b = Builder()
    x, y, z = b.input("x", TensorType((48, 40))), b.input("y", TensorType((40, 48))), b.input("z", TensorType(()))
    shifted = b.add("nn.add", b.add("nn.sign", x), z)
    graph = Graph("g", [x, y, z], b.ops, [b.add("nn.matmul", shifted, b.add("nn.sign", y))])
    ((_, reason, _),) = PullScales("avx512").run(graph).attrs["scales_that_stay"]
    assert "may nearly cancel" in reason
