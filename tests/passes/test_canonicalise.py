"""``canonicalise``: each rule as text, and where it must not fire."""

from __future__ import annotations

import pytest
from passes.harness import leaves, parse, same_meaning, transforms

from bitc.passes.canonicalise import Canonicalise


def _with_constant(op: str, constant: str, order: str = "%x, %c") -> str:
    return f"""
        graph @g(%x: f32[2,3]) -> (%y) {{
          %c = nn.constant {{value = dense<{constant}>}} : {constant.split(":")[0]}
          %y = {op} {order} : f32[2,3]
        }}"""


IDENTITY = "graph @g(%x: f32[2,3]) -> (%x) {}"


@pytest.mark.parametrize(
    ("op", "constant", "order"),
    [
        ("nn.mul", "f32[]: 1.0", "%x, %c"),
        ("nn.mul", "f32[3]: 1.0, 1.0, 1.0", "%c, %x"),
        ("nn.div", "f32[1,3]: 1.0, 1.0, 1.0", "%x, %c"),
        ("nn.sub", "f32[]: 0.0", "%x, %c"),
        ("nn.pow", "f32[]: 1.0", "%x, %c"),
    ],
)
def test_neutral_constants_vanish(op: str, constant: str, order: str) -> None:
    transforms(_with_constant(op, constant, order), Canonicalise(), IDENTITY)


@pytest.mark.parametrize(
    ("op", "constant", "order"),
    [
        ("nn.add", "f32[]: 0.0", "%x, %c"),  # -0.0 + 0.0 = +0.0
        ("nn.sub", "f32[]: -0.0", "%x, %c"),  # the same
        ("nn.mul", "f32[3]: 1.0, 1.0, 2.0", "%x, %c"),
        ("nn.div", "f32[]: 1.0", "%c, %x"),
        ("nn.sub", "f32[]: 0.0", "%c, %x"),
        ("nn.pow", "f32[]: 1.0", "%c, %x"),
    ],
)
def test_what_is_not_neutral_stays(op: str, constant: str, order: str) -> None:
    leaves(_with_constant(op, constant, order), Canonicalise())


def test_neutral_constant_that_broadcasts_stays() -> None:
    leaves(
        """
        graph @g(%x: f32[1,3]) -> (%y) {
          %c = nn.constant {value = dense<f32[2,1]: 1.0, 1.0>} : f32[2,1]
          %y = nn.mul %x, %c : f32[2,3]
        }""",
        Canonicalise(),
    )


def test_transposes_join() -> None:
    transforms(
        """
        graph @g(%x: f32[2,3,4]) -> (%z) {
          %y = nn.transpose %x {perm = [1, 2, 0]} : f32[3,4,2]
          %z = nn.transpose %y {perm = [0, 2, 1]} : f32[3,2,4]
        }""",
        Canonicalise(),
        """
        graph @g(%x: f32[2,3,4]) -> (%z) {
          %z = nn.transpose %x {perm = [1, 0, 2]} : f32[3,2,4]
        }""",
    )


def test_transposes_that_undo_each_other_vanish() -> None:
    transforms(
        """
        graph @g(%x: f32[2,3,4]) -> (%z) {
          %y = nn.transpose %x {perm = [1, 2, 0]} : f32[3,4,2]
          %z = nn.transpose %y {perm = [2, 0, 1]} : f32[2,3,4]
        }""",
        Canonicalise(),
        "graph @g(%x: f32[2,3,4]) -> (%x) {}",
    )


def test_undone_transpose_vanishes_also_where_the_inner_one_is_read_elsewhere() -> None:
    transforms(
        """
        graph @g(%x: f32[2,3,4]) -> (%y, %z) {
          %y = nn.transpose %x {perm = [1, 2, 0]} : f32[3,4,2]
          %z = nn.transpose %y {perm = [2, 0, 1]} : f32[2,3,4]
        }""",
        Canonicalise(),
        """
        graph @g(%x: f32[2,3,4]) -> (%y, %x) {
          %y = nn.transpose %x {perm = [1, 2, 0]} : f32[3,4,2]
        }""",
    )


