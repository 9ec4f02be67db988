"""``split-products``: a product with few rows meets the parts of a concatenation, not a copy of them."""

from __future__ import annotations

import pytest
from passes.harness import leaves, small_integers, transforms

from bitc.passes.split_products import SplitProducts


def test_columns() -> None:
    transforms(
        """
        graph @g(%x: f32[1,4], %a: f32[4,5], %b: f32[4,1]) -> (%y) {
          %c = nn.concat %a, %b {axis = 1} : f32[4,6]
          %y = nn.matmul %x, %c : f32[1,6]
        }""",
        SplitProducts(),
        """
        graph @g(%x: f32[1,4], %a: f32[4,5], %b: f32[4,1]) -> (%y) {
          %p = nn.matmul %x, %a : f32[1,5]
          %q = nn.matmul %x, %b : f32[1,1]
          %y = nn.concat %p, %q {axis = -1} : f32[1,6]
        }""",
        small_integers,
    )


def test_rows_of_three_parts() -> None:
    transforms(
        """
        graph @g(%x: f32[2,1,6], %a: f32[2,3,5], %b: f32[2,1,5], %c: f32[2,2,5]) -> (%y) {
          %d = nn.concat %a, %b, %c {axis = -2} : f32[2,6,5]
          %y = nn.matmul %x, %d : f32[2,1,5]
        }""",
        SplitProducts(),
        """
        graph @g(%x: f32[2,1,6], %a: f32[2,3,5], %b: f32[2,1,5], %c: f32[2,2,5]) -> (%y) {
          %k = nn.slice %x {starts = [0, 0, 0], stops = [2, 1, 3], steps = [1, 1, 1]} : f32[2,1,3]
          %l = nn.slice %x {starts = [0, 0, 3], stops = [2, 1, 4], steps = [1, 1, 1]} : f32[2,1,1]
          %m = nn.slice %x {starts = [0, 0, 4], stops = [2, 1, 6], steps = [1, 1, 1]} : f32[2,1,2]
          %p = nn.matmul %k, %a : f32[2,1,5]
          %q = nn.matmul %l, %b : f32[2,1,5]
          %r = nn.matmul %m, %c : f32[2,1,5]
          %s = nn.add %p, %q : f32[2,1,5]
          %y = nn.add %s, %r : f32[2,1,5]
        }""",
        small_integers,
    )


def test_through_transpositions() -> None:
    """Keys [tokens, heads, depth], as they are kept, become the columns of each head; the token axis is the last of the product."""
    transforms(
        """
        graph @g(%x: f32[2,1,3], %a: f32[5,2,3], %b: f32[1,2,3]) -> (%y) {
          %c = nn.concat %a, %b {axis = 0} : f32[6,2,3]
          %t = nn.transpose %c {perm = [1, 0, 2]} : f32[2,6,3]
          %u = nn.transpose %t {perm = [0, 2, 1]} : f32[2,3,6]
          %y = nn.matmul %x, %u : f32[2,1,6]
        }""",
        SplitProducts(),
        """
        graph @g(%x: f32[2,1,3], %a: f32[5,2,3], %b: f32[1,2,3]) -> (%y) {
          %k = nn.transpose %a {perm = [1, 2, 0]} : f32[2,3,5]
          %l = nn.transpose %b {perm = [1, 2, 0]} : f32[2,3,1]
          %p = nn.matmul %x, %k : f32[2,1,5]
          %q = nn.matmul %x, %l : f32[2,1,1]
          %y = nn.concat %p, %q {axis = -1} : f32[2,1,6]
        }""",
        small_integers,
    )


@pytest.mark.parametrize(
    ("rows", "axis", "outputs"),
    [
        pytest.param(9, 0, "%y", id="what is moved instead is more"),
        pytest.param(1, 0, "%y, %c", id="the concatenation is an output"),
    ],
)
def test_left_alone(rows: int, axis: int, outputs: str) -> None:
    leaves(
        f"""
        graph @g(%x: f32[{rows},6], %a: f32[5,4], %b: f32[1,4]) -> ({outputs}) {{
          %c = nn.concat %a, %b {{axis = {axis}}} : f32[6,4]
          %y = nn.matmul %x, %c : f32[{rows},4]
        }}""",
        SplitProducts(),
    )


def test_a_concatenation_that_others_read_is_left_alone() -> None:
    leaves(
        """
        graph @g(%x: f32[1,6], %a: f32[5,4], %b: f32[1,4]) -> (%y, %z) {
          %c = nn.concat %a, %b {axis = 0} : f32[6,4]
          %y = nn.matmul %x, %c : f32[1,4]
          %z = nn.neg %c : f32[6,4]
        }""",
        SplitProducts(),
    )


def test_matrices_side_by_side_are_left_alone() -> None:
    leaves(
        """
        graph @g(%x: f32[3,1,2], %a: f32[2,2,4], %b: f32[1,2,4]) -> (%y) {
          %c = nn.concat %a, %b {axis = 0} : f32[3,2,4]
          %y = nn.matmul %x, %c : f32[3,1,4]
        }""",
        SplitProducts(),
    )
