"""``fuse-rows`` and ``flatten-ranks``: regions by rows, and shapes that become rows or images; nothing changes."""

from __future__ import annotations

import numpy as np
import pytest
from codegen.nets import NETS, Net, inputs_of, kernel_passes, prepared, random_chain

from bitc.ir import Graph, evaluate
from bitc.passes.fuse_rows import FuseRows
from bitc.passes.pipeline import run_passes


def rows_of(graph: Graph, budget_bytes: int = 24576) -> Graph:
    """The k graph with rows fused."""
    return run_passes(prepared(graph), (*kernel_passes()[:-1], FuseRows(budget_bytes)))


@pytest.mark.parametrize("seed", range(6))
def test_meaning_is_kept(seed: int) -> None:
    graph = random_chain(seed)
    inputs = inputs_of(graph)
    for a, b in zip(evaluate(rows_of(graph), inputs), evaluate(graph, inputs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_step_keeps_inner_rows_within_the_budget() -> None:
    n = Net(0)
    f = n.b.add("nn.relu", n.floats(n.conv(n.threshold(n.input(1, 8, 20, 10)), 64)))
    graph = n.graph(n.b.add("q.decode", n.threshold(f)))
    row_bytes = 10 * 64 * (4 + 4 + 4) + 10 * 8  # accumulator, number, levels of the result, packed codes
    for budget, least, most in ((0, 1, 1), (row_bytes * 4, 4, 6), (10**9, 20, 20)):
        region = next(op for op in rows_of(graph, budget).ops if op.name == "k.rows")
        assert least <= region.attrs["step"] <= most


def test_images_of_one_row_are_left_alone() -> None:
    n = Net(0)
    y = n.b.add("nn.relu", n.floats(n.b.add("q.matmul", n.threshold(n.input(5, 70)), n.signs(70, 9))))
    assert not [op for op in rows_of(n.graph(y)).ops if op.name == "k.rows"]


def test_all_networks_have_regions_where_images_have_rows() -> None:
    found = {net.__name__: sum(op.name == "k.rows" for op in rows_of(net()).ops) for net in NETS}
    assert found["convolutions"] == 2
    assert found["dense"] == 0
