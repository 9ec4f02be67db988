"""Regions: groups of ops that become one op with a body, grown along edges while the graph of groups stays free of cycles.

Both ``fuse-maps`` (elementwise ops) and ``fuse-rows`` (kernels over the same image rows) are a choice of what may join; how groups
merge, are ordered and become bodies is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bitc.ir import Builder, Graph, Op, Value

Group = list[Op]


class _Cluster:
    """A group while it grows: its ops in no order, the place of its last one, and the ops outside it that read one of its values."""

    __slots__ = ("last", "ops", "readers")

    def __init__(self, op: Op, position: int, readers: set[Op]) -> None:
        self.ops = [op]
        self.last = position
        self.readers = readers


class Partition:
    """The ops of a graph in disjoint groups, each op alone at first. Constants belong to no group.

    ``inner(maker, reader)`` says whether a value may pass from one op to the other inside a group. A merge costs what the smaller group
    and the ways round it cost, so that a chain of n ops grows in about n steps.
    """

    def __init__(self, graph: Graph, inner: Callable[[Op, Op], bool] = lambda maker, reader: True) -> None:
        self._graph = graph
        self._inner = inner
        self._position = {op: index for index, op in enumerate(graph.ops)}
        self._users = graph.users()
        self._cluster = {
            op: _Cluster(op, index, {user for result in op.results for user in self._users[result]})
            for index, op in enumerate(graph.ops)
            if op.name != "nn.constant"
        }
        self._last_joined = -1

    def merge(self, a: Op, b: Op) -> bool:
        """Join the groups of ``a`` and ``b``; False, and nothing done, where that would close a cycle of groups, or where a value
        would pass inside that may not."""
        first, second = self._cluster[a], self._cluster[b]
        if first is second:
            return True
        small, large = sorted((first, second), key=lambda cluster: len(cluster.ops))
        if not self._passes_inside(small, large):
            return False
        if self._reaches_around(first, second) or self._reaches_around(second, first):
            return False
        for op in small.ops:
            self._cluster[op] = large
        large.ops += small.ops
        large.last = max(large.last, small.last)
        large.readers.difference_update(small.ops)
        large.readers.update(op for op in small.readers if self._cluster[op] is not large)
        self._last_joined = max(self._last_joined, large.last)
        return True

    def _passes_inside(self, small: _Cluster, large: _Cluster) -> bool:
        """Whether each value that ``small`` gives to ``large`` or takes from it may pass inside."""
        for op in small.ops:
            for result in op.results:
                for user in self._users[result]:
                    if self._cluster[user] is large and not self._inner(op, user):
                        return False
            for operand in op.operands:
                maker = operand.producer
                if maker is not None and self._cluster.get(maker) is large and not self._inner(maker, op):
                    return False
        return True

    def _reaches_around(self, start: _Cluster, goal: _Cluster) -> bool:
        """Whether a path leads from ``start`` to ``goal`` through a third group.

        Ops behind all that was ever joined and behind the goal are alone, and lead only further on: there the search ends.
        """
        limit = max(self._last_joined, goal.last)
        stack = [start]
        seen = {start}
        while stack:
            current = stack.pop()
            for reader in current.readers:
                if self._position[reader] > limit:
                    continue
                cluster = self._cluster[reader]
                if cluster is goal and current is not start:
                    return True
                if cluster is not goal and cluster not in seen:
                    seen.add(cluster)
                    stack.append(cluster)
        return False

    def ordered(self) -> list[Group]:
        """All groups, each after those it reads from; otherwise in the order of their first ops."""
        order: list[Group] = []
        reached: set[_Cluster] = set()
        for op in self._graph.ops:
            stack = [(self._cluster[op], False)] if op in self._cluster else []
            while stack:
                current, expanded = stack.pop()
                if expanded:
                    order.append(self._ordered_ops(current))
                    continue
                if current in reached:
                    continue
                reached.add(current)
                stack.append((current, True))
                stack.extend((before, False) for before in reversed(self._predecessors(current)))
        return order

    def _ordered_ops(self, cluster: _Cluster) -> Group:
        return sorted(cluster.ops, key=self._position.__getitem__)

    def _predecessors(self, cluster: _Cluster) -> list[_Cluster]:
        found: dict[_Cluster, None] = {}
        for op in self._ordered_ops(cluster):
            for operand in op.operands:
                producer = operand.producer
                if producer is not None and producer in self._cluster and self._cluster[producer] is not cluster:
                    found[self._cluster[producer]] = None
        return list(found)


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
    kept = set(graph.outputs)
    for group in partition.ordered():
        if not is_region(group):
            for op in group:
                mapping.update(zip(op.results, builder.clone(op, [mapping[o] for o in op.operands]), strict=True))
            continue
        body, operands, outputs = _body(group, users, kept)
        made = builder.add_multi(
            region, *(mapping[o] for o in operands), loc=_joined_locs(group), body=body, **attrs(body)
        )
        for old, new in zip(outputs, made, strict=True):
            new.name, new.origin = builder.fresh_name(old.name), old.origin
            mapping[old] = new
    outlined = Graph(graph.name, graph.inputs, builder.ops, [mapping[o] for o in graph.outputs], graph.attrs)
    return _drop_unread_constants(outlined)


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
