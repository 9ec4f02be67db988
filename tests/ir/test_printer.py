"""The text form as it reads, to the character."""

from __future__ import annotations

import numpy as np
import pytest

from bitc.ir import BIPOLAR, Builder, DType, Graph, Layout, Levels, Op, TensorType, Value, print_graph
from bitc.ir.printer import name_text


def binary_layer() -> Graph:
    """A convolution, its threshold and an elementwise tail, with all that can stand in a line."""
    inner = Builder()
    p, q = inner.input("p", TensorType((1, 2, 3, 3))), inner.input("q", TensorType((1, 2, 3, 3)))
    body = Graph("body", [p, q], inner.ops, [inner.add("nn.add", p, q, loc="Add_7")])
    b = Builder()
    x = b.input("x", TensorType((1, 2, 3, 3)))
    w = b.constant(np.ones((2, 2, 3, 3), np.float32), "/conv/w", origin="conv.weight")
    y = b.add(
        "nn.conv", x, w, strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1], name="y", loc="/conv/Conv", origin="c1"
    )
    t, down = b.constant(np.asarray([[0.1], [-0.0]], np.float32)), b.constant(np.asarray([False, True]))
    code = b.add("q.threshold", y, t, down, levels=BIPOLAR, scale=0.5, name="code")
    total = b.add("q.map", b.add("q.decode", code), y, body=body)
    _, indices = b.add_multi("nn.topk", total, k=1, axis=1, loc="TopK")
    return Graph("layer", [x], b.ops, [code, indices], {"samples": 3, "tags": ("a", None, True)})


LAYER = r"""
graph @layer(%x: f32[1,2,3,3]) -> (%code, %5) attrs {samples = 3, tags = ["a", none, true]} {
  %"/conv/w" = nn.constant {value = dense<sha256:e182e24b6fe355df f32[2,2,3,3]>} : f32[2,2,3,3]  origin("conv.weight")
  %y = nn.conv %x, %"/conv/w" {strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]} : f32[1,2,3,3]  loc("/conv/Conv") origin("c1")
  %0 = nn.constant {value = dense<f32[2,1]: 0.1, -0.0>} : f32[2,1]
  %1 = nn.constant {value = dense<bool[2]: false, true>} : bool[2]
  %code = q.threshold %y, %0, %1 {levels = {-1,1}, scale = 0.5} : code<{-1,1} * 0.5>[1,2,3,3]
  %2 = q.decode %code : f32[1,2,3,3]
  %3 = q.map %2, %y {body = graph @body(%p: f32[1,2,3,3], %q: f32[1,2,3,3]) -> (%0) {
    %0 = nn.add %p, %q : f32[1,2,3,3]  loc("Add_7")
  }} : f32[1,2,3,3]
  %4, %5 = nn.topk %3 {k = 1, axis = 1} : f32[1,1,3,3], i64[1,1,3,3]  loc("TopK")
}
"""


def test_a_graph_reads_so() -> None:
    constants: dict[str, np.ndarray] = {}
    assert print_graph(binary_layer(), constants) == LAYER.lstrip("\n")
    assert list(constants) == ["sha256:e182e24b6fe355df"]


def test_the_text_is_the_same_each_time() -> None:
    assert print_graph(binary_layer()) == print_graph(binary_layer())


def test_scalars_of_all_kinds_read_so() -> None:
    attrs = {
        "int": -3,
        "float": 1.0,
        "tiny": 5e-324,
        "minus": -0.0,
        "inf": (float("inf"), float("-inf"), float("nan")),
        "text": 'say "hi"\n',
        "dtype": DType.U8,
        "layout": Layout.NHWC64,
        "levels": (Levels(0, 1, 16), Levels(-6, 3, 5)),
        "empty": (),
        "odd key": None,
        "array": np.asarray(7, np.int64),
    }
    assert print_graph(Graph("a b", [], [], [], attrs)) == (
        'graph @"a b"() -> () attrs {int = -3, float = 1.0, tiny = 5e-324, minus = -0.0, inf = [inf, -inf, nan], '
        'text = "say \\"hi\\"\\n", dtype = u8, layout = @nhwc64, levels = [{0..15}, {-6..6:3}], empty = [], "odd key" = none, '
        "array = dense<i64[]: 7>} {\n}\n"
    )


def test_arrays_of_16_elements_stand_inline() -> None:
    for size, inline in ((0, True), (16, True), (17, False)):
        constants: dict[str, np.ndarray] = {}
        text = print_graph(Graph("g", [], [], [], {"a": np.zeros(size, np.uint8)}), constants)
        assert ("sha256:" not in text) is inline
        assert len(constants) == (not inline)


def test_equal_arrays_of_other_type_have_other_keys() -> None:
    constants: dict[str, np.ndarray] = {}
    arrays = (np.zeros(32, np.float32), np.zeros((4, 8), np.float32), np.zeros(32, np.int32), np.zeros(32, np.float32))
    print_graph(Graph("g", [], [], [], {"a": arrays}), constants)
    assert len(constants) == 3


@pytest.mark.parametrize("bad", [[1, 2], {"a": 1}, np.int64(3), np.zeros(2, np.complex64), (1, [2])])
def test_other_kinds_are_refused(bad: object) -> None:
    with pytest.raises(TypeError, match="attribute 'a' is a"):
        print_graph(Graph("g", [], [], [], {"a": bad}))


def test_nesting_is_bounded() -> None:
    deep: tuple[object, ...] = ()
    for _ in range(40):
        deep = (deep,)
    with pytest.raises(TypeError, match="nests deeper than 32"):
        print_graph(Graph("g", [], [], [], {"a": deep}))
    graph = Graph("g", [], [], [])
    for _ in range(40):
        graph = Graph("g", [], [], [], {"a": graph})
    with pytest.raises(ValueError, match="regions nest deeper than 32"):
        print_graph(graph)


def test_names() -> None:
    assert [name_text(n) for n in ("a.b_1", "12", "", "1a", "a b", "é")] == [
        "a.b_1",
        "12",
        '""',
        '"1a"',
        '"a b"',
        '"\\u00e9"',
    ]


def test_an_op_without_result_prints_unit() -> None:
    x = Value("x", TensorType((1,)), None, "x")
    op = Op(print_only(), [x], {})
    assert "  test.sink %x : ()\n" in print_graph(Graph("g", [x], [op], []))


def print_only() -> type:
    """A declaration that is not registered: printing needs no registry."""
    from bitc.ir import OpDecl

    return type("Sink", (OpDecl,), {"name": "test.sink", "operands": ("x",)})
