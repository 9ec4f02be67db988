"""``parse_graph(print_graph(g)) == g`` for random graphs with all kinds of types and attributes; mutated texts never crash."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitc.ir import (
    BufferType,
    Builder,
    CodeType,
    DType,
    Graph,
    IrSyntaxError,
    Layout,
    Levels,
    Op,
    OpDecl,
    TensorType,
    Value,
    ops,
    parse_graph,
    print_graph,
    same_attr,
    same_graph,
    verify,
)
from bitc.ir.literals import float_text, parse_float
from bitc.ir.ops import REQUIRED
from bitc.ir.types import Type

FEW = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # shrinking a random graph takes minutes and helps little: the assertion shows the text
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Keep(OpDecl):
    """y = x for any operands, with an attribute of any kind: what the printer sees of an op and no more"""

    name = "test.keep"
    operands = ("x*",)
    attrs: ClassVar[dict[str, Any]] = {"value": REQUIRED, "text": "usual", "zero": 0.0}

    @staticmethod
    def infer(*xs: Type, value: Any, text: str, zero: float) -> tuple[Type, ...]:
        return tuple(x if isinstance(x, BufferType) else x.with_layout(Layout.ROW_MAJOR) for x in xs)


@pytest.fixture(autouse=True, scope="module")
def _declared() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ops._REGISTRY, "test.keep", Keep)
        yield


NAMES = st.one_of(
    st.from_regex(r"[a-z_][a-z0-9_.]{0,6}", fullmatch=True), st.text(max_size=6), st.integers(0, 99).map(str)
)
SHAPES = st.lists(st.integers(0, 9), max_size=4).map(tuple)
DTYPES = st.sampled_from(list(DType))
LAYOUTS = st.sampled_from(list(Layout))
FLOATS = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan]))
LEVELS = st.builds(Levels, st.integers(-300, 300), st.integers(1, 5), st.integers(2, 300))
TENSORS = st.builds(TensorType, SHAPES, DTYPES, LAYOUTS)
CODES = st.builds(CodeType, SHAPES, LEVELS, st.floats(allow_nan=False, allow_infinity=False).filter(bool), LAYOUTS)
TYPES = st.one_of(TENSORS, CODES, st.builds(BufferType, SHAPES, DTYPES))


def bit_patterns(dtype: DType) -> st.SearchStrategy[np.ndarray]:
    """Arrays of any bits, so every NaN and denormal."""
    shape = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    if dtype is DType.BOOL:
        return hnp.arrays(np.bool_, shape)
    unsigned = np.dtype(f"u{dtype.bytes}")
    return hnp.arrays(unsigned, shape).map(
        lambda bits: np.ascontiguousarray(bits).reshape(bits.shape).view(dtype.numpy)
    )


ARRAYS = DTYPES.flatmap(bit_patterns)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), FLOATS, st.text(max_size=8), DTYPES, LAYOUTS, LEVELS, ARRAYS
)
ATTRS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)


@st.composite
def graphs(draw: st.DrawFn, depth: int = 0) -> Graph:
    """A graph of ``test.keep`` ops and constants under random names, types, origins and locs; regions nest twice."""
    names = iter(draw(st.lists(NAMES, min_size=16, max_size=16, unique=True)))
    inputs = [Value(next(names), draw(TYPES), None, draw(st.text(max_size=4))) for _ in range(draw(st.integers(0, 3)))]
    known, made = list(inputs), []
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            array = draw(ARRAYS)
            ends = dict.fromkeys(("least", "most"), draw(st.sampled_from([None, array, np.zeros((), array.dtype)])))
            op = Op(ops.lookup("nn.constant"), (), {"value": array, **ends}, draw(st.text(max_size=4)))
            types: list[Type] = [TensorType(array.shape, DType.of(array.dtype), draw(LAYOUTS))]
        else:
            read = draw(st.lists(st.sampled_from(known), max_size=2)) if known else []
            value = draw(graphs(depth + 1)) if depth < 2 and draw(st.integers(0, 3)) == 0 else draw(ATTRS)
            text = draw(st.sampled_from(["usual", "", '"\\\n']))
            op = Op(Keep, read, {"value": value, "text": text, "zero": draw(st.sampled_from([0.0, -0.0]))}, draw(NAMES))
            types = [t if isinstance(t, BufferType) else t.with_layout(draw(LAYOUTS)) for t in (v.type for v in read)]
        op.results = tuple(Value(next(names), t, op, draw(st.sampled_from(["", "t/0"]))) for t in types)
        made.append(op)
        known.extend(op.results)
    outputs = draw(st.lists(st.sampled_from(known), max_size=3)) if known else []
    return Graph(draw(NAMES), inputs, made, outputs, draw(st.dictionaries(NAMES, ATTRS, max_size=2)))


@FEW
@given(graphs())
def test_parse_of_print_is_the_graph(graph: Graph) -> None:
    verify(graph)
    constants: dict[str, np.ndarray] = {}
    text = print_graph(graph, constants)
    found = parse_graph(text, constants)
    assert same_graph(found, graph), text
    assert print_graph(found) == text
    verify(found)


def syntax_error_of(text: str, constants: dict[str, np.ndarray]) -> IrSyntaxError | None:
    try:
        parse_graph(text, constants)
    except IrSyntaxError as error:
        return error
    return None


@FEW
@given(graphs(), st.data())
def test_a_mutated_text_is_a_graph_or_a_located_error(graph: Graph, data: st.DataObject) -> None:
    constants: dict[str, np.ndarray] = {}
    text = print_graph(graph, constants)
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 5)))
    piece = data.draw(
        st.sampled_from(["", "%", "{", "]", '"', "-9", "1e999", "nan:0x1", "nn.conv", ": f32[2]", "\\", "é"])
    )
    mutated = text[:start] + piece + text[stop:]
    error = syntax_error_of(mutated, constants)
    if error is not None:
        assert 1 <= error.line <= mutated.count("\n") + 1
        assert "^" in str(error).split("\n")[-1]


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_every_float32_keeps_its_bits(bits: int) -> None:
    value = np.asarray([bits], np.uint32).view(np.float32)
    assert parse_float(float_text(value, DType.F32), DType.F32).tobytes() == value.tobytes()


def test_every_float16_keeps_its_bits() -> None:
    for value in np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(-1, 1):
        assert parse_float(float_text(value, DType.F16), DType.F16).tobytes() == value.tobytes()


def test_attributes_are_the_same_only_to_the_bit() -> None:
    quiet, other = (np.asarray([bits], np.uint32).view(np.float32) for bits in (0x7FC00000, 0x7FC00001))
    assert same_attr(math.nan, math.nan)
    assert same_attr(quiet, quiet.copy())
    assert not same_attr(quiet, other)
    assert not same_attr(0.0, -0.0)
    assert not same_attr(1, 1.0)
    assert not same_attr(1, True)
    assert not same_attr("f32", DType.F32)
    assert not same_attr(np.zeros(2, np.float32), np.zeros((1, 2), np.float32))
    assert not same_attr((1, 2), (1, 2, 3))


def real_graph() -> Graph:
    """A network of real ops, whose text is checked by their own rules."""
    b = Builder()
    x = b.input("x", TensorType((1, 2, 6, 6)))
    w = b.constant(np.arange(36, dtype=np.float32).reshape(2, 2, 3, 3) - 17.5, "w")
    y = b.add(
        "nn.conv", x, w, strides=[1, 1], pads=[0, 0, 1, 1], dilations=[1, 1], name="/conv", loc="Conv", origin="c"
    )
    t, down = b.constant(np.zeros((1, 1), np.float32)), b.constant(np.asarray([False]))
    code = b.add("q.threshold", y, t, down, levels=Levels(-1, 2, 2), scale=0.1)
    values, indices = b.add_multi("nn.topk", b.add("q.decode", code), k=2)
    return Graph("real", [x], b.ops, [values, indices], {"samples": 3, "rate": 0.0})


def test_real_ops_come_back() -> None:
    graph, constants = real_graph(), dict[str, np.ndarray]()
    text = print_graph(graph, constants)
    assert [array.shape for array in constants.values()] == [(2, 2, 3, 3)]
    assert same_graph(parse_graph(text, constants), graph)


def set_type(graph: Graph) -> None:
    graph.ops[1].result.type = TensorType((1, 2, 5, 5), layout=Layout.NHWC)


def set_constant(graph: Graph) -> None:
    graph.ops[2].attrs["value"] = np.full((1, 1), -0.0, np.float32)


def swap_ops(graph: Graph) -> None:
    graph.ops = (graph.ops[1], graph.ops[0], *graph.ops[2:])


@pytest.mark.parametrize(
    "change",
    [
        lambda g: setattr(g, "name", "other"),
        lambda g: setattr(g, "outputs", g.outputs[::-1]),
        lambda g: setattr(g, "inputs", ()),
        lambda g: setattr(g, "ops", g.ops[:-1]),
        lambda g: setattr(g.ops[1], "loc", ""),
        lambda g: setattr(g.ops[1], "operands", g.ops[1].operands[::-1]),
        lambda g: setattr(g.ops[1].result, "origin", ""),
        lambda g: setattr(g.inputs[0], "origin", ""),
        lambda g: setattr(g.ops[1].result, "name", "conv"),
        lambda g: g.ops[4].attrs.update(scale=0.2),
        lambda g: g.ops[1].attrs.update(group=True),
        lambda g: g.attrs.update(rate=-0.0),
        lambda g: g.attrs.pop("samples"),
        set_type,
        set_constant,
        swap_ops,
    ],
)
def test_any_changed_fact_makes_another_graph_and_another_text(change: Callable[[Graph], object]) -> None:
    graph, changed = real_graph(), real_graph()
    assert same_graph(graph, changed)
    change(changed)
    assert not same_graph(graph, changed)
    assert print_graph(graph) != print_graph(changed)
