"""Float16: nodes compute in float32 and round each result, as onnxruntime's kernels for CPUs do; what only moves elements stays.

A float32 sum, difference, product, quotient or square root of two float16 numbers, rounded to float16, is the correctly rounded one
(Figueroa, When is double rounding innocuous?, 1995).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import onnx

from bitc.frontend.node import Handler, Node, canonical_domain, dtype_of
from bitc.ir import DType, Value

_MOVES = frozenset(
    {
        "Cast",
        "CastLike",
        "CenterCropPad",
        "Compress",
        "Concat",
        "ConstantOfShape",
        "DepthToSpace",
        "Dropout",
        "Expand",
        "EyeLike",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "If",
        "OneHot",
        "Pad",
        "Reshape",
        "Shape",
        "Size",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
    }
)


def apply(handler: Handler, node: Node) -> Sequence[Value]:
    """The results of ``handler``, which sees float32 in place of float16 where it computes."""
    halves = [index for index, value in enumerate(node.inputs) if value is not None and dtype_of(value) is DType.F16]
    if not halves or node.op_type in _MOVES:
        return _as_tuple(handler(node))
    inputs = list(node.inputs)
    for index in halves:
        inputs[index] = node.emit("nn.cast", node.x(index), to=DType.F32)
    results = _as_tuple(handler(replace(node, inputs=tuple(inputs))))
    return [
        node.emit("nn.cast", value, to=DType.F16)
        if dtype_of(value) is DType.F32 and _is_half(node, halves, index)
        else value
        for index, value in enumerate(results)
    ]


def _as_tuple(results: Value | Sequence[Value]) -> tuple[Value, ...]:
    return (results,) if isinstance(results, Value) else tuple(results)


def _is_half(node: Node, halves: Sequence[int], index: int) -> bool:
    """Whether ONNX gives result ``index`` the type of the float16 operands; LayerNormalization's mean, for one, is float32 for all."""
    if canonical_domain(node.proto.domain) or not onnx.defs.has(node.op_type):
        return True
    if node.op_type == "DequantizeLinear":
        return node.integer("output_dtype", onnx.TensorProto.FLOAT16) == onnx.TensorProto.FLOAT16
    schema: Any = onnx.defs.get_schema(node.op_type, node.opset)
    types = {schema.inputs[min(i, len(schema.inputs) - 1)].type_str for i in halves}
    return schema.outputs[min(index, len(schema.outputs) - 1)].type_str in types
