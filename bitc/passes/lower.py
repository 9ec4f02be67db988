"""``lower``: the q graph as kernel calls on buffers, with weights, limits and tables in the order the target's kernels read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from bitc.errors import Diagnostic, UnsupportedError, first_error
from bitc.ir import CodeType, Graph, Op, Value, drop_dead
from bitc.ir.integer_packing import INTEGER_FORMS
from bitc.ir.numeric import dense_strides
from bitc.ir.packing import WeightForm
from bitc.ir.sliced import LANES
from bitc.ir.types import BufferType
from bitc.passes import lower_codes, lower_dots, lower_index, lower_integers, lower_linear, lower_moves, lower_numbers
from bitc.passes.base import Pass
from bitc.passes.coded_costs import CODED_COSTS
from bitc.passes.event_costs import EVENT_COSTS
from bitc.passes.lower_coded import weight_bytes
from bitc.passes.lower_moves import as_shape
from bitc.passes.lowering import KernelForms, Lowering, Refused, halo_needs, physical_shape, tensor_type
from bitc.passes.outputs import keep_output_names, output_names
from bitc.passes.sparse_costs import SPARSE_COSTS

_RULES: Mapping[str, Callable[[Op, Lowering], None]] = {
    "q.conv": lower_codes.lower_product,
    "q.matmul": lower_codes.lower_product,
    "q.dots": lower_dots.lower_dots,
    "q.border": lower_codes.lower_border,
    "q.threshold": lower_codes.lower_threshold,
    "k.levels": lower_codes.lower_levels,
    "q.plane": lower_codes.lower_plane,
    "q.pick": lower_codes.lower_pick,
    "q.max_pool": lower_codes.lower_code_pool,
    "q.weight_conv": lower_numbers.lower_product,
    "q.weight_matmul": lower_numbers.lower_product,
    "nn.conv": lower_linear.lower_conv,
    "nn.matmul": lower_linear.lower_matmul,
    "q.int_conv": lower_integers.lower_product,
    "q.int_matmul": lower_integers.lower_product,
    "q.int_gemm": lower_integers.lower_gemm,
    "nn.max_pool": lower_integers.lower_max_pool,
    "nn.avg_pool": lower_numbers.lower_pool,
    "nn.reduce_mean": lower_numbers.lower_reduce,
    "nn.reduce_sum": lower_numbers.lower_reduce,
    "nn.reduce_max": lower_numbers.lower_reduce,
    "nn.reduce_min": lower_numbers.lower_reduce,
    "nn.reduce_prod": lower_numbers.lower_reduce,
    "nn.softmax": lower_numbers.lower_along_axis,
    "nn.argmax": lower_numbers.lower_along_axis,
    "nn.topk": lower_numbers.lower_along_axis,
    "nn.cumsum": lower_numbers.lower_along_axis,
    "q.map": lower_numbers.lower_map,
    "k.relayout": lower_moves.lower_relayout,
    "nn.transpose": lower_moves.lower_transpose,
    "nn.reshape": lower_moves.lower_reshape,
    "nn.expand": lower_moves.lower_expand,
    "nn.slice": lower_moves.lower_slice,
    "nn.pad": lower_moves.lower_pad,
    "nn.concat": lower_moves.lower_concat,
    "nn.gather": lower_moves.lower_gather,
    "nn.take": lower_index.lower_take,
    "nn.take_along": lower_index.lower_along,
    "nn.scatter_along": lower_index.lower_along,
    "nn.take_nd": lower_index.lower_nd,
    "nn.scatter_nd": lower_index.lower_nd,
}


@dataclass(frozen=True)
class Lower(Pass):
    """Each op becomes the kernel that computes it; layouts must have been chosen (``layouts``), elementwise ops be maps (``fuse-maps``)::

        %acc = q.conv %x, %w; %y = q.threshold %acc, %t   -->   %y = k.bconv_bits %x, %w', %limit, %flip
        %acc = q.conv %x, %w; others read %acc            -->   %acc = k.bconv_acc %x, %w', %base

    The options are what the target's kernels want: channels in a block of bit weights (their bytes gathered with ``byte_rows``), and
    of float weights; ``integers`` names a form of ``bitc.ir.integer_packing``. Sets the graph's attribute ``output_names`` (if the
    import has not), for outputs that are copies and so bear other names in the IR. Raises :class:`UnsupportedError`
    naming every op that has no kernel.
    """

    name: ClassVar[str] = "lower"
    bit_block: int = 8
    byte_rows: bool = False
    float_block: int = 8
    integers: str = "portable"

    def run(self, graph: Graph) -> Graph:
        bits, costs = WeightForm(self.bit_block, self.byte_rows), CODED_COSTS.get(self.integers)
        lanes = LANES.get(self.integers, LANES["portable"])
        events, sparse = EVENT_COSTS.get(self.integers), SPARSE_COSTS.get(self.integers)
        forms = KernelForms(bits, self.float_block, INTEGER_FORMS[self.integers], costs, lanes, events, sparse)
        low = Lowering(graph, forms, needs=halo_needs(graph), users=graph.users(), weight_bytes=weight_bytes(graph))
        inputs = [
            _input_buffer(value, low) for value in graph.inputs
        ]  # all before the first view, which takes a free name
        for value, made in zip(graph.inputs, inputs, strict=True):
            _view_input(value, made, low)
        problems: list[Diagnostic] = []
        broken: set[Value] = set()
        for op in graph.ops:
            if any(operand in broken for operand in op.operands):
                broken.update(op.results)
                continue
            try:
                _lower_op(op, low)
            except Refused as refused:
                problems.append(refused.diagnostic(op))
                broken.update(op.results)
        first_error(problems, UnsupportedError)
        taken: set[Value] = set(inputs)
        outputs = [_lower_output(value, taken, low) for value in graph.outputs]
        keep_output_names(graph.outputs, outputs, low.builder.ops, low.builder)
        attrs = {**graph.attrs, "output_names": output_names(graph)}
        return drop_dead(Graph(graph.name, inputs, low.builder.ops, outputs, attrs))


def _lower_op(op: Op, low: Lowering) -> None:
    if op.name == "nn.constant" or (op.name == "q.encode" and op.operands[0].constant is not None):
        return
    rule = _RULES.get(op.name)
    if rule is None:
        raise Refused(
            "U101", "has no kernel", "see the table of supported ops", ", ".join(str(r.type) for r in op.results)
        )
    rule(op, low)


def _input_buffer(value: Value, low: Lowering) -> Value:
    type = tensor_type(value)
    assert not isinstance(type, CodeType), "graph inputs are numbers"
    return low.builder.input(value.name, BufferType(type.shape, type.dtype))


def _view_input(value: Value, made: Value, low: Lowering) -> None:
    shape = physical_shape(tensor_type(value))
    low.put(value, made if made.shape == shape else low.builder.add("k.view", made, shape=shape))


def _lower_output(value: Value, taken: set[Value], low: Lowering) -> Value:
    """A dense buffer in ONNX's shape, made for this output alone: inputs, constants and what another output holds are copied."""
    type = tensor_type(value)
    if isinstance(type, CodeType):
        where = value.origin or value.name
        raise UnsupportedError(
            Diagnostic(
                "U102", f"output {where!r} is a tensor of packed codes", rule="outputs are numbers", here=str(type)
            )
        )
    if value.constant is not None:
        made = low.constant(value.constant)
    else:
        made = as_shape(low.dense(value, value.producer), type.shape, value.producer, low)
    root = made
    while root.producer is not None and root.producer.name in ("k.view", "k.fill_halo"):
        root = root.producer.operands[0]
    if root in taken or root.constant is not None:
        root = made = low.add(
            "k.strided", made, shape=type.shape, strides=dense_strides(type.shape), like=value.producer
        )
    taken.add(root)
    return made
