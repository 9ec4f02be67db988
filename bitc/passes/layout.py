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

    Graph inputs and outputs are row-major in ONNX's shape. Reshapes read and give row-major numbers. Each value is converted to a
    layout at most once. A relayout that only moves axes of size 1 costs nothing (lowering makes it a view).

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
        made = self._made[operand].type
        assert isinstance(made, TensorType | CodeType)
        if operand.constant is not None or (op.name == "nn.transpose" and isinstance(made, TensorType)):
            return made.layout
        if op.name == "nn.reshape" and isinstance(made, TensorType):
            return Layout.ROW_MAJOR
        return natural_layout(made)

    def _given(self, op: Op, result: Value) -> Layout:
        if isinstance(result.type, TensorType):
            if op.name in ("nn.reshape", "nn.constant"):
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
