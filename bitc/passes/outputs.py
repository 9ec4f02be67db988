"""Outputs keep their names through passes that put other values in their place: they are the network's interface."""

from __future__ import annotations

from collections.abc import Sequence

from bitc.ir import Builder, Graph, Op, Value


def output_names(graph: Graph) -> tuple[str, ...]:
    """The outputs' names as the model has them; in a graph that was not imported, the values' own."""
    return tuple(graph.attrs.get("output_names") or (value.name for value in graph.outputs))


def keep_output_names(before: Sequence[Value], after: Sequence[Value], ops: Sequence[Op], builder: Builder) -> None:
    """Give each of ``after`` the name of its predecessor in ``before``; a value of ``ops`` that has the name gets another.

    An output that is or was an input itself, or stands for two outputs, keeps the name it has.
    """
    holders = {value.name: value for op in ops for value in op.results}
    for old, new in zip(before, after, strict=True):
        if new.name == old.name or new.producer is None or old.producer is None or after.count(new) > 1:
            continue
        holder = holders.get(old.name)
        if holder is not None:
            holder.name = builder.fresh_name()
            holders[holder.name] = holder
        new.name = old.name
        holders[new.name] = new