def test_undone_reshape_vanishes_also_where_the_inner_one_is_read_elsewhere() -> None:
    transforms(
        """
        graph @g(%x: f32[2,6]) -> (%y, %z) {
          %y = nn.reshape %x {shape = [3, 4]} : f32[3,4]
          %z = nn.reshape %y {shape = [2, 6]} : f32[2,6]
        }""",
        Canonicalise(),
        """
        graph @g(%x: f32[2,6]) -> (%y, %x) {
          %y = nn.reshape %x {shape = [3, 4]} : f32[3,4]
        }""",
    )


def test_transpose_of_unit_axes_is_a_reshape() -> None:
    transforms(
        """
        graph @g(%x: f32[1,3,1,4]) -> (%y) {
          %y = nn.transpose %x {perm = [1, 0, 3, 2]} : f32[3,1,4,1]
        }""",
        Canonicalise(),
        """
        graph @g(%x: f32[1,3,1,4]) -> (%y) {
          %y = nn.reshape %x {shape = [3, 1, 4, 1]} : f32[3,1,4,1]
        }""",
    )


def test_transpose_of_wide_axes_stays() -> None:
    leaves(
        """
        graph @g(%x: f32[1,3,1,4]) -> (%y) {
          %y = nn.transpose %x {perm = [0, 3, 2, 1]} : f32[1,4,1,3]
        }""",
        Canonicalise(),
    )


def test_reshapes_join_and_vanish() -> None:
    transforms(
        """
        graph @g(%x: f32[2,6]) -> (%z, %same) {
          %y = nn.reshape %x {shape = [3, 4]} : f32[3,4]
          %z = nn.reshape %y {shape = [12]} : f32[12]
          %same = nn.reshape %x {shape = [2, 6]} : f32[2,6]
        }""",
        Canonicalise(),
        """
        graph @g(%x: f32[2,6]) -> (%z, %x) {
          %z = nn.reshape %x {shape = [12]} : f32[12]
        }""",
    )


def test_ops_that_do_nothing_vanish() -> None:
    transforms(
        """
        graph @g(%x: f32[2,3]) -> (%d) {
          %a = nn.cast %x {to = f32} : f32[2,3]
          %b = nn.pad %a {pads = [0, 0, 0, 0], value = 7.0} : f32[2,3]
          %c = nn.expand %b {shape = [1, 3]} : f32[2,3]
          %d = nn.transpose %c {perm = [0, 1]} : f32[2,3]
        }""",
        Canonicalise(),
        IDENTITY,
    )


def test_ops_that_do_something_stay() -> None:
    leaves(
        """
        graph @g(%x: f32[2,1]) -> (%a, %b, %c) {
          %a = nn.cast %x {to = i32} : i32[2,1]
          %b = nn.pad %x {pads = [0, 0, 0, 1]} : f32[2,2]
          %c = nn.expand %x {shape = [2, 3]} : f32[2,3]
        }""",
        Canonicalise(),
    )


def test_constants_fold() -> None:
    transforms(
        """
        graph @g(%x: f32[2]) -> (%y) {
          %a = nn.constant {value = dense<f32[2]: 1.5, -2.0>} : f32[2]
          %b = nn.constant {value = dense<f32[]: 0.5>} : f32[]
          %c = nn.mul %a, %b : f32[2]
          %d = nn.abs %c : f32[2]
          %y = nn.max %x, %d : f32[2]
        }""",
        Canonicalise(),
        """
        graph @g(%x: f32[2]) -> (%y) {
          %d = nn.constant {value = dense<f32[2]: 0.75, 1.0>} : f32[2]
          %y = nn.max %x, %d : f32[2]
        }""",
    )


def test_a_folded_constant_can_be_neutral() -> None:
    transforms(
        """
        graph @g(%x: f32[2,3]) -> (%y) {
          %a = nn.constant {value = dense<f32[]: -1.0>} : f32[]
          %b = nn.neg %a : f32[]
          %y = nn.mul %x, %b : f32[2,3]
        }""",
        Canonicalise(),
        IDENTITY,
    )


