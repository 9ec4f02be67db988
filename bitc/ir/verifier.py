"""The rules every graph keeps between passes, checked all at once. A broken rule is the compiler's own bug, so it is an assertion.

Each value is defined once, before it is read, under a name of its own; each op is registered, has the operands and attributes it declares,
and the types its rule infers (the layout is a pass's choice and free); regions are closed graphs that keep the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bitc.ir.attributes import MAX_DEPTH, declared_kinds, fits, kind_fault, kind_words
from bitc.ir.graph import Graph, Op, Value, result_types
from bitc.ir.ops import declared
from bitc.ir.types import BufferType, CodeType, Layout, Type

THRESHOLD_OPERANDS = {"q.threshold": "t"}
"""Operands that are compared with ``>=`` or ``<=``: a NaN there would make a level unreachable."""


class VerificationError(AssertionError):
    """A graph breaks rules of the IR. ``findings`` lists every one."""

    def __init__(self, name: str, findings: list[str]) -> None:
        self.findings = findings
        super().__init__("\n  ".join([f"graph @{name} breaks {len(findings)} rules of the IR:", *findings]))


def verify(graph: Graph, since: Graph | None = None) -> None:
    """Check ``graph`` and its regions. Raises :class:`VerificationError` with all findings.

    ``since`` is a graph that was checked before: what a pass left as it was is not looked at again, but for the order of definitions.
    """
    sound = frozenset(map(_signature, since.ops)) if since is not None else frozenset()
    if findings := list(_graph_findings(graph, 0, sound)):
        raise VerificationError(graph.name, findings)


_Signature = tuple[Any, ...]


def _signature(op: Op) -> _Signature:
    """What the rules of an op read, but for NaNs in constants; as objects, so it holds as long as they live."""
    values = (*op.operands, *op.results)
    return op.decl, id(op.attrs), len(op.operands), *(id(value.type) for value in values)


def _graph_findings(graph: Graph, depth: int, sound: frozenset[_Signature] = frozenset()) -> Iterator[str]:
    if depth > MAX_DEPTH:
        yield f"regions nest deeper than {MAX_DEPTH}"
        return
    known: set[Value] = set()
    names: set[str] = set()
    everything = set(graph.values())
    for value in graph.inputs:
        yield from _definition(value, None, known, names)
    for op in graph.ops:
        for operand in op.operands:
            if operand not in known:
                when = "before it is defined" if operand in everything else "but is of another graph"
                yield f"{_place(op)}: reads %{operand.name} {when}"
        if _signature(op) not in sound:
            yield from _op_findings(op, depth)
        yield from _threshold_findings(op)
        for value in op.results:
            yield from _definition(value, op, known, names)
    for value in graph.outputs:
        if value not in known:
            yield f"output %{value.name} is not defined"
    for key, attr in graph.attrs.items():
        if fault := kind_fault(attr):
            yield f"graph attribute {key} {fault}"


def _definition(value: Value, maker: Op | None, known: set[Value], names: set[str]) -> Iterator[str]:
    place = _place(maker) if maker is not None else "inputs"
    if value in known:
        yield f"{place}: %{value.name} is defined twice"
    elif value.name in names:
        yield f"{place}: the name %{value.name} is taken"
    if value.producer is not maker:
        yield f"{place}: %{value.name} names {value.producer!r} as its producer"
    if isinstance(value.type, CodeType) and not (np.isfinite(value.type.scale) and value.type.scale != 0):
        yield f"{place}: %{value.name} has scale {value.type.scale}, which is no finite nonzero number"
    known.add(value)
    names.add(value.name)


def _op_findings(op: Op, depth: int) -> Iterator[str]:
    place = _place(op)
    if declared(op.name) is not op.decl:
        yield f"{place}: the op is not registered"
    faults = list(_attribute_findings(op, depth))
    yield from (f"{place}: {fault}" for fault in faults)
    if not faults:  # a rule need not survive attributes it does not declare
        yield from (f"{place}: {fault}" for fault in _type_findings(op))


def _threshold_findings(op: Op) -> Iterator[str]:
    threshold = THRESHOLD_OPERANDS.get(op.name)
    table = op.operand(threshold) if threshold is not None else None
    if table is not None and table.constant is not None and np.isnan(table.constant).any():
        yield f"{_place(op)}: a threshold is NaN"


def _attribute_findings(op: Op, depth: int) -> Iterator[str]:
    kinds = declared_kinds(op.decl)
    for key in op.decl.attrs:
        if key not in op.attrs:
            yield f"attribute {key} is missing"
    for key, value in op.attrs.items():
        if key not in op.decl.attrs:
            yield f"has no attribute {key}"
        elif fault := kind_fault(value):
            yield f"attribute {key} {fault}"
        elif key in kinds and not fits(value, kinds[key]):
            yield f"attribute {key} must be {kind_words(kinds[key])}, not {value!r}"
        elif isinstance(value, Graph):
            yield from (f"in region {key}: {finding}" for finding in _graph_findings(value, depth + 1))


def _type_findings(op: Op) -> Iterator[str]:
    try:
        inferred = result_types(op.decl, op.operands, op.attrs)
    except ValueError as error:
        yield str(error)
        return
    if len(inferred) != len(op.results):
        yield f"has {len(op.results)} results, its rule gives {len(inferred)}"
        return
    for value, want in zip(op.results, inferred, strict=True):
        if not _same_but_layout(value.type, want):
            yield f"%{value.name} is {value.type}, its rule gives {want}"


def _same_but_layout(a: Type, b: Type) -> bool:
    if a == b or isinstance(a, BufferType) or isinstance(b, BufferType):
        return a == b
    return a.with_layout(Layout.ROW_MAJOR) == b.with_layout(Layout.ROW_MAJOR)


def _place(op: Op) -> str:
    """The op as a reader finds it in the text."""
    results = ", ".join(f"%{value.name}" for value in op.results)
    return f"{results} = {op.name}" if results else op.name
