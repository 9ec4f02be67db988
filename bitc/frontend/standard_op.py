"""A standard op in place of one that contains it: the handler of that op runs as if the file held it at this node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnx import helper

from bitc.frontend.node import STANDARD, Node, find_handler
from bitc.ir import Value

RECENT_OPSET = 22
Attribute = float | str | Sequence[int] | None


def standard_op(
    n: Node, op_type: str, *operands: Value | None, opset: int = RECENT_OPSET, **attributes: Attribute
) -> Value:
    """The one result of the standard ``op_type`` on ``operands``; attributes that are None are left out."""
    (result,) = standard_ops(n, op_type, *operands, opset=opset, **attributes)
    return result


def standard_ops(
    n: Node, op_type: str, *operands: Value | None, opset: int = RECENT_OPSET, **attributes: Attribute
) -> Sequence[Value]:
    """All results of a standard op that has several."""
    handler = find_handler(STANDARD, op_type, opset)
    assert handler is not None, f"{op_type} of opset {opset}"
    proto = helper.make_node(op_type, [f"{n.op_type}.{i}" for i in range(len(operands))], ["y"], name=n.proto.name)
    given = {name: value for name, value in attributes.items() if value is not None}
    proto.attribute.extend(helper.make_attribute(name, value) for name, value in given.items())
    results = handler(replace(n, proto=proto, opset=opset, inputs=operands))
    return (results,) if isinstance(results, Value) else results
