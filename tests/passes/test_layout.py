"""``layouts``: where relayouts stand, and where none does."""

from __future__ import annotations

from codegen.nets import Net

from bitc.ir import Graph, Layout
from bitc.passes.fuse_maps import FuseMaps
from bitc.passes.layout import Layouts


def relayouts(graph: Graph) -> list[tuple[str, str]]:
    """(operand, layout) of each relayout."""
    laid = Layouts().run(FuseMaps().run(graph))
    return [(op.operands[0].name, op.attrs["layout"]) for op in laid.ops if op.name == "k.relayout"]


def test_an_image_is_turned_once_for_all_its_readers() -> None:
    n = Net(0)
    x = n.input(1, 3, 6, 6)
    assert relayouts(n.graph(n.b.add("nn.matmul", n.b.add("nn.reduce_sum", n.conv(x, 4), axes=(2, 3), keepdims=False),
                                     n.whole(4, 2)), n.b.add("nn.reduce_max", n.pool(x), axes=(1, 2, 3), keepdims=False))) == [
        ("x0", "nhwc")
    ]  # fmt: skip


def test_transposes_read_numbers_as_they_lie() -> None:
    n = Net(0)
    x = n.input(1, 6, 5, 3)
    turned = n.b.add("nn.transpose", x, perm=(0, 3, 1, 2))
    graph = n.graph(n.b.add("nn.reduce_sum", n.conv(turned, 4), axes=(1, 2, 3), keepdims=False))
    assert relayouts(graph) == []


def test_a_transpose_into_an_output_is_row_major() -> None:
    n = Net(0)
    out = n.b.add("nn.transpose", n.pool(n.input(1, 3, 4, 4)), perm=(0, 2, 3, 1))
    graph = n.graph(out)
    laid = Layouts().run(FuseMaps().run(graph))
    assert laid.outputs[0].type.layout is Layout.ROW_MAJOR  # type: ignore[union-attr]
    assert relayouts(graph) == [("x0", "nhwc")]


def test_output_names_survive() -> None:
    n = Net(0)
    graph = n.graph(n.pool(n.input(1, 3, 4, 4)))
    graph.outputs[0].name = "logits"
    laid = Layouts().run(graph)
    assert [value.name for value in laid.outputs] == ["logits"]
    names = [value.name for value in laid.values()]
    assert len(set(names)) == len(names)
