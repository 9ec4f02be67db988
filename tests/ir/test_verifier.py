"""Each rule of the verifier, broken alone, and all findings at once."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import numpy as np
import pytest

from bitc.ir import (
    BIPOLAR,
    Builder,
    CodeType,
    DType,
    Graph,
    Layout,
    Op,
    OpDecl,
    TensorType,
    Value,
    VerificationError,
    lookup,
    rewrite,
    verify,
)

F = TensorType((2, 3))


def made(name: str, operands: list[Value], types: list[TensorType | CodeType], **attrs: object) -> Op:
    """An op with results of the given types, whatever its rule says."""
    op = Op(lookup(name), operands, attrs)
    op.results = tuple(Value(f"{name.split('.')[1]}{i}", t, op) for i, t in enumerate(types))
    return op


def findings(graph: Graph) -> list[str]:
    with pytest.raises(VerificationError) as caught:
        verify(graph)
    assert isinstance(caught.value, AssertionError)
    assert all(finding in str(caught.value) for finding in caught.value.findings)
    return caught.value.findings


def test_a_good_graph_passes_in_any_layout() -> None:
    b = Builder()
    x = b.input("x", TensorType((1, 2, 3, 3), layout=Layout.NHWC))
    y = b.add("nn.relu", x)
    y.type = TensorType((1, 2, 3, 3), layout=Layout.NHWC)
    verify(Graph("g", [x], b.ops, [y]))


def use_before_definition(x: Value) -> Graph:
    first = made("nn.relu", [x], [F])
    second = made("nn.neg", [first.result], [F])
    return Graph("g", [x], [second, first], [second.result])


def foreign_value(x: Value) -> Graph:
    relu = made("nn.relu", [Value("x", F)], [F])
    return Graph("g", [x], [relu], [relu.result])


def name_taken(x: Value) -> Graph:
    relu = made("nn.relu", [x], [F])
    relu.result.name = "x"
    return Graph("g", [x], [relu], [relu.result])


def defined_twice(x: Value) -> Graph:
    relu = made("nn.relu", [x], [F])
    return Graph("g", [x], [relu, relu], [relu.result])


def wrong_producer(x: Value) -> Graph:
    relu = made("nn.relu", [x], [F])
    relu.result.producer = None
    return Graph("g", [x], [relu], [relu.result])


def output_of_nothing(x: Value) -> Graph:
    return Graph("g", [x], [], [Value("y", F)])


def too_many_operands(x: Value) -> Graph:
    relu = made("nn.relu", [x, x], [F])
    return Graph("g", [x], [relu], [relu.result])


def wrong_type(x: Value) -> Graph:
    relu = made("nn.relu", [x], [TensorType((2, 3), DType.F64)])
    return Graph("g", [x], [relu], [relu.result])


def wrong_result_count(x: Value) -> Graph:
    topk = made("nn.topk", [x], [TensorType((2, 1))], k=1, axis=-1, largest=True)
    return Graph("g", [x], [topk], [topk.results[0]])


def broken_rule(x: Value) -> Graph:
    softmax = made("nn.softmax", [x], [F], axis=5, log=False)
    return Graph("g", [x], [softmax], [softmax.result])


def missing_attribute(x: Value) -> Graph:
    softmax = made("nn.softmax", [x], [F], axis=1)
    return Graph("g", [x], [softmax], [softmax.result])


def unknown_attribute(x: Value) -> Graph:
    relu = made("nn.relu", [x], [F], alpha=0.1)
    return Graph("g", [x], [relu], [relu.result])


def attribute_of_no_kind(x: Value) -> Graph:
    softmax = made("nn.softmax", [x], [F], axis=np.int64(1), log=False)
    return Graph("g", [x], [softmax], [softmax.result])


def attribute_of_another_kind(x: Value) -> Graph:
    softmax = made("nn.softmax", [x], [F], axis=True, log=False)
    return Graph("g", [x], [softmax], [softmax.result])


def list_for_a_tuple(x: Value) -> Graph:
    reshape = made("nn.reshape", [x], [TensorType((6,))], shape=[6])
    return Graph("g", [x], [reshape], [reshape.result])


def unregistered_op(x: Value) -> Graph:
    stray = type("Stray", (OpDecl,), {"name": "nn.relu", "operands": ("x",), "infer": staticmethod(lambda t: t)})
    op = Op(stray, [x], {})
    op.results = (Value("y", F, op),)
    return Graph("g", [x], [op], op.results)


def nan_threshold(x: Value) -> Graph:
    b = Builder()
    t, down = b.constant(np.full((1, 1), np.nan, np.float32)), b.constant(np.asarray([False]))
    return Graph("g", [x], b.ops, [b.add("q.threshold", x, t, down, levels=BIPOLAR)])


def zero_scale(x: Value) -> Graph:
    codes = Value("c", CodeType((2,), BIPOLAR, 0.0))
    return Graph("g", [x, codes], [], [codes])


def graph_attribute_of_no_kind(x: Value) -> Graph:
    return Graph("g", [x], [], [x], {"when": {1}})


def region_with_a_fault(x: Value) -> Graph:
    p = Value("p", F)
    inner = made("nn.relu", [x], [F])  # reads the outer graph's value
    op = made("q.map", [x], [F], body=Graph("body", [p], [inner], [inner.result]))
    return Graph("g", [x], [op], [op.result])


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (use_before_definition, "%neg0 = nn.neg: reads %relu0 before it is defined"),
        (foreign_value, "%relu0 = nn.relu: reads %x but is of another graph"),
        (name_taken, "%x = nn.relu: the name %x is taken"),
        (defined_twice, "%relu0 = nn.relu: %relu0 is defined twice"),
        (wrong_producer, "%relu0 = nn.relu: %relu0 names None as its producer"),
        (output_of_nothing, "output %y is not defined"),
        (too_many_operands, "%relu0 = nn.relu: nn.relu takes operands ('x',), got 2"),
        (wrong_type, "%relu0 = nn.relu: %relu0 is f64[2,3], its rule gives f32[2,3]"),
        (wrong_result_count, "%topk0 = nn.topk: has 1 results, its rule gives 2"),
        (broken_rule, "%softmax0 = nn.softmax: nn.softmax: axis 5 is outside rank 2"),
        (missing_attribute, "%softmax0 = nn.softmax: attribute log is missing"),
        (unknown_attribute, "%relu0 = nn.relu: has no attribute alpha"),
        (attribute_of_no_kind, "%softmax0 = nn.softmax: attribute axis is a int64, no kind of attribute"),
        (attribute_of_another_kind, "%softmax0 = nn.softmax: attribute axis must be a whole number, not True"),
        (list_for_a_tuple, "%reshape0 = nn.reshape: attribute shape is a list, no kind of attribute"),
        (unregistered_op, "%y = nn.relu: the op is not registered"),
        (nan_threshold, "%2 = q.threshold: a threshold is NaN"),
        (zero_scale, "inputs: %c has scale 0.0, which is no finite nonzero number"),
        (graph_attribute_of_no_kind, "graph attribute when is a set, no kind of attribute"),
        (region_with_a_fault, "%map0 = q.map: in region body: %relu0 = nn.relu: reads %x but is of another graph"),
    ],
)
def test_each_rule(broken: Callable[[Value], Graph], expected: str) -> None:
    assert findings(broken(Value("x", F))) == [expected]


def test_all_findings_are_listed() -> None:
    x = Value("x", F)
    bad = made("nn.relu", [x], [TensorType((9,))])
    worse = made("nn.softmax", [Value("y", F)], [F], axis=0)
    found = findings(Graph("g", [x, x], [bad, worse], [Value("z", F)]))
    assert len(found) == 5
    with pytest.raises(VerificationError, match="graph @g breaks 5 rules of the IR:\n  inputs: %x is defined twice"):
        verify(Graph("g", [x, x], [bad, worse], [Value("z", F)]))


def test_what_was_checked_before_is_not_checked_again() -> None:
    """The same op on the same types is taken as sound; one whose type or attribute changed is not."""
    b = Builder()
    x = b.input("x", F)
    y = b.add("nn.reshape", x, shape=(3, 2))
    before = Graph("g", [x], b.ops, [y])
    verify(before)
    kept = rewrite(before, lambda op, b: None)
    assert kept.ops[0] is not before.ops[0]
    with mock.patch("bitc.ir.verifier._op_findings", side_effect=AssertionError("checked again")):
        verify(kept, since=before)
    reshape = made("nn.reshape", [x], [F], shape=(3, 2))
    with pytest.raises(VerificationError, match="its rule gives"):
        verify(Graph("g", [x], [reshape], [reshape.result]), since=before)
    twice = made("nn.reshape", [x], [TensorType((3, 2))], shape=(3, 2), more=1)
    with pytest.raises(VerificationError, match="has no attribute more"):
        verify(Graph("g", [x], [twice], [twice.result]), since=before)
    foreign = made("nn.relu", [Value("x", F)], [F])
    with pytest.raises(VerificationError, match="of another graph"):
        verify(Graph("g", [x], [*kept.ops, foreign], [foreign.result]), since=before)
