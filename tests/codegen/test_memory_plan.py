"""Memory plan: live buffers never overlap, the plan is no larger than it must be, in-place work is legal."""

from __future__ import annotations

from itertools import combinations

import pytest
from codegen.nets import NETS, Net, kernel_passes, prepared, random_chain
from hypothesis import given
from hypothesis import strategies as st

from bitc.codegen.memory_plan import ALIGN_BYTES, Block, MemoryPlan, place, plan_memory
from bitc.ir import Graph
from bitc.passes.pipeline import run_passes

BLOCKS = st.lists(
    st.builds(
        lambda size, first, life: Block("b", size * ALIGN_BYTES, first, first + life),
        st.integers(1, 30),
        st.integers(0, 12),
        st.integers(0, 6),
    ),
    max_size=14,
)


def check(blocks: list[Block], arena_bytes: int) -> None:
    """No two blocks that live at one moment overlap; all lie in the arena, aligned."""
    for a, b in combinations(blocks, 2):
        if a.overlaps_in_time(b):
            assert a.offset + a.size_bytes <= b.offset or b.offset + b.size_bytes <= a.offset
    for block in blocks:
        assert block.offset % ALIGN_BYTES == 0
        assert 0 <= block.offset <= arena_bytes - block.size_bytes


@given(BLOCKS)
def test_live_blocks_never_overlap(blocks: list[Block]) -> None:
    arena_bytes = place(blocks)
    check(blocks, arena_bytes)
    assert arena_bytes <= sum(block.size_bytes for block in blocks)
    moments = {block.first for block in blocks}
    peak = max((sum(b.size_bytes for b in blocks if b.first <= m <= b.last) for m in moments), default=0)
    assert arena_bytes >= peak


def planned(graph: Graph, guard_bytes: int = 0) -> tuple[Graph, MemoryPlan]:
    """The k graph and its plan."""
    lowered = run_passes(prepared(graph), kernel_passes())
    return lowered, plan_memory(lowered, guard_bytes)


@pytest.mark.parametrize("make", [*NETS, *(lambda s=s: random_chain(s) for s in range(8))])
def test_plans_of_networks(make: object) -> None:
    assert callable(make)
    for guard_bytes in (0, 64):
        _, plan = planned(make(), guard_bytes)
        check(list(plan.blocks), plan.arena_bytes)
        assert plan.peak_bytes <= plan.arena_bytes <= plan.sum_bytes


def test_a_chain_needs_two_buffers_at_a_time() -> None:
    n = Net(0)
    h = n.b.add("nn.relu", n.input(1, 512))
    for _ in range(6):
        h = n.b.add("nn.matmul", h, n.whole(512, 512))
    _, plan = planned(n.graph(h))
    assert plan.arena_bytes == 2 * 512 * 4


def test_maps_work_in_place_only_on_what_nobody_reads_again() -> None:
    n = Net(0)
    a = n.b.add("nn.matmul", n.input(1, 512), n.whole(512, 512))
    kept = n.b.add("nn.matmul", a, n.whole(512, 512))
    b = n.b.add("nn.relu", kept)
    graph, plan = planned(n.graph(n.b.add("nn.matmul", n.b.add("nn.reshape", b, shape=(1, 512)), n.whole(512, 3))))
    (relu,) = [op for op in graph.ops if op.name == "k.map"]
    assert plan.storage[relu.results[0]] == plan.storage[relu.operands[0]]

    n = Net(0)
    a = n.b.add("nn.matmul", n.input(1, 512), n.whole(512, 512))
    b = n.b.add("nn.matmul", n.b.add("nn.relu", a), n.whole(512, 512))
    c = n.b.add("nn.matmul", a, n.whole(512, 512))
    graph, plan = planned(n.graph(n.b.add("nn.matmul", n.b.add("nn.sub", b, c), n.whole(512, 4))))
    relu = next(op for op in graph.ops if op.name == "k.map")
    assert plan.storage[relu.results[0]] != plan.storage[relu.operands[0]]


def test_views_and_filled_halos_share_memory_outputs_have_their_own() -> None:
    n = Net(0)
    x = n.input(1, 8, 6, 6)
    h = n.threshold(n.conv(n.threshold(x), 8))
    graph, plan = planned(n.graph(n.b.add("q.decode", h), x))
    for op in graph.ops:
        if op.name in ("k.view", "k.fill_halo"):
            assert plan.storage[op.result] == plan.storage[op.operands[0]]
    assert [plan.storage[v].home for v in graph.outputs] == ["output", "output"]
    assert [plan.storage[v].place for v in graph.outputs] == [0, 1]


def test_values_inside_a_row_region_hold_its_step() -> None:
    n = Net(0)
    f = n.b.add("nn.relu", n.floats(n.conv(n.threshold(n.input(1, 8, 40, 40)), 64)))
    graph, plan = planned(n.graph(n.floats(n.conv(n.threshold(f), 2, (40, 40), pad=0))))
    (region,) = [op for op in graph.ops if op.name == "k.rows"]
    step = region.attrs["step"]
    assert 1 <= step < 40
    inside = [op.result for op in region.attrs["body"].ops if op.name in ("k.bconv_acc", "k.map")]
    assert len(inside) == 2
    sizes = {block.offset: block.size_bytes for block in plan.blocks if block.name in {value.name for value in inside}}
    assert [sizes[plan.storage[value].place] for value in inside] == [step * 40 * 64 * 4] * 2
