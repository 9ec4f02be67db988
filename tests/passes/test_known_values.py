"""``known-values``: one value for all inputs becomes a constant; what may be infinite, and outputs, stay."""

from __future__ import annotations

import numpy as np
import pytest
from passes.harness import op_names, parse, same_meaning

from bitc.ir import Builder, DType, Graph, TensorType, Value
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.exactness import exactness
from bitc.passes.facts import Range, bounds
from bitc.passes.known_values import KnownValues
from bitc.passes.value_sets import ValueSets

NOISE = """
        graph @g(%x: f32[2,4]) -> (%y) {
          %p = nn.constant {value = dense<f32[]: 1.0>} : f32[]
          %m = nn.constant {value = dense<f32[]: -1.0>} : f32[]
          %nothing = nn.constant {value = dense<f32[]: 0.0>} : f32[]
          %w = nn.constant {value = dense<f32[4,4]: 1, 2, -3, 1, 1, 2, 3, 4, 1, 2, 3, 4, -5, 6, 7, 8>} : f32[4,4]
          %a = nn.max %x, %m : f32[2,4]
          %c = nn.min %a, %p : f32[2,4]
          %s = nn.sign %c : f32[2,4]
          %d = nn.matmul CLIPPED, %w : f32[2,4]
          %r = nn.relu %d : f32[2,4]
          %e = nn.sin %c : f32[2,4]
          %n = nn.add %r, %e : f32[2,4]
          %z = nn.mul %nothing, %n : f32[2,4]
          %y = nn.add %s, %z : f32[2,4]
        }"""


def test_noise_times_zero_is_dropped_where_it_is_bounded() -> None:
    before = parse(NOISE.replace("CLIPPED", "%c"))
    after = KnownValues().run(before)
    assert not {"nn.matmul", "nn.sin", "nn.mul"} & set(op_names(after))
    assert ValueSets().values(after.outputs[0]) == (-1.0, 0.0, 1.0)
    same_meaning(before, after)


def test_zero_times_what_may_be_infinite_stays() -> None:
    after = KnownValues().run(parse(NOISE.replace("CLIPPED", "%x")))
    assert {"nn.matmul", "nn.mul"} <= set(op_names(after))


def test_an_output_stays() -> None:
    text = NOISE.replace("CLIPPED", "%c").replace("-> (%y)", "-> (%z)")
    assert "nn.mul" in op_names(KnownValues().run(parse(text)))


@pytest.mark.parametrize("largest", [1.0, 0.25])
def test_bounds_of_a_product_hold_at_the_corners(largest: float) -> None:
    text = (
        NOISE.replace("CLIPPED", "%c")
        .replace("f32[]: 1.0", f"f32[]: {largest}")
        .replace("f32[]: -1.0", f"f32[]: {-largest}")
    )
    graph = parse(text)
    product = next(op for op in graph.ops if op.name == "nn.matmul")
    fact = ValueSets().of(product.result)
    assert isinstance(fact, Range)
    w = product.operands[1].constant
    assert w is not None
    reached = np.abs(w.astype(np.float64)).sum(axis=0).max() * largest
    lo, hi = bounds(fact)
    assert lo == -hi
    assert reached <= hi < reached * 1.00001


@pytest.mark.parametrize(("weight", "exact"), [(0.1, False), (0.5, True)])
def test_sums_that_are_folded_then_are_promised_as_what_they_are(weight: float, exact: bool) -> None:
    """3 · 0.1 is rounded on its way, 3 · 0.5 is not."""
    b = Builder()
    x = b.input("x", TensorType((2, 3)))
    one = b.add("nn.cast", b.add("nn.greater_equal", b.add("nn.abs", b.add("nn.sign", x)), zero(b)), to=DType.F32)
    turned = b.add("nn.transpose", one, perm=(0, 1))
    w = b.constant(np.full((3, 2), weight, np.float32))
    graph = Graph("g", [x], b.ops, [b.add("nn.relu", b.add("nn.matmul", turned, w))])
    after = Canonicalise().run(KnownValues().run(graph))
    same_meaning(graph, after)
    assert after.outputs[0].constant is not None
    assert exactness(after).exact(after.outputs[0]) == exact


def test_what_a_rounded_mean_makes_known_is_rounded() -> None:
    b = Builder(fold=True)
    x = b.input("x", TensorType((2, 3)))
    one = b.add("nn.cast", b.add("nn.greater_equal", b.add("nn.abs", b.add("nn.sign", x)), zero(b)), to=DType.F32)
    third = b.add("nn.reduce_mean", b.constant(np.asarray([1, 0, 0], np.float32)), axes=(0,), keepdims=False)
    graph = Graph("g", [x], b.ops, [b.add("nn.relu", b.add("nn.mul", one, third))])
    assert ValueSets().values(graph.outputs[0]) == (float(np.float32(1) / np.float32(3)),)
    after = KnownValues().run(graph)
    assert op_names(after) == ["nn.expand", "nn.relu"]
    assert not exactness(after).exact(after.outputs[0])


def zero(b: Builder) -> Value:
    return b.constant(np.asarray(0, np.float32))
