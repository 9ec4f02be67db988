"""The IR of bitc: types, op declarations, graphs, text form, verifier and reference interpreter. Imports nothing else of bitc."""

from bitc.ir import (  # noqa: F401  (declare the ops)
    k,
    k_coded,
    k_deltas,
    k_dots,
    k_events,
    k_float,
    k_igemm,
    k_index,
    k_integer,
    k_matrices,
    k_move,
    k_pairs,
    k_planes,
    k_skip,
    k_sliced,
    k_sparse,
    nn_elementwise,
    nn_fma,
    nn_index,
    nn_linear,
    nn_quantize,
    nn_tensor,
    q,
    q_dots,
    q_integers,
    q_planes,
)
from bitc.ir.attributes import same_attr, same_graph
from bitc.ir.builder import Builder, rewrite
from bitc.ir.graph import Graph, Op, Value, drop_dead
from bitc.ir.interpreter import evaluate
from bitc.ir.ops import InferenceError, OpDecl, all_ops, lookup
from bitc.ir.parser import IrSyntaxError, parse_graph
from bitc.ir.printer import print_graph
from bitc.ir.types import BIPOLAR, TERNARY, BufferType, CodeType, DType, Layout, Levels, TensorType, Type
from bitc.ir.verifier import VerificationError, verify

__all__ = [
    "BIPOLAR",
    "TERNARY",
    "BufferType",
    "Builder",
    "CodeType",
    "DType",
    "Graph",
    "InferenceError",
    "IrSyntaxError",
    "Layout",
    "Levels",
    "Op",
    "OpDecl",
    "TensorType",
    "Type",
    "Value",
    "VerificationError",
    "all_ops",
    "drop_dead",
    "evaluate",
    "lookup",
    "parse_graph",
    "print_graph",
    "rewrite",
    "same_attr",
    "same_graph",
    "verify",
]
