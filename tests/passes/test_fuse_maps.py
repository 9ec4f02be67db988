"""``fuse-maps``: what joins a map, what stays out, and that nothing changes."""

from __future__ import annotations

import numpy as np
from codegen.nets import NETS, Net, inputs_of, prepared

from bitc.ir import TERNARY, Graph, evaluate
from bitc.passes.fuse_maps import FuseMaps


def names(graph: Graph) -> list[str]:
    """The ops in order, without constants."""
    return [op.name for op in graph.ops if op.name != "nn.constant"]


def test_a_chain_and_its_side_uses_are_one_map() -> None:
    n = Net(0)
    x = n.input(1, 3, 4, 4)
    a = n.b.add("nn.mul", x, n.whole(3, 1, 1))
    b = n.b.add("nn.add", a, x)
    fused = FuseMaps().run(n.graph(n.b.add("nn.relu", b), a, n.pool(b)))
    assert names(fused) == ["q.map", "nn.max_pool"]
    assert len(fused.ops[0].results) == 3


def test_maps_do_not_close_a_cycle_round_another_op() -> None:
    n = Net(0)
    x = n.input(1, 3, 4, 4)
    a = n.b.add("nn.relu", x)
    pooled = n.pool(a, 3, 1, 1)
    fused = FuseMaps().run(n.graph(n.b.add("nn.add", a, pooled)))
    assert names(fused) == ["q.map", "nn.max_pool", "q.map"]


def test_shapes_that_grow_start_a_map_of_their_own() -> None:
    n = Net(0)
    x, gate = n.input(1, 3, 4, 4), n.input(1, 3, 1, 1)
    fused = FuseMaps().run(n.graph(n.b.add("nn.mul", x, n.b.add("nn.relu", gate))))
    assert [op.result.shape for op in fused.ops if op.name == "q.map"] == [(1, 3, 1, 1), (1, 3, 4, 4)]


def test_the_scale_of_decoded_codes_joins_the_map() -> None:
    n = Net(0)
    codes = n.threshold(n.input(1, 5, 2, 2), TERNARY, 0.25)
    fused = FuseMaps().run(n.graph(n.b.add("nn.relu", n.b.add("q.decode", codes))))
    assert names(fused) == ["q.threshold", "k.levels", "q.map"]


def test_meaning_is_kept() -> None:
    for net in NETS:
        graph = prepared(net())
        inputs = inputs_of(graph)
        for a, b in zip(evaluate(FuseMaps().run(graph), inputs), evaluate(graph, inputs), strict=True):
            np.testing.assert_array_equal(a, b)
