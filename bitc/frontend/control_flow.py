"""If, Loop and Scan: the branch that is taken, and the body once for each round.

bitc compiles networks whose steps are known: a condition must be a constant, and so must a number of rounds (or what ends them). Then a
round is nodes like others, and what a round only counts with (indices, shapes) is folded.

Source: https://onnx.ai/onnx/operators/onnx__Loop.html and onnx__Scan.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import helper

from bitc.frontend.bodies import import_body, import_node
from bitc.frontend.functions import count_nodes
from bitc.frontend.node import Node, NodeProblem, Scope, handles
from bitc.ir import Value
from bitc.limits import over_limit

WORK_OF_A_NODE = 1 << 10
"""What a node of a round counts in the limit ``constant_work``, so that many loops of few nodes have an end."""


@handles("If")
def conditional(n: Node) -> tuple[Value, ...]:
    """What the branch computes that a constant condition chooses"""
    name = "then_branch" if n.array(0, "the condition").any() else "else_branch"
    return _run(_graph(n, name), {}, n)


@handles("Loop")
def loop(n: Node) -> tuple[Value, ...]:
    """The body once for each round; how many there are must be known: a constant trip count, or constant conditions"""
    body = _graph(n, "body")
    most = n.maybe_array(0, "the trip count")
    going = n.maybe_array(1, "the condition")
    carried: list[Value] = [n.x(index) for index in range(2, len(n.inputs))]
    if len(body.input) != 2 + len(carried) or len(body.output) < 1 + len(carried):
        raise n.broken(
            "the body of Loop takes a count, a condition and what is carried, and gives the latter two and more"
        )
    constants, stacked = _constants(body, n), [list[Value]() for _ in body.output[1 + len(carried) :]]
    rounds = int(most.reshape(-1)[0]) if most is not None else None
    index, alive = 0, bool(going.all()) if going is not None else True
    while alive and (rounds is None or index < rounds):
        _count_round(body, index + 1, n)
        first = (n.constant(np.asarray(index, np.int64)), n.constant(np.asarray(alive)))
        given = dict(zip((entry.name for entry in body.input), (*first, *carried), strict=True))
        condition, *results = _run(body, constants | given, n)
        carried = results[: len(carried)]
        for into, value in zip(stacked, results[len(carried) :], strict=True):
            into.append(value)
        alive = _known(condition, n)
        index += 1
    return (*carried, *(_stacked(values, 0, n) for values in stacked))


@handles("Scan", since=9)
def scan(n: Node) -> tuple[Value, ...]:
    """The body once for each slice of the scanned inputs"""
    body, scanned = _graph(n, "body"), n.integer("num_scan_inputs", 0)
    states = len(n.inputs) - scanned
    made = len(body.output) - states
    if scanned < 1 or states < 0 or len(body.input) != len(n.inputs) or made < 0:
        raise n.broken("Scan takes as many inputs as its body, of which num_scan_inputs are scanned")
    sources = [n.x(index) for index in range(states, len(n.inputs))]
    axes = [
        n.axis(axis, len(source.shape))
        for axis, source in zip(_each(n, "scan_input_axes", scanned), sources, strict=True)
    ]
    lengths = {source.shape[axis] for source, axis in zip(sources, axes, strict=True)}
    if len(lengths) != 1:
        raise n.broken("scanned inputs are equally long", ", ".join(map(str, sorted(lengths))))
    (length,), constants = lengths, _constants(body, n)
    _count_round(body, length, n)
    back, back_out = (
        _each(n, f"scan_{kind}_directions", count) for kind, count in (("input", scanned), ("output", made))
    )
    carried, stacked = [n.x(index) for index in range(states)], [list[Value]() for _ in range(made)]
    for index in range(length):
        slices = [
            _node(n, "Gather", source, n.constant(np.asarray(length - 1 - index if reverse else index)), axis=axis)
            for source, axis, reverse in zip(sources, axes, back, strict=True)
        ]
        given = dict(zip((entry.name for entry in body.input), (*carried, *slices), strict=True))
        results = _run(body, constants | given, n)
        carried = list(results[:states])
        for into, value, reverse in zip(stacked, results[states:], back_out, strict=True):
            into.insert(0 if reverse else len(into), value)
    outputs = zip(stacked, _each(n, "scan_output_axes", made), strict=True)
    return (*carried, *(_stacked(values, axis, n) for values, axis in outputs))


def _each(n: Node, name: str, count: int) -> list[int]:
    """An attribute with a number for each of ``count`` tensors, zeros by default."""
    found = n.integers(name) or [0] * count
    if len(found) != count:
        raise n.broken(f"{name} of Scan has a number for each tensor", f"{len(found)} for {count}")
    return found


def _graph(n: Node, name: str) -> onnx.GraphProto:
    graphs: list[onnx.GraphProto] = [attribute.g for attribute in n.proto.attribute if attribute.name == name]
    if not graphs or n.scope is None:
        raise n.broken(f"{n.op_type} has a graph {name}")
    return graphs[0]


def _constants(graph: onnx.GraphProto, n: Node) -> dict[str, Value]:
    """The initializers of a body, which all its rounds share."""
    return {tensor.name: n.constant(n.reader.dense(tensor)) for tensor in graph.initializer}


def _run(graph: onnx.GraphProto, given: Mapping[str, Value], n: Node) -> tuple[Value, ...]:
    """The outputs of ``graph`` where ``n`` stands, its inputs and initializers being ``given`` (initializers, if nothing is)."""
    assert n.scope is not None
    around = n.scope
    names: dict[str, Value | None] = {**(given or _constants(graph, n))}
    scope = Scope(lambda name: names[name] if name in names else around.value(name), around.opset)
    import_body(graph.node, names, scope, n)
    found = [scope.value(value.name) for value in graph.output]
    if any(value is None for value in found):
        missing = (entry.name for entry, value in zip(graph.output, found, strict=True) if value is None)
        raise n.broken(f"a graph of {n.op_type} makes all its outputs", ", ".join(missing))
    return tuple(value for value in found if value is not None)


def _known(condition: Value, n: Node) -> bool:
    """Whether another round follows."""
    if condition.constant is None:
        raise n.unsupported(
            "when a Loop ends must be known when it is compiled",
            "its condition is computed from the network's inputs",
            "export it with a fixed number of rounds",
        )
    return bool(condition.constant.all())


def _count_round(body: onnx.GraphProto, rounds: int, n: Node) -> None:
    """Hold what the rounds so far stand for to the limits. Raises :class:`NodeProblem`."""
    nodes, limits = count_nodes(body), n.reader.limits
    if nodes * rounds > limits.nodes:
        raise NodeProblem(over_limit("nodes", limits.nodes, f"{rounds} rounds of {nodes} nodes", n.where), broken=True)
    n.builder.fold_work -= nodes * WORK_OF_A_NODE * (1 if n.op_type == "Loop" else rounds)
    if n.builder.fold_work < 0:
        raise NodeProblem(over_limit("constant_work", limits.constant_work, "rounds of loops", n.where), broken=True)


def _stacked(values: Sequence[Value], axis: int, n: Node) -> Value:
    """What the rounds gave, along a new axis."""
    if not values:
        raise n.unsupported("a loop that gives something of each round has one at least", "it has none")
    at = n.axis(axis, len(values[0].shape) + 1)
    made = [_node(n, "Reshape", value, _shape(value, at, n)) for value in values]
    return _node(n, "Concat", *made, axis=at) if len(made) > 1 else made[0]


def _shape(value: Value, axis: int, n: Node) -> Value:
    return n.constant(np.asarray((*value.shape[:axis], 1, *value.shape[axis:]), np.int64))


def _node(n: Node, op_type: str, *operands: Value, **attributes: Any) -> Value:
    """The result of another node in the place of ``n``."""
    proto = helper.make_node(op_type, [value.name for value in operands], ["made"], **attributes)
    (made,) = import_node(replace(n, proto=proto, inputs=operands, within=n.loc))
    return made
