"""What may stand in an attribute, and when two attributes are the same.

The kinds are None, bool, int, float, str, DType, Layout, Levels, NumPy arrays of the IR's dtypes, graphs (regions), and tuples of
kinds. Which of them a declared attribute takes is read from the annotations of the op's ``infer``, so declarations say it once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from bitc.ir.graph import Graph
from bitc.ir.ops import OpDecl
from bitc.ir.types import DType, Layout, Levels

MAX_DEPTH = 32
"""Tuples and regions nest no deeper."""

_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a string",
    DType: "a dtype",
    Layout: "a layout",
    Levels: "levels such as {-1,1}",
    np.ndarray: "an array",
    Graph: "a region",
    type(None): "none",
}


def kind_fault(value: object, depth: int = 0) -> str:
    """Why ``value`` is no attribute of the IR; empty if it is one."""
    if depth > MAX_DEPTH:
        return f"nests deeper than {MAX_DEPTH}"
    match value:
        case None | bool() | int() | float() | str() | Levels() | Graph():
            return ""
        case tuple():
            return next((fault for item in value if (fault := kind_fault(item, depth + 1))), "")
        case np.ndarray():
            try:
                DType.of(value.dtype)
            except KeyError:
                return f"is an array of {value.dtype}, no dtype of the IR"
            return ""
        case _:
            return f"is a {type(value).__name__}, no kind of attribute"


def declared_kinds(decl: type[OpDecl]) -> Mapping[str, Any]:
    """The annotation of each attribute of ``decl``; attributes without one are left out."""
    hints = _annotations(decl.infer)
    return {key: hints[key] for key in decl.attrs if key in hints}


@cache
def _annotations(function: Callable[..., Any]) -> Mapping[str, Any]:
    return get_type_hints(function)


def fits(value: object, kind: Any) -> bool:
    """Whether ``value`` is of the annotated kind. A whole number also fits ``float``; a bool fits neither number."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(fits(value, arg) for arg in args)
    if origin is Literal:
        return any(same_attr(value, arg) for arg in args)
    if origin is tuple and Ellipsis not in args:
        return isinstance(value, tuple) and len(value) == len(args) and all(map(fits, value, args))
    if origin in (tuple, Sequence):
        return isinstance(value, tuple) and all(fits(item, args[0]) for item in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is str:
        return isinstance(value, str) and not isinstance(value, DType | Layout)
    runtime = object if kind is Any else origin or kind
    return isinstance(value, runtime) if isinstance(runtime, type) else True


def kind_words(kind: Any) -> str:
    """The annotated kind in plain words.

    >>> kind_words(Sequence[int]), kind_words(int | None)
    ('a list of which each is a whole number', 'a whole number or none')
    """
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(kind_words, args))
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin is tuple and Ellipsis not in args:
        return "a list of " + ", ".join(map(kind_words, args))
    if origin in (tuple, Sequence):
        return f"a list of which each is {kind_words(args[0])}"
    return _WORDS.get(origin or kind, str(kind))


def same_attr(a: object, b: object) -> bool:
    """Equality of attributes to the bit: 0.0 is not -0.0, 1 is not 1.0 nor true, and a NaN is itself."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return same_array(a, b)
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same_attr, a, b))
    if isinstance(a, Graph) and isinstance(b, Graph):
        return same_graph(a, b)
    return type(a) is type(b) and a == b


def same_array(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal dtype, shape and bytes."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def same_graph(a: Graph, b: Graph) -> bool:
    """Structural equality: names, types, origins, locs, attributes to the bit, and the order of ops. Objects may differ."""
    shape_a = (a.name, [_facts(v) for v in a.inputs], [v.name for v in a.outputs], len(a.ops))
    shape_b = (b.name, [_facts(v) for v in b.inputs], [v.name for v in b.outputs], len(b.ops))
    if shape_a != shape_b or not _same_attrs(a.attrs, b.attrs):
        return False
    for op_a, op_b in zip(a.ops, b.ops, strict=True):
        facts_a = (op_a.name, op_a.loc, [v.name for v in op_a.operands], [_facts(v) for v in op_a.results])
        facts_b = (op_b.name, op_b.loc, [v.name for v in op_b.operands], [_facts(v) for v in op_b.results])
        if facts_a != facts_b or not _same_attrs(op_a.attrs, op_b.attrs):
            return False
    return True


def _facts(value: Any) -> tuple[str, str, str]:
    return value.name, str(value.type), value.origin


def _same_attrs(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(same_attr(a[key], b[key]) for key in a)
