"""``exact-padding``: bit-exact for every geometry, and only where it is needed."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from passes.harness import leaves, op_names, same_meaning, transforms

from bitc.ir import BIPOLAR, Builder, Graph, Levels
from bitc.ir.types import CodeType
from bitc.passes.padding import ExactPadding, border_classes

F32 = np.float32


def test_zero_padding_of_signs_is_padding_with_one_and_a_table() -> None:
    transforms(
        """
        graph @g(%x: code<{-1,1}>[1,1,1,2]) -> (%y) {
          %w = nn.constant {value = dense<f32[1,1,1,3]: 1.0, 1.0, -1.0>} : f32[1,1,1,3]
          %q = q.encode %w {levels = {-1,1}} : code<{-1,1}>[1,1,1,3]
          %y = q.conv %x, %q {strides = [1, 1], pads = [0, 1, 0, 1], dilations = [1, 1]} : i32[1,1,1,2]
        }""",
        ExactPadding(),
        """
        graph @g(%x: code<{-1,1}>[1,1,1,2]) -> (%y) {
          %w = nn.constant {value = dense<f32[1,1,1,3]: 1.0, 1.0, -1.0>} : f32[1,1,1,3]
          %q = q.encode %w {levels = {-1,1}} : code<{-1,1}>[1,1,1,3]
          %a = q.conv %x, %q {strides = [1, 1], pads = [0, 1, 0, 1], dilations = [1, 1], pad_level = 1} : i32[1,1,1,2]
          %t = nn.constant {value = dense<i32[2,1]: -1, 1>} : i32[2,1]
          %y = q.border %a, %t {row_class = [0], col_class = [0, 1]} : i32[1,1,1,2]
        }""",
    )


def padded_conv(
    size: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int], pads: tuple[int, ...],
    *, levels: Levels = BIPOLAR, group: int = 1, per_group: int = 2, pad_level: int = 0, batch: int = 1,
) -> Graph:  # fmt: skip
    b = Builder()
    x = b.input("x", CodeType((batch, group * per_group, *size), levels))
    weights = np.random.default_rng([*kernel, *pads]).choice([-1, 1], (2 * group, per_group, *kernel)).astype(F32)
    codes = b.add("q.encode", b.constant(weights), levels=BIPOLAR)
    attrs = {"strides": strides, "dilations": dilations, "pads": pads, "group": group, "pad_level": pad_level}
    return Graph("g", [x], b.ops, [b.add("q.conv", x, codes, **attrs)])


AXES = [
    (size, kernel, stride, dilation, begin, end)
    for size, kernel, stride, dilation, begin, end in product(
        (1, 2, 3, 5), (1, 2, 3, 5), (1, 2, 3), (1, 2), (0, 1, 2, 3), (0, 1, 3)
    )
    if size + begin + end >= dilation * (kernel - 1) + 1
]
"""Along one axis: windows wider than the image, windows that lie in the padding altogether, strides that skip the end."""


def test_every_geometry_along_both_axes() -> None:
    assert len(AXES) > 800
    mixed = np.random.default_rng(0).permutation(len(AXES))
    for row, other in zip(AXES, mixed, strict=True):
        rows, cols = zip(row, AXES[other], strict=True), (row[4], AXES[other][4], row[5], AXES[other][5])
        size, kernel, strides, dilations, _, _ = rows
        graph = padded_conv(size, kernel, strides, dilations, cols)
        after = ExactPadding().run(graph)
        assert ("q.border" in op_names(after)) == any(cols)
        same_meaning(graph, after, runs=1)


@pytest.mark.parametrize("levels", [BIPOLAR, Levels(-3, 2, 4), Levels(1, 2, 2), Levels(2, 1, 3)])
@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("pad_level", [0, -5])
def test_levels_groups_batches_and_pad_levels(levels: Levels, group: int, pad_level: int) -> None:
    geometry = ((4, 3), (3, 3), (1, 2), (1, 1), (1, 2, 0, 1))
    graph = padded_conv(*geometry, levels=levels, group=group, pad_level=pad_level, batch=2, per_group=3)
    after = ExactPadding().run(graph)
    (conv,) = [op for op in after.ops if op.name == "q.conv"]
    assert conv.attrs["pad_level"] == levels.hi
    same_meaning(graph, after)


def test_a_3x3_kernel_has_nine_classes() -> None:
    graph = padded_conv((6, 6), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1))
    after = ExactPadding().run(graph)
    (border,) = [op for op in after.ops if op.name == "q.border"]
    assert border.operands[1].shape == (9, 2)


@pytest.mark.parametrize(
    ("levels", "pads", "pad_level"),
    [
        (Levels(-1, 1, 3), (1, 1, 1, 1), 0),
        (Levels(0, 1, 2), (1, 1, 1, 1), 0),
        (BIPOLAR, (0, 0, 0, 0), 0),
        (BIPOLAR, (1, 1, 1, 1), -1),
    ],
    ids=["ternary has 0", "binary has 0", "no padding", "a level as padding"],
)
def test_padding_that_is_a_level_stays(levels: Levels, pads: tuple[int, ...], pad_level: int) -> None:
    graph = padded_conv((3, 3), (3, 3), (1, 1), (1, 1), pads, levels=levels, pad_level=pad_level)
    assert op_names(ExactPadding().run(graph)) == op_names(graph)


def test_other_ops_stay() -> None:
    leaves(
        """
        graph @g(%x: f32[1,1,2,2]) -> (%y) {
          %w = nn.constant {value = dense<f32[1,1,1,1]: 2.0>} : f32[1,1,1,1]
          %y = nn.conv %x, %w {strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]} : f32[1,1,4,4]
        }""",
        ExactPadding(),
    )


def test_classes_share_masks() -> None:
    masks, classes = border_classes(8, 3, 1, 1, 1, 1)
    assert classes == (0, 1, 1, 1, 1, 1, 1, 2)
    assert [mask.tolist() for mask in masks] == [[False, True, True], [True, True, True], [True, True, False]]
    masks, classes = border_classes(1, 5, 1, 1, 4, 4)
    assert classes == (0, 1, 2, 3, 4)
    assert all(mask.sum() == 1 for mask in masks), "one pixel, seen by each tap in turn"
