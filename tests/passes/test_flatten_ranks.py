"""``flatten-ranks``: every code tensor ends as rows or images, and nothing changes."""

from __future__ import annotations

import numpy as np
from codegen.nets import FOUR, Net, inputs_of, other_ranks
from passes.harness import verify

from bitc.ir import BIPOLAR, TERNARY, CodeType, DType, Graph, Levels, evaluate
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.flatten_ranks import FlattenRanks
from bitc.passes.pipeline import run_passes


def flat(graph: Graph) -> Graph:
    """The pass' result, which means the same and holds codes of rank 2 and 4 only (weights aside)."""
    after = run_passes(graph, (FlattenRanks(), Canonicalise()))
    verify(after)
    inputs = inputs_of(graph)
    for a, b in zip(evaluate(after, inputs), evaluate(graph, inputs), strict=True):
        np.testing.assert_array_equal(a, b)
    for op in after.ops:
        for value in op.results:
            if isinstance(value.type, CodeType) and op.name != "q.encode":
                assert len(value.shape) in (2, 4), value
    return after


def names(graph: Graph) -> list[str]:
    """The ops in order, without constants."""
    return [op.name for op in graph.ops if op.name != "nn.constant"]


def test_products_of_stacked_rows_stay_packed_between() -> None:
    n = Net(0)
    h = n.threshold(n.input(2, 5, 70), one_row=True)
    h = n.threshold(n.b.add("q.matmul", h, n.signs(70, 30)), FOUR, one_row=True)
    after = flat(n.graph(n.floats(n.b.add("q.matmul", h, n.signs(30, 9)))))
    assert names(after) == [
        "nn.reshape", "q.threshold", "q.encode", "q.matmul", "q.threshold", "q.encode", "q.matmul", "nn.cast", "nn.reshape",
    ] or names(after) == [
        "nn.reshape", "q.threshold", "q.encode", "q.matmul", "q.threshold", "q.encode", "q.matmul", "nn.reshape", "nn.cast",
    ]  # fmt: skip


def test_thresholds_for_all_channels_follow_a_move_of_numbers() -> None:
    n = Net(0)
    h = n.threshold(n.input(2, 3, 4, 5), one_row=True)
    turned = n.b.add("nn.transpose", h, perm=(0, 2, 3, 1))
    after = flat(n.graph(n.b.add("q.decode", turned)))
    assert names(after) == ["nn.transpose", "q.threshold", "q.decode"]


def test_thresholds_of_sums_follow_a_move_of_the_sums() -> None:
    n = Net(0)
    sums = n.b.add("q.matmul", n.threshold(n.input(6, 70), one_row=True), n.signs(70, 4))
    stacked = n.b.add("nn.reshape", sums, shape=(1, 2, 3, 4))
    edges, down = n.b.constant(np.zeros((1, 1), np.int32)), n.b.constant(np.zeros(1, bool))
    h = n.b.add("q.threshold", stacked, edges, down, levels=BIPOLAR, scale=1.0)
    turned = n.b.add("nn.transpose", h, perm=(0, 2, 1, 3))
    after = flat(n.graph(n.b.add("q.decode", turned)))
    assert names(after)[-4:] == ["nn.reshape", "nn.transpose", "q.threshold", "q.decode"]


def test_codes_of_their_own_channels_are_moved_as_numbers() -> None:
    n = Net(0)
    h = n.threshold(n.input(2, 3, 4, 5), TERNARY)
    turned = n.b.add("nn.transpose", h, perm=(0, 2, 3, 1))
    after = flat(n.graph(n.b.add("q.decode", turned)))
    assert names(after) == ["q.threshold", "k.levels", "nn.transpose", "q.threshold", "q.decode"]


def test_reshapes_that_keep_pixels_stay_on_codes() -> None:
    n = Net(0)
    h = n.threshold(n.input(2, 70, 1, 1))
    rows = n.b.add("nn.reshape", h, shape=(2, 70))
    after = flat(n.graph(n.floats(n.b.add("q.matmul", rows, n.signs(70, 3)))))
    assert names(after) == ["q.threshold", "nn.reshape", "q.encode", "q.matmul", "nn.cast"]


def test_one_dimensional_images_get_a_height() -> None:
    flat(other_ranks())


def test_planes_of_bytes_are_packed_as_rows_or_images() -> None:
    n = Net(0)
    plane = n.b.add("q.plane", n.input(2, 5, 70, dtype=DType.U8), bit=3, levels=Levels(-8, 8, 2))
    after = flat(n.graph(n.floats(n.b.add("q.matmul", plane, n.signs(70, 9)))))
    assert names(after)[:4] == ["nn.reshape", "q.plane", "q.encode", "q.matmul"]
    n = Net(0)
    plane = n.b.add("q.plane", n.input(2, 5, 7, dtype=DType.U8), bit=0, levels=Levels(0, 1, 2))
    after = flat(n.graph(n.floats(n.conv(plane, 3, (3,), pad=1))))
    assert names(after)[:4] == ["nn.reshape", "q.plane", "q.encode", "q.conv"]


def test_planes_of_codes_stay_as_they_are_packed() -> None:
    n = Net(0)
    codes = n.threshold(n.input(2, 5, 70), FOUR, one_row=True)
    plane = n.b.add("q.plane", codes, bit=1, levels=Levels(0, 2, 2))
    after = flat(n.graph(n.floats(n.b.add("q.matmul", plane, n.signs(70, 9)))))
    assert names(after)[:5] == ["nn.reshape", "q.threshold", "q.plane", "q.encode", "q.matmul"]


def test_planes_move_as_bytes() -> None:
    n = Net(0)
    plane = n.b.add("q.plane", n.input(2, 3, 4, 5, dtype=DType.U8), bit=0, levels=Levels(0, 1, 2))
    after = flat(n.graph(n.b.add("q.decode", n.b.add("nn.transpose", plane, perm=(0, 2, 3, 1)))))
    assert names(after) == ["nn.transpose", "q.plane", "q.decode"]
