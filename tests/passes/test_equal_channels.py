"""``equal-channels``: rows that are equal or opposite are multiplied once; what follows stays what it was; it says when it does not pay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from codegen.build import build, generated, lowered
from codegen.nets import Net, inputs_of, prepared
from runtime.harness import why_not

from bitc.codegen import TARGETS
from bitc.errors import OptionError
from bitc.ir import BIPOLAR, TERNARY, CodeType, Graph, Levels, Op, Value, evaluate
from bitc.passes.equal_channels import EqualChannels
from bitc.passes.mst_reorder import MstReorder

FOUR = Levels(0, 1, 4)


def repeated(n: Net, channels: int, different: int, *shape: int) -> np.ndarray:
    """Signs [channels, ...] of ``different`` rows, each of which comes in any order, as it is and opposite."""
    rows = n.rng.choice([-1.0, 1.0], (different, *shape))
    picked = np.concatenate([np.arange(different), n.rng.integers(0, different, channels - different)])
    signs = n.rng.choice([-1.0, 1.0], channels).reshape(-1, *[1] * len(shape))
    return rows[n.rng.permutation(picked)] * signs


def conv(n: Net, x: Value, channels: int, different: int, pad: int = 1) -> Value:
    weights = n.const(repeated(n, channels, different, x.shape[1], 3, 3))
    codes = n.b.add("q.encode", weights, levels=BIPOLAR)
    return n.b.add("q.conv", x, codes, strides=(1, 1), pads=(pad,) * 4, dilations=(1, 1), pad_level=0)


def layers(levels: Levels, size: int = 9, in_c: int = 70) -> Graph:
    """A layer that ends in codes, one that ends in numbers, with zero padding; a dense one that ends in codes, one in numbers."""
    n = Net(3)
    x = n.threshold(n.input(1, in_c, size, size), levels)
    y = n.threshold(conv(n, x, 130, 9), levels, 0.5, spread=40)
    z = n.floats(conv(n, y, 100, 11))
    signs = n.threshold(n.input(2, 90))
    dense = n.b.add("q.encode", n.const(repeated(n, 150, 20, 90).T), levels=BIPOLAR)
    h = n.threshold(n.b.add("q.matmul", signs, dense), levels)
    last = n.b.add("q.encode", n.const(repeated(n, 66, 7, 150).T), levels=BIPOLAR)
    return prepared(n.graph(n.b.add("q.decode", y), z, n.floats(n.b.add("q.matmul", h, last))))


def products(graph: Graph) -> list[Op]:
    return [op for op in graph.ops if op.name in ("q.conv", "q.matmul")]


def channels(graph: Graph) -> list[int]:
    return [op.result.shape[1] for op in products(graph)]


def same(got: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("levels", [BIPOLAR, TERNARY, FOUR], ids=str)
@pytest.mark.parametrize("costs", ["portable", "avx2"])
def test_rows_are_multiplied_once_and_nothing_changes(levels: Levels, costs: str) -> None:
    graph = layers(levels)
    after = EqualChannels(costs).run(graph)
    assert len(products(after)) == len(products(graph))
    assert all(now <= before for now, before in zip(channels(after), channels(graph), strict=True))
    if costs == "portable":
        assert channels(after)[0] < channels(graph)[0]
    inputs = inputs_of(graph)
    same(evaluate(after, inputs), evaluate(graph, inputs))


@pytest.mark.parametrize(("levels", "use"), [(BIPOLAR, "off"), (TERNARY, "off"), (BIPOLAR, "tables")], ids=str)
@pytest.mark.parametrize("name", ["portable", "avx2"])
def test_the_c_computes_the_same_bits(name: str, use: str, levels: Levels, tmp_path: Path) -> None:
    target = TARGETS[name]
    if (reason := why_not(target.isa)) is not None:
        pytest.skip(reason)
    graph = layers(levels, size=5)
    after = EqualChannels("portable").run(MstReorder("portable", use).run(graph))
    assert channels(after) < channels(graph)
    k = lowered(after, target)
    assert "k.pick_bits" in kernels(k)
    inputs = inputs_of(graph)
    wanted = evaluate(graph, inputs)
    same(evaluate(k, inputs), wanted)
    same(build(generated(k, target, guard_bytes=64), target, tmp_path).run(inputs), wanted)


def kernels(k: Graph) -> set[str]:
    bodies = [op.attrs["body"] for op in k.ops if op.name == "k.rows"]
    return {op.name for graph in (k, *bodies) for op in graph.ops}


def one_layer(different: int, size: int = 14, channels: int = 64, spread: int = 40) -> Graph:
    n = Net(5)
    x = n.threshold(n.input(1, 64, size, size))
    return prepared(n.graph(n.b.add("q.decode", n.threshold(conv(n, x, channels, different), spread=spread))))


def test_what_is_computed_is_said() -> None:
    after = EqualChannels("portable").run(one_layer(8))
    computed = channels(after)[0]
    assert 8 <= computed < 64
    assert after.attrs["form_costs"][-1][1] == f"{computed} of 64 channels computed"


def test_many_thresholds_of_one_row_are_planes_of_one_code() -> None:
    after = EqualChannels("portable").run(one_layer(1, channels=256))
    (pick,) = (op for op in after.ops if op.name == "q.pick")
    thresholds = pick.operands[0].type
    assert isinstance(thresholds, CodeType)
    assert thresholds.levels.planes > 1


@pytest.mark.parametrize("costs", ["portable", "avx2", "avx512"])
def test_few_equal_channels_do_not_pay(costs: str) -> None:
    graph = one_layer(60)
    assert channels(EqualChannels(costs).run(graph)) == channels(graph)


def test_products_along_trees_and_groups_are_left_alone() -> None:
    trees = MstReorder("portable", "on").run(one_layer(8))
    assert channels(EqualChannels("portable").run(trees)) == [64]
    n = Net(6)
    x = n.threshold(n.input(1, 64, 8, 8))
    codes = n.b.add("q.encode", n.const(repeated(n, 64, 1, 1, 3, 3)), levels=BIPOLAR)
    y = n.b.add("q.conv", x, codes, strides=(1, 1), pads=(1,) * 4, dilations=(1, 1), pad_level=0, group=64)
    graph = prepared(n.graph(n.floats(y)))
    assert channels(EqualChannels("portable").run(graph)) == [64]


def test_unknown_costs_are_refused() -> None:
    with pytest.raises(OptionError, match="equal-channels"):
        EqualChannels("riscv").run(one_layer(8))
