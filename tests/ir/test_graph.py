"""The tools that make graphs: Builder with folding, rewrite, drop_dead; and the types."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bitc.ir import (
    BIPOLAR,
    TERNARY,
    BufferType,
    Builder,
    CodeType,
    DType,
    Graph,
    InferenceError,
    Layout,
    Levels,
    Op,
    TensorType,
    Value,
    drop_dead,
    evaluate,
    print_graph,
    rewrite,
    verify,
)

V = TensorType((3,))


def constant(b: Builder, *numbers: float) -> Value:
    return b.constant(np.asarray(numbers, np.float32))


class TestBuilder:
    def test_names_are_the_hint_or_the_next_free_number(self) -> None:
        b = Builder()
        x = b.input("x", V)
        names = [b.add("nn.relu", x, name=hint).name for hint in ("y", "y", "x", "1", "")]
        assert names == ["y", "0", "1", "2", "3"]

    def test_attributes_are_completed_and_lists_become_tuples(self) -> None:
        b = Builder()
        y = b.add("nn.reduce_sum", b.input("x", V), axes=[0])
        assert y.producer is not None
        assert y.producer.attrs == {"axes": (0,), "keepdims": True}

    def test_unknown_and_missing_attributes(self) -> None:
        b = Builder()
        x = b.input("x", V)
        with pytest.raises(InferenceError, match="has no attribute"):
            b.add("nn.relu", x, alpha=1)
        with pytest.raises(InferenceError, match="needs attribute 'axis'"):
            b.add("nn.softmax", x)
        with pytest.raises(KeyError):
            b.add("nn.no_such_op", x)

    def test_constants_are_read_only_and_contiguous(self) -> None:
        array = Builder().constant(np.arange(6, dtype=np.float32).reshape(2, 3).T).constant
        assert array is not None
        assert array.flags.c_contiguous
        assert not array.flags.writeable

    def test_folding_evaluates_ops_on_constants(self) -> None:
        b = Builder(fold=True)
        y = b.add("nn.add", constant(b, 1, 2, 3), constant(b, 10), name="y", loc="Add", origin="sum")
        assert y.constant is not None
        assert y.constant.tolist() == [11, 12, 13]
        assert (y.name, y.producer.loc if y.producer else "", y.origin) == ("y", "Add", "sum")
        values, indices = b.add_multi("nn.topk", y, k=1)
        assert values.constant is not None
        assert indices.constant is not None
        assert indices.constant.dtype == np.int64

    def test_folding_stops_at_inputs_codes_and_its_limit(self) -> None:
        b = Builder(fold=True, fold_limit_bytes=8)
        small, large = constant(b, 1, -1), constant(b, 1, 2, 3)
        assert b.add("nn.neg", small).constant is not None
        assert b.add("nn.neg", large).constant is None
        assert b.add("q.encode", small, levels=BIPOLAR).constant is None
        assert b.add("nn.add", small, b.input("x", TensorType((2,)))).constant is None


class TestRewrite:
    def chain(self) -> Graph:
        b = Builder()
        x = b.input("x", V)
        y = b.add("nn.neg", b.add("nn.neg", x, name="a"), name="b", origin="twice", loc="Neg_1")
        dead = b.add("nn.exp", x, name="dead")
        assert dead.producer is b.ops[-1]
        return Graph("g", [x], b.ops, [b.add("nn.relu", y, name="out")], {"kept": 1})

    def test_a_rule_may_look_upwards_and_replace(self) -> None:
        def cancel(op: Op, b: Builder) -> Value | None:
            inner = op.operands[0].producer if op.operands else None
            if op.name == "nn.neg" and inner is not None and inner.name == "nn.neg":
                return inner.operands[0]
            return None

        graph = self.chain()
        before = print_graph(graph)
        found = rewrite(graph, cancel)
        verify(found)
        assert [op.name for op in found.ops] == ["nn.relu"]
        assert found.ops[0].operands == graph.inputs
        assert found.attrs == {"kept": 1}
        assert print_graph(graph) == before, "the given graph stays as it is"

    def test_a_rule_may_add_ops_and_the_origin_moves_over(self) -> None:
        def spell_out(op: Op, b: Builder) -> Value | None:
            if op.name != "nn.neg":
                return None
            return b.add("nn.mul", op.operands[0], b.constant(np.asarray(-1, np.float32)), loc=op.loc)

        graph = self.chain()
        found = rewrite(graph, spell_out)
        verify(found)
        assert [op.name for op in found.ops] == ["nn.constant", "nn.mul", "nn.constant", "nn.mul", "nn.relu"]
        assert found.ops[3].result.origin == "twice"
        x = [np.asarray([-1, 0, 2], np.float32)]
        np.testing.assert_array_equal(evaluate(found, x)[0], evaluate(graph, x)[0])

    def test_keeping_everything_keeps_names_locs_and_layouts(self) -> None:
        graph = drop_dead(self.chain())
        graph.ops[0].result.type = V.with_layout(Layout.NHWC)
        assert print_graph(rewrite(graph, lambda op, b: None)) == print_graph(graph)

    def test_several_results_are_replaced_together(self) -> None:
        b = Builder()
        x = b.input("x", V)
        graph = Graph("g", [x], b.ops, list(b.add_multi("nn.topk", x, k=2)))

        def swap_for_largest(op: Op, b: Builder) -> Sequence[Value] | None:
            return b.add_multi("nn.topk", op.operands[0], k=2, largest=False) if op.attrs["largest"] else None

        found = rewrite(graph, swap_for_largest)
        assert evaluate(found, [np.asarray([3, 1, 2], np.float32)])[1].tolist() == [1, 2]
        with pytest.raises(ValueError, match="zip"):
            rewrite(graph, lambda op, b: op.operands[0])

    def test_folding_on_the_way(self) -> None:
        b = Builder()
        x = b.input("x", V)
        y = b.add("nn.add", x, b.add("nn.neg", constant(b, 1, 2, 3)))
        found = rewrite(Graph("g", [x], b.ops, [y]), lambda op, b: None, fold=True)
        assert [op.name for op in found.ops] == ["nn.constant", "nn.add"]

    def test_drop_dead_keeps_what_any_result_needs(self) -> None:
        b = Builder()
        x = b.input("x", V)
        _, indices = b.add_multi("nn.topk", b.add("nn.neg", x), k=1)
        b.add("nn.exp", b.add("nn.abs", x))
        found = drop_dead(Graph("g", [x], b.ops, [indices]))
        assert [op.name for op in found.ops] == ["nn.neg", "nn.topk"]


def test_users_lists_an_op_once_for_each_operand() -> None:
    b = Builder()
    x = b.input("x", V)
    y = b.add("nn.add", x, x)
    users = Graph("g", [x], b.ops, [y]).users()
    assert users == {x: [b.ops[0], b.ops[0]], y: []}


def test_operands_by_name() -> None:
    b = Builder()
    x, w = b.input("x", TensorType((2, 3))), b.input("w", TensorType((3, 2)))
    op = b.add("nn.matmul", x, w).producer
    assert op is not None
    assert op.operand("b") is w
    with pytest.raises(KeyError):
        op.operand("c")


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (TensorType(()), "f32[]"),
        (TensorType((1, 2), DType.U8, Layout.NHWC), "u8[1,2]@nhwc"),
        (CodeType((4,), BIPOLAR), "code<{-1,1}>[4]"),
        (CodeType((4,), Levels(0, 2, 8), 0.1, Layout.NHWC64), "code<{0..14:2} * 0.1>[4]@nhwc64"),
        (CodeType((4,), BIPOLAR, float(np.float32(0.1))), "code<{-1,1} * 0.10000000149011612>[4]"),
        (CodeType((4,), BIPOLAR, np.float64(0.5)), "code<{-1,1} * 0.5>[4]"),
        (BufferType((2, 3), DType.U64), "mem<u64>[2,3]"),
    ],
)
def test_types_as_text(made: object, text: str) -> None:
    assert str(made) == text


def test_levels() -> None:
    four = Levels(-3, 2, 4)
    assert (four.hi, four.bits, four.planes, four.middle_twice) == (3, 2, 3, 0)
    assert four.values().tolist() == [-3, -1, 1, 3]
    assert [level for level in range(-5, 6) if four.contains(level)] == [-3, -1, 1, 3]
    assert [Levels(0, 1, count).bits for count in (2, 3, 4, 5, 256, 257)] == [1, 2, 2, 3, 8, 9]
    for index, level in enumerate(four.values()):
        planes = [1 if index > i else -1 for i in range(four.planes)]
        assert 2 * level == four.middle_twice + four.step * sum(planes)
    for step, count in ((0, 2), (1, 1)):
        with pytest.raises(ValueError, match="levels need"):
            Levels(0, step, count)
    assert TERNARY.values().tolist() == [-1, 0, 1]


def test_dtypes() -> None:
    assert [DType.of(dtype.numpy) for dtype in DType] == list(DType)
    assert DType.F16.is_float
    assert not DType.BOOL.is_float
    assert BufferType((3, 5), DType.U16).bytes == 30
    with pytest.raises(KeyError):
        DType.of(np.complex64)


def test_rewrite_tells_which_values_are_computed_as_before() -> None:
    """Those whose ops, up to the inputs, no rule touched; constants are computed from nothing."""
    b = Builder()
    x = b.input("x", V)
    kept = b.add("nn.relu", b.add("nn.add", x, constant(b, 1, 2, 3)))
    changed = b.add("nn.neg", x)
    below = b.add("nn.abs", changed)
    graph = Graph("g", [x], b.ops, [kept, below])
    heard: dict[Value, Value] = {}
    after = rewrite(graph, lambda op, b: b.add("nn.abs", x) if op.name == "nn.neg" else None, copied=heard.__setitem__)
    assert [value.producer.name for value in heard if value.producer] == ["nn.constant", "nn.add", "nn.relu"]
    assert heard[kept] is after.outputs[0]
    assert below not in heard
