"""``narrow-products``: layers of one column share a product, and their outer products are multiplications."""

from __future__ import annotations

import numpy as np
from passes.harness import leaves, parse, small_integers, transforms

from bitc.ir import Value, evaluate
from bitc.passes.narrow_products import NarrowProducts

TERMS = """
        graph @g(%x: f32[2,4,3]) -> (%y) {
          %v = nn.constant {value = dense<f32[3,1]: 1.0, -2.0, 3.0>} : f32[3,1]
          %w = nn.constant {value = dense<f32[3,2]: 4.0, 0.5, 5.0, -0.5, 6.0, 0.25>} : f32[3,2]
          %p = nn.matmul %x, %v : f32[2,4,1]  loc("node 0 (MatMul)")
          %q = nn.relu %p : f32[2,4,1]
          %r = nn.matmul %x, %w : f32[2,4,2]  loc("node 2 (MatMul)")
          %y = nn.add %q, %r : f32[2,4,2]
        }"""


def test_products_of_one_input_are_slices_of_one() -> None:
    transforms(
        TERMS,
        NarrowProducts(),
        """
        graph @g(%x: f32[2,4,3]) -> (%y) {
          %w = nn.constant {value = dense<f32[3,3]: 1.0, 4.0, 0.5, -2.0, 5.0, -0.5, 3.0, 6.0, 0.25>} : f32[3,3]
          %a = nn.matmul %x, %w : f32[2,4,3]
          %p = nn.slice %a {starts = [0, 0, 0], stops = [2, 4, 1], steps = [1, 1, 1]} : f32[2,4,1]
          %r = nn.slice %a {starts = [0, 0, 1], stops = [2, 4, 3], steps = [1, 1, 1]} : f32[2,4,2]
          %q = nn.relu %p : f32[2,4,1]
          %y = nn.add %q, %r : f32[2,4,2]
        }""",
        small_integers,
    )


def test_what_the_layers_lack_is_said_of_the_joined_one() -> None:
    graph = parse(TERMS)
    graph.attrs["why_not_one_bit"] = (("node 0 (MatMul)", "why", "hint"), ("node 9 (Conv)", "another", ""))
    made = NarrowProducts().run(graph)
    assert [op.loc for op in made.ops if op.name == "nn.matmul"] == ["node 0 (MatMul); node 2 (MatMul)"]
    reasons = {node: why for node, why, _ in made.attrs["why_not_one_bit"]}
    assert reasons["node 0 (MatMul); node 2 (MatMul)"] == "why"
    assert reasons["node 9 (Conv)"] == "another"


def test_a_group_is_no_wider_than_a_block() -> None:
    """Columns of 3, 3, 3 and 1 of one input: two groups; a product of another input and a wide one stay."""
    rng, columns = np.random.default_rng(0), (3, 3, 3, 1, 9)
    lines = ["graph @g(%x: f32[4,2], %z: f32[4,2]) -> (" + ", ".join(f"%y{i}" for i in range(6)) + ") {"]
    for index, size in enumerate((*columns, 1)):
        held = ", ".join(f"{float(v)}" for v in rng.integers(-4, 5, 2 * size))
        lines.append(f"  %w{index} = nn.constant {{value = dense<f32[2,{size}]: {held}>}} : f32[2,{size}]")
        lines.append(f"  %y{index} = nn.matmul %{'z' if index == 5 else 'x'}, %w{index} : f32[4,{size}]")
    graph = parse("\n".join((*lines, "}")))
    made = NarrowProducts().run(graph)
    assert sorted(op.result.shape[-1] for op in made.ops if op.name == "nn.matmul") == [1, 4, 6, 9]
    feed = {name: rng.integers(-3, 4, (4, 2)).astype(np.float32) for name in "xz"}
    for before, after in zip(evaluate(graph, feed), evaluate(made, feed), strict=True):
        np.testing.assert_array_equal(before, after)


def odd_integers(rng: np.random.Generator, value: Value) -> np.ndarray:
    """No zeros: 0 times a negative number is -0.0, and 0.0 as a sum."""
    return (2 * rng.integers(-4, 4, value.shape) + 1).astype(np.float32)


def test_outer_products_are_multiplications() -> None:
    transforms(
        """
        graph @g(%a: f32[2,4,1], %b: f32[1,5]) -> (%y) {
          %y = nn.matmul %a, %b : f32[2,4,5]
        }""",
        NarrowProducts(),
        """
        graph @g(%a: f32[2,4,1], %b: f32[1,5]) -> (%y) {
          %y = nn.mul %a, %b : f32[2,4,5]
        }""",
        odd_integers,
    )


def test_integers_stay() -> None:
    leaves(
        """
        graph @g(%a: i32[4,1], %b: i32[1,5]) -> (%y) {
          %y = nn.matmul %a, %b : i32[4,5]
        }""",
        NarrowProducts(),
    )
