"""``mst-reorder``: what it marks, what it declines and why, what it says of it; numbers stay what they were."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from codegen.nets import NETS, Net, inputs_of, kernel_passes, prepared

from bitc.errors import OptionError
from bitc.ir import BIPOLAR, TERNARY, CodeType, Graph, Op, evaluate
from bitc.ir.sliced import MOST_TERMS
from bitc.passes.mst_reorder import MstReorder, _Weighing, padded_tiles, seldom_between, trees_of
from bitc.passes.pipeline import run_passes


def products(graph: Graph) -> list[Op]:
    return [op for op in graph.ops if op.name in ("q.conv", "q.matmul")]


def marked(graph: Graph) -> list[str]:
    return [op.attrs["form"] for op in products(graph)]


def similar(n: Net, d: float, *shape: int) -> np.ndarray:
    """Signs [M, ...] of which each differs from an earlier one in ``d`` of its places."""
    w = n.rng.choice([-1.0, 1.0], shape)
    for c in range(1, shape[0]):
        w[c] = w[n.rng.integers(c)] * np.where(n.rng.random(shape[1:]) < d, -1, 1)
    return w


def layer(d: float, size: int = 28, channels: int = 64, group: int = 1, weights: np.ndarray | None = None) -> Graph:
    """Bits, a 3x3 layer whose channels differ by ``d`` (or that has square ``weights``), bits."""
    channels = channels if weights is None else len(weights)
    n = Net(1)
    x = n.threshold(n.input(1, channels, size, size))
    w = similar(n, d, channels, channels // group, 3, 3) if weights is None else weights
    codes = n.b.add("q.encode", n.const(w), levels=BIPOLAR)
    geometry = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "group": group}
    y = n.threshold(n.b.add("q.conv", x, codes, pad_level=0, **geometry))
    return prepared(n.graph(n.b.add("q.decode", y)))


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_on_marks_all_products_of_bits_and_off_none(net) -> None:  # type: ignore[no-untyped-def]
    graph = prepared(net())
    after = MstReorder("avx2", "on").run(graph)
    for before, op in zip(products(graph), products(after), strict=True):
        source = before.operands[0].type
        assert isinstance(source, CodeType)
        assert op.attrs["form"] == ("trees" if len(source.shape) in (2, 4) else "")
    assert set(marked(MstReorder("avx2", "off").run(graph))) <= {""}
    inputs = inputs_of(graph)
    for got, wanted in zip(evaluate(after, inputs), evaluate(graph, inputs), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_tables_are_for_products_of_one_group() -> None:
    graph = layer(0.1)
    after = MstReorder("avx2", "tables").run(graph)
    assert marked(after) == ["tables"]
    assert after.attrs["form_costs"][-1][1].startswith("tables ")
    assert marked(MstReorder("avx2", "tables").run(layer(0.1, group=4))) == [""]
    names = [op.name for op in run_passes(after, kernel_passes()).ops]
    assert "k.sliced_bits" in names


def test_auto_takes_tables_where_channels_are_few_and_popcounts_slow() -> None:
    n = Net(1)
    x = n.threshold(n.input(1, 128, 40, 40))
    codes = n.b.add("q.encode", n.const(np.sign(n.rng.normal(size=(8, 128, 3, 3)))), levels=BIPOLAR)
    y = n.threshold(n.b.add("q.conv", x, codes, pad_level=0, strides=(1, 1), pads=(1,) * 4, dilations=(1, 1)))
    graph = prepared(n.graph(n.b.add("q.decode", y)))
    said = MstReorder("portable").run(graph).attrs["form_costs"][-1][1]
    assert "tables" in said
    assert "planes" in said


@pytest.mark.parametrize("costs", ["portable", "avx2"])
def test_auto_takes_near_channels_and_leaves_few_pixels(costs: str) -> None:
    assert marked(MstReorder(costs).run(layer(0.05))) == ["trees"]
    assert marked(MstReorder(costs).run(layer(0.05, size=2))) == [""]
    assert marked(MstReorder("avx2").run(layer(0.5))) == [""]


def test_the_numbers_behind_a_choice_are_kept() -> None:
    near = MstReorder("avx2").run(layer(0.05)).attrs["form_costs"][-1][1]
    far = MstReorder("avx2", "on").run(layer(0.5)).attrs["form_costs"][-1][1]
    few = MstReorder("avx2").run(layer(0.05, size=2, channels=512)).attrs["form_costs"][-1][1]
    assert near.startswith("trees ")
    assert "d 0.05" in near or "d 0.04" in near
    assert "1x1 planes " in far
    assert "d 0.4" in far
    assert "trees at least" in few


def test_auto_skips_where_images_are_small_and_channels_near() -> None:
    """A vector of bits has 256 pixels, one of bytes 32."""
    small = MstReorder("avx2").run(layer(0.05, size=7, channels=256))
    assert marked(small) == ["skipping"]
    said = small.attrs["form_costs"][-1][1]
    assert said.startswith("skipping ")
    assert "of nibbles" in said
    assert "trees " in said
    assert marked(MstReorder("avx2").run(layer(0.05, size=14, channels=256))) == ["trees"]
    assert marked(MstReorder("portable").run(layer(0.05, size=7, channels=256))) == ["trees"]


def test_auto_skips_where_channels_are_few() -> None:
    """Kernels on words compute 32 channels of 64 at a time, there be 16 of 16 as in ResNets for small images; those on planes of bits turn
    numbers out slowly."""
    for channels, form in ((16, "skipping"), (64, "")):
        n = Net(1)
        acc = n.conv(n.threshold(n.input(1, channels, 32, 32)), channels)
        assert marked(MstReorder("avx2").run(prepared(n.graph(n.floats(acc))))) == [form]


def test_differences_that_lie_together_cost_less_than_scattered_ones() -> None:
    """Words of a tap are taken over whole: of 32 channels each, a quarter of them free."""
    n, signs = Net(3), [-1.0, 1.0]
    w = n.rng.choice(signs, (128, 4, 32, 3, 3))
    for c in range(1, 128):
        parent, free = w[n.rng.integers(c)], n.rng.random((4, 1, 3, 3)) < 0.25
        w[c] = np.where(free, w[c], parent)
    together, scattered = (
        _Weighing(products(graph)[0], "avx2", 1).choice("skipping").text
        for graph in (layer(0.0, 7, weights=w.reshape(128, 128, 3, 3)), layer(0.125, 7, channels=128))
    )
    shares = [int(said.split("(")[1].split("%")[0]) for said in (together, scattered)]
    assert 20 < shares[0] < 27
    assert 38 < shares[1] < 44


def test_skipping_is_forced_where_it_can_be() -> None:
    graph = layer(0.5, size=9, group=4)
    after = MstReorder("avx2", "skipping").run(graph)
    assert marked(after) == ["skipping"]
    assert "k.skip_bits" in [op.name for op in run_passes(after, kernel_passes()).ops]
    large = layer(0.5, size=300, channels=128)
    assert marked(MstReorder("avx2", "skipping").run(large)) == [""], "bytes of nibbles beyond what entries reach"


def test_a_tree_for_each_group() -> None:
    (product,) = products(layer(0.1, group=4))
    trees = trees_of(product)
    assert [len(tree.parent) for tree in trees] == [16] * 4
    assert {tree.terms for tree in trees} == {16 * 9}


def test_too_many_terms_are_declined() -> None:
    n = Net(2)
    wide = MOST_TERMS + 1
    y = n.b.add("q.matmul", n.threshold(n.input(3, wide), one_row=True), n.signs(wide, 2))
    after = MstReorder(use="on").run(n.graph(n.floats(y)))
    assert marked(after) == [""]
    assert f"{wide} terms" in after.attrs["form_costs"][-1][1]


def test_marked_products_become_kernels_on_planes_of_pixels() -> None:
    names = [op.name for op in run_passes(MstReorder(use="on").run(layer(0.3)), kernel_passes()).ops]
    assert "k.sliced_bits" in names
    assert "k.bconv_bits" not in names


@pytest.mark.parametrize(("gap", "between"), [(2, True), (12, False)])
def test_planes_that_seldom_differ_count_once(gap: int, between: bool) -> None:
    n = Net(4)
    acc = n.conv(n.threshold(n.input(1, 64, 30, 30)), 64)
    t = n.b.constant(np.stack([np.arange(64), np.arange(64) + gap], axis=1).astype(np.int32))
    codes = n.b.add("q.threshold", acc, t, n.b.constant(np.zeros(64, bool)), levels=TERNARY)
    assert seldom_between(n.pool(codes)) is between
    assert not seldom_between(n.threshold(acc))


def test_the_sign_of_a_number_is_seldom_zero() -> None:
    n = Net(4)
    x = n.input(1, 64, 30, 30)
    smallest = np.array([[-0.0, np.finfo(np.float32).smallest_subnormal]], np.float32)
    for t, one in ((smallest, True), (smallest * 5, False), (np.array([[-1.0, 1.0]], np.float32), False)):
        codes = n.b.add("q.threshold", x, n.b.constant(t), n.b.constant(np.zeros(1, bool)), levels=TERNARY)
        assert seldom_between(codes) is one


@pytest.mark.parametrize("tile", [1, 4])
@pytest.mark.parametrize(
    ("strides", "pads", "dilations"), [((1, 1), (1, 1, 1, 1), (1, 1)), ((2, 1), (2, 0, 0, 3), (1, 2))]
)
def test_tiles_that_meet_padding(
    tile: int, strides: tuple[int, int], pads: tuple[int, int, int, int], dilations: tuple[int, int]
) -> None:
    n = Net(5)
    codes = n.b.add("q.encode", n.const(n.rng.choice([-1.0, 1.0], (8, 4, 3, 3))), levels=BIPOLAR)
    x = n.threshold(n.input(1, 4, 9, 14))
    op = n.b.add("q.conv", x, codes, pad_level=0, strides=strides, pads=pads, dilations=dilations, group=1).producer
    assert op is not None
    rows, columns = op.result.shape[2:]
    met = []
    for y, first in itertools.product(range(rows), range(0, columns, tile)):
        down = [y * strides[0] - pads[0] + i * dilations[0] for i in range(3)]
        right = [
            x * strides[1] - pads[1] + j * dilations[1]
            for x in range(first, min(first + tile, columns))
            for j in range(3)
        ]
        met.append(min(down) < 0 or max(down) >= 9 or min(right) < 0 or max(right) >= 14)
    assert padded_tiles(op, tile) == pytest.approx(np.mean(met))


def test_unknown_options_are_refused() -> None:
    for bad in (MstReorder("riscv"), MstReorder(use="maybe")):
        with pytest.raises(OptionError, match="mst-reorder"):
            bad.run(layer(0.5, size=2))