def test_codes_are_moved_like_numbers() -> None:
    before = parse("""
        graph @g(%x: code<{-1,1}>[1,3,1,2]) -> (%z) {
          %y = nn.transpose %x {perm = [0, 3, 2, 1]} : code<{-1,1}>[1,2,1,3]
          %z = nn.transpose %y {perm = [0, 3, 2, 1]} : code<{-1,1}>[1,3,1,2]
        }""")
    after = Canonicalise().run(before)
    assert after.ops == ()
    same_meaning(before, after)


def test_a_second_run_changes_nothing() -> None:
    text = """
        graph @g(%x: f32[2,3,4]) -> (%z) {
          %z = nn.transpose %x {perm = [1, 0, 2]} : f32[3,2,4]
        }"""
    leaves(text, Canonicalise())


def test_constants_hold_once_what_they_repeat() -> None:
    """Exporters write thresholds as large as the tensor; a row that gives the result its size stays, and so do zeros of two signs."""
    transforms(
        """
        graph @g(%x: f32[2,2], %z: f32[1,2]) -> (%y, %v) {
          %a = nn.constant {value = dense<f32[2,2]: 1.0, 2.0, 1.0, 2.0>} : f32[2,2]
          %b = nn.constant {value = dense<f32[2,2]: 3.0, 3.0, 3.0, 3.0>} : f32[2,2]
          %c = nn.constant {value = dense<f32[2,2]: 0.0, 0.0, -0.0, -0.0>} : f32[2,2]
          %d = nn.mul %x, %a : f32[2,2]
          %e = nn.add %d, %b : f32[2,2]
          %y = nn.div %e, %c : f32[2,2]
          %v = nn.mul %z, %b : f32[2,2]
        }""",
        Canonicalise(),
        """
        graph @g(%x: f32[2,2], %z: f32[1,2]) -> (%y, %v) {
          %b = nn.constant {value = dense<f32[2,2]: 3.0, 3.0, 3.0, 3.0>} : f32[2,2]
          %a = nn.constant {value = dense<f32[1,2]: 1.0, 2.0>} : f32[1,2]
          %d = nn.mul %x, %a : f32[2,2]
          %s = nn.constant {value = dense<f32[]: 3.0>} : f32[]
          %e = nn.add %d, %s : f32[2,2]
          %c = nn.constant {value = dense<f32[2,1]: 0.0, -0.0>} : f32[2,1]
          %y = nn.div %e, %c : f32[2,2]
          %v = nn.mul %z, %b : f32[2,2]
        }""",
    )


def _with_expand(use: str) -> str:
    return f"""
        graph @g(%x: f32[2,3], %s: f32[2,1]) -> (%y) {{
          %c = nn.constant {{value = dense<f32[]: 127.0>}} : f32[]
          %r = nn.constant {{value = dense<f32[3]: 1.0, 2.0, 3.0>}} : f32[3]
          %e = nn.expand %s {{shape = [2, 3]}} : f32[2,3]
          {use}
        }}"""


def test_what_is_expanded_broadcasts_by_itself() -> None:
    use = "%y = nn.mul %x, {} : f32[2,3]"
    transforms(_with_expand(use.format("%e")), Canonicalise(), _with_expand(use.format("%s")))


def test_expanding_moves_behind_a_number() -> None:
    before = "%i = nn.reciprocal %e : f32[2,3]\n          %y = nn.mul %i, %c : f32[2,3]"
    after = """%i = nn.reciprocal %s : f32[2,1]
          %m = nn.mul %i, %c : f32[2,1]
          %y = nn.expand %m {shape = [2, 3]} : f32[2,3]"""
    transforms(_with_expand(before), Canonicalise(), _with_expand(after))


def test_an_expanded_factor_of_a_row_of_constants_broadcasts() -> None:
    use = "%y = nn.add {}, %r : f32[2,3]"
    transforms(_with_expand(use.format("%e")), Canonicalise(), _with_expand(use.format("%s")))
