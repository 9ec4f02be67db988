"""``absorb-pads``: explicit pads that are a convolution's own padding, and those that are not."""

from __future__ import annotations

import pytest
from passes.harness import Inputs, leaves, one_of, small_integers, transforms

from bitc.passes.pads import AbsorbPads

CODES: Inputs = one_of([-1, 1])
W = "%w = nn.constant {value = dense<f32[2,1,2,2]: 1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0>} : f32[2,1,2,2]"
Q = W + "\n          %q = q.encode %w {levels = {-1,1}} : code<{-1,1}>[2,1,2,2]"


def _conv(pads: str, dilations: str = "[1, 1]", more: str = "") -> str:
    return f"{{strides = [1, 1], pads = {pads}, dilations = {dilations}{more}}}"


def test_zero_pad_becomes_the_padding_of_a_conv() -> None:
    transforms(
        f"""
        graph @g(%x: f32[1,1,3,4]) -> (%y) {{
          {W}
          %p = nn.pad %x {{pads = [0, 0, 1, 0, 0, 0, 2, 3]}} : f32[1,1,6,7]
          %y = nn.conv %p, %w {_conv("[0, 1, 1, 0]")} : f32[1,2,6,7]
        }}""",
        AbsorbPads(),
        f"""
        graph @g(%x: f32[1,1,3,4]) -> (%y) {{
          {W}
          %y = nn.conv %x, %w {_conv("[1, 1, 3, 3]")} : f32[1,2,6,7]
        }}""",
        small_integers,
    )


def test_zero_pad_becomes_the_padding_of_a_weight_conv() -> None:
    transforms(
        f"""
        graph @g(%x: f32[1,1,2,2]) -> (%y) {{
          {Q}
          %p = nn.pad %x {{pads = [0, 0, 1, 1, 0, 0, 1, 1]}} : f32[1,1,4,4]
          %y = q.weight_conv %p, %q {_conv("[0, 0, 0, 0]", "[2, 1]")} : f32[1,2,2,3]
        }}""",
        AbsorbPads(),
        f"""
        graph @g(%x: f32[1,1,2,2]) -> (%y) {{
          {Q}
          %y = q.weight_conv %x, %q {_conv("[1, 1, 1, 1]", "[2, 1]")} : f32[1,2,2,3]
        }}""",
        small_integers,
    )


def test_pad_of_codes_sets_the_pad_level() -> None:
    transforms(
        f"""
        graph @g(%x: code<{{-1,1}}>[1,1,3,3]) -> (%y) {{
          {Q}
          %p = nn.pad %x {{pads = [0, 0, 1, 1, 0, 0, 1, 1], value = -1.0}} : code<{{-1,1}}>[1,1,5,5]
          %y = q.conv %p, %q {_conv("[0, 0, 0, 0]")} : i32[1,2,4,4]
        }}""",
        AbsorbPads(),
        f"""
        graph @g(%x: code<{{-1,1}}>[1,1,3,3]) -> (%y) {{
          {Q}
          %y = q.conv %x, %q {_conv("[1, 1, 1, 1]", more=", pad_level = -1")} : i32[1,2,4,4]
        }}""",
    )


def test_pad_of_codes_joins_padding_of_the_same_level() -> None:
    transforms(
        f"""
        graph @g(%x: code<{{0,1}}>[1,1,3,3]) -> (%y) {{
          {Q}
          %p = nn.pad %x {{pads = [0, 0, 1, 1, 0, 0, 1, 1]}} : code<{{0,1}}>[1,1,5,5]
          %y = q.conv %p, %q {_conv("[1, 0, 0, 1]")} : i32[1,2,5,5]
        }}""",
        AbsorbPads(),
        f"""
        graph @g(%x: code<{{0,1}}>[1,1,3,3]) -> (%y) {{
          {Q}
          %y = q.conv %x, %q {_conv("[2, 1, 1, 2]")} : i32[1,2,5,5]
        }}""",
    )


def _padded(pads: str, conv_pads: str, value: str = "0.0", out: str = "[1,2,5,5]", padded: str = "[1,1,5,5]") -> str:
    return f"""
        graph @g(%x: f32[1,1,3,3]) -> (%y) {{
          {W}
          %p = nn.pad %x {{pads = {pads}, value = {value}}} : f32{padded}
          %y = nn.conv %p, %w {_conv(conv_pads)} : f32{out}
        }}"""


@pytest.mark.parametrize(
    "text",
    [
        _padded("[0, 0, 1, 1, 0, 0, 1, 1]", "[0, 0, 0, 0]", "1.0", "[1,2,4,4]"),
        _padded("[0, 0, 1, 1, 0, 0, 1, 1]", "[1, 0, 0, 1]", "-0.5"),
        _padded("[1, 0, 0, 0, 0, 0, 0, 0]", "[0, 0, 0, 0]", out="[2,2,2,2]", padded="[2,1,3,3]"),
        _padded("[0, 0, 0, 0, 2, 0, 1, 1]", "[0, 0, 0, 0]", out="[3,2,3,3]", padded="[3,1,4,4]"),
    ],
    ids=["another value", "another value beside own padding", "batch begins", "batch ends"],
)
def test_other_pads_of_numbers_stay(text: str) -> None:
    leaves(text.replace(", value = 0.0", ""), AbsorbPads())


@pytest.mark.parametrize("pads", ["[0, 1, 0, 0, 0, 0, 0, 0]", "[0, 0, 0, 0, 0, 1, 0, 0]"])
def test_channel_pad_stays(pads: str) -> None:
    leaves(
        f"""
        graph @g(%x: f32[1,1,2,2]) -> (%y) {{
          %w = nn.constant {{value = dense<f32[1,2,1,1]: 1.0, -1.0>}} : f32[1,2,1,1]
          %p = nn.pad %x {{pads = {pads}}} : f32[1,2,2,2]
          %y = nn.conv %p, %w {_conv("[0, 0, 0, 0]")} : f32[1,1,2,2]
        }}""",
        AbsorbPads(),
    )


def test_pad_of_codes_beside_padding_of_another_level_stays() -> None:
    leaves(
        f"""
        graph @g(%x: code<{{-1,1}}>[1,1,3,3]) -> (%y) {{
          {Q}
          %p = nn.pad %x {{pads = [0, 0, 1, 1, 0, 0, 1, 1], value = 1.0}} : code<{{-1,1}}>[1,1,5,5]
          %y = q.conv %p, %q {_conv("[1, 1, 1, 1]")} : i32[1,2,6,6]
        }}""",
        AbsorbPads(),
    )
