"""SSA graphs: values, ops, graphs. What makes new ones is in :mod:`bitc.ir.builder`.

Ops and values are never changed after they are made; a pass builds a new graph. An op sees the values it reads, a value the op
that made it, so a rule looks upwards freely; users are computed on demand (:meth:`Graph.users`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bitc.ir.ops import InferenceError, OpDecl
from bitc.ir.types import Type


class Value:
    """One SSA value. ``origin`` names the ONNX tensor whose content it is (for codes: after ``scale *``), or is empty."""

    __slots__ = ("name", "origin", "producer", "type")

    def __init__(self, name: str, type: Type, producer: Op | None = None, origin: str = "") -> None:
        self.name = name
        self.type = type
        self.producer = producer
        self.origin = origin

    @property
    def constant(self) -> np.ndarray | None:
        """The array, if this value is a constant."""
        if self.producer is not None and self.producer.name == "nn.constant":
            array: np.ndarray = self.producer.attrs["value"]
            return array
        return None

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Between which numbers each element of a constant lies, whoever computes it, where folding it rounded (``nn.constant``)."""
        if self.constant is None or self.producer is None or self.producer.attrs["least"] is None:
            return None
        return self.producer.attrs["least"], self.producer.attrs["most"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Logical shape."""
        return self.type.shape

    def __repr__(self) -> str:
        return f"%{self.name}: {self.type}"


class Op:
    """One operation: a declaration applied to operands. ``loc`` names the ONNX node it came from, for messages.

    A dict of ``attrs`` is kept as it is given: nobody changes it afterwards, and the same op on other operands shares it.
    """

    __slots__ = ("attrs", "decl", "loc", "operands", "results")

    def __init__(self, decl: type[OpDecl], operands: Sequence[Value], attrs: Mapping[str, Any], loc: str = "") -> None:
        self.decl = decl
        self.operands = tuple(operands)
        self.attrs: dict[str, Any] = attrs if isinstance(attrs, dict) else dict(attrs)
        self.loc = loc
        self.results: tuple[Value, ...] = ()

    @property
    def name(self) -> str:
        """The declared name, such as ``nn.conv``."""
        return self.decl.name

    @property
    def result(self) -> Value:
        """The only result."""
        (value,) = self.results
        return value

    def operand(self, name: str) -> Value | None:
        """The operand declared as ``name``, None if an optional one is left out."""
        for index, declared in enumerate(self.decl.operands):
            if declared.rstrip("?*") == name:
                return self.operands[index] if index < len(self.operands) else None
        raise KeyError(name)

    def __repr__(self) -> str:
        return f"<{self.name} -> {', '.join(map(repr, self.results))}>"


class Graph:
    """A list of ops in an order where each value is made before it is read. ``attrs`` holds facts of the whole network."""

    __slots__ = ("attrs", "inputs", "name", "ops", "outputs")

    def __init__(
        self,
        name: str,
        inputs: Sequence[Value],
        ops: Sequence[Op],
        outputs: Sequence[Value],
        attrs: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.inputs = tuple(inputs)
        self.ops = tuple(ops)
        self.outputs = tuple(outputs)
        self.attrs = dict(attrs or {})

    def values(self) -> Iterator[Value]:
        """Inputs, then each op's results."""
        yield from self.inputs
        for op in self.ops:
            yield from op.results

    def users(self) -> dict[Value, list[Op]]:
        """For each value the ops that read it, in order (an op twice if it reads it twice)."""
        users: dict[Value, list[Op]] = {value: [] for value in self.values()}
        for op in self.ops:
            for operand in op.operands:
                users[operand].append(op)
        return users


def result_types(decl: type[OpDecl], operands: Sequence[Value], attrs: Mapping[str, Any]) -> tuple[Type, ...]:
    """Result types of ``decl`` on ``operands``. Raises :class:`InferenceError` naming the op."""
    fewest, most = decl.operand_range()
    if len(operands) < fewest or (most is not None and len(operands) > most):
        raise InferenceError(f"{decl.name} takes operands {decl.operands}, got {len(operands)}")
    try:
        inferred = decl.infer(*(operand.type for operand in operands), **attrs)
    except InferenceError as error:
        raise InferenceError(f"{decl.name}: {error}") from None
    return inferred if isinstance(inferred, tuple) else (inferred,)


def drop_dead(graph: Graph) -> Graph:
    """The graph without ops whose results nobody reads."""
    live: set[Value] = set(graph.outputs)
    kept: list[Op] = []
    for op in reversed(graph.ops):
        if any(result in live for result in op.results):
            kept.append(op)
            live.update(op.operands)
    return Graph(graph.name, graph.inputs, kept[::-1], graph.outputs, graph.attrs)
