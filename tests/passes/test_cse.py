"""``common-subexpressions``: what counts as the same, and what must not."""

from __future__ import annotations

import numpy as np
import pytest
from passes.harness import any_input, leaves, op_names, same_meaning, transforms

from bitc.ir import Builder, Graph, TensorType
from bitc.passes.cse import CommonSubexpressions


def test_chains_written_twice_are_one() -> None:
    transforms(
        """
        graph @g(%x: f32[2,3]) -> (%y) {
          %c = nn.constant {value = dense<f32[]: 0.5>} : f32[]
          %a = nn.max %x, %c : f32[2,3]
          %p = nn.transpose %a {perm = [1, 0]} : f32[3,2]
          %d = nn.constant {value = dense<f32[]: 0.5>} : f32[]
          %b = nn.max %x, %d : f32[2,3]
          %q = nn.transpose %b {perm = [1, 0]} : f32[3,2]
          %y = nn.sub %p, %q : f32[3,2]
        }""",
        CommonSubexpressions(),
        """
        graph @g(%x: f32[2,3]) -> (%y) {
          %c = nn.constant {value = dense<f32[]: 0.5>} : f32[]
          %a = nn.max %x, %c : f32[2,3]
          %p = nn.transpose %a {perm = [1, 0]} : f32[3,2]
          %y = nn.sub %p, %p : f32[3,2]
        }""",
    )


def test_ops_with_several_results_are_one() -> None:
    b = Builder()
    x = b.input("x", TensorType((2, 5)))
    first, second = (b.add_multi("nn.topk", x, k=2, axis=1) for _ in range(2))
    graph = Graph("g", [x], b.ops, [b.add("nn.sub", first[0], second[0]), b.add("nn.equal", first[1], second[1])])
    after = CommonSubexpressions().run(graph)
    assert op_names(after) == ["nn.topk", "nn.sub", "nn.equal"]
    same_meaning(graph, after)


DIFFERENT = {
    "zeros of two signs": """
        graph @g(%x: f32[2]) -> (%y) {
          %c = nn.constant {value = dense<f32[]: 0.0>} : f32[]
          %d = nn.constant {value = dense<f32[]: -0.0>} : f32[]
          %a = nn.div %x, %c : f32[2]
          %b = nn.div %x, %d : f32[2]
          %y = nn.sub %a, %b : f32[2]
        }""",
    "padding with zeros of two signs": """
        graph @g(%x: f32[2]) -> (%y) {
          %a = nn.pad %x {pads = [1, 0], value = 0.0} : f32[3]
          %b = nn.pad %x {pads = [1, 0], value = -0.0} : f32[3]
          %y = nn.div %a, %b : f32[3]
        }""",
    "the same bits in another shape": """
        graph @g(%x: f32[1,1]) -> (%y) {
          %c = nn.constant {value = dense<f32[]: 2.0>} : f32[]
          %d = nn.constant {value = dense<f32[1]: 2.0>} : f32[1]
          %a = nn.mul %x, %c : f32[1,1]
          %b = nn.mul %x, %d : f32[1,1]
          %y = nn.sub %a, %b : f32[1,1]
        }""",
    "operands in another order": """
        graph @g(%x: f32[2], %z: f32[2]) -> (%y) {
          %a = nn.sub %x, %z : f32[2]
          %b = nn.sub %z, %x : f32[2]
          %y = nn.mul %a, %b : f32[2]
        }""",
    "two outputs": """
        graph @g(%x: f32[2]) -> (%a, %b) {
          %a = nn.relu %x : f32[2]
          %b = nn.relu %x : f32[2]
        }""",
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_stays(name: str) -> None:
    leaves(DIFFERENT[name], CommonSubexpressions())


def test_tied_weights_are_stored_once() -> None:
    b = Builder()
    x = b.input("x", TensorType((2, 8)))
    weights = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    y = x
    for _ in range(3):
        y = b.add("nn.relu", b.add("nn.matmul", y, b.constant(weights.copy())))
    graph = Graph("g", [x], b.ops, [y])
    after = CommonSubexpressions().run(graph)
    assert sum(op.name == "nn.constant" for op in after.ops) == 1
    assert op_names(after) == op_names(graph)
    same_meaning(graph, after, any_input)
