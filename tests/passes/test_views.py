"""``sink-views``: views move below elementwise ops, with their constants, and only where that is the same function."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from passes.harness import leaves, op_names, same_meaning, transforms

from bitc.ir import Builder, Graph, TensorType
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.views import SinkViews


def test_transpose_sinks_below_a_unary_op() -> None:
    transforms(
        """
        graph @g(%x: f32[1,2,3]) -> (%z) {
          %y = nn.transpose %x {perm = [0, 2, 1]} : f32[1,3,2]
          %z = nn.relu %y : f32[1,3,2]
        }""",
        SinkViews(),
        """
        graph @g(%x: f32[1,2,3]) -> (%z) {
          %y = nn.relu %x : f32[1,2,3]
          %z = nn.transpose %y {perm = [0, 2, 1]} : f32[1,3,2]
        }""",
    )


def test_constants_move_the_other_way() -> None:
    transforms(
        """
        graph @g(%x: f32[4,2,3]) -> (%z) {
          %y = nn.transpose %x {perm = [1, 2, 0]} : f32[2,3,4]
          %c = nn.constant {value = dense<f32[3,1]: 1.0, 2.0, 3.0>} : f32[3,1]
          %z = nn.add %y, %c : f32[2,3,4]
        }""",
        SinkViews(),
        """
        graph @g(%x: f32[4,2,3]) -> (%z) {
          %c = nn.constant {value = dense<f32[1,1,3]: 1.0, 2.0, 3.0>} : f32[1,1,3]
          %y = nn.add %x, %c : f32[4,2,3]
          %z = nn.transpose %y {perm = [1, 2, 0]} : f32[2,3,4]
        }""",
    )


def test_equal_transposes_of_two_operands_sink_together() -> None:
    transforms(
        """
        graph @g(%a: f32[2,3], %b: f32[2,3]) -> (%y) {
          %s = nn.transpose %a {perm = [1, 0]} : f32[3,2]
          %t = nn.transpose %b {perm = [1, 0]} : f32[3,2]
          %y = nn.add %s, %t : f32[3,2]
        }""",
        SinkViews(),
        """
        graph @g(%a: f32[2,3], %b: f32[2,3]) -> (%y) {
          %s = nn.add %a, %b : f32[2,3]
          %y = nn.transpose %s {perm = [1, 0]} : f32[3,2]
        }""",
    )


def test_reshape_that_drops_unit_axes_sinks_with_its_constant() -> None:
    transforms(
        """
        graph @g(%x: f32[1,3,1,1]) -> (%z) {
          %r = nn.relu %x : f32[1,3,1,1]
          %y = nn.reshape %r {shape = [1, 3]} : f32[1,3]
          %c = nn.constant {value = dense<f32[3]: 1.0, 2.0, 3.0>} : f32[3]
          %z = nn.mul %y, %c : f32[1,3]
        }""",
        SinkViews(),
        """
        graph @g(%x: f32[1,3,1,1]) -> (%z) {
          %r = nn.relu %x : f32[1,3,1,1]
          %c = nn.constant {value = dense<f32[1,3,1,1]: 1.0, 2.0, 3.0>} : f32[1,3,1,1]
          %y = nn.mul %r, %c : f32[1,3,1,1]
          %z = nn.reshape %y {shape = [1, 3]} : f32[1,3]
        }""",
    )


def test_any_reshape_sinks_below_a_scalar() -> None:
    transforms(
        """
        graph @g(%x: f32[2,6]) -> (%z) {
          %r = nn.relu %x : f32[2,6]
          %y = nn.reshape %r {shape = [3, 4]} : f32[3,4]
          %c = nn.constant {value = dense<f32[1,1]: 0.5>} : f32[1,1]
          %z = nn.sub %c, %y : f32[3,4]
        }""",
        SinkViews(),
        """
        graph @g(%x: f32[2,6]) -> (%z) {
          %r = nn.relu %x : f32[2,6]
          %c = nn.constant {value = dense<f32[1,1]: 0.5>} : f32[1,1]
          %y = nn.sub %c, %r : f32[2,6]
          %z = nn.reshape %y {shape = [3, 4]} : f32[3,4]
        }""",
    )


def test_pad_moves_above_a_transpose() -> None:
    transforms(
        """
        graph @g(%x: f32[1,2,3,4]) -> (%z) {
          %y = nn.transpose %x {perm = [0, 2, 3, 1]} : f32[1,3,4,2]
          %z = nn.pad %y {pads = [0, 1, 0, 0, 0, 0, 2, 3], value = 5.0} : f32[1,4,6,5]
        }""",
        SinkViews(),
        """
        graph @g(%x: f32[1,2,3,4]) -> (%z) {
          %y = nn.pad %x {pads = [0, 0, 1, 0, 0, 3, 0, 2], value = 5.0} : f32[1,5,4,6]
          %z = nn.transpose %y {perm = [0, 2, 3, 1]} : f32[1,4,6,5]
        }""",
    )


STAYS = {
    "reshape of an input": """
        graph @g(%x: f32[2,6]) -> (%z) {
          %y = nn.reshape %x {shape = [3, 4]} : f32[3,4]
          %z = nn.relu %y : f32[3,4]
        }""",
    "reshape with a constant along a new axis": """
        graph @g(%x: f32[2,6]) -> (%z) {
          %r = nn.relu %x : f32[2,6]
          %y = nn.reshape %r {shape = [3, 4]} : f32[3,4]
          %c = nn.constant {value = dense<f32[4]: 1.0, 2.0, 3.0, 4.0>} : f32[4]
          %z = nn.mul %y, %c : f32[3,4]
        }""",
    "transposes that differ": """
        graph @g(%a: f32[2,2,2], %b: f32[2,2,2]) -> (%y) {
          %s = nn.transpose %a {perm = [1, 0, 2]} : f32[2,2,2]
          %t = nn.transpose %b {perm = [0, 2, 1]} : f32[2,2,2]
          %y = nn.add %s, %t : f32[2,2,2]
        }""",
    "an operand that is no view": """
        graph @g(%a: f32[2,2], %b: f32[2,2]) -> (%y) {
          %s = nn.transpose %a {perm = [1, 0]} : f32[2,2]
          %y = nn.add %s, %b : f32[2,2]
        }""",
    "a view that broadcasts": """
        graph @g(%a: f32[1,2]) -> (%y) {
          %s = nn.transpose %a {perm = [1, 0]} : f32[2,1]
          %c = nn.constant {value = dense<f32[1,3]: 1.0, 2.0, 3.0>} : f32[1,3]
          %y = nn.add %s, %c : f32[2,3]
        }""",
    "an op that is not elementwise": """
        graph @g(%a: f32[3,2]) -> (%y) {
          %s = nn.transpose %a {perm = [1, 0]} : f32[2,3]
          %y = nn.softmax %s {axis = 1} : f32[2,3]
        }""",
}


@pytest.mark.parametrize("why", STAYS)
def test_view_stays(why: str) -> None:
    leaves(STAYS[why], SinkViews())


def test_views_round_a_chain_meet_and_cancel() -> None:
    """NHWC islands: transpose, elementwise ops, transpose back."""
    b = Builder()
    x = b.input("x", TensorType((1, 3, 2, 4)))
    nhwc = b.add("nn.transpose", x, perm=(0, 2, 3, 1))
    scaled = b.add("nn.mul", nhwc, b.constant(np.array([1, -2, 3], np.float32)))
    clipped = b.add("nn.max", scaled, b.constant(np.float32(0)))
    graph = Graph("g", [x], b.ops, [b.add("nn.transpose", clipped, perm=(0, 3, 1, 2))])
    after = Canonicalise().run(SinkViews().run(graph))
    assert op_names(after) == ["nn.mul", "nn.max"]
    same_meaning(graph, after)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_tower_of_views_and_elementwise_ops_keeps_its_meaning(data: st.DataObject) -> None:
    b = Builder()
    shape = tuple(data.draw(st.lists(st.sampled_from([1, 2, 3]), min_size=2, max_size=4)))
    x = b.input("x", TensorType(shape))
    value = b.add("nn.neg", x)
    for _ in range(data.draw(st.integers(1, 6))):
        kind = data.draw(st.sampled_from(["transpose", "reshape", "unary", "binary", "two", "pad"]))
        if kind == "transpose":
            value = b.add("nn.transpose", value, perm=tuple(data.draw(st.permutations(range(len(value.shape))))))
        elif kind == "reshape":
            value = b.add("nn.reshape", value, shape=data.draw(st.sampled_from(_shapes(value.shape))))
        elif kind == "unary":
            value = b.add(data.draw(st.sampled_from(["nn.relu", "nn.abs", "nn.floor"])), value)
        elif kind == "binary":
            full = [data.draw(st.sampled_from([1, n])) for n in value.shape][
                data.draw(st.integers(0, len(value.shape))) :
            ]
            constant = np.arange(1, 1 + int(np.prod(full)), dtype=np.float32).reshape(full)
            value = b.add(data.draw(st.sampled_from(["nn.add", "nn.mul"])), value, b.constant(constant))
        elif kind == "two":
            value = b.add("nn.sub", value, b.add("nn.abs", value))
        else:
            pads = [data.draw(st.sampled_from([0, 0, 1])) for _ in range(2 * len(value.shape))]
            value = b.add("nn.pad", value, pads=tuple(pads), value=2.0)
    graph = Graph("g", [x], b.ops, [value])
    same_meaning(graph, SinkViews().run(graph), runs=1)


def _shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Flattened, with unit axes dropped, with one more, and one axis split off."""
    size = int(np.prod(shape))
    return [(size,), tuple(n for n in shape if n != 1) or (1,), (*shape, 1), (1, *shape), (shape[0], size // shape[0])]
