"""Local functions of a model: how many nodes they stand for, and their bodies in the place of their calls.

What a few functions stand for may be beyond all bounds (each calls the next one twice), or endless (one calls itself), so it is counted
before anything is inlined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # ships no types

from bitc.errors import Diagnostic, ModelError
from bitc.limits import Limits, check_limit

_Key = tuple[str, str, str]


def check_nodes(proto: onnx.ModelProto, limits: Limits, where: str) -> None:
    """Raise :class:`ModelError` where nodes or their nesting are beyond the limits, or a function calls itself."""
    functions = {_key(f.domain, f.name, f.overload): f for f in proto.functions}
    sizes: dict[_Key, tuple[int, int]] = {}
    for key in _callees_first(functions):
        sizes[key] = _measured(functions[key].node, sizes)
    count, depth = _measured(proto.graph.node, sizes)
    check_limit(limits, "nodes", count, where)
    check_limit(limits, "nesting", depth, where)


def _key(domain: str, name: str, overload: str) -> _Key:
    return "" if domain == "ai.onnx" else domain, name, overload


def _measured(nodes: Iterable[onnx.NodeProto], sizes: dict[_Key, tuple[int, int]]) -> tuple[int, int]:
    """Nodes and depth of ``nodes`` with what they call and hold; ``sizes`` are those of functions.

    The recursion is bounded by protobuf, which reads no more than a hundred messages within one another.
    """
    count = depth = 0
    for node in nodes:
        inside, level = sizes.get(_key(node.domain, node.op_type, node.overload), (1, -1))
        count, depth = count + inside, max(depth, level + 1)
        for graph in subgraphs(node):
            inside, level = _measured(graph.node, sizes)
            count, depth = count + inside, max(depth, level + 1)
    return count, depth


def count_nodes(graph: onnx.GraphProto) -> int:
    """Nodes of ``graph``, which calls no functions, with those in its nodes' own graphs."""
    return _measured(graph.node, {})[0]


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs in the attributes of ``node``."""
    for attribute in node.attribute:
        yield from attribute.graphs
        if attribute.HasField("g"):
            yield attribute.g


def _callees_first(functions: dict[_Key, onnx.FunctionProto]) -> list[_Key]:
    """The functions, each after those it calls. Raises :class:`ModelError` for one that calls itself."""
    order: list[_Key] = []
    open_calls: set[_Key] = set()
    done: set[_Key] = set()
    stack = [(key, False) for key in functions]
    while stack:
        key, left = stack.pop()
        if left:
            open_calls.remove(key)
            done.add(key)
            order.append(key)
            continue
        if key in open_calls:
            rule = "a local function does not call itself, nor one that calls it"
            raise ModelError(
                Diagnostic("M008", "the model's local functions cannot be inlined", f"function {key[1]!r}", rule)
            )
        if key in done:
            continue
        open_calls.add(key)
        stack.append((key, True))
        stack.extend(
            (called, False)
            for called in sorted(_called(functions[key].node))
            if called in functions and called not in done
        )
    return order


def _called(nodes: Iterable[onnx.NodeProto]) -> set[_Key]:
    found = set()
    for node in nodes:
        found.add(_key(node.domain, node.op_type, node.overload))
        for graph in subgraphs(node):
            found |= _called(graph.node)
    return found


def inlined(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the bodies of its functions in the place of their calls. Raises :class:`ModelError`."""
    from onnx.inliner import inline_local_functions

    try:
        return inline_local_functions(proto)
    except (RuntimeError, ValueError, DecodeError) as error:  # C++, which reports bad functions as RuntimeError
        raise ModelError(Diagnostic("M008", "the model's local functions cannot be inlined", here=str(error))) from None
