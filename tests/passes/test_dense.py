"""``dense-to-conv``: flattened images, in whatever order, and what is no flattened image."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from passes.harness import leaves, op_names, same_meaning, small_integers, transforms

from bitc.ir import Builder, Graph, TensorType
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.dense import DenseToConv


def test_dense_over_a_flattened_image_is_a_convolution() -> None:
    transforms(
        """
        graph @g(%x: f32[1,2,1,2]) -> (%y) {
          %w = nn.constant {value = dense<f32[4,2]: 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0>} : f32[4,2]
          %f = nn.reshape %x {shape = [1, 4]} : f32[1,4]
          %y = nn.matmul %f, %w : f32[1,2]
        }""",
        DenseToConv(),
        """
        graph @g(%x: f32[1,2,1,2]) -> (%y) {
          %w = nn.constant {value = dense<f32[2,2,1,2]: 1.0, 3.0, 5.0, 7.0, 2.0, 4.0, 6.0, 8.0>} : f32[2,2,1,2]
          %c = nn.conv %x, %w {strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1]} : f32[1,2,1,1]
          %y = nn.reshape %c {shape = [1, 2]} : f32[1,2]
        }""",
        small_integers,
    )


@pytest.mark.parametrize("order", [(0, *rest) for rest in permutations((1, 2, 3))])
@pytest.mark.parametrize("batch", [1, 3])
def test_flattening_in_any_order_needs_no_transpose(order: tuple[int, ...], batch: int) -> None:
    b = Builder()
    x = b.input("x", TensorType((batch, 3, 2, 4)))
    moved = b.add("nn.transpose", x, perm=order)
    weights = np.random.default_rng(7).integers(-3, 4, (24, 5)).astype(np.float32)
    y = b.add("nn.matmul", b.add("nn.reshape", moved, shape=(batch, 24)), b.constant(weights))
    graph = Graph("g", [x], b.ops, [y])
    after = DenseToConv().run(Canonicalise().run(graph))
    assert op_names(after) == ["nn.conv", "nn.reshape"]
    same_meaning(graph, after, small_integers)


STAYS = {
    "one pixel": """
        graph @g(%x: f32[1,4,1,1]) -> (%y) {
          %w = nn.constant {value = dense<f32[4,1]: 1.0, 2.0, 3.0, 4.0>} : f32[4,1]
          %f = nn.reshape %x {shape = [1, 4]} : f32[1,4]
          %y = nn.matmul %f, %w : f32[1,1]
        }""",
    "one pixel behind a transpose": """
        graph @g(%x: f32[1,4,1,1]) -> (%y) {
          %w = nn.constant {value = dense<f32[4,1]: 1.0, 2.0, 3.0, 4.0>} : f32[4,1]
          %t = nn.transpose %x {perm = [0, 2, 3, 1]} : f32[1,1,1,4]
          %f = nn.reshape %t {shape = [1, 4]} : f32[1,4]
          %y = nn.matmul %f, %w : f32[1,1]
        }""",
    "the batch is flattened too": """
        graph @g(%x: f32[2,2,1,2]) -> (%y) {
          %w = nn.constant {value = dense<f32[8,1]: 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0>} : f32[8,1]
          %f = nn.reshape %x {shape = [1, 8]} : f32[1,8]
          %y = nn.matmul %f, %w : f32[1,1]
        }""",
    "pixels as rows": """
        graph @g(%x: f32[1,2,1,2]) -> (%y) {
          %w = nn.constant {value = dense<f32[2,1]: 1.0, 2.0>} : f32[2,1]
          %f = nn.reshape %x {shape = [2, 2]} : f32[2,2]
          %y = nn.matmul %f, %w : f32[2,1]
        }""",
    "no constant weights": """
        graph @g(%x: f32[1,2,1,2], %w: f32[4,2]) -> (%y) {
          %f = nn.reshape %x {shape = [1, 4]} : f32[1,4]
          %y = nn.matmul %f, %w : f32[1,2]
        }""",
    "no image": """
        graph @g(%x: f32[1,2,2]) -> (%y) {
          %w = nn.constant {value = dense<f32[4,1]: 1.0, 2.0, 3.0, 4.0>} : f32[4,1]
          %f = nn.reshape %x {shape = [1, 4]} : f32[1,4]
          %y = nn.matmul %f, %w : f32[1,1]
        }""",
}


@pytest.mark.parametrize("why", STAYS)
def test_product_stays(why: str) -> None:
    leaves(STAYS[why], DenseToConv())


def test_batch_that_a_transpose_swaps_with_the_channels_stays() -> None:
    """perm[0] is not 0: the rows of the flattened image are channels, not images."""
    b = Builder()
    x = b.input("x", TensorType((2, 2, 2, 2)))
    moved = b.add("nn.transpose", x, perm=(1, 0, 2, 3))
    weights = b.constant(np.arange(16, dtype=np.float32).reshape(8, 2))
    y = b.add("nn.matmul", b.add("nn.reshape", moved, shape=(2, 8)), weights)
    graph = Graph("g", [x], b.ops, [y])
    after = DenseToConv().run(graph)
    assert op_names(after) == ["nn.transpose", "nn.conv", "nn.reshape"], "the image is what the transpose gives"
    same_meaning(graph, after, small_integers)
