"""Regions: groups of ops that become one op with a body, grown along edges while the graph of groups stays free of cycles.

Both ``fuse-maps`` (elementwise ops) and ``fuse-rows`` (kernels over the same image rows) are a choice of what may join; how groups
merge, are ordered and become bodies is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bitc.ir import Builder, Graph, Op, Value

Group = list[Op]


class Partition:
    """The ops of a graph in disjoint groups, each op alone at first. Constants belong to no group.

    ``inner(maker, reader)`` says whether a value may pass from one op to the other inside a group.
    """

    def __init__(self, graph: Graph, inner: Callable[[Op, Op], bool] = lambda maker, reader: True) -> None:
        self._graph = graph
        self._inner = inner
        self._position = {op: index for index, op in enumerate(graph.ops)}
        self._group: dict[Op, Group] = {op: [op] for op in graph.ops if op.name != "nn.constant"}
        self._users = graph.users()

    def group(self, op: Op) -> Group:
        """The group ``op`` is in."""
        return self._group[op]

    def merge(self, a: Op, b: Op) -> bool:
        """Join the groups of ``a`` and ``b``; False, and nothing done, where that would close a cycle of groups, or where a value
        would pass inside that may not."""
        first, second = self._group[a], self._group[b]
        if first is second:
            return True
        if not (self._passes_inside(first, second) and self._passes_inside(second, first)):
            return False
        if self._reaches_around(first, second) or self._reaches_around(second, first):
            return False
        joined = sorted((*first, *second), key=self._position.__getitem__)
        for op in joined:
            self._group[op] = joined
        return True

    def _passes_inside(self, makers: Group, readers: Group) -> bool:
        edges = ((op, user) for op in makers for result in op.results for user in self._users[result])
        return all(self._inner(maker, user) for maker, user in edges if self._group[user] is readers)

    def _successors(self, group: Group) -> list[Group]:
        found: dict[int, Group] = {}
        for op in group:
            for result in op.results:
                for user in self._users[result]:
                    other = self._group[user]
                    if other is not group:
                        found[id(other)] = other
        return list(found.values())

    def _reaches_around(self, start: Group, goal: Group) -> bool:
        """Whether a path leads from ``start`` to ``goal`` through a third group."""
        stack = [group for group in self._successors(start) if group is not goal]
        seen = {id(group) for group in stack}
        while stack:
            for group in self._successors(stack.pop()):
                if group is goal:
                    return True
                if id(group) not in seen:
                    seen.add(id(group))
                    stack.append(group)
        return False

    def ordered(self) -> list[Group]:
        """All groups, each after those it reads from; otherwise in the order of their first ops."""
        order: list[Group] = []
        state: dict[int, bool] = {}

        def visit(group: Group) -> None:
            stack: list[tuple[Group, bool]] = [(group, False)]
            while stack:
                current, expanded = stack.pop()
                if expanded:
                    order.append(current)
                    continue
                if id(current) in state:
                    continue
                state[id(current)] = True
                stack.append((current, True))
                stack.extend((before, False) for before in reversed(self._predecessors(current)))

        for op in self._graph.ops:
            if op in self._group:
                visit(self._group[op])
        return order

    def _predecessors(self, group: Group) -> list[Group]:
        found: dict[int, Group] = {}
        for op in group:
            for operand in op.operands:
                producer = operand.producer
                if producer is not None and producer in self._group and self._group[producer] is not group:
                    found[id(self._group[producer])] = self._group[producer]
        return list(found.values())


def outline(
    graph: Graph,
    partition: Partition,
    region: str,
    is_region: Callable[[Group], bool],
    attrs: Callable[[Graph], dict[str, Any]] = lambda body: {},
) -> Graph:
    """``graph`` with each group for which ``is_region`` holds as one op ``region {body}``; constants it reads move into its body.

    ``attrs`` gives the op's other attributes from its body.
    """
    builder = Builder()
    mapping: dict[Value, Value] = {}
    for value in graph.inputs:
        builder.fresh_name(value.name)
        mapping[value] = value
    for op in graph.ops:
        if op.name == "nn.constant":
            mapping[op.result] = builder.clone(op, [])[0]
    users = graph.users()
    for group in partition.ordered():
        if not is_region(group):
            for op in group:
                mapping.update(zip(op.results, builder.clone(op, [mapping[o] for o in op.operands]), strict=True))
            continue
        body, operands, outputs = _body(group, users, set(graph.outputs))
        made = builder.add_multi(
            region, *(mapping[o] for o in operands), loc=_joined_locs(group), body=body, **attrs(body)
        )
        for old, new in zip(outputs, made, strict=True):
            new.name, new.origin = builder.fresh_name(old.name), old.origin
            mapping[old] = new
    kept = Graph(graph.name, graph.inputs, builder.ops, [mapping[o] for o in graph.outputs], graph.attrs)
    return _drop_unread_constants(kept)


def _body(group: Group, users: dict[Value, list[Op]], kept: set[Value]) -> tuple[Graph, list[Value], list[Value]]:
    """The body of ``group``, the values it reads and the values of it that are read outside."""
    members = set(group)
    builder = Builder()
    mapping: dict[Value, Value] = {}
    operands: list[Value] = []
    for op in group:
        for operand in op.operands:
            if operand in mapping or operand.producer in members:
                continue
            if operand.producer is not None and operand.producer.name == "nn.constant":
                mapping[operand] = builder.clone(operand.producer, [])[0]
            else:
                operands.append(operand)
                mapping[operand] = builder.input(operand.name, operand.type)
                mapping[operand].origin = operand.origin
        mapping.update(zip(op.results, builder.clone(op, [mapping[o] for o in op.operands]), strict=True))
    outputs = [
        value
        for op in group
        for value in op.results
        if value in kept or any(user not in members for user in users[value])
    ]
    inputs = [mapping[operand] for operand in operands]
    return Graph("body", inputs, builder.ops, [mapping[value] for value in outputs]), operands, outputs


def _joined_locs(group: Iterable[Op]) -> str:
    """The names of the ONNX nodes in a group, each once."""
    return "; ".join(dict.fromkeys(op.loc for op in group if op.loc))


def _drop_unread_constants(graph: Graph) -> Graph:
    read = set(graph.outputs) | {operand for op in graph.ops for operand in op.operands}
    ops = [op for op in graph.ops if op.name != "nn.constant" or op.result in read]
    return Graph(graph.name, graph.inputs, ops, graph.outputs, graph.attrs)
