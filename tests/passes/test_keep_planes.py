"""``keep-planes``: which products along trees pass their bits as planes of pixels, and that nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from codegen.build import build, generated
from codegen.nets import Net, inputs_of, kernel_passes, prepared
from codegen.test_bit_exact import same
from runtime.harness import why_not

from bitc.codegen import TARGETS
from bitc.ir import BIPOLAR, TERNARY, Graph, Value, evaluate
from bitc.passes.keep_planes import KeepPlanes
from bitc.passes.mst_reorder import MstReorder
from bitc.passes.pipeline import run_passes

AROUND = (0, -1, 1)
"""Levels beside an image: none, so that borders have classes of their own, and those of either bit."""


def lowered(graph: Graph, isa: str) -> tuple[Graph, Graph]:
    """The k graph without the pass and with it; every product that can runs along a tree."""
    target = TARGETS[isa]
    passes = kernel_passes(target.bits.block, target.bits.byte_rows, target.float_block, target.isa)
    before = [step for step in passes if not isinstance(step, KeepPlanes)]
    along_trees = MstReorder(isa, "on").run(prepared(graph))
    return run_passes(along_trees, before), run_passes(along_trees, passes)


def kept(graph: Graph) -> list[bool]:
    """Of each product of bits whether its bits leave it as planes."""
    return [op.name == "k.sliced_lanes" for op in graph.ops if op.name in ("k.sliced_bits", "k.sliced_lanes")]


def chain(n: Net, x: Value, *layers: dict[str, object]) -> Value:
    """Convolutions whose bits the next one reads; the last one ends in numbers. ``planes``: of what a layer makes."""
    h = n.threshold(x)
    for number, layer in enumerate(layers):
        planes = layer.pop("planes", 1)
        acc = n.conv(h, int(layer.pop("channels", 40)), layer.pop("kernel", (3, 3)), **layer)  # type: ignore[arg-type]
        last = number == len(layers) - 1
        h = n.floats(acc) if last else n.threshold(acc, TERNARY if planes == 2 else BIPOLAR)
    return h


def chains() -> Graph:
    """Chains of every kind that is kept."""
    n = Net(21)
    x = n.input(2, 20, 9, 11)
    return n.graph(
        chain(n, x, {}, {"planes": 2}, {}),
        chain(n, x, *({"kernel": (1, 1), "pad": 0} for _ in range(3))),
        chain(n, x, {"channels": 70}, {"group": 7, "channels": 35}, {"channels": 3}),
        chain(
            n, x, {"kernel": (1, 1), "pad": 0, "stride": 2}, {"kernel": (2, 1), "pad": 0}, {"kernel": (1, 1), "pad": 0}
        ),
        chain(n, x, {"dilation": 2, "pad": 2}, {"dilation": 2, "pad": 2}),
        chain(n, x, {"pad": 0}, {}),
        chain(n, x, {"pads": (2, 0, 0, 2)}, {"pads": (0, 2, 2, 0)}, {"pads": (1, 0, 1, 2)}),
        chain(n, x, {"kernel": (2, 3), "pads": (0, 1, 1, 1)}, {"kernel": (4, 3), "pads": (3, 1, 0, 1)}),
        *(chain(n, x, {}, {"pad_level": level}, {"pad_level": -level}) for level in AROUND),
    )


@pytest.mark.parametrize(
    ("isa", "defined"), [("portable", ()), ("portable", ("BITC_LANES_32",)), ("avx2", ()), ("avx512", ())]
)
def test_planes_are_the_same_bits(isa: str, defined: tuple[str, ...], tmp_path: Path) -> None:
    graph = chains()
    words, planes = lowered(graph, isa)
    assert all(kept(planes))
    assert not any(kept(words))
    inputs = inputs_of(graph)
    wanted = evaluate(graph, inputs)
    same(evaluate(words, inputs), wanted)
    same(evaluate(planes, inputs), wanted)
    if why_not(isa) is None:
        library = build(generated(planes, TARGETS[isa], guard_bytes=64), TARGETS[isa], tmp_path, defined=defined)
        same(library.run(inputs), wanted)


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param(({}, {"stride": 2}), id="pixels are left out"),
        pytest.param(({"stride": 2}, {}), id="pixels were left out"),
        pytest.param(({}, {"pad": 0}), id="rows become shorter"),
        pytest.param(({}, {"kernel": (1, 1), "pad": 0}), id="rows of other lengths"),
        pytest.param(({}, {"kernel": (3, 5), "pad": 2}), id="wider windows"),
        pytest.param(
            ({"kernel": (3, 1), "pads": (1, 0, 1, 0)}, {"pads": (1, 2, 1, 0)}), id="windows begin before a row"
        ),
    ],
)
def test_other_readers_get_words(layers: tuple[dict[str, object], ...]) -> None:
    n = Net(22)
    graph = n.graph(chain(n, n.input(1, 16, 6, 8), *map(dict, layers)))
    words, planes = lowered(graph, "portable")
    assert kept(planes) == [False]
    same(evaluate(planes, inputs_of(graph)), evaluate(graph, inputs_of(graph)))
    assert words.ops[-1].name == planes.ops[-1].name


def test_bits_with_two_readers_stay_words() -> None:
    n = Net(23)
    bits = n.threshold(n.conv(n.threshold(n.input(1, 16, 6, 8)), 24))
    pooled = n.b.add("q.decode", n.pool(bits))
    graph = n.graph(n.floats(n.conv(bits, 8)), pooled)
    assert kept(lowered(graph, "portable")[1]) == [False]


def test_planes_are_no_larger_than_what_is_read() -> None:
    n = Net(24)
    graph = n.graph(chain(n, n.input(1, 16, 8, 62), {}, {}))
    (made,) = (op for op in lowered(graph, "portable")[1].ops if op.name == "k.sliced_lanes")
    assert made.attrs["lead_words"] == 2  # 65 lanes: a row of 64, and a pixel
    assert made.results[0].shape == (1, 1, 40, 2 + 8 + 2 + 2)  # 498 lanes, two rows more, and what vectors read beyond
