"""``layouts``: each tensor gets the order in memory its kernels want, and every change of order is an op one can see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bitc.ir import Builder, CodeType, Graph, Layout, Op, TensorType, Type, Value
from bitc.ir import k_move as _  # noqa: F401  (declares k.relayout)
from bitc.passes.base import Pass
from bitc.passes.outputs import keep_output_names


@dataclass(frozen=True)
class Layouts(Pass):
    """Images of numbers lie as NHWC, codes as NHWC64, everything else row-major; ``k.relayout`` stands where neighbours differ::

        %y = nn.conv %x, %w   -->   %x' = k.relayout %x {layout = "nhwc"} : f32[1,3,8,8]@nhwc
                                    %y = nn.conv %x', %w : f32[1,16,8,8]@nhwc

    Graph inputs and outputs are row-major in ONNX's shape. Reshapes, matrix products and lookups read and give row-major numbers.
    Ops that take any layout (maps, reductions, moves) are NHWC where one of their neighbours is an image kernel, else row-major.
    Each value is converted to a layout at most once. A relayout that only moves axes of size 1 costs nothing (lowering makes it a
    view).

    >>> from bitc.ir import Builder, TensorType
    >>> b = Builder()
    >>> x = b.input("x", TensorType((1, 3, 8, 8)))
    >>> pool = {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0), "dilations": (1, 1)}
    >>> g = Layouts().run(Graph("g", [x], b.ops, [b.add("nn.max_pool", x, **pool)]))
    >>> [(op.name, str(op.result.type)) for op in g.ops][1:]
    [('nn.max_pool', 'f32[1,3,4,4]@nhwc'), ('k.relayout', 'f32[1,3,4,4]')]
    """

    name: ClassVar[str] = "layouts"

    def run(self, graph: Graph) -> Graph:
        return _Assignment(graph).run()


_ROW_MAJOR = {
    "nn.matmul", "q.int_gemm", "nn.reshape", "nn.take", "nn.take_along", "nn.take_nd", "nn.scatter_along", "nn.scatter_nd",
}  # fmt: skip
"""Ops that read and give numbers row by row."""

_FREE = {
    "q.map", "nn.softmax", "nn.argmax", "nn.topk", "nn.cumsum", "nn.concat", "nn.slice", "nn.pad", "nn.gather", "nn.expand",
    "nn.reduce_mean", "nn.reduce_sum", "nn.reduce_max", "nn.reduce_min", "nn.reduce_prod",
}  # fmt: skip
"""Ops whose kernels go along memory in any order of axes, all operands and results in the same one."""


def natural_layout(type: Type) -> Layout:
    """The layout kernels give a value of ``type`` in."""
    if isinstance(type, CodeType):
        return Layout.NHWC64
    return Layout.NHWC if isinstance(type, TensorType) and len(type.shape) == 4 else Layout.ROW_MAJOR


class _Assignment:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._users = graph.users()
        self._builder = Builder()
        self._made: dict[Value, Value] = {}
        self._converted: dict[tuple[Value, Layout], Value] = {}
        self._row_major = _away_from_images(graph)

    def run(self) -> Graph:
        for value in self._graph.inputs:
            self._builder.fresh_name(value.name)
            self._made[value] = value
        for op in self._graph.ops:
            operands = [self._convert(self._made[o], self._wanted(op, o)) for o in op.operands]
            placed = Op(op.decl, operands, op.attrs, op.loc)
            placed.results = tuple(
                Value(r.name, self._laid_out(r, self._given(op, r)), None, r.origin) for r in op.results
            )
            self._made.update(zip(op.results, self._builder.clone(placed, operands), strict=True))
        outputs = [self._convert(self._made[o], Layout.ROW_MAJOR) for o in self._graph.outputs]
        keep_output_names(self._graph.outputs, outputs, self._builder.ops, self._builder)
        return Graph(self._graph.name, self._graph.inputs, self._builder.ops, outputs, self._graph.attrs)

    def _wanted(self, op: Op, operand: Value) -> Layout:
        """The layout ``op`` reads ``operand`` in. Transposes read numbers however they lie; constants are arranged by lowering."""
        if op.name in _FREE and operand in self._row_major:
            return Layout.ROW_MAJOR
        made = self._made[operand].type
        assert isinstance(made, TensorType | CodeType)
        if operand.constant is not None or (op.name == "nn.transpose" and isinstance(made, TensorType)):
            return made.layout
        if op.name in _ROW_MAJOR and isinstance(made, TensorType):
            return Layout.ROW_MAJOR
        return natural_layout(made)

    def _given(self, op: Op, result: Value) -> Layout:
        if isinstance(result.type, TensorType):
            if op.name in _ROW_MAJOR or op.name == "nn.constant" or result in self._row_major:
                return Layout.ROW_MAJOR
            row_major_wanted = result in self._graph.outputs or self._users[result]
            if (
                op.name == "nn.transpose"
                and row_major_wanted
                and all(u.name == "nn.reshape" for u in self._users[result])
            ):
                return Layout.ROW_MAJOR
        return natural_layout(result.type)

    @staticmethod
    def _laid_out(result: Value, layout: Layout) -> Type:
        assert isinstance(result.type, TensorType | CodeType)
        return result.type.with_layout(layout)

    def _convert(self, value: Value, layout: Layout) -> Value:
        assert isinstance(value.type, TensorType | CodeType)
        if value.type.layout is layout or value.constant is not None or isinstance(value.type, CodeType):
            return value
        key = (value, layout)
        if key not in self._converted:
            loc = value.producer.loc if value.producer is not None else ""
            made = self._builder.add("k.relayout", value, layout=layout.value, loc=loc, origin=value.origin)
            self._converted[key] = made
        return self._converted[key]


def _away_from_images(graph: Graph) -> set[Value]:
    """Numbers of rank 4 that free ops pass on among themselves, and that no image kernel reads or makes."""
    group: dict[Value, list[Value]] = {value: [value] for value in graph.values() if _is_image(value)}
    images: set[Value] = set()
    for op in graph.ops:
        members = [value for value in (*op.operands, *op.results) if value in group and value.constant is None]
        if op.name in _FREE:
            _join(members, group)
        elif op.name not in _ROW_MAJOR and op.name != "nn.transpose":
            images.update(members)
    touched = {id(group[value]) for value in images}
    return {value for value, members in group.items() if id(members) not in touched}


def _join(values: list[Value], group: dict[Value, list[Value]]) -> None:
    for other in values[1:]:
        first, second = group[values[0]], group[other]
        if first is not second:
            first.extend(second)
            for value in second:
                group[value] = first


def _is_image(value: Value) -> bool:
    return isinstance(value.type, TensorType) and len(value.shape) == 4
