"""Nodes that stand for others: functions of the ONNX standard without a handler.

ONNX defines many operators by a body of simpler ones. Where bitc has no handler for such an operator, or none for the form at hand, its
body is imported in its place, for the operands' types.

Source: https://onnx.ai/onnx/repo-docs/IR.html (functions), the bodies as the installed onnx gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import helper

from bitc.frontend.halves import apply
from bitc.frontend.node import (
    STANDARD,
    Node,
    NodeProblem,
    Scope,
    canonical_domain,
    dtype_of,
    find_handler,
)
from bitc.frontend.reference import fold_by_reference
from bitc.frontend.unknown import unknown_op
from bitc.ir import Value


def import_node(node: Node) -> Sequence[Value]:
    """The results of one node whose operands are known: by its handler, else as constants, else by its body.

    Raises :class:`NodeProblem`.
    """
    handler = find_handler(node.proto.domain, node.op_type, node.opset)
    try:
        if handler is None:
            raise unknown_op(node)
        with np.errstate(all="ignore"):  # infinities and NaN in a file's constants are its own business
            return apply(handler, node)
    except NodeProblem as problem:
        if problem.broken:
            raise
        found = fold_by_reference(node) or _by_body(node, known_form=handler is not None)
        if found is None:
            raise
        return found


def _by_body(node: Node, *, known_form: bool) -> Sequence[Value] | None:
    """The outputs of the function body of ``node``; None if it has none, or (with ``known_form``) if that is refused as well."""
    body = _function(node)
    if body is None:
        return None
    names: dict[str, Value | None] = dict.fromkeys(body.input)
    names |= dict(zip(body.input, node.inputs, strict=False))
    opsets = {canonical_domain(entry.domain): entry.version for entry in body.opset_import}
    try:
        scope = Scope(names.get, lambda domain: opsets.get(domain, 1))
        import_body([_bound(inner, node) for inner in body.node], names, scope, node)
    except NodeProblem as problem:
        if known_form:
            return None
        raise problem
    found = [names.get(name) for name in body.output][: len(node.proto.output)]
    made = [value for value in found if value is not None]
    if any(value is None and name for value, name in zip(found, node.proto.output, strict=True)):
        return None
    return [made[0] if value is None else value for value in found]  # what has no name is not looked at


def _function(node: Node) -> onnx.FunctionProto | None:
    """The body that the ONNX standard gives the node's operator for the types of its operands."""
    if canonical_domain(node.proto.domain) != STANDARD or not onnx.defs.has(node.op_type):
        return None
    try:
        schema: Any = onnx.defs.get_schema(node.op_type, node.opset)  # its functions are not in onnx's stubs
    except onnx.defs.SchemaError:
        return None
    plain = [version for version in schema.function_opset_versions if version <= node.opset]
    if plain:
        return _parsed(schema.get_function_with_opset_version(max(plain)))
    typed = [version for version in schema.context_dependent_function_opset_versions if version <= node.opset]
    if not typed:
        return None
    proto, types = node.proto.SerializeToString(), [_type(value).SerializeToString() for value in node.inputs]
    return _parsed(schema.get_context_dependent_function_with_opset_version(max(typed), proto, types))


def _parsed(data: bytes) -> onnx.FunctionProto | None:
    body = onnx.FunctionProto()
    body.ParseFromString(data)
    return body if body.node else None


def _type(value: Value | None) -> onnx.TypeProto:
    if value is None:
        return onnx.TypeProto()
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(dtype_of(value).numpy), value.shape)


def _bound(inner: onnx.NodeProto, outer: Node) -> onnx.NodeProto:
    """A node of a function's body with the caller's attributes, or their defaults, where it refers to them."""
    made = onnx.NodeProto()
    made.CopyFrom(inner)
    del made.attribute[:]
    given = {attribute.name: attribute for attribute in outer.proto.attribute}
    declared = onnx.defs.get_schema(outer.op_type, outer.opset).attributes
    for attribute in inner.attribute:
        source = attribute
        if attribute.ref_attr_name:
            name = attribute.ref_attr_name
            found = given.get(name) or (declared[name].default_value if name in declared else None)
            if found is None or found.type == onnx.AttributeProto.UNDEFINED:
                continue
            source = found
        bound = made.attribute.add()
        bound.CopyFrom(source)
        bound.name = attribute.name
    return made


def import_body(nodes: Iterable[onnx.NodeProto], names: dict[str, Value | None], scope: Scope, outer: Node) -> None:
    """Import ``nodes``, which are in order and stand in ``scope``, adding what they make to ``names``."""
    for proto in nodes:
        operands = tuple(scope.value(name) if name else None for name in proto.input)
        version = scope.opset(canonical_domain(proto.domain))
        inner = replace(outer, proto=proto, opset=version, inputs=operands, scope=scope, within=outer.loc)
        missing = [name for operand, name in zip(operands, proto.input, strict=True) if name and operand is None]
        if any(name not in names for name in missing):
            raise inner.broken("a node of a body reads tensors that are there", ", ".join(missing))
        names.update(zip(proto.output, import_node(inner), strict=False))
