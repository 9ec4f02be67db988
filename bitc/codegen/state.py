"""The state struct of a network with states, and the io of one step: what ``<name>_init`` and ``<name>_step`` are printed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bitc.codegen.names import array_lines, literal, unique_identifiers
from bitc.codegen.plan import Port
from bitc.ir import Graph


@dataclass(frozen=True, slots=True)
class Carried:
    """A state: the ports that a call reads and writes, the struct's ``field``, and the value it begins with, None for zeros."""

    given: Port
    made: Port
    field: str
    initial: np.ndarray | None

    @property
    def uniform(self) -> str:
        """The one number that the state begins with everywhere, as C; empty where there are several."""
        assert self.initial is not None
        first = self.initial.reshape(-1)[:1]
        same = self.initial.tobytes() == first.tobytes() * self.initial.size
        return literal(self.initial.flat[0], self.given.dtype) if same and self.given.dtype.numpy != np.float16 else ""

    def lines(self) -> list[str]:
        """The initial value as lines of an initialiser."""
        assert self.initial is not None
        return list(array_lines(self.initial, self.given.dtype))


@dataclass(frozen=True, slots=True)
class StateStruct:
    """All states; ``flag`` is the field that says which of the two copies of each holds its value. The other ports are a step's io."""

    carried: tuple[Carried, ...]
    flag: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def manifest(self) -> list[dict[str, Any]]:
        """What the manifest says of each state."""
        return [
            {
                "input": one.given.name,
                "output": one.made.name,
                "field": one.field,
                "initial": "zeros" if one.initial is None else "the model's default",
            }
            for one in self.carried
        ]


def state_struct(graph: Graph, inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> StateStruct | None:
    """The states of ``graph`` (``attrs["states"]``), whose ports are given; None if it has none."""
    pairs = graph.attrs.get("states", ())
    if not pairs:
        return None
    given, made = ({port.name: port for port in ports} for ports in (inputs, outputs))
    *fields, flag = unique_identifiers([*(given[name].field for name, _, _ in pairs), "now"])
    carried = tuple(
        Carried(given[before], made[after], field, initial)
        for (before, after, initial), field in zip(pairs, fields, strict=True)
    )
    befores, afters = {one.given.name for one in carried}, {one.made.name for one in carried}
    return StateStruct(
        carried,
        flag,
        tuple(port for port in inputs if port.name not in befores),
        tuple(port for port in outputs if port.name not in afters),
    )
