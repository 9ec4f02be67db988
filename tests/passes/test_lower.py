"""``lower``: which kernels come out, that limits cut where thresholds do, and refusals by name."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from codegen.nets import FOUR, Net, kernel_passes, prepared
from hypothesis import given
from hypothesis import strategies as st

from bitc.errors import UnsupportedError
from bitc.ir import TERNARY, DType, Graph, Levels, Value
from bitc.passes.lower_codes import limits
from bitc.passes.pipeline import run_passes


def kernels(graph: Graph, rows: bool = False) -> list[str]:
    """The k ops, without constants and views."""
    passes = kernel_passes() if rows else kernel_passes()[:-1]
    return [op.name[2:] for op in run_passes(graph, passes).ops if op.name not in ("nn.constant", "k.view")]


@given(
    base=st.integers(-500, 500),
    step=st.integers(1, 3),
    edges=st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-600, 600), min_size=1, max_size=3),
    descending=st.booleans(),
    most=st.integers(1, 300),
)
def test_limits_cut_where_thresholds_do(base: int, step: int, edges: list[int], descending: bool, most: int) -> None:
    found = limits(np.array([[base]]), step, np.array([edges]), np.array([descending]), most)
    pops = np.arange(most + 1)
    acc = base - step * pops
    passed = sum((acc <= e if descending else acc >= e).astype(int) for e in edges)
    zeros = sum((~((pops > found[p, 0, 0]) ^ descending)).astype(int) for p in range(len(edges)))
    np.testing.assert_array_equal(zeros, passed)
    bits = [(pops > found[p, 0, 0]) ^ descending for p in range(len(edges))]
    for easier, harder in pairwise(bits):
        assert not (easier & ~harder).any(), "planes of a thermometer fill from plane 0 on"


def test_a_threshold_ends_the_product_it_alone_reads() -> None:
    n = Net(0)
    h = n.threshold(n.conv(n.threshold(n.input(1, 8, 5, 5), TERNARY), 16))
    assert kernels(n.graph(n.b.add("q.decode", h))) == [
        "strided",
        "pack",
        "fill_halo",
        "bconv_bits",
        "unpack",
        "strided",
    ]


def test_a_border_is_part_of_the_product() -> None:
    n = Net(0)
    h = n.threshold(n.conv(n.threshold(n.input(1, 8, 5, 5)), 16))
    graph = prepared(n.graph(n.b.add("q.decode", h)))
    assert "q.border" in [op.name for op in graph.ops]
    lowered = run_passes(graph, kernel_passes()[:-1])
    (product,) = [op for op in lowered.ops if op.name == "k.bconv_bits"]
    assert product.operands[2].shape == (1, 9, 16)
    assert product.attrs["row_class"] == (0, 1, 1, 1, 2)


def test_an_accumulator_with_two_readers_is_kept() -> None:
    n = Net(0)
    acc = n.b.add("q.matmul", n.threshold(n.input(4, 70)), n.signs(70, 9))
    graph = n.graph(n.floats(acc), n.b.add("q.decode", n.threshold(acc, FOUR)))
    assert kernels(graph) == ["pack", "bconv_acc", "map", "pack", "unpack"]


def test_moves_of_unit_axes_are_free() -> None:
    n = Net(0)
    x = n.input(2, 1, 4, 4)
    y = n.b.add("nn.reshape", n.conv(x, 7, (4, 4), pad=0), shape=(2, 7))
    assert kernels(n.graph(n.b.add("nn.relu", y))) == ["fconv", "map"]


def test_a_second_pad_level_gets_a_buffer_of_its_own() -> None:
    n = Net(0)
    h = n.threshold(n.input(1, 8, 5, 5), TERNARY)
    y = n.b.add("nn.add", n.floats(n.conv(h, 4, pad_level=0)), n.floats(n.conv(h, 4, pad_level=-1)))
    assert kernels(n.graph(y)).count("fill_halo") == 2


def test_rows_are_joined_only_where_rows_agree() -> None:
    n = Net(0)
    f = n.b.add("nn.relu", n.floats(n.conv(n.threshold(n.input(1, 8, 6, 6), TERNARY), 16)))
    h = n.threshold(f, TERNARY)
    y = n.b.add("nn.add", f, n.floats(n.conv(h, 16)))
    lowered = run_passes(n.graph(n.b.add("nn.neg", y)), kernel_passes())
    bodies = [op.attrs["body"] for op in lowered.ops if op.name == "k.rows"]
    made = [[op.name[2:] for op in body.ops if op.name != "nn.constant"] for body in bodies]
    assert made == [["bconv_acc", "map", "pack"], ["bconv_acc", "map"]]


def _volume(n: Net) -> Value:
    return n.conv(n.input(1, 2, 4, 4, 4), 3, (2, 2, 2), pad=0)


def _codes_out(n: Net) -> Value:
    return n.threshold(n.input(1, 3, 2, 2))


def _wide_weights(n: Net) -> Value:
    w = n.b.add("q.encode", n.const([[-1.0], [0.0], [1.0]]), levels=TERNARY)
    return n.floats(n.b.add("q.matmul", n.threshold(n.input(2, 3)), w))


def _foreign_pad(n: Net) -> Value:
    return n.floats(n.conv(n.threshold(n.input(1, 3, 4, 4), Levels(1, 2, 2)), 2))


def _doubles(n: Net) -> Value:
    return n.b.add("nn.softmax", n.input(2, 3, dtype=DType.F64), axis=1)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (_volume, "U133"),
        (_codes_out, "U102"),
        (_wide_weights, "U112"),
        (_doubles, "U130"),
    ],
)
def test_what_has_no_kernel_is_refused_by_name(make: Callable[[Net], Value], code: str) -> None:
    n = Net(0)
    graph = n.graph(make(n))
    with pytest.raises(UnsupportedError, match=code):
        run_passes(graph, kernel_passes())


def test_a_pad_level_outside_the_levels_is_refused_without_exact_padding() -> None:
    n = Net(0)
    with pytest.raises(UnsupportedError, match="U113"):
        run_passes(n.graph(_foreign_pad(n)), kernel_passes())


def test_planes_are_packed_from_bytes_or_from_planes() -> None:
    n = Net(0)
    plane = n.b.add("q.plane", n.input(3, 8, dtype=DType.U8), bit=5, levels=Levels(0, 32, 2))
    assert kernels(n.graph(n.b.add("q.decode", plane))) == ["pack_bit", "unpack"]
    plane = n.b.add("q.plane", n.threshold(n.input(3, 8), FOUR), bit=0, levels=Levels(0, 1, 2))
    assert kernels(n.graph(n.b.add("q.decode", plane))) == ["pack", "index_bit", "unpack"]


def test_a_unit_of_weights_joins_the_step() -> None:
    n = Net(0)
    w = n.b.add("q.encode", n.const(n.rng.choice([-4.0, 4.0], (70, 9))), levels=Levels(-4, 8, 2))
    acc = n.b.add("q.matmul", n.threshold(n.input(4, 70), TERNARY), w)
    lowered = run_passes(n.graph(acc), kernel_passes()[:-1])
    (product,) = [op for op in lowered.ops if op.name == "k.bconv_acc"]
    assert product.attrs["step"] == 4


def test_integers_of_any_range_are_packed_as_they_are() -> None:
    n = Net(0)
    assert kernels(n.graph(n.b.add("q.decode", n.threshold(n.input(2, 3, dtype=DType.I32))))) == ["pack", "unpack"]


def test_all_refusals_come_at_once() -> None:
    n = Net(0)
    graph = n.graph(n.b.add("nn.relu", _doubles(n)), _volume(n), _codes_out(n))
    with pytest.raises(UnsupportedError) as caught:
        run_passes(graph, kernel_passes())
    assert [d.code for d in caught.value.diagnostics] == ["U130", "U133"]
