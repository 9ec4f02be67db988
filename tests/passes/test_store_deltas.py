"""``store-deltas``: what is stored as differences, what stays, and that both multiply the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from codegen.nets import Net, grouped, inputs_of, kernel_passes, prepared

from bitc.codegen.targets import TARGETS
from bitc.compiler import Options, passes_for
from bitc.ir import BIPOLAR, TERNARY, Graph, Levels, Op, Value, evaluate, parse_graph, print_graph
from bitc.ir.packing import WeightForm
from bitc.passes.fuse_rows import FuseRows
from bitc.passes.mst_reorder import MstReorder
from bitc.passes.pipeline import run_passes
from bitc.passes.store_deltas import DECODER_BYTES, LAYER_BYTES, StoreDeltas

FORMS = {name: TARGETS[name].bits for name in ("portable", "avx2", "avx512")}


def similar(n: Net, channels: int, d: float, *shape: int) -> Value:
    """±1 weights of channels that are an earlier one, or its complement, but for a part ``d``."""
    w = n.rng.choice([-1.0, 1.0], (channels, *shape))
    for c in range(1, channels):
        w[c] = w[n.rng.integers(c)] * n.rng.choice([-1, 1]) * np.where(n.rng.random(shape) < d, -1, 1)
    return n.b.add("q.encode", n.const(w), levels=BIPOLAR)


def conv(n: Net, x: Value, weights: Value) -> Value:
    return n.b.add("q.conv", x, weights, strides=(1, 1), pads=(1,) * 4, dilations=(1, 1), pad_level=0)


def network(d: float, levels: Levels = BIPOLAR, channels: int = 128) -> Graph:
    """A layer that ends in bits and one that ends in numbers, of channels ``d`` apart, and one of random channels."""
    n = Net(3)
    x = n.threshold(n.input(1, 64, 7, 7), levels)
    y = n.threshold(conv(n, x, similar(n, channels, d, 64, 3, 3)), spread=40)
    z = n.threshold(conv(n, y, n.signs(64, channels, 3, 3)), spread=40)
    return prepared(n.graph(n.floats(conv(n, z, similar(n, channels, d, 64, 3, 3)))))


def lowered(graph: Graph, form: WeightForm = FORMS["portable"]) -> Graph:
    """The k graph before rows are fused."""
    passes = kernel_passes(form.block, form.byte_rows)
    return run_passes(graph, [step for step in passes if not isinstance(step, FuseRows)])


def products(graph: Graph) -> list[Op]:
    return [op for op in graph.ops if op.name in ("k.bconv_acc", "k.bconv_bits")]


def stored(graph: Graph) -> list[bool]:
    """Of each product whether its weights are decoded."""
    return [op.operands[1].producer.name == "k.delta_weights" for op in products(graph)]  # type: ignore[union-attr]


def constant_bytes(graph: Graph) -> int:
    return sum(op.result.constant.nbytes for op in graph.ops if op.name == "nn.constant")  # type: ignore[union-attr]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("levels", [BIPOLAR, TERNARY], ids=str)
def test_near_channels_are_stored_as_differences(form: WeightForm, levels: Levels) -> None:
    graph = lowered(network(0.1, levels), form)
    after = StoreDeltas().run(graph)
    assert stored(after) == [True, False, True]
    assert constant_bytes(after) < constant_bytes(graph) - DECODER_BYTES - 2 * LAYER_BYTES
    inputs = inputs_of(graph)
    for got, wanted in zip(evaluate(after, inputs), evaluate(graph, inputs), strict=True):
        np.testing.assert_array_equal(got, wanted)
    for before, now in zip(products(graph), products(after), strict=True):
        made = now.operands[1].producer
        assert made is not None
        if made.name == "k.delta_weights":
            decoded = made.decl.apply([made.operands[0].type], [made.operands[0].constant], made.attrs)
            np.testing.assert_array_equal(decoded, before.operands[1].constant)


def test_the_text_of_the_graph_comes_back() -> None:
    after = StoreDeltas().run(lowered(network(0.1)))
    constants: dict[str, np.ndarray] = {}
    text = print_graph(after, constants)
    assert "k.delta_weights" in text
    assert print_graph(parse_graph(text, constants), {}) == print_graph(after, {})


def test_each_product_says_what_was_weighed() -> None:
    after = StoreDeltas().run(lowered(network(0.1)))
    said = [text for _, text in after.attrs["form_costs"]]
    plain = products(lowered(network(0.1)))
    sizes = [f"{op.operands[1].constant.nbytes:,} bytes" for op in plain]  # type: ignore[union-attr]
    assert [text.startswith(f"weights of {size} as words, ") for text, size in zip(said, sizes, strict=True)] == [
        False,
        True,
        False,
    ]
    assert all(size in text for text, size in zip(said, sizes, strict=True))
    assert [text.split("(")[1][:4] for text in (said[0], said[2])] == ["d 0.", "d 0."]


def test_little_gain_does_not_pay_for_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """All layers together must gain more than the decoder takes, or nothing is stored."""
    graph = lowered(network(0.1))
    gained = constant_bytes(graph) - constant_bytes(StoreDeltas().run(graph)) - 2 * LAYER_BYTES
    monkeypatch.setattr("bitc.passes.store_deltas.DECODER_BYTES", gained - 1)
    assert stored(StoreDeltas().run(graph)) == [True, False, True]
    monkeypatch.setattr("bitc.passes.store_deltas.DECODER_BYTES", gained)
    after = StoreDeltas().run(graph)
    assert stored(after) == [False] * 3
    assert all(" as words, " in text for _, text in after.attrs["form_costs"])


def test_layers_with_more_weights_than_may_be_decoded_stay() -> None:
    graph = lowered(network(0.1, TERNARY))
    sizes = [op.operands[1].constant.nbytes for op in products(graph)]  # type: ignore[union-attr]
    assert sizes[0] > sizes[2]
    after = StoreDeltas(sizes[0] - 1).run(graph)
    assert stored(after) == [False, False, True]
    texts = [text for _, text in after.attrs["form_costs"]]
    assert [text.endswith(f"more than {sizes[0] - 1:,} to decode") for text in texts] == [True, False, False]
    assert str(StoreDeltas(4096)) == "store-deltas{most-bytes=4096}"


def test_weights_that_two_products_read_are_decoded_for_each() -> None:
    n = Net(4)
    w = similar(n, 64, 0.05, 64, 3, 3)
    x = n.threshold(n.input(1, 64, 5, 5))
    y = n.threshold(conv(n, x, w), spread=40)
    graph = lowered(prepared(n.graph(n.floats(conv(n, y, w)))))
    after = StoreDeltas().run(graph)
    assert stored(after) == [True, True]
    inputs = inputs_of(graph)
    np.testing.assert_array_equal(evaluate(after, inputs)[0], evaluate(graph, inputs)[0])


def test_groups_and_trees_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitc.passes.store_deltas.LAYER_BYTES", -(10**6))
    graph = lowered(prepared(grouped()))
    assert not any(op.name == "k.delta_weights" for op in StoreDeltas().run(graph).ops)
    trees = lowered(MstReorder("portable", "on").run(network(0.1)))
    assert not any(op.name == "k.delta_weights" for op in StoreDeltas().run(trees).ops)


def test_trees_are_not_chosen_for_their_time_where_size_counts() -> None:
    """Lists of differences take 16 bits each; who says ``on`` gets them all the same."""
    options, target = Options(small_weights=9000), TARGETS["portable"]
    assert [step.use for step in passes_for(target, options) if isinstance(step, MstReorder)] == ["off"]
    assert any(isinstance(step, StoreDeltas) for step in passes_for(target, options))
    forced = passes_for(target, replace(options, mst="on"))
    assert [step.use for step in forced if isinstance(step, MstReorder)] == ["on"]
    assert not any(isinstance(step, StoreDeltas) for step in passes_for(target, Options()))
