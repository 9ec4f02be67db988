"""Constant folding for standard ops the IR does not have: a node whose inputs are all constants runs in onnx's reference evaluator.

Exporters leave such ops in shape and weight arithmetic (CumSum, Trilu, NonZero, ...); they never reach the compiled network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from bitc.frontend.node import STANDARD, Node, canonical_domain
from bitc.ir import DType, Value

MAX_INPUT_BYTES = 1 << 26
_NOT_FUNCTIONS = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)


def fold_by_reference(node: Node) -> Sequence[Value] | None:
    """The node's outputs as constants, None if it is not constant or cannot be evaluated."""
    arrays = [value.constant for value in node.inputs if value is not None]
    known = [array for array in arrays if array is not None]
    has_graph = any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.proto.attribute)
    too_large = sum(array.nbytes for array in known) > MAX_INPUT_BYTES
    standard = canonical_domain(node.proto.domain) == STANDARD and node.op_type not in _NOT_FUNCTIONS
    if not known or len(known) < len(arrays) or has_graph or too_large or not standard:
        return None
    results = _run(node, known)
    if results is None or any(not _representable(array) for array in results):
        return None
    exact = all(value is None or value.ends is None for value in node.inputs)
    node.builder.doubtful |= not exact or any(_is_computed(array, known) for array in results)
    return [node.constant(array) for array in results]


def _is_computed(result: np.ndarray, operands: Sequence[np.ndarray]) -> bool:
    """Whether a float result has numbers that are none of the operands', nor 0 or 1: they may have been rounded."""
    if result.dtype.kind != "f":
        return False
    given = [operand.reshape(-1).astype(result.dtype) for operand in operands if operand.dtype.kind == "f"]
    return not np.isin(result, np.concatenate([np.asarray([0, 1], result.dtype), *given])).all()


def _run(node: Node, arrays: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    from onnx.reference import ReferenceEvaluator

    names = list(dict.fromkeys(name for name in node.proto.input if name))
    by_name = dict(zip((name for name in node.proto.input if name), arrays, strict=True))
    outputs = [name for name in node.proto.output if name]
    graph = helper.make_graph(
        [node.proto],
        "one_node",
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(by_name[n].dtype), by_name[n].shape)
            for n in names
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)])
    try:
        found = ReferenceEvaluator(model).run(None, by_name)
    except Exception:  # third-party code on a stranger's constants: any failure means only "does not fold"
        return None
    by_output = dict(zip(outputs, found, strict=True))
    results = [by_output.get(name) for name in node.proto.output]
    if not all(isinstance(array, np.ndarray | np.generic) for array in results):  # a sequence, or nothing
        return None
    return [np.asarray(array) for array in results]


def _representable(array: np.ndarray) -> bool:
    try:
        DType.of(array.dtype)
    except (KeyError, TypeError):
        return False
    return True
