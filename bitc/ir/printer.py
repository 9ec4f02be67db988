"""Graphs as text. One form for all levels, made to be read, and read back by :mod:`bitc.ir.parser` without loss::

    graph @tiny(%x: f32[1,4]) -> (%y) {
      %w = nn.constant {value = dense<f32[4,1]: 1.0, -1.0, 1.0, -1.0>} : f32[4,1]
      %y = nn.matmul %x, %w : f32[1,1]  loc("MatMul_0") origin("logits")
    }

Attributes at their default are left out, and so are empty locs, empty origins, and an input's origin that equals its name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bitc.ir.attributes import MAX_DEPTH, kind_fault, same_array, same_attr
from bitc.ir.graph import Graph, Op, Value
from bitc.ir.literals import INLINE_ELEMENTS, content_key, element_texts, float_text
from bitc.ir.types import DType, Layout, Levels

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*|[0-9]+", re.ASCII)
_INDENT = "  "


def print_graph(graph: Graph, constants: dict[str, np.ndarray] | None = None) -> str:
    """The text of ``graph``, ending in a newline.

    Arrays of more than 16 elements print as ``dense<sha256:0123456789abcdef f32[64,784]>`` and are put into ``constants`` under that
    key (``"sha256:0123456789abcdef"``), which is what ``parse_graph`` looks them up by. Raises ``TypeError`` for an attribute of no
    known kind, ``ValueError`` when regions nest deeper than the parser reads.
    """
    return "\n".join(_Printer(constants if constants is not None else {}).graph(graph, 0)) + "\n"


def name_text(name: str) -> str:
    """A name bare if it is an identifier (dots allowed) or a number, else quoted.

    >>> name_text("conv1.w"), name_text("/layer/Conv")
    ('conv1.w', '"/layer/Conv"')
    """
    return name if _BARE.fullmatch(name) else json.dumps(name)


class _Printer:
    def __init__(self, constants: dict[str, np.ndarray]) -> None:
        self._constants = constants

    def graph(self, graph: Graph, depth: int) -> list[str]:
        """The lines of a graph; the first stands where the caller puts it, the others are indented to ``depth``."""
        if depth > MAX_DEPTH:
            raise ValueError(f"regions nest deeper than {MAX_DEPTH}")
        inputs = ", ".join(f"%{name_text(v.name)}: {v.type}{_origin(v, v.name)}" for v in graph.inputs)
        attrs = f" attrs {{{self._pairs(graph.attrs, depth + 1)}}}" if graph.attrs else ""
        lines = [f"graph @{name_text(graph.name)}({inputs}) -> ({_names(graph.outputs)}){attrs} {{"]
        lines.extend(_INDENT * (depth + 1) + self._op(op, depth + 1) for op in graph.ops)
        lines.append(_INDENT * depth + "}")
        return lines

    def _op(self, op: Op, depth: int) -> str:
        results = f"{_names(op.results)} = " if op.results else ""
        operands = f" {_names(op.operands)}" if op.operands else ""
        declared = op.decl.attrs
        shown = {k: v for k, v in op.attrs.items() if k not in declared or not same_attr(v, declared[k])}
        ordered = {key: shown[key] for key in (*declared, *(k for k in shown if k not in declared)) if key in shown}
        attrs = f" {{{self._pairs(ordered, depth)}}}" if ordered else ""
        types = ", ".join(str(value.type) for value in op.results) or "()"
        return f"{results}{op.name}{operands}{attrs} : {types}{_marks(op)}"

    def _pairs(self, attrs: Mapping[str, Any], depth: int) -> str:
        pairs = []
        for key, value in attrs.items():
            if fault := kind_fault(value):
                raise TypeError(f"attribute {key!r} {fault}")
            bare = json.dumps(key) if key.isdigit() else name_text(key)  # a number would read as one
            pairs.append(f"{bare} = {self._attr(value, depth)}")
        return ", ".join(pairs)

    def _attr(self, value: object, depth: int) -> str:
        match value:
            case None:
                return "none"
            case bool():
                return "true" if value else "false"
            case DType() | Levels():
                return str(value)
            case Layout():
                return f"@{value}"
            case str():
                return json.dumps(value)
            case int():
                return str(value)
            case float():
                return float_text(value)
            case tuple():
                return "[" + ", ".join(self._attr(item, depth) for item in value) + "]"
            case np.ndarray():
                return self._array(value)
            case Graph():
                return "\n".join(self.graph(value, depth))
        raise TypeError(f"a {type(value).__name__} is no kind of attribute")

    def _array(self, array: np.ndarray) -> str:
        type_text = f"{DType.of(array.dtype)}[{','.join(map(str, array.shape))}]"
        if array.size <= INLINE_ELEMENTS:
            elements = ", ".join(element_texts(array))
            return f"dense<{type_text}{': ' if elements else ''}{elements}>"
        key = content_key(array)
        known = self._constants.setdefault(key, array)
        assert same_array(known, array), f"two arrays share the key {key}"
        return f"dense<{key} {type_text}>"


def _names(values: Sequence[Value]) -> str:
    return ", ".join(f"%{name_text(value.name)}" for value in values)


def _origin(value: Value, usual: str) -> str:
    return "" if value.origin == usual else f" origin({json.dumps(value.origin)})"


def _marks(op: Op) -> str:
    """The op's loc, and the origins of its results as far as there are any."""
    marks = [f"loc({json.dumps(op.loc)})"] if op.loc else []
    if any(value.origin for value in op.results):
        marks.append("origin(" + ", ".join(json.dumps(value.origin) for value in op.results) + ")")
    return "  " + " ".join(marks) if marks else ""
