"""``hoist-repeats``: the same image in each time step is convolved once; what differs from step to step is left alone."""

from __future__ import annotations

import pytest
from passes.harness import leaves, small_integers, transforms

from bitc.passes.repeats import HoistRepeats

W = "%w = nn.constant {value = dense<f32[2,1,1,2]: 1.0, -1.0, 2.0, 1.0>} : f32[2,1,1,2]"
CONV = "{strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1]}"
C = "%c = nn.constant {value = dense<f32[1,2,1,1]: 3.0, -2.0>} : f32[1,2,1,1]"


@pytest.mark.parametrize(
    "repeated",
    [
        "%r = nn.concat %x, %x, %x {axis = 0} : f32[3,1,2,3]",
        "%r = nn.expand %x {shape = [3, 1, 2, 3]} : f32[3,1,2,3]",
    ],
)
def test_a_convolution_of_copies(repeated: str) -> None:
    transforms(
        f"""
        graph @g(%x: f32[1,1,2,3]) -> (%y) {{
          {W}
          {repeated}
          %y = nn.conv %r, %w {CONV} : f32[3,2,2,2]
        }}""",
        HoistRepeats(),
        f"""
        graph @g(%x: f32[1,1,2,3]) -> (%y) {{
          {W}
          %o = nn.conv %x, %w {CONV} : f32[1,2,2,2]
          %y = nn.concat %o, %o, %o {{axis = 0}} : f32[3,2,2,2]
        }}""",
        small_integers,
    )


def test_time_and_batch_merged_and_taken_apart_again() -> None:
    """As multi-step layers are exported: [T, B, ...] merged for the convolution, then a step at a time."""
    transforms(
        f"""
        graph @g(%x: f32[2,1,2,3]) -> (%s) {{
          {W}
          {C}
          %one = nn.reshape %x {{shape = [1, 2, 1, 2, 3]}} : f32[1,2,1,2,3]
          %r = nn.expand %one {{shape = [4, 2, 1, 2, 3]}} : f32[4,2,1,2,3]
          %m = nn.reshape %r {{shape = [8, 1, 2, 3]}} : f32[8,1,2,3]
          %y = nn.conv %m, %w {CONV} : f32[8,2,2,2]
          %n = nn.mul %y, %c : f32[8,2,2,2]
          %s = nn.slice %n {{starts = [4, 0, 0, 0], stops = [6, 2, 2, 2], steps = [1, 1, 1, 1]}} : f32[2,2,2,2]
        }}""",
        HoistRepeats(),
        f"""
        graph @g(%x: f32[2,1,2,3]) -> (%s) {{
          {W}
          {C}
          %one = nn.reshape %x {{shape = [1, 2, 1, 2, 3]}} : f32[1,2,1,2,3]
          %m = nn.reshape %one {{shape = [2, 1, 2, 3]}} : f32[2,1,2,3]
          %y = nn.conv %m, %w {CONV} : f32[2,2,2,2]
          %n = nn.mul %y, %c : f32[2,2,2,2]
          %s = nn.slice %n {{starts = [0, 0, 0, 0], stops = [2, 2, 2, 2], steps = [1, 1, 1, 1]}} : f32[2,2,2,2]
        }}""",
        small_integers,
    )


def test_a_step_by_its_index() -> None:
    transforms(
        """
        graph @g(%x: f32[2,3]) -> (%s) {
          %r = nn.concat %x, %x {axis = 0} : f32[4,3]
          %s = nn.gather %r {axis = 0, indices = dense<i64[3]: 3, 0, 2>} : f32[3,3]
        }""",
        HoistRepeats(),
        """
        graph @g(%x: f32[2,3]) -> (%s) {
          %s = nn.gather %x {axis = 0, indices = dense<i64[3]: 1, 0, 0>} : f32[3,3]
        }""",
    )


def test_one_row_by_its_number() -> None:
    """An index without axes, as exporters write the number of a step."""
    transforms(
        """
        graph @g(%x: f32[1,3]) -> (%s) {
          %r = nn.concat %x, %x {axis = 0} : f32[2,3]
          %s = nn.gather %r {axis = 0, indices = dense<i64[]: 1>} : f32[3]
        }""",
        HoistRepeats(),
        """
        graph @g(%x: f32[1,3]) -> (%s) {
          %s = nn.gather %x {axis = 0, indices = dense<i64[]: 0>} : f32[3]
        }""",
    )


@pytest.mark.parametrize(
    "lines",
    [
        # copies of two images
        "%r = nn.concat %x, %z {axis = 0} : f32[2,1,2,3]\n          %y = nn.relu %r : f32[2,1,2,3]",
        # along another axis
        "%r = nn.concat %x, %x {axis = 2} : f32[1,1,4,3]\n          %y = nn.relu %r : f32[1,1,4,3]",
        # the other operand differs from step to step
        "%r = nn.concat %x, %x {axis = 0} : f32[2,1,2,3]\n          %o = nn.concat %x, %z {axis = 0} : f32[2,1,2,3]\n"
        "          %y = nn.add %r, %o : f32[2,1,2,3]",
        # so does the constant
        "%r = nn.concat %x, %x {axis = 0} : f32[2,1,2,3]\n"
        "          %k = nn.constant {value = dense<f32[2,1,1,1]: 1.0, 2.0>} : f32[2,1,1,1]\n"
        "          %y = nn.add %r, %k : f32[2,1,2,3]",
        # rows of two copies
        "%r = nn.concat %x, %x, %x {axis = 0} : f32[3,1,2,3]\n"
        "          %y = nn.slice %r {starts = [1, 0, 0, 0], stops = [3, 1, 2, 3], steps = [1, 1, 1, 1]} : f32[2,1,2,3]",
    ],
)
def test_what_is_not_the_same(lines: str) -> None:
    leaves(
        f"""
        graph @g(%x: f32[1,1,2,3], %z: f32[1,1,2,3]) -> (%y) {{
          {lines}
        }}""",
        HoistRepeats(),
    )
